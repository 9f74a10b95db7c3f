"""fastconv.ndimage against scipy.ndimage: values, dtypes, outputs, errors, and where ours is right.

Integer outputs are SciPy's bit for bit.  Float outputs lie within a bound that is made of eps, the
number of taps and the sum of their absolute products, which SciPy gives us in float64.
"""

import inspect
import math
import os
import warnings

import numpy as np
import pytest
from arrays import LAYOUTS, NATIVE_LAYOUTS, Guarded, laid_out
from oracle import C_DIRECT, assert_within, epsilon, fft_bound, magnitude, random_array

import fastconv
import fastconv.ndimage as fi

ndimage = pytest.importorskip("scipy.ndimage", reason="SciPy, whose contract this is")
hypothesis = pytest.importorskip("hypothesis", reason="Hypothesis, which finds the examples")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from hypothesis.extra import numpy as hnp  # noqa: E402

MODES = ("reflect", "constant", "nearest", "mirror", "wrap")
SYNONYMS = {"grid-mirror": "reflect", "grid-constant": "constant", "grid-wrap": "wrap"}
DTYPES = "?bBhHiIqQfdFD"
MANY_TAPS = 60  # from here on an FFT may be chosen


def difference(image, axis, output, mode, cval):
    """A derivative for the generic filters to call."""
    return ndimage.correlate1d(image, [-1, 2, 1], axis, output, mode, cval)


KERNEL = np.array([[1, 2, 0, 3], [4, -1, 2, 1], [0, 1, 1, -2]])
CALLS = {  # arguments for a 2-D image
    "correlate": {"weights": KERNEL},
    "convolve": {"weights": KERNEL},
    "correlate1d": {"weights": [1, -2, 0, 3]},
    "convolve1d": {"weights": [1, -2, 0, 3]},
    "uniform_filter": {"size": (2, 3)},
    "uniform_filter1d": {"size": 4},
    "gaussian_filter": {"sigma": (1, 0.7)},
    "gaussian_filter1d": {"sigma": 1.2, "order": 1},
    "prewitt": {},
    "sobel": {"axis": 0},
    "laplace": {},
    "gaussian_laplace": {"sigma": 1},
    "gaussian_gradient_magnitude": {"sigma": 1},
    "generic_laplace": {"derivative2": difference},
    "generic_gradient_magnitude": {"derivative": difference},
}
SUMS = tuple(name for name in CALLS if name.endswith(("laplace", "magnitude")))
DIFFERENCES = ("prewitt", "sobel", *SUMS)
SIGNATURES = {name: inspect.signature(getattr(ndimage, name)) for name in CALLS}
WITH_AXES = [name for name in CALLS if "axes" in SIGNATURES[name].parameters]
every_function = pytest.mark.parametrize("name", CALLS)


# Comparisons --------------------------------------------------------------------------------------


def call(module, name, x, **kwargs):
    return getattr(module, name)(x, **{**CALLS[name], **kwargs})


def outcome(module, name, x, **kwargs):
    """(the result or the error, the warnings)."""
    with warnings.catch_warnings(record=True) as warned, np.errstate(all="ignore"):
        warnings.simplefilter("always")
        try:
            result = call(module, name, x, **kwargs)
        except Exception as error:
            result = error
    return result, [warning.category for warning in warned]


def rounding(name, x, dtype, **kwargs):
    """C eps sqrt(taps) sum |taps| max |x|, by SciPy's answer to an impulse."""
    impulse = np.zeros((41, 41))
    impulse[20, 20] = 1
    own = {key: value for key, value in kwargs.items() if key in ("sigma", "weights", "size")}
    taps = np.abs(call(ndimage, name, impulse, **own))
    largest = max(float(magnitude(x).max(initial=0)), abs(kwargs.get("cval", 0)))
    return C_DIRECT * epsilon(dtype) * math.sqrt(np.count_nonzero(taps)) * taps.sum() * largest


def same(result, expected, name, x, label="", **kwargs):
    """Equal in type, dtype, byte order and shape, and in value within the rounding."""
    assert type(result) is np.ndarray
    assert result.dtype == expected.dtype, label
    if expected.dtype.kind == "b":  # SciPy leaves bytes other than 0 and 1 in bool arrays
        result, expected = result.view(np.uint8), expected.view(np.uint8) != 0
    native = result.dtype.newbyteorder("=")
    bound = rounding(name, x, native, **kwargs) if native.kind in "fc" else 0
    assert_within(result.astype(native), expected.astype(native), bound, native, label)


