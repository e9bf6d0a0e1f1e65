"""Data as people have them: all forms of the same digits give the same data set; what is no data is named."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image
from scipy import sparse
from scipy.io import savemat

from tinygrad_mnist.data import load_files, load_mnist, read_csv, read_images
from tinygrad_mnist.data.standard import fit_digits
from tinygrad_mnist.errors import DataError


@pytest.fixture(scope="module")
def digits():
    """40 digits to train with and 20 to test with, of all classes."""
    train, test = load_mnist("sample")
    first, second = slice(None, None, 100), slice(None, None, 50)
    return train.inputs[first], train.targets[first], test.inputs[second], test.targets[second]


def idx(array, code=0x08):
    return struct.pack(f">{array.ndim + 1}I", 256 * code + array.ndim, *array.shape) + array.tobytes()


def table(x, y=None, separator=",", header=None, last=False):
    rows = [list(map(str, image.reshape(-1).tolist())) for image in x]
    if y is not None:
        rows = [
            [*row, str(label)] if last else [str(label), *row] for row, label in zip(rows, y, strict=True)
        ]
    return "".join(separator.join(row) + "\n" for row in ([header] if header else []) + rows)


def kaggle(folder, x, y, xt, yt):
    pixels = [f"pixel{i}" for i in range(784)]
    (folder / "train.csv").write_text(table(x, y, header=["label", *pixels]))
    (folder / "test.csv").write_text(table(xt, header=pixels))
    (folder / "sample_submission.csv").write_text("ImageId,Label\n1,0\n2,0\n")


def emnist(folder, x, y, xt, yt):
    for part, images, labels in (("train", x, y), ("test", xt, yt)):
        stem = f"emnist-digits-{part}"
        turned = np.ascontiguousarray(images.transpose(0, 2, 1))
        (folder / f"{stem}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(turned)))
        (folder / f"{stem}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels.astype(np.uint8))))
    (folder / "emnist-digits-mapping.txt").write_text("".join(f"{i} {48 + i}\n" for i in range(10)))


def qmnist(folder, x, y, xt, yt):
    for part, images, labels in (("train", x, y), ("test", xt, yt)):
        facts = np.zeros((len(labels), 8), ">i4")
        facts[:, 0], facts[:, 1:] = labels, np.arange(7)
        (folder / f"qmnist-{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
        (folder / f"qmnist-{part}-labels-idx2-int.gz").write_bytes(gzip.compress(idx(facts, 0x0C)))


def kmnist(folder, x, y, xt, yt):
    for name, array in (("train-imgs", x), ("train-labels", y), ("test-imgs", xt), ("test-labels", yt)):
        np.savez_compressed(folder / f"kmnist-{name}.npz", array)
    (folder / "kmnist_classmap.csv").write_text("index,codepoint,char\n0,U+304A,お\n")


def one_npz(folder, x, y, xt, yt):
    np.savez(folder / "digits.npz", X_train=x / 255, y_train=y, X_test=xt / 255, y_test=yt)


def one_hot_npy(folder, x, y, xt, yt):
    for part, images, labels in (("train", x, y), ("test", xt, yt)):
        np.save(folder / f"{part}_images.npy", images.reshape(-1, 784))
        np.save(folder / f"{part}_labels.npy", np.eye(10)[labels])


def pictures(folder, x, y, xt, yt):
    for part, images, labels in (("training", x, y), ("testing", xt, yt)):
        for i, (image, label) in enumerate(zip(images, labels, strict=True)):
            (folder / part / str(label)).mkdir(parents=True, exist_ok=True)
            Image.fromarray(255 - image).save(folder / part / str(label) / f"{i:03}.png")


def spaces(folder, x, y, xt, yt):
    """USPS, as "The elements of statistical learning" has it: floats from -1 to 1, and the label a float as well."""
    for part, images, labels in (("train", x, y), ("test", xt, yt)):
        rows = [
            " ".join([f"{label}.0000", *(f"{p / 127.5 - 1:.4f}" for p in image.reshape(-1))])
            for image, label in zip(images, labels, strict=True)
        ]
        (folder / f"zip.{part}.gz").write_bytes(gzip.compress(("\n".join(rows) + "\n").encode()))


def libsvm(folder, x, y, xt, yt):
    for name, images, labels in (("usps", x, y), ("usps.t", xt, yt)):
        rows = [
            " ".join([str(label), *(f"{i + 1}:{p / 255:.5f}" for i, p in enumerate(image.reshape(-1)) if p)])
            for image, label in zip(images, labels, strict=True)
        ]
        (folder / name).write_text("\n".join(rows) + "\n")


def one_folder_down(folder, *arrays):
    (folder / "archive" / "raw").mkdir(parents=True)
    (folder / "__MACOSX").mkdir()
    kmnist(folder / "archive" / "raw", *arrays)


def hugging_face(folder, x, y, xt, yt):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    for part, images, labels in (("train", x, y), ("test", xt, yt)):
        cells = []
        for image in images:
            Image.fromarray(image).save(png := io.BytesIO(), "PNG")
            cells.append({"bytes": png.getvalue(), "path": None})
        parquet.write_table(
            pa.table({"image": cells, "label": labels}), folder / f"{part}-00000-of-00001.parquet"
        )


def matlab(folder, x, y, xt, yt):
    scipy = pytest.importorskip("scipy.io")
    columns = {
        name: array.transpose(0, 2, 1).reshape(-1, 784) for name, array in (("Xtrain", x), ("Xtest", xt))
    }
    scipy.savemat(folder / "digits.mat", {**columns, "ytrain": y[:, np.newaxis], "ytest": yt[:, np.newaxis]})


FORMS = (
    emnist,
    qmnist,
    kmnist,
    one_npz,
    one_hot_npy,
    pictures,
    spaces,
    libsvm,
    one_folder_down,
    hugging_face,
    matlab,
)


@pytest.mark.parametrize("form", FORMS)
def test_the_same_digits_in_many_forms(tmp_path, digits, form):
    form(tmp_path, *digits)
    train, test = load_files(tmp_path)
    found = (*_sorted(train), *_sorted(test))
    expected = [*digits]
    for i in (0, 2):
        order = np.lexsort((*expected[i].reshape(len(expected[i]), -1).T, expected[i + 1]))
        expected[i], expected[i + 1] = expected[i][order], expected[i + 1][order]
    for got, want in zip(found, expected, strict=True):
        np.testing.assert_array_equal(got, want)
    assert train.classes == test.classes == tuple("0123456789")
    assert train.inputs.dtype == np.uint8
    assert train.targets.dtype == np.int64
    assert str(tmp_path) in train.source


def _sorted(data):
    order = np.lexsort((*data.inputs.reshape(len(data), -1).T, data.targets))
    return data.inputs[order], data.targets[order]


def test_kaggle(tmp_path, digits):
    kaggle(tmp_path, *digits)
    train, test = load_files(tmp_path)
    assert (len(train), len(test)) == (32, 8)
    assert "1 in 5 held out" in train.source
    again, _ = load_files(tmp_path / "train.csv")
    np.testing.assert_array_equal(again.inputs, train.inputs)
    data = read_csv(tmp_path / "train.csv")
    np.testing.assert_array_equal(data.inputs, digits[0])
    np.testing.assert_array_equal(data.targets, digits[1])
    np.testing.assert_array_equal(read_images(tmp_path / "test.csv", 28), digits[2])
    with pytest.raises(DataError, match=r"has no labels; .*read_images"):
        read_csv(tmp_path / "test.csv")
    with pytest.raises(DataError, match=r"no labels, .*predict RUN test\.csv"):
        load_files(tmp_path / "test.csv")
    with pytest.raises(DataError, match=r"28×28 pixels, but the model reads 8×8"):
        read_images(tmp_path / "test.csv", 8)


@pytest.mark.parametrize(
    ("separator", "header", "last"),
    [
        (",", None, False),
        (";", None, True),
        ("\t", ["class", *map(str, range(784))], False),
        (" ", [*map("p{}".format, range(784)), "Digit"], True),
        (",", ["label", *(f"{r}x{c}" for r in range(1, 29) for c in range(1, 29))], False),
        (",", ['"label"', *map('"V{}"'.format, range(784))], False),
        (",", [*map(str, range(785))], False),
        # The names of pixels may be numbers; pandas makes names of a first row, and no two alike.
        (",", ["outcome", *map(str, range(784))], False),
        (",", [*map(str, range(1, 785)), "Klasse"], True),
        (",", ["5", "0", *map("0.{}".format, range(1, 784))], False),
        ("|", None, False),
        (", ", ["label", *map("p{}".format, range(784))], False),
    ],
)
def test_tables(tmp_path, digits, separator, header, last):
    (tmp_path / "table.csv").write_text("\ufeff" + table(*digits[:2], separator, header, last))
    data = read_csv(tmp_path / "table.csv")
    np.testing.assert_array_equal(data.inputs, digits[0])
    np.testing.assert_array_equal(data.targets, digits[1])


def test_tables_with_numbered_rows_and_words_as_labels(tmp_path, digits):
    x, y = digits[:2]
    words = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])[y]
    lines = table(x, words).splitlines()
    names = ["", "Label", *(f"pixel{i}" for i in range(784))]
    (tmp_path / "t.csv").write_text(
        "\n".join([",".join(names), *(f"{i},{line}" for i, line in enumerate(lines))])
    )
    data = read_csv(tmp_path / "t.csv")
    np.testing.assert_array_equal(data.inputs, x)
    assert [data.classes[target] for target in data.targets] == list(words)


def written(digits, separator=",", number=str, label=str):
    """A table of images of 8×8, with numbers and labels written in one's own way."""
    images, labels = digits[0][:20, ::3, ::3][:, 1:9, 1:9], digits[1][:20]
    lines = [separator.join([label(y), *map(number, x.ravel())]) for x, y in zip(images, labels, strict=True)]
    return images, labels, "\n".join(lines) + "\n"


