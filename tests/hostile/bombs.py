"""Files that ask for more time or memory than an honest file needs, by what they are; each must be refused at once."""

from __future__ import annotations

import functools
import gzip
import io
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kinds import IDX, command, digits, resume_run, write_idx, write_run
from PIL import Image

import tinygrad_mnist as tg
from tinygrad_mnist.data import load_mnist, read_csv, read_digit
from tinygrad_mnist.training import History, load_model
from tinygrad_mnist.training.runs import Run

#: Writes a file into a folder, and returns what somebody would do with it.
Bomb = Callable[[Path], Callable[[], Any]]
BOMBS: dict[str, Bomb] = {}


def bomb(function: Bomb) -> Bomb:
    BOMBS[function.__name__.replace("_", " ")] = function
    return function


def packed(piece: bytes, times: int, head: bytes = b"") -> bytes:
    """Pack a piece, repeated, without ever having all of it; its checksum is that of one piece."""
    pack = zlib.compressobj(9, wbits=31)
    start = pack.compress(head) + pack.flush(zlib.Z_FULL_FLUSH)
    block = pack.compress(piece) + pack.flush(zlib.Z_FULL_FLUSH)
    return start + block * times + pack.flush()


def file(name: str, content: bytes | Callable[[], bytes], use: Callable[[Path], Any]) -> Bomb:
    def make(folder: Path) -> Callable[[], Any]:
        (folder / name).write_bytes(content if isinstance(content, bytes) else content())
        return lambda: use(folder / name)

    return make


# -- pickles -------------------------------------------------------------------------------------

ZEROS = bytes(2**20)
WIDE = b"a" + "€".encode()

PICKLES: dict[str, Callable[[], bytes]] = {
    "instructions": lambda: packed(b"K\x01" * 2**19, 100, b"\x80\x02("),
    "marks": lambda: packed(b"(" * 2**20, 200),
    "frames": lambda: packed(b"\x95" + bytes(8), 10**6),
    "tuples in tuples": lambda: packed(b"\x85" * 2**20, 100, b"N"),
    "parts": lambda: b"\x80\x02(" + b"N" * 10**7 + b"t.",
    "dicts": lambda: packed(b"}" * 2**20, 100),
    "dict of many": lambda: packed(b"K\x01K\x02" * 2**18, 100, b"\x80\x02}("),
    "set": lambda: packed(b"K\x01" * 2**19, 100, b"\x80\x04\x8f("),
    "long of 2 GB": lambda: packed(ZEROS, 100, b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1)),
    "long in digits": lambda: b"L" + b"9" * 10**7 + b"L\n.",
    "whole number in digits": lambda: packed(b"9" * 2**20, 100, b"I"),
    "wide shape": lambda: b"\x80\x02(" + (b"\x8a\xff" + b"\x7f" * 255) * 4_000 + b"t.",
    "memory number": lambda: b"\x80\x02Nr\xff\xff\xff\x7f.",
    "bytes that are not there": lambda: b"\x80\x04\x8e" + struct.pack("<Q", 2**62),
    "bytes": lambda: packed(ZEROS, 400, b"\x80\x04\x8e" + struct.pack("<Q", 2**20 * 400)),
    "text": lambda: packed(b"a" * 2**20, 400, b"\x80\x04\x8d" + struct.pack("<Q", 2**20 * 400)),
    "wide text": lambda: packed(
        b"a" * 2**20, 400, b"\x80\x04\x8d" + struct.pack("<Q", 2**20 * 400) + "€".encode()
    ),
    "line": lambda: packed(b"a" * 2**20, 400, b"V"),
    "line of escapes": lambda: packed(b"\\u20ac" * 2**17, 400, b"V"),
    "name": lambda: packed(b"a" * 2**20, 400, b"c"),
    "zeros": lambda: packed(ZEROS, 1_000),
}
for name, content in PICKLES.items():
    BOMBS[f"pickle: {name}"] = file("mnist.pkl", content, load_mnist)


