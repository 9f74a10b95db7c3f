"""Overlap-save in lanes: every length, dtype and boundary, batches, edges and non-finite data."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from arrays import laid_out
from oracle import assert_within, correlate_reference, fft_bound, random_array

from fastconv import _planner
from fastconv._methods import tilefft
from fastconv._native import _core
from fastconv._problem import Boundary, Problem, Reason

DTYPES = "fdFD"
BOUNDARIES = tuple(Boundary)


def solve(problem, x, w, threads=2, out=None):
    out = np.zeros(problem.out, problem.dtype) if out is None else out
    choice = _planner.choose(problem, "tilefft", threads)
    choice.run(x, choice.prepare(w), out, threads)
    return out


def line(n, taps, out, offset, dtype, boundary=Boundary.ZERO, fill=0):
    return Problem((n,), (taps,), (out,), (0,), (offset,), np.dtype(dtype), boundary, fill)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("points", [1 << p for p in range(6, 15)])
def test_transforms_of_every_length(points, dtype, rng):
    """The kernel's spectrum is its transform, in another order and over the length."""
    for taps in (1, 2, points // 3, points):
        w = random_array(rng, (taps,), dtype)
        expected = np.fft.fft(w[::-1].astype(complex), points) / points
        spectrum = _core.line_fft_spectrum(w, points)
        assert spectrum.dtype == np.result_type(dtype, np.complex64)
        order = np.lexsort((np.round(expected.imag, 4), np.round(expected.real, 4)))
        # Compared as sets, by moments: the order is the transform's own.
        assert order.size == spectrum.size
        eps = np.finfo(spectrum.dtype).eps
        for power in (1, 2):
            moment = np.sum(expected**power)
            size = np.sum(np.abs(expected) ** power)
            assert abs(np.sum(spectrum.astype(complex) ** power) - moment) <= 20 * eps * size


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("points", [64, 128, 256, 512, 1024, 2048, 4096])
def test_blocks_of_every_length(points, dtype, rng):
    lanes = _core.line_fft_lanes(np.dtype(dtype))
    for taps in (2, lanes, lanes + 1, points // 2):
        n = (5 if points < 2048 else 1) * points + 7
        x, w = random_array(rng, (3, n), dtype), random_array(rng, (taps,), dtype)
        skip = -(-(taps - 1) // lanes) * lanes
        out = np.zeros((3, n), dtype)
        spectrum = _core.line_fft_spectrum(w, points)
        met = _core.line_fft_correlate(x, spectrum, taps, out, (0, -(taps // 2)), skip)
        assert not met.any()
        expected = correlate_reference(x, w[None], out.shape, (0, -(taps // 2)), 0, 0, (0, 1))
        assert_within(out, expected, 2 * fft_bound(x, w, dtype), np.dtype(dtype))


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_boundaries_and_edges(dtype, boundary, rng):
    for n in (1, 2, 63, 64, 65, 300, 1100):
        for taps in (2, 3, 17, 64, 65, 130):
            for offset in (-(taps - 1), -(taps // 2), 0, 3):
                fill = 2 if boundary is Boundary.CONSTANT else 0
                problem = line(n, taps, n + 5, offset, dtype, boundary, fill)
                x, w = random_array(rng, (n,), dtype), random_array(rng, (taps,), dtype)
                expected = correlate_reference(
                    x, w, problem.out, problem.offset, boundary, fill, (0,)
                )
                data = np.append(x, np.full(n + taps, fill))
                bound = 2 * fft_bound(data, w, dtype, (n + taps + 8) // n + 2)
                assert_within(solve(problem, x, w), expected, bound, problem.dtype)


@pytest.mark.parametrize("layout", ["reversed", "stepped", "unaligned", "readonly"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_layouts(dtype, layout, rng):
    x, w = random_array(rng, (3, 700, 2), dtype), random_array(rng, (1, 40, 1), dtype)
    problem = Problem(x.shape, w.shape, x.shape, (0, 1, 2), (0, -20, 0), np.dtype(dtype))
    expected = correlate_reference(x, w, x.shape, problem.offset, 0, 0, (0, 1, 2))
    out = laid_out(np.zeros(x.shape, dtype), layout if layout != "readonly" else "stepped")
    solve(problem, laid_out(x, layout), laid_out(w, layout), out=out)
    assert_within(out, expected, 2 * fft_bound(x, w, dtype), np.dtype(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_same_bits_for_any_number_of_threads(dtype, rng):
    x, w = random_array(rng, (50_000,), dtype), random_array(rng, (200,), dtype)
    problem = line(x.size, w.size, x.size, -100, dtype)
    one = solve(problem, x, w, threads=1)
    for threads in (2, 3, 5):
        np.testing.assert_array_equal(solve(problem, x, w, threads), one)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", "fd")
def test_nonfinite_data_touch_their_windows_only(dtype, value, rng):
    x, w = random_array(rng, (6000,), dtype), random_array(rng, (90,), dtype)
    w[7] = 0
    problem = line(x.size, w.size, x.size, -45, dtype)
    clean = solve(problem, x, w)
    x[[11, 3000, 5999]] = value
    with np.errstate(invalid="ignore"):
        expected = correlate_reference(x, w, x.shape, (-45,), 0, 0, (0,))
    result = solve(problem, x, w)
    touched = ~np.isfinite(expected)
    assert touched.any()
    np.testing.assert_array_equal(result[touched], expected[touched].astype(dtype))
    bound = 4 * fft_bound(np.nan_to_num(x, posinf=0, neginf=0), w, dtype)
    assert np.abs(result - clean)[~touched].max() <= bound


@pytest.mark.parametrize("method", ["tilefft", "fft"])
@pytest.mark.parametrize("dtype", "fdF")
def test_finite_results_do_not_overflow_on_the_way(dtype, method, rng):
    largest = float(np.finfo(dtype).max)
    x = np.full(9000, largest / 8, dtype)
    w = np.full(400, 1e-3, dtype)
    problem = line(x.size, w.size, x.size, -200, dtype)
    choice = _planner.choose(problem, method, 2)
    out = np.zeros(x.size, dtype)
    choice.run(x, choice.prepare(w), out, 2)
    exact = largest / 8 * np.convolve(np.ones(x.size), np.full(400, 1e-3))[199:][: x.size]
    np.testing.assert_allclose(out.real, exact, rtol=1e-4)


# --- long lines -----------------------------------------------------------------------------------


def correlate_long(x, w, points, out, offset, step, boundary=0, fill=0, apart=True, threads=2):
    """Call the kernel itself; axes but the last are batches."""
    spectrum = _core.four_step_spectrum(w, points)
    element = np.array([fill], w.dtype) if boundary == Boundary.CONSTANT else None
    offset = (0,) * (x.ndim - 1) + (offset,)
    marks = _core.four_step_correlate(
        x, spectrum, w.size, out, offset, step, apart, boundary, element, threads
    )
    assert not marks.any()
    return out


@pytest.mark.parametrize("dtype", "fd")
@pytest.mark.parametrize("points", [1 << p for p in range(10, 16)])
def test_four_steps_of_every_length(points, dtype, rng):
    """Kernels of one tap to the whole block, outputs around multiples of what a block gives."""
    all_taps = (1, 2, 33, points // 2 + 1, points - 1, points)
    for taps in all_taps if points < 1 << 13 else (33, points - 1):
        valid = points - taps + 1
        for step in {valid, max(valid // 2 + 1, 1)}:
            n = min(2 * step + 1, points + 3) if taps < points - 1 else 3
            x, w = random_array(rng, (2, n), dtype), random_array(rng, (taps,), dtype)
            offset = -(taps // 2)
            one = correlate_long(x, w, points, np.full_like(x, np.nan), offset, step)
            both = correlate_long(
                x, w, points, np.full_like(x, np.nan), offset, step, apart=False, threads=3
            )
            np.testing.assert_array_equal(one, both)
            expected = np.stack([np.convolve(r, w[::-1].astype("g")) for r in x.astype("g")])
            expected = expected[:, taps - 1 + offset :][:, :n]
            assert_within(one, expected, 2 * fft_bound(x, w, dtype), np.dtype(dtype))


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("dtype", "fd")
def test_boundaries_of_four_steps(dtype, boundary, rng):
    """Any strides, and more beyond the edges than there is between them."""
    fill = 2 if boundary is Boundary.CONSTANT else 0
    for n in (1, 40, 1500):
        for taps, offset in ((7, 3), (300, -299), (900, -450)):
            x, w = random_array(rng, (3, n), dtype), random_array(rng, (taps,), dtype)
            laid = laid_out(x, "reversed")
            out = laid_out(np.zeros((3, n + 5), dtype), "stepped")
            correlate_long(laid, w, 1024, out, offset, 1024 - taps + 1, boundary, fill)
            expected = correlate_reference(
                x, w[None], out.shape, (0, offset), boundary, fill, (0, 1)
            )
            data = np.append(x, np.full(n + taps, fill))
            bound = 2 * fft_bound(data, w, dtype, (n + taps + 8) // n + 2)
            assert_within(out, expected, bound, np.dtype(dtype))


@pytest.mark.parametrize("stored", ["?", "b", "B", "h", "H", "i", "I", "q", "Q", "f", "d"])
@pytest.mark.parametrize("dtype", "fd")
def test_lines_are_converted(stored, dtype, rng):
    """The same bits as of data that was converted before; integers out are rounded and wrap."""
    x = random_array(rng, (2, 3000), stored)
    if x.dtype.kind in "iuf":
        x = (x % 100).astype("i1").astype(stored)  # whole numbers that every type holds
    w = rng.integers(-3, 4, 40).astype(dtype)
    plain = np.ascontiguousarray(x.astype(dtype))
    spectra = _core.line_fft_spectrum(w, 256), _core.four_step_spectrum(w, 1024)
    for target in "fdbHiQ" if dtype == "d" else "fd":
        results = []
        for data in (x, laid_out(x, "unaligned"), plain):
            lines, long = (laid_out(np.zeros(x.shape, target), "stepped") for _ in range(2))
            _core.line_fft_correlate(data, spectra[0], 40, lines, (0, -7), 48)
            _core.four_step_correlate(data, spectra[1], 40, long, (0, -7), 900)
            results.append((lines, long))
        for lines, long in results[1:]:
            np.testing.assert_array_equal(lines, results[0][0])
            np.testing.assert_array_equal(long, results[0][1])
        if target in "bHiQ":
            expected = correlate_reference(
                plain.astype("q"), w[None].astype("q"), x.shape, (0, -7), 0, 0, (0, 1)
            )
            for result in results[0]:
                np.testing.assert_array_equal(result, expected.astype(target))


@pytest.mark.parametrize("kind", ["lines", "long", "tiles"])
def test_chosen_blocks_and_marks(kind, rng):
    """Only what is chosen is written, and marks tell what a block met."""
    x, out = random_array(rng, (4, 4000), "f"), np.full((4, 4000), np.nan, "f")
    w = random_array(rng, (30,), "f")
    x[2, 1500], x[3, 3000] = np.nan, 1e30
    chosen = np.array([1, 6, 13, 14], np.intp)

    def run(**more):
        if kind == "lines":
            spectrum = _core.line_fft_spectrum(w, 1024)
            return _core.line_fft_correlate(x, spectrum, 30, out, (0, -15), 32, **more)
        if kind == "long":
            spectrum = _core.four_step_spectrum(w, 1024)
            return _core.four_step_correlate(x, spectrum, 30, out, (0, -15), 992, **more)
        spectrum = _core.tile_fft_spectrum(w[None], (16, 1024))
        return _core.tile_fft_correlate(
            x, spectrum, (16, 1024), (1, 30), out, (0, -15), (1, 992), **more
        )

    marks = run(need=1e-9, chosen=chosen, threads=2)
    assert marks.size == 4 * 5
    assert not marks[np.setdiff1d(np.arange(20), chosen)].any()
    written = np.zeros(x.shape, bool)
    for number in chosen:
        written[number // 5, number % 5 * 992 :][:992] = True
    np.testing.assert_array_equal(np.isnan(out), ~written)
    marks = run(need=1e-9)
    met = marks & _core.BLOCK_NONFINITE != 0
    np.testing.assert_array_equal(np.flatnonzero(met), [2 * 5 + 1])
    assert marks[3 * 5 + 3] & _core.BLOCK_OUT_OF_RANGE  # its squares are past the type
    strict = run(need=1e9)
    assert (strict & (_core.BLOCK_UNSURE | _core.BLOCK_OUT_OF_RANGE)).all()
    with pytest.raises(ValueError, match="chosen"):
        run(chosen=np.array([20], np.intp))
    with pytest.raises(ValueError, match="chosen"):
        run(chosen=np.array([0.0]))


def test_bad_long_lines_are_refused():
    w = np.ones(30, "f")
    for points in (512, 1000, 1 << 21):
        with pytest.raises(ValueError, match="power of two"):
            _core.four_step_spectrum(w, points)
        with pytest.raises(ValueError, match="power of two"):
            _core.four_step_scratch(w.dtype, points)
    spectrum, x = _core.four_step_spectrum(w, 1024), np.ones(2000, "f")
    for taps, step in ((30, 996), (30, 0), (0, 10)):
        with pytest.raises(ValueError, match=r"fit the points|a tap"):
            _core.four_step_correlate(x, spectrum, taps, np.ones_like(x), (0,), step)
    with pytest.raises(TypeError):
        _core.four_step_correlate(x, spectrum, 30, np.ones(2000, "i4"), (0,), 9)
    with pytest.raises(TypeError):
        _core.four_step_correlate(x.astype("F"), spectrum, 30, np.ones_like(x), (0,), 9)
    with pytest.raises(TypeError):
        _core.four_step_spectrum(np.ones(30, "F"), 1024)


# --- tiles of two and three axes ------------------------------------------------------------------

IMAGE_TILES = [(16, 16), (32, 64), (64, 16), (64, 64), (16, 256), (128, 64), (256, 128)]
VOLUME_TILES = [(16, 16, 16), (32, 16, 64), (16, 64, 32)]


def correlate_tiles(x, w, points, out_shape, offset, boundary=0, fill=0, threads=2):
    """Call the kernel itself, whatever layout the method would choose; leading axes are batches."""
    batches = x.ndim - w.ndim
    spectrum = _core.tile_fft_spectrum(w, points)
    out = np.full(out_shape, np.nan, x.dtype)
    element = np.array([fill], x.dtype) if boundary == Boundary.CONSTANT else None
    offset = (0,) * batches + tuple(offset)
    step = [p - t + 1 for p, t in zip(points, w.shape, strict=True)]
    marks = _core.tile_fft_correlate(
        x, spectrum, points, w.shape, out, offset, step, threads < 3, boundary, element, threads
    )
    assert not marks.any()
    return out


def check_tiles(x, w, out, offset, boundary=0, fill=0):
    batches = x.ndim - w.ndim
    kernel = w.reshape((1,) * batches + w.shape)
    axes = tuple(range(batches, x.ndim))
    offset = (0,) * batches + tuple(offset)
    expected = correlate_reference(x, kernel, out.shape, offset, boundary, fill, axes)
    repeats = sum(out.shape) // min(x.shape) + 2
    data = np.append(x, np.full(out.size, fill, x.dtype))
    assert_within(out, expected, 2 * fft_bound(data, w, x.dtype, repeats), x.dtype)


@pytest.mark.parametrize("dtype", "fd")
@pytest.mark.parametrize("points", IMAGE_TILES + VOLUME_TILES)
def test_tiles_of_every_size(points, dtype, rng):
    """Kernels up to the tile's size, outputs around multiples of what a tile gives."""
    large = np.prod(points) > 4096
    for part in (20,) if large else (1, 3, 2):
        taps = tuple(max(p // part - (part == 1), 1) for p in points)
        valid = [p - t + 1 for p, t in zip(points, taps, strict=True)]
        for more in (-1, 0, 1):
            side = 1 if len(points) == 3 else 2
            out = tuple(max(side * v + more, 1) for v in valid)
            x, w = random_array(rng, (2, *out), dtype), random_array(rng, taps, dtype)
            offset = tuple(-(t // 2) for t in taps)
            check_tiles(x, w, correlate_tiles(x, w, points, x.shape, offset), offset)


@pytest.mark.parametrize("taps", [(1, 1), (1, 16), (16, 1), (16, 16)])
def test_extreme_taps(taps, rng):
    x, w = random_array(rng, (3, 40, 50), "f"), random_array(rng, taps, "f")
    check_tiles(x, w, correlate_tiles(x, w, (16, 16), (3, 37, 41), (-2, -3)), (-2, -3))


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("dtype", "fd")
def test_boundaries_of_tiles(dtype, boundary, rng):
    """Data smaller and larger than the kernel and a tile, read from anywhere."""
    sides = (1, 2, 15, 16, 17, 40)
    for rows, columns in itertools.product(sides, repeat=2):
        taps = tuple(int(rng.choice([2, 3, 9, 16])) for _ in range(2))
        offset = tuple(int(rng.choice([-2 * t - 9, 1 - t, -(t // 2), 0, 3])) for t in taps)
        fill = 2 if boundary is Boundary.CONSTANT else 0
        x, w = random_array(rng, (rows, columns), dtype), random_array(rng, taps, dtype)
        shape = (rows + 5, columns + 30)
        out = correlate_tiles(x, w, (16, 32), shape, offset, boundary, fill)
        check_tiles(x, w, out, offset, boundary, fill)
        if rows + columns < 40:
            x, w = x.reshape(rows, 1, columns), random_array(rng, (3, *taps), dtype)
            out = correlate_tiles(x, w, (16, 16, 16), (4, *shape), (-1, *offset), boundary, fill)
            check_tiles(x, w, out, (-1, *offset), boundary, fill)


def image(x, w, dtype, axes=None, offset=None, out=None, boundary=Boundary.ZERO):
    axes = tuple(range(len(x))) if axes is None else axes
    offset = tuple(-(m // 2) for m in w) if offset is None else offset
    return Problem(x, w, x if out is None else out, axes, offset, np.dtype(dtype), boundary)


@pytest.mark.parametrize(
    ("shape", "kernel", "axes"),
    [
        ((110, 130), (15, 20), (0, 1)),
        ((30, 25, 40), (4, 5, 7), (0, 1, 2)),
        ((5, 90, 80), (1, 12, 9), (1, 2)),
        ((90, 80, 3), (12, 9, 1), (0, 1)),
        ((90, 3, 80), (12, 1, 9), (0, 2)),
        ((2, 17, 3, 20, 25), (1, 4, 1, 5, 6), (1, 3, 4)),
    ],
)
@pytest.mark.parametrize("layout", ["C", "F", "reversed", "stepped", "unaligned", "readonly"])
@pytest.mark.parametrize("dtype", "fd")
def test_layouts_of_images(dtype, layout, shape, kernel, axes, rng):
    x, w = random_array(rng, shape, dtype), random_array(rng, kernel, dtype)
    problem = image(shape, kernel, dtype, axes, boundary=Boundary.REFLECT)
    expected = correlate_reference(x, w, shape, problem.offset, Boundary.REFLECT, 0, axes)
    out = laid_out(np.zeros(shape, dtype), layout if layout != "readonly" else "stepped")
    solve(problem, laid_out(x, layout), laid_out(w, layout), out=out)
    assert_within(out, expected, 2 * fft_bound(x, w, dtype, 3), np.dtype(dtype))


@pytest.mark.parametrize("shape", [(300, 320), (60, 50, 70), (7, 90, 100)])
@pytest.mark.parametrize("dtype", "fd")
def test_same_bits_of_images_for_any_number_of_threads(dtype, shape, rng):
    kernel = (1, 20, 17) if shape[0] == 7 else (9,) * len(shape)
    axes = (1, 2) if shape[0] == 7 else tuple(range(len(shape)))
    x, w = random_array(rng, shape, dtype), random_array(rng, kernel, dtype)
    problem = image(shape, kernel, dtype, axes)
    one = solve(problem, x, w, threads=1)
    for threads in (2, 3, 5):
        np.testing.assert_array_equal(solve(problem, x, w, threads), one)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["data", "kernel"])
@pytest.mark.parametrize("shape", [(200, 210), (36, 38, 40)])
@pytest.mark.parametrize("dtype", "fd")
def test_nonfinite_values_of_images_touch_their_windows_only(dtype, shape, where, value, rng):
    w = random_array(rng, (11, 12, 5)[: len(shape)], dtype)
    w[(2,) * len(shape)] = 0
    x = random_array(rng, shape, dtype)
    problem = image(shape, w.shape, dtype)
    clean = solve(problem, x, w)
    if where == "data":
        x[(0,) * len(shape)] = x[(33,) * len(shape)] = value
    else:
        w[(-1,) * len(shape)] = value
    with np.errstate(invalid="ignore"):
        expected = correlate_reference(x, w, x.shape, problem.offset)
    result = solve(problem, x, w)
    touched = ~np.isfinite(expected)
    assert touched.any()
    np.testing.assert_array_equal(result[touched], expected[touched].astype(dtype))
    if where == "data":
        x[~np.isfinite(x)] = 0
        assert np.abs(result - clean)[~touched].max() <= 4 * fft_bound(x, w, dtype)


@pytest.mark.parametrize("dtype", "fd")
def test_finite_images_do_not_overflow_on_the_way(dtype):
    largest = float(np.finfo(dtype).max)
    x = np.full((300, 280), largest / 8, dtype)
    w = np.full((20, 20), 1e-3, dtype)
    result = solve(image(x.shape, w.shape, dtype), x, w)
    ones = correlate_reference(np.ones(x.shape), w, x.shape, (-10, -10))
    np.testing.assert_allclose(result / (largest / 8), ones.astype(float), rtol=1e-4)


def test_layouts_of_tiles():
    """Tiles hold their kernel, and all that they take is within the bound."""
    for dtype, side, taps in itertools.product("fd", (20, 100, 500, 1100), (2, 3, 16, 17, 65, 300)):
        for axes in (2, 3):
            problem = image((side,) * axes, (min(taps, side),) * axes, dtype)
            layout = tilefft.choose_layout(problem)
            if axes == 2 and taps < 300:
                assert layout is not None
            if layout is None:
                continue
            assert all(p >= min(taps, side) for p in layout.points)
            used = layout.shared + layout.threads * layout.workspace
            assert used <= problem.workspace_limit


def test_refusals():
    taps = np.dtype("f")
    assert tilefft.reject(line(100, 5, 100, 0, "?")) is Reason.DTYPE
    assert tilefft.reject(line(100, 5, 100, 0, "g")) is Reason.DTYPE
    assert tilefft.reject(line(100, 5, 100, 0, "i4")) is Reason.UNKNOWN_RANGE
    assert tilefft.reject(image((9, 9), (3, 3), "u8")) is Reason.UNKNOWN_RANGE
    wide = replace(line(100, 5, 100, 0, "i8"), magnitude=(2.0**40, 2.0**20))
    assert tilefft.reject(wide) is Reason.INEXACT
    assert tilefft.reject(replace(wide, magnitude=(2.0**16, 2.0**16))) is None
    assert tilefft.reject(line(100, 5, 100, 0, "u1")) is None
    assert tilefft.reject(image((9, 9), (3, 3), "F")) is Reason.NOT_TILED
    assert tilefft.reject(image((9,) * 4, (3,) * 4, "f")) is Reason.NOT_TILED
    assert tilefft.reject(image((9, 9), (1, 1), "f")) is Reason.NOT_TILED
    shifted = image((9, 9, 9), (3, 3, 1), "f", offset=(0, 0, 1))
    assert tilefft.reject(shifted) is Reason.NOT_TILED
    kernels = Problem((9, 90), (9, 5), (9, 90), (1,), (0, -2), taps)
    assert tilefft.reject(kernels) is Reason.NOT_TILED
    assert tilefft.reject(line(0, 5, 4, -4, "f")) is Reason.EMPTY
    assert tilefft.reject(line(10**7, 3 * 10**6, 10**7, 0, "f")) is Reason.WORKSPACE
    assert tilefft.reject(image((3000, 3000), (1500, 3), "f")) is Reason.WORKSPACE
    assert tilefft.reject(image((9, 9), (3, 3), "f")) is None


@pytest.mark.parametrize("points", [(8, 16), (16, 24), (16, 8192), (64,), (16, 16, 16, 16)])
def test_bad_tiles_are_refused(points):
    w = np.ones((3,) * len(points), "f")
    with pytest.raises(ValueError, match=r"powers of two|two or three axes"):
        _core.tile_fft_spectrum(w, points)
    with pytest.raises(ValueError, match=r"powers of two|two or three axes"):
        _core.tile_fft_scratch(w.dtype, points)


def test_what_does_not_fit_a_tile_is_refused():
    tile, x = (16, 16), np.ones((20, 20), "f")
    spectrum = _core.tile_fft_spectrum(np.ones((3, 3), "f"), tile)
    with pytest.raises(ValueError, match="fit the tile"):
        _core.tile_fft_spectrum(np.ones((3, 17), "f"), tile)
    with pytest.raises(ValueError, match="contiguous"):
        _core.tile_fft_spectrum(np.ones(3, "f"), tile)
    with pytest.raises(TypeError):
        _core.tile_fft_spectrum(np.ones((3, 3), "F"), tile)
    with pytest.raises(ValueError, match="fit the tile"):
        _core.tile_fft_correlate(x, spectrum, tile, (3, 17), np.ones_like(x), (0, 0), (14, 1))
    with pytest.raises(ValueError, match="fit each other"):
        _core.tile_fft_correlate(
            x, spectrum[2:].copy(), tile, (3, 3), np.ones_like(x), (0, 0), (14, 14)
        )
    with pytest.raises(TypeError):
        _core.tile_fft_correlate(
            x, spectrum, tile, (3, 3), np.ones((20, 20), "F"), (0, 0), (14, 14)
        )
    with pytest.raises(ValueError, match="batches"):
        _core.tile_fft_correlate(
            np.ones((2, 20, 20), "f"),
            spectrum,
            tile,
            (3, 3),
            np.ones((1, 20, 20), "f"),
            (0, 0, 0),
            (14, 14),
        )


@pytest.mark.parametrize("points", [3, 63, 96])
def test_bad_lengths_are_refused(points):
    with pytest.raises(ValueError, match="power of two"):
        _core.line_fft_spectrum(np.ones(3, "f"), points)


@pytest.mark.parametrize("skip", [3, 16, 64, -16])
def test_bad_skips_are_refused(skip):
    spectrum = _core.line_fft_spectrum(np.ones(30, "f"), 64)
    with pytest.raises(ValueError, match="fit each other"):
        _core.line_fft_correlate(np.ones(99, "f"), spectrum, 30, np.ones(99, "f"), (0,), skip)


def exhaustive(out, taps, others, lanes, scalar, most, costs, levels):
    """The least seconds of all tiles, in plain Python, and how they were cut."""
    flop, line, forks, cores, speedup = costs
    sides = []
    for axis, (n, k) in enumerate(zip(out, taps, strict=True)):
        fitting = []
        for points in (16 << p for p in range(7)):
            valid = points - k + 1
            if valid < max(min(points // 8, n), 1):
                continue
            step = -(-n // -(-n // valid))
            whole = -(-step // lanes) * lanes if axis == len(out) - 1 else step
            step = whole if whole <= valid else step
            fitting.append((points, -(-n // step), step, step + k - 1))
            if valid >= n:
                break
        sides.append(fitting)
    best = (math.inf,)
    for tile in itertools.product(*sides):
        *others_, last = tile
        points = math.prod(side[0] for side in tile)
        if points > most:
            continue
        share = (last[3] + last[2]) / last[0]
        across = sum(math.log2(side[0]) for side in others_)
        left = next((s for size, s in levels if 2 * points * scalar <= size), levels[-1][1])
        flops = 5 * points * (share * across + 2 * math.log2(last[0])) / left
        lines = 2 * sum(math.prod(side[i] for side in others_) for i in (2, 3))
        pairs = -(-others * math.prod(side[1] for side in tile) // 2)
        pair = flops * flop + lines * line
        seconds = min(-(-pairs // cores) * pair, pairs * (pair / speedup + forks))
        best = min(best, (seconds, tuple(side[0] for side in tile), pairs, flops, lines))
    return best


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_tiles_are_cut_as_cheaply_as_can_be(dtype, rng):
    dtype = np.dtype(dtype)
    costs, levels = (30e-12, 20e-9, 20e-6, 2, 1.9), ((256 << 10, 1.0), (1 << 20, 0.9), (1, 0.7))
    for _ in range(50):
        axes = int(rng.integers(2, 4))
        out = [int(n) for n in np.exp(rng.uniform(0, 8 - axes, axes)).round()]
        taps = [int(n) for n in np.exp(rng.uniform(0, 6, axes)).round()]
        others, most = int(rng.integers(1, 5)), 1 << int(rng.integers(8, 23))
        found = _core.cheapest_tiles(out, taps, others, dtype, most, costs, levels)
        lanes = _core.line_fft_lanes(dtype)
        best = exhaustive(out, taps, others, lanes, dtype.itemsize, most, costs, levels)
        if found is None:
            assert best == (math.inf,)
            continue
        points, step, pairs, flops, lines = found
        pair = flops * costs[0] + lines * costs[1]
        seconds = min(-(-pairs // 2) * pair, pairs * (pair / costs[4] + costs[2]))
        assert seconds == pytest.approx(best[0])
        for n, k, p, s in zip(out, taps, points, step, strict=True):
            assert 1 <= s <= p - k + 1
            assert s <= -(-n // lanes) * lanes


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"out": [5]}, ValueError),
        ({"out": [5, 0]}, ValueError),
        ({"taps": [0, 3]}, ValueError),
        ({"dtype": np.dtype("i4")}, ValueError),
        ({"levels": ()}, ValueError),
        ({"levels": ((1, 1.0),) * 9}, ValueError),
        ({"costs": (1e-9, 1e-9, 0.0, 0, 1.0)}, ValueError),
    ],
)
def test_tiles_of_nonsense_are_refused(changes, error):
    given = {
        "out": [5, 6],
        "taps": [2, 3],
        "others": 1,
        "dtype": np.dtype("f4"),
        "most_points": 1 << 20,
        "costs": (1e-9, 1e-9, 0.0, 1, 1.0),
        "levels": ((1 << 20, 1.0),),
    }
    assert _core.cheapest_tiles(*given.values()) is not None
    with pytest.raises(error):
        _core.cheapest_tiles(*(given | changes).values())
