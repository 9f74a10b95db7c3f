"""
Blocks that transforms could not do well, done again.

Transforms spread what a block holds over all its outputs: a NaN, and the rounding errors of its
largest numbers. A block that was marked for it is done with more digits, or where that is not
enough by the sum itself, so that results are those of the direct method within what is promised.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from fastconv import _cost
from fastconv._methods import _nonfinite, direct, fft
from fastconv._native import _core
from fastconv._problem import Problem

Region = tuple[slice, ...]

# Marked for NaN or Inf in so many blocks, all the result is mended at once.
_FEW_BLOCKS = 16
# Transforms that mending takes for each block.
_MENDING_PASSES = 4
# Outputs that are looked at together, along each axis by the number of axes: no part is smaller.
_PART = {1: 64, 2: 32, 3: 16}
# The sum itself is taken where its windows hold nothing above this part of the largest datum: its
# errors are smaller by about that much.
_SMALL_WINDOW = 2.0**-10


class Kernel(Protocol):
    """A prepared kernel."""

    @property
    def w(self) -> np.ndarray:
        """As it was given."""

    @property
    def nonfinite(self) -> bool:
        """Whether it holds NaN or Inf."""


class Blocks(Protocol):
    """A problem cut into blocks that can be done one by one."""

    @property
    def problem(self) -> Problem:
        """What is solved."""

    @property
    def block_seconds(self) -> float:
        """Of one block."""

    def region(self, number: int) -> Region:
        """Outputs of a block."""

    def suits(self, kernel: Any, dtype: np.dtype[Any]) -> bool:
        """Whether numbers of this dtype hold the kernel's spectrum."""

    def of_part(self, part: Problem) -> Any:
        """Return what solves a part of the problem by transforms; None where that does not pay."""

    def correlate(
        self,
        x: np.ndarray,
        kernel: Any,
        out: np.ndarray,
        dtype: np.dtype[Any],
        chosen: np.ndarray | None,
        threads: int,
    ) -> np.ndarray:
        """Do the chosen blocks; return marks of all."""


def settle(
    blocks: Blocks, x: np.ndarray, kernel: Kernel, out: np.ndarray, marks: np.ndarray, threads: int
) -> None:
    """
    Do again what is marked, and mend what meets NaN or Inf.

    Parameters
    ----------
    blocks : Blocks
        What did them.
    x, out : ndarray
        Data and result.
    kernel : Kernel
        The kernel.
    marks : ndarray of uint8
        Of every block.
    threads : int
        The most threads.
    """
    problem = blocks.problem
    doubtful = _marked(marks, _core.BLOCK_UNSURE | _core.BLOCK_OUT_OF_RANGE)
    again = marks
    if doubtful.size and problem.dtype.char in "fF":
        wide = np.result_type(problem.dtype, np.float64)
        if blocks.suits(kernel, wide):
            again = blocks.correlate(x, kernel, out, wide, doubtful, threads)
            doubtful = _marked(again, _core.BLOCK_UNSURE | _core.BLOCK_OUT_OF_RANGE)
    if doubtful.size:
        sums = _Sums(blocks, x, _nonfinite.split(kernel.w).finite, out, _largest(x), threads)
        for number in doubtful.tolist():
            region = blocks.region(number)
            if again[number] & _core.BLOCK_OUT_OF_RANGE:
                sums.take(region)
            else:
                sums.take_small(region)
    _mend(blocks, x, kernel, out, _marked(marks, _core.BLOCK_NONFINITE), threads)


def _marked(marks: np.ndarray, mark: int) -> np.ndarray:
    return np.flatnonzero(marks & mark)


def _largest(x: np.ndarray) -> float:
    """Return the largest |x| that is finite."""
    return float(np.max(np.abs(x), where=np.isfinite(x), initial=0))


# --- the sum itself -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Sums:
    """Takes sums over regions of the outputs; NaN and Inf in the data count as zero."""

    blocks: Blocks
    x: np.ndarray
    w: np.ndarray
    out: np.ndarray
    largest: float
    threads: int

    def take_small(self, region: Region) -> None:
        """Take the sums whose windows hold nothing but what is small beside all the data."""
        problem = self.blocks.problem
        here = _largest(self.x[problem.part(region)[0]])
        if problem.padded and problem.fill:
            here = max(here, abs(problem.fill))
        if here == 0:
            self.out[region] = 0
        elif here < _SMALL_WINDOW * self.largest:
            self.take(region)
        else:
            for half in self._halves(region):
                self.take_small(half)

    def _halves(self, region: Region) -> tuple[Region, ...]:
        """Split a region along its longest axis; nothing if it is as small as can be."""
        problem = self.blocks.problem
        axes = [a for a in problem.axes if problem.w[a] > 1]
        longest = max(axes, key=lambda a: region[a].stop - region[a].start)
        s = region[longest]
        if s.stop - s.start <= _PART.get(len(axes), 8):
            return ()
        middle = (s.start + s.stop) // 2
        return tuple(
            (*region[:longest], part, *region[longest + 1 :])
            for part in (slice(s.start, middle), slice(middle, s.stop))
        )

    def take(self, region: Region) -> None:
        """Sum up a region, by transforms of its own data alone where that is faster."""
        problem = self.blocks.problem
        window, part = problem.part(region)
        data = self.x[window]
        finite = np.isfinite(data)
        if not finite.all() or data.dtype != problem.dtype:
            data = np.where(finite, data, data.dtype.type(0)).astype(problem.dtype)
        target = self.out[region]
        own = target.dtype == problem.dtype and target.flags.aligned
        result = target if own else np.empty(part.out, problem.dtype)
        less = part.x != problem.x or part.out != problem.out
        runner = (self.blocks.of_part(part) if less else None) or direct.build(part)
        runner(data, runner.prepare(self.w), result, self.threads)
        if not own:
            target[...] = result


# --- NaN and Inf ----------------------------------------------------------------------------------


def _mend(
    blocks: Blocks,
    x: np.ndarray,
    kernel: Kernel,
    out: np.ndarray,
    numbers: np.ndarray,
    threads: int,
) -> None:
    problem = blocks.problem

    def solve(problem: Problem, x: np.ndarray, w: np.ndarray, out: np.ndarray) -> None:
        runner = blocks.of_part(problem)
        if runner is None:
            fft.solve_finite(threads)(problem, x, w, out)
        else:  # what rounding leaves is of no matter here
            runner.correlate(x, runner.prepare(w), out, problem.dtype, None, threads)

    if kernel.nonfinite or numbers.size > _FEW_BLOCKS:
        _nonfinite.mend(solve, problem, x, kernel.w, out)
        return
    for number in numbers.tolist():
        region = blocks.region(number)
        window, part = problem.part(region)
        summed = part.macs / _cost.direct_rate(problem.dtype)
        own = x.dtype == problem.dtype == out.dtype and out.flags.aligned
        if own and summed < _MENDING_PASSES * blocks.block_seconds:
            runner = direct.build(part)
            runner(x[window], runner.prepare(kernel.w), out[region], threads)
        else:
            _nonfinite.mend(solve, part, x[window], kernel.w, out[region])
