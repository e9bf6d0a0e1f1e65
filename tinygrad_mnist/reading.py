"""Reading files that others may have made: opened, unpacked and parsed within limits.

Every reader of the package opens files here. A file is refused before the work is done that it asks for: it
must be a regular file, may not unpack to more than its kind needs, and may not announce more than it holds.
Nothing is mapped into memory, so that a file that shrinks meanwhile is only cut short. All that goes wrong is a
:class:`~tinygrad_mnist.errors.DataError` that names the file.
"""

from __future__ import annotations

import io
import json
import math
import os
import stat
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.lib import format as npy

from .errors import DataError, MissingFileError, describe_briefly, quote
from .typing import NDArray

if TYPE_CHECKING:
    import zipfile

__all__ = [
    "LimitError",
    "decode_tensors",
    "locate",
    "note_files",
    "open_file",
    "open_unpacked",
    "open_zip",
    "parse_json",
    "read_bytes",
    "read_exactly",
    "read_member",
    "read_npy",
    "readable",
]

#: The largest file, the largest arrays (67 million weights of float32) and the longest JSON, in bytes. MNIST's
#: largest file, a table, takes 110 million.
LARGEST_FILE, LARGEST_ARRAYS, LARGEST_JSON = 2**30, 2**28, 2**22

#: What a packed file may unpack to: so many bytes in any case, or RATIO times its size; MNIST shrinks to a twentieth
#: at most. It may have so many parts; some programs make one of each 64 kB.
UNPACKED_FREELY, RATIO, MOST_MEMBERS = 2**26, 100, 20_000

#: How deep JSON may be nested, and the longest integer in it, which fits into a float.
DEEPEST, MOST_DIGITS = 200, 300

#: The longest header of an array; NumPy's have 128 bytes.
LONGEST_HEADER = 1_000

#: How many bytes are read at once.
STEP = 2**18

_KINDS = {
    stat.S_ISDIR: "a folder",
    stat.S_ISFIFO: "a pipe",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
    stat.S_ISSOCK: "a socket",
}

# So that a pipe is opened, and refused, though nobody writes to it; Windows has neither the need nor the name.
_FLAGS = getattr(os, "O_NONBLOCK", 0)


class LimitError(DataError):
    """A file that is larger than a limit of the reader."""


#: Where opened files are noted, if anywhere.
_noted: ContextVar[list[Path] | None] = ContextVar("noted", default=None)


