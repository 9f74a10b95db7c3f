"""The Gaussian filters against passes written out in long double, and against SciPy.

The taps are derived here: the n-th derivative of exp(-x²/2σ²) is that bell times
(-1/σ)ⁿ Heₙ(x/σ), with the Hermite polynomials He₁ = t, He₂ = t² - 1, He₃ = t³ - 3t; the bell is
scaled to the sum 1.  A pass sums the taps over one axis, extended by the mode or by cval itself.
"""

import math
from dataclasses import dataclass

import numpy as np
import pytest
from oracle import (
    C_DIRECT,
    CONSTANT,
    MIRROR,
    NEAREST,
    REFLECT,
    WRAP,
    assert_within,
    correlate_reference,
    epsilon,
    random_array,
    wide,
)

import fastconv.ndimage as fi

ndimage = pytest.importorskip("scipy.ndimage", reason="SciPy, whose contract this is")

MODES = {
    "reflect": REFLECT,
    "grid-mirror": REFLECT,
    "constant": CONSTANT,
    "grid-constant": CONSTANT,
    "nearest": NEAREST,
    "mirror": MIRROR,
    "wrap": WRAP,
    "grid-wrap": WRAP,
}
FLOATS = "fdFD"
INTEGERS = "bBhHiIq"  # in uint64 what is negative after a pass would overflow in the next one
SIGMAS = (0, 0.3, 1, 3, 10)
SHAPES = ((37,), (13, 17), (5, 6, 7))
# From this many taps on, an FFT may be chosen.
MANY_TAPS = 60


# The passes, written out --------------------------------------------------------------------------


def gaussian_taps(sigma, order=0, truncate=4.0, radius=None):
    """The taps from -radius to radius, and the size of what is rounded in them.

    That is the sum of a polynomial's terms, and more where the exponent is large.
    """
    radius = int(truncate * sigma + 0.5) if radius is None else radius
    x = np.arange(-radius, radius + 1, dtype=np.longdouble)
    t, n = x / np.longdouble(sigma), np.abs(x / np.longdouble(sigma))
    bell = np.exp(-t * t / 2)
    bell /= bell.sum() * np.longdouble(-sigma) ** order
    hermite = (np.ones_like(t), t, t * t - 1, t**3 - 3 * t)[order]
    terms = (np.ones_like(t), n, n * n + 1, n**3 + 3 * n)[order] * (1 + t * t / 2)
    return hermite * bell, terms * np.abs(bell)


