"""From a public call to its result: what a call was lowered to, plans, and explanations."""

from __future__ import annotations

import contextlib
import inspect
import math
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import (
    Any,
    ClassVar,
    Concatenate,
    Literal,
    ParamSpec,
    Protocol,
    TypeAlias,
    TypeVar,
    overload,
)

import numpy as np
from numpy.typing import ArrayLike

from fastconv import _devices, _planner, _tables
from fastconv._methods import count_terms, direct, unit_roundoff
from fastconv._native._core import ShortPlan
from fastconv._planner import Candidate, Choice, Prepared
from fastconv._problem import Boundary, Lines, Problem, Reason, Spec
from fastconv._threads import get_num_threads
from fastconv._typing import Data, Measure, Method

Array = np.ndarray | Spec
Function = TypeVar("Function", bound=Callable[..., Any])
# What may stand for an array that is planned for.
Planned: TypeAlias = Data | Spec
# The arguments of a function that is planned, after its first array or its first two: those may be
# Specs, and all the others are checked as the function's own.
Rest = ParamSpec("Rest")

# Values of `accuracy` that are no bound. Literals are one object: who compares by `is` misses a
# shorter road where they are not, and nothing else.
DEFAULT, DIRECT = "default", "direct"

# The method of `plan` that times methods: those that are predicted to take no more than so many
# times the least, in turn, for so many rounds or seconds.
_MEASURE = "measure"
_MIGHT_WIN = 10.0
_MOST_ROUNDS = 50
_MEASURING_SECONDS = 0.5

# NumPy's own limit, less the axes that methods put before those of the arrays.
_MOST_AXES = 62
# Multiply-adds from which it pays to look at integers' values: the FFT needs their range.
_RANGE_MACS = 1 << 27
# Multiply-adds, and taps, from which it pays to look whether a kernel is a sum of few products of
# lines.
_TERMS_MACS = 1 << 22
_TERMS_TAPS = 25


@dataclass(frozen=True, slots=True)
class Operand:
    """Which argument plays a role of the problem, and the view of it that does."""

    argument: int
    flip: bool = False
    conjugate: bool = False

    def view(self, arrays: tuple[Any, ...], axes: tuple[int, ...]) -> Any:
        """Return the argument, reversed along the convolved axes and conjugated as told."""
        a = arrays[self.argument]
        if isinstance(a, Lines):
            return a
        if self.flip:
            a = a[tuple(slice(None, None, -1 if i in axes else 1) for i in range(a.ndim))]
        if self.conjugate and a.dtype.kind == "c":
            a = np.conjugate(a)
        return a


class Lowered(Protocol):
    """What a public function's call was lowered to; a dataclass with these fields."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def arrays(self) -> tuple[Any, ...]:
        """The array arguments, or Specs that stand for them."""

    @property
    def problem(self) -> Problem:
        """What is to be solved."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the result."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the result."""

    @property
    def method(self) -> str:
        """'auto' or a method's name."""

    @property
    def kernel_to_come(self) -> bool:
        """Whether a Spec stands for the kernel."""

    def choose(self) -> Choice:
        """Choose the method, from shapes alone where the arrays are Specs."""

    def with_data(self, data: np.ndarray) -> Lowered:
        """Return the call with other data in place of the first array."""

    def prepare(self, choice: Choice) -> Prepared:
        """Prepare the kernel for a choice."""

    def run(self, choice: Choice, kernel: Prepared, out: np.ndarray | None) -> np.ndarray:
        """Compute the result by a choice and a prepared kernel."""


