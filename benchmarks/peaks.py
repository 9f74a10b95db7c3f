"""How near the direct kernels come to the FMA peak of the cores that they run on.

    python benchmarks/peaks.py [--levels avx2 avx512] [--rounds 9] [--json FILE]

For each ISA level that this machine can run, in a process of its own held down by
FASTCONV_MAX_ISA, the program prints GF/s and the share of the peak for 1-D kernels of 3 to 1024
taps and 2-D kernels of 3x3 to 31x31, in float32 and float64, on one thread and on all. The peak
is that of the level's own vectors, measured by fma_peak.c before and after every burst of a
kernel, on as many threads. A share is the median of the rounds' quotients. The arrays fit the
caches, and the kernels are called without the fronts. Needs a C compiler with OpenMP (CC, or cc).
"""

import argparse
import ctypes
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

# For each level of FASTCONV_MAX_ISA: the compiler's flags, and the bytes of a vector.
LEVELS = {
    "baseline": ([], 16),
    "avx2": (["-mavx2", "-mfma"], 32),
    "avx512": (["-mavx512f", "-mprefer-vector-width=512"], 64),
    "neon": ([], 16),
}
TAPS = (3, 5, 9, 16, 32, 64, 128, 256, 512, 1024)
SIDES = (3, 5, 7, 9, 11, 13, 15, 21, 31)
LINE_BYTES = 1 << 18  # input and output together stay in a second-level cache
IMAGE_ROWS, IMAGE_ROW_BYTES = 240, 768 * 4
BURST_SECONDS = 0.004


def compile_peak(level, folder):
    """Compile fma_peak.c for `level` and return the library's path."""
    flags, width = LEVELS[level]
    library = Path(folder, f"fma_peak_{level}.so")
    command = shlex.split(os.environ.get("CC", "cc"))
    command += ["-O2", "-ffp-contract=fast", "-fopenmp", "-shared", "-fPIC", *flags]
    command += [f"-DVECTOR_BYTES={width}", str(Path(__file__).with_name("fma_peak.c"))]
    try:
        subprocess.run([*command, "-o", str(library)], check=True)
    except OSError as error:
        raise SystemExit(f"peaks.py needs a C compiler, named by CC: {error}") from None
    return library


def load_peak(library, dtype):
    peak = getattr(ctypes.CDLL(str(library)), f"peak_{dtype}")
    peak.restype, peak.argtypes = ctypes.c_double, [ctypes.c_int, ctypes.c_long]
    return peak


def repeats_for(call):
    """Return how many calls fill one burst, by the fastest of some: others may be at work, too."""
    fastest = BURST_SECONDS
    for _ in range(5):
        begin = time.perf_counter()
        call()
        fastest = min(fastest, max(time.perf_counter() - begin, 1e-7))
    return round(BURST_SECONDS / fastest)


def measure(correlate, peak, dtype, data_shape, kernel_shape, threads, rounds):
    """Return GF/s and the share of the peak, each the median over the rounds."""
    generator = np.random.default_rng(3)
    data = generator.standard_normal(data_shape, dtype)
    kernel = generator.standard_normal(kernel_shape, dtype)
    out = np.empty([n - k + 1 for n, k in zip(data_shape, kernel_shape, strict=True)], dtype)
    offset = (0,) * data.ndim

    def call():
        correlate(data, kernel, out, offset, threads=threads)

    repeats = repeats_for(call)
    steps = 10_000 * repeats_for(lambda: peak(threads, 10_000))
    rates, shares = [], []
    for _ in range(rounds):
        limit = peak(threads, steps)
        begin = time.perf_counter()
        for _ in range(repeats):
            call()
        rate = 2 * out.size * kernel.size * repeats / (time.perf_counter() - begin)
        limit = max(limit, peak(threads, steps))
        rates.append(rate / 1e9)
        shares.append(rate / limit)
    return float(np.median(rates)), float(np.median(shares))


def shapes(dtype):
    """Yield the shapes of data and kernel; the data holds a border for the kernel."""
    size = np.dtype(dtype).itemsize
    for taps in TAPS:
        yield (LINE_BYTES // size + taps - 1,), (taps,)
    for side in SIDES:
        yield (IMAGE_ROWS + side - 1, IMAGE_ROW_BYTES // size + side - 1), (side, side)


def run_level(level, rounds):
    """Measure one level in this process and return its rows; a line each goes to stdout."""
    import fastconv
    from fastconv._native._core import correlate

    used = fastconv.config()["isa"]["used"]
    if used != level:
        raise SystemExit(f"asked for {level}, but fastconv runs on {used}")
    counts = sorted({1, fastconv.get_num_threads()})
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        library = compile_peak(level, folder)
        for dtype in ("float32", "float64"):
            peak = load_peak(library, dtype)
            for data_shape, kernel_shape in shapes(dtype):
                row = {"level": level, "dtype": dtype, "kernel": kernel_shape, "threads": {}}
                line = f"{level:<10}{dtype:<9}{'x'.join(map(str, kernel_shape)):>7}"
                for threads in counts:
                    rate, share = measure(
                        correlate, peak, dtype, data_shape, kernel_shape, threads, rounds
                    )
                    row["threads"][threads] = {"gflops": rate, "share_of_peak": share}
                    line += f"{threads:>6} thr {rate:>8.1f} GF/s {100 * share:>5.1f}%"
                rows.append(row)
                print(line, flush=True)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--levels", nargs="+", choices=LEVELS, help="default: all usable here")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows to FILE, too")
    parser.add_argument("--here", choices=LEVELS, help=argparse.SUPPRESS)  # run_apart's child
    arguments = parser.parse_args()
    if arguments.here:
        rows = run_level(arguments.here, arguments.rounds)
    else:
        levels = arguments.levels or usable_levels()
        rows = [row for level in levels for row in run_apart(level, arguments.rounds)]
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


def usable_levels():
    import fastconv

    return [level for level in LEVELS if level in fastconv.config()["isa"]["usable"]]


def run_apart(level, rounds):
    """Measure one level in a process of its own: FASTCONV_MAX_ISA is read once, at import."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "rows.json")
        command = [sys.executable, __file__, "--here", level, "--rounds", str(rounds)]
        command += ["--json", str(report)]
        # The program that measures the peak uses OpenMP, whose threads would go on spinning on the
        # cores that the kernels are measured on next.
        settings = {"FASTCONV_MAX_ISA": level, "OMP_WAIT_POLICY": "passive"}
        subprocess.run(command, check=True, env={**os.environ, **settings})
        return json.loads(report.read_text())


if __name__ == "__main__":
    main()
