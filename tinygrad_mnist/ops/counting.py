"""Counts: how often each number occurs, and how many values lie in each bin.

Counts are constant. With weights, the result is a sum of weights, which has a gradient.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from ..errors import DTypeError, GradientError, ShapeError
from ..primitive import REGISTRY, Sample, implements, primitive
from ..tensor import Tensor
from ..typing import Array, NDArray
from .arguments import array, is_tracked, lift, plain
from .indexing import HOLE, scatter
from .ordering import ConstantOfMany


@primitive(samples=[Sample((4,), np.array([0, 2, 2, 4]), minlength=7)], jvp="linear")
def bin_sums(weights: Array, x: NDArray, /, minlength: int = 0) -> Array:
    """For each number, the sum of the weights of the elements that have it."""
    return np.bincount(x, weights, minlength)


bin_sums.vjp(lambda g, y, weights, x, minlength: g[x], None)


@implements(
    np.bincount,
    samples=[
        Sample((4,), prepare=lambda w: (np.array([0, 2, 2, 4]), w)),
        Sample((3,), prepare=lambda w: (np.array([1, 1, 0]), w, 4)),
    ],
)
def bincount(x: Array, weights: Any = None, minlength: int = 0) -> Array:
    """How often each integer occurs, or the sum of its weights."""
    x = np.zeros(0, np.intp) if isinstance(x, list) and not x else plain(x)
    if weights is None:
        return Tensor(np.bincount(x, minlength=minlength))
    weights = array(weights)
    if not np.can_cast(weights.dtype, np.float64):
        raise DTypeError(f"bincount: weights are summed in float64, which cannot hold {weights.dtype}")
    if weights.shape != np.shape(x):
        raise ShapeError(f"bincount: weights of shape {weights.shape} for {np.shape(x)} integers")
    return bin_sums(lift(array(weights, np.float64)), x, minlength=minlength)


@implements(
    np.histogram,
    samples=[
        Sample((4,), prepare=lambda w: ([0.1, 2.0, 0.5, 2.5], 3, (0, 2), None, w)),
        Sample((4,), domain=(0.2, 2.0), prepare=lambda w: ([0.1, 2.0, 0.5, 2.5], [0, 1, 2.5], None, True, w)),
        Sample((3,), prepare=lambda w: ([0.1, 2.0, 0.5], 2, None, None, w), complex=True),
    ],
)
def histogram(
    a: Array, bins: Any = 10, range: Any = None, density: bool | None = None, weights: Any = None
) -> tuple[Array, Array]:
    """Counts for each bin, which are constant, or sums of weights, which have a gradient; edges have none."""
    if not isinstance(weights, Tensor):
        counts, edges = _counts(a, bins, range, density, weights)
        return counts, edges
    if weights.shape != np.shape(a):
        raise ShapeError(f"histogram: weights of shape {weights.shape} for values of shape {np.shape(a)}")
    bins = plain(bins) if isinstance(bins, Tensor) else bins
    edges = np.histogram_bin_edges(plain(a), bins, range, weights.data)
    values, n = np.reshape(plain(a), -1), edges.size - 1
    inside = (values >= edges[0]) & (values <= edges[-1])
    # The last bin is closed. Values outside add nothing to the first.
    places = np.where(inside, np.minimum(np.searchsorted(edges, values, "right"), n) - 1, 0)
    chosen = np.where(inside, np.reshape(weights, -1), 0)
    wide = np.complex128 if weights.dtype.kind == "c" else np.float64
    y = array(scatter(array(chosen, wide), places, index=HOLE, shape=(n,)), weights.dtype)
    return (y / np.diff(edges).astype(np.float64) / np.sum(y) if density else y), Tensor(edges)


class Counts(ConstantOfMany):
    """A function that counts, and has no gradient rule for weights."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Compute, unless that would lose the gradient of weights."""
        weights = inspect.signature(self.forward).bind(*args, **kwargs).arguments.get("weights")
        if is_tracked(weights):
            raise GradientError(
                f"{self.name}: the weights are tracked, and only np.histogram and np.bincount have a "
                "gradient for weights; pass weights.detach()"
            )
        return super().__call__(*args, **kwargs)


_counts = ConstantOfMany(np.histogram)
for _function in (np.histogram2d, np.histogramdd, np.histogram_bin_edges):
    REGISTRY[_function] = Counts(_function)
