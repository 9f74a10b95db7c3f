"""
What is done on a GPU before and after the correlation of an image and a template.

Functions are those of the native code (`_core.look_at_image` and what follows it), for arrays of
CuPy's and by the kernels of fastconv/_cuda/template.cu. All run on the current device and stream.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from fastconv import _devices
from fastconv._cuda import Kernels, address, element_options, element_strides
from fastconv._problem import Boundary, Shape

# What the source agrees on with this file: threads of a block, columns whose sums they form
# together, and elements that a thread reads before it waits for the first of them.
_THREADS = 256
_FINISH_THREADS = 512
_POSITIONS = 1024
_BATCH = 4
# Blocks that look at an image: a few for every multiprocessor of the largest devices.
_LOOKING_BLOCKS = 512
# Lines are summed by chunks of so many elements, more where windows are long.
_CHUNK, _LONG_CHUNK, _CHUNKS_OF_WINDOW = 32, 256, 4
# Sums that are held at once: the L2 cache of large devices has room for them. How many times as
# many pixels may be read for that, and where the workspace has no room for more sums.
_SUM_BYTES = 32 << 20
_LITTLE_OVERLAP, _MOST_OVERLAP = 1.5, 16
_PAIR_BYTES = 16
# Outputs of a tile along each axis, at least, and in windows.
_LEAST_TILE, _WINDOWS_OF_TILE = 256, 4
_LEAST_VOLUME_TILE = 32

_KERNELS = Kernels(
    "template.cu",
    "Match",
    [
        ("x", np.uint64),
        ("to", np.uint64),
        ("out", np.uint64),
        ("marks", np.uint64),
        ("squares", np.uint64),
        ("ends", np.uint64, 2),
        ("totals", np.uint64, 2),
        ("begins", np.uint64, 2),
        ("extent", np.int64, 3),
        ("stride", np.int64, 3),
        ("first", np.int64, 3),
        ("size", np.int64, 3),
        ("taps", np.int64, 3),
        ("chunk", np.int64, 2),
        ("inner", np.int64, 2),
        ("outer", np.int64, 2),
        ("out_stride", np.int64, 2),
        ("start", np.int64, 3),
        ("tile", np.int64, 3),
        ("tiles", np.int64, 3),
        ("piece", np.int64),
        ("columns", np.int64),
        ("axis", np.int32),
        ("boundary", np.int32),
        ("measure", np.int32),
        ("normed", np.int32),
        ("fill", np.float64),
        ("scale", np.float64),
        ("centre", np.float64),
        ("level", np.float64),
        ("offset", np.float64),
        ("around", np.float64),
        ("pixels", np.float64),
        ("inverse", np.float64),
        ("tilt", np.float64),
        ("of_product", np.float64),
        ("of_mean", np.float64),
        ("of_all", np.float64),
        ("mean", np.float64),
        ("norm", np.float64),
        ("empty", np.float64),
        ("flat", np.float64),
        ("unsure", np.float64),
        ("floor", np.float64),
        ("of_squares", np.float64),
    ],
    constants={
        "THREADS": _THREADS,
        "FINISH_THREADS": _FINISH_THREADS,
        "POSITIONS": _POSITIONS,
        "BATCH": _BATCH,
    },
)


def variants() -> Iterator[tuple[Kernels, tuple[str, ...]]]:
    """Yield what the source is compiled with."""
    for char in "?bBhHiIlLqQefd":
        for scalar in "fd" if char in "ef" else "d":
            yield _KERNELS, _options(np.dtype(char), np.dtype(scalar))


@functools.lru_cache(maxsize=64)
def _options(stored: np.dtype[Any], scalar: np.dtype[Any]) -> tuple[str, ...]:
    return element_options(X=stored, SCALAR=scalar)


def look_at_image(
    x: Any, dtype: np.dtype[Any], threads: int = 1
) -> tuple[float, float, float, int]:
    """Return sum, least, most and number of the finite pixels; waits for them."""
    shape, strides = _lengthened(x)
    blocks = _looking_blocks(x)
    parts = _devices.empty((blocks, 4), np.float64, _devices.of(x))
    _launch("look", x, dtype, blocks, x=address(x), to=address(parts), extent=shape, stride=strides)
    total, least, most, count = _devices.to_host(parts).T
    with np.errstate(over="ignore", invalid="ignore"):
        return float(total.sum()), float(least.min()), float(most.max()), int(count.sum())


def centre_image(x: Any, out: Any, centre: float, scale: float, threads: int = 1) -> Any:
    """Fill `out` with centred pixels; return an array of one number, the sum of their squares."""
    shape, strides = _lengthened(x)
    blocks = _looking_blocks(x)
    parts = _devices.empty(blocks, np.float64, _devices.of(x))
    _launch(
        "centre",
        x,
        out.dtype,
        blocks,
        x=address(x),
        to=address(out),
        extent=shape,
        stride=strides,
        squares=address(parts),
        centre=centre,
        scale=scale,
    )
    total = _devices.empty(1, np.float64, _devices.of(x))
    _launch("add_up", x, out.dtype, 1, to=address(total), squares=address(parts), size=(blocks,))
    return total


def in_rows(x: Any) -> Any:
    """
    Return an image as it is where its neighbours along the last axis lie nearest to each other.

    Others are copied: which sums come first follows the strides, and results are to be the same.
    """
    steps = [abs(s) for s, n in zip(x.strides, x.shape, strict=True) if n > 1]
    return x if not steps or steps[-1] == min(steps) else x.copy(order="C")


def match_tile(taps: Shape, out: Shape) -> Shape:
    """Windows that are computed again together, along each axis."""
    least = _LEAST_TILE if len(out) == 2 else _LEAST_VOLUME_TILE
    return tuple(min(max(_WINDOWS_OF_TILE * m, least), n) for m, n in zip(taps, out, strict=True))


def finish_match(
    x: Any,
    out: Any,
    taps: Shape,
    offset: Shape,
    boundary: int,
    fill: np.ndarray | None,
    scale: float,
    centre: float,
    level: float,
    measure: int,
    factors: dict[str, float],
    threads: int = 1,
) -> np.ndarray:
    """
    Turn numerators into how well a template matches each window.

    Parameters
    ----------
    x, out, taps, offset, boundary, fill, scale, centre, level, measure, factors, threads
        As for the native code's, but for `factors`: where it has ``squares``, an array as from
        `centre_image`, the floor is no greater than that times ``of_squares``; ``room`` is the
        workspace in bytes.

    Returns
    -------
    ndarray
        For each tile (see `match_tile`), whether rounding may have spoiled a result: in the host's
        memory, which waits for it where the measure is normed.
    """
    device = _devices.of(x)
    lacking = 3 - x.ndim
    one, zero = (1,) * lacking, (0,) * lacking
    shape, taps, offset = one + out.shape, one + tuple(taps), zero + tuple(offset)
    tile = match_tile(taps[lacking:], out.shape)
    tiles = tuple(-(-n // t) for n, t in zip(out.shape, tile, strict=True))
    marks = _devices.zeros(tiles, np.uint8, device) if factors["normed"] else None
    squares, room = factors.pop("squares", None), factors.pop("room")
    pieces = -(-taps[2] // (_POSITIONS // 2))
    piece = -(-taps[2] // pieces)
    work = _KERNELS.parameters(
        x=address(x),
        marks=0 if marks is None else address(marks),
        squares=0 if squares is None else address(squares),
        extent=one + x.shape,
        stride=zero + element_strides(x),
        taps=taps,
        chunk=(_chunk(taps[0]), _chunk(taps[1])),
        out_stride=(shape[1] * shape[2], shape[2]),
        tile=one + tile,
        tiles=one + tiles,
        piece=piece,
        columns=_POSITIONS - piece + 1,
        boundary=int(boundary),
        measure=measure,
        fill=0.0 if fill is None or boundary == Boundary.ZERO else float(fill[0]),
        scale=scale,
        level=level * scale,
        offset=(level - centre) * scale,
        around=factors["flat"] * abs(level * scale),
        inverse=1 / factors["pixels"],
        **factors,
    )
    options = _options(x.dtype, out.dtype)
    for start, size in _regions(shape, taps, room):
        work["start"], work["size"] = start, size
        work["first"] = [i + o for i, o in zip(start, offset, strict=True)]
        first = (start[0] * shape[1] + start[1]) * shape[2] + start[2]
        work["out"] = address(out) + first * out.itemsize
        _finish(options, taps, size, work, device)
    return np.zeros(tiles, np.uint8) if marks is None else _devices.to_host(marks)


def _finish(
    options: tuple[str, ...], taps: Shape, size: Shape, work: np.ndarray, device: int | None
) -> None:
    """Finish a region's outputs: sums along planes, along rows, and along columns."""
    rows, columns = size[1] + taps[1] - 1, size[2] + taps[2] - 1
    work["inner"], work["outer"] = (rows * columns, columns), (1, size[0])
    held = []  # what was summed must not be given away before the next sums are made of it
    for axis, lines in ((0, rows * columns), (1, size[0] * columns)):
        if axis == 0 and taps[0] == 1:
            continue
        ends, totals, begins = _elements(size[axis], taps[axis])
        sums = _devices.empty(((ends + totals + begins) * lines, 2), np.float64, device)
        held.append(sums)
        work["axis"] = axis
        work["ends"][axis] = address(sums)
        work["totals"][axis] = address(sums) + ends * lines * _PAIR_BYTES
        work["begins"][axis] = address(sums) + (ends + totals) * lines * _PAIR_BYTES
        name = "sum_planes" if axis == 1 and taps[0] > 1 else "sum_pixels"
        _KERNELS.launch(name, options, -(-totals * lines // _THREADS), _THREADS, work)
    blocks = size[0] * size[1] * -(-size[2] // int(work["columns"]))
    _KERNELS.launch("finish", options, blocks, _FINISH_THREADS, work)


def gather(x: Any, first: Shape, size: Shape, boundary: int, fill: np.ndarray | None) -> np.ndarray:
    """Return a part of an extended image, which begins at index `first`, in double precision."""
    block: np.ndarray = _devices.empty(size, np.float64, _devices.of(x))
    lacking = 3 - x.ndim
    one, zero = (1,) * lacking, (0,) * lacking
    _launch(
        "gather",
        x,
        block.dtype,
        -(-block.size // _THREADS),
        x=address(x),
        to=address(block),
        extent=one + x.shape,
        stride=zero + element_strides(x),
        first=zero + first,
        size=one + size,
        boundary=int(boundary),
        fill=0.0 if fill is None else float(fill[0]),
    )
    return block


def padded(image: Any, widths: list[tuple[int, int]], mode: Any, **rest: Any) -> Any:
    """Return a padded image, as `numpy.pad` does."""
    import cupy

    if mode == "median":  # which CuPy does not know
        return cupy.asarray(np.pad(_devices.to_host(image), widths, mode, **rest))
    if "constant_values" in rest:  # which CuPy takes as pairs
        rest["constant_values"] = np.broadcast_to(rest["constant_values"], (image.ndim, 2)).tolist()
    return cupy.pad(image, widths, mode, **rest)


def _launch(name: str, image: Any, scalar: np.dtype[Any], blocks: int, **values: Any) -> None:
    """Start a kernel for an image, and for numerators and results of a dtype."""
    work = _KERNELS.parameters(**values)
    _KERNELS.launch(name, _options(image.dtype, scalar), blocks, _THREADS, work)


def _lengthened(x: Any) -> tuple[Shape, Shape]:
    """Return an image's extents and strides, with axes joined that lie one behind the other."""
    axes = list(zip(x.shape, element_strides(x), strict=True))
    joined = [axes.pop()]
    while axes:
        extent, stride = axes.pop()
        last, step = joined[-1]
        if last == 1:
            joined[-1] = (extent, stride)
        elif extent == 1 or stride == last * step:
            joined[-1] = (extent * last, step)
        else:
            joined.append((extent, stride))
    joined += [(1, 0)] * (3 - len(joined))
    shape, strides = zip(*reversed(joined), strict=True)
    return shape, strides


def _looking_blocks(x: Any) -> int:
    """Tell how many blocks look at an image, or centre it: four pixels a thread, or more."""
    blocks: int = -(-x.size // (_BATCH * _THREADS))
    return min(blocks, _LOOKING_BLOCKS)


def _chunk(taps: int) -> int:
    """Return the length of chunks for a window: it must not be less than one of them."""
    return min(taps, max(_CHUNK, min(taps // _CHUNKS_OF_WINDOW, _LONG_CHUNK)))


def _elements(outputs: int, taps: int) -> tuple[int, int, int]:
    """Count the elements of ends, totals and beginnings along a line of sums."""
    return outputs, -(-(outputs + taps - 1) // _chunk(taps)), outputs


def _sum_bytes(size: Shape, taps: Shape) -> int:
    """Return what the sums for a region of outputs take."""
    rows, columns = size[1] + taps[1] - 1, size[2] + taps[2] - 1
    pairs = sum(_elements(size[1], taps[1])) * size[0] * columns
    if taps[0] > 1:
        pairs += sum(_elements(size[0], taps[0])) * rows * columns
    return pairs * _PAIR_BYTES


def _pixels_read(size: Shape, out: Shape, taps: Shape) -> int:
    """Count the pixels that are read for all regions of one size."""
    return math.prod(-(-n // s) * (s + m - 1) for n, s, m in zip(out, size, taps, strict=True))


@functools.lru_cache(maxsize=256)
def _regions(out: Shape, taps: Shape, room: int) -> list[tuple[Shape, Shape]]:
    """
    Cut outputs so that their sums are held at once: return starts and sizes of regions.

    Their windows overlap in what they read: by little where the cache is to have room for sums, and
    by more where the workspace is. Templates of few planes that are nearly as large as the image
    have sums that no cut makes fit.
    """
    size = out
    for most, overlap in ((_SUM_BYTES, _LITTLE_OVERLAP), (room, _MOST_OVERLAP)):
        while _sum_bytes(size, taps) > most:
            halves = [
                (*size[:a], -(-size[a] // 2), *size[a + 1 :]) for a in range(3) if size[a] > 1
            ]
            least = min(halves, key=lambda s: _pixels_read(s, out, taps), default=size)
            if (
                _pixels_read(least, out, taps) > overlap * _pixels_read(out, out, taps)
                or not halves
            ):
                break
            size = least
    counts = [-(-n // s) for n, s in zip(out, size, strict=True)]
    starts = [
        tuple(i * s for i, s in zip(index, size, strict=True)) for index in np.ndindex(*counts)
    ]
    return [
        (start, tuple(min(s, n - i) for i, s, n in zip(start, size, out, strict=True)))
        for start in starts
    ]
