"""A run folder: everything one training leaves behind, and all that is needed to use it again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .. import viz
from ..data import Dataset
from ..errors import DataError, RunError
from ..files import replace
from ..nn import Module
from ..nn.functional import sigmoid, softmax
from ..typing import NDArray
from .history import History
from .loop import predict
from .metrics import confusion_matrix
from .saving import load_model

__all__ = ["Run", "probabilities"]


#: What other commands need of config.json.
_NEEDED = ("dataset", "path", "data", "classes", "side", "loss", "label_smoothing")


def probabilities(outputs: NDArray, loss: str) -> NDArray:
    """Turn the outputs of a model into shares that add up to 1.

    Parameters
    ----------
    outputs : ndarray, shape (N, C)
    loss : str
        What the model was trained with, which says what its outputs are: logits of a softmax, logits
        of sigmoids (``bce``), or numbers from 0 to 1 (all others).
    """
    if loss == "cross-entropy":
        return softmax(outputs)  # type: ignore[no-any-return]
    shares = sigmoid(outputs) if loss == "bce" else np.maximum(outputs, 0)
    return shares / np.maximum(shares.sum(axis=1, keepdims=True), 1e-12)  # type: ignore[no-any-return]


class Run:
    """A folder with a model, how it was made, and how it did.

    ==========================  ==================================================
    ``config.json``             the settings
    ``model.safetensors``       weights, and the description of the model
    ``history.jsonl``           one JSON object an epoch
    ``result.json``             accuracy on the test data, seconds, parameters
    ``learning_curve.png`` …    pictures, where the extra ``plots`` is installed
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
            raise RunError(f"{self.folder}: there is no such folder; `tinygrad-mnist train` makes one")
        if not self.weights.is_file():
            raise RunError(
                f"{self.folder}: holds no model.safetensors, so it is not a run of `tinygrad-mnist train`"
            )

    @classmethod
    def create(cls, folder: str | os.PathLike[str], config: dict[str, Any]) -> Path:
        """Make the folder of a new run and write its settings there.

        Raises
        ------
        RunError
            If the folder is already there and not empty: nothing is overwritten.
        """
        folder = Path(folder)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise RunError(
                f"{folder}: is already there and not empty; choose another folder, or remove it first"
            )
        replace(folder / "config.json", json.dumps(config, indent=2).encode() + b"\n")
        return folder

    @staticmethod
    def unused(parent: str | os.PathLike[str], name: str) -> Path:
        """Find a folder name that is not taken: ``name-1``, ``name-2`` and so on."""
        number = 1
        while (folder := Path(parent) / f"{name}-{number}").exists():
            number += 1
        return folder

    @property
    def weights(self) -> Path:
        """The file of the model."""
        return self.folder / "model.safetensors"

    @property
    def config(self) -> dict[str, Any]:
        """The settings it was made with."""
        config = self._json("config.json")
        if missing := [name for name in _NEEDED if name not in config]:
            raise RunError(f"{self.folder / 'config.json'}: lacks {', '.join(missing)}; the run is damaged")
        return config

    @property
    def result(self) -> dict[str, Any]:
        """What was measured at the end."""
        return self._json("result.json")

    def _json(self, name: str) -> dict[str, Any]:
        path = self.folder / name
        if not path.is_file():
            raise RunError(f"{path}: is missing; the run is not complete")
        try:
            value = json.loads(path.read_bytes())
        except ValueError as error:  # not JSON, or not even text
            raise DataError(f"{path}: is damaged: {error}") from error
        if not isinstance(value, dict):
            raise DataError(f"{path}: is damaged: expected an object")
        return value

    def model(self) -> Module:
        """Load the model, ready for use."""
        return load_model(self.weights).eval()

    def history(self) -> History:
        """Read the rows of all epochs."""
        return History.load(self.folder / "history.jsonl")

    def write_result(self, result: dict[str, Any]) -> None:
        """Write what was measured at the end."""
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
        matrix = confusion_matrix(outputs, test.targets, len(test.classes) or None)
        viz.plot_confusion(
            matrix, classes=test.classes or None, path=(path := self.folder / "confusion_matrix.png")
        )
        yield path
        mistakes = np.argmax(outputs, axis=1) != test.targets
        if mistakes.any():
            shares = probabilities(outputs, self.config["loss"])
            path = self.folder / "worst_mistakes.png"
            viz.plot_mistakes(test.inputs, test.targets, shares, classes=test.classes or None, path=path)
            yield path
        first = next(model.parameters())
        if first.ndim == 2 and first.shape[1] == side[0] * side[1]:
            viz.plot_weights(first.data, shape=side, path=(path := self.folder / "first_layer.png"))
            yield path
