"""The result of every reader, and the checks and helpers that they share."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError, pluralise

MAX_EXAMPLES = 300_000
"""More than any data set of this shape with ten classes has (EMNIST digits: 240,000)."""

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


@contextmanager
def open_bytes(path: Path) -> Iterator[io.BufferedIOBase]:
    """Open a file for reading, decompressed if it is gzip; a broken stream becomes a ``DataError``.

    The first bytes say whether it is gzip, because browsers may unpack a file and keep its name.
    """
    try:
        with path.open("rb") as raw:
            is_gzip = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            yield cast(io.BufferedIOBase, gzip.GzipFile(fileobj=raw)) if is_gzip else raw
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: the compressed data is broken or cut short: {error}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}") from error


def read_exactly(
    stream: io.BufferedIOBase, count: int, path: Path, *, last: bool = False
) -> NDArray[np.uint8]:
    """Read exactly ``count`` bytes; with ``last``, nothing may follow them.

    No more than that is decompressed, however much a hostile file holds.
    """
    data = np.empty(count, dtype=np.uint8)
    view, filled = data.data, 0
    while filled < count:
        got = stream.readinto(view[filled : filled + 2**20])
        if not got:
            raise DataError(
                f"{path}: cut short: {filled:,} bytes of data, but the header announces {count:,}"
            )
        filled += got
    if last and stream.read(1):
        raise DataError(f"{path}: there is more data after the {count:,} bytes that the header announces")
    return data
