"""Find out by calling whether a library differentiates a function of NumPy, and whether rightly."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Iterator
from functools import cache, partial
from typing import Any

import numpy as np

import tinygrad_mnist as tg
from tinygrad_mnist.primitive import Sample
from tinygrad_mnist.testing import numerical_gradient

from .checks import combination, is_differentiable
from .names import UNTRACKED, WITH_LIKE, Function, functions

#: What may come of asking for a gradient.
RIGHT, WRONG, LOST, REFUSED = "right", "wrong", "lost", "refused"

_NUMBER = np.array(0.61)
_VECTOR, _OTHER = np.array([0.34, 0.61, 0.83]), np.array([0.72, 0.91, 0.27])
_MATRIX = np.array([[2.12, 0.31, 0.43], [0.27, 1.74, 0.52], [0.14, 0.63, 2.95]])

#: Inputs that fit many functions: they find what no sample was declared for.
ANYWHERE = [
    *(Sample(x) for x in (_NUMBER, _VECTOR, _VECTOR + 1, _MATRIX, _VECTOR + 0.5j, _MATRIX + 0.2j)),
    Sample(_VECTOR, _OTHER),
    Sample(_MATRIX, _MATRIX.T - 0.07),
    Sample(_MATRIX, _VECTOR),
    Sample(_VECTOR, prepare=lambda x: ([x, x],)),
    Sample(_VECTOR, prepare=lambda x: ([x[0], x[1]],)),
    *(Sample(x, prepare=lambda x, n=n: (x, n)) for x in (_VECTOR, _MATRIX) for n in (0, 1, 2, (1, 0))),
    *(Sample(x, prepare=lambda x, n=n: (n, x)) for x in (_VECTOR, _MATRIX) for n in (0, 3)),
    Sample(_NUMBER, prepare=lambda x: ((2, 3), x)),
    Sample(_VECTOR[:, None], prepare=lambda x: (x, (3, 2))),
    Sample(_VECTOR, prepare=lambda x: (x, complex)),
    Sample(_MATRIX, axis1=-1, axis2=-2),
    Sample(_VECTOR, prepare=lambda x: (x, 0, 2)),
    Sample(_VECTOR, prepare=lambda x: ("i->", x)),
    Sample(_VECTOR, _OTHER, prepare=lambda x, y: (np.array([True, False, True]), x, y)),
    Sample(_VECTOR, _OTHER, prepare=lambda x, y: (x, np.array([True, False, True]), y)),
    Sample(_VECTOR, _OTHER, prepare=lambda x, y: (x, np.array([2, 0, 1]), y, 0)),
    Sample(_VECTOR, _OTHER, prepare=lambda x, y: ([np.array([True, False, True])], [x])),
]


#: Functions that return nothing, and write into their first argument.
IN_PLACE = ("copyto", "fill_diagonal", "place", "put", "put_along_axis", "putmask")


class Library(ABC):
    """How one library is asked for the gradient of a NumPy function.

    Attributes
    ----------
    array : type
        What it wraps arrays in, whose methods can be compared with ndarray's.
    """

    array: Any

    @abstractmethod
    def versions(self, f: Function) -> Iterator[Callable[..., Any]]:
        """The functions that are, in this library, that function of NumPy."""

    @abstractmethod
    def gradients(self, call: Callable[..., Any], arrays: list[np.ndarray]) -> list[Any]:
        """The gradients of ``combination(call(*arrays))``; none at all where it does not depend on them."""


class Ours(Library):
    """This project: NumPy's own functions, called on Tensors."""

    array = tg.Tensor

    def versions(self, f: Function) -> Iterator[Callable[..., Any]]:
        yield f.function
        if f.function in WITH_LIKE:
            yield partial(f.function, like=tg.Tensor(0.0))

    def gradients(self, call: Callable[..., Any], arrays: list[np.ndarray]) -> list[Any]:
        leaves = [tg.tensor(x, requires_grad=True) for x in arrays]
        total = combination(call(*leaves))
        if isinstance(total, tg.Tensor) and total.requires_grad:
            total.backward()
        return [None if leaf.grad is None else leaf.grad.data for leaf in leaves]


