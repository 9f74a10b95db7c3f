"""fastconv.nn's contract: values worked by hand, arguments, outputs, errors, and plans."""

import copy
import inspect
import itertools
import math
import pickle
import tracemalloc
import warnings

import backend
import layers
import numpy as np
import pytest
from arrays import NATIVE_LAYOUTS, laid_out
from layers import Layer, integers, methods, normal, rounding
from oracle import assert_within, magnitude

import fastconv
from fastconv import Spec, nn
from fastconv._problem import Reason

FLOATS = ("float32", "float64", "complex64", "complex128")
RANKS = pytest.mark.parametrize("rank", [1, 2, 3])
X, W = np.ones((2, 4, 7, 8)), np.ones((6, 2, 3, 3))  # of a layer of two groups
GRAD = np.ones((2, 6, 5, 6))


def row(*values, dtype=float):
    """A signal, or the taps of a kernel: one channel."""
    return np.array([[values]], dtype)


# Values by hand -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_signal_by_hand(dtype):
    x, w = row(1, 2, 3, 4, 5, dtype=dtype), row(1, 0, -2, dtype=dtype)
    cases = [
        ({}, [-5, -6, -7]),
        ({"padding": 1}, [-4, -5, -6, -7, 4]),
        ({"padding": [(0, 2)]}, [-5, -6, -7, 4, 5]),
        ({"stride": 2}, [-5, -7]),
        ({"dilation": 2}, [-9]),
        ({"flip_kernel": True}, [1, 0, -1]),
        ({"bias": np.array([10], dtype)}, [5, 4, 3]),
    ]
    for kwargs, expected in cases:
        for method in methods(nn.conv1d, x, w, **kwargs):
            result = nn.conv1d(x, w, method=method, **kwargs)
            assert result.dtype == dtype
            np.testing.assert_array_equal(result, row(*expected), err_msg=f"{method} {kwargs}")


def test_one_tap_by_hand():
    """What looks like the data themselves is not where the windows stride, or stand beside them."""
    x, w = row(1, 2, 3), row(10)
    cases = [
        ({}, [10, 20, 30]),
        ({"stride": 2, "padding": [(0, 3)]}, [10, 30, 0]),
        ({"stride": 2, "padding": [(1, 2)]}, [0, 20, 0]),
        ({"padding": [(2, 0)]}, [0, 0, 10, 20, 30]),
        ({"stride": 2}, [10, 30]),
    ]
    for kwargs, expected in cases:
        for method in methods(nn.conv1d, x, w, **kwargs):
            result = nn.conv1d(x, w, method=method, **kwargs)
            np.testing.assert_array_equal(result, row(*expected), err_msg=f"{method} {kwargs}")


def test_a_transposed_signal_by_hand():
    x, w = row(1, 2, 3), row(1, 10, 100)
    cases = [
        ({}, [1, 12, 123, 230, 300]),
        ({"stride": 2}, [1, 10, 102, 20, 203, 30, 300]),
        ({"stride": 2, "padding": 1}, [10, 102, 20, 203, 30]),
        ({"stride": 2, "padding": ((1, 0),)}, [10, 102, 20, 203, 30, 300]),
        ({"stride": 2, "padding": 1, "output_padding": 1}, [10, 102, 20, 203, 30, 300]),
        ({"stride": 2, "padding": 1, "output_size": 6}, [10, 102, 20, 203, 30, 300]),
        ({"stride": 2, "padding": 1, "output_size": (5,)}, [10, 102, 20, 203, 30]),
        ({"stride": 4}, [1, 10, 100, 0, 2, 20, 200, 0, 3, 30, 300]),
        ({"dilation": 2}, [1, 2, 13, 20, 130, 200, 300]),
        ({"flip_kernel": True}, [100, 210, 321, 32, 3]),
        ({"stride": 4, "bias": np.array([5.0])}, [6, 15, 105, 5, 7, 25, 205, 5, 8, 35, 305]),
        ({"stride": 2, "padding": "same_upper"}, [1, 10, 102, 20, 203, 30]),
        ({"stride": 2, "padding": "same_lower"}, [10, 102, 20, 203, 30, 300]),
        ({"stride": 4, "padding": "same_upper"}, [1, 10, 100, 0, 2, 20, 200, 0, 3, 30, 300, 0]),
        ({"padding": "same"}, [12, 123, 230]),
        ({"padding": "valid"}, [1, 12, 123, 230, 300]),
    ]
    for kwargs, expected in cases:
        for method in methods(nn.conv_transpose1d, x, w, **kwargs):
            result = nn.conv_transpose1d(x, w, method=method, **kwargs)
            np.testing.assert_array_equal(result, row(*expected), err_msg=f"{method} {kwargs}")


def test_gradients_by_hand():
    x, w, grad = row(1, 2, 3, 4, 5), row(1, 10, 100), row(1, 2)
    np.testing.assert_array_equal(
        nn.conv1d_grad_input(grad, w, (1, 1, 5), stride=2), row(1, 10, 102, 20, 200)
    )
    np.testing.assert_array_equal(nn.conv1d_grad_weight(grad, x, (1, 1, 3), 2), row(7, 10, 13))
    # The last element meets no window: its gradient is zero.
    np.testing.assert_array_equal(
        nn.conv1d_grad_input(grad, w, (1, 1, 6), stride=2), row(1, 10, 102, 20, 200, 0)
    )
    np.testing.assert_array_equal(nn.conv1d_grad_bias([[[1.0, 2], [3, 4]]]), [3, 7])


def test_complex_gradients_are_conjugated():
    x, w, grad = row(1 + 2j, dtype="D"), row(3 - 1j, dtype="D"), row(1j, dtype="D")
    np.testing.assert_array_equal(nn.conv1d(x, w), row(5 + 5j, dtype="D"))
    np.testing.assert_array_equal(nn.conv1d_grad_input(grad, w, (1, 1, 1)), row(-1 + 3j, dtype="D"))
    np.testing.assert_array_equal(nn.conv1d_grad_weight(grad, x, (1, 1, 1)), row(2 + 1j, dtype="D"))
    np.testing.assert_array_equal(nn.conv_transpose1d(x, w), row(5 + 5j, dtype="D"))


