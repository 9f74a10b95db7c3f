"""
Layers on a GPU by their sums of products: which kernel of fastconv/_cuda/layers.cu, and how cut.

A layer is sums of one depth (channels and taps) for all pairs of output channels and points (batch
and space), group by group. Where there are many of both they are tiles of a product of matrices
whose second one is never stored. Where a group has few output channels (depthwise layers) each
thread sums some points by itself; where it has few outputs in all (gradients of weights, points of
the last layers) threads share the depth. What long sums leave idle is given to parts of them, which
are added in their order afterwards.

The kernel is chosen by counting: what tiles leave empty, multiprocessors that have nothing to do,
and what waits for memory.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastconv import _cost, _gpu_rates
from fastconv._cost import Estimate
from fastconv._cuda import Kernels, Launch, address, element_options, element_strides
from fastconv._methods import _rounding
from fastconv._methods._phases import phases
from fastconv._problem import Activation, Problem, Reason, Shape, Weights

# What the source agrees on with this file.
_DIGITS = 4
_THREADS = 256
_STEP = 8
_WARP = 32
# Rows of a panel that each thread fills.
_COLUMN_ROWS = 8

LAYERS = Kernels(
    "layers.cu",
    "Layer",
    [
        ("x", np.uint64),
        ("w", np.uint64),
        ("out", np.uint64),
        ("bias", np.uint64),
        ("w_zero", np.uint64),
        ("sums", np.uint64),
        ("only_if", np.uint64),
        ("x_start", np.int64),
        ("x_group", np.int64),
        ("w_group", np.int64),
        ("out_group", np.int64),
        ("w_output", np.int64),
        ("out_output", np.int64),
        ("extent", np.int64, 3),
        ("start", np.int64, 3),
        ("point_extent", np.int64, _DIGITS),
        ("point_step", np.int64, (_DIGITS, 3)),
        ("point_x", np.int64, _DIGITS),
        ("point_out", np.int64, _DIGITS),
        ("point_row", np.int64, _DIGITS),
        ("depth_extent", np.int64, _DIGITS),
        ("depth_step", np.int64, (_DIGITS, 3)),
        ("depth_x", np.int64, _DIGITS),
        ("depth_w", np.int64, _DIGITS),
        ("depth_hop", np.int64, _DIGITS),
        ("points", np.int64),
        ("depth", np.int64),
        ("first_point", np.int64),
        ("first_depth", np.int64),
        ("split_depth", np.int64),
        ("point_tiles", np.int64),
        ("rows", np.int64),
        ("row_x", np.int64),
        ("hop", np.int64),
        ("hop_step", np.int64),
        ("hop_out", np.int64),
        ("output_tiles", np.int32),
        ("outputs", np.int32),
        ("groups", np.int32),
        ("splits", np.int32),
        ("group_lanes", np.int32),
        ("group_apart", np.int32),
        ("chunk", np.int32),
        ("activation", np.int32),
        ("x_zero", np.int32),
        ("along_outputs", np.int32),
        ("along_depth", np.int32),
        ("in_place", np.int32),
    ],
    constants={
        "DIGITS": _DIGITS,
        "THREADS": _THREADS,
        "STEP": _STEP,
        "WARP": _WARP,
        "COLUMN_ROWS": _COLUMN_ROWS,
    },
)

_DTYPES = (np.float32, np.float64, np.complex64, np.complex128, np.int32)
# Positions and elements that 32 bits count, with room for what is outside of all data.
_NARROW = 1 << 29

# Tiles: outputs and points of a block, and of a thread, by the bytes of an element. A thread of
# 8 × 8 does 64 multiply-adds for the 16 elements that it takes from shared memory, one of 4 × 4
# half as many for each: small ones are for few outputs or points.
_TILES: dict[int, tuple[tuple[int, int, int, int], ...]] = {
    4: (
        (128, 128, 8, 8),
        (64, 128, 8, 4),
        (64, 64, 4, 4),
        (32, 128, 4, 4),
        (16, 256, 4, 4),
        (128, 32, 4, 4),
    ),
    8: ((64, 64, 4, 4), (32, 128, 4, 4), (16, 128, 4, 2), (128, 32, 4, 4)),
    16: ((64, 32, 4, 2), (32, 64, 4, 2), (16, 64, 2, 2)),
}
# Share of the full rate, by the multiply-adds of a thread for each word (of 4 bytes) that it takes:
# the fewer they are, the more wait for shared memory (128 bytes a cycle).
_SHARES = ((4.0, 1.0), (2.5, 0.8), (2.0, 0.65), (0.0, 0.5))
_WORD_BYTES = 4
# Share of it with one block on a multiprocessor, whose warps wait for each other.
_ALONE_SHARE = 0.7
# Share of the full rate that threads reach which sum by themselves.
_LONE_SHARE = 0.7
# Instructions that a multiprocessor starts in a cycle, of the four that it could, each for a warp.
_STARTED = 2.4
# Output channels of a thread of `few`, and points, by the bytes of an element.
_FEW: dict[int, tuple[tuple[int, ...], int]] = {
    4: ((1, 2, 4, 8), 4),
    8: ((1, 2, 4), 4),
    16: ((1, 2), 2),
}
# Taps along its lines that `few` is compiled for; others take a loop.
_ROW_TAPS = {False: (1, 3), True: (3, 5, 7)}  # by whether windows slide
_ROW_BYTES = 160  # of all outputs of a thread, which registers hold
# Bytes of taps that a block of `few` may hold.
_TAP_BYTES = 32 << 10
# Groups that neighbouring threads of a block may take, of `few` and `dots`.
_MOST_GROUP_LANES = 64
# Outputs and points that a block of `dots` sums.
_DOTS: dict[int, tuple[tuple[int, int], ...]] = {
    4: ((1, 9), (2, 8), (4, 4), (8, 2)),
    8: ((1, 9), (2, 8), (4, 4), (8, 2)),
    16: ((1, 9), (2, 4), (4, 2)),
}
# Blocks that a multiprocessor runs at once, which parts of long sums are to fill.
_TILES_AT_ONCE = 2
_FEW_AT_ONCE = 4
_DOTS_AT_ONCE = 2
# The least depth of a part of long sums: in tiles, and of each thread.
_LEAST_DEPTH = 128
_LEAST_ROUNDS = 8
# More parts would be added one after the other for longer than they save.
_MOST_SPLITS = 128
# Cycles that a load from memory takes, and that one from the cache takes.
_MEMORY_CYCLES = 600
_CACHE_CYCLES = 40
# Instructions: for each place in the depth, for each line of taps, for each datum that is looked
# for or known to be there, for each line of the cache that a warp's load touches (in the time of so
# many), and for each tap.
_PLACE_COST = 40
_ROW_COST = 20
_LOOK_COST = 6
_DATUM_COST = 3
_LINE_COST = 2.4
_TAP_COST = 4
_LINE_BYTES = 128
# Blocks that look for taps that are not finite.
_MOST_LOOKING = 256


# --- the method's protocol ------------------------------------------------------------------------


def reject(problem: Problem) -> Reason | None:
    """Take layers of real and complex floats, and of integers that are summed in int32."""
    if not problem.layer:
        return Reason.NOT_A_LAYER
    return None if problem.dtype in _DTYPES else Reason.DTYPE


def estimate(problem: Problem) -> Estimate:
    """Products with what tiles leave empty, what is read for them, and launches."""
    if problem.empty:
        return Estimate((("call.launch", 1), ("memory.ram", problem.traffic)))
    work: list[tuple[str, float]] = []
    workspace = 0
    for phase in phases(problem):
        if phase.problem is None:
            work.append(("call.launch", 1))
            continue
        way = _chosen(phase.problem, dense(phase.problem))
        work += way.work
        workspace = max(workspace, way.workspace(phase.problem))
    return Estimate(tuple(work), workspace)


def error(problem: Problem) -> float:
    """Return what a sum may err by, beside its products."""
    return _rounding.direct_bound(problem.taps, problem.dtype)


def build(problem: Problem, shared: float | None = None) -> Runner:
    """Return the callable that solves problems of this shape; a GPU shares its work by itself."""
    return Runner(problem)


# --- how arrays lie in memory ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Layout:
    """
    Where elements of data, taps and result are, and what they are.

    Attributes
    ----------
    x, w, out : tuple of int
        Strides in elements.
    dtypes : tuple of dtype
        Theirs, in that order.
    """

    x: Shape
    w: Shape
    out: Shape
    dtypes: tuple[np.dtype[Any], np.dtype[Any], np.dtype[Any]]


def layout_of(x: Any, w: Any, out: Any) -> Layout:
    """Return the layout of arrays."""
    dtypes = x.dtype, w.dtype, out.dtype
    return Layout(element_strides(x), element_strides(w), element_strides(out), dtypes)


def dense(problem: Problem) -> Layout:
    """Return the layout of arrays whose last axes are contiguous."""
    byte = np.dtype(np.int8)
    data = byte if problem.dtype.kind == "i" else problem.dtype
    x, w, out = (_dense_strides(shape) for shape in (problem.x, problem.w, problem.out))
    return Layout(x, w, out, (data, data, problem.dtype))


def _dense_strides(shape: Shape) -> Shape:
    strides = [1]
    for n in reversed(shape[1:]):
        strides.append(strides[-1] * n)
    return tuple(reversed(strides))


@dataclass(frozen=True, slots=True)
class Digit:
    """
    One of the numbers that make up a point, or an index of the depth.

    Attributes
    ----------
    extent : int
        It is below that.
    axis : int, optional
        Of the three axes of space, the one along which it moves.
    step : int
        How far it moves there.
    x, other : int
        Elements that it moves in the data, and in the result or the taps.
    """

    extent: int
    axis: int | None
    step: int
    x: int
    other: int


def points_of(problem: Problem, layout: Layout) -> list[Digit]:
    """Return the digits of points: batch and space."""
    digits = [Digit(problem.out[0], None, 0, layout.x[0], layout.out[0])]
    for a, stride in enumerate(problem.stride):
        x, out = layout.x[3 + a], layout.out[3 + a]
        digits.append(Digit(problem.out[3 + a], a, stride, stride * x, out))
    return digits


def depth_of(problem: Problem, layout: Layout) -> list[Digit]:
    """Return the digits of the depth: channels and taps."""
    digits = [Digit(problem.w[2], None, 0, layout.x[2], layout.w[2])]
    for a, dilation in enumerate(problem.dilation):
        x, w = layout.x[3 + a], layout.w[3 + a]
        digits.append(Digit(problem.w[3 + a], a, dilation, dilation * x, w))
    return digits


def in_order(digits: Sequence[Digit]) -> list[Digit]:
    """Sort digits: those of one value, then the others, the least distance in memory last."""
    return sorted(digits, key=lambda d: (d.extent > 1, -abs(d.x), -abs(d.other)))


def distance(digits: Sequence[Digit], other: bool = False) -> tuple[int, int]:
    """Return how far neighbours lie apart, and how short their row is: to be compared."""
    last = digits[-1]
    if last.extent == 1:
        return _NARROW, 0
    return abs(last.other if other else last.x), -last.extent


def is_narrow(problem: Problem, layout: Layout) -> bool:
    """Whether 32 bits hold all positions, and all elements' places within a group."""

    def span(strides: Shape, shape: Shape, axes: Sequence[int]) -> int:
        return sum(abs(strides[a]) * shape[a] for a in axes)

    reach = [
        abs(problem.offset[3 + a])
        + problem.stride[a] * (problem.out[3 + a] + _FEW[4][1])
        + problem.dilation[a] * problem.w[3 + a]
        for a in range(3)
    ]
    every = (0, 2, 3, 4, 5)
    data = sum(abs(layout.x[3 + a]) * (reach[a] + problem.x[3 + a]) for a in range(3))
    return (
        max(
            max(reach),
            max(problem.x),
            data + span(layout.x, problem.x, (0, 2)),
            span(layout.w, problem.w, (1, 2, 3, 4, 5)),
            span(layout.out, problem.out, every),
            point_count(problem),
            problem.taps,
        )
        < _NARROW
    )


