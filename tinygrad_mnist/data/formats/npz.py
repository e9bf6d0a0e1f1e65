"""``mnist.npz``, as Keras ships it: a zip of four arrays, read without ever unpickling."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ...errors import DataError
from .corpus import (
    MAX_EXAMPLES,
    PIXELS,
    SIDE,
    Corpus,
    check_count,
    check_part,
    read_exactly,
)

KEYS = ("x_train", "y_train", "x_test", "y_test")


def read_npz(path: Path) -> Corpus:
    """Read an archive with the keys x_train, y_train, x_test and y_test."""
    try:
        with zipfile.ZipFile(path) as archive:
            present = {name.removesuffix(".npy") for name in archive.namelist()}
            if missing := [key for key in KEYS if key not in present]:
                raise DataError(
                    f"{path}: has no {', '.join(missing)}; its keys: {', '.join(sorted(present)[:9])}"
                )
            x_train, y_train, x_test, y_test = (_read_member(archive, key, path) for key in KEYS)
    except DataError:
        raise
    except (ValueError, KeyError, OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: not a readable npz archive: {error}") from error
    return Corpus(
        _as_images(x_train, "x_train", path),
        check_part(path, x_train, _as_labels(y_train, "y_train", path)),
        _as_images(x_test, "x_test", path),
        check_part(path, x_test, _as_labels(y_test, "y_test", path)),
    )


def _read_member(archive: zipfile.ZipFile, key: str, path: Path) -> NDArray[Any]:
    """Read one array, after a check of its header: it must be small, plain and as long as its member."""
    info = archive.getinfo(f"{key}.npy")
    with archive.open(info) as stream:
        shape, fortran_order, dtype = _read_header(stream)
        if dtype.kind not in "ui":
            raise DataError(f"{path}: {key} has dtype {dtype}; expected integers")
        if not shape or any(size < 0 for size in shape):
            raise DataError(f"{path}: {key} has shape {shape}; expected one row per example")
        check_count(path, shape[0])
        count = math.prod(shape)
        if count > MAX_EXAMPLES * PIXELS:
            raise DataError(f"{path}: {key} has shape {shape}, which is not a set of {SIDE}×{SIDE} images")
        data = read_exactly(cast(io.BufferedIOBase, stream), count * dtype.itemsize, path, last=True)
    return data.view(dtype).reshape(shape, order="F" if fortran_order else "C")


def _read_header(stream: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = npy.read_magic(stream)
    if version == (1, 0):
        return npy.read_array_header_1_0(stream)
    return npy.read_array_header_2_0(stream)


def _as_images(array: NDArray[Any], key: str, path: Path) -> NDArray[np.uint8]:
    if array.dtype != np.uint8 or array.shape[1:] not in ((SIDE, SIDE), (PIXELS,)):
        raise DataError(
            f"{path}: {key} is {array.dtype}{list(array.shape)}; expected uint8 of N×{SIDE}×{SIDE}"
        )
    return np.ascontiguousarray(array).reshape(-1, SIDE, SIDE)


def _as_labels(array: NDArray[Any], key: str, path: Path) -> NDArray[Any]:
    if array.ndim != 1:
        raise DataError(f"{path}: {key} has shape {array.shape}; expected one label per image")
    return array
