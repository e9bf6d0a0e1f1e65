"""The class of drawings: a ``graphviz.Digraph`` that can be rendered with pip packages alone.

This file is separate because it imports graphviz, which the other files import only when necessary.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import graphviz

from ...errors import OptionError
from ...files import replace
from .rendering import centre_text, find_dot, layout

__all__ = ["Drawing"]


class Drawing(graphviz.Digraph):  # type: ignore[misc]
    """A ``graphviz.Digraph`` that also shows and renders itself if ``dot`` is not installed."""

    def pipe(self, format: str | None = None, *args: Any, encoding: str | None = None, **options: Any) -> Any:
        """Return the picture as bytes, or as text if given an ``encoding``; see :class:`graphviz.Digraph`."""
        if find_dot():
            content = super().pipe(format, *args, **options)
            content = centre_text(content) if (format or self.format) == "svg" else content
        else:
            content = layout(self.source, format or self.format, options.get("engine") or self.engine)
        return content.decode(encoding) if encoding else content

    def render(self, filename: Any = None, *args: Any, **options: Any) -> str:
        """Write DOT text and picture to files, and return the picture's path; see :class:`graphviz.Digraph`.

        Without ``dot``, the options that are understood are ``filename``, ``directory``, ``format``,
        ``outfile``, ``engine`` and ``cleanup``.
        """
        if find_dot():
            picture = Path(super().render(filename, *args, **options))
            if picture.suffix == ".svg":
                replace(picture, centre_text(picture.read_bytes()))
            return str(picture)
        unknown = set(options) - {"directory", "format", "outfile", "engine", "cleanup", "quiet"}
        if args or unknown:
            raise OptionError(
                f"render: without Graphviz's own dot, {sorted(unknown) or list(args)} is not understood"
            )
        outfile, directory = options.get("outfile"), options.get("directory")
        if outfile is not None and filename is None:
            filename = Path(outfile).with_suffix(".gv").name
            directory = directory or Path(outfile).parent
        source = self.save(filename, directory=directory)
        format = options.get("format") or (Path(outfile).suffix[1:] if outfile is not None else self.format)
        target = Path(outfile if outfile is not None else f"{source}.{format}")
        replace(target, layout(self.source, format, options.get("engine") or self.engine))
        if options.get("cleanup"):
            Path(source).unlink()
        return str(target)
