"""Losses: how far a model's outputs are from their targets.

Each is a formula of other operations, in a form that neither overflows nor cancels.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ..errors import DTypeError, OptionError, ShapeError, choice, pluralise
from ..primitive import Sample, primitive
from ..tensor import is_known, refuse
from ..trees import leaves
from ..typing import Array, ArrayT
from .arguments import array
from .indexing import take_along
from .network import log_softmax, one_hot, relu, softplus

__all__ = [
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "cosine_similarity", "cross_entropy", "hinge_loss",
    "huber_loss", "kl_div", "l1_loss", "mse_loss", "multi_margin_loss", "nll_loss",
]  # fmt: skip

#: How far above 0 the logarithm of a probability may be by rounding, in float16 too.
ROUNDED = 0.01


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
    with np.errstate(under="ignore"):
        return _reduce(np.square(input - target), reduction)


def l1_loss(input: ArrayT, target: Array, *, reduction: str = "mean") -> ArrayT:
    """Absolute error, ``|input - target|``; arguments as for :func:`mse_loss`.

    Examples
    --------
    >>> l1_loss(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    np.float64(1.0)
    """
    input, target = _match("l1_loss", input, target)
    return _reduce(np.absolute(input - target), reduction)


def huber_loss(input: ArrayT, target: Array, *, delta: float = 1.0, reduction: str = "mean") -> ArrayT:
    """Squared error near zero, absolute error beyond ``delta`` [1]_; arguments as for :func:`mse_loss`.

    References
    ----------
    .. [1] P. J. Huber, "Robust estimation of a location parameter", Ann. Math. Statist. 35 (1964).

    Examples
    --------
    >>> huber_loss(np.array([0.1, 10.0]), np.zeros(2), reduction="none")
    array([5.0e-03, 9.5e+00])
    """
    if not delta > 0:
        raise OptionError(f"huber_loss: delta = {delta!r} is not positive")
    input, target = _match("huber_loss", input, target)
    error = np.absolute(input - target)
    near = np.minimum(error, delta)
    with np.errstate(under="ignore"):
        return _reduce(near * (error - near / 2), reduction)


def cross_entropy(
    input: ArrayT,
    target: Array,
    weight: Array | None = None,
    *,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> ArrayT:
    """Cross-entropy between classes and the softmax of logits.

    Parameters
    ----------
    input : Tensor or array, shape (N, C), (C,) or (N, C, d1, …)
        Logits: any real numbers, before the softmax. They never overflow.
    target : array
        Integer classes, with the shape of ``input`` without its class axis, each in ``[0, C)``; or
        probabilities, with the shape of ``input``.
    weight : array, shape (C,), optional
        How much each class counts.
    ignore_index : int, optional
        A class that does not count, such as that of padding; it may be out of range. The default is -100, as in
        PyTorch, but where a compiled program meets one, the function itself runs unless it is passed here.
    label_smoothing : float in [0, 1), default 0
        The share of each target that is spread evenly over all classes.
    reduction : {'mean', 'sum', 'none'}
        ``'mean'`` divides by the number of samples; with classes, by the sum of their weights.

    Raises
    ------
    ShapeError, DTypeError, OptionError
        If the shapes do not fit, classes are not integers, a class is out of range, probabilities are not between
        0 and 1, or there is only one class.

    Examples
    --------
    >>> logits = np.array([[2.0, 0.0], [0.0, 1000.0]])
    >>> cross_entropy(logits, np.array([0, 1])).round(4)
    np.float64(0.0635)
    >>> cross_entropy(logits, np.array([0, -1]), ignore_index=-1).round(4)
    np.float64(0.1269)
    """
    input = _numbers("cross_entropy", input)
    axis = _class_axis("cross_entropy", input)
    if input.shape[axis] == 1:
        raise ShapeError(
            f"cross_entropy: an input of shape {input.shape} has a single class, whose probability is always 1, so "
            "nothing can be learned; for numbers as targets use mse_loss, and for yes and no "
            "binary_cross_entropy_with_logits or two outputs"
        )
    logp = log_softmax(input, axis=axis)
    return _nll("cross_entropy", logp, target, weight, ignore_index, label_smoothing, reduction)


def nll_loss(
    input: ArrayT,
    target: Array,
    weight: Array | None = None,
    *,
    ignore_index: int | None = None,
    reduction: str = "mean",
) -> ArrayT:
    """Negative log-likelihood of classes; ``input`` holds log-probabilities.

    Arguments are those of :func:`cross_entropy`, which is ``nll_loss(log_softmax(x), target)``.

    Raises
    ------
    OptionError
        If an element of ``input`` is above 0, and not only by rounding: no logarithm of a probability is.

    Examples
    --------
    >>> nll_loss(np.log([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]]), np.array([0, 2]), reduction="none").round(3)
    array([0.357, 0.223])
    """
    loss = _nll("nll_loss", input, target, weight, ignore_index, 0.0, reduction)
    if input.size:
        brief = "nll_loss: input holds numbers above 0, which are no logarithms of probabilities"
        advice = "; use cross_entropy for a model's outputs, or log_softmax before nll_loss"
        refuse(_any(input > ROUNDED), partial(OptionError, brief + advice), brief)
    return loss


def binary_cross_entropy_with_logits(input: ArrayT, target: Array, *, reduction: str = "mean") -> ArrayT:
    """Cross-entropy between probabilities and the sigmoid of logits, elementwise.

    Parameters
    ----------
    input, target : Tensor or array, of the same shape
        Logits, and probabilities in [0, 1].
    reduction : {'mean', 'sum', 'none'}

    Raises
    ------
    OptionError
        If a target is outside [0, 1]: the loss would have no least value.

    Examples
    --------
    >>> binary_cross_entropy_with_logits(np.array([0.0, -800.0]), np.array([1.0, 1.0]), reduction="none")
    array([6.93147181e-01, 8.00000000e+02])
    """
    name = "binary_cross_entropy_with_logits"
    input, target = _match(name, input, target)
    _refuse_improbable(
        name, "target", target, "; bring targets of 0 and 255 to 0 and 1, or -1 and 1 by (target + 1) / 2"
    )
    # A sum of two terms that are never negative, so nothing cancels where the loss is small.
    with np.errstate(under="ignore"):
        return _reduce(target * softplus(-input) + (1 - target) * softplus(input), reduction)


def binary_cross_entropy(
    input: ArrayT, target: Array, weight: Array | None = None, *, reduction: str = "mean"
) -> ArrayT:
    """Cross-entropy between probabilities, elementwise; no element of it is above 100.

    :func:`binary_cross_entropy_with_logits` of numbers before a sigmoid is more accurate.

    Parameters
    ----------
    input, target : Tensor or array, of the same shape
        Probabilities in [0, 1].
    weight : array, optional
        How much each element counts; it is broadcast.
    reduction : {'mean', 'sum', 'none'}

    Examples
    --------
    >>> binary_cross_entropy(np.array([0.5, 1.0]), np.array([1.0, 1.0])).round(4)
    np.float64(0.3466)
    """
    input, target = _match("binary_cross_entropy", input, target)
    for what, x in (("input", input), ("target", target)):
        _refuse_improbable(
            "binary_cross_entropy", what, x, "; use binary_cross_entropy_with_logits for a model's outputs"
        )
    loss = cross_entropy_of_bits(input, target)
    return _reduce(loss if weight is None else loss * _cast(np.asarray(weight), loss), reduction)


_BITS: dict[str, Any] = {"domain": (0.05, 0.95)}


@primitive(samples=[Sample((2, 3), (2, 3), **_BITS), Sample((), (), **_BITS)], jvp="elementwise")
def cross_entropy_of_bits(p: Array, target: Array, /) -> Array:
    """``-t log(p) - (1 - t) log(1 - p)``, with logarithms of at least -100."""
    with np.errstate(divide="ignore"):
        return -target * np.maximum(np.log(p), -100) - (1 - target) * np.maximum(np.log1p(-p), -100)


def bits_target_rule(g: Array, y: Array, p: Array, target: Array) -> Array:
    """The difference of the two logarithms."""
    with np.errstate(divide="ignore"):
        return g * (np.maximum(np.log1p(-p), -100) - np.maximum(np.log(p), -100))


cross_entropy_of_bits.vjp(
    lambda g, y, p, target: g * (p - target) / np.maximum(p * (1 - p), 1e-12), bits_target_rule
)


def kl_div(input: ArrayT, target: Array, *, reduction: str = "mean", log_target: bool = False) -> ArrayT:
    """Kullback-Leibler divergence of a model's distribution from the target's, elementwise.

    Parameters
    ----------
    input : Tensor or array
        Log-probabilities.
    target : Tensor or array, of the same shape
        Probabilities; their logarithms with ``log_target``.
    reduction : {'mean', 'batchmean', 'sum', 'none'}
        ``'batchmean'`` divides the sum by the length of the first axis, which is the divergence as it is defined;
        ``'mean'``, PyTorch's default, divides by the number of elements.
    log_target : bool, default False

    Examples
    --------
    >>> p, q = np.array([[0.5, 0.5]]), np.array([[0.25, 0.75]])
    >>> kl_div(np.log(q), p, reduction="batchmean").round(4)
    np.float64(0.1438)
    """
    input, target = _match("kl_div", input, target)
    if log_target:
        loss = np.exp(target) * (target - input)
    else:  # what has no probability does not count
        loss = target * (np.log(np.where(target == 0, 1, target)) - np.where(target == 0, 0, input))
    if reduction == "batchmean":
        return np.sum(loss) / (loss.shape[0] if loss.ndim else 1)
    return _reduce(loss, reduction, "batchmean")


def hinge_loss(input: ArrayT, target: Array, *, margin: float = 1.0, reduction: str = "mean") -> ArrayT:
    """``max(0, margin - target * input)`` for scores of two classes, which are named -1 and 1 [1]_.

    Parameters
    ----------
    input, target : Tensor or array, of the same shape
    margin : float, default 1
        How far scores should be on their side of 0.
    reduction : {'mean', 'sum', 'none'}

    References
    ----------
    .. [1] C. Cortes and V. Vapnik, "Support-vector networks", Machine Learning 20 (1995).

    Examples
    --------
    >>> hinge_loss(np.array([3.0, 0.5, 0.5]), np.array([1, 1, -1]), reduction="none")
    array([0. , 0.5, 1.5])
    """
    input, target = _match("hinge_loss", input, target)
    if target.size:
        brief = "hinge_loss: targets must be -1 and 1"
        refuse(np.any(np.absolute(target) != 1), lambda: OptionError(brief), brief)
    return _reduce(relu(margin - target * input), reduction)


def multi_margin_loss(
    input: ArrayT, target: Array, p: int = 1, margin: float = 1.0, weight: Array | None = None, *,
    reduction: str = "mean",
) -> ArrayT:  # fmt: skip
    """The mean of ``max(0, margin - (score of the class - another score)) ** p`` over classes [1]_.

    Parameters
    ----------
    input : Tensor or array, shape (N, C) or (C,)
    target : array of int, shape (N,) or ()
    p : {1, 2}
    margin : float, default 1
        How far the score of the right class should be above the others.
    weight : array, shape (C,), optional
        How much each class counts.
    reduction : {'mean', 'sum', 'none'}

    References
    ----------
    .. [1] K. Crammer and Y. Singer, "On the algorithmic implementation of multiclass kernel-based vector machines",
       JMLR 2 (2001).

    Examples
    --------
    >>> multi_margin_loss(np.array([[3.0, 2.5, 0.0]]), np.array([0])).round(4)  # (1 - 0.5) / 3
    np.float64(0.1667)
    """
    name = "multi_margin_loss"
    axis = _class_axis(name, input)
    if input.ndim > 2:
        raise ShapeError(f"{name}: an input of shape {input.shape}; expected (N, C) or (C,)")
    if p not in (1, 2):
        raise OptionError(f"{name}: p={p!r}; valid: 1, 2")
    target = _numbers(name, target)
    target = target[0] if input.ndim == 1 and target.shape == (1,) else target
    _check_classes(name, input, target, axis)
    others = 1 - one_hot(target, input.shape[axis], input.dtype)
    missing = relu(margin - take_along(input, target[..., None], axis=axis) + input) * others
    loss = np.mean(missing if p == 1 else np.square(missing), axis=axis)
    if weight is not None:
        loss = loss * np.reshape(_weight(name, weight, input, axis), -1)[target]
    return _reduce(loss, reduction)


def cosine_similarity(x1: ArrayT, x2: Array, dim: int = 1, eps: float = 1e-8) -> ArrayT:
    """The cosine of the angle between vectors.

    Parameters
    ----------
    x1, x2 : Tensor or array
        They are broadcast.
    dim : int, default 1
        The axis along which the vectors lie.
    eps : float, default 1e-8
        The least length, so that nothing is divided by 0.

    Examples
    --------
    >>> cosine_similarity(np.array([[1.0, 0.0], [1.0, 1.0]]), np.array([[2.0, 0.0], [0.0, 3.0]])).round(4)
    array([1.    , 0.7071])
    """
    a: Any = array(x1)
    b: Any = array(x2)
    if a.shape != b.shape:
        shape = np.broadcast_shapes(a.shape, b.shape)
        a, b = np.broadcast_to(a, shape), np.broadcast_to(b, shape)
    least = max(eps * eps, float(np.finfo(np.result_type(a.dtype, b.dtype, np.float16)).tiny))

    def length(x: Array) -> Array:
        return np.sqrt(np.maximum(np.sum(np.square(x), axis=dim, keepdims=True), least))

    return np.sum(a / length(a) * (b / length(b)), axis=dim)


def _any(conditions: Array) -> Array:
    """Whether a condition holds anywhere; unlike ``np.any``, compiled programs find out block by block."""
    return conditions.astype(np.uint8).max() > 0


def _refuse_improbable(name: str, what: str, x: Array, advice: str, error: float = 0.0) -> None:
    """Refuse numbers that are no probabilities, not even with an error of rounding."""
    if x.size:
        brief = f"{name}: {what} holds numbers outside [0, 1], which are no probabilities"
        refuse(_any(np.absolute(x - 0.5) > 0.5 + error), partial(OptionError, brief + advice), brief)


def _nll(
    name: str,
    logp: Array,
    target: Array,
    weight: Array | None,
    ignored: int | None,
    smoothing: float,
    reduction: str,
) -> Array:
    """Pick the log-probability of each class, or weigh all of them with the target distribution."""
    if not 0 <= smoothing < 1:
        raise OptionError(f"{name}: label_smoothing = {smoothing!r} is not in [0, 1)")
    axis = _class_axis(name, logp)
    target = _numbers(name, target)
    if weight is not None:
        weight = _weight(name, weight, logp, axis)
    if target.shape == logp.shape and target.dtype.kind == "f":
        if ignored is not None:
            raise OptionError(
                f"{name}: ignore_index is for classes; probabilities leave out a class with a 0"
            )
        target = _cast(target, logp)
        _refuse_improbable(
            name, "target", target, "; for numbers as targets use mse_loss, for classes integers", ROUNDED
        )
        # Classes without probability do not count, not even if their logarithm is -inf.
        weighted = target if weight is None else target * weight
        loss = -np.sum(np.where(target == 0, 0, logp) * weighted, axis=axis)
        counts: Any = None
        is_kept: Any = None
    else:
        place = (slice(None),) * axis + (None,)

        def like_loss(x: Array) -> Array:
            return x[place] if loss.ndim == logp.ndim else x

        ignored = -100 if ignored is None and _has_padding(target) else ignored
        is_kept = None if ignored is None else target != ignored
        target = target if is_kept is None else np.where(is_kept, target, 0)
        _check_classes(name, logp, target, axis)
        loss = -take_along(logp, target[place], axis=axis)
        loss = loss if reduction in ("mean", "sum") else np.squeeze(loss, axis=axis)
        counts = None if weight is None else like_loss(np.reshape(weight, -1)[target])
        if is_kept is not None:
            is_kept = like_loss(is_kept)
            loss = np.where(is_kept, loss, 0)
            counts = is_kept.astype(logp.dtype) if counts is None else counts * is_kept
        loss = loss if weight is None else loss * counts
    if smoothing:
        spread = np.mean(
            logp if weight is None else logp * weight, axis=axis, keepdims=loss.ndim == logp.ndim
        )
        spread = spread if is_kept is None else np.where(is_kept, spread, 0)
        loss = (1 - smoothing) * loss - smoothing * spread
    if counts is not None and reduction == "mean":
        return np.sum(loss) / np.sum(counts)
    return _reduce(loss, reduction)


def _has_padding(target: Array) -> bool:
    """Whether some targets are -100, PyTorch's number for what does not count; a program assumes that none is."""
    return is_known(target) and target.dtype.kind == "i" and target.size > 0 and bool(target.min() == -100)


