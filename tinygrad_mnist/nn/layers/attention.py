"""Attention of several heads, with PyTorch's names and masks."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np

from ...errors import OptionError, ShapeError
from ...typing import Array
from .. import functional as F  # noqa: N812
from .. import init
from ..module import Module, Parameter
from .arguments import positive, probability
from .linear import Linear

__all__ = ["MultiheadAttention"]


class MultiheadAttention(Module):
    """Look up values by the products of queries and keys, in several heads at once [1]_.

    Parameters
    ----------
    embed_dim, num_heads : int
        The number of features, and of the heads that share them.
    dropout : float in [0, 1), default 0
        The probability with which a weight is set to 0 in training.
    bias : bool, default True
    kdim, vdim : int, optional
        The number of features of keys and of values, ``embed_dim`` by default.
    batch_first : bool, default False
        Whether sequences are ``(N, L, features)`` instead of ``(L, N, features)``.
    rng : numpy.random.Generator or seed
        Source of the weights, drawn as in PyTorch, and of the dropout.
    dtype : dtype, default float32

    References
    ----------
    .. [1] A. Vaswani et al., "Attention is all you need", NeurIPS 2017.

    Examples
    --------
    >>> layer = MultiheadAttention(8, 2, batch_first=True, rng=0)
    >>> x = np.zeros((3, 5, 8), np.float32)
    >>> output, weights = layer(x, x, x, is_causal=True)
    >>> output.shape, weights.shape
    ((3, 5, 8), (3, 5, 5))
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        *,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        rng: np.random.Generator | int | None = None,
        dtype: Any = np.float32,
    ) -> None:
        name = type(self).__name__
        size, self.num_heads, self.kdim, self.vdim = positive(
            name, (embed_dim, num_heads, kdim or embed_dim, vdim or embed_dim)
        )
        if size % self.num_heads:
            raise OptionError(
                f"{name}: {size} features cannot be split among {self.num_heads} heads of equal size"
            )
        self.embed_dim, self.batch_first = size, batch_first
        self.dropout, self.rng = probability(name, "dropout", dropout), np.random.default_rng(rng)

        def drawn(*shape: int) -> Parameter:
            return Parameter(init.xavier_uniform(shape, rng=self.rng), dtype=dtype)

        if self.kdim == self.vdim == size:
            self.in_proj_weight = drawn(3 * size, size)
        else:
            self.q_proj_weight = drawn(size, size)
            self.k_proj_weight, self.v_proj_weight = drawn(size, self.kdim), drawn(size, self.vdim)
        self.in_proj_bias = Parameter(init.constant((3 * size,)), dtype=dtype) if bias else None
        self.out_proj = Linear(size, size, bias, bias_init="constant", rng=self.rng, dtype=dtype)

    def forward(
        self,
        query: Array,
        key: Array,
        value: Array,
        key_padding_mask: Array | None = None,
        need_weights: bool = True,
        attn_mask: Array | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Array, Array | None]:
        """Look up values.

        Parameters
        ----------
        query : shape (L, N, embed_dim), or (N, L, embed_dim) if batch_first, or (L, embed_dim)
        key, value : shape (S, N, kdim) and (S, N, vdim), or as for ``query``
        key_padding_mask : array of bool or float, shape (N, S), optional
            True where a key is to be ignored; or numbers that are added to the products of queries with it.
        need_weights : bool, default True
            Whether to return the weights of the values. Without them it is faster.
        attn_mask : array of bool or float, shape (L, S) or (N * heads, L, S), optional
            True where a query may *not* look at a key, as in PyTorch; or numbers that are added to the products.
        average_attn_weights : bool, default True
            Whether to return the mean of the weights of all heads, rather than those of each head.
        is_causal : bool, default False
            Whether query i may look at the keys 0 to i only.

        Returns
        -------
        output : of the shape of ``query``
        weights : shape (N, L, S), or (N, heads, L, S), or None
        """
        wanted = (self.embed_dim, self.kdim, self.vdim)
        given = (query, key, value)
        if {x.ndim for x in given} not in ({2}, {3}) or tuple(x.shape[-1] for x in given) != wanted:
            raise ShapeError(
                f"expects queries, keys and values of shape {', '.join(f'(…, {n})' for n in wanted)} with two or three "
                f"axes, got {', '.join(str(x.shape) for x in given)}"
            )
        is_single, is_self = query.ndim == 2, query is key is value
        heads = [self._heads(x) for x in self._projected(query, key, value, is_self)]
        settings = self._masks(key_padding_mask, attn_mask, is_causal, heads[0].shape[2], heads[1].shape[2])
        settings |= {"dropout_p": self.dropout if self.training else 0.0, "rng": self.rng}
        weights: Any = None
        if need_weights:  # what it finds in the unit matrix are the weights themselves
            unit = np.eye(heads[1].shape[2], dtype=heads[2].dtype)
            weights = F.scaled_dot_product_attention(heads[0], heads[1], unit, **settings)
            found = weights @ heads[2]
            weights = np.mean(weights, axis=1) if average_attn_weights else weights
        else:
            found = F.scaled_dot_product_attention(heads[0], heads[1], heads[2], **settings)
        joined = np.reshape(np.swapaxes(found, 1, 2), (found.shape[0], found.shape[2], self.embed_dim))
        output = self.out_proj(joined)
        if is_single:
            return output[0], None if weights is None else weights[0]
        return output if self.batch_first else np.swapaxes(output, 0, 1), weights

    def _projected(self, query: Array, key: Array, value: Array, is_self: bool) -> list[Array]:
        """Queries, keys and values for all heads; those of one input in one product."""
        bias = self.in_proj_bias
        biases = [None] * 3 if bias is None else np.split(bias, 3)
        if self.kdim == self.vdim == self.embed_dim:
            if is_self:
                return np.split(F.linear(query, self.in_proj_weight, bias), 3, axis=-1)
            weights: list[Any] = np.split(self.in_proj_weight, 3)
        else:
            weights = [self.q_proj_weight, self.k_proj_weight, self.v_proj_weight]
        return [F.linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases, strict=True)]

    def _heads(self, x: Array) -> Array:
        """Move the heads to an axis of their own: (N, heads, L, features)."""
        x = x[None] if x.ndim == 2 else x if self.batch_first else np.swapaxes(x, 0, 1)
        return np.swapaxes(np.reshape(x, (*x.shape[:2], self.num_heads, -1)), 1, 2)

    def _masks(
        self, padding: Array | None, mask: Array | None, is_causal: bool, queries: int, keys: int
    ) -> dict[str, Any]:
        """The masks that PyTorch's layer takes, as the one that attention takes."""
        parts: list[Any] = []
        if mask is not None:
            if np.shape(mask)[-2:] != (queries, keys):
                raise ShapeError(
                    f"expects an attn_mask of shape ({queries}, {keys}) or (N * heads, {queries}, {keys}), got "
                    f"{np.shape(mask)}"
                )
            parts.append(mask if mask.ndim == 2 else np.reshape(mask, (-1, self.num_heads, queries, keys)))
        if padding is not None:
            if np.shape(padding)[-1:] != (keys,):
                raise ShapeError(f"expects a key_padding_mask of shape (N, {keys}), got {np.shape(padding)}")
            parts.append(np.reshape(padding, (-1, 1, 1, keys)))
        if not parts:
            return {"is_causal": is_causal}
        if is_causal:
            parts.append(~np.tri(queries, keys, dtype=bool))
        if all(part.dtype == bool for part in parts):
            return {"attn_mask": ~reduce(np.logical_or, parts)}
        return {
            "attn_mask": sum(np.where(part, -np.inf, 0.0) if part.dtype == bool else part for part in parts)
        }
