"""accuracy: what results may err by, in every function, and what every method promises."""

import functools
import inspect
import math
import re
import sys

import backend
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layers import Layer, forward, normal
from oracle import correlate_reference, random_array, signal_reference, wide
from shell import run

import fastconv
import fastconv.numpy
from fastconv import Spec, ndimage, nn
from fastconv._methods import METHODS
from fastconv._plan import check_accuracy

PLAIN = {m.NAME for m in METHODS if m.PLAIN}
TRANSFORMS = {"fft", "tilefft", "winograd"}


def difference(input, axis, output, mode, cval):
    return ndimage.correlate1d(input, [-1, 0, 1], axis, output, mode, cval)


# Every function that takes it: (function, shapes of its arrays, further arguments).
FILTERS = {
    "correlate": (ndimage.correlate, [(3, 5)], {}),
    "convolve": (ndimage.convolve, [(4, 3)], {"mode": "wrap"}),
    "correlate1d": (ndimage.correlate1d, [(7,)], {}),
    "convolve1d": (ndimage.convolve1d, [(8,)], {"mode": "nearest", "axis": 0}),
    "gaussian_filter": (ndimage.gaussian_filter, [], {"sigma": 2}),
    "gaussian_filter1d": (ndimage.gaussian_filter1d, [], {"sigma": 3, "order": 1}),
    "uniform_filter": (ndimage.uniform_filter, [], {"size": (5, 8)}),
    "uniform_filter1d": (ndimage.uniform_filter1d, [], {"size": 9}),
    "sobel": (ndimage.sobel, [], {}),
    "prewitt": (ndimage.prewitt, [], {"axis": 0, "mode": ("reflect", "wrap")}),
    "laplace": (ndimage.laplace, [], {"mode": "constant"}),
    "gaussian_laplace": (ndimage.gaussian_laplace, [], {"sigma": 2}),
    "gaussian_gradient_magnitude": (ndimage.gaussian_gradient_magnitude, [], {"sigma": 1.5}),
    "generic_laplace": (ndimage.generic_laplace, [], {"derivative2": ndimage.sobel}),
    "generic_gradient_magnitude": (
        ndimage.generic_gradient_magnitude,
        [],
        {"derivative": ndimage.prewitt},
    ),
}
SIGNALS = {
    "convolve": (fastconv.convolve, [(400,), (90,)], {}),
    "correlate": (fastconv.correlate, [(40, 50), (7, 9)], {"mode": "same"}),
    "fftconvolve": (fastconv.fftconvolve, [(40, 50), (7, 9)], {"mode": "valid"}),
    "oaconvolve": (fastconv.oaconvolve, [(4000,), (90,)], {}),
    "convolve2d": (fastconv.convolve2d, [(40, 50), (7, 9)], {"boundary": "symm"}),
    "correlate2d": (fastconv.correlate2d, [(40, 50), (4, 9)], {"boundary": "wrap"}),
    "sepfir2d": (fastconv.sepfir2d, [(40, 50), (7,), (9,)], {}),
    "numpy.convolve": (fastconv.numpy.convolve, [(400,), (90,)], {}),
    "numpy.correlate": (fastconv.numpy.correlate, [(400,), (90,)], {}),
}
SPACE, KERNEL = (9, 8, 7), (3, 3, 2)


def layers():
    for rank in (1, 2, 3):
        x, w = (2, 6, *SPACE[:rank]), (4, 6, *KERNEL[:rank])
        y = (2, 4, *(n - k + 1 for n, k in zip(SPACE, KERNEL, strict=True)))[: rank + 2]
        yield f"conv{rank}d", [x, w], {}
        yield f"conv_transpose{rank}d", [y, w], {}
        yield f"conv{rank}d_grad_input", [y, w], {"input_shape": x}
        yield f"conv{rank}d_grad_weight", [y, x], {"weight_shape": w}


LAYERS = {name: (getattr(nn, name), shapes, kwargs) for name, shapes, kwargs in layers()}
CALLS = {
    **{f"ndimage.{k}": (f, [(70, 90), *shapes], kw) for k, (f, shapes, kw) in FILTERS.items()},
    **SIGNALS,
    **LAYERS,
    "match_template": (fastconv.match_template, [(60, 70), (9, 8)], {}),
}
PLANNED = [n for n, (f, *_) in CALLS.items() if hasattr(f, "__lower__") and n != "ndimage.prewitt"]
every_function = pytest.mark.parametrize("name", CALLS)


