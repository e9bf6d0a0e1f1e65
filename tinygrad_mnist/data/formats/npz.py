"""``mnist.npz``, as Keras ships it: a zip of four arrays, read without ever unpickling."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError, quote
from ...reading import open_zip, read_member
from .corpus import MAX_EXAMPLES, PIXELS, SIDE, Corpus, check_count, check_part

KEYS = ("x_train", "y_train", "x_test", "y_test")


def read_npz(path: Path) -> Corpus:
    """Read an archive with the keys x_train, y_train, x_test and y_test."""
    with open_zip(path) as archive:
        present = {name.removesuffix(".npy") for name in archive.namelist()}
        if missing := [key for key in KEYS if key not in present]:
            found = ", ".join(quote(name) for name in sorted(present)[:9])
            raise DataError(f"{path}: has no {', '.join(missing)}; its keys: {found}")
        x_train, y_train, x_test, y_test = (
            read_member(archive, key, f"{path}, {key}", MAX_EXAMPLES * PIXELS) for key in KEYS
        )
    train, test = _as_images(x_train, "x_train", path), _as_images(x_test, "x_test", path)
    return Corpus(
        train,
        check_part(path, train, _as_labels(y_train, "y_train", path)),
        test,
        check_part(path, test, _as_labels(y_test, "y_test", path)),
    )


def _as_images(array: NDArray[Any], key: str, path: Path) -> NDArray[np.uint8]:
    if array.dtype != np.uint8 or array.shape[1:] not in ((SIDE, SIDE), (PIXELS,)):
        raise DataError(
            f"{path}: {key} is {array.dtype}{list(array.shape)}; expected uint8 of N×{SIDE}×{SIDE}"
        )
    check_count(path, len(array))
    return np.ascontiguousarray(array).reshape(-1, SIDE, SIDE)


def _as_labels(array: NDArray[Any], key: str, path: Path) -> NDArray[Any]:
    if array.ndim != 1 or array.dtype.kind not in "ui":
        raise DataError(
            f"{path}: {key} is {array.dtype}{list(array.shape)}; expected integers, one label per image"
        )
    return array
