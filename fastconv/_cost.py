"""
What methods would take: work in named units, and the seconds of each.

An estimate counts work in units, ``kind.method.unit``; a coefficient is the seconds of one. The
kind says what bounds it: arithmetic; the cache, where data is staged and copied; memory, which is
read and written while sums are formed; or the call, which no thread shortens. Coefficients are
those that `fastconv.calibrate` has measured on this machine and saved, else those of `_rates`; of a
GPU, those of `_gpu_rates`.
"""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import sys
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastconv import _store
from fastconv._gpu_rates import gpu_rates
from fastconv._native import _core
from fastconv._problem import Problem
from fastconv._rates import SHIPPED
from fastconv._threads import told_by
from fastconv._version import __version__

# A unit of work takes less than this.
_MOST_SECONDS = 10.0
# What bounds work, the first part of a unit's name.
_KINDS = ("arithmetic", "cache", "memory", "call")

# Transforms in lanes slow down where their two planes leave L2, and L3's share of a core: what is
# left of their rate, by bytes. The same for one long line at a time, in four steps, by the bytes of
# its block, and for a pair of tiles. Measured on 2026-11-24 on an AMD EPYC (Zen 3) by tiles.py and
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

# Layers as matrix products: rows and columns of the left matrix that stand idle beside those there
# are (6 rows run at half the rate), and bytes of a panel.
GEMM_IDLE_ROWS, GEMM_IDLE_TAPS = 6, 4
GEMM_PANEL_BYTES = 4 << 20

