"""Models of text that guess the next character: what they learn from, how well they guess, and what they write."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable
from pydoc_data.topics import topics
from typing import Any

import numpy as np

from .. import training
from ..errors import OptionError
from ..nn import Module
from ..nn import functional as F  # noqa: N812
from ..optim import AdamW, OneCycleLR
from ..palette import INK, SHARES
from ..typing import Array, NDArray
from ..viz.figures import finish, new_figure
from .report import Report

__all__ = ["Text", "bits", "counted", "documentation", "learn", "next_character", "write"]


def documentation() -> str:
    """Return what Python's ``help()`` knows about the language, each paragraph once.

    It comes with Python, and differs a little from one version to the next.

    Examples
    --------
    >>> "Assignment statements are used to (re)bind names" in documentation()
    True
    """
    whole = "\n\n".join(topics[name].strip() for name in sorted(topics))
    return "\n\n".join(dict.fromkeys(whole.split("\n\n")))  # many topics are parts of others


class Text:
    """A text as numbers, one for each character, in three parts.

    Parameters
    ----------
    text : str

    Attributes
    ----------
    characters : str
        The different ones; the number of each is its place here.
    train, validation, test : ndarray of int
        Eight, one and one tenth of the text, in this order.

    Raises
    ------
    OptionError
        If the text is too short to be cut.

    Examples
    --------
    >>> text = Text("to be or not to be, that is the question")
    >>> text.decode(text.train[:5]), text.encode("bee"), len(text.test)
    ('to be', array([3, 4, 4]), 4)
    """

    def __init__(self, text: str) -> None:
        if len(text) < 10:
            raise OptionError(f"Text: {len(text)} characters cannot be cut into tenths")
        self.characters = "".join(sorted(set(text)))
        self._numbers = {character: number for number, character in enumerate(self.characters)}
        tenth = len(text) // 10
        self.train, self.validation, self.test = np.split(self.encode(text), [-2 * tenth, -tenth])

    def encode(self, text: str) -> NDArray:
        """Return the number of each character; all must be known."""
        return np.array([self._numbers[character] for character in text])

    def decode(self, numbers: NDArray) -> str:
        """Return the characters with these numbers."""
        return "".join(self.characters[number] for number in numbers)


def windows(numbers: NDArray, length: int, step: int | None = None) -> tuple[NDArray, NDArray]:
    """Cut a text into pieces, and take for each character the next one as the target.

    Parameters
    ----------
    numbers : ndarray of int
        The text.
    length : int
        The number of characters in a piece.
    step : int, optional
        How far apart two pieces begin; ``length`` by default.

    Returns
    -------
    inputs, targets : ndarray of int, shape (pieces, length)

    Raises
    ------
    OptionError
        If the text is too short for one piece.

    Examples
    --------
    >>> inputs, targets = windows(np.arange(8), 4, step=2)
    >>> inputs.tolist(), targets.tolist()
    ([[0, 1, 2, 3], [2, 3, 4, 5]], [[1, 2, 3, 4], [3, 4, 5, 6]])
    """
    if len(numbers) <= length:
        raise OptionError(f"windows: pieces of {length} and the next character do not fit in {len(numbers)}")
    pieces = np.lib.stride_tricks.sliding_window_view(numbers, length + 1)[:: step or length]
    return pieces[:, :-1], pieces[:, 1:]


def next_character(scores: Array, targets: NDArray) -> Array:
    """Return the mean cross-entropy of scores of shape (N, T, characters) and targets of shape (N, T)."""
    return F.cross_entropy(np.reshape(scores, (-1, scores.shape[-1])), targets.ravel())


def bits(model: Module, numbers: NDArray, length: int) -> NDArray:
    """Return how many bits each character costs: -log₂ of the probability that the model gave it.

    The model sees at most ``length`` characters before each, and at least half as many. So the first cost is that
    of ``numbers[length - length // 2 + 1]``; characters at the end that fill no piece are left out.
    """
    half = length // 2
    inputs, targets = windows(numbers, length, step=half)
    # A piece begins every `half` characters, so its last `half` guesses are the ones that are new.
    scores = training.predict(model, inputs, batch_size=100)[:, -half:]
    costs = F.cross_entropy(
        scores.reshape(-1, scores.shape[-1]), targets[:, -half:].ravel(), reduction="none"
    )
    return np.asarray(costs) / np.log(2)


def counted(train: NDArray, test: NDArray, order: int, characters: int) -> float:
    """Return the bits for each character of a table of counts: what followed the last ``order`` characters.

    The shares of longer contexts are mixed with those of shorter ones; the more different characters followed a
    context, the less it counts [1]_.

    References
    ----------
    .. [1] I. H. Witten, T. C. Bell, "The zero-frequency problem", IEEE Transactions on Information Theory 37 (1991).

    Examples
    --------
    >>> numbers = np.tile([0, 1, 2, 3], 100)
    >>> round(counted(numbers, numbers, 0, 4), 2), round(counted(numbers, numbers, 1, 4), 2)
    (2.0, 0.02)
    """
    tables: defaultdict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
    known, asked = train.tolist(), test.tolist()
    for size in range(order + 1):
        for i in range(size, len(known)):
            tables[tuple(known[i - size : i])][known[i]] += 1
    total = 0.0
    for i, character in enumerate(asked):
        share = 1 / characters
        for size in range(min(order, i) + 1):
            seen = tables.get(tuple(asked[i - size : i]))
            if seen is None:
                break
            share = (seen[character] + len(seen) * share) / (seen.total() + len(seen))
        total -= np.log2(share)
    return float(total / len(asked))


def write(
    model: Module,
    start: NDArray,
    count: int,
    *,
    length: int,
    temperature: float = 1.0,
    rng: np.random.Generator | int | None = None,
) -> NDArray:
    """Continue a text: draw one character after the other from the probabilities that the model gives.

    Parameters
    ----------
    model : Module
        Its scores have the shape (N, T, characters).
    start : ndarray of int, shape (T,)
        What the text begins with.
    count : int
        The number of characters to write.
    length : int
        The number of characters that the model sees at most.
    temperature : float, default 1
        The scores are divided by it: below 1, the likely characters become more likely still.
    rng : numpy.random.Generator or seed

    Returns
    -------
    ndarray of int, shape (T + count,)
    """
    rng = np.random.default_rng(rng)
    text = [*start]
    for _ in range(count):
        scores = training.predict(model, np.array([text[-length:]]))[0, -1].astype(np.float64)
        text.append(rng.choice(len(scores), p=F.softmax(scores / temperature)))
    return np.array(text)


def plot_bits(
    text: str, costs: NDArray, *, columns: int = 72, path: str | os.PathLike[str] | None = None
) -> Any:
    """Draw a text, each character on a ground that is the darker the more bits it cost."""
    lines, place = [], 0
    for line in text.split("\n"):
        lines += [(place + i, line[i : i + columns]) for i in range(0, max(len(line), 1), columns)]
        place += len(line) + 1
    figure = new_figure(0.105 * columns, 0.2 * len(lines) + 0.55)
    axes = figure.add_subplot()
    shades = np.full((len(lines), columns), np.nan)
    for row, (place, line) in enumerate(lines):
        shades[row, : len(line)] = costs[place : place + len(line)]
        for column, character in enumerate(line):
            is_dark = shades[row, column] > 5
            look: dict[str, Any] = {
                "color": "white" if is_dark else INK,
                "family": "monospace",
                "fontsize": 8,
            }
            axes.text(column, row, character, ha="center", va="center", **look)
    image = axes.imshow(shades, cmap=SHARES, vmin=0, vmax=8, aspect="auto")
    axes.set_axis_off()
    bar = figure.colorbar(image, ax=axes, orientation="horizontal", shrink=0.4, aspect=30, pad=0.01)
    bar.set_label("bits", color=INK, fontsize=8)
    bar.ax.tick_params(labelsize=8)
    return finish(figure, path)


def learn(
    report: Report,
    text: Text,
    make: Callable[[int], Module],
    *,
    seeds: range,
    epochs: int,
    length: int,
    lr: float,
    compile: bool | str,
    sample: int,
) -> Module:
    """Train a model for each seed, and report how well it guesses and what it writes.

    Parameters
    ----------
    report : Report
    text : Text
    make : callable
        ``make(seed)`` returns a model, which maps numbers of shape (N, T) to scores of shape (N, T, characters).
    seeds, epochs, compile
        As for an experiment, and for :func:`~tinygrad_mnist.training.fit`.
    length : int
        The number of characters in a piece.
    lr : float
        The highest learning rate of the cycle.
    sample : int
        The number of characters to write.

    Returns
    -------
    Module
        The model of the last seed.
    """
    report.text(
        f"{len(text.train):,} characters to learn from, {len(text.test):,} to be tested on, "
        f"{len(text.characters)} different ones"
    )
    yardsticks = report.table("Without a network: what followed the last characters, counted")
    for order in (0, 1, 2, 4):
        yardsticks.add(
            characters_before=order, bits=counted(text.train, text.test, order, len(text.characters))
        )
    runs = report.table("Bits for each character that was not learned from", mean=True)
    for seed in seeds:
        model = make(seed)
        history = training.fit(
            model,
            windows(text.train, length),
            epochs=epochs,
            batch_size=32,
            loss=next_character,
            optimizer=AdamW(model.parameters(), lr=lr),
            schedule=OneCycleLR,
            validation=windows(text.validation, length),
            clip_norm=1.0,
            rng=seed,
            compile=compile,
            resume=report.checkpoints(seed),
        )
        costs = bits(model, text.test, length)
        runs.add(
            seed=seed,
            weights=sum(parameter.size for parameter in model.parameters()),
            validation_bits=float(np.mean(bits(model, text.validation, length))),
            test_bits=float(np.mean(costs)),
            training_seconds=history.seconds,
            backend=history.backend,
        )
    report.history(history)
    report.model(model)
    shown = text.test[length - length // 2 + 1 :][: min(len(costs), 1200)]
    report.picture(
        "bits.png",
        plot_bits,
        text.decode(shown),
        costs,
        caption="Text that was not learned from: the darker, the less the model expected this character",
    )
    for temperature in (0.5, 1.0):
        written = write(
            model, text.encode("The "), sample, length=length, temperature=temperature, rng=seeds[-1]
        )
        report.listing(text.decode(written), f"What it writes, at temperature {temperature:g}")
    return model