def same_outcome(name, x, label="", **kwargs):
    """What SciPy does: its result with its warnings, or an error of its type."""
    result, warned = outcome(fi, name, x, **kwargs)
    expected, due = outcome(ndimage, name, x, **kwargs)
    if isinstance(expected, Exception):
        assert isinstance(result, type(expected)), f"{label}: {result!r} for {expected!r}"
        return
    assert not isinstance(result, Exception), f"{label}: {result!r}"
    assert warned == due, label
    kwargs.pop("output", None)
    same(result, expected, name, x, label, **kwargs)


def dense_bound(x, w, dtype, **kwargs):
    total = ndimage.correlate(magnitude(x), magnitude(w), **kwargs)
    bound = C_DIRECT * epsilon(dtype) * math.sqrt(w.size) * total
    return bound + fft_bound(x, w, dtype, reach=2) if w.size >= MANY_TAPS else bound


def agrees_with_scipy(name, x, w, label="", **kwargs):
    """`correlate` or `convolve` of one kernel by both."""
    result, expected = (call(module, name, x, weights=w, **kwargs) for module in (fi, ndimage))
    flat = w if name == "correlate" else np.flip(w)
    centre = {"origin": [-((n + 1) % 2) for n in w.shape]} if name == "convolve" else {}
    dtype = expected.dtype
    bound = dense_bound(x, flat, dtype, **kwargs, **centre) if dtype.kind in "fc" else 0
    assert_within(result, expected, bound, dtype, label)


# Worked by hand -----------------------------------------------------------------------------------

RAMP = [1, 2, 3]
FAR = [1, 0, 0, 0, 0, 0, 0, 0, 0]  # four places before the output


@pytest.mark.parametrize(
    ("name", "x", "kwargs", "expected"),
    [
        ("correlate", [2, 8, 0, 4, 1, 9], {"weights": [1, 3]}, [8, 26, 8, 12, 7, 28]),
        ("convolve", [2, 8, 0, 4, 1, 9], {"weights": [1, 3]}, [14, 24, 4, 13, 12, 36]),
        ("correlate", RAMP, {"weights": [1, 0, 0]}, [1, 1, 2]),
        ("correlate", RAMP, {"weights": [1, 0, 0], "origin": -1}, [1, 2, 3]),
        ("convolve", RAMP, {"weights": [1, 0, 0], "origin": -1}, [1, 2, 3]),
        ("correlate1d", RAMP, {"weights": FAR, "mode": "reflect"}, [3, 3, 2]),
        ("correlate1d", RAMP, {"weights": FAR, "mode": "mirror"}, [1, 2, 3]),
        ("correlate", RAMP, {"weights": FAR, "mode": "wrap"}, [3, 1, 2]),
        ("correlate", RAMP, {"weights": FAR, "mode": "nearest"}, [1, 1, 1]),
        ("correlate", RAMP, {"weights": FAR, "mode": "constant", "cval": 7}, [7, 7, 7]),
        ("correlate1d", RAMP, {"weights": [-0.9]}, [0, -1, -2]),
        ("correlate", np.uint8([200, 100, 2]), {"weights": [2.5]}, np.uint8([244, 250, 5])),
        ("correlate", np.uint8([2, 0, 1]), {"weights": [-2.5]}, np.uint8([251, 0, 254])),
        ("correlate", RAMP, {"weights": [1j]}, [-1j, -2j, -3j]),
        ("convolve1d", RAMP, {"weights": [1j]}, [1j, 2j, 3j]),
        ("uniform_filter", [0, 3, 6, 9], {"size": 3}, [1, 3, 6, 8]),
        ("uniform_filter1d", [0, 3, 6, 9], {"size": 2}, [0, 1, 4, 7]),
        ("prewitt", [[1, 2, 4], [1, 2, 4]], {}, [[3, 9, 6], [3, 9, 6]]),
        ("sobel", [[1, 2, 4], [1, 2, 4]], {"axis": 1}, [[4, 12, 8], [4, 12, 8]]),
        ("laplace", [[0, 0, 0], [0, 1, 0], [0, 0, 0]], {}, [[0, 1, 0], [1, -4, 1], [0, 1, 0]]),
        ("gaussian_filter", [0, 8, 0], {"sigma": 1, "radius": 0}, [0, 8, 0]),
    ],
)
def test_worked_by_hand(name, x, kwargs, expected):
    result, expected = call(fi, name, x, **{"mode": "reflect", **kwargs}), np.asarray(expected)
    assert result.dtype == expected.dtype
    np.testing.assert_array_equal(result, expected)


