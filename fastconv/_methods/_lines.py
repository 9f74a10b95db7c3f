"""
Kernels as sums of products of lines.

A matrix of taps that is a sum of r products of a column and a row costs r·(m + n) products an
output instead of m·n. A Gaussian has r = 1, a Gabor filter r = 2.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv._methods._kernels import KernelCache

# Past this a sum of products costs more than other methods do.
MOST_TERMS = 3
# The taps may be off by this many unit roundoffs in all, relative to their sum: less than what the
# direct sum promises.
_ERROR = 4.0
# Crosses are exact but for rounding where the kernel has so few terms; this is far above that.
_CROSS_ERROR = 1e-4
# Bytes of lines that are kept, and of the kernels they were found for.
_kept = KernelCache(4 << 20)
# How much smaller a tap may be than its neighbour to take over what that lost in rounding.
_TAKES_OVER = 8


def error(dtype: np.dtype[Any]) -> float:
    """Return what the products of lines may leave out of a kernel, beside its taps."""
    return _ERROR * float(np.finfo(dtype).eps) / 2


def count_terms(w: np.ndarray) -> int:
    """
    Return how many products of lines a 2-D kernel is a sum of, or 0 where more than `MOST_TERMS`.

    Parameters
    ----------
    w : ndarray
        The kernel, of a float dtype.
    """
    return len(decompose(w))


def decompose(w: np.ndarray) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """
    Split a 2-D kernel into products of lines.

    Crosses through the largest elements lower the rank by one each [1]_; where few of them leave
    next to nothing, a step of orthogonal iteration in long double makes them the best products.
    The kernel is taken for their sum only where ‖w − Σ u vᵀ‖₁ ≤ 4u·‖w‖₁, u being the unit roundoff
    of w's dtype: an output then errs by at most 4u·‖w‖₁·max|x| more than it would. A kernel with
    zeros is left alone: what it does not touch could become NaN.

    Parameters
    ----------
    w : ndarray
        The kernel, of a float dtype.

    Returns
    -------
    tuple of (ndarray, ndarray)
        A column and a row for each term, of w's dtype; none where there are too many.

    References
    ----------
    .. [1] M. Bebendorf, "Approximation of boundary element matrices", Numer. Math. 86 (2000).
    """
    w = np.ascontiguousarray(w)
    found = _kept.get("lines", w, _found)
    rows = w.shape[0]
    return tuple((line[:rows], line[rows:]) for line in found)


def _found(w: np.ndarray) -> np.ndarray:
    """Return a row for each term: its column and its row, end to end."""
    nothing = np.empty((0, sum(w.shape)), w.dtype)
    if not np.all(w) or not np.all(np.isfinite(w)):
        return nothing
    rest: np.ndarray[Any, Any] = w.astype(np.float64)
    small = _CROSS_ERROR * float(np.abs(rest).max())
    allowed = error(w.dtype) * float(np.abs(rest).sum())
    rows: list[np.ndarray] = []
    for _ in range(min(MOST_TERMS, *w.shape)):
        i, j = np.unravel_index(np.argmax(np.abs(rest)), rest.shape)
        if rest[i, j] == 0:
            break
        rows.append(rest[i] / rest[i, j])
        rest = rest - np.multiply.outer(rest[:, j], rows[-1])
        if float(np.abs(rest).max()) > small:
            continue
        left, right = _products(w, np.array(rows))
        off = w.astype(np.longdouble) - left.astype(np.longdouble) @ right.astype(np.longdouble)
        if float(np.abs(off).sum()) <= allowed:
            return np.concatenate([left.T, right], axis=1)
    return nothing


def _products(w: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """
    Return the columns and rows whose product is nearest to w, from rows that all but span its own.

    Orthonormal vectors are so but for rounding: 2 - VVᵀ inverts VVᵀ to twice the digits.
    """
    wide = w.astype(np.longdouble)
    identity = np.eye(len(rows), dtype=np.longdouble)
    right = np.linalg.qr(rows.T)[0].T.astype(np.longdouble)
    left = wide @ right.T @ (2 * identity - right @ right.T)
    scale = np.sqrt(np.sqrt((left * left).sum(axis=0)))
    left = np.linalg.qr((left / scale**2).astype(np.float64))[0].astype(np.longdouble)
    right = (2 * identity - left.T @ left) @ (left.T @ wide)
    return (left * scale).astype(w.dtype), (right / scale[:, None]).astype(w.dtype)


def rounded(line: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    """
    Round taps to the computation's dtype; symmetric ones so that their sum stays what it was.

    Taps rounded one by one would make a smoother brighten or darken the whole image by up to a unit
    roundoff. From the middle on each pair takes over what those before lost, as long as it is of
    their size.
    """
    rounded = np.array(line, dtype, order="C")
    middle = line.size // 2
    if dtype != np.float32 or line.size % 2 == 0 or not np.array_equal(line, line[::-1]):
        return rounded
    if not np.isfinite(rounded).all():
        return rounded
    lost = float(line[middle]) - float(rounded[middle])
    for k in range(middle - 1, -1, -1):
        if not abs(line[k]) >= abs(line[k + 1]) / _TAKES_OVER:
            break
        rounded[k] = rounded[-1 - k] = float(line[k]) + lost / 2
        lost -= 2 * (float(rounded[k]) - float(line[k]))
    return rounded
