"""Convolution by cuFFT, below the fronts, on a GPU or on the stand-in for one."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from oracle import (
    BOUNDARIES,
    CONSTANT,
    assert_within,
    correlate_reference,
    fft_bound,
    random_array,
)

from fastconv import _cost, _cuda, _planner, _problem
from fastconv._methods import _blocking, fft, gpu_fft
from fastconv._methods._transforms import fast_length
from fastconv._problem import Boundary, Problem, Reason

pytestmark = pytest.mark.usefixtures("order_of_threads")

DTYPES = "bBhHiIqQfdFD"
STORED = "?bBhHiIlLqQefdFD"
LAYOUTS = ("C", "F", "reversed", "stepped", "transposed", "turned", "apart")
LONGEST = (None, 300, 60, 14, 7, 4)


@pytest.fixture
def little_room(monkeypatch):
    """Workspace as large as data and result, but no more: blocks, and kernels in parts."""
    monkeypatch.setattr(_problem, "WORKSPACE_FLOOR", 0)
    gpu_fft.choose_layout.cache_clear()
    yield
    gpu_fft.choose_layout.cache_clear()


def empty_on_gpu(cupy, shape, dtype, layout):
    """An array, and all the memory around it."""
    if layout == "F":
        whole = cupy.empty(shape, dtype, order="F")
        return whole, whole
    if layout == "transposed" and len(shape) > 1:
        view, whole = empty_on_gpu(cupy, (*shape[1:], shape[0]), dtype, "C")
        return view.transpose(len(shape) - 1, *range(len(shape) - 1)), whole
    if layout == "turned" and len(shape) > 1:  # the last axis is the farthest
        view, whole = empty_on_gpu(cupy, (shape[-1], *shape[:-1]), dtype, "C")
        return view.transpose(*range(1, len(shape)), 0), whole
    if layout in ("stepped", "apart"):
        whole = cupy.empty((*shape[:-1], 3 * shape[-1]), dtype)
        return (whole[..., 1::3] if layout == "stepped" else whole[..., : shape[-1]]), whole
    whole = cupy.empty(shape, dtype)
    return (whole[(slice(None, None, -1),) * len(shape)] if layout == "reversed" else whole), whole


def on_gpu(cupy, array, layout="C"):
    """A copy on the GPU, in the layout asked for."""
    view, _ = empty_on_gpu(cupy, array.shape, array.dtype, layout)
    view[...] = cupy.asarray(array)
    return view


def solve(cupy, problem, x, w, out_dtype=None, layouts=("C", "C", "C"), host_kernel=False):
    """The result by the method, as a NumPy array; nothing beside it was written."""
    runner = gpu_fft.build(problem)
    kernel = runner.prepare(w if host_kernel else on_gpu(cupy, w, layouts[1]))
    dtype = np.dtype(out_dtype or problem.dtype)
    out, around = empty_on_gpu(cupy, problem.out, dtype, layouts[2])
    around[...] = 77
    data = on_gpu(cupy, x, layouts[0])
    assert runner.converts(x.dtype, dtype)
    runner(data, kernel, out, 1)
    if hasattr(cupy, "_standin"):
        cupy._standin.check_guards()
    result = out.get()
    out[...] = 77
    assert (around.get() == np.full(1, 77).astype(dtype)).all()
    np.testing.assert_array_equal(data.get(), x)
    return result


def expected_of(problem, x, w):
    """The sums, as they are before they are stored."""
    with np.errstate(all="ignore"):
        return correlate_reference(
            *(x, w, problem.out, problem.offset, problem.boundary, problem.fill, problem.axes)
        )


def bound_of(problem, x, w):
    if problem.dtype.kind not in "fc":
        return 0
    repeats = sum(problem.out) // max(min(problem.x), 1) + 2
    x = x.astype(problem.dtype)
    filled = np.append(x, np.full(max(sum(problem.out), 1), problem.fill, x.dtype))
    return fft_bound(filled, w, problem.dtype, repeats)


def check(problem, x, w, result, label=""):
    label = f"{problem} {BOUNDARIES[problem.boundary]} {label}"
    expected = expected_of(problem, x, w)
    assert_within(result, expected, bound_of(problem, x, w), problem.dtype, label)


def random_problem(rng, dtypes=DTYPES, most_axes=4, longest=LONGEST):
    ndim = int(rng.integers(1, most_axes + 1))
    dtype = np.dtype(dtypes[rng.integers(len(dtypes))])
    axes = tuple(sorted(int(a) for a in rng.permutation(ndim)[: rng.integers(1, ndim + 1)]))
    x, w, out, offset = [], [], [], []
    for axis in range(ndim):
        n, m = (int(rng.integers(1, longest[ndim] + 1)) for _ in range(2))
        convolved = axis in axes
        x.append(n)
        w.append(m if convolved else n if rng.random() < 0.3 else 1)
        out.append(int(rng.integers(1, n + m)) if convolved else n)
        offset.append(int(rng.integers(-2 * m, n + 1)) if convolved else 0)
    boundary = Boundary(int(rng.integers(6)))
    fill = int(rng.integers(1, 4)) if boundary == CONSTANT else 0
    shapes = tuple(x), tuple(w), tuple(out)
    return Problem(*shapes, axes, tuple(offset), dtype, boundary, fill, (9.0, 9.0), device=0)


def arrays_of(rng, problem):
    return (random_array(rng, shape, problem.dtype, small=True) for shape in (problem.x, problem.w))


def image(n, taps, dtype="f", boundary=Boundary.ZERO, fill=0, axes=None):
    """A problem whose windows are centred."""
    axes = tuple(range(len(n))) if axes is None else axes
    offset = tuple(-(m // 2) if a in axes else 0 for a, m in enumerate(taps))
    return Problem(
        *(n, taps, n, axes, offset, np.dtype(dtype), boundary, fill, (9.0, 9.0)), device=0
    )


@pytest.mark.parametrize("seed", range(6))
def test_random_problems(seed, cupy):
    """Of one to four axes, by all boundaries, in all layouts, with kernels of each index's own."""
    rng = np.random.default_rng([31, seed])
    for _ in range(40):
        problem = random_problem(rng)
        layouts = [LAYOUTS[i] for i in rng.integers(len(LAYOUTS), size=3)]
        x, w = arrays_of(rng, problem)
        assert gpu_fft.reject(problem) is None
        result = solve(cupy, problem, x, w, None, layouts, host_kernel=rng.random() < 0.2)
        check(problem, x, w, result, layouts)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1)])
