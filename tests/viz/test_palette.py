"""One palette: the colours of classes can be told apart, by colour-blind readers too."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest

import tinygrad_mnist as tg
from tinygrad_mnist.palette import CLASSES, INK, PAPER, RIGHT, SIGNS, WRONG

# How a reader without one kind of cones sees linear RGB: G. M. Machado, M. M. Oliveira and L. A. F. Fernandes,
# "A Physiologically-based Model for Simulation of Color Vision Deficiency" (2009), at full strength.
EYES = {
    "all cones": np.eye(3),
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
}  # fmt: skip
# Linear RGB to Oklab, where distances are those that are seen: B. Ottosson (2020).
CONES = np.array(
    [[0.412221, 0.536333, 0.051446], [0.211903, 0.680700, 0.107397], [0.088302, 0.281719, 0.629979]]
)  # fmt: skip
OKLAB = np.array(
    [[0.210454, 0.793618, -0.004072], [1.977998, -2.428592, 0.450594], [0.025904, 0.782772, -0.808676]]
)  # fmt: skip


def linear(colour):
    levels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)


def seen(colour, eye):
    return 100 * OKLAB @ np.cbrt(np.clip(CONES @ np.clip(EYES[eye] @ linear(colour), 0, 1), 0, None))


@pytest.mark.parametrize("eye", EYES)
def test_ten_classes_have_ten_colours(eye):
    """The closest two of Okabe and Ito's own colours are 7.6 apart; what is added comes no closer."""
    assert len(set(CLASSES)) == 10
    for one, other in itertools.combinations(CLASSES, 2):
        assert np.linalg.norm(seen(one, eye) - seen(other, eye)) > 7.5, (one, other)
    assert np.linalg.norm(seen(RIGHT, eye) - seen(WRONG, eye)) > 7.5


def test_words_stand_out_from_the_paper():
    assert PAPER == "white"
    for colour in (INK, WRONG):
        assert 1.05 / (linear(colour) @ [0.2126, 0.7152, 0.0722] + 0.05) > 3


def test_red_is_positive_and_blue_is_negative():
    pytest.importorskip("matplotlib")
    for value, strongest in ((1.0, 0), (-1.0, 2)):
        weight = np.zeros((1, 9))
        weight[0, 4] = value
        image = tg.viz.plot_weights(weight, shape=(3, 3)).axes[0].images[0]
        assert image.get_cmap().name == SIGNS
        red_green_blue = image.to_rgba(value / 2)[:3]
        assert np.argmax(red_green_blue) == strongest


def test_no_colour_is_written_elsewhere():
    """A colour that a plot makes up for itself has no meaning, and nobody has looked at it."""
    root = Path(__file__).resolve().parents[2]
    for file in [*(root / "tinygrad_mnist").rglob("*.py"), *(root / "examples").glob("*.py")]:
        if file.name != "palette.py":
            assert not re.search(r"\"#[0-9a-fA-F]{6}\"|RdBu|coolwarm|[sS]eismic", file.read_text()), file
