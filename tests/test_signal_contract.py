"""fastconv.signal against scipy.signal: dtypes, shapes, corner cases, errors and extensions."""

import warnings
from decimal import Decimal

import numpy as np
import pytest
from arrays import LAYOUTS, NATIVE_LAYOUTS, laid_out
from oracle import assert_within, fft_bound, random_array, signal_reference

import fastconv
import fastconv.signal as fs

signal = pytest.importorskip("scipy.signal", reason="SciPy, whose contract this is")

PAIR = ("convolve", "correlate")
FFT_PAIR = ("fftconvolve", "oaconvolve")
PAIR_2D = ("convolve2d", "correlate2d")
ALL = PAIR + FFT_PAIR + PAIR_2D
MODES = ("full", "same", "valid")
METHODS = ("auto", "direct", "fft", "reference")
NUMERIC = tuple("?bBhHiIqQefdgFDG")
MODE_MESSAGE = r"(?i)acceptable mode flags are 'valid', 'same', or 'full'"


def both(name):
    return getattr(fs, name), getattr(signal, name)


def close(actual, expected, a, b, label=""):
    """Equal in type, dtype and shape, and in value within the rounding of an FFT."""
    assert type(actual) is type(expected)
    bound = 2 * fft_bound(np.asarray(a), np.asarray(b), expected.dtype, reach=8)
    assert_within(actual, expected, bound, expected.dtype, label)


def operands(rng, name, dtype, shape=(5, 6), kernel=(3, 2)):
    if "2d" not in name and rng.random() < 0.5:
        shape, kernel = shape[:1], kernel[:1]
    return random_array(rng, shape, dtype, small=True), random_array(rng, kernel, dtype, small=True)


# dtypes -------------------------------------------------------------------------------------------


def supported_by_scipy(name, dtype, ndim, method="direct"):
    if name in FFT_PAIR or method == "fft":
        return True
    return ndim == 1 or dtype not in "?e"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", NUMERIC)
@pytest.mark.parametrize("name", ALL)
def test_values_of_every_dtype(name, dtype, mode, rng):
    ours, scipys = both(name)
    for shape, kernel in (((9,), (4,)), ((5, 6), (3, 2)), ((3, 4, 5), (2, 2, 3))):
        if name in PAIR_2D and len(shape) != 2:
            continue
        a = random_array(rng, shape, dtype, small=True)
        b = random_array(rng, kernel, dtype, small=True)
        if supported_by_scipy(name, dtype, 2 if name in PAIR_2D else len(shape)):
            close(ours(a, b, mode), scipys(a, b, mode), a, b)
        else:
            kind = name[:-2] if name in PAIR_2D else name
            expected = signal_reference(kind, a, b, mode, even_same=name == "correlate2d")
            bound = fft_bound(a, b, dtype)
            assert_within(ours(a, b, mode), expected, bound, np.dtype(dtype))


@pytest.mark.parametrize("second", NUMERIC)
@pytest.mark.parametrize("first", NUMERIC)
@pytest.mark.parametrize("name", ALL)
def test_result_types(name, first, second):
    """convolve, correlate and the 2-D pair: result_type; the FFT pair: at least float32."""
    ours, scipys = both(name)
    a, b = np.ones((3, 3), first), np.ones((2, 2), second)
    result = ours(a, b).dtype
    if name in FFT_PAIR:
        assert result == scipys(a, b).dtype
    else:
        assert result == np.result_type(first, second)


@pytest.mark.parametrize("name", FFT_PAIR)
@pytest.mark.parametrize("dtype", NUMERIC)
def test_length_one_axes_multiply_in_the_input_dtype(name, dtype):
    ours, scipys = both(name)
    for a, b in (([2], [1, 2, 3]), ([100], [100, 1]), ([[1], [2]], [[3, 1, 2]])):
        a, b = np.array(a).astype(dtype), np.array(b).astype(dtype)
        for mode in ("full", "same"):
            result, expected = ours(a, b, mode), scipys(a, b, mode)
            assert result.dtype == expected.dtype
            np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("method", ["auto", "direct", "fft", "reference"])
