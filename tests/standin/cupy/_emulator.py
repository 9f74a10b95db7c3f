"""Kernels: their CUDA C++ compiled by the host's compiler, run by emulator.hpp."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import mmap
import os
import re
import subprocess
import tempfile
import threading
from pathlib import Path

import numpy as np

from cupy import _standin
from cupy.cuda import Device, get_current_stream
from cupy.cuda.compiler import CompileException
from cupy.cuda.driver import CUDADriverError

HEADER = Path(__file__).with_name("emulator.hpp")
COMPILER = os.environ.get("CXX", "g++")
FLAGS = (
    "-std=c++17",
    "-O1",
    "-w",
    "-fPIC",
    "-fvisibility=hidden",  # a kernel may have the name of a function of the C library
    "-shared",
    # As NVRTC does: a product and a sum may be rounded once.
    "-ffp-contract=fast",
    "-fexpensive-optimizations",
    "-fno-strict-aliasing",
    "-fsanitize=alignment,bounds",
)
# What NVRTC may be told and a host compiler needs not know.
DROPPED = re.compile(
    r"--?std=c\+\+(14|17|20)|--use_fast_math|--?lineinfo|-lineinfo|--fmad=(true|false)"
    r"|--ftz=(true|false)|--maxrregcount=\d+|--extra-device-vectorization|--?restrict"
    r"|--device-as-default-execution-space|-default-device"
)
DEFINITION = re.compile(r"-D(\w+)(=.*)?|--define-macro=(\w+)(=.*)?")

# CUDA's own limits, whatever the device.
MOST_PARAMETER_BYTES = 4096
MOST_THREADS = 1024
MOST_BLOCK = (1024, 1024, 64)
MOST_GRID = (2**31 - 1, 65535, 65535)
# Dynamic shared memory that needs no asking for.
SHARED_BYTES = 48 << 10

GUARD_BYTES = 256
# Not a multiple of a page: stacks that all lay at the same place of one would share few lines of
# the cache.
STACK_BYTES = (64 << 10) + 17 * 64
MOST_SHARED_BYTES = 256 << 10

_one_at_a_time = threading.RLock()


class _Launch(ctypes.Structure):
    # emulator.hpp has the same fields.
    _fields_ = (
        ("grid", ctypes.c_uint32 * 3),
        ("block", ctypes.c_uint32 * 3),
        ("shared_bytes", ctypes.c_uint32),
        ("reversed", ctypes.c_uint32),
        ("params", ctypes.c_void_p),
        ("shared", ctypes.c_void_p),
        ("stacks", ctypes.c_void_p),
        ("stack_bytes", ctypes.c_uint64),
        ("message", ctypes.c_void_p),
        ("message_bytes", ctypes.c_uint64),
    )


@functools.cache
def _memory():
    """The stacks, shared memory and the message, kept for ever: pages come when touched."""
    sizes = (MOST_THREADS * STACK_BYTES, MOST_SHARED_BYTES + 2 * GUARD_BYTES, 512)
    return tuple(np.frombuffer(mmap.mmap(-1, size), np.uint8) for size in sizes)


# --- compiling ------------------------------------------------------------------------------------


@functools.cache
def _folder():
    chosen = os.environ.get("FASTCONV_STANDIN_CACHE")
    folder = Path(chosen or Path(tempfile.gettempdir()) / f"fastconv-standin-{os.getuid()}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to somebody else: set FASTCONV_STANDIN_CACHE")
    return folder


@functools.cache
def _machine_flags():
    """With an instruction for them, fma and float16 need no calls."""
    try:
        known = Path("/proc/cpuinfo").read_text().split()
    except OSError:
        return ()
    return tuple(f"-m{flag}" for flag in ("fma", "f16c") if flag in known)


@functools.cache
def _compiler_version():
    return _run((COMPILER, "--version"), "")


def _run(command, source):
    done = subprocess.run(command, input=source, capture_output=True, text=True)
    if done.returncode:
        raise CompileException(done.stderr, source, "kernel.cu", command[1:])
    return done.stdout


@functools.cache
def _header():
    """The emulator where sources include it: beside it lies what the compiler made of it."""
    flags = (*FLAGS, *_machine_flags())
    made_of = (HEADER.read_text(), *flags, _compiler_version())
    digest = hashlib.sha256("\0".join(made_of).encode()).hexdigest()[:32]
    header = _folder() / f"{digest}.hpp"
    compiled = header.with_suffix(".hpp.gch")
    if not compiled.exists():
        with tempfile.TemporaryDirectory(dir=_folder()) as folder:
            made = Path(folder) / "emulator"
            command = (COMPILER, *flags, "-x", "c++-header", HEADER, "-o", made)
            _run(tuple(map(str, command)), "")
            copy = Path(folder) / "copy"
            copy.write_text(HEADER.read_text())
            copy.replace(header)
            made.replace(compiled)
    return header


def _definitions(options):
    """What the options define, as lines that stand before the source."""
    kept = []
    for option in options:
        if found := DEFINITION.fullmatch(option):
            name, value, long_name, long_value = found.groups()
            kept.append(f"#define {name or long_name} {(value or long_value or '=1')[1:]}\n")
        elif not DROPPED.fullmatch(option):
            raise CompileException(
                f"the stand-in knows no option {option!r}", "", "kernel.cu", options
            )
    return "".join(kept)


def _kernels(source):
    """The names of the kernels and their launch bounds, once macros are expanded."""
    text = _run((COMPILER, "-E", "-P", "-w", "-x", "c++", "-"), source)
    found = {}
    for start in re.finditer(r'extern\s*"C"\s*__global__', text):
        rest = text[start.end() :]
        bounds = ""
        if bounded := re.match(r"[^({;]*?__launch_bounds__\s*(?=\()", rest):
            bounds, rest = _balanced(rest[bounded.end() :])
        name = re.search(r"(\w+)\s*\(", rest)
        found[name[1]] = bounds
    return found


def _balanced(text):
    """What stands in the parentheses that a text begins with, and what follows them."""
    depth = 0
    for i, character in enumerate(text):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if not depth:
            return text[1:i], text[i + 1 :]
    raise ValueError("parentheses that are not closed")


def _entries(kernels):
    """C++ that makes kernels callable from here."""
    return "".join(
        f"""
