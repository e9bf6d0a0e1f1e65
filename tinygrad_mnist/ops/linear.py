"""Products of vectors and matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import ShapeError
from ..primitive import Sample, implements, primitive
from ..typing import Array


@primitive(
    np.matmul,
    samples=[
        ((2, 3), (3, 4)),
        ((3,), (3,)),
        ((3,), (3, 2)),
        ((2, 3), (3,)),
        ((2, 1, 2, 3), (4, 3, 2)),
        ((4, 2, 3), (3, 2)),
        ((3,), (2, 3, 2)),
        ((2, 2, 3), (3,)),
    ],
)
def matmul(a: Array, b: Array, /) -> Array:
    """Matrix product, over stacks of matrices; a 1-d operand is a row on the left, a column on the right."""
    return np.matmul(a, b)


def matmul_left_rule(g: Array, y: Array, a: Array, b: Array) -> Array:
    """``g @ b.T``, with the axes a 1-d operand lacks put in and taken out again."""
    if b.ndim == 1:
        return np.expand_dims(g, -1) * b
    if a.ndim == 1:
        return np.squeeze(b @ np.expand_dims(g, -1), -1)
    return g @ np.swapaxes(b, -1, -2)


def matmul_right_rule(g: Array, y: Array, a: Array, b: Array) -> Array:
    """``a.T @ g``, summed at once over the stack where ``b`` is a single matrix."""
    if a.ndim == 1:
        return a * g if b.ndim == 1 else np.expand_dims(a, -1) * np.expand_dims(g, -2)
    if b.ndim == 1:
        return np.squeeze(np.swapaxes(a, -1, -2) @ np.expand_dims(g, -1), -1)
    if b.ndim == 2 and a.ndim > 2:
        return rows(a).T @ rows(g)
    return np.swapaxes(a, -1, -2) @ g


def rows(x: Array) -> Array:
    """``x`` as a matrix: all axes but the last in one."""
    return x if x.ndim == 2 else np.reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))


matmul.vjp(matmul_left_rule, matmul_right_rule)


@primitive(
    samples=[((2, 3), (4, 3), (4,)), ((1, 3), (4, 3), (4,)), ((3,), (2, 3), (2,)), ((2, 2, 3), (4, 3), (4,))]
)
def linear(x: Array, weight: Array, bias: Array | None = None, /) -> Array:
    """``x @ weight.T + bias``: each row of ``weight`` holds the weights of one output."""
    y = x @ weight.T
    if bias is None:
        return y
    if bias.dtype != y.dtype:
        return y + bias
    y += bias
    return y


def linear_weight_rule(g: Array, y: Array, x: Array, weight: Array, bias: Array | None) -> Array:
    """``g.T @ x``. For a single row, dot calls BLAS where matmul would use a slower loop of its own."""
    g, x = rows(g), rows(x)
    return np.dot(g.T, x) if len(g) == 1 else g.T @ x


def linear_bias_rule(g: Array, y: Array, x: Array, weight: Array, bias: Array | None) -> Array:
    """The sum over the rows, as a product with ones: BLAS is up to eight times as fast as a reduction."""
    g = rows(g)
    return np.reshape(g, -1) if len(g) == 1 else np.ones(len(g), g.dtype) @ g


linear.vjp(
    lambda g, y, x, weight, bias: g @ weight,
    linear_weight_rule,
    linear_bias_rule,
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
    ],
)
def dot(a: Array, b: Array, /) -> Array:
    """Sum product over the last axis of ``a`` and the last but one of ``b``."""
    return np.dot(a, b)


def dot_left_rule(g: Array, y: Array, a: Array, b: Array) -> Array:
    """As for matmul up to two axes; the free axes of ``b`` are summed beyond."""
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return g * b
    if b.ndim == 1:
        return np.expand_dims(g, -1) * b
    kept = b.ndim - 1
    return np.tensordot(g, np.moveaxis(b, -2, -1), (range(g.ndim - kept, g.ndim), range(kept)))


def dot_right_rule(g: Array, y: Array, a: Array, b: Array) -> Array:
    """As for matmul up to two axes; the free axes of ``a`` are summed beyond."""
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return g * a
    free = a.ndim - 1
    product = np.tensordot(a, g, (range(free), range(free)))  # (contracted, b's free axes)
    return product if b.ndim == 1 else np.moveaxis(product, 0, -2)


dot.vjp(dot_left_rule, dot_right_rule)


@implements(np.tensordot)
def tensordot(a: Array, b: Array, axes: Any = 2) -> Array:
    """Sum product over any axes: both operands as matrices, multiplied."""
    a, b = (x if hasattr(x, "ndim") else np.asarray(x) for x in (a, b))
    a_axes: list[int]
    b_axes: list[int]
    if isinstance(axes, (int, np.integer)):
        a_axes, b_axes = list(range(a.ndim - axes, a.ndim)), list(range(axes))
    else:
        a_axes, b_axes = ([int(i) for i in np.atleast_1d(n)] for n in axes)
        a_axes, b_axes = [n % a.ndim for n in a_axes], [n % b.ndim for n in b_axes]
    a_free = [n for n in range(a.ndim) if n not in a_axes]
    b_free = [n for n in range(b.ndim) if n not in b_axes]
    if [a.shape[n] for n in a_axes] != [b.shape[n] for n in b_axes]:
        raise ShapeError(
            f"tensordot: shapes {a.shape} and {b.shape} do not fit along axes {a_axes} and {b_axes}"
        )
    inner = math.prod(a.shape[n] for n in a_axes)
    left = np.reshape(np.transpose(a, a_free + a_axes), (math.prod(a.shape[n] for n in a_free), inner))
    right = np.reshape(np.transpose(b, b_axes + b_free), (inner, math.prod(b.shape[n] for n in b_free)))
    return np.reshape(left @ right, [a.shape[n] for n in a_free] + [b.shape[n] for n in b_free])


@implements(np.outer)
def outer(a: Array, b: Array) -> Array:
    """All products of an element of ``a`` with one of ``b``."""
    return np.reshape(a, (-1, 1)) * np.reshape(b, (1, -1))


@primitive(
    samples=[
        Sample((2, 3), (3, 4), subscripts="ij,jk->ik"),
        Sample((3,), subscripts="i->"),
        Sample((3, 3), subscripts="ii->i"),
        Sample((3, 3), subscripts="ii"),
        Sample((2, 3), subscripts="ij->j"),
        Sample((2, 3), (3,), (2,), subscripts="ij,j,i->"),
        Sample((2, 2, 3), (2, 3, 4), subscripts="bij,bjk->bik"),
        Sample((4, 2, 3), (3, 2), subscripts="...ij,jk->...ik"),
        Sample((2, 3, 4), (4,), subscripts="i...j,j->...i"),
        Sample((2, 3), (2, 3), subscripts="ij,ij->ij"),
    ]
)
def einsum(*operands: Array, subscripts: str, optimize: Any = False) -> Array:
    """Sum of products, by Einstein's notation."""
    return np.einsum(subscripts, *operands, optimize=optimize)


