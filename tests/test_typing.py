"""Types: what type checkers know of what is public, beside what it is and returns."""

import ast
import importlib.util
import inspect
import json
import os
import runpy
import subprocess
import sys
import sysconfig
import types
import typing
from pathlib import Path

import numpy as np
import pytest
from shell import TESTS, environment

import fastconv
from fastconv import _filters, _layers, _typing, ndimage, nn, signal, template
from fastconv._methods import GPU_METHODS, METHODS

pytestmark = [
    pytest.mark.cpu_only("types are the same for arrays of either kind"),
    pytest.mark.thread_unsafe("a program sets what is the process's"),
]

USER, WRONG = TESTS / "typing" / "user.py", TESTS / "typing" / "wrong.py"
MODULES = (fastconv, signal, ndimage, fastconv.numpy, nn, template)
PACKAGE = Path(fastconv.__file__).parent

# What stubtest may complain of: names, as regular expressions, and why.
ALLOWED = {
    r"fastconv\._plan\.(explain|plan)": "arrays that may be Specs stand before *args, and so does "
    "func: whatever stands there has no name for a type checker",
    r"fastconv\.\w+\._\w+": "private; functools.lru_cache hides parameters",
    r"fastconv\._native\._core\.(ShortPlan\.)?__(test|reduce_cython|setstate_cython)__": "Cython's",
}
# The modules that define what is public, and the one that has a stub.
DEFINING = (
    *("signal", "ndimage", "numpy", "nn", "template", "_plan", "_problem", "_threads"),
    *("_calibrate", "_config", "_patch", "_native._core"),
)
# Packages without types.
UNTYPED = "[mypy]\n[mypy-cupy.*,pyfftw.*]\nignore_missing_imports = true\n"


def needs(module):
    missing = importlib.util.find_spec(module) is None
    return pytest.mark.skipif(missing, reason=f"{module} is missing: pip install --group typing")


def checker(module, *arguments, folder):
    """Run a type checker in a folder where nothing but what is installed can be found."""
    # basedpyright asks the first python of the PATH what is installed.
    searched = {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    if str(PACKAGE.parent) not in sysconfig.get_paths().values():  # an editable installation
        searched |= dict.fromkeys(("MYPYPATH", "PYTHONPATH"), str(PACKAGE.parent))
    return subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=folder,
        env=environment(**searched),
        capture_output=True,
        text=True,
        timeout=600,
    )


def public_functions():
    for module in MODULES:
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isfunction(value):
                yield pytest.param(value, id=f"{module.__name__}.{name}")


# What is installed --------------------------------------------------------------------------------


def test_is_marked_as_typed():
    assert (PACKAGE / "py.typed").is_file()
    assert (PACKAGE / "_native" / "_core.pyi").is_file()


@pytest.mark.parametrize("function", list(public_functions()))
def test_every_parameter_and_result_is_annotated(function):
    function = inspect.unwrap(function)
    hints = typing.get_type_hints(function)  # which every name in them must stand for something
    assert hints.keys() == {*inspect.signature(function).parameters, "return"}


@pytest.mark.parametrize("cls", [v for v in vars(fastconv).values() if inspect.isclass(v)])
def test_every_method_is_annotated(cls):
    for name, value in vars(cls).items():
        function = value.fget if isinstance(value, property) else value
        # What dataclasses write has no types, which type checkers know by themselves.
        written = inspect.isfunction(function) and Path(function.__code__.co_filename)
        if written and PACKAGE in written.parents:
            hints = typing.get_type_hints(function)
            unknown = {*inspect.signature(function).parameters, "return"} - {"self", *hints}
            assert not unknown, f"{cls.__name__}.{name}: {unknown}"


