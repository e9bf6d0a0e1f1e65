"""Folders that belong to one process: made by it alone, and locked while it writes there."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from ..errors import RunError
from ..files import unfinished

__all__ = ["LOCK", "claim", "make_folder", "writable"]

#: The file whose lock says that a process writes into the folder. The system takes the lock away from a process that
#: ends, however it ends; a file without a lock says nothing.
LOCK = ".lock"

#: The folders that this process has claimed: by which process (a fork inherits the dict, but no folder) and thread,
#: and how often.
_claimed: dict[Path, tuple[tuple[int, int], int]] = {}


def make_folder(parent: str | os.PathLike[str], name: str) -> Path:
    """Make a folder that did not exist: ``name-1``, ``name-2`` and so on. No other process gets the same."""
    number = 1
    with writable(Path(parent)):
        while True:
            folder = Path(parent) / f"{name}-{number}"
            try:
                folder.mkdir(parents=True)
            except FileExistsError:
                number += 1
            else:
                return folder


@contextmanager
def claim(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Make a folder if there is none, and keep all other processes from writing there.

    The thread that has a folder may claim it again. What a killed process left half written is removed.

    Raises
    ------
    RunError
        If another process, or another thread, has claimed it, or nothing can be written there.
    """
    folder = Path(folder)
    with writable(folder):
        folder.mkdir(parents=True, exist_ok=True)
    key, me = folder.resolve(), (os.getpid(), threading.get_ident())
    owner, count = _claimed.get(key, (me, 0))
    if count and owner == me:
        _claimed[key] = me, count + 1
        try:
            yield folder
        finally:
            _claimed[key] = me, count
        return
    with _locked(folder) as file:
        _claimed[key] = me, 1
        try:
            with writable(folder):
                file.truncate(0)
                # At once, so that a full disk is not met again when the file is closed.
                os.write(file.fileno(), str(os.getpid()).encode())
            for path in unfinished(folder):
                path.unlink(missing_ok=True)
            yield folder
        finally:
            del _claimed[key]


@contextmanager
def _locked(folder: Path) -> Iterator[TextIO]:
    """Hold the lock of a folder; its file is removed before the lock is given up."""
    path = folder / LOCK
    while True:
        with writable(folder):
            opened = path.open("a+", encoding="ascii")
        with opened as file:
            _lock(file.fileno(), folder)
            is_there = False
            # Another process may have removed the file after it was opened here; its lock says nothing then.
            with suppress(FileNotFoundError):
                is_there = os.path.samestat(path.stat(), os.fstat(file.fileno()))
            if not is_there:
                continue
            try:
                yield file
            finally:
                with suppress(OSError):  # Windows does not remove an open file
                    path.unlink()
            return


@contextmanager
def writable(folder: Path) -> Iterator[None]:
    """Say what to do where nothing can be written: by this user, on this disk, or because it is full."""
    try:
        yield
    except OSError as error:
        found = "is a file" if isinstance(error, FileExistsError) else f"cannot be written: {error.strerror}"
        advice = "Choose a folder in which you may write; to go on with a run, copy its folder there"
        raise RunError(f"{folder}: {found}. {advice}") from error


def _lock(handle: int, folder: Path) -> None:
    """Lock an open file, or say who has locked it."""
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        holder = (folder / LOCK).read_text(encoding="ascii", errors="replace")[:20]
        raise RunError(
            f"{folder}: a training is running there, in process {holder or '?'}; wait until it ends, or stop it"
        ) from error
