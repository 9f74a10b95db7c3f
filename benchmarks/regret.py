"""
How well the planner chooses: the time of the method that it takes over that of the best.

    python benchmarks/regret.py [--count 1000] [--seed 0] [--threads N] [--kinds line image]

Draws problems of every kind, their sizes log-spaced, and times every candidate that may solve each,
in turn, round after round. Regret is the chosen method's least time over the least of all; a
geometric mean of 1.05 says that choosing loses 5 %. Calls are timed as they are when repeated: a
kernel's spectrum that is kept is kept. Candidates that take more than three times the best, or are
predicted to take more than thirty times, are timed once or not at all.
"""

import math
import time
from dataclasses import dataclass, replace

import numpy as np

import fastconv
from fastconv import ndimage, nn

ROUNDS = 7
# A candidate is repeated until a sample takes so long.
SAMPLE_SECONDS = 100e-6
# Behind the best by more than this, a candidate is not timed again; predicted to be, not at all.
OUT_OF_THE_RACE = 3.0
HOPELESS = 30.0
# Problems whose chosen method is predicted to take longer are drawn again.
MOST_SECONDS = 25e-3
MOST_BYTES = 96 << 20
DTYPES = ("float32", "float64", "complex64", "complex128", "int16", "int32", "uint8")
DTYPE_SHARES = (0.42, 0.28, 0.06, 0.06, 0.06, 0.06, 0.06)
BOUNDARIES = ("reflect", "nearest", "mirror", "wrap", "constant")


@dataclass
class Case:
    """A call that is a problem to choose for."""

    kind: str
    label: str
    call: object


@dataclass
class Result:
    """What a case's candidates took."""

    kind: str
    label: str
    chosen: str
    seconds: dict  # by candidate
    predicted: dict

    @property
    def regret(self):
        return self.seconds[self.chosen] / min(self.seconds.values())

    @property
    def best(self):
        return min(self.seconds, key=self.seconds.get)


# --- problems -------------------------------------------------------------------------------------


def log_integer(rng, low, high):
    """An integer whose logarithm is uniform."""
    return round(math.exp(rng.uniform(math.log(low), math.log(high))))


def array(rng, shape, dtype):
    """Noise of a dtype; integers of its whole range, or below 256."""
    dtype = np.dtype(dtype)
    if dtype.kind in "iu":
        return rng.integers(0, min(np.iinfo(dtype).max, 255), shape).astype(dtype)
    real = rng.standard_normal(shape)
    return (real + 1j * rng.standard_normal(shape) if dtype.kind == "c" else real).astype(dtype)


def lower(function, *arguments, **options):
    """What `plan` makes of a call."""
    return function.__lower__(*arguments, **options)


def draw_line(rng):
    dtype = rng.choice(DTYPES, p=DTYPE_SHARES)
    n = log_integer(rng, 16, 2_000_000)
    k = log_integer(rng, 2, min(n, 300_000))
    mode = str(rng.choice(["full", "same", "valid"]))
    function = fastconv.convolve if rng.random() < 0.7 else fastconv.correlate
    call = lower(function, array(rng, n, dtype), array(rng, k, dtype), mode)
    return Case("line", f"{function.__name__} {n}∗{k} {dtype} {mode}", call)


def draw_lines(rng):
    dtype = rng.choice(DTYPES[:4], p=[0.5, 0.3, 0.1, 0.1])
    rows, n = log_integer(rng, 2, 2000), log_integer(rng, 16, 50_000)
    k = log_integer(rng, 2, min(n, 5000))
    axis = int(rng.integers(2))
    shape, taps = ((rows, n), (1, k)) if axis else ((n, rows), (k, 1))
    x, w = array(rng, shape, dtype), array(rng, taps, dtype)
    call = lower(fastconv.oaconvolve, x, w, "same", axis)
    call = replace(call, method="auto")
    return Case("lines", f"{shape}∗{taps} {dtype} along {axis}", call)


def draw_image(rng):
    dtype = rng.choice(DTYPES, p=DTYPE_SHARES)
    rows, columns = log_integer(rng, 8, 3000), log_integer(rng, 8, 3000)
    k = log_integer(rng, 2, min(rows, columns, 400))
    l = k if rng.random() < 0.6 else log_integer(rng, 2, min(columns, 400))
    mode = str(rng.choice(["full", "same", "valid"]))
    x, w = array(rng, (rows, columns), dtype), array(rng, (k, l), dtype)
    call = lower(fastconv.convolve, x, w, mode)
    return Case("image", f"{rows}x{columns}∗{k}x{l} {dtype} {mode}", call)


def draw_filter(rng):
    dtype = rng.choice(["float32", "float64", "uint8"], p=[0.5, 0.3, 0.2])
    rows, columns = log_integer(rng, 8, 3000), log_integer(rng, 8, 3000)
    k, mode = log_integer(rng, 2, 150), str(rng.choice(BOUNDARIES))
    x = array(rng, (rows, columns), dtype)
    w = array(rng, (k, k), "float64")
    if rng.random() < 0.3:  # a product of two lines
        w = np.outer(w[0], w[:, 0])
    call = lower(ndimage.correlate, x, w, mode=mode)
    return Case("filter", f"ndimage {rows}x{columns}∗{k}x{k} {dtype} {mode}", call)


def draw_volume(rng):
    dtype = rng.choice(DTYPES[:4], p=[0.5, 0.3, 0.1, 0.1])
    shape = tuple(log_integer(rng, 6, 160) for _ in range(3))
    k = log_integer(rng, 2, min(*shape, 32))
    x, w = array(rng, shape, dtype), array(rng, (k, k, k), dtype)
    call = lower(fastconv.convolve, x, w, "same")
    return Case("volume", f"{'x'.join(map(str, shape))}∗{k}³ {dtype}", call)


