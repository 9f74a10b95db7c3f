"""
Fit the coefficients that are shipped (fastconv/_rates.py) to what benchmarks/regret.py has timed.

    [FASTCONV_MAX_ISA=baseline] python benchmarks/regret.py --threads 1 --save timed.pickle
    [FASTCONV_MAX_ISA=baseline] python benchmarks/fit.py timed.pickle [more.pickle ...] [--write]

Prints, for each method, how far predictions are off, and the coefficients; with --write puts them
into the file, in the table of the ISA level in use.
"""

import argparse
import pickle
import re
from pathlib import Path

import numpy as np
import regret

from fastconv import _cost, _rates
from fastconv._calibrate import Timing, fit
from fastconv._methods import METHODS
from fastconv._native import _core

# Timings that tell something about choosing: no more than so many times the best.
IN_THE_RACE = 4.0
# Timings' worth of trust in the coefficients that there are.
TRUST = 0.3
QUANTILES = (0.02, 0.1, 0.5, 0.9, 0.98)


def timings(files):
    """Every method's work and seconds on one thread, with its name and the problem's label."""
    methods = {m.NAME: m for m in METHODS}
    found = []
    for file in files:
        with open(file, "rb") as stream:
            results = pickle.load(stream)
        for result in results:
            best = min(result.seconds.values())
            for (name, threads), seconds in result.seconds.items():
                if threads == 1 and seconds < IN_THE_RACE * best:
                    work = methods[name].estimate(result.problem).work
                    work = tuple(item for item in work if item[0] != "call.gemm.spin")
                    found.append((name, result.label, Timing(work, seconds)))
    return found


def number(seconds):
    """Three digits, and a power of a thousand as the unit."""
    power = int(np.floor(np.log10(seconds) / 3)) * 3
    return f"{seconds / 10.0**power:.3g}e{power}"


def write(coefficients):
    """Put coefficients into the table of the level in use."""
    path = Path(_rates.__file__)
    text = path.read_text(encoding="utf-8")
    first = text.index(f'    "{_core.isa_used()}": {{')
    last = text.index("    },\n", first)
    table = text[first:last]
    for unit, seconds in coefficients.items():
        table = re.sub(rf'("{re.escape(unit)}": )[^,]+', rf"\g<1>{number(seconds)}", table)
    path.write_text(text[:first] + table + text[last:], encoding="utf-8")


def main():
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("files", nargs="+")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    found = timings(arguments.files)
    start = _rates.SHIPPED[_core.isa_used()]
    coefficients = fit([timing for _, _, timing in found], start, TRUST)
    met = {unit for _, _, timing in found for unit, _ in timing.work}
    coefficients = {unit: seconds for unit, seconds in coefficients.items() if unit in met}
    _cost.COEFFICIENTS.update({**start, **coefficients})
    print(f"measured / predicted at {QUANTILES}:")
    for method in METHODS:
        ratios = [
            timing.seconds / _cost.predict(_cost.Estimate(timing.work)).seconds
            for name, _, timing in found
            if name == method.NAME
        ]
        if ratios:
            spread = " ".join(f"{q:.2f}" for q in np.quantile(ratios, QUANTILES))
            print(f"  {method.NAME:<10}{len(ratios):>6}  {spread}")
    for unit, seconds in coefficients.items():
        print(f"  {unit:<36}{number(seconds):>10}  was {number(start[unit])}")
    if arguments.write:
        write(coefficients)


# Pickles of regret.py, run as a program, name its class so.
Result = regret.Result

if __name__ == "__main__":
    main()
