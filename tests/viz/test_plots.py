"""Plots: that the right numbers are in them, and that their files are pictures."""

from __future__ import annotations

import io
import itertools
import subprocess
import sys

import numpy as np
import pytest

import tinygrad_mnist as tg
from tinygrad_mnist import viz
from tinygrad_mnist.errors import DTypeError, MissingExtraError, OptionError, ShapeError

pytest.importorskip("matplotlib")
Image = pytest.importorskip("PIL.Image")
to_rgb = pytest.importorskip("matplotlib.colors").to_rgb

HISTORY = [
    {
        "epoch": epoch,
        "train_loss": 1 / epoch,
        "train_accuracy": 1 - 0.5 / epoch,
        "validation_loss": 1.1 / epoch,
        "validation_accuracy": accuracy,
        "lr": 0.1,
        "seconds": 1.0,
    }
    for epoch, accuracy in enumerate([0.8, 0.95, 0.9], start=1)
]


def texts(figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


# -- learning curves -----------------------------------------------------------------------------


def test_history_has_a_panel_for_loss_and_one_for_accuracy():
    figure = viz.plot_history(HISTORY)
    loss, accuracy = figure.axes
    assert (loss.get_ylabel(), accuracy.get_ylabel()) == ("loss", "accuracy (%)")
    assert loss.get_xlabel() == accuracy.get_xlabel() == "epoch"
    assert [line.get_label() for line in loss.lines] == ["train", "validation"]
    np.testing.assert_allclose(loss.lines[0].get_xydata(), [[1, 1], [2, 1 / 2], [3, 1 / 3]])
    np.testing.assert_allclose(accuracy.lines[1].get_ydata(), [80, 95, 90])
    assert accuracy.get_title(loc="left") == "best validation accuracy 95.00%, epoch 2"


def test_history_draws_what_there_is():
    figure = viz.plot_history([{"train_loss": 2.0}, {"seconds": 3.0}, {"train_loss": 1.0, "epoch": 7}])
    (axes,) = figure.axes
    np.testing.assert_array_equal(axes.lines[0].get_xydata(), [[1, 2], [7, 1]])
    assert len(viz.plot_history([{"validation_accuracy": float("nan")}]).axes) == 1


def test_history_of_nothing():
    with pytest.raises(OptionError, match="0 epochs"):
        viz.plot_history([])
    with pytest.raises(OptionError, match="entries lr; expected train_loss"):
        viz.plot_history([{"lr": 0.1}])


def test_whole_numbers_are_marked_with_whole_numbers():
    figure = viz.plot_lines(np.arange(1, 21), {"SGD": np.arange(20.0)})
    figure.draw_without_rendering()
    assert all(tick == int(tick) for tick in figure.axes[0].get_xticks())


def test_titles_stand_above_images_of_few_pixels():
    (title,) = viz.plot_images(np.zeros((1, 8, 8)), [3]).axes[0].texts
    assert title.get_position() == (3.5, 1.0)  # the upper edge of the image is at 1.5


# -- confusion -----------------------------------------------------------------------------------


def test_confusion_counts():
    targets, predictions = np.array([0, 0, 0, 1, 2, 2]), np.array([0, 0, 1, 1, 2, 0])
    figure = viz.plot_confusion(targets, predictions)
    axes = figure.axes[0]
    cells = {text.get_position(): text.get_text() for text in axes.texts if text.get_ha() == "center"}
    assert cells == {(0, 0): "2", (1, 0): "1", (1, 1): "1", (2, 2): "1", (0, 2): "1"}
    assert axes.get_title(loc="left") == "6 samples, 66.67% right"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")
    assert texts(figure)[-3:] == ["66.7%", "100.0%", "50.0%"]


def test_confusion_of_counts_is_the_same():
    counts = np.array([[2, 1, 0], [0, 1, 0], [1, 0, 1]])
    figure = viz.plot_confusion(counts, classes=["a", "b", "c"])
    assert texts(figure) == texts(viz.plot_confusion([0, 0, 0, 1, 2, 2], [0, 0, 1, 1, 2, 0]))
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["a", "b", "c"]


def test_confusion_names_reserve_room_for_classes_that_do_not_occur():
    figure = viz.plot_confusion([0, 1], [0, 1], classes=range(10))
    assert figure.axes[0].images[0].get_array().shape[:2] == (10, 10)


def test_many_classes_have_no_numbers():
    assert texts(viz.plot_confusion(np.eye(30, dtype=int))) == []


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((np.ones((2, 3), int),), ShapeError, r"\(2, 3\); expected \(C, C\)"),
        ((np.ones((2, 2)),), DTypeError, "integers"),
        ((np.zeros((2, 2), int),), OptionError, "no samples"),
        (([], []), OptionError, "no samples"),
        (([0, 1], [0]), ShapeError, "the same shape"),
        (([0, 1], [0.2, 0.8]), DTypeError, "np.argmax"),
        (([0, -1], [0, 1]), OptionError, "-1 … 1 is out of range for 2"),
    ],
)
def test_confusion_refuses(arguments, error, message):
    with pytest.raises(error, match=message):
        viz.plot_confusion(*arguments)


