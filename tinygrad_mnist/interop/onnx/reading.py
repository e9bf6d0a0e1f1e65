"""ONNX files that others may have made: parsed within limits, and nothing outside their folder is read."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from ...errors import DataError, UnsupportedError, describe_briefly, quote, require
from ...reading import LARGEST_ARRAYS, LARGEST_JSON, open_file, read_bytes, readable
from ...typing import NDArray
from .operators import OPERATORS
from .operators.table import dtype_of

__all__ = ["File", "read_onnx"]

#: The most nodes, the most parts of them and of all else, and the most lines in a message.
MOST_NODES, MOST_PARTS, MOST_LINES = 200_000, 1_000_000, 10


class File:
    """The content of an ONNX file.

    Attributes
    ----------
    opset : int
    nodes : list of NodeProto
        Each uses only what earlier ones return, and every operator is one that is known here.
    initializers : dict of ndarray, by name
    inputs, outputs : lists of str
    """

    def __init__(self, path: str | os.PathLike[str], max_bytes: int) -> None:
        self.onnx: Any = require("onnx", extra="onnx", purpose="reading an ONNX file")
        self.path, self._left = Path(path), max_bytes
        model = self.onnx.ModelProto()
        with readable(path, "ONNX file"):
            content = read_bytes(path, max_bytes + LARGEST_JSON)
            if len(content) > LARGEST_JSON:
                _require_few_parts(content, model.DESCRIPTOR)
            model.ParseFromString(content)
        graph = model.graph
        if not graph.node and not graph.output:
            raise DataError(f"{path}: not an ONNX file: it has no graph")
        self.opset = self._version(model)
        if len(graph.node) > MOST_NODES:
            raise DataError(f"{path}: has {len(graph.node):,} nodes; more than {MOST_NODES:,} are not read")
        if graph.sparse_initializer:
            raise UnsupportedError(f"{path}: has sparse weights; only dense ones are read")
        self.nodes = [*graph.node]
        self.initializers = {tensor.name: self.array(tensor) for tensor in graph.initializer}
        self.inputs = [x.name for x in graph.input if x.name not in self.initializers]
        self.outputs = [x.name for x in graph.output]
        self._check_operators()
        self._check_order()

    def _version(self, model: Any) -> int:
        """The version of the operators; one that is newer than the installed package is refused."""
        if model.ir_version > self.onnx.IR_VERSION:
            raise DataError(
                f"{self.path}: has version {model.ir_version} of the file format, and the installed package onnx knows "
                f"{self.onnx.IR_VERSION}; install a newer one, or write the file for an older version"
            )
        versions = [opset.version for opset in model.opset_import if opset.domain in _DOMAINS]
        newest = self.onnx.defs.onnx_opset_version()
        version = max(versions, default=1)
        if version > newest:
            raise DataError(
                f"{self.path}: has version {version} of the operators, and the installed package onnx knows {newest}; "
                "install a newer one, or write the file for an older version"
            )
        return int(version)

    def _check_operators(self) -> None:
        """List every operator that is not known, not only the first."""
        missing: dict[str, str] = {}
        for node in self.nodes:
            name = node.op_type if node.domain in _DOMAINS else f"{node.domain}.{node.op_type}"
            if name not in OPERATORS:
                missing.setdefault(name, node.name or ", ".join(node.output))
        if missing:
            shown = [f"{quote(name)} (in {quote(node)})" for name, node in sorted(missing.items(), key=str)]
            more = f" and {len(shown) - MOST_LINES} more" if len(shown) > MOST_LINES else ""
            raise UnsupportedError(
                f"{self.path}: {', '.join(shown[:MOST_LINES])}{more}: no such operators are known here; docs/onnx.md "
                "lists those that are"
            )

    def _check_order(self) -> None:
        """Every name is given once, and used only after it was given: so there are no cycles."""
        known = {*self.inputs, *self.initializers}
        for node in self.nodes:
            for name in node.input:
                if name and name not in known:
                    raise DataError(
                        f"{self.path}: the node {quote(node.name or node.op_type)} takes {quote(name)}, which nothing "
                        "before it returns; the graph has a cycle, or is cut off"
                    )
            for name in node.output:
                if name and name in known:
                    raise DataError(
                        f"{self.path}: two nodes return {quote(name)}, or an input is overwritten"
                    )
                known.add(name)
        for name in self.outputs:
            if name not in known:
                raise DataError(f"{self.path}: the output {quote(name)} is not computed by any node")

    def array(self, tensor: Any) -> NDArray:
        """The numbers of a tensor, from the file or from one beside it."""
        where = f"{self.path}, {quote(tensor.name)}"
        try:
            dtype = dtype_of(tensor.data_type)
        except UnsupportedError as error:
            raise UnsupportedError(f"{where}: {error}; NumPy has no such type") from error
        size = math.prod(tensor.dims) * dtype.itemsize
        if min(tensor.dims, default=0) < 0 or size > self._left:
            raise DataError(
                f"{where}: has shape {quote(tuple(tensor.dims))} of {dtype}, which is more than is read; if you trust "
                "the file, pass a larger max_bytes"
            )
        self._left -= size
        if tensor.data_location == self.onnx.TensorProto.EXTERNAL:
            tensor = self._external(tensor, size, where)
        with readable(where, "tensor"):
            found = self.onnx.numpy_helper.to_array(tensor)
            if found.nbytes != size:
                raise ValueError(f"{found.nbytes:,} bytes for a shape of {size:,}")
            return found

    def _external(self, tensor: Any, size: int, where: str) -> Any:
        """A tensor whose numbers lie in another file, which must be in the same folder or below."""
        given = {entry.key: entry.value for entry in tensor.external_data}
        folder = self.path.resolve().parent
        named = given.get("location", "")
        try:
            beside = (folder / named).resolve()
            is_inside = bool(named) and not Path(named).is_absolute() and beside.is_relative_to(folder)
        except (OSError, ValueError, RuntimeError):  # a null character, or links in a circle
            is_inside = False
        if not is_inside:
            raise DataError(
                f"{where}: its numbers lie in {quote(named)}, which is not in the folder of the file"
            )
        with readable(where, "tensor"):
            offset = int(given.get("offset", "0")[:20])
            length = int(given.get("length", str(size))[:20])
            if length != size or offset < 0:
                raise ValueError(f"{length:,} bytes at {offset:,} for a shape of {size:,} bytes")
            try:
                with open_file(beside, _ANY) as file:
                    file.seek(offset)
                    content = file.read(size)
            except DataError as error:
                raise DataError(f"{where}: {error}") from error
            if len(content) != size:
                raise ValueError(f"{quote(named)} is cut short: {len(content):,} of {size:,} bytes")
        whole = self.onnx.TensorProto()
        whole.dims.extend(tensor.dims)
        whole.name, whole.data_type, whole.raw_data = tensor.name, tensor.data_type, content
        return whole

    def attributes(self, node: Any) -> dict[str, Any]:
        """The attributes of a node: numbers, lists of numbers, text and arrays."""
        return dict(self._attributes(node))

    def _attributes(self, node: Any) -> Iterator[tuple[str, Any]]:
        kinds = self.onnx.AttributeProto
        for attribute in node.attribute:
            if attribute.type == kinds.TENSOR:
                yield attribute.name, self.array(attribute.t)
            elif attribute.type in (kinds.FLOAT, kinds.INT):
                yield attribute.name, attribute.f if attribute.type == kinds.FLOAT else attribute.i
            elif attribute.type in (kinds.FLOATS, kinds.INTS):
                yield (
                    attribute.name,
                    [*(attribute.floats if attribute.type == kinds.FLOATS else attribute.ints)],
                )
            elif attribute.type in (kinds.STRING, kinds.STRINGS):
                texts = [text.decode(errors="replace") for text in attribute.strings]
                yield (
                    attribute.name,
                    attribute.s.decode(errors="replace") if attribute.type == kinds.STRING else texts,
                )
            else:
                raise UnsupportedError(
                    f"{self.path}: the attribute {quote(attribute.name)} of {quote(node.name or node.op_type)} is "
                    "neither numbers nor text"
                )


def _require_few_parts(content: bytes, kind: Any) -> None:
    """Refuse a file of too many parts before it is parsed: protobuf takes a hundred times the size of empty ones."""
    count, stack = 0, [(0, len(content), kind)]
    while stack:
        at, stop, kind = stack.pop()
        messages, integers = _fields(kind)
        while at < stop:
            count += 1
            key, at = _varint(content, at)
            wire, number = key & 7, key >> 3
            if wire == 0:
                _, at = _varint(content, at)
            elif wire == 2:
                size, at = _varint(content, at)
                if size and number in messages:
                    stack.append((at, min(at + size, stop), messages[number]))
                elif number in integers:
                    count += size // 16  # one of a single byte takes eight
                at += size
            elif wire in (1, 5):
                at += 8 if wire == 1 else 4
            else:
                raise ValueError(f"a part of kind {wire}")
            if count > MOST_PARTS:
                raise ValueError(f"it has more than {MOST_PARTS:,} parts")


@cache
def _fields(kind: Any) -> tuple[dict[int, Any], set[int]]:
    """The fields of a message that are messages, with their kinds, and those that are many integers."""
    return (
        {field.number: field.message_type for field in kind.fields if field.message_type is not None},
        {field.number for field in kind.fields if field.is_packed and field.cpp_type != field.CPPTYPE_FLOAT},
    )


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """A number of protobuf, of seven bits a byte, and where the next one begins."""
    number = shift = 0
    while (byte := content[at]) > 127:
        number, shift, at = number | (byte & 127) << shift, shift + 7, at + 1
        if shift > 63:
            raise ValueError("a number of more than ten bytes")
    return number | byte << shift, at + 1


#: The names of the domain of the standard operators.
_DOMAINS = ("", "ai.onnx")

#: Files beside may be of any size: only as many bytes are read as a tensor has.
_ANY = 2**63


def read_onnx(path: str | os.PathLike[str], max_bytes: int = LARGEST_ARRAYS) -> File:
    """Read a file; see :class:`File`.

    Raises
    ------
    DataError
        If it is damaged, too large or too new, or refers to files outside its folder.
    UnsupportedError
        If an operator is not known here.
    """
    try:
        return File(path, max_bytes)
    except RecursionError as error:
        raise DataError(f"{path}: not a readable ONNX file: {describe_briefly(error)}") from error
