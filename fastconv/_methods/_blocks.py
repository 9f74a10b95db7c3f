"""What the methods that work in blocks share: how large a window may be, and the call itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastconv._native import _core
from fastconv._problem import Problem, Shape

# The least window of a block is a few rows and columns with their halo; larger ones than this leave
# no room in the scratch of a thread.
WINDOW_BYTES = 3 << 20
_LEAST_ROWS = 8
_LEAST_COLUMN_BYTES = 512


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


def is_ordered(problem: Problem) -> bool:
    """Whether sums keep the order of the taps, each product and sum rounded."""
    return problem.cut is not None and not problem.exact
