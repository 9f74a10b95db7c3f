"""match_template for CuPy's arrays: sums over windows at every edge, and the host's results."""

import inspect
import sys

import numpy as np
import pytest
from matches import MEASURES, extended, match_bound, match_reference, windows

import fastconv
from fastconv import _cuda, _devices, _gpu_match, _problem, template
from fastconv._problem import Boundary

# With arrays where they are, whatever the tests' backend is.
match_template = inspect.unwrap(fastconv.match_template)
plan, explain = inspect.unwrap(fastconv.plan), inspect.unwrap(fastconv.explain)

NORMED = [m for m in MEASURES if m.endswith("normed")]
STORED = "?bBhHiIlLqQefd"
# np.pad's names of boundaries.
PAD_MODES = {
    "constant": Boundary.CONSTANT,
    "symmetric": Boundary.REFLECT,
    "reflect": Boundary.MIRROR,
    "edge": Boundary.NEAREST,
    "wrap": Boundary.WRAP,
}
OTHER_PAD_MODES = ("linear_ramp", "maximum", "mean", "median", "minimum")


pytestmark = pytest.mark.usefixtures("order_of_threads")


def pixels(rng, shape, dtype="d"):
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    return (rng.random(shape) * 100).astype(dtype)


def part_of(image, taps):
    """The part in the middle."""
    at = [(n - m) // 2 for n, m in zip(image.shape, taps, strict=True)]
    return image[tuple(slice(i, i + m) for i, m in zip(at, taps, strict=True))].copy()


def matched(cupy, image, part, *args, **kwargs):
    """What the GPU gives, in the host's memory."""
    result = match_template(cupy.asarray(image), cupy.asarray(part), *args, **kwargs)
    assert isinstance(result, cupy.ndarray)
    return result.get()


def compare(cupy, image, part, *args, around=None, **kwargs):
    """The GPU's results are as near to the truth as the host's are."""
    ours = matched(cupy, image, part, *args, **kwargs)
    host = match_template(image, part, *args, **kwargs)
    assert (ours.dtype, ours.shape) == (host.dtype, host.shape)
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(host))
    around = image if around is None else around
    measure = kwargs.get("method", "ccoeff_normed")
    bound = match_bound(np.where(np.isfinite(around), around, 0), part, measure, ours.dtype)
    kept = ~np.isnan(host)
    off = np.abs(ours.astype(float) - host)
    assert (off[kept] <= 2 * bound[kept]).all(), float((off[kept] / bound[kept]).max())
    return ours


# Sums over windows --------------------------------------------------------------------------------


def finish(cupy, image, taps, region=None, boundary=0, fill=None, room=1 << 30):
    """
    The window sums that the kernels find: 'ccorr' of a template of zeros but for its mean is one.

    With a mean of one over all pixels, and nothing to be found in the numerators, the measure is
    the sum of the window.
    """
    offset = (0,) * image.ndim if region is None else region
    shape = tuple(n - m + 1 for n, m in zip(image.shape, taps, strict=True))
    out = cupy.zeros(shape if region is None else image.shape, "d")
    factors = dict.fromkeys(
        ("tilt", "of_product", "mean", "norm", "empty", "flat", "unsure", "floor"), 0.0
    )
    count = float(np.prod(taps))
    factors |= {"pixels": count, "of_mean": count, "of_all": 1.0, "normed": False, "room": room}
    number = MEASURES.index("ccorr")
    marks = _gpu_match.finish_match(
        cupy.asarray(image), out, taps, offset, boundary, fill, 1.0, 0.0, 0.0, number, factors
    )
    assert not marks.any()
    return out.get()


def check_sums(cupy, image, taps):
    w, axes = windows(image.astype(np.longdouble), taps)
    expected = w.sum(axes)
    tolerance = 2 * sum(taps) * np.finfo(float).eps * np.abs(w).sum(axes)
    off = np.abs(finish(cupy, image, taps) - expected)
    assert (off <= tolerance).all()


