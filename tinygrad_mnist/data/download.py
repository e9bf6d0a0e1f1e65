"""Download MNIST from its mirrors, and accept nothing that does not match the published checksums."""

from __future__ import annotations

import hashlib
import http.client
import os
import queue
import threading
import urllib.error
import urllib.request
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tqdm import tqdm

from ..errors import DataError
from ..reading import locate, open_unpacked
from .checksums import OFFICIAL, Published
from .places import cache_folder

__all__ = ["MIRRORS", "fetch_mnist"]

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)

ANSWER_SECONDS = 3.0
READ_SECONDS = 15.0


def fetch_mnist(
    folder: str | os.PathLike[str] | None = None, *, mirrors: Sequence[str] | None = None
) -> Path:
    """Download the four files of MNIST, each of which is checked before it gets its name.

    Files that are already there are checked and kept, so an interrupted download can be continued. The
    mirrors are tried in turn.

    Parameters
    ----------
    folder : path, optional
        The folder for the files; the default is the user's cache, where ``load_mnist`` finds them.
    mirrors : sequence of str, optional
        Addresses to which the file names are appended; https, or http on this machine.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    DataError
        If no mirror delivers a file (the message says why for each of them), or if a file in the folder
        has one of the four names but different contents.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     try:
    ...         fetch_mnist(folder, mirrors=[])
    ...     except DataError as error:
    ...         print("no mirrors given" in str(error))
    True
    """
    target = cache_folder("mnist") if folder is None else locate(folder)
    order = list(MIRRORS if mirrors is None else mirrors)
    for file in OFFICIAL:
        if not _is_there(target / file.name, file):
            # From now on, start with the mirror that answered.
            mirror = _fetch(file, target, order)
            order.sort(key=lambda other: other != mirror)
    return target


def _is_there(path: Path, file: Published) -> bool:
    if not path.exists():
        return False
    with open_unpacked(path) as stream:
        md5 = hashlib.md5(usedforsecurity=False)
        while block := stream.read(2**20):
            md5.update(block)
    if md5.hexdigest() != file.unpacked_md5:
        raise DataError(
            f"{path}: exists but is not MNIST's {file.name}; it was not overwritten: move or delete it first"
        )
    return True


def _fetch(file: Published, folder: Path, mirrors: list[str]) -> str:
    """Download one file from the first mirror that delivers it, and return that mirror."""
    failures = []
    for mirror in mirrors:
        try:
            _download(mirror + file.name, folder / file.name, file)
            return mirror
        except urllib.error.HTTPError as error:
            failures.append(f"{mirror} answers {error.code} {error.reason}")
            error.close()
        except (OSError, http.client.HTTPException, DataError) as error:
            failures.append(f"{mirror}: {error}")
    raise DataError(
        f"{file.name} could not be downloaded: {'; '.join(failures) or 'no mirrors given'}. Try again with "
        f"a network connection, or put MNIST's four files into {folder}"
    )


def _download(url: str, path: Path, file: Published) -> None:
    """Stream a URL into a file next to ``path``, and rename it to ``path`` if its checksum is right."""
    with _open(url) as response:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
        try:
            with partial.open("xb") as out:
                _copy(response, out, file)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def _copy(response: Any, out: Any, file: Published) -> None:
    sha256 = hashlib.sha256()
    received = 0
    # disable=None: no bar unless the output is a terminal.
    with tqdm(total=file.bytes, desc=file.name, unit="B", unit_scale=True, disable=None) as bar:
        while block := response.read(2**16):
            received += len(block)
            if received > file.bytes:
                raise DataError(f"sends more than the {file.bytes:,} bytes of {file.name}")
            sha256.update(block)
            out.write(block)
            bar.update(len(block))
    if received < file.bytes:
        raise DataError(f"stops after {received:,} of {file.bytes:,} bytes")
    if sha256.hexdigest() != file.sha256:
        raise DataError(f"sends {file.name} with the sha256 {sha256.hexdigest()}; expected {file.sha256}")


def _open(url: str) -> Any:
    """Open a URL, or give up after ``ANSWER_SECONDS``.

    The timeout of ``urlopen`` covers neither the name lookup nor the sum over all addresses of a name, and
    a user without a network should not wait for those. Hence the thread.
    """
    _check_secure(url)
    opener = urllib.request.build_opener(_SecureRedirects)
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(opener.open(url, timeout=READ_SECONDS))
        except Exception as error:  # raised again below, in the waiting thread
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=ANSWER_SECONDS)
    except queue.Empty:
        raise TimeoutError(f"no answer within {ANSWER_SECONDS:g} seconds") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


class _SecureRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: str) -> Any:
        try:
            _check_secure(newurl)
        except DataError:
            fp.close()
            raise
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _check_secure(url: str) -> None:
    parts = urlsplit(url)
    is_loopback = parts.hostname in ("127.0.0.1", "::1", "localhost")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback):
        raise DataError(f"{url}: only https addresses are allowed")
