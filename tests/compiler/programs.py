"""Random programs as Python source: what a user could write, in 5 to 30 lines of NumPy, and how it is called.

A program is drawn from a seed. While it is drawn, each line runs on arrays, so that nearly all lines make sense; a
line that raises is the last one, and seldom kept. The text that comes out is a module: what the function refers to,
the function ``f``, ``arguments(call)`` and ``change(call)``, which changes what ``f`` refers to between two calls.
"""

from __future__ import annotations

import random
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from program_lines import FOR_LOOPS, GROWING, LINES, WRITING

CALLS = 3

HEAD = """\
import sys, types, functools, collections, dataclasses
import numpy as np
import tinygrad_mnist as tg
from numpy import array, inf, nan, zeros
F = tg.nn.functional
"""

FLOATS = {"float64": 50, "float32": 22, "float16": 7, "complex128": 4, "complex64": 3}
INTEGERS = {"int64": 12, "int32": 4, "int16": 2, "int8": 3, "uint8": 4, "uint16": 1, "uint32": 2, "uint64": 2}
DTYPES = {**FLOATS, **INTEGERS, "bool": 8}
SPECIAL = ["nan", "inf", "-inf", "-0.0", "0.0"]
HUGE = {
    "float64": ["5e-324", "1e-310", "1e308", "-1.7e308", "1e-160", "1e160"],
    "float32": ["1e-45", "1e-40", "3e38", "-3e38", "1e-20", "1e20"],
    "float16": ["6e-8", "65504.0", "-60000.0", "1e-4", "300.0"],
}
OPTIMIZERS = [
    "tg.optim.SGD({}, lr=0.05)",
    "tg.optim.SGD({}, lr=0.05, momentum=0.9)",
    "tg.optim.SGD({}, lr=0.02, momentum=0.9, nesterov=True, weight_decay=1e-2)",
    "tg.optim.Adam({}, lr=0.01)",
    "tg.optim.Adam({}, lr=0.01, weight_decay=1e-2)",
    "tg.optim.AdamW({}, lr=0.01)",
    "tg.optim.RMSprop({}, lr=0.01)",
    "tg.optim.RMSprop({}, lr=0.01, momentum=0.5)",
    "tg.optim.Adagrad({}, lr=0.1)",
]


@dataclass
class Line:
    """A statement. Operands stand between « and »; ``rounds`` says whether its result is rounded."""

    text: str
    rounds: bool = True
    writes: tuple[str, ...] = ()

    def plain(self) -> str:
        return self.text.replace("«", "").replace("»", "")

    def jiggled(self) -> list[str]:
        """The statement with its operands changed by a rounding error."""
        if not self.rounds:
            return [self.plain()]
        text = self.text.replace("«", "_jiggle(").replace("»", ")")
        return [text, *(f"_jiggle_in_place({name})" for name in self.writes)]