@pytest.mark.parametrize("name", PAIR)
def test_integers_wrap_silently(name, method):
    func = getattr(fs, name)
    x = np.full(3, 100, np.int8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = func(x, x, "full", method)
    assert result.dtype == np.int8
    np.testing.assert_array_equal(result, np.array([16, 32, 48, 32, 16], np.int8))


@pytest.mark.parametrize("dtype", "bBhHiIqQ")
@pytest.mark.parametrize("name", PAIR)
def test_full_range_integers_are_exact(name, dtype, rng):
    """Whatever 'auto' takes: sums past 2**53 are exact modulo the width."""
    func = getattr(fs, name)
    for shape, kernel in (((400,), (60,)), ((30, 31), (7, 5))):
        a, b = random_array(rng, shape, dtype), random_array(rng, kernel, dtype)
        expected = signal_reference(name, a, b)
        np.testing.assert_array_equal(func(a, b), expected)
        np.testing.assert_array_equal(func(a, b, method="direct"), expected)


@pytest.mark.parametrize("name", PAIR)
def test_bool(name, rng):
    func = getattr(fs, name)
    for shape, kernel in (((9,), (4,)), ((5, 6), (3, 2))):
        a, b = rng.random(shape) < 0.2, rng.random(kernel) < 0.4
        for method in METHODS:
            result = func(a, b, method=method)
            assert result.dtype == bool
            np.testing.assert_array_equal(result, signal_reference(name, a, b))


# Modes: swaps, centres, order ---------------------------------------------------------------------


@pytest.mark.parametrize("dtype", "qdD")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", PAIR + FFT_PAIR)
def test_swapped_and_mixed_sizes(name, mode, dtype, rng):
    ours, scipys = both(name)
    shapes = [(1,), (2,), (3,), (4,), (7,), (2, 5), (3, 3), (5, 2), (6, 6), (1, 4), (4, 1)]
    for n in shapes:
        for m in (s for s in shapes if len(s) == len(n)):
            a = random_array(rng, n, dtype, small=True)
            b = random_array(rng, m, dtype, small=True)
            try:
                expected = scipys(a, b, mode)
            except ValueError:
                with pytest.raises(ValueError, match="one must be at least as large"):
                    ours(a, b, mode)
            else:
                close(ours(a, b, mode), expected, a, b, f"{n} {m}")


@pytest.mark.parametrize("method", METHODS)
def test_valid_swap_of_correlate_reverses_and_conjugates(method):
    a, b = np.array([1j, 2]), np.array([1, 2j, 3, 4])
    expected = signal.correlate(b, a, "valid", "direct")[::-1].conj()
    result = fs.correlate(a, b, "valid", method)
    assert_within(result, expected, fft_bound(a, b, "D"), np.complex128)
    np.testing.assert_array_equal(expected, [8 + 3j, 8, -3j])


def test_valid_swap_of_convolve_ignores_the_order():
    a, b = np.array([1, 2]), np.array([1, 2, 3, 4])
    np.testing.assert_array_equal(fs.convolve(a, b, "valid"), fs.convolve(b, a, "valid"))


@pytest.mark.parametrize("boundary", ["fill", "wrap", "symm"])
def test_swapped_complex_correlate2d_follows_correlate(boundary, rng):
    """SciPy's own answer is the conjugate of this: a bug that is not taken over."""
    a = random_array(rng, (2, 3), "D")
    b = random_array(rng, (4, 5), "D")
    result = fs.correlate2d(a, b, "valid", boundary)
    expected = signal.correlate(a, b, "valid", "direct")
    assert_within(result, expected, 2 * fft_bound(a, b, "D"), np.complex128)


def test_correlate2d_same_is_one_off_for_even_kernels(rng):
    a, b = random_array(rng, (5, 6), "q", True), random_array(rng, (2, 4), "q", True)
    full = fs.correlate(a, b, "full")
    np.testing.assert_array_equal(fs.correlate2d(a, b, "same"), full[1:6, 2:8])
    np.testing.assert_array_equal(fs.correlate(a, b, "same"), full[0:5, 1:7])
    np.testing.assert_array_equal(fs.correlate2d(a, b, "same"), signal.correlate2d(a, b, "same"))


@pytest.mark.parametrize("name", PAIR + PAIR_2D)
def test_valid_of_mixed_sizes_is_refused(name):
    message = "For 'valid' mode, one must be at least as large as the other in every dimension"
    with pytest.raises(ValueError, match=message):
        getattr(fs, name)(np.ones((2, 5)), np.ones((3, 3)), "valid")


@pytest.mark.parametrize("name", FFT_PAIR)
def test_valid_checks_only_the_axes(name, rng):
    ours, scipys = both(name)
    a, b = random_array(rng, (3, 2), "d"), random_array(rng, (3, 4), "d")
    close(ours(a, b, "valid", axes=1), scipys(a, b, "valid", axes=1), a, b)
    with pytest.raises(ValueError, match="one must be at least as large"):
        ours(np.ones((2, 5)), np.ones((3, 3)), "valid", axes=[0, 1])
    one = random_array(rng, (1, 9), "d")  # the axis of length one is not convolved
    wide = random_array(rng, (4, 2), "d")
    close(ours(one, wide, "valid", axes=[0, 1]), scipys(one, wide, "valid", axes=[0, 1]), one, wide)


@pytest.mark.parametrize("mode", ["bogus", "Full", "", None, 0, 1, 2, 1.5])
@pytest.mark.parametrize("name", ALL)
def test_bad_modes(name, mode):
    with pytest.raises(ValueError, match=r"(?i)mode"):
        getattr(fs, name)(np.ones((3, 3)), np.ones((2, 2)), mode)
    if isinstance(mode, str):
        with pytest.raises(ValueError, match=MODE_MESSAGE):
            getattr(fs, name)(np.ones((3, 3)), np.ones((2, 2)), mode)


@pytest.mark.parametrize("name", ALL)
def test_unhashable_modes(name):
    with pytest.raises((TypeError, ValueError)):
        getattr(fs, name)(np.ones((3, 3)), np.ones((2, 2)), [])


@pytest.mark.parametrize("method", ["bogus", "DIRECT", "", None, 1])
@pytest.mark.parametrize("name", PAIR)
def test_unknown_methods(name, method):
    with pytest.raises(ValueError, match=r"(?i)method"):
        getattr(fs, name)([1.0, 2.0], [3.0], "full", method)


# Scalars, empties, dimensions ---------------------------------------------------------------------


@pytest.mark.cpu_only("two numbers give NumPy's scalar, on a GPU an array")
@pytest.mark.parametrize("name", PAIR + FFT_PAIR)
def test_scalars(name):
    ours, scipys = both(name)
    for a, b in ((2, 3j), (2.5, 4), (np.array(2j), np.array(3j)), (np.int8(100), np.int8(3))):
        with np.errstate(over="ignore"):
            result, expected = ours(a, b), scipys(a, b)
        assert type(result) is type(expected)
        assert result == expected


@pytest.mark.parametrize("name", PAIR + FFT_PAIR)
def test_dimensions_must_agree(name):
    for a, b in ((2, [1, 2]), ([1, 2], [[1]]), (np.ones((2, 2)), np.ones((2, 2, 2)))):
        with pytest.raises(ValueError, match="same dimensionality"):
            getattr(fs, name)(a, b)


@pytest.mark.parametrize("name", PAIR_2D)
def test_two_dimensions_are_required(name):
    for a, b in (([1, 2], [1]), (1, 2), (np.ones((2, 2, 2)),) * 2, (np.ones((2, 2)), [1])):
        with pytest.raises(ValueError, match="inputs must both be 2-D arrays"):
            getattr(fs, name)(a, b)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", FFT_PAIR)
def test_empty_fft(name, mode):
    ours, _ = both(name)
    shapes = [((0,), (2,)), ((2,), (0,)), ((0,), (0,)), ((0, 2), (2, 2)), ((2, 2), (0, 3))]
    for n, m in shapes:
        result = ours(np.ones(n, np.float32), np.ones(m, np.float32), mode)
        assert result.shape == (0,)
        assert result.dtype == np.float64


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("mode", ["full", "valid"])
@pytest.mark.parametrize("name", PAIR)
def test_empty_1d(name, mode, method):
    for a, b in (([], [1.0, 2.0]), ([1.0, 2.0], []), ([], [])):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(ValueError, match="empty"):
                getattr(fs, name)(a, b, mode, method)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", PAIR_2D)
def test_empty_2d(name, mode):
    ours, scipys = both(name)
    for empty in ((0, 2), (2, 0), (0, 0)):
        for n, m in ((empty, (2, 2)), ((2, 2), empty)):
            result, expected = (
                ours(np.ones(n), np.ones(m), mode),
                scipys(np.ones(n), np.ones(m), mode),
            )
            assert result.dtype == expected.dtype
            np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("name", ALL)
def test_ragged_nests_are_refused(name):
    with pytest.raises(ValueError, match="inhomogeneous"):
        getattr(fs, name)([[1], [1, 2]], [[1]])


@pytest.mark.parametrize("name", PAIR)
def test_results_past_the_address_space(name):
    huge = np.broadcast_to(np.float64(1), (2**20, 2**20, 2**19))
    with pytest.raises((ValueError, MemoryError)):
        getattr(fs, name)(huge, huge)


# Objects and what is no number --------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", PAIR)
def test_decimals(name, mode):
    ours, scipys = both(name)
    a, b = [Decimal("0.1"), Decimal(2), Decimal(5)], [Decimal("0.3"), Decimal(1)]
    result, expected = ours(a, b, mode), scipys(a, b, mode, method="direct")
    assert result.dtype == object
    assert list(result) == list(expected)
    assert all(type(value) is Decimal for value in result)


@pytest.mark.parametrize("name", PAIR)
def test_big_python_integers(name):
    a, b = np.array([10**30, -7, 3], object), np.array([10**25, 2], object)
    result = getattr(fs, name)(a, b)
    assert list(result) == list(getattr(signal, name)(a, b, method="direct"))


@pytest.mark.parametrize("name", PAIR)
def test_complex_objects_are_not_conjugated(name):
    """As in SciPy and NumPy: conjugation is for complex dtypes."""
    a, b = np.array([1j, 2, 3 + 1j], object), np.array([1 - 2j, 1j], object)
    result, expected = getattr(fs, name)(a, b), getattr(signal, name)(a, b, method="direct")
    assert list(result) == list(expected)


@pytest.mark.parametrize("name", FFT_PAIR)
def test_objects_become_floats(name):
    ours, scipys = both(name)
    for a, b in (([1, 2], [3, 4]), ([Decimal(1), Decimal(2)], [Decimal(3), Decimal(4)])):
        a, b = np.array(a, object), np.array(b, object)
        result, expected = ours(a, b), scipys(a, b)
        assert result.dtype == expected.dtype == np.float64
        np.testing.assert_allclose(result, expected, rtol=1e-14)


@pytest.mark.parametrize("name", PAIR + PAIR_2D)
def test_what_is_no_number_is_refused(name):
    shape = (2, 2)
    for a in (np.full(shape, "a"), np.zeros(shape, "M8[s]"), np.zeros(shape, "i4,i4")):
        with pytest.raises((TypeError, ValueError)):
            getattr(fs, name)(a, a)


# Non-finite values --------------------------------------------------------------------------------


@pytest.mark.cpu_only("nobody is warned on a GPU: who looks waits")
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", PAIR)
def test_forced_fft_warns_as_scipy_does(name, value):
    a = np.array([value, 1, 2, 3.0])
    with pytest.warns(RuntimeWarning, match="Use of fft convolution on input with NAN or inf"):
        getattr(fs, name)(a, [1.0, 2.0], method="fft")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for method in ("auto", "direct"):
            getattr(fs, name)(a, [1.0, 2.0], method=method)
        getattr(fs, name)([1.0, 2, 3], [1.0, 2.0], method="fft")


# Boundaries ---------------------------------------------------------------------------------------

ALIASES = {
    "fill": ["pad"],
    "wrap": ["circular"],
    "symm": ["symmetric"],
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("boundary", ALIASES)
@pytest.mark.parametrize("name", PAIR_2D)
def test_boundaries(name, boundary, mode, rng):
    ours, scipys = both(name)
    for n, m in (((4, 5), (3, 3)), ((3, 4), (2, 4)), ((2, 1), (7, 9)), ((1, 1), (4, 5))):
        for dtype in "Bqfd":
            a, b = random_array(rng, n, dtype, True), random_array(rng, m, dtype, True)
            expected = scipys(a, b, mode, boundary)
            close(ours(a, b, mode, boundary), expected, a, b, f"{n} {m} {dtype}")
            for alias in ALIASES[boundary]:
                np.testing.assert_array_equal(ours(a, b, mode, alias), ours(a, b, mode, boundary))


@pytest.mark.parametrize("boundary", ["reflect", "bogus", "", None, 0, 2])
@pytest.mark.parametrize("name", PAIR_2D)
def test_bad_boundaries(name, boundary):
    with pytest.raises(ValueError, match=r"(?i)boundary"):
        getattr(fs, name)(np.ones((3, 3)), np.ones((2, 2)), "full", boundary)


@pytest.mark.parametrize("fill", [0, 3, -1.5, [2], [[1.5]], np.float32(0.5), np.array(4)])
@pytest.mark.parametrize("name", PAIR_2D)
def test_fill_values(name, fill, rng):
    ours, scipys = both(name)
    a, b = random_array(rng, (4, 5), "d"), random_array(rng, (3, 2), "d")
    for mode in MODES:
        expected = scipys(a, b, mode, "fill", fill)
        close(ours(a, b, mode, "fill", fill), expected, np.append(a, fill), b)


@pytest.mark.parametrize("name", PAIR_2D)
def test_fill_values_are_cast(name):
    ours, scipys = both(name)
    a, b = np.ones((3, 3), np.uint8), np.ones((2, 2), np.uint8)
    np.testing.assert_array_equal(ours(a, b, fillvalue=1.7), scipys(a, b, fillvalue=1.7))
    a, b = np.ones((3, 3), np.int32), np.ones((2, 2), np.int32)
    np.testing.assert_array_equal(ours(a, b, fillvalue=-2.9), scipys(a, b, fillvalue=-2.9))
    a = a.astype(np.complex64)
    np.testing.assert_array_equal(ours(a, b, fillvalue=1j), scipys(a, b, fillvalue=1j))


@pytest.mark.parametrize("name", PAIR_2D)
def test_bad_fill_values(name):
    func, image, kernel = getattr(fs, name), np.ones((3, 3)), np.ones((2, 2))
    with pytest.raises(ValueError, match="`fillvalue` must be scalar or an array with"):
        func(image, kernel, fillvalue=[1, 2])
    with pytest.raises(ValueError, match="`fillvalue`"):
        func(image, kernel, fillvalue=[])
    with pytest.raises((TypeError, ValueError)):
        func(image, kernel, fillvalue=object())
    with pytest.raises((TypeError, ValueError)):
        func(image, kernel, fillvalue="a")


# axes= of the FFT pair ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ([], "when provided, axes cannot be empty"),
        (0.5, "axes must be a scalar or iterable of integers"),
        ("a", "axes must be a scalar or iterable of integers"),
        ([[0]], "axes must be a scalar or iterable of integers"),
        ([0, 0], "all axes must be unique"),
        ([0, -1], "all axes must be unique"),
        (3, "axes exceeds dimensionality of input"),
        (-2, "axes exceeds dimensionality of input"),
    ],
)
@pytest.mark.parametrize("name", PAIR + FFT_PAIR)
def test_bad_axes(name, axes, message):
    with pytest.raises(ValueError, match=message):
        getattr(fs, name)(np.arange(5.0), np.arange(3.0), axes=axes)


