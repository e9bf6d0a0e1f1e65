"""A run folder: everything that one training leaves behind and that is needed to use it again."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .. import viz
from ..data import DATASETS, Dataset
from ..data.origin import Seen
from ..errors import DataError, OptionError, RunError, pluralise, quote
from ..files import replace, unfinished
from ..nn import Module, feature_maps
from ..nn.functional import sigmoid, softmax
from ..nn.init import room_for
from ..reading import parse_json, read_bytes, readable
from ..typing import NDArray
from .folders import LOCK, claim, make_folder
from .history import History
from .loop import predict
from .metrics import confusion_matrix
from .saving import load_model
from .settings import Facts, Settings

__all__ = ["MADE_BY_SAVE_RUN", "Run", "probabilities"]

#: What ``config.json`` says in place of settings if a model trained in Python was saved as a run.
MADE_BY_SAVE_RUN = "tinygrad_mnist.training.save_run"

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
    ``checkpoint.safetensors``  all that the training needs to go on
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
                f"{self.folder}: holds the results of the experiment {quote(experiment)}; read them in "
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
    @contextmanager
    def create(
        cls, folder: str | os.PathLike[str] | None, config: dict[str, Any], *, name: str = "run"
    ) -> Iterator[Path]:
        """Make the folder of a new run, write its settings there, and keep it from other processes in a block.

        Parameters
        ----------
        folder : path or None
            None means a new folder in ``runs``: ``runs/name-1``, ``runs/name-2`` and so on.
        config : dict
            Its settings, as JSON.
        name : str

        Raises
        ------
        RunError
            If the folder already exists and is not empty: nothing is overwritten.
        """
        path = make_folder("runs", name) if folder is None else Path(folder)
        _require_empty(path)
        with claim(path):
            _require_empty(path)  # another process may have been faster
            _write_json(path / "config.json", config)
            yield path

    @staticmethod
    def change_config(folder: Path, **settings: Any) -> None:
        """Change some settings of a run."""
        config = _read_json(folder / "config.json")
        if config != (new := {**config, **settings}):
            _write_json(folder / "config.json", new)

    @property
    def weights(self) -> Path:
        """The file of the model."""
        return self.folder / "model.safetensors"

    @property
    def is_saved_from_python(self) -> bool:
        """Whether :func:`save_run` made it, so that it has no settings of a training."""
        return self._json("config.json").get("made_by") == MADE_BY_SAVE_RUN

    @property
    def fill(self) -> float:
        """The share of an image's side that a digit takes up in the data of the training.

        Raises
        ------
        DataError
            If it is none.
        """
        usual = DATASETS[self.facts.dataset or "mnist"].fill or DATASETS["mnist"].fill
        given = self._json("config.json").get("fill", usual)
        if not isinstance(given, (int, float)) or not 0 < given <= 1:
            raise DataError(
                f"{self.folder / 'config.json'}: fill is {quote(given)}; expected a share up to 1"
            )
        return float(given)

    @property
    def facts(self) -> Facts:
        """What the run says of its model and its data; see :meth:`read_facts`."""
        return self.read_facts(self.folder)

    @classmethod
    def read_facts(cls, folder: str | os.PathLike[str]) -> Facts:
        """Read what the run in a folder says of its model and its data.

        Raises
        ------
        RunError, DataError
            If something is missing or impossible.
        """
        file = Path(folder) / "config.json"
        config = _read_json(file)
        if config.get("made_by") != MADE_BY_SAVE_RUN:
            return Facts.of(cls.read_settings(folder).as_dict())
        try:
            return Facts.of(config)
        except OptionError as error:
            raise DataError(f"{file}: has facts that `save_run` does not write: {error}") from error

    @staticmethod
    def read_seen(folder: str | os.PathLike[str]) -> Seen | None:
        """Read which data a run has seen; None if an earlier version made it, which did not write that down.

        Raises
        ------
        DataError
            If the description is damaged.
        """
        file = Path(folder) / "config.json"
        config = _read_json(file)
        return Seen.read(config["seen"], file) if "seen" in config else None

    @property
    def settings(self) -> Settings:
        """The settings of the training; see :meth:`read_settings`."""
        return self.read_settings(self.folder)

    @classmethod
    def read_settings(cls, folder: str | os.PathLike[str]) -> Settings:
        """Read the settings of the training in a folder, even if it was killed before it saved a model.

        Raises
        ------
        RunError
            If some are missing.
        DataError
            If one of them cannot come from ``tinygrad-mnist train``.
        """
        file = Path(folder) / "config.json"
        config = _read_json(file)
        if "experiment" in config:
            raise RunError(
                f"{folder}: holds the results of an experiment; `tinygrad-mnist experiment run "
                f"{str(config['experiment'])[:40]} --resume {folder}` goes on with it"
            )
        if config.get("made_by") == MADE_BY_SAVE_RUN:
            raise RunError(f"{folder}: was saved from Python, so it has no settings of a training")
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
        return _read_json(self.folder / name)

    def model(self) -> Module:
        """Load the model, ready for use.

        Raises
        ------
        DataError
            If it is damaged, or does not fit the settings.
        """
        model, facts = load_model(self.weights).eval(), self.facts
        shape = model._sample_shape() or facts.input
        if math.prod(shape) != facts.side**2:
            raise DataError(
                f"{self.weights}: reads {math.prod(shape):,} numbers, but the images of the run have "
                f"{facts.side}×{facts.side} pixels"
            )
        with readable(self.weights, "model"):
            outputs = predict(model, np.zeros((1, *facts.input), np.float32))
        if np.shape(outputs) != (1, len(facts.classes)):
            raise DataError(
                f"{self.weights}: returns {quote(np.shape(outputs)[1:])} numbers an image, but the run has "
                f"{pluralise(len(facts.classes), 'class')}"
            )
        return model

    def new_model(self) -> Module:
        """Make a model with the settings of the run, as it was before the training.

        Raises
        ------
        DataError
            If it would be larger than the one that is saved.
        """
        size, inputs = sum(x.size for x in self.model().state_dict().values()), self.settings.side**2
        with readable(self.folder / "config.json", "description of the saved model"), room_for(size):
            self.settings.make_model(inputs)
        return self.settings.make_model(inputs)

    def history(self) -> History:
        """Read the rows of all epochs."""
        return History.load(self.folder / "history.jsonl")

    def write_result(self, result: dict[str, Any]) -> None:
        """Write the final measurements."""
        _write_json(self.folder / "result.json", result)

    def write_pictures(self, model: Module, history: History, test: Dataset) -> list[Path]:
        """Draw the learning curve, the confusion matrix, the worst mistakes and the first weights.

        Of a model with convolutions, the first weights are its filters, and the maps of the first test image are drawn.

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
        if (first.ndim == 2 and first.shape[1] == side[0] * side[1]) or (
            first.ndim == 4 and first.shape[1] == 1 and first[0, 0].size > 1
        ):
            viz.plot_weights(first.data, shape=side, path=(path := self.folder / "first_layer.png"))
            yield path
        if maps := feature_maps(model, test[:1][0]):
            of_first = {f"layer {name}": of_batch[0] for name, of_batch in maps.items()}
            viz.plot_feature_maps(test.inputs[0], of_first, path=(path := self.folder / "feature_maps.png"))
            yield path


def _read_json(path: Path) -> dict[str, Any]:
    """Read an object from a file of a run."""
    try:
        value = parse_json(read_bytes(path, LARGEST_SETTINGS), path)
    except FileNotFoundError as error:
        found = "has no" if path.parent.is_dir() else "no such folder, and so no"
        raise RunError(
            f"{path.parent}: {found} {path.name}; give the folder of a run, as `tinygrad-mnist train` makes it"
        ) from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: is damaged: expected an object")
    return value


def _require_empty(folder: Path) -> None:
    """Check that a new run can be made in a folder, where one may have been killed before it was made."""
    left = [folder / LOCK, *unfinished(folder)]
    if folder.exists() and (not folder.is_dir() or any(found not in left for found in folder.iterdir())):
        raise RunError(
            f"{folder}: already exists and is not empty; choose another folder, or remove it first"
        )


def _write_json(path: Path, value: dict[str, Any]) -> None:
    replace(path, json.dumps(value, indent=2).encode() + b"\n", sync=True)
