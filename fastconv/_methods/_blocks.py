"""What the methods that work in blocks share: how large a window may be, and the call itself."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fastconv import _cost
from fastconv._native import _core
from fastconv._problem import Problem, Shape

# The least window of a block is a few rows and columns with their halo; larger ones than this leave
# no room in the scratch of a thread.
WINDOW_BYTES = 3 << 20
_LEAST_ROWS = 8
_LEAST_COLUMN_BYTES = 512
# Vectors that sums in order form at once.
_ORDERED_VECTORS = 8


def fits(problem: Problem, axes: Shape) -> bool:
    """Whether a window with the halos of these axes fits the scratch."""
    item = problem.dtype.itemsize
    longest, *others = sorted((problem.w[a] for a in axes), reverse=True) or [1]
    window = item * max(problem.terms or 1, 1) * (_LEAST_COLUMN_BYTES // item + longest)
    for taps in others:
        window *= _LEAST_ROWS + taps
    return window <= WINDOW_BYTES


def run(
    problem: Problem,
    x: np.ndarray,
    passes: Sequence[tuple[int, int, Sequence[np.ndarray]]],
    out: np.ndarray,
    fill: np.ndarray | None,
    threads: int,
) -> None:
    """Run passes, each of a kind and an axis, with its kernel for each term."""
    _core.filter_blocks(
        x,
        out,
        passes,
        problem.w,
        problem.offset,
        problem.boundary,
        problem.dtype,
        fill,
        problem.cut is not None,
        problem.sparse,
        bool(problem.lines),
        threads,
    )


def dense_work(problem: Problem) -> tuple[tuple[str, float], ...]:
    """Count the work of one pass over all axes."""
    convolved = [a for a in problem.axes if problem.w[a] > 1] or [problem.axes[-1]]
    rows = max(convolved[:-1], key=lambda a: (problem.w[a], a), default=convolved[-1])
    tiles, taps = _tiles(problem, rows), problem.taps
    groups = taps // (problem.w[rows] * problem.w[convolved[-1]]) * -(-problem.w[rows] // 7)
    return (
        ("call.blocks", 1),
        _sums(problem, tiles * taps),
        ("arithmetic.blocks.groups", tiles * groups),
        *_staged(problem, convolved),
    )


def pass_work(problem: Problem, axes: Shape) -> tuple[tuple[str, float], ...]:
    """Count the work of passes along axes, one after the other."""
    terms = max(problem.terms or 1, 1)
    tiles = taps = sums = 0.0
    for a in axes:
        n = _tiles(problem, a)
        tiles += n
        if problem.box:
            sums += n * 2 * math.log2(max(problem.w[a], 2))
        else:
            taps += terms * n * problem.w[a]
    return (
        ("call.blocks", 1),
        _sums(problem, taps),
        ("arithmetic.blocks.sums", sums),
        ("arithmetic.blocks.passes", terms * tiles),
        *_staged(problem, axes),
    )


def _sums(problem: Problem, tiles: float) -> tuple[str, float]:
    """Count the sums of tiles; those in order are formed line by line, many vectors at a time."""
    if not is_ordered(problem):
        return "arithmetic.blocks.tile", tiles
    vectors = _cost.vectors(problem.out[-1], problem.dtype)
    idle = -(-vectors // _ORDERED_VECTORS) * _ORDERED_VECTORS / vectors
    return "arithmetic.blocks.ordered", tiles * idle


def _tiles(problem: Problem, axis: int) -> float:
    """Count the calls of tile kernels of a pass whose register rows lie along an axis."""
    out, last = problem.out, len(problem.out) - 1
    vectors = _cost.vectors(out[last], problem.dtype)
    lines = math.prod(out) // max(out[last], 1)
    if axis == last:
        return lines * _cost.line_tiles(vectors)
    return lines // max(out[axis], 1) * _cost.row_tiles(out[axis], problem.dtype) * vectors


def _staged(problem: Problem, axes: Sequence[int]) -> tuple[tuple[str, float], ...]:
    """Count what is copied into the windows of blocks."""
    out, last = problem.out, len(problem.out) - 1
    elements = math.prod(n + problem.w[a] - 1 if a in axes else n for a, n in enumerate(out))
    length = out[last] + (problem.w[last] - 1 if last in axes else 0)
    return (
        ("cache.blocks.staged", elements * problem.dtype.itemsize),
        ("cache.blocks.lines", elements / max(length, 1)),
    )


def is_ordered(problem: Problem) -> bool:
    """Whether sums keep the order of the taps, each product and sum rounded."""
    return problem.cut is not None and not problem.exact
