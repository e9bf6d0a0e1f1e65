"""PyTorch's layers as a second opinion: state dicts go both ways, and give the same outputs, states and gradients."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_mnist as tg
from tinygrad_mnist import nn

torch = pytest.importorskip("torch", reason="PyTorch is not installed; these tests compare with it")

#: Layers as text that both libraries understand, and the shape of an input.
LAYERS = [
    ("Conv1d(2, 4, 3, 2, 1, 1, 2)", (3, 2, 9)),
    ("Conv2d(3, 4, 3, stride=2, padding=1)", (2, 3, 6, 7)),
    ("Conv2d(4, 4, (3, 2), padding='same', dilation=2, groups=2, bias=False)", (2, 4, 6, 7)),
    ("ConvTranspose2d(4, 6, 3, 2, 1, 1, 2, True, 1)", (2, 4, 4, 5)),
    ("MaxPool2d(3, 2, 1)", (2, 3, 6, 7)),
    ("AvgPool2d(3, 2, 1, False, False)", (2, 3, 6, 7)),
    ("AdaptiveAvgPool2d((3, None))", (2, 3, 7, 4)),
    ("BatchNorm1d(3)", (5, 3)),
    ("BatchNorm1d(3, momentum=None)", (5, 3, 4)),
    ("BatchNorm2d(3, 1e-3, 0.3)", (2, 3, 4, 5)),
    ("BatchNorm2d(3, affine=False, track_running_stats=False)", (2, 3, 4, 5)),
    ("LayerNorm((3, 4))", (2, 3, 4)),
    ("LayerNorm(4, bias=False)", (2, 3, 4)),
    ("GroupNorm(2, 4)", (3, 4, 5)),
    ("RNN(3, 4, 2, 'relu')", (5, 2, 3)),
    ("RNN(3, 4, bias=False, batch_first=True)", (2, 5, 3)),
    ("LSTM(3, 4, 2, bidirectional=True)", (5, 2, 3)),
    ("LSTM(3, 4, batch_first=True)", (2, 5, 3)),
    ("GRU(3, 4, 2, bidirectional=True, batch_first=True)", (2, 5, 3)),
    ("GRU(3, 4, bias=False)", (5, 3)),
    ("Upsample(scale_factor=2)", (1, 2, 3, 4)),
    ("Upsample((5, 3), mode='bilinear', align_corners=True)", (1, 2, 3, 4)),
    ("SiLU()", (2, 3)),
    ("GELU()", (2, 3)),
    ("GELU(approximate='tanh')", (2, 3)),
    ("Identity()", (2, 3)),
    ("Unflatten(1, (2, 3))", (4, 6)),
]
every = pytest.mark.parametrize(("text", "shape"), LAYERS, ids=[text for text, _ in LAYERS])


def pair(text):
    """The layer in both libraries, in double precision, with the weights of PyTorch's."""
    theirs = eval(text, vars(torch.nn)).double()
    ours = eval(text, vars(nn)).astype(np.float64)
    state = {name: value.numpy() for name, value in theirs.state_dict().items()}
    assert ours.load_state_dict(state) == ([], [])
    return ours, theirs


def tensors(y):
    return [t for part in y for t in tensors(part)] if isinstance(y, tuple) else [y]


