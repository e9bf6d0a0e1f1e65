"""Pictures of digits, brought into the form of MNIST."""

from __future__ import annotations

import struct
import sys
import zlib

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from tinygrad_mnist.data import load_mnist, read_digit
from tinygrad_mnist.errors import DataError, MissingExtraError, OptionError


@pytest.fixture(scope="module")
def digits():
    return load_mnist("sample")[1].inputs


def save(path, array):
    if path.suffix == ".npy":
        np.save(path, array)
    else:
        Image.fromarray(array).save(path)
    return path


def draw(height=200, width=160, paper=255, ink=0):
    """A thick letter L, well off the middle."""
    picture = np.full((height, width), paper, dtype=np.uint8)
    picture[20:114, 30:42] = ink
    picture[98:114, 30:96] = ink
    return picture


def centre(digit):
    rows, columns = np.indices(digit.shape)
    return (rows * digit).sum() / digit.sum(), (columns * digit).sum() / digit.sum()


@pytest.mark.parametrize("suffix", [".png", ".npy"])
def test_a_digit_of_mnist_is_left_as_it_is(tmp_path, digits, suffix):
    for digit in digits[:100]:
        found = read_digit(save(tmp_path / f"digit{suffix}", digit))
        np.testing.assert_allclose(found, digit / digit.max(), atol=1e-6)
        assert found.dtype == np.float32


def test_ink_and_paper_may_be_exchanged(tmp_path, digits):
    for digit in digits[:20]:
        found = read_digit(save(tmp_path / "digit.png", 255 - digit))
        np.testing.assert_allclose(found, digit / digit.max(), atol=1e-6)


def test_a_digit_moved_within_a_larger_picture(tmp_path, digits):
    for digit in digits[:20]:
        moved = np.zeros((70, 50), dtype=np.uint8)
        moved[40:68, 3:31] = digit
        np.testing.assert_allclose(
            read_digit(save(tmp_path / "d.png", moved)), digit / digit.max(), atol=1e-6
        )


def test_a_digit_enlarged_comes_back(tmp_path, digits):
    for digit in digits[:20]:
        large = np.kron(digit, np.ones((9, 9), dtype=np.uint8))
        np.testing.assert_allclose(
            read_digit(save(tmp_path / "d.png", large)), digit / digit.max(), atol=1e-5
        )


def test_size_and_place_are_those_of_mnist(tmp_path):
    found = read_digit(save(tmp_path / "d.png", draw()))
    rows, columns = np.flatnonzero(found.any(axis=1)), np.flatnonzero(found.any(axis=0))
    assert rows[-1] - rows[0] + 1 == 20
    assert columns[-1] - columns[0] + 1 == 14
    assert centre(found) == pytest.approx((14, 14), abs=0.501)
    assert found.max() == 1
    assert found.min() == 0


def test_all_kinds_of_files_agree(tmp_path):
    grey = draw(paper=230, ink=40)
    expected = read_digit(save(tmp_path / "grey.png", grey))
    rgb = np.stack([grey] * 3, axis=2)
    opaque = np.dstack([rgb, np.full_like(grey, 255)])
    on_glass = np.dstack([np.zeros_like(rgb), np.where(grey < 100, 255, 0).astype(np.uint8)])
    chalk = np.dstack([np.full_like(rgb, 255), np.where(grey < 100, 255, 0).astype(np.uint8)])
    kinds = {
        "rgb.png": rgb,
        "rgba.png": opaque,
        "black ink on glass.png": on_glass,
        "white ink on glass.png": chalk,
        "grey.npy": grey,
        "one channel.npy": grey[:, :, np.newaxis],
        "rgb.npy": rgb,
        "rgba.npy": opaque,
        "unit.npy": grey / 255,
        "float.npy": grey.astype(np.float64),
        "int.npy": grey.astype(np.int64),
        "deep.npy": grey.astype(np.uint16) * 257,
        "bool.npy": grey < 100,
        "deep.png": grey.astype(np.uint16) * 257,
        "fortran.npy": np.asfortranarray(grey),
    }
    for name, array in kinds.items():
        np.testing.assert_allclose(
            read_digit(save(tmp_path / name, array)), expected, atol=0.01, err_msg=name
        )
    Image.fromarray(grey).convert("P").save(tmp_path / "palette.png")
    np.testing.assert_allclose(read_digit(tmp_path / "palette.png"), expected, atol=0.01)


