"""Attention: means of values, weighted by how well their keys fit a query."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import DTypeError, OptionError, ShapeError
from ..typing import Array, ArrayT
from .arguments import array
from .network import dropout, softmax

__all__ = ["scaled_dot_product_attention"]


def scaled_dot_product_attention(
    query: ArrayT, key: Array, value: Array, attn_mask: Array | None = None, dropout_p: float = 0.0,
    is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False, *,
    rng: np.random.Generator | int | None = None,
) -> ArrayT:  # fmt: skip
    r"""Take means of values, weighted by the softmax of the products of queries and keys [1]_.

    Parameters
    ----------
    query : Tensor or array, shape (…, L, E)
    key : Tensor or array, shape (…, S, E)
    value : Tensor or array, shape (…, S, F)
        The first axes are broadcast, such as those of the batch and of the heads.
    attn_mask : array of bool or float, broadcast to (…, L, S), optional
        True where a query may look at a key; or numbers that are added to the products. A query that may look at no key
        gets zeros.
    dropout_p : float in [0, 1), default 0
        The probability with which a weight is set to 0.
    is_causal : bool, default False
        Whether query i may look at the keys 0 to i only; instead of a mask.
    scale : float, optional
        The factor of the products; the default is 1 / √E.
    enable_gqa : bool, default False
        Whether several heads of queries, on the third axis from the end, share one head of keys and values.
    rng : numpy.random.Generator or seed
        Source of the random numbers for the dropout.

    Returns
    -------
    Tensor or array, shape (…, L, F)

    Notes
    -----
    .. math:: \mathrm{softmax}\left(\frac{Q K^T}{\sqrt{E}}\right) V

    References
    ----------
    .. [1] A. Vaswani et al., "Attention is all you need", NeurIPS (2017).

    Examples
    --------
    >>> # A query finds the first of two keys.
    >>> keys, values = np.array([[9.0, 0.0], [0.0, 9.0]]), np.array([[1.0], [2.0]])
    >>> scaled_dot_product_attention(np.array([[9.0, 0.0]]), keys, values)
    array([[1.]])
    """
    name = "scaled_dot_product_attention"
    query, key, value = array(query), array(key), array(value)
    shapes = f"query {query.shape}, key {key.shape}, value {value.shape}"
    if min(query.ndim, key.ndim, value.ndim) < 2:
        raise ShapeError(f"{name}: {shapes}; expected (…, L, E), (…, S, E) and (…, S, F)")
    if query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]:
        raise ShapeError(
            f"{name}: {shapes}; queries and keys must have the same number of features, and each key a value"
        )
    if enable_gqa:
        key, value = (_repeated(name, x, query) for x in (key, value))
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = (query * factor) @ np.swapaxes(key, -1, -2)
    size = scores.shape[-2:]
    if is_causal:
        if attn_mask is not None:
            raise OptionError(f"{name}: is_causal=True is a mask; pass it or attn_mask, not both")
        attn_mask = np.tri(*size, dtype=bool)
    weights = (
        softmax(scores) if attn_mask is None else _masked_softmax(name, scores, array(attn_mask), is_causal)
    )
    return dropout(weights, dropout_p, rng=rng) @ value


def _masked_softmax(name: str, scores: Array, mask: Array, is_causal: bool) -> Array:
    """The softmax, with zeros instead of NaN where everything is masked."""
    if not _fits(mask.shape, scores.shape):
        raise ShapeError(
            f"{name}: a mask of shape {mask.shape} does not fit products of shape {scores.shape}"
        )
    if mask.dtype == bool:
        scores = np.where(mask, scores, -math.inf)
    elif mask.dtype.kind == "f":
        scores = scores + (mask if mask.dtype == scores.dtype else mask.astype(scores.dtype))
    else:
        raise DTypeError(
            f"{name}: a mask of {mask.dtype}; pass booleans, True where a query may look, or floats"
        )
    if is_causal:
        return softmax(scores)
    is_blind: Array = np.all(scores == -math.inf, axis=-1, keepdims=True)
    return np.where(is_blind, 0, softmax(np.where(is_blind, 0, scores)))


def _fits(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return len(shape) <= len(wanted) and all(
        n in (1, m) for n, m in zip(reversed(shape), reversed(wanted), strict=False)
    )


def _repeated(name: str, x: Any, query: Any) -> Any:
    """Heads of keys or values, each for several heads of queries."""
    heads = query.shape[-3] if query.ndim > 2 else 1
    if x.ndim < 3 or heads % x.shape[-3]:
        raise ShapeError(
            f"{name}: enable_gqa=True with query {query.shape} and key or value {x.shape}; the number of heads of "
            "queries, on the third axis from the end, must be a multiple of the others'"
        )
    return np.repeat(x, heads // x.shape[-3], axis=-3)
