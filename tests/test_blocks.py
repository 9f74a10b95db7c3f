"""`filter_blocks` below the methods: every kind of pass, dtype and edge, nothing written outside.

Only the tests that compare with SciPy need it, so that the others run in sanitizer builds too.
"""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from arrays import NATIVE_LAYOUTS, Guarded, laid_out
from casts import cut_to
from oracle import BOUNDARIES, CONSTANT, REFLECT, ZERO
from passes import BOX, ORDERED, RUNNING, STORED, TILE, random_filter

from fastconv._native import _core
from fastconv._native._core import ALL_AXES

# Kind of pass, dtype of the computation.
KINDS = {
    "tile-f": (TILE, "f"),
    "tile-d": (TILE, "d"),
    "ordered": (ORDERED, "d"),
    "box-f": (BOX, "f"),
    "box-d": (BOX, "d"),
    "running": (RUNNING, "d"),
}
DENSE = {name: KINDS[name] for name in ("tile-f", "tile-d", "ordered")}
MOST_TERMS = 4
LANES = (2, 4, 8, 16)
TAPS = (*range(1, 10), 25, 33, 65)
EDGES = sorted({m * lanes + d for lanes in LANES for m in (1, 2, 8) for d in (-1, 0, 1)})

every_kind = pytest.mark.parametrize(("kind", "dtype"), KINDS.values(), ids=KINDS)
every_dense_kind = pytest.mark.parametrize(("kind", "dtype"), DENSE.values(), ids=DENSE)
every_boundary = pytest.mark.parametrize("boundary", range(6), ids=BOUNDARIES)


def beyond(boundary, fill=3):
    return {"boundary": boundary, "fill": fill if boundary == CONSTANT else 0}


def some_terms(rng, kind):
    return int(rng.integers(1, MOST_TERMS + 1)) if kind == TILE else 1


# Dtypes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("x", STORED)
@every_kind
def test_every_stored_dtype(kind, dtype, x, rng):
    cases = itertools.cycle([((21,), (4,)), ((5, 9), (3, 3)), ((3, 4, 7), (2, 3, 3))])
    for out, boundary in itertools.product(STORED, range(6)):
        shape, taps = next(cases)
        # Cut to what a float holds exactly, whatever wraps around.
        exact = np.dtype(out).itemsize <= (2 if dtype == "f" else 4)
        options = {"count": some_terms(rng, kind), "cut": exact and bool(rng.integers(2))}
        random_filter(rng, shape, taps, kind, dtype, x, out, **beyond(boundary), **options).check()