def dtypes_of(name):
    real = name.startswith(("ndimage.uni", "match", "ndimage.gaussian_l", "ndimage.gaussian_g"))
    return "fd" if real or name == "ndimage.laplace" else "fdF"


def arguments(name, rng, dtype):
    """Data of magnitudes from 1e-3 to 1e3, and kernels that cancel."""
    func, shapes, kwargs = CALLS[name]
    data = normal(rng, shapes[0], dtype) * 10.0 ** rng.uniform(-3, 3, shapes[0])
    kernels = [normal(rng, shape, dtype) for shape in shapes[1:]]
    for kernel in kernels:
        kernel -= kernel.mean()
    if name.startswith("ndimage."):
        kernels = [kernel.real.astype("d") for kernel in kernels]
    return func, [data.astype(dtype), *kernels], kwargs


def weights(name, arrays):
    """The norm of the kernel that a function applies."""
    short = name.removeprefix("ndimage.")
    if short == "sepfir2d":
        return float(np.linalg.norm(np.outer(arrays[1], arrays[2])))
    if len(arrays) > 1:
        return float(np.linalg.norm(arrays[1]))
    if short in ("sobel", "prewitt"):
        return math.sqrt(2 * (6 if short == "sobel" else 3))
    return 1.0 if not short.startswith("generic") else 2 * math.sqrt(2 * 6)


def norms(name, arrays):
    """‖x̃‖·‖w‖ over more data than any window holds."""
    reach = 3 if name.startswith(("ndimage.", "convolve2d", "correlate2d", "sepfir2d")) else 1
    return reach * float(np.linalg.norm(arrays[0])) * weights(name, arrays)


def in_long_precision(func, arrays, kwargs):
    """What it gives in double precision, which the contract tests compare with the definition."""
    doubled = [a.astype(np.result_type(a.dtype, "d")) for a in arrays]
    return func(*doubled, **kwargs)


# Every function -----------------------------------------------------------------------------------


def test_every_function_is_here():
    modules = (fastconv.signal, fastconv.ndimage, fastconv.numpy, fastconv.nn, fastconv.template)
    taking = {
        getattr(module, name)
        for module in modules
        for name in module.__all__
        if "accuracy" in inspect.signature(getattr(module, name)).parameters
    }
    assert taking == {func for func, *_ in CALLS.values()}
    for func in taking:
        parameter = inspect.signature(func).parameters["accuracy"]
        assert (parameter.kind, parameter.default) == (parameter.KEYWORD_ONLY, "default")


@pytest.mark.parametrize("accuracy", ["default", "direct", 1e-2, 1e-5, 5e-7])
@every_function
def test_results_are_right(name, accuracy, rng):
    for dtype in dtypes_of(name):
        func, arrays, kwargs = arguments(name, rng, dtype)
        expected = in_long_precision(func, arrays, kwargs)
        result = func(*arrays, **kwargs, accuracy=accuracy)
        assert result.dtype == func(*arrays, **kwargs).dtype
        bound = 1e-5 if isinstance(accuracy, str) else accuracy
        if name == "match_template":  # coefficients, of numerators within the bound
            bound, scale = max(bound, 2e-3), 1.0
        else:
            scale = norms(name, arrays)
        assert np.abs(result - expected).max() <= bound * scale + 1e-13 * scale


@every_function
def test_bounds_below_the_dtype_raise(name, rng):
    func, arrays, kwargs = arguments(name, rng, "f")
    with pytest.raises(ValueError, match="accuracy=1e-12 is more than results of float32 can"):
        func(*arrays, **kwargs, accuracy=1e-12)
    func, arrays, kwargs = arguments(name, rng, "d")
    func(*arrays, **kwargs, accuracy=1e-12)
    with pytest.raises(ValueError, match=r"accuracy=1e-20 is more than results .* may err by"):
        func(*arrays, **kwargs, accuracy=1e-20)


BAD = (None, True, [1e-3], np.ones(2), 1j, np.True_, b"direct")
OUT_OF_RANGE = ("", "Direct", "fft", 0, 0.0, -1e-3, math.nan, math.inf, np.float32("nan"), 10**400)