def drawn(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def require_close(ours, theirs, what):
    np.testing.assert_allclose(
        ours.data, theirs.detach().numpy(), rtol=1e-10, atol=1e-12, err_msg=what, strict=True
    )


def require_same_step(ours, theirs, *inputs):
    """Compare outputs, and the gradients of inputs and parameters."""
    x, x_theirs = (
        [make(v) if v.dtype.kind == "f" else plain(v) for v in inputs]
        for make, plain in (
            (lambda v: tg.tensor(v, requires_grad=True), lambda v: v),
            (lambda v: torch.tensor(v, requires_grad=True), torch.tensor),
        )
    )
    y, y_theirs = tensors(ours(*x)), tensors(theirs(*x_theirs))
    assert len(y) == len(y_theirs)
    for a, b in zip(y, y_theirs, strict=True):
        require_close(a, b, "output")
    sum(np.sum(np.sin(a) * (i + 1)) for i, a in enumerate(y)).backward()
    sum((b.sin() * (i + 1)).sum() for i, b in enumerate(y_theirs)).backward()
    for a, b in zip(x, x_theirs, strict=True):
        if isinstance(a, tg.Tensor):
            require_close(a.grad, b.grad, "input")
    found = dict(theirs.named_parameters())
    assert [name for name, _ in ours.named_parameters()] == list(found)
    for name, p in ours.named_parameters():
        require_close(p.grad, found[name].grad, name)


def require_same_state(ours, theirs):
    """State dicts have the same names and values, and PyTorch loads ours."""
    state, wanted = ours.state_dict(), theirs.state_dict()
    assert sorted(state) == sorted(wanted)
    for name, value in wanted.items():
        np.testing.assert_allclose(state[name], value.numpy(), rtol=1e-10, atol=1e-12, strict=True)
    theirs.load_state_dict({name: torch.tensor(value) for name, value in state.items()}, strict=True)


@every
def test_outputs_gradients_and_state(text, shape):
    ours, theirs = pair(text)
    for seed in range(2):
        require_same_step(ours, theirs, drawn(shape, seed))
        ours.zero_grad()
        theirs.zero_grad()
    require_same_state(ours, theirs)  # running statistics among them
    for a, b in zip(
        tensors(ours.eval()(drawn(shape))), tensors(theirs.eval()(torch.tensor(drawn(shape)))), strict=True
    ):
        np.testing.assert_allclose(getattr(a, "data", a), b.detach().numpy(), rtol=1e-10, atol=1e-12)


@every
def test_initial_weights_have_the_same_spread(text, shape):
    """Weights of one kind come from the same interval or have the same constant, by their standard deviations."""
    ours, theirs = eval(text, vars(nn)), eval(text, vars(torch.nn))
    ours_many = [eval(text, vars(nn)) for _ in range(30)]
    theirs_many = [eval(text, vars(torch.nn)) for _ in range(30)]
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    for name, value in ours.state_dict().items():
        a = np.stack([m.state_dict()[name] for m in ours_many])
        b = np.stack([m.state_dict()[name].numpy() for m in theirs_many])
        assert (value.dtype, value.shape) == (b.dtype, b.shape[1:])
        if not b.std():
            np.testing.assert_array_equal(a, b)
        else:
            assert np.abs(a).max() == pytest.approx(np.abs(b).max(), rel=0.25)
            assert a.std() == pytest.approx(b.std(), rel=0.25)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_states_go_in_and_out(kind):
    ours, theirs = pair(f"{kind}(3, 4, 2, bidirectional=True)")
    x, h, c = drawn((5, 2, 3)), drawn((4, 2, 4), 1), drawn((4, 2, 4), 2)
    states = (h, c) if kind == "LSTM" else h
    wanted = theirs(torch.tensor(x), tuple(map(torch.tensor, states)) if kind == "LSTM" else torch.tensor(h))
    for a, b in zip(tensors(ours(x, states)), tensors(wanted), strict=True):
        require_close(a, b, kind)
    single = ours(x[:, 0], tuple(s[:, 0] for s in states) if kind == "LSTM" else h[:, 0])
    for a, b in zip(tensors(single), tensors(ours(x, states)), strict=True):
        np.testing.assert_allclose(a.data, b.data[:, 0], rtol=1e-12)


def test_embedding():
    ours, theirs = pair("Embedding(6, 3, padding_idx=1)")
    require_same_step(ours, theirs, np.array([[0, 1, 5], [5, 5, 2]]))
    require_same_state(ours, theirs)
    drawn_weights = nn.Embedding(500, 40, rng=0).weight.data
    assert drawn_weights.std() == pytest.approx(torch.nn.Embedding(500, 40).weight.std().item(), rel=0.05)


MASK = drawn((3, 4), 5) > 0.5
PADDING = np.array([[False, True, False, False], [False, False, False, True]])
LOOKS = [
    ("MultiheadAttention(4, 2)", {}),
    ("MultiheadAttention(4, 2, bias=False)", {"need_weights": False, "key_padding_mask": PADDING}),
    ("MultiheadAttention(4, 2, kdim=3, vdim=5)", {"average_attn_weights": False, "attn_mask": MASK}),
    ("MultiheadAttention(4, 2, batch_first=True)", {"key_padding_mask": PADDING, "attn_mask": MASK}),
    ("MultiheadAttention(4, 2)", {"attn_mask": drawn((4, 3, 4), 6)}),
]


@pytest.mark.parametrize(("text", "settings"), LOOKS, ids=str)
def test_attention(text, settings):
    ours, theirs = pair(text)
    shapes = [(3, 2, 4), (4, 2, theirs.kdim), (4, 2, theirs.vdim)]
    shapes = [(s[1], s[0], s[2]) if theirs.batch_first else s for s in shapes]
    with_ours = lambda *x: tuple(y for y in ours(*x, **settings) if y is not None)  # noqa: E731
    for_theirs = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in settings.items()}
    with_theirs = lambda *x: tuple(y for y in theirs(*x, **for_theirs) if y is not None)  # noqa: E731
    for f in (with_ours, with_theirs):
        f.named_parameters = (ours if f is with_ours else theirs).named_parameters
    require_same_step(with_ours, with_theirs, *(drawn(s, i) for i, s in enumerate(shapes)))
    require_same_state(ours, theirs)


