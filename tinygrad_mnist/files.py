"""Arrays on disk: safetensors, or npz; never pickle."""

from __future__ import annotations

import io
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .errors import DataError, DTypeError, OptionError, quote
from .reading import (
    LARGEST_ARRAYS,
    LARGEST_JSON,
    LimitError,
    decode_tensors,
    open_zip,
    parse_json,
    read_bytes,
    read_member,
    readable,
)
from .typing import NDArray

__all__ = ["load", "read_metadata", "read_safetensors", "replace", "save", "unfinished"]


def save(
    state: Mapping[str, Any],
    path: str | os.PathLike[str],
    *,
    metadata: Mapping[str, str] | None = None,
    sync: bool = False,
) -> None:
    """Write named arrays to a file, either completely or not at all.

    Parameters
    ----------
    state : mapping of str to array_like
        For example, a module's ``state_dict()``. A value may also be a dict, or a list or tuple of dicts, whose
        parts are arrays, numbers, text, ``True``, ``None``, and lists, tuples and dicts of them:
        :func:`~tinygrad_mnist.load` returns the same, as an optimizer's ``state_dict()`` needs it.
    path : path ending in ``.safetensors`` or ``.npz``
    metadata : mapping of str to str, optional
        Text stored with the arrays (safetensors only).
    sync : bool, default False
        Whether to wait until the file is on the disk, so that it is whole even after a loss of power.

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
    if not isinstance(state, Mapping):
        raise OptionError(
            f"save: got {type(state).__name__}; pass a dict of arrays, as model.state_dict() is"
        )
    path = Path(path)
    arrays, tree = _flattened(state, path)
    if path.suffix == ".safetensors":
        from safetensors.numpy import save as encode

        described = {**(metadata or {}), **({_TREE: tree} if tree else {})}
        replace(path, encode(arrays, metadata=described or None), sync=sync)
    elif path.suffix == ".npz":
        if metadata:
            raise OptionError(f"{path}: an npz file cannot hold metadata; save as .safetensors")
        import zipfile  # imported here, because it takes longer to import than the rest of the package

        if tree:
            arrays[_TREE] = np.frombuffer(tree.encode(), np.uint8)
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w") as entry:
                    np.lib.format.write_array(entry, array, allow_pickle=False)
        replace(path, content.getvalue(), sync=sync)
    else:
        raise OptionError(f"{path}: unknown file ending {path.suffix!r}; valid: .safetensors, .npz")


def load(path: str | os.PathLike[str], *, max_bytes: int = LARGEST_ARRAYS) -> dict[str, Any]:
    """Read named arrays, and what else :func:`~tinygrad_mnist.save` wrote, from a ``.safetensors`` or ``.npz`` file.

    Parameters
    ----------
    path : path
    max_bytes : int, default 2**28
        The largest sum of the arrays' sizes. A file from somebody else could ask for more memory than you have.

    Raises
    ------
    MissingFileError
        If there is no such file; it is a FileNotFoundError too.
    DataError
        If the file is damaged, larger than ``max_bytes``, or an npz that holds anything but numbers.

    Examples
    --------
    >>> import tempfile, tinygrad_mnist as tg
    >>> model = tg.nn.Linear(2, 1, rng=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(model.state_dict(), f"{folder}/model.npz")
    ...     state = load(f"{folder}/model.npz")
    >>> {name: array.shape for name, array in state.items()}
    {'weight': (1, 2), 'bias': (1,)}
    """
    path = Path(path)
    try:
        if path.suffix == ".npz":
            arrays = _read_npz(path, max_bytes)
            tree = arrays.pop(_TREE).tobytes() if _TREE in arrays else b""
        else:
            arrays, metadata = read_safetensors(path, max_bytes=max_bytes)
            tree = metadata.get(_TREE, "").encode()
    except LimitError as error:
        raise DataError(f"{error}; if you trust the file, pass a larger max_bytes") from error
    with readable(path, f"{path.suffix or 'safetensors'} file"):
        return _unflattened(arrays, parse_json(tree, path)) if tree else arrays


def read_safetensors(
    path: str | os.PathLike[str], *, max_bytes: int = LARGEST_ARRAYS
) -> tuple[dict[str, NDArray], dict[str, str]]:
    """Read the arrays of a safetensors file, and the text stored with them; see :func:`~tinygrad_mnist.load`.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save({"w": np.ones(2)}, f"{folder}/w.safetensors", metadata={"made by": "hand"})
    ...     read_safetensors(f"{folder}/w.safetensors")
    ({'w': array([1., 1.])}, {'made by': 'hand'})
    """
    content = read_bytes(path, max_bytes + LARGEST_JSON)
    with readable(path, "safetensors file"):
        if content[:2] == b"PK":
            raise DataError(f"{path}: a zip archive, as torch.save writes it, not a safetensors file")
        # First, because the library takes a header of any size.
        header = parse_json(content[8 : 8 + int.from_bytes(content[:8], "little")], path)
        return decode_tensors(content, path, max_bytes), {
            str(name): str(text) for name, text in header.get("__metadata__", {}).items()
        }


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """Read the text stored with the arrays of a safetensors file.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save({"w": np.ones(2)}, f"{folder}/w.safetensors", metadata={"made by": "hand"})
    ...     read_metadata(f"{folder}/w.safetensors")
    {'made by': 'hand'}
    """
    return read_safetensors(path)[1]


def _read_npz(path: Path, max_bytes: int) -> dict[str, NDArray]:
    arrays: dict[str, NDArray] = {}
    with open_zip(path, max_bytes + LARGEST_JSON) as archive:
        for name in archive.namelist():
            name = name.removesuffix(".npy")
            arrays[name] = read_member(archive, name, f"{path}, {quote(name)}", max_bytes)
            max_bytes -= arrays[name].nbytes
    return arrays


def replace(path: Path, content: bytes, *, sync: bool = False) -> None:
    """Write a file so that a crash leaves the old one or the new one, never half of one.

    Parameters
    ----------
    path : Path
    content : bytes
    sync : bool, default False
        Whether to wait until the file is on the disk, so that it is whole even after a loss of power.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     notes = Path(folder, "notes.txt")
    ...     replace(notes, b"first")
    ...     replace(notes, b"second")
    ...     notes.read_text()
    'second'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=_UNFINISHED)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        Path(temporary).chmod(0o666 & ~_umask())
        Path(temporary).replace(path)
    except BaseException as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)  # it exists if Ctrl-C comes just after its creation
        if isinstance(error, OSError) and error.errno:
            raise OSError(error.errno, error.strerror, str(path)) from error  # as the caller knows it
        raise
    if sync:
        _sync_folder(path.parent)


