"""
What things cost: the constants of every estimate, with where they come from.

Measured on 2026-11-23 with ``python benchmarks/peaks.py`` and asv's suites on two cores of an AMD
EPYC (Zen 4, 3.65 GHz, 117 GF/s of float32 FMA a core at AVX-512 and at AVX2), gcc 12.2.
"""

from __future__ import annotations

import functools
import os
from typing import Any

import numpy as np

from fastconv._native import _core

# Multiply-adds per second and core of the direct kernels, by the size and kind of an element.
_DIRECT_RATES = {
    "avx512": {"f4": 50e9, "f8": 25e9, "b1": 35e9, "i1": 35e9, "i2": 80e9, "i4": 42e9, "i8": 21e9},
    "avx2": {"f4": 41e9, "f8": 20e9, "b1": 30e9, "i1": 20e9, "i2": 40e9, "i4": 20e9, "i8": 5e9},
    "baseline": {"f4": 20e9, "f8": 10e9, "b1": 15e9, "i1": 8e9, "i2": 15e9, "i4": 4e9, "i8": 2e9},
}
_DIRECT_RATES["neon"] = _DIRECT_RATES["baseline"]
# long double: x87 arithmetic, whatever the level.
_LONGDOUBLE_RATE = 0.8e9

# Flops per second and core of FFTW's transforms inside our loop (5 N log2 N a complex transform),
# between small transforms that stay in L2 and large ones that do not.
_FFT_RATE_IN_CACHE = {4: 9e9, 8: 6e9, 16: 0.2e9}
_FFT_RATE_IN_MEMORY = {4: 4e9, 8: 4e9, 16: 0.15e9}
_FFT_CACHE_BYTES = 1 << 20

# Flops per second and core of transforms in lanes (the same count, with all copies around them), by
# the bytes of a scalar; and what is left of it where two planes leave L2, and L3's share of a core.
_LANE_FFT_RATES = {
    "avx512": {4: 50e9, 8: 25e9},
    "avx2": {4: 40e9, 8: 18e9},
    "baseline": {4: 24e9, 8: 11e9},
}
_LANE_FFT_RATES["neon"] = _LANE_FFT_RATES["baseline"]
_LANE_FFT_LEVELS = ((1 << 20, 1.0), (4 << 20, 0.75), (8 << 20, 0.6))
_LANE_FFT_BEYOND = 0.35
TILE_CALL_SECONDS = 25e-6
# The same for one long line at a time, in four steps, by the bytes of its block. Measured on
# 2026-11-24 on an AMD EPYC (Zen 3, AVX2) as the least times of ``_core.four_step_correlate`` for
# blocks of 2^13 to 2^20 points and kernels of an eighth of them, on one thread; other levels scaled
# as above.
_LONG_FFT_RATES = {
    "avx512": {4: 37e9, 8: 20e9},
    "avx2": {4: 30e9, 8: 14.5e9},
    "baseline": {4: 18e9, 8: 8e9},
}
_LONG_FFT_RATES["neon"] = _LONG_FFT_RATES["baseline"]
_LONG_FFT_LEVELS = ((256 << 10, 1.0), (1 << 20, 0.87), (4 << 20, 0.8))
_LONG_FFT_BEYOND = 0.7
# Multiply-adds of images (0.4 ms) below which the direct sum is taken for its smaller errors.
SPECTRA_MACS = 1 << 24

# The same for tiles of two and three axes, without the copies, by the bytes of a pair of tiles; and
# seconds to copy a line into a tile or out of it. Fitted to the least times of
# ``_core.tile_fft_correlate`` for tiles of 16 × 16 to 1024 × 1024 on one thread, measured on
# 2026-11-24 on an AMD EPYC (Zen 3, AVX2, 2 cores) with ``python benchmarks/tiles.py``; AVX-512's
# are AVX2's times what the table above says.
_TILE_FFT_RATES = {
    "avx512": {4: 51e9, 8: 27e9},
    "avx2": {4: 41e9, 8: 20e9},
    "baseline": {4: 22.5e9, 8: 10.2e9},
}
_TILE_FFT_RATES["neon"] = _TILE_FFT_RATES["baseline"]
_TILE_FFT_LEVELS = ((256 << 10, 1.0), (1 << 20, 0.93), (4 << 20, 0.86), (8 << 20, 0.78))
_TILE_FFT_BEYOND = 0.7
TILE_LINE_SECONDS = 12.5e-9

# Passes over a block around its two transforms (gathered, looked through twice, multiplied, put),
# at the bytes per second that a core moves in its cache.
_FFT_PASSES = 6
_CACHE_RATE = 48e9

# Filters in passes over blocks: seconds an element to stage and store it; the share of the direct
# kernels' rate that passes reach; the multiply-adds that take as long as one sum of neighbours; and
# how much slower sums in order are, whose products do not fuse. Measured on 2026-11-24 with
# benchmarks/suites/bench_ndimage.py on two cores of an AMD EPYC (Zen 3, AVX2, 103 GF/s of float32
# FMA a core), as were the rates of AVX2's direct kernels in floating point.
BLOCK_COPY_SECONDS = 0.4e-9
PASS_EFFICIENCY = 0.8
BOX_SUM_MACS = 2.0
ORDERED_SLOWDOWN = 1.5

