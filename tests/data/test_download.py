"""The downloader, against a server on this machine."""

from __future__ import annotations

import gzip
import hashlib
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from tinygrad_mnist.data import BundledSampleWarning, cache_folder, download, fetch_mnist, load_mnist
from tinygrad_mnist.data.checksums import OFFICIAL, Published
from tinygrad_mnist.errors import DataError

REAL_MIRRORS = download.MIRRORS  # no test asks them


class Mirror:
    """A server whose answers are set by path: bytes, a status, a redirect, or a promise of more bytes."""

    def __init__(self):
        mirror = self
        self.answers = {}
        self.asked = []
        self.release = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                mirror.asked.append(self.path)
                answer = mirror.answers.get(self.path, 404)
                if answer == "silence":
                    mirror.release.wait(10)
                    return
                if isinstance(answer, int):
                    self.send_error(answer)
                elif isinstance(answer, str):
                    self.send_response(302)
                    self.send_header("Location", answer)
                    self.end_headers()
                else:
                    body, length = answer if isinstance(answer, tuple) else (answer, len(answer))
                    self.send_response(200)
                    if length is not None:
                        self.send_header("Content-Length", str(length))
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def serve(self, files, folder=""):
        self.answers |= {f"/{folder}{name}": content for name, content in files.items()}
        return self.url + folder

    def close(self):
        self.release.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    for variable in ("HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(variable, str(tmp_path / "home"))
    monkeypatch.delenv("TINYGRAD_MNIST_DATA", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download, "MIRRORS", ())


@pytest.fixture
def mirror():
    mirror = Mirror()
    yield mirror
    mirror.close()


@pytest.fixture
def files(monkeypatch):
    """Four small files in place of MNIST's, and their checksums in place of the official ones."""
    rng = np.random.default_rng(0)
    files, published = {}, []
    for official, shape in zip(OFFICIAL, [(20, 28, 28), (20,), (10, 28, 28), (10,)], strict=True):
        array = rng.integers(0, 10, shape, dtype=np.uint8)
        unpacked = struct.pack(f">{1 + len(shape)}I", 0x800 + len(shape), *shape) + array.tobytes()
        packed = gzip.compress(unpacked)
        files[official.name] = packed
        digests = hashlib.sha256(packed).hexdigest(), hashlib.md5(unpacked).hexdigest()
        published.append(Published(official.name, len(packed), *digests))
    monkeypatch.setattr(download, "OFFICIAL", tuple(published))
    return files


def names(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_four_files_arrive(tmp_path, mirror, files):
    folder = fetch_mnist(tmp_path / "a" / "b", mirrors=[mirror.serve(files)])
    assert folder == tmp_path / "a" / "b"
    assert {name: (folder / name).read_bytes() for name in names(folder)} == files


def test_what_is_there_is_kept(tmp_path, mirror, files):
    url = mirror.serve(files)
    name = OFFICIAL[2].name
    recompressed = gzip.compress(gzip.decompress(files[name]), compresslevel=1, mtime=7)
    (tmp_path / name).write_bytes(recompressed)
    fetch_mnist(tmp_path, mirrors=[url])
    assert (tmp_path / name).read_bytes() == recompressed
    assert mirror.asked == [f"/{file.name}" for file in OFFICIAL if file.name != name]
    fetch_mnist(tmp_path, mirrors=[])
    assert len(mirror.asked) == 3


def test_what_is_something_else_is_not_overwritten(tmp_path, mirror, files):
    other = gzip.compress(b"another data set of the same name")
    (tmp_path / OFFICIAL[0].name).write_bytes(other)
    with pytest.raises(DataError, match="not overwritten"):
        fetch_mnist(tmp_path, mirrors=[mirror.serve(files)])
    assert (tmp_path / OFFICIAL[0].name).read_bytes() == other


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda good: good[:-5], "stops after"),
        (lambda good: (good[:-5], len(good)), "stops after"),
        (lambda good: (good[:-5], None), "stops after"),
        (lambda good: b"", "stops after 0 of"),
        (lambda good: good[:-1] + b"!", "with the sha256"),
        (lambda good: good + b"!", "more than"),
        (lambda good: (good * 1000, None), "more than"),
        (lambda good: 404, "answers 404"),
        (lambda good: 503, "answers 503"),
        (lambda good: "http://192.0.2.1/elsewhere", "only https"),
        (lambda good: "file:///etc/hostname", "not allowed"),
    ],
)
def test_a_bad_mirror_is_passed_over_and_leaves_nothing(tmp_path, mirror, files, answer, words):
    first = OFFICIAL[0].name
    bad = mirror.serve(files | {first: answer(files[first])}, "bad/")
    with pytest.raises(DataError, match=f"{first} could not be downloaded: .*{words}"):
        fetch_mnist(tmp_path / "alone", mirrors=[bad])
    assert names(tmp_path / "alone") == []
    fetch_mnist(tmp_path / "both", mirrors=[bad, mirror.serve(files, "good/")])
    assert names(tmp_path / "both") == sorted(files)
    # The mirror that worked is asked first for the files that follow.
    assert [path for path in mirror.asked if path.startswith("/bad/")] == [f"/bad/{first}"] * 2