@dataclass(frozen=True, slots=True)
class Call:
    """
    One call of a function of two arrays, lowered.

    Attributes
    ----------
    arrays : tuple
        The array arguments, or Specs that stand for them.
    problem : Problem
        What is to be solved.
    x, w : Operand
        Who plays the data and who the kernel.
    dtype : dtype
        Of the result.
    method : str
        'auto' or a method's name.
    """

    arrays: tuple[Any, ...]
    problem: Problem
    x: Operand
    w: Operand
    dtype: np.dtype[Any]
    method: str = _planner.AUTO

    def choose(self) -> Choice:
        """Choose the method, from shapes alone where the arrays are Specs."""
        problem = _with_terms(self, _with_range(self))
        return _planner.choose(problem, self.method, get_num_threads())

    def solve(self, out: np.ndarray | None = None) -> np.ndarray:
        """Compute the result into `out`, or into a new array."""
        for array in self.arrays:
            if isinstance(array, Spec):
                raise TypeError(f"{array} holds no numbers: a Spec is for plan and explain")
        with _devices.on(self.problem.device):
            choice = self.choose()
            return self.run(choice, self.prepare(choice), out)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the result."""
        return self.problem.out

    @property
    def kernel_to_come(self) -> bool:
        """Whether a Spec stands for the kernel."""
        return isinstance(self.arrays[self.w.argument], Spec)

    def with_data(self, data: np.ndarray) -> Call:
        """Return the call with other data in place of the first array."""
        return replace(self, arrays=(data, *self.arrays[1:]))

    def prepare(self, choice: Choice) -> Prepared:
        """Prepare the kernel for a choice."""
        return choice.prepare(self.w.view(self.arrays, self.problem.axes))

    def run(self, choice: Choice, kernel: Prepared, out: np.ndarray | None) -> np.ndarray:
        """Compute the result by a choice and a prepared kernel."""
        x = self.x.view(self.arrays, self.problem.axes)
        if out is None:
            out = _devices.empty(self.problem.out, self.dtype, self.problem.device)
        choice.run(x, kernel, out, get_num_threads())
        return out


def lowered_by(lower: Callable[..., Lowered]) -> Callable[[Function], Function]:
    """Tell `plan` and `explain` how a public function's arguments become a Call."""

    def mark(function: Function) -> Function:
        function.__lower__ = lower  # type: ignore[attr-defined]
        return function

    return mark


def _with_range(call: Call) -> Problem:
    """Bound large integers by their values, so that the FFT can prove itself exact."""
    problem = call.problem
    if problem.dtype.kind not in "iu" or problem.macs < _RANGE_MACS or problem.empty:
        return problem
    # Rounded up to powers of two, so that choices are found again for other values.
    x, w = (_magnitude(call.arrays[role.argument]) for role in (call.x, call.w))
    if problem.boundary is Boundary.CONSTANT:
        x = max(x, float(abs(problem.fill)))
    return replace(problem, magnitude=(x, w))


def _with_terms(call: Call, problem: Problem) -> Problem:
    """Look whether a large kernel is a sum of few products of lines."""
    w = call.arrays[call.w.argument]
    axes = [a for a in problem.axes if problem.w[a] > 1]
    if (
        problem.lines
        or problem.accuracy == 0
        or len(axes) != 2
        or problem.varying
        or problem.dtype not in (np.float32, np.float64)
        or problem.cut is not None
        or problem.macs < _TERMS_MACS
        or problem.taps < _TERMS_TAPS
        or not isinstance(w, np.ndarray)
    ):
        return problem
    taps = call.w.view(call.arrays, problem.axes).reshape([problem.w[a] for a in axes])
    return replace(problem, terms=count_terms(taps.astype(problem.dtype, copy=False)))


def _magnitude(a: Array) -> float:
    if a.dtype.kind == "b":
        return 1.0
    if isinstance(a, Spec):
        return float(np.iinfo(a.dtype).max)
    most = max(abs(int(a.max())), abs(int(a.min())))
    return float(1 << most.bit_length())


def as_arrays(**arguments: Any) -> tuple[Any, ...]:
    """Return arguments, by their names, as arrays in one place, or the Specs that they are."""
    arrays = tuple(arguments.values())
    if not _devices.are_plainly_here(arrays):
        _, arrays = _devices.together(**arguments)
    for array in arrays:
        if array.dtype.kind in "USVM" or array.ndim > _MOST_AXES:
            _refuse_arrays(arguments, arrays)
    return arrays


def _refuse_arrays(names: Iterable[str], arrays: tuple[Any, ...]) -> None:
    for name, array in zip(names, arrays, strict=True):
        if array.dtype.kind in "USVM":
            raise ValueError(f"{name} must hold numbers, not {array.dtype}")
        if array.ndim > _MOST_AXES:
            raise ValueError(f"{name} has {array.ndim} axes; at most {_MOST_AXES} can be convolved")


def check_accuracy(accuracy: Any) -> float | None:
    """
    Return what results may err by, beside the norms of data and kernel.

    None for 'default', 0 for 'direct': plain sums of products alone.
    """
    if accuracy is DEFAULT:
        return None
    expected = "'default', 'direct' or a positive number that is finite"
    if isinstance(accuracy, str):
        if accuracy in (DEFAULT, DIRECT):
            return None if accuracy == DEFAULT else 0.0
    elif isinstance(accuracy, bool) or not isinstance(
        accuracy, (int, float, np.integer, np.floating)
    ):
        raise TypeError(f"accuracy must be {expected}, not {accuracy!r}")
    elif 0 < accuracy < math.inf:
        with contextlib.suppress(OverflowError):
            if 0 < (bound := float(accuracy)) < math.inf:
                return bound
    raise ValueError(f"accuracy must be {expected}, not {accuracy!r}")


