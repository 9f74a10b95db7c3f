"""What a review found wrong, one test a finding, each named for what must hold."""

import gc
import os
import warnings
import weakref

import numpy as np
import pytest
from oracle import (
    CONSTANT,
    REFLECT,
    WRAP,
    assert_within,
    fft_bound,
    random_array,
    signal_reference,
)
from shell import python

import fastconv
import fastconv.numpy
from fastconv import Spec

METHODS = ("auto", "direct", "fft", "reference")
# More elements of float64 than are converted at once (16 MiB of data and result).
LONG = 1_100_000


def by_windows(x, w, places, mode="full", fill=0):
    """Outputs of a convolution at some places: the sum over each window, in x's own arithmetic."""
    first = [{"full": n - 1, "same": n - 1 - (n - 1) // 2, "valid": 0}[mode] for n in w.shape]
    last = [n - 1 if mode != "valid" else 0 for n in w.shape]
    padded = np.pad(x, list(zip(first, last, strict=True)), constant_values=fill)
    taps = np.flip(w)
    windows = (
        padded[tuple(slice(p, p + n) for p, n in zip(place, w.shape, strict=True))]
        for place in places
    )
    if x.dtype == bool:
        return np.array([(window & taps).any() for window in windows])
    return np.array([(window * taps).sum(dtype=x.dtype) for window in windows])


def some_places(rng, shape, count=40):
    """Random places, and every corner."""
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape])).reshape(len(shape), -1).T
    return [
        tuple(p) for p in np.concatenate([corners, rng.integers(shape, size=(count, len(shape)))])
    ]


def assert_at(y, places, expected):
    np.testing.assert_array_equal(np.array([y[place] for place in places]), expected)


# Conversion in pieces -----------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["fftconvolve(a, b)", "convolve(a, b, method='fft')"])
def test_many_objects_keep_their_references(call):
    """In a process of its own: a reference too few ends it."""
    code = f"""
    import sys, numpy as np, fastconv
    values = [1.25, -3.5, 0.5]
    numbers = np.resize(values, {LONG})
    a = np.empty({LONG}, object)
    for i, value in enumerate(values):
        a[i::3] = value
    b = np.array([1.0, 2.0, -1.0], object)
    before = [sys.getrefcount(value) for value in values]
    for _ in range(2):
        y = fastconv.{call}
        np.testing.assert_allclose(
            y.astype(float), np.convolve(numbers, b.astype(float)), atol=1e-9
        )
        del y
    assert [sys.getrefcount(value) for value in values] == before
    del a
    """
    python(code)


@pytest.mark.parametrize("boundary", [None, "wrap", "symm"])
@pytest.mark.parametrize("dtype", ["float32", "int64", "complex128"])
def test_byte_swapped_data_of_many_bytes(dtype, boundary, rng):
    shape, kernel = ((2_500_000,), (7,)) if boundary is None else ((1700, 1500), (5, 4))
    a, b = random_array(rng, shape, dtype), random_array(rng, kernel, dtype)
    swapped = a.astype(a.dtype.newbyteorder())
    if boundary is None:
        call = lambda x: fastconv.convolve(x, b, "same", "direct")  # noqa: E731
    else:
        call = lambda x: fastconv.convolve2d(x, b, "same", boundary)  # noqa: E731
    result = call(swapped)
    assert result.dtype == a.dtype
    np.testing.assert_array_equal(result, call(a))


@pytest.mark.parametrize("fillvalue", [1.5, -1, 1j])
@pytest.mark.parametrize("mode", ["full", "same"])
def test_large_images_with_a_fill_beyond_their_dtype(mode, fillvalue, rng):
    """The value belongs to the result's dtype, not to the image's.  All numbers are exact."""
    signal = pytest.importorskip("scipy.signal", reason="SciPy, to compare with")
    a = random_array(rng, (1500, 1500), "B")
    b = rng.integers(-9, 9, (3, 4)) / 2
    if isinstance(fillvalue, complex):
        b = b + 1j * rng.integers(-9, 9, (3, 4))
    result = fastconv.convolve2d(a, b, mode, "fill", fillvalue)
    expected = signal.convolve2d(a, b, mode, "fill", fillvalue)
    assert_within(result, expected, 1e-9, expected.dtype)


