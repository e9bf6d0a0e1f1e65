"""Vectors of words and of other things that are numbered."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import OptionError
from ...operands import generator
from ...typing import Array
from .. import functional as F  # noqa: N812
from .. import init
from ..module import Module, Parameter
from .arguments import Initialiser, positive

__all__ = ["Embedding"]


class Embedding(Module):
    """A vector for each of a number of words, looked up by its index.

    Parameters
    ----------
    num_embeddings, embedding_dim : int
        The number of words, and the length of their vectors.
    padding_idx : int, optional
        The index of a word that stands for nothing: its vector begins at zero and is not learned.
    sparse : bool, default False
        Whether the gradient of the weight holds the rows that a batch uses and no others: see the notes.
    weight_init : str or callable
        An initialiser of :mod:`tinygrad_mnist.nn.init`; by default from N(0, 1), as in PyTorch.
    rng : numpy.random.Generator or seed
        Source of the random numbers.
    dtype : dtype, default float32

    Notes
    -----
    With ``sparse=True``, a step with :class:`~tinygrad_mnist.optim.SGD`, :class:`~tinygrad_mnist.optim.Adagrad` or
    :class:`~tinygrad_mnist.optim.SparseAdam` takes a time that does not grow with the number of words.
    ``weight.grad`` is then a :class:`~tinygrad_mnist.sparse.SparseGradient`. Other optimizers refuse it, because
    they move every word in every step.

    Examples
    --------
    >>> layer = Embedding(50, 8, rng=0)
    >>> layer(np.array([[3, 1, 49], [0, 0, 7]])).shape
    (2, 3, 8)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        *,
        sparse: bool = False,
        weight_init: Initialiser = "standard_normal",
        rng: np.random.Generator | int | None = None,
        dtype: Any = np.float32,
    ) -> None:
        n, size = self.num_embeddings, self.embedding_dim = positive(
            "Embedding", (num_embeddings, embedding_dim)
        )
        if padding_idx is not None and not -n <= padding_idx < n:
            raise OptionError(f"Embedding: padding_idx={padding_idx!r} is not the index of one of {n} words")
        self.sparse = sparse
        self.padding_idx = None if padding_idx is None else padding_idx % n
        drawn = init.get(weight_init)((n, size), rng=generator(rng))
        if self.padding_idx is not None:
            drawn[self.padding_idx] = 0
        self.weight = Parameter(drawn, dtype=dtype)

    def forward(self, input: Array) -> Array:
        return F.embedding(input, self.weight, self.padding_idx, sparse=self.sparse)
