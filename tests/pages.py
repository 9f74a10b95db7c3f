"""The pages that tell of fastconv: their blocks of code, links and tables, and a run of a page.

`python tests/pages.py PAGE` runs the page's Python, block after block in one namespace, and prints
for each block's line what came of it.
"""

from __future__ import annotations

import ast
import contextlib
import doctest
import importlib
import importlib.util
import io
import json
import linecache
import re
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = (
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "benchmarks" / "README.md",
)

# What a page may show without everybody having it: a block that imports one that is missing is
# skipped, and so is every block that uses what the skipped one would have made.
OPTIONAL = ("cupy", "cv2", "matplotlib", "scipy", "skimage", "sklearn", "torch")

OK, SKIPPED, FAILED = "ok", "skipped", "failed"


@dataclass(frozen=True)
class Block:
    """Fenced code: its language, the page's line where its code begins, and the code."""

    language: str
    line: int
    code: str


def blocks(page: Path) -> list[Block]:
    """Return the page's fenced blocks, in order."""
    found: list[Block] = []
    language, begin, lines = "", 0, page.read_text("utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        if not line.startswith("```"):
            continue
        if begin:
            code = "".join(f"{text}\n" for text in lines[begin : number - 1])
            found.append(Block(language, begin + 1, code))
            begin = 0
        else:
            language, begin = line.removeprefix("```"), number
    assert not begin, f"{page.name}:{begin}: this block has no end"
    return found


def prose(page: Path) -> list[tuple[int, str]]:
    """Return the page's lines outside of blocks, with their numbers."""
    inside, found = False, []
    for number, line in enumerate(page.read_text("utf-8").splitlines(), 1):
        if line.startswith("```"):
            inside = not inside
        elif not inside:
            found.append((number, line))
    return found


def slug(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading.strip("# ")).lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    return {slug(line) for _, line in prose(page) if re.match(r"#{1,6} ", line)}


# What the planner says ----------------------------------------------------------------------------

_ROW = re.compile(r"\s+(\w+)\s+(chosen|slower|rejected)\b(.*)")


def is_explanation(text: str) -> bool:
    return re.search(r"^\s*method\s+predicted\b", text, re.MULTILINE) is not None


def structure(text: str) -> list[str]:
    """
    Return what an explanation says on any machine: figures and ranks depend on the processor.

    Lines keep their words, their figures become #. Rows tell who may solve the problem, and who
    refuses and why.
    """
    lines, rows = [], []
    for line in text.splitlines():
        words = " ".join(re.sub(r"\d+(?:[.,]\d+)*(?:e[-+]?\d+)?", "#", line).split())
        row = _ROW.match(line)
        if row is None:
            lines.append(re.sub(r"# [KMG]?i?B", "# B", words))
        elif row[2] == "rejected":
            rows.append(f"{row[1]} rejected: {' '.join(row[3].split())}")
        else:
            rows.append(f"{row[1]} possible")
    return lines + sorted(rows)


class _Checker(doctest.OutputChecker):
    """Compares explanations by their structure, and everything else word by word."""

    def check_output(self, want, got, optionflags):
        if is_explanation(want) and is_explanation(got):
            return structure(want) == structure(got)
        return super().check_output(want, got, optionflags)


# Running a page -----------------------------------------------------------------------------------


def _missing(module: str) -> str | None:
    """Why an optional module cannot be used here, or None."""
    if importlib.util.find_spec(module) is None:
        return f"{module} is not installed"
    if module == "cupy":
        try:
            importlib.import_module("cupy").cuda.runtime.getDeviceCount()
        except Exception as error:  # CuPy's own errors are CUDA's
            return f"cupy finds no GPU: {error}"
    return None


def _names(code: str) -> tuple[set[str], set[str], set[str]]:
    """Return the modules that the code imports, the names that it binds, and those it uses."""
    modules, bound, used = set(), set(), set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            modules |= {alias.name.partition(".")[0] for alias in node.names}
            bound |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add((node.module or "").partition(".")[0])
            bound |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            bound.add(node.name)
        elif isinstance(node, ast.Name):
            (used if isinstance(node.ctx, ast.Load) else bound).add(node.id)
    return modules, bound, used


def _run_python(page: Path, block: Block, namespace: dict) -> str:
    """Run a block; return its errors, with the page's own line numbers."""
    code = "\n" * (block.line - 1) + block.code
    linecache.cache[str(page)] = (len(code), None, code.splitlines(True), str(page))
    try:
        exec(compile(code, str(page), "exec"), namespace)
    except Exception:
        return traceback.format_exc()
    return ""


def _run_pycon(page: Path, block: Block, namespace: dict) -> str:
    """Run a block as a doctest; return what came out otherwise."""
    test = doctest.DocTestParser().get_doctest(
        block.code, namespace, page.name, str(page), block.line - 1
    )
    report = io.StringIO()
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    doctest.DocTestRunner(_Checker(), optionflags=flags).run(
        test, out=report.write, clear_globs=False
    )
    namespace.update(test.globs)
    return report.getvalue()


_RUN = {"python": _run_python, "pycon": _run_pycon}


def run(page: Path) -> dict[int, tuple[str, str]]:
    """Run the page's Python in this process; return for each block what came of it, and why."""
    namespace: dict = {"__name__": "__main__"}
    unmade: dict[str, str] = {}  # names that skipped blocks would have bound, and why they did not
    results = {}
    for block in blocks(page):
        if block.language not in _RUN:
            continue
        code = block.code
        if block.language == "pycon":
            examples = doctest.DocTestParser().get_examples(code)
            code = "".join(example.source for example in examples)
        try:
            modules, bound, used = _names(code)
        except SyntaxError as error:
            results[block.line] = FAILED, f"{error} in\n{code}"
            continue
        reasons = [_missing(module) for module in sorted(modules.intersection(OPTIONAL))]
        reasons += [unmade[name] for name in sorted(used - bound) if name in unmade]
        reason = next(filter(None, reasons), None)
        if reason:
            unmade |= dict.fromkeys(bound - namespace.keys(), reason)
            results[block.line] = SKIPPED, reason
            continue
        for name in bound:
            unmade.pop(name, None)
        with contextlib.redirect_stdout(io.StringIO()):
            errors = _RUN[block.language](page, block, namespace)
        results[block.line] = (FAILED, errors) if errors else (OK, "")
    return results


if __name__ == "__main__":
    json.dump(run(Path(sys.argv[1])), sys.stdout)
