"""What a file is, by its first bytes: names and endings lie, after downloads most of all."""

from __future__ import annotations

from pathlib import Path

from ...errors import DataError
from ...reading import open_file, open_unpacked

__all__ = ["ANY_ARRAYS", "name_kind", "refuse"]

ANY_ARRAYS = "For data in other forms, tinygrad_mnist.data.Dataset(images, labels) takes any arrays"

#: Kinds that are read, by their first bytes.
_READ = (
    (b"\x93NUMPY", "npy"),
    (b"MATLAB 5.0", "mat"),
    (b"PAR1", "parquet"),
    (b"\x89PNG", "picture"),
    (b"\xff\xd8\xff", "picture"),
    (b"GIF8", "picture"),
    (b"BM", "picture"),
    (b"II*\0", "picture"),
    (b"MM\0*", "picture"),
    (b"P5", "picture"),
    (b"P6", "picture"),
)

#: Kinds that are not, with what to do.
_REFUSED = (
    (
        (b"<!doctype", b"<html", b"<?xml", b"<head"),
        "a web page, not data: a link was saved in place of the file; download it again",
    ),
    (
        (b"version https://git-lfs",),
        "a pointer of Git LFS, which stands for the data; `git lfs pull` fetches them",
    ),
    ((b"BZh",), "packed by bzip2; unpack it with bunzip2"),
    ((b"\xfd7zXZ",), "packed by xz; unpack it with unxz"),
    ((b"\x28\xb5\x2f\xfd",), "packed by zstd; unpack it with unzstd"),
    ((b"7z\xbc\xaf", b"Rar!"), "an archive; unpack it, and pass the folder"),
    (
        (b"\x89HDF",),
        "HDF5 (.h5, or .mat of version 7.3), which is not read; in MATLAB, save(…, '-v7'); in Python, h5py reads it",
    ),
    ((b"%PDF",), "a PDF document, not data"),
    ((b"\xff\xfe", b"\xfe\xff"), "text of two bytes a letter (UTF-16); save it as CSV UTF-8"),
    ((b"\xd0\xcf\x11\xe0",), "a document of an office program; save the table as CSV"),
    ((b'{"', b"[{", b"{\n"), "JSON, which is not read"),
)


def name_kind(path: Path) -> str:
    """Return ``"idx"``, ``"npy"``, ``"npz"``, ``"mat"``, ``"parquet"``, ``"pickle"``, ``"picture"`` or ``"table"``.

    Raises
    ------
    DataError
        If the file is something else; the message says what.
    """
    with open_file(path) as file:
        packed = file.read(512)
    if not packed:
        raise DataError(f"{path}: is empty; the download may have failed. {ANY_ARRAYS}")
    is_packed = packed.startswith(b"\x1f\x8b")
    if is_packed:
        with open_unpacked(path) as stream:
            start = stream.read(512)
        if not start:
            raise DataError(f"{path}: is empty once it is unpacked. {ANY_ARRAYS}")
    else:
        start = packed
    for beginning, kind in _READ:
        if start.startswith(beginning):
            if is_packed:
                raise DataError(f"{path}: a packed {kind} file; unpack it with gunzip")
            return kind
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "picture"
    if start.startswith(b"PK\x03\x04"):
        return _inside_zip(path)
    if start[:2] == b"\0\0" and start[2:3] in (b"\x08", b"\x09", b"\x0b", b"\x0c", b"\x0d", b"\x0e"):
        return "idx"
    lower = start.lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    for beginnings, words in _REFUSED:
        if start.startswith(beginnings) or lower.startswith(beginnings):
            raise DataError(f"{path}: is {words}. {ANY_ARRAYS}")
    if start[257:262] == b"ustar":
        raise DataError(f"{path}: an archive (tar); unpack it, and pass the folder. {ANY_ARRAYS}")
    if start[:1] == b"\x80" or start[:2] == b"(l":
        return "pickle"
    if b"\0" in start or not any(byte in start for byte in b"0123456789"):
        refuse(path)
    return "table"


def refuse(path: Path) -> None:
    """Say that a file is of no kind that is read."""
    raise DataError(
        f"{path}: not a file of digits that is read here: IDX, npz, npy, CSV and other tables, pickle, MATLAB's .mat, "
        f"parquet, or a folder of pictures for each class. {ANY_ARRAYS}"
    )


def _inside_zip(path: Path) -> str:
    from ...reading import open_zip

    with open_zip(path) as archive:
        names = archive.namelist()
    if names and all(name.endswith(".npy") for name in names):
        return "npz"
    if any(name.startswith("xl/") for name in names):
        raise DataError(f"{path}: is a table of Excel; save it as CSV. {ANY_ARRAYS}")
    raise DataError(
        f"{path}: is a zip archive; unpack it (`python -m zipfile -e {path.name} FOLDER`), and pass the folder"
    )
