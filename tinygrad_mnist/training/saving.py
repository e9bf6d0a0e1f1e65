"""Models on disk: one safetensors file with the weights and the description of the model."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from ..errors import DataError, MissingFileError, OptionError, RunError, StateDictError
from ..files import read_safetensors, save
from ..nn import Module, build, describe
from ..nn.init import room_for
from ..reading import LARGEST_ARRAYS, parse_json

__all__ = ["load_model", "save_model"]

#: The longest description of a model, in characters; each of its layers takes 20 to 60.
LONGEST_DESCRIPTION = 2**17

#: How many more numbers than the file the described model may have, so that a small misfit is named exactly.
SLACK = 10_000

#: How many misfits are named.
MOST_LINES = 20


def save_model(model: Module, path: str | os.PathLike[str]) -> None:
    """Write a model to a ``.safetensors`` file that :func:`load_model` can read on its own.

    Parameters
    ----------
    model : Module
        A model of layers of :mod:`tinygrad_mnist.nn`, or of your own classes whose constructors take
        names and numbers.
    path : path

    Raises
    ------
    OptionError
        If a layer was made with something that has no JSON form, such as a function.

    Examples
    --------
    >>> import tempfile, tinygrad_mnist as tg
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_model(tg.nn.MLP([4, 3, 2], rng=0), f"{folder}/model.safetensors")
    ...     load_model(f"{folder}/model.safetensors")
    MLP(
      (0): Linear(4, 3)
      (1): ReLU()
      (2): Linear(3, 2)
    )
    """
    if not isinstance(model, Module):
        raise OptionError(
            f"save_model: the model comes first, and must be a Module; got {type(model).__name__}"
        )
    save(model.state_dict(), path, metadata={"model": json.dumps(describe(model))})


def load_model(
    path: str | os.PathLike[str], *, classes: Iterable[type[Module]] = (), max_bytes: int = LARGEST_ARRAYS
) -> Module:
    """Read a model that :func:`save_model` wrote.

    Parameters
    ----------
    path : path
    classes : iterable of Module classes
        Your own classes in the model. Nothing is imported or executed because a file says so.
    max_bytes : int, default 2**28
        The largest size of the weights; see :func:`tinygrad_mnist.load`.

    Raises
    ------
    RunError
        If there is no such file.
    DataError, StateDictError
        If it is damaged, does not describe a model, or if its weights do not fit the description.

    Examples
    --------
    >>> import tempfile, tinygrad_mnist as tg
    >>> class Twice(tg.nn.Module):
    ...     def __init__(self, size):
    ...         self.layer = tg.nn.Linear(size, size)
    ...     def forward(self, x):
    ...         return self.layer(self.layer(x))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_model(Twice(3), f"{folder}/model.safetensors")
    ...     load_model(f"{folder}/model.safetensors", classes=[Twice])
    Twice(
      (layer): Linear(3, 3)
    )
    """
    path = Path(path)
    try:
        state, metadata = read_safetensors(path, max_bytes=max_bytes)
    except DataError as error:
        if not (isinstance(error, MissingFileError) or os.path.isdir(path)):  # noqa: PTH112 (for long names)
            raise
        inside = path / "model.safetensors"
        hint = f"; did you mean {inside}?" if os.path.isfile(inside) else ""  # noqa: PTH113
        raise RunError(f"{path}: there is no saved model here{hint}") from error
    description = metadata.get("model")
    if description is None:
        raise DataError(f"{path}: has arrays but no description of a model; read it with tg.load")
    try:
        if len(description) > LONGEST_DESCRIPTION:
            raise DataError(f"it has more than {LONGEST_DESCRIPTION:,} characters")
        with room_for(sum(array.size for array in state.values()) + SLACK):
            model = build(parse_json(description), classes)
    except DataError as error:
        raise DataError(f"{path}: the description of the model cannot be used: {error}") from error
    dtypes = {state[name].dtype for name, _ in model.named_parameters() if name in state}
    if len(dtypes) == 1 and next(iter(dtypes)).kind == "f":
        model.astype(dtypes.pop())  # the model may have been converted since it was made
    try:
        model.load_state_dict(state)
    except StateDictError as error:
        raise StateDictError(f"{path}: {_shortened(str(error))}") from error
    return model


def _shortened(message: str) -> str:
    lines = message.splitlines()
    more = [f"  … and {len(lines) - MOST_LINES:,} more"] if len(lines) > MOST_LINES else []
    return "\n".join([*lines[:MOST_LINES], *more])
