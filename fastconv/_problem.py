"""The one equation that every public function lowers to, and that every method solves."""

from __future__ import annotations

import enum
import itertools
import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar, overload

import numpy as np
from numpy.typing import DTypeLike

Shape = tuple[int, ...]

# No method may take more than this beyond its arguments, or than they are large together.
WORKSPACE_FLOOR = 64 << 20
# Passes over so few elements give SciPy's results to the last bit, at no cost that counts.
SMALL_SIZE = 4096


class Boundary(enum.IntEnum):
    """What the input holds beyond its edges; the numbers are those of the native code."""

    ZERO = 0  #           0 0 0 | a b c d | 0 0 0
    CONSTANT = 1  #       f f f | a b c d | f f f
    REFLECT = 2  #        c b a | a b c d | d c b
    MIRROR = 3  #         d c b | a b c d | c b a
    NEAREST = 4  #        a a a | a b c d | d d d
    WRAP = 5  #           b c d | a b c d | a b c


class Reason(enum.StrEnum):
    """Why a method does not take a problem."""

    DTYPE = "no kernel for this dtype"
    EMPTY = "nothing to compute"
    NOT_TILED = "takes one to three convolved axes (one of complex numbers), all by one kernel"
    SCRATCH = "the kernel is too large for the scratch of a tile"
    INEXACT = "rounding errors could reach half a unit"
    UNKNOWN_RANGE = "exact only for integers in a known range"
    WORKSPACE = "would take more memory than allowed"
    CUT = "sums are cut or rounded as SciPy's: only its order gives the same"
    PASSES = "every pass is cut, or meets the fill, by itself"
    LESS_EXACT = "errs by all the data, not by each output's own window"
    IN_LANES = "serves what tilefft does not take, which is hardly ever slower"
    ALONE = "does not share its work among threads as others do"
    NOT_DIRECT = "is no plain sum of products, which accuracy='direct' asks for"
    INACCURATE = "may err by more than the accuracy asked for"
    UNKNOWN_KERNEL = "takes kernels that were looked at: large ones along two axes, with values"
    NOT_SEPARABLE = "the kernel was not found to be a sum of at most 3 products of lines"
    LAYER = "sums over channels, strides and dilation are other methods'"
    NOT_A_LAYER = "takes sums over channels"
    TOO_LARGE = "positions in its arrays are past 32 bits"
    NOT_3X3 = "takes 3 × 3 taps, neither strided nor dilated"
    DEPTHWISE = "transforms of a channel take longer than its one sum"


class Activation(enum.IntEnum):
    """What is done to every sum of a layer; the numbers are those of the native code."""

    NONE = 0
    RELU = 1  #       max(y, 0)
    RELU6 = 2  #      min(max(y, 0), 6)
    LEAKY_RELU = 3  # y, or y / 100 where it is negative
    SIGMOID = 4  #    1 / (1 + exp(-y))
    TANH = 5
    SILU = 6  #       y · sigmoid(y)
    GELU = 7  #       y · Φ(y), by erf


@dataclass(frozen=True, slots=True)
class Spec:
    """
    A shape and a dtype that stand for an array that need not exist yet.

    Parameters
    ----------
    shape : int or sequence of int
        Extent of each axis.
    dtype : dtype_like, optional
        Element type; float64 by default.
    device : str, optional
        Where the array lives: 'cpu', or 'cuda' or 'cuda:1' for one of CuPy's on a GPU. By default
        where the other arrays are: in the host's memory, where there are only Specs.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.Spec((1080, 1920), "float32").ndim
    2
    """

    shape: Shape
    dtype: np.dtype[Any]
    device: str | None

    def __init__(
        self,
        shape: int | np.integer[Any] | Iterable[int | np.integer[Any]],
        dtype: DTypeLike = np.float64,
        device: str | None = None,
    ) -> None:
        extents = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
        if not all(isinstance(n, (int, np.integer)) and n >= 0 for n in extents):
            raise ValueError(f"shape must hold integers that are not negative, not {shape!r}")
        object.__setattr__(self, "shape", tuple(int(n) for n in extents))
        object.__setattr__(self, "dtype", np.dtype(dtype))
        if device is not None and not (
            isinstance(device, str) and re.fullmatch(r"cpu|cuda(:\d+)?", device)
        ):
            raise ValueError(
                f"device must be 'cpu', 'cuda' or 'cuda:' and a number, not {device!r}"
            )
        object.__setattr__(self, "device", device)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


Value = TypeVar("Value")


