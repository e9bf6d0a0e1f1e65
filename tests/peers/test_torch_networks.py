"""A second opinion on convolutions, pools and norms: PyTorch's values, gradients and gradients of gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers import for_each

import tinygrad_mnist as tg
from tinygrad_mnist.nn import functional as F  # noqa: N812

torch = pytest.importorskip("torch", reason="PyTorch is not installed; these tests compare with it")
TF = torch.nn.functional
RNG = np.random.default_rng(0)


def compare(
    name: str, *values: Any, dtype: Any = np.float64, rtol: float = 1e-10, order: int = 2, **settings: Any
) -> None:
    """Values, gradients of a sum with weights that no symmetry hides in, and gradients of these."""
    mine = [tg.tensor(v, dtype=dtype, requires_grad=True) if is_real(v) else v for v in values]
    theirs = [
        torch.tensor(np.asarray(v, dtype), requires_grad=True) if is_real(v) else as_torch(v) for v in values
    ]
    y, z = getattr(F, name)(*mine, **settings), getattr(TF, name)(*theirs, **settings)
    same(y.data, z, rtol)
    weights = np.linspace(1, 2, y.size).reshape(y.shape).astype(dtype)
    np.sum((y * weights + 1) ** 3).backward(create_graph=True)
    leaves, others = ([x for x in xs if getattr(x, "requires_grad", False)] for xs in (mine, theirs))
    firsts: list[Any] = [x.grad for x in leaves]
    loss = ((z * torch.tensor(weights) + 1) ** 3).sum()
    for a, b in zip(
        firsts, expected := torch.autograd.grad(loss, others, create_graph=order > 1), strict=True
    ):
        same(a.data, b, rtol)
    if order == 1:
        return
    for x in leaves:
        x.zero_grad()
    total: Any = 0.0
    for g in firsts:
        total = total + np.sum(g**2)
    total.backward()
    for x, b in zip(leaves, torch.autograd.grad(sum((g**2).sum() for g in expected), others), strict=True):
        same(x.grad.data, b, rtol)


def is_real(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.dtype.kind == "f"


def as_torch(x: Any) -> Any:
    return torch.tensor(x) if isinstance(x, np.ndarray) else x


def same(a: np.ndarray, t: Any, rtol: float) -> None:
    b = t.detach().numpy()
    assert a.dtype == b.dtype
    np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * max(np.abs(b).max(initial=0), 1e-3))


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape)


CONVOLUTIONS: list[Any] = [
    ({}, (2, 3, 5, 4), (4, 3, 3, 2)),
    ({"stride": 2, "padding": 1}, (2, 2, 5, 6), (3, 2, 3, 3)),
    ({"stride": (2, 3), "padding": (2, 0), "dilation": (1, 2)}, (1, 2, 6, 7), (2, 2, 3, 2)),
    ({"padding": "same", "dilation": 2}, (2, 2, 5, 4), (2, 2, 2, 3)),
    ({"padding": "valid", "groups": 2}, (2, 4, 3, 3), (6, 2, 2, 2)),
    ({"groups": 3, "stride": 2}, (1, 3, 5, 5), (3, 1, 3, 3)),
    ({}, (2, 3, 4, 4), (2, 3, 1, 1)),
    ({"padding": 1}, (3, 4, 4), (2, 3, 3, 3)),  # a single image
]


@for_each("settings, x, w", CONVOLUTIONS)
def test_conv2d(settings, x, w):
    compare("conv2d", normal(*x), normal(*w), normal(w[0]), **settings)
    compare("conv2d", normal(*x), normal(*w), None, **settings)


@pytest.mark.parametrize(
    "settings", [{}, {"stride": 2, "padding": 2, "dilation": 2}, {"padding": "same", "groups": 2}]
)
def test_conv1d(settings):
    channels = 4 // settings.get("groups", 1)
    compare("conv1d", normal(2, 4, 9), normal(2, channels, 3), normal(2), **settings)
    compare("conv1d", normal(4, 9), normal(2, channels, 3), **settings)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"stride": 2, "padding": 1, "output_padding": 1},
        {"stride": (2, 1), "dilation": (1, 3), "groups": 2},
        {"stride": (3, 2), "padding": (1, 2), "output_padding": (2, 3), "groups": 2, "dilation": (4, 4)},
        {"stride": 1, "padding": 0, "output_padding": 2, "dilation": 3},
    ],
)
def test_conv_transpose2d(settings):
    features = 4 // settings.get("groups", 1)
    compare("conv_transpose2d", normal(2, 4, 3, 4), normal(4, features, 3, 2), normal(4), **settings)


@pytest.mark.parametrize("batch", [1, 3, 40])
def test_images_and_rows_in_several_blocks(batch, monkeypatch):
    monkeypatch.setattr("tinygrad_mnist.ops.kernels.BLOCK", 3000)
    monkeypatch.setattr("tinygrad_mnist.ops.kernels.ROW", 10_000)
    compare("conv2d", normal(batch, 2, 7, 5), normal(3, 2, 3, 2), normal(3), padding=1)


@pytest.mark.parametrize(
    "settings",
    [
        {"kernel_size": 2},
        {"kernel_size": (3, 2), "stride": (1, 2), "padding": 1},
        {"kernel_size": 3, "stride": 2, "ceil_mode": True},
        {"kernel_size": 2, "stride": 1, "dilation": (2, 3)},
        {"kernel_size": 2, "stride": 3},
    ],
)
def test_max_pool2d(settings):
    compare("max_pool2d", normal(2, 3, 6, 7), **settings)
    x = RNG.integers(0, 3, (2, 3, 6, 7)).astype(
        float
    )  # many are the largest, and the first one gets the gradient
    compare("max_pool2d", x, **settings)
    (y, places), (z, theirs) = (f(a, **settings, return_indices=True) for f, a in
                                ((F.max_pool2d, x), (TF.max_pool2d, torch.tensor(x))))  # fmt: skip
    np.testing.assert_array_equal(y, z)
    np.testing.assert_array_equal(places, theirs)


def test_the_largest_of_infinities_and_nans():
    x = np.array([[[-np.inf, -np.inf, 1.0, np.nan], [-np.inf, -np.inf, np.nan, 2.0]]])
    for padding in (0, 1):
        mine, theirs = tg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        np.sum(F.max_pool2d(mine, 2, padding=padding)).backward()
        TF.max_pool2d(theirs, 2, padding=padding).sum().backward()
        assert mine.grad.data.sum() == theirs.grad.numpy().sum()
        np.testing.assert_array_equal(mine.grad.data[..., :2], theirs.grad.numpy()[..., :2])


@pytest.mark.parametrize(
    "settings",
    [
        {"kernel_size": 2},
        {"kernel_size": (3, 2), "stride": (1, 2), "padding": 1},
        {"kernel_size": 3, "stride": 2, "ceil_mode": True, "padding": 1, "count_include_pad": False},
        {"kernel_size": 3, "stride": 2, "ceil_mode": True, "padding": 1},
        {"kernel_size": 2, "divisor_override": 3},
    ],
)
def test_avg_pool2d(settings):
    compare("avg_pool2d", normal(2, 3, 6, 7), **settings)


@pytest.mark.parametrize("output_size", [1, 3, (2, 5), (None, 4), (7, 8)])
def test_adaptive_avg_pool2d(output_size):
    compare("adaptive_avg_pool2d", normal(2, 3, 6, 7), output_size=output_size)


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 4), (2, 3, 2, 2)])
def test_batch_norm(shape):
    x, mean, var = normal(*shape), normal(3), RNG.uniform(0.5, 2, 3)
    for training in (True, False):
        running = [(m := [mean.copy(), var.copy()]), [torch.tensor(v.copy()) for v in m]]
        mine, theirs = tg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        settings = {"training": training, "momentum": 0.3, "eps": 1e-3}
        y, z = F.batch_norm(mine, *running[0], **settings), TF.batch_norm(theirs, *running[1], **settings)
        same(y.data, z, 1e-12)
        for a, b in zip(*running, strict=True):
            same(a, b, 1e-12)
    compare("batch_norm", x, None, None, normal(3), normal(3), training=True, rtol=1e-8)


def test_layer_norm_and_group_norm():
    compare("layer_norm", normal(3, 4, 5), (5,), normal(5), normal(5), rtol=1e-8)
    compare("layer_norm", normal(3, 4, 5), (4, 5), normal(4, 5), rtol=1e-8)
    compare("group_norm", normal(3, 4, 5), 2, normal(4), normal(4), rtol=1e-8)
    compare("group_norm", normal(2, 4, 3, 2), 4, normal(4), normal(4), rtol=1e-8)


def test_embedding():
    words, table = np.array([[0, 3, 3], [1, 0, 5]]), normal(6, 4)
    compare("embedding", words, table)
    compare("embedding", words, table, padding_idx=3)
    compare("embedding", words, table, padding_idx=-1)


def test_unfold_and_fold():
    compare("unfold", normal(2, 3, 5, 4), 2)
    compare("unfold", normal(2, 3, 5, 4), (3, 2), dilation=(1, 2), padding=(1, 0), stride=(2, 1))
    compare("fold", normal(2, 12, 12), (5, 4), 2)
    compare("fold", normal(2, 12, 15), (5, 4), 2, padding=1, stride=(2, 1))


@pytest.mark.parametrize(
    "settings",
    [
        {"scale_factor": 2},
        {"size": (7, 3)},
        {"scale_factor": (1.7, 0.6), "mode": "nearest-exact"},
        {"scale_factor": (1.7, 0.6), "mode": "bilinear"},
        {"scale_factor": 1.7, "mode": "bilinear", "recompute_scale_factor": True},
        {"size": (9, 2), "mode": "bilinear", "align_corners": True},
    ],
)
def test_interpolate(settings):
    compare("interpolate", normal(2, 3, 4, 5), **settings)


MASK = np.array([[True, False, True, True], [False, False, False, False], [True, True, False, False]])


@pytest.mark.parametrize("mask", [None, MASK, np.where(MASK, 0.5, -1.0)], ids=["none", "bool", "float"])
def test_attention(mask):
    name, values = (
        "scaled_dot_product_attention",
        (normal(2, 2, 3, 4), normal(2, 2, 4, 4), normal(2, 2, 4, 5)),
    )
    with torch.nn.attention.sdpa_kernel(
        torch.nn.attention.SDPBackend.MATH
    ):  # the others have no second order
        compare(name, *values, mask, scale=0.3)
        if mask is None:
            compare(name, *values, is_causal=True)
            compare(name, normal(1, 4, 3, 2), normal(1, 2, 3, 2), normal(1, 2, 3, 2), enable_gqa=True)


LOGP = np.log(RNG.dirichlet(np.ones(4), 5))
CLASSES, SHARES = np.array([0, 3, 1, 1, 2]), RNG.dirichlet(np.ones(4), 5)


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_losses(reduction):
    how = {"reduction": reduction}
    probabilities, bits = RNG.uniform(0.1, 0.9, (3, 4)), RNG.uniform(size=(3, 4))
    compare("binary_cross_entropy", probabilities, bits, **how)
    compare("kl_div", LOGP, SHARES, **how)
    compare("kl_div", LOGP, np.log(SHARES), log_target=True, **how)
    for p in (1, 2):
        compare("multi_margin_loss", normal(5, 4), CLASSES, p=p, margin=0.7, order=1, **how)
    weight = RNG.uniform(0.2, 2, 4)
    for name, *args in (
        ("multi_margin_loss", LOGP, CLASSES, 1, 1.0, weight),
        ("binary_cross_entropy", probabilities, bits, weight),
    ):
        same(getattr(F, name)(*args, **how), getattr(TF, name)(*map(as_torch, args), **how), 1e-12)


def test_cosine_similarity():
    compare("cosine_similarity", normal(2, 3, 4), normal(2, 3, 4))
    compare("cosine_similarity", normal(2, 3, 4), normal(3, 1), dim=-1)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("is_weighted", [False, True])
def test_cross_entropy(reduction, smoothing, is_weighted):
    x, weight = normal(5, 4), RNG.uniform(0.2, 2, 4) if is_weighted else None
    padded = np.array([0, -7, 1, 1, 2])
    for target, more in (
        (CLASSES, {}), (CLASSES, {"ignore_index": 1}), (padded, {"ignore_index": -7}), (SHARES, {}),
        (np.where(padded < 0, -100, padded), {}),
    ):  # fmt: skip
        settings = {**more, "reduction": reduction, "label_smoothing": smoothing}
        mine, theirs = tg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        y = F.cross_entropy(mine, target, weight, **settings)
        z = TF.cross_entropy(theirs, torch.tensor(target), as_torch(weight), **settings)
        same(y.data, z, 1e-12)
        np.sum(np.square(y)).backward()
        z.square().sum().backward()
        same(mine.grad.data, theirs.grad, 1e-12)
    if not smoothing:
        how = {"ignore_index": -7, "reduction": reduction}
        y = F.nll_loss(LOGP, padded, weight, **how)
        same(y, TF.nll_loss(torch.tensor(LOGP), torch.tensor(padded), as_torch(weight), **how), 1e-12)


def test_single_precision():
    compare("conv2d", normal(2, 3, 5, 4), normal(4, 3, 3, 2), normal(4), dtype=np.float32, rtol=2e-4)
    compare("max_pool2d", normal(2, 3, 6, 4), 2, dtype=np.float32, rtol=2e-4)
    compare("avg_pool2d", normal(2, 3, 6, 4), 2, dtype=np.float32, rtol=2e-4)
    compare("layer_norm", normal(3, 8), (8,), normal(8), dtype=np.float32, rtol=2e-4)


#: Samples of PyTorch that are refused here, with the reason.
REFUSED = {
    "batch_norm": lambda x, *args, **settings: x.ndim < 2,  # no axis of channels
    "interpolate": lambda *args, mode, **settings: mode in ("bicubic", "area"),
    "multi_margin_loss": lambda x, *args, **settings: x.ndim < 1,  # no axis of classes
    "scaled_dot_product_attention": lambda *args, dropout_p, **settings: dropout_p,  # other random numbers
}
SAMPLED = [
    "adaptive_avg_pool2d", "avg_pool2d", "batch_norm", "binary_cross_entropy", "conv1d", "conv2d", "conv_transpose2d",
    "cosine_similarity", "cross_entropy", "embedding", "group_norm", "interpolate", "kl_div", "layer_norm",
    "max_pool2d", "multi_margin_loss", "nll_loss", "scaled_dot_product_attention", "silu", "unfold",
]  # fmt: skip


@pytest.mark.thorough
@pytest.mark.parametrize("name", SAMPLED)
@pytest.mark.filterwarnings("ignore")
def test_pytorchs_own_samples(name):
    """The inputs on which PyTorch tests its functions, run unchanged: the same values and gradients."""
    op_db = pytest.importorskip(
        "torch.testing._internal.common_methods_invocations", reason="PyTorch's tests need expecttest"
    ).op_db
    count = 0
    for op in op_db:
        if op.name != f"nn.functional.{name}":
            continue
        for sample in op.sample_inputs("cpu", torch.float64, requires_grad=True):
            if (
                name == "nll_loss"
            ):  # numbers above 0 are refused here: they are no logarithms of probabilities
                sample.input = (-sample.input.detach().abs()).requires_grad_()
            leaves: list[Any] = []
            x, args, settings = (mine_of(v, leaves) for v in (sample.input, sample.args, sample.kwargs))
            if name in REFUSED and REFUSED[name](x, *args, **settings):
                continue
            args = (args[0], x, *args[1:]) if name == "embedding" else (x, *args)  # as PyTorch's test does
            y, z = getattr(F, name)(*args, **settings), op(sample.input, *sample.args, **sample.kwargs)
            parts = [(y, z)] if isinstance(z, torch.Tensor) else list(zip(y, z, strict=True))
            for a, b in parts:
                same(np.asarray(getattr(a, "data", a)), b, 1e-9)
            y, z = parts[0]
            weights = np.linspace(1, 2, y.size).reshape(y.shape)
            if z.requires_grad and z.numel():
                np.sum(y * weights).backward()
                theirs = [t for t, _ in leaves]
                loss = (z * torch.tensor(weights)).sum()
                for (_, leaf), g in zip(
                    leaves, torch.autograd.grad(loss, theirs, allow_unused=True), strict=True
                ):
                    if g is not None:
                        same(leaf.grad.data, g, 1e-9)
            count += 1
    assert count
    print(f"{name}: {count} samples")


def mine_of(x: Any, leaves: list[Any]) -> Any:
    """PyTorch's tensors as Tensors or arrays."""
    if isinstance(x, torch.Tensor):
        values = x.detach().numpy().copy()
        if not x.requires_grad:
            return values
        leaves.append((x, tg.tensor(values, requires_grad=True)))
        return leaves[-1][1]
    if isinstance(x, dict):
        return {key: mine_of(part, leaves) for key, part in x.items()}
    return tuple(mine_of(part, leaves) for part in x) if isinstance(x, (tuple, list)) else x
