"""
Problems of every kind, drawn at random with sizes that are log-spaced.

`calibrate` times some of them to learn what a machine's work costs; benchmarks/regret.py times
others to tell how well methods are chosen.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastconv import ndimage, nn, signal
from fastconv._plan import Lowered, noise
from fastconv._problem import Problem, Spec

Draw = Callable[["np.random.Generator"], tuple[str, Lowered] | None]

_DTYPES = ("float32", "float64", "complex64", "complex128", "int16", "int32", "uint8")
_DTYPE_SHARES = (0.42, 0.28, 0.06, 0.06, 0.06, 0.06, 0.06)
_FLOATS = ("float32", "float64", "complex64", "complex128")
_FLOAT_SHARES = (0.5, 0.3, 0.1, 0.1)
_PIXELS = ("float32", "float64", "uint8")
_PIXEL_SHARES = (0.5, 0.3, 0.2)
_MODES = ("full", "same", "valid")
_BOUNDARIES = ("reflect", "nearest", "mirror", "wrap", "constant")
# Draws that are given up for one that is no larger than asked for.
_MOST_DRAWS = 10_000


@dataclass(frozen=True, slots=True)
class Probe:
    """A call that there is a method to choose for."""

    kind: str
    label: str
    call: Lowered


def draw(
    rng: np.random.Generator, kinds: Sequence[str], most_seconds: float, most_bytes: int
) -> Probe:
    """
    Draw a call of one of these kinds.

    Parameters
    ----------
    rng : Generator
        Where chance comes from.
    kinds : sequence of str
        Of `KINDS`.
    most_seconds, most_bytes : float, int
        What its fastest method may be predicted to take on one thread, and its data and result.
    """
    for _ in range(_MOST_DRAWS):
        kind = kinds[int(rng.integers(len(kinds)))]
        drawn = KINDS[kind](rng)
        if drawn is None:
            continue
        label, call = drawn
        problem: Problem = call.problem
        if problem.empty or problem.traffic > most_bytes:
            continue
        predicted = [c.predicted for c in call.choose().candidates if c.predicted is not None]
        if predicted and min(predicted) <= most_seconds:
            arrays = tuple(noise(rng, a) if isinstance(a, Spec) else a for a in call.arrays)
            return Probe(kind, label, replace(call, arrays=arrays))
    raise ValueError(f"no problem of {kinds} takes less than {most_seconds} s")


def _lower(function: Callable[..., Any], *arguments: Any, **options: Any) -> Lowered:
    call: Lowered = function.__lower__(*arguments, **options)  # type: ignore[attr-defined]
    return call


def _integer(rng: np.random.Generator, low: int, high: int) -> int:
    """Return an integer whose logarithm is uniform."""
    return round(math.exp(rng.uniform(math.log(low), math.log(high))))


def _pick(rng: np.random.Generator, values: Sequence[str], shares: Sequence[float] = ()) -> str:
    return str(rng.choice(values, p=shares or None))


# --- the kinds ------------------------------------------------------------------------------------


def _line(rng: np.random.Generator) -> tuple[str, Lowered]:
    dtype, mode = _pick(rng, _DTYPES, _DTYPE_SHARES), _pick(rng, _MODES)
    n = _integer(rng, 16, 2_000_000)
    k = _integer(rng, 2, min(n, 300_000))
    function = signal.convolve if rng.random() < 0.7 else signal.correlate
    call = _lower(function, Spec(n, dtype), Spec(k, dtype), mode)
    return f"{function.__name__} {n}∗{k} {dtype} {mode}", call


def _lines(rng: np.random.Generator) -> tuple[str, Lowered]:
    dtype, axis = _pick(rng, _FLOATS, _FLOAT_SHARES), int(rng.integers(2))
    count, n = _integer(rng, 2, 2000), _integer(rng, 16, 50_000)
    k = _integer(rng, 2, min(n, 5000))
    shape, taps = ((count, n), (1, k)) if axis else ((n, count), (k, 1))
    call = _lower(signal.oaconvolve, Spec(shape, dtype), Spec(taps, dtype), "same", axis)
    return f"{shape}∗{taps} {dtype} along {axis}", call


def _image(rng: np.random.Generator) -> tuple[str, Lowered]:
    dtype, mode = _pick(rng, _DTYPES, _DTYPE_SHARES), _pick(rng, _MODES)
    shape = _integer(rng, 8, 3000), _integer(rng, 8, 3000)
    k = _integer(rng, 2, min(*shape, 400))
    taps = k, k if rng.random() < 0.6 else _integer(rng, 2, min(shape[1], 400))
    call = _lower(signal.convolve, Spec(shape, dtype), Spec(taps, dtype), mode)
    return f"{shape}∗{taps} {dtype} {mode}", call


def _filter(rng: np.random.Generator) -> tuple[str, Lowered]:
    dtype, mode = _pick(rng, _PIXELS, _PIXEL_SHARES), _pick(rng, _BOUNDARIES)
    shape, k = (_integer(rng, 8, 3000), _integer(rng, 8, 3000)), _integer(rng, 2, 150)
    separable = rng.random() < 0.3
    w = rng.standard_normal((k, k))
    w = np.outer(w[0], w[:, 0]) if separable else w
    call = _lower(ndimage.correlate, Spec(shape, dtype), w, mode=mode)
    return f"{shape}∗{w.shape} {dtype} {mode}{' separable' if separable else ''}", call


def _volume(rng: np.random.Generator) -> tuple[str, Lowered]:
    dtype = _pick(rng, _FLOATS, _FLOAT_SHARES)
    shape = _integer(rng, 6, 160), _integer(rng, 6, 160), _integer(rng, 6, 160)
    taps = (_integer(rng, 2, min(*shape, 32)),) * 3
    call = _lower(signal.convolve, Spec(shape, dtype), Spec(taps, dtype), "same")
    return f"{shape}∗{taps} {dtype}", call


def _smooth(rng: np.random.Generator) -> tuple[str, Lowered]:
    dtype, mode = _pick(rng, _PIXELS, _PIXEL_SHARES), _pick(rng, _BOUNDARIES)
    image = Spec((_integer(rng, 8, 3000), _integer(rng, 8, 3000)), dtype)
    if rng.random() < 0.5:
        sigma = math.exp(rng.uniform(math.log(0.5), math.log(20)))
        call = _lower(ndimage.gaussian_filter, image, sigma, mode=mode)
        return f"gaussian {image.shape} σ={sigma:.2f} {dtype} {mode}", call
    size = _integer(rng, 2, 60)
    call = _lower(ndimage.uniform_filter, image, size, mode=mode)
    return f"uniform {image.shape} {size} {dtype} {mode}", call


def _layer(rng: np.random.Generator) -> tuple[str, Lowered] | None:
    rank = int(rng.choice([1, 2, 3], p=[0.2, 0.6, 0.2]))
    dtype = _pick(rng, _FLOATS, (0.75, 0.2, 0.05, 0))
    side = _integer(rng, 4, {1: 20_000, 2: 224, 3: 32}[rank])
    k = min(int(rng.choice([1, 2, 3, 5, 7], p=[0.2, 0.1, 0.5, 0.1, 0.1])), side)
    groups, channels, outputs = 1, _integer(rng, 1, 512), _integer(rng, 1, 512)
    if rng.random() < 0.15:
        groups = outputs = channels
    stride, dilation = (int(v) for v in rng.choice([1, 1, 1, 2], 2))
    dilation = dilation if dilation * (k - 1) < side else 1
    padding = k // 2 if rng.random() < 0.7 else 0
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    reach = side + 2 * padding - dilation * (k - 1) - 1
    batch = _integer(rng, 1, 8)
    x = Spec((batch, channels, *(side,) * rank), dtype)
    w = Spec((outputs, channels // groups, *(k,) * rank), dtype)
    y = Spec((batch, outputs, *(reach // stride + 1,) * rank), dtype)
    role = _pick(
        rng, ("conv", "conv_transpose", "grad_input", "grad_weight"), (0.6, 0.1, 0.15, 0.15)
    )
    label = f"{role} {x.shape}∗{w.shape} {dtype} {options}"
    if role == "conv":
        return label, _lower(getattr(nn, f"conv{rank}d"), x, w, **options)
    if role == "conv_transpose":
        return label, _lower(getattr(nn, f"conv_transpose{rank}d"), y, w, **options)
    gradient = functools.partial(_lower, getattr(nn, f"conv{rank}d_{role}"), y)
    other, shape = (w, x.shape) if role == "grad_input" else (x, w.shape)
    return label, gradient(other, shape, **options)


KINDS: dict[str, Draw] = {
    "line": _line,
    "lines": _lines,
    "image": _image,
    "filter": _filter,
    "volume": _volume,
    "smooth": _smooth,
    "layer": _layer,
}
