"""
What scipy.ndimage's filters share: their arguments checked, lowered and solved.

A filter is a kernel over all axes, or passes along one axis after the other. Both lower to one
Problem; passes with different boundaries are problems in a row.
"""

from __future__ import annotations

import functools
import math
import operator
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastconv import _devices
from fastconv._methods import rounded
from fastconv._plan import Call, Operand, may_overlap, share_accuracy
from fastconv._planner import Choice, Prepared, accuracy_of_sums, less_rounding
from fastconv._problem import SMALL_SIZE, Boundary, Lines, Problem, Spec
from fastconv._threads import get_num_threads

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
NO_SIGMA = 1e-15
# What gaussian_laplace hands on.
OPTIONS = {"truncate", "radius"}
# Filters that are kept ready, the least recently used going first.
_READY_FILTERS = 256
# Taps from this on might leave float32's range, or their products might.
_LARGE_TAP = 2.0**100
# Whole numbers up to these are exact.
_EXACT: tuple[tuple[np.dtype[Any], float], ...] = (
    (np.dtype(np.float32), 2.0**24),
    (np.dtype(np.float64), 2.0**53),
)


# --- arguments ------------------------------------------------------------------------------------


def check_mode(mode: Any) -> Boundary:
    """Return the boundary that a mode names."""
    if not isinstance(mode, str):
        if isinstance(mode, Iterable):
            raise RuntimeError(f"A sequence of modes is not supported: mode={mode!r}")
    elif mode in _BOUNDARIES:
        return _BOUNDARIES[mode]
    known = ", ".join(map(repr, _BOUNDARIES))
    raise RuntimeError(f"boundary mode not supported: mode={mode!r}; known are {known}")


def check_axes(axes: Any, ndim: int) -> tuple[int, ...]:
    """Return the axes, positive and in their order; all by default."""
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


def each(value: Any, count: int, name: str) -> list[Any]:
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


def check_input(input: Any) -> Any:
    """Return the input as an array of a dtype that is supported, or the Spec that it is."""
    array = as_numbers(input)
    _check_dtype(array.dtype, "input")
    return array


def beside(input: Any, weights: Any) -> Any:
    """Return the input, checked: what is no array goes where the weights are."""
    if isinstance(input, (np.ndarray, Spec)):
        return check_input(input)
    return check_input(_devices.moved(input, _devices.of(weights)))


def as_numbers(input: Any) -> Any:
    """Return the input as an array of numbers, or the Spec that it is."""
    array = input if isinstance(input, Spec) else _devices.as_array(input)
    if array.dtype.kind in "USV":
        raise TypeError(f"input must hold numbers, not {array.dtype}")
    return array


def _check_dtype(dtype: np.dtype[Any], name: str) -> None:
    if dtype.kind not in "biufc" or dtype.char in "egG":
        raise RuntimeError(f"data type not supported: {name} is {dtype}")


def result_dtype(output: Any, input: Any, complex_output: bool) -> np.dtype[Any]:
    """Return the dtype of what is written, where `output` is no array."""
    if output is None:
        dtype: np.dtype[Any] = input.dtype.newbyteorder("=")
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


def make_output(output: Any, input: Any, complex_output: bool) -> np.ndarray:
    """Return the array that `output` is or asks for."""
    if output is None or isinstance(output, (type, np.dtype, str)):
        dtype = result_dtype(output, input, complex_output)
        array: np.ndarray = _devices.empty(input.shape, dtype, _devices.of(input))
        return array
    array = _devices.moved(output, _devices.shared({"input": input, "output": output}))
    if array.shape != input.shape:
        raise RuntimeError(f"output shape not correct: {array.shape}, input has {input.shape}")
    if complex_output and array.dtype.kind != "c":
        raise RuntimeError(f"output must have complex dtype, not {array.dtype}")
    return array


def on_host(input: Any, weights: Any) -> Any:
    """
    Return the weights as an array in the host's memory, or the Spec that they are.

    What filters do depends on their numbers. Arrays must live where the input does.
    """
    _devices.shared({"input": input, "weights": weights})
    return weights if isinstance(weights, Spec) else _devices.to_host(weights)


