"""Evaluation leaves a model as it was, also among threads."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import tinygrad_mnist as tg


class Noisy(tg.nn.Module):
    """Notes whether it ever runs in training."""

    def __init__(self):
        self.dropout, self.frozen, self.seen = tg.nn.Dropout(0.5, rng=0), tg.nn.Dropout(0.5, rng=0), set()
        self.layer = tg.nn.Linear(4, 3, rng=0)

    def forward(self, x):
        self.seen.add((self.training, self.dropout.training, self.frozen.training))
        time.sleep(0.001)  # so that other threads come in between
        return self.frozen(self.dropout(self.layer(x)))


@pytest.mark.parametrize(
    "call", [tg.training.predict, tg.training.evaluate, lambda net, data: net.summary(data[0])]
)
def test_several_threads_may_evaluate_one_model(call):
    x, y = np.ones((8, 4), np.float32), np.zeros(8, int)
    net = Noisy()
    net.frozen.eval()
    with ThreadPoolExecutor(8) as pool:
        for result in [pool.submit(call, net, (x, y)) for _ in range(40)]:
            result.result()
    assert net.seen == {(False, False, False)}
    assert (net.training, net.dropout.training, net.frozen.training) == (True, True, False)


def test_a_model_is_put_back_if_evaluation_fails():
    net = Noisy()
    with pytest.raises(tg.errors.ShapeError):
        tg.training.predict(net, np.ones((2, 5), np.float32))
    assert net.dropout.training
