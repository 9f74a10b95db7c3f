"""
Where a template is found in an image: scikit-image's match_template, and OpenCV's measures.

Arrays may be CuPy's, both on one GPU: then the result is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NoReturn, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastconv import _devices, _gpu_match, _planner
from fastconv._methods import reference
from fastconv._native import _core
from fastconv._plan import DEFAULT, as_arrays, check_accuracy, lowered_by
from fastconv._planner import Choice, Prepared
from fastconv._problem import WORKSPACE_FLOOR, Boundary, Problem, Shape, Spec
from fastconv._threads import get_num_threads
from fastconv._typing import Accuracy, Array, Data, Measure, OnDevice, PadMode, Pixel

__all__ = ["match_template"]

# Their numbers are those of the native code.
_MEASURES = ("sqdiff", "sqdiff_normed", "ccorr", "ccorr_normed", "ccoeff", "ccoeff_normed")
_NORMED = ("sqdiff_normed", "ccorr_normed", "ccoeff_normed")

# np.pad's modes that no array need be padded for. What lies beyond a constant edge is the centre of
# the numerators, which so is zero there.
_BOUNDARIES = {
    "constant": Boundary.ZERO,
    "reflect": Boundary.MIRROR,
    "symmetric": Boundary.REFLECT,
    "edge": Boundary.NEAREST,
    "wrap": Boundary.WRAP,
}
_PADDINGS = ("linear_ramp", "maximum", "mean", "median", "minimum", "empty")

# A numerator that may err by more than this part of its window's denominator is computed again.
_TOLERANCE = 1e-3
# Errors of numerators, for a template of norm one, in units of roundoff times the greatest norm
# that a window can have. Transforms err by 2.8 at most, beside their share of its deviations:
# noise, ramps, steps, checks and single pixels in images of up to 2048 × 2048, by templates of up
# to 200 × 256, measured on 2026-11-24 on an AMD EPYC (Zen 3, AVX2, 2 cores). Direct sums err by 4
# of the window's own norm at most.
_ERROR = 4.0
# The same on a GPU: cuFFT's errors, which nobody has measured, are taken for twice those.
_GPU_ERROR = 8.0
# Pixels keep their mean where those without it are no more than so many times smaller. They are
# correlated as they are, instead of a scaled copy, where their squares keep their digits.
_LITTLE_WON = 4
_LEAST_AS_THEY_ARE, _MOST_AS_THEY_ARE = 2.0**-20, 2.0**20
# Sums of squares that rounding errors reach a thousandth of: not to be relied on.
_UNSURE = 1e3
# Into how many slabs outputs are cut, so that centred pixels and the workspace of their correlation
# stay within bounds together.
_SLABS = (1, 2, 3, 4, 6, 8)
# Bytes that an element of the template takes: without its mean, in double precision and again in
# the dtype of the computation.
_TEMPLATE_BYTES = 16
# Arrays of float64 as large as a block, that a block computed again needs.
_BLOCK_ARRAYS = 4


@dataclass(frozen=True, slots=True, eq=False)
class _Template:
    """
    A template without its mean, and what its mean and size were.

    Attributes
    ----------
    taps : ndarray
        float64, of mean zero and norm one; zero where the template is flat or not finite.
    mean : float
        Of the template.
    norm, energy : float
        Root of the sum of squares, without the mean and with it.
    finite : bool
        Whether it holds no NaN or Inf.
    """

    taps: np.ndarray
    mean: float
    norm: float
    energy: float
    finite: bool

    @classmethod
    def of(cls, template: np.ndarray) -> _Template:
        """Take the mean from a template, and its size."""
        t = np.array(template, np.float64, order="C")  # results do not depend on the layout
        if not np.isfinite(t).all():
            return cls(np.zeros(t.shape), math.nan, math.nan, math.nan, False)
        scale = _power_of_two(float(np.abs(t).max()))
        t *= scale
        first = t.flat[0]
        deviations = t - first
        mean = deviations.mean()
        deviations -= mean
        deviations -= deviations.mean()
        # Not by BLAS, whose threads would keep cores from ours.
        norm = math.sqrt(float(np.square(deviations).sum()))
        mean += first
        energy = math.hypot(norm, mean * math.sqrt(t.size))
        if norm:
            deviations /= norm
        return cls(deviations, float(mean) / scale, norm / scale, energy / scale, True)


@dataclass(frozen=True, slots=True)
class _MatchCall:
    """
    One call of match_template, lowered; never changed.

    Attributes
    ----------
    arrays : tuple
        Image and template, or Specs that stand for them.
    problem : Problem
        The correlation of the two.
    dtype : dtype
        Of the result.
    measure : str
        Which of the measures.
    template : _Template, optional
        None where a Spec stands for it.
    fill : ndarray, optional
        The value beyond the edge, one of the result's dtype.
    padding : tuple, optional
        np.pad's mode and its other arguments, where the image is padded first.
    method : str
        'auto' or a method's name: of the correlation.
    """

    arrays: tuple[Any, ...]
    problem: Problem
    dtype: np.dtype[Any]
    measure: str
    template: _Template | None
    fill: np.ndarray | None = None
    padding: tuple[Any, dict[str, Any]] | None = None
    method: str = _planner.AUTO

    @property
    def shape(self) -> Shape:
        """Shape of the result."""
        return self.problem.out

    @property
    def kernel_to_come(self) -> bool:
        """Whether a Spec stands for the template."""
        return self.template is None

    def choose(self) -> Choice:
        """Choose the method, from shapes alone."""
        return _planner.choose(self.problem, self.method, get_num_threads())

    def with_data(self, data: np.ndarray) -> _MatchCall:
        """Return the call with another image."""
        return replace(self, arrays=(data, *self.arrays[1:]))

    def prepare(self, choice: Choice) -> Prepared:
        """Prepare the template for a choice."""
        assert self.template is not None
        return _prepare(self.template, choice, self._limit)

    @property
    def _limit(self) -> int:
        """Bytes that may be taken beyond the arguments: as many as they and the result have."""
        image = self.arrays[0]
        taken: int = image.size * image.dtype.itemsize + math.prod(self.shape) * self.dtype.itemsize
        return max(WORKSPACE_FLOOR, taken)

    def run(self, choice: Choice, kernel: Prepared, out: np.ndarray | None) -> np.ndarray:
        """Compute the result by a choice and a prepared template."""
        if out is not None and not (out.flags.c_contiguous and _devices.is_plain(out)):
            out[...] = self.run(choice, kernel, None)
            return out
        if out is None:
            out = _devices.empty(self.shape, self.dtype, self.problem.device)
        assert self.template is not None
        if self.template.finite:
            threads = get_num_threads()
            match = _Match(self.template, self.measure, self.fill, self._limit, threads)
            match.respond(self._readable(), choice, kernel, out)
        else:
            out.fill(np.nan)
        return out

    def solve(self) -> np.ndarray:
        """Compute the result."""
        for array in self.arrays:
            if isinstance(array, Spec):
                raise TypeError(f"{array} holds no numbers: a Spec is for plan and explain")
        choice = self.choose()
        with _devices.on(self.problem.device):
            return self.run(choice, self.prepare(choice), None)

    def _readable(self) -> np.ndarray:
        """Return the image, padded if it is to be, as those who look at it can read it."""
        image: np.ndarray = self.arrays[0]
        if self.padding is not None:
            mode, rest = self.padding
            taps = self.problem.w
            pad = np.pad if self.problem.device is None else _gpu_match.padded
            padded = pad(image.astype(self.dtype), [(m, m) for m in taps], mode, **rest)
            return padded[
                tuple(
                    slice(m - m // 2, m - m // 2 + n)
                    for m, n in zip(taps, self.problem.x, strict=True)
                )
            ]
        on_host = self.problem.device is None
        if on_host and not (_core.is_stored(image.dtype) and image.flags.aligned):
            image = image.astype(self.dtype)
        return image


@dataclass(frozen=True, slots=True)
class _Match:
    """How one template responds to an image, and again to parts of it."""

    template: _Template
    measure: str
    fill: np.ndarray | None
    limit: int
    threads: int

    def respond(
        self, x: np.ndarray, choice: Choice, kernel: Prepared, out: np.ndarray, again: int = 0
    ) -> None:
        """Fill `out`, contiguous, and compute `again` what rounding errors spoiled."""
        problem = choice.problem
        work = _work_on(problem.device)
        total, least, most, count = work.look_at_image(x, problem.dtype, self.threads)
        if not count:
            out.fill(np.nan)  # every window holds a pixel of the image
            return
        centre = self._centre(x, problem, total / count, least, most, again)
        reach = max(most - centre, centre - least)
        largest = max(abs(least), abs(most))
        scale = _power_of_two(max(largest, reach))
        if self._is_centred(x, count, reach, largest, again):
            centre, reach = 0.0, largest
            if _LEAST_AS_THEY_ARE <= largest <= _MOST_AS_THEY_ARE:
                scale = 1.0
        squares: Any = 0.0
        if self.template.norm:
            squares = self._correlate(x, choice, kernel, centre, scale, out)
        else:
            out.fill(0)
        unsure = work.finish_match(
            x,
            out,
            problem.w,
            problem.offset,
            problem.boundary if self.fill is None else Boundary.CONSTANT,
            self.fill,
            scale,
            centre,
            self._level(least, most),
            _MEASURES.index(self.measure),
            self._factors(problem, kernel, scale, reach * scale, squares),
            self.threads,
        )
        if again < len(_METHODS_AGAIN) and unsure.any():
            self._respond_again(x, problem, unsure, out, again)

    def _correlate(
        self,
        x: np.ndarray,
        choice: Choice,
        kernel: Prepared,
        centre: float,
        scale: float,
        out: np.ndarray,
    ) -> Any:
        """
        Fill `out` with numerators; return the sum of squares of the centred pixels, or more.

        It is a number, or an array of one on a GPU.
        """
        problem, squares = choice.problem, None
        work = _work_on(problem.device)
        as_it_is = centre == 0 and scale == 1
        step = _slab(choice, self.limit)
        for first in range(0, problem.out[0], step):
            rest = (slice(0, n) for n in out.shape[1:])
            region = (slice(first, min(first + step, out.shape[0])), *rest)
            window, part = problem.part(region) if step < out.shape[0] else ((...,), problem)
            if part != choice.problem:
                choice = _planner.choose(part, choice.method, self.threads)
                kernel = choice.prepare(kernel.w)
            pixels = x[window]
            if as_it_is:
                if problem.device is not None:
                    pixels = _gpu_match.in_rows(pixels)
                choice.run(pixels, kernel, out[region], self.threads)
                squares = math.inf
                continue
            centred = _devices.empty(pixels.shape, problem.dtype, problem.device)
            part_squares = work.centre_image(pixels, centred, centre, scale, self.threads)
            squares = part_squares if squares is None else squares + part_squares
            choice.run(centred, kernel, out[region], self.threads)
            del centred  # before the next one is made
        return squares

    def _centre(
        self, x: np.ndarray, problem: Problem, mean: float, least: float, most: float, again: int
    ) -> float:
        """Choose what is taken from every pixel, so that numerators are small."""
        if again == len(_METHODS_AGAIN):
            # Sums err by their own windows: small deviations are those of pixels that are small.
            return self._level(least, most)
        if self.fill is not None and np.isfinite(self.fill[0]):
            return float(self.fill[0])
        if not math.isfinite(mean):
            mean = least / 2 + most / 2
        # Whole numbers stay whole, and pixels near the centre lose no digits.
        return float(problem.dtype.type(mean)) if x.dtype.kind == "f" else float(round(mean))

    def _is_centred(
        self, x: np.ndarray, count: int, reach: float, largest: float, again: int
    ) -> bool:
        """Whether pixels do with their mean: a copy without it would win but little precision."""
        return (
            count == x.size
            and again == 0
            and (self.fill is None or self.fill[0] == 0)
            and reach * _LITTLE_WON >= largest
        )

    def _level(self, least: float, most: float) -> float:
        """
        Choose the level from which sums over windows count pixels.

        It is the value nearest to zero that lies between all pixels: a window of low contrast then
        holds pixels near zero, or near all others.
        """
        if self.measure.startswith("ccorr"):
            return 0.0
        if self.fill is not None and np.isfinite(self.fill[0]):
            least, most = min(least, float(self.fill[0])), max(most, float(self.fill[0]))
        return min(max(0.0, least), most)

    def _factors(
        self, problem: Problem, kernel: Prepared, scale: float, reach: float, squares: Any
    ) -> dict[str, Any]:
        """
        Return the numbers that sums and numerators are joined with.

        Of the pixels they are correlated with, the greatest magnitude and the sum of squares tell
        what numerators may err by. A sum that is on a GPU stays there.
        """
        t = self.template
        pixels = math.prod(problem.w)
        assert isinstance(kernel.w, np.ndarray)
        rounding = 2 * sum(problem.w) * float(np.finfo(np.float64).eps) / 2
        error = _ERROR if problem.device is None else _GPU_ERROR
        error *= float(np.finfo(problem.dtype).eps) / 2  # in norms of a window
        f: dict[str, Any] = {
            "pixels": pixels,
            "tilt": float(kernel.w.sum(dtype=np.float64)),
            "of_product": 1.0,
            "of_mean": 0.0,
            "of_all": 1.0,
            "mean": t.mean * scale,
            "norm": t.norm * scale,
            "empty": 0.0,
            "flat": rounding,
            "unsure": rounding * _UNSURE,
            "floor": 0.0,
        }
        share = t.norm / t.energy if t.energy else 0.0  # of the template's size, without its mean
        match self.measure:
            case "ccoeff":
                f["of_product"] = t.norm / scale
            case "ccorr":
                f["of_product"] = t.norm / scale
                f["of_mean"] = t.mean * pixels / scale
            case "ccorr_normed":
                f["of_product"] = share
                f["of_mean"] = t.mean / t.energy * pixels if t.energy else 0.0
                error *= share
            case "sqdiff":
                f["of_all"] = (1 / scale) * (1 / scale)
            case "sqdiff_normed":
                f["empty"] = 1.0 if t.energy else 0.0
                f["of_all"] = 1 / (t.energy * scale) if t.energy * scale else math.inf
                error *= 2 * share
        f["normed"], f["room"] = self.measure in _NORMED, self.limit
        if f["normed"]:
            f["of_squares"] = (error / _TOLERANCE) ** 2
            most = reach * reach * pixels
            if isinstance(squares, float):
                most = min(most, squares)
            else:
                f["squares"] = squares
            f["floor"] = f["of_squares"] * most
        return f

    def _respond_again(
        self, x: np.ndarray, problem: Problem, unsure: np.ndarray, out: np.ndarray, again: int
    ) -> None:
        """Compute the tiles that hold unsure results in double precision, by themselves."""
        tile = _work_on(problem.device).match_tile(problem.w, problem.out)
        block_elements = problem.workspace_limit // (_BLOCK_ARRAYS * 8)
        for region in _regions(unsure != 0, tile, problem, block_elements):
            block = self._block(x, problem, region)
            extents = tuple(s.stop - s.start for s in region)
            part = Problem(
                block.shape,
                problem.w,
                extents,
                problem.axes,
                (0,) * len(extents),
                np.dtype(np.float64),
                accuracy=0.0 if problem.accuracy == 0 else None,
                device=problem.device,
            )
            choice = _planner.choose(part, _METHODS_AGAIN[again], self.threads)
            if choice.method == reference.NAME:
                continue  # the template is too large for direct sums
            result = _devices.empty(extents, np.float64, problem.device)
            kernel = _prepare(self.template, choice, self.limit)
            replace(self, fill=None).respond(block, choice, kernel, result, again + 1)
            out[region] = result

    def _block(self, x: np.ndarray, problem: Problem, region: tuple[slice, ...]) -> np.ndarray:
        """Return what the windows of a region read, in double precision."""
        if problem.device is not None:
            first = tuple(s.start + o for s, o in zip(region, problem.offset, strict=True))
            size = tuple(s.stop - s.start + m - 1 for s, m in zip(region, problem.w, strict=True))
            return _gpu_match.gather(x, first, size, problem.boundary, self.fill)
        mode: Any = next(m for m, b in _BOUNDARIES.items() if b is problem.boundary)
        beyond = {"constant_values": -1} if mode == "constant" else {}
        indices = []
        for a, outputs in enumerate(region):
            first = outputs.start + problem.offset[a]
            last = outputs.stop + problem.offset[a] + problem.w[a] - 1
            around = (max(-first, 0), max(last - x.shape[a], 0))
            index = np.pad(np.arange(x.shape[a]), around, mode, **beyond)[max(first, 0) :]
            indices.append(index[: last - first])
        block = x[np.ix_(*indices)].astype(np.float64)
        if self.fill is not None:
            for a, index in enumerate(indices):
                block[(slice(None),) * a + (index < 0,)] = self.fill[0]
        return block


# How results are computed again, where rounding errors spoiled them, and then once more.
_METHODS_AGAIN = (_planner.AUTO, "direct")


def _prepare(template: _Template, choice: Choice, limit: int) -> Prepared:
    """Prepare a template for a choice, or give its taps alone where slabs need others."""
    taps = template.taps.astype(choice.problem.dtype, copy=False)
    if _slab(choice, limit) < choice.problem.out[0]:
        return Prepared(taps, None)
    return choice.prepare(taps)


def _slab(choice: Choice, limit: int) -> int:
    """
    Tell how many outputs along the first axis to correlate at once.

    All of them, where the centred pixels and the method's own workspace fit the limit together, or
    where windows may read pixels from anywhere.
    """
    problem = choice.problem
    extent = step = problem.out[0]
    if problem.boundary is not Boundary.ZERO:
        return extent
    for count in _SLABS:
        step = -(-extent // count)
        region = (slice(0, step), *(slice(0, n) for n in problem.out[1:]))
        part = problem if count == 1 else problem.part(region)[1]
        chosen = choice if count == 1 else _planner.choose(part, choice.method)
        taken = next(c.workspace for c in chosen.candidates if c.name == chosen.method)
        pixels = math.prod(part.x) * problem.dtype.itemsize
        taken += _TEMPLATE_BYTES * math.prod(problem.w)
        if taken + pixels <= limit:
            return step
    return step


def _work_on(device: int | None) -> Any:
    """Return who looks at images, centres and finishes them: the native code, or a GPU's."""
    return _core if device is None else _gpu_match


