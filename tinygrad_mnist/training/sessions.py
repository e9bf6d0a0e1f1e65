"""One training with settings, into the folder of a run: what ``tinygrad-mnist train`` does, and the page, too."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..data import DATASETS, Augment, DataLoader, Dataset
from ..data.origin import Seen
from ..data.standard import fit_digits
from ..nn import Module
from ..optim import Optimizer, Schedule
from .callbacks import Callback, EarlyStopping
from .history import History
from .loop import evaluate, fit
from .parallel import Parallel
from .settings import SCHEDULES, Settings

__all__ = ["describe_run", "fit_run", "measure_run"]

Make = Callable[[Optimizer, int], Schedule]


def describe_run(settings: Settings, train_data: Dataset, test: Dataset) -> dict[str, Any]:
    """What ``config.json`` says of a training: its settings, and which data it sees.

    Parameters
    ----------
    settings : Settings
    train_data, test : Dataset
        Of the first, a part is held out for validation.
    """
    held_out = round(len(train_data) * settings.validation)
    split = {"train": len(train_data) - held_out, "validation": held_out, "seed": settings.seed}
    return {
        **settings.as_dict(),
        "fill": DATASETS[settings.dataset].fill or round(fit_digits(train_data.inputs), 4),
        "seen": asdict(Seen.of(train_data, test, split)),
        "version": __version__,
        "numpy": np.__version__,
    }


def fit_run(
    model: Module,
    train_data: Dataset,
    settings: Settings,
    folder: Path | None,
    callbacks: Iterable[Callback],
    *,
    minutes: float = 10.0,
    threads: int | None = None,
    parallel: Parallel | None = None,
    around_schedule: Callable[[Make | None], Make | None] = lambda make: make,
) -> History:
    """Train a model with settings, or go on with what is in the folder.

    Parameters
    ----------
    model : Module
        What ``settings.make_model`` made.
    train_data : Dataset
    settings : Settings
    folder : Path or None
        That of the run; the first of several processes has it.
    callbacks : iterable of Callback
        Besides early stopping, which the settings ask for or not.
    minutes : float, default 10
        The longest time between two checkpoints.
    threads : int, optional
    parallel : Parallel, optional
    around_schedule : callable, optional
        Gets the function that makes the schedule, and returns another.
    """
    validation = None
    if held_out := round(len(train_data) * settings.validation):
        train_data, validation = train_data.split(len(train_data) - held_out)
    loader = DataLoader(
        train_data,
        settings.batch_size,
        shuffle=True,
        augment=Augment(settings.augment, rng=settings.seed) if settings.augment else None,
        rng=settings.seed,
    )
    watching = list(callbacks)
    if settings.keep == "best":
        watching.insert(0, EarlyStopping(settings.patience))
    return fit(
        model,
        loader,
        epochs=settings.epochs,
        loss=settings.make_loss(),
        optimizer=settings.make_optimizer(model.parameters()),
        schedule=around_schedule(SCHEDULES[settings.schedule]),
        validation=validation,
        clip_norm=settings.clip_norm,
        rng=settings.seed,
        callbacks=watching,
        progress=False,
        compile=settings.compile,
        resume=folder,
        checkpoint_every=minutes,
        threads=threads,
        parallel=parallel,
    )


def measure_run(
    model: Module, test: Dataset, settings: Settings, history: History, stopped: str, folder: Path
) -> dict[str, Any]:
    """What ``result.json`` says of a training that has ended, with the measures of the test data."""
    measured = evaluate(model, test, loss=settings.make_loss())
    return {
        "test_accuracy": measured["accuracy"],
        "test_loss": measured["loss"],
        "seconds": round(history.seconds, 3),
        "parameters": sum(p.size for p in model.parameters()),
        "epochs": len(history),
        "stopped": stopped,
        "backend": history.backend,
        "threads": history.threads,
        "data": settings.data,
        "run_dir": str(folder),
    }
