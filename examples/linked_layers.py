"""ReLU layers as linked objects; each knows the one before it.

You ask the last layer; it asks the one before it, and so on down to the image. Nobody writes how the error goes
back along the chain. Two well-known mistakes in such programs are shown, each with the message that
finds it.

    python examples/linked_layers.py --full --seeds 3
    python examples/linked_layers.py --online      (one epoch, one image at a time)
    python examples/linked_layers.py --bugs        ("the loss does not decrease, what is wrong?")
"""

import time
from functools import partial

import click
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

import tinygrad_mnist as tg
from tinygrad_mnist.experiments import experiment
from tinygrad_mnist.nn import functional as F


class Input(tg.nn.Module):
    """The start of a chain."""

    def __init__(self, units):
        self.units = units

    def forward(self, images):
        return images

    def extra_repr(self):
        return str(self.units)


class Dense(tg.nn.Module):
    """A layer and all layers before it: called with images, it returns its own output."""

    def __init__(self, units, after, weights="kaiming_normal", rng=None):
        self.units, self.before = units, after
        self.linear = tg.nn.Linear(after.units, units, weight_init=weights, bias_init="constant", rng=rng)

    def forward(self, images):
        return self.linear(self.before(images))


class Hidden(Dense):
    """A layer with ReLU and, in training, dropout."""

    def __init__(self, units, after, dropout=0.0, weights="kaiming_normal", rng=None):
        super().__init__(units, after, weights, rng)
        self.dropout = tg.nn.Dropout(dropout, rng=rng)

    def forward(self, images):
        return self.dropout(F.relu(super().forward(images)))


def network(units=548, hidden=Hidden, dropout=0.0, weights="kaiming_normal", seed=0):
    rng = np.random.default_rng(seed)
    images = Input(784)
    first = hidden(units, after=images, dropout=dropout, weights=weights, rng=rng)
    second = hidden(units, after=first, dropout=dropout, weights=weights, rng=rng)
    return Dense(10, after=second, weights=weights, rng=rng)


def moved(images, rng):
    """Move each image randomly by at most a pixel: the same digit, but never the same numbers twice."""
    windows = sliding_window_view(np.pad(images, ((0, 0), (1, 1), (1, 1))), (28, 28), axis=(1, 2))
    down, right = rng.integers(0, 3, (2, len(images)))
    return tg.data.to_vectors(windows[np.arange(len(images)), down, right])


def learn(data, units, epochs, seed, compile):
    """Train in mini-batches, on slightly moved images."""
    model = network(units, dropout=0.1, seed=seed)
    transform = partial(moved, rng=np.random.default_rng(seed))
    history = tg.training.fit(
        model,
        tg.data.Dataset(data.inputs, data.targets, transform=transform),
        epochs=epochs,
        batch_size=128,
        loss=tg.nn.CrossEntropyLoss(label_smoothing=0.05),
        optimizer=tg.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.05),
        schedule=tg.optim.OneCycleLR,
        rng=seed,
        compile=compile,
    )
    return model, history


class Falling(tg.optim.Schedule):
    """A learning rate that decreases linearly to 0."""

    def __init__(self, optimizer, steps):
        self.length = steps
        super().__init__(optimizer)

    def factor(self, steps):
        return 1 - steps / self.length


def learn_online(data, units, epochs, seed, compile):
    """Train like the first program of this kind: once through the data, one image at a time."""
    model = network(units, seed=seed)
    optimizer = tg.optim.SGD(model.parameters(), lr=0.02)
    history = tg.training.fit(
        model,
        data,
        epochs=1,
        batch_size=1,
        optimizer=optimizer,
        schedule=Falling,
        rng=seed,
        compile=compile,
    )
    return model, history


