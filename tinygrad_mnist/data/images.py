"""Read a picture of a digit and bring it into the form of MNIST, as input for a network.

MNIST was made by fitting each digit into 20×20 pixels and placing it in 28×28 pixels with its centre of
mass in the middle. This is done here, too; a picture that already has this form is not changed.
"""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path

import numpy as np

from ..errors import DataError, OptionError, require
from ..reading import locate, open_file, read_bytes, read_npy, readable
from ..typing import NDArray
from .ink import EMPTY, find_digit

__all__ = ["read_digit"]

#: The formats that are read, as Pillow calls them.
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")

#: The largest files, in bytes, by what they begin with. GIF and PPM are read piece by piece; TIFF has long lists.
LARGEST_PICTURE = 2**26
LARGEST = {
    **dict.fromkeys((b"\x89PNG", b"\xff\xd8", b"BM", b"RIFF"), LARGEST_PICTURE),
    **dict.fromkeys((b"II", b"MM"), 2**25),
    **dict.fromkeys((b"GIF8", b"P"), 2**21),
}

#: The most pixels of a picture, and the most passes over them in a JPEG (cameras and programs make up to a dozen); how
#: often Pillow may read, which it does for every part of a file; and the longest text of a camera, in bytes.
MAX_PIXELS, MOST_SCANS, MOST_READS, LONGEST_EXIF = 50_000_000, 50, 50_000, 2**20

#: Photos are made smaller, to this longer side; a digit is read as well. A picture that is no longer than SMALL has no
#: room for anything but a digit.
LONGEST_SIDE, SMALL = 1024, 40

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def read_digit(path: str | os.PathLike[str], *, size: int = 28, fill: float = 20 / 28) -> NDArray:
    """Read a picture of one digit and return it in the form of MNIST's digits.

    The picture may have any size; it may be grey or in colour, dark on light or light on dark. It may be a photo: of
    paper that is lit unevenly, ruled, or lies on a table, with grain and specks. A picture of at most 40 pixels is
    taken as it is, with all that stands out from its border.

    Parameters
    ----------
    path : path
        A PNG, JPEG, GIF, BMP, WebP, TIFF or PPM; or ``.npy`` with an array (H, W),
        (H, W, 3) or (H, W, 4), of 0–255 or of 0–1.
    size : int, default 28
        The side of the result.
    fill : float, default 20/28
        The share of the side that the digit takes up: 20/28 in MNIST, 1 in scikit-learn's digits.

    Returns
    -------
    ndarray of float32, shape (size, size)
        Light on dark, from 0 to 1.

    Raises
    ------
    DataError
        If the file cannot be read, or if the picture holds no digit, or several.
    MissingExtraError
        If the file is not ``.npy`` and Pillow is not installed, or if the picture has more than 40 pixels in a row or
        column and scipy is not installed.

    Examples
    --------
    A black stroke on white paper, slightly off the middle, becomes bright on black and centred:

    >>> import tempfile
    >>> paper = np.full((100, 80), 255, dtype=np.uint8)
    >>> paper[10:70, 20:26] = 0
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/one.npy", paper)
    ...     digit = read_digit(f"{folder}/one.npy")
    >>> digit[14, 12:16]
    array([0., 1., 1., 0.], dtype=float32)
    >>> digit.sum(axis=1)[3:6], digit.sum(axis=1)[23:26]
    (array([0., 2., 2.], dtype=float32), array([2., 0., 0.], dtype=float32))
    """
    file = locate(path)
    if size < 8:
        raise OptionError(f"read_digit: size is {size}; a digit needs at least 8 pixels")
    if not 0 < fill <= 1:
        raise OptionError(f"read_digit: fill is {fill}; it must be above 0 and at most 1")
    pixels = _read_npy(file) if file.suffix.lower() == ".npy" else _read_picture(file)
    # JPEG leaves ripples around strokes, even on even paper.
    ripples = 0.1 if file.suffix.lower() in (".jpg", ".jpeg", ".webp") else 0.0
    return prepare_digit(pixels, size=size, fill=fill, ripples=ripples, where=file)


