"""The file formats: every one read alike, and hostile files refused in words."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest

from tinygrad_mnist import reading
from tinygrad_mnist.data import load_mnist, read_csv
from tinygrad_mnist.errors import DataError

NAMES = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
]


@pytest.fixture
def arrays():
    """Thirty digits in place of MNIST's 70,000; 0 and 255 are among the pixels."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (30, 28, 28), dtype=np.uint8)
    x[:, 0, :2] = 0, 255
    y = rng.integers(0, 10, 30, dtype=np.uint8)
    return x[:20], y[:20], x[20:], y[20:]


def idx(array):
    return struct.pack(f">{array.ndim + 1}I", 0x0800 + array.ndim, *array.shape) + array.tobytes()


def write_idx(folder, arrays, pack=gzip.compress, names=NAMES, suffix=".gz"):
    for name, array in zip(names, arrays, strict=True):
        (folder / f"{name}{suffix}").write_bytes(pack(idx(array)))
    return folder


def write_npz(path, arrays, **changes):
    keys = dict(zip(["x_train", "y_train", "x_test", "y_test"], arrays, strict=True)) | changes
    np.savez_compressed(path, **{key: value for key, value in keys.items() if value is not None})
    return path


def csv(x, y, header=""):
    return header + "".join(
        f"{label},{','.join(map(str, row))}\n"
        for label, row in zip(y.tolist(), x.reshape(len(x), -1).tolist(), strict=True)
    )


def write_csv(folder, arrays):
    (folder / "mnist_train.csv").write_text(csv(*arrays[:2]))
    (folder / "mnist_test.csv").write_text(csv(*arrays[2:]))
    return folder


def three_parts(arrays, scale=256):
    x, y, xt, yt = arrays
    floats = x.reshape(-1, 784).astype(np.float32) / np.float32(scale)
    tests = xt.reshape(-1, 784).astype(np.float32) / np.float32(scale)
    return (
        (floats[:15], y[:15].astype(np.int64)),
        (floats[15:], y[15:].astype(np.int64)),
        (tests, yt.astype(np.int64)),
    )


def write_pickle(path, parts, protocol=2):
    path.write_bytes(gzip.compress(pickle.dumps(parts, protocol=protocol)))
    return path


def assert_same(found, arrays):
    train, test = found
    for got, expected in zip((train.inputs, train.targets, test.inputs, test.targets), arrays, strict=True):
        np.testing.assert_array_equal(got, expected)
    assert train.inputs.dtype == test.inputs.dtype == np.uint8
    assert train.targets.dtype == test.targets.dtype == np.int64
    assert "unverified" in train.source


# --------------------------------------------------------------------------- good files


@pytest.mark.parametrize("suffix", [".gz", ""])
@pytest.mark.parametrize("names", [NAMES, [name.replace("-idx", ".idx") for name in NAMES]])
def test_idx(tmp_path, arrays, names, suffix):
    write_idx(tmp_path, arrays, gzip.compress if suffix else bytes, names, suffix)
    assert_same(load_mnist(tmp_path), arrays)


def test_idx_that_a_browser_unpacked_but_did_not_rename(tmp_path, arrays):
    assert_same(load_mnist(write_idx(tmp_path, arrays, bytes)), arrays)


def test_npz(tmp_path, arrays):
    write_npz(tmp_path / "mnist.npz", arrays)
    assert_same(load_mnist(tmp_path), arrays)
    assert_same(load_mnist(tmp_path / "mnist.npz"), arrays)
    flat = [a.reshape(len(a), -1) if a.ndim == 3 else a.astype(">i4") for a in arrays]
    assert_same(load_mnist(write_npz(tmp_path / "flat.npz", flat)), arrays)
    fortran = [np.asfortranarray(a) for a in arrays]
    assert_same(load_mnist(write_npz(tmp_path / "fortran.npz", fortran)), arrays)


