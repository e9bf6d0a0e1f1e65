"""One image and its outputs, and browsing: as a slider in a notebook, as a contact sheet elsewhere."""

from __future__ import annotations

import io
import sys
import types

import numpy as np
import pytest
from helpers import for_each

import tinygrad_mnist as tg
from tinygrad_mnist import notebook, viz
from tinygrad_mnist.errors import MissingExtraError, OptionError, ShapeError
from tinygrad_mnist.palette import INK, PALE, RIGHT, WRONG
from tinygrad_mnist.viz.plots import browsing

pytest.importorskip("matplotlib")
Image = pytest.importorskip("PIL.Image")
to_hex = pytest.importorskip("matplotlib.colors").to_hex

IMAGES = np.arange(6 * 16.0).reshape(6, 4, 4)
LABELS = np.array([0, 1, 2, 0, 1, 2])
OUTPUTS = np.eye(3)[[0, 1, 1, 0, 1, 2]] * 0.8 + 0.1


def texts(figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def bars(figure) -> tuple[list[float], list[str]]:
    patches = figure.axes[1].patches
    return [bar.get_width() for bar in patches], [to_hex(bar.get_facecolor()) for bar in patches]


# -- one image -----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(4, 4), (16,), (1, 4, 4), (4, 4, 1)])
def test_the_image_and_its_outputs(shape):
    figure = viz.plot_prediction(IMAGES[1].reshape(shape), [0.2, 0.9, 0.4])
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), IMAGES[1])
    assert bars(figure) == ([0.2, 0.9, 0.4], [PALE, INK, PALE])
    assert [text.get_text() for text in figure.axes[1].texts] == ["0.20", "0.90", "0.40"]
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["", "answer 1"]


def test_an_image_that_is_not_square():
    image = viz.plot_prediction(np.arange(6), [0, 1], shape=(2, 3)).axes[0].images[0]
    np.testing.assert_array_equal(image.get_array(), [[0, 1, 2], [3, 4, 5]])


def test_a_wrong_answer_is_orange_and_the_right_one_blue():
    figure = viz.plot_prediction(IMAGES[0], [0.2, 0.9, 0.4], label=2, classes=["cat", "dog", "cow"])
    assert bars(figure)[1] == [PALE, WRONG, RIGHT]
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["label cow", "answer dog, which is wrong"]
    names = figure.axes[1].get_yticklabels()
    assert [(name.get_text(), name.get_fontweight()) for name in names] == [
        ("cat", "normal"), ("dog", "bold"), ("cow", "normal"),
    ]  # fmt: skip


def test_a_right_answer():
    assert bars(viz.plot_prediction(IMAGES[0], [0.2, 0.9], label=np.int64(1)))[1] == [PALE, RIGHT]


def test_the_first_class_is_at_the_top_and_one_scale_is_for_all():
    for outputs in ([0.1, 0.2], [0.0, 0.0], [0.5, 1.0]):
        axes = viz.plot_prediction(IMAGES[0], outputs).axes[1]
        low, high = axes.get_xlim()
        assert (low, round(high, 2)) == (0, 1.14)
        assert axes.get_ylim()[0] > axes.get_ylim()[1]


def test_outputs_that_are_no_probabilities():
    low, high = viz.plot_prediction(IMAGES[0], [-3.0, 5.0]).axes[1].get_xlim()
    assert low < -3
    assert high > 5


def test_outputs_of_a_tracked_tensor():
    model = tg.nn.MLP([16, 3], rng=0)
    outputs = model(IMAGES[:1].reshape(1, 16).astype(np.float32))[0]
    np.testing.assert_array_equal(bars(viz.plot_prediction(IMAGES[0], outputs))[0], outputs.data)


