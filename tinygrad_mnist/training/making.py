"""What :func:`~tinygrad_mnist.training.fit` makes of names, classes and functions: losses, optimizers, schedules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from ..errors import OptionError, choice, misfit, quote
from ..nn import Module
from ..optim import Optimizer, Schedule, StepLR, WarmupLR
from ..typing import Array
from .settings import OPTIMIZERS, make_loss

__all__ = ["Loss", "check_model", "make_optimizer", "make_schedule", "named_loss", "require_parameters"]

Loss = Callable[[Any, Any], Array]


def make_schedule(make: Callable[..., Schedule], optimizer: Optimizer, updates: int) -> Schedule:
    """Make a schedule; one that watches a number does not ask how many updates there are."""
    if getattr(make, "needs_value", False):
        return make(optimizer)
    if misfit(make, (optimizer, updates), {}):
        raise OptionError(
            f"fit: schedule= must take the optimizer and the total number of updates, as in {_A_SCHEDULE}"
        )
    if make in (StepLR, WarmupLR):
        name = cast(Any, make).__name__
        raise OptionError(
            f"fit: schedule={name} says nothing of its settings; pass a function that does, as in "
            f"{_A_SCHEDULE.replace('StepLR', name)}"
        )
    return make(optimizer, updates)


_A_SCHEDULE = "schedule=lambda optimizer, updates: StepLR(optimizer, updates // 3)"


def check_model(name: str, model: object) -> None:
    """Check that the model is one, and not its class or the data."""
    if isinstance(model, type):
        raise OptionError(f"{name}: got the class {model.__name__}; pass an object, as in {model.__name__}()")
    if not isinstance(model, Module):
        raise OptionError(f"{name}: the model comes first, and must be a Module; got {type(model).__name__}")


def named_loss(loss: Loss | str | None) -> Loss:
    """Look up a loss by its name, or make one from its class."""
    if isinstance(loss, type):
        return loss()
    if loss is None or isinstance(loss, str):
        return make_loss(loss or "cross-entropy")
    if not callable(loss):
        raise OptionError(
            f"loss= is a function of outputs and targets, such as tg.nn.MSELoss(), or a name; got {quote(loss)}"
        )
    return loss


def make_optimizer(optimizer: Any, model: Module) -> Optimizer:
    """Make an optimizer from its name or its class."""
    if isinstance(optimizer, Optimizer):
        return optimizer
    if optimizer is None or isinstance(optimizer, str):
        name = (optimizer or "adam").lower()
        if name not in OPTIMIZERS:
            raise choice("optimizer", optimizer, OPTIMIZERS)
        optimizer = OPTIMIZERS[name].make
    made = optimizer(model.parameters()) if callable(optimizer) else optimizer
    if not isinstance(made, Optimizer):
        raise OptionError(
            f"fit: optimizer = {optimizer!r} is not an Optimizer, nor a function or class that makes one, nor a name"
        )
    return made


def require_parameters(optimizer: Optimizer, model: Module) -> None:
    """Refuse an optimizer that knows no parameter of the model, which would then learn nothing."""
    own = {id(p) for p in model.parameters()}
    if own and own.isdisjoint(id(p) for group in optimizer.param_groups for p in group["params"]):
        raise OptionError(
            f"fit: the optimizer has no parameter of this {type(model).__name__}; was the model made anew after it? "
            "Make the optimizer last, with model.parameters()"
        )
