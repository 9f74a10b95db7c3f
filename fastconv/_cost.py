"""
What things cost: the coefficients of every estimate, with where they come from.

An estimate counts work in units that have names, ``kind.method.unit``; a coefficient is the seconds
of one unit. The kind says what bounds it: arithmetic; the cache, where data is staged and copied;
memory, which is read and written while sums are formed; or the call, which no thread shortens.

Those of AVX2 were fitted on 2026-11-24 by ``python benchmarks/fit.py`` to the least times of 4,600
problems that ``benchmarks/regret.py`` draws, on one thread of an AMD EPYC (Zen 3, 2 cores, 103 GF/s
of float32 FMA a core), gcc 12.2. Other levels' arithmetic is AVX2's times what its lanes and
registers say, checked for the baseline on the same machine; AVX-512's and NEON's have not been
measured. ``fastconv.calibrate()`` measures this machine's.
"""

from __future__ import annotations

import functools
import os
import sys
from typing import Any, NamedTuple

import numpy as np

from fastconv._native import _core

# What bounds work, the first part of a unit's name.
_KINDS = ("arithmetic", "cache", "memory", "call")

# Seconds of each unit on one thread.
_COEFFICIENTS: dict[str, dict[str, float]] = {
    "avx2": {
        "arithmetic.direct.line.f": 1.85e-9,
        "arithmetic.direct.line.c": 3.17e-9,
        "arithmetic.direct.line.longdouble": 5e-9,
        "arithmetic.direct.line.b1": 8e-9,
        "arithmetic.direct.line.i1": 5.43e-9,
        "arithmetic.direct.line.i2": 1.71e-9,
        "arithmetic.direct.line.i4": 1.88e-9,
        "arithmetic.direct.line.i8": 6e-9,
        "arithmetic.direct.image.f": 1.65e-9,
        "arithmetic.direct.image.c": 1.54e-9,
        "arithmetic.direct.image.longdouble": 5e-9,
        "arithmetic.direct.image.b1": 8e-9,
        "arithmetic.direct.image.i1": 4.66e-9,
        "arithmetic.direct.image.i2": 1.6e-9,
        "arithmetic.direct.image.i4": 1.68e-9,
        "arithmetic.direct.image.i8": 6e-9,
        "cache.direct.copied": 262e-12,
        "cache.direct.copies": 16.9e-9,
        "call.direct": 8.41e-6,
        "arithmetic.blocks.tile": 2.2e-9,
        "arithmetic.blocks.ordered": 1.99e-9,
        "arithmetic.blocks.groups": 3.68e-9,
        "arithmetic.blocks.passes": 3.5e-9,
        "arithmetic.blocks.sums": 2.17e-9,
        "cache.blocks.staged": 100e-12,
        "cache.blocks.lines": 37.3e-9,
        "call.separable.found": 71.6e-9,
        "call.blocks": 22.6e-6,
        "arithmetic.channels.4": 25.2e-12,
        "arithmetic.channels.8": 48.3e-12,
        "cache.channels.staged": 72.1e-12,
        "cache.channels.lines": 2.79e-9,
        "cache.channels.weights": 439e-12,
        "cache.channels.sums": 135e-12,
        "cache.channels.converted": 757e-12,
        "call.channels": 2.06e-6,
        "call.channels.phase": 10.9e-6,
        "arithmetic.gradients.4": 46.7e-12,
        "arithmetic.gradients.8": 65.7e-12,
        "cache.gradients.packed": 854e-12,
        "arithmetic.dots": 1.97e-9,
        "arithmetic.depthwise.4": 2.52e-9,
        "arithmetic.depthwise.8": 1.41e-9,
        "cache.depthwise.planes": 102e-9,
        "cache.depthwise.staged": 152e-12,
        "arithmetic.winograd.products.4": 26.3e-12,
        "arithmetic.winograd.products.8": 35.2e-12,
        "arithmetic.winograd.tiles": 1.49e-9,
        "arithmetic.winograd.kernels": 7.58e-9,
        "call.winograd": 11.4e-6,
        "arithmetic.gemm.4": 25.7e-12,
        "arithmetic.gemm.8": 48.9e-12,
        "cache.gemm.copied": 98.7e-12,
        "cache.gemm.copies": 6.45e-6,
        "cache.gemm.results": 120e-12,
        "call.gemm": 112e-6,
        "call.gemm.spin": 3e-3,
        "arithmetic.tilefft.lines.4": 33.4e-12,
        "arithmetic.tilefft.lines.8": 62.7e-12,
        "arithmetic.tilefft.long.4": 41.1e-12,
        "arithmetic.tilefft.long.8": 66.6e-12,
        "arithmetic.tilefft.tiles.4": 28.5e-12,
        "arithmetic.tilefft.tiles.8": 51.8e-12,
        "cache.tilefft.strided.f": 1.32e-9,
        "cache.tilefft.strided.c": 5.67e-9,
        "cache.tilefft.lines": 20.5e-9,
        "call.tilefft": 73.2e-6,
        "arithmetic.fft.cache.4": 91.2e-12,
        "arithmetic.fft.cache.8": 125e-12,
        "arithmetic.fft.cache.16": 5e-9,
        "arithmetic.fft.memory.4": 113e-12,
        "arithmetic.fft.memory.8": 154e-12,
        "arithmetic.fft.memory.16": 6.6e-9,
        "cache.fft.copied": 12.9e-12,
        "cache.fft.strided": 4.39e-9,
        "cache.fft.lines": 45.8e-9,
        "call.fft": 208e-6,
        "arithmetic.reference": 2e-9,
        "arithmetic.reference.layer": 988e-12,
        "call.reference": 165e-6,
        "call.reference.tap": 13.5e-6,
        "memory.l2": 73e-12,
        "memory.l3": 60.6e-12,
        "memory.ram": 67.3e-12,
        "call.fork": 5e-6,
    },
    "baseline": {
        "arithmetic.direct.line.f": 2.23e-9,
        "arithmetic.direct.line.c": 4.81e-9,
        "arithmetic.direct.line.longdouble": 5e-9,
        "arithmetic.direct.line.b1": 8e-9,
        "arithmetic.direct.line.i1": 5.9e-9,
        "arithmetic.direct.line.i2": 1.83e-9,
        "arithmetic.direct.line.i4": 5.01e-9,
        "arithmetic.direct.line.i8": 6e-9,
        "arithmetic.direct.image.f": 1.9e-9,
        "arithmetic.direct.image.c": 2.07e-9,
        "arithmetic.direct.image.longdouble": 5e-9,
        "arithmetic.direct.image.b1": 8e-9,
        "arithmetic.direct.image.i1": 5.5e-9,
        "arithmetic.direct.image.i2": 1.67e-9,
        "arithmetic.direct.image.i4": 5.53e-9,
        "arithmetic.direct.image.i8": 6e-9,
        "cache.direct.copied": 199e-12,
        "cache.direct.copies": 22e-9,
        "call.direct": 9.59e-6,
        "arithmetic.blocks.tile": 2.34e-9,
        "arithmetic.blocks.ordered": 1.99e-9,
        "arithmetic.blocks.groups": 1.45e-9,
        "arithmetic.blocks.passes": 2.79e-9,
        "arithmetic.blocks.sums": 2.06e-9,
        "cache.blocks.staged": 131e-12,
        "cache.blocks.lines": 54e-9,
        "call.separable.found": 86.6e-9,
        "call.blocks": 20.2e-6,
        "arithmetic.channels.4": 73.4e-12,
        "arithmetic.channels.8": 141e-12,
        "cache.channels.staged": 95.2e-12,
        "cache.channels.lines": 2.94e-9,
        "cache.channels.weights": 444e-12,
        "cache.channels.sums": 290e-12,
        "cache.channels.converted": 253e-12,
        "call.channels": 2.4e-6,
        "call.channels.phase": 12.5e-6,
        "arithmetic.gradients.4": 101e-12,
        "arithmetic.gradients.8": 200e-12,
        "cache.gradients.packed": 923e-12,
        "arithmetic.dots": 6.32e-9,
        "arithmetic.depthwise.4": 2.69e-9,
        "arithmetic.depthwise.8": 1.53e-9,
        "cache.depthwise.planes": 153e-9,
        "cache.depthwise.staged": 116e-12,
        "arithmetic.winograd.products.4": 56e-12,
        "arithmetic.winograd.products.8": 76.1e-12,
        "arithmetic.winograd.tiles": 2.44e-9,
        "arithmetic.winograd.kernels": 7e-9,
        "call.winograd": 16.8e-6,
        "arithmetic.gemm.4": 27.6e-12,
        "arithmetic.gemm.8": 48.7e-12,
        "cache.gemm.copied": 95.8e-12,
        "cache.gemm.copies": 6.27e-6,
        "cache.gemm.results": 138e-12,
        "call.gemm": 54.6e-6,
        "call.gemm.spin": 97.1e-6,
        "arithmetic.tilefft.lines.4": 60.4e-12,
        "arithmetic.tilefft.lines.8": 130e-12,
        "arithmetic.tilefft.long.4": 88.2e-12,
        "arithmetic.tilefft.long.8": 123e-12,
        "arithmetic.tilefft.tiles.4": 52.2e-12,
        "arithmetic.tilefft.tiles.8": 100e-12,
        "cache.tilefft.strided.f": 1.53e-9,
        "cache.tilefft.strided.c": 9.34e-9,
        "cache.tilefft.lines": 50.1e-9,
        "call.tilefft": 72.3e-6,
        "arithmetic.fft.cache.4": 95.6e-12,
        "arithmetic.fft.cache.8": 144e-12,
        "arithmetic.fft.cache.16": 5e-9,
        "arithmetic.fft.memory.4": 105e-12,
        "arithmetic.fft.memory.8": 155e-12,
        "arithmetic.fft.memory.16": 6.6e-9,
        "cache.fft.copied": 11.4e-12,
        "cache.fft.strided": 5.33e-9,
        "cache.fft.lines": 54e-9,
        "call.fft": 225e-6,
        "arithmetic.reference": 2e-9,
        "arithmetic.reference.layer": 160e-12,
        "call.reference": 106e-6,
        "call.reference.tap": 95.1e-6,
        "memory.l2": 118e-12,
        "memory.l3": 93.4e-12,
        "memory.ram": 103e-12,
        "call.fork": 5e-6,
    },
}