@every_function
def test_bad_values_are_named(name, rng):
    func, arrays, kwargs = arguments(name, rng, "d")
    for bad in (*BAD, *OUT_OF_RANGE):
        error = TypeError if any(bad is b for b in BAD) else ValueError
        with pytest.raises(error, match=r"accuracy must be 'default', 'direct' or a positive"):
            func(*arrays, **kwargs, accuracy=bad)


def test_values():
    assert check_accuracy("default") is None
    assert check_accuracy("".join(("def", "ault"))) is None  # another object
    assert check_accuracy(np.str_("direct")) == 0
    for bound in (1e-3, np.float32(0.5), np.float64(1e-300), np.longdouble("1e-9"), 2, np.int8(3)):
        assert check_accuracy(bound) == float(bound)
    with pytest.raises(ValueError, match="accuracy"):
        check_accuracy(np.longdouble("1e-4000"))


# What is chosen -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PLANNED)
def test_direct_leaves_plain_sums(name, rng):
    func, arrays, kwargs = arguments(name, rng, "f")
    told = fastconv.explain(func, *arrays, **kwargs, accuracy="direct")
    able = {c.name for c in told.candidates if c.predicted is not None}
    assert told.chosen in able
    assert able <= PLAIN | ({"separable"} if told.problem.lines else set())
    rejected = {c.name: c.reason for c in told.candidates if c.predicted is None}
    assert set(rejected) >= set(backend.able(TRANSFORMS))


@pytest.mark.parametrize("accuracy", [1e-2, 1e-5, 3e-7, 6.1e-8])
@pytest.mark.parametrize("name", PLANNED)
def test_the_bound_is_told_and_met(name, accuracy, rng):
    func, arrays, kwargs = arguments(name, rng, "f")
    told = fastconv.explain(func, *arrays, **kwargs, accuracy=accuracy)
    assert 0 < told.error <= accuracy
    for c in told.candidates:
        assert (c.error is None) == (c.predicted is None)
        assert c.error is None or c.error <= accuracy
    assert f"{told.error:.1e}" in str(told)
    if not any(isinstance(a, list) for a in arrays):
        plan = fastconv.plan(func, *arrays, **kwargs, accuracy=accuracy)
        assert plan.error == told.error
        np.testing.assert_array_equal(plan(arrays[0]), func(*arrays, **kwargs, accuracy=accuracy))


def test_a_loose_bound_lets_a_gaussian_through_the_fft():
    image = Spec((2000, 2000), "float64")
    told = fastconv.explain(ndimage.gaussian_filter, image, 40, accuracy=1e-6)
    able = {c.name for c in told.candidates if c.predicted is not None}
    assert able >= set(backend.able(("separable", "fft", "tilefft")))
    told = fastconv.explain(ndimage.gaussian_filter, image, 40, accuracy="direct")
    assert {c.name for c in told.candidates if c.predicted is not None} <= PLAIN | {"separable"}


@pytest.mark.cpu_only("a Spec of the data is not on the kernel's device")
def test_direct_does_not_look_for_lines():
    line = np.hanning(33)[1:-1].astype("f")
    image = Spec((1000, 1000), "float32")
    for accuracy, terms in (("default", 1), ("direct", None), (1e-3, 1)):
        told = fastconv.explain(
            fastconv.convolve, image, np.outer(line, line), mode="same", accuracy=accuracy
        )
        assert told.problem.terms == terms


def test_lines_that_float32_rounds_are_none_in_double_precision(rng):
    line = random_array(rng, 15, "f")
    image, kernel = random_array(rng, (400, 400), "f"), np.outer(line, line)
    asked = {"mode": "same", "accuracy": 1.2e-7}
    y = fastconv.convolve(image, kernel, **asked)
    exact = fastconv.convolve(image.astype("d"), kernel.astype("d"), mode="same", method="direct")
    assert abs(y - exact).max() < 1.2e-7 * np.linalg.norm(image) * np.linalg.norm(kernel)
    assert fastconv.plan(fastconv.convolve, image, kernel, **asked)(image).tobytes() == y.tobytes()


