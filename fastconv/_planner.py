"""Reject, estimate, choose: which method solves a problem, and why not the others."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastconv import _cost
from fastconv._methods import (
    METHODS,
    Method,
    Runner,
    channels,
    direct,
    fft,
    gpu_direct,
    gpu_fft,
    gpu_separable,
    methods_on,
    reference,
    separable,
    tilefft,
    unit_roundoff,
)
from fastconv._native import _core
from fastconv._problem import Boundary, Lines, Problem, Reason, Weights

AUTO = "auto"

# Choices that are kept, the least recently used going first.
CACHE_SIZE = 1024
# So few multiply-adds take less time than the call of any method that does not form them.
_FEW_MACS = 1 << 16
# Multiply-adds of images (0.1 ms) from which transforms are taken, whose errors are larger.
_SPECTRA_MACS = 1 << 22
# Data of another dtype is converted this many bytes at a time.
_CONVERSION_BYTES = 8 << 20
# Methods that take a kernel by its lines.
_BY_LINES = (separable.NAME, gpu_separable.NAME)
# Methods whose results err by all the data.
_SPECTRAL = (fft.NAME, tilefft.NAME, gpu_fft.NAME)


@dataclass(frozen=True, slots=True)
class Candidate:
    """
    One method's standing for a problem.

    Attributes
    ----------
    name : str
        The method.
    predicted : float or None
        Seconds; None where it is rejected.
    reason : str
        Why it was chosen, what makes it slower, or why it was rejected.
    workspace : int
        Bytes beyond the arguments.
    error : float or None
        What results may err by, beside the norms of data and kernel; None where it is rejected.
    bound : str or None
        What most of the time goes to: 'arithmetic', 'cache', 'memory' or 'call'.
    roofline : float or None
        Share of the machine's limit: of the peak of multiply-adds, or of the rate of memory. None
        where it is rejected, and for what is not float or complex.
    measured : float or None
        Seconds, where ``plan(..., method='measure')`` has timed it.
    """

    name: str
    predicted: float | None
    reason: str
    workspace: int = 0
    error: float | None = None
    bound: str | None = None
    roofline: float | None = None
    measured: float | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """A problem, the method that solves it, and how every method stood."""

    problem: Problem
    method: str
    runner: Runner
    asked: str
    threads: int

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """How every method stands."""
        return _candidates(self.problem, self.method, self.asked, self.threads)

    def prepare(self, w: np.ndarray | Lines | Weights) -> Prepared:
        """Do what can be done with the kernel alone."""
        if isinstance(w, Weights):
            w = _widened_weights(w, self.problem.dtype)
            return Prepared(w, self.runner.prepare(w))
        if isinstance(w, Lines) and self.method not in _BY_LINES:
            w = w.dense()
        if not isinstance(w, Lines):
            w = native(w, self.problem.dtype)
        return Prepared(w, self.runner.prepare(w))

    def run(self, x: np.ndarray, kernel: Prepared, out: np.ndarray, threads: int) -> None:
        """Fill `out`, of any dtype, from `x`, of any dtype, and a prepared kernel."""
        problem, dtype = self.problem, self.problem.dtype
        if problem.device is not None:  # whose kernels convert as they read and write
            self.runner(x, kernel.state, out, threads)
            return
        if problem.layer:
            if x.dtype == dtype or dtype.kind == "i":
                self.runner(x, kernel.state, out, threads)
            else:
                self._run_widened(x, kernel, out, threads)
            return
        if (_is_native(x, dtype) and _is_native(out, dtype) and out.flags.aligned) or (
            self.runner.converts(x.dtype, out.dtype)
        ):
            self.runner(x, kernel.state, out, threads)
            return
        if problem.cut is not None and self.runner.converts(_order(x.dtype), problem.cut):
            cut = np.empty(out.shape, problem.cut)
            self.runner(native(x, _order(x.dtype)), kernel.state, cut, threads)
            out[...] = cut
            return
        # Objects are converted at once: their references must not be copied as bytes.
        whole = problem.traffic <= _CONVERSION_BYTES or x.dtype.hasobject
        if whole or problem.empty or not problem.axes:
            result = np.empty(out.shape, dtype)
            self.runner(native(x, dtype), kernel.state, result, threads)
            store(result, out, problem.cut is not None)
            return
        # The runners of the slabs' problems, which are all one but for the ends.
        prepared: dict[Problem, tuple[Runner, Any]] = {}
        for region in _slabs(problem):
            part, data = self._slab(x, region, threads)
            if part not in prepared:
                runner = choose(part, self.method, threads).runner
                prepared[part] = runner, runner.prepare(kernel.w)
            runner, state = prepared[part]
            result = np.empty(part.out, dtype)
            runner(data, state, result, threads)
            store(result, out[region], problem.cut is not None)

    def _run_widened(self, x: np.ndarray, kernel: Prepared, out: np.ndarray, threads: int) -> None:
        """Fill `out` of a layer from sums of more digits than it holds, some images at a time."""
        problem, images = self.problem, self.problem.out[0]
        runner, state = self.runner, kernel.state
        size = step = max(min(_CONVERSION_BYTES * images // max(problem.traffic, 1), images), 1)
        for first in range(0, images, step):
            some = slice(first, min(first + step, images))
            count = some.stop - some.start
            if count < images and (first == 0 or count != size):
                part = replace(
                    problem,
                    x=(count, *problem.x[1:]),
                    out=(count, *problem.out[1:]),
                    accuracy=None,
                )
                runner = choose(part, self.method, threads).runner
                state, size = runner.prepare(kernel.w), count
            wide = np.empty((count, *out.shape[1:]), problem.dtype)
            runner(x[some].astype(problem.dtype), state, wide, threads)
            out[some] = wide

    def _slab(
        self, x: np.ndarray, region: tuple[slice, ...], threads: int
    ) -> tuple[Problem, np.ndarray]:
        """Convert the data that a region of the outputs reads, and state the problem between."""
        window, part = self.problem.part(region)
        if part.boundary in (Boundary.ZERO, Boundary.CONSTANT):
            return part, native(x[window], part.dtype)
        extents = tuple(n + part.w[a] - 1 if a in part.axes else n for a, n in enumerate(part.out))
        extended = np.empty(extents, x.dtype)
        _core.gather(x[window], extended, part.offset, part.boundary, None, threads)
        inside = replace(part, x=extents, offset=(0,) * len(extents), boundary=Boundary.ZERO)
        return inside, native(extended, part.dtype)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A kernel of the problem's dtype, and what the method made of it."""

    w: np.ndarray | Lines | Weights
    state: Any


