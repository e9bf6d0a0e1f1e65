"""np.pad in every mode: NumPy's values, keywords and errors; gradients of what was padded, and of what with."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from helpers import check_cases, for_each, leaf, some_or_all
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_mnist as tg
from tinygrad_mnist import tensor

RNG = np.random.default_rng(0)
V = RNG.normal(size=4)
M = RNG.normal(size=(3, 4))
CUBE = RNG.normal(size=(2, 3, 2))
Z = RNG.normal(size=(2, 3)) + 1j * RNG.normal(size=(2, 3))
S = np.array(0.7)


def assert_numpys(f, *values) -> None:
    """``f`` computes on Tensors what NumPy computes on arrays, in double and single."""
    for double, single in (("d", "f"), ("D", "F")):
        arrays = [v.astype(single) if v.dtype.char == double else v for v in values]
        result, expected = f(*map(leaf, arrays)), f(*arrays)
        assert (result.shape, result.dtype) == (expected.shape, expected.dtype)
        rounding = np.finfo(expected.dtype).eps
        np.testing.assert_allclose(result.data, expected, rtol=2 * rounding, atol=4 * rounding)


def check(f, *values, order=2) -> None:
    """``f`` computes what NumPy does, and is right to second order."""
    assert_numpys(f, *values)
    assert tg.testing.gradcheck(f, *values, order=order)


def gradient(f, *values):
    leaves = [leaf(np.asarray(v, float)) for v in values]
    np.sum(f(*leaves)).backward()
    return [x.grad.data for x in leaves]


WIDTHS = [
    0,
    1,
    5,
    (2,),
    (1, 3),
    ((1, 2), (0, 4)),
    ((1, 2),),
    ((1,), (2,)),
    [[0, 0], [9, 2]],
    np.array([3, 0]),
]
MODES = [
    ("constant", {}),
    ("constant", {"constant_values": 2}),
    ("constant", {"constant_values": (1.5, -1)}),
    ("constant", {"constant_values": ((1, 2), (3, 4))}),
    ("constant", {"constant_values": ((5,), (6,))}),
    ("edge", {}),
    ("linear_ramp", {}),
    ("linear_ramp", {"end_values": 3}),
    ("linear_ramp", {"end_values": (1.0, -2)}),
    ("linear_ramp", {"end_values": ((1, 2), (3, 4))}),
    ("maximum", {}),
    ("maximum", {"stat_length": 2}),
    ("minimum", {"stat_length": (1, 9)}),
    ("mean", {}),
    ("mean", {"stat_length": ((1, 2), (3, 1))}),
    ("mean", {"stat_length": None}),
    ("median", {}),
    ("median", {"stat_length": (2, 3)}),
    ("reflect", {}),
    ("reflect", {"reflect_type": "even"}),
    ("reflect", {"reflect_type": "odd"}),
    ("symmetric", {}),
    ("symmetric", {"reflect_type": "odd"}),
    ("wrap", {}),
]


@some_or_all
@pytest.mark.parametrize(("mode", "how"), MODES, ids=str)
def test_modes(mode, how, are_all):
    step = 1 if are_all else 5  # gradients of other widths for each mode
    first = MODES.index((mode, how)) % step

    def check_width(i, width):
        compare = check if i % step == first else assert_numpys
        compare(lambda x: np.pad(x, width, mode, **how), M)

    check_cases(check_width, ((f"{mode} {how} {width}", i, width) for i, width in enumerate(WIDTHS)))


@for_each("mode, how", MODES)
def test_modes_by_name_of_rows_of_one(mode, how):
    check(lambda x: np.pad(array=x, pad_width=((2, 3), (1, 1)), mode=mode, **how), M[:1, :1])


@pytest.mark.parametrize("mode", ["constant", "edge", "linear_ramp", "mean", "reflect", "symmetric", "wrap"])
def test_complex_numbers(mode):
    check(lambda z: np.pad(z, ((1, 2), (3, 0)), mode), Z)


def test_complex_odd_reflections_and_constants():
    check(lambda z: np.pad(z, 4, "reflect", reflect_type="odd"), Z)
    check(lambda z, v: np.pad(z, 1, constant_values=v), Z, np.array(1 + 2j))


@pytest.mark.parametrize("mode", ["constant", "edge", "linear_ramp", "mean", "reflect", "wrap"])
def test_three_axes(mode):
    check(lambda x: np.pad(x, ((1, 0), (0, 2), (1, 1)), mode), CUBE)


def test_a_number_has_no_axis_to_pad():
    check(lambda x: np.pad(x, 1), S)
    check(lambda x: np.pad(x, 1, "edge"), S)
    assert np.pad(tensor(3), 1, constant_values=leaf(2.0)).item() == 3


def test_constant_padding_of_nothing():
    check(lambda x: np.pad(x, 2, constant_values=1.0), np.zeros((0, 3)))
    (v,) = gradient(lambda v: np.pad(tensor(np.zeros((0, 3))), ((1, 1), (0, 0)), constant_values=v), 2.0)
    assert v == 6.0


def test_padding_of_nothing_else_asks_for_something():
    empty = np.zeros((0, 3))
    for mode in ("edge", "reflect", "mean", "linear_ramp", "wrap"):
        check(lambda x, mode=mode: np.pad(x, ((0, 0), (1, 2)), mode) + 1, empty)
        with pytest.raises(ValueError, match="empty axis 0"):
            np.pad(leaf(empty), ((1, 0), (1, 2)), mode)


@pytest.mark.parametrize(
    ("width", "pairs"),
    [
        ({1: 2}, ((0, 0), (2, 2))),
        ({-1: (1, 2)}, ((0, 0), (1, 2))),
        ({0: (0, 3), 1: 1}, ((0, 3), (1, 1))),
        ({}, 0),
    ],
)
def test_widths_by_axis(width, pairs):
    for mode in ("constant", "edge"):
        np.testing.assert_array_equal(np.pad(leaf(M), width, mode).data, np.pad(M, pairs, mode))
    with pytest.raises(IndexError):
        np.pad(leaf(M), {2: 1})


def test_widths_by_a_constant_tensor():
    check(lambda x: np.pad(x, tensor([1, 2])), M)


# -- what is padded with -------------------------------------------------------------------------


def test_the_gradient_of_constants():
    _, v = gradient(lambda x, v: np.pad(x, ((1, 2), (3, 4)), constant_values=v), M, 0.5)
    assert v == 6 * 11 - 12
    _, v = gradient(lambda x, v: np.pad(x, ((1, 2), (3, 4)), constant_values=v), M, [[1, 2], [3, 4]])
    np.testing.assert_array_equal(v, [[4, 8], [18, 24]])  # the corners belong to the last axis
    _, v = gradient(lambda x, v: np.pad(x, ((1, 2), (3, 4)), constant_values=v), M, [1, 2])
    np.testing.assert_array_equal(v, [22, 32])
    _, v = gradient(lambda x, v: np.pad(x, ((1, 2), (3, 4)), constant_values=v), M, [[1], [2]])
    np.testing.assert_array_equal(v, [[12], [42]])
    _, a, b = gradient(lambda x, a, b: np.pad(x, 1, constant_values=((a, 1.0), (2.0, b))), M, 0.5, 0.5)
    assert (a, b) == (4.0, 5.0)


@pytest.mark.parametrize("shape", [(), (1,), (2,), (1, 2), (2, 1), (2, 2), (1, 1)])
def test_constants_and_ends_of_every_form(shape):
    values = RNG.normal(size=shape)
    check(lambda x, v: np.pad(x, ((1, 2), (3, 0)), constant_values=v) ** 2, M, values)
    check(lambda x, v: np.pad(x, ((1, 2), (3, 2)), "linear_ramp", end_values=v) ** 2, M, values)


def test_only_the_constant_is_tracked():
    v = leaf(2.0)
    y = np.pad(tensor(M), 1, constant_values=v)
    y.sum().backward()
    assert v.grad.item() == y.size - M.size


def test_the_ends_of_a_ramp():
    x, v = gradient(lambda x, v: np.pad(x, (0, 4), "linear_ramp", end_values=v), [1.0, 2.0], 10.0)
    np.testing.assert_allclose(x, [1, 1 + 0.75 + 0.5 + 0.25])
    np.testing.assert_allclose(v, 0.25 + 0.5 + 0.75 + 1)


# -- edges ---------------------------------------------------------------------------------------

EDGES = [
    ("edge", lambda x: np.pad(x, (2, 1), "edge"), [1.0, 2.0, 3.0], [3, 1, 2]),
    ("reflect", lambda x: np.pad(x, (1, 1), "reflect"), [1.0, 2.0, 3.0], [1, 3, 1]),
    ("reflect of one", lambda x: np.pad(x, (3, 1), "reflect"), [1.0], [5]),
    ("odd reflect", lambda x: np.pad(x, (1, 0), "reflect", reflect_type="odd"), [1.0, 2, 3], [3, 0, 1]),
    ("odd reflect of one", lambda x: np.pad(x, 2, "reflect", reflect_type="odd"), [1.0], [5]),
    ("odd symmetric", lambda x: np.pad(x, (2, 0), "symmetric", reflect_type="odd"), [1.0, 2, 3], [4, 0, 1]),
    ("odd symmetric of one", lambda x: np.pad(x, 2, "symmetric", reflect_type="odd"), [1.0], [5]),
    ("wrap", lambda x: np.pad(x, (0, 4), "wrap"), [1.0, 2.0, 3.0], [3, 2, 2]),
    ("mean", lambda x: np.pad(x, (1, 1), "mean"), [1.0, 2.0], [2, 2]),
    ("mean of some", lambda x: np.pad(x, (1, 0), "mean", stat_length=2), [1.0, 2.0, 3.0], [1.5, 1.5, 1]),
    ("maximum", lambda x: np.pad(x, (2, 0), "maximum"), [1.0, 3.0, 2.0], [1, 3, 1]),
    ("maximum at a tie", lambda x: np.pad(x, (2, 0), "maximum"), [3.0, 1.0, 3.0], [2, 1, 2]),
    (
        "minimum near the end",
        lambda x: np.pad(x, (0, 2), "minimum", stat_length=2),
        [0.0, 3.0, 2.0],
        [1, 1, 3],
    ),
    ("median", lambda x: np.pad(x, (2, 0), "median"), [1.0, 3.0, 2.0, 9.0], [1, 2, 2, 1]),
    ("empty", lambda x: np.pad(x, 2, "empty"), [1.0, 2.0], [1, 1]),
    ("not at all", lambda x: np.pad(x, 0, "reflect"), [1.0, 2.0], [1, 1]),
]


@for_each("f, x, expected", [pytest.param(*case, id=name) for name, *case in EDGES])
def test_gradient_at_the_edge(f, x, expected):
    np.testing.assert_array_equal(gradient(f, x)[0], expected)


@pytest.mark.parametrize("bad", [np.inf, np.nan])
@pytest.mark.parametrize("reflect_type", ["even", "odd"])
def test_what_is_not_finite_stays_where_it_is(bad, reflect_type):
    values = np.array([1.0, 2.0, 3.0, bad])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y = np.pad(leaf(values), (2, 0), "reflect", reflect_type=reflect_type)
        (g,) = gradient(lambda x: np.pad(x, (2, 0), "reflect", reflect_type=reflect_type)[:-1], values)
    np.testing.assert_array_equal(y.data, np.pad(values, (2, 0), "reflect", reflect_type=reflect_type))
    assert np.isfinite(y.data[:-1]).all()
    assert np.isfinite(g).all()


@settings(max_examples=200, deadline=None)
@given(
    n=st.integers(1, 5),
    before=st.integers(0, 12),
    after=st.integers(0, 12),
    mode=st.sampled_from(["reflect", "symmetric", "wrap", "edge"]),
    odd=st.booleans(),
)
def test_gradient_is_the_padded_identity(n, before, after, mode, odd):
    """Padding is linear: its Jacobian is the identity, padded row by row."""
    how = {"reflect_type": "odd"} if odd and mode in ("reflect", "symmetric") else {}
    jacobian = np.pad(np.eye(n), ((before, after), (0, 0)), mode, **how)
    x, weights = leaf(np.arange(1.0, n + 1)), np.arange(1.0, n + before + after + 1)
    y = np.pad(x, (before, after), mode, **how)
    np.testing.assert_array_equal(y.data, np.pad(x.data, (before, after), mode, **how))
    (y * weights).sum().backward()
    np.testing.assert_allclose(x.grad.data, weights @ jacobian, atol=1e-12)


# -- a function of one's own ---------------------------------------------------------------------


def halves(vector, width, axis, kwargs):
    """A user's mode: half the outermost element, and a factor; it writes into both ends."""
    before, after = width
    factor = kwargs.get("factor", 0.5)
    vector[:before] = vector[before] * factor
    if after:
        vector[-after:] = vector[-after - 1] * factor * (axis + 1)


