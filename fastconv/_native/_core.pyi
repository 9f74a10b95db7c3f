from collections.abc import Callable, Sequence
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray
from typing_extensions import disjoint_base

from fastconv._typing import OnDevice

_Out = TypeVar("_Out", bound=np.ndarray)

SHORT_SIGNAL_CONVOLVE: int
SHORT_SIGNAL_CORRELATE: int
SHORT_SIGNAL_CONVOLVE2D: int
SHORT_SIGNAL_CORRELATE2D: int
SHORT_NUMPY_CONVOLVE: int
SHORT_NUMPY_CORRELATE: int

def has_kernel(dtype: np.dtype[Any]) -> bool: ...
def correlate(
    x: np.ndarray,
    w: np.ndarray,
    out: np.ndarray,
    offset: Sequence[int],
    boundary: int = 0,
    fill: np.ndarray | None = None,
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
    x: np.ndarray,
    out: np.ndarray,
    passes: Sequence[tuple[int, int, Sequence[np.ndarray]]],
    taps: Sequence[int],
    offset: Sequence[int],
    boundary: int,
    dtype: np.dtype[Any],
    fill: np.ndarray | None = None,
    cut: bool = False,
    skip_zeros: bool = False,
    refill: bool = True,
    threads: int = 1,
) -> None: ...
def short_call(in1: object, in2: object, mode: object, rules: int) -> np.ndarray | None: ...
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
) -> np.ndarray | None: ...

@disjoint_base
class ShortPlan:
    def __init__(
        self,
        x: Sequence[int],
        w: np.ndarray,
        out: Sequence[int],
        offset: Sequence[int],
        boundary: int,
        fill: np.ndarray | None,
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
def line_fft_spectrum(w: np.ndarray, points: int) -> np.ndarray: ...
def line_fft_correlate(
    x: np.ndarray,
    spectrum: np.ndarray,
    taps: int,
    out: np.ndarray,
    offset: Sequence[int],
    skip: int,
    boundary: int = 0,
    fill: np.ndarray | None = None,
    threads: int = 1,
    need: float = 0.0,
    chosen: np.ndarray | None = None,
) -> np.ndarray: ...
def four_step_scratch(dtype: np.dtype[Any], points: int) -> tuple[int, int]: ...
def four_step_spectrum(w: np.ndarray, points: int) -> np.ndarray: ...
def four_step_correlate(
    x: np.ndarray,
    spectrum: np.ndarray,
    taps: int,
    out: np.ndarray,
    offset: Sequence[int],
    step: int,
    apart: bool = True,
    boundary: int = 0,
    fill: np.ndarray | None = None,
    threads: int = 1,
    need: float = 0.0,
    chosen: np.ndarray | None = None,
) -> np.ndarray: ...
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
def tile_fft_spectrum(w: np.ndarray, points: Sequence[int]) -> np.ndarray: ...
def tile_fft_correlate(
    x: np.ndarray,
    spectrum: np.ndarray,
    points: Sequence[int],
    taps: Sequence[int],
    out: np.ndarray,
    offset: Sequence[int],
    step: Sequence[int],
    apart: bool = True,
    boundary: int = 0,
    fill: np.ndarray | None = None,
    threads: int = 1,
    need: float = 0.0,
    chosen: np.ndarray | None = None,
) -> np.ndarray: ...
def gather(
    x: np.ndarray,
    out: np.ndarray,
    start: Sequence[int],
    boundary: int = 0,
    fill: np.ndarray | None = None,
    threads: int = 1,
) -> None: ...
def gather_blocks(
    x: np.ndarray,
    blocks: np.ndarray,
    starts: np.ndarray,
    boundary: int = 0,
    fill: np.ndarray | None = None,
) -> None: ...
def scatter_blocks(
    blocks: np.ndarray,
    out: np.ndarray,
    starts: np.ndarray,
    skip: Sequence[int],
    count: Sequence[int],
    add: bool = False,
) -> None: ...
def multiply_spectrum(a: np.ndarray, b: np.ndarray) -> None: ...
def zero_nonfinite(a: np.ndarray) -> int: ...
def all_finite(a: np.ndarray, threads: int = 1) -> bool: ...
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
    x: np.ndarray,
    w: np.ndarray,
    out: np.ndarray,
    offset: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    bias: np.ndarray | None = None,
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
) -> np.ndarray | None: ...
def winograd_weights(w: np.ndarray, threads: int = 1) -> np.ndarray: ...
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
    x: np.ndarray, dtype: np.dtype[Any], threads: int = 1
) -> tuple[float, float, float, int]: ...
def centre_image(
    x: np.ndarray, out: np.ndarray, centre: float, scale: float, threads: int = 1
) -> float: ...
def match_tile(taps: Sequence[int], out: Sequence[int]) -> tuple[int, ...]: ...
def finish_match(
    x: np.ndarray,
    out: np.ndarray,
    taps: Sequence[int],
    offset: Sequence[int],
    boundary: int,
    fill: np.ndarray | None,
    scale: float,
    centre: float,
    level: float,
    measure: int,
    factors: dict[str, float],
    threads: int = 1,
) -> np.ndarray: ...
