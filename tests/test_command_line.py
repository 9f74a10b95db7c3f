"""The command line: what it prints, its exit status, and its cases by their references."""

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import shell
from shell import python

import fastconv
from fastconv._cli import bench, main
from fastconv._cli.bench import _cases, _gpu, _gpu_peers, _host
from fastconv._cli.bench._cases import Convolution, Filter, Layer

STANDIN = Path(__file__).with_name("standin")
NO_CUPY = "import sys; sys.modules['cupy'] = None"
MAIN = """
    from fastconv._cli import main
    try:
        status = main({arguments!r})
    except SystemExit as ended:
        status = ended.code
    print("status", status)
"""


def command(*arguments, before="", standin=False):
    """What a command prints, errors among it, and its exit status, in a process of its own."""
    path = [str(STANDIN)] * standin + [os.environ.get("PYTHONPATH", "")]
    code = MAIN.format(arguments=arguments)
    redirect = "import sys; sys.stderr = sys.stdout"
    printed = python(redirect, before, code, PYTHONPATH=os.pathsep.join(filter(None, path)))
    text, _, status = printed.rpartition("status ")
    return text, int(status)


# explain ------------------------------------------------------------------------------------------


def test_explain_on_a_gpu_needs_no_cupy():
    arguments = ("explain", "1080x1920", "7x7", "--dtype", "float32", "--device", "cuda:3")
    text, status = command(*arguments, before=NO_CUPY)
    assert status == 0
    assert text.startswith("cuda:3: not found by CuPy; costs are from an A100's data sheet\n")
    assert "gpu_direct" in text
    assert "tilefft" not in text


def test_explain_takes_the_costs_of_the_gpu_that_there_is():
    text, status = command("explain", "4096", "9", "--device", "cuda:1", standin=True)
    assert status == 0
    assert text.startswith("cuda:1: costs are from its data sheet\n")


def test_signs_that_an_encoding_lacks_are_replaced():
    command_line = [sys.executable, "-m", "fastconv", "explain", "4096", "9"]
    environment = shell.environment(PYTHONIOENCODING="cp1252")
    done = subprocess.run(command_line, capture_output=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    expected = shell.run(command_line).stdout.encode("cp1252", "replace")
    assert b"?" in expected
    assert done.stdout.splitlines() == expected.splitlines()


def test_explain_on_the_processor(capsys):
    assert main(["explain", "4096", "9", "--device", "cpu"]) == 0
    on_cpu = capsys.readouterr().out
    assert main(["explain", "4096", "9"]) == 0
    assert capsys.readouterr().out == on_cpu
    assert "gpu_direct" not in on_cpu


@pytest.mark.parametrize("command_line", [["bench"], ["explain", "9", "3"]])
def test_unknown_devices_are_refused(command_line, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*command_line, "--device", "gpu0"])
    assert ended.value.code == 2
    assert "'cpu', 'cuda' or 'cuda:' and a number, not 'gpu0'" in capsys.readouterr().err


# bench --------------------------------------------------------------------------------------------


def test_bench(capsys, tmp_path):
    report = tmp_path / "bench.json"
    assert main(["bench", "--quick", "--match", "convolve 16 * 3", "--json", str(report)]) == 0
    assert "1 of 1 results right; x" in capsys.readouterr().out
    figures = json.loads(report.read_text())
    (row,) = figures["rows"]
    assert row["case"]["data"] == [16]
    assert row["seconds"]["fastconv"] > 0
    assert set(row["speedup"]) <= {"scipy", "numpy"}
    assert figures["means"] == pytest.approx(row["speedup"])
    assert figures["device"] == {"device": "cpu"}


def test_a_wrong_result_is_exit_status_1(capsys, monkeypatch):
    monkeypatch.setattr(Convolution, "wanted", lambda *_: (np.zeros(16), 1e-6))
    assert main(["bench", "--quick", "--match", "convolve 16 * 3"]) == 1
    printed = capsys.readouterr().out
    assert "where 1e-06 is allowed" in printed
    assert "0 of 1 results right" in printed


def test_a_case_that_is_refused_is_wrong(capsys, monkeypatch):
    monkeypatch.setattr(_host, "CASES", (Convolution((9,), (3,), "float32", mode="none"),))
    assert main(["bench"]) == 1
    assert "ValueError: " in capsys.readouterr().out


def test_a_peer_that_computes_something_else_is_left_out(capsys, monkeypatch):
    monkeypatch.setattr(_host.Host, "calls", lambda *_: {"numpy": lambda: np.zeros(16)})
    assert main(["bench", "--quick", "--match", "convolve 16 * 3"]) == 0
    printed = capsys.readouterr().out
    assert "NumPy left out of convolve 16 * 3 float32: its values are off by" in printed
    assert "over NumPy" not in printed


