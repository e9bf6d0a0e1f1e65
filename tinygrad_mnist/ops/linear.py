"""Products of vectors, matrices and tensors; sums of products in index notation are in ``einsum``.

Three are operations with rules: ``matmul``, ``dot``, and the ``linear`` layer of a network. All others are
defined in terms of these, as in NumPy's documentation.
"""

from __future__ import annotations

import math
import operator
import warnings
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from ..errors import OptionError, ShapeError
from ..graph import conjugate
from ..primitive import Sample, implements, primitive
from ..quiet import let_vanish
from ..typing import Array, NDArray
from .arguments import beside


@primitive(
    np.matmul,
    np.linalg.matmul,
    samples=[
        ((2, 3), (3, 4)),
        ((3,), (3,)),
        ((3,), (3, 2)),
        ((2, 3), (3,)),
        ((2, 1, 2, 3), (4, 3, 2)),
        ((4, 2, 3), (3, 2)),
        ((3,), (2, 3, 2)),
        ((2, 2, 3), (3,)),
        Sample((2, 3), (3, 2), complex=True),
    ],
    jvp="multilinear",
)
def matmul(a: Array, b: Array, /) -> Array:
    """Matrix product, over stacks of matrices; a 1-d operand is a row on the left, a column on the right."""
    return np.matmul(a, b)


def matmul_left_rule(g: Array, y: Array, a: Array, b: Array) -> Array:
    """``g @ b.T``, with the axes that a 1-d operand lacks inserted and removed again."""
    if b.ndim == 1:
        return np.expand_dims(g, -1) * b
    if a.ndim == 1:
        return np.squeeze(b @ np.expand_dims(g, -1), -1)
    return g @ np.swapaxes(b, -1, -2)


def matmul_right_rule(g: Array, y: Array, a: Array, b: Array) -> Array:
    """``a.T @ g``, summed over the whole stack at once if ``b`` is a single matrix."""
    if a.ndim == 1:
        return a * g if b.ndim == 1 else np.expand_dims(a, -1) * np.expand_dims(g, -2)
    if b.ndim == 1:
        return np.squeeze(np.swapaxes(a, -1, -2) @ np.expand_dims(g, -1), -1)
    if b.ndim == 2 and a.ndim > 2:
        return rows(a).T @ rows(g)
    return np.swapaxes(a, -1, -2) @ g


def rows(x: Array) -> Array:
    """``x`` as a matrix: all axes except the last are flattened into one."""
    return x if x.ndim == 2 else np.reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))


matmul.vjp(matmul_left_rule, matmul_right_rule)


@primitive(
    samples=[((2, 3), (4, 3), (4,)), ((1, 3), (4, 3), (4,)), ((3,), (2, 3), (2,)), ((2, 2, 3), (4, 3), (4,))]
)
@let_vanish
def linear(x: Array, weight: Array, bias: Array | None = None, /) -> Array:
    """``x @ weight.T + bias``: each row of ``weight`` holds the weights of one output.

    Examples
    --------
    >>> linear(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0], [5.0, 6.0]]), np.array([0.5, 0.0]))
    array([[11.5, 17. ]])
    """
    if x.ndim > 2:
        return np.reshape(linear(rows(x), weight, bias), (*x.shape[:-1], len(weight)))
    y = x @ weight.T
    if bias is None:
        return y
    if bias.dtype != y.dtype:
        return y + bias
    y += bias
    return y


def _times(x: Array, matrix: Array) -> Array:
    """``x @ matrix`` as one product: with more than two axes, matmul would compute many small ones."""
    if x.ndim <= 2:
        return x @ matrix
    return np.reshape(rows(x) @ matrix, (*x.shape[:-1], matrix.shape[-1]))


def linear_weight_rule(g: Array, y: Array, x: Array, weight: Array, bias: Array | None) -> Array:
    """``g.T @ x``. For a single row, dot calls BLAS, but matmul would use a slower loop."""
    g, x = rows(g), rows(x)
    return np.dot(g.T, x) if len(g) == 1 else g.T @ x


def linear_bias_rule(g: Array, y: Array, x: Array, weight: Array, bias: Array | None) -> Array:
    """The sum over the rows, as a product with ones: BLAS is up to eight times as fast as a reduction."""
    g = rows(g)
    return np.reshape(g, -1) if len(g) == 1 else beside(g, _ones(len(g), g.dtype)) @ g


