"""What the suites share: the libraries that they compare, and arrays to give them."""

import importlib
import os
import time
from functools import lru_cache, partial
from operator import attrgetter

import numpy as np

IMPLEMENTATIONS = ["fastconv", "scipy", "numpy"]
_HOMES = {
    "fastconv": "fastconv",
    "scipy": "scipy.signal",
    "numpy": "numpy",
    "cupyx": "cupyx.scipy.signal",
}

FILTER_LIBRARIES = ["fastconv", "scipy", "opencv"]
_FILTER_HOMES = {
    "fastconv": "fastconv.ndimage",
    "scipy": "scipy.ndimage",
    "opencv": "cv2",
    "cupyx": "cupyx.scipy.ndimage",
}
LAYER_LIBRARIES = ["fastconv", "torch", "onnxruntime"]
# Which cores a process may use: Linux tells.
_affinity = getattr(os, "sched_getaffinity", None)
# What time is taken by, as each suite's `timer`. A process that may use one core, as by asv's
# --cpu-affinity, takes as long as that works for it, whatever else the machine has to do.
CLOCK = time.process_time if _affinity and len(_affinity(0)) == 1 else time.perf_counter
SCIPY_PRODUCTS = 2.5e9  # scipy.ndimage.correlate needs about a nanosecond for each


def find_own(name):
    """Return what fastconv has under a name such as "plan" or "nn.conv2d".

    NotImplementedError makes asv leave the point out: the commit is older than the name.
    """
    try:
        return attrgetter(name)(importlib.import_module("fastconv"))
    except AttributeError:
        raise NotImplementedError(f"this commit of fastconv has no {name}") from None


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

    NotImplementedError makes asv leave the point out: the library is not installed (a commit of
    fastconv may be older than its ndimage), has no such filter, or would take seconds. As for
    `find`, the import stands in here.
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


def layer_arrays(layer, batch):
    """Return x, w, bias and the gradient of the result of a layer, and its numbers."""
    channels, side, outputs, taps, stride, groups, dilation = layer
    padding = dilation * (taps // 2)
    extent = (side + 2 * padding - dilation * (taps - 1) - 1) // stride + 1
    x = random_array((batch, channels, side, side), "float32")
    w = random_array((outputs, channels // groups, taps, taps), "float32")
    grad = random_array((batch, outputs, extent, extent), "float32")
    numbers = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return x, w, random_array((outputs,), "float32"), grad, numbers


def bind_layer(impl, what, x, w, bias, grad, numbers, activation="none"):
    """Return a callable without arguments: `impl`'s layer, forward or one of its gradients.

    NotImplementedError makes asv leave the point out: the library is not installed, or does not
    train. As for `find`, imports stand in here.
    """
    bind = {"torch": _bind_torch, "onnxruntime": _bind_onnxruntime}.get(impl, _bind_fastconv)
    try:
        return bind(what, x, w, bias, grad, numbers, activation, planned=impl.endswith("planned"))
    except ModuleNotFoundError as error:
        raise NotImplementedError(f"{impl} is missing: {error}") from None


def _bind_fastconv(what, x, w, bias, grad, numbers, activation, planned):
    nn = find_own("nn")
    if what == "grad_input":
        return partial(nn.conv2d_grad_input, grad, w, x.shape, **numbers)
    if what == "grad_weight":
        return partial(nn.conv2d_grad_weight, grad, x, w.shape, **numbers)
    numbers = numbers | {"activation": None if activation == "none" else activation}
    if not planned:
        return partial(nn.conv2d, x, w, bias, **numbers)
    plan, spec = find_own("plan"), find_own("Spec")(x.shape, x.dtype)
    layer = plan(nn.conv2d, spec, w, bias, **numbers)
    return partial(layer, x, out=np.empty_like(grad))


def _bind_torch(what, x, w, bias, grad, numbers, activation, planned):
    import torch
    from torch.nn import functional

    x, w, bias, grad = map(torch.from_dlpack, (x, w, bias, grad))  # NumPy's arrays, or CuPy's
    if what != "forward":
        pairs = [[numbers[name]] * 2 for name in ("stride", "padding", "dilation")]
        wanted = [what == "grad_input", what == "grad_weight", False]
        backward = torch.ops.aten.convolution_backward
        arguments = (grad, x, w, None, *pairs, False, [0, 0], numbers["groups"], wanted)
        return partial(backward, *arguments)
    if activation == "none":
        return partial(functional.conv2d, x, w, bias, **numbers)
    activate = getattr(functional, activation, None) or getattr(torch, activation)
    return lambda: activate(functional.conv2d(x, w, bias, **numbers))


def _bind_onnxruntime(what, x, w, bias, grad, numbers, activation, planned):
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    if what != "forward":
        raise NotImplementedError("ONNX Runtime does not train")
    sides = {
        "strides": [numbers["stride"]] * 2,
        "pads": [numbers["padding"]] * 4,
        "dilations": [numbers["dilation"]] * 2,
        "group": numbers["groups"],
    }
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w", "b"], ["y"], **sides)],
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, grad.shape)],
        [numpy_helper.from_array(w, "w"), numpy_helper.from_array(bias, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return partial(session.run, None, {"x": x})


@lru_cache(maxsize=4)  # asv sets up anew before every sample; a large image takes longer to make
def described_array(text):
    """Return the random array that a text such as "1080×1920 uint8" describes."""
    shape, dtype = text.split()
    return random_array(tuple(int(length) for length in shape.split("×")), dtype)


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