def test_large_images_with_a_fill_and_a_large_kernel(rng):
    """By FFT, in slabs: a band at each end and one over the middle are SciPy's."""
    signal = pytest.importorskip("scipy.signal", reason="SciPy, to compare with")
    a, b = random_array(rng, (1500, 1500), "B"), random_array(rng, (31, 20), "d")
    result = fastconv.convolve2d(a, b, "full", "fill", -1)
    bound = fft_bound(a, b, "d")
    for rows in (slice(0, 35), slice(700, 735), slice(1465, 1500)):
        expected = signal.convolve2d(a[rows], b, "full", "fill", -1)
        # Rows whose windows hold rows of the band, or the fill that lies beyond the image too.
        first = 0 if rows.start == 0 else 30
        last = 65 if rows.stop == 1500 else 35
        whole = result[rows.start + first : rows.start + last]
        assert_within(whole, expected[first:last], bound, np.dtype("d"))


def test_mixed_dtypes_in_a_plan_of_many_bytes(rng):
    a, b = random_array(rng, LONG, "h"), random_array(rng, 5, "d")
    for method in ("auto", "direct", "fft"):
        plan = fastconv.plan(fastconv.convolve, Spec(LONG, "h"), b, method=method)
        result = plan(a)
        assert_within(result, np.convolve(a, b), fft_bound(a, b, "d"), np.dtype("d"))
        np.testing.assert_array_equal(result, fastconv.convolve(a, b, method=method))


# Values beyond the edge ---------------------------------------------------------------------------


def test_a_huge_fill_with_a_large_kernel_is_exact(rng):
    """The fill bounds what an FFT of integers would have to hold."""
    a, b = rng.integers(-100, 100, (300, 300)), rng.integers(-9, 9, (63, 63))
    fill = 2**44 + 1
    result = fastconv.convolve2d(a, b, "same", "fill", fill)
    assert result.dtype == a.dtype
    places = some_places(rng, a.shape, 200)
    assert_at(result, places, by_windows(a, b, places, "same", fill))
    plan = fastconv.plan(fastconv.convolve2d, a, b, "same", "fill", fill, method="direct")
    np.testing.assert_array_equal(result, plan(a))


@pytest.mark.parametrize(("dtype", "fill"), [("int64", 2**60 + 1), ("uint64", 2**64 - 1)])
@pytest.mark.parametrize("name", ["convolve2d", "correlate2d"])
def test_integer_fills_of_more_than_53_bits_are_exact(name, dtype, fill, rng):
    for shape, kernel in (((6, 7), (3, 4)), ((50, 61), (5, 3))):
        a, b = random_array(rng, shape, dtype), random_array(rng, kernel, dtype, small=True)
        result = getattr(fastconv, name)(a, b, "full", "fill", fill)
        expected = signal_reference(name[:-2], a, b, boundary=CONSTANT, fill=fill)
        assert_within(result, expected, 0, np.dtype(dtype))


def test_an_infinite_fill_of_objects():
    a, b = np.array([[1, 2], [3, 4]], object), np.ones((2, 2), object)
    result = fastconv.convolve2d(a, b, "full", "fill", np.inf)
    expected = np.full((3, 3), np.inf, object)
    expected[1, 1] = 10
    assert result.dtype == object
    np.testing.assert_array_equal(result, expected)


def test_a_kernel_much_larger_than_the_image():
    """The image is the smaller one: it plays the kernel."""
    signal = pytest.importorskip("scipy.signal", reason="SciPy, to compare with")
    a = np.arange(-32, 32).reshape(8, 8)
    b = np.arange(400 * 400).reshape(400, 400) % 1009
    # Swapped for SciPy, which would take half a minute.
    np.testing.assert_array_equal(fastconv.convolve2d(a, b), signal.convolve2d(b, a))
    np.testing.assert_array_equal(fastconv.correlate2d(a, b), signal.convolve2d(np.flip(b), a))


@pytest.mark.parametrize(
    ("boundary", "rule", "fill"),
    [("fill", CONSTANT, -7), ("wrap", WRAP, 0), ("symm", REFLECT, 0)],
)
@pytest.mark.parametrize("name", ["convolve2d", "correlate2d"])
@pytest.mark.parametrize("mode", ["full", "same"])
def test_boundaries_under_a_kernel_larger_than_the_image(mode, name, boundary, rule, fill, rng):
    a, b = random_array(rng, (8, 6), "q"), random_array(rng, (31, 40), "q")
    result = getattr(fastconv, name)(a, b, mode, boundary, fill)
    expected = signal_reference(
        name[:-2], a, b, mode, boundary=rule, fill=fill, even_same=name == "correlate2d"
    )
    assert_within(result, expected, 0, a.dtype)