@pytest.mark.parametrize("name", PAIR + FFT_PAIR)
def test_incompatible_shapes(name):
    message = r"incompatible shapes for in1 and in2: \(3, 4\) and \(2, 4\)"
    with pytest.raises(ValueError, match=message):
        getattr(fs, name)(np.ones((3, 4)), np.ones((2, 4)), axes=1)
    with pytest.raises(ValueError, match=message):
        getattr(fs, name)(np.ones((3, 4)), np.ones((2, 4)), "same", axes=[-1])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", FFT_PAIR)
def test_fft_axes(name, mode, rng):
    ours, scipys = both(name)
    cases = [
        ((3, 8), (3, 4), 1),
        ((3, 8), (1, 4), [1]),
        ((1, 8), (3, 4), -1),
        ((8, 3), (4, 3), (0,)),
        ((5, 6, 2), (3, 2, 2), (0, 1)),
        ((5, 6, 2), (3, 2, 1), (1, 0)),
        ((4, 1, 6), (1, 3, 2), 2),
        ((4, 300), (4, 9), 1),
        ((1, 9), (1, 4), None),
        ((6, 1), (1, 4), None),
    ]
    for n, m, axes in cases:
        for dtype in "qfdD":
            a, b = random_array(rng, n, dtype, True), random_array(rng, m, dtype, True)
            expected = scipys(a, b, mode, axes)
            close(ours(a, b, mode, axes), expected, a, b, f"{n} {m} {axes} {dtype}")


