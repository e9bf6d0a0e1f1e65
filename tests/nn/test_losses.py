"""Losses: their formulas, written again in plain NumPy, their extremes, and what they refuse."""

from __future__ import annotations

import math

import numpy as np
import pytest
from helpers import for_each

import tinygrad_mnist as tg
from tinygrad_mnist import nn, tensor
from tinygrad_mnist.errors import DTypeError, OptionError, ShapeError
from tinygrad_mnist.nn import functional as F  # noqa: N812

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(5, 4)) * 2
CLASSES = np.array([0, 3, 1, 1, 2])
PROBABILITIES = RNG.dirichlet(np.ones(4), size=5)
A, B = RNG.normal(size=(3, 4)), RNG.normal(size=(3, 4))
BITS = RNG.uniform(size=(3, 4))
INF = math.inf


def log_softmax(x, axis=1):
    return x - np.log(np.sum(np.exp(x), axis=axis, keepdims=True))


def huber(a, b, delta):
    error = np.abs(a - b)
    return np.where(error < delta, error**2 / 2, delta * (error - delta / 2))


ELEMENTWISE = [
    ("mse", F.mse_loss, A, B, (A - B) ** 2),
    ("l1", F.l1_loss, A, B, np.abs(A - B)),
    ("huber", F.huber_loss, A, B, huber(A, B, 1.0)),
    ("huber 0.3", lambda a, b, **k: F.huber_loss(a, b, delta=0.3, **k), A, B, huber(A, B, 0.3)),
    (
        "bce",
        F.binary_cross_entropy_with_logits,
        A,
        BITS,
        -(BITS * np.log(1 / (1 + np.exp(-A))) + (1 - BITS) * np.log(1 / (1 + np.exp(A)))),
    ),
    ("cross-entropy", F.cross_entropy, LOGITS, CLASSES, -log_softmax(LOGITS)[np.arange(5), CLASSES]),
    (
        "soft cross-entropy",
        F.cross_entropy,
        LOGITS,
        PROBABILITIES,
        -(PROBABILITIES * log_softmax(LOGITS)).sum(1),
    ),
    ("nll", F.nll_loss, log_softmax(LOGITS), CLASSES, -log_softmax(LOGITS)[np.arange(5), CLASSES]),
    (
        "soft nll",
        F.nll_loss,
        log_softmax(LOGITS),
        PROBABILITIES,
        -(PROBABILITIES * log_softmax(LOGITS)).sum(1),
    ),
]
cases = pytest.mark.parametrize(
    ("loss", "x", "target", "each"), [pytest.param(*c, id=name) for name, *c in ELEMENTWISE]
)


@cases
def test_formula_and_reductions(loss, x, target, each):
    for kind in (np.asarray, tensor):
        np.testing.assert_allclose(np.asarray(loss(kind(x), target, reduction="none")), each, rtol=1e-12)
        np.testing.assert_allclose(float(loss(kind(x), target)), each.mean(), rtol=1e-12)
        np.testing.assert_allclose(
            float(loss(kind(x), kind(target), reduction="sum")), each.sum(), rtol=1e-12
        )


@cases
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_gradients_to_second_order(loss, x, target, each, reduction):
    assert tg.testing.gradcheck(lambda t: loss(t, target, reduction=reduction), x, order=2)
    if target.dtype.kind == "f":
        assert tg.testing.gradcheck(lambda t, v: loss(t, v, reduction=reduction), x, target, order=2)


@cases
def test_dtype_is_that_of_the_input(loss, x, target, each):
    t = tensor(x, dtype=np.float32, requires_grad=True)
    for given in (target, target.astype(np.float32) if target.dtype.kind == "f" else target.astype(np.uint8)):
        y = loss(t, given)
        assert y.dtype == np.float32
        t.zero_grad()
        y.backward()
        assert t.grad.dtype == np.float32
        np.testing.assert_allclose(y.item(), each.mean(), rtol=1e-5)


@cases
def test_unknown_reduction(loss, x, target, each):
    with pytest.raises(OptionError, match=r"unknown reduction 'avg'.*mean.*none.*sum"):
        loss(tensor(x), target, reduction="avg")


