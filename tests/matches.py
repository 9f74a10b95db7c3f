"""The measures of a template's match, from their definitions, in long double."""

import numpy as np

MEASURES = ("sqdiff", "sqdiff_normed", "ccorr", "ccorr_normed", "ccoeff", "ccoeff_normed")


def windows(x, taps):
    """Every window of an array, and the axes that number its pixels."""
    view = np.lib.stride_tricks.sliding_window_view(x, taps)
    return view, tuple(range(x.ndim, 2 * x.ndim))


def extended(image, taps, mode="constant", **rest):
    """What the windows of a result of the image's shape read."""
    return np.pad(image, [(m // 2, m - 1 - m // 2) for m in taps], mode, **rest)


def _over(numerator, square, limits, empty):
    """Numerator over a root, in its limits, and what stands where the root is zero."""
    ratio = np.where(square > 0, numerator / np.sqrt(np.where(square > 0, square, 1)), empty)
    return np.clip(ratio, *limits)


def match_reference(image, template, measure):
    """The measure for every window that lies in the image."""
    x, t = image.astype(np.longdouble), template.astype(np.longdouble)
    result = np.empty([n - m + 1 for n, m in zip(x.shape, t.shape, strict=True)], np.longdouble)
    for row in range(result.shape[0]):  # windows of a whole image would fill the memory
        result[row] = _measure(x[row : row + t.shape[0]], t, measure)[0]
    return result


def _measure(x, t, measure):
    w, axes = windows(x, t.shape)
    centred, t_centred = w - w.mean(axes, keepdims=True), t - t.mean()
    if np.ptp(t) == 0:
        t_centred = np.zeros_like(t)
    flat = np.ptp(w, axis=axes) == 0
    match measure:
        case "sqdiff":
            return ((w - t) ** 2).sum(axes)
        case "sqdiff_normed":
            square = (w**2).sum(axes) * (t**2).sum()
            both = (w**2).sum(axes) + (t**2).sum() == 0
            return _over(((w - t) ** 2).sum(axes), square, (0, 1), np.where(both, 0, 1))
        case "ccorr":
            return (w * t).sum(axes)
        case "ccorr_normed":
            return _over((w * t).sum(axes), (w**2).sum(axes) * (t**2).sum(), (-1, 1), 0)
        case "ccoeff":
            return np.where(flat, 0, (centred * t_centred).sum(axes))
        case "ccoeff_normed":
            square = (centred**2).sum(axes) * (t_centred**2).sum()
            return _over((centred * t_centred).sum(axes), np.where(flat, 0, square), (-1, 1), 0)


def match_bound(image, template, measure, dtype):
    """
    How far results may be off.

    A numerator errs by four roundoffs of the norm of a window, of pixels that are off by their
    centre, times that of the template; the factor of two is for the rounding of both, and of their
    quotient. What would be off by more than a thousandth is computed again.
    """
    x, t = image.astype(np.longdouble), template.astype(np.longdouble)
    unit = np.finfo(dtype).eps / 2
    w, axes = windows(x, t.shape)
    spread = np.ptp(x) * np.sqrt(t.size)
    norm = np.sqrt(((t - t.mean()) ** 2).sum())
    energy, t_energy = (w**2).sum(axes), (t**2).sum()
    product = 8 * unit * spread * norm
    sums = 8 * unit * (energy + t_energy)
    deviations = ((w - w.mean(axes, keepdims=True)) ** 2).sum(axes)
    with np.errstate(divide="ignore", invalid="ignore"):
        match measure:
            case "sqdiff":
                return 2 * product + sums
            case "ccorr" | "ccoeff":
                return product + sums
            case "sqdiff_normed":
                bound = (2 * product + sums) / np.sqrt(energy * t_energy)
            case "ccorr_normed":
                bound = product / np.sqrt(energy * t_energy)
            case "ccoeff_normed":
                bound = product / np.sqrt(deviations) / norm
    return np.fmin(bound, 2e-3) + 8 * unit
