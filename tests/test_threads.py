"""Threads: the same bits for any number, settings, affinity, fork, many callers, the GIL."""

import contextvars
import os
import sys
import threading

import numpy as np
import pytest
from oracle import random_array
from shell import python

import fastconv

COUNTS = (2, 3, 5)

process_wide = pytest.mark.thread_unsafe(reason="the number of threads is the process's")


@pytest.fixture(autouse=True)
def restored():
    """The number of threads is the process's: every test gives it back."""
    yield
    fastconv.set_num_threads(None)


# Same bits ----------------------------------------------------------------------------------------

PROBLEMS = {
    "line": ((200_000,), (41,)),
    "long kernel": ((60_000,), (5_000,)),
    "image": ((211, 503), (7, 5)),
    "large kernel": ((200, 310), (61, 47)),
    "volume": ((17, 40, 51), (3, 5, 4)),
    "batch": ((9, 20_001), (1, 33)),
}


@pytest.mark.parametrize("method", ["direct", "fft"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "int16"])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_same_bits(problem, dtype, method, rng):
    shape, kernel = PROBLEMS[problem]
    a = random_array(rng, shape, dtype, small=True)
    b = random_array(rng, kernel, dtype, small=True)
    axes = (1,) if problem == "batch" else None
    with fastconv.num_threads(1):
        expected = fastconv.convolve(a, b, "same", method, axes=axes)
    for count in COUNTS:
        with fastconv.num_threads(count):
            result = fastconv.convolve(a, b, "same", method, axes=axes)
        np.testing.assert_array_equal(result, expected, err_msg=f"{count} threads")


@pytest.mark.parametrize("boundary", ["fill", "wrap", "symm"])
def test_same_bits_with_boundaries(boundary, rng):
    a, b = random_array(rng, (301, 410), "f"), random_array(rng, (9, 9), "f")
    results = []
    for count in (1, *COUNTS):
        with fastconv.num_threads(count):
            results.append(fastconv.convolve2d(a, b, "same", boundary))
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


@pytest.mark.parametrize("name", ["fftconvolve", "oaconvolve"])
def test_same_bits_of_the_fft_pair(name, rng):
    func = getattr(fastconv, name)
    a, b = random_array(rng, 100_000, "d"), random_array(rng, 999, "d")
    results = []
    for count in (1, *COUNTS):
        with fastconv.num_threads(count):
            results.append(func(a, b))
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


# Settings -----------------------------------------------------------------------------------------


@process_wide
def test_set_and_get():
    fastconv.set_num_threads(3)
    assert fastconv.get_num_threads() == 3
    fastconv.set_num_threads(np.int64(2))
    assert fastconv.get_num_threads() == 2


@process_wide
def test_none_goes_back_to_the_default():
    fastconv.set_num_threads(None)
    default = fastconv.get_num_threads()
    fastconv.set_num_threads(default + 2)
    fastconv.set_num_threads(None)
    assert fastconv.get_num_threads() == default


@process_wide
def test_context_manager_is_for_its_own_thread():
    """And for those that Python gives its context: by default none that runs under the GIL."""
    fastconv.set_num_threads(2)
    found = []

    def look():
        found.append(fastconv.get_num_threads())

    with fastconv.num_threads(5):
        own = contextvars.copy_context()
        for target, arguments in ((look, ()), (own.run, (look,))):
            other = threading.Thread(target=target, args=arguments)
            other.start()
            other.join()
    inherits = getattr(sys.flags, "thread_inherit_context", False)
    assert found == [5 if inherits else 2, 5]


@process_wide
def test_context_manager():
    fastconv.set_num_threads(2)
    with fastconv.num_threads(5):
        assert fastconv.get_num_threads() == 5
        with fastconv.num_threads(1):
            assert fastconv.get_num_threads() == 1
        assert fastconv.get_num_threads() == 5
    assert fastconv.get_num_threads() == 2


