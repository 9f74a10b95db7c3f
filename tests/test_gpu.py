"""CuPy's arrays through the public functions: where they live, what is mixed, what is chosen."""

import inspect

import numpy as np
import pytest

import fastconv
from fastconv import ndimage, nn, signal

# As they are: what is around them for the other tests gives methods the host's names.
explain, plan = inspect.unwrap(fastconv.explain), inspect.unwrap(fastconv.plan)

X = np.arange(48.0).reshape(6, 8)
W = np.array([[1.0, 2.0], [0.5, -1.0]])
LINE, TAPS = np.arange(9.0), np.array([1.0, 2.0, 3.0])
IMAGES = np.arange(96.0, dtype=np.float32).reshape(1, 3, 4, 8)
FILTERS = np.ones((2, 3, 3, 3), np.float32)
GRADS = np.ones((1, 2, 2, 6), np.float32)

# Functions of two arrays, with the names of their parameters and arrays for them.
PAIRS = {
    "convolve": (signal.convolve, {"in1": X, "in2": W}),
    "correlate": (signal.correlate, {"in1": X, "in2": W}),
    "fftconvolve": (signal.fftconvolve, {"in1": X, "in2": W}),
    "oaconvolve": (signal.oaconvolve, {"in1": X, "in2": W}),
    "convolve2d": (signal.convolve2d, {"in1": X, "in2": W}),
    "correlate2d": (signal.correlate2d, {"in1": X, "in2": W}),
    "numpy.convolve": (fastconv.numpy.convolve, {"a": LINE, "v": TAPS}),
    "numpy.correlate": (fastconv.numpy.correlate, {"a": LINE, "v": TAPS}),
    "ndimage.convolve": (ndimage.convolve, {"input": X, "weights": W}),
    "ndimage.correlate": (ndimage.correlate, {"input": X, "weights": W}),
    "ndimage.convolve1d": (ndimage.convolve1d, {"input": X, "weights": TAPS}),
    "ndimage.correlate1d": (ndimage.correlate1d, {"input": X, "weights": TAPS}),
    "match_template": (fastconv.match_template, {"image": X, "template": W}),
    "conv1d": (nn.conv1d, {"x": IMAGES[0], "w": np.ones((2, 4, 3), np.float32)}),
    "conv2d": (nn.conv2d, {"x": IMAGES, "w": FILTERS}),
    "conv3d": (nn.conv3d, {"x": IMAGES[None], "w": FILTERS[:, :1, None]}),
    "conv_transpose2d": (nn.conv_transpose2d, {"x": GRADS, "w": FILTERS}),
}
# What a function's result has the place of, where that is one array.
SINGLES = {
    "gaussian_filter": lambda x: ndimage.gaussian_filter(x, 1.0),
    "gaussian_filter1d": lambda x: ndimage.gaussian_filter1d(x, 1.0),
    "uniform_filter": lambda x: ndimage.uniform_filter(x, 3),
    "uniform_filter1d": lambda x: ndimage.uniform_filter1d(x, 3),
    "sobel": ndimage.sobel,
    "prewitt": ndimage.prewitt,
    "laplace": ndimage.laplace,
    "gaussian_laplace": lambda x: ndimage.gaussian_laplace(x, 1.0),
    "gaussian_gradient_magnitude": lambda x: ndimage.gaussian_gradient_magnitude(x, 1.0),
    "unfold": lambda x: nn.unfold(x[None], 3),
    "conv2d_grad_bias": lambda x: nn.conv2d_grad_bias(x[None]),
}


def there(cupy, arrays):
    return {name: cupy.asarray(a) for name, a in arrays.items()}


