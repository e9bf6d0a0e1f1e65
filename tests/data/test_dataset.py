"""Data sets and batches."""

from __future__ import annotations

import pickle
import tracemalloc

import numpy as np
import pytest

from tinygrad_mnist.data import DataLoader, Dataset, load_digits, load_mnist, to_images, to_vectors
from tinygrad_mnist.errors import OptionError, ShapeError


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (10, 4, 4), dtype=np.uint8)


@pytest.fixture
def data(images):
    return Dataset(
        images, np.arange(10), transform=to_vectors, name="toy", source="a test", classes="abcdefghij"
    )


@pytest.mark.parametrize(
    "index",
    [
        slice(2, 5),
        slice(None, None, -2),
        [3, 1, 3],
        np.array([-1, 0]),
        np.arange(10) % 2 == 0,
        [],
        slice(0, 0),
    ],
)
def test_indexing_transforms_what_numpy_indexing_selects(data, images, index):
    x, y = data[index]
    np.testing.assert_array_equal(x, images[index].reshape(-1, 16) / np.float32(255))
    np.testing.assert_array_equal(y, np.arange(10)[index])
    assert x.dtype == np.float32


@pytest.mark.parametrize("index", [0, 9, -1, -10, np.int64(3)])
def test_an_int_gives_one_example(data, images, index):
    x, y = data[index]
    np.testing.assert_array_equal(x, images[index].ravel() / np.float32(255))
    assert y == range(10)[index]


@pytest.mark.parametrize("index", [10, -11, (1, 2), [10]])
def test_a_bad_index_is_an_index_error(data, index):
    with pytest.raises(IndexError):
        data[index]


def test_a_data_set_can_be_iterated_over(data):
    assert [int(y) for _, y in data] == list(range(10))


def test_the_transform_sees_batches_only(images):
    seen = []
    data = Dataset(images, np.arange(10), transform=lambda x: (seen.append(x.shape), x)[1])
    data[0], data[2:5], data[[1]]
    assert seen == [(1, 4, 4), (3, 4, 4), (1, 4, 4)]


def test_split_and_slices_share_memory(data, images):
    first, rest = data.split(7)
    assert (len(first), len(rest)) == (7, 3)
    assert np.shares_memory(first.inputs, images)
    assert np.shares_memory(rest.inputs, images)
    assert np.shares_memory(rest.targets, data.targets)
    assert (rest.transform, rest.classes, rest.name, rest.source) == (
        to_vectors,
        tuple("abcdefghij"),
        "toy",
        "a test",
    )
    np.testing.assert_array_equal(data.subset([4, 2]).targets, [4, 2])
    np.testing.assert_array_equal(data.subset(data.targets > 7).targets, [8, 9])


@pytest.mark.parametrize("count", [0, 10, -1, 11])
def test_split_leaves_no_part_empty(data, count):
    with pytest.raises(OptionError, match=r"1 to 9"):
        data.split(count)


def test_lengths_must_agree(images):
    with pytest.raises(ShapeError, match="10 inputs but 9 targets"):
        Dataset(images, np.arange(9))
    with pytest.raises(ShapeError, match="single value"):
        Dataset(np.array(3), np.arange(9))


def test_repr_tells_what_is_inside(data):
    assert repr(data) == "Dataset('toy', 10 × uint8[4, 4], 10 classes, source='a test')"
    assert repr(DataLoader(data, 4)) == f"DataLoader({data!r}, 3 batches of 4)"


def test_data_sets_can_be_pickled(data):
    again = pickle.loads(pickle.dumps(data))
    np.testing.assert_array_equal(again[:3][0], data[:3][0])
    assert repr(again) == repr(data)


def test_to_vectors_and_to_images_cover_0_to_1_exactly():
    x = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    expected = (np.arange(256) / 255).astype(np.float32)
    np.testing.assert_array_equal(to_vectors(x)[0], expected)
    np.testing.assert_array_equal(to_images(x)[0, 0], expected.reshape(16, 16))
    assert to_images(x).shape == (1, 1, 16, 16)
    assert to_vectors(x[:0]).shape == (0, 256)


