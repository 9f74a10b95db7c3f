"""Random layers, and what they give in plain NumPy: from their definition, not from the library.

Arrays have channels first.  A layer pads x, reads it tap by tap and sums over the channels of a
group; what leads back from its outputs adds what each tap has read.  Sums are in long double.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from oracle import C_DIRECT, epsilon, wide

import fastconv

LAYOUTS = {1: ("NCW", "NWC"), 2: ("NCHW", "NHWC"), 3: ("NCDHW", "NDHWC")}


@dataclass(frozen=True)
class Layer:
    """Shapes and numbers of a forward layer, and what its transpose has beside them."""

    x: tuple[int, ...]
    w: tuple[int, ...]
    stride: tuple[int, ...]
    pairs: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int = 1

    @property
    def rank(self):
        return len(self.stride)

    @property
    def out(self):
        each = zip(self.x[2:], self.w[2:], self.stride, self.pairs, self.dilation, strict=True)
        space = ((n + sum(p) - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in each)
        return (self.x[0], self.w[0], *space)

    @property
    def numbers(self):
        """Stride, padding, dilation and groups, as arguments."""
        return self.stride, self.pairs, self.dilation, self.groups

    @property
    def padded(self):
        return tuple(n + sum(p) for n, p in zip(self.x[2:], self.pairs, strict=True))

    def transposed_out(self, extra):
        """Shape of the transposed layer's result for x of the shape `out`, by its extra padding."""
        each = zip(self.out[2:], self.w[2:], self.stride, self.pairs, self.dilation, strict=True)
        space = (
            (n - 1) * s + d * (k - 1) + 1 - sum(p) + e
            for (n, k, s, p, d), e in zip(each, extra, strict=True)
        )
        return (self.x[0], self.x[1], *space)


def random_layer(rng, batches=(0, 1, 1, 2, 3), even=False):
    """A small layer of any kind: strides and padding beyond the kernel, depthwise, uneven."""
    rank = int(rng.integers(1, 4))
    groups = int(rng.choice([1, 1, 2, 3]))
    channels = int(rng.choice([1, 1, 2, 3]))
    outputs = int(rng.choice([1, 2, 3]))
    longest = (None, 14, 9, 6)[rank]
    taps = rng.integers(1, 5, rank)
    dilation = np.where(rng.random(rank) < 0.5, 1, rng.integers(1, 4, rank))
    stride = np.where(rng.random(rank) < 0.4, 1, rng.integers(1, 6, rank))
    even = even or rng.random() < 0.6
    low = np.where(rng.random(rank) < 0.4, 0, rng.integers(0, 6, rank))
    high = low if even else rng.integers(0, 6, rank)
    least = np.maximum(dilation * (taps - 1) + 1 - low - high, 1)
    space = np.maximum(rng.integers(1, longest + 1, rank), least)
    return Layer(
        (int(rng.choice(batches)), groups * channels, *map(int, space)),
        (groups * outputs, channels, *map(int, taps)),
        tuple(map(int, stride)),
        tuple((int(a), int(b)) for a, b in zip(low, high, strict=True)),
        tuple(map(int, dilation)),
        groups,
    )


def random_extra(rng, layer):
    """Output padding that the transposed layer may have."""
    most = (max(s, d) for s, d in zip(layer.stride, layer.dilation, strict=True))
    return tuple(int(rng.integers(0, n)) for n in most)


def integers(rng, shape, dtype, most=4):
    """Small whole numbers, whose sums are exact in every dtype."""
    a = rng.integers(-most, most + 1, shape)
    if np.dtype(dtype).kind == "c":
        a = a + 1j * rng.integers(-most, most + 1, shape)
    return a.astype(dtype)


def normal(rng, shape, dtype):
    a = rng.standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        a = a + 1j * rng.standard_normal(shape)
    return a.astype(dtype)


def methods(func, *args, **kwargs):
    """'auto', and every method that is able."""
    told = fastconv.explain(func, *args, **kwargs)
    return ["auto", *(c.name for c in told.candidates if c.predicted is not None)]


# The definition -----------------------------------------------------------------------------------


