"""fastconv.numpy against numpy.convolve and numpy.correlate: values, dtypes, errors."""

import warnings
from decimal import Decimal

import numpy as np
import pytest
from arrays import LAYOUTS, laid_out
from oracle import C_DIRECT, assert_within, epsilon, magnitude, random_array

import fastconv.numpy as fnp

NAMES = ("convolve", "correlate")
MODES = ("full", "same", "valid")
DTYPES = tuple("?bBhHiIqQefdgFDG")


@pytest.fixture(params=NAMES)
def pair(request):
    """(ours, NumPy's)."""
    return getattr(fnp, request.param), getattr(np, request.param)


def same(actual, expected):
    """Equal in type, dtype, shape and value."""
    assert type(actual) is np.ndarray
    assert actual.dtype == expected.dtype
    np.testing.assert_array_equal(actual, expected)


def norms(a, v):
    """|a|_2 |v|_2: no output's sum of |a| |v| is larger."""
    return float(np.linalg.norm(magnitude(a)) * np.linalg.norm(magnitude(v)))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_values(pair, dtype, mode, rng):
    ours, numpys = pair
    for n, m in ((1, 1), (7, 3), (3, 7), (4, 4), (8, 2), (2, 8), (50, 9), (1, 6), (33, 16)):
        a, v = random_array(rng, n, dtype), random_array(rng, m, dtype)
        expected = numpys(a, v, mode)
        # Twice: NumPy's own error counts as well.
        bound = 2 * C_DIRECT * epsilon(expected.dtype) * np.sqrt(min(n, m)) * norms(a, v)
        assert_within(ours(a, v, mode), expected, bound, expected.dtype, f"{n} {m} {mode}")


@pytest.mark.parametrize("first", DTYPES)
@pytest.mark.parametrize("second", DTYPES)
def test_result_types(pair, first, second):
    ours, numpys = pair
    a, v = np.ones(4, first), np.ones(2, second)
    assert ours(a, v).dtype == numpys(a, v).dtype == np.result_type(a, v)


def test_defaults(pair):
    ours, numpys = pair
    same(ours([1, 2, 3], [0, 1, 0.5]), numpys([1, 2, 3], [0, 1, 0.5]))
    same(ours(a=[1, 2, 3], v=[4, 5]), numpys(a=[1, 2, 3], v=[4, 5]))


@pytest.mark.parametrize("mode", [0, 1, 2, np.int64(1)])
def test_numeric_modes(pair, mode):
    ours, numpys = pair
    same(ours([1, 2, 3], [0, 1, 2], mode), numpys([1, 2, 3], [0, 1, 2], mode))


@pytest.mark.parametrize("mode", ["v", "f", "s", "Full", "bogus", "", 3, -1])
def test_bad_modes(pair, mode):
    with pytest.raises(ValueError, match="mode"):
        pair[0]([1, 2, 3], [0, 1, 2], mode)


@pytest.mark.parametrize("mode", [None, 1.0, []])
def test_modes_of_bad_type(pair, mode):
    with pytest.raises(TypeError, match="mode"):
        pair[0]([1, 2, 3], [0, 1, 2], mode)


def test_convolve_promotes_scalars():
    same(fnp.convolve(2, 3), np.convolve(2, 3))
    same(fnp.convolve(2, [1, 2]), np.convolve(2, [1, 2]))
    same(fnp.convolve([1, 2], np.float32(2)), np.convolve([1, 2], np.float32(2)))


@pytest.mark.parametrize(("a", "v"), [(2, 3), (2, [1, 2]), ([1, 2], 2)])
def test_correlate_rejects_scalars(a, v):
    with pytest.raises(ValueError, match=r"(?i)depth|dimension|deep"):
        fnp.correlate(a, v)


@pytest.mark.parametrize(("a", "v"), [([[1, 2]], [1]), ([1], [[1, 2]]), (np.ones((2, 2, 2)), [1])])
def test_more_dimensions_are_refused(pair, a, v):
    with pytest.raises(ValueError, match=r"too deep|dimension"):
        pair[0](a, v)


@pytest.mark.parametrize("mode", MODES)
def test_empty(mode):
    with pytest.raises(ValueError, match="a cannot be empty"):
        fnp.convolve([], [1], mode)
    with pytest.raises(ValueError, match="v cannot be empty"):
        fnp.convolve([1], [], mode)
    for a, v in (([], [1]), ([1], []), ([], [])):
        with pytest.raises(ValueError, match="cannot be empty"):
            fnp.correlate(a, v, mode)


