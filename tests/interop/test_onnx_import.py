"""ONNX files that we read: those that we wrote, those of ONNX's own tests, and those of people who mean harm."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import check_cases
from onnx_models import OTHERS, QUICK, floats, gradients, make

import tinygrad_mnist as tg
from tinygrad_mnist import nn

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
helper, Type = onnx.helper, onnx.TensorProto


# -- here → ONNX → here --------------------------------------------------------------------------


def check_round_trip(name, path):
    model, x = make(name)
    model.eval()
    tg.export_onnx(model, x, path)
    again = tg.import_onnx(path)
    for a, b in zip(tg.trees.leaves(model(x)), tg.trees.leaves(again(x)), strict=True):
        np.testing.assert_allclose(b.data, a.data, atol=1e-6 * max(1, np.abs(a.data).max()))
    ours, theirs = gradients(model, x), gradients(again, x)
    assert ours.keys() == theirs.keys() == {name for name, _ in model.named_parameters()}
    for name, g in ours.items():
        np.testing.assert_allclose(theirs[name], g, atol=3e-6 * max(1, np.abs(g).max()), err_msg=name)


def test_networks_there_and_back(tmp_path):
    check_cases(check_round_trip, [(name, name, tmp_path / "model.onnx") for name in QUICK])


@pytest.mark.thorough
def test_more_networks_there_and_back(tmp_path):
    check_cases(check_round_trip, [(name, name, tmp_path / "model.onnx") for name in OTHERS])


def test_an_imported_model_trains_on_and_is_saved(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 4)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int64)
    first = nn.MLP([4, 8, 2], rng=0)
    tg.export_onnx(first, x, tmp_path / "a.onnx")
    model = tg.import_onnx(tmp_path / "a.onnx")
    histories = [
        tg.training.fit(
            m, (x, y), epochs=8, rng=0, progress=False, optimizer=tg.optim.Adam(m.parameters(), lr=0.1)
        )
        for m in (first, model)
    ]
    assert histories[1]["train_loss"] == pytest.approx(histories[0]["train_loss"], rel=1e-4)
    assert histories[1]["train_loss"][-1] < histories[1]["train_loss"][0] / 2
    tg.export_onnx(model, x, tmp_path / "b.onnx")
    again = tg.import_onnx(tmp_path / "b.onnx")
    np.testing.assert_allclose(again(x).data, model(x).data, atol=1e-6)
    assert again.state_dict().keys() == first.state_dict().keys()


def test_buffers_stay_constant_and_frozen_parameters_do_not(tmp_path):
    class Shifted(nn.Module):
        def __init__(self):
            self.register_buffer("table", np.arange(3, dtype=np.float32))
            self.scale, self.frozen = nn.Parameter(np.ones(3)), nn.Parameter(np.ones(3))
            self.frozen.requires_grad = False

        def forward(self, x):
            return self.frozen * (x + self.table) * self.scale

    tg.export_onnx(Shifted(), floats(2, 3), tmp_path / "model.onnx")
    again = tg.import_onnx(tmp_path / "model.onnx")
    assert sorted(name for name, _ in again.named_parameters()) == ["frozen", "scale"]
    assert again(np.zeros((1, 3), np.float32)).tolist() == [[0, 1, 2]]


def test_an_imported_model_compiles(tmp_path):
    model, x = make("lenet")
    tg.export_onnx(model, x, tmp_path / "model.onnx")
    again = tg.import_onnx(tmp_path / "model.onnx")
    np.testing.assert_allclose(tg.compile(again)(x).data, model.eval()(x).data, atol=1e-5)


# -- the tests of ONNX ---------------------------------------------------------------------------


def run_node_tests(cases, folder):
    """Run tests, and return how many pass; one that does not pass must have a known reason."""
    from node_tests import check, reason

    passed, faults = 0, []
    for case in cases:
        try:
            check(case, folder)
            passed += 1
        except Exception as error:
            if not reason(case, error):
                faults.append(f"{case.name}: {error}")
    assert not faults, "\n".join(faults)
    return passed


def test_node_tests(tmp_path):
    from node_tests import USUAL, is_ours, load

    assert run_node_tests(filter(is_ours, load(*USUAL)), tmp_path) > 180


@pytest.mark.thorough
def test_all_node_tests(tmp_path):
    from node_tests import is_ours, load

    assert run_node_tests(filter(is_ours, load()), tmp_path) > 1_100


def test_the_page_lists_every_operator_and_every_form():
    from tinygrad_mnist.interop.onnx.forms import FORMS
    from tinygrad_mnist.interop.onnx.operators import OPERATORS

    page = (Path(__file__).parents[2] / "docs" / "onnx.md").read_text(encoding="utf-8")
    assert [name for name in (*OPERATORS, *FORMS) if f"`{name}`" not in page] == []


# -- files that are not what they should be ------------------------------------------------------


def tensor(name, array, **changes):
    made = onnx.numpy_helper.from_array(np.asarray(array), name)
    for key, value in changes.items():
        if key == "dims":
            made.ClearField("dims")
            made.dims.extend(value)
        else:
            setattr(made, key, value)
    return made


def model_of(nodes, weights=(), opset=18, ir=8, inputs=("x",), outputs=("y",)):
    graph = helper.make_graph(
        [helper.make_node(*node[:3], **(node[3] if len(node) > 3 else {})) for node in nodes],
        "g",
        [helper.make_tensor_value_info(name, Type.FLOAT, None) for name in inputs],
        [helper.make_tensor_value_info(name, Type.FLOAT, None) for name in outputs],
        list(weights),
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)


def external(name, location, **more):
    made = tensor(name, np.zeros(4, np.float32), data_location=Type.EXTERNAL)
    made.ClearField("raw_data")
    for key, value in {"location": location, **more}.items():
        made.external_data.add(key=key, value=str(value))
    return made


ADD = [("Add", ["x", "w"], ["y"])]
W = np.zeros(4, np.float32)

BROKEN = {
    "nothing": (b"", "has no graph"),
    "text": (b"hello, world", "not a readable ONNX file"),
    "cut short": (model_of(ADD, [tensor("w", W)]).SerializeToString()[:-7], "not a readable ONNX|not computed"),
    "a newer format": (model_of(ADD, [tensor("w", W)], ir=999), "version 999 of the file format"),
    "newer operators": (model_of(ADD, [tensor("w", W)], opset=999), "version 999 of the operators"),
    "an unknown operator": (model_of([("Frobnicate", ["x"], ["y"])]), "'Frobnicate'.*no such operators"),
    "a domain": (model_of([("Relu", ["x"], ["y"], {"domain": "evil"})]), "'evil.Relu'"),
    "a cycle": (model_of([("Add", ["x", "b"], ["a"]), ("Relu", ["a"], ["b"]), ("Relu", ["b"], ["y"])]), "has a cycle"),
    "itself": (model_of([("Add", ["x", "y"], ["y"])]), "has a cycle"),
    "twice": (model_of([("Relu", ["x"], ["y"]), ("Abs", ["x"], ["y"])]), "two nodes return 'y'"),
    "an output from nowhere": (model_of([("Relu", ["x"], ["z"])]), "output 'y' is not computed"),
    "huge": (model_of(ADD, [tensor("w", W, dims=[2**40, 2**20])]), "more than is read"),
    "negative": (model_of(ADD, [tensor("w", W, dims=[-4])]), "more than is read"),
    "more numbers": (model_of(ADD, [tensor("w", W, dims=[5])]), "'w': not a readable tensor"),
    "fewer numbers": (model_of(ADD, [tensor("w", W, dims=[3])]), "'w': not a readable tensor"),
    "no such type": (model_of(ADD, [tensor("w", W, data_type=77)]), "numbers of type 77"),
    "text as weights": (model_of(ADD, [helper.make_tensor("w", Type.STRING, [1], [b"a"])]), "numbers of type STRING"),
    "outside": (model_of(ADD, [external("w", "../secret")]), "not in the folder of the file"),
    "absolute": (model_of(ADD, [external("w", "/etc/passwd")]), "not in the folder of the file"),
    "nowhere": (model_of(ADD, [external("w", "")]), "not in the folder of the file"),
    "a null character": (model_of(ADD, [external("w", "a\0b")]), "not in the folder of the file"),
    "a link to outside": (model_of(ADD, [external("w", "link")]), "not in the folder of the file"),
    "the folder": (model_of(ADD, [external("w", ".")]), "'w'.*a folder, not a file"),
    "missing": (model_of(ADD, [external("w", "none")]), "'w'.*no such file"),
    "short": (model_of(ADD, [external("w", "short")]), "cut short"),
    "beyond": (model_of(ADD, [external("w", "long", offset=2**60)]), "'w'.*(cut short|Invalid argument)"),
    "before": (model_of(ADD, [external("w", "long", offset=-8)]), "not a readable tensor"),
    "longer than it is": (model_of(ADD, [external("w", "long", length=2**50)]), "not a readable tensor"),
    "no number": (model_of(ADD, [external("w", "long", offset="x")]), "not a readable tensor"),
    "an input left out": (model_of([("Add", ["x", ""], ["y"])]), "Add.*lacks an input that it needs"),
    "no input of a function": (model_of([("Sigmoid", [""], ["y"])]), "Sigmoid.*lacks an input that it needs"),
    "one of several left out": (model_of([("Concat", ["x", ""], ["y"], {"axis": 0})]), "Concat.*lacks an input"),
    "a graph": (model_of([("Relu", ["x"], ["y"], {"g": model_of(ADD).graph})]), "neither numbers nor text"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_files_that_are_refused(name, tmp_path):
    content, expected = BROKEN[name]
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(bytes(100))
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "short").write_bytes(bytes(3))
    (folder / "long").write_bytes(bytes(100))
    path = folder / "model.onnx"
    path.write_bytes(content if isinstance(content, bytes) else content.SerializeToString())
    with pytest.raises(tg.errors.TinygradError, match=expected) as raised:
        tg.import_onnx(path)
    assert str(path) in str(raised.value)
    assert len(str(raised.value)) < 600


def test_external_weights_beside_the_file_are_read(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "weights").write_bytes(np.arange(6, dtype=np.float32).tobytes())
    model = model_of(ADD, [external("w", "data/weights", offset=8, length=16)])
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    found = tg.import_onnx(tmp_path / "model.onnx")
    assert found(np.ones(4, np.float32)).tolist() == [3, 4, 5, 6]


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(tg.errors.MissingFileError):
        tg.import_onnx(tmp_path / "none.onnx")


def test_a_node_that_names_more_outputs_than_it_has(tmp_path):
    model = model_of([("Relu", ["x"], ["a", "b"]), ("Abs", ["b"], ["y"])])
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(tg.errors.DataError, match=r"Abs .* takes 'b', which a node names"):
        tg.import_onnx(tmp_path / "model.onnx")(W)


@pytest.mark.parametrize("kind", ["nodes", "integers", "groups", "weights"])
def test_a_file_of_too_many_parts(tmp_path, monkeypatch, kind):
    """Protobuf would take a hundred times the size of a file of empty nodes, and eight times that of small integers."""
    from tinygrad_mnist.interop.onnx import reading

    monkeypatch.setattr(reading, "MOST_PARTS", 1_000)
    path, count = tmp_path / "model.onnx", 2**21 + 1
    if kind == "nodes":
        path.write_bytes(part(7, part(1, b"") * count))
    elif kind == "groups":
        path.write_bytes(b"\x0b" * 2**23)
    elif kind == "integers":
        path.write_bytes(part(7, part(5, part(5, bytes(2**23)))))
    else:
        path.write_bytes(model_of(ADD, [tensor("w", np.ones(count, np.float32))]).SerializeToString())
        assert tg.import_onnx(path)._weights["w"].shape == (count,)
        return
    expected = "a part of kind 3" if kind == "groups" else "it has more than 1,000 parts"
    with pytest.raises(tg.errors.DataError, match=f"not a readable ONNX file: {expected}"):
        tg.import_onnx(path)


def test_an_output_that_no_node_has(tmp_path):
    nodes = [("Relu", ["x"], ["y", "unused"])]
    (tmp_path / "model.onnx").write_bytes(model_of(nodes).SerializeToString())
    assert tg.import_onnx(tmp_path / "model.onnx")(W).tolist() == [0, 0, 0, 0]
    (tmp_path / "model.onnx").write_bytes(model_of(nodes, outputs=("y", "unused")).SerializeToString())
    with pytest.raises(
        tg.errors.DataError, match=r"the output 'unused' is one that a node names more than it has"
    ):
        tg.import_onnx(tmp_path / "model.onnx")(W)


def test_an_attribute_of_another_kind(tmp_path):
    model = model_of([("MaxPool", ["x"], ["y"], {"auto_pad": [1, 2], "kernel_shape": [2, 2]})])
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(
        tg.errors.UnsupportedError, match=r"MaxPool .* cannot be computed for inputs of shape"
    ):
        tg.import_onnx(tmp_path / "model.onnx")(np.ones((1, 1, 4, 4), np.float32))


def test_the_limit_of_the_weights(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(model_of(ADD, [tensor("w", np.zeros(1000, np.float32))]).SerializeToString())
    with pytest.raises(tg.errors.DataError, match="pass a larger max_bytes"):
        tg.import_onnx(path, max_bytes=3_999)
    assert tg.import_onnx(path, max_bytes=4_000)._weights["w"].shape == (1000,)


def varint(number):
    """A number as protobuf writes it."""
    head, rest = number & 127, number >> 7
    return bytes([head | 128]) + varint(rest) if rest else bytes([head])


def part(field, content):
    """A part of a message as protobuf writes it."""
    return varint(field << 3 | 2) + varint(len(content)) + content


def shape(*sizes):
    return tensor("s", np.array(sizes, np.int64))


def test_a_larger_limit_is_for_results_too(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(model_of([("Expand", ["x", "s"], ["y"])], [shape(2**25, 4)]).SerializeToString())
    x = np.ones(4, np.float32)
    with pytest.raises(tg.errors.UnsupportedError, match="pass import_onnx a larger max_bytes"):
        tg.import_onnx(path)(x)
    assert tg.import_onnx(path, max_bytes=2**29)(x).shape == (2**25, 4)  # a view


BOMBS = {
    "a constant": model_of([("ConstantOfShape", ["s"], ["y"])], [shape(2**20, 2**20)]),
    "an expansion": model_of([("Expand", ["x", "s"], ["y"])], [shape(2**20, 2**20, 1)]),
    "tiles": model_of([("Tile", ["x", "s"], ["y"])], [shape(2**40)]),
    "a range": model_of(
        [("Range", ["a", "b", "a"], ["y"])], [tensor("a", np.int64(1)), tensor("b", np.int64(2**60))]
    ),
    "a margin": model_of([("Pad", ["x", "s"], ["y"])], [shape(2**40, 2**40)]),
    "classes": model_of(
        [("OneHot", ["i", "d", "v"], ["y"])],
        [tensor("i", [0]), tensor("d", np.int64(2**45)), tensor("v", np.array([0.0, 1.0], np.float32))],
    ),
    "a larger image": model_of(
        [("Reshape", ["x", "r"], ["i"]), ("Resize", ["i", "", "", "s"], ["y"])],
        [shape(1, 1, 2**20, 2**20), tensor("r", np.array([1, 1, 2, 2]))],
    ),
    "doubles": model_of(
        [("Concat", [f"d{i}"] * 2, [f"d{i + 1}"], {"axis": 0}) for i in range(60)],
        outputs=("d60",), inputs=("d0",),
    ),
    "products": model_of(
        [
            ("Reshape", ["x", "c"], ["d0"]),
            ("Expand", ["d0", "s"], ["big"]), ("Transpose", ["big"], ["turned"], {"perm": [1, 0]}),
            ("MatMul", ["turned", "big"], ["y"]),
        ],
        [tensor("c", np.array([-1, 1])), shape(4, 2**22)],
    ),
}  # fmt: skip

RUN = """
import resource, sys
import numpy as np, tinygrad_mnist as tg
for path in sys.argv[1:]:
    model = tg.import_onnx(path, max_bytes=2**22)
    resource.setrlimit(resource.RLIMIT_AS, (3 * 2**30, 3 * 2**30))
    resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
    try:
        y = model(np.ones(4, np.float32))
        print("used", y.nbytes)
    except tg.errors.UnsupportedError as error:
        print("refused", error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of memory are POSIX")
def test_a_few_bytes_cannot_ask_for_any_amount_of_memory(tmp_path):
    paths = []
    for name, model in BOMBS.items():
        paths.append(tmp_path / f"{name}.onnx")
        paths[-1].write_bytes(model.SerializeToString())
    environment = {**os.environ, "PYTHONPATH": str(Path(tg.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", RUN, *map(str, paths)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert len(lines) == len(BOMBS)
    for name, line in zip(BOMBS, lines, strict=True):
        assert line.startswith("refused"), (name, line)
        assert "larger than" in line, (name, line)


# -- calls that do not fit -----------------------------------------------------------------------


@pytest.fixture
def two_inputs(tmp_path):
    (tmp_path / "m.onnx").write_bytes(
        model_of([("Add", ["a", "b"], ["y"])], inputs=("a", "b")).SerializeToString()
    )
    return tg.import_onnx(tmp_path / "m.onnx")


def test_inputs_by_position_or_by_name(two_inputs):
    a, b = floats(3), floats(3)
    for y in (two_inputs(a, b), two_inputs(a, b=b), two_inputs(b=b, a=a)):
        assert np.array_equal(np.asarray(y), a + b)


def test_inputs_that_do_not_fit(two_inputs):
    with pytest.raises(tg.errors.OptionError, match="missing: b, unknown: none"):
        two_inputs(floats(3))
    with pytest.raises(tg.errors.OptionError, match="3 inputs for a model that takes 2"):
        two_inputs(floats(3), floats(3), floats(3))
    with pytest.raises(tg.errors.OptionError, match="unknown: c"):
        two_inputs(floats(3), floats(3), c=1)
    with pytest.raises(tg.errors.DTypeError, match="'b' is of"):
        two_inputs(floats(3), np.array(["x"]))
    with pytest.raises(
        tg.errors.UnsupportedError,
        match=r"Add \(in 'Add'\) cannot be computed for inputs of shape \(3,\), \(4,\)",
    ):
        two_inputs(floats(3), floats(4))


# -- training ------------------------------------------------------------------------------------


def test_batch_norm_and_dropout_of_a_file_follow_the_mode(tmp_path):
    weights = [
        tensor(name, np.full(3, value, np.float32)) for name, value in zip("wbmv", (2, 1, 0, 1), strict=True)
    ]
    nodes = [("BatchNormalization", ["x", *"wbmv"], ["n"]), ("Dropout", ["n"], ["y"])]
    (tmp_path / "m.onnx").write_bytes(model_of(nodes, weights).SerializeToString())
    model = tg.import_onnx(tmp_path / "m.onnx")
    assert [name for name, _ in model.named_parameters()] == ["w", "b"]
    assert [name for name, _ in model.named_buffers()] == ["m", "v"]
    x = floats(50, 3) + 3
    np.testing.assert_allclose(model(x).data, x * 2 / np.sqrt(1 + 1e-5) + 1, rtol=1e-5)
    y = model.train()(x).data
    assert 0.3 < (y == 0).mean() < 0.7
    np.testing.assert_allclose(model.m, 0.1 * x.mean(0), rtol=1e-5)
