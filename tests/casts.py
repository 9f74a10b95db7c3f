"""What a number becomes in another dtype, defined for every machine."""

import numpy as np


def cut_to(values, dtype):
    """Numbers cut toward zero and wrapped around; a bool is the byte of its sum between passes.

    C leaves open what a negative number becomes in an unsigned type, and SciPy's results there are
    the machine's: x86 wraps around, ARM gives 0.
    """
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return values.astype(dtype)
    return np.trunc(values).astype(np.int64).astype(np.uint8 if dtype.kind == "b" else dtype)
