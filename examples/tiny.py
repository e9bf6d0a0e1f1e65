"""99 % of the digits with fewer than a thousand weights.

A separable convolution looks at each channel by itself first, and then mixes the channels at each place: 9 + 9 weights
for each of nine channels instead of 81. A mean over all places needs no weights at all.

    python examples/tiny.py
    python examples/tiny.py --full
"""

from itertools import pairwise

import click
import numpy as np

import tinygrad_mnist as tg
from tinygrad_mnist.experiments import experiment
from tinygrad_mnist.experiments.options import Number, Sizes
from tinygrad_mnist.nn import functional as F
from tinygrad_mnist.palette import INK, SIGNS
from tinygrad_mnist.viz.figures import finish, new_figure


class Separable(tg.nn.Module):
    """A filter of 3 × 3 for each channel, mixtures of the channels at each place, batch norm and ReLU."""

    def __init__(self, before, after, rng):
        self.look = tg.nn.Conv2d(before, before, 3, groups=before, bias=False, rng=rng)
        self.mix = tg.nn.Conv2d(before, after, 1, bias=False, rng=rng)
        self.norm = tg.nn.BatchNorm2d(after)

    def forward(self, x):
        return F.relu(self.norm(self.mix(self.look(x))))


class Tiny(tg.nn.Module):
    """A convolution, separable convolutions, and a linear layer for the mean of each channel."""

    def __init__(self, channels=(6, 9, 9, 9, 9, 8), seed=0):
        rng = np.random.default_rng(seed)
        self.first = tg.nn.Conv2d(1, channels[0], 3, padding=1, bias=False, rng=rng)
        self.norm = tg.nn.BatchNorm2d(channels[0])
        self.rest = [Separable(before, after, rng) for before, after in pairwise(channels)]
        self.output = tg.nn.Linear(channels[-1], 10, rng=rng)

    def forward(self, images):
        x = np.reshape(images, (-1, 1, 28, 28))
        x = F.relu(self.norm(F.max_pool2d(self.first(x), 2)))
        for layer in self.rest:
            x = layer(x)
        return self.output(np.mean(x, axis=(2, 3)))


def learn(model, train, validation, epochs, lr, seed, folder, compile):
    """Train on the digits as they are: so few weights have no room for what bent or moved ones would teach."""
    return tg.training.fit(
        model,
        tg.data.DataLoader(train, 128, shuffle=True, drop_last=True, rng=seed),
        epochs=epochs,
        optimizer=tg.optim.AdamW(model.parameters(), lr=lr, weight_decay=1e-4),
        schedule=tg.optim.OneCycleLR,
        validation=validation,
        compile=compile,
        resume=folder,
    )


def plot_weights(model, *, path=None):
    """Draw every weight of a model as a square, a layer in each line: red is positive, blue negative, white zero."""
    layers = [
        {
            "3 × 3 filters": model.first.weight,
            "": None,
            "scales": model.norm.weight,
            "shifts": model.norm.bias,
        },
        *(
            {
                "a 3 × 3 filter each": layer.look.weight,
                "mixtures": layer.mix.weight,
                "scales": layer.norm.weight,
                "shifts": layer.norm.bias,
            }
            for layer in model.rest
        ),
        {"output": model.output.weight, "its biases": model.output.bias},
    ]
    figure = new_figure(6.4, 1.25 * len(layers))
    for row, parts in enumerate(layers):
        for column, (name, array) in enumerate(parts.items()):
            if array is None:
                continue
            axes = figure.add_subplot(len(layers), 4, 4 * row + column + 1)
            squares = array.data.reshape(len(array), -1).T
            most = np.abs(squares).max()
            axes.imshow(squares, cmap=SIGNS, vmin=-most, vmax=most)
            axes.set_title(f"{name}: {array.size}", fontsize=7, color=INK)
            axes.set_axis_off()
    return finish(figure, path)


@experiment("mnist")
@click.option(
    "--channels",
    type=Sizes(),
    default="6,9,9,9,9,8",
    show_default=True,
    help="Channels of the convolutions; all but the first are separable.",
)
@click.option(
    "--epochs", type=click.IntRange(1), help="Number of passes through the data.  [default: 8, --full: 60]"
)
@click.option(
    "--lr", type=Number(0, min_open=True), default=0.02, show_default=True, help="Highest learning rate."
)
def main(report, full, seeds, train, test, channels, epochs, lr, compile):
    train, validation = train.split(len(train) * 11 // 12)
    runs = report.table("Digits that were not used for training", mean=True)
    for seed in seeds:
        model = Tiny(channels, seed)
        history = learn(
            model,
            train,
            validation,
            epochs or (60 if full else 8),
            lr,
            seed,
            report.checkpoints(seed),
            compile,
        )
        outputs = tg.training.predict(model, test)
        runs.add(
            seed=seed,
            weights=sum(parameter.size for parameter in model.parameters()),
            validation_accuracy=history[-1]["validation_accuracy"],
            test_accuracy=tg.training.accuracy(test.targets, outputs),
            training_seconds=history.seconds,
        )
    report.history(history)
    report.picture("weights.png", plot_weights, model, caption="All weights of the last network")
    report.picture(
        "mistakes.png",
        tg.viz.plot_mistakes,
        test.inputs,
        test.targets,
        F.softmax(outputs),
        count=15,
        columns=5,
        caption="The worst mistakes: the true digit, the answer, and how sure the network was",
    )
    report.model(model)


if __name__ == "__main__":
    main()
