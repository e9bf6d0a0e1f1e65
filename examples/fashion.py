"""Train the same network on clothes instead of digits: Fashion-MNIST.

70,000 small photographs of ten kinds of clothes have the shape and the number of MNIST's digits on purpose: a
network that reads digits learns clothes without a change. They are harder.

    apt install dataset-fashion-mnist       (or --data FOLDER)
    python examples/fashion.py --full
"""

import time

import click
import numpy as np

import tinygrad_mnist as tg
from tinygrad_mnist.experiments import experiment
from tinygrad_mnist.nn import functional as F


class Classifier(tg.nn.Module):
    """Two hidden layers; in training, each unit is switched off for one image in five."""

    def __init__(self, neurons=256, dropout=0.2, seed=0):
        rng = np.random.default_rng(seed)
        self.hidden1 = tg.nn.Linear(784, neurons, weight_init="kaiming_normal", rng=rng)
        self.hidden2 = tg.nn.Linear(neurons, neurons, weight_init="kaiming_normal", rng=rng)
        self.output = tg.nn.Linear(neurons, 10, rng=rng)
        self.dropout = tg.nn.Dropout(dropout, rng=rng)

    def forward(self, x):
        x = self.dropout(F.relu(self.hidden1(x)))
        x = self.dropout(F.relu(self.hidden2(x)))
        return self.output(x)


def learn(model, train, validation, epochs, seed, folder):
    return tg.training.fit(
        model,
        train,
        epochs=epochs,
        batch_size=100,
        optimizer=tg.optim.AdamW(model.parameters(), lr=3e-3),
        schedule=tg.optim.OneCycleLR,
        validation=validation,
        rng=seed,
        resume=folder,
    )


def most_confused(matrix, classes):
    """Say which class is most often taken for which other class."""
    wrong = matrix - np.diag(np.diag(matrix))
    true, taken_for = np.unravel_index(wrong.argmax(), wrong.shape)
    return (
        f"Most often confused: {classes[true]} is taken for {classes[taken_for]} "
        f"in {wrong.max():,} of {matrix[true].sum():,} cases."
    )


@experiment("fashion")
@click.option(
    "--neurons",
    type=click.IntRange(1),
    default=256,
    show_default=True,
    help="Number of neurons in each hidden layer.",
)
@click.option(
    "--epochs", type=click.IntRange(1), help="Number of passes through the data.  [default: 5, --full: 20]"
)
def main(report, full, seeds, train, test, neurons, epochs):
    if not full:
        train, test = train.subset(slice(4800)), test.subset(slice(1000))
    train, validation = train.split(len(train) * 5 // 6)
    first = np.stack([np.flatnonzero(train.targets == kind)[:5] for kind in range(10)])
    report.picture(
        "kinds.png",
        tg.viz.plot_images,
        train.inputs[first.reshape(2, 5, 5).swapaxes(1, 2).ravel()],  # a column each, in two blocks of five
        [*train.classes[:5], *[""] * 20, *train.classes[5:], *[""] * 20],
        columns=5,
        caption="The ten kinds of clothes, five of each",
    )
    runs = report.table("Clothes that were not used for training", mean=True)
    for seed in seeds:
        model = Classifier(neurons, seed=seed)
        started = time.perf_counter()
        history = learn(
            model, train, validation, epochs or (20 if full else 5), seed, report.checkpoints(seed)
        )
        seconds = time.perf_counter() - started
        outputs = tg.training.predict(model, test)
        runs.add(
            seed=seed,
            validation_accuracy=history[-1]["validation_accuracy"],
            test_accuracy=tg.training.accuracy(test.targets, outputs),
            training_seconds=seconds,
        )
    report.history(history)
    report.model(model)
    matrix = tg.training.confusion_matrix(test.targets, outputs, 10)
    report.text(most_confused(matrix, test.classes))
    report.picture(
        "confusion.png",
        tg.viz.plot_confusion,
        matrix,
        classes=test.classes,
        caption="Which kind is taken for which",
    )
    report.picture(
        "mistakes.png",
        tg.viz.plot_mistakes,
        test.inputs,
        test.targets,
        F.softmax(outputs),
        classes=test.classes,
        count=15,
        columns=3,
        caption="The worst mistakes: the true kind, the answer, and how sure the network was",
    )


if __name__ == "__main__":
    main()
