"""Errors of the driver."""


class CUDADriverError(RuntimeError):
    """A launch that the driver refuses."""
