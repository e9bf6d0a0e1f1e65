"""A whole file of every format that the package reads, and functions that use it as a person would."""

from __future__ import annotations

import contextlib
import functools
import gzip
import importlib.util
import io
import json
import pickle
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow import parquet
from scipy.io import savemat

import tinygrad_mnist as tg
from tinygrad_mnist import nn
from tinygrad_mnist.cli import cli
from tinygrad_mnist.cli.explaining import name_backend
from tinygrad_mnist.data import load_files, load_mnist, read_csv, read_digit, read_images
from tinygrad_mnist.experiments import experiment, sweep
from tinygrad_mnist.training import History, load_model, save_model, save_run
from tinygrad_mnist.training.runs import Run

Use = Callable[[Path], Any]
Change = Callable[[bytes], bytes]

IDX = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
]


@dataclass
class Kind:
    """A kind of file: one of a folder, and what is done with the folder.

    The file is damaged between ``unpack`` and ``pack``. ``is_slow`` marks what takes more than some milliseconds.
    """

    file: str
    write: Use
    use: Use
    unpack: Change = bytes
    pack: Change = bytes
    is_json: bool = False
    is_slow: bool = False


def make_kinds() -> dict[str, Kind]:
    """Every kind by its name."""
    return {**data_sets(), **pictures(), **arrays(), **graphs(), **runs()}


# -- data sets -----------------------------------------------------------------------------------


@functools.cache
def digits() -> list[np.ndarray]:
    """Three digits to train with and two to test with: images, labels, images, labels."""
    train, test = load_mnist("sample")
    return [train.inputs[:3], train.targets[:3], test.inputs[:2], test.targets[:2]]


def idx(array: np.ndarray) -> bytes:
    return (
        struct.pack(f">{array.ndim + 1}I", 0x0800 + array.ndim, *array.shape)
        + array.astype(np.uint8).tobytes()
    )


def write_idx(folder: Path) -> None:
    for name, array in zip(IDX, digits(), strict=True):
        (folder / name).write_bytes(idx(array))


def write_idx_packed(folder: Path) -> None:
    write_idx(folder)
    (folder / f"{IDX[0]}.gz").write_bytes(gzip.compress((folder / IDX[0]).read_bytes()))
    (folder / IDX[0]).unlink()


def write_csv(folder: Path) -> None:
    x, y, xt, yt = digits()
    for part, images, labels in (("train", x, y), ("test", xt, yt)):
        rows = np.column_stack([labels, images.reshape(len(images), -1)]).tolist()
        text = "".join(",".join(map(str, row)) + "\n" for row in rows)
        (folder / f"mnist_{part}.csv").write_text(text)
        (folder / f"{part}.csv.gz").write_bytes(gzip.compress(text.encode()))


def write_npz(folder: Path, save: Callable[..., None] = np.savez) -> None:
    save(folder / "mnist.npz", **dict(zip(("x_train", "y_train", "x_test", "y_test"), digits(), strict=True)))


def write_pickle(folder: Path, protocol: int) -> None:
    x, y, xt, yt = digits()
    images = [part.reshape(-1, 784).astype(np.float32) / np.float32(256) for part in (x[:2], x[2:], xt)]
    content = pickle.dumps(tuple(zip(images, (y[:2], y[2:], yt), strict=True)), protocol)
    (folder / "mnist.pkl").write_bytes(content)


def write_pickle_packed(folder: Path) -> None:
    write_pickle(folder, 2)
    (folder / "mnist.pkl.gz").write_bytes(gzip.compress((folder / "mnist.pkl").read_bytes()))
    (folder / "mnist.pkl").unlink()


def member(name: str) -> tuple[Change, Change]:
    """Take a member out of a zip archive, and put another in its place."""
    whole: dict[str, bytes] = {}

    def unpack(content: bytes) -> bytes:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            whole.update({info: archive.read(info) for info in archive.namelist()})
        return whole[name]

    def pack(content: bytes) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for info, data in {**whole, name: content}.items():
                archive.writestr(info, data)
        return out.getvalue()

    return unpack, pack


