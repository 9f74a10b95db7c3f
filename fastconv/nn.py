"""
Layers of neural networks under PyTorch's names: forward, transposed, and their gradients.

Arguments are `torch.nn.functional`'s, in its order, and so are shapes, dtypes and values; further
arguments are by keyword. Weights are always PyTorch's, (O, C / groups, taps…), whatever the layout
of the data. Arguments are float32, float64, complex64 or complex128, all of one dtype; forward
layers take uint8 and int8, too, and are then summed in int32. They may be CuPy's, all on one GPU:
then the results are.
"""

from __future__ import annotations

import functools
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastconv import _layers
from fastconv._native._core import short_layer
from fastconv._plan import DEFAULT, DIRECT, lowered_by
from fastconv._typing import (
    Accuracy,
    Activation,
    Array,
    Bytes,
    Data,
    Each,
    Extents,
    Floating,
    Integer,
    Layout1D,
    Layout2D,
    Layout3D,
    Method,
    OnDevice,
    Padding,
)

__all__ = [
    "conv1d",
    "conv1d_grad_bias",
    "conv1d_grad_input",
    "conv1d_grad_weight",
    "conv2d",
    "conv2d_grad_bias",
    "conv2d_grad_input",
    "conv2d_grad_weight",
    "conv3d",
    "conv3d_grad_bias",
    "conv3d_grad_input",
    "conv3d_grad_weight",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "fold",
    "unfold",
]


# --- signals -------------------------------------------------------------------------------------


def _conv(
    rank: int,
    x: Any,
    w: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: Any,
    layout: Any,
    activation: Any,
    flip_kernel: Any,
    x_zero_point: Any,
    w_zero_point: Any,
    out: Any,
    method: Any,
    accuracy: Any,
) -> np.ndarray:
    """Apply a layer over `rank` axes: by the short road where there is nothing to choose."""
    if accuracy is DEFAULT or accuracy is DIRECT:
        short = short_layer(
            rank,
            x,
            w,
            bias,
            stride,
            padding,
            dilation,
            groups,
            layout,
            activation,
            flip_kernel,
            x_zero_point,
            w_zero_point,
            out,
            method,
        )
        if short is not None:
            return short
    return _layers.lower_conv(
        rank,
        x,
        w,
        bias,
        stride,
        padding,
        dilation,
        groups,
        layout=layout,
        activation=activation,
        flip_kernel=flip_kernel,
        x_zero_point=x_zero_point,
        w_zero_point=w_zero_point,
        method=method,
        accuracy=accuracy,
    ).solve(out)


@overload
def conv1d(
    x: NDArray[Floating],
    w: NDArray[Floating],
    bias: ArrayLike | None = None,
    stride: Each = 1,
    padding: Padding = 0,
    dilation: Each = 1,
    groups: Integer = 1,
    *,
    layout: Layout1D = "NCW",
    activation: Activation | None = None,
    flip_kernel: bool = False,
    x_zero_point: Integer = 0,
    w_zero_point: ArrayLike = 0,
    out: NDArray[Any] | None = None,
    method: Method = "auto",
    accuracy: Accuracy = "default",
) -> NDArray[Floating]: ...
@overload
def conv1d(
    x: OnDevice,
    w: OnDevice | ArrayLike,
    bias: OnDevice | ArrayLike | None = None,
    stride: Each = 1,
    padding: Padding = 0,
    dilation: Each = 1,
    groups: Integer = 1,
    *,
    layout: Layout1D = "NCW",
    activation: Activation | None = None,
    flip_kernel: bool = False,
    x_zero_point: Integer = 0,
    w_zero_point: OnDevice | ArrayLike = 0,
    out: OnDevice | None = None,
    method: Method = "auto",
    accuracy: Accuracy = "default",
) -> OnDevice: ...
@overload
def conv1d(
    x: Bytes,
    w: Bytes,
    bias: ArrayLike | None = None,
    stride: Each = 1,
    padding: Padding = 0,
    dilation: Each = 1,
    groups: Integer = 1,
    *,
    layout: Layout1D = "NCW",
    activation: Activation | None = None,
    flip_kernel: bool = False,
    x_zero_point: Integer = 0,
    w_zero_point: ArrayLike = 0,
    out: NDArray[Any] | None = None,
    method: Method = "auto",
    accuracy: Accuracy = "default",
) -> NDArray[np.int32]: ...
@overload
def conv1d(
    x: ArrayLike,
    w: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Each = 1,
    padding: Padding = 0,
    dilation: Each = 1,
    groups: Integer = 1,
    *,
    layout: Layout1D = "NCW",
    activation: Activation | None = None,
    flip_kernel: bool = False,
    x_zero_point: Integer = 0,
    w_zero_point: ArrayLike = 0,
    out: NDArray[Any] | None = None,
    method: Method = "auto",
    accuracy: Accuracy = "default",
) -> NDArray[Any]: ...
@lowered_by(functools.partial(_layers.lower_conv, 1))
def conv1d(
    x: Data,
    w: Data,
    bias: Data | None = None,
    stride: Each = 1,
    padding: Padding = 0,
    dilation: Each = 1,
    groups: Integer = 1,
    *,
    layout: Layout1D = "NCW",
    activation: Activation | None = None,
    flip_kernel: bool = False,
    x_zero_point: Integer = 0,
    w_zero_point: Data = 0,
    out: Array | None = None,
    method: Method = "auto",
    accuracy: Accuracy = "default",
) -> Array:
    """
    Apply a convolutional layer to signals.

    y[n, o, p] = Σ_c Σ_k w[o, c, k] · x̃[n, c, stride·p + dilation·k − padding] + bias[o], where c
    runs over the channels of o's group and x̃ is x with zeros around it: a correlation, as in
    PyTorch.

    Parameters
    ----------
    x : array_like
        (N, C, W), or (C, W) without a batch; in the order of `layout`.
    w : array_like
        (O, C / groups, kW) in every layout.
    bias : array_like, optional
        (O,), of the dtype of the result.
    layout : {'NCW', 'NWC'}
        Order of the axes of data and result.
    stride, padding, dilation, groups, activation, flip_kernel, x_zero_point, w_zero_point
        As in `conv2d`, for 1 axis.
    out, method, accuracy
        As in `conv2d`.

    Returns
    -------
    ndarray
        (N, O, oW) in the order of `layout`, of the arguments' dtype; int32 for integers.

    Raises
    ------
    TypeError, ValueError
        As `conv2d` does.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.nn.conv1d([[[1.0, 2.0, 3.0, 4.0]]], [[[1.0, 0.0, -1.0]]], padding=1)
    array([[[-2., -2., -2.,  3.]]])
    """
    return _conv(
        1,
        x,
        w,
        bias,
        stride,
        padding,
        dilation,
        groups,
        layout,
        activation,
        flip_kernel,
        x_zero_point,
        w_zero_point,
        out,
        method,
        accuracy,
    )


