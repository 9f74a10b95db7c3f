"""
Convolution on a GPU by cuFFT, through CuPy: whole transforms, or blocks by overlap-save.

Blocks are cut as on the host (see `_blocking`), as many at a time as the bound on workspace allows.
Kernels of our own copy data into blocks, multiply spectra and store the results (blocks.cu); they
take any dtype and strides on their way. Spectra of the parts of a kernel are multiplied with those
of the data that they meet, and summed before the one transform back.

No NaN or Inf may enter a transform, and nobody waits for the GPU to tell whether there is one: what
is not finite becomes zero and sets a flag, there. The direct method is started behind the
transforms, and does nothing where the flag is not set.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastconv import _cost
from fastconv._cost import Estimate
from fastconv._cuda import ELEMENT_TYPES, Kernels, Launch, address, element_options, element_strides
from fastconv._gpu_rates import describe
from fastconv._methods import _blocking, _rounding, gpu_direct
from fastconv._methods._blocking import AxisBlocks, Cut, Fit
from fastconv._methods._transforms import fast_length
from fastconv._problem import Boundary, Problem, Reason, Shape

NAME = "gpu_fft"
PLAIN = False

# Dtypes that go through transforms, integers as float64.
_ELEMENTS = "bBhHiIlLqQfdFD"
# Threads of a block, and the elements that each of them copies: loads that are on their way.
_THREADS = 256
_EACH = 8
# A tile of so many, in bits; and the columns of one that is turned, which has 32 rows.
_TILE_BITS = 11
_TURNED_BITS = 6
# Axes of CuPy's arrays, at the most.
_MOST_AXES = 32
# Fields of `Along`, which stand in the struct for each axis; blocks.cu tells what they are.
_PER_AXIS = ("count", "step", "shift", "extent", "stride", "length", "divider", "limit", "pitch")
KERNELS = Kernels(
    "blocks.cu",
    "Blocks",
    [
        *((pointer, "uint64") for pointer in ("source", "target", "kernel", "flag")),
        *((number, "int64") for number in ("first", "total", "rows", "columns", "inner")),
        *((number, "int64") for number in ("across", "column_bits", "axes", "last", "boundary")),
        *((number, "int64") for number in ("block_points", "origin")),
        *((number, "int64") for number in ("kernel_first", "kernel_count", "blocks_each", "added")),
        ("divisor", "float64"),
        ("fill", "float64", (2,)),
        *((field, "int64", (_MOST_AXES,)) for field in _PER_AXIS),
    ],
    {"THREADS": _THREADS, "EACH": _EACH, "TILE_BITS": _TILE_BITS, "TURNED_BITS": _TURNED_BITS},
)
# At the least so many columns: rows are found one a thread.
_LEAST_BITS = 3
# Rows from which a tile is turned: of fewer, threads beyond the last would stand idle.
_TURNED_ROWS = 8

# Launches that are kept, but for their arrays.
_KEPT_LAUNCHES = 256
# Elements of a batch of blocks, and of one block. A batch of so many takes longer than its launches
# on the fastest GPU there is; more would only take memory, which CuPy keeps with its plans.
_BATCH_ELEMENTS = 1 << 24
_BLOCK_ELEMENTS = 1 << 26
# Levels of a transform that its threads do in registers and shared memory, in one pass over memory:
# 2^13 points of 8 bytes fill it.
_PASS_LEVELS = 13
# How much slower transforms are whose length is no power of two: cuFFT's manual says that they are.
_ODD_SHARE = 1.1
# Bits of the factors of a length that are more than a power of two.
_ODD_BITS = 7
# Blocks of one size that an axis may be cut into, whatever the length.
_MOST_EVEN_BLOCKS = 16
# Reads and writes of every point of a block beside the transforms along its axes: by gather,
# multiply and scatter; and in a transform along one axis, forth and back.
_COPIES = 6
_PASSES = 4
# CuPy copies the spectra of real data before it transforms them back: cuFFT would overwrite them.
_REAL_COPIES = 2
# Buffers as large as the blocks: data or result, its spectrum, and what the plan works in; of real
# data two plans, one each way, and CuPy's copy. Sums over parts of the kernel are one more.
_COMPLEX_BUFFERS = 3
_REAL_BUFFERS = 5
# Axes that a plan transforms together; of more, each takes a plan of its own, and copies.
_PLANNED_AXES = 3
# While a kernel is transformed: itself, its spectrum, and what the plan works in.
_KERNEL_BUFFERS = 3
# Buffers that pass from one step to the next, and the share of the L2 cache that they may fill to
# be found there.
_PASSED_BUFFERS = 3
_CACHE_SHARE = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """How a problem is cut into transforms."""

    axes: Shape  # transformed
    blocks: tuple[AxisBlocks, ...]
    taps: Shape  # of one part of the kernel along each transformed axis
    parts: Shape
    kernels: int  # of the problem: one for each index of its varying axes
    count: int  # blocks of all kernels
    batch: int  # blocks that are transformed together
    kept: bool  # whether all spectra of the kernel are kept, or made for each batch
    work: tuple[tuple[str, float], ...]
    workspace: int

    @property
    def lengths(self) -> Shape:
        """Lengths of the transforms."""
        return tuple(b.length for b in self.blocks)

    @property
    def blocks_each(self) -> int:
        """Blocks of each kernel."""
        return self.count // self.kernels


def _transform_dtype(problem: Problem) -> np.dtype[Any]:
    """Return the floating type of the transforms."""
    return np.dtype(np.float64) if problem.dtype.kind in "iu" else problem.dtype


def reject(problem: Problem) -> Reason | None:
    """Take floating types; integers only where rounding gives them back exactly."""
    reason = _blocking.reject(problem)
    if reason is not None:
        return reason
    if problem.dtype.char not in _ELEMENTS:
        return Reason.DTYPE
    layout = choose_layout(problem)
    if layout is None:
        return Reason.WORKSPACE
    if problem.dtype.kind in "iu":
        if problem.magnitude is None:
            return Reason.UNKNOWN_RANGE
        if _integer_error(problem, layout) >= 0.5:
            return Reason.INEXACT
    return None


def _integer_error(problem: Problem, layout: Layout) -> float:
    """
    Bound the rounding error of an integer result; see `_blocking.integer_error`.

    The products with all parts of a kernel are summed as spectra: their norms add up to √parts
    times that of the kernel, and each sum rounds once more.
    """
    error = _blocking.integer_error(problem, math.prod(layout.lengths))
    parts = math.prod(layout.parts)
    if parts > 1:
        levels = math.log2(math.prod(layout.lengths))
        error *= math.sqrt(parts) * (1 + parts / levels)
    return error


def least(problem: Problem) -> float:
    """Return the seconds of the calls, and of two passes over the outputs."""
    work = (
        ("call.launch", 4),
        ("call.library", 2),
        ("cache.l2", 2 * math.prod(problem.out) * problem.dtype.itemsize),
    )
    return _cost.predict(Estimate(work), device=problem.device).seconds


def estimate(problem: Problem) -> Estimate:
    """Transforms at cuFFT's rate, or passes over memory; and the calls."""
    layout = choose_layout(problem)
    assert layout is not None
    flops = layout.work[0][1]
    return Estimate(layout.work, layout.workspace, products=flops / 2)


