"""Points in two dimensions that belong to classes, and what a network makes of the whole plane."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import OptionError, choice
from ..graph import no_grad
from ..nn import MLP
from ..nn.functional import softmax
from ..nn.modes import evaluating
from ..typing import NDArray

__all__ = ["FEATURES", "KINDS", "REACH", "features_of", "make_points", "view"]

#: The plane that is shown goes from -REACH to REACH.
REACH = 3.0

#: What a network may see of a point.
FEATURES: dict[str, Callable[[NDArray, NDArray], NDArray]] = {
    "x": lambda x, y: x,
    "y": lambda x, y: y,
    "x²": lambda x, y: x * x / REACH,
    "y²": lambda x, y: y * y / REACH,
    "xy": lambda x, y: x * y / REACH,
    "sin x": lambda x, y: np.sin(2 * x),
    "sin y": lambda x, y: np.sin(2 * y),
}


def _moons(n: int, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    angle, c = rng.uniform(0, np.pi, n), np.arange(n) % 2
    x = np.where(c == 0, np.cos(angle), 1 - np.cos(angle)) - 0.5
    y = np.where(c == 0, np.sin(angle), 0.5 - np.sin(angle)) - 0.25
    return 1.6 * np.stack([x, y], 1), c


def _circles(n: int, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    angle, c = rng.uniform(0, 2 * np.pi, n), np.arange(n) % 2
    radius = np.where(c == 0, np.sqrt(rng.uniform(0, 1, n)), rng.uniform(1.7, 2.4, n))
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1), c


def _spirals(n: int, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    share, c = np.sqrt(rng.uniform(0.01, 1, n)), np.arange(n) % 2
    angle, radius = 3.2 * np.pi / 2 * share * 1.6 + np.pi * c, 2.5 * share
    return np.stack([radius * np.sin(angle), radius * np.cos(angle)], 1), c


def _xor(n: int, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    points = rng.uniform(0.15, 2.3, (n, 2)) * rng.choice([-1, 1], (n, 2))
    return points, (points[:, 0] * points[:, 1] < 0).astype(int)


def _clusters(n: int, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    c = np.arange(n) % 3
    angle = 2 * np.pi * c / 3 + np.pi / 2
    return 1.5 * np.stack([np.cos(angle), np.sin(angle)], 1) + 0.35 * rng.normal(size=(n, 2)), c


KINDS: dict[str, Callable[[int, np.random.Generator], tuple[NDArray, NDArray]]] = {
    "moons": _moons,
    "circles": _circles,
    "spirals": _spirals,
    "xor": _xor,
    "clusters": _clusters,
}


def make_points(kind: str, count: int, noise: float, seed: int) -> tuple[NDArray, NDArray]:
    """Make points of a kind.

    Parameters
    ----------
    kind : str
        A key of ``KINDS``.
    count : int
    noise : float
        The standard deviation of what is added to each coordinate; the plane is 6 wide.
    seed : int

    Returns
    -------
    points : ndarray of float32, shape (count, 2)
    classes : ndarray of int64, shape (count,)

    Examples
    --------
    >>> points, classes = make_points("circles", 100, 0, seed=0)
    >>> radius = np.hypot(*points.T)
    >>> radius[classes == 0].max() < 1.0001 < radius[classes == 1].min()
    np.True_
    """
    if kind not in KINDS:
        raise choice("kind of points", kind, KINDS)
    rng = np.random.default_rng(seed)
    points, classes = KINDS[kind](count, rng)
    return (points + noise * rng.normal(size=points.shape)).astype(np.float32), classes.astype(np.int64)


def features_of(points: NDArray, names: Sequence[str]) -> NDArray:
    """What a network sees of points.

    Examples
    --------
    >>> features_of(np.array([[3.0, 1.0]]), ["x", "xy"])
    array([[3., 1.]], dtype=float32)
    """
    if not names:
        raise OptionError("the network must see something; choose at least one input")
    for name in names:
        if name not in FEATURES:
            raise choice("input", name, FEATURES)
    return np.stack([FEATURES[name](points[:, 0], points[:, 1]) for name in names], 1).astype(np.float32)


def grid(side: int) -> NDArray:
    """The middles of the cells of the plane, row by row from the top; shape (side * side, 2)."""
    middles = (np.arange(side) + 0.5) / side * 2 * REACH - REACH
    x, y = np.meshgrid(middles, -middles)
    return np.stack([x.ravel(), y.ravel()], 1)


def view(model: MLP, names: Sequence[str], side: int, small: int) -> dict[str, Any]:
    """What a network makes of the plane.

    Parameters
    ----------
    model : MLP
    names : sequence of str
        Its inputs.
    side, small : int
        The cells of a side of the plane, and of each neuron's view.

    Returns
    -------
    dict
        ``shares``, shape (classes, side, side), the probabilities from 0 to 255; ``views``, for the inputs, each hidden
        layer and the outputs an array of shape (units, small, small), from 0 (the most negative) over 127.5 to 255;
        ``weights``, one array of shape (to, from) for each layer.
    """
    x: Any = features_of(grid(small), names)
    views = [_signs(x, small)]
    with evaluating(model), no_grad():
        layers = list(model)
        for layer, following in zip(layers, [*layers[1:], None], strict=True):
            x = layer(x)
            if not hasattr(layer, "weight") or following is None or hasattr(following, "weight"):
                views.append(_signs(np.asarray(x), small))
        outputs = np.asarray(model(features_of(grid(side), names)))
    shares = np.round(255 * softmax(outputs)).astype(np.uint8)
    return {
        "shares": np.ascontiguousarray(shares.T.reshape(-1, side, side)),
        "views": views,
        "weights": [p.data for p in model.parameters() if p.ndim == 2],
    }


def _signs(x: NDArray, side: int) -> NDArray:
    scale = np.maximum(np.abs(x).max(axis=0), 1e-6)
    return np.ascontiguousarray(
        np.round(127.5 + 127.5 * x / scale).astype(np.uint8).T.reshape(-1, side, side)
    )
