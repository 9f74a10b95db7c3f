"""match_template: scikit-image's contract, OpenCV's measures, and what neither of them promises."""

import inspect

import numpy as np
import pytest
from arrays import LAYOUTS, Guarded, laid_out
from hypothesis import given, settings
from hypothesis import strategies as st
from matches import MEASURES, extended, match_bound, match_reference

import fastconv
from fastconv import match_template

NORMED = [m for m in MEASURES if m.endswith("normed")]
PAD_MODES = ("constant", "reflect", "symmetric", "edge", "wrap")
OTHER_PAD_MODES = ("linear_ramp", "maximum", "mean", "median", "minimum")
DOT = np.array([[0.0, 0, 0], [0, 1, 0], [0, 0, 0]])


def pictures(rng, shape, taps, dtype="d", at=None):
    """An image, and the part of it at a place."""
    image = (rng.random(shape) * 200).astype(dtype)
    at = [(n - m) // 2 for n, m in zip(shape, taps, strict=True)] if at is None else at
    part = image[tuple(slice(i, i + m) for i, m in zip(at, taps, strict=True))]
    return image, part.copy()


def assert_matches(result, image, template, measure, dtype=None):
    """The result is the measure, to within what its docstring says."""
    dtype = result.dtype if dtype is None else dtype
    expected = match_reference(image, template, measure)
    assert result.shape == expected.shape
    bound = match_bound(image, template, measure, dtype)
    off = np.abs(result - expected)
    assert (off <= bound).all(), f"{measure}: {float((off / bound).max()):.2f} times the bound"


# Values -------------------------------------------------------------------------------------------


def test_by_hand():
    image = np.zeros((5, 6))
    image[2, 3] = 9
    # One pixel of nine stands out in the window and in the template: the coefficient is
    # (0 - 1/9)/(1 - 1/9) = -1/8 where they are not the same one.
    expected = np.full((3, 4), -1 / 8)
    expected[1, 2], expected[:, 0] = 1, 0
    np.testing.assert_allclose(match_template(image, DOT), expected, rtol=0, atol=1e-15)


def test_every_measure_by_hand():
    image, template = np.array([[1.0, 2, 3]]), np.array([[3.0, 1]])
    root = np.sqrt
    expected = {
        "sqdiff": [4 + 1, 1 + 4],
        "sqdiff_normed": [5 / root(5 * 10), 5 / root(13 * 10)],
        "ccorr": [3 + 2, 6 + 3],
        "ccorr_normed": [5 / root(5 * 10), 9 / root(13 * 10)],
        "ccoeff": [-1, -1],  # (-½, ½) · (1, -1)
        "ccoeff_normed": [-1, -1],
    }
    assert tuple(expected) == MEASURES
    for measure, values in expected.items():
        result = match_template(image, template, method=measure)
        np.testing.assert_allclose(result, [values], rtol=1e-14, err_msg=measure)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("dtype", "fd")
@pytest.mark.parametrize(
    ("shape", "taps"),
    [
        ((1, 1), (1, 1)),
        ((1, 9), (1, 4)),
        ((9, 1), (4, 1)),
        ((7, 7), (7, 7)),
        ((40, 50), (5, 8)),
        ((90, 100), (24, 31)),
        ((12, 13, 14), (3, 4, 5)),
        ((24, 30, 20), (11, 12, 9)),
    ],
)
def test_reference(shape, taps, dtype, measure, rng):
    image, template = pictures(rng, shape, taps, dtype)
    template = template + rng.standard_normal(taps).astype(dtype)
    result = match_template(image, template, method=measure)
    assert result.dtype == dtype
    assert_matches(result, image, template, measure)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("mode", [*PAD_MODES, *OTHER_PAD_MODES])
def test_padding(mode, measure, rng):
    for shape, taps in (((20, 25), (5, 8)), ((7, 8, 9), (4, 3, 5)), ((6, 5), (6, 5))):
        image, template = pictures(rng, shape, taps)
        result = match_template(image, template, True, mode, method=measure)
        assert result.shape == shape
        if mode in OTHER_PAD_MODES:  # whose values depend on how far they reach
            whole = np.pad(image, [(m, m) for m in taps], mode)
            around = whole[
                tuple(
                    slice(m - m // 2, n + 2 * m - 1 - m // 2)
                    for n, m in zip(shape, taps, strict=True)
                )
            ]
        else:
            around = extended(image, taps, mode)
        assert_matches(result, around, template, measure)


@pytest.mark.parametrize("value", [7, -2.5, ((1, 2), (3, 4))])
def test_constant_values(value, rng):
    image, template = pictures(rng, (20, 25), (4, 7))
    result = match_template(image, template, True, constant_values=value)
    around = np.pad(image, [(2, 1), (3, 3)], constant_values=value)
    assert_matches(result, around, template, "ccoeff_normed")
    whole = match_template(image.astype(np.uint8), template, True, constant_values=value)
    around = np.pad(image.astype(np.uint8).astype(float), [(2, 1), (3, 3)], constant_values=value)
    assert_matches(whole, around, template, "ccoeff_normed")


# The others ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("pad_input", [False, True])
@pytest.mark.parametrize("mode", [*PAD_MODES, *OTHER_PAD_MODES])
def test_scikit_image(mode, pad_input, rng):
    feature = pytest.importorskip("skimage.feature", reason="scikit-image, whose contract this is")
    for shape, taps in (((30, 41), (7, 10)), ((21, 22), (9, 9)), ((9, 10, 11), (4, 3, 2))):
        for dtype in ("d", "u1", "f"):
            image, template = pictures(rng, shape, taps, dtype)
            theirs = feature.match_template(image, template, pad_input, mode)
            ours = match_template(image, template, pad_input, mode)
            assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
            # Theirs are differences of sums over the whole image, which err by all of it.
            eps = np.finfo(ours.dtype).eps
            tolerance = 8 * eps * image.size
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance)


def test_signature_is_scikit_images():
    feature = pytest.importorskip("skimage.feature", reason="scikit-image, whose contract this is")
    ours, theirs = (
        [(p.name, p.kind, p.default) for p in inspect.signature(f).parameters.values()]
        for f in (match_template, feature.match_template)
    )
    assert ours[:-2] == theirs
    keyword = inspect.Parameter.KEYWORD_ONLY
    assert ours[-2:] == [("method", keyword, "ccoeff_normed"), ("accuracy", keyword, "default")]


@pytest.mark.parametrize("measure", MEASURES)
def test_opencv(measure, rng):
    cv2 = pytest.importorskip("cv2", reason="opencv-python-headless, to compare with")
    for shape, taps in (((60, 70), (9, 7)), ((150, 160), (32, 33))):
        image, template = pictures(rng, shape, taps, "f")
        theirs = cv2.matchTemplate(image, template, getattr(cv2, f"TM_{measure.upper()}"))
        ours = match_template(image, template, method=measure)
        # Both within the bound of the truth, but for OpenCV's sums of the template in float32.
        bound = 4 * match_bound(image, template, measure, np.float32)
        assert (np.abs(ours - theirs) <= bound).all()


# Types and layouts --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", "?bBhHiIqQefdg")
def test_dtypes(dtype, rng):
    image, template = pictures(rng, (30, 40), (5, 6))
    image = image > 100 if dtype == "?" else (image / 2).astype(dtype)
    result = match_template(image, template)
    assert result.dtype == (np.float32 if dtype in "ef" else np.float64)
    assert_matches(result, image, template, "ccoeff_normed")
    other = match_template(template, image[:4, :4])
    assert other.dtype == np.float64


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["u1", "f", "d"])
def test_layouts(dtype, layout, rng):
    for shape, taps in (((30, 40), (5, 6)), ((8, 9, 10), (3, 2, 4))):
        image, template = pictures(rng, shape, taps, dtype)
        expected = match_template(image, template, True, "wrap")
        arranged = laid_out(image, layout), laid_out(template, layout)
        kept = [a.tobytes() for a in arranged]
        np.testing.assert_array_equal(match_template(*arranged, True, "wrap"), expected)
        assert [a.tobytes() for a in arranged] == kept


