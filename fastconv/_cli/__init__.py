"""The command line, ``fastconv`` or ``python -m fastconv``: info, bench, explain, run, calibrate.

Bad input, and a GPU that is not there, end with one line on stderr and exit status 2; a wrong
result in ``bench`` with 1. What ``run`` runs ends as it does without.
"""

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import fastconv
from fastconv import _devices
from fastconv._cli import bench, explain, run


def _positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return number


def _shape(text: str) -> tuple[int, ...]:
    try:
        shape = tuple(int(length) for length in text.lower().split("x"))
    except ValueError:
        shape = (-1,)
    if min(shape) < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a shape; write 4096 or 1080x1920")
    return shape


def _dtype(text: str) -> np.dtype:
    try:
        dtype = np.dtype(text)
    except TypeError:
        dtype = np.dtype("V")
    if dtype.kind not in "biufcO":
        raise argparse.ArgumentTypeError(f"{text!r} is not a NumPy dtype of numbers")
    return dtype


def _accuracy(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text


def _device(text: str) -> int | None:
    try:
        return _devices.of(fastconv.Spec(1, device=text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _add_device(shell: argparse.ArgumentParser) -> None:
    shell.add_argument(
        "--device",
        type=_device,
        metavar="DEVICE",
        help="cpu (the default), or a GPU: cuda, cuda:1",
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fastconv", description="Fast convolution for Python.")
    parser.add_argument("--version", action="version", version=f"fastconv {fastconv.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    commands.add_parser("info", help="print how fastconv was built and what it runs on")

    shell = commands.add_parser(
        "bench",
        help="convolve signals and images of common sizes, check and time every result",
        description="Convolve signals and images of the sizes that people use. Every result is "
        "checked against a float64 computation of its own, and against SciPy where SciPy is "
        "installed; exit status 1 when one is off. On a GPU there are larger ones, filters and "
        "layers beside, and CuPy and PyTorch are what fastconv is compared with.",
    )
    _add_device(shell)
    shell.add_argument("--quick", action="store_true", help="a few small cases, some seconds")
    shell.add_argument("--threads", type=_positive, metavar="N", help="threads for fastconv")
    shell.add_argument("--match", default="", metavar="TEXT", help="only cases that hold TEXT")
    shell.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE, too")

    shell = commands.add_parser(
        "explain",
        help="print which method would be taken, and why",
        description="Print which method would be taken for arrays of these shapes, and why. "
        "No array is made.",
    )
    shell.add_argument("data", type=_shape, metavar="SHAPE", help="of the data, as in 1080x1920")
    shell.add_argument("kernel", type=_shape, metavar="SHAPE", help="of the kernel, as in 7x7")
    _add_device(shell)
    shell.add_argument("--dtype", type=_dtype, default=np.dtype("float64"), help="of the data")
    shell.add_argument("--kernel-dtype", type=_dtype, metavar="DTYPE", help="default: as the data")
    shell.add_argument("--function", choices=explain.FUNCTIONS, help="default: convolve")
    shell.add_argument("--mode", default="full", choices=["full", "same", "valid"])
    shell.add_argument(
        "--boundary", choices=["fill", "wrap", "symm"], help="2-D only: takes convolve2d"
    )
    shell.add_argument("--axes", type=int, nargs="+", help="axes to convolve over (default: all)")
    shell.add_argument("--method", help="force a method by its name")
    shell.add_argument(
        "--accuracy",
        type=_accuracy,
        metavar="BOUND",
        help="what results may err by, beside the norms of data and kernel; or 'direct'",
    )
    shell.add_argument("--threads", type=_positive, metavar="N", help="threads for fastconv")

    shell = commands.add_parser(
        "run",
        usage="%(prog)s [-h] [--only NAME] [--report] (script.py | -m module) [args]",
        help="run a script on fastconv's functions in place of SciPy's and NumPy's",
        description="Run a script, or with -m a module, unchanged, with fastconv's functions in "
        "place of those of scipy.signal, scipy.ndimage and NumPy. Options stand before it; what "
        "stands behind it is its own.",
    )
    shell.add_argument("-m", action="store_true", dest="module", help="run a module")
    shell.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help="replace this only: scipy.ndimage, numpy.convolve and so on; may be repeated",
    )
    shell.add_argument(
        "--report", action="store_true", help="tell at the end which calls were served, on stderr"
    )
    shell.add_argument(
        "target",
        nargs=argparse.REMAINDER,
        metavar="script.py [args]",
        help="a script, or a folder or archive with a __main__.py",
    )

    shell = commands.add_parser(
        "calibrate",
        help="measure what work costs on this machine, for better choices from now on",
        description="Time problems of every kind for a few seconds, in which nothing else should "
        "run, and save what work costs on this machine in the user's cache directory "
        "(FASTCONV_CACHE_DIR). Later processes choose by it.",
    )
    shell.add_argument("--quiet", action="store_true", help="show no progress bar")
    shell.add_argument("--dry-run", action="store_true", help="measure, and save nothing")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments after the program's name; ``sys.argv[1:]`` by default.

    Returns
    -------
    int
        The exit status: 0, or 1 when ``bench`` met a wrong result; for ``run``, the program's.
    """
    parser = _parser()
    arguments = parser.parse_args(argv)
    # A pipe's encoding may lack a sign, as Windows' cp1252 does; stderr escapes such by itself. The
    # streams of a program that is run are its own.
    if arguments.command != "run" and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    try:
        if getattr(arguments, "threads", None):
            fastconv.set_num_threads(arguments.threads)
        if arguments.command == "bench":
            return bench.run(
                quick=arguments.quick,
                match=arguments.match,
                report=arguments.json,
                device=arguments.device,
            )
        if arguments.command == "explain":
            return explain.run(arguments)
        if arguments.command == "run":
            return run.run(
                arguments.target,
                module=arguments.module,
                only=arguments.only,
                report=arguments.report,
            )
        if arguments.command == "calibrate":
            progress = False if arguments.quiet else None
            print(fastconv.calibrate(progress=progress, save=not arguments.dry_run))
            return 0
        fastconv.show_config()
    except (ValueError, TypeError, OSError, bench.Unavailable) as error:
        parser.exit(2, f"fastconv {arguments.command}: error: {error}\n")
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted\n")
        return 130
    return 0
