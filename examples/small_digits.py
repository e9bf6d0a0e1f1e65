"""The small digits: 8×8 pixels, and a network that is a list of weights and biases.

64 pixels go in, 40 neurons look at them, and ten numbers between 0 and 1 come out. Most of the test digits were
written by other people than the training digits.

    python examples/small_digits.py --seeds 3
    python examples/small_digits.py --show 7          (what does it answer for test image 7?)
"""

import time
from itertools import pairwise

import click
import numpy as np

import tinygrad_mnist as tg
from tinygrad_mnist.experiments import experiment
from tinygrad_mnist.nn import functional as F


class Network(tg.nn.Module):
    """Layers in a list, each a pair of weights and biases."""

    def __init__(self, seed=0):
        rng = np.random.default_rng(seed)
        self.layers = [
            (tg.nn.Parameter(tg.nn.init.xavier_normal((m, n), rng=rng)), tg.nn.Parameter(np.zeros(n)))
            for m, n in pairwise([64, 40, 10])
        ]

    def forward(self, x):
        for weights, biases in self.layers:
            x = F.sigmoid(x @ weights + biases)
        return x


def squared_error(outputs, labels):
    wanted = (labels[:, np.newaxis] == np.arange(10)).astype(outputs.dtype)  # a 1 at the place of the digit
    return np.mean(np.sum(np.square(outputs - wanted), axis=1))


def raw(images):
    return images.reshape(-1, 64).astype(np.float32)


def scaled(images):
    """Scale pixels from 0 … 16 to -1 … 1."""
    return raw(images) / 8 - 1


def moved(images, rng):
    """Move each image by up to half a pixel in both directions: nobody writes a digit twice in one place."""
    images = np.pad(images, [(0, 0), (1, 1), (1, 1)]).astype(np.float32)
    for axis in (1, 2):
        share = rng.uniform(-0.5, 0.5, (len(images), 1, 1)).astype(np.float32)
        neighbours = np.where(share > 0, np.roll(images, 1, axis), np.roll(images, -1, axis))
        images += abs(share) * (neighbours - images)
    return images[:, 1:-1, 1:-1]


def learn(model, train, test, cycles, seed, as_written, compile):
    """Train with Nesterov momentum on moved images or, as once written, with plain gradient descent."""
    rng = np.random.default_rng(seed)
    if as_written:
        train.transform = test.transform = raw
        optimizer, schedule = tg.optim.SGD(model.parameters(), lr=1), None
    else:
        train.transform, test.transform = lambda images: scaled(moved(images, rng)), scaled
        optimizer = tg.optim.SGD(model.parameters(), lr=1, momentum=0.9, nesterov=True)
        schedule = tg.optim.OneCycleLR
    return tg.training.fit(
        model,
        tg.data.DataLoader(train, 15, shuffle=True, rng=rng),
        epochs=cycles,
        loss=squared_error,
        optimizer=optimizer,
        schedule=schedule,
        validation=test,  # only for the curve: it does not affect any choice
        compile=compile,
    )


@experiment("digits")
@click.option(
    "--cycles",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    help="Number of passes through the data.",
)
@click.option(
    "--show",
    metavar="INDEX",
    type=click.IntRange(0, 358),
    help="Test image to show the outputs for.  [default: the first that is misread]",
)
@click.option("--as-written", is_flag=True, help="Plain gradient descent on pixels from 0 to 16.")
def main(report, full, seeds, train, test, cycles, show, as_written, compile):
    runs, histories = report.table("Digits that were not used for training", mean=True), []
    for seed in seeds:
        model = Network(seed)
        started = time.perf_counter()
        histories.append(learn(model, train, test, cycles, seed, as_written, compile))
        seconds = time.perf_counter() - started
        outputs = tg.training.predict(model, test)
        right = np.sum(outputs.argmax(axis=1) == test.targets)
        runs.add(
            seed=seed,
            correct=f"{right} / {len(test)}",
            test_accuracy=right / len(test),
            training_seconds=seconds,
            backend=histories[-1].backend,
        )
    report.model(model)

    curves = {
        "learned from": [100 * np.array(history["train_accuracy"]) for history in histories],
        "not learned from": [100 * np.array(history["validation_accuracy"]) for history in histories],
    }
    axes = {"xlabel": "cycle", "ylabel": "accuracy (%)"}
    report.picture(
        "cycles.png",
        tg.viz.plot_lines,
        np.arange(1, cycles + 1),
        curves,
        caption="Cycle by cycle, all seeds",
        **axes,
    )
    report.heading("The test images and the answers of the last network")
    if show is None:
        show = int(np.argmax(outputs.argmax(axis=1) != test.targets))
    report.picture(
        "outputs.png",
        tg.viz.plot_prediction,
        test.inputs[show],
        outputs[show],
        label=int(test.targets[show]),
        caption=f"Image {show} and its ten outputs",
    )
    report.picture(
        "images.png",
        tg.viz.browse,
        test,
        outputs=outputs,
        caption="Images 0 to 99, ten in a row: what was written → what was read",
    )


if __name__ == "__main__":
    main()
