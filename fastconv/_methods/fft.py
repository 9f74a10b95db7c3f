"""
Convolution by the FFT: full-size transforms, or blocks by overlap-save.

A block of the extended input is transformed, multiplied by the kernel's spectrum and transformed
back; of its N outputs the N - taps + 1 that no wrapped sum touches are kept [1]_. One block as
large as the problem is the textbook's full-size transform. Lengths are chosen by cost along each
axis alone, under the workspace bound; a kernel that leaves no room is cut into parts whose results
are added.

References
----------
.. [1] A. V. Oppenheim, R. W. Schafer, "Discrete-Time Signal Processing", section 8.7.
"""

from __future__ import annotations

import enum
import functools
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastconv import _cost
from fastconv._cost import Estimate
from fastconv._methods import _blocking, _nonfinite, _rounding, _workers, direct
from fastconv._methods._blocking import AxisBlocks, Cut
from fastconv._methods._transforms import TransformSpec, borrowed, measure
from fastconv._native import _core
from fastconv._problem import Problem, Reason, Shape

NAME = "fft"
PLAIN = False

# Bytes of data in one batch of blocks: enough for every thread, and still in the cache.
_BATCH_BYTES = 1 << 20
# Up to this size a call costs more than its transforms: single precision goes through double.
_DOUBLE_ELEMENTS = 1 << 12
# Blocks whose transforms are measured when the machine is calibrated.
_COMMON_LENGTHS = (*((1 << p,) for p in range(8, 16)), (64, 64), (128, 128), (256, 256))
# Levels of the transforms along other axes, as far as the choice of one axis's length goes.
_OTHER_LEVELS = 3


@dataclass(frozen=True, slots=True)
class Layout:
    """How a problem is cut into transforms."""

    axes: Shape  # transformed
    blocks: tuple[AxisBlocks, ...]
    parts: Shape  # of the kernel along each transformed axis
    batch: int  # blocks that are transformed together
    work: tuple[tuple[str, float], ...]
    workspace: int

    @property
    def lengths(self) -> Shape:
        """Lengths of the transforms."""
        return tuple(b.length for b in self.blocks)


def _transform_dtype(problem: Problem, wide: bool) -> np.dtype[Any]:
    """Return the floating type of the transforms: double where it is needed, or free."""
    dtype = problem.dtype
    if dtype.kind in "iu":
        return np.dtype(np.float64)
    if wide or max(math.prod(problem.x), math.prod(problem.out)) <= _DOUBLE_ELEMENTS:
        return np.result_type(dtype, np.float64)
    return dtype


def reject(problem: Problem) -> Reason | None:
    """Take floating types; integers only where rounding gives them back exactly."""
    reason = _blocking.reject(problem)
    if reason is not None:
        return reason
    if problem.dtype.kind not in "fciu":
        return Reason.DTYPE
    layout = choose_layout(problem)
    if layout is None:
        return Reason.WORKSPACE
    if problem.dtype.kind in "iu":
        if problem.magnitude is None:
            return Reason.UNKNOWN_RANGE
        if _blocking.integer_error(problem, math.prod(layout.lengths)) >= 0.5:
            return Reason.INEXACT
    return None


def least(problem: Problem) -> float:
    """Return the seconds of a call, and of transforms as large as the kernel for each output."""
    rate = _cost.coefficient("arithmetic.fft.cache.4")
    flops = 5 * math.log2(max(problem.taps, 2)) * math.prod(problem.out)
    return _cost.coefficient("call.fft") + flops * rate


def estimate(problem: Problem) -> Estimate:
    """Transforms at FFTW's rate, and the copies around them."""
    layout = choose_layout(problem)
    assert layout is not None
    flops = layout.work[0][1]
    work = (("call.fft", 1), *layout.work)
    return Estimate(work, layout.workspace, products=flops / 2)