# -- tables --------------------------------------------------------------------------------------

TABLES: dict[str, Callable[[], bytes]] = {
    "blank lines": lambda: packed(b"\n" * 2**20, 1_000),
    "blank lines of spaces": lambda: packed(b" " * 6_000 + b"\n", 10**5),
    "one line": lambda: packed(b"0," * 2**19, 1_000),
    "one number": lambda: packed(b"9" * 2**20, 1_000),
    "spaces": lambda: packed(b" " * 2**20, 1_000, b"5"),
    "short rows": lambda: packed(b"1,2\n" * 2**18, 1_000),
    "headers": lambda: packed(b"label\n" * 2**17, 1_000),
    "zeros": lambda: packed(ZEROS, 1_000),
    "carriage returns": lambda: packed(b"\r" * 2**20, 1_000),
    "wide rows": lambda: packed(b"5" + b",0" * 3_000 + b"\n", 10**5),
}
for name, content in TABLES.items():
    BOMBS[f"table: {name}"] = file("mnist.csv", content, read_csv)


# -- IDX and gzip --------------------------------------------------------------------------------


def packed_idx(name: str, content: Callable[[], bytes]) -> Bomb:
    def make(folder: Path) -> Callable[[], Any]:
        write_idx(folder)
        (folder / name).write_bytes(content())
        return lambda: load_mnist(folder)

    return make


def images(count: int, height: int = 28, width: int = 28) -> bytes:
    return struct.pack(">4I", 0x803, count, height, width)


for name, content in {
    "more than announced": lambda: packed(ZEROS, 1_000, images(3)),
    "four billion images": lambda: images(2**32 - 1) + bytes(1_000),
    "large images": lambda: images(3, 2**32 - 1, 2**32 - 1) + bytes(1_000),
    "empty members": lambda: images(3)[:0] + gzip.compress(b"") * 10**6,
    "padding": lambda: gzip.compress(images(3)) + bytes(10**8),
    "name of a member": lambda: b"\x1f\x8b\x08\x08" + bytes(6) + b"a" * 10**8,
    "announced and not there": lambda: images(300_000),
}.items():
    BOMBS[f"IDX: {name}"] = packed_idx(IDX[0], content)


# -- npz and npy ---------------------------------------------------------------------------------


def npy(shape: Any, dtype: str = "|u1", version: int = 1, more: str = "") -> bytes:
    text = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}, {more}}}".encode()
    size = len(text).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + size + text


