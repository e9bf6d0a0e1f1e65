"""The data sets by name; one entry holds everything that commands and experiments need to know."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..errors import DataError, OptionError, choice
from .dataset import DIGITS, Dataset
from .digits import load_digits
from .mnist import load_fashion_mnist, load_mnist
from .own import load_files
from .places import Place, fashion_places, mnist_places

__all__ = ["DATASETS", "Source", "describe", "load", "load_own"]

Path = str | os.PathLike[str]


@dataclass(frozen=True)
class Source:
    """The source of a data set.

    Attributes
    ----------
    load : callable
        ``load(path)`` returns a Dataset to train with and one to test with. ``path`` is a file or a folder,
        or None for the places where the data set is usually found.
    takes_path : bool
        Whether it can be read from a path; False for a data set that comes with a package.
    fill : float, optional
        The share of an image's side that the longer side of a digit takes up, so that a picture of a
        digit can be scaled in the same way. None: it is measured.
    shows : str
        What its images show, as a page names it.
    quick : str, optional
        The name of a smaller data set that replaces it if a quick look is enough.
    places : callable
        Lists the places where it is searched for, and what is there.

    Examples
    --------
    >>> from tinygrad_mnist.data import DATASETS
    >>> source = DATASETS["sample"]
    >>> train, test = source.load(None)
    >>> len(train), len(test), source.shows
    (4000, 1000, 'digits')
    """

    load: Callable[[Path | None], tuple[Dataset, Dataset]]
    takes_path: bool = True
    fill: float | None = 20 / 28
    shows: str = "images"
    quick: str | None = None
    places: Callable[[], list[Place]] = list


def _load_files(path: Path | None) -> tuple[Dataset, Dataset]:
    if path is None:
        raise OptionError(
            "the data set 'files' is your own; say where it is: --data PATH, or load('files', path)"
        )
    return load_files(path)


DATASETS = {
    "mnist": Source(load_mnist, shows="digits", quick="sample", places=mnist_places),
    "fashion": Source(load_fashion_mnist, shows="clothes", places=fashion_places),
    "digits": Source(lambda path: load_digits(), takes_path=False, fill=1.0, shows="small digits"),
    "files": Source(_load_files, fill=None),
    "sample": Source(lambda path: load_mnist("sample"), takes_path=False, shows="digits"),
}


def load(name: str, path: Path | None = None) -> tuple[Dataset, Dataset]:
    """Load a data set by its name.

    Parameters
    ----------
    name : str
        A key of ``DATASETS``, to which you can add your own.
    path : path, optional
        The folder or file to read it from.

    Returns
    -------
    train, test : Dataset

    Raises
    ------
    OptionError
        If there is no data set with this name, or if it cannot be read from a path.

    Examples
    --------
    >>> train, test = load("sample")
    >>> len(train), len(test)
    (4000, 1000)
    """
    if name not in DATASETS:
        raise choice("data set", name, DATASETS)
    source = DATASETS[name]
    if path is not None and not source.takes_path:
        raise OptionError(
            f"the data set {name!r} comes with its package and cannot be read from a path: {path}"
        )
    return source.load(path)


def load_own(path: Path) -> tuple[str, tuple[Dataset, Dataset]]:
    """Load the data at a path, and name what reads them: ``"mnist"`` if they are ten digits in MNIST's form.

    Raises
    ------
    DataError
        If they cannot be read.
    """
    try:
        loaded = load_mnist(path, download=False)
        if len(np.unique(loaded[0].targets)) == len(DIGITS):
            return "mnist", loaded
    except DataError:
        pass  # the general reader says what is wrong
    return "files", load_files(path)


def describe() -> list[Place]:
    """List the places of each data set in the order in which they are searched, and what is there.

    Nothing is downloaded, and no file is read.

    Returns
    -------
    list of Place
        Each data set is loaded from its first usable place. If a variable is set but not usable,
        loading is an error, and the places after it are not searched.

    Examples
    --------
    >>> sorted({place.dataset for place in describe()})
    ['Fashion-MNIST', 'MNIST']
    """
    return [place for source in DATASETS.values() for place in source.places()]