def test_a_function_as_the_mode():
    check(lambda x: np.pad(x, ((1, 2), (2, 0)), halves), M)
    check(lambda x: np.pad(x, 1, mode=halves, factor=3.0), CUBE)
    check(lambda x, v: np.pad(x, 1, halves, factor=v) * 1.0, V, S)


def test_numpys_own_example_of_a_function():
    def pad_with(vector, pad_width, iaxis, kwargs):
        vector[: pad_width[0]] = kwargs.get("padder", 10)
        vector[-pad_width[1] :] = kwargs.get("padder", 10)

    check(lambda x: np.pad(x, 2, pad_with), M)
    check(lambda x: np.pad(x, 2, pad_with, padder=100), M)
    v = leaf(5.0)
    np.pad(tensor(M), 2, pad_with, padder=v).sum().backward()
    assert v.grad.item() == 7 * 8 - 12


def test_a_function_that_does_nothing():
    check(lambda x: np.pad(x, 1, lambda *args: None), M)
    check(lambda x: np.pad(x, 1, lambda *args: None), np.zeros((0, 2)))


# -- integers, and what is refused ---------------------------------------------------------------


@for_each("mode, how", MODES)
@for_each("dtype", [int, bool, np.uint8])
def test_integers_are_rounded_as_numpy_rounds_them(mode, how, dtype):
    values = np.array([[1, 2, 4], [7, 7, 8]]).astype(dtype)
    try:
        expected = np.pad(values, 2, mode, **how)
    except (TypeError, OverflowError) as error:  # NumPy cannot subtract booleans, nor have -1 in bytes
        with pytest.raises(type(error)):
            np.pad(tensor(values), 2, mode, **how)
        return
    y = np.pad(tensor(values), 2, mode, **how)
    assert isinstance(y, tg.Tensor)
    assert not y.requires_grad
    assert y.dtype == expected.dtype
    np.testing.assert_array_equal(y.data, expected)


