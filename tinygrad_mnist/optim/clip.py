"""Gradient clipping, between ``backward()`` and ``step()``."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from ..errors import OptionError
from ..quiet import let_vanish
from ..sparse import SparseGradient
from ..tensor import Tensor
from ..typing import NDArray

__all__ = ["clip_grad_norm_", "clip_grad_value_"]


@let_vanish
def clip_grad_norm_(params: Tensor | Iterable[Tensor], max_norm: float) -> float:
    """Scale all gradients together so that their joint Euclidean norm is at most ``max_norm``.

    Parameters
    ----------
    params : Tensor, or iterable of Tensors
        Those without a gradient are skipped.
    max_norm : float

    Returns
    -------
    float
        The norm before clipping. If it is infinite or NaN, the gradients become 0 or NaN, as in PyTorch: check it.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> x = tg.tensor([3.0, 4.0], requires_grad=True)
    >>> (x * x / 2).sum().backward()
    >>> clip_grad_norm_([x], 1.0)
    5.0
    >>> x.grad
    tensor([0.6, 0.8])
    """
    params = _given("clip_grad_norm_", params)
    if not isinstance(max_norm, (int, float, np.number)) or not max_norm > 0:
        raise OptionError(f"clip_grad_norm_: max_norm = {max_norm!r} is not positive")
    found = [(p, _numbers(p.grad)) for p in params if p.grad is not None]
    norm = _norm([g for _, g in found])
    if not norm <= max_norm:
        with np.errstate(invalid="ignore"):  # an infinite gradient becomes NaN
            for p, g in found:
                _replace(p, _scale(g, max_norm, norm))
    return norm


def _given(name: str, params: Tensor | Iterable[Tensor]) -> list[Tensor]:
    """List the parameters of a call; there must be some."""
    if hasattr(params, "parameters") or not isinstance(params, (Tensor, Iterable)):
        raise OptionError(
            f"{name}: got a {type(params).__name__}; pass its parameters, as in {name}(model.parameters(), 1.0)"
        )
    found = [params] if isinstance(params, Tensor) else list(params)
    if not found:
        raise OptionError(
            f"{name}: there are no parameters; what model.parameters() returned is empty after its first use, so call "
            "it again"
        )
    return found


def _norm(arrays: list[NDArray]) -> float:
    """The joint Euclidean norm, even if squares would overflow or vanish."""
    parts = [part for g in arrays for part in ((g.real, g.imag) if g.dtype.kind == "c" else (g,)) if g.size]
    parts = [part.astype(np.float32) if part.dtype == np.float16 else part for part in parts]
    with np.errstate(over="ignore"):
        total = sum(float(np.vdot(part, part)) for part in parts)
    if 1e-25 < total < math.inf:
        return math.sqrt(total)
    largest = float(np.max([np.abs(part).max() for part in parts], initial=0))
    if not 0 < largest < math.inf:
        return largest
    wide = [part.astype(np.float64) / largest for part in parts]
    return largest * math.sqrt(sum(float(np.vdot(part, part)) for part in wide))


def _scale(g: NDArray, size: float, norm: float) -> NDArray:
    """``g * size / norm``, even if the factor is too small for the dtype of ``g``."""
    factor = size / norm
    if factor < np.finfo(g.dtype).smallest_normal and norm < math.inf:
        return (g.astype(np.result_type(g.dtype, np.float64)) / norm * size).astype(g.dtype)
    return g * factor


def clip_grad_value_(params: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Limit every element of every gradient to ``[-clip_value, clip_value]``.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> x = tg.tensor([3.0, -0.5], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> clip_grad_value_([x], 2.0)
    >>> x.grad
    tensor([ 2., -1.])
    """
    params = _given("clip_grad_value_", params)
    if not clip_value > 0:
        raise OptionError(f"clip_grad_value_: clip_value = {clip_value!r} is not positive")
    for p in params:
        if p.grad is not None:
            _replace(p, np.clip(_numbers(p.grad), -clip_value, clip_value))


def _numbers(grad: Tensor | SparseGradient) -> NDArray:
    """The numbers of a gradient, without zeros that are not stored."""
    return grad.values if isinstance(grad, SparseGradient) else grad.data


def _replace(p: Tensor, numbers: NDArray) -> None:
    """Give a parameter a gradient with other numbers."""
    p.grad = p.grad.with_values(numbers) if isinstance(p.grad, SparseGradient) else Tensor(numbers)
