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
    """The base class: catch it to catch every error that this project raises on purpose.

    Examples
    --------
    >>> import numpy as np, tinygrad_mnist as tg
    >>> try:
    ...     tg.nn.Linear(4, 3)(np.ones((2, 5)))
    ... except tg.errors.TinygradError as error:
    ...     print(type(error).__name__, isinstance(error, ValueError))
    ShapeError True
    """

    names_layer = False  #: whether the message begins with a layer and its place in the network


class ShapeError(TinygradError, ValueError):
    """Shapes that do not fit each other, or do not fit a layer.

    Examples
    --------
    >>> import numpy as np, tinygrad_mnist as tg
    >>> tg.nn.functional.mse_loss(np.ones((5, 1)), np.ones(5))
    Traceback (most recent call last):
        ...
    tinygrad_mnist.errors.ShapeError: mse_loss: input of shape (5, 1) and target of shape (5,)
        differ; give both the same, as in target.reshape(input.shape)
    """


class DTypeError(TinygradError, TypeError):
    """A dtype that cannot do what was asked, such as integers that require a gradient.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> tg.tensor([1, 2], requires_grad=True)
    Traceback (most recent call last):
        ...
    tinygrad_mnist.errors.DTypeError: a Tensor of dtype int64 cannot require a gradient: only
        floating-point and complex ones have derivatives; convert it first, as in
        Tensor(data.astype(float))
    """


class GradientError(TinygradError, RuntimeError):
    """A gradient that cannot be computed, or would have been lost.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> x = tg.tensor(2.0, requires_grad=True)
    >>> y = x * x
    >>> y.backward()
    >>> y.backward()
    Traceback (most recent call last):
        ...
    tinygrad_mnist.errors.GradientError: backward: the graph through multiply was freed by an
        earlier backward pass; compute the loss anew for each backward(), or pass retain_graph=True to the first
        one to run it twice
    """


class LostGradientWarning(UserWarning):
    """A gradient ends where the user may not expect it: the value left the graph, or nothing keeps the gradient.

    Examples
    --------
    >>> import warnings
    >>> import tinygrad_mnist as tg
    >>> x = tg.tensor(2.0, requires_grad=True)
    >>> with warnings.catch_warnings(record=True, category=LostGradientWarning, action="always") as caught:
    ...     y = float(x) ** 2  # a Python number, which knows nothing of x
    >>> caught[0].category.__name__
    'LostGradientWarning'
    """


class UnsupportedError(TinygradError, TypeError):
    """A NumPy function, or a use of one, that has no gradient rule here.

    Examples
    --------
    >>> import numpy as np, tinygrad_mnist as tg
    >>> try:
    ...     np.packbits(tg.tensor([1.0, 0.0], requires_grad=True))
    ... except UnsupportedError as error:
    ...     print(str(error).splitlines()[0])
    np.packbits has no gradient rule here. If no gradient should flow, call it on t.detach(). To add the rule:
    """


class OptionError(TinygradError, ValueError):
    """An argument outside its valid values; the message lists them.

    Examples
    --------
    >>> import numpy as np, tinygrad_mnist as tg
    >>> tg.nn.functional.mse_loss(np.ones(2), np.zeros(2), reduction="average")
    Traceback (most recent call last):
        ...
    tinygrad_mnist.errors.OptionError: unknown reduction 'average'; valid: mean, none, sum
    """


class CompileError(TinygradError, RuntimeError):
    """A function that cannot become a straight line of NumPy calls.

    Examples
    --------
    >>> import numpy as np, tinygrad_mnist as tg
    >>> @tg.compile
    ... def size(x):
    ...     return x if x.sum() > 0 else -x
    >>> try:
    ...     size(np.ones(2))
    ... except CompileError as error:
    ...     print(str(error).partition(".")[0])
    compile: a Python `if`, `while`, `assert`, `and` or `or` asked for a value that changes from call to call
    """