# --- where arrays live ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAIRS)
def test_results_live_where_the_arguments_do(name, cupy):
    function, arrays = PAIRS[name]
    expected = function(**arrays)
    result = function(**there(cupy, arrays))
    assert isinstance(result, cupy.ndarray)
    assert result.dtype == expected.dtype
    np.testing.assert_allclose(result.get(), expected, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("name", SINGLES)
def test_results_of_one_array_live_where_it_does(name, cupy):
    expected = SINGLES[name](X)
    result = SINGLES[name](cupy.asarray(X))
    assert isinstance(result, cupy.ndarray)
    assert result.dtype == expected.dtype
    np.testing.assert_allclose(result.get(), expected, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("name", PAIRS)
def test_lists_go_where_the_arrays_are(name, cupy):
    function, arrays = PAIRS[name]
    first, second = arrays
    if name.startswith("conv") and arrays[first].dtype == np.float32:
        pytest.skip("a list of a layer's weights is float64")
    result = function(**{first: cupy.asarray(arrays[first]), second: arrays[second].tolist()})
    assert isinstance(result, cupy.ndarray)
    np.testing.assert_allclose(result.get(), function(**arrays), rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("name", PAIRS)
def test_arrays_that_are_apart_are_refused(name, cupy):
    function, arrays = PAIRS[name]
    first, second = arrays
    mixed = {first: arrays[first], second: cupy.asarray(arrays[second])}
    with pytest.raises(TypeError, match=rf"{first} is a NumPy array, {second} is on cuda:0: move"):
        function.__wrapped__(**mixed)
    mixed = {first: cupy.asarray(arrays[first]), second: arrays[second]}
    with pytest.raises(TypeError, match=rf"{second} is a NumPy array, {first} is on cuda:0: move"):
        function.__wrapped__(**mixed)


def test_other_arguments_that_are_apart_are_refused(cupy):
    x, images, filters = map(cupy.asarray, (X, IMAGES, FILTERS))
    with pytest.raises(TypeError, match="bias is a NumPy array"):
        nn.conv2d.__wrapped__(images, filters, np.ones(2, np.float32))
    with pytest.raises(TypeError, match="out must be an array on cuda:0"):
        signal.convolve.__wrapped__(x, x, "same", out=np.empty(X.shape))
    with pytest.raises(TypeError, match="output is a NumPy array"):
        ndimage.sobel.__wrapped__(x, output=np.empty(X.shape))
    with pytest.raises(TypeError, match="hrow is a NumPy array"):
        signal.sepfir2d.__wrapped__(x, TAPS, cupy.asarray(TAPS))
    with pytest.raises(TypeError, match="out must be a NumPy array"):
        signal.convolve.__wrapped__(X, W, "same", out=cupy.empty(X.shape))
    planned = plan(signal.convolve.__wrapped__, x, [[1.0, 2.0]])
    with pytest.raises(TypeError, match="data is on cpu; the plan was made for cuda:0"):
        planned(X)


def test_two_devices_are_not_mixed(cupy):
    if cupy.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("there is one GPU")
    x = cupy.asarray(X)
    with cupy.cuda.Device(1):
        w = cupy.asarray(W)
    with pytest.raises(TypeError, match="in2 is on cuda:1, in1 is on cuda:0: move one"):
        signal.convolve(x, w)


@pytest.mark.parametrize("name", [*PAIRS, *SINGLES])
def test_work_is_done_on_the_device_of_the_arrays(name, cupy):
    if not hasattr(cupy, "_standin"):
        pytest.skip("CuPy does not tell what was launched where")
    with cupy.cuda.Device(1):
        single = name in SINGLES
        arrays = {"x": cupy.asarray(X)} if single else there(cupy, PAIRS[name][1])
    cupy._standin.launches.clear()
    function = SINGLES[name] if single else PAIRS[name][0]
    result = function(*arrays.values()) if single else function(**arrays)
    assert result.device.id == 1
    assert {device for _, device, _ in cupy._standin.launches} <= {1}


def test_kernels_run_in_the_current_stream(cupy):
    if not hasattr(cupy, "_standin"):
        pytest.skip("CuPy does not tell what was launched where")
    x = cupy.asarray(X)
    signal.convolve(x, cupy.asarray(W))  # what is kept is made now
    cupy._standin.launches.clear()
    with cupy.cuda.Stream() as stream:
        signal.convolve(x, cupy.asarray(W))
    assert {used.ptr for _, _, used in cupy._standin.launches} == {stream.ptr}


def test_outs_are_written_and_returned(cupy):
    x, w = cupy.asarray(X), cupy.asarray(W)
    out = cupy.empty((7, 9))
    assert signal.convolve(x, w, out=out) is out
    np.testing.assert_allclose(out.get(), signal.convolve(X, W))
    filtered = cupy.empty(X.shape, np.float32)
    assert ndimage.gaussian_filter(x, 1.0, output=filtered) is filtered
    ndimage.sobel(x, output=x)  # in place
    np.testing.assert_allclose(x.get(), ndimage.sobel(X))


def test_outs_that_overlap_are_refused(cupy):
    x, w = cupy.asarray(X), cupy.asarray(W)
    with pytest.raises(ValueError, match="out overlaps input 1"):
        signal.convolve(x, w, "same", out=x)
    with pytest.raises(ValueError, match="out overlaps input 1"):
        signal.convolve(x, w, "same", out=x[::-1])
    every = cupy.empty((6, 16))
    assert signal.convolve(x, w, "same", out=every[:, ::2]).base is not None


def test_arguments_are_not_changed(cupy):
    for function, arrays in PAIRS.values():
        on_gpu = there(cupy, arrays)
        function(**on_gpu)
        for name, a in on_gpu.items():
            np.testing.assert_array_equal(a.get(), arrays[name])


@pytest.mark.parametrize("order", ["C", "F"])
def test_any_strides(order, cupy, rng):
    x = rng.standard_normal((40, 50, 3))
    w = rng.standard_normal((5, 4, 1))
    a = cupy.asarray(np.asarray(x, order=order))
    for view in (np.s_[:], np.s_[::-1, ::2], np.s_[:, ::-1, ::-2], np.s_[3:7, 5:, 1:2]):
        result = signal.convolve(a[view], cupy.asarray(w)[::-1], "same")
        expected = signal.convolve(x[view], w[::-1], "same")
        np.testing.assert_allclose(result.get(), expected, atol=1e-12)


def test_the_order_of_passes_tells_where_the_fill_is_no_zero(cupy, rng):
    x = rng.standard_normal((70, 90))
    for order in "CF":
        a = cupy.asarray(np.asarray(x, order=order))
        for axis in (0, 1):
            expected = ndimage.sobel(x, axis, mode="constant", cval=3.0)
            result = ndimage.sobel(a, axis, mode="constant", cval=3.0)
            np.testing.assert_allclose(result.get(), expected, atol=1e-12)


@pytest.mark.parametrize("dtype", "?bBhHiIqQ")
def test_numbers_beyond_integers_are_cut_as_on_the_host(dtype, cupy):
    powers = 2.0 ** np.arange(120) * (-1) ** np.arange(120)
    x = np.concatenate([powers, 1.5 * powers, -powers, [np.nan, np.inf, -np.inf, 0.7, -0.7]])
    for weights in ([1.0], [0.5, 1.0]):
        expected = ndimage.correlate(x, weights, output=np.dtype(dtype))
        result = ndimage.correlate(cupy.asarray(x), weights, output=np.dtype(dtype))
        np.testing.assert_array_equal(result.get(), expected)


@pytest.mark.parametrize("device", [0, 1])
def test_numbers_without_axes_are_multiplied_where_they_are(device, cupy):
    if device >= cupy.cuda.runtime.getDeviceCount():
        pytest.skip("there is one GPU")
    with cupy.cuda.Device(device):
        a, b, out = cupy.asarray(2.0 + 1j), cupy.asarray(3.0 - 1j), cupy.empty((), complex)
        signal_of_integers, image = cupy.arange(9), cupy.asarray(X)
    for function in (signal.convolve, signal.correlate, signal.fftconvolve):
        result = function(a, b)
        assert result.device.id == device
        assert complex(result.get()) == function(np.asarray(2.0 + 1j), np.asarray(3.0 - 1j))
    assert signal.correlate(a, b, out=out) is out
    assert signal.choose_conv_method(signal_of_integers, signal_of_integers) in ("direct", "fft")
    taps = TAPS.tolist()
    assert signal.sepfir2d(image, taps, taps).device.id == device


def test_specs_are_no_arrays_to_overlap_with(cupy):
    coming = fastconv.Spec(X.shape, device="cuda")
    with pytest.raises(TypeError, match="holds no numbers"):
        signal.convolve(coming, cupy.asarray(W), "same", out=cupy.empty(X.shape))


# --- plans ----------------------------------------------------------------------------------------


def test_plans_hold_kernels_on_the_gpu(cupy):
    w = cupy.asarray(W)
    planned = plan(signal.convolve, fastconv.Spec(X.shape), w, mode="same")
    assert planned.problem.device == 0
    w[...] = 0
    for data in (cupy.asarray(X), cupy.asarray(X)[::-1]):
        np.testing.assert_allclose(planned(data).get(), signal.convolve(data.get(), W, "same"))
    out = cupy.empty(X.shape)
    assert planned(cupy.asarray(X), out) is out


def test_measured_plans_time_the_methods_of_the_gpu(cupy):
    x = cupy.asarray(X)
    planned = plan(signal.convolve, x, cupy.asarray(W), method="measure")
    assert any(c.measured for c in planned.candidates)
    np.testing.assert_allclose(planned(x).get(), signal.convolve(X, W), atol=1e-12)


# --- choices --------------------------------------------------------------------------------------


def spec(*shape, dtype="float32"):
    return fastconv.Spec(shape, dtype, device="cuda")


CHOICES = [
    ("gpu_direct", signal.convolve, (spec(1080, 1920), spec(3, 3)), {"mode": "same"}),
    ("gpu_direct", signal.convolve, (spec(1 << 20), spec(15)), {}),
    ("gpu_direct", signal.convolve, (spec(100), spec(5)), {}),
    ("gpu_fft", signal.convolve, (spec(4096, 4096), spec(301, 301)), {}),
    ("gpu_fft", signal.convolve, (spec(1 << 22), spec(1 << 16)), {}),
    ("gpu_separable", ndimage.gaussian_filter, (spec(4096, 4096), 8.0), {}),
    ("gpu_separable", ndimage.uniform_filter, (spec(4096, 4096), 25), {}),
    ("gpu_direct", ndimage.correlate, (spec(4096, 4096), spec(5, 5)), {}),
    ("gpu_gemm", nn.conv2d, (spec(32, 256, 56, 56), spec(256, 256, 1, 1)), {}),
    ("gpu_direct", nn.conv2d, (spec(32, 256, 56, 56), spec(256, 1, 3, 3)), {"groups": 256}),
]


@pytest.mark.parametrize(("method", "function", "args", "kwargs"), CHOICES)
def test_choices(method, function, args, kwargs):
    explained = explain(function, *args, **kwargs)
    assert explained.chosen == method
    assert explained.problem.device == 0
    assert all(c.name.startswith("gpu_") for c in explained.candidates)
    assert f"{method} " in str(explained)


def test_names_of_methods():
    args = signal.convolve, spec(1000), spec(30)
    assert explain(*args, method="direct").chosen == "gpu_direct"
    assert explain(*args, method="fft").chosen == "gpu_fft"
    assert explain(*args, method="gpu_fft").chosen == "gpu_fft"
    for method in ("tilefft", "reference", "gpu_magic"):
        with pytest.raises(ValueError, match="method flags are 'auto', 'gpu_separable'"):
            explain(*args, method=method)
    host = fastconv.Spec(1000, "float32"), fastconv.Spec(30, "float32")
    with pytest.raises(ValueError, match="method flags are 'auto', 'direct'"):
        explain(signal.convolve.__wrapped__, *host, method="gpu_fft")


def test_a_method_that_must_refuse_says_why():
    with pytest.raises(ValueError, match="method='gpu_gemm' cannot solve this problem"):
        explain(signal.convolve, spec(1000), spec(30), method="gpu_gemm")
    with pytest.raises(ValueError, match="method='fft' cannot solve this problem"):
        explain(nn.conv2d, spec(1, 3, 9, 9), spec(4, 3, 3, 3), method="fft")


def test_accuracy_bounds_choices():
    args = signal.convolve, spec(4096, 4096), spec(301, 301)
    assert explain(*args, accuracy="direct").chosen == "gpu_direct"
    bounded = explain(*args, accuracy=1e-7)
    assert bounded.problem.dtype == np.float64
    assert bounded.error <= 1e-7


def test_more_devices_than_there_are_take_the_models_costs():
    args = (fastconv.Spec((n, n), "float32", "cuda:9") for n in (500, 3))
    explained = explain(signal.convolve, *args)
    assert explained.problem.device == 9


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", 0, "CUDA"])
def test_devices_have_names(device):
    with pytest.raises(ValueError, match="device must be 'cpu', 'cuda' or"):
        fastconv.Spec(3, device=device)


# --- found by random calls ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ndimage.convolve", "ndimage.correlate", "ndimage.correlate1d"])
def test_lists_to_filter_go_where_the_weights_are(name, cupy):
    function, arrays = PAIRS[name]
    result = function(X.tolist(), cupy.asarray(arrays["weights"]))
    assert isinstance(result, cupy.ndarray)
    np.testing.assert_allclose(result.get(), function(X, arrays["weights"]))


def test_nothing_but_a_fill_is_summed(cupy):
    x, w = np.empty((0, 5)), np.ones((4, 1))
    result = signal.convolve2d(cupy.asarray(x), cupy.asarray(w), "full", "fill", 1.5)
    np.testing.assert_array_equal(result.get(), signal.convolve2d(x, w, "full", "fill", 1.5))


def test_a_kernel_that_is_split_meets_the_fill_once(cupy, rng):
    x = rng.standard_normal((400, 500))
    w = np.outer(np.hanning(17)[1:-1], np.hanning(17)[1:-1])
    result = ndimage.correlate(cupy.asarray(x), cupy.asarray(w), mode="constant", cval=2.5)
    expected = ndimage.correlate(x, w, mode="constant", cval=2.5)
    np.testing.assert_allclose(result.get(), expected, atol=1e-11)
