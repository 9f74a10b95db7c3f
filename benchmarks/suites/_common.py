"""What the suites share: the three implementations, and arrays to give them."""

import importlib

import numpy as np

IMPLEMENTATIONS = ["fastconv", "scipy", "numpy"]
_HOMES = {"fastconv": "fastconv", "scipy": "scipy.signal", "numpy": "numpy"}


def find(impl, name, ndim=1):
    """Return `impl`'s function of that name.

    NotImplementedError makes asv leave the point out: the library has no such function, or only
    for one dimension. The import stands in here because asv forks its workers from a process that
    has imported the suites, and a forked child of a process that holds fastconv runs serially.
    """
    function = getattr(importlib.import_module(_HOMES[impl]), name, None)
    if function is None or (impl == "numpy" and ndim > 1):
        raise NotImplementedError(f"{impl} has no {name} in {ndim} dimensions")
    return function


def random_array(shape, dtype="float64", seed=0):
    """Return normal values, or for integers -20 to 20."""
    generator = np.random.default_rng([seed, *np.atleast_1d(shape)])
    dtype = np.dtype(dtype)
    if dtype.kind in "iu":
        return generator.integers(0 if dtype.kind == "u" else -20, 21, shape).astype(dtype)
    if dtype.kind == "c":
        parts = generator.standard_normal((2, *np.atleast_1d(shape)))
        return (parts[0] + 1j * parts[1]).astype(dtype)
    if dtype.char in "fd":  # made in place: a wider copy would be the peak of a peakmem benchmark
        return generator.standard_normal(shape, dtype)
    return generator.standard_normal(shape).astype(dtype)
