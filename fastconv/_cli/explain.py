"""The ``explain`` command: which method would be taken, and why, from shapes alone."""

import argparse
import contextlib
import importlib

import fastconv
from fastconv import _devices, _gpu_rates

FUNCTIONS = ("convolve", "correlate", "fftconvolve", "oaconvolve", "convolve2d", "correlate2d")
# The options that each function's signature takes beside `mode` and `accuracy`.
_OPTIONS = {
    "convolve": {"axes", "method"},
    "correlate": {"axes", "method"},
    "fftconvolve": {"axes"},
    "oaconvolve": {"axes"},
    "convolve2d": {"boundary"},
    "correlate2d": {"boundary"},
}


def run(arguments: argparse.Namespace) -> int:
    """Print the explanation that `arguments` ask for.

    Parameters
    ----------
    arguments : argparse.Namespace
        ``data``, ``kernel`` (shapes), ``device`` (a GPU's number), ``dtype``, ``kernel_dtype``,
        ``function``, ``mode``, ``boundary``, ``axes``, ``method`` and ``accuracy``; those that were
        not given are None.

    Returns
    -------
    int
        The exit status, 0.

    Raises
    ------
    ValueError
        If an option does not belong to the function, or the function itself refuses.
    """
    name = arguments.function or ("convolve2d" if arguments.boundary else "convolve")
    given = {
        option: value
        for option in ("axes", "boundary", "method")
        if (value := getattr(arguments, option)) is not None
    }
    for option in given:
        if option not in _OPTIONS[name]:
            raise ValueError(f"{name} takes no {option}; --{option} belongs to another function")
    if arguments.accuracy is not None:
        given["accuracy"] = arguments.accuracy
    if "axes" in given:
        given["axes"] = tuple(given["axes"])
    place = _devices.name(arguments.device)
    data = fastconv.Spec(arguments.data, arguments.dtype, place)
    kernel = fastconv.Spec(arguments.kernel, arguments.kernel_dtype or arguments.dtype, place)
    if arguments.device is not None:
        print(_costs(arguments.device))
    print(fastconv.explain(getattr(fastconv, name), data, kernel, mode=arguments.mode, **given))
    return 0


def _costs(device: int) -> str:
    """Tell whose costs choices go by; CuPy knows this machine's GPU."""
    with contextlib.suppress(ImportError):
        importlib.import_module("cupy")
    if _gpu_rates.describe(device) is _gpu_rates.MODEL:
        return f"{_devices.name(device)}: not found by CuPy; costs are from an A100's data sheet"
    return f"{_devices.name(device)}: costs are from its data sheet"
