"""Sums over windows and what they make of numerators: every edge of lanes, chunks and tiles."""

import numpy as np
import pytest
from arrays import NATIVE_LAYOUTS, Guarded, laid_out
from matches import MEASURES, match_reference, windows

from fastconv._native import _core
from fastconv._problem import Boundary

STORED = "?bBhHiIqQfd"
PAD_MODES = {
    Boundary.ZERO: ("constant", {}),
    Boundary.CONSTANT: ("constant", {"constant_values": 3}),
    Boundary.REFLECT: ("symmetric", {}),
    Boundary.MIRROR: ("reflect", {}),
    Boundary.NEAREST: ("edge", {}),
    Boundary.WRAP: ("wrap", {}),
}


def pixels(rng, shape, dtype):
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    if dtype.kind in "iu":
        return rng.integers(0, 100, shape).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)


def finish(x, t, measure, result, x_extended=None, offset=None, boundary=0, threads=1, level=0.0):
    """Fill `result` from exact numerators; returns the reference and the counts of tiles."""
    dtype = result.dtype
    inner = (x if x_extended is None else x_extended).astype(np.longdouble)
    t = t.astype(np.longdouble)
    deviations = t - t.mean()
    norm, energy = np.sqrt((deviations**2).sum()), np.sqrt((t**2).sum())
    kernel = (deviations / norm if norm else 0 * deviations).astype(dtype)
    scale, centre = 0.25, 2.0
    w, axes = windows((inner - centre) * scale, t.shape)
    result[...] = (w * kernel.astype(np.longdouble)).sum(axes)
    factors = {
        "pixels": t.size,
        "tilt": float(kernel.sum(dtype=float)),
        "of_product": 1.0,
        "of_mean": 0.0,
        "of_all": 1.0,
        "mean": float(t.mean() * scale),
        "norm": float(norm * scale),
        "empty": float(measure == "sqdiff_normed" and energy > 0),
        "flat": 2 * sum(t.shape) * np.finfo(float).eps / 2,
        "unsure": 0.0,
        "floor": 0.0,
    }
    if measure in ("ccorr", "ccoeff"):
        factors["of_product"] = float(norm / scale)
        factors["of_mean"] = float(t.mean() * t.size / scale)
    elif measure == "ccorr_normed":
        factors["of_product"] = float(norm / energy)
        factors["of_mean"] = float(t.mean() * t.size / energy)
    elif measure == "sqdiff":
        factors["of_all"] = scale**-2
    elif measure == "sqdiff_normed":
        factors["of_all"] = float(1 / (energy * scale)) if energy else np.inf
    offset = (0,) * x.ndim if offset is None else offset
    fill = np.array([3], dtype) if boundary == Boundary.CONSTANT else None
    number = MEASURES.index(measure)
    unsure = _core.finish_match(
        x, result, t.shape, offset, boundary, fill, scale, centre, level, number, factors, threads
    )
    expected = match_reference(inner, t, measure)
    return expected, tolerance_of(expected, inner - level, t, measure, dtype), unsure


def tolerance_of(expected, x, t, measure, dtype):
    """Numerators round once, then some ten operations do; sums round in double precision."""
    size = max(1.0, float(np.abs(expected).max()))
    tolerance = 16 * np.finfo(dtype).eps * size * np.sqrt(t.size)
    if measure != "ccoeff_normed":
        return tolerance
    w, axes = windows(x, t.shape)
    square = w.var(axes)
    condition = (w**2).mean(axes) / np.where(square > 0, square, np.inf)
    return (tolerance + 16 * np.finfo(float).eps * condition).astype(float)


def check(result, expected, tolerance):
    np.testing.assert_array_less(np.abs(result - expected).astype(float), tolerance)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("dtype", "fd")
def test_every_extent_around_the_lanes(dtype, measure, rng):
    for columns in (1, 2, 3, 7, 8, 9, 15, 16, 17, 33, 64, 65, 130):
        for taps in ((1, 1), (1, 3), (3, 1), (2, 8), (5, 9)):
            x = pixels(rng, (taps[0] + 8, columns + taps[1] - 1), dtype)
            t = pixels(rng, taps, dtype) + 1
            out = Guarded((9, columns), dtype)
            expected, tolerance, _ = finish(x, t, measure, out.array)
            check(out.take(), expected, tolerance)


