"""The compiled part: kernels in C++ and the glue that hands them NumPy arrays."""

try:
    from fastconv._native import _core
except ImportError as error:
    raise ImportError(
        "fastconv's compiled extension cannot be loaded from here. In a checkout, run `pip install "
        "-e .`, or `pip install .` and start Python in another folder."
    ) from error

__all__ = ["_core"]