@overload
def conv_transpose1d(
    x: NDArray[Floating],
    w: NDArray[Floating],
    bias: ArrayLike | None = None,
    stride: Each = 1,
    padding: Padding = 0,
    output_padding: Each = 0,
    groups: Integer = 1,
    dilation: Each = 1,
    *,
    output_size: Each | None = None,
    layout: Layout1D = "NCW",
    activation: Activation | None = None,
    flip_kernel: bool = False,
    out: NDArray[Any] | None = None,
    method: Method = "auto",
    accuracy: Accuracy = "default",
) -> NDArray[Floating]: ...
@overload
def conv_transpose1d(
    x: OnDevice,
    w: OnDevice | ArrayLike,
    bias: OnDevice | ArrayLike | None = None,
    stride: Each = 1,
    padding: Padding = 0,
    output_padding: Each = 0,
    groups: Integer = 1,
    dilation: Each = 1,
    *,
    output_size: Each | None = None,
    layout: Layout1D = "NCW",
    activation: Activation | None = None,
    flip_kernel: bool = False,
    out: OnDevice | None = None,
    method: Method = "auto",
    accuracy: Accuracy = "default",
) -> OnDevice: ...
@overload
def conv_transpose1d(
    x: ArrayLike,
    w: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Each = 1,
    padding: Padding = 0,
    output_padding: Each = 0,
    groups: Integer = 1,
    dilation: Each = 1,
    *,
    output_size: Each | None = None,
    layout: Layout1D = "NCW",
    activation: Activation | None = None,
    flip_kernel: bool = False,
    out: NDArray[Any] | None = None,
    method: Method = "auto",
    accuracy: Accuracy = "default",
) -> NDArray[Any]: ...
@lowered_by(functools.partial(_layers.lower_conv_transpose, 1))
def conv_transpose1d(
    x: Data,
    w: Data,
    bias: Data | None = None,
    stride: Each = 1,
    padding: Padding = 0,
    output_padding: Each = 0,
    groups: Integer = 1,
    dilation: Each = 1,
    *,
    output_size: Each | None = None,
    layout: Layout1D = "NCW",
    activation: Activation | None = None,
    flip_kernel: bool = False,
    out: Array | None = None,
    method: Method = "auto",
    accuracy: Accuracy = "default",
) -> Array:
    """
    Apply a transposed convolutional layer to signals.

    Each element of x adds w, times itself, to the result at stride·position − padding: what the
    layer with these arguments does to gradients on their way back. No zeros are inserted.

    Parameters
    ----------
    x : array_like
        (N, C, W), or (C, W) without a batch; in the order of `layout`.
    w : array_like
        (C, O / groups, kW) in every layout.
    bias : array_like, optional
        (O,), of the dtype of the result.
    layout : {'NCW', 'NWC'}
        Order of the axes of data and result.
    stride, padding, output_padding, groups, dilation, output_size, activation, flip_kernel
        As in `conv_transpose2d`, for 1 axis.
    out, method, accuracy
        As in `conv2d`.

    Returns
    -------
    ndarray
        (N, O, oW) in the order of `layout`, of the arguments' dtype.

    Raises
    ------
    TypeError, ValueError
        As `conv_transpose2d` does.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.nn.conv_transpose1d([[[1.0, 2.0]]], [[[1.0, 1.0, 1.0]]], stride=2)
    array([[[1., 1., 3., 2., 2.]]])
    """
    return _layers.lower_conv_transpose(
        1,
        x,
        w,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
        output_size=output_size,
        layout=layout,
        activation=activation,
        flip_kernel=flip_kernel,
        method=method,
        accuracy=accuracy,
    ).solve(out)


@overload
def conv1d_grad_input(
    grad: NDArray[Floating],
    w: NDArray[Floating],
    input_shape: Extents,
    stride: Each = 1,
    padding: Padding = 0,
    dilation: Each = 1,
    groups: Integer = 1,
    *,
    layout: Layout1D = "NCW",
    flip_kernel: bool = False,
    out: NDArray[Any] | None = None,
    method: Method = "auto",
    accuracy: Accuracy = "default",
) -> NDArray[Floating]: ...
@overload
def conv1d_grad_input(
    grad: OnDevice,
    w: OnDevice | ArrayLike,
    input_shape: Extents,
    stride: Each = 1,
    padding: Padding = 0,
    dilation: Each = 1,
    groups: Integer = 1,
    *,
    layout: Layout1D = "NCW",
    flip_kernel: bool = False,
    out: OnDevice | None = None,
    method: Method = "auto",
    accuracy: Accuracy = "default",
) -> OnDevice: ...
@overload
def conv1d_grad_input(
    grad: ArrayLike,
    w: ArrayLike,
    input_shape: Extents,
    stride: Each = 1,
    padding: Padding = 0,
    dilation: Each = 1,
    groups: Integer = 1,
    *,
    layout: Layout1D = "NCW",
    flip_kernel: bool = False,
    out: NDArray[Any] | None = None,
    method: Method = "auto",
    accuracy: Accuracy = "default",
) -> NDArray[Any]: ...
@lowered_by(functools.partial(_layers.lower_grad_input, 1))
def conv1d_grad_input(
    grad: Data,
    w: Data,
    input_shape: Extents,
    stride: Each = 1,
    padding: Padding = 0,
    dilation: Each = 1,
    groups: Integer = 1,
    *,
    layout: Layout1D = "NCW",
    flip_kernel: bool = False,
    out: Array | None = None,
    method: Method = "auto",
    accuracy: Accuracy = "default",
) -> Array:
    """
    Return the gradient of `conv1d` with respect to its input.

    Parameters
    ----------
    grad : array_like
        (N, O, oW) in the order of `layout`: the gradient of the layer's result.
    w : array_like
        (O, C / groups, kW), the layer's weights; complex ones are conjugated.
    input_shape : sequence of int
        Shape of the layer's input, in the order of `layout`.
    stride, padding, dilation, groups, layout, flip_kernel
        The layer's.
    out, method, accuracy
        As in `conv2d`.

    Returns
    -------
    ndarray
        Of `input_shape` and the arguments' dtype.

    Raises
    ------
    TypeError
        If dtypes are not floating or not one, or a number is no integer.
    ValueError
        If shapes do not fit each other, a number is out of range, a name is unknown, or the method
        must refuse.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.nn.conv1d_grad_input([[[1.0, 1.0]]], [[[1.0, 2.0, 3.0]]], (1, 1, 4))
    array([[[1., 3., 5., 3.]]])
    """
    return _layers.lower_grad_input(
        1,
        grad,
        w,
        input_shape,
        stride,
        padding,
        dilation,
        groups,
        layout=layout,
        flip_kernel=flip_kernel,
        method=method,
        accuracy=accuracy,
    ).solve(out)


