"""The command line: train a digit classifier, look at what it learned, let it read pictures."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click
import numpy as np

from .. import __version__, data, export_onnx, testing, training, viz
from ..errors import GradcheckError
from ..experiments import catalogue, run_experiment
from ..experiments.options import (
    Group,
    Whole,
    run_command,
)
from ..training.history import is_finite
from ..training.runs import Run
from .explaining import explain
from .loading import load_again
from .playing import play
from .predicting import predict
from .stepping import step_through
from .sweeping import sweep
from .training import train

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit.

    Examples
    --------
    >>> from unittest.mock import patch
    >>> with patch("sys.argv", ["tinygrad-mnist", "--version"]):
    ...     try:
    ...         main()
    ...     except SystemExit as end:
    ...         print("exit status", end.code)
    tinygrad-mnist, version ...
    exit status 0
    """
    run_command(cli, "tinygrad-mnist")


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="tinygrad-mnist")
def cli() -> None:
    """Train and examine networks that read handwritten digits.

    Start with `tinygrad-mnist train`.
    """


cli.add_command(train)
cli.add_command(explain)
cli.add_command(play)
cli.add_command(predict)
cli.add_command(step_through)
cli.add_command(sweep)


@cli.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--data", "path", type=click.Path(path_type=Path), help="Use these data instead of those of the run."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def evaluate(run: Path, path: Path | None, as_json: bool) -> None:
    """Measure the model of RUN on the test data, class by class.

    They are those of the run, or those that --data names. Without them, an error says how to get them.
    """
    saved = Run(run)
    model = saved.model()
    _, test = load_again(run, path)
    outputs = training.predict(model, test)
    matrix = training.confusion_matrix(test.targets, outputs, len(test.classes))
    accuracy = training.accuracy(test.targets, outputs)
    if as_json:
        click.echo(
            json.dumps(
                {
                    "test_accuracy": accuracy,
                    "count": len(test),
                    "data": test.source,
                    "confusion": matrix.tolist(),
                }
            )
        )
        return
    click.echo(f"data: {test.source}")
    for name, row in zip(test.classes, range(len(matrix)), strict=True):
        right, total = int(matrix[row, row]), int(matrix[row].sum())
        share = f"{right / total:.2%}" if total else "–"
        click.echo(f"{name:>12}  {share:>7}  {right:,} of {total:,}")
    click.echo(f"{'accuracy':>12}  {accuracy:.2%}  {int(np.trace(matrix)):,} of {len(test):,}")


@cli.command("draw-graph")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), help="PNG, SVG, PDF or .dot.  [default: graph.svg in the run]"
)
@click.option("--batch-size", type=Whole(1), default=64, show_default=True, help="Images in the step.")
def draw_graph(run: Path, out: Path | None, batch_size: int) -> None:
    """Draw the graph that one training step of RUN records."""
    saved = Run(run)
    facts, model = saved.facts, saved.model().train()
    # Shapes are all that the drawing shows, so no data are needed.
    outputs = model(np.zeros((batch_size, *facts.input), np.float32))
    loss = outputs if facts.loss is None else facts.make_loss()(outputs, np.zeros(batch_size, np.int64))
    path = out or saved.folder / "graph.svg"
    viz.render_graph(viz.draw_graph(loss), path)
    click.echo(f"graph: {path}")


@cli.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("file", type=click.Path(path_type=Path))
def export(run: Path, file: Path) -> None:
    """Write the model of RUN as an ONNX file.

    Other programs run it, with batches of any size. Images are greys from 0 to 1, as in the model. It needs the
    extra `onnx`.
    """
    saved = Run(run)
    example = np.zeros((1, *saved.facts.input), np.float32)
    click.echo(export_onnx(saved.model(), example, file))


