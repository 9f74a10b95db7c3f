"""The ``bench`` command: convolve what people convolve, check every result, and time it.

fastconv, SciPy and NumPy take turns, round by round, so that a machine that slows down slows all
of them; a speed-up is the median of the rounds' ratios. SciPy and rich are used where installed.
"""

import importlib
import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import fastconv
from fastconv._tables import format_seconds

ROUNDS, QUICK_ROUNDS = 5, 3
BLOCK_SECONDS = 0.005  # a contender's turn in a round: long enough for the clock
NUMPY_PRODUCTS = 2e9  # above this many products np.convolve takes seconds: left out
TOLERANCE = 8.0  # c of c·eps·sqrt(taps)·max|x|·max|w|


@dataclass(frozen=True)
class Case:
    """One convolution: a function's name, shapes, dtypes and options."""

    data: tuple[int, ...]
    kernel: tuple[int, ...]
    dtype: str
    quick: bool = False
    function: str = "convolve"
    mode: str = "same"
    kernel_dtype: str = ""
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The case in words, such as ``1080x1920 * 7x7 symm``."""
        words = [f"{_by(self.data)} * {_by(self.kernel)}"]
        if self.mode != "same":
            words.append(self.mode)
        words += [str(self.options[key]) for key in ("boundary",) if key in self.options]
        words += [f"axis {self.options[key]}" for key in ("axes",) if key in self.options]
        return " ".join(words)

    @property
    def dtypes(self) -> str:
        """The dtype of the data, and the kernel's where it is another."""
        return self.dtype + (f" * {self.kernel_dtype}" if self.kernel_dtype else "")


@dataclass
class Row:
    """What one case gave: seconds a call, speed-ups, and whether the values were right."""

    case: Case
    method: str
    seconds: dict[str, float]
    speedup: dict[str, float]
    nanoseconds_per_output: float
    error: float
    wrong: str