# Names --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alias", "taken"),
    [
        (_typing.Mode, signal._MODES),
        (_typing.ModeOrNumber, (*fastconv.numpy._MODES, *range(3))),
        (_typing.Method, ("auto", *(m.NAME for m in (*METHODS, *GPU_METHODS)))),
        (_typing.EdgeRule, signal._BOUNDARIES),
        (_typing.EdgeMode, _filters._BOUNDARIES),
        (_typing.PadMode, (*template._BOUNDARIES, *template._PADDINGS)),
        (_typing.Measure, template._MEASURES),
        (_typing.Activation, [name for name in _layers.ACTIVATIONS if name]),
        (_typing.Layout1D, _layers.LAYOUTS[1]),
        (_typing.Layout2D, _layers.LAYOUTS[2]),
        (_typing.Layout3D, _layers.LAYOUTS[3]),
        (typing.get_args(_typing.Padding)[-1], _layers._RULES),
        (typing.get_args(_typing.Accuracy)[0], ("default", "direct")),
    ],
)
def test_literals_are_the_names_that_are_taken(alias, taken):
    assert typing.get_origin(alias) is typing.Literal
    assert sorted(map(str, typing.get_args(alias))) == sorted(map(str, taken))


def test_options_are_those_that_are_handed_on():
    assert set(_typing.GaussianOptions.__annotations__) == _filters.OPTIONS


# Dtypes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", _typing.Same.__constraints__)
def test_pairs_of_one_dtype_keep_it(dtype):
    line, image = np.ones(5, dtype), np.ones((3, 4), dtype)
    results = [
        *(f(a, a) for f in (signal.convolve, signal.correlate) for a in (line, image)),
        *(f(line, line, method="fft") for f in (signal.convolve, signal.correlate)),
        *(f(image, image) for f in (signal.convolve2d, signal.correlate2d)),
        *(f(line, line) for f in (fastconv.numpy.convolve, fastconv.numpy.correlate)),
    ]
    assert {result.dtype for result in results} == {np.dtype(dtype)}


@pytest.mark.parametrize("dtype", _typing.Floating.__constraints__)
def test_transforms_keep_floating_dtypes(dtype):
    for a in (np.ones(5, dtype), np.ones((3, 4), dtype), np.ones((1, 4), dtype)):
        for function in (signal.fftconvolve, signal.oaconvolve):
            assert function(a, a).dtype == dtype


# Half and long precision are none of ndimage's.
@pytest.mark.parametrize(
    "dtype", [d for d in _typing.Same.__constraints__ if np.dtype(d).char not in "egG"]
)
def test_filters_keep_the_dtype(dtype):
    image = np.ones((6, 7), dtype)
    by_name = {
        **dict.fromkeys(("correlate", "convolve"), (np.ones((3, 3)),)),
        **dict.fromkeys(("correlate1d", "convolve1d"), ([1.0, 2.0],)),
        **dict.fromkeys(("generic_laplace", "generic_gradient_magnitude"), (ndimage.sobel,)),
        **dict.fromkeys(("uniform_filter", "uniform_filter1d"), (3,)),
        **dict.fromkeys(("prewitt", "sobel", "laplace"), ()),
    }
    for name in ndimage.__all__:
        result = getattr(ndimage, name)(image, *by_name.get(name, (1,)))
        assert result.dtype == dtype, name


@pytest.mark.parametrize("dtype", _typing.Floating.__constraints__)
def test_layers_and_sepfir2d_keep_the_dtype(dtype):
    for rank in (1, 2, 3):
        x, w = np.ones((1, 2) + (4,) * rank, dtype), np.ones((3, 2) + (2,) * rank, dtype)
        of = {name: getattr(nn, f"conv{rank}d_grad_{name}") for name in ("input", "weight", "bias")}
        y = getattr(nn, f"conv{rank}d")(x, w)
        results = [
            y,
            getattr(nn, f"conv_transpose{rank}d")(y, w),
            of["input"](y, w, x.shape),
            of["weight"](y, x, w.shape),
            of["bias"](y),
        ]
        assert {result.dtype for result in results} == {np.dtype(dtype)}
    columns = nn.unfold(np.ones((1, 4, 4), dtype), 2)
    assert columns.dtype == nn.fold(columns, 4, 2).dtype == dtype
    assert signal.sepfir2d(np.ones((4, 4), dtype), [1.0], [1.0]).dtype == dtype


