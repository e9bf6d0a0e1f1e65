"""L-BFGS: a method for small problems that are evaluated as a whole, such as curves and logistic regressions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..errors import GradientError, NonFiniteError, OptionError, StateDictError, choice
from ..graph import enable_grad
from ..tensor import Tensor, buffer
from ..typing import NDArray
from .optimizer import Optimizer

__all__ = ["LBFGS"]


class Point(NamedTuple):
    """A place on a line, the loss there, its slope along the line, and the gradient."""

    t: float
    loss: float
    slope: float
    gradient: NDArray


class LBFGS(Optimizer):
    """Newton's method with a curvature remembered from the last steps [1]_; ``step`` needs a closure.

    Parameters
    ----------
    params : iterable of Tensors
        In one group.
    lr : float, default 1
        The length of a step; with a line search, that of the first trial.
    max_iter : int, default 20
        The most iterations of one ``step``.
    max_eval : int, optional
        The most evaluations of one ``step``; ``max_iter * 5 // 4`` by default.
    tolerance_grad : float, default 1e-7
        ``step`` ends if no element of the gradient is larger,
    tolerance_change : float, default 1e-9
        or if neither the loss nor any parameter changes by more than this.
    history_size : int, default 100
        How many steps are remembered.
    line_search_fn : {None, 'strong_wolfe'}
        How the length of a step is found: a line search makes the loss fall in each iteration.

    Notes
    -----
    It is for losses of all the data: the noise of a batch would pass for curvature. ``fit`` does not take it.

    References
    ----------
    .. [1] J. Nocedal, S. J. Wright, "Numerical optimization", 2nd ed., 2006, algorithms 7.4, 3.5 and 3.6.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> x = tg.tensor([-1.5, 2.0], requires_grad=True)
    >>> optimizer = LBFGS([x], max_iter=50, line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2  # Rosenbrock's valley
    ...     loss.backward()
    ...     return loss
    >>> _ = optimizer.step(closure)
    >>> x
    tensor([1., 1.], requires_grad=True)
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        if line_search_fn not in (None, "strong_wolfe"):
            raise choice("line_search_fn", line_search_fn, ("strong_wolfe",))
        for name, value in (("max_iter", max_iter), ("history_size", history_size)):
            if value < 1:
                raise OptionError(f"LBFGS: {name} = {value!r} must be 1 or more")
        super().__init__(
            params,
            lr=lr,
            max_iter=max_iter,
            max_eval=max_iter * 5 // 4 if max_eval is None else max_eval,
            tolerance_grad=tolerance_grad,
            tolerance_change=tolerance_change,
            history_size=history_size,
        )
        self.line_search_fn = line_search_fn
        if len(self.param_groups) > 1 or any(p.dtype.kind == "c" for p in self._params()):
            raise OptionError(
                "LBFGS: takes real parameters in one group, because it moves all of them together"
            )
        #: The steps and the changes of the gradient that it remembers, the oldest first.
        self.steps: list[NDArray] = []
        self.changes: list[NDArray] = []
        self.iterations = 0

    @staticmethod
    def update(*args: Any, **settings: Any) -> Any:
        """Refuse to run in programs and in ``fit``, which have no closure."""
        raise OptionError(
            "LBFGS: step() needs a closure that evaluates the loss again; fit and compile have none"
        )

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Run up to ``max_iter`` iterations.

        Parameters
        ----------
        closure : callable
            Forgets the gradients, computes the loss, calls ``backward()`` and returns the loss.

        Returns
        -------
        The loss before the first iteration, as the closure returned it.

        Raises
        ------
        NonFiniteError
            If the loss or its gradient is not finite at the beginning.
        """
        if closure is None:
            raise OptionError(
                "LBFGS.step: pass a closure that evaluates the loss, as in optimizer.step(closure)"
            )
        group = self.param_groups[0]
        first, (loss, gradient) = self._evaluate(closure)
        if not (math.isfinite(loss) and np.isfinite(gradient).all()):
            raise NonFiniteError(
                f"LBFGS.step: the loss is {loss}, or its gradient is not finite; nothing was changed"
            )
        evaluations = 1
        for _ in range(group["max_iter"]):
            direction = self._direction(gradient)
            here = Point(0.0, loss, float(gradient @ direction), gradient)
            is_flat = np.abs(gradient).max(initial=0) <= group["tolerance_grad"]
            if is_flat or here.slope > -group["tolerance_change"] or evaluations >= group["max_eval"]:
                break
            t = group["lr"] * (1.0 if self.iterations else min(1.0, 1 / float(np.abs(gradient).sum())))
            self.iterations += 1
            line = _Line(self, closure, self._gather(), direction)
            there = (
                line(t)
                if self.line_search_fn is None
                else _strong_wolfe(line, t, here, group["tolerance_change"])
            )
            if not math.isfinite(there.loss):
                self._scatter(line.start)
                raise NonFiniteError(
                    f"LBFGS.step: the loss became {there.loss}; the last iteration was taken back"
                )
            moved = there.t * direction
            self._scatter(line.start + moved)
            self._remember(moved, there.gradient - gradient)
            evaluations += line.evaluations
            change, loss, gradient = abs(there.loss - loss), there.loss, there.gradient
            if max(change, np.abs(moved).max(initial=0)) <= group["tolerance_change"]:
                break
        return first

    def _direction(self, gradient: NDArray) -> NDArray:
        """Minus the gradient, times the inverse of the remembered curvature: two loops over the last steps."""
        d, shares = -gradient, []
        pairs = list(zip(self.steps, self.changes, strict=True))
        for s, y in reversed(pairs):
            shares.append(float(s @ d) / float(y @ s))
            d = d - shares[-1] * y
        if pairs:
            s, y = pairs[-1]
            d = d * (float(y @ s) / float(y @ y))
        for s, y in pairs:
            d = d + (shares.pop() - float(y @ d) / float(y @ s)) * s
        return d

    def _remember(self, moved: NDArray, change: NDArray) -> None:
        """Keep a step, unless the loss is not convex along it."""
        if float(change @ moved) > 1e-10:
            self.steps.append(moved)
            self.changes.append(change)
            size = self.param_groups[0]["history_size"]
            del self.steps[:-size], self.changes[:-size]

    def _evaluate(self, closure: Callable[[], Any]) -> tuple[Any, tuple[float, NDArray]]:
        with enable_grad():
            loss = closure()
        if not isinstance(loss, Tensor) and not np.isscalar(loss):
            raise OptionError("LBFGS.step: the closure must return the loss; end it with `return loss`")
        grads = [p.grad for p in self._params()]
        if all(g is None for g in grads):
            raise GradientError(
                "LBFGS.step: no parameter has a gradient; call loss.backward() in the closure"
            )
        parts = [
            np.zeros(p.size, p.dtype) if g is None else np.ravel(np.asarray(g))
            for p, g in zip(self._params(), grads, strict=True)
        ]
        number: Any = loss.item() if isinstance(loss, Tensor) else loss
        return loss, (float(number), np.concatenate(parts).astype(np.float64))

    def _gather(self) -> NDArray:
        """All parameters, one after the other, in double precision."""
        return np.concatenate([np.ravel(p.data) for p in self._params()]).astype(np.float64)

    def _scatter(self, x: NDArray) -> None:
        """Write such a vector into the parameters."""
        at = 0
        for p in self._params():
            buffer(p)[...] = x[at : at + p.size].reshape(p.shape)
            at += p.size

    def state_dict(self) -> dict[str, Any]:
        """Copy settings and memory. ``tg.save`` can write it to a file."""
        size = sum(p.size for p in self._params())
        memory = {
            name: np.array(value).reshape(len(value), size)
            for name, value in (("steps", self.steps), ("changes", self.changes))
        }
        return {**super().state_dict(), **memory, "iterations": self.iterations}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore settings and memory from the :meth:`state_dict` of one with the same parameters."""
        size = sum(p.size for p in self._params())
        given = state_dict if isinstance(state_dict, Mapping) else {}
        found = [np.asarray(given.get(name)) for name in ("steps", "changes", "iterations")]
        steps, changes, count = found
        if (
            steps.shape != changes.shape
            or steps.shape[1:] != (size,)
            or not all(x.dtype.kind == "f" and np.isfinite(x).all() for x in found[:2])
            or count.shape
            or count.dtype.kind not in "iu"
            or count < len(steps)
            or not all(s @ y > 0 for s, y in zip(steps, changes, strict=True))
        ):
            raise StateDictError("LBFGS: this is not the state_dict() of an LBFGS with these parameters")
        super().load_state_dict(state_dict)
        self.steps, self.changes, self.iterations = list(steps.copy()), list(changes.copy()), int(count)


class _Line:
    """The loss along a line through the parameters."""

    def __init__(
        self, optimizer: LBFGS, closure: Callable[[], Any], start: NDArray, direction: NDArray
    ) -> None:
        self.optimizer, self.closure, self.start, self.direction = optimizer, closure, start, direction
        self.evaluations = 0

    def __call__(self, t: float) -> Point:
        self.optimizer._scatter(self.start + t * self.direction)
        self.evaluations += 1
        _, (loss, gradient) = self.optimizer._evaluate(self.closure)
        return Point(t, loss, float(gradient @ self.direction), gradient)


def _strong_wolfe(line: _Line, t: float, start: Point, least: float, most: int = 25) -> Point:
    """Find a place where the loss is lower and its slope is flatter: first bracket one, then zoom in on it.

    ``c1`` is the share of the slope by which the loss must fall, ``c2`` the share to which the slope must flatten.
    """
    c1, c2 = 1e-4, 0.9

    def is_low(p: Point) -> bool:
        return p.loss <= start.loss + c1 * p.t * start.slope

    low = start
    for i in range(most):
        p = line(t)
        if not is_low(p) or (i and p.loss >= low.loss) or not math.isfinite(p.loss):
            high = p
            break
        if abs(p.slope) <= -c2 * start.slope:
            return p
        if p.slope >= 0:
            low, high = p, low
            break
        low, t = p, 2 * t
    else:
        return low
    while line.evaluations < most and abs(high.t - low.t) * np.abs(line.direction).max() > least:
        p = line(_between(low, high))
        if not is_low(p) or p.loss >= low.loss or not math.isfinite(p.loss):
            high = p
            continue
        if abs(p.slope) <= -c2 * start.slope:
            return p
        if p.slope * (high.t - low.t) >= 0:
            high = low
        low = p
    return low


def _between(a: Point, b: Point) -> float:
    """The minimum of the cubic through two points with their slopes, at least a tenth of the way from either."""
    width = b.t - a.t
    if not math.isfinite(b.loss) or not math.isfinite(b.slope):
        return a.t + width / 2
    mean = a.slope + b.slope - 3 * (b.loss - a.loss) / width
    square = mean * mean - a.slope * b.slope
    if square < 0:
        return a.t + width / 2
    root = math.copysign(math.sqrt(square), width)
    bottom = b.slope - a.slope + 2 * root
    share = 1 - (b.slope + root - mean) / bottom if bottom else 0.5
    return a.t + width * min(max(share, 0.1), 0.9)
