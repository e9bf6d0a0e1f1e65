"""The command line: train a digit classifier, look at what it learned, let it read pictures."""

from __future__ import annotations

import json
import warnings
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from click.core import ParameterSource

from .. import __version__, data, nn, testing, training, viz
from ..data import DATASETS, Dataset
from ..errors import GradcheckError, MissingExtraError, OptionError
from ..experiments import catalogue, run_experiment
from ..experiments.options import (
    CompileOption,
    Group,
    Number,
    RememberingCommand,
    Sizes,
    Terminated,
    command_line,
    refuse_beside_resume,
    run_command,
)
from ..experiments.training_page import write_training_page
from ..training import Checkpoint, Doctor, EarlyStopping, History, Progress
from ..training.folders import claim
from ..training.runs import Run, probabilities
from ..training.settings import LOSSES, OPTIMIZERS, SCHEDULES, Settings
from ..training.steps import COMPILE, require_backend
from .explaining import explain
from .stepping import step_through

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit."""
    run_command(cli, "tinygrad-mnist")


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="tinygrad-mnist")
def cli() -> None:
    """Train and examine networks that read handwritten digits.

    Start with `tinygrad-mnist train`.
    """


cli.add_command(explain)
cli.add_command(step_through)


@cli.command(cls=RememberingCommand)
@click.option(
    "--dataset", type=click.Choice(list(DATASETS)), default="mnist", show_default=True, help="Data set."
)
@click.option("--data", "path", type=click.Path(path_type=Path), help="Folder or file with the data.")
@click.option(
    "--hidden",
    type=Sizes(),
    default="128",
    show_default=True,
    help="Sizes of the hidden layers, such as 512,256, or none.",
)
@click.option(
    "--activation",
    type=click.Choice(sorted(nn.activations)),
    default="relu",
    show_default=True,
    help="Activation after each hidden layer.",
)
@click.option(
    "--dropout",
    type=Number(0, 1, max_open=True),
    default=0.0,
    show_default=True,
    help="Share of the hidden units to switch off at random during training.",
)
@click.option(
    "--loss", type=click.Choice(LOSSES), default="cross-entropy", show_default=True, help="Loss to minimise."
)
@click.option(
    "--label-smoothing",
    type=Number(0, 1, max_open=True),
    default=0.0,
    show_default=True,
    help="Share of each target to spread over all classes (cross-entropy only).",
)
@click.option(
    "--optimizer",
    type=click.Choice(sorted(OPTIMIZERS)),
    default="adamw",
    show_default=True,
    help="Optimizer; momentum is SGD with Nesterov momentum 0.9.",
)
@click.option(
    "--lr",
    type=Number(0, min_open=True),
    help="Learning rate.  [default: "
    + ", ".join(f"{name} {recipe.lr:g}" for name, recipe in OPTIMIZERS.items())
    + "; lower for layers wider than 128, except with sgd and momentum]",
)
@click.option(
    "--weight-decay",
    type=Number(0),
    default=0.05,
    show_default=True,
    help="How strongly weights are pulled towards 0.",
)
@click.option(
    "--schedule",
    type=click.Choice(sorted(SCHEDULES)),
    default="one-cycle",
    show_default=True,
    help="How the learning rate changes during training.",
)
@click.option(
    "--epochs",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="Number of passes through the data.",
)
@click.option(
    "--batch-size", type=click.IntRange(1), default=128, show_default=True, help="Images per update."
)
@click.option("--clip-norm", type=Number(0, min_open=True), help="Limit the norm of the gradient to this.")
@click.option(
    "--validation",
    type=Number(0, 0.9),
    default=0.05,
    show_default=True,
    help="Share of the training images held out for validation.",
)
@click.option(
    "--keep",
    type=click.Choice(["last", "best"]),
    help="Keep the last weights, or those with the best validation loss.  [default: last; best with --patience]",
)
@click.option(
    "--patience", type=click.IntRange(1), help="Stop after this many epochs without a better validation loss."
)
@click.option("--compile", cls=CompileOption, backends=COMPILE)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="The same seed gives the same weights.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder for the run.  [default: a new one in runs/]"
)
@click.option(
    "--resume",
    metavar="RUN",
    type=click.Path(path_type=Path),
    help="Go on with a training that was stopped or killed, with its settings; --epochs may ask for more.",
)
@click.option(
    "--checkpoint-every",
    metavar="MINUTES",
    type=Number(0, min_open=True),
    default=10.0,
    show_default=True,
    help="Also save within an epoch, as often as this. After each epoch, it is saved anyway.",
)
@click.option("--plots/--no-plots", default=True, show_default=True, help="Draw pictures into the folder.")
@click.option(
    "--doctor/--no-doctor", default=True, show_default=True, help="Say what goes wrong while it trains."
)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON at the end.")
def train(**options: Any) -> int:
    """Train a multi-layer perceptron and leave a folder with a page behind.

    Without MNIST on this machine and without a network, it trains on 5,000 digits that come with
    the program. Ctrl-C stops early and keeps what has been learned; --resume goes on from there.
    """
    plots, as_json, out = options.pop("plots"), options.pop("as_json"), options.pop("out")
    has_doctor, minutes = options.pop("doctor"), options.pop("checkpoint_every")
    resumed, settings = options.pop("resume"), None
    context = click.get_current_context()
    if resumed is not None:
        refuse_beside_resume("epochs", "checkpoint_every", "plots", "doctor", "as_json")
        settings = Run.read_settings(resumed)
        context.with_resource(claim(resumed))
        if context.get_parameter_source("epochs") is ParameterSource.COMMANDLINE:
            settings = replace(settings, epochs=options["epochs"])
    train_data, test = _load_again(settings) if settings else _load(options["dataset"], options["path"])
    click.echo(
        f"data: {train_data.source} ({len(train_data):,} to train with, {len(test):,} to test with)", err=True
    )

    # All checks come before anything is written.
    try:
        settings = settings or Settings.choose(options, train_data)
    except OptionError as error:
        raise click.UsageError(str(error)) from error
    require_backend(settings.compile)
    model = settings.make_model(int(np.prod(test.inputs.shape[1:])))
    parameters = sum(p.size for p in model.parameters())
    click.echo(f"model: {'-'.join(map(str, _sizes(model)))}, {parameters:,} parameters", err=True)
    config = {**settings.as_dict(), "version": __version__, "numpy": np.__version__}
    if resumed is None:
        folder = context.with_resource(Run.create(out, config, name=settings.dataset))
    else:
        folder = resumed
        Run.change_config(folder, epochs=settings.epochs)
    stopped, history = _fit(model, train_data, settings, folder, minutes, has_doctor)
    run = Run(folder)
    measured = training.evaluate(model, test, loss=settings.make_loss())
    result = {
        "test_accuracy": measured["accuracy"],
        "test_loss": measured["loss"],
        "seconds": round(history.seconds, 3),
        "parameters": parameters,
        "epochs": len(history),
        "stopped": stopped,
        "backend": history.backend,
        "data": train_data.source,
        "run_dir": str(folder),
    }
    run.write_result(result)
    correct = round(measured["accuracy"] * measured["count"])
    click.echo(
        f"test accuracy: {measured['accuracy']:.2%} ({correct:,} of {len(test):,}), {history.seconds:.1f} s of training"
    )
    if plots:
        try:
            run.write_pictures(model, history, test)
        except MissingExtraError as error:
            click.echo(f"no pictures: {error}", err=True)
    page = write_training_page(run, command_line(click.get_current_context().command_path))
    click.echo(f"run: {folder} ({page.name} shows it)")
    if as_json:
        click.echo(json.dumps(result))
    return _STATUS.get(stopped, 0)


#: Why the user stopped a training, and the exit status that says so, as the shell's.
_STATUS = {"interrupted": 130, "terminated": 143}


def _fit(
    model: nn.Module,
    train_data: Dataset,
    settings: Settings,
    folder: Path,
    minutes: float,
    has_doctor: bool,
) -> tuple[str, History]:
    """Train into a folder; return why training ended early (or ""), and its history."""
    validation = None
    if held_out := round(len(train_data) * settings.validation):
        train_data, validation = train_data.split(len(train_data) - held_out)
    saved = Checkpoint(folder)
    callbacks = [
        *([Doctor()] if has_doctor else []),
        *([EarlyStopping(settings.patience)] if settings.keep == "best" else []),
        saved,
        Progress(),
    ]
    try:
        training.fit(
            model,
            train_data,
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            loss=settings.make_loss(),
            optimizer=settings.make_optimizer(model.parameters()),
            schedule=SCHEDULES[settings.schedule],
            validation=validation,
            clip_norm=settings.clip_norm,
            rng=settings.seed,
            callbacks=callbacks,
            progress=False,
            compile=settings.compile,
            resume=folder,
            checkpoint_every=minutes,
        )
        stopped = saved.history.stopped
    except KeyboardInterrupt as interruption:
        if not (folder / "model.safetensors").is_file():  # it came before the training
            raise
        stopped = "terminated" if isinstance(interruption, Terminated) else "interrupted"
        click.echo(f"stopped; keeping what has been learned. --resume {folder} goes on", err=True)
    return stopped, saved.history


@cli.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--data", "path", type=click.Path(path_type=Path), help="Use these data instead of those of the run."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def evaluate(run: Path, path: Path | None, as_json: bool) -> None:
    """Measure the model of RUN on the test data, class by class."""
    saved = Run(run)
    _, test = _load_again(saved.settings, path)
    model = saved.model()
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


@cli.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per image.")
def predict(run: Path, images: tuple[Path, ...], as_json: bool) -> None:
    """Say which digit each of the IMAGES (PNG or .npy) shows.

    They may have any size, and be dark on light or light on dark.
    """
    saved = Run(run)
    model = saved.model()
    settings = saved.settings
    for path in images:
        digit = data.read_digit(path, size=settings.side, fill=DATASETS[settings.dataset].fill).reshape(1, -1)
        shares = probabilities(training.predict(model, digit), settings.loss)[0]
        best = np.argsort(-shares)[:3]
        names = [settings.classes[i] for i in best]
        if as_json:
            click.echo(
                json.dumps(
                    {
                        "image": str(path),
                        "prediction": names[0],
                        "probabilities": dict(zip(settings.classes, shares.round(6).tolist(), strict=True)),
                    }
                )
            )
        else:
            shown = ", ".join(f"{name} {shares[i]:.1%}" for name, i in zip(names, best, strict=True))
            click.echo(f"{path}: {names[0]}  ({shown})")


@cli.command("draw-graph")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), help="PNG, SVG, PDF or .dot.  [default: graph.svg in the run]"
)
@click.option("--batch-size", type=click.IntRange(1), default=64, show_default=True)
def draw_graph(run: Path, out: Path | None, batch_size: int) -> None:
    """Draw the graph that one training step of RUN records."""
    saved = Run(run)
    settings = saved.settings
    x, y = _load_again(settings)[1][:batch_size]
    loss = settings.make_loss()(saved.model().train()(x), y)
    path = out or saved.folder / "graph.svg"
    viz.render_graph(viz.draw_graph(loss), path)
    click.echo(f"graph: {path}")


@cli.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--samples", type=click.IntRange(1), default=8, show_default=True, help="Number of images in the loss."
)
@click.option(
    "--elements",
    type=click.IntRange(0),
    default=50,
    show_default=True,
    help="Number of elements of each parameter.",
)
@click.option("--every", is_flag=True, help="Check every element of every parameter (slow).")
def gradcheck(run: Path, samples: int, elements: int, every: bool) -> int:
    """Check the gradients of RUN by finite differences.

    The check runs in float64. It moves each parameter along random directions, which involve all of its elements,
    and then element by element.
    """
    saved = Run(run)
    settings = saved.settings
    model, loss_of = saved.model().astype(np.float64), settings.make_loss()
    x, y = _load_again(settings)[1][:samples]
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
    train_data, _ = _load_again(settings)
    model = settings.make_model(int(np.prod(train_data.inputs.shape[1:])))
    found = training.diagnose(
        model,
        train_data,
        loss=settings.make_loss(),
        optimizer=settings.make_optimizer(model.parameters()),
    )
    rows = list(saved.history())
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
    """Run the experiments that this project grew out of, and those that followed."""


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


def _load(dataset: str, path: Path | str | None) -> tuple[Dataset, Dataset]:
    """Load a data set; a warning about its source is printed, not raised."""
    if path is not None and not DATASETS[dataset].takes_path:
        raise click.UsageError(
            f"--data cannot be combined with --dataset {dataset}, which comes with its package"
        )
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", data.BundledSampleWarning)
        loaded = data.load(dataset, path)
    for warning in said:
        click.echo(f"warning: {warning.message}", err=True)
    return loaded


def _load_again(settings: Settings, path: Path | None = None) -> tuple[Dataset, Dataset]:
    """Load the data on which a run was trained, or other data instead."""
    if path is not None:
        return _load(settings.dataset if DATASETS[settings.dataset].takes_path else "mnist", path)
    if settings.data == data.SAMPLE:
        return data.load("sample")
    return _load(settings.dataset, settings.path)


def _sizes(model: nn.MLP) -> list[int]:
    layers = [layer for layer in model if isinstance(layer, nn.Linear)]
    return [layers[0].in_features, *(layer.out_features for layer in layers)]
