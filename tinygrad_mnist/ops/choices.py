"""Functions that choose: the larger or the smaller, one of several arrays at each place, elements by a condition.

The gradient goes to the chosen elements and is zero for all others, whatever their value: they may be
infinite or NaN. At a tie of ``maximum``, each side gets half. At its bounds, ``clip`` passes the gradient
to its first argument, as in PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import OptionError
from ..operands import asarray
from ..primitive import Sample, elementwise, implements, primitive
from ..tensor import Tensor, refuse
from ..typing import Array, NDArray
from .arguments import bare, gather, lift, plain
from .indexing import inside


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
    # NumPy clips from below first: an element that a_min raised above a_max ends at a_max.
    return False if a_max is None else (a > a_max if a_min is None else np.maximum(a, a_min) > a_max)


clip.vjp(
    lambda g, y, a, low, high: np.where(_below(a, low) | _above(a, low, high), 0, g),
    lambda g, y, a, low, high: np.where(_below(a, low) & ~asarray(_above(a, low, high), bool), g, 0),
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
            f"where: {len(choices)} choices were given; pass both, or none to get the places where it holds"
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


_WHICH, _MASK = np.array([[0, 2, 1], [1, 1, 2]]), np.array([[True, False, True], [False, False, True]])


@primitive(
    samples=[
        Sample(_WHICH, (2, 3), (3,), ()),
        Sample(np.array([1, 0]), (3, 1), (), complex=True),
    ],
    jvp="elementwise",
)
def choose(which: NDArray, /, *choices: Array) -> Array:
    """At each place the element of ``choices[which]``, with broadcasting."""
    first: Any = choices[0]
    unused = first if isinstance(first, (int, float, complex)) else np.zeros_like(first, shape=())
    return np.select([which == i for i in range(len(choices))], choices, unused)


choose.vjp(each=lambda i, g, y, which, *choices: np.where(which == i - 1, g, 0))


@implements(
    np.choose,
    samples=[
        Sample(_WHICH, (2, 3), (3,), (), prepare=lambda which, *choices: (which, list(choices))),
        Sample(_WHICH, (3, 2, 3), complex=True),
        Sample(np.array([7, -1]), (3, 2), mode="wrap"),
        Sample(np.array([7, -1]), (3, 2), mode="clip"),
    ],
)
def _choose(a: Any, choices: Any, out: Any = None, mode: Any = "raise") -> Array:
    which = asarray(bare(a)).astype(np.intp, casting="safe")
    which, parts = inside(which, len(choices), mode), [gather(part) for part in choices]
    brief = f"choose: there are {len(parts)} choices, from 0"
    refuse(
        np.any((which < 0) | (which >= len(parts))),
        lambda: ValueError(f"{brief}; asked for {which.min()} to {which.max()}"),
        brief,
    )
    return choose(which, *parts)


@implements(
    np.select,
    samples=[
        Sample(_MASK, ~_MASK[0], (2, 3), (3,), (), prepare=lambda c, d, a, b, e: ([c, d], [a, b], e)),
        Sample(_MASK[0], (3,), prepare=lambda c, a: ([c], [a]), complex=True),
    ],
)
def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Array:
    """At each place the choice that belongs to the first condition that holds."""
    conditions = [plain(condition) for condition in condlist]
    which = np.select(conditions, range(len(choicelist)), len(choicelist))
    return choose(which, *map(gather, (*choicelist, default)))


@implements(
    np.piecewise,
    samples=[
        Sample(np.linspace(-1.0, 1.0, 6), prepare=lambda x: (x, [x < 0, x > 0.5], [np.exp, np.square, 2.0])),
        Sample((3,), (), prepare=lambda x, s: (x, x > 0, [lambda v, k: s * v**k, lambda v, k: v], 3)),
        Sample((), prepare=lambda x: (x, [x < 5], [np.sin])),
    ],
)
def piecewise(
    x: Any, condlist: Any, funclist: Sequence[Callable[..., Any] | Any], *args: Any, **kw: Any
) -> Array:
    """Each function applied where its condition holds; one more function, where no condition holds."""
    x = lift(x)
    conditions = bare(condlist)
    first = conditions if np.isscalar(conditions) else conditions[0]
    if np.isscalar(conditions) or (np.ndim(first) == 0 and x.ndim):
        conditions = [conditions]  # a single condition
    conditions = np.asarray([bare(condition) for condition in conditions], bool)
    if len(conditions) == len(funclist) - 1:
        conditions = np.concatenate([conditions, ~np.any(conditions, axis=0, keepdims=True)])
    if len(conditions) != len(funclist):
        raise ValueError(
            f"piecewise: {len(funclist)} functions for {len(conditions)} conditions; pass one each, or one more"
        )
    y = Tensor(np.zeros_like(x.data))
    for condition, function in zip(conditions, funclist, strict=True):
        if not callable(function):
            y[condition] = function
        elif condition.any():
            y[condition] = function(x[condition], *args, **kw)
    return y


@implements(
    np.compress,
    samples=[
        Sample((2, 3), prepare=lambda a: ([True, False, True], a), axis=1),
        Sample((2, 3), prepare=lambda a: (np.array([0, 1, 1, 0, 1]), a), complex=True),
    ],
)
def compress(condition: Any, a: Any, axis: int | None = None, out: Any = None) -> Array:
    """The slices along an axis for which a condition holds."""
    condition = np.asarray(bare(condition))
    if condition.ndim != 1:
        raise ValueError(f"compress: a condition of shape {condition.shape}; it must have one axis")
    return np.take(lift(a), np.flatnonzero(condition), axis=axis)


@implements(np.extract, samples=[Sample((2, 3), prepare=lambda a: (_MASK, a), complex=True)])
def extract(condition: Any, arr: Any) -> Array:
    """The elements for which a condition holds, as a vector."""
    return np.take(np.ravel(lift(arr)), np.flatnonzero(bare(condition)))
