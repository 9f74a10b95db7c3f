"""
scipy.signal's convolution functions, by name, signature and contract.

Values, dtypes, shapes and errors are SciPy's. Where SciPy's are a bug they are not: each function's
notes say where. Arrays may be CuPy's, all on one GPU: then the results are.
"""

from __future__ import annotations

import functools
import math
import operator
import timeit
import warnings
from collections.abc import Iterable
from typing import Any, Literal, cast, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastconv import _devices
from fastconv._cost import coefficient, threads_for
from fastconv._native._core import (
    SHORT_SIGNAL_CONVOLVE,
    SHORT_SIGNAL_CONVOLVE2D,
    SHORT_SIGNAL_CORRELATE,
    SHORT_SIGNAL_CORRELATE2D,
    all_finite,
    short_call,
)
from fastconv._plan import (
    DEFAULT,
    DIRECT,
    Call,
    as_arrays,
    check_accuracy,
    check_out,
    lower_pair,
    lowered_by,
    share_accuracy,
)
from fastconv._problem import Boundary, Spec
from fastconv._threads import get_num_threads
from fastconv._typing import (
    Accuracy,
    Array,
    Axes,
    Data,
    EdgeRule,
    Floating,
    Method,
    Mode,
    OnDevice,
    Same,
)

__all__ = [
    "choose_conv_method",
    "convolve",
    "convolve2d",
    "correlate",
    "correlate2d",
    "correlation_lags",
    "fftconvolve",
    "oaconvolve",
    "sepfir2d",
]

_MODES = ("full", "same", "valid")
# The names of methods that compute integers in floating point, as SciPy's 'fft' does.
_SPECTRAL = ("fft", "gpu_fft")
_BOUNDARIES = {
    "fill": Boundary.CONSTANT,
    "pad": Boundary.CONSTANT,
    "wrap": Boundary.WRAP,
    "circular": Boundary.WRAP,
    "symm": Boundary.REFLECT,
    "symmetric": Boundary.REFLECT,
}


# --- lowering -------------------------------------------------------------------------------------


def _check_mode(mode: Any) -> None:
    if not isinstance(mode, str) or mode not in _MODES:
        # SciPy's own functions spell this with a capital or without one; tests match either.
        raise ValueError(
            f"Acceptable mode flags are 'valid', 'same', or 'full'; got mode={mode!r} "
            "(acceptable mode flags are 'valid', 'same', or 'full')"
        )


def _check_axes(axes: Any, ndim: int) -> tuple[int, ...]:
    if axes is None:
        return tuple(range(ndim))
    try:
        numbers = [operator.index(axes)]
    except TypeError:
        try:
            numbers = [operator.index(a) for a in axes]
        except TypeError:
            raise ValueError(
                f"axes must be a scalar or iterable of integers, not {axes!r}"
            ) from None
    if not numbers:
        raise ValueError("when provided, axes cannot be empty")
    positive = [a + ndim if a < 0 else a for a in numbers]
    if any(not 0 <= a < ndim for a in positive):
        raise ValueError(f"axes exceeds dimensionality of input: axes={axes!r}, {ndim} axes")
    if len(set(positive)) != len(positive):
        raise ValueError(f"all axes must be unique: axes={axes!r}")
    return tuple(sorted(positive))


def _check_valid(n1: Iterable[int], n2: Iterable[int]) -> None:
    pairs = list(zip(n1, n2, strict=True))
    if not (all(a >= b for a, b in pairs) or all(b >= a for a, b in pairs)):
        raise ValueError(
            "For 'valid' mode, one must be at least as large as the other in every dimension"
        )


def _output_span(n1: int, n2: int, mode: str) -> tuple[int, int]:
    """Return the outputs along one axis, and the index of the first in the full convolution."""
    if mode == "full":
        return max(n1 + n2 - 1, 0), 0
    if mode == "same":
        return n1, (n2 - 1) // 2
    return max(n1, n2) - min(n1, n2) + 1, min(n1, n2) - 1


def _lower(
    in1: Any,
    in2: Any,
    mode: str,
    axes: tuple[int, ...],
    *,
    correlate: bool,
    result: np.dtype[Any],
    compute: np.dtype[Any],
    method: str,
    accuracy: float | None,
) -> Call:
    s1, s2 = in1.shape, in2.shape
    # An axis on which one array has a single element broadcasts, and broadcasting is convolving.
    spans = {
        a: _output_span(s1[a], s2[a], mode)
        for a in range(len(s1))
        if a in axes or s1[a] == 1 or s2[a] == 1
    }
    return lower_pair(
        in1,
        in2,
        spans,
        correlate=correlate,
        swap=in2.size > in1.size,
        dtype=result,
        compute=compute,
        method=method,
        accuracy=accuracy,
    )


def _compute_dtype(result: np.dtype[Any], method: str) -> np.dtype[Any]:
    """Of the computation whose result has this dtype."""
    if result.newbyteorder("=") == np.float16:
        return np.dtype(np.float32)
    if method in _SPECTRAL and result.kind not in "fc":
        return np.dtype(np.float64)
    return result.newbyteorder("=")


