"""
A user's program over everything that is public, with the types of all results.

`mypy --strict` checks it, and tests/test_typing.py runs it with an assert_type that looks whether
the values are of the types that are promised.
"""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias, assert_type

import numpy as np
from numpy.typing import ArrayLike, NDArray

import fastconv
from fastconv import (
    Calibration,
    Explanation,
    PatchReport,
    Plan,
    Spec,
    ndimage,
    nn,
    signal,
)

Chosen: TypeAlias = Literal["direct", "fft"]

single = np.linspace(0, 1, 36, dtype=np.float32)
double = np.linspace(0, 1, 36, dtype=np.float64)
spectrum = (single + 1j * single).astype(np.complex64)
integers = np.arange(9, dtype=np.int16)
image = single.reshape(6, 6)
wide = double.reshape(6, 6)


def signals() -> None:
    assert_type(fastconv.convolve(single, single), NDArray[np.float32])
    assert_type(fastconv.convolve(single, single, "same", "fft"), NDArray[np.float32])
    assert_type(fastconv.convolve(integers, integers, mode="valid"), NDArray[np.int16])
    assert_type(fastconv.convolve(single, double), NDArray[Any])
    assert_type(fastconv.convolve([1, 2, 3], [0, 1, 0.5]), NDArray[Any])
    anything: NDArray[Any] = double
    assert_type(fastconv.convolve(anything, anything), NDArray[Any])
    assert_type(fastconv.convolve(image, image, axes=(0, 1), accuracy=1e-5), NDArray[np.float32])
    assert_type(
        fastconv.convolve(image, image[:1], axes=1, out=np.empty((6, 11), "f4")),
        NDArray[np.float32],
    )
    assert_type(fastconv.correlate(spectrum, spectrum, method="direct"), NDArray[np.complex64])
    assert_type(fastconv.correlate(double, double, accuracy="direct"), NDArray[np.float64])
    assert_type(fastconv.fftconvolve(double, double, "same"), NDArray[np.float64])
    assert_type(fastconv.fftconvolve(integers, integers), NDArray[Any])
    assert_type(fastconv.oaconvolve(image, image, axes=[1]), NDArray[np.float32])
    assert_type(fastconv.correlation_lags(3, 2, mode="full"), NDArray[np.int_])


def signals_in_two_dimensions() -> None:
    assert_type(fastconv.convolve2d(image, image, "same", "symm"), NDArray[np.float32])
    assert_type(fastconv.convolve2d(image, image, fillvalue=np.float64(2)), NDArray[np.float32])
    assert_type(fastconv.correlate2d(wide, wide, boundary="wrap"), NDArray[np.float64])
    assert_type(fastconv.correlate2d(wide, [[1, 2]], accuracy=1e-9), NDArray[Any])
    assert_type(fastconv.sepfir2d(image, [1.0, 2.0, 1.0], [1.0]), NDArray[np.float32])
    assert_type(fastconv.sepfir2d([[1, 2]], [1], [1]), NDArray[Any])


def choices() -> None:
    assert_type(fastconv.choose_conv_method(single, single, "same"), Chosen)
    timed = fastconv.choose_conv_method(single, single, measure=True)
    assert_type(timed, tuple[Chosen, dict[str, float]])
    method, times = timed
    assert_type(signal.convolve(single, single, method=method), NDArray[np.float32])
    assert times[method] >= 0


def lines() -> None:
    assert_type(fastconv.numpy.convolve(single, single, "same"), NDArray[np.float32])
    assert_type(fastconv.numpy.convolve(single, 2.0, 2), NDArray[Any])
    assert_type(fastconv.numpy.correlate(integers, integers, mode=0), NDArray[np.int16])


