"""The one equation in plain NumPy: what every test compares with, independent of the library.

    y[p] = sum_k w[k] * xtilde[p + offset + k]

``xtilde`` is ``x`` extended by a boundary rule.  Floats are summed in long double, integers in
their own dtype (they wrap), bool by *and* and *or*, objects by Python's arithmetic.  Elements
outside ``x`` contribute nothing under ``ZERO``, not even beside a NaN or Inf in ``w``.
"""

from __future__ import annotations

import math

import numpy as np

ZERO, CONSTANT, REFLECT, MIRROR, NEAREST, WRAP = range(6)
BOUNDARIES = ("zero", "constant", "reflect", "mirror", "nearest", "wrap")

INTEGERS = "bBhHiIqQ"
FLOATS = "fdg"
COMPLEX = "FDG"

# Rounding errors of a sum of n terms grow like sqrt(n); each complex product has a few of its own.
C_DIRECT = 2.0
# An FFT convolution errs by about eps * log2(n) * |x|_2 * |w|_2, whatever the output.
C_FFT = 1.0


def source_index(length, positions, boundary):
    """Where an axis of `length` is read at `positions`; -1 where the fill value stands."""
    positions = np.asarray(positions)
    inside = (positions >= 0) & (positions < length)
    if length == 0 or boundary in (ZERO, CONSTANT):
        return np.where(inside, positions, -1)
    if boundary == NEAREST:
        return np.clip(positions, 0, length - 1)
    if boundary == WRAP:
        return positions % length
    if boundary == REFLECT:
        folded = positions % (2 * length)
        return np.where(folded < length, folded, 2 * length - 1 - folded)
    if boundary == MIRROR:
        period = max(2 * (length - 1), 1)
        folded = positions % period
        return np.where(folded < length, folded, period - folded)
    raise ValueError(boundary)


def extend(x, start, shape, boundary=ZERO, fill=0):
    """``xtilde[start : start + shape]`` and a mask that is True where an element of x was read."""
    x = np.asarray(x)
    values, real = x, np.ones(x.shape, bool)
    for axis, (first, count) in enumerate(zip(start, shape, strict=True)):
        index = source_index(x.shape[axis], first + np.arange(count), boundary)
        values, real = _take(values, index, axis), _take(real, index, axis)
    return np.where(real, values, np.asarray(fill, x.dtype)), real


def _take(array, index, axis):
    """`array` at `index` along an axis, with zero (False) where the index is -1."""
    if array.shape[axis] == 0:
        shape = list(array.shape)
        shape[axis] = len(index)
        return np.zeros(shape, array.dtype)
    shape = [1] * array.ndim
    shape[axis] = len(index)
    taken = np.take(array, np.maximum(index, 0), axis)
    return np.where((index >= 0).reshape(shape), taken, np.zeros((), array.dtype))


def wide(dtype):
    """The dtype in which the reference adds up."""
    dtype = np.dtype(dtype)
    return {"f": np.dtype(np.longdouble), "c": np.dtype(np.clongdouble)}.get(dtype.kind, dtype)


def correlate_reference(x, w, out_shape, offset, boundary=ZERO, fill=0, axes=None):
    """The equation, one tap at a time.

    `axes` are the convolved ones (None: all); along the others x and w broadcast.
    Returns the sum before it is rounded to the result's dtype.
    """
    x, w = np.asarray(x), np.asarray(w)
    dtype = wide(np.result_type(x, w))
    axes = tuple(range(x.ndim)) if axes is None else tuple(a % x.ndim for a in axes)
    start = [offset[a] if a in axes else 0 for a in range(x.ndim)]
    region = [out_shape[a] + w.shape[a] - 1 if a in axes else x.shape[a] for a in range(x.ndim)]
    values, real = extend(x.astype(dtype), start, [max(n, 0) for n in region], boundary, fill)
    if boundary != ZERO:
        real = np.ones_like(real)
    w = w.astype(dtype)
    y = np.zeros(out_shape, dtype)
    if y.size == 0 or w.size == 0:
        return y
    taps = [w.shape[a] if a in axes else 1 for a in range(x.ndim)]
    with np.errstate(all="ignore"):
        for k in np.ndindex(*taps):
            window = tuple(
                slice(k[a], k[a] + out_shape[a]) if a in axes else slice(None)
                for a in range(x.ndim)
            )
            tap = w[
                tuple(slice(k[a], k[a] + 1) if a in axes else slice(None) for a in range(w.ndim))
            ]
            term = np.where(real[window], tap * values[window], np.zeros((), dtype))
            y = y | term if dtype.kind == "b" else y + term
    return y


def tap_count(w_shape, axes=None):
    axes = range(len(w_shape)) if axes is None else axes
    return max(math.prod(w_shape[a] for a in axes), 1)


def epsilon(dtype):
    dtype = np.dtype(dtype)
    return float(np.finfo(dtype).eps) if dtype.kind in "fc" else 0.0


def magnitude(a):
    """|a| in float64 (long double for long double), with non-finite elements as zero."""
    a = np.asarray(a)
    work = np.longdouble if a.dtype.char in "gG" else np.float64
    size = np.abs(a.astype(np.clongdouble if a.dtype.kind == "c" else np.longdouble))
    return np.where(np.isfinite(size), size, 0).astype(work)


