"""The command line: train a digit classifier, look at what it learned, ask it about pictures."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np

from . import __version__, data, nn, optim, testing, training, viz
from .commands import CompileOption, Number, RememberingCommand, Sizes, command_line, run_command
from .data import Dataset
from .errors import DataError, GradcheckError, MissingExtraError
from .experiments import catalogue, run_experiment
from .experiments.training_page import write_training_page
from .explaining import explain
from .training import Checkpoint, EarlyStopping, Progress
from .training.recipes import LEARNING_RATES, LOSSES, OPTIMIZERS, SCHEDULES, learning_rate, make_loss
from .training.runs import Run, probabilities
from .training.steps import COMPILE, require_backend
from .typing import Array

__all__ = ["main"]

DATASETS = ("mnist", "fashion", "digits", "sample")


def main() -> None:
    """Run the command line and exit."""
    run_command(cli, "tinygrad-mnist")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="tinygrad-mnist")
def cli() -> None:
    """Train and examine networks that read handwritten digits.

    Start with `tinygrad-mnist train`.
    """


cli.add_command(explain)


@cli.command(cls=RememberingCommand)
@click.option(
    "--dataset", type=click.Choice(DATASETS), default="mnist", show_default=True, help="Which data."
)
@click.option("--data", "path", type=click.Path(path_type=Path), help="Folder or file where they are.")
@click.option(
    "--hidden",
    type=Sizes(),
    default="128",
    show_default=True,
    help="Units of the hidden layers, as 512,256; none for no hidden layer.",
)
@click.option(
    "--activation",
    type=click.Choice(sorted(nn.activations)),
    default="relu",
    show_default=True,
    help="After each hidden layer.",
)
@click.option(
    "--dropout",
    type=Number(0, 1, max_open=True),
    default=0.0,
    show_default=True,
    help="Share of the hidden units switched off at random in training.",
)
@click.option(
    "--loss", type=click.Choice(LOSSES), default="cross-entropy", show_default=True, help="What is minimised."
)
@click.option(
    "--label-smoothing",
    type=Number(0, 1, max_open=True),
    default=0.0,
    show_default=True,
    help="Share of each target spread over all classes (cross-entropy only).",
)
@click.option(
    "--optimizer",
    type=click.Choice(sorted(OPTIMIZERS)),
    default="adamw",
    show_default=True,
    help="How the weights follow the gradient; momentum is SGD with Nesterov momentum 0.9.",
)
@click.option(
    "--lr",
    type=Number(0, min_open=True),
    help="Learning rate.  [default: "
    + ", ".join(f"{name} {lr:g}" for name, lr in LEARNING_RATES.items())
    + "; for layers wider than 128 less, but for sgd and momentum]",
)
@click.option(
    "--weight-decay",
    type=Number(0),
    default=0.05,
    show_default=True,
    help="How strongly weights are pulled to 0.",
)
@click.option(
    "--schedule",
    type=click.Choice(sorted(SCHEDULES)),
    default="one-cycle",
    show_default=True,
    help="How the learning rate changes during the training.",
)
@click.option(
    "--epochs", type=click.IntRange(1), default=10, show_default=True, help="Times through the data."
)
@click.option(
    "--batch-size", type=click.IntRange(1), default=128, show_default=True, help="Images in an update."
)
@click.option("--clip-norm", type=Number(0, min_open=True), help="Largest norm of the gradient.")
@click.option(
    "--validation",
    type=Number(0, 0.9),
    default=0.05,
    show_default=True,
    help="Share of the training images held out to watch.",
)
@click.option(
    "--keep",
    type=click.Choice(["last", "best"]),
    help="Weights of the last epoch, or of that with the best validation loss.  [default: last; best with --patience]",
)
@click.option(
    "--patience", type=click.IntRange(1), help="Stop after so many epochs without a better validation loss."
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
    "--out", type=click.Path(path_type=Path), help="Folder of the run.  [default: a new one in runs/]"
)
@click.option("--plots/--no-plots", default=True, show_default=True, help="Draw pictures into the folder.")
@click.option("--json", "as_json", is_flag=True, help="End with one line of JSON on the standard output.")
def train(**options: Any) -> int:
    """Train a multi-layer perceptron and leave a folder with a page behind.

    Without MNIST on this machine, and without a network, it trains on 5,000 digits that come with
    the program. Ctrl-C stops early and keeps what has been learned.
    """
    plots, as_json, out = options.pop("plots"), options.pop("as_json"), options.pop("out")
    train_data, test = _load(options["dataset"], options["path"])
    click.echo(
        f"data: {train_data.source} ({len(train_data):,} to train with, {len(test):,} to test with)", err=True
    )

    options["lr"] = options["lr"] or learning_rate(options["optimizer"], max(options["hidden"], default=0))
    model = _model(options, inputs=int(np.prod(test.inputs.shape[1:])), classes=len(test.classes))
    parameters = sum(p.size for p in model.parameters())
    click.echo(f"model: {'-'.join(map(str, _sizes(model)))}, {parameters:,} parameters", err=True)

    # Whatever can be refused is refused before anything is written.
    if options["label_smoothing"] and options["loss"] != "cross-entropy":
        raise click.UsageError("--label-smoothing goes with --loss cross-entropy only")
    require_backend(options["compile"])
    loss = make_loss(options["loss"], options["label_smoothing"])
    optimizer = OPTIMIZERS[options["optimizer"]](model.parameters(), options["lr"], options["weight_decay"])
    held_out = round(len(train_data) * options["validation"])
    options["keep"] = options["keep"] or ("best" if options["patience"] else "last")
    if options["keep"] == "best" and not held_out:
        raise click.UsageError(
            "--keep best and --patience watch the validation loss; they need a larger --validation"
        )
    if options["keep"] == "last" and options["patience"]:
        raise click.UsageError("--patience goes back to the best epoch; it does not go with --keep last")
    folder = Run.create(out or Run.unused("runs", options["dataset"]), _config(options, train_data))
    stopped, backend, seconds = _fit(model, train_data, held_out, loss, optimizer, options, folder)

    run = Run(folder)
    history = run.history()
    measured = training.evaluate(model, test, loss=loss)
    result = {
        "test_accuracy": measured["accuracy"],
        "test_loss": measured["loss"],
        "seconds": round(seconds, 3),
        "parameters": parameters,
        "epochs": len(history),
        "stopped": stopped,
        "backend": backend,
        "data": train_data.source,
        "run_dir": str(folder),
    }
    run.write_result(result)
    correct = round(measured["accuracy"] * measured["count"])
    click.echo(
        f"test accuracy: {measured['accuracy']:.2%} ({correct:,} of {len(test):,}), {seconds:.1f} s of training"
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
    return 130 if stopped == _INTERRUPTED else 0


_INTERRUPTED = "interrupted"


def _fit(
    model: nn.Module,
    train_data: Dataset,
    held_out: int,
    loss: Callable[[Array, Array], Array],
    optimizer: optim.Optimizer,
    options: dict[str, Any],
    folder: Path,
) -> tuple[str, str, float]:
    """Train into a folder; return why training ended early, or "", what did its steps, and the seconds it took."""
    validation = None
    if held_out:
        train_data, validation = train_data.split(len(train_data) - held_out)
    saved = Checkpoint(folder)
    callbacks = [
        *([EarlyStopping(options["patience"])] if options["keep"] == "best" else []),
        saved,
        Progress(),
    ]
    started = time.perf_counter()
    try:
        training.fit(
            model,
            train_data,
            epochs=options["epochs"],
            batch_size=options["batch_size"],
            loss=loss,
            optimizer=optimizer,
            schedule=SCHEDULES[options["schedule"]],
            validation=validation,
            clip_norm=options["clip_norm"],
            rng=options["seed"],
            callbacks=callbacks,
            progress=False,
            compile=options["compile"],
        )
        stopped = saved.history.stopped
    except KeyboardInterrupt:
        stopped = _INTERRUPTED
        click.echo("stopped; keeping what has been learned", err=True)
    return stopped, saved.history.backend, time.perf_counter() - started


@cli.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--data", "path", type=click.Path(path_type=Path), help="Other data than those of the run.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def evaluate(run: Path, path: Path | None, as_json: bool) -> None:
    """Measure the model of RUN on the test data, class by class."""
    saved = Run(run)
    config = _config_of(saved)
    _, test = _load_again(config, path)
    model = saved.model()
    outputs = training.predict(model, test)
    matrix = training.confusion_matrix(outputs, test.targets, len(test.classes))
    accuracy = training.accuracy(outputs, test.targets)
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
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object an image.")
def predict(run: Path, images: tuple[Path, ...], as_json: bool) -> None:
    """Say which digit each of the IMAGES (PNG or .npy) shows.

    They may be of any size, dark on light or light on dark.
    """
    saved = Run(run)
    model = saved.model()
    config = _config_of(saved)
    fill = 1.0 if config["dataset"] == "digits" else 20 / 28
    for path in images:
        digit = data.read_digit(path, size=config["side"], fill=fill).reshape(1, -1)
        shares = probabilities(training.predict(model, digit), config["loss"])[0]
        best = np.argsort(-shares)[:3]
        names = [config["classes"][i] for i in best]
        if as_json:
            click.echo(
                json.dumps(
                    {
                        "image": str(path),
                        "prediction": names[0],
                        "probabilities": dict(zip(config["classes"], shares.round(6).tolist(), strict=True)),
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
    x, y = _load_again(_config_of(saved))[1][:batch_size]
    config = _config_of(saved)
    loss = make_loss(config["loss"], config["label_smoothing"])(saved.model().train()(x), y)
    path = out or saved.folder / "graph.svg"
    viz.render_graph(viz.draw_graph(loss), path)
    click.echo(f"graph: {path}")


@cli.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--samples", type=click.IntRange(1), default=8, show_default=True, help="Images in the loss.")
@click.option(
    "--elements", type=click.IntRange(0), default=50, show_default=True, help="Elements of each parameter."
)
@click.option("--every", is_flag=True, help="Check every element of every parameter (slow).")
def gradcheck(run: Path, samples: int, elements: int, every: bool) -> int:
    """Check the gradients of RUN by finite differences.

    In float64. Each parameter is moved along random directions, which involve all of its elements, and then
    element by element.
    """
    saved = Run(run)
    config = _config_of(saved)
    model, loss_of = saved.model().astype(np.float64), make_loss(config["loss"], config["label_smoothing"])
    x, y = _load_again(_config_of(saved))[1][:samples]
    x = x.astype(np.float64)
    loss_of(model(x), y).backward()
    failed = 0
    for name, parameter in model.named_parameters():
        try:
            report = testing.check_parameter(
                lambda: float(loss_of(model(x), y)),
                parameter,
                name=name,
                elements=parameter.size if every else elements,
            )
            click.echo(f"{name:<16} {parameter.shape!s:<12} ok: {report}")
        except GradcheckError as error:
            failed += 1
            click.echo(f"{name:<16} {parameter.shape!s:<12} WRONG: {error}")
    return 1 if failed else 0


@cli.group("experiment")
def experiment_group() -> None:
    """Run the experiments this project grew out of, and those that follow."""


@experiment_group.command("list")
def list_experiments() -> None:
    """List the experiments, with what each is about."""
    for name, (_, about) in catalogue().items():
        click.echo(f"{name:<24} {about}")


# What follows the name belongs to the experiment, --help too.
@experiment_group.command("run", context_settings={"allow_interspersed_args": False})
@click.argument("name")
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
def run_one(name: str, args: tuple[str, ...]) -> None:
    """Run the experiment NAME; all other arguments are its own.

    `tinygrad-mnist experiment run NAME --help` shows them.
    """
    run_experiment(name, args)


@cli.group("data")
def data_group() -> None:
    """See which data are on this machine, or download MNIST."""


@data_group.command()
def info() -> None:
    """List where data are looked for, and what is there.

    The places that would be used now are marked.
    """
    used: set[str] = set()
    for place in data.describe():
        is_first = place.is_usable and place.dataset not in used
        if is_first:
            used.add(place.dataset)
        click.echo(f"{'>' if is_first else ' '} {place}")


@data_group.command()
@click.option("--folder", type=click.Path(path_type=Path), help="Where to.  [default: the user's cache]")
def fetch(folder: Path | None) -> None:
    """Download MNIST from its public mirrors, and check it."""
    click.echo(f"MNIST: {data.fetch_mnist(folder)}")


def _load(dataset: str, path: Path | str | None) -> tuple[Dataset, Dataset]:
    """Load a data set; what it has to say of where it came from is printed, not raised."""
    if path is not None and dataset in ("digits", "sample"):
        raise click.UsageError(f"--data does not go with --dataset {dataset}, which comes with its package")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", data.BundledSampleWarning)
        if dataset == "digits":
            loaded = data.load_digits()
        elif dataset == "fashion":
            loaded = data.load_fashion_mnist(path)
        else:
            loaded = data.load_mnist("sample" if dataset == "sample" else path)
    for warning in said:
        click.echo(f"warning: {warning.message}", err=True)
    return loaded


def _load_again(config: dict[str, Any], path: Path | None = None) -> tuple[Dataset, Dataset]:
    """Load the data a run was trained on, or others in their place."""
    comes_with_package = config["dataset"] in ("digits", "sample")
    if path is not None:
        return _load("mnist" if comes_with_package else config["dataset"], path)
    if config["data"] == data.SAMPLE:
        return data.load_mnist("sample")
    return _load(config["dataset"], config["path"])


def _config_of(run: Run) -> dict[str, Any]:
    """Read the settings of a run, and see that they can be used."""
    config = run.config
    is_usable = (
        config["dataset"] in DATASETS
        and config["loss"] in LOSSES
        and isinstance(config["side"], int)
        and isinstance(config["classes"], list)
        and isinstance(config["path"], (str, type(None)))
        and isinstance(config["label_smoothing"], (int, float))
    )
    if not is_usable:
        raise DataError(
            f"{run.folder / 'config.json'}: holds settings that `tinygrad-mnist train` does not write"
        )
    return config


def _model(options: dict[str, Any], inputs: int, classes: int) -> nn.MLP:
    output = "sigmoid" if options["loss"] in ("mse", "l1", "huber") else None
    return nn.MLP(
        [inputs, *options["hidden"], classes],
        activation=options["activation"],
        output=output,
        dropout=options["dropout"],
        rng=options["seed"],
    )


def _sizes(model: nn.MLP) -> list[int]:
    layers = [layer for layer in model if isinstance(layer, nn.Linear)]
    return [layers[0].in_features, *(layer.out_features for layer in layers)]


def _config(options: dict[str, Any], train_data: Dataset) -> dict[str, Any]:
    path = options["path"]
    return {
        **options,
        "path": None if path is None else str(path.resolve()),
        "hidden": list(options["hidden"]),
        "data": train_data.source,
        "classes": list(train_data.classes),
        "side": train_data.inputs.shape[1],
        "version": __version__,
        "numpy": np.__version__,
    }