def prepare_digit(
    pixels: NDArray,
    *,
    size: int = 28,
    fill: float = 20 / 28,
    ripples: float = 0.0,
    where: Path | str = "picture",
) -> NDArray:
    """Bring a picture of one digit into the form of MNIST's digits; see :func:`read_digit`.

    Parameters
    ----------
    pixels : ndarray, shape (H, W), (H, W, 3) or (H, W, 4), of 0–255 or of 0–1
    size, fill
        As for :func:`read_digit`.
    ripples : float
        How much of the contrast is no ink, but the work of a compression.
    where : str
        What messages call it.
    """
    grey = _shrink(_grey(_unit(pixels, where), where))
    try:
        ink = find_digit(grey, ripples) if max(grey.shape) > SMALL else _crop(_ink(grey, ripples))
    except DataError as error:
        raise DataError(f"{where}: {error}") from error
    return _centre(_resize(ink, max(round(size * fill), 1)), size)


def _read_npy(file: Path) -> NDArray:
    with open_file(file) as stream:
        array = read_npy(stream, file)
    if array.size > MAX_PIXELS:
        raise DataError(f"{file}: {array.size:,} values are too many; scale it down first")
    return array


def read_pixels(file: Path) -> NDArray:
    """Read a picture as it is: grey, from 0 to 1, shape (H, W)."""
    return _grey(_unit(_read_picture(file), file), file)


def read_grey(content: bytes, where: str) -> NDArray:
    """Read a picture from its bytes, as it is: grey, uint8, shape (H, W)."""
    grey: NDArray = np.rint(255 * _grey(_unit(_decode(content, where), where), where)).astype(np.uint8)
    return grey


def _read_picture(file: Path) -> NDArray:
    return _decode(read_bytes(file, LARGEST_PICTURE), file)


