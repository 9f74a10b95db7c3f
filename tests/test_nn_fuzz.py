"""fastconv.nn on random geometries: against the definition, PyTorch, and each its adjoint.

Bounds are made of eps, the number of products and the sum of their magnitudes.
"""

import dataclasses
import itertools
import math

import layers
import numpy as np
import pytest
from arrays import LAYOUTS, NATIVE_LAYOUTS, Guarded, laid_out
from backend import able
from layers import Layer, integers, methods, normal, random_extra, random_layer, rounding
from oracle import assert_within, magnitude

from fastconv import _cost, _layers, nn
from fastconv._methods import gemm
from fastconv._methods._phases import phases
from fastconv._problem import Problem

DTYPES = ("float32", "float32", "float64", "complex64", "complex128")


def functions(rank):
    """The layer, its transpose, and the gradients of its input and of its weights."""
    names = (f"conv{rank}d", f"conv_transpose{rank}d")
    names += (f"conv{rank}d_grad_input", f"conv{rank}d_grad_weight")
    return [getattr(nn, name) for name in names]


def terms(layer):
    """Products that an output of each function sums, at the most, with the bias as one more."""
    taps = math.prod(layer.w[2:])
    outputs = taps * layer.w[0] // layer.groups
    reads = layer.x[0] * math.prod(layer.out[2:])
    return taps * layer.w[1] + 1, outputs + 1, outputs, reads


def definitions(layer, x, w, b, y, c, transposed):
    """What each function should give, by the definition."""
    shape = (-1,) + (1,) * layer.rank
    return (
        layers.forward(layer, x, w) + b.reshape(shape),
        layers.backward(layer, y, w, transposed) + c.reshape(shape),
        layers.backward(layer, y, np.conj(w)),
        layers.weight_gradient(layer, y, np.conj(x)),
    )


def operands(rng, layer, dtype, make=normal):
    x, w, b, y, c = (
        make(rng, shape, dtype)
        for shape in (layer.x, layer.w, layer.w[:1], layer.out, layer.x[1:2])
    )
    return x, w, b, y, c


def calls(layer, x, w, b, y, c, extra):
    """(function, arguments, keyword arguments) of each function."""
    s, p, d, g = layer.numbers
    arguments = (
        ((x, w, b, s, p, d, g), {}),
        ((y, w, c, s, p, extra, g, d), {}),
        ((y, w, layer.x, s, p, d, g), {}),
        ((y, x, layer.w, s, p, d, g), {}),
    )
    return zip(functions(layer.rank), arguments, strict=True)


def transposable(rng, layer):
    """Output padding, and the shape of the result of the transposed layer, if it has any."""
    extra = random_extra(rng, layer)
    shape = layer.transposed_out(extra)
    return extra, shape, min(shape[2:]) > 0


# Against the definition ---------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
def test_every_method_on_random_layers(seed):
    rng = np.random.default_rng([31, seed])
    for _ in range(40):
        layer, dtype = random_layer(rng), np.dtype(DTYPES[rng.integers(len(DTYPES))])
        extra, shape, has_transpose = transposable(rng, layer)
        arrays = operands(rng, layer, dtype)
        shape = shape if has_transpose else layer.x
        expected = definitions(layer, *arrays, shape)
        sizes = definitions(layer, *map(magnitude, arrays), shape)
        for number, (func, (args, kwargs)) in enumerate(calls(layer, *arrays, extra)):
            if func.__name__.startswith("conv_t") and not has_transpose:
                with pytest.raises(ValueError, match="the result would have"):
                    func(*args, **kwargs)
                continue
            bound = rounding(dtype, terms(layer)[number], sizes[number])
            for method in methods(func, *args, **kwargs):
                result = func(*args, **kwargs, method=method)
                label = f"{method} {func.__name__} {layer} {extra}"
                assert_within(result, expected[number], bound, dtype, label)


