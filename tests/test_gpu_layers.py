"""Layers on a GPU: every kernel at the edges of its tiles, against the host's results."""

import dataclasses
import math

import layers
import numpy as np
import pytest

import fastconv
from fastconv import _cuda, _layers, nn
from fastconv._methods import _gpu_layers, gpu_gemm
from fastconv._problem import Weights

KERNELS = ("tiles", "few", "dots")
METHODS = (*KERNELS, "gemm")
ACTIVATIONS = (None, "relu", "relu6", "leaky_relu", "sigmoid", "tanh", "silu", "gelu")
SPECIAL = (np.nan, np.inf, -np.inf)
# A device that there is not: what is chosen for it depends on none that there is.
MODEL = 99

pytestmark = pytest.mark.usefixtures("order_of_threads")


@pytest.fixture(autouse=True)
def forget():
    """What a test has changed decides on nothing in the next one."""
    yield
    _gpu_layers._chosen.cache_clear()
    _gpu_layers._job.cache_clear()
    gpu_gemm._plan.cache_clear()


def all_ways(problem, layout):
    return (
        *_gpu_layers._tile_ways(problem),
        *_gpu_layers._few_ways(problem, layout),
        *_gpu_layers._dot_ways(problem, layout),
    )


@pytest.fixture
def force(monkeypatch):
    """Have layers take a kernel, of a tile where that is told, and sums of so many parts."""

    def take(kernel, tile=None, parts=1):
        def chosen(problem, layout):
            ways = [w for w in all_ways(problem, layout) if w.kernel == kernel]
            way = next(w for w in ways if tile in (None, w.tile))
            each = -(-problem.taps // parts)
            if kernel == "tiles":
                each = -(-each // 8) * 8
            return dataclasses.replace(way, splits=-(-problem.taps // each), split_depth=each)

        chosen.cache_clear = lambda: None
        monkeypatch.setattr(_gpu_layers, "_chosen", chosen)
        _gpu_layers._job.cache_clear()

    return take


def view_of(cupy, view, a):
    a = view.of(a)
    return cupy.conjugate(a) if view.conjugate and a.dtype.kind == "c" else a


def solved(cupy, call, method=_gpu_layers, out=None, **changes):
    """The result of a call by a method on the GPU."""
    geometry = call.geometry
    problem = dataclasses.replace(geometry.problem, device=0, **changes)
    arrays = [strided(cupy, a) for a in call.arrays]
    data, kernel = (arrays[1], arrays[0]) if geometry.reverse else arrays[:2]
    taps = view_of(cupy, geometry.kernel, kernel)
    if problem.dtype.kind != "i":
        taps = taps.astype(problem.dtype, copy=False)
    bias = arrays[2] if len(arrays) > 2 else None
    weights = Weights(taps, bias, call.activation, call.x_zero, call.w_zero)
    assert method.reject(problem) is None
    assert method.estimate(problem).workspace <= problem.workspace_limit
    runner = method.build(problem)
    if out is None:
        out = cupy.empty(geometry.shape, call.dtype)
    x = view_of(cupy, geometry.data, data)
    runner(x, runner.prepare(weights), geometry.out.of(out), 1)
    return out.get()


def strided(cupy, a):
    """A copy on the GPU that has the array's strides, also where they are negative."""
    if a.flags.c_contiguous or not a.size:
        return cupy.asarray(a)
    flipped = a[tuple(slice(None, None, -1 if s < 0 else 1) for s in a.strides)]
    room = np.empty([n * 2 for n in a.shape], a.dtype)
    inner = tuple(slice(0, None, 2) for _ in a.shape)
    room[inner] = flipped
    back = tuple(slice(None, None, -1 if s < 0 else 1) for s in a.strides)
    return cupy.asarray(room)[inner][back]


def assert_alike(actual, expected, terms, size):
    """The same but for rounding, of sums of so many terms of some size; NaN and Inf the same."""
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    if expected.dtype.kind == "i":
        np.testing.assert_array_equal(actual, expected)
        return
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(np.isfinite(actual), finite)
    if expected.dtype.kind == "f":
        np.testing.assert_array_equal(np.isnan(actual), np.isnan(expected))
        np.testing.assert_array_equal(actual == np.inf, expected == np.inf)
    bound = 8 * np.finfo(expected.dtype).eps * math.sqrt(terms + 4) * size
    np.testing.assert_allclose(actual[finite], expected[finite], rtol=0, atol=bound)


def compare(cupy, call, method=_gpu_layers, size=None, **options):
    actual = solved(cupy, call, method, **options)
    with np.errstate(all="ignore"):
        expected = call.solve()
        if size is None:
            plain = [np.where(np.isfinite(a), a, 0) for a in call.arrays]
            size = np.prod([max(np.abs(a).max(initial=0), 1) for a in plain], dtype=float)
    assert_alike(actual, expected, call.problem.taps, 4 * size)


def of_method(method, force):
    """The module of a method, by the name of its kernel."""
    if method == "gemm":
        return gpu_gemm
    force(method)
    return _gpu_layers


def conv(rng, x, w, dtype="f", rank=None, **options):
    rank = len(w) - 2 if rank is None else rank
    arrays = [layers.normal(rng, shape, dtype) for shape in (x, w)]
    if options.pop("biased", False):
        options["bias"] = layers.normal(rng, w[:1], dtype)
    return _layers.lower_conv(rank, *arrays, **options)


# --- tiles ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", "fdFD")
def test_tiles_at_their_edges(dtype, cupy, rng, force):
    for tile in _gpu_layers._TILES[np.dtype(dtype).itemsize]:
        force("tiles", tile)
        tall, wide = tile[:2]
        for outputs in (1, tall - 1, tall + 1):
            for points in (1, wide - 1, wide, wide + 1):
                call = conv(rng, (1, 3, points + 2), (outputs, 3, 3), dtype)
                compare(cupy, call)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_depths(layout, cupy, rng, force):
    """Around the steps of tiles, and the depth whose places are found at once."""
    force("tiles", (64, 64, 4, 4))
    for channels, taps in ((1, 1), (7, 1), (8, 1), (9, 1), (15, 9), (14, 9), (29, 9), (43, 9)):
        side = math.isqrt(taps)
        shape = (2, channels, 5, 6) if layout == "NCHW" else (2, 5, 6, channels)
        call = conv(rng, shape, (5, channels, side, side), padding=side // 2, layout=layout)
        compare(cupy, call)


@pytest.mark.parametrize("kernel", ["tiles", "dots"])
@pytest.mark.parametrize("dtype", "fD")
def test_parts(kernel, dtype, cupy, rng, force, started):
    """Sums of several parts are added, biased and activated once."""
    for parts in (2, 3, 7):
        force(kernel, parts=parts)
        activation = None if dtype == "D" else "silu"
        call = conv(
            rng, (2, 8, 6, 7), (10, 4, 3, 3), dtype, groups=2, biased=True, activation=activation
        )
        started.clear()
        compare(cupy, call)
        assert started == [kernel, "complete"]


@pytest.fixture
def started(monkeypatch):
    """The kernels of the latest launches."""
    launch, names = _cuda.Kernels.launch, []

    def launched(self, name, *args, **kwargs):
        names.append(name)
        launch(self, name, *args, **kwargs)

    monkeypatch.setattr(_cuda.Kernels, "launch", launched)
    return names


# --- few outputs of a group -----------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("dtype", "fdFD")
def test_depthwise(dtype, layout, cupy, rng, force):
    force("few")
    for groups, space, taps, stride, dilation, each in (
        (1, (1, 1), (1, 1), 1, 1, 1),
        (5, (9, 8), (3, 3), 1, 1, 1),
        (3, (17, 70), (5, 3), 1, 1, 2),
        (70, (6, 5), (3, 3), 2, 1, 1),
        (4, (12, 11), (3, 2), 1, 2, 3),
        (2, (3, 300), (1, 7), 1, 1, 1),
        (33, (7, 7), (7, 7), 1, 1, 1),
    ):
        shape = (2, groups, *space) if layout == "NCHW" else (2, *space, groups)
        call = conv(
            rng,
            shape,
            (groups * each, 1, *taps),
            dtype,
            stride=stride,
            padding=tuple(k // 2 * dilation for k in taps),
            dilation=dilation,
            groups=groups,
            layout=layout,
            biased=True,
        )
        compare(cupy, call)


@pytest.mark.parametrize("outputs", [1, 2, 3, 4, 5, 8, 9])
def test_few_outputs(outputs, cupy, rng, force):
    force("few")
    for layout in ("NCHW", "NHWC"):
        shape = (2, 6, 10, 9) if layout == "NCHW" else (2, 10, 9, 6)
        compare(cupy, conv(rng, shape, (outputs, 6, 3, 3), padding=1, layout=layout, biased=True))


def test_channels_in_chunks(cupy, rng, force, monkeypatch):
    """Taps that shared memory does not hold at once, one of them not finite."""
    monkeypatch.setattr(_gpu_layers, "_TAP_BYTES", 1 << 9)
    force("few")
    for groups in (1, 3):
        call = conv(rng, (2, 7 * groups, 6, 9), (2 * groups, 7, 3, 3), padding=1, groups=groups)
        compare(cupy, call)
        call.arrays[1][-1, 5, 0, 0] = np.inf
        compare(cupy, call)


# --- all kernels ----------------------------------------------------------------------------------


def random_call(rng, dtype, kind):
    """A small layer of any kind, or None where there is no such."""
    layer = layers.random_layer(rng)
    last = rng.random() < 0.5
    layout = layers.LAYOUTS[layer.rank][last]
    x, w, y = (layers.normal(rng, shape, dtype) for shape in (layer.x, layer.w, layer.out))
    if last:
        x, y = (np.ascontiguousarray(np.moveaxis(a, 1, -1)) for a in (x, y))
    rank, numbers = layer.rank, layer.numbers
    if kind == "forward":
        bias = layers.normal(rng, layer.w[:1], dtype) if rng.random() < 0.5 else None
        flip = bool(rng.random() < 0.3)
        return _layers.lower_conv(rank, x, w, bias, *numbers, layout=layout, flip_kernel=flip)
    if kind == "transpose":
        extra = layers.random_extra(rng, layer)
        stride, padding, dilation, groups = numbers
        if min(layer.transposed_out(extra)[2:]) < 1:
            return None
        return _layers.lower_conv_transpose(
            rank, y, w, None, stride, padding, extra, groups, dilation, layout=layout
        )
    if kind == "grad_input":
        return _layers.lower_grad_input(rank, y, w, x.shape, *numbers, layout=layout)
    return _layers.lower_grad_weight(rank, y, x, w.shape, *numbers, layout=layout)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", "fdFD")
@pytest.mark.parametrize("kind", ["forward", "transpose", "grad_input", "grad_weight"])
def test_random_layers(kind, dtype, method, cupy, rng, force):
    module = of_method(method, force)
    done = 0
    while done < 4:
        call = random_call(rng, dtype, kind)
        if call is None or (call.problem.empty and method == "gemm"):
            continue
        compare(cupy, call, module)
        done += 1


@pytest.mark.parametrize("dtype", "fF")
@pytest.mark.parametrize("kind", ["forward", "transpose", "grad_input", "grad_weight"])
def test_the_kernel_that_is_predicted_to_be_fastest(kind, dtype, cupy, rng):
    done = 0
    while done < 4:
        call = random_call(rng, dtype, kind)
        if call is not None:
            compare(cupy, call)
            done += 1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(activation, method, cupy, rng, force):
    module = of_method(method, force)
    for dtype in "fd":
        call = conv(
            rng, (2, 4, 6, 7), (6, 2, 3, 3), dtype, groups=2, biased=True, activation=activation
        )
        compare(cupy, call, module)


def test_gelu_keeps_its_digits(cupy):
    x = np.linspace(-12, 3, 50, dtype=np.float64).reshape(1, 1, 50)
    call = _layers.lower_conv(1, x, np.ones((1, 1, 1)), activation="gelu")
    expected = [v * math.erfc(-v / math.sqrt(2)) / 2 for v in x.ravel()]
    np.testing.assert_allclose(solved(cupy, call).ravel(), expected, rtol=1e-12)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtypes", ["bb", "bB", "Bb", "BB"])
def test_integers(dtypes, kernel, cupy, rng, force):
    """Exact, with what stands for zero, which is also what lies beyond the edges."""
    force(kernel)
    ranges = {"b": (-128, 128), "B": (0, 256)}
    for x_zero, w_zero, activation in (
        (0, 0, None),
        (7, 0, "relu"),
        (100, 3, None),
        (5, "each", None),
    ):
        x, w = (
            rng.integers(*ranges[code], shape).astype(code)
            for code, shape in zip(dtypes, ((2, 6, 7, 6), (8, 3, 3, 3)), strict=True)
        )
        call = _layers.lower_conv(
            2,
            x,
            w,
            rng.integers(-1000, 1000, 8).astype(np.int32),
            2,
            2,
            groups=2,
            activation=activation,
            x_zero_point=x_zero,
            w_zero_point=rng.integers(0, 100, 8) if w_zero == "each" else w_zero,
        )
        compare(cupy, call)


@pytest.mark.parametrize("kernel", KERNELS)
def test_integers_wrap_around(kernel, cupy, force):
    force(kernel)
    x = np.full((1, 40000, 2), 255, np.uint8)
    w = np.full((1, 40000, 1), 255, np.uint8)
    expected = np.full((1, 1, 2), 40000 * 255 * 255 - 2**32, np.int32)
    np.testing.assert_array_equal(solved(cupy, _layers.lower_conv(1, x, w)), expected)


# --- NaN and Inf ----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", "fF")
def test_what_is_not_finite(dtype, method, cupy, rng, force):
    """It touches the outputs that it meets; what lies beyond the edges meets no tap."""
    module = of_method(method, force)
    for special in SPECIAL:
        for argument in (0, 1):
            for layout in ("NCHW", "NHWC"):
                shape = (2, 4, 6, 7) if layout == "NCHW" else (2, 6, 7, 4)
                call = conv(rng, shape, (6, 2, 3, 3), dtype, padding=2, groups=2, layout=layout)
                array = call.arrays[argument]
                array.reshape(-1)[rng.integers(array.size)] = special
                expected = call.solve()
                assert np.isfinite(expected).any()
                compare(cupy, call, module)


@pytest.mark.parametrize("method", METHODS)
def test_infinities_on_the_corner(method, cupy, force):
    """An infinite tap that some outputs meet no datum with, and a zero that hides none."""
    module = of_method(method, force)
    x = np.zeros((1, 1, 3, 3), np.float32)
    x[0, 0, 1, 1] = 2
    w = np.zeros((1, 1, 3, 3), np.float32)
    w[0, 0, 0, 0] = -np.inf
    call = _layers.lower_conv(2, x, w, None, 1, 1)
    expected = np.zeros((3, 3), np.float32)
    expected[1:, 1:] = np.nan
    expected[2, 2] = -np.inf
    np.testing.assert_array_equal(solved(cupy, call, module)[0, 0], expected)


@pytest.mark.parametrize("method", METHODS)
def test_spread_layers_meet_no_gaps(method, cupy, rng, force):
    """Zeros between the data of a transposed layer meet no infinite tap."""
    module = of_method(method, force)
    x, w = layers.normal(rng, (1, 2, 5, 4), "f"), layers.normal(rng, (2, 3, 3, 2), "f")
    w[0, 1, 2, 0] = np.inf
    call = _layers.lower_conv_transpose(2, x, w, None, 3, 1)
    assert np.isfinite(call.solve()).any()
    compare(cupy, call, module)


@pytest.mark.parametrize("method", METHODS)
def test_outputs_that_nothing_reaches(method, cupy, rng, force):
    """They are the bias, activated."""
    module = of_method(method, force)
    x, w = layers.normal(rng, (2, 2, 4), "f"), layers.normal(rng, (2, 3, 1), "f")
    bias = np.array([1, -2, 3], "f")
    call = _layers.lower_conv_transpose(1, x, w, bias, 3, 0, 2, activation="relu")
    compare(cupy, call, module)
    np.testing.assert_array_equal(solved(cupy, call, module)[0, :, 1], [1, 0, 3])


# --- arrays of all kinds --------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_strided_arrays(method, cupy, rng, force):
    module = of_method(method, force)
    x = layers.normal(rng, (2, 7, 8, 4), "f").transpose(0, 3, 2, 1)[:, :, ::-1]
    w = layers.normal(rng, (3, 3, 2, 6), "f").transpose(3, 2, 1, 0)[::-1, :, ::-1]
    call = _layers.lower_conv(2, x, w, None, 1, 1, 1, 2, activation="relu")
    compare(cupy, call, module)
    out = cupy.zeros((*call.shape, 2), np.float32)
    compare(cupy, call, module, out=out[..., 1])
    assert not out[..., 0].any()
    back = cupy.zeros(call.shape[::-1], np.float32)
    compare(cupy, call, module, out=back[::-1, :, ::-1].transpose())


@pytest.mark.parametrize("method", METHODS)
def test_broadcast_data(method, cupy, rng, force):
    module = of_method(method, force)
    for kernel in (1, 3):
        x = cupy.asarray(layers.normal(rng, (1, 1, 5, 6), "f"))
        w = layers.normal(rng, (3, 4, kernel, kernel), "f")
        call = _layers.lower_conv(2, np.broadcast_to(x.get(), (2, 4, 5, 6)), w)
        problem = dataclasses.replace(call.problem, device=0)
        runner = module.build(problem)
        out = cupy.empty(call.shape, "f")
        kernel = runner.prepare(Weights(call.geometry.kernel.of(w)))
        data = cupy.broadcast_to(x, (2, 4, 5, 6))
        runner(call.geometry.data.of(data), kernel, call.geometry.out.of(out), 1)
        assert_alike(out.get(), call.solve(), call.problem.taps, 20)


@pytest.mark.parametrize("method", METHODS)
def test_weights_of_the_host(method, cupy, rng, force):
    module = of_method(method, force)
    call = conv(rng, (2, 4, 9), (6, 2, 3), groups=2, biased=True)
    problem = dataclasses.replace(call.problem, device=0)
    runner = module.build(problem)
    x, w, bias = call.arrays
    out = cupy.empty(call.shape, "f")
    kernel = runner.prepare(Weights(call.geometry.kernel.of(w), bias))
    for _ in range(2):
        runner(call.geometry.data.of(cupy.asarray(x)), kernel, call.geometry.out.of(out), 1)
        assert_alike(out.get(), call.solve(), call.problem.taps, 20)


@pytest.mark.parametrize("kernel", KERNELS)
def test_wide_positions(kernel, cupy, rng, force, monkeypatch):
    """Where 32 bits would not do."""
    monkeypatch.setattr(_gpu_layers, "_NARROW", 0)
    force(kernel)
    for dtype in "fD":
        compare(cupy, conv(rng, (2, 4, 9, 8), (6, 2, 3, 3), dtype, groups=2, padding=1))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", "fF")
def test_sums_of_more_digits(dtype, method, cupy, rng, force):
    """float32 that is summed in float64, as an accuracy may ask for."""
    module = of_method(method, force)
    wide = np.result_type(dtype, np.float64)
    for taps in (1, 3):
        call = conv(rng, (2, 4, 9, 8), (6, 2, taps, taps), dtype, groups=2)
        actual = solved(cupy, call, module, dtype=wide)
        x, w = (a.astype(wide) for a in call.arrays)
        expected = _layers.lower_conv(2, x, w, groups=2).solve().astype(dtype)
        np.testing.assert_allclose(actual, expected, rtol=np.finfo(dtype).eps)


@pytest.mark.parametrize("kernel", KERNELS)
def test_empty_batches(kernel, cupy, rng, force):
    force(kernel)
    call = conv(rng, (0, 4, 9), (6, 2, 3), groups=2)
    assert solved(cupy, call).shape == (0, 6, 7)
    x, grad = np.empty((0, 4, 9), "f"), np.empty((0, 6, 7), "f")
    gradient = _layers.lower_grad_weight(1, grad, x, (6, 2, 3), groups=2)
    np.testing.assert_array_equal(solved(cupy, gradient), np.zeros((6, 2, 3), "f"))


# --- products of matrices -------------------------------------------------------------------------


def test_panels_are_cut(cupy, rng, monkeypatch):
    """Panels of few points, of parts of the depth, and taps that are no matrices at once."""
    for share, points, taps in ((1e-5, 512, 0.1), (3e-6, 16, 0.1), (1e-6, 4, 0)):
        monkeypatch.setattr(gpu_gemm, "_CACHE_SHARE", share)
        monkeypatch.setattr(gpu_gemm, "_LEAST_POINTS", points)
        monkeypatch.setattr(gpu_gemm, "_TAPS_SHARE", taps)
        for image in (1, 1000):
            monkeypatch.setattr(gpu_gemm, "_LEAST_IMAGE", image)
            for layout in ("NCHW", "NHWC"):
                gpu_gemm._plan.cache_clear()
                shape = (3, 4, 6, 5) if layout == "NCHW" else (3, 6, 5, 4)
                options = {"padding": 1, "groups": 2, "layout": layout, "biased": True}
                call = conv(rng, shape, (6, 2, 3, 3), "f", activation="relu", **options)
                compare(cupy, call, gpu_gemm)
                grad = layers.normal(rng, call.shape, "f")
                x, w = call.arrays[:2]
                gradient = _layers.lower_grad_weight(
                    2, grad, x, w.shape, 1, 1, groups=2, layout=layout
                )
                compare(cupy, gradient, gpu_gemm)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_pointwise_layers_copy_nothing(layout, cupy, rng, started):
    for groups in (1, 2):
        shape = (3, 4, 6, 5) if layout == "NCHW" else (3, 6, 5, 4)
        call = conv(rng, shape, (6, 4 // groups, 1, 1), groups=groups, layout=layout)
        compare(cupy, call, gpu_gemm)
        assert not started


def test_pointwise_layers_whose_data_are_no_matrices(cupy, rng):
    for options in ({"stride": 2}, {"padding": 1}):
        compare(cupy, conv(rng, (2, 4, 7, 6), (6, 4, 1, 1), "d", **options), gpu_gemm)


def test_tf32_only_where_it_is_accurate_enough(cupy, rng, monkeypatch):
    call = conv(rng, (2, 8, 9, 8), (6, 8, 3, 3))
    problem = dataclasses.replace(call.problem, device=0)
    bound = gpu_gemm.error(dataclasses.replace(problem, accuracy=1e-2))
    assert 2**-10 < bound < 2**-8
    assert gpu_gemm.error(dataclasses.replace(problem, accuracy=bound * 0.99)) < 1e-5
    expected = call.solve()
    size = _layers.lower_conv(2, *map(abs, call.arrays)).solve()
    cublas, kinds = cupy.cuda.cublas, set()
    multiply = cublas.gemmStridedBatchedEx

    def multiplied(*args):
        kinds.add(args[-2])
        multiply(*args)

    monkeypatch.setattr(cublas, "gemmStridedBatchedEx", multiplied)
    for accuracy, tf32 in ((None, False), (0.0, False), (bound * 0.99, False), (bound, True)):
        kinds.clear()
        error = np.abs(solved(cupy, call, gpu_gemm, accuracy=accuracy) - expected)
        assert kinds == {cublas.CUBLAS_COMPUTE_32F_FAST_TF32 if tf32 else cublas.CUBLAS_COMPUTE_32F}
        assert (error <= (bound if tf32 else 1e-5) * size).all()


def test_matrices_on_the_stream_of_each_thread_are_not_kept(cupy):
    """All threads' default streams have one address, and none waits for another's."""
    x, w = cupy.ones((1, 8, 10, 10), "f"), cupy.ones((4, 8, 3, 3), "f")
    plan = fastconv.plan(
        nn.conv2d, fastconv.Spec(x.shape, "f", device="cuda"), w, method="gpu_gemm"
    )
    with cupy.cuda.Stream(ptds=True) as stream:
        first = plan(x)
        stream.synchronize()
    assert not plan._kernel.state.matrices
    assert (plan(x) == first).all()
    assert plan._kernel.state.matrices


def test_integers_are_no_products_of_matrices(cupy):
    x, w = np.ones((1, 2, 5), np.int8), np.ones((2, 2, 3), np.int8)
    problem = dataclasses.replace(_layers.lower_conv(1, x, w).problem, device=0)
    assert gpu_gemm.reject(problem) is not None


# --- what is chosen -------------------------------------------------------------------------------


def chosen(call):
    problem = dataclasses.replace(call.problem, device=MODEL)
    way = _gpu_layers._chosen(problem, _gpu_layers.dense(problem))
    assert way.workspace(problem) <= problem.workspace_limit
    return way


def nothing(*shape):
    return np.broadcast_to(np.float32(0), shape)


def chosen_for(x, w, **options):
    return chosen(_layers.lower_conv(len(w) - 2, nothing(*x), nothing(*w), **options))


def test_kernels_for_what_they_are_made_for():
    large = chosen_for((32, 128, 56, 56), (128, 128, 3, 3), padding=1)
    assert (large.kernel, large.tile[:2], large.splits) == ("tiles", (128, 128), 1)
    assert chosen_for((32, 64, 56, 56), (64, 64, 3, 3), padding=1).tile[:2] == (64, 128)
    assert chosen_for((32, 256, 56, 56), (256, 1, 3, 3), padding=1, groups=256).kernel == "few"
    assert chosen_for((8, 64, 128, 128), (2, 64, 3, 3), padding=1).kernel == "few"
    assert chosen_for((1, 512, 7, 7), (512, 512, 3, 3), padding=1).splits > 1


def test_long_sums_are_cut():
    grad = nothing(32, 64, 56, 56)
    assert chosen(_layers.lower_grad_weight(2, grad, grad, (64, 64, 3, 3), 1, 1)).splits > 8
    depthwise = _layers.lower_grad_weight(2, grad, grad, (64, 1, 3, 3), 1, 1, groups=64)
    assert chosen(depthwise).kernel == "dots"


def test_all_that_is_compiled_is_told():
    """Each kernel with each tile, type and direction of loads at least once."""
    told = list(_gpu_layers.variants())
    assert len(set(told)) == len(told)
    options = {option for _, chosen in told for option in chosen}
    for section in ("TILES", "FEW", "DOTS", "REST"):
        assert f"-D{section}" in options
    for name in ("X_ALONG_DEPTH", "W_ALONG_DEPTH", "SLIDES"):
        assert {f"-D{name}=0", f"-D{name}=1"} <= options
    assert {"-DPOSITION=int", "-DPOSITION=Int64", "-DX=Int8", "-DX=UInt8"} <= options
