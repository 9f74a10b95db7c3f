"""
Overlap-save along one to three axes, with the transforms across the lanes of SIMD registers.

Along one axis each lane transforms a block of its own (two, where the data is real), so that a
transform needs no shuffles and runs at several times the rate of one transform at a time; blocks
too long for that are transformed in four steps (fastconv/_native/fourstep.hpp). Along more axes a
lane holds a column of a tile, then a row of it, and two real tiles travel together:
fastconv/_native/tiletransform.hpp. Integers go through float64 where that is exact. FFTW serves
what this does not cover: complex images, and what is larger than any tile.

Results are to be trusted like those of direct sums: a block that meets NaN or Inf is mended, one
whose rounding errors may matter beside its own results is done again, in `_blocks_again`.
"""

from __future__ import annotations

import enum
import functools
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastconv import _cost
from fastconv._methods import _again, _nonfinite, _rounding, direct
from fastconv._methods._spectra import SpectrumCache
from fastconv._native import _core
from fastconv._problem import Estimate, Problem, Reason, Shape

NAME = "tilefft"

# Lengths of transforms that are tried along one axis, in lanes and in four steps, and along each of
# several.
_LENGTHS = tuple(1 << p for p in range(6, 17))
_LONG_LENGTHS = tuple(1 << p for p in range(13, 21))
_TILE_LENGTHS = tuple(1 << p for p in range(4, 11))
_MOST_TILE_AXES = 3
_MOST_TILE_POINTS = 1 << 22
# A tile gives at least this part of its points along each axis.
_LEAST_VALID = 8
# Lengths tried along each axis: their product is the candidates.
_LENGTHS_TRIED = 4
# Results may err by no more than this part of the largest of 32 neighbours, in the worst case; on
# ordinary data that is √N times less.
PROMISE = 1 / 32
# Times that threads meet while they work on one batch together.
_FORKS = 5
# Numbers that are rounded to integers must be smaller.
_LARGEST_ROUNDED = 2.0**51

_spectra = SpectrumCache()


class Form(enum.Enum):
    """What a block is."""

    LINES = enum.auto()  # one in each lane
    LONG = enum.auto()  # one line in four steps
    TILES = enum.auto()


