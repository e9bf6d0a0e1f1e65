"""The table of contents, which the pages lack when they are read as Markdown; and ``index.html``."""

from __future__ import annotations

import shutil
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx

CONTENTS = Path(__file__).with_name("contents.md")
BELOW = "\n```{toctree}\n:hidden:\n:glob:\n\n[!R]*\n```\n"


def add_contents(app: Sphinx, docname: str, source: list[str]) -> None:
    """Append the table of contents to the front page, and to the page of a folder the pages in it."""
    if docname == app.config.root_doc:
        source[0] += "\n" + CONTENTS.read_text(encoding="utf-8")
        app.env.note_dependency(CONTENTS)
    elif docname in ("docs/systems/README", "docs/decisions/README"):
        source[0] += BELOW


def trim_examples(app: Sphinx, doctree: nodes.document) -> None:
    """Leave out the empty line that ends the last output of an example for doctest."""
    for block in doctree.findall(nodes.literal_block):
        if block.rawsource == block.astext():
            block.rawsource = block.astext().rstrip("\n")
            block.children = [nodes.Text(block.rawsource)]


def write_index(app: Sphinx, error: Exception | None) -> None:
    """Copy the front page to where browsers and servers look for it."""
    front = Path(app.outdir) / f"{app.config.root_doc}.html"
    if error is None and front.exists():
        shutil.copyfile(front, front.with_name("index.html"))


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", add_contents)
    app.connect("doctree-read", trim_examples)
    app.connect("build-finished", write_index)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