@overload
def conv1d_grad_weight(
    grad: NDArray[Floating],
    x: NDArray[Floating],
    weight_shape: Extents,
    stride: Each = 1,
    padding: Padding = 0,
    dilation: Each = 1,
    groups: Integer = 1,
    *,
    layout: Layout1D = "NCW",
    flip_kernel: bool = False,
    out: NDArray[Any] | None = None,
    method: Method = "auto",
    accuracy: Accuracy = "default",
) -> NDArray[Floating]: ...
@overload
def conv1d_grad_weight(
    grad: OnDevice,
    x: OnDevice | ArrayLike,
    weight_shape: Extents,
    stride: Each = 1,
    padding: Padding = 0,
    dilation: Each = 1,
    groups: Integer = 1,
    *,
    layout: Layout1D = "NCW",
    flip_kernel: bool = False,
    out: OnDevice | None = None,
    method: Method = "auto",
    accuracy: Accuracy = "default",
) -> OnDevice: ...
@overload
def conv1d_grad_weight(
    grad: ArrayLike,
    x: ArrayLike,
    weight_shape: Extents,
    stride: Each = 1,
    padding: Padding = 0,
    dilation: Each = 1,
    groups: Integer = 1,
    *,
    layout: Layout1D = "NCW",
    flip_kernel: bool = False,
    out: NDArray[Any] | None = None,
    method: Method = "auto",
    accuracy: Accuracy = "default",
) -> NDArray[Any]: ...
@lowered_by(functools.partial(_layers.lower_grad_weight, 1))
def conv1d_grad_weight(
    grad: Data,
    x: Data,
    weight_shape: Extents,
    stride: Each = 1,
    padding: Padding = 0,
    dilation: Each = 1,
    groups: Integer = 1,
    *,
    layout: Layout1D = "NCW",
    flip_kernel: bool = False,
    out: Array | None = None,
    method: Method = "auto",
    accuracy: Accuracy = "default",
) -> Array:
    """
    Return the gradient of `conv1d` with respect to its weights.

    Parameters
    ----------
    grad : array_like
        (N, O, oW) in the order of `layout`: the gradient of the layer's result.
    x : array_like
        (N, C, W) in the order of `layout`: the layer's input; complex ones are conjugated.
    weight_shape : sequence of int
        (O, C / groups, kW), the shape of the layer's weights.
    stride, padding, dilation, groups, layout, flip_kernel
        The layer's.
    out, method, accuracy
        As in `conv2d`.

    Returns
    -------
    ndarray
        Of `weight_shape` and the arguments' dtype; zeros where the batch is empty.

    Raises
    ------
    TypeError
        If dtypes are not floating or not one, or a number is no integer.
    ValueError
        If shapes do not fit each other, a number is out of range, a name is unknown, or the method
        must refuse.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.nn.conv1d_grad_weight([[[1.0, 1.0]]], [[[1.0, 2.0, 3.0, 4.0]]], (1, 1, 3))
    array([[[3., 5., 7.]]])
    """
    return _layers.lower_grad_weight(
        1,
        grad,
        x,
        weight_shape,
        stride,
        padding,
        dilation,
        groups,
        layout=layout,
        flip_kernel=flip_kernel,
        method=method,
        accuracy=accuracy,
    ).solve(out)


@overload
def conv1d_grad_bias(
    grad: NDArray[Floating],
    *,
    layout: Layout1D = "NCW",
) -> NDArray[Floating]: ...
@overload
def conv1d_grad_bias(
    grad: OnDevice,
    *,
    layout: Layout1D = "NCW",
) -> OnDevice: ...
@overload
def conv1d_grad_bias(
    grad: ArrayLike,
    *,
    layout: Layout1D = "NCW",
) -> NDArray[Any]: ...
def conv1d_grad_bias(
    grad: Data,
    *,
    layout: Layout1D = "NCW",
) -> Array:
    """
    Return the gradient of `conv1d` with respect to its bias: sums of a channel each.

    Parameters
    ----------
    grad : array_like
        (N, O, oW) in the order of `layout`, or without a batch: the gradient of the result.
    layout : {'NCW', 'NWC'}
        Order of its axes.

    Returns
    -------
    ndarray
        (O,), of grad's dtype, summed in double precision.

    Raises
    ------
    TypeError
        If the dtype is not floating.
    ValueError
        If the shape or the layout is not one of a layer's.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.nn.conv1d_grad_bias([[[1.0, 2.0], [3.0, 4.0]]])
    array([3., 7.])
    """
    return _layers.grad_bias(1, grad, layout)


# --- images --------------------------------------------------------------------------------------


@overload
def conv2d(
    x: NDArray[Floating],
    w: NDArray[Floating],
    bias: ArrayLike | None = None,
    stride: Each = 1,
    padding: Padding = 0,
    dilation: Each = 1,
    groups: Integer = 1,
    *,
    layout: Layout2D = "NCHW",
    activation: Activation | None = None,
    flip_kernel: bool = False,
    x_zero_point: Integer = 0,
    w_zero_point: ArrayLike = 0,
    out: NDArray[Any] | None = None,
    method: Method = "auto",
    accuracy: Accuracy = "default",
) -> NDArray[Floating]: ...
@overload
def conv2d(
    x: OnDevice,
    w: OnDevice | ArrayLike,
    bias: OnDevice | ArrayLike | None = None,
    stride: Each = 1,
    padding: Padding = 0,
    dilation: Each = 1,
    groups: Integer = 1,
    *,
    layout: Layout2D = "NCHW",
    activation: Activation | None = None,
    flip_kernel: bool = False,
    x_zero_point: Integer = 0,
    w_zero_point: OnDevice | ArrayLike = 0,
    out: OnDevice | None = None,
    method: Method = "auto",
    accuracy: Accuracy = "default",
) -> OnDevice: ...
@overload
def conv2d(
    x: Bytes,
    w: Bytes,
    bias: ArrayLike | None = None,
    stride: Each = 1,
    padding: Padding = 0,
    dilation: Each = 1,
    groups: Integer = 1,
    *,
    layout: Layout2D = "NCHW",
    activation: Activation | None = None,
    flip_kernel: bool = False,
    x_zero_point: Integer = 0,
    w_zero_point: ArrayLike = 0,
    out: NDArray[Any] | None = None,
    method: Method = "auto",
    accuracy: Accuracy = "default",
) -> NDArray[np.int32]: ...
@overload
def conv2d(
    x: ArrayLike,
    w: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Each = 1,
    padding: Padding = 0,
    dilation: Each = 1,
    groups: Integer = 1,
    *,
    layout: Layout2D = "NCHW",
    activation: Activation | None = None,
    flip_kernel: bool = False,
    x_zero_point: Integer = 0,
    w_zero_point: ArrayLike = 0,
    out: NDArray[Any] | None = None,
    method: Method = "auto",
    accuracy: Accuracy = "default",
) -> NDArray[Any]: ...
@lowered_by(functools.partial(_layers.lower_conv, 2))
def conv2d(
    x: Data,
    w: Data,
    bias: Data | None = None,
    stride: Each = 1,
    padding: Padding = 0,
    dilation: Each = 1,
    groups: Integer = 1,
    *,
    layout: Layout2D = "NCHW",
    activation: Activation | None = None,
    flip_kernel: bool = False,
    x_zero_point: Integer = 0,
    w_zero_point: Data = 0,
    out: Array | None = None,
    method: Method = "auto",
    accuracy: Accuracy = "default",
) -> Array:
    """
    Apply a convolutional layer to images.

    y[n, o, p] = Σ_c Σ_k w[o, c, k] · x̃[n, c, stride·p + dilation·k − padding] + bias[o], where c
    runs over the channels of o's group and x̃ is x with zeros around it: a correlation, as in
    PyTorch.

    Parameters
    ----------
    x : array_like
        (N, C, H, W), or (C, H, W) without a batch; in the order of `layout`.
    w : array_like
        (O, C / groups, kH, kW) in every layout.
    bias : array_like, optional
        (O,), of the dtype of the result.
    stride, dilation : int or sequence of int
        Elements between outputs, and between taps; one, or one for each axis.
    padding : int, sequence or str
        Zeros before and behind: one number, one for each axis, or one pair (before, behind) for
        each axis. 'valid' is none; 'same' (of stride 1) keeps the extent, and 'same_upper' and
        'same_lower' make it ceil(extent / stride), as in ONNX: what is odd goes behind, or before
        for 'same_lower'.
    groups : int
        Groups of channels, each with outputs of its own.
    layout : {'NCHW', 'NHWC'}
        Order of the axes of data and result.
    activation : {None, 'relu', 'relu6', 'leaky_relu', 'sigmoid', 'tanh', 'silu', 'gelu'}
        Done to the result, of real numbers; of integers only 'relu', the others need a scale.
        'leaky_relu' has the slope 0.01 and 'gelu' is y·Φ(y) by erf.
    flip_kernel : bool
        Whether the taps are reversed along each axis: convolution in the mathematical sense.
    x_zero_point : int
        Of an integer layer: subtracted from x, and what stands around it.
    w_zero_point : int or array_like
        Of an integer layer: subtracted from w; one, or one for each output channel.
    out : ndarray, optional
        Where to write the result: of its shape and dtype, sharing no memory with the arguments.
    method : str
        'auto', or the name of a method.
    accuracy : {'default', 'direct'} or float
        What results may err by. 'direct' takes plain sums of products alone, no minimal filtering.
        A number is a bound beside ‖x‖·‖w‖ + |bias|, the 2-norms of the weights of an output channel
        and of the data that they meet (of 4 × 4 patches where the method filters those), before the
        activation: float32 and complex64 are computed in double precision where that takes it, with
        the activation, and rounded once. Integers are exact.

    Returns
    -------
    ndarray
        (N, O, oH, oW) in the order of `layout`, of the arguments' dtype; int32 for integers, whose
        sums wrap around.

    Raises
    ------
    TypeError
        If dtypes are none of those above or not one, or a number is no integer.
    ValueError
        If shapes do not fit each other, the kernel does not fit the padded data, a number is out of
        range, a name is unknown, or the method must refuse.

    Notes
    -----
    Integers are those of ONNX's ConvInteger: (x − x_zero_point) ∗ (w − w_zero_point), exact.

    Data without channels are an error; PyTorch returns a result without channels.

    Examples
    --------
    >>> import fastconv, numpy as np
    >>> x = np.arange(16.0).reshape(1, 1, 4, 4)
    >>> fastconv.nn.conv2d(x, np.ones((1, 1, 3, 3)), stride=2, padding="same_upper")
    array([[[[45., 39.],
             [66., 50.]]]])
    """
    return _conv(
        2,
        x,
        w,
        bias,
        stride,
        padding,
        dilation,
        groups,
        layout,
        activation,
        flip_kernel,
        x_zero_point,
        w_zero_point,
        out,
        method,
        accuracy,
    )


