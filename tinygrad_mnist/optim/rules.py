"""The optimizers; each is a formula.

``p`` is a parameter, ``g`` its gradient, and ``state`` the memory of earlier steps. The formulas are
PyTorch's. They use ``+=`` and ``*=``, which overwrite arrays without making new ones. On Tensors, these
operators compute new values, so the same lines can be traced.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..errors import CompileError, OptionError
from ..tensor import is_known
from ..typing import Array
from .optimizer import Optimizer, State

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "RMSprop", "SparseAdam"]


class SGD(Optimizer):
    """Gradient descent, with momentum.

    Parameters
    ----------
    params : iterable of Tensors, or of groups
    lr : float, default 0.01
    momentum : float, default 0
        The share of the velocity that is kept in each step.
    nesterov : bool, default False
        Look ahead along the velocity.
    weight_decay : float, default 0
        Adds ``weight_decay * p`` to the gradient.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> x = tg.tensor(1.0, requires_grad=True)
    >>> optimizer = SGD([x], lr=0.1)
    >>> (x**2).backward()
    >>> optimizer.step()
    >>> x
    tensor(0.8, requires_grad=True)
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        if nesterov and not momentum:
            raise OptionError("SGD: nesterov=True needs momentum > 0")
        super().__init__(params, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)

    @staticmethod
    def update(
        p: Array, g: Array, state: State, *, lr: float, momentum: float, nesterov: bool, weight_decay: float
    ) -> tuple[Array, State]:
        """``v = momentum * v + g; p = p - lr * v``."""
        if weight_decay:
            g = g + weight_decay * p
        if momentum:
            velocity = state["velocity"]
            velocity *= momentum
            velocity += g
            g = g + momentum * velocity if nesterov else velocity
        p -= lr * g
        return p, state

    @staticmethod
    def memory(settings: Mapping[str, Any]) -> tuple[str, ...]:
        """The velocity, if there is momentum."""
        return ("velocity",) if settings["momentum"] else ()

    @staticmethod
    def of_rows(settings: Mapping[str, Any]) -> bool | None:
        """Only these rows, unless others go on with their velocity."""
        return None if settings["weight_decay"] else not settings["momentum"]


class Adam(Optimizer):
    """Adaptive moment estimation [1]_.

    Parameters
    ----------
    params : iterable of Tensors, or of groups
    lr : float, default 0.001
    betas : (float, float), default (0.9, 0.999)
        Decay of the running means of the gradient and of its square.
    eps : float, default 1e-8
        Added to the denominator.
    weight_decay : float, default 0
        Adds ``weight_decay * p`` to the gradient; for decay separate from the gradient, see :class:`AdamW`.

    References
    ----------
    .. [1] D. P. Kingma, J. Ba, "Adam: a method for stochastic optimization", ICLR 2015.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> x = tg.tensor([100.0, 0.01], requires_grad=True)
    >>> optimizer = Adam([x], lr=0.1)
    >>> (x**2).sum().backward()
    >>> optimizer.step()  # the first step is about lr long, whatever the size of the gradient
    >>> x.data.round(3)
    array([ 9.99e+01, -9.00e-02])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    @staticmethod
    def memory(settings: Mapping[str, Any]) -> tuple[str, ...]:
        """The first and the second moment."""
        return "first", "second"

    @staticmethod
    def update(
        p: Array,
        g: Array,
        state: State,
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
    ) -> tuple[Array, State]:
        """Step along ``mean / (sqrt(square) + eps)``, both corrected for their start at zero."""
        if weight_decay:
            g = g + weight_decay * p
        return _adam(p, g, state, lr, betas, eps)


class AdamW(Adam):
    """Adam with weight decay separate from the gradient [1]_; parameters as for :class:`Adam`.

    References
    ----------
    .. [1] I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", ICLR 2019.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> x = tg.tensor([1.0], requires_grad=True)
    >>> optimizer = AdamW([x], lr=0.1, weight_decay=0.5)
    >>> (0 * x).sum().backward()  # no gradient: the weight only decays
    >>> optimizer.step()
    >>> x
    tensor([0.95], requires_grad=True)
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay)

    @staticmethod
    def update(
        p: Array,
        g: Array,
        state: State,
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
    ) -> tuple[Array, State]:
        """Shrink the parameters, then take Adam's step."""
        p *= 1 - lr * weight_decay
        return _adam(p, g, state, lr, betas, eps)


def _adam(
    p: Array, g: Array, state: State, lr: float, betas: tuple[float, float], eps: float
) -> tuple[Array, State]:
    # The moments are kept as decaying sums: the means, except for factors of 1 - beta. All factors are
    # combined in two Python numbers at the end (NumPy's own would widen float32), so that they cost no
    # pass over the arrays.
    beta1, beta2 = betas
    step, first, second = state["step"], state["first"], state["second"]
    first *= beta1
    first += g
    second *= beta2
    second += g * g
    scale = ((1 - beta2) / (1 - beta2**step)) ** 0.5
    rate = lr * (1 - beta1) / (1 - beta1**step)
    direction = np.sqrt(second)
    direction += eps / scale
    direction = first / direction
    direction *= rate / scale
    p -= direction
    return p, state


