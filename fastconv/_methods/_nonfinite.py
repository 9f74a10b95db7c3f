"""
NaN and Inf with direct semantics, whatever the method.

A method that mixes data (an FFT spreads one NaN over its whole block, and so does a zero beyond the
edge times an infinite tap) works on finite data, with every NaN and Inf replaced by zero. What the
direct sum would have given is then known from signs alone: an output is NaN if any of its products
is, or if products of +Inf and of -Inf meet; else it is the one infinity that meets it. Which
products meet at an output is itself a correlation, of indicator arrays, with the same geometry:
finite data for the same fast method.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastconv._native import _core
from fastconv._problem import Boundary, Problem

# Solves a float64 problem for finite data: solve(problem, x, w, out).
Solve = Callable[[Problem, np.ndarray, np.ndarray, np.ndarray], None]
Indicator = Callable[[np.ndarray], np.ndarray]

# Outputs that are mended at once, along the longest axis: a few float64 arrays of them are held.
_SLAB_ELEMENTS = 1 << 18
# Arrays for which NumPy's own check takes less time than finding their order.
_FEW_ELEMENTS = 4096


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel with its NaN and Inf replaced by zero, and as it was where it had any."""

    finite: np.ndarray
    nonfinite: np.ndarray | None = None


def split(w: np.ndarray, wanted: bool = True) -> Kernel:
    """Replace the kernel's NaN and Inf by zero, where that is wanted and there are any."""
    if not wanted or w.dtype.kind not in "fc":
        return Kernel(w)
    finite = np.isfinite(w)
    if finite.all():
        return Kernel(w)
    return Kernel(np.where(finite, w, w.dtype.type(0)), w)


def all_finite(a: np.ndarray) -> bool:
    """Whether no element is NaN or Inf, whatever the order of the axes in memory."""
    if a.flags.c_contiguous:
        return _core.all_finite(a)
    if a.size < _FEW_ELEMENTS:
        return bool(np.isfinite(a).all())
    order = sorted(range(a.ndim), key=lambda i: -abs(a.strides[i]))
    forward = a[tuple(slice(None, None, -1 if step < 0 else 1) for step in a.strides)]
    in_memory = forward.transpose(order)
    if in_memory.flags.c_contiguous:
        return _core.all_finite(in_memory)
    return bool(np.isfinite(a).all())


def mend(solve: Solve, problem: Problem, x: np.ndarray, w: np.ndarray, out: np.ndarray) -> None:
    """
    Write NaN and Inf into the outputs whose windows hold products that are not finite.

    Parameters
    ----------
    solve : callable
        Solves real float64 problems of finite data.
    problem : Problem
        What `out` was computed for, from finite data.
    x, w : ndarray
        Data and kernel with their NaN and Inf.
    out : ndarray
        The result, changed in place.
    """
    for region in _regions(problem, x, w):
        window, part = replace(problem, dtype=np.dtype(np.float64)).part(region)
        target = out[region]
        complex_problem = problem.dtype.kind == "c"
        pairs: list[tuple[np.ndarray, str, str, int]] = [
            (target.real if complex_problem else target, "real", "real", 1)
        ]
        if complex_problem:
            pairs += [
                (target.real, "imag", "imag", -1),
                (target.imag, "real", "imag", 1),
                (target.imag, "imag", "real", 1),
            ]
        for output, x_part, w_part, sign in pairs:
            products = _Products(solve, part, x[window], w, x_part, w_part)
            # Adding does the rest: what is finite stays, infinities of two signs make NaN.
            with np.errstate(invalid="ignore"):
                output += np.where(products.met(_POSITIVE_INFINITY), sign * np.inf, 0.0)
                output += np.where(products.met(_NEGATIVE_INFINITY), -sign * np.inf, 0.0)
                nan = _SPARSE_NAN if problem.sparse else _NAN
                output += np.where(products.met(nan), np.nan, 0.0)


