"""The program as text: a function that makes the buffers, and within it the step that uses them.

What is made once, buffers, views and constants, stands in ``prepare``; what runs at every call stands in
the function it returns. The text needs nothing but NumPy, unless it calls an operation of this package as
a whole, and it is the same whenever the program is.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..memory import Buffer, Plan, has_out
from ..program import EFFECTS, NOWHERE, Op, Place, Program, is_view
from ..rewrite.builder import is_ufunc
from ..rewrite.lowering import is_outer
from .loop import is_long, local_buffers, rows_of_a_piece, run_at
from .names import Names, identifier

__all__ = ["Source", "module_text", "step_name", "wrapped", "write"]

_INFIX = {
    "np.add": "+", "np.subtract": "-", "np.multiply": "*", "np.divide": "/", "np.power": "**", "np.greater": ">",
    "np.less": "<", "np.greater_equal": ">=", "np.less_equal": "<=", "np.equal": "==", "np.not_equal": "!=",
}  # fmt: skip
#: NumPy deprecates their third argument by position, and takes one number against many slowly.
_EXTREMA = ("np.maximum", "np.minimum")


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
    program : what was written down
    lines, imports : the function ``prepare``, and the names it needs of NumPy or of this package
    prepare : what that function is called
    """

    text: str
    given: dict[str, Op]
    objects: dict[str, Any]
    arguments: list[Op]
    calls: int
    buffers: int
    buffer_bytes: int
    program: Program
    lines: list[str]
    imports: set[str]
    prepare: str


def write(
    program: Program, plan: Plan, arguments: list[Op], step: str = "", prepare: str = "prepare"
) -> Source:
    """Write a program down as a function ``prepare`` that returns a function ``step``."""
    return _Writer(program, plan, arguments).source(step or step_name(program), prepare)


def step_name(program: Program) -> str:
    """What the function that runs at every call is named."""
    return identifier(program.name) if program.name.isidentifier() else "compiled"


def module_text(
    program: Program, arguments: list[str], imports: set[str], functions: list[list[str]], more: str = ""
) -> str:
    """Write a module of functions, and above them what they are."""
    of_numpy = sorted(imports - {"operation"}, key=str.lower)
    lines = [
        f'"""{program.name}, compiled' + (f" for {', '.join(arguments)}" if arguments else "") + f"{more}.",
        "",
        "The last argument of a call is where its result goes.",
        '"""',
        "",
        "import numpy as np",
        *wrapped("from numpy import ", of_numpy),
        *(["from tinygrad_mnist.primitive import operation"] if "operation" in imports else []),
    ]
    for function in functions:
        lines += ["", "", *function]
    return "\n".join([*lines, ""])


