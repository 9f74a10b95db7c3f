"""explain, plan and Spec: choices that explain themselves, plans that are ready to run."""

import copy
import dataclasses
import pickle
import re
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from arrays import NATIVE_LAYOUTS, laid_out
from oracle import assert_within, fft_bound, random_array, signal_reference
from shell import python

import fastconv
from fastconv import Spec, _planner

# (function, shapes, keyword arguments): everything that a plan can be made for.
CALLS = {
    "convolve": (fastconv.convolve, ((400,), (9,)), {}),
    "convolve same": (fastconv.convolve, ((40, 50), (3, 5)), {"mode": "same"}),
    "convolve axes": (fastconv.convolve, ((40, 50, 3), (3, 5, 1)), {"axes": (0, 1)}),
    "correlate": (fastconv.correlate, ((400,), (9,)), {"mode": "valid"}),
    "correlate swapped": (fastconv.correlate, ((9,), (400,)), {"mode": "valid"}),
    "fftconvolve": (fastconv.fftconvolve, ((400,), (90,)), {"mode": "same"}),
    "oaconvolve": (fastconv.oaconvolve, ((4000,), (90,)), {}),
    "convolve2d": (fastconv.convolve2d, ((40, 50), (3, 5)), {"boundary": "symm"}),
    "correlate2d": (fastconv.correlate2d, ((40, 50), (3, 5)), {"boundary": "wrap", "mode": "same"}),
}
METHODS = ("direct", "tilefft", "fft", "reference")
LONG = (Spec(1_000_000, "float32"), Spec(100_000, "float32"))
SHORT = (Spec(1_000_000, "float32"), Spec(5, "float32"))


@pytest.fixture(params=CALLS)
def call(request):
    return CALLS[request.param]


# explain ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128", "longdouble"])
def test_explanation(call, dtype):
    func, shapes, kwargs = call
    told = fastconv.explain(func, *(Spec(s, dtype) for s in shapes), **kwargs)
    names = [candidate.name for candidate in told.candidates]
    assert told.chosen in names
    assert len(set(names)) == len(names)
    assert set(METHODS) <= set(names)
    for candidate in told.candidates:
        assert candidate.predicted is None or candidate.predicted > 0
        assert isinstance(candidate.reason, str)
        if candidate.predicted is None:
            assert candidate.reason, f"{candidate.name} is rejected for no reason"


def test_the_chosen_is_the_fastest_predicted(call):
    func, shapes, kwargs = call
    told = fastconv.explain(func, *(Spec(s, "float32") for s in shapes), **kwargs)
    times = {c.name: c.predicted for c in told.candidates if c.predicted is not None}
    assert told.chosen == min(times, key=times.get)


def test_the_table(call):
    func, shapes, kwargs = call
    told = fastconv.explain(func, *(Spec(s, "float32") for s in shapes), **kwargs)
    table = str(told)
    assert len(table.splitlines()) > len(told.candidates)
    for candidate in told.candidates:
        assert candidate.name in table
        if candidate.predicted is None:
            assert str(candidate.reason) in table
    assert "chosen" in table
    assert table.isprintable() or "\n" in table


def test_rejections_are_told():
    """Something is rejected somewhere, and the table says so and why."""
    told = fastconv.explain(
        fastconv.convolve, Spec(2**20, "longdouble"), Spec(2**16, "clongdouble")
    )
    rejected = [c for c in told.candidates if c.predicted is None]
    assert rejected
    assert "rejected" in str(told)
    for candidate in rejected:
        assert str(candidate.reason) in str(told)


def test_shapes_alone_are_enough():
    """Terabytes that nobody has."""
    told = fastconv.explain(fastconv.convolve, Spec((2**40,), "float32"), Spec((101,), "float32"))
    assert told.chosen in METHODS
    told = fastconv.explain(
        fastconv.convolve, Spec((2**20, 2**20), "float64"), Spec((7, 7), "float64"), mode="same"
    )
    assert told.chosen in METHODS


def test_long_kernels_go_through_the_fft_and_short_ones_do_not():
    assert fastconv.explain(fastconv.convolve, *LONG).chosen in ("fft", "tilefft")
    assert fastconv.explain(fastconv.convolve, *SHORT).chosen == "direct"
    image = Spec((1080, 1920), "float32")
    assert fastconv.explain(fastconv.convolve, image, Spec((3, 3), "float32")).chosen == "direct"


