"""``mnist.pkl.gz``, from the years of Theano: a pickle that is read without running anything in it.

A pickle is a program for a machine with a stack, which can call any function that it can name. This reader is
such a machine, with the instructions that pickles of arrays consist of, in all protocols. It knows only the
five names that stand for NumPy's arrays, and replaces them by stand-ins that only store their arguments; every
other name or instruction is refused. NumPy itself only sees checked bytes.
"""

from __future__ import annotations

import codecs
import io
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError, quote
from ...reading import MOST_DIGITS, STEP, open_unpacked, read_exactly, readable
from .corpus import MAX_EXAMPLES, PIXELS, SIDE, Corpus, check_count, check_part

MAX_BYTES = 2**29
"""Twice the size of 70,000 images in float32."""

MAX_INSTRUCTIONS = 5_000
"""Ten times as many as six arrays take in the wordiest protocol."""

LONGEST_LINE = 2**28
"""Room for the pixels of 60,000 images of one byte each, with each byte written as four."""


def read_pickle(path: Path) -> Corpus:
    """Read ``((x, y), (x, y), (x, y))``: training, validation and test; or only training and test.

    Validation follows training in the result, so that ``train.split(50_000)`` separates them again.
    """
    with open_unpacked(path, MAX_BYTES) as stream, readable(path, "pickle of arrays"):
        parts = [(x.array(), y.array()) for x, y in _run(stream, path)]
    if len(parts) not in (2, 3):
        raise DataError(
            f"{path}: holds {len(parts)} parts; expected train, validation and test, or train and test"
        )
    images = [_as_images(x, path) for x, _ in parts]
    labels = [check_part(path, x, _as_labels(y, path)) for x, (_, y) in zip(images, parts, strict=True)]
    return Corpus(np.concatenate(images[:-1]), np.concatenate(labels[:-1]), images[-1], labels[-1])


# The instructions, by the bytes of the number that follows; in the first two it is a length.
_BYTES = {b"U": 1, b"C": 1, b"T": 4, b"B": 4, b"\x8e": 8, b"\x96": 8}
_TEXTS = {b"\x8c": 1, b"X": 4, b"\x8d": 8}
_NUMBERS = {b"K": 1, b"M": 2, b"J": 4}
_IGNORED = {b"\x80": 1, b"\x95": 8}  # the protocol, and the length of a frame
_PUTS = {b"q": 1, b"r": 4}
_GETS = {b"h": 1, b"j": 4}
_CONSTANTS = {b"N": None, b"\x88": True, b"\x89": False, b")": ()}
_TUPLES = {b"\x85": 1, b"\x86": 2, b"\x87": 3}


def _run(stream: io.BufferedReader, path: Path) -> Any:
    """Run a pickle's instructions and return what they build. Text and bytes are the same here: bytes."""
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}

    def take(count: int) -> Any:
        """Read bytes, or an array of bytes if there are many."""
        if count > MAX_BYTES:
            raise ValueError(f"it announces {count:,} bytes")
        data = read_exactly(stream, count, path)
        return data if count > STEP else data.tobytes()

    def take_blocks(count: int) -> Iterator[bytes]:
        return (take(min(STEP, count - start)) for start in range(0, count, STEP))

    def number(size: int, *, signed: bool = False) -> int:
        return int.from_bytes(take(size), "little", signed=signed)

    def pop_marked() -> list[Any]:
        start = marks.pop()
        items = stack[start:]
        del stack[start:]
        return items

    for _ in range(MAX_INSTRUCTIONS):
        code = take(1)
        if code in _BYTES:
            stack.append(take(number(_BYTES[code])))
        elif code in _TEXTS:
            stack.append(_narrow(take_blocks(number(_TEXTS[code])), "utf-8"))
        elif code in _NUMBERS:
            stack.append(number(_NUMBERS[code], signed=code == b"J"))
        elif code in _IGNORED:
            take(_IGNORED[code])
        elif code in _PUTS:
            memo[number(_PUTS[code])] = stack[-1]
        elif code in _GETS:
            stack.append(memo[number(_GETS[code])])
        elif code in _CONSTANTS:
            stack.append(_CONSTANTS[code])
        elif code in _TUPLES:
            stack[-_TUPLES[code] :] = [tuple(stack[-_TUPLES[code] :])]
        elif code in b"IL":
            line = _take_line(stream, MOST_DIGITS).removesuffix(b"L")
            stack.append(line == b"01" if code == b"I" and line in (b"00", b"01") else int(line))
        elif code == b"S":
            stack.append(codecs.escape_decode(_take_line(stream)[1:-1])[0])
        elif code == b"V":
            line = _take_line(stream)
            blocks = (line[start : start + STEP] for start in range(0, len(line), STEP))
            stack.append(_narrow(blocks, "raw-unicode-escape"))
        elif code == b"p":
            memo[int(_take_line(stream, MOST_DIGITS))] = stack[-1]
        elif code == b"g":
            stack.append(memo[int(_take_line(stream, MOST_DIGITS))])
        elif code == b"\x94":
            memo[len(memo)] = stack[-1]
        elif code == b"(":
            marks.append(len(stack))
        elif code == b"]":
            stack.append([])
        elif code == b"t":
            stack.append(tuple(pop_marked()))
        elif code == b"l":
            stack.append(pop_marked())
        elif code == b"e":
            items = pop_marked()
            stack[-1].extend(items)
        elif code == b"a":
            stack[-2].append(stack.pop())
        elif code == b"c":
            stack.append(_find(_take_line(stream, 100), _take_line(stream, 100)))
        elif code == b"\x93":
            stack[-2:] = [_find(*stack[-2:])]
        elif code == b"R":
            stack[-2:] = [stack[-2](*stack[-1])]
        elif code == b"b":
            state = stack.pop()
            stack[-1].build(*state)
        elif code == b".":
            return stack.pop()
        else:
            raise ValueError(f"it has an instruction that arrays do not need: {code!r}")
    raise ValueError(
        f"it has more than {MAX_INSTRUCTIONS:,} instructions; arrays of digits need a few hundred"
    )


