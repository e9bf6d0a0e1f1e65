"""Checksums of the published files, so that data are called official only if they are."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np

from .formats.corpus import Corpus
from .formats.idx import idx_header

__all__ = ["OFFICIAL", "Published", "identify"]


class Published(NamedTuple):
    """A file in its compressed form on the mirrors, and unpacked."""

    name: str
    bytes: int
    sha256: str
    unpacked_md5: str


OFFICIAL = (
    Published(
        "train-images-idx3-ubyte.gz",
        9_912_422,
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "6bbc9ace898e44ae57da46a324031adb",
    ),
    Published(
        "train-labels-idx1-ubyte.gz",
        28_881,
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "a25bea736e30d166cdddb491f175f624",
    ),
    Published(
        "t10k-images-idx3-ubyte.gz",
        1_648_877,
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "2646ac647ad5339dbf082846283269ea",
    ),
    Published(
        "t10k-labels-idx1-ubyte.gz",
        4_542,
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        "27ae3e4e09519cfbb04c329615203637",
    ),
)
"""MNIST, file by file."""

_UNPACKED_MD5 = {
    "MNIST": tuple(file.unpacked_md5 for file in OFFICIAL),
    "Fashion-MNIST": (
        "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "9018921c3c673c538a1fc5bad174d6f9",
        "8181f5470baa50b63fa0f6fddb340f0a",
        "15d484375f8d13e6eb1aabb0c3f46965",
    ),
}


def identify(corpus: Corpus) -> str | None:
    """Return the name of the published data set that this is, bit for bit, or None.

    The checksums are of the IDX files. They can be computed from the arrays, so a data set is recognised in
    any format: compressed again, as CSV or as npz.
    """
    digests = []
    for array in corpus:
        stored = np.ascontiguousarray(array, dtype=np.uint8)
        md5 = hashlib.md5(idx_header(stored), usedforsecurity=False)
        md5.update(stored.data)
        digests.append(md5.hexdigest())
    return next((name for name, known in _UNPACKED_MD5.items() if known == tuple(digests)), None)