def test_arrays_and_specs_agree(call, rng):
    func, shapes, kwargs = call
    arrays = [random_array(rng, s, "f") for s in shapes]
    told = fastconv.explain(func, *arrays, **kwargs)
    same = fastconv.explain(func, *(Spec(s, "float32") for s in shapes), **kwargs)
    assert told.chosen == same.chosen
    mixed = fastconv.explain(func, arrays[0], Spec(shapes[1], "float32"), **kwargs)
    assert mixed.chosen == same.chosen


def test_forced_method_is_told():
    told = fastconv.explain(fastconv.convolve, *SHORT, method="fft")
    assert told.chosen == "fft"


def test_explain_makes_the_functions_own_errors():
    with pytest.raises(ValueError, match="same dimensionality"):
        fastconv.explain(fastconv.convolve, Spec(5), Spec((5, 5)))
    with pytest.raises(ValueError, match=r"(?i)mode"):
        fastconv.explain(fastconv.convolve, Spec(5), Spec(5), mode="bogus")
    with pytest.raises(ValueError, match=r"(?i)method"):
        fastconv.explain(fastconv.convolve, Spec(5), Spec(5), method="bogus")


@pytest.mark.parametrize("func", [len, None, "convolve", fastconv.correlation_lags])
def test_functions_without_plans(func):
    for ask in (fastconv.explain, fastconv.plan):
        with pytest.raises((TypeError, ValueError)):
            ask(func, Spec(5), Spec(5))


def test_explain_computes_nothing(rng):
    a, b = random_array(rng, 50, "d"), random_array(rng, 5, "d")
    kept = a.copy(), b.copy()
    fastconv.explain(fastconv.convolve, a, b)
    np.testing.assert_array_equal(a, kept[0])
    np.testing.assert_array_equal(b, kept[1])


# Spec ---------------------------------------------------------------------------------------------


def test_spec():
    spec = Spec((3, 4), "float32")
    assert spec.shape == (3, 4)
    assert spec.dtype == np.float32
    assert Spec(5).shape == (5,)
    assert Spec(5).dtype == np.float64
    assert Spec((3, 4), np.float32) == spec
    assert hash(Spec((3, 4), np.float32)) == hash(spec)
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.shape = (1,)


@pytest.mark.parametrize("shape", [-1, (3, -1), (2.5,), ("a",)])
def test_bad_specs(shape):
    with pytest.raises((TypeError, ValueError)):
        Spec(shape)
    with pytest.raises(TypeError):
        Spec((3,), "no such dtype")


# plan ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", "?BqefgdFDG")
def test_plan_gives_the_functions_own_result(call, dtype, rng):
    func, shapes, kwargs = call
    a, b = (random_array(rng, s, dtype, small=True) for s in shapes)
    plan = fastconv.plan(func, a, b, **kwargs)
    for _ in range(3):
        a = random_array(rng, shapes[0], dtype, small=True)
        result, expected = plan(a), func(a, b, **kwargs)
        assert type(result) is np.ndarray
        bound = 2 * fft_bound(a, b, expected.dtype, reach=1)
        assert_within(result, expected, bound, expected.dtype)


@pytest.mark.parametrize("method", METHODS)
def test_forced_plans(method, rng):
    for func, kind in ((fastconv.convolve, "convolve"), (fastconv.correlate, "correlate")):
        a, b = random_array(rng, (40, 50), "f"), random_array(rng, (3, 4), "f")
        plan = fastconv.plan(func, a, b, method=method, mode="same")
        assert plan.method == method
        expected = signal_reference(kind, a, b, "same")
        assert_within(plan(a), expected, fft_bound(a, b, "f"), np.float32)


def test_plan_from_a_spec(call, rng):
    func, shapes, kwargs = call
    a, b = (random_array(rng, s, "d") for s in shapes)
    plan = fastconv.plan(func, Spec(shapes[0], "float64"), b, **kwargs)
    assert_within(plan(a), func(a, b, **kwargs), 2 * fft_bound(a, b, "d", reach=1), np.float64)


