"""The two type names that signatures use."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

__all__ = ["Array", "NDArray"]

#: An ndarray *or* a Tensor. Code typed so is plain NumPy and runs on either: NumPy's own
#: dispatch decides which, so no static type says more than this one does.
Array: TypeAlias = Any

#: A NumPy array and nothing else.
NDArray: TypeAlias = np.ndarray[Any, np.dtype[Any]]