@pytest.mark.cpu_only("the CPU's methods by their names")
def test_a_method_by_name_must_hold_too(rng):
    a, b = random_array(rng, 5000, "f"), random_array(rng, 200, "f")
    for name in ("fft", "tilefft"):
        with pytest.raises(ValueError, match=rf"method='{name}' .*: is no plain sum"):
            fastconv.convolve(a, b, method=name, accuracy="direct")
    x, w = np.ones((1, 4, 9, 9)), np.ones((4, 4, 3, 3))
    with pytest.raises(ValueError, match=r"method='winograd' .*: is no plain sum"):
        nn.conv2d(x, w, method="winograd", accuracy="direct")
    for method in ("direct", "fft", "tilefft", "reference"):
        told = fastconv.explain(fastconv.convolve, a, b, method=method, accuracy=1e-7)
        assert (told.chosen, told.problem.dtype) == (method, np.float64)
        told = fastconv.explain(fastconv.convolve, a, b, method=method, accuracy=1e-4)
        assert (told.chosen, told.problem.dtype) == (method, np.float32)
    for method in ("direct", "reference"):
        with pytest.raises(ValueError, match="accuracy=1e-30 is more than"):
            fastconv.convolve(a.astype("g"), b.astype("g"), method=method, accuracy=1e-30)


@pytest.mark.parametrize("func", [fastconv.convolve, fastconv.correlate])
@pytest.mark.parametrize("dtype", "fF")
def test_double_is_better_than_single(func, dtype, rng):
    a, b = random_array(rng, 30_000, dtype), random_array(rng, 1000, dtype)
    expected = func(a.astype("D"), b.astype("D"), method="direct")
    usual = np.abs(func(a, b) - expected)
    better = np.abs(func(a, b, accuracy=1.2e-7) - expected)
    # What is left are the results' own last digits.
    assert (better <= np.abs(expected) * np.finfo(dtype).eps * 0.75).all()
    assert better.max() < usual.max() / 2


def test_layers_are_rounded_once(rng):
    """Bias and activation are those of the double sums."""
    x, w = normal(rng, (2, 40, 9, 8), "f"), normal(rng, (5, 40, 3, 3), "f")
    bias = normal(rng, (5,), "f")
    for activation in (None, "relu", "gelu", "tanh", "leaky_relu"):
        wide_result = nn.conv2d(
            x.astype("d"), w.astype("d"), bias.astype("d"), activation=activation
        )
        result = nn.conv2d(x, w, bias, activation=activation, accuracy=1e-7)
        assert result.dtype == np.float32
        np.testing.assert_array_max_ulp(result, wide_result.astype("f"), 1)
        plan = fastconv.plan(nn.conv2d, x, w, bias, activation=activation, accuracy=1e-7)
        np.testing.assert_array_equal(plan(x), result)


def test_widened_layers_go_by_images(rng):
    """A batch too large to be converted at once, and its shorter end."""
    x, w = normal(rng, (19, 16, 60, 50), "f"), normal(rng, (16, 16, 3, 3), "f")
    expected = nn.conv2d(x.astype("d"), w.astype("d"))
    np.testing.assert_array_max_ulp(nn.conv2d(x, w, accuracy=1e-7), expected.astype("f"), 1)
    grad = normal(rng, expected.shape, "f")
    expected = nn.conv2d_grad_input(grad.astype("d"), w.astype("d"), x.shape)
    result = nn.conv2d_grad_input(grad, w, x.shape, accuracy=1e-7)
    np.testing.assert_array_max_ulp(result, expected.astype("f"), 1)


# What is exact, and other dtypes ------------------------------------------------------------------


@pytest.mark.parametrize("dtype", "?bHiqQ")
def test_integers_are_exact_for_any_bound(dtype, rng):
    a = random_array(rng, (50, 60), dtype, small=True)
    b = random_array(rng, (6, 5), dtype, small=True)
    for func in (fastconv.convolve, fastconv.correlate2d):
        for accuracy in ("direct", 1e-2, 1e-300):
            np.testing.assert_array_equal(func(a, b, accuracy=accuracy), func(a, b))
    assert fastconv.explain(fastconv.convolve, a, b, accuracy=1e-300).error == 0
    assert "exact" in str(fastconv.explain(fastconv.convolve, a, b))


def test_integer_layers_are_exact(rng):
    x = rng.integers(0, 255, (1, 4, 9, 9), dtype="u1")
    w = rng.integers(-99, 99, (4, 4, 3, 3), dtype="b")
    for accuracy in ("direct", 1e-300):
        np.testing.assert_array_equal(nn.conv2d(x, w, accuracy=accuracy), nn.conv2d(x, w))


