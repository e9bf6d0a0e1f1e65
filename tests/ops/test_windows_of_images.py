"""Convolutions, pools, norms and embeddings: values by hand, what they refuse, and what programs make of them."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import for_each

import tinygrad_mnist as tg
from tinygrad_mnist.errors import DTypeError, OptionError, ShapeError
from tinygrad_mnist.nn import functional as F  # noqa: N812
from tinygrad_mnist.ops import kernels

attend = F.scaled_dot_product_attention

X = np.arange(16.0).reshape(1, 1, 4, 4)
RNG = np.random.default_rng(0)


def sums_of_windows(x, w, stride):
    """A convolution as a book writes it down."""
    n, _, height, width = x.shape
    features, _, kh, kw = w.shape
    y = np.zeros((n, features, (height - kh) // stride + 1, (width - kw) // stride + 1))
    for place in np.ndindex(y.shape):
        i, f, r, c = place
        y[place] = np.sum(x[i, :, r * stride : r * stride + kh, c * stride : c * stride + kw] * w[f])
    return y


@pytest.mark.parametrize("stride", [1, 2])
def test_convolution_by_definition(stride):
    x, w = RNG.normal(size=(2, 3, 6, 5)), RNG.normal(size=(4, 3, 3, 2))
    np.testing.assert_allclose(F.conv2d(x, w, stride=stride), sums_of_windows(x, w, stride), rtol=1e-12)


def test_results_by_hand():
    np.testing.assert_array_equal(F.conv2d(X, np.array([[[[0.0, 1.0], [-1.0, 0.0]]]]))[0, 0, 0], [-3, -3, -3])
    np.testing.assert_array_equal(
        F.conv1d(np.array([[1.0, 2.0, 4.0]]), np.array([[[1.0, -1.0]]])), [[-1, -2]]
    )
    np.testing.assert_array_equal(F.max_pool2d(X, 2)[0, 0], [[5, 7], [13, 15]])
    np.testing.assert_array_equal(F.avg_pool2d(X, 2)[0, 0], [[2.5, 4.5], [10.5, 12.5]])
    x = tg.tensor([[[1.0, 1.0], [0.0, 1.0]]], requires_grad=True)
    np.sum(F.max_pool2d(x, 2)).backward()
    assert x.grad.tolist() == [[[1, 0], [0, 0]]]  # the first of the largest


def test_the_batch_is_last_in_memory_and_stays_there():
    """No layer turns the axes again, forward or back."""
    w = tg.nn.Parameter(RNG.normal(size=(2, 2, 3, 3)))
    h = F.conv2d(RNG.normal(size=(8, 2, 5, 5)), w, padding=1)
    for y in (h, F.relu(h), h * 2 + np.ones((2, 1, 1)), F.batch_norm(h, training=True), F.max_pool2d(h, 2)):
        assert np.transpose(y.data, (1, 2, 3, 0)).flags.c_contiguous
    turned = kernels.batch_last(F.relu(h).data)
    assert np.shares_memory(kernels.batch_last(kernels.batch_first(turned)), turned)


def test_an_empty_batch():
    x, w = tg.tensor(np.zeros((0, 2, 4, 4)), requires_grad=True), tg.nn.Parameter(np.ones((3, 2, 2, 2)))
    y = F.max_pool2d(F.conv2d(x, w), 3)
    assert y.shape == (0, 3, 1, 1)
    np.sum(y).backward()
    assert (x.grad.shape, w.grad.tolist()) == (x.shape, np.zeros(w.shape).tolist())


REFUSED = [
    (lambda: F.conv2d(X, np.ones((2, 3, 2, 2))), ShapeError, r"1 channels, of shape \(1, 1, 4, 4\).*takes 3"),
    (lambda: F.conv2d(X, np.ones((2, 1, 5, 5))), ShapeError, r"conv2d: .*height is 4: 5 > 4.*padding=1"),
    (lambda: F.conv2d(X, np.ones((2, 1, 2, 3)), dilation=(1, 3)), ShapeError, "3 apart.*width is 4: 7 > 4"),
    (lambda: F.conv2d(X, np.ones((3, 1, 2, 2)), groups=0), OptionError, "groups=0"),
    (lambda: F.conv2d(np.ones((1, 4, 4, 4)), np.ones((3, 2, 2, 2)), groups=2), ShapeError, "3 features .* 2 groups"),
    (lambda: F.conv2d(X, np.ones((3, 1, 2, 2)), np.ones(2)), ShapeError, r"bias of shape \(2,\); expected \(3,\)"),
    (lambda: F.conv2d(X[0, 0], np.ones((3, 1, 2, 2))), ShapeError, r"shape \(4, 4\); expected \(N, C, H, W\)"),
    (lambda: F.conv2d(X, np.ones((3, 1, 2))), ShapeError, r"weight of shape \(3, 1, 2\)"),
    (lambda: F.conv2d(X, np.ones((3, 1, 2, 2)), stride=0), OptionError, "stride=0"),
    (lambda: F.conv2d(X, np.ones((3, 1, 2, 2)), stride=1.5), OptionError, "stride=1.5"),
    (lambda: F.conv2d(X, np.ones((3, 1, 2, 2)), padding="full"), OptionError, "padding of conv2d 'full'"),
    (lambda: F.conv2d(X, np.ones((3, 1, 2, 2)), padding="same", stride=2), OptionError, "only with stride=1"),
    (lambda: F.conv1d(X, np.ones((3, 1, 2))), ShapeError, r"expected \(N, C, L\)"),
    (lambda: F.conv1d(X[0], np.ones((3, 4, 5))), ShapeError, "conv1d"),
    (lambda: F.conv_transpose2d(X, np.ones((2, 1, 2, 2))), ShapeError, "conv_transpose2d: an input with 1 channels"),
    (lambda: F.conv_transpose2d(X, np.ones((1, 1, 2, 2)), output_padding=1), OptionError, "smaller than the stride"),
    (lambda: F.conv_transpose2d(X, np.ones((1, 1, 2, 2)), padding=3), ShapeError, "-1 × -1"),
    (lambda: F.max_pool2d(X, 5), ShapeError, "max_pool2d: .*height is 4: 5 > 4"),
    (lambda: F.max_pool2d(X, 2, padding=2), OptionError, "more than half a window"),
    (lambda: F.avg_pool2d(X, 2, divisor_override=0), OptionError, "must not be 0"),
    (lambda: F.adaptive_avg_pool2d(X, 0), OptionError, "output_size"),
    (lambda: F.batch_norm(np.ones((1, 3)), training=True), ShapeError, "single value for each channel"),
    (lambda: F.batch_norm(np.ones((2, 3)), np.ones(3)), OptionError, "running_mean and running_var"),
    (lambda: F.batch_norm(np.ones((2, 3)), training=True, weight=np.ones(2)), ShapeError, r"has the shape \(2,\)"),
    (lambda: F.batch_norm(np.ones(3), training=True), ShapeError, "no axis of channels"),
    (lambda: F.layer_norm(np.ones((2, 3)), 2), ShapeError, r"\(2, 3\) does not end with normalized_shape=\(2,\)"),
    (lambda: F.group_norm(np.ones((2, 3)), 2), OptionError, "3 channels .* 2 groups"),
    (lambda: F.embedding(np.array([0, 4]), np.ones((4, 2))), OptionError, "from 0 to 4 are out of range.*0 to 3"),
    (lambda: F.embedding(np.array([-1]), np.ones((4, 2))), OptionError, "from -1 to -1 are out of range"),
    (lambda: F.embedding(np.ones((4, 2)), np.array([0])), ShapeError, "weight of shape"),
    (lambda: F.embedding(np.ones(3), np.ones((4, 2))), DTypeError, "must be integers, not float64"),
    (lambda: F.embedding(np.array([1]), np.ones((4, 2)), 4), OptionError, "padding_idx=4"),
]  # fmt: skip


@for_each("call, error, message", REFUSED)
def test_what_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


MORE_REFUSED = [
    (lambda: F.unfold(X, 5), ShapeError, "unfold: .*5 > 4"),
    (
        lambda: F.fold(np.ones((4, 3)), 3, 2),
        ShapeError,
        r"2 × 2 windows of 2 × 2, so it must be \(N, C \* 4, 4\)",
    ),
    (lambda: F.interpolate(X, mode="bilinear"), OptionError, "either size or scale_factor"),
    (lambda: F.interpolate(X, 8, mode="cubic"), OptionError, "valid: bilinear, linear"),
    (lambda: F.interpolate(X[0], 8, mode="bilinear"), ShapeError, "takes 4 axes"),
    (lambda: F.interpolate(X, scale_factor=0.1), ShapeError, r"would become \(1, 1, 0, 0\)"),
    (lambda: F.interpolate(X, 8, align_corners=True), OptionError, "align_corners is for straight lines"),
    (
        lambda: attend(np.ones((3, 2)), np.ones((4, 3)), np.ones((4, 3))),
        ShapeError,
        "the same number of features",
    ),
    (lambda: attend(np.ones((3, 2)), np.ones((4, 2)), np.ones((3, 2))), ShapeError, "each key a value"),
    (
        lambda: attend(*[np.ones((3, 2))] * 3, np.ones((2, 3), bool)),
        ShapeError,
        r"mask of shape \(2, 3\) .* \(3, 3\)",
    ),
    (lambda: attend(*[np.ones((3, 2))] * 3, np.ones((3, 3), int)), DTypeError, "a mask of int64"),
    (lambda: attend(*[np.ones((3, 2))] * 3, np.ones((3, 3), bool), is_causal=True), OptionError, "not both"),
    (lambda: attend(np.ones((3, 3, 2)), *[np.ones((2, 3, 2))] * 2, enable_gqa=True), ShapeError, "multiple"),
    (
        lambda: F.binary_cross_entropy(np.array([1.5]), np.array([1.0])),
        OptionError,
        "input holds .*with_logits",
    ),
    (
        lambda: F.binary_cross_entropy(np.array([0.5]), np.array([2.0])),
        OptionError,
        "target holds numbers outside",
    ),
    (lambda: F.hinge_loss(np.ones(2), np.array([0, 1])), OptionError, "-1 and 1"),
    (
        lambda: F.multi_margin_loss(np.ones((2, 3)), np.array([0, 3])),
        OptionError,
        "out of range; there are 3",
    ),
    (lambda: F.multi_margin_loss(np.ones((2, 3)), np.array([0, 1]), p=3), OptionError, "p=3; valid: 1, 2"),
    (lambda: F.kl_div(np.ones(2), np.ones(2), reduction="all"), OptionError, "valid: batchmean, mean"),
    (lambda: F.cross_entropy(np.ones((2, 3)), np.array([0, 1]), np.ones(2)), ShapeError, r"expected \(3,\)"),
    (
        lambda: F.cross_entropy(np.ones((2, 3)), np.ones((2, 3)), ignore_index=1),
        OptionError,
        "is for classes",
    ),
    (lambda: F.cross_entropy(np.ones((2, 3)), np.array([0, -101])), OptionError, "out of range"),
]


@for_each("call, error, message", MORE_REFUSED)
def test_what_else_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


# -- compiled ------------------------------------------------------------------------------------


def normal(*shape):
    return RNG.normal(size=shape)


CLASSES, SHARES = np.array([0, 3, 1, 1, 2]), RNG.dirichlet(np.ones(4), 5)
MASK = np.array([[True, False, True, True], [False] * 4, [True, True, False, False]])
TOKENS = normal(2, 3, 4), normal(2, 4, 4), normal(2, 4, 5)
IMAGES = normal(2, 4, 6, 5)
COMPILED = {
    "conv1d": (lambda x, w, b: F.conv1d(x, w, b, padding="same"), normal(2, 3, 7), normal(4, 3, 3), normal(4)),
    "conv2d": (lambda x, w: F.conv2d(x, w, stride=2, padding=1, groups=2), IMAGES, normal(4, 2, 3, 3)),
    "conv_transpose2d": (lambda x, w: F.conv_transpose2d(x, w, stride=2), IMAGES, normal(4, 2, 3, 3)),
    "max_pool2d": (lambda x: F.max_pool2d(x, 3, 2, 1), IMAGES),
    "avg_pool2d": (lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True), IMAGES),
    "adaptive_avg_pool2d": (lambda x: F.adaptive_avg_pool2d(x, 3), IMAGES),
    "unfold": (lambda x: F.unfold(x, 2, padding=1), IMAGES),
    "fold": (lambda x: F.fold(x, 3, 2), normal(2, 8, 4)),
    "nearest": (lambda x: F.interpolate(x, scale_factor=2), IMAGES),
    "bilinear": (lambda x: F.interpolate(x, (7, 3), mode="bilinear"), IMAGES),
    "batch_norm": (lambda x, w: F.batch_norm(x, weight=w, training=True), IMAGES, normal(4)),
    "layer_norm": (lambda x, w, b: F.layer_norm(x, (5,), w, b), normal(3, 5), normal(5), normal(5)),
    "group_norm": (lambda x, w: F.group_norm(x, 2, w), IMAGES, normal(4)),
    "embedding": (lambda w: F.embedding(np.array([[0, 3], [3, 1]]), w, padding_idx=1), normal(5, 3)),
    "attention": (F.scaled_dot_product_attention, *TOKENS),
    "masked attention": (lambda *x: F.scaled_dot_product_attention(*x, MASK), *TOKENS),
    "silu": (F.silu, IMAGES),
    "kl_div": (lambda x: F.kl_div(x, SHARES), np.log(SHARES) + 0.1),
    "cosine_similarity": (F.cosine_similarity, normal(3, 4), normal(3, 4)),
    "binary_cross_entropy": (lambda x: F.binary_cross_entropy(x, SHARES), RNG.uniform(0.1, 0.9, (5, 4))),
    "hinge_loss": (lambda x: F.hinge_loss(x, np.sign(SHARES - 0.3)), normal(5, 4)),
    "multi_margin_loss": (lambda x: F.multi_margin_loss(x, CLASSES), normal(5, 4)),
    "cross_entropy": (lambda x: F.cross_entropy(x, CLASSES, SHARES[0], ignore_index=1), normal(5, 4)),
}  # fmt: skip


@for_each("name", COMPILED)
def test_compiled_gradients_are_the_same(name):
    check_compiled(name, "numpy")


def check_compiled(name, backend):
    f, *values = COMPILED[name]

    def total(*args):
        y = f(*args)
        return np.sum(np.square(y) * np.linspace(1, 2, y.size).reshape(y.shape))

    gradients = tg.value_and_grad(total, tuple(range(len(values))))
    compiled = tg.compile(gradients, backend=backend)
    for k in (1, 2):
        found, expected = (g(*(np.abs(v) / k if "binary" in name else v / k for v in values))
                           for g in (compiled, gradients))  # fmt: skip
        for a, b in zip((found[0], *found[1]), (expected[0], *expected[1]), strict=True):
            np.testing.assert_allclose(getattr(a, "data", a), getattr(b, "data", b), rtol=1e-11, atol=1e-13)


def network(x, y, weights):
    w1, b1, scale, w2, w3 = weights
    h = F.relu(F.batch_norm(F.conv2d(x, w1, b1, padding="same"), training=True, weight=scale))
    h = F.max_pool2d(h, 2) + F.avg_pool2d(h, 2)
    h = F.adaptive_avg_pool2d(F.relu(F.conv2d(h, w2, stride=2, padding=1)), 1)
    return F.cross_entropy(F.linear(np.reshape(h, (len(x), -1)), w3), y)


def make_weights():
    shapes = (4, 2, 3, 3), (4,), (4,), (3, 4, 3, 3), (3, 3)
    rng = np.random.default_rng(1)
    return [tg.nn.Parameter(rng.normal(size=shape)) for shape in shapes]


def test_programs_compute_the_same_and_turn_images_once():
    x, y = RNG.normal(size=(6, 2, 6, 6)), RNG.integers(0, 3, 6)
    plain = make_weights()
    network(x, y, plain).backward()
    weights = make_weights()
    step = tg.compile(lambda x, y: network(x, y, weights), optimizer=tg.optim.SGD(weights, lr=1.0))
    loss = step(x, y)
    np.testing.assert_allclose(loss.data, network(x, y, plain).data, rtol=1e-12)
    for a, b in zip(plain, weights, strict=True):
        np.testing.assert_allclose(b.data, a.data - a.grad.data, rtol=1e-9, atol=1e-12)
    for function in ("correlate", "spread", "filters", "spread_max", "spread_sum"):
        assert f"{function}(" in step.source
    # Elementwise functions and sums take images as they lie. What comes in is turned: images, and on the way back
    # the gradient of the last ones.
    assert step.source.count("(1, 2, 3, 0)") == 2
    assert "(0, 2, 3)" not in step.source


def every_kernel(x, w1, w2):
    h = F.conv2d(x, w1, padding="same", dilation=(2, 1), groups=2)
    h = F.max_pool2d(F.silu(h), 3, (2, 1), 1)
    h = F.conv_transpose2d(h, w2, stride=(1, 2), padding=1, output_padding=(0, 1))
    return np.sum(np.square(F.avg_pool2d(h, (2, 3), (1, 2), 1)))


@pytest.mark.thorough
def test_machine_code_of_all_kernels():
    """A warning would say that a part has none, and would be an error here."""
    pytest.importorskip("numba")
    values = normal(3, 4, 7, 6), normal(4, 2, 2, 3), normal(4, 3, 3, 2)
    gradients = tg.value_and_grad(every_kernel, (0, 1, 2))
    compiled = tg.compile(gradients, backend="numba")
    for k in (1.0, -0.5):
        (y, found), (z, expected) = (g(*(k * v for v in values)) for g in (compiled, gradients))
        np.testing.assert_allclose(y, z, rtol=1e-11)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11 * np.abs(b).max())


@pytest.mark.thorough
def test_machine_code_of_the_largest_where_several_are():
    pytest.importorskip("numba")
    x = RNG.integers(0, 2, (2, 1, 6, 6)).astype(float)
    x[0, 0, 2, 3] = np.nan
    x[1, 0, :2, :2] = -np.inf

    def total(x):
        y = F.max_pool2d(x, 2, padding=1)
        return np.sum(np.where(np.isfinite(y), y, 0) * np.linspace(1, 2, y.size).reshape(y.shape)), y

    gradient = tg.value_and_grad(total, has_aux=True)
    (results, g), (expected, h) = tg.compile(gradient, backend="numba")(x), gradient(x)
    np.testing.assert_array_equal(np.asarray(results[1]), np.asarray(expected[1]))
    np.testing.assert_array_equal(g, h)


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore:compile. there is no machine code")
@pytest.mark.parametrize("name", COMPILED)
def test_machine_code_is_the_same(name):
    pytest.importorskip("numba")
    check_compiled(name, "numba")


def test_programs_store_words_as_rows():
    """A turned table would have to be turned back for every gradient."""
    words, w = (tg.nn.Parameter(RNG.normal(size=s).astype(np.float32)) for s in ((50, 4), (3, 4)))
    step = tg.compile(
        lambda x, y: F.cross_entropy(F.linear(F.embedding(x, words), w), y),
        optimizer=tg.optim.SGD([words, w], lr=1),
    )
    step(RNG.integers(0, 50, 600), RNG.integers(0, 3, 600))
    assert words.data.flags.c_contiguous
    assert w.data.flags.f_contiguous


def test_programs_reject_bad_indices_in_every_call():
    table = tg.nn.Parameter(np.ones((4, 2)))
    look_up = tg.compile(lambda words: F.embedding(words, table))
    assert look_up(np.array([0, 3])).shape == (2, 2)
    with pytest.raises(OptionError, match="out of range"):
        look_up(np.array([0, 4]))


def test_an_argument_that_has_the_name_of_a_kernel():
    w = np.ones((1, 1, 2, 2))
    f = tg.compile(lambda correlate: F.conv2d(correlate, w))
    np.testing.assert_array_equal(f(X), F.conv2d(X, w))
    assert "correlate_2" in f.source


def test_running_statistics_in_programs():
    for compiled in (False, True):
        mean, var = np.zeros(2), np.ones(2)

        def centred(x, mean=mean, var=var):
            return F.batch_norm(x, mean, var, training=True, momentum=0.5)

        f = tg.compile(centred) if compiled else centred
        x = np.array([[1.0, 10.0], [3.0, 30.0]])
        for _ in range(2):
            f(x)
        np.testing.assert_allclose(mean, [1.5, 15.0])
        np.testing.assert_allclose(var, [1.75, 150.25])
