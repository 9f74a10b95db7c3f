"""Shared fixtures.  The helpers stand in oracle.py, arrays.py and shell.py beside this file."""

import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

# What somebody has calibrated here must not decide what the tests see; children inherit it.
_nothing_kept = tempfile.TemporaryDirectory(prefix="fastconv-tests-")
os.environ["FASTCONV_CACHE_DIR"] = _nothing_kept.name

sys.path.insert(0, str(Path(__file__).parent))  # `import oracle` under --import-mode=importlib

# SciPy's and NumPy's own suites and the plugin that runs them: .ci/run starts them by themselves.
collect_ignore_glob = ["upstream/*"]


@pytest.fixture
def rng(request):
    """Random numbers that depend on the test's own name only."""
    return np.random.default_rng(list(request.node.nodeid.rpartition("tests/")[2].encode()))
