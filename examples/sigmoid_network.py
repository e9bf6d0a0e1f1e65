"""A sigmoid network with any number of layers and neurons.

784 pixels go in, ten numbers between 0 and 1 come out, and the squared error says how far they are from the right
answer. Only this forward pass is written; the gradients are computed from it.

    python examples/sigmoid_network.py --layers 2 --neurons 16 --epochs 18
    python examples/sigmoid_network.py --study        (which activation learns best?)
"""

import time
from itertools import pairwise

import click
import numpy as np

import tinygrad_mnist as tg
from tinygrad_mnist.experiments import experiment
from tinygrad_mnist.nn import functional as F

ACTIVATIONS = {
    "two-sigmoid": lambda x: 2 * F.sigmoid(x) - 1,
    "sigmoid": F.sigmoid,
    "tanh": np.tanh,
    "relu": F.relu,
}


class SigmoidNetwork(tg.nn.Module):
    """Hidden layers with any of the activations, and outputs from 0 to 1."""

    def __init__(self, layers=2, neurons=16, activation="two-sigmoid", weights="xavier_normal", seed=0):
        rng = np.random.default_rng(seed)
        sizes = [784, *[neurons] * layers, 10]
        self.activation = activation
        self.layers = [tg.nn.Linear(m, n, weight_init=weights, rng=rng) for m, n in pairwise(sizes)]

    def forward(self, x):
        *hidden, output = self.layers
        for layer in hidden:
            x = ACTIVATIONS[self.activation](layer(x))
        return F.sigmoid(output(x))


def squared_error(outputs, labels):
    wanted = (labels[:, np.newaxis] == np.arange(10)).astype(outputs.dtype)  # a 1 at the place of the digit
    return np.mean(np.sum(np.square(outputs - wanted), axis=1))


def learn(model, train, validation, epochs, batch_size, seed, as_written, compile):
    """Train with Nesterov momentum or, as in the first program of this kind, with plain gradient descent."""
    if as_written:
        optimizer, schedule = tg.optim.SGD(model.parameters(), lr=1), None
    else:
        optimizer = tg.optim.SGD(model.parameters(), lr=0.3, momentum=0.9, nesterov=True, weight_decay=2e-4)
        schedule = tg.optim.OneCycleLR
    return tg.training.fit(
        model,
        tg.data.DataLoader(train, batch_size, shuffle=not as_written, rng=seed),
        epochs=epochs,
        loss=squared_error,
        optimizer=optimizer,
        schedule=schedule,
        validation=validation,
        compile=compile,
    )


@experiment("mnist")
@click.option(
    "--layers", type=click.IntRange(0), default=2, show_default=True, help="Number of hidden layers."
)
@click.option(
    "--neurons",
    type=click.IntRange(1),
    default=16,
    show_default=True,
    help="Number of neurons in each hidden layer.",
)
@click.option(
    "--epochs",
    type=click.IntRange(1),
    default=18,
    show_default=True,
    help="Number of passes through the data.",
)
@click.option(
    "--batch-size", type=click.IntRange(1), default=100, show_default=True, help="Images per update."
)
@click.option("--activation", type=click.Choice(list(ACTIVATIONS)), default="two-sigmoid", show_default=True)
@click.option("--study", is_flag=True, help="Train once with each activation, and compare the results.")
@click.option(
    "--as-written", is_flag=True, help="Plain gradient descent: lr 1, weights from U(-½, ½), no shuffling."
)
def main(
    report,
    full,
    seeds,
    train,
    test,
    layers,
    neurons,
    epochs,
    batch_size,
    activation,
    study,
    as_written,
    compile,
):
    train, validation = train.split(len(train) * 5 // 6)
    weights = "uniform" if as_written else "xavier_normal"
    runs, curves = report.table("Images that were not used for training", mean=not study), {}
    for kind in ACTIVATIONS if study else [activation]:
        for seed in seeds:
            model = SigmoidNetwork(layers, neurons, kind, weights, seed)
            started = time.perf_counter()
            history = learn(model, train, validation, epochs, batch_size, seed, as_written, compile)
            seconds = time.perf_counter() - started
            curves.setdefault(kind, []).append(np.array(history["validation_accuracy"]) * 100)
            runs.add(
                activation=kind,
                seed=seed,
                validation_accuracy=history[-1]["validation_accuracy"],
                test_accuracy=tg.training.evaluate(model, test)["accuracy"],
                training_seconds=seconds,
                backend=history.backend,
            )
    variables = sum(p.size for p in model.parameters())
    report.text(f"{layers} hidden layers of {neurons} neurons: {variables:,} variables")
    if study:
        # They differ by a per cent or two in the end, and by ten times as much in the first epochs.
        last = np.array([accuracies[-1] for runs in curves.values() for accuracies in runs])
        ylim = max(np.floor(last.min()) - 4, 0), min(np.ceil(last.max()), 100)
        axes = {"xlabel": "epoch", "ylabel": "validation accuracy (%)", "ylim": ylim}
        epoch = np.arange(1, epochs + 1)
        report.picture(
            "activations.png", tg.viz.plot_lines, epoch, curves, caption="Activations compared", **axes
        )
    else:
        report.history(history)
        report.model(model)
        first = model.layers[0].weight
        report.picture(
            "first_layer.png",
            tg.viz.plot_weights,
            first,
            caption="The weights of each neuron in the first layer",
        )
        outputs = tg.training.predict(model, test)
        matrix = tg.training.confusion_matrix(test.targets, outputs, 10)
        report.picture("confusion.png", tg.viz.plot_confusion, matrix, caption="Confusion matrix")


if __name__ == "__main__":
    main()
