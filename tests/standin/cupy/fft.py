"""numpy.fft on device arrays; as cuFFT, NumPy 2 keeps single precision."""

import numpy as np

from cupy._array import wrapped

_NAMES = (
    "fft fft2 fftfreq fftn fftshift hfft ifft ifft2 ifftn ifftshift ihfft irfft irfft2 irfftn "
    "rfft rfft2 rfftfreq rfftn"
)
globals().update({name: wrapped(getattr(np.fft, name)) for name in _NAMES.split()})
