"""Arrays on a device that lies in host memory: CuPy's class, and NumPy's functions on it."""

from __future__ import annotations

import functools
import warnings

import numpy as np

from cupy import _memory
from cupy._memory import MemoryPointer
from cupy.cuda import Device

# The dtypes that CuPy holds.
CHARACTERS = frozenset("?bBhHiIlLqQefdFD")


def supported(dtype):
    """Return a dtype that CuPy holds."""
    dtype = np.dtype(dtype)
    if dtype.char not in CHARACTERS:
        raise ValueError(f"Unsupported dtype {dtype}")
    if not dtype.isnative:
        raise ValueError(f"Unsupported dtype {dtype.str} with big-endian byte-order")
    return dtype


def is_scalar(value):
    return isinstance(value, (bool, int, float, complex, np.bool_, np.number))


class Flags:
    """Contiguity and ownership; CuPy tells no more."""

    def __init__(self, c_contiguous, f_contiguous, owndata):
        self.c_contiguous = c_contiguous
        self.f_contiguous = f_contiguous
        self.owndata = owndata

    @property
    def forc(self):
        return self.f_contiguous or self.c_contiguous

    @property
    def fnc(self):
        return self.f_contiguous and not self.c_contiguous

    def __getitem__(self, name):
        return {
            "C_CONTIGUOUS": self.c_contiguous,
            "F_CONTIGUOUS": self.f_contiguous,
            "OWNDATA": self.owndata,
        }[name]


# --- between device arrays and the NumPy arrays within them ---------------------------------------


def made(shape, dtype, order="C"):
    """A NumPy array in new device memory."""
    dtype = supported(dtype)
    memory = _memory.Memory(int(np.prod(shape, dtype=object)) * dtype.itemsize)
    return np.ndarray(shape, dtype, memory.bytes, order=order), memory


def new(shape, dtype, order="C"):
    """A device array, uninitialised."""
    return owned(*made(shape, dtype, order))


def owned(array, memory):
    return adopt(array, MemoryPointer(memory, address(array) - memory.ptr), None)


def adopt(array, data, base):
    result = ndarray.__new__(ndarray)
    result._host = array
    result.data = data
    result.base = base
    return result


def address(array):
    return array.__array_interface__["data"][0]


def copied(array, order="K"):
    """A device array with a host array's values."""
    dtype = supported(array.dtype)
    like = np.empty_like(array, order=order, subok=False)
    memory = _memory.Memory(like.nbytes)
    result = np.ndarray(like.shape, dtype, memory.bytes, strides=like.strides)
    result[...] = array
    return owned(result, memory)


def back(result, arguments):
    """What NumPy returned, as CuPy returns it: device arrays, also for scalars."""
    if isinstance(result, np.ndarray):
        for argument in arguments:
            if result is argument._host:
                return argument
        for argument in arguments:
            memory = argument.data.mem
            if result.size and memory.holds(address(result)):
                data = MemoryPointer(memory, address(result) - memory.ptr)
                base = argument if argument.base is None else argument.base
                return adopt(result, data, base)
        return copied(result)
    if isinstance(result, np.generic):
        return copied(np.asarray(result))
    if isinstance(result, (list, tuple)):
        parts = [back(part, arguments) for part in result]
        return type(result)(*parts) if hasattr(result, "_fields") else type(result)(parts)
    return result


def within(value, arguments, checked=True):
    """The host array of a device array, also within lists; a host array is refused."""
    if isinstance(value, ndarray):
        current = _memory.current.id
        if checked and value.data.device_id != current:
            raise ValueError(
                "Array device must be same as the current device: "
                f"array device = {value.data.device_id} while current = {current}"
            )
        arguments.append(value)
        return value._host
    if isinstance(value, np.ndarray) and value.ndim:
        raise TypeError(f"Unsupported type {type(value)}")
    if type(value) in (list, tuple):
        return type(value)(within(part, arguments, checked) for part in value)
    return value


