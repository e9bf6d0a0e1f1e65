"""A recurrent network reads a digit row by row.

It sees 28 pixels at a time, remembers a few numbers, and is asked for the digit after every row. Backpropagation
through the 28 steps follows from the forward code.

    python examples/row_by_row.py --neurons 64
    python examples/row_by_row.py --full --seeds 3
"""

import time

import click
import numpy as np

import tinygrad_mnist as tg
from tinygrad_mnist.experiments import experiment
from tinygrad_mnist.nn import functional as F
from tinygrad_mnist.palette import INK, RIGHT, SHARES
from tinygrad_mnist.viz.figures import finish, new_figure

ROWS = 28


class RowReader(tg.nn.Module):
    """Neurons that decide, row by row, how much of their memory to replace."""

    def __init__(self, neurons=64, seed=0):
        rng = np.random.default_rng(seed)
        self.neurons = neurons
        self.cell = tg.nn.Linear(ROWS + neurons, 2 * neurons, rng=rng)
        self.answer = tg.nn.Linear(neurons, 10, rng=rng)

    def read(self, row, memory):
        """Return the memory after one more row."""
        gate, new = np.split(self.cell(np.concatenate([row, memory], axis=1)), 2, axis=1)
        # Minus 1 makes it about a quarter at first: the memory has to last for 28 rows.
        replaced = F.sigmoid(gate - 1)
        return memory + replaced * (np.tanh(new) - memory)

    def forward(self, images):
        """Return the scores of the ten digits after each row, shape (N, 28, 10)."""
        rows = images.reshape(-1, ROWS, ROWS)
        memory = np.zeros((len(rows), self.neurons), images.dtype)
        memories = []
        for i in range(ROWS):
            memory = self.read(rows[:, i], memory)
            memories.append(memory)
        return self.answer(np.stack(memories, axis=1))


def asked_after_every_row(scores, labels):
    return F.cross_entropy(scores.reshape(-1, 10), np.repeat(labels, ROWS))


def learn(model, train, epochs, seed, folder):
    """Train with gradients clipped to norm 1: through many steps, they can grow without bound."""
    return tg.training.fit(
        model,
        train,
        epochs=epochs,
        batch_size=100,
        loss=asked_after_every_row,
        optimizer=tg.optim.AdamW(model.parameters(), lr=0.03),
        schedule=tg.optim.OneCycleLR,
        clip_norm=1.0,
        rng=seed,
        resume=folder,
    )


def plot_beliefs(images, beliefs, labels, *, columns=2, path=None):
    """Show images and, next to each row, the probability of each digit after that row."""
    figure = new_figure(2.5 * columns, 1.45 * -(-len(images) // columns))
    axes = figure.add_subplot()
    for i, (image, belief, label) in enumerate(zip(images, beliefs, labels, strict=True)):
        top, left = 38 * (i // columns), 66 * (i % columns)
        axes.imshow(image.reshape(ROWS, ROWS), extent=(left, left + 28, top + 28, top), cmap="gray_r")
        right = left + 30
        axes.imshow(belief, extent=(right, right + 30, top + 28, top), cmap=SHARES, vmin=0, vmax=1)
        for digit in range(10):
            look = {"color": RIGHT, "fontweight": "bold"} if digit == label else {"color": INK}
            axes.text(right + 3 * digit + 1.5, top + 29, digit, ha="center", va="top", fontsize=7, **look)
    axes.set(xlim=(0, 66 * columns - 5), ylim=(38 * -(-len(images) // columns) - 4, 0))
    axes.set_axis_off()
    return finish(figure, path)


@experiment("mnist")
@click.option(
    "--neurons",
    type=click.IntRange(1),
    default=64,
    show_default=True,
    help="Number of neurons with a memory.",
)
@click.option(
    "--epochs",
    type=click.IntRange(1),
    help="Number of passes through the data.  [default: 4, or 8 with --full]",
)
def main(report, full, seeds, train, test, neurons, epochs):
    train, validation = train.split(len(train) * 9 // 10)
    runs, by_row = report.table("Digits read to the last row", mean=True), []
    for seed in seeds:
        model = RowReader(neurons, seed)
        started = time.perf_counter()
        learn(model, train, epochs or (8 if full else 4), seed, report.checkpoints(seed))
        seconds = time.perf_counter() - started
        scores = tg.training.predict(model, test)
        by_row.append([tg.training.accuracy(test.targets, scores[:, row]) * 100 for row in range(ROWS)])
        runs.add(
            seed=seed,
            validation_accuracy=tg.training.accuracy(
                validation.targets, tg.training.predict(model, validation)[:, -1]
            ),
            test_accuracy=tg.training.accuracy(test.targets, scores[:, -1]),
            training_seconds=seconds,
        )
    report.picture(
        "rows.png",
        tg.viz.plot_lines,
        range(1, ROWS + 1),
        {"test": by_row},
        xlabel="rows read",
        ylabel="test accuracy (%)",
        caption="The number of rows needed to distinguish the digits",
    )
    images, beliefs = test[:][0], F.softmax(scores, axis=-1)
    first = [np.flatnonzero(test.targets == digit)[0] for digit in np.unique(test.targets)]
    is_right = scores[:, -1].argmax(axis=1) == test.targets
    half_way = beliefs[np.arange(len(images)), ROWS // 2 - 1, test.targets]
    turned = np.argsort(np.where(is_right, half_way, 1))[:10]
    pictures = {
        "beliefs.png": (first, "The ten probabilities after each row; the right digit is green"),
        "changes.png": (turned, "Changes of mind: right in the end, but furthest from it half-way"),
    }
    for name, (chosen, caption) in pictures.items():
        given = images[chosen], beliefs[chosen], test.targets[chosen]
        report.picture(name, plot_beliefs, *given, caption=caption)
    report.model(model)


if __name__ == "__main__":
    main()
