"""fastconv.nn on the layers of well-known networks, beside PyTorch and ONNX Runtime."""

from ._common import CLOCK, LAYER_LIBRARIES, bind_layer, layer_arrays

# Names say the taps, "/2" a stride of two, the channels in and out, and the extent of the data.
# Channels in, extent, channels out, side of the kernel, stride, groups, dilation.
LAYERS = {
    "ResNet-50 3×3, 64→64, 56×56": (64, 56, 64, 3, 1, 1, 1),
    "ResNet-50 7×7/2, 3→64, 224×224": (3, 224, 64, 7, 2, 1, 1),
    "ResNet-50 1×1, 64→256, 56×56": (64, 56, 256, 1, 1, 1, 1),
    "ResNet-50 3×3/2, 128→128, 56×56": (128, 56, 128, 3, 2, 1, 1),
    "ResNet-50 3×3, 256→256, 14×14": (256, 14, 256, 3, 1, 1, 1),
    "ResNet-50 1×1, 1024→256, 14×14": (1024, 14, 256, 1, 1, 1, 1),
    "ResNet-50 3×3, 512→512, 7×7": (512, 7, 512, 3, 1, 1, 1),
    "VGG-16 3×3, 64→64, 224×224": (64, 224, 64, 3, 1, 1, 1),
    "VGG-16 3×3, 128→256, 56×56": (128, 56, 256, 3, 1, 1, 1),
    "VGG-16 3×3, 512→512, 28×28": (512, 28, 512, 3, 1, 1, 1),
    "MobileNetV2 depthwise 3×3, 96, 112×112": (96, 112, 96, 3, 1, 96, 1),
    "MobileNetV2 depthwise 3×3/2, 144, 56×56": (144, 56, 144, 3, 2, 144, 1),
    "MobileNetV2 depthwise 3×3, 960, 7×7": (960, 7, 960, 3, 1, 960, 1),
    "ResNeXt-50 3×3 in 32 groups, 128→128, 56×56": (128, 56, 128, 3, 1, 32, 1),
    "DeepLab 3×3 dilated by 12, 256→256, 33×33": (256, 33, 256, 3, 1, 1, 12),
    "ConvNeXt depthwise 7×7, 384, 14×14": (384, 14, 384, 7, 1, 384, 1),
    "large kernel depthwise 31×31, 64, 56×56": (64, 56, 64, 31, 1, 64, 1),
}
# Those that a training step is made of, one of each kind.
TRAINED = [
    "ResNet-50 3×3, 64→64, 56×56",
    "ResNet-50 7×7/2, 3→64, 224×224",
    "ResNet-50 1×1, 64→256, 56×56",
    "ResNet-50 3×3/2, 128→128, 56×56",
    "ResNet-50 3×3, 256→256, 14×14",
    "MobileNetV2 depthwise 3×3, 96, 112×112",
    "ResNeXt-50 3×3 in 32 groups, 128→128, 56×56",
]

timer = CLOCK
repeat = (1, 20, 1.0)  # for asv: samples at the least and at the most, and seconds, a round


class Forward:
    """One image, and a batch; planned layers hold their weights, as ONNX Runtime's do."""

    param_names = ["impl", "layer", "batch"]
    params = [[*LAYER_LIBRARIES, "fastconv planned"], list(LAYERS), [1, 16]]

    def setup(self, impl, layer, batch):
        arrays = layer_arrays(LAYERS[layer], batch)
        self.layer = bind_layer(impl, "forward", *arrays)

    def time_forward(self, impl, layer, batch):
        self.layer()

    time_forward.pretty_name = "nn.conv2d: layers of networks"


class Gradients:
    """What goes back through a layer; ONNX Runtime does not train."""

    param_names = ["impl", "layer", "batch"]
    params = [["fastconv", "torch"], TRAINED, [1, 16]]

    def setup(self, impl, layer, batch):
        arrays = layer_arrays(LAYERS[layer], batch)
        self.to_input = bind_layer(impl, "grad_input", *arrays)
        self.to_weight = bind_layer(impl, "grad_weight", *arrays)

    def time_grad_input(self, impl, layer, batch):
        self.to_input()

    def time_grad_weight(self, impl, layer, batch):
        self.to_weight()

    time_grad_input.pretty_name = "nn.conv2d_grad_input: layers of networks"
    time_grad_weight.pretty_name = "nn.conv2d_grad_weight: layers of networks"


class Activations:
    """A layer whose activation is done while its results are in the cache."""

    param_names = ["impl", "activation"]
    params = [
        ["fastconv", "torch"],
        ["none", "relu", "relu6", "leaky_relu", "sigmoid", "tanh", "silu", "gelu"],
    ]

    def setup(self, impl, activation):
        arrays = layer_arrays(LAYERS["ResNet-50 1×1, 64→256, 56×56"], 1)
        self.layer = bind_layer(impl, "forward", *arrays, activation=activation)

    def time_forward(self, impl, activation):
        self.layer()

    time_forward.pretty_name = "nn.conv2d: 1×1, 64→256, by activation"


class Small:
    """A layer that takes no time: what a call costs."""

    param_names = ["impl"]
    params = [[*LAYER_LIBRARIES, "fastconv planned"]]

    def setup(self, impl):
        self.layer = bind_layer(impl, "forward", *layer_arrays((8, 8, 8, 3, 1, 1, 1), 1))

    def time_forward(self, impl):
        self.layer()

    time_forward.pretty_name = "nn.conv2d: one small call"
