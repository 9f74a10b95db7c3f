"""Calibration: what is measured, how it is fitted, where it is kept, and what of it is believed."""

import json
import math
import os
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from shell import environment, python

import fastconv
from fastconv import _calibrate, _cost, _planner, _probes, _rates, _store
from fastconv._calibrate import Timing
from fastconv._methods import METHODS
from fastconv._native import _core

SHIPPED = _rates.SHIPPED[_core.isa_used()]


def forget():
    _cost.COEFFICIENTS.clear()
    vars(_cost.COEFFICIENTS).clear()
    _planner.clear_cache()


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A cache directory of the test's own; the costs in use are forgotten before and after."""
    monkeypatch.setenv("FASTCONV_CACHE_DIR", str(tmp_path))
    forget()
    yield tmp_path
    forget()


@pytest.fixture
def quick(monkeypatch):
    """A calibration of a few problems."""
    monkeypatch.setattr(_calibrate, "_PROBE_SECONDS", 0.05)
    monkeypatch.setattr(_calibrate, "_PLANNER_SECONDS", 0.01)
    monkeypatch.setattr(_calibrate, "_FORKS", 3)


def costs_file(directory):
    return directory / _cost.file_name()


def save(directory, **changes):
    content = {"machine": _cost.machine(), "made": "2026-11-24", "coefficients": dict(SHIPPED)}
    costs_file(directory).write_text(json.dumps(content | changes))


# units of work ------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", _rates.SHIPPED)
def test_every_level_knows_the_same_units(level):
    assert _rates.SHIPPED[level].keys() == SHIPPED.keys()
    for unit, seconds in _rates.SHIPPED[level].items():
        assert unit.partition(".")[0] in ("arithmetic", "cache", "memory", "call")
        assert 0 < seconds < 1


@pytest.mark.parametrize("kind", _probes.KINDS)
def test_estimates_count_units_that_are_known(kind):
    rng = np.random.default_rng(3)
    for _ in range(25):
        probe = _probes.draw(rng, [kind], 1e-2, 8 << 20)
        assert probe.kind == kind
        assert probe.label
        problem = probe.call.choose().problem
        for method in METHODS:
            if method.reject(problem) is None:
                work = method.estimate(problem).work
                assert all(count >= 0 and unit in SHIPPED for unit, count in work)
                assert sum(count for _, count in work) > 0


def test_probes_are_as_small_as_asked():
    rng = np.random.default_rng(4)
    for _ in range(30):
        probe = _probes.draw(rng, list(_probes.KINDS), 1e-4, 1 << 18)
        assert probe.call.problem.traffic <= 1 << 18
        assert all(np.isfinite(a).all() for a in probe.call.arrays if isinstance(a, np.ndarray))
    with pytest.raises(ValueError, match="takes less than"):
        _probes.draw(rng, ["line"], 0.0, 1 << 18)


def test_memory_is_moved_while_sums_are_formed():
    slow = _cost.Estimate((("arithmetic.direct.line.f", 1e6), ("memory.ram", 1.0)))
    wide = _cost.Estimate((("arithmetic.direct.line.f", 1.0), ("memory.ram", 1e9)))
    called = _cost.Estimate((("arithmetic.direct.line.f", 1.0), ("call.direct", 1.0)))
    copied = _cost.Estimate((("arithmetic.direct.line.f", 1.0), ("cache.direct.copied", 1e9)))
    bounds = [_cost.predict(e).bound for e in (slow, wide, called, copied)]
    assert bounds == ["arithmetic", "memory", "call", "cache"]
    both = _cost.Estimate((*slow.work, *wide.work))
    assert _cost.predict(both).seconds == pytest.approx(_cost.predict(wide).seconds)


@pytest.mark.skipif(_cost.CORES < 2, reason="one processor")
def test_threads_are_predicted_to_pay_for_long_work_only():
    short, long = (_cost.Estimate((("arithmetic.direct.line.f", count),)) for count in (10.0, 1e7))
    assert _cost.predict(short, 2).seconds == _cost.predict(short, 1).seconds
    assert _cost.predict(long, 2).seconds < 0.6 * _cost.predict(long, 1).seconds
    whole = long._replace(pieces=1)
    assert _cost.predict(whole, 2).seconds >= _cost.predict(whole, 1).seconds


