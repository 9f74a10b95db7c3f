"""What a call costs beside its arithmetic: one small call, a plan's call, the import."""

import importlib

import numpy as np

from ._common import IMPLEMENTATIONS, bind_filter, find, random_array


class SmallCalls:
    """One call on arrays so small that only its overhead counts."""

    param_names = ["impl", "samples * taps"]
    params = [IMPLEMENTATIONS, ["16 * 3", "64 * 5", "256 * 9"]]

    def setup(self, impl, sizes):
        self.convolve, self.correlate = find(impl, "convolve"), find(impl, "correlate")
        samples, taps = (int(length) for length in sizes.split(" * "))
        self.data, self.kernel = random_array(samples, "float32"), random_array(taps, "float32")

    def time_convolve(self, impl, sizes):
        self.convolve(self.data, self.kernel, "same")

    time_convolve.pretty_name = "convolve: one small call, float32"

    def time_correlate(self, impl, sizes):
        self.correlate(self.data, self.kernel, "same")

    time_correlate.pretty_name = "correlate: one small call, float32"


class SmallImages:
    """One call on a 16x16 image."""

    param_names = ["impl", "function"]
    params = [["fastconv", "scipy"], ["convolve", "convolve2d", "fftconvolve", "oaconvolve"]]

    def setup(self, impl, function):
        self.function = find(impl, function, ndim=2)
        self.data, self.kernel = random_array((16, 16), "float32"), random_array((3, 3), "float32")

    def time_call(self, impl, function):
        self.function(self.data, self.kernel, "same")

    time_call.pretty_name = "one small call: 16x16 image, 3x3 taps, float32"


class SmallOutputs:
    """One filter into a new array, and into one's own."""

    param_names = ["impl", "extent", "output"]
    params = [["fastconv", "scipy"], [16, 512], ["new", "own"]]

    def setup(self, impl, extent, output):
        image, kernel = random_array((extent, extent), "float32"), random_array((3, 3), "float32")
        own = {"output": np.empty_like(image)} if output == "own" else {}
        self.filter = bind_filter(impl, "correlate", image, kernel, **own)

    def time_correlate(self, impl, extent, output):
        self.filter()

    time_correlate.pretty_name = "ndimage.correlate: 3x3 taps, float32, by output"


class SmallLayers:
    """One layer so small that only its overhead counts."""

    param_names = ["layer"]
    params = [["conv1d 8x64, 8 of 8x3", "conv2d 8x8x8, 8 of 8x3x3", "conv3d 2x6x6x6, 2 of 2x3x3x3"]]

    def setup(self, layer):
        nn = importlib.import_module("fastconv").nn
        rank = int(layer[4])
        self.function = getattr(nn, layer[:6])
        x, w = {
            1: ((1, 8, 64), (8, 8, 3)),
            2: ((1, 8, 8, 8), (8, 8, 3, 3)),
            3: ((1, 2, 6, 6, 6), (2, 2, 3, 3, 3)),
        }[rank]
        self.data, self.weights = random_array(x, "float32"), random_array(w, "float32")
        self.bias = random_array(w[0], "float32")

    def time_call(self, layer):
        self.function(self.data, self.weights)

    def time_padded(self, layer):
        self.function(self.data, self.weights, bias=self.bias, padding=1)

    time_call.pretty_name = "nn: one small layer, float32"
    time_padded.pretty_name = "nn: one small layer with bias and padding, float32"


class SmallPlans:
    """A ready plan's call on arrays so small that only its overhead counts."""

    param_names = ["problem"]
    params = [["16 * 3", "16x16 * 3x3", "ndimage 16x16 * 3x3"]]

    def setup(self, problem):
        fastconv = importlib.import_module("fastconv")
        function = fastconv.ndimage.correlate if "ndimage" in problem else fastconv.convolve
        axes = 2 if "x" in problem else 1
        self.data, kernel = random_array((16,) * axes), random_array((3,) * axes)
        self.plan = fastconv.plan(function, self.data, kernel)
        self.out = np.empty_like(self.plan(self.data))

    def time_call(self, problem):
        self.plan(self.data)

    def time_out(self, problem):
        self.plan(self.data, out=self.out)

    time_call.pretty_name = "a ready plan's small call, float64"
    time_out.pretty_name = "a ready plan's small call with out=, float64"


class Plans:
    """Making a plan, explaining one, and calling one that is ready."""

    def setup(self):
        self.fastconv = importlib.import_module("fastconv")
        self.data, self.kernel = random_array(1000, "float32"), random_array(9, "float32")
        self.plan = self.fastconv.plan(self.fastconv.convolve, self.data, self.kernel, mode="same")

    def time_plan(self):
        self.fastconv.plan(self.fastconv.convolve, self.data, self.kernel, mode="same")

    time_plan.pretty_name = "plan: 1,000 samples, 9 taps"

    def time_call(self):
        self.plan(self.data)

    time_call.pretty_name = "a ready plan's call: 1,000 samples, 9 taps"

    def time_explain(self):
        self.fastconv.explain(self.fastconv.convolve, self.data, self.kernel, mode="same")

    time_explain.pretty_name = "explain: 1,000 samples, 9 taps"


class Imports:
    """A fresh interpreter's first import; NumPy's is part of the others'."""

    param_names = ["module"]
    params = [["numpy", "fastconv", "scipy.signal"]]

    def timeraw_import(self, module):
        return f"import {module}"

    timeraw_import.pretty_name = "import"
