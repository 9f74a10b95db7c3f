"""Layers in plain NumPy, tap by tap in double precision: the ground truth."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np

from fastconv._methods._finish import activate, add_bias
from fastconv._problem import Problem, Weights

# Outputs and the data of one tap that are held at once.
BLOCK_ELEMENTS = 1 << 18

Region = tuple[tuple[int, int], ...]


@np.errstate(all="ignore")  # infinities are results like any other
def solve(problem: Problem, x: np.ndarray, weights: Weights, out: np.ndarray) -> None:
    """
    Fill `out` with a layer's results.

    Floats are summed in float64, complex numbers in complex128, integers in int64, whose low 32
    bits are those of sums that wrap around. What lies outside the data meets no tap, not even a NaN
    or Inf.
    """
    wide = np.dtype({"f": np.float64, "c": np.complex128}.get(problem.dtype.kind, np.int64))
    if 0 in problem.out:
        return
    outputs = (*problem.out[:2], *problem.out[3:])
    for region in _blocks(problem, tuple((0, n) for n in outputs)):
        batch, groups, *points = (slice(*r) for r in region)
        # Groups and output channels come first, as in the weights.
        extents = [stop - start for start, stop in region]
        sums = np.zeros((extents[1], problem.out[2], extents[0], *extents[2:]), wide)
        for tap in itertools.product(*map(range, problem.w[3:])):
            _add_tap(problem, region, tap, x, weights, sums)
        add_bias(sums, weights, groups)
        result = sums.astype(problem.dtype) if problem.dtype.kind == "i" else sums
        activate(result, weights.activation)
        out[(batch, groups, slice(None), *points)] = np.moveaxis(result, 2, 0)


def _blocks(problem: Problem, region: Region) -> Iterator[Region]:
    """Halve a region of (batch, group, points) until it fits."""
    extents = [stop - start for start, stop in region]
    elements = (problem.w[1] + problem.w[2]) * math.prod(extents)
    longest = max(range(len(extents)), key=lambda a: extents[a])
    if elements <= BLOCK_ELEMENTS or extents[longest] == 1:
        yield region
        return
    start, stop = region[longest]
    for half in ((start, (start + stop) // 2), ((start + stop) // 2, stop)):
        yield from _blocks(problem, (*region[:longest], half, *region[longest + 1 :]))


def _add_tap(
    problem: Problem,
    region: Region,
    tap: tuple[int, ...],
    x: np.ndarray,
    weights: Weights,
    sums: np.ndarray,
) -> None:
    """Add the products of one tap to the sums of a region."""
    read, write = [], []
    for a, k in enumerate(tap):
        outputs = np.arange(*region[2 + a])
        position = outputs * problem.stride[a] + problem.offset[3 + a] + k * problem.dilation[a]
        source = position // problem.spread[a]
        meets = (position % problem.spread[a] == 0) & (source >= 0) & (source < problem.x[3 + a])
        if not meets.any():
            return
        read.append(_slice(source[meets]))
        write.append(_slice(np.flatnonzero(meets)))
    batch, groups = slice(*region[0]), slice(*region[1])
    data = x[(batch, groups, slice(None), *read)].astype(sums.dtype)
    taps = np.moveaxis(weights.taps, (0, 1, 2), (3, 4, 5))[tap][groups].astype(sums.dtype)
    if problem.dtype.kind == "i":
        data -= weights.x_zero
        if weights.w_zero is not None:
            taps -= weights.w_zero.reshape(problem.w[:2])[groups, :, None]
    n, g, c, *space = data.shape
    points = n * math.prod(space)
    products = taps @ data.transpose(1, 2, 0, 3, 4, 5).reshape(g, c, points)
    whole = slice(None)
    sums[(whole, whole, whole, *write)] += products.reshape(g, problem.w[1], n, *space)


def _slice(indices: np.ndarray) -> slice:
    """Return indices in equal steps as a slice."""
    first, last = int(indices[0]), int(indices[-1])
    return slice(first, last + 1, int(indices[1]) - first if len(indices) > 1 else 1)