def comma(x):
    return f"{x / 255:.4f}".replace(".", ",")


@pytest.mark.parametrize(
    ("options", "before", "name"),
    [
        ({}, "# made by hand\n", "{}"),
        ({"separator": ";"}, "sep=;\n", "{}"),
        ({"separator": ";", "number": comma}, "", "{}"),
        ({"separator": "\t", "number": comma}, "", "{}"),
        ({"label": '"number {}, small"'.format}, "", "number {}, small"),
        ({"label": "Größe {}".format}, "", "Größe {}"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_tables_as_programs_write_them(tmp_path, digits, options, before, name, encoding):
    images, labels, text = written(digits, **options)
    (tmp_path / "t.csv").write_text(before + text, encoding=encoding)
    data = read_csv(tmp_path / "t.csv")
    np.testing.assert_array_equal(data.inputs, images)
    assert [data.classes[target] for target in data.targets] == [name.format(y) for y in labels]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda line: line.replace(",0,", ",,", 1), "row 1, column 2: has no value"),
        (lambda line: line.replace(",0,", ",NA,", 1), "row 1, column 2: has no value"),
        (lambda line: line + ",", "column 66: has no value.*end with a separator"),
        (lambda line: line.replace(",0,", ",nan,", 1), "not finite"),
    ],
)
def test_values_that_are_missing(tmp_path, digits, change, words):
    *_, text = written(digits)
    (tmp_path / "t.csv").write_text("\n".join(map(change, text.splitlines())))
    with pytest.raises(DataError, match=words):
        read_csv(tmp_path / "t.csv")


