"""The names in the text of a program, and the spelling of arrays, views, numbers and settings.

Things that are made once (a buffer, a view, a constant) are made in ``prepare`` when their name is first used.
"""

from __future__ import annotations

import builtins
import keyword
import math
import operator
import re
import struct
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from ...ops import kernels
from ...primitive import operation
from ..instructions import call, draw, view_as
from ..memory import Buffer, Plan, base_of
from ..program import FEW, Constant, Input, Op, Program, inputs_of, is_name, is_scalar, name_of, take_name

__all__ = ["Names", "identifier", "printable", "quoted"]

_WORDS = {0: "zero", 1: "one", 2: "two", 0.5: "half", -1: "minus_one"}


class Names:
    """The names of one program, and the lines that make the objects behind them."""

    def __init__(self, program: Program, plan: Plan, arguments: list[Op]) -> None:
        self.program, self.plan = program, plan
        used = {arg for op in program.ops for arg in inputs_of(op)} | set(program.results)
        used |= {store.target for store in program.stores}
        numbers = [op for op in program.inputs if op.is_number]
        numbers.sort(key=lambda op: getattr(op, "kind", "") != "number")  # learning rates first, then steps
        self.arguments = [*arguments, *(op for op in numbers if op in used and op not in arguments)]
        self.given = [op for op in program.inputs if op not in self.arguments and op in used]
        self.setup: list[str] = []
        self.body: list[str] = []
        self.objects: dict[str, Any] = {}
        self.imports: set[str] = set()
        self.names: dict[Any, str] = {}
        self.numbers: dict[str, int] = {}
        words = keyword.kwlist, keyword.softkwlist, dir(builtins)
        self.taken = {"np", "prepare", "operation", "rows"}.union(kernels.__all__, *words)
        self.local: dict[Buffer, str] = {}  # pieces of buffers, within a loop
        self.made: set[Buffer] = set()
        self.scratch_bytes = 0
        for op in [*self.given, *self.arguments]:
            self.names[op] = self.unique(identifier(name_of(op)))

    def unique(self, name: str) -> str:
        """Take this name, or one with a number."""
        return take_name(name, self.taken)

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
            first = next((op for op in buffer.names if not isinstance(op, Input)), None)
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
            self.setup.append(
                f"    {name} = {made}  # shared by buffers that are not needed at the same time"
            )
        return self.names[key]

    def buffer_name(self, op: Op | None, buffer: Buffer) -> str:
        """Name a buffer after its first content."""
        if op is None:
            return self.numbered("s")
        if op.instruction.has_parts:
            return self.unique("gradients")
        if buffer.dtype == bool:
            return self.numbered("mask")
        if buffer.dtype.kind in "iu":
            return self.numbered("n")
        if buffer.of is not None and buffer.of.names and buffer.of.names[0].instruction.has_parts:
            return self.numbered("g")
        return self.numbered({"forward": "h", "backward": "d"}.get(op.place.phase, "u"))

    def value(self, arg: Any, like: Any = None, width: int = 0) -> str:
        """Write how a program refers to an argument.

        Numbers that are combined with arrays become arrays of their dtype: without axes, or rows of a given ``width``.
        """
        if isinstance(arg, Op):
            return self.reference(arg, like)
        if (
            isinstance(arg, (int, float))
            and not isinstance(arg, bool)
            and like is not None
            and like.kind == "f"
        ):
            key = "number", struct.pack("d", arg), like, width  # this distinguishes -0.0 from 0.0
            if key not in self.names:
                word = _WORDS.get(arg) if arg or not np.signbit(arg) else None
                if width:
                    name = self.unique(f"row_of_{word}s") if word else self.numbered("row")
                    made = f"{self.np('np.full')}({width}, {number_text(arg)}, {self.dtype(like)})"
                else:
                    name = self.unique(word) if word else self.numbered("c")
                    made = f"{self.np('np.array')}({number_text(arg)}, {self.dtype(like)})"
                self.names[key] = name
                self.setup.append(f"    {name} = {made}")
            return self.names[key]
        return self.literal(arg)

    def reference(self, op: Op, like: Any = None) -> str:
        """Return the name of a result; give it one if it has none."""
        if op.is_number and (like is not None or not isinstance(op, Input)):
            is_real = like is not None and like.kind == "f" and not op.is_complex
            return self.scalar(op, like) if is_real else self.expression(op)
        if op in self.plan.at:
            return self.buffer(self.plan.at[op])
        if op in self.names:
            return self.names[op]
        if isinstance(op, Constant):
            self.constant(op)
        elif op.is_view:
            self.view(op)
        return self.names[op]

    def constant(self, op: Constant) -> None:
        """Make a constant, or add it to the inputs."""
        value = op.value
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
        elif value.dtype.kind in "fiub" and value.dtype.itemsize <= 8 and op.number is not None:
            first = op.number
            key = "full", first.tobytes(), value.dtype, value.shape
            if key in self.names:
                self.names[op] = self.names[key]
                return
            self.names[key] = name = self.unique("ones" if first == 1 else "full")
            one = f"{number_text(first.item())}, {plain})"
            if value.ndim > 1 and value.size > FEW:
                text = f"{self.np('np.broadcast_to')}({self.np('np.array')}({one}, {value.shape!s})"
            elif first == 1:
                text = f"{self.np('np.ones')}({value.shape!s}, {plain})"
            else:
                text = f"{self.np('np.full')}({value.shape!s}, {one}"
        elif not value.size and plain:
            name, text = self.unique("nothing"), f"{self.np('np.empty')}({value.shape!s}, {plain})"
        elif (
            value.size <= 8
            and value.dtype.kind in "fiub"
            and value.dtype.itemsize <= 8
            and np.isfinite(value).all()
        ):
            name, text = self.numbered("k"), f"{self.np('np.array')}({value.tolist()!r}, {plain})"
        else:
            name = self.numbered("constant_")
            self.objects[name] = value
            text = ""
        if text:
            self.setup.append(f"    {name} = {text}")
        self.names[op] = name

    def view(self, op: Op) -> None:
        """Bind a view; only once, if its base stays in place."""
        base = base_of(op, self.plan.at)
        text = self.view_text(op)
        if op.place.phase == "parameter":
            name = identifier(op.place.scope) + ("_T" if op.calls(np.transpose) else "")
        else:
            name = self.viewed(op) + suffix_of(op)
        same = self.names.get(("view", text))
        if same is not None:
            self.names[op] = same
            return
        self.names[op] = self.names["view", text] = self.unique(name)
        is_static = isinstance(base, Constant) or base in self.given or base in self.plan.at
        lines = self.setup if is_static else self.body
        lines.append(f"{'    ' if is_static else '        '}{self.names[op]} = {text}")

    def viewed(self, op: Op) -> str:
        """Return the base of a view: a parameter rather than the vector that contains it."""
        inner = op.args[0]
        while inner.is_view and inner not in self.plan.at:
            if inner.place.phase == "parameter":
                return identifier(inner.place.scope)
            inner = inner.args[0]
        return self.reference(inner)

    def view_text(self, op: Op) -> str:
        """Write how a view is taken."""
        x = op.args[0]
        is_inner = x.is_view and x not in self.names and x not in self.plan.at
        return self.filled(op.expression, op, {0: self.view_text(x)} if is_inner else {})

    def index(self, index: Any) -> str:
        """Write the text between the brackets."""
        parts = index if isinstance(index, tuple) else (index,)
        return ", ".join(map(self.index_part, parts)) or "()"

    def index_part(self, part: Any) -> str:
        """Write the part of an index for one axis."""
        if isinstance(part, slice):
            text = ":".join("" if x is None else str(int(x)) for x in (part.start, part.stop))
            return (text if ":" in text else text + ":") + ("" if part.step is None else f":{int(part.step)}")
        return "..." if part is Ellipsis else self.value(part)

    def scalar(self, op: Op, like: Any) -> str:
        """A number that changes from call to call, as an array without axes."""
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
        if op in self.names:
            return self.names[op]
        sign = op.instruction.name
        if sign == "neg":
            return f"-{self.expression(op.args[0], 3)}"
        rank = {"+": 1, "-": 1, "*": 2, "/": 2, "**": 4}[sign]
        left, right = (
            self.expression(op.args[0], rank + (sign == "**")),
            self.expression(op.args[1], rank + 1),
        )
        text = f"{left}{sign}{right}" if rank == 4 else f"{left} {sign} {right}"
        return f"({text})" if rank < outer else text

    def dtype(self, dtype: Any) -> str:
        """A dtype's name."""
        dtype = np.dtype(dtype)
        if dtype.isnative and dtype.name not in ("bool",):
            return self.np(f"np.{dtype.name}")
        return "bool" if dtype.kind == "b" else f"np.dtype({dtype.str!r})"

    def literal(self, arg: Any) -> str:
        """Write something other than an array as Python does, or by a name if that is not possible."""
        if isinstance(arg, Op):
            return self.reference(arg)
        if type(arg) is list:
            return f"[{', '.join(map(self.literal, arg))}]"
        if type(arg) is tuple:
            return f"({', '.join(map(self.literal, arg))}{',' if len(arg) == 1 else ''})"
        if isinstance(arg, np.dtype) or (isinstance(arg, type) and issubclass(arg, np.generic)):
            return self.dtype(arg)
        if type(arg) in (float, complex):
            return number_text(arg)
        if (
            arg is None
            or type(arg) in (bool, str)
            or arg is Ellipsis
            or (type(arg) is int and abs(arg) < 1 << 128)
        ):
            return repr(arg)
        if type(arg) is slice:
            return f"slice({', '.join(map(self.literal, (arg.start, arg.stop, arg.step)))})"
        return self.object("object_", arg)

    def callee(self, callee: Any) -> str:
        """The name of a function that is called as a whole."""
        key = "callee", callee.operation or id(callee.function), callee.rule
        if key not in self.names:
            found = operation(callee.operation) if callee.operation else None
            if found is not None:
                self.imports.add("operation")
                part = "forward" if callee.rule is None else f"rules[{callee.rule}]"
                self.names[key] = self.unique(
                    identifier(callee.operation) + ("" if callee.rule is None else "_rules")
                )
                self.setup.append(f"    {self.names[key]} = operation({quoted(callee.operation)}).{part}")
            else:
                self.names[key] = self.object("function_", callee.function)
        return self.names[key]

    def object(self, prefix: str, value: Any) -> str:
        """The name of something that cannot be written as text, and is passed to ``prepare``."""
        key = "object", id(value)
        if key not in self.names:
            self.names[key] = name = self.numbered(prefix)
            self.objects[name] = value
        return self.names[key]

    def function(self, op: Op) -> str:
        """Name an instruction's function: by its name in NumPy, if it exists there."""
        name, function = op.instruction.name, op.instruction.function
        if name.startswith(f"{kernels.__name__}."):
            name = name.rpartition(".")[2]
            self.imports.add(f"kernels.{name}")
            return name
        try:
            is_there = operator.attrgetter(name.removeprefix("np."))(np) == function
        except AttributeError:
            is_there = False
        return self.np(name) if is_there and name.startswith("np.") else self.object("function_", function)

    # -- templates -----------------------------------------------------------------------------------

    def filled(
        self, template: str, op: Op, texts: Mapping[int, str] = {}, out: Callable[[], str] | None = None
    ) -> str:
        """Fill in the template of an instruction's text.

        Parameters
        ----------
        texts : the texts of some of the arguments, by position
        out : callable that names the buffer for the result
        """
        first = 1 if op.calls(call) else 2 if op.calls(draw) else 0  # these are part of the function
        like = [*op.loop[: len(op.args)]] if op.is_ufunc and out else [None] * len(op.args)
        width = row_width(op) if out else 0

        def argument(i: int) -> str:
            if i in texts:
                return texts[i]
            arg = op.args[i]
            if op.is_ufunc:
                is_formula = isinstance(arg, Op) and arg.is_number and not out
                text = self.expression(arg, 5) if is_formula else self.value(arg, like[i], width)
                return f"({text})" if text.startswith("-") and not out else text
            is_element = out and op.overwrites == (0,) and is_scalar(arg)
            return self.value(arg, op.dtype) if is_element else self.literal(arg)

        def arguments() -> str:
            given = [argument(i) for i in range(first, len(op.args))]
            named = [(key, self.literal(arg)) for key, arg in op.settings.items()]
            plain = [f"{key}={text}" for key, text in named if is_name(key)]
            others = [f"{quoted(key)}: {text}" for key, text in named if not is_name(key)]
            return ", ".join([*given, *plain, *([f"**{{{', '.join(others)}}}"] if others else [])])

        by_place = [_Field(partial(argument, i), self, op.args[i]) for i in range(len(op.args))]
        by_name = dict(zip(op.instruction.parameters, by_place, strict=False))
        more: dict[str, Callable[[], str]] = {
            "arguments": arguments,
            "function": lambda: self.callee(op.args[0]) if op.calls(call) else self.function(op),
            "method": lambda: str(op.args[1]),
            "dtype": lambda: self.dtype(op.dtype),
            "shape": lambda: ", ".join(map(str, op.shape)) or "()",
            "axis": lambda: axis_text(op),
            "keepdims": lambda: ", True" if op.settings["keepdims"] else "",
        }
        fields = {**by_name, **{name: _Field(text, self) for name, text in more.items()}}
        fields["out"] = _Field(out or str, self, op)
        text = _OF_NUMPY.sub(lambda match: self.np(match[0]), template)
        return text.format(*by_place, **fields)

    def flat(self, op: Op) -> str:
        """An array as a vector that shares its memory."""
        base = self.reference(op)
        if op.ndim == 1:
            return base
        key = "view", f"{base}.reshape(-1)"
        if op not in self.plan.at:
            return f"{base}.reshape(-1)"
        if key not in self.names:
            self.names[key] = name = self.unique(f"{base}_flat")
            self.setup.append(f"    {name} = {base}.reshape(-1)")
        return self.names[key]


