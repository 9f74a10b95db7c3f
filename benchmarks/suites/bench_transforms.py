"""Large kernels by overlap-save: images, volumes, long lines, integers, data that is done again."""

import numpy as np

from ._common import CLOCK, bind_filter, described_array, find, random_array, random_taps

FILTERS = ["fastconv", "scipy", "opencv"]
PEERS = ["fastconv", "scipy"]

timer = CLOCK
repeat = (1, 20, 1.0)  # for asv: samples at the least and at the most, and seconds, a round


class LargeKernels:
    """Images by kernels of 15 to 511 taps a side, edges reflected."""

    param_names = ["impl", "image", "side"]
    params = [
        FILTERS,
        ["1080×1920 float32", "1080×1920 uint8", "2048×2048 float32", "1024×1024 float64"],
        [15, 31, 63, 129, 255, 511],
    ]

    def setup(self, impl, image, side):
        data = described_array(image)
        options = {"output": "float32"} if data.dtype.kind == "u" and impl != "opencv" else {}
        self.filter = bind_filter(impl, "correlate", data, random_taps(side, data), **options)

    def time_correlate(self, impl, image, side):
        self.filter()

    time_correlate.pretty_name = "ndimage.correlate: large, by N×N taps"


class LargeVolumes:
    """A 128×128×128 volume by cubes."""

    param_names = ["impl", "side"]
    params = [PEERS, [9, 15, 31, 63]]

    def setup(self, impl, side):
        self.convolve = find(impl, "fftconvolve", ndim=3)
        self.data = random_array((128,) * 3, "float32")
        self.kernel = random_array((side,) * 3, "float32")

    def time_convolve(self, impl, side):
        self.convolve(self.data, self.kernel, "same")

    time_convolve.pretty_name = "fftconvolve: 128×128×128 by N×N×N taps"


class LongKernels:
    """A million samples by kernels that no lane holds."""

    param_names = ["impl", "dtype", "taps"]
    params = [PEERS, ["float32", "float64"], [3_000, 10_000, 30_000, 100_000, 300_000]]

    def setup(self, impl, dtype, taps):
        self.convolve = find(impl, "oaconvolve")
        self.data, self.kernel = random_array(1_000_000, dtype), random_array(taps, dtype)

    def time_convolve(self, impl, dtype, taps):
        self.convolve(self.data, self.kernel, "same")

    time_convolve.pretty_name = "oaconvolve: 1,000,000 samples by N taps"


class Integers:
    """2^20 integers by 1,000 taps, exact modulo their width."""

    param_names = ["impl", "dtype"]
    params = [["fastconv", "scipy", "numpy"], ["uint8", "int16", "int32", "int64"]]

    def setup(self, impl, dtype):
        self.convolve = find(impl, "convolve")
        self.data, self.kernel = random_array(1 << 20, dtype), random_array(1_000, dtype)

    def time_convolve(self, impl, dtype):
        self.convolve(self.data, self.kernel)

    time_convolve.pretty_name = "convolve: 1,048,576 integers by 1,000"


class DoneAgain:
    """What it costs to be trusted: a film frame by 63×63 taps that blocks are done again for."""

    param_names = ["data"]
    params = [["noise", "half is zero", "half is quiet", "one NaN", "a hundred NaN", "1e30 in it"]]

    def setup(self, data):
        self.convolve = find("fastconv", "convolve")
        image = random_array((1080, 1920), "float32")
        generator = np.random.default_rng(0)
        if data == "half is zero":
            image[:, 960:] = 0
        elif data == "half is quiet":
            image[:, 960:] *= 1e-6
        elif data == "1e30 in it":
            image[540, 960] = 1e30
        elif data != "noise":
            count = 1 if data == "one NaN" else 100
            image.flat[generator.integers(0, image.size, count)] = np.nan
        self.image, self.kernel = image, random_array((63, 63), "float32")

    def time_convolve(self, data):
        self.convolve(self.image, self.kernel, "same")

    time_convolve.pretty_name = "convolve: 1080×1920 by 63×63, done again"