def test_gradient_of_cross_entropy_is_softmax_minus_target():
    t = tensor(LOGITS, requires_grad=True)
    F.cross_entropy(t, CLASSES).backward()
    expected = (np.exp(log_softmax(LOGITS)) - np.eye(4)[CLASSES]) / 5
    np.testing.assert_allclose(t.grad.data, expected, rtol=1e-12)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("target", [CLASSES, PROBABILITIES], ids=["classes", "probabilities"])
def test_label_smoothing(smoothing, target):
    weights = np.eye(4)[target] if target.dtype.kind == "i" else target
    weights = (1 - smoothing) * weights + smoothing / 4
    expected = -(weights * log_softmax(LOGITS)).sum(1).mean()
    assert float(F.cross_entropy(LOGITS, target, label_smoothing=smoothing)) == pytest.approx(
        expected, rel=1e-12
    )
    assert tg.testing.gradcheck(
        lambda t: F.cross_entropy(t, target, label_smoothing=smoothing), LOGITS, order=2
    )
    for bad in (-0.1, 1.0, math.nan):
        with pytest.raises(OptionError, match="label_smoothing"):
            F.cross_entropy(LOGITS, target, label_smoothing=bad)


@pytest.mark.parametrize("shape", [(4,), (2, 4), (2, 4, 3), (2, 4, 3, 2), (0, 4)])
def test_the_class_axis(shape):
    x = RNG.normal(size=shape)
    axis = 0 if len(shape) == 1 else 1
    targets = RNG.integers(0, 4, shape[:axis] + shape[axis + 1 :])
    each = -np.take_along_axis(log_softmax(x, axis), np.expand_dims(targets, axis), axis).squeeze(axis)
    np.testing.assert_allclose(F.cross_entropy(x, targets, reduction="none"), each, rtol=1e-12)
    if each.size:
        assert float(F.cross_entropy(x, targets)) == pytest.approx(each.mean())
        one_hot = np.moveaxis(np.eye(4)[targets], -1, axis)
        assert float(F.cross_entropy(x, one_hot)) == pytest.approx(each.mean())
        assert tg.testing.gradcheck(lambda t: F.cross_entropy(t, targets), x, order=2)


@pytest.mark.parametrize("kind", [list, tuple, np.uint8, np.int32, np.uint64, tensor])
def test_classes_of_any_integer_kind(kind):
    assert float(F.cross_entropy(LOGITS, kind(CLASSES))) == pytest.approx(
        float(F.cross_entropy(LOGITS, CLASSES))
    )


# -- extremes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e4, 1e30])
def test_huge_logits_never_overflow(dtype, scale):
    x = np.array([[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0]], dtype) * dtype(scale)
    t = tensor(x, requires_grad=True)
    y = F.cross_entropy(t, [0, 0])
    assert y.item() == pytest.approx(scale, rel=1e-6)
    y.backward()
    np.testing.assert_allclose(t.grad.data, [[0, 0, 0], [-0.5, 0.5, 0]])
    t = tensor(x[:, 0], requires_grad=True)
    y = F.binary_cross_entropy_with_logits(t, np.array([1.0, 1.0], dtype))
    assert y.item() == pytest.approx(scale / 2, rel=1e-6)
    y.backward()
    np.testing.assert_allclose(t.grad.data, [0, -0.5], atol=1e-37)


def test_logits_at_the_ends_of_float32():
    x = np.array([[3e38, -3e38]], np.float32)
    for classes, bound in (([0], 0.0), ([1], 3e38)):
        with np.errstate(over="ignore"):
            y = float(F.cross_entropy(x, classes))
        assert not math.isnan(y)
        assert y >= bound


def test_classes_masked_with_minus_infinity():
    x = np.array([[0.0, -INF, 1.0], [-INF, 2.0, 2.0]])
    t = tensor(x, requires_grad=True)
    y = F.cross_entropy(t, [0, 1])
    assert y.item() == pytest.approx((math.log(1 + math.e) + math.log(2)) / 2)
    y.backward()
    share = math.e / (1 + math.e)
    np.testing.assert_allclose(t.grad.data, np.array([[-share, 0, share], [0, -0.5, 0.5]]) / 2, atol=1e-15)


def test_probabilities_of_zero_on_impossible_classes():
    x = np.array([[0.0, -INF]])
    assert float(F.cross_entropy(x, np.array([[1.0, 0.0]]))) == 0.0


