"""
Uses that a type checker refuses: an ignored error that is none is an error itself, under --strict.

Nothing here is run.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

import fastconv
from fastconv import Spec, ndimage, nn

x = np.zeros((6, 6), np.float32)
batch = x.reshape(1, 1, 6, 6)
spec = Spec((6, 6), "float32")


def takes_single(a: NDArray[np.float32]) -> None: ...


def takes_double(a: NDArray[np.float64]) -> None: ...


def arguments() -> None:
    fastconv.convolve(x, x, "smae")  # type: ignore[call-overload]
    fastconv.convolve(x, x, method="ftt")  # type: ignore[call-overload]
    fastconv.convolve(x, x, axes="rows")  # type: ignore[arg-type]
    fastconv.convolve(x, x, out=[0.0])  # type: ignore[call-overload]
    fastconv.convolve(x, x, accuracy="exact")  # type: ignore[call-overload]
    fastconv.convolve(x)  # type: ignore[call-overload]
    fastconv.convolve(x, spec)  # type: ignore[call-overload]
    fastconv.correlate(x, x, boundary="symm")  # type: ignore[call-overload]
    fastconv.convolve2d(x, x, boundary="reflect")  # type: ignore[call-overload]
    fastconv.sepfir2d(input=x, hrow=[1.0], hcol=[1.0])  # type: ignore[call-overload]
    fastconv.correlation_lags(3.0, 2)  # type: ignore[arg-type]
    fastconv.numpy.convolve(x[0], x[0], mode=3)  # type: ignore[call-overload]
    fastconv.match_template(x, x, method="ssd")  # type: ignore[call-overload]
    ndimage.correlate(x, x, mode="symm")  # type: ignore[call-overload]
    ndimage.gaussian_filter(x, sigma="wide")  # type: ignore[arg-type]
    ndimage.gaussian_filter(x)  # type: ignore[call-overload]
    ndimage.gaussian_filter1d(x, 1, axis=0.5)  # type: ignore[call-overload]
    ndimage.gaussian_laplace(x, 1, trunkate=3.0)  # type: ignore[call-overload]
    ndimage.prewitt(x, origin=1)  # type: ignore[call-overload]
    nn.conv2d(batch, batch, stride=1.5)  # type: ignore[call-overload]
    nn.conv2d(batch, batch, padding="full")  # type: ignore[arg-type]
    nn.conv2d(batch, batch, layout="NCW")  # type: ignore[call-overload]
    nn.conv2d(batch, batch, activation="softmax")  # type: ignore[call-overload]
    nn.unfold(batch, "3x3")  # type: ignore[arg-type]
    fastconv.set_num_threads(1.5)  # type: ignore[arg-type]
    fastconv.calibrate(True)  # type: ignore[call-arg]
    fastconv.patch_scipy(["numpy"])  # type: ignore[arg-type]
    Spec("6x6")  # type: ignore[arg-type]


def results() -> None:
    # In two steps: where mypy knows what is wanted, it takes the overload that gives Any.
    convolved = fastconv.convolve(x, x)
    takes_double(convolved)  # type: ignore[arg-type]
    filtered = ndimage.gaussian_filter(x, 1)
    takes_double(filtered)  # type: ignore[arg-type]
    wide = ndimage.gaussian_filter(x, 1, output=np.float64)
    takes_single(wide)  # type: ignore[arg-type]
    layer = nn.conv2d(batch, batch)
    takes_double(layer)  # type: ignore[arg-type]
    response = fastconv.match_template(x, x)
    takes_double(response)  # type: ignore[arg-type]
    timed = fastconv.choose_conv_method(x, x, measure=True)
    timed.upper()  # type: ignore[attr-defined]
    fastconv.config()["threads"].upper()  # type: ignore[attr-defined]
    fastconv.config()["cores"]  # type: ignore[typeddict-item]


def plans() -> None:
    smooth = fastconv.plan(fastconv.convolve, spec, x)
    smooth.method = "fft"  # type: ignore[misc]
    smooth("data", out=3)  # type: ignore[call-overload]
    smooth(spec)  # type: ignore[call-overload]
    spec.shape = (3, 3)  # type: ignore[misc]
    fastconv.plan(len, spec)  # type: ignore[call-overload]
    fastconv.plan(fastconv.convolve, spec, x, mode="smae")  # type: ignore[arg-type]
    fastconv.plan(fastconv.convolve, spec, x, moed="same")  # type: ignore[arg-type]
    fastconv.plan(fastconv.convolve2d, spec, x, method="quick")  # type: ignore[arg-type]
    fastconv.plan(ndimage.gaussian_filter, spec, sigmas=3)  # type: ignore[call-overload]
    fastconv.explain(ndimage.correlate, spec, spec, mode="symm")  # type: ignore[arg-type]
    fastconv.explain(nn.conv2d, spec, spec, method="quick")  # type: ignore[arg-type]
