"""The most memory that a process held, arrays and interpreter included."""

from ._common import IMPLEMENTATIONS, find, random_array


class PeakMemory:
    """Ten million samples: 40 MB in float32, and as much for the result."""

    param_names = ["impl"]
    params = [IMPLEMENTATIONS]

    def setup(self, impl):
        self.convolve = find(impl, "convolve")
        self.line, self.taps = random_array(10_000_000, "float32"), random_array(101, "float32")

    def peakmem_convolve(self, impl):
        self.convolve(self.line, self.taps, "same")

    peakmem_convolve.pretty_name = "peak memory: 10,000,000 samples by 101"


class PeakMemoryOfImages:
    """A 4096×4096 image: 67 MB in float32, and as much for the result."""

    param_names = ["impl", "side"]
    params = [["fastconv", "scipy"], [7, 63]]

    def setup(self, impl, side):
        self.convolve = find(impl, "convolve", ndim=2)
        self.image = random_array((4096, 4096), "float32")
        self.kernel = random_array((side, side), "float32")

    def peakmem_convolve(self, impl, side):
        self.convolve(self.image, self.kernel, "same")

    peakmem_convolve.pretty_name = "peak memory: 4096×4096 image by N×N taps"