class _Writer(Names):
    def __init__(self, program: Program, plan: Plan, arguments: list[Op]) -> None:
        super().__init__(program, plan, arguments)
        self.indent = ""
        self.calls = 0
        self.place: Place = NOWHERE
        self.label = ""

    def source(self, step: str, prepare: str) -> Source:
        """Write everything."""
        program = self.program
        i = 0
        while i < len(program.ops):
            run = run_at(program, self.plan, i)
            if len(run) > 1:
                self.pieces(run)
            else:
                self.operation(program.ops[i])
            i += max(len(run), 1)
        for store in program.stores:
            self.store(store.target, store.value)
        self.say("return " + (", ".join(map(self.result, program.results)) or "None"))
        name = step if step not in self.taken else f"{step}_"
        may_overflow = any(op.function == "np.exp" for op in program.ops)
        reason = program.notes.get("overflow") if may_overflow else None
        quiet = [f'    @np.errstate(over="ignore")  # {reason}'] if reason else []
        lines = [
            *wrapped(f"def {prepare}(", [*(self.names[op] for op in self.given), *self.objects], "):"),
            *self.setup,
            *([""] if self.setup else []),
            *quiet,
            *wrapped(f"    def {name}(", [self.names[op] for op in self.arguments], "):"),
            *self.body,
            "",
            f"    return {name}",
        ]
        own = [b for b in self.made if b.of is None]
        shared = sum(n * dtype.itemsize for dtype, n in self.plan.arenas.items())
        described = [f"{self.names[op]} {_shape(op)}" for op in self.arguments if op.dtype is not None]
        return Source(
            module_text(program, described, self.imports, [lines]),
            {self.names[op]: op for op in self.given},
            self.objects,
            self.arguments,
            calls=self.calls,
            buffers=len(own),
            buffer_bytes=sum(b.nbytes for b in own if b.place is None) + shared + self.scratch_bytes,
            program=program,
            lines=lines,
            imports=self.imports,
            prepare=prepare,
        )

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
            or (op.is_number and op.function not in EFFECTS)
        ):
            return
        self.comment(op.place)
        if op.function == "check":
            self.say(f"if {self.value(op.args[0])}:")
            self.say(f"    raise ValueError({json.dumps(op.args[1], ensure_ascii=False)})")
        elif has_out(op):
            self.told(op)
        else:
            self.fresh(op)

    def told(self, op: Op) -> None:
        """An operation whose result goes into a buffer."""
        args = op.args
        like = computed_as(op)
        if is_ufunc(op):
            texts = [self.value(arg, like, row_width(op)) for arg in args]
            self.call(op.function, *texts, self.buffer(self.plan.at[op]))
        elif op.function.endswith(".reduce"):
            axes, ndim = op.settings["axis"], args[0].ndim
            axis = axes[0] if len(axes) == 1 else None if len(axes) == ndim else axes
            out = self.buffer(self.plan.at[op])
            more = ["True"] if op.settings["keepdims"] else []
            self.call(op.function, self.value(args[0]), repr(axis), "None", out, *more)
        elif op.function == "np.dot":
            self.product(self.value(args[0]), self.value(args[1]), self.buffer(self.plan.at[op]))
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
        if function in _EXTREMA:
            texts = (*texts[:-1], f"out={texts[-1]}")
        self.say(f"{self.np(function)}({', '.join(texts)})")

    def product(self, a: str, b: str, out: str) -> None:
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

    def pieces(self, run: list[Op]) -> None:
        """Write a loop over rows."""
        ops = [op for op in run if is_long(op, self.plan)]
        rows = ops[0].shape[0]
        step = rows_of_a_piece(ops)
        self.comment(ops[0].place)
        inside = set(ops)
        like = {op: computed_as(op) for op in ops}
        # Everything that is not cut has to be there before the loop.
        for op in ops:
            for arg in op.args:
                if not isinstance(arg, Op) or arg not in inside:
                    self.value(arg, like[op] if is_ufunc(op) else None, row_width(op))
        key = "blocks", rows, step
        if key not in self.names:
            self.names[key] = name = self.unique("pieces")
            self.setup.append(
                f"    {name} = [slice(i, min(i + {step}, {rows})) for i in range(0, {rows}, {step})]"
            )
        local = {b for b in local_buffers(self.program, self.plan, ops) if b not in self.names}
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
                    else self.value(arg, like[op], row_width(op))
                    for arg in op.args
                ]
            target = self.piece_of_buffer(out, cut, step if out in local else 0)
            if is_outer(op):
                self.product(texts[0], texts[1], target)
            else:
                self.call(op.function, *texts, target)
        self.local = outer_local
        self.indent = ""

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
            self.setup.append(f"    {name} = {self.np('np.empty')}({shape!s}, {self.dtype(buffer.dtype)})")
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


def row_width(op: Op) -> int:
    """How long a row of a number has to be for NumPy to compare many elements at a time with it; 0 for any number."""
    wide = op.function in _EXTREMA and op.ndim > 1 and op.shape[-1] >= 128 and op.shape[-1] < op.size
    return op.shape[-1] if wide else 0


def computed_as(op: Op) -> Any:
    """The dtype in which an elementwise operation computes."""
    dtypes = [arg.dtype for arg in op.args if isinstance(arg, Op) and arg.dtype is not None]
    return np.result_type(*dtypes) if dtypes else op.dtype


def _shape(op: Op) -> str:
    return f"{op.shape} {op.dtype}"


def wrapped(head: str, parts: list[str], tail: str = "") -> list[str]:
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
