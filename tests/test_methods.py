"""Every method on random Problems, below the fronts: all boundaries, batches, kernels of their own.

The same problems for each method; one that refuses gives its reason and is left out.
"""

import warnings

import numpy as np
import pytest
from arrays import LAYOUTS, NATIVE_LAYOUTS, laid_out
from oracle import (
    BOUNDARIES,
    CONSTANT,
    assert_within,
    correlate_reference,
    direct_bound,
    fft_bound,
    random_array,
)

from fastconv import _planner
from fastconv._methods import METHODS
from fastconv._problem import Boundary, Problem, Reason

DTYPES = tuple("?bBhHiIqQfdgFDG")
NAMES = tuple(m.NAME for m in METHODS)
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


def solve(problem, method, x, w, out, threads=2):
    choice = _planner.choose(problem, method, threads)
    choice.run(x, choice.prepare(w), out, threads)


def reason_against(problem, method):
    return next(m for m in METHODS if method == m.NAME).reject(problem)


@pytest.mark.parametrize("seed", range(CHUNKS))
@pytest.mark.parametrize("method", NAMES)
def test_random_problems(method, seed):
    rng = np.random.default_rng([6, seed])
    solved = 0
    for _ in range(CHUNK):
        problem = random_problem(rng)
        layouts = [LAYOUTS[i] for i in rng.integers(len(LAYOUTS), size=2)]
        out_layout = NATIVE_LAYOUTS[rng.integers(len(NATIVE_LAYOUTS))]
        x, w = (random_array(rng, s, problem.dtype, small=True) for s in (problem.x, problem.w))
        if reason_against(problem, method):
            continue
        solved += 1
        out = laid_out(np.zeros(problem.out, problem.dtype), out_layout)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            solve(problem, method, laid_out(x, layouts[0]), laid_out(w, layouts[1]), out)
        check(problem, method, x, w, out)
    # tilefft takes floats by one kernel, which are a few of these; test_tilefft.py has more.
    assert solved > (CHUNK // 20 if method == "tilefft" else CHUNK // 4)


def check(problem, method, x, w, out):
    rest = problem.out, problem.offset, problem.boundary, problem.fill, problem.axes
    expected = correlate_reference(x, w, *rest)
    if problem.dtype.kind not in "fc":
        bound = 0
    elif method in ("fft", "tilefft"):
        repeats = sum(problem.out) // max(min(problem.x), 1) + 2
        filled = np.append(x, np.full(max(sum(problem.out), 1), problem.fill, problem.dtype))
        bound = fft_bound(filled, w, problem.dtype, repeats)
    else:
        bound = direct_bound(x, w, problem.dtype, *rest)
    label = f"{problem} {BOUNDARIES[problem.boundary]}"
    assert_within(out, expected, bound, problem.dtype, label)


@pytest.mark.parametrize("method", NAMES)
def test_every_refusal_is_a_reason(method):
    rng = np.random.default_rng(7)
    for _ in range(300):
        reason = reason_against(random_problem(rng), method)
        assert reason is None or isinstance(reason, Reason)


@pytest.mark.parametrize("method", NAMES)
def test_estimates(method):
    """Positive, finite, and within the bound on workspace that a method promises."""
    rng = np.random.default_rng(8)
    module = next(m for m in METHODS if method == m.NAME)
    for _ in range(300):
        problem = random_problem(rng)
        if module.reject(problem) is None:
            estimate = module.estimate(problem, 2)
            assert 0 < estimate.seconds < 1e3
            assert estimate.bound
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
