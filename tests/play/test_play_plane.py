"""The room Plane: its points, what it shows of a network, and what it refuses."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_mnist as tg
from tinygrad_mnist.play.engine import Engine
from tinygrad_mnist.play.plane import Network, Plane, check_options
from tinygrad_mnist.play.points import FEATURES, KINDS, REACH, features_of, grid, make_points, view


@pytest.mark.parametrize("kind", KINDS)
def test_points(kind: str) -> None:
    points, classes = make_points(kind, 200, 0.0, 3)
    assert (points.dtype, points.shape) == (np.float32, (200, 2))
    assert np.abs(points).max() < REACH
    counts = np.bincount(classes)
    assert counts.min() > 60 if kind != "xor" else counts.min() > 50
    again, _ = make_points(kind, 200, 0.0, 3)
    np.testing.assert_array_equal(points, again)
    noisy, same = make_points(kind, 200, 0.2, 3)
    np.testing.assert_array_equal(classes, same)
    assert 0.15 < np.std(noisy - points) < 0.25
    # Without noise, each point is closest to one of its class: there is something to learn.
    distance = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1)) + np.eye(200) * 9
    assert np.mean(classes[distance.argmin(axis=1)] == classes) > 0.95


def test_what_a_network_sees() -> None:
    points = np.array([[1.0, -2.0], [0.5, 3.0]])
    seen = features_of(points, list(FEATURES))
    assert seen.shape == (2, len(FEATURES))
    np.testing.assert_allclose(seen[0, :5], [1, -2, 1 / 3, 4 / 3, -2 / 3], rtol=1e-6)
    middles = grid(2)
    np.testing.assert_array_equal(middles, [[-1.5, 1.5], [1.5, 1.5], [-1.5, -1.5], [1.5, -1.5]])


def test_the_picture_is_what_the_network_computes() -> None:
    network = Network(check_options({"hidden": [3, 2]}), *make_points("moons", 40, 0.1, 0), 20)
    for _ in range(3):
        network.advance()
    seen = view(network.model, ["x", "y"], 5, 4)
    x = features_of(grid(5), ["x", "y"])
    shares = tg.nn.functional.softmax(np.asarray(network.model(x).detach()))
    np.testing.assert_array_equal(seen["shares"][1].ravel(), np.round(255 * shares[:, 1]))
    assert [part.shape for part in seen["views"]] == [(2, 4, 4), (3, 4, 4), (2, 4, 4), (2, 4, 4)]
    assert [w.shape for w in seen["weights"]] == [(3, 2), (2, 3), (2, 2)]
    first = np.tanh(
        features_of(grid(4), ["x", "y"]) @ network.model[0].weight.data.T + network.model[0].bias.data
    )
    expected = np.round(127.5 + 127.5 * first / np.abs(first).max(axis=0)).T.reshape(3, 4, 4)
    assert np.abs(seen["views"][1] - expected).max() <= 1
    picture = network.picture()
    assert picture["step"] == 3
    outputs, (x, y) = tg.training.predict(network.model, network.test[0]), network.test
    assert picture["right"] == np.mean(outputs.argmax(axis=1) == y)
    assert picture["test"] == pytest.approx(tg.training.evaluate(network.model, (x, y))["loss"])


BAD: list[tuple[str, Any, str]] = [
    ("noise", -1, "noise is '-1'"), ("count", 1e9, "count"), ("count", 10.5, "count"), ("lr", "1", "lr"),
    ("lr", None, "lr"), ("batch", 0, "batch"), ("seed", True, "seed"), ("activation", "softmax", "activation"),
    ("optimizer", ["sgd"], "optimizer"), ("hidden", [0], "units"), ("hidden", [2] * 7, "hidden"),
    ("hidden", "4", "hidden"), ("hidden", [1e3], "units"), ("inputs", [], "at least one"), ("inputs", ["z"], "input"),
    ("inputs", "x", "inputs"), ("data", "x", "unknown data"), ("data", ["x"], "unknown data"),
    ("other", 1, "unknown setting"), ("noise", float("nan"), "noise"),
]  # fmt: skip
POINTS: list[Any] = [
    [], [[0, 0, 0]], "x", [[0, 0]] * 3, [[0, 0, 4]] * 3, [[0, 0, 0.5]] * 3, [[0, "a", 1]] * 3, [[0, True, 1]] * 3,
    [[0, float("inf"), 1]] * 3, [[0, 0, 0]] * 2001, [[0, 0, -1]] * 2,
]  # fmt: skip


def test_what_is_refused() -> None:
    engine = Engine([Plane])

    def begin(**given: Any) -> str:
        return str(engine.answer({"id": 1, "room": "plane", "do": "begin", "with": given}).get("error", ""))

    for name, value, words in BAD:
        assert words in (said := begin(options={name: value}))
        assert said, (name, value)
    for points in POINTS:
        assert re.search("points (is .*, but )?must be", begin(options={}, points=points)), points
    assert (
        "nothing has begun"
        in engine.answer({"room": "plane", "do": "steer", "with": {"what": "go"}})["error"]
    )
    assert (
        "unknown command" in engine.answer({"room": "plane", "do": "steer", "with": {"what": "x"}})["error"]
    )
    engine.close()


def test_it_learns_in_its_own_process() -> None:
    engine, pictures = Engine([Plane]), list[Any]()
    engine.subscribe(pictures.append)

    def ask(do: str, **given: Any) -> Any:
        answer = engine.answer({"id": 1, "room": "plane", "do": do, "with": given})
        assert "error" not in answer, answer
        return answer["result"]

    def wait(is_so: Callable[[], Any]) -> None:
        end = time.monotonic() + 60
        while not (pictures and is_so()):
            assert time.monotonic() < end
            time.sleep(0.01)

    begun = ask("begin", options={"data": "circles", "noise": 0.0, "lr": 0.05})
    assert (len(begun["train"]), len(begun["test"])) == (100, 100)
    wait(lambda: pictures[-1]["step"] == 0)
    ask("steer", what="step")
    wait(lambda: pictures[-1]["step"] == 1)
    ask("turn", lr=0.04)
    wait(lambda: pictures[-1]["lr"] == pytest.approx(0.04))
    ask("steer", what="go")
    wait(lambda: pictures[-1]["right"] == 1 and pictures[-1]["state"] == "running")
    ask("steer", what="pause")
    wait(lambda: pictures[-1]["state"] == "paused")
    assert pictures[-1]["train"] < pictures[0]["train"] / 2
    state = ask("state")
    assert state["last"]["step"] == pictures[-1]["step"]
    assert state["history"][0].tolist()[0] == 0
    # The same settings give the same training, also of one's own points.
    steps = pictures[-1]["step"]
    network = Network(
        check_options({"data": "circles", "noise": 0.0, "lr": 0.05}),
        begun["train"][:, :2],
        begun["train"][:, 2].astype(int),
        100,
    )
    network.advance()
    assert network.picture()["train"] == pictures[1]["train"]
    assert steps > 1
    own = [[0.0, 0.0, 0], [1.0, 1.0, 1], [2.0, 1.0, 2]]
    assert len(ask("begin", options={}, points=own)["train"]) == 1
    wait(lambda: pictures[-1]["shares"].shape[0] == 3)
    engine.close()
