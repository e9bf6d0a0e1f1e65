"""MNIST and Fashion-MNIST, wherever they are on this machine."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from ..errors import DataError
from ..reading import locate, note_files
from .checksums import identify
from .dataset import DIGITS, Dataset, Transform, to_vectors
from .download import fetch_mnist
from .formats import Corpus, read
from .formats.npz import read_npz
from .origin import MNIST_TRAIN, Origin
from .places import (
    FASHION_DEBIAN,
    FASHION_VARIABLE,
    MNIST_VARIABLE,
    cache_folder,
    holds_data,
)

__all__ = ["CLOTHES", "SAMPLE", "BundledSampleWarning", "load_fashion_mnist", "load_mnist"]

#: The ``source`` of the digits that come with this package.
SAMPLE = "bundled sample of 5,000 digits"

CLOTHES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


class BundledSampleWarning(UserWarning):
    """The full MNIST is not available, and 5,000 of its digits are used instead.

    Examples
    --------
    >>> import warnings
    >>> warnings.filterwarnings("ignore", category=BundledSampleWarning)  # where the sample is enough
    """


def load_mnist(
    path: str | os.PathLike[str] | None = None,
    *,
    transform: Transform | None = to_vectors,
    download: bool = True,
) -> tuple[Dataset, Dataset]:
    """Load MNIST: 60,000 digits to train with and 10,000 to test with.

    It is searched for in this order: ``path``, ``$TINYGRAD_MNIST_DATA``, the user's cache. If it is not
    there, it is downloaded into the cache. Without a network, the 5,000 digits that come with this package
    are used, with a warning. If ``path`` or the variable names a place that cannot be used, this is an
    error; nothing else is used instead.

    Parameters
    ----------
    path : path or ``"sample"``, optional
        A folder with the IDX files (compressed or not), ``mnist.npz``, ``mnist.pkl.gz``, or
        ``mnist_train.csv`` and ``mnist_test.csv``; or the file itself, if it is an npz or pkl.gz file.
        The word ``"sample"`` stands for the digits that come with this package: 4,000 to train
        with and 1,000 to test with, an equal number of each class. The variable may have this value too.
    transform : callable, default ``to_vectors``
        Makes the input of the network: rows of 784 numbers in [0, 1]. For convolutions, use ``to_images``.
    download : bool, default True
        Whether the network may be used.

    Returns
    -------
    train, test : Dataset
        ``inputs`` are the raw images, uint8 of shape (N, 28, 28); ``targets`` are int64; ``source`` says
        which data this is, and whether it is the official MNIST, bit for bit.

    Raises
    ------
    DataError
        If a file is missing or damaged, or does not hold what its name says.

    Warns
    -----
    BundledSampleWarning
        If the bundled sample is used without being requested.

    Notes
    -----
    ``mnist.pkl.gz`` has three parts. Here, ``train`` holds its training and its validation digits, in
    their original order; ``train.split(50_000)`` separates them.

    Examples
    --------
    >>> train, test = load_mnist("sample")
    >>> train
    Dataset('MNIST train', 4,000 × uint8[28, 28], 10 classes, source='bundled sample of 5,000 digits')
    >>> x, y = test[:64]
    >>> x.shape, x.dtype, y.dtype
    ((64, 784), dtype('float32'), dtype('int64'))
    """
    if (os.environ.get(MNIST_VARIABLE) if path is None else path) == "sample":
        return _load_sample(transform)
    folder = cache_folder("mnist")
    if (asked := _read_requested(path, MNIST_VARIABLE)) is not None:
        found = asked
    elif holds_data(folder) or (download and _can_download(folder)):
        found = _read(folder)
    else:
        warnings.warn(
            "no MNIST on this machine: using the bundled sample, 5,000 of its 70,000 digits "
            "(`tinygrad-mnist data info` shows details)",
            BundledSampleWarning,
            stacklevel=2,
        )
        return _load_sample(transform)
    return _datasets("mnist", path, *found, DIGITS, transform)


def load_fashion_mnist(
    path: str | os.PathLike[str] | None = None,
    *,
    transform: Transform | None = to_vectors,
) -> tuple[Dataset, Dataset]:
    """Load Fashion-MNIST: ten kinds of clothes, in the shape and number of MNIST.

    It is searched for in this order: ``path``, ``$TINYGRAD_FASHION_MNIST_DATA``, the folder of Debian's package
    ``dataset-fashion-mnist``, the user's cache. It is not downloaded.

    Parameters
    ----------
    path : path, optional
        A folder or file in any format that ``load_mnist`` reads.
    transform : callable, default ``to_vectors``
        Makes the input of the network: rows of 784 numbers in [0, 1].

    Returns
    -------
    train, test : Dataset
        Two data sets, with the names of the clothes in ``classes``.

    Raises
    ------
    DataError
        If it is not found (the message says how to get it), or if a file is damaged.

    Examples
    --------
    >>> try:
    ...     train, test = load_fashion_mnist("a folder")
    ... except DataError as error:
    ...     print(error)
    a folder: no such file or folder
    """
    folders = [FASHION_DEBIAN, cache_folder("fashion-mnist")]
    if (asked := _read_requested(path, FASHION_VARIABLE)) is not None:
        found = asked
    elif (folder := next(filter(holds_data, folders), None)) is not None:
        found = _read(folder)
    else:
        raise DataError(
            f"Fashion-MNIST is not in {folders[0]} or {folders[1]}, and ${FASHION_VARIABLE} is not set. "
            "On Debian and Ubuntu: apt install dataset-fashion-mnist. Elsewhere, put its four files "
            "(train-images-idx3-ubyte.gz and so on) into one of these folders"
        )
    return _datasets("fashion", path, *found, CLOTHES, transform)


class _Found(NamedTuple):
    """Data, what they are in words, the files, and the name of the published set that they are."""

    corpus: Corpus
    source: str
    files: tuple[Path, ...]
    published: str | None


def _read_requested(path: str | os.PathLike[str] | None, variable: str) -> _Found | None:
    """Read the data that the caller or the environment names; return None if neither does."""
    if path is not None:
        return _read(locate(path))
    if value := os.environ.get(variable):
        try:
            return _read(locate(value))
        except DataError as error:
            raise DataError(f"${variable}: {error}") from error
    return None


def _read(path: Path) -> _Found:
    with note_files() as files:
        corpus = read(path)
    name = identify(corpus)
    words = f"official {name}, verified" if name else "unverified, matches no published checksum"
    return _Found(corpus, f"{words}: {path}", tuple(files), name)


def _can_download(folder: Path) -> bool:
    """Download MNIST, unless something is in the way."""
    try:
        fetch_mnist(folder)
    except DataError:
        return False
    return True


def _load_sample(transform: Transform | None) -> tuple[Dataset, Dataset]:
    with resources.as_file(resources.files("tinygrad_mnist.data") / "sample" / "mnist_sample.npz") as file:
        found = _Found(read_npz(file), SAMPLE, (), None)
    return _datasets("sample", None, *found, DIGITS, transform)


def _datasets(
    dataset: str,
    path: str | os.PathLike[str] | None,
    corpus: Corpus,
    source: str,
    files: tuple[Path, ...],
    published: str | None,
    classes: Sequence[str],
    transform: Transform | None,
) -> tuple[Dataset, Dataset]:
    """Make the two data sets, which know where they come from, and of which published sets they are a part."""
    name = "Fashion-MNIST" if dataset == "fashion" else "MNIST"
    within = [f"{published}'s {part} set" if published else "" for part in ("training", "test")]
    if dataset == "sample":
        within = [MNIST_TRAIN, MNIST_TRAIN]
    where = None if path is None else str(Path(path).expanduser().resolve())
    train, test = (
        Dataset(
            images,
            labels,
            transform=transform,
            classes=classes,
            name=f"{name} {part}",
            source=source,
            origin=Origin(dataset, where, files, whole),
        )
        for part, images, labels, whole in (
            ("train", corpus.train_images, corpus.train_labels, within[0]),
            ("test", corpus.test_images, corpus.test_labels, within[1]),
        )
    )
    return train, test
