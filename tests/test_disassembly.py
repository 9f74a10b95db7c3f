"""No instruction of AVX's stands where a CPU without AVX comes by: the extension is disassembled.

Symbols tell the level: kernels lie in a namespace of its name. Whatever has no such name (the
binding, the drivers, templates of the C++ library's that a level has brought in) runs on every CPU.
"""

import platform
import re
import shutil
import subprocess
import textwrap
from dataclasses import dataclass

import pytest

import fastconv
from fastconv._native import _core

FUNCTION = re.compile(r"^[0-9a-f]+ <(?P<name>.*)>:$")
# GNU's objdump writes tabs where LLVM's writes spaces.
INSTRUCTION = re.compile(r"^ *[0-9a-f]+:\s+(?P<code>(?:[0-9a-f]{2} )+)\s*(?P<text>.+)$")
PREFIXES = {"26", "2e", "36", "3e", "64", "65", "67"}  # of segments and addresses
# In 64-bit code these bytes begin nothing else.
ENCODINGS = {"c4": "VEX", "c5": "VEX", "62": "EVEX"}
REGISTERS = re.compile(r"%(?P<name>[xyz]mm[0-9]+)")
# What a level's functions may hold.
ALLOWED = {"avx2": {"VEX", "ymm"}, "avx512": {"VEX", "EVEX", "ymm", "zmm"}}


@dataclass
class Listing:
    """What was found in a disassembly."""

    functions: set[str]
    leaks: list[str]  # instructions that do not belong where they stand
    seen: dict[str, set[str]]  # what the instructions of each level of AVX's take


def level_of(function):
    """The level whose namespace a mangled or demangled name lies in, or None."""
    for level in ("baseline", *ALLOWED):
        if f"8fastconv{len(level)}{level}" in function or f"fastconv::{level}::" in function:
            return level
    return None


def needs(code, text):
    """Which of AVX's encodings and registers an instruction takes."""
    first = next((byte for byte in code.split() if byte not in PREFIXES), "")
    found = {ENCODINGS[first]} if first in ENCODINGS else set()
    for register in REGISTERS.finditer(text):
        width, number = register["name"][:3], int(register["name"][3:])
        found |= ({width} if width != "xmm" else set()) | ({"EVEX"} if number > 15 else set())
    return found


def look_through(lines):
    """Read what `objdump -dw` prints."""
    listing = Listing(set(), [], {level: set() for level in ALLOWED})
    name, level = "", None
    for line in lines:
        if function := FUNCTION.match(line):
            name = function["name"]
            level = level_of(name)
            listing.functions.add(name)
        elif instruction := INSTRUCTION.match(line):
            needed = needs(instruction["code"], instruction["text"])
            if level in ALLOWED:
                listing.seen[level] |= needed
            if extra := needed - ALLOWED.get(level, set()):
                listing.leaks.append(f"{name}: {' '.join(sorted(extra))}: {instruction['text']}")
    return listing


@pytest.fixture(scope="module")
def listing():
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip(f"no AVX on {platform.machine()}")
    if not shutil.which("objdump"):
        pytest.skip("objdump (binutils) is missing")
    command = ["objdump", "-dw", _core.__file__]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        found = look_through(process.stdout)
    if process.returncode != 0:
        pytest.skip(f"objdump does not read {_core.__file__}")
    if not any(level_of(name) for name in found.functions):
        pytest.skip("the extension was stripped of its symbols")
    return found


def test_no_leaks(listing):
    assert listing.leaks[:20] == []


def test_every_level_is_there(listing):
    found = {level_of(name) for name in listing.functions} - {None}
    assert found == set(fastconv.config()["isa"]["built"])


def test_instructions_are_read(listing):
    """Else there would be no leaks, either."""
    built = fastconv.config()["isa"]["built"]
    assert "avx2" not in built or "VEX" in listing.seen["avx2"]
    assert "avx512" not in built or {"EVEX", "zmm"} <= listing.seen["avx512"]


LINES = """
    0000000000012340 <_ZN8fastconv6avx51212_GLOBAL__N_13addEv>:
       12340:\t62 f1 7c 48 58 c1    \tvaddps %zmm1,%zmm0,%zmm0
       12346:\tc5 fc 58 c1          \tvaddps %ymm1,%ymm0,%ymm0
       1234a:\tc3                   \tret
    0000000000012350 <_ZN8fastconv4avx212_GLOBAL__N_13addEv.cold>:
       12350:\tc4 e2 7d 18 05 00 00 00 00 \tvbroadcastss 0x0(%rip),%ymm0        # 12359 <x>
    0000000000012360 <_ZN8fastconv8baseline12_GLOBAL__N_13addEv>:
       12360:\t66 0f 58 c1          \taddpd  %xmm1,%xmm0
       12364:\t66 2e 0f 1f 84 00 00 00 00 00 \tcs nopw 0x0(%rax,%rax,1)
       1236e:\t48 8d 0d c5 fc 00 00 \tlea    0xfcc5(%rip),%rcx
"""


def look_at(lines):
    return look_through(textwrap.dedent(LINES + lines).splitlines())


def test_what_belongs_to_its_level_is_no_leak():
    found = look_at("")
    assert found.leaks == []
    assert {level_of(name) for name in found.functions} == {"avx512", "avx2", "baseline"}
    assert found.seen == {"avx512": {"VEX", "EVEX", "ymm", "zmm"}, "avx2": {"VEX", "ymm"}}


def test_both_disassemblers_are_read():
    """LLVM's objdump puts a space before the code."""
    as_llvm = [line.replace(":\t", ": ") for line in textwrap.dedent(LINES).splitlines()]
    assert look_through(as_llvm) == look_at("")


@pytest.mark.parametrize(
    ("name", "code", "text", "needed"),
    [
        ("_ZSt3minIlERKT_S2_S2_", "c5 f8 77", "vzeroupper", "VEX"),
        ("_ZN8fastconv8baseline12_GLOBAL__N_13addEv.cold", "c5 f8 58 c1", "vaddps %xmm1", "VEX"),
        ("_ZN8fastconv9correlateEv", "c5 fc 58 c1", "vaddps %ymm1,%ymm0,%ymm0", "VEX ymm"),
        ("PyInit__core", "c4 e2 f0 f2 c2", "andn   %rdx,%rcx,%rax", "VEX"),
        ("PyInit__core", "65 c5 f8 58 00", "vaddps %gs:(%rax),%xmm0,%xmm0", "VEX"),
        ("_ZN8fastconv4avx212_GLOBAL__N_13mulEv", "62 f1 7c 28 59 c1", "vmulps %ymm1", "EVEX"),
        ("_ZN8fastconv4avx212_GLOBAL__N_13mulEv", "c5 f8 77", "vaddps %xmm16", "EVEX"),
        ("_ZN8fastconv10level_avx2E", "c5 f8 77", "vzeroupper", "VEX"),
    ],
)
def test_a_leak_is_found(name, code, text, needed):
    found = look_at(f"    0000000000012370 <{name}>:\n       12370:\t{code} \t{text}\n")
    assert found.leaks == [f"{name}: {needed}: {text}"]
