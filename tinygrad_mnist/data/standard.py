"""One form for images from anywhere: square, 0–255, light on dark, upright; and for labels: numbered from 0."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import DataError, pluralise
from ..typing import NDArray
from .formats.arrays import Part
from .formats.kinds import ANY_ARRAYS
from .images import LUMA

__all__ = ["MOST_CLASSES", "Images", "fit_digits", "number", "standardize"]

#: The sides of images; larger ones are photos, which are cut to their digit.
SHORTEST, LONGEST = 4, 256

MOST_CLASSES = 1_000


class Images(NamedTuple):
    """Images (N, side, side) of uint8, light on dark, their labels, and what was done to them."""

    images: NDArray
    labels: NDArray | None
    notes: tuple[str, ...] = ()


def standardize(part: Part, place: Path) -> Images:
    """Bring the images of a part to one form, and say what was done to them.

    Raises
    ------
    DataError
        If they are not square, or their pixels have no range that is known.
    """
    notes = []
    images, labels = _square(part, place), part.labels
    images, how = _to_bytes(images, place)
    notes += how
    if part.name != "photos" and _border_median(images) > 127:
        images = 255 - images
        notes.append("dark on light, inverted")
    if part.name == "photos":
        notes.append("photos, each cut to its digit")
    if labels is not None and ".mat" in part.name and set(np.unique(labels)) == set(range(1, 11)):
        labels = np.where(labels == 10, 0, labels)
        notes.append("label 10 is the digit 0")
    if _lies_on_its_side(images, labels) or ("emnist" in part.name.lower() and not _has_ones(labels)):
        images = images.transpose(0, 2, 1)
        notes.append("turned upright")
    return Images(np.ascontiguousarray(images), labels, tuple(notes))


def _square(part: Part, place: Path) -> NDArray:
    images = part.images
    if images.ndim == 2:
        side = math.isqrt(images.shape[1])
        if side * side != images.shape[1]:
            raise DataError(
                f"{place}: {images.shape[1]:,} pixels an image, which is no square; only square images are read. "
                f"{ANY_ARRAYS}"
            )
        images = images.reshape(-1, side, side)
        if ".mat" in part.name:  # MATLAB stores columns
            images = images.transpose(0, 2, 1)
    if images.ndim == 4 and images.shape[1] in (1, 3):
        images = np.moveaxis(images, 1, 3)
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    if images.ndim == 4 and images.shape[3] in (3, 4):
        grey = images[..., :3] @ LUMA
        images = np.rint(grey).astype(images.dtype) if images.dtype.kind in "ui" else grey
    if images.ndim != 3:
        raise DataError(
            f"{place}: an array of shape {part.images.shape} is not a set of images. {ANY_ARRAYS}"
        )
    height, width = images.shape[1:]
    if height != width:
        raise DataError(
            f"{place}: images of {height}×{width} pixels (height × width); only square ones are read. Pad them with "
            f"paper to {max(height, width)}×{max(height, width)}, for example with np.pad"
        )
    if not SHORTEST <= height <= LONGEST:
        raise DataError(
            f"{place}: images of {height}×{width} pixels; expected sides of {SHORTEST} to {LONGEST}. If these are no "
            "images, read the numbers with np.loadtxt, and pass (inputs, targets) to fit"
        )
    return images


def _to_bytes(images: NDArray, place: Path) -> tuple[NDArray, list[str]]:
    """Bring pixels to 0–255; the range in which they lie says what they are."""
    if images.dtype.kind not in "buif":
        raise DataError(f"{place}: pixels of {images.dtype}; expected numbers")
    low, high = float(images.min()), float(images.max())
    if not math.isfinite(low) or not math.isfinite(high):
        raise DataError(f"{place}: some pixels are not finite")
    if low == high:
        raise DataError(f"{place}: all pixels are {low:g}")
    fits = _range(images, low, high)
    if fits is None:
        raise DataError(
            f"{place}: pixels from {low:g} to {high:g}; expected 0–255, 0–1, -1–1 or 0–16. {ANY_ARRAYS}"
        )
    if images.dtype == np.uint8 and fits == (0, 255):
        return images, []
    a, b = fits
    bytes_ = np.empty(images.shape, np.uint8)
    for start in range(0, len(images), 1000):
        block = images[start : start + 1000].astype(np.float32)
        bytes_[start : start + 1000] = np.rint(np.clip((block - a) / (b - a), 0, 1) * 255)
    return bytes_, [] if fits in ((0, 255), (0, 1)) else [f"pixels of {a} to {b}"]


def _range(images: NDArray, low: float, high: float) -> tuple[int, int] | None:
    """Return black and white, as far as the least and the greatest number tell."""
    if images.dtype.kind in "bui" or (images[:100] % 1 == 0).all():
        most = int(high) if high in (1, 16) else 255 if high <= 255 else 65535
        if low >= 0 and high <= most:
            return 0, most
    if low > -0.5 and high < 1.5:  # a filter that sharpens goes a little beyond
        return 0, 1
    return next(((a, b) for a, b in ((-1, 1), (0, 255)) if a - 0.01 <= low and high <= b + 0.01), None)


def _border_median(images: NDArray) -> float:
    sample = images[:5000]
    return float(
        np.median(np.concatenate([sample[:, 0], sample[:, -1], sample[:, :, 0], sample[:, :, -1]], axis=1))
    )


def _has_ones(labels: NDArray | None) -> bool:
    return labels is not None and bool((labels.astype(str) == "1").any())


def _lies_on_its_side(images: NDArray, labels: NDArray | None) -> bool:
    """Whether most strokes of the digit 1 are wider than high, as they are in EMNIST and in MATLAB's order."""
    if labels is None or not _has_ones(labels):
        return False
    ones = images[np.flatnonzero(labels.astype(str) == "1")[:500]].astype(np.float64)
    mass = np.maximum(ones.sum(axis=(1, 2)), 1)
    spread = []
    for axis in (1, 2):
        profile = ones.sum(axis=3 - axis) / mass[:, np.newaxis]
        place = np.arange(images.shape[1])
        mean = profile @ place
        spread.append(np.median(profile @ place**2 - mean**2))
    down, across = spread
    return bool(across > 2 * down)


