"""Check gradients: by finite differences, operation by operation, or while a program runs.

Only one proof that a gradient is right needs no second implementation: move an input a little, and see
how the output moves.
"""

from .blame import check_graph
from .gradients import check_parameter, gradcheck, numerical_gradient

__all__ = ["check_graph", "check_parameter", "gradcheck", "numerical_gradient"]


def __dir__() -> list[str]:
    return __all__
