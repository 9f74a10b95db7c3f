from collections.abc import Callable, Sequence
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray
from typing_extensions import disjoint_base

from fastconv._typing import OnDevice

_Out = TypeVar("_Out", bound=NDArray[Any])

SHORT_SIGNAL_CONVOLVE: int
SHORT_SIGNAL_CORRELATE: int
SHORT_SIGNAL_CONVOLVE2D: int
SHORT_SIGNAL_CORRELATE2D: int
SHORT_NUMPY_CONVOLVE: int
SHORT_NUMPY_CORRELATE: int

def has_kernel(dtype: np.dtype[Any]) -> bool: ...
def correlate(
    x: NDArray[Any],
    w: NDArray[Any],
    out: NDArray[Any],
    offset: Sequence[int],
    boundary: int = 0,
    fill: NDArray[Any] | None = None,
    skip_zeros: bool = False,
    threads: int = 1,
) -> None: ...

class ScratchError(ValueError): ...

PASS_TILE: int
PASS_ORDERED: int
PASS_BOX: int
PASS_RUNNING: int
ALL_AXES: int

def is_stored(dtype: np.dtype[Any]) -> bool: ...
def filter_blocks(
    x: NDArray[Any],
    out: NDArray[Any],
    passes: Sequence[tuple[int, int, Sequence[NDArray[Any]]]],
    taps: Sequence[int],
    offset: Sequence[int],
    boundary: int,
    dtype: np.dtype[Any],
    fill: NDArray[Any] | None = None,
    cut: bool = False,
    skip_zeros: bool = False,
    refill: bool = True,
    threads: int = 1,
) -> None: ...
def short_call(in1: object, in2: object, mode: object, rules: int) -> NDArray[Any] | None: ...
def short_filter(
    input: object,
    weights: object,
    output: object,
    mode: object,
    cval: object,
    origin: object,
    axes: object,
    convolution: bool,
    threads: Callable[[], int],
) -> NDArray[Any] | None: ...

@disjoint_base
class ShortPlan:
    def __init__(
        self,
        x: Sequence[int],
        w: NDArray[Any],
        out: Sequence[int],
        offset: Sequence[int],
        boundary: int,
        fill: NDArray[Any] | None,
        skip_zeros: bool,
    ) -> None: ...
    @overload
    def __call__(self, data: OnDevice, out: OnDevice | None = None) -> OnDevice: ...
    @overload
    def __call__(self, data: ArrayLike, out: _Out) -> _Out: ...
    @overload
    def __call__(self, data: ArrayLike, out: None = None) -> NDArray[Any]: ...

BLOCK_NONFINITE: int
BLOCK_UNSURE: int
BLOCK_OUT_OF_RANGE: int