@for_each("dtype", [np.float32, np.float64])
@for_each("logit", [3.0, 20.0, 40.0, 80.0])
@for_each("target", [0.0, 1.0])
def test_binary_cross_entropy_of_sure_and_right_answers(dtype, logit, target):
    """The loss and its slope are as small as they are, and not 0."""
    x = np.array([logit if target else -logit], dtype)
    expected = math.log1p(math.exp(-logit))
    loss, slope = tg.value_and_grad(F.binary_cross_entropy_with_logits)(x, np.array([target], dtype))
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    np.testing.assert_allclose(slope, [(1 - 2 * target) / (1 + math.exp(logit))], rtol=1e-6)


def test_binary_cross_entropy_keeps_small_losses():
    for x in (10.0, 20.0, 30.0):
        y = float(F.binary_cross_entropy_with_logits(np.array([x]), np.array([1.0])))
        assert y == pytest.approx(math.log1p(math.exp(-x)), abs=1e-14)


# -- mistakes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    ("loss", "outputs", "targets", "words"),
    [
        (F.binary_cross_entropy_with_logits, [0.5, 2.0], [-1.0, 1.0], "target holds numbers outside"),
        (F.binary_cross_entropy_with_logits, [0.5, 2.0], [0.0, 255.0], "target holds numbers outside"),
        (F.nll_loss, [[0.3, -2.0]], [1], "input holds numbers above 0"),
    ],
)
def test_losses_that_cannot_be_one_are_refused(compiled, loss, outputs, targets, words):
    outputs, targets = np.array(outputs), np.array(targets)
    possible = -abs(outputs), np.clip(targets, 0, 1)
    run = tg.compile(lambda x, y: loss(x, y)) if compiled else loss
    assert run(*possible) == pytest.approx(float(loss(*possible)))
    with pytest.raises(ValueError, match=words):
        run(outputs, targets)
    if loss is F.nll_loss:  # rounding is no mistake
        rounded = np.log(np.array([[1.0, 0.5]], np.float16) * np.float16(1.002))
        assert np.isfinite(run(rounded.astype(float), targets))


@pytest.mark.parametrize("bad", [[0, 3, 1, 1, 4], [0, -1, 1, 1, 2], [-101, 0, 0, 0, 0]])
@pytest.mark.parametrize("loss", [F.cross_entropy, F.nll_loss])
def test_classes_out_of_range(loss, bad):
    with pytest.raises(OptionError, match=rf"{loss.__name__}.*out of range"):
        loss(LOGITS, np.array(bad))


@pytest.mark.parametrize(
    "bad", [CLASSES.astype(float), CLASSES.astype(np.float32), CLASSES > 1, CLASSES + 0j]
)
def test_classes_that_are_no_integers(bad):
    with pytest.raises(DTypeError, match=r"integers.*astype\(int\)"):
        F.cross_entropy(LOGITS, bad)


@pytest.mark.parametrize(
    "bad",
    [np.zeros(4, int), np.zeros((5, 1), int), np.zeros((4, 5)), np.zeros((), int)],
)
def test_targets_that_do_not_fit(bad):
    with pytest.raises(ShapeError, match=r"cross_entropy.*\(5, 4\)"):
        F.cross_entropy(LOGITS, bad)


@pytest.mark.parametrize("dtype", [int, bool, np.uint8])
def test_a_number_for_each_class_must_be_a_float(dtype):
    with pytest.raises(
        DTypeError, match=r"\(5, 4\).*must be a float, not .*\.astype\(float\).*\.argmax\(axis=1\)"
    ):
        F.cross_entropy(LOGITS, np.eye(4, dtype=dtype)[[0, 1, 2, 3, 0]])


@pytest.mark.parametrize("loss", [F.cross_entropy, F.nll_loss])
def test_the_outputs_come_first(loss):
    with pytest.raises(
        DTypeError, match=r"int64 and shape \(5,\) does not hold a model's outputs.*come first"
    ):
        loss(CLASSES, LOGITS)


def test_logits_without_a_class_axis():
    with pytest.raises(ShapeError, match="cross_entropy"):
        F.cross_entropy(np.float64(1.0), np.array(0))


@for_each("loss", [F.mse_loss, F.l1_loss, F.huber_loss, F.binary_cross_entropy_with_logits])
@for_each("shape", [(5,), (1, 5), (5, 2), ()])
def test_elementwise_losses_do_not_broadcast(loss, shape):
    with pytest.raises(ShapeError, match=rf"{loss.__name__}.*\(5, 1\)"):
        loss(tensor(np.zeros((5, 1))), np.zeros(shape))


