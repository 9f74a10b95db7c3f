"""numpy.fft on device arrays; as cuFFT, NumPy 2 keeps single precision."""

import functools
import inspect

import numpy as np

from cupy._array import copied, wrapped

_OTHERS = ("fftfreq", "fftshift", "hfft", "ifftshift", "ihfft", "rfftfreq")
# Transforms of complex data, of real data, and back to real data.
_COMPLEX = ("fft", "fft2", "fftn", "ifft", "ifft2", "ifftn")
_REAL = ("rfft", "rfft2", "rfftn")
_BACK = ("irfft", "irfft2", "irfftn")


def _transforming(name):
    numpys = getattr(np.fft, name)
    transform, signature = wrapped(numpys), inspect.signature(numpys)

    @functools.wraps(numpys, updated=())
    def on_device(*args, **kwargs):
        told = signature.bind(*args, **kwargs)
        told.apply_defaults()
        a, axes = told.arguments["a"], _axes(told.arguments)
        result = transform(*args, **kwargs)
        if 0 in a.shape:
            raise ValueError("Invalid number of FFT data points (0) specified.")
        may_be_one = len(axes) > 1 and (name in _COMPLEX or not a.flags.f_contiguous)
        if may_be_one and _is_one_plan(sorted(axes), a.ndim):
            return copied(result.get(), "F" if a.flags.f_contiguous else "C")
        # Axis by axis: the last one that was transformed lies densely in memory.
        last = axes[-2] if name in _REAL and len(axes) > 1 else axes[-1]
        return copied(result.get().swapaxes(last, -1), "C").swapaxes(last, -1)

    return on_device


def _axes(arguments):
    ndim = arguments["a"].ndim
    if "axis" in arguments:
        axes = (arguments["axis"],)
    else:
        lengths, axes = arguments["s"], arguments["axes"]
        axes = range(-(ndim if lengths is None else len(lengths)), 0) if axes is None else axes
    return tuple(axis % ndim for axis in axes)


def _is_one_plan(axes, ndim):
    """Whether cuFFT takes up to three neighbouring axes at once, at one end of all."""
    neighbours = axes == list(range(axes[0], axes[-1] + 1))
    return len(axes) <= 3 and neighbours and (axes[0] == 0 or axes[-1] == ndim - 1)


globals().update({name: _transforming(name) for name in (*_COMPLEX, *_REAL, *_BACK)})
globals().update({name: wrapped(getattr(np.fft, name)) for name in _OTHERS})
