"""The parameter sets of SciPy's own Convolve, Convolve2D and FFTConvolve benchmarks.

Each timing is one pass over all pairs of a set: many small calls, as SciPy's developers time them.
"""

from itertools import product

from ._common import CLOCK, IMPLEMENTATIONS, find, random_array

MODES = ["full", "valid", "same"]
LENGTHS = (1, 2, 8, 13, 30, 36, 50, 75)

timer = CLOCK


def _signals():
    return [
        (random_array(n, seed=1), random_array(k, seed=2))
        for n, k in product(LENGTHS, repeat=2)
        if k <= n
    ]


def _images(lengths):
    return [
        (random_array(shape[:2], seed=1), random_array(shape[2:], seed=2))
        for shape in product(lengths, repeat=4)
    ]


def _fits(image, kernel):
    return kernel.shape[0] <= image.shape[0] and kernel.shape[1] <= image.shape[1]


def _pass_over(function, pairs, *options):
    for data, kernel in pairs:
        function(data, kernel, *options)


class Convolve:
    """Short signals and small images through convolve and correlate; NumPy takes the signals."""

    param_names = ["impl", "mode"]
    params = [IMPLEMENTATIONS, MODES]

    def setup(self, impl, mode):
        self.convolve = find(impl, "convolve")
        self.correlate = find(impl, "correlate")
        self.pairs = _signals()
        if impl != "numpy":
            self.pairs += [
                pair
                for pair in _images((8, 13, 30))
                if len(pair[1]) <= len(pair[0]) and (mode != "valid" or _fits(*pair))
            ]

    def time_convolve(self, impl, mode):
        _pass_over(self.convolve, self.pairs, mode)

    time_convolve.pretty_name = "SciPy's Convolve set: convolve"

    def time_correlate(self, impl, mode):
        _pass_over(self.correlate, self.pairs, mode)

    time_correlate.pretty_name = "SciPy's Convolve set: correlate"


class Convolve2D:
    """Small images and kernels through convolve2d and correlate2d, with every boundary."""

    param_names = ["impl", "mode", "boundary"]
    params = [["fastconv", "scipy"], MODES, ["fill", "wrap", "symm"]]

    def setup(self, impl, mode, boundary):
        self.convolve2d = find(impl, "convolve2d", ndim=2)
        self.correlate2d = find(impl, "correlate2d", ndim=2)
        self.pairs = [
            pair for pair in _images((1, 2, 8, 13, 30)) if mode != "valid" or _fits(*pair)
        ]

    def time_convolve2d(self, impl, mode, boundary):
        _pass_over(self.convolve2d, self.pairs, mode, boundary)

    time_convolve2d.pretty_name = "SciPy's Convolve2D set: convolve2d"

    def time_correlate2d(self, impl, mode, boundary):
        _pass_over(self.correlate2d, self.pairs, mode, boundary)

    time_correlate2d.pretty_name = "SciPy's Convolve2D set: correlate2d"


class FFTConvolve:
    """Short signals through fftconvolve and oaconvolve."""

    param_names = ["impl", "mode"]
    params = [["fastconv", "scipy"], MODES]

    def setup(self, impl, mode):
        self.fftconvolve = find(impl, "fftconvolve")
        self.oaconvolve = find(impl, "oaconvolve")
        self.pairs = _signals()

    def time_fftconvolve(self, impl, mode):
        _pass_over(self.fftconvolve, self.pairs, mode)

    time_fftconvolve.pretty_name = "SciPy's FFTConvolve set: fftconvolve"

    def time_oaconvolve(self, impl, mode):
        _pass_over(self.oaconvolve, self.pairs, mode)

    time_oaconvolve.pretty_name = "SciPy's FFTConvolve set: oaconvolve"