@overload
def conv_transpose2d(
    x: NDArray[Floating],
    w: NDArray[Floating],
    bias: ArrayLike | None = None,
    stride: Each = 1,
    padding: Padding = 0,
    output_padding: Each = 0,
    groups: Integer = 1,
    dilation: Each = 1,
    *,
    output_size: Each | None = None,
    layout: Layout2D = "NCHW",
    activation: Activation | None = None,
    flip_kernel: bool = False,
    out: NDArray[Any] | None = None,
    method: Method = "auto",
    accuracy: Accuracy = "default",
) -> NDArray[Floating]: ...
@overload
def conv_transpose2d(
    x: OnDevice,
    w: OnDevice | ArrayLike,
    bias: OnDevice | ArrayLike | None = None,
    stride: Each = 1,
    padding: Padding = 0,
    output_padding: Each = 0,
    groups: Integer = 1,
    dilation: Each = 1,
    *,
    output_size: Each | None = None,
    layout: Layout2D = "NCHW",
    activation: Activation | None = None,
    flip_kernel: bool = False,
    out: OnDevice | None = None,
    method: Method = "auto",
    accuracy: Accuracy = "default",
) -> OnDevice: ...
@overload
def conv_transpose2d(
    x: ArrayLike,
    w: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Each = 1,
    padding: Padding = 0,
    output_padding: Each = 0,
    groups: Integer = 1,
    dilation: Each = 1,
    *,
    output_size: Each | None = None,
    layout: Layout2D = "NCHW",
    activation: Activation | None = None,
    flip_kernel: bool = False,
    out: NDArray[Any] | None = None,
    method: Method = "auto",
    accuracy: Accuracy = "default",
) -> NDArray[Any]: ...
@lowered_by(functools.partial(_layers.lower_conv_transpose, 2))
def conv_transpose2d(
    x: Data,
    w: Data,
    bias: Data | None = None,
    stride: Each = 1,
    padding: Padding = 0,
    output_padding: Each = 0,
    groups: Integer = 1,
    dilation: Each = 1,
    *,
    output_size: Each | None = None,
    layout: Layout2D = "NCHW",
    activation: Activation | None = None,
    flip_kernel: bool = False,
    out: Array | None = None,
    method: Method = "auto",
    accuracy: Accuracy = "default",
) -> Array:
    """
    Apply a transposed convolutional layer to images.

    Each element of x adds w, times itself, to the result at stride·position − padding: what the
    layer with these arguments does to gradients on their way back. No zeros are inserted.

    Parameters
    ----------
    x : array_like
        (N, C, H, W), or (C, H, W) without a batch; in the order of `layout`.
    w : array_like
        (C, O / groups, kH, kW) in every layout.
    bias : array_like, optional
        (O,), of the dtype of the result.
    stride : int or sequence of int
        Elements of the result between those that x's neighbours add to.
    padding : int, sequence or str
        What is cut off before and behind, in any form that `conv2d` takes. 'same_upper' and
        'same_lower' make the extent of the result that of x times the stride ('same', too, for
        stride 1); where the kernel reaches less far, what is behind it is zero.
    output_padding : int or sequence of int
        What the result is longer by, behind; less than stride or dilation.
    groups : int
        Groups of channels.
    dilation : int or sequence of int
        Elements between taps.
    output_size : int or sequence of int, optional
        Extents of the result, in place of `output_padding`: up to stride − 1 more than without.
    layout : {'NCHW', 'NHWC'}
        Order of the axes of data and result.
    activation : str, optional
        As in `conv2d`.
    flip_kernel : bool
        Whether the taps are reversed along each axis: the transpose of `conv2d` with the same flag.
    out, method, accuracy
        As in `conv2d`.

    Returns
    -------
    ndarray
        (N, O, oH, oW) in the order of `layout`, of the arguments' dtype: stride·(extent − 1) +
        dilation·(taps − 1) + 1 + output_padding − padding along each axis.

    Raises
    ------
    TypeError
        If dtypes are not floating or not one, or a number is no integer.
    ValueError
        If shapes do not fit each other, nothing is left of the result, a number is out of range, a
        name is unknown, or the method must refuse.

    Notes
    -----
    A result of extent 0 is an error, for an empty batch, too, where PyTorch lets it pass.

    Examples
    --------
    >>> import fastconv, numpy as np
    >>> w = np.ones((1, 1, 2, 2))
    >>> fastconv.nn.conv_transpose2d([[[[1.0, 2.0]]]], w, stride=2)
    array([[[[1., 1., 2., 2.],
             [1., 1., 2., 2.]]]])
    """
    return _layers.lower_conv_transpose(
        2,
        x,
        w,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
        output_size=output_size,
        layout=layout,
        activation=activation,
        flip_kernel=flip_kernel,
        method=method,
        accuracy=accuracy,
    ).solve(out)


