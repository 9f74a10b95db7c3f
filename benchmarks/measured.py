"""Leave in results/benchmarks.json what was measured: pages without empty boxes and empty rows.

`python measured.py [FOLDER]`.  asv writes there all benchmarks with all values of their parameters,
and its pages show empty graphs of those that there is no result of. `asv run` writes the whole file
again, even if it keeps no results.
"""

import json
import sys
from collections import defaultdict
from itertools import product
from math import isnan
from pathlib import Path


def measured_values(results):
    """Return for each measured benchmark the tuples of values that there is a figure for."""
    found = defaultdict(set)
    for file in results.glob("*/*-*.json"):
        saved = json.loads(file.read_text("utf-8"))
        for name, row in saved["results"].items():
            figures, params = row[:2]
            for figure, values in zip(figures or (), product(*params), strict=False):
                if figure is not None and not isnan(figure):  # failed, or left out
                    found[name].add(values)
    return found


def main(results):
    file = results / "benchmarks.json"
    benchmarks = json.loads(file.read_text("utf-8"))
    found = measured_values(results)
    for name in [name for name in benchmarks if name != "version"]:
        if name not in found:
            del benchmarks[name]
            continue
        benchmarks[name]["params"] = [
            [value for value in values if value in {figure[position] for figure in found[name]}]
            for position, values in enumerate(benchmarks[name]["params"])
        ]
    text = json.dumps(benchmarks, indent=4, sort_keys=True, ensure_ascii=False)
    file.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "results")