def _decode(content: bytes, file: Path | str) -> NDArray:
    purpose = f"reading {Path(file).name}"
    pil = require("PIL.Image", extra="pictures", purpose=purpose)
    ops = require("PIL.ImageOps", extra="pictures", purpose=purpose)
    most = next((size for start, size in LARGEST.items() if content.startswith(start)), None)
    if most is None:
        raise DataError(f"{file}: not a readable picture: it is none of {', '.join(FORMATS)}")
    if len(content) > most:
        raise DataError(
            f"{file}: has {len(content):,} bytes; of such a picture, more than {most:,} are not read"
        )
    if content.count(b"\xff\xda") > MOST_SCANS:
        raise DataError(f"{file}: not a readable picture: it has more than {MOST_SCANS} scans")
    with warnings.catch_warnings(), readable(file, "picture"):
        warnings.simplefilter("error", pil.DecompressionBombWarning)
        with pil.open(_InReads(content), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DataError(
                    f"{file}: {image.width}×{image.height} pixels are too many; scale it down first"
                )
            if image.format != "MPO" and getattr(image, "is_animated", False):  # phones add depth to a photo
                raise DataError(f"{file}: holds several pictures; save the one with the digit by itself")
            if len(image.info.get("exif", b"")) > LONGEST_EXIF:
                raise ValueError("what the camera says about it is too long")
            if image.mode.startswith("I"):  # 16 bits of grey, Pillow would clip them to 8
                return np.asarray(image).astype(np.uint16)
            if image.mode == "F":
                return np.asarray(image)
            upright = ops.exif_transpose(image).convert("RGBA")
            upright.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
            return np.asarray(upright)


class _InReads(io.BytesIO):
    """A file that is read a limited number of times: Pillow goes through the parts of a file one by one."""

    reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads += 1
        if self.reads > MOST_READS:
            raise ValueError("it has too many parts")
        return super().read(size)


def _unit(pixels: NDArray, file: Path | str) -> NDArray:
    """Scale pixels of any dtype to 0–1."""
    if not pixels.size or pixels.dtype.kind not in "buif":
        raise DataError(
            f"{file}: {pixels.dtype} of shape {pixels.shape} is not a picture; expected 0–255 or 0–1"
        )
    low, high = float(pixels.min()), float(pixels.max())
    if not (low >= 0 and high <= (65535 if pixels.dtype == np.uint16 else 255)):
        raise DataError(f"{file}: pixels from {low:g} to {high:g}; expected 0–255 or 0–1")
    if pixels.dtype == np.uint16:
        return pixels.astype(np.float32) / 65535
    is_unit = pixels.dtype.kind == "b" or (pixels.dtype.kind == "f" and high <= 1)
    return pixels.astype(np.float32) / (1 if is_unit else 255)


def _grey(pixels: NDArray, file: Path | str) -> NDArray:
    """Convert colours to grey (H, W), with transparent parts on paper that contrasts with the rest."""
    if pixels.ndim == 3 and pixels.shape[2] in (3, 4):
        grey: NDArray = pixels[:, :, :3] @ LUMA
        if pixels.shape[2] == 3:
            return grey
        alpha = pixels[:, :, 3]
        is_dark = (grey * alpha).sum() < 0.5 * alpha.sum()
        paper = 1.0 if is_dark else 0.0
        return paper + alpha * (grey - paper)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        return pixels[:, :, 0]
    if pixels.ndim == 2:
        return pixels
    raise DataError(f"{file}: an array of shape {pixels.shape}; expected (H, W), (H, W, 3) or (H, W, 4)")


def _shrink(grey: NDArray) -> NDArray:
    if max(grey.shape) <= LONGEST_SIDE:
        return grey
    small = _resize(grey, LONGEST_SIDE)
    covered: NDArray = small / _resize(np.ones_like(grey), LONGEST_SIDE)
    return covered


def _ink(grey: NDArray, ripples: float) -> NDArray:
    """Separate ink from paper: 0 is paper and 1 the strongest ink, whichever of the two is darker."""
    low, high, paper = grey.min(), grey.max(), np.median(_border(grey))
    if high - low < 0.02:
        raise DataError(EMPTY)
    ink: NDArray = np.maximum(paper - grey if paper > (low + high) / 2 else grey - paper, 0)
    ink /= ink.max()
    # The border shows the grain of the paper; the quantile allows a stroke to run off the edge.
    grain = min(5 * float(np.quantile(_border(ink), 0.9)), 0.5)
    ink[ink <= max(grain, ripples)] = 0
    return ink


def _border(image: NDArray) -> NDArray:
    return np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])


def _crop(ink: NDArray) -> NDArray:
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _resize(image: NDArray, side: int) -> NDArray:
    """Scale the longer side to ``side``; each new pixel is the mean of the area it covers."""
    scale = side / max(image.shape)
    height, width = (max(1, round(length * scale)) for length in image.shape)
    return _areas(image.shape[0], height) @ image @ _areas(image.shape[1], width).T


def _areas(old: int, new: int) -> NDArray:
    """Return the matrix (new, old) of the shares of the old pixels in the new ones.

    Of a smaller picture, new pixels lie between the old ones, and get the shares of their neighbours.
    """
    length = new / old
    if new > old:
        places = np.clip((np.arange(new)[:, np.newaxis] + 0.5) / length - 0.5, 0, old - 1)
        near: NDArray = np.maximum(1 - abs(places - np.arange(old)), 0).astype(np.float32)
        return near
    start, first = np.arange(new)[:, np.newaxis], np.arange(old) * length
    overlap = np.minimum(start + 1, first + length) - np.maximum(start, first)
    shares: NDArray = np.maximum(overlap, 0).astype(np.float32)
    return shares


def _centre(digit: NDArray, size: int) -> NDArray:
    """Put the digit into a square with its centre of mass in the middle, or as near to it as possible."""
    height, width = digit.shape
    y = np.average(np.arange(height), weights=digit.sum(axis=1))
    x = np.average(np.arange(width), weights=digit.sum(axis=0))
    top = min(max(round(size / 2 - y), 0), size - height)
    left = min(max(round(size / 2 - x), 0), size - width)
    square = np.zeros((size, size), dtype=np.float32)
    square[top : top + height, left : left + width] = digit / digit.max()
    return square
