"""
What was made of kernels, kept for the next call with the same kernel.

A program that filters by one kernel calls the same function again and again; the transform of a
large kernel takes as long as that of a tile, finding its lines as long as filtering a small image.
Both are found by the kernel's content, compared byte by byte; the least recently used go first.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class _Entry:
    w: np.ndarray
    made: np.ndarray

    @property
    def nbytes(self) -> int:
        return self.w.nbytes + self.made.nbytes


class KernelCache:
    """Arrays that were made of kernels, by kernel and by what they were made for."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._begin()
        if hasattr(os, "register_at_fork"):  # another thread may hold the lock while it forks
            os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()
        self._bytes = 0

    def get(
        self, key: Hashable, w: np.ndarray, make: Callable[[np.ndarray], np.ndarray]
    ) -> np.ndarray:
        """
        Return what is made of a kernel, now or before.

        Parameters
        ----------
        key : hashable
            What decides how it is made, besides the kernel.
        w : ndarray
            The kernel, contiguous.
        make : callable
            Makes it.
        """
        content = w.reshape(-1).view(np.uint8)
        # Kernels that differ meet in one entry only if these few bytes are alike.
        step = max(content.size // 64, 1) | 1
        key = (key, w.dtype.char, w.shape, content[::step].tobytes())
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                self._entries.move_to_end(key)
        if entry is not None and np.array_equal(entry.w, content):
            return entry.made
        made = make(w)
        made.flags.writeable = False
        entry = _Entry(content.copy(), made)
        if entry.nbytes <= self._limit:
            with self._lock:
                self._keep(key, entry)
        return made

    def _keep(self, key: Hashable, entry: _Entry) -> None:
        before = self._entries.pop(key, None)
        self._bytes += entry.nbytes - (before.nbytes if before else 0)
        self._entries[key] = entry
        while self._bytes > self._limit:
            self._bytes -= self._entries.popitem(last=False)[1].nbytes

    @property
    def nbytes(self) -> int:
        """Bytes that are kept."""
        with self._lock:
            return self._bytes

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()
            self._bytes = 0
