"""
scipy.ndimage's linear filters, by name, signature and contract.

Values, dtypes, shapes and errors are SciPy's. Results of integer dtype are SciPy's to the last bit:
sums are formed in double precision in SciPy's order and cut toward zero. float32 results of float32
(and of integers of up to 16 bits) are summed in float32, except passes over few elements. Where
SciPy's are a bug ours are not: each function's notes say where.
"""

from __future__ import annotations

import math
import numbers
import operator
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index
from numpy.typing import ArrayLike, DTypeLike

from fastconv._methods import MOST_TERMS, rounded
from fastconv._native._core import short_filter
from fastconv._plan import Call, Operand, lowered_by
from fastconv._problem import SMALL_SIZE, Boundary, Lines, Problem, Spec
from fastconv._threads import get_num_threads

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

Output = np.ndarray | DTypeLike | None

_BOUNDARIES = {
    "reflect": Boundary.REFLECT,
    "grid-mirror": Boundary.REFLECT,
    "constant": Boundary.CONSTANT,
    "grid-constant": Boundary.CONSTANT,
    "nearest": Boundary.NEAREST,
    "mirror": Boundary.MIRROR,
    "wrap": Boundary.WRAP,
    "grid-wrap": Boundary.WRAP,
}
# Sigmas up to this are none at all, as in SciPy.
_NO_SIGMA = 1e-15
# What gaussian_laplace hands on.
_OPTIONS = {"truncate", "radius"}
# Whole numbers up to these are exact.
_EXACT: tuple[tuple[np.dtype[Any], float], ...] = (
    (np.dtype(np.float32), 2.0**24),
    (np.dtype(np.float64), 2.0**53),
)


# --- arguments ------------------------------------------------------------------------------------


def _check_mode(mode: Any) -> Boundary:
    if not isinstance(mode, str):
        if isinstance(mode, Iterable):
            raise RuntimeError(f"A sequence of modes is not supported: mode={mode!r}")
    elif mode in _BOUNDARIES:
        return _BOUNDARIES[mode]
    known = ", ".join(map(repr, _BOUNDARIES))
    raise RuntimeError(f"boundary mode not supported: mode={mode!r}; known are {known}")


def _check_axes(axes: Any, ndim: int) -> tuple[int, ...]:
    if axes is None:
        return tuple(range(ndim))
    if np.isscalar(axes):
        numbers_ = [operator.index(axes)]  # type: ignore[arg-type]
    elif isinstance(axes, Iterable):
        numbers_ = [operator.index(a) for a in axes]
    else:
        raise ValueError(f"axes must be an integer, iterable of integers, or None, not {axes!r}")
    for a in numbers_:
        if not -ndim <= a < ndim:
            raise ValueError(f"specified axis: {a} is out of range for an input of {ndim} axes")
    positive = tuple(a % ndim for a in numbers_)
    if len(set(positive)) != len(positive):
        raise ValueError(f"axes must be unique: axes={axes!r}")
    return positive


def _each(value: Any, count: int, name: str) -> list[Any]:
    """Return one value an axis."""
    if isinstance(value, str) or not np.iterable(value):
        return [value] * count
    values = list(value)
    if len(values) != count:
        raise RuntimeError(
            f"{name}: a sequence argument must have length equal to input rank, {count}; "
            f"it has {len(values)}"
        )
    return values


def _check_input(input: Any) -> Any:
    array = _as_numbers(input)
    _check_dtype(array.dtype, "input")
    return array


def _as_numbers(input: Any) -> Any:
    array = input if isinstance(input, Spec) else np.asarray(input)
    if array.dtype.kind in "USV":
        raise TypeError(f"input must hold numbers, not {array.dtype}")
    return array


def _check_dtype(dtype: np.dtype[Any], name: str) -> None:
    if dtype.kind not in "biufc" or dtype.char in "egG":
        raise RuntimeError(f"data type not supported: {name} is {dtype}")


def _result_dtype(output: Any, input: Any, complex_output: bool) -> np.dtype[Any]:
    """Return the dtype of what is written, where `output` is no array."""
    if output is None:
        dtype = input.dtype.newbyteorder("=")
        return np.promote_types(dtype, np.complex64) if complex_output else dtype
    dtype = np.dtype(output)
    if isinstance(output, str):
        if complex_output and dtype.kind != "c":
            raise RuntimeError(f"output must have complex dtype, not {dtype}")
        if not issubclass(dtype.type, np.number):
            raise RuntimeError(f"output must have numeric dtype, not {dtype}")
    elif complex_output and dtype.kind != "c":
        warnings.warn("promoting specified output dtype to complex", stacklevel=4)
        dtype = np.promote_types(dtype, np.complex64)
    return dtype


