"""What a call costs beside its arithmetic: one small call, a plan's call, the import.

Always by the clock: to read the processor time (`_common.CLOCK`) takes as long as a call here.
"""

import numpy as np

from ._common import IMPLEMENTATIONS, bind_filter, find, find_own, random_array


class SmallCalls:
    """One call on arrays so small that only its overhead counts."""

    param_names = ["impl", "samples and taps"]
    params = [IMPLEMENTATIONS, ["256 by 9", "64 by 5", "16 by 3"]]

    def setup(self, impl, sizes):
        self.convolve, self.correlate = find(impl, "convolve"), find(impl, "correlate")
        samples, taps = (int(length) for length in sizes.split(" by "))
        self.data, self.kernel = random_array(samples, "float32"), random_array(taps, "float32")

    def time_convolve(self, impl, sizes):
        self.convolve(self.data, self.kernel, "same")

    time_convolve.pretty_name = "convolve: one small line"

    def time_correlate(self, impl, sizes):
        self.correlate(self.data, self.kernel, "same")

    time_correlate.pretty_name = "correlate: one small line"


class SmallImages:
    """One call on a 16x16 image."""

    param_names = ["impl", "function"]
    params = [["fastconv", "scipy"], ["convolve", "convolve2d", "fftconvolve", "oaconvolve"]]

    def setup(self, impl, function):
        self.function = find(impl, function, ndim=2)
        self.data, self.kernel = random_array((16, 16), "float32"), random_array((3, 3), "float32")

    def time_call(self, impl, function):
        self.function(self.data, self.kernel, "same")

    time_call.pretty_name = "one small image, 16×16 by 3×3 taps"


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

    time_correlate.pretty_name = "ndimage.correlate: N×N image by 3×3 taps"


class SmallLayers:
    """One layer so small that only its overhead counts."""

    param_names = ["layer"]
    params = [["conv2d 8×8×8 by 3×3", "conv1d 8×64 by 3", "conv3d 2×6×6×6 by 3×3×3"]]

    def setup(self, layer):
        rank = int(layer[4])
        self.function = find_own(f"nn.{layer[:6]}")
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

    time_call.pretty_name = "nn: one small layer"
    time_padded.pretty_name = "nn: one small layer, bias and padding"


class SmallPlans:
    """A ready plan's call on arrays so small that only its overhead counts."""

    param_names = ["problem"]
    params = [["16 by 3", "16×16 by 3×3", "ndimage 16×16 by 3×3"]]

    def setup(self, problem):
        function = find_own("ndimage.correlate" if "ndimage" in problem else "convolve")
        axes = 2 if "×" in problem else 1
        self.data, kernel = random_array((16,) * axes), random_array((3,) * axes)
        self.plan = find_own("plan")(function, self.data, kernel)
        self.out = np.empty_like(self.plan(self.data))

    def time_call(self, problem):
        self.plan(self.data)

    def time_out(self, problem):
        self.plan(self.data, out=self.out)

    time_call.pretty_name = "ready plan: one small call"
    time_out.pretty_name = "ready plan: one small call with out="


class Plans:
    """Making a plan, explaining one, and calling one that is ready."""

    def setup(self):
        self.make, self.explain = find_own("plan"), find_own("explain")
        self.convolve = find_own("convolve")
        self.data, self.kernel = random_array(1000, "float32"), random_array(9, "float32")
        self.plan = self.make(self.convolve, self.data, self.kernel, mode="same")

    def time_plan(self):
        self.make(self.convolve, self.data, self.kernel, mode="same")

    time_plan.pretty_name = "plan: 1,000 samples by 9 taps"

    def time_call(self):
        self.plan(self.data)

    time_call.pretty_name = "ready plan: 1,000 samples by 9 taps"

    def time_explain(self):
        self.explain(self.convolve, self.data, self.kernel, mode="same")

    time_explain.pretty_name = "explain: 1,000 samples by 9 taps"


class Imports:
    """A fresh interpreter's first import; NumPy's is part of the others'."""

    param_names = ["module"]
    params = [["numpy", "fastconv", "scipy.signal"]]

    def timeraw_import(self, module):
        return f"import {module}"

    timeraw_import.pretty_name = "import in a fresh interpreter"
