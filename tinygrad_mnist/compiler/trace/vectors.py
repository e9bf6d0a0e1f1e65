"""Parameters and their optimizer state, joined into long vectors.

An optimizer's formula is elementwise, so one call can update all parameters with the same settings if they
are contiguous in memory. :func:`arrange` moves them there: the Tensors stay the same objects, and their arrays
become views of one vector. A weight of a layer is stored transposed, ``(in, out)``, which suits the products of
small batches better; its Tensor looks as before.

Weights whose gradient is the product of a column and a row, as in training with one sample at a time, are
updated separately: there, the program never computes the full gradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from ...errors import CompileError, GradientError
from ...graph import Node, changed
from ...ops.kernels import add_rows
from ...optim import Optimizer
from ...tensor import Tensor
from ..instructions import copy, getitem, instruction_of, join
from ..memory import ours
from ..program import Op, Place, Store, inputs_of, name_of
from .capture import Capture
from .numbers import Number
from .standins import Tracer, written
from .tape import Trace
from .watch import Test, same_item

__all__ = ["Vector", "arrange", "same_steps"]

#: From this size on, a weight with a gradient of rank 1 is updated separately.
LARGE = 204_800
#: Up to this many rows in a batch, weights are better stored as (in, out). For a single row, that is only true
#: of machine code, which skips the weights of inputs that are zero.
FEW_ROWS = 2048


class Vector:
    """Parameters that are updated together, by one formula with one set of settings."""

    def __init__(self, params: list[Tensor], group: dict[str, Any], number: int) -> None:
        self.params = params
        self.group = group
        self.number = number
        self.turned: list[bool] = []  # whether each is stored transposed
        self.states: list[dict[str, Any]] = []
        self.gradient: Any = None
        self.views: dict[Op, Op] = {}  # what the parameters are at first, and after the update
        self.updated: Callable[[], dict[Op, Op]] = dict
        self.stores: list[Store] = []
        self.given: dict[Op, Any] = {}
        self.lr: Any = None
        self.step: Any = None

    def update(self, trace: Trace, optimizer: Optimizer, capture: Capture) -> None:
        """Run the optimizer's formula on stand-ins."""
        names = {id(t): name_of(tracer.op) for t, tracer, *_ in capture.tensors.values()}
        own = names[id(self.params[0])] if len(self.params) == 1 else "parameters"
        suffix = "" if len(self.params) == 1 or not self.number else f"_{self.number + 1}"
        settings = _settings(self.group)
        memory = optimizer.memory(settings)
        self.states = [optimizer.state.setdefault(p, {"step": 0}) for p in self.params]
        p = self._input(trace, f"{own}{suffix}", self._joined([_array(capture, t) for t in self.params]))
        self.memory = ours(self.given[p.op])
        self.views = self._views_of(capture, p.op)
        for old in self.views:
            capture.given.pop(old, None)
        remembered: dict[str, Any] = {}
        for name in memory:
            arrays = [
                state.get(name, np.zeros(t.shape, t.dtype))
                for t, state in zip(self.params, self.states, strict=True)
            ]
            whole = self._joined(arrays)
            for state, view in zip(self.states, self._split(whole), strict=True):
                # Programs that share an optimizer watch its state: the same memory stays the same object.
                if name not in state or not _is_same_memory(state[name], view):
                    state[name] = view
            remembered[name] = self._input(trace, f"{name}_of_{own}{suffix}", whole)
        state = {"step": self.step, **remembered}
        before = {name: tracer.op for name, tracer in remembered.items()}
        target, first = p.op, len(trace.ops)
        new_p, new = optimizer.advance(p, self.gradient, state, {**settings, "lr": self.lr})
        optimizer.refuse_undeclared(new, settings)
        for op in trace.ops[first:]:
            if op.shape != target.shape and any(x.shape == target.shape for x in inputs_of(op)):
                raise CompileError(
                    f"compile: {type(optimizer).__name__}.update is not elementwise ({op.instruction.name}), but a "
                    "program updates several parameters at once; step() works"
                )
        self.updated = partial(self._views_of, capture, new_p.op)
        pairs = [(target, new_p.op), *((op, new[name].op) for name, op in before.items())]
        self.stores += [Store(op, value) for op, value in pairs if value is not op]

    def adopt(self) -> None:
        """Make the parameters' Tensors views of the vector."""
        for t, view in zip(self.params, self._split(self.memory), strict=True):
            if t._array is not view and not _is_same_memory(t._array, view):
                t._array = view
                if t._node is not None:
                    t._node.value = view
                changed()  # other programs may use the parameter

    def tests(self, optimizer: Optimizer) -> Iterator[Test]:
        """Test that the optimizer has the same state."""
        memory = optimizer.memory(_settings(self.group))
        if not memory:  # without memory, the state may be any dict
            yield Test(
                "len({0}) == {1}", (optimizer.state, len(optimizer.state)), "the state of the optimizer"
            )
        for p, state in zip(self.params, self.states, strict=True):
            what = f"what the optimizer remembers of {p.name}"
            if memory:
                yield same_item(optimizer.state, p, what)
            for name in memory:
                yield same_item(state, name, what)

    def _input(self, trace: Trace, name: str, array: np.ndarray) -> Tracer:
        tracer = Tracer.input(trace, name, array)
        self.given[tracer.op] = array
        return tracer

    def _joined(self, arrays: list[np.ndarray]) -> np.ndarray:
        """Return the arrays as one vector: the one of which they are views, or a new one."""
        if len(arrays) == 1:
            array = arrays[0].T if self.turned[0] else arrays[0]
            return array if array.flags.c_contiguous else np.ascontiguousarray(array)
        parts = [a.T if turned else a for a, turned in zip(arrays, self.turned, strict=True)]
        base = parts[0].base
        size = sum(a.size for a in parts)
        if base is not None and all(a.base is base and a.flags.c_contiguous for a in parts):
            places = [a.__array_interface__["data"][0] for a in parts]
            ends = np.cumsum([places[0], *(a.nbytes for a in parts)])[:-1]
            start = places[0] - base.__array_interface__["data"][0]
            if base.ndim == 1 and base.flags.c_contiguous and (ends == places).all():
                first = start // base.itemsize
                whole: np.ndarray = base[first : first + size]
                return base if whole.size == base.size else whole
        return np.concatenate([a.reshape(-1) for a in parts])

    def _split(self, whole: np.ndarray) -> list[np.ndarray]:
        """Return views of a vector, one for each parameter."""
        if len(self.params) == 1:
            return [whole.T if self.turned[0] else whole]
        views, start = [], 0
        for p, turned in zip(self.params, self.turned, strict=True):
            shape = p.shape[::-1] if turned else p.shape
            view = whole[start : start + math.prod(shape)].reshape(shape)
            views.append(view.T if turned else view)
            start += math.prod(shape)
        return views

    def _views_of(self, capture: Capture, whole: Op) -> dict[Op, Op]:
        """The parameters as views of a vector."""
        views, start = {}, 0
        for p, turned in zip(self.params, self.turned, strict=True):
            old = capture.tensors[id(p)][2]
            shape = old.shape[::-1] if turned else old.shape
            view, place = whole, Place("parameter", name_of(old), "", "")
            if len(self.params) > 1:
                size = math.prod(shape)
                view = Op(getitem, (view, slice(start, start + size)), {}, (size,), old.dtype, place)
                if shape != (size,):
                    view = Op(instruction_of(np.reshape), (view, shape), {}, shape, old.dtype, place)
                start += size
            if turned:
                view = Op(instruction_of(np.transpose), (view, (1, 0)), {}, old.shape, old.dtype, place)
            if view is whole and not turned:
                view = Op(instruction_of(np.reshape), (whole, shape), {}, shape, old.dtype, place)
            views[old] = view
        return views