def _make_output(output: Any, input: np.ndarray, complex_output: bool) -> np.ndarray:
    """Return the array that `output` is or asks for."""
    if output is None or isinstance(output, (type, np.dtype, str)):
        return np.empty(input.shape, _result_dtype(output, input, complex_output))
    array = np.asarray(output)
    if array.shape != input.shape:
        raise RuntimeError(f"output shape not correct: {array.shape}, input has {input.shape}")
    if complex_output and array.dtype.kind != "c":
        raise RuntimeError(f"output must have complex dtype, not {array.dtype}")
    return array


def _check_cval(cval: Any) -> float:
    if isinstance(cval, (str, bytes, complex, np.complexfloating)):
        raise TypeError(f"cval must be a real number where the input is real, not {cval!r}")
    return float(cval)


# --- lowering -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Pass:
    """A line of taps along one axis; `mean` where it is a mean of neighbours."""

    axis: int
    taps: np.ndarray
    boundary: Boundary
    origin: int = 0
    mean: bool = False

    @property
    def offset(self) -> int:
        return -(self.taps.size // 2) - self.origin


def _compute_dtype(source: np.dtype[Any], result: np.dtype[Any]) -> np.dtype[Any]:
    """Of the sums: float32 where both ends hold no more, else float64."""
    narrow = source == np.float32 or (source.kind in "biu" and source.itemsize <= 2)
    return np.dtype(np.float32 if narrow and result == np.float32 else np.float64)


def _magnitude(dtype: np.dtype[Any]) -> float:
    if dtype.kind == "b":
        return 255.0  # between passes it is the byte of a sum
    return float(max(abs(np.iinfo(dtype).min), np.iinfo(dtype).max))


def _exact_dtype(
    source: np.dtype[Any],
    result: np.dtype[Any],
    kernels: Sequence[np.ndarray],
    cval: float,
) -> np.dtype[Any] | None:
    """Return the narrowest dtype whose sums are exact in every pass, or None."""
    if source.kind == "f" or not all(np.array_equal(k, np.rint(k)) for k in kernels):
        return None
    if not cval.is_integer():
        return None
    most, reach = _magnitude(source), 0.0
    negative = source.kind == "i" or cval < 0 or any((k < 0).any() for k in kernels)
    for kernel in kernels:
        sums = float(np.abs(kernel).sum()) * max(most, abs(cval))
        reach = max(reach, sums)
        wraps = sums > _magnitude(result) or (negative and result.kind != "i")
        most = _magnitude(result) if wraps else sums
    for dtype, limit in _EXACT:
        if reach < limit:
            return dtype
    return None


def _rules(
    source: np.dtype[Any],
    result: np.dtype[Any],
    kernels: Sequence[np.ndarray],
    cval: float,
    small: bool = False,
) -> dict[str, Any]:
    """Return the problem's dtype, and what its sums are cut or rounded to."""
    if result.kind == "f":
        if small:
            return {"dtype": np.dtype(np.float64), "cut": result.newbyteorder("=")}
        return {"dtype": _compute_dtype(source, result)}
    exact = _exact_dtype(source, result, kernels, cval)
    return {
        "dtype": exact or np.dtype(np.float64),
        "cut": result.newbyteorder("="),
        "exact": exact is not None,
    }


def _fixed(boundary: Boundary, cval: float, kernels: Iterable[np.ndarray]) -> dict[str, Any]:
    """Return the boundary and its fill; zeros are none, unless a tap is not finite."""
    if boundary is not Boundary.CONSTANT:
        return {"boundary": boundary}
    if cval == 0 and all(np.isfinite(k).all() for k in kernels):
        return {"boundary": Boundary.ZERO}
    return {"boundary": boundary, "fill": cval}


def _lower_dense(
    input: Any,
    w: np.ndarray,
    offset: Sequence[int],
    boundary: Boundary,
    cval: float,
    result: np.dtype[Any],
    sparse: bool,
) -> Call:
    """Lower a kernel over all axes, of float64 and with an axis for each of the input's."""
    _check_dtype(result, "output")
    rules = _rules(input.dtype, result, [w], cval)
    problem = Problem(
        x=input.shape,
        w=w.shape,
        out=input.shape,
        axes=tuple(a for a in range(w.ndim) if w.shape[a] > 1) or tuple(range(w.ndim)),
        offset=tuple(offset),
        sparse=sparse,
        **rules,
        **_fixed(boundary, cval, [w]),
    )
    return Call((input, w), problem, Operand(0), Operand(1), result)


def _lower_passes(
    input: Any, terms: Sequence[Sequence[_Pass]], cval: float, result: np.dtype[Any]
) -> Call:
    """Lower passes along different axes with one boundary; terms pass along the same axes."""
    _check_dtype(result, "output")
    first = terms[0]
    one_line = len(terms) == len(first) == 1 and not first[0].mean
    small = math.prod(input.shape) <= SMALL_SIZE
    if one_line and result.kind == "f" and not small:
        # One line is a plain problem, that every method may take.
        only, ndim = first[0], len(input.shape)
        shape = [-1 if a == only.axis else 1 for a in range(ndim)]
        offset = [only.offset if a == only.axis else 0 for a in range(ndim)]
        dtype = _compute_dtype(input.dtype, result)
        w = rounded(only.taps, dtype).reshape(shape)
        return _lower_dense(input, w, offset, only.boundary, cval, result, False)
    axes = tuple(p.axis for p in first)
    taps, offset = [1] * len(input.shape), [0] * len(input.shape)
    for p in first:
        taps[p.axis], offset[p.axis] = p.taps.size, p.offset
    kernels = [p.taps for passes in terms for p in passes]
    sums = [np.ones(p.taps.size) if p.mean else p.taps for p in first]
    problem = Problem(
        x=input.shape,
        w=tuple(taps),
        out=input.shape,
        axes=tuple(sorted(axes)),
        offset=tuple(offset),
        lines=axes,
        terms=len(terms),
        box=all(p.mean for p in first),
        **_rules(input.dtype, result, sums, cval, small),
        **_fixed(first[0].boundary, cval, kernels),
    )
    lines = Lines(tuple(tuple(p.taps for p in t) for t in terms), axes, len(input.shape))
    return Call((input, lines), problem, Operand(0), Operand(1), result)


def _chain(passes: Sequence[_Pass]) -> list[list[_Pass]]:
    """Split passes where the boundary changes: each part is one problem."""
    parts: list[list[_Pass]] = []
    for p in passes:
        if parts and parts[-1][0].boundary is p.boundary and parts[-1][0].mean == p.mean:
            parts[-1].append(p)
        else:
            parts.append([p])
    return parts


# --- solving --------------------------------------------------------------------------------------

# Lowers one filter of a real input to a result of some dtype.
_Lower = Callable[[Any, float, np.dtype[Any]], Call]


def _solve(input: np.ndarray, output: np.ndarray, cval: Any, steps: Sequence[_Lower]) -> np.ndarray:
    """Run filters one after the other, each on what the last one gave, into the output."""
    if (input.dtype.kind == "c") != (output.dtype.kind == "c"):
        kind = "complex" if input.dtype.kind == "c" else "real"
        raise RuntimeError(f"output must have {kind} dtype, as the input, not {output.dtype}")
    if not output.flags.writeable:
        raise ValueError("output is read-only")
    if input.dtype.kind == "c":
        # Real filters: the parts are two images.
        cval = complex(cval)
        for part in ("real", "imag"):
            _solve(getattr(input, part), getattr(output, part), getattr(cval, part), steps)
        return output
    cval = _check_cval(cval)
    data = input
    if input.size == 0:
        return output
    for number, lower in enumerate(steps):
        call = lower(data, cval, output.dtype)
        last = number == len(steps) - 1
        if last and not np.may_share_memory(data, output):
            data = call.solve(output)
        else:
            data = call.solve()
    if data is not output:
        output[...] = data
    return output


def _run_passes(input: np.ndarray, output: np.ndarray, passes: Sequence[_Pass], cval: Any) -> None:
    def step(part: list[_Pass]) -> _Lower:
        return lambda data, fill, result: _lower_passes(data, [part], fill, result)

    if not passes:
        output[...] = input
        return
    _solve(input, output, cval, [step(part) for part in _chain(passes)])


def _lower_planned(input: Any, passes: Sequence[_Pass], cval: Any, output: Any) -> Call:
    """Lower passes for `plan` and `explain`: they must be one problem."""
    _check_plannable(input, output)
    parts = _chain(passes)
    if len(parts) != 1:
        raise ValueError(f"{len(parts)} filters in a row, not one: there is nothing to plan")
    return _lower_passes(
        input, parts, _check_cval(cval), _result_dtype(output, input, complex_output=False)
    )


def _check_plannable(input: Any, output: Any) -> None:
    if input.dtype.kind == "c":
        raise TypeError("the parts of a complex input are filtered apart: plan for one of them")
    if isinstance(output, np.ndarray):
        raise TypeError("output must be a dtype in plan and explain; plans take out=")


# --- any kernel -----------------------------------------------------------------------------------


def _dense_kernel(
    input: Any, weights: Any, origin: Any, axes: Any, *, convolution: bool
) -> tuple[np.ndarray, list[int]]:
    """Return the kernel as it correlates, with an axis for each of the input's, and its offset."""
    ndim = len(input.shape)
    chosen = _check_axes(axes, ndim)
    w = np.asarray(weights, dtype=np.float64)
    origins = [0] * ndim
    if len(chosen) < ndim:
        if w.ndim != len(chosen):
            raise RuntimeError(f"weights.ndim ({w.ndim}) must match len(axes) ({len(chosen)})")
        w = np.expand_dims(w, tuple(a for a in range(ndim) if a not in chosen))
    for a, shift in zip(chosen, _each(origin, len(chosen), "origin"), strict=True):
        origins[a] = operator.index(shift)
    if w.ndim != ndim or 0 in w.shape:
        kept = sum(n > 0 for n in w.shape)
        raise RuntimeError(f"weights.ndim ({kept}) must match len(axes) ({len(chosen)})")
    if convolution:
        w = np.flip(w)
        origins = [-o - (1 - n % 2) for o, n in zip(origins, w.shape, strict=True)]
    for o, n in zip(origins, w.shape, strict=True):
        if not -(n // 2) <= o <= (n - 1) // 2:
            raise ValueError(
                "Invalid origin; origin must satisfy -(weights.shape[k] // 2) <= origin[k] <= "
                f"(weights.shape[k]-1) // 2; origin={origin!r}, weights.shape={w.shape}"
            )
    return w, [-(n // 2) - o for n, o in zip(w.shape, origins, strict=True)] or [0]


def _correlate_dense(
    input: Any,
    weights: Any,
    output: Any,
    mode: Any,
    cval: Any,
    origin: Any,
    axes: Any,
    *,
    convolution: bool,
) -> np.ndarray:
    input, weights = _check_input(input), np.asarray(weights)
    complex_weights = weights.dtype.kind == "c"
    if complex_weights and not convolution:
        weights = weights.conj()

    def filter_by(data: np.ndarray, real_weights: np.ndarray, target: Any, fill: Any) -> np.ndarray:
        w, offset = _dense_kernel(data, real_weights, origin, axes, convolution=convolution)
        target = _make_output(target, data, data.dtype.kind == "c")
        boundary = _check_mode(mode)

        def lower(x: Any, value: float, result: np.dtype[Any]) -> Call:
            return _lower_dense(x, w.reshape(w.shape or 1), offset, boundary, value, result, True)

        # An array without axes is one of a single element.
        x, y = (a if a.ndim else a.reshape(1) for a in (data, target))
        _solve(x, y, fill, [lower])
        return target

    if complex_weights:
        return _by_weights(filter_by, input, weights, output, cval)
    return filter_by(input, weights, output, cval)


def _by_weights(
    filter_by: Callable[..., np.ndarray],
    input: np.ndarray,
    weights: np.ndarray,
    output: Any,
    cval: Any,
) -> np.ndarray:
    """Filter by complex weights: by their parts, whose results are added."""
    output = _make_output(output, input, complex_output=True)
    if input.dtype.kind != "c":
        if isinstance(cval, (complex, np.complexfloating)):
            raise ValueError(f"Cannot provide a complex-valued cval when the input is real: {cval}")
        parts = [filter_by(input, w, output.real.dtype, cval) for w in (weights.real, weights.imag)]
        output.real, output.imag = parts
        return output
    of_real = filter_by(input, weights.real, output.dtype, cval)
    of_imag = filter_by(input, weights.imag, output.dtype, cval)
    output.real = of_real.real - of_imag.imag
    output.imag = of_real.imag + of_imag.real
    return output


def _lower_dense_planned(
    input: Any,
    weights: Any,
    output: Any,
    mode: Any,
    cval: Any,
    origin: Any,
    axes: Any,
    *,
    convolution: bool,
) -> Call:
    input = _check_input(input)
    _check_plannable(input, output)
    w, offset = _dense_kernel(input, weights, origin, axes, convolution=convolution)
    result = _result_dtype(output, input, complex_output=False)
    return _lower_dense(input, w, offset, _check_mode(mode), _check_cval(cval), result, True)


def _lower_correlate(
    input: Any,
    weights: Any,
    output: Any = None,
    mode: Any = "reflect",
    cval: Any = 0.0,
    origin: Any = 0,
    *,
    axes: Any = None,
) -> Call:
    return _lower_dense_planned(input, weights, output, mode, cval, origin, axes, convolution=False)


def _lower_convolve(
    input: Any,
    weights: Any,
    output: Any = None,
    mode: Any = "reflect",
    cval: Any = 0.0,
    origin: Any = 0,
    *,
    axes: Any = None,
) -> Call:
    return _lower_dense_planned(input, weights, output, mode, cval, origin, axes, convolution=True)


@lowered_by(_lower_correlate)
def correlate(
    input: ArrayLike,
    weights: ArrayLike,
    output: Output = None,
    mode: str = "reflect",
    cval: complex = 0.0,
    origin: int | Sequence[int] = 0,
    *,
    axes: int | Sequence[int] | None = None,
) -> np.ndarray:
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
    short = short_filter(input, weights, output, mode, cval, origin, axes, False, get_num_threads)
    if short is not None:
        return short
    return _correlate_dense(input, weights, output, mode, cval, origin, axes, convolution=False)


@lowered_by(_lower_convolve)
def convolve(
    input: ArrayLike,
    weights: ArrayLike,
    output: Output = None,
    mode: str = "reflect",
    cval: complex = 0.0,
    origin: int | Sequence[int] = 0,
    *,
    axes: int | Sequence[int] | None = None,
) -> np.ndarray:
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
    short = short_filter(input, weights, output, mode, cval, origin, axes, True, get_num_threads)
    if short is not None:
        return short
    return _correlate_dense(input, weights, output, mode, cval, origin, axes, convolution=True)


# --- lines ----------------------------------------------------------------------------------------


def _line_pass(input: Any, weights: np.ndarray, axis: Any, mode: Any, origin: Any) -> _Pass:
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
    return _Pass(axis, w, _check_mode(mode), origin)


def _flipped(weights: Any, origin: Any) -> tuple[np.ndarray, Any]:
    """Return the weights and the origin with which correlating is convolving."""
    w = np.asarray(weights)[::-1]
    return w, -origin - (1 - w.shape[0] % 2)


def _correlate_line(
    input: Any, weights: np.ndarray, axis: Any, output: Any, mode: Any, cval: Any, origin: Any
) -> np.ndarray:
    def filter_by(data: np.ndarray, real_weights: np.ndarray, target: Any, fill: Any) -> np.ndarray:
        target = _make_output(target, data, data.dtype.kind == "c")
        only = _line_pass(data, real_weights, axis, mode, origin)
        _run_passes(data, target, [only], fill)
        return target

    if weights.dtype.kind == "c":
        return _by_weights(filter_by, input, weights, output, cval)
    return filter_by(input, weights, output, cval)


def _lower_correlate1d(
    input: Any,
    weights: Any,
    axis: Any = -1,
    output: Any = None,
    mode: Any = "reflect",
    cval: Any = 0.0,
    origin: Any = 0,
) -> Call:
    input = _check_input(input)
    return _lower_planned(input, [_line_pass(input, weights, axis, mode, origin)], cval, output)


def _lower_convolve1d(
    input: Any,
    weights: Any,
    axis: Any = -1,
    output: Any = None,
    mode: Any = "reflect",
    cval: Any = 0.0,
    origin: Any = 0,
) -> Call:
    weights, origin = _flipped(weights, origin)
    return _lower_correlate1d(input, weights, axis, output, mode, cval, origin)


@lowered_by(_lower_correlate1d)
def correlate1d(
    input: ArrayLike,
    weights: ArrayLike,
    axis: int = -1,
    output: Output = None,
    mode: str = "reflect",
    cval: complex = 0.0,
    origin: int = 0,
) -> np.ndarray:
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
    w = np.asarray(weights)
    if w.dtype.kind == "c":
        w = w.conj()
    return _correlate_line(_check_input(input), w, axis, output, mode, cval, origin)


@lowered_by(_lower_convolve1d)
def convolve1d(
    input: ArrayLike,
    weights: ArrayLike,
    axis: int = -1,
    output: Output = None,
    mode: str = "reflect",
    cval: complex = 0.0,
    origin: int = 0,
) -> np.ndarray:
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
    w, origin = _flipped(weights, origin)
    return _correlate_line(_check_input(input), w, axis, output, mode, cval, origin)


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
    axis: int, sigma: Any, order: Any, mode: Any, truncate: float, radius: Any
) -> _Pass:
    reach = int(truncate * float(sigma) + 0.5) if radius is None else radius
    if not isinstance(reach, numbers.Integral) or reach < 0:
        raise ValueError(f"Radius must be a nonnegative integer, not {reach!r}")
    return _Pass(axis, _gaussian_taps(sigma, order, int(reach)), _check_mode(mode))


def _gaussian_passes(
    input: Any, sigma: Any, order: Any, mode: Any, truncate: float, radius: Any, axes: Any
) -> list[_Pass]:
    chosen = _check_axes(axes, len(input.shape))
    count = len(chosen)
    given = zip(
        chosen,
        _each(sigma, count, "sigma"),
        _each(order, count, "order"),
        _each(mode, count, "mode"),
        _each(radius, count, "radius"),
        strict=True,
    )
    return [_gaussian_pass(a, s, o, m, truncate, r) for a, s, o, m, r in given if s > _NO_SIGMA]


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
) -> Call:
    input = _check_input(input)
    axis = normalize_axis_index(axis, len(input.shape))
    only = _gaussian_pass(axis, sigma, order, mode, truncate, radius)
    return _lower_planned(input, [only], cval, output)


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
) -> Call:
    input = _check_input(input)
    passes = _gaussian_passes(input, sigma, order, mode, truncate, radius, axes)
    return _lower_planned(input, passes, cval, output)


@lowered_by(_lower_gaussian_filter1d)
def gaussian_filter1d(
    input: ArrayLike,
    sigma: float,
    axis: int = -1,
    order: int = 0,
    output: Output = None,
    mode: str = "reflect",
    cval: complex = 0.0,
    truncate: float = 4.0,
    *,
    radius: int | None = None,
) -> np.ndarray:
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
    array = _check_input(input)
    only = _gaussian_pass(-1, sigma, order, mode, truncate, radius)
    return _correlate_line(array, only.taps, axis, output, mode, cval, 0)


@lowered_by(_lower_gaussian_filter)
def gaussian_filter(
    input: ArrayLike,
    sigma: float | Sequence[float],
    order: int | Sequence[int] = 0,
    output: Output = None,
    mode: str | Sequence[str] = "reflect",
    cval: complex = 0.0,
    truncate: float = 4.0,
    *,
    radius: int | Sequence[int] | None = None,
    axes: int | Sequence[int] | None = None,
) -> np.ndarray:
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
    last pass only; integers are cut after every one, as in SciPy.

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
    array = _check_input(input)
    result = _make_output(output, array, complex_output=False)
    passes = _gaussian_passes(array, sigma, order, mode, truncate, radius, axes)
    _run_passes(array, result, passes, cval)
    return result


# --- means ----------------------------------------------------------------------------------------


def _mean_pass(input: Any, size: Any, axis: Any, mode: Any, origin: Any) -> _Pass:
    axis = normalize_axis_index(axis, len(input.shape))
    if size < 1:
        raise RuntimeError(f"incorrect filter size: {size}")
    size, origin = operator.index(size), operator.index(origin)
    if not 0 <= size // 2 + origin < size:
        raise ValueError(f"invalid origin: {origin} for size {size}")
    return _Pass(axis, np.full(size, 1 / size), _check_mode(mode), origin, mean=True)


def _mean_passes(input: Any, size: Any, mode: Any, origin: Any, axes: Any) -> list[_Pass]:
    chosen = _check_axes(axes, len(input.shape))
    count = len(chosen)
    given = zip(
        chosen,
        _each(size, count, "size"),
        _each(mode, count, "mode"),
        _each(origin, count, "origin"),
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
) -> Call:
    input = _check_input(input)
    return _lower_planned(input, [_mean_pass(input, size, axis, mode, origin)], cval, output)


def _lower_uniform_filter(
    input: Any,
    size: Any = 3,
    output: Any = None,
    mode: Any = "reflect",
    cval: Any = 0.0,
    origin: Any = 0,
    *,
    axes: Any = None,
) -> Call:
    input = _check_input(input)
    return _lower_planned(input, _mean_passes(input, size, mode, origin, axes), cval, output)


@lowered_by(_lower_uniform_filter1d)
def uniform_filter1d(
    input: ArrayLike,
    size: int,
    axis: int = -1,
    output: Output = None,
    mode: str = "reflect",
    cval: complex = 0.0,
    origin: int = 0,
) -> np.ndarray:
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
    array = _check_input(input)
    only = _mean_pass(array, size, axis, mode, origin)
    result = _make_output(output, array, array.dtype.kind == "c")
    _run_passes(array, result, [only], cval)
    return result


@lowered_by(_lower_uniform_filter)
def uniform_filter(
    input: ArrayLike,
    size: int | Sequence[int] = 3,
    output: Output = None,
    mode: str | Sequence[str] = "reflect",
    cval: complex = 0.0,
    origin: int | Sequence[int] = 0,
    *,
    axes: int | Sequence[int] | None = None,
) -> np.ndarray:
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
    array = _check_input(input)
    result = _make_output(output, array, array.dtype.kind == "c")
    _run_passes(array, result, _mean_passes(array, size, mode, origin, axes), cval)
    return result


# --- derivatives ----------------------------------------------------------------------------------

_DIFFERENCE = np.array([-1.0, 0.0, 1.0])
_SECOND_DIFFERENCE = np.array([1.0, -2.0, 1.0])
_SOBEL = np.array([1.0, 2.0, 1.0])
_PREWITT = np.array([1.0, 1.0, 1.0])


def _difference_passes(input: Any, axis: Any, mode: Any, smoother: np.ndarray) -> list[_Pass]:
    """Differences along one axis, then sums along the others."""
    ndim = len(input.shape)
    axis = normalize_axis_index(axis, ndim)
    boundaries = [_check_mode(m) for m in _each(mode, ndim, "mode")]
    others = [a for a in range(ndim) if a != axis]
    return [
        _Pass(axis, _DIFFERENCE, boundaries[axis]),
        *(_Pass(a, smoother, boundaries[a]) for a in others),
    ]


def _difference_filter(
    input: Any, axis: Any, output: Any, mode: Any, cval: Any, smoother: np.ndarray
) -> np.ndarray:
    array = _check_input(input)
    passes = _difference_passes(array, axis, mode, smoother)
    result = _make_output(output, array, complex_output=False)
    _run_passes(array, result, passes, cval)
    return result


def _lower_prewitt(
    input: Any, axis: Any = -1, output: Any = None, mode: Any = "reflect", cval: Any = 0.0
) -> Call:
    input = _check_input(input)
    return _lower_planned(input, _difference_passes(input, axis, mode, _PREWITT), cval, output)


def _lower_sobel(
    input: Any, axis: Any = -1, output: Any = None, mode: Any = "reflect", cval: Any = 0.0
) -> Call:
    input = _check_input(input)
    return _lower_planned(input, _difference_passes(input, axis, mode, _SOBEL), cval, output)


@lowered_by(_lower_prewitt)
def prewitt(
    input: ArrayLike,
    axis: int = -1,
    output: Output = None,
    mode: str | Sequence[str] = "reflect",
    cval: complex = 0.0,
) -> np.ndarray:
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
    return _difference_filter(input, axis, output, mode, cval, _PREWITT)


@lowered_by(_lower_sobel)
def sobel(
    input: ArrayLike,
    axis: int = -1,
    output: Output = None,
    mode: str | Sequence[str] = "reflect",
    cval: complex = 0.0,
) -> np.ndarray:
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
    return _difference_filter(input, axis, output, mode, cval, _SOBEL)


def _filter_generic(
    input: Any,
    derivative: Callable[..., Any],
    output: Any,
    mode: Any,
    cval: Any,
    extra_arguments: Sequence[Any],
    extra_keywords: dict[str, Any] | None,
    axes: Any,
    square: bool,
) -> np.ndarray:
    """Sum a derivative along each axis, or its square; the root of that is the caller's."""
    array = _as_numbers(input)
    result = _make_output(output, array, complex_output=False)
    if result is not output:
        result[...] = 0  # the callback may read it
    chosen = _check_axes(axes, array.ndim)
    if not chosen:
        result[...] = array
        return result
    extra_keywords = {} if extra_keywords is None else extra_keywords
    modes = _each(mode, len(chosen), "mode")
    # Each derivative is of the input, which the result may overwrite.
    source = array.copy() if np.may_share_memory(array, result) and len(chosen) > 1 else array
    for number, (axis, each) in enumerate(zip(chosen, modes, strict=True)):
        target = result if number == 0 else result.dtype
        term = derivative(source, axis, target, each, cval, *extra_arguments, **extra_keywords)
        if number == 0:
            term = result
        if square:
            np.multiply(term, term, term)
        if number > 0:
            result += term
    return result


def generic_laplace(
    input: ArrayLike,
    derivative2: Callable[..., Any],
    output: Output = None,
    mode: str | Sequence[str] = "reflect",
    cval: complex = 0.0,
    extra_arguments: Sequence[Any] = (),
    extra_keywords: dict[str, Any] | None = None,
    *,
    axes: int | Sequence[int] | None = None,
) -> np.ndarray:
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
        input, derivative2, output, mode, cval, extra_arguments, extra_keywords, axes, False
    )


