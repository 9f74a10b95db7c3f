"""The ``run`` command: a script or a module, unchanged, on fastconv's functions."""

import atexit
import builtins
import contextlib
import importlib.machinery
import importlib.util
import os
import signal
import sys
import types
import zipfile
from collections.abc import Sequence
from pathlib import Path

import fastconv


class _NoProgramError(ValueError):
    """There is nothing to run by this name."""


def run(target: Sequence[str], *, module: bool, only: Sequence[str], report: bool) -> int:
    """
    Run a program as Python would, with fastconv's functions in place of SciPy's and NumPy's.

    The program is ``__main__`` from then on, and its errors are reported as Python does.

    Parameters
    ----------
    target : sequence of str
        The script's path, or the module's name, and the arguments that it is to see.
    module : bool
        Whether a module is meant, as by ``python -m``.
    only : sequence of str
        What to replace, as in `fastconv.patch_scipy`; everything if empty.
    report : bool
        Whether to tell on stderr, at the end, which calls fastconv was given.

    Returns
    -------
    int
        The exit status that Python would end with.

    Raises
    ------
    ValueError
        If there is no such script or module, or nothing to replace by a name in `only`.
    """
    words = target[1:] if target[:1] == ["--"] else target
    if not words or not words[0]:
        raise ValueError("which script? fastconv run script.py [args], or run -m module [args]")
    name, *arguments = words
    replaced = fastconv.patch_scipy(*only, count=report)
    end = _End(replaced if report else None)
    program = types.ModuleType("__main__")
    vars(program)["__builtins__"] = builtins
    sys.modules["__main__"] = program  # for threads and pools that outlive the program's last line
    sys.argv = ["-m" if module else name, *arguments]
    try:
        code = _load_module(name, program) if module else _load_script(name, program)
        exec(code, vars(program))
    except (SystemExit, _NoProgramError):
        raise
    except KeyboardInterrupt as error:
        _tell(error)
        end.interrupted = True
        return 130
    except BaseException as error:
        _tell(error)
        return 1
    return 0


class _End:
    """What is left to do when the program's threads and its own exit handlers are done."""

    def __init__(self, replaced: fastconv.PatchReport | None) -> None:
        self.replaced = replaced
        self.interrupted = False
        atexit.register(self)

    def __call__(self) -> None:
        # The program may have closed its streams.
        with contextlib.suppress(AttributeError, OSError, ValueError):
            sys.stdout.flush()
            if self.replaced is not None:
                print(self.replaced, file=sys.stderr, flush=True)
        if self.interrupted and os.name == "posix":
            # Python ends so: a shell stops its loop then.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)


def _load_script(name: str, program: types.ModuleType) -> types.CodeType:
    path = Path(name)
    full_name = os.path.join(os.getcwd(), name)
    if path.is_dir() or (path.is_file() and zipfile.is_zipfile(path)):
        _put_first(full_name)
        spec = importlib.machinery.PathFinder.find_spec("__main__", [full_name])
        if spec is None:
            raise _NoProgramError(f"{name!r} has no __main__.py")
        return _load(spec, program)
    if not sys.flags.safe_path:
        _put_first(str(path.resolve().parent))
    program.__file__ = full_name
    try:
        source = path.read_bytes()  # once: it may be a pipe
    except OSError as error:
        raise _NoProgramError(str(error)) from None
    code: types.CodeType = compile(source, full_name, "exec", dont_inherit=True)
    return code


def _load_module(name: str, program: types.ModuleType) -> types.CodeType:
    if not sys.flags.safe_path:
        _put_first(os.getcwd())
    try:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations is not None:
            spec = importlib.util.find_spec(f"{name}.__main__")
    except ModuleNotFoundError as error:
        if not f"{name}.".startswith(f"{error.name}."):
            raise  # what its package lacks
        spec = None
    if spec is None:
        raise _NoProgramError(f"there is no module {name!r} to run")
    code = _load(spec, program)
    sys.argv[0] = program.__file__ or name
    return code


def _load(spec: importlib.machinery.ModuleSpec, program: types.ModuleType) -> types.CodeType:
    get_code = getattr(spec.loader, "get_code", lambda _: None)
    code: types.CodeType | None = get_code(spec.name)
    if code is None:
        raise _NoProgramError(f"{spec.name!r} is no code in Python")
    program.__spec__ = spec
    program.__loader__ = spec.loader
    program.__package__ = spec.parent
    program.__file__ = spec.origin
    return code


def _put_first(folder: str) -> None:
    """Put a folder first in sys.path, in the place of what Python put there for `fastconv`."""
    if not sys.flags.safe_path:
        del sys.path[0]
    sys.path.insert(0, folder)


def _tell(error: BaseException) -> None:
    """Tell of an error as Python does, without the frames that are not the program's."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    error = error.with_traceback(trace)
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, trace
    try:
        sys.excepthook(type(error), error, trace)
    except Exception as another:
        print("Error in sys.excepthook:", file=sys.stderr)
        sys.__excepthook__(type(another), another, another.__traceback__)
        print("\nOriginal exception was:", file=sys.stderr)
        sys.__excepthook__(type(error), error, trace)