def is_harmless(f: Function) -> bool:
    """Whether it is a function of arrays, and calling it has no effect elsewhere."""
    is_odd = f.name in ("np.empty_like", "np.bmat")  # returns whatever is in memory; returns None
    return not (isinstance(f.function, type) or is_odd or f.reason.startswith(("reads", "sets", "asks")))


def answers(library: Library, f: Function) -> Iterator[tuple[Sample, str]]:
    """What a library makes of a function on its samples, and on inputs that fit many functions."""
    reads_half = f.name in (
        "np.linalg.cholesky",
        "np.linalg.eigh",
        "np.linalg.eigvalsh",
    )  # of a symmetric matrix
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for sample in f.samples + (ANYWHERE if not reads_half else []):
            expected = numeric(f.function, sample)
            if expected is not None:
                for version in library.versions(f):
                    yield sample, answer(library, version, sample, expected)


@cache
def numeric(function: Callable[..., Any], sample: Sample) -> list[np.ndarray] | None:
    """The gradients by finite differences, or ``None`` where there are none, or all are zero."""
    call, arrays = prepared(function, sample)
    if isinstance(function, np.ufunc) and len(sample.arguments(*sample.draw())) > function.nin:
        return None  # what comes after the inputs is out=
    try:
        gradients = numerical_gradient(lambda *x: float(combination(call(*x))), *arrays)
    except Exception:  # the input is none for this function
        return None
    has_jump = any(np.any(np.abs(g) > 1e4) for g in gradients)
    is_something = any(np.any(np.abs(g) > 1e-7) for g in gradients) and all(
        np.isfinite(g).all() for g in gradients
    )
    return gradients if is_something and not has_jump else None


def answer(library: Library, version: Callable[..., Any], sample: Sample, expected: list[np.ndarray]) -> str:
    """Ask a library for a gradient, and judge what comes."""
    call, arrays = prepared(version, sample)
    try:
        gradients = library.gradients(call, arrays)
    except Exception:  # however a library says that it cannot
        return REFUSED
    gradients = [np.zeros(x.shape) if g is None else g for g, x in zip(gradients, arrays, strict=True)]
    if not any(np.any(g) for g in gradients):
        return LOST
    is_right = all(
        np.shape(g) == e.shape and np.allclose(g, e, rtol=1e-4, atol=1e-5)
        for g, e in zip(gradients, expected, strict=True)
    )
    return RIGHT if is_right else WRONG


def prepared(function: Callable[..., Any], sample: Sample) -> tuple[Callable[..., Any], list[np.ndarray]]:
    """A function of the floating-point arrays of a sample alone, and those arrays."""
    values = sample.draw()
    places = [i for i, v in enumerate(values) if is_differentiable(v)]

    def call(*changed: Any) -> Any:
        every = list(values)
        for i, value in zip(places, changed, strict=True):
            every[i] = value
        first, *rest = sample.arguments(*every)
        if getattr(function, "__name__", "") not in IN_PLACE:
            return function(first, *rest, **sample.settings)
        first = first.copy()
        function(first, *rest, **sample.settings)
        return first

    return call, [values[i].copy() for i in places]


def lost(names: Container[str] | None = None) -> list[str]:
    """NumPy functions that take Tensors and return what depends on them, without a gradient or with a wrong one.

    All of them, except for what is untracked on purpose, as the page says; or those of some names.
    """
    ours, untracked = Ours(), {name for names in UNTRACKED.values() for name in names}
    return [
        f"{f.name}: {found} on {sample!r}"
        for f in functions()
        if is_harmless(f) and f.name not in untracked and (names is None or f.name in names)
        for sample, found in answers(ours, f)
        if found in (LOST, WRONG)
    ]
