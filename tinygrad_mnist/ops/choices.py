"""Functions that choose, element by element: the larger, the smaller, one or the other.

The gradient goes to what was chosen. At a tie of ``maximum`` each side gets half, and at its bounds
``clip`` passes the gradient to its first argument, as in PyTorch.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import OptionError
from ..primitive import Sample, elementwise, implements, primitive
from ..typing import Array


def share(is_chosen: Array, is_tied: Array, g: Array) -> Array:
    """``g`` where the argument was chosen, half of it where both are equal, 0 elsewhere."""
    return g * np.where(is_tied, g.dtype.type(0.5), is_chosen)


elementwise(np.maximum).vjp(
    lambda g, y, a, b: share(a > b, a == b, g),
    lambda g, y, a, b: share(b > a, a == b, g),
)
elementwise(np.minimum).vjp(
    lambda g, y, a, b: share(a < b, a == b, g),
    lambda g, y, a, b: share(b < a, a == b, g),
)
elementwise(np.fmax).vjp(
    lambda g, y, a, b: share((a > b) | np.isnan(b), a == b, g),
    lambda g, y, a, b: share((b > a) | np.isnan(a), a == b, g),
)
elementwise(np.fmin).vjp(
    lambda g, y, a, b: share((a < b) | np.isnan(b), a == b, g),
    lambda g, y, a, b: share((b < a) | np.isnan(a), a == b, g),
)


@primitive(
    samples=[
        Sample(np.array([[True, False, True], [False, False, True]]), (2, 3), (3,)),
        Sample(np.array([True, False]), (), (3, 1)),
    ],
    jvp="elementwise",
)
def where(condition: Array, a: Array, b: Array, /) -> Array:
    """``a`` where the condition holds, ``b`` elsewhere, with broadcasting."""
    return np.where(condition, a, b)


where.vjp(
    None,
    lambda g, y, condition, a, b: np.where(condition, g, 0),
    lambda g, y, condition, a, b: np.where(condition, 0, g),
)


@primitive(
    samples=[
        Sample((3, 4), np.array(-0.51), np.array(1.01)),
        Sample((3, 4), (4,), None),
        Sample((2, 2), None, (2, 1)),
    ],
    jvp="elementwise",
)
def clip(a: Array, a_min: Array | None = None, a_max: Array | None = None, /) -> Array:
    """``a`` limited to the interval ``[a_min, a_max]``; at a bound the gradient passes to ``a``."""
    return np.clip(a, a_min, a_max)


def _below(a: Array, a_min: Array | None) -> Array:
    return False if a_min is None else a < a_min


def _above(a: Array, a_min: Array | None, a_max: Array | None) -> Array:
    # NumPy clips from below first: what a_min raised above a_max ends at a_max.
    return False if a_max is None else (a > a_max if a_min is None else np.maximum(a, a_min) > a_max)


clip.vjp(
    lambda g, y, a, low, high: np.where(_below(a, low) | _above(a, low, high), 0, g),
    lambda g, y, a, low, high: np.where(_below(a, low) & ~np.asarray(_above(a, low, high), bool), g, 0),
    lambda g, y, a, low, high: np.where(_above(a, low, high), g, 0),
)


@implements(
    np.where,
    samples=[
        Sample(np.array([True, False]), (), (3, 1)),
        Sample(np.array([True, False]), (), (2,), complex=True),
    ],
)
def _where(condition: Array, *choices: Array) -> Any:
    if len(choices) not in (0, 2):
        raise OptionError(
            f"where: {len(choices)} choices were given; pass both, or none to find where it holds"
        )
    return where(condition, *choices) if choices else np.nonzero(condition)


@implements(
    np.clip,
    samples=[Sample((3, 4), -0.51, 1.01), Sample((3, 4), 0.11, None), Sample((3, 4), (4,), np.full(4, 2.0))],
)
def _clip(a: Array, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Array:
    if (a_min is not None and min is not None) or (a_max is not None and max is not None):
        raise OptionError(
            "clip: a bound is given twice; a_min= and min= are the same, and so are a_max= and max="
        )
    return clip(a, a_min if min is None else min, a_max if max is None else max)
