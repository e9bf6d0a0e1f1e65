"""NumPy's Fourier transforms.

A transform multiplies by a matrix, and its gradient multiplies by the transposed matrix. The matrix
of ``fft`` is symmetric, so the rule of ``fft`` is ``fft`` again, and the same holds for ``ifft``.
``rfft`` and ``irfft`` connect a real signal with the half of its spectrum that is kept. They are each
other's transposes with one exception: frequencies with a mirror image in the other half count twice.

These four are the operations. As in NumPy, the transforms of Hermitian signals and those over several
axes are built from them.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from ..errors import ShapeError, pluralise
from ..graph import conjugate
from ..primitive import Sample, implements, primitive
from ..typing import Array, NDArray
from .arguments import beside
from .indexing import along

Lengths = Sequence[int] | None
Axes = Sequence[int] | None
Norm = Literal["backward", "ortho", "forward"] | None

_SETTINGS: list[dict[str, Any]] = [{}, {"n": 5, "axis": 0, "norm": "ortho"}, {"n": 2, "norm": "forward"}]
_REAL = [Sample((3, 4), **settings) for settings in _SETTINGS]
_COMPLEX = [Sample((3, 4), complex=True, **settings) for settings in _SETTINGS]

# -- along one axis ------------------------------------------------------------------------------


@primitive(np.fft.fft, samples=[*_REAL[:2], *_COMPLEX, Sample((3,), complex=True)], jvp="linear")
def fft(a: Array, /, n: int | None = None, axis: int = -1, norm: Norm = None) -> Array:
    """Discrete Fourier transform of ``a``, cropped or padded with zeros to length ``n``."""
    return np.fft.fft(a, n, axis, norm)


@primitive(np.fft.ifft, samples=[*_REAL[:2], *_COMPLEX, Sample((3,), complex=True)], jvp="linear")
def ifft(a: Array, /, n: int | None = None, axis: int = -1, norm: Norm = None) -> Array:
    """The inverse of :data:`fft`."""
    return np.fft.ifft(a, n, axis, norm)


def resize(x: Array, n: int, axis: int) -> Array:
    """``x`` cropped or padded with zeros to length ``n``, which undoes the same step of a transform."""
    if x.shape[axis] >= n:
        return x[along(axis % x.ndim, slice(n))]
    widths = [(0, 0)] * x.ndim
    widths[axis] = (0, n - x.shape[axis])
    return np.pad(x, widths)


fft.vjp(lambda g, y, a, n, axis, norm: resize(np.fft.fft(g, None, axis, norm), a.shape[axis], axis))
ifft.vjp(lambda g, y, a, n, axis, norm: resize(np.fft.ifft(g, None, axis, norm), a.shape[axis], axis))


@primitive(np.fft.rfft, samples=[*_REAL, Sample((3,)), Sample((1,)), Sample((3,), n=4)], jvp="linear")
def rfft(a: Array, /, n: int | None = None, axis: int = -1, norm: Norm = None) -> Array:
    """The frequencies from 0 up of a real signal; the others are their mirror image."""
    return np.fft.rfft(a, n, axis, norm)


@primitive(np.fft.irfft, samples=[*_COMPLEX, *_REAL[:2], Sample((3,), complex=True, n=3)], jvp="linear")
def irfft(a: Array, /, n: int | None = None, axis: int = -1, norm: Norm = None) -> Array:
    """The inverse of :data:`rfft`: a real signal of length ``n``."""
    return np.fft.irfft(a, n, axis, norm)


def shares(n: int, y: Array, axis: int) -> NDArray:
    """1 for the frequencies 0 and n/2 of a real signal, 1/2 for those in between, which occur twice."""
    weights = np.full(n // 2 + 1, 0.5, np.finfo(y.dtype).dtype)
    weights[0] = 1
    if n % 2 == 0:
        weights[-1] = 1
    return beside(y, weights.reshape((-1,) + (1,) * (y.ndim - 1 - axis % y.ndim)))


def rfft_rule(g: Array, y: Array, a: Array, n: int | None, axis: int, norm: Norm) -> Array:
    """The real part of the ``fft`` of ``g`` without its mirror image: ``hfft`` of the shares adds it back."""
    n = a.shape[axis] if n is None else n
    return resize(np.fft.hfft(g * shares(n, y, axis), n, axis, norm), a.shape[axis], axis)


def irfft_rule(g: Array, y: Array, a: Array, n: int | None, axis: int, norm: Norm) -> Array:
    """The spectrum of ``g``, times how often each frequency was used; imaginary parts of 0 and n/2 never were."""
    spectrum = np.fft.ihfft(g, None, axis, norm) / shares(y.shape[axis], y, axis)
    return resize(spectrum, a.shape[axis], axis)


rfft.vjp(rfft_rule)
irfft.vjp(irfft_rule)

# -- Hermitian signals, which have a real spectrum -----------------------------------------------

_OPPOSITE: dict[Any, Any] = {None: "forward", "backward": "forward", "forward": "backward"}


@implements(np.fft.hfft, samples=[*_COMPLEX, Sample((3,), complex=True, n=5)])
def hfft(a: Array, n: int | None = None, axis: int = -1, norm: Norm = None) -> Array:
    """The real spectrum of a Hermitian signal, of which ``a`` is the first half."""
    return np.fft.irfft(conjugate(a), n, axis, _OPPOSITE.get(norm, norm))


@implements(np.fft.ihfft, samples=[*_REAL, Sample((3,))])
def ihfft(a: Array, n: int | None = None, axis: int = -1, norm: Norm = None) -> Array:
    """The inverse of ``hfft``."""
    return np.conjugate(np.fft.rfft(a, n, axis, _OPPOSITE.get(norm, norm)))


# -- over several axes ---------------------------------------------------------------------------


def steps(a: Array, s: Lengths, axes: Axes, *, is_half: bool = False) -> list[tuple[int, int]]:
    """The transforms along single axes that make up one over several axes, each a pair of length and axis.

    As in NumPy, a length of -1 means the input's own length, and that is the default for all axes. The last
    axis of a half spectrum belongs to a signal about twice as long.
    """
    if axes is None:
        if s is not None:
            _warn_deprecated(f"s={s} without axes; pass axes={tuple(range(-len(s), 0))} too")
        axes = range(a.ndim) if s is None else range(-len(s), 0)
    lengths: list[Any] = [a.shape[axis] for axis in axes] if s is None else list(s)
    if len(lengths) != len(axes):
        raise ShapeError(
            f"fft: {pluralise(len(lengths), 'length')} s={s} for "
            f"{pluralise(len(axes), 'axis')} {tuple(axes)}; give one each"
        )
    if s is None and is_half:
        lengths[-1] = 2 * (lengths[-1] - 1)
    if None in lengths:
        _warn_deprecated(f"None in s={s}; pass -1 for an axis to keep its length")
    return [(a.shape[axis] if n == -1 else n, axis) for n, axis in zip(lengths, axes, strict=True)]


def _warn_deprecated(what: str) -> None:
    warnings.warn(f"NumPy 2.0 deprecated {what}", DeprecationWarning, stacklevel=6)


_SEVERAL: list[dict[str, Any]] = [
    {},
    {"axes": (1,), "norm": "forward"},
    {"s": (3, 2), "axes": (0, -1), "norm": "ortho"},
    {"s": (-1, 3), "axes": (0, 1)},
]
_REPEATED = {"axes": (0, 1, 1)}


@implements(np.fft.fftn, samples=[Sample((2, 3), complex=True, **_) for _ in (*_SEVERAL, _REPEATED)])
def fftn(a: Array, s: Lengths = None, axes: Axes = None, norm: Norm = None) -> Array:
    """``fft`` along one axis after the other, starting with the last."""
    for n, axis in reversed(steps(a, s, axes)):
        a = np.fft.fft(a, n, axis, norm)
    return a


@implements(np.fft.ifftn, samples=[Sample((2, 3), complex=True, **_) for _ in (*_SEVERAL, _REPEATED)])
def ifftn(a: Array, s: Lengths = None, axes: Axes = None, norm: Norm = None) -> Array:
    """The inverse of ``fftn``."""
    for n, axis in reversed(steps(a, s, axes)):
        a = np.fft.ifft(a, n, axis, norm)
    return a


@implements(np.fft.rfftn, samples=[Sample((2, 3), **_) for _ in (*_SEVERAL, _REPEATED)])
def rfftn(a: Array, s: Lengths = None, axes: Axes = None, norm: Norm = None) -> Array:
    """``rfft`` along the last of the axes, ``fft`` along the others."""
    several = steps(a, s, axes)
    a = np.fft.rfft(a, *several.pop(), norm)
    for n, axis in reversed(several):
        a = np.fft.fft(a, n, axis, norm)
    return a


@implements(np.fft.irfftn, samples=[Sample((2, 3), complex=True, **_) for _ in (*_SEVERAL, _REPEATED)])
def irfftn(a: Array, s: Lengths = None, axes: Axes = None, norm: Norm = None) -> Array:
    """The inverse of ``rfftn``."""
    several = steps(a, s, axes, is_half=True)
    for n, axis in several[:-1]:
        a = np.fft.ifft(a, n, axis, norm)
    return np.fft.irfft(a, *several[-1], norm)


_TWO: list[dict[str, Any]] = [{}, {"s": (3, 2), "norm": "ortho"}, {"axes": (0, 1)}]


@implements(np.fft.fft2, samples=[Sample((2, 2, 3), complex=True, **_) for _ in _TWO])
def fft2(a: Array, s: Lengths = None, axes: Axes = (-2, -1), norm: Norm = None) -> Array:
    """``fftn`` over the last two axes."""
    return np.fft.fftn(a, s, axes, norm)


@implements(np.fft.ifft2, samples=[Sample((2, 2, 3), complex=True, **_) for _ in _TWO])
def ifft2(a: Array, s: Lengths = None, axes: Axes = (-2, -1), norm: Norm = None) -> Array:
    """The inverse of ``fft2``."""
    return np.fft.ifftn(a, s, axes, norm)


@implements(np.fft.rfft2, samples=[Sample((2, 2, 3), **_) for _ in _TWO])
def rfft2(a: Array, s: Lengths = None, axes: Axes = (-2, -1), norm: Norm = None) -> Array:
    """``rfftn`` over the last two axes."""
    return np.fft.rfftn(a, s, axes, norm)


@implements(np.fft.irfft2, samples=[Sample((2, 2, 3), complex=True, **_) for _ in _TWO])
def irfft2(a: Array, s: Lengths = None, axes: Axes = (-2, -1), norm: Norm = None) -> Array:
    """The inverse of ``rfft2``."""
    return np.fft.irfftn(a, s, axes, norm)


# -- frequency 0 in the middle -------------------------------------------------------------------


@implements(np.fft.fftshift, samples=[Sample((3, 4)), Sample((3, 4), axes=0), Sample((3, 4), axes=(0, 1))])
def fftshift(x: Array, axes: int | Axes = None) -> Array:
    """Swap the halves of each axis, so that frequency 0 is in the middle."""
    axes = range(x.ndim) if axes is None else (axes,) if isinstance(axes, (int, np.integer)) else axes
    return np.roll(x, [x.shape[axis] // 2 for axis in axes], tuple(axes))


@implements(np.fft.ifftshift, samples=[Sample((3, 4)), Sample((3, 4), axes=0), Sample((3, 4), axes=(0, 1))])
def ifftshift(x: Array, axes: int | Axes = None) -> Array:
    """The inverse of ``fftshift``."""
    axes = range(x.ndim) if axes is None else (axes,) if isinstance(axes, (int, np.integer)) else axes
    return np.roll(x, [-(x.shape[axis] // 2) for axis in axes], tuple(axes))
