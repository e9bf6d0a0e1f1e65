"""Initial weights: each function draws an array of a given shape from a Generator.

Weight matrices are ``(out, in)``-shaped; ``fan_in`` and ``fan_out`` are the numbers of connections
into and out of a unit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from ..errors import ShapeError, choice, quote
from ..operands import generator
from ..typing import NDArray

__all__ = [
    "INITIALISERS",
    "book_normal",
    "constant",
    "fan_in_uniform",
    "get",
    "kaiming_normal",
    "kaiming_uniform",
    "lecun_normal",
    "lecun_uniform",
    "normal",
    "orthogonal",
    "standard_normal",
    "truncated_normal",
    "uniform",
    "xavier_normal",
    "xavier_uniform",
]

Shape = tuple[int, ...]
Rng = np.random.Generator | int | None


#: How many more numbers the weights of a model may have that is being loaded; None when none is.
_ROOM: ContextVar[list[int] | None] = ContextVar("_ROOM", default=None)


@contextmanager
def room_for(numbers: int) -> Iterator[None]:
    """Draw no weights, because they will be overwritten; and refuse those that have more numbers in all.

    Without the limit, a file of a few bytes could describe a model that fills the memory.
    """
    token = _ROOM.set([numbers])
    try:
        yield
    finally:
        _ROOM.reset(token)


def _empty(shape: Shape, dtype: Any) -> NDArray:
    room = _ROOM.get()
    if room is not None:
        room[0] -= math.prod(shape)
        if room[0] < 0:
            raise ValueError(f"weights of shape {quote(shape)} are larger than all arrays that are saved")
    return np.zeros(shape, dtype)


def uniform(
    shape: Shape, low: float = -0.5, high: float = 0.5, *, rng: Rng = None, dtype: Any = np.float32
) -> NDArray:
    """Draw from U(low, high).

    Examples
    --------
    >>> w = uniform((1000,), -0.1, 0.1, rng=0)
    >>> w.dtype, bool(-0.1 <= w.min() and w.max() <= 0.1)
    (dtype('float32'), True)
    """
    if _ROOM.get() is not None:
        return _empty(shape, dtype)
    return generator(rng).uniform(low, high, shape).astype(dtype)


def normal(
    shape: Shape, mean: float = 0.0, std: float = 0.01, *, rng: Rng = None, dtype: Any = np.float32
) -> NDArray:
    """Draw from N(mean, std²).

    Examples
    --------
    >>> float(normal((100, 100), std=0.5, rng=0).std().round(2))
    0.5
    """
    if _ROOM.get() is not None:
        return _empty(shape, dtype)
    return generator(rng).normal(mean, std, shape).astype(dtype)


def standard_normal(shape: Shape, *, rng: Rng = None, dtype: Any = np.float32) -> NDArray:
    """Draw from N(0, 1), PyTorch's default for embeddings.

    Examples
    --------
    >>> float(standard_normal((100, 100), rng=0).std().round(2))
    1.0
    """
    return normal(shape, std=1.0, rng=rng, dtype=dtype)


def truncated_normal(
    shape: Shape, mean: float = 0.0, std: float = 0.02, *, rng: Rng = None, dtype: Any = np.float32
) -> NDArray:
    """Draw from N(mean, std²), again for every number that is more than two standard deviations away.

    Examples
    --------
    >>> w = truncated_normal((100, 100), std=0.02, rng=0)
    >>> bool(np.abs(w).max() <= 0.04)
    True
    """
    if _ROOM.get() is not None:
        return _empty(shape, dtype)
    rng = np.random.default_rng(rng)
    z = np.asarray(rng.standard_normal(shape))
    while (is_far := np.abs(z) > 2).any():
        z[is_far] = rng.standard_normal(np.count_nonzero(is_far))
    return (mean + std * z).astype(dtype)


def orthogonal(shape: Shape, gain: float = 1.0, *, rng: Rng = None, dtype: Any = np.float32) -> NDArray:
    """Draw a matrix with orthogonal rows, or columns if there are fewer, of length ``gain`` [1]_.

    Axes after the first are joined. It suits the weights of a recurrent state, because it keeps lengths.

    References
    ----------
    .. [1] A. M. Saxe, J. L. McClelland, S. Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep
       linear neural networks", ICLR 2014.

    Examples
    --------
    >>> w = orthogonal((2, 3), rng=0)
    >>> (w @ w.T).round(3) + 0
    array([[1., 0.],
           [0., 1.]], dtype=float32)
    """
    fans(shape)
    if _ROOM.get() is not None:
        return _empty(shape, dtype)
    rows, columns = shape[0], math.prod(shape[1:])
    drawn = np.random.default_rng(rng).standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(drawn)
    q *= np.sign(np.diagonal(r))  # so that all directions are equally likely
    return (gain * (q if rows >= columns else q.T)).reshape(shape).astype(dtype)


def constant(shape: Shape, value: float = 0.0, *, rng: Rng = None, dtype: Any = np.float32) -> NDArray:
    """Fill with one value.

    Examples
    --------
    >>> constant((2,), 0.1)
    array([0.1, 0.1], dtype=float32)
    """
    return np.full(shape, value, dtype) if _ROOM.get() is None else _empty(shape, dtype)


def xavier_uniform(shape: Shape, gain: float = 1.0, *, rng: Rng = None, dtype: Any = np.float32) -> NDArray:
    """Draw from U(±gain·√(6 / (fan_in + fan_out))), for sigmoid and tanh [1]_.

    References
    ----------
    .. [1] X. Glorot, Y. Bengio, "Understanding the difficulty of training deep feedforward neural
       networks", AISTATS 2010.

    Examples
    --------
    >>> w = xavier_uniform((50, 100), rng=0)
    >>> bool(np.abs(w).max() <= math.sqrt(6 / 150))
    True
    """
    fan_in, fan_out = fans(shape)
    bound = gain * math.sqrt(6 / (fan_in + fan_out))
    return uniform(shape, -bound, bound, rng=rng, dtype=dtype)


def xavier_normal(shape: Shape, gain: float = 1.0, *, rng: Rng = None, dtype: Any = np.float32) -> NDArray:
    """Draw from N(0, gain²·2 / (fan_in + fan_out)), for sigmoid and tanh (Glorot and Bengio, 2010).

    Examples
    --------
    >>> w = xavier_normal((200, 400), rng=0)
    >>> round(float(w.std()), 3), round(math.sqrt(2 / 600), 3)
    (0.058, 0.058)
    """
    fan_in, fan_out = fans(shape)
    return normal(shape, 0.0, gain * math.sqrt(2 / (fan_in + fan_out)), rng=rng, dtype=dtype)


def kaiming_uniform(shape: Shape, *, rng: Rng = None, dtype: Any = np.float32) -> NDArray:
    """Draw from U(±√(6 / fan_in)), for ReLU [1]_.

    References
    ----------
    .. [1] K. He, X. Zhang, S. Ren, J. Sun, "Delving deep into rectifiers", ICCV 2015.

    Examples
    --------
    >>> w = kaiming_uniform((50, 100), rng=0)
    >>> bool(np.abs(w).max() <= math.sqrt(6 / 100))
    True
    """
    bound = math.sqrt(6 / fans(shape)[0])
    return uniform(shape, -bound, bound, rng=rng, dtype=dtype)


def kaiming_normal(shape: Shape, *, rng: Rng = None, dtype: Any = np.float32) -> NDArray:
    """Draw from N(0, 2 / fan_in), for ReLU (He et al., 2015).

    Examples
    --------
    >>> x = np.random.default_rng(1).normal(size=(1000, 100))
    >>> y = np.maximum(x @ kaiming_normal((50, 100), rng=0).T, 0)
    >>> round(float((x**2).mean()), 1), round(float((y**2).mean()), 1)  # ReLU keeps the size
    (1.0, 1.0)
    """
    return normal(shape, 0.0, math.sqrt(2 / fans(shape)[0]), rng=rng, dtype=dtype)


def lecun_uniform(shape: Shape, *, rng: Rng = None, dtype: Any = np.float32) -> NDArray:
    """Draw from U(±√(3 / fan_in)) [1]_.

    References
    ----------
    .. [1] Y. LeCun, L. Bottou, G. Orr, K.-R. Müller, "Efficient BackProp", 1998.

    Examples
    --------
    >>> w = lecun_uniform((50, 100), rng=0)
    >>> bool(np.abs(w).max() <= math.sqrt(3 / 100))
    True
    """
    bound = math.sqrt(3 / fans(shape)[0])
    return uniform(shape, -bound, bound, rng=rng, dtype=dtype)


def lecun_normal(shape: Shape, *, rng: Rng = None, dtype: Any = np.float32) -> NDArray:
    """Draw from N(0, 1 / fan_in) (LeCun et al., 1998).

    Examples
    --------
    >>> round(float(lecun_normal((50, 100), rng=0).std()), 2)  # 1 / √100
    0.1
    """
    return normal(shape, 0.0, math.sqrt(1 / fans(shape)[0]), rng=rng, dtype=dtype)


def fan_in_uniform(shape: Shape, *, rng: Rng = None, dtype: Any = np.float32) -> NDArray:
    """Draw from U(±1 / √fan_in), PyTorch's default for the weights of a linear layer.

    Examples
    --------
    >>> w = fan_in_uniform((50, 100), rng=0)
    >>> bool(np.abs(w).max() <= 1 / math.sqrt(100))
    True
    """
    bound = 1 / math.sqrt(fans(shape)[0])
    return uniform(shape, -bound, bound, rng=rng, dtype=dtype)


def book_normal(shape: Shape, *, rng: Rng = None, dtype: Any = np.float32) -> NDArray:
    """Draw from N(0, 1/n), a standard deviation of 1/√n, for a layer of n units [1]_.

    References
    ----------
    .. [1] T. Rashid, "Make Your Own Neural Network", 2016.

    Examples
    --------
    >>> round(float(book_normal((100, 784), rng=0).std()), 2)  # 1 / √100
    0.1
    """
    return normal(shape, 0.0, 1 / math.sqrt(shape[0]), rng=rng, dtype=dtype)


def fans(shape: Shape) -> tuple[int, int]:
    """Count the connections into and out of a unit of an ``(out, in)`` weight."""
    if len(shape) < 2 or 0 in shape:
        raise ShapeError(
            f"an initialiser that depends on fan_in or fan_out needs an (out, in) shape, not {shape}"
        )
    rest = math.prod(shape[2:])
    return shape[1] * rest, shape[0] * rest


#: The initialisers by name; each needs only a shape.
INITIALISERS: dict[str, Callable[..., NDArray]] = {
    function.__name__: function
    for function in (
        constant, uniform, normal, standard_normal, truncated_normal, orthogonal,
        xavier_uniform, xavier_normal, kaiming_uniform, kaiming_normal,
        lecun_uniform, lecun_normal, fan_in_uniform, book_normal,
    )
}  # fmt: skip


def get(initialiser: str | Callable[..., NDArray]) -> Callable[..., NDArray]:
    """Look up an initialiser by name; a function is returned unchanged.

    Examples
    --------
    >>> get("constant") is constant
    True
    >>> get("kaiming")
    Traceback (most recent call last):
        ...
    tinygrad_mnist.errors.OptionError: unknown initialiser 'kaiming' (did you mean
        'kaiming_normal'?); valid: book_normal, constant, fan_in_uniform, kaiming_normal,
        kaiming_uniform, lecun_normal, lecun_uniform, normal, orthogonal, standard_normal,
        truncated_normal, uniform, xavier_normal, xavier_uniform
    """
    if callable(initialiser):
        return initialiser
    if initialiser not in INITIALISERS:
        raise choice("initialiser", initialiser, INITIALISERS)
    return INITIALISERS[initialiser]
