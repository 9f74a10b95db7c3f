"""
Direct correlation on a GPU: blocks of outputs over shared memory (fastconv/_cuda/filters.cu).

Takes everything that is one sum an output: dtypes of any kind, one to three convolved axes in
tiles and any number one output a thread, layers by tiles of channels and points (`_gpu_layers`).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastconv import _devices
from fastconv._cost import Estimate
from fastconv._methods import _blocks, _gpu_filters, _gpu_layers, _rounding
from fastconv._methods._gpu_filters import ORDERED_TAP
from fastconv._problem import Boundary, Problem, Reason

NAME = "gpu_direct"
PLAIN = True

# Dtypes that CuPy's arrays hold.
_ELEMENTS = "?bBhHiIlLqQfdFD"


def reject(problem: Problem) -> Reason | None:
    """Take every sum of a dtype that there are kernels for."""
    if problem.layer:
        return _gpu_layers.reject(problem)
    if problem.empty:
        return None
    if problem.dtype.char not in _ELEMENTS:
        return Reason.DTYPE
    return Reason.PASSES if problem.by_passes else None


def least(problem: Problem) -> float:
    """Nothing that could be said without counting."""
    return 0.0


def estimate(problem: Problem) -> Estimate:
    """Products, each output's own, and data and result once through memory."""
    if problem.layer:
        return _gpu_layers.estimate(problem)
    if _blocks.is_ordered(problem):
        return _gpu_filters.estimate_ordered(problem, problem.taps, 1)
    return Estimate(_gpu_filters.work(problem, problem.taps))


def error(problem: Problem) -> float:
    """Return what a sum may err by, beside its products."""
    if problem.layer:
        return _gpu_layers.error(problem)
    return _rounding.direct_bound(problem.taps, problem.dtype)


def build(problem: Problem, shared: float | None = None) -> Runner | _gpu_layers.Runner:
    """Return the callable that solves problems of this shape; a GPU shares its work by itself."""
    return _gpu_layers.build(problem) if problem.layer else Runner(problem)


@dataclass(frozen=True, slots=True)
class Kernel:
    """
    A kernel on the GPU.

    Attributes
    ----------
    taps : array
        The kernel, of the problem's dtype; or, where sums are in order, the list of its taps.
    sparse : bool
        Whether one of its taps may be zero and is none.
    """

    taps: Any
    sparse: bool


@dataclass(frozen=True, slots=True)
class Runner:
    """Solves one problem by one launch."""

    problem: Problem

    def converts(self, x: np.dtype[Any], out: np.dtype[Any]) -> bool:
        """Elements are converted as they are read and written."""
        return True

    def prepare(self, w: Any) -> Kernel:
        """Bring the kernel to the GPU."""
        problem = self.problem
        if _blocks.is_ordered(problem):
            return Kernel(uploaded(in_order(problem, _devices.to_host(w))), False)
        if _devices.is_on_gpu(w):
            return Kernel(w, problem.sparse)
        return Kernel(uploaded(w), problem.sparse and not np.all(w))

    def __call__(self, x: Any, kernel: Kernel, out: Any, threads: int) -> None:
        """Fill `out`."""
        self.run(x, kernel, out)

    def run(self, x: Any, kernel: Kernel, out: Any, only_if: int = 0) -> None:
        """
        Fill `out`, unless told not to.

        Parameters
        ----------
        x, out : array
            Data and result, of any dtype.
        kernel : Kernel
            As prepared.
        only_if : int
            Address of an int32 on the GPU: where that is zero nothing is done. 0 for always.
        """
        problem = self.problem
        filled = problem.boundary is Boundary.CONSTANT
        if 0 in problem.w or 0 in problem.out or (0 in problem.x and not filled):
            out[...] = 0  # sums of nothing
        elif _blocks.is_ordered(problem):
            _gpu_filters.correlate_in_order(problem, x, kernel.taps, 0, out)
        else:
            _gpu_filters.correlate(
                problem, x, kernel.taps, out, sparse=kernel.sparse, only_if=only_if
            )


def in_order(problem: Problem, w: np.ndarray) -> np.ndarray:
    """Return all taps in the order of memory, but those that are none."""
    numbers = np.flatnonzero(w) if problem.sparse else np.arange(w.size)
    taps = np.empty(len(numbers), ORDERED_TAP)
    taps["first"], taps["second"] = numbers, -1
    taps["weight"] = w.reshape(-1)[numbers]
    return taps.view(np.int64).reshape(-1, 3)


# Kernels of the host that are kept on their GPU, the least recently used going first.
_KEPT_KERNELS = 128


def uploaded(w: np.ndarray) -> Any:
    """Return a small array on the current GPU: now, or as it was brought there before."""
    import cupy

    w = np.ascontiguousarray(w)
    if w.nbytes > _MOST_KEPT_BYTES:
        return cupy.asarray(w)
    device = cupy.cuda.runtime.getDevice()
    return _uploaded(w.tobytes(), w.dtype.str, w.shape, device, _devices.stream(device))


# Bytes up to which a kernel is looked for among those.
_MOST_KEPT_BYTES = 1 << 16


@functools.lru_cache(maxsize=_KEPT_KERNELS)
def _uploaded(
    content: bytes, dtype: str, shape: tuple[int, ...], device: int, stream: int | None
) -> Any:
    """Bring a kernel there for one stream: others would have to wait for it, and it for them."""
    import cupy

    return cupy.asarray(np.frombuffer(content, dtype).reshape(shape))