@pytest.mark.parametrize("header", ["", "label," + ",".join(f"p{i}" for i in range(784)) + "\n"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\n\n"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_csv(tmp_path, arrays, header, newline, suffix):
    pack = gzip.compress if suffix else bytes
    for part, (x, y) in (("train", arrays[:2]), ("test", arrays[2:])):
        text = csv(x, y, header).replace("\n", newline)
        (tmp_path / f"mnist_{part}.csv{suffix}").write_bytes(pack(text.encode()))
    assert_same(load_mnist(tmp_path), arrays)


def test_one_csv_file(tmp_path, arrays):
    write_csv(tmp_path, arrays)
    data = read_csv(tmp_path / "mnist_test.csv")
    np.testing.assert_array_equal(data.inputs, arrays[2])
    np.testing.assert_array_equal(data.targets, arrays[3])
    assert data[0][0].shape == (784,)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("scale", [255, 256])
def test_pickle(tmp_path, arrays, protocol, scale):
    path = write_pickle(tmp_path / "mnist.pkl.gz", three_parts(arrays, scale), protocol)
    assert_same(load_mnist(path), arrays)
    assert_same(load_mnist(tmp_path), arrays)


def test_pickle_of_bytes_in_two_parts(tmp_path, arrays):
    parts = [list(arrays[:2]), list(arrays[2:])]
    assert_same(load_mnist(write_pickle(tmp_path / "mnist.pkl", parts)), arrays)


def test_pickle_written_by_older_numpy(tmp_path, arrays):
    path = tmp_path / "mnist.pkl"
    path.write_bytes(pickle.dumps(three_parts(arrays), protocol=0).replace(b"numpy._core", b"numpy.core"))
    assert_same(load_mnist(path), arrays)


def test_pickle_written_by_python_2(tmp_path, arrays):
    # cPickle.dump(..., protocol=2) of Python 2 writes the pixels as a byte string: opcode T.
    def array(a):
        shape = b"(" + b"".join(b"J" + struct.pack("<i", n) for n in a.shape) + b"t"
        dtype = b"cnumpy\ndtype\nU\x02" + a.dtype.str[1:].encode() + b"K\x00K\x01\x87R"
        dtype += b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        created = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        return (
            created + b"(K\x01" + shape + dtype + b"\x89T" + struct.pack("<i", a.nbytes) + a.tobytes() + b"tb"
        )

    parts = b"".join(array(x) + array(y) + b"\x86" for x, y in three_parts(arrays))
    path = tmp_path / "mnist.pkl.gz"
    path.write_bytes(gzip.compress(b"\x80\x02" + parts + b"\x87."))
    assert_same(load_mnist(path), arrays)


# --------------------------------------------------------------------------- bad files


def refused(path, *words):
    with pytest.raises(DataError) as caught:
        load_mnist(path)
    message = str(caught.value)
    assert all(word in message for word in words), message
    return message


def images_header(magic=0x803, count=20, height=28, width=28):
    return struct.pack(">4I", magic, count, height, width)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda b: images_header(magic=0x801) + b[16:], "magic number 0x00000801"),
        (lambda b: images_header(magic=0xD03) + b[16:], "magic number 0x00000d03"),
        (lambda b: images_header(count=21) + b[16:], "15,680 bytes of data, but the header announces 16,464"),
        (lambda b: images_header(count=19) + b[16:], "there is more data after"),
        (lambda b: images_header(count=2**32 - 1) + b[16:], ": 4,294,967,295 examples"),
        (lambda b: images_header(count=0), ": 0 examples"),
        (lambda b: images_header(height=2**31, width=2**31) + b[16:], "2147483648×2147483648 pixels"),
        (lambda b: images_header(height=14, width=56) + b[16:], "14×56 pixels"),
        (lambda b: b[:-1], "cut short"),
        (lambda b: b[:10], "cut short"),
        (lambda b: b"", "cut short"),
        (lambda b: b + b"\0", "there is more data after"),
        (lambda b: b"<html>404 not found</html>", "magic number"),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_idx_images_that_lie(tmp_path, arrays, damage, words, pack):
    write_idx(tmp_path, arrays)
    path = tmp_path / f"{NAMES[0]}.gz"
    path.write_bytes(pack(damage(idx(arrays[0]))))
    refused(tmp_path, str(path), words)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (struct.pack(">2I", 0x803, 20) + bytes(20), "magic number 0x00000803"),
        (struct.pack(">2I", 0x801, 19) + bytes(19), "20 images but 19 labels"),
        (struct.pack(">2I", 0x801, 20) + bytes(19), "cut short"),
        (struct.pack(">2I", 0x801, 20) + bytes(19) + b"\x0a", "label 10 of example 19"),
    ],
)
def test_idx_labels_that_lie(tmp_path, arrays, labels, words):
    write_idx(tmp_path, arrays)
    (tmp_path / f"{NAMES[1]}.gz").write_bytes(gzip.compress(labels))
    refused(tmp_path, NAMES[1], words)


