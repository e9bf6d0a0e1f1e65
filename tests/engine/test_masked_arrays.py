"""Every function of ``np.ma`` with Tensors: values and gradient are right, or the call is refused.

A function is called in all the ways below that it accepts with plain arrays, and then with Tensors.
"""

from __future__ import annotations

import inspect
import warnings

import numpy as np
import pytest
from helpers import for_each, leaf

import tinygrad_mnist as tg
from tinygrad_mnist.errors import LostGradientWarning, TinygradError

MATRIX, OTHER = np.array([[0.9, 0.5, 0.25], [0.5, 0.25, 0.75]]), np.array([[0.1, 0.2, 0.4], [0.8, 0.3, 0.6]])
MASK = np.ma.masked_array(OTHER, [[1, 0, 0], [0, 0, 0]])

WAYS = {
    "f(x)": lambda f, x: f(x),
    "f(row)": lambda f, x: f(x[0]),
    "f(number)": lambda f, x: f(x[0, 0]),
    "f([x, x])": lambda f, x: f([x, x]),
    "f([row, row])": lambda f, x: f([x[0], x[1]]),
    "f(x, x)": lambda f, x: f(x, x * 2),
    "f(row, row)": lambda f, x: f(x[0], x[1]),
    "f(row, row, 1)": lambda f, x: f(x[0], x[1], 1),
    "f(x, 1)": lambda f, x: f(x, 1),
    "f(x, number)": lambda f, x: f(x, 0.5),
    "f(number, x)": lambda f, x: f(0.5, x),
    "f(array, x)": lambda f, x: f(OTHER, x),
    "f(x, array)": lambda f, x: f(x, OTHER),
    "f(masked, x)": lambda f, x: f(MASK.copy(), x),
    "f(x, masked)": lambda f, x: f(x, MASK.copy()),
    "f(array, number)": lambda f, x: f(OTHER.copy(), x[0, 0]),
    "f(x, 0, 1)": lambda f, x: f(x, 0, 1),
    "f(x, low, high)": lambda f, x: f(x, 0.3, 0.8),
    "f(array, low, high)": lambda f, x: f(OTHER, x[0, 2], x[0, 0]),
    "f(shape, x)": lambda f, x: f((2, 3), x),
    "f(function, 0, x)": lambda f, x: f(lambda part: part * 2, 0, x),
    "f(function, x, 0)": lambda f, x: f(lambda part, axis: part * 2, x, 0),
    "f(condition, x)": lambda f, x: f(x > 0.3, x),
    "f(condition, x, x)": lambda f, x: f(x > 0.3, x, 2 * x),
    "f(x, mask=)": lambda f, x: f(x, mask=[[1, 0, 0], [0, 0, 0]]),
    "f(array, mask=x)": lambda f, x: f(OTHER, mask=x),
    "f(array, fill_value=)": lambda f, x: f(OTHER, fill_value=x[0, 0]),
    "f(x, [0], 1)": lambda f, x: f(x, [0], 0.5),
    "f(array, [0], x)": lambda f, x: f(OTHER.copy(), [0], x[0, 0]),
    "f(array, array, x)": lambda f, x: f(OTHER, OTHER, x),
    "f(array, weights=x)": lambda f, x: f(OTHER, weights=x),
    "f(array, initial=)": lambda f, x: f(OTHER, initial=x[0, 0]),
    "f(array, axis=0, out=row)": lambda f, x: f(OTHER, axis=0, out=x[0] * 1),
}  # fmt: skip
FUNCTIONS = [
    name
    for name in np.ma.__all__
    if callable(getattr(np.ma, name))
    and not inspect.isclass(getattr(np.ma, name))
    and name not in ("mr_", "frombuffer")  # which needs bytes, and says so
] + ["MaskedArray", "mvoid"]


def plainly(result):
    """A result as text that can be compared; of a generator its elements."""
    return repr(list(result) if inspect.isgenerator(result) else result)


def call(way, f, x):
    """Call a function of ``np.ma``, or of ``np``, which must not lose a gradient without a warning."""
    with warnings.catch_warnings(record=True) as caught, np.errstate(all="ignore"):
        warnings.simplefilter("always")
        result = WAYS[way](f, x)
        text = plainly(result)
    lost = [warning for warning in caught if warning.category is LostGradientWarning]
    if lost:
        raise lost[0].message
    return result, text


@for_each("name", FUNCTIONS)
def test_functions_of_masked_arrays(name):
    f = getattr(np.ma, name)
    for way in WAYS:
        try:
            _, expected = call(way, f, MATRIX.copy())
        except Exception:  # plain arrays do not work either
            continue
        if "<function" in expected:  # which was returned
            continue
        try:
            found, text = call(way, f, leaf(MATRIX))
        except (TinygradError, LostGradientWarning):
            continue
        if isinstance(found, tg.Tensor):
            twin = {"round_": np.round, "product": np.prod}.get(name) or getattr(np, name)
            again, _ = call(way, twin, leaf(MATRIX))
            assert text.split(", op=")[0] == repr(again).split(", op=")[0], way
            assert found.requires_grad == again.requires_grad, way
            if found.requires_grad:
                slopes = [
                    tg.grad(lambda x, f=f, way=way: np.sum(call(way, f, x)[0]))(MATRIX) for f in (f, twin)
                ]
                assert slopes[0].tolist() == slopes[1].tolist(), way
        else:  # what a small change of x would not change
            assert text == expected == call(way, f, MATRIX * 1.001)[1], way


def test_what_np_ma_says():
    message = r"^t\.view: .* array\.filled\(value\)"
    for f in (np.ma.squeeze, np.ma.zeros_like, np.ma.unique, np.ma.diag):
        with pytest.raises(tg.errors.UnsupportedError, match=message):
            f(leaf(MATRIX))
