"""Nested lists, tuples and dicts of arrays: flatten them into their leaves, and rebuild them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from copy import copy
from typing import Any

from .errors import ShapeError

__all__ = ["leaves", "matching", "rebuild", "tree_map"]


def leaves(tree: Any) -> Iterator[Any]:
    """Walk over everything in a tree that is not a list, tuple or dict; ``None`` counts as empty.

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


def matching(tree: Any, like: Any) -> Iterator[Any]:
    """Walk over a tree in the order of another tree, which must have the same form.

    Raises
    ------
    ShapeError
        If the forms differ.

    Examples
    --------
    >>> list(matching({"b": 1.0, "w": (2.0, 3.0)}, like={"w": ["x", "y"], "b": "z"}))
    [2.0, 3.0, 1.0]
    """
    if isinstance(like, dict):
        if not isinstance(tree, dict) or tree.keys() != like.keys():
            raise ShapeError(f"found {_form(tree)}, expected {_form(like)}")
        for key, part in like.items():
            yield from matching(tree[key], part)
    elif isinstance(like, (list, tuple)):
        if not isinstance(tree, (list, tuple)) or len(tree) != len(like):
            raise ShapeError(f"found {_form(tree)}, expected {_form(like)}")
        for part, like_part in zip(tree, like, strict=True):
            yield from matching(part, like_part)
    elif like is not None:
        if tree is None or isinstance(tree, dict):
            raise ShapeError(f"found {_form(tree)}, expected an array")
        yield tree


def _form(tree: Any) -> str:
    if isinstance(tree, dict):
        return f"a dict of {', '.join(map(repr, tree)) or 'nothing'}"
    return (
        f"a {type(tree).__name__} of {len(tree)}" if isinstance(tree, (list, tuple)) else type(tree).__name__
    )


def rebuild(like: Any, values: Iterable[Any]) -> Any:
    """Make a tree of the same form as another, with new leaves in the same order.

    Examples
    --------
    >>> rebuild({"w": [1.0, 2.0], "b": (3.0, None)}, "xyz")
    {'w': ['x', 'y'], 'b': ('z', None)}
    """
    return _rebuild_from(like, iter(values))


def _rebuild_from(tree: Any, source: Iterator[Any]) -> Any:
    if isinstance(tree, dict):
        rebuilt = copy(tree)  # a copy keeps its type, which may be a defaultdict
        for key, part in tree.items():
            rebuilt[key] = _rebuild_from(part, source)
        return rebuilt
    if isinstance(tree, (list, tuple)):
        parts = [_rebuild_from(part, source) for part in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    return tree if tree is None else next(source)


def tree_map(function: Callable[..., Any], tree: Any) -> Any:
    """Apply a function to each leaf."""
    return rebuild(tree, map(function, leaves(tree)))