@pytest.mark.parametrize("dtype", "?BhiQ")
@pytest.mark.parametrize("name", FILTERS)
def test_integer_images_are_scipys_still(name, dtype, rng):
    func, shapes, kwargs = FILTERS[name]
    if dtype in "?Q":
        kwargs = {**kwargs, "output": np.int32}
    x = random_array(rng, (70, 80), dtype, small=True)
    taps = [rng.integers(-3, 4, shape).astype("d") for shape in shapes]
    expected = func(x, *taps, **kwargs)
    for accuracy in ("direct", 1e-2, 1e-10):
        np.testing.assert_array_equal(func(x, *taps, **kwargs, accuracy=accuracy), expected)


def test_exact_images_meet_any_bound(rng):
    x = random_array(rng, (70, 80), "h", small=True)
    np.testing.assert_array_equal(ndimage.sobel(x, accuracy=1e-300), ndimage.sobel(x))


def test_half_precision(rng):
    a, b = random_array(rng, 400, "e"), random_array(rng, 9, "e")
    assert fastconv.explain(fastconv.convolve, a, b, accuracy=1e-3).error <= 1e-3
    expected = signal_reference("convolve", a.astype("d"), b.astype("d"))
    result = fastconv.convolve(a, b, accuracy=5e-4)
    np.testing.assert_array_max_ulp(result, expected.astype("e"), 1)
    with pytest.raises(ValueError, match=r"accuracy=1e-05 is more than results of float16 can"):
        fastconv.convolve(a, b, accuracy=1e-5)


@pytest.mark.parametrize("dtype", "gG")
def test_long_double(dtype, rng):
    a, b = random_array(rng, 400, dtype), random_array(rng, 9, dtype)
    result = fastconv.convolve(a, b, accuracy=1e-17)
    expected = signal_reference("convolve", a, b)
    assert np.abs(result - expected).max() <= 1e-17 * np.linalg.norm(a) * np.linalg.norm(b)


def test_objects_and_products(rng):
    a, b = (random_array(rng, n, "O") for n in (9, 4))
    for accuracy in ("direct", 1e-9):
        np.testing.assert_array_equal(
            fastconv.convolve(a, b, accuracy=accuracy), fastconv.convolve(a, b)
        )
        assert fastconv.convolve(3.0, 4.0, accuracy=accuracy) == 12
        assert fastconv.fftconvolve([], [1.0], accuracy=accuracy).size == 0


@pytest.mark.parametrize("accuracy", ["direct", 1e-2, 1e-15])
def test_empty(accuracy):
    assert fastconv.convolve(np.ones((0, 3)), np.ones((2, 3)), "same", accuracy=accuracy).size == 0
    assert nn.conv2d(np.ones((0, 1, 5, 5)), np.ones((1, 1, 3, 3)), accuracy=accuracy).size == 0


def test_complex_weights_of_images(rng):
    for dtype in "fF":
        x = random_array(rng, (70, 80), dtype)
        w = random_array(rng, (5, 4), "D")
        expected = ndimage.convolve(x.astype("D"), w)
        for accuracy in (1e-3, 1e-6, 2e-7):
            result = ndimage.convolve(x, w, accuracy=accuracy)
            off = np.abs(result - expected).max()
            assert off <= accuracy * 3 * np.linalg.norm(x) * np.linalg.norm(w)
    with pytest.raises(ValueError, match="accuracy=1e-07 is more than results of complex64"):
        ndimage.convolve(x, w, accuracy=1e-7)


def test_filters_in_a_row_share_a_bound(rng):
    x = random_array(rng, (90, 80), "f")
    kwargs = {"sigma": 2, "mode": ("reflect", "wrap")}
    expected = ndimage.gaussian_filter(x.astype("d"), **kwargs)
    result = ndimage.gaussian_filter(x, **kwargs, accuracy=1.3e-7)
    assert np.abs(result - expected).max() < 1.3e-7 * np.abs(x).max()
    with pytest.raises(ValueError, match=r"accuracy=1e-07 is more than .* err by 1.2e-07"):
        ndimage.gaussian_filter(x, **kwargs, accuracy=1e-7)


def test_small_images_are_not_rounded_between_passes(rng):
    x = random_array(rng, (20, 30), "f")
    expected = ndimage.gaussian_filter(x.astype("d"), 2)
    result = ndimage.gaussian_filter(x, 2, accuracy=6.5e-8)
    np.testing.assert_array_max_ulp(result, expected.astype("f"), 1)


