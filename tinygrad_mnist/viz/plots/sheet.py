"""Many images on one pair of axes: separate axes for each would take seconds to draw."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import OptionError, ShapeError
from ...palette import INK, SOFT, WRONG
from ...typing import NDArray
from ..figures import library, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["as_images", "class_names", "positive", "sheet"]

#: With more images, a sheet is not readable.
MOST_IMAGES = 400

#: Width of an image and height of the line above it, in inches.
TILE, LINE = 0.72, 0.2


def sheet(
    caller: str,
    images: NDArray,
    titles: Sequence[str],
    wrong: Sequence[bool],
    columns: int,
    *,
    rows: Sequence[str] = (),
    tile: float = TILE,
    caption: str = "",
    cmap: str,
    vmin: float,
    vmax: float,
) -> Figure:
    """Make a figure of rows and columns, each image under its title, which is orange if it is wrong.

    ``rows`` are names, written at the left.
    """
    number = len(images)
    if not number or not images.size:
        raise OptionError(f"{caller}: there are no images (shape {images.shape})")
    if number > MOST_IMAGES:
        raise OptionError(
            f"{caller}: {number:,} images do not fit on a sheet; pass at most {MOST_IMAGES}, as in images[:100]"
        )
    columns = min(positive(caller, "columns", columns), number)
    lines = -(-number // columns)
    if len(rows) not in (0, lines):
        raise ShapeError(f"{caller}: {len(rows)} names for {lines} rows of images")
    height, width = images.shape[1:]
    above = max(round(width * LINE / tile), 1) if any(titles) else 0
    gap = max(width // 9, 1)
    canvas = np.full((lines * (height + above + gap), columns * (width + gap) - gap), np.nan, np.float32)
    for i, image in enumerate(images):
        top, left = (i // columns) * (height + above + gap) + above, (i % columns) * (width + gap)
        canvas[top : top + height, left : left + width] = image
    scale = tile / width
    beside = 0.2 + 0.08 * max(map(len, rows)) if rows else 0
    size = canvas.shape[1] * scale + beside + 0.2, canvas.shape[0] * scale + (0.5 if caption else 0.2)
    figure = new_figure(max(size[0], 0.075 * len(caption) + 0.2), size[1])
    if caption:
        figure.suptitle(caption, fontsize=10, color=INK)
    axes = figure.add_subplot()
    colours = library("matplotlib").colormaps[cmap].with_extremes(bad="white")
    axes.imshow(canvas, cmap=colours, vmin=vmin, vmax=vmax, interpolation="nearest")
    axes.set_axis_off()
    if rows:
        axes.set_anchor("E")  # what is left of the figure's width is for their names
    for i, name in enumerate(rows):
        y = i * (height + above + gap) + above + height / 2 - 0.5
        axes.text(-gap, y, name, ha="right", va="center", fontsize=9, color=SOFT)
    for i, title in enumerate(titles):
        if title:
            x, y = (  # half a pixel less, because the coordinates of a pixel are those of its centre
                (i % columns) * (width + gap) + width / 2 - 0.5,
                (i // columns) * (height + above + gap) + above * 0.75 - 0.5,
            )
            colour, boldness = (WRONG, "bold") if wrong[i] else (INK, "normal")
            axes.text(x, y, title, ha="center", fontsize=8, color=colour, fontweight=boldness)
    return figure


def as_images(caller: str, images: NDArray, shape: tuple[int, int] | None) -> NDArray:
    """Bring images to the shape (N, H, W)."""
    given = images.shape
    if images.ndim == 4 and 1 in (given[1], given[3]):
        images = images[:, 0] if given[1] == 1 else images[..., 0]
    elif images.ndim == 2:
        side = math.isqrt(given[1])
        shape = shape or (side, side)
        images = images.reshape(-1, *shape) if math.prod(shape) == given[1] else images
    if images.ndim != 3 or images.dtype.kind not in "fiub":
        raise ShapeError(
            f"{caller}: images of shape {given} and dtype {images.dtype}; expected numbers of shape "
            f"(N, H, W), (N, 1, H, W), (N, H, W, 1) or (N, H * W){f' with shape={shape}' if shape else ''}"
        )
    return images


def class_names(caller: str, classes: Sequence[Any] | None, number: int) -> list[str]:
    """Return the names of the classes."""
    names = [str(name) for name in (range(number) if classes is None else classes)]
    if len(names) != number:
        raise ShapeError(f"{caller}: {len(names)} names for {number} classes")
    return names


def positive(caller: str, what: str, number: int) -> int:
    """Return a number if it is positive; otherwise raise an error."""
    if number < 1:
        raise OptionError(f"{caller}: {what}={number!r} must be positive")
    return number
