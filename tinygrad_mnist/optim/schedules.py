"""Learning rates that change during training.

A schedule is a formula for each group's learning rate after a number of steps. Call ``schedule.step()``
after ``optimizer.step()``: once per batch or once per epoch, depending on how you count its steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import OptionError, StateDictError, choice, pluralise
from ..tensor import Tensor
from .optimizer import Optimizer

__all__ = [
    "CosineAnnealingLR",
    "LambdaLR",
    "OneCycleLR",
    "ReduceLROnPlateau",
    "Schedule",
    "StepLR",
    "WarmupLR",
]


class Schedule:
    """Sets ``lr`` of every group to ``rate(initial, steps)``, by default ``initial * factor(steps)``.

    Parameters
    ----------
    optimizer : Optimizer
        Its current learning rates are the initial ones.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> class Halving(Schedule):
    ...     def factor(self, steps):
    ...         return 0.5**steps
    >>> optimizer = tg.optim.SGD([tg.tensor(1.0, requires_grad=True)], lr=1.0)
    >>> schedule = Halving(optimizer)
    >>> schedule.step(); schedule.step(); schedule.get_last_lr()
    [0.25]
    """

    #: Whether ``step`` takes a number to watch, once an epoch.
    needs_value = False

    def __init__(self, optimizer: Optimizer) -> None:
        _require_optimizer(type(self).__name__, optimizer)
        self.optimizer = optimizer
        self.base_lrs = [float(group["lr"]) for group in optimizer.param_groups]
        self.steps = 0
        self._set()

    def factor(self, steps: int) -> float:
        """The factor after this many steps."""
        raise TypeError(f"{type(self).__name__} does not define factor(steps)")

    def rate(self, initial: float, steps: int) -> float:
        """The learning rate after this many steps of a group that started with ``initial``."""
        return initial * self.factor(steps)

    def step(self) -> None:
        """Count one step and set the learning rates."""
        self.steps += 1
        self._set()

    def get_last_lr(self) -> list[float]:
        """The current learning rates, one per group."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """The progress of the schedule. ``tg.save`` can write it to a file."""
        return {"steps": self.steps, "base_lrs": list(self.base_lrs)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from the progress of another schedule.

        Raises
        ------
        StateDictError
            If no schedule of this optimizer can have such a progress; nothing is changed in that case.
        """
        name, groups = type(self).__name__, len(self.optimizer.param_groups)
        if not isinstance(state, Mapping) or not {"steps", "base_lrs"} <= state.keys():
            raise StateDictError(f"{name}: this is not the state_dict() of a schedule")
        steps, rates = np.asarray(state["steps"]), np.asarray(state["base_lrs"])
        if steps.shape or steps.dtype.kind not in "iu" or steps < 0:
            raise StateDictError(
                f"{name}: the state dict has steps = {state['steps']!r}, not a number of steps"
            )
        if (
            rates.shape != (groups,)
            or rates.dtype.kind not in "iuf"
            or not (rates >= 0).all() & (rates < np.inf).all()
        ):
            raise StateDictError(
                f"{name}: the state dict has base_lrs = {state['base_lrs']!r}, not a learning rate for each of "
                f"{pluralise(groups, 'group')}"
            )
        self.steps, self.base_lrs = int(steps), [float(rate) for rate in rates]
        self._set()

    def _set(self) -> None:
        for group, lr in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = self.rate(lr, self.steps)


