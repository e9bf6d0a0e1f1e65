"""``mnist.pkl.gz``, from the years of Theano: a pickle that is read without running anything in it.

A pickle is a program that can call any function it can name. This reader knows only the five names
that stand for NumPy's arrays in pickles of any age, and replaces them by stand-ins that only store
their arguments; every other name is refused. NumPy itself only sees checked bytes.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from .corpus import PIXELS, SIDE, Corpus, check_count, check_part, open_bytes

MAX_BYTES = 2**29
"""Twice the size of 70,000 images in float32."""


def read_pickle(path: Path) -> Corpus:
    """Read ``((x, y), (x, y), (x, y))``: training, validation and test; or only training and test.

    Validation follows training in the result, so that ``train.split(50_000)`` separates them again.
    """
    with open_bytes(path) as stream:
        data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise DataError(f"{path}: unpacks to more than {MAX_BYTES:,} bytes, which is too much for MNIST")
    try:
        parts = [(x.array(), y.array()) for x, y in _load(data)]
    except Exception as error:  # a broken pickle may raise any exception
        raise DataError(f"{path}: not a readable pickle of arrays: {error}") from error
    if len(parts) not in (2, 3):
        raise DataError(
            f"{path}: holds {len(parts)} parts; expected train, validation and test, or train and test"
        )
    images = [_as_images(x, path) for x, _ in parts]
    labels = [check_part(path, x, _as_labels(y, path)) for x, (_, y) in zip(images, parts, strict=True)]
    return Corpus(np.concatenate(images[:-1]), np.concatenate(labels[:-1]), images[-1], labels[-1])


def _load(data: bytes) -> Any:
    # "Remember this as number 2,000,000,000" makes the unpickler allocate memory for that many.
    for opcode, argument, position in pickletools.genops(data):
        if "PUT" in opcode.name and int(argument or 0) > (position or 0):
            raise pickle.UnpicklingError(f"numbers its objects up to {argument}")
    return _Unpickler(io.BytesIO(data), encoding="latin1").load()


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _STAND_INS[module.replace("numpy._core", "numpy.core"), name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}; only NumPy arrays are read") from None


class _Dtype:
    """A stand-in for ``numpy.dtype``."""

    def __init__(self, code: str, *_: Any) -> None:
        self.code = code
        self.order = "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = ">" if state[1] == ">" else "<"

    def dtype(self) -> np.dtype[Any]:
        if self.code not in ("f4", "f8", "u1", "i1", "i2", "i4", "i8"):
            raise pickle.UnpicklingError(f"an array of dtype {self.code!r}; expected numbers")
        return np.dtype(self.order + self.code)


class _Array:
    """A stand-in for ``numpy.ndarray``: created empty, it gets its shape, dtype and bytes later."""

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, self.shape, self.kind, self.is_fortran, self.data = state

    def array(self) -> NDArray[Any]:
        data = self.data.encode("latin1") if isinstance(self.data, str) else self.data
        array = np.frombuffer(data, dtype=self.kind.dtype())
        if math.prod(self.shape) != array.size:
            raise pickle.UnpicklingError(f"an array of shape {self.shape} with {array.size:,} values")
        return array.reshape(self.shape, order="F" if self.is_fortran else "C")


def _from_buffer(data: Any, kind: Any, shape: Any, order: str) -> _Array:
    """Stand in for the function that rebuilds arrays since pickle protocol 5."""
    array = _Array()
    array.__setstate__((1, shape, kind, order == "F", data))
    return array


def _encode(text: str, encoding: str) -> bytes:
    """Stand in for ``codecs.encode``, which Python 3 uses to write bytes into old protocols."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes in encoding {encoding!r}; expected latin1")
    return text.encode("latin1")


_STAND_INS: dict[tuple[str, str], Any] = {
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _Array,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("_codecs", "encode"): _encode,
}


def _as_images(x: NDArray[Any], path: Path) -> NDArray[np.uint8]:
    """Convert pixels back to the original bytes."""
    check_count(path, len(x))
    if x.shape[1:] not in ((PIXELS,), (SIDE, SIDE)):
        raise DataError(f"{path}: images of shape {list(x.shape[1:])}; expected {PIXELS} or {SIDE}×{SIDE}")
    x = x.reshape(-1, SIDE, SIDE)
    # Some files are divided by 255, some by 256; only the right factor gives whole numbers again.
    for scale in (1,) if x.dtype.kind in "ui" else (256, 255):
        pixels = np.empty(x.shape, dtype=np.uint8)
        if all(_rescale(x[i : i + 1000], scale, pixels[i : i + 1000]) for i in range(0, len(x), 1000)):
            return pixels
    raise DataError(f"{path}: pixels are neither 0–255 nor 0–255 divided by 255 or 256")


def _rescale(x: NDArray[Any], scale: int, out: NDArray[np.uint8]) -> bool:
    """Write ``x * scale`` as bytes; return False if those are not whole numbers from 0 to 255."""
    if not (x.min() >= 0 and x.max() <= 255):  # NaN fails this as well
        return False
    scaled = x * scale
    whole = np.rint(scaled)
    if whole.max() > 255 or np.abs(scaled - whole).max() > 0.01:
        return False
    out[:] = whole
    return True


def _as_labels(y: NDArray[Any], path: Path) -> NDArray[Any]:
    if y.ndim != 1 or y.dtype.kind not in "ui":
        raise DataError(
            f"{path}: labels of shape {y.shape} and dtype {y.dtype}; expected one integer per image"
        )
    return y