@pytest.mark.parametrize("taps", [1, 2, 3, 4, 5, 7, 31, 32, 33, 64, 65, 130, 200])
def test_chunks_of_rows(taps, cupy, rng):
    for outputs in (1, 2, taps - 1, taps, taps + 1, 3 * taps + 2):
        if outputs > 0:
            check_sums(cupy, pixels(rng, (outputs + taps - 1, 3)), (taps, 2))


@pytest.mark.parametrize("taps", [1, 2, 3, 4, 7, 8, 33, 511, 512, 513, 700, 1030, 1537])
def test_pieces_and_segments_of_columns(taps, cupy, rng):
    positions = _gpu_match._POSITIONS
    pieces = -(-taps // (positions // 2))
    width = positions - -(-taps // pieces) + 1
    for outputs in (1, 2, width - 1, width, width + 1, 2 * width + 1):
        check_sums(cupy, pixels(rng, (2, outputs + taps - 1)), (1, taps))


@pytest.mark.parametrize("taps", [(2, 2, 2), (5, 1, 3), (1, 6, 2), (33, 3, 2), (3, 40, 5)])
def test_chunks_of_planes(taps, cupy, rng):
    for outputs in ((1, 1, 1), (2, 3, 4), (9, 2, 70)):
        shape = tuple(n + m - 1 for n, m in zip(outputs, taps, strict=True))
        check_sums(cupy, pixels(rng, shape), taps)


@pytest.mark.parametrize("room", [1, 3000, 20_000])
@pytest.mark.parametrize(
    ("shape", "taps"), [((40, 50), (6, 7)), ((60, 5), (3, 2)), ((9, 10, 11), (3, 4, 2))]
)
def test_regions_where_there_is_little_room(shape, taps, room, cupy, rng, monkeypatch):
    image = pixels(rng, shape)
    whole = finish(cupy, image, taps)
    monkeypatch.setattr(_gpu_match, "_SUM_BYTES", room)
    monkeypatch.setattr(_gpu_match, "_regions", _gpu_match._regions.__wrapped__)
    # Chunks begin elsewhere: windows are summed in another order.
    np.testing.assert_allclose(finish(cupy, image, taps, room=room), whole, rtol=1e-13)


@pytest.mark.parametrize(
    ("out", "taps", "most"),
    [
        ((1, 1017, 1825), (1, 64, 96), 32 << 20),
        ((1, 5000, 7000), (1, 64, 96), 32 << 20),
        ((1, 1, 1), (1, 20_000, 20_000), 1 << 30),
        ((237, 237, 237), (20, 20, 20), 64 << 20),
        ((201, 201, 201), (200, 200, 200), 128 << 20),
        ((101, 101, 101), (900, 900, 900), 1 << 30),
        ((1, 101, 101), (16, 1900, 1900), 256 << 20),
    ],
)
def test_regions_fit_the_room(out, taps, most):
    parts = _gpu_match._regions(out, taps, most)
    assert all(_gpu_match._sum_bytes(n, taps) <= most for _, n in parts)
    assert sum(int(np.prod(n)) for _, n in parts) == np.prod(out)
    read = sum(int(np.prod([a + m - 1 for a, m in zip(n, taps, strict=True)])) for _, n in parts)
    assert read <= 17 * np.prod([a + m - 1 for a, m in zip(out, taps, strict=True)])


@pytest.mark.parametrize("mode", PAD_MODES)
def test_boundaries(mode, cupy, rng):
    for shape, taps in (((9, 40), (4, 7)), ((6, 7, 9), (3, 4, 5)), ((3, 2), (3, 2))):
        image = pixels(rng, shape)
        fill = np.array([3.0]) if mode == "constant" else None
        rest = {"constant_values": 3} if mode == "constant" else {}
        region = [-(m // 2) for m in taps]
        sums = finish(cupy, image, taps, region, PAD_MODES[mode], fill)
        w, axes = windows(extended(image, taps, mode, **rest), taps)
        np.testing.assert_allclose(sums, w.sum(axes), rtol=1e-13)


# Looking, centring and gathering ------------------------------------------------------------------


def laid_out(cupy, array, layout):
    """A copy on the GPU with other strides."""
    there = cupy.asarray(array)
    match layout:
        case "F":
            return cupy.asfortranarray(there)
        case "reversed":
            return cupy.ascontiguousarray(there[::-1, ::-1])[::-1, ::-1]
        case "stepped":
            wide = cupy.zeros((*array.shape[:-1], 3 * array.shape[-1]), array.dtype)
            wide[..., 1::3] = there
            return wide[..., 1::3]
        case "apart":
            wide = cupy.zeros((array.shape[0], 2, *array.shape[1:]), array.dtype)
            wide[:, 0] = there
            return wide[:, 0]
    return there


@pytest.mark.parametrize("layout", ["C", "F", "reversed", "stepped", "apart"])
@pytest.mark.parametrize("stored", STORED)
def test_pixels_are_looked_at_and_centred(stored, layout, cupy, rng):
    dtype = np.dtype("f" if stored in "ef" else "d")
    for shape in ((1, 1), (5, 7), (1, 1025), (70, 33), (3, 4, 9), (7, 1, 1)):
        image = pixels(rng, shape, stored)
        there = laid_out(cupy, image, layout)
        numbers = image.astype(float)
        total, least, most, count = _gpu_match.look_at_image(there, dtype)
        assert (least, most, count) == (numbers.min(), numbers.max(), image.size)
        assert total == pytest.approx(numbers.sum(), rel=1e-14, abs=1e-12)
        # In one order, whatever the strides.
        assert total == _gpu_match.look_at_image(cupy.asarray(image), dtype)[0]
        out = cupy.empty(shape, dtype)
        squares = _gpu_match.centre_image(there, out, 1.0, 0.5)
        np.testing.assert_array_equal(out.get(), ((numbers - 1) * 0.5).astype(dtype))
        assert squares.get()[0] == pytest.approx((((numbers - 1) * 0.5) ** 2).sum(), rel=1e-14)


@pytest.mark.parametrize("dtype", "efd")
def test_nonfinite_pixels_are_left_out(dtype, cupy):
    x = cupy.asarray(np.array([[1, np.nan, 3, np.inf], [-np.inf, -2, 7, 1]], dtype))
    scalar = np.dtype("d" if dtype == "d" else "f")
    assert _gpu_match.look_at_image(x, scalar) == (10, -2, 7, 5)
    out = cupy.empty(x.shape, scalar)
    assert _gpu_match.centre_image(x, out, 1.0, 1.0).get()[0] == 0 + 4 + 9 + 36 + 0
    np.testing.assert_array_equal(out.get(), [[0, 0, 2, 0], [0, -3, 6, 0]])
    nothing = cupy.full((3, 3), np.nan, dtype)
    assert _gpu_match.look_at_image(nothing, scalar)[3] == 0


def test_large_images_are_looked_at_by_all_blocks(cupy, rng):
    image = pixels(rng, (700, 900), "B")
    blocks = _gpu_match._looking_blocks(cupy.asarray(image))
    assert blocks == _gpu_match._LOOKING_BLOCKS
    total, *_, count = _gpu_match.look_at_image(cupy.asarray(image), np.dtype("d"))
    assert (total, count) == (image.sum(), image.size)


@pytest.mark.parametrize("mode", PAD_MODES)
def test_parts_of_an_extended_image(mode, cupy, rng):
    for shape in ((5, 7), (3, 4, 5)):
        image = pixels(rng, shape, "f")
        rest = {"constant_values": 3} if mode == "constant" else {}
        whole = np.pad(image, 4, mode, **rest)
        first, size = (-3,) * len(shape), tuple(n + 5 for n in shape)
        block = _gpu_match.gather(
            laid_out(cupy, image, "stepped"),
            first,
            size,
            PAD_MODES[mode],
            np.array([3.0]) if rest else None,
        )
        expected = whole[tuple(slice(1, 1 + n) for n in size)]
        np.testing.assert_array_equal(block.get(), expected.astype(float))


# Whole calls --------------------------------------------------------------------------------------


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("dtype", STORED)
def test_dtypes_and_measures(dtype, measure, cupy, rng):
    for shape, taps in (((30, 40), (5, 6)), ((8, 9, 10), (3, 2, 4))):
        image = pixels(rng, shape, dtype)
        compare(cupy, image, part_of(image, taps), method=measure)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("mode", [*PAD_MODES, *OTHER_PAD_MODES])
def test_padding(mode, measure, cupy, rng):
    for shape, taps in (((20, 25), (5, 8)), ((7, 8, 9), (4, 3, 5))):
        image = pixels(rng, shape, "f")
        whole = np.pad(image, [(m, m) for m in taps], mode)
        around = whole[
            tuple(
                slice(m - m // 2, n + 2 * m - 1 - m // 2) for n, m in zip(shape, taps, strict=True)
            )
        ]
        if mode in PAD_MODES:
            around = extended(image, taps, mode)
        compare(cupy, image, part_of(image, taps), True, mode, method=measure, around=around)


@pytest.mark.parametrize("value", [7, -2.5, [1, 2], [[1], [2]], ((1, 2), (3, 4))])
def test_constant_values(value, cupy, rng):
    image = pixels(rng, (20, 25), "B")
    around = extended(image.astype(float), (4, 6), constant_values=value)
    part = part_of(image, (4, 6))
    ours = compare(cupy, image, part, True, constant_values=value, around=around)
    if np.ndim(value) == 0:
        there = cupy.asarray(value)
        np.testing.assert_array_equal(matched(cupy, image, part, True, constant_values=there), ours)


def test_a_mode_may_be_a_function(cupy, rng):
    def twos(row, widths, axis, kwargs):
        row[: widths[0]] = 2
        row[len(row) - widths[1] :] = 2

    image = pixels(rng, (10, 12))
    part = part_of(image, (4, 5))
    result = matched(cupy, image, part, True, twos)
    expected = match_template(image, part, True, constant_values=2)
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("shape", "taps"),
    [
        ((1, 1), (1, 1)),
        ((1, 9), (1, 4)),
        ((9, 1), (4, 1)),
        ((7, 7), (7, 7)),
        ((3, 1100), (2, 60)),
        ((8, 1300), (5, 600)),
        ((12, 1, 14), (3, 1, 5)),
        ((6, 6, 6), (6, 6, 6)),
    ],
)
def test_edges_of_sizes(shape, taps, cupy, rng):
    image = pixels(rng, shape, "f")
    part = part_of(image, taps) + rng.standard_normal(taps).astype("f")
    for measure in ("ccoeff_normed", "sqdiff"):
        compare(cupy, image, part, method=measure)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nonfinite_pixels_touch_their_windows_alone(value, measure, cupy, rng):
    for shape, taps, at in (((60, 70), (9, 12), (30, 41)), ((12, 13, 9), (3, 4, 2), (5, 6, 3))):
        image = pixels(rng, shape, "f")
        part = part_of(image, taps)
        image[at] = value
        for pad_input in (False, True):
            around = extended(image, taps) if pad_input else image
            ours = compare(cupy, image, part, pad_input, method=measure, around=around)
            assert np.isnan(ours).sum() == np.prod(taps)


def test_nonfinite_templates_and_edges(cupy, rng):
    image = pixels(rng, (20, 30))
    part = part_of(image, (3, 4))
    result = matched(cupy, image, part, True, constant_values=np.nan)
    assert np.isnan(result).sum() == 20 * 30 - 18 * 27
    part[1, 2] = np.inf
    assert np.isnan(matched(cupy, image, part)).all()
    assert np.isnan(matched(cupy, np.full((9, 9), np.nan), np.eye(3), True)).all()


def test_flat_windows_and_templates(cupy, rng):
    for value in (0.0, 0.1, -7.3, 1e-15, 1e15):
        image = np.full((40, 70), value, "f")
        image[:, 40:] += (rng.random((40, 30)) * (abs(value) or 1)).astype("f")
        part = image[10:17, 45:54].copy()
        for measure in ("ccoeff", "ccoeff_normed"):
            result = matched(cupy, image, part, method=measure)
            assert not result[:, :32].any()
            assert result[:, 32:].any()
        flat = np.full((4, 5), value or 1, "f")
        for measure in MEASURES:
            compare(cupy, image, flat, method=measure)


# Low contrast -------------------------------------------------------------------------------------


def counted(monkeypatch, module, name):
    """Count the calls of a function."""
    calls = []
    function = getattr(module, name)

    def counting(*args, **kwargs):
        calls.append(args)
        return function(*args, **kwargs)

    monkeypatch.setattr(module, name, counting)
    return calls


@pytest.mark.parametrize(
    ("dtype", "dark", "bright"),
    [("f", 1e-4, 1e3), ("f", 1e-3, 1e20), ("d", 1e-4, 1e3), ("d", 1e-9, 1e9)],
)
@pytest.mark.parametrize("pad_input", [False, True])
def test_a_dark_area_beside_a_bright_one(dtype, dark, bright, pad_input, cupy, rng, monkeypatch):
    monkeypatch.setattr(_gpu_match, "_LEAST_TILE", 16)
    image = rng.standard_normal((90, 120)) * dark
    image[:, 75:] = bright * (1 + 0.1 * rng.standard_normal((90, 45)))
    image = image.astype(dtype)
    part = image[40:49, 25:35].copy()
    blocks = counted(monkeypatch, _gpu_match, "gather")
    result = matched(cupy, image, part, pad_input)
    assert blocks or dtype == "d"
    around = extended(image, part.shape) if pad_input else image
    expected = match_reference(around, part, "ccoeff_normed")
    assert np.abs(result - expected).max() < 2e-3  # twice what makes a numerator computed again
    place = (40 + pad_input * 4, 25 + pad_input * 5)
    assert np.unravel_index(result.argmax(), result.shape) == place


@pytest.mark.parametrize("measure", NORMED)
@pytest.mark.parametrize("mode", PAD_MODES)
def test_unsure_windows_at_every_boundary(mode, measure, cupy, rng, monkeypatch):
    monkeypatch.setattr(_gpu_match, "_LEAST_TILE", 8)
    image = ((1 + rng.random((50, 60))) * 1e-5).astype("f")
    image[20:25, 30:40] = 1e4
    part = image[5:13, 8:17].copy()
    blocks = counted(monkeypatch, _gpu_match, "gather")
    result = matched(cupy, image, part, True, mode, method=measure)
    assert blocks
    expected = match_reference(extended(image, part.shape, mode), part, measure)
    assert np.abs(result - expected).max() < 2e-3


def test_unsure_parts_of_a_volume(cupy, rng, monkeypatch):
    monkeypatch.setattr(_gpu_match, "_LEAST_VOLUME_TILE", 4)
    image = (rng.standard_normal((12, 14, 40)) * 1e-5).astype("f")
    image[:, :, 25:] = 1e4 * (1 + rng.random((12, 14, 15)))
    part = image[3:6, 4:8, 10:15].copy()
    blocks = counted(monkeypatch, _gpu_match, "gather")
    result = matched(cupy, image, part)
    assert blocks
    expected = match_reference(image, part, "ccoeff_normed")
    assert np.abs(result - expected).max() < 2e-3


def test_bright_pixels_are_weighed_by_their_squares(cupy, rng, monkeypatch):
    """One bright pixel among many makes fewer windows unsure than an image of them would."""
    image = (2e4 + rng.standard_normal((80, 90))).astype("f")
    image[40, 50] += 5e3
    part = image[10:30, 10:40].copy()
    blocks = counted(monkeypatch, _gpu_match, "gather")
    compare(cupy, image, part)
    assert not blocks


def test_results_do_not_depend_on_the_scale(cupy, rng):
    image = pixels(rng, (50, 60))
    part = part_of(image, (14, 11))
    for measure in NORMED:
        expected = matched(cupy, image, part, method=measure)
        for exponent in (-900, -60, 60, 900):
            scale = 2.0**exponent
            scaled = matched(cupy, image * scale, part * scale, method=measure)
            np.testing.assert_array_equal(scaled, expected)


@pytest.mark.parametrize("measure", MEASURES)
def test_extreme_magnitudes_raise_nothing(measure, cupy, rng):
    for size in (1e-300, 1e-160, 1e160, 1e300):
        for other in (1e-300, 1.0, 1e300):
            image, part = rng.random((20, 30)) * size, rng.random((3, 4)) * other
            result = matched(cupy, image, part, method=measure)
            assert result.shape == (18, 27)
            if measure == "ccoeff_normed":
                expected = matched(cupy, image / size, part / other)
                np.testing.assert_allclose(result, expected, rtol=0, atol=1e-13)


# Devices, plans and costs -------------------------------------------------------------------------


def test_arrays_are_in_one_place(cupy, rng):
    image = pixels(rng, (20, 30), "f")
    part = part_of(image, (3, 4))
    with pytest.raises(TypeError, match="template is a NumPy array"):
        match_template(cupy.asarray(image), part)
    with pytest.raises(TypeError, match="image is a NumPy array"):
        match_template(image, cupy.asarray(part))
    lists = match_template(cupy.asarray(image), part.tolist())
    np.testing.assert_array_equal(lists.get(), matched(cupy, image, part.astype(float)))


def test_results_live_where_the_image_does(cupy, rng):
    if cupy.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("there is one GPU")
    image = pixels(rng, (20, 30), "f")
    part = part_of(image, (3, 4))
    expected = matched(cupy, image, part)
    with cupy.cuda.Device(1):
        there = cupy.asarray(image), cupy.asarray(part)
    result = match_template(*there)
    assert result.device.id == 1
    np.testing.assert_array_equal(result.get(), expected)


def test_all_is_done_on_the_current_stream(cupy, rng):
    if not hasattr(cupy, "_standin"):
        pytest.skip("CuPy tells nobody which stream was used")
    image = cupy.asarray(pixels(rng, (60, 70), "f"))
    part = image[10:20, 20:40].copy()
    stream = cupy.cuda.Stream(non_blocking=True)
    cupy._standin.launches.clear()
    with stream:
        match_template(image, part, True, "wrap")
    assert cupy._standin.launches
    assert all(used == stream for _, _, used in cupy._standin.launches)


def test_launches_and_waits(cupy, rng, monkeypatch):
    image = cupy.asarray(pixels(rng, (60, 70), "f"))
    part = image[10:20, 20:40].copy()
    waits = counted(monkeypatch, _devices, "to_host")
    launches = counted(monkeypatch, _cuda.Kernels, "launch")

    def names():
        return [args[1] for args in launches if args[0] is _gpu_match._KERNELS]

    match_template(image, part)
    assert names() == ["look", "sum_pixels", "finish"]  # the image is correlated as it is
    assert len(waits) == 3  # for the template, for its level, and for what is unsure
    launches.clear()
    match_template(image + 1000, part)
    assert names() == ["look", "centre", "add_up", "sum_pixels", "finish"]
    planned = plan(match_template, image, part, method="ccoeff")
    waits.clear()
    planned(image)
    assert len(waits) == 1  # measures that are not normed are never unsure


@pytest.mark.parametrize("measure", MEASURES)
def test_plans_give_the_same_bits(measure, cupy, rng):
    for pad_input, mode in (
        (False, "constant"),
        (True, "constant"),
        (True, "wrap"),
        (True, "mean"),
    ):
        image = cupy.asarray(pixels(rng, (50, 60), "f"))
        part = image[10:20, 20:33].copy()
        expected = match_template(image, part, pad_input, mode, method=measure)
        coming = fastconv.Spec(image.shape, "f", device="cuda")
        planned = plan(match_template, coming, part, pad_input, mode, method=measure)
        part[...] = 0  # the plan holds a copy
        assert (planned(image) == expected).all()
        for out in (cupy.zeros_like(expected), cupy.zeros((*expected.shape, 2), "f")[..., 0]):
            assert planned(image, out=out) is out
            assert (out == expected).all()


def test_specs_are_explained():
    image = fastconv.Spec((1080, 1920), "f", device="cuda")
    explained = explain(match_template, image, fastconv.Spec((64, 96), "f"))
    assert explained.chosen.startswith("gpu_")
    assert (explained.problem.out, explained.problem.device) == ((1017, 1825), 0)


def test_specs_live_where_the_template_does(cupy, rng):
    image = pixels(rng, (20, 30), "f")
    part = cupy.asarray(part_of(image, (3, 4)))
    planned = plan(match_template, fastconv.Spec(image.shape, "f"), part)
    assert planned.problem.device == part.device.id
    there = cupy.asarray(image)
    assert (planned(there) == match_template(there, part)).all()
    with pytest.raises(TypeError, match="the plan was made for cuda:0"):
        planned(image)


def test_slabs_within_the_workspace(cupy, rng, monkeypatch):
    """Centred pixels are correlated slab by slab, and weighed together."""
    image = (pixels(rng, (90, 80), "f") + 1000).astype("f")
    part = part_of(image, (9, 10))
    expected = matched(cupy, image, part)
    monkeypatch.setattr(template, "_slab", lambda choice, limit: 30)
    np.testing.assert_allclose(matched(cupy, image, part), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("accuracy", ["direct", 1e-3, 3e-7, 1e-9])
def test_accuracy(accuracy, cupy, rng):
    for dtype in "efd":
        image = pixels(rng, (60, 70), dtype)
        part = part_of(image, (20, 21))
        try:
            match_template(image, part, accuracy=accuracy)
        except ValueError:  # which results of float32 cannot have
            with pytest.raises(ValueError, match="more than results"):
                matched(cupy, image, part, accuracy=accuracy)
        else:
            compare(cupy, image, part, accuracy=accuracy)


@pytest.mark.parametrize("pad_input", [False, True])
@pytest.mark.parametrize(
    ("shape", "taps"), [((420, 460), (24, 30)), ((220, 260), (70, 90)), ((30, 40, 50), (9, 9, 9))]
)
def test_workspace_is_bounded(shape, taps, pad_input, cupy, rng, monkeypatch):
    """No more is held beyond arguments and result than they take: without the usual floor."""
    if not hasattr(cupy, "_standin"):
        pytest.skip("CuPy's pool holds what it once had")
    monkeypatch.setattr(_problem, "WORKSPACE_FLOOR", 0)
    monkeypatch.setattr(template, "WORKSPACE_FLOOR", 0)
    image = cupy.asarray((pixels(rng, shape) + 1000).astype("f"))
    part = image[tuple(slice(3, 3 + m) for m in taps)].copy()
    memory = sys.modules["cupy._memory"]
    peak, allocate = [0], memory.Memory.__init__

    def allocating(self, size):
        allocate(self, size)
        peak[0] = max(peak[0], sum(m.size for m in memory._live))

    monkeypatch.setattr(memory.Memory, "__init__", allocating)
    held = sum(m.size for m in memory._live)
    out = match_template(image, part, pad_input)
    assert peak[0] - held - out.nbytes <= image.nbytes + out.nbytes
