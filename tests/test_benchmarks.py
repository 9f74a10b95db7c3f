"""asv's suites: what its pages need to be read, and that every benchmark runs."""

import itertools
import json
import re
import sys
from pathlib import Path

import pytest
import shell

pytest.importorskip("asv", reason="asv is not installed: pip install --group asv")

pytestmark = pytest.mark.cpu_only("the suites choose their libraries themselves")

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SUITES = sorted(path.stem for path in (BENCHMARKS / "suites").glob("bench_*.py"))
NEED_A_GPU = {"bench_cuda"}
PEERS = {
    "numpy",
    "scipy",
    "scipy.signal",
    "opencv",
    "scikit-image",
    "torch",
    "onnxruntime",
    "cupyx",
    "cupyx fft",
}

# asv's pages take strings out of single quotes, and show everything else as Python writes it.
READABLE = re.compile(r"'[^'\\]{1,60}'|-?[0-9]+(\.[0-9]+)?")


def in_suites(*parts, timeout=120):
    """Run a program that can import the suites, and return what it printed last, from JSON."""
    begin = f"import json, sys\nsys.path.insert(0, {str(BENCHMARKS)!r})"
    return json.loads(shell.python(begin, *parts, timeout=timeout).splitlines()[-1])


@pytest.fixture(scope="module")
def benchmarks():
    """Every benchmark as asv finds it."""
    found = in_suites(
        f"""
        from asv_runner.discovery import list_benchmarks

        list_benchmarks({str(BENCHMARKS / "suites")!r}, sys.stdout)
        """
    )
    assert found
    return found


def test_every_suite_has_benchmarks(benchmarks):
    assert {benchmark["name"].split(".")[0] for benchmark in benchmarks} == set(SUITES)


def test_names_are_written_for_people_and_stand_for_one_benchmark(benchmarks):
    names = [benchmark.get("pretty_name") for benchmark in benchmarks]
    assert all(names)
    assert len(set(names)) == len(names)
    assert max(map(len, names)) <= 42  # more does not fit above a graph of the grid


def test_figures_have_units(benchmarks):
    units = {benchmark["type"]: set() for benchmark in benchmarks}
    for benchmark in benchmarks:
        units[benchmark["type"]].add(benchmark["unit"])
    assert units.pop("time") == {"seconds"}
    assert units.pop("peakmemory") == {"bytes"}
    assert "unit" not in units.pop("track")  # what asv writes where none is given
    assert not units


def test_parameters_are_named_and_their_values_can_be_read(benchmarks):
    for benchmark in benchmarks:
        name, params = benchmark["name"], benchmark["params"]
        assert len(benchmark["param_names"]) == len(params), name
        assert not any(re.fullmatch("param[0-9]+", n) for n in benchmark["param_names"]), name
        for values in params:
            assert len(set(values)) == len(values), name
            for value in values:
                assert READABLE.fullmatch(value), (name, value)


def test_peers_are_the_first_parameter_so_that_they_are_lines_of_one_graph(benchmarks):
    compared = [benchmark for benchmark in benchmarks if "impl" in benchmark["param_names"]]
    assert len(compared) > len(benchmarks) / 2
    for benchmark in compared:
        assert benchmark["param_names"].index("impl") == 0, benchmark["name"]
        assert benchmark["params"][0][0] == "'fastconv'", benchmark["name"]
        assert len(benchmark["params"][0]) > 1, benchmark["name"]


# What a suite's benchmarks do for each library's first values, with one call: "ran", or why not.
RUN_ALL = """
    import importlib

    def run(name, impls):
        suite, case, method = name.split(".")
        case = getattr(importlib.import_module(f"suites.{suite}"), case)
        outcomes = {}
        first = [values[0] for values in getattr(case, "params", [])]
        for impl in impls:
            values = [impl, *first[1:]] if impl else first
            benchmark = case()
            try:
                if hasattr(benchmark, "setup"):
                    benchmark.setup(*values)
                getattr(benchmark, method)(*values)
                outcomes[impl or "fastconv"] = "ran"
            except NotImplementedError as error:
                outcomes[impl or "fastconv"] = str(error)
        return outcomes
"""


