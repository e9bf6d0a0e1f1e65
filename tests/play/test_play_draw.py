"""The rooms Draw and Backward: what they show are the model's own numbers."""

from __future__ import annotations

import json
import math
import re
from base64 import b64encode
from typing import Any

import numpy as np
import pytest

import tinygrad_mnist as tg
from tinygrad_mnist.data.images import prepare_digit
from tinygrad_mnist.play.backward import EXAMPLES
from tinygrad_mnist.play.draw import CONVOLUTION, SMALL
from tinygrad_mnist.play.engine import Engine
from tinygrad_mnist.play.looking import Edit, Looker
from tinygrad_mnist.play.rooms import ROOMS
from tinygrad_mnist.training.settings import Facts

CLASSES = tuple("0123456789")


def packed(x: Any) -> str:
    return b64encode(np.ascontiguousarray(x).tobytes()).decode()


BLANK = packed(np.zeros(784, np.float32))


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(ROOMS)


def ask(engine: Engine, room: str, do: str, **given: Any) -> Any:
    answer = engine.answer({"id": 1, "room": room, "do": do, "with": given})
    assert "error" not in answer, answer["error"]
    return answer["result"]


def refuse(engine: Engine, room: str, do: str, **given: Any) -> str:
    return str(engine.answer({"id": 1, "room": room, "do": do, "with": given})["error"])


def drawn() -> np.ndarray:
    """A thick vertical stroke, dark on light."""
    paper = np.full((140, 140), 255, np.uint8)
    paper[20:120, 62:76] = 0
    return paper


def small() -> Looker:
    test = tg.data.load_mnist("sample")[1]
    facts = Facts("sample", None, "", CLASSES, 28, "cross-entropy", (784,))
    return Looker(tg.nn.MLP([784, 12, 10], rng=0), facts, test)


def convolutional() -> Looker:
    test = tg.data.load_mnist("sample")[1]
    model = tg.nn.Sequential(
        tg.nn.Unflatten(1, (1, 28, 28)), tg.nn.Conv2d(1, 3, 5, stride=2, padding=1, rng=0), tg.nn.ReLU(),
        tg.nn.Conv2d(3, 6, 3, dilation=2, groups=3, rng=1), tg.nn.Flatten(), tg.nn.Linear(6 * 9 * 9, 10, rng=1),
    )  # fmt: skip
    return Looker(model, Facts("sample", None, "", CLASSES, 28, "cross-entropy", (784,)), test)


@pytest.fixture
def digit() -> np.ndarray:
    return np.asarray(tg.data.load_mnist("sample")[1][3][0], np.float32).reshape(28, 28)


def test_a_drawing_is_read_as_predict_reads_it(engine: Engine) -> None:
    image = ask(engine, "draw", "prepare", model=SMALL, side=140, drawing=packed(drawn()))
    np.testing.assert_array_equal(image, prepare_digit(drawn(), size=28, fill=20 / 28))
    found = ask(engine, "draw", "look", model=SMALL, image=packed(image.astype(np.float32)))
    assert found["classes"][found["said"]] == "1"
    assert found["shares"].sum() == pytest.approx(1, abs=1e-5)
    assert [layer["kind"] for layer in found["layers"]] == ["Linear", "ReLU", "Linear"]
    np.testing.assert_array_equal(found["layers"][-1]["values"], found["outputs"])


def test_the_slope_is_that_of_the_output(digit: np.ndarray) -> None:
    looker = small()
    speaks = looker.look(digit, towards=7)["speaks"]
    x = tg.tensor(digit.reshape(1, 784), requires_grad=True)
    looker.model(x)[0, 7].backward()
    np.testing.assert_allclose(
        speaks.ravel(), np.asarray(x.grad).ravel() * digit.ravel(), rtol=1e-5, atol=1e-8
    )


@pytest.mark.parametrize("make", [small, convolutional])
def test_a_neuron_is_its_sum(make: Any, digit: np.ndarray) -> None:
    looker = make()
    layers = {layer["name"]: layer for layer in looker.look(digit)["layers"] if layer["asks"]}
    assert len(layers) >= 2
    for name, layer in layers.items():
        for unit in (0, len(layer["values"]) - 1):
            found = looker.neuron(digit, name, unit)
            value = layer["values"][unit]
            value = value if found["place"] is None else value[tuple(found["place"])]
            assert found["sum"] == pytest.approx(float(value), abs=1e-5)
            terms = sum(term["product"] for term in found["terms"])
            assert found["bias"] + terms + found["rest"] == pytest.approx(found["sum"], abs=1e-9)
            for term in found["terms"]:
                assert term["product"] == pytest.approx(term["weight"] * term["input"])
            values = [image["value"] for image in found["exciting"]]
            assert values == sorted(values, reverse=True)
            best = looker.look(found["exciting"][0]["image"])["layers"]
            best_of = next(entry for entry in best if entry["name"] == name)["values"][unit]
            assert float(np.max(best_of)) == pytest.approx(values[0], abs=1e-5)