def _take_line(stream: io.BufferedReader, longest: int = LONGEST_LINE) -> bytes:
    line = stream.readline(longest + 2)
    if not line.endswith(b"\n"):
        raise ValueError(f"it is cut short, or has a line of more than {longest:,} bytes")
    return line.rstrip(b"\r\n")


def _narrow(blocks: Iterable[bytes], encoding: str) -> bytes:
    """Decode text to one byte a character. At once, it would take four for each if a single one needs them."""
    decoder = codecs.getincrementaldecoder(encoding)()
    text = bytearray()
    for block in blocks:
        text += decoder.decode(block).encode("latin1")
    decoder.decode(b"", final=True)
    return bytes(text)


def _find(module: bytes, name: bytes) -> Any:
    try:
        return _STAND_INS[module.replace(b"numpy._core", b"numpy.core"), name]
    except KeyError:
        asked = quote(b".".join((module, name)).decode("latin1"))
        raise ValueError(f"it asks for {asked}; only NumPy arrays are read") from None


class _Dtype:
    """A stand-in for ``numpy.dtype``."""

    def __init__(self, code: bytes, *_: Any) -> None:
        self.code = code
        self.order = "<"

    def build(self, _: Any, order: bytes, *__: Any) -> None:
        self.order = ">" if order == b">" else "<"

    def dtype(self) -> np.dtype[Any]:
        if self.code not in (b"f4", b"f8", b"u1", b"i1", b"i2", b"i4", b"i8"):
            raise ValueError(f"an array of dtype {quote(self.code)}; expected numbers")
        return np.dtype(self.order + self.code.decode())


class _Array:
    """A stand-in for ``numpy.ndarray``: created empty, it gets its shape, dtype and bytes later."""

    def __init__(self, *_: Any) -> None:
        pass

    def build(self, _: Any, shape: tuple[Any, ...], kind: _Dtype, is_fortran: Any, data: Any) -> None:
        self.shape, self.kind, self.is_fortran, self.data = shape, kind, is_fortran, data

    def array(self) -> NDArray[Any]:
        array = np.frombuffer(self.data, dtype=self.kind.dtype())
        is_shape = len(self.shape) <= 3 and all(0 <= size <= MAX_EXAMPLES for size in self.shape)
        if not is_shape or math.prod(self.shape) != array.size:
            raise ValueError(f"an array of shape {quote(self.shape)} with {array.size:,} values")
        return array.reshape(self.shape, order="F" if self.is_fortran else "C")


def _from_buffer(data: Any, kind: Any, shape: Any, order: bytes) -> _Array:
    """Stand in for the function that rebuilds arrays since pickle protocol 5."""
    array = _Array()
    array.build(1, shape, kind, order == b"F", data)
    return array


def _encode(text: bytes, encoding: bytes) -> bytes:
    """Stand in for ``codecs.encode``, which Python 3 uses to write bytes into old protocols."""
    if encoding != b"latin1":
        raise ValueError(f"bytes in encoding {quote(encoding)}; expected latin1")
    return text


_STAND_INS: dict[tuple[bytes, bytes], Any] = {
    (b"numpy", b"dtype"): _Dtype,
    (b"numpy", b"ndarray"): _Array,
    (b"numpy.core.multiarray", b"_reconstruct"): _Array,
    (b"numpy.core.numeric", b"_frombuffer"): _from_buffer,
    (b"_codecs", b"encode"): _encode,
}


def _as_images(x: NDArray[Any], path: Path) -> NDArray[np.uint8]:
    """Convert pixels back to the original bytes."""
    check_count(path, len(x))
    if x.shape[1:] not in ((PIXELS,), (SIDE, SIDE)):
        raise DataError(f"{path}: images of shape {list(x.shape[1:])}; expected {PIXELS} or {SIDE}×{SIDE}")
    x = x.reshape(-1, SIDE, SIDE)
    # Some files are divided by 255, some by 256; only the right factor gives whole numbers again.
    for scale in (1,) if x.dtype.kind in "ui" else (256, 255):
        pixels = np.empty(x.shape, dtype=np.uint8)
        if all(_rescale(x[i : i + 1000], scale, pixels[i : i + 1000]) for i in range(0, len(x), 1000)):
            return pixels
    raise DataError(f"{path}: pixels are neither 0–255 nor 0–255 divided by 255 or 256")


def _rescale(x: NDArray[Any], scale: int, out: NDArray[np.uint8]) -> bool:
    """Write ``x * scale`` as bytes; return False if those are not whole numbers from 0 to 255."""
    if not (x.min() >= 0 and x.max() <= 255):  # NaN fails this as well
        return False
    scaled = x * scale
    whole = np.rint(scaled)
    if whole.max() > 255 or np.abs(scaled - whole).max() > 0.01:
        return False
    out[:] = whole
    return True


def _as_labels(y: NDArray[Any], path: Path) -> NDArray[Any]:
    if y.ndim != 1 or y.dtype.kind not in "ui":
        raise DataError(
            f"{path}: labels of shape {y.shape} and dtype {y.dtype}; expected one integer per image"
        )
    return y