def test_a_column_of_words_beside_the_labels(tmp_path, digits):
    *_, text = written(digits)
    header = ",".join(["label", *map("p{}".format, range(64)), "usage"])
    (tmp_path / "t.csv").write_text("\n".join([header, *(line + ",train" for line in text.splitlines())]))
    with pytest.raises(DataError, match=r"column 66: holds text \('train'\), but the labels are in column 1"):
        read_csv(tmp_path / "t.csv")


def test_labels_that_could_be_at_either_end(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "t.csv").write_text(table(rng.integers(0, 9, (50, 64)), rng.integers(0, 9, 50)))
    with pytest.raises(DataError, match="the first and the last column could both be labels; name them"):
        read_csv(tmp_path / "t.csv")


def test_a_header_of_another_length(tmp_path):
    (tmp_path / "t.csv").write_text("label,a,b,c,d,id\n1,2,3,4,5\n0,3,4,5,6\n")
    with pytest.raises(DataError, match="row 1: 5 values, but the header has 6 names"):
        read_csv(tmp_path / "t.csv")


def test_matlabs_ten_is_the_digit_zero(tmp_path, digits):
    scipy = pytest.importorskip("scipy.io")
    x, y = digits[0][:, 4:24, 4:24], digits[1]
    columns = x.transpose(0, 2, 1).reshape(-1, 400) / 200 - 0.1  # goes beyond 0 and 1, as in the course
    scipy.savemat(tmp_path / "ex3data1.mat", {"X": columns, "y": np.where(y == 0, 10, y)[:, np.newaxis]})
    train, test = load_files(tmp_path / "ex3data1.mat")
    assert train.inputs.shape == (32, 20, 20)
    assert "label 10 is the digit 0" in train.source
    expected = 255 * np.clip(x / 200 - 0.1, 0, 1)
    for data in (train, test):
        for image, label in zip(data.inputs, data.targets, strict=True):
            nearest = np.abs(expected - image).max(axis=(1, 2)).argmin()
            assert np.abs(expected[nearest] - image).max() <= 0.51
            assert y[nearest] == label


