"""
Overlap-save along one to three axes, with the transforms across the lanes of SIMD registers.

Along one axis each lane transforms a block of its own (two, where the data is real), so that a
transform needs no shuffles and runs at several times the rate of one transform at a time;
fastconv/_native/lanefft.hpp tells how. Along more axes a lane holds a column of a tile, then a row
of it, and two real tiles travel together: fastconv/_native/tilefft.cpp. FFTW serves what this does
not cover: complex images, and what is larger than any tile.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastconv import _cost
from fastconv._methods import _nonfinite, fft
from fastconv._native import _core
from fastconv._problem import Estimate, Problem, Reason, Shape

NAME = "tilefft"

# Lengths of transforms that are tried along one axis, and along each of several.
_LENGTHS = tuple(1 << p for p in range(6, 17))
_TILE_LENGTHS = tuple(1 << p for p in range(4, 11))
_MOST_TILE_AXES = 3
_MOST_TILE_POINTS = 1 << 22
# A tile gives at least this part of its points along each axis.
_LEAST_VALID = 8
# Lengths tried along each axis: their product is the candidates.
_LENGTHS_TRIED = 4


@dataclass(frozen=True, slots=True)
class Layout:
    """How the axes that are transformed are cut into blocks."""

    axes: Shape
    points: Shape  # of a transform along each axis
    skip: int  # outputs of a line's block that are thrown away: whole vectors, at least taps - 1
    batches: int  # of blocks side by side, or pairs of tiles
    batch_seconds: float
    workspace: int  # of one thread
    spectrum: int  # bytes
    threads: int  # that there is room for


def reject(problem: Problem) -> Reason | None:
    """Take lines of floats or complex numbers, and images and volumes of floats."""
    if problem.empty:
        return Reason.EMPTY
    if problem.layer:
        return Reason.LAYER
    if problem.cut is not None:
        return Reason.CUT
    if problem.by_passes:
        return Reason.PASSES
    if problem.dtype.kind not in "fc" or not _core.line_fft_lanes(problem.dtype):
        return Reason.DTYPE
    most = _MOST_TILE_AXES if problem.dtype.kind == "f" else 1
    if problem.varying or not 1 <= len(_transformed_axes(problem)) <= most:
        return Reason.NOT_TILED
    if any(
        problem.offset[a] != 0 or problem.x[a] != problem.out[a]
        for a in range(len(problem.x))
        if problem.w[a] == 1
    ):
        return Reason.NOT_TILED
    return Reason.WORKSPACE if choose_layout(problem) is None else None


def _transformed_axes(problem: Problem) -> Shape:
    return tuple(a for a in problem.axes if problem.w[a] > 1)


# --- choosing the blocks --------------------------------------------------------------------------


@functools.lru_cache(maxsize=512)
def choose_layout(problem: Problem) -> Layout | None:
    """Return the cheapest length of blocks within the workspace bound, or None."""
    axes = _transformed_axes(problem)
    layouts = _lines(problem, axes[0]) if len(axes) == 1 else _tiles(problem, axes)
    return min(layouts, key=_seconds_on_all_cores, default=None)


def _seconds_on_all_cores(layout: Layout) -> float:
    """Few large batches leave cores idle."""
    return -(-layout.batches // min(_cost.CORES, layout.threads)) * layout.batch_seconds


def _lines(problem: Problem, axis: int) -> Iterator[Layout]:
    lanes = _core.line_fft_lanes(problem.dtype)
    real = problem.dtype.kind == "f"
    scalar = problem.dtype.itemsize // (1 if real else 2)
    lines = math.prod(problem.out) // problem.out[axis]
    skip = -(-(problem.w[axis] - 1) // lanes) * lanes
    for points in _LENGTHS:
        if points <= skip:
            continue
        blocks = lines * -(-problem.out[axis] // (points - skip))
        batches = -(-blocks // (2 * lanes if real else lanes))
        planes = 2 * points * lanes * scalar
        # The lines pass through scratch of the planes' size where they cannot be read in place.
        workspace = 2 * planes + points * problem.dtype.itemsize
        threads = problem.workspace_limit // (2 * workspace)
        if not threads:
            continue
        flops = 2 * 5 * points * math.log2(points) * lanes
        seconds = flops / _cost.lane_fft_rate(scalar, planes)
        spectrum = 2 * points * scalar
        yield Layout((axis,), (points,), skip, batches, seconds, workspace, spectrum, threads)


def _tiles(problem: Problem, axes: Shape) -> Iterator[Layout]:
    scalar = problem.dtype.itemsize
    lanes = _core.line_fft_lanes(problem.dtype)
    others = math.prod(problem.out) // math.prod(problem.out[a] for a in axes)
    cuts = [_cuts(problem.out[a], problem.w[a], lanes if a == axes[-1] else 1) for a in axes]
    for cut in itertools.product(*cuts):
        points = tuple(c.points for c in cut)
        pairs = -(-others * math.prod(c.count for c in cut) // 2)
        spectrum = 2 * math.prod(points) * scalar
        if math.prod(points) > _MOST_TILE_POINTS or spectrum > problem.workspace_limit:
            continue
        workspace = _core.tile_fft_scratch(problem.dtype, points)
        threads = (problem.workspace_limit - spectrum) // workspace
        if threads > 0:
            seconds = _pair_seconds(cut, scalar)
            yield Layout(axes, points, 0, pairs, seconds, workspace, spectrum, threads)


@dataclass(frozen=True, slots=True)
class _Cut:
    """How one axis is cut into tiles."""

    points: int
    count: int
    step: int  # outputs of a tile
    reach: int  # data that they read


def _cuts(out: int, taps: int, multiple: int) -> list[_Cut]:
    cuts = []
    for points in _TILE_LENGTHS:
        valid = points - taps + 1
        if valid < min(points // _LEAST_VALID, out):
            continue
        # As the kernel does: tiles of one size, of whole vectors.
        step = -(-out // -(-out // valid))
        whole = -(-step // multiple) * multiple
        step = whole if whole <= valid else step
        cuts.append(_Cut(points, -(-out // step), step, step + taps - 1))
        if valid >= out or len(cuts) == _LENGTHS_TRIED:
            break
    return cuts


def _pair_seconds(cut: tuple[_Cut, ...], scalar: int) -> float:
    """Transforms of two tiles, and the lines that are copied into them and out."""
    points = math.prod(c.points for c in cut)
    last = cut[-1]
    # Columns that hold no data, or give no outputs, are not transformed along the other axes.
    share = (last.reach + last.step) / last.points
    across = sum(math.log2(c.points) for c in cut[:-1])
    flops = 5 * points * (share * across + 2 * math.log2(last.points))
    lines = 2 * (math.prod(c.reach for c in cut[:-1]) + math.prod(c.step for c in cut[:-1]))
    return (
        flops / _cost.tile_fft_rate(scalar, 2 * points * scalar) + lines * _cost.TILE_LINE_SECONDS
    )


# --- estimating and running -----------------------------------------------------------------------


def estimate(problem: Problem, threads: int) -> Estimate:
    """Batches of transforms at their rate, after the kernel's."""
    layout = choose_layout(problem)
    assert layout is not None
    used = _used_threads(layout, threads)
    rounds = -(-layout.batches // used)
    # The kernel fills one lane of half a batch, or half a pair.
    seconds = (rounds + 0.5) * layout.batch_seconds + _cost.TILE_CALL_SECONDS
    bound = "call" if seconds < 2 * _cost.TILE_CALL_SECONDS else "arithmetic"
    return Estimate(seconds, bound, used * layout.workspace + layout.spectrum)


def _used_threads(layout: Layout, threads: int) -> int:
    worth = _cost.threads_for(layout.batches * layout.batch_seconds, threads)
    return max(1, min(worth, layout.batches, layout.threads))


def build(problem: Problem) -> Runner:
    """Return the callable that solves problems of this shape."""
    layout = choose_layout(problem)
    assert layout is not None
    order = (*(a for a in range(len(problem.x)) if a not in layout.axes), *layout.axes)
    return Runner(problem, layout, order, problem.fill_element)


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel's spectrum, and the kernel as it was where it held NaN or Inf."""

    spectrum: np.ndarray
    w: np.ndarray
    nonfinite: bool


@dataclass(frozen=True, slots=True)
class Runner:
    """Solves one problem by its layout."""

    problem: Problem
    layout: Layout
    order: Shape  # of the axes, the transformed ones last
    fill: np.ndarray | None

    def converts(self, x: np.dtype[Any], out: np.dtype[Any]) -> bool:
        """Takes the problem's dtype alone."""
        return False

    def prepare(self, w: np.ndarray) -> Kernel:
        """Transform the kernel."""
        kernel = _nonfinite.split(w)
        layout = self.layout
        taps = kernel.finite.transpose(self.order).reshape([w.shape[a] for a in layout.axes])
        taps = np.require(taps, requirements=["C", "ALIGNED"])
        if len(layout.axes) == 1:
            spectrum = _core.line_fft_spectrum(taps, layout.points[0])
        else:
            spectrum = _core.tile_fft_spectrum(taps, layout.points)
        return Kernel(spectrum, w, kernel.nonfinite is not None)

    def __call__(self, x: np.ndarray, kernel: Kernel, out: np.ndarray, threads: int) -> None:
        """Fill `out`."""
        problem = self.problem
        threads = _used_threads(self.layout, threads)
        nonfinite, overflowed = self._correlate(x, kernel.spectrum, out, threads)
        if overflowed:
            fft.solve_wider(problem, x, kernel.w, out, threads)
        elif nonfinite or kernel.nonfinite:
            _nonfinite.mend(fft.solve_finite(threads), problem, x, kernel.w, out)

    def _correlate(
        self, x: np.ndarray, spectrum: np.ndarray, out: np.ndarray, threads: int
    ) -> tuple[int, int]:
        problem, layout = self.problem, self.layout
        x, out = x.transpose(self.order), out.transpose(self.order)
        offset = [problem.offset[a] for a in self.order]
        taps = [problem.w[a] for a in layout.axes]
        rest = problem.boundary, self.fill, threads
        if len(layout.axes) == 1:
            return _core.line_fft_correlate(x, spectrum, taps[0], out, offset, layout.skip, *rest)
        return _core.tile_fft_correlate(x, spectrum, layout.points, taps, out, offset, *rest)