@pytest.mark.parametrize(
    ("batch_size", "drop_last", "sizes"),
    [(4, False, [4, 4, 2]), (4, True, [4, 4]), (5, True, [5, 5]), (10, True, [10]), (99, False, [10])],
)
def test_batches(data, batch_size, drop_last, sizes):
    loader = DataLoader(data, batch_size, drop_last=drop_last)
    batches = list(loader)
    assert [len(x) for x, _ in batches] == sizes
    assert len(loader) == len(sizes)
    np.testing.assert_array_equal(np.concatenate([y for _, y in batches]), np.arange(sum(sizes)))
    np.testing.assert_array_equal(np.concatenate([x for x, _ in batches]), data[: sum(sizes)][0])


def test_shuffling_visits_each_example_once_and_differs_by_epoch(data):
    loader = DataLoader(data, 3, shuffle=True, rng=7)
    first, second = (np.concatenate([y for _, y in loader]) for _ in range(2))
    assert sorted(first) == sorted(second) == list(range(10))
    assert first.tolist() != second.tolist()
    for x, y in loader:
        np.testing.assert_array_equal(x, data[y][0])


def test_a_seed_and_its_generator_give_the_same_orders(data):
    def orders(rng):
        loader = DataLoader(data, 4, shuffle=True, rng=rng)
        return [y.tolist() for _ in range(2) for _, y in loader]

    assert orders(3) == orders(3) == orders(np.random.default_rng(3))
    assert orders(3) != orders(4)


def test_batches_own_their_memory(images):
    y = np.arange(10)
    for inputs, targets in DataLoader((images, y), 5):
        assert not np.shares_memory(inputs, images)
        assert not np.shares_memory(targets, y)


def test_memory_maps_are_read_by_the_batch(tmp_path):
    shape = (100_000, 28, 28)
    mapped = np.memmap(tmp_path / "images", dtype=np.uint8, mode="w+", shape=shape)  # a sparse file
    mapped[77_777] = 5
    targets = np.zeros(len(mapped), dtype=np.uint8)
    tracemalloc.start()
    try:
        data = Dataset(mapped, targets, transform=to_vectors)
        loader = DataLoader(data, 64, shuffle=True, rng=0)
        for _, (x, _y) in zip(range(50), loader, strict=False):
            assert x.shape == (64, 784)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert isinstance(data.inputs, np.memmap)
    assert peak < mapped.nbytes / 20
    assert data[77_777][0].sum() == pytest.approx(784 * 5 / 255, rel=1e-6)


def test_what_a_loader_refuses(data):
    for batch_size in (0, -3, 2.5, "2"):
        with pytest.raises(OptionError, match=f"batch_size is {batch_size!r}; it must be a positive integer"):
            DataLoader(data, batch_size)
    with pytest.raises(OptionError, match="empty"):
        DataLoader(data.subset([]), 2)
    with pytest.raises(OptionError, match="no batch"):
        DataLoader(data, 11, drop_last=True)
    with pytest.raises(ShapeError, match="3 inputs but 2 targets"):
        DataLoader((np.zeros(3), np.zeros(2)), 1)
    with pytest.raises(OptionError, match="ndarray"):
        DataLoader(np.zeros((2, 2)), 1)


def test_digits_are_split_as_their_writers_are():
    train, test = load_digits()
    assert (len(train), len(test)) == (1438, 359)
    assert train.inputs.shape == (1438, 8, 8)
    assert train.inputs.dtype == np.uint8
    assert train.targets.dtype == np.int64
    x, _ = test[:]
    assert (x.min(), x.max(), x.dtype, x.shape) == (0, 1, np.float32, (359, 64))
    np.testing.assert_array_equal(x[0], test.inputs[0].ravel() / np.float32(16))
    assert train.targets[:10].tolist() == list(range(10))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(test))[:][0], x)


def test_another_transform():
    train, _ = load_mnist("sample", transform=to_images)
    assert train[:2][0].shape == (2, 1, 28, 28)
    raw, _ = load_mnist("sample", transform=None)
    assert raw[0][0].dtype == np.uint8
