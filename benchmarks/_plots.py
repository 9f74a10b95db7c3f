"""What the scripts plot_*.py share: libraries in turns, checked and timed, and drawn in one style.

A script describes a `Figure`. `main` measures and draws it, or redraws it from saved numbers. The
libraries' results are checked against each other before anything is timed. Then they take turns,
burst by burst in every round, so that a machine that slows down slows all of them; a point of the
figure is the median of its rounds. A library is left out where it is not installed, and from the
size on at which a call would take longer than --limit.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import math
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

DEFAULTS = {"rounds": 5, "limit": 10.0}
BURST_SECONDS = 0.02  # a library's turn in a round
LONG_SECONDS = 1.0  # a call that needs no other to warm up the caches before it is timed
# Colours by Okabe and Ito, which the colour-blind can tell apart, and markers for those who print
# in grey. fastconv's is the same in every figure.
ORANGE, BLUE, GREEN = "#D55E00", "#0072B2", "#009E73"
PURPLE, GREY = "#CC79A7", "#777777"
STYLES = {
    "fastconv": {"color": ORANGE, "marker": "o"},
    "planned": {"color": ORANGE, "marker": "D", "linestyle": "--"},
    "scipy": {"color": BLUE, "marker": "s"},
    "oaconvolve": {"color": PURPLE, "marker": "v"},
    "numpy": {"color": GREEN, "marker": "^"},
    "opencv": {"color": GREEN, "marker": "^"},
    "torch": {"color": BLUE, "marker": "s"},
    "onnxruntime": {"color": GREEN, "marker": "^"},
}
PACKAGES = {"planned": "fastconv", "oaconvolve": "scipy", "opencv": "cv2"}
NAMES = {
    "cv2": "OpenCV",
    "numpy": "NumPy",
    "onnxruntime": "ONNX Runtime",
    "scipy": "SciPy",
    "torch": "PyTorch",
}


@dataclass
class Work:
    """What is to be computed at one place of a panel's axis."""

    size: Any
    calls: Mapping[str, Callable[[], Any]]  # one for each library that can
    tolerance: float  # how far two right results may lie apart
    growth: float = 1.0  # a slow library's time grows with this


@dataclass(frozen=True)
class Panel:
    """One pair of axes: its title, the name of what grows, and its works."""

    title: str
    label: str
    sizes: Sequence[Any]
    prepare: Callable[[Any, set[str]], Work]  # from a size and the libraries that are here
    unit: Callable[[Any], float]  # the seconds of a size are divided by this


@dataclass(frozen=True)
class Figure:
    """A figure: its lines, panels and axis of times."""

    name: str
    lines: Mapping[str, str]  # of each library the words in the legend
    panels: Mapping[str, Panel]
    label: str  # of the axis of times
    what: str  # is measured, for the caption
    dots: bool = False  # sizes are names, one below the other
    extent: tuple[float, float] = (8.4, 4.6)


# Measuring ----------------------------------------------------------------------------------------


def seconds(call: Callable[[], Any], repeats: int = 1) -> float:
    begin = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - begin) / repeats


def package(library: str) -> str:
    return PACKAGES.get(library, library)


def find_libraries(figure: Figure) -> dict[str, Any]:
    """Import the packages of the lines that are here; say which are not."""
    found = {}
    for library in figure.lines:
        try:
            found[library] = importlib.import_module(package(library))
        except ImportError as error:
            print(f"note: the figure has no line for {library}: {error}", file=sys.stderr)
    if not found:
        raise SystemExit(f"{figure.name}: none of the libraries is installed")
    return found


def limit_threads(libraries: Mapping[str, Any], threads: int | None) -> dict[str, int | None]:
    """Let each package use that many threads; return how many each uses, None where it decides."""
    used: dict[str, int | None] = {}
    for library, module in libraries.items():
        name = package(library)
        if name in ("fastconv", "torch"):
            if threads:
                module.set_num_threads(threads)
            used[name] = module.get_num_threads()
        elif name == "cv2":
            if threads:
                module.setNumThreads(threads)
            used[name] = module.getNumThreads()
        else:
            used[name] = None
    return used


