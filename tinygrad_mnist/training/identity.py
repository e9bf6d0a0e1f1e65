"""What must be the same when a training goes on, and what people should know if it is not."""

from __future__ import annotations

import functools
import platform
import re
import zlib
from collections.abc import Iterator, Mapping
from types import CodeType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data import DataLoader
from ..nn import Module
from .generators import users_functions

if TYPE_CHECKING:
    from .resuming import Parts

__all__ = ["describe_training", "differences", "versions"]


def describe_training(parts: Parts) -> dict[str, str]:
    """Describe everything that must be the same when a training goes on, so that people can read it."""
    model, optimizer, step = parts.training.model, parts.training.optimizer, parts.step
    loader, validation = parts.loader, parts.training.validation
    frozen = [name for name, p in model.named_parameters() if not p.requires_grad]
    return {
        "the model": words(model) + (f", with {', '.join(frozen)} frozen" if frozen else ""),
        "the loss": words(parts.loss),
        "the optimizer": f"{type(optimizer).__name__}({optimizer.defaults})",
        "the schedule": words(parts.schedule),
        "clip_norm": str(step.clip_norm),
        "accumulate": str(step.accumulate),
        "compile": str(step.asked),
        "the batches": f"{len(loader)} of {loader.batch_size}" + ", shuffled" * loader.shuffle,
        "the augmentation": words(loader.augment),
        "the data": _fingerprint(loader),
        "the validation data": "none" if validation is None else _fingerprint(validation),
        "the metrics": ", ".join(parts.metrics) or "none",
        "the callbacks": ", ".join(n for n, c in parts.stateful().items() if not c.only_watches) or "none",
    }


def differences(known: Mapping[str, str], now: Mapping[str, str], is_longer: bool) -> list[str]:
    """Say what is not the same; the schedule of more epochs than before has other settings."""
    return [
        f"{name} was {known.get(name)}, and is {value}"
        for name, value in now.items()
        if known.get(name) != value
        and not (
            is_longer
            and name == "the schedule"
            and str(known.get(name)).partition("(")[0] == value.partition("(")[0]
        )
    ]


def versions(roots: Mapping[str, Any]) -> dict[str, str]:
    """The versions of what computes, and checksums of the user's own code: the last bits depend on both.

    Code is compared within one version of Python only, since each has other instructions.
    """
    from .. import __version__

    python = ".".join(platform.python_version_tuple()[:2])
    own: dict[str, int] = {}
    for function in users_functions(roots):
        name = f"{function.__qualname__} (Python {python})"
        own[name] = zlib.crc32(repr([*_instructions(function.__code__)]).encode(), own.get(name, 0))
    return {
        "tinygrad_mnist": __version__,
        "NumPy": np.__version__,
        **{name: f"{checksum:08x}" for name, checksum in own.items()},
    }


def _instructions(code: CodeType) -> Iterator[Any]:
    """What a function does, without its lines, comments and docstrings."""
    yield code.co_code.hex(), code.co_names
    for i, constant in enumerate(code.co_consts):
        if isinstance(constant, CodeType):
            yield from _instructions(constant)
        elif i or not isinstance(
            constant, (str, type(None))
        ):  # the first is a docstring, or None in its place
            yield repr(constant)


def words(x: Any) -> str:
    """Describe a model, a function or an object by its settings; the same in every process."""
    if isinstance(x, Module):
        return re.sub(r"\s+", " ", re.sub(r" at 0x[0-9a-f]+", "", repr(x)))
    if isinstance(x, functools.partial):
        settings = [*map(_word, x.args), *(f"{k}={_word(v)}" for k, v in sorted(x.keywords.items()))]
        return f"{words(x.func)}({', '.join(settings)})"
    if x is None or hasattr(x, "__qualname__"):
        return str(getattr(x, "__qualname__", "none"))
    changing = x.state_dict().keys() if hasattr(x, "state_dict") else ()
    settings = [
        f"{name}={_word(value)}"
        for name, value in sorted(getattr(x, "__dict__", {}).items())
        if name not in changing and not name.startswith("_") and isinstance(value, _SETTINGS)
    ]
    return f"{type(x).__name__}({', '.join(settings)})"


_SETTINGS = (bool, int, float, str, tuple, type(None))


def _word(value: Any) -> str:
    return repr(value) if isinstance(value, _SETTINGS) else words(value)


def _fingerprint(loader: DataLoader) -> str:
    """The number of examples, and a checksum of them."""
    checksum, dataset = 0, loader.dataset
    for array in (dataset.inputs, dataset.targets):
        if array.dtype != object:
            checksum = zlib.crc32(f"{array.dtype} {array.shape}".encode(), checksum)
            for start in range(0, len(array), 1000):
                checksum = zlib.crc32(np.ascontiguousarray(array[start : start + 1000]).data, checksum)
    return f"{len(dataset):,} examples ({checksum:08x})"