def test_channels_and_groups_by_hand():
    x = np.array([[[1.0, 2], [10, 20], [100, 200], [1000, 2000]]])
    w = np.array([[[1.0], [2]], [[0], [1]], [[1], [1]], [[3], [0]]])
    expected = [[[21, 42], [10, 20], [1100, 2200], [300, 600]]]
    np.testing.assert_array_equal(nn.conv1d(x, w, groups=2), expected)
    expected = [[[1, 2], [12, 24], [3100, 6200], [100, 200]]]
    np.testing.assert_array_equal(nn.conv_transpose1d(x, w, groups=2), expected)
    depthwise = np.array([[[1.0]], [[2]], [[3]], [[4]]])
    np.testing.assert_array_equal(nn.conv1d(x, depthwise, groups=4), x * [[1], [2], [3], [4]])


ACTIVATIONS = (None, "relu", "relu6", "leaky_relu", "sigmoid", "tanh", "silu", "gelu")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(activation, dtype, rng):
    x, w = normal(rng, (2, 4, 9, 9), dtype), normal(rng, (3, 4, 3, 3), dtype)
    layer = Layer(x.shape, w.shape, (1, 1), ((1, 1), (1, 1)), (1, 1))
    for b in (None, normal(rng, 3, dtype)):
        sums = layers.forward(layer, x, w)
        sizes = layers.forward(layer, magnitude(x), magnitude(w))
        if b is not None:
            sums, sizes = sums + b[:, None, None], sizes + magnitude(b)[:, None, None]
        # No activation is steeper than 1.13; each has a few roundings of its own.
        bound = 1.2 * rounding(dtype, 37, sizes) + 16 * np.finfo(dtype).eps * (1 + abs(sums))
        expected = layers.activated(activation, sums)
        kwargs = {"padding": 1, "activation": activation}
        for method in methods(nn.conv2d, x, w, b, **kwargs):
            if method == "winograd":  # errs by the size of its tiles, not of each sum
                continue
            result = nn.conv2d(x, w, b, **kwargs, method=method)
            assert_within(result, expected, bound, dtype, method)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_of_outputs_that_nothing_reaches(activation):
    """Between the rows of a transposed layer: the bias alone."""
    x, w, b = np.ones((1, 2, 3, 3)), np.ones((2, 2, 1, 1)), np.array([-2.0, 3.0])
    args = (x, w, b, 3)
    for method in methods(nn.conv_transpose2d, *args, activation=activation):
        y = nn.conv_transpose2d(*args, activation=activation, method=method)
        expected = layers.activated(activation, np.array([b, b + 2]))
        np.testing.assert_allclose(y[0, :, 1, 1], expected[0], rtol=1e-12)
        np.testing.assert_allclose(y[0, :, 3, 3], expected[1], rtol=1e-12)
        np.testing.assert_array_equal(y[0, :, 1:3, 1:3], np.tile(y[:1, :, 1:2, 1:2][0], (2, 2)))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_far_out(activation):
    """Where exp overflows, and at infinity, without a warning."""
    x = np.array([[[-np.inf, -1e4, -100, -0.0, 0, 100, 1e4, np.inf]]], "f")
    w = row(1, dtype="f")
    expected = {
        None: x[0, 0],
        "relu": [0, 0, 0, 0, 0, 100, 1e4, np.inf],
        "relu6": [0, 0, 0, 0, 0, 6, 6, 6],
        "leaky_relu": [-np.inf, -100, -1, 0, 0, 100, 1e4, np.inf],
        "sigmoid": [0, 0, 0, 0.5, 0.5, 1, 1, 1],
        "tanh": [-1, -1, -1, 0, 0, 1, 1, 1],
        "silu": [np.nan, 0, 0, 0, 0, 100, 1e4, np.inf],
        "gelu": [np.nan, 0, 0, 0, 0, 100, 1e4, np.inf],
    }[activation]
    for method in methods(nn.conv1d, x, w, activation=activation):
        y = nn.conv1d(x, w, activation=activation, method=method)[0, 0]
        expected = np.asarray(expected, "f")
        np.testing.assert_allclose(y, expected, rtol=1e-6, atol=1e-30, err_msg=method)


# Integers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kinds", [*itertools.product(("uint8", "int8"), repeat=2)])
def test_integer_layers_by_hand(kinds):
    x, w = row(1, 2, 3, dtype=kinds[0]), row(4, 5, dtype=kinds[1])
    cases = [
        ({}, [14, 23]),
        ({"padding": 1}, [5, 14, 23, 12]),
        ({"x_zero_point": 2, "padding": 1}, [-5, -4, 5, 4]),
        ({"w_zero_point": 6}, [-4, -7]),
        ({"w_zero_point": [6], "x_zero_point": 1, "padding": 1}, [0, -1, -4, -4]),
        ({"bias": np.array([-20], "i4")}, [-6, 3]),
        ({"bias": np.array([-20], "i4"), "activation": "relu"}, [0, 3]),
    ]
    for kwargs, expected in cases:
        result = nn.conv1d(x, w, **kwargs)
        assert result.dtype == np.int32
        np.testing.assert_array_equal(result, row(*expected), err_msg=str(kwargs))


def test_integer_sums_wrap():
    x, w = np.full((1, 40_000, 1), 255, "u1"), np.full((1, 40_000, 1), 255, "u1")
    expected = np.array(255 * 255 * 40_000).astype("i4")
    assert expected < 0
    np.testing.assert_array_equal(nn.conv1d(x, w), [[[expected]]])
    np.testing.assert_array_equal(nn.conv1d(x, w, activation="relu"), [[[0]]])
    most = np.array([np.iinfo("i4").max], "i4")
    result = nn.conv1d(row(1, dtype="u1"), row(1, dtype="u1"), most)
    np.testing.assert_array_equal(result, [[[np.iinfo("i4").min]]])


def test_zero_points_of_each_output():
    x, w = np.full((1, 1, 2), 3, "u1"), np.full((4, 1, 1), 5, "i1")
    result = nn.conv1d(x, w, w_zero_point=np.array([0, 1, -1, 5]), x_zero_point=np.uint8(1))
    np.testing.assert_array_equal(result[0, :, 0], [10, 8, 12, 0])


# Padding ------------------------------------------------------------------------------------------


