"""PyTorch's layers as ours, and ours as PyTorch's, with their weights."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import nn
from ..errors import UnsupportedError, require
from ..nn import Module

__all__ = ["from_torch", "to_torch"]


@dataclass(frozen=True)
class _Kind:
    """A kind of layer in both libraries.

    Attributes
    ----------
    settings : str
        The arguments of the constructor, by PyTorch's names, which are those of attributes.
    renamed : dict
        Ours that have another name.
    only : dict
        Settings of PyTorch's that ours do not have, with the only value that they may have.
    """

    settings: str = ""
    renamed: Mapping[str, str] = field(default_factory=dict)
    only: Mapping[str, Any] = field(default_factory=dict)


_CONVOLUTION = "in_channels out_channels kernel_size stride padding dilation groups bias"
_BATCH_NORM = "num_features eps momentum affine track_running_stats"
_RECURRENT = "input_size hidden_size num_layers bias batch_first dropout bidirectional"
_SOFT = _Kind("dim", {"dim": "axis"})
_ZEROS = {"padding_mode": "zeros"}

_HOOKS = ("forward", "forward_pre", "backward", "backward_pre")

#: The layers that go both ways. Their names are the same.
KINDS: dict[str, _Kind] = {
    "AdaptiveAvgPool2d": _Kind("output_size"),
    "AvgPool2d": _Kind("kernel_size stride padding ceil_mode count_include_pad divisor_override"),
    "BatchNorm1d": _Kind(_BATCH_NORM),
    "BatchNorm2d": _Kind(_BATCH_NORM),
    "Conv1d": _Kind(_CONVOLUTION, only=_ZEROS),
    "Conv2d": _Kind(_CONVOLUTION, only=_ZEROS),
    "ConvTranspose2d": _Kind(f"{_CONVOLUTION} output_padding", only=_ZEROS),
    "Dropout": _Kind("p"),
    "Dropout2d": _Kind("p"),
    "ELU": _Kind("alpha"),
    "Embedding": _Kind(
        "num_embeddings embedding_dim padding_idx sparse",
        only={"max_norm": None, "scale_grad_by_freq": False},
    ),
    "Flatten": _Kind(only={"start_dim": 1, "end_dim": -1}),
    "GELU": _Kind("approximate"),
    "GRU": _Kind(_RECURRENT),
    "GroupNorm": _Kind("num_groups num_channels eps affine"),
    "Identity": _Kind(),
    "LSTM": _Kind(_RECURRENT, only={"proj_size": 0}),
    "LayerNorm": _Kind("normalized_shape eps elementwise_affine bias"),
    "LeakyReLU": _Kind("negative_slope", {"negative_slope": "slope"}),
    "Linear": _Kind("in_features out_features bias"),
    "LogSoftmax": _SOFT,
    "MaxPool2d": _Kind("kernel_size stride padding dilation return_indices ceil_mode"),
    "MultiheadAttention": _Kind(
        "embed_dim num_heads dropout bias kdim vdim batch_first",
        only={"bias_k": None, "add_zero_attn": False},
    ),
    "RNN": _Kind(f"{_RECURRENT} nonlinearity"),
    "ReLU": _Kind(),
    "SiLU": _Kind(),
    "Sigmoid": _Kind(),
    "Softmax": _SOFT,
    "Softplus": _Kind(only={"beta": 1.0, "threshold": 20.0}),
    "Tanh": _Kind(),
    "Unflatten": _Kind("dim unflattened_size"),
    "Upsample": _Kind("size scale_factor mode align_corners"),
}


def from_torch(module: Any) -> Module:
    """Make a model of ours from one of PyTorch's, with the same weights.

    Parameters
    ----------
    module : torch.nn.Module
        A layer, or a ``torch.nn.Sequential`` of them, at any depth.

    Returns
    -------
    Module
        In the mode, training or evaluation, and with the dtype of PyTorch's; float16 and bfloat16 become float32.
        Parameters that require no gradient there require none here.

    Raises
    ------
    UnsupportedError
        If a layer has no counterpart here, or a setting that ours does not know; the message says where. A module with
        a ``forward`` of its own can be written here with the same attributes, and then takes the state dict:
        ``model.load_state_dict(module.state_dict())``. Or export it to ONNX, and use
        :func:`~tinygrad_mnist.import_onnx`.
    MissingExtraError
        Without PyTorch.

    See Also
    --------
    to_torch : the way back.

    Examples
    --------
    >>> import torch
    >>> theirs = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU())
    >>> from_torch(theirs)
    Sequential(
      (0): Linear(4, 3)
      (1): ReLU()
    )
    """
    torch = require("torch", extra="torch", purpose="from_torch")
    if not isinstance(module, torch.nn.Module):
        raise UnsupportedError(f"from_torch: got a {type(module).__name__}; pass a torch.nn.Module")
    made = _convert(module, torch.nn, nn, "", {})
    theirs = dict(module.named_parameters())
    _require_untied("from_torch", theirs, made)
    dtypes = {p.dtype for p in theirs.values()}
    if dtypes != {torch.float64} and not dtypes <= {torch.float32, torch.float16, torch.bfloat16}:
        raise UnsupportedError(
            f"from_torch: parameters of {', '.join(sorted(map(str, dtypes)))}; they must all be float32 or shorter, as "
            "after module.float(), or all float64"
        )
    whole = module.state_dict()  # of a layer that occurs twice, ours has one name
    state = {name: t for name, t in (*theirs.items(), *module.named_buffers()) if name in whole}
    if dtypes == {torch.float64}:
        made.astype(np.float64)
    made.load_state_dict(state)
    for name, parameter in made.named_parameters():
        parameter.requires_grad = theirs[name].requires_grad
    return made.train(module.training)


def to_torch(model: Module) -> Any:
    """Make a model of PyTorch's from one of ours, with the same weights.

    Parameters
    ----------
    model : Module
        A layer, or a ``Sequential`` (or ``MLP``) of them, at any depth.

    Returns
    -------
    torch.nn.Module
        In the same mode, and with the same dtype.

    Raises
    ------
    UnsupportedError
        If a layer has no counterpart there; the message says where.
    MissingExtraError
        Without PyTorch.

    See Also
    --------
    from_torch : the way back.

    Examples
    --------
    >>> import torch
    >>> to_torch(nn.MLP([4, 3, 2], rng=0))
    Sequential(
      (0): Linear(in_features=4, out_features=3, bias=True)
      (1): ReLU()
      (2): Linear(in_features=3, out_features=2, bias=True)
    )
    """
    torch = require("torch", extra="torch", purpose="to_torch")
    if not isinstance(model, Module):
        raise UnsupportedError(f"to_torch: got a {type(model).__name__}; pass a Module")
    made = _convert(model, nn, torch.nn, "", {})
    _require_untied("to_torch", dict(model.named_parameters()), made)
    state = {name: torch.from_numpy(np.array(x, order="C")) for name, x in model.state_dict().items()}
    made.load_state_dict(
        state, strict=False, assign=True
    )  # of a layer that occurs twice, theirs has two names
    for name, parameter in model.named_parameters():
        made.get_parameter(name).requires_grad_(parameter.requires_grad)
    return made.train(model.training)


def _require_untied(function: str, given: Mapping[str, Any], made: Any) -> None:
    """Refuse layers that share a parameter: each of those that were made has its own."""
    for name, _ in made.named_parameters():
        if name not in given:
            raise UnsupportedError(
                f"{function}: the parameter {name} is that of another layer, too; give each layer its own, or use the "
                "same layer twice"
            )


def _convert(module: Any, source: Any, target: Any, path: str, made: dict[int, Any]) -> Any:
    """Make a module of another library, without its weights; what was made already is used again."""
    if id(module) not in made:
        made[id(module)] = _make(module, source, target, path, made)
    return made[id(module)]


def _make(module: Any, source: Any, target: Any, path: str, made: dict[int, Any]) -> Any:
    name = type(module).__name__
    where = f" at {path!r}" if path else ""
    function = "from_torch" if target is nn else "to_torch"
    if target is nn and any(getattr(module, f"_{kind}_hooks") for kind in _HOOKS):
        raise UnsupportedError(f"{function}: {name}{where} has hooks, which would be lost; remove them first")
    if "forward" in vars(module):
        raise UnsupportedError(f"{function}: {name}{where} has a forward of its own, which would be lost")
    if isinstance(module, source.Sequential) and type(module).forward is source.Sequential.forward:
        parts = [
            _convert(part, source, target, f"{path}.{i}".lstrip("."), made) for i, part in enumerate(module)
        ]
        if target is nn and [*module._modules] != [str(i) for i in range(len(parts))]:
            raise UnsupportedError(
                f"{function}: the Sequential{where} has names of its own; ours are numbered"
            )
        return target.Sequential(*parts)
    if name not in KINDS or type(module) is not getattr(source, name, None):
        raise UnsupportedError(
            f"{function}: {name}{where} has no counterpart; those that have one are Sequential, {', '.join(KINDS)}. "
            "Write it there with the same attributes, and load the state dict; or go by ONNX"
        )
    kind = KINDS[name]
    if source is nn:
        return getattr(target, name)(**_settings_of_ours(module, kind))
    for setting, value in kind.only.items():
        if getattr(module, setting, value) != value:
            raise UnsupportedError(
                f"{function}: {name}{where} has {setting}={getattr(module, setting)!r}; only {value!r} is known here"
            )
    found = {setting: _setting(module, setting) for setting in kind.settings.split()}
    return getattr(target, name)(**{kind.renamed.get(key, key): value for key, value in found.items()})


def _setting(module: Any, name: str) -> Any:
    """A setting of a layer of PyTorch's, from its attribute."""
    if name == "bias":
        found = getattr(module, "in_proj_bias", None) if hasattr(module, "in_proj_bias") else module.bias
        return found if isinstance(found, bool) else found is not None
    if name == "dim" and module.dim is None:
        raise UnsupportedError(
            f"from_torch: {type(module).__name__} without dim; say which axis, as in dim=-1"
        )
    value = getattr(module, name)
    return tuple(value) if isinstance(value, (list, tuple)) else value


def _settings_of_ours(module: Module, kind: _Kind) -> dict[str, Any]:
    """The settings with which a layer of ours was made, by PyTorch's names."""
    args, kwargs = module._arguments
    given = inspect.signature(type(module)).bind(*args, **kwargs)
    given.apply_defaults()
    back: dict[str, str] = {ours: theirs for theirs, ours in kind.renamed.items()}
    known = kind.settings.split()
    named = {back.get(name, name): value for name, value in given.arguments.items()}
    return {name: value for name, value in named.items() if name in known}