def data_sets() -> dict[str, Kind]:
    gz: dict[str, Any] = {"unpack": gzip.decompress, "pack": gzip.compress}
    images, labels = member("x_train.npy"), member("y_test.npy")
    return {
        "idx images": Kind(IDX[0], write_idx, load_mnist),
        "idx labels": Kind(IDX[3], write_idx, load_mnist),
        "idx.gz": Kind(f"{IDX[0]}.gz", write_idx_packed, load_mnist),
        "idx in gz": Kind(f"{IDX[0]}.gz", write_idx_packed, load_mnist, **gz),
        "csv": Kind("mnist_test.csv", write_csv, load_mnist),
        "one csv": Kind("mnist_test.csv", write_csv, lambda folder: read_csv(folder / "mnist_test.csv")),
        "csv in gz": Kind("test.csv.gz", write_csv, lambda folder: read_csv(folder / "test.csv.gz"), **gz),
        "npz": Kind("mnist.npz", write_npz, load_mnist),
        "npz, packed": Kind("mnist.npz", lambda folder: write_npz(folder, np.savez_compressed), load_mnist),
        "images in npz": Kind("mnist.npz", write_npz, load_mnist, *images),
        "labels in npz": Kind("mnist.npz", write_npz, load_mnist, *labels),
        "pickle 0": Kind("mnist.pkl", lambda folder: write_pickle(folder, 0), load_mnist),
        "pickle 2": Kind("mnist.pkl", lambda folder: write_pickle(folder, 2), load_mnist),
        "pickle 5": Kind("mnist.pkl", lambda folder: write_pickle(folder, 5), load_mnist),
        "pickle in gz": Kind("mnist.pkl.gz", write_pickle_packed, load_mnist, **gz),
        **{
            f"own {file.replace(chr(47), chr(32))}": Kind(
                file, write_own, lambda folder, file=file: load_files(folder / file.partition("/")[0])
            )
            for file in OWN
        },
        "own images": Kind("t.csv", write_own, lambda folder: read_images(folder / "t.csv")),
    }


#: The user's own data, each in one file.
OWN = ("t.csv", "t.svm", "t.npz", "t.mat", "t.parquet", "pictures/a/0.png")


def write_own(folder: Path) -> None:
    x, y, *_ = digits()
    rows = [",".join(map(str, [label, *image.reshape(-1)])) for image, label in zip(x, y, strict=True)]
    (folder / "t.csv").write_text("\n".join([",".join(["label", *map("pixel{}".format, range(784))]), *rows]))
    (folder / "t.svm").write_text("".join(f"{label} 1:0.5 {label + 2}:0.25 16:1\n" for label in (0, 1, 2)))
    np.savez(folder / "t.npz", images=x / 255, labels=y)
    savemat(folder / "t.mat", {"X": x.reshape(len(x), -1), "y": y})
    parquet.write_table(pa.table({"image": list(x.reshape(len(x), -1)), "label": y}), folder / "t.parquet")
    for name, image in zip("ab", x, strict=False):
        (folder / "pictures" / name).mkdir(exist_ok=True, parents=True)
        Image.fromarray(image).save(folder / "pictures" / name / "0.png")


# -- pictures ------------------------------------------------------------------------------------


def picture(file: str, **settings: Any) -> Kind:
    """A picture of a digit, three times as large as MNIST's, dark on light."""

    def write(folder: Path) -> None:
        pixels = np.kron(255 - digits()[0][0], np.ones((3, 3), np.uint8))
        if file.endswith(".npy"):
            np.save(folder / file, pixels / 255)
        else:
            Image.fromarray(pixels).convert("RGB").save(folder / file, **settings)

    return Kind(file, write, lambda folder: read_digit(folder / file))


def with_checksums(content: bytes) -> bytes:
    """Mend the checksums of a PNG, so that what they cover is read."""
    out, rest = content[:8], content[8:]
    while len(rest) >= 12 and len(rest) >= 12 + (length := int.from_bytes(rest[:4])):
        out += rest[: 8 + length] + zlib.crc32(rest[4 : 8 + length]).to_bytes(4)
        rest = rest[12 + length :]
    return out + rest


def pictures() -> dict[str, Kind]:
    endings = ("npy", "png", "jpg", "gif", "bmp", "webp", "tiff", "ppm")
    twice = {"save_all": True, "append_images": [Image.new("RGB", (84, 84))]}
    return {
        **{ending: picture(f"a.{ending}") for ending in endings},
        "png, checksums": replace(picture("a.png"), pack=with_checksums),
        "progressive jpg": picture("a.jpg", progressive=True),
        "packed tiff": picture("a.tiff", compression="tiff_lzw"),
        "two png": picture("a.png", **twice),
        "two gif": picture("a.gif", **twice),
    }


# -- arrays and models ---------------------------------------------------------------------------


