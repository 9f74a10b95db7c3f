"""What a number becomes in another dtype, defined for every machine."""

from types import SimpleNamespace

import numpy as np


def cut_to(values, dtype):
    """Numbers cut toward zero and wrapped around; a bool is the byte of its sum between passes.

    C leaves open what becomes of a number that an unsigned type cannot hold, and leaves SciPy's
    results to the machine: x86 wraps around, ARM gives the nearest that can be held.
    """
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return values.astype(dtype)
    return np.trunc(values).astype(np.int64).astype(np.uint8 if dtype.kind == "b" else dtype)


def scipy_wraps(ndimage):
    """Whether sums wrap around in SciPy's unsigned results on this machine."""
    for dtype in (np.uint8, np.uint16, np.uint32):
        (result,) = ndimage.correlate1d([1.0], [-1.0], output=dtype)
        if result != np.iinfo(dtype).max:
            return False
    return True


def defined(c_filter, output_at):
    """One of SciPy's filters in C, whose sums wrap around in unsigned results."""

    def call(*args):
        output = args[output_at]
        if output.dtype.kind not in "ub":
            return c_filter(*args)
        sums = np.empty(output.shape)
        c_filter(*args[:output_at], sums, *args[output_at + 1 :])  # first: input may be output
        result = c_filter(*args)
        stored = output.view(np.uint8) if output.dtype.kind == "b" else output
        beyond = sums < 0
        if stored.itemsize < 8:  # cut_to itself takes no more than 64 bits
            beyond |= sums >= 256.0**stored.itemsize
        with np.errstate(invalid="ignore"):
            stored[beyond] = cut_to(sums[beyond], output.dtype)
        return result

    return call


def define_scipys(monkeypatch):
    """Let SciPy's filters wrap around where the machine does not, until `monkeypatch` is undone."""
    try:
        from scipy import ndimage
        from scipy.ndimage import _filters
    except ImportError:
        return
    if scipy_wraps(ndimage):
        return
    c_filters = _filters._nd_image
    patched = SimpleNamespace(**{name: getattr(c_filters, name) for name in dir(c_filters)})
    for name, output_at in (("correlate1d", 3), ("uniform_filter1d", 3), ("correlate", 2)):
        setattr(patched, name, defined(getattr(c_filters, name), output_at))
    monkeypatch.setattr(_filters, "_nd_image", patched)