def point_count(problem: Problem) -> int:
    return problem.out[0] * math.prod(problem.out[3:])


# --- choosing a kernel ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Way:
    """
    A kernel, and how it cuts the work.

    Attributes
    ----------
    kernel : str
        Its name.
    tile : tuple of int
        Outputs and points of a block, then of a thread; of a thread alone.
    splits, split_depth : int
        Parts that sums are cut into, and the depth of each.
    work : Work
        What it takes.
    """

    kernel: str
    tile: tuple[int, ...]
    splits: int
    split_depth: int
    work: _cost.Work

    def workspace(self, problem: Problem) -> int:
        """Return the bytes of sums that are to be added."""
        sums = math.prod(problem.out) * problem.dtype.itemsize
        return self.splits * sums if self.splits > 1 else 0


@functools.lru_cache(maxsize=1024)
def _chosen(problem: Problem, layout: Layout) -> _Way:
    """Return the way that is predicted to take the least time."""
    ways = (*_tile_ways(problem), *_few_ways(problem, layout), *_dot_ways(problem, layout))

    def seconds(way: _Way) -> float:
        return _cost.predict(Estimate(way.work), device=problem.device or 0).seconds

    return min(ways, key=seconds)


def _device(problem: Problem) -> tuple[_gpu_rates.Gpu, dict[str, float]]:
    """Return what limits a problem's device, and the rates of its units of work."""
    device = problem.device or 0
    return _gpu_rates.describe(device), _gpu_rates.gpu_rates(device)


