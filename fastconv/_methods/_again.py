"""
Blocks that transforms could not do well, done again.

Transforms spread what a block holds over all its outputs: a NaN, and the rounding errors of its
largest numbers. A block that was marked for it is done with more digits; where that is not enough,
those parts of it whose windows hold only what is small beside all the data are summed up by
themselves. What cancels in a window of large numbers stays as float64 gives it: the sum itself errs
as much.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from fastconv import _cost
from fastconv._methods import _nonfinite, direct, fft
from fastconv._native import _core
from fastconv._problem import Boundary, Problem

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
    if x.dtype.kind in "biu":  # the least integer has no |x| of its type
        return float(max(int(x.max()), -int(x.min())))
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

    def take(self, region: Region) -> None:
        """Sum up a region, by transforms of its own data alone where that is faster."""
        problem = self.blocks.problem
        data, part = self._read(region)
        target = self.out[region]
        own = target.dtype == problem.dtype and target.flags.aligned
        result = target if own else np.empty(part.out, problem.dtype)
        less = math.prod(part.out) < math.prod(problem.out)
        runner = (self.blocks.of_part(part) if less else None) or direct.build(part)
        runner(data, runner.prepare(self.w), result, self.threads)
        if not own:
            target[...] = result

    def take_small(self, region: Region) -> None:
        """Sum up the parts of a region whose windows hold only what is small beside all data."""
        problem = self.blocks.problem
        axes = [a for a in problem.axes if problem.w[a] > 1]
        data, part = self._read(region)
        step = _PART.get(len(axes), 8)
        peaks = np.abs(data)
        for a in axes:
            # The windows of each part, one axis after the other.
            along = [
                peaks[(slice(None),) * a + (slice(s, s + step + problem.w[a] - 1),)].max(axis=a)
                for s in range(0, part.out[a], step)
            ]
            peaks = np.stack(along, axis=a)
        for found, do in (
            (peaks == 0, self._clear),
            ((peaks > 0) & (peaks < _SMALL_WINDOW * self.largest), self.take),
        ):
            for box in _boxes(found):
                sides = []
                for a, (parts, outputs) in enumerate(zip(box, region, strict=True)):
                    size = step if a in axes else 1
                    first, last = outputs.start + parts.start * size, parts.stop * size
                    sides.append(slice(first, min(outputs.start + last, outputs.stop)))
                do(tuple(sides))

    def _clear(self, region: Region) -> None:
        self.out[region] = 0

    def _read(self, region: Region) -> tuple[np.ndarray, Problem]:
        data, part = _read(self.blocks.problem, region, self.x, self.threads)
        finite = np.isfinite(data)
        if not finite.all():
            data[~finite] = 0
        return data, part


def _read(
    problem: Problem, region: Region, x: np.ndarray, threads: int
) -> tuple[np.ndarray, Problem]:
    """Return the data that a region's windows read, edges and all, and the problem of it."""
    window, part = problem.part(region)
    extents = tuple(n + w - 1 for n, w in zip(part.out, part.w, strict=True))
    data, fill = x[window], problem.fill_element
    if fill is not None:  # which the data's own dtype may not hold
        data = data.astype(problem.dtype, copy=False)
    read = np.empty(extents, data.dtype)
    _core.gather(data, read, part.offset, part.boundary, fill, threads)
    inside = replace(part, x=extents, offset=(0,) * len(extents), boundary=Boundary.ZERO, fill=0)
    return read.astype(problem.dtype, copy=False), inside


def _boxes(wanted: np.ndarray) -> Iterator[tuple[slice, ...]]:
    """Cover what is wanted by boxes that do not overlap."""
    left = wanted.copy()
    while left.any():
        start = np.unravel_index(int(np.argmax(left)), left.shape)
        box = [slice(int(i), int(i) + 1) for i in start]
        for a in reversed(range(left.ndim)):
            while box[a].stop < left.shape[a]:
                ahead = slice(box[a].stop, box[a].stop + 1)
                if not left[(*box[:a], ahead, *box[a + 1 :])].all():
                    break
                box[a] = slice(box[a].start, ahead.stop)
        left[tuple(box)] = False
        yield tuple(box)


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

    # Beyond a fixed value at the edges a slab of the outputs reads a slab of the data; else all.
    fixed = problem.boundary in (Boundary.ZERO, Boundary.CONSTANT)
    if kernel.nonfinite or (fixed and numbers.size > _FEW_BLOCKS):
        _nonfinite.mend(solve, problem, x, kernel.w, out)
        return
    for number in numbers.tolist():
        region = blocks.region(number)
        data, part = _read(problem, region, x, threads)
        summed = _cost.predict(direct.estimate(part)).seconds
        own = out.dtype == problem.dtype and out.flags.aligned
        if own and summed < _MENDING_PASSES * blocks.block_seconds:
            runner = direct.build(part)
            runner(data, runner.prepare(kernel.w), out[region], threads)
        else:
            _nonfinite.mend(solve, part, data, kernel.w, out[region])
