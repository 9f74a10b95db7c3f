"""
Passes along one axis after the other, over blocks that stay in the cache.

A kernel that is a product of lines (or a sum of a few such products, see `_lines`) is applied line
by line: fastconv/_native/blocks.cpp carries a block of the output through all passes before it
takes the next, so that data is read and written once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastconv import _cost
from fastconv._cost import Estimate
from fastconv._methods import _blocks, _lines, _rounding, reference
from fastconv._native import _core
from fastconv._problem import SMALL_SIZE, Boundary, Lines, Problem, Reason, Shape

NAME = "separable"
PLAIN = False


def reject(problem: Problem) -> Reason | None:
    """Take kernels that are lines, or known to be sums of few products of them."""
    if problem.empty:
        return Reason.EMPTY
    if problem.layer:
        return Reason.LAYER
    if problem.dtype not in (np.float32, np.float64):
        return Reason.DTYPE
    if not problem.lines:
        if problem.cut is not None:
            return Reason.CUT
        if problem.terms is None:
            return Reason.UNKNOWN_KERNEL
        if problem.terms == 0:
            return Reason.NOT_SEPARABLE
    return None


def passes_of(problem: Problem) -> Shape:
    """Return the axes of the passes: those of the lines given, or those that have taps."""
    return problem.lines or tuple(a for a in problem.axes if problem.w[a] > 1)


def least(problem: Problem) -> float:
    """Nothing that could be said without counting."""
    return 0.0


def estimate(problem: Problem) -> Estimate:
    """Passes over blocks that are staged once, or over whole arrays where no block holds them."""
    axes = passes_of(problem)
    rounds = 1 if _blocks.fits(problem, axes) else len(axes)
    work = (
        ("call.separable.found", not problem.lines),
        *_blocks.pass_work(problem, axes),
        _cost.traffic(rounds * problem.traffic),
    )
    elements = max(problem.terms or 1, 1) * math.prod(problem.out)
    steps = [2 * math.log2(n) if problem.box else n for n in (problem.w[a] for a in axes)]
    return Estimate(work, products=elements * sum(steps))


def error(problem: Problem) -> float:
    """Return what passes may err by, one after the other, and what finding their lines left out."""
    axes = passes_of(problem)
    passes = sum(_rounding.direct_bound(problem.w[a], problem.dtype) for a in axes)
    if problem.cut is not None and problem.cut.kind == "f":  # after every pass, not the last alone
        passes += (len(axes) - 1) * _rounding.unit_roundoff(problem.cut)
    # Of orthogonal terms, each of which errs by its own norm.
    passes *= math.sqrt(problem.terms or 1)
    return passes if problem.lines else passes + _lines.error(problem.dtype)


def build(problem: Problem, shared: float | None = None) -> Runner:
    """Return the callable that solves problems of this shape; `shared` as predicted."""
    if shared is None:
        shared = _cost.predict(estimate(problem)).shared
    return Runner(problem, shared, problem.fill_element)


@dataclass(frozen=True, slots=True)
class Runner:
    """Solves one problem by passes."""

    problem: Problem
    shared: float  # seconds of work that threads share
    fill: np.ndarray | None

    def converts(self, x: np.dtype[Any], out: np.dtype[Any]) -> bool:
        """Blocks are converted on their way in and out."""
        return _core.is_stored(x) and _core.is_stored(out)

    def prepare(self, w: np.ndarray | Lines) -> Lines:
        """Convert the lines, or find them."""
        if not isinstance(w, Lines):
            return self._find(w)
        dtype = self.problem.dtype
        terms = tuple(tuple(_lines.rounded(line, dtype) for line in lines) for lines in w.terms)
        return Lines(terms, w.axes, w.ndim)

    def _find(self, w: np.ndarray) -> Lines:
        axes = passes_of(self.problem)
        taps = w.reshape([self.problem.w[a] for a in axes])
        return Lines(_lines.decompose(taps), axes, w.ndim)

    def __call__(self, x: np.ndarray, kernel: Lines, out: np.ndarray, threads: int) -> None:
        """Fill `out`."""
        problem = self.problem
        threads = _cost.threads_for(self.shared, threads)
        if _blocks.fits(problem, kernel.axes) and _run(problem, x, kernel, out, self.fill, threads):
            return
        for number, lines in enumerate(kernel.terms):
            target = out if number == 0 else np.empty(out.shape, out.dtype)
            self._run_one_by_one(x, lines, kernel.axes, target, threads)
            if number > 0:
                out += target

    def _run_one_by_one(
        self,
        x: np.ndarray,
        lines: tuple[np.ndarray, ...],
        axes: Shape,
        out: np.ndarray,
        threads: int,
    ) -> None:
        """Pass over whole arrays: the halos of all axes together would be larger than a block."""
        # Between passes a boolean is the byte of its sum, as it is inside a block.
        between = np.dtype(np.uint8) if out.dtype.kind == "b" else out.dtype
        for number, (axis, line) in enumerate(zip(axes, lines, strict=True)):
            target = out if number == len(axes) - 1 else np.empty(out.shape, between)
            part = self._along(axis)
            one = Lines(((line,),), (axis,), x.ndim)
            if not (_blocks.fits(part, (axis,)) and _run(part, x, one, target, self.fill, threads)):
                _sum_plainly(part, x, line, target)
            x = target

    def _along(self, axis: int) -> Problem:
        """Return the problem of one pass."""

        def only(values: Shape, other: int) -> Shape:
            return tuple(v if a == axis else other for a, v in enumerate(values))

        problem = self.problem
        return replace(
            problem,
            axes=(axis,),
            lines=(axis,),
            terms=1,
            w=only(problem.w, 1),
            offset=only(problem.offset, 0),
        )


def _run(
    problem: Problem,
    x: np.ndarray,
    kernel: Lines,
    out: np.ndarray,
    fill: np.ndarray | None,
    threads: int,
) -> bool:
    """Run passes together, or return False where the scratch cannot hold their blocks."""
    if problem.box:
        kind = _core.PASS_RUNNING if _runs_whole(problem) else _core.PASS_BOX
    elif _blocks.is_ordered(problem):
        kind = _core.PASS_ORDERED
    else:
        kind = _core.PASS_TILE
    passes = [
        (kind, axis, [lines[number] for lines in kernel.terms])
        for number, axis in enumerate(kernel.axes)
    ]
    try:
        _blocks.run(problem, x, passes, out, fill, threads)
    except _core.ScratchError:
        return False
    return True


def _runs_whole(problem: Problem) -> bool:
    """Whether whole lines of so small a problem fit a block: running sums give SciPy's bits."""
    window = math.prod(n + taps for n, taps in zip(problem.out, problem.w, strict=True))
    return (
        problem.dtype == np.float64
        and math.prod(problem.out) <= SMALL_SIZE
        and window * problem.dtype.itemsize <= _blocks.WINDOW_BYTES
    )


