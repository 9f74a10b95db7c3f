"""scipy.signal's functions."""

import scipy.signal

from cupyx.scipy import wrapping

__getattr__ = wrapping(scipy.signal)
