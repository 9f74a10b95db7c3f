"""explain and plan of image filters: which method, why not the others, and the call's own bits."""

import itertools
import pickle
import sys
import warnings

import numpy as np
import pytest
from arrays import laid_out
from oracle import random_array
from shell import python

import fastconv
import fastconv.ndimage as fi
from fastconv import Spec
from fastconv._problem import Reason

IMAGE = Spec((1500, 2000), "float32")
BYTES = Spec((1500, 2000), "uint8")
METHODS = {"direct", "separable", "tilefft", "fft", "reference"}
LAYERS = {"channels", "gemm", "winograd"}  # methods that take nothing but layers
MODES = ("reflect", "constant", "nearest", "mirror", "wrap")
KERNEL = np.array([[1, 2, 0.5, 3], [4, -1, 2, 1], [0, 1, 1, -2]])

# (function, arguments after the data, keyword arguments): everything that is one problem.
CALLS = {
    "correlate": (fi.correlate, (KERNEL,), {}),
    "convolve": (fi.convolve, (KERNEL,), {"mode": "constant", "cval": 2.5}),
    "correlate origin": (fi.correlate, (KERNEL,), {"origin": (1, -1), "mode": "wrap"}),
    "correlate axes": (fi.correlate, (KERNEL[0],), {"axes": 1}),
    "correlate1d": (fi.correlate1d, ([1, -2, 0, 3],), {"axis": 0}),
    "convolve1d": (fi.convolve1d, ([1, -2, 0, 3],), {"mode": "mirror"}),
    "gaussian_filter": (fi.gaussian_filter, (1.5,), {"mode": "nearest"}),
    "gaussian_filter order": (fi.gaussian_filter, ((1, 2),), {"order": (0, 1)}),
    "gaussian_filter1d": (fi.gaussian_filter1d, (2,), {"axis": 0, "mode": "wrap"}),
    "uniform_filter": (fi.uniform_filter, (5,), {"mode": "constant", "cval": 1}),
    "uniform_filter1d": (fi.uniform_filter1d, (4,), {"axis": 0}),
    "prewitt": (fi.prewitt, (), {"axis": 0}),
    "sobel": (fi.sobel, (), {}),
    "laplace": (fi.laplace, (), {}),
    "gaussian_laplace": (fi.gaussian_laplace, (1.5,), {}),
}
every_call = pytest.mark.parametrize(("func", "args", "kwargs"), CALLS.values(), ids=CALLS)


def gaussian_kernel(sigma=2.0, radius=7, dtype="d"):
    line = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return (np.outer(line, line) / line.sum() ** 2).astype(dtype)


def reasons(told):
    """Why methods were rejected, by their names."""
    found = {c.name: c.reason for c in told.candidates if c.predicted is None}
    assert all(found.pop(name, Reason.NOT_A_LAYER) == Reason.NOT_A_LAYER for name in LAYERS)
    return found


# explain ------------------------------------------------------------------------------------------


@every_call
@pytest.mark.parametrize("data", [IMAGE, Spec((300, 400), "float64"), Spec((9, 8), "float32")])
def test_explanations(func, args, kwargs, data):
    if func is fi.gaussian_laplace and data.size < 4096:
        with pytest.raises(ValueError, match="a filter an axis"):
            fastconv.explain(func, data, *args)
        return
    told = fastconv.explain(func, data, *args, **kwargs)
    assert {c.name for c in told.candidates} - LAYERS == METHODS
    times = {c.name: c.predicted for c in told.candidates if c.predicted is not None}
    assert told.chosen in times
    assert told.problem.x == told.problem.out == data.shape
    assert set(reasons(told).values()) <= set(Reason)
    for name, reason in reasons(told).items():
        assert f"{name:<10} rejected" in str(told)
        assert reason in str(told)


@pytest.mark.parametrize("data", [IMAGE, Spec((400, 500), "float64"), BYTES])
@pytest.mark.parametrize("sigma", [2, 5, (1, 3)])
def test_gaussians_go_by_lines(data, sigma):
    told = fastconv.explain(fi.gaussian_filter, data, sigma)
    assert told.chosen == "separable"
    assert told.problem.lines == (0, 1)


@pytest.mark.parametrize("size", [9, 25, (4, 31)])
@pytest.mark.parametrize("data", [IMAGE, BYTES])
def test_means_go_by_lines(data, size):
    told = fastconv.explain(fi.uniform_filter, data, size)
    assert told.chosen == "separable"
    assert told.problem.box


@pytest.mark.parametrize("dtype", "fd")
def test_a_dense_gaussian_is_found_out(dtype):
    for func in (fi.correlate, fi.convolve):
        told = fastconv.explain(func, IMAGE, gaussian_kernel(dtype=dtype))
        assert told.chosen == "separable"
        assert told.problem.terms == 1