@process_wide
def test_context_manager_gives_back_after_an_error():
    fastconv.set_num_threads(2)
    with pytest.raises(RuntimeError, match="inside"), fastconv.num_threads(4):
        raise RuntimeError("inside")
    assert fastconv.get_num_threads() == 2


@pytest.mark.parametrize("count", [0, -1])
def test_bad_counts(count):
    before = fastconv.get_num_threads()
    with pytest.raises(ValueError):
        fastconv.set_num_threads(count)
    with pytest.raises(ValueError), fastconv.num_threads(count):
        pass
    assert fastconv.get_num_threads() == before


@pytest.mark.parametrize("count", [1.5, "2", [1], True])
def test_counts_of_bad_type(count):
    before = fastconv.get_num_threads()
    with pytest.raises(TypeError):
        fastconv.set_num_threads(count)
    assert fastconv.get_num_threads() == before


# The environment ----------------------------------------------------------------------------------

GET = "import fastconv; print(fastconv.get_num_threads())"


@pytest.mark.parametrize("name", ["FASTCONV_NUM_THREADS", "OMP_NUM_THREADS"])
@pytest.mark.parametrize("count", ["1", "3"])
def test_environment(name, count):
    assert python(GET, **{name: count}).strip() == count


def test_our_variable_goes_before_openmp():
    assert python(GET, FASTCONV_NUM_THREADS="1", OMP_NUM_THREADS="3").strip() == "1"


def test_nested_openmp_lists():
    """OMP_NUM_THREADS may list a number for each level; the first is ours."""
    assert python(GET, OMP_NUM_THREADS="2,4").strip() == "2"


@pytest.mark.parametrize(
    ("told", "threads"), [("2,4", "2"), ("", "all"), ("0", "all"), ("9" * 5000, "all")]
)
def test_blas_is_told_as_we_are(told, threads):
    seen = python(
        "from fastconv import _cost; print(_cost.BLAS_THREADS, _cost.CORES)",
        OMP_NUM_THREADS=told,
        OPENBLAS_NUM_THREADS="",
        MKL_NUM_THREADS="",
    )
    used, cores = seen.split()
    assert used == (cores if threads == "all" else threads)


@pytest.mark.parametrize("count", ["0", "-2", "many", ""])
def test_bad_environment_leaves_the_default(count):
    """What is no number of threads neither fails the import nor counts."""
    code = """
        import warnings
        warnings.simplefilter("ignore")
        import fastconv
        print(fastconv.get_num_threads())
    """
    assert python(code, FASTCONV_NUM_THREADS=count) == python(code)


def test_the_environment_is_not_written():
    code = """
        import os
        before = dict(os.environ)
        import numpy as np, fastconv
        fastconv.set_num_threads(2)
        fastconv.convolve(np.ones(100_000), np.ones(50))
        fastconv.fftconvolve(np.ones(10_000), np.ones(500))
        assert dict(os.environ) == before
    """
    python(code)


needs_affinity = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="os.sched_setaffinity, which only Linux has"
)


@needs_affinity
def test_affinity():
    code = """
        import os
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        import fastconv
        print(fastconv.get_num_threads())
    """
    assert python(code).strip() == "1"


@needs_affinity
def test_default_is_the_cores_we_may_use():
    code = "import os, fastconv; print(fastconv.get_num_threads() <= len(os.sched_getaffinity(0)))"
    assert python(code).strip() == "True"


# fork ---------------------------------------------------------------------------------------------

WORK = """
    import numpy as np, fastconv
    fastconv.set_num_threads(2)
    x, w = np.arange(300_000.0), np.arange(64.0)
    image, kernel = np.ones((400, 400), np.float32), np.ones((41, 41), np.float32)
    def work():
        return (
            fastconv.convolve(x, w, "same", "direct").sum(),
            fastconv.convolve(x, w, "same", "fft").round().sum(),
            fastconv.convolve(image, kernel, "valid").sum(),
        )
    before = work()
"""

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="os.fork, which this system lacks")


@needs_fork
def test_a_forked_child_does_not_hang():
    code = """
        import os
        for _ in range(3):
            child = os.fork()
            if child == 0:
                os._exit(0 if work() == before else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert work() == before
    """
    python(WORK, code, timeout=90)