def _regions(problem: Problem, x: np.ndarray, w: np.ndarray) -> Iterator[tuple[slice, ...]]:
    """Slabs of the outputs that can meet anything that is not finite."""
    region = [slice(0, n) for n in problem.out]
    if problem.boundary is Boundary.ZERO and np.isfinite(w).all():
        bad = ~np.isfinite(x)
        for a in problem.axes:
            others = tuple(b for b in range(x.ndim) if b != a)
            found = np.flatnonzero(bad.any(axis=others))
            if not found.size:
                return
            first = int(found[0]) - problem.offset[a] - problem.w[a] + 1
            last = int(found[-1]) - problem.offset[a] + 1
            region[a] = slice(max(first, 0), min(last, problem.out[a]))
            if region[a].start >= region[a].stop:
                return
    extents = [s.stop - s.start for s in region]
    longest = max(problem.axes, key=lambda a: extents[a])
    step = max(_SLAB_ELEMENTS * extents[longest] // math.prod(extents), 1)
    for first in range(region[longest].start, region[longest].stop, step):
        last = min(first + step, region[longest].stop)
        yield tuple(slice(first, last) if a == longest else s for a, s in enumerate(region))


def _is_positive_infinity(a: np.ndarray) -> Any:
    return a == np.inf


def _is_negative_infinity(a: np.ndarray) -> Any:
    return a == -np.inf


def _is_positive(a: np.ndarray) -> Any:
    return a > 0


def _is_negative(a: np.ndarray) -> Any:
    return a < 0


def _is_zero(a: np.ndarray) -> Any:
    return a == 0


def _is_tap(a: np.ndarray) -> Any:
    return a != 0


def _is_anything(a: np.ndarray) -> np.ndarray:
    return np.ones(a.shape, dtype=bool)


# Which (data, tap) pairs have which product.
_POSITIVE_INFINITY: list[tuple[Indicator, Indicator]] = [
    (_is_positive_infinity, _is_positive),
    (_is_negative_infinity, _is_negative),
    (_is_positive, _is_positive_infinity),
    (_is_negative, _is_negative_infinity),
]
_NEGATIVE_INFINITY: list[tuple[Indicator, Indicator]] = [
    (_is_positive_infinity, _is_negative),
    (_is_negative_infinity, _is_positive),
    (_is_positive, _is_negative_infinity),
    (_is_negative, _is_positive_infinity),
]
_NAN: list[tuple[Indicator, Indicator]] = [
    (np.isnan, _is_anything),
    (_is_anything, np.isnan),
    (np.isinf, _is_zero),
    (_is_zero, np.isinf),
]
# Where a tap that is zero is no tap.
_SPARSE_NAN: list[tuple[Indicator, Indicator]] = [
    (np.isnan, _is_tap),
    (_is_anything, np.isnan),
    (_is_zero, np.isinf),
]


@dataclass(frozen=True, slots=True)
class _Products:
    """The products of one pair of real parts, over one region."""

    solve: Solve
    problem: Problem
    x: np.ndarray
    w: np.ndarray
    x_part: str
    w_part: str

    def met(self, pairs: list[tuple[Indicator, Indicator]]) -> np.ndarray:
        """Whether any such product meets, for each output."""
        x: Any = getattr(self.x, self.x_part)
        w: Any = getattr(self.w, self.w_part)
        fill = np.array(getattr(np.asarray(self.problem.fill), self.x_part))
        constant = self.problem.boundary is Boundary.CONSTANT
        found = np.zeros(self.problem.out, dtype=bool)
        for of_x, of_w in pairs:
            taps = of_w(w)
            data = of_x(x)
            beyond = constant and bool(of_x(fill))
            if not taps.any() or not (data.any() or beyond):
                continue
            count = np.empty(self.problem.out)
            self.solve(
                replace(self.problem, fill=float(beyond)),
                data.astype(np.float64),
                taps.astype(np.float64),
                count,
            )
            found |= count > 0.5
        return found