def _lower_pair(
    in1: Any, in2: Any, mode: Any, method: Any, axes: Any, accuracy: Any, *, correlate: bool
) -> Call:
    in1, in2 = as_arrays(in1=in1, in2=in2)
    if in1.ndim != in2.ndim:
        names = "in1 and in2" if correlate else "volume and kernel"
        raise ValueError(
            f"{names} should have the same dimensionality: in1 has {in1.ndim} axes, "
            f"in2 has {in2.ndim}"
        )
    _check_mode(mode)
    chosen = _check_axes(axes, in1.ndim)
    if axes is not None:
        _check_broadcast(in1, in2, chosen)
    if mode == "valid":
        _check_valid((in1.shape[a] for a in chosen), (in2.shape[a] for a in chosen))
    _check_not_empty(in1, in2, mode)
    result = np.result_type(in1.dtype, in2.dtype)
    return _lower(
        in1,
        in2,
        mode,
        chosen,
        correlate=correlate,
        result=result,
        compute=_compute_dtype(result, method),
        method=method,
        accuracy=check_accuracy(accuracy),
    )


def _check_not_empty(in1: Any, in2: Any, mode: str) -> None:
    """Refuse what has no answer; an empty input with an empty result has one, as in SciPy."""
    if mode == "valid" and in1.ndim > 1:
        return
    if in2.size == 0:
        raise ValueError(f"in2 cannot be empty: it has shape {in2.shape}")
    has_answer = mode == "same" or (mode == "full" and in1.ndim > 1 and not _full_size(in1, in2))
    if in1.size == 0 and not has_answer:
        raise ValueError(f"in1 cannot be empty: it has shape {in1.shape}")


def _full_size(in1: Any, in2: Any) -> int:
    return math.prod(n + m - 1 for n, m in zip(in1.shape, in2.shape, strict=True))


def _check_broadcast(in1: Any, in2: Any, axes: tuple[int, ...]) -> None:
    for a in range(in1.ndim):
        if a not in axes and in1.shape[a] != in2.shape[a] and 1 not in (in1.shape[a], in2.shape[a]):
            raise ValueError(f"incompatible shapes for in1 and in2: {in1.shape} and {in2.shape}")


def _lower_convolve(
    in1: Any,
    in2: Any,
    mode: Any = "full",
    method: Any = "auto",
    *,
    axes: Any = None,
    out: Any = None,
    accuracy: Any = DEFAULT,
) -> Call:
    return _lower_pair(in1, in2, mode, method, axes, accuracy, correlate=False)


def _lower_correlate(
    in1: Any,
    in2: Any,
    mode: Any = "full",
    method: Any = "auto",
    *,
    axes: Any = None,
    out: Any = None,
    accuracy: Any = DEFAULT,
) -> Call:
    return _lower_pair(in1, in2, mode, method, axes, accuracy, correlate=True)


def _solve(call: Call, out: Any) -> np.ndarray:
    if out is not None:
        check_out(out, call)
    return call.solve(out)