def line_fft_lanes(dtype: np.dtype[Any]) -> int: ...
def line_fft_spectrum(w: NDArray[Any], points: int) -> NDArray[Any]: ...
def line_fft_correlate(
    x: NDArray[Any],
    spectrum: NDArray[Any],
    taps: int,
    out: NDArray[Any],
    offset: Sequence[int],
    skip: int,
    boundary: int = 0,
    fill: NDArray[Any] | None = None,
    threads: int = 1,
    need: float = 0.0,
    chosen: NDArray[Any] | None = None,
) -> NDArray[Any]: ...
def four_step_scratch(dtype: np.dtype[Any], points: int) -> tuple[int, int]: ...
def four_step_spectrum(w: NDArray[Any], points: int) -> NDArray[Any]: ...
def four_step_correlate(
    x: NDArray[Any],
    spectrum: NDArray[Any],
    taps: int,
    out: NDArray[Any],
    offset: Sequence[int],
    step: int,
    apart: bool = True,
    boundary: int = 0,
    fill: NDArray[Any] | None = None,
    threads: int = 1,
    need: float = 0.0,
    chosen: NDArray[Any] | None = None,
) -> NDArray[Any]: ...
def cheapest_tiles(
    out: Sequence[int],
    taps: Sequence[int],
    others: int,
    dtype: np.dtype[Any],
    most_points: int,
    costs: tuple[float, float, float, int, float],
    levels: Sequence[tuple[int, float]],
) -> tuple[tuple[int, ...], tuple[int, ...], int, float, float] | None: ...
def tile_fft_scratch(dtype: np.dtype[Any], points: Sequence[int]) -> tuple[int, int]: ...
def tile_fft_spectrum(w: NDArray[Any], points: Sequence[int]) -> NDArray[Any]: ...
def tile_fft_correlate(
    x: NDArray[Any],
    spectrum: NDArray[Any],
    points: Sequence[int],
    taps: Sequence[int],
    out: NDArray[Any],
    offset: Sequence[int],
    step: Sequence[int],
    apart: bool = True,
    boundary: int = 0,
    fill: NDArray[Any] | None = None,
    threads: int = 1,
    need: float = 0.0,
    chosen: NDArray[Any] | None = None,
) -> NDArray[Any]: ...
def gather(
    x: NDArray[Any],
    out: NDArray[Any],
    start: Sequence[int],
    boundary: int = 0,
    fill: NDArray[Any] | None = None,
    threads: int = 1,
) -> None: ...
def gather_blocks(
    x: NDArray[Any],
    blocks: NDArray[Any],
    starts: NDArray[Any],
    boundary: int = 0,
    fill: NDArray[Any] | None = None,
) -> None: ...
def scatter_blocks(
    blocks: NDArray[Any],
    out: NDArray[Any],
    starts: NDArray[Any],
    skip: Sequence[int],
    count: Sequence[int],
    add: bool = False,
) -> None: ...
def multiply_spectrum(a: NDArray[Any], b: NDArray[Any]) -> None: ...
def zero_nonfinite(a: NDArray[Any]) -> int: ...
def all_finite(a: NDArray[Any], threads: int = 1) -> bool: ...
def isa_built() -> tuple[str, ...]: ...
def isa_usable() -> tuple[str, ...]: ...
def isa_used() -> str: ...
def vector_bytes() -> int: ...
def compiler() -> str: ...

FORM_CHANNELS: int
FORM_GRADIENTS: int
FORM_DEPTHWISE: int
FORM_DOTS: int
FORM_WINOGRAD: int

def solve_layer(
    x: NDArray[Any],
    w: NDArray[Any],
    out: NDArray[Any],
    offset: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    bias: NDArray[Any] | None = None,
    activation: int = 0,
    x_zero: float = 0.0,
    form: int = 0,
    threads: int = 1,
) -> bool: ...
def short_layer(
    rank: int,
    x: object,
    w: object,
    bias: object,
    stride: object,
    padding: object,
    dilation: object,
    groups: object,
    layout: object,
    activation: object,
    flip_kernel: object,
    x_zero_point: object,
    w_zero_point: object,
    out: object,
    method: object,
) -> NDArray[Any] | None: ...
def winograd_weights(w: NDArray[Any], threads: int = 1) -> NDArray[Any]: ...
def layer_scratch(
    x: Sequence[int],
    w: Sequence[int],
    out: Sequence[int],
    offset: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    dtype: np.dtype[Any],
    exact: bool,
    form: int,
    threads: int,
) -> int: ...
def look_at_image(
    x: NDArray[Any], dtype: np.dtype[Any], threads: int = 1
) -> tuple[float, float, float, int]: ...
def centre_image(
    x: NDArray[Any], out: NDArray[Any], centre: float, scale: float, threads: int = 1
) -> float: ...
def match_tile(taps: Sequence[int], out: Sequence[int]) -> tuple[int, ...]: ...
def finish_match(
    x: NDArray[Any],
    out: NDArray[Any],
    taps: Sequence[int],
    offset: Sequence[int],
    boundary: int,
    fill: NDArray[Any] | None,
    scale: float,
    centre: float,
    level: float,
    measure: int,
    factors: dict[str, float],
    threads: int = 1,
) -> NDArray[Any]: ...
