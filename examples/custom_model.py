"""A model made only of Tensor operations: no layers, no optimizer, no loss from the library.

A small network, written line by line in NumPy, separates points on two interleaved spirals. The
weights are plain Tensors, the update is one line, and the gradients are checked against finite
differences before training starts.

    python examples/custom_model.py
"""

import numpy as np

import tinygrad_mnist as tg


def spirals(n, rng):
    """Return n points in the plane, shape (n, 2), and the number of the spiral of each, shape (n,)."""
    which = np.arange(n) % 2
    turn = np.sqrt(rng.uniform(0.02, 1, n)) * 2.5 * np.pi
    angle = turn + np.pi * which
    points = np.stack([turn * np.cos(angle), turn * np.sin(angle)], axis=1) / 8
    return points + rng.normal(0, 0.02, points.shape), which


def network(x, w1, b1, w2, b2, w3):
    h = np.tanh(x @ w1 + b1)
    h = np.tanh(h @ w2 + b2)
    return (h @ w3)[:, 0]


def loss_of(scores, which):
    """Logistic loss: log(1 + exp(-s)) for points of spiral 1, log(1 + exp(s)) for those of spiral 0."""
    return np.mean(np.logaddexp(0, np.where(which == 1, -scores, scores)))


def main(steps=1500, seed=0):
    rng = np.random.default_rng(seed)
    points, which = spirals(400, rng)
    shapes = [(2, 24), (24,), (24, 24), (24,), (24, 1)]
    weights = [tg.tensor(rng.normal(0, 1.5 / np.sqrt(s[0]), s), requires_grad=True) for s in shapes]

    tg.testing.gradcheck(lambda *w: loss_of(network(points[:5], *w), which[:5]), *weights)
    print("gradients agree with finite differences")

    velocity = [np.zeros(w.shape) for w in weights]
    for step in range(1, steps + 1):
        loss = loss_of(network(points, *weights), which)
        loss.backward()
        with tg.no_grad():
            for w, v in zip(weights, velocity, strict=True):
                v[:] = 0.9 * v - 0.1 * w.grad.data
                w += v
                w.zero_grad()
        if step % max(steps // 5, 1) == 0:
            print(f"step {step:5d}  loss {loss:.4f}")

    with tg.no_grad():
        right = np.mean((network(points, *weights) > 0) == which)
    print(f"{right:.1%} of the points on the right spiral")
    return float(right)


if __name__ == "__main__":
    main()