@pytest.mark.parametrize("dtype", "fD")
def test_images_in_every_layout(dtype, axes, layout, cupy, rng):
    """Larger than a tile, where lines lie side by side or one after the other."""
    taps = tuple(7 if a in axes else 1 for a in range(2))
    problem = image((150, 90), taps, dtype, Boundary.MIRROR, axes=axes)
    x, w = arrays_of(rng, problem)
    check(problem, x, w, solve(cupy, problem, x, w, None, (layout, "C", layout)))
    check(problem, x, w, solve(cupy, problem, x, w, None, (layout, layout, "C")))


# Dtypes on the way in and out ---------------------------------------------------------------------


@pytest.mark.parametrize("compute", "fDiQ")
@pytest.mark.parametrize("stored", STORED)
def test_data_and_results_of_every_dtype(stored, compute, cupy, rng):
    """What is not of the computation's dtype is converted as by `astype`, and stored by its rules.

    Real sums of complex data are no front's, nor are real results of complex sums.
    """
    is_complex, complex_sums = (np.dtype(code).kind == "c" for code in (stored, compute))
    if is_complex and not complex_sums:
        stored = "d"
    result_dtype = stored if is_complex or not complex_sums else compute
    problem = image((40, 25), (3, 4), compute, Boundary.REFLECT)
    x = random_array(rng, problem.x, stored, small=True)
    w = random_array(rng, problem.w, "b", small=True)
    if np.dtype(stored).kind == "f":
        x = np.round(x)
    if np.dtype(compute).kind == "u":
        x, w = abs(x), abs(w)
    w = w.astype(compute)
    with np.errstate(all="ignore"):
        sums = expected_of(problem, x.astype(compute), w).astype(compute)
    expected = np.empty(problem.out, result_dtype)
    _planner.store(sums, expected)
    bound = bound_of(problem, x, w)
    for layout in ("C", "turned"):
        result = solve(cupy, problem, x, w, result_dtype, (layout, "C", layout))
        assert_within(result, expected, bound, np.dtype(result_dtype))


