"""fastconv on a GPU, beside CuPy's own functions and PyTorch's layers.

Where there is no CuPy or no GPU, asv leaves all of it out. What a call starts goes on after it has
returned: every benchmark waits for the GPU before it ends. Arrays are on the GPU before, and
kernels compiled.
"""

from ._common import (
    bind_filter,
    bind_layer,
    described_array,
    find,
    layer_arrays,
    random_array,
    random_taps,
)
from .bench_layers import LAYERS

SIGNAL_PEERS = ["fastconv", "cupyx", "cupyx fft"]
FILTER_PEERS = ["fastconv", "cupyx"]
LAYER_PEERS = ["fastconv", "torch", "fastconv planned"]
IMAGES = ["1080×1920 uint8", "1080×1920 float32", "2160×3840 float32", "4096×4096 float64"]
SMALL_CALLS = 100
COPIES = 10

repeat = (1, 20, 1.0)  # for asv: samples at the least and at the most, and seconds, a round


def find_gpu():
    """Return CuPy; NotImplementedError makes asv leave the point out where there is no GPU."""
    try:
        import cupy
    except ImportError as error:
        raise NotImplementedError(f"CuPy is missing: {error}") from None
    if not cupy.is_available():
        raise NotImplementedError("CuPy finds no GPU")
    return cupy


def waiting(cupy, call, times=1):
    """Return a function that calls so many times and waits for the GPU; it has run once."""
    stream = cupy.cuda.get_current_stream()  # the default one, which is PyTorch's, too

    def run():
        for _ in range(times):
            call()
        stream.synchronize()

    run()
    return run


def bind_signal(impl, data, kernel, axes=None):
    """Return a callable without arguments: `impl`'s convolution, by plain sums or as it chooses."""
    cupy = find_gpu()
    data, kernel = cupy.asarray(data), cupy.asarray(kernel)
    if impl == "cupyx fft":
        function = find("cupyx", "fftconvolve", data.ndim)
        return waiting(cupy, lambda: function(data, kernel, "same", axes=axes))
    if axes is not None:
        function = find(impl, "oaconvolve", data.ndim)
        return waiting(cupy, lambda: function(data, kernel, "same", axes=axes))
    function = find(impl, "convolve", data.ndim)
    # CuPy chooses a method for lines only.
    options = {"method": "direct"} if impl == "cupyx" and data.ndim > 1 else {}
    return waiting(cupy, lambda: function(data, kernel, "same", **options))


def bind_image(impl, name, image, *arguments, times=1, **options):
    """Return a callable without arguments: `impl`'s filter of that name."""
    cupy = find_gpu()
    arrays = [cupy.asarray(a) if hasattr(a, "dtype") else a for a in (image, *arguments)]
    return waiting(cupy, bind_filter(impl, name, *arrays, **options), times)


def bind_network(impl, what, layer, batch, times=1):
    """Return a callable without arguments: `impl`'s layer, or one of its gradients."""
    cupy = find_gpu()
    *arrays, numbers = layer_arrays(layer, batch)
    if impl == "torch":
        set_up_torch()
    call = bind_layer(impl, what, *map(cupy.asarray, arrays), numbers)
    return waiting(cupy, call, times)


def set_up_torch():
    """Make PyTorch sum in float32, as fastconv does, by cuDNN's fastest algorithm for a shape."""
    try:
        import torch
    except ModuleNotFoundError as error:
        raise NotImplementedError(f"torch is missing: {error}") from None
    if not torch.cuda.is_available():
        raise NotImplementedError("torch finds no GPU")
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True


class LongSignals:
    """Sixteen million samples by kernels of 15 to 10,001 taps."""

    param_names = ["impl", "dtype", "taps"]
    params = [SIGNAL_PEERS, ["float32", "float64", "complex64"], [15, 101, 1001, 10_001]]

    def setup(self, impl, dtype, taps):
        self.call = bind_signal(impl, random_array(2**24, dtype), random_array(taps, dtype))

    def time_convolve(self, impl, dtype, taps):
        self.call()

    time_convolve.pretty_name = "GPU: 16,777,216 samples by N taps"


class Signals:
    """Signals of a thousand to four million samples by 101 taps, and many at once."""

    param_names = ["impl", "samples"]
    params = [SIGNAL_PEERS, ["1000", "100000", "4194304", "1024×16384"]]

    def setup(self, impl, samples):
        data = described_array(f"{samples} float32")
        kernel = random_array((1,) * (data.ndim - 1) + (101,), "float32")
        self.call = bind_signal(impl, data, kernel, axes=-1 if data.ndim > 1 else None)

    def time_convolve(self, impl, samples):
        self.call()

    time_convolve.pretty_name = "GPU: N samples by 101 taps"


class Images:
    """Images by square kernels of full rank."""

    param_names = ["impl", "image", "side"]
    params = [SIGNAL_PEERS, ["256×256 float32", "2160×3840 float32"], [3, 7, 15, 31, 63]]

    def setup(self, impl, image, side):
        image = described_array(image)
        self.call = bind_signal(impl, image, random_taps(side, image))

    def time_convolve(self, impl, image, side):
        self.call()

    time_convolve.pretty_name = "GPU: images by N×N taps"


