"""Look through images by index: with a slider in a notebook, or on a contact sheet."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import OptionError, ShapeError, require
from ...notebook import is_notebook
from ...palette import INK, WRONG
from ...typing import NDArray
from ..figures import array, as_png, new_figure
from .images import plot_images
from .prediction import draw_image, plot_prediction
from .sheet import as_images, class_names, positive

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["browse"]


def browse(
    images: Any,
    labels: Any = None,
    *,
    outputs: Any = None,
    predictions: Any = None,
    classes: Sequence[Any] | None = None,
    index: int = 0,
    count: int = 100,
    columns: int = 10,
    shape: tuple[int, int] | None = None,
    widget: bool | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Any:
    """Look through images by index, with their labels and the answers of a network.

    In a Jupyter notebook, this is a slider above one image at a time, next to its outputs, if there
    are any. Elsewhere, it is a contact sheet. The slider needs the extra ``widgets``.

    Parameters
    ----------
    images : Dataset, or array_like, shapes as for :func:`plot_images`
        If it is a Dataset, its ``inputs`` are shown with its own labels and classes.
    labels : array_like, shape (N,), optional
    outputs : array_like, shape (N, C), optional
        A network's outputs for the images; the largest is its prediction. Labels must then be integers.
    predictions : array_like, shape (N,), optional
        The predicted classes, if there are no ``outputs``.
    classes : sequence, optional
        The names of the classes; labels and predictions must then be integers from 0.
    index : int, default 0
        The first image to show; negative numbers count from the end.
    count, columns : int, default 100 and 10
        The largest number of images on a contact sheet, and the number in a row.
    shape : (int, int), optional
        Height and width of images given as vectors; by default they are square.
    widget : bool, optional
        True for the slider, False for the contact sheet; the default depends on the environment.
    path : path, optional
        Also write the contact sheet to this file; with a path, notebooks get a contact sheet, too.

    Returns
    -------
    ipywidgets.VBox or matplotlib.figure.Figure
        A notebook shows it if it is the last expression of a cell.

    Raises
    ------
    MissingExtraError
        If a notebook has no ipywidgets.
    ShapeError, OptionError
        If shapes do not fit, the index is out of range, or both a widget and a path are requested.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> train, test = tg.data.load_mnist("sample")
    >>> figure = browse(test, count=20)
    >>> [text.get_text() for text in figure.axes[0].texts[:3]]
    ['2', '0', '3']

    With the slider, which is made here but not shown:

    >>> slider, picture = browse(test, index=-1, widget=True).children
    >>> slider.value
    999
    """
    if hasattr(images, "inputs") and hasattr(images, "targets"):  # a Dataset; plots know only its attributes
        labels = images.targets if labels is None else labels
        classes = (images.classes or None) if classes is None else classes
        images = images.inputs
    pictures = as_images("browse", array(images), shape)
    if not -len(pictures) <= index < len(pictures):
        raise OptionError(
            f"browse: there is no image {index} among {len(pictures):,}; they are numbered from 0"
        )
    if widget and path is not None:
        raise OptionError("browse: only a contact sheet can be written to a path; omit widget=True")
    index %= len(pictures)
    shown = _Images(pictures, labels, outputs, predictions, classes)
    if is_notebook() and path is None if widget is None else widget:
        return _slider(shown, index)
    rows = slice(index, index + positive("browse", "count", count))
    titles = [None if given is None else shown.spell(given[rows]) for given in (shown.labels, shown.answers)]
    return plot_images(pictures[rows], *titles, columns=columns, path=path)


class _Images:
    """Images and the data about each of them, in arrays of the same length."""

    def __init__(
        self, pictures: NDArray, labels: Any, outputs: Any, predictions: Any, classes: Sequence[Any] | None
    ) -> None:
        if outputs is not None and predictions is not None:
            raise OptionError(
                "browse: pass outputs or predictions, not both: the outputs say what is predicted"
            )
        self.pictures, number = pictures, len(pictures)
        self.outputs = None if outputs is None else array(outputs)
        if self.outputs is not None and (self.outputs.ndim != 2 or len(self.outputs) != number):
            raise ShapeError(
                f"browse: outputs of shape {self.outputs.shape} for {number:,} images; expected ({number}, C)"
            )
        self.labels = _column("labels", labels, number)
        self.answers = _column("predictions", predictions, number)
        if self.outputs is not None:
            self.answers = self.outputs.argmax(axis=1)
            classes = class_names("browse", classes, self.outputs.shape[1])
        self.names = None if classes is None else [str(name) for name in classes]
        for what, given in (("labels", self.labels), ("predictions", self.answers)):
            if given is not None and self.names is not None:
                _check_classes(what, given, len(self.names))

    def spell(self, given: NDArray) -> NDArray:
        """Return the names of classes."""
        return given if self.names is None else np.array(self.names)[given]

    def plot(self, i: int) -> Figure:
        """Plot one image with all its data."""
        label, answer = (
            None if given is None else self.spell(given[i : i + 1])[0]
            for given in (self.labels, self.answers)
        )
        if self.outputs is not None:
            number = None if self.labels is None else int(self.labels[i])
            return plot_prediction(self.pictures[i], self.outputs[i], label=number, classes=self.names)
        is_wrong = label is not None and answer is not None and label != answer
        said = {"label": label, "answer": answer}
        title = ", ".join(f"{what} {name}" for what, name in said.items() if name is not None)
        figure = new_figure(2.8, 3.1)
        draw_image(figure.add_subplot(), self.pictures[i], title, WRONG if is_wrong else INK)
        return figure


def _column(what: str, values: Any, number: int) -> NDArray | None:
    if values is None:
        return None
    column = array(values)
    if column.shape != (number,):
        raise ShapeError(
            f"browse: {what} of shape {column.shape} for {number:,} images; expected ({number},)"
        )
    return column


def _check_classes(what: str, given: NDArray, number: int) -> None:
    if given.dtype.kind not in "iu" or given.min() < 0 or given.max() >= number:
        found = ", ".join(map(repr, np.unique(given)[:4].tolist()))
        raise OptionError(
            f"browse: {what} such as {found} ({given.dtype}) are not classes; expected integers from 0 to {number - 1}"
        )


def _slider(shown: _Images, index: int) -> Any:
    """Make a slider, and a picture that follows it."""
    widgets = require("ipywidgets", extra="widgets", purpose="browsing images in a notebook")
    slider = widgets.IntSlider(index, 0, len(shown.pictures) - 1, description="index")
    picture = widgets.Image(value=as_png(shown.plot(index)), format="png", layout={"width": "max-content"})
    slider.observe(lambda change: setattr(picture, "value", as_png(shown.plot(change["new"]))), "value")
    return widgets.VBox([slider, picture])
