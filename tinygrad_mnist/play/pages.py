"""Text of pages: the project's colours as CSS, and the replay of a training as one HTML file."""

from __future__ import annotations

import gzip
import re
from base64 import b64encode
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from .. import palette
from .engine import to_json

__all__ = ["STATIC", "palette_css", "replay_page"]

STATIC = Path(__file__).parent / "static"

#: The scripts of a replay; each needs those before it only.
SCRIPTS = ("dom.js", "drawing.js", "engine.js", "runs.js", "inside.js", "replay.js")

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main id="room"></main>
<script type="application/json" id="data">{data}</script>
<script>{script}
const bytes = Uint8Array.from(atob(JSON.parse(document.getElementById("data").textContent)), (x) => x.charCodeAt(0));
new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json()
  .then(({{ news, bins }}) => replay(document.getElementById("room"), news, bins));
</script>
</body>
</html>
"""


def palette_css() -> str:
    """The colours of the project, as variables of CSS: ``--blue`` and so on."""
    named = {
        name.lower(): value
        for name, value in vars(palette).items()
        if isinstance(value, str) and value.startswith("#")
    }
    lines = [f"  --{name}: {value};" for name, value in named.items()]
    lines += [f"  --class-{i}: {value};" for i, value in enumerate(palette.CLASSES)]
    return "\n".join([":root {", *lines, "}"]) + "\n"


def replay_page(news: Mapping[str, Any], bins: Mapping[str, Any]) -> bytes:
    """Make a page of what a training told; it needs no network, and no program.

    Parameters
    ----------
    news : mapping
        Its ``name``, ``state``, ``events`` and ``losses``.
    bins : mapping
        The edges of the histograms.
    """
    packed = gzip.compress(to_json({"news": news, "bins": bins}).encode(), mtime=0)
    return _PAGE.format(
        title=escape(f"{news['name']} · tinygrad-mnist"),
        style=palette_css() + (STATIC / "style.css").read_text(encoding="utf-8"),
        data=f'"{b64encode(packed).decode()}"',
        script="\n".join(_plain_script(name) for name in SCRIPTS),
    ).encode()


def _plain_script(name: str) -> str:
    """A module of the page without its imports and exports, so that it can stand with others in one script."""
    text = (STATIC / name).read_text(encoding="utf-8")
    text = re.sub(r"^import .*?;\n", "", text, flags=re.MULTILINE)
    return re.sub(r"^export ", "", text, flags=re.MULTILINE).replace("</script", "<\\/script")