def test_plan_holds_its_kernels(rng):
    """What becomes of the caller's kernel afterwards does not matter."""
    a, b = random_array(rng, 400, "d"), random_array(rng, 9, "d")
    for method in ("auto", *METHODS):
        kernel = b.copy()
        plan = fastconv.plan(fastconv.convolve, a, kernel, method=method)
        kernel[...] = np.nan
        assert_within(plan(a), fastconv.convolve(a, b), 2 * fft_bound(a, b, "d"), np.float64)


def test_plan_out(call, rng):
    func, shapes, kwargs = call
    a, b = (random_array(rng, s, "d") for s in shapes)
    plan = fastconv.plan(func, a, b, **kwargs)
    expected = plan(a)
    for layout in ("C", "F", "reversed", "stepped", "unaligned"):
        out = laid_out(np.zeros(expected.shape), layout)
        assert plan(a, out=out) is out
        assert_within(out, expected, 2 * fft_bound(a, b, "d", reach=1), np.float64, layout)


def test_plan_takes_any_layout(rng):
    a, b = random_array(rng, (20, 30), "f"), random_array(rng, (3, 4), "f")
    plan = fastconv.plan(fastconv.convolve, a, b)
    expected = plan(a)
    for layout in (*NATIVE_LAYOUTS, "readonly"):
        view = laid_out(a, layout)
        assert_within(plan(view), expected, 2 * fft_bound(a, b, "f"), np.float32, layout)
        np.testing.assert_array_equal(view, a)


def test_plan_refuses_other_data(rng):
    plan = fastconv.plan(fastconv.convolve, Spec((20, 30), "float32"), np.ones((3, 4), "f"))
    for shape in ((30, 20), (20, 31), (600,), (1, 20, 30), ()):
        with pytest.raises(ValueError, match="shape"):
            plan(np.ones(shape, np.float32))
    for dtype in (np.float64, np.int32, np.complex64, object):
        with pytest.raises((TypeError, ValueError), match="dtype"):
            plan(np.ones((20, 30), dtype))


def test_plan_refuses_a_bad_out(rng):
    a = np.ones((20, 30), np.float32)
    plan = fastconv.plan(fastconv.convolve, a, np.ones((3, 4), "f"), mode="same")
    with pytest.raises(ValueError, match="shape"):
        plan(a, out=np.empty((30, 20), np.float32))
    with pytest.raises((TypeError, ValueError), match="dtype"):
        plan(a, out=np.empty((20, 30)))
    with pytest.raises(ValueError, match=r"read-only|writeable|writable"):
        plan(a, out=laid_out(np.empty((20, 30), np.float32), "readonly"))
    with pytest.raises(ValueError, match="overlap"):
        plan(a, out=a)
    with pytest.raises(TypeError, match="out"):
        plan(a, out=[[0.0] * 30] * 20)


def test_plan_describes_itself(rng):
    plan = fastconv.plan(fastconv.convolve, np.ones(4000), np.ones(9), mode="same")
    assert plan.method in METHODS
    assert plan.problem.out == (4000,)
    assert plan.method in str(plan)


def test_a_plan_for_integers_is_exact_for_any_data(rng):
    """The data that a plan was made with says nothing of the values to come."""
    kernel = rng.integers(-(2**31), 2**31, 2**11)
    plan = fastconv.plan(fastconv.convolve, np.ones(2**17, np.int64), kernel, mode="valid")
    data = rng.integers(-(2**31), 2**31, 2**17)
    expected = fastconv.convolve(data, kernel, "valid", "direct")
    np.testing.assert_array_equal(plan(data), expected)


# Plans as values ----------------------------------------------------------------------------------


def test_plans_do_not_change(call, rng):
    func, shapes, kwargs = call
    plan = fastconv.plan(func, Spec(shapes[0]), random_array(rng, shapes[1], "d"), **kwargs)
    for name in ("problem", "method", "candidates", "_kernel", "anything"):
        with pytest.raises(AttributeError):
            setattr(plan, name, None)
        with pytest.raises(AttributeError):
            delattr(plan, name)