@pytest.mark.parametrize("seed", range(4))
def test_layouts_strides_and_outputs(seed):
    """Channels first or last, with a batch or without, wherever arrays and results may lie."""
    rng = np.random.default_rng([32, seed])
    for _ in range(60):
        layer = random_layer(rng, batches=(1, 1, 2))
        dtype = np.dtype(DTYPES[rng.integers(len(DTYPES))])
        extra, shape, has_transpose = transposable(rng, layer)
        arrays = operands(rng, layer, dtype, integers)
        expected = definitions(layer, *arrays, shape if has_transpose else layer.x)
        last = bool(rng.integers(2))
        unbatched = layer.x[0] == 1 and rng.random() < 0.4

        def given(a, last=last, unbatched=unbatched):
            a = np.moveaxis(a, 1, -1) if last else a
            return a[0] if unbatched else a

        for number, (func, (args, _)) in enumerate(calls(layer, *arrays, extra)):
            if number == 1 and not has_transpose:
                continue
            layouts = able(LAYOUTS)
            places = [layouts[i] for i in rng.integers(len(layouts), size=3)]
            data, kernel, third, *rest = args
            data = laid_out(given(data), places[0])
            kernel = laid_out(given(kernel) if number == 3 else kernel, places[1])
            if number == 2:
                third = given(np.empty(third)).shape
            elif number < 2:
                third = laid_out(third, places[2])
            wanted = expected[number] if number == 3 else given(expected[number])
            out = Guarded(wanted.shape, dtype, NATIVE_LAYOUTS[rng.integers(len(NATIVE_LAYOUTS))])
            kept = [np.array(a) for a in (data, kernel)]
            layout = layers.LAYOUTS[layer.rank][last]
            result = func(data, kernel, third, *rest, layout=layout, out=out.array)
            assert result is out.array
            label = f"{func.__name__} {layer} {extra} {layout} {places}"
            np.testing.assert_array_equal(out.take(), wanted.astype(dtype), err_msg=label)
            for a, b in zip((data, kernel), kept, strict=True):
                np.testing.assert_array_equal(a, b)
            new = func(data, kernel, third, *rest, layout=layout)
            assert new.flags.c_contiguous
            assert new.dtype == dtype
            np.testing.assert_array_equal(new, wanted.astype(dtype), err_msg=label)


@pytest.mark.parametrize("seed", range(4))
def test_integer_layers(seed):
    rng = np.random.default_rng([33, seed])
    for _ in range(80):
        layer = random_layer(rng)
        x, w = (
            rng.integers(np.iinfo(t).min, np.iinfo(t).max + 1, shape).astype(t)
            for t, shape in zip(rng.choice(["u1", "i1"], 2), (layer.x, layer.w), strict=True)
        )
        b = rng.integers(-1000, 1000, layer.w[0]).astype("i4")
        x_zero, w_zero = (int(rng.integers(np.iinfo(a.dtype).min, 100)) for a in (x, w))
        if rng.random() < 0.5:
            w_zero = rng.integers(np.iinfo(w.dtype).min, 100, layer.w[0])
        if rng.random() < 0.3:
            x_zero = w_zero = 0
        taps = w.astype("i8") - np.reshape(w_zero, (-1,) + (1,) * (layer.rank + 1))
        expected = layers.forward(layer, x.astype("i8") - x_zero, taps)
        expected = expected + b.reshape((-1,) + (1,) * layer.rank)
        func = functions(layer.rank)[0]
        args = (x, w, b, *layer.numbers)
        zeros = {"x_zero_point": x_zero, "w_zero_point": w_zero}
        for method, activation in itertools.product(methods(func, *args, **zeros), (None, "relu")):
            result = func(*args, **zeros, activation=activation, method=method)
            assert result.dtype == np.int32
            wanted = np.maximum(expected, 0) if activation else expected
            np.testing.assert_array_equal(result, wanted, err_msg=f"{method} {layer} {zeros}")


