"""The worked example of docs/, in short form."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

EXAMPLE = Path(__file__).parent.parent / "docs" / "digits.py"


@pytest.fixture(scope="module")
def digits():
    pytest.importorskip("sklearn", reason="scikit-learn brings the digits")
    spec = importlib.util.spec_from_file_location("digits", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def trained(digits):
    images, test_images, labels, test_labels = digits.load_digits()
    network = digits.make_network()
    losses = digits.train(network, images, labels, epochs=3)
    return network, losses, test_images, test_labels


def test_the_network_learns(digits, trained):
    network, losses, images, labels = trained
    assert np.mean(losses[-10:]) < 0.2 * losses[0]
    assert digits.accuracy(network, images, labels) > 0.93


def test_backward_gives_the_slopes_of_the_loss(digits):
    """By central differences, in double precision, for one weight of each layer."""
    generator = np.random.default_rng(1)
    network = digits.make_network()
    for layer in network:
        layer.weights = layer.weights.astype(float)
        layer.bias = layer.bias.astype(float)
    images, weights = generator.random((5, 1, 8, 8)), generator.standard_normal((5, 10))

    def loss():
        return float((weights * digits.scores(network, images)).sum())

    loss()
    grad = weights[:, :, None, None]
    for layer in reversed(network):
        grad = layer.backward(grad)
    for layer in network:
        at = tuple(generator.integers(n) for n in layer.weights.shape)
        grads = layer.grads[0][at], layer.grads[1][at[0]]
        arrays = layer.weights, layer.bias
        for array, index, slope in zip(arrays, (at, at[0]), grads, strict=True):
            kept = array[index]
            array[index] = kept + 1e-6
            above = loss()
            array[index] = kept - 1e-6
            below = loss()
            array[index] = kept
            assert (above - below) / 2e-6 == pytest.approx(slope, rel=1e-5, abs=1e-7)


def test_torch_gives_the_same_scores(digits, trained):
    pytest.importorskip("torch", reason="nothing to compare with")
    network, _, images, _ = trained
    assert digits.distance_to_torch(network, images) < 1e-4


def test_the_picture(digits, trained, tmp_path):
    pytest.importorskip("matplotlib", reason="it draws the picture")
    network, losses, *_ = trained
    digits.draw(losses, network, tmp_path / "digits.svg")
    assert (tmp_path / "digits.svg").stat().st_size > 10_000