@pytest.mark.parametrize("dtype", "?ifdD")
def test_plans_are_copied_and_pickled(call, dtype, rng):
    func, shapes, kwargs = call
    a, b = (random_array(rng, s, dtype, small=True) for s in shapes)
    plan = fastconv.plan(func, Spec(shapes[0], dtype), b, **kwargs)
    expected = plan(a)
    for other in (pickle.loads(pickle.dumps(plan)), copy.copy(plan), copy.deepcopy(plan)):
        assert type(other) is fastconv.Plan
        assert (other.method, other.problem) == (plan.method, plan.problem)
        np.testing.assert_array_equal(other(a), expected)
        out = np.zeros_like(expected)
        assert other(a, out=out) is out
        np.testing.assert_array_equal(out, expected)
        with pytest.raises(ValueError, match="the plan was made for"):
            other(np.ones(3))


def test_a_pickled_plan_keeps_its_method_and_its_kernel(rng):
    a, b = random_array(rng, 400, "f"), random_array(rng, 9, "f")
    for method in METHODS:
        kernel = b.copy()
        plan = fastconv.plan(fastconv.convolve, a, kernel, method=method)
        kernel[...] = np.nan
        other = pickle.loads(pickle.dumps(plan))
        assert other.method == method
        np.testing.assert_array_equal(other(a), plan(a))


def test_plans_of_templates_are_pickled(rng):
    image, template = rng.random((40, 50)), rng.random((5, 6))
    for kwargs in ({}, {"pad_input": True, "mode": "reflect"}, {"pad_input": True, "mode": "edge"}):
        plan = fastconv.plan(fastconv.match_template, Spec(image.shape), template, **kwargs)
        other = pickle.loads(pickle.dumps(plan))
        np.testing.assert_array_equal(other(image), plan(image))


# The fast road of small plans ---------------------------------------------------------------------

# (function, keyword arguments): what small lines and images are planned by.
SMALL_CALLS = [
    *((fastconv.convolve, {"mode": mode}) for mode in ("full", "same", "valid")),
    (fastconv.correlate, {"mode": "same"}),
    *((fastconv.convolve2d, {"boundary": b, "fillvalue": 3}) for b in ("fill", "wrap", "symm")),
    *((fastconv.ndimage.correlate, {"mode": m, "cval": 0.5}) for m in ("mirror", "constant")),
    (fastconv.ndimage.convolve, {"mode": "nearest"}),
]
SMALL_SHAPES = [
    ((1,), (1,)),
    ((2,), (3,)),
    ((16,), (3,)),
    ((70,), (33,)),
    ((3000,), (90,)),
    ((16, 16), (3, 3)),
    ((7, 9), (1, 5)),
    ((20, 31), (1, 20)),
    ((20, 31), (9, 1)),
    ((20, 3), (9, 1)),
    ((1, 40), (3, 4)),
    ((40, 1), (4, 3)),
    ((17, 40), (2, 30)),
    ((100, 120), (6, 7)),
    ((5, 6, 7), (2, 3, 1)),
    ((5, 6, 7), (2, 3, 2)),
]


@pytest.mark.parametrize(("func", "kwargs"), SMALL_CALLS)
@pytest.mark.parametrize("dtype", "?BhiqfdFD")
def test_small_plans_give_the_same_bits_on_every_road(func, kwargs, dtype, rng):
    """Plain arrays go straight to the kernels; what is not plain takes the long road."""
    planned = 0
    for x, w in SMALL_SHAPES:
        a, b = random_array(rng, x, dtype, small=True), random_array(rng, w, dtype, small=True)
        try:
            plan = fastconv.plan(func, Spec(x, dtype), b, **kwargs)
        except (ValueError, TypeError):
            continue  # not for so many axes, or not for complex numbers
        planned += 1
        expected = plan._run(a, None)  # the long road
        for data in (a, laid_out(a, "readonly")):
            result = plan(data)
            assert type(result) is np.ndarray
            assert result.dtype == expected.dtype
            np.testing.assert_array_equal(result, expected, err_msg=f"{x} {w}")
        out = np.zeros_like(expected)
        assert plan(a, out=out) is out
        np.testing.assert_array_equal(out, expected, err_msg=f"{x} {w}")
    assert planned or (func is not fastconv.convolve and dtype in "FD")


