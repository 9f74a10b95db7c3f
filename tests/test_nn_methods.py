"""What each method of layers promises beyond its values: bits, NaN, choices, workspace."""

import numpy as np
import pytest

import fastconv
from fastconv import nn

WIDE = (1, 40, 18, 20), (48, 40, 3, 3)  # where winograd is chosen


@pytest.fixture
def layer(rng):
    x, w = (rng.standard_normal(shape).astype("f") for shape in WIDE)
    return x, w, rng.standard_normal(WIDE[1][0]).astype("f")


def test_three_by_three_taps_go_to_winograd(layer):
    x, w, b = layer
    assert fastconv.explain(nn.conv2d, x, w, b, padding=1).chosen == "winograd"
    assert fastconv.explain(nn.conv2d_grad_input, np.ones((1, 48, 18, 20), "f"), w, x.shape, 1, 1)
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
