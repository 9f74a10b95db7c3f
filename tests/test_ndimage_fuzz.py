"""Differential fuzz of fastconv.ndimage against scipy.ndimage.

Integer outputs are SciPy's bit for bit, float outputs lie within a bound that is made of eps, the
number of taps and the sum of their absolute products, errors have SciPy's type.  Every chunk is
one seed, named by the test's id; a failure prints a call that can be pasted.
"""

import math
import warnings
from dataclasses import dataclass

import numpy as np
import pytest
from arrays import LAYOUTS, NATIVE_LAYOUTS, Guarded, laid_out
from backend import able
from oracle import C_DIRECT, assert_within, epsilon

import fastconv.ndimage

ndimage = pytest.importorskip("scipy.ndimage", reason="SciPy, to compare with")

DENSE = ("correlate", "convolve")
LINE = ("correlate1d", "convolve1d")
UNIFORM = ("uniform_filter", "uniform_filter1d")
GAUSSIAN = ("gaussian_filter", "gaussian_filter1d")
SUMS = ("laplace", "gaussian_laplace", "gaussian_gradient_magnitude")
DERIVATIVES = ("prewitt", "sobel", *SUMS)
NEEDS_AN_AXIS = (*LINE, "uniform_filter1d", "gaussian_filter1d", "prewitt", "sobel")

CHUNK = 250
GROUPS = {  # chunks, and the functions they draw from: 22,500 problems
    "dense": (30, DENSE),
    "line": (22, LINE),
    "uniform": (12, UNIFORM),
    "gaussian": (12, GAUSSIAN),
    "differences": (8, ("prewitt", "sobel", "laplace")),
    "gaussian sums": (6, ("gaussian_laplace", "gaussian_gradient_magnitude")),
}
MODES = (
    *("reflect", "constant", "nearest", "mirror", "wrap"),
    *("grid-mirror", "grid-constant", "grid-wrap"),
)
REAL, COMPLEX = "?bBhHiIlLqQfffffddddd", "FD"
LONGEST = (0, 60, 12, 6, 4)  # of an image, by the number of dimensions
LONGEST_KERNEL = (0, 30, 9, 4, 3)
MANY_TAPS = 60  # from here on an FFT may be chosen


@dataclass
class Problem:
    """A call; `output` is None, a dtype, its name, "input" or (dtype, layout) of an array."""

    name: str
    x: np.ndarray
    layouts: tuple  # of x and of the weights
    output: object
    kwargs: dict

    def __str__(self):
        output = self.output
        if output == "input":
            output = "x"
        elif isinstance(output, tuple):
            output = f"laid_out(np.zeros({self.x.shape}, {output[0]!r}), {output[1]!r})"
        else:
            output = literal(output)
        rest = "".join(f", {key}={self.literal(value)}" for key, value in self.kwargs.items())
        x = f"x = laid_out({literal(self.x)}, {self.layouts[0]!r})"
        return f"{x}\nfastconv.ndimage.{self.name}(x, output={output}{rest})"

    def literal(self, value):
        plain = not isinstance(value, np.ndarray)
        return literal(value) if plain else f"laid_out({literal(value)}, {self.layouts[1]!r})"


def literal(value):
    if isinstance(value, np.ndarray):
        return f"np.array({value.tolist()}, {value.dtype.str!r}).reshape({value.shape})"
    if isinstance(value, type | np.dtype):
        return f"np.dtype({np.dtype(value).str!r})"
    return repr(value)


# Random problems ----------------------------------------------------------------------------------


def choose(rng, options):
    return options[int(rng.integers(len(options)))]


