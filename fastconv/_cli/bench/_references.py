"""What cases should give, in double precision and by NumPy alone: apart from fastconv's code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

# np.pad's names for scipy.signal's boundaries, and for scipy.ndimage's.
SIGNAL_EDGES = {"fill": "constant", "wrap": "wrap", "symm": "symmetric"}
IMAGE_EDGES = {
    "reflect": "symmetric",
    "mirror": "reflect",
    "nearest": "edge",
    "wrap": "wrap",
    "constant": "constant",
}


def convolution(data: Array, kernel: Array, mode: str, boundary: str, axes: Sequence[int]) -> Array:
    """Convolve along axes: data that are extended by the boundary rule, as far as `mode` says."""
    reach = [kernel.shape[axis] - 1 if axis in axes else 0 for axis in range(data.ndim)]
    full = _inside(_extended(data, reach, SIGNAL_EDGES[boundary]), kernel, axes)
    # 'same' and 'valid' lie inside 'full'.
    window = []
    for length, margin in zip(data.shape, reach, strict=True):
        first = {"full": 0, "same": margin // 2, "valid": margin}[mode]
        count = {"full": length + margin, "same": length, "valid": length - margin}[mode]
        window.append(slice(first, first + count))
    return full[tuple(window)]


def correlation(data: Array, taps: Array, edges: str) -> Array:
    """Correlate an image with centred taps, an odd number along each axis."""
    reach = [length // 2 for length in taps.shape]
    return _inside(_extended(data, reach, IMAGE_EDGES[edges]), np.flip(taps), range(data.ndim))


def _extended(data: Array, reach: Sequence[int], rule: str) -> Array:
    wide = data.astype(np.complex128 if data.dtype.kind == "c" else np.float64)
    return np.pad(wide, [(n, n) for n in reach], mode=rule)  # type: ignore[call-overload]


def _inside(data: Array, kernel: Array, axes: Sequence[int]) -> Array:
    """Convolve by transforms; keep the outputs that the whole kernel lies inside the data for."""
    lengths = [_quick_length(data.shape[axis]) for axis in axes]
    kernel = kernel.astype(data.dtype)
    whole: Array
    if data.dtype.kind == "c":
        spectrum = np.fft.fftn(data, lengths, axes) * np.fft.fftn(kernel, lengths, axes)
        whole = np.fft.ifftn(spectrum, axes=axes)
    else:
        spectrum = np.fft.rfftn(data, lengths, axes) * np.fft.rfftn(kernel, lengths, axes)
        whole = np.fft.irfftn(spectrum, lengths, axes)
    kept = [slice(None)] * data.ndim
    for axis in axes:
        kept[axis] = slice(kernel.shape[axis] - 1, data.shape[axis])
    return whole[tuple(kept)]


def _quick_length(count: int) -> int:
    """Return a length no shorter, of a power of two times at most 16."""
    step = 1 << max(0, count.bit_length() - 4)
    return -(-count // step) * step


# Layers -------------------------------------------------------------------------------------------


def layer(x: Array, w: Array, extent: int, stride: int, groups: int) -> Array:
    """Apply a layer of square kernels to images that are padded by half of one."""
    outputs, _, side, _ = w.shape
    result = np.zeros((len(x), groups, outputs // groups, extent * extent))
    padded = _padded(x, side)
    for i, j, window in _windows(padded, side, extent, stride):
        result += _tap(w, i, j, groups) @ _grouped(window, groups)
    return result.reshape(len(x), outputs, extent, extent)


def layer_grad_input(
    grad: Array, w: Array, shape: Sequence[int], stride: int, groups: int
) -> Array:
    """Return the gradient of `layer` with respect to x, of this shape."""
    side, extent = w.shape[-1], grad.shape[-1]
    padded = _padded(np.zeros(shape), side)
    for i, j, window in _windows(padded, side, extent, stride):
        back = _tap(w, i, j, groups).swapaxes(-1, -2) @ _grouped(grad, groups)
        window += back.reshape(window.shape)
    reach = side // 2
    return padded[:, :, reach : reach + shape[2], reach : reach + shape[3]]


def layer_grad_weight(
    grad: Array, x: Array, shape: Sequence[int], stride: int, groups: int
) -> Array:
    """Return the gradient of `layer` with respect to w, of this shape."""
    side, extent = shape[-1], grad.shape[-1]
    result = np.zeros(shape)
    padded = _padded(x, side)
    for i, j, window in _windows(padded, side, extent, stride):
        products = _grouped(grad, groups) @ _grouped(window, groups).swapaxes(-1, -2)
        result[:, :, i, j] = products.sum(axis=0).reshape(shape[:2])
    return result


def _padded(x: Array, side: int) -> Array:
    reach = side // 2
    return np.pad(x.astype(np.float64), [(0, 0), (0, 0), (reach, reach), (reach, reach)])


def _windows(
    padded: Array, side: int, extent: int, stride: int
) -> Iterator[tuple[int, int, Array]]:
    """Yield each tap's place, and what all outputs multiply by it."""
    reach = stride * (extent - 1) + 1
    for i in range(side):
        for j in range(side):
            yield i, j, padded[:, :, i : i + reach : stride, j : j + reach : stride]


def _grouped(images: Array, groups: int) -> Array:
    """Return (N, groups, channels of a group, pixels)."""
    count, channels = images.shape[:2]
    return images.astype(np.float64).reshape(count, groups, channels // groups, -1)


def _tap(w: Array, i: int, j: int, groups: int) -> Array:
    """Return one tap of all kernels, (groups, outputs of a group, channels of a group)."""
    outputs, channels = w.shape[:2]
    return w[:, :, i, j].astype(np.float64).reshape(groups, outputs // groups, channels)
