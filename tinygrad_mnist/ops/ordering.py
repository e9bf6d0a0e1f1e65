"""Functions that sort elements or pick some of them: sorting, sets, trimming.

Each result is an element of the input, and its gradient goes back to where it came from. Equal elements
keep their order, as in a stable sort.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from ..errors import choice
from ..primitive import REGISTRY, Constant, Sample, constant, implements, primitive
from ..tensor import Tensor
from ..typing import Array
from .arguments import array, plain
from .indexing import put_along

# -- sorting ---------------------------------------------------------------------------------------


@primitive(
    np.sort,
    samples=[
        Sample((5,)),
        Sample((2, 3), axis=0),
        Sample((2, 3), axis=None),
        Sample((2, 3), kind="stable"),
        Sample((3, 2), axis=0, stable=True, complex=True),
        Sample((0,)),
    ],
)
def sort(a: Array, /, axis: int | None = -1, kind: Any = None, *, stable: bool | None = None) -> Array:
    """Elements in ascending order along an axis; complex ones by their real parts first."""
    return np.sort(a, axis=axis, kind=kind, stable=stable)


@primitive(
    np.partition,
    samples=[
        Sample((5,), kth=2),
        Sample((2, 3), kth=1, axis=0),
        Sample((2, 3), kth=(1, -1), axis=None),
        Sample((4,), kth=1, complex=True),
    ],
)
def partition(a: Array, /, kth: Any, axis: int | None = -1, kind: Any = "introselect") -> Array:
    """Elements rearranged so that those at the places ``kth`` are where a sort would put them."""
    return np.partition(a, kth, axis=axis, kind=kind)


def follow(g: Array, y: Array, a: Array, axis: int | None, **settings: Any) -> Array:
    """Move the gradient of each element of ``y`` to its place in ``a``: k-th smallest to k-th smallest."""
    if axis is None:
        g, y, row = (np.reshape(x, -1) for x in (g, y, a))
        return np.reshape(follow(g, y, row, 0), a.shape)
    there, here = (np.argsort(x, axis=axis, kind="stable") for x in (y, a))
    return put_along(np.take_along_axis(g, there, axis), here, axis=axis, length=a.shape[axis])


for _arranged in (sort, partition):
    _arranged.vjp(follow).tangents(lambda v, y, a, axis, **settings: follow(v, a, y, axis))


@implements(np.sort_complex, samples=[Sample((2, 3)), Sample((3,), complex=True)])
def sort_complex(a: Array) -> Array:
    """Elements in ascending order along the last axis, as complex numbers."""
    return array(sort(a), np.sort_complex(np.empty(0, a.dtype)).dtype)


constant(np.argsort, np.argpartition, np.searchsorted, np.digitize, np.isin)


class ConstantOfMany(Constant):
    """A locally constant function whose arguments may hold Tensors at any depth."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Compute with plain arrays; the results are untracked Tensors."""
        return _tensors(self.forward(*_arrays(args), **_arrays(kwargs)))


def _arrays(x: Any) -> Any:
    if isinstance(x, Tensor):
        return x.data
    if isinstance(x, dict):
        return {key: _arrays(value) for key, value in x.items()}
    return type(x)(map(_arrays, x)) if type(x) in (list, tuple) else x


def _tensors(y: Any) -> Any:
    if isinstance(y, (np.ndarray, np.generic)):
        return Tensor(y)
    return type(y)(map(_tensors, y)) if type(y) in (list, tuple) else y


REGISTRY[np.lexsort] = ConstantOfMany(np.lexsort)

# -- sets: each value comes from the first place where it occurs -----------------------------------


def _twice(a: Array) -> tuple[Array]:
    return (np.concatenate([a, a]),)


def _two(a: Array) -> tuple[Array, Array]:
    return np.concatenate([a, a[:1]]), np.concatenate([[9.0], a[1:3]])


@implements(
    np.unique,
    samples=[
        Sample((2, 2), return_inverse=True),
        Sample((3,), prepare=_twice),
        Sample((2, 2), prepare=_twice, axis=0, return_index=True, return_counts=True),
    ],
)
def unique(
    ar: Array,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    **settings: Any,
) -> Any:
    """The distinct elements in order; the gradient of each goes to the first place where it occurs."""
    numpys: Any = np.unique
    _, index, *others = numpys(plain(ar), True, return_inverse, return_counts, axis, **settings)
    values = np.take(np.reshape(ar, -1) if axis is None else ar, index, axis=axis or 0)
    if not (return_index or others):
        return values
    return (values, *([Tensor(index)] if return_index else []), *map(Tensor, others))