@overload
def conv2d_grad_input(
    grad: NDArray[Floating],
    w: NDArray[Floating],
    input_shape: Extents,
    stride: Each = 1,
    padding: Padding = 0,
    dilation: Each = 1,
    groups: Integer = 1,
    *,
    layout: Layout2D = "NCHW",
    flip_kernel: bool = False,
    out: NDArray[Any] | None = None,
    method: Method = "auto",
    accuracy: Accuracy = "default",
) -> NDArray[Floating]: ...
@overload
def conv2d_grad_input(
    grad: OnDevice,
    w: OnDevice | ArrayLike,
    input_shape: Extents,
    stride: Each = 1,
    padding: Padding = 0,
    dilation: Each = 1,
    groups: Integer = 1,
    *,
    layout: Layout2D = "NCHW",
    flip_kernel: bool = False,
    out: OnDevice | None = None,
    method: Method = "auto",
    accuracy: Accuracy = "default",
) -> OnDevice: ...
@overload
def conv2d_grad_input(
    grad: ArrayLike,
    w: ArrayLike,
    input_shape: Extents,
    stride: Each = 1,
    padding: Padding = 0,
    dilation: Each = 1,
    groups: Integer = 1,
    *,
    layout: Layout2D = "NCHW",
    flip_kernel: bool = False,
    out: NDArray[Any] | None = None,
    method: Method = "auto",
    accuracy: Accuracy = "default",
) -> NDArray[Any]: ...
@lowered_by(functools.partial(_layers.lower_grad_input, 2))
def conv2d_grad_input(
    grad: Data,
    w: Data,
    input_shape: Extents,
    stride: Each = 1,
    padding: Padding = 0,
    dilation: Each = 1,
    groups: Integer = 1,
    *,
    layout: Layout2D = "NCHW",
    flip_kernel: bool = False,
    out: Array | None = None,
    method: Method = "auto",
    accuracy: Accuracy = "default",
) -> Array:
    """
    Return the gradient of `conv2d` with respect to its input.

    Parameters
    ----------
    grad : array_like
        (N, O, oH, oW) in the order of `layout`: the gradient of the layer's result.
    w : array_like
        (O, C / groups, kH, kW), the layer's weights; complex ones are conjugated.
    input_shape : sequence of int
        Shape of the layer's input, in the order of `layout`.
    stride, padding, dilation, groups, layout, flip_kernel
        The layer's.
    out, method, accuracy
        As in `conv2d`.

    Returns
    -------
    ndarray
        Of `input_shape` and the arguments' dtype.

    Raises
    ------
    TypeError
        If dtypes are not floating or not one, or a number is no integer.
    ValueError
        If shapes do not fit each other, a number is out of range, a name is unknown, or the method
        must refuse.

    Examples
    --------
    >>> import fastconv, numpy as np
    >>> grad, w = np.ones((1, 4, 6, 6)), np.ones((4, 3, 3, 3))
    >>> fastconv.nn.conv2d_grad_input(grad, w, (1, 3, 8, 8)).shape
    (1, 3, 8, 8)
    """
    return _layers.lower_grad_input(
        2,
        grad,
        w,
        input_shape,
        stride,
        padding,
        dilation,
        groups,
        layout=layout,
        flip_kernel=flip_kernel,
        method=method,
        accuracy=accuracy,
    ).solve(out)


@overload
def conv2d_grad_weight(
    grad: NDArray[Floating],
    x: NDArray[Floating],
    weight_shape: Extents,
    stride: Each = 1,
    padding: Padding = 0,
    dilation: Each = 1,
    groups: Integer = 1,
    *,
    layout: Layout2D = "NCHW",
    flip_kernel: bool = False,
    out: NDArray[Any] | None = None,
    method: Method = "auto",
    accuracy: Accuracy = "default",
) -> NDArray[Floating]: ...
@overload
def conv2d_grad_weight(
    grad: OnDevice,
    x: OnDevice | ArrayLike,
    weight_shape: Extents,
    stride: Each = 1,
    padding: Padding = 0,
    dilation: Each = 1,
    groups: Integer = 1,
    *,
    layout: Layout2D = "NCHW",
    flip_kernel: bool = False,
    out: OnDevice | None = None,
    method: Method = "auto",
    accuracy: Accuracy = "default",
) -> OnDevice: ...
@overload
def conv2d_grad_weight(
    grad: ArrayLike,
    x: ArrayLike,
    weight_shape: Extents,
    stride: Each = 1,
    padding: Padding = 0,
    dilation: Each = 1,
    groups: Integer = 1,
    *,
    layout: Layout2D = "NCHW",
    flip_kernel: bool = False,
    out: NDArray[Any] | None = None,
    method: Method = "auto",
    accuracy: Accuracy = "default",
) -> NDArray[Any]: ...
@lowered_by(functools.partial(_layers.lower_grad_weight, 2))
def conv2d_grad_weight(
    grad: Data,
    x: Data,
    weight_shape: Extents,
    stride: Each = 1,
    padding: Padding = 0,
    dilation: Each = 1,
    groups: Integer = 1,
    *,
    layout: Layout2D = "NCHW",
    flip_kernel: bool = False,
    out: Array | None = None,
    method: Method = "auto",
    accuracy: Accuracy = "default",
) -> Array:
    """
    Return the gradient of `conv2d` with respect to its weights.

    Parameters
    ----------
    grad : array_like
        (N, O, oH, oW) in the order of `layout`: the gradient of the layer's result.
    x : array_like
        (N, C, H, W) in the order of `layout`: the layer's input; complex ones are conjugated.
    weight_shape : sequence of int
        (O, C / groups, kH, kW), the shape of the layer's weights.
    stride, padding, dilation, groups, layout, flip_kernel
        The layer's.
    out, method, accuracy
        As in `conv2d`.

    Returns
    -------
    ndarray
        Of `weight_shape` and the arguments' dtype; zeros where the batch is empty.

    Raises
    ------
    TypeError
        If dtypes are not floating or not one, or a number is no integer.
    ValueError
        If shapes do not fit each other, a number is out of range, a name is unknown, or the method
        must refuse.

    Examples
    --------
    >>> import fastconv, numpy as np
    >>> grad, x = np.ones((1, 4, 6, 6)), np.ones((1, 3, 8, 8))
    >>> fastconv.nn.conv2d_grad_weight(grad, x, (4, 3, 3, 3)).shape
    (4, 3, 3, 3)
    """
    return _layers.lower_grad_weight(
        2,
        grad,
        x,
        weight_shape,
        stride,
        padding,
        dilation,
        groups,
        layout=layout,
        flip_kernel=flip_kernel,
        method=method,
        accuracy=accuracy,
    ).solve(out)


