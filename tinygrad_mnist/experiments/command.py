"""Turn a function into the command of an experiment: its options, its data, its run folder."""

from __future__ import annotations

import inspect
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from .. import __version__
from .. import data as data_sets
from ..data import DATASETS, BundledSampleWarning, Dataset
from ..errors import DataError, RunError, choice, quote
from ..reading import LARGEST_JSON, parse_json, read_bytes
from ..training.folders import claim
from ..training.runs import Run
from ..training.steps import COMPILE, require_backend
from .options import CompileOption, RememberingCommand, Whole, command_line, refuse_beside_resume, run_command
from .page import circumstances
from .report import Report

__all__ = ["Experiment", "experiment"]


class Experiment(RememberingCommand):
    """A click command that turns errors of the project into messages if it runs as a program.

    Examples
    --------
    >>> from tinygrad_mnist.experiments import experiment
    >>> @experiment()
    ... def main(report, full, seeds):
    ...     '''Toss a coin.'''
    >>> type(main).__name__, sorted(option.name for option in main.params)
    ('Experiment', ['full', 'out', 'resume', 'seed', 'seeds'])
    """

    def __call__(self, *args: Any, **settings: Any) -> Any:
        """Run the command with the arguments of the program, and exit."""
        context = click.get_current_context(silent=True)  # that of `tinygrad-mnist experiment run`
        run_command(
            self, f"python {sys.argv[0]}" if context is None else f"{context.command_path} {self.name}"
        )


def experiment(data: str | None = None) -> Callable[[Callable[..., Any]], Experiment]:
    """Turn a function into a command that leaves a run folder behind.

    The function gets ``report`` (a :class:`Report`), ``full`` (whether to run at full length), ``seeds`` (a
    range, with one run for each), with ``data`` also ``train`` and ``test`` (Datasets), and its own ``click``
    options. If it has a parameter ``compile``, there is an option ``--compile``, which it passes on to its
    trainings. The help is the docstring of its file, and the command's name is that of the file.

    Parameters
    ----------
    data : str, optional
        The data set, by its name in ``tinygrad_mnist.data.DATASETS``. MNIST means the bundled sample,
        unless ``--full`` or ``--data`` is given.

    Examples
    --------
    >>> @experiment("mnist")
    ... @click.option("--neurons", default=16)
    ... def main(report, full, seeds, train, test, neurons):
    ...     '''Train a network.'''
    >>> sorted(option.name for option in main.params)
    ['data', 'full', 'neurons', 'out', 'resume', 'seed', 'seeds']
    """
    if data is not None and data not in DATASETS:
        raise choice("data", data, DATASETS)

    def decorate(function: Callable[..., Any]) -> Experiment:
        own = list(reversed(getattr(function, "__click_params__", [])))
        file = Path(function.__globals__.get("__file__", "experiment.py"))
        doc = inspect.cleandoc(function.__globals__.get("__doc__") or function.__doc__ or "")

        def run(**options: Any) -> Report:
            return _run(function, file.stem, doc, data, options)

        return Experiment(
            file.stem,
            callback=run,
            params=[*own, *_shared(data, "compile" in inspect.signature(function).parameters)],
            help=_unwrapped(doc),
            context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        )

    return decorate


def _shared(data: str | None, trains: bool) -> list[click.Parameter]:
    """List the options that all experiments share, including those for data and for compiled training."""
    path = click.Path(path_type=Path)
    where = [click.Option(["--data"], type=path, help="Folder or file with the data; implies --full.")]
    return [
        click.Option(
            ["--full"], is_flag=True, help="Use the official data and the full length, not a quick look."
        ),
        *(where if data is not None and DATASETS[data].takes_path else []),
        click.Option(["--seed"], type=Whole(0), default=0, show_default=True, help="The first seed."),
        click.Option(
            ["--seeds"],
            type=Whole(1),
            default=1,
            show_default=True,
            help="Number of runs, each with the next seed; their mean and spread are shown.",
        ),
        *([CompileOption(["--compile"], backends=COMPILE)] if trains else []),
        click.Option(["--out"], type=path, help="Folder for the results.  [default: a new one in runs/]"),
        click.Option(
            ["--resume"], type=path, help="Continue a stopped run in its folder, with its settings."
        ),
    ]