def test_a_neuron_that_is_switched_off_counts_no_more(digit: np.ndarray) -> None:
    looker = small()
    off, nudged = [Edit("0", 3, None)], [Edit("2", 5, 100.0)]
    assert looker.look(digit, off)["layers"][0]["values"][3] == 0
    assert looker.look(digit, nudged)["said"] == 5
    share = float(np.mean(looker.tested[1] == 5))
    assert looker.accuracy(nudged) == pytest.approx(share)
    # The model itself stays as it was.
    assert looker.look(digit)["layers"][0]["values"][3] != 0


def test_a_layer_without_a_bias_is_nudged_and_a_model_without_test_images_is_looked_at(
    digit: np.ndarray,
) -> None:
    model = tg.nn.Sequential(
        tg.nn.Unflatten(1, (1, 28, 28)), tg.nn.Conv2d(1, 3, 5, bias=False, rng=0), tg.nn.Flatten(),
        tg.nn.Linear(3 * 24 * 24, 10, rng=1),
    )  # fmt: skip
    looker = Looker(model, Facts(None, None, "", CLASSES, 28, "cross-entropy", (784,)), None)
    before, after = (looker.look(digit, edits)["layers"][0]["values"] for edits in ([], [Edit("1", 2, 0.5)]))
    np.testing.assert_allclose(after[2], before[2] + 0.5, rtol=1e-6)
    np.testing.assert_array_equal(after[:2], before[:2])
    found = looker.neuron(digit, "1", 2, edits=[Edit("1", 2, 0.5)])
    assert (found["bias"], found["exciting"]) == (0.5, [])
    with pytest.raises(tg.errors.OptionError, match="there are no test images"):
        looker.accuracy()


def test_an_image_is_moved_towards_a_class(digit: np.ndarray) -> None:
    looker = small()
    before = looker.look(digit)["shares"][3]
    for signs, amount in ((True, 0.1), (False, 3.0)):
        moved = looker.moved(digit, 3, amount, signs=signs)
        assert looker.look(moved)["shares"][3] > before
        assert 0 <= moved.min() <= moved.max() <= 1
        if signs:
            assert np.abs(moved - digit).max() <= amount + 1e-6
    np.testing.assert_array_equal(looker.moved(digit, 3, 0.0, signs=True), digit)


@pytest.mark.parametrize(
    ("do", "given", "words"),
    [
        ("prepare", {"model": SMALL, "side": 140, "drawing": "AAAA"}, "as a whole"),
        ("prepare", {"model": SMALL, "side": 10**6, "drawing": ""}, "41 to 600"),
        ("prepare", {"model": SMALL, "side": 140, "drawing": packed(np.full((140, 140), 255, np.uint8))}, "drawing"),
        ("look", {"model": "none", "image": ""}, "unknown model"),
        ("look", {"model": SMALL, "image": packed(np.full(784, np.nan, np.float32))}, "between 0 and 1"),
        ("look", {"model": SMALL, "image": BLANK, "towards": 12}, "class 12"),
        ("look", {"model": SMALL, "image": BLANK, "edits": [["0"]]}, "a change of a neuron"),
        ("accuracy", {"model": SMALL, "edits": [["0", math.inf, 5]]}, "a change of a neuron"),
        ("neuron", {"model": SMALL, "image": BLANK, "layer": "0", "unit": 0, "place": [1]}, "a place is"),
        ("neuron", {"model": SMALL, "image": BLANK, "layer": "9", "unit": 0}, "unknown layer"),
        ("neuron", {"model": SMALL, "image": BLANK, "layer": "0", "unit": 99}, "no 99"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said(engine: Engine, do: str, given: dict[str, Any], words: str) -> None:
    assert words in refuse(engine, "draw", do, **given)


def test_formulas_are_played_with_the_engines_numbers(engine: Engine) -> None:
    for text, values in EXAMPLES.items():
        played = ask(engine, "backward", "formula", text=text, values=values)
        content = engine.files[played["page"].split("/")[1]].content.decode()
        found = re.search(r'<script type="application/json" id="data">(.*?)</script>', content, re.DOTALL)
        assert found is not None
        assert len(json.loads(found[1])["steps"]) == played["steps"]
    played = ask(engine, "backward", "formula", text="x * w + b", values="x=2 w=0.5 b=-1")
    assert played["value"] == 0.0
    assert "unknown function" in refuse(engine, "backward", "formula", text="__import__('os')", values="x=1")
    assert "is no value" in refuse(engine, "backward", "formula", text="x", values="x=open")


@pytest.mark.thorough
def test_an_image_is_played_through_a_convolution(engine: Engine) -> None:
    played = ask(engine, "backward", "image", model=CONVOLUTION, number=4)
    assert played["steps"] > 20
    assert ask(engine, "draw", "accuracy", model=CONVOLUTION, edits=[])["before"] > 0.85
