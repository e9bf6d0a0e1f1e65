"""Full-batch gradient descent: all images at once, five hundred times.

Each iteration computes the loss of the first 10,000 training images and takes one step. The network has
784 inputs, 72 and 36 sigmoid units, and ten outputs with softmax and cross-entropy.

    python examples/full_batch.py --full --seeds 3
    python examples/full_batch.py --full --as-written     (lr 1, raw pixels, bare gradient descent)
    python examples/full_batch.py --bug                   (a bias gradient summed over the wrong axes)
"""

import time

import click
import numpy as np

import tinygrad_mnist as tg
from tinygrad_mnist.experiments import experiment
from tinygrad_mnist.nn import functional as F


class Network(tg.nn.Module):
    """Two layers of sigmoids, and a score for each digit; softmax is part of the loss."""

    def __init__(self, layer=tg.nn.Linear, weights="xavier_normal", seed=0):
        rng = np.random.default_rng(seed)
        self.first = layer(784, 72, weight_init=weights, bias_init="constant", rng=rng)
        self.second = layer(72, 36, weight_init=weights, bias_init="constant", rng=rng)
        self.output = layer(36, 10, weight_init=weights, bias_init="constant", rng=rng)

    def forward(self, images):
        hidden = F.sigmoid(self.first(images))
        return self.output(F.sigmoid(self.second(hidden)))


def descend(model, images, labels, iterations, as_written=False, compile=False):
    """Repeat gradient steps on the loss of all images, and report every 25 steps."""
    if as_written:
        optimizer, smoothing = tg.optim.SGD(model.parameters(), lr=1), 0.0
    else:
        optimizer, smoothing = tg.optim.AdamW(model.parameters(), lr=0.03, weight_decay=0.3), 0.1
        schedule = tg.optim.OneCycleLR(optimizer, iterations)

    def loss_and_outputs(images, labels):
        outputs = model(images)
        return F.cross_entropy(outputs, labels, label_smoothing=smoothing), outputs

    step = tg.training.TrainingStep(
        loss_and_outputs, optimizer, compile=compile, steps=iterations, has_aux=True
    )
    history = tg.training.History()
    for iteration in range(1, iterations + 1):
        loss, outputs = step(images, labels)
        if not as_written:
            schedule.step()
        accuracy = share_correct(outputs.data, labels)
        history.append({"epoch": iteration, "train_loss": loss, "train_accuracy": accuracy})
        if iteration % 25 == 0:
            click.echo(f"iteration {iteration:3}  loss {loss:.4f}  training accuracy {accuracy:.2%}")
    history.backend = step.backend
    return history


def share_correct(outputs, labels):
    return float(np.mean(outputs.argmax(axis=1) == labels))


@experiment("mnist")
@click.option(
    "--iterations",
    type=click.IntRange(1),
    help="Number of gradient steps.  [default: 500 with --full, or 75]",
)
@click.option("--as-written", is_flag=True, help="Plain gradient descent: lr 1, pixels from 0 to 255.")
@click.option("--bug", is_flag=True, help="Sum the bias gradients over the wrong axes, and find the mistake.")
def main(report, full, seeds, train, test, iterations, as_written, bug, compile):
    # The images after the training images are used to choose the settings.
    train, rest = train.split(min(10_000, len(train) * 5 // 6))
    iterations = iterations or (500 if full else 75)
    scale = 255 if as_written else 1
    images, unseen, tested = (
        scale * tg.data.to_vectors(part.inputs) for part in (train, rest.subset(slice(-10_000, None)), test)
    )
    if bug:
        scalar_bias_gradients(report, images, train.targets, tested, test.targets, iterations)
        return
    nine = np.random.default_rng(0).choice(len(test), 9, replace=False)
    sheet = test.inputs[nine], test.targets[nine]
    report.picture(
        "before.png", tg.viz.plot_images, *sheet, columns=3, caption="Nine test images and their labels"
    )
    runs = report.table(f"After {iterations} iterations on {len(train):,} images", mean=True)
    for seed in seeds:
        model = Network(weights="normal" if as_written else "xavier_normal", seed=seed)
        started = time.perf_counter()
        history = descend(model, images, train.targets, iterations, as_written, compile)
        seconds = time.perf_counter() - started
        outputs = tg.training.predict(model, tested)
        runs.add(
            seed=seed,
            training_accuracy=share_correct(tg.training.predict(model, images), train.targets),
            validation_accuracy=share_correct(tg.training.predict(model, unseen), rest.targets[-10_000:]),
            test_accuracy=share_correct(outputs, test.targets),
            training_seconds=seconds,
            backend=history.backend,
        )
    predictions = outputs[nine].argmax(axis=1)
    report.picture(
        "after.png",
        tg.viz.plot_images,
        *sheet,
        predictions,
        columns=3,
        caption="The same images: label → prediction",
    )
    report.history(history, xlabel="iteration")
    report.model(model)


# -- a mistake --------------------------------------------------------------------------------------


@tg.primitive()
def add_bias(z, bias, /):
    return z + bias


add_bias.vjp(
    lambda g, y, z, bias: g,
    lambda g, y, z, bias: np.sum(g),  # wrong: over images and units, a single number for all of them
)


class ScalarBias(tg.nn.Linear):
    """A layer that moves all of its biases equally."""

    def forward(self, x):
        return add_bias(x @ self.weight.T, self.bias)


def scalar_bias_gradients(report, images, labels, tested, answers, iterations):
    report.heading("A bias gradient that is a single number goes unnoticed")
    runs = report.table(f"After {iterations} iterations on {len(images):,} images")
    for name, layer in {"summed over everything": ScalarBias, "of this library": tg.nn.Linear}.items():
        model = Network(layer)
        descend(model, images, labels, iterations)
        biases = model.first.bias.data
        runs.add(
            bias_gradient=name,
            test_accuracy=share_correct(tg.training.predict(model, tested), answers),
            biases_of_the_first_layer=f"{biases.min():.3f} to {biases.max():.3f}",
        )
    loss = F.cross_entropy(Network(ScalarBias)(images[:20]), labels[:20])
    rng = np.random.default_rng(0)
    z, bias = rng.normal(size=(4, 3)), rng.normal(size=3)
    checks = {
        "tg.testing.check_graph(loss)": lambda: tg.testing.check_graph(loss),
        "tg.testing.gradcheck(add_bias, z, bias)": lambda: tg.testing.gradcheck(add_bias, z, bias),
    }
    for call, check in checks.items():
        try:
            check()
        except tg.errors.GradcheckError as error:
            report.listing(str(error), f"What {call} says")


if __name__ == "__main__":
    main()
