"""Recipes: settings for ``tinygrad-mnist train`` that go well together, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["RECIPES", "Recipe"]


class Recipe(NamedTuple):
    """Settings that go well together.

    Attributes
    ----------
    about : str
        What it is for, in a line.
    options : mapping
        Options of ``tinygrad-mnist train`` and their values as one types them, such as ``{"batch_size": "64"}``. The
        other options keep their defaults, and what is typed beside the recipe takes precedence.
    """

    about: str
    options: Mapping[str, str]

    def __str__(self) -> str:
        return " ".join(f"--{name.replace('_', '-')} {value}" for name, value in self.options.items())


#: All of these learn from all training images, so that nothing is held out. Their settings were chosen with 10,000 of
#: these held out; docs/recipes.md says what came of each on the test images.
#: Add your own: ``RECIPES["mine"] = Recipe("…", {"model": "cnn", "epochs": "3"})``.
RECIPES: dict[str, Recipe] = {
    "fast": Recipe(
        "99 % of MNIST after one epoch",
        {
            "model": "small-cnn", "epochs": "1", "batch_size": "64", "lr": "0.01", "label_smoothing": "0.1",
            "validation": "0", "compile": "numpy",
        },
    ),
    "best": Recipe(
        "as accurate as possible after some minutes",
        {
            "model": "cnn", "augment": "shift,rotate,scale", "epochs": "10", "batch_size": "64", "lr": "0.01",
            "label_smoothing": "0.1", "validation": "0",
        },
    ),
    "longest": Recipe(
        "a committee of five, each trained as best",
        {
            "model": "committee", "augment": "shift,rotate,scale", "epochs": "50", "batch_size": "320", "lr": "0.01",
            "label_smoothing": "0.1", "validation": "0",
        },
    ),
    "noisy-mlp": Recipe(
        "no convolutions and no distortions, so nothing tells it which pixels are neighbours",
        {
            "model": "noisy-mlp", "epochs": "100", "batch_size": "100", "lr": "0.003", "weight_decay": "0.01",
            "validation": "0",
        },
    ),
    "mlp-distorted": Recipe(
        "no convolutions, but a new distortion of every digit each time it is seen",
        {
            "model": "mlp", "hidden": "800,800", "augment": "shift,rotate,scale,shear,elastic", "epochs": "60",
            "lr": "0.002", "weight_decay": "0.01", "validation": "0",
        },
    ),
}  # fmt: skip