def _sum_plainly(problem: Problem, x: np.ndarray, line: np.ndarray, out: np.ndarray) -> None:
    """Take a line so long that no block holds its halo."""
    axis = problem.axes[0]
    taps = np.ones(line.size, problem.dtype) if problem.box else line
    repeats = _PERIODS.get(problem.boundary)
    period = line.size if repeats is None else repeats(problem.x[axis])
    if period < taps.size:  # the extended data repeats: taps that meet the same are one
        taps = np.pad(taps, (0, -taps.size % period)).reshape(-1, period).sum(axis=0)
    w = tuple(taps.size if a == axis else 1 for a in range(x.ndim))
    plain = replace(problem, lines=(), terms=0, cut=None, box=False, w=w)
    total = np.empty(plain.out, plain.dtype)
    reference.build(plain)(x.astype(plain.dtype), taps.reshape(w), total, 1)
    if problem.box:
        total /= line.size
    with np.errstate(invalid="ignore"):
        out[...] = total.astype(np.int64).astype(out.dtype) if out.dtype.kind in "biu" else total


# After how many samples an extended line repeats.
_PERIODS: dict[Boundary, Callable[[int], int]] = {
    Boundary.REFLECT: lambda n: 2 * n,
    Boundary.MIRROR: lambda n: max(2 * n - 2, 1),
    Boundary.WRAP: lambda n: n,
}