def call(function, args, kwargs, checked=True):
    """Run NumPy's function on the host arrays of device arrays."""
    arguments = []
    args = [within(a, arguments, checked) for a in args]
    kwargs = {name: within(a, arguments, checked) for name, a in kwargs.items()}
    with np.errstate(all="ignore"):  # CuPy warns of no overflow
        return back(function(*args, **kwargs), arguments)


def wrapped(function, of_lists=True):
    """NumPy's function for device arrays."""

    @functools.wraps(function, updated=())
    def on_device(*args, **kwargs):
        for value in args[: 1 if of_lists else None]:
            if not accepts(value, of_lists):
                raise TypeError(f"Unsupported type {type(value)}")
        return call(function, args, kwargs)

    return on_device


def accepts(value, of_lists):
    """Whether CuPy takes a value for an array: no list but one of arrays or for a shape."""
    if isinstance(value, (list, tuple)):
        return of_lists and all(isinstance(part, ndarray) for part in value)
    if isinstance(value, str):
        return of_lists  # einsum's first argument
    return value is None or is_scalar(value) or isinstance(value, (ndarray, np.ndarray))


def wrapped_ufunc(ufunc):
    """NumPy's ufunc for device arrays."""
    result = wrapped(ufunc, of_lists=False)
    result.nin, result.nout = ufunc.nin, ufunc.nout
    return result


# --- the class ------------------------------------------------------------------------------------


def _method(name, checked=True):
    def method(self, *args, **kwargs):
        return call(getattr(np.ndarray, name), (self, *args), kwargs, checked)

    method.__name__ = name
    return method


def _operator(name, ufunc):
    on_device = wrapped_ufunc(ufunc)

    def method(self, other):
        if not isinstance(other, (ndarray, np.ndarray)) and not is_scalar(other):
            return NotImplemented
        return on_device(self, other)

    method.__name__ = name
    return method


def _reflected(name, ufunc):
    on_device = wrapped_ufunc(ufunc)

    def method(self, other):
        if not isinstance(other, np.ndarray) and not is_scalar(other):
            return NotImplemented
        return on_device(other, self)

    method.__name__ = name
    return method


def _in_place(name, ufunc):
    on_device = wrapped_ufunc(ufunc)

    def method(self, other):
        return on_device(self, other, out=self)

    method.__name__ = name
    return method


def _unary(name, ufunc):
    on_device = wrapped_ufunc(ufunc)

    def method(self):
        return on_device(self)

    method.__name__ = name
    return method


def _is_basic(index):
    parts = index if isinstance(index, tuple) else (index,)
    return all(
        part is None
        or part is Ellipsis
        or isinstance(part, (slice, np.integer))
        or (isinstance(part, int) and not isinstance(part, bool))
        for part in parts
    )