def _scalars(in1: Any, in2: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """Return both as arrays where both have no axes: they are multiplied."""
    if isinstance(in1, Spec) or isinstance(in2, Spec):
        return None
    if (type(in1) is np.ndarray and in1.ndim) or isinstance(in1, (list, tuple)):
        return None
    _, (a, b) = _devices.together(in1=in1, in2=in2)
    return (a, b) if a.ndim == b.ndim == 0 else None


def _product(a: Any, b: Any, out: Any, *, conjugate: bool = False) -> np.ndarray:
    device = _devices.of(a)
    with _devices.on(device):
        product: np.ndarray = np.multiply(a, np.conjugate(b) if conjugate else b)
    if out is None:
        return product
    result: np.ndarray = out
    _devices.check_out(out, device)
    if out.shape != () or out.dtype != product.dtype:
        raise ValueError(
            f"out has shape {out.shape} and dtype {out.dtype}; the result has shape () and dtype "
            f"{product.dtype}"
        )
    if device is None and not out.flags.writeable:
        raise ValueError("out is read-only")
    with _devices.on(device):
        result[...] = product
    return result


def _warn_nonfinite(result: Any, stacklevel: int = 3) -> None:
    # Who looks at numbers on a GPU waits for them: nobody is warned there.
    if result.dtype.kind not in "fc" or _devices.is_on_gpu(result):
        return
    if result.dtype.char in "fdFD" and result.flags.carray:
        seconds = result.nbytes * coefficient("memory.ram")
        finite = all_finite(result, threads_for(seconds, get_num_threads()))
    else:
        finite = bool(np.isfinite(result).all())
    if not finite:
        warnings.warn(
            "Use of fft convolution on input with NAN or inf results in NAN or inf output. "
            "Consider using method='direct' instead.",
            RuntimeWarning,
            stacklevel=stacklevel,
        )


# --- the functions --------------------------------------------------------------------------------


@overload
def convolve(
    in1: NDArray[Same],
    in2: NDArray[Same],
    mode: Mode = "full",
    method: Method = "auto",
    *,
    axes: Axes = None,
    out: NDArray[Any] | None = None,
    accuracy: Accuracy = "default",
) -> NDArray[Same]: ...
@overload
def convolve(
    in1: OnDevice,
    in2: OnDevice | ArrayLike,
    mode: Mode = "full",
    method: Method = "auto",
    *,
    axes: Axes = None,
    out: OnDevice | None = None,
    accuracy: Accuracy = "default",
) -> OnDevice: ...
@overload
def convolve(
    in1: ArrayLike,
    in2: ArrayLike,
    mode: Mode = "full",
    method: Method = "auto",
    *,
    axes: Axes = None,
    out: NDArray[Any] | None = None,
    accuracy: Accuracy = "default",
) -> NDArray[Any]: ...
@lowered_by(_lower_convolve)
def convolve(
    in1: Data,
    in2: Data,
    mode: Mode = "full",
    method: Method = "auto",
    *,
    axes: Axes = None,
    out: Array | None = None,
    accuracy: Accuracy = "default",
) -> Array:
    """
    Convolve two N-dimensional arrays.

    Parameters
    ----------
    in1 : array_like
        First input, of any numeric dtype.
    in2 : array_like
        Second input, with as many axes as `in1`.
    mode : {'full', 'same', 'valid'}, optional
        Which part of the convolution to return: all of it, shape ``in1.shape + in2.shape - 1``;
        its centre, the size of `in1`; or what does not reach beyond either input, shape
        ``|in1.shape - in2.shape| + 1``.
    method : {'auto', 'direct', 'fft', 'reference'}, optional
        'auto' takes the method that is predicted to be fastest (see `fastconv.explain`).
    axes : int or iterable of int, optional
        Axes to convolve along; along all others the inputs broadcast. All axes by default.
        An extension of SciPy's signature.
    out : ndarray, optional
        Where to write the result: of its shape and dtype, sharing no memory with the inputs.
        An extension of SciPy's signature.
    accuracy : {'default', 'direct'} or float, optional
        What results may err by. 'direct' takes plain sums of products alone: no transform, no split
        kernel. A number is a bound beside ‖x‖·‖w‖, the 2-norms of the kernel and of the data that a
        result's window holds, or the block that it is transformed with: float32 and complex64 are
        computed in double precision where that takes it. An extension of SciPy's signature.

    Returns
    -------
    ndarray
        The convolution, of the inputs' common dtype (``numpy.result_type``). Floats and complex
        numbers accumulate in their own precision (float16 in float32), integers wrap around,
        booleans take "or" for the sum. Two arrays without axes give a scalar.

    Raises
    ------
    ValueError
        For an unknown mode, method or axis, for shapes that do not fit, for an empty 1-D input,
        for an `out` that cannot take the result, and for an `accuracy` that cannot be had, with
        the error that can.
    TypeError
        If `out` is not an array, or `accuracy` neither a string nor a number.

    Warns
    -----
    RuntimeWarning
        If method 'fft' is asked for by name and an output is NaN or Inf, as SciPy does.

    Notes
    -----
    Unlike SciPy's, NaN and Inf touch only the outputs whose window holds them, with every method.
    float16 and booleans also work in more than one dimension.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.convolve([1, 2, 3], [0, 1, 0.5])
    array([0. , 1. , 2.5, 4. , 1.5])
    """
    if (
        axes is None
        and out is None
        and method == "auto"
        and (accuracy is DEFAULT or accuracy is DIRECT)
    ):
        short = short_call(in1, in2, mode, SHORT_SIGNAL_CONVOLVE)
        if short is not None:
            return short
    scalars = _scalars(in1, in2)
    if scalars is not None:
        check_accuracy(accuracy)
        return _product(*scalars, out)
    call = _lower_convolve(in1, in2, mode, method, axes=axes, accuracy=accuracy)
    result = _solve(call, out)
    if method == "fft":
        _warn_nonfinite(result)
    return result


@overload
def correlate(
    in1: NDArray[Same],
    in2: NDArray[Same],
    mode: Mode = "full",
    method: Method = "auto",
    *,
    axes: Axes = None,
    out: NDArray[Any] | None = None,
    accuracy: Accuracy = "default",
) -> NDArray[Same]: ...
@overload
def correlate(
    in1: OnDevice,
    in2: OnDevice | ArrayLike,
    mode: Mode = "full",
    method: Method = "auto",
    *,
    axes: Axes = None,
    out: OnDevice | None = None,
    accuracy: Accuracy = "default",
) -> OnDevice: ...
@overload
def correlate(
    in1: ArrayLike,
    in2: ArrayLike,
    mode: Mode = "full",
    method: Method = "auto",
    *,
    axes: Axes = None,
    out: NDArray[Any] | None = None,
    accuracy: Accuracy = "default",
) -> NDArray[Any]: ...
@lowered_by(_lower_correlate)
def correlate(
    in1: Data,
    in2: Data,
    mode: Mode = "full",
    method: Method = "auto",
    *,
    axes: Axes = None,
    out: Array | None = None,
    accuracy: Accuracy = "default",
) -> Array:
    """
    Cross-correlate two N-dimensional arrays.

    Parameters
    ----------
    in1 : array_like
        First input, of any numeric dtype.
    in2 : array_like
        Second input, with as many axes as `in1`; where it is complex, its conjugate is taken.
    mode : {'full', 'same', 'valid'}, optional
        Which part of the correlation to return, as for `convolve`.
    method : {'auto', 'direct', 'fft', 'reference'}, optional
        'auto' takes the method that is predicted to be fastest.
    axes : int or iterable of int, optional
        Axes to correlate along; along all others the inputs broadcast. All axes by default.
        An extension of SciPy's signature.
    out : ndarray, optional
        Where to write the result: of its shape and dtype, sharing no memory with the inputs.
        An extension of SciPy's signature.
    accuracy : {'default', 'direct'} or float, optional
        As in `convolve`. An extension of SciPy's signature.

    Returns
    -------
    ndarray
        The correlation, of the inputs' common dtype, as for `convolve`. `correlation_lags` gives
        the lag of each output.

    Raises
    ------
    ValueError
        For an unknown mode, method or axis, for shapes that do not fit, for an empty 1-D input,
        for an `out` that cannot take the result, and for an `accuracy` that cannot be had, with
        the error that can.
    TypeError
        If `out` is not an array, or `accuracy` neither a string nor a number.

    Warns
    -----
    RuntimeWarning
        If method 'fft' is asked for by name and an output is NaN or Inf, as SciPy does.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.correlate([1, 2, 3], [0, 1, 0.5])
    array([0.5, 2. , 3.5, 3. , 0. ])
    """
    if (
        axes is None
        and out is None
        and method == "auto"
        and (accuracy is DEFAULT or accuracy is DIRECT)
    ):
        short = short_call(in1, in2, mode, SHORT_SIGNAL_CORRELATE)
        if short is not None:
            return short
    scalars = _scalars(in1, in2)
    if scalars is not None:
        check_accuracy(accuracy)
        return _product(*scalars, out, conjugate=True)
    call = _lower_correlate(in1, in2, mode, method, axes=axes, accuracy=accuracy)
    result = _solve(call, out)
    if method == "fft":
        _warn_nonfinite(result)
    return result


def _lower_fftconvolve(
    in1: Any, in2: Any, mode: Any = "full", axes: Any = None, *, accuracy: Any = DEFAULT
) -> Call:
    return _lower_spectral(in1, in2, mode, axes, check_accuracy(accuracy))


def _lower_spectral(in1: Any, in2: Any, mode: Any, axes: Any, accuracy: float | None) -> Call:
    in1, in2 = as_arrays(in1=in1, in2=in2)
    if in1.ndim != in2.ndim:
        raise ValueError("in1 and in2 should have the same dimensionality")
    chosen = _check_axes(axes, in1.ndim)
    _check_broadcast(in1, in2, chosen)
    _check_mode(mode)
    sliding = [a for a in chosen if in1.shape[a] != 1 and in2.shape[a] != 1]
    if mode == "valid":
        _check_valid((in1.shape[a] for a in sliding), (in2.shape[a] for a in sliding))
    # A product alone keeps the inputs' dtypes.
    made = _transformed if sliding else np.dtype
    result = np.result_type(made(in1.dtype), made(in2.dtype))
    return _lower(
        in1,
        in2,
        mode,
        chosen,
        correlate=False,
        result=result,
        compute=_compute_dtype(result, "auto"),
        method="auto",
        accuracy=accuracy,
    )


def _transformed(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return what a transform makes of a dtype."""
    if dtype.newbyteorder("=") == np.float16:
        return np.dtype(np.float32)
    return dtype if dtype.kind in "fc" else np.dtype(np.float64)


@overload
def fftconvolve(
    in1: NDArray[Floating],
    in2: NDArray[Floating],
    mode: Mode = "full",
    axes: Axes = None,
    *,
    accuracy: Accuracy = "default",
) -> NDArray[Floating]: ...
@overload
def fftconvolve(
    in1: OnDevice,
    in2: OnDevice | ArrayLike,
    mode: Mode = "full",
    axes: Axes = None,
    *,
    accuracy: Accuracy = "default",
) -> OnDevice: ...
@overload
def fftconvolve(
    in1: ArrayLike,
    in2: ArrayLike,
    mode: Mode = "full",
    axes: Axes = None,
    *,
    accuracy: Accuracy = "default",
) -> NDArray[Any]: ...
@lowered_by(_lower_fftconvolve)
def fftconvolve(
    in1: Data,
    in2: Data,
    mode: Mode = "full",
    axes: Axes = None,
    *,
    accuracy: Accuracy = "default",
) -> Array:
    """
    Convolve two N-dimensional arrays in floating point, along some axes.

    Parameters
    ----------
    in1 : array_like
        First input, of any numeric dtype.
    in2 : array_like
        Second input, with as many axes as `in1`.
    mode : {'full', 'same', 'valid'}, optional
        Which part of the convolution to return, as for `convolve`.
    axes : int or iterable of int, optional
        Axes to convolve along; along all others the inputs broadcast. All axes by default.
    accuracy : {'default', 'direct'} or float, optional
        As in `convolve`.

    Returns
    -------
    ndarray
        The convolution: float64 for integers, booleans and objects, float32 for float16, else the
        inputs' common dtype. Empty inputs give an empty float64 array.

    Raises
    ------
    ValueError
        For an unknown mode or axis, and for shapes that do not fit.

    Warns
    -----
    RuntimeWarning
        If an output is NaN or Inf.

    Notes
    -----
    The name is SciPy's. Short kernels take the direct method where that is faster; the result is
    then closer to the exact one. NaN and Inf touch only the outputs whose window holds them.

    Examples
    --------
    >>> import fastconv, numpy as np
    >>> fastconv.fftconvolve([[1.0, 2, 3]], [[1.0, 1]], axes=1)
    array([[1., 3., 5., 3.]])
    """
    return _fftconvolve(in1, in2, mode, axes, check_accuracy(accuracy))


@overload
def oaconvolve(
    in1: NDArray[Floating],
    in2: NDArray[Floating],
    mode: Mode = "full",
    axes: Axes = None,
    *,
    accuracy: Accuracy = "default",
) -> NDArray[Floating]: ...
@overload
def oaconvolve(
    in1: OnDevice,
    in2: OnDevice | ArrayLike,
    mode: Mode = "full",
    axes: Axes = None,
    *,
    accuracy: Accuracy = "default",
) -> OnDevice: ...
@overload
def oaconvolve(
    in1: ArrayLike,
    in2: ArrayLike,
    mode: Mode = "full",
    axes: Axes = None,
    *,
    accuracy: Accuracy = "default",
) -> NDArray[Any]: ...
@lowered_by(_lower_fftconvolve)
def oaconvolve(
    in1: Data,
    in2: Data,
    mode: Mode = "full",
    axes: Axes = None,
    *,
    accuracy: Accuracy = "default",
) -> Array:
    """
    Convolve two N-dimensional arrays in floating point, in blocks where that is faster.

    Parameters
    ----------
    in1 : array_like
        First input, of any numeric dtype.
    in2 : array_like
        Second input, with as many axes as `in1`.
    mode : {'full', 'same', 'valid'}, optional
        Which part of the convolution to return, as for `convolve`.
    axes : int or iterable of int, optional
        Axes to convolve along; along all others the inputs broadcast. All axes by default.
    accuracy : {'default', 'direct'} or float, optional
        As in `convolve`.

    Returns
    -------
    ndarray
        As for `fftconvolve`; the two functions are one here, as the planner cuts any problem into
        blocks where that pays.

    Raises
    ------
    ValueError
        For an unknown mode or axis, and for shapes that do not fit.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.oaconvolve([1.0, 2, 3], [1.0, 1])
    array([1., 3., 5., 3.])
    """
    return _fftconvolve(in1, in2, mode, axes, check_accuracy(accuracy))


def _fftconvolve(in1: Any, in2: Any, mode: Any, axes: Any, accuracy: float | None) -> np.ndarray:
    scalars = _scalars(in1, in2)
    if scalars is not None:
        return _product(*scalars, None)
    a, b = as_arrays(in1=in1, in2=in2)
    if a.ndim == b.ndim and (a.size == 0 or b.size == 0):
        nothing: np.ndarray = _devices.empty(
            (0,), np.float64, _devices.shared({"in1": a, "in2": b})
        )
        return nothing
    result = _lower_spectral(a, b, mode, axes, accuracy).solve()
    _warn_nonfinite(result, stacklevel=4)
    return result


# --- images ---------------------------------------------------------------------------------------


def _lower_2d(
    in1: Any, in2: Any, mode: Any, boundary: Any, fillvalue: Any, accuracy: Any, *, correlate: bool
) -> Call:
    name = "correlate2d" if correlate else "convolve2d"
    in1, in2 = as_arrays(in1=in1, in2=in2)
    if not in1.ndim == in2.ndim == 2:
        raise ValueError(
            f"{name} inputs must both be 2-D arrays: in1 has {in1.ndim} axes, in2 has {in2.ndim}"
        )
    _check_mode(mode)
    if not isinstance(boundary, str) or boundary not in _BOUNDARIES:
        raise ValueError(
            "Acceptable boundary flags are 'fill', 'circular' (or 'wrap'), and 'symmetric' "
            f"(or 'symm'); got boundary={boundary!r}"
        )
    if mode == "valid":
        _check_valid(in1.shape, in2.shape)
    result = np.result_type(in1.dtype, in2.dtype)
    rule = _BOUNDARIES[boundary]
    fill = _fill(fillvalue, result) if rule is Boundary.CONSTANT else 0
    if mode == "valid" or (rule is Boundary.CONSTANT and fill == 0):
        rule, fill = Boundary.ZERO, 0
    spans = {a: _output_span(in1.shape[a], in2.shape[a], mode) for a in (0, 1)}
    if correlate and mode == "same":
        # SciPy centres an even kernel of correlate2d the other way than correlate's.
        spans = {a: (in1.shape[a], in2.shape[a] // 2) for a in (0, 1)}
    return lower_pair(
        in1,
        in2,
        spans,
        correlate=correlate,
        swap=rule is Boundary.ZERO and in2.size > in1.size,
        dtype=result,
        compute=_compute_dtype(result, "auto"),
        boundary=rule,
        fill=fill,
        accuracy=check_accuracy(accuracy),
    )


def _fill(fillvalue: Any, dtype: np.dtype[Any]) -> complex:
    """Check the value beyond the edge and cast it to the result's dtype, where that can be."""
    value = _devices.to_host(fillvalue)
    if value.size == 0:
        raise ValueError("`fillvalue` cannot be an empty array.")
    if value.size != 1:
        raise ValueError(
            f"`fillvalue` must be scalar or an array with one element, not {fillvalue!r}"
        )
    scalar: Any = value.reshape(())[()]
    if dtype.kind == "O":
        return cast(complex, scalar)
    try:
        if value.dtype.kind not in "biuf":
            scalar = np.complex128(complex(scalar) if scalar is not None else np.nan)
            if dtype.kind != "c":
                if scalar.imag != 0:
                    raise TypeError("it has an imaginary part")
                scalar = scalar.real
        if dtype.kind in "biu" and not np.isfinite(scalar):
            raise TypeError("it is not finite")
        return cast(complex, np.asarray(scalar).astype(dtype).item())
    except (TypeError, OverflowError) as error:
        raise ValueError(
            f"could not cast `fillvalue` directly to the output type {dtype} (it was first "
            f"converted to complex): {fillvalue!r}"
        ) from error


def _is_plain_zero(fillvalue: Any) -> bool:
    return type(fillvalue) is int and fillvalue == 0


def _lower_convolve2d(
    in1: Any,
    in2: Any,
    mode: Any = "full",
    boundary: Any = "fill",
    fillvalue: Any = 0,
    *,
    accuracy: Any = DEFAULT,
) -> Call:
    return _lower_2d(in1, in2, mode, boundary, fillvalue, accuracy, correlate=False)


def _lower_correlate2d(
    in1: Any,
    in2: Any,
    mode: Any = "full",
    boundary: Any = "fill",
    fillvalue: Any = 0,
    *,
    accuracy: Any = DEFAULT,
) -> Call:
    return _lower_2d(in1, in2, mode, boundary, fillvalue, accuracy, correlate=True)


@overload
def convolve2d(
    in1: NDArray[Same],
    in2: NDArray[Same],
    mode: Mode = "full",
    boundary: EdgeRule = "fill",
    fillvalue: ArrayLike = 0,
    *,
    accuracy: Accuracy = "default",
) -> NDArray[Same]: ...
@overload
def convolve2d(
    in1: OnDevice,
    in2: OnDevice | ArrayLike,
    mode: Mode = "full",
    boundary: EdgeRule = "fill",
    fillvalue: OnDevice | ArrayLike = 0,
    *,
    accuracy: Accuracy = "default",
) -> OnDevice: ...
@overload
def convolve2d(
    in1: ArrayLike,
    in2: ArrayLike,
    mode: Mode = "full",
    boundary: EdgeRule = "fill",
    fillvalue: ArrayLike = 0,
    *,
    accuracy: Accuracy = "default",
) -> NDArray[Any]: ...
@lowered_by(_lower_convolve2d)
def convolve2d(
    in1: Data,
    in2: Data,
    mode: Mode = "full",
    boundary: EdgeRule = "fill",
    fillvalue: Data = 0,
    *,
    accuracy: Accuracy = "default",
) -> Array:
    """
    Convolve two 2-dimensional arrays, with a rule for what lies beyond the edge.

    Parameters
    ----------
    in1 : array_like
        The image.
    in2 : array_like
        The kernel; it may exceed the image many times over.
    mode : {'full', 'same', 'valid'}, optional
        Which part of the convolution to return, as for `convolve`.
    boundary : {'fill', 'wrap', 'symm'}, optional
        Beyond the edge lies `fillvalue` ('pad' is a synonym), the other side ('circular'), or the
        mirror image with the edge repeated ('symmetric').
    fillvalue : scalar, optional
        For boundary 'fill'; cast to the dtype of the result.
    accuracy : {'default', 'direct'} or float, optional
        As in `convolve`.

    Returns
    -------
    ndarray
        The convolution, of the inputs' common dtype, as for `convolve`.

    Raises
    ------
    ValueError
        For inputs that are not 2-D, an unknown mode or boundary, shapes that do not fit, or a
        `fillvalue` that the result's dtype cannot take.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.convolve2d([[1, 2], [3, 4]], [[1, 1]], mode="same", boundary="wrap")
    array([[3, 3],
           [7, 7]])
    """
    if (
        boundary == "fill"
        and _is_plain_zero(fillvalue)
        and (accuracy is DEFAULT or accuracy is DIRECT)
    ):
        short = short_call(in1, in2, mode, SHORT_SIGNAL_CONVOLVE2D)
        if short is not None:
            return short
    return _lower_convolve2d(in1, in2, mode, boundary, fillvalue, accuracy=accuracy).solve()


@overload
def correlate2d(
    in1: NDArray[Same],
    in2: NDArray[Same],
    mode: Mode = "full",
    boundary: EdgeRule = "fill",
    fillvalue: ArrayLike = 0,
    *,
    accuracy: Accuracy = "default",
) -> NDArray[Same]: ...
@overload
def correlate2d(
    in1: OnDevice,
    in2: OnDevice | ArrayLike,
    mode: Mode = "full",
    boundary: EdgeRule = "fill",
    fillvalue: OnDevice | ArrayLike = 0,
    *,
    accuracy: Accuracy = "default",
) -> OnDevice: ...
@overload
def correlate2d(
    in1: ArrayLike,
    in2: ArrayLike,
    mode: Mode = "full",
    boundary: EdgeRule = "fill",
    fillvalue: ArrayLike = 0,
    *,
    accuracy: Accuracy = "default",
) -> NDArray[Any]: ...
@lowered_by(_lower_correlate2d)
def correlate2d(
    in1: Data,
    in2: Data,
    mode: Mode = "full",
    boundary: EdgeRule = "fill",
    fillvalue: Data = 0,
    *,
    accuracy: Accuracy = "default",
) -> Array:
    """
    Cross-correlate two 2-dimensional arrays, with a rule for what lies beyond the edge.

    Parameters
    ----------
    in1 : array_like
        The image.
    in2 : array_like
        The template; where it is complex, its conjugate is taken.
    mode : {'full', 'same', 'valid'}, optional
        Which part of the correlation to return, as for `convolve`.
    boundary : {'fill', 'wrap', 'symm'}, optional
        What lies beyond the edge, as for `convolve2d`.
    fillvalue : scalar, optional
        For boundary 'fill'; cast to the dtype of the result.
    accuracy : {'default', 'direct'} or float, optional
        As in `convolve`.

    Returns
    -------
    ndarray
        The correlation, of the inputs' common dtype, as for `convolve`.

    Raises
    ------
    ValueError
        For inputs that are not 2-D, an unknown mode or boundary, shapes that do not fit, or a
        `fillvalue` that the result's dtype cannot take.

    Notes
    -----
    Mode 'valid' with an `in2` larger than `in1` gives what `correlate` gives. SciPy's correlate2d
    returns the conjugate of that for complex inputs, which is a bug.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.correlate2d([[1, 2], [3, 4]], [[1, 1]], mode="valid")
    array([[3],
           [7]])
    """
    if (
        boundary == "fill"
        and _is_plain_zero(fillvalue)
        and (accuracy is DEFAULT or accuracy is DIRECT)
    ):
        short = short_call(in1, in2, mode, SHORT_SIGNAL_CORRELATE2D)
        if short is not None:
            return short
    return _lower_correlate2d(in1, in2, mode, boundary, fillvalue, accuracy=accuracy).solve()


def _filter_axis(
    image: np.ndarray, taps: np.ndarray, axis: int, accuracy: float | None
) -> np.ndarray:
    """Convolve along one axis of an image, reflected at its edges."""
    kernel = taps[None] if axis == 1 else taps[:, None]
    spans = {a: (n, (kernel.shape[a] - 1) // 2) for a, n in enumerate(image.shape)}
    return lower_pair(
        image,
        kernel,
        spans,
        correlate=False,
        swap=False,
        dtype=image.dtype,
        compute=image.dtype,
        boundary=Boundary.REFLECT,
        accuracy=accuracy,
    ).solve()


@overload
def sepfir2d(
    input: NDArray[Floating],
    hrow: ArrayLike,
    hcol: ArrayLike,
    /,
    *,
    accuracy: Accuracy = "default",
) -> NDArray[Floating]: ...
@overload
def sepfir2d(
    input: OnDevice,
    hrow: OnDevice | ArrayLike,
    hcol: OnDevice | ArrayLike,
    /,
    *,
    accuracy: Accuracy = "default",
) -> OnDevice: ...
@overload
def sepfir2d(
    input: ArrayLike,
    hrow: ArrayLike,
    hcol: ArrayLike,
    /,
    *,
    accuracy: Accuracy = "default",
) -> NDArray[Any]: ...
def sepfir2d(
    input: Data,
    hrow: Data,
    hcol: Data,
    /,
    *,
    accuracy: Accuracy = "default",
) -> Array:
    """
    Convolve an image with a row filter and a column filter, reflected at the edges.

    Parameters
    ----------
    input : array_like
        The image, 2-D; integers become float32, or float64 where they are wider than 16 bits.
    hrow : array_like
        Filter along the rows (axis 1), 1-D, of odd length.
    hcol : array_like
        Filter along the columns (axis 0), 1-D, of odd length.
    accuracy : {'default', 'direct'} or float, optional
        As in `convolve`, of both filters together.

    Returns
    -------
    ndarray
        The filtered image, of the shape of `input`; float32, float64, complex64 or complex128.

    Raises
    ------
    ValueError
        If the dimensionality or the length of an argument is wrong.
    TypeError
        If a filter cannot be cast safely to the image's dtype.

    Notes
    -----
    The arrays are positional only, as SciPy's are. A filter may exceed the image (SciPy's
    corrupts memory then).

    Examples
    --------
    >>> import fastconv, numpy as np
    >>> fastconv.sepfir2d(np.eye(3), [1.0, 1.0, 1.0], [1.0])
    array([[2., 1., 0.],
           [1., 1., 1.],
           [0., 1., 2.]])
    """
    bound = check_accuracy(accuracy)
    device, (image, *given) = _devices.together(input=input, hrow=hrow, hcol=hcol)
    if image.ndim != 2:
        deep = "object of too small depth" if image.ndim < 2 else "object too deep"
        raise ValueError(f"{deep} for desired array: input must be 2-D, not {image.ndim}-D")
    if image.dtype.kind in "biuf":
        compute = np.result_type(image.dtype, np.float32)
    else:
        compute = image.dtype.newbyteorder("=")
    if compute not in (np.float32, np.float64, np.complex64, np.complex128):
        raise ValueError(
            "Incorrect type: input must be float32, float64, complex64 or complex128, or convert "
            f"to one of them; it is {image.dtype}"
        )
    # Of an array the dtype is meant, and must cast safely; of a list only the numbers are.
    rules = ["safe" if hasattr(h, "dtype") else "same_kind" for h in (hrow, hcol)]
    with _devices.on(device):
        image = image.astype(compute, copy=False)
        filters = [
            _filter(h, name, compute, rule)
            for h, name, rule in zip(given, ("hrow", "hcol"), rules, strict=True)
        ]
    if any(h.size % 2 == 0 for h in filters):
        raise ValueError("hrow and hcol must be odd length")
    if image.size == 0:
        nothing: np.ndarray = _devices.empty(image.shape, compute, device)
        return nothing
    share = share_accuracy(bound, 2, compute)
    return _filter_axis(_filter_axis(image, filters[0], 1, share), filters[1], 0, share)


def _filter(taps: Any, name: str, dtype: np.dtype[Any], casting: Any) -> Any:
    if taps.ndim != 1:
        deep = "object too deep" if taps.ndim > 1 else "object of too small depth"
        raise ValueError(f"{deep} for desired array: {name} must be 1-D, not {taps.ndim}-D")
    if not np.can_cast(taps.dtype, dtype, casting):
        raise TypeError(
            f"Cannot cast {name} from {taps.dtype} to {dtype} according to the rule {casting!r}"
        )
    return taps.astype(dtype)


# --- helpers --------------------------------------------------------------------------------------


@overload
def choose_conv_method(
    in1: ArrayLike,
    in2: ArrayLike,
    mode: Mode = "full",
    measure: Literal[False] = False,
) -> Literal["direct", "fft"]: ...
@overload
def choose_conv_method(
    in1: ArrayLike,
    in2: ArrayLike,
    mode: Mode = "full",
    *,
    measure: Literal[True],
) -> tuple[Literal["direct", "fft"], dict[str, float]]: ...
@overload
def choose_conv_method(
    in1: ArrayLike,
    in2: ArrayLike,
    mode: Mode = "full",
    measure: bool = False,
) -> Literal["direct", "fft"] | tuple[Literal["direct", "fft"], dict[str, float]]: ...
def choose_conv_method(
    in1: Data,
    in2: Data,
    mode: Mode = "full",
    measure: bool = False,
) -> Literal["direct", "fft"] | tuple[Literal["direct", "fft"], dict[str, float]]:
    """
    Choose between the methods 'direct' and 'fft', as SciPy's function does.

    Parameters
    ----------
    in1, in2 : array_like
        The inputs of a `convolve`.
    mode : {'full', 'same', 'valid'}, optional
        Its mode.
    measure : bool, optional
        Time both methods for real.

    Returns
    -------
    method : str
        'direct' or 'fft'.
    times : dict
        Seconds of each method, only with `measure`.

    Raises
    ------
    ValueError
        As `convolve` would.

    See Also
    --------
    fastconv.explain : Every method, with its predicted time and its reason.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.choose_conv_method([1.0, 2.0, 3.0], [1.0, 1.0])
    'direct'
    """
    device, (a, b) = _devices.together(in1=in1, in2=in2)

    def run(method: Literal["direct", "fft"]) -> None:
        convolve(a, b, mode, method)
        _devices.wait(device)

    if measure:
        times = {
            method: min(timeit.repeat(functools.partial(run, method), number=1, repeat=3))
            for method in ("fft", "direct")
        }
        return ("fft" if times["fft"] < times["direct"] else "direct"), times
    if a.dtype.kind not in "buifc" or b.dtype.kind not in "buifc" or a.ndim == 0:
        return "direct"
    if a.ndim != b.ndim or a.size == 0 or b.size == 0:
        return "direct"
    if a.dtype.kind == b.dtype.kind == "b":
        return "direct"
    if "i" in (a.dtype.kind + b.dtype.kind).replace("u", "i"):
        # Beyond this the products of an FFT in float64 do not round to the right integer.
        with _devices.on(device):
            most = float(abs(a).max()) * float(abs(b).max()) * min(a.size, b.size)
        if most > 2**52 - 1:
            return "direct"
    # Asked for by name, as an integer FFT is computed in floating point and only then a candidate.
    predicted = {
        method: next(
            c.predicted for c in call.choose().candidates if c.name.removeprefix("gpu_") == method
        )
        for method in ("fft", "direct")
        for call in [_lower_convolve(a, b, mode, method)]
    }
    fft, direct = predicted["fft"], predicted["direct"]
    return "fft" if fft is not None and direct is not None and fft < direct else "direct"


def correlation_lags(
    in1_len: int,
    in2_len: int,
    mode: Mode = "full",
) -> NDArray[np.int_]:
    """
    Return the lag of each output of a 1-D `correlate`.

    Parameters
    ----------
    in1_len, in2_len : int
        Lengths of its inputs.
    mode : {'full', 'same', 'valid'}, optional
        Its mode.

    Returns
    -------
    ndarray
        The lags, in samples, 1-D.

    Raises
    ------
    ValueError
        For an unknown mode.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.correlation_lags(3, 2)
    array([-1,  0,  1,  2])
    """
    if mode == "full":
        return np.arange(-in2_len + 1, in1_len)
    if mode == "same":
        lags = np.arange(-in2_len + 1, in1_len)
        middle, half = lags.size // 2, in1_len // 2
        return lags[middle - half : middle - half + in1_len]
    if mode == "valid":
        bound = in1_len - in2_len
        return np.arange(bound + 1) if bound >= 0 else np.arange(bound, 1)
    raise ValueError(f"Mode {mode} is invalid: acceptable are 'full', 'same', 'valid'")
