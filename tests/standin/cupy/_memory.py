"""Device memory that lies in host memory, with guards around every allocation."""

from __future__ import annotations

import threading
import weakref

import numpy as np

ALIGNMENT = 256
# What new memory and the guards are full of: a NaN as a float or a double. What is read before it
# was written, or beyond an array, shows.
PATTERN = np.uint32(0xFFFFA5A5)
GUARD = 256

_live: weakref.WeakSet[Memory] = weakref.WeakSet()


class CurrentDevice(threading.local):
    """The device that this thread allocates and launches on."""

    id = 0


current = CurrentDevice()


class Memory:
    """One allocation."""

    def __init__(self, size):
        words = (GUARD + size + 3) // 4 + (GUARD + ALIGNMENT) // 4
        self._words = np.full(words, PATTERN)
        whole = self._words.view(np.uint8)
        start = GUARD + -(whole.ctypes.data + GUARD) % ALIGNMENT
        self._guards = {"before": whole[:start], "behind": whole[start + size :]}
        self._sealed = {name: guard.tobytes() for name, guard in self._guards.items()}
        self.bytes = whole[start : start + size]
        self.ptr = self.bytes.ctypes.data
        self.size = size
        self.device_id = current.id
        _live.add(self)

    @property
    def device(self):
        from cupy.cuda import Device

        return Device(self.device_id)

    def holds(self, address):
        """Whether an address, or the one behind the last byte, lies in here."""
        return self.ptr <= address <= self.ptr + self.size

    def check(self):
        """Raise where something beside this memory was written."""
        for name, guard in self._guards.items():
            sealed = self._sealed[name]
            if guard.tobytes() != sealed:
                at = np.flatnonzero(guard != np.frombuffer(sealed, np.uint8))
                raise AssertionError(
                    f"bytes {name} an allocation of {self.size} bytes were written, "
                    f"{len(at)} of them from {at[0]} on"
                )


class MemoryPointer:
    """An address in device memory."""

    def __init__(self, mem, offset):
        self.mem = mem
        self.ptr = mem.ptr + offset

    @property
    def device_id(self):
        return self.mem.device_id

    @property
    def device(self):
        return self.mem.device

    def __int__(self):
        return self.ptr

    def __add__(self, offset):
        return MemoryPointer(self.mem, self.ptr - self.mem.ptr + offset)

    def __sub__(self, offset):
        return self + -offset


def alloc(size):
    """Allocate on the current device."""
    return MemoryPointer(Memory(size), 0)


def check_guards():
    """Raise where something beside an array that is still alive was written."""
    for memory in list(_live):
        memory.check()