def test_integers_wrap_around(cupy, rng):
    """Sums are exact, and stored modulo 2^bits, also where they pass through a wider dtype."""
    for compute, stored in (("b", "b"), ("B", "H"), ("h", "q"), ("i", "b"), ("q", "B"), ("Q", "Q")):
        problem = replace(image((70, 30), (5, 6), compute), magnitude=(255.0, 255.0))
        x, w = (random_array(rng, n, "B").astype(compute) for n in (problem.x, problem.w))
        expected = expected_of(problem, x, w).astype(compute).astype(stored)
        np.testing.assert_array_equal(solve(cupy, problem, x, w, stored), expected)


def test_large_exact_integers(cupy, rng):
    """Up to what the bound allows, whatever the transforms round."""
    n, taps = 3000, 400
    for bits in range(8, 24):
        largest = 2.0**bits
        problem = replace(image((n,), (taps,), "q"), magnitude=(largest, largest))
        if gpu_fft.reject(problem) is not None:
            break
        x, w = (rng.integers(-(2**bits), 2**bits, m) for m in (n, taps))
        np.testing.assert_array_equal(solve(cupy, problem, x, w), expected_of(problem, x, w))
    assert bits > 14
    assert gpu_fft.reject(problem) is Reason.INEXACT


def test_kernels_of_the_host(cupy, rng):
    problem = image((50, 40), (3, 5), "d")
    x, w = arrays_of(rng, problem)
    result = solve(cupy, problem, x, w, host_kernel=True)
    np.testing.assert_array_equal(result, solve(cupy, problem, x, w))


def test_broadcast_data(cupy, rng):
    """Data of stride zero."""
    problem = image((20, 30), (1, 5), "f", axes=(1,))
    row = random_array(rng, (1, 30), "f")
    w = random_array(rng, problem.w, "f")
    runner = gpu_fft.build(problem)
    out = cupy.empty(problem.out, "f")
    data = cupy.broadcast_to(cupy.asarray(row), problem.x)
    runner(data, runner.prepare(cupy.asarray(w)), out, 1)
    check(problem, np.broadcast_to(row, problem.x), w, out.get())


# Blocks and parts ---------------------------------------------------------------------------------


@pytest.mark.parametrize("boundary", list(Boundary))
@pytest.mark.parametrize("dtype", "fdFDi")
def test_long_signals_in_blocks(dtype, boundary, cupy, rng):
    fill = 2 if boundary is Boundary.CONSTANT else 0
    problem = image((40_000,), (200,), dtype, boundary, fill)
    assert gpu_fft.choose_layout(problem).count > 1
    x, w = arrays_of(rng, problem)
    check(problem, x, w, solve(cupy, problem, x, w))


@pytest.mark.parametrize("boundary", list(Boundary))
@pytest.mark.parametrize("dtype", "fD")
def test_images_in_little_room(dtype, boundary, cupy, little_room, rng):
    fill = 2 if boundary is Boundary.CONSTANT else 0
    problem = image((3, 150, 130), (1, 7, 6), dtype, boundary, fill)
    layout = gpu_fft.choose_layout(problem)
    assert any(b.count > 1 for b in layout.blocks)
    assert layout.batch < layout.count
    x, w = arrays_of(rng, problem)
    check(problem, x, w, solve(cupy, problem, x, w))


