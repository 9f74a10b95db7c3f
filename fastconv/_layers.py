"""
Layers: their arguments checked, and lowered to the one equation.

Data become (batch, group, channel) and three axes of space, weights (group, output channel,
channel) and three axes of taps, by views alone: layouts, transposes and flips are nothing but
strides. What follows from shapes and numbers is kept, so that a call that was seen before costs
microseconds.
"""

from __future__ import annotations

import functools
import math
import operator
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastconv import _devices, _planner
from fastconv._plan import DEFAULT, check_accuracy, check_out
from fastconv._planner import Choice, Prepared
from fastconv._problem import Activation, Problem, Shape, Spec, Weights
from fastconv._threads import get_num_threads

# One number, or one for each axis; what lies before and behind each axis, or a rule.
Numbers = int | Shape
Padding = int | Shape | tuple[tuple[int, int], ...] | str

LAYOUTS = {1: ("NCW", "NWC"), 2: ("NCHW", "NHWC"), 3: ("NCDHW", "NDHWC")}
ACTIVATIONS: dict[Any, Activation] = {
    None: Activation.NONE,
    "relu": Activation.RELU,
    "relu6": Activation.RELU6,
    "leaky_relu": Activation.LEAKY_RELU,
    "sigmoid": Activation.SIGMOID,
    "tanh": Activation.TANH,
    "silu": Activation.SILU,
    "gelu": Activation.GELU,
}
_RULES = ("valid", "same", "same_upper", "same_lower")
_FLOATS = (np.float32, np.float64, np.complex64, np.complex128)
_BYTES = (np.uint8, np.int8)
# Geometries, and choices of methods for them, that are kept, the least recently used going first.
_KEPT = 1024


# --- arguments ------------------------------------------------------------------------------------


def _integer(value: Any, name: str, least: int) -> int:
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be an integer, not {value!r}")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, not {value!r}") from None
    if number < least:
        raise ValueError(f"{name} must be at least {least}, not {value!r}")
    return number


