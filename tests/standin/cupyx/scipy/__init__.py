"""SciPy's functions on arrays of the stand-in's."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import ModuleType

from cupy._array import call


def wrapping(module: ModuleType) -> Callable[[str], Callable]:
    """Return a module's ``__getattr__``: SciPy's functions for device arrays."""

    def find(name: str) -> Callable:
        function = getattr(module, name)
        if name.startswith("_") or not inspect.isfunction(function):
            raise AttributeError(f"cupyx's {module.__name__} has no {name}")

        @functools.wraps(function, updated=())
        def on_device(*args, **kwargs):
            return call(function, args, kwargs)

        return on_device

    return find