class _Field:
    """The value of a name in a template; written only where it is used."""

    def __init__(self, text: Callable[[], str], names: Names, arg: Any = None) -> None:
        self._text, self._names, self._arg = text, names, arg

    def __format__(self, spec: str) -> str:
        return self._text()

    @property
    def flat(self) -> str:
        """The argument as a vector."""
        return self._names.flat(self._arg)

    @property
    def brackets(self) -> str:
        """The argument as an index."""
        return self._names.index(self._arg)


_OF_NUMPY = re.compile(r"\bnp\.[a-z]+")

#: Functions for which NumPy is slow with one number and many.
_EXTREMA = (np.maximum, np.minimum)


def row_width(op: Op) -> int:
    """The length of a repeated number with which NumPy compares many elements at a time; 0 if any works."""
    wide = op.ndim > 1 and op.shape[-1] >= 128 and op.shape[-1] < op.size
    return op.shape[-1] if wide and any(map(op.calls, _EXTREMA)) else 0


def axis_text(op: Op) -> str:
    """The axes of a reduction in NumPy's fastest form."""
    axes, ndim = op.settings["axis"], op.args[0].ndim
    return repr(axes[0] if len(axes) == 1 else None if len(axes) == ndim else axes)


def suffix_of(op: Op) -> str:
    """The suffix of a view's name."""
    if op.calls(np.transpose):
        return "_T"
    if op.calls(np.reshape):
        is_row, is_column = op.shape[:1] == (1,), op.shape[1:] == (1,)
        return "_column" if is_column else "_row" if is_row else "_flat" if op.ndim == 1 else "_r"
    return "_bits" if op.calls(view_as) else "_part"


