"""Check gradients against finite differences: of functions, and of the parameters of a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import DTypeError, GradcheckError, GradientError, OptionError, ShapeError, pluralise, quote
from ..graph import enable_grad, sweep
from ..operands import operand
from ..tensor import Tensor, _lift, buffer
from ..typing import Array, NDArray

__all__ = ["check_parameter", "gradcheck", "numerical_gradient"]


def numerical_gradient(
    fn: Callable[..., Any], *inputs: Any, eps: float = 1e-6, indices: Sequence[Any] | None = None
) -> list[NDArray]:
    """Differentiate a scalar function by central differences.

    Parameters
    ----------
    fn : callable
        A function of arrays that returns one number.
    *inputs : array_like
        The point at which to differentiate, in float64 or complex128.
    eps : float, default 1e-6
        How far each element is moved in both directions.
    indices : sequence of index arrays, optional
        For each input, the flat indices of the elements to differentiate with respect to; the others get 0.

    Returns
    -------
    list of ndarray
        For each input, ``(fn(x + eps) - fn(x - eps)) / (2 * eps)`` elementwise. For complex inputs, the
        derivative with respect to the real part plus ``1j`` times that for the imaginary part.

    Examples
    --------
    >>> numerical_gradient(lambda x: np.sum(x**3), [1.0, 2.0])[0].round(4)
    array([ 3., 12.])
    """
    moved = [
        np.array(operand(x), _precise(np.asarray(x).dtype), order="C") for x in inputs
    ]  # so that views work
    gradients = [np.zeros(x.shape, x.dtype) for x in moved]
    for which, (x, gradient) in enumerate(zip(moved, gradients, strict=True)):
        flat, slopes = x.reshape(-1).view(np.float64), gradient.reshape(-1).view(np.float64)
        parts = flat.size // max(x.size, 1)  # a complex number is two
        chosen = range(x.size) if indices is None else indices[which]
        for i in (i * parts + part for i in chosen for part in range(parts)):
            kept = flat[i]
            flat[i] = kept + eps
            above = _number(fn(*moved))
            flat[i] = kept - eps
            below = _number(fn(*moved))
            flat[i] = kept
            slopes[i] = (above - below) / (2 * eps)
    return gradients


def _precise(dtype: np.dtype[Any]) -> Any:
    """The double-precision dtype of the same kind of number."""
    return np.complex128 if dtype.kind == "c" else np.float64


def gradcheck(
    fn: Callable[..., Any],
    *inputs: Any,
    eps: float = 1e-6,
    atol: float = 1e-6,
    rtol: float = 1e-4,
    order: int = 1,
) -> bool:
    r"""Compare the gradients of ``fn`` with central differences, in float64.

    Parameters
    ----------
    fn : callable
        It takes Tensors and returns a Tensor of any shape, or a tuple of Tensors. It must compute the
        same in each call: give a layer that draws random numbers a fixed seed, or use ``eval()``.
    *inputs : array_like
        The point to check. Floating-point inputs of any precision are checked in float64, complex ones in
        complex128; integers, booleans and ``None`` are passed on unchanged.
    eps : float, default 1e-6
        Step of the differences.
    atol, rtol : float
        Tolerated difference: ``atol + rtol * abs(numerical)``.
    order : {1, 2}
        2 also checks the gradients of the gradients.

    Returns
    -------
    bool
        ``True``; a wrong gradient is an error.

    Raises
    ------
    GradcheckError
        Names the argument, the worst element and both values.

    Notes
    -----
    An output with many elements is checked through one random combination of them,
    :math:`h(x) = \sum_k v_k f_k(x)`: if any :math:`\partial f_k / \partial x_i` is wrong, so is
    :math:`\partial h / \partial x_i`, with probability one. The second order is the same check, applied to
    a random combination of the gradients.

    Examples
    --------
    >>> gradcheck(lambda x, y: np.tanh(x) @ y, np.ones((2, 3)), np.ones(3), order=2)
    True
    """
    if order not in (1, 2):
        raise OptionError(f"gradcheck: order must be 1 or 2, not {order!r}")
    if not callable(fn):
        raise OptionError(
            f"gradcheck: the function comes first, then its arguments, as in gradcheck(f, x, y); got {quote(fn)}"
        )
    arrays: list[Any] = [
        x.data if isinstance(x, Tensor) else x if x is None else np.asarray(operand(x)) for x in inputs
    ]
    checked = [i for i, x in enumerate(arrays) if x is not None and x.dtype.kind in "fc"]
    if not checked:
        raise DTypeError(
            "gradcheck: there is no floating-point input to differentiate with respect to; pass the arguments of the "
            "function after it, as in gradcheck(f, np.array([1.0, 2.0]))"
        )

    def scalar(*values: Any) -> Any:
        """One random combination of all results of ``fn``."""
        every = list(arrays)
        for i, value in zip(checked, values, strict=True):
            every[i] = value
        generator = np.random.default_rng(1)  # the same combination in each call
        results = fn(*every)
        total: Any = 0.0
        for y in results if isinstance(results, (tuple, list)) else (results,):
            if not isinstance(y, Tensor):
                raise GradientError(
                    f"gradcheck: the function returned {type(y).__name__}, not a Tensor computed from its inputs"
                )
            total = total + _combination(y, generator)
        return total

    points = [arrays[i].astype(_precise(arrays[i].dtype)) for i in checked]
    _compare(scalar, points, checked, eps, atol, rtol, "gradient")
    if order == 2:

        def slope(*values: Any) -> Any:
            leaves = [v if v.requires_grad else Tensor(v.data, requires_grad=True) for v in values]
            gradients = _gradients(scalar, leaves, create_graph=True)
            generator = np.random.default_rng(2)
            total: Any = Tensor(0.0)
            for g in gradients:
                total = total + _combination(g, generator)
            return total

        _compare(slope, points, checked, eps, atol, rtol, "second-order gradient")
    return True


def check_parameter(
    loss: Callable[[], Array | float],
    parameter: Tensor,
    *,
    name: str = "",
    elements: int = 50,
    directions: int = 3,
    eps: float = 1e-6,
    atol: float = 1e-7,
    rtol: float = 1e-4,
) -> str:
    """Compare the ``grad`` of a parameter after ``backward()`` with finite differences of a loss.

    The parameters of a network are too large to move each of their elements. So the parameter is moved along
    random directions, which involve all elements, and then some elements are moved one by one.

    Parameters
    ----------
    loss : callable
        Computes the loss again from the current values of the parameter.
    parameter : Tensor of float64
        It is moved for the check, and then restored.
    name : str
        Its name in messages.
    elements, directions : int
        How many elements (at most all) and directions to check.
    eps, atol, rtol : float
        As for :func:`gradcheck`.

    Returns
    -------
    str
        A summary of the check, with the largest difference.

    Raises
    ------
    GradcheckError
        Names the parameter, the worst element or direction, and both values.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> w = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> np.sum(w**3).backward()
    >>> check_parameter(lambda: np.sum(w**3), w, elements=2).split(";")[0]
    '3 directions, 2 of 2 elements'
    """
    if parameter.grad is None:
        raise GradientError(
            f"check_parameter: {name or 'the parameter'} has no gradient; call backward() first"
        )
    if parameter.dtype != np.float64:
        raise DTypeError(
            f"check_parameter: {name or 'the parameter'} is {parameter.dtype}, too coarse for finite differences; "
            "convert the model with .astype(np.float64)"
        )
    rng = np.random.default_rng(0)
    kept, gradient = parameter.data.copy(), np.asarray(parameter.grad)
    chosen = rng.choice(kept.size, min(elements, kept.size), replace=False)

    def moved(by: NDArray) -> float:
        np.copyto(buffer(parameter), kept + by)
        return _number(loss())

    def agreeing(direction: NDArray, by_backward: float) -> float:
        """The slope of a step that agrees, or else of the shortest: the shorter a step, the fewer kinks it crosses."""
        for step in (eps, eps / 8, eps / 64):
            slope = (moved(step * direction) - moved(-step * direction)) / (2 * step)
            if abs(by_backward - slope) <= atol + rtol * abs(slope):
                break
        return slope

    try:
        along = [rng.choice([-1.0, 1.0], kept.shape) for _ in range(directions)]
        units = []
        for i in chosen:
            units.append(np.zeros(kept.shape))
            units[-1].flat[i] = 1.0
        analytic = np.array([np.sum(gradient * d) for d in along + units])
        numeric = np.array([agreeing(d, a) for d, a in zip(along + units, analytic, strict=True)])
    finally:
        np.copyto(buffer(parameter), kept)
    error = np.abs(analytic - numeric)
    if wrong := np.flatnonzero(~(error <= atol + rtol * np.abs(numeric))).tolist():
        worst = max(wrong, key=lambda k: error[k])
        place = f"direction {worst}"
        if worst >= directions:
            place = str([int(i) for i in np.unravel_index(chosen[worst - directions], kept.shape)])
        raise GradcheckError(
            f"gradcheck: the gradient of {name or 'the parameter'} (shape {kept.shape}) is wrong at {place}: "
            f"{analytic[worst]:.8g} by backward, {numeric[worst]:.8g} by finite differences"
        )
    return (
        f"{pluralise(directions, 'direction')}, {len(chosen)} of {kept.size} elements; largest difference "
        f"{error.max():.1e}"
    )


def _number(x: Any) -> float:
    """Convert a result to a number."""
    if np.size(x) != 1:
        raise ShapeError(
            f"the function returned an array of shape {np.shape(x)}; to measure a slope, it must return one number, "
            "such as a sum"
        )
    return float(x.data if isinstance(x, Tensor) else x)


def _combination(y: Array, generator: np.random.Generator) -> Array:
    """Combine all elements of ``y`` into a real number, with random weights."""

    def weights() -> NDArray:
        w: NDArray = generator.uniform(0.5, 1.5, y.shape) * generator.choice([-1, 1], y.shape)
        return w

    if y.dtype.kind == "c":
        return np.sum(np.real(y) * weights()) + np.sum(np.imag(y) * weights())
    return np.sum(y * weights())


def _compare(
    scalar: Callable[..., Any],
    points: list[NDArray],
    numbers: list[int],
    eps: float,
    atol: float,
    rtol: float,
    what: str,
) -> None:
    """Raise an error for the first argument whose gradient differs from its finite differences."""
    leaves = [Tensor(x, requires_grad=True) for x in points]
    analytic = [np.asarray(g.data if isinstance(g, Tensor) else g) for g in _gradients(scalar, leaves)]
    # Pass Tensors, so that functions that use a Tensor's attributes work.
    numeric = numerical_gradient(lambda *values: _number(scalar(*map(Tensor, values))), *points, eps=eps)
    for which, (number, a, n) in enumerate(zip(numbers, analytic, numeric, strict=True)):
        error = np.abs(a - n)
        wrong = ~(error <= atol + rtol * np.abs(n))  # so that NaN is wrong
        if not wrong.any():
            continue
        flat = np.argmax(np.where(wrong, np.nan_to_num(error, nan=np.inf), -1.0))
        worst = tuple(int(i) for i in np.unravel_index(flat, a.shape))
        raise GradcheckError(
            f"gradcheck: the {what} of argument {number} (shape {a.shape}) is wrong in {int(wrong.sum())} of {a.size} "
            f"elements; the worst is {list(worst)}: {a[worst]:.8g} by backward, {n[worst]:.8g} by finite differences"
            + _kink(lambda *values: scalar(*map(Tensor, values)), points, which, worst, eps, atol, rtol)
        )


def _kink(
    fn: Callable[..., float],
    points: list[NDArray],
    which: int,
    element: tuple[int, ...],
    eps: float,
    atol: float,
    rtol: float,
) -> str:
    """Return a remark if the slopes from both sides differ, however small the step."""

    def sides(eps: float) -> tuple[float, float]:
        moved = [x.copy() for x in points]
        here = fn(*moved)
        moved[which][element] += eps
        above = fn(*moved)
        moved[which][element] -= 2 * eps
        return (here - fn(*moved)) / eps, (above - here) / eps

    (left, right), near = sides(eps), sides(eps / 16)
    if (
        abs(left - right) <= atol + rtol * max(abs(left), abs(right))
        or abs(near[0] - near[1]) < abs(left - right) / 4
    ):
        return ""
    return f". The slope from the left is {left:.4g} and from the right {right:.4g}: this is a kink; check next to it"


def _gradients(
    scalar: Callable[..., Any], leaves: list[Tensor], *, create_graph: bool = False
) -> list[Array]:
    """Gradients of a scalar function with respect to Tensors; nothing is left in their ``grad``."""
    with enable_grad():
        y = scalar(*leaves)
        if not isinstance(y, Tensor) or y.node is None:
            return [np.zeros(leaf.shape, leaf.dtype) for leaf in leaves]
        seed = np.ones(y.shape)
        wanted = [leaf.node for leaf in leaves if leaf.node is not None]
        if create_graph:
            found = sweep({y.node: Tensor(seed)}, targets=wanted, retain=True, lift=_lift)
        else:
            found = sweep({y.node: seed}, targets=wanted)
    return [found.get(node, np.zeros(node.value.shape, node.value.dtype)) for node in wanted]
