"""The program as text: a function that makes the buffers, and inside it the step that uses them.

Everything that is made once (buffers, views and constants) is in ``prepare``; everything that runs in each call is in
the function that it returns. The text only needs NumPy, unless it calls an operation of this package as a whole, and
the same program always has the same text.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ..instructions import check, pick
from ..memory import Buffer, Plan, base_of
from ..program import NOWHERE, Constant, Input, Op, Place, Program, inputs_of
from .loop import is_cut, local_buffers, rows_of_a_piece, run_at
from .names import Names, identifier, printable, quoted

__all__ = ["Source", "module_text", "step_name", "wrapped", "write"]


@dataclass
class Source:
    """The text of a program, and its inputs.

    Attributes
    ----------
    text : str
    given : names of the inputs that ``prepare`` takes, each with its Op
    objects : names of its other arguments, which cannot be written as text
    arguments : the inputs that the step takes, in order
    calls, buffers, buffer_bytes : the numbers of calls and buffers, and their memory
    program : the program that was written
    lines, imports : the function ``prepare``, and the names that it needs from NumPy or this package
    prepare : the name of that function
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
    """Write a program as a function ``prepare`` that returns a function ``step``."""
    return _Writer(program, plan, arguments).source(step or step_name(program), prepare)


def step_name(program: Program) -> str:
    """The name of the function that runs in every call."""
    return identifier(program.name) if identifier(program.name) == program.name else "compiled"


