"""The yardstick: each training step written out by hand in NumPy, as fast as careful NumPy goes.

What makes these programs fast:

- every result goes into a buffer made once (``out=``), so that no step allocates;
- parameters and gradients each live in one flat vector, with a view per layer: one update serves all;
- the backward pass is linear, so SGD's learning rate (and the mean's 1/n) enters once, with the loss's
  gradient, and the update is ``p -= g``;
- weights are stored ``(in, out)`` where that suits the BLAS better than ``(out, in)``;
- a batch of one is a vector: matrix-vector products forward, ``np.dot`` of a column and a row for the
  outer product (``@`` does not hand that one to the BLAS);
- updates of large weights go piece by piece, so that what they read twice is still in the cache;
- bias gradients are ``ones @ g`` (2 to 10 times faster than a sum over axis 0);
- softmax runs on the transposed logits (NumPy reduces a short last axis slowly);
- constants are 0-d float32 arrays, which save the conversion of a Python number at every call.
"""

from __future__ import annotations

import numpy as np

from .workloads import ADAM_BETAS, ADAM_EPS, Build, Read, Step, Workload

HALF, ONE, ZERO = (np.array(value, np.float32) for value in (0.5, 1, 0))


def build(workload: Workload, weights: list[np.ndarray], x: np.ndarray, y: np.ndarray) -> tuple[Step, Read]:
    """Build the program written for ``workload``."""
    return PROGRAMS[workload.number](workload, weights, x, y)


# ---- storage ---------------------------------------------------------------------------------------


class Store:
    """Parameters ``p`` and gradients ``g`` as flat vectors, with one view per layer in ``P`` and ``G``."""

    def __init__(self, weights: list[np.ndarray], *, transposed: bool = True) -> None:
        self.transposed = transposed
        arrays = [w.T if transposed else w for w in weights]
        self.p = np.concatenate([a.ravel() for a in arrays])
        self.g = np.empty_like(self.p)
        ends = np.cumsum([a.size for a in arrays])
        spans = [slice(end - a.size, end) for a, end in zip(arrays, ends, strict=True)]
        self.P = [self.p[s].reshape(a.shape) for a, s in zip(arrays, spans, strict=True)]
        self.G = [self.g[s].reshape(a.shape) for a, s in zip(arrays, spans, strict=True)]

    def read(self) -> list[np.ndarray]:
        return [p.T if self.transposed else p for p in self.P]


def buffers(*shapes: tuple[int, ...] | int) -> list[np.ndarray]:
    return [np.empty(shape, np.float32) for shape in shapes]


def scalar(value: float) -> np.ndarray:
    return np.array(value, np.float32)


# ---- the programs ----------------------------------------------------------------------------------


def sigmoid_16_16_mse(workload, weights, x, y):  # workload 1
    store = Store(weights)
    p, g = store.p, store.g
    (W1, b1, W2, b2, W3, b3), (gW1, gb1, gW2, gb2, gW3, gb3) = store.P, store.G
    n = len(x)
    h1, h2, out, d1, d2, d3, s1, s2 = buffers(*[(n, len(b)) for b in (b1, b2, b3, b1, b2, b3, b1, b2)])
    ones = np.ones(n, np.float32)
    seed, mean = scalar(2 * workload.lr / out.size), 1 / out.size
    xT, h1T, h2T, W2T, W3T = x.T, h1.T, h2.T, W2.T, W3.T
    d3_flat = d3.reshape(-1)

    def step():
        np.matmul(x, W1, out=h1)
        sigmoid(np.add(h1, b1, out=h1))
        np.dot(h1, W2, out=h2)
        sigmoid(np.add(h2, b2, out=h2))
        np.dot(h2, W3, out=out)
        sigmoid(np.add(out, b3, out=out))
        np.subtract(out, y, out=d3)
        loss = float(np.vdot(d3_flat, d3_flat)) * mean

        np.multiply(d3, seed, out=d3)
        np.multiply(d3, out, out=d3)
        np.multiply(d3, np.subtract(ONE, out, out=out), out=d3)
        np.dot(ones, d3, out=gb3)
        np.dot(h2T, d3, out=gW3)
        np.dot(d3, W3T, out=d2)
        sigmoid_backward(d2, h2, s2)
        np.dot(ones, d2, out=gb2)
        np.dot(h1T, d2, out=gW2)
        np.dot(d2, W2T, out=d1)
        sigmoid_backward(d1, h1, s1)
        np.dot(ones, d1, out=gb1)
        np.matmul(xT, d1, out=gW1)
        np.subtract(p, g, out=p)
        return loss

    return step, store.read


