"""
Layers as matrix products: weights times panels of patches, built in the cache.

A panel holds what some taps of some channels (its rows) read for some outputs (its columns). It is
filled by slices, for each tap over all its outputs or for each output over all its taps, whichever
are fewer copies, and NumPy's matmul multiplies it. A layer with many taps and few outputs (the
gradient of weights is one) is cut along its taps, too, and the products of all panels are added.
BLAS runs on as many threads as it was told; panels are built on one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastconv import _cost
from fastconv._cost import Estimate
from fastconv._methods import _reference_layers, _rounding
from fastconv._methods._finish import activate, add_bias
from fastconv._methods._nonfinite import all_finite
from fastconv._methods._phases import Phase, meets_zeros, phases
from fastconv._problem import Problem, Reason, Shape, Weights

NAME = "gemm"
PLAIN = True

_DTYPES = (np.float32, np.float64, np.complex64, np.complex128)
# Outputs that a panel has before its taps are cut.
_COLUMNS = 512
# Multiply-adds up to which OpenBLAS leaves its other threads alone.
_ALONE_PRODUCTS = 1 << 18
# Panels that weights may fill which become matrices once, before any is multiplied.
_WEIGHT_PANELS = 4


def reject(problem: Problem) -> Reason | None:
    """Take layers of floats and complex numbers."""
    if not problem.layer:
        return Reason.NOT_A_LAYER
    if problem.empty:
        return Reason.EMPTY
    return None if problem.dtype in _DTYPES else Reason.DTYPE


def least(problem: Problem) -> float:
    """Return the seconds of a call, and of the products alone."""
    rate = _cost.coefficient("arithmetic.gemm.4")
    return _cost.coefficient("call.gemm") + problem.macs * rate


def estimate(problem: Problem) -> Estimate:
    """Products at BLAS's rate, and panels at that of NumPy's copies."""
    products = copied = copies = calls = matrices = 0.0
    keeps_cores = False
    workspace = 0
    for phase in phases(problem):
        if phase.problem is None:
            continue
        part, cut = phase.problem, _cut(phase.problem)
        rows = part.w[1]
        filled = rows / (rows + _cost.GEMM_IDLE_ROWS)
        filled *= part.taps / (part.taps + _cost.GEMM_IDLE_TAPS)
        products += part.macs / filled
        if not _pointwise(part):
            copied += math.prod(part.out) // rows * part.taps * part.dtype.itemsize
        panels = math.prod(-(-n // size) for n, size in zip(_extents(part), cut, strict=True))
        copies += panels * _copies(cut)
        matrices += panels * cut[0]
        keeps_cores = keeps_cores or _spins(part, cut)
        calls += 1
        workspace = max(workspace, _workspace(part, cut))
    scalar = problem.dtype.itemsize // (2 if problem.dtype.kind == "c" else 1)
    work = (
        ("call.gemm", calls),
        ("call.gemm.spin", keeps_cores),
        ("call.gemm.matrix", matrices),
        (f"arithmetic.gemm.{scalar}", products),
        ("cache.gemm.copied", copied),
        ("cache.gemm.copies", copies),
        ("cache.gemm.results", math.prod(problem.out) * problem.dtype.itemsize),
        _cost.traffic(problem.traffic),
    )
    return Estimate(work, workspace, pieces=1)


def _spins(problem: Problem, cut: Shape) -> bool:
    """Whether BLAS's threads take part in the product of a panel, and spin after it."""
    products = math.prod(cut[_ROWS]) * math.prod(cut[_POINTS]) * problem.w[1]
    return _cost.BLAS_THREADS > 1 and products > _ALONE_PRODUCTS


def error(problem: Problem) -> float:
    """Return what a sum may err by, beside its products."""
    return _rounding.direct_bound(problem.taps, problem.dtype)


def build(problem: Problem, shared: float | None = None) -> Runner:
    """Return the callable that solves problems of this shape; its threads are not ours."""
    parts = tuple(
        (phase, () if phase.problem is None else _cut(phase.problem)) for phase in phases(problem)
    )
    return Runner(problem, parts, meets_zeros(problem))


# --- cutting --------------------------------------------------------------------------------------

# Extents that are cut: groups; channels and taps; batch and outputs.
_GROUPS, _ROWS, _POINTS = slice(0, 1), slice(1, 5), slice(5, 9)


def _extents(problem: Problem) -> Shape:
    return (problem.x[1], *problem.w[2:], problem.x[0], *problem.out[3:])


