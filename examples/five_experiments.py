"""Five experiments with a hundred hidden neurons, from "Make your own neural network".

One hidden layer of sigmoid neurons, no biases, squared error, and a step after every single image.

    e1  one run: how good is the network after it has seen each image once?
    e2  accuracy against the learning rate
    e3  accuracy against the number of epochs
    e4  both together, as a plot and as an animation; the best setting is tested
    e5  the network backwards: what is a typical 0, 1, … 9 for it?

    python examples/five_experiments.py            (all of them, on the bundled sample)
    python examples/five_experiments.py e2 e3 --full --seeds 3

e2 to e4 run on all cores, or with --backend dask on a cluster. All finished runs are kept: after Ctrl-C,
--resume continues where it was stopped.
"""

import time
from functools import partial

import click
import numpy as np

import tinygrad_mnist as tg
from tinygrad_mnist.experiments import experiment, grid, sweep
from tinygrad_mnist.experiments.sweeps import BACKENDS
from tinygrad_mnist.nn import functional as F


class Network(tg.nn.Module):
    """784 pixels, 100 hidden neurons, 10 outputs."""

    def __init__(self, seed=0):
        rng = np.random.default_rng(seed)
        self.hidden = tg.nn.Linear(784, 100, bias=False, weight_init="book_normal", rng=rng)
        self.output = tg.nn.Linear(100, 10, bias=False, weight_init="book_normal", rng=rng)

    def forward(self, pixels):
        return F.sigmoid(self.output(F.sigmoid(self.hidden(pixels))))


def scaled(images):
    """Pixels from 0.01 to 1: a zero would keep its weights from learning."""
    return images.reshape(len(images), 784) * np.float32(0.99 / 255) + np.float32(0.01)


def wanted(digits):
    """Outputs from 0.01 to 0.99, which a sigmoid can reach."""
    return 0.01 + 0.98 * F.one_hot(digits, 10, np.float32)


def squared_error(model, pixels, target):
    return np.sum(np.square(target - model(pixels))) / 2


def of_the_book(model, pixels, target):
    """Take the step of the book's program, which is not quite the gradient step.

    The error that it sends back to the hidden layer lacks the slope of the outputs, o (1 - o). In terms of losses:
    the output weights follow the squared error, the hidden weights the cross-entropy.
    """
    hidden = F.sigmoid(model.hidden(pixels))
    outputs = F.sigmoid(model.output(hidden.detach()))
    logits = F.linear(hidden, model.output.weight.detach())
    cross_entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="sum")
    return np.sum(np.square(target - outputs)) / 2 + cross_entropy


STEPS = {"gradient": squared_error, "book": of_the_book}


def learn(model, data, lr, epochs, seed, step="gradient", falling=False, compile="auto"):
    """Train online; after each epoch, yield what runs. The learning rate may decrease to zero by the end."""
    pixels, targets = scaled(data.inputs), wanted(data.targets)
    rng = np.random.default_rng(seed)
    optimizer = tg.optim.SGD(model.parameters(), lr=lr)
    end = 0 if falling else lr
    schedule = tg.optim.CosineAnnealingLR(optimizer, epochs * len(pixels), eta_min=end)
    update = tg.training.TrainingStep(
        partial(STEPS[step], model), optimizer, compile=compile, steps=epochs * len(pixels)
    )
    for _ in range(epochs):
        for i in rng.permutation(len(pixels)):
            update(pixels[i], targets[i])
            schedule.step()
        yield update.backend


def accuracy(model, data):
    return tg.training.accuracy(data.targets, tg.training.predict(model, scaled(data.inputs)))


def curve(train, unseen, lr, epochs, seed, **how):
    """Return the accuracy after each epoch: one run of a sweep, in its own process."""
    model, found = Network(seed), {"accuracy": []}
    for found["backend"] in learn(model, train, lr, epochs, seed, **how):
        found["accuracy"].append(accuracy(model, unseen))
    return found


def inverse_query(model, digit):
    """Send the desired outputs backwards, by logits and transposed weights, with each layer rescaled to 0.01–0.99."""
    signal = wanted(np.array([digit]))
    for layer in (model.output, model.hidden):
        signal = F.logit(signal) @ layer.weight.data
        signal = 0.01 + 0.98 * (signal - signal.min()) / np.ptp(signal)
    return signal[0]