class SparseAdam(Optimizer):
    """Adam that leaves a row of an embedding as it is, memory and all, in a step without a gradient for it.

    It is PyTorch's, for ``nn.Embedding(..., sparse=True)``; parameters other than those of embeddings get Adam's step.
    ``eps`` is added before the correction of the second moment.

    Parameters
    ----------
    params : iterable of Tensors, or of groups
    lr : float, default 0.001
    betas : (float, float), default (0.9, 0.999)
    eps : float, default 1e-8

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> words = tg.nn.Embedding(4, 2, sparse=True, weight_init=lambda shape, rng: np.zeros(shape))
    >>> optimizer = SparseAdam(words.parameters(), lr=0.5)
    >>> words(np.array([2, 0])).sum().backward()
    >>> optimizer.step()
    >>> words.weight.data
    array([[-0.5, -0.5],
           [ 0. ,  0. ],
           [-0.5, -0.5],
           [ 0. ,  0. ]], dtype=float32)
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, eps=eps)

    @staticmethod
    def update(
        p: Array, g: Array, state: State, *, lr: float, betas: tuple[float, float], eps: float
    ) -> tuple[Array, State]:
        """Adam's step, with another ``eps``."""
        if not is_known(p):
            raise CompileError(
                "SparseAdam: a compiled program computes a gradient for every row, and SparseAdam is to leave rows "
                "without one as they are; compile with Adam, or train without compile"
            )
        return _adam(p, g, state, lr, betas, eps / (1 - betas[1] ** state["step"]) ** 0.5)

    @staticmethod
    def memory(settings: Mapping[str, Any]) -> tuple[str, ...]:
        """The first and the second moment."""
        return "first", "second"

    @staticmethod
    def of_rows(settings: Mapping[str, Any]) -> bool | None:
        """Only these rows."""
        return True


class RMSprop(Optimizer):
    """Gradient descent, with each element scaled by the running mean of its square [1]_.

    Parameters
    ----------
    params : iterable of Tensors, or of groups
    lr : float, default 0.01
    alpha : float, default 0.99
        Decay of the running mean.
    eps : float, default 1e-8
        Added to the denominator.
    momentum : float, default 0
    weight_decay : float, default 0
        Adds ``weight_decay * p`` to the gradient.

    References
    ----------
    .. [1] T. Tieleman, G. Hinton, "Lecture 6.5: rmsprop", Neural Networks for Machine Learning, 2012.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> x = tg.tensor([100.0, 0.01], requires_grad=True)
    >>> optimizer = RMSprop([x], lr=0.01)
    >>> (x**2).sum().backward()
    >>> optimizer.step()  # lr / √(1 - alpha), whatever the size of the gradient
    >>> x.data.round(3)
    array([ 9.99e+01, -9.00e-02])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.01,
        alpha: float = 0.99,
        eps: float = 1e-8,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr=lr, alpha=alpha, eps=eps, momentum=momentum, weight_decay=weight_decay)

    @staticmethod
    def memory(settings: Mapping[str, Any]) -> tuple[str, ...]:
        """The running mean, and the velocity if there is momentum."""
        return ("square", "velocity") if settings["momentum"] else ("square",)

    @staticmethod
    def update(
        p: Array,
        g: Array,
        state: State,
        *,
        lr: float,
        alpha: float,
        eps: float,
        momentum: float,
        weight_decay: float,
    ) -> tuple[Array, State]:
        """``square = alpha * square + (1 - alpha) * g²; p = p - lr * g / (sqrt(square) + eps)``."""
        if weight_decay:
            g = g + weight_decay * p
        square = state["square"]
        square *= alpha
        square += (1 - alpha) * (g * g)
        step = g / (np.sqrt(square) + eps)
        if momentum:
            velocity = state["velocity"]
            velocity *= momentum
            velocity += step
            step = velocity
        p -= lr * step
        return p, state


class Adagrad(Optimizer):
    """Gradient descent, with each element scaled by the sum of its squares [1]_.

    Parameters
    ----------
    params : iterable of Tensors, or of groups
    lr : float, default 0.01
    eps : float, default 1e-10
        Added to the denominator.
    weight_decay : float, default 0
        Adds ``weight_decay * p`` to the gradient.

    References
    ----------
    .. [1] J. Duchi, E. Hazan, Y. Singer, "Adaptive subgradient methods", JMLR 12 (2011).

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> x = tg.tensor([1.0], requires_grad=True)
    >>> optimizer = Adagrad([x], lr=0.1)
    >>> for _ in range(3):
    ...     x.grad = None
    ...     x.sum().backward()  # a gradient of 1 each time
    ...     optimizer.step()
    ...     print(round(x.item(), 3))
    0.9
    0.829
    0.772
    """

    def __init__(
        self, params: Iterable[Any], lr: float = 0.01, eps: float = 1e-10, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, lr=lr, eps=eps, weight_decay=weight_decay)

    @staticmethod
    def memory(settings: Mapping[str, Any]) -> tuple[str, ...]:
        """The sum of all squares so far."""
        return ("total",)

    @staticmethod
    def of_rows(settings: Mapping[str, Any]) -> bool | None:
        """Only these rows: nothing is added to the sums of the others."""
        return None if settings["weight_decay"] else True

    @staticmethod
    def update(
        p: Array, g: Array, state: State, *, lr: float, eps: float, weight_decay: float
    ) -> tuple[Array, State]:
        """``total = total + g²; p = p - lr * g / (sqrt(total) + eps)``."""
        if weight_decay:
            g = g + weight_decay * p
        total = state["total"]
        total += g * g
        p -= lr * (g / (np.sqrt(total) + eps))
        return p, state
