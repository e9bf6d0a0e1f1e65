"""Forms of convolutions, pools and recurrent networks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..recording import Call, Operand
from ..writing import Writer
from .table import form, refuse


def _windows(call: Call) -> dict[str, Any]:
    """The settings of a convolution or a pool."""
    s = call.settings
    (top, bottom), (left, right) = s["padding"]
    found = {"strides": list(s["stride"]), "pads": [top, left, bottom, right]}
    return found | ({"dilations": list(s["dilation"])} if "dilation" in s else {})


@form("conv2d")
def _conv2d(w: Writer, call: Call) -> str:
    dtype = call.results[0].dtype
    args = [w.as_type(x, dtype) for x in call.args if x is not None]
    return str(w("Conv", *args, group=call.settings["groups"], **_windows(call)))


@form("conv_transpose2d")
def _conv_transpose2d(w: Writer, call: Call) -> str:
    s, (x, weight) = call.settings, call.args
    dtype = call.results[0].dtype
    found = [
        (n - 1) * step + d * (k - 1) + 1 - sum(pad)
        for n, step, d, k, pad in zip(
            x.shape[2:], s["stride"], s["dilation"], weight.shape[2:], s["padding"], strict=True
        )
    ]
    more = [w.number(n) - m for n, m in zip(s["size"], found, strict=True)]
    if min(more) < 0:
        raise refuse(call, f"of the size {s['size']}")
    settings = _windows(call) | ({"output_padding": more} if any(more) else {})
    args = w.as_type(x, dtype), w.as_type(weight, dtype)
    return str(w("ConvTranspose", *args, group=s["groups"], **settings))


@form("max_pool2d")
def _max_pool2d(w: Writer, call: Call) -> str:
    return str(w("MaxPool", call.args[0], kernel_shape=list(call.settings["kernel"]), **_windows(call)))


@form("window_sum")
def _window_sum(w: Writer, call: Call) -> str:
    kernel = list(call.settings["kernel"])
    settings: dict[str, Any] = {"kernel_shape": kernel, "count_include_pad": 1, **_windows(call)}
    mean = w("AveragePool", call.args[0], **settings)
    return str(w("Mul", mean, np.array(math.prod(kernel), call.results[0].dtype)))


# -- recurrent networks --------------------------------------------------------------------------------------------

#: For each network: its operator, and the order in which ONNX has our gates.
_NETWORKS: dict[str, tuple[str, list[int]]] = {
    "rnn": ("RNN", [0]), "lstm": ("LSTM", [0, 3, 1, 2]), "gru": ("GRU", [1, 0, 2]),
}  # fmt: skip


@form("rnn", "lstm", "gru")
def _recurrent(w: Writer, call: Call) -> Any:
    """ONNX multiplies the inputs with their weights itself, and has the gates in another order."""
    operator, order = _NETWORKS[call.primitive.name]
    x, h, *rest = call.args[0]
    dtype, rows = call.results[0].dtype, x.shape[2]
    cells, (weight, *biases) = (rest[:1], rest[1:]) if operator == "LSTM" else ([], rest)
    size = rows // len(order)

    def ordered(value: Any) -> Any:
        """The rows of all gates in the order of ONNX, for one direction."""
        places = np.concatenate([np.arange(i * size, (i + 1) * size) for i in order])
        picked = value if order == [0] else w("Gather", value, places, axis=0)
        return w("Unsqueeze", picked, np.array([0]))

    inputs: Any = x
    w_input: Any = np.eye(rows, dtype=dtype)
    bias: Any = None
    if (product := _product(w, x)) is not None:
        inputs, w_input, bias = product
    # GRU has its biases of the state inside the reset, which ONNX calls linear_before_reset.
    of_state = w.as_type(biases[0], dtype) if biases else np.zeros(rows, dtype)
    of_input = np.zeros(rows, dtype) if bias is None else bias
    both = w("Concat", ordered(of_input), ordered(of_state), axis=1)
    starts = [w("Unsqueeze", w.as_type(s, dtype), np.array([0])) for s in (h, *cells)]
    settings: dict[str, Any] = {"hidden_size": size}
    if operator == "RNN":
        settings["activations"] = [{"tanh": "Tanh", "relu": "Relu"}[call.settings["nonlinearity"]]]
    if operator == "GRU":
        settings["linear_before_reset"] = 1
    if cells and any(_picks(use) != -1 for use in w.uses.get(id(call.results[1]), [])):
        raise refuse(call, "whose cells are used other than after the last step")
    y = w(
        operator,
        inputs,
        ordered(w_input),
        ordered(weight),
        both,
        None,
        *starts,
        outputs=1 + len(starts),
        **settings,
    )
    # Of the cells, ONNX has the last ones only, which is enough to pick the last.
    return [w("Squeeze", y[0], np.array([1])), *y[2:]]


def _picks(use: Call) -> Any:
    """The index that a call takes from its argument, if it does nothing else."""
    return use.settings["index"] if use.primitive.name == "getitem" and len(use.args) == 1 else None


def _product(w: Writer, x: Operand) -> tuple[Operand, Operand, Operand | None] | None:
    """The inputs, weights and biases of which ``x`` is the product, as our layers compute it for all steps at once."""
    chain, found = x, []
    for name in ("reshape", "linear", "reshape"):
        call = w.made.get(id(chain))
        if call is None or call.primitive.name != name:
            return None
        found.append(call)
        chain = call.args[0]
    _, weight, bias = found[1].args
    return (chain, weight, bias) if chain.ndim == 3 and chain.shape[:2] == x.shape[:2] else None
