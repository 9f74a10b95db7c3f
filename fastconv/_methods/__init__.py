"""
The methods: each solves Problems, one file a method, behind one protocol.

A method module has ``NAME``, ``PLAIN``, ``reject(problem) -> Reason | None``,
``least(problem) -> float``, ``error(problem) -> float``,
``estimate(problem) -> Estimate`` and ``build(problem) -> Runner``. To add one, write its
file and name it in `METHODS`, or in `GPU_METHODS` where it solves problems on a GPU, and in
`fastconv._typing.Method`.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from fastconv._cost import Estimate
from fastconv._methods import (
    channels,
    direct,
    fft,
    gemm,
    gpu_direct,
    gpu_fft,
    gpu_gemm,
    gpu_separable,
    reference,
    separable,
    tilefft,
    winograd,
)
from fastconv._methods._lines import MOST_TERMS, count_terms, rounded
from fastconv._methods._rounding import unit_roundoff
from fastconv._methods.fft import measure_transforms
from fastconv._problem import Problem, Reason


class Runner(Protocol):
    """Solves one problem for any data of its shapes."""

    def converts(self, x: np.dtype[Any], out: np.dtype[Any]) -> bool:
        """Whether it takes data and results of these dtypes, other than the problem's."""

    def prepare(self, w: Any) -> Any:
        """Do what can be done with the kernel alone: an array of its dtype, Lines, or Weights."""

    def __call__(self, x: np.ndarray, kernel: Any, out: np.ndarray, threads: int) -> None:
        """Fill `out` from `x` and a prepared kernel; both of the problem's dtype, or converted."""


class Method(Protocol):
    """One way of solving Problems."""

    NAME: str
    PLAIN: bool  # whether it forms the sums of products as they stand

    def reject(self, problem: Problem) -> Reason | None:
        """Say why this method does not take a problem, or None where it does."""

    def least(self, problem: Problem) -> float:
        """Return seconds that it takes at the least, found faster than its estimate."""

    def estimate(self, problem: Problem) -> Estimate:
        """Count the work that it would take."""

    def error(self, problem: Problem) -> float:
        """Return what results may err by, beside the norms of data and kernel."""

    def build(self, problem: Problem, shared: float | None = None) -> Runner:
        """Return what solves it; `shared` are the seconds that threads share, where predicted."""


# Those of the host and those of a GPU; the last of each is for what no other takes.
METHODS: tuple[Method, ...] = (direct, separable, tilefft, fft, channels, winograd, gemm, reference)
GPU_METHODS: tuple[Method, ...] = (gpu_separable, gpu_fft, gpu_gemm, gpu_direct)


def methods_on(device: int | None) -> tuple[Method, ...]:
    """Return the methods for arrays on a device, None for the host."""
    return METHODS if device is None else GPU_METHODS


__all__ = [
    "GPU_METHODS",
    "METHODS",
    "MOST_TERMS",
    "Method",
    "Runner",
    "count_terms",
    "measure_transforms",
    "methods_on",
    "rounded",
    "unit_roundoff",
]
