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
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fastconv import _cost
from fastconv._cost import Estimate, Work
from fastconv._methods import _again, _blocking, _nonfinite, _rounding, direct
from fastconv._methods._kernels import KernelCache
from fastconv._native import _core
from fastconv._problem import Problem, Reason, Shape

NAME = "tilefft"
PLAIN = False

# Powers of two of the lengths of transforms along one axis, in lanes and in four steps.
_LINE_LEVELS, _LONG_LEVELS = range(6, 17), range(13, 21)
_MOST_TILE_AXES = 3
_MOST_TILE_POINTS = 1 << 22
# A block of a long line gives at least this part of its points.
_LEAST_VALID = 8
# Lengths tried, from the shortest that holds the kernel.
_LEVELS_TRIED = 5
# Results may err by no more than this part of the largest of 32 neighbours, in the worst case; on
# ordinary data that is √N times less.
PROMISE = 1 / 32
# Times that threads meet while they work on one batch together.
_FORKS = 5
# Numbers that are rounded to integers must be smaller.
_LARGEST_ROUNDED = 2.0**51

# Bytes of spectra that are kept, and of the kernels they belong to.
_spectra = KernelCache(32 << 20)


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
    batch_work: Work
    workspace: int  # of one thread
    shared: int  # bytes that all threads share
    threads: int  # that there is room for
    together: bool = False  # all threads work on one batch at a time


def compute_dtype(problem: Problem) -> np.dtype[Any]:
    """Return the floating type of the transforms."""
    return np.dtype(np.float64) if problem.dtype.kind in "iu" else problem.dtype


def reject(problem: Problem) -> Reason | None:
    """Take lines of floats or complex numbers, images and volumes of floats, and exact integers."""
    reason = _blocking.reject(problem)
    if reason is not None:
        return reason
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
        inexact = problem.dtype.kind in "iu" and not _is_exact(problem, 1 << _LINE_LEVELS.start)
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


class _Cut(NamedTuple):
    """A way of cutting the axes into blocks, before it is known whether there is room for it."""

    form: Form
    points: Shape
    step: Shape
    batches: int
    work: Work  # of one batch


@functools.lru_cache(maxsize=512)
def choose_layout(problem: Problem) -> Layout | None:
    """Return the cheapest length of blocks within the workspace bound, or None."""
    axes = _transformed_axes(problem)
    most = _most_points(problem)
    if len(axes) > 1:
        while (cut := _tiles(problem, axes, most)) is not None:
            layout = _with_room(problem, axes, cut)
            if layout is not None:
                return layout
            most = math.prod(cut.points) // 2
        return None
    cuts = [c for c in _line_cuts(problem, axes[0]) if c.points[0] <= most]
    layouts = (_with_room(problem, axes, cut) for cut in sorted(cuts, key=_seconds))
    return next((layout for layout in layouts if layout is not None), None)


def _most_points(problem: Problem) -> int:
    """Return how large a block may be: of integers, as large as rounding gives them back."""
    points = _MOST_TILE_POINTS
    while problem.dtype.kind in "iu" and points and not _is_exact(problem, points):
        points //= 2
    return points


