"""Pictures: the graph that computed a Tensor, learning curves, digits, mistakes, weights, maps.

Drawings of graphs need only this package (and a layout engine to become pictures: see
:func:`render_graph`). Plots need matplotlib, which the extra ``plots`` installs. The slider of
:func:`browse` needs ipywidgets, which the extra ``widgets`` installs.
"""

from __future__ import annotations

from .graph.drawing import draw_graph
from .graph.rendering import render_graph
from .plots.animation import save_animation
from .plots.browsing import browse
from .plots.confusion import plot_confusion
from .plots.curves import plot_history, plot_lines
from .plots.features import plot_feature_maps
from .plots.images import plot_images, plot_mistakes, plot_weights
from .plots.planes import plot_plane, plot_scatter
from .plots.prediction import plot_prediction
from .steps.player import StepThrough, step_through

__all__ = [
    "StepThrough",
    "browse",
    "draw_graph",
    "plot_confusion",
    "plot_feature_maps",
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
    "step_through",
]


def __dir__() -> list[str]:
    return __all__