def test_confusion_refuses_names_that_do_not_fit():
    with pytest.raises(ShapeError, match="3 names for 2 classes"):
        viz.plot_confusion(np.eye(2, dtype=int), classes="abc")
    with pytest.raises(OptionError, match="out of range for 2 classes"):
        viz.plot_confusion([0, 2], [0, 1], classes="ab")


# -- contact sheets ------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5, 6, 6), (5, 36), (5, 1, 6, 6), (5, 6, 6, 1)])
def test_images_are_where_they_belong(shape):
    images = np.arange(5 * 36).reshape(shape)
    canvas = viz.plot_images(images, columns=3).axes[0].images[0].get_array()
    flat = images.reshape(5, 6, 6)
    np.testing.assert_array_equal(canvas[:6, :6], flat[0])
    np.testing.assert_array_equal(canvas[:6, 14:20], flat[2])
    np.testing.assert_array_equal(canvas[7:13, 7:13], flat[4])
    assert np.ma.is_masked(canvas[7:13, 14:20])


def test_images_that_are_not_square():
    images = np.arange(12).reshape(2, 6)
    canvas = viz.plot_images(images, shape=(2, 3)).axes[0].images[0].get_array()
    np.testing.assert_array_equal(canvas[:2, :3], [[0, 1, 2], [3, 4, 5]])


def test_titles_of_images():
    figure = viz.plot_images(np.zeros((2, 4, 4)), np.array([3, 5]), np.array([3, 6]))
    assert texts(figure) == ["3 → 3", "5 → 6"]
    right, wrong = figure.axes[0].texts
    assert right.get_color() != wrong.get_color()
    assert texts(viz.plot_images(np.zeros((2, 4, 4)), labels=["a", "b"])) == ["a", "b"]


def test_rows_of_images_are_named():
    figure = viz.plot_images(np.zeros((4, 6, 6)), columns=2, rows=["query", "ascent"])
    names = {text.get_text(): text.get_position()[1] for text in figure.axes[0].texts}
    assert names == {"query": 2.5, "ascent": 9.5}  # the middles of rows of 6 pixels, one pixel apart
    with pytest.raises(ShapeError, match="3 names for 2 rows of images"):
        viz.plot_images(np.zeros((4, 6, 6)), columns=2, rows=["a", "b", "c"])


@pytest.mark.parametrize(
    ("images", "options", "error", "message"),
    [
        (np.zeros((0, 4, 4)), {}, OptionError, "no images"),
        (np.zeros((401, 4, 4)), {}, OptionError, "at most 400"),
        (np.zeros((2, 7)), {}, ShapeError, r"\(2, 7\).*expected numbers of shape"),
        (np.zeros((2, 3, 4, 4)), {}, ShapeError, "expected numbers of shape"),
        (np.zeros((2, 4, 4)), {"labels": [1, 2, 3]}, ShapeError, r"\(3,\) for 2 images"),
        (np.zeros((2, 4, 4)), {"columns": 0}, OptionError, "columns=0"),
    ],
)
def test_images_refused(images, options, error, message):
    with pytest.raises(error, match=message):
        viz.plot_images(images, **options)