def filters() -> None:
    kernel = [[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]]
    assert_type(ndimage.correlate(image, kernel, mode="wrap", origin=(0, 1)), NDArray[np.float32])
    assert_type(ndimage.correlate(image, kernel, np.float64), NDArray[np.float64])
    assert_type(ndimage.correlate(image, np.array(kernel) * 1j), NDArray[Any])
    assert_type(ndimage.convolve(image, np.ones((3, 3), np.int8), cval=1.5), NDArray[np.float32])
    assert_type(ndimage.convolve(image, kernel, output="float64"), NDArray[Any])
    assert_type(ndimage.correlate1d(integers, [1, 2, 1], axis=0), NDArray[np.int16])
    assert_type(ndimage.convolve1d(integers, [1, 2], output=np.dtype(np.int32)), NDArray[np.int32])
    assert_type(ndimage.gaussian_filter1d(single, 2, order=1, radius=3), NDArray[np.float32])
    assert_type(ndimage.gaussian_filter(image, sigma=(1, 2.5)), NDArray[np.float32])
    assert_type(ndimage.gaussian_filter(image, 1, mode=("wrap", "nearest")), NDArray[np.float32])
    assert_type(ndimage.gaussian_filter(image, 1, output=wide.copy()), NDArray[np.float64])
    assert_type(ndimage.gaussian_filter(image, 1, output=float), NDArray[Any])
    assert_type(ndimage.uniform_filter1d(single, size=3, origin=-1), NDArray[np.float32])
    assert_type(ndimage.uniform_filter([[1, 2], [3, 4]], 2), NDArray[Any])
    assert_type(ndimage.prewitt(image, axis=0), NDArray[np.float32])
    assert_type(ndimage.sobel(image, output=np.float64), NDArray[np.float64])
    assert_type(ndimage.laplace(wide, axes=(0,), accuracy="direct"), NDArray[np.float64])
    assert_type(ndimage.gaussian_laplace(image, 1, truncate=3.0), NDArray[np.float32])
    assert_type(ndimage.gaussian_gradient_magnitude(image, [1, 2], radius=2), NDArray[np.float32])


def filters_keep_the_dtype() -> None:
    line, kernel = [1.0, 2.0, 1.0], np.ones((3, 3))
    assert_type(ndimage.correlate(wide, kernel), NDArray[np.float64])
    assert_type(ndimage.convolve(wide, kernel), NDArray[np.float64])
    assert_type(ndimage.correlate1d(wide, line), NDArray[np.float64])
    assert_type(ndimage.convolve1d(wide, line), NDArray[np.float64])
    assert_type(ndimage.gaussian_filter1d(wide, 1), NDArray[np.float64])
    assert_type(ndimage.gaussian_filter(wide, 1), NDArray[np.float64])
    assert_type(ndimage.uniform_filter1d(wide, 3), NDArray[np.float64])
    assert_type(ndimage.uniform_filter(wide, 3), NDArray[np.float64])
    assert_type(ndimage.prewitt(wide), NDArray[np.float64])
    assert_type(ndimage.sobel(wide), NDArray[np.float64])
    assert_type(ndimage.laplace(wide), NDArray[np.float64])
    assert_type(ndimage.gaussian_laplace(wide, 1), NDArray[np.float64])
    assert_type(ndimage.gaussian_gradient_magnitude(wide, 1), NDArray[np.float64])
    assert_type(ndimage.generic_laplace(wide, ndimage.sobel), NDArray[np.float64])
    assert_type(ndimage.generic_gradient_magnitude(wide, ndimage.sobel), NDArray[np.float64])


def filters_take_the_dtype_of_their_output() -> None:
    line, kernel, f4 = [1.0, 2.0, 1.0], np.ones((3, 3)), np.float32
    assert_type(ndimage.correlate(wide, kernel, f4), NDArray[np.float32])
    assert_type(ndimage.convolve(wide, kernel, f4), NDArray[np.float32])
    assert_type(ndimage.correlate1d(wide, line, output=f4), NDArray[np.float32])
    assert_type(ndimage.convolve1d(wide, line, output=f4), NDArray[np.float32])
    assert_type(ndimage.gaussian_filter1d(wide, 1, output=f4), NDArray[np.float32])
    assert_type(ndimage.gaussian_filter(wide, 1, output=f4), NDArray[np.float32])
    assert_type(ndimage.uniform_filter1d(wide, 3, output=f4), NDArray[np.float32])
    assert_type(ndimage.uniform_filter(wide, 3, output=f4), NDArray[np.float32])
    assert_type(ndimage.prewitt(wide, output=f4), NDArray[np.float32])
    assert_type(ndimage.sobel(wide, output=f4), NDArray[np.float32])
    assert_type(ndimage.laplace(wide, f4), NDArray[np.float32])
    assert_type(ndimage.gaussian_laplace(wide, 1, f4), NDArray[np.float32])
    assert_type(ndimage.gaussian_gradient_magnitude(wide, 1, f4), NDArray[np.float32])
    assert_type(ndimage.generic_laplace(wide, ndimage.sobel, f4), NDArray[np.float32])
    assert_type(ndimage.generic_gradient_magnitude(wide, ndimage.sobel, f4), NDArray[np.float32])


