"""Find a digit in a picture: what is ink, and which ink is the digit.

Paper may be lit unevenly, lie on a table or in the black frame of a scanner, be ruled, speckled or grainy. A digit is
a stroke that stands out from the paper around it. It keeps clear of the edges of the picture, unless nothing else does.
"""

from __future__ import annotations

from functools import reduce
from typing import Any, NamedTuple

import numpy as np

from ..errors import DataError, require
from ..typing import NDArray

__all__ = ["EMPTY", "find_digit"]

BLANK = "holds no digit: nothing in it stands out from the paper"
EMPTY = "the picture is empty: all of its pixels are equal"

WINDOW = 0.3
"""The share of the picture's longer side over which the paper's brightness is followed; no stroke is as thick."""

SHARES = (0.4, 0.3, 0.2, 0.12, 0.07, 0.04, 0.02, 0.0)
"""The shares of the strongest ink down to which the edge of a stroke is followed, one after the other."""

HALFTONE = 0.15
"""The least grain of a picture whose greys are dots of black and white."""

STROKE = 0.4
"""The least share of the strongest ink that other strokes of a digit reach; rules and grain of paper are weaker."""

FLAT = 0.15
"""The height of a rule in shares of its width, at most."""

SHADE = 0.2
"""The share of a picture from which what is dark may be a shadow."""

THIN, PEN = 0.05, 0.1
"""The width of strokes in shares of a digit's size: of a fine pen, at most; and as wide as they are then made."""

SQUARE = 4
"""The angle of a sheet, in degrees, up to which it is not turned upright."""

WRITTEN = 0.001
"""The least share of a sheet of paper that a digit on it covers."""


class NothingWrittenError(DataError):
    """There is only paper."""


