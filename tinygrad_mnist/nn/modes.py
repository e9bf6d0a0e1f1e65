"""Evaluation for a while: the modules that train are switched, and then switched back, also among threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .module import Module

__all__ = ["evaluating"]

_LOCK = Lock()
# How many blocks keep a module in evaluation that was in training before, by its id.
_HELD: dict[int, int] = {}


@contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """Keep a model in evaluation within the block, then put each of its modules back to what it was.

    Several threads may be inside with the same modules: the last one to leave puts them back. Modules that are in
    evaluation anyway are not touched, so programs need not check them again.
    """
    with _LOCK:
        held = [module for module in model.modules() if module.training or id(module) in _HELD]
        for module in held:
            _HELD[id(module)] = _HELD.get(id(module), 0) + 1
            module.training = False
    try:
        yield
    finally:
        with _LOCK:
            for module in held:
                _HELD[id(module)] -= 1
                if not _HELD[id(module)]:
                    del _HELD[id(module)]
                    module.training = True