@every_function
def test_signatures_are_scipys(name):
    ours, theirs = inspect.signature(getattr(fi, name)), SIGNATURES[name]
    listed = [[(p.name, p.kind, p.default) for p in s.parameters.values()] for s in (ours, theirs)]
    ours = inspect.Parameter("accuracy", inspect.Parameter.KEYWORD_ONLY, default="default")
    assert [p for p in listed[0] if p != (ours.name, ours.kind, ours.default)] == listed[1]


# dtypes and outputs -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@every_function
def test_every_dtype(name, dtype, rng):
    """What is negative between two passes has no place in bool, nor in uint64 as in float64."""
    own = {"output": float} if dtype in "?Q" and name in DIFFERENCES else {}
    x = random_array(rng, (6, 7), dtype, small=True)
    for mode in MODES:
        same_outcome(name, x, mode=mode, cval=2, **own)


@pytest.mark.parametrize("weights", DTYPES + "eg")
@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes_of_weights(dtype, weights, rng):
    x = random_array(rng, (6, 7), dtype, small=True)
    w = np.abs(random_array(rng, (3, 2), weights, small=True)).astype(weights)
    for name in ("correlate", "convolve"):
        same_outcome(name, x, weights=w)
        same_outcome(f"{name}1d", x, weights=w[:, 0])


OUTPUTS = (
    *(None, "f4", "float32", ">f4", "int16", "uint8", "?", "bool", "complex64", "f2", "O", "bogus"),
    *(int, float, complex, bool, object, np.float32, np.uint16, np.complex64, np.float16, np.bool_),
    *(np.dtype(">f8"), np.dtype("c16"), np.dtype("g"), np.dtype("M8[s]"), np.number),
)


@pytest.mark.parametrize("output", OUTPUTS, ids=str)
@pytest.mark.parametrize("dtype", "hfdFD")
@every_function
def test_output_by_dtype(name, dtype, output, rng):
    """Types with a warning where a complex result is due, strings with an error: SciPy's rules."""
    x = random_array(rng, (6, 7), dtype, small=True)
    if output in (bool, np.bool_):  # between two passes there is room for 0 and 1 only
        x = (x.real > 0).astype(dtype)
    if output not in (bool, np.bool_) or name not in DIFFERENCES:
        same_outcome(name, x, output=output)


@pytest.mark.parametrize("layout", [*NATIVE_LAYOUTS, "swapped"])
@pytest.mark.parametrize("dtypes", ["ff", "hh", "dB", "Bf", "fd", "DD", "FD"])
@every_function
def test_output_by_array(name, dtypes, layout, rng):
    """It is returned itself, and nothing is written beside its elements."""
    x, dtype = random_array(rng, (6, 7), dtypes[0], small=True), np.dtype(dtypes[1])
    guard = Guarded(x.shape, dtype.newbyteorder() if layout == "swapped" else dtype, layout)
    assert call(fi, name, x, output=guard.array) is guard.array
    same(guard.take().astype(dtype), call(ndimage, name, x, output=dtype), name, x)


@pytest.mark.cpu_only("CuPy's arrays have no subclasses of ours")
@every_function
def test_output_by_sequence_or_subclass(name, rng):
    """What becomes an array is one; the values go into its memory."""

    class Sub(np.ndarray):
        pass

    x = random_array(rng, (2, 3), "d")
    expected = call(ndimage, name, x)
    same(call(fi, name, x, output=[[0.0] * 3] * 2), expected, name, x)
    output = np.zeros((2, 3)).view(Sub)
    same(call(fi, name, x, output=output), expected, name, x)
    same(np.asarray(output), expected, name, x)


def overlapping(rng, shape, dtype):
    """(an input, an output): views of one memory, in awkward ways."""
    size = math.prod(shape)
    for build in (
        lambda a: (a[:size].reshape(shape), a[:size].reshape(shape)),
        lambda a: (a[:size].reshape(shape), a[5 : size + 5].reshape(shape)),
        lambda a: (a[5 : size + 5].reshape(shape), a[:size].reshape(shape)),
        lambda a: (a[:size].reshape(shape), a[:size].reshape(shape[::-1]).T),
        lambda a: (a[:size].reshape(shape), np.flip(a[:size].reshape(shape))),
    ):
        yield build(random_array(rng, size + 5, dtype, small=True))


@pytest.mark.parametrize("shape", [(6, 7), (200, 310)])
@pytest.mark.parametrize("dtype", "hfD")
@every_function
def test_an_output_that_overlaps_the_input(name, dtype, shape, rng):
    """As if the input were a copy, also where SciPy reads what it has written already."""
    for x, output in overlapping(rng, shape, dtype):
        copy = x.copy()
        expected = call(fi, name, copy)
        assert call(fi, name, x, output=output) is output
        same(np.ascontiguousarray(output), expected, name, copy)


