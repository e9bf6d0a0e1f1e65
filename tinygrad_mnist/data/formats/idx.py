"""IDX, the format in which MNIST is published: a magic number, the dimensions, then the bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ...reading import open_unpacked, read_exactly
from .corpus import SIDE, Corpus, check_count, check_part

FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)

IMAGES_MAGIC = 0x0803  # 08: unsigned bytes, 03: three dimensions
LABELS_MAGIC = 0x0801


def find_idx(folder: Path) -> list[Path] | None:
    """Find the four files under any of their usual names: None if there are none, an error if only some."""
    found = [_find(folder, name) for name in FILES]
    if not any(found):
        return None
    if missing := [name for name, file in zip(FILES, found, strict=True) if file is None]:
        raise DataError(
            f"{folder}: {', '.join(missing)} missing (with or without .gz) next to the other IDX files"
        )
    return [file for file in found if file is not None]


def read_idx(files: list[Path]) -> Corpus:
    """Read the four files, in the order of ``FILES``."""
    train_images, test_images = read_idx_images(files[0]), read_idx_images(files[2])
    train_labels = check_part(files[1], train_images, read_idx_labels(files[1]))
    test_labels = check_part(files[3], test_images, read_idx_labels(files[3]))
    return Corpus(train_images, train_labels, test_images, test_labels)


def read_idx_images(path: Path) -> NDArray[np.uint8]:
    """Read images, shape (N, 28, 28)."""
    with open_unpacked(path) as stream:
        magic, count, height, width = read_exactly(stream, 16, path).view(">u4").tolist()
        if magic != IMAGES_MAGIC:
            raise DataError(f"{path}: magic number {magic:#010x}, but IDX images have {IMAGES_MAGIC:#010x}")
        if (height, width) != (SIDE, SIDE):
            raise DataError(f"{path}: images of {height}×{width} pixels; expected {SIDE}×{SIDE}")
        check_count(path, count)
        return read_exactly(stream, count * SIDE * SIDE, path, last=True).reshape(count, SIDE, SIDE)


def read_idx_labels(path: Path) -> NDArray[np.uint8]:
    """Read labels, shape (N,)."""
    with open_unpacked(path) as stream:
        magic, count = read_exactly(stream, 8, path).view(">u4").tolist()
        if magic != LABELS_MAGIC:
            raise DataError(f"{path}: magic number {magic:#010x}, but IDX labels have {LABELS_MAGIC:#010x}")
        check_count(path, count)
        return read_exactly(stream, count, path, last=True)


def idx_header(array: NDArray[np.uint8]) -> bytes:
    """Return the header of an IDX file with this array."""
    return np.array([0x0800 + array.ndim, *array.shape], dtype=">u4").tobytes()


def _find(folder: Path, name: str) -> Path | None:
    plain = name.removesuffix(".gz")
    dotted = plain.replace("-idx", ".idx")
    candidates = (folder / f"{stem}{suffix}" for stem in (plain, dotted) for suffix in (".gz", ""))
    return next((file for file in candidates if file.is_file()), None)
