"""The five systems against the programs they come from: ``python -m tests.benchmarks.systems``.

Each experiment runs as a user runs it, on the official data, with three seeds; accuracy is the mean, with the
lowest and the highest of the seeds. Then the same network makes the same number of passes as the original did, with its
settings (``--as-written``, ``--online``), and the time of that is divided into the original's: what its own code
took on the same kind of machine (2 cores), measured once. Training is compiled as the experiments do it
where nothing is said (``--compile auto``); ``--compile no`` and others are handed on to all of them. The folders
of all runs are kept.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from tinygrad_mnist.training.steps import COMPILE


@dataclass
class Trial:
    """A run of an experiment, and where in its tables the figures are."""

    arguments: list[str]
    table: str
    measure: str


@dataclass
class System:
    """An experiment, what it has to reach, and its original.

    Attributes
    ----------
    best, same : Trial
        The run that is to be accurate, and that which makes the passes of the original with its settings.
    original : str
        The accuracy of the original.
    seconds : float or None
        What the original took for its passes.
    threads : int
        BLAS threads. For the smallest matrices one is faster, and takes the same time every time.
    """

    name: str
    network: str
    best: Trial
    original: str
    same: Trial | None = None
    seconds: float | None = None
    threads: int = 2


UNSEEN = "Images that were not used for training"
ITERATIONS = "After 500 iterations on 10,000 images"

SYSTEMS = [
    System(
        "sigmoid_network", "784-16-16-10", Trial([], UNSEEN, "validation_accuracy"), "94.7 %",
        Trial(["--as-written"], UNSEEN, "validation_accuracy"), 191, threads=1,
    ),
    System(
        "small_digits", "64-40-10", Trial([], "Digits that were not used for training", "test_accuracy"),
        "88.9 %",
        Trial(["--as-written"], "Digits that were not used for training", "test_accuracy"), 20 * 14, threads=1,
    ),
    System(
        "five_experiments", "784-100-10, E1", Trial([], "One epoch, learning rate 0.3", "test_accuracy"),
        "95 %",
    ),
    System(
        "five_experiments", "784-100-10, E4", Trial([], "The best setting, trained on all images", "test_accuracy"),
        "97.3 %",
    ),
    System(
        "linked_layers", "784-548-548-10", Trial([], UNSEEN, "accuracy"), "91.7 %",
        Trial(["--online"], UNSEEN, "accuracy"), 203,
    ),
    System(
        "full_batch", "784-72-36-10", Trial([], ITERATIONS, "test_accuracy"), "89.0 %",
        Trial(["--as-written"], ITERATIONS, "test_accuracy"), 68,
    ),
]  # fmt: skip


def tables(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Read the rows of all tables of a run, by title."""
    result = json.loads((folder / "result.json").read_text())
    return {table["title"]: table["rows"] for table in result["tables"]}


#: What did the steps of a training, by the name that runs have for it.
RAN = {"eager": "uncompiled", "numpy": "NumPy", "numba": "machine code"}


def ran(rows: list[dict[str, Any]]) -> str:
    """Say what did the steps of all seeds."""
    return ", ".join(dict.fromkeys(RAN[row["backend"]] for row in rows if "backend" in row)) or "–"


def run(system: System, trial: Trial, folder: Path, seeds: int, how: str) -> list[dict[str, Any]]:
    """Run an experiment, or read what it found if that was done before, and return the rows of its table."""
    if not folder.exists():
        command = [sys.executable, "-m", "tinygrad_mnist", "experiment", "run", system.name, *trial.arguments]
        options = ["--full", "--seeds", str(seeds), "--compile", how, "--out", str(folder)]
        click.echo(f"{system.name} {' '.join(trial.arguments)}", err=True)
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": str(system.threads)}
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run([*command, *options], check=True, env=environment, **quiet)
    return tables(folder)[trial.table]


def spread(values: list[float], form: str) -> str:
    """Write mean, lowest and highest."""
    mean = sum(values) / len(values)
    return f"{form} ({form}–{form})".format(mean, min(values), max(values))


def line(system: System, folder: Path, seeds: int, how: str) -> str:
    """Return the row of one system."""
    label = "-".join([system.name, *system.best.arguments])
    rows = run(system, system.best, folder / label, seeds, how)
    accuracy = [100 * row[system.best.measure] for row in rows]
    cells = [
        f"{system.name}, {system.network}",
        system.original,
        spread(accuracy, "{:.2f}") + " %",
        spread([row["training_seconds"] for row in rows], "{:.1f}") + " s"
        if "training_seconds" in rows[0]
        else "–",
        ran(rows),
    ]
    if system.same is None or system.seconds is None:
        return "| " + " | ".join([*cells, "–", "–", "–", "–"]) + " |"
    rows = run(system, system.same, folder / "-".join([system.name, *system.same.arguments]), seeds, how)
    seconds = [row["training_seconds"] for row in rows]
    ratio = system.seconds / (sum(seconds) / len(seconds))
    cells += [
        spread([100 * row[system.same.measure] for row in rows], "{:.2f}") + " %",
        f"{system.seconds:g} s / {spread(seconds, '{:.2f}')} s",
        ran(rows),
        f"{ratio:.0f} ×",
    ]
    return "| " + " | ".join(cells) + " |"


HEAD = [
    "system", "the original", "here", "training", "by", "as the original did it", "its time / here", "by",
    "faster",
]  # fmt: skip


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--seeds", default=3, show_default=True)
@click.option("--only", multiple=True, help="Only this experiment; may be given several times.")
@click.option("--compile", "how", type=click.Choice([*COMPILE, "no"]), default="auto", show_default=True)
def main(folder: Path, seeds: int, only: tuple[str, ...], how: str) -> None:
    """Run all, keep the runs in FOLDER, and print a table; runs that are there already are only read."""
    click.echo(f"| {' | '.join(HEAD)} |\n|{' --- |' * len(HEAD)}")
    for system in SYSTEMS:
        if not only or system.name in only:
            click.echo(line(system, folder, seeds, how))


if __name__ == "__main__":
    main()
