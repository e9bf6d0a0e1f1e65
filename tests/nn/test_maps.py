"""What the channels of a convolution see: the arrays that the next one gets."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_mnist import nn

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(2, 1, 8, 8)).astype(np.float32)


def test_maps_are_what_the_next_layer_gets():
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3, rng=0), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 2, 2, rng=0),
        nn.ReLU(), nn.Flatten(), nn.Linear(8, 4, rng=0),
    )  # fmt: skip
    model.train()
    before = model.state_dict()
    maps = nn.feature_maps(model, IMAGES)
    assert model.training
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])  # the batch norm has learned nothing
    model.eval()
    first = model[3](model[2](model[1](model[0](IMAGES)))).data
    np.testing.assert_array_equal(maps["0"], first)
    np.testing.assert_array_equal(maps["4"], model[5](model[4](first)).data)
    assert list(maps) == ["0", "4"]


def test_a_pool_to_one_pixel_does_not_count():
    model = nn.Sequential(nn.Conv2d(1, 3, 3, rng=0), nn.AdaptiveAvgPool2d(1))
    assert nn.feature_maps(model, IMAGES)["0"].shape == (2, 3, 6, 6)


@pytest.mark.parametrize("model", [nn.MLP([4, 2], rng=0), nn.Sequential(nn.Unflatten(1, (1, 2, 2)))])
def test_without_convolutions_there_are_none(model):
    assert nn.feature_maps(model, np.zeros((1, 4), np.float32)) == {}
