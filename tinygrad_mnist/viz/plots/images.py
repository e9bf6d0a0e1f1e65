"""Contact sheets: samples, the worst mistakes, and the weights of a first layer."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import OptionError, ShapeError
from ...palette import INK, PALE, SIGNS
from ...typing import NDArray
from ..figures import array, finish, new_figure
from .sheet import as_images, class_names, positive, sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_images", "plot_mistakes", "plot_weights"]


def plot_images(
    images: Any,
    labels: Any = None,
    predictions: Any = None,
    *,
    columns: int = 10,
    rows: Sequence[str] = (),
    shape: tuple[int, int] | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Plot images in rows and columns, with the label above each.

    Parameters
    ----------
    images : array_like, shape (N, H, W), (N, 1, H, W), (N, H, W, 1) or (N, H * W)
        At most 400 images. They share a grey scale, from white for the lowest value to black.
    labels : array_like, shape (N,), optional
    predictions : array_like, shape (N,), optional
        Written after the label, as in ``4 → 9``, in orange if they differ.
    columns : int, default 10
    rows : sequence of str, optional
        What each row of images shows, written at its left.
    shape : (int, int), optional
        Height and width of images given as vectors; by default they are square.
    path : path, optional
        Also write the figure to this file, as ``.png``, ``.svg`` or ``.pdf``.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ShapeError, OptionError
        If the shapes do not fit, or there are no images, or too many.

    Examples
    --------
    >>> import numpy as np, tinygrad_mnist as tg
    >>> figure = tg.viz.plot_images(np.zeros((3, 784)), labels=[4, 9, 1], predictions=[9, 9, 1])
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['4 → 9', '9 → 9', '1 → 1']
    """
    pictures = as_images("plot_images", array(images), shape)
    titles = _titles("plot_images", len(pictures), labels, predictions)
    wrong = [False] * len(titles)
    if labels is not None and predictions is not None:
        wrong = [bool(a != b) for a, b in zip(array(labels), array(predictions), strict=True)]
    low, high = _range(pictures)
    look: dict[str, Any] = {"cmap": "gray_r", "vmin": low, "vmax": high}
    figure = sheet("plot_images", pictures, titles, wrong, columns, rows=rows, **look)
    return finish(figure, path)


