"""What holds for every signal: linearity, shifts, algebra, adjoints, duality.

Real-valued properties are checked on integers, where they hold exactly, and on floats within the
rounding of an FFT.
"""

import os

import numpy as np
import pytest
from backend import able
from oracle import C_FFT, epsilon, fft_bound

hypothesis = pytest.importorskip("hypothesis", reason="Hypothesis, which finds the examples")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from hypothesis.extra import numpy as hnp  # noqa: E402

import fastconv  # noqa: E402

settings.register_profile("ci", deadline=None, derandomize=True, max_examples=60)
settings.register_profile("dev", deadline=None, max_examples=60)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

METHODS = st.sampled_from(able(["auto", "direct", "fft", "reference"]))
MODES = st.sampled_from(["full", "same", "valid"])
KINDS = st.sampled_from(["convolve", "correlate"])
LONGEST = (None, 40, 9, 5)


def arrays(ndim, dtype):
    shapes = st.tuples(*[st.integers(1, LONGEST[ndim])] * ndim)
    if np.dtype(dtype).kind == "i":
        elements = st.integers(-100, 100)
    else:
        # Halves of small integers, and a few magnitudes: no subnormals, no overflow.
        elements = st.integers(-200, 200).map(lambda n: n / 2) | st.sampled_from([1e-6, 1e6])
        if np.dtype(dtype).kind == "c":
            elements = st.tuples(elements, elements).map(lambda p: complex(*p))
    return hnp.arrays(dtype, shapes, elements=elements)


DTYPES = ("int64", "float32", "float64", "complex128")


@st.composite
def operands(draw, count=2, dtypes=DTYPES):
    dtype, ndim = draw(st.sampled_from(dtypes)), draw(st.integers(1, 3))
    return [draw(arrays(ndim, dtype)) for _ in range(count)]


def agree(left, right, bound):
    assert left.shape == right.shape
    if left.dtype.kind in "iu":
        np.testing.assert_array_equal(left, right)
    else:
        wide = left.astype(np.clongdouble), right.astype(np.clongdouble)
        assert np.abs(wide[0] - wide[1]).max(initial=0) <= bound


def bound_of_three(a, b, c):
    """Two convolutions after each other, on either side of an equation."""
    size = np.log2(a.size * b.size * c.size + 2)
    norms = [np.abs(x).astype(float).sum() for x in (a, b, c)]
    return 4 * C_FFT * epsilon(a.dtype) * size * float(np.prod(norms))


@given(operands(), METHODS)
def test_commutative(ab, method):
    a, b = ab
    left, right = (fastconv.convolve(x, y, "full", method) for x, y in ((a, b), (b, a)))
    agree(left, right, 2 * fft_bound(a, b, a.dtype))


@given(operands(3), METHODS)
def test_associative(abc, method):
    a, b, c = abc
    left = fastconv.convolve(fastconv.convolve(a, b, "full", method), c, "full", method)
    right = fastconv.convolve(a, fastconv.convolve(b, c, "full", method), "full", method)
    agree(left, right, bound_of_three(a, b, c))


@given(operands(), KINDS, MODES, METHODS, st.integers(-9, 9))
def test_linear(ab, kind, mode, method, factor):
    """In the data; by commutativity in the kernel too."""
    a, b = ab
    func = getattr(fastconv, kind)
    other = np.roll(a, 1) + a.dtype.type(1)
    try:
        both = func(factor * a + other, b, mode, method)
    except ValueError:
        assert mode == "valid"
        return
    apart = factor * func(a, b, mode, method) + func(other, b, mode, method)
    swap = np.abs(a).sum() * abs(factor) + np.abs(other).sum()
    bound = 8 * C_FFT * epsilon(a.dtype) * np.log2(a.size + b.size + 1)
    agree(both, apart.astype(a.dtype), bound * float(swap) * float(np.abs(b).sum()))


@given(operands(), KINDS, METHODS, st.integers(0, 12))
def test_shift(ab, kind, method, delay):
    """A delayed signal gives the delayed result."""
    a, b = ab
    func = getattr(fastconv, kind)
    pad = [(delay, 0)] + [(0, 0)] * (a.ndim - 1)
    late = func(np.pad(a, pad), b, "full", method)
    agree(late[delay:], func(a, b, "full", method), 3 * fft_bound(a, b, a.dtype))
    assert np.abs(late[:delay].astype("D")).max(initial=0) <= 3 * fft_bound(a, b, a.dtype)


