"""A run folder: everything that one training leaves behind and that is needed to use it again."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .. import viz
from ..data import Dataset
from ..errors import DataError, OptionError, RunError, pluralise, quote
from ..files import replace
from ..nn import Module
from ..nn.functional import sigmoid, softmax
from ..reading import parse_json, read_bytes, readable
from ..typing import NDArray
from .history import History
from .loop import predict
from .metrics import confusion_matrix
from .saving import load_model
from .settings import Settings

__all__ = ["Run", "probabilities"]

#: The largest file of settings or results, in bytes; most have a thousand.
LARGEST_SETTINGS = 2**20


def probabilities(outputs: NDArray, loss: str) -> NDArray:
    """Turn the outputs of a model into probabilities that add up to 1.

    Parameters
    ----------
    outputs : ndarray, shape (N, C)
    loss : str
        The loss with which the model was trained; it says what the outputs are: logits of a softmax,
        logits of sigmoids (``bce``), or numbers from 0 to 1 (all others).
    """
    if loss == "cross-entropy":
        return softmax(outputs)
    shares = sigmoid(outputs) if loss == "bce" else np.maximum(outputs, 0)
    return shares / np.maximum(shares.sum(axis=1, keepdims=True), 1e-12)


class Run:
    """A folder with a model, its settings and its results.

    ==========================  ==================================================
    ``config.json``             the settings
    ``model.safetensors``       weights, and the description of the model
    ``history.jsonl``           one JSON object per epoch
    ``result.json``             accuracy on the test data, seconds, parameters
    ``learning_curve.png`` …    pictures, if the extra ``plots`` is installed
    ``index.html``              a page that shows all this
    ==========================  ==================================================

    Parameters
    ----------
    folder : path
        An existing run.

    Raises
    ------
    RunError
        If there is no run in the folder.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            found = "is a file, not the folder of a run" if self.folder.is_file() else "no such folder"
            raise RunError(f"{self.folder}: {found}; `tinygrad-mnist train` makes one")
        experiment = self._experiment()
        if experiment:
            raise RunError(
                f"{self.folder}: holds the results of the experiment {experiment!r}; read them in "
                f"{self.folder / 'index.html'}. This command takes a run of `tinygrad-mnist train`"
            )
        if not self.weights.is_file():
            raise RunError(
                f"{self.folder}: has no model.safetensors, so it is not a run of `tinygrad-mnist train`"
            )

    def _experiment(self) -> str:
        """The name of the experiment to which the folder belongs, or ``""``."""
        file = self.folder / "config.json"
        name = self._json("config.json").get("experiment", "") if file.is_file() else ""
        return name if isinstance(name, str) else ""

    @classmethod
    def create(cls, folder: str | os.PathLike[str], config: dict[str, Any]) -> Path:
        """Make the folder of a new run and write its settings there.

        Raises
        ------
        RunError
            If the folder already exists and is not empty: nothing is overwritten.
        """
        folder = Path(folder)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise RunError(
                f"{folder}: already exists and is not empty; choose another folder, or remove it first"
            )
        replace(folder / "config.json", json.dumps(config, indent=2).encode() + b"\n")
        return folder

    @staticmethod
    def unused(parent: str | os.PathLike[str], name: str) -> Path:
        """Find an unused folder name: ``name-1``, ``name-2`` and so on."""
        number = 1
        while (folder := Path(parent) / f"{name}-{number}").exists():
            number += 1
        return folder

    @property
    def weights(self) -> Path:
        """The file of the model."""
        return self.folder / "model.safetensors"

    @property
    def settings(self) -> Settings:
        """The settings of the training.

        Raises
        ------
        RunError
            If some are missing.
        DataError
            If one of them cannot come from ``tinygrad-mnist train``.
        """
        config, file = self._json("config.json"), self.folder / "config.json"
        if missing := Settings.missing(config):
            raise RunError(f"{file}: has no {', '.join(missing)}, so the run is damaged")
        try:
            return Settings.of(config)
        except OptionError as error:
            raise DataError(
                f"{file}: has settings that `tinygrad-mnist train` does not write: {error}"
            ) from error

    @property
    def result(self) -> dict[str, Any]:
        """The final measurements."""
        return self._json("result.json")

    def _json(self, name: str) -> dict[str, Any]:
        path = self.folder / name
        try:
            value = parse_json(read_bytes(path, LARGEST_SETTINGS), path)
        except FileNotFoundError as error:
            raise RunError(f"{path}: is missing, so the run is incomplete") from error
        if not isinstance(value, dict):
            raise DataError(f"{path}: is damaged: expected an object")
        return value

    def model(self) -> Module:
        """Load the model, ready for use.

        Raises
        ------
        DataError
            If it is damaged, or does not fit the settings.
        """
        model, settings = load_model(self.weights).eval(), self.settings
        shape = model._sample_shape() or (settings.side**2,)
        if math.prod(shape) != settings.side**2:
            raise DataError(
                f"{self.weights}: reads {math.prod(shape):,} numbers, but the images of the run have "
                f"{settings.side}×{settings.side} pixels"
            )
        with readable(self.weights, "model"):
            outputs = predict(model, np.zeros((1, *shape), np.float32))
        if outputs.shape != (1, len(settings.classes)):
            raise DataError(
                f"{self.weights}: returns {quote(outputs.shape[1:])} numbers an image, but the run has "
                f"{pluralise(len(settings.classes), 'class')}"
            )
        return model

    def history(self) -> History:
        """Read the rows of all epochs."""
        return History.load(self.folder / "history.jsonl")

    def write_result(self, result: dict[str, Any]) -> None:
        """Write the final measurements."""
        replace(self.folder / "result.json", json.dumps(result, indent=2).encode() + b"\n")

    def write_pictures(self, model: Module, history: History, test: Dataset) -> list[Path]:
        """Draw the learning curve, the confusion matrix, the worst mistakes and the first weights.

        Raises
        ------
        MissingExtraError
            If matplotlib is not installed.
        """
        return list(self._pictures(model, history, test))

    def _pictures(self, model: Module, history: History, test: Dataset) -> Iterator[Path]:
        outputs = predict(model, test)
        side = test.inputs.shape[1:]
        if len(history):
            viz.plot_history(list(history), path=(path := self.folder / "learning_curve.png"))
            yield path
        matrix = confusion_matrix(test.targets, outputs, len(test.classes) or None)
        viz.plot_confusion(
            matrix, classes=test.classes or None, path=(path := self.folder / "confusion_matrix.png")
        )
        yield path
        mistakes = np.argmax(outputs, axis=1) != test.targets
        if mistakes.any():
            shares = probabilities(outputs, self.settings.loss)
            path = self.folder / "worst_mistakes.png"
            viz.plot_mistakes(test.inputs, test.targets, shares, classes=test.classes or None, path=path)
            yield path
        first = next(model.parameters())
        if first.ndim == 2 and first.shape[1] == side[0] * side[1]:
            viz.plot_weights(first.data, shape=side, path=(path := self.folder / "first_layer.png"))
            yield path
