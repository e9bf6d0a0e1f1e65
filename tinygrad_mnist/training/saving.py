"""Models on disk: one safetensors file with the weights and the description of the model."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from ..errors import DataError, OptionError, RunError
from ..files import load, read_metadata, save
from ..nn import Module, build, describe

__all__ = ["load_model", "save_model"]


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


def load_model(path: str | os.PathLike[str], *, classes: Iterable[type[Module]] = ()) -> Module:
    """Read a model that :func:`save_model` wrote.

    Parameters
    ----------
    path : path
    classes : iterable of Module classes
        Your own classes in the model. Nothing is imported or executed because a file says so.

    Raises
    ------
    RunError
        If there is no such file.
    DataError, StateDictError
        If it is damaged, does not describe a model, or if its weights do not fit the description.
    """
    path = Path(path)
    if not path.is_file():
        inside = path / "model.safetensors"
        hint = f"; did you mean {inside}?" if inside.is_file() else ""
        raise RunError(f"{path}: there is no saved model here{hint}")
    description = read_metadata(path).get("model")
    if description is None:
        raise DataError(f"{path}: has arrays but no description of a model; read it with tg.load")
    try:
        model = build(json.loads(description), classes)
    except (DataError, json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"{path}: the description of the model cannot be used: {error}") from error
    state = load(path)
    dtypes = {state[name].dtype for name, _ in model.named_parameters() if name in state}
    if len(dtypes) == 1:
        model.astype(dtypes.pop())  # the model may have been converted since it was made
    model.load_state_dict(state)
    return model
