"""Time per pixel against the size of the filter: fastconv.ndimage, scipy.ndimage and OpenCV.

    pip install --group plot          # matplotlib, OpenCV, SciPy, rich; pip 25.1 or later
    python benchmarks/plot_ndimage.py [--output images.svg] [--rounds 5] [--json FILE]
    python benchmarks/plot_ndimage.py --from-json FILE [--output images.png]

On a film frame, 1080x1920 in float32 with mode reflect, the program first checks the libraries'
values against each other. Then it times `correlate` with dense kernels and `gaussian_filter` by
sigma. The libraries take turns, burst by burst in every round, so that a machine that slows down
slows all of them; a point of the figure is the median of its rounds. A library is left out where
it is not installed, and from the size on at which a call would take longer than --limit.
"""

import argparse
import importlib
import importlib.util
import json
import math
import platform
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import date
from itertools import zip_longest
from pathlib import Path

import numpy as np

SHAPE = (1080, 1920)
SIDES = (3, 5, 7, 11, 15, 21, 31, 47, 63, 95, 127)
SIGMAS = (0.5, 1, 2, 3, 5, 7, 10, 15, 20, 30)
BURST_SECONDS = 0.02  # a library's turn in a round
LONG_SECONDS = 1.0  # a call that needs no other to warm up the caches before it is timed
TOLERANCE = 8  # c of c·eps·sqrt(taps)·max|x|·max|w|, which each of two libraries may be off
# Each library's name, its module, and its line: colours by Okabe and Ito, which the colour-blind
# can tell apart, and markers for those who print in grey.
LIBRARIES = {
    "fastconv": ("fastconv", "fastconv.ndimage", {"color": "#D55E00", "marker": "o"}),
    "scipy": ("SciPy", "scipy.ndimage", {"color": "#0072B2", "marker": "s"}),
    "opencv": ("OpenCV", "cv2", {"color": "#009E73", "marker": "^"}),
}
PANELS = {
    "correlate": ("correlate / filter2D: dense k × k kernel", "k, taps a side", SIDES),
    "gaussian_filter": (
        "gaussian_filter / GaussianBlur",
        "sigma, pixels (radius: 4 sigma)",
        SIGMAS,
    ),
}


class Work:
    """One place on a panel's axis: what each library is to compute there."""

    def __init__(self, function, size, image):
        self.function, self.size, self.image = function, size, image
        self.name = f"{function} {size:g}"
        if function == "correlate":
            generator = np.random.default_rng(size)
            self.argument = generator.standard_normal((size, size), np.float32)
            self.taps, self.largest_tap = size**2, float(np.abs(self.argument).max())
        else:
            self.argument, self.side = size, 2 * int(4 * size + 0.5) + 1
            self.taps, self.largest_tap = 2 * self.side, 1.0

    def tolerance(self):
        """How far two right results may lie apart."""
        eps = float(np.finfo(np.float32).eps)
        scale = float(np.abs(self.image).max()) * self.largest_tap
        return 2 * TOLERANCE * eps * math.sqrt(self.taps) * scale

    def bind(self, library, module):
        """Return a callable without arguments that computes this by `library`."""
        image, argument = self.image, self.argument
        if library != "opencv":
            function = getattr(module, self.function)
            return lambda: function(image, argument)
        border = module.BORDER_REFLECT
        if self.function == "correlate":
            return lambda: module.filter2D(image, -1, argument, borderType=border)
        sides = (self.side, self.side)
        return lambda: module.GaussianBlur(image, sides, argument, borderType=border)


def seconds(call, repeats=1):
    begin = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - begin) / repeats


def find_libraries():
    """Import the libraries that are here; say which are not."""
    modules = {}
    for library, (_, module, _) in LIBRARIES.items():
        try:
            modules[library] = importlib.import_module(module)
        except ImportError as error:
            print(f"note: the figure has no line for {library}: {error}", file=sys.stderr)
    if not modules:
        raise SystemExit("plot_ndimage.py: none of the libraries is installed")
    return modules