def test_a_random_kernel_is_no_sum_of_products(rng):
    told = fastconv.explain(fi.correlate, IMAGE, rng.random((15, 15)))
    assert told.chosen != "separable"
    assert reasons(told) == {"separable": Reason.NOT_SEPARABLE}


def test_a_kernel_with_zeros_is_left_alone():
    """What a zero tap does not touch could become NaN."""
    told = fastconv.explain(fi.correlate, IMAGE, np.pad(gaussian_kernel(), 1))
    assert reasons(told)["separable"] == Reason.NOT_SEPARABLE


def test_small_kernels_are_summed_directly():
    told = fastconv.explain(fi.correlate, IMAGE, gaussian_kernel(radius=1))
    assert told.chosen == "direct"
    assert reasons(told)["separable"] == Reason.UNKNOWN_KERNEL  # nobody looked: it would not pay


def test_large_random_kernels_go_through_a_transform(rng):
    told = fastconv.explain(fi.correlate, IMAGE, rng.random((45, 45)))
    assert told.chosen in ("tilefft", "fft")


@pytest.mark.parametrize(("data", "output"), [(BYTES, None), (IMAGE, "uint8"), (BYTES, np.int16)])
def test_integer_results_reject_transforms(data, output, rng):
    told = fastconv.explain(fi.correlate, data, rng.random((45, 45)), output=output)
    assert told.chosen == "direct"
    assert reasons(told)["fft"] == reasons(told)["tilefft"] == Reason.CUT
    told = fastconv.explain(fi.gaussian_filter, data, 9, output=output)
    assert told.chosen == "separable"
    assert set(reasons(told)) == METHODS - {"separable"}


def test_integers_with_float_results_may_be_transformed(rng):
    told = fastconv.explain(fi.correlate, BYTES, rng.random((45, 45)), output="float32")
    assert told.chosen in ("tilefft", "fft")


def test_the_reason_against_lines_of_what_is_cut_is_the_cut(rng):
    told = fastconv.explain(fi.correlate, BYTES, rng.random((15, 15)))
    assert reasons(told)["separable"] == Reason.CUT


def test_a_fill_between_passes_is_for_lines_alone():
    told = fastconv.explain(fi.gaussian_filter, IMAGE, 2, mode="constant", cval=1)
    assert told.chosen == "separable"
    assert set(reasons(told).values()) == {Reason.PASSES}
    assert not reasons(fastconv.explain(fi.gaussian_filter, IMAGE, 2, mode="constant"))


def test_shapes_alone_are_enough():
    """Terabytes that nobody has."""
    assert fastconv.explain(fi.gaussian_filter, Spec((2**20, 2**20), "uint8"), 3)
    assert fastconv.explain(fi.correlate, Spec((2**20, 2**20), "float32"), np.ones((15, 15)))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc tells of the memory")
def test_data_are_not_looked_at():
    code = """
    import numpy as np, fastconv
    def resident():
        with open("/proc/self/statm") as sizes:
            return int(sizes.read().split()[1]) * 4096
    a = np.zeros((2**15, 2**15), np.float32)
    before = resident()
    for name, *args in (
        ("correlate", np.ones((15, 15))), ("gaussian_filter", 3), ("sobel",), ("uniform_filter",)
    ):
        fastconv.explain(getattr(fastconv.ndimage, name), a, *args)
        fastconv.plan(getattr(fastconv.ndimage, name), a, *args)
    assert resident() - before < 2**25
    """
    python(code)


@every_call
def test_arrays_and_specs_agree(func, args, kwargs, rng):
    data = random_array(rng, (200, 300), "f")
    kept = data.copy()
    told = fastconv.explain(func, data, *args, **kwargs)
    assert fastconv.explain(func, Spec(data.shape, "float32"), *args, **kwargs) == told
    np.testing.assert_array_equal(data, kept)


def test_a_spec_of_weights(rng):
    told = fastconv.explain(fi.correlate, IMAGE, Spec((7, 7), "float64"))
    assert told.chosen == fastconv.explain(fi.correlate, IMAGE, rng.random((7, 7))).chosen


# plan ---------------------------------------------------------------------------------------------


@every_call
@pytest.mark.parametrize("dtype", "?BhifdQ")
def test_plans_give_the_calls_own_bits(func, args, kwargs, dtype, rng):
    for shape in ((23, 31), (150, 201)):
        data = random_array(rng, shape, dtype, small=True)
        if func is fi.gaussian_laplace and (dtype not in "fd" or data.size < 4096):
            continue
        if func is fi.laplace and dtype in "?iQ":
            continue  # sums of second differences that wrap one by one
        expected = func(data, *args, **kwargs)
        plan = fastconv.plan(func, Spec(shape, dtype), *args, **kwargs)
        for _ in range(2):
            result = plan(data)
            assert type(result) is np.ndarray
            assert result.dtype == expected.dtype
            np.testing.assert_array_equal(result, expected)
        out = np.zeros(shape, expected.dtype)
        assert plan(data, out=out) is out
        np.testing.assert_array_equal(out, expected)


