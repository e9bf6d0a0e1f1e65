"""One image and the answer of a network."""

from __future__ import annotations

import operator
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import OptionError, ShapeError
from ...palette import INK, PALE, RIGHT, WRONG
from ...typing import NDArray
from ..figures import array, finish, new_figure, tidy
from .sheet import as_images, class_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_image", "plot_prediction"]

#: With more bars, a figure is not readable.
MOST_CLASSES = 60


def plot_prediction(
    image: Any,
    outputs: Any,
    *,
    label: int | None = None,
    classes: Sequence[Any] | None = None,
    shape: tuple[int, int] | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Plot an image next to the outputs of a network, with a bar for each class.

    Parameters
    ----------
    image : array_like, shape (H, W), (1, H, W), (H, W, 1) or (H * W,)
    outputs : array_like, shape (C,)
        Probabilities, or any other numbers; the largest is the answer.
    label : int, optional
        The true class, whose bar is green. An answer that is not the true class is orange.
    classes : sequence, optional
        The names of the classes; by default ``0 … C - 1``.
    shape : (int, int), optional
        Height and width of an image given as a vector; by default it is square.
    path : path, optional
        Also write the figure to this file, as ``.png``, ``.svg`` or ``.pdf``.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ShapeError, OptionError
        If the shapes do not fit, an output is not finite, or the label is not one of the classes.

    Examples
    --------
    >>> import numpy as np, tinygrad_mnist as tg
    >>> figure = tg.viz.plot_prediction(np.zeros((8, 8)), [0.1, 0.7, 0.3], label=2)
    >>> [axes.get_title(loc="left") for axes in figure.axes]
    ['label 2', 'answer 1, which is wrong']
    """
    values = array(outputs)
    if values.ndim != 1 or not values.size or values.dtype.kind not in "fiub":
        raise ShapeError(
            f"plot_prediction: outputs of shape {values.shape} and dtype {values.dtype}; expected numbers of "
            "shape (C,), the outputs for one image, such as model(x)[0]"
        )
    if len(values) > MOST_CLASSES:
        raise OptionError(
            f"plot_prediction: {len(values):,} bars do not fit into a figure; pass at most {MOST_CLASSES} outputs"
        )
    if not np.isfinite(values).all():
        raise OptionError(f"plot_prediction: the outputs are not all finite: {values}")
    names = class_names("plot_prediction", classes, len(values))
    if label is not None and not 0 <= operator.index(label) < len(values):
        raise OptionError(f"plot_prediction: label={label} is not one of the classes 0 to {len(values) - 1}")
    pictures = as_images("plot_prediction", array(image)[np.newaxis], shape)
    figure = new_figure(6.4, max(0.24 * len(values) + 0.7, 2.2))
    left, right = figure.subplots(1, 2, width_ratios=[2, 3])
    draw_image(left, pictures[0], "" if label is None else f"label {names[label]}")
    _draw_outputs(right, values, label, names)
    return finish(figure, path)


def draw_image(axes: Axes, image: NDArray, title: str, colour: str = INK) -> None:
    """Draw one image in grey, the highest value in black, within a thin frame."""
    axes.imshow(image, cmap="gray_r", interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color(PALE)
    axes.set_title(title, fontsize=10, color=colour, loc="left")


def _draw_outputs(axes: Axes, values: NDArray, label: int | None, names: list[str]) -> None:
    answer = int(values.argmax())
    is_wrong = label is not None and answer != label
    colours = [PALE] * len(values)
    colours[answer] = INK if label is None else WRONG
    if label is not None:
        colours[label] = RIGHT
    bars = axes.barh(range(len(values)), values, color=colours, height=0.72)
    axes.bar_label(bars, [f"{value:.2f}" for value in values], padding=3, fontsize=8, color=INK)
    tidy(axes)
    axes.grid(visible=False)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.axvline(0, color=PALE, linewidth=0.8)
    axes.set_xticks([])
    axes.set_yticks(range(len(values)), names)
    axes.tick_params(axis="y", length=0)
    axes.get_yticklabels()[answer].set_fontweight("bold")
    axes.set_ylim(len(values) - 0.4, -0.6)
    # Numbers from 0 to 1 have one scale for all images; there is room for the value after the longest bar.
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    if low == 0 and high <= 1:
        high = 1.0
    room = 0.14 * (high - low)
    axes.set_xlim(low - (room if low < 0 else 0), high + room)
    title = f"answer {names[answer]}{', which is wrong' if is_wrong else ''}"
    axes.set_title(title, fontsize=10, color=WRONG if is_wrong else INK, loc="left")
