"""
Python threads for work whose parts are long calls that release the GIL.

FFTW plans are run this way, one thread each, and not with FFTW's own threads: the same plans then
serve any number of threads and give the same bits, and no second OpenMP pool competes with ours
(nor hangs in a forked child).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

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


def run(work: Callable[[Iterable[Any]], Any], items: list[Any], threads: int) -> list[Any]:
    """
    Call ``work(part)`` on up to `threads` threads; each part is an iterator shared by all.

    Each thread takes its next item when it is done with the last, so that a slow core takes fewer.
    Returns what each call returned.
    """
    threads = min(threads, len(items))
    if threads <= 1 or _forked:
        return [work(items)]
    shared = _Shared(items)
    pool = _workers(threads - 1)
    futures = [pool.submit(work, shared) for _ in range(threads - 1)]
    results = []
    try:
        results.append(work(shared))
    finally:
        shared.stop()
        # Who has not started is not waited for; who has is, even after an error, as it writes into
        # the caller's arrays.
        started = [f for f in futures if not f.cancel()]
        wait(started)
    return results + [f.result() for f in started]


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


def _workers(count: int) -> ThreadPoolExecutor:
    """Return a pool of at least `count` threads; an outgrown pool ends by itself."""
    global _pool, _pool_size
    with _lock:
        if _pool is None or _pool_size < count:
            if _pool is not None:
                _pool.shutdown(wait=False)
            _pool, _pool_size = ThreadPoolExecutor(count, "fastconv"), count
        return _pool
