"""The data sets by name: one entry says all that commands and experiments need to know of one."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import OptionError, choice
from .dataset import Dataset
from .digits import load_digits
from .mnist import load_fashion_mnist, load_mnist
from .places import Place, fashion_places, mnist_places

__all__ = ["DATASETS", "Source", "describe", "load"]

Path = str | os.PathLike[str]


@dataclass(frozen=True)
class Source:
    """Where a data set comes from.

    Attributes
    ----------
    load : callable
        ``load(path)`` returns a Dataset to train with and one to test with. ``path`` is a file or a folder,
        or None for the places where the data set is usually found.
    takes_path : bool
        Whether it can be read from a path; False for a data set that comes with a package.
    fill : float
        The share of the side of an image that the longer side of a digit takes up, so that a picture
        of a digit can be given the same size.
    quick : str, optional
        The name of a smaller data set that stands in for it where a quick look is enough.
    places : callable
        Lists the places where it is looked for, with what is there.
    """

    load: Callable[[Path | None], tuple[Dataset, Dataset]]
    takes_path: bool = True
    fill: float = 20 / 28
    quick: str | None = None
    places: Callable[[], list[Place]] = list


DATASETS = {
    "mnist": Source(load_mnist, quick="sample", places=mnist_places),
    "fashion": Source(load_fashion_mnist, places=fashion_places),
    "digits": Source(lambda path: load_digits(), takes_path=False, fill=1.0),
    "sample": Source(lambda path: load_mnist("sample"), takes_path=False),
}


def load(name: str, path: Path | None = None) -> tuple[Dataset, Dataset]:
    """Load a data set by its name.

    Parameters
    ----------
    name : str
        A key of ``DATASETS``, to which you may add your own.
    path : path, optional
        The folder or file to read it from.

    Returns
    -------
    train, test : Dataset

    Raises
    ------
    OptionError
        If there is no data set of this name, or it is not read from a path.

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
        raise OptionError(f"the data set {name!r} comes with its package and is not read from a path: {path}")
    return source.load(path)


def describe() -> list[Place]:
    """List the places of each data set in the order they are looked at, with what is there.

    Nothing is downloaded, and files are found, not read.

    Returns
    -------
    list of Place
        The first usable one of a data set is where it is loaded from. A variable that is set and
        not usable is an error then, and the places after it are not looked at.

    Examples
    --------
    >>> print(describe()[0])  # doctest: +SKIP
    MNIST: $TINYGRAD_MNIST_DATA /data/mnist: IDX files
    """
    return [place for source in DATASETS.values() for place in source.places()]
