"""The places where data sets are searched for, and what is there."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from ..errors import DataError
from ..reading import locate
from .formats import detect

__all__ = ["FASHION_VARIABLE", "MNIST_VARIABLE", "Place", "cache_folder", "fashion_places", "mnist_places"]

MNIST_VARIABLE = "TINYGRAD_MNIST_DATA"
FASHION_VARIABLE = "TINYGRAD_FASHION_MNIST_DATA"
FASHION_DEBIAN = Path("/usr/share/datasets/fashion-mnist")


@dataclass(frozen=True)
class Place:
    """One place where a data set is searched for.

    Attributes
    ----------
    dataset : str
        The data set, such as ``"MNIST"``.
    place : str
        The kind of place, such as ``"$TINYGRAD_MNIST_DATA"``.
    path : Path or None
        Its path; None if the place is not set up.
    found : str
        A description of what is there.
    is_usable : bool
        Whether the data can be loaded.

    Examples
    --------
    >>> print(Place("MNIST", "the cache", Path("/home/me/.cache"), "not there", is_usable=False))
    MNIST: the cache /home/me/.cache: not there
    """

    dataset: str
    place: str
    path: Path | None
    found: str
    is_usable: bool

    def __str__(self) -> str:
        where = f" {self.path}" if self.path else ""
        return f"{self.dataset}: {self.place}{where}: {self.found}"


def mnist_places() -> list[Place]:
    """List the places where MNIST is searched for."""
    return [
        _in_variable("MNIST", MNIST_VARIABLE),
        _in_folder("MNIST", "cache", cache_folder("mnist")),
        Place("MNIST", "bundled sample", None, "5,000 digits, used when there is no network", True),
    ]


def fashion_places() -> list[Place]:
    """List the places where Fashion-MNIST is searched for."""
    return [
        _in_variable("Fashion-MNIST", FASHION_VARIABLE),
        _in_folder("Fashion-MNIST", "Debian's dataset-fashion-mnist", FASHION_DEBIAN),
        _in_folder("Fashion-MNIST", "cache", cache_folder("fashion-mnist")),
    ]


def cache_folder(name: str) -> Path:
    """Return the folder of a data set in the user's cache, by the convention of the system.

    Examples
    --------
    >>> cache_folder("mnist").parts[-2:]
    ('tinygrad-mnist', 'mnist')
    """
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "tinygrad-mnist" / name


def holds_data(folder: Path) -> bool:
    """Tell whether a folder exists and holds a whole data set."""
    try:
        return detect(folder) is not None
    except DataError:
        return False


def _in_variable(dataset: str, variable: str) -> Place:
    value = os.environ.get(variable)
    if not value:
        return Place(dataset, f"${variable}", None, "not set", False)
    try:
        return _in_folder(dataset, f"${variable}", locate(value))
    except (DataError, OSError) as error:  # there is no such user, or no file could have such a name
        return Place(dataset, f"${variable}", Path(value), str(error), False)


def _in_folder(dataset: str, place: str, path: Path) -> Place:
    if not path.exists():
        return Place(dataset, place, path, "not there", False)
    try:
        found = detect(path)
    except DataError as error:
        return Place(dataset, place, path, str(error), False)
    if found is None:
        return Place(dataset, place, path, "nothing readable there", False)
    return Place(dataset, place, path, f"{found[0]} data", True)
