"""Train a small convolutional network on handwritten digits with fastconv.nn.

    pip install ".[example]"
    python docs/digits.py [--epochs 25] [--output digits.svg]

The 1,797 digits of 8 × 8 pixels that scikit-learn brings along go through four layers, all of them
convolutions: 3 × 3 over the pixels, 3 × 3 over the first layer's 16 features, 3 × 3 with stride 2,
and 4 × 4 without padding, which sees all that is left and gives ten scores. Training needs the
three passes of every layer: its result, the gradient of its input, and that of its weights. A fifth
of the digits is kept for the test. Ends with a picture of the loss and of the features that the
first layer learned, and where PyTorch is installed compares its outputs for the same weights.
"""

import argparse
import importlib.util
import time
from pathlib import Path

import numpy as np

from fastconv import nn

BATCH = 64
LEARNING_RATE = 2e-3  # falls to nothing in the course of training
NOISE = 0.15  # added to pixels from 0 to 1, so that none is learned by heart
DECAY = 0.9, 0.999  # of Adam's averages of gradients and of their squares


class Layer:
    """A convolution with its bias and activation, and what training keeps of them."""

    def __init__(self, generator, shape, stride=1, padding=0, activation="relu"):
        taps = np.prod(shape[1:])
        self.weights = (generator.standard_normal(shape) * np.sqrt(2 / taps)).astype("float32")
        self.bias = np.zeros(shape[0], "float32")
        self.steps = {"stride": stride, "padding": padding}
        self.activation = activation
        self.averages = [np.zeros((2, *a.shape), "float32") for a in (self.weights, self.bias)]

    def forward(self, x):
        self.x = x
        activation = self.activation
        self.y = nn.conv2d(x, self.weights, self.bias, **self.steps, activation=activation)
        return self.y

    def backward(self, grad):
        """Keep the gradients of weights and bias; return that of the input."""
        if self.activation == "relu":
            grad = grad * (self.y > 0)
        self.grads = (
            nn.conv2d_grad_weight(grad, self.x, self.weights.shape, **self.steps),
            nn.conv2d_grad_bias(grad),
        )
        return nn.conv2d_grad_input(grad, self.weights, self.x.shape, **self.steps)

    def update(self, step, rate):
        """One step of Adam (Kingma and Ba, arXiv:1412.6980)."""
        parameters = (self.weights, self.bias)
        for a, grad, (mean, square) in zip(parameters, self.grads, self.averages, strict=True):
            mean += (1 - DECAY[0]) * (grad - mean)
            square += (1 - DECAY[1]) * (grad**2 - square)
            scale = rate * np.sqrt(1 - DECAY[1] ** step) / (1 - DECAY[0] ** step)
            a -= scale * mean / (np.sqrt(square) + 1e-8)


def make_network(seed=0):
    generator = np.random.default_rng(seed)
    return [
        Layer(generator, (16, 1, 3, 3), padding=1),
        Layer(generator, (64, 16, 3, 3), padding=1),
        Layer(generator, (64, 64, 3, 3), stride=2, padding=1),
        Layer(generator, (10, 64, 4, 4), activation=None),
    ]


def scores(network, images):
    """(N, 10): how much each image looks like each digit."""
    for layer in network:
        images = layer.forward(images)
    return images[:, :, 0, 0]


def train_step(network, images, digits, step, rate):
    """Change the weights by one batch; return its mean cross entropy."""
    y = scores(network, images)
    y = np.exp(y - y.max(axis=1, keepdims=True))
    y /= y.sum(axis=1, keepdims=True)
    rows = np.arange(len(digits))
    loss = -np.log(y[rows, digits]).mean()
    y[rows, digits] -= 1
    grad = y[:, :, None, None] / np.float32(len(digits))
    for layer in reversed(network):
        grad = layer.backward(grad)
    for layer in network:
        layer.update(step, rate)
    return float(loss)