def test_lists_are_arrays():
    result = match_template([[1, 2, 4], [0, 3, 1]], [[1, 2]])
    np.testing.assert_allclose(result, [[1, 1], [1, -1]], atol=1e-15)


# Edges of the definition --------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, -7.3, 1e-20, 1e20])
@pytest.mark.parametrize("dtype", "fd")
def test_flat_windows_are_zero(dtype, value, rng):
    image = np.full((60, 70), value, dtype)
    image[:, 40:] += (rng.random((60, 30)) * (abs(value) or 1)).astype(dtype)
    template = image[10:17, 45:54].copy()
    for measure in ("ccoeff", "ccoeff_normed"):
        result = match_template(image, template, method=measure)
        assert not result[:, :32].any()
        assert result[:, 32:].any()
    assert match_template(image, template)[10, 45] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("dtype", ["u1", "f", "d"])
def test_flat_templates_and_images(dtype, rng):
    image, _ = pictures(rng, (20, 30), (3, 3), dtype)
    template = np.full((4, 5), 7, dtype)
    assert not match_template(image, template).any()
    assert not match_template(image, template, method="ccoeff").any()
    for measure in MEASURES:
        flat = np.full((9, 8), 3, dtype)
        assert_matches(match_template(flat, template, method=measure), flat, template, measure)
        assert_matches(match_template(image, template, method=measure), image, template, measure)
        one = np.full((1, 1), 2, dtype)
        assert_matches(match_template(image, one, method=measure), image, one, measure)