# The direct kernels -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "columns", "method"),
    [
        ("int64", 520, "auto"),
        ("int64", 520, "direct"),
        ("bool", 4200, "auto"),
        ("bool", 4200, "direct"),
        ("float32", 1040, "direct"),
    ],
)
def test_many_rows_of_taps_outgrow_the_scratch_of_a_tile(dtype, columns, method, rng):
    """66 x 66 rows of 4 KiB are more than 16 MiB: the tiles must lie along another axis."""
    a = random_array(rng, (68, 69, columns), dtype)
    b = random_array(rng, (66, 66, 1), dtype)
    if dtype == "bool":  # few enough that not every output is True
        a, b = rng.random(a.shape) < 0.02, rng.random(b.shape) < 0.02
    result = fastconv.convolve(a, b, "valid", method)
    assert result.shape == (3, 4, columns)
    places = some_places(rng, result.shape)
    if dtype == "float32":
        expected = by_windows(a.astype("d"), b.astype("d"), places, "valid")
        actual = np.array([result[place] for place in places])
        assert_within(actual, expected, fft_bound(b, b, "f"), np.dtype("f"))
    else:
        assert_at(result, places, by_windows(a, b, places, "valid"))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("n", "taps"), [(5, 3), (60, 9), (5000, 40)])
def test_booleans_that_are_neither_zero_nor_one(n, taps, method, rng):
    """A view of bytes: whatever is not zero is true, in the data and among the taps."""
    bytes_a = rng.choice(np.array([0, 0, 0, 0, 0, 0, 1, 2, 4, 255], np.uint8), n)
    bytes_b = rng.choice(np.array([0, 0, 0, 1, 2, 8], np.uint8), taps)
    odd_a, odd_b = bytes_a.view(bool), bytes_b.view(bool)
    even_a, even_b = bytes_a != 0, bytes_b != 0
    expected = np.convolve(even_a, even_b)
    for a, b in ((odd_a, even_b), (even_a, odd_b), (odd_a, odd_b)):
        for result in (fastconv.convolve(a, b, method=method), fastconv.numpy.convolve(a, b)):
            # As bytes: comparing booleans would forgive a 2.
            np.testing.assert_array_equal(result.view(np.uint8), expected.view(np.uint8))


# Threads, processes, forks ------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "taps"), [(2000, 1500), (8000, 768), (4000, 2000)])
def test_the_method_does_not_depend_on_the_threads(n, taps, rng):
    """Near the crossover of two methods, which round differently."""
    a, b = random_array(rng, n, "d"), random_array(rng, taps, "d")
    with fastconv.num_threads(1):
        expected = fastconv.convolve(a, b)
    for count in (2, 8):
        with fastconv.num_threads(count):
            np.testing.assert_array_equal(fastconv.convolve(a, b), expected)


def test_same_bits_in_every_process():
    code = """
    import hashlib, numpy as np, fastconv
    rng = np.random.default_rng(5)
    a, b = rng.standard_normal((700, 900)), rng.standard_normal((80, 80))
    y = fastconv.convolve(a, b, method="fft")
    print(hashlib.sha256(y.tobytes()).hexdigest())
    """
    first = python(code, FASTCONV_NUM_THREADS="1")
    assert first == python(code, FASTCONV_NUM_THREADS="2")
    assert first == python(
        "import numpy as np, fastconv",
        "fastconv.convolve(np.ones((700, 900)), np.ones((80, 80)), method='fft')",
        code,
    )


def test_fewer_threads_after_many():
    """Threads that wait in the pool take no part in a call that wants fewer."""
    code = """
    import numpy as np, fastconv
    rng = np.random.default_rng(5)
    cases = [
        (rng.integers(-9, 9, (600, 500)), rng.integers(-9, 9, (5, 7)), "direct"),
        (rng.integers(-9, 9, 300_000), rng.integers(-9, 9, 64), "direct"),
        (rng.standard_normal((600, 500)), rng.standard_normal((41, 41)), "fft"),
        (rng.standard_normal(300_000), rng.standard_normal(999), "tilefft"),
    ]
    def all_of_them(count):
        with fastconv.num_threads(count):
            return [fastconv.convolve(*case[:2], "same", case[2]) for case in cases]
    expected = all_of_them(1)
    for count in (32, 2, 3, 32, 1, 2):
        for y, z in zip(all_of_them(count), expected, strict=True):
            assert np.array_equal(y, z), count
    """
    python(code)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="os.fork, which this system lacks")
