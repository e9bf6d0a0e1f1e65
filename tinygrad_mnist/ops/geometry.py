"""Where the windows of convolutions and pools lie: sizes, steps and margins, and errors for windows that do not fit."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from ..errors import OptionError, ShapeError, choice
from ..typing import Array
from .arguments import array
from .kernels import Padding, Pair

__all__ = ["as_images", "margins", "pair", "require_windows"]


def pair(function: str, what: str, value: Any, axes: int = 2, least: int = 1) -> Pair:
    """One number for each of the two axes of an image. A sequence is an image of width 1, so that its axis comes first.

    Examples
    --------
    >>> pair("conv2d", "stride", 2), pair("conv1d", "stride", 3, axes=1)
    ((2, 2), (3, 1))
    """
    numbers = tuple(value) if isinstance(value, (tuple, list)) else (value,) * axes
    numbers = numbers * axes if len(numbers) == 1 else numbers
    try:
        whole = tuple(operator.index(n) for n in numbers)
    except TypeError:
        whole = ()
    if len(whole) != axes or min(whole, default=-1) < least:
        wanted = "an integer" if axes == 1 else "an integer, or one for each of the two axes"
        raise OptionError(f"{function}: {what}={value!r}; pass {wanted}, of at least {least}")
    return (whole[0], whole[1]) if axes == 2 else (whole[0], least)


def margins(
    function: str, padding: Any, kernel: Pair, stride: Pair, dilation: Pair, axes: int = 2
) -> Padding:
    """The numbers of zeros before and after each axis; "same" keeps the size, with the odd zero at the end."""
    if not isinstance(padding, str):
        rows, columns = pair(function, "padding", padding, axes, least=0)
        return (rows, rows), (columns, columns)
    if padding not in ("same", "valid"):
        raise choice(f"padding of {function}", padding, ("same", "valid"))
    if padding == "valid":
        return (0, 0), (0, 0)
    if stride[:axes] != (1,) * axes:
        raise OptionError(
            f"{function}: padding='same' with stride={stride[:axes]}; it keeps a size only with stride=1"
        )
    rows, columns = (d * (k - 1) for k, d in zip(kernel, dilation, strict=True))
    return (rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2)


def as_images(function: str, x: Any, axes: int = 2) -> tuple[Array, bool]:
    """An input with all four axes of a batch of images, and whether it was a single one, without the first axis."""
    x = array(x)
    single, batch = ("(C, L)", "(N, C, L)") if axes == 1 else ("(C, H, W)", "(N, C, H, W)")
    if x.ndim not in (axes + 1, axes + 2):
        hint, side = "", math.isqrt(x.shape[-1]) if x.ndim == 2 else 0
        if axes == 2 and side > 1 and side * side == x.shape[-1]:
            hint = f"; x.reshape(-1, 1, {side}, {side}), or transform=tg.data.to_images, makes images of rows of pixels"
        raise ShapeError(
            f"{function}: an input of shape {x.shape}; expected {batch}, or {single} without a batch{hint}"
        )
    x = np.expand_dims(x, -1) if axes == 1 else x
    return (np.expand_dims(x, 0), True) if x.ndim == 3 else (x, False)


def require_windows(
    function: str, x: Array, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair, axes: int = 2
) -> None:
    """Raise an error if a window is larger than the padded image."""
    for i, name in enumerate(("length",) if axes == 1 else ("height", "width")):
        reach = dilation[i] * (kernel[i] - 1) + 1
        size = x.shape[2 + i] + sum(padding[i])
        if reach > size:
            apart = f", {dilation[i]} apart," if dilation[i] != 1 else ""
            margin = f" with a margin of {padding[i][0]} and {padding[i][1]}" if any(padding[i]) else ""
            need = -(-(reach - size) // 2) + padding[i][0]
            raise ShapeError(
                f"{function}: a window of {kernel[i]} elements{apart} does not fit into an input of shape "
                f"{x.shape[: 2 + axes]}, whose {name} is {x.shape[2 + i]}{margin}: {reach} > {size}. Use a smaller "
                f"kernel, or padding={need}"
            )
