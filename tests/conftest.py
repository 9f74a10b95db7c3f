"""Shared fixtures, and the backend that runs the tests.

The helpers stand in oracle.py, arrays.py, shell.py, backend.py and on_device.py beside this file.
"""

import os
import sys
import tempfile
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest

# What somebody has calibrated here must not decide what the tests see; children inherit it.
_nothing_kept = tempfile.TemporaryDirectory(prefix="fastconv-tests-")
os.environ["FASTCONV_CACHE_DIR"] = _nothing_kept.name

sys.path.insert(0, str(Path(__file__).parent))  # `import oracle` under --import-mode=importlib

import shell  # noqa: E402

# SciPy's and NumPy's own suites and the plugin that runs them: .ci/run starts them by themselves.
collect_ignore_glob = ["upstream/*"]

# Why a whole module says nothing of a GPU.
CPU_ONLY = {
    "test_blocks": "the CPU's kernels for blocks",
    "test_calibrate": "calibration measures the CPU",
    "test_cuda_sources": "kernels are compiled, whatever runs them",
    "test_command_line": "commands run in processes of their own, or on the CPU",
    "test_disassembly": "code of the CPU",
    "test_documents": "the documents show the CPU",
    "test_examples": "the examples run on the CPU",
    "test_import": "what an import brings along is the same",
    "test_isa": "levels of the CPU's instructions",
    "test_kernels": "the CPU's kernels",
    "test_layers": "the CPU's kernels for layers",
    "test_memory": "the host's memory",
    "test_methods": "the CPU's methods, one by one",
    "test_ndimage_plan": "which of the CPU's methods a filter takes",
    "test_neighbours": "threads of the CPU's libraries",
    "test_nn_methods": "which of the CPU's methods a layer takes",
    "test_patch": "the originals take the host's arrays",
    "test_planner": "which of the CPU's methods is chosen",
    "test_races": "the CPU's threads, plans and caches",
    "test_template_sums": "the CPU's kernels for templates",
    "test_threads": "the CPU's threads",
    "test_tilefft": "the CPU's transforms of tiles",
    "test_trust": "the CPU's methods, threads and caches",
}

# Why no test of a module can run in several threads at once; others are marked one by one.
ONE_THREAD = {
    "test_calibrate": "costs in use are the process's",
    "test_command_line": "commands print to the process's own streams",
    "test_memory": "memory is the process's",
    "test_neighbours": "it runs in a process of its own",
    "test_patch": "what is replaced is the process's",
    "test_properties": "Hypothesis imports parts of itself while it searches",
}

# Marks of whole modules.
OF_MODULES = {
    "kernels": {
        "test_blocks",
        "test_kernels",
        "test_layers",
        "test_template_sums",
        "test_tilefft",
    },
    "checkout_only": {"test_benchmarks", "test_dashboard", "test_pages", "test_plots"},
}


def pytest_addoption(parser):
    parser.addoption(
        "--backend",
        choices=("numpy", "standin", "cupy"),
        default="numpy",
        help="where arrays live: in the host's memory, on a GPU that is imitated (g++ is needed), "
        "or on a GPU",
    )

    parser.addoption(
        "--share",
        type=float,
        default=1.0,
        help="run so great a part of the tests, by their names: the imitated GPU takes its time",
    )


def pytest_configure(config):
    backend = config.getoption("--backend")
    if backend == "standin":
        sys.path.insert(0, str(Path(__file__).with_name("standin")))
    if backend != "numpy" and not _missing(backend):
        import backend as tests_backend
        import on_device

        tests_backend.on_gpu = True

        on_device.move_everything()


def _missing(backend):
    """Why there is no such backend here."""
    try:
        import cupy
    except ImportError as error:
        return f"CuPy cannot be imported: {error}"
    if backend == "cupy" and hasattr(cupy, "_standin"):
        return "CuPy is the stand-in"
    return None if cupy.is_available() else "CuPy finds no GPU"


def _is_of_a_gpu(item):
    """Whether a test needs another backend than NumPy's arrays."""
    return item.path.stem.startswith("test_gpu")


def _drawn(item):
    """A number from 0 to 1 that depends on a test's name only."""
    return zlib.crc32(item.nodeid.rpartition("tests/")[2].encode()) / 2**32


def _starts_processes(item):
    """Why a test that calls what shell.py offers says nothing in several threads."""
    function = getattr(item, "obj", None)
    names = getattr(getattr(function, "__code__", None), "co_names", ())
    starts = any(function.__globals__.get(name) is shell.python for name in names)
    return "it runs in a process of its own" if starts else None


def pytest_ignore_collect(collection_path, config):
    """Leave modules out before they are imported: what they need may not be there."""
    module, wanted = collection_path.stem, config.getoption("markexpr")
    if collection_path.is_dir():
        return None
    if wanted in OF_MODULES:
        return module not in OF_MODULES[wanted] or None
    return module in OF_MODULES.get(wanted.removeprefix("not "), ()) or None


def pytest_collection_modifyitems(config, items):
    backend, share = config.getoption("--backend"), config.getoption("--share")

    def is_wanted(item):
        # Of sources a share of what they are compiled with is drawn, not of the tests.
        drawn = _drawn(item) < share or item.path.stem == "test_cuda_sources"
        return drawn and (backend != "numpy" or not _is_of_a_gpu(item))

    config.hook.pytest_deselected(items=[item for item in items if not is_wanted(item)])
    items[:] = filter(is_wanted, items)
    for item in items:
        for mark, modules in OF_MODULES.items():
            if item.path.stem in modules:
                item.add_marker(mark)
        reason = ONE_THREAD.get(item.path.stem) or _starts_processes(item)
        if reason:
            item.add_marker(pytest.mark.thread_unsafe(reason=reason))
    if backend == "numpy":
        return
    missing = _missing(backend)
    for item in items:
        alone = item.get_closest_marker("cpu_only")
        reason = missing or CPU_ONLY.get(item.path.stem) or (alone and alone.args[0])
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session", autouse=True)
def _casts_are_defined():
    """What C leaves open is the same in SciPy's results on every machine."""
    import casts

    with pytest.MonkeyPatch.context() as monkeypatch:
        casts.define_scipys(monkeypatch)
        yield


@pytest.fixture(scope="session")
def cupy():
    """CuPy, or what imitates it."""
    import cupy

    return cupy


@pytest.fixture
def order_of_threads(request, cupy, monkeypatch):
    """
    Let the threads of half the tests run from the last to the first: a barrier may be missing.

    Nothing may be written beside an array, either.
    """
    if hasattr(cupy, "_standin"):
        reverse = zlib.crc32(request.node.nodeid.encode()) % 2 == 1
        monkeypatch.setattr(cupy._standin, "reverse_threads", reverse)
    yield
    if hasattr(cupy, "_standin"):
        cupy._standin.check_guards()


class _OfEachThread(threading.local):
    """A generator that every thread has of its own, all of one seed."""

    def __init__(self, seed):
        self._generator = np.random.default_rng(seed)

    def __getattr__(self, name):
        return getattr(self._generator, name)


@pytest.fixture
def rng(request):
    """Random numbers that depend on the test's own name only, in every thread that runs it."""
    seed = list(request.node.nodeid.rpartition("tests/")[2].encode())
    if request.config.getoption("parallel_threads", default=1) == 1:
        return np.random.default_rng(seed)
    return _OfEachThread(seed)
