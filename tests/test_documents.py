"""The two documents that the project grew from, by their own examples; values worked by hand."""

import numpy as np
import pytest
from oracle import assert_within, fft_bound, signal_bound, signal_reference

import fastconv

IMAGE = np.array(
    [
        [1, 1, 1, 0, 0],
        [0, 1, 1, 1, 0],
        [0, 0, 1, 1, 1],
        [0, 0, 1, 1, 0],
        [0, 1, 1, 0, 0],
    ]
)
KERNEL = np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1]])
FEATURES = [[4, 3, 4], [2, 4, 3], [2, 3, 4]]
GAUSSIAN = (
    np.array(
        [
            [1, 4, 7, 4, 1],
            [4, 16, 26, 16, 4],
            [7, 26, 41, 26, 7],
            [4, 16, 26, 16, 4],
            [1, 4, 7, 4, 1],
        ]
    )
    / 273
)
METHODS = ("auto", "direct", "fft", "reference")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.float64, np.complex64])
def test_feature_map(dtype, method):
    image, kernel = IMAGE.astype(dtype), KERNEL.astype(dtype)
    for func in (fastconv.convolve, fastconv.correlate):  # the kernel is its own mirror image
        result = func(image, kernel, mode="valid", method=method)
        assert result.dtype == dtype
        np.testing.assert_allclose(result, FEATURES, rtol=0, atol=1e-5 * (result.dtype.kind != "i"))
        if result.dtype.kind in "iu":
            np.testing.assert_array_equal(result, FEATURES)


@pytest.mark.parametrize("func", [fastconv.convolve2d, fastconv.correlate2d])
def test_feature_map_2d(func):
    np.testing.assert_array_equal(func(IMAGE, KERNEL, mode="valid"), FEATURES)


def test_each_output_is_a_frobenius_inner_product():
    result = fastconv.correlate(IMAGE, KERNEL, mode="valid")
    for i, j in np.ndindex(3, 3):
        assert result[i, j] == np.sum(IMAGE[i : i + 3, j : j + 3] * KERNEL)


def test_each_output_is_a_conjugated_inner_product():
    """<K, W>_F = sum conj(K) W: the document's inner product on complex matrices."""
    rng = np.random.default_rng(5)
    image = rng.integers(-9, 9, (6, 7)) + 1j * rng.integers(-9, 9, (6, 7))
    kernel = rng.integers(-9, 9, (2, 3)) + 1j * rng.integers(-9, 9, (2, 3))
    result = fastconv.correlate(image, kernel, mode="valid", method="direct")
    for i, j in np.ndindex(5, 5):
        assert result[i, j] == np.vdot(kernel, image[i : i + 2, j : j + 3])


@pytest.mark.parametrize("method", METHODS)
def test_by_hand_1d(method):
    x, w = np.array([1, 2, 3]), np.array([0, 1, 5])
    cases = {
        ("convolve", "full"): [0, 1, 7, 13, 15],
        ("convolve", "same"): [1, 7, 13],
        ("convolve", "valid"): [7],
        ("correlate", "full"): [5, 11, 17, 3, 0],
        ("correlate", "same"): [11, 17, 3],
        ("correlate", "valid"): [17],
    }
    for (name, mode), expected in cases.items():
        result = getattr(fastconv, name)(x, w, mode, method)
        np.testing.assert_array_equal(result, expected, err_msg=f"{name} {mode}")


def test_by_hand_complex():
    x, w = np.array([1 + 1j, 2]), np.array([1j, 3])
    np.testing.assert_array_equal(fastconv.convolve(x, w), [-1 + 1j, 3 + 5j, 6])
    np.testing.assert_array_equal(fastconv.correlate(x, w), [3 + 3j, 7 - 1j, -2j])


def test_by_hand_boundaries():
    row = np.array([[1, 2, 3]])
    shift = np.array([[0, 0, 0, 0, 1]])  # reads two to the right under correlation
    cases = {"fill": [3, 9, 9], "wrap": [3, 1, 2], "symm": [3, 3, 2]}
    for boundary, expected in cases.items():
        result = fastconv.correlate2d(row, shift, "same", boundary, 9)
        np.testing.assert_array_equal(result, [expected], err_msg=boundary)


# The algebra --------------------------------------------------------------------------------------

A = np.array([[1, 2, 0], [-3, 1, 4]])
B = np.array([[2, -1], [5, 3], [0, 1]])
C = np.array([[1, 0, -2, 7]])