def test_forms_of_padding(rng):
    x, w = integers(rng, (1, 2, 6, 7), "d"), integers(rng, (3, 2, 3, 4), "d")
    alike = [1, (1, 1), [1, 1], (1,), np.array([1, 1]), ((1, 1), (1, 1)), np.int64(1)]
    for padding in alike:
        np.testing.assert_array_equal(nn.conv2d(x, w, padding=padding), nn.conv2d(x, w, padding=1))
    expected = nn.conv2d(np.pad(x, ((0, 0), (0, 0), (1, 2), (3, 0))), w)
    np.testing.assert_array_equal(nn.conv2d(x, w, padding=((1, 2), (3, 0))), expected)
    np.testing.assert_array_equal(nn.conv2d(x, w, padding="valid"), nn.conv2d(x, w))
    expected = nn.conv2d(x, w, padding=((1, 1), (1, 2)))
    np.testing.assert_array_equal(nn.conv2d(x, w, padding="same"), expected)
    np.testing.assert_array_equal(nn.conv2d(x, w, padding="same_upper"), expected)
    expected = nn.conv2d(x, w, padding=((1, 1), (2, 1)))
    np.testing.assert_array_equal(nn.conv2d(x, w, padding="same_lower"), expected)
    assert nn.conv2d(x, w, padding="same", dilation=(2, 1)).shape == (1, 3, 6, 7)


