"""The program as text: a function that makes the buffers, and within it the step that uses them.

What is made once, buffers, views and constants, stands in ``prepare``; what runs at every call stands in
the function it returns. The text needs nothing but NumPy, unless it calls an operation of this package as
a whole, and it is the same whenever the program is.
"""

from __future__ import annotations

import keyword
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .lowering import is_outer
from .memory import Buffer, Plan, has_out
from .passes import is_ufunc
from .program import NOWHERE, Op, Place, Program, inputs_of, is_view

__all__ = ["Source", "write"]

#: Elements of a piece, when long arrays are computed piece by piece: the processor's cache holds a few such.
PIECE = 40_960

_INFIX = {
    "np.add": "+", "np.subtract": "-", "np.multiply": "*", "np.divide": "/", "np.power": "**", "np.greater": ">",
    "np.less": "<", "np.greater_equal": ">=", "np.less_equal": "<=", "np.equal": "==", "np.not_equal": "!=",
}  # fmt: skip
#: NumPy deprecates their third argument by position.
_OUT_BY_NAME = ("np.maximum", "np.minimum")
_WORDS = {0: "zero", 1: "one", 2: "two", 0.5: "half", -1: "minus_one"}


@dataclass
class Source:
    """The text of a program, and what it is given.

    Attributes
    ----------
    text : str
    given : names of the inputs that ``prepare`` takes, each with its Op
    objects : names of what else it takes, which cannot be written down
    arguments : the inputs that the step takes, in order
    calls, buffers, buffer_bytes : how many calls and buffers there are, and their memory
    program, plan : what was written down
    """

    text: str
    given: dict[str, Op]
    objects: dict[str, Any]
    arguments: list[Op]
    calls: int
    buffers: int
    buffer_bytes: int
    program: Program
    plan: Plan


def write(program: Program, plan: Plan, arguments: list[Op]) -> Source:
    """Write a program down."""
    return _Writer(program, plan, arguments).source()


