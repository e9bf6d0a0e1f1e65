"""Learning curves, and any other lines."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import OptionError, ShapeError
from ...palette import BLUE, CLASSES, INK, ORANGE, SOFT
from ..figures import array, finish, library, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_history", "plot_lines"]

#: The two curves of each panel, distinguished by colour, dashes and markers.
CURVES = {
    "train": {"color": BLUE, "linestyle": "-", "marker": "o"},
    "validation": {"color": ORANGE, "linestyle": "--", "marker": "s"},
}


#: A colour and a marker for each of seven lines; the eighth looks like the first again.
LOOKS = list(zip(CLASSES, "os^DvPX", strict=False))


def plot_history(
    history: Iterable[Mapping[str, Any]],
    *,
    xlabel: str = "epoch",
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Plot loss and accuracy, epoch by epoch.

    Parameters
    ----------
    history : iterable of mappings
        One mapping per epoch, with any of ``epoch``, ``train_loss``, ``validation_loss``,
        ``train_accuracy`` and ``validation_accuracy`` (from 0 to 1); other entries are ignored.
    xlabel : str, default 'epoch'
        The meaning of a row.
    path : path, optional
        Also write the figure to this file, as ``.png``, ``.svg`` or ``.pdf``.

    Returns
    -------
    matplotlib.figure.Figure
        One panel for the loss and one for the accuracy, if they were measured.

    Raises
    ------
    OptionError
        If there are no epochs, or none has a loss or an accuracy.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> figure = tg.viz.plot_history(
    ...     [{"train_loss": 0.9, "validation_loss": 1.0}, {"train_loss": 0.3, "validation_loss": 0.5}]
    ... )
    >>> [axes.get_ylabel() for axes in figure.axes]
    ['loss']
    """
    epochs = list(history)
    curves = {
        (panel, name): _curve(epochs, f"{name}_{panel}") for panel in ("loss", "accuracy") for name in CURVES
    }
    panels = [panel for panel in ("loss", "accuracy") if any(curves[panel, name] for name in CURVES)]
    if not panels:
        found = sorted({key for epoch in epochs for key in epoch})
        raise OptionError(
            f"plot_history: {len(epochs)} epochs with the entries {', '.join(found) or 'none'}; expected "
            "train_loss, validation_loss, train_accuracy or validation_accuracy in at least one"
        )
    figure = new_figure(3.7 * len(panels), 3.1)
    for number, panel in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), number + 1)
        for name, look in CURVES.items():
            if curves[panel, name]:
                _draw(axes, curves[panel, name], 100 if panel == "accuracy" else 1, name, look)
        tidy(axes)
        axes.set_xlabel(xlabel, color=INK)
        axes.set_ylabel("accuracy (%)" if panel == "accuracy" else "loss", color=INK)
        axes.xaxis.set_major_locator(library("matplotlib.ticker").MaxNLocator(integer=True, nbins=8))
        axes.legend(frameon=False, fontsize=9, labelcolor=INK)
        if panel == "accuracy":
            _mark_best(axes, curves[panel, "validation"], xlabel)
    return finish(figure, path)


