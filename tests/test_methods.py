"""Every method on random Problems, below the fronts: all boundaries, batches, kernels of their own.

The same problems for each method; one that refuses gives its reason and is left out.
"""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from arrays import LAYOUTS, NATIVE_LAYOUTS, laid_out
from oracle import (
    BOUNDARIES,
    CONSTANT,
    assert_within,
    correlate_reference,
    direct_bound,
    epsilon,
    fft_bound,
    random_array,
)
from passes import ALL_AXES, BOX, ORDERED, STORED, TILE, random_filter

from fastconv import _cost, _planner
from fastconv._methods import METHODS, MOST_TERMS, _lines, count_terms
from fastconv._problem import Boundary, Lines, Problem, Reason

DTYPES = tuple("?bBhHiIqQfdgFDG")
LAYERS = ("channels", "gemm", "winograd")  # methods that take nothing but layers: test_nn_fuzz.py
NAMES = tuple(m.NAME for m in METHODS if m.NAME not in LAYERS)
CHUNKS, CHUNK = 8, 150
LONGEST = (None, 70, 14, 7, 4)


def random_problem(rng):
    """Data, kernel, and what is asked of them."""
    ndim = int(rng.integers(1, 5))
    dtype = np.dtype(DTYPES[rng.integers(len(DTYPES))])
    axes = tuple(sorted(int(a) for a in rng.permutation(ndim)[: rng.integers(1, ndim + 1)]))
    longest = LONGEST[ndim]
    x, w, out, offset = [], [], [], []
    for axis in range(ndim):
        n, m = (int(rng.integers(1, longest + 1)) for _ in range(2))
        if axis in axes:
            x.append(n)
            w.append(m)
            out.append(int(rng.integers(1, n + m)))
            offset.append(int(rng.integers(-2 * m, n + 1)))
        else:
            x.append(n)
            w.append(n if rng.random() < 0.3 else 1)
            out.append(n)
            offset.append(0)
    boundary = Boundary(int(rng.integers(6)))
    fill = int(rng.integers(1, 4)) if boundary == CONSTANT and dtype.kind != "b" else 0
    return Problem(
        tuple(x), tuple(w), tuple(out), axes, tuple(offset), dtype, boundary, fill, (9.0, 9.0)
    )


def with_terms(rng, problem):
    """A problem as it is, or with two convolved axes and a kernel of few products of lines."""
    along = [a for a in problem.axes if problem.w[a] > 1]
    if len(along) != 2 or problem.varying:
        return problem, None
    problem = replace(problem, dtype=np.dtype("fd"[rng.integers(2)]))
    m, n = (problem.w[a] for a in along)
    count = int(rng.integers(1, MOST_TERMS + 1))
    w = (rng.standard_normal((m, count)) @ rng.standard_normal((count, n))).astype(problem.dtype)
    return replace(problem, terms=count_terms(w)), w.reshape(problem.w)


def solve(problem, method, x, w, out, threads=2):
    choice = _planner.choose(problem, method, threads)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("error")
        choice.run(x, choice.prepare(w), out, threads)


def reason_against(problem, method):
    return next(m for m in METHODS if method == m.NAME).reject(problem)


@pytest.mark.parametrize("seed", range(CHUNKS))
@pytest.mark.parametrize("method", NAMES)
def test_random_problems(method, seed):
    rng = np.random.default_rng([6, seed])
    solved = 0
    for _ in range(CHUNK):
        problem, w = random_problem(rng), None
        if method == "separable":
            problem, w = with_terms(rng, problem)
        layouts = [LAYOUTS[i] for i in rng.integers(len(LAYOUTS), size=2)]
        out_layout = NATIVE_LAYOUTS[rng.integers(len(NATIVE_LAYOUTS))]
        x = random_array(rng, problem.x, problem.dtype, small=True)
        w = random_array(rng, problem.w, problem.dtype, small=True) if w is None else w
        if reason_against(problem, method):
            continue
        solved += 1
        out = laid_out(np.zeros(problem.out, problem.dtype), out_layout)
        solve(problem, method, laid_out(x, layouts[0]), laid_out(w, layouts[1]), out)
        check(problem, method, x, w, out)
    # These take few of the problems: floats, along three axes at most; images of few terms.
    assert solved > CHUNK // {"tilefft": 12, "separable": 7}.get(method, 4)