@pytest.mark.parametrize("packed", [False, True])
def test_matlab_files_hold_many_things(tmp_path, digits, packed):
    x, y = digits[0][:20].reshape(20, -1), digits[1][:20]
    others = {
        "a": np.array([1 + 2j]),
        "b": sparse.eye_array(4).tocsc(),
        "c": np.array([x, "d"], object),
        "e": "ü",
    }
    data = {"train": {"images": x, "labels": y}, "test": {"images": x[:5], "labels": y[:5]}}
    savemat(tmp_path / "d.mat", {"data": data, **others}, do_compression=packed)
    train, test = load_files(tmp_path / "d.mat")
    np.testing.assert_array_equal(train.inputs.reshape(20, -1), x)
    assert len(test) == 5


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", [0, 8, 11, 14, 20, 127])
def test_types_that_do_not_exist_do_not_end_the_process(tmp_path, kind, packed):
    """SciPy looks such a type up without a check."""
    content = io.BytesIO()
    savemat(content, {"X": np.ones((3, 64)), "y": np.arange(3.0)})
    damaged = bytearray(content.getvalue())
    place = damaged.index(struct.pack("<II", 9, 8 * 3 * 64))  # doubles
    damaged[place : place + 4] = struct.pack("<I", kind)
    if packed:
        size = 8 + struct.unpack_from("<I", damaged, 132)[0]
        variable = zlib.compress(damaged[128 : 128 + size])
        damaged[128 : 128 + size] = struct.pack("<II", 15, len(variable)) + variable
    (tmp_path / "d.mat").write_bytes(damaged)
    with pytest.raises(DataError, match="not a readable MATLAB file"):
        load_files(tmp_path / "d.mat")


def test_letters_have_their_names(tmp_path, digits):
    x, y = digits[:2]
    for part in ("train", "test"):
        stem = tmp_path / f"emnist-letters-{part}"
        stem.with_name(stem.name + "-images-idx3-ubyte").write_bytes(
            idx(np.ascontiguousarray(x.transpose(0, 2, 1)))
        )
        stem.with_name(stem.name + "-labels-idx1-ubyte").write_bytes(idx((y + 1).astype(np.uint8)))
    (tmp_path / "emnist-letters-mapping.txt").write_text(
        "".join(f"{i} {64 + i} {96 + i}\n" for i in range(1, 27))
    )
    train, _ = load_files(tmp_path)
    assert train.classes == tuple(f"{a}/{a.lower()}" for a in "ABCDEFGHIJ")
    emnist(tmp_path, *digits)
    with pytest.raises(DataError, match=r"several data sets \(emnist-digits, emnist-letters\)"):
        load_files(tmp_path)
    assert load_files(tmp_path / "emnist-letters")[0].classes == train.classes