# Transforms in lanes slow down where their two planes leave L2, and L3's share of a core: what is
# left of their rate, by bytes. The same for one long line at a time, in four steps, by the bytes of
# its block, and for a pair of tiles. Measured on the machine above with benchmarks/tiles.py and
# with ``_core.four_step_correlate`` for blocks of 2^13 to 2^20 points.
LANE_FFT_LEVELS = ((1 << 20, 1.0), (4 << 20, 0.75), (8 << 20, 0.6), (sys.maxsize, 0.35))
LONG_FFT_LEVELS = ((256 << 10, 1.0), (1 << 20, 0.87), (4 << 20, 0.8), (sys.maxsize, 0.7))
TILE_FFT_LEVELS = (
    (256 << 10, 1.0),
    (1 << 20, 0.93),
    (4 << 20, 0.86),
    (8 << 20, 0.78),
    (sys.maxsize, 0.7),
)
# Bytes of a transform of FFTW's up to which it stays in L2; data and results of a call up to which
# they stay in L2, and in L3.
FFT_CACHE_BYTES = 1 << 20
_TRAFFIC_LEVELS = ((256 << 10, "l2"), (8 << 20, "l3"), (sys.maxsize, "ram"))

# Layers as matrix products: rows of the left matrix that stand idle beside those there are (6 rows
# run at half the rate), and bytes of a panel.
GEMM_IDLE_ROWS = 6
GEMM_PANEL_BYTES = 4 << 20

