"""A recurrent network reads Python's own documentation, character by character, and writes on.

It gets one character after the other, and has to guess the next. The text is what Python's help() knows about the
language; it comes with Python.

    python examples/char_rnn.py
    python examples/char_rnn.py --full --cell gru
"""

import click
import numpy as np

import tinygrad_mnist as tg
from tinygrad_mnist.experiments import experiment
from tinygrad_mnist.experiments.text import Text, documentation, learn

CELLS = {"lstm": tg.nn.LSTM, "gru": tg.nn.GRU, "rnn": tg.nn.RNN}


class CharacterRNN(tg.nn.Module):
    """A vector for each character, a memory, and a score for each character that may follow."""

    def __init__(self, characters, neurons=192, cell="lstm", seed=0):
        rng = np.random.default_rng(seed)
        self.vectors = tg.nn.Embedding(characters, 32, rng=rng)
        self.memory = CELLS[cell](32, neurons, batch_first=True, rng=rng)
        self.output = tg.nn.Linear(neurons, characters, rng=rng)

    def forward(self, text):
        states, _ = self.memory(self.vectors(text))
        return self.output(states)


@experiment()
@click.option(
    "--cell", type=click.Choice([*CELLS]), default="lstm", show_default=True, help="The kind of memory."
)
@click.option(
    "--neurons", type=click.IntRange(1), help="Number of neurons.  [default: 96, or 256 with --full]"
)
@click.option(
    "--epochs",
    type=click.IntRange(1),
    help="Number of passes through the text.  [default: 10, or 12 with --full]",
)
def main(report, full, seeds, cell, neurons, epochs, compile):
    text = Text(documentation() if full else documentation()[:60_000])
    neurons = neurons or (256 if full else 96)
    learn(
        report,
        text,
        lambda seed: CharacterRNN(len(text.characters), neurons, cell, seed),
        seeds=seeds,
        epochs=epochs or (12 if full else 10),
        length=64,
        lr=0.01,
        compile=compile,
        sample=600 if full else 200,
    )


if __name__ == "__main__":
    main()