def small_model() -> nn.Module:
    return nn.MLP([6, 5, 3], dropout=0.1, rng=0)


def large_model() -> nn.Module:
    """Every kind of argument that a description has."""
    return nn.Sequential(
        nn.Flatten(),
        nn.MLP([4, 3, 2], nn.Tanh, "softmax", dropout=0.5, dtype=np.float64, rng=0),
        nn.Linear(2, 3, False, weight_init="xavier_normal", rng=1),
        nn.Sequential(nn.LeakyReLU(0.3), nn.ELU(alpha=0.5), nn.Softmax(axis=0), nn.Dropout(p=0.3, rng=1)),
    )


def full_state() -> dict[str, Any]:
    model = small_model()
    optimizer = tg.optim.Adam(model.parameters(), 0.1)
    np.sum(model(np.ones((2, 6), np.float32))).backward()
    optimizer.step()
    generator = np.random.default_rng(0).bit_generator.state
    return {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "generator": generator}


def header() -> tuple[Change, Change]:
    """Take the header out of a safetensors file, and put another in its place."""
    data = b""

    def unpack(content: bytes) -> bytes:
        nonlocal data
        length = int.from_bytes(content[:8], "little")
        data = content[8 + length :]
        return content[8 : 8 + length]

    return unpack, lambda content: len(content).to_bytes(8, "little") + content + data


def description() -> tuple[Change, Change]:
    """Take the description out of a saved model, and put another in its place."""
    before, after = header()
    whole: dict[str, Any] = {}

    def unpack(content: bytes) -> bytes:
        whole.update(json.loads(before(content)))
        return whole["__metadata__"]["model"].encode()

    def pack(content: bytes) -> bytes:
        return after(json.dumps({**whole, "__metadata__": {"model": content.decode("latin1")}}).encode())

    return unpack, pack


def arrays() -> dict[str, Kind]:
    kinds = {}
    for ending in ("safetensors", "npz"):
        file = f"a.{ending}"
        for name, state in (("arrays", small_model().state_dict()), ("state", full_state())):
            kinds[f"{name} in {ending}"] = Kind(
                file,
                lambda folder, file=file, state=state: tg.save(state, folder / file),
                lambda folder, file=file: tg.load(folder / file),
            )
    file = "a.safetensors"
    kinds["header of a state"] = replace(
        kinds["state in safetensors"], **dict(zip(("unpack", "pack"), header(), strict=True)), is_json=True
    )
    for name, make, parts in (
        ("model", small_model, (bytes, bytes)),
        ("header of a model", small_model, header()),
        ("description", small_model, description()),
        ("long description", large_model, description()),
    ):
        kinds[name] = Kind(
            file,
            lambda folder, make=make: save_model(make(), folder / file),
            lambda folder: load_model(folder / file),
            *parts,
            is_json=parts != (bytes, bytes),
        )
    return kinds


# -- graphs of ONNX ------------------------------------------------------------------------------


@functools.cache
def whole_graph() -> bytes:
    """A file with operators of many kinds."""
    parts = (
        nn.Conv2d(1, 2, 3, rng=0),
        nn.BatchNorm2d(2),
        nn.MaxPool2d(2),
        nn.Upsample(scale_factor=2),
        nn.Flatten(),
    )
    first, rest = nn.Sequential(*parts), nn.Sequential(nn.Linear(8, 3, rng=0), nn.GELU(), nn.Softmax())

    def function(x: Any) -> Any:
        y = first(x)
        return rest(np.concatenate([y[:, ::2], y[:, 1::2]], axis=1)[:, ::4])

    with tempfile.TemporaryDirectory() as folder:
        tg.export_onnx(function, np.ones((1, 1, 6, 6), np.float32), Path(folder) / "a.onnx")
        return Path(folder, "a.onnx").read_bytes()


def graphs() -> dict[str, Kind]:
    if importlib.util.find_spec("onnx") is None:
        return {}
    return {
        "onnx": Kind(
            "a.onnx",
            lambda folder: Path(folder, "a.onnx").write_bytes(whole_graph()),
            lambda folder: tg.import_onnx(folder / "a.onnx")(np.ones((2, 1, 6, 6), np.float32)),
        )
    }


# -- runs ----------------------------------------------------------------------------------------


