"""
Measuring what work costs on this machine.

Probes of every kind are timed with every method that might win; the coefficients of the units that
their estimates count are then fitted to the logarithms of their times, so that each probe weighs
the same. What no probe tells much about stays where it was shipped, moved by as much as all others
were.
"""

from __future__ import annotations

import datetime as dt
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastconv import _cost, _layers, _planner, _store
from fastconv._methods import METHODS, measure_transforms
from fastconv._native import _core
from fastconv._plan import Lowered
from fastconv._probes import KINDS, Probe, draw
from fastconv._rates import SHIPPED
from fastconv._threads import get_num_threads, num_threads

# Seconds of all probes, and of FFTW's planner.
_PROBE_SECONDS, _PLANNER_SECONDS = 3.2, 0.8
# One probe: what its fastest method may be predicted to take, its bytes, and how often it is timed.
_MOST_SECONDS = 1.5e-3
_MOST_BYTES = 24 << 20
_ROUNDS = 4
_SAMPLE_SECONDS = 40e-6
# Methods that are predicted to take more than so many times the fastest are not timed, and those
# that take more than so many times the best teach nothing about choosing.
_MIGHT_WIN, _IN_THE_RACE = 4.0, 6.0
# Fits: steps, the largest change of a logarithm in one, errors from which a probe counts as an
# outlier, and how many probes' worth of trust the shipped coefficients have.
_STEPS, _LARGEST_STEP, _OUTLIER, _TRUST = 30, 1.0, 0.3, 1.0
# Times that a fork and join is timed, seconds in which threads fall asleep before each, and what it
# takes at the least.
_FORKS, _FORK_PAUSE_SECONDS, _LEAST_FORK_SECONDS = 60, 0.5e-3, 0.2e-6
# What is no work of a call, but what it costs those that follow.
_NOT_TIMED = ("call.gemm.spin",)


class Timing(NamedTuple):
    """What one method took for one problem, on one thread."""

    work: _cost.Work
    seconds: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """
    What `calibrate` measured.

    Attributes
    ----------
    path : Path or None
        The file that was written; None where nothing was saved.
    coefficients : dict
        Seconds of each unit of work.
    shipped : dict
        The same as it was shipped.
    timings : int
        How many were taken.
    error_before, error : float
        Typical ratio of a prediction to its timing, above or below, with the shipped coefficients
        and with the new ones: 1.2 is 20 %.
    seconds : float
        How long it took.
    """

    path: Path | None
    coefficients: dict[str, float]
    shipped: dict[str, float]
    timings: int
    error_before: float
    error: float
    seconds: float

    def __str__(self) -> str:
        """Summarise in three lines."""
        where = "not saved" if self.path is None else f"saved in {self.path}"
        return (
            f"{self.timings} timings of {len(self.coefficients)} units of work in "
            f"{self.seconds:.1f} s, {where}\n"
            f"  predictions were off by ×{self.error_before:.2f} with what is shipped for "
            f"{_core.isa_used()}\n  and are off by ×{self.error:.2f} now"
        )


def calibrate(*, progress: bool | None = None, save: bool = True, seed: int = 0) -> Calibration:
    """
    Measure what work costs on this machine, for the choice of methods here and in later processes.

    Takes under five seconds, in which nothing else should run. The result is saved in the user's
    cache directory (FASTCONV_CACHE_DIR, or the platform's own), for this CPU, number of cores and
    version, and read when the first choice is made. FFTW's wisdom is saved beside it.

    Parameters
    ----------
    progress : bool, optional
        Show a bar on stderr; by default where that is a terminal. Needs rich, and is left out
        without it.
    save : bool
        Keep the coefficients for later processes; otherwise they hold in this one.
    seed : int
        Of the problems that are timed.

    Returns
    -------
    Calibration
        What was measured; printing it tells how well it fits.

    Raises
    ------
    OSError
        If the cache directory cannot be written.

    Examples
    --------
    >>> import fastconv
    >>> measured = fastconv.calibrate()  # doctest: +SKIP
    >>> print(measured)  # doctest: +SKIP
    512 timings of 83 units of work in 4.1 s, saved in /home/ada/.cache/fastconv/costs-avx2.json
      predictions were off by ×1.41 with what is shipped for avx2
      and are off by ×1.17 now
    """
    began = time.perf_counter()
    if save:
        _store.make_directory()  # or tell that there can be none, before anything is timed
    shipped = dict(SHIPPED[_core.isa_used()])
    timings = list(_shown(_timings(np.random.default_rng(seed)), progress))
    fork = _fork_seconds() if get_num_threads() > 1 else None
    coefficients = fit(timings, shipped)
    if fork is not None:
        coefficients["call.fork"] = fork
    path = None
    measure_transforms(_PLANNER_SECONDS, save=save)
    if save:
        path = _cost.save(coefficients, dt.date.today().isoformat())
    use(coefficients)
    return Calibration(
        path,
        coefficients,
        shipped,
        len(timings),
        error(timings, shipped),
        error(timings, coefficients),
        time.perf_counter() - began,
    )