@cli.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--samples", type=Whole(1), default=8, show_default=True, help="Number of images in the loss.")
@click.option(
    "--elements",
    type=Whole(0),
    default=50,
    show_default=True,
    help="Number of elements of each parameter.",
)
@click.option("--every", is_flag=True, help="Check every element of every parameter (slow).")
@click.option(
    "--data", "path", type=click.Path(path_type=Path), help="Use these data instead of those of the run."
)
def gradcheck(run: Path, samples: int, elements: int, every: bool, path: Path | None) -> int:
    """Check the gradients of RUN by finite differences.

    The check runs in float64. It moves each parameter along random directions, which involve all of its elements,
    and then element by element.
    """
    saved = Run(run)
    model, loss_of = saved.model().astype(np.float64), saved.facts.make_loss()
    x, y = load_again(run, path)[1][:samples]
    x = x.astype(np.float64)
    loss_of(model(x), y).backward()
    failed = 0
    for name, parameter in model.named_parameters():
        try:
            report = testing.check_parameter(
                lambda: loss_of(model(x), y),
                parameter,
                name=name,
                elements=parameter.size if every else elements,
            )
            click.echo(f"{name:<16} {parameter.shape!s:<12} ok: {report}")
        except GradcheckError as error:
            failed += 1
            click.echo(f"{name:<16} {parameter.shape!s:<12} WRONG: {error}")
    return 1 if failed else 0


@cli.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per finding.")
def doctor(run: Path, as_json: bool) -> int:
    """Look for mistakes in the training of RUN.

    It examines the data and a new model with the settings of RUN, and the history of RUN. The exit status is 1 if there
    are findings.
    """
    saved = Run(run)
    settings = saved.settings
    train_data, _ = load_again(run, takes_data=False)
    model = saved.new_model()
    found = training.diagnose(
        model,
        train_data,
        loss=settings.make_loss(),
        optimizer=settings.make_optimizer(model.parameters()),
    )
    # A loss that was not finite is null in the file.
    rows = [
        row
        for row in saved.history()
        if "epoch" in row and is_finite(row.get("train_loss")) and is_finite(row.get("validation_loss", 0.0))
    ]
    found += training.doctor.check_history(rows, rows[0]["train_loss"]) if rows else []
    for finding in found:
        click.echo(
            json.dumps({**asdict(finding), "why": finding.why, "cure": finding.cure}) if as_json else finding
        )
    if not found and not as_json:
        click.echo("no findings")
    return 1 if found else 0


@cli.group("experiment", cls=Group)
def experiment_group() -> None:
    """Run an experiment, or list them."""


@experiment_group.command("list")
def list_experiments() -> None:
    """List the experiments, with one line about each."""
    for name, (_, about) in catalogue().items():
        click.echo(f"{name:<24} {about}")


# The arguments after the name belong to the experiment, including --help.
@experiment_group.command("run", context_settings={"allow_interspersed_args": False})
@click.argument("name")
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
def run_one(name: str, args: tuple[str, ...]) -> None:
    """Run the experiment NAME; it gets all other arguments.

    `tinygrad-mnist experiment run NAME --help` shows them.
    """
    run_experiment(name, args)


@cli.group("data", cls=Group)
def data_group() -> None:
    """Show which data are on this machine, or download MNIST."""


@data_group.command()
def info() -> None:
    """List the places where data are searched for, and what is there.

    The places that are in use now are marked.
    """
    used: set[str] = set()
    for place in data.describe():
        is_first = place.is_usable and place.dataset not in used
        if is_first:
            used.add(place.dataset)
        click.echo(f"{'>' if is_first else ' '} {place}")
    click.echo("`tinygrad-mnist data fetch` downloads MNIST, or says why it cannot", err=True)


@data_group.command()
@click.option(
    "--folder", type=click.Path(path_type=Path), help="Folder to download to.  [default: the user's cache]"
)
def fetch(folder: Path | None) -> None:
    """Download MNIST from its public mirrors and check it."""
    click.echo(f"MNIST: {data.fetch_mnist(folder)}")