def sigmoid_40_mse(workload, weights, x, y):  # workload 2
    store = Store(weights)
    p, g = store.p, store.g
    (W1, b1, W2, b2), (gW1, gb1, gW2, gb2) = store.P, store.G
    n = len(x)
    h, out, d1, d2, s1 = buffers(*[(n, len(b)) for b in (b1, b2, b1, b2, b1)])
    ones = np.ones(n, np.float32)
    seed, mean = scalar(2 * workload.lr / out.size), 1 / out.size
    xT, hT, W2T = x.T, h.T, W2.T
    d2_flat = d2.reshape(-1)

    def step():
        np.dot(x, W1, out=h)
        sigmoid(np.add(h, b1, out=h))
        np.dot(h, W2, out=out)
        sigmoid(np.add(out, b2, out=out))
        np.subtract(out, y, out=d2)
        loss = float(np.vdot(d2_flat, d2_flat)) * mean

        np.multiply(d2, seed, out=d2)
        np.multiply(d2, out, out=d2)
        np.multiply(d2, np.subtract(ONE, out, out=out), out=d2)
        np.dot(ones, d2, out=gb2)
        np.dot(hT, d2, out=gW2)
        np.dot(d2, W2T, out=d1)
        sigmoid_backward(d1, h, s1)
        np.dot(ones, d1, out=gb1)
        np.dot(xT, d1, out=gW1)
        np.subtract(p, g, out=p)
        return loss

    return step, store.read


def sigmoid_100_mse_online(workload, weights, x, y):  # workload 3
    store = Store(weights)
    p, g = store.p, store.g
    (W1, b1, W2, b2), (gW1, gb1, gW2, gb2) = store.P, store.G
    x, y = x[0], y[0]
    h, out, s1 = buffers(len(b1), len(b2), len(b1))
    seed, mean = scalar(2 * workload.lr / out.size), 1 / out.size
    x_column, h_column = x[:, None], h[:, None]
    d1_row, d2_row = gb1[None], gb2[None]  # the gradient of a bias is the gradient of the layer's sum

    def step():
        np.dot(x, W1, out=h)
        sigmoid(np.add(h, b1, out=h))
        np.dot(h, W2, out=out)
        sigmoid(np.add(out, b2, out=out))
        np.subtract(out, y, out=gb2)
        loss = float(np.dot(gb2, gb2)) * mean

        np.multiply(gb2, seed, out=gb2)
        np.multiply(gb2, out, out=gb2)
        np.multiply(gb2, np.subtract(ONE, out, out=out), out=gb2)
        np.dot(W2, gb2, out=gb1)
        np.dot(h_column, d2_row, out=gW2)
        sigmoid_backward(gb1, h, s1)
        np.dot(x_column, d1_row, out=gW1)
        np.subtract(p, g, out=p)
        return loss

    return step, store.read


