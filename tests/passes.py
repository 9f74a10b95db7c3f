"""Filters in passes, in plain NumPy: what `filter_blocks` should give, sums in its own order."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from arrays import Guarded
from casts import cut_to
from oracle import C_DIRECT, ZERO, assert_within, epsilon, extend, magnitude

from fastconv._native import _core
from fastconv._native._core import ALL_AXES

TILE, ORDERED, BOX, RUNNING = (
    _core.PASS_TILE,
    _core.PASS_ORDERED,
    _core.PASS_BOX,
    _core.PASS_RUNNING,
)
STORED = tuple("?bBhHiIqQfd")
INTEGERS = STORED[:-2]


def fold_of(line):
    """1 or -1 where SciPy takes a line for symmetric or antisymmetric, else 0."""
    half = line.size // 2
    for sign in (1, -1):
        if line.size % 2 and np.all(abs(line - sign * line[::-1])[:half] <= epsilon("d")):
            return sign
    return 0


@dataclass(repr=False)
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

    def __repr__(self):
        kept = ("axes", "taps", "out_shape", "offset", "kind", "dtype", "out_dtype", "boundary")
        kept += ("fill", "cut", "skip_zeros", "refill")
        facts = ", ".join(f"{name} {getattr(self, name)}" for name in kept)
        return f"{self.x.dtype} {self.x.shape}, {len(self.terms)} terms, {facts}"

    def run(self, threads=1, layout="C"):
        """The call itself, into an array between canaries."""
        out = Guarded(self.out_shape, self.out_dtype, layout)
        passes = [
            (self.kind, axis, [np.ascontiguousarray(term[p], self.dtype) for term in self.terms])
            for p, axis in enumerate(self.axes)
        ]
        kept = self.x.tobytes()
        _core.filter_blocks(
            self.x,
            out.array,
            passes,
            self.taps,
            self.offset,
            self.boundary,
            np.dtype(self.dtype),
            np.array([self.fill], self.dtype) if self.fill else None,
            self.cut,
            self.skip_zeros,
            self.refill,
            threads,
        )
        assert self.x.tobytes() == kept, "the input was changed"
        return out.take()

    def check(self, threads=1, layout="C"):
        """Run and compare."""
        self.compare(self.run(threads, layout))

    def compare(self, result):
        """By bits where the order of the sums is promised, or nothing rounds."""
        label = repr(self)
        with np.errstate(all="ignore"):
            expected = self.sums()
        if self.kind == ORDERED or self.out_dtype in INTEGERS:
            expected = cut_to(expected, self.out_dtype)
            if self.out_dtype == "?":  # as bytes: comparing booleans would forgive a 2
                result, expected = result.view(np.uint8), expected != 0
            np.testing.assert_array_equal(result, expected, err_msg=label)
            return
        for test in (np.isnan, np.isposinf, np.isneginf):
            np.testing.assert_array_equal(test(result), test(expected), err_msg=label)
        at = np.isfinite(expected)
        assert_within(result[at], expected[at], self.bound()[at], self.out_dtype, label)

    def sums(self):
        """The sums of the last pass, before they are cut or rounded."""
        wide = np.float64 if self.kind == ORDERED or self.cut else np.longdouble
        refilled = self.axes if self.refill and self.axes != (ALL_AXES,) else ()
        rest = [a for a in range(self.x.ndim) if a not in refilled]
        start = self._extended(self.x.astype(wide), rest)
        total = 0
        for kernels in self.terms:
            values = start
            for number, (axis, kernel) in enumerate(zip(self.axes, kernels, strict=True)):
                if number > 0 and self.cut:
                    values = cut_to(values, self.out_dtype).astype(wide)
                values = self._pass(self._extended(values, refilled and [axis]), kernel, axis)
            total = total + values
        return total

    def _extended(self, values, axes):
        """What some axes hold from the first window's beginning to the last one's end."""
        start, shape = [0] * values.ndim, list(values.shape)
        for a in axes:
            start[a], shape[a] = self.offset[a], self.out_shape[a] + self.taps[a] - 1
        return extend(values, start, shape, self.boundary, self.fill)[0]

    def _pass(self, values, kernel, axis):
        along = [-1 if a == axis else 1 for a in range(values.ndim)]
        kernel = kernel.reshape(self.taps if axis == ALL_AXES else along)
        shape = [n - k + 1 for n, k in zip(values.shape, kernel.shape, strict=True)]

        def window(tap):
            return values[tuple(slice(k, k + n) for k, n in zip(tap, shape, strict=True))]

        order, fold = list(np.ndindex(kernel.shape)), 0
        mirrored = dict(zip(order, reversed(order), strict=True))
        if self.kind in (BOX, RUNNING):
            return sum(map(window, order)) / values.dtype.type(kernel.size)
        if self.kind == ORDERED and axis != ALL_AXES:
            fold = fold_of(kernel.ravel())
            middle = kernel.size // 2 if fold else -1
            order = [order[middle], *order[:middle]]
        total = np.zeros(shape, values.dtype)
        for number, tap in enumerate(order):
            data = window(tap)
            if fold and number > 0:
                data = data + fold * window(mirrored[tap])
            if kernel[tap] != 0 or not self.skip_zeros or axis != ALL_AXES:
                total = total + data * kernel[tap]
        return total

    def bound(self):
        """c · eps · Σ sqrt(taps) · Σ |w| |x|, with the rounding of the data and of the terms."""
        terms = [[magnitude(kernel) for kernel in kernels] for kernels in self.terms]
        sizes = replace(self, x=magnitude(self.x), terms=terms, fill=abs(self.fill)).sums()
        roots = 1 + sum(math.sqrt(k.size) for k in terms[0]) + math.sqrt(len(terms))
        return C_DIRECT * epsilon(self.dtype) * roots * sizes


def whole_numbers(rng, shape, dtype, least=-99):
    """Numbers of two digits, from 0 on where the dtype has no others."""
    kind = np.dtype(dtype).kind
    low, high = (0, 2) if kind == "b" else (0 if kind == "u" else least, 100)
    return rng.integers(low, high, shape).astype(dtype)


def random_line(rng, taps, folds):
    """Taps, and where `folds` symmetric or antisymmetric ones, too."""
    values = rng.standard_normal(taps)
    return values + int(rng.integers(-1, 2)) * np.flip(values) if folds else values


def random_filter(rng, shape, taps, kind, dtype, x="d", out=None, axes=None, count=1, **options):
    """
    A filter of `count` terms, centred on the data unless the options say where.

    Integer results are exact: of whole numbers and taps, or cut after sums in order. What is cut
    stays within the integers of the computation: unsigned results of few bits, or of no negative.
    """
    out = out or dtype
    axes = axes or tuple(a for a, k in enumerate(taps) if k > 1) or (len(taps) - 1,)
    sizes = [math.prod(taps) if a == ALL_AXES else taps[a] for a in axes]
    integers = out in INTEGERS
    options["cut"] = integers and (kind != TILE or options.get("cut", False))
    positive = options["cut"] and np.dtype(out).kind == "u" and np.dtype(out).itemsize > 2
    if kind in (BOX, RUNNING) or integers or x in INTEGERS:
        data = whole_numbers(rng, shape, x, 0 if positive else -99)
    else:
        data = rng.standard_normal(shape).astype(x)
    if kind == TILE and integers:
        lines = [[rng.integers(-3, 4, n).astype("d") for n in sizes] for _ in range(count)]
    else:
        lines = [[random_line(rng, n, kind == ORDERED) for n in sizes] for _ in range(count)]
    if positive:
        lines = [[abs(line) for line in term] for term in lines]
    where = {"out_shape": shape, "offset": tuple(-(k // 2) for k in taps)}
    fixed = {"kind": kind, "dtype": dtype, "out_dtype": out}
    return Filter(data, lines, axes, taps, **{**where, **fixed, **options})
