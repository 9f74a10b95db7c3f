"""Layers by register tiles of sums of products, packed only where rows are short."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastconv import _cost
from fastconv._cost import Estimate
from fastconv._methods import _rounding
from fastconv._methods._nonfinite import all_finite
from fastconv._methods._phases import Phase, meets_zeros, phases
from fastconv._native import _core
from fastconv._problem import Activation, Problem, Reason, Weights

NAME = "channels"
PLAIN = True

# Products of whole numbers below 256 that float32 sums exactly.
_EXACT_TAPS = 256
# Output channels from which short rows are packed end to end.
_PACKED_OUTPUTS = 48
# Output channels of a group up to which each is summed by itself.
_FEW_OUTPUTS = 3


def reject(problem: Problem) -> Reason | None:
    """Take layers of real and complex floats, and of integers that are summed in int32."""
    if not problem.layer:
        return Reason.NOT_A_LAYER
    if problem.empty:
        return Reason.EMPTY
    if problem.dtype not in (np.float32, np.float64, np.complex64, np.complex128, np.int32):
        return Reason.DTYPE
    return Reason.WORKSPACE if _workspace(problem) > problem.workspace_limit else None


def least(problem: Problem) -> float:
    """Nothing that could be said without counting."""
    return 0.0


def estimate(problem: Problem) -> Estimate:
    """Products at the kernels' rate, what is staged for them, and memory traffic."""
    parts = _parts_of(problem)
    work = tuple(unit for part in parts for unit in _work(part))
    converted = _converted_bytes(problem) * problem.w[1]
    # Outputs of a phase lie apart.
    scattered = math.prod(problem.out) * problem.dtype.itemsize if problem.spread[2] > 1 else 0
    work += (
        ("call.channels", 1),
        ("call.channels.phase", len(phases(problem))),
        ("cache.channels.converted", converted),
        ("cache.channels.scattered", scattered),
        _cost.traffic(problem.traffic),
    )
    return Estimate(work, _workspace(problem))


def error(problem: Problem) -> float:
    """Return what a sum may err by, beside its products."""
    return _rounding.direct_bound(problem.taps, problem.dtype)


def build(problem: Problem, shared: float | None = None) -> Runner:
    """Return the callable that solves problems of this shape; `shared` as predicted."""
    if shared is None:
        shared = _cost.predict(estimate(problem)).shared
    return Runner(
        problem,
        shared,
        tuple(
            (phase, 0 if phase.problem is None else _form(phase.problem))
            for phase in phases(problem)
        ),
        problem.dtype.kind != "i" and meets_zeros(problem),
        _converted_outputs(problem),
    )


def _parts_of(problem: Problem) -> list[Problem]:
    """Return the problems of the phases that taps reach."""
    return [p.problem for p in phases(problem) if p.problem is not None]


def _parts(problem: Problem) -> int:
    """Real numbers of an element."""
    return 2 if problem.dtype.kind == "c" else 1


def _scalar(problem: Problem) -> np.dtype[Any]:
    """Dtype of the computation: real, and float32 for integers."""
    if problem.dtype.kind == "c":
        return np.dtype(f"f{problem.dtype.itemsize // 2}")
    return np.dtype(np.float32) if problem.dtype.kind == "i" else problem.dtype


def _lanes_filled(count: int, dtype: np.dtype[Any]) -> float:
    lanes = _core.vector_bytes() // dtype.itemsize
    return count / (math.ceil(count / lanes) * lanes)


def _form(problem: Problem) -> int:
    """Which way of summing fills the lanes of vectors: see fastconv/_native/layers.hpp."""
    taps, points = math.prod(problem.w[3:]), math.prod(problem.out[3:])
    outputs, channels = (n * _parts(problem) for n in problem.w[1:3])
    exact = problem.dtype.kind == "i"
    if taps > points and not exact:
        filled = _lanes_filled(outputs, _scalar(problem))
        if outputs > 1 and filled >= _lanes_filled(points, _scalar(problem)) / 2:
            return _core.FORM_GRADIENTS
        if _parts(problem) == 1:
            return _core.FORM_DOTS
    if channels == 1 and outputs <= _FEW_OUTPUTS and (not exact or taps <= _EXACT_TAPS):
        return _core.FORM_DEPTHWISE
    return _core.FORM_CHANNELS


