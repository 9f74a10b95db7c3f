"""Signals: length of the kernel, dtype, batches along an axis."""

import numpy as np

from ._common import CLOCK, IMPLEMENTATIONS, find, random_array

timer = CLOCK


class LongSignals:
    """A million samples by kernels of 3 to 10,001 taps."""

    param_names = ["impl", "dtype", "taps"]
    params = [IMPLEMENTATIONS, ["float32", "float64"], [3, 15, 101, 1001, 10_001]]

    def setup(self, impl, dtype, taps):
        if impl == "numpy" and taps > 1001:
            raise NotImplementedError("np.convolve takes seconds here")
        self.convolve = find(impl, "convolve")
        self.data, self.kernel = random_array(1_000_000, dtype), random_array(taps, dtype)

    def time_convolve(self, impl, dtype, taps):
        self.convolve(self.data, self.kernel, "same")

    time_convolve.pretty_name = "convolve: 1,000,000 samples by N taps"


class Dtypes:
    """A hundred thousand samples by 100 taps in every kind of number."""

    param_names = ["impl", "dtype"]
    params = [
        IMPLEMENTATIONS,
        ["float32", "float64", "complex64", "complex128", "int16", "int32", "int64", "longdouble"],
    ]

    def setup(self, impl, dtype):
        self.convolve, self.correlate = find(impl, "convolve"), find(impl, "correlate")
        self.data, self.kernel = random_array(100_000, dtype), random_array(100, dtype)

    def time_convolve(self, impl, dtype):
        self.convolve(self.data, self.kernel, "same")

    time_convolve.pretty_name = "convolve: 100,000 samples by 100 taps"

    def time_correlate(self, impl, dtype):
        self.correlate(self.data, self.kernel, "valid")

    time_correlate.pretty_name = "correlate: 100,000 samples by 100 taps"


class LongKernels:
    """Two signals of like length."""

    param_names = ["impl", "samples"]
    params = [["fastconv", "scipy"], [2**10, 2**14, 2**18]]

    def setup(self, impl, samples):
        self.correlate = find(impl, "correlate")
        self.data = random_array(samples, "float32", seed=1)
        self.kernel = random_array(samples, "float32", seed=2)

    def time_correlate(self, impl, samples):
        self.correlate(self.data, self.kernel, "full")

    time_correlate.pretty_name = "correlate: two signals of N samples"


class Batches:
    """64 signals of 16,384 samples by 257 taps, lying along either axis."""

    param_names = ["impl", "dtype", "axis"]
    params = [IMPLEMENTATIONS, ["float32", "float64"], [0, 1]]

    def setup(self, impl, dtype, axis):
        shape, taps = ((64, 16_384), (1, 257)) if axis == 1 else ((16_384, 64), (257, 1))
        data, kernel = random_array(shape, dtype), random_array(taps, dtype)
        if impl == "numpy":
            convolve, line = find("numpy", "convolve"), kernel.ravel()
            self.filter = lambda: np.apply_along_axis(convolve, axis, data, line, "same")
        else:
            oaconvolve = find(impl, "oaconvolve")
            self.filter = lambda: oaconvolve(data, kernel, "same", axes=axis)

    def time_filter(self, impl, dtype, axis):
        self.filter()

    time_filter.pretty_name = "oaconvolve: 64 × 16,384 samples by 257"
