"""The base class of layers: objects with parameters that can be called.

A :class:`Module` is an ordinary Python object. Its parameters, buffers and submodules are the
attributes that are parameters, buffers or modules (also inside lists, tuples and dicts). They are
looked up each time: nothing has to be registered, and no ``super().__init__()`` can be forgotten.
"""

from __future__ import annotations

import sys
from abc import ABCMeta
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np

from ..errors import (
    GradientError,
    LostGradientWarning,
    OptionError,
    StateDictError,
    TinygradError,
    UnsupportedError,
    describe_briefly,
    misfit,
)
from ..graph import CALLED, RECORDING, SCOPE, changed, scope_text
from ..operands import asarray, operand
from ..origins import caller, warn
from ..tensor import Tensor, buffer
from ..typing import Array, NDArray
from .summary import Summary, summarize

__all__ = ["Module", "Parameter"]

Self = TypeVar("Self", bound="Module")


class Parameter(Tensor):
    """A Tensor that a :class:`Module` learns.

    Parameters
    ----------
    data : array_like
        Initial values, copied.
    dtype : dtype, default float32
        float64 makes networks no better, and half as fast.

    Examples
    --------
    >>> Parameter([1.0, 2.0])
    tensor([1., 2.], dtype=float32, requires_grad=True)
    """

    __slots__ = ()

    def __init__(self, data: Any, *, dtype: Any = np.float32) -> None:
        super().__init__(asarray(operand(data), dtype), requires_grad=True)

    def _rebind(self, new: Any) -> Tensor:
        if RECORDING.get():
            raise GradientError(
                f"the parameter{f' {self.name!r}' if self.name else ''} of shape {self.shape} cannot be changed in "
                "place while operations are recorded: it would become a computed Tensor. Update it within "
                "tg.no_grad(), or write w = w + ... to compute with a changed copy"
            )
        return super()._rebind(new)


