"""A model that was trained in Python, as the folder of a run that the command line reads."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from .. import data as sources
from .. import nn
from ..data import DATASETS, Dataset
from ..data.origin import Seen
from ..errors import DataError, OptionError
from ..files import replace
from ..nn import Module, build, describe
from .history import History
from .loop import predict
from .runs import MADE_BY_SAVE_RUN, Run
from .saving import save_model
from .settings import LOSSES, Facts

__all__ = ["save_run"]

#: How inputs may be made of images: what the command line does, too.
_TRANSFORMS = (sources.to_vectors, sources.to_images, sources.digits_to_vectors)

#: Losses by their classes. Their other settings do not change what the outputs mean.
_NAMES: dict[Any, str] = {
    None: "cross-entropy",
    nn.CrossEntropyLoss: "cross-entropy",
    nn.functional.cross_entropy: "cross-entropy",
    nn.BCEWithLogitsLoss: "bce",
    nn.functional.binary_cross_entropy_with_logits: "bce",
    nn.MSELoss: "mse",
    nn.L1Loss: "l1",
    nn.HuberLoss: "huber",
}


def save_run(
    model: Module,
    folder: str | os.PathLike[str],
    *,
    data: Dataset | tuple[Dataset, Dataset],
    loss: Callable[..., Any] | str | None = None,
    history: History | None = None,
) -> Path:
    """Make a run of a model that was trained in Python: a folder for ``evaluate``, ``predict`` and ``explain``.

    Parameters
    ----------
    model : Module
        A classifier of images, of layers of :mod:`tinygrad_mnist.nn`.
    folder : path
        A new folder, or an empty one.
    data : Dataset, or (train, test)
        What the model was trained with, and what it is to be tested with. ``evaluate`` then uses the same test data,
        and refuses those that the model has learned from. The transform must be ``to_vectors``, ``to_images`` or
        ``digits_to_vectors``, since pictures are made into inputs in the same way.
    loss : callable or str, as for :func:`fit`
        It says what the outputs mean. With a function of your own, ``predict`` says no probabilities.
    history : History, optional
        What :func:`fit` returned.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    OptionError
        If the command line could not use the model: if it is no classifier of square images of these classes, has
        layers of your own (``save_model`` and ``load_model(classes=…)`` take them), or if the transform is yours.
    RunError
        If the folder is not empty.

    Notes
    -----
    The run says that it was saved from Python, and has no settings of a training: nothing is made up. So ``explain``
    writes the program of a prediction.

    Examples
    --------
    >>> import tempfile, tinygrad_mnist as tg
    >>> train, test = tg.data.load_mnist("sample")
    >>> model = tg.nn.MLP([784, 32, 10], rng=0)
    >>> history = tg.training.fit(model, train, epochs=1, rng=0, progress=False)
    >>> with tempfile.TemporaryDirectory() as parent:
    ...     folder = save_run(model, f"{parent}/run", data=(train, test), history=history)
    ...     sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    ['config.json', 'history.jsonl', 'model.safetensors', 'result.json']
    """
    train, test = data if isinstance(data, tuple) and len(data) == 2 else (data, None)
    for part in (train, test):
        if not (isinstance(part, Dataset) or (part is None and train is not None)):
            raise OptionError(
                f"save_run: data is {type(part).__name__}; pass a Dataset, or (train, test), as load_mnist returns "
                "them. Dataset(images, labels, transform=to_vectors, classes=...) makes one of arrays"
            )
    facts = _facts(model, train, loss)
    try:
        build(json.loads(json.dumps(describe(model))))
    except DataError as error:
        raise OptionError(
            f"save_run: the command line cannot make this model: {error}. save_model keeps it, and "
            "load_model(path, classes=[...]) reads it"
        ) from error
    config = {
        "made_by": MADE_BY_SAVE_RUN,
        **asdict(facts),
        "seen": asdict(Seen.of(train, test)),
        "numpy": np.__version__,
    }
    with Run.create(folder, config) as path:
        save_model(model, path / "model.safetensors")
        if history is not None:
            history.save(path / "history.jsonl")
            result = {"epochs": len(history), "stopped": history.stopped, "backend": history.backend}
            replace(path / "result.json", json.dumps(result, indent=2).encode() + b"\n")
    return path


def _facts(model: Module, train: Dataset, loss: Callable[..., Any] | str | None) -> Facts:
    """Find out what a run has to know, and check that the command line can use it."""
    shape = train.inputs.shape[1:]
    if len(shape) != 2 or shape[0] != shape[1]:
        raise OptionError(
            f"save_run: the inputs have shape {shape} each; the command line reads square images, of shape (side, side)"
        )
    if train.transform not in _TRANSFORMS:
        known = ", ".join(transform.__name__ for transform in _TRANSFORMS)
        raise OptionError(
            f"save_run: the transform is {getattr(train.transform, '__name__', train.transform)!r}, and the command "
            f"line knows only {known}, so pictures could not be made into the same inputs"
        )
    x, _ = train[:1]
    outputs = predict(model, x)
    if not isinstance(outputs, np.ndarray):
        raise OptionError(
            f"save_run: the model returns a {type(outputs).__name__}; a run needs one output, a number for each class. "
            "save_model keeps a model with several outputs"
        )
    if outputs.shape != (1, len(train.classes)):
        raise OptionError(
            f"save_run: the model returns {outputs.shape[1:]} for an image, but the data have {len(train.classes)} "
            "classes; Dataset(..., classes=[...]) names them"
        )
    origin = train.origin if train.origin and train.origin.dataset in DATASETS else None
    return Facts(
        dataset=origin.dataset if origin else None,
        path=origin.path if origin else None,
        data=train.source or "made in Python",
        classes=train.classes,
        side=shape[0],
        loss=_name(loss),
        input=x.shape[1:],
    )


def _name(loss: Callable[..., Any] | str | None) -> str | None:
    """The name of a loss, if it is one that the command line knows."""
    if isinstance(loss, str):
        if loss not in LOSSES:
            raise OptionError(f"save_run: there is no loss {loss!r}; choose from {', '.join(LOSSES)}")
        return loss
    return _NAMES.get(loss) or _NAMES.get(type(loss))