@dataclass
class Program:
    """What was drawn from a seed."""

    seed: int
    kind: str
    head: list[str] = field(default_factory=list)
    closure: list[str] = field(default_factory=list)
    signature: list[str] = field(default_factory=list)
    body: list[Line] = field(default_factory=list)
    returned: list[str] = field(default_factory=list)
    form: str = "tuple"
    arguments: list[list[str]] = field(default_factory=list)
    changes: list[list[str]] = field(default_factory=list)
    state: list[str] = field(default_factory=list)
    differentiate: str = ""
    optimizer: str = ""
    by_name: bool = False  # whether the second call gives its arguments by name

    def source(self, jiggled: bool = False) -> str:
        """The module."""
        lines = [HEAD, *self.head]
        body = [text for line in self.body for text in (line.jiggled() if jiggled else [line.plain()])]
        inside = [t for text in body for t in text.split("\n")]
        text = "\n".join(inside)
        for word, letter in (("global", "G"), ("nonlocal", "K")):
            written = sorted(set(re.findall(rf"^({letter}\d+) [^ ]*= ", text, re.MULTILINE)))
            inside = [f"{word} {name}" for name in written] + inside
        function = [
            f"def f({', '.join(self.signature)}):",
            *(f"    {t}" for t in inside),
            f"    return {self.result(jiggled)}",
        ]
        if self.closure:
            names = [line.split(" ")[0] for line in self.closure]
            setter = [
                "def put(name, value):",
                f"    nonlocal {', '.join(names)}",
                *(f"    if name == {name!r}: {name} = value" for name in names),
            ]
            inner = [*self.closure, *function, *setter, f"return f, put, lambda: [{', '.join(names)}]"]
            lines += ["def build():", *(f"    {t}" for t in inner), "f, put, cells = build()"]
        else:
            lines += [*function, "cells = lambda: []"]
        lines += ["def arguments(call):"]
        for call, texts in enumerate(self.arguments):
            lines += [f"    if call == {call}: return [{', '.join(texts)}]"]
        names = sorted({n for n in self.state if n.startswith("G")})
        lines += ["def change(call):", *([f"    global {', '.join(names)}"] if names else [])]
        for call, changes in enumerate(self.changes):
            if changes:
                lines += [f"    if call == {call}:", *(f"        {t}" for t in changes)]
        lines += [
            "    return None",
            f"calls = {len(self.arguments)}",
            f"names = {self.signature!r}",
            f"by_name = {self.by_name}",
            f"state = lambda: [{', '.join([*self.state, 'cells()'])}]",
        ]
        return "\n".join(lines) + "\n"

    def result(self, jiggled: bool = False) -> str:
        """What is returned, as text."""
        line = Line(self.returning())
        return line.jiggled()[0] if jiggled else line.plain()

    def returning(self) -> str:
        form = self.form
        if form == "dict":
            return "{" + ", ".join(f"'r{i}': {name}" for i, name in enumerate(self.returned)) + "}"
        if form == "nested":
            return f"[{{'first': {self.returned[0]}}}, ({', '.join(self.returned)},)]"
        if form == "sum":
            return " + ".join(self.returned)
        return {"one": "{}", "tuple": "({},)" if self.returned else "None{}", "list": "[{}]"}[form].format(
            ", ".join(self.returned)
        )

    def without(self, *which: int) -> Program:
        """The program with fewer lines."""
        return replace(self, body=[line for i, line in enumerate(self.body) if i not in which])

    def tidied(self) -> Program:
        """The program without arguments, variables and changes that its lines do not use."""
        text = "\n".join([*(line.plain() for line in self.body), self.result()])

        def used(line: str) -> bool:
            names = re.findall(r"\b(?:[GKLDOTEUW]\d+|settings_\d+)\b", line)
            return (
                not names
                or any(re.search(rf"\b{n}\b", text) for n in names)
                or any(f"e{n[1:]}" in text for n in names if n[0] == "E")
            )

        kept = [i for i, name in enumerate(self.signature) if re.search(rf"\b{name.split('=')[0]}\b", text)]
        return replace(
            self,
            head=[line for line in self.head if used(line)],
            closure=[line for line in self.closure if used(line)],
            state=[line for line in self.state if used(line)],
            changes=[
                [
                    line
                    for line in lines
                    if used(line) and not (line.startswith("put('") and not used(line[5:8].strip("'")))
                ]
                for lines in self.changes
            ],
            signature=[self.signature[i] for i in kept],
            arguments=[[texts[i] for i in kept if i < len(texts)] for texts in self.arguments],
        )


