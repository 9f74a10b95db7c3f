"""Workspace is bounded: at most max(64 MiB, input + output) beyond arguments and result."""

import shutil
import sys

import pytest
from shell import python

MIB = 2**20
FLOOR = 64 * MIB

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="Linux, whose VmHWM can be reset and read"
)

# VmHWM is the largest resident size so far; writing 5 to clear_refs starts it anew.  The result's
# own pages count as the result, so what is left over is workspace.
MEASURE = """
    import numpy as np, fastconv
    def resident(field):
        with open("/proc/self/status") as status:
            return next(int(l.split()[1]) << 10 for l in status if l.startswith(field))
    def extra(call):
        with open("/proc/self/clear_refs", "w") as refs:
            refs.write("5")
        before = resident("VmRSS")
        result = call()
        return resident("VmHWM") - before - result.nbytes, result
"""


def workspace(code):
    """Bytes beyond arguments and result, as the code prints them."""
    return int(python(MEASURE, code, timeout=300).split()[-1])


def available():
    with open("/proc/meminfo", encoding="ascii") as info:
        return next(int(line.split()[1]) << 10 for line in info if line.startswith("MemAvailable"))


def test_a_hundred_million_samples():
    """Issue 2's own figure: 10**8 float32 with 101 taps."""
    arguments = 2 * 4 * 10**8
    if available() < 2 * arguments + FLOOR:
        pytest.skip(f"{(2 * arguments + FLOOR) // MIB} MiB of free memory")
    code = """
    a, b = np.ones(10**8, np.float32), np.ones(101, np.float32)
    used, y = extra(lambda: fastconv.convolve(a, b))
    assert y.shape == (10**8 + 100,) and y[0] == 1 and y[1000] == y[-1000] == 101
    print(used)
    """
    assert workspace(code) <= max(FLOOR, arguments)


@pytest.mark.parametrize(
    ("shape", "kernel", "dtype"),
    [
        ("10**7", "3000", "float32"),
        ("10**7", "101", "float64"),
        ("4 * 10**6", "10**6", "float64"),
        ("(3000, 3000)", "(31, 31)", "float32"),
        ("(3000, 3000)", "(200, 300)", "float32"),
        ("(200, 20_000)", "(1, 2000)", "complex64"),
    ],
)
def test_fft(shape, kernel, dtype):
    code = f"""
    a, b = np.ones({shape}, "{dtype}"), np.ones({kernel}, "{dtype}")
    fastconv.convolve(a[..., :9], b[..., :3], method="fft")  # what is loaded once is no workspace
    used, y = extra(lambda: fastconv.convolve(a, b, "same", "fft"))
    print(a.nbytes + y.nbytes, used)
    """
    total, used = (int(n) for n in python(MEASURE, code, timeout=300).split())
    assert used <= max(FLOOR, total)


@pytest.mark.parametrize(
    ("shape", "kernel", "dtype", "transposed"),
    [
        ("2 * 10**7", "33", "int16", False),
        ("(4000, 4000)", "(5, 5)", "float32", False),
        ("(4000, 4000)", "(5, 5)", "uint8", False),
        ("(400, 200, 200)", "(3, 3, 3)", "float32", False),
        ("(4000, 4000)", "(5, 5)", "float64", True),
    ],
)
def test_direct(shape, kernel, dtype, transposed):
    code = f"""
    a, b = np.ones({shape}, "{dtype}"){".T" * transposed}, np.ones({kernel}, "{dtype}")
    used, y = extra(lambda: fastconv.convolve(a, b, "same", "direct"))
    print(a.nbytes + y.nbytes, used)
    """
    total, used = (int(n) for n in python(MEASURE, code, timeout=300).split())
    assert used <= max(FLOOR, total)


def test_mixed_dtypes_are_converted_in_pieces():
    """An int8 signal with a float64 kernel: no float64 copy of the whole signal."""
    code = """
    a, b = np.ones(3 * 10**7, np.int8), np.ones(9)
    used, y = extra(lambda: fastconv.convolve(a, b, "same"))
    print(used)
    """
    assert workspace(code) <= max(FLOOR, 9 * 3 * 10**7)


def test_a_memory_mapped_file_is_not_loaded_twice(tmp_path):
    code = f"""
    path = {str(tmp_path / "signal")!r}
    a = np.memmap(path, np.float32, "w+", shape=(2 * 10**7,))
    a[:] = 1
    used, y = extra(lambda: fastconv.convolve(a, np.ones(9, np.float32), "same"))
    assert type(y) is np.ndarray
    print(used)
    """
    assert workspace(code) <= max(FLOOR, 2 * 8 * 10**7)


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize(
    "call",
    [
        "correlate(a, np.ones((7, 7)))",
        "correlate(a, rng.random((41, 41)), output='float32')",
        "gaussian_filter(a, 3)",
        "gaussian_filter(a, 3, mode=['wrap', 'reflect'])",
        "gaussian_filter(a, 40)",
        "uniform_filter(a, 21)",
        "sobel(a)",
        "gaussian_laplace(a, 2)",
        "correlate1d(a, np.ones(5), axis=0, output=a)",
    ],
)
def test_images(call, dtype):
    first = call.replace("(a,", "(a[:200, :200].copy(),").replace("output=a", "output=None")
    code = f"""
    rng = np.random.default_rng(0)
    a = np.ones((4000, 3000), {dtype!r})
    fastconv.ndimage.{first}
    used, y = extra(lambda: fastconv.ndimage.{call})
    print(a.nbytes + y.nbytes, used + (y.nbytes if y is a else 0))
    """
    total, used = (int(n) for n in python(MEASURE, code, timeout=300).split())
    assert used <= max(FLOOR, total)


