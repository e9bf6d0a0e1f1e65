"""The command ``predict``: what a model sees in pictures, in folders of them, and in tables."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np

from ..data import read_digit, read_images
from ..data.own import holds_many, list_files
from ..errors import DataError, pluralise
from ..nn import Module
from ..training import predict as compute
from ..training.runs import Run, probabilities
from ..training.settings import Facts
from ..typing import NDArray

__all__ = ["predict"]

#: How many of the files that could not be read the last line names.
NAMED = 5


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per image.")
def predict(run: Path, images: tuple[Path, ...], as_json: bool) -> int:
    """Say which digit each of the IMAGES shows.

    IMAGES are pictures (PNG, JPEG and others, or .npy) of one digit each: of any size, dark on light or light on
    dark, and photos of paper. They may also be folders of pictures, and tables or other files of many images, such as
    Kaggle's test.csv, whose images have the size that the model reads.

    It reports what it cannot read, and reads the rest; the exit status is then 1.
    """
    saved = Run(run)
    model, facts, fill = saved.model(), saved.facts, saved.fill
    failed: list[str] = []
    files = [file for path in images for file in _list(path)]
    for file in files:
        try:
            for name, digits in _read(file, facts, fill):
                _answer(name, digits, model, facts, as_json)
        except DataError as error:
            if len(files) == 1:
                raise
            click.echo(f"skipped: {error}", err=True)
            failed.append(str(file))
    if failed:
        names = ", ".join(failed[:NAMED]) + (" …" if len(failed) > NAMED else "")
        click.echo(
            f"error: {len(failed):,} of {pluralise(len(files), 'file')} could not be read: {names}", err=True
        )
    return 1 if failed else 0


def _list(path: Path) -> list[Path]:
    if not (files := list_files(path)):
        raise DataError(f"{path}: this folder holds no pictures and no tables")
    return files


def _read(file: Path, facts: Facts, fill: float) -> Iterator[tuple[str, NDArray]]:
    """Read the digits in a file, as the model saw them in training: each name with an image (side, side) of 0–1."""
    if not file.is_file() or not holds_many(file):
        yield str(file), read_digit(file, size=facts.side, fill=fill)
        return
    for row, image in enumerate(read_images(file, facts.side), start=1):
        yield f"{file}, row {row}", np.divide(image, 255, dtype=np.float32)


def _answer(name: str, digit: NDArray, model: Module, facts: Facts, as_json: bool) -> None:
    outputs = compute(model, digit.reshape(1, *facts.input))
    if facts.loss is None:  # nobody knows what the outputs mean, but that the largest counts
        found = facts.classes[int(outputs.argmax())]
        click.echo(json.dumps({"image": name, "prediction": found}) if as_json else f"{name}: {found}")
        return
    shares = probabilities(outputs, facts.loss)[0]
    best = np.argsort(-shares)[:3]
    names = [facts.classes[i] for i in best]
    if as_json:
        answer: dict[str, Any] = {
            "image": name,
            "prediction": names[0],
            "probabilities": dict(zip(facts.classes, shares.round(6).tolist(), strict=True)),
        }
        click.echo(json.dumps(answer))
        return
    shown = ", ".join(f"{name} {shares[i]:.1%}" for name, i in zip(names, best, strict=True))
    click.echo(f"{name}: {names[0]}  ({shown})")
