"""A GPU: fastconv, CuPy and PyTorch on arrays of CuPy's, timed by the GPU itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np

import fastconv
from fastconv import _devices
from fastconv._cli.bench import _gpu_peers
from fastconv._cli.bench._cases import Case, Convolution, Filter, Layer
from fastconv._cli.bench._host import CASES as HOST_CASES
from fastconv._cli.bench._places import Call, Unavailable, optional
from fastconv._cli.bench._references import Array

INSTALL = "pip install 'fastconv[cuda12]', or 'fastconv[cuda13]', as the driver's CUDA is"
# What is copied to measure the memory's rate: more than any cache holds.
COPY_BYTES = 256 << 20
COPY_ROUNDS, COPIES = 5, 4

_HD, _UHD, _PHOTO, _VOLUME = (1080, 1920), (2160, 3840), (4096, 4096), (256, 256, 256)

CASES: tuple[Case, ...] = (
    *HOST_CASES,
    # signals of a million to sixteen million samples
    Convolution((2**20,), (101,), "float32", quick=True),
    Convolution((2**20,), (2**20,), "float32", function="correlate", mode="full"),
    Convolution((2**22,), (1001,), "complex64"),
    Convolution((2**22,), (10_001,), "float64"),
    Convolution((2**24,), (15,), "float32"),
    Convolution((2**24,), (101,), "float32"),
    Convolution((2**24,), (1001,), "float32"),
    Convolution((2**24,), (100_001,), "float32"),
    Convolution((2**24,), (101,), "float64"),
    Convolution((2**24,), (31,), "int32"),
    Convolution((1024, 16_384), (1, 257), "float32", function="oaconvolve", options={"axes": -1}),
    # images
    Convolution(_UHD, (3, 3), "float32"),
    Convolution(_UHD, (7, 7), "float32", quick=True),
    Convolution(_UHD, (15, 15), "float32"),
    Convolution(_UHD, (31, 31), "float32"),
    Convolution(_UHD, (127, 127), "float32"),
    Convolution(_UHD, (9, 9), "float64", function="convolve2d"),
    Filter((16, 16), "correlate", kernel=(3, 3), quick=True),
    Filter((64, 64), "gaussian_filter", size=1, quick=True),
    Filter(_HD, "correlate", kernel=(7, 7), quick=True),
    Filter(_HD, "correlate", kernel=(7, 7), dtype="uint8"),
    Filter(_HD, "gaussian_filter", size=3, quick=True),
    Filter(_HD, "gaussian_filter", size=3, dtype="uint8"),
    Filter(_HD, "uniform_filter", size=21, dtype="uint8"),
    Filter(_UHD, "correlate", kernel=(3, 3)),
    Filter(_UHD, "convolve", kernel=(15, 15), mode="mirror"),
    Filter(_UHD, "correlate", kernel=(63, 63), mode="constant"),
    Filter(_UHD, "gaussian_filter", size=1),
    Filter(_UHD, "gaussian_filter", size=3, mode="wrap"),
    Filter(_UHD, "gaussian_filter", size=10),
    Filter(_UHD, "gaussian_filter", size=3, dtype="float64"),
    Filter(_UHD, "uniform_filter", size=3, mode="nearest"),
    Filter(_UHD, "uniform_filter", size=101),
    Filter(_UHD, "sobel"),
    Filter(_UHD, "laplace"),
    Filter(_PHOTO, "gaussian_filter", size=1),
    Filter(_PHOTO, "uniform_filter", size=21),
    Filter(_PHOTO, "sobel", quick=True),
    Filter(_PHOTO, "laplace"),
    # volumes
    Convolution(_VOLUME, (5, 5, 5), "float32"),
    Filter(_VOLUME, "correlate", kernel=(3, 3, 3)),
    Filter(_VOLUME, "gaussian_filter", size=2),
    Filter(_VOLUME, "uniform_filter", size=9),
    Filter(_VOLUME, "sobel"),
    # layers: of ResNet-50, MobileNetV2 and RepLKNet
    Layer(1, 8, 8, 8, 3, quick=True),
    Layer(1, 64, 56, 64, 3, quick=True),
    Layer(32, 3, 224, 64, 7, stride=2),
    Layer(32, 64, 56, 256, 1),
    Layer(32, 64, 56, 64, 3, quick=True),
    Layer(32, 128, 56, 128, 3, stride=2),
    Layer(32, 256, 14, 256, 3),
    Layer(32, 512, 7, 512, 3),
    Layer(32, 96, 112, 96, 3, groups=96),
    Layer(32, 144, 56, 144, 3, stride=2, groups=144, quick=True),
    Layer(32, 960, 7, 960, 3, groups=960),
    Layer(8, 64, 56, 64, 31, groups=64),
    Layer(32, 64, 56, 64, 3, function="conv2d_grad_input"),
    Layer(32, 64, 56, 64, 3, function="conv2d_grad_weight"),
    Layer(32, 128, 56, 128, 3, stride=2, function="conv2d_grad_input"),
    Layer(32, 128, 56, 128, 3, stride=2, function="conv2d_grad_weight"),
    Layer(32, 96, 112, 96, 3, groups=96, function="conv2d_grad_input"),
    Layer(32, 96, 112, 96, 3, groups=96, function="conv2d_grad_weight"),
    Layer(32, 64, 56, 64, 3, dtype="float64"),
)


class Gpu:
    """
    A GPU, whose number is that of CuPy's.

    Raises
    ------
    Unavailable
        If there is no CuPy, or no such GPU.
    """

    def __init__(self, device: int) -> None:
        self.device: int | None = device
        self.cases: Sequence[Case] = CASES
        self.trusted: frozenset[str] = frozenset()
        self.absent: dict[str, str] = {}
        self._cupy = _cupy_with(device)
        self.peers = {"cupy": "CuPy", "cupy_fft": "CuPy's FFT"}
        with _devices.on(device):
            # CuPy calls that are not there are looked for with every case: told once, here.
            for family in ("signal", "ndimage"):
                optional(f"cupyx.scipy.{family}", self.absent, f"cupyx.scipy.{family}")
            self._torch = _torch_on(device, self._cupy, self.absent)
            if self._torch is not None:
                self.peers["torch"] = "torch"
            self.bandwidth: float | None = self._copy_bandwidth()

    def title(self) -> str:
        """Tell the GPU and its rate of copies, and the versions of all."""
        facts = self.facts()
        beside = f"CuPy {facts['cupy']}"
        if self._torch is not None:
            beside += f" and torch {facts['torch']} (cuDNN {facts['cudnn']}, without TF32)"
        return (
            f"fastconv {fastconv.__version__} on {facts['device']}, {facts['name']} (driver for "
            f"CUDA {facts['driver']}, runtime {facts['runtime']}; copies at "
            f"{facts['copy_bandwidth'] / 1e9:.0f} GB/s) beside {beside}"
        )

    def facts(self) -> dict[str, Any]:
        """Return the GPU's name, the versions of what runs on it, and its rate of copies."""
        runtime = self._cupy.cuda.runtime
        facts = {
            "device": _devices.name(self.device),
            "name": runtime.getDeviceProperties(self.device)["name"].decode(),
            "compute_capability": self._cupy.cuda.Device(self.device).compute_capability,
            "driver": _version(runtime.driverGetVersion()),
            "runtime": _version(runtime.runtimeGetVersion()),
            "cupy": self._cupy.__version__,
            "copy_bandwidth": self.bandwidth,
        }
        if self._torch is not None:
            facts["torch"] = self._torch.__version__
            facts["cudnn"] = self._torch.backends.cudnn.version()
        return facts

    def put(self, array: Array) -> Any:
        """Return an array on the GPU."""
        return self._cupy.asarray(array)

    def get(self, result: Any) -> Array:
        """Return a result in the host's memory: CuPy's, or torch's."""
        if _devices.is_on_gpu(result):
            return _devices.to_host(result)
        return np.asarray(result.cpu())

    def calls(self, case: Case, arrays: Sequence[Any]) -> Mapping[str, Call]:
        """Return CuPy's own call, its FFT's, and PyTorch's."""
        calls = {
            "cupy": _gpu_peers.by_cupyx(case, arrays),
            "cupy_fft": _gpu_peers.by_transforms(case, arrays),
        }
        if self._torch is not None:
            calls["torch"] = _gpu_peers.by_torch(self._torch, case, arrays)
        return {name: call for name, call in calls.items() if call is not None}

    def seconds(self, call: Call, repeats: int) -> float:
        """
        Return the seconds of a call, between two events on the stream.

        What the host does beside is in it where the GPU waits for it, as in a program that does
        nothing else.
        """
        start, stop = self._cupy.cuda.Event(), self._cupy.cuda.Event()
        start.record()
        for _ in range(repeats):
            call()
        stop.record()
        stop.synchronize()
        return float(self._cupy.cuda.get_elapsed_time(start, stop)) / 1e3 / repeats

    def clear(self) -> None:
        """Give back what the pools of CuPy and PyTorch keep, which each keeps for itself."""
        self._cupy.get_default_memory_pool().free_all_blocks()
        if self._torch is not None:
            self._torch.cuda.empty_cache()

    def _copy_bandwidth(self) -> float:
        """Measure the bytes a second that copies on the GPU read and write."""
        source = self._cupy.zeros(COPY_BYTES, np.uint8)
        target = self._cupy.empty_like(source)

        def copy() -> None:
            self._cupy.copyto(target, source)

        copy()
        least = min(self.seconds(copy, COPIES) for _ in range(COPY_ROUNDS))
        return 2 * COPY_BYTES / least


