"""Time per pixel against the size of the filter: fastconv.ndimage, scipy.ndimage and OpenCV.

    pip install --group plot          # matplotlib, OpenCV, SciPy, rich; pip 25.1 or later
    python benchmarks/plot_ndimage.py [--output images.svg] [--rounds 5] [--json FILE]
    python benchmarks/plot_ndimage.py --from-json FILE [--output images.png]

On a film frame, 1080x1920 in float32 with mode reflect: `correlate` with dense kernels, and
`gaussian_filter` by sigma. _plots.py says how it is measured.
"""

import importlib
import math
from functools import partial

import numpy as np
from _plots import Figure, Panel, Work, main

SHAPE = (1080, 1920)
SIDES = (3, 5, 7, 11, 15, 21, 31, 47, 63, 95, 127)
SIGMAS = (0.5, 1, 2, 3, 5, 7, 10, 15, 20, 30)
TOLERANCE = 8  # c of c·eps·sqrt(taps)·max|x|·max|w|, which each of two libraries may be off
MODULES = {"fastconv": "fastconv.ndimage", "scipy": "scipy.ndimage"}
IMAGE = np.random.default_rng(8).random(SHAPE, np.float32)


def tolerance(taps, largest_tap):
    eps = float(np.finfo(np.float32).eps)
    return 2 * TOLERANCE * eps * math.sqrt(taps) * float(IMAGE.max()) * largest_tap


def calls(name, argument, libraries, by_opencv):
    """Return each library's call of a filter; OpenCV's is another function's."""
    found = {
        library: partial(getattr(importlib.import_module(module), name), IMAGE, argument)
        for library, module in MODULES.items()
        if library in libraries
    }
    if "opencv" in libraries:
        found["opencv"] = by_opencv
    return found


def dense(side, libraries):
    kernel = np.random.default_rng(side).standard_normal((side, side), np.float32)

    def by_opencv():
        import cv2

        return cv2.filter2D(IMAGE, -1, kernel, borderType=cv2.BORDER_REFLECT)

    limit = tolerance(side**2, float(np.abs(kernel).max()))
    return Work(side, calls("correlate", kernel, libraries, by_opencv), limit, side**2)


def gaussian(sigma, libraries):
    side = 2 * int(4 * sigma + 0.5) + 1

    def by_opencv():
        import cv2

        return cv2.GaussianBlur(IMAGE, (side, side), sigma, borderType=cv2.BORDER_REFLECT)

    work = calls("gaussian_filter", sigma, libraries, by_opencv)
    return Work(sigma, work, tolerance(2 * side, 1.0), side)


def nanoseconds_a_pixel(size):
    return 1e-9 * math.prod(SHAPE)


FIGURE = Figure(
    name="images",
    lines={"fastconv": "fastconv.ndimage", "scipy": "scipy.ndimage", "opencv": "OpenCV"},
    panels={
        "correlate": Panel(
            "correlate / filter2D: dense k × k kernel",
            "k, taps a side",
            SIDES,
            dense,
            nanoseconds_a_pixel,
        ),
        "gaussian_filter": Panel(
            "gaussian_filter / GaussianBlur",
            "sigma, pixels (radius: 4 sigma)",
            SIGMAS,
            gaussian,
            nanoseconds_a_pixel,
        ),
    },
    label="time per pixel, ns (less is better)",
    what=f"{SHAPE[0]} × {SHAPE[1]} image, float32, mode reflect",
)

if __name__ == "__main__":
    main(FIGURE, __doc__.partition("\n")[0])
