"""A training of the room Train, in a process of its own: one with settings, or one of the broken ones."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from .. import data
from ..data import DATASETS, Dataset
from ..data.dataset import DIGITS
from ..errors import NonFiniteError
from ..files import replace
from ..nn import Module
from ..training import Checkpoint, Doctor, Finding, fit
from ..training.broken import BROKEN
from ..training.folders import claim
from ..training.runs import Run
from ..training.sessions import describe_run, fit_run, measure_run
from ..training.settings import Settings
from .watching import Change, Watcher, answer_mistakes
from .worker import Line

__all__ = ["CHANGES", "train", "train_broken"]

#: The file of a run that says which knobs were turned.
CHANGES = "changes.json"


def load_data(line: Line, name: str, path: str | None) -> tuple[Dataset, Dataset]:
    """Load data; a warning about their source is told."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", data.BundledSampleWarning)
        loaded = data.load(name, path if DATASETS[name].takes_path else None)
    for warning in said:
        line.tell("said", words=str(warning.message))
    return loaded


def train(
    line: Line,
    *,
    options: dict[str, Any],
    folder: str,
    resumes: bool,
    changes: list[tuple[int, str, float]],
    pause_at: int | None,
) -> None:
    """Train as :func:`~tinygrad_mnist.training.sessions.fit_run` does, watched and steered over a line.

    Parameters
    ----------
    line : Line
    options : dict
        Those of ``tinygrad-mnist train``; of a fork, its settings.
    folder : str
        The run's; a new one, or with ``resumes`` one that has a checkpoint.
    resumes : bool
    changes : list of (step, knob, value)
    pause_at : int or None
    """
    path = Path(folder)
    train_data, test = load_data(line, options["dataset"], options["path"])
    if resumes:
        settings = Run.read_settings(path)
    else:
        given = None if options["path"] is None else Path(options["path"])
        settings = Settings.choose({**options, "path": given}, train_data)
    model = settings.make_model(int(np.prod(test.inputs.shape[1:])))
    line.tell(
        "settings",
        settings=settings.as_dict(),
        classes=list(settings.classes),
        side=settings.side,
        data=train_data.source,
        counts=[len(train_data), len(test)],
    )
    watcher = Watcher(
        line,
        test,
        settings.loss,
        path,
        changes=[Change(*change) for change in changes],
        pause_at=pause_at,
    )
    failed = ""
    saved = Checkpoint(path)
    with claim(path) if resumes else Run.create(path, describe_run(settings, train_data, test)):
        try:
            history = fit_run(
                model,
                train_data,
                settings,
                path,
                [Doctor(tell_findings(line, watcher)), saved, watcher],
                threads=1,  # another number rounds differently, and a fork must repeat what was
                around_schedule=watcher.make_schedule,
            )
        except NonFiniteError as error:
            failed, history = str(error), saved.history
        result = measure_run(model, test, settings, history, history.stopped or failed, path)
        turned = [change._asdict() for change in watcher.changes]
        replace(path / CHANGES, json.dumps(turned, indent=2).encode() + b"\n")
        Run(path).write_result(result)
    line.tell("done", result=result, error=failed, step=watcher.step)
    answer(line, model, test, settings.loss, path, watcher.step)


def train_broken(line: Line, *, code: str, mended: bool, pause_at: int | None) -> None:
    """Train one of the broken trainings, or its mended one.

    If its fault cannot be seen in the course of the training, the doctor examines it afterwards, with trials.

    Parameters
    ----------
    line : Line
    code : str
        One of :data:`~tinygrad_mnist.training.broken.BROKEN`.
    mended : bool
    pause_at : int or None
    """
    broken = BROKEN[code]
    settings = broken.make(mended)
    model, given = settings.pop("model"), settings.pop("train")
    test = broken.unseen(given)
    line.tell(
        "settings",
        settings={"broken": code, "mended": mended, "title": broken.title, "looks": broken.looks},
        classes=list(DIGITS) if test else [],
        side=28 if test else 0,
        data="the sample of MNIST" if test else "a sine",
        counts=[len(given.dataset if isinstance(given, data.DataLoader) else given[0]), len(test or ())],
    )
    watcher = Watcher(line, test, "cross-entropy", None, pause_at=pause_at)
    say = tell_findings(line, watcher)
    doctor, failed = Doctor(say), ""
    try:
        fit(model, given, rng=0, progress=False, callbacks=[doctor, watcher], threads=1, **settings)
    except NonFiniteError as error:
        failed = str(error)
    if not mended and code not in [finding.code for finding in doctor.findings]:
        for finding in broken.findings():
            say(finding)
    line.tell("done", result=None, error=failed, step=watcher.step)
    answer(line, model, test, "cross-entropy", None, watcher.step)


def tell_findings(line: Line, watcher: Watcher) -> Callable[[Finding], None]:
    """Make a function that tells each of the doctor's findings once."""
    said: set[tuple[str, str]] = set()

    def say(finding: Finding) -> None:
        if (finding.code, finding.layer) in said:
            return
        said.add((finding.code, finding.layer))
        line.tell(
            "finding",
            **{key: str(value) if value is not None else "" for key, value in asdict(finding).items()},
            why=finding.why,
            cure=finding.cure,
            step=watcher.step,
        )

    return say


def answer(
    line: Line, model: Module, test: Dataset | None, loss: str, folder: Path | None, step: int
) -> None:
    """Answer questions about a training that has ended, for as long as there is a page."""
    while (message := line.hear(None)) is not None:
        if message["do"] == "mistakes":
            answer_mistakes(line, model, test, loss, folder, message, now=step)