class UntraceableError(CompileError):
    """A step that a compiled program cannot take; the program calls the surrounding operation as a whole.

    Examples
    --------
    >>> import numpy as np, tinygrad_mnist as tg
    >>> rounded = tg.compile(lambda x: x * round(float(x.sum())))
    >>> try:
    ...     rounded(np.ones(2))
    ... except UntraceableError as error:
    ...     print(str(error).partition(".")[0])
    compile: `float()`, or a function of `math`, asked for a value that changes from call to call
    """


class StateDictError(TinygradError, ValueError):
    """A state dict with missing, unexpected or misshapen entries, all of them listed.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> tg.nn.Linear(2, 1).load_state_dict({"weights": 0})
    Traceback (most recent call last):
        ...
    tinygrad_mnist.errors.StateDictError: load_state_dict: 3 entries do not fit this Linear:
      weight: missing, expected shape (1, 2)
      bias: missing, expected shape (1,)
      weights: unexpected, shape ()
    """


class DataError(TinygradError, ValueError):
    """A data file that is truncated, mislabelled, oversized or hostile.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import tinygrad_mnist as tg
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "w.safetensors")
    ...     _ = file.write_bytes(b"half a file")
    ...     try:
    ...         tg.load(file)
    ...     except DataError as error:
    ...         print(str(error).removeprefix(folder))
    /w.safetensors: not JSON (Expecting value: line 1 column 1 (char 0))
    """


class MissingFileError(DataError, FileNotFoundError):
    """A file that is not there.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> try:
    ...     tg.load("nowhere.safetensors")
    ... except FileNotFoundError as error:
    ...     print(type(error).__name__)
    MissingFileError
    """


class RunError(TinygradError, ValueError):
    """A run folder that lacks what a command needs.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> tg.training.load_model("nowhere/model.safetensors")
    Traceback (most recent call last):
        ...
    tinygrad_mnist.errors.RunError: nowhere/model.safetensors: there is no saved model here
    """


class NonFiniteError(TinygradError, FloatingPointError):
    """A loss or a value that became NaN or infinite.

    Examples
    --------
    >>> import numpy as np, tinygrad_mnist as tg
    >>> x = tg.tensor([1.0, -1.0], requires_grad=True)
    >>> with tg.detect_anomaly(), np.errstate(invalid="ignore"):
    ...     try:
    ...         np.log(x)
    ...     except NonFiniteError as error:
    ...         print(str(error).splitlines()[0])
    log: NaN in 1 of 2 elements of the result, the first at [1]
    """


class GradcheckError(TinygradError, AssertionError):
    """A gradient that disagrees with finite differences.

    Examples
    --------
    >>> import numpy as np, tinygrad_mnist as tg
    >>> def wrong(x):
    ...     return x * x.detach()  # x², but the gradient of the second factor is lost
    >>> try:
    ...     tg.testing.gradcheck(wrong, np.array([1.0, 2.0]))
    ... except GradcheckError as error:
    ...     print(str(error).partition(" in ")[0])
    gradcheck: the gradient of argument 0 (shape (2,)) is wrong
    """


class MissingExtraError(TinygradError, ImportError):
    """An optional dependency that is not installed; the message holds its pip line.

    Examples
    --------
    >>> require("a_package", extra="plots", purpose="drawing")
    Traceback (most recent call last):
        ...
    tinygrad_mnist.errors.MissingExtraError: drawing needs the package 'a_package', which is not
        installed: pip install 'tinygrad-mnist[plots]'
    """


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
    >>> misfit(lambda x, axis=0: x, (1,), {"axes": 1})
    "unknown argument 'axes' (did you mean 'axis'?); valid: axis, x"
    """
    try:
        signature = inspect.signature(function)
    except ValueError:  # a function written in C, or a method without self
        return ""
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        parameters = signature.parameters
        unknown = [name for name in kwargs if name not in parameters]
        if unknown and not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            return str(choice("argument", unknown[0], parameters))
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
