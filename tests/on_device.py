"""fastconv's public functions on a GPU: NumPy's arrays go there and come back, unseen by the tests.

`pytest --backend=standin` or `--backend=cupy` puts what stands here around the functions. An array
keeps its dtype, shape and strides on the way, and arrays that share memory share it there, too.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import threading

import numpy as np
import pytest
from backend import HOST_METHODS
from numpy.lib.array_utils import byte_bounds

# The dtypes that live on a GPU.
CHARACTERS = frozenset("?bBhHiIlLqQefdFD")
# The parameters that take arrays, and those of them that are written.
_ARRAYS = (
    "in1 in2 a v input weights hrow hcol x w bias grad image template w_zero_point out output data"
)
ARRAYS = frozenset(_ARRAYS.split())
WRITTEN = frozenset({"out", "output"})
# Addresses modulo this are kept, as far as elements are aligned there.
ALIGNMENT = 256


class _Depth(threading.local):
    """How many wrapped functions this thread is in: the inner ones get what is on the device."""

    value = 0


_depth = _Depth()


class _Region:
    """Memory that some arrays of a call share: its bytes here, and their copy on the device."""

    def __init__(self, low, high, first):
        import cupy

        self.low = low
        self.offset = (low - _allocation(first)) % ALIGNMENT
        misplaced = (self.offset + _address(first) - low) % first.dtype.alignment
        self.offset = (self.offset - misplaced) % ALIGNMENT
        self.bytes = _bytes(first, low, high)
        self.before = self.bytes.copy()
        self.buffer = cupy.empty(self.offset + len(self.bytes), np.uint8)
        self.buffer[self.offset :].set(self.bytes)
        self.written = False

    def view(self, array):
        import cupy

        place = self.offset + _address(array) - self.low
        aligned = place % array.dtype.alignment == 0
        if not aligned or any(s % array.dtype.alignment for s in array.strides):
            pytest.skip("elements that are not aligned do not live on a GPU")
        data = self.buffer.data + place
        return cupy.ndarray(array.shape, array.dtype, memptr=data, strides=array.strides)

    def come_back(self):
        after = self.buffer[self.offset :].get()
        if self.written:
            self.bytes[...] = after
        else:
            np.testing.assert_array_equal(after, self.before, "an argument was written")


def _address(array):
    return array.__array_interface__["data"][0]


def _allocation(array):
    """The address of the outermost array that an array is a view of."""
    outermost, low = array, byte_bounds(array)[0]
    while isinstance(outermost.base, np.ndarray):
        outermost = outermost.base
    start, end = byte_bounds(outermost)
    return start if start <= low < end else low


def _bytes(array, low, high):
    """The bytes of host memory from one address to another, which hold an array."""
    interface = {"data": (low, not array.flags.writeable), "shape": (high - low,), "version": 3}
    return np.asarray(_Memory(interface | {"typestr": "|u1"}, array))


class _Memory:
    """Memory that an array owns, told of by NumPy's protocol."""

    def __init__(self, interface, owner):
        self.__array_interface__ = interface
        self.owner = owner


class Journey:
    """The NumPy arrays of one call, there and back."""

    def __init__(self, arrays):
        for array in arrays:
            if array.dtype.char not in CHARACTERS or not array.dtype.isnative:
                _cannot_be_there(array.dtype)
        self._regions = []
        self._there = {}
        bounds = sorted((*byte_bounds(a), i) for i, a in enumerate(arrays) if a.size)
        while bounds:
            low, high, first = bounds[0]
            members = []
            while bounds and bounds[0][0] < high:
                high = max(high, bounds[0][1])
                members.append(arrays[bounds.pop(0)[2]])
            region = _Region(low, high, arrays[first])
            self._regions.append(region)
            for array in members:
                self._there[id(array)] = region.view(array), array, region

    def there(self, array, written=False):
        """The array on the device."""
        import cupy

        if id(array) not in self._there:  # it has no elements
            self._there[id(array)] = cupy.empty(array.shape, array.dtype), array, None
        on_device, _, region = self._there[id(array)]
        if region is not None and written:
            region.written = True
        return on_device

    def come_back(self):
        """Bring what was written back; what was not must be what it was."""
        for region in self._regions:
            region.come_back()
        check_guards()

    def here(self, result):
        """A result, in host memory."""
        import cupy

        if isinstance(result, cupy.ndarray):
            for on_device, array, _ in self._there.values():
                if result is on_device:
                    return array
            return result.get(order="A")
        if type(result) in (tuple, list):
            return type(result)(map(self.here, result))
        return result


def _cannot_be_there(dtype):
    _skip(f"arrays of {dtype!r} do not live on a GPU")


def _skip(reason):
    """Skip the test, or let Hypothesis try another example."""
    import hypothesis

    if hypothesis.currently_in_test_context():
        hypothesis.reject()
    pytest.skip(reason)


def check_guards():
    """On the stand-in: raise where something beside an array was written."""
    import cupy

    if hasattr(cupy, "_standin"):
        cupy._standin.check_guards()


def _is_there(value):
    import cupy

    return isinstance(value, cupy.ndarray)