@contextmanager
def progress():
    """Give a function that makes a bar from its title and length; it returns one to advance it."""
    try:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
        from rich.progress import TimeRemainingColumn as Remaining
    except ImportError:
        print("note: without rich there is no progress bar", file=sys.stderr)
        yield lambda title, length: lambda text, step: None
        return
    columns = [
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("left:"),
        Remaining(),
        TextColumn("{task.fields[now]}"),
    ]
    with Progress(*columns, console=Console(stderr=True)) as bars:

        def make(title, length):
            bar = bars.add_task(title, total=length, now="")
            return lambda text, step: bars.update(bar, advance=step, now=text)

        yield make


def as_array(result: Any) -> np.ndarray:
    """Return a result as an array: libraries give tensors, too, and lists with one in them."""
    while isinstance(result, (list, tuple)):
        result = next(part for part in result if part is not None)
    return np.asarray(result)


def try_out(name: str, work: Work) -> dict[str, float]:
    """Check the results against the first library's; return how long a call takes each."""
    once: dict[str, float] = {}
    first = None
    for library, call in work.calls.items():
        begin = time.perf_counter()
        result = as_array(call())
        once[library] = time.perf_counter() - begin
        if once[library] < LONG_SECONDS:
            once[library] = seconds(call)  # without the making of a plan, and the first pages
        if first is None:
            first = library, result.copy()
        error = float(np.abs(result - first[1]).max())
        if not error <= work.tolerance:
            raise SystemExit(
                f"{name}: {library} and {first[0]} lie {error:.2g} apart, where "
                f"{work.tolerance:.2g} is allowed"
            )
    return once


def prepare(name: str, panel: Panel, libraries: Sequence[str], limit: float, step: Callable):
    """Try every work out; yield it for each library, with its call and how long that takes."""
    left = set(libraries)
    works = [panel.prepare(size, set(libraries)) for size in panel.sizes]
    for work, larger in zip_longest(works, works[1:]):
        step(f"{name} {work.size}", 0)
        work.calls = {library: call for library, call in work.calls.items() if library in left}
        once = try_out(f"{name} {work.size}", work)
        step(f"{name} {work.size}", 1)
        for library, call in work.calls.items():
            yield name, work, library, call, once[library]
            # The time of plain sums grows with the work; others' grows less.
            if larger and once[library] * larger.growth / work.growth > limit:
                left.discard(library)


def measure(figure: Figure, libraries: Sequence[str], rounds: int, limit: float) -> dict:
    """Return for each panel and library its sizes, each with the seconds of every round."""
    panels: dict = {name: {library: {} for library in libraries} for name in figure.panels}
    points: list = []
    with progress() as make_bar:
        step = make_bar("checking", sum(len(panel.sizes) for panel in figure.panels.values()))
        for name, panel in figure.panels.items():
            points += prepare(name, panel, libraries, limit, step)
        step("", 0)
        weights = [math.ceil(1000 * max(once, BURST_SECONDS)) for *_, once in points]
        step = make_bar("timing", rounds * sum(weights))
        for count in range(rounds):
            for (name, work, library, call, once), weight in zip(points, weights, strict=True):
                step(f"round {count + 1} of {rounds}: {name} {work.size}", 0)
                if once < LONG_SECONDS:
                    call()  # another library has the caches, and its threads may still spin
                spent = seconds(call, max(1, int(BURST_SECONDS / once)))
                panels[name][library].setdefault(str(work.size), []).append(spent)
                step("", weight)
        step("", 0)
    return panels


