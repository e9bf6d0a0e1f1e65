"""Data sets that people have, in the forms they have them in; sizes and classes come from the data."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import DataError, quote
from ..reading import locate, note_files, open_unpacked
from ..typing import NDArray
from .dataset import Dataset, Transform, to_vectors
from .formats.arrays import Part, pair, part_of, read_arrays
from .formats.kinds import ANY_ARRAYS, name_kind
from .formats.table import read_table
from .images import read_digit, read_pixels
from .origin import Origin
from .standard import MOST_CLASSES, Images, number, standardize

__all__ = ["holds_many", "list_files", "load_files", "read_csv", "read_images"]

#: Pictures of one size up to this are taken as they are.
LARGEST_AS_IS = 64
MOST_FILES = 1_000_000
#: The share that is held out where nothing says what to test with.
TEST = 5

PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm")
#: Files that lie beside data and are none.
_BESIDE = re.compile(
    r"\..*|.*\.(md|rst|json|ya?ml|py|ipynb|pdf|html?|svg|jsonl|safetensors|sha\d*|md5|names)|.*(readme|licen[cs]e|mapping|classmap|submission|checksum).*",
    re.IGNORECASE,
)


def load_files(
    path: str | os.PathLike[str], *, transform: Transform | None = to_vectors
) -> tuple[Dataset, Dataset]:
    """Load images and labels from a file or a folder, in any of the forms in which digits are passed on.

    ====================  ==============================================================================
    tables                CSV and others, with or without a header, labels first, last or named; LIBSVM
    arrays                IDX, ``.npz``, ``.npy``, MATLAB's ``.mat`` (extra ``scipy``), pickles of arrays
    pictures              a folder for each class, or parquet (extra ``parquet``)
    ====================  ==============================================================================

    What a file is, its first bytes say. Names say what is to train and what to test
    with (``train``, ``test``, ``t10k``).

    Parameters
    ----------
    path : path
        A file, a folder, or the beginning of the names of files (``folder/emnist-letters``). The data may lie one or
        two folders down.
    transform : callable, default ``to_vectors``
        Makes the input of the network: rows of numbers in [0, 1].

    Returns
    -------
    train, test : Dataset
        ``inputs`` are uint8 of shape (N, side, side), light on dark; ``targets`` are int64, the positions of the
        labels in ``classes``. ``source`` says what was done to the data. If nothing says which are to test with, a
        fifth of them is, at random and always the same.

    Raises
    ------
    DataError
        If a file is of no kind that is read, if it is not clear what is in it, or if the images are not square.
    MissingExtraError
        If a format needs a package that is not installed.

    Notes
    -----
    Numbers of 0–1, -1–1, 0–16 and 0–255 become 0–255. Dark on light is inverted. Images on their side (EMNIST's) are
    turned: where there is a class ``1``, its strokes say so. MATLAB's label 10 of ten labels is the digit 0.

    Examples
    --------
    A table with a header, as Kaggle has it, of 20 images of two classes:

    >>> import pathlib, tempfile
    >>> rows = [f"{i % 2},{'0,' * 63}{i}" for i in range(20)]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     header = ",".join(["label", *(f"pixel{i}" for i in range(64))])
    ...     written = pathlib.Path(folder, "train.csv").write_text(chr(10).join([header, *rows]))
    ...     train, test = load_files(folder)
    >>> train.inputs.shape, test.inputs.shape, train.classes
    ((16, 8, 8), (4, 8, 8), ('0', '1'))
    """
    place = locate(path)
    with note_files() as files:
        parts, names = _find(place, 0)
    found = {part: standardize(value, place) for part, value in parts.items()}
    labelled = {part: value for part, value in found.items() if value.labels is not None}
    if not labelled:
        raise DataError(
            f"{place}: has images but no labels, so nothing can be trained on them; `tinygrad-mnist predict RUN "
            f"{place.name}` reads them. {ANY_ARRAYS}"
        )
    train = labelled.get("train") or labelled.get("") or labelled["test"]
    test = labelled.get("test", train) if train is not labelled.get("test") else train
    notes = [*train.notes]
    if test is train:
        order = np.random.default_rng(0).permutation(len(train.images))
        if len(order) < 2:
            raise DataError(f"{place}: one image is not enough to train and to test with")
        held_out = max(len(order) // TEST, 1)
        train, test = (
            Images(train.images[rows], np.asarray(train.labels)[rows])
            for rows in (np.sort(order[held_out:]), np.sort(order[:held_out]))
        )
        notes.append(f"1 in {TEST} held out at random to test with")
    if train.images.shape[1:] != test.images.shape[1:]:
        raise DataError(
            f"{place}: training images of {train.images.shape[1:]}, but test images of {test.images.shape[1:]}"
        )
    labels, classes = number([np.asarray(train.labels), np.asarray(test.labels)], names, place)
    if (np.diff(labels[0]) >= 0).all():  # a part held out at the end would hold one class only
        order = np.random.default_rng(0).permutation(len(labels[0]))
        train, labels[0] = train._replace(images=train.images[order]), labels[0][order]
        notes.append("shuffled")
    source = f"{place} ({', '.join(notes)})" if notes else str(place)
    first, second = (
        Dataset(
            value.images,
            targets,
            transform=transform,
            classes=classes,
            name=f"{place.name} {part}",
            source=source,
            origin=Origin("files", str(place.resolve()), tuple(files)),
        )
        for part, value, targets in zip(("train", "test"), (train, test), labels, strict=True)
    )
    return first, second


def read_csv(path: str | os.PathLike[str], *, transform: Transform | None = to_vectors) -> Dataset:
    """Read one table of digits: a label and the pixels of an image on each line.

    Parameters
    ----------
    path : path
        The file, compressed or not, with or without a header. The label is in the first or in the last column, or in
        one that the header calls ``label``. Between the columns there may be commas, semicolons, tabs or spaces.
    transform : callable, default ``to_vectors``
        Makes the input of the network.

    Returns
    -------
    Dataset
        Labels that are numbers are the targets. Other labels are numbered in their order; ``classes`` has them.

    Raises
    ------
    DataError
        If a row is too short or holds something else; the message has its number. If there are no labels, as in
        Kaggle's ``test.csv``, which :func:`read_images` reads.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> stroke = np.diag(np.full(28, 255)).ravel()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table = f"{folder}/strokes.csv"
    ...     np.savetxt(table, [[1, *stroke], [7, *stroke]], fmt="%d", delimiter=",")
    ...     read_csv(table).targets
    array([1, 7])
    """
    file = locate(path)
    table = read_table(file)
    found = standardize(Part(file.name, table.pixels, table.labels), file)
    labels = found.labels
    if labels is None:
        raise DataError(f"{file}: has no labels; tinygrad_mnist.data.read_images reads the images alone")
    if labels.dtype.kind == "i" and labels.min() >= 0 and labels.max() < MOST_CLASSES:
        classes = tuple(map(str, range(max(int(labels.max()) + 1, 10))))
    else:
        (labels,), classes = number([labels], {}, file)
    source = f"{file} ({', '.join(found.notes)})" if found.notes else str(file)
    return Dataset(found.images, labels, transform=transform, classes=classes, name=file.name, source=source)


def read_images(path: str | os.PathLike[str], side: int | None = None) -> NDArray:
    """Read the images of a table or another file of arrays, without their labels.

    Parameters
    ----------
    path : path
        A file in any of the forms that :func:`load_files` reads, such as Kaggle's ``test.csv``.
    side : int, optional
        The side that they must have.

    Returns
    -------
    ndarray of uint8, shape (N, side, side)
        Light on dark.

    Raises
    ------
    DataError
        If the file cannot be read, or holds images of another size.

    Examples
    --------
    >>> import tempfile
    >>> drawn = np.tile(np.diag(np.full(28, 255, np.uint8)), (5, 1, 1))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/strokes.npy", drawn)
    ...     read_images(f"{folder}/strokes.npy", side=28).shape
    (5, 28, 28)
    """
    file = locate(path)
    parts = pair(read_arrays(file), file)
    if len(parts) > 1:
        raise DataError(f"{file}: holds images to train and to test with; pass a file of one kind")
    images = standardize(next(iter(parts.values())), file).images
    if images.shape[1] != (side or images.shape[1]):
        raise DataError(
            f"{file}: images of {images.shape[1]}×{images.shape[2]} pixels, but the model reads {side}×{side}"
        )
    return images


# --------------------------------------------------------------------------- where the data are


def _find(place: Path, depth: int) -> tuple[dict[str, Part], dict[int, str]]:
    """Return the parts of a data set, and the names of labels that a file beside it lists."""
    if place.is_file():
        return _pair([place], place), _mapping([place, *place.parent.glob("*mapping*.txt")], place)
    if not place.exists():
        files = sorted(
            file for file in place.parent.glob("*") if file.name.startswith(place.name) and file.is_file()
        )
        if not place.name or not files:
            raise DataError(f"{place}: no such file or folder")
        return _pair([file for file in files if not _BESIDE.fullmatch(file.name)], place), _mapping(
            files, place
        )
    try:
        entries = sorted(entry for entry in place.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise DataError(f"{place}: cannot be read: {error}") from error
    folders = [entry for entry in entries if entry.is_dir() and entry.name != "__MACOSX"]
    files = [entry for entry in entries if entry.is_file() and not _BESIDE.fullmatch(entry.name)]
    if parts := _pictures(folders, place):
        return parts, {}
    data = [file for file in files if file.suffix.lower() not in PICTURES]
    if data:
        sets = {match[0] for file in data if (match := re.match(r"emnist-[a-z]+", file.name))}
        if len(sets) > 1:
            raise DataError(
                f"{place}: holds several data sets ({', '.join(sorted(sets))}); pass one by the beginning of its name: "
                f"{place / min(sets)}"
            )
        return _pair(data, place), _mapping([entry for entry in entries if entry.is_file()], place)
    if len(folders) == 1 and depth < 3:
        return _find(folders[0], depth + 1)
    if files:
        raise DataError(
            f"{place}: pictures, but not in folders that say what they show; put those of each class into a folder "
            f"with its name. {ANY_ARRAYS}"
        )
    inside = f"; it holds the folders {', '.join(quote(f.name) for f in folders[:6])}" if folders else ""
    raise DataError(f"{place}: this folder holds no file of data that can be read{inside}. {ANY_ARRAYS}")


def _pair(files: Sequence[Path], place: Path) -> dict[str, Part]:
    if len(files) > 100:
        raise DataError(
            f"{place}: {len(files):,} files of data; expected images and labels to train and to test with"
        )
    arrays: dict[str, NDArray] = {}
    for file in files:
        found = read_arrays(file)
        is_test = file.suffix == ".t"  # LIBSVM's way to name them
        arrays |= {f"{'test ' if is_test else ''}{name}": array for name, array in found.items()}
    return pair(_by_class(arrays), place)


def _by_class(arrays: dict[str, NDArray]) -> dict[str, NDArray]:
    """Join arrays of one class each (``train0``, ``train1`` …), and the classes along the last axis of USPS."""
    found = dict(arrays)
    for part in ("train", "test"):
        mine = {int(m[1]): name for name in arrays if (m := re.search(rf" {part}_?(\d+)$", name))}
        if len(mine) > 1:
            pieces = [found.pop(name) for name in mine.values()]
            found[f"{part} images"] = np.concatenate(pieces)
            found[f"{part} labels"] = np.repeat(list(mine), [len(piece) for piece in pieces])
    for name, array in arrays.items():
        if array.ndim == 3 and array.shape[2] == 10 and math.isqrt(len(array)) ** 2 == len(array):
            pixels, count, _ = found.pop(name).shape
            found[f"{name} images"] = np.transpose(array, (2, 1, 0)).reshape(-1, pixels)
            found[f"{name} labels"] = np.repeat([*range(1, 10), 0], count)
    return found


def _pictures(folders: Sequence[Path], place: Path) -> dict[str, Part]:
    """Read a folder of pictures for each class, or two or more such folders, to train and to test with."""
    inside = {folder: _classes_in(folder) for folder in folders}
    if sum(map(bool, inside.values())) > 1 or (
        len(folders) == 1 and part_of(folders[0].name) and inside[folders[0]]
    ):
        named = [(part_of(folder.name), classes) for folder, classes in inside.items() if len(classes) > 1]
        if len({part for part, _ in named}) < len(named):
            raise DataError(f"{place}: several folders of classes; name one of them train and one test")
        return {part: _read_pictures(classes, place) for part, classes in named}
    classes = {folder.name: files for folder in folders if (files := _pictures_in(folder))}
    return {"": _read_pictures(classes, place)} if len(classes) > 1 else {}


def _classes_in(folder: Path) -> dict[str, list[Path]]:
    return {
        inner.name: files
        for inner in sorted(folder.iterdir())
        if inner.is_dir() and not inner.name.startswith(".") and (files := _pictures_in(inner))
    }


def _pictures_in(folder: Path) -> list[Path]:
    found = sorted(
        file for file in folder.iterdir() if file.suffix.lower() in PICTURES and not file.name.startswith(".")
    )
    if len(found) > MOST_FILES:
        raise DataError(f"{folder}: more than {MOST_FILES:,} pictures")
    return found


def _read_pictures(classes: dict[str, list[Path]], place: Path) -> Part:
    files = [file for group in classes.values() for file in group]
    labels = np.repeat(list(classes), [len(group) for group in classes.values()])
    if len(classes) > MOST_CLASSES:
        raise DataError(f"{place}: {len(classes):,} folders of pictures; expected one for each class")
    first = read_pixels(files[0])
    if first.shape[0] == first.shape[1] <= LARGEST_AS_IS:
        images = np.empty((len(files), *first.shape), np.uint8)
        for image, file in zip(images, files, strict=True):
            pixels = read_pixels(file)
            if pixels.shape != first.shape:
                raise DataError(
                    f"{file}: {pixels.shape[0]}×{pixels.shape[1]} pixels, but {files[0]} has "
                    f"{first.shape[0]}×{first.shape[1]}; all must have the same size, or be larger than {LARGEST_AS_IS}"
                )
            image[:] = np.rint(255 * pixels)
        return Part("pictures", images, labels)
    digits = [np.rint(255 * read_digit(file)).astype(np.uint8) for file in files]
    return Part("photos", np.stack(digits), labels)


def _mapping(files: Sequence[Path], place: Path) -> dict[int, str]:
    """Read EMNIST's list of labels and the codes of their characters, if it is there."""
    found = [file for file in files if "mapping" in file.name and file.suffix == ".txt"]
    words = [file for file in found if place.is_dir() or _set_of(file.name) == _set_of(place.name)]
    if len(words) != 1:
        return {}
    names: dict[int, str] = {}
    with open_unpacked(words[0]) as stream:
        for line in stream.read(20_000).decode("ascii", "replace").splitlines():
            numbers = line.split()
            if len(numbers) < 2 or not all(n.isdecimal() and int(n) < 2**20 for n in numbers):
                raise DataError(f"{words[0]}: {quote(line)} is not a label and the codes of its characters")
            names[int(numbers[0])] = "/".join(chr(int(code)) for code in numbers[1:])
    return names


def _set_of(name: str) -> str:
    return "-".join(re.split(r"[-_.]", name.lower())[:2])


def list_files(path: Path) -> list[Path]:
    """List a file, or the pictures and the files of data in a folder and in the folders in it, in order."""
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.rglob("*") if file.is_file() and not _BESIDE.fullmatch(file.name))


def holds_many(file: Path) -> bool:
    """Whether a file is a set of images and not one picture; what is no file of either kind is an error."""
    kind = name_kind(file)
    if kind != "npy":
        return kind != "picture"
    (array,) = read_arrays(file).values()
    is_stack = array.ndim == 3 and array.shape[1] == array.shape[2]
    is_rows = (
        array.ndim == 2
        and array.shape[0] != array.shape[1]
        and math.isqrt(array.shape[1]) ** 2 == array.shape[1] >= 64
    )
    return array.ndim == 4 or is_stack or is_rows
