"""What the stand-in tells tests, and what they may ask of it.  CuPy has no such module."""

from __future__ import annotations

import collections
import os

from cupy._memory import check_guards

__all__ = ["KernelFault", "check_guards", "launches", "reverse_threads"]

# (name of the kernel, id of the device, stream) of the latest launches.
launches: collections.deque = collections.deque(maxlen=100_000)

# Threads of a block run in reverse order: results that differ show a missing barrier.
reverse_threads = os.environ.get("FASTCONV_STANDIN_REVERSE", "") not in ("", "0")


class KernelFault(AssertionError):  # noqa: N818
    """A kernel did what is undefined on a GPU."""
