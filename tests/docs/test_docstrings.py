"""The docstrings of the public names: each shows an example, and pytest runs it as a doctest."""

from __future__ import annotations

import doctest
import importlib
import inspect
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

import click
from test_public_names import NAMES

import tinygrad_mnist as tg


def public_objects() -> Iterator[tuple[str, Any]]:
    """Every public class and function by its name, but for types; modules, tables and numbers are neither."""
    for place, names in NAMES.items():
        for name in names.split():
            thing = getattr(importlib.import_module(place), name)
            if isinstance(thing, ModuleType):  # tg.tensor is a module and a function
                thing = getattr(thing, "__wrapped__", thing)
            is_type = place == "tinygrad_mnist.typing"
            is_command = isinstance(thing, click.Command)  # its docstring is what --help says
            if callable(thing) and not is_type and not is_command:
                yield f"{place}.{name}", thing


def examples(thing: Any) -> list[doctest.Example]:
    """The examples of a docstring that run."""
    module = inspect.getmodule(thing)  # where doctest looks for it
    if getattr(module, thing.__name__, None) is not thing:
        return []
    parsed = doctest.DocTestParser().get_examples(thing.__doc__ or "")
    return [example for example in parsed if doctest.SKIP not in example.options]


def lacking(objects: Iterable[tuple[str, Any]]) -> list[str]:
    """The names of those that show no example that runs; that of a function calls it by its name."""
    return [
        name
        for name, thing in objects
        if not any(isinstance(thing, type) or thing.__name__ in example.source for example in examples(thing))
    ]


def test_every_public_name_shows_an_example_that_runs():
    objects = list(public_objects())
    assert len({id(thing) for _, thing in objects}) > 250
    assert lacking(objects) == []


def documented(text: str) -> type:
    """A class of this module with a docstring."""
    name = f"Documented{len(globals())}"
    globals()[name] = type(name, (), {"__doc__": text, "__module__": __name__})
    return globals()[name]


def test_an_example_that_is_missing_skipped_or_not_found_is_noticed():
    texts = ["Say.", "Say.\n\n>>> 1 / 0  # doctest: +SKIP\n", "Say.\n\n>>> 1 + 1\n2\n"]
    assert lacking((text, documented(text)) for text in texts) == texts[:2]
    elsewhere = documented(texts[2])
    elsewhere.__module__ = "tinygrad_mnist.graph"
    assert lacking([("elsewhere", elsewhere)]) == ["elsewhere"]


def test_an_example_of_something_else_is_noticed(monkeypatch):
    monkeypatch.setattr(tg.graph.changed, "__doc__", "Say.\n\n>>> 1 + 1\n2\n")
    assert lacking([("changed", tg.graph.changed)]) == ["changed"]


def test_operations_know_where_they_are_declared():
    """Their examples are found there, and the reference of the site links to the source."""
    assert tg.nn.functional.softmax.__module__ == "tinygrad_mnist.ops.network"
    assert inspect.getsourcefile(tg.nn.functional.softmax.__wrapped__).endswith("network.py")
