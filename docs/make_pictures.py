"""Draw the pictures of these pages, with the project itself: ``python docs/make_pictures.py``."""

import sys
from pathlib import Path

import numpy as np

import tinygrad_mnist as tg


def expression():
    """The running example of how_it_works.md."""
    x = tg.tensor(2.0, requires_grad=True)
    y = tg.tensor(3.0, requires_grad=True)
    x.name, y.name = "x", "y"
    return tg.viz.draw_graph(x * y + np.sin(x))


def fan_out():
    """A value used twice: its gradient is a sum."""
    x = tg.tensor(2.0, requires_grad=True)
    x.name = "x"
    a = x * x
    return tg.viz.draw_graph(a + np.exp(a))


def second_order():
    """The gradient of a gradient is a graph like any other."""
    x = tg.tensor(2.0, requires_grad=True)
    x.name = "x"
    (x**3).backward(create_graph=True)
    return tg.viz.draw_graph(x.grad)


def classifier():
    """One training step of a two-layer network."""
    model = tg.nn.MLP([784, 128, 10], rng=0)
    images, labels = np.zeros((64, 784), np.float32), np.zeros(64, int)
    return tg.viz.draw_graph(tg.nn.CrossEntropyLoss()(model(images), labels))


def collapsed():
    """A deep network, each module one box."""
    model = tg.nn.MLP([784, 512, 256, 128, 10], dropout=0.2, rng=0)
    images, labels = np.zeros((64, 784), np.float32), np.zeros(64, int)
    loss = tg.nn.CrossEntropyLoss()(model(images), labels)
    return tg.viz.draw_graph(loss, collapse=True)


PICTURES = [expression, fan_out, second_order, classifier, collapsed]


def main(folder):
    for picture in PICTURES:
        tg.viz.render_graph(picture(), Path(folder) / f"{picture.__name__}.svg")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "images")