class StepLR(Schedule):
    """Multiply by ``gamma`` every ``step_size`` steps.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> optimizer = tg.optim.SGD([tg.tensor(1.0, requires_grad=True)], lr=1.0)
    >>> schedule = StepLR(optimizer, step_size=2, gamma=0.1)
    >>> schedule.step(); schedule.step(); schedule.get_last_lr()
    [0.1]
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        self.step_size, self.gamma = _positive("step_size", step_size), gamma
        super().__init__(optimizer)

    def factor(self, steps: int) -> float:
        return float(self.gamma ** (steps // self.step_size))


class CosineAnnealingLR(Schedule):
    """Decrease along half a cosine to the rate ``eta_min``, over ``T_max`` steps [1]_.

    References
    ----------
    .. [1] I. Loshchilov, F. Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> optimizer = tg.optim.SGD([tg.tensor(1.0, requires_grad=True)], lr=1.0)
    >>> schedule = CosineAnnealingLR(optimizer, T_max=4)
    >>> for _ in range(4):
    ...     schedule.step()
    ...     print(round(schedule.get_last_lr()[0], 3))
    0.854
    0.5
    0.146
    0.0
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        self.T_max, self.eta_min = _positive("T_max", T_max), eta_min
        super().__init__(optimizer)

    def rate(self, initial: float, steps: int) -> float:
        return _cosine(initial, self.eta_min, steps / self.T_max)