# axes= and out= of convolve and correlate: extensions ---------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", PAIR)
def test_axes(name, mode, method, rng):
    func = getattr(fs, name)
    cases = [
        ((3, 8), (3, 4), 1),
        ((3, 8), (1, 4), [-1]),
        ((8, 3), (4, 1), 0),
        ((9, 7, 3), (3, 2, 1), (0, 1)),
        ((9, 7, 3), (3, 2, 3), (1, 0)),
        ((2, 9, 7), (1, 3, 9), (-1,)),
        ((4, 5), (2, 3), (0, 1)),
    ]
    for n, m, axes in cases:
        if m[1] > n[1] or (axes == (-1,) and m[1] == 3):
            m = (1, 1, 9)
        for dtype in "qfD":
            a, b = random_array(rng, n, dtype, True), random_array(rng, m, dtype, True)
            where = axes if isinstance(axes, tuple | list) else (axes,)
            expected = signal_reference(name, a, b, mode, where)
            result = func(a, b, mode, method, axes=axes)
            bound = fft_bound(a, b, dtype)
            assert_within(result, expected, bound, np.dtype(dtype), f"{n} {m} {axes} {dtype}")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", "?bQefgFD")
@pytest.mark.parametrize("name", PAIR)
def test_out(name, dtype, method, rng):
    func = getattr(fs, name)
    for shape, kernel in (((20,), (3,)), ((9, 12), (3, 4))):
        a, b = random_array(rng, shape, dtype, True), random_array(rng, kernel, dtype, True)
        for mode in MODES:
            expected = func(a, b, mode, method)
            for layout in NATIVE_LAYOUTS:
                out = laid_out(np.zeros(expected.shape, dtype), layout)
                assert func(a, b, mode, method, out=out) is out
                close(out, expected, a, b, layout)


