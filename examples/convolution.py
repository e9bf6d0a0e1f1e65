"""What a convolution gains: LeNet-5 against layers that connect everything, with the same number of weights.

Both learn the same digits. Then the test digits are moved by a few pixels, which neither has seen.

    python examples/convolution.py
    python examples/convolution.py --full --seeds 3
"""

import click
import numpy as np

import tinygrad_mnist as tg
from tinygrad_mnist.experiments import experiment
from tinygrad_mnist.training.models import MODELS

FURTHEST = 6
DIRECTIONS = {"right": (0, 1), "left": (0, -1), "down": (1, 0), "up": (-1, 0)}


def count(model):
    return sum(parameter.size for parameter in model.parameters())


def connected(weights, rng):
    """Make an MLP with one hidden layer, of as many weights as it can have up to this number."""
    inputs, classes = 784, 10
    return tg.nn.MLP([inputs, max((weights - classes) // (inputs + 1 + classes), 1), classes], rng=rng)


def moved(images, down, right):
    """Move images by whole pixels; where nothing was is paper."""
    height, width = images.shape[1:]
    padded = np.pad(images, ((0, 0), *[(FURTHEST, FURTHEST)] * 2))
    top, left = FURTHEST - down, FURTHEST - right
    return padded[:, top : top + height, left : left + width]


def read(model, data, down=0, right=0):
    """Return what a model reads in moved images."""
    inputs = data.transform(moved(data.inputs, down, right))
    return tg.training.predict(model, inputs).argmax(axis=1)


def learn(model, train, validation, epochs, seed, folder, compile):
    return tg.training.fit(
        model,
        train,
        epochs=epochs,
        batch_size=128,
        optimizer=tg.optim.AdamW(model.parameters(), lr=5e-3),
        schedule=tg.optim.OneCycleLR,
        validation=validation,
        rng=seed,
        compile=compile,
        resume=folder,
    )


@experiment("mnist")
@click.option(
    "--model",
    type=click.Choice([name for name in MODELS if name != "mlp"]),
    default="lenet",
    show_default=True,
    help="The network with convolutions.",
)
@click.option(
    "--epochs",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="Number of passes through the data.",
)
def main(report, full, seeds, train, test, model, epochs, compile):
    train, validation = train.split(len(train) * 11 // 12)
    runs, curves = report.table("Test digits, where they were written", mean=True), {}
    for seed in seeds:
        rng = np.random.default_rng(seed)
        convolutional = MODELS[model].make(28, 10, rng)
        networks = {model: convolutional, "mlp": connected(count(convolutional), rng)}
        found = {}
        for name, network in networks.items():
            folder = report.checkpoints(seed) / name
            found[name] = learn(network, train, validation, epochs, seed, folder, compile)
            by_distance = [
                np.mean([read(network, test, d * y, d * x) == test.targets for y, x in DIRECTIONS.values()])
                for d in range(FURTHEST + 1)
            ]
            curves.setdefault(name, []).append(100 * np.array(by_distance))
        runs.add(
            seed=seed,
            **{f"weights_of_{name}": count(network) for name, network in networks.items()},
            **{f"{name}_validation_accuracy": found[name][-1]["validation_accuracy"] for name in networks},
            **{f"{name}_accuracy": curves[name][-1][0] / 100 for name in networks},
        )
    far = report.table("Test digits, moved by some pixels")
    for distance in range(FURTHEST + 1):
        means = {name: np.mean(curves[name], axis=0)[distance] / 100 for name in networks}
        far.add(pixels=distance, **{f"{name}_accuracy": mean for name, mean in means.items()})
    report.picture(
        "distance.png",
        tg.viz.plot_lines,
        range(FURTHEST + 1),
        curves,
        xlabel="moved by (pixels)",
        ylabel="test accuracy (%)",
        caption="Digits that were moved, on average up, down, to the left and to the right",
    )
    digits = [np.flatnonzero(test.targets == digit)[0] for digit in np.unique(test.targets)[2:5]]
    steps = range(FURTHEST + 1)
    images, labels, answers = [], [], []
    for digit in (test.subset([i]) for i in digits):
        for network in networks.values():
            images += [moved(digit.inputs, 0, step)[0] for step in steps]
            labels += [digit.targets[0]] * len(steps)
            answers += [read(network, digit, 0, step)[0] for step in steps]
    report.picture(
        "moved.png",
        tg.viz.plot_images,
        images,
        labels,
        answers,
        columns=len(steps),
        rows=[*networks] * len(digits),
        caption="Moved to the right, pixel by pixel: what was written → what was read",
    )
    for name, network in networks.items():
        report.model(network, f"model_{name}")


if __name__ == "__main__":
    main()
