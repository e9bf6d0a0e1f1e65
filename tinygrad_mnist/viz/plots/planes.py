"""Plots of a plane: points by class, and the image that belongs to each place."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import OptionError, ShapeError
from ...graph import no_grad
from ...palette import CLASSES, INK, PAPER
from ...typing import NDArray
from ..figures import array, finish, library, new_figure, tidy
from .sheet import MOST_IMAGES, as_images, positive

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_plane", "plot_scatter"]

#: Width and height of a map, in inches.
SIZE = (6.6, 5.6)


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
        The name of each class also stands where the middle of its points is, or near it with a line
        to it where there is no room, so that colours are not needed to find it. No class is drawn
        above the others.

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
        raise OptionError(f"plot_scatter: labels must be integers from 0, not {kinds.dtype}")
    names = [str(name) for name in (range(int(kinds.max()) + 1) if classes is None else classes)]
    if kinds.min() < 0 or kinds.max() >= len(names) or len(names) > len(CLASSES):
        raise OptionError(
            f"plot_scatter: labels of {kinds.min()} … {kinds.max()} for {len(names)} classes; there are "
            f"colours for classes 0 to {len(CLASSES) - 1}, and each needs a name"
        )
    figure = new_figure(*SIZE)
    axes = figure.add_subplot()
    order = np.random.default_rng(0).permutation(len(places))
    colours = library("matplotlib.colors").to_rgba_array(CLASSES)[kinds[order]]
    size = float(np.clip(12_000 / len(places), 4, 30))
    axes.scatter(
        places[order, 0], places[order, 1], s=size, c=colours, alpha=0.7, linewidths=0, rasterized=True
    )
    _name_classes(axes, places, kinds, names)
    for name, colour in zip(names, CLASSES, strict=False):
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


def _name_classes(axes: Axes, places: NDArray, kinds: NDArray, names: Sequence[str]) -> None:
    """Write each class where the middle of its points is, no two on top of each other."""
    halo = [library("matplotlib.patheffects").withStroke(linewidth=3, foreground=PAPER)]
    found = np.unique(kinds)
    middles = np.array([np.median(places[kinds == kind], axis=0) for kind in found])
    low, high = np.array([axes.get_xlim(), axes.get_ylim()]).T
    inch = (high - low) / SIZE
    room = np.array([[0.13 * len(names[kind]) + 0.2, 0.28] for kind in found])
    spots = _apart((middles - low) / inch, room) * inch + low
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    for kind, middle, spot in zip(found, middles, spots, strict=True):
        if np.linalg.norm((spot - middle) / inch) > 0.1:
            axes.plot(*np.stack([middle, spot], axis=1), color=INK, linewidth=1, path_effects=halo)
        axes.text(
            spot[0], spot[1], names[kind], ha="center", va="center", fontsize=13, fontweight="bold", color=INK,
            path_effects=halo, zorder=5,
        )  # fmt: skip


def _apart(centres: NDArray, room: NDArray) -> NDArray:
    """Move boxes of the widths and heights ``room`` away from each other until none overlap."""
    spots = centres.astype(np.float64)
    # Boxes at one place have to part in some direction, the same each time.
    spots += 1e-3 * np.random.default_rng(0).standard_normal(spots.shape) * (len(spots) > 1)
    for _ in range(500):
        offset = spots[:, None] - spots
        overlap = (room[:, None] + room) / 2 - np.abs(offset)
        touching = (overlap > 0).all(axis=-1) & ~np.eye(len(spots), dtype=bool)
        if not touching.any():
            break
        # Along the way that is shorter.
        along = overlap == overlap.min(axis=-1, keepdims=True)
        push = np.where(touching[..., None] & along, np.sign(offset) * overlap, 0)
        spots += push.sum(axis=1) / 4
    else:
        return spots
    return np.where(np.abs(spots - centres) < 0.02, centres, spots)


def _number(axes: Axes, which: str, places: NDArray, size: int) -> None:
    """Write coordinates next to some of the images."""
    shown = np.unique(np.linspace(0, len(places) - 1, min(len(places), 5)).round().astype(int))
    set_ticks = axes.set_xticks if which == "x" else axes.set_yticks
    set_ticks((shown + 0.5) * size - 0.5, [f"{places[i]:.2g}" for i in shown])
