"""Formulas as text: parsed by a list of what is allowed, never evaluated as Python."""

from __future__ import annotations

import ast
import json
import linecache
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from ...errors import OptionError, choice
from ...graph import Node
from ...ops import network
from ...tensor import Tensor, tensor
from .program import nodes_before

__all__ = ["FUNCTIONS", "compute", "read_values"]

#: What a formula may call.
FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: getattr(np, name) for name in (
        "abs", "cos", "dot", "exp", "log", "matmul", "max", "maximum", "mean", "min", "minimum", "sin", "sqrt",
        "square", "sum", "tan", "tanh",
    )},
    **{name: getattr(network, name) for name in ("relu", "sigmoid", "softmax", "softplus")},
}  # fmt: skip

_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.Pow: operator.pow, ast.MatMult: operator.matmul, ast.USub: operator.neg, ast.UAdd: operator.pos,
}  # fmt: skip

#: The longest formula, in characters, and the largest exponent.
LONGEST, LARGEST = 1000, 64


#: The longest text of values, and the most numbers of one of them.
LONGEST_VALUES, MOST_NUMBERS = 10_000, 1_000


def read_values(texts: str | Iterable[str]) -> dict[str, Any]:
    """Read values such as ``w=2`` and ``x=[1, 2]``, from a list or from one text.

    Raises
    ------
    OptionError
        If something is no value.

    Examples
    --------
    >>> read_values("w=2, x=[1, 2]")
    {'w': array(2.), 'x': array([1., 2.])}
    """
    if isinstance(texts, str):
        if len(texts) > LONGEST_VALUES:
            raise OptionError(f"the values have {len(texts):,} characters; the most are {LONGEST_VALUES:,}")
        texts = re.split(r"[\s,;]+(?=[^\W\d]\w*\s*=)", texts.strip(" ,;\n\t"))
    values: dict[str, Any] = {}
    for text in filter(None, texts):
        name, equals, value = text.partition("=")
        try:
            values[name.strip()] = np.asarray(json.loads(value), np.float64)
        except (ValueError, TypeError, RecursionError):
            equals = ""
        if not equals or not name.strip().isidentifier() or values[name.strip()].size > MOST_NUMBERS:
            raise OptionError(
                f"{text!r} is no value; write name=number or name=[list], such as w=2 or x=[1,2]"
            )
    return values


def compute(formula: str, values: Mapping[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
    """Compute a formula of named values.

    Parameters
    ----------
    formula : str
        Operators ``+ - * / ** @``, numbers, lists, names, and calls of ``FUNCTIONS``, also as ``np.tanh``.
    values : mapping of str to array_like
        The value of each name; all of them get a gradient.

    Returns
    -------
    (Tensor, dict of str to Tensor)
        The result, and the named Tensors.

    Raises
    ------
    OptionError
        If the formula contains anything else, or a name has no value.

    Examples
    --------
    >>> result, named = compute("tanh(w * x + b)", {"w": 1.0, "x": 0.5, "b": -0.5})
    >>> result.backward()
    >>> named["w"].grad
    tensor(0.5)
    """
    if len(formula) > LONGEST:
        raise OptionError(f"the formula has {len(formula):,} characters; the most are {LONGEST:,}")
    try:
        tree = ast.parse(formula.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        why = error.msg if isinstance(error, SyntaxError) else error
        times = "; write 2 * x for 2x" if re.search(r"\d\s*[^\W\d]|\d\s*\(", formula) else ""
        raise OptionError(f"the formula {formula!r} cannot be read: {why}{times}") from None
    named = {
        name: tensor(np.asarray(value, np.float64), requires_grad=True) for name, value in values.items()
    }
    result = _value(tree, named)
    if not isinstance(result, Tensor):
        raise OptionError(f"the formula {formula!r} contains no name, so there is nothing to differentiate")
    if result.node is not None:
        _name_line(result.node, formula.strip())
    return result, named


def _name_line(root: Node, formula: str) -> None:
    """Let the operations of a formula say that the formula is their line of the user's program."""
    linecache.cache["<formula>"] = len(formula), None, [f"{formula}\n"], "<formula>"
    origin = compile("0", "<formula>", "eval"), 0
    for node in nodes_before(root):
        node.origin = origin


def _value(part: ast.AST, named: Mapping[str, Tensor]) -> Any:
    if isinstance(part, ast.Constant) and type(part.value) in (int, float):
        return part.value
    if isinstance(part, (ast.List, ast.Tuple)):
        return np.array([_value(element, {}) for element in part.elts], dtype=float)
    if isinstance(part, ast.Name):
        if part.id not in named:
            raise OptionError(f"{part.id} has no value; give it one, as in {part.id}=2")
        return named[part.id]
    if isinstance(part, ast.BinOp) and type(part.op) in _OPERATORS:
        left, right = _value(part.left, named), _value(part.right, named)
        if isinstance(part.op, ast.Pow) and isinstance(right, (int, float)) and abs(right) > LARGEST:
            raise OptionError(f"the exponent {right} is too large; the largest is {LARGEST}")
        return _OPERATORS[type(part.op)](left, right)
    if isinstance(part, ast.UnaryOp) and type(part.op) in _OPERATORS:
        return _OPERATORS[type(part.op)](_value(part.operand, named))
    if isinstance(part, ast.Call) and not part.keywords:
        return _function(part.func)(*(_value(argument, named) for argument in part.args))
    power = "; a power is written x ** 2" if isinstance(getattr(part, "op", None), ast.BitXor) else ""
    raise OptionError(
        "a formula may contain numbers, names, lists, + - * / ** @ and functions, but not "
        f"{ast.unparse(part)!r}{power}"
    )


def _function(part: ast.AST) -> Callable[..., Any]:
    is_of_numpy = (
        isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name) and part.value.id in ("np", "F")
    )
    name = (
        part.attr
        if is_of_numpy and isinstance(part, ast.Attribute)
        else getattr(part, "id", ast.unparse(part))
    )
    if name not in FUNCTIONS:
        raise choice("function", name, FUNCTIONS)
    return FUNCTIONS[name]
