"""Arrays in awkward places: every stride and alignment, and guard zones around the output."""

from __future__ import annotations

import numpy as np

CANARY = 0xA5
GUARD = 256

LAYOUTS = ("C", "F", "reversed", "stepped", "transposed", "unaligned", "swapped", "readonly")
NATIVE_LAYOUTS = ("C", "F", "reversed", "stepped", "transposed", "unaligned")


def empty_in(buffer, offset, shape, dtype, layout):
    """An array of `shape` laid out in a byte buffer from `offset` on."""
    dtype = np.dtype(dtype)
    if layout == "unaligned":
        return np.ndarray(shape, dtype, buffer, offset + 1)
    if layout == "F":
        return np.ndarray(shape, dtype, buffer, offset, order="F")
    if layout == "transposed" and len(shape) > 1:
        return empty_in(buffer, offset, (*shape[1:], shape[0]), dtype, "C").transpose(
            len(shape) - 1, *range(len(shape) - 1)
        )
    if layout == "stepped":
        wide = (*shape[:-1], 3 * shape[-1]) if shape else shape
        whole = np.ndarray(wide, dtype, buffer, offset)
        return whole[..., 1::3] if shape else whole
    whole = np.ndarray(shape, dtype, buffer, offset)
    return np.flip(whole) if layout == "reversed" and shape else whole


def buffer_for(shape, dtype):
    return np.full(3 * int(np.prod(shape)) * np.dtype(dtype).itemsize + 2 * GUARD, CANARY, np.uint8)


def laid_out(array, layout):
    """A copy of `array`, equal by value, in the layout asked for."""
    array = np.asarray(array)
    dtype = array.dtype.newbyteorder() if layout == "swapped" else array.dtype
    if array.dtype.hasobject:
        return array.copy(order="F" if layout == "F" else "C")
    view = empty_in(buffer_for(array.shape, dtype), GUARD, array.shape, dtype, layout)
    view[...] = array
    if layout == "readonly":
        view.flags.writeable = False
    return view


class Guarded:
    """An uninitialised output with canaries before, behind and between its elements."""

    def __init__(self, shape, dtype, layout="C"):
        self.buffer = buffer_for(shape, dtype)
        self.array = empty_in(self.buffer, GUARD, shape, dtype, layout)

    def take(self):
        """The output's values; asserts that nothing beside them was written."""
        values = self.array.copy()
        raw = f"V{self.array.itemsize}"
        np.ndarray(self.array.shape, raw, self.buffer, self._offset(), self.array.strides)[...] = (
            np.void(bytes([CANARY]) * self.array.itemsize)
        )
        assert (self.buffer == CANARY).all(), "bytes outside the output were written"
        return values

    def _offset(self):
        return self.array.__array_interface__["data"][0] - self.buffer.ctypes.data