CASES = (
    # signals: from a few samples to a second or a minute of them
    Case((16,), (3,), "float32", quick=True),
    Case((1000,), (9,), "float32", quick=True),
    Case((1000,), (9,), "float64", quick=True),
    Case((10_000,), (31,), "float32"),
    Case((100_000,), (31,), "float64"),
    Case((100_000,), (127,), "float32", quick=True),
    Case((1_000_000,), (15,), "float32"),
    Case((1_000_000,), (101,), "float32"),
    Case((1_000_000,), (101,), "float64"),
    Case((1_000_000,), (1001,), "float32"),
    Case((1_000_000,), (10_001,), "float64"),
    Case((300_000,), (200_000,), "float32", mode="full"),
    Case((100_000,), (100,), "complex64", quick=True),
    Case((100_000,), (100,), "complex128"),
    Case((100_000,), (64,), "int16", quick=True),
    Case((100_000,), (64,), "int64"),
    Case((100_000,), (127,), "float32", function="correlate", mode="valid"),
    Case((64, 16_384), (1, 257), "float32", function="oaconvolve", options={"axes": -1}),
    Case((64, 16_384), (1, 257), "float64", function="fftconvolve", options={"axes": -1}),
    # images: a thumbnail, a photograph, a film frame
    Case((64, 64), (3, 3), "float32", quick=True),
    Case((512, 512), (3, 3), "float32", quick=True),
    Case((512, 512), (5, 5), "uint8", kernel_dtype="float32", quick=True),
    Case((512, 512), (5, 5), "float64", function="convolve2d", quick=True),
    Case((512, 512), (9, 9), "complex64"),
    Case((1080, 1920), (3, 3), "float32"),
    Case((1080, 1920), (7, 7), "float32"),
    Case((1080, 1920), (7, 7), "float64"),
    Case((1080, 1920), (7, 7), "int32"),
    Case((1080, 1920), (15, 15), "float32"),
    Case((1080, 1920), (63, 63), "float32"),
    Case((1080, 1920), (5, 5), "float32", function="convolve2d", options={"boundary": "symm"}),
    Case((1080, 1920), (7, 7), "float32", function="correlate2d", options={"boundary": "wrap"}),
    # volumes
    Case((64, 64, 64), (3, 3, 3), "float32", quick=True),
    Case((128, 128, 128), (5, 5, 5), "float32"),
    Case((128, 128, 128), (15, 15, 15), "float32"),
)


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _optional(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _array(
    generator: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype
) -> np.ndarray[Any, Any]:
    if dtype.kind in "iu":  # small enough that no sum leaves int16
        return generator.integers(0 if dtype.kind == "u" else -20, 21, shape).astype(dtype)
    values = generator.standard_normal(shape)
    if dtype.kind == "c":
        return (values + 1j * generator.standard_normal(shape)).astype(dtype)
    return values.astype(dtype)


def _check(case: Case, data: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Compute the case in double precision by `numpy.fft`, apart from fastconv's code.

    The data are extended by the boundary rule, and the product of two spectra of that size is
    right wherever the whole kernel lies inside.
    """
    if case.function.startswith("correlate"):
        kernel = np.flip(kernel).conj()
    axes = tuple(range(data.ndim))
    if "axes" in case.options:
        axes = (case.options["axes"] % data.ndim,)
    reach = [kernel.shape[axis] - 1 if axis in axes else 0 for axis in range(data.ndim)]
    rule = {"fill": "constant", "wrap": "wrap", "symm": "symmetric"}
    padded = np.pad(
        data.astype(np.complex128 if data.dtype.kind == "c" else np.float64),
        [(margin, margin) for margin in reach],
        mode=rule[case.options.get("boundary", "fill")],  # type: ignore[call-overload]
    )
    lengths = [padded.shape[axis] for axis in axes]
    full: np.ndarray
    if padded.dtype.kind == "c":
        spectrum = np.fft.fftn(padded, axes=axes)
        spectrum *= np.fft.fftn(kernel.astype(np.complex128), lengths, axes)
        full = np.fft.ifftn(spectrum, axes=axes)
    else:
        spectrum = np.fft.rfftn(padded, axes=axes)
        spectrum *= np.fft.rfftn(kernel.astype(np.float64), lengths, axes)
        full = np.fft.irfftn(spectrum, lengths, axes)
    # full[margin:] is mode 'full'; 'same' and 'valid' lie inside it.
    window = []
    for length, margin in zip(data.shape, reach, strict=True):
        first = {"full": 0, "same": margin // 2, "valid": margin}[case.mode]
        count = {"full": length + margin, "same": length, "valid": length - margin}[case.mode]
        window.append(slice(margin + first, margin + first + count))
    return full[tuple(window)]


def _worst(got: np.ndarray, wanted: np.ndarray) -> float:
    """Return the largest difference, infinite where shapes differ or a value is not finite."""
    if got.shape != wanted.shape:
        return math.inf
    worst = float(np.abs(got - wanted).max(initial=0.0))
    return worst if math.isfinite(worst) else math.inf


def _seconds(call: Callable[[], Any], repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats


def _measure(case: Case, rounds: int, scipy_signal: ModuleType | None) -> Row:
    generator = np.random.default_rng(20)
    data = _array(generator, case.data, np.dtype(case.dtype))
    kernel = _array(generator, case.kernel, np.dtype(case.kernel_dtype or case.dtype))
    ours = getattr(fastconv, case.function)
    calls: dict[str, Callable[[], Any]] = {
        "fastconv": lambda: ours(data, kernel, case.mode, **case.options)
    }
    if scipy_signal is not None:
        theirs = getattr(scipy_signal, case.function)
        calls["scipy"] = lambda: theirs(data, kernel, case.mode, **case.options)
    if data.ndim == 1 and data.size * kernel.size <= NUMPY_PRODUCTS:
        plain = getattr(np, case.function)
        calls["numpy"] = lambda: plain(data, kernel, case.mode)

    results = {name: call() for name, call in calls.items()}
    got = results["fastconv"]
    exact = got.dtype.kind in "iu"
    wanted = _check(case, data, kernel)
    if exact:
        wanted, tolerance = np.rint(wanted), 0.0
    else:
        scale = float(np.abs(data).max()) * float(np.abs(kernel).max())
        tolerance = TOLERANCE * float(np.finfo(got.dtype).eps) * math.sqrt(kernel.size) * scale
    error = _worst(got, wanted)
    wrong = ""
    if not error <= tolerance:
        wrong = f"off by {error:.2g} where {tolerance:.2g} is allowed"
    elif "scipy" in results and not _worst(got, results["scipy"]) <= 2 * tolerance:
        wrong = f"differs from SciPy by {_worst(got, results['scipy']):.2g}"

    repeats = {}
    for name, call in calls.items():
        once = min(_seconds(call, 1), _seconds(call, 1))
        repeats[name] = max(1, int(BLOCK_SECONDS / max(once, 1e-7)))
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            times[name].append(_seconds(call, repeats[name]))
    seconds = {name: float(np.median(values)) for name, values in times.items()}
    speedup = {
        name: float(np.median(np.divide(values, times["fastconv"])))
        for name, values in times.items()
        if name != "fastconv"
    }
    method = fastconv.explain(ours, data, kernel, mode=case.mode, **case.options).chosen
    cost = seconds["fastconv"] * 1e9 / max(1, got.size)
    return Row(case, method, seconds, speedup, cost, error, wrong)


@contextmanager
def _progress(total: int) -> Iterator[Callable[[str], None]]:
    """Give a function that is told the name of each case as it begins; the bar is on stderr."""
    rich_progress, rich_console = _optional("rich.progress"), _optional("rich.console")
    if rich_progress is not None and rich_console is not None and sys.stderr.isatty():
        console = rich_console.Console(stderr=True)
        columns = [
            rich_progress.BarColumn(),
            rich_progress.MofNCompleteColumn(),
            rich_progress.TimeElapsedColumn(),
            rich_progress.TextColumn("{task.description}"),
        ]
        with rich_progress.Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("", total=total)
            begun = 0

            def tell(name: str) -> None:
                nonlocal begun
                bar.update(task, description=name, completed=begun)
                begun += 1

            yield tell
        return
    count = 0
    end = "\r" if sys.stderr.isatty() else "\n"

    def tell_plainly(name: str) -> None:
        nonlocal count
        count += 1
        filled = 20 * count // total
        bar = "#" * filled + "." * (20 - filled)
        sys.stderr.write(f"[{bar}] {count:>3}/{total} {name:<60}{end}")
        sys.stderr.flush()

    yield tell_plainly
    if end == "\r":
        sys.stderr.write(" " * 92 + "\r")


def _time_text(seconds: float | None) -> str:
    return "-" if seconds is None else format_seconds(seconds)


def _table(rows: list[Row]) -> str:
    head: tuple[str, ...] = ("function", "data * kernel", "dtype", "method", "time", "ns/output")
    head += ("SciPy", "speed-up", "NumPy", "speed-up", "values")
    lines = [head]
    for row in rows:
        cells = [row.case.function, row.case.name, row.case.dtypes, row.method]
        cells += [_time_text(row.seconds["fastconv"]), f"{row.nanoseconds_per_output:.3g}"]
        for peer in ("scipy", "numpy"):
            factor = row.speedup.get(peer)
            cells += [_time_text(row.seconds.get(peer)), f"x{factor:.1f}" if factor else "-"]
        cells.append(row.wrong or "right")
        lines.append(tuple(cells))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    to_left = (0, 1, 2, 3, 10)
    texts = []
    for line in lines:
        cells = [
            cell.ljust(width) if place in to_left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        texts.append("  ".join(cells).rstrip())
    texts.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(texts)


def _summary(rows: list[Row]) -> str:
    wrong = sum(bool(row.wrong) for row in rows)
    parts = [f"{len(rows) - wrong} of {len(rows)} results right"]
    for peer, title in (("scipy", "SciPy"), ("numpy", "NumPy")):
        factors = [row.speedup[peer] for row in rows if peer in row.speedup]
        if factors:
            mean = math.exp(sum(map(math.log, factors)) / len(factors))
            parts.append(
                f"x{mean:.1f} over {title} (geometric mean of {len(factors)}, "
                f"least x{min(factors):.1f})"
            )
    return "; ".join(parts)


def run(*, quick: bool = False, match: str = "", report: Path | None = None) -> int:
    """Convolve, check and time the cases, and print the table.

    Parameters
    ----------
    quick : bool
        Only the cases marked quick, in fewer rounds.
    match : str
        Only the cases whose function, name or dtype holds this text.
    report : pathlib.Path, optional
        A JSON file for the figures; times are in seconds.

    Returns
    -------
    int
        0, or 1 when a result is off.

    Raises
    ------
    ValueError
        If no case matches.
    OSError
        If `report` cannot be written.
    """
    cases = [
        case
        for case in CASES
        if (case.quick or not quick) and match in f"{case.function} {case.name} {case.dtypes}"
    ]
    if not cases:
        raise ValueError(f"no case holds {match!r}")
    if report is not None:
        report.write_text("")  # a path that cannot be written shows now, not after the work
    config = fastconv.config()
    scipy_signal = _optional("scipy.signal")
    peers = [f"NumPy {np.__version__}"]
    if scipy_signal is not None:
        peers.append(f"SciPy {importlib.import_module('scipy').__version__}")
    print(
        f"fastconv {config['version']} ({config['isa']['used']}, {fastconv.get_num_threads()} "
        f"threads) beside {' and '.join(peers)}"
    )
    rows = []
    with _progress(len(cases)) as tell:
        for case in cases:
            tell(f"{case.function} {case.name} {case.dtypes}")
            rows.append(_measure(case, QUICK_ROUNDS if quick else ROUNDS, scipy_signal))
    print(_table(rows))
    print(_summary(rows))
    if report is not None:
        figures = [vars(row) | {"case": vars(row.case)} for row in rows]
        text = json.dumps({"config": config, "rows": figures}, indent=1, default=str)
        report.write_text(text + "\n")
    return 1 if any(row.wrong for row in rows) else 0