def test_small_plans_take_what_the_long_road_takes(rng):
    a, b = random_array(rng, 16, "d"), random_array(rng, 3, "d")
    plan = fastconv.plan(fastconv.convolve, Spec(16), b)
    expected = plan(a)
    for data in (list(a), laid_out(a, "unaligned"), np.ma.array(a), a.view(np.recarray)):
        np.testing.assert_array_equal(plan(data), expected)
    shared = np.zeros(40)
    shared[:16] = a
    np.testing.assert_array_equal(plan(shared[:16], out=shared[16:34]), expected)
    np.testing.assert_array_equal(plan(a, None), expected)
    np.testing.assert_array_equal(plan(data=a, out=None), expected)


def test_small_plans_refuse_what_the_long_road_refuses():
    plan = fastconv.plan(fastconv.convolve, Spec(16), np.ones(3), mode="same")
    a = np.ones(16)
    swapped = laid_out(a, "swapped")
    for data in (np.ones(15), np.ones((1, 16)), np.ones(16, "f"), np.ones(16, int), swapped, 1.0):
        with pytest.raises(ValueError, match="the plan was made for"):
            plan(data)
    for out, error, match in (
        (np.ones(15), ValueError, "out has shape"),
        (np.ones((16, 1)), ValueError, "out has shape"),
        (np.ones(16, "f"), ValueError, "out has dtype"),
        (laid_out(np.ones(16), "readonly"), ValueError, "read-only"),
        (list(a), TypeError, "must be a NumPy array"),
        (a, ValueError, "overlaps input 1"),
    ):
        with pytest.raises(error, match=match):
            plan(a, out=out)
    shared = np.ones(20)
    with pytest.raises(ValueError, match="overlaps input 1"):
        plan(shared[:16], out=shared[4:])
    with pytest.raises(TypeError):
        plan()
    with pytest.raises(TypeError):
        plan(a, None, None)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_small_plans_keep_nan_and_inf_to_their_windows(bad, rng):
    """A tap that is not finite does not meet the zeros beyond an edge."""
    a = random_array(rng, 16, "d")
    for mode in ("full", "valid"):
        plan = fastconv.plan(fastconv.convolve, Spec(16), np.array([1.0, bad, 2.0]), mode=mode)
        expected = fastconv.convolve(a, np.array([1.0, bad, 2.0]), mode)
        np.testing.assert_array_equal(plan(a), expected)
        assert np.isfinite(plan(a)).any() == (mode == "full")
    a[5] = bad
    result = fastconv.plan(fastconv.convolve, Spec(16), np.ones(3))(a)
    np.testing.assert_array_equal(np.flatnonzero(~np.isfinite(result)), [5, 6, 7])


@pytest.mark.parametrize("shape", [(16,), (20_000,), (16, 16), (150, 160)])
def test_one_plan_for_several_threads(shape, rng):
    plan = fastconv.plan(fastconv.convolve, Spec(shape), rng.random((3,) * len(shape)))
    data = [random_array(rng, shape, "d") for _ in range(8)]
    expected = [plan(a) for a in data]

    def work(index):
        out = np.empty_like(expected[index])
        return all(
            np.array_equal(plan(data[index]), expected[index])
            and np.array_equal(plan(data[index], out=out), expected[index])
            for _ in range(100)
        )

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


# Methods that are asked for -----------------------------------------------------------------------

REFUSED = [
    (fastconv.convolve, (Spec(1000, "longdouble"), np.ones(9, "longdouble"))),
    (fastconv.convolve, (Spec(1000, "clongdouble"), np.ones(9, "clongdouble"))),
    (fastconv.convolve2d, (Spec((30, 40), object), np.array([[1, 2]], object))),
    (fastconv.convolve2d, (Spec((30, 40), "int64"), np.ones((2, 2), "int64"))),
    (fastconv.convolve2d, (Spec((30, 40), bool), np.ones((2, 2), bool))),
    (fastconv.convolve2d, (Spec((30, 40), "uint64"), np.ones((2, 2), "uint64"))),
    (fastconv.fftconvolve, (Spec((30, 40), "float64"), np.ones((2, 2)))),
]