def test_ripples_of_jpeg_and_grain_of_paper_are_not_ink(tmp_path):
    expected = read_digit(save(tmp_path / "d.png", draw()))
    Image.fromarray(draw()).save(tmp_path / "d.jpg", quality=60)
    assert np.abs(read_digit(tmp_path / "d.jpg") - expected).mean() < 0.02
    noise = np.random.default_rng(0).normal(0, 6, (200, 160))
    grainy = np.clip(draw(paper=200, ink=60) + noise, 0, 255).astype(np.uint8)
    assert np.abs(read_digit(save(tmp_path / "grain.png", grainy)) - expected).mean() < 0.03


def test_a_stroke_may_run_off_the_edge(tmp_path):
    cut = draw()[:, 30:]
    expected = read_digit(save(tmp_path / "whole.png", draw()))
    np.testing.assert_allclose(read_digit(save(tmp_path / "cut.png", cut)), expected, atol=1e-6)


def test_a_dot_and_a_line(tmp_path):
    dot = np.zeros((50, 50), dtype=np.uint8)
    dot[7, 9] = 200
    assert read_digit(save(tmp_path / "dot.png", dot)).sum() == 400
    line = np.zeros((300, 300), dtype=np.uint8)
    line[10:290, 5] = 200
    found = read_digit(save(tmp_path / "line.png", line))
    assert found.sum() == pytest.approx(40, rel=0.1)  # two pixels wide, as a pen's stroke
    assert centre(found) == pytest.approx((14, 14), abs=0.501)


def test_another_size(tmp_path):
    path = save(tmp_path / "d.png", draw())
    assert read_digit(path, size=56).shape == (56, 56)
    with pytest.raises(OptionError, match="at least 8"):
        read_digit(path, size=4)


def test_a_photo_turned_by_its_camera(tmp_path):
    expected = read_digit(save(tmp_path / "d.png", draw()))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90° clockwise
    Image.fromarray(np.rot90(draw())).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_allclose(read_digit(tmp_path / "turned.png"), expected, atol=1e-6)


def boastful_png(side):
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + header
    chunks = [chunk, b"IDAT" + zlib.compress(b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks
    )


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.png", b"no picture", "not a readable picture"),
        ("a.png", b"", "not a readable picture"),
        ("a.png", None, "no such file"),
        ("a.npy", None, "no such file"),
        ("a.npy", b"no array", "not a readable .npy"),
        ("a.npy", b"", "not a readable .npy"),
        ("a.npy", b"PK\x03\x04", "not a readable .npy"),
        ("a.npy", np.array([print]), "not a readable .npy"),
        ("a.npy", np.zeros(784), "empty|shape"),
        ("a.npy", np.eye(784), None),
        ("a.npy", np.zeros((2, 28, 28, 1)), "shape"),
        ("a.npy", np.zeros((28, 28, 2)), "shape"),
        ("a.npy", np.zeros((0, 28)), "is not a picture"),
        ("a.npy", np.array([["a"]]), "expected numbers"),
        ("a.npy", np.eye(28) * 1j, "is not a picture"),
        ("a.npy", np.full((28, 28), np.nan), "pixels from nan"),
        ("a.npy", np.full((28, 28), np.inf), "pixels from"),
        ("a.npy", np.eye(28) * 256, "pixels from 0 to 256"),
        ("a.npy", -np.eye(28), "pixels from -1"),
        ("a.npy", np.zeros((28, 28)), "empty"),
        ("a.npy", np.full((28, 28), 99, np.uint8), "empty"),
        ("a.png", np.full((28, 28), 255, np.uint8), "empty"),
        ("a.png", np.zeros((28, 28, 4), np.uint8), "empty"),
    ],
)
def test_what_is_no_picture_of_a_digit(tmp_path, name, content, words):
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None and content.dtype == object:
        np.save(path, content, allow_pickle=True)
    elif content is not None:
        save(path, content)
    if words is None:
        assert read_digit(path).shape == (28, 28)
        return
    with pytest.raises(DataError, match=words) as caught:
        read_digit(path)
    assert str(path) in str(caught.value)


def test_pictures_that_would_fill_the_memory(tmp_path):
    for side in (8_000, 12_000, 60_000):
        (tmp_path / "a.png").write_bytes(boastful_png(side))
        with pytest.raises(DataError, match=r"a\.png: .*(too many|exceeds limit)"):
            read_digit(tmp_path / "a.png")
    with (tmp_path / "a.npy").open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (10**6, 10**6)}
        np.lib.format.write_array_header_1_0(file, header)
    with pytest.raises(DataError, match=r"a\.npy: .* are not read"):
        read_digit(tmp_path / "a.npy")