@pytest.mark.parametrize("need_weights", [True, False])
def test_attention_to_itself(need_weights):
    ours, theirs = pair("MultiheadAttention(6, 3, batch_first=True)")
    x, hidden = drawn((2, 4, 6)), ~np.tri(4, dtype=bool)
    y, weights = ours(x, x, x, need_weights=need_weights, is_causal=True)
    t = torch.tensor(x)
    expected, theirs_weights = theirs(t, t, t, attn_mask=torch.tensor(hidden), need_weights=need_weights)
    require_close(y, expected, "output")
    assert (weights is None) == (theirs_weights is None)
    if need_weights:
        require_close(weights, theirs_weights, "weights")
    require_close(ours(x[0], x[0], x[0], attn_mask=hidden)[0], expected[0], "a single sequence")
    made = [nn.MultiheadAttention(60, 3, rng=0), torch.nn.MultiheadAttention(60, 3)]
    ours_state, state = (m.state_dict() for m in made)
    assert list(ours_state) == list(state)
    for name, value in state.items():
        assert float(ours_state[name].std()) == pytest.approx(value.std().item(), rel=0.1)


class Gpt:
    """A small GPT, in either library."""

    def build(self, nn):
        self.words, self.places = nn.Embedding(11, 8), nn.Embedding(5, 8)
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(8), nn.LayerNorm(8), nn.LayerNorm(8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.inner = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))
        self.head = nn.Linear(8, 11)

    def forward(self, words, mask, places):
        x = self.words(words) + self.places(places)
        y = self.norm1(x)
        x = x + self.attention(y, y, y, attn_mask=mask, need_weights=False)[0]
        return self.head(self.norm3(x + self.inner(self.norm2(x))))


class Block:
    """A residual block, in either library."""

    def build(self, nn, channels):
        self.conv1, self.bn1 = (
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.conv2, self.bn2 = (
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.relu = nn.ReLU()

    def forward(self, x):
        return self.relu(x + self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))))


def made_of(kind, nn, *args):
    class Made(kind, nn.Module):
        def __init__(self):
            if nn is torch.nn:
                nn.Module.__init__(self)
            self.build(nn, *args)

    return Made()


def block(nn, channels):
    return made_of(Block, nn, channels)


def lenet(nn):
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 10),
    )  # fmt: skip


def resnet(nn):
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), block(nn, 4), nn.MaxPool2d(2), block(nn, 4),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10),
    )  # fmt: skip


@pytest.mark.parametrize(("make", "size"), [(lenet, 12), (resnet, 8)])
def test_whole_networks(make, size):
    theirs, ours = make(torch.nn).double(), make(nn).astype(np.float64)
    ours.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
    require_same_step(ours, theirs, drawn((4, 1, size, size)))
    require_same_state(ours, theirs)
    twin = make(torch.nn).double()
    twin.load_state_dict({name: torch.tensor(value) for name, value in ours.state_dict().items()})
    x = drawn((4, 1, size, size), 1)
    np.testing.assert_allclose(
        ours.eval()(x).data, twin.eval()(torch.tensor(x)).detach().numpy(), rtol=1e-9, atol=1e-12
    )


def test_a_small_gpt():
    theirs, ours = made_of(Gpt, torch.nn).double(), made_of(Gpt, nn).astype(np.float64)
    ours.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
    words = np.random.default_rng(0).integers(0, 11, (3, 5))
    require_same_step(ours, theirs, words, ~np.tri(5, dtype=bool), np.arange(5))
    require_same_state(ours, theirs)