class ndarray:  # noqa: N801 - CuPy's name
    """An array on a device."""

    __array_priority__ = 100
    __hash__ = None

    def __init__(self, shape, dtype=float, memptr=None, strides=None, order="C"):
        if (order or "C") not in ("C", "F"):
            raise ValueError(f"order not understood. order={order}")
        shape = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
        if memptr is None:
            if strides is not None:
                raise ValueError("memptr is required if strides is given.")
            self._host, memory = made(shape, dtype, order or "C")
            memptr = MemoryPointer(memory, 0)
        else:
            memory, dtype = memptr.mem, supported(dtype)
            offset = memptr.ptr - memory.ptr
            self._host = np.ndarray(shape, dtype, memory.bytes, offset, strides, order or "C")
        self.data = memptr
        self.base = None

    # --- what it is ---

    @property
    def shape(self):
        return self._host.shape

    @shape.setter
    def shape(self, shape):
        reshaped = self._host.view()
        reshaped.shape = shape
        self._host = reshaped

    @property
    def dtype(self):
        return self._host.dtype

    @property
    def ndim(self):
        return self._host.ndim

    @property
    def size(self):
        return self._host.size

    @property
    def itemsize(self):
        return self._host.itemsize

    @property
    def nbytes(self):
        return self._host.nbytes

    @property
    def strides(self):
        return self._host.strides

    @property
    def flags(self):
        flags = self._host.flags
        return Flags(flags.c_contiguous, flags.f_contiguous, self.base is None)

    @property
    def device(self):
        return Device(self.data.device_id)

    @property
    def T(self):  # noqa: N802 - CuPy's name
        return self.transpose()

    @property
    def mT(self):  # noqa: N802 - CuPy's name
        return self.swapaxes(-1, -2)

    @property
    def real(self):
        return self if self.dtype.kind != "c" else back(self._host.real, [self])

    @real.setter
    def real(self, value):
        self._set(self._host.real, ..., value)

    @property
    def imag(self):
        return back(self._host.imag, [self])

    @imag.setter
    def imag(self, value):
        if self.dtype.kind != "c":
            raise TypeError("cupy.ndarray does not have imaginary part to set")
        self._set(self._host.imag, ..., value)

    @property
    def __cuda_array_interface__(self):
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "descr": self.dtype.descr,
            "version": 3,
            "stream": 1,
            "strides": None if self.flags.c_contiguous else self.strides,
            "data": (self.data.ptr if self.size else 0, False),
        }

    # --- to and from the host ---

    def __array__(self, dtype=None, copy=None):
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )

    def get(self, stream=None, order="C", out=None, blocking=True):
        if out is None:
            return self._host.copy(order)
        if out.dtype != self.dtype:
            raise TypeError(f"{out.dtype} array cannot be obtained from {self.dtype} array")
        if out.shape != self.shape:
            raise ValueError(f"Shape mismatch. Expected shape: {self.shape}, actual: {out.shape}")
        if not (out.flags.c_contiguous or out.flags.f_contiguous):
            raise RuntimeError("`out` cannot be specified when copying to non-contiguous ndarray")
        out[...] = self._host
        return out

    def set(self, arr, stream=None):
        if not isinstance(arr, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if arr.dtype != self.dtype:
            raise TypeError(f"{arr.dtype} array cannot be set to {self.dtype} array")
        if arr.shape != self.shape:
            raise ValueError(f"Shape mismatch. Old shape: {self.shape}, new shape: {arr.shape}")
        if not self.flags.forc:
            raise RuntimeError("Cannot set to non-contiguous array")
        self._host[...] = arr

    def item(self):
        if self.size != 1:
            raise ValueError("can only convert an array of size 1 to a Python scalar")
        return self._host.item()

    def tolist(self):
        return self._host.tolist()

    def tobytes(self, order="C"):
        return self._host.tobytes(order)

    def __bool__(self):
        return bool(self._host)

    def __int__(self):
        return int(self.get())

    def __float__(self):
        return float(self.get())

    def __complex__(self):
        return complex(self.get())

    def __repr__(self):
        return repr(self._host)

    def __str__(self):
        return str(self._host)

    def __format__(self, spec):
        return format(self.get(), spec)

    # --- copies ---

    def copy(self, order="C"):
        return copied(self._host.copy(order), "K")

    def astype(self, dtype, order="K", casting=None, subok=None, copy=True):
        if casting is not None or subok is not None:
            raise TypeError("casting and subok are not supported yet")
        dtype = supported(dtype)
        if self.dtype.kind == "c" and dtype.kind not in "bc":
            warnings.warn(
                "Casting complex values to real discards the imaginary part",
                np.exceptions.ComplexWarning,
                stacklevel=2,
            )
        as_it_is = dtype == self.dtype and (
            order in ("K", "A")
            or (order == "C" and self.flags.c_contiguous)
            or (order == "F" and self.flags.f_contiguous)
        )
        if as_it_is and not copy:
            return self
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", np.exceptions.ComplexWarning)
            return copied(self._host.astype(dtype, order=order), "K")

    def __copy__(self):
        return self.copy()

    def __deepcopy__(self, memo):
        with self.device:
            return self.copy()

    def __reduce__(self):
        from cupy import array

        return array, (self.get(),)

    # --- items ---

    def __len__(self):
        if not self.ndim:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    def __iter__(self):
        if not self.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(self.shape[0]))

    def _index(self, index):
        if _is_basic(index):
            parts = index if isinstance(index, tuple) else (index,)
            return parts if any(part is Ellipsis for part in parts) else (*parts, Ellipsis)
        if isinstance(index, tuple):
            return tuple(p._host if isinstance(p, ndarray) else p for p in index)
        return index._host if isinstance(index, ndarray) else index

    def __getitem__(self, index):
        return back(self._host[self._index(index)], [self])

    def __setitem__(self, index, value):
        self._set(self._host, self._index(index), value)

    def _set(self, host, index, value):
        if not is_scalar(value) and not isinstance(value, (ndarray, np.ndarray)):
            raise TypeError(f"Unsupported type {type(value)}")
        arguments = []
        within(self, arguments)
        with np.errstate(all="ignore"):
            host[index] = within(value, arguments)

    def fill(self, value):
        self._set(self._host, ..., value)

    # --- as an operand of NumPy's functions ---

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        import cupy

        operands = inputs
        if "out" in kwargs:
            if len(kwargs["out"]) != 1:
                raise ValueError("The 'out' parameter must have exactly one array value")
            operands = inputs + kwargs["out"]
            kwargs["out"] = kwargs["out"][0]
        function = getattr(cupy, ufunc.__name__, None)
        if method != "__call__" or function is None:
            return NotImplemented
        for operand in operands:
            if not isinstance(operand, (ndarray, np.ndarray)) and not is_scalar(operand):
                return NotImplemented
        return function(*inputs, **kwargs)

    def __array_function__(self, function, types, args, kwargs):
        import cupy

        try:
            module = functools.reduce(getattr, function.__module__.split(".")[1:], cupy)
            ours = getattr(module, function.__name__)
        except AttributeError:
            return NotImplemented
        if ours is function or any(t not in (ndarray, np.ndarray) for t in types):
            return NotImplemented
        return ours(*args, **kwargs)


