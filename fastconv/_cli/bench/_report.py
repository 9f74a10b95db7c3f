"""What is shown: the cases as they begin, the table of their figures, and the means."""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType

from fastconv._cli.bench._cases import Case
from fastconv._tables import format_seconds


@dataclass
class Row:
    """
    What one case gave.

    Attributes
    ----------
    case : Case
        What was called.
    method : str
        The one that was chosen.
    seconds : dict
        Seconds a call of each library's, fastconv's among them.
    speedup : dict
        How many times longer than fastconv's each peer's took.
    nanoseconds_per_output : float or None
        Of fastconv's.
    error : float or None
        The largest difference from the reference.
    wrong : str
        What is wrong with the values, if anything.
    left_out : dict
        Why peers that have such a function are not compared with.
    share_of_copy : float or None
        Of the rate at which copies read and write: what the arguments and the result come to.
    """

    case: Case
    method: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    speedup: dict[str, float] = field(default_factory=dict)
    nanoseconds_per_output: float | None = None
    error: float | None = None
    wrong: str = ""
    left_out: dict[str, str] = field(default_factory=dict)
    share_of_copy: float | None = None


def described(case: Case) -> str:
    """Return a case's function, arrays and dtypes, which ``--match`` looks into."""
    return f"{case.function} {case.name} {case.dtypes}"


def _optional(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


@contextmanager
def progress(total: int) -> Iterator[Callable[[str], None]]:
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


def table(rows: Sequence[Row], peers: Mapping[str, str], *, shares: bool) -> str:
    """Return the figures as a table, one line a case; with the shares of a copy's rate if told."""
    head = ["function", "data * kernel", "dtype", "method", "time", "ns/output"]
    head += ["of copy"] if shares else []
    for title in peers.values():
        head += [title, "speed-up"]
    head.append("values")
    lines = [head, *(_cells(row, peers, shares) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    to_left = (0, 1, 2, 3, len(head) - 1)
    texts = []
    for line in lines:
        cells = [
            cell.ljust(width) if place in to_left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        texts.append("  ".join(cells).rstrip())
    texts.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(texts)


def _cells(row: Row, peers: Mapping[str, str], shares: bool) -> list[str]:
    cells = [row.case.function, row.case.name, row.case.dtypes, row.method]
    cells += [
        _text(row.seconds.get("fastconv"), format_seconds),
        _text(row.nanoseconds_per_output, "{:.3g}".format),
    ]
    cells += [_text(row.share_of_copy, "{:.0%}".format)] if shares else []
    for peer in peers:
        cells += [
            _text(row.seconds.get(peer), format_seconds),
            _text(row.speedup.get(peer), "x{:.1f}".format),
        ]
    return [*cells, row.wrong or "right"]


def _text(figure: float | None, form: Callable[[float], str]) -> str:
    return "-" if figure is None else form(figure)


def left_out(rows: Sequence[Row], peers: Mapping[str, str]) -> list[str]:
    """Return a line for each peer that a case could not be compared with."""
    return [
        f"{peers[peer]} left out of {described(row.case)}: {reason}"
        for row in rows
        for peer, reason in row.left_out.items()
    ]


def means(rows: Sequence[Row], peers: Mapping[str, str]) -> dict[str, float]:
    """Return the geometric mean of the speed-ups over each peer."""
    factors = {peer: _factors(rows, peer) for peer in peers}
    return {peer: _mean(values) for peer, values in factors.items() if values}


def _factors(rows: Sequence[Row], peer: str) -> list[float]:
    return [row.speedup[peer] for row in rows if peer in row.speedup]


def _mean(factors: Sequence[float]) -> float:
    return math.exp(sum(map(math.log, factors)) / len(factors))


def summary(rows: Sequence[Row], peers: Mapping[str, str]) -> str:
    """Tell how many results are right, and the speed-ups of all cases and of each module's."""
    wrong = sum(bool(row.wrong) for row in rows)
    lines = ["; ".join([f"{len(rows) - wrong} of {len(rows)} results right", *_over(rows, peers)])]
    families = dict.fromkeys(row.case.family for row in rows)
    if len(families) > 1:
        for family in families:
            parts = _over([row for row in rows if row.case.family == family], peers)
            lines += [f"  {family}: {'; '.join(parts)}"] if parts else []
    return "\n".join(lines)


def _over(rows: Sequence[Row], peers: Mapping[str, str]) -> list[str]:
    parts = []
    for peer, title in peers.items():
        factors = _factors(rows, peer)
        if factors:
            parts.append(
                f"x{_mean(factors):.1f} over {title} (geometric mean of {len(factors)}, "
                f"least x{min(factors):.1f})"
            )
    return parts
