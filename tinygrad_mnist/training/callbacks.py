"""Actions between batches and epochs: stop early, keep the best weights, save.

A callback derives from :class:`Callback` and overrides any of its four methods. Each method gets the current
:class:`Training`. If it sets ``training.stop`` to a reason, training ends after the current epoch.

If it remembers something from one epoch to the next, it also defines ``state_dict()`` and ``load_state_dict(state)``,
so that a training that was interrupted goes on as if it had not been: see ``resume=`` of
:func:`~tinygrad_mnist.training.fit`.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..data import DataLoader
from ..errors import OptionError, StateDictError
from ..nn import Module
from ..optim import ExponentialMovingAverage, Optimizer
from ..typing import Array, NDArray
from .history import History
from .saving import save_model

__all__ = ["AverageWeights", "Callback", "Checkpoint", "EarlyStopping", "Training"]


class Training:
    """A training in progress, as callbacks see it.

    Attributes
    ----------
    model : Module
    optimizer : Optimizer
    history : History
    epochs, batches : int
        The number of epochs, and of batches in each epoch.
    epoch, batch : int
        The current ones, counted from 1.
    loss : float
        The loss of the last batch.
    validates : bool
        Whether there are validation data.
    stop : str
        Set it to a reason, and training ends after this epoch.
    threads : int or None
        The number of threads of matrix products; None if it was left as it was.
    data, validation : DataLoader or None
        What is trained and validated with.
    loss_function : callable

    Examples
    --------
    >>> import numpy as np, tinygrad_mnist as tg
    >>> class Enough(Callback):
    ...     def on_epoch(self, training: Training):
    ...         if training.epoch == 2:
    ...             training.stop = f"{training.epoch} of {training.epochs} epochs are enough"
    >>> x, y = np.arange(8.0)[:, None], np.arange(8.0)[:, None]
    >>> model = tg.nn.Linear(1, 1, rng=0)
    >>> len(tg.training.fit(model, (x, y), loss="mse", rng=0, progress=False, callbacks=Enough()))
    2
    """

    def __init__(
        self, model: Module, optimizer: Optimizer, epochs: int, batches: int, validates: bool
    ) -> None:
        self.model, self.optimizer = model, optimizer
        self.epochs, self.batches, self.validates = epochs, batches, validates
        self.history = History()
        self.epoch = self.batch = 0
        self.loss = math.nan
        self.stop = ""
        self.threads: int | None = None
        self.data: DataLoader | None = None
        self.validation: DataLoader | None = None
        self.loss_function: Callable[[Array, Array], Array] | None = None


class Callback:
    """The base class of callbacks; it does nothing. Override what you need.

    Examples
    --------
    >>> class Shout(Callback):
    ...     def on_epoch(self, training):
    ...         print(f"epoch {training.epoch}!")
    """

    #: Whether ``on_end`` changes the model; such callbacks end before those that only observe.
    changes_model = False
    #: Whether the training would be the same without it; it may then be absent when the training goes on.
    only_watches = False

    def on_start(self, training: Training) -> None:
        """Called before the first epoch."""

    def on_batch(self, training: Training) -> None:
        """Called after each update; ``training.batch`` and ``training.loss`` are its number and its loss."""

    def on_epoch(self, training: Training) -> None:
        """Called after each epoch; ``training.history[-1]`` is its row."""

    def on_end(self, training: Training) -> None:
        """Called after the last epoch, also if training was stopped or failed."""


class EarlyStopping(Callback):
    """Keep the weights of the best epoch, and stop if there is no improvement for a while.

    Parameters
    ----------
    patience : int, optional
        Training ends after this many epochs without improvement; by default, it does not end early.
    monitor : str, default 'validation_loss'
        A measure in the history; lower is better for losses, higher for other measures.

    Examples
    --------
    >>> import numpy as np, tinygrad_mnist as tg
    >>> x, y = np.arange(8.0)[:, None], np.arange(8.0)[:, None]
    >>> model = tg.nn.Linear(1, 1, rng=0)
    >>> history = tg.training.fit(
    ...     model, (x, y), epochs=50, loss="mse", optimizer=tg.optim.SGD(model.parameters(), lr=0.03),
    ...     validation=(x, -y), rng=0, progress=False, callbacks=EarlyStopping(patience=3),
    ... )  # what is learned is wrong for these validation data
    >>> len(history) < 50
    True
    """

    changes_model = True

    def __init__(self, patience: int | None = None, *, monitor: str = "validation_loss") -> None:
        if patience is not None and not (isinstance(patience, (int, np.integer)) and patience >= 1):
            raise OptionError(f"EarlyStopping: patience = {patience!r} is not a positive number of epochs")
        self.patience, self.monitor = patience, monitor
        self.best_epoch = 0
        self._best_weights: dict[str, NDArray] | None = None

    def on_start(self, training: Training) -> None:
        if self.monitor.startswith("validation") and not training.validates:
            raise OptionError(f"EarlyStopping: {self.monitor} is not measured; pass validation= to fit")
        self.best_epoch, self._best_weights = 0, None

    def on_epoch(self, training: Training) -> None:
        best = training.history.best(self.monitor)["epoch"]
        if best != self.best_epoch:
            self.best_epoch, self._best_weights = best, training.model.state_dict()
        if self.patience is not None and training.epoch - best >= self.patience:
            training.stop = f"no better {self.monitor} since epoch {best}"

    def state_dict(self) -> dict[str, Any]:
        """The best epoch so far, and its weights."""
        return {"monitor": self.monitor, "best_epoch": self.best_epoch, "best_weights": self._best_weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from the best epoch of an interrupted training.

        Raises
        ------
        StateDictError
            If another measure was monitored there.
        """
        if state["monitor"] != self.monitor:
            raise StateDictError(
                f"EarlyStopping: monitors {self.monitor}, but the state dict {state['monitor']}"
            )
        self.best_epoch, self._best_weights = state["best_epoch"], state["best_weights"]

    def on_end(self, training: Training) -> None:
        if self._best_weights is not None:
            training.model.load_state_dict(self._best_weights)