class _Kind(ABCMeta):
    """The metaclass of modules; it notes for compiled programs that a class got another method or setting."""

    __instancecheck__ = type.__instancecheck__  # that of an abstract class takes five times as long
    __subclasscheck__ = type.__subclasscheck__

    def __setattr__(cls, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        changed()

    def __delattr__(cls, name: str) -> None:
        super().__delattr__(name)
        changed()


class Module(metaclass=_Kind):
    """A piece of a network: write its ``forward``, then call the object.

    Examples
    --------
    >>> class Scale(Module):
    ...     def __init__(self):
    ...         self.factor = Parameter(2.0)
    ...
    ...     def forward(self, x):
    ...         return self.factor * x
    >>> scale = Scale()
    >>> scale(np.float32(3.0))
    tensor(6., dtype=float32, op=multiply)
    >>> [name for name, _ in scale.named_parameters()]
    ['factor']
    """

    training: bool
    _name: str
    _buffers: tuple[str, ...]
    _arguments: tuple[tuple[Any, ...], dict[str, Any]]

    _is_ours = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Note whether the class is a layer of this package or of the user."""
        super().__init_subclass__(**kwargs)
        cls._is_ours = cls.__module__.startswith(__package__)

    def __new__(cls: type[Self], *args: Any, **kwargs: Any) -> Self:
        """Set the attributes that every module has, so that subclasses need not call a constructor."""
        if any(isinstance(x, Tensor) or getattr(x, "ndim", 0) > 1 for x in args) and cls._is_ours:
            raise TypeError(
                f"{cls.__name__}: data are not for making this object but for calling it: first "
                f"f = {cls.__name__}(...) with its settings, then f(...) with the data"
            )
        if (args or kwargs) and cls.__init__ is object.__init__:
            raise TypeError(f"{cls.__name__} is made without arguments, as in {cls.__name__}()")
        self = super().__new__(cls)
        self.__dict__.update(training=True, _name="", _buffers=(), _arguments=(args, kwargs))
        return self

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the output; every subclass implements it."""
        raise TypeError(f"{type(self).__name__} does not define forward(self, ...)")

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        """Run :meth:`forward`, and label the recorded operations with this module's place in the network."""
        cls = type(self)
        called = CALLED.get()
        returned = None if called is None else called(self)
        token = SCOPE.set((SCOPE.get(), self._name, cls.__name__, caller(), cls._is_ours))
        try:
            output = self.forward(*args, **kwargs)
        except TinygradError as error:
            self._say_where(error)
            raise
        except TypeError:
            if words := misfit(self.forward, args, kwargs):
                raise TypeError(f"{cls.__name__}.forward: {words}{_hint(words, args)}") from None
            raise
        finally:
            SCOPE.reset(token)
        if output is None:
            raise UnsupportedError(f"{cls.__name__}.forward returned nothing; end it with `return ...`")
        if returned is not None:
            returned(output)
        return output

    def _say_where(self, error: TinygradError) -> None:
        """Begin the message of an error in a layer of this package with the layer and its place in the network."""
        place = scope_text(SCOPE.get()).rpartition(".")[0]
        parts = [isinstance(part, Module) for _, part in self._own_parts()]
        is_layer = self._buffers or not all(parts) or (place and not parts)
        if self._is_ours and is_layer and not error.names_layer:
            error.names_layer = True
            at = f" (at {place!r})" if place else ""
            error.args = (f"{type(self).__name__}({self.extra_repr()}){at}: {error}", *error.args[1:])

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "requires_grad":
            raise OptionError(
                "requires_grad is a setting of parameters: for p in module.parameters(): p.requires_grad = False"
            )
        if isinstance(vars(self).get(name), Parameter) and not (
            value is None or isinstance(value, Parameter)
        ):
            raise OptionError(
                f"{name} is a Parameter, and a {type(value).__name__} in its place would not be trained; to change its "
                f"values, write `with tg.no_grad(): module.{name}[...] = values`, or assign a tg.nn.Parameter"
            )
        for path, part in _parts(name, value):
            if isinstance(part, Module):
                part.__dict__["_name"] = path
            elif part.node is not None:
                part.name = path
        object.__setattr__(self, name, value)
        changed()

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        changed()

    # -- parts -----------------------------------------------------------------------------------

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Submodules one level down, with their names."""
        return ((name, part) for name, part in self._own_parts() if isinstance(part, Module))

    def _own_parts(self) -> Iterator[tuple[str, Any]]:
        """Modules, parameters and other leaves among the attributes."""
        for attribute, value in vars(self).items():
            if attribute not in _INTERNAL:
                yield from _parts(attribute, value)

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module and all modules below it, each once, with their paths."""
        seen: set[int] = set()

        def walk(path: str, module: Module) -> Iterator[tuple[str, Module]]:
            if id(module) not in seen:
                seen.add(id(module))
                yield path, module
                for name, child in module.named_children():
                    yield from walk(_join(path, name), child)

        yield from walk(prefix, self)

    def named_parameters(self, prefix: str = "") -> Iterator[tuple[str, Parameter]]:
        """All parameters of this module and those below it, each once, with their paths (``layers.0.weight``)."""
        seen: set[int] = set()
        for path, module in self.named_modules(prefix):
            for name, part in module._own_parts():
                if isinstance(part, Parameter):
                    if id(part) not in seen:
                        seen.add(id(part))
                        yield _join(path, name), part
                elif isinstance(part, Tensor):
                    warn(
                        f"{type(module).__name__}.{name} is a Tensor with requires_grad, but no Parameter, so it is "
                        f"neither trained nor saved; make it one, as in self.{name} = tg.nn.Parameter(...)",
                        LostGradientWarning,
                    )

    def named_buffers(self, prefix: str = "") -> Iterator[tuple[str, NDArray]]:
        """All registered buffers of this module and those below it, with their paths."""
        for path, module in self.named_modules(prefix):
            for name in module._buffers:
                yield _join(path, name), getattr(module, name)

    def children(self) -> Iterator[Module]:
        """Submodules one level down."""
        return (module for _, module in self.named_children())

    def modules(self) -> Iterator[Module]:
        """This module and all modules below it."""
        return (module for _, module in self.named_modules())

    def parameters(self) -> Iterator[Parameter]:
        """All parameters of this module and those below it, each once; pass them to an optimizer."""
        return (parameter for _, parameter in self.named_parameters())

    def buffers(self) -> Iterator[NDArray]:
        """All registered buffers of this module and those below it."""
        return (array for _, array in self.named_buffers())

    def register_buffer(self, name: str, value: Any) -> None:
        """Keep an array that is saved with the parameters but not learned, such as a running mean."""
        setattr(self, name, np.array(value))
        if name not in self._buffers:
            self.__dict__["_buffers"] = (*self._buffers, name)
            changed()

    # -- state -----------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, NDArray]:
        """Copy all parameters and buffers into a dict of plain arrays, by path."""
        state = {name: np.array(parameter.data) for name, parameter in self.named_parameters()}
        state.update((name, np.array(array)) for name, array in self.named_buffers())
        return state

    def load_state_dict(
        self, state: Mapping[str, Any], *, strict: bool = True
    ) -> tuple[list[str], list[str]]:
        """Overwrite parameters and buffers in place with the arrays of a state dict.

        Parameters
        ----------
        state : mapping of str to array_like
            In the form of :meth:`state_dict`; arrays, or tensors of PyTorch, are converted to this module's dtypes.
        strict : bool, default True
            Whether the names must be exactly those of this module.

        Returns
        -------
        missing, unexpected : lists of str
            Names that ``state`` lacks, and names that this module does not have (empty if ``strict``).

        Raises
        ------
        StateDictError
            Lists every difference; nothing is overwritten in that case.
        UnsupportedError
            If a tensor of PyTorch holds no numbers, or has a sparse layout.
        """
        if not isinstance(state, Mapping):
            raise StateDictError(
                f"load_state_dict: got a {type(state).__name__}; pass a dict of arrays, as tg.load(path) returns it"
            )
        parameters = dict(self.named_parameters())
        own: dict[str, Array] = {**parameters, **dict(self.named_buffers())}
        new = {name: _numbers(name, value) for name, value in state.items()}
        missing = [name for name in own if name not in new]
        unexpected = [name for name in new if name not in own]
        misshapen = [name for name in own if name in new and new[name].shape != own[name].shape]
        problems = [f"  {n}: shape {new[n].shape}, expected {own[n].shape}" for n in misshapen]
        problems += [
            f"  {n}: dtype {new[n].dtype}, expected {own[n].dtype}"
            for n in own
            if n in new and not np.can_cast(new[n].dtype, own[n].dtype, "same_kind")
        ]
        if strict:
            problems += [f"  {n}: missing, expected shape {own[n].shape}" for n in missing]
            problems += [f"  {n}: unexpected, shape {new[n].shape}" for n in unexpected]
        if problems:
            raise StateDictError(
                f"load_state_dict: {len(problems)} {'entry does' if len(problems) == 1 else 'entries do'} not fit this "
                f"{type(self).__name__}:\n" + "\n".join(problems)
            )
        for name, parameter in parameters.items():
            if name in new:
                np.copyto(buffer(parameter), new[name])
        for path, module in self.named_modules():
            for name in module._buffers:
                if _join(path, name) in new:
                    setattr(module, name, np.array(new[_join(path, name)], own[_join(path, name)].dtype))
        return missing, unexpected

    def train(self: Self, mode: bool = True) -> Self:
        """Switch layers such as Dropout to training behaviour."""
        if not isinstance(mode, (bool, np.bool_)):
            raise OptionError(
                f"train: mode is a {type(mode).__name__}; it is True or False. "
                "tg.training.fit(model, data) trains a model"
            )
        for module in self.modules():
            module.training = mode
        return self

    def eval(self: Self) -> Self:
        """Switch layers such as Dropout to evaluation behaviour."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self.parameters():
            parameter.zero_grad()

    def astype(self: Self, dtype: Any) -> Self:
        """Convert parameters, and buffers of floats, to another dtype, in place; their gradients are forgotten."""
        return self.convert(lambda array: array.astype(dtype) if array.dtype.kind in "fc" else array)

    def convert(self: Self, function: Callable[[Any], Any]) -> Self:
        """Replace the array of each parameter and buffer, in place; gradients are forgotten.

        Parameters
        ----------
        function : callable
            Gets an array and returns the new one, as ``cupy.asarray`` does.

        Examples
        --------
        >>> import tinygrad_mnist as tg
        >>> tg.nn.Linear(2, 1, rng=0).convert(np.ones_like).weight
        tensor([[1., 1.]], dtype=float32, requires_grad=True)
        """
        for module in self.modules():
            for name, part in module._own_parts():
                if isinstance(part, Parameter):
                    tracked = part.requires_grad
                    part.requires_grad = False
                    part._array = function(part._array)
                    part.requires_grad = tracked
                    if tracked:
                        part.name = name
            for name in module._buffers:
                setattr(module, name, function(getattr(module, name)))
        return self

    def apply(self: Self, function: Callable[[Module], Any]) -> Self:
        """Call ``function`` on this module and all modules below it."""
        for module in self.modules():
            function(module)
        return self

    # -- representation --------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """The text that ``repr`` shows in parentheses: by default, how a layer of this package was made."""
        args, kwargs = self._arguments if self._is_ours else ((), {})
        named = [f"{name}={_written(x)}" for name, x in kwargs.items() if name not in _UNWRITTEN]
        return ", ".join([*map(_written, args), *named])

    def __repr__(self) -> str:
        children = [f"({name}): {child!r}" for name, child in self.named_children()]
        if not children:
            return f"{type(self).__name__}({self.extra_repr()})"
        body = "\n".join(children).replace("\n", "\n  ")
        return f"{type(self).__name__}(\n  {body}\n)"

    def summary(self, *inputs: Any) -> Summary:
        """Describe layers and parameters in a table, with the shapes that the layers return.

        Parameters
        ----------
        *inputs : array, or shape
            The input of the model: the shape of one sample, such as ``(784,)``, which stands for a batch of one
            such sample; or an array. It may be omitted if the input of the first layer is known, as in an MLP.
            The model runs as in ``eval()``, and nothing is recorded.

        Returns
        -------
        Summary
            It prints itself in a terminal and in a notebook; ``str(summary)`` is the text.

        Examples
        --------
        >>> from tinygrad_mnist.nn import MLP
        >>> MLP([784, 16, 10], rng=0).summary()
        layer  kind    output   parameters                     count
        -----  ------  -------  ----------------------------  ------
        0      Linear  (1, 16)  weight (16, 784), bias (16,)  12,560
        1      ReLU    (1, 16)                                     0
        2      Linear  (1, 10)  weight (10, 16), bias (10,)      170
        -----  ------  -------  ----------------------------  ------
        MLP                     4 arrays, float32             12,730
        outputs for an input of shape (1, 784)
        """
        return summarize(self, inputs)

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    def _sample_shape(self) -> tuple[int, ...] | None:
        """The shape of one sample of the input, if it is known."""
        return None


#: Attributes that are not part of the network.
_INTERNAL = ("training", "_name", "_buffers", "_arguments")

#: Arguments of layers that their text leaves out.
_UNWRITTEN = ("rng", "dtype", "weight_init", "bias_init")


def _written(x: Any) -> str:
    """An argument as text; it is the same after it was saved, as JSON, which knows lists only."""
    return repr(tuple(x) if isinstance(x, list) else x.item() if isinstance(x, np.generic) else x)


def _parts(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The modules, parameters and other leaves that an attribute holds, directly or in containers."""
    if isinstance(value, (Module, Parameter)) or (
        isinstance(value, Tensor) and value.requires_grad and value.is_leaf
    ):
        yield name, value
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            yield from _parts(f"{name}.{i}", item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _parts(f"{name}.{key}", item)


def _numbers(name: str, value: Any) -> NDArray:
    """The array of an entry of a state dict, which may be a tensor of PyTorch; NumPy lacks its short floats."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(value, torch.Tensor):
        return np.asarray(value.data if isinstance(value, Tensor) else operand(value))
    if value.is_meta:
        raise UnsupportedError(
            f"state dict: {name} is on the device 'meta', which holds no numbers; load the weights there first"
        )
    if value.layout != torch.strided:
        raise UnsupportedError(
            f"state dict: {name} has the layout {value.layout}; pass it as {name}.to_dense()"
        )
    is_short = value.is_floating_point() and value.dtype not in (torch.float16, torch.float32, torch.float64)
    try:
        return np.asarray((value.float() if is_short else value).numpy(force=True))
    except (RuntimeError, TypeError, ValueError) as error:
        raise UnsupportedError(
            f"state dict: {name}, of {value.dtype}, has no array of NumPy: {describe_briefly(error)}"
        ) from error


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _hint(words: str, args: tuple[Any, ...]) -> str:
    """Say what a forward that does not take its arguments may lack."""
    if words.endswith("takes ()"):
        return "; does it begin with self, as in def forward(self, x)?"
    return "; targets go to the loss, as in loss(model(x), y)" if len(args) > 1 else ""
