"""The 8×8 digits of scikit-learn: small enough to train on in a second."""

from __future__ import annotations

import math

import numpy as np

from ..errors import require
from ..typing import NDArray
from .dataset import DIGITS, Dataset
from .origin import Origin

__all__ = ["digits_to_vectors", "load_digits"]

TRAIN = 1_438


def load_digits() -> tuple[Dataset, Dataset]:
    """Load scikit-learn's 8×8 digits: 1,438 to train with and 359 to test with.

    Returns
    -------
    train, test : Dataset
        ``inputs`` are the raw images, uint8 from 0 to 16 of shape (N, 8, 8); the network gets rows
        of 64 numbers in [0, 1].

    Raises
    ------
    MissingExtraError
        If scikit-learn is not installed.

    Notes
    -----
    The digits are split in their original order, sorted by writer: most of the last 359 were written by
    people who wrote none of the others. So the accuracy is lower than after a random split, and closer to
    the accuracy for a stranger's digits.

    Examples
    --------
    >>> train, test = load_digits()
    >>> train
    Dataset('digits train', 1,438 × uint8[8, 8], 10 classes, source="scikit-learn's digits")
    >>> x, y = test[:100]
    >>> x.shape, float(x.max())
    ((100, 64), 1.0)
    """
    sklearn = require("sklearn.datasets", extra="digits", purpose="loading the 8×8 digits")
    bunch = sklearn.load_digits()
    images, labels = bunch.images.astype(np.uint8), bunch.target.astype(np.int64)
    train, test = (
        Dataset(
            images[rows],
            labels[rows],
            transform=digits_to_vectors,
            classes=DIGITS,
            name=f"digits {part}",
            source="scikit-learn's digits",
            origin=Origin("digits"),
        )
        for part, rows in (("train", slice(None, TRAIN)), ("test", slice(TRAIN, None)))
    )
    return train, test


def digits_to_vectors(images: NDArray) -> NDArray:
    """Flatten images of 0–16 into rows of numbers from 0 to 1.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, 8, 8)

    Returns
    -------
    ndarray of float32, shape (N, 64)

    Examples
    --------
    >>> digits_to_vectors(np.full((1, 8, 8), 16, dtype=np.uint8))[0, :3]
    array([1., 1., 1.], dtype=float32)
    """
    return np.divide(images.reshape(len(images), math.prod(images.shape[1:])), 16, dtype=np.float32)