def _work(problem: Problem) -> tuple[tuple[str, float], ...]:
    """Count products (lanes that stay empty take as long), and what is staged for them."""
    dtype = _scalar(problem)
    form = _form(problem)
    size = dtype.itemsize
    if form == _core.FORM_CHANNELS:
        outputs = problem.w[1] * _parts(problem)
        packed = outputs >= _PACKED_OUTPUTS or problem.w[5] == 1  # rows end to end
        filled = _lanes_filled(math.prod(problem.out[4 if packed else 5 :]), dtype)
        filled *= 0.5 if outputs == 1 else 1.0
        staged = _read(problem) * _parts(problem) * size
        weights = problem.out[0] * math.prod(problem.w) * _parts(problem) ** 2
        lines = math.prod(problem.out[:5]) // problem.out[2]
        return (
            (f"arithmetic.channels.{size}", problem.macs / filled),
            ("cache.channels.staged", staged),
            ("cache.channels.lines", lines * problem.w[2]),
            ("cache.channels.weights", weights),
            ("cache.channels.sums", math.prod(problem.out) * _parts(problem) * size),
        )
    if form == _core.FORM_GRADIENTS:
        filled = _lanes_filled(problem.w[1] * _parts(problem), dtype)
        # Data that are read one by one: of a single point, with gaps.
        apart = problem.dilation[2] > 1 and math.prod(problem.out[3:]) == 1
        return (
            (f"arithmetic.gradients.{size}", problem.macs / filled),
            ("cache.gradients.packed", math.prod(problem.w)),
            ("cache.gradients.apart", apart * problem.macs / problem.w[1]),
        )
    if form == _core.FORM_DOTS:
        dots = problem.macs / problem.w[5]
        return (
            ("arithmetic.dots", dots * _cost.vectors(problem.w[5], dtype)),
            ("cache.dots.lines", dots),
        )
    planes = math.prod(problem.out[:2]) * problem.out[3]
    rows, columns = problem.out[4:]
    if problem.w[4:] == (1, 1):
        rows, columns = 1, rows * columns
    tiles = _cost.row_tiles(rows, dtype) * _cost.vectors(columns, dtype)
    tiles *= planes * problem.w[1]
    return (
        (f"arithmetic.depthwise.{size}", tiles * math.prod(problem.w[3:])),
        ("cache.depthwise.planes", planes),
        ("cache.depthwise.staged", _read(problem) * size),
    )


def _read(problem: Problem) -> int:
    """Elements of the data that windows hold: strides may skip some."""
    read = math.prod(problem.x[:3])
    for a, stride in zip(problem.axes, problem.stride, strict=True):
        taps = problem.w[a]
        read *= min(problem.x[a], problem.out[a] * min(stride, taps) + taps)
    return read


def _converted_bytes(problem: Problem) -> int:
    """Bytes of an output channel's weights in the form of real numbers; none where they are it."""
    if problem.dtype.kind == "f":
        return 0
    # A complex number is four real ones, a byte is one.
    numbers = math.prod(problem.w) // problem.w[1] * _parts(problem) ** 2
    return numbers * _scalar(problem).itemsize


def _converted_outputs(problem: Problem) -> int:
    """Output channels whose weights are brought into that form at once."""
    size = _converted_bytes(problem)
    most = problem.workspace_limit // 2 // size if size else problem.w[1]
    return max(min(problem.w[1], most), 1)


@functools.lru_cache(maxsize=256)
def _workspace(problem: Problem) -> int:
    """Bytes of scratch, and of weights in another form."""
    parts = {replace(p, offset=(0,) * 6) for p in _parts_of(problem)}
    scratch = max(map(_scratch, parts), default=0)
    return scratch + _converted_outputs(problem) * _converted_bytes(problem)