@pytest.mark.parametrize("name", PAIR)
def test_bad_out(name):
    func, a, b = getattr(fs, name), np.arange(8.0), np.arange(3.0)
    with pytest.raises(ValueError, match="shape"):
        func(a, b, out=np.empty(9))
    with pytest.raises(ValueError, match="shape"):
        func(a, b, out=np.empty((1, 10)))
    with pytest.raises((TypeError, ValueError), match="dtype"):
        func(a, b, out=np.empty(10, np.float32))
    with pytest.raises((TypeError, ValueError), match="dtype"):
        func(a, b, out=np.empty(10, np.int64))
    with pytest.raises(ValueError, match=r"read-only|writeable|writable"):
        func(a, b, out=laid_out(np.empty(10), "readonly"))
    for wrong in ([0.0] * 10, 3, "out", bytearray(80)):
        with pytest.raises(TypeError, match="out"):
            func(a, b, out=wrong)


@pytest.mark.parametrize("name", PAIR)
def test_out_must_not_overlap(name):
    func = getattr(fs, name)
    buffer = np.arange(40.0)
    a, b = buffer[:8], buffer[10:13]
    for out in (buffer[:8], buffer[3:11], buffer[12:20], buffer[7::-1], buffer[11:27:2]):
        with pytest.raises(ValueError, match="overlap"):
            func(a, b, "same", out=out)
    np.testing.assert_array_equal(buffer, np.arange(40.0))
    out = buffer[20:28]
    assert func(a, b, "same", out=out) is out


