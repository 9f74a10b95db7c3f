"""
scipy.ndimage's linear filters, by name, signature and contract.

Values, dtypes, shapes and errors are SciPy's. Results of integer dtype are SciPy's to the last bit:
sums are formed in double precision in SciPy's order and cut toward zero. float32 results of float32
(and of integers of up to 16 bits) are summed in float32, except passes over few elements. Where
SciPy's are a bug ours are not: each function's notes say where. Arrays may be CuPy's, all on one
GPU: then the results are.
"""

from __future__ import annotations

import functools
import math
import numbers
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Unpack, overload

import numpy as np
from numpy.lib.array_utils import normalize_axis_index
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastconv import _devices
from fastconv._filters import (
    NO_SIGMA,
    OPTIONS,
    Pass,
    apart,
    as_numbers,
    beside,
    by_weights,
    check_axes,
    check_cval,
    check_input,
    check_mode,
    check_plannable,
    check_real,
    correlate_dense,
    dense_kernel,
    each,
    lower_dense,
    lower_passes,
    lower_planned,
    make_output,
    on_host,
    ready,
    result_dtype,
    run_passes,
    solve,
)
from fastconv._methods import MOST_TERMS
from fastconv._native._core import short_filter
from fastconv._plan import DEFAULT, DIRECT, Call, check_accuracy, lowered_by, may_overlap
from fastconv._planner import Choice, Prepared
from fastconv._problem import SMALL_SIZE, Boundary, Spec
from fastconv._threads import get_num_threads
from fastconv._typing import (
    Accuracy,
    Array,
    Data,
    DeviceArray,
    Each,
    EachReal,
    EdgeMode,
    EdgeModes,
    Element,
    GaussianOptions,
    Integer,
    Into,
    Number,
    OnDevice,
    Output,
    Real,
    RealArrayLike,
)

__all__ = [
    "convolve",
    "convolve1d",
    "correlate",
    "correlate1d",
    "gaussian_filter",
    "gaussian_filter1d",
    "gaussian_gradient_magnitude",
    "gaussian_laplace",
    "generic_gradient_magnitude",
    "generic_laplace",
    "laplace",
    "prewitt",
    "sobel",
    "uniform_filter",
    "uniform_filter1d",
]


def _lower_dense_planned(
    input: Any,
    weights: Any,
    output: Any,
    mode: Any,
    cval: Any,
    origin: Any,
    axes: Any,
    accuracy: Any,
    *,
    convolution: bool,
) -> Call:
    bound, input = check_accuracy(accuracy), beside(input, weights)
    check_plannable(input, output)
    weights = on_host(input, weights)
    values = np.full(weights.shape, np.pi) if isinstance(weights, Spec) else check_real(weights)
    w, offset = dense_kernel(input, values, origin, axes, convolution=convolution)
    result = result_dtype(output, input, complex_output=False)
    boundary, fill = check_mode(mode), check_cval(cval)
    call = lower_dense(input, w, offset, boundary, fill, result, True, bound)
    if isinstance(weights, Spec):  # of the kernel only the shape is known
        return replace(call, arrays=(input, Spec(w.shape)))
    return call


def _lower_correlate(
    input: Any,
    weights: Any,
    output: Any = None,
    mode: Any = "reflect",
    cval: Any = 0.0,
    origin: Any = 0,
    *,
    axes: Any = None,
    accuracy: Any = DEFAULT,
) -> Call:
    return _lower_dense_planned(
        input, weights, output, mode, cval, origin, axes, accuracy, convolution=False
    )


def _lower_convolve(
    input: Any,
    weights: Any,
    output: Any = None,
    mode: Any = "reflect",
    cval: Any = 0.0,
    origin: Any = 0,
    *,
    axes: Any = None,
    accuracy: Any = DEFAULT,
) -> Call:
    return _lower_dense_planned(
        input, weights, output, mode, cval, origin, axes, accuracy, convolution=True
    )


@overload
def correlate(
    input: NDArray[Element],
    weights: RealArrayLike,
    output: None = None,
    mode: EdgeMode = "reflect",
    cval: Number = 0.0,
    origin: Each = 0,
    *,
    axes: Each | None = None,
    accuracy: Accuracy = "default",
) -> NDArray[Element]: ...
@overload
def correlate(
    input: OnDevice,
    weights: OnDevice | ArrayLike,
    output: OnDevice | DTypeLike | None = None,
    mode: EdgeMode = "reflect",
    cval: Number = 0.0,
    origin: Each = 0,
    *,
    axes: Each | None = None,
    accuracy: Accuracy = "default",
) -> OnDevice: ...
@overload
def correlate(
    input: RealArrayLike,
    weights: RealArrayLike,
    output: Into[Element],
    mode: EdgeMode = "reflect",
    cval: Number = 0.0,
    origin: Each = 0,
    *,
    axes: Each | None = None,
    accuracy: Accuracy = "default",
) -> NDArray[Element]: ...
@overload
def correlate(
    input: ArrayLike,
    weights: ArrayLike,
    output: Output = None,
    mode: EdgeMode = "reflect",
    cval: Number = 0.0,
    origin: Each = 0,
    *,
    axes: Each | None = None,
    accuracy: Accuracy = "default",
) -> NDArray[Any]: ...
@lowered_by(_lower_correlate)
def correlate(
    input: Data,
    weights: Data,
    output: Output | DeviceArray = None,
    mode: EdgeMode = "reflect",
    cval: Number = 0.0,
    origin: Each = 0,
    *,
    axes: Each | None = None,
    accuracy: Accuracy = "default",
) -> Array:
    """
    Correlate an array with a kernel.

    Parameters
    ----------
    input : array_like
        The data: booleans, integers, float32, float64 or their complex kinds, with any number of
        axes.
    weights : array_like
        The kernel, with as many axes as the input has (or as many as `axes`).
    output : ndarray or dtype_like, optional
        Where to write the result (of the input's shape; it may be the input itself), or its dtype;
        the input's dtype by default.
    mode : str, optional
        What lies beyond the edge: 'reflect' (the mirror image with the edge repeated;
        'grid-mirror' is a synonym), 'constant' (`cval`; 'grid-constant'), 'nearest' (the edge),
        'mirror' (the mirror image without the edge repeated) or 'wrap' (the other side;
        'grid-wrap').
    cval : scalar, optional
        The value beyond the edge for mode 'constant'.
    origin : int or sequence of int, optional
        Shift of the filter: positive ones move it to the left, 0 centres it; one for all axes or
        one an axis.
    axes : int or sequence of int, optional
        The axes to filter along; all by default.
    accuracy : {'default', 'direct'} or float, optional
        What results may err by, as in `fastconv.convolve`, before integers are cut and wrapped
        around. An extension of SciPy's signature.

    Returns
    -------
    ndarray
        The filtered data, of the input's shape; `output` itself where it is an array.

    Raises
    ------
    RuntimeError
        For an unknown mode, an output of the wrong shape, a dtype that is not supported, or weights
        that do not fit.
    ValueError
        For an origin or axes that are out of range, or an output that is read-only.
    TypeError
        For axes or a `cval` of the wrong type.

    Notes
    -----
    A tap that is zero is no tap: NaN and Inf do not meet it. SciPy also drops taps of up to 2.2e-16
    and taps that are NaN, and reads wrong data where a kernel exceeds the data many times over;
    here every tap counts.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.ndimage.correlate([1, 2, 3, 4], [1, 0, 2])
    array([ 5,  7, 10, 11])
    """
    if accuracy is DEFAULT or accuracy is DIRECT:
        short = short_filter(
            input, weights, output, mode, cval, origin, axes, False, get_num_threads
        )
        if short is not None:
            return short
    bound = check_accuracy(accuracy)
    return correlate_dense(
        input, weights, output, mode, cval, origin, axes, bound, convolution=False
    )


@overload
def convolve(
    input: NDArray[Element],
    weights: RealArrayLike,
    output: None = None,
    mode: EdgeMode = "reflect",
    cval: Number = 0.0,
    origin: Each = 0,
    *,
    axes: Each | None = None,
    accuracy: Accuracy = "default",
) -> NDArray[Element]: ...
@overload
def convolve(
    input: OnDevice,
    weights: OnDevice | ArrayLike,
    output: OnDevice | DTypeLike | None = None,
    mode: EdgeMode = "reflect",
    cval: Number = 0.0,
    origin: Each = 0,
    *,
    axes: Each | None = None,
    accuracy: Accuracy = "default",
) -> OnDevice: ...
@overload
def convolve(
    input: RealArrayLike,
    weights: RealArrayLike,
    output: Into[Element],
    mode: EdgeMode = "reflect",
    cval: Number = 0.0,
    origin: Each = 0,
    *,
    axes: Each | None = None,
    accuracy: Accuracy = "default",
) -> NDArray[Element]: ...
@overload
def convolve(
    input: ArrayLike,
    weights: ArrayLike,
    output: Output = None,
    mode: EdgeMode = "reflect",
    cval: Number = 0.0,
    origin: Each = 0,
    *,
    axes: Each | None = None,
    accuracy: Accuracy = "default",
) -> NDArray[Any]: ...
@lowered_by(_lower_convolve)
def convolve(
    input: Data,
    weights: Data,
    output: Output | DeviceArray = None,
    mode: EdgeMode = "reflect",
    cval: Number = 0.0,
    origin: Each = 0,
    *,
    axes: Each | None = None,
    accuracy: Accuracy = "default",
) -> Array:
    """
    Convolve an array with a kernel.

    Parameters
    ----------
    input : array_like
        The data: booleans, integers, float32, float64 or their complex kinds, with any number of
        axes.
    weights : array_like
        The kernel, with as many axes as the input has (or as many as `axes`).
    output : ndarray or dtype_like, optional
        Where to write the result (of the input's shape; it may be the input itself), or its dtype;
        the input's dtype by default.
    mode : str, optional
        What lies beyond the edge: 'reflect' (the mirror image with the edge repeated;
        'grid-mirror' is a synonym), 'constant' (`cval`; 'grid-constant'), 'nearest' (the edge),
        'mirror' (the mirror image without the edge repeated) or 'wrap' (the other side;
        'grid-wrap').
    cval : scalar, optional
        The value beyond the edge for mode 'constant'.
    origin : int or sequence of int, optional
        Shift of the filter: positive ones move it to the left, 0 centres it; one for all axes or
        one an axis.
    axes : int or sequence of int, optional
        The axes to filter along; all by default.
    accuracy : {'default', 'direct'} or float, optional
        As in `correlate`.

    Returns
    -------
    ndarray
        The filtered data, of the input's shape; `output` itself where it is an array.

    Raises
    ------
    RuntimeError
        For an unknown mode, an output of the wrong shape, a dtype that is not supported, or weights
        that do not fit.
    ValueError
        For an origin or axes that are out of range, or an output that is read-only.
    TypeError
        For axes or a `cval` of the wrong type.

    Notes
    -----
    A tap that is zero is no tap: NaN and Inf do not meet it. SciPy also drops taps of up to 2.2e-16
    and taps that are NaN, and reads wrong data where a kernel exceeds the data many times over;
    here every tap counts.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.ndimage.convolve([1, 2, 3, 4], [1, 0, 2])
    array([ 4,  5,  8, 10])
    """
    if accuracy is DEFAULT or accuracy is DIRECT:
        short = short_filter(
            input, weights, output, mode, cval, origin, axes, True, get_num_threads
        )
        if short is not None:
            return short
    bound = check_accuracy(accuracy)
    return correlate_dense(
        input, weights, output, mode, cval, origin, axes, bound, convolution=True
    )