class Draft:
    """A program that is being drawn."""

    def __init__(self, seed: int, kind: str = "values") -> None:
        self.random = random.Random(f"{kind} {seed}")
        self.program = Program(seed, kind)
        self.flavour = (
            self.one_of({"plain": 60, "special": 22, "integers": 18})
            if kind in ("values", "machine")
            else "plain"
        )
        self.dims = [
            self.random.choice([1, 2, 2, 3, 3, 4, 5, 0 if kind == "values" else 2]) for _ in range(3)
        ]
        #: Whether results are compared as they are; else they become one number, which is differentiated.
        self.free = kind in ("values", "machine")
        self.weights = [w / 4 if not self.free and line in WRITING else w for line, w in LINES]
        if kind == "machine":
            self.weights = [FOR_LOOPS.get(line, 0) for line, _ in LINES]
        self.most = 400  # elements of an array
        if self.chance(0.01):
            self.dims = [self.random.choice([3000, 20_000, 45_000, 70_000]), self.random.choice([1, 3, 8]), 2]
            self.most = 1_500_000
            self.weights = [0 if line in GROWING else w for line, w in LINES]
        self.env: dict[str, Any] = {}
        self.names: list[str] = []  # of what lines may use
        self.owned: set[str] = set()  # made by the program itself
        self.made = 0
        self.generators: list[str] = []
        self.modules: list[str] = []
        self.main = (
            self.random.choice(["float64", "float64", "float32", "float16"])
            if kind in ("values", "machine")
            else "float64"
        )

    # -- draws ---------------------------------------------------------------------------------------

    def one_of(self, weights: dict[str, int]) -> str:
        return self.random.choices(list(weights), list(weights.values()))[0]

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def dtype(self) -> str:
        if self.program.kind == "machine":
            return self.one_of(
                {
                    "float64": 45,
                    "float32": 25,
                    "bool": 8,
                    "int64": 8,
                    "int32": 5,
                    "uint8": 5,
                    "int8": 2,
                    "uint64": 2,
                }
            )
        if self.program.kind != "values":
            return "float64" if self.chance(0.85) else "float32"
        if self.flavour == "integers" and self.chance(0.7):
            return self.one_of({**INTEGERS, "bool": 8})
        return self.main if self.chance(0.5) else self.one_of(DTYPES)

    def shape(self) -> tuple[int, ...]:
        n, m, k = self.dims
        choices = [(n,), (n, m), (n, m), (m,), (), (1, m), (n, 1), (k, n, m), (m, k), (m, n), (n, n)]
        return self.random.choice([s for s in choices if np.prod(s) < 600_000])

    def number(self, dtype: str) -> str:
        """One element, as text."""
        if dtype == "bool":
            return self.random.choice(["True", "False"])
        if dtype.startswith("complex"):
            part = dtype.replace("complex128", "float64").replace("complex64", "float32")
            return f"complex({self.number(part)}, {self.number(part)})"
        if dtype.startswith(("int", "uint")):
            low = 0 if dtype[0] == "u" else -5
            if self.flavour != "plain" and self.chance(0.08):
                info = np.iinfo(dtype)
                return str(self.random.choice([int(info.min), int(info.max), int(info.max) - 1, 100]))
            return str(self.random.randint(low, 7))
        if self.flavour == "special" and self.chance(0.15):
            return self.random.choice([*SPECIAL, *HUGE.get(dtype, [])])
        if self.chance(0.15):
            return self.random.choice(["0.0", "1.0", "2.0", "-1.0", "0.5", "3.0"])
        return repr(round(self.random.gauss(0, 1.5), 2 if dtype == "float16" else 3))

    def array(self, dtype: str, shape: tuple[int, ...]) -> str:
        """An array, as text."""
        size = int(np.prod(shape))
        if size > 500:
            return self.large(dtype, shape)
        if size == 0:
            return f"zeros({shape}, {dtype!r})"
        flat = [self.number(dtype) for _ in range(size)]
        if not shape:
            return f"array({flat[0]}, {dtype!r})"
        text = f"array([{', '.join(flat)}], {dtype!r})"
        return text if len(shape) == 1 else f"{text}.reshape{shape}"

    def large(self, dtype: str, shape: tuple[int, ...]) -> str:
        """An array too long to be written out."""
        seed = self.random.randrange(100)
        if dtype == "bool":
            return f"(np.random.default_rng({seed}).random({shape}) > 0.5)"
        if dtype.startswith(("int", "uint")):
            return f"np.random.default_rng({seed}).integers(0, 7, {shape}).astype({dtype!r})"
        return f"np.random.default_rng({seed}).normal(size={shape}).round(3).astype({dtype!r})"

    # -- what there is to use -------------------------------------------------------------------------

    def value(self, name: str) -> Any:
        value = eval(name, self.env)
        return value.data if type(value).__name__ == "Tensor" else value

    def new(self) -> str:
        self.made += 1
        return f"v{self.made}"

    def pick(self, test: Callable[[Any], Any] = lambda value: True, among: Any = None) -> str:
        """The name of something; what is new is likelier. LookupError where there is nothing."""
        names = [n for n in (self.names if among is None else among) if test(self.value(n))]
        if not names:
            raise LookupError
        k = max(self.random.randrange(len(names)), self.random.randrange(len(names)))
        return names[k]

    # -- lines ----------------------------------------------------------------------------------------

    def draw_line(self) -> bool:
        """Try one line; whether the function may go on."""
        for _ in range(40):
            try:
                line = self.random.choices(LINES, self.weights)[0][0](self)
            except LookupError:
                continue
            made = Line(line) if isinstance(line, str) else Line(*line)
            if not self.accept(made):
                if self.failed and self.chance(0.004):  # a function that raises
                    self.program.body.append(made)
                    return False
                continue
            self.program.body.append(made)
            return True
        return False

    def run(self, text: str) -> BaseException | None:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                exec(text, self.env)
            except Exception as error:
                return error
        return None

    def accept(self, line: Line) -> bool:
        """Whether a line is good for the program; runs it."""
        before = dict(self.env)
        error = self.run(line.plain())
        self.failed = error is not None
        target = line.text.split(" ")[0]
        if error is not None:
            if line.writes or target in before:
                self.rerun()
            return False
        value = self.env.get(target)
        if not line.text.startswith(("v", "w")) or not target.isidentifier():
            return all(self.usable(self.env[n]) for n in line.writes if n in self.env)
        if not self.usable(value):
            self.env.pop(target, None)
            self.env.update(before)
            if target in before or line.writes:
                self.rerun()
            return False
        if target not in self.names:
            self.names.append(target)
        return True

    def usable(self, value: Any) -> bool:
        value = value.data if type(value).__name__ == "Tensor" else value
        if isinstance(value, (tuple, list)):
            return False
        if isinstance(value, (bool, int, float, complex)):
            return True
        if not isinstance(value, (np.ndarray, np.generic)):
            return False
        if (
            value.dtype.kind not in "biufc"
            or value.size > self.most
            or value.ndim > 5
            or value.dtype.itemsize > 16
        ):
            return False
        if value.dtype.char in "gG":
            return False
        if self.flavour == "plain" and value.dtype.kind in "fc" and value.size:
            most = {2: 500.0, 4: 1e6}.get(value.dtype.itemsize, 1e8)
            with np.errstate(all="ignore"):
                return bool(np.all(np.abs(value) < most)) or self.chance(0.03)
        return True

    def rerun(self) -> None:
        """Bring all values back to what the lines so far made them."""
        self.env = {}
        self.start()
        for line in self.program.body:
            self.run(line.plain())

    def start(self) -> None:
        program = self.program
        exec(program.source(), self.env)
        for line in program.closure:
            exec(line, self.env)
        given = self.env["arguments"](0)
        for name, value in zip(program.signature, given, strict=False):
            self.env[name] = value
        for name in program.signature[len(given) :]:
            exec(name, self.env)


def draw(seed: int, kind: str = "values") -> Program:
    """The program of a seed: ``"values"``, ``"gradient"`` or ``"training"``."""
    from program_state import finish, prepare

    draft = Draft(seed, kind)
    prepare(draft)
    draft.start()
    for _ in range(draft.random.randint(4, 28 if kind == "values" else 14)):
        if not draft.draw_line():
            break
    finish(draft)
    program = draft.program
    program.by_name = kind == "values" and draft.chance(0.2)
    if kind == "gradient":
        numbers = [
            i for i, name in enumerate(program.signature) if name[0] == "x" and is_real(draft.value(name))
        ]
        chosen = draft.random.sample(numbers, draft.random.randint(1, len(numbers)))
        which = str(tuple(chosen)) if len(chosen) > 1 else str(chosen[0])
        program.differentiate = draft.random.choice(["tg.grad(f, {})", "tg.value_and_grad(f, {})"]).format(
            which
        )
    if kind == "training":
        weights = [name for name in program.state if name[0] == "W"]
        program.optimizer = draft.random.choice(OPTIMIZERS).format(f"[{', '.join(weights)}]")
    return program


def is_real(value: Any) -> bool:
    return np.asarray(value).dtype.kind == "f"
