"""
The switch in one line: fastconv's functions in place of SciPy's and NumPy's, in the whole process.

A function of theirs stays the object that it is, and its code is swapped. So whoever has imported
it before is switched, too, callers inside SciPy and scikit-image among them; it can still be
pickled, and its signature, and what NumPy or SciPy wrap around it for arrays of other libraries,
stay. The new code has the old one's parameters and hands them to a function that waits in the
globals of the module, which chooses between ours and a copy of theirs.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import sys
import threading
import types
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from inspect import Parameter
from typing import Any

import numpy as np

from fastconv import ndimage, signal
from fastconv import numpy as numpy_front

Function = Callable[..., Any]

_MODULES = {"scipy.signal": signal, "scipy.ndimage": ndimage, "numpy": numpy_front}
_OURS: dict[str, Function] = {
    f"{module}.{name}": getattr(ours, name)
    for module, ours in _MODULES.items()
    for name in ours.__all__
}
_BY_PLACE = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_FOREIGN = ("__array_namespace__", "__array_function__", "__dlpack__")

_lock = threading.RLock()
_replacements: dict[str, _Replacement] = {}
_standing: list[contextlib.ExitStack] = []  # undo what patch_scipy has put in place


@dataclass(frozen=True, eq=False)
class PatchReport:
    """
    What `patch_scipy` or `patched` has replaced.

    Printed, it is a table.

    Attributes
    ----------
    replaced : tuple of str
        Full names, such as ``'scipy.signal.convolve'``, of the functions that are fastconv's now.
    left : dict of str to str
        Full names of the functions that stayed as they were, and why.
    calls : dict of str to int, or None
        Calls that fastconv has served since, by full name, if they are counted.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv
    >>> with fastconv.patched("numpy", count=True) as report:
    ...     result = np.convolve([1.0, 2.0], [1.0, 1.0])
    >>> report.replaced
    ('numpy.convolve', 'numpy.correlate')
    >>> report.calls
    {'numpy.convolve': 1}
    """

    replaced: tuple[str, ...]
    left: Mapping[str, str]
    _tally: Counter[str] | None = field(default=None, repr=False)

    @property
    def calls(self) -> dict[str, int] | None:
        """Calls that fastconv has served since, by full name; None where nobody counts."""
        if self._tally is None:
            return None
        with _lock:
            return dict(self._tally)

    def __str__(self) -> str:
        calls = self.calls
        lines = [f"fastconv stands in for {_counted(len(self.replaced), 'function')}"]
        if calls is not None:
            lines[0] += f", and has served {_counted(sum(calls.values()), 'call')}"
        for module in _MODULES:
            shown = ", ".join(
                name.rpartition(".")[2] + (f" {calls[name]}×" if calls else "")
                for name in (calls or self.replaced)
                if name.rpartition(".")[0] == module
            )
            lines += [f"  {module:13}  {shown}"] if shown else []
        for reason in dict.fromkeys(self.left.values()):
            names = [name for name in self.left if self.left[name] == reason]
            lines += [f"  left as it was ({reason}): {', '.join(names)}"]
        return "\n".join(lines)


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


class _NotReplacedError(Exception):
    """A function stays as it is, for this reason."""


class _Replacement(ABC):
    """One function of theirs, and ours while somebody holds it there."""

    def __init__(self, name: str, theirs: Any) -> None:
        self.name = name
        self.ours = _OURS[name]
        self.function: Any = theirs
        self.holders: list[PatchReport] = []
        self.theirs = self.prepare()

    @abstractmethod
    def prepare(self) -> Function:
        """Prepare what replaces `function`; returns what does for good as `function` does now."""

    @abstractmethod
    def install(self) -> None:
        """Put ours in the place of theirs."""

    @abstractmethod
    def restore(self) -> None:
        """Put theirs back."""

    def hold(self, report: PatchReport) -> None:
        self.holders.append(report)
        if len(self.holders) == 1:
            self.install()

    def release(self, report: PatchReport) -> None:
        with _lock:
            self.holders.remove(report)
            if not self.holders:
                self.restore()

    def choose(self, data: Any, kernel: Any) -> Function:
        """Ours, but for arrays of other libraries: what theirs did with those it does still."""
        holders = self.holders
        if not holders or _is_foreign(data.__class__) or _is_foreign(kernel.__class__):
            return self.theirs
        for report in holders:
            if report._tally is not None:
                with _lock:
                    report._tally[self.name] += 1
        return self.ours


class _Recoded(_Replacement):
    """A function in Python, whose code is swapped."""

    def prepare(self) -> Function:
        theirs: types.FunctionType = self.function
        self.code = theirs.__code__
        if self.code.co_freevars:
            raise _NotReplacedError("it is a function with a closure")
        self.slot = f"_fastconv_{theirs.__name__}"
        self.new_code = _handing_over(self.name, theirs, self.ours, self.slot)
        copy = types.FunctionType(
            self.code, theirs.__globals__, theirs.__name__, theirs.__defaults__
        )
        copy.__kwdefaults__ = theirs.__kwdefaults__
        return copy

    def install(self) -> None:
        self.function.__globals__[self.slot] = self.choose
        self.function.__code__ = self.new_code

    def restore(self) -> None:
        # The slot stays, for calls that are on their way in other threads.
        if self.function.__code__ is self.new_code:
            self.function.__code__ = self.code


class _Rebound(_Replacement):
    """A compiled function, which is replaced under its own name in every module that has it."""

    def prepare(self) -> Function:
        def stand_in(*args: Any, **kwargs: Any) -> Any:
            data, kernel, *_ = (*args, None, None)
            return self.choose(data, kernel)(*args, **kwargs)

        self.stand_in = functools.update_wrapper(stand_in, self.function)
        function: Function = self.function
        return function

    def install(self) -> None:
        _rebind(self.function, self.stand_in)

    def restore(self) -> None:
        _rebind(self.stand_in, self.function)


def _rebind(before: Function, after: Function) -> None:
    name = before.__name__
    for module in list(sys.modules.values()):
        names = getattr(module, "__dict__", {})
        if names.get(name) is before:
            names[name] = after


@functools.lru_cache(maxsize=256)
def _is_foreign(kind: type) -> bool:
    """Whether objects of this type are arrays, and not NumPy's."""
    if issubclass(kind, (np.ndarray, np.generic)):
        return False
    return any(hasattr(kind, name) for name in _FOREIGN)