def direct_bound(x, w, dtype, out_shape, offset, boundary=ZERO, fill=0, axes=None):
    """Bound on the error of each output of a plain sum: c * eps * sqrt(taps) * sum |w| |x|."""
    if epsilon(dtype) == 0:
        return 0.0
    total = correlate_reference(
        magnitude(x), magnitude(w), out_shape, offset, boundary, float(magnitude(fill)), axes
    )
    return C_DIRECT * epsilon(dtype) * math.sqrt(tap_count(np.shape(w), axes)) * total


def fft_bound(x, w, dtype, reach=0):
    """Bound on the error of every output of an FFT convolution, by norms.

    `reach` is how often the boundary rule repeats the elements of x (0: never).
    """
    norms = np.linalg.norm(magnitude(x).ravel()) * np.linalg.norm(magnitude(w).ravel())
    size = max(np.size(x), 1) * (1 + reach) + np.size(w)
    return C_FFT * epsilon(dtype) * math.log2(size + 1) * (1 + reach) * float(norms)


def assert_within(actual, expected, bound, dtype=None, label=""):
    """`actual` equals `expected` within `bound`, and by bits where there is no rounding."""
    actual = np.asarray(actual)
    expected = np.asarray(expected)
    if dtype is not None:
        assert actual.dtype == dtype, f"{label}: dtype {actual.dtype}, expected {np.dtype(dtype)}"
    assert actual.shape == expected.shape, f"{label}: shape {actual.shape} != {expected.shape}"
    if actual.dtype.kind not in "fc":
        np.testing.assert_array_equal(actual, expected.astype(actual.dtype), err_msg=label)
        return
    rounding = epsilon(actual.dtype) * np.abs(expected)
    tiny = np.finfo(actual.dtype).smallest_subnormal
    error = np.abs(actual.astype(wide(actual.dtype)) - expected)
    excess = error > np.asarray(bound) + rounding + tiny
    bad = excess | np.isnan(error)
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        raise AssertionError(
            f"{label}: {int(bad.sum())} of {bad.size} outputs are off; first at {where}: "
            f"{actual[where]!r} for {expected[where]!r}, bound "
            f"{np.broadcast_to(bound, bad.shape)[where]:.3g}"
        )


# The fronts, in the reference's own words --------------------------------------------------------


def conjugate(a):
    """Of complex dtypes only: SciPy and NumPy leave objects as they are."""
    return np.conj(a) if a.dtype.kind == "c" else a


def lower(kind, in1, in2, mode="full", axes=None, even_same=False):
    """What `convolve` or `correlate` means: (x, w, out_shape, offset, axes, flip_result).

    `even_same` is correlate2d's 'same', which starts one later where the kernel is even.
    """
    x, w = np.asarray(in1), np.asarray(in2)
    axes = tuple(range(x.ndim)) if axes is None else tuple(sorted(a % x.ndim for a in axes))
    swapped = (
        mode == "valid"
        and any(w.shape[a] > x.shape[a] for a in axes)
        and all(w.shape[a] >= x.shape[a] for a in axes)
    )
    if kind == "convolve":
        if swapped:
            x, w = w, x
        w = np.flip(w, axes)
    elif swapped:
        x, w = conjugate(w), x
    else:
        w = conjugate(w)
    n, m = x.shape, w.shape
    batch = np.broadcast_shapes(
        tuple(1 if a in axes else n[a] for a in range(x.ndim)),
        tuple(1 if a in axes else m[a] for a in range(x.ndim)),
    )
    length = {
        "full": lambda a: n[a] + m[a] - 1,
        "same": lambda a: n[a],
        "valid": lambda a: n[a] - m[a] + 1,
    }[mode]
    first = {
        "full": lambda a: 1 - m[a],
        "same": lambda a: (m[a] // 2 if even_same else (m[a] - 1) // 2) + 1 - m[a],
        "valid": lambda a: 0,
    }[mode]
    out_shape = tuple(length(a) if a in axes else batch[a] for a in range(x.ndim))
    offset = tuple(first(a) if a in axes else 0 for a in range(x.ndim))
    return x, w, out_shape, offset, axes, swapped and kind == "correlate"


def signal_reference(
    kind, in1, in2, mode="full", axes=None, boundary=ZERO, fill=0, even_same=False
):
    """`convolve` or `correlate` of the signal front by the reference."""
    x, w, out_shape, offset, axes, flip = lower(kind, in1, in2, mode, axes, even_same)
    y = correlate_reference(x, w, out_shape, offset, boundary, fill, axes)
    return np.flip(y, axes) if flip else y


def signal_bound(
    kind, in1, in2, dtype, mode="full", axes=None, boundary=ZERO, fill=0, even_same=False
):
    """`direct_bound` for the signal front."""
    x, w, out_shape, offset, axes, flip = lower(kind, in1, in2, mode, axes, even_same)
    bound = direct_bound(x, w, dtype, out_shape, offset, boundary, fill, axes)
    return np.flip(bound, axes) if flip and np.ndim(bound) else bound


def random_array(rng, shape, dtype, small=False):
    """Random elements; integers over their whole range, or of one digit where `small`."""
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return np.asarray(rng.random(shape) < 0.3)
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        low, high = (max(info.min, -9), 9) if small else (info.min, info.max)
        # astype: rng.integers makes int64 of longlong, which is a type of its own to C.
        return np.asarray(rng.integers(low, high, shape, dtype, endpoint=True)).astype(dtype)
    real = np.asarray(rng.standard_normal(shape))
    if dtype.kind == "c":
        return np.asarray(real + 1j * rng.standard_normal(shape)).astype(dtype)
    if dtype.kind == "O":
        return np.frompyfunc(int, 1, 1)(np.round(9 * real)).astype(object)
    return real.astype(dtype)
