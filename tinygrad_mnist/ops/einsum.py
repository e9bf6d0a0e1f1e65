"""Sums of products in Einstein's notation: one operation, and one rule for any of its operands."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_lowercase, ascii_uppercase
from typing import Any

import numpy as np

from ..errors import OptionError
from ..primitive import Sample, as_plain, implements, primitive
from ..typing import Array
from .arguments import beside


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
        Sample((1, 3), (2, 1), subscripts="ij,ij->ji", optimize=True),
        Sample((2, 3), (3,), subscripts="ij,j->i", complex=True),
    ],
    jvp="multilinear",
)
def einsum(*operands: Array, subscripts: str, optimize: Any = False) -> Array:
    """Sum of products in Einstein's notation."""
    return np.einsum(subscripts, *operands, optimize=optimize)


def einsum_rule(i: int, g: Array, y: Array, *operands: Array, subscripts: str, optimize: Any) -> Array:
    """Exchange the roles of the result and operand ``i``: the gradient is a sum of the same kind.

    Two properties of an operand have no counterpart in a result. An index that occurs only in this
    operand was summed over: a vector of ones repeats the gradient along it. An index that occurs twice
    runs along a diagonal: an identity matrix puts the gradient back onto it.
    """
    inputs, output = _explicit(subscripts, [np.ndim(x) for x in operands])
    mine, shape = inputs[i], np.shape(operands[i])
    terms = [(output, g)] + [(s, x) for k, (s, x) in enumerate(zip(inputs, operands, strict=True)) if k != i]
    unused = (letter for letter in _LETTERS if letter not in "".join(inputs) + output)
    target = ""
    for letter, size in zip(mine, shape, strict=True):
        if letter in target:
            fresh = next(unused)
            terms.append((letter + fresh, beside(g, np.eye(size, dtype=g.dtype))))
            target += fresh
        else:
            target += letter
            if all(letter not in s for s, _ in terms):
                terms.append((letter, beside(g, np.ones(size, g.dtype))))
    names = ",".join(s for s, _ in terms) + "->" + target
    # A path that was passed is valid only for the operands of the original expression.
    return np.einsum(names, *(x for _, x in terms), optimize=isinstance(optimize, (list, tuple)) or optimize)


_LETTERS = ascii_uppercase + ascii_lowercase  # NumPy's order of the axes if the result is not named


def _explicit(subscripts: str, ndims: Sequence[int]) -> tuple[list[str], str]:
    """Spell out an expression: a letter for every axis behind an ellipsis, and an explicit result."""
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

    def spell(s: str, ndim: int) -> str:
        hidden = ndim - len(s.replace("...", ""))
        return s.replace("...", ellipsis[len(ellipsis) - hidden :] if hidden else "")

    return [spell(s, n) for s, n in zip(inputs, ndims, strict=True)], output.replace("...", ellipsis)


einsum.vjp(each=einsum_rule)


@implements(
    np.einsum,
    samples=[
        Sample((2, 3), (3, 2), prepare=lambda a, b: ("ij,jk", a, b)),
        Sample((2, 3), (3,), prepare=lambda a, b: (a, [0, 1], b, [1], [0])),
        Sample((2, 2, 3), (3,), prepare=lambda a, b: (a, [Ellipsis, 30], b, [30]), optimize=True),
        Sample((2, 3), (3, 2), (2, 2), prepare=lambda *arrays: ("ij,jk,kl", *arrays), optimize="optimal"),
        Sample((2, 2), prepare=lambda a: (" b a ->b", a), dtype=np.complex128),
    ],
)
def _einsum(
    *operands: Any, optimize: Any = False, dtype: Any = None, casting: Any = "safe", order: str = "K"
) -> Array:
    """Take the subscripts as text or as lists of numbers after each operand; ``order`` is ignored."""
    if isinstance(operands[0], str):
        subscripts, *arrays = operands
    else:
        arrays, labels = list(operands[0 : len(operands) // 2 * 2 : 2]), operands[1::2]
        subscripts = ",".join(map(_letters, labels))
        subscripts += "->" + _letters(operands[-1]) if len(operands) % 2 else ""
    if dtype is not None:
        arrays = [x if hasattr(x, "astype") else np.asarray(x) for x in arrays]
        for x in arrays:
            if not np.can_cast(x.dtype, dtype, casting):
                raise TypeError(f"einsum: casting={casting!r} cannot turn {x.dtype} into {np.dtype(dtype)}")
        arrays = [x.astype(dtype) for x in arrays]
    return einsum(*arrays, subscripts=subscripts, optimize=optimize)


def _letters(labels: Sequence[Any]) -> str:
    for label in labels:
        if label is not Ellipsis and not 0 <= label < len(_LETTERS):
            raise OptionError(
                f"einsum: the axis label {label} is not valid; labels are the integers from 0 to {len(_LETTERS) - 1}"
            )
    return "".join("..." if label is Ellipsis else _LETTERS[label] for label in labels)


as_plain(np.einsum_path)
