"""`solve_layer` below the methods: every form, dtype, edge and stride; nothing written outside."""

import itertools

import numpy as np
import pytest
from arrays import Guarded, laid_out
from layer_sums import assert_close, bound, solve

from fastconv._native import _core
from fastconv._native._core import (
    FORM_CHANNELS,
    FORM_DEPTHWISE,
    FORM_DOTS,
    FORM_GRADIENTS,
    FORM_WINOGRAD,
)

FORMS = {
    "channels": FORM_CHANNELS,
    "gradients": FORM_GRADIENTS,
    "depthwise": FORM_DEPTHWISE,
    "dots": FORM_DOTS,
}
LANES = (2, 4, 8, 16)
EDGES = sorted({m * lanes + d for lanes in LANES for m in (1, 2) for d in (-1, 0, 1)} - {0})
ONES = (1, 1, 1)

every_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
every_dtype = pytest.mark.parametrize("dtype", "fd")


def random(rng, shape, dtype):
    if np.dtype(dtype).kind in "iu":
        return rng.integers(-128, 256, shape).astype(dtype)
    if np.dtype(dtype).kind == "c":
        return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)


def as_real(w):
    """Complex weights as the native code takes them."""
    g, o, c, *taps = w.shape
    real = np.empty((g, o, 2, c, 2, *taps), w.real.dtype)
    real[:, :, 0, :, 0] = real[:, :, 1, :, 1] = w.real
    real[:, :, 1, :, 0], real[:, :, 0, :, 1] = w.imag, -w.imag
    return real.reshape(g, 2 * o, 2 * c, *taps)


def check(form, x, w, out, offset, stride=ONES, dilation=ONES, threads=1, layout="C", bias=None):
    result = Guarded((*x.shape[:2], w.shape[1], *out), x.dtype, layout)
    weights = as_real(w) if w.dtype.kind == "c" else w
    real_bias = bias.view(bias.real.dtype) if bias is not None else None
    _core.solve_layer(
        x, weights, result.array, offset, stride, dilation, real_bias, 0, 0.0, form, threads
    )
    y = result.take()
    assert_close(y, x, w, out, offset, stride, dilation, bias=bias)
    return y


def random_case(rng, form, dtype):
    """A geometry of any kind: the window may lie anywhere, inside the data or beyond it."""
    n, g = rng.integers(1, 4, 2)
    o, c = (int(rng.choice([1, 2, 3, 5, 7, 13, 20])) for _ in range(2))
    c = 1 if form == FORM_DEPTHWISE else c
    ndim = int(rng.integers(1, 4))
    few, many = rng.integers(1, 5, 3), rng.integers(1, (70, 20, 9)[ndim - 1], 3)
    taps, out = (many, few) if form in (FORM_GRADIENTS, FORM_DOTS) else (few, many)
    taps[: 3 - ndim] = out[: 3 - ndim] = 1
    stride, dilation = rng.integers(1, 4, 3), rng.integers(1, 4, 3)
    extents = np.maximum((out - 1) * stride + (taps - 1) * dilation + 1 + rng.integers(-6, 4, 3), 1)
    offset = rng.integers(-5, 4, 3)
    x, w = random(rng, (n, g, c, *extents), dtype), random(rng, (g, o, c, *taps), dtype)
    return x, w, *(tuple(map(int, a)) for a in (out, offset, stride, dilation))


@every_form
@every_dtype
def test_random_geometries(form, dtype, rng):
    for _ in range(60):
        x, w, *geometry = random_case(rng, form, dtype)
        bias = random(rng, w.shape[0] * w.shape[1], dtype) if rng.integers(2) else None
        check(form, x, w, *geometry, bias=bias, threads=int(rng.integers(1, 4)))


@pytest.mark.parametrize("dtype", "FD")
@pytest.mark.parametrize("form", [FORM_CHANNELS, FORM_GRADIENTS], ids=["channels", "gradients"])
def test_complex(form, dtype, rng):
    for _ in range(40):
        x, w, *geometry = random_case(rng, form, dtype)
        check(form, x, w, *geometry, bias=random(rng, w.shape[0] * w.shape[1], dtype))


@pytest.mark.parametrize("length", EDGES)
def test_lines_at_the_edges_of_vectors(length, rng):
    for dtype, outputs in itertools.product("fd", (1, 3, 6, 13)):
        x, w = (
            random(rng, (1, 1, 2, 1, 2, length), dtype),
            random(rng, (1, outputs, 2, 1, 1, 3), dtype),
        )
        check(FORM_CHANNELS, x, w, (1, 2, length), (0, 0, -1))
        check(FORM_DEPTHWISE, x[:, :, :1], w[:, :, :1], (1, 2, length), (0, 0, -1))
        g = random(rng, (1, outputs, 2, 1, 2, length), dtype)
        check(FORM_GRADIENTS, x, g, (1, 1, 3), (0, 0, -1))
        check(FORM_DOTS, x, g, (1, 1, 3), (0, 0, -1))