extern "C" EMULATOR_ENTRY int fastconv_launch_{name}(const emulator::Launch* launch) {{
  return emulator::start({name}, launch);
}}
extern "C" EMULATOR_ENTRY const unsigned long fastconv_params_{name} =
    emulator::size_of_params({name});
extern "C" EMULATOR_ENTRY const unsigned fastconv_threads_{name} =
    emulator::most_threads({bounds or MOST_THREADS});
"""
        for name, bounds in kernels.items()
    )


@functools.cache
def load(source, options):
    """The library of a source's kernels, compiled where it was not before, and their names."""
    text = f'{_definitions(options)}#line 1 "kernel.cu"\n{source}\n'
    key = "\0".join((text, _header().name, Path(__file__).read_text()))
    digest = hashlib.sha256(key.encode()).hexdigest()[:32]
    path = _folder() / f"{digest}.so"
    names = path.with_suffix(".names")
    if not names.exists():
        kernels = _kernels(text)
        with tempfile.TemporaryDirectory(dir=_folder()) as folder:
            made = Path(folder) / "kernels.so"
            flags = (*FLAGS, *_machine_flags(), "-include", _header())
            command = (COMPILER, *flags, "-x", "c++", "-", "-o", made)
            _run(tuple(map(str, command)), text + _entries(kernels))
            made.replace(path)
            listed = Path(folder) / "names"
            listed.write_text("\n".join(kernels))
            listed.replace(names)
    return ctypes.CDLL(str(path)), frozenset(names.read_text().split())


class RawModule:
    """CUDA C++ and how it is to be compiled; that happens when a kernel is asked for."""

    def __init__(
        self,
        *,
        code=None,
        path=None,
        options=(),
        backend="nvrtc",
        translate_cucomplex=False,
        enable_cooperative_groups=False,
        name_expressions=None,
        jitify=False,
    ):
        if not isinstance(code, str):
            raise TypeError("the stand-in compiles `code`, a string")
        if not isinstance(options, tuple):
            raise TypeError("options must be a tuple")
        unknown = (path, translate_cucomplex, enable_cooperative_groups, name_expressions, jitify)
        if any(unknown) or backend != "nvrtc":
            raise NotImplementedError("the stand-in knows `code`, `options` and NVRTC")
        self.code = code
        self.options = options
        self.backend = backend

    def compile(self, log_stream=None):
        load(self.code, self.options)

    def get_function(self, name):
        library, names = load(self.code, self.options)
        if name not in names:
            raise CUDADriverError(f"CUDA_ERROR_NOT_FOUND: named symbol not found ({name})")
        return RawKernel(library, name)