def _power_of_two(most: float) -> float:
    """Return what brings numbers of this magnitude to about one, exactly."""
    if not 0 < most < math.inf:
        return 1.0
    return math.ldexp(1.0, -max(math.frexp(most)[1], -1000))


def _regions(
    wanted: np.ndarray, tile: Shape, problem: Problem, elements: int
) -> Iterator[tuple[slice, ...]]:
    """Yield the regions of wanted tiles, neighbours along the last axis together while they fit."""
    out, taps = problem.out, problem.w
    for index in np.ndindex(wanted.shape[:-1]):
        start = [i * t for i, t in zip(index, tile[:-1], strict=True)]
        stop = [min(i + t, n) for i, t, n in zip(start, tile[:-1], out[:-1], strict=True)]
        fixed = tuple(map(slice, start, stop))
        lines = math.prod(b - a + m - 1 for a, b, m in zip(start, stop, taps[:-1], strict=True))
        most = max((elements // lines - taps[-1]) // tile[-1], 1)
        columns = np.flatnonzero(wanted[index]).tolist()
        while columns:
            count = next(
                (k for k, c in enumerate(columns[:most]) if c != columns[0] + k),
                len(columns[:most]),
            )
            first, last = columns[0] * tile[-1], (columns[0] + count) * tile[-1]
            yield (*fixed, slice(first, min(last, out[-1])))
            del columns[:count]


def _refuse(name: str, value: object, expected: str, error: type[Exception]) -> NoReturn:
    raise error(f"{name} must be {expected}, not {value!r}")


def _check_array(a: Any, name: str) -> Any:
    if a.dtype.kind not in "biuf":
        _refuse(name, a.dtype, "an array of real numbers", TypeError)
    return a


def _check_mode(mode: Any) -> None:
    if callable(mode):
        return
    if not isinstance(mode, str):
        _refuse("mode", mode, "one of numpy.pad's modes", TypeError)
    if mode not in _BOUNDARIES and mode not in _PADDINGS:
        known = ", ".join(map(repr, (*_BOUNDARIES, *_PADDINGS)))
        _refuse("mode", mode, f"one of {known}, or a function", ValueError)


def _lower_match_template(
    image: Any,
    template: Any,
    pad_input: Any = False,
    mode: Any = "constant",
    constant_values: Any = 0,
    *,
    method: Any = "ccoeff_normed",
    accuracy: Any = DEFAULT,
) -> _MatchCall:
    image, template = (
        _check_array(a, name)
        for name, a in zip(
            ("image", "template"), as_arrays(image=image, template=template), strict=True
        )
    )
    if image.ndim not in (2, 3):
        _refuse("image", image.shape, "a 2-D or 3-D array", ValueError)
    if template.ndim != image.ndim:
        _refuse("template", template.shape, f"a {image.ndim}-D array, as the image is", ValueError)
    if 0 in template.shape:
        _refuse("template", template.shape, "an array that is not empty", ValueError)
    if any(n < m for n, m in zip(image.shape, template.shape, strict=True)):
        raise ValueError(
            f"image must be at least as large as the template, {template.shape}, along each axis, "
            f"not {image.shape}"
        )
    _check_mode(mode)
    if not isinstance(method, str):
        _refuse("method", method, "a measure's name", TypeError)
    if method not in _MEASURES:
        _refuse("method", method, f"one of {', '.join(map(repr, _MEASURES))}", ValueError)
    dtype = np.dtype(np.float32 if image.dtype.char in "ef" else np.float64)
    axes = tuple(range(image.ndim))
    x, taps = image.shape, template.shape
    fill = padding = None
    boundary = Boundary.ZERO
    if pad_input:
        out, offset = x, tuple(-(m // 2) for m in taps)
        values = _check_constant(constant_values, dtype) if mode == "constant" else None
        if values is not None and values.size == 1:
            fill = values.reshape(1)
        elif values is not None or mode not in _BOUNDARIES:
            padding = (mode, {} if values is None else {"constant_values": values})
            x, offset = tuple(n + m - 1 for n, m in zip(x, taps, strict=True)), (0,) * len(x)
        else:
            boundary = _BOUNDARIES[mode]
    else:
        out, offset = tuple(n - m + 1 for n, m in zip(x, taps, strict=True)), (0,) * len(x)
    bound = check_accuracy(accuracy)
    device = _devices.shared({"image": image, "template": template})
    problem = Problem(x, taps, out, axes, offset, dtype, boundary, accuracy=bound, device=device)
    numbers = None if isinstance(template, Spec) else _Template.of(_devices.to_host(template))
    return _MatchCall((image, template), problem, dtype, method, numbers, fill, padding)


def _check_constant(values: Any, dtype: np.dtype[Any]) -> np.ndarray:
    try:
        numbers = _devices.to_host(values)
    except ValueError:
        _refuse("constant_values", values, "a number, or numpy.pad's pairs of them", ValueError)
    if numbers.dtype.kind not in "biuf":
        _refuse("constant_values", values, "real", TypeError)
    return numbers.astype(dtype)


@overload
def match_template(
    image: NDArray[Pixel],
    template: ArrayLike,
    pad_input: bool = False,
    mode: PadMode | Callable[..., Any] = "constant",
    constant_values: ArrayLike = 0,
    *,
    method: Measure = "ccoeff_normed",
    accuracy: Accuracy = "default",
) -> NDArray[Pixel]: ...
@overload
def match_template(
    image: OnDevice,
    template: OnDevice,
    pad_input: bool = False,
    mode: PadMode | Callable[..., Any] = "constant",
    constant_values: OnDevice | ArrayLike = 0,
    *,
    method: Measure = "ccoeff_normed",
    accuracy: Accuracy = "default",
) -> OnDevice: ...
@overload
def match_template(
    image: ArrayLike,
    template: ArrayLike,
    pad_input: bool = False,
    mode: PadMode | Callable[..., Any] = "constant",
    constant_values: ArrayLike = 0,
    *,
    method: Measure = "ccoeff_normed",
    accuracy: Accuracy = "default",
) -> NDArray[np.floating[Any]]: ...
@lowered_by(_lower_match_template)
def match_template(
    image: Data,
    template: Data,
    pad_input: bool = False,
    mode: PadMode | Callable[..., Any] = "constant",
    constant_values: Data = 0,
    *,
    method: Measure = "ccoeff_normed",
    accuracy: Accuracy = "default",
) -> Array:
    """
    Tell how well a template matches an image at each place, as skimage.feature.match_template does.

    Parameters
    ----------
    image : array_like or cupy.ndarray, shape (M, N) or (M, N, P)
        Where to look; real numbers.
    template : array_like or cupy.ndarray, shape (m, n) or (m, n, p)
        What to look for; no larger than the image along any axis. Both arrays are NumPy's, or both
        are CuPy's on one GPU.
    pad_input : bool, optional
        Extend the image, so that the result has its shape and belongs to the template's centre,
        index m // 2; otherwise the result belongs to the template's first pixel.
    mode : str or function, optional
        How: one of numpy.pad's modes.
    constant_values : scalar or array_like, optional
        What lies beyond the edges in the mode 'constant', as numpy.pad takes it.
    method : str, optional
        The measure, by OpenCV's name. Over a window x of the image and the template t, with x' and
        t' for what they are without their means:

        - 'sqdiff': Σ (x - t)²;
        - 'sqdiff_normed': that over √(Σ x² · Σ t²), and one where it is larger;
        - 'ccorr': Σ x · t;
        - 'ccorr_normed': that over √(Σ x² · Σ t²);
        - 'ccoeff': Σ x' · t';
        - 'ccoeff_normed', the default: that over √(Σ x'² · Σ t'²), the correlation coefficient.
    accuracy : {'default', 'direct'} or float, optional
        What the correlation of the image, its own mean or level taken from it, and of the template
        without its mean may err by, as in `fastconv.convolve`; from it the measures are made.

    Returns
    -------
    ndarray or cupy.ndarray
        Of shape (M - m + 1, N - n + 1), and P - p + 1 where there are three axes, or of the image's
        shape; float32 for an image of float16 or float32, float64 for any other; CuPy's where the
        arguments are. The best match has the greatest value; by the sums of squared differences,
        the least.

    Raises
    ------
    ValueError
        If the image is neither 2-D nor 3-D, the template is empty, has other axes or is larger than
        the image; if the mode or the measure is unknown.
    TypeError
        If an array holds anything but real numbers, or the arrays are apart.

    Notes
    -----
    Coefficients are zero where the window or the template is flat: where the sum of squared
    deviations from the mean is no more than the rounding errors of the sums of it. A correlation is
    zero where its denominator is, a difference of normed squares zero for a window and a template
    that are zero, and one for a window or a template that is. Values lie in the range of their
    measure: [-1, 1], or [0, 1] for 'sqdiff_normed'. A NaN or an infinity in the image makes NaN of
    all windows that hold it, and of no other.

    The numerator is one correlation, which `explain` tells about; sums over windows are formed in
    double precision, and join it in one pass. Where the numerator could err by more than a
    thousandth of its denominator (windows of low contrast in an image of high), it is computed
    again, in double precision and by parts. The errors of the measures that are not normed are
    those of the numerator: they follow the whole image, not each window.

    On a GPU the host waits for three things: for the template (which a plan holds already), for the
    least and greatest pixels, and, where the measure is normed, for what is to be computed again.
    The mode 'median' is NumPy's: the image goes to the host and comes back.

    References
    ----------
    J. P. Lewis, "Fast Normalized Cross-Correlation", Vision Interface, 1995.

    Examples
    --------
    >>> import fastconv, numpy as np
    >>> image = np.zeros((5, 6))
    >>> image[2, 3] = 9
    >>> template = np.zeros((3, 3))
    >>> template[1, 1] = 1
    >>> response = fastconv.match_template(image, template)
    >>> np.unravel_index(response.argmax(), response.shape)
    (np.int64(1), np.int64(2))
    >>> response.round(3)
    array([[ 0.   , -0.125, -0.125, -0.125],
           [ 0.   , -0.125,  1.   , -0.125],
           [ 0.   , -0.125, -0.125, -0.125]])
    """
    return _lower_match_template(
        image, template, pad_input, mode, constant_values, method=method, accuracy=accuracy
    ).solve()
