"""Loaders in the style of PyTorch, which go through batches of their own, as ours."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Protocol

import numpy as np

from ..errors import OptionError
from ..typing import NDArray
from .dataset import Dataset
from .examples import Examples, as_pair, is_examples
from .loader import DataLoader

__all__ = ["BatchSource", "Batches", "adopt", "make_loader"]


class BatchSource(Protocol):
    """A loader that goes through batches, pairs of inputs and targets, such as PyTorch's."""

    dataset: Any
    batch_size: Any

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Any]: ...


def adopt(data: Any) -> Any:
    """Return a foreign data set or loader as one of ours, and anything else unchanged."""
    if isinstance(data, (Dataset, DataLoader)):
        return data
    if is_examples(data):
        return Examples(data)
    if hasattr(data, "__iter__") and hasattr(data, "dataset"):
        return Batches(data)
    if isinstance(data, (str, os.PathLike)):
        raise OptionError(
            f"{str(data)!r} is a path; read it first: tg.data.load_files(path) returns data to train and to test with, "
            "tg.data.read_images(path) pictures for predict"
        )
    if hasattr(data, "__next__"):
        raise OptionError(
            f"a {type(data).__name__} can be gone through, but has no number of examples; make arrays of it, or a "
            "data set with __len__ and __getitem__"
        )
    return data


def make_loader(
    data: Any, batch_size: int, *, shuffle: bool = False, rng: np.random.Generator | int | None = None
) -> DataLoader:
    """Make a loader of data, unless they are one."""
    data = adopt(data)
    return data if isinstance(data, DataLoader) else DataLoader(data, batch_size, shuffle=shuffle, rng=rng)


class Batches(DataLoader):
    """A foreign loader, which decides on its own which examples are in which batch.

    Parameters
    ----------
    source : BatchSource
    """

    def __init__(self, source: BatchSource) -> None:
        self.original, self.source = source, type(source).__name__
        self.dataset = adopt(source.dataset)
        try:
            self.count = len(source)
        except TypeError as error:
            raise OptionError(f"a {self.source} has no number of batches: {error}") from error
        if not self.count:
            raise OptionError(f"a {self.source} without batches: there is nothing to iterate over")
        self.batch_size = getattr(source, "batch_size", None) or -(-len(self.dataset) // self.count)
        # Whatever is not known to go through the examples in order may shuffle them.
        self.shuffle = type(getattr(source, "sampler", None)).__name__ != "SequentialSampler"
        self.drop_last = bool(getattr(source, "drop_last", False))
        self.augment, self.rng = None, np.random.default_rng(0)

    def __len__(self) -> int:
        return self.count

    def batches(
        self, start: int = 0, part: Callable[[int], slice] | None = None
    ) -> Iterator[tuple[NDArray, Any]]:
        """Go through an epoch, or the rest of it; a batch cannot be cut here."""
        return (as_pair(batch, self.source) for batch in islice(self.original, start, None))

    def __repr__(self) -> str:
        return f"DataLoader({len(self):,} batches of {self.source})"