class AverageWeights(Callback):
    """Average the weights over the last steps, and leave the model with the averages at the end.

    The measures in the history are those of the weights as they are trained. If training fails, the model keeps these.

    Parameters
    ----------
    decay : float in [0, 1), default 0.999
        See :class:`~tinygrad_mnist.optim.ExponentialMovingAverage`.

    Attributes
    ----------
    average : ExponentialMovingAverage
        While the model is trained, ``with average.applied():`` computes with the averages.

    Examples
    --------
    >>> import numpy as np, tinygrad_mnist as tg
    >>> x, y = np.arange(8.0)[:, None], np.arange(8.0)[:, None]
    >>> model, average = tg.nn.Linear(1, 1, rng=0), AverageWeights(decay=0.9)
    >>> history = tg.training.fit(model, (x, y), loss="mse", rng=0, progress=False, callbacks=average)
    >>> average.average.steps
    5
    """

    changes_model = True

    def __init__(self, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise OptionError(f"AverageWeights: decay = {decay!r} is not in [0, 1)")
        self.decay = decay

    def on_start(self, training: Training) -> None:
        self.average = ExponentialMovingAverage(training.model.parameters(), self.decay)

    def on_batch(self, training: Training) -> None:
        self.average.update()

    def on_end(self, training: Training) -> None:
        if self.average.steps and len(training.history) == training.epoch:
            self.average.apply()

    def state_dict(self) -> dict[str, Any]:
        """The averages."""
        return {"decay": self.decay, **self.average.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with the averages of an interrupted training.

        Raises
        ------
        StateDictError
            If they decay in another way.
        """
        if state["decay"] != self.decay:
            raise StateDictError(
                f"AverageWeights: decay is {self.decay}, but {state['decay']} in the state dict"
            )
        self.average.load_state_dict({name: value for name, value in state.items() if name != "decay"})


class Checkpoint(Callback):
    """Save the model and the history after every epoch, so that nothing is lost.

    The files are for using the model; to go on with a training, see ``resume=`` of
    :func:`~tinygrad_mnist.training.fit`. If a file cannot be written after an epoch, as on a full disk, training goes
    on with a warning; at the end, that is an error.

    Parameters
    ----------
    folder : path
        Receives ``model.safetensors`` and ``history.jsonl``.

    Attributes
    ----------
    history : History
        The history of the training that was saved last, even if it was interrupted.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np, tinygrad_mnist as tg
    >>> x, y = np.arange(8.0)[:, None], np.arange(8.0)[:, None]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     history = tg.training.fit(
    ...         tg.nn.Linear(1, 1, rng=0), (x, y), loss="mse", rng=0, progress=False, callbacks=Checkpoint(folder)
    ...     )
    ...     sorted(path.name for path in Path(folder).iterdir())
    ['history.jsonl', 'model.safetensors']
    """

    only_watches = True

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.history = History()

    def on_start(self, training: Training) -> None:
        self.history = training.history
        self._save(training)

    def on_epoch(self, training: Training) -> None:
        try:
            self._save(training)
        except OSError as error:
            warnings.warn(
                f"Checkpoint: epoch {training.epoch} was not saved, and training goes on: {error}",
                stacklevel=2,
            )

    def on_end(self, training: Training) -> None:
        self._save(training)

    def _save(self, training: Training) -> None:
        save_model(training.model, self.folder / "model.safetensors")
        training.history.save(self.folder / "history.jsonl")