# Views are taken on any device; what computes runs on the current one.
for _name in ("reshape", "transpose", "swapaxes", "view", "ravel", "squeeze", "diagonal"):
    setattr(ndarray, _name, _method(_name, checked=False))
_METHODS = (
    "all any argmax argmin argpartition argsort choose clip compress conj conjugate cumprod cumsum "
    "dot flatten max mean min nonzero partition prod put repeat round searchsorted sort std sum "
    "take trace var"
)
for _name in _METHODS.split():
    setattr(ndarray, _name, _method(_name))
for _name, _ufunc in {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "matmul": np.matmul,
    "truediv": np.true_divide,
    "floordiv": np.floor_divide,
    "mod": np.remainder,
    "divmod": np.divmod,
    "pow": np.power,
    "lshift": np.left_shift,
    "rshift": np.right_shift,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
}.items():
    setattr(ndarray, f"__{_name}__", _operator(_name, _ufunc))
    setattr(ndarray, f"__r{_name}__", _reflected(_name, _ufunc))
    if _name not in ("matmul", "divmod"):
        setattr(ndarray, f"__i{_name}__", _in_place(_name, _ufunc))
for _name, _ufunc in {
    "lt": np.less,
    "le": np.less_equal,
    "eq": np.equal,
    "ne": np.not_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}.items():
    setattr(ndarray, f"__{_name}__", _operator(_name, _ufunc))
for _name, _ufunc in {"neg": np.negative, "abs": np.absolute, "invert": np.invert}.items():
    setattr(ndarray, f"__{_name}__", _unary(_name, _ufunc))
ndarray.__pos__ = lambda self: self
