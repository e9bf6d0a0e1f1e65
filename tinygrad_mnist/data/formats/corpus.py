"""The result of every reader, and the checks that they share."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError, pluralise

MAX_EXAMPLES = 1_000_000
"""More than any data set of this kind has (EMNIST by class: 697,932)."""

SIDE = 28
PIXELS = SIDE * SIDE


class Corpus(NamedTuple):
    """Raw images (N, 28, 28) of uint8 and labels (N,) of int64, for training and for testing."""

    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.int64]


def check_count(path: Path, count: int) -> None:
    """Refuse an impossible number of examples before memory is allocated for it."""
    if not 1 <= count <= MAX_EXAMPLES:
        raise DataError(f"{path}: {count:,} examples; expected 1 to {MAX_EXAMPLES:,}")


def check_part(path: Path, images: NDArray[np.uint8], labels: NDArray[Any]) -> NDArray[np.int64]:
    """Check that images and labels belong together, and return the labels as int64."""
    if len(images) != len(labels):
        raise DataError(
            f"{path}: {pluralise(len(images), 'image')} but {pluralise(len(labels), 'label')}; each image needs one"
        )
    wrong = np.flatnonzero((labels < 0) | (labels > 9))
    if wrong.size:
        raise DataError(
            f"{path}: label {labels[wrong[0]]} of example {wrong[0]:,} is not one of the classes 0–9"
        )
    return labels.astype(np.int64)
