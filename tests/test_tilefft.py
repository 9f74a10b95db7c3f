"""Overlap-save in lanes: every length, dtype and boundary, batches, edges and non-finite data."""

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
        n = 5 * points + 7
        x, w = random_array(rng, (3, n), dtype), random_array(rng, (taps,), dtype)
        skip = -(-(taps - 1) // lanes) * lanes
        out = np.zeros((3, n), dtype)
        spectrum = _core.line_fft_spectrum(w, points)
        met = _core.line_fft_correlate(x, spectrum, taps, out, (0, -(taps // 2)), skip)
        assert met == (0, 0)
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


def test_refusals():
    taps = np.dtype("f")
    assert tilefft.reject(line(100, 5, 100, 0, "i4")) is Reason.DTYPE
    image = Problem((9, 9), (3, 3), (9, 9), (0, 1), (-1, -1), taps)
    assert tilefft.reject(image) is None
    assert tilefft.reject(replace(image, dtype=np.dtype("F"))) is Reason.NOT_TILED
    assert tilefft.reject(replace(image, cut=np.dtype("B"))) is Reason.CUT
    passes = replace(image, lines=(0, 1), boundary=Boundary.CONSTANT, fill=2.0)
    assert tilefft.reject(passes) is Reason.PASSES
    four = Problem((9,) * 4, (3,) * 4, (9,) * 4, (0, 1, 2, 3), (-1,) * 4, taps)
    assert tilefft.reject(four) is Reason.NOT_TILED
    kernels = Problem((9, 90), (9, 5), (9, 90), (1,), (0, -2), taps)
    assert tilefft.reject(kernels) is Reason.NOT_TILED
    assert tilefft.reject(line(0, 5, 4, -4, "f")) is Reason.EMPTY
    assert tilefft.reject(line(10**6, 10**5, 10**6, 0, "f")) is Reason.WORKSPACE


@pytest.mark.parametrize("points", [3, 63, 96])
def test_bad_lengths_are_refused(points):
    with pytest.raises(ValueError, match="power of two"):
        _core.line_fft_spectrum(np.ones(3, "f"), points)


@pytest.mark.parametrize("skip", [3, 16, 64, -16])
def test_bad_skips_are_refused(skip):
    spectrum = _core.line_fft_spectrum(np.ones(30, "f"), 64)
    with pytest.raises(ValueError, match="fit each other"):
        _core.line_fft_correlate(np.ones(99, "f"), spectrum, 30, np.ones(99, "f"), (0,), skip)


# --- tiles: images and volumes --------------------------------------------------------------------

IMAGES = [((40, 70), (5, 9)), ((130, 65), (33, 2)), ((170, 140), (20, 31)), ((9, 13), (25, 30))]
VOLUMES = [((20, 30, 40), (3, 5, 7)), ((19, 17, 40), (2, 9, 12))]


def tiles(shape, taps, dtype, boundary=Boundary.ZERO, fill=0, offset=None):
    offset = tuple(-(k // 2) for k in taps) if offset is None else offset
    axes = tuple(range(len(shape)))
    return Problem(shape, taps, shape, axes, offset, np.dtype(dtype), boundary, fill)


def check_tiles(problem, x, w, out):
    rest = problem.out, problem.offset, problem.boundary, problem.fill, problem.axes
    expected = correlate_reference(x, w, *rest)
    repeats = max(-(-k // n) for n, k in zip(x.shape, w.shape, strict=True)) + 2
    data = np.append(x, np.full(x.size, problem.fill, x.dtype))
    bound = 2 * fft_bound(data, w, problem.dtype, repeats**2)
    assert_within(out, expected, bound, problem.dtype)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("dtype", "fd")
def test_tiles_of_images_and_volumes(dtype, boundary, rng):
    fill = 2 if boundary is Boundary.CONSTANT else 0
    for shape, taps in IMAGES + VOLUMES:
        problem = tiles(shape, taps, dtype, boundary, fill)
        x, w = random_array(rng, shape, dtype), random_array(rng, taps, dtype)
        check_tiles(problem, x, w, solve(problem, x, w))


@pytest.mark.parametrize("dtype", "fd")
def test_tiles_at_the_edges_of_their_valid_size(dtype, rng):
    """One output less and more than whole tiles give, with windows that begin anywhere."""
    taps = (11, 13)
    points = tilefft.choose_layout(tiles((500, 500), taps, dtype)).points
    valid = [n - k + 1 for n, k in zip(points, taps, strict=True)]
    for extra in (-1, 0, 1):
        shape = tuple(2 * v + extra for v in valid)
        for offset in ((-10, -12), (0, 0), (-5, 3)):
            problem = tiles(shape, taps, dtype, Boundary.REFLECT, offset=offset)
            x, w = random_array(rng, shape, dtype), random_array(rng, taps, dtype)
            check_tiles(problem, x, w, solve(problem, x, w))


@pytest.mark.parametrize("layout", ["reversed", "stepped", "transposed", "unaligned", "readonly"])
@pytest.mark.parametrize("dtype", "fd")
def test_layouts_of_batches_of_images(dtype, layout, rng):
    x, w = random_array(rng, (3, 90, 120), dtype), random_array(rng, (1, 12, 15), dtype)
    problem = Problem(x.shape, w.shape, x.shape, (1, 2), (0, -6, -7), np.dtype(dtype))
    expected = correlate_reference(x, w, x.shape, problem.offset, 0, 0, (1, 2))
    out = laid_out(np.zeros(x.shape, dtype), layout if layout != "readonly" else "stepped")
    solve(problem, laid_out(x, layout), laid_out(w, layout), out=out)
    assert_within(out, expected, 2 * fft_bound(x, w, dtype), np.dtype(dtype))


@pytest.mark.parametrize("dtype", "fd")
def test_tiles_give_the_same_bits_for_any_number_of_threads(dtype, rng):
    problem = tiles((3 * 150, 500), (20, 30), dtype, Boundary.WRAP)
    x, w = random_array(rng, problem.x, dtype), random_array(rng, problem.w, dtype)
    one = solve(problem, x, w, threads=1)
    for threads in (2, 3, 5):
        np.testing.assert_array_equal(solve(problem, x, w, threads), one)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", "fd")
def test_nonfinite_pixels_touch_their_windows_only(dtype, value, rng):
    problem = tiles((150, 170), (15, 12), dtype)
    x, w = random_array(rng, problem.x, dtype), random_array(rng, problem.w, dtype)
    w[3, 4] = 0
    clean = solve(problem, x, w)
    x[[0, 70, 149], [5, 80, 169]] = value
    for sparse in (False, True):
        asked = replace(problem, sparse=sparse)
        with np.errstate(invalid="ignore"):
            expected = correlate_reference(x, w, x.shape, problem.offset, 0, 0, (0, 1))
        if sparse:  # the tap that is zero does not meet them
            bad = ~np.isfinite(x)
            met = correlate_reference(bad * 1.0, (w != 0) * 1.0, x.shape, problem.offset) > 0
            expected = np.where(met, expected, 0)
        result = solve(asked, x, w)
        touched = ~np.isfinite(expected)
        assert touched.any()
        assert np.array_equal(touched, ~np.isfinite(result))
        bound = 4 * fft_bound(np.nan_to_num(x, posinf=0, neginf=0), w, dtype)
        assert np.abs(result - clean)[~touched].max() <= bound


@pytest.mark.parametrize("dtype", "fd")
def test_finite_images_do_not_overflow_on_the_way(dtype):
    largest = float(np.finfo(dtype).max)
    problem = tiles((120, 150), (20, 20), dtype, Boundary.NEAREST)
    w = np.full(problem.w, 1 / 400, dtype)
    result = solve(problem, np.full(problem.x, largest / 8, dtype), w)
    np.testing.assert_allclose(result, largest / 8, rtol=1e-4)