@pytest.mark.parametrize("outputs", range(1, 27))
def test_every_height_of_tile(outputs, rng):
    for dtype, columns in itertools.product("fd", (3, 16, 40, 100)):
        x, w = (
            random(rng, (1, 1, 5, 1, 3, columns), dtype),
            random(rng, (1, outputs, 5, 1, 3, 3), dtype),
        )
        check(FORM_CHANNELS, x, w, (1, 3, columns), (0, -1, -1))
        batch = np.swapaxes(random(rng, (1, 1, outputs, 1, 3, columns), dtype), 0, 2)
        check(
            FORM_GRADIENTS,
            batch,
            random(rng, (1, 9, 1, 1, 3, columns), dtype),
            (1, 2, 2),
            (0, 0, 0),
        )


@pytest.mark.parametrize("layout", ["C", "F", "reversed", "stepped", "transposed"])
@every_form
def test_layouts(form, layout, rng):
    for dtype in "fd":
        x, w, *geometry = random_case(rng, form, dtype)
        check(form, laid_out(x, layout), laid_out(w, layout), *geometry, layout=layout)


def test_data_and_outputs_may_be_unaligned(rng):
    for form in FORMS.values():
        x, w, *geometry = random_case(rng, form, "f")
        check(form, laid_out(x, "unaligned"), w, *geometry, layout="unaligned")


@every_form
def test_bits_are_those_of_one_thread(form, rng):
    for _ in range(8):
        x, w, out, *geometry = random_case(rng, form, "f")
        x = np.concatenate([x] * 3)
        results = []
        for threads in (1, 2, 3, 7):
            y = np.empty((*x.shape[:2], w.shape[1], *out), "f")
            _core.solve_layer(x, w, y, *geometry, None, 0, 0.0, form, threads)
            results.append(y.view("u4"))
        for other in results[1:]:
            np.testing.assert_array_equal(other, results[0])