class OneCycleLR(Schedule):
    """Increase from ``1 / div_factor`` to the full rate, then decrease to almost zero [1]_.

    Parameters
    ----------
    optimizer : Optimizer
    total_steps : int
        The length of the whole cycle.
    max_lr : float, optional
        The highest rate; the default is the optimizer's rate.
    pct_start : float, default 0.3
        The share of the cycle in which the rate increases.
    div_factor, final_div_factor : float, default 25 and 1e4
        The first rate is ``max_lr / div_factor``; the last one is the first one divided by
        ``final_div_factor``.

    References
    ----------
    .. [1] L. N. Smith, N. Topin, "Super-convergence: very fast training of neural networks using
       large learning rates", 2019.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> optimizer = tg.optim.SGD([tg.tensor(1.0, requires_grad=True)], lr=1.0)
    >>> schedule, rates = OneCycleLR(optimizer, total_steps=10), []
    >>> for _ in range(10):
    ...     rates.append(round(optimizer.param_groups[0]["lr"], 2))
    ...     schedule.step()
    >>> rates
    [0.04, 0.52, 1.0, 0.95, 0.81, 0.61, 0.39, 0.19, 0.05, 0.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_steps: int,
        *,
        max_lr: float | None = None,
        pct_start: float = 0.3,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
    ) -> None:
        if not 0 < pct_start < 1:
            raise OptionError(f"OneCycleLR: pct_start = {pct_start!r} is not in (0, 1)")
        self.total_steps, self.pct_start = _positive("total_steps", total_steps), pct_start
        self.div_factor, self.final_div_factor = div_factor, final_div_factor
        if max_lr is not None:
            _require_optimizer("OneCycleLR", optimizer)
            for group in optimizer.param_groups:
                group["lr"] = max_lr
        super().__init__(optimizer)

    def factor(self, steps: int) -> float:
        low = 1 / self.div_factor
        rise = max(self.pct_start * self.total_steps - 1, 1e-12)
        if steps <= rise:
            return _cosine(low, 1.0, steps / rise)
        return _cosine(
            1.0, low / self.final_div_factor, (steps - rise) / max(self.total_steps - 1 - rise, 1e-12)
        )


class WarmupLR(Schedule):
    """Increase linearly over the first ``warmup_steps``, then follow another schedule.

    Parameters
    ----------
    optimizer : Optimizer
    warmup_steps : int
    after : Schedule, optional
        A schedule of the same optimizer; its steps are counted from the end of the warm-up. Without it,
        the rate stays at its full value. Step only this schedule, not ``after``.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> optimizer = tg.optim.SGD([tg.tensor(1.0, requires_grad=True)], lr=1.0)
    >>> schedule = WarmupLR(optimizer, 2, after=StepLR(optimizer, step_size=1, gamma=0.1))
    >>> rates = []
    >>> for _ in range(4):
    ...     rates.append(round(optimizer.param_groups[0]["lr"], 2))
    ...     schedule.step()
    >>> rates
    [0.5, 1.0, 1.0, 0.1]
    """

    def __init__(self, optimizer: Optimizer, warmup_steps: int, after: Schedule | None = None) -> None:
        if after is not None and after.needs_value:
            raise OptionError(
                f"WarmupLR: a {type(after).__name__} cannot follow, because its steps need a number to watch"
            )
        self.warmup_steps, self.after = _positive("warmup_steps", warmup_steps), after
        super().__init__(optimizer)
        if after is not None:
            self.base_lrs = list(after.base_lrs)  # ``after`` has already changed the optimizer's
            self._set()

    def rate(self, initial: float, steps: int) -> float:
        if steps < self.warmup_steps:
            return initial * (steps + 1) / self.warmup_steps
        return initial if self.after is None else self.after.rate(initial, steps - self.warmup_steps)


class LambdaLR(Schedule):
    """Multiply the initial rate by a function of the number of steps.

    Parameters
    ----------
    optimizer : Optimizer
    lr_lambda : callable, or list of callables
        ``lr_lambda(steps)`` returns the factor; a list has one for each group. It is not part of the state dict.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> optimizer = tg.optim.SGD([tg.tensor(1.0, requires_grad=True)], lr=1.0)
    >>> schedule = LambdaLR(optimizer, lambda steps: 1 / (1 + steps))
    >>> schedule.step(); schedule.get_last_lr()
    [0.5]
    """

    def __init__(
        self, optimizer: Optimizer, lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]]
    ) -> None:
        _require_optimizer("LambdaLR", optimizer)
        groups = len(optimizer.param_groups)
        self.lr_lambdas = (
            [lr_lambda] * groups
            if callable(lr_lambda)
            else list(lr_lambda if isinstance(lr_lambda, Sequence) else ())
        )
        if len(self.lr_lambdas) != groups or not all(map(callable, self.lr_lambdas)):
            raise OptionError(
                f"LambdaLR: lr_lambda is a function of the number of steps, or a list of "
                f"{pluralise(groups, 'function')}, one for each group"
            )
        super().__init__(optimizer)

    def factor(self, steps: int) -> float:
        if any(f is not self.lr_lambdas[0] for f in self.lr_lambdas):
            raise OptionError(
                "LambdaLR: each group has a function of its own; no single factor suits all of them"
            )
        return self.lr_lambdas[0](steps)

    def _set(self) -> None:
        for group, lr, factor in zip(
            self.optimizer.param_groups, self.base_lrs, self.lr_lambdas, strict=True
        ):
            group["lr"] = lr * factor(self.steps)


class ReduceLROnPlateau(Schedule):
    """Multiply by ``factor`` whenever a number, such as the validation loss, has not improved for a while.

    Call ``schedule.step(loss)`` once an epoch. In ``fit(schedule=...)``, the number is the validation loss, or the
    training loss if there are no validation data.

    Parameters
    ----------
    optimizer : Optimizer
    mode : {'min', 'max'}
        Whether smaller or larger numbers are better.
    factor : float in (0, 1), default 0.1
    patience : int, default 10
        How many numbers in a row may fail to improve; the next one reduces the rate.
    threshold : float, default 1e-4
        The least improvement that counts,
    threshold_mode : {'rel', 'abs'}
        as a share of the best number, or as a difference.
    cooldown : int, default 0
        How many numbers are not counted after a reduction.
    min_lr : float, default 0
        The smallest rate.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> optimizer = tg.optim.SGD([tg.tensor(1.0, requires_grad=True)], lr=1.0)
    >>> schedule = ReduceLROnPlateau(optimizer, patience=1)
    >>> for loss in (3.0, 2.0, 2.5, 2.1):
    ...     schedule.step(loss)
    >>> schedule.get_last_lr()
    [0.1]
    """

    needs_value = True

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        if mode not in ("min", "max"):
            raise choice("mode", mode, ("min", "max"))
        if threshold_mode not in ("rel", "abs"):
            raise choice("threshold_mode", threshold_mode, ("rel", "abs"))
        if not 0 < factor < 1:
            raise OptionError(f"ReduceLROnPlateau: factor = {factor!r} is not in (0, 1)")
        for name, value in (("patience", patience), ("cooldown", cooldown), ("threshold", threshold)):
            if not value >= 0:
                raise OptionError(f"ReduceLROnPlateau: {name} = {value!r} must be 0 or more")
        self.mode, self.threshold, self.threshold_mode = mode, threshold, threshold_mode
        self.reduction, self.patience, self.cooldown, self.min_lr = factor, patience, cooldown, min_lr
        self.best = math.inf if mode == "min" else -math.inf
        self.bad, self.resting, self.reductions = 0, 0, 0
        super().__init__(optimizer)

    def rate(self, initial: float, steps: int) -> float:
        return max(initial * self.reduction**self.reductions, min(initial, self.min_lr))

    def step(self, value: Any = None) -> None:
        """Count one number, and reduce the rates if too many have not improved.

        Parameters
        ----------
        value : float, or Tensor of one number
        """
        if value is None:
            raise OptionError("ReduceLROnPlateau: pass the number to watch, as in schedule.step(loss)")
        number = float(value.detach() if isinstance(value, Tensor) else value)
        if self._is_better(number):
            self.best, self.bad = number, 0
        else:
            self.bad += 1
        if self.resting:
            self.resting, self.bad = self.resting - 1, 0
        if self.bad > self.patience:
            self.reductions += 1
            self.resting, self.bad = self.cooldown, 0
        super().step()

    def _is_better(self, number: float) -> bool:
        sign = 1 if self.mode == "min" else -1
        least = self.threshold * (abs(self.best) if self.threshold_mode == "rel" else 1)
        return sign * number < sign * self.best - (least if math.isfinite(self.best) else 0)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), **{name: getattr(self, name) for name in _OF_A_PLATEAU}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        missing = [name for name in _OF_A_PLATEAU if not isinstance(state, Mapping) or name not in state]
        numbers = [np.asarray(state[name]) for name in _OF_A_PLATEAU] if not missing else []
        whole = [n for n, name in zip(numbers, _OF_A_PLATEAU, strict=False) if name != "best"]
        if (
            missing
            or any(n.shape or n.dtype.kind not in "iuf" or np.isnan(n) for n in numbers)
            or any(n.dtype.kind not in "iu" or n < 0 for n in whole)
        ):
            raise StateDictError(
                f"ReduceLROnPlateau: this is not the state_dict() of one; it holds {', '.join(_OF_A_PLATEAU)}"
            )
        before = {name: getattr(self, name) for name in _OF_A_PLATEAU}
        self.__dict__.update((n, v.item()) for n, v in zip(_OF_A_PLATEAU, numbers, strict=True))
        try:
            super().load_state_dict(state)
        except StateDictError:
            self.__dict__.update(before)
            raise


#: What a :class:`ReduceLROnPlateau` remembers.
_OF_A_PLATEAU = ("best", "bad", "resting", "reductions")


def _cosine(start: float, end: float, share: float) -> float:
    """Move from ``start`` to ``end`` along half a cosine, and stay there."""
    return end + (start - end) * (1 + math.cos(math.pi * min(share, 1.0))) / 2


def _require_optimizer(name: str, optimizer: object) -> None:
    if not isinstance(optimizer, Optimizer):
        what = optimizer.__name__ if isinstance(optimizer, type) else type(optimizer).__name__
        raise OptionError(f"{name}: the optimizer comes first, an object such as Adam(...); got {what}")


def _positive(name: str, value: int) -> int:
    if not isinstance(value, (int, np.integer)) or value < 1:
        raise OptionError(f"{name} = {value!r} is not a positive number of steps")
    return int(value)