def limit_threads(modules, threads):
    """Let each library use that many threads; return how many each uses."""
    used = {}
    for library in modules:
        if library == "fastconv":
            fastconv = importlib.import_module("fastconv")
            if threads:
                fastconv.set_num_threads(threads)
            used[library] = fastconv.get_num_threads()
        elif library == "opencv":
            if threads:
                modules[library].setNumThreads(threads)
            used[library] = modules[library].getNumThreads()
        else:
            used[library] = 1
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


def try_out(work, calls):
    """Check the results against the first library's; return how long a call takes each."""
    once, first = {}, None
    for library, call in calls.items():
        begin = time.perf_counter()
        result = call()
        once[library] = time.perf_counter() - begin
        if once[library] < LONG_SECONDS:
            once[library] = seconds(call)  # without the making of a plan, and the first pages
        first = first or (library, result)
        error = float(np.abs(result - first[1]).max())
        if not error <= work.tolerance():
            raise SystemExit(
                f"plot_ndimage.py: {work.name}: {library} and {first[0]} lie {error:.2g} apart, "
                f"where {work.tolerance():.2g} is allowed"
            )
    return once


def prepare(works, modules, limit, step):
    """Try every work out; yield it for each library, with its call and how long that takes."""
    modules = dict(modules)
    for work, larger in zip_longest(works, works[1:]):
        step(work.name, 0)
        calls = {library: work.bind(library, module) for library, module in modules.items()}
        once = try_out(work, calls)
        step(work.name, 1)
        for library, call in calls.items():
            yield work, library, call, once[library]
            # A direct method's time grows with the taps; others' grows less.
            if larger and once[library] * larger.taps / work.taps > limit:
                del modules[library]


def measure(modules, rounds, limit):
    """Return for each panel and library its sizes, each with the seconds of every round."""
    image = np.random.default_rng(8).random(SHAPE, np.float32)
    panels = {function: {library: {} for library in modules} for function in PANELS}
    points = []
    with progress() as make_bar:
        step = make_bar("checking", sum(len(sizes) for *_, sizes in PANELS.values()))
        for function, (*_, sizes) in PANELS.items():
            works = [Work(function, size, image) for size in sizes]
            points += prepare(works, modules, limit, step)
        step("", 0)
        weights = [math.ceil(1000 * max(once, BURST_SECONDS)) for *_, once in points]
        step = make_bar("timing", rounds * sum(weights))
        for count in range(rounds):
            for (work, library, call, once), weight in zip(points, weights, strict=True):
                step(f"round {count + 1} of {rounds}: {work.name}", 0)
                if once < LONG_SECONDS:
                    call()  # another library has the caches, and its threads may still spin
                spent = seconds(call, max(1, int(BURST_SECONDS / once)))
                panels[work.function][library].setdefault(f"{work.size:g}", []).append(spent)
                step(work.name, weight)
        step("", 0)
    return panels


def cpu_name():
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


def run(arguments):
    """Measure, and return what the figure shows."""
    modules = find_libraries()
    threads = limit_threads(modules, arguments.threads)
    versions = {}
    for library in modules:
        package = importlib.import_module(LIBRARIES[library][1].partition(".")[0])
        versions[library] = getattr(package, "__version__", "")
    return {
        "cpu": cpu_name(),
        "date": date.today().isoformat(),
        "shape": SHAPE,
        "dtype": "float32",
        "rounds": arguments.rounds,
        "threads": threads,
        "versions": versions,
        "seconds": measure(modules, arguments.rounds, arguments.limit),
    }


def nanoseconds(report, function):
    """Return for each library its sizes and its nanoseconds a pixel, the median of the rounds."""
    pixels = math.prod(report["shape"])
    return {
        library: {float(size): 1e9 / pixels * float(np.median(line[size])) for size in line}
        for library, line in report["seconds"][function].items()
        if line
    }