@pytest.mark.parametrize("name", PAIR)
def test_extensions_are_keyword_only(name):
    with pytest.raises(TypeError):
        getattr(fs, name)([1.0], [1.0], "full", "auto", 0)


# Arrays in general --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_subclasses_become_plain(name):
    func = getattr(fs, name)

    class Sub(np.ndarray):
        pass

    data = np.arange(6.0).reshape(2, 3)
    masked = np.ma.array(data, mask=data > 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        views = [data.view(Sub), np.matrix(data), masked]
    for view in views:
        result = func(view, np.ones((1, 2)))
        assert type(result) is np.ndarray
        np.testing.assert_array_equal(result, func(data, np.ones((1, 2))))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ALL)
def test_layouts_and_inputs_kept(name, layout, rng):
    func = getattr(fs, name)
    for dtype in "hfD":
        a, b = random_array(rng, (9, 12), dtype, True), random_array(rng, (3, 4), dtype, True)
        first, second = laid_out(a, layout), laid_out(b, layout)
        for mode in MODES:
            result, expected = func(first, second, mode), func(a, b, mode)
            close(result, expected, a, b, layout)
            assert result.dtype.isnative
        np.testing.assert_array_equal(first, a)
        np.testing.assert_array_equal(second, b)


@pytest.mark.parametrize("name", ALL)
def test_lists_and_scalars_in_lists(name):
    ours, scipys = both(name)
    result, expected = ours([[1, 2], [3, 4]], [[1]]), scipys([[1, 2], [3, 4]], [[1]])
    assert result.dtype == expected.dtype
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("name", ALL)
def test_the_result_is_new(name):
    a = np.arange(6.0).reshape(2, 3)
    result = getattr(fs, name)(a, [[1.0]])
    assert not np.shares_memory(result, a)
    assert result.flags.writeable


