"""Python in a process of its own: for what is decided at import or may not come back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

TESTS = Path(__file__).parent
SETTINGS = ("FASTCONV_MAX_ISA", "FASTCONV_NUM_THREADS", "OMP_NUM_THREADS")


def environment(**variables):
    """This environment without fastconv's settings, with those given.

    PYTHONSAFEPATH keeps `python -c` and `python -m` from importing the fastconv/ of the folder
    that pytest was started in: it may have no compiled extension. PYTHONUTF8: what is printed is
    read as UTF-8, which is not what Windows' pipes hold by themselves.
    """
    kept = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    return kept | {"PYTHONSAFEPATH": "1", "PYTHONUTF8": "1"} | variables


def python(*parts, timeout=120, **variables):
    """Run the parts of a program; return what it printed.  Fails with its errors where it fails."""
    code = "\n".join(textwrap.dedent(part) for part in parts)
    done = run([sys.executable, "-c", code], timeout, **variables)
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def run(command, timeout=120, cwd=None, **variables):
    """The finished process; where it hangs, it ends together with every child it has forked."""
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    )
    try:
        stdout, stderr = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.communicate()
        raise
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)
