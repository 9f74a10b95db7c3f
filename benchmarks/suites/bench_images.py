"""Images and volumes: size of the kernel, dtype, boundary."""

from ._common import CLOCK, find, random_array

PEERS = ["fastconv", "scipy"]
FILM_FRAME = (1080, 1920)

timer = CLOCK


class Images:
    """A film frame by square kernels of 3 to 63 taps a side."""

    param_names = ["impl", "dtype", "side"]
    params = [PEERS, ["float32", "float64"], [3, 5, 7, 11, 15, 31, 63]]

    def setup(self, impl, dtype, side):
        self.convolve = find(impl, "convolve", ndim=2)
        self.data, self.kernel = random_array(FILM_FRAME, dtype), random_array((side, side), dtype)

    def time_convolve(self, impl, dtype, side):
        self.convolve(self.data, self.kernel, "same")

    time_convolve.pretty_name = "convolve: 1080×1920 image by N×N taps"


class ImageDtypes:
    """A 512×512 image by 7×7 taps in every kind of number."""

    param_names = ["impl", "dtype"]
    params = [PEERS, ["float32", "float64", "complex64", "complex128", "uint8", "int16", "int32"]]

    def setup(self, impl, dtype):
        self.convolve2d = find(impl, "convolve2d", ndim=2)
        self.data, self.kernel = random_array((512, 512), dtype), random_array((7, 7), dtype)

    def time_convolve2d(self, impl, dtype):
        self.convolve2d(self.data, self.kernel, "same")

    time_convolve2d.pretty_name = "convolve2d: 512×512 image by 7×7 taps"


class Boundaries:
    """A film frame by 5×5 taps with each rule for what lies outside."""

    param_names = ["impl", "boundary"]
    params = [PEERS, ["fill", "wrap", "symm"]]

    def setup(self, impl, boundary):
        self.convolve2d = find(impl, "convolve2d", ndim=2)
        self.data, self.kernel = (
            random_array(FILM_FRAME, "float32"),
            random_array((5, 5), "float32"),
        )

    def time_convolve2d(self, impl, boundary):
        self.convolve2d(self.data, self.kernel, "same", boundary)

    time_convolve2d.pretty_name = "convolve2d: 1080×1920 by 5×5, boundaries"


class Separable:
    """A 512×512 image by a row and a column of 9 taps."""

    param_names = ["impl", "dtype"]
    params = [PEERS, ["float32", "float64"]]

    def setup(self, impl, dtype):
        self.sepfir2d = find(impl, "sepfir2d", ndim=2)
        self.data, self.line = random_array((512, 512), dtype), random_array(9, dtype)

    def time_sepfir2d(self, impl, dtype):
        self.sepfir2d(self.data, self.line, self.line)

    time_sepfir2d.pretty_name = "sepfir2d: 512×512 image by 9 and 9 taps"


class Volumes:
    """A 128×128×128 volume by cubes of 3 to 15 taps a side."""

    param_names = ["impl", "side"]
    params = [PEERS, [3, 5, 9, 15]]

    def setup(self, impl, side):
        self.convolve = find(impl, "convolve", ndim=3)
        self.data = random_array((128, 128, 128), "float32")
        self.kernel = random_array((side, side, side), "float32")

    def time_convolve(self, impl, side):
        self.convolve(self.data, self.kernel, "same")

    time_convolve.pretty_name = "convolve: 128×128×128 volume by N×N×N"
