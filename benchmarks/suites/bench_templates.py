"""fastconv.match_template on images and volumes, beside scikit-image and OpenCV."""

import importlib
from functools import partial

from ._common import CLOCK, described_array, find_own

PEERS = ["fastconv", "scikit-image", "opencv"]
_HOMES = {"fastconv": "fastconv", "scikit-image": "skimage.feature", "opencv": "cv2"}
FILM_FRAME = "1080×1920 float32"

timer = CLOCK
repeat = (1, 20, 1.0)  # for asv: samples at the least and at the most, and seconds, a round


def bind(impl, image, template, measure="ccoeff_normed", **options):
    """Return a callable without arguments: `impl`'s search for a part of a described image.

    NotImplementedError makes asv leave the point out: the library is not installed, or lacks it.
    The import stands in here for the reason that `_common.find` gives.
    """
    image = described_array(image)
    extents = [int(length) for length in template.split("×")]
    part = image[
        tuple(slice(n // 3, n // 3 + m) for n, m in zip(image.shape, extents, strict=True))
    ]
    try:
        library = importlib.import_module(_HOMES[impl])
    except ModuleNotFoundError as error:
        raise NotImplementedError(f"{impl} is missing: {error}") from None
    if impl == "fastconv":
        return partial(find_own("match_template"), image, part.copy(), method=measure, **options)
    if impl == "opencv":
        if image.ndim > 2 or image.dtype.char not in "Bf" or options:
            raise NotImplementedError("OpenCV matches images of uint8 and float32, not padded")
        kind = getattr(library, f"TM_{measure.upper()}")
        return partial(library.matchTemplate, image, part.copy(), kind)
    if measure != "ccoeff_normed":
        raise NotImplementedError("scikit-image has one measure")
    return partial(library.match_template, image, part.copy(), **options)


class Templates:
    """Images by templates, small and large."""

    param_names = ["impl", "image", "template"]
    params = [
        PEERS,
        ["480×640 float32", FILM_FRAME, "1080×1920 float64", "1080×1920 uint8"],
        ["64×96", "8×8", "32×32", "256×256"],
    ]

    def setup(self, impl, image, template):
        self.match = bind(impl, image, template)

    def time_match_template(self, impl, image, template):
        self.match()

    time_match_template.pretty_name = "match_template: images by templates"


class Measures:
    """Each of OpenCV's measures, on a film frame by 64×96."""

    param_names = ["impl", "measure"]
    params = [
        PEERS,
        ["sqdiff", "sqdiff_normed", "ccorr", "ccorr_normed", "ccoeff", "ccoeff_normed"],
    ]

    def setup(self, impl, measure):
        self.match = bind(impl, FILM_FRAME, "64×96", measure)

    def time_match_template(self, impl, measure):
        self.match()

    time_match_template.pretty_name = "match_template: 1080×1920, by measure"


class Padded:
    """A result of the image's shape, for each way to extend it."""

    param_names = ["impl", "mode"]
    params = [PEERS, ["constant", "reflect", "wrap"]]

    def setup(self, impl, mode):
        self.match = bind(impl, FILM_FRAME, "64×96", pad_input=True, mode=mode)

    def time_match_template(self, impl, mode):
        self.match()

    time_match_template.pretty_name = "match_template: 1080×1920, padded"


class Volumes:
    """A 128×128×128 volume by cubes."""

    param_names = ["impl", "side"]
    params = [PEERS, [8, 16, 32]]

    def setup(self, impl, side):
        self.match = bind(impl, "128×128×128 float32", "×".join([str(side)] * 3))

    def time_match_template(self, impl, side):
        self.match()

    time_match_template.pretty_name = "match_template: 128×128×128 by N×N×N"


class PeakMemoryOfTemplates:
    """A 4096×4096 image: 67 MB in float32, and as much for the result."""

    param_names = ["impl"]
    params = [PEERS]

    def setup(self, impl):
        self.match = bind(impl, "4096×4096 float32", "64×96")

    def peakmem_match_template(self, impl):
        self.match()

    peakmem_match_template.pretty_name = "peak memory: match_template, 4096×4096"