def same_steps(vectors: list[Vector]) -> Iterator[Test]:
    """Test that parameters with a common step count took equally many steps."""
    together: dict[Op, list[dict[str, Any]]] = {}
    for vector in vectors:
        together.setdefault(vector.step.op, []).extend(vector.states)
    for states in together.values():
        if len(states) > 1:
            equal = " == ".join(f"{{{i}}}['step']" for i in range(len(states)))
            yield Test(equal, tuple(states), "how many steps each parameter took")


def arrange(
    trace: Trace,
    optimizer: Optimizer,
    capture: Capture,
    gradients: Mapping[Node, Tracer],
    turn_for_one_row: bool,
) -> list[Vector]:
    """Sort the parameters that have a gradient into vectors, and join their gradients."""
    vectors = []
    rows = _rows(trace)
    few = rows <= FEW_ROWS and (rows > 1 or turn_for_one_row)
    for number, group in enumerate(optimizer.param_groups):
        together: dict[Any, list[Tensor]] = {}
        rate: Any = None
        steps: dict[int, Any] = {}
        for p in group["params"]:
            if p._node is None or p._node not in gradients:
                continue
            step = optimizer.state.get(p, {"step": 0})["step"]
            g = gradients[p._node]
            alone = p.size >= LARGE and _is_outer(g.op)
            together.setdefault((p.dtype, step, id(p) if alone else None), []).append(p)
        for (_, step, _), params in together.items():
            vector = Vector(params, group, number)
            if rate is None:
                rate = Number.input(trace, "lr", float(group["lr"]))
            if step not in steps:
                steps[step] = Number.input(trace, "step", step + 1, "step")
            vector.lr, vector.step = rate, steps[step]
            parts: list[Any] = []
            for p in params:
                assert p._node is not None, "it has a gradient"
                g = gradients[p._node]
                turned = _is_turned(_array(capture, p), few and not _is_of_rows(g.op))
                vector.turned.append(turned)
                parts.append(np.transpose(g) if turned else g)
            vector.gradient = parts[0] if len(parts) == 1 else _join(trace, parts)
            vectors.append(vector)
    if not vectors:
        raise GradientError(
            f"compile: none of the parameters of {type(optimizer).__name__} has a gradient; the loss does not "
            "depend on the parameters of this optimizer"
        )
    return vectors


