"""Losses: how far a model's outputs are from their targets.

Each is a formula of other operations, in a form that neither overflows nor cancels.
"""

from __future__ import annotations

import numpy as np

from ..errors import DTypeError, OptionError, ShapeError, choice
from ..tensor import refuse
from ..typing import Array, ArrayT
from .indexing import take_along
from .network import log_softmax, softplus

__all__ = [
    "binary_cross_entropy_with_logits", "cross_entropy", "huber_loss", "l1_loss", "mse_loss", "nll_loss",
]  # fmt: skip


def mse_loss(input: ArrayT, target: Array, *, reduction: str = "mean") -> ArrayT:
    """Squared error, ``(input - target)**2``.

    Parameters
    ----------
    input, target : Tensor or array, of the same shape
    reduction : {'mean', 'sum', 'none'}

    Raises
    ------
    ShapeError
        If the shapes differ. They are not broadcast: a target of shape ``(N,)`` with an input of
        shape ``(N, 1)`` would silently become an ``(N, N)`` mistake.

    Examples
    --------
    >>> mse_loss(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    np.float64(2.0)
    """
    input, target = _match("mse_loss", input, target)
    return _reduce(np.square(input - target), reduction)


def l1_loss(input: ArrayT, target: Array, *, reduction: str = "mean") -> ArrayT:
    """Absolute error, ``|input - target|``; arguments as for :func:`mse_loss`."""
    input, target = _match("l1_loss", input, target)
    return _reduce(np.absolute(input - target), reduction)


def huber_loss(input: ArrayT, target: Array, *, delta: float = 1.0, reduction: str = "mean") -> ArrayT:
    """Squared error near zero, absolute error beyond ``delta`` [1]_; arguments as for :func:`mse_loss`.

    References
    ----------
    .. [1] P. J. Huber, "Robust estimation of a location parameter", Ann. Math. Statist. 35 (1964).
    """
    if not delta > 0:
        raise OptionError(f"huber_loss: delta = {delta!r} is not positive")
    input, target = _match("huber_loss", input, target)
    error = np.absolute(input - target)
    near = np.minimum(error, delta)
    return _reduce(near * (error - near / 2), reduction)


def cross_entropy(
    input: ArrayT, target: Array, *, label_smoothing: float = 0.0, reduction: str = "mean"
) -> ArrayT:
    """Cross-entropy between classes and the softmax of logits.

    Parameters
    ----------
    input : Tensor or array, shape (N, C), (C,) or (N, C, d1, …)
        Logits: any real numbers, before the softmax. They never overflow.
    target : array
        Integer classes, with the shape of ``input`` without its class axis, each in ``[0, C)``; or
        probabilities, with the shape of ``input``.
    label_smoothing : float in [0, 1), default 0
        The share of each target that is spread evenly over all classes.
    reduction : {'mean', 'sum', 'none'}
        ``'mean'`` divides by the number of samples.

    Raises
    ------
    ShapeError, DTypeError, OptionError
        If the shapes do not fit, classes are not integers, or a class is out of range.

    Examples
    --------
    >>> logits = np.array([[2.0, 0.0], [0.0, 1000.0]])
    >>> cross_entropy(logits, np.array([0, 1])).round(4)
    np.float64(0.0635)
    """
    logp = log_softmax(input, axis=_class_axis("cross_entropy", input))
    return _nll("cross_entropy", logp, target, label_smoothing, reduction)


def nll_loss(input: ArrayT, target: Array, *, reduction: str = "mean") -> ArrayT:
    """Negative log-likelihood of classes; ``input`` holds log-probabilities.

    Arguments are those of :func:`cross_entropy`, which is ``nll_loss(log_softmax(x), target)``.
    """
    return _nll("nll_loss", input, target, 0.0, reduction)


def binary_cross_entropy_with_logits(input: ArrayT, target: Array, *, reduction: str = "mean") -> ArrayT:
    """Cross-entropy between probabilities and the sigmoid of logits, elementwise.

    Parameters
    ----------
    input, target : Tensor or array, of the same shape
        Logits, and probabilities in [0, 1].
    reduction : {'mean', 'sum', 'none'}
    """
    input, target = _match("binary_cross_entropy_with_logits", input, target)
    # A sum of two terms that are never negative, so nothing cancels where the loss is small.
    return _reduce(target * softplus(-input) + (1 - target) * softplus(input), reduction)


