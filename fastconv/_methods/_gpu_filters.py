"""
Correlations on a GPU as calls of the kernels in fastconv/_cuda: which one, and how its work is cut.

Axes are what their strides make them. Neighbouring threads take neighbouring elements: the axis of
the least stride gives the columns, and an image's channels move with their pixel. Of the other axes
that the kernel slides on, that with the most taps gives the rows, whose sums share data in
registers. What is left is planes and batch.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from fastconv import _cost
from fastconv._cost import Estimate
from fastconv._cuda import (
    PLAIN_SHARED_BYTES,
    Kernels,
    Launch,
    address,
    element_options,
    element_strides,
)
from fastconv._problem import Problem, Shape

# What the sources agree on with this file: threads of a block; columns of its tile of an image, the
# other threads stand below; taps for which a thread holds a window of data in registers.
_THREADS = 256
_COLUMNS = 64
_STEP = 8
_BATCH_AXES = 4
# More than CuPy's arrays have.
_MOST_AXES = 32
# Channels up to which they move with their pixel.
_MOST_CHANNELS = 32
# Taps that a block stages at once: along rows and columns of an image, and along a line.
_IMAGE_CHUNK = 32
_LINE_CHUNK = 512
# Shared memory of a block that two passes may ask for: every device since compute capability 7.5
# gives as much.
_MOST_SHARED_BYTES = 64 << 10
# Launches that are kept ready, the least recently used going first.
_KEPT = 1024
# The most threads that share a line, and the fewest.
_WIDTHS = (256, 128, 64, 32, 16, 8)

_FIELDS: list[tuple[Any, ...]] = [
    ("x", np.uint64),
    ("w", np.uint64),
    ("w_rows", np.uint64),
    ("out", np.uint64),
    ("only_if", np.uint64),
    ("batch", np.int64, _BATCH_AXES),
    ("x_batch", np.int64, _BATCH_AXES),
    ("w_batch", np.int64, _BATCH_AXES),
    ("out_batch", np.int64, _BATCH_AXES),
    ("extent", np.int64, 3),
    ("outputs", np.int64, 3),
    ("offset", np.int64, 3),
    ("x_stride", np.int64, 3),
    ("w_stride", np.int64, 3),
    ("out_stride", np.int64, 3),
    ("x_channel", np.int64),
    ("out_channel", np.int64),
    ("tiles", np.int64, 2),
    ("taps", np.int32, 3),
    ("chunk", np.int32, 2),
    ("group", np.int32),
    ("width", np.int32),
    ("boundary", np.int32),
    ("listed", np.int32),
    ("fold", np.int32),
    ("step", np.int64, 2),
    ("fill", np.uint64, 2),
    ("divisor", np.float64),
    ("divisor_rows", np.float64),
]
_CONSTANTS = {
    "BATCH_AXES": _BATCH_AXES,
    "THREADS": _THREADS,
    "COLUMNS": _COLUMNS,
    "STEP": _STEP,
}
_FILTERS = Kernels("filters.cu", "Filter", _FIELDS, _CONSTANTS)
_PASSES = Kernels("passes.cu", "Filter", _FIELDS, _CONSTANTS)
_GENERAL = Kernels(
    "general.cu",
    "General",
    [
        ("x", np.uint64),
        ("w", np.uint64),
        ("out", np.uint64),
        ("only_if", np.uint64),
        ("count", np.int64),
        ("all_taps", np.int64),
        ("extent", np.int64, _MOST_AXES),
        ("outputs", np.int64, _MOST_AXES),
        ("offset", np.int64, _MOST_AXES),
        ("taps", np.int64, _MOST_AXES),
        ("x_stride", np.int64, _MOST_AXES),
        ("w_stride", np.int64, _MOST_AXES),
        ("out_stride", np.int64, _MOST_AXES),
        ("axes", np.int32),
        ("sliding", np.int32),
        ("boundary", np.int32),
        ("fold", np.int32),
        ("fill", np.uint64, 2),
    ],
    {"MOST_AXES": _MOST_AXES, "THREADS": _THREADS},
)

# A tap of a sum in order, as in general.cu.
ORDERED_TAP = np.dtype([("first", np.int64), ("second", np.int64), ("weight", np.float64)])


@dataclass(frozen=True, slots=True)
class _Axis:
    """One axis of the problem: extents of data and outputs, taps, and strides in elements."""

    number: int  # among the problem's axes
    extent: int
    outputs: int
    taps: int
    offset: int
    x: int
    w: int
    out: int
    slides: bool


@dataclass(frozen=True, slots=True)
class _Plan:
    """Which axes play which role; planes, rows and columns are three axes."""

    planes: _Axis
    rows: _Axis
    columns: _Axis
    channels: _Axis
    batch: list[_Axis]

    @property
    def is_line(self) -> bool:
        """Whether the kernel slides along the columns alone."""
        return self.rows.taps == self.planes.taps == 1 and not (
            self.rows.slides or self.planes.slides or self.channels.outputs > 1
        )


_ONE = _Axis(-1, 1, 1, 1, 0, 0, 0, 0, False)


def _axes(problem: Problem, x: Shape, w: Shape, out: Shape) -> list[_Axis]:
    """Return the axes that are longer than one, or slide."""
    axes = []
    for a, outputs in enumerate(problem.out):
        taps = problem.w[a] if a in problem.axes else 1
        slides = taps > 1 or problem.offset[a] != 0 or problem.x[a] != outputs
        if outputs == 1 and not slides:
            continue
        w_stride = w[a] if problem.w[a] > 1 else 0
        axes.append(
            _Axis(a, problem.x[a], outputs, taps, problem.offset[a], x[a], w_stride, out[a], slides)
        )
    return axes


def _merged(axes: list[_Axis]) -> list[_Axis]:
    """Merge axes of a batch that lie one behind the other in all arrays."""
    merged: list[_Axis] = []
    for a in sorted(axes, key=lambda a: (-abs(a.out), -abs(a.x))):
        if merged:
            b = merged[-1]
            n = a.outputs
            if (b.x, b.w, b.out) == (a.x * n, a.w * n, a.out * n):
                both = b.outputs * n
                merged[-1] = replace(a, outputs=both, extent=both)
                continue
        merged.append(a)
    return merged


def _plan(axes: list[_Axis]) -> _Plan | None:
    """Give every axis its role, or return None where there are not roles enough."""
    rest = list(axes)

    def take(a: _Axis | None) -> _Axis:
        if a is None:
            return _ONE
        rest.remove(a)
        return a

    def nearest(of: list[_Axis]) -> _Axis | None:
        return min(of, key=lambda a: (abs(a.x), abs(a.out)), default=None)

    # Where each index has a kernel of its own, there is a batch.
    alike = [a for a in rest if a.slides or not a.w]
    columns = take(nearest([a for a in alike if a.outputs > 1]) or nearest(alike))
    channels = _ONE
    if not columns.slides and columns.outputs <= _MOST_CHANNELS:
        pixels = nearest([a for a in rest if a.slides and a.outputs > 1])
        if pixels is not None:
            columns, channels = take(pixels), columns
    sliding = sorted((a for a in rest if a.slides), key=lambda a: -a.taps)
    if len(sliding) > 2:
        return None
    rows, planes = (take(a) for a in (*sliding, None, None)[:2])
    batch = _merged(rest)
    if rows is _ONE and batch:
        # Lines side by side; rows with kernels of their own are blocks of their own.
        longest = max((a for a in batch if not a.w), key=lambda a: a.outputs, default=None)
        if longest is not None:
            batch.remove(longest)
            rows = longest
    if len(batch) > _BATCH_AXES:
        return None
    return _Plan(planes, rows, columns, channels, batch)


class Form(NamedTuple):
    """What a launch depends on, beside the problem: how arrays lie, and what is done to sums."""

    x: Shape  # strides in elements
    w: Shape
    out: Shape
    x_dtype: np.dtype[Any]
    out_dtype: np.dtype[Any]
    sparse: bool = False  # whether a tap may be zero and is none
    divisor: int = 0  # of the sums; 0 for none


def form(x: Any, w: Shape, out: Any, *, sparse: bool = False, divisor: int = 0) -> Form:
    """Return the form of a correlation of arrays, and of a kernel with these strides."""
    return Form(element_strides(x), w, element_strides(out), x.dtype, out.dtype, sparse, divisor)


def correlate(
    problem: Problem,
    x: Any,
    w: Any,
    out: Any,
    *,
    sparse: bool = False,
    divisor: int = 0,
    only_if: int = 0,
) -> None:
    """
    Correlate arrays on the current GPU by sums of products.

    Parameters
    ----------
    problem : Problem
        What is solved; of its lines only those of one axis at a time.
    x, w, out : array
        w of the problem's dtype.
    sparse : bool
        Whether a tap of w may be zero and is none.
    divisor : int
        What sums are divided by; 0 for nothing.
    only_if : int
        Address of an int32: where that is zero nothing is done. 0 for always.
    """
    shape = form(x, element_strides(w), out, sparse=sparse, divisor=divisor)
    launch = _correlation(problem, shape)
    launch.start(x=address(x), w=address(w), out=address(out), only_if=only_if)


@functools.lru_cache(maxsize=_KEPT)
def _correlation(problem: Problem, form: Form) -> Launch:
    axes = _axes(problem, form.x, form.w, form.out)
    plan = _plan(axes)
    if plan is None:
        count, taps = (math.prod(n) for n in zip(*((a.outputs, a.taps) for a in axes), strict=True))
        return _general(problem, form, axes, "plain", count, taps)
    return _lines(problem, form, plan) if plan.is_line else _images(problem, form, plan)


def _parameters(problem: Problem, form: Form, plan: _Plan) -> dict[str, Any]:
    axes = (plan.planes, plan.rows, plan.columns)
    batch = [*plan.batch, *(_ONE,) * (_BATCH_AXES - len(plan.batch))]
    return {
        "batch": [a.outputs for a in batch],
        "x_batch": [a.x for a in batch],
        "w_batch": [a.w for a in batch],
        "out_batch": [a.out for a in batch],
        "extent": [a.extent for a in axes],
        "outputs": [a.outputs for a in axes],
        "offset": [a.offset for a in axes],
        "x_stride": [a.x for a in axes],
        "w_stride": [a.w for a in axes],
        "out_stride": [a.out for a in axes],
        "x_channel": plan.channels.x,
        "out_channel": plan.channels.out,
        "taps": [a.taps for a in axes],
        "group": plan.channels.outputs,
        "boundary": int(problem.boundary),
        "fill": fill(problem),
        "divisor": form.divisor,
    }


def _tiles(problem: Problem, plan: _Plan) -> tuple[tuple[int, int], int]:
    """Return the tiles of an image along rows and columns, and the blocks in all."""
    rows = _rows_of_tile(problem.dtype)
    columns = plan.columns.outputs * plan.channels.outputs
    tiles = -(-plan.rows.outputs // rows), -(-columns // _COLUMNS)
    return tiles, math.prod((*tiles, plan.planes.outputs, *(a.outputs for a in plan.batch)))


def _images(problem: Problem, form: Form, plan: _Plan) -> Launch:
    dtype = problem.dtype
    chunk = [min(_IMAGE_CHUNK, a.taps) for a in (plan.rows, plan.columns)]
    while (
        shared := _image_bytes(dtype, chunk[0], chunk[1], plan.channels.outputs)
    ) > PLAIN_SHARED_BYTES:
        longest = chunk.index(max(chunk))
        half = chunk[longest] // 2
        chunk[longest] = -(-half // _STEP) * _STEP if chunk[longest] > _STEP else half
    tiles, blocks = _tiles(problem, plan)
    parameters = _FILTERS.parameters(**_parameters(problem, form, plan), tiles=tiles, chunk=chunk)
    return Launch(
        _FILTERS, "image", _THREADS, parameters.tobytes(), blocks, options(problem, form), shared
    )


def _lines(problem: Problem, form: Form, plan: _Plan) -> Launch:
    dtype, columns = problem.dtype, plan.columns
    each = outputs_of_thread(dtype)
    # As few threads a line as take it whole, where there are lines enough for the others.
    wanted = max(columns.outputs, _THREADS * each // max(plan.rows.outputs, 1))
    width = min((w for w in _WIDTHS if w * each >= wanted), default=_WIDTHS[0])
    chunk = min(_LINE_CHUNK, columns.taps)
    while (shared := _line_bytes(dtype, width, chunk)) > PLAIN_SHARED_BYTES:
        if width < _WIDTHS[0]:
            width *= 2
        else:
            chunk = max(chunk // 2 // _STEP * _STEP, _STEP)
    lines = _THREADS // width
    tiles = -(-plan.rows.outputs // lines), -(-columns.outputs // (width * each))
    blocks = math.prod((*tiles, *(a.outputs for a in plan.batch)))
    parameters = _FILTERS.parameters(
        **_parameters(problem, form, plan), tiles=tiles, chunk=(1, chunk), width=width
    )
    return Launch(
        _FILTERS, "line", _THREADS, parameters.tobytes(), blocks, options(problem, form), shared
    )


def correlate_twice(
    problem: Problem,
    x: Any,
    lines: tuple[Any, Any],
    out: Any,
    *,
    first: int,
    between: np.dtype[Any],
    divisors: tuple[int, int] = (0, 0),
) -> bool:
    """
    Pass along the columns and then along the rows, or return False where that cannot be.

    Parameters
    ----------
    problem : Problem
        Of two axes with finite taps.
    x, out : array
        Data and result.
    lines : pair of array
        The taps of either pass, 1-D and contiguous.
    first : int
        The axis of the first pass, which must be one along which the data are close.
    between : dtype
        Of what the first pass hands to the second.
    divisors : pair of int
        What the sums of either pass are divided by; 0 for nothing.
    """
    strides = tuple(int(a == first) for a in range(len(problem.w)))
    launch = _two_passes(
        problem, form(x, strides, out, divisor=divisors[0]), first, between, divisors[1]
    )
    if launch is not None:
        columns, rows = map(address, lines)
        launch.start(x=address(x), w=columns, w_rows=rows, out=address(out))
    return launch is not None


@functools.lru_cache(maxsize=_KEPT)
def _two_passes(
    problem: Problem, form: Form, first: int, between: np.dtype[Any], divisor_rows: int
) -> Launch | None:
    plan = _plan(_axes(problem, form.x, form.w, form.out))
    if plan is None or plan.channels.outputs > 1 or plan.planes.slides:
        return None
    if plan.columns.number != first or not (plan.columns.slides and plan.rows.slides):
        return None
    shared = _two_passes_bytes(problem.dtype, plan.rows.taps, plan.columns.taps)
    if shared > _MOST_SHARED_BYTES:
        return None
    tiles, blocks = _tiles(problem, plan)
    parameters = _PASSES.parameters(
        **_parameters(problem, form, plan), tiles=tiles, divisor_rows=divisor_rows
    )
    chosen = (*options(problem, form), *element_options(BETWEEN=between))
    return Launch(_PASSES, "two_passes", _THREADS, parameters.tobytes(), blocks, chosen, shared)


def correlate_in_order(problem: Problem, x: Any, taps: Any, fold: int, out: Any) -> None:
    """
    Sum in the order of a list of taps, each product and sum rounded by itself.

    Parameters
    ----------
    problem : Problem
        What is solved.
    x, out : array
        Data and result.
    taps : array of int64, shape (taps, 3)
        Those of `ORDERED_TAP`, on the GPU.
    fold : int
        Whether the second data of a tap are added (1), or subtracted (-1).
    """
    shape = form(x, (1,) * x.ndim, out)
    launch = _ordered(problem, shape, taps.shape[0], fold)
    launch.start(x=address(x), w=address(taps), out=address(out))


@functools.lru_cache(maxsize=_KEPT)
def _ordered(problem: Problem, form: Form, taps: int, fold: int) -> Launch:
    axes = _axes(problem, form.x, form.w, form.out)
    plan = _plan(axes)
    shared = 0 if plan is None else _in_order_bytes(problem.dtype, plan, taps)
    if plan is None or plan.planes.slides or shared > PLAIN_SHARED_BYTES:
        return _general(problem, form, axes, "ordered", math.prod(problem.out), taps, fold)
    tiles, blocks = _tiles(problem, plan)
    # How far apart taps of neighbouring rows, and columns, stand in the kernel.
    step = [math.prod(problem.w[a.number + 1 :]) for a in (plan.rows, plan.columns)]
    parameters = _FILTERS.parameters(
        **_parameters(problem, form, plan),
        tiles=tiles,
        listed=taps,
        fold=fold,
        step=step,
    )
    chosen = options(problem, form, ordered=True)
    return Launch(
        _FILTERS, "image_in_order", _THREADS, parameters.tobytes(), blocks, chosen, shared
    )


def _general(
    problem: Problem,
    form: Form,
    axes: list[_Axis],
    name: str,
    count: int,
    taps: int,
    fold: int = 0,
) -> Launch:
    """Return a launch of one thread an output; the axes that slide come first."""
    axes = sorted(axes, key=lambda a: not a.slides)
    parameters = _GENERAL.parameters(
        count=count,
        all_taps=taps,
        extent=[a.extent for a in axes],
        outputs=[a.outputs for a in axes],
        offset=[a.offset for a in axes],
        taps=[a.taps for a in axes],
        x_stride=[a.x for a in axes],
        w_stride=[a.w for a in axes],
        out_stride=[a.out for a in axes],
        axes=len(axes),
        sliding=sum(a.slides for a in axes),
        boundary=int(problem.boundary),
        fold=fold,
        fill=fill(problem),
    )
    chosen = options(problem, form, ordered=name == "ordered")
    return Launch(_GENERAL, name, _THREADS, parameters.tobytes(), -(-count // _THREADS), chosen)


def options(problem: Problem, form: Form, *, ordered: bool = False) -> tuple[str, ...]:
    """Return what the sources are compiled with."""
    return (
        *element_options(X=form.x_dtype, SUM=problem.dtype, RESULT=form.out_dtype),
        f"-DCUT={int(problem.cut is not None)}",
        f"-DSPARSE={int(form.sparse)}",
        f"-DORDERED={int(ordered)}",
    )


def fill(problem: Problem) -> np.ndarray:
    """Return the bytes of what lies beyond the edges, as two numbers of 64 bits."""
    words = np.zeros(2, np.uint64)
    if problem.fill_element is not None:
        words.view(problem.dtype)[:1] = problem.fill_element
    return words


def outputs_of_thread(dtype: np.dtype[Any]) -> int:
    """Return the outputs that a thread of `image` and `line` sums."""
    return 8 if dtype.itemsize <= 4 else 4 if dtype.itemsize <= 8 else 2


def _packed(taps: int, dtype: np.dtype[Any]) -> int:
    pack = _STEP if dtype.itemsize < 2 else 16 // dtype.itemsize
    return -(-taps // pack) * pack


def _rows_of_tile(dtype: np.dtype[Any]) -> int:
    return _THREADS // _COLUMNS * outputs_of_thread(dtype)


def _image_bytes(dtype: np.dtype[Any], tall: int, wide: int, group: int) -> int:
    tile = (_rows_of_tile(dtype) + tall - 1) * (_COLUMNS + (wide - 1) * group)
    return (tile + _packed(tall, dtype) * wide) * dtype.itemsize


def _in_order_bytes(dtype: np.dtype[Any], plan: _Plan, taps: int) -> int:
    staged = 8 + dtype.itemsize  # two places in the tile, and a weight
    tile = _image_bytes(dtype, plan.rows.taps, plan.columns.taps, plan.channels.outputs)
    return taps * staged + tile


def _two_passes_bytes(dtype: np.dtype[Any], tall: int, wide: int) -> int:
    lines, length = _rows_of_tile(dtype) + tall - 1, _COLUMNS + wide - 1
    pitch = length + length // outputs_of_thread(dtype) + 1
    taps = _packed(tall, dtype) + _packed(wide, dtype)
    return (taps + lines * (pitch + _COLUMNS + 1)) * dtype.itemsize


def _line_bytes(dtype: np.dtype[Any], width: int, chunk: int) -> int:
    each = outputs_of_thread(dtype)
    length = width * each + chunk
    room = length + length // each
    return (_packed(chunk, dtype) + _THREADS // width * room) * dtype.itemsize


# --- costs ----------------------------------------------------------------------------------------


def work(problem: Problem, taps: float, passes: int = 1) -> _cost.Work:
    """Count sums of so many taps an output, and what they read and write in so many passes."""
    outputs = math.prod(problem.out)
    return (
        ("call.launch", passes),
        (arithmetic_unit("gpu_direct", problem.dtype), outputs * taps * scale(problem.dtype)),
        ("memory.ram", passes * problem.traffic),
    )


def arithmetic_unit(method: str, dtype: np.dtype[Any]) -> str:
    """Return the unit of a method's multiply-adds."""
    if dtype.kind not in "fc":
        return "arithmetic.gpu_direct.integer"
    return f"arithmetic.{method}.{dtype.itemsize // (2 if dtype.kind == 'c' else 1)}"