@pytest.mark.parametrize(("func", "args"), REFUSED)
def test_forced_method_that_must_refuse_says_why(func, args):
    told = fastconv.explain(func, *args)
    for candidate in told.candidates:
        if candidate.name == "direct" and candidate.predicted is None:
            # SciPy's 'direct' takes every dtype: where no kernel does, plain NumPy sums.
            assert fastconv.plan(func, *args, method="direct").method == "reference"
        elif candidate.predicted is None:
            with pytest.raises(ValueError, match=re.escape(str(candidate.reason))):
                fastconv.plan(func, *args, method=candidate.name)


def test_some_forced_method_must_refuse():
    """The test above is about something: exact int64 has no FFT."""
    args = fastconv.convolve2d, Spec((30, 40), "int64"), np.full((3, 3), 2**60)
    told = fastconv.explain(*args)
    assert any(c.predicted is None for c in told.candidates if c.name == "fft")
    with pytest.raises(ValueError, match="cannot solve this problem"):
        fastconv.plan(*args, method="fft")


def test_plan_takes_a_method_as_the_function_does(rng):
    """SciPy's convolve(method='fft') rounds integers, and so does its plan."""
    a, b = random_array(rng, (500,), "i", small=True), random_array(rng, (40,), "i", small=True)
    plan = fastconv.plan(fastconv.convolve, Spec(500, "int32"), b, method="fft")
    assert plan.method == "fft"
    np.testing.assert_array_equal(plan(a), fastconv.convolve(a, b, method="fft"))
    np.testing.assert_array_equal(plan(a), fastconv.convolve(a, b, method="direct"))


# The cache ----------------------------------------------------------------------------------------


@pytest.mark.thread_unsafe(reason="the cache is the process's")
def test_choices_are_kept_within_a_bound():
    for n in range(_planner.CACHE_SIZE + 50):
        fastconv.explain(fastconv.convolve, Spec(1000 + n), Spec(5))
    assert 0 < _planner.cached_choices() <= _planner.CACHE_SIZE
    _planner.clear_cache()
    assert _planner.cached_choices() == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc tells of the memory")
def test_many_problems_do_not_fill_the_memory():
    """Plans and FFTW's buffers are kept, but not without bound."""
    code = """
        import resource, numpy as np, fastconv
        def rss():
            return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
        def work(first, last):
            for n in range(first, last):
                fastconv.fftconvolve(np.ones(20_000 + 7 * n), np.ones(3_000))
                fastconv.convolve(np.ones(200 + n), np.ones(9))
        work(0, 150)
        before = rss()
        work(150, 600)
        print((rss() - before) // 2**20)
    """
    # 450 kept spectra or pairs of FFT buffers would be more than 200 MiB.
    assert int(python(code, timeout=300)) < 64


# measured plans and tables ------------------------------------------------------------------------


def test_measure_times_the_methods_and_takes_the_fastest(rng):
    data, taps = random_array(rng, (60, 70), "f"), random_array(rng, (9, 9), "f")
    plan = fastconv.plan(fastconv.convolve, data, taps, method="measure")
    measured = {c.name: c.measured for c in plan.candidates if c.measured is not None}
    assert "direct" in measured
    assert plan.method == min(measured, key=measured.get)
    assert all(seconds > 0 for seconds in measured.values())
    expected = fastconv.convolve(data, taps, method=plan.method)
    np.testing.assert_array_equal(plan(data), expected)
    assert "measured" in str(plan)
    again = pickle.loads(pickle.dumps(plan))
    assert again.method == plan.method
    assert again.candidates == plan.candidates


@pytest.mark.parametrize("dtype", ["uint8", "int32", "complex64", "float16", "bool"])
def test_measure_takes_any_dtype(rng, dtype):
    taps = np.ones(5, dtype)
    plan = fastconv.plan(fastconv.convolve, Spec(500, dtype), taps, method="measure")
    data = np.ones(500, dtype)
    np.testing.assert_array_equal(plan(data), fastconv.convolve(data, taps, method=plan.method))