@every_call
def test_plans_are_pickled(func, args, kwargs, rng):
    for dtype in "Bf":
        data = random_array(rng, (90, 101), dtype, small=True)
        if func is fi.gaussian_laplace and dtype == "B":
            continue  # not one problem
        plan = fastconv.plan(func, Spec(data.shape, dtype), *args, **kwargs)
        other = pickle.loads(pickle.dumps(plan))
        assert (other.method, other.problem) == (plan.method, plan.problem)
        np.testing.assert_array_equal(other(data), plan(data))


@every_call
def test_plans_of_other_outputs_give_the_calls_own_bits(func, args, kwargs, rng):
    for dtype, output in (("B", "float32"), ("f", "float64"), ("d", "int16"), ("h", np.uint8)):
        data = random_array(rng, (90, 101), dtype, small=True)
        if func in (fi.laplace, fi.gaussian_laplace) and np.dtype(output).kind != "f":
            continue
        plan = fastconv.plan(func, data, *args, output=output, **kwargs)
        for layout in ("C", "F", "reversed", "stepped", "unaligned"):
            out, expected = (laid_out(np.zeros(data.shape, output), layout) for _ in range(2))
            func(data, *args, output=expected, **kwargs)
            assert plan(data, out=out) is out
            np.testing.assert_array_equal(out, expected, err_msg=layout)


def test_plans_hold_their_kernels(rng):
    data, w = random_array(rng, (200, 200), "d"), rng.random((3, 4))
    expected = fi.correlate(data, w)
    plan = fastconv.plan(fi.correlate, data, w)
    w[...] = np.nan
    np.testing.assert_array_equal(plan(data), expected)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_forced_plans(method, rng):
    data = random_array(rng, (120, 130), "d")
    expected = fi.gaussian_filter(data, 2)
    plan = fastconv.plan(fi.gaussian_filter, data, 2, method=method)
    assert plan.method == method
    np.testing.assert_allclose(plan(data), expected, atol=1e-13)


def test_methods_that_must_refuse_say_why():
    with pytest.raises(ValueError, match="method"):
        fastconv.plan(fi.gaussian_filter, IMAGE, 2, method="bogus")
    for method in ("fft", "tilefft"):
        with pytest.raises(ValueError, match=Reason.CUT):
            fastconv.plan(fi.gaussian_filter, BYTES, 2, method=method)
        with pytest.raises(ValueError, match=Reason.PASSES):
            fastconv.plan(fi.gaussian_filter, IMAGE, 2, mode="constant", cval=1, method=method)
    with pytest.raises(ValueError, match=Reason.NOT_SEPARABLE):
        fastconv.plan(fi.correlate, IMAGE, np.pad(gaussian_kernel(), 1), method="separable")


BLOCKS = pytest.mark.xfail(reason="plans sum along three and more axes in blocks")


@pytest.mark.parametrize(
    ("shape", "kernel"),
    [
        ((40,), (7,)),
        ((9, 8), (3, 4)),
        ((64, 70), (5, 5)),
        ((64, 40), (8, 1)),
        ((300, 200), (4, 3)),
        ((15, 16, 17), (3, 2, 3)),
        ((5, 4, 6, 7), (2, 2, 3, 2)),
        ((67, 20), (1, 11)),
        ((1, 36), (7, 8)),
        pytest.param((2, 3, 2, 8), (2, 2, 2, 1), marks=BLOCKS),
    ],
)
def test_the_short_and_the_long_road_give_the_same_bits(shape, kernel, rng):
    """A plain small call needs no plan; a plan has one, and so has an output that is not plain."""
    for mode, dtype, func in itertools.product(MODES, "fd", (fi.correlate, fi.convolve)):
        data, w = random_array(rng, shape, dtype), rng.standard_normal(kernel)
        expected = func(data, w, mode=mode)
        np.testing.assert_array_equal(fastconv.plan(func, data, w, mode=mode)(data), expected)
        for layout in ("C", "stepped", "unaligned"):
            out = laid_out(np.zeros_like(data), layout)
            assert func(data, w, mode=mode, output=out) is out
            np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("func", [fi.correlate, fi.convolve])
