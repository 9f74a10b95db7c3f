"""
Kernels as sums of products of lines.

A matrix of taps that is a sum of r products of a column and a row costs r·(m + n) products an
output instead of m·n. A Gaussian has r = 1, a Laplacian of Gaussian or a Gabor filter r = 2.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

# Past this a sum of products costs more than other methods do.
MOST_TERMS = 3
# The taps may be off by this many unit roundoffs in all, relative to their sum: less than what the
# direct sum promises.
_ERROR = 4.0
# Crosses are exact but for rounding where the kernel has so few terms; this is far above that.
_CROSS_ERROR = 1e-4
# How much smaller a tap may be than its neighbour to take over what that lost in rounding.
_TAKES_OVER = 8


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

    The singular value decomposition gives the best ones, and the kernel is taken for their sum only
    where ‖w − Σ u vᵀ‖₁ ≤ 4u·‖w‖₁, u being the unit roundoff of w's dtype: an output then errs by at
    most 4u·‖w‖₁·max|x| more than it would. A kernel with zeros is left alone: what it does not
    touch could become NaN.

    Parameters
    ----------
    w : ndarray
        The kernel, of a float dtype.

    Returns
    -------
    tuple of (ndarray, ndarray)
        A column and a row for each term, of w's dtype; none where there are too many.
    """
    if not np.all(w) or not np.all(np.isfinite(w)) or not _may_have_few_terms(w):
        return ()
    wide = w.astype(np.float64)
    columns, values, rows = np.linalg.svd(wide, full_matrices=False)
    allowed = _ERROR * np.finfo(w.dtype).eps / 2 * float(np.abs(wide).sum())
    rest = wide
    terms: list[tuple[np.ndarray, np.ndarray]] = []
    for term in range(min(MOST_TERMS, len(values))):
        scale = math.sqrt(values[term])
        column = (columns[:, term] * scale).astype(w.dtype)
        row = (rows[term] * scale).astype(w.dtype)
        terms.append((column, row))
        rest = rest - np.multiply.outer(columns[:, term] * values[term], rows[term])
        if float(np.abs(rest).sum()) <= allowed:
            return tuple(terms)
    return ()


def _may_have_few_terms(w: np.ndarray) -> bool:
    """
    Tell at the cost of a few passes whether a decomposition is worth its price.

    Each step subtracts the cross through the largest element, which lowers the rank by one [1]_.

    References
    ----------
    .. [1] M. Bebendorf, "Approximation of boundary element matrices", Numer. Math. 86 (2000).
    """
    rest: np.ndarray[Any, Any] = w.astype(np.float64)
    allowed = _CROSS_ERROR * float(np.abs(rest).max())
    for _ in range(MOST_TERMS):
        i, j = np.unravel_index(np.argmax(np.abs(rest)), rest.shape)
        rest = rest - np.multiply.outer(rest[:, j], rest[i] / rest[i, j])
        if float(np.abs(rest).max()) <= allowed:
            return True
    return False


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
    lost = float(line[middle]) - float(rounded[middle])
    for k in range(middle - 1, -1, -1):
        if not abs(line[k]) >= abs(line[k + 1]) / _TAKES_OVER:
            break
        rounded[k] = rounded[-1 - k] = float(line[k]) + lost / 2
        lost -= 2 * (float(rounded[k]) - float(line[k]))
    return rounded
