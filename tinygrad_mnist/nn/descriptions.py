"""A module as a small JSON value, and back: a saved model needs it besides its weights.

A module is described by its class and its constructor's arguments. Random generators are not described,
only marked, because the weights that they drew are saved themselves.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..errors import DataError, OptionError, describe_briefly, quote
from . import init, layers
from .module import Module

__all__ = ["build", "describe"]

_KNOWN: dict[str, type[Module]] = {
    name: cls
    for name in layers.__all__
    if inspect.isclass(cls := getattr(layers, name)) and issubclass(cls, Module)
}


def describe(module: Module) -> dict[str, Any]:
    """Describe a module as JSON values.

    Raises
    ------
    OptionError
        If an argument of its constructor has no JSON form, or if a layer occurs twice: a shared layer
        could not be distinguished from two equal ones.

    Examples
    --------
    >>> describe(layers.MLP([4, 2], rng=0))
    {'class': 'MLP', 'args': [[4, 2]]}
    """
    return _describe(module, set())


def _describe(module: Module, seen: set[int]) -> dict[str, Any]:
    if id(module) in seen:
        raise OptionError(
            f"a {type(module).__name__} occurs twice in the model, and loading would make two of it; save only "
            "the arrays, with tg.save(model.state_dict(), path)"
        )
    seen.add(id(module))
    args, kwargs = module._arguments
    described: dict[str, Any] = {"class": type(module).__name__}
    if args:
        described["args"] = [_to_json(value, type(module), seen) for value in args]
    settings = {name: _to_json(value, type(module), seen) for name, value in kwargs.items() if name != "rng"}
    if settings:
        described["kwargs"] = settings
    return described


def build(description: Any, classes: Iterable[type[Module]] = ()) -> Module:
    """Make the module of a description, with new weights.

    Parameters
    ----------
    description : dict
        The result of :func:`describe`.
    classes : iterable of Module classes
        Classes of your own that may occur. Nothing else is looked up or imported.

    Raises
    ------
    DataError
        If the description names another class, or is not a description.

    Examples
    --------
    >>> build({"class": "Linear", "args": [3, 2]})
    Linear(3, 2)
    """
    given: list[Any] = [classes] if isinstance(classes, type) else list(classes)
    if not all(isinstance(cls, type) for cls in given):
        raise OptionError(f"classes = {quote(given)} are no classes; pass them, not their names, as in [Net]")
    known = {**_KNOWN, **{cls.__name__: cls for cls in given}}
    try:
        return _build(description, known)
    except DataError:
        raise
    except Exception as error:  # constructors may raise any, for arguments that they do not expect
        raise DataError(f"a saved model cannot be rebuilt: {describe_briefly(error)}") from error


def _build(description: Any, known: dict[str, type[Module]]) -> Module:
    if not isinstance(description, dict):
        raise DataError(f"the description of a saved model must be an object, not {quote(description)}")
    name, args, kwargs = (
        description.get(key, empty) for key, empty in (("class", ""), ("args", []), ("kwargs", {}))
    )
    if not isinstance(name, str) or not isinstance(args, list) or not isinstance(kwargs, dict):
        raise DataError(f"the description of a saved model is damaged: {quote(description)}")
    cls = _find_class(name, known)
    values = [_from_json(value, known) for value in args]
    settings = {key: _from_json(value, known) for key, value in kwargs.items()}
    if cls._is_ours:
        given = inspect.signature(cls).bind(*values, **settings)
        for key, value in given.arguments.items():
            _check(f"{name}: {key}", given.signature.parameters[key], value)
    return cls(*values, **settings)


def _check(what: str, parameter: inspect.Parameter, value: Any) -> None:
    """Refuse what no constructor was given that took numbers; it could fail much later."""
    if parameter.name == "dtype":
        if np.dtype(value).kind != "f":
            raise DataError(f"{what} is {quote(value)}; expected a kind of float")
    elif parameter.annotation in _NUMBERS and type(value) not in _NUMBERS[parameter.annotation]:
        raise DataError(f"{what} is {quote(value)}; expected a value of type {parameter.annotation}")


_NUMBERS = {"float": (float, int), "int": (int,), "bool": (bool, int)}


def _find_class(name: Any, known: dict[str, type[Module]]) -> type[Module]:
    if name not in known:
        raise DataError(
            f"a saved model holds a {quote(name)}, which is not a layer known here; pass its class, as in "
            f"classes=[{str(name)[:40]}]"
        )
    return known[name]


def _to_json(value: Any, owner: type, seen: set[int]) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.random.Generator):
        return {"generator": None}
    if isinstance(value, (np.integer, np.floating)):
        return value.item()
    if isinstance(value, Module):
        return _describe(value, seen)
    if isinstance(value, (list, tuple)):
        return [_to_json(item, owner, seen) for item in value]
    if isinstance(value, type) and issubclass(value, Module):
        return {"layer": value.__name__}
    if callable(value) and value in init.INITIALISERS.values():
        return value.__name__
    if isinstance(value, np.dtype) or (
        isinstance(value, type) and (value is float or issubclass(value, np.generic))
    ):
        return np.dtype(value).name
    raise OptionError(
        f"{owner.__name__}: the argument {value!r} cannot be saved with the model; use a name or a number"
    )


def _from_json(value: Any, known: dict[str, type[Module]]) -> Any:
    if isinstance(value, dict) and "class" in value:
        return _build(value, known)
    if isinstance(value, dict) and "layer" in value:
        return _find_class(value["layer"], known)
    if isinstance(value, dict) and "generator" in value:
        return np.random.default_rng(0)
    if isinstance(value, list):
        return [_from_json(item, known) for item in value]
    return value
