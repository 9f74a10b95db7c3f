"""The worked examples of docs/, in short form."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

DOCS = Path(__file__).parent.parent / "docs"


def example(name):
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# Digits -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits():
    pytest.importorskip("sklearn", reason="scikit-learn brings the digits")
    return example("digits")


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


# A part of a photograph ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def match():
    pytest.importorskip("sklearn", reason="scikit-learn brings the photograph")
    pytest.importorskip("PIL", reason="Pillow reads the photograph")
    return example("match")


@pytest.fixture(scope="module")
def photograph(match):
    return match.load_photograph()


@pytest.mark.parametrize("noise", [0, 10, 25])
def test_the_part_is_found(match, photograph, noise):
    response, place = match.find(match.make_copy(photograph, noise), match.cut_part(photograph))
    assert place == match.PLACE
    assert response[place] > match.elsewhere(response, place) + 0.3


def test_gain_and_offset_cost_nothing(match, photograph):
    response, place = match.find(match.make_copy(photograph, 0), match.cut_part(photograph))
    assert response[place] == pytest.approx(1, abs=1e-5)


def test_scikit_image_finds_the_same(match, photograph):
    pytest.importorskip("skimage", reason="scikit-image, to compare with")
    image, part = match.make_copy(photograph, 25), match.cut_part(photograph)
    _, difference = match.compare(image, part)
    assert difference < 1e-3  # scikit-image's sums run over the whole image, in float32


def test_the_picture_of_the_response(match, photograph, tmp_path):
    pytest.importorskip("matplotlib", reason="it draws the picture")
    image, part = match.make_copy(photograph, 25), match.cut_part(photograph)
    match.draw(image, part, *match.find(image, part), tmp_path / "match.png")
    assert 10_000 < (tmp_path / "match.png").stat().st_size < 300_000