def test_padding_to_a_share_of_the_extent():
    for n, k, s, d in itertools.product(range(1, 12), range(1, 6), range(1, 5), range(1, 4)):
        x, w = np.arange(1.0, n + 1).reshape(1, 1, n), np.arange(1.0, k + 1).reshape(1, 1, k)
        total = max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)
        for rule, low in (("same_upper", total // 2), ("same_lower", -(-total // 2))):
            result = nn.conv1d(x, w, None, s, rule, d)
            assert result.shape == (1, 1, -(-n // s))
            expected = nn.conv1d(x, w, None, s, [(low, total - low)], d)
            np.testing.assert_array_equal(result, expected)
            back = nn.conv_transpose1d(x, w, None, s, rule, dilation=d)
            assert back.shape == (1, 1, n * s)
            # It is the gradient of the layer that takes this many elements.
            expected = nn.conv1d_grad_input(x, w, (1, 1, n * s), s, rule, d)
            np.testing.assert_array_equal(back, expected)


@pytest.mark.parametrize("padding", ["valid", "same_upper", "same_lower", 1, ((2, 0), (0, 1))])
def test_gradients_take_every_form_of_padding(padding, rng):
    x, w = integers(rng, (2, 4, 7, 8), "d"), integers(rng, (6, 2, 3, 3), "d")
    numbers = {"stride": (2, 1), "padding": padding, "groups": 2}
    y = nn.conv2d(x, w, **numbers)
    g = integers(rng, y.shape, "d")
    product = np.vdot(y, g)
    assert np.vdot(nn.conv2d_grad_input(g, w, x.shape, **numbers), x) == product
    assert np.vdot(nn.conv2d_grad_weight(g, x, w.shape, **numbers), w) == product


def test_flipped_kernels_have_flipped_gradients(rng):
    x, w = integers(rng, (2, 4, 7, 8), "d"), integers(rng, (6, 2, 3, 2), "d")
    flipped = w[..., ::-1, ::-1]
    y = nn.conv2d(x, w, groups=2, flip_kernel=True)
    np.testing.assert_array_equal(y, nn.conv2d(x, flipped, groups=2))
    g = integers(rng, y.shape, "d")
    grad = nn.conv2d_grad_input(g, w, x.shape, groups=2, flip_kernel=True)
    np.testing.assert_array_equal(grad, nn.conv2d_grad_input(g, flipped, x.shape, groups=2))
    grad = nn.conv2d_grad_weight(g, x, w.shape, groups=2, flip_kernel=True)
    expected = nn.conv2d_grad_weight(g, x, w.shape, groups=2)[..., ::-1, ::-1]
    np.testing.assert_array_equal(grad, expected)


def test_a_flipped_layer_is_scipys_convolution(rng):
    x, w = integers(rng, (9, 8), "d"), integers(rng, (3, 4), "d")
    result = nn.conv2d(x[None], w[None, None], flip_kernel=True)
    np.testing.assert_array_equal(result[0], fastconv.convolve(x, w, mode="valid"))


# Forms of arguments -------------------------------------------------------------------------------


@RANKS
def test_batches_and_layouts(rank, rng):
    space = (7, 6, 5)[:rank]
    x, w = integers(rng, (2, 4, *space), "d"), integers(rng, (6, 2, *(2, 3, 2)[:rank]), "d")
    first, last = layers.LAYOUTS[rank]
    conv, back, grad_input, grad_weight, grad_bias = (
        getattr(nn, name.format(rank))
        for name in (
            "conv{}d",
            "conv_transpose{}d",
            "conv{}d_grad_input",
            "conv{}d_grad_weight",
            "conv{}d_grad_bias",
        )
    )

    def moved(a):
        return np.moveaxis(a, 1, -1)

    y = conv(x, w, groups=2)
    np.testing.assert_array_equal(conv(x, w, groups=2, layout=first), y)
    np.testing.assert_array_equal(conv(moved(x), w, groups=2, layout=last), moved(y))
    np.testing.assert_array_equal(conv(x[0], w, groups=2), y[0])
    np.testing.assert_array_equal(conv(moved(x)[1], w, groups=2, layout=last), moved(y)[1])
    z = back(y, w, groups=2)
    np.testing.assert_array_equal(back(moved(y)[0], w, groups=2, layout=last), moved(z)[0])
    gx = grad_input(y, w, x.shape, groups=2)
    result = grad_input(moved(y)[0], w, moved(x)[0].shape, groups=2, layout=last)
    np.testing.assert_array_equal(result, moved(gx)[0])
    gw = grad_weight(y, x, w.shape, groups=2)
    result = grad_weight(moved(y), moved(x), w.shape, groups=2, layout=last)
    np.testing.assert_array_equal(result, gw)
    alone = [grad_weight(y[n], x[n], w.shape, groups=2) for n in range(2)]
    np.testing.assert_array_equal(sum(alone), gw)
    np.testing.assert_array_equal(grad_bias(y), y.sum(axis=(0, *range(2, rank + 2))))
    np.testing.assert_array_equal(grad_bias(moved(y)[0], layout=last), grad_bias(y[0]))


@RANKS
def test_empty_batches(rank):
    x, w = np.ones((0, 4, *(5,) * rank), "f"), np.ones((6, 2, *(3,) * rank), "f")
    conv, back, grad_input, grad_weight = (
        getattr(nn, f"conv{name}") for name in (f"{rank}d", f"_transpose{rank}d",
        f"{rank}d_grad_input", f"{rank}d_grad_weight")
    )  # fmt: skip
    y = conv(x, w, np.ones(6, "f"), groups=2)
    assert y.shape == (0, 6, *(3,) * rank)
    assert back(y, w, groups=2).shape == x.shape
    assert grad_input(y, w, x.shape, groups=2).shape == x.shape
    gradient = grad_weight(y, x, w.shape, groups=2)
    np.testing.assert_array_equal(gradient, np.zeros(w.shape, "f"))
    np.testing.assert_array_equal(getattr(nn, f"conv{rank}d_grad_bias")(y), np.zeros(6, "f"))
    assert {a.dtype for a in (y, gradient)} == {np.dtype("f")}


def test_lists_and_byte_orders():
    x, w = [[[1.0, 2.0, 3.0]]], [[[1.0, 1.0]]]
    np.testing.assert_array_equal(nn.conv1d(x, w, [1.0]), row(4, 6))
    swapped = [np.array(a, ">f8") for a in (x, w, [1.0])]
    result = nn.conv1d(*swapped)
    assert result.dtype.isnative
    np.testing.assert_array_equal(result, row(4, 6))
    np.testing.assert_array_equal(nn.conv1d_grad_weight(swapped[0], x, (1, 1, 1)), row(14))


def test_subclasses_become_arrays():
    x = np.ma.masked_array(row(1, 2, 3), mask=False)
    assert type(nn.conv1d(x, row(1, 1))) is np.ndarray


def test_nothing_is_changed(rng):
    arrays = [normal(rng, shape, "f") for shape in ((1, 4, 7, 8), (6, 2, 3, 3), (6,))]
    kept = [a.copy() for a in arrays]
    for a in arrays:
        a.flags.writeable = False
    x, w, b = arrays
    y = nn.conv2d(x, w, b, groups=2, activation="gelu")
    nn.conv_transpose2d(y, w, groups=2, activation="relu")
    nn.conv2d_grad_input(y, w, x.shape, groups=2)
    nn.conv2d_grad_weight(y, x, w.shape, groups=2)
    for a, b in zip(arrays, kept, strict=True):
        np.testing.assert_array_equal(a, b)


def test_numbers_that_equal_integers_are_looked_at_again():
    """A call that is kept does not let in numbers that equal its own."""
    nn.conv1d(row(1, 2, 3), row(1, 1), stride=1, groups=1)
    for kwargs in ({"stride": True}, {"stride": 1.0}, {"groups": 1.0}, {"padding": (False,)}):
        with pytest.raises(TypeError, match=next(iter(kwargs))):
            nn.conv1d(row(1, 2, 3), row(1, 1), **kwargs)


# out ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", NATIVE_LAYOUTS)
def test_results_into_out(layout, rng):
    x, w, b = (normal(rng, shape, "f") for shape in ((2, 4, 7, 8), (6, 2, 3, 3), 6))
    g = normal(rng, (2, 6, 5, 6), "f")
    for func, args in (
        (nn.conv2d, (x, w, b, 1, 0, 1, 2)),
        (nn.conv_transpose2d, (g, w, None, 1, 0, 0, 2)),
        (nn.conv2d_grad_input, (g, w, x.shape, 1, 0, 1, 2)),
        (nn.conv2d_grad_weight, (g, x, w.shape, 1, 0, 1, 2)),
    ):
        expected = func(*args)
        out = laid_out(np.zeros_like(expected), layout)
        assert func(*args, out=out) is out
        np.testing.assert_array_equal(out, expected)


def test_outs_that_cannot_be(rng):
    x, w = np.ones((1, 1, 9)), np.ones((1, 1, 3))
    read_only = np.zeros((1, 1, 7))
    read_only.flags.writeable = False
    for out, error, message in (
        ([0], TypeError, "out must be an? .*array"),
        (np.zeros((1, 7)), ValueError, "out has shape"),
        (np.zeros((1, 1, 7), "f"), ValueError, "out has dtype"),
        (np.zeros((1, 1, 7), ">f8"), ValueError, "out has dtype"),
        (read_only, ValueError, "read-only"),
        (x[..., :7], ValueError, "overlaps input 1"),
    ):
        with pytest.raises(error, match=message):
            nn.conv1d(x, w, out=out)
    b = np.ones(7)
    with pytest.raises(ValueError, match="overlaps input 3"):
        nn.conv1d(np.ones((1, 1, 3)), np.ones((7, 1, 3)), b, out=b.reshape(1, 7, 1))


# Errors -------------------------------------------------------------------------------------------

C2, T2, GI, GW = nn.conv2d, nn.conv_transpose2d, nn.conv2d_grad_input, nn.conv2d_grad_weight
F4 = X.astype("f")
U1, I1 = X.astype("u1"), W.astype("i1")
TWO = {"groups": 2}
ERRORS = {
    "axes of x": (ValueError, "x must have 4 axes", C2, (X[0, 0], W), TWO),
    "more axes of x": (ValueError, "x must have 4 axes", C2, (X[None], W), TWO),
    "axes of w": (ValueError, "w must have 4 axes", C2, (X, W[0]), TWO),
    "channels": (ValueError, "x has 4 channels", C2, (X, W), {}),
    "channels back": (ValueError, "x has 4 channels", T2, (X, W), {}),
    "groups of outputs": (ValueError, "groups=4 does not divide", C2, (X, W), {"groups": 4}),
    "no group": (ValueError, "groups must be at least 1", C2, (X, W), {"groups": 0}),
    "groups": (TypeError, "groups", C2, (X, W), {"groups": 2.0}),
    "bias": (ValueError, "bias has shape", C2, (X, W, np.ones(5)), TWO),
    "axes of bias": (ValueError, "bias has shape", C2, (X, W, np.ones((6, 1))), TWO),
    "dtype of bias": (TypeError, "bias must be of dtype", C2, (X, W, np.ones(6, "f")), TWO),
    "bias of integers": (TypeError, "bias must be of dtype int32", C2, (U1, I1, np.ones(6)), TWO),
    "dtypes": (TypeError, "w must be of x's dtype", C2, (F4, W), TWO),
    "dtypes back": (TypeError, "w must be of x's dtype", T2, (GRAD.astype("f"), W), TWO),
    "integers": (TypeError, "x must be float32", C2, (X.astype(int), W), TWO),
    "integer weights": (TypeError, "w must be float32", C2, (X, W.astype(int)), TWO),
    "half": (TypeError, "x must be float32", C2, (X.astype("e"), W.astype("e")), TWO),
    "booleans": (TypeError, "x must be float32", C2, (X > 0, W > 0), TWO),
    "objects": (TypeError, "x must be float32", C2, (X.astype(object), W), TWO),
    "strings": (TypeError, "x must be float32", C2, (X.astype(str), W), TWO),
    "bytes and floats": (TypeError, "w must be uint8", C2, (U1, W), TWO),
    "floats and bytes": (TypeError, "w must be of x's dtype", C2, (X, I1), TWO),
    "bytes back": (TypeError, "x must be float32", T2, (U1, I1), {}),
    "bytes in gradients": (TypeError, "grad must be float32", GI, (U1, I1, (1, 1, 1, 1)), {}),
    "no channel": (ValueError, "x may have no axis of length 0", C2, (X[:, :0], W[:, :0]), {}),
    "no space": (ValueError, "x may have no axis of length 0", C2, (X[:, :, :0], W), TWO),
    "no taps": (ValueError, "w must have channels and taps", C2, (X, W[:, :, :0]), TWO),
    "no outputs": (ValueError, "w must have channels and taps", C2, (X, W[:0]), TWO),
    "kernel": (ValueError, "the kernel reaches over 9", C2, (X, W), {**TWO, "dilation": 4}),
    "stride": (ValueError, "stride must be at least 1", C2, (X, W), {**TWO, "stride": 0}),
    "stride -1": (ValueError, "stride must be at least 1", C2, (X, W), {**TWO, "stride": (1, -1)}),
    "stride 1.5": (TypeError, "stride must be an integer", C2, (X, W), {**TWO, "stride": 1.5}),
    "stride True": (TypeError, "stride must be an integer", C2, (X, W), {**TWO, "stride": True}),
    "strides": (ValueError, "stride must be one integer or 2", C2, (X, W), {"stride": (1, 1, 1)}),
    "stride str": (TypeError, "stride must be an integer", C2, (X, W), {"stride": "1"}),
    "stride iterator": (TypeError, "stride must be", C2, (X, W), {"stride": iter((1, 1))}),
    "padding iterator": (TypeError, "padding must be", C2, (X, W), {"padding": iter((1, 1))}),
    "padding {}": (ValueError, "padding must be one", C2, (X, W), {"padding": []}),
    "stride None": (TypeError, "stride must be an integer", C2, (X, W), {"stride": None}),
    "dilation": (ValueError, "dilation must be at least 1", C2, (X, W), {**TWO, "dilation": 0}),
    "dilation True": (TypeError, "dilation", C2, (X, W), {**TWO, "dilation": (1, True)}),
    "padding": (ValueError, "padding must be at least 0", C2, (X, W), {**TWO, "padding": -1}),
    "padding 0.5": (TypeError, "padding must be an integer", C2, (X, W), {**TWO, "padding": 0.5}),
    "paddings": (ValueError, "padding must be one", C2, (X, W), {"padding": (1, 1, 1)}),
    "pairs": (ValueError, "padding must have a pair", C2, (X, W), {"padding": ((1, 1),)}),
    "mixed pairs": (TypeError, "padding must be all", C2, (X, W), {"padding": (1, (1, 1))}),
    "triples": (ValueError, "padding must have pairs", C2, (X, W), {"padding": ((1, 1, 1),) * 2}),
    "pair -1": (ValueError, "padding must be", C2, (X, W), {"padding": ((0, -1), (0, 0))}),
    "padding name": (ValueError, "padding must be", C2, (X, W), {**TWO, "padding": "full"}),
    "same": (ValueError, "needs stride 1", C2, (X, W), {**TWO, "padding": "same", "stride": 2}),
    "same back": (ValueError, "needs stride 1", T2, (GRAD, W), {"padding": "same", "stride": 2}),
    "layout": (ValueError, "layout must be 'NCHW'", C2, (X, W), {**TWO, "layout": "NCW"}),
    "layout None": (ValueError, "layout must be", C2, (X, W), {**TWO, "layout": 1}),
    "flip": (TypeError, "flip_kernel must be", C2, (X, W), {**TWO, "flip_kernel": 1}),
    "activation": (ValueError, "activation must be", C2, (X, W), {**TWO, "activation": "elu"}),
    "activation kind": (ValueError, "activation must be", C2, (X, W), {**TWO, "activation": []}),
    "complex": (TypeError, "takes real", C2, (X * 1j, W * 1j), {**TWO, "activation": "relu"}),
    "scale": (ValueError, "integer layer", C2, (U1, I1), {**TWO, "activation": "relu6"}),
    "zero points": (TypeError, "x_zero_point", C2, (X, W), {**TWO, "x_zero_point": 1}),
    "range": (ValueError, "x_zero_point", C2, (U1, I1), {**TWO, "x_zero_point": -1}),
    "range of w": (ValueError, "w_zero_point", C2, (U1, I1), {**TWO, "w_zero_point": 128}),
    "each": (ValueError, "w_zero_point", C2, (U1, I1), {**TWO, "w_zero_point": [1, 2]}),
    "each x": (ValueError, "x_zero_point", C2, (U1, I1), {**TWO, "x_zero_point": [1, 2]}),
    "points": (TypeError, "x_zero_point", C2, (U1, I1), {**TWO, "x_zero_point": 1.0}),
    "point True": (TypeError, "x_zero_point", C2, (U1, I1), {**TWO, "x_zero_point": True}),
    "method": (ValueError, "method", C2, (X, W), {**TWO, "method": "bogus"}),
    "method kind": (ValueError, "method", C2, (X, W), {**TWO, "method": ["gemm"]}),
    "fft": (ValueError, str(Reason.LAYER), C2, (X, W), {**TWO, "method": "fft"}),
    "gemm": (ValueError, str(Reason.DTYPE), C2, (U1, I1), {**TWO, "method": "gemm"}),
    "gemm of images": (
        ValueError, Reason.NOT_A_LAYER, fastconv.convolve, (X, X), {"method": "gemm"},
    ),
    "output_padding": (
        ValueError, "output_padding must be less", T2, (GRAD, W), {**TWO, "output_padding": 1},
    ),
    "output_padding -1": (
        ValueError, "output_padding must be at least 0", T2, (GRAD, W), {"output_padding": -1},
    ),
    "output_size": (
        ValueError, r"output_size must be from \(7, 8\) to \(7, 8\)", T2, (GRAD, W),
        {**TWO, "output_size": (8, 8)},
    ),
    "output_sizes": (
        ValueError, "output_size must", T2, (GRAD, W), {**TWO, "output_size": (1, 1, 1)},
    ),
    "channels of output_size": (
        ValueError, "output_size", T2, (GRAD, W), {**TWO, "output_size": (2, 5, 7, 8)},
    ),
    "both": (
        ValueError, "leaves no choice", T2, (GRAD, W),
        {**TWO, "stride": 2, "output_padding": 1, "output_size": (12, 14)},
    ),
    "same and size": (
        ValueError, "sets the size", T2, (GRAD, W),
        {**TWO, "padding": "same_upper", "output_size": (5, 6)},
    ),
    "nothing left": (ValueError, "takes all", T2, (GRAD, W), {**TWO, "padding": 4}),
    "grad": (ValueError, "grad has shape", GI, (GRAD, W, (2, 4, 8, 8)), TWO),
    "grad of x": (ValueError, "grad has shape", GW, (GRAD, X[:, :, 1:], W.shape), TWO),
    "batches": (ValueError, "grad has shape", GW, (GRAD[:1], X, W.shape), TWO),
    "batch": (ValueError, "grad has shape", GW, (GRAD[0], X[:1], W.shape), TWO),
    "input channels": (ValueError, "input_shape has 3", GI, (GRAD, W, (2, 3, 7, 8)), TWO),
    "input axes": (ValueError, "input_shape must have 4", GI, (GRAD, W, (7, 8)), TWO),
    "input kind": (TypeError, "input_shape must be a sequence", GI, (GRAD, W, 7), TWO),
    "input floats": (TypeError, "input_shape", GI, (GRAD, W, (2, 4, 7.0, 8)), TWO),
    "weight axes": (ValueError, "weight_shape must have 4", GW, (GRAD, X, (6, 2, 3)), TWO),
    "weight channels": (ValueError, "x has 4 channels", GW, (GRAD, X, (6, 3, 3, 3)), TWO),
    "dtypes of gradients": (TypeError, "x must be of grad's", GW, (GRAD, F4, W.shape), TWO),
    "space": (ValueError, "address space", C2, (X[:, :, :1, :1], W[..., :1, :1]),
        {**TWO, "padding": 2**30}),
    "bias gradient": (TypeError, "grad must be", nn.conv2d_grad_bias, (U1,), {}),
    "its axes": (ValueError, "grad must have 4", nn.conv2d_grad_bias, (X[0, 0],), {}),
    "its layout": (ValueError, "layout", nn.conv2d_grad_bias, (X,), {"layout": "NCW"}),
    "unfold": (ValueError, "the kernel reaches", nn.unfold, (X, 9), {}),
    "unfold axes": (ValueError, "input must have 4", nn.unfold, (X[0, 0], 2), {}),
    "unfold taps": (ValueError, "kernel_size must be", nn.unfold, (X, 0), {}),
    "unfold dtype": (TypeError, "input must be float32", nn.unfold, (U1, 2), {}),
    "unfold padding": (TypeError, "padding must be", nn.unfold, (X, 2, 1, "same"), {}),
    "fold rows": (ValueError, "no multiple", nn.fold, (np.ones((1, 5, 4)), 3, 2), {}),
    "fold columns": (ValueError, "there are 4 patches", nn.fold, (np.ones((1, 4, 5)), 3, 2), {}),
    "fold axes": (ValueError, "input must have 3", nn.fold, (np.ones(4), 3, 2), {}),
    "fold dtype": (TypeError, "input must be float32", nn.fold, (np.ones((4, 4), "i4"), 3, 2), {}),
    "fold size": (ValueError, "output_size must be", nn.fold, (np.ones((4, 4)), -3, 2), {}),
}  # fmt: skip


@pytest.mark.parametrize("case", ERRORS.values(), ids=ERRORS)
def test_errors(case):
    error, message, func, args, kwargs = case
    with pytest.raises(error, match=message):
        func(*args, **kwargs)


# NaN and Inf --------------------------------------------------------------------------------------


def test_infinities_are_no_warning():
    x = np.array([[[np.inf, 1e38, -np.inf, 1e37]], [[0, 3e38, 0, 0]]], "f")
    w = row(1, 10, -1, dtype="f")
    big = np.float32(3e38)
    expected = [[[np.inf, np.inf, -np.inf, -np.inf]], [[-big, np.inf, big, 0]]]
    for method in methods(nn.conv1d, x, w, padding=1):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            y = nn.conv1d(x, w, padding=1, method=method)
        np.testing.assert_array_equal(y, expected, err_msg=method)


def test_nan_touches_its_own_windows():
    x, w = np.ones((1, 2, 8, 8)), np.ones((3, 2, 3, 3))
    x[0, 1, 2, 5] = np.nan
    touched = np.zeros((8, 8), bool)
    touched[1:4, 4:7] = True
    for method in methods(nn.conv2d, x, w, padding=1):
        y = nn.conv2d(x, w, padding=1, method=method)
        expected = np.broadcast_to(touched, y.shape)
        np.testing.assert_array_equal(np.isnan(y), expected, err_msg=method)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_lies_outside_meets_no_tap(value):
    x, w = np.ones((1, 1, 4, 4)), np.ones((2, 1, 3, 3))
    w[1, 0, 0, 0] = value
    inside = np.zeros((4, 4), bool)
    inside[1:, 1:] = True
    for method in methods(nn.conv2d, x, w, padding=1):
        y = nn.conv2d(x, w, padding=1, method=method)
        assert np.isfinite(y[0, 0]).all(), method
        np.testing.assert_array_equal(np.isfinite(y[0, 1]), ~inside, err_msg=method)
    touched = np.zeros((9, 9), bool)
    touched[:8:2, :8:2] = True
    w = w.swapaxes(0, 1)
    for method in methods(nn.conv_transpose2d, x, w, stride=2):
        z = nn.conv_transpose2d(x, w, stride=2, method=method)
        assert np.isfinite(z[0, 0]).all(), method
        np.testing.assert_array_equal(np.isfinite(z[0, 1]), ~touched, err_msg=method)


# explain and plan ---------------------------------------------------------------------------------

IMAGE = Spec((1, 64, 56, 56), "float32")


def planned(rng, dtype="float32"):
    """(function, arguments, keyword arguments) of everything that can be planned."""
    for rank in (1, 2, 3):
        space, taps = (9, 8, 7)[:rank], (3, 2, 3)[:rank]
        x, w, b = (normal(rng, shape, dtype) for shape in ((2, 4, *space), (6, 2, *taps), (6,)))
        y = normal(rng, (2, 6, *(n - k + 1 for n, k in zip(space, taps, strict=True))), dtype)
        yield getattr(nn, f"conv{rank}d"), (x, w, b, 1, 0, 1, 2), {"activation": "relu"}
        yield getattr(nn, f"conv{rank}d"), (x, w), {"padding": "same", "groups": 2}
        yield getattr(nn, f"conv_transpose{rank}d"), (y, w, b[:4], 2, 1, 1, 2), {}
        yield getattr(nn, f"conv{rank}d_grad_input"), (y, w, x.shape, 1, 0, 1, 2), {}
        yield getattr(nn, f"conv{rank}d_grad_weight"), (y, x, w.shape, 1, 0, 1, 2), {}


def test_every_layer_can_be_explained_and_planned(rng):
    for func, args, kwargs in planned(rng):
        expected = func(*args, **kwargs)
        told = fastconv.explain(func, *args, **kwargs)
        assert told.problem.layer
        assert told.chosen in str(told)
        specs = [Spec(a.shape, a.dtype) if isinstance(a, np.ndarray) else a for a in args]
        assert fastconv.explain(func, *specs, **kwargs) == told
        plan = fastconv.plan(func, specs[0], *args[1:], **kwargs)
        assert plan.method == told.chosen
        for _ in range(2):
            result = plan(args[0])
            assert type(result) is np.ndarray
            np.testing.assert_array_equal(result, expected)
        out = np.zeros_like(expected)
        assert plan(args[0], out=out) is out
        np.testing.assert_array_equal(out, expected)
        for layout in ("stepped", "reversed", "unaligned"):
            out = laid_out(np.zeros_like(expected), layout)
            plan(laid_out(args[0], layout), out=out)
            np.testing.assert_array_equal(out, expected)


def test_plans_of_layers_are_pickled(rng):
    for func, args, kwargs in planned(rng):
        plan = fastconv.plan(func, *args, **kwargs)
        expected = plan(args[0])
        for other in (pickle.loads(pickle.dumps(plan)), copy.deepcopy(plan)):
            assert (other.method, other.problem) == (plan.method, plan.problem)
            np.testing.assert_array_equal(other(args[0]), expected)
    x, w = rng.integers(0, 255, (1, 3, 9, 9)).astype("u1"), integers(rng, (4, 3, 3, 3), "i1")
    plan = fastconv.plan(nn.conv2d, x, w, x_zero_point=7, w_zero_point=[1, 2, 3, -4])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(plan))(x), plan(x))


def test_forced_plans(rng):
    for func, args, kwargs in planned(rng, "float64"):
        for method in methods(func, *args, **kwargs)[1:]:
            plan = fastconv.plan(func, *args, **kwargs, method=method)
            assert plan.method == method
            np.testing.assert_allclose(plan(args[0]), func(*args, **kwargs), atol=1e-12)


def test_integer_plans(rng):
    x, w = rng.integers(0, 255, (1, 3, 9, 9)).astype("u1"), integers(rng, (4, 3, 3, 3), "i1")
    zeros = {"x_zero_point": 7, "w_zero_point": [1, 2, 3, -4], "padding": 1}
    plan = fastconv.plan(nn.conv2d, Spec(x.shape, "u1"), w, **zeros)
    np.testing.assert_array_equal(plan(x), nn.conv2d(x, w, **zeros))


def test_the_weights_of_a_plan_are_held(rng):
    w, b = normal(rng, (64, 64, 3, 3), "f"), normal(rng, 64, "f")
    x = normal(rng, IMAGE.shape, "f")
    plan = fastconv.plan(nn.conv2d, IMAGE, w, b, padding=1)
    expected = nn.conv2d(x, w, b, padding=1)
    w[...] = b[...] = np.nan
    np.testing.assert_array_equal(plan(x), expected)


def test_what_a_plan_refuses(rng):
    w = normal(rng, (64, 64, 3, 3), "f")
    plan = fastconv.plan(nn.conv2d, IMAGE, w)
    with pytest.raises(ValueError, match="the plan was made for"):
        plan(np.zeros((1, 64, 56, 55), "f"))
    with pytest.raises(ValueError, match="the plan was made for"):
        plan(np.zeros(IMAGE.shape))
    with pytest.raises(ValueError, match="out has shape"):
        plan(np.zeros(IMAGE.shape, "f"), out=np.zeros(3, "f"))
    for func, args in (
        (nn.unfold, (X, 2)),
        (nn.fold, (np.ones((4, 4)), 3, 2)),
        (nn.conv2d_grad_bias, (X,)),
    ):
        for ask in (fastconv.plan, fastconv.explain):
            with pytest.raises(TypeError, match="one of fastconv's functions"):
                ask(func, *args)
    with pytest.raises(TypeError, match="must be given, not their Specs"):
        fastconv.plan(nn.conv2d, IMAGE, Spec(w.shape, "f"))
    with pytest.raises(TypeError, match="holds no numbers"):
        nn.conv2d(IMAGE, w)
    for func in (nn.conv2d_grad_bias, lambda x: nn.unfold(x, 2), lambda x: nn.fold(x, 3, 2)):
        with pytest.raises(TypeError, match="holds no numbers"):
            func(IMAGE)


def test_shapes_alone_are_enough():
    told = fastconv.explain(
        nn.conv3d, Spec((64, 512, 400, 400, 400), "f"), Spec((512, 512, 3, 3, 3), "f"), stride=2
    )
    # A GPU's arrays for matrix products have positions of 32 bits.
    expected = {"direct"} if backend.on_gpu else {"gemm", "reference"}
    assert {c.name for c in told.candidates if c.predicted is not None} >= expected


@pytest.mark.parametrize("dtype", ["float32", "complex128"])
def test_no_method_plans_with_more_memory_than_allowed(dtype):
    shapes = [
        ((1, 64, 56, 56), (64, 64, 3, 3)),
        ((32, 512, 7, 7), (2048, 512, 1, 1)),
        ((1, 1, 4000, 4000), (1, 1, 31, 31)),
        ((1, 25088, 1, 1), (4096, 25088, 1, 1)),
        ((8, 3, 224, 224), (64, 3, 7, 7)),
        ((256, 1, 8, 8), (1, 1, 8, 8)),
    ]
    for (x, w), padding in itertools.product(shapes, (0, "same_upper")):
        y = nn_shape(x, w, padding)
        for told in (
            fastconv.explain(nn.conv2d, Spec(x, dtype), Spec(w, dtype), padding=padding),
            fastconv.explain(
                nn.conv2d_grad_input, Spec(y, dtype), Spec(w, dtype), x, padding=padding
            ),
            fastconv.explain(
                nn.conv2d_grad_weight, Spec(y, dtype), Spec(x, dtype), w, padding=padding
            ),
        ):
            limit = told.problem.workspace_limit
            assert all(c.workspace <= limit for c in told.candidates), f"{x} {w} {padding}"


def nn_shape(x, w, padding):
    space = x[2:] if padding else (n - k + 1 for n, k in zip(x[2:], w[2:], strict=True))
    return (x[0], w[0], *space)


@pytest.mark.cpu_only("what NumPy allocates")
@pytest.mark.thread_unsafe(reason="memory is the process's")
def test_methods_take_no_more_memory_than_allowed(rng):
    """NumPy's part of it; all patches at once would be three times what is allowed."""
    x, w = normal(rng, (1, 2, 1000, 1000), "f"), normal(rng, (2, 2, 5, 5), "f")
    y = np.zeros((1, 2, 996, 996), "f")
    calls = [(nn.conv2d, (x, w), y), (nn.conv2d_grad_input, (y, w, x.shape), np.empty_like(x))]
    calls.append((nn.conv2d_grad_weight, (y, x, w.shape), np.empty_like(w)))
    for func, args, out in calls:
        for method in methods(func, *args):
            if method == "reference" and func is nn.conv2d_grad_weight:
                continue  # which takes a minute for a million taps
            tracemalloc.start()
            func(*args, out=out, method=method)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert peak < 64 << 20, f"{method} {func.__name__}"


# Patches ------------------------------------------------------------------------------------------


def test_patches_by_hand():
    x = np.arange(1.0, 7).reshape(1, 1, 2, 3)
    expected = [[[1, 2], [2, 3], [4, 5], [5, 6]]]
    np.testing.assert_array_equal(nn.unfold(x, 2), expected)
    np.testing.assert_array_equal(nn.unfold(x[0], (2, 2)), expected[0])
    np.testing.assert_array_equal(nn.fold(expected * np.ones(1), (2, 3), 2), x * [1, 2, 1])
    np.testing.assert_array_equal(nn.fold(expected[0] * np.ones(1), (2, 3), 2), (x * [1, 2, 1])[0])
    np.testing.assert_array_equal(nn.unfold(x, (1, 2), 2, (0, 1), 2), [[[0, 2], [2, 0]]])


@pytest.mark.parametrize("dtype", FLOATS)
def test_patches_and_their_sums(dtype, rng):
    for _ in range(200):
        layer = layers.random_layer(rng, even=True)
        if layer.rank != 2:
            continue
        padding = tuple(a for a, _ in layer.pairs)
        numbers = (layer.w[2:], layer.dilation, padding, layer.stride)
        x = integers(rng, layer.x, dtype)
        columns = nn.unfold(x, *numbers)
        assert columns.dtype == dtype
        np.testing.assert_array_equal(columns, layers.patches(layer, x))
        other = integers(rng, columns.shape, dtype)
        images = nn.fold(other, layer.x[2:], *numbers)
        assert images.dtype == dtype
        assert images.shape == x.shape
        assert np.vdot(images.astype("D"), x) == np.vdot(other.astype("D"), columns)
        # A layer is its weights times the patches.
        w = integers(rng, (2, layer.x[1], *layer.w[2:]), dtype)
        product = w.reshape(2, math.prod(w.shape[1:])) @ columns
        y = nn.conv2d(x, w, None, layer.stride, padding, layer.dilation)
        np.testing.assert_array_equal(product.reshape(y.shape), y)


# Names --------------------------------------------------------------------------------------------


def test_arguments_are_pytorchs():
    """In the order of torch.nn.functional's; what is ours comes by keyword."""
    forward = ["x", "w", "bias", "stride", "padding", "dilation", "groups"]
    back = ["x", "w", "bias", "stride", "padding", "output_padding", "groups", "dilation"]
    for rank in (1, 2, 3):
        for name, expected in ((f"conv{rank}d", forward), (f"conv_transpose{rank}d", back)):
            parameters = inspect.signature(getattr(nn, name)).parameters.values()
            positional = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
            assert positional == expected
    assert list(inspect.signature(nn.unfold).parameters) == [
        "input", "kernel_size", "dilation", "padding", "stride",
    ]  # fmt: skip
    assert set(nn.__all__) == {n for n in dir(nn) if n.startswith("conv")} | {"fold", "unfold"}
