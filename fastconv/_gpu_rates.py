"""
What a unit of work takes on a GPU: from its data sheet, not measured.

CuPy tells a device's multiprocessors, clocks and bus; where it cannot (a problem stated by Specs
on a machine without a GPU), a model stands for any. Shares of the peaks are those that kernels of
these shapes are known to reach. Written on 2026-11-29, on a machine without a GPU: choices between
methods lean on ratios alone, and those are of whole numbers where they matter (a direct sum of few
taps against three passes of a transform).
"""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gpu:
    """
    What limits a device.

    Attributes
    ----------
    multiprocessors : int
        That share the work.
    lanes : int
        Multiply-adds of float32 that one of them starts in a cycle.
    clock, bandwidth : float
        Cycles in a second, and bytes to or from its memory.
    double_share : float
        Of the rate of float32 that float64 has.
    cache_bytes : int
        Its L2 cache.
    """

    multiprocessors: int
    lanes: int
    clock: float
    bandwidth: float
    double_share: float
    cache_bytes: int


# NVIDIA A100 (SXM, 40 GB): NVIDIA's data sheet and the architecture's white paper.
MODEL = Gpu(108, 64, 1.41e9, 1.555e12, 0.5, 40 << 20)

# Lanes of a multiprocessor, and float64's share, by compute capability (CUDA C++ Programming Guide,
# "Arithmetic Instructions"); others are taken for the last.
_LANES = {
    "70": (64, 1 / 2),
    "75": (64, 1 / 32),
    "80": (64, 1 / 2),
    "86": (128, 1 / 64),
    "87": (128, 1 / 64),
    "89": (128, 1 / 64),
    "90": (128, 1 / 2),
    "100": (128, 1 / 2),
}
_OTHER_LANES = (128, 1 / 64)

# Seconds of a launch: what Python, CuPy and the driver take to start a kernel.
_LAUNCH_SECONDS = 6e-6
# Seconds of a library's call: several launches, and the choice among its kernels.
_LIBRARY_SECONDS = 25e-6
# Shares of the peak of multiply-adds: register tiles over shared memory, BLAS, and cuFFT, whose
# transforms wait for memory first. Integers and booleans are multiplied at a quarter of the rate.
_DIRECT_SHARE = 0.5
_LAYERS_SHARE = 0.45
_GEMM_SHARE = 0.8
_FFT_SHARE = 0.25
_INTEGER_SHARE = 0.125
# Sums in order fuse nothing, and read their data from the cache one by one.
_ORDERED_SHARE = 0.04
# Share of the rate of memory that streams reach.
_STREAM_SHARE = 0.85
# How much faster the cache is than memory.
_CACHE_GAIN = 3.0


@functools.lru_cache(maxsize=64)
def gpu_rates(device: int) -> dict[str, float]:
    """Return the seconds of each unit of work on a GPU."""
    gpu = describe(device)
    single = 1 / (gpu.multiprocessors * gpu.lanes * gpu.clock)
    rates = {
        "arithmetic.peak.4": single,
        "arithmetic.peak.8": single / gpu.double_share,
        "arithmetic.gpu_direct.integer": single / _INTEGER_SHARE,
        "memory.ram": 1 / (gpu.bandwidth * _STREAM_SHARE),
        "cache.l2": 1 / (gpu.bandwidth * _STREAM_SHARE * _CACHE_GAIN),
        "call.launch": _LAUNCH_SECONDS,
        "call.library": _LIBRARY_SECONDS,
    }
    shares = {
        "gpu_direct": _DIRECT_SHARE,
        "gpu_direct.ordered": _ORDERED_SHARE,
        "gpu_direct.layers": _LAYERS_SHARE,
        "gpu_gemm": _GEMM_SHARE,
        "gpu_fft": _FFT_SHARE,
    }
    for unit, share in shares.items():
        for size in (4, 8):
            rates[f"arithmetic.{unit}.{size}"] = rates[f"arithmetic.peak.{size}"] / share
    return rates


@functools.lru_cache(maxsize=64)
def describe(device: int) -> Gpu:
    """Return what limits a device, or the model where CuPy does not know it."""
    cupy = sys.modules.get("cupy")
    if cupy is None or not 0 <= device < _count(cupy):
        return MODEL
    gpu = cupy.cuda.Device(device)
    told = gpu.attributes
    lanes, double_share = _LANES.get(gpu.compute_capability, _OTHER_LANES)
    # Both edges of the clock move data; clocks are told in kHz, the bus in bits.
    bandwidth = 2 * told["MemoryClockRate"] * 1e3 * told["GlobalMemoryBusWidth"] / 8
    return Gpu(
        told["MultiProcessorCount"],
        lanes,
        told["ClockRate"] * 1e3,
        bandwidth,
        double_share,
        told["L2CacheSize"],
    )


def _count(cupy: object) -> int:
    """Count the devices that CuPy can use."""
    try:
        return int(cupy.cuda.runtime.getDeviceCount())  # type: ignore[attr-defined]
    except Exception:  # CUDA's own, of a class that only CuPy knows
        return 0