def native(a: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    """Return the array as this dtype, in native byte order; itself where it is."""
    return a if _is_native(a, dtype) else a.astype(dtype)


def _widened_weights(w: Weights, dtype: np.dtype[Any]) -> Weights:
    if dtype.kind == "i" or w.taps.dtype == dtype:
        return w
    bias = None if w.bias is None else w.bias.astype(dtype)
    return replace(w, taps=w.taps.astype(dtype), bias=bias)


def _order(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype in native byte order."""
    return dtype.newbyteorder("=")


def _is_native(a: np.ndarray, dtype: np.dtype[Any]) -> bool:
    # A time difference times a number is one: its operands are not converted.
    return dtype.kind == "m" or (a.dtype == dtype and a.dtype.isnative)


def store(result: np.ndarray, out: np.ndarray, cut: bool = False) -> None:
    """Convert a result to its promised dtype: floats for integers round, or are `cut`."""
    if out.dtype.kind in "biu" and result.dtype.kind == "f" and not cut:
        np.rint(result, out=result)
    if cut and out.dtype.kind == "b":  # as the byte of the number, which is what SciPy stores
        result = result.astype(np.int64).astype(np.uint8)
    if out.dtype.kind in "iu" and result.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            # By way of int64, which wraps where float64 to a narrow type would not.
            result = result.astype(np.uint64 if out.dtype == np.uint64 else np.int64)
    with np.errstate(over="ignore", under="ignore"):  # as where sums are of that dtype
        out[...] = result.astype(out.dtype)


def _slabs(problem: Problem) -> Iterator[tuple[slice, ...]]:
    """Cut the outputs along their longest axis."""
    longest = max(problem.axes, key=lambda a: problem.out[a])
    bytes_per_index = problem.traffic // problem.out[longest]
    step = max(_CONVERSION_BYTES // max(bytes_per_index, 1), 1)
    # A slab reads its halo too: it must not be the greater part.
    step = max(step, problem.w[longest])
    for first in range(0, problem.out[longest], step):
        last = min(first + step, problem.out[longest])
        yield tuple(
            slice(first, last) if a == longest else slice(0, n) for a, n in enumerate(problem.out)
        )


def choose(problem: Problem, method: str = AUTO, threads: int = 1) -> Choice:
    """
    Choose a method for a problem, or take the one that is asked for.

    Parameters
    ----------
    problem : Problem
        The problem.
    method : str
        'auto', or a method's name.
    threads : int
        The most threads that it may use.

    Returns
    -------
    Choice
        Kept for the next time.

    Raises
    ------
    ValueError
        If the method does not exist or must refuse, with its reason.
    """
    if not isinstance(method, str):
        raise ValueError(_unknown(method, problem))
    return _choose(problem, method, threads if problem.device is None else 1)


@functools.lru_cache(maxsize=CACHE_SIZE)
def _choose(problem: Problem, method: str, threads: int) -> Choice:
    found = _fastest(problem) if method == AUTO else _asked_for(problem, method)
    if found is None:
        return _choose(_widened(problem, method), method, threads)
    chosen, shared = found
    return Choice(problem, chosen.NAME, chosen.build(problem, shared), method, threads)


def _fastest(problem: Problem) -> tuple[Method, float] | None:
    """
    Return the method that takes the least time, and the seconds of it that threads share.

    Ranked by the time on one thread: methods round differently, and the bits of a result must not
    depend on the number of threads. What would leave other cores idle has a handicap; what can only
    lose is not looked at. None where no method is as accurate as it must be.
    """
    methods = methods_on(problem.device)
    few = problem.macs <= _FEW_MACS and problem.device is None
    if few and not (problem.lines or problem.accuracy):
        plain = channels if problem.layer else direct
        if plain.reject(problem) is None:
            return plain, 0.0
    best: Method | None = None
    least, shared = math.inf, 0.0
    for m in methods:
        if best is not None and m is reference:  # which is for what no other takes
            break
        if m.least(problem) >= least or _passed_over(m, problem) or _refusal(m, problem):
            continue
        estimate = m.estimate(problem)
        prediction = _cost.predict(estimate, device=problem.device)
        seconds = prediction.seconds * _cost.handicap(estimate, prediction)
        if seconds < least:
            best, least, shared = m, seconds, prediction.shared
    if best is None:
        return None if problem.accuracy else _asked_for(problem, methods[-1].NAME)
    return best, shared


def _refusal(method: Method, problem: Problem) -> Reason | None:
    """Say why a method does not take a problem, or is not as accurate as it must be."""
    reason = method.reject(problem)
    if reason is not None or problem.accuracy is None:
        return reason
    if problem.accuracy == 0:
        plain = method.PLAIN or (method.NAME in _BY_LINES and problem.lines)
        return None if plain else Reason.NOT_DIRECT
    return Reason.INACCURATE if _error(method, problem) > problem.accuracy else None


def _error(method: Method, problem: Problem) -> float:
    """Return what a method's results may err by, beside the norms of data and kernel."""
    return 0.0 if problem.exact or problem.empty else method.error(problem)


def _passed_over(method: Method, problem: Problem) -> Reason | None:
    """Say why a method is not chosen unless it is asked for, however little time it takes."""
    spectral = method.NAME in _SPECTRAL
    if problem.accuracy is None and spectral and _errs_by_windows(problem):
        return Reason.LESS_EXACT
    if method is fft and problem.dtype.kind != "c" and _refusal(tilefft, problem) is None:
        return Reason.IN_LANES
    return None


def _errs_by_windows(problem: Problem) -> bool:
    """Whether each sum is to err by its own window: smoothing by lines, and small images."""
    if problem.lines or problem.macs >= _SPECTRA_MACS:
        return bool(problem.lines)
    return sum(problem.w[a] > 1 for a in problem.axes) > 1


def _asked_for(problem: Problem, name: str) -> tuple[Method, float] | None:
    methods = methods_on(problem.device)
    # A GPU's methods go by the names of the host's, too: SciPy knows 'direct' and 'fft'.
    asked = (name, f"gpu_{name}") if problem.device is not None else (name,)
    method = next((m for m in methods if m.NAME in asked), None)
    if method is None:
        raise ValueError(_unknown(name, problem))
    if method.reject(problem) is not None and (method in (direct, gpu_direct) or problem.empty):
        # SciPy's 'direct' means the sum itself: where no kernel does it, plain NumPy does. And an
        # empty problem is nothing that a method could refuse.
        method = methods[-1]
    reason = _refusal(method, problem)
    if reason is Reason.INACCURATE:
        return None
    if reason is not None:
        raise ValueError(f"method={name!r} cannot solve this problem: {reason}")
    return method, _cost.predict(method.estimate(problem), device=problem.device).shared


def _widened(problem: Problem, method: str) -> Problem:
    """Return the problem in double precision: digits are lost only when results are stored."""
    assert problem.accuracy is not None
    dtype = problem.dtype
    if dtype.char not in "fF":
        # Where no kernel sums, plain NumPy does: see _asked_for.
        names = (reference.NAME, method) if method == direct.NAME else (method, f"gpu_{method}")
        able = [m for m in methods_on(problem.device) if method == AUTO or m.NAME in names]
        least = min(_error(m, problem) for m in able if m.reject(problem) is None)
        raise _impossible(problem.accuracy, dtype, least)
    return replace(
        problem,
        dtype=np.result_type(dtype, np.float64),
        accuracy=less_rounding(problem.accuracy, dtype),
        # What was found to be a sum of lines but for rounding need not be one but for less.
        terms=problem.terms if problem.lines else None,
    )


def less_rounding(accuracy: float, dtype: np.dtype[Any], times: float = 1) -> float:
    """
    Return what is left of a bound on errors where results are rounded to a dtype, so many times.

    Raises
    ------
    ValueError
        If nothing is left.
    """
    lost = times * unit_roundoff(dtype)
    if accuracy <= lost:
        raise _impossible(accuracy, dtype, lost)
    return accuracy - lost


def accuracy_of_sums(
    accuracy: float | None, compute: np.dtype[Any], result: np.dtype[Any]
) -> float | None:
    """Return what sums in one dtype may err by where results are stored in another."""
    if not accuracy or result.kind not in "fc" or not rounds(compute, result):
        return accuracy
    return less_rounding(accuracy, result)


def rounds(compute: np.dtype[Any], result: np.dtype[Any]) -> bool:
    """Whether floats lose digits when they are stored."""
    return unit_roundoff(result) > unit_roundoff(compute)


def _impossible(accuracy: float, dtype: np.dtype[Any], least: float) -> ValueError:
    return ValueError(
        f"accuracy={accuracy:g} is more than results of {dtype} can have here: they may err by "
        f"{least:.2g}"
    )


def _unknown(method: object, problem: Problem) -> str:
    flags = ", ".join(map(repr, (AUTO, *(m.NAME for m in methods_on(problem.device)))))
    return f"Acceptable method flags are {flags}; got method={method!r}"


def names() -> tuple[str, ...]:
    """Names of the methods."""
    return tuple(m.NAME for m in METHODS)


@functools.lru_cache(maxsize=CACHE_SIZE)
def _candidates(problem: Problem, method: str, asked: str, threads: int) -> tuple[Candidate, ...]:
    """Tell how every method stands, where `method` was taken as asked."""
    methods = methods_on(problem.device)
    standings = [_standing(m, problem, threads) for m in methods]
    fastest = _fastest(problem)
    auto = asked == AUTO or (fastest is not None and method == fastest[0].NAME)
    least = next((s.predicted for s in standings if s.name == method), None) or 0.0
    return tuple(
        _explained(s, s.name == method, auto, _passed_over(m, problem), least)
        for m, s in zip(methods, standings, strict=True)
    )


def _explained(
    standing: Candidate, chosen: bool, auto: bool, over: Reason | None, least: float
) -> Candidate:
    if standing.predicted is None:
        return standing
    why = "slower, "
    if chosen:
        why = "fastest, " if auto else "asked for, "
    elif over is not None:
        return replace(standing, reason=str(over))
    elif auto and standing.predicted < least:
        return replace(standing, reason=str(Reason.ALONE))
    return replace(standing, reason=f"{why}bound by {standing.bound}")


def _standing(method: Method, problem: Problem, threads: int) -> Candidate:
    reason = _refusal(method, problem)
    if reason is not None:
        return Candidate(method.NAME, None, str(reason))
    estimate = method.estimate(problem)
    prediction = _cost.predict(estimate, threads, problem.device)
    return Candidate(
        method.NAME,
        prediction.seconds,
        "",
        estimate.workspace,
        _error(method, problem),
        prediction.bound,
        _cost.roofline(problem, estimate, threads),
    )


def clear_cache() -> None:
    """Forget every choice, and what it was made by."""
    layouts = (fft.choose_layout, tilefft.choose_layout, gpu_fft.choose_layout)
    for kept in (_choose, _candidates, *layouts):
        kept.cache_clear()


def cached_choices() -> int:
    """Return the number of choices that are kept; at most `CACHE_SIZE`."""
    return _choose.cache_info().currsize