# Panels and phases --------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("size", "columns"), [(256, 3), (2048, 40)])
def test_small_panels(size, columns, seed, monkeypatch):
    """Panels that are cut along every extent."""
    monkeypatch.setattr(_cost, "GEMM_PANEL_BYTES", size)
    monkeypatch.setattr(gemm, "_COLUMNS", columns)
    rng = np.random.default_rng([34, seed])
    lowering = (
        _layers.lower_conv,
        _layers.lower_conv_transpose,
        _layers.lower_grad_input,
        _layers.lower_grad_weight,
    )
    for _ in range(25):
        layer, dtype = random_layer(rng, (1, 2, 5)), np.dtype(rng.choice(["d", "D"]))
        extra, shape, has_transpose = transposable(rng, layer)
        arrays = operands(rng, layer, dtype, integers)
        expected = definitions(layer, *arrays, shape if has_transpose else layer.x)
        for number, (_, (args, _)) in enumerate(calls(layer, *arrays, extra)):
            if number == 1 and not has_transpose:
                continue
            call = lowering[number](layer.rank, *args, method="gemm")
            choice = dataclasses.replace(call.choose(), runner=gemm.build(call.problem))
            result = call.run(choice, call.prepare(choice), None)
            np.testing.assert_array_equal(result, expected[number], err_msg=f"{number} {layer}")


def random_spread(rng):
    """A problem of one channel with a spread."""
    x, taps, out, dilation, spread = (
        tuple(map(int, rng.integers(1, most, 3))) for most in (5, 5, 9, 5, 7)
    )
    offset = tuple(map(int, rng.integers(-9, 5, 3)))
    return Problem(
        x=(1, 1, 1, *x),
        w=(1, 1, 1, *taps),
        out=(1, 1, 1, *out),
        axes=(3, 4, 5),
        offset=(0, 0, 0, *offset),
        dtype=np.dtype(np.float64),
        stride=(1, 1, 1),
        dilation=dilation,
        spread=spread,
    )


def test_phases_hold_every_product_once():
    """Each output is in one phase, with all taps that stand on an element, and no other."""
    rng = np.random.default_rng(35)
    for _ in range(300):
        problem = random_spread(rng)
        outputs = np.zeros(problem.out, int)
        for phase in phases(problem):
            outputs[phase.out] += 1
            index = np.indices(problem.out)[3:][(slice(None), *phase.out)].reshape(3, -1)
            taps = np.indices(problem.w)[3:][(slice(None), *phase.taps)].reshape(3, -1)
            position = (
                index[:, :, None]
                + np.reshape(problem.offset[3:], (3, 1, 1))
                + np.reshape(problem.dilation, (3, 1, 1)) * taps[:, None, :]
            )
            every = np.indices(problem.w[3:]).reshape(3, 1, -1)
            spread = np.reshape(problem.spread, (3, 1, 1))
            start = index[:, :, None] + np.reshape(problem.offset[3:], (3, 1, 1))
            stands = (start + np.reshape(problem.dilation, (3, 1, 1)) * every) % spread == 0
            assert (stands.all(axis=0).sum(axis=-1) == taps.shape[1]).all()
            if phase.problem is None:
                assert taps.shape[1] == 0
                continue
            part = phase.problem
            assert part.spread == part.stride == (1, 1, 1)
            assert part.out == outputs[phase.out].shape
            local = np.indices(part.out[3:]).reshape(3, -1, 1)
            own = np.indices(part.w[3:]).reshape(3, 1, -1)
            source = local + np.reshape(part.offset[3:], (3, 1, 1))
            source = source + np.reshape(part.dilation, (3, 1, 1)) * own
            np.testing.assert_array_equal(source * spread, position)
        assert (outputs == 1).all()


def test_wide_spreads_have_few_phases():
    problem = dataclasses.replace(random_spread(np.random.default_rng(0)), spread=(500, 500, 500))
    problem = dataclasses.replace(problem, w=(1, 1, 1, 2, 2, 2), out=(1, 1, 1, 900, 900, 900))
    assert len(phases(problem)) < 8 * 500


# Adjoints -----------------------------------------------------------------------------------------