def number(
    labels: list[NDArray], names: dict[int, str], place: Path
) -> tuple[list[NDArray], tuple[str, ...]]:
    """Number the classes from 0, in the order of their labels; return the targets and the names."""
    joined = np.concatenate([part.astype(str) for part in labels])
    values = np.unique(joined)
    if all(value.lstrip("-").isdecimal() for value in values):
        values = values[np.argsort(values.astype(np.int64))]
    if not 2 <= len(values) <= MOST_CLASSES:
        raise DataError(
            f"{place}: {pluralise(len(values), 'different label')}; expected 2 to {MOST_CLASSES:,} classes"
        )
    order = np.argsort(values)
    targets = [
        order[np.searchsorted(values, part.astype(str), sorter=order)].astype(np.int64) for part in labels
    ]
    classes = tuple(names.get(int(v), str(v)) if v.isdecimal() else str(v) for v in values)
    return targets, classes


def fit_digits(images: NDArray) -> float:
    """Return the share of an image's side that the longer side of a digit takes up, for most of the images.

    Examples
    --------
    >>> image = np.zeros((1, 28, 28), np.uint8)
    >>> image[0, 4:24, 10:18] = 255
    >>> round(28 * fit_digits(image))
    20
    """
    ink = images[:2000] > 64
    sizes = [
        max(int(np.ptp(np.flatnonzero(digit.any(axis=axis)))) + 1 for axis in (0, 1))
        for digit in ink
        if digit.any()
    ]
    return float(np.median(np.array(sizes))) / images.shape[1] if sizes else 20 / 28
