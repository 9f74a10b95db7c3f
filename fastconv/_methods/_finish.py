"""What is done to the sums of a layer, in NumPy: bias and activation."""

from __future__ import annotations

import math

import numpy as np

from fastconv._problem import Activation, Weights

_erfc = np.vectorize(math.erfc, otypes=[np.float64])


def add_bias(sums: np.ndarray, weights: Weights, groups: slice = slice(None)) -> None:
    """
    Add the bias, if there is one, in place.

    Parameters
    ----------
    sums : ndarray
        (group, output channel, …).
    weights : Weights
        Of all groups.
    groups : slice
        Those of `sums`.
    """
    if weights.bias is not None:
        bias = weights.bias.reshape(weights.taps.shape[:2])[groups]
        sums += bias.reshape(bias.shape + (1,) * (sums.ndim - 2))


def activate(y: np.ndarray, activation: Activation) -> None:
    """Apply an activation to real numbers, in place."""
    # Where exp overflows, the limit is right.
    with np.errstate(over="ignore", invalid="ignore"):
        _activate(y, activation)


def _activate(y: np.ndarray, activation: Activation) -> None:
    match activation:
        case Activation.RELU:
            np.maximum(y, 0, out=y)
        case Activation.RELU6:
            np.clip(y, 0, 6, out=y)
        case Activation.LEAKY_RELU:
            np.multiply(y, y.dtype.type(0.01), out=y, where=y < 0)
        case Activation.SIGMOID:
            y[...] = _sigmoid(y)
        case Activation.TANH:
            np.tanh(y, out=y)
        case Activation.SILU:
            y *= _sigmoid(y)
        case Activation.GELU:
            # Φ by erfc keeps its digits where it is small.
            y *= _erfc(y * -math.sqrt(0.5)) / 2


def _sigmoid(y: np.ndarray) -> np.ndarray:
    share: np.ndarray = 1 / (1 + np.exp(-y))
    return share