def _weight(name: str, weight: Array, logp: Array, axis: int) -> Array:
    """The weights of classes, along the axis of classes."""
    weight = _numbers(name, weight)
    if weight.shape != (logp.shape[axis],):
        raise ShapeError(
            f"{name}: a weight of shape {weight.shape}; expected ({logp.shape[axis]},), a number for each class"
        )
    return np.reshape(_cast(weight, logp), (-1, *(1,) * (logp.ndim - axis - 1)))


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
    if target.dtype.kind not in "biufc":
        raise DTypeError(
            f"{name}: classes must be integers, not {target.dtype}; number them, as in "
            "names, target = np.unique(target, return_inverse=True)"
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


def _numbers(name: str, x: Any) -> Array:
    """Return an argument of a loss as an array or a Tensor; what several outputs return is refused."""
    if hasattr(x, "__array_function__"):
        return x
    if isinstance(x, dict) or (
        isinstance(x, tuple) and any(hasattr(part, "__array_function__") for part in leaves(x))
    ):
        raise ShapeError(
            f"{name}: got a {type(x).__name__} of {pluralise(len(x), 'part')}, not an array; if a model returns "
            "several outputs, pick one, and if it should not, look for a comma after the `return` of its forward"
        )
    return array(x)


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
    input, target = _numbers(name, input), _numbers(name, target)
    if input.shape != target.shape:
        advice = "for classes as targets use one_hot(target, classes, dtype), or cross_entropy"
        if input.size == target.size:
            advice = "give both the same, as in target.reshape(input.shape)"
        raise ShapeError(
            f"{name}: input of shape {input.shape} and target of shape {target.shape} differ; {advice}"
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


def _reduce(values: Array, reduction: str, *more: str) -> Array:
    if reduction == "mean":
        return np.mean(values)
    if reduction == "sum":
        return np.sum(values)
    if reduction == "none":
        return values
    raise choice("reduction", reduction, ("mean", "sum", "none", *more))
