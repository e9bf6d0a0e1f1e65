"""What the channels of each convolution see of an image."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import CALLED, _set, no_grad
from ..tensor import Tensor
from ..typing import NDArray
from .layers import Conv2d
from .modes import evaluating
from .module import Module

__all__ = ["feature_maps"]


def feature_maps(model: Module, images: Any) -> dict[str, NDArray]:
    """Return the maps that each convolution of a model hands to the next one: after its norm, ReLU and pool.

    A pool that leaves one pixel of each map leaves nothing to look at, and does not count.

    Parameters
    ----------
    model : Module
        It is in ``eval()`` mode meanwhile. Only :class:`Conv2d` counts.
    images : array_like
        A batch, as the model takes it.

    Returns
    -------
    dict
        For each convolution, its place in the model and its maps, of shape (N, channels, height, width).

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> nn = tg.nn
    >>> model = nn.Sequential(nn.Conv2d(1, 4, 3, rng=0), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 8, 3, rng=0))
    >>> {name: maps.shape for name, maps in feature_maps(model, np.zeros((1, 1, 12, 12), np.float32)).items()}
    {'0': (1, 4, 5, 5), '3': (1, 8, 3, 3)}
    """
    names = {id(module): name for name, module in model.named_modules()}
    found: dict[str, NDArray] = {}
    last: list[str] = []

    def watch(module: Module) -> Any:
        if isinstance(module, Conv2d):
            last[:] = [names[id(module)]]

        def keep(output: Any) -> None:
            is_map = isinstance(output, (np.ndarray, Tensor)) and output.ndim == 4
            if last and is_map and (last[0] not in found or output.shape[2:] != (1, 1)):
                found[last[0]] = np.array(output.data if isinstance(output, Tensor) else output)

        return keep

    with evaluating(model), no_grad(), _set(CALLED, watch):
        model(images)
    return found
