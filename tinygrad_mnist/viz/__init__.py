"""Pictures: the graph a Tensor was computed by, learning curves, digits, mistakes, weights.

Drawings of graphs need nothing but this package (and, to become pictures, a layout engine: see
:func:`render_graph`); plots need matplotlib, which the extra ``plots`` installs.
"""

from __future__ import annotations

from .confusion import plot_confusion
from .curves import plot_history, plot_lines
from .drawing import draw_graph
from .images import plot_images, plot_mistakes, plot_weights
from .rendering import render_graph

__all__ = [
    "draw_graph",
    "plot_confusion",
    "plot_history",
    "plot_images",
    "plot_lines",
    "plot_mistakes",
    "plot_weights",
    "render_graph",
]
