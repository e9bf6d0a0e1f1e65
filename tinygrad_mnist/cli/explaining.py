"""The command ``explain``: the program behind a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np

from ..compiler import Compiled, compile
from ..files import replace
from ..training.runs import Run

__all__ = ["explain", "explain_run", "name_backend"]


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), help="Where to write it.  [default: program.py in the run]"
)
@click.option("--batch-size", type=click.IntRange(1), help="Images in a step.  [default: the run's]")
@click.option("--use", is_flag=True, help="The model in use, rather than a training step.")
def explain(run: Path, out: Path | None, batch_size: int | None, use: bool) -> None:
    """Write the NumPy program that one training step of RUN is.

    It is what `train --compile` runs, or makes machine code of: the forward pass, backpropagation and the
    update, as somebody would write them by hand. What RUN was trained by is said too.
    """
    saved = Run(run)
    compiled = explain_run(saved, batch_size, in_training=not use)
    path = out or run / "program.py"
    replace(path, compiled.source.encode())
    stats = compiled.stats
    click.echo(
        f"program: {path} ({stats.operations} operations, {stats.buffers} buffers of {stats.bytes:,} bytes in all)"
    )
    click.echo(f"trained by: {name_backend(saved)}")


def name_backend(run: Run) -> str:
    """Say which back end did the steps of a run."""
    backend = run.result.get("backend") if run.folder.joinpath("result.json").is_file() else None
    return _BACKENDS.get(str(backend), "not known; the run does not say")


_BACKENDS = {
    "eager": "the uncompiled model (--no-compile)",
    "numpy": "this program, as calls of NumPy",
    "numba": "machine code (numba) made of it",
}


def explain_run(run: Run, batch_size: int | None = None, *, in_training: bool = True) -> Compiled:
    """Compile a run's training step, or its model in use, on an empty batch; the run stays as it is.

    Parameters
    ----------
    run : Run
    batch_size : int, optional
        By default the run's own.
    in_training : bool, default True

    Raises
    ------
    DataError
        If the run's settings are not those that `tinygrad-mnist train` writes.
    """
    settings = run.settings
    n, side = batch_size or settings.batch_size, settings.side
    x = np.zeros((n, side, side), np.float32).reshape(n, -1)
    model = run.model()
    if not in_training:
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