# fitting ------------------------------------------------------------------------------------------


def made_up(rng, coefficients, count=400):
    """Timings of a machine with these coefficients, 5 % off."""
    timings = []
    for _ in range(count):
        probe = _probes.draw(rng, list(_probes.KINDS), 1e-2, 4 << 20)
        problem = probe.call.choose().problem
        able = [m for m in METHODS[:-1] if m.reject(problem) is None]
        work = able[int(rng.integers(len(able)))].estimate(problem).work
        total = float(np.exp(_calibrate._predicted(*_row(work, coefficients))[0][0]))
        timings.append(Timing(work, total * math.exp(0.05 * rng.standard_normal())))
    return timings


def _row(work, coefficients):
    units = sorted({unit for unit, _ in work})
    counts = np.array([[sum(c for u, c in work if u == unit) for unit in units]], float)
    return counts, np.log([coefficients[unit] for unit in units]), units


def test_a_fit_finds_the_machine_that_made_the_timings():
    rng = np.random.default_rng(5)
    machine = {u: 1.7 * s * math.exp(0.4 * rng.standard_normal()) for u, s in SHIPPED.items()}
    timings = made_up(rng, machine)
    found = _calibrate.fit(timings, SHIPPED)
    assert _calibrate.error(timings, SHIPPED) > 1.5
    assert _calibrate.error(timings, found) < 1.1
    assert found.keys() == SHIPPED.keys()
    fresh = made_up(rng, machine, 100)
    assert _calibrate.error(fresh, found) < 1.25


def test_units_that_were_not_met_move_with_all_others():
    work = (("arithmetic.direct.line.f", 1e6), ("call.direct", 1.0))
    seconds = _cost.predict(_cost.Estimate(work)).seconds
    found = _calibrate.fit([Timing(work, 3 * seconds)] * 5, SHIPPED)
    assert found["arithmetic.dots"] == pytest.approx(3 * SHIPPED["arithmetic.dots"])
    assert found["call.gemm.spin"] == SHIPPED["call.gemm.spin"]


def test_one_wild_timing_does_not_carry_a_fit_away():
    work = (("arithmetic.direct.line.f", 1e6),)
    seconds = 1e6 * SHIPPED["arithmetic.direct.line.f"]
    found = _calibrate.fit([Timing(work, seconds)] * 20 + [Timing(work, 50 * seconds)], SHIPPED)
    assert found["arithmetic.direct.line.f"] == pytest.approx(
        SHIPPED["arithmetic.direct.line.f"], rel=0.1
    )


# keeping ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("quick")
def test_calibrate_saves_what_the_next_process_reads(kept):
    measured = fastconv.calibrate(progress=False)
    assert measured.path == costs_file(kept)
    assert measured.timings > 0
    assert measured.error >= 1
    assert measured.coefficients.keys() == SHIPPED.keys()
    assert str(measured.path) in str(measured)
    assert _cost.coefficient("call.direct") == measured.coefficients["call.direct"]
    seen = python(
        """
        import warnings
        warnings.simplefilter("error")
        import fastconv
        from fastconv import _cost
        print(repr(_cost.coefficient("call.direct")))
        print(fastconv.config()["costs"])
        fastconv.convolve([1.0] * 5000, [1.0] * 300, method="fft")
        """,
        FASTCONV_CACHE_DIR=str(kept),
    ).splitlines()
    assert float(seen[0]) == measured.coefficients["call.direct"]
    assert str(costs_file(kept)) in seen[1]
    assert (kept / "wisdom.json").exists() == fastconv.config()["fftw"].startswith("FFTW")
    assert not list(kept.glob("*.new"))