@pytest.mark.parametrize("dtype", _typing.Pixel.__constraints__)
def test_templates_keep_the_dtype_of_the_image(dtype):
    image = np.ones((4, 4), dtype)
    for measure in typing.get_args(_typing.Measure):
        result = fastconv.match_template(image, [[1, 2]], pad_input=True, method=measure)
        assert result.dtype == dtype


# A user's program ---------------------------------------------------------------------------------


def holds(value, expected):
    """Whether a value is of a type."""
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if expected is typing.Any:
        return True
    if origin is typing.Literal:
        return value in arguments
    if origin in (typing.Union, types.UnionType):
        return any(holds(value, a) for a in arguments)
    if origin is np.ndarray:
        return isinstance(value, np.ndarray) and holds(value.dtype, arguments[1])
    if origin is np.dtype:
        kind = typing.get_origin(arguments[0]) or arguments[0]
        return isinstance(value, np.dtype) and (kind is typing.Any or issubclass(value.type, kind))
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            arguments = arguments[:1] * len(value)
        return isinstance(value, tuple) and all(map(holds, value, arguments))
    if origin is list:
        return isinstance(value, list) and all(holds(v, arguments[0]) for v in value)
    if origin is dict:
        parts = [(k, arguments[0]) for k in value] + [(v, arguments[1]) for v in value.values()]
        return isinstance(value, dict) and all(holds(*part) for part in parts)
    return isinstance(value, expected)


def test_values_are_of_the_types_that_are_promised(monkeypatch):
    asserted = []

    def assert_type(value, expected, /):
        assert holds(value, expected), f"{value!r} is no {expected}"
        asserted.append(expected)
        return value

    monkeypatch.setattr(typing, "assert_type", assert_type)
    runpy.run_path(str(USER), run_name="__main__")
    assert len(asserted) > 80


def test_every_public_name_is_used():
    tree = ast.parse(USER.read_text(encoding="utf-8"))
    scope = {"fastconv": fastconv}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "fastconv":
            scope |= {alias.name: getattr(fastconv, alias.name) for alias in node.names}

    def meant(node):
        if isinstance(node, ast.Attribute):
            return getattr(meant(node.value), node.attr, None)
        return scope.get(node.id) if isinstance(node, ast.Name) else None

    used = {id(meant(node)) for node in ast.walk(tree)}
    unused = [
        f"{module.__name__}.{name}"
        for module in MODULES
        for name in module.__all__
        if id(getattr(module, name)) not in used
    ]
    assert not unused, f"tests/typing/user.py shows no use of {unused}"


@needs("mypy")
@pytest.mark.skipif(
    np.lib.NumpyVersion(np.__version__) < "2.2.0",
    reason=f"NumPy {np.__version__} tells less of its own types; 2.2 does",
)
def test_mypy_accepts_right_uses_and_refuses_wrong_ones(tmp_path):
    strict = ("--strict", "--config-file=", "--follow-imports=silent", "--cache-dir=cache")
    done = checker("mypy", *strict, USER, WRONG, folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@needs("mypy")
def test_stubtest_finds_what_is_declared(tmp_path):
    (tmp_path / "allowed").write_text("\n".join(ALLOWED), encoding="utf-8")
    (tmp_path / "mypy.ini").write_text(UNTYPED, encoding="utf-8")
    options = ("--concise", "--allowlist=allowed", "--mypy-config-file=mypy.ini")
    modules = [f"fastconv.{name}" for name in DEFINING]
    done = checker("mypy.stubtest", *options, *modules, folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@needs("basedpyright")
def test_pyright_knows_every_type(tmp_path):
    options = ("--verifytypes", "fastconv", "--ignoreexternal", "--outputjson")
    done = checker("basedpyright", *options, folder=tmp_path)
    told = json.loads(done.stdout)["typeCompleteness"]
    unknown = [s["name"] for s in told["symbols"] if s["isExported"] and not s["isTypeKnown"]]
    assert told["completenessScore"] == 1, f"no types are known of {unknown}"
