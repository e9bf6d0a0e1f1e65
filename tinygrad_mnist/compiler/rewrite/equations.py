"""Rules that are equations: replacements with both sides written as NumPy code.

``(-(-x), x)`` says that the right side may replace the left side. The letters are stand-ins that record what is done
to them: ``x`` and ``y`` are any arrays, ``c`` and ``d`` are numbers. An equation is used only if both sides have the
same shape, all intermediate results have the same dtype, and its condition holds. Both sides can be evaluated, so
the table tests itself: see :meth:`Side.evaluate`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..program import Op, is_scalar
from .builder import Builder, Rule

__all__ = ["Equation", "Side", "c", "d", "rules_of", "x", "y"]

_SIGNS = {np.add: "+", np.subtract: "-", np.multiply: "*", np.divide: "/", np.negative: "neg"}


class Side(np.lib.mixins.NDArrayOperatorsMixin):
    """One side of an equation: a function of others, or a letter."""

    __hash__ = object.__hash__

    def __init__(self, function: Any, *args: Any) -> None:
        self.function, self.args = function, args
        self.letter: str = args[0] if function in ("array", "number") else ""  # its name, if it is a letter

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *args: Any, **settings: Any) -> Side:
        return Side(ufunc if method == "__call__" else getattr(ufunc, method), *args)

    def matches(self, arg: Any, found: dict[str, Any]) -> bool:
        """Whether an argument of a program has this form; letters are looked up or bound."""
        if self.letter:
            if is_scalar(arg) != (self.function == "number") or not (isinstance(arg, Op) or is_scalar(arg)):
                return False
            return found.setdefault(self.letter, arg) is arg
        if not isinstance(arg, Op) or not arg.calls(self.function) or len(arg.args) != len(self.args):
            return False
        if not (arg.is_plain_reduction or not arg.settings):
            return False
        # All intermediate results have the same dtype: integers have no -0, and 3 * 100 is 44 in int8.
        if found.setdefault("dtype", arg.dtype) != arg.dtype:
            return False
        return all(map(_is_of_form, self.args, arg.args, [found] * len(self.args)))

    def build(self, b: Builder, op: Op, found: Mapping[str, Any]) -> Any:
        """Compute this side in a program, with the values of the letters."""
        if self.letter:
            return found[self.letter]
        args = [part.build(b, op, found) if isinstance(part, Side) else part for part in self.args]
        if not isinstance(self.function, np.ufunc):  # a reduction, over the axes of the other side
            return b.call(self.function, tuple(args), op, op.settings)
        if all(map(is_scalar, args)):
            return b.number(_SIGNS[self.function], *args)
        return b.ufunc(self.function, *args)

    def evaluate(self, found: Mapping[str, Any]) -> Any:
        """Compute this side with NumPy."""
        if self.letter:
            return found[self.letter]
        return self.function(
            *(part.evaluate(found) if isinstance(part, Side) else part for part in self.args)
        )


def _is_of_form(part: Any, arg: Any, found: dict[str, Any]) -> bool:
    if isinstance(part, Side):
        return part.matches(arg, found)
    return is_scalar(arg) and not isinstance(arg, Op) and _sign_and_value(arg) == _sign_and_value(part)


def _sign_and_value(number: Any) -> Any:
    return number, np.signbit(number)


class Equation(NamedTuple):
    """Two sides, and the condition under which the right one may replace the left one.

    ``holds`` gets the operation, and the values of the letters by name. If the right side ``is_rounded`` differently,
    it is not used where that matters (:attr:`.Builder.is_exact`).
    """

    left: Side
    right: Side
    holds: Callable[..., bool] = lambda op, **letters: True
    is_rounded: bool = False


x, y = Side("array", "x"), Side("array", "y")
c, d = Side("number", "c"), Side("number", "d")


def rules_of(equations: Sequence[Equation]) -> dict[Any, list[Rule]]:
    """Turn equations into rules, by the last function of the left side."""
    rules: dict[Any, list[Rule]] = {}
    for equation in equations:
        rules.setdefault(equation.left.function, []).append(rule_of(equation))
    return rules


def rule_of(equation: Equation) -> Rule:
    """Turn an equation into a rule."""

    def rule(b: Builder, op: Op) -> Op | None:
        found: dict[str, Any] = {}
        if equation.is_rounded and b.is_exact:
            return None
        if not equation.left.matches(op, found):
            return None
        del found["dtype"]
        if not equation.holds(op, **found):
            return None
        if equation.right.letter:
            better = found[equation.right.letter]
            return better if (better.shape, better.dtype) == (op.shape, op.dtype) else None
        b.place = op.place
        built: Op = equation.right.build(b, op, found)
        return built if (built.shape, built.dtype) == (op.shape, op.dtype) else None

    return rule
