"""The CUDA sources compile: by NVRTC, as CuPy compiles them, which needs no GPU."""

import ctypes
import importlib
import importlib.util
import os
import pkgutil
import re
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path

import pytest

import fastconv
from fastconv._cuda import Kernels

ARCHITECTURES = ("80", "90")
SPILLS = re.compile(r"Function properties for (\w+)\s.*?(\d+) bytes spill stores", re.DOTALL)
SOURCES = sorted(path.name for path in files("fastconv._cuda").iterdir() if path.suffix == ".cu")


def variants_of(source):
    """All the sets of options that a source is compiled with, as its methods tell."""
    modules = pkgutil.walk_packages(fastconv.__path__, "fastconv.")
    tellers = (getattr(importlib.import_module(m.name), "variants", None) for m in modules)
    told = {(kernels, options) for tell in tellers if tell for kernels, options in tell()}
    return sorted((v for v in told if v[0].source == source), key=lambda v: v[1])


def plain(options):
    """Whether elements are all floats or all doubles, positions short: what most calls take."""
    values = {option.partition("=")[2] for option in options}
    types = {value for value in values if value and not value.isdigit()} - {"int"}
    return types in ({"float"}, {"double"})


class Nvrtc:
    """NVIDIA's compiler, as its wheel brings it."""

    def __init__(self, path):
        self._library = ctypes.CDLL(str(path))

    def compile(self, kernels: Kernels, options):
        """Return the log; raise where there is no result."""
        program = ctypes.c_void_p()
        text = kernels.text().encode()
        name = kernels.source.encode()
        assert not self._library.nvrtcCreateProgram(
            ctypes.byref(program), text, name, 0, None, None
        )
        try:
            given = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
            failed = self._library.nvrtcCompileProgram(program, len(options), given)
            log = self._read(program, "ProgramLog")
            assert not failed, f"{kernels.source} {options}\n{log}"
            kind = "CUBIN" if any("=sm_" in option for option in options) else "PTX"
            assert self._size(program, kind) > 0
            return log
        finally:
            self._library.nvrtcDestroyProgram(ctypes.byref(program))

    def _size(self, program, what):
        size = ctypes.c_size_t()
        assert not getattr(self._library, f"nvrtcGet{what}Size")(program, ctypes.byref(size))
        return size.value

    def _read(self, program, what):
        text = ctypes.create_string_buffer(self._size(program, what))
        assert not getattr(self._library, f"nvrtcGet{what}")(program, text)
        return text.value.decode()


@pytest.fixture(scope="module")
def nvrtc():
    wheels = importlib.util.find_spec("nvidia")
    folders = wheels.submodule_search_locations if wheels else ()
    found = [path for folder in folders for path in Path(folder).rglob("libnvrtc.so.*")]
    if not found:
        pytest.skip("the wheel nvidia-cuda-nvrtc-cu12 is not installed")
    return Nvrtc(found[0])


def compiled(nvrtc, variants, *options):
    """The logs, compiled on all cores: ctypes lets other threads run meanwhile."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda v: nvrtc.compile(v[0], (*options, *v[1])), variants))


@pytest.fixture
def drawn(pytestconfig):
    """Draws the part of some variants that is asked for, evenly and at least one."""
    step = round(1 / pytestconfig.getoption("--share"))
    return lambda variants: variants[::step]


@pytest.mark.parametrize("source", SOURCES)
def test_a_source_compiles_with_all_its_options(nvrtc, source, drawn):
    """Those of plain kernels are the next test's."""
    variants = variants_of(source)
    assert variants, "no method tells what the source is compiled with"
    others = drawn([variant for variant in variants if not plain(variant[1])])
    for architecture in ARCHITECTURES:
        half = others[ARCHITECTURES.index(architecture) :: len(ARCHITECTURES)]
        compiled(nvrtc, half, "--std=c++17", f"--gpu-architecture=compute_{architecture}")


@pytest.mark.parametrize("source", SOURCES)
def test_plain_kernels_spill_no_registers(nvrtc, source, drawn):
    """They are what most calls take: compiled for every architecture, down to its registers."""
    variants = drawn([variant for variant in variants_of(source) if plain(variant[1])])
    spilled = {}
    for architecture in ARCHITECTURES:
        wanted = ("--std=c++17", f"--gpu-architecture=sm_{architecture}", "--ptxas-options=-v")
        for (_, options), log in zip(variants, compiled(nvrtc, variants, *wanted), strict=True):
            told = SPILLS.findall(log)
            assert told, f"NVRTC tells nothing of registers:\n{log}"
            for kernel, count in told:
                if int(count):
                    spilled[(f"sm_{architecture}", kernel, *options)] = int(count)
    assert not spilled, "bytes: " + "\n".join(
        f"{count}: {where}" for where, count in spilled.items()
    )
