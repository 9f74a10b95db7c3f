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
import itertools
import os
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
# Whose results are of the type of the arguments, where that is a subclass of NumPy's arrays.
_KEEP_SUBCLASSES = ("numpy.correlate",)
_BY_PLACE = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_FOREIGN = ("__array_namespace__", "__array_function__", "__dlpack__")

# Of what is in place: held for moments, and while nothing is imported. It may be taken again by a
# signal's handler.
_lock = threading.RLock()
# Of what reports count: nothing else is taken while it is held.
_counting = threading.RLock()
if hasattr(os, "register_at_fork"):  # a child would wait for threads that it does not have
    for _each in (_counting, _lock):
        os.register_at_fork(
            before=_each.acquire, after_in_parent=_each.release, after_in_child=_each.release
        )

_replacements: dict[str, _Replacement] = {}
_standing: list[contextlib.ExitStack] = []  # undo what patch_scipy has put in place
_numbers = itertools.count()


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
        Calls that fastconv was given since, by full name, if they are counted.

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
        """Calls that fastconv was given since, by full name; None where nobody counts."""
        if self._tally is None:
            return None
        with _counting:
            return dict(self._tally)

    def __str__(self) -> str:
        calls = self.calls
        lines = [f"fastconv stands in for {_counted(len(self.replaced), 'function')}"]
        if calls is not None:
            lines[0] += f", and was given {_counted(sum(calls.values()), 'call')}"
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
    """One function of theirs, and ours while somebody holds it there; all under `_lock`."""

    def __init__(self, name: str, theirs: Function) -> None:
        self.name = name
        self.ours = _OURS[name]
        self.theirs = theirs  # what does what it did, whatever is in its place
        self.holders: dict[PatchReport, None] = {}
        self.counting: tuple[PatchReport, ...] = ()

    @abstractmethod
    def is_of(self, attribute: object) -> bool:
        """Whether this is what it replaces, or has replaced."""

    @abstractmethod
    def install(self) -> None:
        """Put ours in the place of theirs, where it is not there."""

    @abstractmethod
    def restore(self) -> None:
        """Put theirs back, where ours is in its place."""

    def hold(self, report: PatchReport) -> None:
        self.holders[report] = None
        if report._tally is not None:
            self.counting += (report,)
        self.install()

    def release(self, report: PatchReport) -> None:
        """Undo `hold`, whatever of it was done."""
        with _lock:
            self.holders.pop(report, None)
            self.counting = tuple(holder for holder in self.counting if holder is not report)
            if not self.holders:
                self.restore()

    def choose(self, first: object, second: object) -> Function:
        """Ours; or theirs, for arrays that it treats in a way of its own, and when all is over."""
        if not self.holders or self.is_theirs(first) or self.is_theirs(second):
            return self.theirs
        for report in self.counting:
            with _counting:
                report._tally[self.name] += 1  # type: ignore[index]
        return self.ours

    def is_theirs(self, argument: object) -> bool:
        """Whether this is another library's array, or of a subclass that results are to have."""
        kind = type(argument)
        if kind is np.ndarray:
            return False
        if issubclass(kind, (np.ndarray, np.generic)):
            return self.name in _KEEP_SUBCLASSES and issubclass(kind, np.ndarray)
        return any(hasattr(kind, name) for name in _FOREIGN)


class _Recoded(_Replacement):
    """A function in Python, whose code is swapped."""

    def __init__(self, name: str, function: types.FunctionType) -> None:
        super().__init__(name, function)
        if function.__code__.co_freevars:
            raise _NotReplacedError("it is a function with a closure")
        self.function: Any = function
        self.slot = f"_fastconv_{function.__name__}_{next(_numbers)}"
        self.code = function.__code__
        self.new_code = _handing_over(function, self.ours, self.slot)

    def is_of(self, attribute: object) -> bool:
        return inspect.unwrap(attribute) is self.function  # type: ignore[arg-type]

    def install(self) -> None:
        if self.function.__code__ is self.new_code:
            return
        self.code = self.function.__code__
        # Called by the new code only, with every argument: it needs no defaults.
        self.theirs = types.FunctionType(self.code, self.function.__globals__)
        self.function.__globals__[self.slot] = self.choose
        self.function.__code__ = self.new_code

    def restore(self) -> None:
        # The slot stays, for calls that are on their way in other threads.
        if self.function.__code__ is self.new_code:
            self.function.__code__ = self.code


class _Rebound(_Replacement):
    """A compiled function, which is replaced under its own name in every module that has it."""

    def __init__(self, name: str, function: Function) -> None:
        super().__init__(name, function)

        @functools.wraps(function)
        def stand_in(*args: Any, **kwargs: Any) -> Any:
            first, second, *_ = (*args, None, None)
            return self.choose(first, second)(*args, **kwargs)

        self.stand_in = stand_in

    def is_of(self, attribute: object) -> bool:
        return attribute is self.theirs or attribute is self.stand_in

    def install(self) -> None:
        _rebind(self.theirs, self.stand_in)

    def restore(self) -> None:
        _rebind(self.stand_in, self.theirs)