def _of_array_api(function: Callable[..., Any]) -> Callable[..., Any]:
    """``unique_values`` and its variants, which return a named tuple unless they return only the values."""

    def distinct(x: Array) -> Any:
        every, result = np.unique_all(plain(x)), function(plain(x))
        values = result.values if isinstance(result, tuple) else result  # type: ignore[attr-defined]
        index = every.indices[np.searchsorted(every.values, values)]  # they may come in any order
        values = np.reshape(x, -1)[index]
        if not isinstance(result, tuple):
            return values
        fields = {name: Tensor(value) for name, value in result._asdict().items()}  # type: ignore[attr-defined]
        return type(result)(**fields | {"values": values})

    return distinct


for _function in (np.unique_values, np.unique_counts, np.unique_inverse, np.unique_all):
    implements(_function, samples=[Sample((3,), prepare=_twice), Sample((2, 2))])(_of_array_api(_function))


@implements(np.union1d, samples=[Sample((4,), prepare=_two)])
def union1d(ar1: Array, ar2: Array) -> Array:
    """The distinct elements of two arrays; an element that is in both comes from the first array."""
    return unique(np.concatenate([array(ar1), array(ar2)], axis=None))


@implements(
    np.intersect1d, samples=[Sample((4,), prepare=_two), Sample((4,), prepare=_two, return_indices=True)]
)
def intersect1d(ar1: Array, ar2: Array, assume_unique: bool = False, return_indices: bool = False) -> Any:
    """The distinct elements that are in both arrays, taken from the first."""
    ar1, ar2 = array(ar1), array(ar2)
    _, first, second = np.intersect1d(plain(ar1), plain(ar2), assume_unique, return_indices=True)
    # NumPy's index counts through both arrays, and may leave the first one if it repeats a value after all.
    values = np.concatenate([ar1, ar2], axis=None)[first]
    return (values, Tensor(first), Tensor(second)) if return_indices else values


@implements(np.setdiff1d, samples=[Sample((4,), prepare=_two), Sample((3,), (2,), assume_unique=True)])
def setdiff1d(ar1: Array, ar2: Array, assume_unique: bool = False) -> Array:
    """The distinct elements of the first array that are not in the second."""
    mine = np.reshape(array(ar1), -1) if assume_unique else unique(array(ar1))
    return mine[~np.isin(plain(mine), plain(array(ar2)), assume_unique=assume_unique)]


@implements(np.setxor1d, samples=[Sample((4,), prepare=_two)])
def setxor1d(ar1: Array, ar2: Array, assume_unique: bool = False) -> Array:
    """The distinct elements that are in one of two arrays and not in the other."""
    parts = [array(x) for x in (ar1, ar2)]
    both = np.concatenate([np.reshape(x, -1) if assume_unique else unique(x) for x in parts])
    values, counts = unique(both, return_counts=True)
    return values[counts.data == 1]


# -- trimming --------------------------------------------------------------------------------------


def _add_zeros(a: Array) -> tuple[Array]:
    return (np.concatenate([np.zeros(2), a, np.zeros(1)]),)


@implements(
    np.trim_zeros,
    samples=[Sample((3,), prepare=_add_zeros), Sample((3,), prepare=_add_zeros, trim="b")],
)
def trim_zeros(filt: Array, trim: str = "fb", axis: Any = None) -> Array:
    """``filt`` without the zeros at its front (``f``) or back (``b``)."""
    sides = trim.lower()
    if sides not in ("f", "b", "fb", "bf"):
        raise choice("trim", trim, ["f", "b", "fb"])
    axes = range(filt.ndim) if axis is None else normalize_axis_tuple(axis, filt.ndim)
    index = [slice(None)] * filt.ndim
    for i, places in enumerate(np.nonzero(np.atleast_1d(plain(filt)))):
        if not places.size:
            sides = "fb"
        if i in axes:
            start, stop = (int(places.min()), int(places.max()) + 1) if places.size else (0, 0)
            index[i] = slice(start if "f" in sides else None, stop if "b" in sides else None)
    return filt[tuple(index)]