@pytest.mark.parametrize(
    ("channels", "outputs", "side", "kernel"),
    [(70, 130, 9, 3), (300, 20, 14, 1), (8, 300, 7, 3), (3, 17, 40, 7), (1, 2, 30, 17)],
)
def test_more_than_one_block(channels, outputs, side, kernel, rng):
    """Channels, outputs and steps that are cut into blocks, and packed panels."""
    x = random(rng, (2, 1, channels, 1, side, side), "f")
    w = random(rng, (1, outputs, channels, 1, kernel, kernel), "f")
    pad = -(kernel // 2)
    check(FORM_CHANNELS, x, w, (1, side, side), (0, pad, pad), threads=2)
    g = random(rng, (1, outputs, 2, 1, side, side), "f")
    check(FORM_GRADIENTS, np.swapaxes(x, 0, 2), g, (1, kernel, kernel), (0, pad, pad), threads=2)
    check(FORM_DOTS, np.swapaxes(x, 0, 2)[:3], g[:, :3], (1, kernel, kernel), (0, pad, pad))


@pytest.mark.parametrize("taps", [(1, 9), (5, 60)])
def test_long_lines(taps, rng):
    x = random(rng, (1, 1, 2, 1, 1, 20_000), "f")
    w = random(rng, (1, 3, 2, 1, 1, taps[1]), "f")
    check(FORM_CHANNELS, x, w, (1, 1, 20_000), (0, 0, -4), threads=2)
    check(FORM_DEPTHWISE, x[:, :, :1], w[:, :, :1], (1, 1, 20_000), (0, 0, -4), threads=2)
    g = random(rng, (1, 3, 2, 1, 1, 3_000), "f")
    x = x[..., :3_000]
    check(FORM_GRADIENTS, x, g, (1, 1, taps[0]), (0, 0, -2), threads=2)
    check(FORM_DOTS, x, g, (1, 1, taps[0]), (0, 0, -2), threads=2)


@every_form
def test_a_nan_reaches_its_own_outputs_only(form, rng):
    for _ in range(20):
        x, w, *geometry = random_case(rng, form, "f")
        at = tuple(int(rng.integers(n)) for n in x.shape)
        x[at] = np.nan
        y = np.empty((*x.shape[:2], w.shape[1], *geometry[0]), "f")
        _core.solve_layer(x, w, y, *geometry[1:], None, 0, 0.0, form, 2)
        holds = solve(np.isnan(x).astype(int), np.ones_like(w, int), *geometry) > 0
        np.testing.assert_array_equal(np.isnan(y), holds)


# Winograd -----------------------------------------------------------------------------------------


def winograd_case(rng, dtype):
    """A layer of 3 x 3 taps, whose outputs may lie beyond the data."""
    n, g, depth = rng.integers(1, 3, 3)
    o, c = (int(rng.choice([1, 2, 5, 13, 70])) for _ in range(2))
    extents, offset = rng.integers(1, 24, 2), rng.integers(-3, 2, 2)
    out = np.maximum(extents - 2 - 2 * offset + rng.integers(-3, 3, 2), 1)
    x, w = random(rng, (n, g, c, depth, *extents), dtype), random(rng, (g, o, c, 1, 3, 3), dtype)
    if rng.integers(2):  # as the gradient of the input has them
        w = np.ascontiguousarray(w.swapaxes(1, 2)).swapaxes(1, 2)[..., ::-1, ::-1]
    return x, w, (int(depth), *map(int, out)), (0, *map(int, offset)), ONES, ONES


def neighbours(bounds):
    """The largest bound of the outputs that a tile may hold: errors are shared among them."""
    edge = [(0, 0)] * (bounds.ndim - 2) + [(1, 1), (1, 1)]
    padded = np.pad(bounds, edge)
    rows, columns = bounds.shape[-2:]
    shifts = itertools.product(range(3), repeat=2)
    return np.max([padded[..., r : r + rows, c : c + columns] for r, c in shifts], axis=0)


@every_dtype
def test_winograd(dtype, rng):
    for _ in range(60):
        x, w, *geometry = winograd_case(rng, dtype)
        bias = random(rng, w.shape[0] * w.shape[1], dtype)
        y = Guarded((*x.shape[:2], w.shape[1], *geometry[0]), dtype)
        transformed = _core.winograd_weights(w, int(rng.integers(1, 4)))
        arguments = (transformed, y.array, *geometry[1:], bias, 1, 0.0, FORM_WINOGRAD)
        assert _core.solve_layer(x, *arguments, int(rng.integers(1, 4)))
        expected = solve(x, w, *geometry) + bias.reshape(1, *w.shape[:2], 1, 1, 1)
        allowed = neighbours(bound(x, w, *geometry))
        allowed = allowed + 4 * np.finfo(dtype).eps * (1 + np.abs(expected))
        assert (np.abs(y.take() - np.maximum(expected, 0)) <= allowed).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [(0, 0), (4, 4), (8, 8)])
def test_winograd_tells_of_numbers_that_are_none(bad, at, rng):
    x, w = random(rng, (2, 1, 5, 1, 9, 9), "f"), random(rng, (1, 3, 5, 1, 3, 3), "f")
    y = np.empty((2, 1, 3, 1, 9, 9), "f")
    arguments = (y, (0, -1, -1), ONES, ONES, None, 0, 0.0, FORM_WINOGRAD)
    assert _core.solve_layer(x, _core.winograd_weights(w), *arguments)
    x[1, 0, 2, 0, *at] = bad
    assert not _core.solve_layer(x, _core.winograd_weights(w), *arguments)
    x[1, 0, 2, 0, *at] = 0
    w[0, 1, 1, 0, 2, 2] = bad
    assert not _core.solve_layer(x, _core.winograd_weights(w), *arguments)


def test_winograd_bits_are_those_of_one_thread(rng):
    x, w, out, *geometry = winograd_case(rng, "f")
    x, results = np.concatenate([x] * 3), []
    for threads in (1, 2, 5):
        y = np.empty((*x.shape[:2], w.shape[1], *out), "f")
        transformed = _core.winograd_weights(w, threads)
        _core.solve_layer(x, transformed, y, *geometry, None, 0, 0.0, FORM_WINOGRAD, threads)
        results.append(y.view("u4"))
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])


# Integers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [FORM_CHANNELS, FORM_DEPTHWISE], ids=["channels", "depthwise"])
@pytest.mark.parametrize("dtype", ["i1", "u1"])
def test_integers_are_exact(form, dtype, rng):
    for _ in range(30):
        x, w, out, *geometry = random_case(rng, form, dtype)
        zero = int(rng.integers(-10, 10))
        w = w.astype(int) - int(rng.integers(-10, 10))
        bias = rng.integers(-(2**31), 2**31, w.shape[0] * w.shape[1]).astype(np.int32)
        y = Guarded((*x.shape[:2], w.shape[1], *out), np.int32)
        _core.solve_layer(x, w.astype("f"), y.array, *geometry, bias, 0, zero, form, 2)
        expected = solve(x.astype(int) - zero, w, out, *geometry)
        expected = expected + bias.reshape(1, *w.shape[:2], 1, 1, 1).astype(int)
        np.testing.assert_array_equal(y.take(), expected.astype(np.int32))