# The small ones -----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_correlation_lags(mode):
    for n in range(1, 12):
        for m in range(1, 12):
            result, expected = (f.correlation_lags(n, m, mode) for f in (fs, signal))
            assert result.dtype == expected.dtype
            np.testing.assert_array_equal(result, expected, err_msg=f"{n} {m}")


def test_correlation_lags_find_a_delay(rng):
    x = rng.standard_normal(60)
    y = np.roll(x, 7)
    lags = fs.correlation_lags(60, 60)
    assert lags[np.argmax(fs.correlate(y, x))] == 7


@pytest.mark.parametrize("mode", ["bogus", None, 1])
def test_correlation_lags_bad_modes(mode):
    with pytest.raises(ValueError, match=r"Mode .* is invalid"):
        fs.correlation_lags(4, 3, mode)


def test_choose_conv_method_exactness():
    """Where an FFT would lose bits, bool and what is no number: direct."""
    for dtype in (np.int64, np.uint64):
        big = np.full(2000, 2**26, dtype)
        assert fs.choose_conv_method(big, big) == "direct"
    flags = np.ones(5000, bool)
    assert fs.choose_conv_method(flags, flags) == "direct"
    decimals = np.array([Decimal(1)] * 3)
    assert fs.choose_conv_method(decimals, decimals) == "direct"
    assert fs.choose_conv_method(2.0, 3.0) == "direct"


