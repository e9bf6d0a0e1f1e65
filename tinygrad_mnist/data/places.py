"""Where data sets are looked for, and what is there."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from ..errors import DataError
from .formats import detect

__all__ = ["FASHION_VARIABLE", "MNIST_VARIABLE", "Place", "cache_folder", "fashion_places", "mnist_places"]

MNIST_VARIABLE = "TINYGRAD_MNIST_DATA"
FASHION_VARIABLE = "TINYGRAD_FASHION_MNIST_DATA"
FASHION_DEBIAN = Path("/usr/share/datasets/fashion-mnist")


@dataclass(frozen=True)
class Place:
    """One place where a data set is looked for.

    Attributes
    ----------
    dataset : str
        The data set, such as ``"MNIST"``.
    place : str
        What kind of place it is, such as ``"$TINYGRAD_MNIST_DATA"``.
    path : Path or None
        Where that is; None if the place is not set up.
    found : str
        What lies there, in words.
    is_usable : bool
        Whether it can be loaded.
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
    """List where MNIST is looked for."""
    return [
        _in_variable("MNIST", MNIST_VARIABLE),
        _in_folder("MNIST", "cache", cache_folder("mnist")),
        Place("MNIST", "bundled sample", None, "5,000 digits, used when there is no network", True),
    ]


def fashion_places() -> list[Place]:
    """List where Fashion-MNIST is looked for."""
    return [
        _in_variable("Fashion-MNIST", FASHION_VARIABLE),
        _in_folder("Fashion-MNIST", "Debian's dataset-fashion-mnist", FASHION_DEBIAN),
        _in_folder("Fashion-MNIST", "cache", cache_folder("fashion-mnist")),
    ]


def cache_folder(name: str) -> Path:
    """Return the folder in the user's cache where a data set is kept, by the system's own convention."""
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
    return _in_folder(dataset, f"${variable}", Path(value).expanduser())


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
