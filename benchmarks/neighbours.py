"""What fastconv and libraries with threads of their own cost one another in one process.

    pip install --group neighbours    # PyTorch, scikit-learn, OpenCV; pip 25.1 or later
    python benchmarks/neighbours.py [--rounds 10] [--threads N] [--only torch ...] [--json FILE]

A program that calls fastconv and another library in turn meets their threads in turn, too: pools
that go on looking for work after a call keep cores from whoever comes next. In every round each
call is timed by itself, after everybody's threads have gone to sleep, and right after a call of the
other; printed are the medians, and how much longer calls take in turn than alone, for fastconv and
for the neighbour. The first neighbour copies memory on the caller's thread: it costs what any call
between costs, the caches. A ratio like its own is no slow-down by threads.
"""

import argparse
import importlib
import json
import os
import statistics
import time

import numpy as np

import fastconv
from fastconv import ndimage, nn

ASLEEP_SECONDS = 0.05  # after which no library's threads look for work any more
CALLS = 5  # of each kind in a round
FRAME = (1080, 1920)


def cases():
    """Return calls of fastconv by name, of every road to the processors."""
    rng = np.random.default_rng(0)
    line, taps = rng.standard_normal(200_000, "f"), rng.standard_normal(101, "f")
    frame, kernel = rng.standard_normal(FRAME, "f"), rng.standard_normal((25, 25), "f")
    complex_frame = (frame[:512, :512] + 1j).astype("F")
    layer = rng.standard_normal((1, 64, 56, 56), "f")
    weights = rng.standard_normal((64, 64, 3, 3), "f")
    square = rng.standard_normal((400, 400), "f")
    return {
        "small line, one thread": lambda: fastconv.convolve(line[:500], taps[:9]),
        "line, direct": lambda: fastconv.convolve(line, taps[:25], "same", "direct"),
        "line, tilefft": lambda: fastconv.convolve(line, taps, "same", "tilefft"),
        "image, separable": lambda: ndimage.gaussian_filter(frame, 3),
        "image, tilefft": lambda: fastconv.convolve(frame, kernel, "same", "tilefft"),
        "complex image, fft": lambda: fastconv.convolve(complex_frame, kernel, "same", "fft"),
        "layer, channels": lambda: nn.conv2d(layer, weights, padding=1, method="channels"),
        "layer, gemm": lambda: nn.conv2d(layer, weights, padding=1, method="gemm"),
        # Not fastconv's: what NumPy's BLAS costs, by which gemm multiplies.
        "(numpy.matmul)": lambda: square @ square,
    }


def memory():
    """Copies on the caller's thread, for what caches cost."""
    frame = np.ones(FRAME, np.float32)
    other = np.empty_like(frame)
    return lambda: np.copyto(other, frame)


def numpy_blas():
    a = np.random.default_rng(1).standard_normal((400, 400), "f")
    return lambda: a @ a


def torch():
    torch = importlib.import_module("torch")
    x, w = torch.randn(1, 64, 56, 56), torch.randn(64, 64, 3, 3)

    def convolve():
        with torch.no_grad():
            torch.nn.functional.conv2d(x, w, padding=1)

    return convolve


def sklearn():
    metrics = importlib.import_module("sklearn.metrics")
    points = np.random.default_rng(1).standard_normal((20_000, 8))
    return lambda: metrics.pairwise_distances_argmin(points, points[:64])


def pyfftw():
    pyfftw = importlib.import_module("pyfftw")
    a = pyfftw.zeros_aligned((512, 512), "complex64")
    threads = fastconv.get_num_threads()
    return pyfftw.builders.fft2(a, threads=threads, planner_effort="FFTW_ESTIMATE")


def cv2():
    cv2 = importlib.import_module("cv2")
    frame = np.ones(FRAME, np.float32)
    return lambda: cv2.GaussianBlur(frame, (0, 0), 3)


NEIGHBOURS = {
    "memory": memory,
    "numpy": numpy_blas,
    "torch": torch,
    "sklearn": sklearn,
    "pyfftw": pyfftw,
    "cv2": cv2,
}


def seconds_of(call):
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def measure(ours, theirs, rounds):
    """Return medians of both, alone and in turn."""
    times = {"ours": [], "theirs": [], "ours in turn": [], "theirs in turn": []}
    for _ in range(rounds):
        for name, call in (("ours", ours), ("theirs", theirs)):
            time.sleep(ASLEEP_SECONDS)
            call()
            times[name] += [seconds_of(call) for _ in range(CALLS)]
        time.sleep(ASLEEP_SECONDS)
        theirs()
        ours()
        for _ in range(CALLS):
            times["theirs in turn"].append(seconds_of(theirs))
            times["ours in turn"].append(seconds_of(ours))
    return {name: statistics.median(found) for name, found in times.items()}


def milliseconds(seconds):
    return f"{seconds * 1e3:.3f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=10, help="of every pair; 10 by default")
    parser.add_argument("--threads", type=int, help="of fastconv; its default where not given")
    parser.add_argument("--only", nargs="+", choices=NEIGHBOURS, default=list(NEIGHBOURS))
    parser.add_argument("--json", metavar="FILE", help="where to write the medians, in seconds")
    options = parser.parse_args()
    fastconv.set_num_threads(options.threads)
    print(
        f"fastconv {fastconv.__version__}, {fastconv.get_num_threads()} threads, "
        f"{os.cpu_count()} CPUs, medians of {options.rounds} rounds\n"
    )
    line = "{:24} {:>11} {:>8} {:>12} {:>8}"
    found = {}
    for name in options.only:
        try:
            neighbour = NEIGHBOURS[name]()
        except ImportError as error:
            print(f"{name} is left out: {error}\n")
            continue
        print(line.format(f"beside {name}", "alone [ms]", "in turn", "its own [ms]", "in turn"))
        for case, call in cases().items():
            medians = found[f"{name}: {case}"] = measure(call, neighbour, options.rounds)
            print(
                line.format(
                    case,
                    milliseconds(medians["ours"]),
                    f"×{medians['ours in turn'] / medians['ours']:.2f}",
                    milliseconds(medians["theirs"]),
                    f"×{medians['theirs in turn'] / medians['theirs']:.2f}",
                ),
                flush=True,
            )
        print()
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=1)


if __name__ == "__main__":
    main()
