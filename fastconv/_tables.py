"""How methods stand for a problem, as a table: in plain text, and in HTML for notebooks."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence

from fastconv._planner import Candidate
from fastconv._problem import Problem

_HEADINGS = ("method", "", "predicted", "measured", "of limit", "workspace", "error ≤", "")
_LEFT = (0, 1, 7)  # columns of words


def text(problem: Problem, chosen: str, candidates: Sequence[Candidate]) -> str:
    """Return lines: what is computed, then each method, the chosen first and rejected ones last."""
    rows = list(_rows(chosen, candidates))
    used = [c for c in range(len(_HEADINGS)) if any(row[c] for row in rows)]
    table = [_HEADINGS, *rows]
    widths = [max(len(row[c]) for row in table) for c in range(len(_HEADINGS))]
    lines = []
    for row in table:
        cells = [row[c].ljust(widths[c]) if c in _LEFT else row[c].rjust(widths[c]) for c in used]
        lines.append("  " + "  ".join(cells).rstrip())
    return "\n".join([*_headlines(problem), *lines])


def as_html(problem: Problem, chosen: str, candidates: Sequence[Candidate]) -> str:
    """Return the same as an HTML table, the chosen method in bold."""
    headings = "".join(f"<th>{heading}</th>" for heading in _HEADINGS)
    body = []
    for row in _rows(chosen, candidates):
        bold = ("<b>", "</b>") if row[0] == chosen else ("", "")
        cells = (
            f'<td style="text-align:{"left" if c in _LEFT else "right"}">'
            f"{bold[0]}{html.escape(cell)}{bold[1]}</td>"
            for c, cell in enumerate(row)
        )
        body.append(f"<tr>{''.join(cells)}</tr>")
    head = "<br>".join(html.escape(line) for line in _headlines(problem))
    return f"<p>{head}</p><table><tr>{headings}</tr>{''.join(body)}</table>"


def _headlines(problem: Problem) -> tuple[str, str]:
    x, w, out = ("×".join(map(str, extents)) for extents in (problem.x, problem.w, problem.out))
    return (
        f"{x} ∗ {w} → {out}, {problem.dtype}, boundary {problem.boundary.name.lower()}",
        f"{problem.macs:,} multiply-adds, {problem.traffic:,} bytes of data and result",
    )


def _rows(chosen: str, candidates: Sequence[Candidate]) -> Iterator[tuple[str, ...]]:
    def rank(c: Candidate) -> tuple[bool, bool, float]:
        return c.name != chosen, c.predicted is None, c.predicted or 0.0

    for c in sorted(candidates, key=rank):
        if c.predicted is None:
            yield (c.name, "rejected", "", "", "", "", "", c.reason)
            continue
        yield (
            c.name,
            "chosen" if c.name == chosen else "slower",
            format_seconds(c.predicted),
            "" if c.measured is None else format_seconds(c.measured),
            "" if c.roofline is None else f"{c.roofline:.0%}",
            format_bytes(c.workspace) if c.workspace else "",
            f"{c.error:.1e}" if c.error else "exact",
            re.sub("^slower, ", "", c.reason),
        )


def format_seconds(seconds: float) -> str:
    """Return a duration with three digits and a unit.

    Examples
    --------
    >>> format_seconds(0.00123)
    '1.23 ms'
    """
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def format_bytes(count: float) -> str:
    """Return a number of bytes with three digits and a unit.

    Examples
    --------
    >>> format_bytes(2_500_000)
    '2.38 MiB'
    """
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:.3g} GiB"