def archive(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return out.getvalue()


def mnist_archive(images: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    return archive(
        {"x_train.npy": images, "y_train.npy": npy((3,)), "x_test.npy": npy((3,)), "y_test.npy": b""}, method
    )


ARRAYS: dict[str, Callable[[], bytes]] = {
    "header of 4 GB": lambda: b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + ZEROS * 200,
    "long header": lambda: npy((3, 28, 28), version=2, more=f"'x': {'(' * 10**7}"),
    "brackets in the header": lambda: npy("(" * 9_000),
    "signs in the header": lambda: npy("-" * 9_000 + "1"),
    "wide number in the header": lambda: npy("(" + "9" * 9_000 + ",)"),
    "power in the header": lambda: npy("(9**9**9,)"),
    "many axes": lambda: npy("(" + "1," * 4_000 + ")"),
    "terabytes": lambda: npy((2**20, 2**20)),
    "beyond any address": lambda: npy((2**62, 2**62)),
    "terabytes of nothing": lambda: npy((0, 2**62)),
    "wide elements": lambda: npy((3,), "|S2000000000"),
    "void elements": lambda: npy((3,), "|V2000000000"),
    "objects": lambda: npy((3,), "|O"),
    "zeros behind it": lambda: npy((3, 28, 28)) + ZEROS * 200,
}  # fmt: skip
for name, content in ARRAYS.items():
    BOMBS[f"npy: {name}"] = file("a.npy", content, read_digit)
    BOMBS[f"npz: {name}"] = file("mnist.npz", lambda content=content: mnist_archive(content()), load_mnist)
    BOMBS[f"arrays: {name}"] = file("a.npz", lambda content=content: archive({"x.npy": content()}), tg.load)


def many_members() -> bytes:
    """A directory of half a million names for the same member."""
    one = archive({"x_train.npy": b""})
    start = one.index(b"PK\x01\x02")
    entry = one[start : one.index(b"PK\x05\x06")]
    directory = entry * 500_000
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 65_535, 65_535, len(directory), start, 0)
    return one[:start] + directory + end


def large_arrays() -> bytes:
    """Twenty arrays, each as large as is read."""
    head, size = npy((2**28 - 2**20,)), 2**28 - 2**20
    pack = zlib.compressobj(9, wbits=-15)
    start = pack.compress(head) + pack.flush(zlib.Z_FULL_FLUSH)
    raw = start + (pack.compress(ZEROS) + pack.flush(zlib.Z_FULL_FLUSH)) * 255 + pack.flush()
    checksum = functools.reduce(lambda crc, _: zlib.crc32(ZEROS, crc), range(255), zlib.crc32(head))
    content, directory = b"", b""
    for i in range(20):
        name = f"x{i:02}.npy".encode()
        facts = struct.pack("<HHHHHIIIH", 20, 0, 8, 0, 33, checksum, len(raw), size + len(head), len(name))
        directory += b"PK\x01\x02\x14\0" + facts + struct.pack("<HHHHII", 0, 0, 0, 0, 0, len(content)) + name
        content += b"PK\x03\x04" + facts + b"\0\0" + name + raw
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 20, 20, len(directory), len(content), 0)
    return content + directory + end


BOMBS["npz: many members"] = file("mnist.npz", many_members, load_mnist)
BOMBS["arrays: many members"] = file("a.npz", many_members, tg.load)
BOMBS["arrays: many large ones"] = file("a.npz", large_arrays, tg.load)
BOMBS["npz: packed by LZMA"] = file(
    "mnist.npz", lambda: mnist_archive(npy((3,)), zipfile.ZIP_LZMA), load_mnist
)
BOMBS["npz: packed by bzip2"] = file(
    "mnist.npz", lambda: mnist_archive(npy((3,)), zipfile.ZIP_BZIP2), load_mnist
)


# -- models --------------------------------------------------------------------------------------


