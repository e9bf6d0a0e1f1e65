"""Recurrent networks over a whole sequence: one step after the other forward, and back through time.

Each operation is one layer in one direction. It gets what the inputs contribute to all steps (the product of all
inputs with their weights is one large product), the state before the first step, and the weights of the state. One
rule gives the gradients of all its arguments, because they have the way back through time in common [1]_.

.. [1] P. J. Werbos, "Backpropagation through time: what it does and how to do it", Proc. IEEE 78 (1990).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from ..graph import SCOPE, Node, is_recording
from ..primitive import Primitive, pack, primitive
from ..tensor import Tensor, record
from ..typing import Array, NDArray
from .linear import rows
from .network import sigmoid

__all__ = ["gru", "lstm", "rnn"]

Arrays = tuple[Array, ...]


def rnn(x: Array, h: Array, weight: Array, nonlinearity: str = "tanh") -> Array:
    """``h = f(x[t] + h @ weight.T)`` for each step ``t`` [1]_.

    Parameters
    ----------
    x : shape (T, N, H)
        What the inputs and biases contribute to each step, in N sequences.
    h : shape (N, H)
        The state before the first step.
    weight : shape (H, H)
    nonlinearity : {'tanh', 'relu'}

    Returns
    -------
    shape (T, N, H)
        The state after each step.

    References
    ----------
    .. [1] J. L. Elman, "Finding structure in time", Cognitive Science 14 (1990).
    """
    return _together(_rnn, x, h, weight, nonlinearity=nonlinearity)


@primitive(name="rnn")
def _rnn(inputs: Arrays, /, nonlinearity: str) -> Array:
    x, h, weight = inputs
    states = []
    for t in range(len(x)):
        h = x[t] + h @ weight.T
        h = np.tanh(h) if nonlinearity == "tanh" else np.maximum(h, 0)
        states.append(h)
    return np.stack(states)


def _rnn_rule(g: Array, y: Array, inputs: Arrays, nonlinearity: str) -> Arrays:
    x, h, weight = inputs
    slope = 1 - y * y if nonlinearity == "tanh" else (y > 0).astype(y.dtype)
    d: list[Array] = []
    back: Any = 0
    for t in reversed(range(len(x))):
        d.append((g[t] + back) * slope[t])
        back = d[-1] @ weight
    dx = np.stack(d[::-1])
    return dx, back, _weights(dx, _before(y, h))


def lstm(x: Array, h: Array, c: Array, weight: Array) -> tuple[Array, Array]:
    """Long short-term memory: cells that gates write, keep and read [1]_.

    For each step, the gates are ``i, f, n, o = split(x[t] + h @ weight.T)``, then::

        c = sigmoid(f) * c + sigmoid(i) * tanh(n)
        h = sigmoid(o) * tanh(c)

    Parameters
    ----------
    x : shape (T, N, 4H)
        What the inputs and biases contribute to the gates of each step, in N sequences.
    h, c : shape (N, H)
        The state and the cells before the first step.
    weight : shape (4H, H)

    Returns
    -------
    two arrays of shape (T, N, H)
        The state and the cells after each step.

    References
    ----------
    .. [1] S. Hochreiter, J. Schmidhuber, "Long short-term memory", Neural Computation 9 (1997).
    """
    return _together(_lstm, x, h, c, weight)


@primitive(name="lstm")
def _lstm(inputs: Arrays, /) -> Arrays:
    x, h, c, weight = inputs
    states, cells = [], []
    for t in range(len(x)):
        i, f, n, o = _gates(x[t] + h @ weight.T)
        c = f * c + i * n
        h = o * np.tanh(c)
        states.append(h)
        cells.append(c)
    return np.stack(states), np.stack(cells)


def _gates(a: Array) -> list[Array]:
    """The three sigmoids and the hyperbolic tangent of an LSTM, as one: ``sigmoid(a)`` is ``tanh(a/2)/2 + 1/2``."""
    scale, shift = _scale_and_shift(a.shape[-1], a.dtype)
    gates, size = np.tanh(a * scale) * scale + shift, a.shape[-1] // 4
    return [gates[..., k : k + size] for k in range(0, 4 * size, size)]


@lru_cache(maxsize=64)
def _scale_and_shift(size: int, dtype: Any) -> tuple[NDArray, NDArray]:
    scale, shift = np.full((2, 4, size // 4), 0.5, dtype)
    scale[2], shift[2] = 1, 0
    return scale.reshape(-1), shift.reshape(-1)


def _lstm_rule(g: Arrays, y: Arrays, inputs: Arrays) -> Arrays:
    (gh, gc), (hs, cs), (x, h, c, weight) = g, y, inputs
    h_before, c_before = _before(hs, h), _before(cs, c)
    i, f, n, o = _gates(x + _product(h_before, weight))
    tanh = np.tanh(cs)
    # The slopes of the cells in the first three gates, and of the state in the last gate and in the cells.
    slopes = np.stack([n * i * (1 - i), c_before * f * (1 - f), i * (1 - n * n)], axis=-2)
    slope_o, slope_c = tanh * o * (1 - o), o * (1 - tanh * tanh)
    d: list[Array] = []
    dh: Any = 0
    dc: Any = 0
    for t in reversed(range(len(x))):
        dh = gh[t] + dh
        dc = gc[t] + dc + dh * slope_c[t]
        to_gates = [dc[:, None] * slopes[t], (dh * slope_o[t])[:, None]]
        d.append(np.reshape(np.concatenate(to_gates, axis=1), x.shape[1:]))
        dh = d[-1] @ weight
        dc = dc * f[t]
    dx = np.stack(d[::-1])
    return dx, dh, dc, _weights(dx, h_before)


def gru(x: Array, h: Array, weight: Array, bias: Array) -> Array:
    """Gated recurrent units: a state that gates reset and renew [1]_.

    For each step, with ``a, b, n = split(x[t])`` and ``p, q, s = split(h @ weight.T + bias)``::

        r, z = sigmoid(a + p), sigmoid(b + q)
        n = tanh(n + r * s)
        h = (1 - z) * n + z * h

    Parameters
    ----------
    x : shape (T, N, 3H)
        What the inputs and their biases contribute to each step, in N sequences.
    h : shape (N, H)
        The state before the first step.
    weight : shape (3H, H)
    bias : shape (3H,)

    Returns
    -------
    shape (T, N, H)
        The state after each step.

    References
    ----------
    .. [1] K. Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical machine
       translation", EMNLP 2014.
    """
    return _together(_gru, x, h, weight, bias)


@primitive(name="gru")
def _gru(inputs: Arrays, /) -> Array:
    x, h, weight, bias = inputs
    states = []
    for t in range(len(x)):
        _, z, n, _ = _units(x[t], h @ weight.T + bias)
        h = n + z * (h - n)
        states.append(h)
    return np.stack(states)


def _units(x: Array, from_state: Array) -> Arrays:
    size = x.shape[-1] // 3
    gates = sigmoid(x[..., : 2 * size] + from_state[..., : 2 * size])
    r, z, s = gates[..., :size], gates[..., size:], from_state[..., 2 * size :]
    return r, z, np.tanh(x[..., 2 * size :] + r * s), s


def _gru_rule(g: Array, y: Array, inputs: Arrays) -> Arrays:
    x, h, weight, bias = inputs
    before = _before(y, h)
    r, z, n, s = _units(x, _product(before, weight) + bias)
    # The slopes of the state in what the state contributed to r, z and n, and in what the input contributed to n.
    slope = (1 - z) * (1 - n * n)
    slopes = np.stack([slope * s * r * (1 - r), (before - n) * z * (1 - z), slope * r, slope], axis=-2)
    d: list[Array] = []
    dh: Any = 0
    for t in reversed(range(len(x))):
        dh = g[t] + dh
        d.append(np.reshape(dh[:, None] * slopes[t], (len(dh), 4 * dh.shape[1])))
        dh = dh * z[t] + d[-1][:, : len(weight)] @ weight
    size = h.shape[1]
    every = np.stack(d[::-1])
    by_state = every[..., : 3 * size]
    dx = np.concatenate([every[..., : 2 * size], every[..., 3 * size :]], axis=-1)
    return dx, dh, _weights(by_state, before), np.sum(rows(by_state), axis=0)


def _before(y: Array, first: Array) -> Array:
    """The state before each step."""
    return np.concatenate([first[None], y[:-1]])


def _product(states: Array, weight: Array) -> Array:
    """What the states contribute to all steps, in one large product."""
    return np.reshape(rows(states) @ weight.T, (*states.shape[:2], len(weight)))


def _weights(d: Array, before: Array) -> Array:
    return rows(d).T @ rows(before)


def _together(operation: Primitive, *arrays: Any, **settings: Any) -> Any:
    """Call an operation on several arrays as one argument, a tuple, so that one rule gives all their gradients."""
    values: Any = tuple(x._array if isinstance(x, Tensor) else x for x in arrays)
    if not any(isinstance(x, Tensor) for x in arrays):
        return operation.forward(values, **settings)
    parents = [(i, x.node) for i, x in enumerate(arrays) if isinstance(x, Tensor) and x.node is not None]
    packed = Tensor.__new__(Tensor)
    packed._array, packed._node = values, None
    if parents and is_recording():
        packed._node = Node(pack, values, values, {}, parents, SCOPE.get())
    return record(operation, (packed,), settings)


_rnn.vjp(_rnn_rule)
_lstm.vjp(_lstm_rule)
_gru.vjp(_gru_rule)
