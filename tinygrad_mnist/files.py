"""Arrays on disk: safetensors, or npz; never pickle."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .errors import DataError, OptionError
from .typing import NDArray

__all__ = ["load", "read_metadata", "replace", "save"]


def save(state: Mapping[str, Any], path: str | os.PathLike[str], *, metadata: Mapping[str, str] | None = None) -> None:
    """Write named arrays to a file, all of it or nothing.

    Parameters
    ----------
    state : mapping of str to array_like
        Such as a module's ``state_dict()``.
    path : path ending in ``.safetensors`` or ``.npz``
    metadata : mapping of str to str, optional
        Text kept beside the arrays (safetensors only).

    Raises
    ------
    OptionError
        If the ending is another.

    Examples
    --------
    >>> import tempfile, tinygrad_mnist as tg
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tg.save({"w": np.ones(2)}, f"{folder}/w.safetensors")
    ...     tg.load(f"{folder}/w.safetensors")
    {'w': array([1., 1.])}
    """
    path = Path(path)
    arrays = {name: np.ascontiguousarray(value.data if hasattr(value, "node") else value) for name, value in state.items()}
    if path.suffix == ".safetensors":
        from safetensors.numpy import save as encode

        content = encode(arrays, metadata=dict(metadata or {}) or None)
        replace(path, content)
    elif path.suffix == ".npz":
        if metadata:
            raise OptionError(f"{path}: an npz file keeps no metadata; save as .safetensors")
        with tempfile.SpooledTemporaryFile() as buffer:
            np.savez(buffer, **arrays)
            buffer.seek(0)
            replace(path, buffer.read())
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
            with np.load(path, allow_pickle=False) as file:
                return {name: file[name] for name in file.files}
        from safetensors.numpy import load as decode

        return decode(content)  # type: ignore[no-any-return]
    except Exception as error:  # each reader has errors of its own; all mean a file that cannot be read
        raise DataError(f"{path}: not a readable {path.suffix or 'safetensors'} file: {error}") from error


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """Read the text kept beside the arrays of a safetensors file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(os.fspath(path), framework="numpy") as file:
            return dict(file.metadata() or {})
    except SafetensorError as error:
        raise DataError(f"{path}: not a readable safetensors file: {error}") from error


def replace(path: Path, content: bytes) -> None:
    """Write a file so that a crash leaves the old one or the new one, never a half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