def plot_mistakes(
    images: Any,
    targets: Any,
    probabilities: Any,
    *,
    classes: Sequence[Any] | None = None,
    count: int = 25,
    columns: int = 5,
    shape: tuple[int, int] | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Plot the worst mistakes: those that the network was surest of.

    Above each image stand the true class, the predicted one, and the probability that the network
    gave to its prediction; the largest comes first.

    Parameters
    ----------
    images : array_like, shapes as for :func:`plot_images`
    targets : array_like of int, shape (N,)
        The true classes.
    probabilities : array_like, shape (N, C)
        The outputs of a softmax; or logits, as :func:`~tinygrad_mnist.training.predict` returns them, of which the
        softmax is taken.
    classes : sequence, optional
        The names of the classes; by default ``0 … C - 1``.
    count : int, default 25
        The largest number of images to show.
    columns : int, default 5
    shape : (int, int), optional
        Height and width of images given as vectors; by default they are square.
    path : path, optional
        Also write the figure to this file, as ``.png``, ``.svg`` or ``.pdf``.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ShapeError, OptionError
        If the shapes do not fit, a target is not one of the classes, or a probability is NaN.

    Examples
    --------
    >>> import numpy as np, tinygrad_mnist as tg
    >>> probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]])
    >>> figure = tg.viz.plot_mistakes(np.zeros((3, 784)), [1, 1, 0], probabilities)
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['1 → 0  90%', '0 → 1  60%']
    >>> figure.get_suptitle()
    '2 worst of 2 mistakes: true → predicted, and how sure it was'
    """
    given, true, p = array(images), array(targets), array(probabilities)
    _check_probabilities(len(given) if given.ndim else 0, true, p)
    if p.size and not (p.min() >= 0 and p.max() <= 1.001):
        p = np.exp(p - p.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
    names = class_names("plot_mistakes", classes, p.shape[1])
    predicted = np.argmax(p, axis=1)
    wrong = np.flatnonzero(predicted != true)
    own, chosen = p[wrong, true[wrong]], p[wrong, predicted[wrong]]
    worst = wrong[np.lexsort((wrong, own, -chosen))][: positive("plot_mistakes", "count", count)]
    if not len(worst):
        figure = new_figure(4, 1)
        text = f"no mistakes among {len(p):,} images"
        figure.text(0.5, 0.5, text, ha="center", va="center", color=INK)
        return finish(figure, path)
    pictures = as_images("plot_mistakes", given[worst], shape)
    titles = [f"{names[true[i]]} → {names[predicted[i]]}  {p[i, predicted[i]]:.0%}" for i in worst]
    low, high = _range(pictures)
    caption = f"{len(worst):,} worst of {len(wrong):,} mistakes: true → predicted, and how sure it was"
    tile = max(0.95, 0.062 * max(map(len, titles)))  # as wide as its title
    look: dict[str, Any] = {"cmap": "gray_r", "vmin": low, "vmax": high, "tile": tile, "caption": caption}
    figure = sheet("plot_mistakes", pictures, titles, [False] * len(titles), columns, **look)
    return finish(figure, path)


def plot_weights(
    weight: Any,
    *,
    shape: tuple[int, int] = (28, 28),
    count: int = 16,
    columns: int = 8,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Plot the incoming weights of the strongest units of a first layer, each as an image.

    The strongest are those with the largest sum of squared weights; they come first, each under its
    number.

    Parameters
    ----------
    weight : array_like or Parameter, shape (units, H * W) or (units, 1, H, W)
        For example, ``model[0].weight`` of a network that takes images, or the filters of a convolution.
    shape : (int, int), default (28, 28)
        Height and width of the images; filters have their own.
    count : int, default 16
        How many units to show, at most.
    columns : int, default 8
    path : path, optional
        Also write the figure to this file, as ``.png``, ``.svg`` or ``.pdf``.

    Returns
    -------
    matplotlib.figure.Figure
        Red weights are positive, blue negative and white zero, on one scale for all units; its
        ends are at the 99.5th percentile of the absolute values.

    Raises
    ------
    ShapeError, OptionError
        If the shapes do not fit, or there are no units.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> model = tg.nn.MLP([784, 16, 10], rng=0)
    >>> figure = tg.viz.plot_weights(model[0].weight)
    """
    values = array(weight)
    if values.ndim == 4 and values.shape[1] == 1:
        height, width = values.shape[2:]
        values, shape = values.reshape(len(values), -1), (height, width)
    if values.ndim != 2 or values.shape[1] != math.prod(shape):
        raise ShapeError(
            f"plot_weights: a weight of shape {values.shape} does not hold images of {shape}; expected "
            f"(units, {math.prod(shape)}), the weight of a first layer, or filters for one channel, (units, 1, H, W)"
        )
    # A unit that is not finite comes first: it is what one has to see.
    strength = np.nan_to_num(np.square(values.astype(np.float64)), nan=np.inf, posinf=np.inf).sum(axis=1)
    strongest = np.argsort(-strength, kind="stable")[: positive("plot_weights", "count", count)]
    shown = values[strongest].reshape(-1, *shape)
    finite = np.abs(shown[np.isfinite(shown)])
    limit = float(np.quantile(finite, 0.995)) if finite.size else 0.0
    limit = limit or 1.0
    titles = [str(i) for i in strongest]
    caption = f"the {len(shown)} strongest of {len(values):,} units" if len(shown) < len(values) else ""
    look: dict[str, Any] = {"cmap": SIGNS, "vmin": -limit, "vmax": limit, "caption": caption}
    figure = sheet("plot_weights", shown, titles, [False] * len(titles), columns, **look)
    width, height = figure.get_size_inches()
    figure.set_size_inches(width + 0.9, max(height, 1.8))
    axes = figure.axes[0]
    bar = figure.colorbar(axes.images[0], ax=axes, shrink=0.6, aspect=30, extend="both", label="weight")
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8, colors=INK, color=PALE)
    return finish(figure, path)


def _check_probabilities(images: int, classes: NDArray, p: NDArray) -> None:
    if p.ndim != 2 or classes.shape != p.shape[:1] or images != len(p) or not p.size:
        raise ShapeError(
            f"plot_mistakes: {images} images, targets of shape {classes.shape} and "
            f"probabilities of shape {p.shape}; expected N, (N,) and (N, C)"
        )
    if classes.dtype.kind not in "iu" or classes.min() < 0 or classes.max() >= p.shape[1]:
        raise OptionError(f"plot_mistakes: targets must be integers from 0 to {p.shape[1] - 1}")
    if np.isnan(p).any():
        raise OptionError("plot_mistakes: some probabilities are NaN")


def _titles(caller: str, number: int, labels: Any, predictions: Any) -> list[str]:
    given = [array(each) for each in (labels, predictions) if each is not None]
    for each in given:
        if each.shape != (number,):
            raise ShapeError(f"{caller}: labels or predictions of shape {each.shape} for {number} images")
    return [" → ".join(map(str, parts)) for parts in zip(*given, strict=True)] if given else [""] * number


def _range(images: NDArray) -> tuple[float, float]:
    finite = images[np.isfinite(images)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    return low, high if high > low else low + 1