# Cores that a choice counts on, whatever the number of threads of a call: results are the same bits
# for any number of threads, so choices may not depend on it.
CORES = os.cpu_count() or 1
# Threads that BLAS takes, as far as variables of its own tell: ours decide on no choice.
BLAS_THREADS = min(
    filter(None, map(told_by, ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"))), default=CORES
)
# Serial work for which one more thread pays, in forks and joins: they take 1 µs hot and 16 µs cold.
_FORKS_OF_A_THREAD = 6
# What work that is left to one thread must be faster by, where others' is shared.
_ALONE_HANDICAP = 1.6
# How much of two or more cores is left when they share memory and a power budget.
THREAD_EFFICIENCY = 0.92


class _Table(dict[str, float]):
    """The coefficients in use, read when the first of them is asked for, and their origin."""

    origin = ""

    def __missing__(self, unit: str) -> float:
        shipped = SHIPPED[_core.isa_used()]
        loaded = dict(shipped)
        origin = f"as shipped for {_core.isa_used()}; fastconv.calibrate() measures this machine's"
        try:
            measured = saved()
            if measured is not None:
                loaded = measured
                origin = f"calibrated, from {_store.cache_directory() / file_name()}"
        finally:
            # None is seen before all are known, and what another thread has put in use stays.
            self.__dict__.setdefault("origin", origin)
            for name, seconds in loaded.items():
                self.setdefault(name, seconds)
        if unit not in shipped:
            raise KeyError(unit)
        return self[unit]


COEFFICIENTS = _Table()
# Seconds of one unit of work on this machine, as calibrated or as shipped.
coefficient = COEFFICIENTS.__getitem__


def saved() -> dict[str, float] | None:
    """Return what this machine's calibration saved; None, and a warning, where it is of no use."""
    return _store.read_checked(file_name(), _checked)


def file_name() -> str:
    """Name of the file for the ISA level in use."""
    return f"costs-{_core.isa_used()}.json"


def save(coefficients: Mapping[str, float], made: str) -> Path:
    """Save coefficients for processes to come."""
    content = {"machine": machine(), "made": made, "coefficients": dict(coefficients)}
    return _store.write(file_name(), content)


def machine() -> dict[str, Any]:
    """Return what coefficients depend on: they hold for one machine and version."""
    return {
        "version": __version__,
        "isa": [_core.isa_used(), *_core.isa_usable()],
        "cpu": f"{platform.machine()} {_flags():08x}",
        "caches": _caches(),
        "cores": CORES,
    }


def _caches() -> list[str]:
    """Return the sizes of the first processor's caches, where the system tells them."""
    sizes = sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"))
    with contextlib.suppress(OSError):
        return [size.read_text().strip() for size in sizes]
    return []


def _flags() -> int:
    """Return a checksum of the CPU's flags, where they can be read."""
    try:
        with open("/proc/cpuinfo", "rb") as file:
            flags = next((line for line in file if line.startswith((b"flags", b"Features"))), b"")
    except OSError:
        flags = platform.processor().encode()
    return zlib.crc32(flags)


def _checked(content: Any) -> dict[str, float]:
    """Return the coefficients of a saved calibration, or raise ValueError with what is wrong."""
    if not isinstance(content, dict) or not isinstance(content.get("coefficients"), dict):
        raise ValueError("it is no calibration")
    if content.get("machine") != machine():
        raise ValueError("it was made on another machine, or by another version")
    coefficients: dict[str, float] = content["coefficients"]
    if coefficients.keys() != SHIPPED[_core.isa_used()].keys():
        raise ValueError("it knows other units of work")
    for unit, seconds in coefficients.items():
        if not isinstance(seconds, float) or not 0 < seconds < _MOST_SECONDS:
            raise ValueError(f"{unit} takes {seconds!r} seconds in it")
    return coefficients


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
    products : float, optional
        Real multiply-adds that it does; those of the sums themselves where None.
    """

    work: Work
    workspace: int = 0
    pieces: int = sys.maxsize
    products: float | None = None


class Prediction(NamedTuple):
    """What a method would take: seconds, the part that threads share, and what bounds it most."""

    seconds: float
    shared: float
    bound: str


def predict(estimate: Estimate, threads: int = 1, device: int | None = None) -> Prediction:
    """Return the time of an estimate's work on so many threads, or on a GPU."""
    rate = coefficient if device is None else gpu_rates(device).__getitem__
    sums = dict.fromkeys(_KINDS, 0.0)
    for unit, count in estimate.work:
        sums[_kind(unit)] += rate(unit) * count
    arithmetic, cache, memory, call = sums.values()
    # Memory is read and written while sums are formed.
    shared = max(arithmetic + cache, memory)
    used = threads_for(shared, threads) if threads > 1 else 1
    total = call + shared
    if used > 1:
        total = call + coefficient("call.fork") + shared / _speedup(used, estimate.pieces)
    if call > shared:
        return Prediction(total, shared, "call")
    if memory > arithmetic + cache:
        return Prediction(total, shared, "memory")
    return Prediction(total, shared, "arithmetic" if arithmetic > cache else "cache")


@functools.cache
def _kind(unit: str) -> str:
    return unit.partition(".")[0]


def handicap(estimate: Estimate, prediction: Prediction) -> float:
    """Return what the time on one thread counts for, where other cores would have nothing to do."""
    alone = estimate.pieces == 1 and threads_for(prediction.shared, CORES) > 1
    return _ALONE_HANDICAP if alone else 1.0


def roofline(problem: Problem, estimate: Estimate, threads: int) -> float | None:
    """
    Return the share of the machine's limit that a method is predicted to reach.

    The limit is what its own multiply-adds would take at the peak, or data and result at the rate
    of the memory that holds them, whichever is longer. None for numbers that are no floats.
    """
    if problem.dtype.kind not in "fc" or problem.dtype.itemsize > 16:
        return None
    scalar = problem.dtype.itemsize // (2 if problem.dtype.kind == "c" else 1)
    if scalar > 8 or problem.dtype.char == "g":
        return None
    products = problem.macs if estimate.products is None else estimate.products
    prediction = predict(estimate, threads, problem.device)
    if problem.device is not None:
        rates = gpu_rates(problem.device)
        arithmetic = products * rates[f"arithmetic.peak.{max(scalar, 4)}"]
        return max(arithmetic, problem.traffic * rates["memory.ram"]) / prediction.seconds
    level, nbytes = traffic(problem.traffic)
    arithmetic = products * coefficient(f"arithmetic.peak.{scalar}")
    used = threads_for(prediction.shared, threads)
    return max(arithmetic, nbytes * coefficient(level)) / used / prediction.seconds


def _speedup(threads: int, pieces: int) -> float:
    """Return how much faster threads are than one."""
    even = pieces / -(-pieces // threads) if pieces < 64 else threads
    return min(even, 1 + THREAD_EFFICIENCY * (threads - 1))


def threads_for(shared: float, threads: int) -> int:
    """How many threads pay for work that would take this long on one."""
    if threads <= 1 or shared <= 0:
        return 1
    worth = shared / (_FORKS_OF_A_THREAD * coefficient("call.fork")) + 1
    return int(min(worth, threads, CORES))


def traffic(nbytes: int) -> tuple[str, float]:
    """Return the work of reading and writing so many bytes of data and result."""
    level = next(level for most, level in _TRAFFIC_LEVELS if nbytes <= most)
    return f"memory.{level}", nbytes


def share_of_rate(levels: tuple[tuple[int, float], ...], nbytes: int) -> float:
    """Return what is left of a rate for data of so many bytes."""
    return next(share for most, share in levels if nbytes <= most)


# --- the shapes of tiles --------------------------------------------------------------------------


def lanes(dtype: np.dtype[Any]) -> int:
    """Elements of a vector."""
    return max(_VECTOR_BYTES // dtype.itemsize, 1)


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


def element_code(dtype: np.dtype[Any]) -> str:
    """Return what the names of units say of an element: tiles of all floats take the same time."""
    return _ELEMENT_CODES.get(dtype.char, "longdouble")


_ELEMENT_CODES = {
    **dict.fromkeys("fd", "f"),
    **dict.fromkeys("FD", "c"),
    "?": "b1",
    **{c: f"i{np.dtype(c).itemsize}" for c in "bBhHiIlLqQ"},
}
_VECTOR_BYTES = _core.vector_bytes()
