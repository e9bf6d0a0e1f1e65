"""PyTorch's models as ours and back, and its data sets and loaders in ``fit``."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import tinygrad_mnist as tg
from tinygrad_mnist import nn
from tinygrad_mnist.interop.torch import KINDS

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

#: Layers as text that both libraries understand, and the shape of an input.
LAYERS = {
    "AdaptiveAvgPool2d((3, None))": (2, 3, 7, 4),
    "AvgPool2d(3, 2, 1, False, False)": (2, 3, 6, 7),
    "BatchNorm1d(3, momentum=None)": (5, 3),
    "BatchNorm2d(3, 1e-3, 0.3)": (2, 3, 4, 5),
    "Conv1d(2, 4, 3, 2, 1, 1, 2)": (3, 2, 9),
    "Conv2d(4, 4, (3, 2), padding='same', dilation=2, groups=2, bias=False)": (2, 4, 6, 7),
    "ConvTranspose2d(4, 6, 3, 2, 1, 1, 2, True, 1)": (2, 4, 4, 5),
    "Dropout(0.3)": (2, 3),
    "Dropout2d(0.3)": (2, 3, 4, 4),
    "ELU(0.5)": (2, 3),
    "Embedding(6, 3, padding_idx=1)": None,
    "Flatten()": (2, 3, 4),
    "GELU(approximate='tanh')": (2, 3),
    "GRU(3, 4, 2, bidirectional=True, batch_first=True)": (2, 5, 3),
    "GroupNorm(2, 4)": (3, 4, 5),
    "Identity()": (2, 3),
    "LSTM(3, 4, 2, bidirectional=True)": (5, 2, 3),
    "LayerNorm((3, 4), bias=False)": (2, 3, 4),
    "LeakyReLU(0.2)": (2, 3),
    "Linear(3, 2, bias=False)": (4, 3),
    "LogSoftmax(-1)": (2, 3),
    "MaxPool2d(3, 2, 1, ceil_mode=True)": (2, 3, 6, 7),
    "MultiheadAttention(4, 2, kdim=3, vdim=5)": None,
    "RNN(3, 4, 2, 'relu')": (5, 2, 3),
    "ReLU()": (2, 3),
    "SiLU()": (2, 3),
    "Sigmoid()": (2, 3),
    "Softmax(1)": (2, 3),
    "Softplus()": (2, 3),
    "Tanh()": (2, 3),
    "Unflatten(1, (2, 3))": (4, 6),
    "Upsample((5, 3), mode='bilinear', align_corners=True)": (1, 2, 3, 4),
}


def test_every_kind_is_tested():
    assert sorted(text.partition("(")[0] for text in LAYERS) == sorted(KINDS)


def drawn(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("text", LAYERS)
def test_there_and_back(text):
    theirs = eval(text, vars(torch.nn)).eval()
    ours = tg.from_torch(theirs)
    assert not ours.training
    again = tg.to_torch(ours)
    assert repr(again) == repr(theirs)
    assert again.state_dict().keys() == theirs.state_dict().keys()
    for name, value in theirs.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
    if (shape := LAYERS[text]) is not None:
        x = drawn(*shape)
        for a, b in zip(tg.trees.leaves(ours(x)), tg.trees.leaves(theirs(torch.tensor(x))), strict=True):
            np.testing.assert_allclose(
                np.asarray(getattr(a, "data", a)), b.detach().numpy(), rtol=1e-4, atol=1e-6
            )


@pytest.mark.parametrize("text", LAYERS)
def test_from_here_there_and_back(text):
    text = text.replace("LeakyReLU(0.2)", "LeakyReLU(slope=0.2)")
    ours = eval(text, vars(nn))
    again = tg.from_torch(tg.to_torch(ours))
    assert again.training
    assert again.state_dict().keys() == ours.state_dict().keys()
    for name, value in ours.state_dict().items():
        np.testing.assert_array_equal(again.state_dict()[name], value)


def network():
    return torch.nn.Sequential(
        torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU()), torch.nn.Flatten(),
        torch.nn.Linear(144, 5), torch.nn.Softmax(dim=-1),
    )  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_network_with_frozen_weights(dtype):
    theirs = network().to(getattr(torch, dtype)).eval()
    theirs[0][0].weight.requires_grad_(False)
    ours = tg.from_torch(theirs)
    assert {p.dtype for p in ours.parameters()} == {np.dtype(dtype)}
    assert not ours[0][0].weight.requires_grad
    x = drawn(3, 1, 8, 8).astype(dtype)
    expected = theirs(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(ours(x).data, expected, rtol=1e-5)
    again = tg.to_torch(ours)
    np.testing.assert_allclose(again(torch.tensor(x)).detach().numpy(), expected, rtol=1e-6)
    assert next(again.parameters()).dtype == getattr(torch, dtype)


def test_an_mlp_becomes_a_sequential():
    model = nn.MLP([4, 5, 2], "tanh", dropout=0.1, rng=0)
    theirs = tg.to_torch(model)
    assert [type(part).__name__ for part in theirs] == ["Linear", "Tanh", "Dropout", "Linear"]
    x = drawn(3, 4)
    np.testing.assert_allclose(
        theirs.eval()(torch.tensor(x)).detach().numpy(), model.eval()(x).data, rtol=1e-5, atol=1e-6
    )


def test_weights_go_by_files(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    theirs = network()
    safetensors.save_file(theirs.state_dict(), tmp_path / "theirs.safetensors")
    ours = tg.from_torch(network())
    ours.load_state_dict(tg.load(tmp_path / "theirs.safetensors"))
    tg.save(ours.state_dict(), tmp_path / "ours.safetensors")
    again = network()
    again.load_state_dict(safetensors.load_file(tmp_path / "ours.safetensors"))
    for name, value in theirs.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)


class Own(torch.nn.Module):
    def forward(self, x):
        return x


class OurOwn(nn.Module):
    def forward(self, x):
        return x


def tied(library):
    model = library.Sequential(library.Linear(3, 3), library.Linear(3, 3))
    model[1].weight = model[0].weight
    return model


def hooked():
    layer = torch.nn.Linear(2, 2)
    layer.register_forward_hook(lambda layer, inputs, y: 2 * y)
    return torch.nn.Sequential(layer)


class Doubled(torch.nn.Sequential):
    def forward(self, x):
        return 2 * super().forward(x)


def doubled(layer):
    usual = layer.forward
    layer.forward = lambda x: 2 * usual(x)
    return layer


REFUSED = {
    "own": (lambda: torch.nn.Sequential(torch.nn.ReLU(), Own()), "Own at '1' has no counterpart"),
    "deep": (
        lambda: torch.nn.Sequential(torch.nn.Sequential(torch.nn.Conv3d(1, 1, 1))), "Conv3d at '0.0' has no counterpart"
    ),
    "a setting": (lambda: torch.nn.Conv2d(1, 1, 3, padding_mode="circular"), "padding_mode='circular'; only 'zeros'"),
    "flatten": (lambda: torch.nn.Flatten(0), "start_dim=0; only 1"),
    "no axis": (lambda: torch.nn.Softmax(), "without dim"),
    "complex": (lambda: torch.nn.Linear(1, 1, dtype=torch.complex64), "parameters of torch.complex64"),
    "two kinds": (
        lambda: torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.Linear(1, 1).double()), "float32, torch.float64"
    ),
    "no module": (lambda: torch.nn.ReLU, "got a type"),
    "a tied weight": (lambda: tied(torch.nn), "the parameter 1.weight is that of another layer"),
    "a hook": (hooked, "Linear at '0' has hooks"),
    "a class's forward": (lambda: Doubled(torch.nn.Linear(2, 2)), "Doubled has no counterpart"),
    "an object's forward": (
        lambda: torch.nn.Sequential(doubled(torch.nn.Linear(2, 2))), "Linear at '0' has a forward of its own"
    ),
    "a Sequential's forward": (lambda: doubled(torch.nn.Sequential()), "Sequential has a forward of its own"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_modules_that_are_refused(name):
    make, expected = REFUSED[name]
    with pytest.raises(tg.errors.UnsupportedError, match=f"from_torch: .*{expected}"):
        tg.from_torch(make())


def test_models_of_ours_that_are_refused():
    with pytest.raises(tg.errors.UnsupportedError, match="to_torch: OurOwn at '0' has no counterpart"):
        tg.to_torch(nn.Sequential(OurOwn()))
    with pytest.raises(tg.errors.UnsupportedError, match="to_torch: got a int"):
        tg.to_torch(1)
    with pytest.raises(
        tg.errors.UnsupportedError, match=r"to_torch: the parameter 1\.weight is that of another"
    ):
        tg.to_torch(tied(nn))
    with pytest.raises(tg.errors.UnsupportedError, match="to_torch: Linear at '0' has a forward of its own"):
        tg.to_torch(nn.Sequential(doubled(nn.Linear(2, 2))))


def test_short_floats_are_widened():
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4)).bfloat16().eval()
    for module in (theirs, torch.nn.Sequential(torch.nn.Linear(3, 4).half(), theirs[1].float())):
        ours = tg.from_torch(module)
        assert {p.dtype for p in ours.parameters()} == {np.dtype(np.float32)}
        for name, value in module.float().state_dict().items():
            np.testing.assert_array_equal(ours.state_dict()[name], value.numpy())


def test_a_state_dict_of_tensors():
    given = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    for weight in (given, given.bfloat16(), given.half(), given.double(), given.to(torch.float8_e4m3fn)):
        layer = nn.Linear(2, 2)
        layer.load_state_dict({"weight": weight}, strict=False)
        assert layer.weight.tolist() == [[1, 2], [3, 4]]
    for weight, expected in (
        (given.to("meta"), "weight is on the device 'meta'"),
        (
            given.detach().to_sparse(),
            r"weight has the layout torch.sparse_coo; pass it as weight.to_dense\(\)",
        ),
        (torch.nn.UninitializedParameter(), "weight, of torch.float32, has no array"),
    ):
        with pytest.raises(tg.errors.UnsupportedError, match=f"state dict: {expected}"):
            layer.load_state_dict({"weight": weight}, strict=False)
    with pytest.raises(tg.errors.UnsupportedError, match="weight is on the device 'meta'"):
        tg.from_torch(torch.nn.Linear(2, 2, device="meta"))


def test_a_file_of_bfloat16(tmp_path):
    from safetensors.torch import save_file

    layer = torch.nn.Linear(3, 2)
    save_file(
        {**layer.bfloat16().state_dict(), "scalar": torch.tensor(-0.5, dtype=torch.bfloat16)},
        tmp_path / "w.safetensors",
    )
    state = tg.load(tmp_path / "w.safetensors")
    assert {a.dtype for a in state.values()} == {np.dtype(np.float32)}
    assert state.pop("scalar") == -0.5
    assert len(tg.load(tmp_path / "w.safetensors", max_bytes=36)) == 3  # 9 numbers
    with pytest.raises(tg.errors.DataError, match=r"take 36 bytes; more than 35 .* pass a larger max_bytes"):
        tg.load(tmp_path / "w.safetensors", max_bytes=35)
    ours = nn.Linear(3, 2)
    ours.load_state_dict(state)
    np.testing.assert_array_equal(ours.weight.data, layer.weight.float().detach().numpy())
    save_file({"w": layer.weight.detach().to(torch.float8_e4m3fn)}, tmp_path / "short.safetensors")
    with pytest.raises(
        tg.errors.DataError, match=r"short\.safetensors, 'w': has numbers of type F8_E4M3, which NumPy"
    ):
        tg.load(tmp_path / "short.safetensors")


def test_a_layer_that_occurs_twice():
    norm, same, relu = torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 3), torch.nn.ReLU()
    theirs = torch.nn.Sequential(norm, same, relu, same, norm, relu).eval()
    ours = tg.from_torch(theirs)
    again = tg.to_torch(ours)
    for model in (ours, again):
        assert len(model) == 6
        assert model[1] is model[3]
        assert model[0] is model[4]
        assert model[2] is model[5]
    x = drawn(4, 3)
    expected = theirs(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(ours(x).data, expected, atol=1e-6)
    assert torch.equal(again(torch.tensor(x)), theirs(torch.tensor(x)))


def test_every_parameter_keeps_its_dtype():
    layers = [nn.Linear(2, 2, rng=0).astype(kind) for kind in (np.float32, np.float64, np.complex64)]
    made = tg.to_torch(nn.Sequential(*layers))
    assert [made[i].weight.dtype for i in range(3)] == [torch.float32, torch.float64, torch.complex64]


def test_a_transposed_array_is_a_weight():
    layer = torch.nn.Linear(3, 4)
    layer.weight = torch.nn.Parameter(torch.tensor(drawn(3, 4)).T)
    again = tg.to_torch(tg.from_torch(layer))
    assert again.weight.is_contiguous()
    assert torch.equal(again.weight, layer.weight)


# -- there, here, and there again: outputs and gradients --------------------------------------------


class TheirLstm(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.LSTM(5, 8, 2, batch_first=True)
        self.head = torch.nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.layer(x)[0][:, -1])


class OurLstm(nn.Module):
    def __init__(self):
        self.layer = nn.LSTM(5, 8, 2, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.layer(x)[0][:, -1])


def gpt(library):
    """A block of a small GPT, with the same text in both libraries; the head is the table of tokens."""

    class Gpt(library.Module):
        def __init__(self):
            super().__init__()
            self.tokens, self.places = library.Embedding(11, 8), library.Embedding(6, 8)
            self.norm_1, self.norm_2 = library.LayerNorm(8), library.LayerNorm(8)
            self.attention = library.MultiheadAttention(8, 2, batch_first=True)
            self.up, self.gelu, self.down = library.Linear(8, 32), library.GELU(), library.Linear(32, 8)
            self.norm, self.head = library.LayerNorm(8), library.Linear(8, 11, bias=False)
            self.head.weight = self.tokens.weight

        def forward(self, x):
            mask, places = (torch.tensor(a) if library is torch.nn else a for a in (MASK, np.arange(6)))
            x = self.tokens(x) + self.places(places)
            y = self.norm_1(x)
            x = x + self.attention(y, y, y, attn_mask=mask, need_weights=False)[0]
            x = x + self.down(self.gelu(self.up(self.norm_2(x))))
            return self.head(self.norm(x))

    return Gpt()


MASK = np.triu(np.ones((6, 6), bool), 1)


def lenet(library):
    return library.Sequential(
        library.Conv2d(1, 3, 3), library.ReLU(), library.MaxPool2d(2), library.Conv2d(3, 4, 3), library.ReLU(),
        library.Flatten(), library.Linear(16, 5),
    )  # fmt: skip


def resnet(library):
    class Block(library.Module):
        def __init__(self):
            super().__init__()
            self.first, self.norm = library.Conv2d(2, 2, 3, padding=1, bias=False), library.BatchNorm2d(2)
            self.second, self.relu = library.Conv2d(2, 2, 3, padding=1), library.ReLU()

        def forward(self, x):
            return self.relu(x + self.second(self.relu(self.norm(self.first(x)))))

    return library.Sequential(Block(), library.Flatten(), library.Linear(72, 3))


NETWORKS = {
    "mlp": (lambda lib: lib.Sequential(lib.Linear(4, 8), lib.Tanh(), lib.Linear(8, 3)), drawn(5, 4)),
    "lenet": (lenet, drawn(2, 1, 10, 10)),
    "resnet": (resnet, drawn(3, 2, 6, 6)),
    "lstm": (lambda library: (TheirLstm if library is torch.nn else OurLstm)(), drawn(4, 7, 5)),
    "gpt": (gpt, np.arange(12).reshape(2, 6) % 11),
}  # fmt: skip


def differences(name):
    """The largest differences of outputs and gradients, of ours and of PyTorch's again, from PyTorch's."""
    make, x = NETWORKS[name]
    torch.manual_seed(0)
    theirs, ours, again = make(torch.nn), make(nn), make(torch.nn)
    names = dict(theirs.named_parameters())
    ours.load_state_dict({k: t for k, t in theirs.state_dict().items() if k in ours.state_dict()})
    state = {k: torch.tensor(a) for k, a in ours.state_dict().items()}
    again.load_state_dict(state, strict=name != "gpt")  # the tied weight has one name here
    found = []
    for model in (theirs, again):
        y = model(torch.tensor(x))
        (y**2).sum().backward()
        grads = {k: p.grad.numpy() for k, p in model.named_parameters()}
        found.append((y.detach().numpy(), grads))
    y = ours(x)
    np.sum(y**2).backward()
    found.append((y.data, {k: p.grad.data for k, p in ours.named_parameters()}))
    (y, grads), *others = found
    assert all(other.keys() == names.keys() for _, other in others)

    def far(a, b):
        return float(np.abs(a - b).max() / max(1, np.abs(a).max()))

    return [(far(y, z), max(far(grads[k], other[k]) for k in grads)) for z, other in others]


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_there_here_and_there_again(name):
    again, ours = differences(name)
    assert again == (0, 0)
    assert max(ours) < 1e-5


def test_the_examples_of_the_page():
    page = (Path(__file__).parents[2] / "docs" / "other_tools.md").read_text(encoding="utf-8")
    blocks = [block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if ">>>" not in block]
    blocks = [block for block in blocks if "cupy" not in block]  # CuPy needs a GPU
    assert len(blocks) == 2
    names = {}
    exec("\n".join(blocks), names)
    assert repr(names["again"]) == repr(names["theirs"])
    assert len(names["history"]) == 2


# -- data ----------------------------------------------------------------------------------------


def blobs(count=60):
    x = drawn(count, 4)
    return torch.tensor(x), torch.tensor(x[:, 0] > 0).long()


def trained(data, **settings):
    model = nn.MLP([4, 8, 2], rng=0)
    settings = {"epochs": 2, "rng": 0, "progress": False, **settings}
    return tg.training.fit(
        model, data, optimizer=tg.optim.Adam(model.parameters(), lr=0.05), **settings
    ), model


def test_a_data_set_of_pytorch_trains_as_its_arrays_do():
    x, y = blobs()
    data = torch.utils.data.TensorDataset(x, y)
    history, model = trained(data, validation=data)
    arrays = x.numpy(), y.numpy()
    assert history == trained(arrays, validation=arrays)[0]
    assert tg.training.evaluate(model, data) == tg.training.evaluate(model, arrays)
    np.testing.assert_array_equal(tg.training.predict(model, data), tg.training.predict(model, arrays))
    loader = tg.data.DataLoader(data, 16)
    assert [batch[0].shape for batch in loader] == [(16, 4)] * 3 + [(12, 4)]


def test_a_loader_of_pytorch_decides_on_its_batches():
    x, y = blobs()
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), 16, shuffle=False)
    history, model = trained(loader, validation=loader)
    ours = tg.data.DataLoader((x.numpy(), y.numpy()), 16)
    assert history == trained(ours, validation=ours)[0]
    assert tg.training.evaluate(model, loader)["count"] == 60
    assert "not in one order" not in str(tg.training.diagnose(model, loader, trials=False))
    shuffled = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(x, y), 16, shuffle=True, drop_last=True
    )
    assert len(trained(shuffled)[0]) == 2


class Squares:
    """A data set in the same style, without PyTorch; each example is drawn anew."""

    def __init__(self, length=20, bad=None):
        self.length, self.bad, self.reads = length, bad, 0

    def __len__(self):
        return self.length

    def __getitem__(self, i):
        self.reads += 1
        if i == 7 and self.bad is not None:
            return self.bad
        return np.full(4, i, np.float32) / 20, i % 2


def test_anything_of_that_style_is_read_example_by_example():
    data = Squares()
    trained(data, epochs=3, threads=1)
    assert 3 * 20 <= data.reads <= 3 * 20 + 20


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (Squares(bad=3), "Squares returned a int; an example"),
        (Squares(bad=(1, 2, 3)), "Squares returned 3 parts"),
        (Squares(bad=(np.zeros(5), 1)), r"several shapes, such as \(4,\) and \(5,\)"),
        (Squares(bad=(np.array("text"), 1)), "holds <U4"),
        (Squares(length=0), "is empty"),
        (iter([]), "has no number of examples"),
    ],
)
def test_data_that_are_none(data, expected):
    with pytest.raises(tg.errors.TinygradError, match=expected):
        trained(data)


def test_data_without_a_length():
    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter([])

    with pytest.raises(tg.errors.OptionError, match="has no number of"):
        trained(torch.utils.data.DataLoader(Stream(), 4))


def test_a_foreign_loader_cannot_be_resumed(tmp_path):
    x, y = blobs()
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), 16, shuffle=True)
    with pytest.raises(tg.errors.OptionError, match="resume= cannot repeat the order"):
        trained(loader, resume=tmp_path)
    assert not [*tmp_path.iterdir()]


# -- ONNX files from PyTorch ---------------------------------------------------------------------


class TheirRecurrent(torch.nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.layer = kind(3, 5, batch_first=True, bidirectional=True)
        self.head = torch.nn.Linear(10, 2)

    def forward(self, x):
        return self.head(self.layer(x)[0][:, -1])


EXPORTED = {
    "convolutions": (network, (2, 1, 8, 8)),
    "lstm": (lambda: TheirRecurrent(torch.nn.LSTM), (2, 6, 3)),
    "gru": (lambda: TheirRecurrent(torch.nn.GRU), (2, 6, 3)),
}


@pytest.mark.filterwarnings("ignore")  # PyTorch's exporter has many
@pytest.mark.parametrize("name", EXPORTED)
def test_files_that_pytorch_exported(name, tmp_path):
    pytest.importorskip("onnx", reason="the extra onnx is not installed")
    make, shape = EXPORTED[name]
    theirs, x = make().eval(), drawn(*shape)
    # As it is trained: otherwise PyTorch puts batch norms into the weights before them.
    how = {"dynamo": False, "do_constant_folding": False, "training": torch.onnx.TrainingMode.PRESERVE}
    torch.onnx.export(theirs, (torch.tensor(x),), tmp_path / "m.onnx", opset_version=17, **how)
    ours = tg.import_onnx(tmp_path / "m.onnx")
    expected = theirs(torch.tensor(x))
    np.testing.assert_allclose(ours(x).data, expected.detach().numpy(), rtol=1e-4, atol=1e-6)
    (expected**2).sum().backward()
    np.sum(ours(x) ** 2).backward()
    found = {name: p.grad.data for name, p in ours.named_parameters() if p.grad is not None}
    for parameter, p in theirs.named_parameters():
        np.testing.assert_allclose(found[parameter], p.grad.numpy(), rtol=1e-3, atol=1e-5, err_msg=parameter)
