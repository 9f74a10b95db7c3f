"""A NaN or an Inf touches the outputs whose window holds it, and no other, whatever the method."""

import warnings

import numpy as np
import pytest
from oracle import (
    CONSTANT,
    REFLECT,
    WRAP,
    ZERO,
    fft_bound,
    random_array,
    signal_reference,
)

import fastconv

METHODS = ("auto", "direct", "fft", "reference")
MODES = ("full", "same", "valid")
SPECIAL = (np.nan, np.inf, -np.inf)
BOUNDARIES = {"fill": ZERO, "wrap": WRAP, "symm": REFLECT}


def quietly(func, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return func(*args, **kwargs)


def spoil(rng, array, count, values=SPECIAL):
    """A copy with `count` elements replaced."""
    array = array.copy()
    where = rng.permutation(array.size)[:count]
    array.flat[where] = [values[i % len(values)] for i in range(count)]
    return array


def assert_same_specials(actual, expected, bound):
    """The same outputs are NaN, +Inf and -Inf; all the others are within the bound.

    A complex number with a NaN or Inf in either part is not finite, and how its parts share
    that out is up to the order of the products.
    """
    if actual.dtype.kind == "c":
        np.testing.assert_array_equal(np.isfinite(actual), np.isfinite(expected))
    else:
        for test in (np.isnan, np.isposinf, np.isneginf):
            np.testing.assert_array_equal(test(actual), test(expected))
    finite = np.isfinite(expected)
    error = np.abs(actual[finite].astype(expected.dtype) - expected[finite])
    rounding = np.finfo(actual.dtype).eps * np.abs(expected[finite])
    assert (error <= bound + rounding).all()


CASES = [
    ((40,), (5,)),
    ((300,), (70,)),
    ((9, 11), (3, 4)),
    ((40, 50), (9, 12)),
    ((4, 5, 6), (2, 3, 2)),
]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", "fdgFD")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["convolve", "correlate"])
def test_in_the_data(name, mode, dtype, method, rng):
    for shape, kernel in CASES:
        b = random_array(rng, kernel, dtype)
        clean = random_array(rng, shape, dtype)
        for count in (1, 3):
            a = spoil(rng, clean, count)
            result = quietly(getattr(fastconv, name), a, b, mode, method)
            with np.errstate(invalid="ignore"):
                expected = signal_reference(name, a, b, mode)
            assert np.isfinite(expected).any() or mode == "valid"
            assert_same_specials(result, expected, fft_bound(clean, b, dtype))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", "fdFD")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["convolve", "correlate"])
def test_in_the_kernel(name, mode, dtype, method, rng):
    """Only products with real elements count: beyond the edges there is nothing to spoil."""
    for shape, kernel in CASES:
        a = random_array(rng, shape, dtype)
        clean = random_array(rng, kernel, dtype)
        b = spoil(rng, clean, 1)
        result = quietly(getattr(fastconv, name), a, b, mode, method)
        expected = signal_reference(name, a, b, mode)
        assert_same_specials(result, expected, fft_bound(a, clean, dtype))


@pytest.mark.parametrize("method", METHODS)
def test_in_both(method, rng):
    for shape, kernel in CASES:
        a = spoil(rng, random_array(rng, shape, "d"), 2)
        b = spoil(rng, random_array(rng, kernel, "d"), 1)
        result = quietly(fastconv.convolve, a, b, "full", method)
        expected = signal_reference("convolve", a, b)
        finite_a, finite_b = (np.where(np.isfinite(x), x, 0) for x in (a, b))
        assert_same_specials(result, expected, fft_bound(finite_a, finite_b, "d"))


@pytest.mark.parametrize("method", METHODS)
def test_zero_times_infinity(method):
    """A zero tap does not hide an Inf: 0 * Inf is NaN, in the window and nowhere else."""
    a = np.array([1.0, np.inf, 2.0, 3.0, 4.0, 5.0])
    result = quietly(fastconv.convolve, a, [1.0, 0.0], "full", method)
    np.testing.assert_allclose(result, [1, np.inf, np.nan, 3, 4, 5, 0], atol=1e-14)


@pytest.mark.parametrize("method", METHODS)
def test_opposite_infinities(method):
    a = np.array([1.0, np.inf, -np.inf, 3.0, 4.0])
    result = quietly(fastconv.convolve, a, [1.0, 1.0], "full", method)
    np.testing.assert_allclose(result, [1, np.inf, np.nan, -np.inf, 7, 4], atol=1e-13)


@pytest.mark.parametrize("method", METHODS)
def test_half_infinite_complex(method, rng):
    """One bad part of one complex number."""
    for value in (complex(np.nan, 1), complex(1, np.inf)):
        a = random_array(rng, 64, "D")
        a[20] = value
        b = random_array(rng, 7, "D")
        result = quietly(fastconv.convolve, a, b, "full", method)
        finite = np.ones(70, bool)
        finite[20:27] = False
        np.testing.assert_array_equal(np.isfinite(result), finite)


@pytest.mark.parametrize("method", METHODS)
def test_everything_is_nan(method):
    a = np.full((20, 30), np.nan)
    assert np.isnan(quietly(fastconv.convolve, a, np.ones((3, 3)), "full", method)).all()


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("dtype", "fdD")
@pytest.mark.parametrize("name", ["convolve2d", "correlate2d"])
def test_boundaries(name, dtype, boundary, rng):
    """Also where the window reaches the bad element through the boundary rule."""
    for shape, kernel in (((9, 11), (3, 4)), ((3, 4), (5, 9)), ((40, 50), (9, 12))):
        clean, b = random_array(rng, shape, dtype), random_array(rng, kernel, dtype)
        a = spoil(rng, clean, 1)
        for mode in ("full", "same"):
            result = quietly(getattr(fastconv, name), a, b, mode, boundary)
            rule = BOUNDARIES[boundary]
            even = name == "correlate2d"
            expected = signal_reference(name[:-2], a, b, mode, None, rule, 0, even)
            assert_same_specials(result, expected, fft_bound(clean, b, dtype, reach=9))


@pytest.mark.parametrize("fill", [np.nan, np.inf])
def test_fill_value(fill, rng):
    a, b = random_array(rng, (20, 30), "d"), random_array(rng, (3, 4), "d")
    result = quietly(fastconv.convolve2d, a, b, "full", "fill", fill)
    expected = signal_reference("convolve", a, b, "full", None, CONSTANT, fill)
    assert np.isfinite(expected).any()
    assert_same_specials(result, expected, fft_bound(a, b, "d"))


@pytest.mark.parametrize("name", ["fftconvolve", "oaconvolve"])
def test_the_fft_pair(name, rng):
    """Better than SciPy, which spoils the whole block: the window is spoilt, and no more."""
    clean, b = random_array(rng, 3_000, "d"), random_array(rng, 40, "d")
    a = spoil(rng, clean, 2)
    result = quietly(getattr(fastconv, name), a, b)
    assert_same_specials(result, signal_reference("convolve", a, b), fft_bound(clean, b, "d"))


@pytest.mark.parametrize("method", METHODS)
def test_batches(method, rng):
    """A bad row of a batch leaves the other rows alone."""
    clean, b = random_array(rng, (5, 200), "f"), random_array(rng, (1, 30), "f")
    a = clean.copy()
    a[2, 50] = np.nan
    result = quietly(fastconv.convolve, a, b, "same", method, axes=1)
    expected = signal_reference("convolve", a, b, "same", (1,))
    assert np.isfinite(result[[0, 1, 3, 4]]).all()
    assert_same_specials(result, expected, fft_bound(clean, b, "f"))


@pytest.mark.parametrize("method", METHODS)
def test_long_signal(method, rng):
    """Across the blocks of an overlap-save plan."""
    clean, b = random_array(rng, 100_000, "f"), random_array(rng, 500, "f")
    a = clean.copy()
    a[[0, 777, 50_000, 99_999]] = [np.nan, np.inf, -np.inf, np.nan]
    result = quietly(fastconv.convolve, a, b, "same", method)
    bad = np.zeros(100_000, bool)
    for index in (0, 777, 50_000, 99_999):
        bad[max(index - 249, 0) : index + 251] = True
    np.testing.assert_array_equal(~np.isfinite(result), bad)


@pytest.mark.parametrize("method", ["auto", "direct", "reference"])
def test_large_but_finite(method):
    """Values near the top of the range are no Infs (a spectrum of theirs may overflow)."""
    a = np.array([1e38, 1.0, 2.0, 1e38], np.float32)
    result = fastconv.convolve(a, np.array([1, 1], np.float32), "full", method)
    np.testing.assert_array_equal(result, np.array([1e38, 1e38, 3, 1e38, 1e38], np.float32))


def test_auto_never_warns(rng):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for shape, kernel in (((50,), (5,)), ((50_000,), (5_000,)), ((200, 200), (40, 40))):
            a = spoil(rng, random_array(rng, shape, "d"), 2)
            fastconv.convolve(a, random_array(rng, kernel, "d"))
            fastconv.correlate(a, random_array(rng, kernel, "d"))
