"""Saving and loading arrays: what goes in comes out, and damage is reported."""

from __future__ import annotations

import json
import os
import pickle
import stat
import sys

import numpy as np
import pytest

import tinygrad_mnist as tg
from tinygrad_mnist import files
from tinygrad_mnist.errors import DataError, DTypeError, OptionError, TinygradError

ENDINGS = [".safetensors", ".npz"]
RNG = np.random.default_rng(0)
both = pytest.mark.parametrize("ending", ENDINGS)

ARRAYS = {
    "float32": RNG.normal(size=(3, 4)).astype(np.float32),
    "float64": RNG.normal(size=5),
    "float16": np.float16([1.5, -2.0]),
    "int": np.arange(6).reshape(2, 3),
    "uint8": np.uint8([[0, 255]]),
    "bool": np.array([True, False]),
    "0-d": np.array(3.5),
    "empty": np.zeros((0, 3)),
    "fortran": np.asfortranarray(RNG.normal(size=(2, 3))),
    "strided": RNG.normal(size=(4, 6))[::2, ::-3],
    "big-endian": np.arange(3, dtype=">f4"),
    "not finite": np.array([np.nan, np.inf, -np.inf]),
}


@both
@pytest.mark.parametrize("name", ARRAYS)
def test_round_trip(tmp_path, ending, name):
    path = tmp_path / f"x{ending}"
    tg.save({name: ARRAYS[name]}, path)
    loaded = tg.load(path)
    assert list(loaded) == [name]
    assert loaded[name].shape == ARRAYS[name].shape
    assert loaded[name].dtype.newbyteorder("=") == ARRAYS[name].dtype.newbyteorder("=")
    np.testing.assert_array_equal(loaded[name], ARRAYS[name])


@both
@pytest.mark.parametrize(
    "name", ["0.weight", "a/b", "file", "allow_pickle", "args", "größe", "with space", "x.npy", "self", ""]
)
def test_names(tmp_path, ending, name):
    tg.save({name: np.ones(2), "other": np.zeros(1)}, tmp_path / f"x{ending}")
    assert set(tg.load(tmp_path / f"x{ending}")) == {name, "other"}


@both
def test_a_state_dict_and_tensors(tmp_path, ending):
    class Scale(tg.nn.Module):
        def __init__(self):
            self.linear = tg.nn.Linear(3, 2)
            self.factor = tg.nn.Parameter(2.0)

    model, other = Scale(), Scale()
    tg.save(model.state_dict(), tmp_path / f"a{ending}")
    other.load_state_dict(tg.load(tmp_path / f"a{ending}"))
    tg.save(dict(model.named_parameters()), str(tmp_path / f"b{ending}"))
    loaded = tg.load(tmp_path / f"b{ending}")
    for name, p in model.named_parameters():
        np.testing.assert_array_equal(loaded[name], p.data)
        np.testing.assert_array_equal(dict(other.named_parameters())[name].data, p.data)


TREE = {
    "state": {0: {"step": 3, "first": RNG.normal(size=(2, 3)).T}, 1: {}, "text": "ä"},
    "param_groups": [{"lr": 0.1, "betas": (0.9, 1 / 3), "nesterov": True, "params": [0, 1], "none": None}],
    "generator": np.random.default_rng(0).bit_generator.state,
    "rows": [{"loss": np.float32(0.1)}, {"loss": float("inf"), "nested": [[1, 2.0], (np.arange(3),)]}],
    "state.0.first": np.ones(1),
    "complex": {"z": np.array([1 + 2j, complex(np.inf, -0.0)]), "scalar": np.array(3.5)},
}