def test_classes_come_from_the_data(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("cat", "dog", "10", "9"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for i in range(10):
            Image.fromarray(rng.integers(0, 99, (16, 16), np.uint8)).save(
                tmp_path / "set" / name / f"{i}.png"
            )
    train, test = load_files(tmp_path)
    assert sorted(train.classes) == ["10", "9", "cat", "dog"]
    assert len(train) + len(test) == 40
    assert train.inputs.shape[1:] == (16, 16)


def test_folders_of_photos_are_cut_to_their_digits(tmp_path, digits):
    for i, (image, label) in enumerate(zip(*digits[:2], strict=True)):
        (tmp_path / str(label)).mkdir(exist_ok=True)
        paper = np.pad(255 - np.kron(image, np.ones((3, 3), np.uint8)), (10, 20 + i), constant_values=255)
        Image.fromarray(paper).save(tmp_path / str(label) / f"{i}.png")
    train, _ = load_files(tmp_path)
    assert train.inputs.shape[1:] == (28, 28)
    assert "each cut to its digit" in train.source
    known = digits[0] / digits[0].max(axis=(1, 2), keepdims=True)
    for image in train.inputs[:5] / 255:
        assert np.abs(known - image).mean(axis=(1, 2)).min() < 0.01


def test_the_size_of_digits(digits):
    assert fit_digits(digits[0]) == pytest.approx(20 / 28)
    assert fit_digits(digits[0][:, 4:24, 4:24]) == pytest.approx(1, abs=0.051)
    assert fit_digits(np.zeros((3, 28, 28), np.uint8)) == 20 / 28


def test_images_that_are_not_square(tmp_path):
    np.savez(tmp_path / "d.npz", images=np.eye(20, 28)[np.newaxis].repeat(5, 0), labels=np.arange(5))
    with pytest.raises(DataError, match=r"20×28 pixels .*only square ones.*28×28"):
        load_files(tmp_path / "d.npz")
    (tmp_path / "t.csv").write_text("label,a,b\n1,2,3\n0,3,4\n")
    with pytest.raises(DataError, match="2 pixels an image, which is no square"):
        load_files(tmp_path / "t.csv")


def packed(name, content):
    with zipfile.ZipFile(archive := io.BytesIO(), "w") as file:
        file.writestr(zipfile.ZipInfo(name), content)
    return archive.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<!DOCTYPE html>\n<html><title>404 Not Found</title>", "web page"),
        (gzip.compress(b"\n<html><body>sign in</body></html>", mtime=0), "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "git lfs pull"),
        (b"", "is empty"),
        (gzip.compress(b"", mtime=0), "empty once it is unpacked"),
        (packed("train.csv", "1,2"), "zip archive; unpack it"),
        (packed("xl/workbook.xml", "<"), "Excel; save it as CSV"),
        (b"BZh91AY", "bunzip2"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"%PDF-1.7 ", "PDF"),
        ("label,p0\n1,2\n".encode("utf-16"), "UTF-16"),
        (b'{"label": 1}', "JSON"),
        (b"\x7fELF\0\0\1\2", "not a file of digits"),
        (b"hello, world\n", "not a file of digits"),
    ],
)
def test_what_is_no_data_is_called_by_its_name(tmp_path, content, words):
    (tmp_path / "train.csv").write_bytes(content)
    for place in (tmp_path / "train.csv", tmp_path):
        with pytest.raises(DataError, match=words) as caught:
            load_files(place)
        assert str(tmp_path / "train.csv") in str(caught.value)


def test_folders_without_data(tmp_path, digits):
    with pytest.raises(DataError, match="no such file or folder"):
        load_files(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"no file of data .*Dataset\(images, labels\) takes any arrays"):
        load_files(tmp_path)
    Image.fromarray(digits[0][0]).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="put those of each class into a folder"):
        load_files(tmp_path)
    with pytest.raises(DataError, match=r"one picture"):
        load_files(tmp_path / "a.png")
    np.savez(tmp_path / "x.npz", a=digits[0], b=digits[0], labels=digits[1])
    with pytest.raises(DataError, match=r"several sets of images"):
        load_files(tmp_path / "x.npz")
    np.savez(tmp_path / "x.npz", a=digits[0] * 999.0, labels=digits[1])
    with pytest.raises(DataError, match="pixels from 0 to 25"):
        load_files(tmp_path / "x.npz")
