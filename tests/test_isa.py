"""Every level of instructions that this CPU runs passes the kernels' tests, in its own process."""

import sys

import pytest
from shell import TESTS, python, run

import fastconv

LEVELS = ("baseline", "avx2", "avx512", "neon")


def missing(level):
    """Why a level cannot be tested here, or None."""
    isa = fastconv.config()["isa"]
    if level not in isa["built"]:
        return f"this build of fastconv has no {level} kernels"
    if level not in isa["usable"]:
        return f"this CPU has no {level} instructions"
    return None


@pytest.fixture(params=LEVELS)
def level(request):
    reason = missing(request.param)
    if reason:
        pytest.skip(reason)
    return request.param


def test_level_is_obeyed(level):
    code = "import fastconv; print(fastconv.config()['isa']['used'])"
    assert python(code, FASTCONV_MAX_ISA=level).split() == [level]


def test_default_is_the_best_level():
    isa = fastconv.config()["isa"]
    code = "import fastconv; print(fastconv.config()['isa']['used'])"
    assert python(code).split() == [isa["usable"][-1]]


KERNEL_TESTS = [
    "test_kernels.py",
    "test_blocks.py",
    "test_tilefft.py",
    "test_layers.py",
    "test_template_sums.py",
]


@pytest.mark.parametrize("tests", KERNEL_TESTS)
def test_kernels_pass_at(level, tests):
    if level == fastconv.config()["isa"]["used"]:
        pytest.skip(f"{tests} itself runs at {level}")
    kernels = str(TESTS / tests)
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", kernels]
    done = run([*command, f"--rootdir={TESTS.parent}"], timeout=600, FASTCONV_MAX_ISA=level)
    assert done.returncode == 0, done.stdout[-6000:]
