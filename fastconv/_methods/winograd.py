"""
Layers of 3 × 3 kernels by Winograd's minimal filtering: 16 products where the sum takes 36.

Tiles of 2 × 2 outputs, F(2 × 2, 3 × 3), whose transforms hold 0, ±1 and ±1/2 alone: in float32 the
results err no more than those of the sum itself, but by the magnitudes of a tile's 4 × 4 data and
not by each output's own 3 × 3. See fastconv/_native/winograd.hpp.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastconv import _cost
from fastconv._cost import Estimate
from fastconv._methods import _rounding, channels
from fastconv._native import _core
from fastconv._problem import Activation, Problem, Reason, Weights
from fastconv._threads import get_num_threads

NAME = "winograd"
PLAIN = False

_POINTS, _TAPS = 16, 9
# Output channels for which data are transformed once.
_BLOCK = 64


def reject(problem: Problem) -> Reason | None:
    """Take layers of 3 × 3 taps that sum over channels and skip neither outputs nor data."""
    if not problem.layer:
        return Reason.NOT_A_LAYER
    if problem.empty:
        return Reason.EMPTY
    if problem.dtype not in (np.float32, np.float64):
        return Reason.DTYPE
    ones = (1, 1, 1)
    if problem.w[3:] != (1, 3, 3) or not (
        problem.stride == problem.dilation == problem.spread == ones
    ):
        return Reason.NOT_3X3
    if problem.w[1] == problem.w[2] == 1:
        return Reason.DEPTHWISE
    return Reason.WORKSPACE if _workspace(problem) > problem.workspace_limit else None


def least(problem: Problem) -> float:
    """Return the seconds of its call, and of the products alone, four for nine."""
    if not problem.layer or problem.dtype.kind != "f":
        return 0.0
    rate = _cost.coefficient(f"arithmetic.winograd.products.{problem.dtype.itemsize}")
    return _cost.coefficient("call.winograd") + problem.macs * rate * 4 / 9


def estimate(problem: Problem) -> Estimate:
    """Products at the kernels' rate, and the transforms of data, results and weights."""
    size = problem.dtype.itemsize
    outputs, summed = problem.w[1:3]
    tiles = _tiles(problem)
    products = _POINTS * tiles * outputs * summed
    transforms = tiles * (summed * math.ceil(outputs / _BLOCK) + outputs)
    work = (
        ("call.winograd", 1),
        (f"arithmetic.winograd.products.{size}", products),
        ("arithmetic.winograd.tiles", transforms * size),
        ("arithmetic.winograd.kernels", math.prod(problem.w[:3]) * size),
        _cost.traffic(problem.traffic),
    )
    return Estimate(work, _workspace(problem), products=products)


def error(problem: Problem) -> float:
    """Return what a sum may err by: its transforms add up nine data, and grow them fourfold."""
    return 4 * _rounding.direct_bound(problem.taps, problem.dtype)


def build(problem: Problem, shared: float | None = None) -> Runner:
    """Return the callable that solves problems of this shape; `shared` as predicted."""
    if shared is None:
        shared = _cost.predict(estimate(problem)).shared
    return Runner(problem, shared)


def _tiles(problem: Problem) -> int:
    """Tiles of all images, as many as fill the lanes of vectors."""
    lanes = _core.vector_bytes() // problem.dtype.itemsize
    batch, groups, _, depth, rows, columns = problem.out
    tiles = -(-rows // 2) * -(-columns // 2)
    return batch * groups * depth * math.ceil(tiles / lanes) * lanes


@functools.lru_cache(maxsize=256)
def _workspace(problem: Problem) -> int:
    g, o, c = problem.w[:3]
    scratch = _core.layer_scratch(
        problem.x,
        (g, o, c, 1, 4, 4),
        problem.out,
        problem.offset[3:],
        problem.stride,
        problem.dilation,
        problem.dtype,
        False,
        _core.FORM_WINOGRAD,
        _cost.CORES,
    )
    return scratch + _POINTS * g * o * c * problem.dtype.itemsize


@dataclass(frozen=True, slots=True, eq=False)
class Kernel:
    """Weights, as given and transformed."""

    weights: Weights
    transformed: np.ndarray
    bias: np.ndarray | None
    activation: Activation


@dataclass(frozen=True, slots=True)
class Runner:
    """Solves one layer."""

    problem: Problem
    shared: float  # seconds of work that threads share

    def converts(self, x: np.dtype[Any], out: np.dtype[Any]) -> bool:
        """Takes the problem's dtype alone."""
        return False

    def prepare(self, w: Weights) -> Kernel:
        """Transform the weights."""
        seconds = w.taps.nbytes // _TAPS * _cost.coefficient("arithmetic.winograd.kernels")
        threads = _cost.threads_for(seconds, get_num_threads())
        bias = None if w.bias is None else np.ascontiguousarray(w.bias)
        return Kernel(w, _core.winograd_weights(w.taps, threads), bias, w.activation)

    def __call__(self, x: np.ndarray, kernel: Kernel, out: np.ndarray, threads: int) -> None:
        """Fill `out`."""
        problem = self.problem
        finite = _core.solve_layer(
            x,
            kernel.transformed,
            out,
            problem.offset[3:],
            problem.stride,
            problem.dilation,
            kernel.bias,
            kernel.activation,
            0,
            _core.FORM_WINOGRAD,
            _cost.threads_for(self.shared, threads),
        )
        if not finite:
            # A tile shares its NaN and Inf among its outputs: the sum itself does not.
            direct = channels.build(problem)
            direct(x, direct.prepare(kernel.weights), out, threads)
