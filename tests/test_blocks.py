"""`filter_blocks` below the methods: every kind of pass, dtype and edge, nothing written outside.

Only the tests that say so need SciPy, so that the others run in sanitizer builds too.
"""

import itertools
import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from arrays import NATIVE_LAYOUTS, Guarded, laid_out
from oracle import BOUNDARIES, C_DIRECT, CONSTANT, ZERO, assert_within, epsilon, extend, magnitude

from fastconv._native import _core
from fastconv._native._core import ALL_AXES

TILE, ORDERED, BOX, RUNNING = kinds = (
    _core.PASS_TILE,
    _core.PASS_ORDERED,
    _core.PASS_BOX,
    _core.PASS_RUNNING,
)
NAMES = dict(zip(kinds, ("tile", "ordered", "box", "running"), strict=True))
# Kind of pass and dtype of the computation.
KINDS = [(TILE, "f"), (TILE, "d"), (ORDERED, "d"), (BOX, "f"), (BOX, "d"), (RUNNING, "d")]
STORED = tuple("?bBhHiIqQfd")
INTEGERS = STORED[:-2]
LANES = (2, 4, 8, 16)
TAPS = (*range(1, 10), 25, 33, 65)
EDGES = sorted({m * n + d for n in LANES for m in (1, 2, 8) for d in (-1, 0, 1)})

every_kind = pytest.mark.parametrize(
    ("kind", "dtype"), KINDS, ids=[f"{NAMES[kind]}-{dtype}" for kind, dtype in KINDS]
)
every_boundary = pytest.mark.parametrize("boundary", range(6), ids=BOUNDARIES)


def cut_to(values, dtype):
    """Numbers of a dtype as C's casts make them; a bool is the byte of its sum between passes."""
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return values.astype(dtype)
    return np.trunc(values).astype(np.int64).astype(np.uint8 if dtype.kind == "b" else dtype)