def printable(text: str) -> str:
    """Write a user's text as part of one line; nothing in it ends the line."""
    return "".join(c if c.isprintable() else " " for c in str(text))


def quoted(text: str) -> str:
    """Write a string like Python, in double quotes if possible."""
    written = repr(str(text))
    return f'"{written[1:-1]}"' if written[0] == "'" and '"' not in written else written


def number_text(x: Any) -> str:
    """Write a Python number as an expression, including infinities."""
    if isinstance(x, complex):  # "-0+1j" would be 0 + 1j
        return f"complex({number_text(x.real)}, {number_text(x.imag)})"
    if isinstance(x, int) or math.isfinite(x):
        return repr(x)
    return f"float('{'-' if math.copysign(1, x) < 0 else ''}{abs(x)}')"


def identifier(name: str) -> str:
    """Make a valid Python name from letters that Python does not change; ``0.weight`` becomes ``weight_0``."""
    parts = [part for part in re.split(r"[^A-Za-z0-9]+", str(name)[:80]) if part]
    numbers = [part for part in parts if part.isdigit()]
    words = [part for part in parts if not part.isdigit()]
    made = "_".join([*words, *numbers]) or "x"
    made = f"x{made}" if made[0].isdigit() else made
    return f"{made}_" if keyword.iskeyword(made) else made
