"""The errors of the project: each says what was asked, what was found, and what to do.

Every class is also the built-in exception a NumPy user would expect, so that
``except ValueError`` keeps working.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from types import ModuleType
from typing import Any

__all__ = [
    "CompileError",
    "DTypeError",
    "DataError",
    "GradcheckError",
    "GradientError",
    "LostGradientWarning",
    "MissingExtraError",
    "MissingFileError",
    "NonFiniteError",
    "OptionError",
    "RunError",
    "ShapeError",
    "StateDictError",
    "TinygradError",
    "UnsupportedError",
    "UntraceableError",
    "choice",
    "describe_briefly",
    "misfit",
    "pluralise",
    "quote",
    "require",
]


class TinygradError(Exception):
    """The base class: catch it to catch every error that this project raises on purpose."""

    names_layer = False  #: whether the message begins with a layer and its place in the network


class ShapeError(TinygradError, ValueError):
    """Shapes that do not fit each other, or do not fit a layer."""


class DTypeError(TinygradError, TypeError):
    """A dtype that cannot do what was asked, such as integers that require a gradient."""


class GradientError(TinygradError, RuntimeError):
    """A gradient that cannot be computed, or would have been lost."""


class LostGradientWarning(UserWarning):
    """A gradient ends where the user may not expect it: the value left the graph, or nothing keeps the gradient."""


class UnsupportedError(TinygradError, TypeError):
    """A NumPy function, or a use of one, that has no gradient rule here."""


class OptionError(TinygradError, ValueError):
    """An argument outside its valid values; the message lists them."""


class CompileError(TinygradError, RuntimeError):
    """A function that cannot become a straight line of NumPy calls."""


class UntraceableError(CompileError):
    """A step that a compiled program cannot take; the program calls the surrounding operation as a whole."""


class StateDictError(TinygradError, ValueError):
    """A state dict with missing, unexpected or misshapen entries, all of them listed."""


class DataError(TinygradError, ValueError):
    """A data file that is truncated, mislabelled, oversized or hostile."""


class MissingFileError(DataError, FileNotFoundError):
    """A file that is not there."""


class RunError(TinygradError, ValueError):
    """A run folder that lacks what a command needs."""


class NonFiniteError(TinygradError, FloatingPointError):
    """A loss or a value that became NaN or infinite."""


class GradcheckError(TinygradError, AssertionError):
    """A gradient that disagrees with finite differences."""


class MissingExtraError(TinygradError, ImportError):
    """An optional dependency that is not installed; the message holds its pip line."""


def choice(what: str, value: object, valid: Iterable[str]) -> OptionError:
    """Build the error for an unknown name, listing the valid ones and the nearest.

    Examples
    --------
    >>> print(choice("activation", "rleu", ["relu", "tanh"]))
    unknown activation 'rleu' (did you mean 'relu'?); valid: relu, tanh
    >>> print(choice("activation", "RELU", ["relu", "tanh"]))
    unknown activation 'RELU' (did you mean 'relu'?); valid: relu, tanh
    """
    names = sorted(valid)
    lower = {name.lower(): name for name in names}
    near = (
        get_close_matches(str(value).lower(), lower, n=1)
        if isinstance(value, str) and len(value) < 100
        else []
    )
    hint = f" (did you mean {lower[near[0]]!r}?)" if near else ""
    return OptionError(f"unknown {what} {quote(value)}{hint}; valid: {', '.join(names)}")


def misfit(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Say in words how the arguments of a call differ from what a function takes, or nothing if they fit.

    It is meant for calls that ended in a TypeError: Python's own message counts ``self``.

    Examples
    --------
    >>> misfit(lambda x: x, (1, 2.0), {})
    'got (int, float), but takes (x)'
    >>> misfit(lambda x: x, (1,), {})
    ''
    """
    try:
        signature = inspect.signature(function)
    except ValueError:  # a function written in C, or a method without self
        return ""
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        given = [*(type(x).__name__ for x in args), *(f"{k}={type(x).__name__}" for k, x in kwargs.items())]
        takes = [str(p.replace(annotation=p.empty)) for p in signature.parameters.values()]
        return f"got ({', '.join(given)}), but takes ({', '.join(takes)})"
    return ""


def pluralise(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural if necessary.

    Examples
    --------
    >>> pluralise(1, "epoch"), pluralise(1000, "epoch"), pluralise(2, "batch"), pluralise(2, "axis")
    ('1 epoch', '1,000 epochs', '2 batches', '2 axes')
    """
    plural = (
        noun[:-2] + "es"
        if noun.endswith("is")
        else noun + ("es" if noun.endswith(("tch", "s", "x")) else "s")
    )
    return f"{number:,} {noun if number == 1 else plural}"


def quote(text: object, length: int = 60) -> str:
    r"""Write foreign text in a message: on one line, without control characters, and not too long.

    Examples
    --------
    >>> print(quote("x" * 100, length=8), quote("a\nb"))
    'xxxxxx… 'a\nb'
    """
    try:
        written = repr(text)
    except ValueError:  # an integer of thousands of digits
        written = f"a {type(text).__name__}"
    return written if len(written) <= length else f"{written[: length - 1]}…"


def describe_briefly(error: BaseException, length: int = 300) -> str:
    r"""Return the message of a foreign error in one line, without control characters, and not too long.

    Examples
    --------
    >>> describe_briefly(ValueError("a\nb")), describe_briefly(ValueError("a" * 9), length=4)
    ('a b', 'aaa…')
    >>> describe_briefly(MemoryError())
    'MemoryError'
    """
    text = "".join(character if character.isprintable() else " " for character in str(error)[: length + 1])
    return (text if len(text) <= length else f"{text[: length - 1]}…") or type(error).__name__


def require(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import an optional dependency, or raise an error with the pip line that installs it.

    Examples
    --------
    >>> require("json", extra="plots", purpose="drawing curves").__name__
    'json'
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"{purpose} needs the package {module.partition('.')[0]!r}, which is not installed: "
            f"pip install 'tinygrad-mnist[{extra}]'"
        ) from error
