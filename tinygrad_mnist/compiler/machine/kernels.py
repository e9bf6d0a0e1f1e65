"""The calls of kernels in machine code: which arrays they take, and the numbers that say where windows lie."""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np

from ...ops.kernels import Padding, Pair
from ...ops.row_kernels import FEWEST, LOWERED, as_convolution, best_run
from ..program import Op
from .addresses import Address
from .formulas import number
from .groups import NoMachineCodeError, base_of
from .pieces import Pieces

__all__ = ["write_kernel"]


class _Call:
    """One call of a kernel: its arrays, and its settings by name."""

    def __init__(self, writer: Pieces, op: Op, turn: int) -> None:
        self.writer, self.op, self.turn = writer, op, turn
        bound = inspect.signature(op.instruction.function).bind(*op.args, **op.settings)
        bound.apply_defaults()
        self.given = bound.arguments
        self.zero = number(0, op.dtype)

    def array(self, arg: Op) -> str:
        """The whole of an array as a vector."""
        place: Address = self.writer.places.of(arg)
        if arg.dtype not in (np.float32, np.float64) or {arg.dtype, base_of(arg).dtype} != {self.op.dtype}:
            raise NoMachineCodeError(f"{self.op.instruction.name} of {arg.dtype}")
        if not place.is_contiguous:
            raise NoMachineCodeError(f"{self.op.instruction.name} of a strided array")
        return self.writer.part(place, arg.size)

    def scratch(self, size: int) -> str:
        """Memory for the duration of the call."""
        return self.writer.part(self.writer.places.scratch(self.turn, self.op.dtype, size), size)

    def windows(self, images: Op, results: Op, kernel: tuple[int, ...]) -> str:
        """The sizes and steps of all windows: ``images`` and ``results`` have the batch last."""
        stride: Pair = self.given["stride"]
        dilation: Pair = self.given.get("dilation", (1, 1))
        padding: Padding = self.given["padding"]
        starts = padding[0][0], padding[1][0]
        numbers = (*images.shape[1:], *kernel, *results.shape[1:3], *stride, *dilation, *starts)
        return ", ".join(map(str, numbers))

    def say(self, name: str, *parts: Any) -> None:
        """Write the call."""
        self.writer.lines.append(f"{name}({', '.join(map(str, parts))})")


def write_kernel(writer: Pieces, op: Op, turn: int) -> None:
    """Write the call of a kernel."""
    call = _Call(writer, op, turn)
    name, given = op.instruction.function.__name__, call.given
    if name in ("correlate", "spread", "filters"):
        _convolution(call, name)
    elif name == "window_max":
        lowest = number(-math.inf, op.dtype)
        where = call.windows(given["x"], op, given["kernel"])
        call.say(name, call.array(given["x"]), call.array(op), op.shape[0], where, lowest)
    elif name == "spread_max":
        x, y = given["x"], given["y"]
        arrays = [call.array(arg) for arg in (given["g"], x, y, op)]
        where = call.windows(x, y, given["kernel"])
        call.say(name, *arrays, call.scratch(op.shape[3]), op.shape[0], where, call.zero)
    else:
        raise NoMachineCodeError(op.instruction.name)


def _convolution(call: _Call, name: str) -> None:
    """Write one of the three convolutions: row by row, or with memory for some rows of windows."""
    op, given = call.op, call.given
    images = op if name == "spread" else given["x"]
    weights = op if name == "filters" else given["w"]
    results = op if name == "correlate" else given["g"]
    arrays = [call.array(arg) for arg in (images, weights, results)]
    groups = given["groups"]
    kernel: Pair = (weights.shape[2], weights.shape[3])
    sizes = groups, weights.shape[1], weights.shape[0] // groups
    if name != "spread":
        _by_rows(call, name, arrays, sizes, images, results, kernel, given["stride"], given["padding"])
        return
    around = as_convolution(
        results.shape, images.shape, kernel, given["padding"], given["stride"], given["dilation"]
    )
    if around is None:
        raise NoMachineCodeError(op.instruction.name)
    turned = groups, sizes[2], sizes[1]
    _by_rows(call, name, arrays[::-1], turned, results, images, kernel, (1, 1), around)


def _by_rows(
    call: _Call, name: str, arrays: list[str], sizes: tuple[int, ...], images: Op, results: Op, kernel: Pair,
    stride: Pair, padding: Padding,
) -> None:  # fmt: skip
    """Write a convolution of ``images``, or the gradient of its weights: see ``rows``."""
    _, channels, features = sizes
    columns, n = results.shape[2:]
    itemsize, products = call.op.dtype.itemsize, channels * math.prod(kernel)
    dilation = call.given["dilation"]
    step, lines = stride[0] if dilation[0] == 1 else kernel[0], channels * kernel[1]
    extent = (results.shape[1] - 1) * step + kernel[0]
    run = LOWERED if name == "filters" else best_run(features, products, itemsize)
    run = max(min(run, LOWERED // (extent * lines * itemsize)), FEWEST)
    across = min(max(run // n, 1), columns)
    at_a_time = -(-n // -(-n // run)) if across == 1 else n
    numbers = (
        *images.shape[1:], *kernel, *results.shape[1:3], *stride, *dilation,
        padding[0][0], padding[1][0], across, at_a_time,
    )  # fmt: skip
    scratch = call.scratch(features * products + extent * lines * across * at_a_time)
    function, back = ("filter_rows", ()) if name == "filters" else ("correlate_rows", (name == "spread",))
    call.say(function, *arrays, scratch, *sizes, *numbers, *back, call.zero, number(1, call.op.dtype))
