"""A residual network on Fashion-MNIST, and what it would be without its shortcuts.

Each block adds something to what it gets, instead of replacing it. So the gradient has a way through the whole network
that no weights are on, and many layers can learn.

    apt install dataset-fashion-mnist       (or --data FOLDER)
    python examples/resnet.py --full
    python examples/resnet.py --data /data/mnist       (digits, if there are no clothes)
"""

import click
import numpy as np

import tinygrad_mnist as tg
from tinygrad_mnist.experiments import experiment
from tinygrad_mnist.nn import functional as F


class Block(tg.nn.Module):
    """Two convolutions; with a shortcut, their result is added to what they got."""

    def __init__(self, channels, shortcut, rng):
        self.conv1, self.conv2 = (
            tg.nn.Conv2d(channels, channels, 3, padding=1, bias=False, rng=rng) for _ in range(2)
        )
        self.norm1, self.norm2 = tg.nn.BatchNorm2d(channels), tg.nn.BatchNorm2d(channels)
        self.shortcut = shortcut

    def forward(self, x):
        h = F.relu(self.norm1(self.conv1(x)))
        h = self.norm2(self.conv2(h))
        return F.relu(x + h if self.shortcut else h)


class ResNet(tg.nn.Module):
    """Blocks at 14 × 14 and, with twice the channels, at 7 × 7 places; then the mean of each channel."""

    def __init__(self, channels=16, blocks=2, shortcut=True, seed=0):
        rng = np.random.default_rng(seed)
        self.first = tg.nn.Conv2d(1, channels, 3, padding=1, stride=2, bias=False, rng=rng)
        self.widen = tg.nn.Conv2d(channels, 2 * channels, 3, padding=1, stride=2, bias=False, rng=rng)
        self.norm1, self.norm2 = tg.nn.BatchNorm2d(channels), tg.nn.BatchNorm2d(2 * channels)
        self.large = [Block(channels, shortcut, rng) for _ in range(blocks)]
        self.small = [Block(2 * channels, shortcut, rng) for _ in range(blocks)]
        self.output = tg.nn.Linear(2 * channels, 10, rng=rng)

    def forward(self, images):
        x = np.reshape(images, (-1, 1, 28, 28))
        x = F.relu(self.norm1(self.first(x)))
        for block in self.large:
            x = block(x)
        x = F.relu(self.norm2(self.widen(x)))
        for block in self.small:
            x = block(x)
        return self.output(np.mean(x, axis=(2, 3)))


def learn(model, train, validation, epochs, seed, folder, compile):
    return tg.training.fit(
        model,
        train,
        epochs=epochs,
        batch_size=128,
        optimizer=tg.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.01),
        schedule=tg.optim.OneCycleLR,
        validation=validation,
        rng=seed,
        compile=compile,
        resume=folder,
    )


@experiment("fashion")
@click.option(
    "--channels",
    type=click.IntRange(1),
    help="Channels of the first half; the second has twice as many.  [default: 4, or 16 with --full]",
)
@click.option("--blocks", type=click.IntRange(1), default=2, show_default=True, help="Blocks in each half.")
@click.option(
    "--epochs", type=click.IntRange(1), help="Number of passes through the data.  [default: 2, --full: 3]"
)
def main(report, full, seeds, train, test, channels, blocks, epochs, compile):
    if not full:
        train, test = train.subset(slice(4800)), test.subset(slice(1000))
    channels, epochs = channels or (16 if full else 4), epochs or (3 if full else 2)
    train, validation = train.split(len(train) * 11 // 12)
    runs, curves = report.table("Clothes that were not used for training"), {}
    for name in ("without", "with"):
        for seed in seeds:
            model = ResNet(channels, blocks, name == "with", seed)
            history = learn(model, train, validation, epochs, seed, report.checkpoints(seed) / name, compile)
            curves.setdefault(f"{name} shortcuts", []).append(history["train_loss"])
            outputs = tg.training.predict(model, test)
            runs.add(
                shortcuts=name,
                seed=seed,
                weights=sum(parameter.size for parameter in model.parameters()),
                validation_accuracy=history[-1]["validation_accuracy"],
                test_accuracy=tg.training.accuracy(test.targets, outputs),
                training_seconds=history.seconds,
            )
    report.picture(
        "shortcuts.png",
        tg.viz.plot_lines,
        range(1, epochs + 1),
        curves,
        xlabel="epoch",
        ylabel="training loss",
        caption=f"The same {4 * blocks + 3} layers, with and without shortcuts",
    )
    report.picture(
        "confusion.png",
        tg.viz.plot_confusion,
        tg.training.confusion_matrix(test.targets, outputs, 10),
        classes=test.classes,
        caption="Which kind is taken for which, with shortcuts",
    )
    report.model(model)


if __name__ == "__main__":
    main()