@pytest.mark.parametrize("mode", MODES)
def test_choose_conv_method_names(mode):
    small, large = np.ones(5), np.ones(50_000)
    assert fs.choose_conv_method(small, small, mode) == "direct"
    assert fs.choose_conv_method(large, large[:20_000], mode) == "fft"


def test_choose_conv_method_measures():
    method, times = fs.choose_conv_method(np.ones(40), np.ones(5), measure=True)
    assert set(times) == {"fft", "direct"}
    assert all(seconds > 0 for seconds in times.values())
    assert method == min(times, key=times.get)


def test_choose_conv_method_bad_mode():
    with pytest.raises(ValueError, match=MODE_MESSAGE):
        fs.choose_conv_method(np.ones(3), np.ones(3), "bogus")


# sepfir2d -----------------------------------------------------------------------------------------


def separable(image, row, column):
    """Half-sample symmetric extension (SciPy's), by two convolutions of the reference."""
    image = np.asarray(image)
    across = signal_reference("convolve", image, row[None, :], "same", boundary=2)
    return signal_reference("convolve", across, column[:, None], "same", boundary=2)


@pytest.mark.parametrize("dtype", "fdFD")
def test_sepfir2d(dtype, rng):
    for shape, taps in (((9, 12), (5, 3)), ((8, 8), (1, 7)), ((16, 5), (3, 5)), ((7, 33), (7, 1))):
        image = random_array(rng, shape, dtype)
        row, column = (rng.standard_normal(n).astype(dtype) for n in taps)
        result, expected = (f.sepfir2d(image, row, column) for f in (fs, signal))
        kernel = np.outer(column, row)
        bound = fft_bound(image, kernel, dtype, reach=1)
        assert_within(result, expected, 2 * bound, expected.dtype)
        assert_within(result, separable(image, row, column), bound, expected.dtype)


def test_sepfir2d_kernels_larger_than_the_image(rng):
    """SciPy writes outside its buffers here; the boundary rule gives the answer."""
    image, row, column = rng.standard_normal((2, 3)), rng.standard_normal(9), rng.standard_normal(7)
    result = fs.sepfir2d(image, row, column)
    bound = fft_bound(image, np.outer(column, row), "d", reach=8)
    assert_within(result, separable(image, row, column), bound, np.float64)


@pytest.mark.parametrize("dtype", "?bBhiqe")
def test_sepfir2d_result_types(dtype):
    image = np.ones((4, 5), dtype)
    result, expected = (f.sepfir2d(image, [1, 2, 1], [1]) for f in (fs, signal))
    assert result.dtype == expected.dtype
    np.testing.assert_allclose(result, expected, rtol=1e-6)


def test_sepfir2d_errors():
    image, one = np.ones((3, 3)), np.ones(1)
    for row, column in ((np.ones(2), one), (one, np.ones(4)), (np.ones(0), one)):
        with pytest.raises(ValueError, match="odd length"):
            fs.sepfir2d(image, row, column)
    for bad in (
        (np.ones(3), one, one),
        (image, np.ones((1, 1)), one),
        (image, one, np.ones((1, 1))),
    ):
        with pytest.raises(ValueError, match=r"(?i)dimension|depth|deep|-D"):
            fs.sepfir2d(*bad)
    with pytest.raises(TypeError):
        fs.sepfir2d(input=image, hrow=one, hcol=one)
    with pytest.raises((TypeError, ValueError)):
        fs.sepfir2d(image, [1j], one)


def test_sepfir2d_empty():
    result = fs.sepfir2d(np.ones((0, 3)), [1.0], [1.0])
    assert result.shape == (0, 3)
    assert result.dtype == np.float64


# Names --------------------------------------------------------------------------------------------


def test_signal_names_are_at_top_level():
    for name in (*ALL, "choose_conv_method", "correlation_lags", "sepfir2d"):
        assert getattr(fastconv, name) is getattr(fs, name)
