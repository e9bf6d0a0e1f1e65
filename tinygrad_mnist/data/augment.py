"""Changes of images that keep their meaning: a network that sees them learns what does not matter."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..errors import OptionError, choice
from ..operands import generator
from ..typing import NDArray

__all__ = ["AUGMENTATIONS", "Augment"]

#: How far each change goes at most: pixels for ``shift``, degrees, a factor, a share of the height, and for
#: ``elastic`` the typical displacement in pixels. The size of a smooth patch of ``elastic`` is a seventh of the side.
AUGMENTATIONS = {"shift": 2.0, "rotate": 12.0, "scale": 0.12, "shear": 0.2, "elastic": 1.1}


class Augment:
    """Change each image of a batch at random: move, turn, scale, slant or bend it.

    All changes are combined into one map from each pixel of the new image to a place in the old one, where the
    four pixels around it are mixed (bilinear interpolation). So an image is never interpolated twice. Outside the
    old image there is 0. A shift by whole pixels alone mixes nothing.

    Parameters
    ----------
    changes : str or iterable of str
        Some of ``AUGMENTATIONS``, such as ``"shift,rotate"``.
    strength : float, default 1
        A factor for all of them.
    rng : numpy.random.Generator or seed

    Raises
    ------
    OptionError
        If there is no such change, or the strength is not a positive number.

    Notes
    -----
    ``elastic`` is Simard's [1]_: random displacements, smoothed by a Gaussian.

    References
    ----------
    .. [1] P. Y. Simard, D. Steinkraus, J. C. Platt, "Best Practices for Convolutional Neural Networks Applied to
       Visual Document Analysis", ICDAR 2003.

    Examples
    --------
    >>> images = np.zeros((2, 5, 5), np.uint8)
    >>> images[:, 2, 2] = 255
    >>> [np.argwhere(image).tolist() for image in Augment("shift", rng=0)(images)]
    [[[0, 2]], [[1, 3]]]
    """

    def __init__(
        self,
        changes: str | Iterable[str],
        *,
        strength: float = 1.0,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        names = [name.strip() for name in changes.split(",")] if isinstance(changes, str) else list(changes)
        for name in names:
            if name not in AUGMENTATIONS:
                raise choice("augmentation", name, AUGMENTATIONS)
        if not names or not 0 < strength < 100:
            raise OptionError(
                f"Augment: {changes!r} with strength {strength!r} changes nothing that can be trained with"
            )
        self.changes, self.strength = tuple(dict.fromkeys(names)), strength
        self.rng = generator(rng)

    def __call__(self, images: NDArray) -> NDArray:
        """Change images.

        Parameters
        ----------
        images : ndarray, shape (N, H, W), of uint8 or floats

        Returns
        -------
        ndarray, of the same shape and dtype
        """
        if images.ndim != 3:
            raise OptionError(f"Augment: images must have the shape (N, H, W); got {images.shape}")
        if not len(images):
            return images
        if self.changes == ("shift",):
            return self._shift(images)
        return _sample(images, *self._places(*images.shape))

    def _limit(self, name: str) -> float:
        return AUGMENTATIONS[name] * self.strength if name in self.changes else 0.0

    def _shift(self, images: NDArray) -> NDArray:
        """Move by whole pixels: a window of each image with a margin."""
        n, height, width = images.shape
        reach = round(self._limit("shift"))
        padded = np.pad(images, ((0, 0), (reach, reach), (reach, reach)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(1, 2))
        rows, columns = self.rng.integers(0, 2 * reach + 1, (2, n))
        return windows[np.arange(n), rows, columns]

    def _places(self, n: int, height: int, width: int) -> tuple[NDArray, NDArray]:
        """Where each pixel of the new images comes from: rows and columns, each of shape (N, H, W)."""
        draw = self.rng.uniform
        angle = np.deg2rad(draw(-1, 1, n) * self._limit("rotate"))
        scale = 1 + draw(-1, 1, (2, n)) * self._limit("scale")
        slant = draw(-1, 1, n) * self._limit("shear")
        shift = draw(-1, 1, (2, n)) * self._limit("shift")
        y = np.arange(height, dtype=np.float32)[:, None] - (height - 1) / 2
        x = np.arange(width, dtype=np.float32) - (width - 1) / 2
        cos, sin = np.cos(angle), np.sin(angle)
        # Rows of the matrices that turn, slant and scale, each with one number per image.
        turned = np.array([[cos, -sin], [sin + cos * slant, cos - sin * slant]]) / scale[:, None]
        matrix = turned.astype(np.float32)[..., None, None]
        middle = np.array([(height - 1) / 2, (width - 1) / 2])
        start = (shift + middle[:, None]).astype(np.float32)[..., None, None]
        rows, columns = (matrix[i, 0] * y + matrix[i, 1] * x + start[i] for i in (0, 1))
        if "elastic" in self.changes:
            bends = self._bends(2 * n, height, width)
            rows += bends[:n]
            columns += bends[n:]
        return rows, columns

    def _bends(self, n: int, height: int, width: int) -> NDArray:
        """Smooth random displacements, as products with Gaussian bands on both sides."""
        noise = self.rng.standard_normal((n, height, width), dtype=np.float32)
        smooth = _band(height) @ noise @ _band(width).T
        smooth *= self._limit("elastic")
        return smooth


def _band(size: int) -> NDArray:
    """A Gaussian around each place, scaled so that white noise comes out with a spread of 1."""
    places = np.arange(size)
    band = np.exp(-(((places[:, None] - places) / (size / 7)) ** 2) / 2)
    normed: NDArray = (band / np.sqrt(np.sum(band**2, axis=1, keepdims=True))).astype(np.float32)
    return normed


def _sample(images: NDArray, rows: NDArray, columns: NDArray) -> NDArray:
    """Mix the four pixels around each place; outside the image there is 0."""
    n, height, width = images.shape
    padded = np.pad(images, ((0, 0), (1, 2), (1, 2)))
    rows, columns = np.clip(rows + 1, 0, height + 1), np.clip(columns + 1, 0, width + 1)
    top, left = rows.astype(np.intp), columns.astype(np.intp)
    down, right = rows - top, columns - left
    start = (np.arange(n)[:, None, None] * (height + 3) + top) * (width + 3) + left
    flat = padded.reshape(-1)
    upper = flat[start] * (1 - right) + flat[start + 1] * right
    start += width + 3
    lower = flat[start] * (1 - right) + flat[start + 1] * right
    mixed = upper * (1 - down) + lower * down
    if images.dtype.kind in "iu":
        np.rint(mixed, out=mixed)
    result: NDArray = mixed.astype(images.dtype)
    return result
