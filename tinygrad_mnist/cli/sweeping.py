"""The command ``sweep``: many trainings, whose settings Optuna chooses by what came of the ones before."""

from __future__ import annotations

import contextlib
import io
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from ..errors import NonFiniteError, OptionError, choice, describe_briefly, pluralise, require
from ..experiments.options import Whole
from ..reading import readable
from ..training import Callback, Training
from ..training.folders import writable
from ..training.runs import Run
from .training import train

__all__ = ["sweep"]

#: Options of ``train`` that belong to the sweep itself, or to no single trial.
_OWN = ("out", "resume", "checkpoint_every", "plots", "doctor", "as_json", "parallel", "validation")
_OPTIONS: dict[str, click.Parameter] = {
    p.opts[0].removeprefix("--"): p
    for p in train.params
    if p.name not in _OWN and not getattr(p, "is_flag", False)
}


class Search(NamedTuple):
    """An option of ``train`` with the values to choose from: some of them, or a range of numbers."""

    name: str
    choices: tuple[str, ...] = ()
    low: float = 0
    high: float = 0
    log: bool = False

    @classmethod
    def read(cls, text: str) -> Search:
        """Read ``lr=1e-4..1e-1,log`` or ``hidden=64|128|256,128``."""
        name, equals, values = text.partition("=")
        if not equals or not values:
            raise _wrong(text, "it has no values")
        if name not in _OPTIONS:
            raise choice("option of `train` in --search", name, _OPTIONS)
        if ".." not in values:
            choices = tuple(values.split("|"))
            if len({_convert(name, value) for value in choices}) < max(len(choices), 2):
                raise _wrong(text, "give two or more different values")
            return cls(name, choices)
        span, comma, scale = values.partition(",")
        if scale != "log" and comma:
            raise _wrong(text, "after the range comes nothing, or `,log`")
        low, high = (_number(text, name, part) for part in span.split("..", 1))
        if not low < high or (scale and low <= 0):
            raise _wrong(
                text, "the first number must be smaller" if low >= high else "log needs numbers above 0"
            )
        return cls(name, (), low, high, bool(scale))

    def distribution(self, optuna: Any) -> Any:
        """What Optuna draws from."""
        kinds = optuna.distributions
        if self.choices:
            return kinds.CategoricalDistribution(self.choices)
        kind = kinds.IntDistribution if isinstance(self.low, int) else kinds.FloatDistribution
        return kind(self.low, self.high, log=self.log)


def _wrong(text: str, why: str) -> OptionError:
    return OptionError(f"--search {text}: {why}; write it like lr=1e-4..1e-1,log or hidden=64|128|256")


def _convert(name: str, value: str) -> Any:
    """Read a value as ``train`` does, or raise its error."""
    option = _OPTIONS[name]
    try:
        return option.type.convert(value, option, None)
    except click.BadParameter as error:
        raise OptionError(f"--search {name}: {error.message}") from error


def _number(text: str, name: str, part: str) -> Any:
    """One end of a range."""
    value = _convert(name, part)
    if isinstance(value, tuple) and len(value) == 1:  # the size of a single layer
        value = value[0]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _wrong(text, f"--{name} takes no range of numbers")
    return value


class _Reporting(Callback):
    """Tells Optuna how a training goes, and stops one that is worse than most."""

    def __init__(self, trial: Any, measure: str, prunes: bool) -> None:
        self.trial, self.measure, self.prunes = trial, f"validation_{measure}", prunes
        self.pruned = False

    def on_epoch(self, training: Training) -> None:
        """Report the measure of this epoch."""
        if self.measure not in training.history[-1]:  # as a recipe may have it
            raise OptionError("a sweep compares by the validation data, but this training has none")
        self.trial.report(training.history[-1][self.measure], training.epoch)
        if self.prunes and training.epoch < training.epochs and self.trial.should_prune():
            self.pruned, training.stop = True, "pruned by the sweep"

    def value(self, training: Sequence[Any], *, keeps_best: bool) -> float:
        """The measure of the weights that are kept: those of the last epoch, or of the best one."""
        row = min(training, key=lambda row: row["validation_loss"]) if keeps_best else training[-1]
        return float(row[self.measure])


@click.command(context_settings={"ignore_unknown_options": True})
@click.option(
    "--search",
    "searches",
    metavar="NAME=VALUES",
    multiple=True,
    required=True,
    help="An option of `train` and its values: a range of numbers, lr=1e-4..1e-1,log or dropout=0..0.5, or some "
    "values, hidden=64|128|256,128. Give it once for each option.",
)
@click.option(
    "--trials",
    type=Whole(1),
    default=20,
    show_default=True,
    help="How many trainings to make in all.",
)
@click.option(
    "--objective",
    type=click.Choice(["accuracy", "loss"]),
    default="accuracy",
    show_default=True,
    help="Which measure of the validation data decides.",
)
@click.option(
    "--prune/--no-prune",
    default=True,
    show_default=True,
    help="Stop a training that is worse than half of the others after as many epochs.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs/sweep"),
    show_default=True,
    help="Folder of the sweep, with a run for each training.",
)
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[OPTIONS OF TRAIN]...")
def sweep(
    searches: tuple[str, ...], trials: int, objective: str, prune: bool, out: Path, options: tuple[str, ...]
) -> int:
    """Search for good settings of `train`.

    Optuna chooses them (extra `sweep`). All other options are those of `train`, and the same in each training. The
    same command goes on with a sweep that was stopped. Run it in several terminals, or on machines that share the
    folder, and they work on it together. For example: tinygrad-mnist sweep --search lr=1e-4..1e-1,log
    --search 'hidden=64|128|256' --trials 30 --epochs 5
    """
    found = [Search.read(text) for text in searches]
    names = [search.name for search in found]
    if len(set(names)) < len(names):
        raise OptionError(f"--search: {max(names, key=names.count)} appears twice")
    _check(options, names)
    optuna = require("optuna", extra="sweep", purpose="the command sweep")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = _open(optuna, out, objective, {"search": list(searches), "options": list(options)})
    distributions = {search.name: search.distribution(optuna) for search in found}
    status = 0
    while not status and len(_ended(study)) < trials:
        with readable(out / "study.journal", "journal of this sweep"):
            trial = study.ask(distributions)
        status = _run(optuna, study, trial, out, objective, prune, options)
    _tell_best(study, out, objective, options)
    return status