def test_mistakes_are_the_worst():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.full(4, 0.3), 200)
    targets = rng.integers(0, 4, 200)
    images = np.broadcast_to(np.arange(200.0)[:, None, None], (200, 3, 3))
    figure = viz.plot_mistakes(images, targets, p, count=6, columns=6)
    predicted = p.argmax(1)
    wrong = [i for i in range(200) if predicted[i] != targets[i]]
    worst = sorted(wrong, key=lambda i: -p[i, predicted[i]])[:6]
    canvas = figure.axes[0].images[0].get_array()
    np.testing.assert_array_equal(canvas[-2, 1::4], worst)
    assert texts(figure) == [f"{targets[i]} → {predicted[i]}  {p[i, predicted[i]]:.0%}" for i in worst]
    assert figure.get_suptitle() == f"6 worst of {len(wrong)} mistakes: true → predicted, and how sure it was"


def test_ties_among_mistakes_go_to_the_less_likely_truth():
    p = np.array([[0.6, 0.4, 0.0], [0.9, 0.1, 0.0], [0.6, 0.3, 0.1]])
    figure = viz.plot_mistakes(np.zeros((3, 2, 2)), [1, 2, 2], p)
    assert texts(figure) == ["2 → 0  90%", "2 → 0  60%", "1 → 0  60%"]


def test_no_mistakes_is_said():
    figure = viz.plot_mistakes(np.zeros((2, 2, 2)), [0, 1], np.eye(2))
    assert figure.texts[0].get_text() == "no mistakes among 2 images"


def test_mistakes_of_logits_are_those_of_their_softmax():
    logits = np.array([[3.0, -1.0], [2.0, 0.5], [-4.0, 4.0]])
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    texts = [
        [text.get_text() for text in viz.plot_mistakes(np.zeros((3, 2, 2)), [1, 1, 1], p).axes[0].texts]
        for p in (logits, shares)
    ]
    assert texts[0] == texts[1] == ["1 → 0  98%", "1 → 0  82%"]


@pytest.mark.parametrize(
    ("targets", "probabilities", "error", "message"),
    [
        ([0], np.eye(2), ShapeError, r"expected N, \(N,\) and \(N, C\)"),
        ([0, 2], np.eye(2), OptionError, "integers from 0 to 1"),
        ([0, 1], np.full((2, 2), np.nan), OptionError, "NaN"),
    ],
)
def test_mistakes_refused(targets, probabilities, error, message):
    with pytest.raises(error, match=message):
        viz.plot_mistakes(np.zeros((2, 2, 2)), targets, probabilities)


def test_weights_of_a_tracked_parameter():
    weight = tg.nn.Parameter(np.arange(3 * 16).reshape(3, 16) - 20.0)
    figure = viz.plot_weights(weight, shape=(4, 4), columns=3, count=2)
    image = figure.axes[0].images[0]
    # Unit 0 holds -20 to -5 and unit 2 holds 12 to 27: these are the strongest, the latter comes first.
    np.testing.assert_array_equal(image.get_array()[-5:-1, :4], weight.data[2].reshape(4, 4))
    np.testing.assert_array_equal(image.get_array()[-5:-1, 5:9], weight.data[0].reshape(4, 4))
    assert texts(figure) == ["2", "0"]
    low, high = image.get_clim()
    assert low == -high
    assert figure.get_suptitle() == "the 2 strongest of 3 units"
    assert figure.axes[1].get_ylabel() == "weight"


def test_of_many_units_the_sixteen_strongest_are_shown():
    weight = np.random.default_rng(0).normal(size=(40, 9)) * np.arange(40)[:, None] % 7
    strength = np.linalg.norm(weight, axis=1)
    figure = viz.plot_weights(weight, shape=(3, 3))
    shown = [int(number) for number in texts(figure)]
    assert shown == sorted(range(40), key=lambda unit: -strength[unit])[:16]
    weight[5] = np.nan  # nothing is to hide behind a comparison with NaN
    assert texts(viz.plot_weights(weight, shape=(3, 3)))[0] == "5"


def test_weights_refused():
    with pytest.raises(ShapeError, match=r"\(10, 128\).*expected \(units, 784\)"):
        viz.plot_weights(np.zeros((10, 128)))
    with pytest.raises(OptionError, match="no images"):
        viz.plot_weights(np.zeros((0, 784)))


def test_filters_of_a_convolution_are_drawn_like_weights():
    filters = np.zeros((3, 1, 2, 5))
    filters[1, 0, 0, 4] = -1.0
    figure = viz.plot_weights(filters)
    assert texts(figure) == ["1", "0", "2"]  # the strongest comes first
    drawn = figure.axes[0].images[0].get_array()
    assert np.argwhere(drawn == -1).tolist() == [[1, 4]]
    with pytest.raises(ShapeError, match=r"\(units, 1, H, W\)"):
        viz.plot_weights(np.zeros((3, 2, 5, 5)))


