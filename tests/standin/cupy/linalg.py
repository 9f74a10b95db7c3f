"""numpy.linalg on device arrays."""

import numpy as np

from cupy._array import wrapped

_NAMES = (
    "cholesky det eigh eigvalsh inv lstsq matrix_power matrix_rank norm pinv qr slogdet solve "
    "svd tensorinv tensorsolve"
)
globals().update({name: wrapped(getattr(np.linalg, name)) for name in _NAMES.split()})