def scale(dtype: np.dtype[Any]) -> int:
    """Return the real multiply-adds of one product."""
    return 4 if dtype.kind == "c" else 1


def estimate_ordered(problem: Problem, taps: float, passes: int) -> Estimate:
    """Count sums in order."""
    counted = (
        ("call.launch", passes),
        (arithmetic_unit("gpu_direct.ordered", problem.dtype), math.prod(problem.out) * taps),
        ("memory.ram", passes * problem.traffic),
    )
    return Estimate(counted)


def variants() -> Iterator[tuple[Kernels, tuple[str, ...]]]:
    """Yield what the sources may be compiled with: every dtype in every role at least once."""
    for sums, x, out, cut, sparse in (
        *((code, code, code, 0, 0) for code in "?bBhHiIqQfdFD"),
        *((code, code, code, cut, 1 - cut) for code in "fd" for cut in (0, 1)),
        *((sums, x, out, int(out in "?bBhHiIqQ"), 0) for sums, x, out in _CONVERSIONS),
    ):
        ordered = sums in "fd"
        chosen = (
            *element_options(X=np.dtype(x), SUM=np.dtype(sums), RESULT=np.dtype(out)),
            f"-DCUT={cut}",
            f"-DSPARSE={sparse}",
            f"-DORDERED={int(ordered)}",
        )
        yield _FILTERS, chosen
        yield _GENERAL, chosen
        if ordered and not sparse:
            yield _PASSES, (*chosen, *element_options(BETWEEN=np.dtype(out if cut else sums)))


# Sums of data and for results of other dtypes than theirs: all that are read, and written.
_CONVERSIONS = (
    *(("f", x, out) for x, out in ("ee", "BB", "hf", "??")),
    *(("d", code, code) for code in "?bBhHiIqQ"),
    *(("d", x, out) for x, out in ("fe", "ff")),
    *(("D", x, out) for x, out in ("FF", "dD")),
)
