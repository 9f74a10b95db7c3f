"""The calls of other libraries for a GPU's cases, where they have them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from fastconv._cli.bench._cases import Case, Convolution, Layer, bound
from fastconv._cli.bench._places import Call, optional

# Above this many products cuDNN's convolutions of one channel take a second: left out.
TORCH_PRODUCTS = 2e10
TORCH_AXES = 3


def by_cupyx(case: Case, arrays: Sequence[Any]) -> Call | None:
    """Return the call of the function of that name."""
    module = optional(f"cupyx.scipy.{case.family}", {}, "")
    function = getattr(module, case.function, None)
    if function is None:
        return None
    if (
        case.function in ("convolve", "correlate")
        and case.family == "signal"
        and arrays[0].ndim > 1
    ):
        function = functools.partial(function, method="direct")  # its 'auto' takes lines only
    return bound(function, case, arrays)


def by_transforms(case: Case, arrays: Sequence[Any]) -> Call | None:
    """Return the call of fftconvolve for what the plain functions compute, too."""
    module = optional("cupyx.scipy.signal", {}, "")
    if module is None or not isinstance(case, Convolution) or case.function == "fftconvolve":
        return None
    data, kernel = arrays
    if "boundary" in case.options or data.dtype.kind not in "fc" or kernel.dtype.kind not in "fc":
        return None
    if case.correlates:
        kernel = _flipped(kernel).conj()
    return functools.partial(module.fftconvolve, data, kernel, case.mode, axes=case.axes)


def by_torch(torch: ModuleType, case: Case, arrays: Sequence[Any]) -> Call | None:
    """Return PyTorch's call on the same memory, by cuDNN where it has a kernel for it."""
    if isinstance(case, Layer):
        return _layer(torch, case, arrays)
    if isinstance(case, Convolution) and _is_torchs(case, arrays):
        return _convolution(torch, case, arrays)
    return None


def _layer(torch: Any, case: Layer, arrays: Sequence[Any]) -> Call:
    first, second = map(torch.from_dlpack, arrays)
    if case.function == "conv2d":
        return functools.partial(torch.nn.functional.conv2d, first, second, **case.numbers)
    to_input = case.function == "conv2d_grad_input"
    absent = torch.empty(case.x if to_input else case.w, dtype=first.dtype, device=first.device)
    x, w = (absent, second) if to_input else (second, absent)
    return functools.partial(_gradient, torch, case, first, x, w)


def _gradient(torch: Any, case: Layer, grad: Any, x: Any, w: Any) -> Any:
    pairs = [[case.stride] * 2, [case.taps // 2] * 2, [1, 1]]
    wanted = [case.function == "conv2d_grad_input", case.function == "conv2d_grad_weight", False]
    backward = torch.ops.aten.convolution_backward
    gradients = backward(grad, x, w, None, *pairs, False, [0, 0], case.groups, wanted)
    return gradients[wanted.index(True)]


def _is_torchs(case: Convolution, arrays: Sequence[Any]) -> bool:
    """Whether PyTorch has such: real, with zeros around, and for 'same' with a centre."""
    data, kernel = arrays
    centred = case.mode == "valid" or (
        case.mode == "same" and all(kernel.shape[axis] % 2 for axis in case.axes)
    )
    return (
        centred
        and data.dtype == kernel.dtype
        and data.dtype.kind == "f"
        and "boundary" not in case.options
        and len(case.axes) <= TORCH_AXES
        and case.products <= TORCH_PRODUCTS
    )


def _convolution(torch: Any, case: Convolution, arrays: Sequence[Any]) -> Call:
    data, kernel = arrays
    data = data.reshape(-1, 1, *(data.shape[axis] for axis in case.axes))
    kernel = kernel.reshape(1, 1, *(kernel.shape[axis] for axis in case.axes))
    if not case.correlates:
        kernel = _flipped(kernel)
    padding = [n // 2 if case.mode == "same" else 0 for n in kernel.shape[2:]]
    function = getattr(torch.nn.functional, f"conv{len(case.axes)}d")
    x, w = map(torch.from_dlpack, (data, kernel))
    return functools.partial(function, x, w, padding=padding)


def _flipped(kernel: Any) -> Any:
    """Return a kernel reversed along all axes, in memory of its own."""
    return kernel[(np.s_[::-1],) * kernel.ndim].copy()