def random_problem(rng, name):
    ndim = int(rng.choice([0, 1, 2, 3, 4], p=[0.02, 0.3, 0.38, 0.2, 0.1]))
    shape = random_shape(rng, max(ndim, 1) if name in NEEDS_AN_AXIS else ndim, LONGEST)
    complex_taps = name in (*DENSE, *LINE) and rng.random() < 0.15
    dtype = choose(rng, COMPLEX if rng.random() < 0.1 and "magnitude" not in name else REAL)
    layouts = choose(rng, able(LAYOUTS)), choose(rng, able(LAYOUTS))
    output = random_output(rng, name, dtype, layouts[0], complex_taps or dtype in COMPLEX)
    into = np.dtype(output_dtype(output, dtype))
    if name in DERIVATIVES and into.char in "?LQ":
        output = into = np.dtype(np.int64)  # between the passes, bool and uint64 would overflow
    # The sums of these stay below 256 and 2**63: beyond, C leaves the cast undefined.
    tame = into.char == "?" or (into.char in "LQ" and name in (*UNIFORM, *GAUSSIAN))
    x = random_image(rng, shape, dtype, largest(name, into), lowest=0 if tame else -1)
    kwargs = random_arguments(rng, name, len(shape), complex_taps, tame)
    kwargs["cval"] = choose(rng, (0.5, 0.0) if tame else (0.0, 0.0, 1.5, 2, -3.0))
    if dtype in COMPLEX and rng.random() < 0.3:
        kwargs["cval"] *= 1 - 2j
    return Problem(name, x, layouts, output, kwargs)


def random_shape(rng, ndim, longest):
    """Mostly small, sometimes as long as allowed, sometimes 1, rarely 0."""
    sizes = rng.integers(1, choose(rng, (3, 5, longest[ndim])) + 1, ndim)
    if ndim and longest is LONGEST and rng.random() < 0.02:
        sizes[rng.integers(ndim)] = 0
    return tuple(int(n) for n in sizes)


def random_output(rng, name, dtype, layout, is_complex):
    if rng.random() < 0.35:
        return None
    alias = name not in SUMS and layout != "readonly" and (dtype in COMPLEX or not is_complex)
    if alias and rng.random() < 0.2:
        return "input"
    into = choose(rng, COMPLEX if is_complex else REAL)
    if rng.random() < 0.5:
        return into, choose(rng, able((*NATIVE_LAYOUTS, "swapped")))
    return choose(rng, (np.dtype(into), np.dtype(into).type, np.dtype(into).name))


def output_dtype(output, dtype):
    if output is None or output == "input":
        return dtype
    return output[0] if isinstance(output, tuple) else output


def largest(name, into):
    """The largest |x| for which no sum leaves the range where C defines the cast."""
    if into.kind == "b":
        return 1
    if name == "gaussian_gradient_magnitude" and into.kind in "iu":
        return {1: 5, 2: 80, 4: 2**14, 8: 2**28}[into.itemsize]
    return 2**40 if into.itemsize == 8 else 2**15


def random_image(rng, shape, dtype, limit, lowest):
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return np.asarray(rng.random(shape) < 0.5)
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        low, high = max(info.min, lowest * limit), min(info.max, limit)
        return np.asarray(rng.integers(low, high, shape, endpoint=True)).astype(dtype)
    x = np.clip(choose(rng, (1, 30)) * rng.standard_normal(shape), lowest * limit, limit)
    if dtype.kind == "c":
        x = x + 1j * rng.standard_normal(shape)
    return np.asarray(x).astype(dtype)


def random_weights(rng, shape, is_complex, tame):
    kind = choose(rng, ("integers", "floats", "box", "even", "odd"))
    if kind == "box":
        weights = np.full(shape, 1 / max(math.prod(shape), 1))
    elif tame or kind == "integers":
        weights = rng.integers(0 if tame else -3, 3, shape)
    else:
        weights = rng.standard_normal(shape)
    if kind in ("even", "odd") and not tame:
        weights = weights + np.flip(weights) * (1 if kind == "even" else -1)
    weights = np.where(rng.random(shape) < choose(rng, (0, 0.3)), 0, weights)
    if is_complex:
        weights = weights + 1j * rng.standard_normal(shape)
    dtypes = {"i": "bhiqfd", "f": "efddg", "c": "FDD"}[weights.dtype.kind]
    return weights.astype(choose(rng, able(dtypes)))


def random_axes(rng, ndim):
    if rng.random() < 0.6:
        return None
    axes = rng.permutation(ndim)[: rng.integers(0, ndim + 1)]
    return tuple(int(axis - ndim * (rng.random() < 0.3)) for axis in axes)