def _nll(name: str, logp: Array, target: Array, smoothing: float, reduction: str) -> Array:
    """Pick the log-probability of each class, or weigh all of them with the target distribution."""
    if not 0 <= smoothing < 1:
        raise OptionError(f"{name}: label_smoothing = {smoothing!r} is not in [0, 1)")
    axis = _class_axis(name, logp)
    target = target if hasattr(target, "dtype") else np.asarray(target)
    if target.shape == logp.shape and target.dtype.kind == "f":
        target = _cast(target, logp)
        # Classes without probability do not count, not even if their logarithm is -inf.
        loss = -np.sum(np.where(target == 0, 0, logp) * target, axis=axis)
    else:
        _check_classes(name, logp, target, axis)
        loss = -take_along(logp, target[(slice(None),) * axis + (None,)], axis=axis)
        loss = loss if reduction in ("mean", "sum") else np.squeeze(loss, axis=axis)
    if smoothing:
        spread = np.mean(logp, axis=axis, keepdims=loss.ndim == logp.ndim)
        loss = (1 - smoothing) * loss - smoothing * spread
    return _reduce(loss, reduction)


def _check_classes(name: str, logp: Array, target: Array, axis: int) -> None:
    expected, classes = logp.shape[:axis] + logp.shape[axis + 1 :], logp.shape[axis]
    if target.shape == logp.shape and target.dtype.kind in "biu":
        raise DTypeError(
            f"{name}: a target of shape {target.shape} holds a number for each class, which must be a float, not "
            f"{target.dtype}; convert it with .astype(float), or to classes with .argmax(axis={axis})"
        )
    if target.shape != expected:
        raise ShapeError(
            f"{name}: a target of shape {target.shape} does not fit an input of shape {logp.shape}; expected "
            f"integer classes of shape {expected} or probabilities of shape {logp.shape}"
        )
    if target.dtype.kind not in "iu":
        raise DTypeError(
            f"{name}: classes must be integers, not {target.dtype}; convert them with .astype(int), or pass "
            f"probabilities of shape {logp.shape}"
        )
    if target.size:
        refuse(
            target.astype(np.uint64).max() >= classes,  # a negative class becomes a huge number
            lambda: OptionError(
                f"{name}: classes from {int(target.min())} to {int(target.max())} are out of range; there are "
                f"{classes}, 0 to {classes - 1}"
            ),
            f"{name}: a class is out of range; there are {classes}, 0 to {classes - 1}",
        )


def _class_axis(name: str, x: Array) -> int:
    if x.ndim == 0:
        raise ShapeError(f"{name}: an input of shape () has no axis of classes; expected (N, C)")
    if x.dtype.kind != "f":
        raise DTypeError(
            f"{name}: an input of dtype {x.dtype} and shape {x.shape} does not hold a model's outputs, which are "
            "floats and come first, as in loss(model(x), y)"
        )
    return 0 if x.ndim == 1 else 1


def _match(name: str, input: Array, target: Array) -> tuple[Array, Array]:
    """Check that two arrays have the same shape, and give a constant target the dtype of the input."""
    input, target = (x if hasattr(x, "dtype") else np.asarray(x) for x in (input, target))
    if input.shape != target.shape:
        raise ShapeError(
            f"{name}: input of shape {input.shape} and target of shape {target.shape} differ; for classes "
            "as targets use one_hot(target, classes, dtype), or cross_entropy"
        )
    return input, _cast(target, input)


def _cast(target: Array, input: Array) -> Array:
    """Convert a float64 constant, which would widen a float32 network."""
    is_wider = (
        target.dtype != input.dtype
        and input.dtype.kind == "f"
        and not getattr(target, "requires_grad", False)
    )
    return target.astype(input.dtype) if is_wider else target


def _reduce(values: Array, reduction: str) -> Array:
    if reduction == "mean":
        return np.mean(values)
    if reduction == "sum":
        return np.sum(values)
    if reduction == "none":
        return values
    raise choice("reduction", reduction, ("mean", "sum", "none"))
