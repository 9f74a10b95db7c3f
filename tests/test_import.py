"""What `import fastconv` brings along, what it offers, and that its documentation runs."""

import ast
import doctest
import importlib
import inspect
import os
import pkgutil
import re
from pathlib import Path

import numpy as np
import pytest
from shell import python

import fastconv

SIGNAL = (
    "convolve",
    "correlate",
    "fftconvolve",
    "oaconvolve",
    "convolve2d",
    "correlate2d",
    "choose_conv_method",
    "correlation_lags",
    "sepfir2d",
)
PUBLIC = (
    *SIGNAL,
    "match_template",
    "explain",
    "plan",
    "Spec",
    "show_config",
    "config",
    "set_num_threads",
    "get_num_threads",
    "num_threads",
    "patch_scipy",
    "unpatch_scipy",
    "patched",
    "PatchReport",
)
HEAVY = ("pyfftw", "scipy", "cupy", "torch")


def modules():
    """Every module of the package but the compiled ones and `python -m fastconv`."""
    found = [info.name for info in pkgutil.walk_packages(fastconv.__path__, "fastconv.")]
    return ["fastconv", *(n for n in found if not n.endswith(("__main__", "._core")))]


# Import -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("statement", ["import fastconv", "import fastconv.signal, fastconv.numpy"])
def test_import_is_light(statement):
    code = f"""
        import sys
        {statement}
        print([name for name in {HEAVY!r} if name in sys.modules])
    """
    assert python(code).strip() == "[]"


def test_a_direct_call_is_light():
    code = f"""
        import sys, numpy as np, fastconv
        fastconv.convolve(np.ones(9), np.ones(3))
        fastconv.convolve(np.ones((9, 9), np.float32), np.ones((3, 3), np.float32))
        fastconv.explain(fastconv.convolve, fastconv.Spec(9), fastconv.Spec(3))
        print([name for name in {HEAVY!r} if name in sys.modules])
    """
    assert python(code).strip() == "[]"


def test_numpys_arrays_import_no_cupy():
    """Not even where it is installed, as its stand-in is here; nor do plans for a GPU."""
    code = """
        import sys, numpy as np, fastconv
        assert importlib.util.find_spec("cupy")
        line, image = np.ones(3000, np.float32), np.ones((40, 40), np.float32)
        taps, kernel, layer = np.ones(500, np.float32), np.ones((3, 3)), np.ones((1, 1, 8, 8))
        fastconv.convolve(line, taps, method="fft")
        fastconv.convolve2d(image, kernel, "same", "symm")
        fastconv.sepfir2d(image, taps[:3], taps[:3])
        fastconv.numpy.correlate(line, taps)
        fastconv.ndimage.gaussian_filter(image, 2)
        fastconv.ndimage.correlate(image, kernel, output=np.float32)
        fastconv.match_template(image, image[:5, :5])
        fastconv.nn.conv2d(layer, np.ones((1, 1, 3, 3)), padding=1)
        fastconv.nn.conv2d_grad_weight(layer, layer, (1, 1, 3, 3), padding=1)
        fastconv.plan(fastconv.convolve, line, taps, method="measure")(line)
        on_gpu = fastconv.Spec((40, 40), device="cuda")
        fastconv.explain(fastconv.convolve, on_gpu, fastconv.Spec((3, 3), device="cuda"))
        print("cupy" in sys.modules)
    """
    standin = str(Path(__file__).with_name("standin"))
    path = os.pathsep.join([standin, *filter(None, [os.environ.get("PYTHONPATH")])])
    assert python("import importlib.util", code, PYTHONPATH=path).strip() == "False"


def test_works_without_pyfftw():
    """Where pyfftw cannot be imported, numpy.fft is the road, and the configuration says so."""
    code = """
        import sys
        sys.modules["pyfftw"] = None  # `import pyfftw` raises ImportError
        import numpy as np, fastconv
        rng = np.random.default_rng(0)
        for dtype in "fdFD":
            a, b = rng.standard_normal(3000).astype(dtype), rng.standard_normal(500).astype(dtype)
            result = fastconv.convolve(a, b, method="fft")
            assert result.dtype == dtype
            bound = 100 * np.finfo(dtype).eps * np.linalg.norm(a) * np.linalg.norm(b)
            assert np.abs(result - np.convolve(a.astype("D"), b)).max() <= bound
        print(fastconv.config()["fftw"])
    """
    assert "numpy" in python(code)


def test_all_is_literal():
    tree = ast.parse(Path(inspect.getsourcefile(fastconv)).read_text(encoding="utf-8"))
    literals = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign)
        and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets)
    ]
    assert len(literals) == 1
    assert list(literals[0]) == list(fastconv.__all__)