def filters_promote_a_real_output_of_complex_data() -> None:
    line, kernel, f4 = [1.0, 2.0, 1.0], np.ones((3, 3)), np.float32
    waves = spectrum.reshape(6, 6)
    with warnings.catch_warnings(action="ignore"):  # "promoting specified output dtype to complex"
        assert_type(ndimage.correlate(waves, kernel, f4), NDArray[Any])
        assert_type(ndimage.correlate(wide, kernel * 1j, f4), NDArray[Any])
        assert_type(ndimage.convolve(waves, kernel, np.dtype(np.float32)), NDArray[Any])
        assert_type(ndimage.convolve(wide, [[1j]], f4), NDArray[Any])
        assert_type(ndimage.correlate1d(waves, line, output=f4), NDArray[Any])
        assert_type(ndimage.convolve1d(wide, [1j, 2.0], output=f4), NDArray[Any])
        assert_type(ndimage.gaussian_filter1d(waves, 1, output=f4), NDArray[Any])
        promoted = ndimage.uniform_filter(waves, 3, output=f4)
        assert_type(promoted, NDArray[Any])
        assert_type(ndimage.uniform_filter1d(waves, 3, output=f4), NDArray[Any])
    assert promoted.dtype == np.complex64


def second_difference(
    input: NDArray[Any],
    axis: int,
    output: NDArray[Any] | np.dtype[Any],
    mode: Any,
    cval: float,
    step: int,
) -> NDArray[Any]:
    weights = [1.0, *[0.0] * (step - 1), -2.0, *[0.0] * (step - 1), 1.0]
    return ndimage.correlate1d(input, weights, axis, output, mode, cval)


def filters_of_ones_own() -> None:
    arguments, keywords = (2,), {"step": 2}
    assert_type(
        ndimage.generic_laplace(image, second_difference, extra_arguments=arguments),
        NDArray[np.float32],
    )
    assert_type(
        ndimage.generic_gradient_magnitude(
            image, second_difference, output=np.float64, extra_keywords=keywords
        ),
        NDArray[np.float64],
    )


def templates() -> None:
    assert_type(fastconv.match_template(image, image[2:5, 2:5]), NDArray[np.float32])
    assert_type(
        fastconv.match_template(wide, [[1, 2]], pad_input=True, mode="edge", method="ccorr"),
        NDArray[np.float64],
    )
    assert_type(
        fastconv.match_template(integers[None], [[1, 2]], mode="reflect"), NDArray[np.floating[Any]]
    )
    response = fastconv.match_template([[1, 2], [3, 4]], [[1.0]], constant_values=3)
    assert_type(response, NDArray[np.floating[Any]])


def layers_in_one_dimension() -> None:
    x, w = single.reshape(1, 4, 9), single[:24].reshape(2, 4, 3)
    y = nn.conv1d(x, w, np.zeros(2, np.float32), padding="same", activation="relu")
    assert_type(y, NDArray[np.float32])
    assert_type(nn.conv1d(x, w, out=np.empty((1, 2, 7), "f4")), NDArray[np.float32])
    assert_type(nn.conv1d(x, w, None, 2, [1], layout="NCW"), NDArray[np.float32])
    assert_type(nn.conv1d_grad_input(y, w, x.shape, padding=1), NDArray[np.float32])
    assert_type(nn.conv1d_grad_weight(y, x, w.shape, padding=1), NDArray[np.float32])
    assert_type(nn.conv1d_grad_bias(y), NDArray[np.float32])
    assert_type(nn.conv_transpose1d(y, w, stride=2, output_padding=1), NDArray[np.float32])
    assert_type(nn.conv1d([[[1.0, 2.0]]], [[[1.0]]], method="direct"), NDArray[Any])


