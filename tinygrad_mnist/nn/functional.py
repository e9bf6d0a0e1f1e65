"""Functions of arrays or Tensors that NumPy lacks: activations, convolutions, pools, norms, losses, dropout.

For everything else, use NumPy itself: ``np.tanh(t)``, ``np.concatenate([a, b])``, ``t @ w``.
"""

from __future__ import annotations

from ..ops.convolutions import conv1d, conv2d, conv_transpose2d
from ..ops.embeddings import embedding
from ..ops.linear import linear
from ..ops.losses import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    huber_loss,
    l1_loss,
    mse_loss,
    nll_loss,
)
from ..ops.network import (
    dropout,
    elu,
    erf,
    gelu,
    leaky_relu,
    log_softmax,
    logit,
    logsumexp,
    one_hot,
    relu,
    sigmoid,
    softmax,
    softplus,
)
from ..ops.normalization import batch_norm, group_norm, layer_norm
from ..ops.pools import adaptive_avg_pool2d, avg_pool2d, max_pool2d

__all__ = [
    "adaptive_avg_pool2d",
    "avg_pool2d",
    "batch_norm",
    "binary_cross_entropy_with_logits",
    "conv1d",
    "conv2d",
    "conv_transpose2d",
    "cross_entropy",
    "dropout",
    "elu",
    "embedding",
    "erf",
    "gelu",
    "group_norm",
    "huber_loss",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log_softmax",
    "logit",
    "logsumexp",
    "max_pool2d",
    "mse_loss",
    "nll_loss",
    "one_hot",
    "relu",
    "sigmoid",
    "softmax",
    "softplus",
]