def _travel(signature, args, kwargs, call, leading=0):
    """Call with arguments that are on the device; return the result in host memory.

    The first so many arguments stay what they are, without a name in the signature.
    """
    import fastconv

    names = [p.name for p in signature.parameters.values() if p.kind <= p.POSITIONAL_OR_KEYWORD]
    named = [*zip(names, args[leading:], strict=False), *kwargs.items()]
    travellers = [v for name, v in named if name in ARRAYS and isinstance(v, np.ndarray)]
    journey = Journey(list({id(v): v for v in travellers}.values()))

    def moved(name, value):
        if name in ARRAYS and isinstance(value, np.ndarray):
            return journey.there(value, written=name in WRITTEN)
        if isinstance(value, fastconv.Spec) and value.device is None:
            return fastconv.Spec(value.shape, value.dtype, device="cuda")
        if name == "method" and isinstance(value, str) and value in HOST_METHODS:
            _skip(f"the method {value!r} is the host's")
        if name.startswith("derivative") and callable(value):
            return _on_host(value)
        return value

    positional = [moved(name, v) for name, v in zip(names, args[leading:], strict=False)]
    positional += args[leading + len(positional) :]
    keywords = {name: moved(name, value) for name, value in kwargs.items()}
    _depth.value += 1
    try:
        result = call(*args[:leading], *positional, **keywords)
    except ValueError as error:
        if str(error).startswith("Unsupported dtype"):  # of a result
            _skip(f"on a GPU: {error}")
        raise
    finally:
        _depth.value -= 1
    if not travellers and any(_is_there(value) for _, value in named):
        check_guards()
        return result  # the test itself put its arrays on the device
    journey.come_back()
    return journey.here(result)


def _on_host(function):
    """A callback of a test, which takes NumPy's arrays and writes into them."""

    @functools.wraps(function)
    def with_host_arrays(*args, **kwargs):
        import cupy

        copies = {id(a): (a, a.get()) for a in (*args, *kwargs.values()) if _is_there(a)}

        def here(value):
            return copies[id(value)][1] if id(value) in copies else value

        depth, _depth.value = _depth.value, 0
        try:
            result = function(*map(here, args), **{k: here(v) for k, v in kwargs.items()})
        finally:
            _depth.value = depth
        for on_device, copy in copies.values():
            on_device[...] = cupy.asarray(copy)
        for on_device, copy in copies.values():
            if result is copy:
                return on_device
        comes_from_there = copies and isinstance(result, np.ndarray)
        return cupy.asarray(result) if comes_from_there else result

    return with_host_arrays


@functools.cache
def moving(function):
    """A public function that takes its NumPy arrays to the device and back."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def on_device(*args, **kwargs):
        if _depth.value:
            return function(*args, **kwargs)
        return _travel(signature, args, kwargs, function)

    return on_device


def _by_the_hosts_names(candidates):
    """Methods as the tests know them: 'direct' for 'gpu_direct'."""
    return tuple(dataclasses.replace(c, name=_hosts_name(c.name)) for c in candidates)


def _hosts_name(method):
    return method.removeprefix("gpu_")


class DevicePlan:
    """A plan that takes its data to the device, and its result back."""

    _SIGNATURE = inspect.Signature(
        [inspect.Parameter(n, inspect.Parameter.POSITIONAL_OR_KEYWORD) for n in ("data", "out")]
    )

    def __init__(self, plan):
        self._plan = plan

    @property
    def __class__(self):
        return type(self._plan)

    def __reduce_ex__(self, protocol):
        return DevicePlan, (self._plan,)

    def __call__(self, *args, **kwargs):
        return _travel(self._SIGNATURE, args, kwargs, self._plan)

    @property
    def method(self):
        return _hosts_name(self._plan.method)

    @property
    def candidates(self):
        return _by_the_hosts_names(self._plan.candidates)

    def __getattr__(self, name):
        return getattr(self._plan, name)

    def __repr__(self):
        return repr(self._plan)

    def __str__(self):
        return str(self._plan)


def _moving_planner(planner):
    """`plan` or `explain`: the arguments of the function that they are told of go to the device."""

    @functools.wraps(planner)
    def on_device(*args, **kwargs):
        if _depth.value or not args or not callable(args[0]):
            return planner(*args, **kwargs)
        try:
            signature = inspect.signature(args[0])
        except ValueError:  # a function of C
            return planner(*args, **kwargs)
        result = _travel(signature, args, kwargs, planner, leading=1)
        import fastconv

        if isinstance(result, fastconv.Plan):
            return DevicePlan(result)
        told = {
            "chosen": _hosts_name(result.chosen),
            "candidates": _by_the_hosts_names(result.candidates),
        }
        return dataclasses.replace(result, **told)

    return on_device


def move_everything():
    """Put the above around every public function of arrays, wherever tests find it."""
    import fastconv

    planners = {name: _moving_planner(getattr(fastconv, name)) for name in ("plan", "explain")}
    fronts = (fastconv.signal, fastconv.ndimage, fastconv.numpy, fastconv.nn, fastconv.template)
    for module in (*fronts, fastconv):
        for name in module.__all__:
            function = getattr(module, name)
            if inspect.isfunction(function) and ARRAYS & set(
                inspect.signature(function).parameters
            ):
                setattr(module, name, moving(function))
    for name, planner in planners.items():
        setattr(fastconv, name, planner)