def use(coefficients: Mapping[str, float]) -> None:
    """Choose by these coefficients from now on, in this process."""
    _cost.COEFFICIENTS.origin = "calibrated in this process"
    _cost.COEFFICIENTS.update(coefficients)
    _planner.clear_cache()
    _layers.clear_cache()


# --- timing ---------------------------------------------------------------------------------------


def _timings(rng: np.random.Generator) -> Iterator[tuple[float, list[Timing]]]:
    """Time probes until the time is over; yield the share of it that is gone, and timings."""
    began = time.perf_counter()
    gone = 0.0
    number = 0
    kinds = list(KINDS)
    while gone < _PROBE_SECONDS:
        kind = kinds[number % len(kinds)]
        found = time_methods(draw(rng, [kind], _MOST_SECONDS, _MOST_BYTES))
        gone = time.perf_counter() - began
        number += 1
        yield min(gone / _PROBE_SECONDS, 1.0), found


def time_methods(probe: Probe) -> list[Timing]:
    """Time the methods that might win, in turn, on one thread."""
    call = probe.call
    problem = call.choose().problem
    out = np.empty(call.shape, call.dtype)
    works, predicted = {}, {}
    for method in METHODS:
        if method.reject(problem) is None:
            estimate = method.estimate(problem)
            work = tuple(item for item in estimate.work if item[0] not in _NOT_TIMED)
            works[method.NAME] = work
            predicted[method.NAME] = _cost.predict(estimate._replace(work=work)).seconds
    least = min(predicted.values())
    runs = {
        name: _runner(call, name, out)
        for name, seconds in predicted.items()
        if seconds < _MIGHT_WIN * least
    }
    with num_threads(1):
        seconds = {name: _timed(run, 1) for name, run in runs.items()}
        for _ in range(_ROUNDS):
            for name, run in runs.items():
                if seconds[name] < _IN_THE_RACE * min(seconds.values()):
                    repeats = math.ceil(_SAMPLE_SECONDS / seconds[name])
                    seconds[name] = min(seconds[name], _timed(run, repeats))
    best = min(seconds.values())
    return [Timing(works[n], s) for n, s in seconds.items() if s < _IN_THE_RACE * best]


def _runner(call: Lowered, method: str, out: np.ndarray) -> Callable[[], None]:
    call = replace(call, method=method)
    choice = _planner.choose(call.choose().problem, method, 1)

    def run() -> None:
        call.run(choice, call.prepare(choice), out)

    return run


def _timed(run: Callable[[], None], repeats: int) -> float:
    began = time.perf_counter()
    for _ in range(repeats):
        run()
    return (time.perf_counter() - began) / repeats


def _fork_seconds() -> float:
    """Return what a fork and join takes where the other threads sleep, beside the work."""
    data = np.zeros((2, 16), np.float32)
    copy = np.empty_like(data)
    medians = []
    for threads in (1, 2):
        times = []
        for _ in range(_FORKS):
            time.sleep(_FORK_PAUSE_SECONDS)
            began = time.perf_counter()
            _core.gather(data, copy, (0, 0), threads=threads)
            times.append(time.perf_counter() - began)
        medians.append(float(np.median(times)))
    return max(medians[1] - medians[0], _LEAST_FORK_SECONDS)