def _check(options: tuple[str, ...], searched: list[str]) -> None:
    """Read the options of ``train`` as it would, before anything is trained."""
    with train.make_context("tinygrad-mnist train", list(options)) as context:
        given = [p.opts[0].removeprefix("--") for p in train.params if _is_given(context, p.name)]
        is_validated = bool(context.params["validation"])
    own = [p.opts[0].removeprefix("--") for p in train.params if p.name in _OWN and p.name != "validation"]
    if wrong := [name for name in given if name in own]:
        raise click.UsageError(f"--{wrong[0]} belongs to a single training; a sweep decides on it")
    if both := [name for name in given if name in searched]:
        raise click.UsageError(f"--{both[0]} is searched for, and cannot have a fixed value too")
    if not is_validated:
        raise click.UsageError("a sweep compares by the validation data; --validation must be larger than 0")


def _is_given(context: click.Context, name: str | None) -> bool:
    return context.get_parameter_source(name or "") is click.core.ParameterSource.COMMANDLINE


def _open(optuna: Any, out: Path, objective: str, facts: dict[str, list[str]]) -> Any:
    """Open the study in a folder, or make it; one with other settings is refused."""
    with writable(out):
        out.mkdir(parents=True, exist_ok=True)
    journal = optuna.storages.journal
    # Optuna's lock is a link to it: one to nowhere would never be given up.
    path = (out / "study.journal").absolute()
    lock = journal.JournalFileSymlinkLock(str(path))
    with readable(path, "journal of a sweep"):
        file = journal.JournalFileBackend(str(path), lock)
        lock.acquire()
        try:
            _remove_half_line(path)
        finally:
            lock.release()
        study = optuna.create_study(
            storage=optuna.storages.JournalStorage(file),
            study_name="sweep",
            load_if_exists=True,
            direction="maximize" if objective == "accuracy" else "minimize",
            pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=1),
        )
    facts = {"objective": [objective], **facts}
    for name, value in facts.items():
        before = study.user_attrs.get(name, value)
        if before != value:
            raise OptionError(
                f"sweep: {out} holds a sweep with {name} {' '.join(before) or 'none'}, "
                f"not {' '.join(value) or 'none'}; repeat its command, or choose another folder with --out"
            )
        if name not in study.user_attrs:
            study.set_user_attr(name, value)
    return study


def _remove_half_line(path: Path) -> None:
    """Remove what a full disk has left of a last line: Optuna would write the next one behind it."""
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        os.truncate(path, content.rfind(b"\n") + 1)


def _ended(study: Any) -> list[Any]:
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]


def _arguments(params: dict[str, Any]) -> list[str]:
    """The options of ``train`` for what Optuna chose, with numbers as short as one types them."""
    return [
        text
        for name, value in params.items()
        for text in (f"--{name}", f"{value:.4g}" if isinstance(value, float) else str(value))
    ]


def _run(
    optuna: Any, study: Any, trial: Any, out: Path, objective: str, prune: bool, options: tuple[str, ...]
) -> int:
    """Train once, and tell Optuna what came of it; return an exit status if the user stopped it."""
    chosen = _arguments(trial.params)
    folder = out / f"trial-{trial.number:04}"
    reporting = _Reporting(trial, objective, prune)
    states = optuna.trial.TrialState
    line = f"{folder.name}  {' '.join(chosen)}: "
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            status: int = train.main(
                ["--no-plots", "--no-doctor", *options, *chosen, "--out", str(folder)],
                prog_name="tinygrad-mnist train",
                standalone_mode=False,
                obj=[reporting],
            )
    except NonFiniteError as error:
        study.tell(trial, state=states.FAIL)
        click.echo(f"{line}failed, {describe_briefly(error)}")
        return 0
    if status:
        return status  # stopped by the user: the trial does not count
    if reporting.pruned:
        study.tell(trial, state=states.PRUNED)
        click.echo(f"{line}stopped early, worse than the others")
        return 0
    run = Run(folder)
    value = reporting.value(run.history(), keeps_best=run.settings.keep == "best")
    study.tell(trial, value)
    click.echo(f"{line}{_spell(objective, value)}")
    return 0


def _spell(objective: str, value: float) -> str:
    return (
        f"validation {objective} {value:.2%}" if objective == "accuracy" else f"validation loss {value:.4f}"
    )


def _tell_best(study: Any, out: Path, objective: str, options: tuple[str, ...]) -> None:
    """Say which settings were best, as a command that trains with them."""
    complete = [
        trial for trial in _ended(study) if trial.value is not None and trial.state.name == "COMPLETE"
    ]
    if not complete:
        click.echo(f"no training was finished yet; the same command goes on in {out}", err=True)
        return
    best = study.best_trial
    click.echo(
        f"\nbest of {pluralise(len(_ended(study)), 'training')}: {_spell(objective, best.value)}, in "
        f"{out / f'trial-{best.number:04}'}\n"
        + shlex.join(["tinygrad-mnist", "train", *options, *_arguments(best.params)])
    )