def assert_same(one, other):
    """The same values, of the same kinds: a tuple is no list, 1 is not 1.0, and arrays lie in the same order."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert list(one) == list(other)
        for key, value in one.items():
            assert_same(value, other[key])
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    elif isinstance(one, np.ndarray):
        assert (one.dtype, one.shape, one.flags.c_contiguous) == (
            other.dtype,
            other.shape,
            other.flags.c_contiguous,
        )
        assert one.tobytes() == other.tobytes()
    else:
        assert one == other


@both
def test_a_tree_comes_back_as_it_was(tmp_path, ending):
    path = tmp_path / f"x{ending}"
    tg.save(TREE, path, sync=True)
    loaded = tg.load(path)
    assert_same({name: loaded[name] for name in TREE}, TREE)
    assert len(loaded) == len(TREE)


@both
def test_lists_of_numbers_are_arrays(tmp_path, ending):
    tg.save({"x": [[1, 2], [3, 4]], "y": (1.5,)}, tmp_path / f"x{ending}")
    assert_same(tg.load(tmp_path / f"x{ending}")["x"], np.array([[1, 2], [3, 4]]))


@both
def test_what_has_no_form_in_a_file_is_refused(tmp_path, ending):
    with pytest.raises(DTypeError, match=r"a\.b"):
        tg.save({"a": {"b": object()}}, tmp_path / f"x{ending}")
    assert list(tmp_path.iterdir()) == []


@both
def test_nothing_at_all(tmp_path, ending):
    tg.save({}, tmp_path / f"x{ending}")
    assert tg.load(tmp_path / f"x{ending}") == {}


@both
def test_what_is_loaded_is_ours_to_change(tmp_path, ending):
    path = tmp_path / f"x{ending}"
    tg.save({"x": np.zeros(3)}, path)
    first = tg.load(path)["x"]
    first += 1
    np.testing.assert_array_equal(tg.load(path)["x"], np.zeros(3))


def test_other_endings(tmp_path):
    for name in ("x.pt", "x.pkl", "x", "x.npy"):
        with pytest.raises(OptionError, match=r"\.safetensors, \.npz"):
            tg.save({"x": np.ones(1)}, tmp_path / name)
        (tmp_path / name).write_bytes(pickle.dumps({"x": 1}))
        with pytest.raises((DataError, OptionError), match=name):
            tg.load(tmp_path / name)


def test_metadata(tmp_path):
    path = tmp_path / "x.safetensors"
    tg.save({"x": np.ones(1)}, path, metadata={"model": json.dumps({"class": "MLP"}), "größe": "ä"})
    assert files.read_metadata(path) == {"model": '{"class": "MLP"}', "größe": "ä"}
    tg.save({"x": np.ones(1)}, path)
    assert files.read_metadata(path) == {}
    with pytest.raises(OptionError, match="metadata"):
        tg.save({"x": np.ones(1)}, tmp_path / "x.npz", metadata={"a": "b"})
    assert not (tmp_path / "x.npz").exists()


@both
@pytest.mark.parametrize("damage", ["truncated", "empty", "noise", "flipped header", "half"])
def test_damaged_files(tmp_path, ending, damage):
    path = tmp_path / f"x{ending}"
    tg.save({"x": RNG.normal(size=(50, 50))}, path)
    whole = path.read_bytes()
    path.write_bytes(
        {
            "truncated": whole[:-7],
            "empty": b"",
            "noise": b"\x93not what it says" * 10,
            "flipped header": bytes([whole[0] ^ 0xFF]) + whole[1:],
            "half": whole[: len(whole) // 2],
        }[damage]
    )
    with pytest.raises(DataError, match=f"x{ending}"):
        tg.load(path)
    if ending == ".safetensors":
        with pytest.raises(DataError):
            files.read_metadata(path)


def test_a_missing_file_is_a_missing_file(tmp_path):
    for ending in ENDINGS:
        with pytest.raises(FileNotFoundError):
            tg.load(tmp_path / f"none{ending}")
    with pytest.raises(FileNotFoundError):
        files.read_metadata(tmp_path / "none.safetensors")


def test_pickles_are_never_run(tmp_path):
    path = tmp_path / "x.npz"

    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    np.savez(path, x=np.array([Bomb()], object))
    with pytest.raises(DataError):
        tg.load(path)
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(DataError):
        tg.load(path)
    assert not (tmp_path / "exploded").exists()


@both
@pytest.mark.parametrize(
    "value",
    [np.array([{}, None], object), "text", np.array(["a"]), None, np.datetime64("2020-01-01")],
    ids=repr,
)
def test_only_numbers_are_saved(tmp_path, ending, value):
    path = tmp_path / f"x{ending}"
    with pytest.raises(TinygradError):
        tg.save({"good": np.ones(2), "bad": value}, path)
    assert list(tmp_path.iterdir()) == []


def test_a_dtype_that_safetensors_lacks(tmp_path):
    for dtype in (np.complex128, np.longdouble):
        with pytest.raises((DTypeError, DataError), match="x"):
            tg.save({"x": np.ones(2, dtype)}, tmp_path / "x.safetensors")
    assert list(tmp_path.iterdir()) == []


@both
def test_names_are_text(tmp_path, ending):
    with pytest.raises((TinygradError, TypeError)):
        tg.save({1: np.ones(2)}, tmp_path / f"x{ending}")
    assert list(tmp_path.iterdir()) == []


@both
def test_all_or_nothing(tmp_path, ending, monkeypatch):
    path = tmp_path / f"x{ending}"
    tg.save({"x": np.zeros(3)}, path)
    before = path.read_bytes()

    def broken(*args):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(OSError, match="disk full"):
        tg.save({"x": np.ones(3)}, path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_folders_are_made_and_files_replaced(tmp_path):
    path = tmp_path / "a" / "b" / "x.npz"
    for value in (1.0, 2.0):
        tg.save({"x": np.full(2, value)}, path)
    np.testing.assert_array_equal(tg.load(path)["x"], [2.0, 2.0])
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.skipif(sys.platform == "win32", reason="permission bits are POSIX")
def test_permissions_are_the_users_usual_ones(tmp_path):
    mask = os.umask(0o027)
    try:
        tg.save({"x": np.ones(1)}, tmp_path / "x.npz")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "x.npz").stat().st_mode) == 0o640
    assert os.umask(mask) == mask