def _unit(problem: Problem) -> str:
    if problem.dtype.kind == "i":
        return "arithmetic.gpu_direct.integer"
    return f"arithmetic.gpu_direct.layers.{problem.dtype.itemsize // _parts(problem)}"


def _parts(problem: Problem) -> int:
    """Real numbers of an element."""
    return 2 if problem.dtype.kind == "c" else 1


def _products(problem: Problem) -> int:
    """Real multiply-adds of one product."""
    return _parts(problem) ** 2


def _work(
    problem: Problem,
    seconds: float,
    cycles: float,
    blocks: int,
    at_once: int,
    splits: int,
    loaded: float,
) -> _cost.Work:
    """
    Count the work of a kernel.

    Parameters
    ----------
    problem : Problem
        What it is for.
    seconds : float
        That a block keeps a multiprocessor busy.
    cycles : float
        That a block takes, however little there is to do.
    blocks, at_once : int
        Its blocks, and how many a multiprocessor runs at once.
    splits : int
        Parts of sums.
    loaded : float
        Bytes that blocks load.
    """
    gpu, rates = _device(problem)
    each = -(-blocks // gpu.multiprocessors)
    busy = each * seconds / (_ALONE_SHARE if each < 2 else 1)
    waiting = -(-each // at_once) * cycles / gpu.clock
    added = 0
    if splits > 1:
        added = 2 * splits * math.prod(problem.out) * problem.dtype.itemsize
    unit = _unit(problem)
    return (
        ("call.launch", 1 + (splits > 1)),
        (unit, max(busy, waiting) / rates[unit]),
        ("cache.l2", loaded + added),
        ("memory.ram", problem.traffic),
    )


def _splits(
    problem: Problem, blocks: int, wanted: int, least_depth: int
) -> Iterator[tuple[int, int]]:
    """Yield numbers of parts, and their depth: one, and as many as give blocks enough."""
    depth = problem.taps
    yield 1, depth
    room = problem.workspace_limit // (math.prod(problem.out) * problem.dtype.itemsize)
    splits = min(-(-wanted // blocks), depth // least_depth, _MOST_SPLITS, room)
    if splits > 1:
        each = -(-depth // splits // _STEP) * _STEP
        yield -(-depth // each), each


def _tile_ways(problem: Problem) -> Iterator[_Way]:
    size = problem.dtype.itemsize
    gpu, rates = _device(problem)
    # Products of float64 take longer, and so leave more time for shared memory.
    slower = 1.0
    if problem.dtype.kind != "i":
        slower = rates[_unit(problem)] / rates["arithmetic.gpu_direct.layers.4"]
    for tile in _TILES[size]:
        tall, wide, outputs, points = tile
        words = (outputs + points) * size // _WORD_BYTES
        per_word = outputs * points * _products(problem) * slower / words
        share = next(share for least, share in _SHARES if per_word >= least)
        tiles = -(-problem.w[1] // tall) * -(-point_count(problem) // wide) * problem.x[1]
        wanted = gpu.multiprocessors * _TILES_AT_ONCE
        for splits, depth in _splits(problem, tiles, wanted, _LEAST_DEPTH):
            blocks = tiles * splits
            deep = -(-depth // _STEP) * _STEP
            products = tall * wide * deep * _products(problem) / share
            seconds = products * rates[_unit(problem)] * gpu.multiprocessors
            cycles = (deep // _STEP + 1) * _MEMORY_CYCLES
            loaded = blocks * (tall + wide) * depth * size
            work = _work(problem, seconds, cycles, blocks, _TILES_AT_ONCE, splits, loaded)
            yield _Way("tiles", tile, splits, depth, work)


def _line_cost(step: int, dtype: np.dtype[Any]) -> float:
    """Count the lines of the cache that a warp's load touches, of elements so far apart."""
    lines = abs(step) * dtype.itemsize * _WARP / _LINE_BYTES
    return min(max(lines, 1), _WARP) * _LINE_COST


def _few_ways(problem: Problem, layout: Layout) -> Iterator[_Way]:
    size = problem.dtype.itemsize
    options, points = _FEW[size]
    outputs = next((n for n in options if n >= problem.w[1]), options[-1])
    if math.prod(problem.w[3:]) * outputs * size > _TAP_BYTES:
        return
    lanes = _few_lanes(problem, layout, outputs)
    tiles = -(-lanes.cells // (_THREADS // lanes.groups)), -(-problem.w[1] // outputs)
    blocks = math.prod(tiles) * -(-problem.x[1] // lanes.groups)
    loads = 1 if lanes.slides else points
    each = loads * (_DATUM_COST + _line_cost(lanes.step, layout.dtypes[0])) + _TAP_COST
    each += _ROW_COST / problem.w[3 + lanes.row]
    seconds = _arithmetic_seconds(problem, problem.taps, each, outputs * points)
    cycles = problem.taps * _CACHE_CYCLES
    loaded = tiles[1] * math.prod(problem.x) * layout.dtypes[0].itemsize
    work = _work(problem, seconds, cycles, blocks, _FEW_AT_ONCE, 1, loaded)
    yield _Way("few", (outputs, points), 1, problem.taps, work)


def _arithmetic_seconds(problem: Problem, rounds: float, each: float, sums: int) -> float:
    """
    Return how long a block keeps a multiprocessor busy.

    Parameters
    ----------
    problem : Problem
        What it is for.
    rounds : float
        That each of its threads does.
    each : float
        Instructions of a round, but multiply-adds.
    sums : int
        Products of a round.
    """
    gpu, rates = _device(problem)
    products = rounds * sums * _products(problem)
    instructions = (rounds * each + products) * (_THREADS // _WARP)
    rate = rates[_unit(problem)] * gpu.multiprocessors / _LONE_SHARE
    return max(instructions / _STARTED / gpu.clock, products * _THREADS * rate)


def _dot_ways(problem: Problem, layout: Layout) -> Iterator[_Way]:
    size = problem.dtype.itemsize
    gpu, _ = _device(problem)
    groups = _dot_lanes(problem, layout)
    lanes = _THREADS // groups
    count = point_count(problem)
    nearest = in_order(depth_of(problem, layout))[-1]
    steps = (layout.x[1], layout.w[1]) if groups > 1 else (nearest.x, nearest.other)
    datum, tap = (_line_cost(*pair) for pair in zip(steps, layout.dtypes[:2], strict=True))
    for outputs, points in _DOTS[size]:
        tiles = -(-problem.w[1] // outputs) * -(-count // points) * -(-problem.x[1] // groups)
        wanted = gpu.multiprocessors * _DOTS_AT_ONCE
        used = min(points, count)
        each = _PLACE_COST + (_DATUM_COST + tap) * outputs + (_LOOK_COST + datum) * used
        for splits, depth in _splits(problem, tiles, wanted, lanes * _LEAST_ROUNDS):
            rounds = -(-depth // lanes)
            blocks = tiles * splits
            seconds = _arithmetic_seconds(problem, rounds, each, used * outputs)
            cycles = rounds * _MEMORY_CYCLES
            loaded = blocks * groups * depth * (outputs + 1) * size
            work = _work(problem, seconds, cycles, blocks, _DOTS_AT_ONCE, splits, loaded)
            yield _Way("dots", (outputs, points), splits, depth, work)


def _power_of_two(n: int) -> int:
    """Return the least power of two that is not less."""
    return 1 << max(n - 1, 0).bit_length()


@dataclass(frozen=True, slots=True)
class _Lanes:
    """
    What neighbouring threads of `few` take.

    Attributes
    ----------
    groups : int
        Groups of a block.
    apart : int
        Threads between one group and the next.
    row : int
        Of the three axes, that along which a thread's points lie.
    slides : bool
        Whether those are neighbours, whose windows overlap.
    cells : int
        Threads that a group needs.
    step : int
        Elements between the data of neighbouring threads.
    """

    groups: int
    apart: int
    row: int
    slides: bool
    cells: int
    step: int


def _few_lanes(problem: Problem, layout: Layout, outputs: int) -> _Lanes:
    each = _FEW[problem.dtype.itemsize][1]
    points = points_of(problem, layout)
    space = points[1:]
    nearest = in_order(points)[-1]
    by_groups = problem.x[1] > 1 and abs(layout.x[1]) < distance([nearest])[0]
    # Rows whose windows overlap, along another axis than neighbouring threads.
    able = [
        a
        for a in range(3)
        if problem.stride[a] == problem.dilation[a] == 1
        and problem.w[3 + a] > 1
        and problem.out[3 + a] > 1
        and (by_groups or space[a] is not nearest)
    ]
    if able:
        row = max(able, key=lambda a: problem.w[3 + a])
    else:
        row = max(range(3), key=lambda a: problem.out[3 + a])
    cells = point_count(problem) // problem.out[3 + row] * -(-problem.out[3 + row] // each)
    taps = math.prod(problem.w[3:]) * outputs * problem.dtype.itemsize
    most = min(_TAP_BYTES // taps, _MOST_GROUP_LANES)
    groups = 1
    if by_groups:
        groups = _power_of_two(problem.x[1])
    elif cells < _THREADS:
        groups = min(_THREADS // _power_of_two(cells), _power_of_two(problem.x[1]))
    groups = max(min(groups, 1 << most.bit_length() - 1), 1)
    apart = 1 if by_groups else _THREADS // groups
    step = layout.x[1] if by_groups and groups > 1 else nearest.x
    return _Lanes(groups, apart, row, bool(able), cells, step)


def _dot_lanes(problem: Problem, layout: Layout) -> int:
    """Return the groups that neighbouring threads of `dots` take: where they are neighbours."""
    nearest = in_order(depth_of(problem, layout))
    if problem.x[1] > 1 and abs(layout.x[1]) < distance(nearest)[0]:
        return min(_power_of_two(problem.x[1]), _MOST_GROUP_LANES)
    return 1


# --- launches -------------------------------------------------------------------------------------


def compiled_for(
    section: str, dtype: np.dtype[Any], layout: Layout, narrow: bool, **macros: int
) -> tuple[str, ...]:
    x, w, out = layout.dtypes
    return (
        *element_options(X=x, W=w, SUM=dtype, OUT=out),
        f"-DPOSITION={'int' if narrow else 'Int64'}",
        f"-D{section}",
        *(f"-D{name}={int(value)}" for name, value in macros.items()),
    )


def _steps(digit: Digit, axes: Sequence[int] = (0, 1, 2)) -> Shape:
    return tuple(digit.step if a == digit.axis else 0 for a in axes)


def _digits_of(number: int, extents: Sequence[int]) -> list[int]:
    digits = []
    for n in reversed(extents[1:]):
        number, digit = divmod(number, n)
        digits.append(digit)
    return [number, *reversed(digits)]


def fields_of(
    problem: Problem,
    layout: Layout,
    points: Sequence[Digit],
    depth: Sequence[Digit],
    axes: Sequence[int] = (0, 1, 2),
) -> dict[str, Any]:
    """Return the fields of all kernels, with the three axes of space in some order."""
    return {
        "x_start": sum(problem.offset[3 + a] * layout.x[3 + a] for a in range(3)),
        "x_group": layout.x[1],
        "w_group": layout.w[0],
        "out_group": layout.out[1],
        "w_output": layout.w[1],
        "out_output": layout.out[2],
        "extent": [problem.x[3 + a] for a in axes],
        "start": [problem.offset[3 + a] for a in axes],
        "point_extent": [d.extent for d in points],
        "point_step": [_steps(d, axes) for d in points],
        "point_x": [d.x for d in points],
        "point_out": [d.other for d in points],
        "depth_extent": [d.extent for d in depth],
        "depth_step": [_steps(d, axes) for d in depth],
        "depth_x": [d.x for d in depth],
        "depth_w": [d.other for d in depth],
        "points": math.prod(d.extent for d in points),
        "depth": math.prod(d.extent for d in depth),
        "split_depth": math.prod(d.extent for d in depth),
        "outputs": problem.w[1],
        "groups": problem.x[1],
        "splits": 1,
        "output_tiles": 1,
        "point_tiles": 1,
    }


def _tiles(problem: Problem, layout: Layout, way: _Way) -> Launch:
    tall, wide, outputs, points_of_thread = way.tile
    points, depth = (in_order(d(problem, layout)) for d in (points_of, depth_of))
    tiles = -(-problem.w[1] // tall), -(-point_count(problem) // wide)
    fields = fields_of(problem, layout, points, depth) | {
        "splits": way.splits,
        "split_depth": way.split_depth,
        "output_tiles": tiles[0],
        "point_tiles": tiles[1],
        "along_outputs": abs(layout.out[2]) < distance(points, other=True)[0],
    }
    taps_apart = (abs(layout.w[1]), -problem.w[1]) if problem.w[1] > 1 else (_NARROW, 0)
    options = compiled_for(
        "TILES",
        problem.dtype,
        layout,
        is_narrow(problem, layout),
        OUTPUTS_TILE=tall,
        POINTS_TILE=wide,
        OUTPUTS_THREAD=outputs,
        POINTS_THREAD=points_of_thread,
        X_ALONG_DEPTH=distance(depth) < distance(points),
        W_ALONG_DEPTH=distance(depth, other=True) < taps_apart,
    )
    blocks = math.prod(tiles) * problem.x[1] * way.splits
    return Launch(LAYERS, "tiles", _THREADS, LAYERS.parameters(**fields).tobytes(), blocks, options)


def _few(problem: Problem, layout: Layout, way: _Way) -> Launch:
    outputs, each = way.tile
    lanes = _few_lanes(problem, layout, outputs)
    rows = problem.out[3 + lanes.row]
    hop = 1 if lanes.slides else -(-rows // each)
    points = points_of(problem, layout)
    row = points[1 + lanes.row]
    # Threads stand in its cells: of as many rows, or of one and hops to the others.
    row_step = each if lanes.slides else 1
    cells = -(-rows // each)
    stride = problem.stride[lanes.row]
    points[1 + lanes.row] = Digit(
        cells, lanes.row, stride * row_step, row.x * row_step, row.other * row_step
    )
    points = in_order(points)
    axes = (*(a for a in range(3) if a != lanes.row), lanes.row)
    depth = depth_of(problem, layout)
    depth = [depth[0], *(depth[1 + a] for a in axes)]
    taps = math.prod(problem.w[3:])
    tap_bytes = taps * outputs * lanes.groups * problem.dtype.itemsize
    row_taps = problem.w[3 + lanes.row]
    known = _row_taps(lanes.slides, outputs, problem.dtype.itemsize)
    chunk = min(_TAP_BYTES // tap_bytes, problem.w[2])
    tiles = -(-problem.w[1] // outputs), -(-lanes.cells // (_THREADS // lanes.groups))
    fields = fields_of(problem, layout, points, depth, axes) | {
        "output_tiles": tiles[0],
        "point_tiles": tiles[1],
        "rows": rows,
        "row_x": layout.x[3 + lanes.row],
        "point_row": [row_step if d.axis == lanes.row else 0 for d in points],
        "hop": hop,
        "hop_step": hop * stride,
        "hop_out": hop * row.other,
        "group_lanes": lanes.groups,
        "group_apart": lanes.apart,
        "chunk": chunk,
    }
    options = compiled_for(
        "FEW",
        problem.dtype,
        layout,
        is_narrow(problem, layout),
        OUTPUTS_THREAD=outputs,
        POINTS_THREAD=each,
        SLIDES=lanes.slides,
        ROW_TAPS=row_taps if row_taps in known else 0,
    )
    blocks = math.prod(tiles) * -(-problem.x[1] // lanes.groups)
    return Launch(
        LAYERS,
        "few",
        _THREADS,
        LAYERS.parameters(**fields).tobytes(),
        blocks,
        options,
        chunk * tap_bytes,
    )


def _row_taps(slides: bool, outputs: int, size: int) -> Shape:
    """Return the taps along lines that a kernel is compiled for, by the outputs of a thread."""
    return tuple(n for n in _ROW_TAPS[slides] if n * outputs * size <= _ROW_BYTES)


def _dots(problem: Problem, layout: Layout, way: _Way) -> Launch:
    outputs, each = way.tile
    groups = _dot_lanes(problem, layout)
    points, depth = (in_order(d(problem, layout)) for d in (points_of, depth_of))
    tiles = -(-problem.w[1] // outputs), -(-point_count(problem) // each)
    fields = fields_of(problem, layout, points, depth) | {
        "splits": way.splits,
        "split_depth": way.split_depth,
        "output_tiles": tiles[0],
        "point_tiles": tiles[1],
        "group_lanes": groups,
        "depth_hop": _digits_of(_THREADS // groups, [d.extent for d in depth]),
    }
    options = compiled_for(
        "DOTS",
        problem.dtype,
        layout,
        is_narrow(problem, layout),
        OUTPUTS_THREAD=outputs,
        POINTS_THREAD=each,
    )
    blocks = math.prod(tiles) * -(-problem.x[1] // groups) * way.splits
    return Launch(LAYERS, "dots", _THREADS, LAYERS.parameters(**fields).tobytes(), blocks, options)


@functools.lru_cache(maxsize=1024)
def _completion(problem: Problem, layout: Layout, in_place: bool) -> Launch:
    dtype = problem.dtype
    layout = replace(layout, dtypes=(dtype, dtype, layout.dtypes[2]))
    points, depth = (in_order(d(problem, layout)) for d in (points_of, depth_of))
    fields = fields_of(problem, layout, points, depth) | {"in_place": in_place}
    options = compiled_for("REST", dtype, layout, is_narrow(problem, layout))
    return Launch(LAYERS, "complete", _THREADS, LAYERS.parameters(**fields).tobytes(), 0, options)


def complete(
    problem: Problem,
    layout: Layout,
    parts: int,
    addresses: Mapping[str, int],
    points: tuple[int, int] | None = None,
) -> None:
    """
    Finish sums that lie in memory.

    Parameters
    ----------
    problem : Problem
        What they are the sums of.
    layout : Layout
        Of its arrays.
    parts : int
        That they are cut into, each (group, output channel, point), points in the order of
        `in_order`; the sums of no part are zero.
    addresses : mapping
        Of `sums`, which are where their results will be by default; of the result, and what else a
        `Kernel` has.
    points : tuple of int, optional
        The first point that there are sums of, and how many; all by default.
    """
    first, count = points or (0, point_count(problem))
    total = problem.x[1] * problem.w[1] * count
    _completion(problem, layout, parts > 0 and "sums" not in addresses).start(
        (), -(-total // _THREADS), splits=parts, first_point=first, points=count, **addresses
    )


@functools.lru_cache(maxsize=1024)
def _columns(problem: Problem, layout: Layout, depth: tuple[Digit, ...]) -> Launch:
    dtype = problem.dtype
    points = in_order(points_of(problem, layout))
    fields = fields_of(problem, layout, points, depth)
    layout = replace(layout, dtypes=(layout.dtypes[0], dtype, dtype))
    options = compiled_for("REST", dtype, layout, is_narrow(problem, layout))
    return Launch(LAYERS, "columns", _THREADS, LAYERS.parameters(**fields).tobytes(), 0, options)


def columns(
    problem: Problem,
    layout: Layout,
    depth: tuple[Digit, ...],
    points: tuple[int, int],
    terms: tuple[int, int],
    along_depth: bool,
    addresses: Mapping[str, int],
) -> None:
    """
    Lay out what some of the depth reads for some points, as a matrix of each group.

    Parameters
    ----------
    problem : Problem
        Whose data it is.
    layout : Layout
        Of its arrays.
    depth : tuple of Digit
        Its depth, in any order; points are in that of `in_order`.
    points, terms : tuple of int
        The first of them and how many, and so of the depth.
    along_depth : bool
        Whether rows are points, and their elements the depth; or the other way round.
    addresses : mapping
        Of `x`, and of `sums` for the matrices.
    """
    across, down = (terms[1], points[1]) if along_depth else (points[1], terms[1])
    lanes = min(max(_power_of_two(across), _WARP), _THREADS)
    tiles = -(-across // lanes), -(-down // (_COLUMN_ROWS * (_THREADS // lanes)))
    _columns(problem, layout, depth).start(
        (),
        math.prod(tiles) * problem.x[1],
        first_point=points[0],
        points=points[1],
        first_depth=terms[0],
        split_depth=terms[1],
        along_depth=along_depth,
        group_lanes=lanes,
        point_tiles=tiles[0],
        output_tiles=tiles[1],
        **addresses,
    )


def look(problem: Problem, taps: Any, flag: Any) -> None:
    """Have the GPU write 1 to an int32 where a tap is not finite."""
    nowhere = (0,) * 6
    layout = Layout(
        nowhere, element_strides(taps), nowhere, (problem.dtype, taps.dtype, taps.dtype)
    )
    points, depth = (d(problem, layout) for d in (points_of, depth_of))
    options = compiled_for("REST", problem.dtype, layout, is_narrow(problem, layout))
    parameters = LAYERS.parameters(**fields_of(problem, layout, points, depth)).tobytes()
    blocks = min(-(-math.prod(problem.w) // _THREADS), _MOST_LOOKING)
    Launch(LAYERS, "look", _THREADS, parameters, blocks, options).start(
        w=address(taps), out=address(flag)
    )


_MAKERS = {"tiles": _tiles, "few": _few, "dots": _dots}


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    """The launch for one layout of an ordinary layer, and how many parts its sums have."""

    sums: Launch
    parts: int


@functools.lru_cache(maxsize=1024)
def _job(problem: Problem, layout: Layout) -> _Job:
    way = _chosen(problem, layout)
    sums = _MAKERS[way.kernel](problem, layout, way)
    return _Job(sums, way.splits)


# --- running --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Kernel:
    """
    Weights on a GPU.

    Attributes
    ----------
    taps : array
        With any strides, of the problem's dtype, or of bytes.
    bias, w_zero : array, optional
        Of the problem's dtype, and int32; contiguous.
    activation : Activation
        Done to the result.
    x_zero : int
        As in Weights.
    """

    taps: Any
    bias: Any
    w_zero: Any
    activation: Activation
    x_zero: int

    def addresses(self) -> dict[str, int]:
        """Return the fields of a kernel that finishes sums."""
        fields = {"activation": int(self.activation), "x_zero": self.x_zero}
        if self.bias is not None:
            fields["bias"] = address(self.bias)
        if self.w_zero is not None:
            fields["w_zero"] = address(self.w_zero)
        return fields


def prepare(w: Weights, dtype: np.dtype[Any]) -> Kernel:
    """Bring weights to the current GPU."""
    import cupy

    def contiguous(a: Any, dtype: Any) -> Any:
        return None if a is None else cupy.ascontiguousarray(cupy.asarray(a, dtype))

    taps = cupy.asarray(w.taps)
    return Kernel(
        taps, contiguous(w.bias, dtype), contiguous(w.w_zero, np.int32), w.activation, w.x_zero
    )


@dataclass(frozen=True, slots=True)
class Runner:
    """Solves one layer."""

    problem: Problem

    def converts(self, x: np.dtype[Any], out: np.dtype[Any]) -> bool:
        """Elements are converted as they are read and written."""
        return True

    def prepare(self, w: Weights) -> Kernel:
        """Bring the weights to the GPU."""
        return prepare(w, self.problem.dtype)

    def __call__(self, x: Any, kernel: Kernel, out: Any, threads: int) -> None:
        """Fill `out`."""
        self.run(x, kernel, out)

    def run(self, x: Any, kernel: Kernel, out: Any, only_if: int = 0) -> None:
        """
        Fill `out`, unless told not to.

        Parameters
        ----------
        x, out : array
            Data and result: bytes and int32, or of the problem's dtype or one of fewer digits.
        kernel : Kernel
            As prepared.
        only_if : int
            Address of an int32 on the GPU: where that is zero nothing is done. 0 for always.
        """
        if 0 in self.problem.out:
            return
        for phase in phases(self.problem):
            solve(phase.problem, x, kernel, kernel.taps[phase.taps], out[phase.out], only_if)


def solve(
    problem: Problem | None, x: Any, kernel: Kernel, taps: Any, out: Any, only_if: int = 0
) -> None:
    """
    Fill the outputs of an ordinary layer.

    Parameters
    ----------
    problem : Problem, optional
        The layer; None where no tap reaches its outputs.
    x, taps, out : array
        Its data, taps and result.
    kernel : Kernel
        The bias, and what else there is.
    only_if : int
        As in `Runner.run`.
    """
    import cupy

    common = {**kernel.addresses(), "out": address(out), "only_if": only_if}
    if problem is None or problem.empty:
        problem, layout = _nothing(kernel, out)
        complete(problem, layout, 0, common)
        return
    layout = layout_of(x, taps, out)
    job = _job(problem, layout)
    if job.parts > 1:
        sums = cupy.empty(job.parts * math.prod(problem.out), problem.dtype)
        common["sums"] = address(sums)
    job.sums.start(**common, x=address(x), w=address(taps))
    if job.parts > 1:
        complete(problem, layout, job.parts, common)


def _nothing(kernel: Kernel, out: Any) -> tuple[Problem, Layout]:
    """Return what sums of nothing are finished as: a layer with one tap."""
    n, groups, outputs, *space = out.shape
    dtype = np.dtype(np.int32 if kernel.taps.dtype.kind in "iu" else kernel.taps.dtype)
    problem = Problem(
        x=(n, groups, 1, *space),
        w=(groups, outputs, 1, 1, 1, 1),
        out=tuple(out.shape),
        axes=(3, 4, 5),
        offset=(0,) * 6,
        dtype=dtype,
        stride=(1,) * 3,
        dilation=(1,) * 3,
        spread=(1,) * 3,
    )
    return problem, Layout((0,) * 6, (0,) * 6, element_strides(out), (dtype, dtype, out.dtype))


# --- what the source may be compiled with ---------------------------------------------------------


def variants() -> Iterator[tuple[Kernels, tuple[str, ...]]]:
    """Yield what the source may be compiled with: each kernel with each tile, and each type."""
    for types, every in _COMBINATIONS:
        x, w, dtype, out = map(np.dtype, types)
        layout = Layout((), (), (), (x, w, out))
        for narrow in (True, False) if every else (True,):
            for section, macros in _macros(dtype.itemsize, None if narrow and every else 1):
                yield LAYERS, compiled_for(section, dtype, layout, narrow, **macros)
            if dtype.kind != "i":
                yield LAYERS, compiled_for("REST", dtype, layout, narrow)
    integer = np.dtype(np.int32)
    layout = Layout((), (), (), (integer, integer, integer))
    yield LAYERS, compiled_for("REST", integer, layout, True)


def _macros(size: int, most: int | None) -> Iterator[tuple[str, dict[str, int]]]:
    """Yield kernels and their macros for elements of some bytes, of each at most some tiles."""
    for number, (tall, wide, outputs, points) in enumerate(_TILES[size][:most]):
        for along in (0, 1):
            yield (
                "TILES",
                {
                    "OUTPUTS_TILE": tall,
                    "POINTS_TILE": wide,
                    "OUTPUTS_THREAD": outputs,
                    "POINTS_THREAD": points,
                    "X_ALONG_DEPTH": along,
                    "W_ALONG_DEPTH": (number + along) % 2,
                },
            )
    options, points = _FEW[size]
    for number, outputs in enumerate(options[:most]):
        for slides in (False, True):
            known = (*_row_taps(slides, outputs, size), 0)
            yield (
                "FEW",
                {
                    "OUTPUTS_THREAD": outputs,
                    "POINTS_THREAD": points,
                    "SLIDES": slides,
                    "ROW_TAPS": known[number % len(known)],
                },
            )
    for outputs, points in _DOTS[size][:most]:
        yield "DOTS", {"OUTPUTS_THREAD": outputs, "POINTS_THREAD": points}


# Types of data, taps, sums and results, and whether with every tile.
_COMBINATIONS = (
    (("f", "f", "f", "f"), True),
    (("d", "d", "d", "d"), True),
    (("F", "F", "F", "F"), True),
    (("D", "D", "D", "D"), True),
    (("f", "d", "d", "f"), False),
    (("F", "D", "D", "F"), False),
    (("b", "b", "i", "i"), True),
    (("b", "B", "i", "i"), False),
    (("B", "b", "i", "i"), False),
    (("B", "B", "i", "i"), False),
)