def _scratch(problem: Problem) -> int:
    parts = _parts(problem)
    n, g, c, *extents = problem.x
    return _core.layer_scratch(
        (n, g, c * parts, *extents),
        (g, problem.w[1] * parts, problem.w[2] * parts, *problem.w[3:]),
        problem.out,
        problem.offset[3:],
        problem.stride,
        problem.dilation,
        _scalar(problem),
        problem.dtype.kind == "i",
        _form(problem),
        _cost.CORES,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Kernel:
    """
    Weights as the native code takes them.

    Attributes
    ----------
    weights : Weights
        As they were given.
    real : ndarray, optional
        The taps in the form of real numbers; None where they are brought into it piece by piece.
    whole, met : ndarray, optional
        Where the zeros beyond the data's edges would meet a NaN or Inf: all taps (`real` has zeros
        for those that are not finite), and 1 for each tap that is not finite.
    """

    weights: Weights
    real: np.ndarray | None
    whole: np.ndarray | None = None
    met: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class Runner:
    """Solves one layer."""

    problem: Problem
    shared: float  # seconds of work that threads share
    phases: tuple[tuple[Phase, int], ...]  # each with the form that sums it
    meets_zeros: bool
    converted_outputs: int

    def converts(self, x: np.dtype[Any], out: np.dtype[Any]) -> bool:
        """Takes the problem's dtype, and int8 and uint8 for integers."""
        return False

    def prepare(self, w: Weights) -> Kernel:
        """Bring the weights into the form of real numbers; those that are stay where they are."""
        if self.meets_zeros and not all_finite(w.taps):
            finite = np.isfinite(w.taps)
            return Kernel(
                w,
                _as_real(np.where(finite, w.taps, w.taps.dtype.type(0))),
                _as_real(w.taps),
                _as_real((~finite).astype(w.taps.dtype)),
            )
        if self.converted_outputs < self.problem.w[1]:
            return Kernel(w, None)
        return Kernel(w, _converted(w, slice(None)))

    def __call__(self, x: np.ndarray, kernel: Kernel, out: np.ndarray, threads: int) -> None:
        """Fill `out`."""
        threads = _cost.threads_for(self.shared, threads)
        if kernel.met is not None:
            self._mend(x, kernel, out, threads)
        elif kernel.real is not None:
            self._solve(x, kernel.real, kernel.weights, slice(None), out, threads)
        else:
            for first in range(0, self.problem.w[1], self.converted_outputs):
                outputs = slice(first, first + self.converted_outputs)
                taps = _converted(kernel.weights, outputs)
                self._solve(x, taps, kernel.weights, outputs, out[:, :, outputs], threads)

    def _solve(
        self,
        x: np.ndarray,
        taps: np.ndarray,
        weights: Weights,
        outputs: slice,
        out: np.ndarray,
        threads: int,
    ) -> None:
        """Fill the outputs of some output channels by taps in the form of real numbers."""
        bias = _bias(weights, outputs)
        for phase, form in self.phases:
            problem = phase.problem
            if problem is None:
                _fill(out[phase.out], taps, bias, weights.activation, threads)
                continue
            _core.solve_layer(
                x,
                taps[phase.taps],
                out[phase.out],
                problem.offset[3:],
                problem.stride,
                problem.dilation,
                bias,
                weights.activation,
                weights.x_zero,
                form,
                threads,
            )

    def _mend(self, x: np.ndarray, kernel: Kernel, out: np.ndarray, threads: int) -> None:
        """
        Fill `out` where zeros would meet taps that are not finite, image by image.

        Outputs whose windows hold such a tap's datum are what all taps give; others are what those
        that are finite give. Where several infinite taps meet at an edge, NaN may stand for Inf.
        """
        assert kernel.real is not None
        assert kernel.whole is not None
        assert kernel.met is not None
        everything = slice(None)
        counts = Weights(kernel.weights.taps)
        ones = np.broadcast_to(np.ones((), x.dtype), (1, *x.shape[1:]))
        met = np.empty((1, *out.shape[1:]), out.dtype)
        self._solve(ones, kernel.met, counts, everything, met, threads)
        whole = np.empty_like(met)
        for n in range(len(x)):
            image, result = x[n : n + 1], out[n : n + 1]
            self._solve(image, kernel.real, kernel.weights, everything, result, threads)
            self._solve(image, kernel.whole, kernel.weights, everything, whole, threads)
            np.copyto(result, whole, where=met.real > 0.5)


def _converted(weights: Weights, outputs: slice) -> np.ndarray:
    """Return taps of some output channels in the form of real numbers."""
    taps = weights.taps[:, outputs]
    if taps.dtype.kind in "iu":
        taps = taps.astype(np.float32)
        if weights.w_zero is not None:
            zero = weights.w_zero.reshape(weights.taps.shape[:2])[:, outputs]
            taps -= zero.reshape(*zero.shape, 1, 1, 1, 1)
    return _as_real(taps)


def _bias(weights: Weights, outputs: slice) -> np.ndarray | None:
    """Return the bias of some output channels as real numbers, end to end."""
    if weights.bias is None:
        return None
    bias = np.ascontiguousarray(weights.bias.reshape(weights.taps.shape[:2])[:, outputs]).ravel()
    return bias.view(bias.real.dtype) if bias.dtype.kind == "c" else bias


def _as_real(taps: np.ndarray) -> np.ndarray:
    """
    Return taps as real numbers.

    Complex ones become products of parts, [[re, -im], [im, re]] for each pair of channels.
    """
    if taps.dtype.kind != "c":
        return taps
    g, o, c, *extents = taps.shape
    real = np.empty((g, o, 2, c, 2, *extents), taps.real.dtype)
    real[:, :, 0, :, 0] = real[:, :, 1, :, 1] = taps.real
    real[:, :, 1, :, 0] = real[:, :, 0, :, 1] = taps.imag
    real[:, :, 0, :, 1] *= -1
    return real.reshape(g, 2 * o, 2 * c, *extents)


def _fill(
    out: np.ndarray,
    taps: np.ndarray,
    bias: np.ndarray | None,
    activation: Activation,
    threads: int,
) -> None:
    """Write what outputs are that no tap reaches: the sums of nothing, with bias and activation."""
    x = np.broadcast_to(np.zeros((), out.dtype), (*out.shape[:2], 1, *out.shape[3:]))
    parts = 2 if out.dtype.kind == "c" else 1
    nothing = np.zeros((*taps.shape[:2], parts, 1, 1, 1), taps.dtype)
    at = (0, 0, 0), (1, 1, 1), (1, 1, 1)
    form = _core.FORM_CHANNELS
    _core.solve_layer(x, nothing, out, *at, bias, activation, 0, form, threads)
