"""Two devices that there are not, and streams on which everything is done at once."""

from __future__ import annotations

import itertools
import threading
import time

from cupy import _memory
from cupy._memory import Memory, MemoryPointer, alloc
from cupy.cuda import compiler, cublas, driver, runtime

__all__ = [
    "Device",
    "Event",
    "Memory",
    "MemoryPointer",
    "Stream",
    "alloc",
    "compiler",
    "cublas",
    "driver",
    "get_cublas_handle",
    "get_current_stream",
    "get_device_id",
    "get_elapsed_time",
    "is_available",
    "runtime",
]

# An A100's.
_ATTRIBUTES = {
    "ClockRate": 1410000,
    "ComputeCapabilityMajor": 8,
    "ComputeCapabilityMinor": 0,
    "GlobalMemoryBusWidth": 5120,
    "L2CacheSize": 41943040,
    "MaxBlockDimX": 1024,
    "MaxBlockDimY": 1024,
    "MaxBlockDimZ": 64,
    "MaxBlocksPerMultiprocessor": 32,
    "MaxGridDimX": 2147483647,
    "MaxGridDimY": 65535,
    "MaxGridDimZ": 65535,
    "MaxRegistersPerBlock": 65536,
    "MaxRegistersPerMultiprocessor": 65536,
    "MaxSharedMemoryPerBlock": 49152,
    "MaxSharedMemoryPerBlockOptin": 166912,
    "MaxSharedMemoryPerMultiprocessor": 167936,
    "MaxThreadsPerBlock": 1024,
    "MaxThreadsPerMultiProcessor": 2048,
    "MemoryClockRate": 1215000,
    "MultiProcessorCount": 108,
    "ReservedSharedMemoryPerBlock": 1024,
    "WarpSize": 32,
}


def is_available():
    return True


def get_device_id():
    return _memory.current.id


def get_cublas_handle():
    return 1 + get_device_id()


class _Entered(threading.local):
    """What this thread goes back to when it leaves a device or a stream."""

    def __init__(self):
        self.devices = []
        self.streams = []
        self.stream = [None] * runtime.DEVICES


_entered = _Entered()


class Device:
    """A device; the current one where no number is given."""

    def __init__(self, device=None):
        self.id = get_device_id() if device is None else int(device)

    def __int__(self):
        return self.id

    def __repr__(self):
        return f"<CUDA Device {self.id}>"

    def __hash__(self):
        return hash(self.id)

    def __eq__(self, other):
        return isinstance(other, Device) and self.id == other.id

    def __enter__(self):
        _entered.devices.append(get_device_id())
        self.use()
        return self

    def __exit__(self, *raised):
        runtime.setDevice(_entered.devices.pop())

    def use(self):
        runtime.setDevice(self.id)

    def synchronize(self):
        pass

    @property
    def attributes(self):
        return dict(_ATTRIBUTES)

    @property
    def compute_capability(self):
        return "80"

    @property
    def mem_info(self):
        return runtime.memGetInfo()


class Stream:
    """A stream: what is launched on it has been done when the launch returns."""

    _pointers = itertools.count(0x10000, 64)

    def __init__(self, null=False, non_blocking=False, ptds=False, priority=None):
        self.ptr = 0 if null else 2 if ptds else next(self._pointers)
        self.device_id = -1 if null else get_device_id()

    def __eq__(self, other):
        return isinstance(other, Stream) and self.ptr == other.ptr

    def __hash__(self):
        return hash(self.ptr)

    def __repr__(self):
        return f"<Stream {self.ptr} (device {self.device_id})>"

    def __enter__(self):
        device = get_device_id()
        _entered.streams.append((device, _entered.stream[device]))
        return self.use()

    def __exit__(self, *raised):
        device, stream = _entered.streams.pop()
        _entered.stream[device] = stream

    def use(self):
        if self.device_id not in (-1, get_device_id()):
            raise RuntimeError(
                f"This stream was created on device {self.device_id}, "
                f"the current one is {get_device_id()}"
            )
        _entered.stream[get_device_id()] = self
        return self

    def synchronize(self):
        pass

    @property
    def done(self):
        return True

    def record(self, event=None):
        event = Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event):
        pass


Stream.null = Stream(null=True)


def get_current_stream(device_id=-1):
    device = get_device_id() if device_id == -1 else device_id
    return _entered.stream[device] or Stream.null


class Event:
    """A moment."""

    def __init__(self, block=False, disable_timing=False, interprocess=False):
        self._time = None

    def record(self, stream=None):
        self._time = time.perf_counter()

    def synchronize(self):
        pass

    @property
    def done(self):
        return True


def get_elapsed_time(start_event, end_event):
    """Milliseconds between two events."""
    return 1e3 * (end_event._time - start_event._time)