# Cores that a choice counts on, whatever the number of threads of a call: results are the same bits
# for any number of threads, so choices may not depend on it.
CORES = os.cpu_count() or 1
# Serial work for which one more thread pays, in forks and joins: they take 1 µs hot and 16 µs cold.
_FORKS_OF_A_THREAD = 6
# How much of two or more cores is left when they share memory and a power budget.
THREAD_EFFICIENCY = 0.92


# Units of work, and how many of each.
Work = tuple[tuple[str, float], ...]


class Estimate(NamedTuple):
    """
    What a method would do.

    Attributes
    ----------
    work : Work
        What is to be done.
    workspace : int
        Bytes beyond the arguments.
    pieces : int
        Pieces of one size that threads share.
    """

    work: Work
    workspace: int = 0
    pieces: int = sys.maxsize


class Prediction(NamedTuple):
    """What a method would take: seconds, the part that threads share, and what bounds it most."""

    seconds: float
    shared: float
    bound: str


def predict(estimate: Estimate, threads: int = 1) -> Prediction:
    """Return the time of an estimate's work on so many threads."""
    coefficients = _current()
    sums = dict.fromkeys(_KINDS, 0.0)
    for unit, count in estimate.work:
        sums[_kind(unit)] += coefficients[unit] * count
    arithmetic, cache, memory, call = sums.values()
    # Memory is read and written while sums are formed.
    shared = max(arithmetic + cache, memory)
    used = threads_for(shared, threads) if threads > 1 else 1
    total = call + shared
    if used > 1:
        total = call + coefficients["call.fork"] + shared / _speedup(used, estimate.pieces)
    if call > shared:
        return Prediction(total, shared, "call")
    if memory > arithmetic + cache:
        return Prediction(total, shared, "memory")
    return Prediction(total, shared, "arithmetic" if arithmetic > cache else "cache")


