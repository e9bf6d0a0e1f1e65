"""Layers of images and sequences: gradients, programs, saved forms, errors. PyTorch's opinion: test_torch_layers.py."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers import for_each, parts

import tinygrad_mnist as tg
from tinygrad_mnist import nn
from tinygrad_mnist.errors import DTypeError, OptionError, ShapeError

D = {"dtype": np.float64}


class Attending(nn.Module):
    """Attention of a sequence to itself."""

    def __init__(self, attention):
        self.attention = attention

    def forward(self, x):
        return self.attention(x, x, x, is_causal=True)


#: A layer of each kind, and the shape of its input; the last layers of each name are its rarer settings.
LAYERS = {
    "Conv1d": (lambda: nn.Conv1d(2, 3, 3, stride=2, padding=1, rng=0, **D), (2, 2, 6)),
    "Conv2d": (lambda: nn.Conv2d(2, 4, (3, 2), padding="same", groups=2, rng=0, **D), (2, 2, 4, 5)),
    "ConvTranspose2d": (
        lambda: nn.ConvTranspose2d(2, 2, 3, stride=2, padding=1, output_padding=1, rng=0, **D),
        (2, 2, 3, 3),
    ),
    "MaxPool2d": (lambda: nn.MaxPool2d(2), (2, 2, 4, 5)),
    "AvgPool2d": (lambda: nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False), (2, 2, 4, 5)),
    "AdaptiveAvgPool2d": (lambda: nn.AdaptiveAvgPool2d((2, None)), (2, 2, 5, 3)),
    "BatchNorm1d": (lambda: nn.BatchNorm1d(3, **D), (4, 3)),
    "BatchNorm1d of sequences": (lambda: nn.BatchNorm1d(3, momentum=None, **D), (2, 3, 4)),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(2, affine=False, **D), (2, 2, 3, 3)),
    "BatchNorm2d alone": (lambda: nn.BatchNorm2d(2, track_running_stats=False, **D), (2, 2, 3, 3)),
    "LayerNorm": (lambda: nn.LayerNorm((3, 2), bias=False, **D), (2, 3, 2)),
    "GroupNorm": (lambda: nn.GroupNorm(2, 4, **D), (2, 4, 3)),
    "RNN": (lambda: nn.RNN(3, 2, nonlinearity="relu", batch_first=True, rng=0, **D), (2, 4, 3)),
    "LSTM": (lambda: nn.LSTM(3, 2, num_layers=2, bidirectional=True, rng=0, **D), (3, 2, 3)),
    "GRU": (lambda: nn.GRU(3, 2, bias=False, rng=0, **D), (4, 3)),
    "MultiheadAttention": (
        lambda: Attending(nn.MultiheadAttention(4, 2, batch_first=True, rng=0, **D)),
        (2, 3, 4),
    ),
    "Upsample": (lambda: nn.Upsample(scale_factor=2, mode="bilinear"), (1, 2, 2, 3)),
    "Residual": (lambda: nn.Residual(nn.Linear(3, 3, rng=0, **D)), (2, 3)),
    "Committee": (lambda: nn.Committee(*(nn.Linear(3, 2, rng=i, **D) for i in range(2))), (5, 3)),
    "Identity": (lambda: nn.Identity(), (2, 3)),
    "Unflatten": (lambda: nn.Unflatten(1, (2, -1)), (2, 6)),
    "Dropout2d": (lambda: nn.Dropout2d(0.5, rng=0).eval(), (2, 3, 2, 2)),
    "GaussianNoise": (lambda: nn.GaussianNoise(0.5, rng=0).eval(), (2, 3)),
}
every = pytest.mark.parametrize(("make", "shape"), LAYERS.values(), ids=LAYERS)


def test_every_layer_is_tested():
    made = {type(part).__name__ for make, _ in LAYERS.values() for part in make().modules()} | {"Embedding"}
    older = {"Linear", "MLP", "Sequential", "Flatten", "Dropout"} | {
        cls.__name__ for cls, _ in nn.activations.values()
    }
    assert made - {"Attending"} | older | {"activations"} == set(nn.layers.__all__)


def drawn(shape, seed=0):
    return np.random.default_rng(seed).permutation(np.linspace(-2, 2, np.prod(shape))).reshape(shape)


def tensors(y):
    """The Tensors of a result, which may be a tree of tuples."""
    return [part for x in parts(y) for part in (tensors(x) if isinstance(x, tuple) else [x])]


@every
def test_gradients(make, shape):
    layer = make()
    names = [name for name, _ in layer.named_parameters()]

    def run(x, *values):
        for name, value in zip(names, values, strict=True):
            object.__setattr__(layer, name, value)  # in the place of the parameter
        return tensors(layer(x))

    values = [p.data.copy() + 0.1 for p in layer.parameters()]
    assert tg.testing.gradcheck(run, drawn(shape), *values)


def trained(make, shape, compiled):
    layer = make()
    scale = nn.Parameter(1.0, dtype=np.float64)
    optimizer = tg.optim.SGD([scale, *layer.parameters()], lr=0.001, momentum=0.9)

    def loss(x):
        return sum(np.sum(np.sin(y * scale + 1)) for y in tensors(layer(x * scale)))

    step = tg.training.TrainingStep(loss, optimizer, compile=compiled)
    losses = [float(step(drawn(shape, seed))) for seed in range(3)]
    layer.eval()
    losses.append(loss(drawn(shape)).item())
    return losses, {**layer.state_dict(), "scale": scale.data}


@every
@pytest.mark.filterwarnings("ignore:compile. there is no machine code")
@pytest.mark.parametrize("backend", ["numpy", pytest.param("numba", marks=pytest.mark.thorough)])
def test_programs_train_as_the_layer_does(make, shape, backend):
    """Losses, weights and running statistics are those of the uncompiled layer, and eval() is seen."""
    (losses, state), (expected, wanted) = trained(make, shape, backend), trained(make, shape, False)
    np.testing.assert_allclose(losses, expected, rtol=1e-9)
    assert state.keys() == wanted.keys()
    for name, value in state.items():
        np.testing.assert_allclose(value, wanted[name], rtol=1e-9, atol=1e-12, err_msg=name)


@every
def test_described_and_built_again(make, shape):
    layer = make()
    twin = nn.build(json.loads(json.dumps(nn.describe(layer))), classes=[Attending])
    assert repr(twin) == repr(layer)
    assert twin.load_state_dict(layer.state_dict()) == ([], [])
    for a, b in zip(tensors(twin.eval()(drawn(shape))), tensors(layer.eval()(drawn(shape))), strict=True):
        np.testing.assert_array_equal(getattr(a, "data", a), getattr(b, "data", b))


@every
def test_summary_has_a_row(make, shape):
    layer = make()
    before = layer.state_dict()
    summary = nn.Sequential(layer).summary(drawn(shape))
    row = summary.layers[0]
    # A container lists its parts.
    inside = getattr(layer, "attention", getattr(layer, "body", getattr(layer, "members", [layer])[0]))
    assert row.kind == type(inside).__name__
    assert row.output == ", ".join(str(y.shape) for y in tensors(layer.eval()(drawn(shape))))
    for name, value in before.items():
        np.testing.assert_array_equal(layer.state_dict()[name], value)


@every
def test_float32_is_kept(make, shape):
    layer = make().astype(np.float32)
    x = drawn(shape).astype(np.float32)
    assert {y.dtype for y in tensors(layer(x))} == {np.dtype(np.float32)}


def test_how_they_look():
    for text in (
        "Conv2d(1, 16, 5, padding='same')",
        "ConvTranspose2d(16, 1, (2, 2), stride=2, bias=False)",
        "MaxPool2d(2)",
        "BatchNorm2d(16, momentum=None)",
        "LSTM(3, 5, num_layers=2, bidirectional=True)",
        "Embedding(50, 8, padding_idx=0)",
        "Unflatten(1, (1, 28, 28))",
        "Identity()",
    ):
        assert repr(eval(text, vars(nn))) == text
    assert repr(nn.Conv2d(1, 2, [3, 3], rng=0, dtype=np.float64, weight_init="kaiming_normal")) == (
        "Conv2d(1, 2, (3, 3))"
    )


# -- running statistics --------------------------------------------------------------------------


def test_batch_norm_keeps_statistics():
    layer = nn.BatchNorm1d(2)
    x = np.array([[1, 5], [3, 5], [5, 5]], np.float32)
    y = layer(x).data
    np.testing.assert_allclose(y.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(y.std(axis=0), [1, 0], atol=1e-5)
    np.testing.assert_allclose(layer.running_mean, 0.1 * x.mean(axis=0))
    np.testing.assert_allclose(layer.running_var, 0.9 + 0.1 * x.var(axis=0, ddof=1), rtol=1e-6)
    assert layer.num_batches_tracked == 1
    layer.eval()
    before = layer.state_dict()
    np.testing.assert_allclose(
        layer(x).data, (x - layer.running_mean) / np.sqrt(layer.running_var + 1e-5), rtol=1e-5
    )
    for name, value in layer.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_batch_norm_of_all_batches():
    layer = nn.BatchNorm1d(1, momentum=None)
    batches = [np.array([[a], [b]], np.float32) for a, b in ((0, 2), (5, 7), (1, 1))]
    for x in batches:
        layer(x)
    np.testing.assert_allclose(layer.running_mean, np.mean([x.mean() for x in batches]), rtol=1e-6)
    np.testing.assert_allclose(layer.running_var, np.mean([x.var(ddof=1) for x in batches]), rtol=1e-6)


@pytest.mark.parametrize("compiled", [False, True])
def test_fit_saves_and_loads_statistics(compiled, tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.normal(3, 2, size=(64, 1, 4, 4)).astype(np.float32), rng.integers(0, 2, 64)
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3, rng=0), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2, rng=1)
    )
    tg.training.fit(model, (x, y), epochs=2, batch_size=16, rng=0, progress=False, compile=compiled)
    assert model[1].num_batches_tracked == 8
    assert (model[1].running_mean != 0).all()
    tg.training.save_model(model, tmp_path / "model.safetensors")
    twin = tg.training.load_model(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(tg.training.predict(twin, x), tg.training.predict(model, x))


# -- sequences -----------------------------------------------------------------------------------


@pytest.mark.parametrize("Layer", [nn.RNN, nn.LSTM, nn.GRU])
def test_a_sequence_goes_on_where_it_ended(Layer):
    layer = Layer(3, 2, num_layers=2, rng=0, **D)
    x = drawn((5, 2, 3))
    whole, last = layer(x)
    first, between = layer(x[:2])
    second, end = layer(x[2:], between)
    np.testing.assert_allclose(np.concatenate([first, second]).data, whole.data, rtol=1e-12)
    for a, b in zip(parts(end), parts(last), strict=True):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-12)


def test_both_directions():
    layer = nn.GRU(3, 2, bidirectional=True, rng=0, **D)
    back = nn.GRU(3, 2, rng=0, **D)
    back.load_state_dict({k: layer.state_dict()[f"{k}_reverse"] for k in back.state_dict()})
    x = drawn((5, 2, 3))
    output, h = layer(x)
    expected, last = back(x[::-1])
    np.testing.assert_allclose(output.data[..., 2:], expected.data[::-1], rtol=1e-12)
    np.testing.assert_allclose(h.data[1], last.data[0], rtol=1e-12)


def test_dropout_between_layers():
    layer = nn.LSTM(3, 4, num_layers=2, dropout=0.5, rng=0)
    x = drawn((3, 2, 3)).astype(np.float32)
    assert not np.array_equal(layer(x)[0].data, layer(x)[0].data)
    layer.eval()
    np.testing.assert_array_equal(layer(x)[0].data, layer(x)[0].data)


def test_embedding():
    layer = nn.Embedding(5, 3, padding_idx=-1, rng=0)
    assert layer.weight.shape == (5, 3)
    assert (layer.weight.data[4] == 0).all()
    words = np.array([[0, 4], [0, 2]])
    y = layer(words)
    np.testing.assert_array_equal(y.data, layer.weight.data[words])
    y.sum().backward()
    np.testing.assert_array_equal(layer.weight.grad.data[:, 0], [2, 0, 1, 0, 0])
    step = tg.compile(lambda w: np.sum(layer(w) ** 2), optimizer=tg.optim.SGD(layer.parameters(), lr=0.5))
    expected = layer.weight.data.copy()
    expected[0] -= 2 * expected[0]
    expected[2] -= expected[2]
    step(words)
    np.testing.assert_allclose(layer.weight.data, expected, rtol=1e-6, atol=1e-7)


def test_dropout2d():
    x = np.ones((50, 40, 2, 3), np.float32)
    y = nn.Dropout2d(0.25, rng=0)(x)
    assert y.dtype == np.float32
    by_channel = y.reshape(2000, 6)
    assert (by_channel == by_channel[:, :1]).all()
    assert np.mean(by_channel[:, 0] == 0) == pytest.approx(0.25, abs=0.03)
    np.testing.assert_allclose(np.unique(y), [0, 4 / 3], rtol=1e-6)


def test_gaussian_noise():
    for dtype in (np.float32, np.float64):
        noise = nn.GaussianNoise(0.25, rng=0)(np.ones((300, 40), dtype)) - 1
        assert noise.dtype == dtype
        assert np.mean(noise) == pytest.approx(0, abs=0.01)
        assert np.std(noise) == pytest.approx(0.25, rel=0.03)
    x = tg.tensor(np.ones(3), requires_grad=True)
    layer = nn.GaussianNoise(0.25, rng=0)
    (layer(x) * np.arange(3.0)).sum().backward()
    np.testing.assert_array_equal(x.grad, np.arange(3.0))
    assert layer.eval()(x) is x


# -- what does not fit ---------------------------------------------------------------------------


@for_each(
    "layer, shape, words",
    [
        (
            lambda: nn.Conv2d(1, 4, 3),
            (2, 3, 8, 8),
            r"Conv2d\(1, 4, 3\) \(at '1.0'\).*3 channels.*\(4, 1, 3, 3\)",
        ),
        (lambda: nn.Conv2d(1, 4, 5), (2, 1, 4, 4), r"Conv2d.*5 > 4.*padding"),
        (lambda: nn.Conv1d(2, 4, 3), (2, 3, 3), r"Conv1d.*\(at '1.0'\).*channels"),
        (lambda: nn.ConvTranspose2d(2, 1, 3), (2, 3, 8, 8), r"ConvTranspose2d.*3 channels"),
        (lambda: nn.MaxPool2d(3), (1, 2, 2, 2), r"MaxPool2d\(3\) \(at '1.0'\).*3 > 2"),
        (lambda: nn.BatchNorm1d(3), (1, 3), r"BatchNorm1d\(3\) \(at '1.0'\).*single value.*eval"),
        (lambda: nn.BatchNorm1d(3), (4, 2), r"\(N, 3\) or \(N, 3, L\), got \(4, 2\)"),
        (lambda: nn.BatchNorm2d(3), (4, 3), r"\(N, 3, H, W\), got \(4, 3\)"),
        (lambda: nn.LayerNorm(5), (2, 4), r"LayerNorm\(5\).*\(2, 4\).*\(5,\)"),
        (lambda: nn.GroupNorm(2, 4), (2, 6), r"GroupNorm.*\(N, 4, …\), got \(2, 6\)"),
        (
            lambda: nn.LSTM(3, 5),
            (7, 2, 4),
            r"LSTM\(3, 5\) \(at '1.0'\).*\(L, N, 3\) or \(L, 3\), got \(7, 2, 4\)",
        ),
        (lambda: nn.GRU(3, 5, batch_first=True), (7, 0, 3), r"\(N, L, 3\).*got \(7, 0, 3\)"),
        (lambda: nn.Unflatten(1, (2, 4)), (3, 6), r"Unflatten.*\(3, 6\).*product, 8"),
        (lambda: nn.Unflatten(1, (4, -1)), (3, 6), r"multiple of 4"),
        (lambda: nn.Unflatten(2, (2, -1)), (3, 6), r"no axis 2"),
        (lambda: nn.Dropout2d(0.5), (3, 6), r"Dropout2d.*\(3, 6\)"),
        (lambda: nn.Linear(3, 2), (3, 6), r"Linear\(3, 2\) \(at '1.0'\): expects.*\(…, 3\), got \(3, 6\)"),
    ],
)
def test_inputs_that_do_not_fit(layer, shape, words):
    model = nn.Sequential(nn.Identity(), nn.Sequential(layer()))
    with pytest.raises(ShapeError, match=words) as caught:
        model(np.zeros(shape, np.float32))
    assert str(caught.value).count("at '") == 1


def test_words_out_of_range():
    with pytest.raises(OptionError, match=r"Embedding\(4, 2\).*from 1 to 4.*4 rows"):
        nn.Embedding(4, 2)(np.array([1, 4]))
    with pytest.raises(DTypeError, match=r"Embedding\(4, 2\): .*integers, not float64"):
        nn.Embedding(4, 2)(np.array([1.0]))


@for_each(
    "make, words",
    [
        (lambda: nn.Conv2d(3, 4, 3, groups=2), "3 and 4 channels.*2 groups"),
        (lambda: nn.Conv2d(3, 4, (3, 3, 3)), "kernel_size"),
        (lambda: nn.Conv2d(3, 4, 3, stride=2, padding="same"), "same"),
        (lambda: nn.Conv2d(3, 4, 3, padding="full"), "full"),
        (lambda: nn.Conv2d(0, 4, 3), "positive"),
        (lambda: nn.GroupNorm(3, 4), "4 channels.*3"),
        (lambda: nn.Embedding(3, 4, padding_idx=3), "padding_idx=3"),
        (lambda: nn.LSTM(3, 4, dropout=0.5), "num_layers"),
        (lambda: nn.RNN(3, 4, nonlinearity="sin"), "sin.*tanh"),
        (lambda: nn.MultiheadAttention(6, 4), "6 features.*4 heads"),
        (lambda: nn.Upsample(), "size or scale_factor"),
        (lambda: nn.Unflatten(1, 3), "lengths of axes"),
        (lambda: nn.Unflatten(1, (-1, -1)), "lengths of axes"),
        (lambda: nn.Dropout2d(1.0), "Dropout2d.*probability"),
        (lambda: nn.GaussianNoise(-0.1), "GaussianNoise.*standard deviation.*-0.1"),
    ],
)
def test_settings_that_do_not_fit(make, words):
    with pytest.raises(OptionError, match=words):
        make()


def test_states_that_do_not_fit():
    x = np.zeros((4, 2, 3), np.float32)
    with pytest.raises(ShapeError, match=r"GRU.*a state of shape \(1, 2, 5\), got \[\(2, 5\)\]"):
        nn.GRU(3, 5)(x, np.zeros((2, 5), np.float32))
    with pytest.raises(
        ShapeError,
        match=r"LSTM.*a pair of states \(h, c\), each of shape \(1, 2, 5\), got one of \(1, 2, 5\)",
    ):
        nn.LSTM(3, 5)(x, np.zeros((1, 2, 5), np.float32))


def test_masks_that_do_not_fit():
    layer, x = nn.MultiheadAttention(4, 2), np.zeros((3, 2, 4), np.float32)
    with pytest.raises(
        ShapeError, match=r"MultiheadAttention.*attn_mask of shape \(3, 3\) or .*got \(3, 2\)"
    ):
        layer(x, x, x, attn_mask=np.zeros((3, 2), bool))
    with pytest.raises(ShapeError, match=r"key_padding_mask of shape \(N, 3\), got \(2, 4\)"):
        layer(x, x, x, key_padding_mask=np.zeros((2, 4), bool))
    with pytest.raises(ShapeError, match=r"\(…, 4\).*got \(3, 2, 4\), \(3, 2, 5\)"):
        layer(x, np.zeros((3, 2, 5), np.float32), x)


def test_errors_of_ones_own_layers_are_left_alone():
    class Own(nn.Module):
        def forward(self, x):
            raise ShapeError("mine")

    with pytest.raises(ShapeError, match=r"^mine$"):
        nn.Sequential(Own())(np.zeros(1))