def test_gzip_that_is_damaged(tmp_path, arrays):
    path = write_idx(tmp_path, arrays) / f"{NAMES[0]}.gz"
    whole = path.read_bytes()
    for broken in (whole[: len(whole) // 2], whole[:-4], whole[:100] + b"\xff" * 50 + whole[150:], whole[:3]):
        path.write_bytes(broken)
        refused(tmp_path, str(path), "broken or cut short")


def test_gzip_bomb_is_not_unpacked(tmp_path, arrays, monkeypatch):
    unpacked = []
    gunzip = reading._Gunzip.readinto
    monkeypatch.setattr(
        reading._Gunzip, "readinto", lambda *args: unpacked.append(gunzip(*args)) or unpacked[-1]
    )
    path = write_idx(tmp_path, arrays) / f"{NAMES[0]}.gz"
    path.write_bytes(gzip.compress(images_header() + bytes(30_000_000)))
    refused(tmp_path, str(path), "there is more data after")
    assert 0 < sum(unpacked) < 1_000_000


def test_part_of_the_idx_files(tmp_path, arrays):
    write_idx(tmp_path, arrays)
    (tmp_path / f"{NAMES[3]}.gz").unlink()
    refused(tmp_path, NAMES[3], "missing")
    refused(tmp_path / f"{NAMES[0]}.gz", "folder with all four")


def test_nothing_there(tmp_path):
    refused(tmp_path, "no MNIST data", "mnist_train.csv")
    refused(tmp_path / "absent", "no such file or folder")
    (tmp_path / "notes.txt").write_text("hello")
    refused(tmp_path / "notes.txt", "not an MNIST file")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read(tmp_path, arrays):
    write_idx(tmp_path, arrays)
    (tmp_path / f"{NAMES[0]}.gz").chmod(0)
    refused(tmp_path, "cannot be read")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"x_train": None}, "no x_train"),
        ({"x_train": np.zeros((20, 28, 27), np.uint8)}, "uint8[20, 28, 27]"),
        ({"x_train": np.zeros((20, 28, 28), np.int16)}, "int16[20, 28, 28]"),
        ({"x_train": np.zeros((20, 28, 28))}, "float64[20, 28, 28]"),
        ({"y_test": np.zeros(10)}, "float64[10]"),
        ({"x_train": np.zeros((19, 28, 28), np.uint8)}, "19 images but 20 labels"),
        ({"x_train": np.uint8(3)}, "uint8[]"),
        ({"x_train": np.zeros((0, 28, 28), np.uint8)}, ": 0 examples"),
        ({"y_test": np.zeros((10, 10), np.uint8)}, "one label per image"),
        ({"y_test": np.full(10, -1)}, "label -1 of example 0"),
        ({"y_test": np.array([3] * 9 + [99])}, "label 99 of example 9"),
        ({"y_test": np.array([print] * 10)}, "elements of 'object'"),
        ({"x_test": np.zeros((10, 28, 28), "u1,u1")}, "expected numbers"),
    ],
)
def test_npz_that_lies(tmp_path, arrays, changes, words):
    path = write_npz(tmp_path / "mnist.npz", arrays, **changes)
    refused(path, str(path), words)


def test_npz_with_a_boastful_header(tmp_path, arrays):
    for shape, words in [
        ((20, 2**40), "more than 784,000,000 bytes are not read"),
        ((2**40, 28, 28), "more than 784,000,000 bytes are not read"),
        ((-1, 28, 28), "more than 784,000,000 bytes are not read"),
        ((0, 2**70), "there is more data after the 0 bytes"),
        ((200_000, 28, 28), "cut short"),
    ]:
        stream = io.BytesIO()
        np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": shape})
        path = write_npz(tmp_path / "mnist.npz", arrays, x_train=None)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("x_train.npy", stream.getvalue() + bytes(1000))
        refused(path, str(path), words)


