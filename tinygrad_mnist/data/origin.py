"""Where data come from, and which data they are: what a run writes down, and what tells the same data from others."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError

if TYPE_CHECKING:
    from .dataset import Dataset

__all__ = ["MNIST_TRAIN", "Origin", "Seen", "digest", "hash_files"]

#: The set of which the digits of the bundled sample are a part, those to test with too.
MNIST_TRAIN = "MNIST's training set"

#: Parts of published sets, by their digests, so that they are known wherever they were copied to.
_KNOWN = {
    "7a20c28713f9dfe2c89b1c34d09b169926037fc85ad98ff0f296cde461ed23d7": MNIST_TRAIN,
    "43bb1144919d856db6053d311947d103a23f089e15c50a5b2a0f097f3335aa93": MNIST_TRAIN,
    "96bf22c07aadd8aa2a1ea8c1ce2a552fe46904932d9f32f9431dea5d5d8f09b5": MNIST_TRAIN,
}

#: The number of files above which a run keeps one checksum for all of them.
MOST_FILES = 20

#: How many rows are hashed at once; more of a file that is mapped into memory would be read at once.
ROWS = 4096


@dataclass(frozen=True)
class Origin:
    """Where a data set was read from.

    Attributes
    ----------
    dataset : str
        Its name in :data:`~tinygrad_mnist.data.DATASETS`.
    path : str or None
        The file or folder that was named; None for the places where it is usually found.
    files : tuple of Path
        The files that were read.
    within : str
        The published set of which all its examples are a part, such as ``"MNIST's training set"``; or ``""``.
    """

    dataset: str
    path: str | None = None
    files: tuple[Path, ...] = ()
    within: str = ""


def digest(data: Dataset) -> str:
    """Return the SHA-256 of the inputs and targets of a data set, as they are stored.

    It is that of the arrays, not of a file, so the same data are recognised in another format.

    Examples
    --------
    >>> from tinygrad_mnist.data import Dataset
    >>> data = Dataset(np.arange(4), np.arange(4) % 2)
    >>> digest(data) == digest(data.subset([0, 1, 2, 3])), digest(data) == digest(data.subset([1, 0, 2, 3]))
    (True, False)
    """
    sha256 = hashlib.sha256()
    for array in (data.inputs, data.targets):
        sha256.update(f"{array.dtype.newbyteorder('<').str}{array.shape}".encode())
        for start in range(0, len(array), ROWS):
            rows = np.ascontiguousarray(array[start : start + ROWS])
            sha256.update(rows.astype(rows.dtype.newbyteorder("<"), copy=False).tobytes())
    return sha256.hexdigest()


def hash_files(files: tuple[Path, ...]) -> dict[str, str]:
    """Return the SHA-256 of each file by its name; if there are many, one of all, in the order of their names."""
    found = {}
    for path in sorted(set(files)):
        with path.open("rb") as file:
            found[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    if len(found) <= MOST_FILES:
        return found
    joined = "".join(found.values()).encode()
    return {f"all {len(found):,} files": hashlib.sha256(joined).hexdigest()}


@dataclass(frozen=True)
class Seen:
    """Which data a run has seen: what is needed to tell whether others are the same.

    Attributes
    ----------
    name : str
        The name of the training data, such as ``"MNIST train"``.
    files : dict of str to str
        The SHA-256 of the files that they were read from, by name; empty if they were made in Python.
    train, test : dict
        ``count`` and ``sha256`` of each part (see :func:`digest`), and ``within`` (see :class:`Origin`). ``train``
        includes the examples held out for validation; ``test`` is None if none was named.
    split : dict
        How the training part was split: the number of examples to ``train`` with and for ``validation``, and the
        ``seed`` of their order; empty if that is not known.
    """

    name: str
    files: dict[str, str]
    train: dict[str, Any]
    test: dict[str, Any] | None
    split: dict[str, int]

    @classmethod
    def of(cls, train: Dataset, test: Dataset | None, split: Mapping[str, int] | None = None) -> Seen:
        """Look at data sets."""
        files = train.origin.files if train.origin else ()
        return cls(
            train.name, hash_files(files), _part(train), _part(test) if test else None, dict(split or {})
        )

    @classmethod
    def read(cls, config: object, where: object) -> Seen:
        """Take what a run has written down.

        Raises
        ------
        DataError
            If something is missing, or of another kind.
        """
        kinds: dict[str, Any] = {
            "name": str,
            "files": dict,
            "train": dict,
            "test": (dict, type(None)),
            "split": dict,
        }
        values = config if isinstance(config, dict) else {}
        parts = [part for part in (values.get("train"), values.get("test")) if isinstance(part, dict)]
        inside: dict[str, Any] = {"count": int, "sha256": str, "within": str}
        if not (
            all(isinstance(values.get(name, ...), kind) for name, kind in kinds.items())
            and all(isinstance(part.get(name), kind) for part in parts for name, kind in inside.items())
        ):
            raise DataError(f"{where}: the description of the data that the run has seen is damaged")
        return cls(**{name: values[name] for name in kinds})

    def fits(self, train: Dataset, test: Dataset) -> bool:
        """Whether these are the data of the run; if it names no test data, those that go with its training data are."""
        part, data = (self.train, train) if self.test is None else (self.test, test)
        return bool(part["sha256"] == digest(data))

    def contains(self, data: Dataset) -> str:
        """Say why the model has learned from these data, or return ``""``; its own test data are no others."""
        part, learned = _part(data), self.train
        if part["sha256"] == learned["sha256"]:
            return f"these are the {part['count']:,} examples that the model was trained with"
        is_own = self.test is not None and part["sha256"] == self.test["sha256"]
        if part["within"] and part["within"] == learned["within"] and not is_own:
            return (
                f"all {part['count']:,} of these are a part of {part['within']}, and the model was trained with "
                f"{learned['count']:,} examples of it"
            )
        return ""


def _part(data: Dataset) -> dict[str, Any]:
    sha256 = digest(data)
    within = data.origin.within if data.origin else ""
    return {"count": len(data), "sha256": sha256, "within": _KNOWN.get(sha256, within)}
