"""Differential fuzz: random problems against SciPy, NumPy and, where they refuse, the reference.

Every chunk is one seed, named by the test's id; a failure prints the call that differs.
"""

import math
import warnings

import numpy as np
import pytest
from arrays import LAYOUTS, laid_out
from backend import able
from oracle import (
    CONSTANT,
    REFLECT,
    WRAP,
    ZERO,
    assert_within,
    fft_bound,
    random_array,
    signal_bound,
    signal_reference,
)

import fastconv
import fastconv.numpy

signal = pytest.importorskip("scipy.signal", reason="SciPy, to compare with")

CHUNK = 250
CHUNKS = {"pair": 44, "pair_2d": 24, "fft_pair": 16, "numpy_pair": 8, "axes": 8}  # 25,000 problems
MODES = ("full", "same", "valid")
METHODS = able(("auto", "auto", "direct", "direct", "fft", "reference"))
NUMERIC = able("?bBhHiIqQefdgFDG")
BOUNDARIES = {"fill": CONSTANT, "wrap": WRAP, "symm": REFLECT}
LONGEST = (None, 60, 14, 7, 4)  # sizes by the number of dimensions


def choose(rng, options):
    return options[int(rng.integers(len(options)))]


def random_shape(rng, ndim, empty):
    """Mostly small, sometimes as long as allowed, sometimes 1, rarely 0."""
    sizes = rng.integers(1, choose(rng, (3, 6, LONGEST[ndim])) + 1, ndim)
    if empty:
        sizes[rng.integers(ndim)] = 0
    return tuple(int(n) for n in sizes)


def random_operands(rng, ndim, small, empties=0.02):
    """Two arrays, in most cases of one dtype, each in a layout of its own."""
    first = choose(rng, NUMERIC)
    second = first if rng.random() < 0.7 else choose(rng, NUMERIC)
    arrays = []
    for dtype in (first, second):
        array = random_array(rng, random_shape(rng, ndim, rng.random() < empties), dtype, small)
        arrays.append(laid_out(array, choose(rng, able(LAYOUTS))))
    return arrays


def call(func, *args, **kwargs):
    """(result, None) or (None, the error), with SciPy's warnings kept quiet."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return func(*args, **kwargs), None
        except (ValueError, TypeError, IndexError) as error:
            return None, error


def refused_for_dtype(error):
    return error is not None and any(
        words in str(error) for words in ("Unsupported type", "not available for this type")
    )


def describe(name, a, b, *args, **kwargs):
    operands = ", ".join(f"{x.dtype.str}{x.shape} strides {x.strides}" for x in (a, b))
    return f"{name}({operands}, {args}, {kwargs})"


def native(array):
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def exact(dtype):
    return np.dtype(dtype).kind not in "fc"


def expect_error(func, label, args, kwargs):
    try:
        result = func(*args, **kwargs)
    except (ValueError, TypeError):
        return
    raise AssertionError(f"{label}: gave shape {result.shape} where an error is due")


def problems(kind):
    """Parametrise by the seeds of one kind's chunks."""
    return pytest.mark.parametrize("seed", range(CHUNKS[kind]))


# convolve, correlate ------------------------------------------------------------------------------


@problems("pair")
def test_pair(seed):
    rng = np.random.default_rng([1, seed])
    for _ in range(CHUNK):
        name, mode = choose(rng, ("convolve", "correlate")), choose(rng, MODES)
        method = choose(rng, METHODS)
        a, b = random_operands(rng, int(rng.integers(1, 5)), small=method == "fft")
        check_pair(name, a, b, mode, method)


def check_pair(name, a, b, mode, method):
    label = describe(name, a, b, mode, method)
    ours = getattr(fastconv, name)
    if a.size == 0 or b.size == 0:
        check_empty(ours, label, name, (a, b, mode, method))
        return
    theirs, error = call(getattr(signal, name), a, b, mode, "direct")
    if error is not None and not refused_for_dtype(error):
        expect_error(ours, label, (a, b, mode, method), {})
        return
    result = ours(a, b, mode, method)
    dtype = np.result_type(a, b)
    expected = signal_reference(name, a, b, mode)
    bound = pair_bound(name, a, b, dtype, mode, method)
    assert_within(result, expected, bound, dtype, label)
    if theirs is not None:
        assert result.dtype == theirs.dtype, label
        if exact(dtype):
            np.testing.assert_array_equal(result, theirs, err_msg=label)


