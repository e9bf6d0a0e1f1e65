"""Averages of weights over the last steps, which often predict better than the last weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..errors import OptionError, StateDictError
from ..tensor import Tensor, buffer
from ..typing import NDArray

__all__ = ["ExponentialMovingAverage"]


class ExponentialMovingAverage:
    """A mean of each parameter over its past, in which a step counts ``decay`` times as much as the next [1]_.

    Call ``update()`` after each ``optimizer.step()``. In ``fit``, :class:`tinygrad_mnist.training.AverageWeights` does.

    Parameters
    ----------
    params : iterable of Tensors
    decay : float in [0, 1), default 0.999
        The mean reaches back about ``1 / (1 - decay)`` steps.

    References
    ----------
    .. [1] B. T. Polyak, A. B. Juditsky, "Acceleration of stochastic approximation by averaging", SIAM J. Control
       Optim. 30 (1992).

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> w = tg.nn.Parameter([0.0])
    >>> average = ExponentialMovingAverage([w], decay=0.5)
    >>> for _ in range(2):  # 2, then 4
    ...     with tg.no_grad():
    ...         w += 2
    ...     average.update()
    >>> with average.applied():
    ...     print(w.data)
    [3.]
    >>> w.data
    array([4.], dtype=float32)
    """

    def __init__(self, params: Iterable[Tensor], decay: float = 0.999) -> None:
        self.params = [params] if isinstance(params, Tensor) else list(params)
        if not self.params or not all(isinstance(p, Tensor) for p in self.params):
            raise OptionError(
                "ExponentialMovingAverage: pass the Tensors to average, as in "
                "ExponentialMovingAverage(model.parameters())"
            )
        if not 0 <= decay < 1:
            raise OptionError(f"ExponentialMovingAverage: decay = {decay!r} is not in [0, 1)")
        self.decay = decay
        self.steps = 0
        self.averages: list[NDArray] = [p.data.copy() for p in self.params]

    def update(self) -> None:
        """Take the present parameters into the means; the first time, they are the means."""
        share = 1 - self.decay if self.steps else 1.0
        self.steps += 1
        for average, p in zip(self.averages, self.params, strict=True):
            average += share * (p.data - average)

    def apply(self) -> None:
        """Overwrite the parameters with their means."""
        for average, p in zip(self.averages, self.params, strict=True):
            buffer(p)[...] = average

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Compute with the means, within a ``with`` block; then the parameters are as before."""
        before = [p.data.copy() for p in self.params]
        self.apply()
        try:
            yield
        finally:
            for old, p in zip(before, self.params, strict=True):
                buffer(p)[...] = old

    def state_dict(self) -> dict[str, Any]:
        """Copy the means. ``tg.save`` can write it to a file."""
        return {
            "steps": self.steps,
            "averages": {i: average.copy() for i, average in enumerate(self.averages)},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the means of the same parameters.

        Raises
        ------
        StateDictError
            If they belong to other parameters; nothing is changed in that case.
        """
        found = state.get("averages") if isinstance(state, Mapping) else None
        arrays = [np.asarray(x) for x in found.values()] if isinstance(found, Mapping) else []
        steps = np.asarray(state["steps"] if arrays and "steps" in state else -1)
        if (
            [x.shape for x in arrays] != [p.shape for p in self.params]
            or any(
                not np.can_cast(x.dtype, p.dtype, "same_kind")
                for x, p in zip(arrays, self.params, strict=True)
            )
            or steps.shape
            or steps.dtype.kind not in "iu"
            or steps < 0
        ):
            raise StateDictError(
                f"ExponentialMovingAverage: this is not the state_dict() of the means of {len(self.params)} parameters "
                f"of shape {', '.join(str(p.shape) for p in self.params)}"
            )
        self.steps = int(steps)
        self.averages = [x.astype(p.dtype) for x, p in zip(arrays, self.params, strict=True)]
