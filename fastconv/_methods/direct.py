"""Direct correlation by register-tiled SIMD kernels (fastconv/_native/tile.hpp)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fastconv import _cost
from fastconv._cost import Estimate
from fastconv._methods import _blocks, _nonfinite, _rounding
from fastconv._native import _core
from fastconv._problem import Boundary, Problem, Reason, Shape

NAME = "direct"
PLAIN = True

# Edges are gathered into scratch with all the rows that a tile reads; the driver refuses more.
_SCRATCH_LIMIT = 16 << 20
_EDGE_BYTES = 8 << 10
_TILE_ROWS = 8
# So few taps never outgrow it.
_FEW_TAPS = 256
# Channels of up to so many bytes move with their pixel.
_UNIT_BYTES = 128


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
    if problem.taps <= _FEW_TAPS:
        return None
    taps = sorted((problem.w[a] for a in problem.axes), reverse=True)
    item = problem.dtype.itemsize
    halo_bytes = max(problem.w, default=1) * item + _EDGE_BYTES
    rows = (taps[1] if len(taps) > 1 else 1) + _TILE_ROWS
    if halo_bytes * rows * math.prod(taps[2:]) > _SCRATCH_LIMIT:
        return Reason.SCRATCH
    return None


def least(problem: Problem) -> float:
    """Nothing that could be said without counting."""
    return 0.0


def estimate(problem: Problem) -> Estimate:
    """Calls of the tile kernels, and what is copied at the edges."""
    kernels = math.prod([problem.x[a] for a in problem.varying])
    calls = ("call.direct", kernels), ("call.direct.product", bool(problem.lines))
    if _blocks.is_ordered(problem) or problem.cut is not None or _pays_in_blocks(problem):
        return Estimate((*calls, *_blocks.dense_work(problem), _cost.traffic(problem.traffic)))
    roles = roles_of(problem)
    vectors = -(-roles.column_taps // _cost.lanes(problem.dtype))
    line = roles.row_axis < 0 or roles.row_taps < vectors
    tiles, copies, copied = (_over_lines if line else _over_bands)(problem, roles)
    shape, code = "line" if line else "image", _cost.element_code(problem.dtype)
    work = (
        *calls,
        (f"arithmetic.direct.{shape}.{code}", tiles * problem.taps),
        ("cache.direct.copied", copied),
        ("cache.direct.copies", copies),
        _cost.traffic(problem.traffic),
    )
    return Estimate(work)


def _over_lines(problem: Problem, roles: Roles) -> tuple[float, float, float]:
    """Count tiles that lie along lines, and the copies at both ends with their elements."""
    lines = roles.outer * roles.rows
    tiles = lines * _cost.line_tiles(_cost.vectors(roles.columns, problem.dtype))
    copies = 2 * lines if problem.padded else 0
    return tiles, copies, copies * roles.column_taps


def _over_bands(problem: Problem, roles: Roles) -> tuple[float, float, float]:
    """Count tiles of bands of rows, and the lines that are copied at edges with their elements."""
    tiles = roles.outer * _cost.row_tiles(roles.rows, problem.dtype)
    tiles *= _cost.vectors(roles.columns, problem.dtype)
    if not problem.padded:
        return tiles, 0, 0
    bands = roles.outer * -(-roles.rows // _TILE_ROWS)
    lines = bands * (_TILE_ROWS + roles.row_taps - 1) * roles.outer_taps
    halo = roles.column_taps - 1
    inside = _inside(problem, roles)
    copied = (1 - inside) * (roles.columns + halo) + inside * 2 * halo
    # Inside, both ends of the lines where they have a halo; else whole lines.
    copies = 1 - inside + 2 * inside * bool(halo)
    return tiles, lines * copies, lines * copied


class Roles(NamedTuple):
    """What the axes are to the driver (fastconv/_native/direct.cpp), as extents and taps."""

    columns: int
    column_taps: int
    rows: int
    row_taps: int
    outer: int  # outputs along all other axes
    outer_taps: int
    row_axis: int


def roles_of(problem: Problem) -> Roles:
    """Vectors lie along the last axis, registers along that of the others with the most taps."""
    out, w = problem.out, problem.w
    last = len(out) - 1
    columns, column_taps = out[last], w[last]
    ends = last
    if last > 0 and column_taps == 1 and columns * problem.dtype.itemsize <= _UNIT_BYTES:
        ends = last - 1  # channels move with their pixel
        columns, column_taps = columns * out[ends], w[ends]
    row_axis, row_taps = -1, 1
    for a in range(ends):
        if w[a] > 1 and w[a] >= row_taps and a in problem.axes and out[a] > 1:
            row_axis, row_taps = a, w[a]
    rows = out[row_axis] if row_axis >= 0 else 1
    outputs = math.prod(out)
    return Roles(
        columns,
        column_taps,
        rows,
        row_taps,
        outputs // max(columns * rows, 1),
        max(problem.taps // (column_taps * row_taps), 1),
        row_axis,
    )


def _inside(problem: Problem, roles: Roles) -> float:
    """Return the share of bands whose windows lie inside the data along rows and outer axes."""
    share = 1.0
    for a in problem.axes[:-1]:
        taps, n, offset = problem.w[a], problem.out[a], problem.offset[a]
        first, last = max(-offset, 0), min(n, problem.x[a] - taps + 1 - offset)
        lost = _TILE_ROWS - 1 if a == roles.row_axis else 0
        share *= max(last - first - lost, 0) / n
    return share


def _pays_in_blocks(problem: Problem) -> bool:
    """Whether edges are so great a part (in volumes) that whole blocks are staged with theirs."""
    convolved = [a for a in problem.axes if problem.w[a] > 1]
    return (
        len(convolved) > 2
        and problem.dtype in (np.float32, np.float64)
        and not problem.varying
        and _blocks.fits(problem, problem.axes)
    )


def error(problem: Problem) -> float:
    """Return what a sum may err by, beside its products."""
    return _rounding.direct_bound(problem.taps, problem.dtype)


def build(problem: Problem, shared: float | None = None) -> Runner:
    """Return the callable that solves problems of this shape; `shared` as predicted."""
    if shared is None:
        shared = _cost.predict(estimate(problem)).shared
    return Runner(
        problem,
        shared,
        problem.varying,
        problem.padded and problem.boundary is Boundary.ZERO,
        _pays_in_blocks(problem),
        problem.fill_element,
    )


@dataclass(frozen=True, slots=True)
class Runner:
    """Solves one problem with the direct kernels."""

    problem: Problem
    shared: float  # seconds of work that threads share
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
        threads = _cost.threads_for(self.shared, threads)
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
