"""What this build is and what it uses."""

from __future__ import annotations

import os
import warnings
from typing import Any, TypedDict

import numpy as np

from fastconv import _cost
from fastconv._methods import _transforms
from fastconv._native import _core
from fastconv._threads import get_num_threads
from fastconv._version import __version__ as __version__


def _check_environment() -> None:
    """Say so where FASTCONV_MAX_ISA names no level of this build."""
    wanted = os.environ.get("FASTCONV_MAX_ISA")
    if wanted and wanted not in _core.isa_built():
        built = ", ".join(_core.isa_built())
        warnings.warn(
            f"FASTCONV_MAX_ISA={wanted!r} is ignored: this build has {built}",
            RuntimeWarning,
            stacklevel=3,
        )


_check_environment()


class Levels(TypedDict):
    """The levels of vector instructions."""

    built: list[str]
    usable: list[str]
    used: str


class Config(TypedDict):
    """What `config` returns."""

    version: str
    compiler: str
    isa: Levels
    openmp: bool
    threads: int
    fftw: str
    blas: str
    costs: str


def config() -> Config:
    """
    Return what this build is and what it uses.

    Returns
    -------
    dict
        Keys 'version', 'compiler', 'isa' (a dict of 'built' and 'usable' levels and the one
        'used'), 'openmp' (always False: the threads are a pool of fastconv's own), 'threads',
        'fftw', 'blas' and 'costs' (where what methods take is known from).

    Examples
    --------
    >>> import fastconv
    >>> fastconv.config()["isa"]["used"] in fastconv.config()["isa"]["usable"]
    True
    """
    return {
        "version": __version__,
        "compiler": _core.compiler(),
        "isa": {
            "built": list(_core.isa_built()),
            "usable": list(_core.isa_usable()),
            "used": _core.isa_used(),
        },
        "openmp": False,
        "threads": get_num_threads(),
        "fftw": _transforms.library(),
        "blas": _blas(),
        "costs": _costs(),
    }


def _costs() -> str:
    """Where the costs of work are known from."""
    _cost.coefficient("call.fork")  # which reads them, where nothing has yet
    return _cost.COEFFICIENTS.origin


def _blas() -> str:
    """BLAS that NumPy was built with."""
    build: Any = np.show_config(mode="dicts")
    blas = build.get("Build Dependencies", {}).get("blas", {})
    return f"{blas.get('name', 'unknown')} {blas.get('version', '')}, by NumPy {np.__version__}"


def show_config() -> None:
    """
    Print what this build is and what it uses.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.show_config()  # doctest: +ELLIPSIS
    fastconv ...
    """
    facts = config()
    isa = facts["isa"]
    lines = [
        f"fastconv {facts['version']}",
        f"  compiler  {facts['compiler']}",
        f"  ISA       {isa['used']} (built: {', '.join(isa['built'])}; "
        f"usable here: {', '.join(isa['usable'])})",
        "  OpenMP    not used: a pool of fastconv's own, whose callers wait for no late worker",
        f"  threads   {facts['threads']}",
        f"  FFT       {facts['fftw']}",
        f"  BLAS      {facts['blas']}",
        f"  costs     {facts['costs']}",
    ]
    print("\n".join(lines))  # noqa: T201 - printing is what it is for
