"""Linear interpolation between knots, differentiable with respect to the knots, too.

The line through the knots has a corner at each knot. The slope there is that of the segment on the right;
at the last knot, that of the segment on the left. :func:`numpy.interp` looks up values in the same way.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import OptionError, ShapeError
from ..primitive import Sample, implements, primitive
from ..typing import Array
from .arguments import lift
from .indexing import HOLE, scatter

_KNOTS = np.array([-1.5, -0.45, 0.65, 1.55])


@primitive(
    samples=[
        Sample((5,), _KNOTS, (4,)),
        Sample((2, 3), _KNOTS, (4,), (), ()),
        Sample((), _KNOTS, (4,)),
        Sample((3,), _KNOTS, np.array([1 + 2j, 3 - 1j, 0.5j, 2]), np.array(1 - 1j), None),
    ],
)
def interpolation(x: Array, xp: Array, fp: Array, left: Any = None, right: Any = None, /) -> Array:
    """The line through the knots ``(xp, fp)`` at ``x``; outside of the knots, ``left`` and ``right``."""
    left, right = (side.item() if hasattr(side, "item") else side for side in (left, right))
    return np.interp(x, xp, fp, left, right)


def find_knots(x: Array, xp: Array) -> tuple[Array, Array, Array]:
    """For each ``x``, the two knots around it, and its position between them: 0 at the first, 1 at the second.

    An ``x`` on a knot belongs to the segment on its right, but on the last knot to the segment on its left.
    An ``x`` outside belongs only to the nearest knot, and NaN to any.
    """
    last = len(xp) - 1
    i = np.clip(np.searchsorted(xp, x, side="right") - 1, 0, max(last - 1, 0))
    j = np.minimum(i + 1, last)
    width = xp[j] - xp[i]
    place = np.where((width == 0) | np.isnan(x), x >= xp[j], (x - xp[i]) / (width + (width == 0)))
    return i, j, np.clip(place, 0, 1)


def slope_at(x: Array, xp: Array, fp: Array) -> Array:
    """The slope of the segment to which ``x`` belongs; 0 outside, and where two knots coincide."""
    i, j, _ = find_knots(x, xp)
    width = xp[j] - xp[i]
    is_inside = (x >= xp[0]) & (x <= xp[-1]) & (width > 0)
    return np.where(is_inside, (fp[j] - fp[i]) / (width + (width == 0)), 0)


def hand_out(g: Array, x: Array, xp: Array) -> Array:
    """Distribute ``g`` to the two knots around each ``x``, more to the nearer one; nothing for NaN."""
    i, j, place = find_knots(x, xp)
    g = np.where(np.isnan(x), 0, g)
    near, far = (
        scatter(part, index, index=HOLE, shape=xp.shape)
        for part, index in ((g * (1 - place), i), (g * place, j))
    )
    return near + far


def interpolation_fp_rule(g: Array, y: Array, x: Array, xp: Array, fp: Array, left: Any, right: Any) -> Array:
    """``g`` distributed to the knots, except where ``left`` or ``right`` replaced them."""
    if left is not None:
        g = np.where(x < xp[0], 0, g)
    if right is not None:
        g = np.where(x > xp[-1], 0, g)
    return hand_out(g, x, xp)


interpolation.vjp(
    lambda g, y, x, xp, fp, left, right: g * slope_at(x, xp, fp),
    lambda g, y, x, xp, fp, left, right: hand_out(-g * slope_at(x, xp, fp), x, xp),
    interpolation_fp_rule,
    lambda g, y, x, xp, fp, left, right: np.where(x < xp[0], g, 0),
    lambda g, y, x, xp, fp, left, right: np.where(x > xp[-1], g, 0),
)


@implements(
    np.interp,
    samples=[
        Sample((5,), _KNOTS, (4,), left=-3.0),
        Sample((5,), np.array([3.0, 0.2, 1.1]), (3,), period=2.5),
        Sample((3,), np.array([3.0, 0.2, 1.1]), np.array([1 + 2j, 3 - 1j, 0.5j]), period=-2.5),
    ],
)
def interp(x: Array, xp: Array, fp: Array, left: Any = None, right: Any = None, period: Any = None) -> Array:
    """Linear interpolation; with a period, the first and the last knot are repeated."""
    x, xp, fp = map(lift, (x, xp, fp))
    if period is None:
        return interpolation(x, xp, fp, left, right)
    if period == 0:
        raise OptionError("interp: period=0; it must not be zero")
    if xp.ndim != 1 or xp.shape != fp.shape:
        raise ShapeError(
            f"interp: knots of shapes {xp.shape} and {fp.shape}; pass two sequences of equal length"
        )
    period = abs(period)
    x, xp = x.astype(np.float64) % period, xp.astype(np.float64) % period
    order = np.argsort(xp)
    xp, fp = xp[order], fp[order].astype(np.complex128 if fp.dtype.kind == "c" else np.float64)
    xp = np.concatenate([xp[-1:] - period, xp, xp[:1] + period])
    return interpolation(x, xp, np.concatenate([fp[-1:], fp, fp[:1]]))