@given(operands(1), METHODS, st.integers(0, 3))
def test_identity_kernel(one, method, before):
    """A one among zeros moves the signal and changes nothing."""
    (a,) = one
    delta = np.zeros((before + 1,) * a.ndim, a.dtype)
    delta[(before,) * a.ndim] = 1
    full = fastconv.convolve(a, delta, "full", method)
    agree(full[(slice(before, None),) * a.ndim], a, 2 * fft_bound(a, delta, a.dtype))


@given(operands(), KINDS, METHODS)
def test_modes_are_slices_of_full(ab, kind, method):
    a, b = ab
    func = getattr(fastconv, kind)
    full = func(a, b, "full", method)
    bound = 2 * fft_bound(a, b, a.dtype)
    centre = tuple(
        slice((m - 1) // 2, (m - 1) // 2 + n) for n, m in zip(a.shape, b.shape, strict=True)
    )
    agree(func(a, b, "same", method), full[centre], bound)
    pairs = list(zip(a.shape, b.shape, strict=True))
    if all(n >= m for n, m in pairs) or all(n <= m for n, m in pairs):
        inner = tuple(slice(min(n, m) - 1, max(n, m)) for n, m in pairs)
        agree(func(a, b, "valid", method), full[inner], bound)


@given(operands(), METHODS, MODES)
def test_duality(ab, method, mode):
    """Correlation is convolution with the reversed, conjugated kernel, in 'full' and 'same'."""
    a, b = ab
    if mode == "valid" and any(n < m for n, m in zip(a.shape, b.shape, strict=True)):
        mode = "full"
    left = fastconv.correlate(a, b, mode, method)
    right = fastconv.convolve(a, np.flip(b).conj(), mode, method)
    agree(left, right, 2 * fft_bound(a, b, a.dtype))


@given(operands(), METHODS)
def test_correlation_reversed(ab, method):
    """corr(a, b) is the reversed conjugate of corr(b, a)."""
    a, b = ab
    left = fastconv.correlate(a, b, "full", method)
    right = np.flip(fastconv.correlate(b, a, "full", method)).conj()
    agree(left, right, 2 * fft_bound(a, b, a.dtype))


@given(operands(dtypes=("int64", "float64", "complex128")), METHODS, st.randoms())
def test_adjoint(ab, method, random):
    """<corr(x, w), g> = <x, conv(g, w)>: what makes a gradient of one of the other."""
    x, w = ab
    if any(n < m for n, m in zip(x.shape, w.shape, strict=True)):
        x, w = w, x
    if any(n < m for n, m in zip(x.shape, w.shape, strict=True)):
        return
    y = fastconv.correlate(x, w, "valid", method)
    values = [random.randint(-9, 9) for _ in range(y.size)]
    g = np.array(values, x.dtype).reshape(y.shape)
    left = np.sum(y * g.conj())
    right = np.sum(x * fastconv.convolve(g, w, "full", method).conj())
    scale = float(np.abs(x).sum()) * float(np.abs(w).sum()) * float(np.abs(g).sum() + 1)
    agree(np.atleast_1d(left), np.atleast_1d(right), 32 * epsilon(x.dtype) * scale)


@given(operands(), KINDS)
def test_methods_agree(ab, kind):
    a, b = ab
    func = getattr(fastconv, kind)
    expected = func(a, b, "full", able(("reference", "direct"))[0])
    for method in ("auto", "direct", "fft"):
        agree(func(a, b, "full", method), expected, 2 * fft_bound(a, b, a.dtype))


@given(operands(dtypes=("float64", "int64")), st.integers(0, 2))
def test_transposes(ab, first):
    """Convolving the transposed arrays gives the transposed result."""
    a, b = ab
    order = np.roll(np.arange(a.ndim), first)
    left = fastconv.convolve(a.transpose(order), b.transpose(order))
    agree(left, fastconv.convolve(a, b).transpose(order), 2 * fft_bound(a, b, a.dtype))


@given(operands(dtypes=("float64", "int64")))
def test_sum_of_the_result(ab):
    """The sum of a convolution is the product of the sums."""
    a, b = ab
    total = fastconv.convolve(a, b).sum()
    scale = float(np.abs(a).sum()) * float(np.abs(b).sum()) * (a.size + b.size)
    agree(np.atleast_1d(total), np.atleast_1d(a.sum() * b.sum()), 8 * epsilon(a.dtype) * scale)