def test_all_is_complete():
    assert set(PUBLIC) <= set(fastconv.__all__) | {"config"}
    for name in fastconv.__all__:
        assert getattr(fastconv, name) is not None
    public = {
        name
        for name, value in vars(fastconv).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert public <= {*fastconv.__all__, "annotations"}


def test_version():
    from importlib.metadata import version

    assert fastconv.__version__ == version("fastconv")


def test_config():
    config = fastconv.config()
    assert set(config) >= {"version", "compiler", "isa", "openmp", "threads", "fftw", "blas"}
    assert set(config["isa"]) >= {"built", "usable", "used"}
    assert config["version"] == fastconv.__version__
    assert config["isa"]["used"] in config["isa"]["usable"]


def test_show_config(capsys):
    assert fastconv.show_config() is None
    printed = capsys.readouterr().out
    config = fastconv.config()
    for text in (config["version"], config["isa"]["used"], "OpenMP", "FFTW", "BLAS"):
        assert text.lower() in printed.lower()


# Signatures ---------------------------------------------------------------------------------------


def parameters(func):
    return list(inspect.signature(func).parameters.values())


def same_parameters(ours, theirs):
    """The other library's parameters, then nothing but keyword-only ones."""
    ours, theirs = parameters(ours), parameters(theirs)
    assert [(p.name, p.kind, p.default) for p in ours[: len(theirs)]] == [
        (p.name, p.kind, p.default) for p in theirs
    ]
    assert all(p.kind is p.KEYWORD_ONLY for p in ours[len(theirs) :])


@pytest.mark.parametrize("name", [n for n in SIGNAL if n != "sepfir2d"])
def test_signatures_are_scipys(name):
    signal = pytest.importorskip("scipy.signal", reason="SciPy, whose signatures these are")
    same_parameters(getattr(fastconv, name), getattr(signal, name))


def test_sepfir2d_is_positional_only():
    found = parameters(fastconv.sepfir2d)
    assert [p.name for p in found if p.kind is p.POSITIONAL_ONLY] == ["input", "hrow", "hcol"]
    assert [(p.name, p.kind) for p in found[3:]] == [("accuracy", inspect.Parameter.KEYWORD_ONLY)]


@pytest.mark.parametrize("name", ["convolve", "correlate"])
def test_signatures_are_numpys(name):
    import fastconv.numpy

    same_parameters(getattr(fastconv.numpy, name), getattr(np, name))


@pytest.mark.parametrize("name", ["convolve", "correlate"])
def test_extensions(name):
    extra = {p.name: p for p in parameters(getattr(fastconv, name))[4:]}
    assert {name: p.default for name, p in extra.items()} == {
        "axes": None,
        "out": None,
        "accuracy": "default",
    }


# Documentation ------------------------------------------------------------------------------------


def documented():
    import fastconv.nn
    import fastconv.numpy
    import fastconv.signal

    functions = {name: getattr(fastconv, name) for name in PUBLIC}
    for module in (fastconv.nn, fastconv.numpy, fastconv.signal):
        for name in module.__all__:
            functions[f"{module.__name__}.{name}"] = getattr(module, name)
    return functions


@pytest.mark.parametrize("name", documented())
def test_docstrings_are_numpydoc(name):
    thing = documented()[name]
    text = inspect.getdoc(thing)
    assert text, f"{name} has no docstring"
    assert text.splitlines()[0].endswith(".")
    sections = {"Examples"}
    if inspect.isfunction(thing):
        if inspect.signature(thing).parameters:
            sections.add("Parameters")
        if inspect.signature(thing).return_annotation not in (
            None,
            "None",
            "Iterator[None]",
            "Iterator[PatchReport]",
        ):
            sections.add("Returns")
    for section in sections:
        assert re.search(rf"^{section}\n-{{{len(section)}}}$", text, re.M), f"{name}: no {section}"
    if "Parameters" in sections:
        named = re.findall(r"^(\*{0,2}\w+(?:, \*{0,2}\w+)*)(?: :.*)?$", text, re.M)
        documented_names = {name.strip("* ") for line in named for name in line.split(",")}
        assert set(inspect.signature(thing).parameters) <= documented_names


@pytest.mark.thread_unsafe(reason="examples print to the process's own stream")
@pytest.mark.parametrize("name", modules())
def test_doctests(name):
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        missing = (error.name or "").partition(".")[0]
        if missing == "fastconv" or not missing:
            raise
        pytest.skip(f"{missing}, which {name} needs")
    result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0
