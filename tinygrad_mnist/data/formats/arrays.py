"""Named arrays from files of any kind, and which of them are images and labels to train and to test with."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError, pluralise, quote, require
from ...reading import (
    LARGEST_ARRAYS,
    open_file,
    open_unpacked,
    open_zip,
    read_bytes,
    read_exactly,
    read_member,
    read_npy,
    readable,
)
from .corpus import MAX_EXAMPLES
from .kinds import ANY_ARRAYS, name_kind
from .matlab import read_mat
from .pickled import read_pickle
from .table import read_table

__all__ = ["Part", "pair", "read_arrays"]

#: EMNIST by class has 550 million pixels, in one file.
LARGEST_IMAGES = 2**30

_IDX = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


class Part(NamedTuple):
    """Images as they are stored, and their labels, if there are any."""

    name: str
    images: NDArray[Any]
    labels: NDArray[Any] | None


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read all arrays of a file, by names that begin with that of the file."""
    kind, name = name_kind(path), path.name
    if kind == "idx":
        return {name: _read_idx(path)}
    if kind == "npy":
        with open_file(path, LARGEST_IMAGES) as stream:
            return {name: read_npy(stream, path, LARGEST_IMAGES)}
    if kind == "npz":
        with open_zip(path) as archive:
            keys = [member.removesuffix(".npy") for member in archive.namelist()]
            if len(keys) > 100:
                raise DataError(f"{path}: {len(keys):,} arrays; expected images and labels")
            return {
                f"{name} {key}": read_member(archive, key, f"{path}, {key}", LARGEST_IMAGES) for key in keys
            }
    if kind == "mat":
        return {
            f"{name} {key}": array for key, array in read_mat(path, LARGEST_ARRAYS, LARGEST_IMAGES).items()
        }
    if kind == "parquet":
        return {f"{name} {key}": array for key, array in _read_parquet(path).items()}
    if kind == "pickle":
        corpus = read_pickle(path)
        return {f"{name} {key}": array for key, array in corpus._asdict().items()}
    if kind == "picture":
        raise DataError(
            f"{path}: is one picture; pass a folder with a folder of pictures for each class. "
            "To have a picture read, use `tinygrad-mnist predict RUN PICTURE`"
        )
    table = read_table(path)
    found = {f"{name} images": table.pixels}
    return found if table.labels is None else {**found, f"{name} labels": table.labels}


def _read_idx(path: Path) -> NDArray[Any]:
    with open_unpacked(path) as stream:
        start = read_exactly(stream, 4, path)
        code, axes = int(start[2]), int(start[3])
        if code not in _IDX or not 1 <= axes <= 4:
            raise DataError(
                f"{path}: an IDX file of type {code:#04x} with {pluralise(axes, 'axis')} is not read"
            )
        shape = tuple(read_exactly(stream, 4 * axes, path).view(">u4").tolist())
        dtype = np.dtype(_IDX[code])
        size = int(np.prod([float(n) for n in shape])) * dtype.itemsize
        if not 1 <= shape[0] <= MAX_EXAMPLES or size > LARGEST_IMAGES:
            raise DataError(f"{path}: announces an array of shape {shape}, which is too large or empty")
        return read_exactly(stream, size, path, last=True).view(dtype).reshape(shape)


def _read_parquet(path: Path) -> dict[str, NDArray[Any]]:
    """Read pixels and labels from columns, or pictures from the column ``image``, as Hugging Face stores them."""
    parquet = require("pyarrow.parquet", extra="parquet", purpose=f"reading {path.name}")
    content = read_bytes(path)
    with readable(path, "parquet file"):
        file = parquet.ParquetFile(io.BytesIO(content))
        size = sum(
            file.metadata.row_group(i).total_byte_size
            for i in range(min(file.metadata.num_row_groups, 10_000))
        )
        if file.metadata.num_rows > MAX_EXAMPLES or size > LARGEST_IMAGES:
            raise ValueError(
                f"it has {file.metadata.num_rows:,} rows of {size:,} bytes in all, which is too many"
            )
        columns = file.read().to_pydict()
    names = {name.lower(): name for name in columns}
    label = next(
        (names[name] for name in ("label", "labels", "class", "digit", "target", "y") if name in names), None
    )
    labels = {} if label is None else {"labels": np.array(columns.pop(label))}
    image = next((names[name] for name in ("image", "img", "images", "pixels") if name in names), None)
    if image is None:
        with readable(path, "parquet file of pixels"):
            return {"images": np.stack([np.asarray(column) for column in columns.values()], axis=1), **labels}
    cells = columns[image]
    if cells and isinstance(cells[0], dict):
        cells = [cell.get("bytes") for cell in cells]
    if cells and isinstance(cells[0], bytes):
        from ..images import read_grey

        return {
            "images": np.stack(
                [read_grey(cell, f"{path}, row {i:,}") for i, cell in enumerate(cells, start=1)]
            ),
            **labels,
        }
    with readable(path, "parquet file of images"):
        return {"images": np.array(cells), **labels}


