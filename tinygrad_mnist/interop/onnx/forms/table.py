"""The table of forms, and what many forms use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from ....errors import UnsupportedError
from ..recording import Call
from ..writing import Writer

__all__ = ["FORMS", "Form", "form", "reduce", "refuse", "slice_"]

Form = Callable[[Writer, Call], Any]

FORMS: dict[str, Form] = {}


def form(*names: str) -> Callable[[Form], Form]:
    """Enter a function into the table."""

    def enter(function: Form) -> Form:
        FORMS.update(dict.fromkeys(names, function))
        return function

    return enter


def refuse(call: Call, what: str) -> UnsupportedError:
    """Build the error for a use of an operation that has no form, though others have."""
    return UnsupportedError(f"export_onnx: {call.primitive.name} {what} has no form in ONNX{call.place}")


def reduce(w: Writer, operator: str, x: Any, ndim: int, axis: Any, keepdims: bool) -> Any:
    """A reduction over the axes that NumPy's argument means."""
    axes = range(ndim) if axis is None else normalize_axis_tuple(axis, ndim)
    if not axes:
        return w("Identity", x)
    return w(operator, x, np.array(axes, np.int64), keepdims=int(bool(keepdims)))


def slice_(w: Writer, x: Any, slices: dict[int, slice]) -> Any:
    """Take slices along some axes."""
    starts, ends, steps = [], [], []
    for part in slices.values():
        step = part.step or 1
        starts.append(part.start if part.start is not None else 0 if step > 0 else -1)
        ends.append(part.stop if part.stop is not None else _FAR if step > 0 else -_FAR)
        steps.append(w.number(step))
    axes = np.array([*slices], np.int64)
    return w("Slice", x, w.lengths(starts), w.lengths(ends), axes, np.array(steps, np.int64))


_FAR = 2**62