def command(*args: Any) -> None:
    """Run a command of ``tinygrad-mnist``, without what it prints."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        cli.main([str(arg) for arg in args], standalone_mode=False)


@functools.cache
def whole_run() -> dict[str, bytes]:
    """The files of a run of the command line, as small as one can be."""
    options = ("--dataset", "sample", "--hidden", "4", "--epochs", "2", "--no-plots", "--no-compile")
    with tempfile.TemporaryDirectory() as folder:
        command("train", *options, "--out", Path(folder) / "run")
        return {path.name: path.read_bytes() for path in Path(folder, "run").iterdir()}


def write_run(folder: Path) -> None:
    (folder / "run").mkdir()
    for name, content in whole_run().items():
        (folder / "run" / name).write_bytes(content)
    np.save(folder / "picture.npy", digits()[0][0])


def write_saved_run(folder: Path) -> None:
    """A run that was made in Python."""
    save_run(nn.MLP([784, 4, 10], rng=0), folder / "run", data=load_mnist("sample"), loss="cross-entropy")
    np.save(folder / "picture.npy", digits()[0][0])


def use_saved_run(folder: Path) -> None:
    command("predict", folder / "run", folder / "picture.npy")
    command("evaluate", folder / "run")


def use_run(folder: Path) -> None:
    """Everything that reads a run, but for the commands that take long."""
    run = Run(folder / "run")
    history = run.history()
    assert history._repr_html_()
    assert repr(history)
    with contextlib.suppress(tg.errors.DataError):
        history.best("val_loss")
    name_backend(run)
    command("predict", folder / "run", folder / "picture.npy")
    command("predict", folder / "run", folder / "picture.npy", "--json")


def measure_run(folder: Path) -> None:
    for name in ("evaluate", "draw-graph", "gradcheck", "doctor"):
        command(name, folder / "run")
    command("step-through", folder / "run", folder / "picture.npy", "--out", folder / "steps.html")


def resume_run(folder: Path) -> None:
    command("train", "--resume", folder / "run", "--no-plots", "--epochs", 2)


@experiment()
@click.option("--size", default=1)
@click.option("--share", default=0.5)
@click.option("--name", default="a")
def nothing(report: Any, **_: Any) -> None:
    """Do nothing."""


def write_experiment(folder: Path) -> None:
    with contextlib.redirect_stderr(io.StringIO()):
        nothing.main(["--size", "3", "--out", str(folder / "run")], standalone_mode=False)


def resume_experiment(folder: Path) -> None:
    with contextlib.redirect_stderr(io.StringIO()):
        nothing.main(["--resume", str(folder / "run")], standalone_mode=False)


def identity(x: int) -> dict[str, int]:
    return {"y": x}


def use_sweep(folder: Path) -> None:
    with contextlib.redirect_stderr(io.StringIO()):
        sweep(identity, [{"x": 1}], folder, workers=1)


def runs() -> dict[str, Kind]:
    rows = [{"epoch": i, "lr": 0.1, "val_loss": 1 / i, "val_accuracy": 0.5, "note": "é"} for i in (1, 2, 3)]
    return {
        "history": Kind(
            "h.jsonl",
            lambda folder: History(rows).save(folder / "h.jsonl"),
            lambda folder: History.load(folder / "h.jsonl")._repr_html_(),
        ),
        "config": Kind("run/config.json", write_run, use_run, is_json=True),
        "result": Kind("run/result.json", write_run, use_run, is_json=True),
        "history of a run": Kind("run/history.jsonl", write_run, use_run),
        "model of a run": Kind("run/model.safetensors", write_run, use_run),
        "weights of a run": Kind("run/model.safetensors", write_run, use_run, *description(), is_json=True),
        "config, measured": Kind("run/config.json", write_run, measure_run, is_json=True, is_slow=True),
        "config, explained": Kind(
            "run/config.json", write_run, lambda f: command("explain", f / "run"), is_json=True, is_slow=True
        ),
        "history, measured": Kind("run/history.jsonl", write_run, measure_run, is_slow=True),
        "checkpoint": Kind("run/checkpoint.safetensors", write_run, resume_run, is_slow=True),
        "header of a checkpoint": Kind(
            "run/checkpoint.safetensors", write_run, resume_run, *header(), is_json=True, is_slow=True
        ),
        "config, resumed": Kind("run/config.json", write_run, resume_run, is_json=True, is_slow=True),
        "config of save_run": Kind(
            "run/config.json", write_saved_run, use_saved_run, is_json=True, is_slow=True
        ),
        "experiment": Kind("run/config.json", write_experiment, resume_experiment, is_json=True),
        "sweep": Kind("x=1.json", use_sweep, use_sweep, is_json=True),
    }
