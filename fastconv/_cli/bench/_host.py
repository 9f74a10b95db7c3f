"""The host: fastconv, SciPy and NumPy on arrays of NumPy's."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import fastconv
from fastconv._cli.bench._cases import Case, Convolution, bound
from fastconv._cli.bench._places import Call, optional
from fastconv._cli.bench._references import Array

NUMPY_PRODUCTS = 2e9  # above this many products np.convolve takes seconds: left out

CASES = (
    # signals: from a few samples to a second or a minute of them
    Convolution((16,), (3,), "float32", quick=True),
    Convolution((1000,), (9,), "float32", quick=True),
    Convolution((1000,), (9,), "float64", quick=True),
    Convolution((10_000,), (31,), "float32"),
    Convolution((100_000,), (31,), "float64"),
    Convolution((100_000,), (127,), "float32", quick=True),
    Convolution((1_000_000,), (15,), "float32"),
    Convolution((1_000_000,), (101,), "float32"),
    Convolution((1_000_000,), (101,), "float64"),
    Convolution((1_000_000,), (1001,), "float32"),
    Convolution((1_000_000,), (10_001,), "float64"),
    Convolution((300_000,), (200_000,), "float32", mode="full"),
    Convolution((100_000,), (100,), "complex64", quick=True),
    Convolution((100_000,), (100,), "complex128"),
    Convolution((100_000,), (64,), "int16", quick=True),
    Convolution((100_000,), (64,), "int64"),
    Convolution((100_000,), (127,), "float32", function="correlate", mode="valid"),
    Convolution((64, 16_384), (1, 257), "float32", function="oaconvolve", options={"axes": -1}),
    Convolution((64, 16_384), (1, 257), "float64", function="fftconvolve", options={"axes": -1}),
    # images: a thumbnail, a photograph, a film frame
    Convolution((64, 64), (3, 3), "float32", quick=True),
    Convolution((512, 512), (3, 3), "float32", quick=True),
    Convolution((512, 512), (5, 5), "uint8", kernel_dtype="float32", quick=True),
    Convolution((512, 512), (5, 5), "float64", function="convolve2d", quick=True),
    Convolution((512, 512), (9, 9), "complex64"),
    Convolution((1080, 1920), (3, 3), "float32"),
    Convolution((1080, 1920), (7, 7), "float32"),
    Convolution((1080, 1920), (7, 7), "float64"),
    Convolution((1080, 1920), (7, 7), "int32"),
    Convolution((1080, 1920), (15, 15), "float32"),
    Convolution((1080, 1920), (63, 63), "float32"),
    Convolution(
        (1080, 1920), (5, 5), "float32", function="convolve2d", options={"boundary": "symm"}
    ),
    Convolution(
        (1080, 1920), (7, 7), "float32", function="correlate2d", options={"boundary": "wrap"}
    ),
    # volumes
    Convolution((64, 64, 64), (3, 3, 3), "float32", quick=True),
    Convolution((128, 128, 128), (5, 5, 5), "float32"),
    Convolution((128, 128, 128), (15, 15, 15), "float32"),
)


class Host:
    """The processor."""

    def __init__(self) -> None:
        self.device: int | None = None
        self.cases: Sequence[Case] = CASES
        self.peers = {"scipy": "SciPy", "numpy": "NumPy"}
        self.trusted = frozenset({"scipy"})
        self.absent: dict[str, str] = {}
        self.bandwidth: float | None = None
        self._scipy = optional("scipy.signal", self.absent, "SciPy")
        self._versions = f"NumPy {np.__version__}"
        scipy = optional("scipy", self.absent, "SciPy")
        if self._scipy is None or scipy is None:
            del self.peers["scipy"]
        else:
            self._versions += f" and SciPy {scipy.__version__}"

    def title(self) -> str:
        """Tell the vector instructions and threads, and the versions of the peers."""
        config = fastconv.config()
        return (
            f"fastconv {config['version']} ({config['isa']['used']}, "
            f"{fastconv.get_num_threads()} threads) beside {self._versions}"
        )

    def facts(self) -> dict[str, Any]:
        """Return the device's name; `fastconv.config()` tells the rest."""
        return {"device": "cpu"}

    def put(self, array: Array) -> Array:
        """Return the array."""
        return array

    def get(self, result: Array) -> Array:
        """Return the result."""
        return result

    def calls(self, case: Case, arrays: Sequence[Array]) -> Mapping[str, Call]:
        """Return SciPy's call, and NumPy's for lines."""
        calls = {}
        if self._scipy is not None:
            calls["scipy"] = bound(getattr(self._scipy, case.function), case, arrays)
        if (
            isinstance(case, Convolution)
            and len(case.data) == 1
            and case.products <= NUMPY_PRODUCTS
        ):
            calls["numpy"] = bound(getattr(np, case.function), case, arrays)
        return calls

    def seconds(self, call: Call, repeats: int) -> float:
        """Return the seconds of a call by the clock."""
        start = time.perf_counter()
        for _ in range(repeats):
            call()
        return (time.perf_counter() - start) / repeats

    def clear(self) -> None:
        """Keep nothing anyway."""
