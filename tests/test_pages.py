"""README.md and docs/: blocks run, links lead somewhere, every public function is told of."""

import functools
import importlib
import importlib.util
import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib

import pages
import pytest
from pages import PAGES, ROOT, Block
from shell import environment

import fastconv
from fastconv._cli import _parser

pytestmark = [
    pytest.mark.cpu_only("pages run in processes of their own, on the CPU"),
    pytest.mark.thread_unsafe(reason="pages run in processes of their own"),
]

LANGUAGES = ("python", "pycon", "sh", "console")
README = ROOT / "README.md"
DOCS = ROOT / "docs"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
LONGEST_LINE = 110

# The commands that whoever meets the project is told to type, word by word.
COMMANDS = (
    'python3 -m venv .venv && . .venv/bin/activate && pip install ".[bench]" && fastconv bench',
    'python3 -m venv .venv && . .venv/bin/activate && pip install ".[test]" && pytest',
)


def place(page):
    return page.relative_to(ROOT).as_posix()


def all_blocks(*languages):
    """Every block of these languages, with the page it stands on, as a test's parameters."""
    return [
        pytest.param(page, block, id=f"{place(page)}:{block.line}")
        for page in PAGES
        for block in pages.blocks(page)
        if block.language in languages
    ]


def test_languages():
    """A block in a language that is not listed here would be run by nothing."""
    for page in PAGES:
        for block in pages.blocks(page):
            assert block.language in LANGUAGES, f"{place(page)}:{block.line}: {block.language!r}"
        for number, line in pages.prose(page):  # fences that stand in, or are made of tildes
            assert not re.match(r"\s*(```|~~~)", line), f"{place(page)}:{number}"


# Python -------------------------------------------------------------------------------------------


def import_path(page):
    """Where a page's process looks for modules: for a GPU that is imitated, where there is none."""
    path = [os.environ.get("PYTHONPATH", "")]
    if (
        "import cupy" in page.read_text("utf-8")
        and importlib.util.find_spec("cupy") is None
        and shutil.which("g++")
    ):
        path.insert(0, str(ROOT / "tests/standin"))
    return os.pathsep.join(filter(None, path))