def locate(path: str | os.PathLike[str]) -> Path:
    """Return a path with ``~`` replaced by the user's folder.

    Raises
    ------
    DataError
        If there is no such user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise DataError(f"{path}: the folder that '~' stands for is not known") from error


@contextmanager
def note_files() -> Iterator[list[Path]]:
    """Note which files are opened in a block."""
    noted: list[Path] = []
    token = _noted.set(noted)
    try:
        yield noted
    finally:
        _noted.reset(token)


@contextmanager
def open_file(path: str | os.PathLike[str], limit: int = LARGEST_FILE) -> Iterator[io.BufferedReader]:
    """Open a regular file for reading, unless it is larger than ``limit``.

    Raises
    ------
    MissingFileError
        If there is no such file.
    DataError
        If it is a folder, a pipe or a device, cannot be read, or is too large.
    """
    try:
        file = open(path, "rb", opener=_open_regular)  # noqa: SIM115
    except FileNotFoundError as error:
        raise MissingFileError(f"{path}: no such file") from error
    except DataError:
        raise
    except (OSError, ValueError) as error:  # a null character in the name is a ValueError
        raise DataError(f"{path}: cannot be read: {error}") from error
    if (noted := _noted.get()) is not None:
        noted.append(Path(path))
    with file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise LimitError(f"{path}: has {size:,} bytes; more than {limit:,} are not read")
        try:
            yield file
        except OSError as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"{path}: cannot be read: {error}") from error


def _open_regular(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | _FLAGS)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        kind = next((kind for is_such, kind in _KINDS.items() if is_such(mode)), "something else")
        raise DataError(f"{path}: is {kind}, not a file")
    return descriptor


def read_bytes(path: str | os.PathLike[str], limit: int = LARGEST_FILE) -> bytes:
    """Read a regular file of at most ``limit`` bytes into memory; see :func:`open_file`."""
    with open_file(path, limit) as file:
        return file.read(os.fstat(file.fileno()).st_size)  # and not what somebody adds meanwhile


@contextmanager
def open_unpacked(path: str | os.PathLike[str], limit: int = LARGEST_FILE) -> Iterator[io.BufferedReader]:
    """Open a file for reading, unpacked if it is gzip; see :func:`open_file`.

    The first bytes say whether it is gzip, because browsers may unpack a file and keep its name.

    Raises
    ------
    DataError
        While reading, too: if the packed data are damaged, or unpack to more than ``limit`` bytes or to more
        than data of digits do.
    """
    with open_file(path) as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if is_gzip:
            limit = min(limit, max(UNPACKED_FREELY, RATIO * os.fstat(file.fileno()).st_size))
        raw = _Gunzip(file, path) if is_gzip else cast(io.RawIOBase, file)
        stream = io.BufferedReader(_Limited(raw, path, limit), STEP)
        with stream:
            yield cast(io.BufferedReader, stream)


class _Gunzip(io.RawIOBase):
    """The unpacked bytes of a gzip file.

    Python's own reader goes through any number of empty members, of 20 bytes each, before it returns.
    """

    def __init__(self, file: io.BufferedReader, path: str | os.PathLike[str]) -> None:
        self.file, self.path, self.members = file, path, 1
        self.packed, self.member = b"", zlib.decompressobj(31)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while self.members <= MOST_MEMBERS:
            if self.member.eof:
                if not self._skip_padding():
                    return 0
                self.member, self.members = zlib.decompressobj(31), self.members + 1
            packed = self.packed or self.file.read(STEP)
            try:
                block = self.member.decompress(packed, len(buffer))
            except zlib.error as error:
                raise DataError(
                    f"{self.path}: the compressed data is broken or cut short: {error}"
                ) from error
            self.packed = self.member.unused_data if self.member.eof else self.member.unconsumed_tail
            if block:
                buffer[: len(block)] = block
                return len(block)
            if not packed and not self.member.eof:
                raise DataError(f"{self.path}: the compressed data is broken or cut short")
        raise DataError(f"{self.path}: the compressed data has more than {MOST_MEMBERS:,} parts")

    def _skip_padding(self) -> bool:
        """Go to the member after the zeros that may follow one; return False at the end of the file."""
        self.packed = self.packed.lstrip(b"\0")
        while not self.packed:
            block = self.file.read(STEP)
            if not block:
                return False
            self.packed = block.lstrip(b"\0")
        return True


class _Limited(io.RawIOBase):
    """A stream that ends in an error beyond a number of bytes."""

    def __init__(self, stream: Any, where: object, limit: int) -> None:
        self.stream, self.where, self.limit, self.left = stream, where, limit, limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self.stream.readinto(buffer) or 0
        self.left -= count
        if self.left < 0:
            raise DataError(
                f"{self.where}: unpacks to more than {self.limit:,} bytes, too many for data of this kind"
            )
        return int(count)


@contextmanager
def open_zip(path: str | os.PathLike[str], limit: int = LARGEST_FILE) -> Iterator[zipfile.ZipFile]:
    """Open a zip archive, such as an ``.npz``; see :func:`open_file`, and :func:`read_member`.

    Raises
    ------
    DataError
        If it is none, or if its directory is larger than ``STEP``.
    """
    import zipfile  # imported here, because it takes longer to import than the rest of the package

    with open_file(path, limit) as file:
        steps = _InSteps(cast(io.RawIOBase, file))
        with readable(path, "npz archive"):
            # Whatever a file says about the length of its directory, zipfile reads that with a single call.
            archive = zipfile.ZipFile(cast(Any, steps))
        with steps, archive:
            yield archive


class _InSteps(io.BufferedReader):
    """A file that is read in steps; a larger one is an error."""

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(STEP + 1 if size is None or size < 0 else min(size, STEP + 1))
        if len(data) > STEP:
            raise ValueError("it has too many members")
        return data


def read_member(archive: zipfile.ZipFile, name: str, where: object, limit: int = LARGEST_ARRAYS) -> NDArray:
    """Read an array of an ``.npz``; see :func:`read_npy`.

    Raises
    ------
    DataError
        If there is no such array, or if it is damaged.
    """
    with readable(where, "npz archive"):
        info = archive.getinfo(f"{name}.npy")
        if info.compress_type not in (0, 8):  # stored and deflated; others ask for any amount of memory
            raise ValueError(f"a member is packed by method {info.compress_type}; NumPy uses 0 and 8")
        with archive.open(info) as member:
            return read_npy(cast(io.BufferedIOBase, member), where, limit)


def read_npy(stream: io.BufferedIOBase, where: object, limit: int = LARGEST_ARRAYS) -> NDArray:
    """Read an array in NumPy's format, which must end where the stream does.

    Parameters
    ----------
    stream : binary file
    where : object
        The name of the file in messages.
    limit : int
        The largest size of the array in bytes.

    Raises
    ------
    DataError
        If its elements are not numbers, or if it is larger than ``limit``, or not as large as its header says.
    """
    with readable(where, ".npy array"):
        prefix = stream.read(10)
        if prefix[6:7] > b"\1":
            prefix += stream.read(2)
        length = int.from_bytes(prefix[8:], "little")
        if length > LONGEST_HEADER:
            raise ValueError(f"its header has {length:,} bytes; expected at most {LONGEST_HEADER:,}")
        header = io.BytesIO(prefix + stream.read(length))
        read_header = (
            npy.read_array_header_1_0 if npy.read_magic(header) == (1, 0) else npy.read_array_header_2_0
        )
        shape, is_fortran, dtype = read_header(header)
        if dtype.kind not in "biufc":
            raise ValueError(f"it has elements of {quote(str(dtype))}; expected numbers")
        size = math.prod(shape) * dtype.itemsize
        if min(shape, default=0) < 0 or size > limit:
            raise ValueError(
                f"it has shape {quote(shape)} of {dtype}; more than {limit:,} bytes are not read"
            )
        data = read_exactly(stream, size, where, last=True)
        return data.view(dtype).reshape(shape, order="F" if is_fortran else "C")


def read_exactly(stream: io.BufferedIOBase, count: int, where: object, *, last: bool = False) -> NDArray:
    """Read exactly ``count`` bytes; with ``last``, nothing may follow them.

    No more than that is unpacked, however much a hostile file holds.
    """
    data = np.empty(count, dtype=np.uint8)
    view, filled = data.data, 0
    while filled < count:
        got = stream.readinto(view[filled : filled + STEP])
        if not got:
            raise DataError(
                f"{where}: cut short: {filled:,} bytes of data, but the header announces {count:,}"
            )
        filled += got
    if last and stream.read(1):
        raise DataError(f"{where}: there is more data after the {count:,} bytes that the header announces")
    return data


#: The types of safetensors that NumPy has.
_TYPES = {"BOOL": "?", "C64": "<c8"} | {
    f"{kind}{8 * size}": f"<{kind.lower()}{size}"
    for kind, sizes in (("I", (1, 2, 4, 8)), ("U", (1, 2, 4, 8)), ("F", (2, 4, 8)))
    for size in sizes
}


def decode_tensors(content: bytes, path: object, limit: int) -> dict[str, NDArray]:
    """The arrays in a safetensors file; bfloat16, the upper half of a float32, becomes one.

    Raises
    ------
    DataError
        If NumPy lacks a type of theirs, or they take more than ``limit`` bytes.
    """
    import safetensors

    parts: list[tuple[str, dict[str, Any]]] = cast(Any, safetensors).deserialize(content)
    size = sum(len(part["data"]) * (2 if part["dtype"] == "BF16" else 1) for _, part in parts)
    if size > limit:
        raise LimitError(f"{path}: its arrays take {size:,} bytes; more than {limit:,} are not read")
    return {name: _decoded(f"{path}, {quote(name)}", **part) for name, part in parts}


def _decoded(where: str, *, dtype: str, shape: list[int], data: bytes) -> NDArray:
    if dtype == "BF16":
        return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32).reshape(shape)
    if dtype not in _TYPES:
        raise DataError(f"{where}: has numbers of type {dtype}, which NumPy lacks; convert them to float32")
    return np.frombuffer(data, _TYPES[dtype]).reshape(shape)


def parse_json(content: str | bytes, where: object = "") -> Any:
    """Parse JSON that is neither long nor deep, with integers of at most ``MOST_DIGITS`` digits.

    Parameters
    ----------
    content : str or bytes
    where : object, optional
        The name of the file in messages.

    Raises
    ------
    DataError
        If it is not JSON, or beyond a limit.
    """
    name = f"{where}: " if where else ""
    if len(content) > LARGEST_JSON:
        raise DataError(f"{name}more than {LARGEST_JSON:,} bytes, too many for JSON of this kind")
    try:
        value = json.loads(content, parse_int=_integer)
    except (ValueError, RecursionError) as error:  # it may not even be text
        raise DataError(f"{name}not JSON ({describe_briefly(error)})") from error
    level, depth = [value], 0
    while level := [part for whole in level for part in _parts(whole)]:
        depth += 1
        if depth > DEEPEST:
            raise DataError(f"{name}nested more than {DEEPEST} levels deep")
    return value


def _parts(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _integer(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"a number of {len(digits):,} digits")
    return int(digits)


@contextmanager
def readable(where: object, kind: str) -> Iterator[None]:
    """Turn any exception into a ``DataError``: the libraries that read damaged files raise all kinds."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{where}: not a readable {kind}: {describe_briefly(error)}") from error