def print_table(report):
    for function in report["seconds"]:
        lines = nanoseconds(report, function)
        print(f"{function + ', ns a pixel':<28}" + "".join(f"{name:>10}" for name in lines))
        for size in sorted({size for line in lines.values() for size in line}):
            cells = [f"{line[size]:.2f}" if size in line else "-" for line in lines.values()]
            print(f"{size:>28g}" + "".join(f"{cell:>10}" for cell in cells))


def caption(report):
    """Return two lines: where and when, and how."""
    rows, columns = report["shape"]
    used = [
        f"{LIBRARIES[library][0]} {report['versions'][library]} on {count}"
        for library, count in report["threads"].items()
    ]
    used[0] += " thread" + "s" * (used[0].rpartition(" ")[2] != "1")
    return (
        f"{report['cpu']}, {report['date']}; {rows} × {columns} image, {report['dtype']}\n"
        f"{', '.join(used)}; mode reflect, median of {report['rounds']} rounds"
    )


def draw(report, output):
    """Draw both panels into a file of the kind that its name ends with."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    mpl.rcParams.update({"font.size": 10, "svg.hashsalt": "fastconv"})
    figure, all_axes = plt.subplots(1, 2, figsize=(8, 4.6), sharey=True, layout="constrained")
    for axes, (function, (title, label, _)) in zip(all_axes, PANELS.items(), strict=True):
        lines = nanoseconds(report, function)
        # The last drawn lies on top: fastconv's.
        for library, line in reversed(lines.items()):
            name, module, style = LIBRARIES[library]
            style = {"label": name if library == "opencv" else module, **style}
            style["linewidth"] = 2.6 if library == "fastconv" else 1.8
            axes.plot(list(line), list(line.values()), markersize=5.5, **style)
        ticks = sorted({size for line in lines.values() for size in line})
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xticks(ticks, [f"{size:g}" for size in ticks], fontsize=8.5)
        axes.set_xticks([], minor=True)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.set_title(title, fontsize=10.5)
        axes.set_xlabel(label)
        axes.grid(which="major", color="#DDDDDD", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    all_axes[0].set_ylabel("time per pixel, ns (less is better)")
    handles, labels = all_axes[0].get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], loc="outside upper center", ncols=3, frameon=False)
    figure.supxlabel(caption(report), fontsize=8, color="#444444")
    figure.savefig(output, dpi=200, facecolor="white")
    print(f"wrote {output}")


def positive(kind):
    def parse(text):
        number = kind(text)
        if not number > 0:
            raise ValueError
        return number

    parse.__name__ = f"positive {kind.__name__}"  # argparse names it in its message
    return parse


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("images.svg"), help="a PNG or an SVG")
    parser.add_argument("--rounds", type=positive(int), default=5)
    parser.add_argument(
        "--limit", type=positive(float), default=10, metavar="SECONDS", help="a call's longest time"
    )
    parser.add_argument("--threads", type=positive(int), metavar="N", help="default: all")
    numbers = parser.add_mutually_exclusive_group()
    numbers.add_argument("--json", type=Path, metavar="FILE", help="save the numbers in FILE, too")
    numbers.add_argument("--from-json", type=Path, metavar="FILE", help="redraw FILE's numbers")
    arguments = parser.parse_args()
    can_draw = importlib.util.find_spec("matplotlib") is not None
    if not (can_draw or arguments.json):  # said before minutes of measuring, not after
        parser.error("matplotlib is missing: pip install --group plot, or save numbers by --json")
    if arguments.from_json:
        report = json.loads(arguments.from_json.read_text())
    else:
        report = run(arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")
    print_table(report)
    if can_draw:
        draw(report, arguments.output)
    else:
        print("note: without matplotlib there is no figure", file=sys.stderr)


if __name__ == "__main__":
    main()
