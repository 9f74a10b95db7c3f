"""How work spreads over threads; SciPy and NumPy run these on one."""

import importlib

from ._common import find, random_array

WORK = {
    "1,000,000 * 101": ((1_000_000,), (101,)),
    "1080x1920 * 7x7": ((1080, 1920), (7, 7)),
    "128x128x128 * 5x5x5": ((128, 128, 128), (5, 5, 5)),
}


class Threads:
    """Direct sums and transforms on one thread and more."""

    param_names = ["method", "work", "threads"]
    params = [["direct", "fft"], list(WORK), [1, 2, 4, 8]]

    def setup(self, method, work, threads):
        fastconv = importlib.import_module("fastconv")
        if threads > fastconv.get_num_threads():
            raise NotImplementedError("more threads than processors")
        fastconv.set_num_threads(threads)
        self.convolve = find("fastconv", "convolve")
        self.data, self.kernel = (random_array(shape, "float32") for shape in WORK[work])

    def time_convolve(self, method, work, threads):
        self.convolve(self.data, self.kernel, "same", method)

    time_convolve.pretty_name = "convolve: by threads, float32"