@pytest.mark.parametrize("suite", [name for name in SUITES if name != "bench_regret"])
def test_benchmarks_run_or_say_why_not(benchmarks, suite):
    cases = {
        benchmark["name"]: [value.strip("'") for value in benchmark["params"][0]]
        if "impl" in benchmark["param_names"]
        else [None]
        for benchmark in benchmarks
        if benchmark["name"].startswith(f"{suite}.")
    }
    outcomes = in_suites(
        RUN_ALL, f"print(json.dumps({{name: run(name, i) for name, i in {cases!r}.items()}}))"
    )
    assert outcomes.keys() == cases.keys()
    for name, by_impl in outcomes.items():
        assert all(by_impl.values()), name
        for impl in ("fastconv", "fastconv planned"):
            if suite not in NEED_A_GPU or by_impl["fastconv"] == "ran":
                assert by_impl.get(impl, "ran") == "ran", (name, by_impl)
            else:
                assert re.search("CuPy", by_impl["fastconv"])


def test_regret_is_of_the_kinds_that_were_timed():
    """Without its setup_cache, which times problems for minutes."""
    outcome = in_suites(
        """
        from suites.bench_regret import Regret

        timed, regret = {"line": [1.0, 4.0]}, Regret()
        regret.setup(timed, "line")
        try:
            regret.setup({}, "line")
            skipped = False
        except NotImplementedError:
            skipped = True
        worst = regret.track_regret_worst(timed, "line")
        print(json.dumps([regret.track_regret_mean(timed, "line"), worst, skipped]))
        """
    )
    assert outcome == [pytest.approx(2.0), 4.0, True]


def test_a_commit_that_lacks_a_name_is_left_out():
    outcome = in_suites(
        """
        from suites._common import find_own

        try:
            find_own("nn.conv9d")
        except NotImplementedError as error:
            print(json.dumps(str(error)))
        """
    )
    assert "nn.conv9d" in outcome


def test_the_example_of_the_readme_runs():
    """In the suite that it would stand in, by fastconv and by SciPy."""
    pytest.importorskip("scipy", reason="SciPy, whose filter is the example's second line")
    readme = (BENCHMARKS / "README.md").read_text("utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    code = f"""
        from suites import bench_ndimage

        exec({example!r}, vars(bench_ndimage))
        benchmark = bench_ndimage.Prewitt
        for impl in benchmark.params[0]:
            made = benchmark()
            made.setup(impl, benchmark.params[1][0])
            made.time_prewitt(impl, benchmark.params[1][0])
        print(json.dumps(benchmark.time_prewitt.pretty_name))
    """
    assert in_suites(code) == "ndimage.prewitt: by image"


def test_callers_are_timed_as_they_are_and_switched():
    pytest.importorskip("skimage", reason="scikit-image is not installed")
    program = str(BENCHMARKS / "callers.py")
    command = [sys.executable, program, "--rounds=1", "--match=sobel"]
    done = shell.run(command, PYTHONSAFEPATH="")  # it imports what stands beside it
    assert done.returncode == 0, done.stderr
    heading, row = done.stdout.splitlines()
    assert heading.startswith("caller")
    assert row.startswith("skimage sobel")
    apart, served = row.split()[-2:]
    assert float(apart) < 1e-12
    assert int(served) > 0


def configuration():
    from asv.config import Config

    return Config.load(str(BENCHMARKS / "asv.conf.json"))


def test_asv_reads_its_configuration():
    conf = configuration()
    assert conf.project == "fastconv"
    assert (BENCHMARKS / conf.benchmark_dir).is_dir()
    assert conf.regressions_thresholds


def test_thresholds_are_of_benchmarks_that_there_are(benchmarks):
    """Patterns meet an entry's name, its values in parentheses; a peer is never our regression."""
    conf = configuration()
    entries = [
        f"{b['name']}({', '.join(values)})@main"
        for b in benchmarks
        for values in itertools.product(*b["params"])
    ]
    for pattern in [*conf.regressions_thresholds, *conf.regressions_first_commits]:
        assert any(re.match(pattern, entry) for entry in entries), pattern
    silent = [p for p, commit in conf.regressions_first_commits.items() if commit is None]
    for entry in entries:
        impl = re.search(r"\('([a-z. -]+)'", entry)
        is_peer = bool(impl) and impl[1] in PEERS
        assert any(re.match(pattern, entry) for pattern in silent) == is_peer, entry