def run_page(page, folder):
    """Run a page in a process of its own, which shares nothing with the tests and ends for sure."""
    # Two threads, as on the machine that the pages show, wherever the tests run.
    done = subprocess.run(
        [sys.executable, pages.__file__, str(page)],
        cwd=folder,
        env=environment(FASTCONV_NUM_THREADS="2", PYTHONPATH=import_path(page)),
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {int(line): result for line, result in json.loads(done.stdout).items()}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What came of a page's blocks, from one run of the page."""
    return functools.cache(lambda page: run_page(page, tmp_path_factory.mktemp("page")))


@pytest.mark.parametrize(("page", "block"), all_blocks("python", "pycon"))
def test_python_runs(page, block, results):
    came_out, reason = results(page)[block.line]
    if came_out == pages.SKIPPED:
        pytest.skip(reason)
    assert came_out == pages.OK, reason


PAGE = """# A page

```python
from fastconv import convolve
import numpy as np

total = convolve([1, 2], [3, 4]).sum()
```

```pycon
>>> int(total)
21
```

```python
assert total == 21
```
"""


def outcomes(text, folder):
    page = folder / "page.md"
    page.write_text(text, "utf-8")
    return [came_out for came_out, _ in run_page(page, folder).values()]


def test_a_right_page_passes(tmp_path):
    assert outcomes(PAGE, tmp_path) == [pages.OK] * 3


@pytest.mark.parametrize(
    ("right", "wrong", "failing"),
    [
        ("convolve([1", "convolved([1", (0, 1, 2)),  # nothing is made: what needs it fails, too
        ("\n21", "\n22", (1,)),
        ("== 21", "== 20", (2,)),
        ("int(total)", "int(total", (1,)),
    ],
)
def test_a_broken_block_fails(right, wrong, failing, tmp_path):
    assert right in PAGE
    expected = [pages.FAILED if i in failing else pages.OK for i in range(3)]
    assert outcomes(PAGE.replace(right, wrong), tmp_path) == expected


def test_a_block_without_its_library_is_skipped_with_all_that_needs_it(tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "_missing", lambda module: f"no {module}")
    page = tmp_path / "page.md"
    page.write_text(PAGE.replace("import numpy as np", "import torch"), "utf-8")
    skipped = (pages.SKIPPED, "no torch")
    assert list(pages.run(page).values()) == [skipped] * 3


TABLE = """10 ∗ 3 → 12, float32, boundary zero
30 multiply-adds, 88 bytes of data and result
  method               predicted  of limit  workspace  error ≤
  direct     chosen      1.41 ms       70%             5.4e-07  fastest, bound by arithmetic
  fft        slower      2.81 ms       29%    437 KiB  2.5e-06  bound by arithmetic
  separable  rejected                                           takes two axes
"""


def test_explanations_are_compared_by_what_they_say_on_any_machine():
    assert pages.is_explanation(TABLE)
    faster = TABLE.replace("1.41 ms", "998 us").replace("bound by arithmetic", "bound by memory")
    assert pages.structure(faster) == pages.structure(TABLE)
    for right, wrong in [
        ("takes two axes", "takes three axes"),
        ("fft        slower", "fft        rejected"),
        ("boundary zero", "boundary wrap"),
        ("separable", "gemm"),
    ]:
        assert pages.structure(TABLE.replace(right, wrong)) != pages.structure(TABLE), wrong


# The shell ----------------------------------------------------------------------------------------


def commands(block: Block):
    """Return the words of each command of a block for the shell."""
    text = block.code.replace("\\\n", " ")
    found = []
    for line in text.splitlines():
        words = shlex.split(line, comments=True)
        while "&&" in words:
            found.append(words[: words.index("&&")])
            words = words[words.index("&&") + 1 :]
        found.append(words)
    return [words for words in found if words]


def check_pip(words):
    assert words[1] == "install", words
    for option, group in itertools.pairwise(words):
        if option == "--group":
            assert group in PROJECT["dependency-groups"], words
    for word in words[2:]:
        extra = re.fullmatch(r"\.\[(\w+)\]", word)
        if extra:
            assert extra[1] in PROJECT["project"]["optional-dependencies"], words


def check_fastconv(words):
    _parser().parse_args(words[1:])  # ends the test where an option is none


def check_python(words):
    if words[1:3] == ["-m", "fastconv"]:
        return check_fastconv(words[2:])
    if words[1:3] == ["-m", "venv"]:
        return None
    script = ROOT / words[1]
    assert script.is_file(), words
    help_text = help_of(script)
    for word in words[2:]:
        if word.startswith("--"):
            assert word.partition("=")[0] in help_text, f"{words}: no {word}"
    return None


@functools.cache
def help_of(script):
    command = [sys.executable, str(script), "--help"]
    done = subprocess.run(
        command,
        capture_output=True,
        encoding="utf-8",
        env=environment(PYTHONSAFEPATH=""),
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


PLUGINS = ("--parallel-threads",)  # options of plugins that pages tell to install


def check_pytest(words):
    for word in words[1:]:
        if word.startswith("--"):
            option = word.partition("=")[0]
            ours = (ROOT / "tests/conftest.py").read_text("utf-8")
            assert option in PLUGINS or option in ours, words
        else:
            assert (ROOT / word).exists(), words


def check_bash(words):
    assert (ROOT / words[1]).is_file(), words


ASV = ("machine", "check", "run", "compare", "continuous", "publish", "preview")


def check_asv(words):
    assert words[1] in ASV, words


def check_script(words):
    assert (ROOT / "benchmarks" / words[0]).is_file(), words


CHECKS = {
    "./history.sh": check_script,
    "asv": check_asv,
    "cd": lambda words: None,
    "pip": check_pip,
    "fastconv": check_fastconv,
    "python": check_python,
    "python3": check_python,
    "pytest": check_pytest,
    "bash": check_bash,
    ".": lambda words: None,
    "pre-commit": lambda words: None,
}


def check(words):
    """Fail where a command is unknown, or its options or files are."""
    while re.fullmatch(r"[A-Z_]+=\S*", words[0]):  # NAME=value before a command
        words = words[1:]
    assert words[0] in CHECKS, words[0]
    CHECKS[words[0]](words)


@pytest.mark.parametrize(("page", "block"), all_blocks("sh"))
def test_commands_are_known_and_parse(page, block):
    for words in commands(block):
        check(words)


@pytest.mark.parametrize(
    "command",
    [
        "make install",
        "fastconv explian 9 3",
        "python -m fastconv explain 9 3 --mode some",
        "pip install '.[nothing]'",
        "pip install --group nothing",
        "python docs/nothing.py",
        "python docs/digits.py --nothing",
        "pytest --nothing",
        "pytest tests/nothing.py",
    ],
)
def test_a_wrong_command_fails(command):
    with pytest.raises((AssertionError, SystemExit)):
        check(shlex.split(command))


@pytest.mark.parametrize(("page", "block"), all_blocks("console"))
def test_what_commands_print(page, block, tmp_path):
    line, _, shown = block.code.partition("\n")
    words = shlex.split(line.removeprefix("$ "))
    assert line.startswith("$ fastconv "), f"{place(page)}:{block.line}: {line}"
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=tmp_path,
        env=environment(FASTCONV_NUM_THREADS="2"),
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert pages.structure(shown) == pages.structure(done.stdout)


def test_the_two_commands_come_first_and_ci_runs_them_in_parts():
    shown = [b.code.strip() for b in pages.blocks(README) if b.language == "sh"][:2]
    assert tuple(shown) == COMMANDS
    steps = {
        ".ci/wheel": ('\npip install "${wheel}[bench]"\n', "\nfastconv bench --quick\n"),
        ".ci/run": ('\npip install ".[test]"\n', "\npytest\n", "bash .ci/wheel"),
    }
    for script, parts in steps.items():
        runs = re.sub(r" -q\b", "", (ROOT / script).read_text("utf-8"))
        for step in parts:
            assert step in runs, (script, step)


# Links, pictures, lines ---------------------------------------------------------------------------


def links(page):
    """Yield each link's line, whether it is a picture, its text and its target."""
    for number, line in pages.prose(page):
        for picture, text, target in re.findall(r"(!?)\[([^]]*)\]\(([^)\s]+)\)", line):
            yield number, bool(picture), text, target


@pytest.mark.parametrize("page", PAGES, ids=place)
def test_links_lead_somewhere(page):
    for number, _, _, target in links(page):
        if re.match(r"[a-z]+:", target):
            assert target.startswith("https://"), f"{place(page)}:{number}: {target}"
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.is_relative_to(ROOT), f"{place(page)}:{number}: {target}"
        assert there.exists(), f"{place(page)}:{number}: {target}"
        if anchor:
            assert anchor in pages.anchors(there), f"{place(page)}:{number}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=place)
def test_pictures_say_what_they_show(page):
    for number, picture, text, target in links(page):
        if picture:
            assert len(text) > 20, f"{place(page)}:{number}: {target}"
        else:
            assert text, f"{place(page)}:{number}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=place)
def test_lines_fit_a_window(page):
    for number, line in pages.prose(page):
        fits = len(line) <= LONGEST_LINE or line.startswith(("|", "!["))
        assert fits, f"{place(page)}:{number}: {len(line)} characters"


def test_every_page_is_in_the_index():
    index = DOCS / "README.md"
    listed = {target for *_, target in links(index)}
    for page in DOCS.glob("*.md"):
        assert page == index or page.name in listed, page.name


# Tables of names ----------------------------------------------------------------------------------

TABLES = {
    "fastconv": DOCS / "README.md",
    "fastconv.signal": DOCS / "coming-from-scipy.md",
    "fastconv.ndimage": DOCS / "coming-from-scipy.md",
    "fastconv.numpy": DOCS / "coming-from-numpy.md",
    "fastconv.nn": DOCS / "coming-from-pytorch.md",
    "fastconv.template": DOCS / "coming-from-opencv.md",
}


def rows_of(module):
    """Return the rows of the tables that stand under a heading with the module's name."""
    rows, inside = [], False
    for _, line in pages.prose(TABLES[module]):
        if line.startswith("#"):
            inside = f"`{module}`" in line
        elif inside and line.startswith("|"):
            rows.append(line)
    return rows


@pytest.mark.parametrize("module", TABLES)
def test_every_public_name_is_in_a_table(module):
    told = {word for row in rows_of(module) for word in re.findall(r"`(\w+)", row)}
    missing = [name for name in importlib.import_module(module).__all__ if name not in told]
    assert not missing, f"{place(TABLES[module])} does not tell of {missing}"


def test_every_module_has_a_table():
    modules = {f"fastconv.{path.stem}" for path in (ROOT / "fastconv").glob("[!_]*.py")}
    assert modules | {"fastconv"} == set(TABLES)


@pytest.mark.parametrize("page", PAGES, ids=place)
def test_names_of_fastconv_exist(page):
    """Every `fastconv.a.b` that stands in a page's text is there."""
    for number, line in pages.prose(page):
        for dotted in re.findall(r"`fastconv((?:\.[a-z_]\w*)+)", line):
            thing = fastconv
            for name in dotted[1:].split("."):
                if name == "template" and thing is fastconv:
                    thing = importlib.import_module("fastconv.template")
                    continue
                assert hasattr(thing, name), f"{place(page)}:{number}: fastconv{dotted}"
                thing = getattr(thing, name)