def relu_548_548_online(workload, weights, x, y):  # workload 4
    store = Store(weights)
    (W1, b1, W2, b2, W3, b3), (_, gb1, _, gb2, _, gb3) = store.P, store.G
    x, label = x[0], int(y[0])
    h1, h2, prob = buffers(len(b1), len(b2), len(b3))
    lr = scalar(workload.lr)
    on1, on2 = np.empty(len(b1), bool), np.empty(len(b2), bool)
    update1, update2, update3 = (
        RankOneUpdate(W1, x, gb1),
        RankOneUpdate(W2, h1, gb2),
        RankOneUpdate(W3, h2, gb3),
    )

    def step():
        np.dot(x, W1, out=h1)
        np.maximum(np.add(h1, b1, out=h1), ZERO, out=h1)
        np.dot(h1, W2, out=h2)
        np.maximum(np.add(h2, b2, out=h2), ZERO, out=h2)
        np.dot(h2, W3, out=prob)
        np.add(prob, b3, out=prob)
        np.subtract(prob, np.maximum.reduce(prob), out=prob)
        logit = prob[label]
        np.exp(prob, out=prob)
        total = np.add.reduce(prob)
        loss = float(np.log(total) - logit)

        np.divide(prob, total, out=prob)
        prob[label] -= ONE
        np.multiply(prob, lr, out=gb3)
        np.dot(W3, gb3, out=gb2)
        np.multiply(gb2, np.greater(h2, ZERO, out=on2), out=gb2)
        np.dot(W2, gb2, out=gb1)
        np.multiply(gb1, np.greater(h1, ZERO, out=on1), out=gb1)
        update3()
        update2()
        update1()
        np.subtract(b3, gb3, out=b3)
        np.subtract(b2, gb2, out=b2)
        np.subtract(b1, gb1, out=b1)
        return loss

    return step, store.read


def sigmoid_72_36_full_batch(workload, weights, x, y):  # workload 5
    store = Store(weights, transposed=False)  # (out, in): the long sums over the batch run faster this way
    p, g = store.p, store.g
    (W1, b1, W2, b2, W3, b3), (gW1, gb1, gW2, gb2, gW3, gb3) = store.P, store.G
    n, classes = len(x), len(b3)
    h1, h2, logits, d1, d2 = buffers(*[(n, len(b)) for b in (b1, b2, b3, b1, b2)])
    ones = np.ones(n, np.float32)
    softmax = SoftmaxCrossEntropy(n, classes, y, workload.lr)
    W1T, W2T, W3T, d1T, d2T = W1.T, W2.T, W3.T, d1.T, d2.T
    d3T = softmax.gradient  # (classes, batch)
    d3 = d3T.T

    def step():
        np.matmul(x, W1T, out=h1)
        sigmoid_large(np.add(h1, b1, out=h1))
        np.matmul(h1, W2T, out=h2)
        sigmoid_large(np.add(h2, b2, out=h2))
        np.matmul(h2, W3T, out=logits)
        loss = softmax(np.add(logits, b3, out=logits))

        np.dot(d3T, ones, out=gb3)
        np.matmul(d3T, h2, out=gW3)
        np.matmul(d3, W3, out=d2)
        sigmoid_backward_large(d2, h2)
        np.dot(ones, d2, out=gb2)
        np.matmul(d2T, h1, out=gW2)
        np.matmul(d2, W2, out=d1)
        sigmoid_backward_large(d1, h1)
        np.dot(ones, d1, out=gb1)
        np.matmul(d1T, x, out=gW1)
        np.subtract(p, g, out=p)
        return loss

    return step, store.read


def relu_128(workload, weights, x, y):  # workload 6
    store = Store(weights)
    p, g = store.p, store.g
    (W1, b1, W2, b2), (gW1, gb1, gW2, gb2) = store.P, store.G
    n, classes = len(x), len(b2)
    h, logits, d1 = buffers((n, len(b1)), (n, classes), (n, len(b1)))
    on = np.empty(h.shape, bool)
    ones = np.ones(n, np.float32)
    softmax = SoftmaxCrossEntropy(n, classes, y, workload.lr)
    xT, hT, W2T = x.T, h.T, W2.T
    d2T = softmax.gradient
    d2 = d2T.T

    def step():
        np.matmul(x, W1, out=h)
        np.maximum(np.add(h, b1, out=h), ZERO, out=h)
        np.matmul(h, W2, out=logits)
        loss = softmax(np.add(logits, b2, out=logits))

        np.dot(d2T, ones, out=gb2)
        np.matmul(hT, d2, out=gW2)
        np.matmul(d2, W2T, out=d1)
        np.multiply(d1, np.greater(h, ZERO, out=on), out=d1)
        np.dot(ones, d1, out=gb1)
        np.matmul(xT, d1, out=gW1)
        np.subtract(p, g, out=p)
        return loss

    return step, store.read