def test_integers_have_no_place_for_a_tracked_value():
    for mode, name in (("constant", "constant_values"), ("linear_ramp", "end_values")):
        with pytest.raises(tg.errors.DTypeError, match=r"pad.*astype"):
            np.pad(tensor([1, 2]), 1, mode, **{name: leaf(0.5)})
        np.testing.assert_array_equal(
            np.pad(tensor([1, 2]), 1, mode, **{name: tensor(3.0)}).data,
            np.pad([1, 2], 1, mode, **{name: 3.0}),
        )


REFUSALS = [
    ("a negative width", lambda x: np.pad(x, -1)),
    ("a negative width among others", lambda x: np.pad(x, (1, -1), "edge")),
    ("a width of 1.0", lambda x: np.pad(x, 1.0)),
    ("too many widths", lambda x: np.pad(x, ((1, 1),) * 3)),
    ("three widths", lambda x: np.pad(x, (1, 2, 3))),
    ("no mode", lambda x: np.pad(x, 1, "cosntant")),
    ("another mode's keyword", lambda x: np.pad(x, 1, "edge", constant_values=1)),
    ("no keyword", lambda x: np.pad(x, 1, "constant", value=1)),
    ("constants for another shape", lambda x: np.pad(x, 1, constant_values=(1, 2, 3))),
    ("ends for another shape", lambda x: np.pad(x, 1, "linear_ramp", end_values=(1, 2, 3))),
    ("a statistic of nothing", lambda x: np.pad(x, 1, "maximum", stat_length=0)),
    ("a negative stat_length", lambda x: np.pad(x, 1, "mean", stat_length=-1)),
]


@for_each("f", [pytest.param(f, id=name) for name, f in REFUSALS])
def test_refusals(f):
    with pytest.raises(Exception) as numpys:  # noqa: PT011
        f(M)
    with pytest.raises(numpys.type):
        f(leaf(M))


def test_a_misspelt_mode_is_recognized():
    with pytest.raises(tg.errors.OptionError, match=r"'cosntant' \(did you mean 'constant'\?\)"):
        np.pad(leaf(M), 1, "cosntant")


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "linear_ramp", "mean"])
def test_no_padding_is_a_copy(mode):
    x = leaf(M)
    y = np.pad(x, 0, mode)
    y += 1.0
    np.testing.assert_array_equal(x.data, M)
    np.testing.assert_array_equal(y.data, M + 1)