def _cut(problem: Problem) -> Shape:
    """Return how much of each extent one panel takes."""
    most = _cost.GEMM_PANEL_BYTES // problem.dtype.itemsize
    outputs = problem.w[1]
    extents = _extents(problem)
    columns = min(math.prod(extents[_POINTS]), _COLUMNS)
    rows = extents[_ROWS]
    if columns * math.prod(rows) > most or math.prod(problem.w) > _WEIGHT_PANELS * most:
        # Weights become matrices panel by panel: those of one are no larger than it.
        rows = _chunk(rows, most // max(columns, outputs))
    depth = math.prod(rows)
    points = _chunk(extents[_POINTS], most // max(depth, outputs))
    largest = max(depth * math.prod(points), depth * outputs, outputs * math.prod(points))
    return (*_chunk(extents[_GROUPS], most // largest), *rows, *points)


def _chunk(extents: Shape, most: int) -> Shape:
    """Return extents of at most so many elements: the last axes first, in pieces of one size."""
    sizes = []
    for n in reversed(extents):
        size = max(min(n, most), 1)
        pieces = -(-n // size)
        sizes.append(-(-n // pieces))
        most //= size
    return tuple(reversed(sizes))


def _pieces(extents: Shape, sizes: Shape) -> Iterator[tuple[slice, ...]]:
    """Cut extents into pieces of these sizes."""
    return itertools.product(
        *(
            [slice(first, min(first + size, n)) for first in range(0, n, size)]
            for n, size in zip(extents, sizes, strict=True)
        )
    )


def _copies(cut: Shape) -> int:
    """How many copies fill a panel."""
    return min(math.prod(cut[2:5]), math.prod(cut[6:]))


def _pointwise(problem: Problem) -> bool:
    """Whether a panel is the data itself."""
    return (
        math.prod(problem.w[3:]) == 1
        and problem.x[3:] == problem.out[3:]
        and problem.stride == (1, 1, 1)
        and not any(problem.offset)
    )


def _workspace(problem: Problem, cut: Shape) -> int:
    groups, depth, points = (math.prod(cut[s]) for s in (_GROUPS, _ROWS, _POINTS))
    whole = cut[_ROWS] == problem.w[2:]
    weights = math.prod(problem.w) if whole else groups * depth * problem.w[1]
    elements = groups * points * (depth + 2 * problem.w[1]) + weights
    return elements * problem.dtype.itemsize


# --- running --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Kernel:
    """Weights, with those of each phase as matrices where no panel cuts their rows."""

    weights: Weights
    taps: tuple[np.ndarray, ...]
    finite: bool


@dataclass(frozen=True, slots=True)
class Runner:
    """Solves one layer by matrix products."""

    problem: Problem
    parts: tuple[tuple[Phase, Shape], ...]  # each with how its panels are cut
    meets_zeros: bool

    def converts(self, x: np.dtype[Any], out: np.dtype[Any]) -> bool:
        """Takes the problem's dtype alone."""
        return False

    def prepare(self, w: Weights) -> Kernel:
        """Bring weights into matrices, where all their rows meet one panel."""
        taps = []
        for phase, cut in self.parts:
            part = w.taps[phase.taps]
            if phase.problem is not None and cut[_ROWS] == phase.problem.w[2:]:
                part = part.reshape(*part.shape[:2], -1)
            taps.append(part)
        finite = not self.meets_zeros or all_finite(w.taps)
        return Kernel(w, tuple(taps), finite)

    def __call__(self, x: np.ndarray, kernel: Kernel, out: np.ndarray, threads: int) -> None:
        """Fill `out`."""
        if not kernel.finite:
            # The zeros of a panel would meet a NaN or Inf.
            _reference_layers.solve(self.problem, x, kernel.weights, out)
            return
        for (phase, cut), taps in zip(self.parts, kernel.taps, strict=True):
            if phase.problem is not None:
                _solve(phase.problem, cut, x, taps, kernel.weights, out[phase.out])
            else:
                nothing = np.zeros((*out.shape[1:3], 1, 1, 1), out.dtype)
                add_bias(nothing, kernel.weights)
                activate(nothing, kernel.weights.activation)
                out[phase.out] = nothing


@np.errstate(all="ignore")  # infinities are results like any other
def _solve(
    problem: Problem,
    cut: Shape,
    x: np.ndarray,
    taps: np.ndarray,
    weights: Weights,
    out: np.ndarray,
) -> None:
    """Fill `out` panel by panel."""
    groups, depth, points = (math.prod(cut[s]) for s in (_GROUPS, _ROWS, _POINTS))
    extents, outputs = _extents(problem), problem.w[1]
    by_taps = math.prod(cut[2:5]) <= math.prod(cut[6:])
    pointwise = _pointwise(problem)
    panels = np.empty(0 if pointwise else groups * depth * points, out.dtype)
    sums = np.empty(groups * outputs * points, out.dtype)
    products = np.empty(0 if taps.ndim == 3 else sums.size, out.dtype)
    for g in _pieces(extents[_GROUPS], cut[_GROUPS]):
        for n, *p in _pieces(extents[_POINTS], cut[_POINTS]):
            extent = (g[0].stop - g[0].start, outputs, n.stop - n.start, *map(_length, p))
            matrix = (*extent[:2], math.prod(extent[2:]))
            total = sums[: math.prod(matrix)].reshape(matrix)
            term = total
            for c, *k in _pieces(extents[_ROWS], cut[_ROWS]):
                left = taps[g]
                if taps.ndim > 3:
                    left = left[:, :, c, k[0], k[1], k[2]].reshape(*matrix[:2], -1)
                data = x[n, g[0], c]
                if pointwise:
                    data = data[:, :, :, p[0], p[1], p[2]].transpose(1, 2, 0, 3, 4, 5)
                    right = data.reshape(matrix[0], -1, matrix[2])
                else:
                    right = _panel(problem, data, panels, k, p, by_taps)
                np.matmul(_for_blas(left), _for_blas(right), out=term)
                if term is not total:
                    total += term
                elif taps.ndim > 3:
                    term = products[: total.size].reshape(matrix)
            add_bias(total, weights, g[0])
            activate(total, weights.activation)
            place = (n, g[0], slice(None), *p)
            out[place] = total.reshape(extent).transpose(2, 0, 1, 3, 4, 5)


def _length(s: slice) -> int:
    length: int = s.stop - s.start
    return length


def _for_blas(a: np.ndarray) -> np.ndarray:
    """Return matrices that matmul hands to BLAS, copied where one of their axes is not dense."""
    (rows, columns), (down, right), item = a.shape[-2:], a.strides[-2:], a.itemsize
    if (right == item and down >= columns * item) or (down == item and right >= rows * item):
        return a
    return np.ascontiguousarray(a)


def _panel(
    problem: Problem,
    data: np.ndarray,
    buffer: np.ndarray,
    taps: list[slice],
    points: list[slice],
    by_taps: bool,
) -> np.ndarray:
    """
    Lay out patches as matrices (group, channel and tap, batch and output).

    Parameters
    ----------
    problem : Problem
        An ordinary layer.
    data : ndarray
        Its data (batch, group, channel, space), of the panel's indices.
    buffer : ndarray
        Room for the panel.
    taps, points : list of slice
        Those of the panel, along each axis.
    by_taps : bool
        Whether each copy is all outputs of one tap, or all taps of one output.
    """
    if by_taps:
        source, outer, inner = data.transpose(1, 2, 0, 3, 4, 5), taps, points
        steps = problem.dilation, problem.stride
    else:
        source, outer, inner = data.transpose(1, 0, 2, 3, 4, 5), points, taps
        steps = problem.stride, problem.dilation
    groups, rows, columns = source.shape[:3]
    shape = (groups, rows, *map(_length, outer), columns, *map(_length, inner))
    panel = buffer[: math.prod(shape)].reshape(shape)
    lines = [
        _meetings(
            problem.x[3 + a], problem.offset[3 + a], steps[0][a], outer[a], steps[1][a], inner[a]
        )
        for a in range(3)
    ]
    for at in itertools.product(*map(enumerate, lines)):
        index, meetings = zip(*at, strict=True)
        part = panel[:, :, index[0], index[1], index[2]]
        if not all(m is not None and m[2] for m in meetings):
            part[...] = 0
        if None not in meetings:
            write, read = (tuple(m[i] for m in meetings) for i in range(2))
            part[(..., *write)] = source[(..., *read)]
    matrices = panel.reshape(groups, rows * math.prod(shape[2:5]), -1)
    return matrices if by_taps else matrices.transpose(0, 2, 1)


def _meetings(
    length: int, offset: int, outer_step: int, outer: slice, inner_step: int, inner: slice
) -> list[tuple[slice, slice, bool] | None]:
    """
    Where positions offset + outer_step·i + inner_step·j meet data, for each i of `outer`.

    Returns the part of `inner` (counted from its start), the elements, and whether the part is all
    of it; or None where none meets data.
    """
    found: list[tuple[slice, slice, bool] | None] = []
    for i in range(outer.start, outer.stop):
        start = offset + outer_step * i
        first = max(-(start // inner_step), inner.start)
        last = min((length - 1 - start) // inner_step + 1, inner.stop)
        if first >= last:
            found.append(None)
            continue
        elements = slice(
            start + first * inner_step, start + (last - 1) * inner_step + 1, inner_step
        )
        part = slice(first - inner.start, last - inner.start)
        found.append((part, elements, last - first == _length(inner)))
    return found
