"""The notebook view of a data set: a sheet of its first examples."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..notebook import Html, card, picture, row, shorten, table
from ..typing import NDArray

if TYPE_CHECKING:
    from .dataset import Dataset

__all__ = ["as_pixels", "show_examples"]

#: The largest numbers of images, of rows of a table, and of columns that are shown.
MOST_IMAGES, MOST_ROWS, MOST_COLUMNS = 20, 8, 8

#: The longest side that is shown, in pixels; of a larger image, every second, third, … pixel is shown.
LONGEST_SIDE = 96

#: The shortest side of an image; smaller arrays are shown as tables of numbers.
SHORTEST_SIDE = 8

#: The shortest side of an image that is stored as a row of numbers other than 0–255.
SHORTEST_SIDE_OF_A_ROW = 16


def show_examples(data: Dataset) -> str:
    """Show the first examples, images as pictures; only these are read, because the rest may be on disk."""
    facts = [data.name, f"{len(data):,} × {data.inputs.dtype}{list(data.inputs.shape[1:])}"]
    facts += [f"{len(data.classes)} classes" if data.classes else "", data.source]
    pixels = as_pixels(np.asarray(data.inputs[:MOST_IMAGES]))
    if pixels is not None:
        titles = [_target(data, i) for i in range(len(pixels))]
        sheet = row(picture(image, title) for image, title in zip(pixels, titles, strict=True))
    else:
        sheet = _table(data)
    shown = min(len(data), MOST_ROWS if pixels is None else MOST_IMAGES)
    rest = f"and {len(data) - shown:,} more" if len(data) > shown else ""
    return card(type(data).__name__, [shorten(fact) for fact in facts if fact], sheet, rest)


def as_pixels(inputs: NDArray) -> NDArray | None:
    """Bring images to bytes of the shape (N, H, W), or (N, H, W, C); return None if the inputs are not images.

    Examples
    --------
    >>> as_pixels(np.zeros((5, 784), np.uint8)).shape, as_pixels(np.zeros((5, 3, 32, 32))).shape
    ((5, 28, 28), (5, 32, 32, 3))
    >>> as_pixels(np.zeros((5, 4))) is None
    True
    """
    if inputs.dtype.kind not in "biuf" or not inputs.size:
        return None
    are_bytes, is_row = inputs.dtype == np.uint8, inputs.ndim == 2
    if is_row:
        side = math.isqrt(inputs.shape[1])
        if side * side != inputs.shape[1] or side < (SHORTEST_SIDE if are_bytes else SHORTEST_SIDE_OF_A_ROW):
            return None
        inputs = inputs.reshape(-1, side, side)
    elif inputs.ndim == 4 and inputs.shape[3] not in (1, 3, 4):
        inputs = np.moveaxis(inputs, 1, 3)
    if inputs.ndim == 4 and inputs.shape[3] == 1:
        inputs = inputs[..., 0]
    if not (inputs.ndim == 3 or (inputs.ndim == 4 and inputs.shape[3] in (3, 4))):
        return None
    height, width = inputs.shape[1:3]
    if min(height, width) < SHORTEST_SIDE or (inputs.ndim == 3 and not are_bytes and height != width):
        return None  # more likely sequences
    step = -(-max(height, width) // LONGEST_SIDE)
    inputs = inputs[:, ::step, ::step]
    if is_row and not (inputs >= 0).all():
        return None
    return _scale(inputs)


def _scale(images: NDArray) -> NDArray:
    """Map numbers to 0–255: the highest becomes white; zero, or the lowest if it is less, becomes black."""
    values = images.astype(float)
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    low = min(low, 0.0)
    with np.errstate(all="ignore"):
        share = (values - low) / (high - low) if high > low else np.zeros_like(values)
    return (255 * np.nan_to_num(share, nan=0, posinf=1, neginf=0).clip(0, 1)).round().astype(np.uint8)


def _target(data: Dataset, i: int) -> str:
    """The class of an example by its name, or by its target."""
    target: Any = data.targets[i]
    is_class = isinstance(target, np.integer) and 0 <= target < len(data.classes)
    return shorten(data.classes[int(target)] if is_class else target)


def _table(data: Dataset) -> Html:
    shape = data.inputs.shape[1:]
    width = min(shape[0], MOST_COLUMNS) if len(shape) == 1 else 1
    more = ["…"] if len(shape) == 1 and shape[0] > width else []
    head = ["", "target", *(["input"] if len(shape) != 1 else [f"input {i}" for i in range(width)]), *more]
    rows = []
    for i in range(min(len(data), MOST_ROWS)):
        example = data.inputs[i]
        cells = example[:width] if len(shape) == 1 else [example]
        rows.append([f"{i:,}", _target(data, i), *map(shorten, cells), *more])
    return table(head, rows, left=2)
