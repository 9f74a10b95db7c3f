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
    padding: Any = rule
    return np.pad(wide, [(n, n) for n in reach], mode=padding)


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
#
# Image by image and group by group, as products of matrices: of the weights, (outputs of a group,
# channels of a group times taps), and of what each output meets, that by outputs.


def layer(x: Array, w: Array, extent: int, stride: int, groups: int) -> Array:
    """Apply a layer of square kernels to images that are padded by half of one."""
    outputs, _, side, _ = w.shape
    result = np.empty((len(x), groups, outputs // groups, extent * extent))
    weights = _grouped(w, groups).reshape(groups, outputs // groups, -1)
    for n, g, image in _images(x, groups, side):
        result[n, g] = weights[g] @ _columns(image, side, extent, stride)
    return result.reshape(len(x), outputs, extent, extent)


def layer_grad_input(
    grad: Array, w: Array, shape: Sequence[int], stride: int, groups: int
) -> Array:
    """Return the gradient of `layer` with respect to x, of this shape."""
    outputs, channels, side, _ = w.shape
    extent, reach = grad.shape[-1], side // 2
    weights = _grouped(w, groups).reshape(groups, outputs // groups, -1)
    grads = _grouped(grad.swapaxes(0, 1), groups)
    result = np.empty(shape)
    for n, g, image in _images(np.zeros(shape), groups, side):
        back = weights[g].T @ grads[g, :, n].reshape(outputs // groups, -1)
        taps = back.reshape(channels, side, side, extent, extent)
        for i in range(side):
            for j in range(side):
                image[(slice(None), *_met(i, j, extent, stride))] += taps[:, i, j]
        inside = image[:, reach : reach + shape[2], reach : reach + shape[3]]
        result[n, g * channels : (g + 1) * channels] = inside
    return result


def layer_grad_weight(
    grad: Array, x: Array, shape: Sequence[int], stride: int, groups: int
) -> Array:
    """Return the gradient of `layer` with respect to w, of this shape."""
    outputs, channels, side, _ = shape
    grads = _grouped(grad.swapaxes(0, 1), groups)
    result = np.zeros((groups, outputs // groups, channels * side * side))
    for n, g, image in _images(x, groups, side):
        columns = _columns(image, side, grad.shape[-1], stride)
        result[g] += grads[g, :, n].reshape(outputs // groups, -1) @ columns.T
    return result.reshape(shape)


def _grouped(channels: Array, groups: int) -> Array:
    """Return channels, which come first, by groups."""
    wide = channels.astype(np.float64)
    return wide.reshape(groups, len(channels) // groups, *channels.shape[1:])


def _images(x: Array, groups: int, side: int) -> Iterator[tuple[int, int, Array]]:
    """Yield the channels of each image and group, padded by half a kernel."""
    for n, image in enumerate(x):
        for g, channels in enumerate(_grouped(image, groups)):
            yield n, g, np.pad(channels, [(0, 0), (side // 2,) * 2, (side // 2,) * 2])


def _columns(image: Array, side: int, extent: int, stride: int) -> Array:
    """Return what all outputs meet at each channel and tap, (channels times taps, outputs)."""
    windows = np.lib.stride_tricks.sliding_window_view(image, (side, side), (1, 2))
    windows = windows[(slice(None), *_met(0, 0, extent, stride))]
    return windows.transpose(0, 3, 4, 1, 2).reshape(-1, extent * extent)


def _met(i: int, j: int, extent: int, stride: int) -> tuple[slice, slice]:
    """Return the rows and columns that all outputs meet at one tap."""
    reach = stride * (extent - 1) + 1
    return slice(i, i + reach, stride), slice(j, j + reach, stride)
