"""Evaluate the lines of the table of edge values, here and with other libraries."""

from __future__ import annotations

import importlib.util
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import tinygrad_mnist as tg

from .checks import differentiate
from .edges import Edge

WEIGHTS = np.arange(1.0, 9.0)  # w


@dataclass(frozen=True)
class Answer:
    """What a library returned; an exception in place of a value or of gradients that are errors."""

    value: Any
    gradient: dict[str, Any] | Exception


class Library:
    """How a library evaluates an expression and differentiates it: here, this project."""

    def words(self, edge: Edge) -> str:
        """The expression in its words, or ``""``."""
        return edge.expression

    def names(self) -> dict[str, Any]:
        """What an expression may refer to."""
        return {"np": np, "F": tg.nn.functional, "w": WEIGHTS}

    def leaf(self, x: np.ndarray) -> Any:
        """A tracked array."""
        return tg.tensor(x, requires_grad=True)

    def copy(self, leaf: Any) -> Any:
        """A tracked copy, to assign to."""
        return leaf.copy()

    def value(self, y: Any) -> np.ndarray:
        """The result as a plain array."""
        return np.asarray(y.data)

    def gradients(self, y: Any, leaves: list[Any]) -> list[Any]:
        """Those of the sum of the real parts; ``None`` where it does not depend on a leaf."""
        return [g.data for g in differentiate(np.sum(np.real(y)), leaves)]

    def answer(self, edge: Edge) -> Answer | None:
        """Evaluate and differentiate; ``None`` if there are no words for it."""
        words = self.words(edge)
        if not words:
            return None
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                leaves = {name: self.leaf(np.array(x)) for name, x in edge.inputs.items()}
                y = run(words, self.names(), {name: self.copy(leaf) for name, leaf in leaves.items()})
                value = self.value(y)
            except Exception as error:
                return Answer(error, error)
            try:
                gradients = self.gradients(y, list(leaves.values()))
            except Exception as error:
                return Answer(value, error)
        zeros = [np.zeros(np.shape(x)) for x in edge.inputs.values()]
        found = [np.asarray(z if g is None else g) for g, z in zip(gradients, zeros, strict=True)]
        return Answer(value, dict(zip(edge.inputs, found, strict=True)))


class Torch(Library):
    """PyTorch: its function of the same name, unless the table says otherwise."""

    def words(self, edge: Edge) -> str:
        own = re.sub(r"\bnp\.(\w+)", r"torch.\1", edge.expression)
        return edge.words.get("torch", "" if "F." in own else own)

    def names(self) -> dict[str, Any]:
        import torch

        return {"torch": torch, "w": torch.tensor(WEIGHTS)}

    def leaf(self, x: np.ndarray) -> Any:
        import torch

        return torch.tensor(x, requires_grad=True)

    def copy(self, leaf: Any) -> Any:
        return leaf.clone()

    def value(self, y: Any) -> np.ndarray:
        return y.detach().resolve_conj().numpy()

    def gradients(self, y: Any, leaves: list[Any]) -> list[Any]:
        if y.requires_grad:
            (y.real if y.is_complex() else y).sum().backward()
        return [None if leaf.grad is None else leaf.grad.numpy() for leaf in leaves]


class Autograd(Library):
    """HIPS autograd: the functions of ``autograd.numpy``."""

    def words(self, edge: Edge) -> str:
        return edge.words.get("autograd", "" if "F." in edge.expression else edge.expression)

    def answer(self, edge: Edge) -> Answer | None:
        """Evaluate within its own tracing."""
        import autograd.numpy
        from autograd.core import make_vjp

        words, inputs = self.words(edge), [np.array(x) for x in edge.inputs.values()]
        if not words:
            return None

        def result(arrays: tuple[Any, ...]) -> Any:
            names = {"np": autograd.numpy, "w": WEIGHTS}
            return run(words, names, dict(zip(edge.inputs, arrays, strict=True)))

        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                value = np.asarray(result(tuple(x.copy() for x in inputs)))
            except Exception as error:
                return Answer(error, error)
            try:
                pull, y = make_vjp(result, tuple(inputs))
                found = pull(np.ones_like(y) if np.ndim(y) else type(y)(1))
            except Exception as error:
                return Answer(value, error)
        return Answer(value, {name: np.conj(g) for name, g in zip(edge.inputs, found, strict=True)})


class MyGrad(Library):
    """MyGrad: NumPy's functions on its tensors, or its own as the table says."""

    def words(self, edge: Edge) -> str:
        return edge.words.get("mygrad", "" if "F." in edge.expression else edge.expression)

    def names(self) -> dict[str, Any]:
        import mygrad

        importlib.import_module("mygrad.nnet")
        return {"np": np, "mygrad": mygrad, "w": WEIGHTS}

    def leaf(self, x: np.ndarray) -> Any:
        import mygrad

        return mygrad.tensor(x)

    def copy(self, leaf: Any) -> Any:
        return +leaf

    def gradients(self, y: Any, leaves: list[Any]) -> list[Any]:
        y.sum().backward()
        return [leaf.grad for leaf in leaves]


PEERS: dict[str, Callable[[], Library]] = {"torch": Torch, "autograd": Autograd, "mygrad": MyGrad}


def installed() -> list[str]:
    """The libraries that can be asked here."""
    return [name for name in PEERS if importlib.util.find_spec(name)]


def run(words: str, names: dict[str, Any], inputs: dict[str, Any]) -> Any:
    """Evaluate an expression; or run a statement that changes ``x``, and return ``x``."""
    everything = {**names, **inputs}
    try:
        code = compile(words, words, "eval")
    except SyntaxError:
        exec(words, everything)
        return everything["x"]
    result = eval(code, everything)
    return everything["x"] if result is None else result


def is_as_expected(edge: Edge, answer: Answer) -> bool:
    """Whether a library returned the values, or made the errors, that the table says."""
    if not is_same(answer.value, edge.value):
        return False
    if isinstance(edge.gradient, str) or isinstance(answer.gradient, Exception):
        return is_same(answer.gradient, edge.gradient)
    return all(is_same(answer.gradient[name], g) for name, g in edge.gradient.items())


def is_same(found: Any, expected: Any) -> bool:
    """Whether an array has the expected shape and numbers, or an exception the expected name."""
    if isinstance(expected, str):
        return expected in [kind.__name__.strip("_") for kind in type(found).__mro__]
    if isinstance(found, Exception):
        return False
    return np.shape(found) == np.shape(expected) and np.allclose(
        found, expected, rtol=1e-12, atol=1e-12, equal_nan=True
    )