def check(problem, method, x, w, out):
    rest = problem.out, problem.offset, problem.boundary, problem.fill, problem.axes
    expected = correlate_reference(x, w, *rest)
    if problem.dtype.kind not in "fc":
        bound = 0
    elif method in ("fft", "tilefft"):
        bound = bound_of_transforms(problem, x, w)
    elif method == "separable":
        terms = _lines.decompose(w.reshape([n for n in w.shape if n > 1]))
        sizes = sum(abs(np.outer(*term)) for term in terms).reshape(w.shape)
        bound = direct_bound(x, sizes, problem.dtype, *rest)
        reach = max(abs(x).max(), abs(problem.fill))
        bound = bound + 2 * epsilon(problem.dtype) * abs(w).sum() * reach
    else:
        bound = direct_bound(x, w, problem.dtype, *rest)
    label = f"{problem} {BOUNDARIES[problem.boundary]}"
    assert_within(out, expected, bound, problem.dtype, label)


def bound_of_transforms(problem, x, w):
    repeats = sum(problem.out) // max(min(problem.x), 1) + 2
    x = x.astype(problem.dtype)
    filled = np.append(x, np.full(max(sum(problem.out), 1), problem.fill, x.dtype))
    return fft_bound(filled, w, problem.dtype, repeats)


# Lines, sums that are cut, taps that are none -----------------------------------------------------

FILTERS = ((TILE, "f"), (TILE, "d"), (ORDERED, "d"), (BOX, "f"), (BOX, "d"))


def random_case(rng):
    """A filter by lines, or by a kernel over all axes; data and result may be of other dtypes."""
    kind, dtype = FILTERS[rng.integers(len(FILTERS))]
    ndim = int(rng.integers(1, 5))
    shape = tuple(int(n) for n in rng.integers(1, LONGEST[ndim] + 1, ndim))
    taps = [int(n) if rng.random() < 0.8 else 1 for n in rng.integers(1, LONGEST[ndim] + 1, ndim)]
    dense = kind != BOX and rng.random() < 0.5
    axes = rng.permutation([a for a in range(ndim) if taps[a] > 1 or rng.random() < 0.2])
    axes = (ALL_AXES,) if dense or not axes.size else tuple(int(a) for a in axes)
    if axes == (ALL_AXES,) and kind == BOX:
        kind = TILE
    x, out = (dtype if rng.random() < 0.4 else STORED[rng.integers(len(STORED))] for _ in range(2))
    if kind == TILE and not np.can_cast(out, np.dtype(f"i{np.dtype(dtype).itemsize // 2}")):
        out = dtype  # exact sums are of few bits
    boundary = int(rng.integers(6))
    case = random_filter(
        *(rng, shape, tuple(taps), kind, dtype, x, out, axes),
        count=int(rng.integers(1, 4)) if kind == TILE and axes != (ALL_AXES,) else 1,
        boundary=boundary,
        fill=int(rng.integers(-3, 4)) if boundary == CONSTANT else 0,
        cut=True,
    )
    if kind == BOX:
        case.terms = [[np.full(line.size, 1 / line.size) for line in case.terms[0]]]
    if kind == ORDERED:
        case.cut = True  # to floats as well
    if axes == (ALL_AXES,):
        case.skip_zeros = bool(rng.integers(2))
        case.terms[0][0][rng.random(case.terms[0][0].size) < 0.3] = 0
    if x in "fd" and out in "fd" and rng.random() < 0.3:
        case.x.flat[rng.integers(case.x.size)] = (np.nan, np.inf, -np.inf)[rng.integers(3)]
    return case


def problem_of(case):
    """The problem that a filter is, and its kernel."""
    dense = case.axes == (ALL_AXES,)
    axes = tuple(range(case.x.ndim)) if dense else tuple(sorted(case.axes))
    problem = Problem(
        *(case.x.shape, case.taps, case.out_shape, axes, case.offset, np.dtype(case.dtype)),
        boundary=Boundary(case.boundary),
        fill=case.fill,
        lines=() if dense else case.axes,
        terms=None if dense else len(case.terms),
        box=case.kind == BOX,
        sparse=case.skip_zeros,
        cut=np.dtype(case.out_dtype) if case.cut else None,
        exact=case.kind == TILE and case.cut,
    )
    if dense:
        return problem, case.terms[0][0].reshape(case.taps).astype(case.dtype)
    return problem, Lines(tuple(map(tuple, case.terms)), case.axes, case.x.ndim)