def _is_sequence(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.ndim == 1
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def numbers(value: Any, name: str, rank: int, least: int) -> Numbers:
    """Check one integer, or one for each axis."""
    if type(value) is int and value >= least:
        return value
    if type(value) is tuple and len(value) == rank > 1:
        for v in value:
            if type(v) is not int or v < least:
                break
        else:
            return value
    if isinstance(value, str):
        raise TypeError(f"{name} must be an integer or one for each axis, not {value!r}")
    if not _is_sequence(value):
        return _integer(value, name, least)
    found = tuple(_integer(v, name, least) for v in value)
    if len(found) == 1:
        return found[0]
    if len(found) != rank:
        raise ValueError(f"{name} must be one integer or {rank}, not {value!r}")
    return found


def each(value: Numbers, rank: int) -> Shape:
    """Return one number for each axis."""
    return (value,) * rank if isinstance(value, int) else value


def _padding(value: Any, rank: int) -> Padding:
    """Check a number, one or a pair for each axis, or the name of a rule."""
    if type(value) is int and value >= 0:
        return value
    if isinstance(value, str):
        if value not in _RULES:
            known = ", ".join(map(repr, _RULES))
            raise ValueError(f"padding must be integers or one of {known}, not {value!r}")
        return value
    if not (_is_sequence(value) and any(map(_is_sequence, value))):
        return numbers(value, "padding", rank, 0)
    if len(value) != rank:
        raise ValueError(f"padding must have a pair for each of {rank} axes, not {value!r}")
    pairs = []
    for entry in value:
        if isinstance(entry, str) or not _is_sequence(entry):
            raise TypeError(f"padding must be all integers or all pairs of them, not {value!r}")
        pair = tuple(_integer(p, "padding", 0) for p in entry)
        if len(pair) != 2:
            raise ValueError(f"padding must have pairs (before, behind), not {entry!r}")
        pairs.append((pair[0], pair[1]))
    return tuple(pairs)


def _channels_last(layout: Any, rank: int) -> bool:
    if not isinstance(layout, str) or layout not in LAYOUTS[rank]:
        first, last = LAYOUTS[rank]
        raise ValueError(f"layout must be {first!r} or {last!r}, not {layout!r}")
    return layout == LAYOUTS[rank][1]


def _groups(groups: Any) -> int:
    return groups if type(groups) is int and groups > 0 else _integer(groups, "groups", 1)


def _flag(value: Any, name: str) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, not {value!r}")
    return bool(value)


def _activation(activation: Any) -> Activation:
    if activation is None:
        return Activation.NONE
    if not isinstance(activation, str) or activation not in ACTIVATIONS:
        known = ", ".join(repr(name) for name in ACTIVATIONS)
        raise ValueError(f"activation must be one of {known}, not {activation!r}")
    return ACTIVATIONS[activation]


def shape_of(value: Any, name: str) -> Shape:
    """Check a shape."""
    if isinstance(value, str) or not _is_sequence(value):
        raise TypeError(f"{name} must be a sequence of integers, not {value!r}")
    return tuple(_integer(v, name, 0) for v in value)


def _with_numbers(a: Any) -> Any:
    """Refuse a Spec where there is something to compute."""
    if isinstance(a, Spec):
        raise TypeError(f"{a} holds no numbers: a Spec is for plan and explain")
    return _devices.as_array(a)


def native(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype in native byte order."""
    return dtype if dtype.isnative else dtype.newbyteorder("=")


def check_float(dtype: np.dtype[Any], name: str) -> np.dtype[Any]:
    """Return a dtype that gradients are computed in, in native byte order."""
    if native(dtype) not in _FLOATS:
        raise TypeError(
            f"{name} must be float32, float64, complex64 or complex128 here, not {dtype}"
        )
    return native(dtype)


def _one_dtype(a: np.dtype[Any], b: np.dtype[Any], names: tuple[str, str]) -> np.dtype[Any]:
    dtype = check_float(a, names[0])
    if native(b) != dtype:
        raise TypeError(f"{names[1]} must be of {names[0]}'s dtype, {dtype}, not {b}")
    return dtype


def _layer_dtype(x: np.dtype[Any], w: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype of a forward layer's computation: int32 where both are bytes."""
    if x in _BYTES and w in _BYTES:
        return np.dtype(np.int32)
    for dtype, name in ((x, "x"), (w, "w")):
        if native(dtype) not in (*_FLOATS, *_BYTES):
            raise TypeError(
                f"{name} must be float32, float64, complex64 or complex128, or uint8 or int8 for "
                f"an integer layer, not {dtype}"
            )
    if x in _BYTES:
        raise TypeError(f"w must be uint8 or int8, as x is {x}, not {w}")
    return _one_dtype(x, w, ("x", "w"))


# --- views ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class View:
    """
    An argument as an operand of the problem.

    Attributes
    ----------
    order : tuple of int, optional
        Its axes with channels first.
    shape : tuple of int
        Six axes: groups split off, an axis before those of space where there are fewer than three.
    swap : tuple of int, optional
        The order of those six.
    flip : bool
        Whether the last three are reversed.
    conjugate : bool
        Whether complex values are conjugated.
    """

    order: Shape | None
    shape: Shape
    swap: Shape | None = None
    flip: bool = False
    conjugate: bool = False

    def of(self, a: np.ndarray) -> np.ndarray:
        """Return the view: it splits axes and merges none, so that nothing is copied."""
        if self.order is not None:
            a = a.transpose(self.order)
        a = a.reshape(self.shape)
        if self.swap is not None:
            a = a.transpose(self.swap)
        return a[:, :, :, ::-1, ::-1, ::-1] if self.flip else a

    def read(self, a: np.ndarray) -> np.ndarray:
        """Return the values to compute with: the view, unless they must be converted."""
        if not _devices.is_plain(a):
            a = a.astype(native(a.dtype))
        a = self.of(a)
        return np.conjugate(a) if self.conjugate and a.dtype.kind == "c" else a


@dataclass(frozen=True, slots=True)
class _Data:
    """The shape of an array of data, by its parts."""

    batched: bool
    batch: int
    channels: int
    space: Shape
    last: bool  # whether channels come last

    def shape(self) -> Shape:
        """Return the shape of the array."""
        axes = (*self.space, self.channels) if self.last else (self.channels, *self.space)
        return (self.batch, *axes) if self.batched else axes

    def view(self, groups: int, swap: Shape | None = None, conjugate: bool = False) -> View:
        """Return how it becomes an operand."""
        order = None
        if self.last:
            ndim = len(self.space) + 1 + self.batched
            order = (*range(self.batched), ndim - 1, *range(self.batched, ndim - 1))
        channels = self.channels // groups
        shape = (self.batch, groups, channels, *_three(self.space, 1))
        return View(order, shape, swap, conjugate=conjugate)


def _data(shape: Shape, rank: int, last: bool, name: str) -> _Data:
    layout = LAYOUTS[rank][last]
    if len(shape) not in (rank + 1, rank + 2):
        raise ValueError(
            f"{name} must have {rank + 2} axes ({layout}), or {rank + 1} without a batch; its "
            f"shape is {shape}"
        )
    batched = len(shape) == rank + 2
    rest = shape[batched:]
    channels, space = (rest[-1], rest[:-1]) if last else (rest[0], rest[1:])
    if 0 in rest:
        raise ValueError(f"{name} may have no axis of length 0 but the batch; its shape is {shape}")
    return _Data(batched, shape[0] if batched else 1, channels, space, last)


def _three(values: Shape, fill: int) -> Shape:
    return (fill,) * (3 - len(values)) + values


# The order of six axes that exchanges the two channels of weights.
_SWAPPED_CHANNELS = (0, 2, 1, 3, 4, 5)


def _weight_view(
    shape: Shape, groups: int, *, swap: bool = False, flip: bool = False, conjugate: bool = False
) -> View:
    split = (groups, shape[0] // groups, shape[1], *_three(shape[2:], 1))
    return View(None, split, _SWAPPED_CHANNELS if swap else None, flip, conjugate)


def _check_weights(shape: Shape, rank: int, groups: int, name: str) -> Shape:
    """Check the shape of weights, and return their taps along each axis."""
    if len(shape) != rank + 2:
        raise ValueError(f"{name} must have {rank + 2} axes, two of channels; its shape is {shape}")
    if 0 in shape:
        raise ValueError(f"{name} must have channels and taps; its shape is {shape}")
    if shape[0] % groups:
        raise ValueError(f"{name} has {shape[0]} channels, which groups={groups} does not divide")
    return shape[2:]


# --- geometry -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Geometry:
    """
    What a call's shapes and numbers mean.

    Attributes
    ----------
    problem : Problem
        What is to be solved.
    data, kernel : View
        Who plays the data and who the kernel.
    out : View
        The result as the problem's.
    shape : tuple of int
        Of the result.
    reverse : bool
        Whether the first argument is the kernel and the second the data.
    """

    problem: Problem
    data: View
    kernel: View
    out: View
    shape: Shape
    reverse: bool = False


@dataclass(frozen=True, slots=True)
class _Window:
    """How a kernel of a forward layer moves, along each axis."""

    taps: Shape
    stride: Shape
    dilation: Shape
    before: Shape
    outputs: Shape


# Positions are products of these with extents: all stay within the native code's integers.
_MOST = 1 << 31


def _check_reach(stride: Shape, dilation: Shape, padding: Padding) -> None:
    amounts = 0 if isinstance(padding, str) else padding
    for name, value in (("stride", stride), ("dilation", dilation), ("padding", amounts)):
        if np.max(value) >= _MOST:
            raise ValueError(f"{name} must be below 2**31, not {value}")


def _reach(taps: int, dilation: int) -> int:
    """How far the last tap stands from the first."""
    return dilation * (taps - 1)


def _split(total: int, rule: str) -> tuple[int, int]:
    """Split padding: what is odd goes behind, or before for 'same_lower'."""
    total = max(total, 0)
    less, more = total // 2, total - total // 2
    return (more, less) if rule == "same_lower" else (less, more)


def _unit_stride(stride: Shape) -> None:
    if any(s != 1 for s in stride):
        raise ValueError(
            f"padding='same' needs stride 1, not {stride}; 'same_upper' and 'same_lower' take any"
        )


def _each_pair(padding: Padding, rank: int) -> tuple[tuple[int, int], ...]:
    """Return padding that is no rule as a pair for each axis."""
    if isinstance(padding, str):
        return ((0, 0),) * rank
    amounts = (padding,) * rank if isinstance(padding, int) else padding
    return tuple((p, p) if isinstance(p, int) else p for p in amounts)


def _window(
    space: Shape, taps: Shape, stride: Numbers, padding: Padding, dilation: Numbers, name: str
) -> _Window:
    rank = len(space)
    stride, dilation = each(stride, rank), each(dilation, rank)
    _check_reach(stride, dilation, padding)
    if padding == "same":
        _unit_stride(stride)
    pairs: Iterable[tuple[int, int]]
    if not isinstance(padding, str) or padding == "valid":
        pairs = _each_pair(padding, rank)
    elif padding == "same":
        pairs = (_split(_reach(k, d), padding) for k, d in zip(taps, dilation, strict=True))
    else:
        pairs = (
            _split((-(-n // s) - 1) * s + _reach(k, d) + 1 - n, padding)
            for n, k, s, d in zip(space, taps, stride, dilation, strict=True)
        )
    before, outputs = [], []
    for n, k, s, d, (low, high) in zip(space, taps, stride, dilation, pairs, strict=True):
        room = n + low + high - _reach(k, d) - 1
        if room < 0:
            raise ValueError(
                f"the kernel reaches over {_reach(k, d) + 1} elements (taps {taps}, dilation "
                f"{dilation}), {name} has {n + low + high} with padding"
            )
        before.append(low)
        outputs.append(room // s + 1)
    return _Window(taps, stride, dilation, tuple(before), tuple(outputs))


def _problem(
    shapes: tuple[Shape, Shape, Shape],
    dtype: np.dtype[Any],
    offset: Shape,
    *,
    stride: Shape = (),
    dilation: Shape = (),
    spread: Shape = (),
    device: int | None,
) -> Problem:
    """State the problem between data, kernel and result of six axes each."""
    x, w, out = shapes
    if math.prod(out) * dtype.itemsize > sys.maxsize:
        raise ValueError(f"the result, {out}, is past the address space")
    return Problem(
        x=x,
        w=w,
        out=out,
        axes=(3, 4, 5),
        offset=(0, 0, 0, *_three(offset, 0)),
        dtype=dtype,
        stride=_three(stride, 1),
        dilation=_three(dilation, 1),
        spread=_three(spread, 1),
        device=device,
    )


def _permuted(view: View) -> Shape:
    return view.shape if view.swap is None else tuple(view.shape[a] for a in view.swap)


def _channels_match(found: int, expected: int, name: str, weights: str, shape: Shape) -> None:
    if found != expected:
        raise ValueError(f"{name} has {found} channels; {weights} of shape {shape} need {expected}")


@functools.lru_cache(maxsize=_KEPT)
def _forward(
    rank: int,
    x: Shape,
    w: Shape,
    x_dtype: np.dtype[Any],
    w_dtype: np.dtype[Any],
    stride: Numbers,
    padding: Padding,
    dilation: Numbers,
    groups: int,
    layout: str,
    flip: bool,
    device: int | None,
) -> Geometry:
    dtype = _layer_dtype(x_dtype, w_dtype)
    data = _data(x, rank, _channels_last(layout, rank), "x")
    taps = _check_weights(w, rank, groups, "w")
    _channels_match(data.channels, w[1] * groups, "x", "w", w)
    window = _window(data.space, taps, stride, padding, dilation, "x")
    result = _Data(data.batched, data.batch, w[0], window.outputs, data.last)
    views = data.view(groups), _weight_view(w, groups, flip=flip), result.view(groups)
    problem = _problem(
        (views[0].shape, views[1].shape, views[2].shape),
        dtype,
        tuple(-p for p in window.before),
        stride=window.stride,
        dilation=window.dilation,
        device=device,
    )
    return Geometry(problem, *views, result.shape())


def _transposed(
    data: _Data,
    w: Shape,
    groups: int,
    dtype: np.dtype[Any],
    window: _Window,
    flip: bool,
    device: int | None,
    conjugate: bool = False,
) -> Geometry:
    """Lower what leads from a forward layer's outputs back to what it read."""
    space = window.outputs
    result = _Data(data.batched, data.batch, w[1] * groups, space, data.last)
    kernel = _weight_view(w, groups, swap=True, flip=not flip, conjugate=conjugate)
    views = data.view(groups), kernel, result.view(groups)
    problem = _problem(
        (views[0].shape, _permuted(kernel), views[2].shape),
        dtype,
        tuple(
            p - _reach(k, d)
            for p, k, d in zip(window.before, window.taps, window.dilation, strict=True)
        ),
        dilation=window.dilation,
        spread=window.stride,
        device=device,
    )
    return Geometry(problem, *views, result.shape())


@functools.lru_cache(maxsize=_KEPT)
def _transpose(
    rank: int,
    x: Shape,
    w: Shape,
    x_dtype: np.dtype[Any],
    w_dtype: np.dtype[Any],
    stride: Numbers,
    padding: Padding,
    output_padding: Numbers,
    groups: int,
    dilation: Numbers,
    output_size: Numbers | None,
    layout: str,
    flip: bool,
    device: int | None,
) -> Geometry:
    dtype = _one_dtype(x_dtype, w_dtype, ("x", "w"))
    data = _data(x, rank, _channels_last(layout, rank), "x")
    taps = _check_weights(w, rank, groups, "w")
    _channels_match(data.channels, w[0], "x", "w", w)
    window = _transposed_window(
        data.space, taps, stride, padding, output_padding, dilation, output_size
    )
    return _transposed(data, w, groups, dtype, window, flip, device)


def _transposed_window(
    space: Shape,
    taps: Shape,
    stride: Numbers,
    padding: Padding,
    output_padding: Numbers,
    dilation: Numbers,
    output_size: Numbers | None,
) -> _Window:
    """Return the window of the forward layer; its outputs are those of the transposed one."""
    rank = len(space)
    stride, dilation, extra = (each(v, rank) for v in (stride, dilation, output_padding))
    _check_reach(stride, dilation, padding)
    if output_size is not None and any(extra):
        raise ValueError(f"output_size={output_size} leaves no choice of output_padding={extra}")
    if any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation, strict=True)):
        raise ValueError(
            f"output_padding must be less than stride or dilation; it is {extra}, with stride "
            f"{stride} and dilation {dilation}"
        )
    whole = tuple(
        (n - 1) * s + _reach(k, d) + 1
        for n, k, s, d in zip(space, taps, stride, dilation, strict=True)
    )
    if isinstance(padding, str) and padding != "valid":
        if output_size is not None or any(extra):
            raise ValueError(
                f"padding={padding!r} sets the size of the result: output_padding and output_size "
                "are not for it"
            )
        if padding == "same":
            _unit_stride(stride)
        outputs = tuple(n * s for n, s in zip(space, stride, strict=True))
        before = tuple(_split(a - b, padding)[0] for a, b in zip(whole, outputs, strict=True))
        return _Window(taps, stride, dilation, before, outputs)
    pairs = _each_pair(padding, rank)
    least = tuple(n - low - high for n, (low, high) in zip(whole, pairs, strict=True))
    if output_size is None:
        outputs = tuple(n + e for n, e in zip(least, extra, strict=True))
    else:
        outputs = each(output_size, rank)
        if any(not 0 <= n - m < s for n, m, s in zip(outputs, least, stride, strict=True)):
            most = tuple(m + s - 1 for m, s in zip(least, stride, strict=True))
            raise ValueError(
                f"output_size must be from {least} to {most} for x of {space}, not {outputs}"
            )
    if min(outputs) < 1:
        raise ValueError(f"the result would have the size {outputs}: padding={padding!r} takes all")
    return _Window(taps, stride, dilation, tuple(low for low, _ in pairs), outputs)


@functools.lru_cache(maxsize=_KEPT)
def _grad_input(
    rank: int,
    grad: Shape,
    w: Shape,
    grad_dtype: np.dtype[Any],
    w_dtype: np.dtype[Any],
    input_shape: Shape,
    stride: Numbers,
    padding: Padding,
    dilation: Numbers,
    groups: int,
    layout: str,
    flip: bool,
    device: int | None,
) -> Geometry:
    dtype = _one_dtype(grad_dtype, w_dtype, ("grad", "w"))
    last = _channels_last(layout, rank)
    given = _data(grad, rank, last, "grad")
    wanted = _data(input_shape, rank, last, "input_shape")
    taps = _check_weights(w, rank, groups, "w")
    _channels_match(wanted.channels, w[1] * groups, "input_shape", "w", w)
    window = _window(wanted.space, taps, stride, padding, dilation, "input_shape")
    _check_grad(given, wanted, w[0], window)
    back = _Window(taps, window.stride, window.dilation, window.before, wanted.space)
    return _transposed(given, w, groups, dtype, back, flip, device, conjugate=True)


def _check_grad(grad: _Data, x: _Data, channels: int, window: _Window) -> None:
    expected = _Data(x.batched, x.batch, channels, window.outputs, x.last).shape()
    if grad.shape() != expected:
        raise ValueError(
            f"grad has shape {grad.shape()}; the layer's result for {x.shape()} has {expected}"
        )


@functools.lru_cache(maxsize=_KEPT)
def _grad_weight(
    rank: int,
    grad: Shape,
    x: Shape,
    grad_dtype: np.dtype[Any],
    x_dtype: np.dtype[Any],
    w: Shape,
    stride: Numbers,
    padding: Padding,
    dilation: Numbers,
    groups: int,
    layout: str,
    flip: bool,
    device: int | None,
) -> Geometry:
    dtype = _one_dtype(grad_dtype, x_dtype, ("grad", "x"))
    last = _channels_last(layout, rank)
    given, data = _data(grad, rank, last, "grad"), _data(x, rank, last, "x")
    taps = _check_weights(w, rank, groups, "weight_shape")
    _channels_match(data.channels, w[1] * groups, "x", "weight_shape", w)
    window = _window(data.space, taps, stride, padding, dilation, "x")
    _check_grad(given, data, w[0], window)
    # Input channels are the batch of this problem, and the batch is what it sums over.
    views = (
        data.view(groups, (2, 1, 0, 3, 4, 5), conjugate=True),
        given.view(groups, (1, 2, 0, 3, 4, 5)),
    )
    split = _weight_view(w, groups)
    out = View(None, split.shape, (2, 0, 1, 3, 4, 5), flip)
    problem = _problem(
        (_permuted(views[0]), _permuted(views[1]), _permuted(out)),
        dtype,
        tuple(-p for p in window.before),
        stride=window.dilation,
        dilation=window.stride,
        device=device,
    )
    return Geometry(problem, *views, out, w, reverse=True)


# --- calls ----------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=_KEPT)
def _choose(geometry: Geometry, method: str, accuracy: float | None, threads: int) -> Choice:
    """Choose by a geometry, which is found faster than its problem."""
    return _planner.choose(replace(geometry.problem, accuracy=accuracy), method, threads)


def clear_cache() -> None:
    """Forget every choice."""
    _choose.cache_clear()


@dataclass(slots=True, eq=False)  # frozen would double the time of making one
class LayerCall:
    """
    One call of a layer, lowered; never changed.

    Attributes
    ----------
    arrays : tuple
        The array arguments, or Specs that stand for them; a bias comes third.
    geometry : Geometry
        What they mean.
    method : str
        'auto' or a method's name.
    activation : Activation
        Done to the result.
    x_zero, w_zero
        As in Weights.
    accuracy : float, optional
        As in Problem.
    """

    arrays: tuple[Any, ...]
    geometry: Geometry
    method: Any = _planner.AUTO
    activation: Activation = Activation.NONE
    x_zero: int = 0
    w_zero: np.ndarray | None = None
    accuracy: float | None = None

    @property
    def problem(self) -> Problem:
        """What is to be solved."""
        return self.geometry.problem

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the result."""
        return self.geometry.problem.dtype

    @property
    def shape(self) -> Shape:
        """Shape of the result."""
        return self.geometry.shape

    @property
    def kernel_to_come(self) -> bool:
        """Whether a Spec stands for the kernel."""
        return isinstance(self.arrays[0 if self.geometry.reverse else 1], Spec)

    def choose(self) -> Choice:
        """Choose the method, from shapes alone."""
        if not isinstance(self.method, str):
            return _planner.choose(self.problem, self.method)  # which refuses it
        return _choose(self.geometry, self.method, self.accuracy, get_num_threads())

    def with_data(self, data: np.ndarray) -> LayerCall:
        """Return the call with other data in place of the first array."""
        arrays = (data, *self.arrays[1:])
        return LayerCall(
            arrays,
            self.geometry,
            self.method,
            self.activation,
            self.x_zero,
            self.w_zero,
            self.accuracy,
        )

    def prepare(self, choice: Choice) -> Prepared:
        """Prepare the kernel for a choice."""
        geometry = self.geometry
        taps = geometry.kernel.read(self.arrays[0 if geometry.reverse else 1])
        bias = self.arrays[2] if len(self.arrays) > 2 else None
        if bias is not None and not (bias.flags.c_contiguous and _devices.is_plain(bias)):
            bias = bias.astype(self.dtype)
        return choice.prepare(Weights(taps, bias, self.activation, self.x_zero, self.w_zero))

    def run(self, choice: Choice, kernel: Prepared, out: np.ndarray | None) -> np.ndarray:
        """Compute the result by a choice and a prepared kernel."""
        geometry = self.geometry
        x = geometry.data.read(self.arrays[1 if geometry.reverse else 0])
        if out is None:
            out = _devices.empty(geometry.shape, self.dtype, self.problem.device)
        if self.problem.device is not None or out.flags.aligned:
            choice.run(x, kernel, geometry.out.of(out), get_num_threads())
        else:
            out[...] = self.run(choice, kernel, None)
        return out

    def solve(self, out: Any = None) -> np.ndarray:
        """Compute the result into `out`, or into a new array."""
        if Spec in map(type, self.arrays):
            _with_numbers(next(a for a in self.arrays if isinstance(a, Spec)))
        if out is not None:
            check_out(out, self)
        with _devices.on(self.problem.device):
            choice = self.choose()
            return self.run(choice, self.prepare(choice), out)


def _with_bias(arrays: tuple[Any, ...], bias: Any, channels: int, dtype: Any) -> tuple[Any, ...]:
    if bias is None:
        return arrays
    if native(bias.dtype) != dtype:
        raise TypeError(f"bias must be of dtype {dtype}, not {bias.dtype}")
    if bias.shape != (channels,):
        raise ValueError(f"bias has shape {bias.shape}; expected {(channels,)}")
    return (*arrays, bias)


def _check_activation(activation: Any, dtype: np.dtype[Any]) -> Activation:
    kind = _activation(activation)
    if kind and dtype.kind == "c":
        raise TypeError(f"activation={activation!r} takes real numbers, not {dtype}")
    if kind > Activation.RELU and dtype.kind == "i":
        raise ValueError(
            f"activation of an integer layer must be None or 'relu', not {activation!r}"
        )
    return kind


def _is_plain_zero(value: Any) -> bool:
    return type(value) is int and value == 0


def _zero_points(value: Any, dtype: np.dtype[Any], channels: int, name: str) -> np.ndarray:
    """Check the numbers that stand for zero, in the range of the integers that they belong to."""
    try:
        points = _devices.to_host(value)
    except ValueError:
        raise ValueError(f"{name} must be one integer or a row of them, not {value!r}") from None
    if points.dtype.kind not in "iu":
        raise TypeError(f"{name} must be integer, not {value!r}")
    if points.shape not in ((), (1,), (channels,)):
        several = f" or {channels}" if channels > 1 else ""
        raise ValueError(f"{name} must be one integer{several}, not of shape {points.shape}")
    info = np.iinfo(dtype)
    if points.min() < info.min or points.max() > info.max:
        raise ValueError(f"{name} must be in the range of {dtype}, not {value!r}")
    return points.astype(np.int32)


def lower_conv(
    rank: int,
    x: Any,
    w: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: Any = 1,
    *,
    layout: Any = None,
    activation: Any = None,
    flip_kernel: Any = False,
    x_zero_point: Any = 0,
    w_zero_point: Any = 0,
    method: Any = _planner.AUTO,
    accuracy: Any = DEFAULT,
) -> LayerCall:
    """Lower a layer over `rank` axes of space."""
    device, (x, w, bias) = _devices.together(x=x, w=w, bias=bias)
    geometry = _forward(
        rank,
        x.shape,
        w.shape,
        x.dtype,
        w.dtype,
        numbers(stride, "stride", rank, 1),
        _padding(padding, rank),
        numbers(dilation, "dilation", rank, 1),
        _groups(groups),
        _layout(layout, rank),
        _flag(flip_kernel, "flip_kernel"),
        device,
    )
    dtype, channels = geometry.problem.dtype, w.shape[0]
    arrays = _with_bias((x, w), bias, channels, dtype)
    kind = _check_activation(activation, dtype)
    bound = None if accuracy is DEFAULT else check_accuracy(accuracy)
    if _is_plain_zero(x_zero_point) and _is_plain_zero(w_zero_point):
        return LayerCall(arrays, geometry, method, kind, accuracy=bound)
    if dtype.kind != "i":
        raise TypeError(f"x_zero_point and w_zero_point are for uint8 and int8, not {x.dtype}")
    x_zero = _zero_points(x_zero_point, x.dtype, 1, "x_zero_point")
    w_zero = _zero_points(w_zero_point, w.dtype, channels, "w_zero_point")
    every = np.ascontiguousarray(np.broadcast_to(w_zero, (channels,))) if w_zero.any() else None
    return LayerCall(arrays, geometry, method, kind, int(x_zero.reshape(())), every, bound)


def _layout(layout: Any, rank: int) -> str:
    if layout is None:
        return LAYOUTS[rank][0]
    return LAYOUTS[rank][_channels_last(layout, rank)]


def lower_conv_transpose(
    rank: int,
    x: Any,
    w: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: Any = 1,
    dilation: Any = 1,
    *,
    output_size: Any = None,
    layout: Any = None,
    activation: Any = None,
    flip_kernel: Any = False,
    method: Any = _planner.AUTO,
    accuracy: Any = DEFAULT,
) -> LayerCall:
    """Lower a transposed layer over `rank` axes of space."""
    device, (x, w, bias) = _devices.together(x=x, w=w, bias=bias)
    geometry = _transpose(
        rank,
        x.shape,
        w.shape,
        x.dtype,
        w.dtype,
        numbers(stride, "stride", rank, 1),
        _padding(padding, rank),
        numbers(output_padding, "output_padding", rank, 0),
        _groups(groups),
        numbers(dilation, "dilation", rank, 1),
        None if output_size is None else numbers(output_size, "output_size", rank, 1),
        _layout(layout, rank),
        _flag(flip_kernel, "flip_kernel"),
        device,
    )
    dtype = geometry.problem.dtype
    arrays = _with_bias((x, w), bias, geometry.problem.w[0] * geometry.problem.w[1], dtype)
    kind = _check_activation(activation, dtype)
    return LayerCall(arrays, geometry, method, kind, accuracy=check_accuracy(accuracy))


def lower_grad_input(
    rank: int,
    grad: Any,
    w: Any,
    input_shape: Any,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: Any = 1,
    *,
    layout: Any = None,
    flip_kernel: Any = False,
    method: Any = _planner.AUTO,
    accuracy: Any = DEFAULT,
) -> LayerCall:
    """Lower the gradient of a layer's input over `rank` axes of space."""
    device, (grad, w) = _devices.together(grad=grad, w=w)
    geometry = _grad_input(
        rank,
        grad.shape,
        w.shape,
        grad.dtype,
        w.dtype,
        shape_of(input_shape, "input_shape"),
        numbers(stride, "stride", rank, 1),
        _padding(padding, rank),
        numbers(dilation, "dilation", rank, 1),
        _groups(groups),
        _layout(layout, rank),
        _flag(flip_kernel, "flip_kernel"),
        device,
    )
    return LayerCall((grad, w), geometry, method, accuracy=check_accuracy(accuracy))


def lower_grad_weight(
    rank: int,
    grad: Any,
    x: Any,
    weight_shape: Any,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: Any = 1,
    *,
    layout: Any = None,
    flip_kernel: Any = False,
    method: Any = _planner.AUTO,
    accuracy: Any = DEFAULT,
) -> LayerCall:
    """Lower the gradient of a layer's weights over `rank` axes of space."""
    device, (grad, x) = _devices.together(grad=grad, x=x)
    geometry = _grad_weight(
        rank,
        grad.shape,
        x.shape,
        grad.dtype,
        x.dtype,
        shape_of(weight_shape, "weight_shape"),
        numbers(stride, "stride", rank, 1),
        _padding(padding, rank),
        numbers(dilation, "dilation", rank, 1),
        _groups(groups),
        _layout(layout, rank),
        _flag(flip_kernel, "flip_kernel"),
        device,
    )
    return LayerCall((grad, x), geometry, method, accuracy=check_accuracy(accuracy))


def grad_bias(rank: int, grad: Any, layout: Any) -> np.ndarray:
    """Sum over everything but channels, in double precision."""
    grad = _with_numbers(grad)
    last = _channels_last(layout, rank)
    dtype = check_float(grad.dtype, "grad")
    data = _data(grad.shape, rank, last, "grad")
    channels = grad.ndim - 1 if last else int(data.batched)
    others = tuple(a for a in range(grad.ndim) if a != channels)
    wide = np.complex128 if dtype.kind == "c" else np.float64
    with _devices.on(_devices.of(grad)):
        total: np.ndarray = _devices.as_array(grad.sum(axis=others, dtype=wide)).astype(dtype)
        return total


# --- patches --------------------------------------------------------------------------------------


def _patches(
    space: Shape, kernel_size: Any, dilation: Any, padding: Any, stride: Any, name: str
) -> _Window:
    taps = each(numbers(kernel_size, "kernel_size", 2, 1), 2)
    return _window(
        space,
        taps,
        numbers(stride, "stride", 2, 1),
        numbers(padding, "padding", 2, 0),
        numbers(dilation, "dilation", 2, 1),
        name,
    )


def _meeting(window: _Window, space: Shape, tap: Shape) -> tuple[tuple[slice, ...], ...]:
    """Return the elements that a tap meets, and the patches in which it does."""
    elements, patches = [], []
    for a, n in enumerate(space):
        s, start = window.stride[a], tap[a] * window.dilation[a] - window.before[a]
        first = max(-(start // s), 0)
        last = min((n - 1 - start) // s + 1, window.outputs[a])
        last = max(last, first)
        elements.append(slice(first * s + start, max((last - 1) * s + start + 1, 0), s))
        patches.append(slice(first, last))
        if first == last:
            elements[-1] = slice(0, 0)
    return tuple(elements), tuple(patches)


def unfold(x: Any, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> np.ndarray:
    """Lay out patches, one a column."""
    x = _with_numbers(x)
    dtype = check_float(x.dtype, "input")
    data = _data(x.shape, 2, False, "input")
    window = _patches(data.space, kernel_size, dilation, padding, stride, "input")
    images = x.reshape(data.batch, data.channels, *data.space)
    shape = (*images.shape[:2], *window.taps, *window.outputs)
    with _devices.on(_devices.of(x)):
        columns: np.ndarray = _devices.zeros(shape, dtype, _devices.of(x))
        for tap in np.ndindex(*window.taps):
            elements, patches = _meeting(window, data.space, tap)
            columns[(..., *tap, *patches)] = images[(..., *elements)]
    rows = data.channels * math.prod(window.taps)
    matrix = (rows, math.prod(window.outputs))
    return columns.reshape((data.batch, *matrix) if data.batched else matrix)


def fold(
    columns: Any, output_size: Any, kernel_size: Any, dilation: Any, padding: Any, stride: Any
) -> np.ndarray:
    """Add patches up to images."""
    columns = _with_numbers(columns)
    dtype = check_float(columns.dtype, "input")
    space = each(numbers(output_size, "output_size", 2, 1), 2)
    window = _patches(space, kernel_size, dilation, padding, stride, "output_size")
    taps, patches = math.prod(window.taps), math.prod(window.outputs)
    if columns.ndim not in (2, 3):
        raise ValueError(f"input must have 3 axes, or 2 without a batch; it is {columns.shape}")
    if columns.shape[-2] % taps or columns.shape[-2] == 0:
        raise ValueError(
            f"input has {columns.shape[-2]} rows, no multiple of the {taps} taps of {window.taps}"
        )
    if columns.shape[-1] != patches:
        raise ValueError(
            f"input has {columns.shape[-1]} columns; there are {patches} patches {window.outputs}"
        )
    batch = columns.shape[:-2]
    channels = columns.shape[-2] // taps
    parts = columns.reshape(*batch, channels, *window.taps, *window.outputs)
    whole = (slice(None),) * (columns.ndim - 1)
    with _devices.on(_devices.of(columns)):
        images: np.ndarray = _devices.zeros((*batch, channels, *space), dtype, _devices.of(columns))
        for tap in np.ndindex(*window.taps):
            elements, met = _meeting(window, space, tap)
            images[whole + elements] += parts[(..., *tap, *met)]
    return images