def generic_gradient_magnitude(
    input: ArrayLike,
    derivative: Callable[..., Any],
    output: Output = None,
    mode: str | Sequence[str] = "reflect",
    cval: complex = 0.0,
    extra_arguments: Sequence[Any] = (),
    extra_keywords: dict[str, Any] | None = None,
    *,
    axes: int | Sequence[int] | None = None,
) -> np.ndarray:
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
        input, derivative, output, mode, cval, extra_arguments, extra_keywords, axes, True
    )
    if _check_axes(axes, result.ndim):
        np.sqrt(result, result, casting="unsafe")
    return result


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
    return result.kind == "f" or (
        result.kind in "iu" and source.kind in "biu" and _check_cval(cval).is_integer()
    )


def _lower_laplace(
    input: Any,
    output: Any = None,
    mode: Any = "reflect",
    cval: Any = 0.0,
    *,
    axes: Any = None,
) -> Call:
    input = _check_input(input)
    _check_plannable(input, output)
    chosen = _check_axes(axes, len(input.shape))
    result = _result_dtype(output, input, complex_output=False)
    boundaries = {_check_mode(m) for m in _each(mode, len(chosen), "mode")}
    if len(boundaries) != 1 or not _is_one_sum(input.dtype, result, cval):
        raise ValueError("a filter an axis, not one: there is nothing to plan")
    w = _cross(input, chosen)
    offset = [-(n // 2) for n in w.shape]
    return _lower_dense(input, w, offset, boundaries.pop(), _check_cval(cval), result, True)


@lowered_by(_lower_laplace)
def laplace(
    input: ArrayLike,
    output: Output = None,
    mode: str | Sequence[str] = "reflect",
    cval: complex = 0.0,
    *,
    axes: int | Sequence[int] | None = None,
) -> np.ndarray:
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
    array = _check_input(input)
    result = _make_output(output, array, complex_output=False)
    chosen = _check_axes(axes, array.ndim)
    modes = _each(mode, len(chosen), "mode")
    boundaries = {_check_mode(m) for m in modes}
    if len(boundaries) != 1 or not _is_one_sum(array.dtype, result.dtype, cval):

        def derivative2(data: Any, axis: int, target: Any, rule: str, fill: Any) -> np.ndarray:
            return correlate1d(data, _SECOND_DIFFERENCE, axis, target, rule, fill)

        return generic_laplace(array, derivative2, result, mode, cval, axes=axes)
    w, boundary = _cross(array, chosen), boundaries.pop()
    offset = [-(n // 2) for n in w.shape]

    def lower(data: Any, fill: float, dtype: np.dtype[Any]) -> Call:
        return _lower_dense(data, w, offset, boundary, fill, dtype, True)

    return _solve(array, result, cval, [lower])


def _laplace_terms(
    input: Any, sigma: Any, mode: Any, truncate: float, radius: Any, axes: tuple[int, ...]
) -> list[list[_Pass]]:
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
    **kwargs: Any,
) -> Call:
    input = _check_input(input)
    _check_plannable(input, output)
    terms = _one_gaussian_laplace(input, sigma, mode, kwargs, _check_axes(axes, len(input.shape)))
    result = _result_dtype(output, input, complex_output=False)
    if terms is None or result.kind != "f":
        raise ValueError("a filter an axis, not one: there is nothing to plan")
    return _lower_passes(input, terms, _check_cval(cval), result)


def _one_gaussian_laplace(
    input: Any, sigma: Any, mode: Any, options: dict[str, Any], axes: tuple[int, ...]
) -> list[list[_Pass]] | None:
    """Return the terms where they pass along the same axes with one boundary, else None."""
    sigmas = _each(sigma, len(axes), "sigma")
    if not 1 < len(axes) <= MOST_TERMS or math.prod(input.shape) <= SMALL_SIZE:
        return None
    if len(set(_each(mode, len(axes), "mode"))) != 1 or set(options) - _OPTIONS:
        return None
    if any(not s > _NO_SIGMA for s in sigmas):
        return None
    return _laplace_terms(
        input, sigmas, mode, options.get("truncate", 4.0), options.get("radius"), axes
    )


@lowered_by(_lower_gaussian_laplace)
def gaussian_laplace(
    input: ArrayLike,
    sigma: float | Sequence[float],
    output: Output = None,
    mode: str | Sequence[str] = "reflect",
    cval: complex = 0.0,
    *,
    axes: int | Sequence[int] | None = None,
    **kwargs: Any,
) -> np.ndarray:
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
    array = _check_input(input)
    result = _make_output(output, array, complex_output=False)
    chosen = _check_axes(axes, array.ndim)
    if result.dtype.kind == "f" and array.dtype.kind != "c":
        terms = _one_gaussian_laplace(array, sigma, mode, kwargs, chosen)
        if terms is not None:

            def lower(data: Any, fill: float, dtype: np.dtype[Any]) -> Call:
                return _lower_passes(data, terms, fill, dtype)

            return _solve(array, result, cval, [lower])
    sigmas = [0] * array.ndim
    for axis, one in zip(chosen, _each(sigma, len(chosen), "sigma"), strict=True):
        sigmas[axis] = one

    def derivative2(
        data: Any, axis: int, target: Any, rule: str, fill: Any, **options: Any
    ) -> np.ndarray:
        order = [2 * (a == axis) for a in range(array.ndim)]
        return gaussian_filter(data, sigmas, order, target, rule, fill, **options)

    return generic_laplace(array, derivative2, result, mode, cval, extra_keywords=kwargs, axes=axes)


def gaussian_gradient_magnitude(
    input: ArrayLike,
    sigma: float | Sequence[float],
    output: Output = None,
    mode: str | Sequence[str] = "reflect",
    cval: complex = 0.0,
    *,
    axes: int | Sequence[int] | None = None,
    **kwargs: Any,
) -> np.ndarray:
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
    ndim = len(np.shape(input))

    def derivative(
        data: Any, axis: int, target: Any, rule: str, fill: Any, **options: Any
    ) -> np.ndarray:
        order = [int(a == axis) for a in range(ndim)]
        return gaussian_filter(data, sigma, order, target, rule, fill, **options)

    return generic_gradient_magnitude(
        input, derivative, output, mode, cval, extra_keywords=kwargs, axes=axes
    )
