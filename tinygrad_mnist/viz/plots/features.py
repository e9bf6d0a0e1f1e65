"""What the channels of a network see of an image, layer by layer."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import OptionError, ShapeError
from ...palette import SHARES
from ...typing import NDArray
from ..figures import array, finish
from .sheet import positive, sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_feature_maps"]


def plot_feature_maps(
    image: Any,
    maps: Mapping[str, Any],
    *,
    count: int = 16,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Plot an image, and below it what the channels of each layer see of it.

    Of each layer, the channels that see most come first: those with the largest sum of squares, each under its number.

    Parameters
    ----------
    image : array_like, shape (H, W)
    maps : mapping of array_like, shape (channels, h, w)
        The maps of each layer by its name, as :func:`tinygrad_mnist.nn.feature_maps` returns them for a batch.
    count : int, default 16
        How many channels to show of a layer, at most.
    path : path, optional
        Also write the figure to this file, as ``.png``, ``.svg`` or ``.pdf``.

    Returns
    -------
    matplotlib.figure.Figure
        White is the lowest number of a row, or 0 if that is lower; the darkest is the highest of the row.

    Raises
    ------
    ShapeError, OptionError
        If the shapes do not fit, or there are no maps.

    Examples
    --------
    >>> import numpy as np, tinygrad_mnist as tg
    >>> model = tg.nn.Sequential(tg.nn.Conv2d(1, 4, 3, rng=0), tg.nn.ReLU())
    >>> image = np.eye(8, dtype=np.float32)
    >>> maps = tg.nn.feature_maps(model, image[None, None])
    >>> figure = tg.viz.plot_feature_maps(image, {name: of_batch[0] for name, of_batch in maps.items()})
    """
    positive("plot_feature_maps", "count", count)
    shown: list[tuple[str, list[str], NDArray]] = [("image", [""], array(image)[None])]
    for name, given in maps.items():
        values = array(given)
        if values.ndim != 3 or not values.size:
            raise ShapeError(
                f"plot_feature_maps: maps {name!r} of shape {values.shape}; expected (channels, height, width)"
            )
        strength = np.nan_to_num(np.square(values.astype(np.float64)), nan=np.inf, posinf=np.inf).sum(
            axis=(1, 2)
        )
        strongest = np.argsort(-strength, kind="stable")[:count]
        title = f"{name}: {len(strongest)} of {len(values)}" if len(values) > count else name
        shown.append((title, [str(i) for i in strongest], values[strongest]))
    if len(shown) == 1:
        raise OptionError("plot_feature_maps: there are no maps; the model has no nn.Conv2d")
    if shown[0][2].ndim != 3:
        raise ShapeError(
            f"plot_feature_maps: an image of shape {shown[0][2].shape[1:]}; expected (height, width)"
        )
    height, width = (max(values.shape[axis] for *_, values in shown) for axis in (1, 2))
    columns = max(len(values) for *_, values in shown)
    tiles = np.full((len(shown), columns, height, width), np.nan, np.float32)
    titles = [[""] * columns for _ in shown]
    for row, (_, numbers, values) in enumerate(shown):
        down, across = (
            np.arange(n) * size // n for n, size in ((height, values.shape[1]), (width, values.shape[2]))
        )
        tiles[row, : len(values)] = _shares(values)[:, down[:, None], across]
        titles[row][: len(numbers)] = numbers
    figure = sheet(
        "plot_feature_maps",
        tiles.reshape(-1, height, width),
        [title for row in titles for title in row],
        [False] * (len(shown) * columns),
        columns,
        rows=[name for name, *_ in shown],
        cmap=SHARES,
        vmin=0,
        vmax=1,
    )
    return finish(figure, path)


def _shares(values: NDArray) -> NDArray:
    """Numbers from 0 for the lowest (or 0) to 1 for the highest."""
    values = values.astype(np.float64)
    low = min(0.0, float(np.nanmin(values, initial=0.0)))
    high = float(np.nanmax(values, initial=low, where=np.isfinite(values)))
    return (values - low) / (high - low or 1.0)
