"""What all plots share: figures without global state, tidy axes, atomic files.

Only matplotlib's object-oriented interface is used. There is no ``pyplot`` and no current figure, so
plots need no display, can be made in any thread, and leave nothing open.
"""

from __future__ import annotations

import functools
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import choice, require
from ..files import replace
from ..palette import GRID, INK, PALE
from ..tensor import Tensor
from ..typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "DPI",
    "array",
    "as_png",
    "finish",
    "library",
    "new_figure",
    "tidy",
]

ENDINGS = (".png", ".svg", ".pdf")

#: Dots per inch of the files that plots write.
DPI = 150


def library(module: str) -> Any:
    """Import a module of matplotlib, or raise an error with the pip line that installs it.

    Examples
    --------
    >>> library("matplotlib.figure").Figure.__name__
    'Figure'
    """
    return require(module, extra="plots", purpose="drawing plots")


@functools.cache
def _shown(figure: type[Figure]) -> type[Figure]:
    """Make a class of figures that notebooks show: matplotlib's own are shown only if pyplot is used."""

    class ShownFigure(figure):  # type: ignore[misc, valid-type]
        def _repr_png_(self) -> bytes:
            return as_png(self)

    return ShownFigure


def new_figure(width: float, height: float) -> Figure:
    """Make an empty figure (size in inches) that belongs only to the caller.

    Examples
    --------
    >>> figure = new_figure(6, 4)
    >>> axes = figure.subplots()
    >>> figure.get_size_inches().tolist()
    [6.0, 4.0]
    """
    return _shown(library("matplotlib.figure").Figure)(figsize=(width, height), layout="constrained")


def as_png(figure: Figure, dpi: int = 100) -> bytes:
    r"""Draw a figure, and return it as the content of a PNG file.

    Examples
    --------
    >>> as_png(new_figure(1, 1))[:4]
    b'\x89PNG'
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def array(values: Any) -> NDArray:
    """Return the values of an array or a Tensor; a drawing loses no gradient.

    Examples
    --------
    >>> array(Tensor([1.0, 2.0], requires_grad=True))
    array([1., 2.])
    """
    return values.data if isinstance(values, Tensor) else np.asarray(values)


def tidy(axes: Axes) -> None:
    """Keep only the lines that carry information.

    Examples
    --------
    >>> axes = new_figure(3, 2).subplots()
    >>> tidy(axes)
    >>> [side for side, line in axes.spines.items() if line.get_visible()]
    ['left', 'bottom']
    """
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(PALE)
    axes.tick_params(colors=INK, labelsize=9, length=3, color=PALE)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def finish(figure: Figure, path: str | os.PathLike[str] | None) -> Figure:
    """Write the figure to ``path``, if there is one, either completely or not at all.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     figure = finish(new_figure(1, 1), f"{folder}/empty.png")
    ...     [path.name for path in Path(folder).iterdir()]
    ['empty.png']
    """
    if path is not None:
        path = Path(path)
        ending = path.suffix.lower()
        if ending not in ENDINGS:
            raise choice("file ending", path.suffix, ENDINGS)
        # Without the date, the same figure gives the same file.
        dates = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
        buffer = io.BytesIO()
        figure.savefig(buffer, format=ending[1:], dpi=DPI, metadata=dates.get(ending))
        replace(path, buffer.getvalue())
    return figure
