"""Figures one after the other, as an animated GIF."""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import OptionError, choice, require
from ...files import replace
from ..figures import as_png

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["save_animation"]


def save_animation(
    figures: Iterable[Figure], path: str | os.PathLike[str], *, seconds: float = 0.5, dpi: int = 100
) -> Path:
    """Write figures as an animated GIF, which any browser plays; no video encoder is needed.

    Parameters
    ----------
    figures : iterable of matplotlib Figures
        Figures of the same size. Each is drawn and released before the next is requested.
    path : path ending in ``.gif``
    seconds : float, default 0.5
        How long each is shown; the last one is shown three times as long. Then it starts again.
    dpi : int, default 100
        Pixels per inch.

    Returns
    -------
    Path
        The file that was written.

    Raises
    ------
    MissingExtraError
        If Pillow is not installed.
    OptionError
        If there are no figures, or the file has another ending.

    Examples
    --------
    >>> import tempfile, tinygrad_mnist as tg
    >>> rise = [tg.viz.plot_lines([1, 2], {"": [0, end]}) for end in range(3)]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_animation(rise, f"{folder}/rise.gif").name
    'rise.gif'
    """
    path = Path(path)
    if path.suffix.lower() != ".gif":
        raise choice("file ending", path.suffix, [".gif"])
    if not seconds > 0:
        raise OptionError(f"save_animation: seconds = {seconds!r} is not positive")
    pil = require("PIL.Image", extra="plots", purpose="writing animations")
    frames = [pil.open(io.BytesIO(as_png(figure, dpi))).convert("RGB") for figure in figures]
    if not frames:
        raise OptionError("save_animation: there are no figures")
    frames = _reduce(frames, pil)
    times = [round(seconds * 1000)] * len(frames)
    times[-1] *= 3
    written = io.BytesIO()
    frames[0].save(
        written, format="GIF", save_all=True, append_images=frames[1:], duration=times, loop=0, optimize=True
    )
    replace(path, written.getvalue())
    return path


def _reduce(frames: list[Any], pil: Any) -> list[Any]:
    """Bring pictures to one table of 256 colours: those they have most of, so that lines keep their own."""
    counts: Counter[tuple[int, int, int]] = Counter()
    for frame in frames:
        counts.update({colour: number for number, colour in frame.getcolors(frame.width * frame.height)})
    table = pil.new("P", (1, 1))
    table.putpalette([level for colour, _ in counts.most_common(256) for level in colour])
    return [frame.quantize(palette=table, dither=pil.Dither.NONE) for frame in frames]
