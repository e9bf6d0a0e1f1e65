"""Arrays on disk: safetensors, or npz; never pickle."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .errors import DataError, DTypeError, OptionError
from .typing import NDArray

__all__ = ["load", "read_metadata", "replace", "save"]


def save(
    state: Mapping[str, Any], path: str | os.PathLike[str], *, metadata: Mapping[str, str] | None = None
) -> None:
    """Write named arrays to a file, either completely or not at all.

    Parameters
    ----------
    state : mapping of str to array_like
        For example, a module's ``state_dict()``.
    path : path ending in ``.safetensors`` or ``.npz``
    metadata : mapping of str to str, optional
        Text stored with the arrays (safetensors only).

    Raises
    ------
    OptionError
        If the file has another ending, or a name is not a string.
    DTypeError
        If the file format cannot hold an array's dtype; nothing is written in that case.

    Examples
    --------
    >>> import tempfile, tinygrad_mnist as tg
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tg.save({"w": np.ones(2)}, f"{folder}/w.safetensors")
    ...     tg.load(f"{folder}/w.safetensors")
    {'w': array([1., 1.])}
    """
    path = Path(path)
    arrays = {name: _plain(name, value, path) for name, value in state.items()}
    if path.suffix == ".safetensors":
        from safetensors.numpy import save as encode

        replace(path, encode(arrays, metadata=dict(metadata or {}) or None))
    elif path.suffix == ".npz":
        if metadata:
            raise OptionError(f"{path}: an npz file cannot hold metadata; save as .safetensors")
        import zipfile  # imported here, because it takes longer to import than the rest of the package

        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w") as entry:
                    np.lib.format.write_array(entry, array, allow_pickle=False)
        replace(path, content.getvalue())
    else:
        raise OptionError(f"{path}: unknown file ending {path.suffix!r}; valid: .safetensors, .npz")


def load(path: str | os.PathLike[str]) -> dict[str, NDArray]:
    """Read named arrays from a ``.safetensors`` or ``.npz`` file.

    Raises
    ------
    DataError
        If the file is damaged, or an npz that holds pickled objects.
    """
    path = Path(path)
    content = path.read_bytes()
    try:
        if path.suffix == ".npz":
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                return {name: file[name] for name in file.files}
        from safetensors.numpy import load as decode

        return decode(content)
    except Exception as error:  # each reader has its own errors; all mean that the file cannot be read
        raise DataError(f"{path}: not a readable {path.suffix or 'safetensors'} file: {error}") from error


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """Read the text stored with the arrays of a safetensors file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(os.fspath(path), framework="numpy") as file:
            return dict(file.metadata() or {})
    except SafetensorError as error:
        raise DataError(f"{path}: not a readable safetensors file: {error}") from error


def replace(path: Path, content: bytes) -> None:
    """Write a file so that a crash leaves the old one or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(temporary).chmod(0o666 & ~_umask())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)  # it exists if Ctrl-C comes just after its creation
        raise


def _plain(name: Any, value: Any, path: Path) -> NDArray:
    """Return an array in row-major order; raise an error if the format cannot hold it."""
    if not isinstance(name, str):
        raise OptionError(f"{path}: {name!r} cannot be the name of an array; names are strings")
    array = np.asarray(value.data if hasattr(value, "node") else value, order="C")
    held = "biufc" if path.suffix == ".npz" else "biuf"
    if array.dtype.kind not in held or (array.dtype.itemsize > 8 and path.suffix != ".npz"):
        raise DTypeError(f"{path}: the format cannot hold {name!r}, of dtype {array.dtype}")
    return array


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