def measure_transforms(seconds: float, save: bool) -> None:
    """Let FFTW time its ways of common blocks, and save what it found for later processes."""
    specs = [
        TransformSpec(
            max(1, _BATCH_BYTES // (math.prod(lengths) * np.dtype(code).itemsize)),
            lengths,
            np.dtype(code),
        )
        for lengths in _COMMON_LENGTHS
        for code in "FDfd"
    ]
    measure(specs, seconds, save)


# --- choosing the blocks --------------------------------------------------------------------------


@functools.lru_cache(maxsize=512)
def choose_layout(problem: Problem, wide: bool = False) -> Layout | None:
    """Return a cheap cut within the workspace bound, or None; `wide` transforms in double."""
    return _blocking.in_parts(problem, functools.partial(_layout, problem, wide))


def _layout(problem: Problem, wide: bool, axes: Shape, parts: Shape) -> Layout | None:
    """Return the cheapest cut within the workspace bound, for this number of parts."""
    dtype = _transform_dtype(problem, wide)
    item = dtype.itemsize
    # Data and spectrum of a batch (integers pass through a third buffer), and the kernel's.
    buffers = 2 if dtype == problem.dtype else 3
    taps = _blocking.taps_of_parts(problem, axes, parts)
    choices = [_blocking.cuts_of(problem, a, t) for a, t in zip(axes, taps, strict=True)]
    most = problem.workspace_limit // ((buffers + 3) * item)
    lengths = _within(choices, most)
    if lengths is None:
        return None
    n = math.prod(length for length, _ in lengths)
    others = math.prod(m for a, m in enumerate(problem.out) if a not in axes)
    count = others * math.prod(blocks for _, blocks in lengths)
    batch = max(1, min(count, _BATCH_BYTES // (n * item), most // n))
    whole = math.prod(parts)
    kernels = whole * math.prod(problem.x[a] for a in problem.varying)
    flops = (2 * count * whole + kernels) * 5.0 * n * math.log2(max(n, 2))
    if dtype.kind != "c":
        flops /= 2
    scalar = min(item // (2 if dtype.kind == "c" else 1), 16)
    where = "cache" if 2 * n * item <= _cost.FFT_CACHE_BYTES else "memory"
    elements = count * whole * n
    work = (
        (f"arithmetic.fft.{where}.{scalar}", flops),
        ("cache.fft.copied", elements * item),
        ("cache.fft.strided", elements if axes[-1] != len(problem.out) - 1 else 0),
        ("cache.fft.lines", elements / lengths[-1][0]),
    )
    blocks = tuple(
        _blocking.blocks_of(problem, a, t, length)
        for a, t, (length, _) in zip(axes, taps, lengths, strict=True)
    )
    return Layout(axes, blocks, parts, batch, work, (buffers * batch + 3) * n * item)


def _within(choices: list[list[Cut]], most: int) -> list[Cut] | None:
    """
    Return one choice for each axis such that a block has so many points at the most, or None.

    The cheapest lengths of each axis by itself are tried first, then what is smaller along one.
    """
    cuts = [min(c, key=_cost_of) for c in choices]
    while math.prod(length for length, _ in cuts) > most:
        # The longest axis that can be shorter becomes so.
        shorter = [
            (length, i, max(c for c in choices[i] if c[0] < length))
            for i, (length, _) in enumerate(cuts)
            if length > min(choices[i])[0]
        ]
        if not shorter:
            return None
        _, i, cuts[i] = max(shorter)
    return cuts


def _cost_of(cut: Cut) -> float:
    length, count = cut
    return length * count * (_OTHER_LEVELS + math.log2(length))


# --- running --------------------------------------------------------------------------------------


class Met(enum.Flag):
    """What a run met that its transforms cannot carry."""

    NOTHING = 0
    NONFINITE = enum.auto()  # in the data
    OVERFLOW = enum.auto()  # out of the transforms of finite data


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel's spectra, and the kernel as it was where it held NaN or Inf."""

    # For each of the problem's kernels, by part: where the part starts, and its spectrum; None
    # where all together would take too much memory, and each is made when it is used.
    spectra: list[list[tuple[Shape, np.ndarray | None]]]
    finite: np.ndarray
    w: np.ndarray
    nonfinite: bool


def error(problem: Problem) -> float:
    """Return what outputs may err by, beside the norms of data and kernel; integers do not."""
    layout = choose_layout(problem)
    if layout is None or problem.dtype.kind in "iu":
        return 0.0
    bound = _rounding.relative_bound(math.prod(layout.lengths), _transform_dtype(problem, False))
    # Transforms of more digits do not make up for those of results and of taps.
    return bound + 2 * _rounding.unit_roundoff(problem.dtype)


def build(problem: Problem, shared: float | None = None) -> Runner:
    """Return the callable that solves problems of this shape; `shared` as predicted."""
    if shared is None:
        shared = _cost.predict(estimate(problem)).shared
    layout = choose_layout(problem)
    assert layout is not None
    return Runner(problem, shared, layout, _transform_dtype(problem, False))


@dataclass(frozen=True, slots=True)
class Runner:
    """Solves one problem by its layout."""

    problem: Problem
    shared: float  # seconds of work that threads share
    layout: Layout
    transform_dtype: np.dtype[Any]

    def _order(self) -> Shape:
        """Batch axes first, transformed axes last."""
        ndim = len(self.problem.x)
        return tuple(a for a in range(ndim) if a not in self.layout.axes) + self.layout.axes

    @property
    def _is_staged(self) -> bool:
        """Whether the data passes through double on its way."""
        return self.transform_dtype != self.problem.dtype

    def _spec(self, count: int) -> TransformSpec:
        return TransformSpec(count, self.layout.lengths, self.transform_dtype)

    def converts(self, x: np.dtype[Any], out: np.dtype[Any]) -> bool:
        """Takes the problem's dtype alone."""
        return False

    def prepare(self, w: np.ndarray) -> Kernel:
        """Transform the kernel."""
        problem, layout = self.problem, self.layout
        kernel = _nonfinite.split(w)
        starts = list(
            itertools.product(
                *(range(0, problem.w[a], t) for a, t in zip(layout.axes, self._taps, strict=True))
            )
        )
        count = len(starts) * math.prod(problem.x[a] for a in problem.varying)
        size = math.prod(layout.lengths) * self.transform_dtype.itemsize
        kept = count == 1 or count * size <= problem.workspace_limit // 4
        spectra: list[list[tuple[Shape, np.ndarray | None]]] = [
            [
                (start, self._spectrum(kernel.finite[at], start) if kept else None)
                for start in starts
            ]
            for at in problem.kernels()
        ]
        return Kernel(spectra, kernel.finite, w, kernel.nonfinite is not None)

    @property
    def _taps(self) -> list[int]:
        """Taps of one part of the kernel along each transformed axis."""
        return _blocking.taps_of_parts(self.problem, self.layout.axes, self.layout.parts)

    def _spectrum(self, w: np.ndarray, starts: Shape) -> np.ndarray:
        """Transform one part of one kernel."""
        taps = self._taps
        w = w.transpose(self._order()).reshape([w.shape[a] for a in self.layout.axes])
        part = w[tuple(slice(s, s + t) for s, t in zip(starts, taps, strict=True))]
        # The last part may be short: it is padded at its end, before it is flipped.
        corner = tuple(slice(t - n, t) for t, n in zip(taps, part.shape, strict=True))
        with borrowed(self._spec(1), backward=False) as transform:
            data = transform.data[0]
            data[...] = 0
            data[corner] = np.flip(part)
            # The factor 1/N of the inverse transform is taken here, once.
            data /= math.prod(self.layout.lengths)
            transform.forward()
            spectrum: np.ndarray = transform.spectrum[0].copy()
            return spectrum

    def __call__(self, x: np.ndarray, kernel: Kernel, out: np.ndarray, threads: int) -> None:
        """Fill `out`."""
        problem = self.problem
        threads = _cost.threads_for(self.shared, threads)
        met = Met.NOTHING
        for at, parts in zip(problem.kernels(), kernel.spectra, strict=True):
            for number, (starts, spectrum) in enumerate(parts):
                if spectrum is None:
                    spectrum = self._spectrum(kernel.finite[at], starts)
                met |= self._run_part(x[at], spectrum, starts, out[at], number > 0, threads)
        if Met.OVERFLOW in met and not self._is_staged:
            solve_wider(problem, x, kernel.w, out, threads)
        elif Met.NONFINITE in met or kernel.nonfinite:
            _nonfinite.mend(solve_finite(threads), problem, x, kernel.w, out)

    def _run_part(
        self,
        x: np.ndarray,
        spectrum: np.ndarray,
        part_start: Shape,
        out: np.ndarray,
        add: bool,
        threads: int,
    ) -> Met:
        """Convolve with one part of the kernel."""
        problem, layout = self.problem, self.layout
        order = self._order()
        x_view, out_view = x.transpose(order), out.transpose(order)
        fill = problem.fill_element
        skip = (0,) * (len(order) - len(layout.axes)) + tuple(b.skip for b in layout.blocks)
        valid = (1,) * (len(order) - len(layout.axes)) + tuple(b.valid for b in layout.blocks)

        def work(batches: Iterator[tuple[np.ndarray, np.ndarray]]) -> Met:
            met = Met.NOTHING
            with borrowed(self._spec(layout.batch)) as transform:
                block_shape = (-1,) + (1,) * (len(order) - len(layout.axes)) + layout.lengths
                blocks = transform.data.reshape(block_shape)
                staging = np.empty(blocks.shape, x.dtype) if self._is_staged else blocks
                for starts, data_starts in batches:
                    count = len(starts)
                    _core.gather_blocks(
                        x_view, staging[:count], data_starts, problem.boundary, fill
                    )
                    if self._is_staged:
                        blocks[:count] = staging[:count]
                    if problem.dtype.kind in "fc" and _zero_nonfinite(transform.data[:count]):
                        met |= Met.NONFINITE
                    transform.forward()
                    _multiply(transform.spectrum, spectrum)
                    transform.backward()
                    if _zero_nonfinite(transform.data[:count]):
                        met |= Met.OVERFLOW
                    if problem.dtype.kind in "iu":
                        # By way of int64, which wraps where float64 to a narrow type would not.
                        staging[:count] = np.rint(blocks[:count]).astype(np.int64)
                    elif self._is_staged:
                        with np.errstate(over="ignore"):
                            staging[:count] = blocks[:count]
                    _put(staging[:count], out_view, starts, skip, valid, add)
            return met

        batches = self._batches(out_view.shape, order, part_start)
        room = problem.workspace_limit // max(layout.workspace, 1)
        leading = out_view.shape[: -len(layout.axes)]
        count = math.prod(leading) * math.prod(b.count for b in layout.blocks)
        threads = max(1, min(threads, room, -(-count // layout.batch)))
        met = Met.NOTHING
        for each in _workers.run(work, batches, threads):
            met |= each
        return met

    def _batches(
        self, out_shape: Shape, order: Shape, part_start: Shape
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """First outputs of each batch of blocks, and the data their first elements read."""
        problem, layout = self.problem, self.layout
        leading = len(order) - len(layout.axes)
        counts = (*out_shape[:leading], *(b.count for b in layout.blocks))
        steps = np.array([1] * leading + [b.step for b in layout.blocks], dtype=np.intp)
        shifts = np.array(
            [problem.offset[a] for a in order[:leading]]
            + [b.shift + s for b, s in zip(layout.blocks, part_start, strict=True)],
            dtype=np.intp,
        )
        total = math.prod(counts)
        for first in range(0, total, layout.batch):
            numbers = np.arange(first, min(first + layout.batch, total))
            starts = np.stack(np.unravel_index(numbers, counts), axis=1) * steps
            yield np.ascontiguousarray(starts), np.ascontiguousarray(starts + shifts)


def solve_finite(threads: int) -> _nonfinite.Solve:
    """Return what solves finite problems for `_nonfinite.mend`."""

    def solve(problem: Problem, x: np.ndarray, w: np.ndarray, out: np.ndarray) -> None:
        if choose_layout(problem) is None:
            raise MemoryError("no room to find where NaN and Inf reach")
        runner = build(problem)
        runner(x, runner.prepare(w), out, threads)

    return solve


def solve_wider(
    problem: Problem, x: np.ndarray, w: np.ndarray, out: np.ndarray, threads: int
) -> None:
    """Solve again, from scratch, what overflowed in the transforms: in double, else directly."""
    runner: Runner | direct.Runner
    layout = choose_layout(problem, wide=True)
    wide = _transform_dtype(problem, wide=True)
    if layout is not None and wide != problem.dtype:
        runner = Runner(problem, math.inf, layout, wide)
    elif direct.reject(problem) is None:
        runner = direct.build(problem)
    else:
        return
    runner(x, runner.prepare(w), out, threads)  # type: ignore[arg-type]


def _zero_nonfinite(data: np.ndarray) -> bool:
    if data.dtype.itemsize <= (16 if data.dtype.kind == "c" else 8):
        return bool(_core.zero_nonfinite(data))
    bad = ~np.isfinite(data)
    data[bad] = 0
    return bool(bad.any())


def _multiply(spectra: np.ndarray, kernel: np.ndarray) -> None:
    if spectra.dtype.itemsize <= 16:
        _core.multiply_spectrum(spectra, kernel)
    else:
        with np.errstate(all="ignore"):
            spectra *= kernel


def _put(
    blocks: np.ndarray,
    out: np.ndarray,
    starts: np.ndarray,
    skip: Shape,
    valid: Shape,
    add: bool,
) -> None:
    try:
        _core.scatter_blocks(blocks, out, starts, skip, valid, add)
    except TypeError:
        # A dtype that the kernel stores but does not add.
        for block, start in zip(blocks, starts, strict=True):
            target = out[tuple(slice(s, s + n) for s, n in zip(start, valid, strict=True))]
            target += block[tuple(slice(k, k + n) for k, n in zip(skip, target.shape, strict=True))]
