"""Data sets in the style of PyTorch, which return one example at a time, as ours."""

from __future__ import annotations

from typing import Any, Protocol, TypeGuard

import numpy as np

from ..errors import DataError, OptionError, ShapeError
from ..tensor import Tensor
from ..typing import NDArray
from .dataset import Dataset, Transform

__all__ = ["ExampleSource", "Examples", "as_pair", "is_examples"]


class ExampleSource(Protocol):
    """A data set that returns one example at a time, a pair of an input and a target, such as PyTorch's."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Any: ...


def is_examples(data: Any) -> TypeGuard[ExampleSource]:
    """Whether something is a foreign data set: no array, no container of Python, but with items by number."""
    ours = (Dataset, Tensor, tuple, list, str, bytes, dict)
    return not isinstance(data, ours) and not hasattr(data, "shape") and hasattr(data, "__getitem__")


class Examples(Dataset):
    """A foreign data set, whose examples are read each time, because it may change them at random.

    Parameters
    ----------
    source : ExampleSource
    """

    def __init__(self, source: ExampleSource) -> None:
        self.examples, self.source = source, type(source).__name__
        try:
            self.length = len(source)
        except TypeError as error:
            raise OptionError(f"a {self.source} has no number of examples: {error}") from error
        self.transform, self.classes, self.name, self.origin = None, (), "", None

    def __len__(self) -> int:
        return self.length

    @property
    def example_shape(self) -> tuple[int, ...]:
        """The shape of an input, that of the first example."""
        return self[0][0].shape

    @property
    def inputs(self) -> NDArray:  # type: ignore[override]
        """All inputs: every example is read."""
        return self[:][0]

    @property
    def targets(self) -> NDArray:  # type: ignore[override]
        """All targets: every example is read."""
        found: NDArray = self[:][1]
        return found

    def batch(self, index: Any, augment: Transform | None = None) -> tuple[NDArray, Any]:
        """Read several examples, and stack them."""
        numbers = np.arange(len(self))[index]
        if not numbers.size:
            raise DataError(f"a {self.source} without examples")
        pairs = [as_pair(self.examples[int(i)], self.source) for i in numbers]
        columns = []
        for column in zip(*pairs, strict=True):
            try:
                columns.append(np.stack(column))
            except ValueError as error:
                shapes = sorted({x.shape for x in column})
                raise ShapeError(
                    f"the examples have several shapes, such as {shapes[0]} and {shapes[-1]}"
                ) from error
        inputs, targets = columns
        return (inputs if augment is None else augment(inputs)), targets

    def subset(self, index: Any) -> Dataset:
        """A data set of some examples, which are read now."""
        return Dataset(*self.batch(index if isinstance(index, (slice, np.ndarray)) else list(index)))

    def __repr__(self) -> str:
        return f"Dataset({len(self):,} examples of {self.source})"


def as_pair(example: Any, name: str) -> tuple[NDArray, NDArray]:
    """An input and a target as arrays."""
    if not isinstance(example, (tuple, list)) or len(example) != 2:
        what = (
            f"{len(example)} parts" if isinstance(example, (tuple, list)) else f"a {type(example).__name__}"
        )
        raise DataError(f"a {name} returned {what}; an example, or a batch, is a pair (inputs, targets)")
    return _plain(example[0]), _plain(example[1])


def _plain(x: Any) -> NDArray:
    """An array of numbers; a tensor of PyTorch's may be on another device, or require a gradient."""
    for method in ("detach", "cpu"):
        x = getattr(x, method)() if hasattr(x, method) and not isinstance(x, Tensor) else x
    array = np.asarray(x)
    if array.dtype.kind not in "biufc":
        raise DataError(
            f"an example holds {array.dtype}, a {type(x).__name__}; pass numbers, as a transform such as ToTensor "
            "makes them"
        )
    return array
