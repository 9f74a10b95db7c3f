"""
CUDA kernels, compiled when they are first called: by CuPy, for the device that it runs on.

A kernel takes one struct. Its fields are stated once, here in Python, as a NumPy dtype that is laid
out as C++ does; the text of the struct is made from it and stands before the source.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np

# What the fields of a struct are in C++; pointers are numbers that the kernel casts.
_FIELD_TYPES = {
    "int32": "int",
    "int64": "long long",
    "uint64": "unsigned long long",
    "float64": "double",
}
# What elements are in C++: see common.cuh.
ELEMENT_TYPES = {
    "?": "Bool",
    "b": "Int8",
    "B": "UInt8",
    "h": "Int16",
    "H": "UInt16",
    "i": "Int32",
    "I": "UInt32",
    "l": "Int64",
    "L": "UInt64",
    "q": "Int64",
    "Q": "UInt64",
    "e": "Half",
    "f": "float",
    "d": "double",
    "F": "Complex<float>",
    "D": "Complex<double>",
}
# Shared memory that a block may take without asking for more.
PLAIN_SHARED_BYTES = 48 << 10
_INCLUDE = re.compile(r'#include "(\w+\.cuh)"\n')
# The file that the struct of a source stands behind.
_COMMON = "common.cuh"


class Kernels:
    """
    The kernels of one source, which take the same struct.

    Parameters
    ----------
    source : str
        Name of the file.
    struct : str
        Name of the struct.
    fields : list
        Its fields, as for a structured dtype: int32, int64, uint64 (pointers), float64, and arrays
        of them.
    constants : mapping, optional
        Names of whole numbers that the source agrees on with its caller, and their values.
    """

    def __init__(
        self,
        source: str,
        struct: str,
        fields: list[tuple[Any, ...]],
        constants: Mapping[str, int] | None = None,
    ) -> None:
        self.source = source
        self.struct = struct
        self.dtype = np.dtype(fields, align=True)
        self.constants = dict(constants or {})

    def text(self) -> str:
        """Return the source, with its struct and what all sources share."""
        folder = files("fastconv._cuda")

        def included(line: re.Match[str]) -> str:
            declared = self._declaration() if line[1] == _COMMON else ""
            return (folder / line[1]).read_text() + declared

        return _INCLUDE.sub(included, (folder / self.source).read_text())

    def _declaration(self) -> str:
        lines = []
        for field, (dtype, *_) in (self.dtype.fields or {}).items():
            base, shape = dtype.subdtype or (dtype, ())
            extents = "".join(f"[{n}]" for n in shape)
            lines.append(f"  {_FIELD_TYPES[base.name]} {field}{extents};\n")
        constants = "".join(f"constexpr int {k} = {v};\n" for k, v in self.constants.items())
        return f"\n{constants}\nstruct {self.struct} {{\n{''.join(lines)}}};\n"

    def parameters(self, **values: Any) -> np.ndarray:
        """Return the struct with these values, and zeros for others."""
        struct = np.zeros((), self.dtype)
        for field, value in values.items():
            if isinstance(value, (tuple, list)):
                struct[field][: len(value)] = value
            else:
                struct[field] = value
        return struct

    def launch(
        self,
        name: str,
        options: tuple[str, ...],
        blocks: int,
        threads: int,
        parameters: np.ndarray,
        shared: int = 0,
    ) -> None:
        """
        Start a kernel on the current device and stream.

        Parameters
        ----------
        name : str
            Of the kernel.
        options : tuple of str
            What its source is compiled with.
        blocks, threads : int
            Blocks of the grid, which has one axis, and threads of a block.
        parameters : ndarray
            The struct.
        shared : int
            Bytes of shared memory that its size is not known of before.
        """
        import cupy

        large = shared > PLAIN_SHARED_BYTES
        kernel = _function(self, options, name, large, cupy.cuda.runtime.getDevice())
        kernel((blocks,), (threads,), (parameters,), shared_mem=shared)


@dataclass(frozen=True, slots=True, eq=False)
class Launch:
    """
    A kernel with everything but what differs from one time to the next: the addresses of arrays.

    Attributes
    ----------
    kernels : Kernels
        Of its source.
    name : str
        Its own.
    threads : int
        Of a block.
    parameters : bytes
        The struct, in which what differs is zero.
    blocks : int
        Of the grid; 0 where they differ, too.
    options : tuple of str
        What its source is compiled with; none where that differs, too.
    shared : int
        Bytes of shared memory that its size is not known of before.
    """

    kernels: Kernels
    name: str
    threads: int
    parameters: bytes
    blocks: int = 0
    options: tuple[str, ...] = ()
    shared: int = 0

    def start(self, options: tuple[str, ...] = (), blocks: int = 0, /, **fields: float) -> None:
        """Start it on the current device and stream, with the other fields of its struct."""
        # NumPy would copy a struct field by field.
        parameters = np.ndarray((), self.kernels.dtype, bytearray(self.parameters))
        for field, value in fields.items():
            parameters[field] = value
        self.kernels.launch(
            self.name,
            options or self.options,
            blocks or self.blocks,
            self.threads,
            parameters,
            self.shared,
        )


@functools.lru_cache(maxsize=1024)
def _function(
    kernels: Kernels, options: tuple[str, ...], name: str, large: bool, device: int
) -> Any:
    """Return a kernel for a device, which is the current one; of large shared memory where told."""
    import cupy

    module = cupy.RawModule(code=kernels.text(), options=("--std=c++17", *options))
    kernel = module.get_function(name)
    if large:
        # All there is, once: a launch must not lower what another thread's next one needs.
        most = cupy.cuda.Device().attributes["MaxSharedMemoryPerBlockOptin"]
        kernel.max_dynamic_shared_size_bytes = most
    return kernel


def element_options(**dtypes: np.dtype[Any]) -> tuple[str, ...]:
    """Return options that give names to the types of elements, as ``X=float32`` makes X a float."""
    return tuple(f"-D{name}={ELEMENT_TYPES[dtype.char]}" for name, dtype in dtypes.items())


def address(a: Any) -> int:
    """Return the address of an array's first element."""
    return int(a.data.ptr)


def element_strides(a: Any) -> tuple[int, ...]:
    """Return an array's strides in elements."""
    return tuple(s // a.itemsize for s in a.strides)