def gradient_ascent(model, digit, steps=200, seed=0):
    """Ask the same with a gradient: start with white paper, and draw what moves the outputs towards the digit.

    With the pixels alone, the result would be noise that fools the network. So the strokes should be few and smooth,
    and the network must recognise the digit if it is shifted a little.
    """
    rng = np.random.default_rng(seed)
    ink = tg.tensor(np.full((28, 28), -2.0, np.float32), requires_grad=True)
    optimizer = tg.optim.Adam([ink], lr=0.1)
    target = wanted(np.array([digit]))
    for _ in range(steps):
        optimizer.zero_grad()
        image = F.sigmoid(ink)  # between 0 and 1, whatever the step
        shifted = np.stack([np.roll(image, tuple(by), axis=(0, 1)) for by in rng.integers(-2, 3, (4, 2))])
        y = model(shifted.reshape(4, 784))
        surprise = -np.sum(target * np.log(y) + (1 - target) * np.log(1 - y)) / 4
        roughness = np.sum(np.square(np.diff(image, axis=0))) + np.sum(np.square(np.diff(image, axis=1)))
        (surprise + 0.02 * roughness + 0.005 * np.sum(image)).backward()
        optimizer.step()
    return F.sigmoid(ink.data).reshape(784)


def e1(lab):
    """One run with every image once, at a learning rate of 0.3."""
    runs = lab.report.table("One epoch, learning rate 0.3", mean=True)
    for seed in lab.seeds:
        started = time.perf_counter()
        model = lab.model(seed)
        seconds = time.perf_counter() - started
        reached = accuracy(model, lab.test)
        runs.add(seed=seed, test_accuracy=reached, training_seconds=seconds, backend=model.backend)
    model = lab.model(lab.seeds[0])
    lab.report.model(model)
    outputs = tg.training.predict(model, scaled(lab.test.inputs))
    matrix = tg.training.confusion_matrix(lab.test.targets, outputs, 10)
    lab.report.picture("e1_confusion.png", tg.viz.plot_confusion, matrix, caption="Confusion matrix")


def e2(lab):
    """Accuracy after one epoch against the learning rate."""
    rates = [0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.45, 0.6, 0.9]
    found = lab.sweep("e2", grid(step=STEPS, seed=lab.seeds, lr=rates, epochs=[1]))
    reached = np.array([run["accuracy"][0] for run in found]).reshape(len(STEPS), len(lab.seeds), -1)
    lab.show_best("learning rate", rates, reached)
    lab.plot("e2_learning_rate.png", rates, lab.by_step(reached), xlabel="learning rate", log_x=True)


def e3(lab):
    """Accuracy against the number of epochs, at a learning rate of 0.1."""
    epochs = 15 if lab.full else 6
    found = lab.sweep("e3", grid(step=STEPS, seed=lab.seeds, lr=[0.1], epochs=[epochs]))
    reached = np.array([run["accuracy"] for run in found]).reshape(len(STEPS), len(lab.seeds), -1)
    lab.show_best("number of epochs", range(1, epochs + 1), reached)
    lab.plot("e3_epochs.png", np.arange(1, epochs + 1), lab.by_step(reached), xlabel="epochs")


def e4(lab):
    """Learning rate and epochs together; in each run the learning rate falls to zero."""
    rates, lengths = [0.06, 0.12, 0.25, 0.5, 1.0], [1, 2, 4, 8, 16] if lab.full else [1, 2, 3]
    found = lab.sweep("e4", grid(epochs=lengths, lr=rates, seed=lab.seeds[:1], falling=[True]))
    reached = np.array([run["accuracy"][-1] for run in found]).reshape(len(lengths), len(rates))
    lines = {f"learning rate {rate:g}": reached[:, i] * 100 for i, rate in enumerate(rates)}
    lab.plot("e4_both.png", lengths, lines, xlabel="epochs", log_x=True, ordered=True)
    frames = (
        lab.frame(
            rates,
            {
                f"epochs: {length}": np.where(k <= last, reached[k] * 100, np.nan)
                for k, length in enumerate(lengths)
            },
            reached * 100,
        )
        for last in range(len(lengths))
    )
    lab.report.picture(
        "e4_both.gif",
        lambda path: tg.viz.save_animation(frames, path, seconds=1),
        caption="Longer and longer runs",
    )

    # The best setting on the validation images is trained again, on all images, and only then tested.
    best = max(found, key=lambda run: run["accuracy"][-1])
    lab.report.text(f"best on the validation images: learning rate {best['lr']:g}, {best['epochs']} epochs")
    setting = grid(seed=lab.seeds, lr=[best["lr"]], epochs=[best["epochs"]], falling=[True])
    runs = lab.report.table("The best setting, trained on all images", mean=True)
    for run in lab.sweep("e4_best", setting, train=lab.everything, unseen=lab.test):
        runs.add(seed=run["seed"], test_accuracy=run["accuracy"][-1], backend=run.get("backend", "eager"))


