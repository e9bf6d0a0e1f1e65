"""The looks of the pages that trainings leave behind: one HTML file beside its pictures, readable without a network.

They fit a phone, and are dark where the reader's system is.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from html import escape
from textwrap import dedent
from typing import Any

import numpy as np

from .. import __version__
from ..palette import BLUE, GRID, INK, PAPER, SKY, SOFT

__all__ = ["circumstances", "file_link", "page", "picture", "prose", "table"]

LIGHT = f"--ink: {INK}; --soft: {SOFT}; --line: {GRID}; --paper: {PAPER}; --tint: #f5f7f9; --accent: {BLUE};"
DARK = (
    f"--ink: #e4e8ed; --soft: #a3adb8; --line: #39434e; --paper: #14181d; --tint: #1e242b; --accent: {SKY};"
)
COLOURS = f"""
:root {{ color-scheme: light dark; {LIGHT} }}
@media (prefers-color-scheme: dark) {{ :root {{ {DARK} }} }}
"""
LAYOUT = """
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 2.5rem 1.25rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .4rem; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .6rem; padding-top: 1rem; border-top: 1px solid var(--line); }
p { max-width: 44rem; }
.status, figcaption, caption { color: var(--soft); }
.status, .file { font-size: .9rem; }
.file { display: inline-block; margin: 0 1rem .5rem 0; }
a { color: var(--accent); }
.wide { overflow-x: auto; margin: 1.2rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: .4rem; }
th, td { padding: .3rem 1.4rem .3rem 0; text-align: right; white-space: nowrap; }
th { font-weight: 600; border-bottom: 1px solid var(--ink); }
td { border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; }
tfoot td { font-weight: 600; border-bottom: 0; }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .2rem 1.4rem; margin: 1rem 0;
  font-size: .9rem; }
dt { color: var(--soft); }
dd { margin: 0; }
code, pre { font-family: ui-monospace, "DejaVu Sans Mono", monospace; }
figure { margin: 1.4rem 0; }
figure a { display: block; overflow-x: auto; }
figure img { width: var(--wide, auto); max-width: 100%; height: auto; display: block; background: #ffffff;
  border-radius: 4px; }
figcaption { font-size: .9rem; margin-top: .4rem; }
pre { background: var(--tint); padding: .8rem 1rem; overflow-x: auto; font-size: .85rem; line-height: 1.45; margin: 0;
  white-space: pre-wrap; }
@media (max-width: 40rem) {
  body { padding: 1.25rem 1rem 3rem; }
  h1 { font-size: 1.4rem; }
  dl { grid-template-columns: minmax(0, 1fr); gap: 0; }
  dd { margin-bottom: .5rem; }
  /* Words of a picture stay readable: a wide one is moved sideways, or opened with a touch. */
  figure img { width: max(min(100%, var(--wide, 100%)), calc(.62 * var(--wide, 0in))); max-width: none; }
}
"""


def page(title: str, description: str, status: str, body: str) -> str:
    """Return the whole page; only ``body`` is already HTML."""
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{COLOURS}{LAYOUT}</style>
<h1>{escape(title)}</h1>
{prose(description)}
<p class="status">{escape(status)}</p>
{body}
</html>
"""


def circumstances(command: str, settings: Mapping[str, Any], data: str) -> str:
    """Return as HTML how to have the same again: the command, all settings, the data, versions and the date."""
    chosen = ", ".join(f"{name.replace('_', ' ')} {_spell(value)}" for name, value in settings.items())
    versions = f"tinygrad_mnist {__version__}, NumPy {np.__version__}, Python {platform.python_version()}"
    facts = {
        "command": f"<code>{escape(command)}</code>",
        "settings": escape(chosen),
        "data": escape(data),
        "versions": escape(f"{versions}, {platform.system()} {platform.machine()}"),
        "date": escape(datetime.now().astimezone().isoformat(" ", "minutes")),
    }
    return (
        "<dl>" + "".join(f"<dt>{name}</dt><dd>{fact}</dd>" for name, fact in facts.items() if fact) + "</dl>"
    )


def picture(name: str, caption: str, inches: float | None = None) -> str:
    """Return a picture that lies beside the page as HTML, as wide as it is meant to be; a click opens it."""
    wide = f' style="--wide: {inches:.2f}in"' if inches else ""
    return (
        f'<figure><a href="{escape(name)}"><img src="{escape(name)}" alt="{escape(caption or name)}"{wide}></a>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def table(
    title: str, head: Sequence[str], rows: Iterable[Sequence[str]], foot: Iterable[Sequence[str]] = ()
) -> str:
    """Return words in rows and columns as HTML."""
    caption = f"<caption>{escape(title)}</caption>" if title else ""
    body, below = ("".join(map(_row, part)) for part in (rows, foot))
    return (
        f'<div class="wide"><table>{caption}<thead>{_row(head, "th")}</thead>'
        f"<tbody>{body}</tbody><tfoot>{below}</tfoot></table></div>"
    )


def file_link(name: str) -> str:
    """Return a link to a file that lies beside the page as HTML."""
    return f'<p class="file"><a href="{escape(name)}">{escape(name)}</a></p>'


def prose(text: str) -> str:
    r"""Turn paragraphs into HTML; indented ones are kept unchanged.

    Examples
    --------
    >>> prose("One & only.\n\n    code()")
    '<p>One &amp; only.</p>\n<pre>code()</pre>'
    """
    parts = [part for part in text.split("\n\n") if part.strip()]
    return "\n".join(
        f"<pre>{escape(dedent(part))}</pre>" if part.startswith(" ") else f"<p>{escape(part)}</p>"
        for part in parts
    )


def _row(cells: Iterable[str], cell: str = "td") -> str:
    return "<tr>" + "".join(f"<{cell}>{escape(text)}</{cell}>" for text in cells) + "</tr>"


def _spell(value: Any) -> str:
    """Write a setting: ``(512, 256)`` as ``512-256``, what was left out as ``none``."""
    if isinstance(value, (list, tuple)):
        return "-".join(map(str, value)) or "none"
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)
