"""The way into a program: what a call has to be for the program to fit, and what happens around it.

The whole of it runs at every call, which for a small network takes no longer than twenty of NumPy's. So it
is written out for the program at hand, as the program itself is: see :meth:`Entry.text`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..graph import CHANGES, WRITES
from ..tensor import Tensor, _handle
from ..trees import leaves, rebuild
from .program import Op
from .source.driver import Loader, loaded
from .source.text import Source
from .trace.step import Recorded
from .trace.vectors import Vector

__all__ = ["MISSED", "Entry"]

#: Returned where a program does not fit a call.
MISSED = object()


class Entry:
    """One program, the arguments it fits, and the objects it was made for.

    Attributes
    ----------
    source : Source
    arrays : what ``prepare`` of the source was given
    program : the step that it returned
    call : callable
        ``call(args, kwargs)`` runs the program, or returns :data:`MISSED`.
    """

    def __init__(
        self,
        recorded: Recorded,
        source: Source,
        load: Loader,
        args: Any,
        kwargs: Any,
    ) -> None:
        self.source = source
        self.arrays = {**{name: recorded.given[op] for name, op in source.given.items()}, **source.objects}
        self.program = loaded(load, source, self.arrays)
        self.traced = len(recorded.program.ops)
        for vector in recorded.vectors:
            vector.adopt()
        self._form, self._same = recorded.form, recorded.same
        self._returns_tensors = recorded.returns_tensors
        self._links = recorded.links()
        self._names: dict[str, Any] = {"MISSED": MISSED, "CHANGES": CHANGES, "entry": self}
        self._names["program"] = self.program
        self._names["outcome"] = self._outcome()
        self._signature = _signature(args, kwargs)
        exec(self.text(args, kwargs, recorded.vectors), self._names)
        self.call: Callable[[Any, Any], Any] = self._names["call"]

    def text(self, args: Any, kwargs: Any, vectors: list[Vector]) -> str:
        """Write out a call."""
        source = self.source
        is_plain = not kwargs and not self._same and all(map(_is_plain, args))
        tests = self._tests_of(args) if is_plain else ["entry.agrees(args, kwargs)"]
        given = (
            [self._array(f"args[{i}]", x) for i, x in enumerate(args)]
            if is_plain
            else ["*entry.given(args, kwargs)"]
        )
        rates = {vector.lr.op: vector.group for vector in vectors}
        steps = {vector.step.op: vector.states[0] for vector in vectors}
        for op in source.arguments:
            if op in rates:
                given.append(f"{self._name(rates[op])}['lr']")
            elif op in steps:
                given.append(f"{self._name(steps[op])}['step'] + 1")
        counts = [f"{self._name(state)}['step'] += 1" for vector in vectors for state in vector.states]
        lines = [
            "def call(args, kwargs):",
            f"    if not ({' and '.join(tests)}):",
            "        return MISSED",
            "    if CHANGES[0] != entry.seen and not entry.is_unchanged():",
            "        return MISSED",
            f"    if not ({' and '.join(self._links.tests(self._name)) or 'True'}):",
            "        return MISSED",
            *([f"    {self._name(WRITES)}[0] += 1"] if source.program.stores else []),
            f"    result = program({', '.join(given)})",
            *(f"    {count}" for count in counts),
            *self._returning(),
        ]
        self.seen = CHANGES[0]
        return "\n".join(lines)

    def is_unchanged(self) -> bool:
        """Whether modules and Tensors are what they were, now that some have changed."""
        if not self._links.hold():
            return False
        self.seen = CHANGES[0]
        return True

    def agrees(self, args: Any, kwargs: Any) -> bool:
        """Whether arguments of any form are like those the program was made for."""
        if _signature(args, kwargs) != self._signature:
            return False
        if not self._same:
            return True
        given = list(leaves([args, kwargs]))
        return all(given[i] is tensor for i, tensor in self._same.items())

    def given(self, args: Any, kwargs: Any) -> list[Any]:
        """The arrays among arguments of any form."""
        found = []
        for i, x in enumerate(leaves([args, kwargs])):
            if i not in self._same and _is_array(x):
                found.append(x._data if isinstance(x, Tensor) else x)
        return found

    def _returning(self) -> list[str]:
        if not isinstance(self._form, Op):
            return ["    return outcome(result)"]
        if not self._returns_tensors:
            return ["    return result"]
        # A Tensor, made without checking anything.
        new, tensor, array = self._name(object.__new__), self._name(Tensor), self._name(np.asarray)
        return [
            f"    t = {new}({tensor})",
            f"    t._data = {array}(result)",
            "    t._node = None",
            "    return t",
        ]

    def _tests_of(self, args: Any) -> list[str]:
        tests = ["not kwargs", f"len(args) == {len(args)}"]
        for i, x in enumerate(args):
            kind, shape, dtype = self._name(type(x)), self._name(x.shape), self._name(x.dtype)
            tests += [
                f"type(args[{i}]) is {kind}",
                f"args[{i}].shape == {shape}",
                f"args[{i}].dtype == {dtype}",
            ]
            if isinstance(x, Tensor):
                tests.append(f"(args[{i}]._node is None) is {x._node is None}")
        return tests

    @staticmethod
    def _array(text: str, x: Any) -> str:
        return f"{text}._data" if isinstance(x, Tensor) else text

    def _name(self, x: Any) -> str:
        """A name by which the text refers to an object."""
        for name, known in self._names.items():
            if known is x:
                return name
        name = f"x{len(self._names)}"
        self._names[name] = x
        return name

    def _outcome(self) -> Callable[[Any], Any]:
        """What a call returns, made of what the program does."""
        form, tensors = self._form, self._returns_tensors

        def outcome(result: Any) -> Any:
            arrays = iter(result if isinstance(result, tuple) else (result,))

            def out(x: Any) -> Any:
                if not isinstance(x, Op):
                    return x
                return _handle(next(arrays), None) if tensors else next(arrays)

            return rebuild(form, map(out, leaves(form)))

        return outcome


def _is_plain(x: Any) -> bool:
    """Whether an argument is an array, or a Tensor of one, whose kind is quickly tested."""
    return (type(x) is np.ndarray and x.dtype.kind in "biufc") or isinstance(x, Tensor)


def _is_array(x: Any) -> bool:
    is_array = isinstance(x, (np.ndarray, np.generic, Tensor)) and x.dtype.kind in "biufc"
    return is_array or isinstance(x, np.random.Generator)


def _signature(args: Any, kwargs: Any) -> Any:
    """What has to be the same at another call: the form, the kinds of arrays, the values of all else."""
    return _form(args), _form(kwargs), [_described(x) for x in leaves([args, kwargs])]


def _described(x: Any) -> Any:
    if isinstance(x, (np.ndarray, np.generic, Tensor)) and x.dtype.kind in "biufc":
        tracked = isinstance(x, Tensor) and x._node is not None
        return isinstance(x, Tensor), x.shape, x.dtype, tracked
    if isinstance(x, np.random.Generator):
        return np.random.Generator
    if isinstance(x, (bool, int, float, complex, str, bytes)):
        return type(x), x
    return _Identity(x)


class _Identity:
    """Equal to nothing but what is made of the same object, which it keeps."""

    def __init__(self, x: Any) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and self.x is other.x

    __hash__ = None  # type: ignore[assignment]


def _form(tree: Any) -> Any:
    if isinstance(tree, dict):
        return tuple((key, _form(part)) for key, part in tree.items())
    if isinstance(tree, (list, tuple)):
        return type(tree), tuple(map(_form, tree))
    return tree is None