def test_measure_plans_layers_filters_and_templates(rng):
    x, w = random_array(rng, (1, 8, 12, 12), "f"), random_array(rng, (8, 8, 3, 3), "f")
    layer = fastconv.plan(fastconv.nn.conv2d, x, w, padding=1, method="measure")
    assert {c.name for c in layer.candidates if c.measured} >= {"channels"}
    image = random_array(rng, (40, 50), "f")
    smooth = fastconv.plan(fastconv.ndimage.gaussian_filter, image, 2.0, method="measure")
    np.testing.assert_array_equal(smooth(image), fastconv.ndimage.gaussian_filter(image, 2.0))
    match = fastconv.plan(fastconv.match_template, image, image[5:15, 8:18], method="measure")
    assert np.unravel_index(match(image).argmax(), match(image).shape) == (5, 8)


def test_measure_is_for_plans():
    with pytest.raises(ValueError, match="method='measure'"):
        fastconv.convolve(np.ones(5000), np.ones(300), method="measure")


def test_candidates_tell_bounds_shares_and_memory():
    told = fastconv.explain(fastconv.convolve, Spec((300, 400), "float32"), Spec((9, 9), "float32"))
    for c in told.candidates:
        if c.predicted is None:
            assert (c.bound, c.roofline, c.error, c.measured) == (None,) * 4
            continue
        assert c.bound in ("arithmetic", "cache", "memory", "call")
        assert 0 < c.roofline < 1.5
        assert c.workspace >= 0
        assert c.bound in c.reason or c.name == "fft"
    whole = fastconv.explain(fastconv.convolve, Spec((300, 400), "int32"), Spec((9, 9), "int32"))
    assert all(c.roofline is None for c in whole.candidates)
    assert "exact" in str(whole)


def test_html_for_notebooks():
    told = fastconv.explain(fastconv.convolve, *LONG)
    page = ET.fromstring(f"<div>{told._repr_html_().replace('<br>', '<br/>')}</div>")
    rows = [["".join(cell.itertext()) for cell in row] for row in page.iter("tr")]
    assert len(rows) == 1 + len(told.candidates)
    assert rows[1][0] == told.chosen
    plan = fastconv.plan(fastconv.convolve, Spec(50), np.ones(5))
    assert plan.method in plan._repr_html_()


def test_small_problems_are_summed_at_once():
    """Whatever the machine, so few products are formed before any other method has begun."""
    for shape, taps in (
        ((16,), (3,)),
        ((16, 16), (3, 3)),
        ((2000,), (31,)),
        ((5, 5, 5), (2, 2, 2)),
    ):
        told = fastconv.explain(fastconv.convolve, Spec(shape), Spec(taps))
        assert told.chosen == "direct"


def test_problems_keep_what_follows_from_their_fields():
    told = fastconv.explain(fastconv.convolve, Spec(500), Spec(9)).problem
    same = dataclasses.replace(told)
    assert told.macs == same.macs == 508 * 9
    assert told == same
    assert hash(told) == hash(same)
    assert dataclasses.replace(told, accuracy=1e-3) != told


@pytest.mark.thread_unsafe(reason="memory is the process's")
@pytest.mark.parametrize(
    ("func", "shapes", "kwargs", "method"),
    [
        (fastconv.convolve, ((300, 400), (7, 7)), {}, "direct"),
        (fastconv.convolve, ((300, 400), (31, 31)), {}, "tilefft"),
        (fastconv.convolve, ((50_000,), (400,)), {}, "fft"),
        (fastconv.nn.conv2d, ((1, 16, 40, 40), (16, 16, 3, 3)), {"padding": 1}, "channels"),
        (fastconv.nn.conv2d, ((1, 16, 40, 40), (16, 16, 3, 3)), {"padding": 1}, "winograd"),
    ],
)
def test_a_planned_call_with_out_allocates_no_array(rng, func, shapes, kwargs, method):
    if method == "fft" and not fastconv.config()["fftw"].startswith("FFTW"):
        pytest.skip("pyfftw is missing, and NumPy's FFT allocates its results")
    data, kernel = (random_array(rng, shape, "f") for shape in shapes)
    plan = fastconv.plan(func, data, kernel, method=method, **kwargs)
    out = plan(data)
    plan(data, out=out)  # scratch is kept from here on
    tracemalloc.start()
    try:
        plan(data, out=out)
        assert tracemalloc.get_traced_memory()[1] < 32 << 10
    finally:
        tracemalloc.stop()