def test_a_picture_of_several_frames(tmp_path):
    frames = [Image.fromarray(draw()), Image.fromarray(255 - draw())]
    for name in ("a.gif", "a.webp", "a.png", "a.tiff"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        with pytest.raises(DataError, match="holds several pictures"):
            read_digit(tmp_path / name)


def test_formats_that_are_not_named(tmp_path):
    picture = Image.fromarray(draw()).convert("RGB")
    for format in ("EPS", "TGA", "ICO", "PCX", "SGI"):
        picture.save(tmp_path / "a.png", format)
        with pytest.raises(DataError, match="not a readable picture"):
            read_digit(tmp_path / "a.png")


def test_a_jpeg_of_many_passes(tmp_path):
    Image.fromarray(draw()).save(tmp_path / "a.jpg", progressive=True)
    content = (tmp_path / "a.jpg").read_bytes()
    assert read_digit(tmp_path / "a.jpg").shape == (28, 28)
    scan = content[content.index(b"\xff\xda") : content.index(b"\xff\xda") + 14]
    (tmp_path / "a.jpg").write_bytes(content[:-2] + scan * 200 + content[-2:])
    with pytest.raises(DataError, match="more than 50 scans"):
        read_digit(tmp_path / "a.jpg")


def test_without_pillow_npy_still_works(tmp_path, monkeypatch):
    save(tmp_path / "d.npy", draw())
    save(tmp_path / "d.png", draw())
    for module in ("PIL.Image", "PIL.ImageOps", "PIL"):
        monkeypatch.setitem(sys.modules, module, None)
    assert read_digit(tmp_path / "d.npy").shape == (28, 28)
    with pytest.raises(MissingExtraError, match=r"tinygrad-mnist\[pictures\]"):
        read_digit(tmp_path / "d.png")


def test_without_scipy_only_small_pictures_are_read(tmp_path, monkeypatch):
    save(tmp_path / "small.npy", draw()[::5, ::5])
    save(tmp_path / "large.npy", draw())
    monkeypatch.setitem(sys.modules, "scipy.ndimage", None)
    assert read_digit(tmp_path / "small.npy").shape == (28, 28)
    with pytest.raises(MissingExtraError, match=r"tinygrad-mnist\[pictures\]"):
        read_digit(tmp_path / "large.npy")


# --------------------------------------------------------------------------- photos


def light(shape, kind):
    """How bright each place of a photo is: 1 in full light."""
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    return {
        "a shadow from one side": 0.675 + 0.325 * (x + y) / 2,
        "dark corners": 1 - 0.3 * (x**2 + y**2),
        "a flash": 0.5 + 0.5 * np.exp(-4 * (x**2 + (y + 0.3) ** 2)),
    }[kind]


def coarse_grain(shape):
    """Grain of some pixels, as recycled paper has."""
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(0, 1, shape), 2.5)
    return 10 * noise / noise.std()


def on_table(paper):
    paper = paper.copy()
    paper[:, :25] = paper[:30] = 60
    return paper


def framed(paper):
    return np.pad(paper, 9)


def ruled(paper):
    paper = paper.copy()
    paper[::24] = np.minimum(paper[::24], 190)
    paper[:, ::24] = np.minimum(paper[:, ::24], 190)
    return paper


def specked(paper):
    paper = paper.copy()
    paper[8:11, 8:11] = paper[-20:-17, 30:34] = 40
    return paper


def shaded(paper):
    """The soft shadow of something that lies over the right half."""
    x = np.arange(paper.shape[1])
    return paper * (1 - 0.5 / (1 + np.exp(-(x - 190) / 6)))


def underlined(paper):
    paper = paper.copy()
    paper[255:258, 40:300] = 60
    return paper


def seen_from_the_side(paper):
    """A sheet on a dark table whose corners are not square."""
    photo = Image.fromarray(np.pad(paper, 40, mode="edge").astype(np.uint8))
    width, height = photo.size
    corners = [(-60, -50), (-20, height + 30), (width + 90, height + 60), (width + 30, -20)]
    turned = photo.transform(
        photo.size,
        Image.Transform.QUAD,
        [x for corner in corners for x in corner],
        Image.Resampling.BILINEAR,
        fillcolor=50,
    )
    return np.asarray(turned).astype(float)


PHOTOS = {
    "a shadow from one side": lambda paper: paper * light(paper.shape, "a shadow from one side"),
    "dark corners": lambda paper: paper * light(paper.shape, "dark corners"),
    "a flash": lambda paper: paper * light(paper.shape, "a flash"),
    "noise": lambda paper: paper + np.random.default_rng(0).normal(0, 25, paper.shape),
    "a table": on_table,
    "the frame of a scanner": framed,
    "squared paper": ruled,
    "specks": specked,
    "a sheet on a dark table": lambda paper: np.pad(paper, 60, constant_values=50),
    "the shadow of a hand": shaded,
    "textured paper": lambda paper: paper + coarse_grain(paper.shape),
    "a line below, and noise": lambda paper: (
        underlined(paper) + np.random.default_rng(0).normal(0, 4, paper.shape)
    ),
    "all at once": lambda paper: framed(specked(paper) * light(paper.shape, "a shadow from one side")),
}