@overload
def conv2d_grad_bias(
    grad: NDArray[Floating],
    *,
    layout: Layout2D = "NCHW",
) -> NDArray[Floating]: ...
@overload
def conv2d_grad_bias(
    grad: OnDevice,
    *,
    layout: Layout2D = "NCHW",
) -> OnDevice: ...
@overload
def conv2d_grad_bias(
    grad: ArrayLike,
    *,
    layout: Layout2D = "NCHW",
) -> NDArray[Any]: ...
def conv2d_grad_bias(
    grad: Data,
    *,
    layout: Layout2D = "NCHW",
) -> Array:
    """
    Return the gradient of `conv2d` with respect to its bias: sums of a channel each.

    Parameters
    ----------
    grad : array_like
        (N, O, oH, oW) in the order of `layout`, or without a batch: the gradient of the result.
    layout : {'NCHW', 'NHWC'}
        Order of its axes.

    Returns
    -------
    ndarray
        (O,), of grad's dtype, summed in double precision.

    Raises
    ------
    TypeError
        If the dtype is not floating.
    ValueError
        If the shape or the layout is not one of a layer's.

    Examples
    --------
    >>> import fastconv, numpy as np
    >>> fastconv.nn.conv2d_grad_bias(np.ones((2, 3, 4, 5)))
    array([40., 40., 40.])
    """
    return _layers.grad_bias(2, grad, layout)


# --- volumes -------------------------------------------------------------------------------------


@overload
def conv3d(
    x: NDArray[Floating],
    w: NDArray[Floating],
    bias: ArrayLike | None = None,
    stride: Each = 1,
    padding: Padding = 0,
    dilation: Each = 1,
    groups: Integer = 1,
    *,
    layout: Layout3D = "NCDHW",
    activation: Activation | None = None,
    flip_kernel: bool = False,
    x_zero_point: Integer = 0,
    w_zero_point: ArrayLike = 0,
    out: NDArray[Any] | None = None,
    method: Method = "auto",
    accuracy: Accuracy = "default",
) -> NDArray[Floating]: ...
@overload
def conv3d(
    x: OnDevice,
    w: OnDevice | ArrayLike,
    bias: OnDevice | ArrayLike | None = None,
    stride: Each = 1,
    padding: Padding = 0,
    dilation: Each = 1,
    groups: Integer = 1,
    *,
    layout: Layout3D = "NCDHW",
    activation: Activation | None = None,
    flip_kernel: bool = False,
    x_zero_point: Integer = 0,
    w_zero_point: OnDevice | ArrayLike = 0,
    out: OnDevice | None = None,
    method: Method = "auto",
    accuracy: Accuracy = "default",
) -> OnDevice: ...
@overload
def conv3d(
    x: Bytes,
    w: Bytes,
    bias: ArrayLike | None = None,
    stride: Each = 1,
    padding: Padding = 0,
    dilation: Each = 1,
    groups: Integer = 1,
    *,
    layout: Layout3D = "NCDHW",
    activation: Activation | None = None,
    flip_kernel: bool = False,
    x_zero_point: Integer = 0,
    w_zero_point: ArrayLike = 0,
    out: NDArray[Any] | None = None,
    method: Method = "auto",
    accuracy: Accuracy = "default",
) -> NDArray[np.int32]: ...
@overload
def conv3d(
    x: ArrayLike,
    w: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Each = 1,
    padding: Padding = 0,
    dilation: Each = 1,
    groups: Integer = 1,
    *,
    layout: Layout3D = "NCDHW",
    activation: Activation | None = None,
    flip_kernel: bool = False,
    x_zero_point: Integer = 0,
    w_zero_point: ArrayLike = 0,
    out: NDArray[Any] | None = None,
    method: Method = "auto",
    accuracy: Accuracy = "default",
) -> NDArray[Any]: ...
@lowered_by(functools.partial(_layers.lower_conv, 3))
def conv3d(
    x: Data,
    w: Data,
    bias: Data | None = None,
    stride: Each = 1,
    padding: Padding = 0,
    dilation: Each = 1,
    groups: Integer = 1,
    *,
    layout: Layout3D = "NCDHW",
    activation: Activation | None = None,
    flip_kernel: bool = False,
    x_zero_point: Integer = 0,
    w_zero_point: Data = 0,
    out: Array | None = None,
    method: Method = "auto",
    accuracy: Accuracy = "default",
) -> Array:
    """
    Apply a convolutional layer to volumes.

    y[n, o, p] = Σ_c Σ_k w[o, c, k] · x̃[n, c, stride·p + dilation·k − padding] + bias[o], where c
    runs over the channels of o's group and x̃ is x with zeros around it: a correlation, as in
    PyTorch.

    Parameters
    ----------
    x : array_like
        (N, C, D, H, W), or (C, D, H, W) without a batch; in the order of `layout`.
    w : array_like
        (O, C / groups, kD, kH, kW) in every layout.
    bias : array_like, optional
        (O,), of the dtype of the result.
    layout : {'NCDHW', 'NDHWC'}
        Order of the axes of data and result.
    stride, padding, dilation, groups, activation, flip_kernel, x_zero_point, w_zero_point
        As in `conv2d`, for 3 axes.
    out, method, accuracy
        As in `conv2d`.

    Returns
    -------
    ndarray
        (N, O, oD, oH, oW) in the order of `layout`, of the arguments' dtype; int32 for integers.

    Raises
    ------
    TypeError, ValueError
        As `conv2d` does.

    Examples
    --------
    >>> import fastconv, numpy as np
    >>> fastconv.nn.conv3d(np.ones((1, 2, 4, 4, 4)), np.ones((3, 2, 3, 3, 3))).shape
    (1, 3, 2, 2, 2)
    """
    return _conv(
        3,
        x,
        w,
        bias,
        stride,
        padding,
        dilation,
        groups,
        layout,
        activation,
        flip_kernel,
        x_zero_point,
        w_zero_point,
        out,
        method,
        accuracy,
    )


