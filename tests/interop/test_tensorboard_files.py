"""What the callback wrote, read back by TensorBoard's own reader; and histories as data frames."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

import tinygrad_mnist as tg
from tinygrad_mnist import nn
from tinygrad_mnist.training import History, TensorBoard

pytest.importorskip("tensorboardX", reason="the extra tensorboard is not installed")


def read(folder):
    """Everything in the event files of a folder."""
    accumulators = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="TensorBoard is not installed"
    )
    everything = dict.fromkeys(("scalars", "histograms", "images", "tensors", "graph"), 0)
    return accumulators.EventAccumulator(str(folder), size_guidance=everything).Reload()


def train(folder, **settings):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 1, 6, 6)).astype(np.float32), np.arange(40) % 2
    model = nn.Sequential(nn.Conv2d(1, 2, 3, rng=0), nn.ReLU(), nn.Flatten(), nn.Linear(32, 2, rng=0))
    watch = TensorBoard(folder, **settings)
    history = tg.training.fit(
        model, (x, y), validation=(x, y), epochs=3, batch_size=10, callbacks=watch, rng=0, progress=False
    )
    return model, history


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("board")
    filters = lambda training: training.model[0].weight.data[:, 0]  # noqa: E731
    model, history = train(folder, images=lambda t: {"filters": filters(t), "grey": np.full((4, 5), 0.5)})
    return model, history, read(folder)


def test_scalars(trained):
    _, history, board = trained
    assert set(board.Tags()["scalars"]) == {"batch/loss", *history[0]} - {"epoch"}
    for name in ("train_loss", "validation_accuracy", "lr"):
        events = board.Scalars(name)
        assert [event.step for event in events] == [1, 2, 3]
        assert [event.value for event in events] == pytest.approx(history[name], rel=1e-6)
    losses = board.Scalars("batch/loss")
    assert [event.step for event in losses] == list(range(1, 13))
    assert np.mean([event.value for event in losses[:4]]) == pytest.approx(history[0]["train_loss"], rel=1e-5)


def test_histograms(trained):
    model, _, board = trained
    names = [name for name, _ in model.named_parameters()]
    assert set(board.Tags()["histograms"]) == {
        f"{kind}/{name}" for kind in ("parameters", "gradients") for name in names
    }
    last = board.Histograms("parameters/0.weight")[-1]
    weight = model[0].weight.data
    assert last.step == 3
    assert last.histogram_value.num == weight.size
    assert (last.histogram_value.min, last.histogram_value.max) == pytest.approx((weight.min(), weight.max()))
    assert last.histogram_value.sum == pytest.approx(weight.sum(), rel=1e-5)


def test_images(trained):
    _, _, board = trained
    grey = board.Images("grey")
    assert [image.step for image in grey] == [1, 2, 3]
    with Image.open(io.BytesIO(grey[-1].encoded_image_string)) as picture:
        assert picture.size == (5, 4)
        assert set(np.asarray(picture.convert("L")).reshape(-1)) <= {127, 128}


def test_the_graph(trained):
    _, _, board = trained
    from tensorboard.compat.proto import graph_pb2

    graph = graph_pb2.GraphDef.FromString(board.Graph().SerializeToString())
    found = {node.name: node for node in graph.node}
    assert set(found) == {
        "input", "0/weight", "0/bias", "0/Conv2d/conv2d", "1/ReLU/relu", "2/Flatten/reshape", "3/weight", "3/bias",
        "3/Linear/linear",
    }  # fmt: skip
    (convolution,) = [node for node in graph.node if node.op == "conv2d"]
    assert [found[name].op for name in convolution.input] == ["Parameter"] * 3
    assert "relu" in {node.op for node in graph.node}
    for node in graph.node:
        assert set(node.input) <= set(found)


def test_what_can_be_left_out(tmp_path):
    train(tmp_path, every=5, histograms=False, graph=False)
    board = read(tmp_path)
    assert board.Tags()["histograms"] == []
    assert not board.Tags()["graph"]
    assert [event.step for event in board.Scalars("batch/loss")] == [5, 10]


def test_settings_that_are_wrong(tmp_path):
    with pytest.raises(tg.errors.OptionError, match="every=0"):
        TensorBoard(tmp_path, every=0)
    with pytest.raises(tg.errors.ShapeError, match=r"image 'x' has shape \(3,\)"):
        train(tmp_path, images=lambda training: {"x": np.zeros(3)})


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(
        tg.errors.RunError, match=r"file: cannot be written: Not a directory\. Choose a folder"
    ):
        train(tmp_path / "file")


def test_a_training_that_resumes_may_begin_to_watch(tmp_path):
    x, y = np.eye(4, dtype=np.float32), np.array([0, 1, 0, 1])
    for epochs, callbacks in ((1, []), (3, [TensorBoard(tmp_path / "board")])):
        model = nn.MLP([4, 3, 2], rng=0)
        tg.training.fit(
            model, (x, y), epochs=epochs, callbacks=callbacks, resume=tmp_path / "run", rng=0, progress=False
        )
    assert [event.step for event in read(tmp_path / "board").Scalars("train_loss")] == [2, 3]


def test_a_history_as_a_data_frame():
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    rows = [{"epoch": 1, "train_loss": 0.5}, {"epoch": 2, "train_loss": 0.25, "validation_loss": 0.3}]
    frame = History(rows).to_pandas()
    assert list(frame.columns) == ["train_loss", "validation_loss"]
    assert list(frame.index) == [1, 2]
    assert frame.loc[2, "train_loss"] == 0.25
    assert pandas.isna(frame.loc[1, "validation_loss"])
    assert History().to_pandas().empty