def test_no_case_matches(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["bench", "--match", "no such case"])
    assert ended.value.code == 2
    assert "no case holds 'no such case'" in capsys.readouterr().err


def test_bench_on_a_gpu_says_what_to_install():
    text, status = command("bench", "--device", "cuda", before=NO_CUPY)
    assert status == 2
    assert "cuda:0 needs CuPy (pip install 'fastconv[cuda12]'" in text


def test_bench_where_cupy_finds_no_gpu():
    before = """
        import cupy
        def none():
            raise cupy.cuda.runtime.CUDARuntimeError("no CUDA-capable device is detected")
        cupy.cuda.runtime.getDeviceCount = none
    """
    text, status = command("bench", "--device", "cuda", before=before, standin=True)
    assert status == 2
    assert "CuPy finds no GPU for cuda:0: no CUDA-capable device is detected" in text
    text, status = command("bench", "--device", "cuda:2", standin=True)
    assert status == 2
    assert "there is no cuda:2: CuPy finds 2 GPUs" in text


@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++ to compile kernels with")
def test_bench_on_a_gpu(tmp_path):
    """Arrays, peers, clock and report, on the stand-in; what it copies is made small."""
    pytest.importorskip("scipy", reason="SciPy, which stands in for cupyx.scipy")
    before = """
        from fastconv._cli.bench import _gpu
        from fastconv._cli.bench._cases import Convolution, Filter
        _gpu.COPY_BYTES = 1 << 20
        _gpu.CASES = (
            Convolution((64,), (5,), "float32", quick=True),
            Filter((20, 30), "gaussian_filter", size=1, dtype="uint8", quick=True),
        )
        _gpu._torch_on = lambda device, cupy, absent: absent.update(torch="not asked for")
    """
    report = tmp_path / "bench.json"
    arguments = ("--quick", "--device", "cuda:1", "--json", str(report))
    text, status = command("bench", *arguments, before=before, standin=True)
    assert status == 0, text
    assert "on cuda:1, " in text
    assert "without torch: not asked for" in text
    figures = json.loads(report.read_text())
    device = figures["device"]
    assert device["device"] == "cuda:1"
    assert device["name"]
    assert device["copy_bandwidth"] > 0
    assert {"driver", "runtime", "cupy", "compute_capability"} <= set(device)
    assert set(figures["absent"]) == {"torch"}
    rows = {row["case"]["family"]: row for row in figures["rows"]}
    assert set(rows) == {"signal", "ndimage"}
    assert set(rows["signal"]["speedup"]) == {"cupy", "cupy_fft"}
    assert set(rows["ndimage"]["speedup"]) == {"cupy"}
    assert set(figures["means"]) == {"cupy", "cupy_fft"}
    for row in rows.values():
        assert row["method"].startswith("gpu_")
        assert row["seconds"]["fastconv"] > 0
        assert 0 < row["share_of_copy"] < math.inf


# The cases ----------------------------------------------------------------------------------------

SMALL = (
    Convolution((50,), (7,), "float32"),
    Convolution((50,), (8,), "complex64", mode="full"),
    Convolution((60,), (9,), "int16", function="correlate", mode="valid"),
    Convolution((4, 60), (1, 9), "float64", function="oaconvolve", options={"axes": -1}),
    Convolution((20, 30), (5, 3), "uint8", kernel_dtype="float32"),
    Convolution((20, 30), (5, 5), "float32", function="convolve2d", options={"boundary": "symm"}),
    Convolution((20, 30), (3, 5), "float64", function="correlate2d", options={"boundary": "wrap"}),
    Convolution((9, 8, 7), (3, 3, 3), "float32"),
    *(Filter((20, 30), "correlate", kernel=(3, 5), mode=mode) for mode in ("reflect", "mirror")),
    *(Filter((20, 30), "convolve", kernel=(3, 5), mode=mode) for mode in ("constant", "nearest")),
    Filter((40, 30), "correlate", kernel=(3, 5), dtype="uint8"),
    Filter((40, 30), "gaussian_filter", size=2, mode="wrap"),
    Filter((40, 30), "gaussian_filter", size=1, dtype="uint8"),
    Filter((40, 30), "uniform_filter", size=5, dtype="float64"),
    Filter((10, 20, 30), "uniform_filter", size=3),
    Filter((40, 30), "sobel"),
    Filter((10, 20, 30), "sobel"),
    Filter((40, 30), "laplace", dtype="float64"),
    *(
        Layer(2, 6, 9, 4, taps, stride=stride, groups=groups, function=f"conv2d{what}")
        for taps, stride, groups in ((3, 1, 1), (1, 1, 1), (3, 2, 2), (5, 2, 1))
        for what in ("", "_grad_input", "_grad_weight")
    ),
)