@pytest.mark.parametrize("name", ["correlate", "convolve", "correlate1d", "convolve1d"])
def test_complex_weights_in_place(name, rng):
    """SciPy overwrites the real parts before it needs them again."""
    x, w = random_array(rng, (6, 7), "D"), random_array(rng, (3, 3), "D")
    w = w[0] if name.endswith("1d") else w
    expected = call(ndimage, name, x, weights=w)
    call(fi, name, x, weights=w, output=x)
    same(x, expected, name, expected, weights=np.abs(w))


# Errors -------------------------------------------------------------------------------------------

BAD = {
    "mode": ("bogus", "", "Reflect", None, 1, b"wrap", [], ["wrap"] * 3, ["wrap", "bogus"]),
    "cval": (1j, "a", None, [1.0, 2.0]),
    "output": (np.zeros(7), np.zeros((7, 6)), np.zeros((6, 7, 1)), 3, "S4", "m8[s]", np.integer),
    "axes": ((0.0,), 1.5, "a", (0, 0), (0, -2), (2,), (-3,), object(), ("a",)),
    "axis": (2, -3, 1.0, None, "a", (0,)),
    "origin": (3, -3, (0, 9), [0, 0, 0], [], 0.0, None, "a", [0.0, 0.0]),
    "weights": (
        *([], 1.0, [[]], "a", ["a"], None, [1, [2]], np.ones((2, 2, 2)), object()),
        *(np.ones((0, 3)), np.ones((3, 0)), np.zeros(0)),
    ),
    "size": (None, "a", 0, -1, [3], [3, 3, 3], 2.5, np.float64(3)),
    "sigma": (None, "a", 1j, 0, -1, np.nan, np.inf, [1], [1, 1, 1], [], 1e-200),
    "order": (-1, 1.5, None, "a", [1], [0, 0, 0], [0, -1]),
    "radius": (-1, 1.5, 1.0, "a", [1], [1, 1, 1], [1, -1]),
    "truncate": (None, "a", [1], np.nan, np.inf, -1.0),
    "extra_arguments": (3,),
    "extra_keywords": (3, [1]),
    "derivative": (None, 3),
    "derivative2": (None, 3),
    "bogus": (1,),
}
BAD_INPUTS = (
    *(np.ones((6, 7), "e"), np.ones((6, 7), "g"), np.ones((6, 7), "G"), np.ones((6, 7), object)),
    *(np.full((6, 7), "a"), np.zeros((6, 7), "M8[s]"), np.zeros((6, 7), "i4,i4"), [[1], [1, 2]]),
)


@pytest.mark.parametrize("argument", BAD)
@every_function
def test_bad_arguments_raise_what_scipy_raises(name, argument):
    """Whatever SciPy takes all the same has its result; 0-d weights it indexes are left out."""
    x = np.arange(42.0).reshape(6, 7)
    for value in BAD[argument]:
        if name == "convolve1d" and argument == "weights" and np.ndim(np.array(value, object)) == 0:
            continue
        same_outcome(name, x, f"{argument}={value!r}", **{argument: value})


@every_function
def test_bad_inputs_raise_what_scipy_raises(name):
    for x in BAD_INPUTS:
        same_outcome(name, x, repr(x))
    for output in (laid_out(np.zeros((6, 7)), "readonly"), np.zeros((6, 7), "D"), np.zeros(7, "O")):
        same_outcome(name, np.ones((6, 7)), repr(output), output=output)
    same_outcome(name, np.ones((6, 7), "D"), output=np.zeros((6, 7)))


def test_messages():
    x = np.ones((4, 5))
    with pytest.raises(RuntimeError, match="mode"):
        fi.correlate(x, KERNEL, mode="bogus")
    with pytest.raises(RuntimeError, match=r"weights.ndim \(1\) must match len\(axes\) \(2\)"):
        fi.convolve(x, [1.0])
    with pytest.raises(RuntimeError, match="sequence of modes"):
        fi.correlate(x, KERNEL, mode=["wrap", "wrap"])
    with pytest.raises(ValueError, match=r"(?i)invalid origin"):
        fi.correlate1d(x, [1, 2, 3], origin=2)
    with pytest.raises(ValueError, match="complex-valued cval"):
        fi.correlate(x, KERNEL * 1j, cval=1j)
    with pytest.raises(np.exceptions.AxisError):
        fi.sobel(x, axis=2)