class RawKernel:
    """A kernel: called with a grid, a block and the one struct that is its argument."""

    def __init__(self, library, name):
        self.name = self.__name__ = name
        self._launch = getattr(library, f"fastconv_launch_{name}")
        self._launch.argtypes = (ctypes.POINTER(_Launch),)
        self._params = ctypes.c_ulong.in_dll(library, f"fastconv_params_{name}").value
        self.max_threads_per_block = ctypes.c_uint.in_dll(library, f"fastconv_threads_{name}").value
        self._most_shared_bytes = SHARED_BYTES

    @property
    def max_dynamic_shared_size_bytes(self):
        return self._most_shared_bytes

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, size):
        if not 0 <= size <= Device().attributes["MaxSharedMemoryPerBlockOptin"]:
            raise CUDADriverError(f"CUDA_ERROR_INVALID_VALUE: {size} bytes of shared memory")
        self._most_shared_bytes = size

    def __call__(self, grid, block, args, *, shared_mem=0):
        # CuPy, too, takes an extent of 0 for one of 1.
        grid = tuple(max(1, int(n)) for n in (*grid, 1, 1)[:3])
        block = tuple(max(1, int(n)) for n in (*block, 1, 1)[:3])
        self._check(grid, block, args, shared_mem)
        params = np.ascontiguousarray(args[0]).view(np.uint8)
        stacks, shared, message = _memory()
        with _one_at_a_time:
            _standin.launches.append((self.name, Device().id, get_current_stream()))
            message[0] = 0
            call = _Launch(
                grid=grid,
                block=block,
                shared_bytes=shared_mem,
                reversed=bool(_standin.reverse_threads),
                params=params.ctypes.data,
                shared=shared.ctypes.data,
                stacks=stacks.ctypes.data,
                stack_bytes=STACK_BYTES,
                message=message.ctypes.data,
                message_bytes=message.size,
            )
            if self._launch(ctypes.byref(call)):
                text = message.tobytes().partition(b"\0")[0].decode()
                raise _standin.KernelFault(f"{self.name}{grid}{block}: {text}")

    def _check(self, grid, block, args, shared_mem):
        if not isinstance(args, tuple) or len(args) != 1:
            raise TypeError("the stand-in's kernels take one argument, in a tuple")
        (params,) = args
        if not isinstance(params, np.ndarray) or params.ndim or not params.dtype.names:
            raise TypeError("a kernel's argument is a NumPy array of no axes and a struct's dtype")
        if params.dtype.itemsize != self._params:
            raise TypeError(
                f"{self.name} takes a struct of {self._params} bytes, not {params.dtype.itemsize}"
            )
        if self._params > MOST_PARAMETER_BYTES:
            raise CUDADriverError("CUDA_ERROR_INVALID_VALUE: more than 4096 bytes of arguments")
        threads = int(np.prod(block))
        if (
            threads > MOST_THREADS
            or any(n > most for n, most in zip(block, MOST_BLOCK, strict=True))
            or any(n > most for n, most in zip(grid, MOST_GRID, strict=True))
        ):
            raise CUDADriverError(f"CUDA_ERROR_INVALID_VALUE: grid {grid}, block {block}")
        if threads > self.max_threads_per_block:
            raise CUDADriverError(
                "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES: too many resources requested for launch "
                f"({threads} threads, __launch_bounds__ allows {self.max_threads_per_block})"
            )
        if not 0 <= shared_mem <= self._most_shared_bytes:
            raise CUDADriverError(
                f"CUDA_ERROR_INVALID_VALUE: {shared_mem} bytes of shared memory, "
                f"{self._most_shared_bytes} allowed"
            )
