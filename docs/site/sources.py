"""Links from pages to source files and folders: on the site, each such file is a page, and each folder a list.

In Markdown they are ordinary links: ``[graph.py](../tinygrad_mnist/graph.py)``.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import posixpath
import re
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer, TextLexer
from sphinx import addnodes
from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"\]\(([^)#\s]+)")
PICTURES = {".png", ".svg", ".gif", ".jpg"}


def page_of(path: str) -> str:
    """The name of the page that shows a file or a folder of the repository."""
    return posixpath.join("source", path)


def is_shown(app: Sphinx, path: Path) -> bool:
    """Whether there is such a file or folder, and it is neither a page nor a picture."""
    return path.exists() and path.suffix not in PICTURES and not app.env.path2doc(path)


def point_to_pages(app: Sphinx, doctree: nodes.document) -> None:
    """Let links to files and folders lead to their pages, instead of being downloads or unknown."""
    docname = app.env.docname
    folder = Path(app.env.doc2path(docname)).parent
    for node in list(doctree.findall(addnodes.download_reference)) + list(
        doctree.findall(addnodes.pending_xref)
    ):
        target = node.get("reftarget", "")
        path = Path(os.path.normpath(folder / target.split("#")[0]))
        if node.get("refdomain") in (None, "", "doc") and target and is_shown(app, path):
            name = page_of(path.relative_to(app.srcdir).as_posix())
            uri = posixpath.relpath(f"{name}.html", posixpath.dirname(docname) or ".")
            node.replace_self(nodes.reference("", "", *node.children, refuri=uri, internal=True))


def shown(app: Sphinx) -> set[Path]:
    """The files of the package, and the files and folders that pages link to."""
    found = set((app.srcdir / "tinygrad_mnist").rglob("*.py"))
    for docname in app.env.found_docs:
        page = Path(app.env.doc2path(docname))
        if page.suffix != ".rst":
            links = LINK.findall(page.read_text(encoding="utf-8"))
            paths = {Path(os.path.normpath(page.parent / link)) for link in links}
            found |= {path for path in paths if path.is_relative_to(app.srcdir) and is_shown(app, path)}
    return found


def write_pages(app: Sphinx, error: Exception | None) -> None:
    """Write the pages: plain ones, which take a fraction of the time that the theme's take."""
    if error is not None or app.builder.name != "html":
        return
    for path in sorted(shown(app)):
        name = path.relative_to(app.srcdir).as_posix()
        page = app.outdir / f"{page_of(name)}.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        home = posixpath.relpath("README.html", posixpath.dirname(page_of(name)))
        body = listing(app, path) if path.is_dir() else text(path)
        page.write_text(PAGE.format(name=escape(name), home=home, style=STYLE, body=body), encoding="utf-8")


def text(path: Path) -> str:
    """A file with the numbers of its lines, in colours if it is a program."""
    lexer = PythonLexer() if path.suffix == ".py" else TextLexer()
    form = HtmlFormatter(linenos="inline", lineanchors="L", anchorlinenos=True)
    return highlight(path.read_text(encoding="utf-8"), lexer, form)


def listing(app: Sphinx, folder: Path) -> str:
    """What is in a folder: programs, each with the first line of its docstring, and notebooks."""
    start, rows = posixpath.dirname(page_of(folder.relative_to(app.srcdir).as_posix())), []
    for path in sorted([*folder.rglob("*.py"), *folder.glob("*.ipynb")]):
        place = path.relative_to(app.srcdir).as_posix()
        docname = app.env.path2doc(path)
        if docname in app.env.found_docs:
            words = app.env.titles[docname].astext()
        else:
            docname = page_of(place)
            docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            words = docstring.partition("\n")[0]
        uri, name = posixpath.relpath(f"{docname}.html", start), path.relative_to(folder).as_posix()
        rows.append(f'<tr><td><a href="{escape(uri)}">{escape(name)}</a></td><td>{escape(words)}</td></tr>')
    return f"<table>{''.join(rows)}</table>"


#: Light and dark as chosen on the site, where the theme notes it.
PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{name}</title>
<script>document.documentElement.dataset.theme = localStorage.getItem("theme") || "auto";</script>
<style>{style}</style>
<p><a href="{home}">tinygrad_mnist</a></p>
<h1>{name}</h1>
{body}
</html>
"""

LIGHT, DARK = (HtmlFormatter(style=name).get_style_defs(".highlight") for name in ("tango", "monokai"))
STYLE = f"""
:root {{ color-scheme: light; --ink: #1f2933; --link: #0072b2; }}
{LIGHT}
@media (prefers-color-scheme: dark) {{ :root:not([data-theme="light"]) {{
color-scheme: dark; --ink: #e4e8ed; --link: #56b4e9; {DARK} }} }}
:root[data-theme="dark"] {{ color-scheme: dark; --ink: #e4e8ed; --link: #56b4e9; {DARK} }}
body {{ margin: 1rem; font: 15px/1.5 system-ui, sans-serif; color: var(--ink); }}
h1 {{ font-size: 1.2rem; }} a {{ color: var(--link); }} td {{ padding: .1rem 1rem .1rem 0; vertical-align: top; }}
.highlight {{ overflow-x: auto; padding: .5rem; font-size: .85rem; }} .linenos {{ opacity: .5; user-select: none; }}
:target ~ .linenos, a:target {{ background: #ffd54d66; }}
"""


def linkcode_resolve(domain: str, info: dict[str, str]) -> str | None:
    """The page and the line of a documented object, as seen from the pages of the reference."""
    thing: Any = importlib.import_module(info["module"])
    for name in info["fullname"].split("."):
        thing = getattr(thing, name, None)
    thing = inspect.unwrap(getattr(thing, "fget", None) or thing)
    try:
        file, (_, line) = inspect.getsourcefile(thing), inspect.getsourcelines(thing)
    except (TypeError, OSError):
        return None
    path = Path(file or "").resolve()
    if not path.is_relative_to(ROOT / "tinygrad_mnist"):
        return None
    return f"../../../{page_of(path.relative_to(ROOT).as_posix())}.html#L-{line}"


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("doctree-read", point_to_pages)
    app.connect("build-finished", write_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
