"""Nested lists, tuples and dicts of arrays, taken apart into their leaves and put together again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

__all__ = ["leaves", "rebuild", "tree_map"]


def leaves(tree: Any) -> Iterator[Any]:
    """Walk over everything in a tree that is no list, tuple or dict; ``None`` holds nothing.

    Examples
    --------
    >>> list(leaves({"w": [1.0, 2.0], "b": (3.0, None)}))
    [1.0, 2.0, 3.0]
    """
    if isinstance(tree, (list, tuple)):
        for part in tree:
            yield from leaves(part)
    elif isinstance(tree, dict):
        for part in tree.values():
            yield from leaves(part)
    elif tree is not None:
        yield tree


def rebuild(like: Any, values: Iterable[Any]) -> Any:
    """Make a tree of the form of another, with other leaves in the same order.

    Examples
    --------
    >>> rebuild({"w": [1.0, 2.0], "b": (3.0, None)}, "xyz")
    {'w': ['x', 'y'], 'b': ('z', None)}
    """
    source = iter(values)

    def build(tree: Any) -> Any:
        if isinstance(tree, dict):
            return type(tree)((key, build(part)) for key, part in tree.items())
        if isinstance(tree, (list, tuple)):
            parts = [build(part) for part in tree]
            return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
        return tree if tree is None else next(source)

    return build(like)


def tree_map(function: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """Apply a function to each leaf, and to the leaves in the same places of other trees."""
    return rebuild(tree, map(function, leaves(tree), *map(leaves, others)))