class Box(NamedTuple):
    """A part of a picture; its ends are not part of it."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def size(self) -> int:
        return max(self.height, self.width)

    @property
    def part(self) -> tuple[slice, slice]:
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def touches(self, shape: tuple[int, ...]) -> bool:
        """Whether it reaches an edge of the picture."""
        return min(self.top, self.left) <= 0 or self.bottom >= shape[0] or self.right >= shape[1]

    def across(self, other: Box) -> int:
        """The width of the gap between two boxes; negative if they overlap."""
        return max(self.left, other.left) - min(self.right, other.right)

    def down(self, other: Box) -> int:
        """The height of the gap between two boxes; negative if they overlap."""
        return max(self.top, other.top) - min(self.bottom, other.bottom)

    def join(self, other: Box) -> Box:
        """The smallest box with both in it."""
        return Box(
            min(self.top, other.top),
            min(self.left, other.left),
            max(self.bottom, other.bottom),
            max(self.right, other.right),
        )

    def grow(self, by: float, shape: tuple[int, ...]) -> Box:
        """Move each side out, but not out of the picture."""
        d = round(by)
        return Box(
            max(self.top - d, 0),
            max(self.left - d, 0),
            min(self.bottom + d, shape[0]),
            min(self.right + d, shape[1]),
        )

    def contains(self, other: Box) -> bool:
        return self.join(other) == self


class Pieces:
    """The connected pieces of a mask, each with its box."""

    def __init__(self, mask: NDArray) -> None:
        ndimage = _ndimage()
        self.labels: NDArray = ndimage.label(mask, np.ones((3, 3)))[
            0
        ]  # thin strokes are joined at corners only
        self.areas: NDArray = np.bincount(self.labels.ravel())[1:]
        found = ndimage.find_objects(self.labels)
        self.boxes = [Box(y.start, x.start, y.stop, x.stop) for y, x in found]

    def mask(self, i: int) -> NDArray:
        """The piece within its box."""
        mask: NDArray = self.labels[self.boxes[i].part] == i + 1
        return mask

    def is_along_a_side(self, i: int) -> bool:
        """Whether a piece covers one side of the picture, as a table or a frame does."""
        sides = self.labels[0], self.labels[-1], self.labels[:, 0], self.labels[:, -1]
        return any((side == i + 1).mean() > 0.9 for side in sides)

    def is_rule(self, i: int) -> bool:
        """Whether a piece is a line from left to right, as under a digit."""
        return self.boxes[i].height < FLAT * self.boxes[i].width

    def is_blot(self, i: int) -> bool:
        """Whether a piece is as solid as a blot or a hole in the paper; strokes leave most of their box free."""
        return bool(0.5 < self.boxes[i].height / self.boxes[i].width < 2 and self.mask(i).mean() > 0.7)


def find_digit(grey: NDArray, ripples: float = 0.0) -> NDArray:
    """Return the ink of the digit in a picture: 0 is paper, and 1 the strongest ink.

    Parameters
    ----------
    grey : ndarray of float32, shape (H, W)
        From 0, black, to 1, white.
    ripples : float, default 0
        What is weaker than this share of the strongest ink is none.

    Returns
    -------
    ndarray of float32, shape (h, w)
        Cut to the digit.

    Raises
    ------
    DataError
        If there is no digit, or more than one.
    MissingExtraError
        If scipy is not installed.
    """
    search = _Search(grey)
    if search.sheet:  # on a table, or in the frame of a scanner
        try:
            return find_digit(search.cut_sheet(grey), ripples)
        except NothingWrittenError:
            search = _Search(grey, may_hold_sheet=False)
    if not search.is_uneven and (search.is_cut or search.dark > SHADE):  # or is that the shadow of something?
        shaded = _Search(grey, may_hold_sheet=False, may_be_even=False)
        if not shaded.is_cut and shaded.dark < 0.5 * search.dark:
            search = shaded
    return search.digit(ripples)


class _Search:
    """The contrast of one picture to its paper, and the strongest piece of ink in it."""

    is_cut = False

    def __init__(self, grey: NDArray, *, may_hold_sheet: bool = True, may_be_even: bool = True) -> None:
        ndimage = _ndimage()
        self.shape, self.may_hold_sheet = grey.shape, may_hold_sheet
        grain = _grain(grey)
        # Dots of a halftone are coarser than the noise of a sensor.
        fine, coarse = max(self.shape) / 600, max(3.0, max(self.shape) / 250)
        blur = 0.0 if grain <= 0.004 else fine if grain < HALFTONE else coarse
        calm = ndimage.gaussian_filter(grey, blur, mode="nearest") if blur else grey
        sign, paper = _paper(calm, may_be_even)
        self.raw, self.contrast = ((sign * (paper - image)) for image in (grey, calm))
        self.is_uneven = isinstance(paper, np.ndarray)
        if sign > 0 and self.is_uneven:  # light multiplies: what is darker has less contrast
            self.raw, self.contrast = (image / np.maximum(paper, 0.02) for image in (self.raw, self.contrast))
        self.is_grainy = blur > 0 or float(np.std(_border(self.contrast))) > 0.01
        off = self.contrast[self.contrast < 0.3 * self.contrast.max()]
        if blur and self.is_uneven:
            level = np.median(off)
            self.raw, self.contrast, off = self.raw - level, self.contrast - level, off - level
        # What is lighter than paper is noise, if there is enough of it.
        lighter = off[off < 0]
        self.noise = (
            1.4826 * float(-np.median(lighter)) if self.is_grainy and lighter.size > 0.1 * grey.size else 0.0
        )
        self.dark = float((self.contrast > 0.2 * self.contrast.max()).mean())  # the share of the picture
        self.outside: NDArray = np.zeros(self.shape, bool)
        self.sheet: tuple[Box, NDArray] | None = None  # its box, and where it is in that
        self._find()

    def _find(self) -> None:
        """Find the pieces of strong ink, and the main one; at the edge only if nothing else is there."""
        ndimage, longer = _ndimage(), max(self.shape)
        strongest = float(self.contrast.max())
        cut: tuple[Pieces, int, float] | None = None
        while True:
            left = self.contrast[~self.outside]
            peak = float(left.max()) if left.size else 0.0
            if peak <= max(5 * self.noise, 0.02, 0.1 * strongest):
                break
            pieces = Pieces((self.contrast > 0.5 * peak) & ~self.outside)
            boxes = pieces.boxes
            shares = {i: self._written(pieces, i) for i in range(len(boxes) if self.may_hold_sheet else 0)}
            sheets = {i: share for i, share in shares.items() if share is not None}
            if written := [i for i, share in sheets.items() if WRITTEN <= share < 0.4]:
                sheet = max(written, key=lambda i: boxes[i].size)
                self.sheet = boxes[sheet], pieces.mask(sheet)
                return
            # The rim of something at the edge belongs to it.
            rim = ndimage.binary_dilation(self.outside)
            rims = set(np.unique(pieces.labels[rim]))
            outer = [
                i for i, box in enumerate(boxes) if box.touches(self.shape) or i + 1 in rims or i in sheets
            ]
            least = longer * (0.04 if outer or self.outside.any() else 0.015)
            large = [i for i in outer if boxes[i].size >= 0.1 * longer and i not in sheets]
            if cut is None and large:
                cut = pieces, max(large, key=lambda i: boxes[i].size), peak
            self.good = [i for i, box in enumerate(boxes) if i not in outer and box.size >= least]
            off = [i for i in outer if i not in sheets and not pieces.is_along_a_side(i)]
            # If most of the ink is strokes that run off the picture, the digit does.
            if cut and not self.outside.any() and pieces.areas[off].sum() > pieces.areas[self.good].sum():
                break
            if self.good:
                self.is_cut = False
                self.pieces, self.peak = pieces, peak
                strokes = [i for i in self.good if not pieces.is_rule(i)]
                self.main = max(strokes or self.good, key=lambda i: boxes[i].size)
                return
            if not outer:
                break
            self.outside |= ndimage.binary_dilation(
                np.isin(pieces.labels, [i + 1 for i in outer]), iterations=3
            )
        if cut is None:
            raise NothingWrittenError(BLANK)
        self.outside[:] = False
        self.is_cut = True
        self.pieces, self.main, self.peak = cut
        self.good = [self.main]

    def cut_sheet(self, grey: NDArray) -> NDArray:
        """Cut the sheet of paper out of the picture, and turn it upright; paper goes on beyond its edges."""
        assert self.sheet is not None
        ndimage, (box, mask) = _ndimage(), self.sheet
        inner = box.grow(-3, self.shape)
        filled = ndimage.binary_fill_holes(mask)
        filled = ndimage.binary_erosion(filled, iterations=3, border_value=1)[3:-3, 3:-3]
        nearest = ndimage.distance_transform_edt(~filled, return_distances=False, return_indices=True)
        cut: NDArray = grey[inner.part][tuple(nearest)]
        angle, _, _ = _rectangle(filled)
        angle -= 90 if angle > 45 else 0
        return ndimage.rotate(cut, angle, order=1, mode="nearest") if abs(angle) > SQUARE else cut

    def _written(self, pieces: Pieces, i: int) -> float | None:
        """Return the share of a sheet of paper that is written on; None for a piece that is no sheet.

        A sheet is large, has four corners, and is filled but for what is written on it.
        """
        box, least = pieces.boxes[i], 0.3 * max(self.shape)
        if min(box.height, box.width) < least:
            return None
        mask = pieces.mask(i)
        filled = _ndimage().binary_fill_holes(mask)
        _, height, width = _rectangle(filled)
        area = filled.sum()
        if area < 0.85 * height * width or min(height, width) < least:
            return None
        written = float(1 - mask.sum() / area)
        # A thick "1" is as solid as a blank sheet, but narrower.
        return None if written < WRITTEN and min(height, width) < 0.5 * max(height, width) else written

    def digit(self, ripples: float) -> NDArray:
        """Return the ink of the main piece, and of the parts of the same digit beside it."""
        weakest = max(ripples, 0.1 if self.is_uneven or self.noise else 0.0) * self.peak
        if self.is_cut:
            return self._take_all(weakest)
        areas = self.pieces.areas
        self._choose(areas)
        threshold, pieces, box = self._follow_edges(weakest)
        is_blot = self.pieces.is_blot(self.main)
        alike = [i for i in self.good if is_blot or not self.pieces.is_blot(i)]
        if areas[self.main] < 0.7 * areas[alike].sum():  # the pen left only bits of a digit
            bits = [b for b in self.pieces.boxes if not b.touches(self.shape)]
            box = reduce(Box.join, bits, box)
        reach = box.size
        for other in pieces:
            if self.is_grainy and self.contrast[other.part].max() < STROKE * self.peak:
                continue
            if other.height < FLAT * other.width and other.top >= box.bottom and other.width > 0.7 * reach:
                continue  # a line below the digit
            distance = max(box.across(other), box.down(other), 0)
            is_stroke = (
                distance <= 0.25 * reach and 0.1 * reach <= other.size and not other.touches(self.shape)
            )
            if other.size <= reach and (is_stroke or distance <= 0.04 * reach):
                box = box.join(other)
        return self._cut(threshold, box)

    def _take_all(self, weakest: float) -> NDArray:
        """Return all ink, as far as it stands out from the grain at the edges of the picture."""
        grain = 5 * float(np.quantile(_border(self.contrast), 0.9))
        threshold = max(weakest, 4 * self.noise, min(grain, 0.5 * self.peak))
        rows, columns = (np.flatnonzero((self.contrast > threshold).any(axis=axis)) for axis in (1, 0))
        return self._cut(threshold, Box(rows[0], columns[0], rows[-1] + 1, columns[-1] + 1))

    def _cut(self, threshold: float, box: Box) -> NDArray:
        """Cut the ink above a threshold out of the picture."""
        ink = np.where((self.contrast > threshold) & ~self.outside, self.raw, 0)[box.part]
        contrast = self.contrast[box.part] / self.contrast[box.part].max()
        return _thicken(np.clip(ink / self.contrast[box.part].max(), 0, 1).astype(np.float32), contrast > 0.5)

    def _choose(self, areas: NDArray) -> None:
        """Prefer strokes to blots, and refuse several digits side by side."""
        pieces, boxes = self.pieces, self.pieces.boxes
        strokes = [i for i in self.good if not pieces.is_blot(i)]
        if pieces.is_blot(self.main):
            near = [i for i in strokes if boxes[i].size > 0.4 * boxes[self.main].size]
            self.main = max(near, key=lambda i: boxes[i].size, default=self.main)
        main = boxes[self.main]
        digits = [self.main, *(i for i in strokes if i != self.main and _is_beside(boxes[i], main))]
        if len(digits) > 1 and areas[digits].sum() > 0.8 * areas[strokes].sum():
            raise DataError(
                f"holds several digits ({len(digits)} found); cut it into pictures of one digit each"
            )

    def _follow_edges(self, weakest: float) -> tuple[float, list[Box], Box]:
        """Lower the threshold as long as the main piece stays clear of the edge and keeps its size."""
        core = self.pieces.boxes[self.main]
        window = core.grow(0.6 * core.size, self.shape)
        contrast = np.where(self.outside, -1, self.contrast)[window.part]
        allowed = core.grow(0.3 * core.size, self.shape)
        y, x = np.argwhere(self.pieces.mask(self.main))[0] + (core.top, core.left)
        threshold, boxes, box = 0.5 * self.peak, self.pieces.boxes, core
        for share in SHARES:
            lower = max(share * self.peak, weakest, 6 * self.noise)
            if lower >= threshold:
                break
            pieces = Pieces(contrast > lower)
            shifted = [
                Box(b.top + window.top, b.left + window.left, b.bottom + window.top, b.right + window.left)
                for b in pieces.boxes
            ]
            wider = shifted[pieces.labels[y - window.top, x - window.left] - 1]
            if wider.touches(self.shape) or not allowed.contains(wider):
                break
            threshold, box = lower, wider
            boxes = [shifted[i] for i, b in enumerate(pieces.boxes) if not b.touches(contrast.shape)]
        return threshold, boxes, box


def _rectangle(mask: NDArray) -> tuple[float, float, float]:
    """The smallest rectangle around a piece: its angle in degrees, from 0 to 90, and its two sides."""
    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    y, x = np.nonzero(edges)
    found = [
        (float(angle), np.ptp(x * np.cos(t) + y * np.sin(t)), np.ptp(y * np.cos(t) - x * np.sin(t)))
        for angle, t in ((angle, np.radians(angle)) for angle in range(0, 90, 2))
    ]
    return min(found, key=lambda rectangle: rectangle[1] * rectangle[2])


def _thicken(ink: NDArray, strokes: NDArray) -> NDArray:
    """Widen the strokes of a fine pen, which would fade when the picture is made small."""
    ndimage, size = _ndimage(), max(ink.shape)
    # Across a stroke, the distances to the paper rise from 1 to half its width.
    width = 4 * float(ndimage.distance_transform_edt(np.pad(strokes, 1))[1:-1, 1:-1][strokes].mean()) - 2
    if width >= THIN * size:
        return ink
    margin = round((PEN * size - width) / 2)
    paper = np.pad(~strokes, margin, constant_values=True)
    thick: NDArray = np.maximum(ndimage.distance_transform_edt(paper) <= margin, np.pad(ink, margin))
    return thick.astype(np.float32)


def _is_beside(box: Box, main: Box) -> bool:
    """Whether a piece is another digit, on the same line or in the same column, and not a part of the same one."""
    both, size = box.join(main), max(box.height, main.height)
    if min(box.height, main.height) < 0.6 * size:
        return False
    if -box.down(main) >= 0.6 * size and box.across(main) > 0.05 * size:
        return both.width > 1.1 * size or max(box.width, main.width) < 0.25 * size
    is_wide = min(box.width, main.width) > 0.35 * size
    return is_wide and -box.across(main) >= 0.6 * min(box.width, main.width) and box.down(main) > 0.25 * size


def _paper(grey: NDArray, may_be_even: bool) -> tuple[int, Any]:
    """Find out whether ink is dark (1) or light (-1), and how bright the paper is: a number, or one for each pixel."""
    border = _border(grey)
    low, high = float(grey.min()), float(grey.max())
    if high - low < 0.02:
        raise NothingWrittenError(EMPTY)
    where = (float(np.median(border)) - low) / (high - low)
    is_clear = not 0.2 < where < 0.8
    sign = (1 if where > 0.5 else -1) if is_clear else _ink_by_shape(grey)
    paper = border[sign * (border - (low + high) / 2) >= 0]
    # Strokes may cross up to a third of it.
    if may_be_even and is_clear and np.ptp(np.quantile(sign * paper, [0.35, 0.98])) < 0.1 * (high - low):
        return sign, float(np.median(paper))
    return sign, _follow_paper(grey, sign)


def _ink_by_shape(grey: NDArray) -> int:
    """Tell dark ink (1) from light ink (-1): strokes are narrow, so they differ more from the mean around them."""
    rest = grey - _ndimage().gaussian_filter(grey, max(grey.shape) / 12, mode="nearest")
    return -1 if np.mean(rest**3) > 0 else 1


def _follow_paper(grey: NDArray, sign: int) -> NDArray:
    """Estimate the brightness of the paper by closing over the strokes: each is narrower than the window."""
    ndimage = _ndimage()
    step = -(-max(grey.shape) // 256)
    rows, columns = (n // step * step for n in grey.shape)
    small = sign * grey[:rows, :columns].reshape(rows // step, step, columns // step, step).mean(axis=(1, 3))
    window = max(3, round(WINDOW * max(small.shape))) | 1
    small = ndimage.gaussian_filter(small, 2, mode="nearest")  # a closing follows the lightest grains
    pads = [(min(window, n - 1),) * 2 for n in small.shape]
    # The slope of the light goes on beyond the edge.
    padded = np.pad(small, pads, mode="reflect", reflect_type="odd")
    (top, _), (left, _) = pads
    closed = ndimage.grey_closing(padded, size=window)[
        top : top + small.shape[0], left : left + small.shape[1]
    ]
    smooth = ndimage.gaussian_filter(closed, window / 8, mode="nearest")
    zoom = [n / m for n, m in zip(grey.shape, small.shape, strict=True)]
    paper: NDArray = sign * ndimage.zoom(smooth, zoom, order=1, mode="nearest", grid_mode=True)
    return paper


def _border(image: NDArray) -> NDArray:
    return np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])


def _grain(grey: NDArray) -> float:
    """Return the standard deviation of noise from pixel to pixel, as it is along the edges of the picture."""
    sides = grey[:4], grey[-4:], grey[:, :4].T, grey[:, -4:].T
    return float(np.median([np.std(np.diff(side, 2)) for side in sides])) / 6**0.5


def _ndimage() -> Any:
    return require("scipy.ndimage", extra="pictures", purpose="finding the digit in a picture")