@for_each(
    "outputs, options, error, message",
    [
        ([[0.1, 0.2]], {}, ShapeError, r"\(1, 2\).*expected numbers of shape \(C,\)"),
        ([], {}, ShapeError, r"\(0,\)"),
        (["a", "b"], {}, ShapeError, "expected numbers"),
        ([0.1, np.nan], {}, OptionError, "not all finite"),
        (np.zeros(61), {}, OptionError, "61 bars.*at most 60"),
        ([0.1, 0.2], {"label": 2}, OptionError, "label=2 is not one of the classes 0 to 1"),
        ([0.1, 0.2], {"classes": "abc"}, ShapeError, "3 names for 2 classes"),
        ([0.1, 0.2], {"shape": (3, 3)}, ShapeError, r"expected numbers of shape"),
    ],
)
def test_predictions_refused(outputs, options, error, message):
    with pytest.raises(error, match=message):
        viz.plot_prediction(np.zeros(16), outputs, **options)


def test_its_file_is_a_picture(tmp_path):
    viz.plot_prediction(IMAGES[0], OUTPUTS[0], path=tmp_path / "outputs.png")
    with Image.open(tmp_path / "outputs.png") as picture:
        assert picture.size == (960, 330)


# -- a contact sheet -----------------------------------------------------------------------------


def test_outside_a_notebook_it_is_a_contact_sheet(tmp_path):
    assert texts(viz.browse(IMAGES)) == []
    assert texts(viz.browse(IMAGES, LABELS)) == ["0", "1", "2", "0", "1", "2"]
    figure = viz.browse(IMAGES, LABELS, outputs=OUTPUTS, path=tmp_path / "sheet.png")
    assert texts(figure) == ["0 → 0", "1 → 1", "2 → 1", "0 → 0", "1 → 1", "2 → 2"]
    assert [text.get_color() == WRONG for text in figure.axes[0].texts] == [i == 2 for i in range(6)]
    assert (tmp_path / "sheet.png").read_bytes()[:4] == b"\x89PNG"


def test_a_sheet_begins_where_it_is_told_to():
    figure = viz.browse(IMAGES, LABELS, predictions=LABELS, classes="abc", index=-4, count=3, columns=3)
    assert texts(figure) == ["c → c", "a → a", "b → b"]
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array()[1:5, :4], IMAGES[2])


def test_a_dataset_brings_its_labels_and_the_names_of_its_classes():
    data = tg.data.Dataset(IMAGES, LABELS, classes=["cat", "dog", "cow"], transform=lambda x: -x)
    figure = viz.browse(data)
    assert texts(figure) == ["cat", "dog", "cow", "cat", "dog", "cow"]
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array()[-5:-1, :4], IMAGES[0])
    assert texts(viz.browse(tg.data.Dataset(IMAGES, LABELS), outputs=OUTPUTS))[2] == "2 → 1"


@for_each(
    "arguments, options, error, message",
    [
        ((IMAGES,), {"index": 6}, OptionError, "no image 6 among 6"),
        ((IMAGES,), {"index": -7}, OptionError, "no image -7 among 6"),
        ((IMAGES[:0],), {}, OptionError, "no image 0 among 0"),
        ((IMAGES, LABELS[:3]), {}, ShapeError, r"labels of shape \(3,\) for 6 images"),
        ((IMAGES,), {"predictions": OUTPUTS}, ShapeError, r"predictions of shape \(6, 3\)"),
        (
            (IMAGES,),
            {"outputs": LABELS},
            ShapeError,
            r"outputs of shape \(6,\) for 6 images; expected \(6, C\)",
        ),
        ((IMAGES,), {"outputs": OUTPUTS, "predictions": LABELS}, OptionError, "not both"),
        ((IMAGES, LABELS), {"classes": "ab"}, OptionError, r"labels such as 0, 1, 2 \(int64\).*from 0 to 1"),
        (
            (IMAGES, list("abcabc")),
            {"outputs": OUTPUTS},
            OptionError,
            "such as 'a', 'b'.*expected integers from 0 to 2",
        ),
        ((IMAGES,), {"outputs": OUTPUTS, "classes": "ab"}, ShapeError, "2 names for 3 classes"),
        ((IMAGES,), {"count": 0}, OptionError, "count=0"),
        ((IMAGES,), {"widget": True, "path": "x.png"}, OptionError, "omit widget=True"),
        ((np.zeros((2, 7)),), {}, ShapeError, "browse: images of shape"),
    ],
)
def test_browsing_refused(arguments, options, error, message):
    with pytest.raises(error, match=message):
        viz.browse(*arguments, **options)


