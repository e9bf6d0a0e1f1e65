"""The base of all optimizers: parameter groups, state, and the step that applies a formula in place."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ..errors import GradientError, OptionError, ShapeError, StateDictError, pluralise
from ..tensor import Tensor, buffer
from ..typing import Array, NDArray

__all__ = ["Optimizer"]

#: A formula runs on this many elements at a time, so that its intermediate results stay in the
#: processor's cache: for Adam that is 1.2 to 1.4 times as fast as whole arrays.
BLOCK = 40_960

State = dict[str, Any]


class Optimizer:
    """Updates parameters from their gradients; each subclass is a formula.

    Parameters
    ----------
    params : iterable of Tensors, or of dicts
        The parameters to update. A dict ``{"params": [...], "lr": ...}`` makes a group with its own
        settings.
    **defaults
        The settings of groups that do not have their own.

    Notes
    -----
    A subclass is a formula, the static method ``update(p, g, state, **settings)``, which returns the
    next ``p`` and ``state``. ``memory(settings)`` names the arrays in ``state``, besides
    ``state["step"]``, which counts from 1. The formula must be elementwise, because it is applied block
    by block. It may overwrite ``p`` and the arrays of ``state`` (with ``+=`` and similar), but not
    ``g``. It never sees complex numbers: for a complex parameter, it gets the real and the imaginary
    part separately, as in PyTorch.
    """

    def __init__(self, params: Iterable[Any], **defaults: Any) -> None:
        name = type(self).__name__
        if hasattr(params, "parameters"):
            raise OptionError(
                f"{name}: got a {type(params).__name__}; pass its parameters, as in {name}(model.parameters())"
            )
        groups: list[Any] = [params] if isinstance(params, Tensor) else list(params)
        if not groups:
            raise OptionError(
                f"{name}: there are no parameters to optimize; a Module's are the tg.nn.Parameter objects among its "
                "attributes, as in self.w = tg.nn.Parameter(array), and those of its layers"
            )
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        self.defaults = defaults
        self.param_groups: list[dict[str, Any]] = []
        self.state: dict[Tensor, State] = {}
        for group in groups:
            self.add_param_group(group)

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Add parameters with their own settings."""
        params = [group["params"]] if isinstance(group["params"], Tensor) else list(group["params"])
        present = {id(p) for g in self.param_groups for p in g["params"]}
        for p in params:
            if not isinstance(p, Tensor):
                raise OptionError(
                    f"{type(self).__name__}: {type(p).__name__} is not a Tensor that can be optimized"
                )
            if not p.is_leaf:
                raise GradientError(
                    f"{type(self).__name__}: a computed Tensor of shape {p.shape} cannot be optimized"
                )
            if id(p) in present:
                raise OptionError(f"{type(self).__name__}: the parameter {p.name!r} appears twice")
            present.add(id(p))
        unknown = set(group) - set(self.defaults) - {"params"}
        if unknown:
            raise OptionError(
                f"{type(self).__name__}: unknown settings {sorted(unknown)}; valid: {', '.join(self.defaults)}"
            )
        settings = {**self.defaults, **group, "params": params}
        for name, value in settings.items():
            if isinstance(value, str):
                raise OptionError(
                    f"{type(self).__name__}: {name} = {value!r} is a string; pass a number, without quotation marks"
                )
            if name in ("lr", "momentum", "weight_decay", "eps") and not 0 <= value < math.inf:
                raise OptionError(f"{type(self).__name__}: {name} = {value!r} must be a number, 0 or more")
            if name in ("betas", "alpha") and not all(0 <= decay < 1 for decay in np.atleast_1d(value)):
                raise OptionError(f"{type(self).__name__}: {name} = {value!r} is not in [0, 1)")
        self.param_groups.append(settings)

    @staticmethod
    def memory(settings: Mapping[str, Any]) -> tuple[str, ...]:
        """Name the arrays in ``state``; they have the shape of ``p`` and start at zero."""
        return ()

    @staticmethod
    def update(*args: Any, **settings: Any) -> tuple[Array, State]:
        """``update(p, g, state, **settings)`` computes the next ``p`` and ``state``, elementwise."""
        raise TypeError("an Optimizer must define update(p, g, state, ...)")

    def advance(self, p: Array, g: Array, state: State, settings: Mapping[str, Any]) -> tuple[Array, State]:
        """Apply the formula; the real and the imaginary part of complex numbers count as two parameters."""
        if p.dtype.kind != "c":
            return self.update(p, g, state, **settings)
        (real, real_state), (imag, imag_state) = (
            self.update(
                part(p).copy(),
                part(g),
                {name: value if name == "step" else part(value).copy() for name, value in state.items()},
                **settings,
            )
            for part in (np.real, np.imag)
        )
        joined = {
            name: value if name == "step" else value + 1j * imag_state[name]
            for name, value in real_state.items()
        }
        return real + 1j * imag, joined

    def step(self) -> None:
        """Update every parameter that has a gradient, in place.

        Raises
        ------
        GradientError
            If none has one: ``backward()`` was not called, or the loss does not depend on these parameters.
        """
        updated = False
        for group in self.param_groups:
            settings = {name: _number(value) for name, value in group.items() if name != "params"}
            memory = self.memory(settings)
            for p in group["params"]:
                node = p.node
                if node is None or node.grad is None:
                    continue
                updated = True
                state = self.state.setdefault(p, {"step": 0})
                for name in memory:
                    if name not in state:
                        state[name] = np.zeros_like(p.data)
                state["step"] += 1
                self._apply(buffer(p), _plain(node.grad), state, settings)
        if not updated:
            raise GradientError(
                f"{type(self).__name__}.step: no parameter has a gradient; call loss.backward() first, with a loss "
                "computed from these parameters, and zero_grad() before that"
            )

    def _apply(self, p: NDArray, g: NDArray, state: State, settings: dict[str, Any]) -> None:
        """Run the formula, at once or block by block, and write the result into ``p``."""
        if p.size > BLOCK and (order := _order(p, state)):
            for block in _blocks(p, g, state, order):
                self._apply(*block, settings)
            return
        new_p, new = self.advance(p, g, state, settings)
        if new_p is not p:
            p[...] = new_p
        if new is not state:
            for name, value in new.items():
                if value is not state[name]:
                    state[name][...] = value

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for group in self.param_groups:
            for p in group["params"]:
                p.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        """Copy state and settings; parameters appear by their number."""
        numbers = {p: i for i, p in enumerate(self._params())}
        return {
            "state": {numbers[p]: copy.deepcopy(state) for p, state in self.state.items()},
            "param_groups": [
                {
                    **copy.deepcopy({k: v for k, v in group.items() if k != "params"}),
                    "params": [numbers[p] for p in group["params"]],
                }
                for group in self.param_groups
            ],
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore state and settings from the :meth:`state_dict` of an optimizer with the same parameters."""
        params = self._params()
        sizes = (
            [len(g["params"]) for g in self.param_groups],
            [len(g["params"]) for g in state_dict["param_groups"]],
        )
        if sizes[0] != sizes[1]:
            raise StateDictError(
                f"{type(self).__name__}: has groups of {sizes[0]} parameters, but the state dict has {sizes[1]}"
            )
        for group, saved in zip(self.param_groups, state_dict["param_groups"], strict=True):
            if group.keys() != saved.keys():
                raise StateDictError(
                    f"{type(self).__name__}: has the settings {sorted(group)}, but the state dict {sorted(saved)}; it "
                    "belongs to another kind of optimizer"
                )
        for i, state in state_dict["state"].items():
            if not 0 <= int(i) < len(params):
                raise StateDictError(
                    f"{type(self).__name__}: has {pluralise(len(params), 'parameter')}, the state dict has number {i}"
                )
            for name, value in state.items():
                if isinstance(value, np.ndarray) and value.shape != params[int(i)].shape:
                    raise ShapeError(
                        f"{type(self).__name__}: {name} of parameter {i} has shape {value.shape}, "
                        f"not {params[int(i)].shape}"
                    )
        for group, saved in zip(self.param_groups, state_dict["param_groups"], strict=True):
            group.update({k: copy.deepcopy(v) for k, v in saved.items() if k != "params"})
        self.state = {params[int(i)]: copy.deepcopy(state) for i, state in state_dict["state"].items()}

    def _params(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={self.param_groups[0][name]!r}" for name in self.defaults)
        return f"{type(self).__name__}({settings})"


def _number(x: Any) -> Any:
    """A setting; a NumPy number becomes a Python number, which has no dtype to impose on parameters."""
    return x.item() if isinstance(x, np.generic) else x


def _order(p: NDArray, state: State) -> str:
    """The common memory order of parameter and state, in which their flat arrays are views."""
    arrays = [p, *(value for value in state.values() if isinstance(value, np.ndarray))]
    if all(array.flags.c_contiguous for array in arrays):
        return "C"
    return "F" if all(array.flags.f_contiguous for array in arrays) else ""


def _blocks(p: NDArray, g: NDArray, state: State, order: Any) -> Iterator[tuple[NDArray, NDArray, State]]:
    """Cut arrays into views of at most ``BLOCK`` elements; each block gets the numbers."""
    p, g = p.reshape(-1, order=order), g.reshape(-1, order=order)
    flat = {name: v.reshape(-1, order=order) for name, v in state.items() if isinstance(v, np.ndarray)}
    for start in range(0, p.size, BLOCK):
        block = slice(start, start + BLOCK)
        yield p[block], g[block], {**state, **{name: array[block] for name, array in flat.items()}}


def _plain(grad: Array) -> NDArray:
    """The values of a gradient, which is a Tensor after ``backward(create_graph=True)``."""
    return grad.data if isinstance(grad, Tensor) else grad