def share_accuracy(accuracy: float | None, count: int, result: np.dtype[Any]) -> float | None:
    """
    Return what each of so many filters in a row may err by, each rounded to the result's dtype.

    Errors add up: what one errs by, beside its windows' norms, is passed on by the next beside
    theirs, and the norms of lines are factors of their product's.
    """
    if not accuracy or count == 1:
        return accuracy
    if result.kind in "fc":
        _planner.less_rounding(accuracy, result, count)
    return math.expm1(math.log1p(accuracy) / count)


def lower_pair(
    in1: Any,
    in2: Any,
    spans: dict[int, tuple[int, int]],
    *,
    correlate: bool,
    swap: bool,
    dtype: np.dtype[Any],
    compute: np.dtype[Any],
    boundary: Boundary = Boundary.ZERO,
    fill: complex = 0,
    method: str = _planner.AUTO,
    accuracy: float | None = None,
) -> Call:
    """
    Lower a convolution or correlation of two arrays of one dimensionality.

    Convolution is correlation with the kernel flipped, correlation is convolution with the second
    array flipped and conjugated, and convolution commutes: so either array may be the data, and
    only who is flipped changes.

    Parameters
    ----------
    in1, in2 : ndarray or Spec
        The arguments.
    spans : dict
        For each axis that is convolved along: the outputs, and where in the full convolution the
        first of them stands.
    correlate : bool
        Correlation instead of convolution.
    swap : bool
        Take `in2` as the data.
    dtype, compute : dtype
        Of the result, and of the computation.
    boundary, fill, method
        As in Problem and Call.
    accuracy : float, optional
        As in Problem, of the results.
    """
    x, w = (in2.shape, in1.shape) if swap else (in1.shape, in2.shape)
    out = tuple(spans[a][0] if a in spans else n for a, n in enumerate(x))
    offset = tuple(spans[a][1] - (w[a] - 1) if a in spans else 0 for a in range(len(x)))
    if math.prod(out) * max(dtype.itemsize, 1) > sys.maxsize:
        raise ValueError(f"the result's shape {out} is past the address space")
    accuracy = _planner.accuracy_of_sums(accuracy, compute, dtype)
    axes = tuple(sorted(spans))
    device = None
    if not _devices.are_plainly_here((in1, in2)):
        device = _devices.shared({"in1": in1, "in2": in2})
    problem = Problem(
        x, w, out, axes, offset, compute, boundary, fill, accuracy=accuracy, device=device
    )
    if not correlate:
        roles = Operand(int(swap)), Operand(int(not swap), flip=True)
    elif swap:
        roles = Operand(1, flip=True, conjugate=True), Operand(0, flip=True)
    else:
        roles = Operand(0), Operand(1, conjugate=True)
    return Call((in1, in2), problem, *roles, dtype, method)


def check_out(out: Any, call: Lowered, arrays: tuple[Any, ...] | None = None) -> None:
    """Refuse an `out` that cannot take the result of a call, or shares memory with its arrays."""
    device = call.problem.device
    _devices.check_out(out, device)
    if out.shape != call.shape:
        raise ValueError(f"out has shape {out.shape}; the result has shape {call.shape}")
    if out.dtype != call.dtype:
        raise ValueError(f"out has dtype {out.dtype}; the result has dtype {call.dtype}")
    if device is None and not out.flags.writeable:
        raise ValueError("out is read-only")
    if _overlaps_itself(out):
        raise ValueError(f"out holds some elements more than once: its strides are {out.strides}")
    for number, array in enumerate(call.arrays if arrays is None else arrays, 1):
        if _overlap(out, array):
            raise ValueError(f"out overlaps input {number}; it must not share its memory")


def _overlaps_itself(a: Any) -> bool:
    """Whether elements may share memory: an axis steps into what smaller steps reach."""
    if a.flags.c_contiguous or a.size == 0:
        return False
    reach = a.itemsize
    for step, n in sorted((abs(s), n) for s, n in zip(a.strides, a.shape, strict=True) if n > 1):
        if step < reach:
            return True
        reach += step * (n - 1)
    return False


