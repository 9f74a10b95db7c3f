"""What the suites share: the libraries that they compare, and arrays to give them."""

import importlib
from functools import lru_cache, partial

import numpy as np

IMPLEMENTATIONS = ["fastconv", "scipy", "numpy"]
_HOMES = {"fastconv": "fastconv", "scipy": "scipy.signal", "numpy": "numpy"}

FILTER_LIBRARIES = ["fastconv", "scipy", "opencv"]
_FILTER_HOMES = {"fastconv": "fastconv.ndimage", "scipy": "scipy.ndimage", "opencv": "cv2"}
SCIPY_PRODUCTS = 2.5e9  # scipy.ndimage.correlate needs about a nanosecond for each


def find(impl, name, ndim=1):
    """Return `impl`'s function of that name.

    NotImplementedError makes asv leave the point out: the library has no such function, or only
    for one dimension. The import stands in here because asv forks its workers from a process that
    has imported the suites, and a forked child of a process that holds fastconv runs serially.
    """
    function = getattr(importlib.import_module(_HOMES[impl]), name, None)
    if function is None or (impl == "numpy" and ndim > 1):
        raise NotImplementedError(f"{impl} has no {name} in {ndim} dimensions")
    return function


def bind_filter(impl, name, image, *arguments, **options):
    """Return a callable without arguments: `impl`'s form of scipy.ndimage's filter of that name.

    NotImplementedError makes asv leave the point out: the library is not installed, has no such
    filter, or would take seconds. As for `find`, the import stands in here.
    """
    try:
        library = importlib.import_module(_FILTER_HOMES[impl])
    except ModuleNotFoundError as error:
        raise NotImplementedError(f"{impl} is missing: {error}") from None
    if impl == "opencv":
        return _bind_opencv(library, name, image, *arguments, **options)
    if impl == "scipy" and name == "correlate":
        products = image.size * arguments[0].size
        if products > SCIPY_PRODUCTS:
            raise NotImplementedError(f"scipy.ndimage takes seconds for {products:.2g} products")
    return partial(getattr(library, name), image, *arguments, **options)


def _bind_opencv(cv2, name, image, argument=None, mode="reflect", axes=None):
    """Return the OpenCV filter that has the taps, the boundary and the dtype of SciPy's.

    OpenCV takes the first two axes of three for the image, which is all that `axes` may say. It
    rounds and saturates integers, where SciPy cuts them off and wraps around.
    """
    if mode == "wrap":
        raise NotImplementedError("OpenCV's filters cannot wrap around")
    if axes != (0, 1) and (axes is not None or image.ndim != 2):
        raise NotImplementedError("OpenCV filters images, with or without channels")
    names = {"reflect": "REFLECT", "mirror": "REFLECT_101", "nearest": "REPLICATE"}
    border = getattr(cv2, f"BORDER_{names.get(mode, 'CONSTANT')}")
    if name == "correlate":
        return partial(cv2.filter2D, image, -1, argument, borderType=border)
    if name == "gaussian_filter":
        side = 2 * int(4 * argument + 0.5) + 1  # SciPy's truncate=4.0
        return partial(cv2.GaussianBlur, image, (side, side), argument, borderType=border)
    if name == "uniform_filter":
        return partial(cv2.blur, image, (argument, argument), borderType=border)
    if name == "sobel":
        return partial(cv2.Sobel, image, -1, 1, 0, borderType=border)
    if name == "laplace":
        return partial(cv2.Laplacian, image, -1, borderType=border)
    raise NotImplementedError(f"OpenCV has no {name}")


@lru_cache(maxsize=4)  # asv sets up anew before every sample; a large image takes longer to make
def described_array(text):
    """Return the random array that a text such as "1080x1920 uint8" describes."""
    shape, dtype = text.split()
    return random_array(tuple(int(length) for length in shape.split("x")), dtype)


def random_taps(side, image, ndim=2):
    """Return a dense kernel of full rank, whose sum of one keeps integers in their range."""
    generator = np.random.default_rng(side)
    taps = generator.random((side,) * ndim)
    return (taps / taps.sum()).astype(np.result_type(image.dtype, "float32"))


def random_array(shape, dtype="float64", seed=0):
    """Return normal values, or for integers -20 to 20."""
    generator = np.random.default_rng([seed, *np.atleast_1d(shape)])
    dtype = np.dtype(dtype)
    if dtype.kind in "iu":
        return generator.integers(0 if dtype.kind == "u" else -20, 21, shape).astype(dtype)
    if dtype.kind == "c":
        parts = generator.standard_normal((2, *np.atleast_1d(shape)))
        return (parts[0] + 1j * parts[1]).astype(dtype)
    if dtype.char in "fd":  # made in place: a wider copy would be the peak of a peakmem benchmark
        return generator.standard_normal(shape, dtype)
    return generator.standard_normal(shape).astype(dtype)