def _taps(layer, outputs):
    """Each tap, and what it reads of the padded data for so many outputs."""
    for tap in np.ndindex(*layer.w[2:]):
        starts = (k * d for k, d in zip(tap, layer.dilation, strict=True))
        yield (
            tap,
            tuple(
                slice(a, a + (n - 1) * s + 1, s)
                for a, n, s in zip(starts, outputs, layer.stride, strict=True)
            ),
        )


def _split(a, groups, axis):
    """The channels of an axis by their groups."""
    return a.reshape(*a.shape[:axis], groups, a.shape[axis] // groups, *a.shape[axis + 1 :])


def _working(a):
    return np.asarray(a).astype(wide(np.asarray(a).dtype))


def forward(layer, x, w):
    x, w = _working(x), _split(_working(w), layer.groups, 0)
    padded = _split(np.pad(x, ((0, 0), (0, 0), *layer.pairs)), layer.groups, 1)
    y = np.zeros((layer.x[0], *w.shape[:2], *layer.out[2:]), x.dtype)
    for tap, window in _taps(layer, layer.out[2:]):
        y += np.einsum("ngc...,goc->ngo...", padded[(..., *window)], w[(..., *tap)])
    return y.reshape(layer.out)


def backward(layer, y, w, shape=None):
    """What each output adds to all that it has read, in an array of the input's shape."""
    shape = layer.x if shape is None else shape
    y = _split(_working(y), layer.groups, 1)
    w = _split(_working(w), layer.groups, 0)
    # All that any output reaches, and what lies behind that.
    reach = [
        max((n - 1) * s + d * (k - 1) + 1, m + low)
        for n, s, d, k, m, (low, _) in zip(
            y.shape[3:], layer.stride, layer.dilation, w.shape[3:], shape[2:], layer.pairs,
            strict=True,
        )
    ]  # fmt: skip
    whole = np.zeros((y.shape[0], *w.shape[0:3:2], *reach), y.dtype)
    for tap, window in _taps(layer, y.shape[3:]):
        whole[(..., *window)] += np.einsum("ngo...,goc->ngc...", y, w[(..., *tap)])
    inside = tuple(slice(low, low + n) for n, (low, _) in zip(shape[2:], layer.pairs, strict=True))
    return whole[(..., *inside)].reshape(shape)


def weight_gradient(layer, y, x):
    y, x = _split(_working(y), layer.groups, 1), _working(x)
    padded = _split(np.pad(x, ((0, 0), (0, 0), *layer.pairs)), layer.groups, 1)
    w = np.zeros((y.shape[1], y.shape[2], *layer.w[1:]), y.dtype)
    for tap, window in _taps(layer, y.shape[3:]):
        w[(..., *tap)] = np.einsum("ngoz,ngcz->goc", *map(_flat, (y, padded[(..., *window)])))
    return w.reshape(layer.w)


def _flat(a):
    return a.reshape(*a.shape[:3], math.prod(a.shape[3:]))


def patches(layer, x):
    """Columns of patches, as torch's unfold lays them out."""
    padded = np.pad(x, ((0, 0), (0, 0), *layer.pairs))
    columns = [padded[(..., *window)] for _, window in _taps(layer, layer.out[2:])]
    rows = x.shape[1] * len(columns)
    return np.stack(columns, axis=2).reshape(x.shape[0], rows, math.prod(layer.out[2:]))


def rounding(dtype, terms, magnitudes):
    """Bound on the errors of sums of so many products with these sums of magnitudes."""
    return C_DIRECT * epsilon(dtype) * math.sqrt(max(terms, 1)) * magnitudes


def activated(name, y):
    """An activation by its definition."""
    y = np.asarray(y, np.float64)
    erf = np.vectorize(math.erf, otypes=[float])
    return {
        None: lambda: y,
        "relu": lambda: np.where(y > 0, y, 0),
        "relu6": lambda: np.where(y > 6, 6, np.where(y > 0, y, 0)),
        "leaky_relu": lambda: np.where(y > 0, y, 0.01 * y),
        "sigmoid": lambda: 1 / (1 + np.exp(-y)),
        "tanh": lambda: np.tanh(y),
        "silu": lambda: y / (1 + np.exp(-y)),
        "gelu": lambda: y * (1 + erf(y / math.sqrt(2))) / 2,
    }[name]()
