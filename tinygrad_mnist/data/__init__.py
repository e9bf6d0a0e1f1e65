"""Data sets of digits, and batches for a network; all of them are NumPy arrays.

``load_mnist``, ``load_fashion_mnist`` and ``load_digits`` return two ``Dataset`` objects, one to train with
and one to test with. ``load`` does the same by name, ``load_files`` for your own data.
``DataLoader`` cuts a data set into batches.
"""

from __future__ import annotations

from .augment import AUGMENTATIONS, Augment
from .catalogue import DATASETS, Source, describe, load
from .dataset import Dataset, to_images, to_vectors
from .digits import digits_to_vectors, load_digits
from .download import fetch_mnist
from .images import read_digit
from .loader import DataLoader
from .mnist import SAMPLE, BundledSampleWarning, load_fashion_mnist, load_mnist
from .own import load_files, read_csv, read_images
from .places import Place, cache_folder

__all__ = [
    "AUGMENTATIONS",
    "DATASETS",
    "SAMPLE",
    "Augment",
    "BundledSampleWarning",
    "DataLoader",
    "Dataset",
    "Place",
    "Source",
    "cache_folder",
    "describe",
    "digits_to_vectors",
    "fetch_mnist",
    "load",
    "load_digits",
    "load_fashion_mnist",
    "load_files",
    "load_mnist",
    "read_csv",
    "read_digit",
    "read_images",
    "to_images",
    "to_vectors",
]


def __dir__() -> list[str]:
    return __all__