@lru_cache(maxsize=64)
def _ones(n: int, dtype: Any) -> NDArray:
    """A vector of ones, the same array in every training step."""
    ones = np.ones(n, dtype)
    ones.flags.writeable = False
    return ones


linear.vjp(
    lambda g, y, x, weight, bias: _times(g, weight),
    linear_weight_rule,
    linear_bias_rule,
)
linear.tangents(
    lambda v, y, x, weight, bias: _times(v, weight.T),
    lambda v, y, x, weight, bias: _times(x, v.T),
    lambda v, y, x, weight, bias: v,
)


@primitive(
    np.dot,
    samples=[
        ((2, 3), (3, 2)),
        ((3,), (3,)),
        ((2, 3), (3,)),
        ((), (2, 2)),
        ((2, 2, 3), (2, 3, 4)),
        ((3,), (2, 3, 2)),
        Sample((2, 3), (3,), complex=True),
    ],
    jvp="multilinear",
)
def dot(a: Array, b: Array, /) -> Array:
    """Sum product over the last axis of ``a`` and the second to last of ``b``."""
    return np.dot(a, b)


def dot_left_rule(g: Array, y: Array, a: Array, b: Array) -> Array:
    """Up to two axes, the rule of matmul; beyond that, sum over the free axes of ``b``."""
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return g * b
    if b.ndim == 1:
        return np.expand_dims(g, -1) * b
    kept = b.ndim - 1
    return np.tensordot(g, np.moveaxis(b, -2, -1), (range(g.ndim - kept, g.ndim), range(kept)))


def dot_right_rule(g: Array, y: Array, a: Array, b: Array) -> Array:
    """Up to two axes, the rule of matmul; beyond that, sum over the free axes of ``a``."""
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return g * a
    free = a.ndim - 1
    product = np.tensordot(a, g, (range(free), range(free)))  # (contracted, b's free axes)
    return product if b.ndim == 1 else np.moveaxis(product, 0, -2)


dot.vjp(dot_left_rule, dot_right_rule)


# -- products of vectors -------------------------------------------------------------------------


@implements(
    np.inner, samples=[((3,), (3,)), ((2, 3), (4, 3)), ((), (2, 3)), Sample((2, 3), (3,), complex=True)]
)
def inner(a: Array, b: Array) -> Array:
    """Sum products over the last axes; complex numbers are not conjugated."""
    return np.tensordot(a, b, (-1, -1) if np.ndim(a) and np.ndim(b) else 0)


@implements(np.vdot, samples=[((3,), (3,)), ((2, 3), (6,)), ((), ()), Sample((2, 2), (2, 2), complex=True)])
def vdot(a: Array, b: Array) -> Array:
    """Sum product of all elements, with those of ``a`` conjugated."""
    return np.dot(conjugate(np.ravel(a)), np.ravel(b))


@implements(
    np.vecdot,
    np.linalg.vecdot,
    samples=[
        ((3,), (3,)),
        ((2, 1, 3), (4, 3)),
        Sample((3, 2), (3, 1), axis=0),
        Sample((2, 3), (3,), complex=True),
    ],
)
def vecdot(x1: Array, x2: Array, *, axis: int = -1, keepdims: bool = False) -> Array:
    """Dot products of the vectors along an axis, with those of ``x1`` conjugated."""
    left, right = (np.moveaxis(x, axis, -1) for x in (x1, x2))
    products = np.squeeze(np.expand_dims(conjugate(left), -2) @ np.expand_dims(right, -1), (-2, -1))
    return np.expand_dims(products, axis) if keepdims else products


def matvec(x1: Array, x2: Array) -> Array:
    """Multiply matrices by vectors, pairwise from two stacks."""
    return np.squeeze(np.matmul(x1, np.expand_dims(x2, -1)), -1)


def vecmat(x1: Array, x2: Array) -> Array:
    """Multiply vectors, conjugated, by matrices."""
    return np.squeeze(np.matmul(conjugate(np.expand_dims(x1, -2)), x2), -2)


if hasattr(np, "matvec"):  # since NumPy 2.2
    matvec = implements(
        np.matvec, samples=[((2, 3), (3,)), ((2, 2, 3), (4, 1, 3)), Sample((2, 3), (2, 3), complex=True)]
    )(matvec)
    vecmat = implements(
        np.vecmat, samples=[((3,), (3, 2)), ((4, 1, 3), (2, 3, 2)), Sample((2, 3), (3, 2), complex=True)]
    )(vecmat)