def einsum_rule(i: int, g: Array, y: Array, *operands: Array, subscripts: str, optimize: Any) -> Array:
    """Exchange the roles of the result and operand ``i``: the gradient is again such a sum.

    Two things an operand can do have no counterpart in a result. An index that occurs in this
    operand alone was summed away: a vector of ones stretches the gradient along it. An index that
    occurs twice walks a diagonal: an identity matrix puts the gradient back onto it.
    """
    inputs, output = _explicit(subscripts, [x.ndim for x in operands])
    mine, shape = inputs[i], operands[i].shape
    terms = [(output, g)] + [(s, x) for k, (s, x) in enumerate(zip(inputs, operands, strict=True)) if k != i]
    unused = iter(sorted(set(_LETTERS) - set("".join(inputs) + output)))
    target = ""
    for letter, size in zip(mine, shape, strict=True):
        if letter in target:
            fresh = next(unused)
            terms.append((letter + fresh, np.eye(size, dtype=g.dtype)))
            target += fresh
        else:
            target += letter
            if all(letter not in s for s, _ in terms):
                terms.append((letter, np.ones(size, g.dtype)))
    names = ",".join(s for s, _ in terms) + "->" + target
    return np.einsum(names, *(x for _, x in terms), optimize=optimize)


_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def _explicit(subscripts: str, ndims: Sequence[int]) -> tuple[list[str], str]:
    """Spell an expression out: a letter for every axis an ellipsis stands for, and the result named."""
    left, arrow, output = subscripts.replace(" ", "").partition("->")
    inputs = left.split(",")
    unused = [c for c in _LETTERS if c not in subscripts]
    longest = max(
        n - len(s.replace("...", "")) if "..." in s else 0 for s, n in zip(inputs, ndims, strict=True)
    )
    ellipsis = "".join(unused[:longest])
    if not arrow:
        letters = left.replace(",", "").replace("...", "")
        output = "..." + "".join(sorted(c for c in set(letters) if letters.count(c) == 1))

    def spelled(s: str, ndim: int) -> str:
        hidden = ndim - len(s.replace("...", ""))
        return s.replace("...", ellipsis[len(ellipsis) - hidden :] if hidden else "")

    return [spelled(s, n) for s, n in zip(inputs, ndims, strict=True)], output.replace("...", ellipsis)


einsum.vjp(each=einsum_rule)


@implements(np.einsum)
def _einsum(*operands: Any, optimize: Any = False) -> Array:
    if isinstance(operands[0], str):
        return einsum(*operands[1:], subscripts=operands[0], optimize=optimize)
    arrays, lists = operands[0 : len(operands) // 2 * 2 : 2], operands[1::2]
    spelled = ",".join(map(_letters, lists)) + ("->" + _letters(operands[-1]) if len(operands) % 2 else "")
    return einsum(*arrays, subscripts=spelled, optimize=optimize)


def _letters(labels: Sequence[Any]) -> str:
    return "".join("..." if label is Ellipsis else _LETTERS[label] for label in labels)