@overload
def conv_transpose3d(
    x: NDArray[Floating],
    w: NDArray[Floating],
    bias: ArrayLike | None = None,
    stride: Each = 1,
    padding: Padding = 0,
    output_padding: Each = 0,
    groups: Integer = 1,
    dilation: Each = 1,
    *,
    output_size: Each | None = None,
    layout: Layout3D = "NCDHW",
    activation: Activation | None = None,
    flip_kernel: bool = False,
    out: NDArray[Any] | None = None,
    method: Method = "auto",
    accuracy: Accuracy = "default",
) -> NDArray[Floating]: ...
@overload
def conv_transpose3d(
    x: OnDevice,
    w: OnDevice | ArrayLike,
    bias: OnDevice | ArrayLike | None = None,
    stride: Each = 1,
    padding: Padding = 0,
    output_padding: Each = 0,
    groups: Integer = 1,
    dilation: Each = 1,
    *,
    output_size: Each | None = None,
    layout: Layout3D = "NCDHW",
    activation: Activation | None = None,
    flip_kernel: bool = False,
    out: OnDevice | None = None,
    method: Method = "auto",
    accuracy: Accuracy = "default",
) -> OnDevice: ...
@overload
def conv_transpose3d(
    x: ArrayLike,
    w: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Each = 1,
    padding: Padding = 0,
    output_padding: Each = 0,
    groups: Integer = 1,
    dilation: Each = 1,
    *,
    output_size: Each | None = None,
    layout: Layout3D = "NCDHW",
    activation: Activation | None = None,
    flip_kernel: bool = False,
    out: NDArray[Any] | None = None,
    method: Method = "auto",
    accuracy: Accuracy = "default",
) -> NDArray[Any]: ...
@lowered_by(functools.partial(_layers.lower_conv_transpose, 3))
def conv_transpose3d(
    x: Data,
    w: Data,
    bias: Data | None = None,
    stride: Each = 1,
    padding: Padding = 0,
    output_padding: Each = 0,
    groups: Integer = 1,
    dilation: Each = 1,
    *,
    output_size: Each | None = None,
    layout: Layout3D = "NCDHW",
    activation: Activation | None = None,
    flip_kernel: bool = False,
    out: Array | None = None,
    method: Method = "auto",
    accuracy: Accuracy = "default",
) -> Array:
    """
    Apply a transposed convolutional layer to volumes.

    Each element of x adds w, times itself, to the result at stride·position − padding: what the
    layer with these arguments does to gradients on their way back. No zeros are inserted.

    Parameters
    ----------
    x : array_like
        (N, C, D, H, W), or (C, D, H, W) without a batch; in the order of `layout`.
    w : array_like
        (C, O / groups, kD, kH, kW) in every layout.
    bias : array_like, optional
        (O,), of the dtype of the result.
    layout : {'NCDHW', 'NDHWC'}
        Order of the axes of data and result.
    stride, padding, output_padding, groups, dilation, output_size, activation, flip_kernel
        As in `conv_transpose2d`, for 3 axes.
    out, method, accuracy
        As in `conv2d`.

    Returns
    -------
    ndarray
        (N, O, oD, oH, oW) in the order of `layout`, of the arguments' dtype.

    Raises
    ------
    TypeError, ValueError
        As `conv_transpose2d` does.

    Examples
    --------
    >>> import fastconv, numpy as np
    >>> x, w = np.ones((1, 2, 3, 3, 3)), np.ones((2, 4, 2, 2, 2))
    >>> fastconv.nn.conv_transpose3d(x, w, stride=2).shape
    (1, 4, 6, 6, 6)
    """
    return _layers.lower_conv_transpose(
        3,
        x,
        w,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
        output_size=output_size,
        layout=layout,
        activation=activation,
        flip_kernel=flip_kernel,
        method=method,
        accuracy=accuracy,
    ).solve(out)


@overload
def conv3d_grad_input(
    grad: NDArray[Floating],
    w: NDArray[Floating],
    input_shape: Extents,
    stride: Each = 1,
    padding: Padding = 0,
    dilation: Each = 1,
    groups: Integer = 1,
    *,
    layout: Layout3D = "NCDHW",
    flip_kernel: bool = False,
    out: NDArray[Any] | None = None,
    method: Method = "auto",
    accuracy: Accuracy = "default",
) -> NDArray[Floating]: ...
@overload
def conv3d_grad_input(
    grad: OnDevice,
    w: OnDevice | ArrayLike,
    input_shape: Extents,
    stride: Each = 1,
    padding: Padding = 0,
    dilation: Each = 1,
    groups: Integer = 1,
    *,
    layout: Layout3D = "NCDHW",
    flip_kernel: bool = False,
    out: OnDevice | None = None,
    method: Method = "auto",
    accuracy: Accuracy = "default",
) -> OnDevice: ...
@overload
def conv3d_grad_input(
    grad: ArrayLike,
    w: ArrayLike,
    input_shape: Extents,
    stride: Each = 1,
    padding: Padding = 0,
    dilation: Each = 1,
    groups: Integer = 1,
    *,
    layout: Layout3D = "NCDHW",
    flip_kernel: bool = False,
    out: NDArray[Any] | None = None,
    method: Method = "auto",
    accuracy: Accuracy = "default",
) -> NDArray[Any]: ...
@lowered_by(functools.partial(_layers.lower_grad_input, 3))
def conv3d_grad_input(
    grad: Data,
    w: Data,
    input_shape: Extents,
    stride: Each = 1,
    padding: Padding = 0,
    dilation: Each = 1,
    groups: Integer = 1,
    *,
    layout: Layout3D = "NCDHW",
    flip_kernel: bool = False,
    out: Array | None = None,
    method: Method = "auto",
    accuracy: Accuracy = "default",
) -> Array:
    """
    Return the gradient of `conv3d` with respect to its input.

    Parameters
    ----------
    grad : array_like
        (N, O, oD, oH, oW) in the order of `layout`: the gradient of the layer's result.
    w : array_like
        (O, C / groups, kD, kH, kW), the layer's weights; complex ones are conjugated.
    input_shape : sequence of int
        Shape of the layer's input, in the order of `layout`.
    stride, padding, dilation, groups, layout, flip_kernel
        The layer's.
    out, method, accuracy
        As in `conv2d`.

    Returns
    -------
    ndarray
        Of `input_shape` and the arguments' dtype.

    Raises
    ------
    TypeError
        If dtypes are not floating or not one, or a number is no integer.
    ValueError
        If shapes do not fit each other, a number is out of range, a name is unknown, or the method
        must refuse.

    Examples
    --------
    >>> import fastconv, numpy as np
    >>> grad, w = np.ones((1, 4, 6, 6, 6)), np.ones((4, 3, 3, 3, 3))
    >>> fastconv.nn.conv3d_grad_input(grad, w, (1, 3, 8, 8, 8)).shape
    (1, 3, 8, 8, 8)
    """
    return _layers.lower_grad_input(
        3,
        grad,
        w,
        input_shape,
        stride,
        padding,
        dilation,
        groups,
        layout=layout,
        flip_kernel=flip_kernel,
        method=method,
        accuracy=accuracy,
    ).solve(out)


