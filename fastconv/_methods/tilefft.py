"""
Overlap-save along one axis, many blocks side by side in the lanes of SIMD registers.

Each lane transforms a block of its own (two, where the data is real), so that a transform needs no
shuffles and runs at several times the rate of one transform at a time; fastconv/_native/lanefft.hpp
tells how. FFTW serves what this does not cover: more axes than one, and lone large transforms.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastconv import _cost
from fastconv._methods import _nonfinite, fft
from fastconv._native import _core
from fastconv._problem import Estimate, Problem, Reason, Shape

NAME = "tilefft"

# Lengths of transforms that are tried.
_LENGTHS = tuple(1 << p for p in range(6, 17))


@dataclass(frozen=True, slots=True)
class Layout:
    """How a line is cut into blocks."""

    axis: int
    points: int  # of a transform
    skip: int  # outputs of a block that are thrown away: whole vectors, at least taps - 1
    batches: int  # of blocks side by side
    batch_seconds: float
    workspace: int  # of one thread


def reject(problem: Problem) -> Reason | None:
    """Take one convolved axis of floats or complex numbers with a common kernel."""
    if problem.empty:
        return Reason.EMPTY
    if problem.cut is not None:
        return Reason.CUT
    if problem.by_passes:
        return Reason.PASSES
    if problem.dtype.kind not in "fc" or not _core.line_fft_lanes(problem.dtype):
        return Reason.DTYPE
    if problem.varying or len([a for a in problem.axes if problem.w[a] > 1]) != 1:
        return Reason.NOT_A_LINE
    if any(
        problem.offset[a] != 0 or problem.x[a] != problem.out[a]
        for a in range(len(problem.x))
        if problem.w[a] == 1
    ):
        return Reason.NOT_A_LINE
    return Reason.WORKSPACE if choose_layout(problem) is None else None


@functools.lru_cache(maxsize=512)
def choose_layout(problem: Problem) -> Layout | None:
    """Return the cheapest length of blocks within the workspace bound, or None."""
    axis = next(a for a in problem.axes if problem.w[a] > 1)
    lanes = _core.line_fft_lanes(problem.dtype)
    real = problem.dtype.kind == "f"
    scalar = problem.dtype.itemsize // (1 if real else 2)
    lines = math.prod(problem.out) // problem.out[axis]
    skip = -(-(problem.w[axis] - 1) // lanes) * lanes
    least, best = math.inf, None
    for points in _LENGTHS:
        if points <= skip:
            continue
        blocks = lines * -(-problem.out[axis] // (points - skip))
        batches = -(-blocks // (2 * lanes if real else lanes))
        planes = 2 * points * lanes * scalar
        # The lines pass through scratch of the planes' size where they cannot be read in place.
        workspace = 2 * planes + points * problem.dtype.itemsize
        if 2 * workspace > problem.workspace_limit:
            continue
        flops = 2 * 5 * points * math.log2(points) * lanes
        seconds = flops / _cost.lane_fft_rate(scalar, planes)
        # Lanes that stay empty, and cores: few large batches leave some idle.
        cost = -(-batches // _cost.CORES) * seconds
        if cost < least:
            least, best = cost, Layout(axis, points, skip, batches, seconds, workspace)
    return best


def estimate(problem: Problem, threads: int) -> Estimate:
    """Batches of transforms at their rate, after the kernel's."""
    layout = choose_layout(problem)
    assert layout is not None
    used = _used_threads(problem, layout, threads)
    rounds = -(-layout.batches // used)
    # The kernel fills one lane of half a batch.
    seconds = (rounds + 0.5) * layout.batch_seconds + _cost.TILE_CALL_SECONDS
    bound = "call" if seconds < 2 * _cost.TILE_CALL_SECONDS else "arithmetic"
    return Estimate(seconds, bound, used * layout.workspace)


def _used_threads(problem: Problem, layout: Layout, threads: int) -> int:
    worth = _cost.threads_for(layout.batches * layout.batch_seconds, threads)
    room = problem.workspace_limit // (2 * layout.workspace)
    return max(1, min(worth, layout.batches, room))


def build(problem: Problem) -> Runner:
    """Return the callable that solves problems of this shape."""
    layout = choose_layout(problem)
    assert layout is not None
    order = (*(a for a in range(len(problem.x)) if a != layout.axis), layout.axis)
    return Runner(problem, layout, order, problem.fill_element)


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel's spectrum, and the kernel as it was where it held NaN or Inf."""

    spectrum: np.ndarray
    w: np.ndarray
    nonfinite: bool


@dataclass(frozen=True, slots=True)
class Runner:
    """Solves one problem by its layout."""

    problem: Problem
    layout: Layout
    order: Shape  # of the axes, the convolved one last
    fill: np.ndarray | None

    def converts(self, x: np.dtype[Any], out: np.dtype[Any]) -> bool:
        """Takes the problem's dtype alone."""
        return False

    def prepare(self, w: np.ndarray) -> Kernel:
        """Transform the kernel."""
        kernel = _nonfinite.split(w)
        taps = np.require(kernel.finite.reshape(-1), requirements=["C", "ALIGNED"])
        spectrum = _core.line_fft_spectrum(taps, self.layout.points)
        return Kernel(spectrum, w, kernel.nonfinite is not None)

    def __call__(self, x: np.ndarray, kernel: Kernel, out: np.ndarray, threads: int) -> None:
        """Fill `out`."""
        problem, layout = self.problem, self.layout
        threads = _used_threads(problem, layout, threads)
        nonfinite, overflowed = _core.line_fft_correlate(
            x.transpose(self.order),
            kernel.spectrum,
            problem.w[layout.axis],
            out.transpose(self.order),
            [problem.offset[a] for a in self.order],
            layout.skip,
            problem.boundary,
            self.fill,
            threads,
        )
        if overflowed:
            fft.solve_wider(problem, x, kernel.w, out, threads)
        elif nonfinite or kernel.nonfinite:
            _nonfinite.mend(fft.solve_finite(threads), problem, x, kernel.w, out)