def test_feature_maps_of_all_sizes_are_drawn_as_large_as_the_image():
    image, first, second = np.zeros((4, 4)), np.zeros((3, 2, 2)), np.zeros((2, 1, 1))
    image[0, 0], first[2, 1, 0], first[0, 0, 1], second[1] = 9, 4, 2, 0.5
    figure = viz.plot_feature_maps(image, {"a": first, "b": second}, count=2)
    assert [text for text in texts(figure) if text] == ["image", "a: 2 of 3", "b", "2", "0", "1", "0"]
    drawn = np.asarray(figure.axes[0].images[0].get_array().filled(-1))
    step = drawn.shape[0] // 3
    rows = [drawn[i * step : (i + 1) * step] for i in range(3)]
    assert [sorted(set(row[row > 0].tolist())) for row in rows] == [[1], [0.5, 1], [1]]
    assert [(row > 0).sum() for row in rows] == [1, 8, 16]  # a number is a square of so many pixels


@pytest.mark.parametrize(
    ("image", "maps", "error"),
    [
        (np.zeros((4, 4)), {}, OptionError),
        (np.zeros((4, 4)), {"a": np.zeros((2, 2))}, ShapeError),
        (np.zeros(4), {"a": np.zeros((1, 2, 2))}, ShapeError),
    ],
)
def test_feature_maps_of_other_shapes_are_refused(image, maps, error):
    with pytest.raises(error, match="plot_feature_maps"):
        viz.plot_feature_maps(image, maps)


def test_feature_maps_that_are_not_finite_can_be_drawn():
    viz.plot_feature_maps(
        np.zeros((2, 2)), {"a": np.full((1, 2, 2), np.nan), "b": np.full((1, 2, 2), np.inf)}
    )


# -- files ---------------------------------------------------------------------------------------

PLOTS = {
    "history": lambda path: viz.plot_history(HISTORY, path=path),
    "confusion": lambda path: viz.plot_confusion(np.eye(10, dtype=int) * 9, path=path),
    "images": lambda path: viz.plot_images(np.ones((12, 28, 28)), range(12), path=path),
    "mistakes": lambda path: viz.plot_mistakes(np.ones((4, 784)), [1, 1, 0, 0], np.eye(4)[:, :2], path=path),
    "nothing": lambda path: viz.plot_mistakes(np.ones((2, 784)), [0, 1], np.eye(2), path=path),
    "weights": lambda path: viz.plot_weights(np.ones((20, 784)), path=path),
}


@pytest.mark.parametrize("name", PLOTS)
def test_files_are_pictures(name, tmp_path):
    path = tmp_path / "new" / f"{name}.png"
    figure = PLOTS[name](path)
    picture = Image.open(io.BytesIO(path.read_bytes())).convert("L")
    assert 300 < picture.width < 2000
    assert 100 < picture.height < 2000
    assert len(set(picture.tobytes())) > 2  # something is drawn
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert figure.get_size_inches()[0] * 150 == pytest.approx(picture.width, abs=2)


def test_vector_formats(tmp_path):
    viz.plot_history(HISTORY, path=tmp_path / "a.svg")
    viz.plot_history(HISTORY, path=tmp_path / "a.PDF")
    assert "<svg" in (tmp_path / "a.svg").read_text()
    assert "<dc:date>" not in (tmp_path / "a.svg").read_text()
    assert (tmp_path / "a.PDF").read_bytes()[:4] == b"%PDF"
    with pytest.raises(OptionError, match=r"unknown file ending '\.pgn' \(did you mean '\.png'"):
        viz.plot_history(HISTORY, path=tmp_path / "a.pgn")
    assert {file.name for file in tmp_path.iterdir()} == {"a.svg", "a.PDF"}


def test_no_global_state_is_touched():
    loaded = "matplotlib.pyplot" in sys.modules
    viz.plot_history(HISTORY)
    assert ("matplotlib.pyplot" in sys.modules) == loaded


def test_drawing_packages_are_imported_only_when_needed():
    check = "import sys, tinygrad_mnist.viz; sys.exit(bool({'graphviz', 'matplotlib'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"'matplotlib'.*pip install 'tinygrad-mnist\[plots\]'"):
        viz.plot_history(HISTORY)


