"""The scripts that draw the pictures of docs/how-fast.md, on their smallest sizes."""

import importlib
import importlib.util
import json
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from shell import environment

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
SCRIPTS = ("plot_signals", "plot_ndimage", "plot_layers")

pytestmark = [
    pytest.mark.cpu_only("the scripts measure the CPU"),
    pytest.mark.thread_unsafe(reason="scripts run in processes of their own"),
]


def script(name, folder, *arguments):
    # A script imports what lies beside it, which PYTHONSAFEPATH forbids.
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / f"{name}.py"), *arguments],
        cwd=folder,
        env=environment(PYTHONSAFEPATH=""),
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_checks_measures_and_draws(name, tmp_path):
    status, table, errors = script(name, tmp_path, "--sizes=2", "--rounds=2", "--json=numbers.json")
    assert status == 0, errors
    text = (tmp_path / "numbers.json").read_text()
    report = json.loads(text)
    assert report["cpu"]
    assert report["isa"]
    assert report["versions"]["fastconv"]
    assert report["threads"]["fastconv"] >= 1
    assert report["command"] == f"python benchmarks/{name}.py --rounds=2 --sizes=2"
    assert platform.node() not in text
    for panel, lines in report["seconds"].items():
        assert panel in table
        assert [len(rounds) for rounds in lines["fastconv"].values()] == [2, 2]
    if importlib.util.find_spec("matplotlib") is None:
        assert "without matplotlib there is no figure" in errors
        pytest.skip("matplotlib is not installed: numbers were measured, and no picture drawn")
    drawn = script(name, tmp_path, "--from-json=numbers.json", "--output=again.svg")
    assert drawn[0] == 0, drawn[2]
    assert (tmp_path / "again.svg").read_text().startswith("<?xml")


def test_what_is_wrong_is_not_timed(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    plots = importlib.import_module("_plots")
    one, other = np.array([1.0, 2.0]), np.array([1.0, 2.1])
    right = plots.Work("n", {"a": lambda: one, "b": lambda: [None, one]}, 1e-6)
    assert set(plots.try_out("panel", right)) == {"a", "b"}
    wrong = plots.Work("n", {"a": lambda: one, "b": lambda: [None, other]}, 1e-6)
    with pytest.raises(SystemExit, match=r"b and a lie 0\.1 apart"):
        plots.try_out("panel", wrong)
