"""ONNX files that we write: what onnxruntime finds in them, and what has no form."""

from __future__ import annotations

import re

import numpy as np
import pytest
from helpers import OPERATIONS, check_cases
from onnx_models import OTHERS, QUICK, floats, make

import tinygrad_mnist as tg
from tinygrad_mnist import nn
from tinygrad_mnist.interop.onnx.forms import FORMS
from tinygrad_mnist.primitive import operation

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")


def run(path, *inputs):
    """What onnxruntime finds."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, dict(zip([x.name for x in session.get_inputs()], inputs, strict=True)))


def check_model(name, path, sizes=(1, 4, 5)):
    model, example = make(name)
    made = tg.export_onnx(model, example, path)
    assert made.difference < 1e-5
    assert set(made.parameters) >= {name for name, _ in model.named_parameters()}
    model.eval()
    for size in sizes:
        x = np.resize(example, (size, *example.shape[1:]))
        ours = [*tg.trees.leaves(model(x))]
        for a, b in zip(ours, run(path, x), strict=True):
            np.testing.assert_allclose(b, a.data, atol=1e-5 * max(1, np.abs(a.data).max()))


def test_networks_of_every_kind(tmp_path):
    check_cases(check_model, [(name, name, tmp_path / "model.onnx") for name in QUICK])


@pytest.mark.thorough
def test_more_networks(tmp_path):
    check_cases(check_model, [(name, name, tmp_path / "model.onnx") for name in OTHERS])


def check_form(p, sample, path):
    arrays = sample.draw(0, np.float32)
    drawn = [i for i, spec in enumerate(sample.arrays) if isinstance(spec, tuple)]

    def function(*given):
        values = list(arrays)
        for i, x in zip(drawn, given, strict=True):
            values[i] = x
        return p(*sample.arguments(*values), **sample.settings)

    tg.export_onnx(function, tuple(arrays[i] for i in drawn), path, batch_axis=None)


def real_samples(p):
    return [s for s in p.samples if not s.complex and any(isinstance(spec, tuple) for spec in s.arrays)]


def test_every_form_on_a_sample(tmp_path):
    path = tmp_path / "model.onnx"
    samples = [
        (p.name, p, real_samples(p)[-1 if p.name == "where" else 0], path)
        for p in map(operation, FORMS)
        if real_samples(p)
    ]
    assert len(samples) > 90
    check_cases(check_form, samples)


def check_form_or_refusal(p, sample, path):
    try:
        check_form(p, sample, path)
    except tg.errors.UnsupportedError as error:
        if not REFUSALS.search(str(error)):
            raise


REFUSALS = re.compile(
    "export_onnx: .*(has no form in ONNX|outside the graph|one batch|of other shapes for|does not allow)"
)


@pytest.mark.thorough
def test_every_sample_of_every_operation_is_right_or_refused(tmp_path):
    cases = [
        (f"{p.name} {i}", p, sample, tmp_path / "model.onnx")
        for p in OPERATIONS
        for i, sample in enumerate(real_samples(p))
    ]
    assert len(cases) > 800
    check_cases(check_form_or_refusal, cases)


def assigned(x):
    y = x * 1
    y[:, 1] = 7
    y[:, 2:] = x[:, :2] * 10
    y[..., -1] = y[:, 0]
    y[:, :1] = x.sum(axis=1, keepdims=True)
    y[:, 3:1] = 0
    return y


COMPARISONS = {
    "comparisons": lambda x: np.where((x > 0) & (x <= 1) | (x == 2), x, -1.0),
    "booleans": lambda x: np.where(np.logical_xor(x > 0, x != 0) | ~(x >= 1), 2.0, x),
    "rounding": lambda x: x * np.floor(x) + np.ceil(x) + np.rint(x) + np.sign(x),
    "places": lambda x: x[:, :1] + np.argmax(x, axis=1)[:, None] + np.argmin(x, axis=-1, keepdims=True),
    "any and all": lambda x: np.where(np.any(x > 1, axis=1, keepdims=True) | np.all(x < 0), x, 0.0),
    "the batch as a number": lambda x: x / len(x) + x.shape[0] * 2,
    "the batch as an array": lambda x: x[np.arange(len(x)), np.zeros(len(x), int)] + np.ones((len(x), 1)),
    "the batch repeated": lambda x: np.concatenate([x, x])[len(x) - 1 :],
    "broadcast to the batch": lambda x: np.broadcast_to(x[0], (2 * len(x), *x.shape[1:])),
    "a product with the batch": lambda x: np.reshape(x[:, :, None] * x[:, None], (len(x) * 2, -1)),
    "an output that is an input": lambda x: (x, x * 2),
    "an output that is constant": lambda x: {"a": x * 1, "b": np.arange(3.0)},
    "two names for one output": lambda x: [x + 1] * 2,
    "an assignment": lambda x: assigned(x),
    "order": lambda x: np.take_along_axis(x, np.argsort(-x, axis=1), axis=1) + np.sort(x, axis=0 - 1),
    "integers": lambda x: np.floor(x).astype(np.int64) // 2 * 3 % -2,
}


@pytest.mark.parametrize("name", COMPARISONS)
def test_forms_of_what_has_no_gradient_or_depends_on_the_batch(name, tmp_path):
    function = COMPARISONS[name]
    example = np.array([[0.3, -1.5, 2.0, 0.0], [1.5, 2.5, -0.5, 1.0]], np.float32)
    tg.export_onnx(function, example, tmp_path / "model.onnx")
    x = np.concatenate([example, example[::-1] * 2, example[:1]])
    found = function(tg.Tensor(x))
    found = found.values() if isinstance(found, dict) else tg.trees.leaves(found)
    for a, b in zip(found, run(tmp_path / "model.onnx", x), strict=True):
        np.testing.assert_allclose(b, np.asarray(a), rtol=1e-6)


def test_an_axis_of_the_batch(tmp_path):
    layer = nn.LSTM(3, 5, rng=0)
    tg.export_onnx(layer, floats(6, 2, 3), tmp_path / "model.onnx", batch_axis=1)
    x = floats(6, 7, 3)
    output, (h, c) = layer(x)
    for a, b in zip((output, h, c), run(tmp_path / "model.onnx", x), strict=True):
        np.testing.assert_allclose(b, a.data, atol=1e-6)


def test_inputs_and_outputs_have_names(tmp_path):
    class Two(nn.Module):
        def forward(self, image, label):
            return {"scaled": image * 2, "shifted": image + label}

    tg.export_onnx(Two(), (floats(2, 3), np.array([[1], [2]])), tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    assert [(x.name, x.shape) for x in session.get_inputs()] == [
        ("image", ["batch", 3]),
        ("label", ["batch", 1]),
    ]
    assert [(x.name, x.shape) for x in session.get_outputs()] == [
        ("scaled", ["batch", 3]),
        ("shifted", ["batch", 3]),
    ]


def test_the_file_is_that_of_evaluation(tmp_path):
    model = nn.Sequential(nn.Linear(4, 3, rng=0), nn.BatchNorm1d(3), nn.Dropout(0.5, rng=0))
    tg.export_onnx(model, floats(1, 4), tmp_path / "model.onnx")
    assert all(module.training for module in model.modules())


@tg.primitive(name="strange_to_onnx")
def strange(x, /):
    return 3 * x


strange.vjp(lambda g, y, x: 3 * g)


def test_an_operation_without_a_form_is_named_with_its_line(tmp_path):
    class Mine(nn.Module):
        def forward(self, x):
            y = strange(x)  # here
            return y + 1

    model = nn.Sequential(nn.Linear(2, 2, rng=0), Mine())
    expected = (
        r"export_onnx: strange_to_onnx has no form in ONNX in the layer 1.Mine, at .*test_onnx_export.py:\d+, "
        r"in forward: y = strange\(x\)  # here"
    )
    with pytest.raises(tg.errors.UnsupportedError, match=expected):
        tg.export_onnx(model, floats(1, 2), tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_a_number_from_outside_the_graph_is_refused_with_its_line(tmp_path):
    def function(x):
        return x * np.float32(x.data.mean())  # outside

    with pytest.raises(
        tg.errors.UnsupportedError, match=r"multiply uses an array .* outside the graph.*# outside"
    ):
        tg.export_onnx(function, floats(2, 2), tmp_path / "model.onnx")


def test_an_output_from_outside_the_graph_is_refused(tmp_path):
    with pytest.raises(
        tg.errors.UnsupportedError, match=r"an output of shape \(2, 2\) is not the same for every input"
    ):
        tg.export_onnx(lambda x: x.data * 2, floats(2, 2), tmp_path / "model.onnx")


def test_a_compiled_function_is_exported_as_itself(tmp_path):
    made = tg.export_onnx(tg.compile(nn.MLP([4, 3, 2], rng=0)), floats(2, 4), tmp_path / "model.onnx")
    assert made.parameters == ["0.weight", "0.bias", "2.weight", "2.bias"]


def test_half_precision_is_compared_by_its_own_measure(tmp_path):
    model = nn.MLP([4, 8, 3], rng=0).astype(np.float16)
    made = tg.export_onnx(model, floats(2, 4).astype(np.float16), tmp_path / "model.onnx")
    assert made.difference < 0.01
    assert run(tmp_path / "model.onnx", floats(5, 4).astype(np.float16))[0].dtype == np.float16


def test_what_onnxruntime_cannot_run_is_refused(tmp_path, capfd):
    model = nn.LSTM(3, 4, rng=0, dtype=np.float64)
    with pytest.raises(
        tg.errors.UnsupportedError, match=r"cannot run.*few operators for float64: export model.astype"
    ):
        tg.export_onnx(model, floats(5, 1, 3).astype(float), tmp_path / "model.onnx", batch_axis=1)
    assert not [*tmp_path.iterdir()]
    assert capfd.readouterr().err == ""


def test_random_numbers_are_refused(tmp_path):
    rng = np.random.default_rng(0)
    with pytest.raises(tg.errors.UnsupportedError, match="at random"):
        tg.export_onnx(
            lambda x: nn.functional.dropout(x, 0.5, rng=rng), floats(2, 50), tmp_path / "model.onnx"
        )


def test_another_way_for_another_batch_is_refused(tmp_path):
    with pytest.raises(tg.errors.UnsupportedError, match="one way only"):
        tg.export_onnx(
            lambda x: np.sin(x) if len(x) == 2 else np.cos(x), floats(2, 2), tmp_path / "model.onnx"
        )
    with pytest.raises(tg.errors.UnsupportedError, match="one way only"):
        tg.export_onnx(lambda x: sum([x] * len(x)), floats(2, 2), tmp_path / "model.onnx")


def test_another_way_for_a_single_example_is_found_by_onnxruntime(tmp_path):
    with pytest.raises(tg.errors.UnsupportedError, match="onnxruntime finds other results"):
        tg.export_onnx(lambda x: x if len(x) > 1 else -x, floats(2, 2), tmp_path / "model.onnx")
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("example", "expected"),
    [
        (np.float32(1), "has no axis 0"),
        (np.zeros((0, 3)), "holds no example"),
        (np.array([1j]), "complex128"),
        (np.array(["a"]), "pass numbers"),
    ],
)
def test_examples_that_are_none(example, expected, tmp_path):
    with pytest.raises(tg.errors.OptionError, match=expected):
        tg.export_onnx(lambda x: x, example, tmp_path / "model.onnx")


def test_complex_numbers_have_no_form(tmp_path):
    with pytest.raises(tg.errors.UnsupportedError, match="of complex numbers has no form in ONNX"):
        tg.export_onnx(lambda x: np.abs(x * 1j), floats(2, 2), tmp_path / "model.onnx")