@overload
def conv3d_grad_weight(
    grad: NDArray[Floating],
    x: NDArray[Floating],
    weight_shape: Extents,
    stride: Each = 1,
    padding: Padding = 0,
    dilation: Each = 1,
    groups: Integer = 1,
    *,
    layout: Layout3D = "NCDHW",
    flip_kernel: bool = False,
    out: NDArray[Any] | None = None,
    method: Method = "auto",
    accuracy: Accuracy = "default",
) -> NDArray[Floating]: ...
@overload
def conv3d_grad_weight(
    grad: OnDevice,
    x: OnDevice | ArrayLike,
    weight_shape: Extents,
    stride: Each = 1,
    padding: Padding = 0,
    dilation: Each = 1,
    groups: Integer = 1,
    *,
    layout: Layout3D = "NCDHW",
    flip_kernel: bool = False,
    out: OnDevice | None = None,
    method: Method = "auto",
    accuracy: Accuracy = "default",
) -> OnDevice: ...
@overload
def conv3d_grad_weight(
    grad: ArrayLike,
    x: ArrayLike,
    weight_shape: Extents,
    stride: Each = 1,
    padding: Padding = 0,
    dilation: Each = 1,
    groups: Integer = 1,
    *,
    layout: Layout3D = "NCDHW",
    flip_kernel: bool = False,
    out: NDArray[Any] | None = None,
    method: Method = "auto",
    accuracy: Accuracy = "default",
) -> NDArray[Any]: ...
@lowered_by(functools.partial(_layers.lower_grad_weight, 3))
def conv3d_grad_weight(
    grad: Data,
    x: Data,
    weight_shape: Extents,
    stride: Each = 1,
    padding: Padding = 0,
    dilation: Each = 1,
    groups: Integer = 1,
    *,
    layout: Layout3D = "NCDHW",
    flip_kernel: bool = False,
    out: Array | None = None,
    method: Method = "auto",
    accuracy: Accuracy = "default",
) -> Array:
    """
    Return the gradient of `conv3d` with respect to its weights.

    Parameters
    ----------
    grad : array_like
        (N, O, oD, oH, oW) in the order of `layout`: the gradient of the layer's result.
    x : array_like
        (N, C, D, H, W) in the order of `layout`: the layer's input; complex ones are conjugated.
    weight_shape : sequence of int
        (O, C / groups, kD, kH, kW), the shape of the layer's weights.
    stride, padding, dilation, groups, layout, flip_kernel
        The layer's.
    out, method, accuracy
        As in `conv2d`.

    Returns
    -------
    ndarray
        Of `weight_shape` and the arguments' dtype; zeros where the batch is empty.

    Raises
    ------
    TypeError
        If dtypes are not floating or not one, or a number is no integer.
    ValueError
        If shapes do not fit each other, a number is out of range, a name is unknown, or the method
        must refuse.

    Examples
    --------
    >>> import fastconv, numpy as np
    >>> grad, x = np.ones((1, 4, 6, 6, 6)), np.ones((1, 3, 8, 8, 8))
    >>> fastconv.nn.conv3d_grad_weight(grad, x, (4, 3, 3, 3, 3)).shape
    (4, 3, 3, 3, 3)
    """
    return _layers.lower_grad_weight(
        3,
        grad,
        x,
        weight_shape,
        stride,
        padding,
        dilation,
        groups,
        layout=layout,
        flip_kernel=flip_kernel,
        method=method,
        accuracy=accuracy,
    ).solve(out)


@overload
def conv3d_grad_bias(
    grad: NDArray[Floating],
    *,
    layout: Layout3D = "NCDHW",
) -> NDArray[Floating]: ...
@overload
def conv3d_grad_bias(
    grad: OnDevice,
    *,
    layout: Layout3D = "NCDHW",
) -> OnDevice: ...
@overload
def conv3d_grad_bias(
    grad: ArrayLike,
    *,
    layout: Layout3D = "NCDHW",
) -> NDArray[Any]: ...
def conv3d_grad_bias(
    grad: Data,
    *,
    layout: Layout3D = "NCDHW",
) -> Array:
    """
    Return the gradient of `conv3d` with respect to its bias: sums of a channel each.

    Parameters
    ----------
    grad : array_like
        (N, O, oD, oH, oW) in the order of `layout`, or without a batch: the gradient of the result.
    layout : {'NCDHW', 'NDHWC'}
        Order of its axes.

    Returns
    -------
    ndarray
        (O,), of grad's dtype, summed in double precision.

    Raises
    ------
    TypeError
        If the dtype is not floating.
    ValueError
        If the shape or the layout is not one of a layer's.

    Examples
    --------
    >>> import fastconv, numpy as np
    >>> fastconv.nn.conv3d_grad_bias(np.ones((2, 3, 4, 5, 6)))
    array([240., 240., 240.])
    """
    return _layers.grad_bias(3, grad, layout)


# --- patches --------------------------------------------------------------------------------------


@overload
def unfold(
    input: NDArray[Floating],
    kernel_size: Each,
    dilation: Each = 1,
    padding: Each = 0,
    stride: Each = 1,
) -> NDArray[Floating]: ...
@overload
def unfold(
    input: OnDevice,
    kernel_size: Each,
    dilation: Each = 1,
    padding: Each = 0,
    stride: Each = 1,
) -> OnDevice: ...
@overload
def unfold(
    input: ArrayLike,
    kernel_size: Each,
    dilation: Each = 1,
    padding: Each = 0,
    stride: Each = 1,
) -> NDArray[Any]: ...
def unfold(
    input: Data,
    kernel_size: Each,
    dilation: Each = 1,
    padding: Each = 0,
    stride: Each = 1,
) -> Array:
    """
    Lay out the patches of images that a kernel meets, one a column.

    Parameters
    ----------
    input : array_like
        (N, C, H, W) or (C, H, W); float32, float64, complex64 or complex128.
    kernel_size, dilation, padding, stride : int or sequence of int
        The kernel's taps, the elements between them, the zeros around the images and the elements
        between patches; one, or one for each axis.

    Returns
    -------
    ndarray
        (N, C · kH · kW, oH · oW) or without N, of the input's dtype.

    Raises
    ------
    TypeError
        If the dtype is not floating, or a number is no integer.
    ValueError
        If the kernel does not fit the padded images, or a number is out of range.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.nn.unfold([[[[1.0, 2.0, 3.0]]]], (1, 2))
    array([[[1., 2.],
            [2., 3.]]])
    """
    return _layers.unfold(input, kernel_size, dilation, padding, stride)


@overload
def fold(
    input: NDArray[Floating],
    output_size: Each,
    kernel_size: Each,
    dilation: Each = 1,
    padding: Each = 0,
    stride: Each = 1,
) -> NDArray[Floating]: ...
@overload
def fold(
    input: OnDevice,
    output_size: Each,
    kernel_size: Each,
    dilation: Each = 1,
    padding: Each = 0,
    stride: Each = 1,
) -> OnDevice: ...
@overload
def fold(
    input: ArrayLike,
    output_size: Each,
    kernel_size: Each,
    dilation: Each = 1,
    padding: Each = 0,
    stride: Each = 1,
) -> NDArray[Any]: ...
def fold(
    input: Data,
    output_size: Each,
    kernel_size: Each,
    dilation: Each = 1,
    padding: Each = 0,
    stride: Each = 1,
) -> Array:
    """
    Add patches up to images: what `unfold` reads of one element is summed.

    Parameters
    ----------
    input : array_like
        (N, C · kH · kW, oH · oW) or without N; float32, float64, complex64 or complex128.
    output_size : int or sequence of int
        Extents (H, W) of the images.
    kernel_size, dilation, padding, stride : int or sequence of int
        Those of `unfold`.

    Returns
    -------
    ndarray
        (N, C, H, W) or (C, H, W), of the input's dtype.

    Raises
    ------
    TypeError
        If the dtype is not floating, or a number is no integer.
    ValueError
        If the input has not the shape that `unfold` gives for these numbers, or a number is out of
        range.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.nn.fold([[[1.0, 2.0], [2.0, 3.0]]], (1, 3), (1, 2))
    array([[[[1., 4., 3.]]]])
    """
    return _layers.fold(input, output_size, kernel_size, dilation, padding, stride)
