"""Python in a process of its own: for what is decided at import or may not come back."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

TESTS = Path(__file__).parent
SETTINGS = ("FASTCONV_MAX_ISA", "FASTCONV_NUM_THREADS", "OMP_NUM_THREADS")


def environment(**variables):
    """This environment without fastconv's settings, with those given."""
    kept = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    return kept | variables


def python(code, timeout=120, **variables):
    """Run `code`; return what it printed.  Fails with its error output where it fails."""
    done = run([sys.executable, "-c", textwrap.dedent(code)], timeout, **variables)
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def run(command, timeout=120, **variables):
    return subprocess.run(
        command,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
