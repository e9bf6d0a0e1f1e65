"""Where an example of a page makes a step-through player, the site shows the player below it."""

from __future__ import annotations

import doctest
import io
from contextlib import redirect_stdout
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

from tinygrad_mnist.viz import StepThrough


def show_players(app: Sphinx, doctree: nodes.document) -> None:
    """Run the examples of a page up to the last player, and put each player below the example that made it."""
    blocks = [node for node in doctree.findall(nodes.literal_block) if ">>>" in node.astext()]
    makers = [node for node in blocks if "tg.viz.step_through(" in node.astext()]
    if not makers:
        return
    blocks = blocks[: blocks.index(makers[-1]) + 1]
    names: dict[str, Any] = {}
    shown: set[int] = set()
    for block in blocks:
        for example in doctest.DocTestParser().get_examples(block.astext()):
            with redirect_stdout(io.StringIO()):
                exec(compile(example.source, app.env.docname, "exec"), names)
        made = [
            value for value in names.values() if isinstance(value, StepThrough) and id(value) not in shown
        ]
        shown |= set(map(id, made))
        for player in reversed(made):
            place = block.parent.index(block) + 1
            frame = player._repr_html_().replace("<iframe ", '<iframe class="player" loading="lazy" ', 1)
            block.parent.insert(place, nodes.raw("", frame, format="html"))


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("doctree-read", show_players)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