@pytest.mark.parametrize("case", SMALL, ids=lambda case: f"{case.function} {case.name}")
def test_references(case):
    """Two computations of each case, of which one is fastconv's."""
    arrays = case.arrays(np.random.default_rng(3))
    ours = getattr(getattr(fastconv, case.family), case.function)
    got = _cases.bound(ours, case, arrays)()
    wanted, tolerance = case.wanted(arrays, got.dtype)
    assert bench._worst(got, wanted) <= tolerance


def test_torchs_calls_compute_the_same():
    """They take NumPy's arrays as they take CuPy's."""
    torch = pytest.importorskip("torch", reason="PyTorch, to compare with")
    for case in SMALL:
        arrays = case.arrays(np.random.default_rng(3))
        call = _gpu_peers.by_torch(torch, case, arrays)
        if call is None:
            assert not isinstance(case, Layer)
            continue
        got = np.asarray(call())
        wanted, tolerance = case.wanted(arrays, got.dtype)
        assert bench._worst(got.reshape(wanted.shape), wanted) <= tolerance, case.name


def test_a_gpus_cases_can_be_planned_from_shapes():
    for case in _gpu.CASES:
        specs = [fastconv.Spec(shape, dtype, device="cuda") for shape, dtype in operands(case)]
        arguments, options = case.arguments(specs)
        ours = getattr(getattr(fastconv, case.family), case.function)
        assert fastconv.explain(ours, *arguments, **options).chosen.startswith("gpu_")
    named = [f"{case.function} {case.name} {case.dtypes}" for case in _gpu.CASES]
    assert len(set(named)) == len(named)


def operands(case):
    """Shapes and dtypes of a case's arrays."""
    if isinstance(case, Convolution):
        return [(case.data, case.dtype), (case.kernel, case.kernel_dtype or case.dtype)]
    if isinstance(case, Filter):
        kernel = [(case.kernel, np.float32)] if case.kernel else []
        return [(case.data, case.dtype), *kernel]
    shapes = {
        "conv2d": (case.x, case.w),
        "conv2d_grad_input": (case.y, case.w),
        "conv2d_grad_weight": (case.y, case.x),
    }
    return [(shape, case.dtype) for shape in shapes[case.function]]


# run ----------------------------------------------------------------------------------------------

PROGRAM = """
import sys
import numpy as np
import neighbour
print(__name__, __file__, sys.argv, sys.path[0])
np.convolve([1.0, 2.0], [1.0, 1.0])
if "fail" in sys.argv:
    raise ValueError("of the program")
if "exit" in sys.argv:
    sys.exit(7)
if "interrupt" in sys.argv:
    raise KeyboardInterrupt
"""


@pytest.fixture
def program(tmp_path):
    (tmp_path / "neighbour.py").write_text("")
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return path


def run_program(*arguments, cwd, **variables):
    """As a shell does it: the first entry of sys.path is Python's to choose."""
    command_line = [sys.executable, "-m", "fastconv", "run", *map(str, arguments)]
    return shell.run(command_line, cwd=cwd, **({"PYTHONSAFEPATH": ""} | variables))


def run_plainly(*arguments, cwd):
    return shell.run([sys.executable, *map(str, arguments)], cwd=cwd, PYTHONSAFEPATH="")


def assert_same(*arguments, cwd):
    """It ends as it does without, and prints the same."""
    done, plain = run_program(*arguments, cwd=cwd), run_plainly(*arguments, cwd=cwd)
    assert done.stdout == plain.stdout
    assert done.stderr == plain.stderr
    assert done.returncode == plain.returncode
    return done


@pytest.mark.parametrize(
    "arguments",
    [
        ["program.py"],
        ["program.py", "--only", "-m", "x"],
        ["./program.py", "fail"],
        ["program.py", "exit"],
        ["program.py", "interrupt"],
        ["-m", "program", "--report"],
        ["-m", "program", "exit"],
    ],
)
def test_a_program_runs_as_it_does_without(arguments, program, tmp_path):
    done = assert_same(*arguments, cwd=tmp_path)
    assert done.stdout.startswith(f"__main__ {tmp_path}")


def test_a_link_to_a_script_finds_its_neighbours(program, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "linked.py").symlink_to(program)
    assert assert_same("elsewhere/linked.py", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize("archive", [False, True])
def test_a_folder_or_an_archive_runs(archive, tmp_path):
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "__main__.py").write_text(
        "import neighbour, sys; print(sys.path, sys.argv, __file__, __spec__.name)"
    )
    (folder / "neighbour.py").write_text("")
    if archive:
        shutil.make_archive(tmp_path / "app", "zip", folder)
    assert assert_same("app.zip" if archive else "app", "x", cwd=tmp_path).returncode == 0


