"""
numpy.convolve and numpy.correlate, by name, signature and contract.

Arrays may be CuPy's, both on one GPU: then the results are.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastconv._native._core import (
    SHORT_NUMPY_CONVOLVE,
    SHORT_NUMPY_CORRELATE,
    short_call,
)
from fastconv._plan import (
    DEFAULT,
    DIRECT,
    Call,
    as_arrays,
    check_accuracy,
    lower_pair,
    lowered_by,
)
from fastconv._problem import Spec
from fastconv._typing import Accuracy, Array, Data, ModeOrNumber, OnDevice, Same

__all__ = ["convolve", "correlate"]

# NumPy takes a mode's number too.
_MODES = ("valid", "same", "full")


def _check_mode(mode: Any) -> str:
    if isinstance(mode, str):
        if mode not in _MODES:
            raise ValueError(f"mode must be one of 'valid', 'same', or 'full' (got {mode!r})")
        return mode
    if isinstance(mode, bool) or not hasattr(mode, "__index__"):
        raise TypeError(
            f"mode must be one of 'valid', 'same', or 'full', or 0, 1 or 2 (got {mode!r})"
        )
    if not 0 <= mode <= 2:
        raise ValueError(f"integer mode must be 0, 1, or 2 (got {mode!r})")
    return _MODES[int(mode)]


def _check_lines(a: Any, v: Any, *, promote: bool) -> list[Any]:
    return [
        _check_line(line, name, promote)
        for name, line in zip("av", as_arrays(a=a, v=v), strict=True)
    ]


def _check_line(a: Any, name: str, promote: bool) -> Any:
    if promote and a.ndim == 0:
        a = replace(a, shape=(1,)) if isinstance(a, Spec) else a.reshape(1)
    if a.ndim != 1:
        deep = "object too deep" if a.ndim > 1 else "object of too small depth"
        raise ValueError(f"{deep} for desired array: {name} must be 1-D, not {a.ndim}-D")
    return a


def _lower_line(a: Any, v: Any, mode: str, accuracy: Any, *, correlate: bool) -> Call:
    swap = v.size > a.size
    n, taps = max(a.size, v.size), min(a.size, v.size)
    if mode == "full":
        span = n + taps - 1, 0
    elif mode == "same":
        # A swapped correlation is computed the other way round and reversed.
        span = n, taps // 2 if correlate and swap else (taps - 1) // 2
    else:
        span = n - taps + 1, taps - 1
    dtype = np.result_type(a.dtype, v.dtype)
    compute = dtype.newbyteorder("=")
    if compute == np.float16:
        compute = np.dtype(np.float32)
    return lower_pair(
        a,
        v,
        {0: span},
        correlate=correlate,
        swap=swap,
        dtype=dtype,
        compute=compute,
        accuracy=check_accuracy(accuracy),
    )


def _lower_convolve(a: Any, v: Any, mode: Any = "full", *, accuracy: Any = DEFAULT) -> Call:
    a, v = _check_lines(a, v, promote=True)
    if a.size == 0:
        raise ValueError("a cannot be empty")
    if v.size == 0:
        raise ValueError("v cannot be empty")
    return _lower_line(a, v, _check_mode(mode), accuracy, correlate=False)


def _lower_correlate(a: Any, v: Any, mode: Any = "valid", *, accuracy: Any = DEFAULT) -> Call:
    mode = _check_mode(mode)
    a, v = _check_lines(a, v, promote=False)
    if a.size == 0:
        raise ValueError("first array argument cannot be empty: a has no elements")
    if v.size == 0:
        raise ValueError("second array argument cannot be empty: v has no elements")
    return _lower_line(a, v, mode, accuracy, correlate=True)


@overload
def convolve(
    a: NDArray[Same],
    v: NDArray[Same],
    mode: ModeOrNumber = "full",
    *,
    accuracy: Accuracy = "default",
) -> NDArray[Same]: ...
@overload
def convolve(
    a: OnDevice,
    v: OnDevice | ArrayLike,
    mode: ModeOrNumber = "full",
    *,
    accuracy: Accuracy = "default",
) -> OnDevice: ...
@overload
def convolve(
    a: ArrayLike,
    v: ArrayLike,
    mode: ModeOrNumber = "full",
    *,
    accuracy: Accuracy = "default",
) -> NDArray[Any]: ...
@lowered_by(_lower_convolve)
def convolve(
    a: Data,
    v: Data,
    mode: ModeOrNumber = "full",
    *,
    accuracy: Accuracy = "default",
) -> Array:
    """
    Convolve two 1-dimensional arrays, as numpy.convolve does.

    Parameters
    ----------
    a : array_like, shape (N,)
        First input.
    v : array_like, shape (M,)
        Second input.
    mode : {'full', 'same', 'valid'} or {2, 1, 0}, optional
        Which part to return: all of it, length N + M - 1; its centre, length max(M, N); or where
        the inputs overlap wholly, length max(M, N) - min(M, N) + 1.
    accuracy : {'default', 'direct'} or float, optional
        As in `fastconv.convolve`.

    Returns
    -------
    ndarray
        The convolution, of the inputs' common dtype.

    Raises
    ------
    ValueError
        If an input is empty or not 1-D, or the mode is unknown.
    TypeError
        If the mode is neither a string nor an integer.

    Notes
    -----
    Time differences keep their unit (NumPy's function loses it).

    Examples
    --------
    >>> import fastconv.numpy
    >>> fastconv.numpy.convolve([1, 2, 3], [0, 1, 0.5])
    array([0. , 1. , 2.5, 4. , 1.5])
    """
    if accuracy is DEFAULT or accuracy is DIRECT:
        short = short_call(a, v, mode, SHORT_NUMPY_CONVOLVE)
        if short is not None:
            return short
    return _lower_convolve(a, v, mode, accuracy=accuracy).solve()


@overload
def correlate(
    a: NDArray[Same],
    v: NDArray[Same],
    mode: ModeOrNumber = "valid",
    *,
    accuracy: Accuracy = "default",
) -> NDArray[Same]: ...
@overload
def correlate(
    a: OnDevice,
    v: OnDevice | ArrayLike,
    mode: ModeOrNumber = "valid",
    *,
    accuracy: Accuracy = "default",
) -> OnDevice: ...
@overload
def correlate(
    a: ArrayLike,
    v: ArrayLike,
    mode: ModeOrNumber = "valid",
    *,
    accuracy: Accuracy = "default",
) -> NDArray[Any]: ...
@lowered_by(_lower_correlate)
def correlate(
    a: Data,
    v: Data,
    mode: ModeOrNumber = "valid",
    *,
    accuracy: Accuracy = "default",
) -> Array:
    """
    Cross-correlate two 1-dimensional arrays, as numpy.correlate does.

    Parameters
    ----------
    a : array_like, shape (N,)
        First input.
    v : array_like, shape (M,)
        Second input; where it is complex, its conjugate is taken.
    mode : {'valid', 'same', 'full'} or {0, 1, 2}, optional
        Which part to return, as for `convolve`; 'valid' by default.
    accuracy : {'default', 'direct'} or float, optional
        As in `fastconv.convolve`.

    Returns
    -------
    ndarray
        The correlation, of the inputs' common dtype.

    Raises
    ------
    ValueError
        If an input is empty or not 1-D, or the mode is unknown.
    TypeError
        If the mode is neither a string nor an integer.

    Examples
    --------
    >>> import fastconv.numpy
    >>> fastconv.numpy.correlate([1, 2, 3], [0, 1, 0.5])
    array([3.5])
    """
    if accuracy is DEFAULT or accuracy is DIRECT:
        short = short_call(a, v, mode, SHORT_NUMPY_CORRELATE)
        if short is not None:
            return short
    return _lower_correlate(a, v, mode, accuracy=accuracy).solve()