def _handing_over(
    name: str, theirs: types.FunctionType, ours: Function, slot: str
) -> types.CodeType:
    """Code with the parameters of `theirs` that hands them on to what `slot` chooses."""
    own = list(inspect.signature(ours).parameters)
    parameters = [
        parameter.replace(default=Parameter.empty, annotation=Parameter.empty)
        for parameter in inspect.signature(theirs).parameters.values()
    ]
    handed = []
    in_place = True
    for index, parameter in enumerate(parameters):
        if parameter.name not in own or parameter.kind is Parameter.VAR_POSITIONAL:
            raise _NotReplacedError(f"its parameter {parameter.name!r} is not known to fastconv")
        in_place &= parameter.kind in _BY_PLACE and own[index] == parameter.name
        if parameter.kind is Parameter.VAR_KEYWORD:
            handed.append(f"**{parameter.name}")
        else:
            handed.append(parameter.name if in_place else f"{parameter.name}={parameter.name}")
    data, kernel = parameters[0].name, parameters[1].name
    source = (
        f"def {theirs.__name__}{inspect.Signature(parameters)}:\n"
        f"    return {slot}({data}, {kernel})({', '.join(handed)})\n"
    )
    namespace: dict[str, Any] = {}
    exec(compile(source, f"<fastconv in place of {name}>", "exec"), namespace)
    code: types.CodeType = namespace[theirs.__name__].__code__
    return code


def _find(name: str) -> _Replacement:
    """Return the replacement of a function by its full name; raises where there can be none."""
    module, _, attribute = name.rpartition(".")
    package = module.partition(".")[0]
    try:
        importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise _NotReplacedError("SciPy is not installed") from None
    theirs = getattr(importlib.import_module(module), attribute, None)
    if theirs is None:
        raise _NotReplacedError("there is none in this version")
    theirs = inspect.unwrap(theirs)  # of what passes arrays of other libraries on
    known = _replacements.get(name)
    if known is not None and known.function is theirs:
        return known
    home = getattr(theirs, "__module__", None) or "something else"
    if home.partition(".")[0] != package:
        raise _NotReplacedError(f"{home} has replaced it already")
    kind = _Recoded if isinstance(theirs, types.FunctionType) else _Rebound
    _replacements[name] = kind(name, theirs)
    return _replacements[name]


