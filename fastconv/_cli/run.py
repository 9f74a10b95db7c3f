"""The ``run`` command: a script or a module, unchanged, on fastconv's functions."""

import importlib.util
import os
import runpy
import sys
import types
import zipfile
from collections.abc import Sequence
from pathlib import Path

import fastconv

_OURS = {__file__, runpy.__file__, "<frozen runpy>"}


def run(target: Sequence[str], *, module: bool, only: Sequence[str], report: bool) -> int:
    """
    Run a program as Python would, with fastconv's functions in place of SciPy's and NumPy's.

    Parameters
    ----------
    target : sequence of str
        The script's path, or the module's name, and the arguments that it is to see.
    module : bool
        Whether a module is meant, as by ``python -m``.
    only : sequence of str
        What to replace, as in `fastconv.patch_scipy`; everything if empty.
    report : bool
        Whether to tell on stderr, at the end, which calls fastconv has served.

    Returns
    -------
    int
        The exit status that Python would end with.

    Raises
    ------
    OSError, ValueError
        If there is no such script or module, or nothing to replace by a name in `only`.
    """
    if not target:
        raise ValueError("which script? fastconv run script.py [args], or run -m module [args]")
    name = target[0]
    sys.argv = list(target)
    _set_path(name, module)
    if module:
        _require_module(name)
    else:
        _require_script(name)
    replaced = fastconv.patch_scipy(*only, count=report)
    try:
        if module:
            runpy.run_module(name, run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(os.path.abspath(name), run_name="__main__")
    except Exception as error:
        return _report_error(error)
    except KeyboardInterrupt as error:
        _report_error(error)
        return 130
    finally:
        if report:
            sys.stdout.flush()
            print(replaced, file=sys.stderr)
    return 0


def _require_script(name: str) -> None:
    path = Path(name)
    if path.is_dir() and not (path / "__main__.py").exists():
        raise ValueError(f"{name!r} is a folder without a __main__.py")
    if not path.is_dir():
        path.open("rb").close()


def _require_module(name: str) -> None:
    try:
        found = importlib.util.find_spec(name)
    except (ModuleNotFoundError, ValueError):  # of its package; an empty name
        found = None
    if found is None:
        raise ValueError(f"there is no module {name!r}")


def _set_path(name: str, module: bool) -> None:
    """Give sys.path the first entry that Python would, in the place of the one for `fastconv`."""
    if sys.flags.safe_path:
        return
    if module:
        sys.path[0] = os.getcwd()
    elif Path(name).is_dir() or zipfile.is_zipfile(name):
        del sys.path[0]  # runpy puts the folder there, or the archive
    else:
        sys.path[0] = str(Path(name).resolve().parent)


def _report_error(error: BaseException) -> int:
    """Report as Python does, without the frames that are not the program's."""
    trace: types.TracebackType | None = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename in _OURS:
        trace = trace.tb_next
    sys.excepthook(type(error), error.with_traceback(trace), trace)
    return 1
