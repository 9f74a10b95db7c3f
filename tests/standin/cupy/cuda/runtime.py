"""What the runtime tells of devices."""

from cupy import _memory

DEVICES = 2
CUDA_R_32F, CUDA_R_64F, CUDA_C_32F, CUDA_C_64F = 0, 1, 4, 5
_MEMORY = 80 << 30


class CUDARuntimeError(RuntimeError):
    """A call that the runtime refuses."""


def getDeviceCount():
    return DEVICES


def getDeviceProperties(device):
    return {"name": b"a stand-in for an A100"}


def getDevice():
    return _memory.current.id


def setDevice(device):
    if not 0 <= device < DEVICES:
        raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
    _memory.current.id = device


def deviceSynchronize():
    pass


def memGetInfo():
    return _MEMORY, _MEMORY


def runtimeGetVersion():
    return 12090


def driverGetVersion():
    return 12090
