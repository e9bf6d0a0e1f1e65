"""The function without a program: the reference for a program, and what runs if a program ends in an error.

A program runs its operations in its own order, so an error would come at another moment than in the function, and
sometimes as another error. But before the last operation that may raise, it writes into nothing that the caller sees
(see ``memory``). So if it raises, nothing has happened yet, and the function itself can run: it raises its own error,
and has made its own changes until then.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from ..errors import CompileError
from ..optim import Optimizer, clip_grad_norm_
from ..tensor import Tensor
from ..transforms.call import named
from ..trees import tree_map

__all__ = ["FINAL", "Uncompiled", "detach"]

#: Errors that the function itself would not raise, or might raise in any line, after a program has already written.
FINAL = (CompileError, FloatingPointError, MemoryError, Warning)


class Uncompiled:
    """The function without a program; for a training step, the whole step."""

    def __init__(
        self,
        function: Callable[..., Any],
        optimizer: Optimizer | None,
        has_aux: bool,
        clip_norm: float | None,
    ) -> None:
        self.function, self.optimizer = function, optimizer
        self.has_aux, self.clip_norm = has_aux, clip_norm

    def __call__(self, args: Any, kwargs: Any) -> Any:
        """Run it."""
        if self.optimizer is None:
            return self.function(*args, **kwargs)
        result = self._differentiated(args, kwargs)
        if self.clip_norm is not None:
            parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
            clip_grad_norm_(parameters, self.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return result

    def _differentiated(self, args: Any, kwargs: Any) -> Any:
        """Run the function and the backward pass."""
        assert self.optimizer is not None
        self.optimizer.zero_grad()
        result = self.function(*args, **kwargs)
        (result[0] if self.has_aux else result).backward()
        return result

    def raise_in_its_words(self, error: Exception, args: Any, kwargs: Any, generators: list[Any]) -> None:
        """Raise what the function does, for the error of a program that has drawn the function's numbers.

        The function now draws other numbers. If it raises nothing for them, the program's words have to do.
        """
        states = [rng.bit_generator.state for rng in generators]
        try:
            if self.optimizer is None:
                self.function(*args, **kwargs)
            else:
                self._differentiated(args, kwargs)
        finally:
            for rng, state in zip(generators, states, strict=True):
                rng.bit_generator.state = state
        if self.optimizer is not None:
            self.optimizer.zero_grad()
        raise error

    def after(self, error: Exception, args: Any, kwargs: Any) -> Any:
        """Run it because its program or its trace ended in an error: it should raise one too."""
        result = self(args, kwargs)
        warnings.warn(
            f"compile: {named(self.function)} ran uncompiled, because its program ended in an error that the function "
            f"itself does not raise: {type(error).__name__}: {error}",
            stacklevel=4,
        )
        return detach(result)


def detach(result: Any) -> Any:
    """Return a result that is not recorded, like all results of programs."""
    return tree_map(lambda x: x.detach() if isinstance(x, Tensor) else x, result)
