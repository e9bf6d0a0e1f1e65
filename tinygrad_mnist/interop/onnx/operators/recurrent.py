"""Recurrent networks: RNN, LSTM and GRU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ....errors import ShapeError, UnsupportedError
from ....nn import functional as F  # noqa: N812
from ....ops import recurrence
from .table import operator

#: For each of our gates, its number among those of ONNX.
_ORDERS = {"RNN": [0], "LSTM": [0, 2, 3, 1], "GRU": [1, 0, 2]}
_ACTIVATIONS = {"RNN": ["tanh"], "LSTM": ["sigmoid", "tanh", "tanh"], "GRU": ["sigmoid", "tanh"]}


def _network(
    name: str, x: Any, w: Any, r: Any, b: Any = None, lengths: Any = None, starts: Sequence[Any] = (),
    peepholes: Any = None, *, activations: Any = None, activation_alpha: Any = None, activation_beta: Any = None,
    clip: float | None = None, direction: str = "forward", hidden_size: int | None = None, layout: int = 0,
    input_forget: int = 0, linear_before_reset: int = 0,
) -> Any:  # fmt: skip
    """Run one layer in one direction or in both, with our own operations."""
    if lengths is not None and {int(n) for n in lengths} != {x.shape[1 if layout else 0]}:
        raise UnsupportedError("sequences of several lengths")
    if clip is not None or input_forget or peepholes is not None:
        raise UnsupportedError("a clip, input_forget or peepholes")
    directions = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}[direction]
    wanted = (
        [str(text).lower() for text in activations] if activations else _ACTIVATIONS[name] * len(directions)
    )
    nonlinearity = wanted[0]
    if wanted != _ACTIVATIONS[name] * len(directions) and not (name == "RNN" and set(wanted) == {"relu"}):
        raise UnsupportedError(f"the activations {', '.join(wanted)}")
    if layout:
        x = np.swapaxes(x, 0, 1)
        starts = [None if s is None else np.swapaxes(s, 0, 1) for s in starts]
    steps, batch, size = x.shape
    hidden = r.shape[-1]
    expected = (len(directions), batch, hidden)
    for start in starts:
        if start is not None and start.shape != expected:
            raise ShapeError(f"a first state of shape {start.shape}, not {expected}")
    outputs, lasts = [], []
    for i, is_reverse in enumerate(directions):
        order = np.concatenate([np.arange(k * hidden, (k + 1) * hidden) for k in _ORDERS[name]])
        w_ih, w_hh = w[i][order], r[i][order]
        b_ih, b_hh = (None, None) if b is None else (b[i][order], b[i][len(order) + order])
        first = [np.zeros((batch, hidden), x.dtype) if s is None else s[i] for s in starts]
        y = x[::-1] if is_reverse else x
        inside = name == "GRU"
        bias: Any = b_ih if b_ih is None or inside else b_ih + b_hh
        flat = F.linear(np.reshape(y, (steps * batch, size)), w_ih, bias)
        product = np.reshape(flat, (steps, batch, len(order)))
        if name == "RNN":
            found: Any = (recurrence.rnn(product, first[0], w_hh, nonlinearity),)
        elif name == "LSTM":
            found = recurrence.lstm(product, first[0], first[1], w_hh)
        elif linear_before_reset:
            inner = np.zeros(3 * hidden, x.dtype) if b_hh is None else b_hh
            found = (recurrence.gru(product, first[0], w_hh, inner),)
        else:
            found = (_gru_reset_first(product, first[0], w_hh, b_hh),)
        outputs.append(found[0][::-1] if is_reverse else found[0])
        lasts.append([states[-1] for states in found])
    y = np.stack(outputs, axis=1)
    last = [np.stack(states) for states in zip(*lasts, strict=True)]
    if layout:
        return (np.transpose(y, (2, 0, 1, 3)), *(np.swapaxes(s, 0, 1) for s in last))
    return (y, *last)


def _gru_reset_first(x: Any, h: Any, weight: Any, bias: Any) -> Any:
    """Gated recurrent units as they were published: the state is reset before the product with its weights."""
    size, states = h.shape[1], []
    x = x if bias is None else x + bias
    for t in range(len(x)):
        gates = F.sigmoid(x[t][:, : 2 * size] + h @ weight[: 2 * size].T)
        reset, update = gates[:, :size], gates[:, size:]
        new = np.tanh(x[t][:, 2 * size :] + (reset * h) @ weight[2 * size :].T)
        h = new + update * (h - new)
        states.append(h)
    return np.stack(states)


@operator("RNN")
def _rnn(x: Any, w: Any, r: Any, b: Any = None, lengths: Any = None, h: Any = None, **settings: Any) -> Any:
    return _network("RNN", x, w, r, b, lengths, [h], **settings)


@operator("GRU")
def _gru(x: Any, w: Any, r: Any, b: Any = None, lengths: Any = None, h: Any = None, **settings: Any) -> Any:
    return _network("GRU", x, w, r, b, lengths, [h], **settings)


@operator("LSTM")
def _lstm(
    x: Any, w: Any, r: Any, b: Any = None, lengths: Any = None, h: Any = None, c: Any = None, p: Any = None,
    **settings: Any,
) -> Any:  # fmt: skip
    return _network("LSTM", x, w, r, b, lengths, [h, c], p, **settings)
