"""Gradients limited in size, between ``backward()`` and ``step()``."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from ..errors import OptionError
from ..tensor import Tensor

__all__ = ["clip_grad_norm_", "clip_grad_value_"]


def clip_grad_norm_(params: Tensor | Iterable[Tensor], max_norm: float) -> float:
    """Scale all gradients together so that their joint Euclidean norm is at most ``max_norm``.

    Parameters
    ----------
    params : Tensor, or iterable of Tensors
        Those without a gradient are passed over.
    max_norm : float

    Returns
    -------
    float
        The norm before.

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
    params = [params] if isinstance(params, Tensor) else params
    if not max_norm > 0:
        raise OptionError(f"clip_grad_norm_: max_norm = {max_norm!r} is not positive")
    found = [(p, p.grad.data) for p in params if p.grad is not None]
    norm = math.sqrt(sum(float(np.vdot(g, g).real) for _, g in found))
    if norm > max_norm:
        for p, g in found:
            p.grad = Tensor(g * (max_norm / norm))
    return norm


def clip_grad_value_(params: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Limit every element of every gradient to ``[-clip_value, clip_value]``."""
    params = [params] if isinstance(params, Tensor) else params
    if not clip_value > 0:
        raise OptionError(f"clip_grad_value_: clip_value = {clip_value!r} is not positive")
    for p in params:
        if p.grad is not None:
            p.grad = Tensor(np.clip(p.grad.data, -clip_value, clip_value))