def accuracy(network, images, digits):
    return float((scores(network, images).argmax(axis=1) == digits).mean())


def load_digits(seed=0):
    """Return images (N, 1, 8, 8) from 0 to 1 and their digits, to train with and to test by."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    data = load_digits()
    images = (data.images[:, None] / 16).astype("float32")
    return train_test_split(
        images, data.target, test_size=0.2, random_state=seed, stratify=data.target
    )


def train(network, images, digits, epochs, seed=0, done=lambda loss: None):
    """Train for some rounds over all images; call `done` after each step; return all losses."""
    generator = np.random.default_rng(seed)
    batches = -(-len(images) // BATCH)
    losses = []
    for _ in range(epochs):
        for batch in np.array_split(generator.permutation(len(images)), batches):
            noise = generator.standard_normal(images[batch].shape, "float32")
            rate = LEARNING_RATE * (1 - len(losses) / (epochs * batches))
            noisy = images[batch] + np.float32(NOISE) * noise
            losses.append(train_step(network, noisy, digits[batch], len(losses) + 1, rate))
            done(losses[-1])
    return losses


def distance_to_torch(network, images):
    """Return the largest difference to PyTorch's scores, or None where it is not installed."""
    if importlib.util.find_spec("torch") is None:
        return None
    import torch

    x = torch.from_numpy(images)
    for layer in network:
        weights, bias = torch.from_numpy(layer.weights), torch.from_numpy(layer.bias)
        x = torch.nn.functional.conv2d(x, weights, bias, **layer.steps)
        x = x.relu() if layer.activation == "relu" else x
    return float(np.abs(x.numpy()[:, :, 0, 0] - scores(network, images)).max())


def draw(losses, network, output):
    """Draw the loss, step by step, and the kernels of the first layer."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    mpl.rcParams.update({"font.size": 10, "svg.hashsalt": "fastconv"})
    figure = plt.figure(figsize=(8, 3.6), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1.2, 1))
    axes = left.subplots()
    axes.plot(np.arange(1, len(losses) + 1), losses, color="#0072B2", linewidth=1)
    axes.set_yscale("log")
    axes.set_xlabel(f"step ({BATCH} digits each)")
    axes.set_ylabel("cross entropy")
    axes.grid(color="#DDDDDD", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    kernels = network[0].weights[:, 0]
    most = np.abs(kernels).max()
    for axes, kernel in zip(right.subplots(4, 4).flat, kernels, strict=True):
        axes.imshow(kernel, cmap="RdBu", vmin=-most, vmax=most)
        axes.set_axis_off()
    right.suptitle("what the first layer looks for", fontsize=10)
    figure.savefig(output, dpi=200, facecolor="white")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=25, help="rounds over the training digits")
    parser.add_argument("--output", type=Path, default=Path("digits.svg"), help="of the picture")
    arguments = parser.parse_args()
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    images, test_images, digits, test_digits = load_digits()
    network = make_network()
    loss_column = TextColumn("{task.description}")
    columns = (TextColumn("training"), BarColumn(), TimeRemainingColumn(), loss_column)
    began = time.perf_counter()
    with Progress(*columns) as bars:
        bar = bars.add_task("", total=arguments.epochs * -(-len(images) // BATCH))

        def done(loss):
            bars.update(bar, advance=1, description=f"loss {loss:.4f}")

        losses = train(network, images, digits, arguments.epochs, done=done)
    took = time.perf_counter() - began
    right = accuracy(network, test_images, test_digits)
    print(f"{len(losses)} steps in {took:.1f} s")
    print(f"{right:.1%} of {len(test_digits)} test digits are recognised")
    distance = distance_to_torch(network, test_images)
    if distance is not None:
        print(f"PyTorch's scores for the same weights differ by {distance:.1e} at most")
    draw(losses, network, arguments.output)
    print(f"wrote {arguments.output}")


if __name__ == "__main__":
    main()