def test_fork_while_another_thread_plans_transforms():
    """A planner's lock that is held at the fork would stay held in the child."""
    code = """
    import itertools, os, threading, numpy as np, fastconv
    stop = threading.Event()
    def plan_on():
        for n, m in itertools.product(range(20, 200, 3), range(21, 300, 4)):
            if stop.is_set():
                return
            fastconv.convolve(np.ones((n, m)), np.ones((9, 9)), method="fft")
    fastconv.convolve(np.ones((64, 64)), np.ones((9, 9)), method="fft")
    thread = threading.Thread(target=plan_on)
    thread.start()
    for i in range(12):
        child = os.fork()
        if child == 0:
            y = fastconv.convolve(np.ones((301 + i, 333)), np.ones((9, 9)), method="fft")
            os._exit(0 if np.allclose(y[150, 150], 81) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    stop.set()
    thread.join()
    """
    python(code, timeout=60)


LATE = """
    import atexit, time, threading, numpy as np, fastconv
    from concurrent.futures import ThreadPoolExecutor
    fastconv.set_num_threads(2)
    def work():
        for a, b in (
            (np.ones((300, 400), np.float32), np.ones((40, 40), np.float32)),
            (np.ones(200_000), np.ones(999)),
        ):
            y = fastconv.convolve(a, b, "same", "fft")
            middle = tuple(n // 2 for n in y.shape)
            assert np.allclose(y[middle], b.size)
            y = fastconv.convolve(a, b, "same")
            assert np.allclose(y[middle], b.size)
"""
FIRST = {"first": "", "not first": "work()"}


@pytest.mark.parametrize("before", FIRST)
def test_a_thread_that_outlives_the_main_one(before):
    """The interpreter starts no threads then, and executors take no work."""
    code = """
    def late():
        pool = ThreadPoolExecutor(1)
        try:
            while True:
                pool.submit(int)
                time.sleep(0.01)
        except RuntimeError:
            pass  # the interpreter is shutting down
        work()
        print("done")
    threading.Thread(target=late).start()
    """
    assert python(LATE, FIRST[before], code, timeout=60).split() == ["done"]


@pytest.mark.parametrize("before", FIRST)
def test_an_exit_handler(before):
    code = """
    def late():
        work()
        print("done")
    atexit.register(late)
    """
    assert python(LATE, FIRST[before], code, timeout=60).split() == ["done"]


# Plans --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["int16", "int64", "uint8", "bool"])
def test_a_plan_by_fft_takes_integers_as_a_call_does(dtype, rng):
    a, b = random_array(rng, (40, 30), dtype, small=True), random_array(rng, (5, 6), dtype, True)
    plan = fastconv.plan(fastconv.convolve, a, b, method="fft")
    assert plan.method in ("fft", "gpu_fft")
    result, expected = plan(a), fastconv.convolve(a, b, method="fft")
    assert result.dtype == expected.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(result, expected)


def test_a_plan_lets_go_of_its_data():
    a = np.ones(10_000)
    alive = weakref.ref(a)
    plan = fastconv.plan(fastconv.convolve, a, np.ones(9))
    del a
    gc.collect()
    assert alive() is None
    assert plan(np.ones(10_000))[5000] == 9


def test_a_plan_takes_no_out():
    with pytest.raises(TypeError, match="out"):
        fastconv.plan(fastconv.convolve, np.ones(9), np.ones(3), out=np.empty(11))


def test_arrays_without_axes_cannot_be_planned():
    with pytest.raises(ValueError, match="without axes"):
        fastconv.plan(fastconv.convolve, 2.0, 3.0)
    with pytest.raises(ValueError, match="without axes"):
        fastconv.explain(fastconv.convolve, Spec((), "d"), Spec((), "d"))


# Arguments ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["convolve", "correlate", "fftconvolve", "oaconvolve"])
def test_axes_of_every_kind(name, rng):
    func = getattr(fastconv, name)
    a, b = random_array(rng, (9, 8), "d"), random_array(rng, (3, 2), "d")
    both = func(a, b, axes=[0, 1])
    for axes in (np.array([0, 1]), range(2), (0, 1), np.array([1, -2]), (np.int8(0), 1)):
        np.testing.assert_array_equal(func(a, b, axes=axes), both)
    b = b[:, :1]
    first = func(a, b, axes=[0])
    for axes in (np.array(0), 0, np.int64(-2), np.array([0]), range(1)):
        np.testing.assert_array_equal(func(a, b, axes=axes), first)


