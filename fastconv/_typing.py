"""
Names of the types in the signatures of what is public.

A result's dtype is told where the arguments' dtypes decide it alone: arrays of one dtype give an
array of that dtype, a filter's `output` its own; in all other cases it is Any. What lies on a GPU
gives what is of its own type. Two exceptions are not told: arrays without axes count as arrays
though their results are scalars, as in NumPy's annotations, and `fftconvolve` and `oaconvolve` give
float64 where an input is empty, as SciPy's do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, Protocol, SupportsIndex, TypeAlias, TypedDict, TypeVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

# --- scalars and dtypes ---------------------------------------------------------------------------

Integer: TypeAlias = SupportsIndex
Real: TypeAlias = float | np.floating[Any] | np.integer[Any]
Number: TypeAlias = complex | np.number[Any]
# One, or one for each axis.
Each: TypeAlias = Integer | Sequence[Integer] | NDArray[np.integer[Any]]
EachReal: TypeAlias = Real | Sequence[Real] | NDArray[np.floating[Any] | np.integer[Any]]

# --- arrays ---------------------------------------------------------------------------------------


class DeviceArray(Protocol):
    """
    An array on a GPU: one of CuPy's.

    PyTorch's tensors declare the interface even where they lie on the host; they have no `get`.
    """

    @property
    def __cuda_array_interface__(self) -> Any:
        """Where it lies."""

    def get(self, *args: Any, **kwargs: Any) -> Any:
        """Return a copy on the host."""


# Results are of the type of what lies there.
OnDevice = TypeVar("OnDevice", bound=DeviceArray)
# What lies in either place.
Array: TypeAlias = NDArray[Any] | DeviceArray
Data: TypeAlias = ArrayLike | DeviceArray

# The dtype of a result, where it is that of one array.
Element = TypeVar("Element", bound=np.generic)
# The same of two arrays: one of these and no common ancestor, which int32 and float64 have, too.
# (Long doubles are floating[Any] in NumPy's older stubs, which any float is.)
Same = TypeVar(
    "Same",
    np.bool,
    np.int8,
    np.int16,
    np.int32,
    np.int64,
    np.intp,
    np.uint8,
    np.uint16,
    np.uint32,
    np.uint64,
    np.uintp,
    np.float16,
    np.float32,
    np.float64,
    np.complex64,
    np.complex128,
)
# Those that transforms, layers and sepfir2d keep.
Floating = TypeVar("Floating", np.float32, np.float64, np.complex64, np.complex128)
# Those of templates.
Pixel = TypeVar("Pixel", np.float32, np.float64)

# Real weights make no complex result of real data.
RealArrayLike: TypeAlias = (
    NDArray[np.floating[Any] | np.integer[Any] | np.bool]
    | Sequence[float]
    | Sequence[Sequence[float]]
    | Sequence[Sequence[Sequence[float]]]
)
Bytes: TypeAlias = NDArray[np.uint8 | np.int8]
# Arrays and dtypes that decide the dtype of a filter's result. (Filters that make a real dtype
# complex for complex data or weights, as SciPy's do, declare that these are real.)
Into: TypeAlias = NDArray[Element] | type[Element] | np.dtype[Element]
Output: TypeAlias = NDArray[Any] | DTypeLike | None

# --- arguments ------------------------------------------------------------------------------------

Mode: TypeAlias = Literal["full", "same", "valid"]
ModeOrNumber: TypeAlias = Literal["full", "same", "valid", 0, 1, 2]
Accuracy: TypeAlias = Literal["default", "direct"] | Real
Axes: TypeAlias = Integer | Iterable[Integer] | None
Method: TypeAlias = Literal[
    "auto",
    "direct",
    "separable",
    "tilefft",
    "fft",
    "channels",
    "winograd",
    "gemm",
    "reference",
    "gpu_separable",
    "gpu_fft",
    "gpu_gemm",
    "gpu_direct",
]

# Of images: signal's, ndimage's and numpy.pad's.
EdgeRule: TypeAlias = Literal["fill", "pad", "wrap", "circular", "symm", "symmetric"]
EdgeMode: TypeAlias = Literal[
    "reflect",
    "grid-mirror",
    "constant",
    "grid-constant",
    "nearest",
    "mirror",
    "wrap",
    "grid-wrap",
]
EdgeModes: TypeAlias = EdgeMode | Sequence[EdgeMode]
PadMode: TypeAlias = Literal[
    "constant",
    "reflect",
    "symmetric",
    "edge",
    "wrap",
    "linear_ramp",
    "maximum",
    "mean",
    "median",
    "minimum",
    "empty",
]
Measure: TypeAlias = Literal[
    "sqdiff", "sqdiff_normed", "ccorr", "ccorr_normed", "ccoeff", "ccoeff_normed"
]

# Of layers. Padding may be a pair for each axis.
Extents: TypeAlias = Sequence[Integer] | NDArray[np.integer[Any]]
Padding: TypeAlias = (
    Each | Sequence[Sequence[Integer]] | Literal["valid", "same", "same_upper", "same_lower"]
)
Layout1D: TypeAlias = Literal["NCW", "NWC"]
Layout2D: TypeAlias = Literal["NCHW", "NHWC"]
Layout3D: TypeAlias = Literal["NCDHW", "NDHWC"]
Activation: TypeAlias = Literal["relu", "relu6", "leaky_relu", "sigmoid", "tanh", "silu", "gelu"]


class GaussianOptions(TypedDict, total=False):
    """What derivatives of Gaussians hand on to `gaussian_filter`."""

    truncate: Real
    radius: Each | None