def test_zero_denominators(rng):
    image, template = pictures(rng, (20, 30), (3, 4))
    image[:10] = 0
    nothing = np.zeros((3, 4))
    squares = match_template(image, template, method="sqdiff_normed")
    assert (squares[:8] == 1).all()
    squares = match_template(image, nothing, method="sqdiff_normed")
    assert (squares[:8] == 0).all()
    assert (squares[10:] == 1).all()
    products = match_template(image, template, method="ccorr_normed")
    assert not products[:8].any()
    assert products[10:].all()
    assert not match_template(image, nothing, method="ccorr_normed").any()


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", "fd")
def test_nonfinite_pixels_touch_their_windows_alone(dtype, value, measure, rng):
    for shape, taps, at in (((100, 120), (16, 21), (50, 60)), ((12, 13, 9), (3, 4, 2), (5, 6, 3))):
        image, template = pictures(rng, shape, taps, dtype)
        image[at] = 0
        expected = match_template(image, template, method=measure)
        image[at] = value
        result = match_template(image, template, method=measure)
        touched = np.zeros(result.shape, bool)
        touched[tuple(slice(i - m + 1, i + 1) for i, m in zip(at, taps, strict=True))] = True
        assert np.isnan(result[touched]).all()
        bound = 2 * match_bound(np.where(np.isfinite(image), image, 0), template, measure, dtype)
        assert (np.abs(result - expected)[~touched] <= bound[~touched]).all()


def test_nonfinite_templates_and_edges(rng):
    image, template = pictures(rng, (20, 30), (3, 4))
    result = match_template(image, template, True, constant_values=np.nan)
    assert np.isnan(result).sum() == 20 * 30 - 18 * 27
    template[1, 2] = np.inf
    assert np.isnan(match_template(image, template)).all()
    assert np.isnan(match_template(np.full((9, 9), np.nan), DOT, True)).all()