def one_pass(x, taps, axis, mode, cval):
    """The convolution of one axis: tap k meets the element k places before."""
    shape, offset = [1] * x.ndim, [0] * x.ndim
    shape[axis], offset[axis] = len(taps), -(len(taps) // 2)
    taps = taps[::-1].reshape(shape)
    return correlate_reference(x, taps, x.shape, offset, MODES[mode], cval, (axis,))


@dataclass
class Sum:
    """An array in long double, the sum of |taps| |x| behind it, and a bound on its error."""

    value: np.ndarray
    size: np.ndarray
    error: np.ndarray
    eps: float

    @classmethod
    def of(cls, x, dtype):
        value = np.asarray(x).astype(wide(np.asarray(x).dtype))
        size = np.abs(value.real) + np.abs(value.imag)
        return cls(value, size, np.zeros_like(size), epsilon(dtype))

    def filtered(self, axis, mode, cval, **kernel):
        """After one more pass, which is summed and rounded in the output's precision."""
        taps, terms = gaussian_taps(**kernel)
        fill, length = np.abs(np.real(cval)) + np.abs(np.imag(cval)), self.size.shape[axis]
        size = one_pass(self.size, terms, axis, mode, fill)
        error = one_pass(self.error, terms, axis, mode, 0)
        error += self.eps * (C_DIRECT * math.sqrt(len(taps)) + 1) * size
        if len(taps) >= MANY_TAPS:
            norms = np.linalg.norm(terms.astype(float)) * max(float(self.size.max()), fill)
            norms *= math.sqrt(length + len(taps))
            error += 3 * math.log2(length + len(taps)) * self.eps * norms
        return Sum(one_pass(self.value, taps, axis, mode, cval), size, error, self.eps)


def each(value, count):
    return list(value) if np.iterable(value) and not isinstance(value, str) else [value] * count


def passes(x, dtype, sigma, order=0, mode="reflect", cval=0.0, truncate=4.0, radius=None):
    """`gaussian_filter` over all axes: one pass for each whose sigma is not zero, in order."""
    total = Sum.of(x, dtype)
    given = (each(value, np.ndim(x)) for value in (sigma, order, mode, radius))
    for axis, (s, n, m, r) in enumerate(zip(*given, strict=True)):
        if s > 0:
            kernel = {"sigma": s, "order": n, "truncate": truncate, "radius": r}
            total = total.filtered(axis, m, cval, **kernel)
    return total


def derivatives(x, dtype, sigma, order, mode="reflect", **kwargs):
    """The terms of a Laplacian or a gradient: each term has one mode for all of its passes."""
    ndim = np.ndim(x)
    for axis, m in enumerate(each(mode, ndim)):
        orders = [order * (axis == other) for other in range(ndim)]
        yield passes(x, dtype, sigma, orders, m, **kwargs)


def agrees(result, expected, dtype, label=""):
    assert_within(result, expected.value, expected.error, np.dtype(dtype), label)


def agrees_with_scipy(name, x, *args, bound, **kwargs):
    """Bit for bit where the output is an integer, else within twice the bound on one answer."""
    result, expected = (getattr(module, name)(x, *args, **kwargs) for module in (fi, ndimage))
    assert_within(result, expected, 2 * bound, expected.dtype)


# gaussian_filter ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("order", [0, 1, 2, 3])
@pytest.mark.parametrize("sigma", SIGMAS)
def test_every_sigma_order_and_mode(sigma, order, mode, dtype, rng):
    x = random_array(rng, (13, 17), dtype)
    given = {"sigma": sigma, "order": order, "mode": mode}
    expected = passes(x, dtype, **given)
    agrees(fi.gaussian_filter(x, **given), expected, dtype)
    agrees_with_scipy("gaussian_filter", x, bound=expected.error, **given)


@pytest.mark.parametrize("dtype", "fD")
@pytest.mark.parametrize("shape", SHAPES)
def test_sigma_order_mode_and_radius_per_axis(shape, dtype, rng):
    x = random_array(rng, shape, dtype)
    for _ in range(20):
        draw = {
            "sigma": rng.choice(SIGMAS, x.ndim).tolist(),
            "order": rng.integers(0, 4, x.ndim).tolist(),
            "mode": rng.choice(list(MODES), x.ndim).tolist(),
            "radius": [[None, 0, 1, 7][i] for i in rng.integers(0, 4, x.ndim)],
            "cval": float(rng.normal()),
            "truncate": float(rng.choice([0, 1.5, 4])),
        }
        expected = passes(x, dtype, **draw)
        agrees(fi.gaussian_filter(x, **draw), expected, dtype, str(draw))
        agrees_with_scipy("gaussian_filter", x, bound=expected.error, **draw)


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("order", [0, 1, 2, 3, (0, 1), (2, 0)])
@pytest.mark.parametrize("sigma", [*SIGMAS, (0, 1.5), (2.2, 0.7)])
def test_integers_are_scipys_bit_for_bit(sigma, order, dtype, rng):
    """Each pass is cut off toward zero and wraps before the next one reads it."""
    limit = min(np.iinfo(dtype).max, 2**15)
    x = rng.integers(max(-limit, np.iinfo(dtype).min), limit, (13, 17), endpoint=True).astype(dtype)
    for mode in MODES:
        given = {"sigma": sigma, "order": order, "mode": mode, "cval": 7.25}
        agrees_with_scipy("gaussian_filter", x, bound=0, **given)


def test_bool_and_uint64_are_smoothed_as_in_scipy(rng):
    for dtype in "?Q":
        x = (2**40 * rng.random((13, 17)) if dtype == "Q" else rng.random((13, 17)) < 0.8).astype(
            dtype
        )
        for sigma in (*SIGMAS, (0, 1.5)):
            agrees_with_scipy("gaussian_filter", x, sigma, bound=0)


@pytest.mark.parametrize("output", ["float32", "float64"])
@pytest.mark.parametrize("dtype", "?BhHiQd")
def test_the_passes_between_are_stored_in_the_output_dtype(dtype, output, rng):
    x = random_array(rng, (13, 17), dtype, small=True)
    for order in (0, 1, (2, 0)):
        expected = passes(x.astype(float), output, (1.5, 2), order)
        agrees(fi.gaussian_filter(x, (1.5, 2), order, output), expected, output)
        agrees_with_scipy("gaussian_filter", x, (1.5, 2), order, output, bound=expected.error)


def test_floats_to_integers_are_cut_off_after_every_pass(rng):
    x = 90 * rng.standard_normal((13, 17))
    for output in INTEGERS:
        agrees_with_scipy("gaussian_filter", x, 1.2, 0, output, bound=0)
        agrees_with_scipy("gaussian_laplace", x, 1.2, output, bound=0)


@pytest.mark.parametrize("cval", [2.5, -1.0])
@pytest.mark.parametrize("order", [0, 1])
def test_every_pass_is_extended_by_cval_itself(order, cval, rng):
    """Not by what the pass before made of it."""
    x = rng.standard_normal((9, 8))
    given = {"order": order, "mode": "constant", "cval": cval, "radius": 4}
    expected = passes(x, "d", 2, **given)
    agrees(fi.gaussian_filter(x, 2, **given), expected, "d")
    padded = x
    for axis in (0, 1):
        padded = np.pad(padded, 4, constant_values=cval)
        padded = fi.gaussian_filter1d(padded, 2, axis, order, radius=4)[4:-4, 4:-4]
    agrees(padded, expected, "d")


def test_a_complex_cval_extends_the_parts(rng):
    x = random_array(rng, (9, 8), "D")
    expected = passes(x, "D", 1.5, 1, "constant", 2 - 3j)
    agrees(fi.gaussian_filter(x, 1.5, 1, None, "constant", 2 - 3j), expected, "D")


def test_axes_are_filtered_in_the_order_given(rng):
    """With integers between the passes the order shows."""
    x = rng.integers(0, 255, (9, 11, 3)).astype(np.uint8)
    for axes, sigma in (((0, 1), (1, 2.5)), ((1, 0), (1, 2.5)), ((-2,), 3), (1, 3), ((), 2)):
        agrees_with_scipy("gaussian_filter", x, sigma, bound=0, axes=axes)
    step = fi.gaussian_filter1d(fi.gaussian_filter1d(x, 1, 1), 2.5, 0)
    np.testing.assert_array_equal(fi.gaussian_filter(x, (1, 2.5), axes=(1, 0)), step)


@pytest.mark.parametrize("sigma", [0, -2, 1e-16, np.nan, (0, -1)])
def test_no_sigma_above_zero_copies(sigma, rng):
    """By NumPy's cast; neither order nor mode nor radius is looked at."""
    x = rng.standard_normal((4, 5))
    result = fi.gaussian_filter(x, sigma, order=-1, mode="bogus", radius=-1)
    assert not np.shares_memory(result, x)
    np.testing.assert_array_equal(result, x)
    flags = fi.gaussian_filter(0.25 * x, sigma, output=bool)
    np.testing.assert_array_equal(flags, (0.25 * x).astype(bool))


# gaussian_filter1d --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_along_one_axis(order, axis, dtype, rng):
    x = random_array(rng, (13, 6, 17), dtype)
    for sigma in SIGMAS[1:]:
        for radius, truncate in ((None, 4.0), (None, 2.0), (0, 4.0), (5, 0.1)):
            kernel = {"sigma": sigma, "order": order, "radius": radius, "truncate": truncate}
            expected = Sum.of(x, dtype).filtered(axis % 3, "mirror", 0, **kernel)
            agrees(fi.gaussian_filter1d(x, axis=axis, mode="mirror", **kernel), expected, dtype)
            given = {"axis": axis, "mode": "mirror", **kernel}
            agrees_with_scipy("gaussian_filter1d", x, bound=expected.error, **given)


def test_an_impulse_gives_the_taps():
    for order in range(4):
        for sigma in (0.7, 2):
            taps, terms = gaussian_taps(sigma, order, radius=9)
            impulse = np.zeros(19)
            impulse[9] = 1
            result = fi.gaussian_filter1d(impulse, sigma, order=order, mode="constant", radius=9)
            assert_within(result, taps, 8 * epsilon("d") * (1 + terms), np.float64)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_derivatives_of_polynomials(order):
    """Of x^n/n! the n-th derivative is 1, up to what the sampled and cut-off bell leaves."""
    x = np.arange(-40.0, 41)
    middle = fi.gaussian_filter1d(x**order / math.factorial(order), 3, order=order, truncate=8)
    taps, _ = gaussian_taps(3, order, truncate=8)
    offsets = np.arange(-24, 25, dtype=np.longdouble)
    exact = float((taps * (-offsets) ** order).sum()) / math.factorial(order)
    scale = float((np.abs(taps) * 64.0**order).sum())
    np.testing.assert_allclose(middle[40], exact, rtol=0, atol=8 * epsilon("d") * scale)
    np.testing.assert_allclose(exact, 1, rtol=0, atol=math.exp(-(24**2) / 18) * 24**4)


# gaussian_laplace, gaussian_gradient_magnitude ----------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", SHAPES)
def test_laplacian_of_gaussian(shape, mode, dtype, rng):
    x = random_array(rng, shape, dtype)
    for sigma in (1, 3, [1, 2.5, 0.8][: x.ndim]):
        given = {"sigma": sigma, "mode": mode, "cval": 1.5}
        terms = list(derivatives(x, dtype, order=2, **given))
        expected = terms[0]
        expected.value = sum(term.value for term in terms)
        expected.error = sum(term.error + epsilon(dtype) * term.size for term in terms)
        agrees(fi.gaussian_laplace(x, **given), expected, dtype)
        agrees_with_scipy("gaussian_laplace", x, bound=expected.error, **given)


@pytest.mark.parametrize("dtype", "fd")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", SHAPES)
def test_gradient_magnitude(shape, mode, dtype, rng):
    """The magnitude is no further off than the gradient itself is, as vectors."""
    x = random_array(rng, shape, dtype)
    for sigma in (1, 3, [1, 2.5, 0.8][: x.ndim]):
        given = {"sigma": sigma, "mode": mode, "cval": 1.5}
        terms = list(derivatives(x, dtype, order=1, **given))
        expected = terms[0]
        expected.value = np.sqrt(sum(term.value**2 for term in terms))
        errors = [term.error + 3 * epsilon(dtype) * term.size for term in terms]
        expected.error = np.sqrt(sum(error**2 for error in errors))
        agrees(fi.gaussian_gradient_magnitude(x, **given), expected, dtype)
        agrees_with_scipy("gaussian_gradient_magnitude", x, bound=expected.error, **given)


def test_complex_gradient_magnitude(rng):
    """sqrt of the sum of complex squares: its square is compared, away from the branch cut."""
    x = random_array(rng, (9, 8), "D")
    terms = list(derivatives(x, "D", 1.5, 1))
    result = fi.gaussian_gradient_magnitude(x, 1.5)
    assert result.dtype == np.complex128
    bound = sum(4 * term.error * term.size + 8 * epsilon("D") * term.size**2 for term in terms)
    assert_within(result**2, sum(term.value**2 for term in terms), bound)


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("name", ["gaussian_laplace", "gaussian_gradient_magnitude"])
def test_integer_sums_are_scipys_bit_for_bit(name, dtype, rng):
    """Terms and squares add up, and wrap, in the output's dtype; the root is NumPy's of it."""
    limit = 5 if dtype == "b" else min(np.iinfo(dtype).max, 90)
    x = rng.integers(-limit if dtype in "bhiq" else 0, limit, (9, 11), endpoint=True).astype(dtype)
    for mode in MODES:
        for sigma in (0.6, 1, 2.5, [1, 2]):
            agrees_with_scipy(name, x, sigma, bound=0, mode=mode, cval=3)


@pytest.mark.parametrize("name", ["gaussian_laplace", "gaussian_gradient_magnitude"])
def test_a_mode_per_axis_is_the_mode_of_that_axis_derivative(name, rng):
    """As in SciPy: the term of axis i takes modes[i] for its passes along every axis."""
    x = rng.standard_normal((7, 9))
    order = 2 if name == "gaussian_laplace" else 1
    terms = list(derivatives(x, "d", 1.2, order, ["wrap", "nearest"]))
    values = [term.value for term in terms]
    expected = sum(values) if order == 2 else np.hypot(*values)
    error = sum(term.error + 3 * epsilon("d") * term.size for term in terms)
    result = getattr(fi, name)(x, 1.2, mode=["wrap", "nearest"])
    assert_within(result, expected, error, np.float64)
    agrees_with_scipy(name, x, 1.2, bound=error, mode=["wrap", "nearest"])


def test_axes_of_the_laplacian_leave_the_others_unsmoothed(rng):
    x = random_array(rng, (7, 9, 3), "d")
    bound = sum(term.error for term in derivatives(x, "d", 2, 2))
    planes = [fi.gaussian_laplace(np.ascontiguousarray(x[..., k]), (1, 2)) for k in range(3)]
    result = fi.gaussian_laplace(x, (1, 2), axes=(0, 1))
    assert_within(result, np.stack(planes, -1), 2 * bound, np.float64)
    for axes in ((1,), (0, -2), (2, 0), 1):
        sigma = 1.2 if np.isscalar(axes) else (1.2, 0.9)[: len(axes)]
        agrees_with_scipy("gaussian_laplace", x, sigma, bound=bound, axes=axes)


def test_axes_of_the_gradient_only_choose_derivatives(rng):
    """As in SciPy, all axes are smoothed, so a sequence of sigmas has one for each of them."""
    x = random_array(rng, (7, 9), "d")
    (term, _) = derivatives(x, "d", (1.2, 2), 1)
    result = fi.gaussian_gradient_magnitude(x, (1.2, 2), axes=(0,))
    assert_within(result, np.abs(term.value), 2 * term.error, np.float64)
    with pytest.raises(RuntimeError, match="length"):
        fi.gaussian_gradient_magnitude(x, (1.2,), axes=(0,))


@pytest.mark.parametrize("name", ["gaussian_laplace", "gaussian_gradient_magnitude"])
def test_keywords_reach_the_passes(name, rng):
    x = rng.integers(0, 200, (9, 11)).astype(np.int16)
    for extra in ({"truncate": 2.0}, {"radius": 3}, {"radius": [1, 4]}, {"truncate": 1, "cval": 5}):
        agrees_with_scipy(name, x, 1.3, bound=0, mode="constant", **extra)
    for wrong in ({"order": 1}, {"bogus": 1}):
        with pytest.raises(TypeError):
            getattr(fi, name)(x, 1, **wrong)
