"""The filters of fastconv.ndimage on images, beside scipy.ndimage's and OpenCV's.

The grids are cross sections, not full products: every dtype on a film frame, every size in
float32, every side of a kernel on one image, every boundary with one kernel and one Gaussian. The
suite takes some minutes so. `convolve` is `correlate` with the kernel flipped, the 1-D filters are
steps of the separable ones, and prewitt is sobel with other taps: they are not timed apart.
fastconv and OpenCV use all processors, SciPy one.
"""

from ._common import CLOCK, FILTER_LIBRARIES, bind_filter, described_array, random_taps

FILM_FRAME = "1080×1920 float32"
IMAGES = [
    "256×256 float32",
    "1080×1920 uint8",
    "1080×1920 uint16",
    FILM_FRAME,
    "1080×1920 float64",
    "4096×4096 float32",
]
SMALL_CALLS = 100

timer = CLOCK
repeat = (1, 20, 1.0)  # for asv: samples at the least and at the most, and seconds, a round


class DenseKernels:
    """A film frame by square kernels of 3 to 127 taps a side; SciPy ends at 31."""

    param_names = ["impl", "side"]
    params = [FILTER_LIBRARIES, [3, 7, 15, 31, 63, 127]]

    def setup(self, impl, side):
        image = described_array(FILM_FRAME)
        self.correlate = bind_filter(impl, "correlate", image, random_taps(side, image))

    def time_correlate(self, impl, side):
        self.correlate()

    time_correlate.pretty_name = "ndimage.correlate: 1080×1920 by N×N taps"


class DenseKernelsOnImages:
    """A small, a middling and a large kernel on images of every size and dtype."""

    param_names = ["impl", "image", "side"]
    params = [FILTER_LIBRARIES, IMAGES, [3, 15, 63]]

    def setup(self, impl, image, side):
        image = described_array(image)
        self.correlate = bind_filter(impl, "correlate", image, random_taps(side, image))

    def time_correlate(self, impl, image, side):
        self.correlate()

    time_correlate.pretty_name = "ndimage.correlate: images by N×N taps"


class Boundaries:
    """A film frame with each rule for what lies outside; OpenCV cannot wrap around."""

    param_names = ["impl", "mode"]
    params = [FILTER_LIBRARIES, ["reflect", "constant", "wrap", "nearest", "mirror"]]

    def setup(self, impl, mode):
        image = described_array(FILM_FRAME)
        self.correlate = bind_filter(impl, "correlate", image, random_taps(7, image), mode=mode)
        self.gaussian_filter = bind_filter(impl, "gaussian_filter", image, 3, mode=mode)

    def time_correlate(self, impl, mode):
        self.correlate()

    time_correlate.pretty_name = "ndimage.correlate: 7×7 taps, boundaries"

    def time_gaussian_filter(self, impl, mode):
        self.gaussian_filter()

    time_gaussian_filter.pretty_name = "gaussian_filter: sigma 3, boundaries"


class Gaussian:
    """Gaussians of 9, 25 and 81 taps along each axis."""

    param_names = ["impl", "image", "sigma"]
    params = [FILTER_LIBRARIES, IMAGES, [1, 3, 10]]

    def setup(self, impl, image, sigma):
        self.filter = bind_filter(impl, "gaussian_filter", described_array(image), sigma)

    def time_gaussian_filter(self, impl, image, sigma):
        self.filter()

    time_gaussian_filter.pretty_name = "gaussian_filter: images by sigma"


class Uniform:
    """Means over squares: running sums, whose cost the size should not raise."""

    param_names = ["impl", "image", "size"]
    params = [FILTER_LIBRARIES, IMAGES, [3, 21, 101]]

    def setup(self, impl, image, size):
        self.filter = bind_filter(impl, "uniform_filter", described_array(image), size)

    def time_uniform_filter(self, impl, image, size):
        self.filter()

    time_uniform_filter.pretty_name = "uniform_filter: images by size"


class Derivatives:
    """Filters of few taps, bound by memory, and gaussian_laplace, which OpenCV lacks."""

    param_names = ["impl", "image", "function"]
    params = [FILTER_LIBRARIES, IMAGES, ["sobel", "laplace", "gaussian_laplace"]]

    def setup(self, impl, image, function):
        arguments = (2,) if function == "gaussian_laplace" else ()
        self.filter = bind_filter(impl, function, described_array(image), *arguments)

    def time_filter(self, impl, image, function):
        self.filter()

    time_filter.pretty_name = "sobel, laplace, gaussian_laplace: images"


class Colour:
    """A film frame of three channels that lie together, filtered along its rows and columns."""

    param_names = ["impl", "dtype", "function"]
    params = [
        FILTER_LIBRARIES,
        ["uint8", "float32"],
        ["correlate", "gaussian_filter", "uniform_filter"],
    ]

    def setup(self, impl, dtype, function):
        image = described_array(f"1080×1920×3 {dtype}")
        argument = {
            "correlate": random_taps(7, image),
            "gaussian_filter": 3,
            "uniform_filter": 21,
        }[function]
        self.filter = bind_filter(impl, function, image, argument, axes=(0, 1))

    def time_filter(self, impl, dtype, function):
        self.filter()

    time_filter.pretty_name = "ndimage: colour image of 1080×1920×3"


class SmallImages:
    """A hundred calls on an image so small that their overhead counts.

    A loop, because asv times single calls where a setup stands: too short for its clock.
    """

    param_names = ["impl", "image", "function"]
    params = [
        FILTER_LIBRARIES,
        ["16×16 float32", "64×64 float32"],
        ["correlate", "gaussian_filter", "uniform_filter", "sobel"],
    ]

    def setup(self, impl, image, function):
        image = described_array(image)
        arguments = {
            "correlate": (random_taps(3, image),),
            "gaussian_filter": (1,),
            "uniform_filter": (3,),
            "sobel": (),
        }[function]
        self.filter = bind_filter(impl, function, image, *arguments)

    def time_hundred_calls(self, impl, image, function):
        for _ in range(SMALL_CALLS):
            self.filter()

    time_hundred_calls.pretty_name = "ndimage: 100 small calls"
