"""Functions that select: elements by a condition, or for each place one of several arrays.

The gradient goes to what was selected, and zero to all else, whatever its value: what is not
selected may be infinite or NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..primitive import Sample, implements, primitive
from ..tensor import Tensor, refuse
from ..typing import Array, NDArray
from .arguments import bare, gather, lift, plain
from .indexing import inside

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
    unused = first if isinstance(first, (int, float, complex)) else np.zeros((), first.dtype)
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
    which = np.asarray(bare(a)).astype(np.intp, casting="safe")
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
    """Each function on the elements for which its condition holds; one more, on all the others."""
    x = lift(x)
    conditions = bare(condlist)
    first = conditions if np.isscalar(conditions) else conditions[0]
    if np.isscalar(conditions) or (np.ndim(first) == 0 and x.ndim):
        conditions = [conditions]  # a single one
    conditions = np.asarray([bare(condition) for condition in conditions], bool)
    if len(conditions) == len(funclist) - 1:
        conditions = np.concatenate([conditions, ~np.any(conditions, axis=0, keepdims=True)])
    if len(conditions) != len(funclist):
        raise ValueError(
            f"piecewise: {len(funclist)} functions for {len(conditions)} conditions; one for each, and perhaps one more"
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
        raise ValueError(f"compress: a condition of shape {condition.shape}; it has to have one axis")
    return np.take(lift(a), np.flatnonzero(condition), axis=axis)


@implements(np.extract, samples=[Sample((2, 3), prepare=lambda a: (_MASK, a), complex=True)])
def extract(condition: Any, arr: Any) -> Array:
    """The elements for which a condition holds, in one row."""
    return np.take(np.ravel(lift(arr)), np.flatnonzero(bare(condition)))
