"""
Correlations on a GPU as calls of the kernels in fastconv/_cuda: which one, and how its work is cut.

Axes are what their strides make them. Neighbouring threads take neighbouring elements: the axis of
the least stride gives the columns, and an image's channels move with their pixel. Of the other axes
that the kernel slides on, that with the most taps gives the rows, whose sums share data in
registers. What is left is planes and batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fastconv import _cost
from fastconv._cost import Estimate
from fastconv._cuda import PLAIN_SHARED_BYTES, Kernels, address, element_options, element_strides
from fastconv._problem import Boundary, Problem, Shape

# What the sources agree on with this file.
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
# The most threads that share a line, and the fewest.
_WIDTHS = (256, 128, 64, 32, 16, 8)

_FILTERS = Kernels(
    "filters.cu",
    "Filter",
    [
        ("x", np.uint64),
        ("w", np.uint64),
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
        ("fill", np.float64, 2),
        ("divisor", np.float64),
    ],
    constants={"BATCH_AXES": _BATCH_AXES},
)
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
        ("fill", np.float64, 2),
    ],
    constants={"MOST_AXES": _MOST_AXES},
)

# A tap of a sum in order, as in general.cu.
ORDERED_TAP = np.dtype([("first", np.int64), ("second", np.int64), ("weight", np.float64)])


@dataclass(frozen=True, slots=True)
class _Axis:
    """One axis: extents of data and outputs, taps, and strides in elements."""

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


_ONE = _Axis(1, 1, 1, 0, 0, 0, 0, False)


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
            _Axis(problem.x[a], outputs, taps, problem.offset[a], x[a], w_stride, out[a], slides)
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

    columns = take(nearest([a for a in rest if a.outputs > 1]) or nearest(rest))
    channels = _ONE
    if not columns.slides and columns.outputs <= _MOST_CHANNELS and not columns.w:
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


@dataclass(frozen=True, slots=True)
class Job:
    """
    One correlation between arrays on a GPU.

    Attributes
    ----------
    problem : Problem
        What is solved; of its lines only those of one axis at a time.
    x, w, out : array
        w of the problem's dtype.
    sparse : bool
        Whether a tap of w is known to be zero and to be none.
    divisor : int
        What sums are divided by; 0 for nothing.
    only_if : int
        Address of an int32: where that is zero nothing is done. 0 for always.
    """

    problem: Problem
    x: Any
    w: Any
    out: Any
    sparse: bool = False
    divisor: int = 0
    only_if: int = 0
    axes: list[_Axis] = field(init=False)

    def __post_init__(self) -> None:
        strides = (element_strides(a) for a in (self.x, self.w, self.out))
        object.__setattr__(self, "axes", _axes(self.problem, *strides))

    def run(self) -> None:
        """Start the kernel for it."""
        plan = _plan(self.axes)
        if plan is None:
            self._run_plainly()
        elif plan.is_line:
            self._run_lines(plan)
        else:
            self._run_images(plan)

    def _options(self) -> tuple[str, ...]:
        problem = self.problem
        return options(problem, self.x.dtype, self.out.dtype, self.sparse)

    def _parameters(self, plan: _Plan) -> dict[str, Any]:
        axes = (plan.planes, plan.rows, plan.columns)
        batch = [*plan.batch, *(_ONE,) * (_BATCH_AXES - len(plan.batch))]
        return {
            "x": address(self.x),
            "w": address(self.w),
            "out": address(self.out),
            "only_if": self.only_if,
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
            "boundary": int(self.problem.boundary),
            "fill": fill(self.problem),
            "divisor": self.divisor,
        }

    def _run_images(self, plan: _Plan) -> None:
        dtype = self.problem.dtype
        rows = _THREADS // _COLUMNS * outputs_of_thread(dtype)
        columns = plan.columns.outputs * plan.channels.outputs
        tiles = -(-plan.rows.outputs // rows), -(-columns // _COLUMNS)
        chunk = [min(_IMAGE_CHUNK, a.taps) for a in (plan.rows, plan.columns)]
        while (shared := _image_bytes(dtype, rows, *chunk, plan.channels.outputs)) > (
            PLAIN_SHARED_BYTES
        ):
            longest = chunk.index(max(chunk))
            chunk[longest] = max(chunk[longest] // 2 // _STEP * _STEP, 1)
        blocks = math.prod((*tiles, plan.planes.outputs, *(a.outputs for a in plan.batch)))
        parameters = _FILTERS.parameters(**self._parameters(plan), tiles=tiles, chunk=chunk)
        _FILTERS.launch("image", self._options(), blocks, _THREADS, parameters, shared)

    def _run_lines(self, plan: _Plan) -> None:
        dtype, columns = self.problem.dtype, plan.columns
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
            **self._parameters(plan), tiles=tiles, chunk=(1, chunk), width=width
        )
        _FILTERS.launch("line", self._options(), blocks, _THREADS, parameters, shared)

    def _run_plainly(self) -> None:
        count = math.prod(a.outputs for a in self.axes)
        taps = math.prod(a.taps for a in self.axes)
        parameters = self._general(count, taps, address(self.w))
        _GENERAL.launch(
            "plain", (*self._options(), "-DORDERED=0"), -(-count // _THREADS), _THREADS, parameters
        )

    def run_in_order(self, taps: Any, fold: int) -> None:
        """
        Sum in the order of a list, each product and sum rounded by itself.

        Parameters
        ----------
        taps : array of ORDERED_TAP as int64, shape (taps, 3)
            On the GPU.
        fold : int
            Whether the second data of a tap are added (1), or subtracted (-1).
        """
        count = math.prod(a.outputs for a in self.axes)
        parameters = self._general(count, taps.shape[0], address(taps))
        parameters["fold"] = fold
        _GENERAL.launch(
            "ordered", (*self._options(), "-DORDERED=1"), -(-count // _THREADS), _THREADS, parameters
        )

    def _general(self, count: int, all_taps: int, w: int) -> np.ndarray:
        sliding = [a for a in self.axes if a.slides]
        axes = [*sliding, *(a for a in self.axes if not a.slides)]
        return _GENERAL.parameters(
            x=address(self.x),
            w=w,
            out=address(self.out),
            only_if=self.only_if,
            count=count,
            all_taps=all_taps,
            extent=[a.extent for a in axes],
            outputs=[a.outputs for a in axes],
            offset=[a.offset for a in axes],
            taps=[a.taps for a in axes],
            x_stride=[a.x for a in axes],
            w_stride=[a.w for a in axes],
            out_stride=[a.out for a in axes],
            axes=len(axes),
            sliding=len(sliding),
            boundary=int(self.problem.boundary),
            fill=fill(self.problem),
        )


def options(
    problem: Problem, x: np.dtype[Any], out: np.dtype[Any], sparse: bool
) -> tuple[str, ...]:
    """Return what the sources are compiled with for data and results of these dtypes."""
    return (
        *element_options(X=x, SUM=problem.dtype, RESULT=out),
        f"-DCUT={int(problem.cut is not None)}",
        f"-DSPARSE={int(sparse)}",
    )


def fill(problem: Problem) -> tuple[float, float]:
    """Return the real and the imaginary part of what lies beyond the edges."""
    if problem.boundary is not Boundary.CONSTANT:
        return 0.0, 0.0
    value = complex(problem.fill)
    return value.real, value.imag


def outputs_of_thread(dtype: np.dtype[Any]) -> int:
    """Return the outputs that a thread of `image` and `line` sums."""
    return 8 if dtype.itemsize <= 4 else 4 if dtype.itemsize <= 8 else 2


def _packed(taps: int, dtype: np.dtype[Any]) -> int:
    pack = _STEP if dtype.itemsize < 2 else 16 // dtype.itemsize
    return -(-taps // pack) * pack


def _image_bytes(dtype: np.dtype[Any], rows: int, tall: int, wide: int, group: int) -> int:
    tile = (rows + tall - 1) * (_COLUMNS + (wide - 1) * group)
    return (tile + _packed(tall, dtype) * wide) * dtype.itemsize


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
    sums = "?bBhHiIqQfdFD"
    for code in sums:
        dtype = np.dtype(code)
        for cut in (0, 1) if code in "fd" else (0,):
            for x, out in ((dtype, dtype), *_CONVERSIONS.get(code, ())):
                for sparse in (0, 1) if x == out else (0,):
                    chosen = (
                        *element_options(X=np.dtype(x), SUM=dtype, RESULT=np.dtype(out)),
                        f"-DCUT={cut}",
                        f"-DSPARSE={sparse}",
                    )
                    yield _FILTERS, chosen
                    yield _GENERAL, (*chosen, f"-DORDERED={int(code in 'fd')}")


# Data and results of other dtypes than sums: every dtype that is read, and written.
_CONVERSIONS: dict[str, tuple[tuple[str, str], ...]] = {
    "f": (("e", "e"), ("B", "B"), ("h", "f"), ("?", "?")),
    "d": (("f", "e"), *((code, code) for code in "?bBhHiIqQ")),
    "D": (("F", "F"), ("d", "D")),
}