def _run(
    function: Callable[..., Any], name: str, doc: str, data: str | None, options: dict[str, Any]
) -> Report:
    out, resume = options.pop("out"), options.pop("resume")
    if resume is not None:
        refuse_beside_resume()
        earlier = (
            {"compile": False} if "compile" in options else {}
        )  # the behaviour before this option existed
        options = {**earlier, **_settings_of(resume, name)}
    require_backend(options.get("compile", False))
    given: dict[str, Any] = {
        key: value for key, value in options.items() if key not in ("seed", "seeds", "data")
    }
    given["full"] = options["full"] or options.get("data") is not None
    given["seeds"] = range(options["seed"], options["seed"] + options["seeds"])
    source = ""
    if data is not None:
        given["train"], given["test"] = train, test = _load(data, options.get("data"), options["full"])
        source = train.source
        click.echo(f"data: {source} ({len(train):,} to train with, {len(test):,} to test with)", err=True)
    settings = _jsonable(options)
    config = {"experiment": name, "version": __version__, "data": source, "options": settings}
    if resume is None:
        folder = click.get_current_context().with_resource(Run.create(out, config, name=name))
    else:
        folder = click.get_current_context().with_resource(claim(resume))
        if (known := _config(resume)["data"]) != source:
            raise RunError(f"{resume}: was started with other data ({known}); found now: {source}")
    title, _, rest = doc.partition("\n")
    how = circumstances(command_line(f"tinygrad-mnist experiment run {name}"), settings, source)
    report = given["report"] = Report(folder, title.rstrip("."), rest.strip("\n"), circumstances=how)
    started = time.perf_counter()
    try:
        function(**given)
    except BaseException as error:
        why = "stopped" if isinstance(error, (KeyboardInterrupt, click.Abort)) else f"failed: {error}"
        report.finish(f"{why} after {time.perf_counter() - started:.1f} s; the results so far are below")
        click.echo(f"the results so far are in {folder}; --resume {folder} continues", err=True)
        raise
    report.finish(
        f"finished in {time.perf_counter() - started:.1f} s · {source or 'no data'} · seed {options['seed']}"
    )
    click.echo(f"results: {folder / 'index.html'}", err=True)
    return report


def _load(data: str, path: Path | None, full: bool) -> tuple[Dataset, Dataset]:
    quick = DATASETS[data].quick
    if quick is not None and path is None and not full:
        return data_sets.load(quick)
    with warnings.catch_warnings():
        warnings.simplefilter("error", BundledSampleWarning)
        try:
            return data_sets.load(data, path)
        except BundledSampleWarning as warning:
            raise DataError(
                f"--full needs the 60,000 digits of MNIST, but they are not here: {warning}"
            ) from None


def _config(folder: Path) -> dict[str, Any]:
    file = folder / "config.json"
    if not file.is_file():
        raise RunError(f"{folder}: there is no run here that could be resumed (no config.json)")
    try:
        config = parse_json(read_bytes(file, LARGEST_JSON))
        if not isinstance(config["options"], dict) or not isinstance(config["data"], str):
            raise TypeError("settings are missing")
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{file}: does not hold the settings of an experiment ({error})") from error
    return config


def _settings_of(folder: Path, name: str) -> dict[str, Any]:
    """Read the settings of a stopped run, each as if it stood on the command line."""
    config, context = _config(folder), click.get_current_context()
    if config.get("experiment") != name:
        raise RunError(f"{folder}: is a run of {quote(config.get('experiment'))}, not of {name!r}")
    options = {option.name or "": option for option in context.command.params}
    if missing := {*options} - {
        *config["options"],
        "out",
        "resume",
        "compile",
    }:  # the last is newer than some runs
        raise RunError(f"{folder / 'config.json'}: has no {', '.join(sorted(missing))}")
    settings = {}
    for key, value in config["options"].items():
        try:
            if isinstance(value, dict) or key in ("out", "resume"):
                raise KeyError(key)
            given, option = value, options[key]
            if isinstance(value, list):
                words = tuple(map(str, value))
                given = ",".join(words) if option.nargs == 1 and not option.multiple else words
            settings[key] = option.type_cast_value(context, given)
        except Exception as error:  # click's types may raise any for values that are not text
            problem = getattr(error, "message", "") or "this is no setting of the experiment"
            raise RunError(
                f"{folder / 'config.json'}: has {quote(key)} = {quote(value)}: {problem}"
            ) from error
    return settings


def _jsonable(options: dict[str, Any]) -> dict[str, Any]:
    return {key: str(value.resolve()) if isinstance(value, Path) else value for key, value in options.items()}


def _unwrapped(doc: str) -> str:
    r"""Keep click from rewrapping indented lines: it does not change a paragraph after ``\b``."""
    return "\n\n".join(f"\b\n{part}" if part.startswith("    ") else part for part in doc.split("\n\n"))