# Low contrast -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "dark", "bright"),
    [("f", 1e-4, 1e3), ("f", 1e-3, 1e20), ("d", 1e-4, 1e3), ("d", 1e-9, 1e9)],
)
@pytest.mark.parametrize("taps", [(9, 9), (25, 31)])
@pytest.mark.parametrize("pad_input", [False, True])
def test_a_dark_area_beside_a_bright_one(dtype, dark, bright, taps, pad_input, rng):
    image = rng.standard_normal((220, 240)) * dark
    image[:, 150:] = bright * (1 + 0.1 * rng.standard_normal((220, 90)))
    image = image.astype(dtype)
    template = image[100 : 100 + taps[0], 50 : 50 + taps[1]].copy()
    result = match_template(image, template, pad_input)
    image = extended(image, taps) if pad_input else image
    expected = match_reference(image, template, "ccoeff_normed")
    assert np.abs(result - expected).max() < 2e-3  # twice what makes a numerator computed again
    assert np.unravel_index(result.argmax(), result.shape) == (
        100 + pad_input * (taps[0] // 2),
        50 + pad_input * (taps[1] // 2),
    )


@pytest.mark.parametrize("measure", NORMED)
def test_dark_areas_by_every_normed_measure(measure, rng):
    image = (1 + rng.random((180, 200))) * 1e-5
    image[:, 130:] = 1e4
    image = image.astype("f")
    template = image[50:82, 60:90].copy()
    result = match_template(image, template, method=measure)
    expected = match_reference(image, template, measure)
    assert np.abs(result - expected).max() < 2e-3


def test_results_do_not_depend_on_the_scale(rng):
    image, template = pictures(rng, (90, 100), (24, 31), "d")
    expected = match_template(image, template)
    for exponent in (-900, -60, 60, 900):
        scale = 2.0**exponent
        for measure in NORMED:
            scaled = match_template(image * scale, template * scale, method=measure)
            same = match_template(image, template, method=measure)
            np.testing.assert_array_equal(scaled, same)
        np.testing.assert_array_equal(match_template(image * scale, template), expected)
    single = match_template(image.astype("f"), template)
    np.testing.assert_array_equal(
        match_template(image.astype("f") * np.float32(2.0**-66), template), single
    )


@pytest.mark.parametrize("measure", MEASURES)
def test_extreme_magnitudes_raise_nothing(measure, rng):
    for size in (1e-300, 1e-160, 1e160, 1e300):
        for other in (1e-300, 1.0, 1e300):
            image, template = rng.random((20, 30)) * size, rng.random((3, 4)) * other
            result = match_template(image, template, method=measure)
            assert result.shape == (18, 27)
            if measure == "ccoeff_normed":
                expected = match_template(image / size, template / other)
                np.testing.assert_allclose(result, expected, rtol=0, atol=1e-13)


# Hypothesis ---------------------------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 100), st.floats(-100, 100))
@settings(max_examples=30, deadline=None)
def test_gain_and_offset_change_nothing(seed, gain, offset):
    generator = np.random.default_rng(seed)
    shape = tuple(generator.integers(8, 40, 2))
    taps = tuple(generator.integers(2, 8, 2))
    image, template = pictures(generator, shape, taps)
    expected = match_template(image, template)
    for result in (
        match_template(image * gain + offset, template),
        match_template(image, template * gain + offset),
        -match_template(image * -gain + offset, template),
    ):
        # What the arithmetic of gain and offset loses of the pixels' deviations.
        lost = np.finfo(float).eps * (200 * gain + abs(offset)) / gain
        bound = match_bound(image, template, "ccoeff_normed", float)
        assert (np.abs(result - expected) <= 2 * bound + lost * np.sqrt(template.size)).all()


@given(st.integers(0, 2**32 - 1), st.sampled_from("fd"), st.booleans())
@settings(max_examples=40, deadline=None)
def test_the_planted_part_is_found(seed, dtype, pad_input):
    generator = np.random.default_rng(seed)
    ndim = int(generator.integers(2, 4))
    shape = tuple(generator.integers(6, 60 if ndim == 2 else 15, ndim))
    taps = tuple(int(generator.integers(2, min(n, 30))) for n in shape)
    at = tuple(int(generator.integers(0, n - m + 1)) for n, m in zip(shape, taps, strict=True))
    image, template = pictures(generator, shape, taps, dtype, at)
    place = tuple(i + pad_input * (m // 2) for i, m in zip(at, taps, strict=True))
    result = match_template(image, template, pad_input)
    assert result[place] == pytest.approx(1, abs=100 * np.finfo(dtype).eps * np.sqrt(template.size))
    assert result[place] == result.max() or template.size < 6
    least = match_template(image, template, pad_input, method="sqdiff")
    scale = float((template.astype(float) ** 2).sum())
    assert least[place] <= 100 * np.finfo(dtype).eps * scale * np.sqrt(template.size)
    for measure, (low, high) in zip(NORMED, ((0, 1), (-1, 1), (-1, 1)), strict=True):
        result = match_template(image, template, pad_input, method=measure)
        assert result.min() >= low
        assert result.max() <= high


# Plans, threads and memory ------------------------------------------------------------------------


@pytest.mark.parametrize("measure", MEASURES)
def test_plans_give_the_same_bits(measure, rng):
    for pad_input, mode in (
        (False, "constant"),
        (True, "constant"),
        (True, "wrap"),
        (True, "mean"),
    ):
        image, template = pictures(rng, (150, 160), (20, 21), "f")
        expected = match_template(image, template, pad_input, mode, method=measure)
        coming = fastconv.Spec(image.shape, "f")
        planned = fastconv.plan(match_template, coming, template, pad_input, mode, method=measure)
        template[:] = 0  # the plan holds a copy
        np.testing.assert_array_equal(planned(image), expected)
        for layout in ("C", "stepped", "reversed", "unaligned"):
            out = Guarded(expected.shape, "f", layout)
            assert planned(image, out=out.array) is out.array
            np.testing.assert_array_equal(out.take(), expected)


def test_plan_of_the_default_measure(rng):
    image, template = pictures(rng, (30, 40), (5, 6))
    planned = fastconv.plan(match_template, image, template)
    np.testing.assert_array_equal(planned(image), match_template(image, template))
    with pytest.raises(ValueError, match="overlaps input"):
        planned(image, out=image[:26, :35])


@pytest.mark.cpu_only("the CPU's methods have names of their own")
def test_explain_tells_about_the_correlation():
    image, template = fastconv.Spec((1080, 1920), "f"), fastconv.Spec((64, 96), "f")
    explained = fastconv.explain(match_template, image, template, method="sqdiff")
    assert explained.chosen == "tilefft"
    assert explained.problem.out == (1017, 1825)
    assert fastconv.explain(match_template, image, template, True).problem.out == (1080, 1920)
    with pytest.raises(TypeError, match="holds no numbers"):
        match_template(image, np.ones((3, 3)))


def test_threads_give_the_same_bits(rng):
    image, template = pictures(rng, (400, 500), (20, 21), "f")
    image[:, :200] *= 1e-7  # some of it is computed again
    volume, cube = pictures(rng, (20, 30, 40), (5, 6, 7))
    for arrays in ((image, template), (volume, cube)):
        results = []
        for threads in (1, 2, 3):
            with fastconv.num_threads(threads):
                results.append(match_template(*arrays, True, "reflect").tobytes())
        assert len(set(results)) == 1


# Errors -------------------------------------------------------------------------------------------


ONES = np.ones((5, 5))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((ONES[0], ONES[0]), ValueError, r"image must be a 2-D or 3-D array, not \(5,\)"),
        ((np.ones((2,) * 4), ONES), ValueError, r"image must be a 2-D or 3-D array"),
        ((ONES, ONES[0]), ValueError, r"template must be a 2-D array.*not \(5,\)"),
        ((ONES, np.ones((6, 3))), ValueError, r"image must be at least.*\(6, 3\).*\(5, 5\)"),
        ((ONES, ONES[:0]), ValueError, r"template must be an array that is not empty"),
        ((ONES[:0], DOT), ValueError, r"image must be at least as large"),
        ((ONES * 1j, DOT), TypeError, r"image must be.*real numbers, not.*complex128"),
        ((ONES, DOT * 1j), TypeError, r"template must be.*real numbers"),
        ((ONES.astype(object), DOT), TypeError, r"image must be.*real numbers"),
        ((ONES.astype(str), DOT), ValueError, r"image must hold numbers"),
        ((ONES, DOT, True, "around"), ValueError, r"mode must be one of.*'around'"),
        ((ONES, DOT, True, 3), TypeError, r"mode must be.*not 3"),
        ((ONES, DOT, True, "constant", 1j), TypeError, r"constant_values must be real"),
        ((ONES, DOT, True, "constant", "x"), TypeError, r"constant_values must be real"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        match_template(*arguments)


def test_bad_measures():
    with pytest.raises(ValueError, match=r"method must be one of 'sqdiff'.*not 'fft'"):
        match_template(np.ones((5, 5)), DOT, method="fft")
    with pytest.raises(TypeError, match="method must be a measure's name, not 5"):
        match_template(np.ones((5, 5)), DOT, method=5)


def test_a_mode_may_be_a_function(rng):
    def twos(row, widths, axis, kwargs):
        row[: widths[0]] = 2
        row[len(row) - widths[1] :] = 2

    image, template = pictures(rng, (20, 25), (4, 7))
    result = match_template(image, template, True, twos)
    np.testing.assert_allclose(
        result, match_template(image, template, True, constant_values=2), rtol=0, atol=1e-13
    )
