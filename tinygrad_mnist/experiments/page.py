"""The looks of the page of an experiment: one HTML file beside its pictures, readable without a network."""

from __future__ import annotations

from html import escape
from textwrap import dedent

__all__ = ["page", "prose"]

STYLE = """
:root { --ink: #1f2933; --soft: #5b6773; --line: #d9dee4; --paper: #ffffff; --tint: #f5f7f9; --accent: #0072b2; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 2.5rem 1.25rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .4rem; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .6rem; padding-top: 1rem; border-top: 1px solid var(--line); }
p { max-width: 44rem; }
.status, figcaption, caption { color: var(--soft); }
.status, .file { font-size: .9rem; }
.file { display: inline-block; margin: 0 1rem .5rem 0; }
a { color: var(--accent); }
table { border-collapse: collapse; margin: 1.2rem 0; font-variant-numeric: tabular-nums; display: block;
  overflow-x: auto; }
caption { text-align: left; padding-bottom: .4rem; }
th, td { padding: .3rem 1.4rem .3rem 0; text-align: right; white-space: nowrap; }
th { font-weight: 600; border-bottom: 1px solid var(--ink); }
td { border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; }
tfoot td { font-weight: 600; border-bottom: 0; }
figure { margin: 1.4rem 0; }
figure img { max-width: 100%; height: auto; display: block; background: #ffffff; }
figcaption { font-size: .9rem; margin-top: .4rem; }
pre { background: var(--tint); padding: .8rem 1rem; overflow-x: auto; font-size: .85rem; line-height: 1.45; margin: 0;
  white-space: pre-wrap; }
"""


def page(title: str, description: str, status: str, body: str) -> str:
    """Return the whole page; only ``body`` is already HTML."""
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{STYLE}</style>
<h1>{escape(title)}</h1>
{prose(description)}
<p class="status">{escape(status)}</p>
{body}
</html>
"""


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
