"""The native kernels by themselves: every dtype at every edge, nothing written outside.

Needs neither SciPy nor Hypothesis nor pyfftw, so it runs in sanitizer builds too.
"""

import itertools

import numpy as np
import pytest
from arrays import CANARY, NATIVE_LAYOUTS, Guarded, laid_out
from oracle import (
    BOUNDARIES,
    COMPLEX,
    CONSTANT,
    FLOATS,
    INTEGERS,
    ZERO,
    assert_within,
    correlate_reference,
    direct_bound,
    extend,
    random_array,
    signal_bound,
    signal_reference,
)

from fastconv._native import _core

# All but clongdouble, which the reference method computes.
DTYPES = tuple("?" + INTEGERS + FLOATS + COMPLEX.replace("G", ""))
NO_KERNEL = (np.float16, np.clongdouble, object, "m8[s]", "U3")
# One dtype of every width and kind, where all seventeen would only repeat the same glue.
WIDTHS = tuple("?bHiqfdgFD")
LANES = (2, 4, 8, 16, 32, 64)
EDGES = sorted({s for lanes in LANES for s in (1, lanes - 1, lanes, lanes + 1, 2 * lanes + 1)})
TILES = sorted({t * lanes + d for lanes in LANES for t in (8, 12) for d in (-1, 0, 1)})
FILLS = {"b": True, "i": 7, "u": 7, "f": -1.5, "c": 1.5 - 0.5j}


def fill_for(dtype, boundary):
    return np.array(FILLS[np.dtype(dtype).kind] if boundary == CONSTANT else 0, dtype)


def check(x, w, out_shape, offset, boundary=ZERO, layout="C", threads=1):
    """One correlation against the reference, written between canaries."""
    out = Guarded(out_shape, x.dtype, layout)
    fill = fill_for(x.dtype, boundary)
    kept = x.tobytes(), w.tobytes()
    _core.correlate(x, w, out.array, tuple(offset), boundary, fill, threads)
    assert (x.tobytes(), w.tobytes()) == kept, "an input was changed"
    expected = correlate_reference(x, w, out_shape, offset, boundary, fill)
    bound = direct_bound(x, w, x.dtype, out_shape, offset, boundary, fill)
    label = f"x{x.shape} w{w.shape} out{tuple(out_shape)} at {tuple(offset)} {BOUNDARIES[boundary]}"
    assert_within(out.take(), expected, bound, x.dtype, label)


def operands(rng, x_shape, w_shape, dtype):
    return random_array(rng, x_shape, dtype), random_array(rng, w_shape, dtype)