def test_npz_that_is_none(tmp_path):
    path = tmp_path / "mnist.npz"
    for content in (b"", b"PK\x03\x04 and then nothing", b"\x93NUMPY"):
        path.write_bytes(content)
        refused(path, "not a readable npz archive")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("5" + ",0" * 783, "row 2: 784 values"),
        ("5" + ",0" * 785, "row 2: 786 values"),
        ("5" + ",0" * 783 + ",x", "row 2, column 785: 'x'"),
        ("5" + ",0" * 783 + ",", "row 2, column 785: ''"),
        ("5,256" + ",0" * 783, "row 2, column 2: '256'"),
        ("5,-1" + ",0" * 783, "row 2, column 2: '-1'"),
        ("5,0.5" + ",0" * 783, "row 2, column 2: '0.5'"),
        ("5," + "9" * 4500 + ",0" * 783, "row 2, column 2"),
        ("5,\x1c5" + ",0" * 782 + ",x", "row 2, column 785: 'x'"),
        ("10" + ",0" * 784, "row 2: the label is 10"),
        ("label" + ",0" * 784, "row 2, column 1: 'label'"),
        ("5" + ",0" * 784 + " " * 9000, "row 2: too long for"),
        ("\0" * 50, "row 2: 1 values"),
        ('"5"' + ",0" * 784, "row 2, column 1"),
    ],
)
def test_csv_rows_that_are_wrong(tmp_path, arrays, row, words):
    good = "3" + ",255" * 784
    write_csv(tmp_path, arrays)
    path = tmp_path / "mnist_train.csv"
    path.write_text(f"{good}\n{row}\n{good}\n")
    refused(tmp_path, str(path), words)


def test_csv_files_that_are_wrong(tmp_path, arrays):
    write_csv(tmp_path, arrays)
    path = tmp_path / "mnist_train.csv"
    path.write_text("")
    refused(tmp_path, "holds no rows")
    path.write_text("label,p0\n\n")
    refused(tmp_path, "holds no rows")
    path.write_text("1,2,3\n4,5,6\n")
    refused(tmp_path, "3 values")
    refused(path, "both mnist_train.csv and mnist_test.csv", "read_csv")
    path.unlink()
    refused(tmp_path, "mnist_train.csv is missing")
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_csv(path)


def test_csv_of_blank_lines(tmp_path):
    path = tmp_path / "mnist_train.csv.gz"
    path.write_bytes(gzip.compress(b"\n" * 30_000_000, 1))
    with pytest.raises(DataError, match="holds no rows"):
        read_csv(path)


def test_csv_of_too_many_rows(tmp_path, monkeypatch):
    monkeypatch.setattr("tinygrad_mnist.data.formats.table.MAX_EXAMPLES", 5)
    path = tmp_path / "mnist_train.csv"
    path.write_text(("3" + ",0" * 784 + "\n") * 6)
    with pytest.raises(DataError, match="more than 5 rows"):
        read_csv(path)