@pytest.mark.parametrize("measure", MEASURES)
def test_tiles(measure, rng):
    taps = (3, 5)
    tile = _core.match_tile(taps, (10_000, 100_000))
    assert tile[0] < 10_000
    assert tile[1] < 100_000
    # Rows and columns one past a tile: extents that keep the reference small.
    for out in ((tile[0] + 1, 9), (3, tile[1] + 1)):
        x = pixels(rng, tuple(n + m - 1 for n, m in zip(out, taps, strict=True)), "f")
        t = pixels(rng, taps, "f")
        result = Guarded(out, "f")
        expected, tolerance, unsure = finish(x, t, measure, result.array)
        assert unsure.size == 2
        check(result.take(), expected, tolerance)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("dtype", "fd")
def test_volumes(dtype, measure, rng):
    for out, taps in (
        ((1, 1, 1), (2, 2, 2)),
        ((7, 9, 11), (3, 2, 4)),
        ((30, 5, 9), (5, 3, 2)),
        ((3, 4, 140), (2, 3, 1)),
        ((4, 5, 6), (1, 3, 2)),
    ):
        x = pixels(rng, tuple(n + m - 1 for n, m in zip(out, taps, strict=True)), dtype)
        t = pixels(rng, taps, dtype)
        result = Guarded(out, dtype)
        expected, tolerance, _ = finish(x, t, measure, result.array)
        check(result.take(), expected, tolerance)


@pytest.mark.parametrize("layout", NATIVE_LAYOUTS)
@pytest.mark.parametrize("stored", STORED)
def test_stored_types_and_layouts(stored, layout, rng):
    x = laid_out(pixels(rng, (20, 23), stored), layout)
    dtype = "f" if stored == "f" else "d"
    t = pixels(rng, (4, 5), "d")
    if not x.flags.aligned:
        with pytest.raises(ValueError, match="aligned"):
            finish(x, t, "ccoeff_normed", np.empty((17, 19), dtype))
        return
    out = Guarded((17, 19), dtype)
    expected, tolerance, _ = finish(x, t, "ccoeff_normed", out.array)
    check(out.take(), expected, tolerance)