def _array(capture: Capture, p: Tensor) -> np.ndarray:
    return capture.tensors[id(p)][3]


def _is_turned(array: np.ndarray, few: bool) -> bool:
    """Whether to store a parameter transposed; once it is, it stays transposed."""
    if array.ndim != 2 or 1 in array.shape:
        return False
    if not array.flags.c_contiguous:
        return bool(array.flags.f_contiguous)
    return few and (array.base is None or array.base.ndim != 1)


def _rows(trace: Trace) -> int:
    """The number of rows of the products."""
    return max((op.shape[0] for op in trace.ops if op.calls(np.matmul) and op.ndim == 2), default=0)


def _is_outer(op: Op) -> bool:
    """Whether an array is the product of a column and a row."""
    while op.calls(np.transpose) or op.calls(copy):
        op = op.args[0]
    is_product = op.instruction.is_product and isinstance(op.args[0], Op)
    return is_product and op.args[0].shape[1:] == (1,)


def _is_of_rows(op: Op) -> bool:
    """Whether an array was made by adding rows at places, like the gradient of a table of words."""
    while op.calls(np.transpose) or op.calls(copy):
        op = op.args[0]
    parts = op.args if op.calls(np.add) else ()
    return op.calls(add_rows) or any(isinstance(part, Op) and _is_of_rows(part) for part in parts)


def _join(trace: Trace, parts: list[Any]) -> Any:
    value = np.concatenate([part.value.reshape(-1) for part in parts])
    return written(trace, join, tuple(parts), {}, value)


def _settings(group: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in group.items() if name != "params"}


def _is_same_memory(a: np.ndarray, b: np.ndarray) -> bool:
    return a.__array_interface__ == b.__array_interface__
