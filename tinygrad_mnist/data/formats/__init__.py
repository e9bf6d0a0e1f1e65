"""The file formats of MNIST; each reader returns the same four arrays or raises ``DataError``."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ...errors import DataError
from .corpus import Corpus
from .idx import FILES, find_idx, read_idx
from .npz import read_npz
from .pickled import read_pickle
from .table import find_tables, read_tables

__all__ = ["Corpus", "detect", "read"]

NPZ = ("mnist.npz",)
PICKLES = ("mnist.pkl.gz", "mnist.pkl")


def read(path: Path) -> Corpus:
    """Read the data set in a folder or a file, in any of the formats."""
    found = detect(path)
    if found is None:
        raise DataError(
            f"{path}: {'no MNIST data in this folder' if path.is_dir() else 'not an MNIST file'}; expected "
            f"{', '.join(FILES)} (or without .gz), mnist.npz, mnist.pkl.gz, or both mnist_train.csv "
            "and mnist_test.csv"
        )
    _, reader = found
    return reader()


def detect(path: Path) -> tuple[str, Callable[[], Corpus]] | None:
    """Find out which format a folder or file has, without reading it; return its name and its reader.

    Returns
    -------
    tuple of str and callable, or None
        None if nothing there looks like MNIST.

    Raises
    ------
    DataError
        If the path does not exist, or holds only a part of a data set; the message says what is missing.
    """
    try:
        if path.is_dir():
            return _detect_in(path)
        if path.is_file():
            return _detect_file(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    raise DataError(
        f"{path}: {'neither a file nor a folder' if os.path.lexists(path) else 'no such file or folder'}"
    )


def _detect_in(folder: Path) -> tuple[str, Callable[[], Corpus]] | None:
    if idx := find_idx(folder):
        return "IDX", lambda: read_idx(idx)
    for name in NPZ + PICKLES:
        if (folder / name).is_file():
            return _detect_file(folder / name)
    if tables := find_tables(folder):
        return "CSV", lambda: read_tables(*tables)
    return None


def _detect_file(file: Path) -> tuple[str, Callable[[], Corpus]] | None:
    name = file.name.lower().removesuffix(".gz")
    if name.endswith(".npz"):
        return "npz", lambda: read_npz(file)
    if name.endswith((".pkl", ".pickle")):
        return "pickle", lambda: read_pickle(file)
    if name.endswith(".csv"):
        raise DataError(
            f"{file}: one CSV file holds only one part; pass the folder with both mnist_train.csv "
            "and mnist_test.csv, or read only this part with tinygrad_mnist.data.read_csv"
        )
    if name.endswith("-ubyte"):
        raise DataError(
            f"{file}: one IDX file holds only images or only labels; pass the folder with all four files"
        )
    return None
