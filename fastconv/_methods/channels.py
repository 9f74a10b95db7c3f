"""Layers by register tiles of sums of products, packed only where rows are short."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastconv import _cost
from fastconv._methods import _reference_layers
from fastconv._methods._nonfinite import all_finite
from fastconv._methods._phases import Phase, meets_zeros, phases
from fastconv._native import _core
from fastconv._problem import Activation, Estimate, Problem, Reason, Weights

NAME = "channels"

# Products of whole numbers below 256 that float32 sums exactly.
_EXACT_TAPS = 256
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
    scratch = max(map(_scratch, _parts_of(problem)), default=0)
    return Reason.WORKSPACE if scratch > problem.workspace_limit else None


def estimate(problem: Problem, threads: int) -> Estimate:
    """Arithmetic at the kernels' rate, or memory traffic at the machine's."""
    parts = _parts_of(problem)
    arithmetic, memory = sum(map(_arithmetic, parts)), _memory(problem)
    call = len(parts) * _cost.CALL_SECONDS
    seconds = _cost.parallel(max(arithmetic, memory), threads) + call
    bound = "arithmetic" if arithmetic > memory else "memory"
    workspace = max(map(_scratch, parts), default=0)
    return Estimate(seconds, "call" if call > seconds / 2 else bound, workspace)


def build(problem: Problem) -> Runner:
    """Return the callable that solves problems of this shape."""
    return Runner(
        problem,
        tuple(
            (phase, 0 if phase.problem is None else _form(phase.problem))
            for phase in phases(problem)
        ),
        max(sum(map(_arithmetic, _parts_of(problem))), _memory(problem)),
        problem.dtype.kind != "i" and meets_zeros(problem),
    )


def _parts_of(problem: Problem) -> list[Problem]:
    """Return the problems of the phases that taps reach."""
    return [p.problem for p in phases(problem) if p.problem is not None]


def _memory(problem: Problem) -> float:
    return problem.traffic / _cost.MEMORY_RATE


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


def _arithmetic(problem: Problem) -> float:
    """Seconds of its products on one core; lanes that stay empty take as long."""
    dtype = _scalar(problem)
    form = _form(problem)
    seconds = problem.macs / _cost.product_rate(dtype)
    if form == _core.FORM_CHANNELS:
        return seconds / _lanes_filled(math.prod(problem.out[4:]), dtype)
    if form == _core.FORM_GRADIENTS:
        return seconds / _lanes_filled(problem.w[1] * _parts(problem), dtype)
    return problem.macs / _cost.direct_rate(dtype)


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
        _form(problem),
        _cost.CORES,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Kernel:
    """
    Weights of every phase, as the native code takes them.

    They are none where the zeros beyond the data's edges would meet a NaN or Inf among them.
    """

    weights: Weights
    taps: tuple[np.ndarray, ...]
    bias: np.ndarray | None
    activation: Activation
    x_zero: int


@dataclass(frozen=True, slots=True)
class Runner:
    """Solves one layer."""

    problem: Problem
    phases: tuple[tuple[Phase, int], ...]  # each with the form that sums it
    seconds: float  # on one core
    meets_zeros: bool

    def converts(self, x: np.dtype[Any], out: np.dtype[Any]) -> bool:
        """Takes the problem's dtype, and int8 and uint8 for integers."""
        return False

    def prepare(self, w: Weights) -> Kernel:
        """Bring the weights into the form of real numbers; those that are stay where they are."""
        taps = w.taps
        if self.meets_zeros and not all_finite(taps):
            return Kernel(w, (), None, w.activation, w.x_zero)
        if self.problem.dtype.kind == "i":
            taps = taps.astype(np.float32)
            if w.w_zero is not None:
                taps -= w.w_zero.reshape(*taps.shape[:2], 1, 1, 1, 1)
        bias = None if w.bias is None else np.ascontiguousarray(w.bias)
        if self.problem.dtype.kind == "c":
            taps = _as_real(taps)
            bias = None if bias is None else bias.view(bias.real.dtype)
        pieces = tuple(taps[phase.taps] for phase, _ in self.phases)
        return Kernel(w, pieces, bias, w.activation, w.x_zero)

    def __call__(self, x: np.ndarray, kernel: Kernel, out: np.ndarray, threads: int) -> None:
        """Fill `out`."""
        if not kernel.taps:
            _reference_layers.solve(self.problem, x, kernel.weights, out)
            return
        threads = _cost.threads_for(self.seconds, threads)
        for (phase, form), taps in zip(self.phases, kernel.taps, strict=True):
            problem = phase.problem
            if problem is None:
                _fill(out[phase.out], kernel, taps, threads)
                continue
            _core.solve_layer(
                x,
                taps,
                out[phase.out],
                problem.offset[3:],
                problem.stride,
                problem.dilation,
                kernel.bias,
                kernel.activation,
                kernel.x_zero,
                form,
                threads,
            )


def _as_real(taps: np.ndarray) -> np.ndarray:
    """Return complex taps as products of parts: [[re, -im], [im, re]] for each pair of channels."""
    g, o, c, *extents = taps.shape
    real = np.empty((g, o, 2, c, 2, *extents), taps.real.dtype)
    real[:, :, 0, :, 0] = real[:, :, 1, :, 1] = taps.real
    real[:, :, 1, :, 0] = real[:, :, 0, :, 1] = taps.imag
    real[:, :, 0, :, 1] *= -1
    return real.reshape(g, 2 * o, 2 * c, *extents)


def _fill(out: np.ndarray, kernel: Kernel, taps: np.ndarray, threads: int) -> None:
    """Write what outputs are that no tap reaches: the sums of nothing, with bias and activation."""
    x = np.broadcast_to(np.zeros((), out.dtype), (*out.shape[:2], 1, *out.shape[3:]))
    parts = 2 if out.dtype.kind == "c" else 1
    nothing = np.zeros((*taps.shape[:2], parts, 1, 1, 1), taps.dtype)
    at = (0, 0, 0), (1, 1, 1), (1, 1, 1)
    _core.solve_layer(x, nothing, out, *at, kernel.bias, kernel.activation, 0, 0, threads)
