"""The files that MNIST travels in: each reader returns the same four arrays, or raises ``DataError``."""

from __future__ import annotations

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
    """Read the data set in a folder or a file, whichever of the formats it is in."""
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
    """Find what a folder or file holds, without reading it: the format's name and its reader.

    Returns
    -------
    tuple of str and callable, or None
        None if nothing there looks like MNIST.

    Raises
    ------
    DataError
        If the path does not exist, or holds a part of a data set; the message says what is missing.
    """
    try:
        if path.is_dir():
            return _detect_in(path)
        if path.is_file():
            return _detect_file(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be looked into: {error}") from error
    raise DataError(f"{path}: there is no such file or folder")


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
            f"{file}: one CSV file holds only one part; give the folder that holds both mnist_train.csv "
            "and mnist_test.csv, or read this part alone with tinygrad_mnist.data.read_csv"
        )
    if name.endswith("-ubyte"):
        raise DataError(
            f"{file}: one IDX file holds only images or only labels; give the folder that holds all four"
        )
    return None
