"""Turn a drawing into a picture, with Graphviz's own ``dot`` or with an engine that pip installs.

The package ``graphviz`` writes DOT text and runs the program ``dot``, which comes with the operating
system's Graphviz. If it is not installed, the program ``graphviz-pure`` of the extra ``render`` is
used instead.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import DataError, MissingExtraError, OptionError, choice
from ...files import replace

if TYPE_CHECKING:
    import graphviz

__all__ = ["layout", "render_graph"]

#: Picture formats by file ending, and the endings that hold the DOT text itself.
PICTURES = (".png", ".svg", ".pdf", ".jpg", ".jpeg")
SOURCES = (".dot", ".gv")

#: Dots per inch of pixel pictures: sharp in a document, at most a few thousand pixels wide.
RESOLUTION = 150


def render_graph(graph: graphviz.Digraph, path: str | os.PathLike[str]) -> Path:
    """Write a drawing to a file, either completely or not at all.

    The ending decides: a picture (``.png``, ``.svg``, ``.pdf``, ``.jpg``), or the DOT text itself
    (``.dot``, ``.gv``), which needs no engine.

    Parameters
    ----------
    graph : graphviz.Digraph
        For example, the result of :func:`draw_graph`.
    path : path
        Missing folders are made.

    Returns
    -------
    Path
        The file that was written.

    Raises
    ------
    MissingExtraError
        If neither Graphviz nor the extra ``render`` is installed.
    OptionError
        If the file has another ending, or the installed engine cannot write it.

    Examples
    --------
    >>> import tempfile, tinygrad_mnist as tg
    >>> x = tg.tensor(2.0, requires_grad=True)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tg.viz.render_graph(tg.viz.draw_graph(x * x), f"{folder}/square.gv").name
    'square.gv'
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending in SOURCES:
        content = graph.source.encode()
    elif ending in PICTURES:
        content = layout(graph.source, ending[1:], graph.engine)
    else:
        raise choice("file ending", path.suffix, (*PICTURES, *SOURCES))
    replace(path, content)
    return path


def layout(source: str, format: str, engine: str) -> bytes:
    """Run whichever layout program there is, and return the picture it makes of DOT text."""
    program = find_dot() or _pure()
    if program is None:
        raise MissingExtraError(
            "rendering a drawing needs a layout engine, and neither a working 'dot' of Graphviz nor 'graphviz-pure' "
            "is installed: pip install 'tinygrad-mnist[render]', or install Graphviz (apt install graphviz, "
            "brew install graphviz); the DOT text needs no engine: save it as .dot or .gv"
        )
    if format == "pdf" and Path(program).stem == "graphviz-pure":
        raise OptionError(
            "rendering a PDF needs Graphviz's own 'dot' (apt install graphviz, brew install graphviz); "
            "graphviz-pure writes svg and png"
        )
    command = [program, f"-K{engine}", f"-T{format}"]
    if format in ("png", "jpg", "jpeg"):
        command.append(f"-Gdpi={RESOLUTION}")
    ran = subprocess.run(command, input=source.encode(), capture_output=True, check=False)
    if ran.returncode or not ran.stdout:
        reason = ran.stderr.decode(errors="replace").strip()
        raise DataError(
            f"{Path(program).name} could not draw this graph as {format}: {reason or ran.returncode}"
        )
    return ran.stdout


def find_dot() -> str | None:
    """Find Graphviz's own program on the PATH, unless it cannot draw: some installations lack its plugins."""
    program = shutil.which("dot")
    return program if program is not None and _can_draw(program) else None


@cache
def _can_draw(program: str) -> bool:
    try:
        tried = subprocess.run([program, "-Tsvg"], input=b"graph {}", capture_output=True, check=False)
    except OSError:
        return False
    return tried.returncode == 0 and b"<svg" in tried.stdout


def _pure() -> str | None:
    """Find graphviz-pure on the PATH, or next to a Python whose environment is not activated."""
    return shutil.which("graphviz-pure") or shutil.which("graphviz-pure", path=sysconfig.get_path("scripts"))