def test_the_bundled_digits():
    images = np.asarray(tg.data.load_mnist("sample")[1].inputs)[:30]
    figure = viz.plot_images(images)
    assert figure.axes[0].images[0].get_array().max() == images.max()


def test_a_notebook_shows_figures():
    """It asks an object for its picture; and nothing else of matplotlib has to be switched on for that."""
    figure = tg.viz.plot_lines([0, 1], {"": [0, 1]})
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_lines_of_several_runs_have_a_band():
    figure = viz.plot_lines([1, 2, 4], {"a": [[1, 2, 3], [3, 4, 5]], "b": [0, 0, 0]}, log_x=True)
    axes = figure.axes[0]
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [2, 3, 4])
    band = axes.collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == (1, 5)
    assert len(axes.collections) == 1
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b"]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1", "2", "4"]


def test_what_an_axis_leaves_out_is_said():
    lines = {"a": [[16.0, 95.0], [20.0, 96.0]], "b": [91.0, 99.5]}
    axes = viz.plot_lines([1, 2], lines, ylim=(90, 97)).axes[0]
    assert axes.get_ylim() == (90, 97)
    assert (
        axes.get_title(loc="left") == "not shown: values below 90, down to 16 and values above 97, up to 99.5"
    )
    assert viz.plot_lines([1, 2], lines, ylim=(0, 100)).axes[0].get_title(loc="left") == ""


def test_values_that_grow_by_factors():
    axes = viz.plot_lines([1, 2, 3], {"a": [1e6, 10.0, 0.5]}, log_y=True).axes[0]
    assert axes.get_yscale() == "log"
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [1e6, 10.0, 0.5])


def test_lines_that_do_not_fit():
    with pytest.raises(OptionError, match="there are no lines"):
        viz.plot_lines([1, 2], {})
    for values in ([1], [[1], [2]], 3, np.zeros((1, 1, 2))):
        with pytest.raises(
            ShapeError, match=r"a line 'a' of shape .*; expected \(N,\) and \(N,\) or \(runs, N\)"
        ):
            viz.plot_lines([1, 2], {"a": values})


def test_an_animation_shows_each_figure(tmp_path):

    figures = (viz.plot_lines([0, 1], {"": [0, height]}) for height in (1, 2, 3))
    path = viz.save_animation(figures, tmp_path / "rise.gif", seconds=0.2)
    with Image.open(path) as gif:
        assert gif.n_frames == 3
        assert gif.info["loop"] == 0
        assert gif.info["duration"] == 200
        frames = []
        for i in range(3):
            gif.seek(i)
            frames.append(np.asarray(gif.convert("L")))
        assert gif.info["duration"] == 600
    assert not any(np.array_equal(a, b) for a, b in itertools.pairwise(frames))


@pytest.mark.thorough
def test_an_animation_keeps_the_colours(tmp_path):
    """Of every line, from the first frame to the last, and not only of those that a frame has most of."""
    pictures = []
    for last in range(7):
        lines = {str(k): np.full(2, k if k <= last else np.nan) for k in range(7)}
        pictures.append(viz.plot_lines([0, 1], lines, ordered=True))
    colours = [
        [to_rgb(line.get_color()) for line in figure.axes[0].lines[: last + 1]]
        for last, figure in enumerate(pictures)
    ]
    with Image.open(viz.save_animation(pictures, tmp_path / "lines.gif")) as gif:
        for frame, wanted in enumerate(colours):
            gif.seek(frame)
            found = {colour for _, colour in gif.convert("RGB").getcolors(10**6)}
            assert {tuple(round(255 * part) for part in colour) for colour in wanted} <= found


def test_animations_that_cannot_be(tmp_path):
    figure = viz.plot_lines([0, 1], {"": [0, 1]})
    with pytest.raises(OptionError, match=r"unknown file ending '\.mp4'; valid: \.gif"):
        viz.save_animation([figure], tmp_path / "rise.mp4")
    with pytest.raises(OptionError, match="there are no figures"):
        viz.save_animation([], tmp_path / "rise.gif")
    with pytest.raises(OptionError, match="seconds = 0 is not positive"):
        viz.save_animation([figure], tmp_path / "rise.gif", seconds=0)
    assert list(tmp_path.iterdir()) == []