# One dimension ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("taps", [1, 2, 3, 4, 5, 8, 9, 16, 33, 65])
def test_lengths_1d(dtype, taps, rng):
    """Outputs of every edge length, inside ('valid'), at both ends ('full') and centred."""
    for n in EDGES + TILES:
        x, w = operands(rng, (n + taps - 1,), (taps,), dtype)
        check(x, w, (n,), (0,))
        if n <= 2 * LANES[-1] + 1:
            x = x[:n]
            check(x, w, (n + taps - 1,), (1 - taps,))
            check(x, w, (n,), (-(taps // 2),))


@pytest.mark.parametrize("boundary", range(6), ids=BOUNDARIES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_boundaries_1d(dtype, boundary, rng):
    """Kernels that exceed the input many times, and windows wholly outside of it."""
    for n, taps in itertools.product((1, 2, 3, 5, 33), (1, 2, 5, 67)):
        x, w = operands(rng, (n,), (taps,), dtype)
        for offset in (-taps + 1, -taps // 2, 0, 1, n, 3 * n + 2, -taps - 2 * n - 5):
            check(x, w, (n + taps,), (offset,), boundary)


@pytest.mark.parametrize("dtype", DTYPES)
def test_single_outputs(dtype, rng):
    """One output (a dot product) of every length."""
    for taps in EDGES + TILES[::3]:
        x, w = operands(rng, (taps,), (taps,), dtype)
        check(x, w, (1,), (0,))


@pytest.mark.parametrize("dtype", DTYPES)
def test_long_1d(dtype, rng):
    """Longer than any block of the cache tiling."""
    x, w = operands(rng, (40_001,), (31,), dtype)
    check(x, w, (40_031,), (-30,))
    check(x, w, (39_971,), (0,), threads=2)
    x, w = operands(rng, (5_001,), (700,), dtype)
    check(x, w, (5_001,), (-300,), threads=2)


# Two dimensions -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "kernel", [(1, 1), (1, 3), (3, 1), (2, 2), (3, 3), (5, 5), (7, 4), (2, 17)]
)
def test_sizes_2d(dtype, kernel, rng):
    rows, columns = (1, 2, 3, 5, 8, 17), (1, 7, 8, 9, 15, 16, 17, 31, 33, 65, 97, 129, 193)
    for height, width in itertools.product(rows, columns):
        x, w = operands(rng, (height + kernel[0] - 1, width + kernel[1] - 1), kernel, dtype)
        check(x, w, (height, width), (0, 0))
    for shape in ((1, 1), (4, 6), (9, 33)):
        x, w = operands(rng, shape, kernel, dtype)
        full = tuple(n + k - 1 for n, k in zip(shape, kernel, strict=True))
        check(x, w, full, [1 - k for k in kernel])


@pytest.mark.parametrize("boundary", range(6), ids=BOUNDARIES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_boundaries_2d(dtype, boundary, rng):
    for shape, kernel in itertools.product(
        ((1, 1), (1, 7), (3, 2), (6, 19)), ((1, 4), (3, 3), (9, 2), (11, 13))
    ):
        x, w = operands(rng, shape, kernel, dtype)
        out = tuple(n + k for n, k in zip(shape, kernel, strict=True))
        for offset in ([-k + 1 for k in kernel], [-k // 2 for k in kernel], (2, -5), (-40, 50)):
            check(x, w, out, offset, boundary)


@pytest.mark.parametrize("dtype", DTYPES)
def test_image(dtype, rng):
    """Larger than any tile, on several threads."""
    x, w = operands(rng, (150, 401), (5, 5), dtype)
    check(x, w, (150, 401), (-2, -2), threads=3)
    x, w = operands(rng, (61, 300), (17, 9), dtype)
    check(x, w, (77, 308), (-16, -8), threads=2)


# More dimensions, batches, channels ---------------------------------------------------------------


@pytest.mark.parametrize("boundary", range(6), ids=BOUNDARIES)
@pytest.mark.parametrize("dtype", WIDTHS)
def test_dimensions(dtype, boundary, rng):
    """Up to five, some of them not convolved: inner (channels last), outer and between."""
    cases = [
        ((3, 4, 5), (2, 3, 2)),
        ((3, 4, 5), (3, 1, 2)),
        ((3, 9, 3), (2, 4, 1)),
        ((5, 6, 1), (3, 3, 1)),
        ((2, 3, 18), (1, 2, 9)),
        ((2, 3, 4, 5), (2, 2, 3, 3)),
        ((2, 5, 6, 3), (1, 3, 3, 1)),
        ((2, 3, 2, 3, 4), (2, 2, 1, 2, 3)),
        ((1, 2, 1, 2, 1), (3, 1, 3, 3, 2)),
    ]
    for shape, kernel in cases:
        x, w = operands(rng, shape, kernel, dtype)
        full = tuple(n + k - 1 for n, k in zip(shape, kernel, strict=True))
        check(x, w, full, [1 - k for k in kernel], boundary)
        check(x, w, shape, [-(k // 2) for k in kernel], boundary)
        check(x, w, shape, [n - k for n, k in zip(shape, kernel, strict=True)], boundary)


@pytest.mark.parametrize("dtype", DTYPES)
def test_channels_last(dtype, rng):
    for channels in (1, 2, 3, 4, 7, 8, 16, 17, 33):
        x, w = operands(rng, (9, 11, channels), (3, 5, 1), dtype)
        check(x, w, (9, 11, channels), (-1, -2, 0))


@pytest.mark.parametrize("dtype", DTYPES)
def test_zero_dimensions_and_sixteen(dtype, rng):
    x, w = operands(rng, (), (), dtype)
    check(x, w, (), ())
    shape, kernel = (1,) * 13 + (2, 3, 4), (1,) * 14 + (2, 3)
    x, w = operands(rng, shape, kernel, dtype)
    check(x, w, shape, (0,) * 14 + (-1, -1))


def test_what_does_not_fit_is_refused():
    x, w, out = np.ones((4, 5)), np.ones((2, 3)), np.zeros((3, 3))
    for bad in ((x[0], w, out), (x, w[0], out), (x, w, out[0])):
        with pytest.raises(ValueError, match="dimensionality"):
            _core.correlate(*bad, (0, 0))
    with pytest.raises(ValueError, match="dimensionality"):
        _core.correlate(x, w, out, (0,))
    for bad in ((x[:0], w, out), (x, w[:, :0], out), (x, w, out[:0])):
        with pytest.raises(ValueError, match="empty"):
            _core.correlate(*bad, (0, 0))
    for bad in ((x.astype("f"), w, out), (x, w.astype("q"), out), (x, w, out.astype("D"))):
        with pytest.raises(TypeError, match="kernel"):
            _core.correlate(*bad, (0, 0))
    for dtype in NO_KERNEL:
        with pytest.raises(TypeError, match="kernel"):
            _core.correlate(*(a.astype(dtype) for a in (x, w, out)), (0, 0))


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_has_a_kernel(dtype):
    assert _core.has_kernel(np.dtype(dtype))


@pytest.mark.parametrize("dtype", NO_KERNEL)
def test_other_dtypes_have_none(dtype):
    assert not _core.has_kernel(np.dtype(dtype))


# Strides ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", NATIVE_LAYOUTS)
def test_layouts(dtype, layout, rng):
    """Each of the three arrays in turn, and all of them, strided, reversed or unaligned."""
    sizes = [((40,), (5,)), ((7, 21), (3, 4)), ((3, 5, 9), (2, 1, 3))]
    for (shape, kernel), which in itertools.product(sizes, ((0,), (1,), (2,), (0, 1, 2))):
        x, w = operands(rng, shape, kernel, dtype)
        x = laid_out(x, layout if 0 in which else "C")
        w = laid_out(w, layout if 1 in which else "C")
        full = tuple(n + k - 1 for n, k in zip(shape, kernel, strict=True))
        check(x, w, full, [1 - k for k in kernel], ZERO, layout if 2 in which else "C")


@pytest.mark.parametrize("dtype", DTYPES)
def test_broadcast_strides(dtype, rng):
    """A stride of zero: one element or one row that stands for many."""
    one, w = operands(rng, (1, 1), (3, 3), dtype)
    check(np.broadcast_to(one, (6, 37)), w, (8, 39), (-2, -2))
    row, one = operands(rng, (1, 37), (1, 1), dtype)
    check(np.broadcast_to(row, (6, 37)), np.broadcast_to(one, (3, 3)), (6, 37), (-1, -1))


@pytest.mark.parametrize("dtype", WIDTHS)
def test_readonly_inputs(dtype, rng):
    x, w = (laid_out(a, "readonly") for a in operands(rng, (20, 20), (3, 3), dtype))
    check(x, w, (20, 20), (-1, -1))


def test_integers_wrap():
    for dtype in INTEGERS:
        info = np.iinfo(dtype)
        x = np.array([info.max, info.min, info.max, 3], dtype)
        exact = [int(a) * info.max for a in x]
        expected = [(sum(exact[i : i + 2]) - info.min) % 2**info.bits + info.min for i in range(3)]
        out = np.empty(3, dtype)
        _core.correlate(x, np.full(2, info.max, dtype), out, (0,))
        assert [int(v) for v in out] == expected


@pytest.mark.parametrize("threads", [2, 3, 5, 64])
@pytest.mark.parametrize("dtype", WIDTHS)
def test_threads_give_the_same_bits(dtype, threads, rng):
    for shape, kernel in (((50_001,), (23,)), ((67, 501), (5, 5)), ((9, 20, 301), (3, 1, 7))):
        x, w = operands(rng, shape, kernel, dtype)
        offset = tuple(-(k // 2) for k in kernel)
        results = []
        for count in (1, threads):
            out = Guarded(shape, dtype)
            _core.correlate(x, w, out.array, offset, ZERO, None, count)
            results.append(out.take())
        np.testing.assert_array_equal(*results)


# gather -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("boundary", range(6), ids=BOUNDARIES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_gather(dtype, boundary, rng):
    cases = [
        ((1,), (9,), (-4,)),
        ((5,), (40,), (-17,)),
        ((5,), (3,), (1,)),
        ((5,), (4,), (60,)),
        ((5,), (4,), (-60,)),
        ((33,), (70,), (-9,)),
        ((3, 17), (8, 40), (-2, -9)),
        ((3, 4), (2, 2), (1, 1)),
        ((2, 3, 4), (7, 3, 9), (-3, 0, -2)),
        ((2, 3, 4), (5, 5, 5), (40, -40, 3)),
        ((1, 2, 1, 2, 3), (2, 3, 2, 3, 7), (-1, -1, 0, 1, -2)),
    ]
    fill = fill_for(dtype, boundary)
    for (shape, out_shape, start), layout in itertools.product(cases, NATIVE_LAYOUTS):
        x = laid_out(random_array(rng, shape, dtype), layout)
        out = Guarded(out_shape, dtype, "unaligned" if layout == "unaligned" else "C")
        _core.gather(x, out.array, start, boundary, fill, 1)
        expected, _ = extend(x, start, out_shape, boundary, fill)
        np.testing.assert_array_equal(out.take(), expected, err_msg=f"{shape} {start} {layout}")


@pytest.mark.parametrize("dtype", WIDTHS)
def test_gather_large_on_threads(dtype, rng):
    x = random_array(rng, (201, 333), dtype)
    out = Guarded((230, 390), dtype)
    _core.gather(x, out.array, (-11, -20), 2, None, 3)
    np.testing.assert_array_equal(out.take(), extend(x, (-11, -20), (230, 390), 2)[0])


@pytest.mark.parametrize("dtype", WIDTHS)
def test_gather_into_rows_of_a_wider_array(dtype, rng):
    """Rows that do not follow each other: what stands between them is kept."""
    x = random_array(rng, (4, 9), dtype)
    whole = random_array(rng, (6, 30), dtype)
    expected = whole.copy()
    expected[:, 3:20] = extend(x, (-1, -4), (6, 17))[0]
    _core.gather(x, whole[:, 3:20], (-1, -4), 0, None, 2)
    np.testing.assert_array_equal(whole, expected)


def test_gather_refuses_what_does_not_fit():
    x, out = np.ones((4, 5)), np.zeros((3, 3))
    for bad in ((x[0], out), (x, out[0]), (x, out.astype("f")), (x[:0], out), (x, out[:0])):
        with pytest.raises(ValueError):
            _core.gather(*bad, (0, 0))
    with pytest.raises(ValueError, match="contiguous"):
        _core.gather(x, out.T, (0, 0))


# Blocks of an overlap-save ------------------------------------------------------------------------


@pytest.mark.parametrize("boundary", range(6), ids=BOUNDARIES)
@pytest.mark.parametrize("dtype", WIDTHS)
def test_gather_blocks(dtype, boundary, rng):
    """Blocks that begin inside, before and far beyond the data."""
    fill = fill_for(dtype, boundary)
    cases = [((5,), (9,)), ((40,), (17,)), ((4, 7), (3, 16)), ((2, 3, 5), (1, 4, 8))]
    for (shape, block), layout in itertools.product(cases, NATIVE_LAYOUTS):
        x = laid_out(random_array(rng, shape, dtype), layout)
        starts = rng.integers(-30, 30, (7, len(shape)), np.intp)
        out = Guarded((7, *block), dtype)
        _core.gather_blocks(x, out.array, starts, boundary, fill)
        expected = [extend(x, start, block, boundary, fill)[0] for start in starts]
        np.testing.assert_array_equal(out.take(), expected, err_msg=f"{shape} {block} {layout}")


@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize("layout", NATIVE_LAYOUTS)
@pytest.mark.parametrize("dtype", WIDTHS)
def test_scatter_blocks(dtype, layout, add, rng):
    """The valid part of each block, the last ones cut at the output's end."""
    cases = [((10,), (9,), (2,), (4,)), ((5, 11), (4, 8), (1, 3), (3, 4))]
    for shape, block, skip, count in cases:
        steps = [range(0, n, c) for n, c in zip(shape, count, strict=True)]
        starts = np.array(list(itertools.product(*steps)), np.intp)
        blocks = random_array(rng, (len(starts), *block), dtype, small=True)
        out = Guarded(shape, dtype, layout)
        out.array[...] = before = random_array(rng, shape, dtype, small=True)
        expected = before.copy() if add else np.zeros(shape, dtype)
        if add and dtype not in "fdFD":
            with pytest.raises(TypeError, match="adds"):
                _core.scatter_blocks(blocks, out.array, starts, skip, count, add)
            continue
        _core.scatter_blocks(blocks, out.array, starts, skip, count, add)
        for part, start in zip(blocks, starts, strict=True):
            target = expected[tuple(slice(s, s + c) for s, c in zip(start, count, strict=True))]
            valid = tuple(slice(k, k + n) for k, n in zip(skip, target.shape, strict=True))
            target += part[valid]
        np.testing.assert_array_equal(out.take(), expected)


def test_blocks_that_do_not_fit_are_refused():
    x, blocks, starts = np.ones((4, 5)), np.ones((3, 2, 2)), np.zeros((3, 2), np.intp)
    gather = [
        (x[0], blocks, starts),
        (x, blocks[0], starts),
        (x, blocks.astype("f"), starts),
        (x, blocks, starts[:2]),
        (x, blocks, starts[:, :1]),
        (x, blocks, starts.astype(np.int32)),
        (x, blocks, starts.repeat(2, 1)[:, ::2]),
        (x[:0], blocks, starts),
        (x, blocks[:, :, ::2], starts),
    ]
    for bad in gather:
        with pytest.raises(ValueError):
            _core.gather_blocks(*bad)
    for skip, count in (((0, 1), (2, 2)), ((-1, 0), (1, 1)), ((0,), (1,)), ((0, 0), (-1, 1))):
        with pytest.raises(ValueError):
            _core.scatter_blocks(blocks, x, starts, skip, count)
    with pytest.raises(ValueError):
        _core.scatter_blocks(blocks, x.astype("f"), starts, (0, 0), (1, 1))


# The fast road of short lines ---------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [d for d in DTYPES if d != "g"])
@pytest.mark.parametrize("mode", ["full", "same", "valid"])
def test_short_calls(dtype, mode, rng):
    """Both signal functions, wherever this road takes the call."""
    roads = (("convolve", _core.SHORT_SIGNAL_CONVOLVE), ("correlate", _core.SHORT_SIGNAL_CORRELATE))
    taken = 0
    for n, m in itertools.product((1, 2, 3, 7, 8, 16, 17, 33, 65, 200, 500), (1, 2, 3, 8, 17, 64)):
        a, b = operands(rng, (n,), (m,), dtype)
        for name, rules in roads:
            result = _core.short_call(a, b, mode, rules)
            if result is None:
                continue
            taken += 1
            expected = signal_reference(name, a, b, mode)
            bound = signal_bound(name, a, b, dtype, mode)
            assert_within(result, expected, bound, np.dtype(dtype), f"{name} {n} {m} {mode}")
    assert taken


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
@pytest.mark.parametrize("name", ["convolve", "correlate", "convolve2d", "correlate2d"])
def test_short_calls_of_more_axes(name, mode, rng):
    rules = getattr(_core, f"SHORT_SIGNAL_{name.upper()}")
    flat = name.endswith("2d")
    taken = 0
    for _ in range(200):
        ndim = 2 if flat else int(rng.integers(2, 5))
        longest = (0, 0, 20, 9, 6)[ndim]
        shapes = [tuple(int(n) for n in rng.integers(1, longest, ndim)) for _ in range(2)]
        dtype = str(rng.choice(list("bhilfdFD")))
        a, b = operands(rng, *shapes, dtype)
        result = _core.short_call(a, b, mode, rules)
        if result is None:
            continue
        taken += 1
        rest = mode, None, 0, 0, name == "correlate2d"
        expected = signal_reference(name.removesuffix("2d"), a, b, *rest)
        bound = 0
        if dtype in "fdFD":
            bound = 4 * np.finfo(dtype).eps * np.sqrt(b.size) * np.abs(a).sum() * np.abs(b).max()
        assert_within(result, expected, bound, np.dtype(dtype), f"{name} {shapes} {mode} {dtype}")
    assert taken > 20


def test_short_calls_leave_the_rest_alone():
    """Whatever is not plain is not for this road."""
    a, b = np.arange(9.0), np.arange(3.0)
    road = _core.SHORT_SIGNAL_CONVOLVE
    assert _core.short_call(a, b, "full", road) is not None
    refused = [
        (a[::2], b),
        (a, b[::-1]),
        (a.reshape(1, 1, 1, 1, 9), b.reshape(1, 1, 1, 1, 3)),
        (a[None], b),
        (a[:0], b),
        (a, b[:0]),
        (a.astype("f"), b),
        (a.astype(a.dtype.newbyteorder()), b.astype(b.dtype.newbyteorder())),
        (list(a), b),
        (a.view(np.recarray), b),
        (laid_out(a, "unaligned"), b),
        (np.ones(1_000_000), b),
        (np.ones(1000), np.ones(600)),
    ]
    for first, second in refused:
        assert _core.short_call(first, second, "full", road) is None
    image = np.ones((5, 5))
    assert _core.short_call(image, image, "full", _core.SHORT_NUMPY_CONVOLVE) is None
    assert _core.short_call(a, b, "full", _core.SHORT_SIGNAL_CONVOLVE2D) is None
    assert _core.short_call(np.ones((2, 9)), np.ones((9, 2)), "valid", road) is None
    assert _core.short_call(np.ones(1100), np.ones(1100), "valid", road) is None
    assert _core.short_call(np.ones(1000), np.ones(1000), "valid", road)[0] == 1000
    for mode in ("bogus", None, 2, ["full"]):
        assert _core.short_call(a, b, mode, road) is None


# Work on spectra ----------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("dtype", "fdFD")
def test_all_finite(dtype, threads):
    for count in (0, 1, 7, 16_384, 16_385, 100_000):
        a = np.ones(count, dtype)
        assert _core.all_finite(a, threads)
        for at in {0, count // 2, count - 1} if count else ():
            for value in (np.nan, np.inf, -np.inf):
                a[at] = value
                assert not _core.all_finite(a, threads)
                a[at] = 1


@pytest.mark.parametrize("dtype", "FD")
def test_multiply_spectrum(dtype, rng):
    for count in (1, 2, 3, 7, 8, 9, 15, 17, 33, 40_001):
        for rows in (1, 3):
            guarded = Guarded((rows, count), dtype)
            guarded.array[...] = a = random_array(rng, (rows, count), dtype)
            b = random_array(rng, count, dtype)
            _core.multiply_spectrum(guarded.array, b)
            exact = a.astype("G") * b
            bound = 4 * np.finfo(dtype).eps * np.abs(exact)
            assert_within(guarded.take(), exact, bound, np.dtype(dtype), f"{rows}x{count}")


@pytest.mark.parametrize("dtype", "fdFD")
def test_zero_nonfinite(dtype, rng):
    """NaN and Inf become zero and are counted by components; all else keeps its bits."""
    real = np.dtype(dtype).char.lower()
    for count in (1, 2, 7, 8, 9, 17, 33, 40_001):
        guarded = Guarded((count,), dtype)
        guarded.array[...] = random_array(rng, count, dtype)
        parts = guarded.array.view(real)
        parts[rng.random(parts.size) < 0.2] = np.nan
        parts[rng.random(parts.size) < 0.2] = -np.inf
        parts[rng.random(parts.size) < 0.2] = np.finfo(real).max
        parts[rng.random(parts.size) < 0.2] = np.finfo(real).smallest_subnormal
        expected = np.where(np.isfinite(parts), parts, 0)
        bad = int(np.sum(~np.isfinite(parts)))
        assert _core.zero_nonfinite(guarded.array) == bad
        np.testing.assert_array_equal(guarded.take().view(real), expected)


# The helpers themselves ---------------------------------------------------------------------------


def test_guards_see_a_stray_write():
    out = Guarded((4,), np.float32, "stepped")
    out.array[...] = 1
    out.buffer[-1] = CANARY ^ 1
    with pytest.raises(AssertionError, match="outside"):
        out.take()


def test_reference_matches_python_integers(rng):
    """The oracle, by hand: plain loops over Python's integers."""
    x, w = (random_array(rng, s, np.int64, small=True) for s in ((5, 4), (3, 2)))
    y = correlate_reference(x, w, (7, 5), (-2, -1))
    for p in np.ndindex(*y.shape):
        total = 0
        for k in np.ndindex(*w.shape):
            i, j = p[0] - 2 + k[0], p[1] - 1 + k[1]
            if 0 <= i < 5 and 0 <= j < 4:
                total += int(w[k]) * int(x[i, j])
        assert int(y[p]) == total


@pytest.mark.parametrize(
    ("boundary", "mode"),
    [(1, "constant"), (2, "symmetric"), (3, "reflect"), (4, "edge"), (5, "wrap")],
)
def test_reference_extends_like_numpy_pad(boundary, mode):
    x = np.arange(1, 6)
    padded = np.pad(x, 17, mode)
    np.testing.assert_array_equal(extend(x, (-17,), (39,), boundary)[0], padded)


def test_levels_are_named():
    """What was built, what this CPU runs, what is used: each a part of the one before."""
    built, usable, used = _core.isa_built(), _core.isa_usable(), _core.isa_used()
    assert set(usable) <= set(built)
    assert used in usable