@needs_fork
def test_multiprocessing_fork():
    code = """
        import multiprocessing
        with multiprocessing.get_context("fork").Pool(3) as pool:
            results = [pool.apply_async(work) for _ in range(6)]
            assert all(result.get(60) == before for result in results)
    """
    python(WORK, code, timeout=90)


@needs_fork
def test_fork_while_another_thread_works():
    """A lock held by a thread that does not exist in the child must not stop it."""
    code = """
        import os, threading
        stop = threading.Event()
        def busy():
            n = 1000
            while not stop.is_set():
                n += 1
                fastconv.fftconvolve(np.ones(n), np.ones(77))
        thread = threading.Thread(target=busy)
        thread.start()
        for _ in range(20):
            child = os.fork()
            if child == 0:
                fastconv.fftconvolve(np.ones(999), np.ones(55))
                fastconv.convolve(x, w, "same", "direct")
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        stop.set()
        thread.join()
    """
    python(WORK, code, timeout=90)


# Many callers -------------------------------------------------------------------------------------


@process_wide
@pytest.mark.parametrize("method", ["auto", "direct", "fft"])
def test_many_python_threads(method, rng):
    """Each caller gets its own answer, with plans shared and made at the same time."""
    problems = []
    for shape, kernel in (
        ((4_000,), (30,)),
        ((900,), (401,)),
        ((50, 60), (5, 7)),
        ((20_000,), (9,)),
    ):
        for dtype in "fdD":
            a, b = random_array(rng, shape, dtype), random_array(rng, kernel, dtype)
            problems.append((a, b, fastconv.convolve(a, b, "full", method)))
    fastconv.set_num_threads(2)
    wrong = []
    start = threading.Barrier(8)

    def caller(seed):
        order = np.random.default_rng(seed).permutation(len(problems) * 8) % len(problems)
        start.wait(60)
        for index in order:
            a, b, expected = problems[index]
            if not np.array_equal(fastconv.convolve(a, b, "full", method), expected):
                wrong.append(int(index))

    callers = [threading.Thread(target=caller, args=(seed,)) for seed in range(8)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join(120)
        assert not thread.is_alive()
    assert not wrong


def test_one_plan_from_many_threads(rng):
    a, b = random_array(rng, 30_000, "f"), random_array(rng, 500, "f")
    for method in ("direct", "fft"):
        plan = fastconv.plan(fastconv.convolve, a, b, method=method)
        inputs = [random_array(rng, 30_000, "f") for _ in range(6)]
        expected = [plan(x) for x in inputs]
        results = [[] for _ in inputs]

        def caller(index, plan=plan, inputs=inputs, results=results):
            for _ in range(10):
                results[index].append(plan(inputs[index]))

        callers = [threading.Thread(target=caller, args=(i,)) for i in range(len(inputs))]
        for thread in callers:
            thread.start()
        for thread in callers:
            thread.join(120)
        for index, found in enumerate(results):
            assert len(found) == 10
            assert all(np.array_equal(y, expected[index]) for y in found)


@process_wide
@pytest.mark.skipif(
    not getattr(sys, "_is_gil_enabled", lambda: True)(), reason="a GIL, which this Python lacks"
)
@pytest.mark.parametrize("method", ["direct", "fft"])
def test_the_gil_is_released(method):
    """While one thread convolves for long, another one runs Python."""
    a = np.ones(1_000_000 if method == "direct" else 4_000_000, np.float32)
    b = np.ones(2_000, np.float32)
    fastconv.set_num_threads(1)
    done = threading.Event()
    steps = 0

    def convolve():
        fastconv.convolve(a, b, "same", method)
        done.set()

    worker = threading.Thread(target=convolve)
    worker.start()
    while not done.is_set() and steps < 1000:
        done.wait(1e-4)
        steps += 1
    worker.join()
    # With the GIL held throughout, the loop would get a turn or two before the end.
    assert steps >= 10