@pytest.mark.parametrize(
    ("dtype", "call"),
    [
        (">u2", "sobel(a)"),
        (">f4", "gaussian_filter(a, 2)"),
        ("complex64", "correlate(a, rng.random((5, 5)))"),
        ("float32", "gaussian_filter(a.T, 3)"),
        ("float32", "gaussian_filter(a, 700)"),
        ("float32", "uniform_filter(a, 3001)"),
        ("float32", "laplace(a, mode=['wrap', 'reflect'])"),
        ("float32", "correlate(a, rng.random((400, 400)))"),
        ("uint8", "correlate(a, rng.random((400, 400)), 'float32')"),
        ("uint8", "correlate(a, rng.random((200, 200)), 'float64')"),
    ],
)
def test_images_of_other_kinds(call, dtype):
    """Swapped, complex, transposed; kernels that no block holds."""
    code = f"""
    rng = np.random.default_rng(0)
    a = np.ones((4000, 3000), {dtype!r})
    fastconv.ndimage.{call.replace("(a", "(a[:200, :200].copy()")}
    used, y = extra(lambda: fastconv.ndimage.{call})
    print(a.nbytes + y.nbytes, used)
    """
    total, used = (int(n) for n in python(MEASURE, code, timeout=300).split())
    assert used <= max(FLOOR, total)


@pytest.mark.parametrize("call", ["gaussian_filter(a, 2, output=b)", "correlate(a, w, output=b)"])
def test_a_memory_mapped_image_is_filtered_into_another(call, tmp_path):
    """A sparse file of 1 GiB: what the process holds of its own stays small."""
    size = 2**30
    if shutil.disk_usage(tmp_path).free < 3 * size:
        pytest.skip(f"{3 * size // MIB} MiB of free disk")
    code = f"""
    shape = (2**15, 2**15)
    a = np.memmap({str(tmp_path / "image")!r}, np.uint8, "w+", shape=shape)
    b = np.memmap({str(tmp_path / "result")!r}, np.uint8, "w+", shape=shape)
    a[20_000:20_100] = 200
    w = np.ones((3, 3)) / 16
    fastconv.ndimage.gaussian_filter(np.ones((99, 99), np.uint8), 2)
    before = resident("RssAnon")
    y = fastconv.ndimage.{call}
    assert y.base is b or y is b
    assert b[20_050, 5] > 0 and not b[10_000].any()
    print(resident("RssAnon") - before)
    """
    assert int(python(MEASURE, code, timeout=300).split()[-1]) <= FLOOR


def test_nan_in_the_data_of_an_fft():
    code = """
    a, b = np.ones(10**7, np.float32), np.ones(3000, np.float32)
    a[[5, 10**6, 9 * 10**6]] = np.nan, np.inf, -np.inf
    fastconv.convolve(a[:9], b[:3], method="direct")
    used, y = extra(lambda: fastconv.convolve(a, b, "same"))
    assert 6000 < np.count_nonzero(~np.isfinite(y)) < 9001
    print(a.nbytes + y.nbytes, used)
    """
    total, used = (int(n) for n in python(MEASURE, code, timeout=300).split())
    assert used <= max(FLOOR, total)


def test_a_kernel_too_long_for_one_transform():
    """In single precision: the spectrum of 4 * 10**6 samples alone would take half the bound."""
    code = """
    a, b = np.ones(4 * 10**6, np.float32), np.ones(500_001, np.float32)
    fastconv.convolve(a[:9], b[:3], method="fft")
    used, y = extra(lambda: fastconv.convolve(a, b, "same"))
    assert abs(y[2 * 10**6] - 500_001) < 1 and abs(y[0] - 250_001) < 1
    print(used)
    """
    assert workspace(code) <= FLOOR


def test_what_plain_numpy_takes():
    """Complex long double has no kernel."""
    code = """
    a, b = np.ones((1000, 4000), np.clongdouble), np.ones((2, 2), np.clongdouble)
    used, y = extra(lambda: fastconv.convolve(a, b, "same", "reference"))
    assert y[1, 1] == y[-1, -1] == 4
    print(a.nbytes + y.nbytes, used)
    """
    total, used = (int(n) for n in python(MEASURE, code, timeout=300).split())
    assert used <= max(FLOOR, total)


@pytest.mark.parametrize(
    ("shape", "template", "dtype", "pad_input"),
    [
        ("(4000, 3000)", "(64, 96)", "float32", False),
        ("(4000, 3000)", "(64, 96)", "uint8", True),
        ("(3000, 2000)", "(400, 300)", "float64", False),
        ("(256, 256, 256)", "(32, 32, 32)", "float32", True),
    ],
)
def test_templates(shape, template, dtype, pad_input):
    code = f"""
    rng = np.random.default_rng(0)
    a = (rng.random({shape}) * 200).astype({dtype!r})
    b = a[tuple(slice(5, 5 + m) for m in {template})].copy()
    fastconv.match_template(a[:50, :50], b[:20, :20])  # what is loaded once is no workspace
    used, y = extra(lambda: fastconv.match_template(a, b, {pad_input}))
    print(a.nbytes + y.nbytes, used)
    """
    total, used = (int(n) for n in python(MEASURE, code, timeout=300).split())
    assert used <= max(FLOOR, total)