@experiment("mnist")
@click.option(
    "--epochs",
    type=click.IntRange(1),
    help="Number of passes through the data.  [default: 20 with --full, or 4]",
)
@click.option(
    "--units",
    type=click.IntRange(1),
    default=548,
    show_default=True,
    help="Number of neurons in each hidden layer.",
)
@click.option("--online", is_flag=True, help="One epoch of one image at a time, without dropout or moving.")
@click.option(
    "--validate",
    is_flag=True,
    help="Hold out the last sixth of the training images, as for the choice of the settings.",
)
@click.option("--bugs", is_flag=True, help="Show two mistakes, and how they are found.")
def main(report, full, seeds, train, test, epochs, units, online, validate, bugs, compile):
    if bugs:
        large_weights(report, train, units)
        wrong_bias(report, train, test, units)
        return
    held_out = test
    if validate:
        train, held_out = train.split(len(train) * 5 // 6)
    runs = report.table("Images that were not used for training", mean=True)
    for seed in seeds:
        started = time.perf_counter()
        model, history = (learn_online if online else learn)(
            train, units, epochs or (20 if full else 4), seed, compile
        )
        seconds = time.perf_counter() - started
        outputs = tg.training.predict(model, held_out)
        right = np.count_nonzero(outputs.argmax(axis=1) == held_out.targets)
        runs.add(
            seed=seed,
            correct=f"{right:,} of {len(held_out):,}",
            accuracy=right / len(held_out),
            training_seconds=seconds,
            backend=history.backend,
        )
    report.listing(str(model), "The last layer and, inside it, the layers before it")
    report.history(history)
    report.model(model)
    matrix = tg.training.confusion_matrix(held_out.targets, outputs, 10)
    report.picture("confusion.png", tg.viz.plot_confusion, matrix, caption="Confusion matrix")
    probabilities = F.softmax(outputs)
    report.picture(
        "mistakes.png",
        tg.viz.plot_mistakes,
        held_out.inputs,
        held_out.targets,
        probabilities,
        caption="The worst mistakes: the digit, the answer, and how sure the network was",
    )


# -- two mistakes -----------------------------------------------------------------------------------

WEIGHTS = {
    "U(0, 1)": lambda shape, rng: rng.uniform(0, 1, shape),
    "U(0, 1) / (n + 1)": lambda shape, rng: rng.uniform(0, 1, shape) / (shape[1] + 1),
    "kaiming_normal": "kaiming_normal",
}


def by_the_book(logits, labels):
    """Softmax and cross-entropy straight from the formulas; ``exp`` overflows for a logit above 88."""
    powers = np.exp(logits)
    shares = powers / np.sum(powers, axis=1, keepdims=True)
    return -np.mean(np.log(shares[np.arange(len(labels)), labels]))


def descend(model, data):
    """Pass once through the data with plain gradient descent, and return the losses."""
    optimizer, losses = tg.optim.SGD(model.parameters(), lr=0.1), []
    for images, labels in tg.data.DataLoader(data, 20, shuffle=True, rng=0):
        loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def show_error(report, call, check):
    try:
        check()
    except (tg.errors.NonFiniteError, tg.errors.GradcheckError) as error:
        report.listing(str(error), f"What {call} says")


def large_weights(report, train, units):
    report.heading("Weights from U(0, 1): the loss does not decrease")
    images, labels = train[:200]

    def look():
        with tg.detect_anomaly():
            by_the_book(network(units, weights=WEIGHTS["U(0, 1)"])(images), labels)

    show_error(report, "tg.detect_anomaly()", look)
    before = report.table(
        "The second hidden layer before training (difference between units: standard deviation / mean)"
    )
    after = report.table("After 100 updates with the cross-entropy of this library, which does not overflow")
    curves = {}
    for name, weights in WEIGHTS.items():
        model = network(units, weights=weights)
        second, logits = model.before(images).data, model(images).data
        before.add(
            weights=name,
            mean_output=float(second.mean()),
            difference_between_units=float(np.mean(second.std(axis=1) / second.mean(axis=1))),
            largest_logit=float(logits.max()),
            cross_entropy=float(F.cross_entropy(logits, labels)),
        )
        curves[name] = np.array(descend(model, train.subset(slice(2000))))
        after.add(
            weights=name,
            highest_loss=float(curves[name].max()),
            last_loss=float(curves[name][-10:].mean()),
            outputs_that_are_0=f"{np.mean(model.before(images).data == 0):.0%}",
            training_accuracy=float(np.mean(model(images).data.argmax(axis=1) == labels)),
        )
    report.picture(
        "weights.png",
        tg.viz.plot_lines,
        np.arange(1, len(curves["U(0, 1)"]) + 1),
        curves,
        xlabel="update",
        ylabel="loss (logarithmic)",
        log_y=True,
        caption="The loss of each batch, for three ways of drawing the weights: undivided, it explodes first",
    )
    report.text(
        "All weights are positive: every unit adds up the same ink, and all outputs are alike. Without the division, "
        "the sums grow from layer to layer; the first updates push all units below 0, where ReLU has no slope, and "
        "nothing is ever learned again. Divided by n + 1, the sums stay small, but the units are still alike, and it "
        "takes a long time until they differ."
    )


@tg.primitive()
def relu_layer(x, weight, bias, /):
    return np.maximum(x @ weight.T + bias, 0)


relu_layer.vjp(
    lambda g, y, x, weight, bias: (g * (y > 0)) @ weight,
    lambda g, y, x, weight, bias: (g * (y > 0)).T @ x,
    lambda g, y, x, weight, bias: np.sum(g, axis=0),  # wrong: a delta of its own, without the slope of ReLU
)


class ByHand(Hidden):
    """A layer with a gradient written by hand."""

    def forward(self, images):
        return relu_layer(self.before(images), self.linear.weight, self.linear.bias)


def wrong_bias(report, train, test, units):
    report.heading("A bias with its own delta goes unnoticed")
    runs = report.table("After 100 updates")
    for name, layer in {"with the wrong delta": ByHand, "with the gradient of this library": Hidden}.items():
        model = network(units, layer)
        losses = descend(model, train.subset(slice(2000)))
        accuracy = tg.training.evaluate(model, test)["accuracy"]
        runs.add(bias=name, last_loss=float(np.mean(losses[-10:])), test_accuracy=accuracy)
    # The rules are the same for a narrow network, and checked faster.
    images, labels = train[:4]
    loss = F.cross_entropy(network(12, ByHand)(images), labels)
    show_error(report, "tg.testing.check_graph(loss)", lambda: tg.testing.check_graph(loss))
    rng = np.random.default_rng(0)
    x, weight, bias = rng.normal(size=(4, 3)), rng.normal(size=(2, 3)), rng.normal(size=2)
    show_error(
        report,
        "tg.testing.gradcheck(relu_layer, x, weight, bias)",
        lambda: tg.testing.gradcheck(relu_layer, x, weight, bias),
    )
    right = tg.testing.check_graph(F.cross_entropy(network(12)(images), labels))
    report.listing(str(right), "What check_graph says if only the forward pass is written")


if __name__ == "__main__":
    main()