def draw_smooth(rng):
    dtype = rng.choice(["float32", "float64", "uint8"], p=[0.5, 0.3, 0.2])
    x = array(rng, (log_integer(rng, 8, 3000), log_integer(rng, 8, 3000)), dtype)
    mode = str(rng.choice(BOUNDARIES))
    if rng.random() < 0.5:
        sigma = float(np.exp(rng.uniform(np.log(0.5), np.log(20))))
        call = lower(ndimage.gaussian_filter, x, sigma, mode=mode)
        return Case("smooth", f"gaussian {x.shape} σ={sigma:.2f} {dtype} {mode}", call)
    size = log_integer(rng, 2, 60)
    call = lower(ndimage.uniform_filter, x, size, mode=mode)
    return Case("smooth", f"uniform {x.shape} {size} {dtype} {mode}", call)


def draw_layer(rng):
    rank = int(rng.choice([1, 2, 3], p=[0.2, 0.6, 0.2]))
    dtype = rng.choice(["float32", "float64", "complex64"], p=[0.75, 0.2, 0.05])
    side = log_integer(rng, 4, {1: 20_000, 2: 224, 3: 32}[rank])
    k = int(rng.choice([1, 2, 3, 5, 7], p=[0.2, 0.1, 0.5, 0.1, 0.1]))
    k = min(k, side)
    batch = log_integer(rng, 1, 8)
    groups, channels, outputs = 1, log_integer(rng, 1, 512), log_integer(rng, 1, 512)
    if rng.random() < 0.15:
        groups, outputs = channels, channels
    stride, dilation = (int(v) for v in rng.choice([1, 1, 1, 2], 2))
    if dilation * (k - 1) >= side:
        dilation = 1
    padding = k // 2 if rng.random() < 0.7 else 0
    shape, taps = (batch, channels, *(side,) * rank), (outputs, channels // groups, *(k,) * rank)
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    name = f"conv{rank}d"
    role = rng.choice(
        ["forward", "transpose", "grad_input", "grad_weight"], p=[0.6, 0.1, 0.15, 0.15]
    )
    reach = side + 2 * padding - dilation * (k - 1) - 1
    result = (batch, outputs, *(reach // stride + 1,) * rank)
    if math.prod(shape) + math.prod(result) > MOST_BYTES // 8:
        return None
    if role == "forward":
        call = lower(
            getattr(nn, name), array(rng, shape, dtype), array(rng, taps, dtype), **options
        )
    elif role == "transpose":
        call = lower(
            getattr(nn, f"conv_transpose{rank}d"),
            array(rng, result, dtype),
            array(rng, taps, dtype),
            **options,
        )
    elif role == "grad_input":
        call = lower(
            getattr(nn, f"{name}_grad_input"),
            array(rng, result, dtype),
            array(rng, taps, dtype),
            shape,
            **options,
        )
    else:
        call = lower(
            getattr(nn, f"{name}_grad_weight"),
            array(rng, result, dtype),
            array(rng, shape, dtype),
            taps,
            **options,
        )
    return Case(
        "layer",
        f"{name} {role} {shape}∗{taps} {dtype} s{stride} d{dilation} p{padding} g{groups}",
        call,
    )


DRAW = {
    "line": draw_line,
    "lines": draw_lines,
    "image": draw_image,
    "filter": draw_filter,
    "volume": draw_volume,
    "smooth": draw_smooth,
    "layer": draw_layer,
}


def draw(rng, kinds):
    """A case that is worth its time."""
    while True:
        case = DRAW[str(rng.choice(kinds))](rng)
        if case is None or case.call.problem.empty or case.call.problem.traffic > MOST_BYTES:
            continue
        choice = case.call.choose()
        chosen = next(c for c in choice.candidates if c.name == choice.method)
        if chosen.predicted is not None and chosen.predicted < MOST_SECONDS:
            return case


# --- timing ---------------------------------------------------------------------------------------


def measure(case):
    """Time every candidate."""
    call = case.call
    choice = call.choose()
    chosen, candidates = choice.method, [c for c in choice.candidates if c.predicted is not None]
    least = min(c.predicted for c in candidates)
    out = np.empty(call.shape, call.dtype)
    runs, predicted = {}, {c.name: c.predicted for c in candidates}
    for c in candidates:
        if c.predicted > HOPELESS * least:
            continue
        if c.reason == LESS_EXACT and False:
            continue
        one = replace(call, method=c.name)
        forced = one.choose()

        def run(one=one, forced=forced):
            one.run(forced, one.prepare(forced), out)

        runs[c.name] = run
    repeats, seconds = {}, {}
    for name, run in runs.items():
        seconds[name] = min(timed(run, 1), timed(run, 1))
    best = min(seconds.values())
    runs = {
        name: run
        for name, run in runs.items()
        if seconds[name] < OUT_OF_THE_RACE * best or name == chosen
    }
    repeats = {name: max(1, math.ceil(SAMPLE_SECONDS / seconds[name])) for name in runs}
    for _ in range(ROUNDS if len(runs) > 1 else 2):
        for name, run in runs.items():
            seconds[name] = min(seconds[name], timed(run, repeats[name]))
    return Result(case.kind, case.label, chosen, seconds, predicted)


LESS_EXACT = "errs by all the data, not by each output's own window"


def timed(run, repeats):
    began = time.perf_counter()
    for _ in range(repeats):
        run()
    return (time.perf_counter() - began) / repeats
