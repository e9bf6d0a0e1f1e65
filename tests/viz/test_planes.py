"""Maps: points by class, and the image of each place."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_mnist as tg
from tinygrad_mnist import viz
from tinygrad_mnist.errors import OptionError, ShapeError

pytest.importorskip("matplotlib")


def test_scatter_draws_each_point_in_the_colour_of_its_class():
    points, labels = np.random.default_rng(0).random((300, 2)), np.arange(300) % 10
    figure = viz.plot_scatter(points, labels, xlabel="a", ylabel="b")
    axes = figure.axes[0]
    drawn, colours = axes.collections[0].get_offsets(), axes.collections[0].get_facecolors()
    np.testing.assert_array_equal(np.sort(drawn, axis=0), np.sort(points, axis=0))
    colour_of = {tuple(point): tuple(colour) for point, colour in zip(drawn, colours, strict=True)}
    kinds = {(label, colour_of[tuple(point)]) for point, label in zip(points, labels, strict=True)}
    assert len(kinds) == len({colour for _, colour in kinds}) == 10
    assert [text.get_text() for text in axes.get_legend().get_texts()] == list("0123456789")
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("a", "b")


def test_scatter_names_a_class_in_the_middle_of_its_points():
    figure = viz.plot_scatter([[0, 0], [1, 2], [9, 9], [4, 4]], [0, 0, 0, 2], classes=["cat", "dog", "cow"])
    texts = {text.get_text(): text.get_position() for text in figure.axes[0].texts}
    assert texts == {"cat": (1, 2), "cow": (4, 4)}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((np.zeros((3, 3)), np.zeros(3, int)), ShapeError, r"\(3, 3\) and labels of shape \(3,\)"),
        ((np.zeros((3, 2)), np.zeros(2, int)), ShapeError, r"expected \(N, 2\)"),
        ((np.zeros((0, 2)), np.zeros(0, int)), OptionError, "no points"),
        ((np.zeros((1, 2)), np.zeros(1)), OptionError, "not float64"),
        ((np.zeros((1, 2)), np.array([10])), OptionError, "0 to 9"),
        ((np.zeros((1, 2)), np.array([-1])), OptionError, "-1 … -1"),
    ],
)
def test_scatter_refuses(arguments, error, message):
    with pytest.raises(error, match=message):
        viz.plot_scatter(*arguments)


def test_plane_shows_the_image_of_a_place_at_that_place():
    def decode(places):
        return np.repeat(places @ [1, 10], 6).reshape(-1, 6)

    figure = viz.plot_plane(decode, [1, 2, 3], [5, 6], shape=(2, 3))
    axes = figure.axes[0]
    expected = np.kron([[61, 62, 63], [51, 52, 53]], np.ones((2, 3)))
    np.testing.assert_array_equal(axes.images[0].get_array(), expected)
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "2", "3"]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["6", "5"]


def test_plane_of_a_decoder_loses_no_gradient(tmp_path):
    decoder = tg.nn.MLP([2, 9], rng=0)
    viz.plot_plane(decoder, np.zeros(2, np.float32), np.zeros(2, np.float32), path=tmp_path / "plane.png")
    assert (tmp_path / "plane.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((lambda places: places, np.zeros((2, 2)), [1]), ShapeError, "expected vectors"),
        ((lambda places: places, [], [1]), OptionError, "must be positive"),
        ((lambda places: places, np.zeros(30), np.zeros(30)), OptionError, "30 × 30"),
        ((lambda places: np.zeros((1, 4)), [1, 2], [1]), ShapeError, "1 images for 2 places"),
    ],
)
def test_plane_refuses(arguments, error, message):
    with pytest.raises(error, match=message):
        viz.plot_plane(*arguments)


def test_mistakes_by_name():
    p = np.array([[0.9, 0.1], [0.2, 0.8]])
    figure = viz.plot_mistakes(np.zeros((2, 16)), [1, 1], p, classes=["cat", "dog"])
    assert [text.get_text() for text in figure.axes[0].texts] == ["dog → cat  90%"]
    with pytest.raises(ShapeError, match="3 names for 2 classes"):
        viz.plot_mistakes(np.zeros((2, 16)), [1, 1], p, classes="abc")