def safetensors(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def described(description: Any) -> bytes:
    text = description if isinstance(description, str) else json.dumps(description)
    weight = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    return safetensors({"__metadata__": {"model": text}, "weight": weight}, bytes(4))


def layer(name: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
    return {"class": name, "args": list(args), "kwargs": kwargs}


DESCRIPTIONS: dict[str, Any] = {
    "terabytes": layer("Linear", 10**6, 10**6),
    "terabytes in steps": layer("MLP", [10**6] * 40),
    "gigabytes of bias": layer("Linear", 1, 10**9),
    "many small ones": layer("MLP", [1] * 60_000),
    "very many small ones": layer("MLP", [1] * 10**6),
    "many layers": layer("Sequential", *[{"class": "ReLU"}] * 7_000),
    "very many layers": layer("Sequential", *[{"class": "ReLU"}] * 200_000),
    "wide numbers": layer("Linear", 10**290, 10**290),
    "text of a gigabyte": layer("Linear", 3, 2, dtype="S1000000000"),
    "deep": '{"class":"Sequential","args":[' * 2_000 + "]}" * 2_000,
    "very deep": '{"class":"Sequential","args":[' * 100_000,
    "brackets": "[" * 10**6,
    "long text": "x" * 10**7,
}
for name, description in DESCRIPTIONS.items():
    BOMBS[f"model: {name}"] = file("a.safetensors", lambda d=description: described(d), load_model)

ENTRY = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
HEADERS: dict[str, Callable[[], bytes]] = {
    "length": lambda: safetensors({}, length=2**63 - 1),
    "length of all": lambda: safetensors({}, ZEROS * 90, length=2**20 * 90),
    "names": lambda: safetensors({str(i): ENTRY for i in range(300_000)}),
    "brackets": lambda: safetensors(b'{"a":' * 10**6),
    "terabytes": lambda: safetensors(
        {"a": {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 4 * 10**12]}}
    ),
    "terabytes of nothing": lambda: safetensors({"a": {**ENTRY, "shape": [0, 2**62]}}),
    "many axes": lambda: safetensors(
        {"a": {"dtype": "F32", "shape": [1] * 10**5, "data_offsets": [0, 4]}}, bytes(4)
    ),
    "text beside it": lambda: safetensors({"__metadata__": {"a": "x" * 10**7}}),
    "wide numbers": lambda: safetensors(
        b'{"a": {"dtype": "F32", "shape": [' + b"9" * 10**6 + b'], "data_offsets": [0, 0]}}'
    ),
}
for name, content in HEADERS.items():
    BOMBS[f"header: {name}"] = file("a.safetensors", content, tg.load)


# -- runs ----------------------------------------------------------------------------------------


def run(name: str, change: Callable[[bytes], bytes], use: Callable[[Path], Any]) -> Bomb:
    def make(folder: Path) -> Callable[[], Any]:
        write_run(folder)
        path = folder / "run" / name
        path.write_bytes(change(path.read_bytes()))
        return lambda: use(folder / "run")

    return make


def predict(folder: Path) -> None:
    command("predict", folder, folder.parent / "picture.npy")


def explain(folder: Path) -> None:
    command("explain", folder)


def doctor(folder: Path) -> None:
    command("doctor", folder)


def resume_run_of(folder: Path) -> None:
    resume_run(folder.parent)


def setting(**values: Any) -> Callable[[bytes], bytes]:
    return lambda content: json.dumps({**json.loads(content), **values}).encode()


SETTINGS: dict[str, dict[str, Any]] = {
    "side": {"side": 10**9},
    "negative side": {"side": -28},
    "batch size": {"batch_size": 10**9},
    "wide layers": {"hidden": [30_000, 30_000]},
    "large batch": {"batch_size": 10**7},
    "wide seed": {"seed": 10**299},
    "hidden": {"hidden": [10**9] * 10**5},
    "classes": {"classes": ["x"] * 10**5},
    "long class": {"classes": ["x" * 10**6] * 10},
    "infinite rate": {"lr": float("inf")},
    "long name": {"optimizer": "adam" * 10**6},
    "list for a name": {"activation": [["relu"] * 1_000] * 1_000},
}
for name, values in SETTINGS.items():
    if name not in ("large batch", "wide layers"):
        BOMBS[f"config, predict: {name}"] = run("config.json", setting(**values), predict)
    if name != "wide layers":
        BOMBS[f"config, explain: {name}"] = run("config.json", setting(**values), explain)
    if name == "wide layers":
        BOMBS[f"config, train: {name}"] = run("config.json", setting(**values), resume_run_of)
    if name != "large batch":
        BOMBS[f"config, doctor: {name}"] = run("config.json", setting(**values), doctor)
for name, text in {
    "brackets": b"[" * 10**6,
    "closed brackets": b"[" * 900 + b"]" * 900,
    "objects": b'{"a":' * 10**6,
    "long": b" " * 10**8,
    "digits": b'{"side": ' + b"9" * 10**6 + b"}",
    "lists": b'{"a": [' + b"[]," * 10**6 + b"[]]}",
}.items():
    BOMBS[f"config: {name}"] = run("config.json", lambda _, text=text: text, predict)
    BOMBS[f"result: {name}"] = run(
        "result.json", lambda _, text=text: text, lambda folder: Run(folder).result["a"]
    )
for name, text in {
    "empty objects": b"{}\n" * 10**7,
    "blank lines": b"\n" * 10**7,
    "brackets": b"[" * 10**6,
    "one line": b'{"a": "' + b"x" * 10**7 + b'"}',
    "nested": b'{"a": {"a": [1]}}',
    "measures": b"".join(b'{"a%d": 1}\n' % i for i in range(99_000)),
    "measures of a row": b"{" + b",".join(b'"a%d": 1' % i for i in range(99_000)) + b"}",
}.items():
    BOMBS[f"history: {name}"] = file("h.jsonl", text, History.load)


# -- pictures ------------------------------------------------------------------------------------


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width: int, height: int, *chunks: bytes, kind: int = 0) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IEND", b"")