def test_a_package_runs(tmp_path):
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("import sys; print(sys.argv[0])")
    (package / "__main__.py").write_text(
        "from . import other; import sys; print(__package__, __spec__.name, sys.argv)"
    )
    (package / "other.py").write_text("")
    assert assert_same("-m", "package", "x", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize("line", ["import not_there", "raise ValueError('of the package')"])
def test_what_a_package_lacks_is_its_own_error(line, tmp_path):
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text(line)
    done = run_program("-m", "package.module", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert line in done.stderr


@pytest.mark.skipif(not Path("/dev/stdin").exists(), reason="no /dev/stdin: not of this system")
def test_a_pipe_is_read_once(tmp_path):
    script = "import sys; print(sys.argv); raise SystemExit(5)"
    command_line = f'"{sys.executable}" -m fastconv run /dev/stdin x'
    done = shell.run(["bash", "-c", f"echo '{script}' | {command_line}"], cwd=tmp_path)
    assert (done.stdout, done.returncode) == ("['/dev/stdin', 'x']\n", 5)


LATE = """
import concurrent.futures, threading, time, typing

class Job:
    field: "Job"
    def __call__(self):
        return 42

def look():
    time.sleep(0.3)  # main has returned by now
    print(typing.get_type_hints(Job)["field"].__name__)

if __name__ == "__main__":
    threading.Thread(target=look).start()
    pool = concurrent.futures.ProcessPoolExecutor(1)
    pool.submit(Job()).add_done_callback(lambda future: print(future.result()))
"""


def test_main_stays_for_what_outlives_it(tmp_path):
    (tmp_path / "late.py").write_text(LATE)
    done = assert_same("late.py", cwd=tmp_path)
    assert sorted(done.stdout.split()) == ["42", "Job"]


@pytest.mark.parametrize(
    "source",
    [
        "def f(:",
        "raise BaseException('all of it')",
        "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise KeyError(1) from error",
        "import sys\nsys.excepthook = lambda *_: print('hooked')\n1 / 0",
        "import sys\nsys.stdout.close()\nsys.exit(3)",
        "import sys\nsys.exit('a message')",
        "import sys\nprint(__builtins__.len, sys.modules['__main__'].__file__)",
    ],
)
def test_errors_are_told_as_python_tells_them(source, tmp_path):
    (tmp_path / "script.py").write_text(source)
    assert_same("script.py", cwd=tmp_path)


def test_a_hook_for_errors_that_fails_is_told_of(tmp_path):
    (tmp_path / "script.py").write_text("import sys\nsys.excepthook = lambda: None\n1 / 0")
    done = run_program("script.py", cwd=tmp_path)
    assert done.returncode == 1
    assert "Error in sys.excepthook:\nTraceback" in done.stderr
    assert "Original exception was:\nTraceback" in done.stderr
    assert "ZeroDivisionError" in done.stderr


def test_the_report_comes_last(program, tmp_path):
    program.write_text(
        "import atexit, threading, numpy as np\n"
        "call = lambda: np.convolve([1.0], [2.0])\n"
        "atexit.register(call)\n"
        "threading.Timer(0.2, call).start()\n"
        "raise SystemExit(7)\n"
    )
    done = run_program("--report", "program.py", cwd=tmp_path)
    assert done.returncode == 7
    assert done.stderr == (
        "fastconv stands in for 26 functions, and was given 2 calls\n  numpy          convolve 2×\n"
    )


def test_only_what_is_named_is_replaced(program, tmp_path):
    done = run_program("--only", "numpy.correlate", "--report", program, cwd=tmp_path)
    assert done.stderr == (
        "fastconv stands in for 1 function, and was given 0 calls\n  numpy          correlate\n"
    )


def test_a_program_with_a_safe_path_gets_none(program, tmp_path):
    (tmp_path / "empty").mkdir()
    done = run_program(program, cwd=tmp_path / "empty", PYTHONSAFEPATH="1")
    assert "No module named 'neighbour'" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "which script?"),
        (["--"], "which script?"),
        (["missing.py"], "No such file or directory: 'missing.py'"),
        (["."], "'.' has no __main__.py"),
        (["-m", "no_such_module"], "there is no module 'no_such_module' to run"),
        (["-m", "no_such.module"], "there is no module 'no_such.module' to run"),
        (["-m", "unittest.mock.nothing"], "there is no module 'unittest.mock.nothing' to run"),
        (["-m", "time"], "'time' is no code in Python"),
        (["-m", ""], "which script?"),
        (["--only", "scipy.linalg", "-m", "this"], "'scipy.linalg' names nothing that"),
    ],
)
def test_what_cannot_be_run_is_told(arguments, message, tmp_path):
    done = run_program(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("fastconv run: error: ")
    assert message in done.stderr
