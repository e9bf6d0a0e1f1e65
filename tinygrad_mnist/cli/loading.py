"""The data that a command asks for, and those of a run."""

from __future__ import annotations

import warnings
from pathlib import Path

import click

from .. import data
from ..data import DATASETS, Dataset
from ..training.settings import Settings

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


def load_again(settings: Settings, path: Path | None = None) -> tuple[Dataset, Dataset]:
    """Load the data on which a run was trained, or other data instead."""
    if path is not None:
        return load(settings.dataset if DATASETS[settings.dataset].takes_path else "mnist", path)
    if settings.data == data.SAMPLE:
        return data.load("sample")
    return load(settings.dataset, settings.path)
