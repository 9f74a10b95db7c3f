"""scipy.ndimage's functions."""

import scipy.ndimage

from cupyx.scipy import wrapping

__getattr__ = wrapping(scipy.ndimage)