def test_the_largest_integers(rng):
    """Products of 255 · 255 that leave the range of exact floats, and then that of int32."""
    x = np.full((1, 1, 4000, 1, 3, 20), 255, np.uint8)
    w = np.full((1, 3, 4000, 1, 3, 3), -255, "f")
    y = np.empty((1, 1, 3, 1, 1, 18), np.int32)
    _core.solve_layer(x, w, y, (0, 0, 0), ONES, ONES, None, 0, 0.0, FORM_CHANNELS, 1)
    expected = np.array(-(255**2) * 36_000).astype(np.int64).astype(np.int32)
    assert (y == expected).all()
    x[...] = rng.integers(0, 2, x.shape) * 255
    _core.solve_layer(x, w, y, (0, 0, 0), ONES, ONES, None, 0, 0.0, FORM_CHANNELS, 1)
    expected = solve(x.astype(int), w.astype(int), (1, 1, 18), (0, 0, 0), ONES, ONES)
    np.testing.assert_array_equal(y, expected.astype(np.int32))


# Activations --------------------------------------------------------------------------------------


@every_form
@every_dtype
def test_activations(form, dtype, rng):
    from math import erf

    def sigmoid(y):
        return 1 / (1 + np.exp(-y))

    functions = [
        lambda y: y,
        lambda y: np.maximum(y, 0),
        lambda y: np.clip(y, 0, 6),
        lambda y: np.where(y < 0, y / 100, y),
        sigmoid,
        np.tanh,
        lambda y: y * sigmoid(y),
        lambda y: y / 2 * (1 + np.vectorize(erf)(y / np.sqrt(2))),
    ]
    x, w, out, *geometry = random_case(rng, form, dtype)
    bias = random(rng, w.shape[0] * w.shape[1], dtype)
    sums = solve(x, w, out, *geometry) + bias.reshape(1, *w.shape[:2], 1, 1, 1)
    for activation, function in enumerate(functions):
        y = np.empty((*x.shape[:2], w.shape[1], *out), dtype)
        _core.solve_layer(x, w, y, *geometry, bias, activation, 0.0, form, 1)
        tolerance = 1e-4 if dtype == "f" else 1e-12
        np.testing.assert_allclose(y, function(sums.astype(float)), tolerance, tolerance)


@pytest.mark.parametrize("activation", range(8))
def test_activations_of_numbers_that_are_none(activation):
    x = np.array([np.nan, np.inf, -np.inf, 0.0], "f").reshape(1, 1, 1, 1, 1, 4)
    y = np.empty_like(x)
    with np.errstate(invalid="ignore"):
        _core.solve_layer(x, np.ones((1,) * 6, "f"), y, (0,) * 3, ONES, ONES, None, activation)
    limits = {0: (np.inf, -np.inf), 1: (np.inf, 0), 2: (6, 0), 3: (np.inf, -np.inf), 4: (1, 0)}
    limits |= {5: (1, -1), 6: (np.inf, np.nan), 7: (np.inf, np.nan)}
    np.testing.assert_array_equal(y.ravel()[:3], [np.nan, *limits[activation]])


# Refusals -----------------------------------------------------------------------------------------


def test_arrays_that_do_not_fit():
    x, w = np.ones((1, 2, 3, 1, 4, 4), "f"), np.ones((2, 5, 3, 1, 1, 1), "f")
    y = np.empty((1, 2, 5, 1, 4, 4), "f")
    at = (0,) * 3, ONES, ONES
    for wrong in [
        (x[:, :1], w, y),
        (x, w[:, :4], y),
        (x, w[:, :, :2], y),
        (x[0], w, y),
        (x[:0], w, y[:0]),
    ]:
        with pytest.raises(ValueError):
            _core.solve_layer(*wrong, *at)
    for wrong in [(x.astype("d"), w, y), (x, w.astype("d"), y), (x.astype("i4"), w, y)]:
        with pytest.raises(TypeError, match="no kernel of layers"):
            _core.solve_layer(*wrong, *at)
    with pytest.raises(ValueError, match="bias"):
        _core.solve_layer(x, w, y, *at, np.ones(3, "f"))