def check_empty(func, label, name, args):
    """In one dimension as SciPy; in more, a ValueError or the zeros that an empty sum is.

    (There SciPy takes some such calls and stumbles over others.)
    """
    a, b, mode, _ = args
    _, error = call(getattr(signal, name), a, b, mode, "direct")
    refused = error is not None
    anything = a.ndim > 1 or refused_for_dtype(error)
    try:
        result = func(*args)
    except ValueError:
        assert refused or anything, label
        return
    assert not refused or anything, f"{label}: an error is due"
    assert_within(result, signal_reference(name, a, b, mode), 0, np.result_type(a, b), label)


def pair_bound(name, a, b, dtype, mode, method):
    if exact(dtype):
        return 0
    # float16 is computed in float32 and rounded once; assert_within allows for that rounding.
    work = np.promote_types(dtype, np.float32)
    if method in ("direct", "reference"):
        return signal_bound(name, a, b, work, mode)
    return fft_bound(a, b, work)


# convolve2d, correlate2d --------------------------------------------------------------------------


@problems("pair_2d")
def test_pair_2d(seed):
    rng = np.random.default_rng([2, seed])
    for _ in range(CHUNK):
        name, mode = choose(rng, ("convolve2d", "correlate2d")), choose(rng, MODES)
        boundary = choose(rng, tuple(BOUNDARIES))
        a, b = random_operands(rng, 2, small=rng.random() < 0.5)
        fill = choose(rng, (0, 0, 1, 3)) if boundary == "fill" else 0
        check_pair_2d(name, a, b, mode, boundary, fill)


def check_pair_2d(name, a, b, mode, boundary, fill):
    label = describe(name, a, b, mode, boundary, fill)
    ours = getattr(fastconv, name)
    if boundary != "fill" and not (a.size and b.size):
        call(ours, a, b, mode, boundary)  # SciPy divides by zero here; nothing may crash
        return
    theirs, error = call(getattr(signal, name), a, b, mode, boundary, fill)
    if error is not None and not refused_for_dtype(error):
        expect_error(ours, label, (a, b, mode, boundary, fill), {})
        return
    result = ours(a, b, mode, boundary, fill)
    dtype = np.result_type(a, b)
    if a.size == 0 or b.size == 0:
        if theirs is not None:
            bound = 0 if exact(dtype) else 2 * fft_bound(np.append(a, fill), b, dtype, 8)
            assert_within(result, theirs, bound, dtype, label)
        return
    rule = ZERO if (boundary, fill) == ("fill", 0) else BOUNDARIES[boundary]
    rest = mode, None, rule, fill, name == "correlate2d"
    expected = signal_reference(name[:-2], a, b, *rest)
    reach = max(math.ceil(m / max(n, 1)) for n, m in zip(a.shape, b.shape, strict=True))
    padded = np.append(np.ravel(a), np.full(a.size, fill, a.dtype)) if fill else a
    bound = 0 if exact(dtype) else fft_bound(padded, b, dtype_of_work(dtype), 3 * reach)
    assert_within(result, expected, bound, dtype, label)
    if theirs is not None:
        assert result.dtype == theirs.dtype, label
        if exact(dtype):
            np.testing.assert_array_equal(result, theirs, err_msg=label)


def dtype_of_work(dtype):
    return np.promote_types(dtype, np.float32)


# fftconvolve, oaconvolve --------------------------------------------------------------------------