@dataclass(frozen=True, slots=True)
class Layout:
    """How the axes that are transformed are cut into blocks."""

    form: Form
    axes: Shape
    points: Shape  # of a transform along each axis
    step: Shape  # outputs of a block along each axis
    batches: int  # of blocks that are transformed together
    batch_seconds: float
    workspace: int  # of one thread
    shared: int  # bytes that all threads share
    threads: int  # that there is room for
    together: bool = False  # all threads work on one batch at a time

    def seconds(self, threads: int) -> float:
        """Of all batches, on so many threads."""
        if not self.together:
            return -(-self.batches // threads) * self.batch_seconds
        share = 1 + _cost.THREAD_EFFICIENCY * (threads - 1)
        forks = _FORKS * _cost.FORK_SECONDS if threads > 1 else 0
        return self.batches * (self.batch_seconds / share + forks)


def compute_dtype(problem: Problem) -> np.dtype[Any]:
    """Return the floating type of the transforms."""
    return np.dtype(np.float64) if problem.dtype.kind in "iu" else problem.dtype


def reject(problem: Problem) -> Reason | None:
    """Take lines of floats or complex numbers, images and volumes of floats, and exact integers."""
    if problem.empty:
        return Reason.EMPTY
    if problem.layer:
        return Reason.LAYER
    if problem.cut is not None:
        return Reason.CUT
    if problem.by_passes:
        return Reason.PASSES
    if problem.dtype.kind not in "fciu" or not _core.line_fft_lanes(compute_dtype(problem)):
        return Reason.DTYPE
    most = 1 if problem.dtype.kind == "c" else _MOST_TILE_AXES
    if problem.varying or not 1 <= len(_transformed_axes(problem)) <= most:
        return Reason.NOT_TILED
    if any(
        problem.offset[a] != 0 or problem.x[a] != problem.out[a]
        for a in range(len(problem.x))
        if problem.w[a] == 1
    ):
        return Reason.NOT_TILED
    if problem.dtype.kind in "iu" and _magnitude(problem) is None:
        return Reason.UNKNOWN_RANGE
    if choose_layout(problem) is None:
        inexact = problem.dtype.kind in "iu" and not _is_exact(problem, min(_LENGTHS))
        return Reason.INEXACT if inexact else Reason.WORKSPACE
    return None


def _transformed_axes(problem: Problem) -> Shape:
    return tuple(a for a in problem.axes if problem.w[a] > 1)


def _magnitude(problem: Problem) -> tuple[float, float] | None:
    """Return bounds on |x| and |w| of integers: those that are known, or all of a narrow type."""
    if problem.magnitude is not None or problem.dtype.itemsize > 2:
        return problem.magnitude
    most = float(1 << (8 * problem.dtype.itemsize - (problem.dtype.kind == "i")))
    return most, most


def _is_exact(problem: Problem, points: int) -> bool:
    """Whether sums of integers are exact when rounded: they err by less than a half, proven."""
    magnitude = _magnitude(problem)
    assert magnitude is not None
    most_x, most_w = magnitude
    # Two blocks travel together.
    norms = most_x * math.sqrt(2 * points) * most_w * math.sqrt(problem.taps)
    largest = most_x * most_w * problem.taps
    return largest < _LARGEST_ROUNDED and _rounding.proven_bound(points) * norms < 0.5


# --- choosing the blocks --------------------------------------------------------------------------


@functools.lru_cache(maxsize=512)
def choose_layout(problem: Problem) -> Layout | None:
    """Return the cheapest length of blocks within the workspace bound, or None."""
    axes = _transformed_axes(problem)
    layouts: Iterator[Layout] = _tiles(problem, axes)
    if len(axes) == 1:
        layouts = itertools.chain(_lines(problem, axes[0]), _long_lines(problem, axes[0]))
    if problem.dtype.kind in "iu":
        layouts = (o for o in layouts if _is_exact(problem, math.prod(o.points)))
    return min(layouts, key=_seconds_on_all_cores, default=None)


def _seconds_on_all_cores(layout: Layout) -> float:
    """Few large batches leave cores idle."""
    return layout.seconds(min(_cost.CORES, layout.threads))


def _room(problem: Problem, workspace: int, shared: int) -> int:
    """Threads that there is room for, also where blocks must be done again in double."""
    if compute_dtype(problem).char in "fF":
        return (problem.workspace_limit - 3 * shared) // (2 * workspace)
    return (problem.workspace_limit - shared) // workspace


def _lines(problem: Problem, axis: int) -> Iterator[Layout]:
    dtype = compute_dtype(problem)
    lanes = _core.line_fft_lanes(dtype)
    real = dtype.kind == "f"
    scalar = dtype.itemsize // (1 if real else 2)
    lines = math.prod(problem.out) // problem.out[axis]
    skip = _skip(problem.w[axis], dtype)
    for points in _LENGTHS:
        if points <= skip:
            continue
        blocks = lines * -(-problem.out[axis] // (points - skip))
        batches = -(-blocks // (2 * lanes if real else lanes))
        planes = 2 * points * lanes * scalar
        # The lines pass through scratch of the planes' size where they cannot be read in place.
        workspace = 2 * planes + points * dtype.itemsize
        shared = 2 * points * scalar
        threads = _room(problem, workspace, shared)
        if threads <= 0:
            continue
        flops = 2 * 5 * points * math.log2(points) * lanes
        seconds = flops / _cost.lane_fft_rate(scalar, planes)
        yield Layout(
            Form.LINES,
            (axis,),
            (points,),
            (points - skip,),
            batches,
            seconds,
            workspace,
            shared,
            threads,
        )


def _skip(taps: int, dtype: np.dtype[Any]) -> int:
    """Outputs of a line's block that are thrown away: whole vectors."""
    lanes = _core.line_fft_lanes(dtype)
    return -(-(taps - 1) // lanes) * lanes


def _long_lines(problem: Problem, axis: int) -> Iterator[Layout]:
    dtype = compute_dtype(problem)
    if dtype.kind != "f":
        return
    out, taps = problem.out[axis], problem.w[axis]
    lines = math.prod(problem.out) // out
    for points in _LONG_LENGTHS:
        valid = points - taps + 1
        if valid < min(points // _LEAST_VALID, out):
            continue
        count = -(-out // valid)
        batches = lines * count
        # The kernel's spectrum, and the twiddles.
        shared = 2 * points * dtype.itemsize
        flops = 2 * 5 * (points / 2) * math.log2(points / 2)
        seconds = flops / _cost.long_fft_rate(dtype.itemsize, points * dtype.itemsize)
        step = (-(-out // count),)
        yield from _apart_or_together(
            problem,
            Layout(Form.LONG, (axis,), (points,), step, batches, seconds, 0, shared, 0),
            *_core.four_step_scratch(dtype, points),
        )
        if valid >= out:
            break


def _apart_or_together(
    problem: Problem, layout: Layout, block: int, buffers: int
) -> Iterator[Layout]:
    """Yield the layout with threads on batches of their own, and on each together."""
    threads = _room(problem, block + buffers, layout.shared)
    if threads > 0:
        yield replace(layout, workspace=block + buffers, threads=threads)
    shared = layout.shared + block
    threads = _room(problem, buffers, shared)
    if threads > 0:
        yield replace(layout, workspace=buffers, shared=shared, threads=threads, together=True)


def _tiles(problem: Problem, axes: Shape) -> Iterator[Layout]:
    dtype = compute_dtype(problem)
    scalar = dtype.itemsize
    lanes = _core.line_fft_lanes(dtype)
    others = math.prod(problem.out) // math.prod(problem.out[a] for a in axes)
    cuts = [_cuts(problem.out[a], problem.w[a], lanes if a == axes[-1] else 1) for a in axes]
    for cut in itertools.product(*cuts):
        points = tuple(c.points for c in cut)
        pairs = -(-others * math.prod(c.count for c in cut) // 2)
        spectrum = 2 * math.prod(points) * scalar
        if math.prod(points) > _MOST_TILE_POINTS or spectrum > problem.workspace_limit:
            continue
        step = tuple(c.step for c in cut)
        seconds = _pair_seconds(cut, scalar)
        yield from _apart_or_together(
            problem,
            Layout(Form.TILES, axes, points, step, pairs, seconds, 0, spectrum, 0),
            *_core.tile_fft_scratch(dtype, points),
        )


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
        # Tiles of one size, so that what they transform is as small as it can be; whole vectors.
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
    # The kernel fills one lane of half a batch, or half a pair.
    seconds = layout.seconds(used) + layout.batch_seconds / 2 + _cost.TILE_CALL_SECONDS
    bound = "call" if seconds < 2 * _cost.TILE_CALL_SECONDS else "arithmetic"
    return Estimate(seconds, bound, used * layout.workspace + layout.shared)


def _used_threads(layout: Layout, threads: int) -> int:
    worth = _cost.threads_for(layout.batches * layout.batch_seconds, threads)
    items = worth if layout.together else layout.batches
    return max(1, min(worth, items, layout.threads))


def build(problem: Problem) -> Runner:
    """Return the callable that solves problems of this shape."""
    layout = choose_layout(problem)
    assert layout is not None
    order = (*(a for a in range(len(problem.x)) if a not in layout.axes), *layout.axes)
    return Runner(problem, layout, order)


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel as the transforms take it, and as it was where it held NaN or Inf."""

    taps: np.ndarray  # finite, along the transformed axes, of the computation's dtype
    spectrum: np.ndarray  # in that dtype
    norm: float
    w: np.ndarray
    nonfinite: bool


@dataclass(frozen=True, slots=True)
class Runner:
    """Solves one problem by its layout."""

    problem: Problem
    layout: Layout
    order: Shape  # of the axes, the transformed ones last

    def converts(self, x: np.dtype[Any], out: np.dtype[Any]) -> bool:
        """Lines are converted on their way in and out of computations in float or double."""
        if self.problem.dtype.kind != "f":
            return False
        return _core.is_stored(x) and _core.is_stored(out) and out.kind == "f"

    def prepare(self, w: np.ndarray) -> Kernel:
        """Transform the kernel."""
        kernel = _nonfinite.split(w)
        taps = kernel.finite.transpose(self.order)
        taps = taps.reshape([w.shape[a] for a in self.layout.axes])
        taps = np.require(taps, compute_dtype(self.problem), ["C", "ALIGNED"])
        return Kernel(taps, self._spectrum(taps), _norm(taps), w, kernel.nonfinite is not None)

    def __call__(self, x: np.ndarray, kernel: Kernel, out: np.ndarray, threads: int) -> None:
        """Fill `out`."""
        dtype = compute_dtype(self.problem)
        if kernel.norm == 0:
            out[...] = 0
            marks = np.zeros(self.block_count, np.uint8)
            if not _all_finite(x):
                marks[:] = _core.BLOCK_NONFINITE
        elif self.problem.dtype.kind in "fc" and not self.suits(kernel, dtype):
            marks = np.full(self.block_count, _core.BLOCK_OUT_OF_RANGE, np.uint8)
            if not _all_finite(x):
                marks[:] |= _core.BLOCK_NONFINITE
        else:
            marks = self.correlate(x, kernel, out, dtype, None, threads)
        if kernel.nonfinite or marks.any():
            _again.settle(self, x, kernel, out, marks, threads)

    @property
    def block_seconds(self) -> float:
        """Of one block, beside the others that are transformed with it."""
        return self.layout.batch_seconds * self.layout.batches / self.block_count

    @property
    def block_count(self) -> int:
        """Number of blocks."""
        return math.prod(count for count, _ in self._grid)

    @property
    def _grid(self) -> list[tuple[int, int]]:
        """Blocks along each axis in order, and outputs of each."""
        step = dict(zip(self.layout.axes, self.layout.step, strict=True))
        steps = [step.get(a, 1) for a in self.order]
        return [(-(-self.problem.out[a] // s), s) for a, s in zip(self.order, steps, strict=True)]

    def region(self, number: int) -> tuple[slice, ...]:
        """Return the outputs of a block."""
        region = [slice(0)] * len(self.order)
        for axis, (count, step) in zip(reversed(self.order), reversed(self._grid), strict=True):
            number, index = divmod(number, count)
            stop = min((index + 1) * step, self.problem.out[axis])
            region[axis] = slice(index * step, stop)
        return tuple(region)

    def of_part(self, part: Problem) -> Runner | None:
        """Return what solves a part of the problem; None where the sum itself takes less time."""
        if part.macs / _cost.direct_rate(part.dtype) < _cost.TILE_CALL_SECONDS:
            return None
        if reject(part) is not None:
            return None
        if estimate(part, 1).seconds > direct.estimate(part, 1).seconds:
            return None
        return build(part)

    def _spectrum(self, taps: np.ndarray) -> np.ndarray:
        points, form = self.layout.points, self.layout.form

        def transform(taps: np.ndarray) -> np.ndarray:
            if form is Form.LINES:
                return _core.line_fft_spectrum(taps, points[0])
            if form is Form.LONG:
                return _core.four_step_spectrum(taps, points[0])
            return _core.tile_fft_spectrum(taps, points)

        return _spectra.get((form, points), taps, transform)

    def correlate(
        self,
        x: np.ndarray,
        kernel: Kernel,
        out: np.ndarray,
        dtype: np.dtype[Any],
        chosen: np.ndarray | None,
        threads: int,
    ) -> np.ndarray:
        """
        Fill `out`, or its chosen blocks, by transforms in this dtype; return marks of the blocks.

        Parameters
        ----------
        x, out : ndarray
            Data and result.
        kernel : Kernel
            The kernel.
        dtype : dtype
            The problem's own, or the one of its kind that has more digits.
        chosen : ndarray of intp, optional
            Numbers of blocks.
        threads : int
            The most threads.
        """
        problem, layout = self.problem, self.layout
        threads = _used_threads(layout, threads)
        own = dtype == kernel.taps.dtype
        spectrum = kernel.spectrum if own else self._spectrum(kernel.taps.astype(dtype))
        x, out = x.transpose(self.order), out.transpose(self.order)
        offset = [problem.offset[a] for a in self.order]
        taps = kernel.taps.shape
        fill = problem.fill_element
        fill = None if fill is None else fill.astype(dtype)
        rest = problem.boundary, fill, threads, self.need(kernel, dtype), chosen
        if layout.form is Form.LINES:
            skip = layout.points[0] - layout.step[0]
            return _core.line_fft_correlate(x, spectrum, taps[0], out, offset, skip, *rest)
        apart = not layout.together
        if layout.form is Form.LONG:
            step = layout.step[0]
            return _core.four_step_correlate(x, spectrum, taps[0], out, offset, step, apart, *rest)
        return _core.tile_fft_correlate(
            x, spectrum, layout.points, taps, out, offset, layout.step, apart, *rest
        )

    def need(self, kernel: Kernel, dtype: np.dtype[Any]) -> float:
        """Return what the results must be, beside the norm of their block's data; 0 for any."""
        if self.problem.dtype.kind in "iu":
            return 0.0
        points = math.prod(self.layout.points)
        return _rounding.relative_bound(points, dtype) * kernel.norm / PROMISE

    def suits(self, kernel: Kernel, dtype: np.dtype[Any]) -> bool:
        """Whether the kernel's spectrum lies where numbers of this dtype have all their digits."""
        info = np.finfo(dtype)
        points = math.prod(self.layout.points)
        least = float(info.tiny) / float(info.eps) ** 2 * points
        return least <= kernel.norm <= float(info.max) * float(info.eps) / points


def _all_finite(x: np.ndarray) -> bool:
    return x.dtype.kind not in "fc" or _nonfinite.all_finite(x)


def _norm(taps: np.ndarray) -> float:
    """Return the 2-norm, which neither overflows nor is lost."""
    largest = float(np.abs(taps).max())
    if largest == 0 or not math.isfinite(largest):
        return largest
    scaled = np.abs(taps).astype(np.float64) / largest
    # Not by BLAS, whose threads would keep cores from ours.
    return largest * math.sqrt(float(np.square(scaled).sum()))
