"""The differentiable operations, one file per family; importing this package registers them all."""

from . import elementwise, indexing, joining, linear, network, reductions, shape

__all__ = ["elementwise", "indexing", "joining", "linear", "network", "reductions", "shape"]
