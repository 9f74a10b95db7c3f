"""
Where arrays live: in the host's memory, as NumPy's, or on a GPU, as CuPy's.

CuPy is never imported for arrays that are not its own: where nobody has imported it there are none.
"""

from __future__ import annotations

import contextlib
import re
import sys
from typing import Any

import numpy as np

# What a Spec's device may be called.
_NAME = re.compile(r"cpu|cuda(?::(\d+))?")


def is_on_gpu(a: Any) -> bool:
    """Whether an argument is an array of CuPy's."""
    cupy = sys.modules.get("cupy")
    return cupy is not None and isinstance(a, getattr(cupy, "ndarray", ()))


def as_array(a: Any) -> Any:
    """Return an argument as an array, which stays where it is."""
    return a if is_on_gpu(a) else np.asarray(a)


def number(name: str | None) -> int | None:
    """Return the number of a device by its name, 'cuda' or 'cuda:1'; None for the host."""
    if name is None:
        return None
    found = _NAME.fullmatch(name) if isinstance(name, str) else None
    if found is None:
        raise ValueError(f"device must be 'cpu', 'cuda' or 'cuda:' and a number, not {name!r}")
    return None if name == "cpu" else int(found[1] or 0)


def name(device: int | None) -> str:
    """Return the name of a device by its number."""
    return "cpu" if device is None else f"cuda:{device}"


def of(a: Any) -> int | None:
    """Return the number of the GPU that an array lives on, or that a Spec names; None for none."""
    if isinstance(a, np.ndarray):
        return None
    return a.device.id if is_on_gpu(a) else getattr(a, "device", None)


def shared(arguments: dict[str, Any]) -> int | None:
    """
    Return the number of the GPU that the arguments live on, None for the host.

    Only arrays live anywhere: lists, numbers and Specs without a device go where the others are.

    Raises
    ------
    TypeError
        If they are apart.
    """
    places = {name: of(a) for name, a in arguments.items()}
    there = next((name for name, place in places.items() if place is not None), None)
    if there is None:
        return None
    device = places[there]
    for other, a in arguments.items():
        if isinstance(a, np.ndarray):
            raise TypeError(
                f"{other} is a NumPy array, {there} is on {name(device)}: move {other} there by "
                f"cupy.asarray({other}), or {there} to the host by {there}.get()"
            )
        if places[other] not in (None, device):
            raise TypeError(
                f"{other} is on {name(places[other])}, {there} is on {name(device)}: move one to "
                "the other's device, by cupy.asarray under cupy.cuda.Device"
            )
    return device


def together(arguments: dict[str, Any]) -> tuple[Any, ...]:
    """Return arguments as arrays in one place; Specs and what is None stay what they are."""
    device = shared(arguments) if "cupy" in sys.modules else None
    return tuple(
        a if a is None or hasattr(a, "dtype") and not isinstance(a, np.generic) else moved(a, device)
        for a in arguments.values()
    )


def moved(a: Any, device: int | None) -> Any:
    """Return numbers as an array on a device."""
    if device is None or is_on_gpu(a):
        return as_array(a)
    import cupy

    with on(device):
        return cupy.asarray(np.asarray(a))


def to_host(a: Any) -> np.ndarray:
    """Return an array in the host's memory."""
    return a.get() if is_on_gpu(a) else np.asarray(a)


def empty(shape: Any, dtype: Any, device: int | None) -> Any:
    """Return a new array on a device, of any content."""
    if device is None:
        return np.empty(shape, dtype)
    import cupy

    with on(device):
        return cupy.empty(shape, dtype)


def on(device: int | None) -> contextlib.AbstractContextManager[Any]:
    """Make a device the current one inside a ``with`` block; the stream stays its current one."""
    if device is None:
        return contextlib.nullcontext()
    import cupy

    return cupy.cuda.Device(device)