@implements(
    np.cross,
    samples=[
        ((3,), (3,)),
        ((2, 3), (3,)),
        Sample((3, 2), (2, 3), axisa=0, axisc=0),
        Sample((3, 2), (3, 1), axis=0),
    ],
)
def cross(
    a: Array, b: Array, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Array:
    """Vector product: ``a₁b₂ - a₂b₁`` and its cyclic permutations.

    Vectors with two dimensions count as vectors with three, the last of them 0. The product of two such
    vectors is only its last dimension. NumPy deprecates them.
    """
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = np.moveaxis(a, axisa, -1), np.moveaxis(b, axisb, -1)
    sizes = a.shape[-1], b.shape[-1]
    if not {2, 3}.issuperset(sizes):
        raise ShapeError(f"cross: vectors of {sizes[0]} and {sizes[1]} dimensions; a vector product takes 3")
    if 2 in sizes:
        warnings.warn(
            "cross: vectors of two dimensions are deprecated in NumPy 2.0", DeprecationWarning, stacklevel=3
        )
    a, b = (
        x if x.shape[-1] == 3 else np.concatenate([x, np.zeros_like(x[..., :1])], axis=-1) for x in (a, b)
    )
    c = np.roll(a, -1, -1) * np.roll(b, 1, -1) - np.roll(a, 1, -1) * np.roll(b, -1, -1)
    return c[..., 2] if sizes == (2, 2) else np.moveaxis(c, -1, axisc)


@implements(np.linalg.cross, samples=[((3,), (2, 3)), Sample((3, 2), (3, 2), axis=0)])
def _cross(x1: Array, x2: Array, /, *, axis: int = -1) -> Array:
    if (sizes := (np.shape(x1)[axis], np.shape(x2)[axis])) != (3, 3):
        raise ShapeError(f"cross: vectors of {sizes[0]} and {sizes[1]} dimensions; a vector product takes 3")
    return np.cross(x1, x2, axis=axis)


# -- products of tensors -------------------------------------------------------------------------


@implements(np.outer, samples=[((2,), (3,)), ((2, 2), (3,)), ((), (2,)), Sample((2,), (3,), complex=True)])
def outer(a: Array, b: Array) -> Array:
    """All products of an element of ``a`` with one of ``b``."""
    return np.reshape(a, (-1, 1)) * np.reshape(b, (1, -1))


@implements(np.linalg.outer, samples=[((2,), (3,))])
def _outer(x1: Array, x2: Array, /) -> Array:
    if np.ndim(x1) != 1 or np.ndim(x2) != 1:
        raise ShapeError(
            f"outer: shapes {np.shape(x1)} and {np.shape(x2)} are not those of vectors; np.outer takes any"
        )
    return outer(x1, x2)


@implements(
    np.kron, samples=[((2, 2), (2, 3)), ((2,), (3, 1, 2)), ((), (2,)), Sample((2, 1), (2,), complex=True)]
)
def kron(a: Array, b: Array) -> Array:
    """Put ``b``, multiplied by each element of ``a``, at the place of that element."""
    ndim = max(np.ndim(a), np.ndim(b))
    a_shape, b_shape = ((1,) * (ndim - len(shape)) + shape for shape in (np.shape(a), np.shape(b)))
    products = np.reshape(a, [n for size in a_shape for n in (size, 1)]) * np.reshape(
        b, [n for size in b_shape for n in (1, size)]
    )
    return np.reshape(products, [m * n for m, n in zip(a_shape, b_shape, strict=True)])


@implements(
    np.tensordot,
    np.linalg.tensordot,
    samples=[
        ((2, 3), (2, 3)),
        Sample((2, 3), (2,), axes=0),
        Sample((2, 3, 2), (4, 2, 3), axes=([0, 1], [1, -1])),
        Sample((2, 3), (3, 2), axes=1, complex=True),
    ],
)
def tensordot(a: Array, b: Array, axes: Any = 2) -> Array:
    """Sum products over any axes: reshape both operands to matrices and multiply these."""
    a, b = (x if hasattr(x, "ndim") else np.asarray(x) for x in (a, b))
    last, first = (range(-axes, 0), range(axes)) if isinstance(axes, (int, np.integer)) else axes
    (a_axes, a_free), (b_axes, b_free) = split_axes(last, a.ndim), split_axes(first, b.ndim)
    if [a.shape[n] for n in a_axes] != [b.shape[n] for n in b_axes]:
        raise ShapeError(
            f"tensordot: shapes {a.shape} and {b.shape} do not fit along axes {a_axes} and {b_axes}"
        )
    inner = math.prod(a.shape[n] for n in a_axes)
    left = np.reshape(np.transpose(a, a_free + a_axes), (math.prod(a.shape[n] for n in a_free), inner))
    right = np.reshape(np.transpose(b, b_axes + b_free), (inner, math.prod(b.shape[n] for n in b_free)))
    return np.reshape(left @ right, [a.shape[n] for n in a_free] + [b.shape[n] for n in b_free])


def split_axes(axes: Any, ndim: int) -> tuple[list[int], list[int]]:
    """The given axes, counted from the front, and all others."""
    chosen = [normalize_axis_index(int(n), ndim) for n in np.atleast_1d(axes)]
    return chosen, [n for n in range(ndim) if n not in chosen]


# -- products of many matrices -------------------------------------------------------------------


@implements(
    np.linalg.multi_dot,
    samples=[
        Sample((3, 2), (2, 4), prepare=lambda *arrays: (list(arrays),)),
        Sample((3,), (3, 2), (2, 4), (4,), prepare=lambda *arrays: (list(arrays),)),
        Sample((2, 3), (3, 1), (1, 4), (4, 2), prepare=lambda *arrays: (list(arrays),)),
    ],
)
def multi_dot(arrays: Sequence[Array]) -> Array:
    """Multiply a chain of matrices in the order that takes the fewest multiplications.

    The cheapest way to multiply matrices ``i`` to ``j`` is to cut the chain in two at the best place and to
    multiply each part in its own cheapest way.
    """
    count = len(arrays)
    if count < 2:
        raise OptionError(f"multi_dot: {count} arrays; pass at least two")
    shapes = [np.shape(a) for a in arrays]
    for i, shape in enumerate(shapes):
        if len(shape) != 2 and not (len(shape) == 1 and i in (0, count - 1)):
            raise np.linalg.LinAlgError(
                f"multi_dot: array {i} has shape {shape}; pass matrices; only the ends may be vectors"
            )
    sizes = [(1, *shapes[0])[-2], *(s[0] for s in shapes[1:]), (*shapes[-1], 1)[1]]
    cost, cut = {(i, i): 0 for i in range(count)}, {}
    for length in range(1, count):
        for i in range(count - length):
            j = i + length
            cost[i, j], cut[i, j] = min(
                (cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k) for k in range(i, j)
            )

    return _product(arrays, cut, 0, count - 1)


def _product(arrays: Sequence[Array], cut: dict[tuple[int, int], int], i: int, j: int) -> Array:
    """The product of the arrays from ``i`` to ``j``, cut in two at the cheapest place."""
    if i == j:
        return arrays[i]
    k = cut[i, j]
    return np.dot(_product(arrays, cut, i, k), _product(arrays, cut, k + 1, j))


@implements(
    np.linalg.matrix_power,
    samples=[
        Sample((2, 2), n=1),
        Sample((2, 2, 2), n=3),
        Sample((2, 2), n=-2),
        Sample((2, 2), n=6, complex=True),
    ],
)
def matrix_power(a: Array, n: int) -> Array:
    """Multiply a square matrix by itself: by squaring, once for each binary digit of ``n``."""
    try:
        n = operator.index(n)
    except TypeError:
        raise TypeError(f"matrix_power: the exponent must be an integer, not {n!r}") from None
    require_square("matrix_power", a)
    if n == 0:
        return np.zeros_like(a) + np.eye(a.shape[-1], dtype=a.dtype)
    base, n = (a, n) if n > 0 else (np.linalg.inv(a), -n)
    result = base if n % 2 else None
    while n := n // 2:
        base = base @ base
        if n % 2:
            result = base if result is None else result @ base
    return result


def require_square(name: str, a: Array) -> None:
    """Raise NumPy's error for anything that is not a square matrix or a stack of them."""
    if np.ndim(a) < 2 or a.shape[-1] != a.shape[-2]:
        raise np.linalg.LinAlgError(f"{name}: shape {np.shape(a)} is not a shape of square matrices")
