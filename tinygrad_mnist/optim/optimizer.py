"""The base of all optimizers: parameter groups, state, and the step that applies a formula in place."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ..errors import GradientError, OptionError, ShapeError, StateDictError, pluralise
from ..quiet import let_vanish
from ..sparse import SparseGradient
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
    ``state["step"]``, which counts from 1. Write an elementwise formula if you can: ``step`` applies it
    to large parameters block by block, which is faster, and ``tg.compile`` takes no other. The formula
    may overwrite ``p`` and the arrays of ``state`` (with ``+=`` and similar), but not ``g``. It never
    sees complex numbers: for a complex parameter, it gets the real and the imaginary part separately,
    as in PyTorch.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> class SignDescent(Optimizer):
    ...     @staticmethod
    ...     def update(p, g, state, *, lr):
    ...         return p - lr * np.sign(g), state
    >>> x = tg.tensor([1.0, -3.0], requires_grad=True)
    >>> optimizer = SignDescent([x], lr=0.1)
    >>> (x**2).sum().backward()
    >>> optimizer.step()
    >>> x
    tensor([ 0.9, -2.9], requires_grad=True)
    """

    def __init__(self, params: Iterable[Any], **defaults: Any) -> None:
        name = type(self).__name__
        if hasattr(params, "parameters") or not isinstance(params, (Tensor, Iterable)):
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
        self._is_elementwise: bool | None = None  # not known yet
        for group in groups:
            self.add_param_group(group)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in getattr(self, "defaults", ()):
            raise OptionError(
                f"{type(self).__name__}: {name} is a setting of each group of parameters; change it there, as in "
                f"optimizer.param_groups[0][{name!r}] = {value!r}"
            )
        super().__setattr__(name, value)

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Add parameters with their own settings."""
        params = [group["params"]] if isinstance(group["params"], Tensor) else list(group["params"])
        present = {id(p) for g in self.param_groups for p in g["params"]}
        for p in params:
            if not isinstance(p, Tensor):
                raise OptionError(
                    f"{type(self).__name__}: got a {type(p).__name__} among the parameters; pass model.parameters(), "
                    "or for several models [*one.parameters(), *another.parameters()]"
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
            if name != "params" and (wrong := _fault(name, value)):
                raise OptionError(f"{type(self).__name__}: {name} = {value!r} {wrong}")
        self.param_groups.append(settings)

    @staticmethod
    def memory(settings: Mapping[str, Any]) -> tuple[str, ...]:
        """Name the arrays in ``state``; they have the shape of ``p`` and start at zero."""
        return ()

    @staticmethod
    def of_rows(settings: Mapping[str, Any]) -> bool | None:
        """What to do with a gradient of some rows: change these (True) or all (False), or refuse it (None)."""
        return None

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

    @let_vanish
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
                g = self._whole(p, node.grad, settings)
                state = self.state.setdefault(p, {"step": 0})
                for name in memory:
                    if name not in state:
                        state[name] = np.zeros_like(p.data)
                state["step"] += 1
                apply = self._apply_to_rows if isinstance(g, SparseGradient) else self._apply
                apply(buffer(p), g, state, settings)
        if not updated:
            raise GradientError(
                f"{type(self).__name__}.step: no parameter has a gradient; call loss.backward() first, with a loss "
                "computed from these parameters, and zero_grad() before that"
            )

    def _whole(self, p: Tensor, grad: Array, settings: Mapping[str, Any]) -> Any:
        """The values of a gradient; a sparse one is written out if every row of the parameter moves."""
        if not isinstance(grad, SparseGradient):
            return (
                grad.data if isinstance(grad, Tensor) else grad
            )  # a Tensor after backward(create_graph=True)
        of_rows = self.of_rows(settings)
        if of_rows is None:
            decay = " with weight_decay" if settings.get("weight_decay") else ""
            raise OptionError(
                f"{type(self).__name__}{decay} changes every row of a parameter in every step, but the gradient of "
                f"{p.name or 'a parameter'!r} is sparse: optimize it with SparseAdam, or with SGD or Adagrad without "
                "weight_decay; or make the embedding without sparse=True"
            )
        return grad if of_rows else grad.toarray()

    def _apply_to_rows(self, p: NDArray, g: SparseGradient, state: State, settings: dict[str, Any]) -> None:
        """Run the formula on the rows that have a gradient, and write the results into them."""
        part = {name: x[g.rows] if isinstance(x, np.ndarray) else x for name, x in state.items()}
        p[g.rows], new = self.advance(p[g.rows], g.values, part, settings)
        for name, value in new.items():
            if isinstance(value, np.ndarray):
                state[name][g.rows] = value

    def _apply(self, p: NDArray, g: NDArray, state: State, settings: dict[str, Any]) -> None:
        """Run the formula, at once or block by block, and write the result into ``p``."""
        if p.size > BLOCK and (order := _order(p, state)):
            if self._is_elementwise is None:
                self._is_elementwise = self._try_parts(settings)
            if self._is_elementwise:
                for block in _blocks(p, g, state, order):
                    self._apply(*block, settings)
                return
        new_p, new = self.advance(p, g, state, settings)
        self.refuse_undeclared(new, settings)
        if new_p is not p:
            p[...] = new_p
        if new is not state:
            for name, value in new.items():
                if value is not state[name]:
                    state[name][...] = value

    def _try_parts(self, settings: dict[str, Any]) -> bool:
        """Whether the formula makes the same of a few numbers, at once and in two parts."""

        def run(p: NDArray, g: NDArray) -> list[NDArray]:
            state = {"step": 1, **{name: np.zeros_like(p) for name in self.memory(settings)}}
            new_p, new = self.advance(p.copy(), g, state, settings)
            return [np.ravel(x) for x in (new_p, *(new[name] for name in state))]

        p = np.linspace(0.5, 3.0, 6).reshape(2, 3)
        g = 1e3 * p[::-1]  # so long that what limits gradients takes effect
        try:
            whole = run(p, g)
            parts = (run(p.ravel()[part], g.ravel()[part]) for part in (slice(2), slice(2, None)))
            joined = map(np.concatenate, zip(*parts, strict=True))
            return all(np.allclose(x, y) for x, y in zip(whole, joined, strict=True))
        except Exception:  # it needs the shape of the parameter
            return False

    def refuse_undeclared(self, state: State, settings: Mapping[str, Any]) -> None:
        """Raise an error if the formula remembers more than :meth:`memory` names."""
        memory = self.memory(settings)
        if len(state) > len(memory) + 1:
            extra = next(name for name in state if name not in ("step", *memory))
            raise OptionError(
                f"{type(self).__name__}.update: state[{extra!r}] would be lost, because memory(settings) does not name "
                f"it; let that return {(*memory, extra)!r}, and the array is there from the first step, all zeros"
            )

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for group in self.param_groups:
            for p in group["params"]:
                p.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        """Copy state and settings; parameters appear by their number. ``tg.save`` can write it to a file."""
        numbers = {p: i for i, p in enumerate(self._params())}
        memory = {p: self.memory(group) for group in self.param_groups for p in group["params"]}
        return {
            "state": {
                # What the formula will only make in its next step is zero until then.
                numbers[p]: {
                    **{name: np.zeros_like(p.data) for name in memory[p] if name not in state},
                    **copy.deepcopy(state),
                }
                for p, state in self.state.items()
            },
            "param_groups": [
                {
                    **copy.deepcopy({k: v for k, v in group.items() if k != "params"}),
                    "params": [numbers[p] for p in group["params"]],
                }
                for group in self.param_groups
            ],
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore state and settings from the :meth:`state_dict` of an optimizer with the same parameters.

        Raises
        ------
        StateDictError, ShapeError
            If it belongs to other parameters or to another kind of optimizer, or if no optimizer can be in
            such a state: a learning rate below 0, NaN or text as a setting, or a missing part. Nothing is
            changed in that case.
        """
        groups = self._groups_of(state_dict)
        states = self._states_of(state_dict["state"], groups)
        for group, saved in zip(self.param_groups, groups, strict=True):
            group.update(saved)
        self.state = states

    def _groups_of(self, state_dict: Any) -> list[dict[str, Any]]:
        """The settings of each group in a state dict, without its parameters."""
        name = type(self).__name__
        saved = state_dict.get("param_groups") if isinstance(state_dict, Mapping) else None
        if not (
            isinstance(saved, (list, tuple))
            and all(isinstance(g, Mapping) and isinstance(g.get("params"), (list, tuple)) for g in saved)
            and isinstance(state_dict.get("state"), Mapping)
        ):
            raise StateDictError(f"{name}: this is not the state_dict() of an optimizer")
        sizes = [len(g["params"]) for g in self.param_groups], [len(g["params"]) for g in saved]
        if sizes[0] != sizes[1]:
            raise StateDictError(
                f"{name}: has groups of {sizes[0]} parameters, but the state dict has {sizes[1]}"
            )
        if [i for g in saved for i in g["params"]] != list(range(sum(sizes[0]))):
            raise StateDictError(f"{name}: the parameters in the state dict are not numbered in their order")
        return [self._settings_of(*pair) for pair in zip(self.param_groups, saved, strict=True)]

    def _settings_of(self, group: Mapping[str, Any], saved: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of a group in a state dict, if this group can have them."""
        if group.keys() != saved.keys():
            raise StateDictError(
                f"{type(self).__name__}: has the settings {sorted(group)}, but the state dict {sorted(saved)}; it "
                "belongs to another kind of optimizer"
            )
        found = {key: copy.deepcopy(value) for key, value in saved.items() if key != "params"}
        for key, value in found.items():
            if wrong := _fault(key, value, like=group[key]):
                raise StateDictError(
                    f"{type(self).__name__}: the state dict has {key} = {value!r}: it {wrong}"
                )
            if isinstance(group[key], tuple):  # JSON has only lists
                found[key] = tuple(value)
        return found

    def _states_of(self, saved: Mapping[Any, Any], groups: list[dict[str, Any]]) -> dict[Tensor, State]:
        """The state of each parameter in a state dict."""
        name, params = type(self).__name__, self._params()
        settings = [new for new, g in zip(groups, self.param_groups, strict=True) for _ in g["params"]]
        found: dict[Tensor, State] = {}
        for number, state in saved.items():
            i = int(number) if str(number).isdecimal() else -1
            if not 0 <= i < len(params) or params[i] in found:
                raise StateDictError(
                    f"{name}: has {pluralise(len(params), 'parameter')}, the state dict has number {number!r}"
                )
            of = f"{name}: in the state dict, the state of parameter {i}"
            if not isinstance(state, Mapping):
                raise StateDictError(f"{of} is a {type(state).__name__}, not a dict")
            needed = ("step", *self.memory(settings[i]))
            if missing := [part for part in needed if part not in state]:
                raise StateDictError(f"{of} lacks {', '.join(missing)}")
            found[params[i]] = {part: _part(of, part, value, params[i]) for part, value in state.items()}
        return found

    def _params(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={self.param_groups[0][name]!r}" for name in self.defaults)
        return f"{type(self).__name__}({settings})"


def _fault(name: str, value: Any, like: Any = None) -> str:
    """Say what is wrong with a setting, or return ""; ``like`` is a value that it may replace."""
    if isinstance(value, str):
        return "is a string; pass a number, without quotation marks"
    if like is not None:
        kinds = np.asarray(like).dtype.kind, np.asarray(value).dtype.kind
        is_number = kinds[0] in "biuf"
        if is_number and (np.shape(value) != np.shape(like) or kinds[1] not in "biuf"):
            return f"is of another kind than {like!r}"
        if is_number and not np.isfinite(value).all():
            return "is not finite"
    if name in ("lr", "momentum", "weight_decay", "eps"):
        array = np.asarray(value)
        if array.shape or array.dtype.kind not in "biuf" or not 0 <= value < math.inf:
            return "must be a number, 0 or more"
    if name == "betas" and np.shape(value) != (2,):
        return "must be a pair of numbers, such as (0.9, 0.999)"
    if name in ("betas", "alpha", "momentum") and not all(0 <= decay < 1 for decay in np.atleast_1d(value)):
        return "is not in [0, 1)"
    return ""


def _part(of: str, name: str, value: Any, p: Tensor) -> Any:
    """Copy one part of a parameter's state: the number of steps, or an array like the parameter."""
    array = np.asarray(value)
    if name == "step":
        if array.shape or array.dtype.kind not in "iu" or array < 0:
            raise StateDictError(f"{of} has step = {value!r}, which is not a number of steps")
        return int(array)
    if array.dtype.kind not in "biufc" or not np.can_cast(array.dtype, p.dtype, "same_kind"):
        raise StateDictError(f"{of} has {name} of dtype {array.dtype}; expected {p.dtype}")
    if array.shape != p.shape:
        raise ShapeError(f"{of} has {name} of shape {array.shape}, not {p.shape}")
    return np.array(array, p.dtype)


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
