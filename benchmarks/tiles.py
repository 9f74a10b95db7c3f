"""What a pair of tiles costs the `tilefft` method, on one thread: the source of _cost's figures.

    [FASTCONV_MAX_ISA=baseline] python benchmarks/tiles.py

Prints for each type and tile the least time of a pair, with the copies around its transforms, and
its flops per second. Kernels have a quarter of the tile's side; the data stays in L3.
"""

import math
import time

import numpy as np

from fastconv._native import _core

TILES = [
    *((16, 16), (32, 32), (16, 64), (64, 16), (64, 64), (16, 256), (256, 16), (128, 128)),
    *((256, 256), (512, 256), (512, 512), (128, 1024), (1024, 512), (1024, 1024)),
    *((16, 16, 16), (32, 32, 32), (32, 64, 64), (64, 64, 64)),
]
ELEMENTS = 4e6
ROUNDS = 9


def measure(points, dtype):
    """Seconds of one pair, and its flops."""
    taps = [p // 4 + 1 for p in points]
    valid = [p - t + 1 for p, t in zip(points, taps, strict=True)]
    side = max(2, round((ELEMENTS / math.prod(valid)) ** (1 / len(points))))
    x = np.random.default_rng(0).standard_normal([v * side for v in valid]).astype(dtype)
    out = np.empty_like(x)
    spectrum = _core.tile_fft_spectrum(np.ones(taps, dtype), points)
    offset = [-(t // 2) for t in taps]
    best = math.inf
    for _ in range(ROUNDS):
        began = time.perf_counter()
        _core.tile_fft_correlate(x, spectrum, points, taps, out, offset, valid, need=1e-9)
        best = min(best, time.perf_counter() - began)
    share = (points[-1] + valid[-1]) / points[-1]
    across = sum(math.log2(p) for p in points[:-1])
    flops = 5 * math.prod(points) * (share * across + 2 * math.log2(points[-1]))
    return best / -(-(side ** len(points)) // 2), flops


def main():
    """Print the table."""
    for dtype in "fd":
        for points in TILES:
            seconds, flops = measure(points, dtype)
            size = 2 * math.prod(points) * np.dtype(dtype).itemsize >> 10
            name = "x".join(map(str, points))
            rate = flops / seconds / 1e9
            print(f"{dtype} {name:12} {size:6} KB {seconds * 1e6:9.1f} us {rate:6.1f} GF/s")


if __name__ == "__main__":
    main()