def error(problem: Problem) -> float:
    """Return what outputs may err by, beside the norms of data and kernel; integers do not."""
    layout = choose_layout(problem)
    if layout is None or problem.dtype.kind in "iu":
        return 0.0
    bound = _rounding.relative_bound(math.prod(layout.lengths), problem.dtype)
    return bound + 2 * _rounding.unit_roundoff(problem.dtype)


# --- choosing the blocks --------------------------------------------------------------------------


@functools.lru_cache(maxsize=512)
def choose_layout(problem: Problem) -> Layout | None:
    """Return a cheap cut within the workspace bound, or None."""
    return _blocking.in_parts(problem, functools.partial(_layout, problem))


def _layout(problem: Problem, axes: Shape, parts: Shape) -> Layout | None:
    """Return the cheapest cut within the workspace bound, for this number of parts."""
    dtype = _transform_dtype(problem)
    is_complex = dtype.kind == "c"
    taps = tuple(_blocking.taps_of_parts(problem, axes, parts))
    parts = tuple(-(-problem.w[a] // t) for a, t in zip(axes, taps, strict=True))
    # Transforms of real data are fast where the last length is even.
    fits: list[Fit] = [_length] * len(axes)
    if not is_complex:
        fits[-1] = _even_length
    rules = list(zip(axes, taps, fits, strict=True))
    kernels = math.prod(problem.x[a] for a in problem.varying)
    spectra = kernels * math.prod(parts)
    buffers = (_COMPLEX_BUFFERS if is_complex else _REAL_BUFFERS) + (math.prod(parts) > 1)
    if len(axes) > _PLANNED_AXES:
        buffers += len(axes)
    # The least that there must be room for: one block, and the spectrum that it is multiplied with.
    some = buffers + (1 if spectra == 1 else _KERNEL_BUFFERS)
    most = min(problem.workspace_limit // (some * dtype.itemsize), _BLOCK_ELEMENTS)
    cuts = _cheapest([_choices(problem, a, t, fit) for a, t, fit in rules], most, is_complex)
    if cuts is None:
        return None
    elements = _elements([length for length, _ in cuts], is_complex)
    blocks = tuple(
        _blocking.blocks_of(problem, a, t, length, fit)
        for (a, t, fit), (length, _) in zip(rules, cuts, strict=True)
    )
    others = math.prod(m for a, m in enumerate(problem.out) if a not in axes)
    count = others * math.prod(b.count for b in blocks)
    # What there is room for, in buffers as large as one block.
    room = problem.workspace_limit // (elements * dtype.itemsize)
    kept = spectra == 1 or spectra <= min(room // 4, _BATCH_ELEMENTS // elements)
    if kept:
        batch = (room - spectra) // buffers
    elif kernels == 1:
        batch = (room - _KERNEL_BUFFERS) // buffers
    else:
        each = count // kernels
        batch = int((room - 2 * _KERNEL_BUFFERS) / (buffers + _KERNEL_BUFFERS / each))
    batch = max(min(batch, count, _BATCH_ELEMENTS // elements), 1)
    batch = -(-count // -(-count // batch))  # as large as each other
    layout = Layout(axes, blocks, taps, parts, kernels, count, batch, kept, (), 0)
    made = spectra if kept else _KERNEL_BUFFERS * _kernels_of_a_batch(layout)
    most_buffers = max(buffers * batch + made, _KERNEL_BUFFERS * spectra * kept)
    workspace = most_buffers * elements * dtype.itemsize
    return replace(layout, work=_work(problem, layout), workspace=workspace)


def _length(n: int) -> int:
    """Return a length from n on that is a power of two, but for a few small factors."""
    bits = max((n - 1).bit_length() - _ODD_BITS, 0)
    return fast_length(-(-n >> bits)) << bits


def _even_length(n: int) -> int:
    return 2 * _length(-(-n // 2))


def _choices(problem: Problem, axis: int, taps: int, fit: Fit) -> list[Cut]:
    """Return the lengths to choose from: those of the host, and a few blocks of one size."""
    choices = _blocking.cuts_of(problem, axis, taps, fit)
    whole, out = choices[0][0], problem.out[axis]
    for count in range(2, min(out, _MOST_EVEN_BLOCKS) + 1):
        length = fit(-(-out // count) + taps - 1)
        if length < whole:
            choices.append((length, -(-out // (length - taps + 1))))
    # What is not longer than another one and not dearer leaves that no chance.
    kept: list[Cut] = []
    for cut in sorted(choices):
        if not kept or _cost_of((cut,)) < _cost_of(kept[-1:]):
            kept.append(cut)
    return kept


def _cheapest(choices: list[list[Cut]], most: int, is_complex: bool) -> tuple[Cut, ...] | None:
    """Return one choice for each axis such that a block has so many elements at most, or None."""
    fitting = (
        cuts
        for cuts in itertools.product(*choices)
        if _elements([length for length, _ in cuts], is_complex) <= most
    )
    return min(fitting, key=_cost_of, default=None)


def _elements(lengths: Sequence[int], is_complex: bool) -> int:
    """Return the elements of a block, or those that its spectrum takes the room of."""
    points = math.prod(lengths)
    return points if is_complex else points // lengths[-1] * 2 * (lengths[-1] // 2 + 1)


def _cost_of(cuts: Sequence[Cut]) -> float:
    """Count the reads and writes of all points."""
    points = math.prod(length * count for length, count in cuts)
    return points * (_COPIES + sum(_PASSES * _passes(length) for length, _ in cuts))


def _passes(length: int) -> float:
    """Passes over memory that a transform takes along an axis."""
    passes = max(-(-math.ceil(math.log2(length)) // _PASS_LEVELS), 1)
    return passes * (_ODD_SHARE if length & (length - 1) else 1)


def _kernels_of_a_batch(layout: Layout) -> int:
    """Kernels that the blocks of a batch may meet, wherever it begins."""
    return min(-(-(layout.batch - 1) // layout.blocks_each) + 1, layout.kernels)


def _work(problem: Problem, layout: Layout) -> tuple[tuple[str, float], ...]:
    dtype = _transform_dtype(problem)
    is_complex = dtype.kind == "c"
    points = math.prod(layout.lengths)
    parts = math.prod(layout.parts)
    batches = -(-layout.count // layout.batch)
    # The kernel's spectra: as often as they are made, and as often as they are read.
    read = batches * parts * _kernels_of_a_batch(layout)
    made, makings = read, batches * parts
    if layout.kept:
        made, makings = layout.kernels * parts, 1
    transforms = layout.count * (parts + 1) + made
    flops = transforms * 5.0 * points * math.log2(max(points, 2))
    # Gather and multiply for each part, and scatter once.
    copies = layout.count * (4 * parts + 2) + 2 * made + read
    if parts > 1:
        copies += layout.count * parts
    if not is_complex:
        flops /= 2
        copies += layout.count * _REAL_COPIES
    scalar = dtype.itemsize // (2 if is_complex else 1)
    passes = _PASSES / 2 * sum(_passes(length) for length in layout.lengths)
    moved = (transforms * passes + copies) * points * dtype.itemsize
    passed = _PASSED_BUFFERS * layout.batch * points * dtype.itemsize
    cached = passed <= _CACHE_SHARE * describe(problem.device or 0).cache_bytes
    return (
        (f"arithmetic.gpu_fft.{scalar}", flops),
        ("cache.l2", moved * cached),
        ("memory.ram", problem.traffic if cached else moved),
        # The flag is made and copied, and the direct method started, beside the copies.
        ("call.launch", batches * (2 * parts + 1) + makings + 3),
        ("call.library", batches * (parts + 1) + makings),
    )


# --- running --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel on the GPU."""

    w: Any  # flipped along the transformed axes
    spectra: Any  # (part, kernel, points…), or None where they are made for each batch
    flag: Any  # int32: whether what was transformed held NaN or Inf
    direct: Any  # what the direct method made of it


def build(problem: Problem, shared: float | None = None) -> Runner:
    """Return the callable that solves problems of this shape."""
    layout = choose_layout(problem)
    assert layout is not None
    mended = problem.dtype.kind in "fc" and gpu_direct.reject(problem) is None
    direct = gpu_direct.build(problem) if mended else None
    return Runner(problem, layout, _transform_dtype(problem), direct)


@dataclass(frozen=True, slots=True)
class Runner:
    """Solves one problem by its layout."""

    problem: Problem
    layout: Layout
    transform_dtype: np.dtype[Any]
    direct: Any  # the runner that solves what is not finite; None where nothing can be

    def converts(self, x: np.dtype[Any], out: np.dtype[Any]) -> bool:
        """Takes data and results of every dtype."""
        return True

    def prepare(self, w: Any) -> Kernel:
        """Transform the kernel."""
        import cupy

        layout = self.layout
        if isinstance(w, np.ndarray):
            w = gpu_direct.uploaded(w)
        back = slice(None, None, -1)
        flipped = w[tuple(back if a in layout.axes else slice(None) for a in range(w.ndim))]
        flag = cupy.zeros(1, np.int32)
        spectra = None
        if layout.kept:
            spectra = self._spectra(flipped, flag, 0, layout.kernels * math.prod(layout.parts))
        return Kernel(flipped, spectra, flag, self.direct and self.direct.prepare(w))

    def _spectra(self, w: Any, flag: Any, first: int, count: int) -> Any:
        """Transform so many parts of kernels from one on: first the first parts of all kernels."""
        import cupy

        blocks = cupy.empty((count, *self.layout.lengths), self.transform_dtype)
        _taps_into_blocks(self.problem, self.layout, element_strides(w), count).start(
            self._options(w, w),
            source=address(w),
            target=address(blocks),
            flag=address(flag),
            first=first,
            # The factor 1/N of the transform back is taken here, once.
            divisor=math.prod(self.layout.lengths),
        )
        return self._forward(blocks)

    def _options(self, x: Any, out: Any) -> tuple[str, ...]:
        dtypes = {"SUM": self.problem.dtype, "POINT": self.transform_dtype}
        return element_options(DATA=x.dtype, RESULT=out.dtype, **dtypes)

    @property
    def _transformed(self) -> Shape:
        return tuple(range(1, 1 + len(self.layout.lengths)))

    def _forward(self, blocks: Any) -> Any:
        import cupy

        transform = cupy.fft.fftn if blocks.dtype.kind == "c" else cupy.fft.rfftn
        # Of more than three axes, CuPy returns a view.
        return cupy.ascontiguousarray(transform(blocks, axes=self._transformed))

    def _backward(self, spectra: Any) -> Any:
        """Transform back, without the factor 1/N."""
        import cupy

        if self.transform_dtype.kind == "c":
            blocks = cupy.fft.ifftn(spectra, axes=self._transformed, norm="forward")
        else:
            blocks = cupy.fft.irfftn(
                spectra, self.layout.lengths, axes=self._transformed, norm="forward"
            )
        return cupy.ascontiguousarray(blocks)

    def __call__(self, x: Any, kernel: Kernel, out: Any, threads: int) -> None:
        """Fill `out`."""
        import cupy

        problem, layout = self.problem, self.layout
        options = self._options(x, out)
        order = _order(problem, layout, element_strides(x))
        flag = kernel.flag if self.direct is None else kernel.flag.copy()
        gathers = [
            _data_into_blocks(problem, layout, order, element_strides(x), starts)
            for starts in itertools.product(
                *(range(0, t * p, t) for t, p in zip(layout.taps, layout.parts, strict=True))
            )
        ]
        scatter = _blocks_into_result(problem, layout, order, element_strides(out))
        for first in range(0, layout.count, layout.batch):
            sums = None
            for part, gather in enumerate(gathers):
                blocks = cupy.empty((layout.batch, *layout.lengths), self.transform_dtype)
                gather.start(
                    options,
                    source=address(x),
                    target=address(blocks),
                    flag=address(flag),
                    first=first,
                )
                spectra = self._forward(blocks)
                del blocks
                sums = self._multiply(options, kernel, flag, spectra, first, part, sums)
                del spectra
            blocks = self._backward(sums)
            del sums
            scatter.start(
                options,
                source=address(blocks),
                target=address(out),
                flag=address(flag),
                first=first,
            )
            del blocks
        if self.direct is not None:
            self.direct.run(x, kernel.direct, out, only_if=address(flag))

    def _multiply(
        self,
        options: tuple[str, ...],
        kernel: Kernel,
        flag: Any,
        spectra: Any,
        first: int,
        part: int,
        sums: Any,
    ) -> Any:
        """Multiply a batch with the spectra of one part of its kernels; add that to `sums`."""
        layout = self.layout
        points = spectra.size // layout.batch
        kernels, kernel_first, kernel_count = kernel.spectra, 0, layout.kernels
        place = part * layout.kernels * points * spectra.itemsize
        if kernels is None:
            kernel_first, kernel_count = first // layout.blocks_each, _kernels_of_a_batch(layout)
            number = part * layout.kernels + kernel_first
            kernels, place = self._spectra(kernel.w, flag, number, kernel_count), 0
        target = spectra if sums is None else sums
        parameters = KERNELS.parameters(
            source=address(spectra),
            target=address(target),
            kernel=address(kernels) + place,
            rows=layout.batch,
            columns=points,
            first=first,
            blocks_each=layout.blocks_each,
            kernel_first=kernel_first,
            kernel_count=kernel_count,
            added=sums is not None,
        )
        tiles = -(-spectra.size >> _TILE_BITS)
        KERNELS.launch("multiply", options, tiles, _THREADS, parameters)
        return target


# --- launches -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Along:
    """An axis of the blocks of a launch."""

    count: int
    step: int
    shift: int
    extent: int
    stride: int
    length: int = 1
    divider: int = 1
    limit: int = 1
    pitch: int = 0


def _launch(
    name: str,
    dtype: np.dtype[Any],
    blocks: int,
    along: dict[int, Along],
    axes: Shape,
    lengths: Sequence[int],
    **values: Any,
) -> Launch:
    """
    Return the copy of so many blocks.

    Parameters
    ----------
    name : str
        'gather' or 'scatter'.
    dtype : dtype
        Of the transforms.
    blocks : int
        Blocks of a batch.
    along : dict
        The axes, in the order in which blocks are numbered.
    axes : tuple of int
        The transformed ones.
    lengths : sequence of int
        Elements that are copied of a block along each of these.
    **values
        Other fields of the struct.
    """
    *others, columns = lengths
    for i, a in enumerate(axes[:-1]):
        along[a] = replace(along[a], length=others[i], divider=math.prod(others[i + 1 :]))
    kept = [
        a for a, v in along.items() if a == axes[-1] or v.count > 1 or v.length > 1 or v.shift != 0
    ]
    # What the next row of a block, or of the next block, is: so far away, and so many of them.
    inner = [(along[a].stride, along[a].length) for a in axes[:-1] if along[a].length > 1]
    outer = [(v.stride * v.step, v.count) for v in along.values() if v.count > 1]
    apart, many = (inner or outer or [(0, 1)])[-1]
    turned = many >= _TURNED_ROWS and abs(apart) < abs(along[axes[-1]].stride)
    bits = max(min((columns - 1).bit_length(), _TILE_BITS), _LEAST_BITS)
    shared = (2 if name == "gather" else 3) * 8 << _TILE_BITS - bits
    if turned:
        bits = _TURNED_BITS
        rows = 1 << _TILE_BITS - bits
        shared = (2 if name == "gather" else 3) * 8 * rows
        shared += rows * ((1 << bits) + 1) * dtype.itemsize
    rows, across = blocks * math.prod(others), -(-columns >> bits)
    parameters = KERNELS.parameters(
        rows=rows,
        columns=columns,
        inner=math.prod(others),
        across=across,
        column_bits=bits,
        axes=len(kept),
        last=kept.index(axes[-1]),
        **{field: [getattr(along[a], field) for a in kept] for field in _PER_AXIS},
        **values,
    )
    tiles = -(-rows >> _TILE_BITS - bits) * across
    kernel = name + "_turned" * turned
    return Launch(KERNELS, kernel, _THREADS, parameters.tobytes(), tiles, shared=shared)


def _order(problem: Problem, layout: Layout, strides: Shape) -> Shape:
    """Return the axes in the order in which blocks are numbered; each kernel's stand together."""
    varying = problem.varying
    others = [a for a in range(len(problem.x)) if a not in (*varying, *layout.axes)]
    others.sort(key=lambda a: -abs(strides[a]))
    near = others and abs(strides[others[-1]]) < abs(strides[layout.axes[-1]])
    if len(layout.axes) == 1 and near:
        # Lines that lie side by side are rows side by side.
        return (*varying, *layout.axes, *others)
    return (*varying, *others, *layout.axes)


@functools.lru_cache(maxsize=_KEPT_LAUNCHES)
def _taps_into_blocks(problem: Problem, layout: Layout, strides: Shape, count: int) -> Launch:
    """Return the copy of parts of kernels that are flipped: each before the zeros of a block."""
    along = {
        a: Along(p, -t, problem.w[a] - t, problem.w[a], strides[a], limit=t)
        for a, t, p in zip(layout.axes, layout.taps, layout.parts, strict=True)
    }
    along |= {a: Along(problem.w[a], 1, 0, problem.w[a], strides[a]) for a in problem.varying}
    dtype = _transform_dtype(problem)
    return _launch(
        "gather", dtype, count, along, layout.axes, layout.lengths, boundary=Boundary.ZERO
    )


@functools.lru_cache(maxsize=_KEPT_LAUNCHES)
def _data_into_blocks(
    problem: Problem, layout: Layout, order: Shape, strides: Shape, starts: Shape
) -> Launch:
    """Return the copy of the data that a part of the kernel meets, from its first tap on."""
    cuts = dict(zip(layout.axes, zip(layout.blocks, starts, strict=True), strict=True))
    along = {}
    for a in order:
        extent, stride = problem.x[a], strides[a]
        if a in cuts:
            b, start = cuts[a]
            along[a] = Along(b.count, b.step, b.shift + start, extent, stride, limit=b.length)
        else:
            along[a] = Along(problem.out[a], 1, problem.offset[a], extent, stride)
    fill = 0j if problem.fill_element is None else complex(problem.fill_element[0])
    return _launch(
        "gather",
        _transform_dtype(problem),
        layout.batch,
        along,
        layout.axes,
        layout.lengths,
        boundary=problem.boundary,
        fill=(fill.real, fill.imag),
    )


@functools.lru_cache(maxsize=_KEPT_LAUNCHES)
def _blocks_into_result(problem: Problem, layout: Layout, order: Shape, strides: Shape) -> Launch:
    """Return the copy of the outputs of blocks that no wrapped sum touches."""
    lengths = layout.lengths
    pitches = [math.prod(lengths[i + 1 :]) for i in range(len(lengths))]
    cuts = dict(zip(layout.axes, zip(layout.blocks, pitches, strict=True), strict=True))
    along = {}
    for a in order:
        extent, stride = problem.out[a], strides[a]
        if a in cuts:
            b, pitch = cuts[a]
            along[a] = Along(b.count, b.step, 0, extent, stride, pitch=pitch)
        else:
            along[a] = Along(extent, 1, 0, extent, stride)
    return _launch(
        "scatter",
        _transform_dtype(problem),
        layout.batch,
        along,
        layout.axes,
        [b.valid for b in layout.blocks],
        total=layout.count,
        block_points=math.prod(lengths),
        origin=sum(b.skip * pitch for b, pitch in cuts.values()),
    )


def variants() -> Iterator[tuple[Kernels, tuple[str, ...]]]:
    """What the kernels may be compiled with, every dtype of data and results at the least once."""
    for code in ELEMENT_TYPES:
        kind = np.dtype(code).kind
        yield KERNELS, _compiled_for(code, code if kind == "c" else "D", "D", "D")
        if kind != "c":
            yield KERNELS, _compiled_for(code, code, "f", "f")
        if kind in "iu":
            yield KERNELS, _compiled_for(code, code, code, "d")
    for data, result, total in ("ddd", "fdd", "Bfd", "FFF", "fDF"):
        yield KERNELS, _compiled_for(data, result, total, total)


def _compiled_for(data: str, result: str, total: str, point: str) -> tuple[str, ...]:
    codes = {"DATA": data, "RESULT": result, "SUM": total, "POINT": point}
    return element_options(**{name: np.dtype(code) for name, code in codes.items()})