def relu_512_256_adam(workload, weights, x, y):  # workload 7
    store = Store(weights)
    (W1, b1, W2, b2, W3, b3), (gW1, gb1, gW2, gb2, gW3, gb3) = store.P, store.G
    n, classes = len(x), len(b3)
    h1, h2, logits, d1, d2 = buffers(*[(n, len(b)) for b in (b1, b2, b3, b1, b2)])
    on1, on2 = np.empty(h1.shape, bool), np.empty(h2.shape, bool)
    ones = np.ones(n, np.float32)
    softmax = SoftmaxCrossEntropy(n, classes, y, 1.0)
    update = Adam(store.p, store.g, workload.lr)
    xT, h1T, h2T, W2T, W3T = x.T, h1.T, h2.T, W2.T, W3.T
    d3T = softmax.gradient
    d3 = d3T.T

    def step():
        np.matmul(x, W1, out=h1)
        np.maximum(np.add(h1, b1, out=h1), ZERO, out=h1)
        np.matmul(h1, W2, out=h2)
        np.maximum(np.add(h2, b2, out=h2), ZERO, out=h2)
        np.matmul(h2, W3, out=logits)
        loss = softmax(np.add(logits, b3, out=logits))

        np.dot(d3T, ones, out=gb3)
        np.matmul(h2T, d3, out=gW3)
        np.matmul(d3, W3T, out=d2)
        np.multiply(d2, np.greater(h2, ZERO, out=on2), out=d2)
        np.dot(ones, d2, out=gb2)
        np.matmul(h1T, d2, out=gW2)
        np.matmul(d2, W2T, out=d1)
        np.multiply(d1, np.greater(h1, ZERO, out=on1), out=d1)
        np.dot(ones, d1, out=gb1)
        np.matmul(xT, d1, out=gW1)
        update()
        return loss

    return step, store.read


PROGRAMS: dict[int, Build] = {
    1: sigmoid_16_16_mse,
    2: sigmoid_40_mse,
    3: sigmoid_100_mse_online,
    4: relu_548_548_online,
    5: sigmoid_72_36_full_batch,
    6: relu_128,
    7: relu_512_256_adam,
}

# ---- their parts -----------------------------------------------------------------------------------


def sigmoid(z: np.ndarray) -> None:
    """``1 / (1 + exp(-z))`` in place: the quicker form up to some thousand elements."""
    np.negative(z, out=z)
    np.exp(z, out=z)
    np.add(z, ONE, out=z)
    np.reciprocal(z, out=z)


def sigmoid_large(z: np.ndarray) -> None:
    """``½ tanh(z / 2) + ½`` in place: the quicker form for large arrays."""
    np.multiply(z, HALF, out=z)
    np.tanh(z, out=z)
    np.multiply(z, HALF, out=z)
    np.add(z, HALF, out=z)


def sigmoid_backward(d: np.ndarray, y: np.ndarray, scratch: np.ndarray) -> None:
    """``d *= y - y²``: the order that needs no constant. Leaves ``y`` as it is."""
    np.multiply(y, y, out=scratch)
    np.subtract(y, scratch, out=scratch)
    np.multiply(d, scratch, out=d)


def sigmoid_backward_large(d: np.ndarray, y: np.ndarray) -> None:
    """``d *= y (1 - y)`` without scratch memory. Leaves ``y`` as it is."""
    np.multiply(d, y, out=d)
    np.subtract(ONE, y, out=y)
    np.multiply(d, y, out=d)
    np.subtract(ONE, y, out=y)


