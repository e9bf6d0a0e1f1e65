"""Plots of a plane: points by class, and the image that belongs to each place."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import OptionError, ShapeError
from ...graph import no_grad
from ...typing import NDArray
from ..figures import INK, array, finish, library, new_figure, tidy
from .sheet import MOST_IMAGES, as_images, positive

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_plane", "plot_scatter"]

#: Ten colours that most readers tell apart, colour-blind ones too: M. A. Petroff, "Accessible color
#: sequences for data visualization" (2021).
TEN = [
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
]  # fmt: skip


def plot_scatter(
    points: Any,
    labels: Any,
    *,
    classes: Sequence[Any] | None = None,
    xlabel: str = "",
    ylabel: str = "",
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Plot points in a plane, in a colour for each class.

    Parameters
    ----------
    points : array_like, shape (N, 2)
    labels : array_like of int, shape (N,)
        The class of each point.
    classes : sequence, optional
        The names of the classes, at most ten; by default ``0 … C - 1``.
    xlabel, ylabel : str, optional
    path : path, optional
        Also write the figure to this file, as ``.png``, ``.svg`` or ``.pdf``.

    Returns
    -------
    matplotlib.figure.Figure
        The name of each class also stands where the middle of its points is, so that colours are
        not needed to find it. No class is drawn above the others.

    Raises
    ------
    ShapeError, OptionError
        If the shapes do not fit, there are no points, or a class has no name.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> figure = tg.viz.plot_scatter([[0.0, 0.1], [2.0, 1.9], [2.2, 2.1]], [0, 1, 1], classes=["cat", "dog"])
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['cat', 'dog']
    """
    places, kinds = array(points), array(labels)
    if places.ndim != 2 or places.shape[1] != 2 or kinds.shape != places.shape[:1]:
        raise ShapeError(
            f"plot_scatter: points of shape {places.shape} and labels of shape {kinds.shape}; "
            "expected (N, 2) and (N,)"
        )
    if not len(places):
        raise OptionError("plot_scatter: there are no points")
    if kinds.dtype.kind not in "iu":
        raise OptionError(f"plot_scatter: labels are integers from 0, not {kinds.dtype}")
    names = [str(name) for name in (range(int(kinds.max()) + 1) if classes is None else classes)]
    if kinds.min() < 0 or kinds.max() >= len(names) or len(names) > len(TEN):
        raise OptionError(
            f"plot_scatter: labels of {kinds.min()} … {kinds.max()} for {len(names)} classes; there are "
            f"colours for classes 0 to {len(TEN) - 1}, and each needs a name"
        )
    figure = new_figure(6.6, 5.6)
    axes = figure.add_subplot()
    order = np.random.default_rng(0).permutation(len(places))
    colours = library("matplotlib.colors").to_rgba_array(TEN)[kinds[order]]
    size = float(np.clip(12_000 / len(places), 4, 30))
    axes.scatter(
        places[order, 0], places[order, 1], s=size, c=colours, alpha=0.7, linewidths=0, rasterized=True
    )
    halo = library("matplotlib.patheffects").withStroke(linewidth=3, foreground="white")
    for kind in np.unique(kinds):
        x, y = np.median(places[kinds == kind], axis=0)
        axes.text(
            x, y, names[kind], ha="center", va="center", fontsize=13, fontweight="bold", color=INK,
            path_effects=[halo],
        )  # fmt: skip
    for name, colour in zip(names, TEN, strict=False):
        axes.scatter([], [], s=45, c=colour, linewidths=0, label=name)
    tidy(axes)
    axes.grid(visible=False)
    axes.set_xlabel(xlabel, color=INK)
    axes.set_ylabel(ylabel, color=INK)
    axes.legend(frameon=False, fontsize=9, labelcolor=INK, loc="center left", bbox_to_anchor=(1, 0.5))
    return finish(figure, path)


def plot_plane(
    decode: Callable[[NDArray], Any],
    x: Any,
    y: Any,
    *,
    shape: tuple[int, int] | None = None,
    xlabel: str = "",
    ylabel: str = "",
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Plot the image that a function draws for each place of a plane, at that place.

    Parameters
    ----------
    decode : callable
        Draws the images of places: ``decode(places)``, with places of shape (N, 2), returns an array of
        shape (N, H, W) or (N, H * W).
    x, y : array_like, shapes (columns,) and (rows,)
        The coordinates of the places, in order; at most 400 places altogether.
    shape : (int, int), optional
        Height and width of images that are vectors; by default they are square.
    xlabel, ylabel : str, optional
    path : path, optional
        Also write the figure to this file, as ``.png``, ``.svg`` or ``.pdf``.

    Returns
    -------
    matplotlib.figure.Figure
        x grows to the right and y grows upwards, as in :func:`plot_scatter`.

    Raises
    ------
    ShapeError, OptionError
        If there are no places, or too many, or ``decode`` does not return an image for each.

    Examples
    --------
    >>> import numpy as np, tinygrad_mnist as tg
    >>> def decode(places):
    ...     return places @ np.ones((2, 784))
    >>> figure = tg.viz.plot_plane(decode, np.linspace(-1, 1, 5), np.linspace(-1, 1, 4))
    >>> figure.axes[0].images[0].get_array().shape
    (112, 140)
    """
    across, up = array(x), array(y)
    if across.ndim != 1 or up.ndim != 1:
        raise ShapeError(f"plot_plane: x of shape {across.shape} and y of shape {up.shape}; expected vectors")
    columns, rows = (positive("plot_plane", f"len({name})", len(v)) for name, v in (("x", across), ("y", up)))
    if columns * rows > MOST_IMAGES:
        raise OptionError(
            f"plot_plane: {columns} × {rows} images do not fit on a sheet; pass at most {MOST_IMAGES}"
        )
    places = np.stack(np.meshgrid(across, up[::-1]), axis=-1).reshape(-1, 2)
    with no_grad():
        images = as_images("plot_plane", array(decode(places)), shape)
    if len(images) != len(places):
        raise ShapeError(f"plot_plane: decode returned {len(images)} images for {len(places)} places")
    height, width = images.shape[1:]
    canvas = images.reshape(rows, columns, height, width).swapaxes(1, 2).reshape(rows * height, -1)
    figure = new_figure(0.3 * columns + 0.7, 0.3 * rows * height / width + 0.6)
    axes = figure.add_subplot()
    axes.imshow(canvas, cmap="gray_r", interpolation="nearest")
    axes.spines[:].set_visible(False)
    _number(axes, "x", across, width)
    _number(axes, "y", up[::-1], height)
    axes.tick_params(colors=INK, labelsize=8, length=0)
    axes.set_xlabel(xlabel, color=INK)
    axes.set_ylabel(ylabel, color=INK)
    return finish(figure, path)


def _number(axes: Axes, which: str, places: NDArray, size: int) -> None:
    """Write coordinates next to some of the images."""
    shown = np.unique(np.linspace(0, len(places) - 1, min(len(places), 5)).round().astype(int))
    set_ticks = axes.set_xticks if which == "x" else axes.set_yticks
    set_ticks((shown + 0.5) * size - 0.5, [f"{places[i]:.2g}" for i in shown])