# -- a slider ------------------------------------------------------------------------------------


def shell(monkeypatch, **attributes):
    """Pretend that IPython runs this, with a shell that has these attributes."""
    module = types.ModuleType("IPython")
    module.get_ipython = lambda: types.SimpleNamespace(**attributes) if attributes else None
    monkeypatch.setitem(sys.modules, "IPython", module)


def test_a_notebook_is_known_by_its_kernel(monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not notebook.is_notebook()
    shell(monkeypatch)  # IPython is imported, and runs nothing
    assert not notebook.is_notebook()
    shell(monkeypatch, colors="linux")  # its shell in a terminal
    assert not notebook.is_notebook()
    shell(monkeypatch, kernel=None)
    assert not notebook.is_notebook()
    shell(monkeypatch, kernel=object())
    assert notebook.is_notebook()


def test_moving_the_slider_changes_the_picture():
    widgets = pytest.importorskip("ipywidgets")
    box = viz.browse(IMAGES, LABELS, outputs=OUTPUTS, index=1, widget=True)
    assert isinstance(box, widgets.VBox)
    slider, picture = box.children
    assert (slider.min, slider.value, slider.max) == (0, 1, 5)
    pictures = [picture.value]
    slider.value = 2
    pictures.append(picture.value)
    slider.value = 1
    assert picture.value == pictures[0] != pictures[1]
    assert [Image.open(io.BytesIO(value)).size for value in pictures] == [(640, 220)] * 2


@pytest.mark.parametrize(
    ("settings", "title"),
    [
        ({}, ""),
        ({"labels": LABELS}, "label 2"),
        ({"labels": list("abcdef")}, "label c"),
        ({"labels": LABELS, "predictions": LABELS, "classes": "xyz"}, "label z, answer z"),
        ({"labels": LABELS, "outputs": OUTPUTS}, "label 2"),
        ({"outputs": OUTPUTS}, ""),
    ],
)
def test_each_picture_says_what_is_known(monkeypatch, settings, title):
    pytest.importorskip("ipywidgets")
    figures = []
    png = browsing.as_png
    monkeypatch.setattr(browsing, "as_png", lambda figure: figures.append(figure) or png(figure))
    slider, _ = viz.browse(IMAGES, widget=True, **settings).children
    slider.value = 2
    np.testing.assert_array_equal(figures[1].axes[0].images[0].get_array(), IMAGES[2])
    assert figures[1].axes[0].get_title(loc="left") == title
    assert len(figures[1].axes) == (2 if "outputs" in settings else 1)


def test_in_a_notebook_it_is_a_slider_unless_it_is_to_be_written(monkeypatch, tmp_path):
    pytest.importorskip("ipywidgets")
    shell(monkeypatch, kernel=object())
    monkeypatch.setattr(browsing, "_slider", lambda shown, index: "slider")
    assert viz.browse(IMAGES) == "slider"
    assert len(viz.browse(IMAGES, widget=False).axes) == 1
    viz.browse(IMAGES, path=tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").is_file()


def test_a_notebook_without_ipywidgets(monkeypatch):
    shell(monkeypatch, kernel=object())
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with pytest.raises(MissingExtraError, match=r"'ipywidgets'.*pip install 'tinygrad-mnist\[widgets\]'"):
        viz.browse(IMAGES)
    assert len(viz.browse(IMAGES, widget=False).axes) == 1