def test_a_download_that_breaks_off_can_be_taken_up(tmp_path, mirror, files):
    last = OFFICIAL[3].name
    with pytest.raises(DataError, match=last):
        fetch_mnist(tmp_path, mirrors=[mirror.serve(files | {last: 500})])
    assert names(tmp_path) == sorted(set(files) - {last})
    fetch_mnist(tmp_path, mirrors=[mirror.serve(files)])
    assert names(tmp_path) == sorted(files)
    assert len(mirror.asked) == 5


def test_an_interrupt_leaves_nothing(tmp_path, mirror, files, monkeypatch):
    class Interrupting(download.tqdm):
        def update(self, n=1):
            raise KeyboardInterrupt

    monkeypatch.setattr(download, "tqdm", Interrupting)
    with pytest.raises(KeyboardInterrupt):
        fetch_mnist(tmp_path, mirrors=[mirror.serve(files)])
    assert names(tmp_path) == []


def test_a_silent_mirror_is_not_waited_for(tmp_path, mirror, files, monkeypatch):
    monkeypatch.setattr(download, "ANSWER_SECONDS", 0.1)
    silent = mirror.serve(dict.fromkeys(files, "silence"), "silent/")
    with pytest.raises(DataError, match=r"no answer within 0\.1 seconds"):
        fetch_mnist(tmp_path, mirrors=[silent])


def test_a_folder_that_cannot_be_made(tmp_path, mirror, files):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="could not be downloaded"):
        fetch_mnist(tmp_path / "file" / "folder", mirrors=[mirror.serve(files)])


@pytest.mark.parametrize(
    "url", ["http://example.org/", "ftp://127.0.0.1/", "file:///etc/", "http://127.0.0.1.example.org/"]
)
def test_only_https_leaves_this_machine(tmp_path, url, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: pytest.fail("looked up a name"))
    with pytest.raises(DataError, match="only https"):
        fetch_mnist(tmp_path, mirrors=[url])


def test_the_mirrors_are_secure():
    assert len(REAL_MIRRORS) > 1
    for url in REAL_MIRRORS:
        assert url.startswith("https://")
        assert url.endswith("/")


def test_load_mnist_downloads_once(mirror, files, monkeypatch):
    monkeypatch.setattr(download, "MIRRORS", [mirror.serve(files)])
    train, test = load_mnist()
    assert (len(train), len(test)) == (20, 10)
    assert str(cache_folder("mnist")) in train.source
    load_mnist()
    assert len(mirror.asked) == 4


def test_load_mnist_takes_up_a_download_that_broke_off(mirror, files, monkeypatch):
    monkeypatch.setattr(download, "MIRRORS", [mirror.serve(files | {OFFICIAL[1].name: 500})])
    with pytest.warns(BundledSampleWarning, match="no MNIST on this machine"):
        assert len(load_mnist()[0]) == 4000
    mirror.serve(files)
    assert len(load_mnist()[0]) == 20


def test_a_machine_without_a_network(monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setattr(download, "MIRRORS", [f"http://127.0.0.1:{closed.getsockname()[1]}/"])
    with pytest.warns(BundledSampleWarning, match="no MNIST on this machine"):
        assert len(load_mnist()[0]) == 4000