# Shapes, layouts, modes ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "x", [3.5, np.array(2), np.array(2j), [], np.ones((0, 3)), np.ones((3, 0))]
)
@every_function
def test_0d_and_empty(name, x):
    own = {"sigma": 1} if "gaussian" in name else {"size": 3} if "uniform" in name else {}
    if name in ("correlate", "convolve"):
        own = {"weights": np.full((3,) * np.ndim(x), 2)}
    for mode in MODES:
        result, expected = (outcome(m, name, x, mode=mode, **own)[0] for m in (fi, ndimage))
        if isinstance(expected, Exception):
            assert isinstance(result, type(expected)), f"{result!r} for {expected!r}"
        else:
            assert result.dtype == expected.dtype
            np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("layout", LAYOUTS)
@every_function
def test_layouts_and_inputs_kept(name, layout, rng):
    for dtype in "hfD":
        x = random_array(rng, (9, 12), dtype, small=True)
        own = dict(CALLS[name])
        if "weights" in own:
            own["weights"] = laid_out(np.array(own["weights"], float), layout)
        view = laid_out(x, layout)
        result = call(fi, name, view, **own)
        same(result, call(fi, name, x), name, x, layout)
        assert result.dtype.isnative
        assert not np.shares_memory(result, view)
        np.testing.assert_array_equal(view, x)
        if "weights" in own:
            np.testing.assert_array_equal(own["weights"], CALLS[name]["weights"])


