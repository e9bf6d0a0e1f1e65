"""An epoch in progress: what it has gathered, and what it needs to be undone."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from ..errors import NonFiniteError
from ..typing import NDArray
from .callbacks import Training
from .metrics import Tally
from .parallel import Parallel

__all__ = ["Epoch", "undo_epoch"]


class Epoch:
    """What an epoch has gathered so far, and what it needs if it fails.

    Parameters
    ----------
    training : Training
    axis : int or None
        The axis on which the loss has the classes.
    state : mapping
        That of an interrupted epoch, or nothing.
    parallel : Parallel
    """

    def __init__(
        self, training: Training, axis: int | None, state: Mapping[str, Any], parallel: Parallel
    ) -> None:
        rate = training.optimizer.param_groups[0]["lr"]
        self.batch: int = state.get("batch", 0)  # how many were done when it began here
        self.row: dict[str, Any] = state.get("row") or {"epoch": training.epoch, "lr": rate}
        self.before: dict[str, NDArray] = state.get("before") or training.model.state_dict()
        self.tally = Tally(axis)
        vars(self.tally).update(state.get("tally", {}))
        if parallel.rank:  # the first process has what all have counted
            self.tally.correct = self.tally.positions = 0
        self._parallel = parallel

    def state_dict(self, batch: int) -> dict[str, Any]:
        """The state after so many batches."""
        tally = copy.copy(self.tally)
        tally.join(self._parallel.gather(self.tally.share))
        return {"batch": batch, "row": self.row, "before": self.before, "tally": vars(tally)}


def undo_epoch(training: Training, before: Mapping[str, NDArray], what: str) -> NonFiniteError:
    """Restore the last good weights, and return the error that says what happened.

    The memory of the optimizer may hold NaN, too, from the bad step or from those before it, so it starts anew.
    """
    training.model.load_state_dict(before)
    training.optimizer.state.clear()
    rates = ", ".join(f"{group['lr']:.3g}" for group in training.optimizer.param_groups)
    return NonFiniteError(
        f"fit: {what} in epoch {training.epoch}, batch {training.batch}; the model has been reset to the weights "
        f"before that epoch. Lower the learning rate (now {rates}), clip the gradients with clip_norm=, or look for a "
        "logarithm, root or division at zero, or for NaN in the data; tg.detect_anomaly() names the first bad number"
    )
