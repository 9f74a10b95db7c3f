"""fastconv.ndimage on volumes, beside scipy.ndimage; OpenCV has no filters for them."""

from ._common import CLOCK, bind_filter, described_array, random_taps

PEERS = ["fastconv", "scipy"]
VOLUMES = ["128×128×128 float32", "64×64×64 float32", "256×256×256 float32"]

timer = CLOCK
repeat = (1, 20, 1.0)  # for asv: samples at the least and at the most, and seconds, a round


class DenseCubes:
    """Cubes of 3 to 31 taps a side; SciPy is left out where it would take seconds."""

    param_names = ["impl", "volume", "side"]
    params = [PEERS, VOLUMES, [3, 5, 9, 31]]

    def setup(self, impl, volume, side):
        volume = described_array(volume)
        self.correlate = bind_filter(impl, "correlate", volume, random_taps(side, volume, ndim=3))

    def time_correlate(self, impl, volume, side):
        self.correlate()

    time_correlate.pretty_name = "ndimage.correlate: volumes by N×N×N taps"


class GaussianOnVolumes:
    """Seventeen taps along each axis."""

    param_names = ["impl", "volume"]
    params = [PEERS, VOLUMES]

    def setup(self, impl, volume):
        self.filter = bind_filter(impl, "gaussian_filter", described_array(volume), 2)

    def time_gaussian_filter(self, impl, volume):
        self.filter()

    time_gaussian_filter.pretty_name = "gaussian_filter: volumes, sigma 2"