def _overlap(a: Any, b: Any) -> bool:
    if not may_overlap(a, b):
        return False
    if _devices.is_on_gpu(a):
        return True
    try:
        return np.shares_memory(a, b, max_work=10_000)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True  # undecided in reasonable time


def may_overlap(a: Any, b: Any) -> bool:
    """Whether arrays lie in ranges of memory that overlap; what is no array lies nowhere."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return np.may_share_memory(a, b)
    if not (_devices.is_on_gpu(a) and _devices.is_on_gpu(b) and a.device == b.device):
        return False
    (first, stop), (other_first, other_stop) = map(_devices.extent, (a, b))
    return first < other_stop and other_first < stop


def _lower(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Lowered:
    lower = getattr(func, "__lower__", None)
    if lower is None:
        raise TypeError(
            f"func must be one of fastconv's functions that are one convolution, not {func!r}"
        )
    call: Lowered = lower(*args, **kwargs)
    if not call.problem.out and not call.problem.x:
        raise ValueError("arrays without axes are multiplied: there is nothing to plan")
    return call


# --- explain --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Explanation:
    """
    Which method a call takes, and why not the others; printing it shows a table.

    Attributes
    ----------
    chosen : str
        Name of the method.
    candidates : tuple of Candidate
        Every method, each with ``name``, ``predicted`` (seconds), ``reason``, ``bound`` (what most
        of the time goes to), ``workspace`` (bytes), ``error`` (as below) and ``roofline`` (share of
        the machine's limit); None where it is rejected.
    problem : Problem
        What the call was lowered to.
    error : float
        What results may err by, beside the 2-norms of the kernel and of the data that a result is
        computed from; zero where they are exact.
    """

    chosen: str
    candidates: tuple[Candidate, ...]
    problem: Problem

    @property
    def error(self) -> float:
        return _error(self.chosen, self.candidates)

    def __str__(self) -> str:
        return _tables.text(self.problem, self.chosen, self.candidates)

    def _repr_html_(self) -> str:
        return _tables.as_html(self.problem, self.chosen, self.candidates)


def _standings(choice: Choice, dtype: np.dtype[Any]) -> tuple[Candidate, ...]:
    """Tell how every method stands for results of a dtype, which may hold less than their sums."""
    candidates, compute = choice.candidates, choice.problem.dtype
    if dtype.kind not in "fc" or not _planner.rounds(compute, dtype):
        return candidates
    lost = unit_roundoff(dtype)
    return tuple(c if c.error is None else replace(c, error=c.error + lost) for c in candidates)


def _error(chosen: str, candidates: tuple[Candidate, ...]) -> float:
    return next(c.error or 0.0 for c in candidates if c.name == chosen)


@overload
def explain(
    func: Callable[Concatenate[ArrayLike, ArrayLike, Rest], Any],
    data: Planned,
    kernel: Planned,
    /,
    *args: Rest.args,
    **kwargs: Rest.kwargs,
) -> Explanation: ...
@overload
def explain(
    func: Callable[Concatenate[ArrayLike, Rest], Any],
    data: Planned,
    /,
    *args: Rest.args,
    **kwargs: Rest.kwargs,
) -> Explanation: ...
def explain(func: Callable[..., Any], *args: Any, **kwargs: Any) -> Explanation:  # type: ignore[misc]
    """
    Tell which method a call takes, and why not the others, without computing anything.

    Parameters
    ----------
    func : callable
        A convolution function of fastconv.
    *args
        Its arguments; a `Spec` may stand for an array.
    **kwargs
        Its other arguments.

    Returns
    -------
    Explanation
        Prints as a table; ``.chosen`` and ``.candidates`` hold the same as data.

    Raises
    ------
    TypeError
        If `func` is none of fastconv's functions.
    ValueError
        As the call itself would.

    Examples
    --------
    >>> import fastconv
    >>> image = fastconv.Spec((1080, 1920), "float32")
    >>> kernel = fastconv.Spec((7, 7), "float32")
    >>> fastconv.explain(fastconv.convolve, image, kernel, mode="same").chosen
    'direct'
    """
    call = _lower(func, args, kwargs)
    choice = call.choose()
    return Explanation(choice.method, _standings(choice, call.dtype), choice.problem)


# --- plan -----------------------------------------------------------------------------------------


class Plan(ShortPlan):
    """
    A call that is ready to run for any data of one shape and dtype; made by `plan`.

    Plans never change, may be called from several threads at once, and can be copied and pickled:
    what is loaded chooses and prepares again, on the machine that loads it.

    Attributes
    ----------
    problem : Problem
        What the call was lowered to.
    method : str
        The method that solves it.
    candidates : tuple of Candidate
        How every method stood.
    error : float
        What results may err by, as in `Explanation`.
    """

    __slots__ = ("__weakref__", "_choice", "_held", "_kernel", "_measured")
    _choice: Choice
    _held: Lowered
    _kernel: Prepared | None
    _measured: Mapping[str, float]

    def __init__(self, call: Lowered, measured: Mapping[str, float] | None = None) -> None:
        held = call.arrays[1:]
        if any(isinstance(a, Spec) for a in held):
            raise TypeError("the arrays that a plan holds must be given, not their Specs")
        # Any data may come: integers are bounded by their dtype, not by those given here.
        device = call.problem.device
        coming = Spec(call.arrays[0].shape, call.arrays[0].dtype, _devices.spec_name(device))
        with _devices.on(device):
            copies = (a if isinstance(a, Lines) else a.copy() for a in held)
            call = replace(call, arrays=(coming, *copies))
            choice = call.choose()
            # The data to come may play the kernel's role (the longer array is the data): then
            # there is nothing to prepare.
            kernel = None if call.kernel_to_come else call.prepare(choice)
        _devices.wait(device)  # calls may come from other streams
        for name, value in (
            ("_held", call),
            ("_choice", choice),
            ("_kernel", kernel),
            ("_measured", dict(measured or {})),
        ):
            object.__setattr__(self, name, value)
        problem = choice.problem
        if kernel is not None and _is_one_direct_sum(call, choice, kernel):
            super().__init__(
                problem.x,
                kernel.state.finite,
                problem.out,
                problem.offset,
                problem.boundary,
                problem.fill_element,
                problem.sparse,
            )

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"plans do not change: cannot set {name!r}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"plans do not change: cannot delete {name!r}")

    def __reduce__(self) -> tuple[type[Plan], tuple[Lowered, Mapping[str, float]]]:
        return type(self), (self._held, self._measured)

    @property
    def problem(self) -> Problem:
        """What the call was lowered to."""
        return self._choice.problem

    @property
    def method(self) -> str:
        """Name of the method."""
        return self._choice.method

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """How every method stood."""
        standings = _standings(self._choice, self._held.dtype)
        return tuple(replace(c, measured=self._measured.get(c.name)) for c in standings)

    @property
    def error(self) -> float:
        """What results may err by, beside the norms of data and kernel, as in `Explanation`."""
        return _error(self.method, self.candidates)

    def _run(self, data: Any, out: np.ndarray | None) -> np.ndarray:
        """Compute what `ShortPlan` leaves to the long road."""
        expected, device = self._held.arrays[0], self.problem.device
        if device is not None and not isinstance(data, np.ndarray):
            data = _devices.moved(data, device)
        if _devices.of(data) != device:
            where = _devices.name(_devices.of(data))
            raise TypeError(f"data is on {where}; the plan was made for {_devices.name(device)}")
        array = _devices.as_array(data)
        if array.shape != expected.shape or array.dtype != expected.dtype:
            raise ValueError(
                f"data has shape {array.shape} and dtype {array.dtype}; the plan was made for "
                f"{expected.shape} and {expected.dtype}"
            )
        call = self._held.with_data(array)
        if out is not None:
            check_out(out, call, (array,))  # what is held is nobody else's
        with _devices.on(device):
            kernel = self._kernel
            if kernel is None:
                kernel = call.prepare(self._choice)
            return call.run(self._choice, kernel, out)

    def __repr__(self) -> str:
        return f"<Plan: {self.method}, {self.problem.x} ∗ {self.problem.w} → {self.problem.out}>"

    def __str__(self) -> str:
        return _tables.text(self.problem, self.method, self.candidates)

    def _repr_html_(self) -> str:
        return _tables.as_html(self.problem, self.method, self.candidates)


def _is_one_direct_sum(call: Lowered, choice: Choice, kernel: Prepared) -> bool:
    """Whether a run is one call of the direct kernels, on the data as they come."""
    problem, coming = choice.problem, call.arrays[0]
    return (
        choice.method == direct.NAME
        and isinstance(call, Call)
        and call.x == Operand(0)
        and problem.dtype == coming.dtype == call.dtype
        and coming.dtype.isnative
        and problem.cut is None
        and not problem.varying
        and sum(problem.w[a] > 1 for a in problem.axes) <= 2  # more are summed in blocks
        and kernel.state.nonfinite is None
    )


@overload
def plan(
    func: Callable[Concatenate[ArrayLike, ArrayLike, Rest], Any],
    data: Planned,
    kernel: Planned,
    /,
    *args: Rest.args,
    **kwargs: Rest.kwargs,
) -> Plan: ...
@overload
def plan(
    func: Callable[Concatenate[ArrayLike, Rest], Any],
    data: Planned,
    /,
    *args: Rest.args,
    **kwargs: Rest.kwargs,
) -> Plan: ...
@overload  # most functions have no method, and none has 'measure': a ParamSpec takes no more names
def plan(
    func: Callable[..., Any],
    data: Planned,
    /,
    *args: Any,
    method: Method | Measure | Literal["measure"],
    **kwargs: Any,
) -> Plan: ...
def plan(  # type: ignore[misc]
    func: Callable[..., Any], *args: Any, method: str = "auto", **kwargs: Any
) -> Plan:
    """
    Plan a call once, to run it for many arrays of one shape.

    The kernel is held: checked, converted and (for an FFT) transformed once, unless data of
    another dtype than the result's is so large that it is converted piece by piece.

    Parameters
    ----------
    func : callable
        A convolution function of fastconv.
    *args
        Its arguments. The first array is the data to come: an array or a `Spec`; the arrays that
        follow are held, as copies.
    method : str
        'auto', or the name of a method; of match_template, its measure. 'measure' times the methods
        that might win for real, on noise, and takes the fastest of them.
    **kwargs
        Its other arguments.

    Returns
    -------
    Plan
        Call it with data, and with ``out=`` if you like.

    Raises
    ------
    TypeError
        If `func` is none of fastconv's functions, a held array is a Spec, or `out` is given.
    ValueError
        As the call itself would; or if the method must refuse, with its reason.

    Examples
    --------
    >>> import fastconv, numpy as np
    >>> smooth = fastconv.plan(
    ...     fastconv.convolve, fastconv.Spec(6, "float64"), np.ones(3) / 3, mode="same")
    >>> smooth([0.0, 0.0, 3.0, 3.0, 0.0, 0.0]).round(6)
    array([0., 1., 2., 2., 1., 0.])
    """
    if kwargs.get("out") is not None:
        raise TypeError("out is given to the plan's calls, not to plan")
    if isinstance(method, str) and method == _MEASURE:
        call = _lower(func, args, kwargs)
        measured = _measure(call)
        return Plan(replace(call, method=min(measured, key=lambda name: measured[name])), measured)
    own = inspect.signature(func).parameters.get("method")
    if own is not None and (own.default == _planner.AUTO or method != _planner.AUTO):
        return Plan(_lower(func, args, {**kwargs, "method": method}))
    return Plan(replace(_lower(func, args, kwargs), method=method))


def _measure(call: Lowered) -> dict[str, float]:
    """Return the seconds of a call by each method that might be chosen and might win."""
    able = [c for c in call.choose().candidates if c.predicted is not None]
    able = [c for c in able if c.reason != Reason.LESS_EXACT]
    least = min(c.predicted or 0.0 for c in able)
    plans = {
        c.name: Plan(replace(call, method=c.name))
        for c in able
        if (c.predicted or 0.0) <= _MIGHT_WIN * least
    }
    coming, device = call.arrays[0], call.problem.device
    host = noise(np.random.default_rng(0), Spec(coming.shape, coming.dtype))
    data = _devices.moved(host, device)
    out = _devices.empty(call.shape, call.dtype, device)
    seconds = dict.fromkeys(plans, math.inf)
    began = time.perf_counter()
    for number in range(_MOST_ROUNDS):
        for name, ready in plans.items():
            start = time.perf_counter()
            ready(data, out)
            _devices.wait(device)
            seconds[name] = min(seconds[name], time.perf_counter() - start)
        if number and time.perf_counter() - began > _MEASURING_SECONDS:
            break
    return seconds


def noise(rng: np.random.Generator, spec: Spec) -> np.ndarray:
    """Return data that stand for any: normal noise, or integers below 256."""
    if spec.dtype.kind in "iu":
        return rng.integers(0, min(np.iinfo(spec.dtype).max, 255), spec.shape).astype(spec.dtype)
    if spec.dtype.kind == "c":
        parts = [rng.standard_normal(spec.shape) for _ in range(2)]
        return (parts[0] + 1j * parts[1]).astype(spec.dtype)
    return rng.standard_normal(spec.shape).astype(spec.dtype)
