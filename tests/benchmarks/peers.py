"""The same training steps in other frameworks, each as a user who knows it well would write it.

A peer is a function ``build`` (see ``workloads``); to add one, write it and name it in ``PEERS``. Here are the
two that run on NumPy, and what they do not offer (the update) is lean in-place NumPy; those with kernels of
their own are in ``compilers``. Imports happen inside ``build``, so that a missing peer costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .compilers import COMPILERS, why_missing
from .workloads import ADAM_BETAS, ADAM_EPS, Build, Read, Step, Workload


def autograd(workload: Workload, weights: list, x: np.ndarray, y: np.ndarray) -> tuple[Step, Read]:
    """HIPS autograd: ``value_and_grad`` of a function of the list of parameters.

    Weights are ``(in, out)`` and multiplied by ``@``, except for a batch of one, where ``dot`` and
    ``(out, in)`` are faster: there the gradient rule of ``@`` never reaches the BLAS. The labels are
    one-hot, since the gradient of an indexing is ``np.add.at``; the mask of relu and the row maximum, which
    only keeps ``exp`` from overflowing, stay outside the graph.
    """
    import autograd.numpy as anp
    from autograd import value_and_grad
    from autograd.tracer import getval

    online = workload.batch == 1
    params = [np.array(w if online else w.T, order="C") for w in weights]
    target = y if workload.loss == "mse" else np.eye(workload.sizes[-1], dtype=np.float32)[y]

    def linear(h, W, b):
        return (anp.dot(h, W.T) if online else h @ W) + b

    def sigmoid(z):
        return 0.5 * anp.tanh(0.5 * z) + 0.5

    def relu(z):
        return z * (getval(z) > 0)

    def mse(out):
        difference = out - target
        return anp.sum(difference * difference) * (1 / target.size)

    def cross_entropy(logits):
        shifted = logits - getval(logits).max(axis=1, keepdims=True)
        log_total = anp.log(anp.sum(anp.exp(shifted), axis=1))
        return (anp.sum(log_total) - anp.sum(shifted * target)) * (1 / len(target))

    activations = {"sigmoid": sigmoid, "relu": relu, None: lambda z: z}
    hidden, output = activations[workload.activation], activations[workload.output]
    loss_of = {"mse": mse, "cross_entropy": cross_entropy}[workload.loss]

    last = len(params) - 2

    def forward(params):
        h = x
        for i in range(0, last, 2):
            h = hidden(linear(h, params[i], params[i + 1]))
        return loss_of(output(linear(h, params[last], params[last + 1])))

    value_and_gradient = value_and_grad(forward)
    update = UPDATES[workload.optimizer](params, workload.lr)

    def step() -> float:
        loss, gradients = value_and_gradient(params)
        update(gradients)
        return float(loss)

    return step, lambda: params if online else [p.T for p in params]


def mygrad(workload: Workload, weights: list, x: np.ndarray, y: np.ndarray) -> tuple[Step, Read]:
    """MyGrad, with its fused sigmoid, relu and softmax_crossentropy, and memory guarding switched off.

    Weights are ``(in, out)``. For a batch of one, hidden layers use ``einsum``, since the gradient rule of
    ``matmul`` never reaches the BLAS there.
    """
    import mygrad as mg
    from mygrad.nnet.activations import relu, sigmoid
    from mygrad.nnet.losses import softmax_crossentropy

    mg.turn_memory_guarding_off()
    params = [mg.tensor(np.array(w.T, order="C")) for w in weights]
    activations = {"sigmoid": sigmoid, "relu": relu, None: lambda z: z}
    hidden, output = activations[workload.activation], activations[workload.output]

    def linear(h, W, b):
        return mg.matmul(h, W) + b

    def linear_online(h, W, b):
        return mg.einsum("bi,io->bo", h, W) + b

    hidden_linear = linear_online if workload.batch == 1 else linear

    def mse(out):
        difference = out - y
        return mg.sum(difference * difference) * (1 / y.size)

    loss_of = {"mse": mse, "cross_entropy": lambda logits: softmax_crossentropy(logits, y)}[workload.loss]
    update = UPDATES[workload.optimizer]([p.data for p in params], workload.lr)

    def step() -> float:
        h = x
        for W, b in zip(params[:-2:2], params[1:-2:2], strict=True):
            h = hidden(hidden_linear(h, W, b))
        loss = loss_of(output(linear(h, *params[-2:])))
        loss.backward()
        update([p.grad for p in params])
        return loss.item()

    return step, lambda: [p.data.T for p in params]


PEERS: dict[str, Build] = {"autograd": autograd, "mygrad": mygrad, **COMPILERS}


def installed_peers() -> dict[str, Build]:
    """Return the peers that can run here."""
    return {name: build for name, build in PEERS.items() if not why_missing(name)}


# ---- updates, in place, for gradients that may be overwritten --------------------------------------


def sgd(params: list[np.ndarray], lr: float) -> Callable[[list[np.ndarray]], None]:
    def update(gradients: list[np.ndarray]) -> None:
        for p, g in zip(params, gradients, strict=True):
            np.multiply(g, lr, out=g)
            np.subtract(p, g, out=p)

    return update


def adam(params: list[np.ndarray], lr: float) -> Callable[[list[np.ndarray]], None]:
    """Adam with its moments kept as ``m / (1 - β₁)`` and ``v / (1 - β₂)``: the fewest passes."""
    beta1, beta2 = ADAM_BETAS
    state = [(p, np.zeros_like(p), np.zeros_like(p)) for p in params]
    t = 0

    def update(gradients: list[np.ndarray]) -> None:
        nonlocal t
        t += 1
        shrink = ((1 - beta2) / (1 - beta2**t)) ** 0.5
        rate = lr * (1 - beta1) / (1 - beta1**t) / shrink
        for (p, M, V), g in zip(state, gradients, strict=True):
            np.multiply(M, beta1, out=M)
            np.add(M, g, out=M)
            np.multiply(V, beta2, out=V)
            np.multiply(g, g, out=g)
            np.add(V, g, out=V)
            np.sqrt(V, out=g)
            np.add(g, ADAM_EPS / shrink, out=g)
            np.divide(M, g, out=g)
            np.multiply(g, rate, out=g)
            np.subtract(p, g, out=p)

    return update


UPDATES = {"sgd": sgd, "adam": adam}
