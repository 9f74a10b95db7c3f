"""What is kept on disk from one process to the next: where, and how it is read and written."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

Value = TypeVar("Value")


def cache_directory() -> Path:
    """
    Return the user's directory for what fastconv keeps, which need not exist.

    FASTCONV_CACHE_DIR where it is set, else where the platform keeps such things.
    """
    chosen = os.environ.get("FASTCONV_CACHE_DIR")
    if chosen:
        return Path(chosen)
    if sys.platform == "darwin":
        base = Path("~/Library/Caches")
    elif os.name == "nt":
        base = Path(os.environ.get("LOCALAPPDATA", "~/AppData/Local"))
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    return base.expanduser() / "fastconv"


def make_directory() -> Path:
    """
    Return the directory, made if need be.

    Raises
    ------
    OSError
        If there is none, and none can be made.
    """
    try:
        directory = cache_directory()
    except RuntimeError as error:
        raise OSError(f"{error} Set FASTCONV_CACHE_DIR") from error
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def read(name: str) -> Any:
    """
    Return what a JSON file holds, or None where there is none that can be opened.

    Raises
    ------
    ValueError
        If it is no JSON.
    """
    try:
        text = (cache_directory() / name).read_bytes()
    except (OSError, RuntimeError):  # no such file, or no home
        return None
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_checked(name: str, check: Callable[[Any], Value]) -> Value | None:
    """
    Return what `check` makes of a JSON file; None where there is none.

    None, and a warning, also where it is of no use: no JSON, or `check` raises ValueError.
    """
    try:
        content = read(name)
        return None if content is None else check(content)
    except ValueError as error:
        warnings.warn(
            f"{cache_directory() / name} is ignored: {error}; fastconv.calibrate() makes a new one",
            RuntimeWarning,
            stacklevel=3,
        )
        return None


def write(name: str, content: Any) -> Path:
    """
    Write a JSON file, all or nothing: others see the old one or the new.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    directory = make_directory()
    handle, temporary = tempfile.mkstemp(dir=directory, prefix=name, suffix=".new")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)
        target = directory / name
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    return target
