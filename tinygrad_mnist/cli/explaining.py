"""The command ``explain``: the program behind a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np

from ..compiler import Compiled, compile
from ..errors import OptionError, RunError, pluralise
from ..files import replace
from ..reading import LARGEST_ARRAYS
from ..training.runs import Run

__all__ = ["explain", "explain_run", "name_backend"]


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), help="File to write.  [default: program.py in the run]"
)
@click.option("--batch-size", type=click.IntRange(1), help="Images per step.  [default: the run's]")
@click.option("--use", is_flag=True, help="Write the program of a prediction instead of a training step.")
def explain(run: Path, out: Path | None, batch_size: int | None, use: bool) -> None:
    """Write one training step of RUN as a NumPy program.

    This is what `train --compile` runs or turns into machine code: the forward pass, backpropagation and the
    update, as you would write them by hand. It also says what RUN was trained with.
    """
    saved = Run(run)
    if saved.is_saved_from_python and not use:
        use = True
        click.echo(
            "note: the run was saved from Python and does not say how it was trained; this is the program of a "
            "prediction",
            err=True,
        )
    compiled = explain_run(saved, batch_size, in_training=not use)
    path = out or run / "program.py"
    replace(path, compiled.source.encode())
    stats = compiled.stats
    click.echo(
        f"program: {path} ({pluralise(stats.operations, 'operation')}, "
        f"{pluralise(stats.buffers, 'buffer')} of {stats.bytes:,} bytes in all)"
    )
    click.echo(f"trained with: {name_backend(saved)}")


def name_backend(run: Run) -> str:
    """Say which back end ran the steps of a run."""
    try:
        backend = str(run.result.get("backend"))
    except RunError:  # it was stopped
        backend = ""
    return _BACKENDS.get(backend, "unknown; the run does not say")


_BACKENDS = {
    "eager": "the uncompiled model (--no-compile)",
    "numpy": "this program, as calls of NumPy",
    "numba": "machine code (numba), compiled from it",
}


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
