"""Transforms to be trusted like the sums: errors within the stated bound, whatever the data.

No output errs by more than 3·log2(N)·u·‖x_block‖·‖w‖; where that is more than 1/32 of the largest
result among its neighbours (a run of 32 to 63), u is float64's, or the sum itself is taken where
its windows hold little.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import correlate_reference, random_array

import fastconv
from fastconv._methods import _rounding, tilefft
from fastconv._methods._kernels import KernelCache
from fastconv._problem import Boundary, Problem

FORMS = {
    "lines": ((5000,), (70,)),
    "long": ((6000,), (3500,)),
    "tiles": ((100, 120), (15, 17)),
    "volume": ((24, 26, 40), (5, 4, 7)),
}
BLOCK = 32


def problem_of(shape, taps, dtype, boundary=Boundary.ZERO):
    offset = tuple(-(t // 2) for t in taps)
    return Problem(shape, taps, shape, tuple(range(len(shape))), offset, np.dtype(dtype), boundary)


def solved(problem, x, w, threads=2):
    out = np.full(problem.out, np.nan if problem.dtype.kind in "fc" else 77, problem.dtype)
    runner = tilefft.build(problem)
    kept = x.copy()
    runner(x, runner.prepare(w), out, threads)
    np.testing.assert_array_equal(x, kept)
    return out


def form_of(problem):
    return tilefft.choose_layout(problem).form.name.lower()


def largest_around(y):
    """The largest |y| of all the runs that an output may be judged with, along the last axis."""
    reach = 2 * BLOCK - 1
    pad = [(0, 0)] * (y.ndim - 1) + [(reach, reach)]
    around = np.pad(np.abs(y), pad)
    return np.lib.stride_tricks.sliding_window_view(around, 2 * reach + 1, axis=-1).max(axis=-1)


def stated_bound(problem, x, w, dtype=None):
    """Of every output, by the norm of all the data: no block's is larger than that of two."""
    dtype = np.dtype(dtype or problem.dtype)
    layout = tilefft.choose_layout(problem)
    norm = 2 * np.linalg.norm(x.astype(np.longdouble)) * np.linalg.norm(w.astype(np.longdouble))
    return _rounding.relative_bound(math.prod(layout.points), dtype) * float(norm)


def expected_of(problem, x, w):
    axes = tuple(range(x.ndim))
    return correlate_reference(x, w, problem.out, problem.offset, problem.boundary, 0, axes)


def assert_trusted(problem, x, w, exact=None):
    """Within the stated bound, and within what is promised of a block's own results.

    What is stored rounds once more, and below the normal numbers by the least one.
    """
    y = solved(problem, x, w)
    exact = expected_of(problem, x, w) if exact is None else exact
    info = np.finfo(problem.dtype)
    error = np.abs(y.astype(np.longdouble) - exact)
    rounding = info.eps * np.abs(exact) + 2 * info.smallest_subnormal
    assert (error <= stated_bound(problem, x, w) + rounding).all()
    if problem.dtype == np.float32:
        # Of the results themselves, or (where windows cancel) of what the sum itself would err by.
        summed = math.sqrt(w.size) * info.eps * expected_of(problem, np.abs(x), np.abs(w))
        wide = stated_bound(problem, x, w, np.float64)
        most = largest_around(exact) * tilefft.PROMISE + summed + wide + rounding
        assert (error <= most).all()
    return y, error


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", "fd")
def test_forms(form, dtype):
    problem = problem_of(*FORMS[form], dtype)
    assert form_of(problem) == ("tiles" if form == "volume" else form)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", "fd")
def test_ordinary_data_is_done_once(form, dtype, rng, monkeypatch):
    """Noise, with and without a mean, by kernels of both signs and of one: no block again."""
    monkeypatch.setattr(tilefft._again, "settle", lambda *_: pytest.fail("a block was done again"))
    problem = problem_of(*FORMS[form], dtype)
    for mean in (0, 1):
        for kernel_mean in (0, 1):
            x = (rng.standard_normal(problem.x) + mean).astype(dtype)
            w = (rng.standard_normal(problem.w) + kernel_mean).astype(dtype)
            solved(problem, x, w)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", "fd")