def test_derivatives_of_ones_own(rng):
    """A filter of ours is asked for the bound; a function that knows of none is left alone."""
    x = random_array(rng, (90, 80), "f")
    for func in (ndimage.generic_laplace, ndimage.generic_gradient_magnitude):
        with pytest.raises(ValueError, match="accuracy=1e-12"):
            func(x, ndimage.sobel, accuracy=1e-12)
        np.testing.assert_array_equal(func(x, difference, accuracy=1e-12), func(x, difference))
    own = {"accuracy": "direct"}
    ndimage.generic_laplace(x, ndimage.sobel, accuracy=1e-12, extra_keywords=own)


def test_data_converted_in_slabs_keep_the_bound(rng):
    """float32 data of more than a slab, computed in double precision."""
    a, b = random_array(rng, (1500, 2000), "f"), random_array(rng, (9, 9), "f")
    expected = fastconv.convolve(a.astype("d"), b.astype("d"), mode="same")
    result = fastconv.convolve(a, b, mode="same", accuracy=1e-7)
    assert np.abs(result - expected).max() <= np.abs(expected).max() * 2**-24


# What every method promises -----------------------------------------------------------------------

FLOATS = "fdFD"


def hard(rng, shape, dtype, kind):
    """Noise, wide ranges, a step, a line of spikes, or what cancels."""
    a = normal(rng, shape, dtype)
    match kind:
        case "wide":
            a = a * 10.0 ** rng.uniform(-6, 6, shape)
        case "positive":
            a = np.abs(a) + 1
        case "spikes":
            a = np.where(rng.random(shape) < 0.02, a * 1e6, a)
        case "cancelling":
            a = a - a.mean()
    return a.astype(dtype)


KINDS = ("noise", "wide", "positive", "spikes", "cancelling")
kinds = st.sampled_from(KINDS)


def check_method(name, func, arrays, kwargs, expected, norms):
    """A method by its name errs by no more than it tells."""
    told = fastconv.explain(func, *arrays, **kwargs, method=name)
    assert told.chosen == name
    error = np.abs(func(*arrays, **kwargs, method=name).astype(expected.dtype) - expected)
    slack = np.finfo(arrays[0].dtype).tiny
    assert (error <= told.error * norms + slack).all(), (name, (error / norms).max() / told.error)


@pytest.mark.parametrize("name", ["direct", "tilefft", "fft", "reference"])
@settings(max_examples=40, deadline=None)
@given(
    dtype=st.sampled_from(FLOATS),
    n=st.integers(1, 3000),
    taps=st.integers(1, 400),
    of=st.tuples(kinds, kinds),
    seed=st.integers(0, 2**32),
)
def test_lines_keep_what_methods_promise(name, dtype, n, taps, of, seed):
    rng = np.random.default_rng(seed)
    n = max(n, taps)
    x, w = hard(rng, n, dtype, of[0]), hard(rng, taps, dtype, of[1])
    if not able(name, fastconv.convolve, (x, w)):
        return
    x2 = np.abs(x.astype("D")) ** 2
    data = np.sqrt(np.convolve(x2, np.ones(taps))) if name in PLAIN else np.linalg.norm(x)
    whole = data * np.linalg.norm(w.astype("D"))
    expected = np.convolve(x.astype(wide(dtype)), w.astype(wide(dtype)))
    check_method(name, fastconv.convolve, (x, w), {}, expected, whole)


@pytest.mark.parametrize("name", ["direct", "tilefft", "fft", "reference"])
@pytest.mark.parametrize("dtype", FLOATS)
def test_images_keep_what_methods_promise(name, dtype, rng):
    for shape, taps in (((90, 80), (9, 12)), ((20, 24, 22), (3, 4, 5)), ((100, 60), (19, 19))):
        for kind in KINDS:
            x, w = hard(rng, shape, dtype, kind), hard(rng, taps, dtype, "noise")
            if not able(name, fastconv.correlate, (x, w)):
                continue
            expected = signal_reference("correlate", x, w)
            data = np.linalg.norm(x)
            if name in PLAIN:
                squares = np.abs(x.astype("D")) ** 2
                ones = np.ones(taps)
                data = np.sqrt(np.abs(signal_reference("correlate", squares, ones)))
            whole = data * np.linalg.norm(w)
            check_method(name, fastconv.correlate, (x, w), {}, expected, whole)