def fold_of(line):
    """1 or -1 where SciPy takes a line for symmetric or antisymmetric, else 0."""
    for sign in (1, -1):
        if line.size % 2 and np.all(abs(line - sign * line[::-1])[: line.size // 2] <= epsilon("d")):
            return sign
    return 0


@dataclass
class Filter:
    """One call, and what it should give."""

    x: np.ndarray
    terms: list  # for each term the kernel of each pass
    axes: tuple  # of the passes
    taps: tuple
    out_shape: tuple
    offset: tuple
    kind: int
    dtype: str  # of the computation
    out_dtype: str
    boundary: int = ZERO
    fill: float = 0
    cut: bool = False
    skip_zeros: bool = False
    refill: bool = True

    def run(self, threads=1, layout="C"):
        out = Guarded(self.out_shape, self.out_dtype, layout)
        passes = [
            (self.kind, axis, [np.ascontiguousarray(term[p], self.dtype) for term in self.terms])
            for p, axis in enumerate(self.axes)
        ]
        fill = np.array([self.fill], self.dtype) if self.fill else None
        kept = self.x.tobytes()
        _core.filter_blocks(
            self.x,
            out.array,
            passes,
            self.taps,
            self.offset,
            self.boundary,
            np.dtype(self.dtype),
            fill,
            self.cut,
            self.skip_zeros,
            self.refill,
            threads,
        )
        assert self.x.tobytes() == kept, "the input was changed"
        return out.take()

    def check(self, threads=1, layout="C"):
        """Run, and compare: by bits where nothing rounds but as is promised."""
        result = self.run(threads, layout)
        with np.errstate(all="ignore"):
            expected = self.values()
        if self.kind == ORDERED or self.cut or self.out_dtype in INTEGERS:
            expected = cut_to(expected, self.out_dtype)
            if self.out_dtype == "?":  # as bytes: comparing booleans would forgive a 2
                result, expected = result.view(np.uint8), expected != 0
            np.testing.assert_array_equal(result, expected, err_msg=f"{self}")
            return
        places = np.isfinite(expected)
        for test in (np.isnan, np.isposinf):
            np.testing.assert_array_equal(test(result), test(expected), err_msg=f"{self}")
        assert_within(
            result[places], expected[places], self.bound()[places], self.out_dtype, f"{self}"
        )

    def values(self):
        """The sums of the last pass, before they are cut or rounded."""
        exact = self.kind == ORDERED or self.cut
        start = self.x.astype(np.float64 if exact else np.longdouble)
        passed = self.axes if self.refill and self.axes != (ALL_AXES,) else ()
        start = self.extended(start, [a for a in range(start.ndim) if a not in passed])
        total = 0
        for term in self.terms:
            values = start
            for p, (axis, kernel) in enumerate(zip(self.axes, term, strict=True)):
                if p > 0 and self.cut:
                    values = cut_to(values, self.out_dtype).astype(start.dtype)
                values = self.summed(self.extended(values, [axis] if passed else []), kernel, axis)
            total = total + values
        return total

    def extended(self, values, axes):
        """What some axes hold between the edges of their windows."""
        window = [n + k - 1 for n, k in zip(self.out_shape, self.taps, strict=True)]
        start = [self.offset[a] if a in axes else 0 for a in range(values.ndim)]
        shape = [window[a] if a in axes else n for a, n in enumerate(values.shape)]
        return extend(values, start, shape, self.boundary, self.fill)[0]

    def summed(self, values, kernel, axis):
        """One pass, in its order of the taps."""
        ndim, line = values.ndim, axis != ALL_AXES
        kernel = kernel.reshape([-1 if line and a == axis else 1 for a in range(ndim)] if line else
                                self.taps)
        shape = [n - k + 1 for n, k in zip(values.shape, kernel.shape, strict=True)]
        windows = {
            k: values[tuple(slice(i, i + n) for i, n in zip(k, shape, strict=True))]
            for k in np.ndindex(kernel.shape)
        }
        order, fold = list(windows), 0
        if self.kind in (BOX, RUNNING):
            return sum(windows.values()) / values.dtype.type(kernel.size)
        if self.kind == ORDERED and line:
            fold = fold_of(kernel.ravel())
            middle = kernel.size // 2 if fold else -1
            order = [order[middle], *order[:middle]]
        total = 0
        for k in order:
            window = windows[k]
            if fold and k != order[0]:
                window = window + fold * windows[tuple(n - 1 - i for i, n in zip(k, kernel.shape))]
            if kernel[k] != 0 or not self.skip_zeros:
                total = total + window * kernel[k]
        return total if np.ndim(total) else np.zeros(shape)

    def bound(self):
        """c · eps · Σ sqrt(taps) · Σ |w| |x|, and the data's own rounding."""
        terms = [[magnitude(k) for k in term] for term in self.terms]
        sizes = replace(self, x=magnitude(self.x), terms=terms, fill=abs(self.fill)).values()
        roots = sum(math.sqrt(k.size) for k in self.terms[0]) + math.sqrt(len(self.terms))
        return C_DIRECT * epsilon(self.dtype) * (roots + 1) * sizes


def data(rng, shape, dtype):
    """Whole numbers of two digits."""
    kind = np.dtype(dtype).kind
    return rng.integers(0 if kind in "bu" else -99, 2 if kind == "b" else 100, shape).astype(dtype)


def line(rng, taps, kind, whole):
    """Taps of a line: symmetric ones, antisymmetric ones, any."""
    if whole:
        return rng.integers(-3, 4, taps).astype("d")
    values = rng.standard_normal(taps)
    sign = rng.integers(-1, 2) if kind == ORDERED else 0
    return values + sign * np.flip(values)


def random_filter(rng, shape, taps, kind=TILE, dtype="d", x="d", out=None, axes=None, **options):
    """Centred on the data, unless the options say where; `count` terms."""
    out = out or dtype
    axes = axes or tuple(a for a, k in enumerate(taps) if k > 1) or (len(taps) - 1,)
    count = options.pop("count", 1)
    whole = out in INTEGERS and kind != ORDERED
    sizes = [math.prod(taps) if a == ALL_AXES else taps[a] for a in axes]
    values = data(rng, shape, x)
    if x in "fd" and not whole and kind in (TILE, ORDERED):
        values = rng.standard_normal(shape).astype(x)
    where = {"out_shape": shape, "offset": tuple(-(k // 2) for k in taps)}
    if kind in (BOX, RUNNING):
        options["cut"] = out in INTEGERS
    return Filter(
        values,
        [[line(rng, n, kind, whole) for n in sizes] for _ in range(count)],
        axes,
        taps,
        kind=kind,
        dtype=dtype,
        out_dtype=out,
        **{**where, **options},
    )


# Dtypes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("x", STORED)
@every_kind
def test_every_stored_dtype(kind, dtype, x, rng):
    shapes = itertools.cycle([((21,), (4,)), ((5, 9), (3, 3)), ((3, 4, 7), (2, 3, 3))])
    for out, boundary in itertools.product(STORED, range(6)):
        fill = 3 if boundary == CONSTANT else 0
        count = 1 + boundary % 4 if kind == TILE else 1
        options = {"boundary": boundary, "fill": fill, "count": count, "cut": bool(boundary % 2)}
        shape, taps = next(shapes)
        if kind == TILE and out in "fd":
            options["cut"] = False  # its sums may round in any order
        random_filter(rng, shape, taps, kind, dtype, x, out, **options).check()


@pytest.mark.parametrize("stored", STORED)
def test_extremes_of_a_dtype(stored):
    """The largest and the least numbers go through a double and come back."""
    dtype = np.dtype(stored)
    if dtype.kind == "f":
        info = np.finfo(dtype)
        x = np.array([info.max, info.min, info.tiny, info.smallest_subnormal, np.inf, -0.0], dtype)
    elif dtype.kind == "b":
        x = np.array([0, 1, 2, 255], np.uint8).view(bool)
    else:
        info = np.iinfo(dtype)
        step = 2 ** max(info.bits - 53, 0)  # neighbours among the doubles
        x = np.array([info.min, info.max - step + 1, info.max // 2 + 1, 0, 1], dtype)
    for kind in (TILE, ORDERED):
        only = random_filter(np.random.default_rng(0), x.shape, (1,), kind, "d", stored, stored)
        only = replace(only, x=x, terms=[[np.ones(1)]], axes=(0,))
        np.testing.assert_array_equal(only.run().view("u1"), (x != 0 if stored == "?" else x).view("u1"))


# Sizes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("taps", TAPS)
@every_kind
def test_lengths(kind, dtype, taps, rng):
    """Lines of every edge length, inside, at both ends and beyond."""
    for n in EDGES:
        random_filter(rng, (n,), (taps,), kind, dtype, x=dtype).check()
        inside = {"out_shape": (n,), "offset": (0,)}
        random_filter(rng, (n + taps - 1,), (taps,), kind, dtype, x=dtype, **inside).check()


@pytest.mark.parametrize("taps", [(1, 4), (5, 1), (3, 3), (2, 9), (9, 2), (1, 1), (25, 33)])
@every_kind
def test_images(kind, dtype, taps, rng):
    for height, width in itertools.product((1, 7, 8, 9, 17), (1, 3, 4, 5, 15, 16, 17, 31, 65)):
        orders = itertools.permutations([a for a in (0, 1) if taps[a] > 1] or [1])
        for axes in orders:
            random_filter(rng, (height, width), taps, kind, dtype, x=dtype, axes=axes).check()


@every_boundary
@every_kind
def test_taps_beyond_the_extents(kind, dtype, boundary, rng):
    """Kernels that exceed the data many times, and windows wholly outside of it."""
    for n, taps in itertools.product((1, 2, 5, 33), (1, 2, 5, 67)):
        for offset in (-taps + 1, 1, n, 3 * n + 2, -taps - 2 * n - 5):
            where = {"out_shape": (n + taps,), "offset": (offset,), "boundary": boundary}
            where["fill"] = 2 if boundary == CONSTANT else 0
            random_filter(rng, (n,), (taps,), kind, dtype, x=dtype, **where).check()


@every_boundary
@every_kind
def test_dimensions(kind, dtype, boundary, rng):
    """Up to four, in any order of the passes; axes that no pass takes, some of them shifted."""
    cases = [((9,), (4,)), ((6, 7), (3, 5)), ((5, 4, 9), (3, 2, 4)), ((2, 5, 3, 6), (2, 3, 1, 4))]
    cases += [((4, 3, 5), (3, 1, 2)), ((3, 6, 2), (1, 5, 1)), ((2, 3, 4, 5), (1, 3, 2, 1))]
    for shape, taps in cases:
        for axes in itertools.permutations([a for a, k in enumerate(taps) if k > 1]):
            options = {"boundary": boundary, "fill": -3 if boundary == CONSTANT else 0}
            options["refill"] = bool(rng.integers(2))
            if rng.integers(2):
                options["out_shape"] = tuple(n + int(rng.integers(-1, 3)) for n in shape)
                options["offset"] = tuple(int(rng.integers(-k - 1, 3)) for k in taps)
            options["count"] = int(rng.integers(1, 5)) if kind == TILE else 1
            out = "iihd"[rng.integers(4)] if kind in (ORDERED, BOX, RUNNING) else dtype
            options["cut"] = kind == ORDERED and out != "d"
            random_filter(rng, shape, taps, kind, dtype, out, out, axes, **options).check()


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("refill", [False, True])
@every_kind
def test_refill(kind, dtype, refill, cut, rng):
    """A fill that the passes before would have changed."""
    out = "i" if cut else dtype
    for axes in itertools.permutations(range(3)):
        options = {"boundary": CONSTANT, "fill": 7, "refill": refill, "cut": cut}
        random_filter(rng, (4, 5, 6), (3, 2, 4), kind, dtype, out, out, axes, **options).check()


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
    """The same bits, whatever the threads and the blocks that they are given."""
    boundary = int(rng.integers(6))
    options = {"boundary": boundary, "fill": 2 if boundary == CONSTANT else 0}
    for x, out in ((dtype, dtype), ("B", dtype), ("h", "h")):
        case = random_filter(rng, shape, taps, kind, dtype, x, out, **options)
        case.check()
        alone = case.run(1)
        for threads in (2, 3):
            np.testing.assert_array_equal(case.run(threads), alone)


# A kernel over all axes ---------------------------------------------------------------------------


@pytest.mark.parametrize("special", [None, np.nan, np.inf])
@pytest.mark.parametrize("skip_zeros", [False, True])
@pytest.mark.parametrize(("kind", "dtype"), KINDS[:3])
def test_dense(kind, dtype, skip_zeros, special, rng):
    """Zeros among the taps meet NaN and Inf, unless they are no taps."""
    cases = [((40,), (9,)), ((17, 35), (3, 4)), ((9, 130), (1, 25)), ((5, 6, 21), (3, 2, 5))]
    cases += [((3, 4, 5, 6), (2, 3, 1, 2)), ((20, 30), (5, 1)), ((9, 11, 3), (3, 3, 1))]
    for (shape, taps), boundary in itertools.product(cases, range(6)):
        options = {"boundary": boundary, "fill": 2 if boundary == CONSTANT else 0}
        options |= {"count": int(rng.integers(1, 5)) if kind == TILE else 1, "axes": (ALL_AXES,)}
        case = random_filter(rng, shape, taps, kind, dtype, dtype, **options)
        case.skip_zeros = skip_zeros
        for term in case.terms:
            term[0][rng.random(term[0].size) < 0.4] = 0
        if special is not None:
            case.x.flat[rng.permutation(case.x.size)[:3]] = special, special, -special
        case.check()


@pytest.mark.parametrize(("kind", "dtype"), KINDS[:3])
def test_dense_in_several_blocks(kind, dtype, rng):
    for shape, taps, x in (((80, 3000), (3, 5), "f"), ((9, 40, 260), (3, 5, 3), "d")):
        case = random_filter(rng, shape, taps, kind, dtype, x, axes=(ALL_AXES,), boundary=2)
        case.check()
        for threads in (2, 3):
            np.testing.assert_array_equal(case.run(threads), case.run(1))


# Strides ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", NATIVE_LAYOUTS)
@every_kind
def test_layouts(kind, dtype, layout, rng):
    """Data, output and both of them; channels of a pixel move together, or do not."""
    cases = [((40,), (5,)), ((9, 21), (3, 4)), ((3, 5, 19), (2, 1, 3)), ((12, 30), (1, 3))]
    cases += [((7, 11, channels), (3, 5, 1)) for channels in (2, 3, 4, 17)]
    cases += [((6, channels, 9), (3, 1, 3)) for channels in (2, 3)]
    for (shape, taps), x_layout, out_layout in itertools.product(cases, {"C", layout}, {"C", layout}):
        for x, out in ((dtype, dtype), ("h", "B"), ("B", "f")):
            case = random_filter(rng, shape, taps, kind, dtype, x, out)
            case.x = laid_out(case.x, x_layout)
            case.check(2, out_layout)


@every_kind
def test_broadcast_strides(kind, dtype, rng):
    """A stride of zero: one element or one row that stands for many."""
    for one, shape in (((1, 1), (6, 37)), ((1, 37), (20, 37)), ((6, 1), (6, 50))):
        case = random_filter(rng, one, (3, 3), kind, dtype, dtype, out_shape=shape)
        case.x = np.broadcast_to(case.x, shape)
        case.check()


# What is not finite -------------------------------------------------------------------------------


@pytest.mark.parametrize("special", [np.nan, np.inf])
@every_kind
def test_nan_and_inf_touch_their_windows_alone(kind, dtype, special, rng):
    for shape, taps in (((500,), (7,)), ((50, 90), (5, 6)), ((90, 40), (33, 1)), ((6, 7, 40), (3, 2, 4))):
        case = random_filter(rng, shape, taps, kind, dtype, dtype, boundary=2)
        case.x.flat[rng.permutation(case.x.size)[:2]] = special, -special
        case.check()


@every_kind
def test_large_numbers_leave_no_trace(kind, dtype, rng):
    """1e30 in one window, and not a digit less in the next."""
    case = random_filter(rng, (300,), (9,), kind, dtype, dtype)
    case.x[100] = 1e30
    case.check()


# SciPy --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("out", STORED)
def test_ordered_sums_are_scipys(out, rng):
    ndimage = pytest.importorskip("scipy.ndimage", reason="SciPy, whose bits these are")
    for x, taps in itertools.product(STORED, TAPS):
        case = random_filter(rng, (70,), (taps,), ORDERED, "d", x, out, boundary=2)
        expected = ndimage.correlate1d(case.x, case.terms[0][0], output=out)
        np.testing.assert_array_equal(case.run(), expected != 0 if out == "?" else expected)


@pytest.mark.parametrize("out", STORED)
def test_running_sums_are_scipys(out, rng):
    ndimage = pytest.importorskip("scipy.ndimage", reason="SciPy, whose bits these are")
    for x, taps in itertools.product(STORED, TAPS):
        case = random_filter(rng, (70,), (taps,), RUNNING, "d", x, out, boundary=2)
        if x in "fd":
            case.x += rng.random(70).astype(x) + 200
        expected = ndimage.uniform_filter1d(case.x, taps, output=out)
        np.testing.assert_array_equal(case.run(), expected != 0 if out == "?" else expected)


# Refusals -----------------------------------------------------------------------------------------

ROW = np.ones(3)
GOOD = {
    "x": np.ones((9, 8)),
    "out": np.zeros((9, 8)),
    "passes": [(TILE, 0, [ROW]), (TILE, 1, [ROW])],
    "taps": (3, 3),
    "offset": (-1, -1),
    "boundary": ZERO,
    "dtype": np.dtype("d"),
}