def _wanted(names: tuple[str, ...]) -> list[str]:
    """Full names of the functions that `names` name."""
    wanted: list[str] = []
    for name in names or ("scipy", "numpy"):
        if not isinstance(name, str):
            raise TypeError(f"names must be strings, as 'scipy.ndimage'; got {name!r}")
        found = [full for full in _OURS if f"{full}.".startswith(f"{name}.")]
        if not found:
            raise ValueError(
                f"{name!r} names nothing that fastconv can replace; there are 'scipy', "
                f"{', '.join(map(repr, _MODULES))} and functions of theirs that it has, "
                "such as 'scipy.signal.convolve'"
            )
        wanted += [full for full in found if full not in wanted]
    return wanted


def _put_in_place(names: tuple[str, ...], count: bool) -> tuple[PatchReport, contextlib.ExitStack]:
    """Replace what `names` name; returns the report, and what puts everything back when closed."""
    wanted = _wanted(names)
    with _lock, contextlib.ExitStack() as undo:
        found: dict[str, _Replacement] = {}
        left: dict[str, str] = {}
        for name in wanted:
            try:
                found[name] = _find(name)
            except _NotReplacedError as reason:
                left[name] = str(reason)
        report = PatchReport(tuple(found), left, Counter() if count else None)
        for replacement in found.values():
            replacement.hold(report)
            undo.callback(replacement.release, report)
        return report, undo.pop_all()


def patch_scipy(*names: str, count: bool = False) -> PatchReport:
    """
    Put fastconv's functions in place of SciPy's and NumPy's, in this process, from now on.

    Whoever calls `scipy.signal.convolve` gets `fastconv.signal.convolve`, and so on for every
    function that fastconv has: modules that have imported it before, too, and functions of SciPy
    and of other libraries that call it, such as `scipy.signal.wiener`,
    `scipy.signal.savgol_filter` or scikit-image's filters. Arguments and results stay SciPy's and
    NumPy's. Arrays of other libraries go to the original, as they did.

    Parameters
    ----------
    *names : str
        What to replace: ``'scipy'``, ``'scipy.signal'``, ``'scipy.ndimage'``, ``'numpy'``, or
        single functions by their full names. Everything by default. What of SciPy is not imported
        yet is imported now.
    count : bool, optional
        Whether the report counts the calls that fastconv serves, for some 0.2 µs a call.

    Returns
    -------
    PatchReport
        What was replaced, and what was left as it was, and why.

    Raises
    ------
    ValueError
        If a name names nothing that fastconv can replace.
    TypeError
        If a name is not a string.

    See Also
    --------
    unpatch_scipy : puts everything back.
    patched : for a while only.

    Notes
    -----
    It holds for the whole process and all of its threads, and for children that are forked later;
    a process that is spawned starts anew. A call that is under way ends as it began.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv
    >>> print(fastconv.patch_scipy("numpy"))
    fastconv stands in for 2 functions
      numpy          convolve, correlate
    >>> np.convolve([1.0, 2.0, 3.0], [1.0, 1.0])
    array([1., 3., 5., 3.])
    >>> fastconv.unpatch_scipy()
    """
    report, undo = _put_in_place(names, count)
    with _lock:
        _standing.append(undo)
    return report


def unpatch_scipy() -> None:
    """
    Undo every `patch_scipy`: SciPy's and NumPy's functions are their own again.

    What a ``with patched():`` holds stays until its end. Undoing nothing is no error.

    See Also
    --------
    patch_scipy : puts fastconv's in their place.

    Examples
    --------
    >>> import fastconv
    >>> report = fastconv.patch_scipy("numpy.convolve")
    >>> fastconv.unpatch_scipy()
    """
    with _lock:
        while _standing:
            _standing.pop().close()


@contextlib.contextmanager
def patched(*names: str, count: bool = False) -> Iterator[PatchReport]:
    """
    Put fastconv's functions in place of SciPy's and NumPy's for a while.

    Parameters
    ----------
    *names : str
        What to replace, as in `patch_scipy`. Everything by default.
    count : bool, optional
        Whether the report counts the calls that fastconv serves.

    Yields
    ------
    PatchReport
        What was replaced, and what was left as it was, and why.

    Raises
    ------
    ValueError
        If a name names nothing that fastconv can replace.
    TypeError
        If a name is not a string.

    Notes
    -----
    Other threads are switched, too, while the block runs. Blocks may be nested, and may overlap
    in several threads: a function goes back when the last one that holds it has ended.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv
    >>> with fastconv.patched("numpy.convolve") as report:
    ...     result = np.convolve([1.0, 2.0, 3.0], [1.0, 1.0])
    >>> report.replaced
    ('numpy.convolve',)
    """
    report, undo = _put_in_place(names, count)
    with undo:
        yield report
