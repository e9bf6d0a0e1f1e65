"""The small digits: 8×8 pixels, mostly by other people than those learned from."""

from __future__ import annotations

import click
import numpy as np
import pytest

import tinygrad_mnist as tg

pytest.importorskip("sklearn")


def test_it_learns(run, tables, script):
    report = run("small_digits", "--cycles", 8)
    (row,) = tables(report)["Digits that were not used for training"]
    assert row["test_accuracy"] > 0.9
    right, of = map(int, row["correct"].split(" / "))
    assert (right / of, of) == (row["test_accuracy"], 359)
    assert {path.name for path in report.folder.iterdir()} == {
        "config.json", "cycles.png", "images.png", "index.html", "model.safetensors", "outputs.png", "result.json",
    }  # fmt: skip

    # The file holds the network that was measured.
    module = script("small_digits")
    model = tg.training.load_model(report.folder / "model.safetensors", classes=[module.Network])
    _, test = tg.data.load_digits()
    test.transform = module.scaled
    assert tg.training.evaluate(model, test)["accuracy"] == row["test_accuracy"]


@pytest.mark.thorough
def test_as_written_is_bare_gradient_descent_on_raw_pixels(run, tables):
    report = run("small_digits", "--as-written", "--cycles", 6)
    assert 0.7 < tables(report)["Digits that were not used for training"][0]["test_accuracy"] < 0.91


def test_the_image_asked_for_is_shown(run):
    report = run("small_digits", "--show", 7, "--cycles", 1)
    assert "Image 7 and its ten outputs" in (report.folder / "index.html").read_text()


@pytest.mark.parametrize("index", [-1, 359])
def test_an_image_that_is_not_there_is_refused_before_anything_is_learned(run, tmp_path, index):
    with pytest.raises(click.BadParameter, match=f"{index} is not in the range 0<=x<=358"):
        run("small_digits", "--show", index)
    assert list(tmp_path.iterdir()) == []


def test_the_gradients_are_right(script):
    module = script("small_digits")
    model = module.Network().astype(np.float64)
    images, labels = np.random.default_rng(0).random((3, 64)), np.array([1, 5, 9])
    module.squared_error(model(images), labels).backward()
    for parameter in model.parameters():
        tg.testing.check_parameter(
            lambda: module.squared_error(model(images), labels), parameter, elements=10
        )


def test_images_move_by_at_most_half_a_pixel(script):
    moved = script("small_digits").moved
    spot = np.zeros((500, 8, 8), np.uint8)
    spot[:, 3, 4] = 16
    given = spot.copy()
    images = moved(spot, np.random.default_rng(0))
    np.testing.assert_array_equal(spot, given)
    assert (images.shape, images.dtype) == ((500, 8, 8), np.float32)
    np.testing.assert_allclose(images.sum(axis=(1, 2)), 16, rtol=1e-5)  # nothing is lost
    middles = np.einsum("nij,ijk->nk", images / 16, np.moveaxis(np.indices((8, 8)), 0, -1)) - [3, 4]
    assert np.abs(middles).max() <= 0.5 + 1e-5
    np.testing.assert_allclose(middles.mean(axis=0), 0, atol=0.05)
    assert np.abs(np.corrcoef(middles.T)[0, 1]) < 0.15
    assert (images >= 0).all()


def test_what_leaves_the_frame_does_not_return_on_the_other_side(script):
    edge = np.zeros((50, 8, 8), np.uint8)
    edge[:, 0, 0] = 16
    images = script("small_digits").moved(edge, np.random.default_rng(1))
    assert images[:, 2:].max() == images[:, :, 2:].max() == 0