def test_huber_needs_a_positive_delta():
    for delta in (0.0, -1.0):
        with pytest.raises(OptionError, match="delta"):
            F.huber_loss(A, B, delta=delta)


# -- as modules ----------------------------------------------------------------------------------


@for_each(
    "module, function, x, target",
    [
        (nn.MSELoss(), F.mse_loss, A, B),
        (nn.L1Loss(reduction="sum"), lambda a, b: F.l1_loss(a, b, reduction="sum"), A, B),
        (nn.HuberLoss(delta=0.5), lambda a, b: F.huber_loss(a, b, delta=0.5), A, B),
        (nn.BCEWithLogitsLoss(), F.binary_cross_entropy_with_logits, A, BITS),
        (
            nn.CrossEntropyLoss(label_smoothing=0.2),
            lambda a, b: F.cross_entropy(a, b, label_smoothing=0.2),
            LOGITS,
            CLASSES,
        ),
        (
            nn.CrossEntropyLoss([1.0 + i for i in range(LOGITS.shape[1])], ignore_index=int(CLASSES[0])),
            lambda a, b: F.cross_entropy(
                a, b, np.arange(1, LOGITS.shape[1] + 1, dtype=np.float32), ignore_index=int(CLASSES[0])
            ),
            LOGITS,
            CLASSES,
        ),
        (
            nn.NLLLoss([1.0] * LOGITS.shape[1], ignore_index=int(CLASSES[0])),
            lambda a, b: F.nll_loss(a, b, ignore_index=int(CLASSES[0])),
            -abs(LOGITS),
            CLASSES,
        ),
        (
            nn.MultiMarginLoss(2, 0.5),
            lambda a, b: F.multi_margin_loss(a, b, p=2, margin=0.5),
            LOGITS,
            CLASSES,
        ),
        (nn.BCELoss(reduction="sum"), lambda a, b: F.binary_cross_entropy(a, b, reduction="sum"), BITS, BITS),
        (
            nn.KLDivLoss(reduction="sum", log_target=True),
            lambda a, b: F.kl_div(a, b, reduction="sum", log_target=True),
            A,
            B,
        ),
        (
            nn.NLLLoss(reduction="none"),
            lambda a, b: F.nll_loss(a, b, reduction="none"),
            -abs(LOGITS),
            CLASSES,
        ),
    ],
)
def test_modules_are_their_functions(module, function, x, target):
    np.testing.assert_array_equal(module(tensor(x), target).data, function(x, target))
    twin = nn.describe(module)
    assert twin["class"] == type(module).__name__
    assert repr(module).startswith(type(module).__name__ + "(")


def test_targets_of_minus_100_do_not_count():
    """As in PyTorch. A program assumes that there are none; where one comes, the function itself runs."""
    x, padded = LOGITS[:3], np.array([1, -100, 0])
    kept = np.array([0, 2])
    expected = F.cross_entropy(x[kept], padded[kept])
    for loss in (F.cross_entropy, nn.CrossEntropyLoss()):
        assert loss(x, padded) == pytest.approx(expected)
    assert F.cross_entropy(x, padded, reduction="none")[1] == 0
    program = tg.compile(F.cross_entropy)
    assert program(x, np.array([1, 1, 0])) == pytest.approx(F.cross_entropy(x, np.array([1, 1, 0])))
    with pytest.warns(UserWarning, match="ran uncompiled"):
        assert program(x, padded) == pytest.approx(expected)
    for other in ([1, -1, -100], [1, -101, 0]):
        with pytest.raises(OptionError, match="out of range"):
            F.cross_entropy(x, np.array(other))


def test_weights_of_classes_are_state():
    loss = nn.CrossEntropyLoss([1.0, 2.0], ignore_index=0)
    assert repr(loss) == "CrossEntropyLoss(ignore_index=0, label_smoothing=0.0, reduction='mean')"
    np.testing.assert_array_equal(loss.state_dict()["weight"], np.array([1, 2], np.float32), strict=True)
    assert nn.CrossEntropyLoss().state_dict() == {}


def test_repr_of_losses():
    assert (
        repr(nn.CrossEntropyLoss(label_smoothing=0.1))
        == "CrossEntropyLoss(label_smoothing=0.1, reduction='mean')"
    )
    assert repr(nn.MSELoss()) == "MSELoss(reduction='mean')"
