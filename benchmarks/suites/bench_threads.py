"""How work spreads over threads; SciPy and NumPy run these on one."""

from ._common import find, find_own, random_array

WORK = {
    "1,000,000 by 101": ((1_000_000,), (101,)),
    "1080×1920 by 7×7": ((1080, 1920), (7, 7)),
    "128×128×128 by 5×5×5": ((128, 128, 128), (5, 5, 5)),
}


class Threads:
    """Direct sums and transforms on one thread and more."""

    param_names = ["method", "data and taps", "threads"]
    params = [["direct", "tilefft", "fft"], list(WORK), [1, 2, 4, 8]]

    def setup(self, method, work, threads):
        if threads > find_own("get_num_threads")():
            raise NotImplementedError("more threads than processors")
        find_own("set_num_threads")(threads)
        self.convolve = find("fastconv", "convolve")
        self.data, self.kernel = (random_array(shape, "float32") for shape in WORK[work])
        try:
            self.convolve(self.data, self.kernel, "same", method)
        except ValueError as error:  # a commit that is older than the method
            raise NotImplementedError(str(error)) from None

    def time_convolve(self, method, work, threads):
        self.convolve(self.data, self.kernel, "same", method)

    time_convolve.pretty_name = "convolve: by method and threads"