@pytest.mark.parametrize("boundary", [Boundary.ZERO, Boundary.REFLECT])
@pytest.mark.parametrize("sizes", list(itertools.product((0, 32, 40, 64), (0, 32, 64, 70))))
def test_tiles_of_every_size(sizes, boundary, cupy, monkeypatch, rng):
    """Whichever is chosen (0 for the whole axis), and however many at a time."""
    problem = image((2, 90, 100), (1, 7, 6), "f", boundary)
    x, w = arrays_of(rng, problem)
    cuts = [
        _blocking.cuts_of(problem, a, problem.w[a])[0]
        if not length
        else (length, -(-problem.out[a] // (length - problem.w[a] + 1)))
        for a, length in zip((1, 2), sizes, strict=True)
    ]
    monkeypatch.setattr(gpu_fft, "_choices", lambda problem, a, taps, fit: [cuts[a - 1]])
    monkeypatch.setattr(gpu_fft, "_length", fast_length)
    monkeypatch.setattr(gpu_fft, "_even_length", fast_length)
    for most in (1, 5, 1 << 10):
        elements = gpu_fft._elements([length for length, _ in cuts], False)
        monkeypatch.setattr(gpu_fft, "_BATCH_ELEMENTS", most * elements)
        gpu_fft.choose_layout.cache_clear()
        layout = gpu_fft.choose_layout(problem)
        assert layout.lengths == tuple(length for length, _ in cuts)
        assert layout.batch <= most
        check(problem, x, w, solve(cupy, problem, x, w), f"{layout}")
    gpu_fft.choose_layout.cache_clear()


@pytest.mark.parametrize("boundary", list(Boundary))
@pytest.mark.parametrize("dtype", "fDq")
def test_kernels_in_parts(dtype, boundary, cupy, monkeypatch, little_room, rng):
    """Longer than there is room for; the last part is shorter than the others."""
    monkeypatch.setattr(_problem, "WORKSPACE_FLOOR", np.dtype(dtype).itemsize << 14)
    fill = 2 if boundary is Boundary.CONSTANT else 0
    for n, taps, out in (((300,), (5001,), (500,)), ((50, 60), (60, 65), (55, 64))):
        offset = tuple(-(m // 3) for m in taps)
        problem = replace(
            image(n, taps, dtype, boundary, fill), out=out, offset=offset, magnitude=(9.0, 9.0)
        )
        layout = gpu_fft.choose_layout(problem)
        assert math.prod(layout.parts) > 1
        assert gpu_fft.reject(problem) is None
        x, w = arrays_of(rng, problem)
        check(problem, x, w, solve(cupy, problem, x, w))


@pytest.mark.parametrize("seed", range(3))
def test_random_problems_in_little_room(seed, cupy, monkeypatch, little_room):
    monkeypatch.setattr(_problem, "WORKSPACE_FLOOR", 1 << 16)
    rng = np.random.default_rng([32, seed])
    cut = solved = 0
    for _ in range(60):
        problem = random_problem(rng)
        if gpu_fft.reject(problem) is not None:
            continue
        layout = gpu_fft.choose_layout(problem)
        cut += layout.batch < layout.count or math.prod(layout.parts) > 1
        solved += 1
        x, w = arrays_of(rng, problem)
        check(problem, x, w, solve(cupy, problem, x, w))
    assert cut > 12
    assert solved > 30


@pytest.mark.parametrize("room", [0, 1 << 16, 1 << 26])
def test_kernels_of_their_own(room, cupy, monkeypatch, rng):
    """One for each index of some axes: kept, or made for each batch; in parts, too."""
    monkeypatch.setattr(_problem, "WORKSPACE_FLOOR", room)
    gpu_fft.choose_layout.cache_clear()
    kept = set()
    for n, taps, axes in (
        ((3, 40, 5), (3, 9, 5), (1,)),
        ((6, 4, 30, 20), (6, 1, 5, 4), (2, 3)),
        ((11, 200), (11, 30), (1,)),
        ((200, 40), (13, 40), (0,)),
        ((7, 50), (7, 900), (1,)),
    ):
        problem = image(n, taps, "f", Boundary.WRAP, axes=axes)
        layout = gpu_fft.choose_layout(problem)
        kept.add(layout.kept)
        x, w = arrays_of(rng, problem)
        check(problem, x, w, solve(cupy, problem, x, w), f"{layout}")
    assert room or False in kept
    gpu_fft.choose_layout.cache_clear()


def test_many_axes(cupy, rng):
    n, taps = (2, 3, 2, 1, 2, 3, 2, 2, 2), (1, 2, 1, 1, 2, 2, 1, 2, 2)
    for axes in ((1, 4, 5, 7, 8), (1, 4, 5), (5,)):
        own = tuple(m if a in axes else 1 for a, m in enumerate(taps))
        problem = image(n, own, "d", Boundary.NEAREST, axes=axes)
        x, w = arrays_of(rng, problem)
        check(problem, x, w, solve(cupy, problem, x, w))


@pytest.mark.parametrize("seed", range(3))
def test_memory_stays_within_the_estimate(seed, cupy, monkeypatch, little_room):
    """Of what the method itself asks for, at the time of each launch and transform."""
    if not hasattr(cupy, "_standin"):
        pytest.skip("CuPy's pool tells of all memory at once")
    from cupy import _memory

    rng = np.random.default_rng([33, seed])
    used = []
    launch = _cuda.Kernels.launch

    def counted(*args, **kwargs):
        used.append(sum(m.size for m in list(_memory._live)))
        launch(*args, **kwargs)

    monkeypatch.setattr(_cuda.Kernels, "launch", counted)
    for _ in range(15):
        problem = random_problem(rng, "fdFD")
        if gpu_fft.reject(problem) is not None:
            continue
        x, w = arrays_of(rng, problem)
        runner = gpu_fft.build(problem)
        data, taps = cupy.asarray(x), cupy.asarray(w)
        out = cupy.empty(problem.out, problem.dtype)
        before = sum(m.size for m in list(_memory._live))
        used.clear()
        runner(data, runner.prepare(taps), out, 1)
        workspace = gpu_fft.estimate(problem).workspace
        assert max(used) - before <= workspace + 64 <= problem.workspace_limit + 64


# NaN and Inf --------------------------------------------------------------------------------------


def assert_same_specials(result, expected, bound):
    if result.dtype.kind == "c":
        np.testing.assert_array_equal(np.isfinite(result), np.isfinite(expected))
    else:
        for test in (np.isnan, np.isposinf, np.isneginf):
            np.testing.assert_array_equal(test(result), test(expected))
    finite = np.isfinite(expected)
    assert_within(result[finite], expected[finite], bound, result.dtype)


SPECIAL = (np.nan, np.inf, -np.inf)


@pytest.mark.parametrize("boundary", list(Boundary))
@pytest.mark.parametrize("dtype", "fdFD")
@pytest.mark.parametrize("where", ["data", "kernel", "both"])
def test_nan_and_inf(where, dtype, boundary, cupy, rng):
    """They touch the outputs whose windows hold them, and no other: at edges and inside."""
    fill = 2 if boundary is Boundary.CONSTANT else 0
    for n, taps in (((300,), (40,)), ((20, 25), (5, 4)), ((9_000,), (60,))):
        problem = image(n, taps, dtype, boundary, fill)
        clean_x, clean_w = arrays_of(rng, problem)
        for place in (0, -1, None):
            x, w = clean_x.copy(), clean_w.copy()
            if where != "kernel":
                x.flat[rng.integers(x.size) if place is None else place] = SPECIAL[rng.integers(3)]
            if where != "data":
                w.flat[rng.integers(w.size) if place is None else place] = SPECIAL[rng.integers(3)]
            result = solve(cupy, problem, x, w)
            assert_same_specials(
                result, expected_of(problem, x, w), bound_of(problem, clean_x, clean_w)
            )


@pytest.mark.parametrize("fill", SPECIAL)
def test_what_lies_beyond_is_not_finite(fill, cupy, rng):
    problem = image((20, 30), (3, 4), "d", Boundary.CONSTANT, fill)
    x, w = arrays_of(rng, problem)
    clean = bound_of(replace(problem, fill=0), x, w)
    assert_same_specials(solve(cupy, problem, x, w), expected_of(problem, x, w), clean)


def test_taps_that_are_none(cupy, rng):
    """Of a sparse kernel those that are zero: no NaN meets them."""
    problem = replace(image((30, 40), (5, 5), "d"), sparse=True)
    x, w = arrays_of(rng, problem)
    w[1:4, 1:4] = 0
    clean = x.copy()
    x[10, 20] = np.nan
    result = solve(cupy, problem, x, w)
    met = np.zeros(problem.out, bool)
    met[8:13, 18:23] = w[::-1, ::-1] != 0
    np.testing.assert_array_equal(np.isnan(result), met)
    expected = expected_of(problem, clean, w)
    assert_within(result[~met], expected[~met], bound_of(problem, clean, w), problem.dtype)


@pytest.mark.parametrize("dtype", "fFdD")
def test_data_near_the_top_of_the_range(dtype, cupy, rng):
    """A spectrum of theirs overflows; results that do not are what they would be."""
    largest = np.finfo(dtype).max
    problem = image((500,), (20,), dtype)
    x, w = (abs(a) for a in arrays_of(rng, problem))
    x, w = x.astype(dtype), w.astype(dtype)
    x[100:400:10] = largest / 4
    w[...] = 0.01
    w[3] = 1
    result = solve(cupy, problem, x, w)
    assert np.isfinite(result).all()
    expected = expected_of(problem, x, w)
    assert (abs(result - expected) <= 100 * np.finfo(dtype).eps * abs(expected)).all()


def test_batches_with_one_bad_row(cupy, rng):
    problem = image((5, 200), (1, 30), "f", axes=(1,))
    x, w = arrays_of(rng, problem)
    clean = bound_of(problem, x, w)
    x[2, 50] = np.nan
    assert_same_specials(solve(cupy, problem, x, w), expected_of(problem, x, w), clean)


def test_a_plan_forgets_what_it_met(cupy, rng):
    """The next data is finite, and so are its results."""
    problem = image((300,), (20,), "f")
    x, w = arrays_of(rng, problem)
    runner = gpu_fft.build(problem)
    kernel = runner.prepare(cupy.asarray(w))
    bad = x.copy()
    bad[7] = np.inf
    out = cupy.empty(problem.out, "f")
    runner(cupy.asarray(bad), kernel, out, 1)
    assert not np.isfinite(out.get()).all()
    runner(cupy.asarray(x), kernel, out, 1)
    check(problem, x, w, out.get())


# What is told ------------------------------------------------------------------------------------


def test_refusals_are_those_of_the_host(rng):
    problem = image((40, 50), (3, 4), "i")
    for changed in (
        replace(problem, x=(0, 50)),
        replace(problem, cut=np.dtype("B")),
        replace(problem, dtype=np.dtype("?")),
        replace(problem, magnitude=None),
        replace(problem, magnitude=(2.0**30, 2.0**30)),
        replace(problem, lines=(0, 1), boundary=Boundary.CONSTANT, fill=1, dtype=np.dtype("d")),
        problem,
    ):
        assert gpu_fft.reject(changed) == fft.reject(replace(changed, device=None))
    assert gpu_fft.reject(replace(problem, dtype=np.dtype("g"))) is Reason.DTYPE


def test_estimates():
    """Positive, no less than it must take, and within the bound on workspace."""
    rng = np.random.default_rng(34)
    for _ in range(300):
        problem = random_problem(rng)
        estimate = gpu_fft.estimate(problem)
        seconds = _cost.predict(estimate, device=0).seconds
        assert 0 < gpu_fft.least(problem) <= seconds < 1
        assert 0 <= estimate.workspace <= problem.workspace_limit
        error = gpu_fft.error(problem)
        if problem.dtype.kind in "iu":
            assert error == 0
        else:
            assert 0 < error < 100 * np.finfo(problem.dtype).eps