# Multiply-adds per second and core of sums of products over channels, by the bytes of a scalar.
# Measured on 2026-11-24 with benchmarks/suites/bench_layers.py on two cores of an AMD EPYC (Zen 3,
# AVX2, 103 GF/s of float32 FMA a core); AVX-512's and the baseline's are scaled by their lanes.
_PRODUCT_RATES = {
    "avx512": {4: 60e9, 8: 30e9},
    "avx2": {4: 40e9, 8: 20e9},
    "baseline": {4: 12e9, 8: 6e9},
}
_PRODUCT_RATES["neon"] = _PRODUCT_RATES["baseline"]
# Winograd's transforms, measured likewise: seconds for each channel of a tile, in or out, and for
# each kernel, in float32.
WINOGRAD_TILE_SECONDS = 3.5e-9
WINOGRAD_KERNEL_SECONDS = 7e-9
# Seconds to stage and store one plane of a layer whose groups have one channel each.
PLANE_SECONDS = 0.25e-6

# Layers as matrix products: real multiply-adds per second and core of NumPy's matmul with OpenBLAS,
# by the bytes of a real number; rows of the left matrix that stand idle beside those there are (6
# rows run at half the rate); bytes per second of panels filled by slices, and seconds that each
# copy takes on top, and each layer; bytes of a panel. Measured on 2026-11-24 on an AMD EPYC (Zen 3,
# AVX2, 2 cores) with np.matmul of (64 × 576) × (576 × 512) to (8 × 72) × (72 × 4096), and panels of
# 3 × 3 taps of 64 channels of 56 × 56, on one thread.
_GEMM_RATES = {4: 42e9, 8: 19e9}
GEMM_IDLE_ROWS = 6
GEMM_PANEL_RATE = 12e9
GEMM_COPY_SECONDS = 3e-6
GEMM_CALL_SECONDS = 50e-6
GEMM_PANEL_BYTES = 4 << 20
# BLAS's threads spin after a call, and keep a core from ours that long: a layer of 0.9 ms took
# 4.6 ms after a product.
GEMM_SPIN_SECONDS = 3e-3

# Bytes per second and core from memory, read or written.
MEMORY_RATE = 12e9
# Python and planning, then one direct call; one FFT call with its kernel's transform set up.
CALL_SECONDS = 4e-6
FFT_CALL_SECONDS = 200e-6
# Plain NumPy: a call, and on top of it each tap's pass over the output.
REFERENCE_CALL_SECONDS = 40e-6
REFERENCE_TAP_SECONDS = 12e-6
REFERENCE_RATE = 0.5e9
# Cores that a choice counts on, whatever the number of threads of a call: results are the same bits
# for any number of threads, so choices may not depend on it.
CORES = os.cpu_count() or 1
# Serial work for which a second thread pays: fork and join take 1 µs hot and 16 µs cold.
THREAD_SECONDS = 30e-6
FORK_SECONDS = 5e-6
# How much of two or more cores is left when they share memory and a power budget.
THREAD_EFFICIENCY = 0.92


def element_code(dtype: np.dtype[Any]) -> str:
    """Kind and size of the scalars of a dtype, as in the tables above."""
    if dtype.kind == "c":
        return f"f{dtype.itemsize // 2}"
    return f"{dtype.kind.replace('u', 'i')}{dtype.itemsize}"


@functools.cache
def direct_rate(dtype: np.dtype[Any]) -> float:
    """Multiply-adds per second and core of the direct kernels."""
    return _DIRECT_RATES[_core.isa_used()].get(element_code(dtype), _LONGDOUBLE_RATE)


@functools.cache
def product_rate(dtype: np.dtype[Any]) -> float:
    """Multiply-adds per second and core of sums of products over channels."""
    return _PRODUCT_RATES[_core.isa_used()][dtype.itemsize]


def gemm_rate(dtype: np.dtype[Any]) -> float:
    """Real multiply-adds per second and core of matrix products."""
    return _GEMM_RATES[dtype.itemsize // (2 if dtype.kind == "c" else 1)]


def fft_rate(dtype: np.dtype[Any], transform_bytes: int) -> float:
    """Flops per second and core of transforms of this size."""
    scalar = dtype.itemsize // (2 if dtype.kind == "c" else 1)
    in_cache = transform_bytes <= _FFT_CACHE_BYTES
    return (_FFT_RATE_IN_CACHE if in_cache else _FFT_RATE_IN_MEMORY)[scalar if scalar < 16 else 16]


def fft_copies(transform_bytes: int) -> float:
    """Seconds that the passes around transforms of so many bytes in all take."""
    return _FFT_PASSES * transform_bytes / _CACHE_RATE


def lane_fft_rate(scalar: int, plane_bytes: int) -> float:
    """Flops per second and core of transforms in lanes whose two planes take these bytes."""
    rate = _LANE_FFT_RATES[_core.isa_used()][scalar]
    for size, share in _LANE_FFT_LEVELS:
        if plane_bytes <= size:
            return rate * share
    return rate * _LANE_FFT_BEYOND


def long_fft_rate(scalar: int, block_bytes: int) -> float:
    """Flops per second and core of the transforms of one long block of these bytes."""
    rate = _LONG_FFT_RATES[_core.isa_used()][scalar]
    for size, share in _LONG_FFT_LEVELS:
        if block_bytes <= size:
            return rate * share
    return rate * _LONG_FFT_BEYOND


def tile_fft_rate(scalar: int, pair_bytes: int) -> float:
    """Flops per second and core of the transforms of a pair of tiles that takes these bytes."""
    rate = _TILE_FFT_RATES[_core.isa_used()][scalar]
    for size, share in _TILE_FFT_LEVELS:
        if pair_bytes <= size:
            return rate * share
    return rate * _TILE_FFT_BEYOND


def threads_for(serial_seconds: float, threads: int) -> int:
    """How many threads pay for work that would take this long on one."""
    return max(1, min(threads, int(serial_seconds / THREAD_SECONDS) + 1))


def parallel(serial_seconds: float, threads: int) -> float:
    """Seconds on several threads of work that takes this long on one."""
    used = threads_for(serial_seconds, min(threads, CORES))
    return serial_seconds / (1 + THREAD_EFFICIENCY * (used - 1))