@pytest.mark.parametrize("kind", PHOTOS)
def test_photos_show_the_digit_that_was_written(tmp_path, digits, kind):
    for digit in digits[::200]:
        paper = np.full((300, 340), 235.0)
        paper[70:238, 90:258] -= 195 / 255 * np.kron(digit, np.ones((6, 6)))
        photo = np.clip(PHOTOS[kind](paper), 0, 255).astype(np.uint8)
        found = read_digit(save(tmp_path / "photo.png", photo))
        assert np.abs(found - digit / digit.max()).mean() < 0.07


def test_a_sheet_with_corners_that_are_not_square(tmp_path, digits):
    for digit in digits[::300]:
        paper = np.full((300, 340), 235.0)
        paper[70:238, 90:258] -= 195 / 255 * np.kron(digit, np.ones((6, 6)))
        found = read_digit(save(tmp_path / "photo.png", seen_from_the_side(paper).astype(np.uint8)))
        assert found[:, :2].max() < 0.2  # no table
        assert np.abs(found - digit / digit.max()).mean() < 0.15


@pytest.mark.parametrize("angle", [40, -20])
def test_a_turned_sheet_is_turned_upright(tmp_path, digits, angle):
    for digit in digits[::300]:
        paper = np.full((300, 340), 235.0)
        paper[70:238, 90:258] -= 195 / 255 * np.kron(digit, np.ones((6, 6)))
        sheet = Image.fromarray(paper.astype(np.uint8))
        photo = np.asarray(sheet.rotate(angle, Image.Resampling.BILINEAR, expand=True, fillcolor=50))
        found = read_digit(save(tmp_path / "photo.png", np.pad(photo, 20, constant_values=50)))
        assert np.abs(found - digit / digit.max()).mean() < 0.06


def test_the_strokes_of_a_fine_pen_do_not_fade(tmp_path):
    """A circle of one pixel in a picture of 800."""
    y, x = np.mgrid[:800, :800]
    circle = abs(np.hypot(y - 400, x - 400) - 200) < 0.7
    found = read_digit(save(tmp_path / "circle.png", np.where(circle, 40, 235).astype(np.uint8)))
    ring = abs(np.hypot(*(np.mgrid[:28, :28] - 13.5)) - 9) < 0.5
    assert found[ring].min() > 0.6


def test_a_small_picture_is_enlarged_without_steps(tmp_path):
    found = read_digit(save(tmp_path / "line.png", np.eye(8, dtype=np.uint8) * 255))
    assert len(np.unique(found)) > 10


def test_strokes_of_one_pixel(tmp_path):
    """A slanted line touches its next pixel at a corner only."""
    paper = np.full((300, 300), 235, np.uint8)
    for i in range(120):
        paper[90 + i, 200 - i // 2 * 2 : 202 - i // 2 * 2] = 40
    found = read_digit(save(tmp_path / "photo.png", paper))
    assert (found.max(axis=1) > 0.3).sum() >= 20


def test_dots_of_black_and_white_are_greys(tmp_path, digits):
    for digit in digits[::200]:
        paper = np.full((600, 680), 235.0)
        paper[140:476, 180:516] -= 195 / 255 * np.kron(digit, np.ones((12, 12)))
        Image.fromarray(paper.astype(np.uint8)).convert("1").save(tmp_path / "dots.png")
        found = read_digit(tmp_path / "dots.png")
        assert np.abs(found - digit / digit.max()).mean() < 0.1


def side_by_side(*digits):
    return 255 - np.pad(np.hstack([np.kron(digit, np.ones((5, 5), np.uint8)) for digit in digits]), 20)


def test_several_digits_or_none(tmp_path, digits):
    for pair in (digits[0], digits[500]), (digits[100], digits[100]), (digits[3], digits[7], digits[9]):
        with pytest.raises(DataError, match=f"several digits .{len(pair)} found"):
            read_digit(save(tmp_path / "photo.png", side_by_side(*pair)))
    blank = 200 * light((300, 300), "a shadow from one side") + np.random.default_rng(0).normal(
        0, 4, (300, 300)
    )
    sheet = np.pad(np.full((200, 200), 240, np.uint8), 50)
    for nothing in (blank.astype(np.uint8), sheet):
        with pytest.raises(DataError, match="holds no digit"):
            read_digit(save(tmp_path / "photo.png", nothing))
