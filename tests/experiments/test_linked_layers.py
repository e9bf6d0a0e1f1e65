"""ReLU layers as linked objects, and two mistakes that are found."""

from __future__ import annotations

import click
import numpy as np
import pytest

import tinygrad_mnist as tg
from tinygrad_mnist.nn import functional


@pytest.fixture
def module(script):
    return script("linked_layers")


@pytest.mark.thorough
def test_it_learns(run, tables, capsys):
    report = run("linked_layers", "--units", 64, "--epochs", 3, "--seeds", 2)
    rows = tables(report)["Images that were not used for training"]
    assert [row["seed"] for row in rows] == [0, 1]
    assert all(row["accuracy"] > 0.85 for row in rows)
    assert all(row["correct"] == f"{row['accuracy'] * 1000:.0f} of 1,000" for row in rows)
    assert {path.name for path in report.folder.iterdir()} == {
        "config.json", "confusion.png", "history.jsonl", "history.png", "index.html", "mistakes.png",
        "model.safetensors", "result.json",
    }  # fmt: skip
    assert "mean of 2: accuracy" in capsys.readouterr().out


def test_online_learns_from_one_image_at_a_time(run, tables):
    report = run("linked_layers", "--online", "--units", 24, "--validate")
    row = tables(report)["Images that were not used for training"][0]
    assert row["accuracy"] > 0.8
    assert row["correct"].endswith(" of 667")  # a sixth of the 4,000 to train with


def test_the_chain_is_one_network(run, module):
    model = module.network(5)
    assert [p.shape for p in model.parameters()] == [(5, 784), (5,), (5, 5), (5,), (10, 5), (10,)]
    assert set(model.state_dict()) == {
        f"{layer}linear.{name}" for layer in ("", "before.", "before.before.") for name in ("weight", "bias")
    }
    images = np.random.default_rng(0).random((3, 784), np.float32)
    by_hand = functional.relu(
        functional.relu(images @ model.before.before.linear.weight.data.T) @ model.before.linear.weight.data.T
    )
    np.testing.assert_allclose(model.before.eval()(images).data, by_hand, rtol=1e-5)


def test_a_saved_chain_is_read_back(module, tmp_path):
    model = module.network(5).eval()
    tg.training.save_model(model, tmp_path / "model.safetensors")
    again = tg.training.load_model(
        tmp_path / "model.safetensors", classes=[module.Input, module.Hidden, module.Dense]
    ).eval()
    images = np.random.default_rng(0).random((3, 784), np.float32)
    np.testing.assert_array_equal(again(images).data, model(images).data)


def test_images_are_moved_by_a_pixel_at_most(module):
    image = np.zeros((200, 28, 28), np.uint8)
    image[:, 10, 20] = 255
    places = np.argwhere(module.moved(image, np.random.default_rng(0)).reshape(image.shape))[:, 1:]
    assert {tuple(place) for place in places.tolist()} == {(y, x) for y in (9, 10, 11) for x in (19, 20, 21)}


def test_the_gradients_are_right(module):
    model = module.network(6).astype(np.float64).eval()
    rng = np.random.default_rng(0)
    images, labels = rng.random((4, 784)), np.array([1, 5, 9, 0])
    functional.cross_entropy(model(images), labels).backward()
    for parameter in model.parameters():
        tg.testing.check_parameter(
            lambda: functional.cross_entropy(model(images), labels), parameter, elements=10
        )


def test_the_bugs_are_found_and_named(run, tables, capsys):
    report = run("linked_layers", "--bugs", "--units", 32)
    said = capsys.readouterr().out
    assert "exp: infinity in 2000 of 2000 elements of the result" in said
    assert "in by_the_book: powers = np.exp(logits)" in said
    assert "check_graph: 2 wrong in 7 operations\n  relu_layer, argument bias at" in said
    assert "in the module before.ByHand" in said
    assert "gradcheck: the gradient of argument 2 (shape (2,)) is wrong" in said
    assert "9 operations, 14 inputs: all rules agree" in said
    after = tables(report)[
        "After 100 updates with the cross-entropy of this library, which does not overflow"
    ]
    assert after[0]["outputs_that_are_0"] == "100%"
    assert [row["last_loss"] < 1 for row in after] == [False, False, True]
    assert (report.folder / "weights.png").is_file()


def test_the_layer_written_by_hand_is_wrong_in_its_bias_only(module):
    rng = np.random.default_rng(0)
    x, weight, bias = rng.normal(size=(4, 3)), rng.normal(size=(2, 3)), rng.normal(size=2)
    assert tg.testing.gradcheck(lambda x, weight: module.relu_layer(x, weight, bias), x, weight)
    with pytest.raises(tg.errors.GradcheckError, match="argument 0"):
        tg.testing.gradcheck(lambda bias: module.relu_layer(x, weight, bias), bias)


def test_no_units_are_refused(run, tmp_path):
    with pytest.raises(click.BadParameter, match="0 is not in the range"):
        run("linked_layers", "--units", 0)
    assert list(tmp_path.iterdir()) == []
