"""What the switch saves others: functions of SciPy's and scikit-image's that call what it replaces.

    pip install scipy scikit-image
    python benchmarks/callers.py [--rounds 7] [--match TEXT]

Every caller runs in turn as it is and `with fastconv.patched()`. The table has the median time of
each, the median of the rounds' ratios, the largest difference between the two results beside the
largest value, and the calls that fastconv has served in one go.
"""

import argparse
import statistics

import numpy as np
import scipy.signal
import skimage.data
import skimage.feature
import skimage.filters
import skimage.metrics
from _plots import seconds

import fastconv

BURST_SECONDS = 0.05  # a turn of quick callers


def callers():
    """Yield the name of each caller and a call of it without arguments."""
    generator = np.random.default_rng(0)
    line = generator.standard_normal(1_000_000)
    taps = scipy.signal.firwin(101, 0.2)
    frame = generator.random((1080, 1920))
    photograph = skimage.data.camera() / 255.0
    colours = skimage.data.astronaut() / 255.0
    filters, feature = skimage.filters, skimage.feature
    yield "scipy.signal.wiener, 7x7", lambda: scipy.signal.wiener(frame, 7)
    yield "scipy.signal.savgol_filter, 51", lambda: scipy.signal.savgol_filter(line, 51, 3)
    yield "scipy.signal.lfilter, 101 taps", lambda: scipy.signal.lfilter(taps, 1.0, line)
    yield "skimage gaussian, sigma 3", lambda: filters.gaussian(frame, 3)
    yield "skimage gaussian, colours", lambda: filters.gaussian(colours, 3, channel_axis=-1)
    yield "skimage sobel", lambda: filters.sobel(frame)
    yield "skimage unsharp_mask", lambda: filters.unsharp_mask(frame, radius=5)
    yield "skimage threshold_local, 51", lambda: filters.threshold_local(frame, 51)
    yield "skimage gabor", lambda: filters.gabor(photograph, 0.1)
    yield "skimage canny", lambda: feature.canny(photograph, sigma=2)
    yield "skimage corner_harris", lambda: feature.corner_harris(photograph)
    yield (
        "skimage structural_similarity",
        lambda: skimage.metrics.structural_similarity(frame, frame[::-1], data_range=1.0),
    )
    yield (
        "skimage match_template, 64x64",
        lambda: feature.match_template(photograph, photograph[100:164, 200:264]),
    )


def difference(result, expected):
    """The largest distance of two results, beside the largest value."""
    if isinstance(expected, tuple):
        return max(map(difference, result, expected))
    expected = np.asarray(expected, float)
    return np.abs(np.asarray(result, float) - expected).max() / np.abs(expected).max()


def measure(call, rounds):
    """Return both medians, the median ratio, the difference and the calls served."""
    expected = call()
    with fastconv.patched(count=True) as report:
        result = call()
    calls = max(1, int(BURST_SECONDS / max(seconds(call), 1e-9)))
    plain, switched = [], []
    for _ in range(rounds):
        plain.append(seconds(call, calls))
        with fastconv.patched():
            switched.append(seconds(call, calls))
    ratio = statistics.median(p / s for p, s in zip(plain, switched, strict=True))
    medians = statistics.median(plain), statistics.median(switched)
    return *medians, ratio, difference(result, expected), sum(report.calls.values())


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7, help="turns of each (default 7)")
    parser.add_argument("--match", default="", help="only callers that hold this")
    arguments = parser.parse_args()
    print(f"{'caller':32} {'as it is':>10} {'switched':>10} {'times':>6} {'differ by':>10} calls")
    for name, call in callers():
        if arguments.match in name:
            plain, switched, ratio, apart, served = measure(call, arguments.rounds)
            print(
                f"{name:32} {plain * 1e3:7.2f} ms {switched * 1e3:7.2f} ms "
                f"{ratio:5.1f}x {apart:10.1e} {served:5}"
            )


if __name__ == "__main__":
    main()