@pytest.mark.parametrize("boundary", PAD_MODES)
@pytest.mark.parametrize("stored", "Bfd")
def test_boundaries(stored, boundary, rng):
    mode, rest = PAD_MODES[boundary]
    for shape, taps in (((9, 40), (4, 7)), ((6, 7, 9), (3, 4, 5))):
        x, t = pixels(rng, shape, stored), pixels(rng, taps, "d")
        around = [(m // 2, m - 1 - m // 2) for m in taps]
        out = Guarded(shape, "f" if stored == "f" else "d")
        expected, tolerance, _ = finish(
            x,
            t,
            "ccorr_normed",
            out.array,
            np.pad(x, around, mode, **rest),
            [-before for before, _ in around],
            boundary,
        )
        check(out.take(), expected, tolerance)


@pytest.mark.parametrize("measure", MEASURES)
def test_level_does_not_matter_but_for_rounding(measure, rng):
    x, t = pixels(rng, (30, 40), "d") + 5, pixels(rng, (6, 7), "d")
    for level in (0.0, 5.0, -3.0):
        out = np.empty((25, 34))
        expected, tolerance, _ = finish(x, t, measure, out, level=level)
        check(out, expected, tolerance)


@pytest.mark.parametrize("measure", MEASURES)
def test_threads_give_the_same_bits(measure, rng):
    x, t = pixels(rng, (700, 300), "f"), pixels(rng, (9, 8), "f")
    results = []
    for threads in (1, 2, 3, 8):
        out = np.full((692, 293), 0.25, "f")
        _core.finish_match(
            x, out, t.shape, (0, 0), 0, None, 0.25, 0.0, 0.0, MEASURES.index(measure),
            {
                "pixels": t.size, "tilt": 0.0, "of_product": 1.0, "of_mean": 0.5, "of_all": 1.0,
                "mean": 0.1, "norm": 1.0, "empty": 0.0, "flat": 1e-14, "unsure": 0.0, "floor": 0.0,
            },
            threads,
        )  # fmt: skip
        results.append(out.tobytes())
    assert len(set(results)) == 1


def test_unsure_windows_are_counted(rng):
    x = pixels(rng, (20, 30), "d")
    x[:, :15] *= 1e-9
    t = pixels(rng, (3, 4), "d")
    factors = {
        "pixels": 12, "tilt": 0.0, "of_product": 1.0, "of_mean": 0.0, "of_all": 1.0, "mean": 0.0,
        "norm": 1.0, "empty": 0.0, "flat": 1e-14, "unsure": 0.0, "floor": 1e-10,
    }  # fmt: skip
    out = np.zeros((18, 27))
    unsure = _core.finish_match(
        x, out, t.shape, (0, 0), 0, None, 1.0, 0.0, 0.0, MEASURES.index("ccoeff_normed"), factors
    )
    assert unsure.tolist() == [[18 * 12]]


@pytest.mark.parametrize("dtype", "fd")
def test_nonfinite_pixels_stay_in_their_windows(dtype, rng):
    for value in (np.nan, np.inf, -np.inf):
        x, t = pixels(rng, (40, 50), dtype), pixels(rng, (7, 6), dtype)
        out = np.zeros((34, 45), dtype)
        x[20, 30] = value
        for measure in MEASURES:
            with np.errstate(invalid="ignore"):
                finish(x, t, measure, out)
            found = np.isnan(out)
            assert found.sum() == 42, measure
            assert found[14:21, 25:31].all()


@pytest.mark.parametrize("stored", STORED)
def test_pixels_are_looked_at_and_centred(stored, rng):
    dtype = np.dtype("f" if stored == "f" else "d")
    for shape in ((1, 1), (5, 7), (70, 33), (3, 4, 9)):
        x = pixels(rng, shape, stored)
        numbers = x.astype(float)
        total, least, most, count = _core.look_at_image(x, dtype, 2)
        assert (least, most, count) == (numbers.min(), numbers.max(), x.size)
        assert total == pytest.approx(numbers.sum(), rel=1e-14, abs=1e-12)
        out = Guarded(shape, dtype)
        squares = _core.centre_image(x, out.array, 1.0, 0.5, 2)
        centred = out.take()
        np.testing.assert_array_equal(centred, ((numbers - 1) * 0.5).astype(dtype))
        assert squares == pytest.approx((((numbers - 1) * 0.5) ** 2).sum(), rel=1e-14)


@pytest.mark.parametrize("dtype", "fd")
def test_nonfinite_pixels_are_left_out(dtype):
    x = np.array([[1, np.nan, 3, np.inf], [-np.inf, -2, 7, 1]], dtype)
    assert _core.look_at_image(x, x.dtype) == (10, -2, 7, 5)
    out = np.empty_like(x)
    assert _core.centre_image(x, out, 1.0, 1.0) == 0 + 4 + 9 + 36 + 0
    np.testing.assert_array_equal(out, [[0, 0, 2, 0], [0, -3, 6, 0]])


def test_arguments_are_checked(rng):
    x = pixels(rng, (9, 9), "d")
    with pytest.raises(ValueError, match="contiguous"):
        _core.centre_image(x, np.empty((9, 8)), 0.0, 1.0)
    with pytest.raises(TypeError, match="complex128"):
        _core.look_at_image(x.astype(complex), x.dtype)
    with pytest.raises(ValueError, match="two or three axes"):
        _core.look_at_image(x[0], x.dtype)
    with pytest.raises(ValueError, match="entry for each axis"):
        _core.match_tile((3, 3, 3), (5, 5))
    with pytest.raises(ValueError, match="positive"):
        _core.match_tile((3, 0), (5, 5))
