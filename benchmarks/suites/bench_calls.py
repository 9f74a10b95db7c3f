"""What a call costs beside its arithmetic: one small call, a plan's call, the import."""

import importlib

from ._common import IMPLEMENTATIONS, find, random_array


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
