"""Pictures: the graph a Tensor was computed by, learning curves, digits, mistakes, weights, maps.

Drawings of graphs need nothing but this package (and, to become pictures, a layout engine: see
:func:`render_graph`); plots need matplotlib, which the extra ``plots`` installs. The slider of
:func:`browse` needs ipywidgets, which the extra ``widgets`` installs.
"""

from __future__ import annotations

from .animation import save_animation
from .browsing import browse
from .confusion import plot_confusion
from .curves import plot_history, plot_lines
from .drawing import draw_graph
from .images import plot_images, plot_mistakes, plot_weights
from .planes import plot_plane, plot_scatter
from .prediction import plot_prediction
from .rendering import render_graph

__all__ = [
    "browse",
    "draw_graph",
    "plot_confusion",
    "plot_history",
    "plot_images",
    "plot_lines",
    "plot_mistakes",
    "plot_plane",
    "plot_prediction",
    "plot_scatter",
    "plot_weights",
    "render_graph",
    "save_animation",
]
