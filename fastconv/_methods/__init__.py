"""
The methods: each solves Problems, one file a method, behind one protocol.

A method module has ``NAME``, ``reject(problem) -> Reason | None``,
``estimate(problem, threads) -> Estimate`` and ``build(problem) -> Runner``. To add one, write its
file and name it in `METHODS`.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from fastconv._methods import direct, fft, reference, tilefft
from fastconv._problem import Estimate, Problem, Reason


class Runner(Protocol):
    """Solves one problem for any data of its shapes."""

    def prepare(self, w: np.ndarray) -> Any:
        """Do what can be done with the kernel alone; it is of the problem's dtype."""

    def __call__(self, x: np.ndarray, kernel: Any, out: np.ndarray, threads: int) -> None:
        """Fill `out` from `x` and a prepared kernel; both are of the problem's dtype."""


class Method(Protocol):
    """One way of solving Problems."""

    NAME: str

    def reject(self, problem: Problem) -> Reason | None:
        """Say why this method does not take a problem, or None where it does."""

    def estimate(self, problem: Problem, threads: int) -> Estimate:
        """Predict what it would take."""

    def build(self, problem: Problem) -> Runner:
        """Return what solves it."""


METHODS: tuple[Method, ...] = (direct, tilefft, fft, reference)

__all__ = ["METHODS", "Method", "Runner"]