@pytest.mark.parametrize("size", [16, 600])
def test_outputs_that_share_memory(func, size, rng):
    """The input itself, what overlaps it, and the weights' own memory."""
    data, w = random_array(rng, (size, size), "f"), rng.standard_normal((3, 3)).astype("f")
    expected = func(data, w)
    rows = np.zeros((size + 1, size), "f")
    for source, output in ((rows[:-1], rows[1:]), (rows[1:], rows[:-1])):
        source[...] = data
        assert func(source, w, output=output) is output
        np.testing.assert_array_equal(output, expected)
    pool = np.zeros((size, size), "f")
    weights = pool.reshape(-1)[:9].reshape(3, 3)
    weights[...] = w
    func(data, weights, output=pool)
    np.testing.assert_array_equal(pool, expected)
    inside = data.copy()
    assert func(inside, w, output=inside) is inside
    np.testing.assert_array_equal(inside, expected)


def test_outputs_that_are_refused(rng):
    data, w = random_array(rng, (16, 16), "f"), np.ones((3, 3))
    with pytest.raises(RuntimeError, match="output shape not correct"):
        fi.correlate(data, w, output=np.zeros((16, 15), "f"))
    with pytest.raises(ValueError, match="read-only"):
        fi.correlate(data, w, output=laid_out(np.zeros((16, 16), "f"), "readonly"))
    wide = np.zeros((16, 16))
    assert fi.correlate(data, w, output=wide) is wide
    np.testing.assert_allclose(wide, fi.correlate(data, w), rtol=1e-5, atol=1e-5)


# Refusals -----------------------------------------------------------------------------------------

FLOATS = np.ones((40, 50))
REFUSED = {
    "modes": (ValueError, "2 filters in a row", fi.gaussian_filter, 2, 0, None, MODES[:2]),
    "modes of means": (ValueError, "in a row", fi.uniform_filter, 3, None, MODES[:2]),
    "modes of sobel": (ValueError, "in a row", fi.sobel, -1, None, MODES[:2]),
    "no pass": (ValueError, "nothing to plan", fi.gaussian_filter, 0),
    "output array": (TypeError, "output must be a dtype", fi.gaussian_filter, 2, 0, FLOATS),
    "output of correlate": (TypeError, "output must be a dtype", fi.correlate, KERNEL, FLOATS),
    "output of laplace": (TypeError, "output must be a dtype", fi.laplace, FLOATS),
    "mode": (RuntimeError, "mode not supported", fi.correlate, KERNEL, None, "bogus"),
    "weights": (RuntimeError, "must match", fi.correlate, KERNEL[0]),
    "origin": (ValueError, "origin", fi.correlate, KERNEL, None, "wrap", 0, 5),
    "sigma": (RuntimeError, "sigma", fi.gaussian_filter, (1, 2, 3)),
    "size": (ValueError, "in a row", fi.uniform_filter, 0),
    "axis": (ValueError, "axis", fi.sobel, 2),
    "output of strings": (RuntimeError, "numeric", fi.correlate, KERNEL, "S3"),
    "derivatives": (TypeError, "one of fastconv's functions", fi.gaussian_gradient_magnitude, 2),
    "one's own": (TypeError, "one of fastconv's functions", fi.generic_laplace, fi.sobel),
}


@pytest.mark.parametrize("ask", [fastconv.explain, fastconv.plan])
@pytest.mark.parametrize("data", [Spec((40, 50), "float64"), FLOATS], ids=["spec", "array"])
@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_what_is_not_one_problem_is_refused(case, data, ask):
    error, message, func, *args = case
    with pytest.raises(error, match=message):
        ask(func, data, *args)


@pytest.mark.parametrize("ask", [fastconv.explain, fastconv.plan])
@every_call
def test_complex_inputs_are_refused(func, args, kwargs, ask):
    with pytest.raises(TypeError, match="complex"):
        ask(func, Spec((100, 100), "complex64"), *args, **kwargs)


@pytest.mark.parametrize("ask", [fastconv.explain, fastconv.plan])
@pytest.mark.parametrize("func", [fi.correlate, fi.convolve])
def test_complex_weights_are_refused(func, ask):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(TypeError, match="complex"):
            ask(func, IMAGE, KERNEL * 1j)


@pytest.mark.parametrize("dtype", ["float16", "longdouble", "object"])
def test_dtypes_of_no_image_are_refused(dtype):
    with pytest.raises(RuntimeError, match="not supported"):
        fastconv.explain(fi.gaussian_filter, Spec((9, 9), dtype), 2)


def test_an_image_without_axes_cannot_be_planned():
    with pytest.raises(ValueError, match="without axes"):
        fastconv.plan(fi.correlate, Spec((), "float64"), np.array(2.0))


@pytest.mark.parametrize("func", [fi.correlate, fi.gaussian_filter, fi.sobel, fi.uniform_filter])
def test_a_spec_is_nothing_to_compute_with(func):
    args = {fi.correlate: (KERNEL,), fi.gaussian_filter: (2,)}.get(func, ())
    with pytest.raises(TypeError, match="Spec"):
        func(Spec((9, 9), "float64"), *args)
