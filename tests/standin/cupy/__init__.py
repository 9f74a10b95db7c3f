"""
A stand-in for CuPy 14 on machines without a GPU.

Its arrays lie in host memory and are computed with by NumPy; its RawModule compiles CUDA C++ with
the host's compiler and runs it (emulator.hpp). It imitates what fastconv and its tests use, and is
stricter than CuPy where CuPy would only be slower or undefined: arrays of one device are not
computed with on another, new memory is full of NaNs, and `cupy._standin.check_guards` tells whether
anything was written beside an array.
"""

from __future__ import annotations

import numpy as np
from numpy import e, euler_gamma, inf, nan, newaxis, pi

from cupy import _array, _standin, cuda, fft, linalg
from cupy._array import accepts, call, copied, ndarray, new, supported, wrapped, wrapped_ufunc
from cupy._emulator import RawKernel, RawModule
from cupy.cuda import Device, is_available

__version__ = "14.2.0"

_TYPES = (
    "bool bool_ byte cdouble complex128 complex64 complexfloating csingle double dtype finfo "
    "float16 float32 float64 floating generic half iinfo inexact int16 int32 int64 int8 int_ intc "
    "integer intp long longlong number short signedinteger single ubyte uint uint16 uint32 uint64 "
    "uint8 uintc uintp ulong ulonglong unsignedinteger ushort"
)
_HOST_FUNCTIONS = (
    "broadcast_shapes can_cast common_type isscalar issubdtype iterable min_scalar_type "
    "promote_types"
)
_UFUNCS = (
    "abs absolute add arccos arccosh arcsin arcsinh arctan arctan2 arctanh bitwise_and "
    "bitwise_count bitwise_not bitwise_or bitwise_xor cbrt ceil conj conjugate copysign cos cosh "
    "deg2rad degrees divide divmod equal exp exp2 expm1 fabs float_power floor floor_divide fmax "
    "fmin fmod frexp gcd greater greater_equal heaviside hypot invert isfinite isinf isnan lcm "
    "ldexp left_shift less less_equal log log10 log1p log2 logaddexp logaddexp2 logical_and "
    "logical_not logical_or logical_xor matmul maximum minimum mod modf multiply negative "
    "nextafter not_equal positive power rad2deg radians reciprocal remainder right_shift rint sign "
    "signbit sin sinh sqrt square subtract tan tanh true_divide trunc"
)
_FUNCTIONS = (
    "all amax amin angle any append argmax argmin argpartition argsort argwhere around array_split "
    "astype atleast_1d atleast_2d atleast_3d average bincount broadcast_arrays broadcast_to choose "
    "clip column_stack compress concatenate convolve copyto corrcoef correlate count_nonzero cov "
    "cross cumprod cumsum delete diag diagflat diagonal diff digitize dot dsplit dstack einsum "
    "expand_dims extract fill_diagonal fix flatnonzero flip fliplr flipud gradient histogram "
    "hsplit hstack i0 imag inner interp isclose iscomplex isin isneginf isposinf isreal kron "
    "lexsort matrix_transpose max may_share_memory mean median min moveaxis nan_to_num nanargmax "
    "nanargmin nancumprod nancumsum nanmax nanmean nanmedian nanmin nanprod nanstd nansum nanvar "
    "ndim nonzero ones_like outer packbits pad partition percentile place prod ptp put putmask "
    "quantile ravel real repeat reshape resize roll rollaxis rot90 round searchsorted select shape "
    "shares_memory sinc size sort split squeeze stack std sum swapaxes take take_along_axis "
    "tensordot tile trace transpose trapezoid tril trim_zeros triu unique unpackbits unwrap var "
    "vdot vsplit vstack where"
)
_CREATION = (
    "arange bartlett blackman eye full geomspace hamming hanning identity indices ix_ kaiser "
    "linspace logspace meshgrid ones tri zeros"
)


def _creating(function):
    def create(*args, **kwargs):
        return call(function, args, kwargs)

    create.__name__ = function.__name__
    return create


# Not as this module's globals: they would hide Python's own functions from it.
_numpys = {
    name: make(getattr(np, name))
    for names, make in (
        (f"{_TYPES} {_HOST_FUNCTIONS}", lambda same: same),
        (_UFUNCS, wrapped_ufunc),
        (_FUNCTIONS, wrapped),
        (_CREATION, _creating),
    )
    for name in names.split()
}


def __getattr__(name):
    try:
        return _numpys[name]
    except KeyError:
        raise AttributeError(f"module 'cupy' has no attribute {name!r}") from None