def apart(input: Any, weights: Any, output: Any) -> np.ndarray:
    """Return the weights as an array on the host that the output does not overwrite."""
    w: np.ndarray = on_host(input, weights)
    return w.copy() if isinstance(output, np.ndarray) and np.may_share_memory(w, output) else w


def check_real(weights: Any) -> Any:
    """Refuse complex weights, whose parts are filters of their own."""
    if np.iscomplexobj(weights):
        raise TypeError("the parts of complex weights filter apart: plan for one of them")
    return weights


def check_cval(cval: Any) -> float:
    """Return the fill of a real input."""
    if isinstance(cval, (str, bytes, complex, np.complexfloating)):
        raise TypeError(f"cval must be a real number where the input is real, not {cval!r}")
    return float(cval)


# --- lowering -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Pass:
    """
    A line of taps along one axis; `mean` where it is a mean of neighbours.

    Two of them are the same only where they are one: who keeps them for the next call says so by
    `kept`, and what is made ready for them is kept, too.
    """

    axis: int
    taps: np.ndarray
    boundary: Boundary
    origin: int = 0
    mean: bool = False
    kept: bool = False

    @property
    def offset(self) -> int:
        return -(self.taps.size // 2) - self.origin


def _compute_dtype(source: np.dtype[Any], result: np.dtype[Any]) -> np.dtype[Any]:
    """Of the sums: float32 where both ends hold no more, else float64."""
    source, result = source.newbyteorder("="), result.newbyteorder("=")
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
        dtype = _compute_dtype(source, result)
        if dtype == np.float32 and max(float(np.abs(k).max()) for k in kernels) >= _LARGE_TAP:
            dtype = np.dtype(np.float64)
        return {"dtype": dtype}
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


def lower_dense(
    input: Any,
    w: np.ndarray,
    offset: Sequence[int],
    boundary: Boundary,
    cval: float,
    result: np.dtype[Any],
    sparse: bool,
    accuracy: float | None,
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
        accuracy=accuracy_of_sums(accuracy, rules["dtype"], result),
        device=_devices.of(input),
        **rules,
        **_fixed(boundary, cval, [w]),
    )
    return Call((input, w), problem, Operand(0), Operand(1), result)


def lower_passes(
    input: Any,
    terms: Sequence[Sequence[Pass]],
    cval: float,
    result: np.dtype[Any],
    accuracy: float | None,
) -> Call:
    """Lower passes along different axes with one boundary; terms pass along the same axes."""
    _check_dtype(result, "output")
    first = terms[0]
    one_line = len(terms) == len(first) == 1 and not first[0].mean
    # SciPy's results to the last bit, which a bound may lie below.
    small = math.prod(input.shape) <= SMALL_SIZE and not accuracy
    if one_line and result.kind == "f" and not small:
        # One line is a plain problem, that every method may take.
        only, ndim = first[0], len(input.shape)
        shape = [-1 if a == only.axis else 1 for a in range(ndim)]
        offset = [only.offset if a == only.axis else 0 for a in range(ndim)]
        # A bound may ask for double precision, of the taps too.
        dtype = np.dtype(np.float64) if accuracy else _compute_dtype(input.dtype, result)
        w = rounded(only.taps, dtype).reshape(shape)
        return lower_dense(input, w, offset, only.boundary, cval, result, False, accuracy)
    axes = tuple(p.axis for p in first)
    taps, offset = [1] * len(input.shape), [0] * len(input.shape)
    for p in first:
        taps[p.axis], offset[p.axis] = p.taps.size, p.offset
    kernels = [p.taps for passes in terms for p in passes]
    sums = [np.ones(p.taps.size) if p.mean else p.taps for p in first]
    rules = _rules(input.dtype, result, sums, cval, small)
    problem = Problem(
        x=input.shape,
        w=tuple(taps),
        out=input.shape,
        axes=tuple(sorted(axes)),
        offset=tuple(offset),
        lines=axes,
        terms=len(terms),
        box=all(p.mean for p in first),
        accuracy=accuracy_of_sums(accuracy, rules["dtype"], result),
        device=_devices.of(input),
        **rules,
        **_fixed(first[0].boundary, cval, kernels),
    )
    lines = Lines(tuple(tuple(p.taps for p in t) for t in terms), axes, len(input.shape))
    return Call((input, lines), problem, Operand(0), Operand(1), result)


def _chain(passes: Sequence[Pass]) -> list[list[Pass]]:
    """Split passes where the boundary changes: each part is one problem."""
    parts: list[list[Pass]] = []
    for p in passes:
        if parts and parts[-1][0].boundary is p.boundary and parts[-1][0].mean == p.mean:
            parts[-1].append(p)
        else:
            parts.append([p])
    return parts


# --- solving --------------------------------------------------------------------------------------

# Makes one filter of a real input ready: step(data, fill, dtype of the result).
Step = Callable[[Any, float, np.dtype[Any]], tuple[Choice, Prepared]]


def ready(call: Call) -> tuple[Choice, Prepared]:
    """Choose the method of a call, and prepare its kernel."""
    choice = call.choose()
    return choice, choice.prepare(call.arrays[1])


@functools.lru_cache(maxsize=_READY_FILTERS)
def _kept_ready(
    spec: Spec,
    result: np.dtype[Any],
    passes: tuple[Pass, ...],
    cval: float,
    accuracy: float | None,
    threads: int,
    stream: int | None,  # that what is on a GPU belongs to
) -> tuple[Choice, Prepared]:
    return ready(lower_passes(spec, [passes], cval, result, accuracy))


def _pass_step(passes: Sequence[Pass], accuracy: float | None) -> Step:
    def step(data: Any, cval: float, result: np.dtype[Any]) -> tuple[Choice, Prepared]:
        if not all(p.kept for p in passes):
            return ready(lower_passes(data, [passes], cval, result, accuracy))
        device = _devices.of(data)
        spec = Spec(data.shape, data.dtype, _devices.spec_name(device))
        threads, stream = get_num_threads(), _devices.stream(device)
        return _kept_ready(spec, result, tuple(passes), cval, accuracy, threads, stream)

    return step


def solve(input: Any, output: np.ndarray, cval: Any, steps: Sequence[Step]) -> np.ndarray:
    """Run filters one after the other, each on what the last one gave, into the output."""
    if (input.dtype.kind == "c") != (output.dtype.kind == "c"):
        kind = "complex" if input.dtype.kind == "c" else "real"
        raise RuntimeError(f"output must have {kind} dtype, as the input, not {output.dtype}")
    if isinstance(output, np.ndarray) and not output.flags.writeable:
        raise ValueError("output is read-only")
    if input.dtype.kind == "c":
        # Real filters: the parts are two images.
        cval = complex(cval)
        for part in ("real", "imag"):
            solve(getattr(input, part), getattr(output, part), getattr(cval, part), steps)
        return output
    cval = check_cval(cval)
    if input.size == 0:
        return output
    device = _devices.of(input)
    with _devices.on(device):
        data = input
        for number, step in enumerate(steps):
            choice, kernel = step(data, cval, output.dtype)
            last = number == len(steps) - 1
            into_output = last and not may_overlap(data, output)
            target = output if into_output else _devices.empty(data.shape, output.dtype, device)
            choice.run(data, kernel, target, get_num_threads())
            data = target
        if data is not output:
            output[...] = data
    return output


def run_passes(
    input: np.ndarray,
    output: np.ndarray,
    passes: Sequence[Pass],
    cval: Any,
    accuracy: float | None,
) -> None:
    """Fill the output by passes one after the other; without any it is the input."""
    if not passes:
        with _devices.on(_devices.of(input)):
            output[...] = input
        return
    parts = _chain(passes)
    share = share_accuracy(accuracy, len(parts), output.dtype)
    solve(input, output, cval, [_pass_step(part, share) for part in parts])


def lower_planned(
    input: Any, passes: Sequence[Pass], cval: Any, output: Any, accuracy: float | None
) -> Call:
    """Lower passes for `plan` and `explain`: they must be one problem."""
    check_plannable(input, output)
    parts = _chain(passes)
    if len(parts) != 1:
        raise ValueError(f"{len(parts)} filters in a row, not one: there is nothing to plan")
    result = result_dtype(output, input, complex_output=False)
    return lower_passes(input, parts, check_cval(cval), result, accuracy)


def check_plannable(input: Any, output: Any) -> None:
    """Refuse what is more than one problem, or no Spec of a result."""
    if input.dtype.kind == "c":
        raise TypeError("the parts of a complex input are filtered apart: plan for one of them")
    if isinstance(output, np.ndarray) or _devices.is_on_gpu(output):
        raise TypeError("output must be a dtype in plan and explain; plans take out=")


# --- any kernel -----------------------------------------------------------------------------------


def dense_kernel(
    input: Any, weights: Any, origin: Any, axes: Any, *, convolution: bool
) -> tuple[np.ndarray, list[int]]:
    """Return the kernel as it correlates, with an axis for each of the input's, and its offset."""
    ndim = len(input.shape)
    chosen = check_axes(axes, ndim)
    w = np.asarray(weights, dtype=np.float64)
    origins = [0] * ndim
    if len(chosen) < ndim:
        if w.ndim != len(chosen):
            raise RuntimeError(f"weights.ndim ({w.ndim}) must match len(axes) ({len(chosen)})")
        w = np.expand_dims(w, tuple(a for a in range(ndim) if a not in chosen))
    for a, shift in zip(chosen, each(origin, len(chosen), "origin"), strict=True):
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


def correlate_dense(
    input: Any,
    weights: Any,
    output: Any,
    mode: Any,
    cval: Any,
    origin: Any,
    axes: Any,
    accuracy: float | None,
    *,
    convolution: bool,
) -> np.ndarray:
    input = beside(input, weights)
    weights = apart(input, weights, output)
    complex_weights = weights.dtype.kind == "c"
    if complex_weights and not convolution:
        weights = weights.conj()

    def filter_by(
        data: np.ndarray, real_weights: np.ndarray, into: Any, fill: Any, share: float | None
    ) -> np.ndarray:
        w, offset = dense_kernel(data, real_weights, origin, axes, convolution=convolution)
        target = make_output(into, data, data.dtype.kind == "c")
        boundary = check_mode(mode)

        def step(x: Any, value: float, result: np.dtype[Any]) -> tuple[Choice, Prepared]:
            kernel = w.reshape(w.shape or 1)
            return ready(lower_dense(x, kernel, offset, boundary, value, result, True, share))

        # An array without axes is one of a single element.
        x, y = (a if a.ndim else a.reshape(1) for a in (data, target))
        solve(x, y, fill, [step])
        return target

    if complex_weights:
        return by_weights(filter_by, input, weights, output, cval, accuracy)
    return filter_by(input, weights, output, cval, accuracy)


def by_weights(
    filter_by: Callable[..., np.ndarray],
    input: np.ndarray,
    weights: np.ndarray,
    output: Any,
    cval: Any,
    accuracy: float | None,
) -> np.ndarray:
    """Filter by complex weights: by their parts, whose results are added."""
    with _devices.on(_devices.of(input)):
        result = make_output(output, input, complex_output=True)
        return _by_parts(filter_by, input, weights, result, cval, accuracy)


def _by_parts(
    filter_by: Callable[..., Any],
    input: Any,
    weights: np.ndarray,
    output: np.ndarray,
    cval: Any,
    accuracy: float | None,
) -> np.ndarray:
    if input.dtype.kind != "c":
        if isinstance(cval, (complex, np.complexfloating)):
            raise ValueError(f"Cannot provide a complex-valued cval when the input is real: {cval}")
        output.real, output.imag = (
            filter_by(input, w, output.real.dtype, cval, accuracy)
            for w in (weights.real, weights.imag)
        )
        return output
    if accuracy:  # both err, each by its part of the weights, and their sum is rounded
        less_rounding(accuracy, output.dtype, 1 + math.sqrt(2))
        accuracy = less_rounding(accuracy, output.dtype) / math.sqrt(2)
    of_real = filter_by(input, weights.real, output.dtype, cval, accuracy)
    of_imag = filter_by(input, weights.imag, output.dtype, cval, accuracy)
    output.real = of_real.real - of_imag.imag
    output.imag = of_real.imag + of_imag.real
    return output