def _seconds(cut: _Cut) -> float:
    """Return the seconds on all cores: few large batches leave some idle, or work together."""
    each = sum(_cost.coefficient(unit) * count for unit, count in cut.work)
    apart = -(-cut.batches // _cost.CORES) * each
    return apart if cut.form is Form.LINES else min(apart, _seconds_together(cut.batches, each))


def _seconds_together(batches: int, each: float, threads: int = _cost.CORES) -> float:
    share = 1 + _cost.THREAD_EFFICIENCY * (threads - 1)
    forks = _FORKS * _cost.coefficient("call.fork") if threads > 1 else 0
    return batches * (each / share + forks)


def _with_room(problem: Problem, axes: Shape, cut: _Cut) -> Layout | None:
    """Return the layout of a cut, its threads apart or together, or None where it has no room."""
    dtype = compute_dtype(problem)
    scalar = dtype.itemsize // (2 if dtype.kind == "c" else 1)
    points = math.prod(cut.points)
    rest = cut.form, axes, cut.points, cut.step, cut.batches, cut.work
    shared = 2 * points * scalar  # the spectrum, and twiddles
    if cut.form is Form.LINES:
        # The lines pass through scratch of the planes' size where they cannot be read in place.
        workspace = 4 * points * _core.line_fft_lanes(dtype) * scalar + points * dtype.itemsize
        threads = _room(problem, workspace, shared)
        return Layout(*rest, workspace, shared, threads) if threads > 0 else None
    if shared > problem.workspace_limit:
        return None
    if cut.form is Form.LONG:
        block, buffers = _core.four_step_scratch(dtype, points)
    else:
        block, buffers = _core.tile_fft_scratch(dtype, cut.points)
    each = sum(_cost.coefficient(unit) * count for unit, count in cut.work)
    apart = _room(problem, block + buffers, shared)
    together = _room(problem, buffers, shared + block)
    seconds = {}
    if apart > 0:
        seconds[False] = -(-cut.batches // min(_cost.CORES, apart)) * each
    if together > 0:
        seconds[True] = _seconds_together(cut.batches, each, min(_cost.CORES, together))
    if not seconds:
        return None
    if min(seconds, key=lambda k: seconds[k]):
        return Layout(*rest, buffers, shared + block, together, together=True)
    return Layout(*rest, block + buffers, shared, apart)


def _room(problem: Problem, workspace: int, shared: int) -> int:
    """Threads that there is room for, also where blocks must be done again in double."""
    if compute_dtype(problem).char in "fF":
        return (problem.workspace_limit - 3 * shared) // (2 * workspace)
    return (problem.workspace_limit - shared) // workspace


def _line_cuts(problem: Problem, axis: int) -> Iterator[_Cut]:
    yield from _lines(problem, axis)
    yield from _long_lines(problem, axis)


def _lines(problem: Problem, axis: int) -> Iterator[_Cut]:
    dtype = compute_dtype(problem)
    lanes = _core.line_fft_lanes(dtype)
    real = dtype.kind == "f"
    scalar = dtype.itemsize // (1 if real else 2)
    out = problem.out[axis]
    lines = math.prod(problem.out) // out
    skip = -(-(problem.w[axis] - 1) // lanes) * lanes  # outputs that are thrown away
    strided = 0 if axis == len(problem.out) - 1 else 2
    level = _cost.traffic(problem.traffic)[0].removeprefix("memory.")
    for log2 in _levels(_LINE_LEVELS, skip, out):
        points = 1 << log2
        blocks = lines * -(-out // (points - skip))
        batches = -(-blocks // (2 * lanes if real else lanes))
        flops = 2 * 5 * points * log2 * lanes
        share = _cost.share_of_rate(_cost.LANE_FFT_LEVELS, 2 * points * lanes * scalar)
        work = (
            (f"arithmetic.tilefft.lines.{scalar}", flops / share),
            (f"cache.tilefft.strided.{level}", strided * points * lanes),
        )
        yield _Cut(Form.LINES, (points,), (points - skip,), batches, work)


def _levels(levels: range, halo: int, out: int) -> range:
    """Return the powers of two of lengths that are worth a try: longer than the halo, not idle."""
    least = max(halo.bit_length(), levels.start)
    most = max((halo + out - 1).bit_length(), least)
    return range(least, min(most + 1, least + _LEVELS_TRIED, levels.stop))


def _long_lines(problem: Problem, axis: int) -> Iterator[_Cut]:
    dtype = compute_dtype(problem)
    if dtype.kind != "f":
        return
    size = dtype.itemsize
    out, taps = problem.out[axis], problem.w[axis]
    lines = math.prod(problem.out) // out
    for log2 in _levels(_LONG_LEVELS, taps - 1, out):
        points = 1 << log2
        valid = points - taps + 1
        if valid < min(points // _LEAST_VALID, out):
            continue
        count = -(-out // valid)
        flops = 2 * 5 * (points / 2) * (log2 - 1)
        flops /= _cost.share_of_rate(_cost.LONG_FFT_LEVELS, points * size)
        work = ((f"arithmetic.tilefft.long.{size}", flops),)
        yield _Cut(Form.LONG, (points,), (-(-out // count),), lines * count, work)


def _tiles(problem: Problem, axes: Shape, most_points: int) -> _Cut | None:
    dtype = compute_dtype(problem)
    out = [problem.out[a] for a in axes]
    rate, line = f"arithmetic.tilefft.tiles.{dtype.itemsize}", "cache.tilefft.lines"
    costs = (
        _cost.coefficient(rate),
        _cost.coefficient(line),
        _FORKS * _cost.coefficient("call.fork") if _cost.CORES > 1 else 0.0,
        _cost.CORES,
        1 + _cost.THREAD_EFFICIENCY * (_cost.CORES - 1),
    )
    found = _core.cheapest_tiles(
        out,
        [problem.w[a] for a in axes],
        math.prod(problem.out) // math.prod(out),
        dtype,
        most_points,
        costs,
        _cost.TILE_FFT_LEVELS,
    )
    if found is None:
        return None
    points, step, pairs, flops, lines = found
    return _Cut(Form.TILES, points, step, pairs, ((rate, flops), (line, lines)))


# --- estimating and running -----------------------------------------------------------------------


def least(problem: Problem) -> float:
    """Return the seconds of a call, and of transforms as large as the kernel for each output."""
    rate = _cost.coefficient("arithmetic.tilefft.tiles.4")
    flops = 2.5 * math.log2(max(problem.taps, 2)) * math.prod(problem.out)
    return _cost.coefficient("call.tilefft") + flops * rate


def estimate(problem: Problem) -> Estimate:
    """Batches of transforms at their rate; the kernel's spectrum is kept from call to call."""
    layout = choose_layout(problem)
    assert layout is not None
    work = tuple((unit, layout.batches * count) for unit, count in layout.batch_work)
    pieces = sys.maxsize if layout.together else layout.batches
    workspace = min(layout.threads, _cost.CORES) * layout.workspace + layout.shared
    flops = work[0][1]
    return Estimate((("call.tilefft", 1), *work), workspace, pieces, flops / 2)


def error(problem: Problem) -> float:
    """Return what outputs may err by, beside the norms of a block and the kernel."""
    layout = choose_layout(problem)
    if layout is None or problem.dtype.kind in "iu":
        return 0.0
    return _rounding.relative_bound(math.prod(layout.points), problem.dtype)


def build(problem: Problem, shared: float | None = None) -> Runner:
    """Return the callable that solves problems of this shape; `shared` as predicted."""
    if shared is None:
        shared = _cost.predict(estimate(problem)).shared
    layout = choose_layout(problem)
    assert layout is not None
    order = (*(a for a in range(len(problem.x)) if a not in layout.axes), *layout.axes)
    return Runner(problem, shared, layout, order)


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
    shared: float  # seconds of work that threads share
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
        return self.shared / self.block_count

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
        by_sums = _cost.predict(direct.estimate(part)).seconds
        if by_sums < _cost.coefficient("call.tilefft") or reject(part) is not None:
            return None
        return build(part) if _cost.predict(estimate(part)).seconds < by_sums else None

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
        threads = _cost.threads_for(self.shared, threads)
        threads = min(threads, threads if layout.together else layout.batches, layout.threads)
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