@pytest.mark.parametrize("method", METHODS)
def test_convolution_is_commutative(method):
    left, right = (fastconv.convolve(a, b, method=method) for a, b in ((A, B), (B, A)))
    np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("method", METHODS)
def test_convolution_is_associative(method):
    def convolve(a, b):
        return fastconv.convolve(a, b, method=method)

    np.testing.assert_array_equal(convolve(convolve(A, B), C), convolve(A, convolve(B, C)))


@pytest.mark.parametrize("method", METHODS)
def test_correlation_is_neither(method):
    def correlate(a, b):
        return fastconv.correlate(a, b, method=method)

    assert not np.array_equal(correlate(A, B), correlate(B, A))
    assert not np.array_equal(correlate(correlate(A, B), C), correlate(A, correlate(B, C)))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("mode", ["full", "same", "valid"])
def test_correlation_is_convolution_with_the_reversed_conjugated_kernel(mode, method):
    rng = np.random.default_rng(7)
    for shape, kernel in (((9,), (4,)), ((5, 6), (3, 2)), ((3, 4, 5), (2, 2, 3))):
        x = rng.integers(-9, 9, shape) + 1j * rng.integers(-9, 9, shape)
        w = rng.integers(-9, 9, kernel) + 1j * rng.integers(-9, 9, kernel)
        left = fastconv.correlate(x, w, mode, method)
        right = fastconv.convolve(x, np.flip(w.conj()), mode, method)
        bound = fft_bound(x, w, left.dtype)
        assert_within(left, right.astype(np.clongdouble), bound)
        assert_within(left, signal_reference("correlate", x, w, mode), bound)


# A photograph -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def photographs():
    """scikit-image's camera man (grey, 512x512) and astronaut (colour); both are in its wheel."""
    data = pytest.importorskip("skimage.data", reason="scikit-image, which has the photographs")
    return {"grey": data.camera(), "colour": data.astronaut()}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gaussian_smooths_a_grey_photograph(photographs, dtype, method):
    signal = pytest.importorskip("scipy.signal", reason="SciPy, to compare with")
    image, kernel = photographs["grey"].astype(dtype), GAUSSIAN.astype(dtype)
    smooth = fastconv.convolve(image, kernel, mode="same", method=method)
    expected = signal.convolve2d(image.astype(float), kernel.astype(float), mode="same")
    bound = (
        fft_bound(image, kernel, dtype)
        if method in ("auto", "fft")
        else signal_bound("convolve", image, kernel, dtype, "same")
    )
    assert_within(smooth, expected.astype(np.longdouble), bound, dtype)
    assert_smoother(smooth, image)


@pytest.mark.parametrize("method", METHODS)
def test_gaussian_smooths_a_colour_photograph(photographs, method):
    signal = pytest.importorskip("scipy.signal", reason="SciPy, to compare with")
    image = photographs["colour"].astype(np.float32)
    kernel = GAUSSIAN.astype(np.float32)[:, :, None]
    smooth = fastconv.convolve(image, kernel, mode="same", method=method, axes=(0, 1))
    assert smooth.shape == image.shape
    for channel in range(3):
        one = image[:, :, channel].astype(float)
        expected = signal.convolve2d(one, kernel[:, :, 0].astype(float), mode="same")
        bound = fft_bound(image, kernel, np.float32)
        assert_within(smooth[:, :, channel], expected.astype(np.longdouble), bound, np.float32)
        assert_smoother(smooth[:, :, channel], one)


def test_gaussian_keeps_the_edges_bright_with_symmetric_boundary(photographs):
    image = photographs["grey"].astype(float)
    smooth = fastconv.convolve2d(image, GAUSSIAN, mode="same", boundary="symm")
    assert abs(smooth.mean() - image.mean()) < 0.1
    dark = fastconv.convolve2d(image, GAUSSIAN, mode="same")
    assert dark[0].mean() < 0.8 * smooth[0].mean()


def assert_smoother(smooth, image):
    """Neighbours differ less than before, and the brightness stays."""
    inner, before = np.asarray(smooth)[2:-2, 2:-2], np.asarray(image, float)[2:-2, 2:-2]
    assert np.abs(np.diff(inner)).mean() < 0.8 * np.abs(np.diff(before)).mean()
    assert abs(inner.mean() - before.mean()) < 0.5
