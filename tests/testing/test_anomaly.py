"""detect_anomaly: the first bad number, where it came from, and why."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from helpers import for_each

import tinygrad_mnist as tg
from tinygrad_mnist.errors import GradientError, NonFiniteError
from tinygrad_mnist.nn import functional as F  # noqa: N812


def leaf(*values, **how):
    return tg.tensor(list(values), requires_grad=True, **how)


def message(f) -> str:
    with pytest.raises(NonFiniteError) as raised, tg.detect_anomaly():
        f()
    return " ".join(str(raised.value).split())  # however the lines are broken


FORWARD = [
    (
        "log of 0",
        lambda: np.log(leaf(1.0, 0.0)),
        ["log: infinity in 1 of 2", "first at [1]", "x is 0", "cross_entropy"],
    ),
    ("log of -1", lambda: np.log(leaf(0.0, -1.0)), ["log: NaN in 1 of 2", "first at [1]", "x is -1"]),
    ("exp", lambda: np.exp(leaf(1000.0)), ["exp: infinity", "x is 1000", "logsumexp"]),
    ("divide", lambda: leaf(1.0) / leaf(0.0), ["divide: infinity", "input b is 0", "Guard the divisor"]),
    ("sqrt", lambda: np.sqrt(leaf(-1e-20)), ["sqrt: NaN", "np.maximum(x, 0)"]),
    (
        "power",
        lambda: leaf(-8.0) ** (1 / 3),
        ["power: NaN", "input a is -8, input b is 0.333333", "fractional power"],
    ),
    ("arccos", lambda: np.arccos(leaf(1 + 1e-9)), ["arccos: NaN", "np.clip(x, -1, 1)"]),
    ("overflow", lambda: leaf(1e300) * leaf(1e300), ["multiply: infinity", "learning rate"]),
    ("float16", lambda: leaf(1e6).astype(np.float16), ["astype: infinity", "65504"]),
    (
        "a leaf of NaN",
        lambda: leaf(np.nan) * 2,
        ["multiply: NaN", "input a already held NaN", "data and parameters"],
    ),
    ("a constant NaN", lambda: leaf(1.0) * np.array([np.nan]), ["multiply: NaN", "input b already held NaN"]),
    ("inf - inf", lambda: leaf(1.0) * np.inf - np.inf, ["subtract: NaN", "input a is inf, input b is inf"]),
    (
        "matmul",
        lambda: leaf([1e30], dtype=np.float32) @ np.full((1, 2), 1e30, np.float32),
        ["matmul: infinity in 2 of 2", "first at [0, 0]", "learning rate"],
    ),
]


@for_each("f, parts", [pytest.param(*case[1:], id=case[0]) for case in FORWARD])
def test_forward(f, parts):
    text = message(f)
    for part in parts:
        assert part in text
    assert "test_anomaly.py" in text


def test_the_line_is_the_users_and_the_module_is_named():
    class Net(tg.nn.Module):
        def __init__(self):
            self.layer = tg.nn.Linear(2, 2, rng=0)

        def forward(self, x):
            y = self.layer(x)
            return np.log(y * 0)  # this very line

    net = Net()
    text = message(lambda: net(np.ones((1, 2), np.float32)))
    assert "in forward: return np.log(y * 0) # this very line" in text
    assert "in the module Net" in text
    with tg.no_grad():
        net.layer.weight[...] = 1e38
    text = message(lambda: net(np.full((1, 2), 100, np.float32)))
    assert "linear: infinity" in text
    assert "y = self.layer(x)" in text
    assert "in the module layer.Linear" in text


def test_backward_of_a_masked_branch():
    def f():
        x = leaf(0.0, 4.0)
        y = np.where(x > 1, np.sqrt(x), 0.0)  # the masked line
        y.sum().backward()

    text = message(f)
    assert text.startswith(
        "backward through sqrt: NaN in 1 of 2 elements of the gradient of its input x, the first at [0]"
    )
    assert "# the masked line" in text
    assert "x is 0, the incoming gradient is 0" in text
    assert "Guard the input, not the output: np.where(ok, sqrt(np.where(ok, x, 1)), 0)" in text


def test_the_advice_for_a_masked_branch_works():
    x = leaf(0.0, 4.0)
    with tg.detect_anomaly():
        ok = x > 1
        np.where(ok, np.sqrt(np.where(ok, x, 1)), 0).sum().backward()
    np.testing.assert_array_equal(x.grad.data, [0, 0.25])


def test_backward_at_a_pole():
    text = message(lambda: np.sum(np.sqrt(leaf(0.0, 1.0))).backward())
    assert "backward through sqrt: infinity in 1 of 2" in text
    assert "the slope of a square root at 0 is infinite" in text
    text = message(lambda: (leaf(0.0) ** 0.5).backward(np.ones(1)))
    assert "backward through power: infinity" in text


def test_a_users_rule_that_returns_nan_is_named():
    @tg.primitive(samples=[((2,),)])
    def wrong(x, /):
        return x * 1.0

    wrong.vjp(lambda g, y, x: g / (x - x))
    text = message(lambda: np.sum(wrong(leaf(1.0, 2.0))).backward())
    assert "backward through wrong: infinity in 2 of 2" in text
    assert "the slope of wrong is infinite or undefined there" in text


def test_what_is_meant_to_be_infinite_may_travel():
    x = leaf(1.0, 2.0, 3.0)
    mask = np.array([True, False, True])
    with tg.detect_anomaly():
        y = F.softmax(np.where(mask, x, -np.inf))
        (y[0] + F.log_softmax(np.where(mask, x, -np.inf))[2]).backward()
        np.maximum(x, -np.inf).sum().backward()
        F.logsumexp(np.where(mask, x, -np.inf)).backward()
    assert np.isfinite(x.grad.data).all()


def test_transforms_and_second_order_are_watched():
    message(lambda: tg.grad(lambda x: np.sum(np.sqrt(x)))(np.zeros(2)))
    message(lambda: tg.jvp(lambda x: np.log(x), np.zeros(2), np.ones(2)))
    message(lambda: tg.hessian(lambda x: np.sum(x**1.5))(np.zeros(2)))

    def second():
        x = leaf(0.0)
        (x**1.5).backward(np.ones(1), create_graph=True)
        x.grad.backward(np.ones(1))

    message(second)


def test_outside_the_block_nothing_is_watched():
    with np.errstate(all="ignore"):
        x = leaf(0.0)
        y = np.log(x)
        with tg.detect_anomaly():
            pass
        np.log(x)
        seen = []

        def elsewhere():
            with np.errstate(all="ignore"):
                seen.append(np.log(leaf(0.0)).data[0])

        with tg.detect_anomaly():
            thread = threading.Thread(target=elsewhere)
            thread.start()
            thread.join()
        assert seen == [-np.inf]
        assert not np.isfinite(y.data[0])
    with tg.detect_anomaly(), tg.no_grad():
        assert np.log(leaf(0.0)).data[0] == -np.inf  # nothing is recorded, nothing is looked at
        with tg.enable_grad(), pytest.raises(NonFiniteError):
            np.log(leaf(0.0))


def test_a_good_training_step_passes():
    model = tg.nn.MLP([4, 8, 3], rng=0)
    opt = tg.optim.SGD(model.parameters(), lr=0.1)
    rng = np.random.default_rng(0)
    with tg.detect_anomaly():
        for _ in range(3):
            opt.zero_grad()
            F.cross_entropy(model(rng.random((6, 4), np.float32)), rng.integers(0, 3, 6)).backward()
            opt.step()


def test_several_results_and_complex_numbers():
    @tg.primitive()
    def both(x, /):
        return x, 1 / x

    both.vjp(lambda g, y, x: g[0] - g[1] * y[1] ** 2)
    assert "both: infinity in 1 of 2" in message(lambda: both(leaf(0.0, 1.0)))
    z = tg.tensor([0j, 1j], requires_grad=True)
    assert "log: infinity in 1 of 2" in message(lambda: np.log(z))


# -- gradients that arrive, and tangents ---------------------------------------------------------


def test_a_bad_gradient_that_no_rule_made_is_found():
    text = message(lambda: (leaf(1.0, 2.0) * 2).backward(np.array([1.0, np.nan])))
    assert text.startswith(
        "backward: NaN in 1 of 2 elements of the gradient that arrives at the result of multiply, the first at [1]"
    )
    assert "it was passed to backward(), returned by a hook" in text

    def hooked():
        x = leaf(1.0, 2.0)
        x.name = "weight"
        x.register_hook(lambda g: g * np.inf)
        np.sum(x * 2).backward()

    assert "infinity in 2 of 2 elements of the gradient that arrives at the leaf weight" in message(hooked)


@pytest.mark.parametrize("inner", [False, True])
def test_gradients_whose_sum_overflows_are_found(inner):
    def f():
        x = leaf(1e-10)
        y = x * 1.5 if inner else x
        np.sum(y * 1e308 + y * 1e308).backward()

    where = "the result of multiply" if inner else "the leaf"
    assert f"the gradient that arrives at {where}, the first at [0]" in message(f)


def test_a_gradient_too_large_for_its_dtype_is_found():
    @tg.primitive()
    def large(x, /):
        return x * 1

    large.vjp(lambda g, y, x: g.astype(np.float64) * 1e100)
    text = message(lambda: np.sum(large(leaf(1.0, dtype=np.float32))).backward())
    assert text.startswith("backward through large: infinity in 1 of 1")


def test_forward_mode_is_watched():
    text = message(lambda: tg.jvp(np.sqrt, np.array([1.0, 0.0]), np.ones(2)))
    assert text.startswith(
        "forward through sqrt: infinity in 1 of 2 elements of the change of its result, the first at [1]"
    )
    assert "there input x is 0, the change of x is 1" in text
    assert "test_anomaly.py" in text
    assert "the slope of a square root at 0 is infinite" in text
    text = message(lambda: tg.hvp(lambda x: np.sum(x**1.5), np.zeros(2), np.ones(2)))
    assert text.startswith("forward through power: infinity")
    with tg.detect_anomaly():
        tg.hvp(lambda x: np.sum(np.linalg.norm(x) * np.sort(x)), np.ones(2), np.ones(2))


def test_an_operation_is_named_in_a_recorded_backward_pass_too():
    def f():
        x = leaf(0.0)
        y = np.sqrt(x)  # the line to blame
        y.backward(np.ones(1), create_graph=True)

    text = message(f)
    assert text.startswith("backward through sqrt: infinity")
    assert "# the line to blame" in text


def test_a_new_infinity_beside_one_that_was_passed_in_is_found():
    mask = np.array([True, True, False])
    text = message(lambda: np.exp(np.where(mask, leaf(1.0, 1000.0, 1.0), -np.inf)))
    assert text.startswith("exp: infinity in 1 of 3")
    assert "x is 1000" in text


def test_infinities_that_cancel_are_explained():
    for f in (lambda: leaf(0.0) * np.inf, lambda: leaf(1.0) * np.inf - np.inf):
        assert "infinity minus infinity, 0 times infinity" in message(f)


# -- arrays that are overwritten after they were saved ---------------------------------------------


def accumulate(w):
    buffer, total = np.zeros(2), 0
    for i in range(3):
        buffer += i
        total = total + np.sum(w * buffer)  # the line to blame
    return total


def saved_and_overwritten(build, saved, index=..., value=0):
    def f():
        result = build(leaf(1.0, 2.0), saved)
        saved[index] = value
        np.sum(result).backward()

    return f


OVERWRITTEN = [
    ("a buffer", lambda: tg.grad(accumulate)(np.ones(2)), "input b, an array of shape (2,)"),
    ("forward", lambda: tg.jvp(accumulate, np.ones(2), np.ones(2)), "multiply"),
    ("twice", lambda: tg.hessian(lambda w: accumulate(w * w))(np.ones(2)), "multiply"),
    ("a factor", saved_and_overwritten(lambda w, x: w * x, np.ones(2)), "multiply"),
    ("one element", saved_and_overwritten(lambda w, x: w * x, np.ones((3, 2)), (1, 0), 2.0), "(3, 2)"),
    ("a column", saved_and_overwritten(lambda w, x: w * x[:, 1], np.ones((2, 2))), "multiply"),
    ("the array of a Tensor", saved_and_overwritten(lambda w, x: w * tg.Tensor(x), np.ones(2)), "multiply"),
    ("indices", saved_and_overwritten(lambda w, i: w[i], np.array([1, 1])), "getitem"),
    ("a mask", saved_and_overwritten(lambda w, m: np.where(m, w, 1.0), np.array([True, False])), "condition"),
    ("a batch", saved_and_overwritten(lambda w, x: x @ w, np.ones((3, 2), np.float32)), "matmul"),
]


@for_each("name, f, expected", OVERWRITTEN, ids=[case[0] for case in OVERWRITTEN])
def test_an_array_that_is_overwritten_after_it_was_saved_is_found(name, f, expected):
    with pytest.raises(GradientError, match="was overwritten after") as raised, tg.detect_anomaly():
        f()
    text = " ".join(str(raised.value).split())
    assert expected in text
    assert "test_anomaly.py" in text
    assert "w * array.copy()" in text


@tg.primitive()
def scaled_by_a_setting(x, /, by):
    """A product whose factor is no array argument."""
    return x * by


scaled_by_a_setting.vjp(lambda g, y, x, by: g * by)


def test_an_array_among_the_settings_is_watched_too():
    by = np.ones(2)
    with pytest.raises(GradientError, match="setting by, an array"), tg.detect_anomaly():
        saved_and_overwritten(scaled_by_a_setting, by)()


def test_the_argument_of_a_transform_is_watched_too():
    x = np.ones(3)

    def f(y):
        total = np.sum(y**2)
        x[0] = 5.0
        return total

    with pytest.raises(GradientError, match="power: its input a"), tg.detect_anomaly():
        tg.grad(f)(x)


def test_buffers_that_no_gradient_depends_on_may_be_used_again():
    batch, w = np.ones(2), leaf(1.0, 2.0)
    with tg.detect_anomaly():
        for i in range(3):
            loss = np.sum(w + batch) + np.sum(np.concatenate([w, batch]))
            batch[:] = i
            loss.backward()
        for i in range(3):
            batch[:] = i
            np.sum(w * batch).backward()
    assert w.grad.tolist() == [9.0, 9.0]


def test_a_parameter_that_was_updated_has_its_own_error():
    w = leaf(1.0, 2.0)
    with tg.detect_anomaly():
        loss = np.sum(w * w)
        with tg.no_grad():
            w -= 1
        with pytest.raises(GradientError, match="changed in place after multiply"):
            loss.backward()


def test_a_change_that_is_recorded_is_blamed_and_not_one_of_its_steps():
    assert message(lambda: tg.jvp(np.sqrt, (leaf(0.0),), (np.ones(1),))).startswith(
        "forward through sqrt: infinity"
    )
