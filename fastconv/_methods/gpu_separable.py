"""
Passes along one axis after the other on a GPU.

A kernel that is a product of lines, or a sum of a few such products, is applied line by line.
Between passes the whole array goes through memory, but for the last two: where one of them lies
along the columns, they are one (fastconv/_cuda/passes.cu).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastconv import _devices
from fastconv._cost import Estimate
from fastconv._methods import _blocks, _gpu_filters, _lines, gpu_direct, separable
from fastconv._methods._gpu_filters import ORDERED_TAP
from fastconv._problem import Boundary, Lines, Problem, Reason, Shape

NAME = "gpu_separable"
PLAIN = False
# As SciPy tells whether a line is symmetric.
_SYMMETRY = float(np.finfo(np.float64).eps)

least = separable.least
error = separable.error


def reject(problem: Problem) -> Reason | None:
    """Take what the host's passes take, but no kernel to be split that meets a fill."""
    if not problem.lines and problem.boundary is Boundary.CONSTANT and problem.fill != 0:
        return Reason.PASSES
    return separable.reject(problem)


def estimate(problem: Problem) -> Estimate:
    """Passes over the whole data, each once through memory."""
    axes, terms = separable.passes_of(problem), max(problem.terms or 1, 1)
    taps = sum(problem.w[a] for a in axes)
    if _blocks.is_ordered(problem):
        return _gpu_filters.estimate_ordered(problem, taps, len(axes))
    counted = _gpu_filters.work(problem, terms * taps, terms * len(axes))
    return Estimate(
        counted, _workspace(problem), products=float(terms * taps) * problem.macs / problem.taps
    )


def _workspace(problem: Problem) -> int:
    """Return the bytes between passes: of the array before and of that behind, and of a sum."""
    size = problem.dtype.itemsize
    for n in problem.out:
        size *= n
    return size * (3 if (problem.terms or 1) > 1 else 2)


def build(problem: Problem, shared: float | None = None) -> Runner:
    """Return the callable that solves problems of this shape; a GPU shares its work by itself."""
    return Runner(problem)


@dataclass(frozen=True, slots=True)
class _Line:
    """The taps of a pass on the GPU: as they stand, or as the list of those in order."""

    taps: Any
    finite: bool = True
    fold: int = 0  # of those in order


# For each term the lines of its passes.
Kernel = tuple[tuple[_Line, ...], ...]


@dataclass(frozen=True, slots=True)
class Runner:
    """Solves one problem by passes."""

    problem: Problem

    def converts(self, x: np.dtype[Any], out: np.dtype[Any]) -> bool:
        """Elements are converted as they are read and written."""
        return True

    def prepare(self, w: Any) -> Kernel:
        """Bring the lines to the GPU, or find them first."""
        problem = self.problem
        if isinstance(w, Lines):
            terms = w.terms
        else:
            axes = separable.passes_of(problem)
            taps = _devices.to_host(w).reshape([problem.w[a] for a in axes])
            terms = _lines.decompose(taps)
        return tuple(tuple(self._prepared(line) for line in lines) for lines in terms)

    def _prepared(self, line: np.ndarray) -> _Line:
        problem = self.problem
        if problem.box:
            return _Line(gpu_direct.uploaded(np.ones(line.size, problem.dtype)))
        if _blocks.is_ordered(problem):
            taps, fold = _in_order(line)
            return _Line(gpu_direct.uploaded(taps), fold=fold)
        rounded = _lines.rounded(line, problem.dtype)
        return _Line(gpu_direct.uploaded(rounded), bool(np.isfinite(rounded).all()))

    def __call__(self, x: Any, kernel: Kernel, out: Any, threads: int) -> None:
        """Fill `out`."""
        if len(kernel) == 1:
            self._run(x, kernel[0], out)
            return
        problem = self.problem
        total = None
        for lines in kernel:
            part = _devices.empty(problem.out, problem.dtype, problem.device)
            self._run(x, lines, part)
            if total is None:
                total = part
            else:
                total += part
        out[...] = total

    def _run(self, x: Any, lines: tuple[_Line, ...], out: Any) -> None:
        """Fill `out` by one product of lines, the last two passes in one where they can be."""
        problem, axes = self.problem, separable.passes_of(self.problem)
        between = self._between()
        for number, (axis, line) in enumerate(zip(axes, lines, strict=True)):
            if number == len(axes) - 2 and self._run_two(x, axes[-2:], lines[-2:], out):
                return
            last = number == len(axes) - 1
            target = out if last else _devices.empty(problem.out, between, problem.device)
            part = _along(problem, (axis,), x.shape)
            if line.fold:
                _gpu_filters.correlate_in_order(part, x, line.taps, line.fold, target)
            else:
                taps = line.taps.reshape(part.w)
                divisor = self._divisor(axis)
                _gpu_filters.correlate(part, x, taps, target, divisor=divisor)
            x = target

    def _run_two(self, x: Any, axes: Shape, lines: tuple[_Line, ...], out: Any) -> bool:
        """Run two passes as one, in the order given or the other where that gives the same."""
        problem = self.problem
        if lines[0].fold or not all(line.finite for line in lines):
            return False
        both = _along(problem, axes, x.shape)
        # Beyond the edges the second pass meets the fill as it is, not what the first made of it:
        # the order tells, unless lines are means.
        filled = problem.boundary is Boundary.CONSTANT and not problem.box
        orders = ((0, 1),) if filled or problem.cut is not None else ((0, 1), (1, 0))
        return any(
            _gpu_filters.correlate_twice(
                both,
                x,
                (lines[first].taps, lines[second].taps),
                out,
                first=axes[first],
                between=self._between(),
                divisors=(self._divisor(axes[first]), self._divisor(axes[second])),
            )
            for first, second in orders
        )

    def _divisor(self, axis: int) -> int:
        """Return what the sums along an axis are divided by; 0 for nothing."""
        return self.problem.w[axis] if self.problem.box else 0

    def _between(self) -> np.dtype[Any]:
        """Return the dtype of what one pass hands to the next."""
        cut = self.problem.cut
        if cut is None:
            return self.problem.dtype
        # Between passes a boolean is the byte of its sum.
        return np.dtype(np.uint8) if cut.kind == "b" else cut


def _along(problem: Problem, axes: Shape, x: Shape) -> Problem:
    """Return the problem of passes along some of the axes."""
    return replace(
        problem,
        x=x,
        w=tuple(n if a in axes else 1 for a, n in enumerate(problem.w)),
        offset=tuple(n if a in axes else 0 for a, n in enumerate(problem.offset)),
        axes=tuple(sorted(axes)),
        lines=(),
    )


def _in_order(line: np.ndarray) -> tuple[np.ndarray, int]:
    """
    Return the taps of a line in SciPy's order, and how they are folded.

    Symmetric lines start from the middle and go outward from the first pair on, others start with
    the last tap.
    """
    last, middle = line.size - 1, line.size // 2
    mirrored = line[::-1]
    fold = 0
    if line.size % 2:
        if np.all(np.abs(line - mirrored)[:middle] <= _SYMMETRY):
            fold = 1
        elif np.all(np.abs(line + mirrored)[:middle] <= _SYMMETRY):
            fold = -1
    taps = np.empty(middle + 1 if fold else line.size, ORDERED_TAP)
    taps["second"] = -1
    if fold:
        taps["first"] = [middle, *range(middle)]
        taps["second"][1:] = last - np.arange(middle)
    else:
        taps["first"] = [last, *range(last)]
    taps["weight"] = line[taps["first"]]
    return taps.view(np.int64).reshape(-1, 3), fold or 1