@pytest.mark.parametrize("seed", range(CHUNKS))
@pytest.mark.parametrize("method", NAMES)
def test_random_filters(method, seed):
    rng = np.random.default_rng([11, seed])
    solved = 0
    for _ in range(CHUNK):
        case = random_case(rng)
        layout = NATIVE_LAYOUTS[rng.integers(len(NATIVE_LAYOUTS))]
        problem, w = problem_of(case)
        if reason_against(problem, method):
            continue
        solved += 1
        out = laid_out(np.zeros(case.out_shape, case.out_dtype), layout)
        solve(problem, method, laid_out(case.x, layout), w, out)
        check_filter(problem, method, case, w, out)
    assert solved > CHUNK // {"direct": 3, "separable": 3}.get(method, 8)


def check_filter(problem, method, case, w, out):
    if isinstance(w, Lines) and method != "separable":
        w = w.dense()
        case = replace(case, kind=TILE, axes=(ALL_AXES,), terms=[[w]])
    if method not in ("fft", "tilefft"):
        case.compare(out)
        return
    with np.errstate(all="ignore"):
        expected = case.sums()
    for test in (np.isnan, np.isposinf, np.isneginf):
        np.testing.assert_array_equal(test(out), test(expected), err_msg=f"{case}")
    at = np.isfinite(expected)
    assert_within(
        out[at], expected[at], bound_of_transforms(problem, case.x, w), out.dtype, f"{case}"
    )


# Kernels as sums of products of lines -------------------------------------------------------------


def gaussian(sigma):
    x = np.arange(-int(4 * sigma + 0.5), int(4 * sigma + 0.5) + 1)
    taps = np.exp(-0.5 * (x / sigma) ** 2)
    return taps / taps.sum()


def error_of(terms, w):
    """‖w − Σ u vᵀ‖₁ in unit roundoffs of ‖w‖₁."""
    wide = w.astype(np.longdouble)
    rest = wide - sum(np.outer(*(line.astype(np.longdouble) for line in term)) for term in terms)
    return float(abs(rest).sum() / abs(wide).sum()) / (epsilon(w.dtype) / 2)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("dtype", "fd")
def test_products_of_lines_are_found(dtype, rank, rng):
    for _ in range(200):
        m, n = rng.integers(3, 40, 2)
        w = rng.standard_normal((m, rank)) @ rng.standard_normal((rank, n))
        w = (w * 10.0 ** rng.integers(-20, 20)).astype(dtype)
        terms = _lines.decompose(w)
        assert len(terms) == rank == count_terms(w)
        assert all(line.dtype == w.dtype and line.ndim == 1 for term in terms for line in term)
        assert error_of(terms, w) <= 4


@pytest.mark.parametrize("sigma", [0.5, 1, 2, 5, 8])
def test_gaussians_are_found(sigma):
    line = gaussian(sigma)
    for w in (
        np.outer(line, line).astype("f"),
        np.outer(line.astype("f"), line.astype("f")),
        np.outer(line, gaussian(2 * sigma)).astype("f"),
        np.outer(line, line),
    ):
        (term,) = _lines.decompose(w)
        assert error_of([term], w) <= 4.5


@pytest.mark.parametrize("dtype", "fd")
def test_other_kernels_are_not_taken_for_sums_of_products(dtype, rng):
    product = np.outer(gaussian(2), gaussian(3)).astype(dtype)
    spoilt = {
        "random": rng.random((15, 15)),
        "of rank 4": rng.random((20, 4)) @ rng.random((4, 30)),
        "off by little": product * (1 + 1e-5 * rng.random(product.shape)),
        "Gaussian on a disc": np.where(np.add.outer(*[np.arange(-7, 8) ** 2] * 2) < 50, 1, 0.5),
    }
    for value in (0, np.nan, np.inf):
        spoilt[f"with one {value}"] = product.copy()
        spoilt[f"with one {value}"][3, 4] = value
    for name, w in spoilt.items():
        assert _lines.decompose(w.astype(dtype)) == (), name
        assert count_terms(w.astype(dtype)) == 0, name


def test_kernels_of_small_extents_are_sums_of_as_many_products(rng):
    for shape in ((1, 9), (9, 1), (2, 9), (9, 2), (3, 3)):
        w = rng.standard_normal(shape).astype("f")
        assert len(_lines.decompose(w)) == min(shape)