class SoftmaxCrossEntropy:
    """Mean cross-entropy of row-major logits; afterwards ``gradient`` holds its gradient, transposed."""

    def __init__(self, n: int, classes: int, labels: np.ndarray, scale: float) -> None:
        self.gradient, self.row, self.picked = buffers((classes, n), n, n)
        self.flat = self.gradient.reshape(-1)
        self.columns = np.arange(n)
        self.at_label = np.empty(n, np.intp)
        self.n, self.labels = n, labels
        self.mean, self.scale = 1 / n, scalar(scale / n)

    def __call__(self, logits: np.ndarray) -> float:
        t, row, flat = self.gradient, self.row, self.flat
        np.multiply(self.labels, self.n, out=self.at_label)
        np.add(self.at_label, self.columns, out=self.at_label)
        np.copyto(t, logits.T)
        np.maximum.reduce(t, axis=0, out=row)
        np.subtract(t, row, out=t)
        np.take(flat, self.at_label, out=self.picked, mode="clip")
        np.exp(t, out=t)
        np.add.reduce(t, axis=0, out=row)
        np.divide(t, row, out=t)
        flat[self.at_label] -= ONE
        np.multiply(t, self.scale, out=t)
        np.log(row, out=row)
        np.subtract(row, self.picked, out=row)
        return float(np.add.reduce(row)) * self.mean


class RankOneUpdate:
    """``W -= outer(column, row)``, in pieces whose outer product stays in the cache."""

    def __init__(self, W: np.ndarray, column: np.ndarray, row: np.ndarray, rows: int = 128) -> None:
        (scratch,) = buffers((min(rows, len(W)), len(row)))
        spans = [slice(i, min(i + rows, len(W))) for i in range(0, len(W), rows)]
        self.pieces = [(W[s], column[s, None], scratch[: s.stop - s.start]) for s in spans]
        self.row = row[None]

    def __call__(self) -> None:
        row = self.row
        for W, column, outer in self.pieces:
            np.dot(column, row, out=outer)
            np.subtract(W, outer, out=W)


class Adam:
    """Adam [1]_ in ten passes over one flat vector, in pieces that stay in the cache.

    The moments are kept as ``M = m / (1 - β₁)`` and ``V = v / (1 - β₂)``, which saves two multiplications
    by a constant, and the bias corrections become two numbers per step.

    References
    ----------
    .. [1] D. P. Kingma and J. Ba, Adam: a method for stochastic optimization, 2015.
    """

    def __init__(self, p: np.ndarray, g: np.ndarray, lr: float, piece: int = 65_536) -> None:
        M, V, scratch = np.zeros_like(p), np.zeros_like(p), np.empty(min(piece, p.size), np.float32)
        spans = [slice(i, min(i + piece, p.size)) for i in range(0, p.size, piece)]
        self.pieces = [(p[s], g[s], M[s], V[s], scratch[: s.stop - s.start]) for s in spans]
        self.lr, self.t = lr, 0

    def __call__(self) -> None:
        self.t += 1
        beta1, beta2 = ADAM_BETAS
        shrink = ((1 - beta2) / (1 - beta2**self.t)) ** 0.5  # √v̂ = shrink · √V
        rate = scalar(self.lr * (1 - beta1) / (1 - beta1**self.t) / shrink)
        eps, beta1, beta2 = scalar(ADAM_EPS / shrink), scalar(beta1), scalar(beta2)
        for p, g, M, V, s in self.pieces:
            np.multiply(M, beta1, out=M)
            np.add(M, g, out=M)
            np.multiply(V, beta2, out=V)
            np.multiply(g, g, out=s)
            np.add(V, s, out=V)
            np.sqrt(V, out=s)
            np.add(s, eps, out=s)
            np.divide(M, s, out=s)
            np.multiply(s, rate, out=s)
            np.subtract(p, s, out=p)
