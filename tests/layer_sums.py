"""A layer in plain NumPy: what the tests of layers compare with, independent of the library.

    y[n, g, o, p] = sum_c sum_k w[g, o, c, k] * xtilde[n, g, c, p * stride + offset + k * dilation]

Shapes are (batch, group, channel, three axes) and (group, output, channel, three axes); ``xtilde``
is zero outside ``x``. Sums are formed in long double, those of integers in int64.
"""

from __future__ import annotations

import itertools

import numpy as np


def wide(dtype):
    """The dtype in which a reference is summed."""
    return {"f": np.longdouble, "c": np.clongdouble}.get(np.dtype(dtype).kind, np.int64)


def solve(x, w, out, offset, stride, dilation, spread=(1, 1, 1)):
    """The sums for the outputs' extents `out`, in a wide dtype."""
    wide_x, wide_w = x.astype(wide(x.dtype)), w.astype(wide(w.dtype))
    n, g, _, *_ = x.shape
    y = np.zeros((n, g, w.shape[1], *out), np.result_type(wide_x, wide_w))
    for tap in itertools.product(*map(range, w.shape[3:])):
        read, write = [], []
        for a in range(3):
            at = np.arange(out[a]) * stride[a] + offset[a] + tap[a] * dilation[a]
            there = (at >= 0) & (at % spread[a] == 0) & (at // spread[a] < x.shape[3 + a])
            read.append(at[there] // spread[a])
            write.append(np.flatnonzero(there))
        if all(map(len, read)):
            part = wide_x[:, :, :, *np.ix_(*read)]
            products = np.einsum("ngcxyz,goc->ngoxyz", part, wide_w[:, :, :, *tap])
            y[:, :, :, *np.ix_(*write)] += products
    return y


def bound(x, w, out, offset, stride, dilation, spread=(1, 1, 1), scale=4.0):
    """How far each output may be off: rounding errors of a sum grow like the root of its terms."""
    eps = np.finfo(x.dtype).eps
    terms = np.prod(w.shape[2:])
    size = solve(np.abs(x), np.abs(w), out, offset, stride, dilation, spread)
    return scale * eps * np.sqrt(terms) * size.real.astype(float) + np.finfo(x.dtype).tiny


def assert_close(actual, x, w, out, *geometry, bias=None, scale=4.0):
    """Every output lies within its bound."""
    expected = solve(x, w, out, *geometry)
    allowed = bound(x, w, out, *geometry, scale=scale)
    if bias is not None:
        added = bias.reshape(1, *w.shape[:2], 1, 1, 1)
        expected = expected + added
        allowed = allowed + scale * np.finfo(x.dtype).eps * (np.abs(added) + np.abs(expected))
    worst = np.argmax(np.abs(actual - expected) - allowed)
    at = np.unravel_index(worst, actual.shape)
    assert (np.abs(actual - expected) <= allowed).all(), (
        f"output {at} is {actual[at]}, not {expected[at]} ± {allowed[at]:.2g}"
    )