@functools.cache
def _able(name, func, shapes, dtype, mode):
    kwargs = {} if mode is None else {"mode": mode}
    told = fastconv.explain(func, *(Spec(s, dtype) for s in shapes), **kwargs)
    return any(c.name == name and c.predicted is not None for c in told.candidates)


def able(name, func, arrays, mode=None):
    return _able(name, func, tuple(a.shape for a in arrays), arrays[0].dtype, mode)


@pytest.mark.parametrize("terms", [1, 2, 3])
@pytest.mark.parametrize("dtype", "fd")
def test_split_kernels_keep_what_separable_promises(dtype, terms, rng):
    for kind in KINDS:
        x = hard(rng, (180, 175), dtype, kind)
        for _ in range(2):
            w = sum(np.outer(normal(rng, 13, "d"), normal(rng, 11, "d")) for _ in range(terms))
            w = w.astype(dtype)
            call = {"mode": "same"}
            told = fastconv.explain(fastconv.correlate, x, w, **call)
            if told.problem.terms != terms:  # rounded, it is such a sum no more
                continue
            expected = correlate_reference(x, w, x.shape, (-6, -5))
            check_method(
                "separable",
                fastconv.correlate,
                (x, w),
                call,
                expected,
                np.linalg.norm(x.astype("d")) * np.linalg.norm(w),
            )


@pytest.mark.parametrize("dtype", "fd")
def test_passes_keep_what_methods_promise(dtype, rng):
    """Gaussians and means, by the norms of windows."""
    for kind in KINDS:
        x = hard(rng, (90, 100), dtype, kind)
        for func, kwargs, taps in (
            (ndimage.gaussian_filter, {"sigma": 1.5}, 13),
            (ndimage.uniform_filter, {"size": 9}, 9),
        ):
            # The kernel by what it makes of one spike.
            spike = np.zeros((31, 31))
            spike[15, 15] = 1
            w = func(spike, **kwargs)
            expected = func(x.astype("g").astype("d"), **kwargs)
            squares = ndimage.correlate(x.astype("d") ** 2, np.ones((taps, taps)))
            error = fastconv.explain(func, Spec(x.shape, dtype), **kwargs).error
            bound = error * np.sqrt(squares) * np.linalg.norm(w)
            slack = 1e-15 * np.sqrt(squares) if dtype == "f" else bound
            assert (np.abs(func(x, **kwargs) - expected) <= bound + slack).all()


@pytest.mark.parametrize("name", ["channels", "winograd", "gemm", "reference"])
@pytest.mark.parametrize("dtype", FLOATS)
def test_layers_keep_what_methods_promise(name, dtype, rng):
    ones = (1, 1)
    for channels in (1, 7, 64):
        layer = Layer((2, channels, 14, 11), (5, channels, 3, 3), ones, (ones, ones), ones)
        for kind in KINDS:
            x, w = hard(rng, layer.x, dtype, kind), hard(rng, layer.w, dtype, "noise")
            if not able(name, nn.conv2d, (x, w)):
                continue
            expected = forward(layer, x, w)
            squares = np.abs(x.astype("D")) ** 2
            window = np.ones((5, channels, 3, 3))
            data = np.sqrt(np.abs(forward(layer, squares, window)))
            if name not in PLAIN:
                data = np.linalg.norm(x)
            size = np.sqrt((np.abs(w.astype("D")) ** 2).sum(axis=(1, 2, 3))).reshape(-1, 1, 1)
            kwargs = {"padding": 1}
            check_method(name, nn.conv2d, (x, w), kwargs, expected, data * size)


# The command line ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accuracy", "told"),
    [("direct", "is no plain sum"), ("1e-7", "float64"), ("1e-3", "error ≤")],
)
def test_command_line(accuracy, told):
    done = explain_in_the_shell(accuracy)
    assert done.returncode == 0, done.stderr
    assert told in done.stdout


@pytest.mark.parametrize("accuracy", ["-1", "nan", "bogus", "1e-12"])
def test_command_line_refuses(accuracy):
    done = explain_in_the_shell(accuracy)
    assert done.returncode == 2
    assert re.search(r"error: accuracy", done.stderr)


def explain_in_the_shell(accuracy):
    command = ["-m", "fastconv", "explain", "5000", "200", "--dtype", "float32"]
    return run([sys.executable, *command, f"--accuracy={accuracy}"])