@every_function
def test_subclasses_and_lists_become_plain(name):
    x = np.arange(12.0).reshape(3, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        views = [np.matrix(x), np.ma.array(x, mask=x > 5), x.tolist()]
    for view in views:
        same(call(fi, name, view), call(ndimage, name, x), name, x)


@pytest.mark.parametrize("synonym", SYNONYMS)
@every_function
def test_synonyms_of_modes(name, synonym, rng):
    x = random_array(rng, (3, 4), "d")
    result, expected = (call(fi, name, x, mode=m, cval=2) for m in (synonym, SYNONYMS[synonym]))
    np.testing.assert_array_equal(result, expected)


@every_function
def test_a_sequence_of_modes(name, rng):
    x = rng.integers(0, 200, (6, 7)).astype(np.int32)
    for modes in (["wrap", "nearest"], ("mirror", "grid-constant")):
        same_outcome(name, x, mode=modes, cval=3)


@pytest.mark.parametrize("name", WITH_AXES)
@pytest.mark.parametrize(
    "axes", [(0,), (-1,), (0, 2), (2, 0), [1, -3], (), 1, np.array([0, 1]), range(3), (2, 1, 0)]
)
def test_axes(name, axes, rng):
    x = rng.integers(0, 200, (5, 6, 7)).astype(np.int32)
    own = {"sigma": 1.2} if "gaussian" in name else {}
    if name == "uniform_filter":
        own = {"size": (3, 2, 4)[: np.size(axes)]}
    if name in ("correlate", "convolve"):
        own = {"weights": rng.integers(-3, 4, (3, 5, 4)[: np.size(axes)])}
    result, expected = (call(module, name, x, axes=axes, **own) for module in (fi, ndimage))
    np.testing.assert_array_equal(result, expected)


def test_weights_go_with_the_sorted_axes_and_what_is_per_axis_with_the_axes_as_given(rng):
    """So the documentation has it; SciPy forgets the order of axes that are all there."""
    x, w = rng.integers(0, 200, (6, 7, 3)).astype(np.int32), rng.integers(-3, 4, (5, 3))
    expected = ndimage.correlate(x, w[..., None], origin=(-2, 1, 0))
    np.testing.assert_array_equal(fi.correlate(x, w, axes=(1, 0), origin=(1, -2)), expected)
    plane = np.ascontiguousarray(x[..., 0])
    result = fi.correlate(plane, w, axes=(1, 0), origin=(1, -2))
    np.testing.assert_array_equal(result, expected[..., 0])
    expected = ndimage.gaussian_laplace(plane, (2.5, 1))
    np.testing.assert_array_equal(fi.gaussian_laplace(plane, (1, 2.5), axes=(1, 0)), expected)


@pytest.mark.parametrize("name", ["generic_laplace", "generic_gradient_magnitude"])
def test_what_the_generic_filters_call(name):
    """Once an axis: into the output first, then for an array of its dtype."""
    x, calls = np.arange(12.0).reshape(3, 4), {}
    for module in (fi, ndimage):

        def derivative(image, axis, output, mode, cval, *args, module=module, **kwargs):
            into = output.dtype if isinstance(output, np.ndarray) else output
            kind = type(output).__name__
            calls.setdefault(module, []).append((axis, kind, into, mode, cval, args, kwargs))
            return difference(image, axis, output, mode, cval)

        func, extra = getattr(module, name), {"extra_arguments": (1, 2), "extra_keywords": {"k": 3}}
        func(x, derivative, np.float32, ["wrap", "nearest"], 5, **extra)
        func(x, derivative, None, "mirror", axes=(-1,))
    assert calls[fi] == calls[ndimage]
    assert len(calls[fi]) == 3


def test_a_generic_derivative_must_fill_its_first_output():
    """What it returns there is not looked at; a new output is all zeros before."""
    x = np.ones((3, 4))
    for module in (fi, ndimage):
        dirty = [np.full(x.shape, 7.0) for _ in range(20)]
        del dirty  # memory that is at hand for an output
        result = module.generic_laplace(x, lambda image, *_: 2 * image)
        np.testing.assert_array_equal(result, 2 * x)


# Images of real sizes -----------------------------------------------------------------------------


def kernels(rng, shape):
    """Random taps, a box whose sums fall on whole numbers, and a smooth product."""
    yield rng.standard_normal(shape)
    yield np.full(shape, 1 / math.prod(shape))
    yield np.outer(np.hanning(shape[0] + 2)[1:-1], np.hanning(shape[1] + 2)[1:-1])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", "fdBH")
@pytest.mark.parametrize("shape", [(3, 3), (5, 4), (1, 9), (9, 9), (15, 15)])
def test_large_images(shape, dtype, mode, rng):
    x = random_array(rng, (300, 500), dtype)
    for name, w in zip(("correlate", "convolve", "correlate"), kernels(rng, shape), strict=True):
        agrees_with_scipy(name, x, w, mode=mode, cval=3)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", "fdB")
def test_large_kernels(dtype, mode, rng):
    """For floats by an FFT, if that is faster; integers keep SciPy's bits."""
    x = random_array(rng, (300, 500), dtype)
    (w, *_) = kernels(rng, (41, 41))
    agrees_with_scipy("correlate", x, w, mode=mode, cval=3)


@pytest.mark.parametrize("dtype", "BHbhd")
def test_float32_of_large_images(dtype, rng):
    """Narrow integers are summed in float32, float64 is rounded to it at the end."""
    x = random_array(rng, (300, 500), dtype)
    for shape in ((3, 3), (7, 7)):
        agrees_with_scipy("correlate", x, rng.standard_normal(shape), output=np.float32)


@pytest.mark.parametrize("dtype", "fB")
def test_colour_images(dtype, rng):
    """Channels are filtered apart, as if each were an image of its own."""
    x = random_array(rng, (60, 80, 3), dtype)
    w = rng.standard_normal((5, 7))
    calls = {
        "correlate": {"weights": w},
        "convolve": {"weights": w},
        "uniform_filter": {"size": (3, 6)},
        "gaussian_filter": {"sigma": (1.5, 3)},
        "laplace": {},
    }
    for name, own in calls.items():
        for mode in MODES:
            result = call(fi, name, x, axes=(0, 1), mode=mode, **own)
            channels = [call(ndimage, name, x[..., k], mode=mode, **own) for k in range(3)]
            same(result, np.stack(channels, -1), name, x, **own)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", "fBh")
@pytest.mark.parametrize("size", [3, 5, 7])
def test_volumes(size, dtype, mode, rng):
    x = random_array(rng, (20, 28, 33), dtype)
    agrees_with_scipy("correlate", x, rng.standard_normal((size,) * 3), mode=mode, cval=3)
    agrees_with_scipy("convolve", x, np.full((size, size, 2), 1 / size**2), mode=mode, cval=3)


@pytest.mark.parametrize("mode", ["reflect", "nearest", "mirror", "wrap"])
@pytest.mark.parametrize("dtype", "fd")
def test_a_dense_gaussian_is_gaussian_filter(dtype, mode, rng):
    x = random_array(rng, (90, 110), dtype)
    for sigma in (0.8, 2, 5):
        radius = int(4 * sigma + 0.5)
        impulse = np.zeros(2 * radius + 1)
        impulse[radius] = 1
        taps = fi.gaussian_filter1d(impulse, sigma, mode="constant")
        w = np.outer(taps, taps)
        bound = 3 * dense_bound(x, w, dtype, mode=mode)
        result = fi.correlate(x, w, mode=mode)
        assert_within(result, fi.gaussian_filter(x, sigma, mode=mode), bound, np.dtype(dtype))


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("dtype", "fdBhD")
@every_function
def test_threads_change_no_bit(name, dtype, count, rng):
    x = random_array(rng, (211, 503), dtype, small=True)
    own = [{}]
    if name in ("correlate", "convolve"):
        own += [{"weights": rng.standard_normal(shape)} for shape in ((9, 9), (41, 41))]
    if name in ("correlate1d", "gaussian_filter1d"):
        own += [{"axis": 0}]
    for kwargs in own:
        with fastconv.num_threads(1):
            expected = call(fi, name, x, **kwargs)
        with fastconv.num_threads(count):
            np.testing.assert_array_equal(call(fi, name, x, **kwargs), expected)


# Where SciPy is wrong, and non-finite values ------------------------------------------------------


def finite_where(result, clean, bad, bound):
    """Non-finite at `bad` and nowhere else; there as if nothing had been wrong."""
    np.testing.assert_array_equal(~np.isfinite(result), bad)
    assert_within(np.where(bad, 0, result), np.where(bad, 0, clean), bound)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("shape", [(3, 4), (41, 41)])
@pytest.mark.parametrize("dtype", "fd")
def test_a_bad_element_spoils_the_windows_that_hold_it(dtype, shape, value, rng):
    """And of those only the ones with a tap on it that is not zero, whatever the method."""
    clean, w = random_array(rng, (150, 170), dtype), rng.standard_normal(shape)
    w[rng.random(shape) < 0.4] = 0
    x = clean.copy()
    x[5, 60] = x[100, 168] = value
    for mode in MODES:
        taps = (w != 0).astype(float)
        bad = ndimage.correlate((~np.isfinite(x)).astype(float), taps, mode=mode) > 0
        bound = dense_bound(clean, w, dtype, mode=mode)
        clean_result = fi.correlate(clean, w, mode=mode)
        with np.errstate(invalid="ignore"):
            finite_where(fi.correlate(x, w, mode=mode), clean_result, bad, 2 * bound)


@pytest.mark.parametrize("size", [1, 2, 3, 40])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_uniform_windows_forget(value, size, rng):
    """SciPy's running sum does not: a NaN or Inf stays in it to the end of the line."""
    clean = rng.standard_normal((3, 120))
    x = clean.copy()
    x[1, 50] = value
    for name, window, reach in (("uniform_filter1d", size, 0), ("uniform_filter", (2, size), 1)):
        bad = np.zeros(x.shape, bool)
        bad[1 : 2 + reach, 50 - (size - 1) // 2 : 51 + size // 2] = True
        bound = 2 * rounding(name, clean, "d", size=window)
        finite_where(call(fi, name, x, size=window), call(fi, name, clean, size=window), bad, bound)


def test_uniform_windows_do_not_drift():
    x = np.ones(60)
    x[10] = 1e17
    result = fi.uniform_filter1d(x, 3)
    np.testing.assert_allclose(result[12:], 1, rtol=4 * epsilon("d"), atol=0)
    np.testing.assert_array_equal(fi.uniform_filter1d(x, 1), x)


@pytest.mark.parametrize("axis", [0, 1])
def test_zero_taps_along_an_axis_meet_nan(axis):
    """NaN times zero in `correlate1d` and what is made of it, not in `correlate`."""
    x = np.ones((7, 7))
    x[3, 3] = np.nan
    line, dense = np.zeros((7, 7), bool), np.zeros((7, 7), bool)
    line[(slice(2, 5), 3) if axis == 0 else (3, slice(2, 5))] = True
    dense[(2, 3) if axis == 0 else (3, 2)] = True
    np.testing.assert_array_equal(np.isnan(fi.correlate1d(x, [0, 0, 1], axis)), line)
    np.testing.assert_array_equal(np.isnan(fi.correlate(x, [0, 0, 1], axes=(axis,))), dense)


@pytest.mark.parametrize("name", ["correlate1d", "gaussian_filter", "prewitt", "sobel", "laplace"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_one_bad_element_as_in_scipy(name, value, rng):
    x = rng.standard_normal((12, 13))
    x[4, 7] = value
    with np.errstate(invalid="ignore"):
        result, expected = (call(module, name, x) for module in (fi, ndimage))
    np.testing.assert_array_equal(np.isnan(result), np.isnan(expected))
    np.testing.assert_array_equal(np.isposinf(result), np.isposinf(expected))


def test_taps_that_are_small_or_nan_count():
    """SciPy's `correlate` drops taps up to 2.2e-16, and NaN."""
    np.testing.assert_allclose(fi.correlate([0, 1e20, 0], [0, 1e-16, 1.0])[:2], [1e20, 1e4])
    assert np.isnan(fi.correlate([1.0, 2, 3], [0, np.nan, 1])).all()
    np.testing.assert_allclose(fi.convolve([1e10, 1e10], [1e-20] * 3), 3e-10)


def test_a_nan_as_cval_stays_at_the_edge():
    for name, own in (("correlate", {"weights": [1, 1, 0]}), ("uniform_filter1d", {"size": 2})):
        result = call(fi, name, np.ones(5), mode="constant", cval=np.nan, **own)
        np.testing.assert_array_equal(np.isnan(result), [True, False, False, False, False])


@pytest.mark.parametrize("name", ["correlate", "convolve"])
def test_reflection_of_windows_far_beyond_the_image(name, rng):
    """SciPy reads outside the image where a window reaches four lengths beyond an edge."""
    for length in (1, 2, 3):
        x = random_array(rng, length, "q", small=True)
        w = rng.integers(-9, 9, 40)
        for origin in (-19, 0, 19):
            expected = call(ndimage, f"{name}1d", x, weights=w, origin=origin)
            np.testing.assert_array_equal(call(fi, name, x, weights=w, origin=origin), expected)


def test_complex64_into_complex128_is_summed_in_float64(rng):
    """SciPy rounds two of the four real sums to float32."""
    x, w = random_array(rng, (9, 8), "F"), random_array(rng, (3, 3), "D")
    result, expected = fi.correlate(x, w, output=complex), ndimage.correlate(x.astype("D"), w)
    assert_within(result, expected, 4 * dense_bound(x, w, "D"), np.complex128)


# Properties ---------------------------------------------------------------------------------------

examples = settings(deadline=None, max_examples=60, derandomize=bool(os.environ.get("CI")))
lengths = st.integers(1, 9)


def integers(*shape):
    """int64 of a shape that is given by strategies."""
    return hnp.arrays(np.int64, st.tuples(*shape), elements=st.integers(-50, 50))


@st.composite
def problems(draw, images=1):
    """Images of one shape, a kernel and an origin that both filters allow."""
    x = draw(integers(st.just(images), lengths, lengths))
    w = draw(integers(lengths, lengths))
    origin = [draw(st.integers(-((n - 1) // 2), (n - 1) // 2)) for n in w.shape]
    return *x, w, origin


@given(problems(images=2), st.sampled_from(MODES))
@examples
def test_linear(problem, mode):
    a, b, w, origin = problem
    parts = [fi.correlate(x, w, mode=mode, origin=origin) for x in (a, b, 2 * a - 3 * b)]
    np.testing.assert_array_equal(parts[2], 2 * parts[0] - 3 * parts[1])


@given(problems(), st.integers(-9, 9), st.integers(-9, 9))
@examples
def test_wrap_commutes_with_shifts(problem, down, right):
    x, w, origin = problem
    shift = {"shift": (down, right), "axis": (0, 1)}
    for name in CALLS:
        own = {"mode": "wrap"}
        own |= {"weights": w, "origin": origin} if name in ("correlate", "convolve") else {}
        shifted = call(fi, name, np.roll(x, **shift), **own)
        np.testing.assert_array_equal(shifted, np.roll(call(fi, name, x, **own), **shift))


@given(integers(lengths, lengths), integers(lengths), integers(lengths), st.sampled_from(MODES))
@examples
def test_a_product_of_kernels_is_two_passes(x, u, v, mode):
    passes = fi.correlate1d(fi.correlate1d(x, u, 0, mode=mode), v, 1, mode=mode)
    np.testing.assert_array_equal(fi.correlate(x, np.outer(u, v), mode=mode), passes)


@given(problems(), st.sampled_from(MODES))
@examples
def test_convolution_is_correlation_with_the_flipped_kernel(problem, mode):
    x, w, origin = problem
    flipped = [-o - (n + 1) % 2 for o, n in zip(origin, w.shape, strict=True)]
    correlation = fi.correlate(x, np.flip(w), mode=mode, origin=flipped)
    np.testing.assert_array_equal(fi.convolve(x, w, mode=mode, origin=origin), correlation)


@given(problems(images=2))
@examples
def test_wrap_makes_the_two_adjoint(problem):
    x, y, w, origin = problem
    correlation = fi.correlate(x, w, mode="wrap", origin=origin)
    convolution = fi.convolve(y, w, mode="wrap", origin=origin)
    assert (correlation * y).sum() == (x * convolution).sum()