def layers_in_two_dimensions() -> None:
    x, w = spectrum.reshape(1, 6, 6, 1), spectrum[:9].reshape(1, 1, 3, 3)
    y = nn.conv2d(x, w, padding=((0, 1), (1, 0)), layout="NHWC", flip_kernel=True)
    assert_type(y, NDArray[np.complex64])
    grad = nn.conv2d(x, w, layout="NHWC")
    assert_type(nn.conv2d_grad_input(grad, w, x.shape, layout="NHWC"), NDArray[np.complex64])
    assert_type(nn.conv2d_grad_weight(grad, x, w.shape, layout="NHWC"), NDArray[np.complex64])
    assert_type(nn.conv2d_grad_bias(y, layout="NHWC"), NDArray[np.complex64])
    assert_type(nn.conv_transpose2d(y, w, layout="NHWC", output_size=7), NDArray[np.complex64])
    pixels, taps = np.ones((1, 1, 4, 4), np.uint8), np.ones((1, 1, 2, 2), np.int8)
    assert_type(nn.conv2d(pixels, taps, x_zero_point=128, w_zero_point=[3]), NDArray[np.int32])
    columns = nn.unfold(wide[None], (2, 3), stride=np.array([1, 3]))
    assert_type(columns, NDArray[np.float64])
    assert_type(nn.fold(columns, (6, 6), (2, 3), stride=(1, 3)), NDArray[np.float64])


def layers_in_three_dimensions() -> None:
    x, w = double[:27].reshape(1, 1, 3, 3, 3), double[:8].reshape(1, 1, 2, 2, 2)
    y = nn.conv3d(x, w, padding=(1, 0, 1), dilation=1, groups=1, accuracy="direct")
    assert_type(y, NDArray[np.float64])
    grad = nn.conv3d(x, w)
    assert_type(nn.conv3d_grad_input(grad, w, x.shape), NDArray[np.float64])
    assert_type(nn.conv3d_grad_weight(grad, x, list(w.shape)), NDArray[np.float64])
    assert_type(nn.conv3d_grad_bias(y, layout="NCDHW"), NDArray[np.float64])
    assert_type(nn.conv_transpose3d(grad, w, stride=(1, 1, 2)), NDArray[np.float64])


def plans() -> None:
    smooth = fastconv.plan(fastconv.convolve, Spec(36, "float32"), np.ones(3, "f4"), mode="same")
    assert_type(smooth, Plan)
    assert_type(smooth(single), NDArray[Any])
    out: NDArray[np.float32] = np.empty_like(single)
    assert_type(smooth(single, out=out), NDArray[np.float32])
    assert_type(smooth.method, str)
    assert_type(smooth.error, float)
    assert_type([c.predicted for c in smooth.candidates], list[float | None])
    assert_type([c.measured for c in smooth.candidates], list[float | None])
    assert isinstance(pickle.loads(pickle.dumps(smooth)), Plan)
    fastconv.plan(ndimage.gaussian_filter, Spec(image.shape, np.float32), sigma=3, mode="wrap")
    fastconv.plan(ndimage.correlate, image, np.ones((3, 3)), method="direct")
    fastconv.plan(fastconv.match_template, image, image[:2, :2], method="sqdiff")
    data, taps = Spec((1, 1, 6, 6), "float32"), np.ones((1, 1, 2, 2), np.float32)
    layer = fastconv.plan(nn.conv2d, data, w=taps, padding=1, method="measure")
    assert_type(layer.problem.out, tuple[int, ...])


def explanations() -> None:
    spec = Spec((108, 192), dtype="float32", device="cpu")
    assert_type((spec.shape, spec.ndim, spec.size), tuple[tuple[int, ...], int, int])
    assert_type(spec.dtype, np.dtype[Any])
    told = fastconv.explain(fastconv.convolve, spec, Spec((7, 7), "float32"), mode="same")
    assert_type(told, Explanation)
    assert_type(told.chosen, str)
    assert_type(told.error, float)
    assert_type([c.name for c in told.candidates], list[str])
    assert_type([c.reason for c in told.candidates], list[str])
    assert_type([c.error for c in told.candidates], list[float | None])
    assert_type([c.bound for c in told.candidates], list[str | None])
    assert_type([c.roofline for c in told.candidates], list[float | None])
    assert_type([c.workspace for c in told.candidates], list[int])
    fastconv.explain(nn.conv2d, Spec((1, 3, 8, 8)), Spec((4, 3, 3, 3)), padding="same")
    fastconv.explain(ndimage.sobel, spec, 0)