def test_adjoints():
    """⟨layer(x), y⟩ = ⟨x, grad_input(y)⟩ = ⟨w, grad_weight(y, x)⟩, exactly in whole numbers."""
    hypothesis = pytest.importorskip("hypothesis", reason="Hypothesis, which finds the examples")

    @hypothesis.settings(max_examples=200, deadline=None)
    @hypothesis.given(
        seed=hypothesis.strategies.integers(0, 2**32),
        dtype=hypothesis.strategies.sampled_from("dD"),
    )
    def check(seed, dtype):
        rng = np.random.default_rng(seed)
        layer = random_layer(rng)
        x, w, _, y, _ = operands(rng, layer, dtype, integers)
        forward, transpose, grad_input, grad_weight = functions(layer.rank)
        product = np.vdot(y, forward(x, w, None, *layer.numbers))
        assert np.vdot(grad_input(y, w, layer.x, *layer.numbers), x) == product
        assert np.vdot(grad_weight(y, x, layer.w, *layer.numbers), w) == product
        extra = tuple(
            (n - 1 - t) % s
            for n, t, s in zip(
                layer.padded,
                (d * (k - 1) for k, d in zip(layer.w[2:], layer.dilation, strict=True)),
                layer.stride,
                strict=True,
            )
        )
        s, p, d, g = layer.numbers
        back = transpose(y, w.conj(), None, s, p, extra, g, d)
        assert np.vdot(back, x) == product

    check()


# Against PyTorch ----------------------------------------------------------------------------------


@pytest.fixture
def torch():
    """PyTorch on one thread: two pools of threads would wait for each other."""
    module = pytest.importorskip("torch", reason="PyTorch, to compare with")
    threads = module.get_num_threads()
    module.set_num_threads(1)
    yield module
    module.set_num_threads(threads)


def torchs(torch, layer, x, w, b, y, c, extra, transposed):
    """What PyTorch gives: the layer, its transpose (None where it refuses), and its gradients."""
    functional = torch.nn.functional
    x, w, b, y, c = (torch.tensor(a) for a in (x, w, b, y, c))
    x.requires_grad_()
    w.requires_grad_()
    s, (p, *_), d, g = layer.stride, zip(*layer.pairs, strict=True), layer.dilation, layer.groups
    forward = getattr(functional, f"conv{layer.rank}d")(x, w, b, s, p, d, g)
    gradients = torch.autograd.grad(forward, (x, w), y)
    back = None
    if transposed:
        back = getattr(functional, f"conv_transpose{layer.rank}d")(y, w, c, s, p, extra, g, d)
    return [
        None if a is None else a.detach().resolve_conj().numpy()
        for a in (forward, back, *gradients)
    ]


@pytest.mark.parametrize("seed", range(10))
def test_pytorchs_values(torch, seed):
    rng = np.random.default_rng([36, seed])
    for _ in range(520):
        layer, dtype = random_layer(rng, even=True), np.dtype(DTYPES[rng.integers(len(DTYPES))])
        extra, _, has_transpose = transposable(rng, layer)
        arrays = operands(rng, layer, dtype)
        double = [a.astype("D" if dtype.kind == "c" else "d") for a in arrays]
        expected = torchs(torch, layer, *double, extra, has_transpose)
        sizes = torchs(torch, layer, *map(magnitude, arrays), extra, has_transpose)
        method = str(rng.choice(able(["auto", "auto", "gemm", "reference"])))
        for number, (func, (args, _)) in enumerate(calls(layer, *arrays, extra)):
            if number == 1 and not has_transpose:
                continue
            bound = rounding(dtype, terms(layer)[number], 2 * sizes[number])
            result = func(*args, method=method)
            label = f"{method} {func.__name__} {layer} {extra}"
            assert_within(result, expected[number], bound, dtype, label)


def test_pytorchs_patches(torch):
    rng = np.random.default_rng(37)
    functional = torch.nn.functional
    for _ in range(300):
        layer = random_layer(rng, (0, 1, 2), even=True)
        if layer.rank != 2:
            continue
        padding = tuple(a for a, _ in layer.pairs)
        numbers = (layer.w[2:], layer.dilation, padding, layer.stride)
        x = integers(rng, layer.x, "d")
        columns = nn.unfold(x, *numbers)
        np.testing.assert_array_equal(columns, functional.unfold(torch.tensor(x), *numbers))
        images = nn.fold(columns, layer.x[2:], *numbers)
        expected = functional.fold(torch.tensor(columns), layer.x[2:], *numbers)
        np.testing.assert_array_equal(images, expected)


def test_a_layer_is_a_record():
    """The helper's own sizes, by hand."""
    layer = Layer((1, 2, 7), (4, 2, 3), (2,), ((1, 0),), (2,))
    assert layer.out == (1, 4, 2)
    assert layer.transposed_out((1,)) == (1, 2, 7)
