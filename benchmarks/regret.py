"""
How well the planner chooses: the time of the method that it takes over that of the best.

    python benchmarks/regret.py [--count 1000] [--seed 0] [--threads N] [--kinds line image]
                                [--calibrate] [--worst 20] [--save FILE]

Draws problems of every kind, their sizes log-spaced, and times every candidate that may solve each,
in turn, round after round. Regret is the chosen method's least time over the least of all; a
geometric mean of 1.05 says that choosing loses 5 %. With several threads every candidate is timed
on one, too: taking more than pays is regretted.

Calls are timed as they are when repeated: a kernel's spectrum that is kept is kept. Candidates that
take more than three times the best, or are predicted to take more than thirty times, are timed
twice or not at all; what errs more than the default accuracy allows is no candidate. BLAS takes the
same number of threads.
"""

import argparse
import math
import os
import pickle
import sys
import time
from dataclasses import dataclass, replace

if "--threads" in sys.argv[:-1]:  # BLAS is told before it is loaded
    os.environ["OPENBLAS_NUM_THREADS"] = sys.argv[sys.argv.index("--threads") + 1]

import numpy as np

import fastconv
from fastconv import _planner
from fastconv._probes import KINDS, draw
from fastconv._problem import Reason

ROUNDS = 7
# A candidate is repeated until a sample takes so long.
SAMPLE_SECONDS = 100e-6
# Behind the best by more than this, a candidate is not timed again; predicted to be, not at all.
OUT_OF_THE_RACE = 3.0
HOPELESS = 30.0
# Problems whose fastest method is predicted to take more are drawn again.
MOST_SECONDS = 25e-3
MOST_BYTES = 96 << 20


@dataclass
class Result:
    """What the candidates of a probe took: seconds by method and number of threads."""

    kind: str
    label: str
    problem: object
    chosen: tuple
    seconds: dict
    predicted: dict

    @property
    def best(self):
        """The candidate that took the least time."""
        return min(self.seconds, key=self.seconds.get)

    @property
    def regret(self):
        """The chosen candidate's time over the best one's."""
        return self.seconds[self.chosen] / self.seconds[self.best]


def candidates(call, threads):
    """Predicted seconds of each method that may be chosen, on all threads and on one."""
    found = {}
    for each in sorted({1, threads}):
        choice = _planner.choose(call.choose().problem, "auto", each)
        for c in choice.candidates:
            if c.predicted is not None and c.reason != Reason.LESS_EXACT:
                found[c.name, each] = c.predicted
    return found


def runner(call, method, threads, out):
    """A callable without arguments that runs a call by a method on exactly so many threads."""
    call = replace(call, method=method)
    choice = _planner.choose(call.choose().problem, method, threads)

    def run():
        with fastconv.num_threads(threads):
            call.run(choice, call.prepare(choice), out)

    return run


def timed(run, repeats):
    """Seconds of one run."""
    began = time.perf_counter()
    for _ in range(repeats):
        run()
    return (time.perf_counter() - began) / repeats


def measure(probe, threads):
    """Time every candidate."""
    call = probe.call
    chosen = call.choose().method, threads
    predicted = candidates(call, threads)
    least = min(predicted.values())
    out = np.empty(call.shape, call.dtype)
    runs = {
        key: runner(call, *key, out)
        for key, seconds in predicted.items()
        if seconds <= HOPELESS * least or key == chosen
    }
    seconds = {key: min(timed(run, 1), timed(run, 1)) for key, run in runs.items()}
    best = min(seconds.values())
    racing = {
        key: max(1, math.ceil(SAMPLE_SECONDS / seconds[key]))
        for key in runs
        if seconds[key] < OUT_OF_THE_RACE * best or key == chosen
    }
    for _ in range(ROUNDS if len(racing) > 1 else 2):
        for key, repeats in racing.items():
            seconds[key] = min(seconds[key], timed(runs[key], repeats))
    problem = call.choose().problem
    return Result(probe.kind, probe.label, problem, chosen, seconds, predicted)


def summary(regrets):
    """Geometric mean, 95th percentile and the worst."""
    mean = math.exp(np.log(regrets).mean())
    return (
        f"geometric mean {mean:.3f}, p95 {np.quantile(regrets, 0.95):.3f}, worst {max(regrets):.2f}"
    )


def report(results, worst):
    """Print the figures, by kind and in all, and a table of the worst choices."""
    for kind in KINDS:
        regrets = [r.regret for r in results if r.kind == kind]
        if regrets:
            print(f"  {kind:<7}{len(regrets):>5}  {summary(regrets)}")
    print(f"all {len(results):>9}  {summary([r.regret for r in results])}")
    print(f"\nThe worst {worst}: µs measured (predicted), of each method on its threads")
    for r in sorted(results, key=lambda r: -r.regret)[:worst]:
        times = "  ".join(
            f"{'*' if key == r.chosen else ''}{key[0]}/{key[1]} "
            f"{seconds * 1e6:.4g} ({r.predicted[key] * 1e6:.4g})"
            for key, seconds in sorted(r.seconds.items(), key=lambda item: item[1])
            if seconds < OUT_OF_THE_RACE * r.seconds[r.best] or key == r.chosen
        )
        print(f"  {r.regret:5.2f}  {r.kind} {r.label}\n         {times}")


def run(count, seed, threads, kinds, progress=print):
    """Draw and time."""
    rng = np.random.default_rng(seed)
    results = []
    with fastconv.num_threads(threads):
        for number in range(1, count + 1):
            results.append(measure(draw(rng, kinds, MOST_SECONDS, MOST_BYTES), threads))
            if number % 100 == 0:
                progress(f"{number} of {count}", flush=True)
    return results


def main():
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=fastconv.get_num_threads())
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--calibrate", action="store_true", help="measure this machine first")
    parser.add_argument("--worst", type=int, default=20)
    parser.add_argument("--save", help="keep what was timed, for benchmarks/fit.py")
    arguments = parser.parse_args()
    if arguments.calibrate:
        print(fastconv.calibrate(save=False))
    isa = fastconv.config()["isa"]["used"]
    print(f"{isa}, {arguments.threads} threads, seed {arguments.seed}")
    results = run(arguments.count, arguments.seed, arguments.threads, arguments.kinds)
    report(results, arguments.worst)
    if arguments.save:
        with open(arguments.save, "wb") as file:
            pickle.dump(results, file)


if __name__ == "__main__":
    main()