def settings() -> None:
    fastconv.set_num_threads(np.int64(2))
    assert_type(fastconv.get_num_threads(), int)
    fastconv.set_num_threads(None)
    with fastconv.num_threads(1):
        fastconv.convolve(single, single)
    facts = fastconv.config()
    assert_type(facts["threads"], int)
    assert_type(facts["isa"]["usable"], list[str])
    assert_type(facts["version"], str)
    assert_type(fastconv.__version__, str)
    fastconv.show_config()


def switches() -> None:
    with fastconv.patched("numpy", count=True) as report:
        np.convolve(single, single)
    assert_type(report, PatchReport)
    assert_type(report.replaced, tuple[str, ...])
    assert_type(report.calls, dict[str, int] | None)
    assert_type(fastconv.patch_scipy("numpy.convolve"), PatchReport)
    fastconv.unpatch_scipy()


def told(measured: Calibration) -> str:
    assert_type(measured.path, Path | None)
    assert_type(measured.coefficients, dict[str, float])
    return f"{measured.timings} timings, off by {measured.error:.2f}"


def calibrated() -> str:
    return told(fastconv.calibrate(progress=False, save=False, seed=1))


class Frame(Protocol):
    """An array on a GPU, of somebody's who types theirs."""

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]: ...
    def get(self) -> NDArray[np.float32]: ...


def on_a_gpu(frame: Frame) -> NDArray[np.float32]:
    assert_type(fastconv.convolve(frame, [1.0, 2.0], mode="same"), Frame)
    assert_type(fastconv.oaconvolve(frame, frame), Frame)
    assert_type(fastconv.convolve2d(frame, frame, boundary="wrap"), Frame)
    assert_type(fastconv.sepfir2d(frame, frame, [1.0]), Frame)
    assert_type(fastconv.numpy.correlate(frame, frame), Frame)
    assert_type(fastconv.match_template(frame, frame), Frame)
    assert_type(ndimage.correlate(frame, [[1.0]], output=frame), Frame)
    assert_type(ndimage.gaussian_filter(frame, 3, output="float64"), Frame)
    assert_type(nn.conv2d(frame, frame, frame, padding=1, out=frame), Frame)
    assert_type(nn.fold(frame, 6, 2), Frame)
    plan = fastconv.plan(ndimage.uniform_filter, frame, 3)
    assert_type(plan(frame, out=frame), Frame)
    return nn.conv1d_grad_bias(frame).get()


def untyped(frame: Any) -> Any:
    """Whose type is unknown may lie on a GPU: so may the result."""
    assert_type(fastconv.convolve(frame, frame), Any)
    assert_type(nn.conv2d(frame, frame), Any)
    return ndimage.gaussian_filter(frame, 3).get()


class Tensor:
    """As PyTorch's: every one declares where it lies on a GPU, those on the host lie on none."""

    def __init__(self, values: NDArray[np.float32]) -> None:
        self.values = values

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.values, dtype=dtype)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        raise AttributeError("this tensor is on the host")


def tensors() -> None:
    line, plane = Tensor(single), Tensor(image)
    batch = Tensor(image[None, None])
    assert_type(fastconv.convolve(line, line), NDArray[Any])
    assert_type(fastconv.oaconvolve(line, line), NDArray[Any])
    assert_type(fastconv.convolve2d(plane, plane), NDArray[Any])
    assert_type(fastconv.numpy.correlate(line, line), NDArray[Any])
    assert_type(fastconv.match_template(plane, plane), NDArray[np.floating[Any]])
    assert_type(ndimage.gaussian_filter(plane, 1), NDArray[Any])
    assert_type(nn.conv2d(batch, batch), NDArray[Any])
    assert_type(fastconv.plan(ndimage.sobel, image)(plane), NDArray[Any])


def wrapped(data: ArrayLike) -> NDArray[Any]:
    """Pass on what the caller has, whatever it is."""
    return fastconv.convolve(data, data)


if __name__ == "__main__":
    signals()
    signals_in_two_dimensions()
    choices()
    lines()
    filters()
    filters_keep_the_dtype()
    filters_take_the_dtype_of_their_output()
    filters_promote_a_real_output_of_complex_data()
    filters_of_ones_own()
    templates()
    layers_in_one_dimension()
    layers_in_two_dimensions()
    layers_in_three_dimensions()
    plans()
    explanations()
    settings()
    switches()
    told(Calibration(None, {}, {}, 0, 1.0, 1.0, 0.0))
    tensors()
    wrapped([1.0, 2.0])
