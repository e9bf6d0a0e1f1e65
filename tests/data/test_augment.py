"""Augmentation: images change, keep what they show, and the same seed gives the same ones."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_mnist as tg
from tinygrad_mnist.data.augment import AUGMENTATIONS, Augment
from tinygrad_mnist.errors import OptionError


def blob(n: int = 40, side: int = 21) -> np.ndarray:
    y, x = np.mgrid[:side, :side] - side // 2
    return np.repeat((255 * np.exp(-(x**2 + y**2) / 18))[None], n, axis=0).astype(np.uint8)


def centre(images: np.ndarray) -> np.ndarray:
    """The centre of mass of each image: rows and columns, shape (N, 2)."""
    weight = images.reshape(len(images), -1).astype(float)
    places = np.stack(np.mgrid[: images.shape[1], : images.shape[2]], -1).reshape(-1, 2)
    return weight @ places / weight.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_each_change_keeps_shape_and_dtype_and_follows_its_seed(name: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 9, 11)).astype(np.uint8)
    first, again, other = (Augment(name, rng=seed)(images) for seed in (1, 1, 2))
    assert (first.shape, first.dtype) == (images.shape, images.dtype)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert (first != images).any()
    assert Augment(name, rng=0)(images[:0]).shape == (0, 9, 11)
    assert Augment(name, rng=0)(images / np.float32(255)).dtype == np.float32


def test_shifts_move_by_whole_pixels_up_to_the_limit() -> None:
    images = blob(200)
    moved = np.rint(centre(Augment("shift", rng=0)(images)) - centre(images)).astype(int)
    assert set(np.unique(moved)) == {-2, -1, 0, 1, 2}


@pytest.mark.parametrize("name", ["rotate", "scale", "shear", "elastic"])
def test_other_changes_keep_the_middle(name: str) -> None:
    images = blob()
    moved = centre(Augment(name, rng=0)(images)) - centre(images)
    assert np.abs(moved).max() < (3.0 if name == "elastic" else 0.2)


def test_a_turn_by_90_degrees_is_that_of_numpy() -> None:
    image = np.zeros((1, 9, 9), np.float32)
    image[0, 2, 3:7] = 1
    turned = Augment("rotate", strength=90 / AUGMENTATIONS["rotate"], rng=0)
    turned.rng = type("One", (), {"uniform": lambda self, low, high, shape: np.ones(shape)})()  # type: ignore[assignment]
    found = turned(image)[0]
    assert any(np.allclose(found, np.rot90(image[0], k), atol=1e-5) for k in (1, 3))


def test_nothing_is_mixed_where_nothing_changes() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8)).astype(np.uint8)
    np.testing.assert_array_equal(Augment("rotate,elastic", strength=1e-9, rng=0)(images), images)


def test_a_loader_changes_batches_and_a_data_set_does_not() -> None:
    data = tg.data.Dataset(blob(10), np.arange(10), transform=tg.data.to_vectors)
    loader = tg.data.DataLoader(data, 10, augment=Augment("shift", rng=0))
    ((first, _),), ((second, _),) = list(loader), list(loader)
    assert (first != second).any()
    np.testing.assert_array_equal(data[:][0], data[:][0])
    assert first.shape == (10, 441)


def test_mistakes_are_named() -> None:
    with pytest.raises(OptionError, match=r"augmentation 'rotat'.*rotate"):
        Augment("shift,rotat")
    with pytest.raises(OptionError, match="strength"):
        Augment("shift", strength=0)
    with pytest.raises(OptionError, match=r"shape \(N, H, W\)"):
        Augment("shift")(np.zeros((3, 784)))
