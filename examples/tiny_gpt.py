"""A small GPT reads Python's own documentation, and writes on.

Each character looks at those before it, in several ways at once, and takes from them what it needs to guess the next.
The text is what Python's help() knows about the language; it comes with Python.

    python examples/tiny_gpt.py
    python examples/tiny_gpt.py --full
"""

import click
import numpy as np

import tinygrad_mnist as tg
from tinygrad_mnist.experiments import experiment
from tinygrad_mnist.experiments.text import Text, documentation, learn
from tinygrad_mnist.nn import functional as F
from tinygrad_mnist.palette import INK, SHARES
from tinygrad_mnist.viz.figures import finish, new_figure

LENGTH = 64


class Block(tg.nn.Module):
    """Look at the characters before, then think about what was found; both are added to what was there."""

    def __init__(self, size, heads, dropout, rng):
        self.norm1, self.norm2 = tg.nn.LayerNorm(size), tg.nn.LayerNorm(size)
        self.attention = tg.nn.MultiheadAttention(size, heads, batch_first=True, rng=rng)
        self.think = tg.nn.Linear(size, 4 * size, rng=rng)
        self.conclude = tg.nn.Linear(4 * size, size, rng=rng)
        self.dropout = tg.nn.Dropout(dropout, rng=rng)

    def look(self, x, need_weights=False):
        """Return what each character finds at itself and before, and the weights of each head."""
        x = self.norm1(x)
        return self.attention(x, x, x, is_causal=True, need_weights=need_weights, average_attn_weights=False)

    def forward(self, x):
        x = x + self.dropout(self.look(x)[0])
        return x + self.dropout(self.conclude(F.gelu(self.think(self.norm2(x)), approximate="tanh")))


class GPT(tg.nn.Module):
    """A vector for each character and for each place, blocks, and a score for each character that may follow."""

    def __init__(self, characters, size=96, heads=4, blocks=3, dropout=0.1, seed=0):
        rng = np.random.default_rng(seed)
        small = lambda shape, rng: rng.normal(0, 0.02, shape)  # noqa: E731
        self.characters = tg.nn.Embedding(characters, size, weight_init=small, rng=rng)
        self.places = tg.nn.Embedding(LENGTH, size, weight_init=small, rng=rng)
        self.blocks = [Block(size, heads, dropout, rng) for _ in range(blocks)]
        self.norm = tg.nn.LayerNorm(size)
        self.output = tg.nn.Linear(size, characters, rng=rng)

    def embed(self, text):
        return self.characters(text) + self.places(np.arange(text.shape[1]))

    def forward(self, text):
        x = self.embed(text)
        for block in self.blocks:
            x = block(x)
        return self.output(self.norm(x))


def looks(model, text):
    """Return for each block and head where each character looks, shape (blocks, heads, T, T)."""
    found, x = [], model.embed(text[np.newaxis])
    with tg.no_grad():
        for block in model.blocks:
            found.append(block.look(x, need_weights=True)[1].data[0])
            x = block(x)
    return np.stack(found)


def plot_looks(text, weights, *, path=None):
    """Draw where each character (a row) looks: at itself and at those before it (columns); dark is much."""
    blocks, heads = weights.shape[:2]
    figure = new_figure(2.3 * heads, 2.4 * blocks)
    shown = [character if character != "\n" else "↵" for character in text]
    for block in range(blocks):
        for head in range(heads):
            axes = figure.add_subplot(blocks, heads, block * heads + head + 1)
            axes.imshow(weights[block, head], cmap=SHARES, vmin=0, vmax=0.6)
            axes.set_title(f"block {block + 1}, head {head + 1}", fontsize=8, color=INK)
            axes.set_xticks(range(len(shown)), shown, fontsize=5.5, family="monospace")
            axes.set_yticks(range(len(shown)), shown, fontsize=5.5, family="monospace")
            axes.tick_params(length=0, pad=1)
            for spine in axes.spines.values():
                spine.set_visible(False)
    return finish(figure, path)


@experiment()
@click.option(
    "--size",
    type=click.IntRange(4),
    help="Numbers for each character, a multiple of 4.  [default: 48, or 96 with --full]",
)
@click.option("--blocks", type=click.IntRange(1), default=3, show_default=True, help="Number of blocks.")
@click.option(
    "--epochs",
    type=click.IntRange(1),
    help="Number of passes through the text.  [default: 10, or 8 with --full]",
)
def main(report, full, seeds, size, blocks, epochs, compile):
    text = Text(documentation() if full else documentation()[:60_000])
    size = size or (96 if full else 48)
    model = learn(
        report,
        text,
        lambda seed: GPT(len(text.characters), size, blocks=blocks, dropout=0.1 if full else 0.0, seed=seed),
        seeds=seeds,
        epochs=epochs or (8 if full else 10),
        length=LENGTH,
        lr=3e-3,
        compile=compile,
        sample=600 if full else 200,
    )
    line = text.test[: LENGTH // 2]
    report.picture(
        "looks.png",
        plot_looks,
        text.decode(line),
        looks(model, line),
        caption="Where each character looks: a row is a character, and its columns are those before it",
    )


if __name__ == "__main__":
    main()