class Kept(Generic[Value]):
    """A property that is computed once: functools.cached_property without Python 3.11's lock."""

    def __init__(self, compute: Callable[[Any], Value]) -> None:
        self._compute = compute
        self._name = compute.__name__
        self.__doc__ = compute.__doc__

    @overload
    def __get__(self, owner: None, kind: type) -> Kept[Value]: ...
    @overload
    def __get__(self, owner: object, kind: type) -> Value: ...
    def __get__(self, owner: object | None, kind: type) -> Kept[Value] | Value:
        """Compute the value and leave it in the way of the next look."""
        if owner is None:
            return self
        value = owner.__dict__[self._name] = self._compute(owner)
        return value


@dataclass(frozen=True)  # without slots: what follows from its fields is kept
class Problem:
    """
    A correlation over a virtually extended input: y[p] = Σ_k w[k] · x̃[p + offset + k].

    Shapes have one dimensionality. Along an axis in ``axes`` the kernel slides; along any other
    axis each index is a problem of its own, with its own kernel.

    A layer sums over channels, too: y[n, g, o, p] = Σ_c Σ_k w[g, o, c, k] · x̃[n, g, c, p·stride +
    offset + k·dilation]. Its arrays have six axes each: x (batch, group, channel) and three along
    which the kernel slides, out the same with output channels, w (group, output channel, channel)
    and the taps; offset has six entries for uniformity. Where it is spread, x̃ has spread - 1 zeros
    between its elements (and the offset counts them): the form of transposed layers.

    Attributes
    ----------
    x, w, out : tuple of int
        Shapes of the data, the kernel and the result.
    axes : tuple of int
        The axes along which the kernel slides, sorted.
    offset : tuple of int
        Index into x̃ that the first tap reads for the first output; 0 on axes not in ``axes``.
    dtype : dtype
        Of the computation; data of another dtype is converted piece by piece.
    boundary : Boundary
        The rule of x̃.
    fill : scalar
        Its value beyond the edge for ``Boundary.CONSTANT``.
    magnitude : tuple of float, optional
        Bounds on |x| and |w| where they are known: integers need them to go through an FFT.
    lines : tuple of int
        Axes of the passes, in their order, where the kernel is given as `Lines`.
    terms : int, optional
        Products of lines that the kernel is a sum of; 0 where there are too many, None where nobody
        looked.
    box : bool
        Whether the taps of every line are alike and sum to one.
    sparse : bool
        Whether a tap that is zero is no tap, so that no NaN or Inf meets it.
    cut : dtype, optional
        Dtype that the sums of every pass become: integers are cut toward zero and wrap around. They
        are formed in the order of the taps, each product and sum rounded, unless they are exact.
    exact : bool
        Whether cut sums are exact in any order.
    stride, dilation, spread : tuple of int
        Of a layer, along each of ``axes``; empty where the problem is no layer. A spread greater
        than one comes with a stride of one.
    accuracy : float, optional
        What results may err by, beside the norms of data and kernel; 0 for plain sums of products
        alone, None for what is usual.
    device : int, optional
        Number of the GPU that data, kernel and result live on; None for the host.
    """

    x: Shape
    w: Shape
    out: Shape
    axes: Shape
    offset: Shape
    dtype: np.dtype[Any]
    boundary: Boundary = Boundary.ZERO
    fill: complex = 0
    magnitude: tuple[float, float] | None = None
    lines: Shape = ()
    terms: int | None = None
    box: bool = False
    sparse: bool = False
    cut: np.dtype[Any] | None = None
    exact: bool = False
    stride: Shape = ()
    dilation: Shape = ()
    spread: Shape = ()
    accuracy: float | None = None
    device: int | None = None

    def __hash__(self) -> int:
        """Hash what differs most: a choice is found in less time than all fields would take."""
        return hash((self.x, self.w, self.out, self.offset, self.dtype.num))

    @Kept
    def layer(self) -> bool:
        """Whether it sums over channels."""
        return bool(self.stride)

    @Kept
    def empty(self) -> bool:
        """Whether any array has no element."""
        return 0 in self.x or 0 in self.w or 0 in self.out

    @Kept
    def taps(self) -> int:
        """Taps that each output sums, in all channels of a layer."""
        taps = math.prod(self.w[a] for a in self.axes)
        return taps * self.w[2] if self.layer else taps

    @Kept
    def macs(self) -> int:
        """Real multiply-adds that the direct method does."""
        products = math.prod(self.out) * self.taps // (math.prod(self.spread) or 1)
        return products * (4 if self.dtype.kind == "c" else 1)

    @Kept
    def traffic(self) -> int:
        """Bytes of data and result (and weights of a layer): what any method moves at the least."""
        elements = math.prod(self.x) + math.prod(self.out)
        return (elements + (math.prod(self.w) if self.layer else 0)) * self.dtype.itemsize

    @Kept
    def workspace_limit(self) -> int:
        """Bytes that a method may plan with; a quarter stays for what nobody plans."""
        return max(WORKSPACE_FLOOR, self.traffic) * 3 // 4

    @Kept
    def by_passes(self) -> bool:
        """Whether its passes are more than one convolution with the product of their lines."""
        return bool(self.lines) and (
            self.cut is not None or (self.boundary is Boundary.CONSTANT and self.fill != 0)
        )

    @Kept
    def padded(self) -> bool:
        """Whether any window reaches beyond the data."""
        return any(
            self.offset[a] < 0 or self.out[a] + self.offset[a] + self.w[a] - 1 > self.x[a]
            for a in self.axes
        )

    @Kept
    def varying(self) -> Shape:
        """Axes along which each index has a kernel of its own."""
        return tuple(a for a in range(len(self.x)) if a not in self.axes and self.w[a] > 1)

    @Kept
    def fill_element(self) -> np.ndarray | None:
        """The value beyond the edge as one element of the computation's dtype, or None for zero."""
        if self.boundary is not Boundary.CONSTANT:
            return None
        return np.array([self.fill]).astype(self.dtype)

    def part(self, region: tuple[slice, ...]) -> tuple[tuple[slice, ...], Problem]:
        """
        Return the part of the data that a region of the outputs reads, and the problem between.

        Beyond a fixed value at the edges nothing else is read; other boundaries read all the data.
        Who solves the whole is as accurate as it must be: of its parts nothing is asked.
        """
        fixed = self.boundary in (Boundary.ZERO, Boundary.CONSTANT)
        window: list[slice] = []
        offset: list[int] = []
        for a, outputs in enumerate(region):
            first = self.offset[a] + outputs.start
            if a not in self.axes:
                window.append(outputs)
                offset.append(0)
            elif fixed and self.x[a]:
                # At least one element, so that no array is empty.
                low = min(max(first, 0), self.x[a] - 1)
                high = self.offset[a] + outputs.stop + self.w[a] - 1
                window.append(slice(low, min(max(high, low + 1), self.x[a])))
                offset.append(first - low)
            else:
                window.append(slice(0, self.x[a]))
                offset.append(first)
        return tuple(window), replace(
            self,
            x=tuple(s.stop - s.start for s in window),
            w=tuple(
                n if a in self.axes or n == 1 else s.stop - s.start
                for a, (n, s) in enumerate(zip(self.w, region, strict=True))
            ),
            out=tuple(s.stop - s.start for s in region),
            offset=tuple(offset),
            accuracy=None,
        )

    def kernels(self) -> Iterator[tuple[slice, ...]]:
        """Slices of every array, for each index that has a kernel of its own."""
        for index in itertools.product(*(range(self.x[a]) for a in self.varying)):
            pick = dict(zip(self.varying, index, strict=True))
            yield tuple(
                slice(pick[a], pick[a] + 1) if a in pick else slice(None)
                for a in range(len(self.x))
            )


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """
    A kernel as a sum of products of lines: w[k] = Σ_t Π_a terms[t][a][k_a].

    Attributes
    ----------
    terms : tuple of tuple of ndarray
        For each term, the line of each pass, 1-D.
    axes : tuple of int
        The axis of each pass.
    ndim : int
        Axes of the data.
    """

    terms: tuple[tuple[np.ndarray, ...], ...]
    axes: Shape
    ndim: int

    def dense(self) -> np.ndarray:
        """Return the kernel as one array."""
        kernel: np.ndarray = np.sum([self._product(lines) for lines in self.terms], axis=0)
        return kernel

    def _product(self, lines: tuple[np.ndarray, ...]) -> np.ndarray:
        product = np.ones((1,) * self.ndim)
        for axis, line in zip(self.axes, lines, strict=True):
            product = product * line.reshape([-1 if a == axis else 1 for a in range(self.ndim)])
        return product


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """
    The kernel of a layer, and what is done to its sums.

    Attributes
    ----------
    taps : ndarray
        (group, output channel, channel, taps along three axes); any strides; of the problem's
        dtype, or int8 or uint8 where that is int32.
    bias : ndarray, optional
        (group · output channel,), of the problem's dtype; added to the sums.
    activation : Activation
        Done to the result.
    x_zero : int
        Subtracted from integer data (what lies beyond its edge is this, too).
    w_zero : ndarray, optional
        (group · output channel,) int32: subtracted from integer taps.
    """

    taps: np.ndarray
    bias: np.ndarray | None = None
    activation: Activation = Activation.NONE
    x_zero: int = 0
    w_zero: np.ndarray | None = None
