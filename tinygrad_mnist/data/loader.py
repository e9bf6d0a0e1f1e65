"""Cut a data set into batches, each with one gather and one transform and without a loop over examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..errors import OptionError, pluralise
from ..operands import generator
from ..typing import NDArray
from .dataset import Dataset
from .examples import Examples, ExampleSource, is_examples

__all__ = ["DataLoader"]


class DataLoader:
    """Iterate over a data set in batches, with ``shuffle`` in a new order for each epoch.

    Parameters
    ----------
    dataset : Dataset or tuple of two ndarrays
        The examples; ``(inputs, targets)`` is a data set without a transform. A data set in PyTorch's style, whose
        items are pairs, is read example by example.
        Memory-mapped arrays stay on disk: each batch reads its own rows.
    batch_size : int
        Number of examples per batch; the last one may be smaller.
    shuffle : bool, default False
        Visit the examples in a new random order in each epoch.
    drop_last : bool, default False
        Omit the last batch if it is not full.
    augment : callable, optional
        Changes the raw inputs of each batch, as :class:`Augment` does.
    rng : int or numpy.random.Generator, optional
        Source of the random order; the same seed gives the same orders. A generator is used directly,
        not copied.

    Raises
    ------
    OptionError
        If ``batch_size`` is below one or the epoch would have no batch.
    ShapeError
        If inputs and targets differ in length.

    Notes
    -----
    Batches own their memory: writing into one does not change the data set.

    Examples
    --------
    >>> x, y = np.arange(10.0), np.arange(10)
    >>> for inputs, targets in DataLoader((x, y), 4):
    ...     print(targets)
    [0 1 2 3]
    [4 5 6 7]
    [8 9]

    With ``shuffle``, each epoch is a new permutation:

    >>> loader = DataLoader((x, y), 10, shuffle=True, rng=0)
    >>> [targets for _, targets in loader]
    [array([4, 6, 2, 7, 3, 5, 9, 0, 8, 1])]
    >>> [targets for _, targets in loader]
    [array([2, 9, 3, 6, 0, 4, 8, 7, 5, 1])]
    """

    def __init__(
        self,
        dataset: Dataset | tuple[NDArray, NDArray] | ExampleSource,
        batch_size: int,
        *,
        shuffle: bool = False,
        drop_last: bool = False,
        augment: Callable[[NDArray], NDArray] | None = None,
        rng: int | np.random.Generator | None = None,
    ) -> None:
        if is_examples(dataset):
            dataset = Examples(dataset)
        if not isinstance(dataset, Dataset):
            if not isinstance(dataset, (tuple, list)) or len(dataset) != 2:
                what = type(dataset).__name__
                if isinstance(dataset, (tuple, list)):
                    what = f"a {what} of {pluralise(len(dataset), 'part')}"
                raise OptionError(f"DataLoader: got {what}; pass a Dataset or a pair (inputs, targets)")
            dataset = Dataset(*dataset)
        self.dataset = dataset
        if not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
            raise OptionError(f"DataLoader: batch_size is {batch_size!r}; it must be a positive integer")
        self.batch_size = int(batch_size)
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.augment = augment
        self.rng = generator(rng)
        if len(dataset) == 0:
            raise OptionError(f"DataLoader: {dataset!r} is empty: there is nothing to iterate over")
        if len(self) == 0:
            raise OptionError(
                f"DataLoader: drop_last leaves no batch, because {len(dataset):,} examples do not fill "
                f"a batch of {self.batch_size:,}; lower batch_size"
            )

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        full, rest = divmod(len(self.dataset), self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[tuple[NDArray, Any]]:
        """Yield one epoch of ``(inputs, targets)``."""
        return self.batches()

    def batches(
        self, start: int = 0, part: Callable[[int], slice] | None = None
    ) -> Iterator[tuple[NDArray, Any]]:
        """Yield one epoch, or the rest of it.

        Parameters
        ----------
        start : int, default 0
            The number of batches to leave out; the order is drawn for the whole epoch, in this call.
        part : callable, optional
            Says which of so many examples of a batch to take; all of them by default.

        Examples
        --------
        >>> loader = DataLoader((np.arange(4), np.arange(4)), 2)
        >>> [targets for _, targets in loader.batches(1)]
        [array([2, 3])]
        """
        examples = len(self.dataset)
        order = self.rng.permutation(examples) if self.shuffle else np.arange(examples)
        starts = range(start * self.batch_size, len(self) * self.batch_size, self.batch_size)
        rows = (order[i : i + self.batch_size] for i in starts)
        shares = (batch if part is None else batch[part(len(batch))] for batch in rows)
        return (self.dataset.batch(share, self.augment) for share in shares)

    def size_of(self, number: int) -> int:
        """Return how many examples are in a batch; the first has number 1."""
        return min(self.batch_size, len(self.dataset) - (number - 1) * self.batch_size)

    def __repr__(self) -> str:
        return f"DataLoader({self.dataset!r}, {pluralise(len(self), 'batch')} of {self.batch_size:,})"
