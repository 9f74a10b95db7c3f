"""Find a part of a photograph in a darker, noisy copy of it with fastconv.match_template.

    pip install ".[example]"
    python docs/match.py [--noise 25] [--output match.png]

The photograph is one of the two that scikit-learn brings along, a temple in China of 427 × 640
pixels. A part of it, 48 × 64 pixels, is looked for in a copy of half the contrast, brighter in its
shadows, with noise on every pixel. The correlation coefficient minds neither gain nor offset, so
that it is high at the part's place and nowhere else. Prints where it was found and how long that
took, beside scikit-image where that is installed, and ends with a picture of the copy, the part and
the response.
"""

import argparse
import importlib.util
import time
from pathlib import Path

import numpy as np

import fastconv

PLACE = (93, 250)  # row and column of the part's first pixel
SIZE = (48, 64)
GAIN, OFFSET = 0.5, 60
CALLS = 15  # that are timed; the fastest counts


def load_photograph():
    """Return the photograph in shades of grey, 0 to 255, float32."""
    from sklearn.datasets import load_sample_image

    return load_sample_image("china.jpg") @ np.array([0.299, 0.587, 0.114], "float32")


def make_copy(photograph, noise, seed=0):
    """Change the photograph's contrast and brightness, and add noise to it."""
    generator = np.random.default_rng(seed)
    copy = GAIN * photograph + OFFSET
    return copy + np.float32(noise) * generator.standard_normal(copy.shape, "float32")


def cut_part(photograph):
    return photograph[PLACE[0] : PLACE[0] + SIZE[0], PLACE[1] : PLACE[1] + SIZE[1]]


def find(image, part):
    """Return the response, and the row and column where it is greatest."""
    response = fastconv.match_template(image, part)
    return response, tuple(map(int, np.unravel_index(response.argmax(), response.shape)))


def elsewhere(response, place):
    """Return the greatest response outside of the part's own surroundings."""
    rest = response.copy()
    around = [slice(max(i - n // 2, 0), i + n // 2) for i, n in zip(place, SIZE, strict=True)]
    rest[tuple(around)] = -1
    return rest.max()


def seconds(function):
    times = []
    for _ in range(CALLS):
        began = time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
    return min(times)


def compare(image, part):
    """Return scikit-image's seconds and the largest difference, or None without it."""
    if importlib.util.find_spec("skimage") is None:
        return None
    from skimage.feature import match_template

    theirs = match_template(image, part)
    difference = np.abs(theirs - fastconv.match_template(image, part)).max()
    return seconds(lambda: match_template(image, part)), float(difference)


def draw(image, part, response, place, output):
    """Draw the image with the place that was found, the part, and the response with its peak."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    mpl.rcParams.update({"font.size": 9})
    figure, axes = plt.subplots(
        1, 3, figsize=(9, 2.7), layout="constrained", width_ratios=(1, 0.45, 1)
    )
    row, column = place
    axes[0].imshow(image, cmap="gray", vmin=0, vmax=255)
    axes[0].add_patch(
        plt.Rectangle(
            (column, row), part.shape[1], part.shape[0], fill=False, color="#D55E00", lw=2
        )
    )
    axes[0].set_title("darker and noisy")
    axes[1].imshow(part, cmap="gray", vmin=0, vmax=255)
    axes[1].set_title("what to look for")
    shown = axes[2].imshow(response, cmap="RdBu_r", vmin=-1, vmax=1)
    axes[2].plot(column, row, "o", markersize=14, markerfacecolor="none", color="black")
    axes[2].set_title("correlation coefficient")
    figure.colorbar(shown, ax=axes[2], shrink=0.8)
    for a in axes:
        a.set_axis_off()
    figure.savefig(output, dpi=100, facecolor="white")
    plt.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--noise", type=float, default=25, help="standard deviation, of 0 to 255")
    parser.add_argument("--output", type=Path, default=Path("match.png"), help="of the picture")
    arguments = parser.parse_args()
    photograph = load_photograph()
    part, image = cut_part(photograph), make_copy(photograph, arguments.noise)
    response, place = find(image, part)
    print(f"the part from {PLACE} is found at {place}, by a coefficient of {response[place]:.3f};")
    print(f"elsewhere it is {elsewhere(response, place):.3f} at most")
    took = seconds(lambda: find(image, part))
    print(
        f"{image.shape[0]} × {image.shape[1]} pixels by {SIZE[0]} × {SIZE[1]}: {took * 1e3:.1f} ms"
    )
    compared = compare(image, part)
    if compared is not None:
        print(f"scikit-image takes {compared[0] * 1e3:.0f} ms; results differ by {compared[1]:.0e}")
    draw(image, part, response, place, arguments.output)
    print(f"wrote {arguments.output}")


if __name__ == "__main__":
    main()
