"""
Python threads for work whose parts are long calls that release the GIL.

FFTW plans are run this way, one thread each, and not with FFTW's own threads: the same plans then
serve any number of threads and give the same bits, and no second OpenMP pool competes with ours
(nor hangs in a forked child).
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

Result = TypeVar("Result")

_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None
_pool_size = 0
_forked = False


def _forget_pool() -> None:
    """Run serially in a forked child: the pool's threads are gone, its locks may be held."""
    global _pool, _pool_size, _forked, _lock
    _pool, _pool_size, _forked = None, 0, True
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)


def run(
    work: Callable[[Iterator[Any]], Result], items: Iterable[Any], threads: int
) -> list[Result]:
    """
    Call ``work(part)`` on up to `threads` threads; each part is an iterator shared by all.

    Each thread takes its next item when it is done with the last, so that a slow core takes fewer.
    Returns what each call returned.
    """
    shared = _Shared(items)
    futures = _submit(work, shared, threads - 1)
    try:
        result = work(shared)
    finally:
        shared.stop()
        # Who has not started is not waited for; who has is, even after an error, as it writes into
        # the caller's arrays.
        started = [f for f in futures if not f.cancel()]
        wait(started)
    return [result, *(f.result() for f in started)]


def _submit(
    work: Callable[[Iterator[Any]], Result], shared: _Shared, count: int
) -> list[Future[Result]]:
    """Start `count` workers, or as many as are to be had: none in a forked child or at exit."""
    global _pool, _pool_size
    futures: list[Future[Result]] = []
    if count < 1 or _forked:
        return futures
    with _lock:
        if _pool is None or _pool_size < count:
            if _pool is not None:
                _pool.shutdown(wait=False)
            _pool, _pool_size = ThreadPoolExecutor(count, "fastconv"), count
        # The interpreter is shutting down: the caller does the work.
        with contextlib.suppress(RuntimeError):
            for _ in range(count):
                futures.append(_pool.submit(work, shared))  # noqa: PERF401 - what was started counts
    return futures


class _Shared:
    """An iterator that many threads may advance."""

    def __init__(self, items: Iterable[Any]) -> None:
        self._items = iter(items)
        self._lock = threading.Lock()
        self._stopped = False

    def __iter__(self) -> _Shared:
        return self

    def __next__(self) -> Any:
        with self._lock:
            if self._stopped:
                raise StopIteration
            return next(self._items)

    def stop(self) -> None:
        """Hand out nothing more."""
        self._stopped = True
