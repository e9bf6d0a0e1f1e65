"""The command ``explain``: the program behind a run."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import RunError, pluralise
from ..experiments.options import Whole
from ..files import replace
from ..training.explaining import explain_run
from ..training.runs import Run

__all__ = ["explain", "name_backend"]


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), help="File to write.  [default: program.py in the run]"
)
@click.option("--batch-size", type=Whole(1), help="Images per step.  [default: the run's]")
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