SINGLE = np.dtype(np.float32)


@pytest.mark.parametrize("sigma", [1.5, 2, 3, 5, 8, 20, 100])
def test_rounded_taps_keep_their_sum(sigma):
    """And their symmetry, and their values within a few units in the last place."""
    line = gaussian(sigma)
    taps = _lines.rounded(line, SINGLE)
    assert taps.dtype == SINGLE
    np.testing.assert_array_equal(taps, taps[::-1])
    assert abs(taps.astype("d").sum() - line.sum()) <= 1e-3 * epsilon("f")
    assert (abs(taps - line) <= 4 * np.spacing(line.astype("f"))).all()


def test_rounded_taps_of_any_kind(rng):
    for n in (1, 2, 3, 8, 9, 25):
        half = rng.standard_normal(n) * 10.0 ** rng.integers(-3, 4, n)
        symmetric = np.concatenate([half[:0:-1], half])
        for line in (half, symmetric, half * 0, symmetric.round(1)):
            kept = line.copy()
            taps = _lines.rounded(line, SINGLE)
            np.testing.assert_array_equal(line, kept)
            assert (abs(taps - line) <= 6 * np.spacing(abs(line).astype("f"))).all()
            assert np.array_equal(taps, taps[::-1]) == np.array_equal(line, line[::-1])
            np.testing.assert_array_equal(_lines.rounded(line, np.dtype("d")), line)


@pytest.mark.parametrize("line", [[np.inf] * 3, [np.inf, np.inf, 1, np.inf, np.inf], [1e39] * 3])
def test_taps_past_float32_are_infinite(line):
    with np.errstate(over="ignore"):
        taps = _lines.rounded(np.array(line), SINGLE)
        np.testing.assert_array_equal(taps, np.array(line, SINGLE))


# All methods --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", NAMES)
def test_every_refusal_is_a_reason(method):
    rng = np.random.default_rng(7)
    for _ in range(300):
        reason = reason_against(random_problem(rng), method)
        assert reason is None or isinstance(reason, Reason)


@pytest.mark.parametrize("method", NAMES)
def test_estimates(method):
    """Positive, finite, no less than it must take, and within the bound on workspace."""
    rng = np.random.default_rng(8)
    module = next(m for m in METHODS if method == m.NAME)
    for _ in range(300):
        problem = random_problem(rng)
        if module.reject(problem) is None:
            estimate = module.estimate(problem)
            alone, shared = (_cost.predict(estimate, threads) for threads in (1, 2))
            for prediction in (alone, shared):
                assert 0 < prediction.seconds < 1e3
                assert 0 <= prediction.shared <= alone.seconds
                assert prediction.bound in ("arithmetic", "cache", "memory", "call")
            assert module.least(problem) <= alone.seconds
            assert module.error(problem) >= 0
            assert 0 <= estimate.workspace <= problem.workspace_limit


@pytest.mark.parametrize("dtype", "fdFD")
@pytest.mark.parametrize("boundary", range(6), ids=BOUNDARIES)
def test_fft_in_blocks(boundary, dtype):
    """Long enough for overlap-save and for kernels in parts, in one and two dimensions."""
    rng = np.random.default_rng(9)
    cases = [
        ((30_000,), (200,)),
        ((5_000,), (6_000,)),
        ((300, 200), (20, 31)),
        ((3, 9_000), (1, 99)),
    ]
    for shape, kernel in cases:
        full = tuple(n + m - 1 for n, m in zip(shape, kernel, strict=True))
        offset = tuple(1 - m for m in kernel)
        axes = tuple(a for a, m in enumerate(kernel) if m > 1)
        fill = 2 if boundary == CONSTANT else 0
        x, w = random_array(rng, shape, dtype), random_array(rng, kernel, dtype)
        problem = Problem(
            shape, kernel, full, axes, offset, np.dtype(dtype), Boundary(boundary), fill
        )
        results = []
        for method in ("fft", "direct"):
            out = np.empty(full, dtype)
            solve(problem, method, x, w, out)
            results.append(out.astype(np.clongdouble))
        filled = np.append(x, np.full(2 * sum(kernel), fill, dtype))
        bound = 2 * fft_bound(filled, w, dtype, reach=3)
        assert np.abs(results[0] - results[1]).max() <= bound
