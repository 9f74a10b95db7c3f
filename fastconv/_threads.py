"""How many threads a call may use."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextvars import ContextVar
from typing import SupportsIndex

_ENVIRONMENT = ("FASTCONV_NUM_THREADS", "OMP_NUM_THREADS")
# Longer numbers are a slip: Python refuses to read some of them.
_MOST_DIGITS = 9

_here: ContextVar[int | None] = ContextVar("fastconv_num_threads", default=None)
_everywhere: int | None = None
_default: int | None = None


def _cpus() -> int:
    """CPUs that this process may run on, as its affinity says."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _default_threads() -> int:
    return next(filter(None, map(told_by, _ENVIRONMENT)), _cpus())


def told_by(name: str) -> int | None:
    """Return the number of threads that an environment variable tells, or None."""
    # OMP_NUM_THREADS may be a list, one number a nesting level.
    first = os.environ.get(name, "").split(",")[0].strip()
    if first.isdecimal() and len(first) <= _MOST_DIGITS:
        return int(first) or None
    return None


def _check(n: object) -> int:
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(f"the number of threads must be an integer, not {n!r}")
    count = int(n.__index__())
    if count < 1:
        raise ValueError(f"the number of threads must be at least 1, not {count}")
    return count


def get_num_threads() -> int:
    """
    Return the most threads that a call from here uses.

    Set by `num_threads`, else by `set_num_threads`, else by the environment variables
    FASTCONV_NUM_THREADS or OMP_NUM_THREADS, else the CPUs that this process may run on.

    Returns
    -------
    int
        At least 1. Small problems use fewer.

    Examples
    --------
    >>> import fastconv
    >>> with fastconv.num_threads(1):
    ...     fastconv.get_num_threads()
    1
    """
    global _default
    here = _here.get()
    if here is not None:
        return here
    if _everywhere is not None:
        return _everywhere
    if _default is None:
        _default = _default_threads()
    return _default


def set_num_threads(n: SupportsIndex | None) -> None:
    """
    Set the most threads that calls use, in the whole process.

    Parameters
    ----------
    n : int or None
        At least 1; None goes back to the default.

    Raises
    ------
    TypeError
        If `n` is not an integer.
    ValueError
        If `n` is less than 1.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.set_num_threads(2)
    >>> fastconv.get_num_threads()
    2
    >>> fastconv.set_num_threads(None)
    """
    global _everywhere
    _everywhere = None if n is None else _check(n)


@contextlib.contextmanager
def num_threads(n: SupportsIndex) -> Iterator[None]:
    """
    Set the most threads that calls use inside a ``with`` block, in this thread or task.

    What runs at the same time elsewhere is left alone. Tasks that are started inside the block
    have the number, too; threads that are have it only where Python gives them the context of
    whoever starts them: by ``contextvars.copy_context().run``, or where
    ``sys.flags.thread_inherit_context`` is set, as it is from Python 3.14 on without the GIL.

    Parameters
    ----------
    n : int
        At least 1, the caller's own thread among them. Calls that run at once share fastconv's
        other threads: who finds them at work does everything itself.

    Raises
    ------
    TypeError
        If `n` is not an integer.
    ValueError
        If `n` is less than 1.

    Examples
    --------
    >>> import fastconv
    >>> with fastconv.num_threads(1):
    ...     y = fastconv.convolve([1.0, 2.0], [1.0, 1.0])
    """
    token = _here.set(_check(n))
    try:
        yield
    finally:
        _here.reset(token)