def test_silence_beside_noise(form, dtype, rng):
    """A part 1e-6 as loud keeps its digits in float32, and zeros stay zeros."""
    problem = problem_of(*FORMS[form], dtype)
    x, w = random_array(rng, problem.x, dtype), random_array(rng, problem.w, dtype)
    half = problem.x[0] // 2
    # Past the window's reach, and the run of outputs in which the change lies.
    reach = problem.w[0] // 2 + 2 * BLOCK if len(problem.x) == 1 else problem.w[0] // 2 + 1
    x[half:] *= 1e-6
    y, error = assert_trusted(problem, x, w)
    quiet = slice(half + reach, None)
    if dtype == "f":
        assert error[quiet].max() <= 1e-5 * np.abs(y[quiet]).max()
    x[half:] = 0
    y, _ = assert_trusted(problem, x, w)
    if form != "long":
        assert not y[half + reach + 32 :].any()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", "fd")
def test_numbers_of_all_sizes(form, dtype, rng):
    """1e30 beside 1e-30: those far from the large ones are summed up by themselves."""
    problem = problem_of(*FORMS[form], dtype)
    x = (random_array(rng, problem.x, dtype) * 1e-30).astype(dtype)
    w = random_array(rng, problem.w, dtype)
    x[(0,) * x.ndim] = 1e30
    y, error = assert_trusted(problem, x, w)
    away = tuple(slice(t + 2 * BLOCK, None) for t in w.shape)
    if y[away].size:
        assert error[away].max() <= 1e-5 * np.abs(y[away]).max()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", "fd")
def test_cancelling_kernels(form, dtype, rng):
    """A kernel that sums to zero sees small changes of a large level."""
    problem = problem_of(*FORMS[form], dtype, Boundary.REFLECT)
    w = rng.standard_normal(problem.w)
    w = (w - w.mean()).astype(dtype)
    w.flat[0] -= w.sum(dtype=np.longdouble)
    for level, change in ((1000, 1), (1000, 1e-3), (1, 0), (0, 0)):
        x = (level + change * rng.standard_normal(problem.x)).astype(dtype)
        assert_trusted(problem, x, w)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", "fd")
def test_extremes_of_the_range(form, dtype, rng):
    """Subnormal numbers and the largest ones, in data and kernel."""
    problem = problem_of(*FORMS[form], dtype)
    info = np.finfo(dtype)
    tiny, huge = float(info.tiny), float(info.max)
    x, w = random_array(rng, problem.x, dtype), random_array(rng, problem.w, dtype)
    for data, kernel in (
        (tiny / 8, 1),
        (1, tiny / 8),
        (tiny * 2**30, tiny * 2**30),
        (huge / 2**20, 1),
        (1, huge / 2**20),
        (huge / 2**20, tiny * 8),
        (tiny / 8, huge / 2**8),
        (0, 1),
        (1, 0),
    ):
        with np.errstate(under="ignore"):
            a, b = (x * data).astype(dtype), (w * kernel).astype(dtype)
        assert_trusted(problem, a, b)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", "fd")
