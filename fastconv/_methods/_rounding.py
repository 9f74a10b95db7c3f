"""
How much the transforms of a convolution err.

Every output of a convolution by transforms of N points errs by the same measure, the norms of all
the data x and of the kernel w, however small its own window is.
"""

from __future__ import annotations

import math

import numpy as np


def unit_roundoff(dtype: np.dtype) -> float:
    """Return half the distance from 1 to the next number."""
    return float(np.finfo(dtype).eps) / 2


def direct_bound(taps: int, dtype: np.dtype) -> float:
    """
    Return b = (2 + √taps)·u: sums of products are expected to err by less than b·Σ|w·x|.

    Each of the roundings errs by u at most, as likely up as down [1]_; no sum of integers errs.

    References
    ----------
    .. [1] N. J. Higham, T. Mary, "A new approach to probabilistic rounding error analysis", SIAM J.
       Sci. Comput. 41 (2019).
    """
    return (2 + math.sqrt(taps)) * unit_roundoff(dtype) if dtype.kind in "fc" else 0.0


def relative_bound(points: int, dtype: np.dtype) -> float:
    """
    Return b = 3·log2(N)·u: outputs are expected to err by less than b·‖x‖·‖w‖.

    The proven bound, six times as large, lets all roundings conspire. They do not: no data that the
    tests made up comes near this one, and on noise errors are about √N times smaller.
    """
    return 3 * math.log2(max(points, 2)) * unit_roundoff(dtype)


def proven_bound(points: int) -> float:
    """
    Return b such that outputs by transforms in float64 err by at most b·‖x‖·‖w‖, proven.

    b = (1 + u)^(3n) · (1 + √5·u)^(3n + 1) · (1 + β)^(3n) - 1 for n = log2(N) levels of butterflies
    and twiddles that err by β at most [1]_, theorem 5.1; √5·u bounds a complex product [2]_. Ours
    err by less than 3u. A stage of radix 4 or 8 does what two or three levels of radix 2 do, with
    as many additions and fewer products, and so errs by no more. Three levels more stand for the
    products around the transforms: the scale, the turn and the twiddles between the four steps,
    each of one product forth and one back.

    References
    ----------
    .. [1] C. Percival, "Rapid multiplication modulo the sum and difference of highly composite
       numbers", Math. Comp. 72 (2003).
    .. [2] R. Brent, C. Percival, P. Zimmermann, "Error bounds on complex floating-point
       multiplication", Math. Comp. 76 (2007).
    """
    u = unit_roundoff(np.dtype(np.float64))
    n = math.ceil(math.log2(max(points, 2))) + 3
    beta = 3 * u
    return math.expm1(
        3 * n * math.log1p(u)
        + (3 * n + 1) * math.log1p(math.sqrt(5) * u)
        + 3 * n * math.log1p(beta)
    )
