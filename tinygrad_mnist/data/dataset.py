"""A data set is two arrays and a function: the data on disk, and their conversion for the network."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np

from ..errors import DTypeError, OptionError, ShapeError, pluralise, quote
from ..operands import operand
from ..typing import NDArray
from .origin import Origin
from .sheet import show_examples

__all__ = ["DIGITS", "Dataset", "to_images", "to_vectors"]

Transform: TypeAlias = Callable[[NDArray], NDArray]

DIGITS = tuple("0123456789")


class Dataset:
    """Inputs and their targets, kept raw and transformed one batch at a time.

    Parameters
    ----------
    inputs : ndarray or memmap, shape (N, ...)
        One example per row, in the dtype in which they are stored.
    targets : ndarray or memmap, shape (N, ...)
        The right answers; for a classifier, integers.
    transform : callable, optional
        Turns a batch of ``inputs`` into the input of the network. It always gets a batch, so it needs
        no loops. If it is a top-level function, the data set can be pickled.
    classes : sequence of str, optional
        The name of each class, by target.
    name : str, optional
        The name of this data set in messages and plots.
    source : str, optional
        The origin of the data, in words.
    origin : Origin, optional
        Where they were read from, for a run that writes it down; the functions that load data sets set it.

    Raises
    ------
    ShapeError
        If ``inputs`` and ``targets`` differ in length or have no first axis.

    Examples
    --------
    Three grey images of two pixels, seen by the network as numbers in [0, 1]:

    >>> pixels = np.array([[0, 255], [255, 0], [255, 255]], dtype=np.uint8)
    >>> data = Dataset(pixels, np.array([0, 1, 1]), transform=to_vectors)
    >>> data[:2]
    (array([[0., 1.],
           [1., 0.]], dtype=float32), array([0, 1]))

    One index gives one example:

    >>> x, y = data[-1]
    >>> x.shape, int(y)
    ((2,), 1)
    """

    def __init__(
        self,
        inputs: NDArray,
        targets: NDArray,
        *,
        transform: Transform | None = None,
        classes: Sequence[str] = (),
        name: str = "",
        source: str = "",
        origin: Origin | None = None,
    ) -> None:
        if isinstance(inputs, Dataset) or isinstance(targets, Dataset):
            raise OptionError(
                "got two data sets, (train, test), but one is expected. Unpack them, as in "
                "train, test = load_mnist(), and pass each in its place: fit(model, train, validation=test)"
            )
        # asanyarray keeps a memmap: nothing is read from the file here.
        self.inputs: NDArray = np.asanyarray(operand(inputs))
        self.targets: NDArray = np.asanyarray(operand(targets))
        for what, array in (("inputs", self.inputs), ("targets", self.targets)):
            if array.ndim == 0:
                raise ShapeError(
                    f"Dataset: {what} is a single value ({quote(array.item())}); pass one row per example"
                )
        if len(self.inputs) != len(self.targets):
            raise ShapeError(
                f"Dataset: {len(self.inputs):,} inputs but {len(self.targets):,} targets; their numbers must be equal"
            )
        if transform is None and self.inputs.dtype.kind in "US":
            raise DTypeError(
                f"Dataset: inputs are text ({self.inputs.dtype}), not numbers; convert them with .astype(float)"
            )
        if not (transform is None or callable(transform)):
            raise OptionError(
                f"Dataset: transform is a {type(transform).__name__}; pass the function itself, as in "
                "transform=tg.data.to_vectors"
            )
        if not isinstance(classes, Iterable):
            raise OptionError(f"Dataset: classes is {classes!r}; pass the name of each class, or nothing")
        self.transform = transform
        self.classes = tuple(classes)
        self.name = name
        self.source = source
        self.origin = origin

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def example_shape(self) -> tuple[int, ...]:
        """The shape of one of the inputs, before the transform."""
        return self.inputs.shape[1:]

    def __getitem__(self, index: Any) -> tuple[NDArray, Any]:
        """Return ``(transform(inputs[index]), targets[index])`` for an int, a slice or an index array."""
        if isinstance(index, (slice, np.ndarray, list)):
            return self.batch(index)
        if isinstance(index, tuple):
            raise IndexError(f"a Dataset has one axis, but was indexed with {index!r}; use an index array")
        i = range(len(self))[operator.index(index)]
        inputs, targets = self[i : i + 1]
        return inputs[0], targets[0]

    def batch(self, index: Any, augment: Transform | None = None) -> tuple[NDArray, Any]:
        """Return several examples; ``augment`` changes their raw inputs before the transform."""
        inputs = self.inputs[index]
        if augment is not None:
            inputs = augment(inputs)
        return (self.transform(inputs) if self.transform else inputs), self.targets[index]

    def subset(self, index: slice | Sequence[int] | NDArray) -> Dataset:
        """Return a data set of some of the examples; for a slice, it shares memory with this one.

        Parameters
        ----------
        index : slice, sequence of int, or index array
            The examples to keep, in the desired order.

        Returns
        -------
        Dataset
            A data set with the same transform, classes, name and source.

        Examples
        --------
        >>> data = Dataset(np.arange(5), np.arange(5) % 2)
        >>> data.subset(data.targets == 1).inputs
        array([1, 3])
        """
        rows = index if isinstance(index, (slice, np.ndarray)) else list(index)
        return Dataset(
            self.inputs[rows],
            self.targets[rows],
            transform=self.transform,
            classes=self.classes,
            name=self.name,
            source=self.source,
            origin=self.origin,
        )

    def split(self, count: int) -> tuple[Dataset, Dataset]:
        """Cut the data set after its first ``count`` examples; both parts share its memory.

        Parameters
        ----------
        count : int
            Number of examples in the first part; at least one, and at least one must be left.

        Returns
        -------
        first, rest : Dataset

        Raises
        ------
        OptionError
            If either part would be empty.

        Examples
        --------
        >>> train, validation = Dataset(np.arange(10), np.arange(10)).split(8)
        >>> len(train), len(validation)
        (8, 2)
        """
        if not isinstance(count, (int, np.integer)) or not 0 < count < len(self):
            raise OptionError(
                f"split({count}): {self!r} can be cut after 1 to {len(self) - 1:,} examples, "
                "so that neither part is empty; for a share, as in split(int(0.8 * len(data)))"
            )
        return self.subset(slice(None, count)), self.subset(slice(count, None))

    def __repr__(self) -> str:
        parts = [repr(self.name)] if self.name else []
        parts.append(f"{len(self):,} × {self.inputs.dtype}{list(self.inputs.shape[1:])}")
        if self.classes:
            parts.append(pluralise(len(self.classes), "class"))
        if self.source:
            parts.append(f"source={self.source!r}")
        return f"Dataset({', '.join(parts)})"

    def _repr_html_(self) -> str:
        return show_examples(self)


def to_vectors(images: NDArray) -> NDArray:
    """Flatten images of 0–255 into rows of numbers from 0 to 1: the input of a network of ``Linear`` layers.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, ...)

    Returns
    -------
    ndarray of float32, shape (N, pixels)

    Examples
    --------
    >>> to_vectors(np.full((64, 28, 28), 255, dtype=np.uint8)).shape
    (64, 784)
    """
    return np.divide(images.reshape(len(images), math.prod(images.shape[1:])), 255, dtype=np.float32)


def to_images(images: NDArray) -> NDArray:
    """Scale images of 0–255 to 0–1 and give them a channel axis: the input of a convolution.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, H, W)

    Returns
    -------
    ndarray of float32, shape (N, 1, H, W)

    Examples
    --------
    >>> to_images(np.full((64, 28, 28), 255, dtype=np.uint8)).shape
    (64, 1, 28, 28)
    """
    return np.divide(images[:, np.newaxis], 255, dtype=np.float32)
