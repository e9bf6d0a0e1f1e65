"""What things are called in the text of a program, and how they are written: arrays, views, numbers, settings.

Whatever is made once, a buffer, a view or a constant, is made in ``prepare`` when its name is first asked for.
"""

from __future__ import annotations

import cmath
import keyword
import re
from collections.abc import Container
from typing import Any

import numpy as np

from ..memory import Buffer, Plan
from ..program import Op, Program, inputs_of, is_view
from .loop import base_of

__all__ = ["Names", "identifier", "unused"]

_WORDS = {0: "zero", 1: "one", 2: "two", 0.5: "half", -1: "minus_one"}


class Names:
    """The names of one program, and the lines that make what they stand for."""

    def __init__(self, program: Program, plan: Plan, arguments: list[Op]) -> None:
        self.program, self.plan = program, plan
        used = {arg for op in program.ops for arg in inputs_of(op)} | set(program.results)
        used |= {store.target for store in program.stores}
        numbers = [op for op in program.inputs if op.dtype is None and op.settings.get("kind") != "generator"]
        numbers.sort(key=lambda op: op.settings["name"] != "lr")  # learning rates first, then steps
        self.arguments = [*arguments, *(op for op in numbers if op in used and op not in arguments)]
        self.given = [op for op in program.inputs if op not in self.arguments and op in used]
        self.setup: list[str] = []
        self.body: list[str] = []
        self.objects: dict[str, Any] = {}
        self.imports: set[str] = set()
        self.names: dict[Any, str] = {}
        self.numbers: dict[str, int] = {}
        self.taken = {"np", "prepare", "operation", "rows", *keyword.kwlist}
        self.local: dict[Buffer, str] = {}  # pieces of buffers, within a loop
        self.made: set[Buffer] = set()
        self.scratch_bytes = 0
        for op in [*self.given, *self.arguments]:
            self.names[op] = self.unique(identifier(str(op.settings["name"])))

    def unique(self, name: str) -> str:
        """A name that is not taken: this one, or one with a number."""
        made = unused(name, self.taken)
        self.taken.add(made)
        return made

    def numbered(self, prefix: str) -> str:
        """The next of ``h1``, ``h2`` and so on."""
        n = self.numbers.get(prefix, 0) + 1
        while f"{prefix}{n}" in self.taken:
            n += 1
        self.numbers[prefix] = n
        self.taken.add(f"{prefix}{n}")
        return f"{prefix}{n}"

    def np(self, name: str) -> str:
        """A NumPy function, imported by name if it is in NumPy itself."""
        short = name.removeprefix("np.")
        head = short.partition(".")[0]
        if (head in self.taken and head not in self.imports) or (
            head not in self.imports and "." in short and head == "linalg"
        ):
            return name
        if not hasattr(np, head) or isinstance(getattr(np, head), type(np)):
            return name
        self.imports.add(head)
        self.taken.add(head)
        return short

    def buffer(self, buffer: Buffer) -> str:
        """The name of a buffer, which is made in ``prepare`` when it is first needed."""
        if buffer in self.local:
            return self.local[buffer]
        if buffer.input is not None:
            return self.names[buffer.input]
        if buffer not in self.names:
            first = next((op for op in buffer.names if op.function != "input"), None)
            self.names[buffer] = self.buffer_name(first, buffer)
            if buffer.place is not None:
                made = f"{self.shared(buffer.dtype)}[{buffer.place}:{buffer.place + buffer.size}]"
                made += f".reshape{buffer.shape}" if len(buffer.shape) > 1 else ""
            elif buffer.of is None:
                made = f"{self.np('np.empty')}({buffer.shape!s}, {self.dtype(buffer.dtype)})"
            else:
                whole = self.buffer(buffer.of)
                part = buffer.size != buffer.of.size
                made = f"{whole}[{buffer.start}:{buffer.start + buffer.size}]" if part else whole
                if buffer.shape != ((buffer.size,) if part else buffer.of.shape):
                    made += (
                        f".reshape{buffer.shape!s}" if len(buffer.shape) > 1 else f".reshape({buffer.size})"
                    )
            self.made.add(buffer)
            self.setup.append(f"    {self.names[buffer]} = {made}")
        return self.names[buffer]

    def shared(self, dtype: Any) -> str:
        """The name of the memory that large buffers share."""
        key = "memory", dtype
        if key not in self.names:
            self.names[key] = name = self.unique("memory")
            made = f"{self.np('np.empty')}({self.plan.arenas[dtype]}, {self.dtype(dtype)})"
            self.setup.append(f"    {name} = {made}  # of buffers that are not needed at one time")
        return self.names[key]

    def buffer_name(self, op: Op | None, buffer: Buffer) -> str:
        """What a buffer is called after what it holds first."""
        if op is None:
            return self.numbered("s")
        if op.function == "join":
            return self.unique("gradients")
        if buffer.dtype == bool:
            return self.numbered("mask")
        if buffer.dtype.kind in "iu":
            return self.numbered("n")
        if buffer.of is not None and buffer.of.names and buffer.of.names[0].function == "join":
            return self.numbered("g")
        return self.numbered({"forward": "h", "backward": "d"}.get(op.place.phase, "u"))

    def value(self, arg: Any, like: Any = None, width: int = 0) -> str:
        """How a program refers to an argument.

        Numbers that meet arrays become arrays of their dtype: without axes, or rows of a ``width``.
        """
        if isinstance(arg, Op):
            return self.reference(arg, like)
        if (
            isinstance(arg, (int, float))
            and not isinstance(arg, bool)
            and like is not None
            and like.kind == "f"
        ):
            key = "number", float(arg), like, width
            if key not in self.names:
                if width:
                    name = self.unique(f"row_of_{_WORDS[arg]}s") if arg in _WORDS else self.numbered("row")
                    made = f"{self.np('np.full')}({width}, {number_text(arg)}, {self.dtype(like)})"
                else:
                    name = self.unique(_WORDS[arg]) if arg in _WORDS else self.numbered("c")
                    made = f"{self.np('np.array')}({number_text(arg)}, {self.dtype(like)})"
                self.names[key] = name
                self.setup.append(f"    {name} = {made}")
            return self.names[key]
        return self.literal(arg)

    def reference(self, op: Op, like: Any = None) -> str:
        """The name of a result; it is given one if it has none."""
        if op.is_number and op.function not in ("input", "constant"):
            return self.scalar(op, like) if like is not None else self.expression(op)
        if op.function == "input" and op.dtype is None and like is not None and like.kind == "f":
            return self.scalar(op, like)
        if op in self.plan.at:
            return self.buffer(self.plan.at[op])
        if op in self.names:
            return self.names[op]
        if op.function == "constant":
            self.constant(op)
        elif is_view(op):
            self.view(op)
        return self.names[op]

    def constant(self, op: Op) -> None:
        """Make a constant, or have it given."""
        value: np.ndarray = op.settings["value"]
        plain = self.dtype(value.dtype) if value.dtype.kind in "biufc" else ""
        if (
            value.ndim == 1
            and value.dtype.kind in "iu"
            and np.array_equal(value, np.arange(len(value)))
            and len(value)
        ):
            text = f"{self.np('np.arange')}({len(value)})" + (
                "" if value.dtype == np.intp else f".astype({plain})"
            )
            name = self.unique("columns")
        elif value.size and value.dtype.kind in "fiub" and (value == value.flat[0]).all():
            name = self.unique("ones" if value.flat[0] == 1 else "full")
            filled = self.np("np.ones") if value.flat[0] == 1 else self.np("np.full")
            extra = "" if value.flat[0] == 1 else f", {value.flat[0].item()!r}"
            text = f"{filled}({value.shape!s}{extra}, {plain})"
        elif not value.size and plain:
            name, text = self.unique("nothing"), f"{self.np('np.empty')}({value.shape!s}, {plain})"
        elif value.size <= 8 and value.dtype.kind in "fiub" and np.isfinite(value).all():
            name, text = self.numbered("k"), f"{self.np('np.array')}({value.tolist()!r}, {plain})"
        else:
            name = self.numbered("constant_")
            self.objects[name] = value
            text = ""
        if text:
            self.setup.append(f"    {name} = {text}")
        self.names[op] = name

    def view(self, op: Op) -> None:
        """Bind a view: once, if what it looks at stays where it is."""
        base = base_of(op, self.plan)
        text = self.view_text(op)
        if op.place.phase == "parameter":
            name = identifier(op.place.scope) + ("_T" if op.function == "np.transpose" else "")
        else:
            suffix = {"np.transpose": "_T", "np.reshape": "_r", "view": "_bits"}.get(op.function, "_part")
            suffix = "_flat" if op.function == "np.reshape" and op.ndim == 1 else suffix
            suffix = "_row" if op.function == "np.reshape" and op.shape[:1] == (1,) else suffix
            suffix = "_column" if op.function == "np.reshape" and op.shape[1:] == (1,) else suffix
            name = self.viewed(op) + suffix
        same = self.names.get(("view", text))
        if same is not None:
            self.names[op] = same
            return
        self.names[op] = self.names["view", text] = self.unique(name)
        is_static = base.function == "constant" or base in self.given or base in self.plan.at
        lines = self.setup if is_static else self.body
        lines.append(f"{'    ' if is_static else '        '}{self.names[op]} = {text}")

    def viewed(self, op: Op) -> str:
        """What a view is a view of: a parameter, rather than the vector in which it lies."""
        inner = op.args[0]
        while is_view(inner) and inner not in self.plan.at:
            if inner.place.phase == "parameter":
                return identifier(inner.place.scope)
            inner = inner.args[0]
        return self.reference(inner)

    def view_text(self, op: Op) -> str:
        """How a view is taken."""
        x = op.args[0]
        inner = (
            self.view_text(x)
            if is_view(x) and x not in self.names and x not in self.plan.at
            else self.reference(x)
        )
        if op.function == "np.transpose":
            reverse = op.args[1] == tuple(reversed(range(op.ndim)))
            return f"{inner}.T" if reverse else f"{inner}.transpose{op.args[1]!s}"
        if op.function == "np.reshape":
            return f"{inner}.reshape({', '.join(map(str, op.shape))})" if op.ndim else f"{inner}.reshape(())"
        if op.function == "view":
            return f"{inner}.view({self.dtype(op.dtype)})"
        if op.function == "np.broadcast_to":
            return f"{self.np('np.broadcast_to')}({inner}, {op.shape!s})"
        return f"{inner}[{self.index(op.args[1])}]"

    def index(self, index: Any) -> str:
        """What stands between the brackets."""
        parts = index if isinstance(index, tuple) else (index,)
        return ", ".join(map(self.index_part, parts)) or "()"

    def index_part(self, part: Any) -> str:
        """What stands there for one axis."""
        if isinstance(part, slice):
            text = ":".join("" if x is None else str(x) for x in (part.start, part.stop))
            return (text if ":" in text else text + ":") + ("" if part.step is None else f":{part.step}")
        return "..." if part is Ellipsis else self.value(part)

    def scalar(self, op: Op, like: Any) -> str:
        """A number that changes from call to call, as an array of no axes."""
        key = "scalar", op, like
        if key not in self.names:
            self.names[key] = name = self.numbered("rate")
            self.setup.append(f"    {name} = {self.np('np.empty')}((), {self.dtype(like)})")
            self.body.append(f"        {name}[()] = {self.expression(op)}")
        return self.names[key]

    def expression(self, op: Any, outer: int = 0) -> str:
        """A formula of Python numbers."""
        if not isinstance(op, Op):
            return number_text(op) if not isinstance(op, float) or op >= 0 else f"({number_text(op)})"
        if op.function in ("input", "draw"):
            return self.names[op]
        if op.function == "neg":
            return f"-{self.expression(op.args[0], 3)}"
        rank = {"+": 1, "-": 1, "*": 2, "/": 2, "**": 4}[op.function]
        left, right = (
            self.expression(op.args[0], rank + (op.function == "**")),
            self.expression(op.args[1], rank + 1),
        )
        text = f"{left}{op.function}{right}" if rank == 4 else f"{left} {op.function} {right}"
        return f"({text})" if rank < outer else text

    def dtype(self, dtype: Any) -> str:
        """A dtype's name."""
        dtype = np.dtype(dtype)
        if dtype.isnative and dtype.name not in ("bool",):
            return self.np(f"np.{dtype.name}")
        return "bool" if dtype.kind == "b" else f"np.dtype({dtype.str!r})"

    def literal(self, arg: Any) -> str:
        """Something that is no array, as Python writes it; by a name where it cannot."""
        if isinstance(arg, Op):
            return self.reference(arg)
        if isinstance(arg, list):
            return f"[{', '.join(map(self.literal, arg))}]"
        if type(arg) is tuple:
            return f"({', '.join(map(self.literal, arg))}{',' if len(arg) == 1 else ''})"
        if isinstance(arg, np.dtype) or (isinstance(arg, type) and issubclass(arg, np.generic)):
            return self.dtype(arg)
        if isinstance(arg, np.generic):
            arg = arg.item()
        if isinstance(arg, (float, complex)):
            return number_text(arg)
        if arg is None or isinstance(arg, (bool, int, str, slice)) or arg is Ellipsis:
            return repr(arg)
        key = "object", id(arg)
        if key not in self.names:
            self.names[key] = name = self.numbered("object_")
            self.objects[name] = arg
        return self.names[key]

    def callee(self, callee: Any) -> str:
        """The name of an operation that is called as a whole."""
        key = "callee", callee.reference or id(callee.function)
        if key not in self.names:
            if callee.reference:
                self.imports.add("operation")
                match = re.match(r"operation\('(\w+)'\)\.(\w+)", callee.reference)
                name = self.unique(
                    f"{match[1]}_{match[2]}" if match and match[2] == "rules" else match[1] if match else "f"
                )
                self.setup.append(f"    {name} = {callee.reference}")
            else:
                name = self.numbered("function_")
                self.objects[name] = callee.function
            self.names[key] = name
        return self.names[key]


def number_text(x: Any) -> str:
    """A Python number as an expression, infinite ones too."""
    is_finite = isinstance(x, int) or cmath.isfinite(x)
    return repr(x) if is_finite else f"{type(x).__name__}({str(x)!r})"


def unused(name: str, taken: Container[str]) -> str:
    """A name that is not taken: this one, or one with a number."""
    made, n = name, 1
    while made in taken:
        n += 1
        made = f"{name}_{n}"
    return made


def identifier(name: str) -> str:
    """A name that Python takes; ``0.weight`` becomes ``weight_0``."""
    parts = [part for part in re.split(r"\W+", name) if part]
    numbers = [part for part in parts if part.isdigit()]
    words = [part for part in parts if not part.isdigit()]
    made = "_".join([*words, *numbers]) or "x"
    return f"{made}_" if keyword.iskeyword(made) else made