class Evil:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 5])
@pytest.mark.parametrize(
    "call", [(os.mkdir,), (eval, "__import__('os').mkdir({!r})"), (getattr, os, "mkdir")]
)
def test_pickle_that_runs_code_does_not(tmp_path, arrays, protocol, call):
    target = tmp_path / "made by the pickle"
    function, *rest = call
    arguments = tuple(a.format(str(target)) if isinstance(a, str) else a for a in rest) or (str(target),)
    if os in arguments:
        arguments = (Evil(__import__, ("os",)), "mkdir")
    parts = (*three_parts(arrays)[:2], Evil(function, arguments))
    path = write_pickle(tmp_path / "mnist.pkl.gz", parts, protocol)
    refused(path, str(path), "only NumPy arrays are read")
    assert not target.exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: p[:1], "1 parts"),
        (lambda p: 7, "not a readable pickle"),
        (lambda p: (p[0], p[1], (1, 2)), "not a readable pickle"),
        (lambda p: (p[0], (p[1][0], p[1][1][:-1])), "5 images but 4 labels"),
        (lambda p: (p[0], (p[1][0] * 2, p[1][1])), "neither 0–255"),
        (lambda p: (p[0], (p[1][0] - 1, p[1][1])), "neither 0–255"),
        (lambda p: (p[0], (p[1][0] * np.nan, p[1][1])), "neither 0–255"),
        (lambda p: (p[0], (p[1][0] + np.inf, p[1][1])), "neither 0–255"),
        (lambda p: (p[0], (p[1][0] * 0.3, p[1][1])), "neither 0–255"),
        (lambda p: (p[0], (p[1][0][:, :-1], p[1][1])), "shape [783]"),
        (lambda p: (p[0], (p[1][0], p[1][1] + 10)), "not one of the classes"),
        (lambda p: (p[0], (p[1][0], p[1][1] * 1.0)), "one integer per image"),
        (lambda p: (p[0], (np.array([print]), p[1][1])), "not a readable pickle"),
        (lambda p: (p[0], (np.array(["a"]), p[1][1])), "expected numbers"),
    ],
)
def test_pickle_that_lies(tmp_path, arrays, change, words):
    path = write_pickle(tmp_path / "mnist.pkl.gz", change(three_parts(arrays)))
    refused(path, str(path), words)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x80\x02Nr\xff\xff\xff\x7f.", "not iterable"),  # remember None as number 2,147,483,647
        (b"\x80\x02\x8e" + struct.pack("<Q", 2**60) + b"abc.", "announces 1,152,921,504,606,846,976 bytes"),
        (b"\x80\x02\x8e" + struct.pack("<Q", 2**28) + b"abc.", "cut short"),
        (b"\x80\x02X" + struct.pack("<I", 2**28) + b"abc.", "cut short"),
        (b"\x80\x02X" + struct.pack("<I", 4) + "a€".encode() + b".", "latin-1"),
        (b"V\\u1234\n.", "latin-1"),
        (b"\x80\x02}.", "instruction that arrays do not need: b'}'"),
        (b"\x80\x04\x8f(K\x01\x90.", "instruction that arrays do not need"),
        (b"\x8b\xff\xff\xff\x7f", "instruction that arrays do not need"),
        (b"L" + b"9" * 400 + b"L\n.", "a line of more than 300 bytes"),
        (b"c" + b"a" * 200 + b"\nb\n.", "a line of more than 100 bytes"),
        (b"K\x01" * 6_000 + b".", "more than 5,000 instructions"),
        (b"", "cut short"),
        (b".", "pop from empty list"),
        (b"K\x01a.", "IndexError|out of range"),
        (b"](K\x01K\x02e.", "cannot unpack"),
    ],
)
def test_pickle_that_asks_for_memory_or_time(tmp_path, content, words):
    path = tmp_path / "mnist.pkl"
    path.write_bytes(content)
    with pytest.raises(DataError, match=words) as caught:
        load_mnist(path)
    assert str(path) in str(caught.value)


def test_pickle_that_unpacks_to_too_much(tmp_path, monkeypatch):
    monkeypatch.setattr("tinygrad_mnist.data.formats.pickled.MAX_BYTES", 2_000_000)
    path = tmp_path / "mnist.pkl.gz"
    path.write_bytes(gzip.compress(b"\x80\x02(" + (b"B" + struct.pack("<I", 900_000) + bytes(900_000)) * 4))
    refused(path, "more than 2,000,000 bytes")


# --------------------------------------------------------------------------- any file


@pytest.mark.parametrize("kind", ["idx", "npz", "csv", "pickle"])
def test_damage_is_a_data_error_or_harmless(tmp_path, arrays, kind):
    arrays = [a[:3] for a in arrays]
    if kind == "idx":
        path = write_idx(tmp_path, arrays, bytes, suffix="") / NAMES[0]
    elif kind == "npz":
        path = write_npz(tmp_path / "mnist.npz", arrays)
    elif kind == "csv":
        path = write_csv(tmp_path, arrays) / "mnist_train.csv"
    else:
        parts = (arrays[0].reshape(3, 784), arrays[1]), (arrays[2].reshape(3, 784), arrays[3])
        path = tmp_path / "mnist.pkl"
        path.write_bytes(pickle.dumps(parts, protocol=2))
    whole = path.read_bytes()
    rng = np.random.default_rng(1)
    outcomes = []
    for trial in range(150):
        damaged = bytearray(whole)
        # The first bytes matter most; half of the damage goes there.
        reach = len(whole) if trial % 2 else min(len(whole), 400)
        for position in rng.integers(0, reach, rng.integers(1, 5)):
            damaged[position] = rng.integers(0, 256)
        if trial % 5 == 0:
            damaged = damaged[: rng.integers(0, len(whole))]
        path.write_bytes(damaged)
        try:
            train, _ = load_mnist(tmp_path)
        except DataError as error:
            outcomes.append(str(error))
        else:
            assert train.inputs.shape[1:] == (28, 28)
            assert len(train.inputs) == len(train.targets)
            assert train.targets.max() <= 9
    assert len(outcomes) > 20
    assert all(str(path) in message for message in outcomes)