def e5(lab):
    """Ask the network for a typical 0, 1, … 9, in two ways."""
    model = lab.model(lab.seeds[0])
    answers = {"inverse query": inverse_query, "gradient ascent": gradient_ascent}
    images = np.stack([answer(model, digit) for answer in answers.values() for digit in range(10)])
    outputs = tg.training.predict(model, images)
    said = outputs.argmax(axis=1)
    low, high = images.min(axis=1, keepdims=True), images.max(axis=1, keepdims=True)
    images = (images - low) / (high - low)  # for the eye: each from white to black
    table = lab.report.table("What the network answers: its output for the requested digit")
    for row, answer in enumerate(answers):
        own = outputs[10 * row + np.arange(10), np.arange(10)]
        table.add(answer=answer, **{str(digit): float(own[digit]) for digit in range(10)})
    lab.report.picture(
        "e5_backwards.png", tg.viz.plot_images, images, [*range(10)] * 2, said, columns=5,
        rows=[answer for answer in answers for _ in range(2)],
        caption="The digit that was asked for → what the network says to the answer",
    )  # fmt: skip


EXPERIMENTS = {function.__name__: function for function in (e1, e2, e3, e4, e5)}


class Lab:
    """The common parts of the experiments: the data, a report, and the place of the runs."""

    def __init__(self, report, full, seeds, train, test, compile, **where):
        self.report, self.full, self.seeds, self.where = report, full, list(seeds), where
        self.everything, self.test, self.compile = train, test, compile
        self.train, self.validation = train.split(len(train) * 5 // 6)
        self.models = {}

    def model(self, seed):
        """The network of e1; e5 uses it, too."""
        if seed not in self.models:
            self.models[seed] = Network(seed)
            how = {"lr": 0.3, "epochs": 1, "seed": seed, "compile": self.compile}
            [self.models[seed].backend] = learn(self.models[seed], self.everything, **how)
        return self.models[seed]

    def sweep(self, name, settings, train=None, unseen=None):
        data = {"train": train or self.train, "unseen": unseen or self.validation}
        task = partial(curve, compile=self.compile)
        return sweep(task, settings, self.report.folder / name, shared=data, **self.where)

    def show_best(self, what, values, reached):
        for step, means in zip(STEPS, reached.mean(axis=1), strict=True):
            best = int(np.argmax(means))
            self.report.text(
                f"{step}: best {what} {list(values)[best]}, {means[best]:.2%} of the validation images"
            )

    def by_step(self, reached):
        names = ["the gradient", "the step of the book"]
        return {name: 100 * runs for name, runs in zip(names, reached, strict=True)}

    def plot(self, name, x, lines, **axes):
        axes.setdefault("ylabel", "accuracy on validation images (%)")
        self.report.picture(name, tg.viz.plot_lines, x, lines, **axes)

    def frame(self, x, lines, values):
        figure = tg.viz.plot_lines(
            x, lines, xlabel="learning rate", ylabel="accuracy (%)", log_x=True, ordered=True
        )
        figure.axes[0].set_ylim(np.min(values) - 0.5, np.max(values) + 0.5)
        return figure


@experiment("mnist")
@click.argument("experiments", nargs=-1, type=click.Choice(list(EXPERIMENTS)))
@click.option(
    "--workers", type=click.IntRange(1), help="Number of runs at a time.  [default: the number of cores]"
)
@click.option(
    "--backend", type=click.Choice(BACKENDS), default="loky", show_default=True, help="Where to run."
)
@click.option("--scheduler", help="Address of a Dask cluster.  [default: start one on this machine]")
def main(report, experiments, compile, **given):
    lab = Lab(report, compile=compile, **given)
    for name in sorted(set(experiments)) or EXPERIMENTS:
        report.heading(f"{name.upper()}: {EXPERIMENTS[name].__doc__.rstrip('.')}")
        EXPERIMENTS[name](lab)


if __name__ == "__main__":
    main()