@pytest.mark.usefixtures("quick")
def test_a_calibration_that_is_not_saved_holds_here(kept):
    measured = fastconv.calibrate(progress=False, save=False)
    assert measured.path is None
    assert "not saved" in str(measured)
    assert not list(kept.iterdir())
    assert _cost.coefficient("call.fft") == measured.coefficients["call.fft"]
    assert fastconv.config()["costs"] == "calibrated in this process"


@pytest.mark.usefixtures("quick")
def test_choices_are_forgotten(kept):
    fastconv.explain(fastconv.convolve, fastconv.Spec(500), fastconv.Spec(20))
    x, w = np.ones((1, 64, 9, 9), np.float32), np.ones((64, 64, 3, 3), np.float32)
    fastconv.nn.conv2d(x, w)
    assert _planner.cached_choices()
    fastconv.calibrate(progress=False)
    assert not _planner.cached_choices()


@pytest.mark.usefixtures("quick")
def test_calibrate_tells_where_it_cannot_write(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FASTCONV_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(OSError, match="file"):
        fastconv.calibrate(progress=False)


def changed(**entries):
    return {"machine": _cost.machine() | entries}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (changed(version="0.0.1"), "another machine"),
        (changed(cpu="x86_64 00000000"), "another machine"),
        (changed(cores=4096), "another machine"),
        (changed(caches=["1K"]), "another machine"),
        ({"coefficients": {"call.direct": 1.0}}, "other units"),
        ({"coefficients": SHIPPED | {"call.direct": -1.0}}, "call.direct takes -1.0"),
        ({"coefficients": SHIPPED | {"call.direct": float("nan")}}, "call.direct takes nan"),
        ({"coefficients": SHIPPED | {"call.direct": "fast"}}, "call.direct takes 'fast'"),
        ({"coefficients": SHIPPED | {"call.direct": 1e9}}, "call.direct takes"),
        ({"coefficients": [1, 2]}, "no calibration"),
        ({"machine": None}, "another machine"),
    ],
)
def test_what_is_stale_or_damaged_is_ignored_with_one_warning(kept, changes, reason):
    save(kept, **changes)
    with pytest.warns(RuntimeWarning, match="is ignored") as caught:
        assert _cost.coefficient("call.direct") == SHIPPED["call.direct"]
    assert len(caught) == 1
    assert reason in str(caught[0].message)
    assert str(costs_file(kept)) in str(caught[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _cost.coefficient("call.fft")
        fastconv.convolve(np.ones(500), np.ones(20))


@pytest.mark.parametrize("content", [b"", b"{", b"\x00\xff", b"[]", b"null", b"7", b"[" * 100_000])
def test_what_is_no_calibration_is_ignored(kept, content):
    costs_file(kept).write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        assert _cost.coefficient("call.direct") == SHIPPED["call.direct"]


def test_what_holds_is_taken_without_a_word(kept):
    save(kept, coefficients=SHIPPED | {"call.direct": 0.5})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert _cost.coefficient("call.direct") == 0.5


@pytest.mark.parametrize(
    "saved",
    [
        {"fftw": "FFTW 2", "wisdom": ["", "", ""]},
        {"fftw": None, "wisdom": 3},
        [],
        {"wisdom": ["what", "is", "this"]},
        {"fftw": "this", "wisdom": []},
        {"fftw": "this", "wisdom": ["", "", ""]},
    ],
)
def test_wisdom_that_is_of_no_use_is_ignored(tmp_path, saved):
    if not fastconv.config()["fftw"].startswith("FFTW"):
        pytest.skip("pyfftw is missing")
    if isinstance(saved, dict) and saved.get("fftw") == "this":
        saved = {**saved, "fftw": pytest.importorskip("pyfftw").fftw_version}
    (tmp_path / "wisdom.json").write_text(json.dumps(saved))
    seen = python(
        """
        import warnings
        import numpy as np
        import fastconv
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            y = fastconv.convolve(np.ones(500), np.ones(20), method="fft")
        print(len(caught), "wisdom.json is ignored" in str(caught[0].message), y.max().round(9))
        """,
        FASTCONV_CACHE_DIR=str(tmp_path),
    )
    assert seen.split() == ["1", "True", "20.0"]


def test_nowhere_to_save_is_an_oserror(monkeypatch):
    def nobody(path):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("FASTCONV_CACHE_DIR", raising=False)
    monkeypatch.setattr(_store.Path, "expanduser", nobody)
    assert _store.read("costs.json") is None
    with pytest.raises(OSError, match="home directory"):
        _store.write("costs.json", {})


def test_what_is_put_in_use_while_another_thread_loads_stays(kept, monkeypatch):
    loading, used = threading.Event(), threading.Event()

    def slowly():
        loading.set()
        used.wait(10)
        return {"call.direct": 0.5}

    monkeypatch.setattr(_cost, "saved", slowly)
    other = threading.Thread(target=_cost.coefficient, args=("call.direct",))
    other.start()
    loading.wait(10)
    assert "call.direct" not in _cost.COEFFICIENTS  # nor what is shipped, for a while
    _calibrate.use(SHIPPED | {"call.direct": 0.25})
    used.set()
    other.join()
    assert _cost.coefficient("call.direct") == 0.25
    assert _cost.COEFFICIENTS.origin == "calibrated in this process"


def test_wisdom_is_saved_and_taken_while_others_plan(tmp_path):
    if not fastconv.config()["fftw"].startswith("FFTW"):
        pytest.skip("pyfftw is missing")
    seen = python(
        """
        import threading, time
        import numpy as np
        from fastconv import _store
        from fastconv._methods import _transforms
        from fastconv._methods._transforms import Transform, TransformSpec

        def plan(stop=time.monotonic() + 3):
            n = 100
            while time.monotonic() < stop:
                n = n % 3000 + 51
                Transform(TransformSpec(1, (n,), np.dtype("d")), measured_for=0.01).plan()

        others = threading.Thread(target=plan)
        others.start()
        while others.is_alive():
            _transforms.measure([], 0.0, save=True)
            _transforms._take_wisdom(_transforms._fftw(), _store.read("wisdom.json"))
        print("alive")
        """,
        FASTCONV_CACHE_DIR=str(tmp_path),
    )
    assert seen.split() == ["alive"]


def test_nothing_is_read_before_it_is_needed(tmp_path):
    (tmp_path / _cost.file_name()).write_text("{")
    python(
        """
        import warnings
        warnings.simplefilter("error")
        import fastconv
        fastconv.convolve([1.0, 2.0], [1.0])
        """,
        FASTCONV_CACHE_DIR=str(tmp_path),
    )


@pytest.mark.parametrize(
    ("platform", "name", "variables", "expected"),
    [
        ("linux", "posix", {"XDG_CACHE_HOME": "/x"}, "/x/fastconv"),
        ("linux", "posix", {"HOME": "/home/ada"}, "/home/ada/.cache/fastconv"),
        ("darwin", "posix", {"HOME": "/Users/ada"}, "/Users/ada/Library/Caches/fastconv"),
        ("linux", "posix", {"FASTCONV_CACHE_DIR": "/own"}, "/own"),
    ],
)
def test_cache_directory(monkeypatch, platform, name, variables, expected):
    for variable in ("FASTCONV_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert os.name == name
    assert _store.cache_directory() == Path(expected)


def test_a_write_that_fails_leaves_what_was_there(kept):
    _store.write("a.json", {"one": 1})
    with pytest.raises(TypeError):
        _store.write("a.json", {"one": object()})
    assert _store.read("a.json") == {"one": 1}
    assert [p.name for p in kept.iterdir()] == ["a.json"]
    assert _store.read("b.json") is None


# the command --------------------------------------------------------------------------------------


def test_the_command(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "fastconv", "calibrate", "--quiet"],
        env=environment(FASTCONV_CACHE_DIR=str(tmp_path)),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert str(costs_file(tmp_path)) in done.stdout
    told = subprocess.run(
        [sys.executable, "-m", "fastconv", "info"],
        env=environment(FASTCONV_CACHE_DIR=str(tmp_path)),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "calibrated, from" in told.stdout
