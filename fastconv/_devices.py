"""
Where arrays live: in the host's memory, as NumPy's, or on a GPU, as CuPy's.

CuPy is never imported for arrays that are not its own: where nobody has imported it there are none.
"""

from __future__ import annotations

import contextlib
import sys
from typing import Any

import numpy as np

from fastconv._problem import Spec

# What is made current for arrays of the host: nothing.
_HERE = contextlib.nullcontext()


def is_on_gpu(a: Any) -> bool:
    """Whether an argument is an array of CuPy's."""
    cupy = sys.modules.get("cupy")
    return cupy is not None and isinstance(a, getattr(cupy, "ndarray", ()))


def as_array(a: Any) -> Any:
    """Return an argument as an array, which stays where it is."""
    return a if type(a) is np.ndarray or is_on_gpu(a) else np.asarray(a)


def name(device: int | None) -> str:
    """Return the name of a device by its number."""
    return "cpu" if device is None else f"cuda:{device}"


def spec_name(device: int | None) -> str | None:
    """Return a device's name as a Spec takes it, None for the host."""
    return None if device is None else name(device)


def of(a: Any) -> int | None:
    """Return the number of the GPU that an array lives on, or that a Spec names; None for none."""
    if type(a) is np.ndarray:
        return None
    if isinstance(a, Spec):
        if a.device is None:
            return None
        kind, _, number = a.device.partition(":")
        return int(number or 0) if kind == "cuda" else None
    return int(a.device.id) if is_on_gpu(a) else None


def shared(arguments: dict[str, Any]) -> int | None:
    """
    Return the number of the GPU that the arguments live on, None for the host.

    Only arrays live anywhere: lists, numbers and Specs without a device go where the others are.

    Raises
    ------
    TypeError
        If they are apart.
    """
    there = device = None
    for argument, a in arguments.items():
        if type(a) is not np.ndarray and (device := of(a)) is not None:
            there = argument
            break
    if device is None:
        return None
    for other, a in arguments.items():
        if isinstance(a, np.ndarray):
            raise TypeError(
                f"{other} is a NumPy array, {there} is on {name(device)}: move {other} there by "
                f"cupy.asarray({other}), or {there} to the host by {there}.get()"
            )
        place = of(a)
        if place not in (None, device) or (isinstance(a, Spec) and a.device == "cpu"):
            raise TypeError(
                f"{other} is on {name(place)}, {there} is on {name(device)}: move one to the "
                "other's device, by cupy.asarray under cupy.cuda.Device"
            )
    return device


def are_plainly_here(arrays: tuple[Any, ...]) -> bool:
    """Whether all are NumPy's arrays, or None: as most are, and found with one look at each."""
    for a in arrays:  # noqa: SIM110 - a generator would take twice the time
        if type(a) is not np.ndarray and a is not None:
            return False
    return True


def together(**arguments: Any) -> tuple[int | None, tuple[Any, ...]]:
    """
    Return where arguments live, as `shared`, and them as arrays there.

    What is a Spec stays one, and what is None.
    """
    arrays = tuple(arguments.values())
    if are_plainly_here(arrays):
        return None, arrays
    device = shared(arguments)
    return device, tuple(
        a if type(a) is np.ndarray or a is None or isinstance(a, Spec) else moved(a, device)
        for a in arrays
    )


def moved(a: Any, device: int | None) -> Any:
    """Return numbers as an array on a device."""
    if device is None or is_on_gpu(a):
        return as_array(a)
    import cupy

    with on(device):
        return cupy.asarray(np.asarray(a))


def check_out(out: Any, device: int | None) -> None:
    """Refuse an `out` that is no array where a result is."""
    if not (isinstance(out, np.ndarray) if device is None else of(out) == device):
        kind = "a NumPy array" if device is None else f"an array on {name(device)}"
        raise TypeError(f"out must be {kind}, not {type(out).__name__}")


def is_plain(a: Any) -> bool:
    """Whether an array is aligned and in native byte order, as all are on a GPU."""
    return not isinstance(a, np.ndarray) or bool(a.dtype.isnative and a.flags.aligned)


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


def zeros(shape: Any, dtype: Any, device: int | None) -> Any:
    """Return a new array of zeros on a device."""
    if device is None:
        return np.zeros(shape, dtype)
    import cupy

    with on(device):
        return cupy.zeros(shape, dtype)


def on(device: int | None) -> contextlib.AbstractContextManager[Any]:
    """Make a device the current one inside a ``with`` block; the stream stays its current one."""
    if device is None:
        return _HERE
    import cupy

    there: contextlib.AbstractContextManager[Any] = cupy.cuda.Device(device)
    return there


def stream(device: int | None) -> int | None:
    """Return the address of a device's current stream; None for the host."""
    if device is None:
        return None
    import cupy

    with on(device):
        return int(cupy.cuda.get_current_stream().ptr)


def wait(device: int | None) -> None:
    """Wait until the current stream of a device has done its work; the host never waits."""
    if device is None:
        return
    import cupy

    with on(device):
        cupy.cuda.get_current_stream().synchronize()


def extent(a: Any) -> tuple[int, int]:
    """Return the addresses between which an array on a GPU lies."""
    first = stop = int(a.data.ptr)
    if a.size == 0:
        return first, first
    for step, n in zip(a.strides, a.shape, strict=True):
        first += min(step, 0) * (n - 1)
        stop += max(step, 0) * (n - 1)
    return first, stop + a.itemsize