def module_text(
    program: Program, arguments: list[str], imports: set[str], functions: list[list[str]], more: str = ""
) -> str:
    """Write a module of functions, with a docstring."""
    of_kernels = sorted(name.partition(".")[2] for name in imports if name.startswith("kernels."))
    of_numpy = sorted((name for name in imports if "." not in name and name != "operation"), key=str.lower)
    words = printable(program.name)[:80].replace("\\", "/").replace('"', "'")
    lines = [
        f'"""{words}, compiled' + (f" for {', '.join(arguments)}" if arguments else "") + f"{more}.",
        "",
        "Each call writes its result into its last argument.",
        '"""',
        "",
        "import numpy as np",
        *wrapped("from numpy import ", of_numpy),
        *wrapped("from tinygrad_mnist.ops.kernels import ", of_kernels),
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
        self.kept: dict[Op, str] = {}  # the names of copies of overwritten values

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
        self.keep_what_is_overwritten()
        for store in program.stores:
            self.store(store.target, store.value)
        texts = list(map(self.result, program.results))
        again = (
            f"{text}.copy()"
            if op.dtype is not None and text in texts[:i] and not text.endswith(")")
            else text
            for i, (op, text) in enumerate(zip(program.results, texts, strict=True))
        )
        self.say("return " + (", ".join(again) or "None"))
        name = step if step not in self.taken else f"{step}_"
        may_overflow = any(op.calls(np.exp) for op in program.ops)
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
        """Write the place in the user's program of the next lines, if it has changed."""
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
            self.say(printable(f"# {label}"[: 108 - len(self.indent)]).rstrip())

    def operation(self, op: Op) -> None:
        """Write the lines of one operation."""
        is_bound = op.is_view and op not in self.plan.at
        if isinstance(op, Constant) or is_bound or op.is_number:
            return
        self.comment(op.place)
        if op.calls(check):
            self.say(f"if {self.value(op.args[0])}:")
            self.say(f"    raise ValueError({quoted(op.args[1])})")
        elif op.instruction.has_parts:
            self.parts(op)
        elif op.takes_out:
            self.into(op)
        else:
            self.fresh(op)

    def into(self, op: Op) -> None:
        """Write an operation whose result goes into a buffer."""
        at = self.plan.at
        if op.overwrites == (0,) and not op.is_ufunc and at.get(op.args[0]) is not at[op]:
            self.count(f"{self.np('np.copyto')}({self.buffer(at[op])}, {self.value(op.args[0])})")
        self.count(self.filled(op.into, op, out=lambda: self.buffer(at[op])))

    def parts(self, op: Op) -> None:
        """Write a vector made from its arguments; those that were not computed at their places are copied."""
        start = 0
        for i, part in enumerate(op.args):
            if (op, i) in self.plan.copied:
                whole = self.buffer(self.plan.at[op])
                self.say(f"{whole}[{start}:{start + part.size}] = {self.value(part)}.reshape(-1)")
            start += part.size

    def count(self, line: str) -> None:
        """Write a line that calls a function."""
        self.calls += 1
        self.say(line)

    def fresh(self, op: Op) -> None:
        """Write an operation whose result is new, or not an array with axes."""
        text = self.filled(op.expression, op)
        self.calls += not op.calls(pick)
        self.names[op] = name = self.numbered("s" if not op.ndim else "v")
        self.say(f"{name} = {text}")
        if not op.instruction.is_declared and op.dtype is not None:
            # Nothing is known about the function: its result must be what the lines below were written for.
            dtype = self.dtype(op.dtype)
            self.say(f"if {name}.shape != {op.shape} or {name}.dtype != {dtype}:")
            what = f"{op.instruction.name} returned another shape or dtype than when it was compiled"
            self.say(f"    raise TypeError({quoted(what)})")

    def keep_what_is_overwritten(self) -> None:
        """Copy values that are needed after inputs were written into."""
        targets = {store.target for store in self.program.stores}
        late = [store.value for store in self.program.stores if store.value is not store.target]
        late += self.program.results
        for op in dict.fromkeys(late):
            if self._may_look_at(op, targets) and not (len(targets) == 1 and op not in self.program.results):
                name = self.numbered("old")
                self.say(f"{name} = {self.value(op)}.copy()")
                self.kept[op] = name

    def _may_look_at(self, op: Op, targets: set[Op]) -> bool:
        """Whether a result is one of these inputs, or may be a view of one."""
        base = base_of(op, self.plan.at if op in self.plan.at else ())
        if isinstance(base, Input):
            return base in targets
        return (
            base not in self.plan.at
            and base.may_be_view
            and any(self._may_look_at(arg, targets) for arg in inputs_of(base))
        )

    def store(self, target: Op, value: Op) -> None:
        """Write a value into the memory of an input, unless it is already there."""
        at = self.plan.at.get(value)
        if value is target or (value not in self.kept and at is not None and at.root.input is target):
            return
        into = self.buffer(self.plan.at[target])
        text = self.kept.get(value) or self.value(value)
        if target.ndim:
            self.count(f"{self.np('np.copyto')}({into}, {text})")
        else:
            self.say(f"{into}[()] = {text}")

    def result(self, op: Op) -> str:
        """Make sure that the caller owns the results."""
        if op in self.kept:
            return self.kept[op]
        text = self.value(op)
        is_shared = op in self.plan.at or op.is_given or op.is_view or op.may_be_view
        return text if op.dtype is None or not is_shared else f"{text}.copy()"

    # -- piece by piece ------------------------------------------------------------------------------

    def pieces(self, run: list[Op]) -> None:
        """Write a loop over rows."""
        ops = [op for op in run if op in self.plan.at and not isinstance(op, Constant)]
        rows = ops[0].shape[0]
        step = rows_of_a_piece(ops)
        self.comment(ops[0].place)
        inside = set(ops)
        # Everything that is not cut must be there before the loop.
        for op in ops:
            self.texts(op, inside)
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
            cuts = {i: self.piece(arg, rows, cut) for i, arg in enumerate(op.args) if is_cut(op, arg)}
            target = self.piece_of_buffer(out, cut, step if out in local else 0)
            self.count(self.filled(op.into, op, cuts, partial(str, target)))
        self.local = outer_local
        self.indent = ""

    def texts(self, op: Op, inside: set[Op]) -> None:
        """Make the names of all arguments except those that are computed within the loop."""
        texts = {i: "" for i, arg in enumerate(op.args) if isinstance(arg, Op) and arg in inside}
        self.filled(op.into, op, texts, str)

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


def _shape(op: Op) -> str:
    return f"{op.shape} {op.dtype}"


def wrapped(head: str, parts: list[str], tail: str = "") -> list[str]:
    """Write a line, or several if it would be too long."""
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