class Volumes:
    """A volume by cubes."""

    param_names = ["impl", "side"]
    params = [SIGNAL_PEERS, [3, 5, 9, 15]]

    def setup(self, impl, side):
        volume = described_array("256×256×256 float32")
        self.call = bind_signal(impl, volume, random_taps(side, volume, 3))

    def time_convolve(self, impl, side):
        self.call()

    time_convolve.pretty_name = "GPU: 256×256×256 volume by N×N×N taps"


class Filters:
    """scipy.ndimage's filters on images of every size."""

    param_names = ["impl", "image", "filter"]
    params = [
        FILTER_PEERS,
        IMAGES,
        ["correlate 7", "gaussian_filter 3", "uniform_filter 21", "sobel", "laplace"],
    ]

    def setup(self, impl, image, filter):  # noqa: A002 - a graph's title
        image = described_array(image)
        name, *size = filter.split()
        arguments = [int(n) for n in size]
        if name == "correlate":
            arguments = [random_taps(arguments[0], image)]
        self.call = bind_image(impl, name, image, *arguments)

    def time_filter(self, impl, image, filter):  # noqa: A002
        self.call()

    time_filter.pretty_name = "GPU: ndimage, images by filter"


class Boundaries:
    """A film frame with each rule for what lies outside."""

    param_names = ["impl", "mode"]
    params = [FILTER_PEERS, ["reflect", "constant", "wrap", "nearest", "mirror"]]

    def setup(self, impl, mode):
        image = described_array("1080×1920 float32")
        self.call = bind_image(impl, "gaussian_filter", image, 3, mode=mode)

    def time_gaussian_filter(self, impl, mode):
        self.call()

    time_gaussian_filter.pretty_name = "GPU: gaussian_filter, boundaries"


class CopyShare:
    """How near to the memory's rate filters of few taps come."""

    param_names = ["impl", "filter"]
    params = [FILTER_PEERS, ["sobel", "laplace", "uniform_filter"]]

    def setup(self, impl, filter):  # noqa: A002
        self.cupy = find_gpu()
        image = self.cupy.asarray(described_array("8192×8192 float32"))
        target = self.cupy.empty_like(image)
        self.copy = waiting(self.cupy, lambda: self.cupy.copyto(target, image))
        self.call = bind_image(impl, filter, image)

    def track_share(self, impl, filter):  # noqa: A002
        copy, call = (min(self.seconds(f) for _ in range(COPIES)) for f in (self.copy, self.call))
        return copy / call

    def seconds(self, call):
        start, stop = self.cupy.cuda.Event(), self.cupy.cuda.Event()
        start.record()
        call()
        stop.record()
        stop.synchronize()
        return self.cupy.cuda.get_elapsed_time(start, stop) / 1e3

    track_share.pretty_name = "GPU: ndimage, share of a copy's rate"
    track_share.unit = "of the rate of a copy"


class Layers:
    """Layers of well-known networks; planned ones hold their weights."""

    param_names = ["impl", "layer", "batch"]
    params = [LAYER_PEERS, list(LAYERS), [1, 32]]

    def setup(self, impl, layer, batch):
        self.call = bind_network(impl, "forward", LAYERS[layer], batch)

    def time_forward(self, impl, layer, batch):
        self.call()

    time_forward.pretty_name = "GPU: nn.conv2d, layers of networks"


class Gradients:
    """What goes back through a layer."""

    param_names = ["impl", "layer", "what"]
    params = [
        ["fastconv", "torch"],
        [
            "ResNet-50 1×1, 64→256, 56×56",
            "ResNet-50 3×3, 64→64, 56×56",
            "ResNet-50 3×3/2, 128→128, 56×56",
            "MobileNetV2 depthwise 3×3, 96, 112×112",
        ],
        ["grad_input", "grad_weight"],
    ]

    def setup(self, impl, layer, what):
        self.call = bind_network(impl, what, LAYERS[layer], 32)

    def time_gradient(self, impl, layer, what):
        self.call()

    time_gradient.pretty_name = "GPU: nn.conv2d, gradients of layers"


class SmallFilters:
    """A hundred calls that the GPU hardly works for: what starting them costs."""

    param_names = ["impl", "filter"]
    params = [FILTER_PEERS, ["gaussian_filter 1", "uniform_filter 3", "sobel"]]

    def setup(self, impl, filter):  # noqa: A002
        image = described_array("64×64 float32")
        name, *size = filter.split()
        arguments = map(int, size)
        self.call = bind_image(impl, name, image, *arguments, times=SMALL_CALLS)

    def time_hundred_calls(self, impl, filter):  # noqa: A002
        self.call()

    time_hundred_calls.pretty_name = "GPU: ndimage, 100 small calls"


class SmallLayers:
    """A hundred layers that the GPU hardly works for."""

    param_names = ["impl"]
    params = [LAYER_PEERS]

    def setup(self, impl):
        self.call = bind_network(impl, "forward", (8, 8, 8, 3, 1, 1, 1), 1, times=SMALL_CALLS)

    def time_hundred_calls(self, impl):
        self.call()

    time_hundred_calls.pretty_name = "GPU: nn.conv2d, 100 small calls"