def _cupy_with(device: int) -> ModuleType:
    """Return CuPy, where it has this GPU."""
    absent: dict[str, str] = {}
    cupy = optional("cupy", absent, "CuPy")
    name = _devices.name(device)
    if cupy is None:
        raise Unavailable(f"{name} needs CuPy ({INSTALL}): {absent['CuPy']}")
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise Unavailable(
            f"CuPy finds no GPU for {name}: {error}. It needs an NVIDIA GPU, its driver, and the "
            f"CuPy for it ({INSTALL})"
        ) from error
    if device >= count:
        raise Unavailable(f"there is no {name}: CuPy finds {count} GPU{'s' * (count != 1)}")
    return cupy


def _torch_on(device: int, cupy: ModuleType, absent: dict[str, str]) -> Any:
    """Return PyTorch, set up to work on CuPy's GPU and stream in full float32; None without."""
    torch = optional("torch", absent, "torch")
    if torch is None:
        return None
    if not torch.cuda.is_available():
        absent["torch"] = "finds no GPU"
        return None
    # TF32 rounds float32 to 10 bits; cuDNN is to time its own algorithms and take the fastest.
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    torch.cuda.set_device(device)
    stream = cupy.cuda.get_current_stream().ptr
    if stream:  # 0 is the default stream of both
        torch.cuda.set_stream(torch.cuda.ExternalStream(stream))
    return torch


def _version(number: int) -> str:
    """Return a version of CUDA's in words: 12090 is 12.9."""
    return f"{number // 1000}.{number % 1000 // 10}"