# --- lines ----------------------------------------------------------------------------------------


def _line_pass(input: Any, weights: np.ndarray, axis: Any, mode: Any, origin: Any) -> Pass:
    """Return a pass of real weights, checked."""
    w = np.asarray(weights, dtype=np.float64)
    if w.ndim != 1 or w.size < 1:
        raise RuntimeError(f"no filter weights given: weights has shape {w.shape}, not one axis")
    axis = normalize_axis_index(axis, len(input.shape))
    origin = operator.index(origin)
    if not -(w.size // 2) <= origin <= (w.size - 1) // 2:
        raise ValueError(
            "Invalid origin; origin must satisfy -(len(weights) // 2) <= origin <= "
            f"(len(weights)-1) // 2; origin={origin}, len(weights)={w.size}"
        )
    return Pass(axis, w, check_mode(mode), origin)


def _flipped(weights: Any, origin: Any) -> tuple[np.ndarray, Any]:
    """Return the weights and the origin with which correlating is convolving."""
    w = weights[::-1]
    return w, -origin - (1 - w.shape[0] % 2)


def _correlate_line(
    input: Any,
    weights: np.ndarray,
    axis: Any,
    output: Any,
    mode: Any,
    cval: Any,
    origin: Any,
    accuracy: float | None,
) -> np.ndarray:
    def filter_by(
        data: np.ndarray, real_weights: np.ndarray, into: Any, fill: Any, share: float | None
    ) -> np.ndarray:
        target = make_output(into, data, data.dtype.kind == "c")
        only = _line_pass(data, real_weights, axis, mode, origin)
        run_passes(data, target, [only], fill, share)
        return target

    if weights.dtype.kind == "c":
        return by_weights(filter_by, input, weights, output, cval, accuracy)
    return filter_by(input, weights, output, cval, accuracy)


def _lower_correlate1d(
    input: Any,
    weights: Any,
    axis: Any = -1,
    output: Any = None,
    mode: Any = "reflect",
    cval: Any = 0.0,
    origin: Any = 0,
    *,
    accuracy: Any = DEFAULT,
) -> Call:
    input = beside(input, weights)
    only = _line_pass(input, check_real(on_host(input, weights)), axis, mode, origin)
    return lower_planned(input, [only], cval, output, check_accuracy(accuracy))


def _lower_convolve1d(
    input: Any,
    weights: Any,
    axis: Any = -1,
    output: Any = None,
    mode: Any = "reflect",
    cval: Any = 0.0,
    origin: Any = 0,
    *,
    accuracy: Any = DEFAULT,
) -> Call:
    weights, origin = _flipped(_devices.as_array(weights), origin)
    return _lower_correlate1d(input, weights, axis, output, mode, cval, origin, accuracy=accuracy)


@overload
def correlate1d(
    input: NDArray[Element],
    weights: RealArrayLike,
    axis: Integer = -1,
    output: None = None,
    mode: EdgeMode = "reflect",
    cval: Number = 0.0,
    origin: Integer = 0,
    *,
    accuracy: Accuracy = "default",
) -> NDArray[Element]: ...
@overload
def correlate1d(
    input: OnDevice,
    weights: OnDevice | ArrayLike,
    axis: Integer = -1,
    output: OnDevice | DTypeLike | None = None,
    mode: EdgeMode = "reflect",
    cval: Number = 0.0,
    origin: Integer = 0,
    *,
    accuracy: Accuracy = "default",
) -> OnDevice: ...
@overload
def correlate1d(
    input: RealArrayLike,
    weights: RealArrayLike,
    axis: Integer = -1,
    *,
    output: Into[Element],
    mode: EdgeMode = "reflect",
    cval: Number = 0.0,
    origin: Integer = 0,
    accuracy: Accuracy = "default",
) -> NDArray[Element]: ...
@overload
def correlate1d(
    input: ArrayLike,
    weights: ArrayLike,
    axis: Integer = -1,
    output: Output = None,
    mode: EdgeMode = "reflect",
    cval: Number = 0.0,
    origin: Integer = 0,
    *,
    accuracy: Accuracy = "default",
) -> NDArray[Any]: ...
@lowered_by(_lower_correlate1d)
def correlate1d(
    input: Data,
    weights: Data,
    axis: Integer = -1,
    output: Output | DeviceArray = None,
    mode: EdgeMode = "reflect",
    cval: Number = 0.0,
    origin: Integer = 0,
    *,
    accuracy: Accuracy = "default",
) -> Array:
    """
    Correlate an array with a 1-D kernel along one axis.

    Parameters
    ----------
    input : array_like
        The data: booleans, integers, float32, float64 or their complex kinds, with any number of
        axes.
    weights : array_like
        The kernel, 1-D.
    axis : int, optional
        The axis to filter along; the last by default.
    output : ndarray or dtype_like, optional
        Where to write the result (of the input's shape; it may be the input itself), or its dtype;
        the input's dtype by default.
    mode : str, optional
        What lies beyond the edge: 'reflect' (the mirror image with the edge repeated;
        'grid-mirror' is a synonym), 'constant' (`cval`; 'grid-constant'), 'nearest' (the edge),
        'mirror' (the mirror image without the edge repeated) or 'wrap' (the other side;
        'grid-wrap').
    cval : scalar, optional
        The value beyond the edge for mode 'constant'.
    origin : int, optional
        Shift of the filter: positive ones move it to the left, 0 centres it.
    accuracy : {'default', 'direct'} or float, optional
        As in `correlate`.

    Returns
    -------
    ndarray
        The filtered data, of the input's shape; `output` itself where it is an array.

    Raises
    ------
    RuntimeError
        For an unknown mode, an output of the wrong shape, a dtype that is not supported, or weights
        that do not fit.
    ValueError
        For an origin or axes that are out of range, or an output that is read-only.
    TypeError
        For axes or a `cval` of the wrong type.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.ndimage.correlate1d([2, 8, 0, 4, 1, 9, 9, 0], [1, 3])
    array([ 8, 26,  8, 12,  7, 28, 36,  9])
    """
    array = beside(input, weights)
    w = apart(array, weights, output)
    if w.dtype.kind == "c":
        w = w.conj()
    bound = check_accuracy(accuracy)
    return _correlate_line(array, w, axis, output, mode, cval, origin, bound)


@overload
def convolve1d(
    input: NDArray[Element],
    weights: RealArrayLike,
    axis: Integer = -1,
    output: None = None,
    mode: EdgeMode = "reflect",
    cval: Number = 0.0,
    origin: Integer = 0,
    *,
    accuracy: Accuracy = "default",
) -> NDArray[Element]: ...
@overload
def convolve1d(
    input: OnDevice,
    weights: OnDevice | ArrayLike,
    axis: Integer = -1,
    output: OnDevice | DTypeLike | None = None,
    mode: EdgeMode = "reflect",
    cval: Number = 0.0,
    origin: Integer = 0,
    *,
    accuracy: Accuracy = "default",
) -> OnDevice: ...
@overload
def convolve1d(
    input: RealArrayLike,
    weights: RealArrayLike,
    axis: Integer = -1,
    *,
    output: Into[Element],
    mode: EdgeMode = "reflect",
    cval: Number = 0.0,
    origin: Integer = 0,
    accuracy: Accuracy = "default",
) -> NDArray[Element]: ...
@overload
def convolve1d(
    input: ArrayLike,
    weights: ArrayLike,
    axis: Integer = -1,
    output: Output = None,
    mode: EdgeMode = "reflect",
    cval: Number = 0.0,
    origin: Integer = 0,
    *,
    accuracy: Accuracy = "default",
) -> NDArray[Any]: ...
@lowered_by(_lower_convolve1d)
def convolve1d(
    input: Data,
    weights: Data,
    axis: Integer = -1,
    output: Output | DeviceArray = None,
    mode: EdgeMode = "reflect",
    cval: Number = 0.0,
    origin: Integer = 0,
    *,
    accuracy: Accuracy = "default",
) -> Array:
    """
    Convolve an array with a 1-D kernel along one axis.

    Parameters
    ----------
    input : array_like
        The data: booleans, integers, float32, float64 or their complex kinds, with any number of
        axes.
    weights : array_like
        The kernel, 1-D.
    axis : int, optional
        The axis to filter along; the last by default.
    output : ndarray or dtype_like, optional
        Where to write the result (of the input's shape; it may be the input itself), or its dtype;
        the input's dtype by default.
    mode : str, optional
        What lies beyond the edge: 'reflect' (the mirror image with the edge repeated;
        'grid-mirror' is a synonym), 'constant' (`cval`; 'grid-constant'), 'nearest' (the edge),
        'mirror' (the mirror image without the edge repeated) or 'wrap' (the other side;
        'grid-wrap').
    cval : scalar, optional
        The value beyond the edge for mode 'constant'.
    origin : int, optional
        Shift of the filter: positive ones move it to the left, 0 centres it.
    accuracy : {'default', 'direct'} or float, optional
        As in `correlate`.

    Returns
    -------
    ndarray
        The filtered data, of the input's shape; `output` itself where it is an array.

    Raises
    ------
    RuntimeError
        For an unknown mode, an output of the wrong shape, a dtype that is not supported, or weights
        that do not fit.
    ValueError
        For an origin or axes that are out of range, or an output that is read-only.
    TypeError
        For axes or a `cval` of the wrong type.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.ndimage.convolve1d([2, 8, 0, 4, 1, 9, 9, 0], [1, 3])
    array([14, 24,  4, 13, 12, 36, 27,  0])
    """
    array = beside(input, weights)
    w, origin = _flipped(apart(array, weights, output), origin)
    bound = check_accuracy(accuracy)
    return _correlate_line(array, w, axis, output, mode, cval, origin, bound)


# --- Gaussians ------------------------------------------------------------------------------------


def _gaussian_taps(sigma: float, order: int, radius: int) -> np.ndarray:
    """
    Sample a Gaussian that sums to one, or a derivative of it, as it correlates.

    A derivative is the Gaussian times a polynomial q, with q' - x/sigma² · q that of the next one.
    """
    if order < 0:
        raise ValueError(f"order must be non-negative, not {order}")
    variance = sigma * sigma
    x = np.arange(-radius, radius + 1)
    gaussian = np.exp(-0.5 / variance * x**2)
    gaussian = gaussian / gaussian.sum()
    if order == 0:
        return np.asarray(gaussian)
    q = np.zeros(order + 1)
    q[0] = 1
    for _ in range(order):
        derivative = np.append(q[1:] * np.arange(1, order + 1), 0)
        q = derivative + np.append(0, q[:-1]) * (-1 / variance)
    return np.asarray((np.vander(x, order + 1, increasing=True) @ q * gaussian)[::-1])


def _gaussian_pass(
    axis: int, sigma: Any, order: Any, mode: Any, truncate: Real, radius: Any
) -> Pass:
    """Return the pass of a Gaussian, the one of the last time where it is the same."""
    try:
        return _kept_gaussian_pass(axis, sigma, order, mode, truncate, radius)
    except TypeError:  # an argument that cannot be hashed, or one that is wrong: then again here
        return _new_gaussian_pass(axis, sigma, order, mode, truncate, radius)


def _new_gaussian_pass(
    axis: int, sigma: Any, order: Any, mode: Any, truncate: Real, radius: Any
) -> Pass:
    reach = int(truncate * float(sigma) + 0.5) if radius is None else radius
    if not isinstance(reach, numbers.Integral) or reach < 0:
        raise ValueError(f"Radius must be a nonnegative integer, not {reach!r}")
    taps = _gaussian_taps(sigma, order, int(reach))
    return Pass(axis, taps, check_mode(mode), kept=taps.size <= _KEPT_TAPS)


# Passes are kept by their arguments, so that filters that are used again are ready.
_KEPT_TAPS = 4096
_kept_gaussian_pass = functools.lru_cache(maxsize=256, typed=True)(_new_gaussian_pass)


def _gaussian_passes(
    input: Any, sigma: Any, order: Any, mode: Any, truncate: Real, radius: Any, axes: Any
) -> list[Pass]:
    chosen = check_axes(axes, len(input.shape))
    count = len(chosen)
    given = zip(
        chosen,
        each(sigma, count, "sigma"),
        each(order, count, "order"),
        each(mode, count, "mode"),
        each(radius, count, "radius"),
        strict=True,
    )
    return [_gaussian_pass(a, s, o, m, truncate, r) for a, s, o, m, r in given if s > NO_SIGMA]


def _lower_gaussian_filter1d(
    input: Any,
    sigma: Any,
    axis: Any = -1,
    order: Any = 0,
    output: Any = None,
    mode: Any = "reflect",
    cval: Any = 0.0,
    truncate: Any = 4.0,
    *,
    radius: Any = None,
    accuracy: Any = DEFAULT,
) -> Call:
    input = check_input(input)
    axis = normalize_axis_index(axis, len(input.shape))
    only = _gaussian_pass(axis, sigma, order, mode, truncate, radius)
    return lower_planned(input, [only], cval, output, check_accuracy(accuracy))


def _lower_gaussian_filter(
    input: Any,
    sigma: Any,
    order: Any = 0,
    output: Any = None,
    mode: Any = "reflect",
    cval: Any = 0.0,
    truncate: Any = 4.0,
    *,
    radius: Any = None,
    axes: Any = None,
    accuracy: Any = DEFAULT,
) -> Call:
    input = check_input(input)
    passes = _gaussian_passes(input, sigma, order, mode, truncate, radius, axes)
    return lower_planned(input, passes, cval, output, check_accuracy(accuracy))


@overload
def gaussian_filter1d(
    input: NDArray[Element],
    sigma: Real,
    axis: Integer = -1,
    order: Integer = 0,
    output: None = None,
    mode: EdgeMode = "reflect",
    cval: Number = 0.0,
    truncate: Real = 4.0,
    *,
    radius: Integer | None = None,
    accuracy: Accuracy = "default",
) -> NDArray[Element]: ...
@overload
def gaussian_filter1d(
    input: OnDevice,
    sigma: Real,
    axis: Integer = -1,
    order: Integer = 0,
    output: OnDevice | DTypeLike | None = None,
    mode: EdgeMode = "reflect",
    cval: Number = 0.0,
    truncate: Real = 4.0,
    *,
    radius: Integer | None = None,
    accuracy: Accuracy = "default",
) -> OnDevice: ...
@overload
def gaussian_filter1d(
    input: RealArrayLike,
    sigma: Real,
    axis: Integer = -1,
    order: Integer = 0,
    *,
    output: Into[Element],
    mode: EdgeMode = "reflect",
    cval: Number = 0.0,
    truncate: Real = 4.0,
    radius: Integer | None = None,
    accuracy: Accuracy = "default",
) -> NDArray[Element]: ...
@overload
def gaussian_filter1d(
    input: ArrayLike,
    sigma: Real,
    axis: Integer = -1,
    order: Integer = 0,
    output: Output = None,
    mode: EdgeMode = "reflect",
    cval: Number = 0.0,
    truncate: Real = 4.0,
    *,
    radius: Integer | None = None,
    accuracy: Accuracy = "default",
) -> NDArray[Any]: ...
@lowered_by(_lower_gaussian_filter1d)
def gaussian_filter1d(
    input: Data,
    sigma: Real,
    axis: Integer = -1,
    order: Integer = 0,
    output: Output | DeviceArray = None,
    mode: EdgeMode = "reflect",
    cval: Number = 0.0,
    truncate: Real = 4.0,
    *,
    radius: Integer | None = None,
    accuracy: Accuracy = "default",
) -> Array:
    """
    Smooth along one axis by a Gaussian, or take a derivative of it.

    Parameters
    ----------
    input : array_like
        The data: booleans, integers, float32, float64 or their complex kinds, with any number of
        axes.
    sigma : float
        Standard deviation in samples.
    axis : int, optional
        The axis to filter along; the last by default.
    order : int, optional
        0 smooths; a positive order takes that derivative of the Gaussian.
    output : ndarray or dtype_like, optional
        Where to write the result (of the input's shape; it may be the input itself), or its dtype;
        the input's dtype by default.
    mode : str, optional
        What lies beyond the edge: 'reflect' (the mirror image with the edge repeated;
        'grid-mirror' is a synonym), 'constant' (`cval`; 'grid-constant'), 'nearest' (the edge),
        'mirror' (the mirror image without the edge repeated) or 'wrap' (the other side;
        'grid-wrap').
    cval : scalar, optional
        The value beyond the edge for mode 'constant'.
    truncate : float, optional
        Where the filter ends, in standard deviations.
    radius : int, optional
        Where the filter ends, in samples; it has ``2 * radius + 1`` taps. Overrides `truncate`.
    accuracy : {'default', 'direct'} or float, optional
        As in `correlate`.

    Returns
    -------
    ndarray
        The filtered data, of the input's shape; `output` itself where it is an array.

    Raises
    ------
    RuntimeError
        For an unknown mode, an output of the wrong shape, a dtype that is not supported.
    ValueError
        For a negative order, a radius that is no non-negative integer, an axis out of range, or an
        output that is read-only.
    TypeError
        For axes or a `cval` of the wrong type.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.ndimage.gaussian_filter1d([1.0, 2.0, 3.0, 4.0, 5.0], 1).round(3)
    array([1.427, 2.068, 3.   , 3.932, 4.573])
    """
    array = check_input(input)
    only = _gaussian_pass(-1, sigma, order, mode, truncate, radius)
    bound = check_accuracy(accuracy)
    return _correlate_line(array, only.taps, axis, output, mode, cval, 0, bound)


@overload
def gaussian_filter(
    input: NDArray[Element],
    sigma: EachReal,
    order: Each = 0,
    output: None = None,
    mode: EdgeModes = "reflect",
    cval: Number = 0.0,
    truncate: Real = 4.0,
    *,
    radius: Each | None = None,
    axes: Each | None = None,
    accuracy: Accuracy = "default",
) -> NDArray[Element]: ...
@overload
def gaussian_filter(
    input: OnDevice,
    sigma: EachReal,
    order: Each = 0,
    output: OnDevice | DTypeLike | None = None,
    mode: EdgeModes = "reflect",
    cval: Number = 0.0,
    truncate: Real = 4.0,
    *,
    radius: Each | None = None,
    axes: Each | None = None,
    accuracy: Accuracy = "default",
) -> OnDevice: ...
@overload
def gaussian_filter(
    input: ArrayLike,
    sigma: EachReal,
    order: Each = 0,
    *,
    output: Into[Element],
    mode: EdgeModes = "reflect",
    cval: Number = 0.0,
    truncate: Real = 4.0,
    radius: Each | None = None,
    axes: Each | None = None,
    accuracy: Accuracy = "default",
) -> NDArray[Element]: ...
@overload
def gaussian_filter(
    input: ArrayLike,
    sigma: EachReal,
    order: Each = 0,
    output: Output = None,
    mode: EdgeModes = "reflect",
    cval: Number = 0.0,
    truncate: Real = 4.0,
    *,
    radius: Each | None = None,
    axes: Each | None = None,
    accuracy: Accuracy = "default",
) -> NDArray[Any]: ...
@lowered_by(_lower_gaussian_filter)
def gaussian_filter(
    input: Data,
    sigma: EachReal,
    order: Each = 0,
    output: Output | DeviceArray = None,
    mode: EdgeModes = "reflect",
    cval: Number = 0.0,
    truncate: Real = 4.0,
    *,
    radius: Each | None = None,
    axes: Each | None = None,
    accuracy: Accuracy = "default",
) -> Array:
    """
    Smooth by a Gaussian, or take derivatives of it.

    Parameters
    ----------
    input : array_like
        The data: booleans, integers, float32, float64 or their complex kinds, with any number of
        axes.
    sigma : float or sequence of float
        Standard deviation in samples, for all axes or for each; an axis with 0 is left alone.
    order : int or sequence of int, optional
        0 smooths; a positive order takes that derivative of the Gaussian.
    output : ndarray or dtype_like, optional
        Where to write the result (of the input's shape; it may be the input itself), or its dtype;
        the input's dtype by default.
    mode : str or sequence of str, optional
        What lies beyond the edge: 'reflect' (the mirror image with the edge repeated;
        'grid-mirror' is a synonym), 'constant' (`cval`; 'grid-constant'), 'nearest' (the edge),
        'mirror' (the mirror image without the edge repeated) or 'wrap' (the other side;
        'grid-wrap'). A sequence gives one an axis that is filtered.
    cval : scalar, optional
        The value beyond the edge for mode 'constant'.
    truncate : float, optional
        Where the filter ends, in standard deviations.
    radius : int or sequence of int, optional
        Where the filter ends, in samples; it has ``2 * radius + 1`` taps. Overrides `truncate`.
    axes : int or sequence of int, optional
        The axes to filter along; all by default.
    accuracy : {'default', 'direct'} or float, optional
        As in `correlate`; 'direct' takes passes of plain sums, a number also allows the FFT, whose
        errors follow the norms of whole blocks.

    Returns
    -------
    ndarray
        The filtered data, of the input's shape; `output` itself where it is an array.

    Raises
    ------
    RuntimeError
        For an unknown mode, an output of the wrong shape, a dtype that is not supported, or a
        sequence of the wrong length.
    ValueError
        For a negative order, a radius that is no non-negative integer, axes out of range, or an
        output that is read-only.
    TypeError
        For axes or a `cval` of the wrong type.

    Notes
    -----
    The passes along the axes go over blocks that stay in the cache. Floats are rounded after the
    last pass, integers cut after every one, as in SciPy; so are floats of up to 4096 elements
    rounded.

    Examples
    --------
    >>> import fastconv, numpy as np
    >>> fastconv.ndimage.gaussian_filter(np.arange(50, step=2).reshape(5, 5), sigma=1)
    array([[ 4,  6,  8,  9, 11],
           [10, 12, 14, 15, 17],
           [20, 22, 24, 25, 27],
           [29, 31, 33, 34, 36],
           [35, 37, 39, 40, 42]])
    """
    array = check_input(input)
    result = make_output(output, array, complex_output=False)
    passes = _gaussian_passes(array, sigma, order, mode, truncate, radius, axes)
    run_passes(array, result, passes, cval, check_accuracy(accuracy))
    return result


# --- means ----------------------------------------------------------------------------------------


def _mean_pass(input: Any, size: Any, axis: Any, mode: Any, origin: Any) -> Pass:
    axis = normalize_axis_index(axis, len(input.shape))
    if size < 1:
        raise RuntimeError(f"incorrect filter size: {size}")
    size, origin = operator.index(size), operator.index(origin)
    if not 0 <= size // 2 + origin < size:
        raise ValueError(f"invalid origin: {origin} for size {size}")
    return _kept_mean_pass(axis, size, check_mode(mode), origin)


@functools.lru_cache(maxsize=256)
def _kept_mean_pass(axis: int, size: int, boundary: Boundary, origin: int) -> Pass:
    taps = np.full(size, 1 / size)
    return Pass(axis, taps, boundary, origin, mean=True, kept=size <= _KEPT_TAPS)


def _mean_passes(input: Any, size: Any, mode: Any, origin: Any, axes: Any) -> list[Pass]:
    chosen = check_axes(axes, len(input.shape))
    count = len(chosen)
    given = zip(
        chosen,
        each(size, count, "size"),
        each(mode, count, "mode"),
        each(origin, count, "origin"),
        strict=True,
    )
    return [_mean_pass(input, int(n), a, m, o) for a, n, m, o in given if n > 1]


def _lower_uniform_filter1d(
    input: Any,
    size: Any,
    axis: Any = -1,
    output: Any = None,
    mode: Any = "reflect",
    cval: Any = 0.0,
    origin: Any = 0,
    *,
    accuracy: Any = DEFAULT,
) -> Call:
    input = check_input(input)
    only = _mean_pass(input, size, axis, mode, origin)
    return lower_planned(input, [only], cval, output, check_accuracy(accuracy))


def _lower_uniform_filter(
    input: Any,
    size: Any = 3,
    output: Any = None,
    mode: Any = "reflect",
    cval: Any = 0.0,
    origin: Any = 0,
    *,
    axes: Any = None,
    accuracy: Any = DEFAULT,
) -> Call:
    input = check_input(input)
    passes = _mean_passes(input, size, mode, origin, axes)
    return lower_planned(input, passes, cval, output, check_accuracy(accuracy))


@overload
def uniform_filter1d(
    input: NDArray[Element],
    size: Integer,
    axis: Integer = -1,
    output: None = None,
    mode: EdgeMode = "reflect",
    cval: Number = 0.0,
    origin: Integer = 0,
    *,
    accuracy: Accuracy = "default",
) -> NDArray[Element]: ...
@overload
def uniform_filter1d(
    input: OnDevice,
    size: Integer,
    axis: Integer = -1,
    output: OnDevice | DTypeLike | None = None,
    mode: EdgeMode = "reflect",
    cval: Number = 0.0,
    origin: Integer = 0,
    *,
    accuracy: Accuracy = "default",
) -> OnDevice: ...
@overload
def uniform_filter1d(
    input: RealArrayLike,
    size: Integer,
    axis: Integer = -1,
    *,
    output: Into[Element],
    mode: EdgeMode = "reflect",
    cval: Number = 0.0,
    origin: Integer = 0,
    accuracy: Accuracy = "default",
) -> NDArray[Element]: ...
@overload
def uniform_filter1d(
    input: ArrayLike,
    size: Integer,
    axis: Integer = -1,
    output: Output = None,
    mode: EdgeMode = "reflect",
    cval: Number = 0.0,
    origin: Integer = 0,
    *,
    accuracy: Accuracy = "default",
) -> NDArray[Any]: ...
@lowered_by(_lower_uniform_filter1d)
def uniform_filter1d(
    input: Data,
    size: Integer,
    axis: Integer = -1,
    output: Output | DeviceArray = None,
    mode: EdgeMode = "reflect",
    cval: Number = 0.0,
    origin: Integer = 0,
    *,
    accuracy: Accuracy = "default",
) -> Array:
    """
    Take the mean of neighbours along one axis.

    Parameters
    ----------
    input : array_like
        The data: booleans, integers, float32, float64 or their complex kinds, with any number of
        axes.
    size : int
        Number of neighbours.
    axis : int, optional
        The axis to filter along; the last by default.
    output : ndarray or dtype_like, optional
        Where to write the result (of the input's shape; it may be the input itself), or its dtype;
        the input's dtype by default.
    mode : str, optional
        What lies beyond the edge: 'reflect' (the mirror image with the edge repeated;
        'grid-mirror' is a synonym), 'constant' (`cval`; 'grid-constant'), 'nearest' (the edge),
        'mirror' (the mirror image without the edge repeated) or 'wrap' (the other side;
        'grid-wrap').
    cval : scalar, optional
        The value beyond the edge for mode 'constant'.
    origin : int, optional
        Shift of the filter: positive ones move it to the left, 0 centres it.
    accuracy : {'default', 'direct'} or float, optional
        As in `correlate`.

    Returns
    -------
    ndarray
        The filtered data, of the input's shape; `output` itself where it is an array.

    Raises
    ------
    RuntimeError
        For an unknown mode, an output of the wrong shape, a dtype that is not supported, or a size
        less than 1.
    ValueError
        For an origin or axes that are out of range, or an output that is read-only.
    TypeError
        For axes or a `cval` of the wrong type.

    Notes
    -----
    Sums of 1, 2, 4 … neighbours are made from each other, so that the time grows with the logarithm
    of the size, rounding errors do not drift along a line, and a NaN or Inf touches only the means
    of windows that hold it (SciPy's running sum carries it on to the end of the line).

    Examples
    --------
    >>> import fastconv
    >>> fastconv.ndimage.uniform_filter1d([2, 8, 0, 4, 1, 9, 9, 0], size=3)
    array([4, 3, 4, 1, 4, 6, 6, 3])
    """
    array = check_input(input)
    only = _mean_pass(array, size, axis, mode, origin)
    result = make_output(output, array, array.dtype.kind == "c")
    run_passes(array, result, [only], cval, check_accuracy(accuracy))
    return result


@overload
def uniform_filter(
    input: NDArray[Element],
    size: Each = 3,
    output: None = None,
    mode: EdgeModes = "reflect",
    cval: Number = 0.0,
    origin: Each = 0,
    *,
    axes: Each | None = None,
    accuracy: Accuracy = "default",
) -> NDArray[Element]: ...
@overload
def uniform_filter(
    input: OnDevice,
    size: Each = 3,
    output: OnDevice | DTypeLike | None = None,
    mode: EdgeModes = "reflect",
    cval: Number = 0.0,
    origin: Each = 0,
    *,
    axes: Each | None = None,
    accuracy: Accuracy = "default",
) -> OnDevice: ...
@overload
def uniform_filter(
    input: RealArrayLike,
    size: Each = 3,
    *,
    output: Into[Element],
    mode: EdgeModes = "reflect",
    cval: Number = 0.0,
    origin: Each = 0,
    axes: Each | None = None,
    accuracy: Accuracy = "default",
) -> NDArray[Element]: ...
@overload
def uniform_filter(
    input: ArrayLike,
    size: Each = 3,
    output: Output = None,
    mode: EdgeModes = "reflect",
    cval: Number = 0.0,
    origin: Each = 0,
    *,
    axes: Each | None = None,
    accuracy: Accuracy = "default",
) -> NDArray[Any]: ...
@lowered_by(_lower_uniform_filter)
def uniform_filter(
    input: Data,
    size: Each = 3,
    output: Output | DeviceArray = None,
    mode: EdgeModes = "reflect",
    cval: Number = 0.0,
    origin: Each = 0,
    *,
    axes: Each | None = None,
    accuracy: Accuracy = "default",
) -> Array:
    """
    Take the mean of a box of neighbours.

    Parameters
    ----------
    input : array_like
        The data: booleans, integers, float32, float64 or their complex kinds, with any number of
        axes.
    size : int or sequence of int, optional
        Number of neighbours, for all axes or for each.
    output : ndarray or dtype_like, optional
        Where to write the result (of the input's shape; it may be the input itself), or its dtype;
        the input's dtype by default.
    mode : str or sequence of str, optional
        What lies beyond the edge: 'reflect' (the mirror image with the edge repeated;
        'grid-mirror' is a synonym), 'constant' (`cval`; 'grid-constant'), 'nearest' (the edge),
        'mirror' (the mirror image without the edge repeated) or 'wrap' (the other side;
        'grid-wrap'). A sequence gives one an axis that is filtered.
    cval : scalar, optional
        The value beyond the edge for mode 'constant'.
    origin : int or sequence of int, optional
        Shift of the filter: positive ones move it to the left, 0 centres it; one for all axes or
        one an axis.
    axes : int or sequence of int, optional
        The axes to filter along; all by default.
    accuracy : {'default', 'direct'} or float, optional
        As in `correlate`.

    Returns
    -------
    ndarray
        The filtered data, of the input's shape; `output` itself where it is an array.

    Raises
    ------
    RuntimeError
        For an unknown mode, an output of the wrong shape, a dtype that is not supported, or a
        sequence of the wrong length.
    ValueError
        For an origin or axes that are out of range, or an output that is read-only.
    TypeError
        For axes or a `cval` of the wrong type.

    Notes
    -----
    Sums of 1, 2, 4 … neighbours are made from each other, so that the time grows with the logarithm
    of the size, rounding errors do not drift along a line, and a NaN or Inf touches only the means
    of windows that hold it (SciPy's running sum carries it on to the end of the line).

    Examples
    --------
    >>> import fastconv, numpy as np
    >>> fastconv.ndimage.uniform_filter(np.eye(3), size=3).round(2)
    array([[0.56, 0.33, 0.11],
           [0.33, 0.33, 0.33],
           [0.11, 0.33, 0.56]])
    """
    array = check_input(input)
    result = make_output(output, array, array.dtype.kind == "c")
    passes = _mean_passes(array, size, mode, origin, axes)
    run_passes(array, result, passes, cval, check_accuracy(accuracy))
    return result


# --- derivatives ----------------------------------------------------------------------------------

_DIFFERENCE = (-1.0, 0.0, 1.0)
_SECOND_DIFFERENCE = (1.0, -2.0, 1.0)
_SOBEL = (1.0, 2.0, 1.0)
_PREWITT = (1.0, 1.0, 1.0)


def _difference_passes(input: Any, axis: Any, mode: Any, smoother: tuple[float, ...]) -> list[Pass]:
    """Differences along one axis, then sums along the others."""
    ndim = len(input.shape)
    axis = normalize_axis_index(axis, ndim)
    boundaries = [check_mode(m) for m in each(mode, ndim, "mode")]
    others = [a for a in range(ndim) if a != axis]
    return [
        _kept_pass(axis, _DIFFERENCE, boundaries[axis]),
        *(_kept_pass(a, smoother, boundaries[a]) for a in others),
    ]


@functools.lru_cache(maxsize=256)
def _kept_pass(axis: int, taps: tuple[float, ...], boundary: Boundary) -> Pass:
    return Pass(axis, np.array(taps), boundary, kept=True)


def _difference_filter(
    input: Any,
    axis: Any,
    output: Any,
    mode: Any,
    cval: Any,
    smoother: tuple[float, ...],
    accuracy: Any,
) -> np.ndarray:
    array = check_input(input)
    passes = _difference_passes(array, axis, mode, smoother)
    result = make_output(output, array, complex_output=False)
    run_passes(array, result, passes, cval, check_accuracy(accuracy))
    return result


def _lower_prewitt(
    input: Any,
    axis: Any = -1,
    output: Any = None,
    mode: Any = "reflect",
    cval: Any = 0.0,
    *,
    accuracy: Any = DEFAULT,
) -> Call:
    input = check_input(input)
    passes = _difference_passes(input, axis, mode, _PREWITT)
    return lower_planned(input, passes, cval, output, check_accuracy(accuracy))


def _lower_sobel(
    input: Any,
    axis: Any = -1,
    output: Any = None,
    mode: Any = "reflect",
    cval: Any = 0.0,
    *,
    accuracy: Any = DEFAULT,
) -> Call:
    input = check_input(input)
    passes = _difference_passes(input, axis, mode, _SOBEL)
    return lower_planned(input, passes, cval, output, check_accuracy(accuracy))


@overload
def prewitt(
    input: NDArray[Element],
    axis: Integer = -1,
    output: None = None,
    mode: EdgeModes = "reflect",
    cval: Number = 0.0,
    *,
    accuracy: Accuracy = "default",
) -> NDArray[Element]: ...
@overload
def prewitt(
    input: OnDevice,
    axis: Integer = -1,
    output: OnDevice | DTypeLike | None = None,
    mode: EdgeModes = "reflect",
    cval: Number = 0.0,
    *,
    accuracy: Accuracy = "default",
) -> OnDevice: ...
@overload
def prewitt(
    input: ArrayLike,
    axis: Integer = -1,
    *,
    output: Into[Element],
    mode: EdgeModes = "reflect",
    cval: Number = 0.0,
    accuracy: Accuracy = "default",
) -> NDArray[Element]: ...
@overload
def prewitt(
    input: ArrayLike,
    axis: Integer = -1,
    output: Output = None,
    mode: EdgeModes = "reflect",
    cval: Number = 0.0,
    *,
    accuracy: Accuracy = "default",
) -> NDArray[Any]: ...
@lowered_by(_lower_prewitt)
def prewitt(
    input: Data,
    axis: Integer = -1,
    output: Output | DeviceArray = None,
    mode: EdgeModes = "reflect",
    cval: Number = 0.0,
    *,
    accuracy: Accuracy = "default",
) -> Array:
    """
    Take the derivative along one axis by Prewitt's filter.

    Parameters
    ----------
    input : array_like
        The data: booleans, integers, float32, float64 or their complex kinds, with any number of
        axes.
    axis : int, optional
        The axis to take it along; the last by default.
    output : ndarray or dtype_like, optional
        Where to write the result (of the input's shape; it may be the input itself), or its dtype;
        the input's dtype by default.
    mode : str or sequence of str, optional
        What lies beyond the edge: 'reflect' (the mirror image with the edge repeated;
        'grid-mirror' is a synonym), 'constant' (`cval`; 'grid-constant'), 'nearest' (the edge),
        'mirror' (the mirror image without the edge repeated) or 'wrap' (the other side;
        'grid-wrap'). A sequence gives one an axis that is filtered.
    cval : scalar, optional
        The value beyond the edge for mode 'constant'.
    accuracy : {'default', 'direct'} or float, optional
        As in `correlate`.

    Returns
    -------
    ndarray
        The filtered data, of the input's shape; `output` itself where it is an array.

    Raises
    ------
    RuntimeError
        For an unknown mode, an output of the wrong shape, a dtype that is not supported, or a
        sequence of the wrong length.
    ValueError
        For an origin or axes that are out of range, or an output that is read-only.
    TypeError
        For axes or a `cval` of the wrong type.

    Examples
    --------
    >>> import fastconv, numpy as np
    >>> fastconv.ndimage.prewitt(np.array([[1.0, 2.0, 4.0], [1.0, 2.0, 4.0]]))
    array([[3., 9., 6.],
           [3., 9., 6.]])
    """
    return _difference_filter(input, axis, output, mode, cval, _PREWITT, accuracy)


@overload
def sobel(
    input: NDArray[Element],
    axis: Integer = -1,
    output: None = None,
    mode: EdgeModes = "reflect",
    cval: Number = 0.0,
    *,
    accuracy: Accuracy = "default",
) -> NDArray[Element]: ...
@overload
def sobel(
    input: OnDevice,
    axis: Integer = -1,
    output: OnDevice | DTypeLike | None = None,
    mode: EdgeModes = "reflect",
    cval: Number = 0.0,
    *,
    accuracy: Accuracy = "default",
) -> OnDevice: ...
@overload
def sobel(
    input: ArrayLike,
    axis: Integer = -1,
    *,
    output: Into[Element],
    mode: EdgeModes = "reflect",
    cval: Number = 0.0,
    accuracy: Accuracy = "default",
) -> NDArray[Element]: ...
@overload
def sobel(
    input: ArrayLike,
    axis: Integer = -1,
    output: Output = None,
    mode: EdgeModes = "reflect",
    cval: Number = 0.0,
    *,
    accuracy: Accuracy = "default",
) -> NDArray[Any]: ...
@lowered_by(_lower_sobel)
def sobel(
    input: Data,
    axis: Integer = -1,
    output: Output | DeviceArray = None,
    mode: EdgeModes = "reflect",
    cval: Number = 0.0,
    *,
    accuracy: Accuracy = "default",
) -> Array:
    """
    Take the derivative along one axis by Sobel's filter.

    Parameters
    ----------
    input : array_like
        The data: booleans, integers, float32, float64 or their complex kinds, with any number of
        axes.
    axis : int, optional
        The axis to take it along; the last by default.
    output : ndarray or dtype_like, optional
        Where to write the result (of the input's shape; it may be the input itself), or its dtype;
        the input's dtype by default.
    mode : str or sequence of str, optional
        What lies beyond the edge: 'reflect' (the mirror image with the edge repeated;
        'grid-mirror' is a synonym), 'constant' (`cval`; 'grid-constant'), 'nearest' (the edge),
        'mirror' (the mirror image without the edge repeated) or 'wrap' (the other side;
        'grid-wrap'). A sequence gives one an axis that is filtered.
    cval : scalar, optional
        The value beyond the edge for mode 'constant'.
    accuracy : {'default', 'direct'} or float, optional
        As in `correlate`.

    Returns
    -------
    ndarray
        The filtered data, of the input's shape; `output` itself where it is an array.

    Raises
    ------
    RuntimeError
        For an unknown mode, an output of the wrong shape, a dtype that is not supported, or a
        sequence of the wrong length.
    ValueError
        For an origin or axes that are out of range, or an output that is read-only.
    TypeError
        For axes or a `cval` of the wrong type.

    Examples
    --------
    >>> import fastconv, numpy as np
    >>> fastconv.ndimage.sobel(np.array([[1.0, 2.0, 4.0], [1.0, 2.0, 4.0]]))
    array([[ 4., 12.,  8.],
           [ 4., 12.,  8.]])
    """
    return _difference_filter(input, axis, output, mode, cval, _SOBEL, accuracy)


def _filter_generic(
    input: Any,
    derivative: Callable[..., Any],
    output: Any,
    mode: Any,
    cval: Any,
    extra_arguments: Sequence[Any],
    extra_keywords: Mapping[str, Any] | None,
    axes: Any,
    accuracy: Any,
    square: bool,
) -> np.ndarray:
    """Sum a derivative along each axis, or its square; the root of that is the caller's."""
    asked = {} if check_accuracy(accuracy) is None else {"accuracy": accuracy}
    if not hasattr(derivative, "__lower__"):  # no filter of ours
        asked = {}
    array = as_numbers(input)
    with _devices.on(_devices.of(array)):
        result = make_output(output, array, complex_output=False)
        if result is not output:
            result[...] = 0  # the callback may read it
        return _add_derivatives(
            array,
            derivative,
            result,
            mode,
            cval,
            extra_arguments,
            {**asked, **(extra_keywords or {})},
            axes,
            square,
        )


def _add_derivatives(
    array: Any,
    derivative: Callable[..., Any],
    result: np.ndarray,
    mode: Any,
    cval: Any,
    extra_arguments: Sequence[Any],
    extra_keywords: dict[str, Any],
    axes: Any,
    square: bool,
) -> np.ndarray:
    """Add to the result what each derivative gives, or its square."""
    chosen = check_axes(axes, array.ndim)
    if not chosen:
        result[...] = array
        return result
    modes = each(mode, len(chosen), "mode")
    # Each derivative is of the input, which the result may overwrite.
    source = array.copy() if may_overlap(array, result) and len(chosen) > 1 else array
    for number, (axis, rule) in enumerate(zip(chosen, modes, strict=True)):
        target = result if number == 0 else result.dtype
        term = derivative(source, axis, target, rule, cval, *extra_arguments, **extra_keywords)
        if number == 0:
            term = result
        if square:
            np.multiply(term, term, term)
        if number > 0:
            result += term
    return result


@overload
def generic_laplace(
    input: NDArray[Element],
    derivative2: Callable[..., Any],
    output: None = None,
    mode: EdgeModes = "reflect",
    cval: Number = 0.0,
    extra_arguments: Sequence[Any] = (),
    extra_keywords: Mapping[str, Any] | None = None,
    *,
    axes: Each | None = None,
    accuracy: Accuracy = "default",
) -> NDArray[Element]: ...
@overload
def generic_laplace(
    input: OnDevice,
    derivative2: Callable[..., Any],
    output: OnDevice | DTypeLike | None = None,
    mode: EdgeModes = "reflect",
    cval: Number = 0.0,
    extra_arguments: Sequence[Any] = (),
    extra_keywords: Mapping[str, Any] | None = None,
    *,
    axes: Each | None = None,
    accuracy: Accuracy = "default",
) -> OnDevice: ...
@overload
def generic_laplace(
    input: ArrayLike,
    derivative2: Callable[..., Any],
    output: Into[Element],
    mode: EdgeModes = "reflect",
    cval: Number = 0.0,
    extra_arguments: Sequence[Any] = (),
    extra_keywords: Mapping[str, Any] | None = None,
    *,
    axes: Each | None = None,
    accuracy: Accuracy = "default",
) -> NDArray[Element]: ...
@overload
def generic_laplace(
    input: ArrayLike,
    derivative2: Callable[..., Any],
    output: Output = None,
    mode: EdgeModes = "reflect",
    cval: Number = 0.0,
    extra_arguments: Sequence[Any] = (),
    extra_keywords: Mapping[str, Any] | None = None,
    *,
    axes: Each | None = None,
    accuracy: Accuracy = "default",
) -> NDArray[Any]: ...
def generic_laplace(
    input: Data,
    derivative2: Callable[..., Any],
    output: Output | DeviceArray = None,
    mode: EdgeModes = "reflect",
    cval: Number = 0.0,
    extra_arguments: Sequence[Any] = (),
    extra_keywords: Mapping[str, Any] | None = None,
    *,
    axes: Each | None = None,
    accuracy: Accuracy = "default",
) -> Array:
    """
    Sum second derivatives of your own along the axes.

    Parameters
    ----------
    input : array_like
        The data: booleans, integers, float32, float64 or their complex kinds, with any number of
        axes.
    derivative2 : callable
        ``derivative2(input, axis, output, mode, cval, *extra_arguments, **extra_keywords)`` filters
        along one axis.
    output : ndarray or dtype_like, optional
        Where to write the result (of the input's shape; it may be the input itself), or its dtype;
        the input's dtype by default.
    mode : str or sequence of str, optional
        What lies beyond the edge: 'reflect' (the mirror image with the edge repeated;
        'grid-mirror' is a synonym), 'constant' (`cval`; 'grid-constant'), 'nearest' (the edge),
        'mirror' (the mirror image without the edge repeated) or 'wrap' (the other side;
        'grid-wrap'). A sequence gives one an axis that is filtered.
    cval : scalar, optional
        The value beyond the edge for mode 'constant'.
    extra_arguments : sequence, optional
        Further positional arguments of the derivative.
    extra_keywords : dict, optional
        Further keyword arguments of the derivative.
    axes : int or sequence of int, optional
        The axes to filter along; all by default.
    accuracy : {'default', 'direct'} or float, optional
        As in `correlate`, of each derivative by a filter of this module, to which it is handed on;
        a callable of your own does as it will.

    Returns
    -------
    ndarray
        The filtered data, of the input's shape; `output` itself where it is an array.

    Raises
    ------
    RuntimeError
        For an unknown mode, an output of the wrong shape, a dtype that is not supported, or a
        sequence of the wrong length.
    ValueError
        For an origin or axes that are out of range, or an output that is read-only.
    TypeError
        For axes or a `cval` of the wrong type.

    Notes
    -----
    The derivatives are all of the input, even where `output` is the input (SciPy's are then of
    what it wrote).

    Examples
    --------
    >>> import fastconv, numpy as np
    >>> def derivative2(input, axis, output, mode, cval):
    ...     return fastconv.ndimage.correlate1d(input, [1, -2, 1], axis, output, mode, cval)
    >>> fastconv.ndimage.generic_laplace(np.eye(3), derivative2)
    array([[-2.,  2.,  0.],
           [ 2., -4.,  2.],
           [ 0.,  2., -2.]])
    """
    return _filter_generic(
        input,
        derivative2,
        output,
        mode,
        cval,
        extra_arguments,
        extra_keywords,
        axes,
        accuracy,
        False,
    )


@overload
def generic_gradient_magnitude(
    input: NDArray[Element],
    derivative: Callable[..., Any],
    output: None = None,
    mode: EdgeModes = "reflect",
    cval: Number = 0.0,
    extra_arguments: Sequence[Any] = (),
    extra_keywords: Mapping[str, Any] | None = None,
    *,
    axes: Each | None = None,
    accuracy: Accuracy = "default",
) -> NDArray[Element]: ...
@overload
def generic_gradient_magnitude(
    input: OnDevice,
    derivative: Callable[..., Any],
    output: OnDevice | DTypeLike | None = None,
    mode: EdgeModes = "reflect",
    cval: Number = 0.0,
    extra_arguments: Sequence[Any] = (),
    extra_keywords: Mapping[str, Any] | None = None,
    *,
    axes: Each | None = None,
    accuracy: Accuracy = "default",
) -> OnDevice: ...
@overload
def generic_gradient_magnitude(
    input: ArrayLike,
    derivative: Callable[..., Any],
    output: Into[Element],
    mode: EdgeModes = "reflect",
    cval: Number = 0.0,
    extra_arguments: Sequence[Any] = (),
    extra_keywords: Mapping[str, Any] | None = None,
    *,
    axes: Each | None = None,
    accuracy: Accuracy = "default",
) -> NDArray[Element]: ...
@overload
def generic_gradient_magnitude(
    input: ArrayLike,
    derivative: Callable[..., Any],
    output: Output = None,
    mode: EdgeModes = "reflect",
    cval: Number = 0.0,
    extra_arguments: Sequence[Any] = (),
    extra_keywords: Mapping[str, Any] | None = None,
    *,
    axes: Each | None = None,
    accuracy: Accuracy = "default",
) -> NDArray[Any]: ...
def generic_gradient_magnitude(
    input: Data,
    derivative: Callable[..., Any],
    output: Output | DeviceArray = None,
    mode: EdgeModes = "reflect",
    cval: Number = 0.0,
    extra_arguments: Sequence[Any] = (),
    extra_keywords: Mapping[str, Any] | None = None,
    *,
    axes: Each | None = None,
    accuracy: Accuracy = "default",
) -> Array:
    """
    Take the length of the gradient, by derivatives of your own along the axes.

    Parameters
    ----------
    input : array_like
        The data: booleans, integers, float32, float64 or their complex kinds, with any number of
        axes.
    derivative : callable
        ``derivative(input, axis, output, mode, cval, *extra_arguments, **extra_keywords)`` filters
        along one axis.
    output : ndarray or dtype_like, optional
        Where to write the result (of the input's shape; it may be the input itself), or its dtype;
        the input's dtype by default.
    mode : str or sequence of str, optional
        What lies beyond the edge: 'reflect' (the mirror image with the edge repeated;
        'grid-mirror' is a synonym), 'constant' (`cval`; 'grid-constant'), 'nearest' (the edge),
        'mirror' (the mirror image without the edge repeated) or 'wrap' (the other side;
        'grid-wrap'). A sequence gives one an axis that is filtered.
    cval : scalar, optional
        The value beyond the edge for mode 'constant'.
    extra_arguments : sequence, optional
        Further positional arguments of the derivative.
    extra_keywords : dict, optional
        Further keyword arguments of the derivative.
    axes : int or sequence of int, optional
        The axes to filter along; all by default.
    accuracy : {'default', 'direct'} or float, optional
        As in `generic_laplace`.

    Returns
    -------
    ndarray
        The filtered data, of the input's shape; `output` itself where it is an array.

    Raises
    ------
    RuntimeError
        For an unknown mode, an output of the wrong shape, a dtype that is not supported, or a
        sequence of the wrong length.
    ValueError
        For an origin or axes that are out of range, or an output that is read-only.
    TypeError
        For axes or a `cval` of the wrong type.

    Notes
    -----
    The derivatives are all of the input, even where `output` is the input (SciPy's are then of
    what it wrote).

    Examples
    --------
    >>> import fastconv, numpy as np
    >>> fastconv.ndimage.generic_gradient_magnitude(np.eye(3), fastconv.ndimage.sobel).round(2)
    array([[2.83, 3.16, 1.41],
           [3.16, 0.  , 3.16],
           [1.41, 3.16, 2.83]])
    """
    result = _filter_generic(
        input, derivative, output, mode, cval, extra_arguments, extra_keywords, axes, accuracy, True
    )
    if check_axes(axes, result.ndim):
        with _devices.on(_devices.of(result)):
            np.sqrt(result, result, casting="unsafe")
    return result


# Along more axes the cross would be a small part of its kernel.
_CROSS_AXES = 3


def _cross(input: Any, axes: tuple[int, ...]) -> np.ndarray:
    """Return the kernel that sums second differences along the axes."""
    ndim = len(input.shape)
    w = np.zeros([3 if a in axes else 1 for a in range(ndim)])
    for a in axes:
        line = [slice(None) if b == a else n // 2 for b, n in enumerate(w.shape)]
        w[tuple(line)] += _SECOND_DIFFERENCE
    return w


def _is_one_sum(source: np.dtype[Any], result: np.dtype[Any], cval: Any) -> bool:
    """Whether cutting a sum of whole terms is what cutting and wrapping each of them gives."""
    narrow = source.kind in "biu" and source.itemsize <= 2
    return result.kind == "f" or (result.kind in "iu" and narrow and check_cval(cval).is_integer())


def _lower_laplace(
    input: Any,
    output: Any = None,
    mode: Any = "reflect",
    cval: Any = 0.0,
    *,
    axes: Any = None,
    accuracy: Any = DEFAULT,
) -> Call:
    input = check_input(input)
    check_plannable(input, output)
    chosen = check_axes(axes, len(input.shape))
    result = result_dtype(output, input, complex_output=False)
    boundaries = {check_mode(m) for m in each(mode, len(chosen), "mode")}
    one = len(boundaries) == 1 and len(chosen) <= _CROSS_AXES
    if not one or not _is_one_sum(input.dtype, result, cval):
        raise ValueError("a filter an axis, not one: there is nothing to plan")
    w = _cross(input, chosen)
    offset = [-(n // 2) for n in w.shape]
    bound = check_accuracy(accuracy)
    return lower_dense(input, w, offset, boundaries.pop(), check_cval(cval), result, True, bound)


@overload
def laplace(
    input: NDArray[Element],
    output: None = None,
    mode: EdgeModes = "reflect",
    cval: Number = 0.0,
    *,
    axes: Each | None = None,
    accuracy: Accuracy = "default",
) -> NDArray[Element]: ...
@overload
def laplace(
    input: OnDevice,
    output: OnDevice | DTypeLike | None = None,
    mode: EdgeModes = "reflect",
    cval: Number = 0.0,
    *,
    axes: Each | None = None,
    accuracy: Accuracy = "default",
) -> OnDevice: ...
@overload
def laplace(
    input: ArrayLike,
    output: Into[Element],
    mode: EdgeModes = "reflect",
    cval: Number = 0.0,
    *,
    axes: Each | None = None,
    accuracy: Accuracy = "default",
) -> NDArray[Element]: ...
@overload
def laplace(
    input: ArrayLike,
    output: Output = None,
    mode: EdgeModes = "reflect",
    cval: Number = 0.0,
    *,
    axes: Each | None = None,
    accuracy: Accuracy = "default",
) -> NDArray[Any]: ...
@lowered_by(_lower_laplace)
def laplace(
    input: Data,
    output: Output | DeviceArray = None,
    mode: EdgeModes = "reflect",
    cval: Number = 0.0,
    *,
    axes: Each | None = None,
    accuracy: Accuracy = "default",
) -> Array:
    """
    Sum second differences along the axes.

    Parameters
    ----------
    input : array_like
        The data: booleans, integers, float32, float64 or their complex kinds, with any number of
        axes.
    output : ndarray or dtype_like, optional
        Where to write the result (of the input's shape; it may be the input itself), or its dtype;
        the input's dtype by default.
    mode : str or sequence of str, optional
        What lies beyond the edge: 'reflect' (the mirror image with the edge repeated;
        'grid-mirror' is a synonym), 'constant' (`cval`; 'grid-constant'), 'nearest' (the edge),
        'mirror' (the mirror image without the edge repeated) or 'wrap' (the other side;
        'grid-wrap'). A sequence gives one an axis that is filtered.
    cval : scalar, optional
        The value beyond the edge for mode 'constant'.
    axes : int or sequence of int, optional
        The axes to filter along; all by default.
    accuracy : {'default', 'direct'} or float, optional
        As in `correlate`, of the whole where the axes have one boundary, else of the second
        differences along each axis.

    Returns
    -------
    ndarray
        The filtered data, of the input's shape; `output` itself where it is an array.

    Raises
    ------
    RuntimeError
        For an unknown mode, an output of the wrong shape, a dtype that is not supported, or a
        sequence of the wrong length.
    ValueError
        For an origin or axes that are out of range, or an output that is read-only.
    TypeError
        For axes or a `cval` of the wrong type.

    Examples
    --------
    >>> import fastconv, numpy as np
    >>> fastconv.ndimage.laplace(np.eye(3))
    array([[-2.,  2.,  0.],
           [ 2., -4.,  2.],
           [ 0.,  2., -2.]])
    """
    bound = check_accuracy(accuracy)
    array = check_input(input)
    result = make_output(output, array, complex_output=False)
    chosen = check_axes(axes, array.ndim)
    modes = each(mode, len(chosen), "mode")
    boundaries = {check_mode(m) for m in modes}
    one = len(boundaries) == 1 and len(chosen) <= _CROSS_AXES
    if not one or not _is_one_sum(array.dtype, result.dtype, cval):

        def derivative2(data: Any, axis: int, target: Any, rule: EdgeMode, fill: Any) -> Any:
            return correlate1d(
                data, _SECOND_DIFFERENCE, axis, target, rule, fill, accuracy=accuracy
            )

        filtered: Array = generic_laplace(array, derivative2, result, mode, cval, axes=axes)
        return filtered
    w, boundary = _cross(array, chosen), boundaries.pop()
    offset = [-(n // 2) for n in w.shape]

    def step(data: Any, fill: float, dtype: np.dtype[Any]) -> tuple[Choice, Prepared]:
        return ready(lower_dense(data, w, offset, boundary, fill, dtype, True, bound))

    return solve(array, result, cval, [step])


def _laplace_terms(
    input: Any, sigma: Any, mode: Any, truncate: Real, radius: Any, axes: tuple[int, ...]
) -> list[list[Pass]]:
    """Return the passes of each axis' second derivative of a Gaussian."""
    return [
        _gaussian_passes(input, sigma, [2 * (a == b) for b in axes], mode, truncate, radius, axes)
        for a in axes
    ]


def _lower_gaussian_laplace(
    input: Any,
    sigma: Any,
    output: Any = None,
    mode: Any = "reflect",
    cval: Any = 0.0,
    *,
    axes: Any = None,
    accuracy: Any = DEFAULT,
    **kwargs: Unpack[GaussianOptions],
) -> Call:
    input = check_input(input)
    check_plannable(input, output)
    terms = _one_gaussian_laplace(input, sigma, mode, kwargs, check_axes(axes, len(input.shape)))
    result = result_dtype(output, input, complex_output=False)
    if terms is None or result.kind != "f":
        raise ValueError("a filter an axis, not one: there is nothing to plan")
    return lower_passes(input, terms, check_cval(cval), result, check_accuracy(accuracy))


def _one_gaussian_laplace(
    input: Any, sigma: Any, mode: Any, options: GaussianOptions, axes: tuple[int, ...]
) -> list[list[Pass]] | None:
    """Return the terms where they pass along the same axes with one boundary, else None."""
    sigmas = each(sigma, len(axes), "sigma")
    if not 1 < len(axes) <= MOST_TERMS or math.prod(input.shape) <= SMALL_SIZE:
        return None
    if len(set(each(mode, len(axes), "mode"))) != 1 or set(options) - OPTIONS:
        return None
    if any(not s > NO_SIGMA for s in sigmas):
        return None
    return _laplace_terms(
        input, sigmas, mode, options.get("truncate", 4.0), options.get("radius"), axes
    )


@overload
def gaussian_laplace(
    input: NDArray[Element],
    sigma: EachReal,
    output: None = None,
    mode: EdgeModes = "reflect",
    cval: Number = 0.0,
    *,
    axes: Each | None = None,
    accuracy: Accuracy = "default",
    **kwargs: Unpack[GaussianOptions],
) -> NDArray[Element]: ...
@overload
def gaussian_laplace(
    input: OnDevice,
    sigma: EachReal,
    output: OnDevice | DTypeLike | None = None,
    mode: EdgeModes = "reflect",
    cval: Number = 0.0,
    *,
    axes: Each | None = None,
    accuracy: Accuracy = "default",
    **kwargs: Unpack[GaussianOptions],
) -> OnDevice: ...
@overload
def gaussian_laplace(
    input: ArrayLike,
    sigma: EachReal,
    output: Into[Element],
    mode: EdgeModes = "reflect",
    cval: Number = 0.0,
    *,
    axes: Each | None = None,
    accuracy: Accuracy = "default",
    **kwargs: Unpack[GaussianOptions],
) -> NDArray[Element]: ...
@overload
def gaussian_laplace(
    input: ArrayLike,
    sigma: EachReal,
    output: Output = None,
    mode: EdgeModes = "reflect",
    cval: Number = 0.0,
    *,
    axes: Each | None = None,
    accuracy: Accuracy = "default",
    **kwargs: Unpack[GaussianOptions],
) -> NDArray[Any]: ...
@lowered_by(_lower_gaussian_laplace)
def gaussian_laplace(
    input: Data,
    sigma: EachReal,
    output: Output | DeviceArray = None,
    mode: EdgeModes = "reflect",
    cval: Number = 0.0,
    *,
    axes: Each | None = None,
    accuracy: Accuracy = "default",
    **kwargs: Unpack[GaussianOptions],
) -> Array:
    """
    Sum second derivatives of a Gaussian along the axes.

    Parameters
    ----------
    input : array_like
        The data: booleans, integers, float32, float64 or their complex kinds, with any number of
        axes.
    sigma : float or sequence of float
        Standard deviation in samples, for all axes or for each; an axis with 0 is left alone.
    output : ndarray or dtype_like, optional
        Where to write the result (of the input's shape; it may be the input itself), or its dtype;
        the input's dtype by default.
    mode : str or sequence of str, optional
        What lies beyond the edge: 'reflect' (the mirror image with the edge repeated;
        'grid-mirror' is a synonym), 'constant' (`cval`; 'grid-constant'), 'nearest' (the edge),
        'mirror' (the mirror image without the edge repeated) or 'wrap' (the other side;
        'grid-wrap'). A sequence gives one an axis that is filtered.
    cval : scalar, optional
        The value beyond the edge for mode 'constant'.
    axes : int or sequence of int, optional
        The axes to filter along; all by default.
    accuracy : {'default', 'direct'} or float, optional
        As in `correlate`, of the derivative along each axis.
    **kwargs
        Passed to `gaussian_filter`: ``truncate`` and ``radius``.

    Returns
    -------
    ndarray
        The filtered data, of the input's shape; `output` itself where it is an array.

    Raises
    ------
    RuntimeError
        For an unknown mode, an output of the wrong shape, a dtype that is not supported, or a
        sequence of the wrong length.
    ValueError
        For a negative order, a radius that is no non-negative integer, axes out of range, or an
        output that is read-only.
    TypeError
        For axes or a `cval` of the wrong type.

    Examples
    --------
    >>> import fastconv, numpy as np
    >>> fastconv.ndimage.gaussian_laplace(np.eye(3), sigma=1).round(3)
    array([[-0.385,  0.037,  0.348],
           [ 0.037, -0.073,  0.037],
           [ 0.348,  0.037, -0.385]])
    """
    bound = check_accuracy(accuracy)
    array = check_input(input)
    result = make_output(output, array, complex_output=False)
    chosen = check_axes(axes, array.ndim)
    if result.dtype.kind == "f" and array.dtype.kind != "c":
        terms = _one_gaussian_laplace(array, sigma, mode, kwargs, chosen)
        if terms is not None:

            def step(data: Any, fill: float, dtype: np.dtype[Any]) -> tuple[Choice, Prepared]:
                return ready(lower_passes(data, terms, fill, dtype, bound))

            return solve(array, result, cval, [step])
    sigmas = [0] * array.ndim
    for axis, one in zip(chosen, each(sigma, len(chosen), "sigma"), strict=True):
        sigmas[axis] = one

    def derivative2(
        data: Any, axis: int, target: Any, rule: EdgeMode, fill: Any, **options: Any
    ) -> Any:
        order = [2 * (a == axis) for a in range(array.ndim)]
        return gaussian_filter(
            data, sigmas, order, target, rule, fill, accuracy=accuracy, **options
        )

    filtered: Array = generic_laplace(
        array, derivative2, result, mode, cval, extra_keywords=kwargs, axes=axes
    )
    return filtered


@overload
def gaussian_gradient_magnitude(
    input: NDArray[Element],
    sigma: EachReal,
    output: None = None,
    mode: EdgeModes = "reflect",
    cval: Number = 0.0,
    *,
    axes: Each | None = None,
    accuracy: Accuracy = "default",
    **kwargs: Unpack[GaussianOptions],
) -> NDArray[Element]: ...
@overload
def gaussian_gradient_magnitude(
    input: OnDevice,
    sigma: EachReal,
    output: OnDevice | DTypeLike | None = None,
    mode: EdgeModes = "reflect",
    cval: Number = 0.0,
    *,
    axes: Each | None = None,
    accuracy: Accuracy = "default",
    **kwargs: Unpack[GaussianOptions],
) -> OnDevice: ...
@overload
def gaussian_gradient_magnitude(
    input: ArrayLike,
    sigma: EachReal,
    output: Into[Element],
    mode: EdgeModes = "reflect",
    cval: Number = 0.0,
    *,
    axes: Each | None = None,
    accuracy: Accuracy = "default",
    **kwargs: Unpack[GaussianOptions],
) -> NDArray[Element]: ...
@overload
def gaussian_gradient_magnitude(
    input: ArrayLike,
    sigma: EachReal,
    output: Output = None,
    mode: EdgeModes = "reflect",
    cval: Number = 0.0,
    *,
    axes: Each | None = None,
    accuracy: Accuracy = "default",
    **kwargs: Unpack[GaussianOptions],
) -> NDArray[Any]: ...
def gaussian_gradient_magnitude(
    input: Data,
    sigma: EachReal,
    output: Output | DeviceArray = None,
    mode: EdgeModes = "reflect",
    cval: Number = 0.0,
    *,
    axes: Each | None = None,
    accuracy: Accuracy = "default",
    **kwargs: Unpack[GaussianOptions],
) -> Array:
    """
    Take the length of the gradient, by derivatives of a Gaussian.

    Parameters
    ----------
    input : array_like
        The data: booleans, integers, float32, float64 or their complex kinds, with any number of
        axes.
    sigma : float or sequence of float
        Standard deviation in samples, for all axes or for each; an axis with 0 is left alone.
    output : ndarray or dtype_like, optional
        Where to write the result (of the input's shape; it may be the input itself), or its dtype;
        the input's dtype by default.
    mode : str or sequence of str, optional
        What lies beyond the edge: 'reflect' (the mirror image with the edge repeated;
        'grid-mirror' is a synonym), 'constant' (`cval`; 'grid-constant'), 'nearest' (the edge),
        'mirror' (the mirror image without the edge repeated) or 'wrap' (the other side;
        'grid-wrap'). A sequence gives one an axis that is filtered.
    cval : scalar, optional
        The value beyond the edge for mode 'constant'.
    axes : int or sequence of int, optional
        The axes to filter along; all by default.
    accuracy : {'default', 'direct'} or float, optional
        As in `correlate`, of the derivative along each axis.
    **kwargs
        Passed to `gaussian_filter`: ``truncate`` and ``radius``.

    Returns
    -------
    ndarray
        The filtered data, of the input's shape; `output` itself where it is an array.

    Raises
    ------
    RuntimeError
        For an unknown mode, an output of the wrong shape, a dtype that is not supported, or a
        sequence of the wrong length.
    ValueError
        For a negative order, a radius that is no non-negative integer, axes out of range, or an
        output that is read-only.
    TypeError
        For axes or a `cval` of the wrong type.

    Examples
    --------
    >>> import fastconv, numpy as np
    >>> fastconv.ndimage.gaussian_gradient_magnitude(np.eye(3), sigma=1).round(3)
    array([[0.153, 0.202, 0.132],
           [0.202, 0.   , 0.202],
           [0.132, 0.202, 0.153]])
    """
    check_accuracy(accuracy)
    data: Any = input
    ndim = len(as_numbers(data).shape)

    def derivative(
        source: Any, axis: int, target: Any, rule: EdgeMode, fill: Any, **options: Any
    ) -> Any:
        order = [int(a == axis) for a in range(ndim)]
        return gaussian_filter(
            source, sigma, order, target, rule, fill, accuracy=accuracy, **options
        )

    filtered: Array = generic_gradient_magnitude(
        data, derivative, output, mode, cval, extra_keywords=kwargs, axes=axes
    )
    return filtered
