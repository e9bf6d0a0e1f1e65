"""The data of a command: those that were asked for, or those of a run, and never others in their place."""

from __future__ import annotations

import warnings
from pathlib import Path

import click

from .. import data
from ..data import DATASETS, Dataset
from ..errors import DataError, RunError
from ..training.runs import Run
from ..typing import NDArray

__all__ = ["load", "load_again"]


def load(dataset: str, path: Path | str | None) -> tuple[Dataset, Dataset]:
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


def load_again(folder: Path, path: Path | None = None, *, takes_data: bool = True) -> tuple[Dataset, Dataset]:
    """Load the data of a run, to train and to test with, or other data instead; never such as only resemble them.

    Parameters
    ----------
    folder : Path
    path : Path, optional
        Other data.
    takes_data : bool, default True
        Whether the command has an option for other data.

    Raises
    ------
    RunError
        If the run's data are not here, or if the model has learned from those given.
    """
    facts, seen = Run.read_facts(folder), Run.read_seen(folder)
    name = "sample" if facts.data == data.SAMPLE else facts.dataset
    how = "pass them with --data" if takes_data else "put them there again"
    how += "; `tinygrad-mnist data info` lists what is here, and `data fetch` downloads MNIST"
    if path is not None:
        train, test = load(name if name and DATASETS[name].takes_path else "mnist", path)
    elif name is None:
        raise RunError(f"{folder}: does not say where its data are, which were made in Python; {how}")
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", data.BundledSampleWarning)
            try:
                train, test = data.load(name, facts.path if DATASETS[name].takes_path else None)
            except DataError as error:
                raise RunError(f"{folder}: its data cannot be read: {error}; {how}") from error
        if not (seen.fits(train, test) if seen else facts.data == test.source):
            count = f"{seen.test['count']:,} of " if seen and seen.test else ""
            raise RunError(
                f"{folder}: its test data ({count}{facts.data}) are not here; found instead {len(test):,} of "
                f"{test.source}. To measure the model on the same, or on others that it has not seen, {how}"
            )
    if seen and path is not None and (why := seen.contains(test)):
        raise RunError(f"{test.source}: {why}. What it gets right there says nothing about new images; {how}")
    if (shape := test.inputs.shape[1:]) != (facts.side, facts.side):
        raise RunError(
            f"{test.source}: has images of shape {shape}, but the run of {facts.side}×{facts.side}"
        )
    return _reshape(train, facts.input), _reshape(test, facts.input)


def _reshape(part: Dataset, shape: tuple[int, ...]) -> Dataset:
    """Give each example the shape that the model takes."""

    def transform(images: NDArray) -> NDArray:
        inputs = part.transform(images) if part.transform else images
        return inputs.reshape(len(images), *shape)

    return Dataset(
        part.inputs,
        part.targets,
        transform=transform,
        classes=part.classes,
        name=part.name,
        source=part.source,
    )