@problems("fft_pair")
def test_fft_pair(seed):
    """The dtype and shape of SciPy's own answer, axes and broadcasting among them."""
    rng = np.random.default_rng([3, seed])
    for _ in range(CHUNK):
        name, mode = choose(rng, ("fftconvolve", "oaconvolve")), choose(rng, MODES)
        ndim = int(rng.integers(1, 5))
        a, b = random_operands(rng, ndim, small=True)
        axes = None
        if rng.random() < 0.5:
            axes = [int(i) for i in rng.permutation(ndim)[: rng.integers(1, ndim + 1)]]
            b = matching_batch(rng, a, b, axes)
        check_fft_pair(name, a, b, mode, axes)


def matching_batch(rng, a, b, axes):
    """b with a's sizes, or 1, along the axes that are not convolved."""
    shape = [
        n if axis in axes else choose(rng, (1, a.shape[axis], a.shape[axis]))
        for axis, n in enumerate(b.shape)
    ]
    return np.resize(b, shape).astype(b.dtype) if b.size else np.zeros(shape, b.dtype)


def check_fft_pair(name, a, b, mode, axes):
    label = describe(name, a, b, mode, axes=axes)
    ours = getattr(fastconv, name)
    # SciPy's FFT takes no long double of foreign byte order.
    theirs, error = call(getattr(signal, name), native(a), native(b), mode, axes)
    if error is not None:
        expect_error(ours, label, (a, b, mode, axes), {})
        return
    # SciPy transforms float32 in float32 even where the result is float64: ask it in long double.
    wide = [x.astype(np.clongdouble if x.dtype.kind == "c" else np.longdouble) for x in (a, b)]
    expected = getattr(signal, name)(*wide, mode, axes)
    if exact(theirs.dtype):  # only axes of length one, which multiply in the input's dtype
        expected = theirs
    bound = 0 if exact(theirs.dtype) else fft_bound(a, b, theirs.dtype)
    assert_within(ours(a, b, mode, axes), expected, bound, theirs.dtype, label)


# numpy's pair -------------------------------------------------------------------------------------


@problems("numpy_pair")
def test_numpy_pair(seed):
    rng = np.random.default_rng([4, seed])
    for _ in range(CHUNK):
        name, mode = choose(rng, ("convolve", "correlate")), choose(rng, (*MODES, 0, 1, 2))
        a, b = random_operands(rng, 1, small=False)
        label = describe(f"numpy.{name}", a, b, mode)
        ours = getattr(fastconv.numpy, name)
        theirs, error = call(getattr(np, name), a, b, mode)
        if error is not None:
            expect_error(ours, label, (a, b, mode), {})
            continue
        dtype = np.result_type(a, b)
        bound = 0 if exact(dtype) else 2 * fft_bound(a, b, dtype)
        assert_within(ours(a, b, mode), theirs, bound, dtype, label)


# axes= of convolve and correlate: only the reference can say --------------------------------------


@problems("axes")
def test_axes(seed):
    rng = np.random.default_rng([5, seed])
    for _ in range(CHUNK):
        name, mode = choose(rng, ("convolve", "correlate")), choose(rng, MODES)
        method = choose(rng, METHODS)
        ndim = int(rng.integers(1, 5))
        a, b = random_operands(rng, ndim, small=method == "fft", empties=0)
        axes = tuple(int(i) for i in rng.permutation(ndim)[: rng.integers(1, ndim + 1)])
        b = matching_batch(rng, a, b, axes)
        sizes = [(a.shape[i], b.shape[i]) for i in axes]
        label = describe(name, a, b, mode, method, axes=axes)
        func = getattr(fastconv, name)
        fits = all(n >= m for n, m in sizes) or all(n <= m for n, m in sizes)
        if mode == "valid" and not fits:
            lengths_of_one = any(1 in pair for pair in sizes)  # fftconvolve ignores those axes
            if not lengths_of_one:
                expect_error(func, label, (a, b, mode, method), {"axes": axes})
            continue
        dtype = np.result_type(a, b)
        expected = signal_reference(name, a, b, mode, axes)
        bound = 0 if exact(dtype) else fft_bound(a, b, dtype_of_work(dtype))
        assert_within(func(a, b, mode, method, axes=axes), expected, bound, dtype, label)


def test_the_fuzz_is_as_large_as_promised():
    assert CHUNK * sum(CHUNKS.values()) >= 20_000
