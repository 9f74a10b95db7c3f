"""What each method of layers promises beyond its values: bits, NaN, choices, workspace."""

import numpy as np
import pytest
from arrays import laid_out

import fastconv
from fastconv import nn
from fastconv._native import _core

WIDE = (1, 40, 18, 20), (48, 40, 3, 3)  # where winograd is chosen


@pytest.fixture
def layer(rng):
    x, w = (rng.standard_normal(shape).astype("f") for shape in WIDE)
    return x, w, rng.standard_normal(WIDE[1][0]).astype("f")


def test_three_by_three_taps_go_to_winograd(layer):
    x, w, b = layer
    assert fastconv.explain(nn.conv2d, x, w, b, padding=1).chosen == "winograd"
    assert fastconv.explain(nn.conv2d_grad_input, np.ones((1, 48, 18, 20), "f"), w, x.shape, 1, 1)
    told = fastconv.explain(nn.conv2d, x, w[:40, :1].copy(), groups=40, padding=1)
    (reason,) = (c.reason for c in told.candidates if c.name == "winograd")
    assert "one sum" in reason
    for numbers in ({"stride": 2}, {"dilation": 2}, {"groups": 2}):
        taps = w[:, : 40 // numbers.get("groups", 1)]
        told = fastconv.explain(nn.conv2d, x, taps, b, **numbers)
        able = {c.name for c in told.candidates if c.predicted is not None}
        assert ("winograd" in able) == ("groups" in numbers)


@pytest.mark.parametrize("where", ["x", "w"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_inf_reach_their_own_outputs_only(layer, where, bad):
    x, w, b = layer
    if where == "x":
        x[0, 3, 9, 9] = bad
    else:
        w[5, 3, 0, 1] = bad
    results = {m: nn.conv2d(x, w, b, padding=1, method=m) for m in METHODS}
    window = np.zeros((1, 48, 18, 20), bool)
    if where == "x":
        window[:, :, 8:11, 8:11] = True
    else:
        window[:, 5, 1:] = True
    for method, y in results.items():
        assert (np.isfinite(y) != window).all(), method


METHODS = ("channels", "winograd", "gemm", "reference")


@pytest.mark.parametrize("method", METHODS)
def test_bits_are_those_of_one_thread(layer, method):
    x, w, b = layer
    results = []
    for threads in (1, 2, 3):
        with fastconv.num_threads(threads):
            y = nn.conv2d(x, w, b, padding=1, method=method)
            g = nn.conv2d_grad_input(y, w, x.shape, padding=1, method=method)
            results.append((y, g))
    if method == "gemm":  # BLAS has threads of its own
        return
    for y, g in results[1:]:
        np.testing.assert_array_equal(y, results[0][0])
        np.testing.assert_array_equal(g, results[0][1])


@pytest.mark.parametrize("seed", range(4))
def test_cutting_a_layer_for_threads_keeps_the_order_of_its_sums(seed):
    """Layers of many channels, whose staged blocks would depend on the size of an item."""
    rng = np.random.default_rng([7, seed])
    for _ in range(8):
        groups = int(rng.choice([1, 1, 2]))
        channels, outputs = (groups * int(rng.choice([16, 100, 256])) for _ in range(2))
        taps, stride, side = (
            int(rng.choice([1, 3])),
            int(rng.choice([1, 2])),
            int(rng.integers(7, 40)),
        )
        x = rng.standard_normal((1, channels, side, side + 3)).astype("f")
        w = rng.standard_normal((outputs, channels // groups, taps, taps)).astype("f")
        numbers = {"stride": stride, "padding": taps // 2, "groups": groups}
        results = []
        for threads in (1, 2, 8):
            with fastconv.num_threads(threads):
                y = nn.conv2d(x, w, **numbers, method="channels")
                back = nn.conv2d_grad_input(y, w, x.shape, **numbers, method="channels")
                results.append((y, back, nn.conv2d_grad_weight(y, x, w.shape, **numbers)))
        for other in results[1:]:
            for a, b in zip(other, results[0], strict=True):
                np.testing.assert_array_equal(a, b, err_msg=f"{x.shape} {w.shape} {numbers}")


@pytest.mark.parametrize("method", ["auto", *METHODS])
def test_a_plan_gives_the_same(layer, method):
    x, w, b = layer
    w = w.copy()
    expected = nn.conv2d(x, w, b, padding=1, activation="relu", method=method)
    planned = fastconv.plan(
        nn.conv2d,
        fastconv.Spec(x.shape, "float32"),
        w,
        b,
        padding=1,
        activation="relu",
        method=method,
    )
    w[...] = 0  # the plan holds a copy
    out = np.empty_like(expected)
    for _ in range(2):
        assert planned(x, out=out) is out
        np.testing.assert_array_equal(out, expected)


# The fast road of small layers --------------------------------------------------------------------


def short(rank, x, w, bias=None, stride=1, padding=0, dilation=1, groups=1, **others):
    rest = {"layout": None, "activation": None, "flip_kernel": False} | dict.fromkeys(
        ("x_zero_point", "w_zero_point"), 0
    )
    rest |= {"out": None, "method": "auto"} | others
    return _core.short_layer(rank, x, w, bias, stride, padding, dilation, groups, *rest.values())


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_small_layers_give_the_bits_of_their_method(rank, dtype):
    """Layers for which nothing is chosen are those for which `channels` would be."""
    rng = np.random.default_rng([11, rank])
    function = getattr(nn, f"conv{rank}d")
    taken = 0

    def numbers(least, most):
        each = tuple(int(v) for v in rng.integers(least, most, rank))
        return each if rng.random() < 0.5 else each[0]

    for _ in range(600):
        groups, batch = int(rng.choice([1, 1, 2, 3, 8])), int(rng.choice([1, 1, 2, 5]))
        channels, outputs = (int(n) for n in rng.integers(1, 9, 2))
        space = tuple(int(n) for n in rng.integers(1, (0, 200, 24, 9)[rank], rank))
        taps = (3,) * rank if rng.random() < 0.3 else tuple(rng.integers(1, 6, rank).tolist())
        x = rng.standard_normal((batch, groups * channels, *space)).astype(dtype)
        w = rng.standard_normal((groups * outputs, channels, *taps)).astype(dtype)
        bias = rng.standard_normal(len(w)).astype(dtype) if rng.random() < 0.5 else None
        arrays = (x if batch > 1 or rng.random() < 0.7 else x[0], w, bias)
        kwargs = {"padding": numbers(0, 4), "groups": groups}
        if rng.random() < 0.6:
            kwargs |= {"stride": numbers(1, 4), "dilation": numbers(1, 4)}
        if rng.random() < 0.3:
            kwargs["activation"] = "relu"
        result = short(rank, *arrays, **kwargs)
        if result is None:
            continue
        taken += 1
        expected = function(*arrays, **kwargs, method="channels")
        assert result.dtype == dtype
        assert result.flags.c_contiguous
        np.testing.assert_array_equal(result, expected, err_msg=f"{x.shape} {w.shape} {kwargs}")
        np.testing.assert_array_equal(function(*arrays, **kwargs), expected)
        assert fastconv.explain(function, *arrays, **kwargs).chosen == "channels"
    assert taken > 50


def test_the_short_road_of_layers_leaves_the_rest_alone(rng):
    """Whatever is not plain, not small, or an error."""
    x, w = rng.standard_normal((1, 4, 8, 8)), rng.standard_normal((4, 4, 3, 3))
    b = rng.standard_normal(4)
    assert short(2, x, w, b, (1, 2), (1, 0), (2, 1), layout="NCHW", activation="relu") is not None
    arrays = [
        (x.tolist(), w),
        (x, w.tolist()),
        (x[..., ::2], w),
        (x, w[..., ::-1]),
        (x.astype("f"), w),
        (x.astype("F"), w.astype("F")),
        (x.astype("u1"), w.astype("u1")),
        (x.astype(x.dtype.newbyteorder()), w.astype(w.dtype.newbyteorder())),
        (laid_out(x, "unaligned"), w),
        (np.ma.array(x), w),
        (fastconv.Spec(x.shape), w),
        (x[0, 0], w),
        (x[None], w),
        (x, w[0]),
        (x[:0], w),
        (x[:, :0], w[:, :0]),
        (x[:, :, :0], w),
        (x, w[:0]),
        (x, w[:, :, :0]),
        (x[:, :3].copy(), w),
        (x[:, :, :2].copy(), w),
        (x[:, :, :3, :3].copy(), w),  # more taps than outputs
        (np.ones((1, 64, 28, 28)), np.ones((64, 64, 3, 3))),
        (np.ones((99, 1, 4, 4)), np.ones((1, 1, 2, 2))),
        (x, w, b[:3]),
        (x, w, b[None]),
        (x, w, b.astype("f")),
        (x, w, b.tolist()),
        (x, w, np.repeat(b, 2)[::2]),
    ]
    for given in arrays:
        assert short(2, *given) is None
    numbers = [
        *({"stride": n} for n in (0, -1, True, 1.0, "1", (1,), (1, 1, 1), [1, 1], (1, 2.0), 2**31)),
        *({"padding": n} for n in (-1, "same", "valid", ((1, 1), (0, 0)), (1, -1), 2**70)),
        *({"dilation": n} for n in (0, None, 9, np.int64(1), 2**40)),
        *({"groups": n} for n in (0, 3, 2.0, (1,), (1, 1), 8)),
        {"layout": "NHWC"},
        {"layout": "NCW"},
        {"activation": "gelu"},
        {"activation": "bogus"},
        {"activation": 1},
        {"flip_kernel": True},
        {"flip_kernel": 0},
        {"x_zero_point": 1},
        {"w_zero_point": np.zeros(4, int)},
        {"x_zero_point": False},
        {"out": np.zeros((1, 4, 6, 6))},
        {"method": "channels"},
        {"method": None},
    ]
    for kwargs in numbers:
        assert short(2, x, w, **kwargs) is None, kwargs


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_small_layers_keep_bad_weights_from_the_padding(bad):
    x, w = np.ones((1, 1, 6, 6)), np.ones((1, 1, 3, 3))
    w[0, 0, 0, 0] = bad
    assert short(2, x, w, padding=1) is None
    result = nn.conv2d(x, w, padding=1)
    assert np.isfinite(result[0, 0, 0]).all()
    assert np.isfinite(result[0, 0, :, 0]).all()
    assert not np.isfinite(result[0, 0, 1:, 1:]).any()
    assert not np.isfinite(short(2, x, w)).any()  # where no window reaches it
    x[0, 0, 2, 2] = bad
    result = short(2, x, np.ones((1, 1, 3, 3)), padding=1)
    touched = np.zeros((6, 6), bool)
    touched[1:4, 1:4] = True
    np.testing.assert_array_equal(np.isfinite(result[0, 0]), ~touched)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_errors_are_no_larger_than_those_of_the_sum(rng, scale):
    """Root mean squares of the errors, for each method, in float32."""
    x = rng.standard_normal((1, 64, 28, 28)) * scale
    w = rng.standard_normal((64, 64, 3, 3))
    exact = nn.conv2d(x.astype("f").astype("d"), w.astype("f").astype("d"), padding=1)
    errors = {
        method: np.sqrt(
            np.mean(
                (nn.conv2d(x.astype("f"), w.astype("f"), padding=1, method=method) - exact) ** 2
            )
        )
        for method in ("channels", "winograd")
    }
    # One product after the other would err by about eps / 2 · sqrt(terms) of the result's size.
    one_by_one = np.finfo("f").eps / 2 * np.sqrt(64 * 9) * np.sqrt(np.mean(exact**2))
    assert max(errors.values()) < one_by_one


VGG16 = [
    (3, 64, 224),
    (64, 64, 224),
    (64, 128, 112),
    (128, 128, 112),
    (128, 256, 56),
    (256, 256, 56),
    (256, 512, 28),
    (512, 512, 28),
    (512, 512, 14),
]


@pytest.mark.parametrize(("channels", "outputs", "side"), VGG16)
def test_the_workspace_of_vgg16_is_bounded(channels, outputs, side):
    """At batch 16, whatever the pass and the method."""
    x, w = (
        fastconv.Spec((16, channels, side, side), "f"),
        fastconv.Spec((outputs, channels, 3, 3), "f"),
    )
    y = fastconv.Spec((16, outputs, side, side), "f")
    limit = max(64 << 20, 4 * (x.size + y.size + w.size))
    for told in (
        fastconv.explain(nn.conv2d, x, w, padding=1),
        fastconv.explain(nn.conv2d_grad_input, y, w, x.shape, padding=1),
        fastconv.explain(nn.conv2d_grad_weight, y, x, w.shape, padding=1),
    ):
        for candidate in told.candidates:
            assert candidate.predicted is None or candidate.workspace <= limit, candidate


@pytest.mark.parametrize("dtype", ["f", "D"])
def test_taps_that_are_none_meet_no_zeros_beyond_the_edge(rng, dtype):
    """Against the definition, for the passes that take the gradient as their kernel, too."""
    for bad in (np.nan, np.inf, -np.inf):
        x, w, g = (
            rng.standard_normal(shape).astype(dtype)
            for shape in ((2, 3, 9, 8), (4, 3, 3, 3), (2, 4, 9, 8))
        )
        w[1, 2, 0, 2] = g[1, 2, 0, 3] = g[0, 1, 8, 7] = bad
        for call in (
            lambda m, x=x, w=w: nn.conv2d(x, w, np.ones(4, dtype), padding=1, method=m),
            lambda m, x=x, w=w, g=g: nn.conv2d_grad_input(g, w, x.shape, padding=1, method=m),
            lambda m, x=x, w=w, g=g: nn.conv2d_grad_weight(g, x, w.shape, padding=1, method=m),
        ):
            with np.errstate(invalid="ignore"):
                expected, result = call("reference"), call("channels")
            np.testing.assert_array_equal(np.isfinite(result), np.isfinite(expected))
            finite = np.isfinite(expected)
            tolerance = 1e-4 if dtype == "f" else 1e-12
            np.testing.assert_allclose(result[finite], expected[finite], tolerance, tolerance)


def test_weights_are_converted_in_pieces(rng):
    """Bytes and complex numbers whose real form would be larger than all that a call may take."""
    w = rng.integers(-128, 128, (384, 512, 11, 11)).astype(np.int8)
    x = rng.integers(0, 256, (1, 512, 12, 12)).astype(np.uint8)
    b = rng.integers(-5, 5, 384).astype(np.int32)
    numbers = {"x_zero_point": 3, "w_zero_point": np.arange(384) % 7}
    y = nn.conv2d(x, w, b, **numbers, method="channels")
    for o in (0, 130, 383):
        for at in ((0, 0), (1, 1)):
            window = x[0, :, at[0] : at[0] + 11, at[1] : at[1] + 11].astype(int) - 3
            assert y[0, o, *at] == (window * (w[o].astype(int) - o % 7)).sum() + b[o]


def test_a_workspace_that_is_counted_is_not_taken_to_tell_it():
    """Explaining from Specs takes no memory to speak of, and hardly any time."""
    x, w = fastconv.Spec((1, 2, 700, 700), "f"), fastconv.Spec((64, 2, 351, 351), "f")
    for method in ("channels", "auto"):
        told = fastconv.explain(nn.conv2d, x, w, method=method)
        chosen = next(c for c in told.candidates if c.name == told.chosen)
        assert chosen.workspace <= told.problem.workspace_limit
    line = fastconv.Spec((1, 1, 500_000), "f"), fastconv.Spec((1, 1, 300_000), "f")
    assert fastconv.explain(nn.conv1d, *line, stride=2).chosen


def test_numbers_past_the_native_integers_are_refused():
    x, w = np.ones((1, 1, 3), "f"), np.ones((1, 1, 3), "f")
    for name in ("stride", "dilation", "padding"):
        with pytest.raises(ValueError, match=rf"{name} must be below 2\*\*31"):
            nn.conv1d(x, w, **{"padding": 1, name: 2**62})


def test_an_out_that_overlaps_itself_is_refused():
    x, w = np.ones((8, 3, 6, 6), "f"), np.ones((4, 3, 3, 3), "f")
    out = np.lib.stride_tricks.as_strided(np.zeros(4096, "f"), (8, 4, 4, 4), (0, 64, 16, 4))
    with pytest.raises(ValueError, match="more than once"):
        nn.conv2d(x, w, out=out)
