"""The command ``train``."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from click.core import ParameterSource

from .. import nn, viz
from ..data import AUGMENTATIONS, DATASETS, Augment, Dataset
from ..data.catalogue import load_own
from ..errors import MissingExtraError, OptionError, pluralise
from ..experiments.options import (
    CompileOption,
    Names,
    Number,
    RememberingCommand,
    Sizes,
    Terminated,
    Whole,
    command_line,
    refuse_beside_resume,
    report_error,
)
from ..experiments.training_page import write_training_page
from ..nn.init import room_for
from ..reading import readable
from ..training import Callback, Checkpoint, Doctor, History, Progress
from ..training.folders import claim
from ..training.models import MODELS
from ..training.parallel import Parallel, count_apart
from ..training.recipes import RECIPES
from ..training.resuming import CHECKPOINT
from ..training.runs import Run
from ..training.sessions import describe_run, fit_run, measure_run
from ..training.settings import LOSSES, OPTIMIZERS, SCHEDULES, Settings
from ..training.steps import COMPILE, require_backend
from .loading import load, load_again

__all__ = ["train"]


def _follow(context: click.Context, option: click.Parameter, name: str | None) -> str | None:
    """Make the settings of a recipe the defaults of the other options."""
    context.default_map = dict(RECIPES[name].options) if name is not None else None
    return name


@click.command(cls=RememberingCommand)
@click.option(
    "--recipe",
    type=click.Choice(list(RECIPES)),
    is_eager=True,  # the defaults of the others come from it
    callback=_follow,
    help="Settings that go well together: "
    + "; ".join(f"{name}, {recipe.about}" for name, recipe in RECIPES.items())
    + ". Other options take precedence over it.",
)
@click.option(
    "--dataset",
    type=click.Choice(list(DATASETS)),
    default="mnist",
    show_default=True,
    help="Data set to train on.",
)
@click.option(
    "--data",
    "path",
    type=click.Path(path_type=Path),
    help="Folder or file with the data: MNIST's files, or your own.",
)
@click.option(
    "--model",
    type=click.Choice(list(MODELS)),
    default="mlp",
    show_default=True,
    help="Network: " + "; ".join(f"{name}, {recipe.about}" for name, recipe in MODELS.items()) + ".",
)
@click.option(
    "--augment",
    type=Names(AUGMENTATIONS),
    default="",
    help=f"Change the training images at random: some of {', '.join(AUGMENTATIONS)}.",
)
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
    type=Whole(1),
    default=10,
    show_default=True,
    help="Number of passes through the data.",
)
@click.option("--batch-size", type=Whole(1), default=128, show_default=True, help="Images per update.")
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
    "--patience", type=Whole(1), help="Stop after this many epochs without a better validation loss."
)
@click.option("--compile", cls=CompileOption, backends=COMPILE)
@click.option(
    "--seed",
    type=Whole(0),
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
    help="Save within an epoch, too, every so many minutes. It is always saved after an epoch.",
)
@click.option(
    "--threads",
    type=Whole(1),
    help="Threads for matrix products.  [default: as many as cores, or one if more do not pay]",
)
@click.option(
    "--parallel",
    type=click.Choice(["mpi"]),
    help="Train in all processes that mpiexec has started, each with its share of every batch.",
)
@click.option("--plots/--no-plots", default=True, show_default=True, help="Draw pictures into the folder.")
@click.option(
    "--doctor/--no-doctor", default=True, show_default=True, help="Say what goes wrong while it trains."
)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON at the end.")
def train(**options: Any) -> int:
    """Train a network, and write a folder with a page about it.

    Without MNIST on this machine and without a network, it trains on 5,000 digits that come with
    the program. Ctrl-C stops early and keeps what has been learned; --resume goes on from there.
    """
    parallel = Parallel.start(options.pop("parallel"))
    parallel.report = report_error
    with parallel.guard(), parallel.quiet():
        return _train(options, parallel)


def _train(options: dict[str, Any], parallel: Parallel) -> int:
    if (apart := count_apart(parallel)) > 1:
        click.echo(
            f"warning: mpiexec has started {apart} processes, and each trains a model of its own; --parallel mpi "
            "trains one in all of them",
            err=True,
        )
    if options["recipe"]:
        click.echo(f"recipe: {RECIPES[options['recipe']]}", err=True)
    plots, as_json, out = options.pop("plots"), options.pop("as_json"), options.pop("out")
    has_doctor, minutes = options.pop("doctor"), options.pop("checkpoint_every")
    resumed, settings, threads = options.pop("resume"), None, options.pop("threads")
    context = click.get_current_context()
    if resumed is not None:
        refuse_beside_resume(
            "epochs", "checkpoint_every", "threads", "parallel", "plots", "doctor", "as_json"
        )
        settings = Run.read_settings(resumed)
        if not parallel.rank:
            context.with_resource(claim(resumed))
        if context.get_parameter_source("epochs") is ParameterSource.COMMANDLINE:
            settings = replace(settings, epochs=options["epochs"])
    train_data, test = load_again(resumed, takes_data=False) if settings else _load(options)
    click.echo(
        f"data: {train_data.source} ({len(train_data):,} to train with, {len(test):,} to test with)", err=True
    )

    # All checks come before anything is written.
    _refuse_beside_model(context)
    try:
        settings = settings or Settings.choose(options, train_data)
    except OptionError as error:
        raise click.UsageError(str(error)) from error
    require_backend(settings.compile)
    inputs = int(np.prod(test.inputs.shape[1:]))
    if resumed is not None and (checkpoint := resumed / CHECKPOINT).is_file():
        # A model that is larger does not fit it.
        with readable(resumed / "config.json", "description of a model"), room_for(checkpoint.stat().st_size):
            settings.make_model(inputs)
    model = settings.make_model(inputs)
    parameters = sum(p.size for p in model.parameters())
    click.echo(f"model: {_describe(settings, model)}, {parameters:,} parameters", err=True)
    if parallel.rank:
        stopped, _ = _fit(model, train_data, settings, None, minutes, [], threads, parallel)
        return _STATUS.get(stopped, 0)
    if context.params["parallel"]:
        more = "" if parallel.size > 1 else "; start several with mpiexec -n 4 tinygrad-mnist train …"
        click.echo(f"parallel: {pluralise(parallel.size, 'process')}{more}", err=True)
    if resumed is None:
        config = describe_run(settings, train_data, test)
        folder, done = context.with_resource(Run.create(out, config, name=settings.dataset)), None
    else:
        folder = resumed
        known = folder / "history.jsonl"
        done = len(History.load(known)) if known.is_file() else 0
        if done <= settings.epochs:  # fit refuses fewer, and the run stays as it was
            Run.change_config(folder, epochs=settings.epochs)
    watching = [*([Doctor()] if has_doctor else []), *(context.obj or [])]  # a sweep watches its trainings
    stopped, history = _fit(model, train_data, settings, folder, minutes, watching, threads, parallel)
    run = Run(folder)
    if len(history) == done:
        click.echo(
            f"nothing was left to train after {pluralise(done, 'epoch')}; --epochs asks for more", err=True
        )
    result = measure_run(model, test, settings, history, stopped, folder)
    run.write_result(result)
    correct = round(result["test_accuracy"] * len(test))
    click.echo(
        f"test accuracy: {result['test_accuracy']:.2%} ({correct:,} of {len(test):,}), "
        f"{history.seconds:.1f} s of training"
    )
    if plots:
        try:
            run.write_pictures(model, history, test)
            if settings.augment:
                originals = np.repeat(train_data.inputs[:5], 10, axis=0)
                changed = Augment(settings.augment, rng=settings.seed)(originals)
                changed[::10] = originals[::10]
                viz.plot_images(changed, path=folder / "augmented.png")
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
    folder: Path | None,
    minutes: float,
    watching: list[Callback],
    threads: int | None,
    parallel: Parallel,
) -> tuple[str, History]:
    """Train into a folder; return why training ended early (or ""), and its history."""
    history, callbacks = History(), list[Callback]()
    if folder is not None:
        saved = Checkpoint(folder)
        callbacks = [*watching, saved, Progress()]
    try:
        history = fit_run(
            model,
            train_data,
            settings,
            folder,
            callbacks,
            minutes=minutes,
            threads=threads,
            parallel=parallel,
        )
        stopped = history.stopped
    except KeyboardInterrupt as interruption:
        if folder is not None:
            if not (folder / "model.safetensors").is_file():  # it came before the training
                raise
            history = saved.history
            click.echo(f"stopped; keeping what has been learned. --resume {folder} goes on", err=True)
        stopped = "terminated" if isinstance(interruption, Terminated) else "interrupted"
    return stopped, history


def _load(options: dict[str, Any]) -> tuple[Dataset, Dataset]:
    """Load the data that were asked for; files of the user's own say themselves which data set they are."""
    named = click.get_current_context().get_parameter_source("dataset") is not ParameterSource.DEFAULT
    if named or options["path"] is None:
        return load(options["dataset"], options["path"])
    options["dataset"], loaded = load_own(options["path"])
    return loaded


def _describe(settings: Settings, model: nn.Module) -> str:
    """Name the model; of a multi-layer perceptron, the numbers of its units."""
    if settings.model != "mlp":
        return settings.model
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    return "-".join(map(str, [layers[0].in_features, *(layer.out_features for layer in layers)]))


def _refuse_beside_model(context: click.Context) -> None:
    """Refuse what belongs to another model."""
    model = context.params["model"]
    for name in ("hidden", "activation", "dropout"):
        if model != "mlp" and context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{name} belongs to --model mlp; --model {model} has its own layers")