@pytest.mark.parametrize("mode", MODES)
def test_decimals(pair, mode):
    ours, numpys = pair
    a, v = [Decimal("0.1"), Decimal(2), Decimal(5)], [Decimal("0.3"), Decimal(1)]
    same(ours(a, v, mode), numpys(a, v, mode))
    same(ours(v, a, mode), numpys(v, a, mode))


@pytest.mark.parametrize("mode", MODES)
def test_objects(pair, mode):
    ours, numpys = pair
    a = np.array([10**30, -1, 2.5, 1 + 2j], object)
    v = np.array([3, 10**20], object)
    same(ours(a, v, mode), numpys(a, v, mode))
    complex_objects = np.array([1j, 2 - 1j], object)
    same(ours(a, complex_objects, mode), numpys(a, complex_objects, mode))


def test_timedelta(pair):
    """The unit stays, where NumPy loses it."""
    ours, numpys = pair
    a, v = np.array([1, 2, 5], "m8[s]"), np.array([1, 2])
    result = ours(a, v)
    assert result.dtype == np.dtype("m8[s]")
    np.testing.assert_array_equal(result.astype(int), numpys(a, v).astype(int))


def test_types_without_a_product_are_refused(pair):
    for a in (np.array([1, 2], "M8[s]"), np.zeros(3, "i4,i4")):
        with pytest.raises((TypeError, ValueError)):
            pair[0](a, a[:1])
    with pytest.raises((TypeError, ValueError)):
        pair[0](["a"], ["b"])


def test_correlate_conjugates_the_second():
    a, v = np.array([1 + 2j, 3j, 2]), np.array([1j, 1])
    same(fnp.correlate(a, v), np.correlate(a, v))
    np.testing.assert_array_equal(fnp.correlate([1j], [1j]), [1])
    np.testing.assert_array_equal(fnp.convolve([1j], [1j]), [-1])


@pytest.mark.parametrize("mode", MODES)
def test_correlate_swapped(mode):
    """A longer second array: reversed and conjugated, 'same' by the longer of the two."""
    a, v = np.array([1, 2j]), np.array([1, 2, 3, 4j])
    same(fnp.correlate(a, v, mode), np.correlate(a, v, mode))


def test_bool_is_or_of_ands(pair):
    ours, numpys = pair
    a, v = np.array([True, False, True, True]), np.array([True, True])
    same(ours(a, v, "full"), numpys(a, v, "full"))


@pytest.mark.parametrize("dtype", "bBhHiIqQ")
def test_integers_wrap(pair, dtype):
    ours, numpys = pair
    top = np.array([np.iinfo(dtype).max] * 5, dtype)
    same(ours(top, top[:3], "full"), numpys(top, top[:3], "full"))


def test_subclasses_become_plain(pair):
    ours, _ = pair
    masked = np.ma.array([1.0, 2, 3], mask=[0, 1, 0])
    for mode in MODES:
        result = ours(masked, [1.0, 1.0], mode)
        assert type(result) is np.ndarray
        np.testing.assert_array_equal(result, ours([1.0, 2, 3], [1.0, 1.0], mode))
    with pytest.raises(ValueError, match=r"too deep|dimension"):
        ours(np.matrix([1, 2]), [1])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_and_inputs_kept(pair, layout, rng):
    ours, numpys = pair
    a, v = rng.integers(-9, 9, 40), rng.integers(-9, 9, 7)
    first, second = laid_out(a, layout), laid_out(v, layout)
    for mode in MODES:
        same(ours(first, second, mode), numpys(a, v, mode))
        same(ours(second, first, mode), numpys(v, a, mode))
    np.testing.assert_array_equal(first, a)
    np.testing.assert_array_equal(second, v)
    assert ours(first, second).dtype.isnative


def test_the_result_is_new(pair):
    a = np.arange(4.0)
    result = pair[0](a, [1.0])
    assert not np.shares_memory(result, a)
    assert result.flags.writeable


def test_half_precision_overflows_as_silently_as_numpys(pair):
    ours, numpys = pair
    a = np.full(20, 300, np.float16)
    with warnings.catch_warnings(), np.errstate(over="warn"):
        warnings.simplefilter("error")
        np.testing.assert_array_equal(ours(a, a), numpys(a, a))
