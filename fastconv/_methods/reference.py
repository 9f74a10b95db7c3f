"""
Plain NumPy: one multiply-add of whole arrays a tap.

The ground truth, and the road of dtypes that no kernel takes: objects, time differences, complex
long double.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastconv import _cost
from fastconv._cost import Estimate
from fastconv._methods import _reference_layers, _rounding
from fastconv._problem import Boundary, Problem, Reason, Weights

NAME = "reference"
PLAIN = True

# Outputs that are computed at once: about four arrays of them are held.
_SLAB_ELEMENTS = 1 << 18


def reject(problem: Problem) -> Reason | None:
    """Take everything that is one sum an output."""
    return Reason.PASSES if problem.by_passes and not problem.empty else None


def least(problem: Problem) -> float:
    """Return the seconds of an empty call."""
    return _cost.coefficient("call.reference")


def estimate(problem: Problem) -> Estimate:
    """One pass over the output a tap."""
    if problem.layer:
        passes = math.prod(problem.w[a] for a in problem.axes)
    else:
        passes = problem.taps * math.prod(problem.w[a] for a in problem.varying)
    work = (
        ("call.reference", 1),
        ("call.reference.tap", passes),
        (f"arithmetic.reference{'.layer' if problem.layer else ''}", problem.macs),
    )
    return Estimate(work, 4 * _SLAB_ELEMENTS * problem.dtype.itemsize, pieces=1)


def error(problem: Problem) -> float:
    """Return what a sum may err by, beside its products."""
    return _rounding.direct_bound(problem.taps, problem.dtype)


def build(problem: Problem, shared: float | None = None) -> Runner:
    """Return the callable that solves problems of this shape; its threads are not ours."""
    return Runner(problem)


@dataclass(frozen=True, slots=True)
class Runner:
    """Solves one problem, tap by tap."""

    problem: Problem

    def converts(self, x: np.dtype[Any], out: np.dtype[Any]) -> bool:
        """Takes the problem's dtype alone."""
        return False

    def prepare(self, w: np.ndarray | Weights) -> np.ndarray | Weights:
        """Nothing to prepare."""
        return w

    def __call__(
        self, x: np.ndarray, kernel: np.ndarray | Weights, out: np.ndarray, threads: int
    ) -> None:
        """Fill `out`."""
        problem = self.problem
        if isinstance(kernel, Weights):
            _reference_layers.solve(problem, x, kernel, out)
            return
        out[...] = 0
        constant = problem.boundary is Boundary.CONSTANT
        if 0 in problem.w or 0 in problem.out or (0 in problem.x and not constant):
            return
        sources = [
            _line_sources(
                problem.x[a], problem.out[a], problem.offset[a], problem.w[a], problem.boundary
            )
            if a in problem.axes
            else None
            for a in range(len(problem.x))
        ]
        for slab in _slabs(problem):
            for tap in itertools.product(*(range(problem.w[a]) for a in problem.axes)):
                if problem.sparse and not _at(problem, kernel, tap).any():
                    continue
                _add_tap(
                    problem,
                    sources,
                    slab,
                    dict(zip(problem.axes, tap, strict=True)),
                    x,
                    kernel,
                    out[slab],
                )


def _at(problem: Problem, kernel: np.ndarray, tap: tuple[int, ...]) -> np.ndarray:
    """Return what stands at one tap: one number, or one for each kernel."""
    index: list[Any] = [slice(None)] * kernel.ndim
    for a, k in zip(problem.axes, tap, strict=True):
        index[a] = k
    return np.asarray(kernel[tuple(index)])


def _slabs(problem: Problem) -> Iterator[tuple[slice, ...]]:
    """Cut the outputs along their longest axis."""
    longest = max(range(len(problem.out)), key=lambda a: problem.out[a], default=None)
    if longest is None:
        yield ()
        return
    step = max(_SLAB_ELEMENTS * problem.out[longest] // math.prod(problem.out), 1)
    for first in range(0, problem.out[longest], step):
        yield tuple(
            slice(first, min(first + step, n)) if a == longest else slice(0, n)
            for a, n in enumerate(problem.out)
        )


def _line_sources(n: int, out: int, offset: int, taps: int, boundary: Boundary) -> np.ndarray:
    """Index into the stored axis that output p reads for its first tap + k; -1 is the fill."""
    i = np.arange(offset, offset + out + taps - 1)
    if boundary in (Boundary.ZERO, Boundary.CONSTANT):
        return np.where((i >= 0) & (i < n), i, -1)
    if boundary is Boundary.NEAREST:
        return np.clip(i, 0, n - 1)
    if boundary is Boundary.WRAP:
        return i % n
    if boundary is Boundary.REFLECT:
        i = i % (2 * n)
        return np.minimum(i, 2 * n - 1 - i)
    period = max(2 * n - 2, 1)
    i = i % period
    return np.minimum(i, period - i)


def _add_tap(
    problem: Problem,
    sources: list[np.ndarray | None],
    slab: tuple[slice, ...],
    tap: dict[int, int],
    x: np.ndarray,
    w: np.ndarray,
    out: np.ndarray,
) -> None:
    """Out += w[tap] · x̃ shifted by the tap, over the outputs whose window holds real data."""
    read: list[Any] = []
    write: list[Any] = []
    outside = False
    for a, source in enumerate(sources):
        if source is None:
            read.append(np.arange(slab[a].start, slab[a].stop))
            write.append(slice(None))
            continue
        window = source[tap[a] + slab[a].start : tap[a] + slab[a].stop]
        inside = window >= 0
        outside = outside or not inside.all()
        read.append(window[inside])
        write.append(inside)
    kernel = w[
        tuple(
            slice(tap[a], tap[a] + 1) if a in tap else (slab[a] if w.shape[a] > 1 else slice(None))
            for a in range(w.ndim)
        )
    ]
    if problem.boundary is Boundary.CONSTANT and outside:
        extended = np.full(out.shape, problem.fill, dtype=x.dtype)
        extended[np.ix_(*_positions(write, out.shape))] = x[np.ix_(*read)]
        _accumulate(out, kernel * extended)
        return
    positions = np.ix_(*_positions(write, out.shape))
    part = out[positions]
    _accumulate(part, kernel * x[np.ix_(*read)])
    out[positions] = part


def _positions(write: list[Any], shape: tuple[int, ...]) -> list[np.ndarray]:
    return [np.arange(n)[chosen] for chosen, n in zip(write, shape, strict=True)]


def _accumulate(total: np.ndarray, products: np.ndarray) -> None:
    # Booleans add by "or", as np.convolve's do.
    np.add(total, products, out=total, casting="unsafe")
