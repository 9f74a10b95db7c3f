"""Direct correlation by register-tiled SIMD kernels (fastconv/_native/tile.hpp)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastconv import _cost
from fastconv._methods import _blocks, _nonfinite
from fastconv._native import _core
from fastconv._problem import Boundary, Estimate, Problem, Reason, Shape

NAME = "direct"

# Edges are gathered into scratch with all the rows that a tile reads; the driver refuses more.
_SCRATCH_LIMIT = 16 << 20
_EDGE_BYTES = 8 << 10
_TILE_ROWS = 8


def reject(problem: Problem) -> Reason | None:
    """Take every dtype that has a kernel, unless one tile's window outgrows the scratch."""
    if problem.empty:
        return Reason.EMPTY
    if problem.layer:
        return Reason.LAYER
    if not _core.has_kernel(problem.dtype):
        return Reason.DTYPE
    if problem.by_passes:
        return Reason.PASSES
    if _blocks.is_ordered(problem) and not _blocks.fits(problem, problem.axes):
        return Reason.SCRATCH
    taps = sorted((problem.w[a] for a in problem.axes), reverse=True)
    item = problem.dtype.itemsize
    halo_bytes = max(problem.w, default=1) * item + _EDGE_BYTES
    rows = (taps[1] if len(taps) > 1 else 1) + _TILE_ROWS
    if halo_bytes * rows * math.prod(taps[2:]) > _SCRATCH_LIMIT:
        return Reason.SCRATCH
    return None


def estimate(problem: Problem, threads: int) -> Estimate:
    """Arithmetic at the kernels' rate, or memory traffic at the machine's."""
    arithmetic = _arithmetic(problem)
    memory = problem.traffic / _cost.MEMORY_RATE
    problems = math.prod(problem.x[a] for a in problem.varying)
    call = problems * _cost.CALL_SECONDS
    seconds = _cost.parallel(max(arithmetic, memory), threads) + call
    bound = "arithmetic" if arithmetic > memory else "memory"
    return Estimate(seconds, "call" if call > seconds / 2 else bound)


def _arithmetic(problem: Problem) -> float:
    seconds = problem.macs / _cost.direct_rate(problem.dtype)
    return seconds * _cost.ORDERED_SLOWDOWN if _blocks.is_ordered(problem) else seconds


def _pays_in_blocks(problem: Problem) -> bool:
    """Whether edges are so great a part (in volumes) that whole blocks are staged with theirs."""
    convolved = [a for a in problem.axes if problem.w[a] > 1]
    return (
        len(convolved) > 2
        and problem.dtype in (np.float32, np.float64)
        and not problem.varying
        and _blocks.fits(problem, problem.axes)
    )


def build(problem: Problem) -> Runner:
    """Return the callable that solves problems of this shape."""
    return Runner(
        problem,
        _arithmetic(problem),
        problem.varying,
        problem.padded and problem.boundary is Boundary.ZERO,
        _pays_in_blocks(problem),
        problem.fill_element,
    )


@dataclass(frozen=True, slots=True)
class Runner:
    """Solves one problem with the direct kernels."""

    problem: Problem
    seconds: float  # on one core
    varying: Shape
    meets_zeros: bool  # whether some window reaches the zeros beyond an edge
    in_blocks: bool  # whether data of its own dtype goes through blocks, too
    fill: np.ndarray | None

    def converts(self, x: np.dtype[Any], out: np.dtype[Any]) -> bool:
        """Blocks are converted on their way in and out, in computations in float or double."""
        problem = self.problem
        if problem.dtype.kind != "f" or not (_core.is_stored(x) and _core.is_stored(out)):
            return False
        return (out == problem.dtype or out.kind == "f" or problem.cut is not None) and (
            not problem.varying and _blocks.fits(problem, problem.axes)
        )

    def prepare(self, w: np.ndarray) -> _nonfinite.Kernel:
        """Look for taps that are not finite: their products with the zeros outside are not zero."""
        return _nonfinite.split(w, self.meets_zeros)

    def __call__(
        self, x: np.ndarray, kernel: _nonfinite.Kernel, out: np.ndarray, threads: int
    ) -> None:
        """Fill `out`."""
        problem = self.problem
        threads = _cost.threads_for(self.seconds, threads)
        if not self.varying:
            self._correlate(x, kernel.finite, out, threads)
        else:
            for at in problem.kernels():
                self._correlate(x[at], kernel.finite[at], out[at], threads)
        if kernel.nonfinite is not None:
            self._mend(x, kernel.nonfinite, out, threads)

    def _correlate(self, x: np.ndarray, w: np.ndarray, out: np.ndarray, threads: int) -> None:
        problem = self.problem
        ordered = _blocks.is_ordered(problem)
        if ordered or self.in_blocks or x.dtype != problem.dtype or out.dtype != problem.dtype:
            kind = _core.PASS_ORDERED if ordered else _core.PASS_TILE
            kernel = np.require(w, problem.dtype, ["C", "A"])
            try:
                _blocks.run(problem, x, [(kind, _core.ALL_AXES, [kernel])], out, self.fill, threads)
                return
            except _core.ScratchError:
                if ordered or x.dtype != problem.dtype or out.dtype != problem.dtype:
                    raise
        _core.correlate(
            x, w, out, problem.offset, problem.boundary, self.fill, problem.sparse, threads
        )

    def _mend(self, x: np.ndarray, w: np.ndarray, out: np.ndarray, threads: int) -> None:
        def solve(problem: Problem, x: np.ndarray, w: np.ndarray, out: np.ndarray) -> None:
            runner = build(problem)
            runner(x, runner.prepare(w), out, threads)

        _nonfinite.mend(solve, self.problem, x, w, out)