def random_origin(rng, size):
    """Where the window may stand; once in a while one too far."""
    return int(rng.integers(-(size // 2), (size - 1) // 2 + 1)) + (rng.random() < 0.01)


def random_arguments(rng, name, ndim, is_complex, tame):
    """The arguments besides input, output and cval."""
    axes, axis = random_axes(rng, ndim), int(rng.integers(-ndim, ndim)) if ndim else 0
    count = ndim if axes is None else len(axes)

    def one_or_each(draw, count=count):
        return draw() if rng.random() < 0.5 else [draw() for _ in range(count)]

    def mode():
        return choose(rng, MODES)

    def size():
        return int(rng.integers(1, choose(rng, (4, 8, 30))))

    def sigma():
        return choose(rng, (0, 0.4, 0.8, 1, 1.7, 2.5))

    def order():
        return 0 if tame else int(rng.integers(0, 3))

    def radius():
        return choose(rng, (None, None, 0, 1, 5))

    def origins(sizes):
        return [random_origin(rng, n) for n in sizes] if rng.random() < 0.6 else 0

    if name in DENSE:
        shape = random_shape(rng, count, LONGEST_KERNEL)
        weights = random_weights(rng, shape, is_complex, tame)
        sizes = dict(zip(sorted(axes_of(axes, ndim)), shape, strict=True))
        origin = origins([sizes[axis] for axis in axes_of(axes, ndim)])
        return {"weights": weights, "mode": mode(), "origin": origin, "axes": axes}
    if name in LINE:
        weights = random_weights(rng, random_shape(rng, 1, LONGEST_KERNEL), is_complex, tame)
        origin = random_origin(rng, len(weights))
        return {"weights": weights, "mode": mode(), "origin": origin, "axis": axis}
    if name == "uniform_filter":
        sizes, modes = [size() for _ in range(count)], one_or_each(mode)
        return {"size": sizes, "mode": modes, "origin": origins(sizes), "axes": axes}
    if name == "uniform_filter1d":
        window = size()
        origin = random_origin(rng, window)
        return {"size": window, "mode": mode(), "origin": origin, "axis": axis}
    if name == "gaussian_filter":
        draws = {"sigma": sigma, "order": order, "mode": mode, "radius": radius}
        drawn = {key: one_or_each(draw) for key, draw in draws.items()}
        return {**drawn, "axes": axes, "truncate": choose(rng, (4.0, 2.5))}
    if name == "gaussian_filter1d":
        drawn = {"sigma": sigma() or 1, "order": order(), "radius": radius()}
        return {**drawn, "mode": mode(), "axis": axis}
    if name in ("prewitt", "sobel"):
        return {"axis": axis, "mode": one_or_each(mode, ndim)}
    # The gradient's magnitude smooths all axes, whatever its `axes` are.
    sigmas = one_or_each(sigma, ndim if name == "gaussian_gradient_magnitude" else count)
    rest = {} if name == "laplace" else {"sigma": sigmas}
    return {**rest, "mode": one_or_each(mode), "axes": axes}


# Bounds -------------------------------------------------------------------------------------------


def size_of(a):
    """|Re a| + |Im a|: no product of parts is larger than the product of these."""
    a = np.asarray(a)
    return np.abs(a.real.astype(np.float64)) + np.abs(a.imag.astype(np.float64))


def each(value, count):
    return list(value) if np.iterable(value) and not isinstance(value, str) else [value] * count


def axes_of(axes, ndim):
    return range(ndim) if axes is None else [axis % ndim for axis in axes]


def gaussian_taps(sigma, order, radius, truncate):
    radius = int(truncate * sigma + 0.5) if radius is None else radius
    impulse = np.zeros(2 * radius + 1)
    impulse[radius] = 1
    return size_of(ndimage.gaussian_filter1d(impulse, sigma, -1, order, radius=radius))


def gaussian_passes(axes, sigma, order, mode, radius=None, truncate=4.0):
    given = (each(value, len(axes)) for value in (sigma, order, mode, radius))
    return [
        (axis, gaussian_taps(s, o, r, truncate), m, 0)
        for axis, s, o, m, r in zip(axes, *given, strict=True)
        if s > 1e-15
    ]


def passes_of(name, ndim, kwargs):
    """For every term of the filter's sum its passes, as (axis, |taps|, mode, origin)."""
    given = {key: value for key, value in kwargs.items() if key not in ("axis", "axes", "cval")}
    axes = axes_of(kwargs["axes"], ndim) if "axes" in kwargs else [kwargs["axis"] % ndim]
    if name in LINE:
        taps, origin = size_of(given["weights"]), given["origin"]
        if name == "convolve1d":
            taps, origin = taps[::-1], -origin - (len(taps) + 1) % 2
        return [[(*axes, taps, given["mode"], origin)]]
    if name in UNIFORM:
        windows = (each(given[key], len(axes)) for key in ("size", "mode", "origin"))
        least = 2 if name == "uniform_filter" else 1  # which leaves windows of one element out
        windows = zip(axes, *windows, strict=True)
        return [[(axis, np.full(n, 1 / n), m, o) for axis, n, m, o in windows if n >= least]]
    if name in GAUSSIAN:
        return [gaussian_passes(axes, **given)]
    if name in ("prewitt", "sobel"):
        modes, smooth = each(given["mode"], ndim), [1, 1 if name == "prewitt" else 2, 1]
        order = [*axes, *(axis for axis in range(ndim) if axis not in axes)]
        taps = [np.array([1, 0, 1]), *[np.array(smooth)] * (ndim - 1)]
        return [[(axis, w, modes[axis], 0) for axis, w in zip(order, taps, strict=True)]]
    terms = list(zip(axes, each(given["mode"], len(axes)), strict=True))
    if name == "laplace":
        return [[(axis, np.array([1, 2, 1]), mode, 0)] for axis, mode in terms]
    sigma = each(given["sigma"], ndim)
    if name == "gaussian_laplace":
        along = dict(zip(axes, each(given["sigma"], len(axes)), strict=True))
        sigma = [along.get(axis, 0) for axis in range(ndim)]
    order = np.eye(ndim, dtype=int) * (2 if name == "gaussian_laplace" else 1)
    return [gaussian_passes(range(ndim), sigma, order[axis], mode) for axis, mode in terms]


def sum_epsilon(source, into):
    """Narrow inputs with a float32 output are summed in float32, all others in float64."""
    source, into = np.dtype(source), np.dtype(into)
    narrow = source.char in "fF" or (source.kind in "biu" and source.itemsize <= 2)
    return epsilon(np.float32 if narrow and into.char in "fF" else np.float64)


def bound_of(problem, into):
    """How far two right answers may lie apart."""
    cval = float(size_of(problem.kwargs["cval"]))
    x, rounding = size_of(problem.x), 2 * epsilon(into)
    if problem.name in DENSE:
        return dense_bound(problem, x, cval, into)
    terms, lengths = [], 0
    for passes in passes_of(problem.name, x.ndim, problem.kwargs):
        total, growth, source = x, 2 * rounding, problem.x.dtype
        for axis, taps, mode, origin in passes:
            total = ndimage.correlate1d(total, taps, axis, mode=mode, cval=cval, origin=origin)
            growth += C_DIRECT * sum_epsilon(source, into) * math.sqrt(len(taps)) + rounding
            lengths += x.shape[axis]
            source = into
        terms.append(growth * total)
    if problem.name == "gaussian_gradient_magnitude" and terms:
        return np.sqrt(sum(term * term for term in terms))
    bound = sum(terms) if terms else rounding * x
    if problem.name.startswith("uniform") and x.size:  # SciPy's running sum drifts
        bound = bound + 2 * epsilon(np.float64) * lengths * max(x.max(), cval)
    return bound


def dense_bound(problem, x, cval, into):
    given = {**problem.kwargs, "weights": size_of(problem.kwargs["weights"]), "cval": cval}
    weights, eps = given["weights"], sum_epsilon(problem.x.dtype, into)
    total = scipy_filter(problem.name, x, **given)
    bound = (C_DIRECT * eps * math.sqrt(max(weights.size, 1)) + epsilon(into)) * total
    if weights.size >= MANY_TAPS and x.size:
        reach = x.size * weights.size
        norms = np.linalg.norm(weights) * math.sqrt(reach) * max(x.max(), cval)
        bound = bound + 3 * math.log2(reach) * eps * norms
    return bound


# The comparison -----------------------------------------------------------------------------------


def quietly(func, *args, **kwargs):
    """(result, None) or (None, the error)."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return func(*args, **kwargs), None
        except Exception as error:
            return None, error


def scipy_filter(name, x, output=None, **kwargs):
    """SciPy's function, spared two bugs.

    It overlooks the order of `axes` where all are given.  Its reflection in N dimensions reads
    outside x where a window reaches four lengths beyond the edge: there x is extended already.
    """
    func, axes = getattr(ndimage, name), axes_of(kwargs.get("axes"), x.ndim)
    of_axes = "sigma" if name == "gaussian_laplace" else "origin"
    if name in (*DENSE, "gaussian_laplace") and len(axes) == x.ndim:
        along = dict(zip(axes, each(kwargs[of_axes], x.ndim), strict=True))
        kwargs[of_axes] = [along[axis] for axis in range(x.ndim)]
    if name not in DENSE or kwargs["mode"] not in ("reflect", "grid-mirror") or not x.size:
        return func(x, output=output, **kwargs)
    pads = [0] * x.ndim
    for axis, taps in zip(sorted(axes), kwargs["weights"].shape, strict=True):
        pads[axis] = taps if taps > 4 * x.shape[axis] else 0
    extended = np.pad(x, [(pad, pad) for pad in pads], "symmetric") if any(pads) else x
    if isinstance(output, np.ndarray):
        output = np.zeros(extended.shape, output.dtype)
    inner = tuple(slice(pad, pad + n) for pad, n in zip(pads, x.shape, strict=True))
    return func(extended, output=output, **kwargs)[inner]


def scipys(problem):
    """SciPy's answer, from plain arrays."""
    x, output = problem.x.copy(), problem.output
    into = output_dtype(output, x.dtype)
    if output == "input" or isinstance(output, tuple):
        output = np.zeros(x.shape, into)
    if x.dtype.kind == "c":  # SciPy rounds half of a complex product to the input's dtype
        x = x.astype(np.result_type(x, into))
    output = x.dtype if output is None and x.dtype.kind == "c" else output
    return quietly(scipy_filter, problem.name, x, output, **problem.kwargs)


def ours(problem):
    """Our answer, with awkward arrays; asserts that nothing but the output was written."""
    x, output, guard = laid_out(problem.x, problem.layouts[0]), problem.output, None
    weights = problem.kwargs.get("weights")
    given = {} if weights is None else {"weights": laid_out(weights, problem.layouts[1])}
    if output == "input":
        output = x
    elif isinstance(output, tuple):
        dtype, layout = np.dtype(output[0]), output[1]
        swapped = layout == "swapped"
        guard = Guarded(x.shape, dtype.newbyteorder() if swapped else dtype, layout)
        output = guard.array
    func = getattr(fastconv.ndimage, problem.name)
    result, error = quietly(func, x, output=output, **{**problem.kwargs, **given})
    if isinstance(output, np.ndarray) and error is None:
        assert result is output
    if output is not x:
        np.testing.assert_array_equal(x, problem.x, err_msg="the input was changed")
    if given:
        np.testing.assert_array_equal(given["weights"], weights, err_msg="the weights were changed")
    return guard.take() if guard and error is None and x.size else result, error


def check(problem):
    expected, error = scipys(problem)
    result, our_error = ours(problem)
    if error is not None:
        assert isinstance(our_error, type(error)), f"{our_error!r} where SciPy raises {error!r}"
        return
    assert our_error is None, repr(our_error)
    assert type(result) is np.ndarray
    if not (problem.output == "input" or isinstance(problem.output, tuple)):
        assert result.dtype == expected.dtype
    result = result.astype(result.dtype.newbyteorder("="))
    if result.dtype.kind == "b":  # SciPy leaves bytes other than 0 and 1 in bool arrays
        expected = expected.view(np.uint8) != 0
        result = result.view(np.uint8)
    bound = bound_of(problem, result.dtype) if result.dtype.kind in "fc" else 0
    assert_within(result, expected, bound)


@pytest.mark.parametrize(
    ("group", "seed"), [(group, seed) for group in GROUPS for seed in range(GROUPS[group][0])]
)
def test_random_calls(group, seed):
    rng = np.random.default_rng([list(GROUPS).index(group), seed])
    for _ in range(CHUNK):
        problem = random_problem(rng, choose(rng, GROUPS[group][1]))
        try:
            check(problem)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{problem}") from error


def test_the_fuzz_is_as_large_as_promised():
    assert CHUNK * sum(chunks for chunks, _ in GROUPS.values()) >= 20_000