@functools.cache
def _kind(unit: str) -> str:
    return unit.partition(".")[0]


def _speedup(threads: int, pieces: int) -> float:
    """Return how much faster threads are than one."""
    even = pieces / -(-pieces // threads) if pieces < 64 else threads
    return min(even, 1 + THREAD_EFFICIENCY * (threads - 1))


def threads_for(shared: float, threads: int) -> int:
    """How many threads pay for work that would take this long on one."""
    worth = shared / (_FORKS_OF_A_THREAD * coefficient("call.fork")) + 1
    return int(min(worth, threads, CORES))


def coefficient(unit: str) -> float:
    """Seconds of one unit of work on this machine, as calibrated or as shipped."""
    return _current()[unit]


def _current() -> dict[str, float]:
    return _COEFFICIENTS[_core.isa_used()]


def traffic(nbytes: int) -> tuple[str, float]:
    """Return the work of reading and writing so many bytes of data and result."""
    for most, level in _TRAFFIC_LEVELS:
        if nbytes <= most:
            break
    return f"memory.{level}", nbytes


def share_of_rate(levels: tuple[tuple[int, float], ...], nbytes: int) -> float:
    """Return what is left of a rate for data of so many bytes."""
    for most, share in levels:
        if nbytes <= most:
            break
    return share


# --- the shapes of tiles --------------------------------------------------------------------------


@functools.cache
def lanes(dtype: np.dtype[Any]) -> int:
    """Elements of a vector."""
    return max(_core.vector_bytes() // dtype.itemsize, 1)


def vectors(columns: int, dtype: np.dtype[Any]) -> int:
    """Vectors that hold so many columns."""
    return -(-columns // lanes(dtype))


def row_tiles(rows: int, dtype: np.dtype[Any]) -> int:
    """Tiles along the rows of an image: as tall as can be, then a half, a quarter, one row."""
    most = 4 if dtype.kind == "c" or dtype.itemsize > 8 else 8
    return rows // most + (rows % most).bit_count()


def line_tiles(count: int) -> int:
    """Tiles along a line of so many vectors: of 8, of 4, and of one."""
    return count // 8 + count % 8 // 4 + count % 4


@functools.cache
def element_code(dtype: np.dtype[Any]) -> str:
    """Return what the names of units say of an element: tiles of all floats take the same time."""
    if dtype.kind in "fc":
        return "longdouble" if dtype.itemsize > 16 or dtype.char == "g" else dtype.kind
    return f"{dtype.kind.replace('u', 'i')}{dtype.itemsize}"