@pytest.mark.parametrize("method", [["fft"], None, 3, "FFT", b"fft"])
@pytest.mark.parametrize("name", ["convolve", "correlate"])
def test_methods_that_are_none(name, method):
    for a, b in ((np.ones(9), np.ones(3)), (np.ones((9, 8)), np.ones((3, 3)))):
        with pytest.raises(ValueError, match="Acceptable method flags"):
            getattr(fastconv, name)(a, b, method=method)


@pytest.mark.parametrize(
    "name",
    ["convolve", "correlate", "fftconvolve", "oaconvolve", "convolve2d", "correlate2d"],
)
def test_a_spec_is_nothing_to_compute_with(name):
    a, spec = np.ones((5, 5)), Spec((5, 5), "float64")
    for pair in ((a, spec), (spec, a), (spec, spec)):
        with pytest.raises(TypeError, match="Spec"):
            getattr(fastconv, name)(*pair)


@pytest.mark.parametrize("name", ["convolve", "correlate"])
def test_a_spec_is_nothing_to_compute_with_in_the_numpy_front(name):
    a, spec = np.ones(5), Spec(5, "float64")
    for pair in ((a, spec), (spec, a), (spec, spec)):
        with pytest.raises(TypeError, match="Spec"):
            getattr(fastconv.numpy, name)(*pair)


def test_a_spec_of_strings():
    with pytest.raises(ValueError, match="numbers"):
        fastconv.explain(fastconv.convolve, Spec((5,), "S3"), Spec((5,), "float64"))


@pytest.mark.parametrize("func", [fastconv.sepfir2d, np.convolve, len])
def test_explain_of_what_is_not_one_convolution(func):
    with pytest.raises(TypeError, match="one of fastconv's functions"):
        fastconv.explain(func, np.ones((5, 5)), np.ones(3), np.ones(3))


@pytest.mark.skipif(
    np.lib.NumpyVersion(np.__version__) < "2.0.0", reason="NumPy 2, whose arrays have 64 axes"
)
@pytest.mark.parametrize("ndim", [63, 64])
@pytest.mark.parametrize("name", ["convolve", "correlate", "fftconvolve", "oaconvolve"])
def test_more_axes_than_can_be_convolved(name, ndim):
    a = np.ones((1,) * (ndim - 1) + (5,))
    with pytest.raises(ValueError, match=str(ndim)):
        getattr(fastconv, name)(a, a)


def test_choose_conv_method_bounds_integers_times_floats():
    """2**40 * 1e9 * 5000 is past the 53 bits in which an FFT is exact."""
    a, b = np.full(100_000, 2**40), np.full(5000, 1e9)
    assert fastconv.choose_conv_method(a, b) == "direct"
    assert fastconv.choose_conv_method(b, a) == "direct"


# Warnings -----------------------------------------------------------------------------------------

BY_FFT = {
    "fftconvolve": fastconv.fftconvolve,
    "oaconvolve": fastconv.oaconvolve,
    "convolve": lambda a, b: fastconv.convolve(a, b, method="fft"),
    "correlate": lambda a, b: fastconv.correlate(a, b, method="fft"),
}


def caught(func, *args):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        func(*args)
    return found


@pytest.mark.cpu_only("nobody is warned on a GPU: who looks waits")
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", "fdFD")
@pytest.mark.parametrize("name", BY_FFT)
def test_an_fft_asked_for_warns_once_of_what_is_not_finite(name, dtype, bad):
    a, b = np.ones(3000, dtype), np.ones(300, dtype)
    a[7] = bad
    found = caught(BY_FFT[name], a, b)
    assert [w.category for w in found] == [RuntimeWarning]
    assert "NAN or inf" in str(found[0].message)
    assert found[0].filename == __file__, "the warning does not name the caller's line"


@pytest.mark.parametrize("name", BY_FFT)
def test_an_fft_asked_for_does_not_warn_of_finite_results(name):
    """Nor where their sum overflows, nor where the one NaN meets no output."""
    large = np.full(12, 1e38, np.float32)
    longer = np.full(20_000, 1e38, np.float32)
    for a, b in (
        (np.ones(3000), np.ones(300)),
        (large, np.array([1, 0.5], np.float32)),
        (-large, np.array([1, 0.5], np.float32)),
        (longer, np.resize(np.array([1e-3, 2e-3], np.float32), 300)),
        (np.arange(50), np.arange(9)),
    ):
        assert caught(BY_FFT[name], a, b) == []
    a = np.ones((2, 40))
    a[0, 0] = np.nan
    assert caught(fastconv.convolve, a, np.ones((1, 3)), "same", "direct") == []