# The names in a module that may be one to be loaded when it is first asked for anything.
_names_in: Callable[[types.ModuleType], Any] = vars(types.ModuleType)["__dict__"].__get__


def _rebind(before: Function, after: Function) -> None:
    name = before.__name__
    for module in list(sys.modules.values()):
        if issubclass(type(module), types.ModuleType) and _names_in(module).get(name) is before:
            _names_in(module)[name] = after


def _handing_over(theirs: types.FunctionType, ours: Function, slot: str) -> types.CodeType:
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
    first, second = (*(parameter.name for parameter in parameters[:2]), "None", "None")[:2]
    # On the line of the definition, where tracebacks, warnings and whoever reads the source look.
    source = "\n" * (theirs.__code__.co_firstlineno - 1) + (
        f"def {theirs.__name__}{inspect.Signature(parameters)}: "
        f"return {slot}({first}, {second})({', '.join(handed)})"
    )
    namespace: dict[str, Any] = {}
    exec(compile(source, theirs.__code__.co_filename, "exec"), namespace)
    code: types.CodeType = namespace[theirs.__name__].__code__
    return code


def _find(name: str) -> Function:
    """Return the function of theirs by its full name; raises where there is none."""
    module, _, attribute = name.rpartition(".")
    package = module.partition(".")[0]
    try:
        importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise _NotReplacedError("SciPy is not installed") from None
    theirs: Function | None = getattr(importlib.import_module(module), attribute, None)
    if theirs is None:
        raise _NotReplacedError("there is none in this version")
    home = getattr(theirs, "__module__", None) or "something else"
    if home.partition(".")[0] != package:
        raise _NotReplacedError(f"{home} has replaced it already")
    return theirs


def _replacement_of(name: str, theirs: Function) -> _Replacement:
    """Return what replaces a function of theirs; raises where nothing can."""
    known = _replacements.get(name)
    if known is None or not known.is_of(theirs):
        # What SciPy and NumPy wrap around it, for arrays of other libraries, stays.
        function = inspect.unwrap(theirs)
        known = (
            _Recoded(name, function)
            if isinstance(function, types.FunctionType)
            else _Rebound(name, theirs)
        )
        _replacements[name] = known
    return known


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


def _put_in_place(names: tuple[str, ...], count: bool, undo: contextlib.ExitStack) -> PatchReport:
    """Replace what `names` name; `undo`, when it is closed, puts everything back."""
    theirs: dict[str, Function] = {}
    left: dict[str, str] = {}
    for name in _wanted(names):  # before the lock is taken: it imports
        try:
            theirs[name] = _find(name)
        except _NotReplacedError as reason:
            left[name] = str(reason)
    with _lock:
        found: dict[str, _Replacement] = {}
        for name, function in theirs.items():
            try:
                found[name] = _replacement_of(name, function)
            except _NotReplacedError as reason:
                left[name] = str(reason)
        report = PatchReport(tuple(found), left, Counter() if count else None)
        for replacement in found.values():
            undo.callback(replacement.release, report)
            replacement.hold(report)
    return report


def patch_scipy(*names: str, count: bool = False) -> PatchReport:
    """
    Put fastconv's functions in place of SciPy's and NumPy's, in this process, from now on.

    Whoever calls `scipy.signal.convolve` gets `fastconv.signal.convolve`, and so on for every
    function that fastconv has: modules that have imported it before, too, and functions of SciPy
    and of other libraries that call it, such as `scipy.signal.wiener`,
    `scipy.signal.savgol_filter` or scikit-image's filters. (`scipy.signal.sepfir2d`, which is
    compiled, is replaced in every module that has it under this name.) Arguments and results stay
    SciPy's and NumPy's. Arrays of other libraries go to the original, as they did.

    Parameters
    ----------
    *names : str
        What to replace: ``'scipy'``, ``'scipy.signal'``, ``'scipy.ndimage'``, ``'numpy'``, or
        single functions by their full names. Everything by default. What of SciPy is not imported
        yet is imported now.
    count : bool, optional
        Whether the report counts the calls that fastconv is given, for some 0.3 µs a call.

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
    It holds for the whole process and all of its threads, and for children that are forked later.
    A process that starts anew is not switched: those of `subprocess`, of multiprocessing's methods
    spawn and forkserver, and joblib's. A call that is under way ends as it began.

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
    with contextlib.ExitStack() as undo:
        report = _put_in_place(names, count, undo)
        _standing.append(undo.pop_all())
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
        Whether the report counts the calls that fastconv is given.

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
    with contextlib.ExitStack() as undo:
        yield _put_in_place(names, count, undo)
