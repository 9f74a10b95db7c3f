"""
The ``bench`` command: convolve what people convolve, check every result, and time it.

fastconv and its peers take turns, round by round, so that a machine that slows down slows all of
them; a speed-up is the median of the rounds' ratios. Where the work is done, on the host or on a
GPU, decides about the cases, the peers and the clock.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

import fastconv
from fastconv import _devices
from fastconv._cli.bench import _report
from fastconv._cli.bench._cases import Case, bound
from fastconv._cli.bench._places import Place, Unavailable
from fastconv._cli.bench._report import Row

__all__ = ["Unavailable", "run"]

ROUNDS, QUICK_ROUNDS = 5, 3
BLOCK_SECONDS = 0.005  # a contender's turn in a round: long enough for the clock
PEERS_TOLERANCE = 4.0  # times what fastconv may be off by: beyond, a peer computes something else


def run(
    *,
    quick: bool = False,
    match: str = "",
    report: Path | None = None,
    device: int | None = None,
) -> int:
    """
    Convolve, check and time the cases, and print the table.

    Parameters
    ----------
    quick : bool
        Only the cases marked quick, in fewer rounds.
    match : str
        Only the cases whose function, name or dtype holds this text.
    report : pathlib.Path, optional
        A JSON file for the figures; times are in seconds.
    device : int, optional
        The number of a GPU; the host by default.

    Returns
    -------
    int
        0, or 1 when a result is off.

    Raises
    ------
    Unavailable
        If there is no such GPU, or no CuPy.
    ValueError
        If no case matches.
    OSError
        If `report` cannot be written.
    """
    place = _place(device)
    with _devices.on(device):
        cases = [
            case
            for case in place.cases
            if (case.quick or not quick) and match in _report.described(case)
        ]
        if not cases:
            raise ValueError(f"no case holds {match!r}")
        if report is not None:
            report.write_text("")  # a path that cannot be written shows now, not after the work
        print(place.title())
        for title, reason in place.absent.items():
            print(f"without {title}: {reason}")
        rows = []
        with _report.progress(len(cases)) as tell:
            for case in cases:
                tell(_report.described(case))
                rows.append(_row(case, QUICK_ROUNDS if quick else ROUNDS, place))
    print(_report.table(rows, place.peers, shares=place.bandwidth is not None))
    for line in _report.left_out(rows, place.peers):
        print(line)
    print(_report.summary(rows, place.peers))
    if report is not None:
        _write(report, rows, place)
    return 1 if any(row.wrong for row in rows) else 0


def _place(device: int | None) -> Place:
    if device is None:
        from fastconv._cli.bench._host import Host

        return Host()
    from fastconv._cli.bench._gpu import Gpu

    return Gpu(device)


def _row(case: Case, rounds: int, place: Place) -> Row:
    """Measure a case; where fastconv refuses it, that is what is wrong."""
    place.clear()
    try:
        return _measure(case, rounds, place)
    except Exception as error:
        return Row(case, wrong=_told(error))


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


def _measure(case: Case, rounds: int, place: Place) -> Row:
    host = case.arrays(np.random.default_rng(20))
    arrays = [place.put(array) for array in host]
    ours = getattr(getattr(fastconv, case.family), case.function)
    calls = {"fastconv": bound(ours, case, arrays)}
    got = place.get(calls["fastconv"]())
    wanted, tolerance = case.wanted(host, got.dtype)
    error = _worst(got, wanted)
    wrong = ""
    if not error <= tolerance:
        wrong = f"off by {error:.2g} where {tolerance:.2g} is allowed"

    left_out = {}
    for name, call in place.calls(case, arrays).items():
        try:
            theirs = place.get(call())
        except Exception as refusal:
            left_out[name] = _told(refusal)
            continue
        if theirs.size == wanted.size:  # torch's have axes of one beside
            theirs = theirs.reshape(wanted.shape)
        if name in place.trusted and not _worst(got, theirs) <= 2 * tolerance:
            wrong = wrong or f"differs from {place.peers[name]}'s by {_worst(got, theirs):.2g}"
        elif not (off := _worst(theirs, wanted)) <= PEERS_TOLERANCE * tolerance:
            left_out[name] = f"its values are off by {off:.2g}"
            continue
        calls[name] = call

    repeats = {}
    for name, call in calls.items():
        once = min(place.seconds(call, 1), place.seconds(call, 1))
        repeats[name] = max(1, int(BLOCK_SECONDS / max(once, 1e-7)))
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            times[name].append(place.seconds(call, repeats[name]))
    seconds = {name: float(np.median(values)) for name, values in times.items()}
    speedup = {
        name: float(np.median(np.divide(values, times["fastconv"])))
        for name, values in times.items()
        if name != "fastconv"
    }
    arguments, options = case.arguments(arrays)
    method = fastconv.explain(ours, *arguments, **options).chosen
    cost = seconds["fastconv"] * 1e9 / max(1, got.size)
    share = None
    if place.bandwidth is not None:
        moved = sum(array.nbytes for array in host) + got.nbytes
        share = moved / seconds["fastconv"] / place.bandwidth
    return Row(case, method, seconds, speedup, cost, error, wrong, left_out, share)


def _worst(got: np.ndarray, wanted: np.ndarray) -> float:
    """Return the largest difference, infinite where shapes differ or a value is not finite."""
    if got.shape != wanted.shape:
        return math.inf
    worst = float(np.abs(got - wanted).max(initial=0.0))
    return worst if math.isfinite(worst) else math.inf


def _write(report: Path, rows: list[Row], place: Place) -> None:
    figures: dict[str, Any] = {
        "config": fastconv.config(),
        "device": place.facts(),
        "absent": place.absent,
        "means": _report.means(rows, place.peers),
        "rows": [
            vars(row) | {"case": {"family": row.case.family} | vars(row.case)} for row in rows
        ],
    }
    report.write_text(json.dumps(figures, indent=1, default=str) + "\n")
