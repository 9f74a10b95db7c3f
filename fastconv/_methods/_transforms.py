"""
Batched real and complex transforms, planned once and kept: FFTW through pyfftw, else NumPy.

pyfftw is imported at the first transform, never with fastconv. A transform owns its buffers and is
lent to one caller at a time (one FFTW plan must not run in two threads at once); what is given
back is kept, within a bound, for the next caller. Plans are made and destroyed under a lock of our
own: nothing of FFTW's is thread-safe but their execution.

Plans are FFTW's estimates, made in milliseconds and always the same: measured plans (up to seconds
of planning) were within 5% of them from 8192 points on, and would differ from run to run, and with
them the bits of every result. Only what `measure` has saved once for this machine, FFTW's wisdom,
is taken instead: it stays the same, too.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastconv import _store

_WISDOM = "wisdom.json"
# Bytes of buffers that wait in the pool, and how many transforms.
_POOL_BYTES = 32 << 20
_POOL_COUNT = 32

_planning = threading.Lock()
_pool_lock = threading.Lock()


def _before_fork() -> None:
    """Let no other thread be planning: the child could never get its locks."""
    _planning.acquire()
    _pool_lock.acquire()


def _after_fork() -> None:
    _pool_lock.release()
    _planning.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork
    )


@functools.cache
def _fftw() -> Any:
    """Return pyfftw with the wisdom that was saved for it, or None where it cannot be imported."""
    try:
        import pyfftw
    except ImportError:
        return None
    _store.read_checked(_WISDOM, functools.partial(_take_wisdom, pyfftw))
    return pyfftw


def _take_wisdom(pyfftw: Any, saved: Any) -> None:
    """Take wisdom that was saved, or raise ValueError with what is wrong with it."""
    if not isinstance(saved, dict) or not isinstance(saved.get("wisdom"), list):
        raise ValueError("it is no wisdom")
    if saved.get("fftw") != pyfftw.fftw_version:
        raise ValueError("it was made by another FFTW")
    try:
        texts = tuple(text.encode() for text in saved["wisdom"])
        with _planning:
            taken = pyfftw.import_wisdom(texts)
    except (AttributeError, IndexError, TypeError, ValueError):
        taken = (False,)
    if not all(taken):
        raise ValueError("FFTW cannot read it")


def measure(specs: Sequence[TransformSpec], seconds: float, save: bool) -> None:
    """
    Let FFTW time its ways of these transforms, and save its wisdom for later processes.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    pyfftw = _fftw()
    if pyfftw is None:
        return
    began = time.perf_counter()
    for number, spec in enumerate(specs):
        left = seconds - (time.perf_counter() - began)
        if left <= 0:
            break
        transform = Transform(spec, measured_for=left / (len(specs) - number) / 2)
        transform.plan()
        transform.close()
    _forget()
    if save:
        with _planning:
            wisdom = [text.decode() for text in pyfftw.export_wisdom()]
        _store.write(_WISDOM, {"fftw": pyfftw.fftw_version, "wisdom": wisdom})


def library() -> str:
    """Name and version of what computes the transforms."""
    pyfftw = _fftw()
    if pyfftw is None:
        return f"numpy.fft {np.__version__} (pyfftw cannot be imported)"
    return f"FFTW {pyfftw.fftw_version}, pyfftw {pyfftw.__version__}"