_WORDS = {
    "train": r"train|training|tra",
    "test": r"test|testing|tes|t10k|val|valid|validation|dev",
    "images": r"images?|imgs?|x|pixels|data|inputs?|features",
    "labels": r"labels?|y|targets?|classes|digits?",
}


def _says(name: str, word: str) -> bool:
    name = re.sub(r"(?<![A-Za-z])([XxYy])_?(?=t(rain|est|r|e))", r"\1 ", name)
    return re.search(rf"(?<![a-z])({_WORDS[word]})(?![a-z])", name.lower()) is not None


def part_of(name: str) -> str:
    """Return ``"train"``, ``"test"`` or ``""``, as a name says.

    Examples
    --------
    >>> part_of("t10k-images-idx3-ubyte"), part_of("digits.mat Xtrain"), part_of("data.npz x")
    ('test', 'train', '')
    """
    return "test" if _says(name, "test") else "train" if _says(name, "train") else ""


def pair(arrays: dict[str, NDArray[Any]], where: Path) -> dict[str, Part]:
    """Find the images and the labels of each part: ``"train"``, ``"test"``, or ``""`` if nothing says which.

    Raises
    ------
    DataError
        If they cannot be told apart.
    """
    found: dict[str, Part] = {}
    for part in ("train", "test", ""):
        mine = {name: array for name, array in arrays.items() if part_of(name) == part}
        if mine and (pairs := _pairs(mine)):
            if len(pairs) > 1:
                names = ", ".join(quote(p.name) for p in pairs[:6])
                raise DataError(
                    f"{where}: several sets of images ({names}); pass one, by its file or the beginning of its name"
                )
            found[part] = pairs[0]
    if not found:
        shapes = ", ".join(f"{quote(name)} {array.shape}" for name, array in list(arrays.items())[:8])
        raise DataError(f"{where}: no images among the arrays {shapes}. {ANY_ARRAYS}")
    return found


def _pairs(arrays: dict[str, NDArray[Any]]) -> list[Part]:
    columns = {name: _column(array) for name, array in arrays.items()}
    labels = {name: column for name, column in columns.items() if column is not None}
    images = {name: array for name, array in arrays.items() if name not in labels and array.ndim >= 2}
    pairs = []
    for name, array in images.items():
        fits = [key for key, column in labels.items() if len(column) == len(array)]
        if len(fits) > 1:
            alike = [key for key in fits if _stem(key) == _stem(name)] or [
                key for key in fits if _says(key, "labels")
            ]
            fits = alike if len(alike) == 1 else fits
            if len(fits) > 1:
                continue
        pairs.append(Part(name, array, labels[fits[0]] if fits else None))
    with_labels = [p for p in pairs if p.labels is not None]
    return with_labels or pairs


def _stem(name: str) -> str:
    words = re.sub(r"[^a-z0-9]+", " ", name.lower().removesuffix(".gz")).split()
    kinds = re.compile(rf"({_WORDS['images']}|{_WORDS['labels']}|idx\d|ubyte|int|npz|npy|csv|arr|\d)")
    return " ".join(word for word in words if not kinds.fullmatch(word))


def _column(array: NDArray[Any]) -> NDArray[Any] | None:
    """Return an array as labels, one each; None if it cannot be that. QMNIST's begin with the digit."""
    if array.ndim == 1 and array.dtype.kind in "iufUS":
        return array
    if array.ndim == 2 and array.dtype.kind in "iuf" and 1 in array.shape:
        return array.reshape(-1)
    if array.ndim == 2 and array.dtype == ">i4" and array.shape[1] == 8:
        return array[:, 0]
    if array.ndim == 2 and 2 <= array.shape[1] <= 62 and ((array == 0) | (array == 1)).all():
        return np.argmax(array, axis=1) if (array.sum(axis=1) == 1).all() else None
    return None