class _Writer:
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
        self.indent = ""
        self.objects: dict[str, Any] = {}
        self.imports: set[str] = set()
        self.operations = False
        self.calls = 0
        self.names: dict[Any, str] = {}
        self.taken = {"np", "prepare", "operation", "rows", *keyword.kwlist}
        self.place: Place = NOWHERE
        self.label = ""
        self.local: dict[Buffer, str] = {}
        self.made: set[Buffer] = set()
        self.scratch_bytes = 0
        for op in [*self.given, *self.arguments]:
            self.names[op] = self.unique(_identifier(str(op.settings["name"])))

    # -- the whole -----------------------------------------------------------------------------------

    def source(self) -> Source:
        """Write everything."""
        program = self.program
        i = 0
        while i < len(program.ops):
            run = self.run_at(i)
            if len(run) > 1:
                self.pieces(run)
            else:
                self.operation(program.ops[i])
            i += max(len(run), 1)
        for store in program.stores:
            self.store(store.target, store.value)
        self.say("return " + (", ".join(map(self.result, program.results)) or "None"))
        name = _identifier(program.name) if program.name.isidentifier() else "compiled"
        name = name if name not in self.taken else f"{name}_"
        quiet = (
            ['    @np.errstate(over="ignore")  # ' + program.notes["overflow"]]
            if program.notes.get("overflow")
            else []
        )
        shapes = [f"{self.names[op]} {_shape(op)}" for op in self.arguments if op.dtype is not None]
        given = [*(self.names[op] for op in self.given), *self.objects]
        lines = [
            f'"""{program.name}, compiled' + (f" for {', '.join(shapes)}" if shapes else "") + ".",
            "",
            "The last argument of a call is where its result goes.",
            '"""',
            "",
            "import numpy as np",
            *_wrapped("from numpy import ", sorted(self.imports, key=str.lower)),
            *(["from tinygrad_mnist.primitive import operation"] if self.operations else []),
            "",
            "",
            *_wrapped("def prepare(", given, "):"),
            *self.setup,
            "",
            *quiet,
            *_wrapped(f"    def {name}(", [self.names[op] for op in self.arguments], "):"),
            *self.body,
            "",
            f"    return {name}",
            "",
        ]
        own = [b for b in self.made if b.of is None]
        return Source(
            "\n".join(lines),
            {self.names[op]: op for op in self.given},
            self.objects,
            self.arguments,
            calls=self.calls,
            buffers=len(own),
            buffer_bytes=sum(b.nbytes for b in own) + self.scratch_bytes,
            program=program,
            plan=self.plan,
        )

    # -- names ---------------------------------------------------------------------------------------

    def unique(self, name: str) -> str:
        made, n = name, 1
        while made in self.taken:
            n += 1
            made = f"{name}_{n}"
        self.taken.add(made)
        return made

    def numbered(self, prefix: str) -> str:
        n = 1
        while f"{prefix}{n}" in self.taken:
            n += 1
        self.taken.add(f"{prefix}{n}")
        return f"{prefix}{n}"

    def np(self, name: str) -> str:
        """A NumPy function, imported by name if it is in NumPy itself."""
        short = name.removeprefix("np.")
        head = short.partition(".")[0]
        if head in self.taken - self.imports or (
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
            if buffer.of is None:
                made = f"{self.np('np.empty')}({_tuple(buffer.shape)}, {self.dtype(buffer.dtype)})"
            else:
                whole = self.buffer(buffer.of)
                part = buffer.size != buffer.of.size
                made = f"{whole}[{buffer.start}:{buffer.start + buffer.size}]" if part else whole
                if buffer.shape != ((buffer.size,) if part else buffer.of.shape):
                    made += (
                        f".reshape{_tuple(buffer.shape)}"
                        if len(buffer.shape) > 1
                        else f".reshape({buffer.size})"
                    )
            self.made.add(buffer)
            self.setup.append(f"    {self.names[buffer]} = {made}")
        return self.names[buffer]

    def buffer_name(self, op: Op | None, buffer: Buffer) -> str:
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

    def value(self, arg: Any, like: Any = None) -> str:
        """How a program refers to an argument; numbers that meet arrays become arrays of their dtype."""
        if isinstance(arg, Op):
            return self.reference(arg, like)
        if (
            isinstance(arg, (int, float))
            and not isinstance(arg, bool)
            and like is not None
            and like.kind == "f"
        ):
            key = "number", float(arg), like
            if key not in self.names:
                self.names[key] = name = self.unique(_WORDS[arg]) if arg in _WORDS else self.numbered("c")
                self.setup.append(f"    {name} = {self.np('np.array')}({arg!r}, {self.dtype(like)})")
            return self.names[key]
        return self.literal(arg)

    def reference(self, op: Op, like: Any = None) -> str:
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
        value: np.ndarray = op.settings["value"]
        plain = self.dtype(value.dtype)
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
            text = f"{filled}({_tuple(value.shape)}{extra}, {plain})"
        elif not value.size:
            name, text = self.unique("nothing"), f"{self.np('np.empty')}({_tuple(value.shape)}, {plain})"
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
        base = self.base(op)
        text = self.view_text(op)
        if op.place.phase == "parameter":
            name = _identifier(op.place.scope) + ("_T" if op.function == "np.transpose" else "")
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
                return _identifier(inner.place.scope)
            inner = inner.args[0]
        return self.reference(inner)

    def base(self, op: Op) -> Op:
        while is_view(op) and op not in self.plan.at:
            op = op.args[0]
        return op

    def view_text(self, op: Op) -> str:
        x = op.args[0]
        inner = (
            self.view_text(x)
            if is_view(x) and x not in self.names and x not in self.plan.at
            else self.reference(x)
        )
        if op.function == "np.transpose":
            reverse = op.args[1] == tuple(reversed(range(op.ndim)))
            return f"{inner}.T" if reverse else f"{inner}.transpose{_tuple(op.args[1])}"
        if op.function == "np.reshape":
            return f"{inner}.reshape({', '.join(map(str, op.shape))})" if op.ndim else f"{inner}.reshape(())"
        if op.function == "view":
            return f"{inner}.view({self.dtype(op.dtype)})"
        if op.function == "np.broadcast_to":
            return f"{self.np('np.broadcast_to')}({inner}, {_tuple(op.shape)})"
        return f"{inner}[{self.index(op.args[1])}]"

    def index(self, index: Any) -> str:
        parts = index if isinstance(index, tuple) else (index,)
        return ", ".join(map(self.index_part, parts)) or "()"

    def index_part(self, part: Any) -> str:
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
            return repr(op) if not isinstance(op, float) or op >= 0 else f"({op!r})"
        if op.function == "input":
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
        dtype = np.dtype(dtype)
        if dtype.isnative and dtype.name not in ("bool",):
            return self.np(f"np.{dtype.name}")
        return "bool" if dtype == bool else f"np.dtype({dtype.str!r})"

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
        if isinstance(arg, float) and not math.isfinite(arg):
            return f"float({str(arg)!r})"
        if arg is None or isinstance(arg, (bool, int, float, complex, str, slice)) or arg is Ellipsis:
            return repr(arg)
        if isinstance(arg, np.generic):
            return repr(arg.item())
        key = "object", id(arg)
        if key not in self.names:
            self.names[key] = name = self.numbered("object_")
            self.objects[name] = arg
        return self.names[key]

    # -- lines ---------------------------------------------------------------------------------------

    def say(self, line: str) -> None:
        self.body.append(f"        {self.indent}{line}")

    def comment(self, place: Place) -> None:
        """Say where in the user's program the next lines come from, if that is somewhere else."""
        if place == self.place or place.phase in ("", "parameter"):
            return
        old, self.place = self.place, place
        what = {"forward": place.scope, "backward": f"back through {place.scope}" if place.scope else "back"}
        text = what.get(place.phase, "update")
        new_line = place.line and place.line != old.line
        where = f"{place.line}: {place.text}" if new_line and place.text else place.line if new_line else ""
        if place.phase == "backward":
            where = "" if place.scope else place.line
        label = ", ".join(part for part in (text, where) if part)
        if label and label != self.label:
            self.label = label
            if self.body:
                self.body.append("")
            self.say(f"# {label}"[: 108 - len(self.indent)])

    def operation(self, op: Op) -> None:
        """Write the lines of one operation."""
        if (
            op.function == "constant"
            or (is_view(op) and op not in self.plan.at)
            or op.is_number
            and op.function not in ("check",)
        ):
            return
        self.comment(op.place)
        if op.function == "check":
            self.say(f"if {self.value(op.args[0])}:")
            self.say(f"    raise ValueError({op.args[1]!r})")
        elif has_out(op):
            self.told(op)
        else:
            self.fresh(op)

    def told(self, op: Op) -> None:
        """An operation whose result goes into a buffer."""
        args = op.args
        like = _like(op)
        if is_ufunc(op):
            texts = [self.value(arg, like) for arg in args]
            self.call(op.function, *texts, self.buffer(self.plan.at[op]))
        elif op.function.endswith(".reduce"):
            axes, ndim = op.settings["axis"], args[0].ndim
            axis = axes[0] if len(axes) == 1 else None if len(axes) == ndim else axes
            out = self.buffer(self.plan.at[op])
            more = ["True"] if op.settings["keepdims"] else []
            self.call(op.function, self.value(args[0]), repr(axis), "None", out, *more)
        elif op.function == "np.dot":
            self.dot(self.value(args[0]), self.value(args[1]), self.buffer(self.plan.at[op]))
        elif op.function == "np.matmul":
            texts = [self.value(arg) for arg in args]
            self.call(op.function, *texts, self.buffer(self.plan.at[op]))
        elif op.function in ("copy", "astype"):
            x = self.value(args[0])
            more = ['"unsafe"'] if op.function == "astype" else []
            self.call("np.copyto", self.buffer(self.plan.at[op]), x, *more)
        elif op.function == "take_flat":
            flat, places = self.flat(args[0]), self.value(args[1])
            self.call("np.take", flat, places, "None", self.buffer(self.plan.at[op]), '"clip"')
        elif op.function == "add_flat":
            places, value = self.value(args[1]), self.value(args[2], op.dtype)
            self.base_in_place(op)
            self.say(f"{self.flat(op)}[{places}] += {value}")
            self.calls += 1
        elif op.function == "setitem":
            index, value = self.index(args[1]), self.value(args[2])
            self.base_in_place(op)
            self.say(f"{self.buffer(self.plan.at[op])}[{index}] = {value}")
            self.calls += 1
        elif op.function == "draw":
            out = self.buffer(self.plan.at[op])
            self.say(f"{self.value(args[0])}.{args[1]}(None, {self.dtype(op.dtype)}, {out})")
            self.calls += 1
        elif op.function == "join":
            start = 0
            for i, part in enumerate(args):
                if (op, i) in self.plan.copied:
                    whole = self.buffer(self.plan.at[op])
                    self.say(f"{whole}[{start}:{start + part.size}] = {self.value(part)}.reshape(-1)")
                start += part.size

    def base_in_place(self, op: Op) -> None:
        """Copy what is about to be changed, unless it is in its place."""
        at = self.plan.at
        if at.get(op.args[0]) is not at[op]:
            self.call("np.copyto", self.buffer(at[op]), self.value(op.args[0]))

    def flat(self, op: Op) -> str:
        base = self.reference(op)
        key = "view", f"{base}.reshape(-1)"
        if op.ndim == 1:
            return base
        if op not in self.plan.at:
            return f"{base}.reshape(-1)"
        if key not in self.names:
            self.names[key] = name = self.unique(f"{base}_flat")
            self.setup.append(f"    {name} = {base}.reshape(-1)")
        return self.names[key]

    def call(self, function: str, *texts: str) -> None:
        self.calls += 1
        if function in _OUT_BY_NAME:
            texts = (*texts[:-1], f"out={texts[-1]}")
        self.say(f"{self.np(function)}({', '.join(texts)})")

    def dot(self, a: str, b: str, out: str) -> None:
        """A product, by the method: np.dot takes a sixth of a microsecond more."""
        self.calls += 1
        self.say(f"{a}.dot({b}, {out})")

    def fresh(self, op: Op) -> None:
        """An operation whose result is new, or no array with axes."""
        text = self.fresh_text(op)
        self.calls += op.function not in ("pick",)
        self.names[op] = self.numbered("s" if not op.ndim else "v")
        self.say(f"{self.names[op]} = {text}")

    def fresh_text(self, op: Op) -> str:
        args, settings = op.args, op.settings
        if op.function in _INFIX and not settings:
            a, b = (self.operand(arg, op) for arg in args)
            return f"{a} {_INFIX[op.function]} {b}"
        if op.function == "np.negative":
            return f"-{self.value(args[0])}"
        if op.function == "np.dot":
            return f"{self.value(args[0])}.dot({self.value(args[1])})"
        if op.function.endswith(".reduce") and not settings.keys() - {"axis", "keepdims"} and not op.ndim:
            axis = "" if args[0].ndim == 1 else ", None"
            return f"{self.np(op.function)}({self.value(args[0])}{axis})"
        if op.function == "getitem":
            return f"{self.value(args[0])}[{self.index(args[1])}]"
        if op.function == "pick":
            return f"{self.value(args[0])}[{args[1]}]"
        if op.function in ("astype", "copy"):
            return f"{self.value(args[0])}.{op.function}({self.dtype(op.dtype) if op.function == 'astype' else ''})"
        rest = [self.literal(arg) for arg in args]
        named = [f"{key}={self.literal(arg)}" for key, arg in settings.items()]
        if op.function == "draw":
            return f"{rest[0]}.{args[1]}({', '.join([*rest[2:], *named])})"
        if op.function == "call":
            return f"{self.callee(args[0])}({', '.join([*rest[1:], *named])})"
        return f"{self.np(op.function)}({', '.join([*rest, *named])})"

    def operand(self, arg: Any, op: Op) -> str:
        if isinstance(arg, Op) and arg.is_number:
            return self.expression(arg, 5)
        return self.value(arg)

    def callee(self, callee: Any) -> str:
        key = "callee", callee.reference or id(callee.function)
        if key not in self.names:
            if callee.reference:
                self.operations = True
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

    def store(self, target: Op, value: Op) -> None:
        """Put a value into the memory of an input, unless it is there already."""
        at = self.plan.at.get(value)
        if at is not None and at.root.input is target:
            return
        if target.ndim:
            self.call("np.copyto", self.names[target], self.value(value))
        else:
            self.say(f"{self.names[target]}[()] = {self.value(value)}")

    def result(self, op: Op) -> str:
        """What is returned has to be the caller's own."""
        text = self.value(op)
        is_new = op not in self.plan.at and op.function not in ("input", "constant") and not is_view(op)
        return text if is_new and (not op.ndim or op.function not in ("call",)) else f"{text}.copy()"

    # -- piece by piece ------------------------------------------------------------------------------

    def run_at(self, i: int) -> list[Op]:
        """The operations from here on that can be computed together, piece by piece."""
        first = self.program.ops[i]
        if not self.is_long(first):
            return []
        run: list[Op] = []
        looks: dict[Buffer, set[Any]] = {}  # in which ways each piece of memory is looked at
        changed: set[Buffer] = set()
        for op in self.program.ops[i:]:
            if op.function == "constant" or op.is_number or (is_view(op) and op not in self.plan.at):
                continue
            if not self.is_long(op) or op.shape != first.shape:
                break
            for arg in (*inputs_of(op), op):
                base = self.base(arg)
                if base in self.plan.at:
                    buffer = self.plan.at[base]
                    looks.setdefault(buffer.root, set()).add(buffer if base is arg else arg)
            changed.add(self.plan.at[op].root)
            # A piece must not be overwritten before another piece, of which it is a part elsewhere, was read.
            if any(len(looks[root]) > 1 for root in changed):
                break
            run.append(op)
        end = self.program.ops.index(run[-1], i) if run else i
        # Constants and numbers in between are written where they are needed.
        return list(self.program.ops[i : end + 1]) if len(run) > 1 else []

    def is_long(self, op: Op) -> bool:
        is_elementwise = is_ufunc(op) or is_outer(op)
        return is_elementwise and op in self.plan.at and op.size >= 2 * PIECE and op.shape[0] > 1

    def pieces(self, run: list[Op]) -> None:
        """Write a loop over rows."""
        ops = [op for op in run if self.is_long(op)]
        rows = ops[0].shape[0]
        step = max(1, PIECE // (ops[0].size // rows))
        self.comment(ops[0].place)
        inside = set(ops)
        like = {op: _like(op) for op in ops}
        # Everything that is not cut has to be there before the loop.
        for op in ops:
            for arg in op.args:
                if not isinstance(arg, Op) or arg not in inside:
                    self.value(arg, like[op] if is_ufunc(op) else None)
        key = "blocks", rows, step
        if key not in self.names:
            self.names[key] = name = self.unique("pieces")
            self.setup.append(
                f"    {name} = [slice(i, min(i + {step}, {rows})) for i in range(0, {rows}, {step})]"
            )
        local = self.local_buffers(ops)
        self.say(f"for rows in {self.names[key]}:")
        self.indent = "    "
        cut: dict[str, str] = {}
        outer_local, self.local = self.local, {}
        for op in ops:
            out = self.plan.at[op]
            if is_outer(op):
                texts = [self.piece(op.args[0], rows, cut), self.value(op.args[1])]
            else:
                texts = [
                    self.piece(arg, rows, cut)
                    if isinstance(arg, Op) and arg.ndim == op.ndim and arg.shape[0] == rows
                    else self.value(arg, like[op])
                    for arg in op.args
                ]
            target = self.piece_of_buffer(out, cut, step if out in local else 0)
            if is_outer(op):
                self.dot(*texts, target)
            else:
                self.call(op.function, *texts, target)
        self.local = outer_local
        self.indent = ""

    def local_buffers(self, ops: list[Op]) -> set[Buffer]:
        """Buffers that hold nothing but what is made and used within a run: a piece of them is enough."""
        inside = set(ops)
        users: dict[Op, bool] = {}
        for op in self.program.ops:
            for arg in inputs_of(op):
                users[arg] = users.get(arg, True) and op in inside
        for op in (*self.program.results, *(s.value for s in self.program.stores)):
            users[op] = False
        found = set()
        for buffer in {self.plan.at[op] for op in ops}:
            own = buffer.of is None and buffer.input is None and buffer not in self.names
            if own and all(name in inside and users.get(name, False) for name in buffer.names):
                alias = any(b.of is buffer for b in self.plan.buffers)
                if not alias:
                    found.add(buffer)
        return found

    def piece(self, op: Op, rows: int, cut: dict[str, str]) -> str:
        if op in self.plan.at and self.plan.at[op] in self.local:
            return self.local[self.plan.at[op]]
        return self.cut(self.reference(op), cut)

    def piece_of_buffer(self, buffer: Buffer, cut: dict[str, str], step: int) -> str:
        if buffer in self.local:
            return self.local[buffer]
        if step and buffer not in self.names:
            name = self.numbered("scratch")
            shape = (step, *buffer.shape[1:])
            self.scratch_bytes += math.prod(shape) * buffer.dtype.itemsize
            self.setup.append(
                f"    {name} = {self.np('np.empty')}({_tuple(shape)}, {self.dtype(buffer.dtype)})"
            )
            local = self.numbered("t")
            self.say(f"{local} = {name}[: rows.stop - rows.start]")
            self.local[buffer] = local
            return local
        return self.cut(self.buffer(buffer), cut)

    def cut(self, name: str, cut: dict[str, str]) -> str:
        if name not in cut:
            cut[name] = local = self.unique(f"{name}_")
            self.say(f"{local} = {name}[rows]")
        return cut[name]


def _like(op: Op) -> Any:
    """The dtype in which an elementwise operation computes."""
    dtypes = [arg.dtype for arg in op.args if isinstance(arg, Op) and arg.dtype is not None]
    return np.result_type(*dtypes) if dtypes else op.dtype


def _identifier(name: str) -> str:
    """A name that Python takes; ``0.weight`` becomes ``weight_0``."""
    parts = [part for part in re.split(r"\W+", name) if part]
    numbers = [part for part in parts if part.isdigit()]
    words = [part for part in parts if not part.isdigit()]
    made = "_".join([*words, *numbers]) or "x"
    return f"{made}_" if keyword.iskeyword(made) else made


def _shape(op: Op) -> str:
    return f"{op.shape} {op.dtype}"


def _tuple(shape: Iterable[int]) -> str:
    shape = tuple(shape)
    return str(shape)


def _wrapped(head: str, parts: list[str], tail: str = "") -> list[str]:
    """A line, or several if it would be too long."""
    line = head + ", ".join(parts) + tail
    if len(line) <= 108:
        return [line] if parts or tail else []
    lines, current = [], ""
    opening = head + ("(" if not head.endswith("(") else "")
    closing = tail or ")"
    margin = " " * (len(head) - len(head.lstrip()) + 4)
    for part in parts:
        if len(margin + current + part) > 104:
            lines.append(margin + current.rstrip())
            current = ""
        current += part + ", "
    return [opening, *lines, margin + current.rstrip(), " " * (len(margin) - 4) + closing]
