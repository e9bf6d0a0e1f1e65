"""The reference: ``.. room:: MODULE`` lists the public names of a module, and documents each by its docstring.

What several modules offer is documented in the first of them, and the others' lists link to it.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

PAGES = Path(__file__).with_name("reference")


@cache
def rooms() -> dict[str, str]:
    """The modules of the reference, the outermost first, each with its page."""
    found = {
        module: page.stem
        for page in sorted(PAGES.glob("*.rst"))
        for module in re.findall(r"^\.\. room:: (\S+)", page.read_text(encoding="utf-8"), flags=re.M)
    }
    return dict(sorted(found.items(), key=lambda item: item[0].count(".")))


@cache
def home_of(thing: int) -> str:
    """The name by which an object is documented, by its identity."""
    return next(
        f"{room}.{name}"
        for room in rooms()
        for name in importlib.import_module(room).__all__
        if id(getattr(importlib.import_module(room), name)) == thing
    )


def describe(room: str) -> Iterator[str]:
    """The lines of reStructuredText for one module."""
    module = importlib.import_module(room)
    names = {name: getattr(module, name) for name in module.__all__}
    begin = "currentmodule" if callable(module) else "py:module"  # tg.tensor is documented as a function
    yield from (f".. {begin}:: {room}", "", ".. list-table::", "   :class: names", "   :widths: auto", "")
    for name, thing in names.items():
        yield from (f"   * - {link(room, name, thing)}", f"     - {summary(room, name, thing)}")
    yield ""
    for name, thing in names.items():
        if not is_module(thing) and home(room, name, thing) == f"{room}.{name}":
            yield from document(f"{room}.{name}", thing)


def is_module(thing: Any) -> bool:
    return isinstance(thing, ModuleType) and not callable(thing)


def is_code(thing: Any) -> bool:
    """Whether it is a class or a function, an operation among them."""
    return (isinstance(thing, type) and thing is not Any) or inspect.isroutine(inspect.unwrap(thing))


def home(room: str, name: str, thing: Any) -> str:
    """Where a name is documented: a table or a number where it stands."""
    return home_of(id(thing)) if is_code(thing) else f"{room}.{name}"


def link(room: str, name: str, thing: Any) -> str:
    if not is_module(thing):
        return f":py:obj:`{name} <{home(room, name, thing)}>`"
    page = rooms().get(thing.__name__)
    return f":doc:`{name} <{page}>`" if page else f"``{name}``"


def summary(room: str, name: str, thing: Any) -> str:
    """The first sentence of a docstring, or of the comment above a value."""
    text = inspect.getdoc(thing) or ""
    if not (is_code(thing) or is_module(thing)):
        source = inspect.getsource(importlib.import_module(room))
        text = next(iter(re.findall(rf"((?:^#: .*\n)+){name}\b", source, flags=re.M)), "").replace("#: ", "")
    first = re.split(r"\n\s*\n", text)[0].replace("\n", " ")
    first = re.split(r"(?<=[^.])\. ", first)[0].rstrip(".:")
    return re.sub(r" \[\d+\]_", "", first)


def document(path: str, thing: Any) -> Iterator[str]:
    """The directive that documents a name."""
    if not is_code(thing):
        yield from (f".. autodata:: {path}", "   :no-value:", "")
    elif not isinstance(thing, type):
        yield from (f".. autofunction:: {path}", "")
    else:
        yield f".. auto{'exception' if issubclass(thing, BaseException) else 'class'}:: {path}"
        yield "   :members:"
        if all(map(is_public, thing.__bases__)):
            yield "   :show-inheritance:"
        yield ""


def is_public(kind: type) -> bool:
    modules = [importlib.import_module(room) for room in rooms()]
    return any(kind.__name__ in m.__all__ and getattr(m, kind.__name__) is kind for m in modules)


class Room(SphinxDirective):
    """``.. room:: tinygrad_mnist.nn``."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        lines = StringList(list(describe(self.arguments[0])), source=f"<{self.arguments[0]}>")
        holder = nodes.section()
        holder.document = self.state.document
        self.state.nested_parse(lines, self.content_offset, holder)
        return holder.children


def find_everywhere(app: Sphinx, doctree: nodes.document) -> None:
    """Let docstrings refer to a name of another module without saying which, if only one has it."""
    for node in doctree.findall(addnodes.pending_xref):
        if node.get("refdomain") == "py":
            node["refspecific"] = True


def is_of_others(app: Sphinx, what: str, name: str, thing: Any, skip: bool, options: Any) -> bool | None:
    """Leave out what other packages add to our classes."""
    module = getattr(thing, "__module__", None) or "tinygrad_mnist"
    return None if module.startswith("tinygrad_mnist") else True


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("room", Room)
    app.connect("doctree-read", find_everywhere)
    app.connect("autodoc-skip-member", is_of_others)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