def plot_lines(
    x: Any,
    lines: Mapping[str, Any],
    *,
    xlabel: str = "",
    ylabel: str = "",
    log_x: bool = False,
    log_y: bool = False,
    ylim: tuple[float, float] | None = None,
    ordered: bool = False,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Plot measurements against a setting, such as accuracy against the learning rate.

    Parameters
    ----------
    x : array_like, shape (N,)
        The x values, which all lines share.
    lines : mapping of str to array_like, shape (N,) or (runs, N)
        By name. Of several runs the mean is drawn, in a band from the lowest to the highest. NaN
        leaves a gap.
    xlabel, ylabel : str, optional
    log_x, log_y : bool, default False
        Whether the axis grows by factors.
    ylim : (float, float), optional
        The lowest and the highest value that is drawn. Where there are others, a line above the plot
        says so.
    ordered : bool, default False
        Whether the lines are ordered, for example by learning rate; then their colours are ordered, too.
    path : path, optional
        Also write the figure to this file, as ``.png``, ``.svg`` or ``.pdf``.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ShapeError, OptionError
        If a line is not as long as x, or if there are no lines.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> figure = tg.viz.plot_lines([0.1, 0.2], {"SGD": [[0.9, 0.8], [0.91, 0.83]]}, xlabel="learning rate")
    >>> figure.axes[0].get_xlabel()
    'learning rate'
    """
    places = array(x)
    if not lines:
        raise OptionError("plot_lines: there are no lines")
    figure = new_figure(6.4, 3.8)
    axes = figure.add_subplot()
    scale = library("matplotlib").colormaps["viridis"]
    for number, (name, values) in enumerate(lines.items()):
        runs = np.atleast_2d(array(values))
        if places.ndim != 1 or runs.ndim != 2 or runs.shape[1] != len(places):
            raise ShapeError(
                f"plot_lines: x of shape {places.shape} and a line {name!r} of shape {np.shape(values)}; "
                "expected (N,) and (N,) or (runs, N)"
            )
        colour, marker = LOOKS[number % len(LOOKS)]
        if ordered:
            colour, marker = scale(0.9 * number / max(len(lines) - 1, 1)), "o"
        size = 3.5 if len(places) <= 40 else 0
        axes.plot(
            places, runs.mean(axis=0), color=colour, marker=marker, markersize=size, linewidth=1.6, label=name
        )
        if len(runs) > 1:
            axes.fill_between(
                places, runs.min(axis=0), runs.max(axis=0), color=colour, alpha=0.18, linewidth=0
            )
    tidy(axes)
    if log_y:
        axes.set_yscale("log")
    if ylim is not None:
        axes.set_ylim(*ylim)
        axes.set_title(_beyond(lines.values(), *ylim), fontsize=9, color=SOFT, loc="left")
    if log_x:
        axes.set_xscale("log")
        few = places[:: -(-len(places) // 12)]
        axes.set_xticks(few, [f"{place:g}" for place in few])
        axes.minorticks_off()
    elif places.dtype.kind in "iu":
        axes.xaxis.set_major_locator(
            library("matplotlib.ticker").MaxNLocator(integer=True, steps=[1, 2, 5, 10])
        )
    axes.set_xlabel(xlabel, color=INK)
    axes.set_ylabel(ylabel, color=INK)
    if len(lines) > 1:
        beside: dict[str, Any] = {"loc": "center left", "bbox_to_anchor": (1, 0.5)} if len(lines) > 4 else {}
        axes.legend(frameon=False, fontsize=9, labelcolor=INK, **beside)
    return finish(figure, path)


def _beyond(lines: Iterable[Any], low: float, high: float) -> str:
    """Say what an axis from ``low`` to ``high`` leaves out."""
    values = np.concatenate([np.ravel(array(line)) for line in lines])
    parts = []
    if np.any(values < low):
        parts.append(f"values below {low:g}, down to {np.nanmin(values):.3g}")
    if np.any(values > high):
        parts.append(f"values above {high:g}, up to {np.nanmax(values):.3g}")
    return f"not shown: {' and '.join(parts)}" if parts else ""


def _curve(epochs: list[Mapping[str, Any]], key: str) -> list[tuple[float, float]]:
    """List the points of one curve; epochs without the entry are skipped."""
    numbers = ((epoch.get("epoch", i), epoch.get(key)) for i, epoch in enumerate(epochs, start=1))
    return [(float(x), float(y)) for x, y in numbers if y is not None]


def _draw(
    axes: Axes, points: list[tuple[float, float]], scale: float, name: str, look: dict[str, str]
) -> None:
    x, y = np.array(points).T
    size = 3.5 if len(points) <= 40 else 0
    axes.plot(x, y * scale, label=name, linewidth=1.6, markersize=size, **look)  # type: ignore[arg-type]


def _mark_best(axes: Axes, points: list[tuple[float, float]], xlabel: str) -> None:
    """Ring the best validation accuracy, and write it in the title."""
    known = [point for point in points if np.isfinite(point[1])]
    if known:
        epoch, best = max(known, key=lambda point: point[1])
        axes.plot([epoch], [best * 100], "o", markersize=9, markerfacecolor="none", markeredgecolor=ORANGE)
        title = f"best validation accuracy {best:.2%}, {xlabel} {epoch:g}"
        axes.set_title(title, fontsize=9, color=INK, loc="left")