@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize("kind", [TILE, ORDERED])
def test_extremes_of_a_dtype(kind, stored, rng):
    """The largest and the least numbers become doubles and come back."""
    dtype = np.dtype(stored)
    if dtype.kind == "f":
        info = np.finfo(dtype)
        x = np.array([info.max, info.min, info.tiny, info.smallest_subnormal, np.inf, 0], dtype)
    elif dtype.kind == "b":
        x = np.array([0, 1, 2, 255], np.uint8).view(bool)
    else:
        info = np.iinfo(dtype)
        step = 2 ** max(info.bits - 53, 0)  # neighbours among the doubles are no nearer
        x = np.array([info.min, info.max + 1 - step, info.max // 2 + 1, 1], dtype)
    # Odd booleans are one as numbers, too.
    out = "d" if stored == "?" else stored
    case = random_filter(rng, x.shape, (1,), kind, "d", stored, out)
    result = replace(case, x=x, terms=[[np.ones(1)]]).run()
    expected = (x.view("u1") != 0).astype(out) if stored == "?" else x
    np.testing.assert_array_equal(result.view("u1"), expected.view("u1"))


# Sizes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("taps", TAPS)
@every_kind
def test_lengths(kind, dtype, taps, rng):
    """Lines of every edge length, with and without anything beyond the data."""
    for n in EDGES:
        random_filter(rng, (n,), (taps,), kind, dtype, dtype).check()
        inside = {"out_shape": (n,), "offset": (0,)}
        random_filter(rng, (n + taps - 1,), (taps,), kind, dtype, dtype, **inside).check()


@pytest.mark.parametrize("taps", [(1, 4), (5, 1), (3, 3), (2, 9), (9, 2), (1, 1), (25, 33)])
@every_kind
def test_images(kind, dtype, taps, rng):
    for height, width in itertools.product((1, 7, 8, 9, 17), (1, 3, 4, 5, 15, 16, 17, 31, 65)):
        for axes in itertools.permutations([a for a in (0, 1) if taps[a] > 1] or [1]):
            random_filter(rng, (height, width), taps, kind, dtype, dtype, axes=axes).check()


@every_boundary
@every_kind
def test_taps_beyond_the_extents(kind, dtype, boundary, rng):
    """Kernels that exceed the data many times, and windows wholly outside of it."""
    for n, taps in itertools.product((1, 2, 5, 33), (1, 2, 5, 67)):
        for offset in (-taps + 1, 1, n, 3 * n + 2, -taps - 2 * n - 5):
            where = {"out_shape": (n + taps,), "offset": (offset,), **beyond(boundary)}
            random_filter(rng, (n,), (taps,), kind, dtype, dtype, **where).check()


@every_boundary
@every_kind
def test_dimensions(kind, dtype, boundary, rng):
    """Up to four, in any order of the passes; axes that no pass takes, some of them shifted."""
    cases = [((9,), (4,)), ((6, 7), (3, 5)), ((5, 4, 9), (3, 2, 4)), ((2, 5, 3, 6), (2, 3, 2, 4))]
    cases += [((4, 3, 5), (3, 1, 2)), ((3, 6, 2), (1, 5, 1)), ((2, 3, 4, 5), (1, 3, 2, 1))]
    for shape, taps in cases:
        for axes in itertools.permutations([a for a, k in enumerate(taps) if k > 1]):
            options = {"refill": bool(rng.integers(2)), "cut": bool(rng.integers(2))}
            if rng.integers(2):
                options["out_shape"] = tuple(n + int(rng.integers(-1, 3)) for n in shape)
                options["offset"] = tuple(int(rng.integers(-k - 1, 3)) for k in taps)
            options |= {"count": some_terms(rng, kind), **beyond(boundary, -3)}
            out = rng.choice([dtype, "h"])
            random_filter(rng, shape, taps, kind, dtype, out, out, axes, **options).check()


@pytest.mark.parametrize("out", ["float", "cut"])
@pytest.mark.parametrize("refill", [False, True])
@every_kind
def test_refill(kind, dtype, refill, out, rng):
    """A fill that the passes before would have changed."""
    for axes in itertools.permutations(range(3)):
        out_dtype = "i" if out == "cut" else dtype
        options = {"count": some_terms(rng, kind), **beyond(CONSTANT, 7)}
        options |= {"refill": refill, "cut": out == "cut"}
        args = (4, 5, 6), (3, 2, 4), kind, dtype, dtype, out_dtype
        random_filter(rng, *args, axes, **options).check()


BLOCKS = [
    ((1, 9001), (1, 25)),
    ((150, 701), (5, 3)),
    ((71, 2500), (2, 9)),
    ((1500, 65), (33, 4)),
    ((5, 40, 700), (3, 1, 7)),
    ((70, 4, 300, 3), (9, 1, 3, 1)),
]


@pytest.mark.parametrize(("shape", "taps"), BLOCKS)
@every_kind
def test_several_blocks_on_several_threads(kind, dtype, shape, taps, rng):
    """The same bits, whatever the threads and the blocks that these are given."""
    for x, out in ((dtype, dtype), ("h", "h")):
        options = beyond(int(rng.integers(6)))
        case = random_filter(rng, shape, taps, kind, dtype, x, out, **options)
        case.check()
        assert_same_bits(case)


@pytest.mark.parametrize(("kind", "dtype"), list(KINDS.values())[:-1], ids=list(KINDS)[:-1])
def test_a_part_of_the_outputs_has_the_bits_of_the_whole(kind, dtype, rng):
    """What lies before a block changes no sum in it; running sums alone go along whole lines."""
    for shape, taps in BLOCKS[:4]:
        whole = random_filter(rng, shape, taps, kind, dtype, dtype, boundary=REFLECT)
        some = tuple(slice(n // 3, n - n // 7) for n in shape)
        first = tuple(s.start + o for s, o in zip(some, whole.offset, strict=True))
        part = replace(whole, out_shape=whole.x[some].shape, offset=first)
        np.testing.assert_array_equal(part.run(2), whole.run(2)[some])


def assert_same_bits(case):
    alone = case.run(1)
    for threads in (2, 3):
        np.testing.assert_array_equal(case.run(threads), alone, err_msg=f"{threads} threads")


# A kernel over all axes ---------------------------------------------------------------------------


@pytest.mark.parametrize("special", [0, np.nan, np.inf])
@pytest.mark.parametrize("skip_zeros", [False, True])
@every_dense_kind
def test_dense(kind, dtype, skip_zeros, special, rng):
    """Zeros among the taps meet NaN and Inf, unless they are no taps."""
    cases = [((40,), (9,)), ((17, 35), (3, 4)), ((9, 130), (1, 25)), ((5, 6, 21), (3, 2, 5))]
    cases += [((3, 4, 5, 6), (2, 3, 1, 2)), ((20, 30), (5, 1)), ((9, 11, 3), (3, 3, 1))]
    for (shape, taps), boundary in itertools.product(cases, range(6)):
        options = {"count": some_terms(rng, kind), "axes": (ALL_AXES,), "skip_zeros": skip_zeros}
        options |= beyond(boundary)
        case = random_filter(rng, shape, taps, kind, dtype, dtype, **options)
        for term in case.terms:
            term[0][rng.random(term[0].size) < 0.4] = 0
        case.x.flat[rng.permutation(case.x.size)[:3]] = special, special, -special
        case.check()


@every_dense_kind
def test_dense_of_zeros_alone(kind, dtype, rng):
    case = random_filter(rng, (9, 40), (3, 3), kind, dtype, dtype, axes=(ALL_AXES,))
    case.x[...] = np.nan
    replace(case, terms=[[np.zeros(9)]], skip_zeros=True).check()


@every_dense_kind
def test_dense_of_every_dtype_and_in_several_blocks(kind, dtype, rng):
    options = {"axes": (ALL_AXES,), "boundary": REFLECT}
    for x, out in itertools.product(STORED, STORED):
        random_filter(rng, (6, 21), (3, 4), kind, dtype, x, out, cut=True, **options).check()
    for shape, taps, x in (((80, 3000), (3, 5), "f"), ((9, 40, 260), (3, 5, 3), "d")):
        case = random_filter(rng, shape, taps, kind, dtype, x, **options)
        case.check()
        assert_same_bits(case)


# Strides ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", NATIVE_LAYOUTS)
@every_kind
def test_layouts(kind, dtype, layout, rng):
    """Of the data, the output and both; channels of a pixel move together, or do not."""
    cases = [((40,), (5,)), ((9, 21), (3, 4)), ((3, 5, 19), (2, 1, 3)), ((12, 30), (1, 3))]
    cases += [((7, 11, channels), (3, 5, 1)) for channels in (2, 3, 4, 17)]
    cases += [((6, channels, 9), (3, 1, 3)) for channels in (2, 3)]
    layouts = {("C", layout), (layout, "C"), (layout, layout)}
    for (shape, taps), (of_x, of_out) in itertools.product(cases, layouts):
        for x, out in ((dtype, dtype), ("h", "B"), ("B", "f")):
            case = random_filter(rng, shape, taps, kind, dtype, x, out)
            replace(case, x=laid_out(case.x, of_x)).check(2, of_out)


@every_kind
def test_broadcast_strides(kind, dtype, rng):
    """A stride of zero: one element or one row that stands for many."""
    for one, shape in (((1, 1), (6, 37)), ((1, 37), (20, 37)), ((6, 1), (6, 50))):
        case = random_filter(rng, one, (3, 3), kind, dtype, dtype, out_shape=shape)
        replace(case, x=np.broadcast_to(case.x, shape)).check()


# What is not finite -------------------------------------------------------------------------------


@pytest.mark.parametrize("special", [np.nan, np.inf])
@every_kind
def test_nan_and_inf_touch_their_windows_alone(kind, dtype, special, rng):
    cases = [((9999,), (7,)), ((50, 90), (5, 6)), ((90, 40), (33, 1)), ((6, 7, 40), (3, 2, 4))]
    for shape, taps in cases:
        case = random_filter(rng, shape, taps, kind, dtype, dtype, boundary=REFLECT)
        case.x.flat[rng.permutation(case.x.size)[:2]] = special, -special
        case.check()


@every_kind
def test_large_numbers_leave_no_trace(kind, dtype, rng):
    """1e30 in one window, and not a digit less in the next."""
    for shape, taps in (((300,), (9,)), ((90, 40), (12, 1)), ((40, 90), (3, 4))):
        case = random_filter(rng, shape, taps, kind, dtype, dtype)
        case.x.flat[case.x.size // 2] = 1e30
        case.check()


# SciPy --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("out", STORED)
@pytest.mark.parametrize("name", ["correlate1d", "uniform_filter1d"])
def test_sums_are_scipys(name, out, rng):
    """Running ones of numbers of one size: elsewhere ours begin anew."""
    ndimage = pytest.importorskip("scipy.ndimage", reason="SciPy, whose bits these are")
    kind = ORDERED if name == "correlate1d" else RUNNING
    for x, taps in itertools.product(STORED, TAPS):
        case = random_filter(rng, (70,), (taps,), kind, "d", x, out, boundary=REFLECT)
        if x in "fd":
            case.x = (rng.random(70) + 0.5).astype(x)
        how = case.terms[0][0] if kind == ORDERED else taps
        sums = getattr(ndimage, name)(case.x, how, output=np.float64)
        expected = cut_to(sums, out)
        np.testing.assert_array_equal(case.run(), expected != 0 if out == "?" else expected)


# Refusals -----------------------------------------------------------------------------------------

ONE, ALL = np.ones(3), np.ones(9)


def lines(first, second, kind=TILE):
    """The passes of an image."""
    return {"passes": [(kind, 0, first), (kind, 1, second)]}


def call(**changes):
    """A good call but for the changes, between canaries."""
    out = Guarded((9, 8), "d")
    arguments = {"x": np.ones((9, 8)), "out": out.array, "taps": (3, 3), "offset": (-1, -1)}
    arguments |= {"boundary": ZERO, "dtype": np.dtype("d"), **lines([ONE], [ONE])}
    _core.filter_blocks(**arguments | changes)
    return out.take()


def test_the_call_is_good_without_changes():
    assert call()[4, 4] == 9


BAD = {
    "dimensionality of x": {"x": ONE},
    "number of offsets": {"offset": (-1,)},
    "empty x": {"x": np.ones((0, 8))},
    "number of taps": {"taps": (3, 3, 1)},
    "no tap": {"taps": (3, 0)},
    "no pass": {"passes": []},
    "no term": lines([], []),
    "five terms": lines([ONE] * 5, [ONE] * 5),
    "different terms": lines([ONE] * 2, [ONE]),
    "terms in order": lines([ONE] * 2, [ONE] * 2, ORDERED),
    "no such axis": {"passes": [(TILE, 0, [ONE]), (TILE, 2, [ONE])]},
    "taps of a line": lines([ONE], [np.ones(4)]),
    "taps of all": {"passes": [(TILE, ALL_AXES, [ONE])]},
    "dtype of the taps": lines([ONE], [ONE.astype("f")]),
    "taps with gaps": lines([ONE], [np.ones(6)[::2]]),
    "swapped computation": {"dtype": np.dtype("d").newbyteorder()},
    "scratch": {"taps": (3000, 3000), **lines([np.ones(3000)], [np.ones(3000)])},
    "integer computation": {"dtype": np.dtype("q")},
    "complex x": {"x": np.ones((9, 8), "D")},
    "objects": {"x": np.ones((9, 8), object)},
    "long double out": {"out": np.ones((9, 8), "g")},
    "taps that are no array": lines([[1.0] * 3], [ONE]),
    "axis without a pass": {"passes": [(TILE, 1, [ONE])]},
    "axis with two": {"passes": [(TILE, 0, [ONE]), (TILE, 1, [ONE]), (TILE, 0, [ONE])]},
    "no such kind": lines([ONE], [ONE], 7),
    "kinds in turn": {"passes": [(TILE, 1, [ONE]), (BOX, 0, [ONE])]},
    "box over all axes": {"passes": [(BOX, ALL_AXES, [ALL])]},
    "running sum of floats": {**lines([ONE.astype("f")], [ONE.astype("f")], RUNNING)}
    | {"dtype": np.dtype("f"), "x": np.ones((9, 8), "f"), "out": np.ones((9, 8), "f")},
    "dtype of the fill": {"boundary": CONSTANT, "fill": ONE[:1].astype("f")},
    "no such boundary": {"boundary": 9},
    "swapped x": {"x": np.ones((9, 8), np.dtype("d").newbyteorder())},
    "read-only out": {"out": np.broadcast_to(ONE[0], (9, 8))},
    "no thread": {"threads": 0},
}


@pytest.mark.parametrize("changes", BAD.values(), ids=BAD)
def test_what_does_not_fit_is_refused(changes):
    with pytest.raises((ValueError, TypeError)):
        call(**changes)


@pytest.mark.parametrize("dtype", [*STORED, "e", "g", "F", "D", "O", "m8[s]", "S3"])
def test_stored_dtypes(dtype):
    native = np.dtype(dtype)
    assert _core.is_stored(native) == (dtype in STORED)
    swapped = native.newbyteorder()
    assert _core.is_stored(swapped) == (dtype in STORED and native.itemsize == 1)