# --- fitting --------------------------------------------------------------------------------------


def fit(
    timings: Sequence[Timing], start: Mapping[str, float], trust: float = _TRUST
) -> dict[str, float]:
    """
    Return the coefficients that predict timings best.

    Gauss and Newton's method on the squares of log(predicted / measured) over the logarithms of the
    coefficients, with Huber's weights; each is held by a prior to where it started, times what all
    have in common.

    Parameters
    ----------
    timings : sequence of Timing
        On one thread.
    start : mapping
        Coefficients to start from; those of units that no timing has move as all others do.
    trust : float
        Timings' worth of weight that `start` has, for each unit.
    """
    units, counts, measured = _counted(timings)
    prior = np.log([start[unit] for unit in units])
    # What all have in common, first: how much faster or slower this machine is.
    common = float(np.median(measured - _predicted(counts, prior, units)[0]))
    prior += common
    found = prior.copy()
    for _ in range(_STEPS):
        predicted, shares = _predicted(counts, found, units)
        off = predicted - measured
        weights = 1 / np.maximum(1, np.abs(off) / _OUTLIER)
        hessian = shares.T @ (shares * weights[:, None]) + trust * np.eye(len(units))
        gradient = shares.T @ (weights * off) + trust * (found - prior)
        step = np.linalg.solve(hessian, gradient)
        found -= np.clip(step, -_LARGEST_STEP, _LARGEST_STEP)
    coefficients = {unit: seconds * math.exp(common) for unit, seconds in start.items()}
    coefficients.update({unit: start[unit] for unit in _NOT_TIMED})
    coefficients.update(zip(units, np.exp(found).tolist(), strict=True))
    return coefficients


def _counted(timings: Sequence[Timing]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return the units that occur, how often in each timing, and logarithms of its seconds."""
    units = sorted({unit for timing in timings for unit, _ in timing.work})
    number = {unit: i for i, unit in enumerate(units)}
    counts = np.zeros((len(timings), len(units)))
    for row, timing in zip(counts, timings, strict=True):
        for unit, count in timing.work:
            row[number[unit]] += count
    return units, counts, np.log([timing.seconds for timing in timings])


def _predicted(
    counts: np.ndarray, logarithms: np.ndarray, units: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Return logarithms of predictions, and the share that each unit has in each of them."""
    terms = counts * np.exp(logarithms)
    of_memory = np.array([unit.startswith("memory") for unit in units])
    of_call = np.array([unit.startswith("call") for unit in units])
    of_sums = ~(of_memory | of_call)
    # Memory is read and written while sums are formed: only the longer of both counts.
    longer = terms[:, of_memory].sum(axis=1) > terms[:, of_sums].sum(axis=1)
    terms *= of_call | np.where(longer[:, None], of_memory, of_sums)
    total = terms.sum(axis=1)
    return np.log(total), terms / total[:, None]


def error(timings: Sequence[Timing], coefficients: Mapping[str, float]) -> float:
    """Return the typical ratio of predictions to timings, above or below."""
    units, counts, measured = _counted(timings)
    predicted, _ = _predicted(counts, np.log([coefficients[unit] for unit in units]), units)
    return math.exp(float(np.sqrt(np.mean(np.square(predicted - measured)))))


# --- showing --------------------------------------------------------------------------------------


def _shown(steps: Iterator[tuple[float, list[Timing]]], progress: bool | None) -> Iterator[Timing]:
    """Pass on what the steps find, with a bar on stderr where that is wanted."""
    bar = _bar(progress)
    if bar is None:
        for _, found in steps:
            yield from found
        return
    with bar:
        task: Any = bar.add_task("calibrating", total=1.0)
        for gone, found in steps:
            bar.update(task, completed=gone)
            yield from found


def _bar(progress: bool | None) -> Any:
    """Return rich's bar on stderr, or None."""
    if progress is False or (progress is None and not sys.stderr.isatty()):
        return None
    try:
        from rich.console import Console
        from rich.progress import Progress
    except ModuleNotFoundError:
        return None
    return Progress(console=Console(stderr=True), transient=True)