def pixels(width: int, height: int) -> bytes:
    return chunk(b"IDAT", zlib.compress(bytes((width + 1) * height)))


def saved(format: str, **settings: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(digits()[0][0]).convert("RGB").save(out, format, **settings)
    return out.getvalue()


def sized(content: bytes, at: int, form: str, *sizes: int) -> bytes:
    """Write other sizes into a picture."""
    return content[:at] + struct.pack(form, *sizes) + content[at + struct.calcsize(form) :]


def large_frame(content: bytes, marker: bytes, side: int) -> bytes:
    """A JPEG of another size."""
    return sized(content, content.index(marker) + 5, ">HH", side, side)


def many_scans() -> bytes:
    content = large_frame(saved("JPEG", progressive=True), b"\xff\xc2", 7_000)
    scan = content.index(b"\xff\xda")
    return content[:scan] + content[scan : scan + 14] * 100_000 + content[-2:]


def frames(count: int) -> dict[str, Any]:
    others = [Image.new("RGB", (28, 28), (i % 256, i // 256, 0)) for i in range(count)]
    return {"save_all": True, "append_images": others}


def large_table(content: bytes) -> bytes:
    """A TIFF of 28×28 pixels whose directory says 60,000×60,000."""
    for tag in (256, 257):
        at = content.index(struct.pack("<HH", tag, 3)) if struct.pack("<HH", tag, 3) in content else -1
        if at < 0:
            at = content.index(struct.pack("<HH", tag, 4))
        content = sized(content, at + 2, "<HII", 4, 1, 60_000)
    return content


def large_canvas() -> bytes:
    """A WebP whose canvas is as large as can be."""
    content = saved("WEBP", exif=b"Exif\0\0" + bytes(9))
    return content[:24] + (16_382).to_bytes(3, "little") * 2 + content[30:]


def with_comment(content: bytes, comment: bytes) -> bytes:
    """A GIF with a comment before its picture."""
    at = content.index(b"\x2c")
    return content[:at] + b"\x21\xfe" + comment + content[at:]


def camera(count: int) -> bytes:
    """A camera's words, in which the way it was held is a long list."""
    return b"II*\0\x08\0\0\0" + struct.pack("<HHHIII", 1, 0x0112, 3, count, 26, 0) + b"\x10\x27" * count


def many_strips(content: bytes) -> bytes:
    """A TIFF with a list of eight million places."""
    at = content.index(struct.pack("<HH", 273, 4))
    return sized(content, at + 4, "<II", 7 * 10**6, len(content)) + b"\0\0\1\0" * 7 * 10**6


@functools.cache
def hidden() -> bytes:
    """What is 200 MB once it is unpacked."""
    return b"a\0\0" + zlib.compress(bytes(2 * 10**8))


PICTURES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "png of 10 gigapixels": ("a.png", lambda: png(100_000, 100_000, pixels(1, 1))),
    "png of 80 megapixels": ("a.png", lambda: png(10_000, 8_000, pixels(10_000, 8_000))),
    "png, one row": ("a.png", lambda: png(2**31 - 1, 1, pixels(1, 1))),
    "png without pixels": ("a.png", lambda: png(7_000, 7_000)),
    "png with a text": ("a.png", lambda: png(28, 28, chunk(b"zTXt", hidden()), pixels(28, 28))),
    "png with texts": ("a.png", lambda: png(28, 28, chunk(b"tEXt", b"a\0b") * 10**6)),
    "png with a profile": ("a.png", lambda: png(28, 28, chunk(b"iCCP", hidden()), pixels(28, 28))),
    "png with empty parts": ("a.png", lambda: png(28, 28, chunk(b"IDAT", b"") * 10**6)),
    "png of many frames": ("a.png", lambda: saved("PNG", **frames(500))),
    "gif of 4 gigapixels": ("a.gif", lambda: sized(saved("GIF"), 6, "<HH", 65_535, 65_535)),
    "gif of many frames": ("a.gif", lambda: saved("GIF", **frames(2_000))),
    "webp of many frames": ("a.webp", lambda: saved("WEBP", **frames(50))),
    "bmp of 10 gigapixels": ("a.bmp", lambda: sized(saved("BMP"), 18, "<ii", 100_000, 100_000)),
    "bmp upside down": ("a.bmp", lambda: sized(saved("BMP"), 18, "<ii", 100_000, -100_000)),
    "ppm of 10 gigapixels": ("a.ppm", lambda: b"P6 100000 100000 255\n"),
    "ppm with a comment": ("a.ppm", lambda: b"P6 #" + b"a" * 10**7 + b"\n28 28 255\n"),
    "ppm with wide numbers": ("a.ppm", lambda: b"P6 " + b"9" * 10**6 + b" 28 255\n"),
    "ppm in letters": ("a.ppm", lambda: b"P3 7000 7000 255\n" + b"0 " * 10**6),
    "tiff of 4 gigapixels": ("a.tiff", lambda: large_table(saved("TIFF"))),
    "packed tiff of 4 gigapixels": ("a.tiff", lambda: large_table(saved("TIFF", compression="tiff_lzw"))),
    "tiff of many frames": ("a.tiff", lambda: saved("TIFF", **frames(300))),
    "jpeg of many passes": ("a.jpg", many_scans),
    "jpeg of 4 gigapixels": ("a.jpg", lambda: large_frame(saved("JPEG"), b"\xff\xc0", 65_500)),
    "program in PostScript": ("a.png", lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n{} loop\n"),
    "icon": ("a.png", lambda: saved("ICO")),
    "gif with a comment": ("a.gif", lambda: saved("GIF")[:-1] + b"\x21\xfe" + (b"\xff" + b"a" * 255) * 10**5),
    "gif with a comment first": ("a.gif", lambda: with_comment(saved("GIF"), (b"\xff" + b"a" * 255) * 8_000 + b"\0")),
    "gif with a comment in pieces": ("a.gif", lambda: with_comment(saved("GIF"), b"\x01a" * 10**6 + b"\0")),
    "jpeg of many parts": ("a.jpg", lambda: b"\xff\xd8" + b"\xff\xe5\0\2" * 10**7 + saved("JPEG")[2:]),
    "jpeg with padding": ("a.jpg", lambda: b"\xff\xd8" + b"\xff" * 10**7 + saved("JPEG")[2:]),
    "webp of 268 megapixels": ("a.webp", large_canvas),
    "png with a long camera": ("a.png", lambda: png(28, 28, chunk(b"eXIf", camera(2 * 10**7)), pixels(28, 28))),
    "tiff with many strips": ("a.tiff", lambda: many_strips(saved("TIFF"))),
    "ppm with a long comment": ("a.ppm", lambda: b"P6 #" + b"a" * 2 * 10**6 + b"\n28 28 255\n"),
}  # fmt: skip
for name, (path, content) in PICTURES.items():
    BOMBS[f"picture: {name}"] = file(path, content, read_digit)


# -- places --------------------------------------------------------------------------------------


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def make_folder(path: Path) -> None:
    path.mkdir()


def make_dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def make_circle(path: Path) -> None:
    path.symlink_to(path.name)


def make_hollow(path: Path) -> None:
    """A file of a terabyte, none of which is on the disk."""
    with path.open("wb") as file:
        file.truncate(2**40)


#: What may stand in the place of a file.
PLACES = [make_pipe, make_device, make_folder, make_dangling, make_circle, make_hollow]
