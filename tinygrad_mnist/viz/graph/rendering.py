"""Turn a drawing into a picture, with Graphviz's own ``dot`` or with an engine that pip installs.

The package ``graphviz`` writes DOT text and runs the program ``dot``, which comes with the operating
system's Graphviz. If it is not installed, the program ``graphviz-pure`` of the extra ``render`` is
used instead.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from ...errors import DataError, MissingExtraError, OptionError, choice
from ...files import replace

if TYPE_CHECKING:
    import graphviz

__all__ = ["centre_text", "layout", "render_graph"]

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
    """Run the installed layout program on DOT text, and return the picture."""
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
    return centre_text(ran.stdout) if format == "svg" else ran.stdout


SVG = "http://www.w3.org/2000/svg"
ET.register_namespace("", SVG)
ET.register_namespace("xlink", "http://www.w3.org/1999/xlink")


def centre_text(svg: bytes) -> bytes:
    """Centre the words of an SVG picture in their boxes, whatever font the reader has.

    A layout engine says where each piece of a line begins, by the widths of its own font. In a browser
    with another font the lines are then beside the middle, and the pieces of a line overlap.
    """
    root = ET.fromstring(svg)
    for group in root.iter(f"{{{SVG}}}g"):
        lines: dict[str, list[ET.Element]] = {}
        for text in group.findall(f"{{{SVG}}}text"):
            lines.setdefault(text.get("y", ""), []).append(text)
        middle = _middle(group) if group.get("class") in ("node", "graph") else None
        for pieces in lines.values():
            line = _join(group, pieces)
            if middle is not None:
                line.set("x", f"{middle:.2f}")
                line.set("text-anchor", "middle")
    content: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return content + b"\n"


def _join(group: ET.Element, pieces: list[ET.Element]) -> ET.Element:
    """Make one element of the pieces of a line, which follow each other with a space between."""
    line = pieces[0]
    if len(pieces) > 1:
        spans = [ET.Element(f"{{{SVG}}}tspan") for _ in pieces]
        for span, piece in zip(spans, pieces, strict=True):
            span.text, span.tail = (piece.text or "").strip(), " "
            # Said outright, for what one piece does not say it would take over from the line.
            span.set("font-weight", piece.get("font-weight", "normal"))
            span.set("font-size", piece.get("font-size", "14"))
            span.set("fill", piece.get("fill", "black"))
        spans[-1].tail, line.text = None, None
        line.extend(spans)
        for piece in pieces[1:]:
            group.remove(piece)
    return line


def _middle(group: ET.Element) -> float | None:
    """Return where the middle of a box is, from left to right; a box without a border has none."""
    outlines = [shape.get("d") or shape.get("points") or shape.get("cx") for shape in group]
    xs = [float(x) for outline in outlines if outline for x in re.findall(r"-?[\d.]+", outline)[::2]]
    return (min(xs) + max(xs)) / 2 if xs else None


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