def array(obj, dtype=None, copy=True, order="K", subok=False, ndmin=0, *, blocking=False):
    order = order or "K"
    if isinstance(obj, ndarray):
        if obj.data.device_id != cuda.get_device_id():
            obj, copy = obj.copy("K"), False
        result = obj.astype(obj.dtype if dtype is None else dtype, order=order, copy=copy)
        return result if result.ndim >= ndmin else result[(newaxis,) * (ndmin - result.ndim)]
    if isinstance(obj, (list, tuple)) and obj and all(isinstance(part, ndarray) for part in obj):
        host = np.array([_array.within(part, []) for part in obj], dtype, ndmin=ndmin)
        return copied(host, order)
    if not isinstance(obj, np.ndarray) or order not in "FC":
        order = "F" if isinstance(obj, np.ndarray) and obj.flags.f_contiguous else "C"
    host = np.array(obj, dtype=dtype, copy=None, order=order, ndmin=ndmin)
    if host.dtype.char not in _array.CHARACTERS:
        raise ValueError(f"Unsupported dtype {host.dtype}")
    return copied(host.astype(host.dtype.newbyteorder("="), copy=False), order)


def asarray(a, dtype=None, order=None, *, blocking=False):
    return array(a, dtype, False, order)


asanyarray = asarray


def _contiguous(a, dtype, order):
    if not isinstance(a, ndarray):
        raise TypeError(f"Argument 'a' has incorrect type (expected ndarray, got {type(a)})")
    return _numpys["atleast_1d"](array(a, dtype, False, order))


def ascontiguousarray(a, dtype=None):
    return _contiguous(a, dtype, "C")


def asfortranarray(a, dtype=None):
    return _contiguous(a, dtype, "F")


def copy(a, order="K"):
    return a.copy(order)


def asnumpy(a, stream=None, order="C", out=None, *, blocking=True):
    if isinstance(a, ndarray):
        return a.get(stream, order, out)
    if out is not None:
        np.copyto(out, a)
        return out
    return np.asarray(a, order=order)


def empty(shape, dtype=float, order="C"):
    return ndarray(shape, dtype, order=order)


def _like(prototype, dtype, order, shape):
    if not isinstance(prototype, ndarray):
        raise TypeError(f"Unsupported type {type(prototype)}")
    like = np.empty_like(prototype._host, order=order, shape=shape)
    dtype = supported(prototype.dtype if dtype is None else dtype)
    order = sorted(range(like.ndim), key=lambda axis: -like.strides[axis])
    result = new([like.shape[axis] for axis in order], dtype)
    return result.transpose(np.argsort(order)) if order != sorted(order) else result


def empty_like(prototype, dtype=None, order="K", subok=None, shape=None):
    return _like(prototype, dtype, order, shape)


def zeros_like(a, dtype=None, order="K", subok=None, shape=None):
    return full_like(a, 0, dtype, order, subok, shape)


def full_like(a, fill_value, dtype=None, order="K", subok=None, shape=None):
    result = _like(a, dtype, order, shape)
    result.fill(fill_value)
    return result


def result_type(*arrays_and_dtypes):
    return np.result_type(*(a.dtype if isinstance(a, ndarray) else a for a in arrays_and_dtypes))


def isrealobj(x):
    return x.dtype.kind != "c"


def iscomplexobj(x):
    return x.dtype.kind == "c"


def array_equal(a1, a2, equal_nan=False):
    return array(np.array_equal(*_hosts(a1, a2), equal_nan))


def allclose(a, b, rtol=1e-5, atol=1e-8, equal_nan=False):
    return array(np.allclose(*_hosts(a, b), rtol, atol, equal_nan))


def _hosts(*arrays):
    if not all(accepts(a, False) for a in arrays):
        raise TypeError("CuPy compares device arrays and scalars")
    return [_array.within(a, []) for a in arrays]


def get_array_module(*args):
    return _module() if any(isinstance(a, ndarray) for a in args) else np


def _module():
    import cupy

    return cupy


class MemoryPool:
    """Nothing is kept."""

    def free_all_blocks(self, stream=None):
        pass

    def used_bytes(self):
        return 0

    def total_bytes(self):
        return 0


def get_default_memory_pool():
    return MemoryPool()


__all__ = [
    "Device",
    "RawKernel",
    "RawModule",
    "_standin",
    "cuda",
    "e",
    "euler_gamma",
    "fft",
    "inf",
    "is_available",
    "linalg",
    "nan",
    "ndarray",
    "pi",
]
