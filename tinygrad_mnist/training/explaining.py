"""The program behind a run: its training step, or its prediction, compiled on an empty batch."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..compiler import Compiled, compile
from ..errors import OptionError
from ..reading import LARGEST_ARRAYS
from .runs import Run

__all__ = ["explain_run"]


def explain_run(run: Run, batch_size: int | None = None, *, in_training: bool = True) -> Compiled[..., Any]:
    """Compile a run's training step, or its prediction, on an empty batch; the run does not change.

    Parameters
    ----------
    run : Run
    batch_size : int, optional
        The default is the run's batch size, or 64 if it was saved from Python.
    in_training : bool, default True

    Raises
    ------
    DataError
        If the run has settings that `tinygrad-mnist train` does not write.
    OptionError
        If the batch is too large to be computed with.
    """
    facts, settings = run.facts, None if run.is_saved_from_python else run.settings
    n, side = batch_size or (settings.batch_size if settings else 64), facts.side
    if 4 * n * side**2 > LARGEST_ARRAYS:
        raise OptionError(
            f"{n:,} images of {side}×{side} pixels are too many to explain; choose a --batch-size"
        )
    x = np.zeros((n, *facts.input), np.float32)
    model = run.model()
    if not in_training or settings is None:
        predict = compile(model)
        predict(x)
        return predict
    loss = settings.make_loss()
    model.train()
    optimizer = settings.make_optimizer(model.parameters())

    def training_step(x: Any, y: Any) -> Any:
        return loss(model(x), y)

    step = compile(training_step, optimizer=optimizer, clip_norm=settings.clip_norm)
    step(x, np.zeros(n, np.int64))
    return step
