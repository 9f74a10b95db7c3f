"""Reject, estimate, choose: which method solves a problem, and why not the others."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastconv import _cost
from fastconv._methods import METHODS, Method, Runner, direct, fft, reference, separable, tilefft
from fastconv._native import _core
from fastconv._problem import Boundary, Lines, Problem, Reason, Weights

AUTO = "auto"

# Choices that are kept, the least recently used going first.
CACHE_SIZE = 1024
# Data of another dtype is converted this many bytes at a time.
_CONVERSION_BYTES = 8 << 20


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
    """

    name: str
    predicted: float | None
    reason: str
    workspace: int = 0


@dataclass(frozen=True, slots=True)
class Choice:
    """A problem, the method that solves it, and how every method stood."""

    problem: Problem
    method: str
    candidates: tuple[Candidate, ...]
    runner: Runner

    def prepare(self, w: np.ndarray | Lines | Weights) -> Prepared:
        """Do what can be done with the kernel alone."""
        if isinstance(w, Weights):
            return Prepared(w, self.runner.prepare(w))
        if isinstance(w, Lines) and self.method != separable.NAME:
            w = w.dense()
        if not isinstance(w, Lines):
            w = native(w, self.problem.dtype)
        return Prepared(w, self.runner.prepare(w))

    def run(self, x: np.ndarray, kernel: Prepared, out: np.ndarray, threads: int) -> None:
        """Fill `out`, of any dtype, from `x`, of any dtype, and a prepared kernel."""
        problem, dtype = self.problem, self.problem.dtype
        if problem.layer:
            self.runner(x, kernel.state, out, threads)
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
        raise ValueError(_unknown(method))
    return _choose(problem, method, threads)


@functools.lru_cache(maxsize=CACHE_SIZE)
def _choose(problem: Problem, method: str, threads: int) -> Choice:
    if method not in (AUTO, *names()):
        raise ValueError(_unknown(method))
    standings = [_standing(m, problem, threads) for m in METHODS]
    by_name = {s.name: s for s in standings}
    able = [m for m in METHODS if by_name[m.NAME].predicted is not None]
    fastest = _fastest(problem, able)
    name = fastest if method == AUTO else method
    if by_name[name].predicted is None and (method == direct.NAME or problem.empty):
        # SciPy's 'direct' means the sum itself: where no kernel does it, plain NumPy does. And an
        # empty problem is nothing that a method could refuse.
        name = reference.NAME
    if by_name[name].predicted is None:
        raise ValueError(f"method={method!r} cannot solve this problem: {by_name[name].reason}")
    why = "fastest" if name == fastest else "asked for"
    candidates = tuple(_explained(s, f"{why}, " if s.name == name else "") for s in standings)
    least = by_name[name].predicted or 0.0
    candidates = tuple(
        replace(c, reason=str(Reason.LESS_EXACT))
        if name == fastest and c.predicted is not None and c.predicted < least
        else c
        for c in candidates
    )
    chosen = next(m for m in METHODS if name == m.NAME)
    return Choice(problem, name, candidates, chosen.build(problem))


def _unknown(method: object) -> str:
    flags = ", ".join(map(repr, (AUTO, *names())))
    return f"Acceptable method flags are {flags}; got method={method!r}"


def _explained(standing: Candidate, why: str) -> Candidate:
    if standing.predicted is None:
        return standing
    return replace(standing, reason=f"{why or 'slower, '}bound by {standing.reason}")


def names() -> tuple[str, ...]:
    """Names of the methods."""
    return tuple(m.NAME for m in METHODS)


def _standing(method: Method, problem: Problem, threads: int) -> Candidate:
    reason = method.reject(problem)
    if reason is not None:
        return Candidate(method.NAME, None, str(reason))
    estimate = method.estimate(problem, threads)
    return Candidate(method.NAME, estimate.seconds, estimate.bound, estimate.workspace)


def _fastest(problem: Problem, able: list[Method]) -> str:
    """
    Return the one of the able methods that does the least work.

    Ranked by the time on one thread: methods round differently, and the bits of a result must not
    depend on the number of threads.
    """
    exact = [m for m in able if m not in (fft, tilefft, reference)]
    if exact and _wants_exact(problem):
        able = exact
    return min(able, key=lambda m: m.estimate(problem, 1).seconds).NAME


def _wants_exact(problem: Problem) -> bool:
    """Whether sums are to err by their own windows: smoothing by lines, and small images."""
    convolved = [a for a in problem.axes if problem.w[a] > 1]
    return bool(problem.lines) or (len(convolved) > 1 and problem.macs < _cost.SPECTRA_MACS)


def clear_cache() -> None:
    """Forget every choice."""
    _choose.cache_clear()


def cached_choices() -> int:
    """Return the number of choices that are kept; at most `CACHE_SIZE`."""
    return _choose.cache_info().currsize