def _plain(name: Any, value: Any, path: Path) -> NDArray:
    """Return an array in row-major order; raise an error if the format cannot hold it."""
    if not isinstance(name, str):
        raise OptionError(f"{path}: {name!r} cannot be the name of an array; names are strings")
    array = np.asarray(value.data if hasattr(value, "node") else value, order="C")
    held = "biufc" if path.suffix == ".npz" else "biuf"
    if array.dtype.kind not in held or (array.dtype.itemsize > 8 and path.suffix != ".npz"):
        raise DTypeError(f"{path}: the format cannot hold {name!r}, of dtype {array.dtype}")
    return array


#: The ending of a file that is being written.
_UNFINISHED = ".unfinished"


def unfinished(folder: Path) -> list[Path]:
    """The files in a folder that processes which were killed had begun to write, if no other is writing there.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, ".model.safetensors.k3x.unfinished").write_bytes(b"half")
    ...     [path.name for path in unfinished(Path(folder))]
    ['.model.safetensors.k3x.unfinished']
    """
    return list(folder.glob(f".*{_UNFINISHED}"))


#: The name under which a file holds everything of a state but its arrays, as JSON.
_TREE = "tinygrad_mnist.tree"


def _flattened(state: Mapping[str, Any], path: Path) -> tuple[dict[str, NDArray], str]:
    """Separate a state into named arrays, and the JSON of what contains them, or "" if nothing does."""
    arrays, parts = dict[str, NDArray](), dict[str, Any]()

    def keep(name: str, value: Any) -> str:
        while name in state or name in arrays:
            name += "'"
        arrays[name] = _plain(name, value, path)
        return name

    def walk(name: str, value: Any) -> Any:
        if value is None or type(value) in (bool, int, float, str):
            return value
        if type(value) is list:
            return [walk(f"{name}.{i}", part) for i, part in enumerate(value)]
        if type(value) is tuple:
            return {"tuple": walk(name, list(value))}
        if isinstance(value, Mapping):
            return {"dict": [[walk(name, key), walk(f"{name}.{key}", part)] for key, part in value.items()]}
        if isinstance(value, np.generic):
            return {"number": keep(name, value)}
        array = np.asarray(value.data if hasattr(value, "node") else value)
        if array.dtype.kind == "c":
            return {"complex": keep(name, [array.real, array.imag]), "dtype": array.dtype.str}
        is_transposed = array.flags.f_contiguous and not array.flags.c_contiguous
        # It is written in its own order: that is faster, and the order decides how fast it can be used.
        return {"transposed": keep(name, array.T)} if is_transposed else {"array": keep(name, array)}

    for name, value in state.items():
        among = value if isinstance(value, (list, tuple)) else [value]
        if any(isinstance(part, Mapping) for part in among):
            parts[name] = walk(name, value)
    arrays |= {name: _plain(name, value, path) for name, value in state.items() if name not in parts}
    return arrays, json.dumps(parts) if parts else ""


def _unflattened(arrays: dict[str, NDArray], parts: dict[str, Any]) -> dict[str, Any]:
    """Put a state together again."""

    def build(part: Any) -> Any:
        if isinstance(part, list):
            return [build(item) for item in part]
        if not isinstance(part, dict):
            return part
        (kind, value), *dtype = part.items()
        if kind == "tuple":
            return tuple(build(value))
        if kind == "dict":
            return {build(key): build(item) for key, item in value}
        array = arrays.pop(value)
        if kind == "complex":
            real, imag = array
            if np.dtype(dtype[0][1]).kind != "c":
                raise ValueError(f"complex numbers of dtype {quote(dtype[0][1])}")
            joined = np.empty(real.shape, dtype[0][1])
            joined.real, joined.imag = real, imag
            return joined
        return array[()] if kind == "number" else array.T if kind == "transposed" else array

    built = {name: build(part) for name, part in parts.items()}
    return {**arrays, **built}


def _sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where a folder can be opened for that."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # on Windows
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