@pytest.mark.parametrize("count", [1, 3, 40])
def test_nonfinite_beside_everything(form, dtype, count, rng):
    """NaN and Inf where their windows are; all else as it is without them."""
    problem = problem_of(*FORMS[form], dtype)
    x, w = random_array(rng, problem.x, dtype), random_array(rng, problem.w, dtype)
    x[problem.x[0] // 2 :] *= 1e-6
    where = rng.permutation(x.size)[:count]
    clean = x.copy()
    clean.flat[where] = 0
    x.flat[where] = rng.choice([np.nan, np.inf, -np.inf], count)
    y = solved(problem, x, w)
    with np.errstate(invalid="ignore"):
        exact = expected_of(problem, x, w)
    for test in (np.isnan, np.isposinf, np.isneginf):
        np.testing.assert_array_equal(test(y), test(exact))
    finite = np.isfinite(exact)
    error = np.abs(y[finite].astype(np.longdouble) - exact[finite])
    rounding = np.finfo(dtype).eps * np.abs(exact[finite])
    assert (error <= stated_bound(problem, clean, w) + rounding).all()


@settings(max_examples=60, deadline=None)
@given(
    form=st.sampled_from(sorted(FORMS)),
    dtype=st.sampled_from("fd"),
    seed=st.integers(0, 2**32 - 1),
    spread=st.sampled_from([0, 3, 10, 30]),
    kernel_spread=st.sampled_from([0, 3, 10]),
    specials=st.integers(0, 4),
    sparse=st.booleans(),
    boundary=st.sampled_from([Boundary.ZERO, Boundary.REFLECT, Boundary.WRAP]),
)
def test_fuzz(form, dtype, seed, spread, kernel_spread, specials, sparse, boundary):
    """Data whose parts differ by powers of ten, with zeros, NaN and Inf."""
    rng = np.random.default_rng(seed)
    problem = problem_of(*FORMS[form], dtype, boundary)
    x = rng.standard_normal(problem.x)
    # Steps of loudness along the first axis.
    steps = 10.0 ** rng.uniform(-spread, spread / 3, 6)
    x *= np.repeat(steps, -(-x.shape[0] // 6))[: x.shape[0]].reshape(-1, *[1] * (x.ndim - 1))
    if sparse:
        x[rng.random(x.shape) < 0.999] = 0
    w = rng.standard_normal(problem.w) * 10.0 ** rng.uniform(-kernel_spread, 0, problem.w)
    with np.errstate(over="ignore", under="ignore"):
        x, w = x.astype(dtype), w.astype(dtype)
    where = rng.permutation(x.size)[:specials]
    clean = x.copy()
    clean.flat[where] = 0
    if not specials:
        assert_trusted(problem, x, w)
        return
    x.flat[where] = rng.choice([np.nan, np.inf, -np.inf], specials)
    y = solved(problem, x, w)
    with np.errstate(invalid="ignore"):
        exact = expected_of(problem, x, w)
    np.testing.assert_array_equal(np.isfinite(y), np.isfinite(exact))
    finite = np.isfinite(exact)
    error = np.abs(y[finite].astype(np.longdouble) - exact[finite])
    rounding = np.finfo(dtype).eps * np.abs(exact[finite]) + 2 * np.finfo(dtype).smallest_subnormal
    assert (error <= stated_bound(problem, clean, w) + rounding).all()


@pytest.mark.parametrize("form", FORMS)
def test_same_bits_for_any_number_of_threads(form, rng):
    """Also of what is done again."""
    problem = problem_of(*FORMS[form], "f")
    x, w = random_array(rng, problem.x, "f"), random_array(rng, problem.w, "f")
    x[problem.x[0] // 2 :] *= 1e-6
    x[7] *= 1e20
    one = solved(problem, x, w, 1)
    for threads in (2, 3, 5):
        np.testing.assert_array_equal(solved(problem, x, w, threads), one)


@pytest.mark.parametrize("dtype", "FD")
def test_complex_silence(dtype, rng):
    problem = problem_of((5000,), (70,), dtype)
    x, w = random_array(rng, (5000,), dtype), random_array(rng, (70,), dtype)
    x[2000:] *= 1e-6
    y = solved(problem, x, w)
    exact = expected_of(problem, x, w)
    error = np.abs(y - exact)[2100:]
    assert error.max() <= 1e-5 * np.abs(exact[2100:]).max()


# --- integers -------------------------------------------------------------------------------------


def python_convolution(x, w, taken):
    """Some outputs of the full convolution, in Python's integers modulo the width."""
    x, w = x.tolist(), w.tolist()
    return [sum(w[k] * x[n - k] for k in range(len(w)) if 0 <= n - k < len(x)) for n in taken]


def whole_convolution(x, w):
    """The full convolution by one product of two huge integers [Kronecker]."""
    least_x, least_w = int(x.min()), int(w.min())
    a, b = x.astype(object) - least_x, w.astype(object) - least_w
    width = (int(a.max()).bit_length() + int(b.max()).bit_length() + len(b).bit_length()) // 8 + 1

    def packed(values):
        return int.from_bytes(b"".join(int(v).to_bytes(width, "little") for v in values), "little")

    count = len(a) + len(b) - 1
    product = (packed(a) * packed(b)).to_bytes(count * width, "little")
    raw = np.frombuffer(product, np.uint8).reshape(count, width)
    # Modulo 2^64 the eight lowest bytes are enough.
    low = np.zeros((count, 8), np.uint8)
    low[:, : min(width, 8)] = raw[:, :8]
    sums = low.view("<u8")[:, 0]
    # (a + least_x) * (b + least_w), the windows' sums by running sums, all modulo 2^64.
    mask = 2**64 - 1
    with np.errstate(over="ignore"):

        def window_sums(values, length):
            running = np.concatenate(
                [[np.uint64(0)], np.cumsum(np.array([int(v) & mask for v in values], np.uint64))]
            )
            n = np.arange(count)
            high = np.minimum(n + 1, len(values))
            lowest = np.minimum(np.maximum(n + 1 - length, 0), len(values))
            return running[high] - running[lowest]

        n = np.arange(count)
        overlap = np.minimum(n + 1, len(a)) - np.maximum(n + 1 - len(b), 0)
        sums = sums + np.uint64(least_w & mask) * window_sums(a, len(b))
        sums = sums + np.uint64(least_x & mask) * window_sums(b, len(a))
        return sums + np.uint64((least_x * least_w) & mask) * overlap.astype(np.uint64)


MILLIONS = [
    *(("u1", 1000, True), ("i1", 3, True), ("i2", 1000, True), ("u2", 3, True), ("i4", 1000, True)),
    *(("u4", 3, True), ("i8", 1000, True), ("u8", 3, True), ("u1", 3, False), ("i8", 1000, False)),
]


@pytest.mark.parametrize(("dtype", "taps", "wide"), MILLIONS)
def test_a_million_integers_equal_pythons(dtype, taps, wide, rng):
    """All of 2^20 samples, modulo the width; of the whole range and of a small part of it."""
    dtype = np.dtype(dtype)
    info = np.iinfo(dtype)
    low, high = (info.min, info.max) if wide else (max(info.min, -100), min(info.max, 100))
    x = rng.integers(low, high, 1 << 20, dtype, endpoint=True)
    w = rng.integers(low, high, taps, dtype, endpoint=True)
    expected = whole_convolution(x, w).astype(f"u{dtype.itemsize}").view(dtype)
    np.testing.assert_array_equal(fastconv.convolve(x, w), expected)
    some = [0, 1, taps - 1, taps, 777_777, (1 << 20) + taps - 2]
    exact = [v % 2 ** (8 * dtype.itemsize) for v in python_convolution(x, w, some)]
    assert [int(v) % 2 ** (8 * dtype.itemsize) for v in expected[some]] == exact


@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "i8"])
@pytest.mark.parametrize("form", FORMS)
def test_integers_are_exact_by_transforms(form, dtype, rng):
    """As large as the proof allows, all of one sign: the largest sums there are."""
    shape, taps = FORMS[form]
    problem = problem_of(shape, taps, dtype, Boundary.WRAP)
    for low, high in ((0, 200), (-100, 100)):
        if low < np.iinfo(dtype).min:
            continue
        x = rng.integers(low, min(high, np.iinfo(dtype).max), shape, dtype)
        w = rng.integers(low, min(high, np.iinfo(dtype).max), taps, dtype)
        known = replace(problem, magnitude=(256.0, 256.0))
        assert tilefft.reject(known) is None
        expected = correlate_reference(
            x.astype(np.int64), w.astype(np.int64), shape, problem.offset, Boundary.WRAP
        )
        np.testing.assert_array_equal(solved(known, x, w), expected.astype(dtype))


@pytest.mark.parametrize("bits", [8, 16, 20, 24, 30])
def test_the_proof_holds_at_its_edge(bits, rng):
    """The largest numbers that a layout accepts, and no error."""
    most = float(1 << bits)
    for taps in (5, 300):
        problem = Problem(
            (20_000,), (taps,), (20_000,), (0,), (0,), np.dtype("i8"), magnitude=(most, most)
        )
        if tilefft.reject(problem) is not None:
            continue
        for low in (-(1 << bits), 1 << (bits - 1)):
            x = rng.integers(low, 1 << bits, 20_000)
            w = rng.integers(low, 1 << bits, taps)
            expected = correlate_reference(x, w, problem.out, (0,), 0, 0)
            np.testing.assert_array_equal(solved(problem, x, w), expected)


# --- data and results of other types --------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("source", ["?", "b", "B", "h", "H", "i", "I", "q", "Q", "f", "d"])
@pytest.mark.parametrize("compute", "fd")
def test_data_is_converted_as_it_is_read(form, source, compute, rng):
    """The same bits as of data that was converted before."""
    problem = problem_of(*FORMS[form], compute, Boundary.REFLECT)
    x = random_array(rng, problem.x, source)
    if x.dtype.kind in "iu":
        x %= 100  # exact in float32
    w = random_array(rng, problem.w, compute)
    for target in "fd":
        out = np.full(problem.out, np.nan, target)
        runner = tilefft.build(problem)
        assert runner.converts(x.dtype, out.dtype)
        runner(x[..., ::-1], runner.prepare(w), out[..., ::-1], 2)
        before = solved(problem, np.ascontiguousarray(x[..., ::-1]).astype(compute), w)
        np.testing.assert_array_equal(out[..., ::-1], before.astype(target))


@pytest.mark.parametrize("source", ["b", "h", "i", "q"])
@pytest.mark.parametrize("form", ["lines", "tiles"])
@pytest.mark.parametrize("compute", "fd")
def test_least_integers_beside_zeros(form, source, compute, rng):
    """They have no absolute value of their type."""
    problem = problem_of(*FORMS[form], compute, Boundary.REFLECT)
    x = np.zeros(problem.x, source)
    x[: problem.x[0] // 2] = np.iinfo(source).min
    w = random_array(rng, problem.w, compute)
    assert_trusted(problem, x.astype(compute), w)
    runner, out = tilefft.build(problem), np.full(problem.out, np.nan, compute)
    runner(x, runner.prepare(w), out, 2)
    exact = expected_of(problem, x.astype(compute), w)
    error = np.abs(out.astype(np.longdouble) - exact)
    assert (error <= stated_bound(problem, x.astype(compute), w)).all()


@pytest.mark.parametrize("source", ["?", "b", "B", "h", "H", "i", "I", "q", "Q"])
@pytest.mark.parametrize("size", [0, 1e-30, 1e-300])
def test_integers_by_kernels_of_next_to_nothing(source, size):
    x = np.ones((200, 300), source)
    w = np.full((31, 31), size, "f" if size > 1e-40 or size == 0 else "d")
    result = fastconv.convolve(x, w, "same", method="tilefft")
    np.testing.assert_allclose(result[40:-40, 40:-40], 961 * size, rtol=1e-5)


@pytest.mark.parametrize("boundary", list(Boundary))
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", "fd")
def test_quiet_parts_at_every_boundary(form, dtype, boundary, rng):
    """Parts far below the rest in float64, too, keep their digits, and zeros stay zeros."""
    fill = 1e-20 if boundary is Boundary.CONSTANT else 0
    problem = replace(problem_of(*FORMS[form], dtype, boundary), fill=fill)
    x, w = random_array(rng, problem.x, dtype), random_array(rng, problem.w, dtype)
    third = problem.x[0] // 3
    x[third:] *= 1e-20
    y = solved(problem, x, w)
    axes = tuple(range(x.ndim))
    exact = correlate_reference(x, w, problem.out, problem.offset, boundary, fill, axes)
    away = slice(third + problem.w[0] + 64, problem.x[0] - problem.w[0] - 64)
    if away.start < away.stop:
        error = np.abs(y[away] - exact[away]).max()
        assert error <= 1e-5 * np.abs(exact[away]).max()


@pytest.mark.parametrize(("form", "place"), [("lines", (150,)), ("tiles", (40, 50))])
def test_a_fill_between_integers(form, place, rng):
    """Beside one huge integer, windows of zeros and the fill are summed up by themselves."""
    problem = replace(problem_of(*FORMS[form], "d", Boundary.CONSTANT), fill=0.5)
    x = np.zeros(problem.x, "q")
    x[place] = 1 << 52
    w = rng.random(problem.w) + 1
    runner, out = tilefft.build(problem), np.full(problem.out, np.nan)
    runner(x, runner.prepare(w), out, 2)
    axes = tuple(range(x.ndim))
    exact = correlate_reference(x, w, problem.out, problem.offset, problem.boundary, 0.5, axes)
    corner = tuple(slice(0, t // 2) for t in w.shape)
    np.testing.assert_allclose(out[corner], exact[corner].astype("d"), rtol=1e-12)


# --- kernels' spectra -----------------------------------------------------------------------------


def test_spectra_are_found_by_content(rng):
    cache, made = KernelCache(1 << 16), []

    def make(w):
        made.append(w)
        return w * 2

    a = rng.standard_normal(100)
    first = cache.get("key", a, make)
    assert cache.get("key", a.copy(), make) is first
    assert cache.get("other", a, make) is not first
    b = a.copy()
    b[1] += 1  # not one of the bytes that are looked at first, perhaps
    np.testing.assert_array_equal(cache.get("key", b, make), b * 2)
    a[50] = 7  # the array that was kept may change
    np.testing.assert_array_equal(cache.get("key", a, make), a * 2)
    assert len(made) == 4


def test_spectra_are_bounded(rng):
    cache = KernelCache(10_000)
    for i in range(40):
        w = np.full(100, float(i))
        np.testing.assert_array_equal(cache.get("key", w, lambda w: w * 2), w * 2)
        assert cache.nbytes <= 10_000
    large = np.ones(10_000)
    cache.get("key", large, lambda w: w * 2)
    assert cache.nbytes <= 10_000
    cache.clear()
    assert cache.nbytes == 0


def test_a_changed_kernel_gives_its_own_result(rng):
    x, w = random_array(rng, (200, 210), "f"), random_array(rng, (20, 21), "f")
    first = fastconv.convolve(x, w, method="tilefft")
    before = w[3, 4]
    w[3, 4] += 1
    second = fastconv.convolve(x, w, method="tilefft")
    w[3, 4] = before
    assert np.abs(second - first).max() > 0.1
    np.testing.assert_array_equal(fastconv.convolve(x, w, method="tilefft"), first)
