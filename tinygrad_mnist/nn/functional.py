"""Functions of arrays or Tensors that NumPy lacks: activations, convolutions, pools, norms, losses, dropout.

For everything else, use NumPy itself: ``np.tanh(t)``, ``np.concatenate([a, b])``, ``t @ w``.
"""

from __future__ import annotations

from ..ops.attention import scaled_dot_product_attention
from ..ops.convolutions import conv1d, conv2d, conv_transpose2d
from ..ops.embeddings import embedding
from ..ops.linear import linear
from ..ops.losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cosine_similarity,
    cross_entropy,
    hinge_loss,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    multi_margin_loss,
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
    silu,
    softmax,
    softplus,
)
from ..ops.normalization import batch_norm, group_norm, layer_norm
from ..ops.pools import adaptive_avg_pool2d, avg_pool2d, max_pool2d
from ..ops.resampling import fold, interpolate, unfold

__all__ = [
    "adaptive_avg_pool2d",
    "avg_pool2d",
    "batch_norm",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "conv1d",
    "conv2d",
    "conv_transpose2d",
    "cosine_similarity",
    "cross_entropy",
    "dropout",
    "elu",
    "embedding",
    "erf",
    "fold",
    "gelu",
    "group_norm",
    "hinge_loss",
    "huber_loss",
    "interpolate",
    "kl_div",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log_softmax",
    "logit",
    "logsumexp",
    "max_pool2d",
    "mse_loss",
    "multi_margin_loss",
    "nll_loss",
    "one_hot",
    "relu",
    "scaled_dot_product_attention",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "unfold",
]
