"""Races: callers share plans, caches, settings and pools, and get the bits of a serial run."""

import asyncio
import threading

import numpy as np
import pytest
from oracle import random_array
from shell import python

import fastconv
from fastconv import ndimage, nn
from fastconv._methods import _transforms, tilefft
from fastconv._methods._kernels import KernelCache
from fastconv._methods._transforms import TransformSpec, borrowed

CALLERS = 6
SECONDS = 120  # in which callers are done unless they wait for one another


def together(*works):
    """Call all at once, each in a thread of its own; return their results, or raise their error."""
    start = threading.Barrier(len(works))
    results, errors = [None] * len(works), []

    def call(number, work):
        try:
            start.wait(SECONDS)
            results[number] = work()
        except BaseException as error:
            errors.append(error)

    threads = [
        threading.Thread(target=call, args=numbered, daemon=True) for numbered in enumerate(works)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
        assert not thread.is_alive()
    if errors:
        raise errors[0]
    return results


def often(call, *args, times=8, **kwargs):
    """Work for `together` that makes one call again and again."""
    return lambda: [call(*args, **kwargs) for _ in range(times)]


def assert_all_are(results, expected):
    for found, y in zip(results, expected, strict=True):
        for each in found:
            np.testing.assert_array_equal(each, y)


# One of something ---------------------------------------------------------------------------------

LINE, IMAGE, LAYER = (30_000,), (150, 170), (2, 16, 28, 29)

PLANS = {
    "short": (fastconv.convolve, (64,), (3,), {}),
    "direct line": (fastconv.convolve, LINE, (33,), {"method": "direct"}),
    "lanes": (fastconv.convolve, LINE, (500,), {"method": "tilefft"}),
    "four steps": (fastconv.convolve, (200_000,), (9_000,), {"method": "tilefft"}),
    "tiles": (fastconv.convolve, IMAGE, (31, 33), {"method": "tilefft"}),
    "FFT of a line": (fastconv.convolve, LINE, (500,), {"method": "fft"}),
    "FFT of an image": (fastconv.convolve, IMAGE, (31, 33), {"method": "fft"}),
    "edges": (fastconv.convolve2d, IMAGE, (7, 5), {"boundary": "symm"}),
    "NumPy": (fastconv.numpy.convolve, LINE, (7,), {}),
    "blocks": (ndimage.correlate, IMAGE, (5, 5), {"mode": "mirror"}),
    "channels": (nn.conv2d, LAYER, (8, 16, 3, 3), {"method": "channels"}),
    "minimal filtering": (nn.conv2d, LAYER, (8, 16, 3, 3), {"method": "winograd"}),
    "reference": (fastconv.convolve, (40, 50), (3, 4), {"method": "reference"}),
    "template": (fastconv.match_template, IMAGE, (20, 21), {}),
}


@pytest.mark.parametrize("name", PLANS)
def test_one_plan(name, rng):
    function, shape, kernel, options = PLANS[name]
    w = random_array(rng, kernel, "f")
    plan = fastconv.plan(function, fastconv.Spec(shape, "float32"), w, **options)
    inputs = [random_array(rng, shape, "f") for _ in range(CALLERS)]
    with fastconv.num_threads(1):
        expected = [plan(x) for x in inputs]
    assert_all_are(together(*(often(plan, x) for x in inputs)), expected)


def test_one_plan_by_blas(rng):
    """Whose own threads decide on bits: all callers have the same."""
    plan = fastconv.plan(
        nn.conv2d,
        fastconv.Spec(LAYER, "float64"),
        random_array(rng, (8, 16, 3, 3), "d"),
        method="gemm",
    )
    inputs = [random_array(rng, LAYER, "d") for _ in range(CALLERS)]
    expected = [plan(x) for x in inputs]
    for found, y in zip(together(*(often(plan, x) for x in inputs)), expected, strict=True):
        for each in found:
            np.testing.assert_allclose(each, y, rtol=0, atol=1e-12 * np.abs(y).max())


def test_one_gaussian(rng):
    """Its passes are made once and kept."""
    inputs = [random_array(rng, IMAGE, dtype) for dtype in ("f", "d", "u1", "f", "d", "u1")]
    expected = [ndimage.gaussian_filter(x, 2.3) for x in inputs]
    found = together(*(often(ndimage.gaussian_filter, x, 2.3) for x in inputs))
    assert_all_are(found, expected)


def test_one_kernel_of_many_methods(rng):
    """The kernel is found in the caches of lines and of spectra by all callers at once."""
    w = np.outer(np.hanning(33), np.hanning(35))[1:-1, 1:-1].astype("float32")
    x = random_array(rng, (300, 310), "f")
    methods = ("auto", "tilefft", "direct", "separable", "tilefft", "fft")

    def by(method):
        return fastconv.convolve(x, w.copy(), "same", method)

    expected = [by(method) for method in methods]
    assert_all_are(together(*(often(by, method, times=4) for method in methods)), expected)


# Caches -------------------------------------------------------------------------------------------


def test_a_cache_that_is_too_small():
    """Entries go while others look for them; the count of bytes stays right."""
    kernels = [np.full(64, number, np.float32) for number in range(24)]
    one = kernels[0].nbytes + 2 * kernels[0].nbytes
    cache = KernelCache(5 * one)

    def look(seed):
        def work():
            for number in np.random.default_rng(seed).integers(0, len(kernels), 600):
                made = cache.get("twice", kernels[number], lambda w: np.concatenate([w, w]))
                assert made.shape == (128,)
                assert np.all(made == number)
                assert not made.flags.writeable
                assert cache.nbytes <= 5 * one

        return work

    together(*map(look, range(CALLERS)))
    assert cache.nbytes == sum(entry.nbytes for entry in cache._entries.values())
    assert 0 < len(cache._entries) <= 5


def test_spectra_go_while_others_are_made(rng, monkeypatch):
    x = random_array(rng, (120, 130), "f")
    kernels = [random_array(rng, (21, 23), "f") for _ in range(12)]
    expected = [fastconv.convolve(x, w, "same", "tilefft") for w in kernels]
    spectrum = KernelCache(1 << 30)
    monkeypatch.setattr(tilefft, "_spectra", spectrum)
    fastconv.convolve(x, kernels[0], "same", "tilefft")
    cache = KernelCache(3 * spectrum.nbytes)
    monkeypatch.setattr(tilefft, "_spectra", cache)

    def convolve(seed):
        def work():
            for number in np.random.default_rng(seed).integers(0, len(kernels), 40):
                y = fastconv.convolve(x, kernels[number], "same", "tilefft")
                np.testing.assert_array_equal(y, expected[number])

        return work

    together(*map(convolve, range(CALLERS)))
    assert 0 < cache.nbytes <= 3 * spectrum.nbytes


def test_choices_are_forgotten_while_others_choose(rng):
    """As a calibration does."""
    a, b = random_array(rng, 3_000, "d"), random_array(rng, 60, "d")
    problems = [(a[: 2_000 + 7 * number], b) for number in range(12)]
    expected = [fastconv.convolve(*arrays, "full", "tilefft") for arrays in problems]
    stop = threading.Event()

    def forget():
        while not stop.wait(1e-4):
            fastconv._planner.clear_cache()

    def convolve():
        try:
            for _ in range(4):
                for arrays, y in zip(problems, expected, strict=True):
                    np.testing.assert_array_equal(fastconv.convolve(*arrays, "full", "tilefft"), y)
                    assert fastconv.explain(fastconv.convolve, *arrays).candidates
        finally:
            stop.set()

    together(forget, convolve, convolve, convolve)


# FFTW ---------------------------------------------------------------------------------------------

needs_fftw = pytest.mark.skipif(_transforms._fftw() is None, reason="pyfftw is missing")


def test_transforms_come_and_go(rng, monkeypatch):
    """Plans are made, lent and destroyed by all callers at once."""
    monkeypatch.setattr(_transforms, "_POOL_COUNT", 2)
    inputs = {n: random_array(rng, n, "D") for n in range(90, 130)}

    def transform(n):
        with borrowed(TransformSpec(1, (n,), np.dtype(complex))) as lent:
            lent.data[0] = inputs[n]
            lent.forward()
            return lent.spectrum[0].copy()

    expected = {n: transform(n) for n in inputs}

    def work(seed):
        def transform_some():
            for n in np.random.default_rng(seed).integers(90, 130, 150):
                np.testing.assert_array_equal(transform(n), expected[n])

        return transform_some

    together(*map(work, range(CALLERS)))
    assert len(_transforms._pool) <= 2


@needs_fftw
def test_plans_are_made_and_destroyed_under_one_lock(monkeypatch):
    """Nothing of FFTW's is thread-safe but the execution of plans."""
    import pyfftw

    held = {"made": [], "destroyed": []}

    class Watched:
        def __init__(self, *args, _fftw=pyfftw.FFTW, **kwargs):
            held["made"].append(_transforms._planning.locked())
            self.plan = _fftw(*args, **kwargs)

        def execute(self):
            self.plan.execute()

        def __del__(self):
            held["destroyed"].append(_transforms._planning.locked())

    monkeypatch.setattr(pyfftw, "FFTW", Watched)
    for n in range(200, 240):
        with borrowed(TransformSpec(1, (n,), np.dtype(complex))) as transform:
            transform.forward()
    with borrowed(TransformSpec(1, (2_000_000,), np.dtype(complex))):
        pass  # too large to be kept
    _transforms.measure([TransformSpec(1, (64,), np.dtype(float))], 1.0, save=False)
    assert len(held["made"]) == len(held["destroyed"]) >= 84
    assert all(held["made"])
    assert all(held["destroyed"])


@needs_fftw
@pytest.mark.thread_unsafe(reason="the pool of transforms is the process's")
def test_transforms_of_before_a_measurement_are_not_taken_after_it():
    """They would give other bits."""
    spec = TransformSpec(1, (98,), np.dtype(complex))
    with borrowed(spec) as lent:
        _transforms.measure([], 0.0, save=False)
    with borrowed(spec) as another:
        assert another is not lent
    with borrowed(spec) as again:
        assert again is another


WITHOUT_FFTW = """
    import sys, warnings
    sys.modules["pyfftw"] = None
    import numpy as np, fastconv
    from fastconv._methods import _transforms
    assert _transforms.library().startswith("numpy.fft")
"""


@pytest.mark.parametrize("threads", [1, 2])
def test_numpys_fft_overflows_in_silence(threads):
    """What overflowed is done again; np.errstate is of the caller's own arithmetic."""
    code = """
        warnings.simplefilter("error")
        fastconv.set_num_threads(THREADS)
        for code in "fdFD":
            x = np.full(200_000, np.finfo(code).max / 4, code)
            w = np.where(np.arange(2_000) % 2, 1, -1).astype(code)
            ends = slice(2_000, -2_000)
            if code in "fF":
                with np.errstate(all="raise"):
                    y = fastconv.convolve(x, w, "same", "fft")
                assert np.all(np.isfinite(y)), code
                assert np.abs(y[ends]).max() < 1e-6 * np.finfo(code).max, code
            else:
                with warnings.catch_warnings(record=True) as seen:
                    warnings.simplefilter("always")
                    fastconv.convolve(x, w, "same", "fft")
                assert not [w for w in seen if "encountered" in str(w.message)], code
    """
    python(WITHOUT_FFTW, code.replace("THREADS", str(threads)))


# Settings -----------------------------------------------------------------------------------------

process_wide = pytest.mark.thread_unsafe(reason="the number of threads is the process's")


@pytest.fixture
def restored():
    yield
    fastconv.set_num_threads(None)


@process_wide
@pytest.mark.usefixtures("restored")
def test_the_number_of_threads_changes_all_the_time(rng):
    x, w = random_array(rng, 60_000, "f"), random_array(rng, 41, "f")
    image, kernel = random_array(rng, (200, 210), "f"), random_array(rng, (21, 23), "f")
    with fastconv.num_threads(1):
        expected = fastconv.convolve(x, w), fastconv.convolve(image, kernel)
    stop = threading.Event()

    def change():
        count = 0
        while not stop.wait(1e-4):
            count = count % 4 + 1
            fastconv.set_num_threads(count)
            assert 1 <= fastconv.get_num_threads() <= 4

    def convolve(count):
        def work():
            try:
                for _ in range(12):
                    with fastconv.num_threads(count):
                        found = fastconv.convolve(x, w), fastconv.convolve(image, kernel)
                        assert fastconv.get_num_threads() == count
                    for y, wanted in zip(found, expected, strict=True):
                        np.testing.assert_array_equal(y, wanted)
            finally:
                stop.set()

        return work

    together(change, *map(convolve, (1, 2, 3, 5)))


def test_tasks_have_numbers_of_their_own():
    async def task(count, turns):
        with fastconv.num_threads(count):
            for _ in range(turns):
                await asyncio.sleep(0)
                assert fastconv.get_num_threads() == count
        return fastconv.get_num_threads()

    async def tasks():
        before = fastconv.get_num_threads()
        after = await asyncio.gather(*(task(count, 10 - count) for count in (2, 3, 7)))
        assert after == [before] * 3

    asyncio.run(tasks())


# What is made at the first use --------------------------------------------------------------------

FIRST = """
    import threading
    start = threading.Barrier(8)
    errors, results = [], {}

    def first(number, work):
        try:
            start.wait(60)
            results[number] = work()
        except BaseException as error:
            errors.append(error)

    def all_at_once(works):
        works = works * (8 // len(works))
        threads = [threading.Thread(target=first, args=numbered) for numbered in enumerate(works)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(90)
            assert not thread.is_alive()
        if errors:
            raise errors[0]
        return [results[number] for number in range(8)]
"""


@pytest.mark.parametrize("fftw", [True, False], ids=["pyfftw", "without pyfftw"])
def test_first_calls(fftw, tmp_path):
    """Tables, costs, pools, plans and FFTW itself are made by whoever comes first."""
    code = """
        import numpy as np, fastconv
        from fastconv import ndimage, nn
        rng = np.random.default_rng(0)
        line, taps = rng.standard_normal(40_000), rng.standard_normal(900)
        image, kernel = rng.standard_normal((2, 150, 160)).astype("f"), np.hanning(31).astype("f")
        layer, weights = rng.standard_normal((1, 8, 20, 20)), rng.standard_normal((4, 8, 3, 3))

        def by(method):
            return lambda: fastconv.convolve(line, taps, "same", method)

        works = [
            by("tilefft"),
            by("fft"),
            by("direct"),
            lambda: ndimage.gaussian_filter(image[0], 2),
            lambda: nn.conv2d(layer, weights, padding=1),
            lambda: fastconv.convolve(image[0], np.outer(kernel, kernel), "same"),
            lambda: fastconv.match_template(image[1], image[0][:20, :30]),
            lambda: fastconv.explain(fastconv.convolve, line, taps).chosen,
        ]
        for found, work in zip(all_at_once(works), works):
            np.testing.assert_array_equal(found, work())
    """
    without = "" if fftw else 'import sys; sys.modules["pyfftw"] = None'
    python(without, FIRST, code, FASTCONV_CACHE_DIR=str(tmp_path))


@pytest.mark.parametrize("method", ["direct", "tilefft", "fft"])
def test_the_same_first_call(method, tmp_path):
    code = f"""
        import numpy as np, fastconv
        line, taps = np.arange(70_000.0), np.hanning(3_000)
        works = [lambda: fastconv.convolve(line, taps, "same", {method!r})]
        for found in all_at_once(works):
            np.testing.assert_array_equal(found, works[0]())
    """
    python(FIRST, code, FASTCONV_CACHE_DIR=str(tmp_path))


def test_imports_at_once():
    code = """
        def use():
            import fastconv
            from fastconv import ndimage, nn, signal
            return float(fastconv.convolve([1.0, 2.0], [1.0, 1.0])[1])

        assert all_at_once([use]) == [3.0] * 8
    """
    python(FIRST, code)


# Calibration --------------------------------------------------------------------------------------


def test_calibrations_beside_calls(tmp_path):
    """Choices may change, what methods compute may not; files are whole at any time."""
    code = """
        import json, os, pathlib
        import numpy as np, fastconv
        from fastconv import _calibrate, _cost
        _calibrate._PROBE_SECONDS, _calibrate._PLANNER_SECONDS, _calibrate._FORKS = 0.3, 0.05, 3
        rng = np.random.default_rng(0)
        x, w = (rng.standard_normal(shape).astype("f") for shape in ((120, 130), (19, 17)))
        methods = "direct", "tilefft"
        # Blocks of transforms go by costs when a call is made; in a plan they stay.
        plans = {m: fastconv.plan(fastconv.convolve, x, w, "same", method=m) for m in methods}
        expected = {m: plan(x) for m, plan in plans.items()}
        file = pathlib.Path(os.environ["FASTCONV_CACHE_DIR"], _cost.file_name())
        stop = threading.Event()

        def calibrate():
            try:
                fastconv.calibrate(progress=False)
            finally:
                stop.set()

        def call():
            while not stop.is_set():
                for method in methods:
                    np.testing.assert_array_equal(plans[method](x), expected[method])
                y = fastconv.convolve(x, w, "same", "direct")
                np.testing.assert_array_equal(y, expected["direct"])
                for method in ("tilefft", "auto"):
                    chosen = fastconv.convolve(x, w, "same", method)
                    assert any(np.allclose(chosen, y, atol=1e-4) for y in expected.values())

        def explain():
            while not stop.is_set():
                found = fastconv.explain(fastconv.convolve, x, w, mode="same")
                assert found.chosen in {c.name for c in found.candidates}
                assert str(found)
                plan = fastconv.plan(fastconv.convolve, x, w, mode="same")
                assert plan(x).shape == x.shape

        def read():
            while not stop.is_set():
                if file.exists():
                    json.loads(file.read_text())

        all_at_once([calibrate, calibrate, call, explain, explain, read, call, call])
        assert fastconv.config()["costs"] == "calibrated in this process"
    """
    python(FIRST, code, FASTCONV_CACHE_DIR=str(tmp_path))


def test_useless_costs_are_read_by_all_at_once(tmp_path):
    """Everybody has the costs that are shipped then."""
    code = """
        import pathlib, os, warnings
        import fastconv
        from fastconv import _cost
        pathlib.Path(os.environ["FASTCONV_CACHE_DIR"], _cost.file_name()).write_text("{")
        warnings.simplefilter("ignore")
        assert len(set(all_at_once([lambda: _cost.coefficient("call.direct")]))) == 1
        assert "as shipped" in fastconv.config()["costs"]
    """
    python(FIRST, code, FASTCONV_CACHE_DIR=str(tmp_path))
