"""Time per sample against the length of the kernel: fastconv, scipy.signal and NumPy.

    pip install --group plot          # matplotlib, OpenCV, SciPy, rich; pip 25.1 or later
    python benchmarks/plot_signals.py [--output signals.svg] [--rounds 5] [--json FILE]
    python benchmarks/plot_signals.py --from-json FILE [--output signals.png]

A million samples in float32 with mode 'same', by the number of taps; and two inputs of equal
length with mode 'full', from a call that costs more than its sums on. _plots.py says how it is
measured.
"""

import math
from functools import partial

import numpy as np
from _plots import Figure, Panel, Work, main

SAMPLES = 1_000_000
TAPS = (3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000)
LENGTHS = (10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
TOLERANCE = 8  # c of c·eps·log2(n)·‖x‖·‖w‖, which an FFT of the whole may be off


def work(samples, taps, mode, libraries, size, growth):
    generator = np.random.default_rng(taps)
    x = generator.standard_normal(samples, np.float32)
    w = generator.standard_normal(taps, np.float32)
    calls = {}
    if "fastconv" in libraries:
        import fastconv

        calls["fastconv"] = partial(fastconv.convolve, x, w, mode)
    if "scipy" in libraries:
        import scipy.signal

        calls["scipy"] = partial(scipy.signal.convolve, x, w, mode)
        calls["oaconvolve"] = partial(scipy.signal.oaconvolve, x, w, mode)
    if "numpy" in libraries:
        calls["numpy"] = partial(np.convolve, x, w, mode)
    norms = float(np.linalg.norm(x)) * float(np.linalg.norm(w))
    tolerance = TOLERANCE * float(np.finfo(np.float32).eps) * math.log2(samples + taps) * norms
    return Work(size, calls, tolerance, growth)


def long_signal(taps, libraries):
    return work(SAMPLES, taps, "same", libraries, taps, taps)


def equal_lengths(length, libraries):
    return work(length, length, "full", libraries, length, length**2)


FIGURE = Figure(
    name="signals",
    lines={
        "fastconv": "fastconv.convolve",
        "scipy": "scipy.signal.convolve",
        "oaconvolve": "scipy.signal.oaconvolve",
        "numpy": "numpy.convolve",
    },
    panels={
        "a long signal": Panel(
            "a million samples, mode same", "taps", TAPS, long_signal, lambda taps: 1e-9 * SAMPLES
        ),
        "equal lengths": Panel(
            "two of n samples, mode full",
            "n",
            LENGTHS,
            equal_lengths,
            lambda length: 1e-9 * (2 * length - 1),
        ),
    },
    label="time per sample of the result, ns (less is better)",
    what="float32",
)

if __name__ == "__main__":
    main(FIGURE, __doc__.partition("\n")[0])
