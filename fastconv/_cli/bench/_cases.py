"""The kinds of cases: what to call with which arrays, and what should come of it."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np

from fastconv._cli.bench import _references
from fastconv._cli.bench._references import Array

TOLERANCE = 8.0  # c of c·eps·sqrt(products)·max|x|·max|w|, and of c·eps·Σ|w|·max|x| for filters
TRUNCATE = 4.0  # standard deviations that a Gaussian reaches to each side: scipy.ndimage's


class Case(Protocol):
    """One call of a function of a module of fastconv's."""

    family: ClassVar[str]
    """The module: 'signal', 'ndimage' or 'nn'."""

    @property
    def function(self) -> str:
        """The function's name."""

    @property
    def quick(self) -> bool:
        """Whether ``--quick`` takes the case."""

    @property
    def name(self) -> str:
        """The case in words, such as ``1080x1920 * 7x7 symm``."""

    @property
    def dtypes(self) -> str:
        """The dtype of the data, and the kernel's where it is another."""

    def arrays(self, generator: np.random.Generator) -> tuple[Array, ...]:
        """Return the arrays of the call."""

    def arguments(self, arrays: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return what the function is called with: these arrays, wherever they live."""

    def wanted(self, arrays: Sequence[Array], dtype: np.dtype[Any]) -> tuple[Array, float]:
        """Return the values of a result of a dtype, and how far it may be off."""


def by(shape: Sequence[int]) -> str:
    """Return a shape as in ``1080x1920``."""
    return "x".join(map(str, shape))


def bound(function: Callable[..., Any], case: Case, arrays: Sequence[Any]) -> Callable[[], Any]:
    """Return a function's call with the arguments of a case."""
    arguments, options = case.arguments(arrays)
    return functools.partial(function, *arguments, **options)


def _numbers(generator: np.random.Generator, shape: Sequence[int], dtype: str) -> Array:
    kind = np.dtype(dtype).kind
    if kind in "iu":  # small enough that no sum leaves int16
        return generator.integers(0 if kind == "u" else -20, 21, shape).astype(dtype)
    values = generator.standard_normal(shape)
    if kind == "c":
        return (values + 1j * generator.standard_normal(shape)).astype(dtype)
    return values.astype(dtype)


def _rounding(dtype: np.dtype[Any], products: float, x: Array, w: Array) -> float:
    """Return how far sums of so many products may be off in a dtype."""
    scale = float(np.abs(x).max()) * float(np.abs(w).max())
    return TOLERANCE * float(np.finfo(dtype).eps) * math.sqrt(products) * scale


@dataclass(frozen=True)
class Convolution:
    """Two arrays of scipy.signal's functions."""

    family: ClassVar[str] = "signal"

    data: tuple[int, ...]
    kernel: tuple[int, ...]
    dtype: str
    quick: bool = False
    function: str = "convolve"
    mode: str = "same"
    kernel_dtype: str = ""
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The case in words."""
        words = [f"{by(self.data)} * {by(self.kernel)}"]
        if self.mode != "same":
            words.append(self.mode)
        words += [str(self.options[key]) for key in ("boundary",) if key in self.options]
        words += [f"axis {self.options[key]}" for key in ("axes",) if key in self.options]
        return " ".join(words)

    @property
    def dtypes(self) -> str:
        """The dtype of the data, and the kernel's where it is another."""
        return self.dtype + (f" * {self.kernel_dtype}" if self.kernel_dtype else "")

    @property
    def axes(self) -> tuple[int, ...]:
        """The axes that are convolved over."""
        if "axes" in self.options:
            return (self.options["axes"] % len(self.data),)
        return tuple(range(len(self.data)))

    @property
    def products(self) -> int:
        """Multiply-adds of the plain sums, as long as the data."""
        return math.prod(self.data) * math.prod(self.kernel)

    @property
    def correlates(self) -> bool:
        """Whether the kernel is taken as it is, and not flipped."""
        return self.function.startswith("correlate")

    def arrays(self, generator: np.random.Generator) -> tuple[Array, ...]:
        """Return data and kernel."""
        data = _numbers(generator, self.data, self.dtype)
        return data, _numbers(generator, self.kernel, self.kernel_dtype or self.dtype)

    def arguments(self, arrays: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return data, kernel and mode, and the options."""
        return (*arrays, self.mode), dict(self.options)

    def wanted(self, arrays: Sequence[Array], dtype: np.dtype[Any]) -> tuple[Array, float]:
        """Return the values, and how far they may be off: not at all for integers."""
        data, kernel = arrays
        line = np.flip(kernel).conj() if self.correlates else kernel
        boundary = self.options.get("boundary", "fill")
        values = _references.convolution(data, line, self.mode, boundary, self.axes)
        if dtype.kind in "iu":
            return np.rint(values), 0.0
        return values, _rounding(dtype, kernel.size, data, kernel)


@dataclass(frozen=True)
class Filter:
    """An image, or a volume, of scipy.ndimage's filters; `kernel` is correlate's, or convolve's."""

    family: ClassVar[str] = "ndimage"

    data: tuple[int, ...]
    function: str
    dtype: str = "float32"
    size: float | None = None  # uniform_filter's size, or gaussian_filter's sigma
    kernel: tuple[int, ...] = ()
    mode: str = "reflect"
    quick: bool = False

    @property
    def name(self) -> str:
        """The case in words."""
        words = [by(self.data)]
        if self.kernel:
            words.append(f"* {by(self.kernel)}")
        if self.size is not None:
            words.append(f"{'sigma' if self.function.startswith('gauss') else 'size'} {self.size}")
        if self.mode != "reflect":
            words.append(self.mode)
        return " ".join(words)

    @property
    def dtypes(self) -> str:
        """The dtype of the image."""
        return self.dtype

    def arrays(self, generator: np.random.Generator) -> tuple[Array, ...]:
        """Return the image, and the kernel of those that take one."""
        if np.dtype(self.dtype).kind == "u":
            image = generator.integers(0, 256, self.data).astype(self.dtype)
        else:
            image = _numbers(generator, self.data, self.dtype)
        if not self.kernel:
            return (image,)
        taps = generator.random(self.kernel)
        return image, (taps / taps.sum()).astype(np.result_type(self.dtype, np.float32))

    def arguments(self, arrays: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arrays and the size, and the boundary rule."""
        sizes = () if self.size is None else (self.size,)
        return (*arrays, *sizes), {"mode": self.mode}

    def wanted(self, arrays: Sequence[Array], dtype: np.dtype[Any]) -> tuple[Array, float]:
        """Return the values, and how far they may be off: by one where they are cut to integers."""
        taps = self._taps(arrays)
        values = _references.correlation(arrays[0], taps, self.mode)
        if dtype.kind in "iu":
            return np.trunc(values), 1.0
        scale = float(np.abs(taps).sum()) * float(np.abs(arrays[0]).max())
        return values, TOLERANCE * float(np.finfo(dtype).eps) * scale

    def _taps(self, arrays: Sequence[Array]) -> Array:
        """Return the kernel that the image is correlated with."""
        if self.kernel:
            return arrays[1] if self.function == "correlate" else np.flip(arrays[1])
        axes = range(len(self.data))
        if self.function == "laplace":
            curve, centre = np.array([1.0, -2.0, 1.0]), np.array([0.0, 1.0, 0.0])
            parts = [_outer([curve if b == a else centre for b in axes]) for a in axes]
            kernel: Array = np.sum(parts, axis=0)
            return kernel
        last = len(self.data) - 1
        return _outer([self._line(a == last) for a in axes])

    def _line(self, last: bool) -> Array:
        """Return the taps along an axis of a filter that passes along one after the other."""
        if self.function == "sobel":
            return np.array([-1.0, 0.0, 1.0] if last else [1.0, 2.0, 1.0])
        if self.size is None:
            raise ValueError(f"a case of {self.function} needs a size")
        if self.function == "uniform_filter":
            return np.full(int(self.size), 1 / self.size)
        reach = int(TRUNCATE * self.size + 0.5)
        line = np.exp(-0.5 * (np.arange(-reach, reach + 1) / self.size) ** 2)
        mean: Array = line / line.sum()
        return mean


def _outer(lines: Sequence[Array]) -> Array:
    """Return the product of one line an axis."""
    return functools.reduce(np.multiply.outer, lines)


@dataclass(frozen=True)
class Layer:
    """A layer of square kernels on square images, padded by half a kernel; or a gradient of its."""

    family: ClassVar[str] = "nn"

    batch: int
    channels: int
    side: int
    outputs: int
    taps: int
    stride: int = 1
    groups: int = 1
    function: str = "conv2d"
    dtype: str = "float32"
    quick: bool = False

    @property
    def x(self) -> tuple[int, ...]:
        """Shape of the images."""
        return self.batch, self.channels, self.side, self.side

    @property
    def w(self) -> tuple[int, ...]:
        """Shape of the weights."""
        return self.outputs, self.channels // self.groups, self.taps, self.taps

    @property
    def extent(self) -> int:
        """Side of the results."""
        return (self.side + 2 * (self.taps // 2) - self.taps) // self.stride + 1

    @property
    def y(self) -> tuple[int, ...]:
        """Shape of the results."""
        return self.batch, self.outputs, self.extent, self.extent

    @property
    def name(self) -> str:
        """The case in words."""
        words = [f"{by(self.x)} * {by(self.w)}"]
        words += [f"stride {self.stride}"] if self.stride != 1 else []
        words += [f"groups {self.groups}"] if self.groups != 1 else []
        return " ".join(words)

    @property
    def dtypes(self) -> str:
        """The dtype of all arrays."""
        return self.dtype

    @property
    def numbers(self) -> dict[str, int]:
        """The layer's numbers, by their names in PyTorch."""
        return {"stride": self.stride, "padding": self.taps // 2, "groups": self.groups}

    def arrays(self, generator: np.random.Generator) -> tuple[Array, ...]:
        """Return images and weights; for gradients the results' in place of what is asked for."""
        shapes = {
            "conv2d": (self.x, self.w),
            "conv2d_grad_input": (self.y, self.w),
            "conv2d_grad_weight": (self.y, self.x),
        }[self.function]
        first, second = (_numbers(generator, shape, self.dtype) for shape in shapes)
        return first, second

    def arguments(self, arrays: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arrays and the shape of a gradient, and the layer's numbers."""
        return (*arrays, *self._shapes), dict(self.numbers)

    @property
    def _shapes(self) -> tuple[tuple[int, ...], ...]:
        return {"conv2d_grad_input": (self.x,), "conv2d_grad_weight": (self.w,)}.get(
            self.function, ()
        )

    def wanted(self, arrays: Sequence[Array], dtype: np.dtype[Any]) -> tuple[Array, float]:
        """Return the values, and how far they may be off."""
        first, second = arrays
        if self.function == "conv2d":
            values = _references.layer(first, second, self.extent, self.stride, self.groups)
            products = math.prod(self.w[1:])
        elif self.function == "conv2d_grad_input":
            values = _references.layer_grad_input(first, second, self.x, self.stride, self.groups)
            products = math.prod(self.w) // self.channels
        else:
            values = _references.layer_grad_weight(first, second, self.w, self.stride, self.groups)
            products = self.batch * self.extent**2
        return values, _rounding(dtype, products, first, second)