@dataclass(frozen=True, slots=True)
class TransformSpec:
    """`count` transforms side by side, over all axes of `lengths`."""

    count: int
    lengths: tuple[int, ...]
    dtype: np.dtype[Any]  # of the data: a real or complex floating type

    @property
    def spectrum_shape(self) -> tuple[int, ...]:
        """Shape of the spectra: half along the last axis where the data is real."""
        if self.dtype.kind == "c":
            return (self.count, *self.lengths)
        return (self.count, *self.lengths[:-1], self.lengths[-1] // 2 + 1)


class Transform:
    """Buffers `data` and `spectrum`, and the ways between them; none is normalised."""

    def __init__(self, spec: TransformSpec, measured_for: float | None = None) -> None:
        self.spec = spec
        self.wisdom = _wisdom_taken
        self._measured_for = measured_for  # seconds that a plan's measurement may take
        self._forward_plan: Any = None
        self._backward_plan: Any = None
        complex_type = np.result_type(spec.dtype, np.complex64)
        shape = (spec.count, *spec.lengths)
        pyfftw = _fftw()
        if pyfftw is None:
            self.data = np.zeros(shape, spec.dtype)
            self.spectrum = np.zeros(spec.spectrum_shape, complex_type)
        else:
            self.data = pyfftw.zeros_aligned(shape, spec.dtype)
            self.spectrum = pyfftw.zeros_aligned(spec.spectrum_shape, complex_type)

    @property
    def nbytes(self) -> int:
        """Bytes of the buffers."""
        return self.data.nbytes + self.spectrum.nbytes

    @property
    def _axes(self) -> tuple[int, ...]:
        return tuple(range(1, 1 + len(self.spec.lengths)))

    def _plan(self, source: np.ndarray, target: np.ndarray, direction: str) -> Any:
        effort = "FFTW_ESTIMATE" if self._measured_for is None else "FFTW_MEASURE"
        pyfftw = _fftw()  # which takes the lock, too, where it is the first to ask
        with _planning:
            return pyfftw.FFTW(
                source,
                target,
                axes=self._axes,
                direction=direction,
                flags=(effort, "FFTW_DESTROY_INPUT"),
                threads=1,
                planning_timelimit=self._measured_for,
                normalise_idft=False,
            )

    def plan(self, backward: bool = True) -> None:
        """Make the plans that will be used."""
        if _fftw() is None:
            return
        if self._forward_plan is None:
            self._forward_plan = self._plan(self.data, self.spectrum, "FFTW_FORWARD")
        if backward and self._backward_plan is None:
            self._backward_plan = self._plan(self.spectrum, self.data, "FFTW_BACKWARD")

    def close(self) -> None:
        """Destroy the plans, under FFTW's lock; nobody may use the transform any more."""
        with _planning:
            self._forward_plan = self._backward_plan = None

    def forward(self) -> None:
        """Transform `data` into `spectrum`."""
        if _fftw() is not None:
            self._forward_plan.execute()
        else:
            self._forward_by_numpy()

    def backward(self) -> None:
        """Transform `spectrum` into `data`, without the factor 1/N; the spectrum is lost."""
        if _fftw() is not None:
            self._backward_plan.execute()
        else:
            self._backward_by_numpy()

    # What is not finite is found afterwards, and is no matter of the caller's np.errstate: FFTW
    # knows nothing of it, and threads of our own never had it.

    @np.errstate(all="ignore")
    def _forward_by_numpy(self) -> None:
        if self.spec.dtype.kind == "c":
            self.spectrum[...] = np.fft.fftn(self.data, axes=self._axes)
        else:
            self.spectrum[...] = np.fft.rfftn(self.data, axes=self._axes)

    @np.errstate(all="ignore")
    def _backward_by_numpy(self) -> None:
        if self.spec.dtype.kind == "c":
            self.data[...] = np.fft.ifftn(self.spectrum, axes=self._axes, norm="forward")
        else:
            self.data[...] = np.fft.irfftn(
                self.spectrum, self.spec.lengths, axes=self._axes, norm="forward"
            )


# Waiting transforms, the one given back last at the end; and how often FFTW has measured:
# transforms of before would give other bits than those of after.
_pool: list[Transform] = []
_wisdom_taken = 0


@contextlib.contextmanager
def borrowed(spec: TransformSpec, backward: bool = True) -> Iterator[Transform]:
    """Lend a transform that nobody else uses; its buffers hold anything."""
    with _pool_lock:
        waiting = next((i for i, t in enumerate(_pool) if t.spec == spec), None)
        transform = None if waiting is None else _pool.pop(waiting)
    if transform is None:
        transform = Transform(spec)
    transform.plan(backward)
    try:
        yield transform
    finally:
        _give_back(transform)


def _give_back(transform: Transform) -> None:
    """Keep a transform for the next caller; destroy those that are too many, large or old."""
    done = []
    with _pool_lock:
        if transform.nbytes > _POOL_BYTES or transform.wisdom != _wisdom_taken:
            done.append(transform)
        else:
            _pool.append(transform)
        while len(_pool) > _POOL_COUNT or sum(t.nbytes for t in _pool) > _POOL_BYTES:
            done.append(_pool.pop(0))
    for old in done:
        old.close()


def _forget() -> None:
    """Destroy every transform that waits, and those that are lent when they are given back."""
    global _wisdom_taken
    with _pool_lock:
        _wisdom_taken += 1
        done = _pool.copy()
        _pool.clear()
    for old in done:
        old.close()


@functools.lru_cache(maxsize=4096)
def fast_length(n: int) -> int:
    """Return the least length from n on whose only prime factors are 2, 3, 5 and 7."""
    best = 1 << max(n - 1, 0).bit_length()
    power7 = 1
    while power7 < best:
        power5 = power7
        while power5 < best:
            power3 = power5
            while power3 < best:
                quotient = -(-n // power3)
                best = min(best, power3 << max(quotient - 1, 0).bit_length())
                power3 *= 3
            power5 *= 5
        power7 *= 7
    return best