def cpu_name() -> str:
    """Return the processor's name as the system gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    if sys.platform == "darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()
    return platform.processor() or platform.machine()


def command(arguments: argparse.Namespace) -> str:
    """Return what to type to measure the same: no paths of this machine."""
    options = [
        f"--{name}={value:g}"
        for name in ("rounds", "limit", "threads", "sizes")
        if (value := getattr(arguments, name)) != DEFAULTS.get(name)
    ]
    return " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *options])


def run(figure: Figure, arguments: argparse.Namespace) -> dict:
    """Measure, and return what the figure shows."""
    libraries = find_libraries(figure)
    threads = limit_threads(libraries, arguments.threads)
    fastconv = libraries.get("fastconv")
    return {
        "cpu": cpu_name(),
        "isa": fastconv.config()["isa"]["used"] if fastconv else None,
        "date": date.today().isoformat(),
        "command": command(arguments),
        "rounds": arguments.rounds,
        "threads": threads,
        "versions": {
            package(library): getattr(module, "__version__", "")
            for library, module in libraries.items()
        },
        "seconds": measure(figure, list(libraries), arguments.rounds, arguments.limit),
    }


# Showing ------------------------------------------------------------------------------------------


def medians(figure: Figure, report: dict, name: str) -> dict[str, dict[Any, float]]:
    """Return for each library its sizes and what a unit took, the median of the rounds."""
    panel = figure.panels[name]
    sizes = {str(size): size for size in panel.sizes}
    return {
        library: {
            sizes[text]: float(np.median(rounds)) / panel.unit(sizes[text])
            for text, rounds in line.items()
        }
        for library, line in report["seconds"][name].items()
        if line
    }


def print_table(figure: Figure, report: dict) -> None:
    for name in report["seconds"]:
        lines = medians(figure, report, name)
        print(f"{name:<36}" + "".join(f"{library:>12}" for library in lines))
        for size in figure.panels[name].sizes:
            cells = [f"{line[size]:.4g}" if size in line else "-" for line in lines.values()]
            if any(cell != "-" for cell in cells):
                print(f"{size!s:>36}" + "".join(f"{cell:>12}" for cell in cells))


def caption(figure: Figure, report: dict) -> str:
    """Return three lines: where and when, by what, and how."""
    used = []
    for name, count in report["threads"].items():
        text = f"{NAMES.get(name, name)} {report['versions'][name]}"
        used.append(text if count is None else f"{text} ({count} thread{'s' * (count != 1)})")
    rounds = report["rounds"]
    isa = f", {report['isa']}" if report["isa"] else ""
    return (
        f"{report['cpu']}{isa}, {report['date']}; {figure.what}\n"
        f"{', '.join(used)}; median of {rounds} round{'s' * (rounds != 1)}\n{report['command']}"
    )


def short(number: float) -> str:
    """Write 1000 as 1k and 1,000,000 as 1M."""
    for scale, letter in (1e6, "M"), (1e3, "k"):
        if number >= scale:
            return f"{number / scale:.3g}{letter}"
    return f"{number:g}"


def round_numbers(least: float, most: float) -> list[float]:
    """1, 2 and 5 times powers of ten, from the last one below to the first one above a range."""
    decades = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
    numbers = [digit * 10.0**power for power in decades for digit in (1, 2, 5)]
    below = max(i for i, number in enumerate(numbers) if number <= least)
    above = next(i for i, number in enumerate(numbers) if number >= most)
    return numbers[below : above + 1]


def _draw_lines(axes: Any, figure: Figure, panel: Panel, lines: dict) -> None:
    # The last drawn lies on top: fastconv's.
    for library, line in reversed(lines.items()):
        width = 2.6 if library == "fastconv" else 1.8
        axes.plot(
            list(line),
            list(line.values()),
            label=figure.lines[library],
            markersize=5.5,
            linewidth=width,
            **STYLES[library],
        )
    ticks = sorted({size for line in lines.values() for size in line})
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(ticks, [short(size) for size in ticks], fontsize=8.5)
    axes.set_xticks([], minor=True)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel(panel.label)


def _draw_dots(axes: Any, figure: Figure, panel: Panel, lines: dict) -> None:
    """One row for each name, the first on top, and a dot for each library."""
    names = [size for size in panel.sizes if any(size in line for line in lines.values())]
    rows = {name: row for row, name in enumerate(names)}
    for name, row in rows.items():
        times = [line[name] for line in lines.values() if name in line]
        axes.plot([min(times), max(times)], [row, row], color="#BBBBBB", linewidth=1.5, zorder=1)
    for library, line in reversed(lines.items()):
        style = {key: value for key, value in STYLES[library].items() if key != "linestyle"}
        axes.plot(
            list(line.values()),
            [rows[name] for name in line],
            label=figure.lines[library],
            linestyle="",
            markersize=6.5,
            markerfacecolor="white" if library == "planned" else style["color"],
            **style,
        )
    axes.set_xscale("log")
    times = [time for line in lines.values() for time in line.values()]
    axes.set_xticks(round_numbers(min(times), max(times)), minor=False)
    axes.set_xticks([], minor=True)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_yticks(list(rows.values()), names, fontsize=8.5)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel(figure.label)


def draw(figure: Figure, report: dict, output: Path) -> None:
    """Draw all panels into a file of the kind that its name ends with."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    mpl.rcParams.update({"font.size": 10, "svg.hashsalt": "fastconv"})
    canvas, all_axes = plt.subplots(
        1, len(figure.panels), figsize=figure.extent, sharey=True, layout="constrained"
    )
    for axes, (name, panel) in zip(np.atleast_1d(all_axes), figure.panels.items(), strict=True):
        lines = medians(figure, report, name)
        (_draw_dots if figure.dots else _draw_lines)(axes, figure, panel, lines)
        axes.set_title(panel.title, fontsize=10.5)
        axes.grid(which="major", color="#DDDDDD", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    first = np.atleast_1d(all_axes)[0]
    if not figure.dots:
        first.set_ylabel(figure.label)
    handles, labels = first.get_legend_handles_labels()
    canvas.legend(
        handles[::-1], labels[::-1], loc="outside upper center", ncols=len(labels), frameon=False
    )
    canvas.supxlabel(caption(figure, report), fontsize=8, color="#444444")
    canvas.savefig(output, dpi=200, facecolor="white")
    print(f"wrote {output}")


def positive(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    def parse(text):
        number = kind(text)
        if not number > 0:
            raise ValueError
        return number

    parse.__name__ = f"positive {kind.__name__}"  # argparse names it in its message
    return parse


def main(figure: Figure, description: str) -> None:
    """Measure and draw, as the command line says."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--output", type=Path, default=Path(f"{figure.name}.svg"), help="a PNG or an SVG"
    )
    parser.add_argument("--rounds", type=positive(int))
    parser.add_argument(
        "--limit", type=positive(float), metavar="SECONDS", help="a call's longest time"
    )
    parser.add_argument("--threads", type=positive(int), metavar="N", help="default: all")
    parser.add_argument(
        "--sizes", type=positive(int), metavar="N", help="only so many of each panel, to try it"
    )
    numbers = parser.add_mutually_exclusive_group()
    numbers.add_argument("--json", type=Path, metavar="FILE", help="save the numbers in FILE, too")
    numbers.add_argument("--from-json", type=Path, metavar="FILE", help="redraw FILE's numbers")
    parser.set_defaults(**DEFAULTS)
    arguments = parser.parse_args()
    can_draw = importlib.util.find_spec("matplotlib") is not None
    if not (can_draw or arguments.json):  # said before minutes of measuring, not after
        parser.error("matplotlib is missing: pip install --group plot, or save numbers by --json")
    if arguments.from_json:
        report = json.loads(arguments.from_json.read_text())
    else:
        if arguments.sizes:
            figure = shortened(figure, arguments.sizes)
        report = run(figure, arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")
    print_table(figure, report)
    if can_draw:
        draw(figure, report, arguments.output)
    else:
        print("note: without matplotlib there is no figure", file=sys.stderr)


def shortened(figure: Figure, count: int) -> Figure:
    """Return the figure with the first sizes of each panel."""
    panels = {
        name: replace(panel, sizes=panel.sizes[:count]) for name, panel in figure.panels.items()
    }
    return replace(figure, panels=panels)
