"""What a random program is called with, what it refers to, what of that changes between calls, and what it returns."""

from __future__ import annotations

from typing import Any

import numpy as np
from programs import CALLS


def prepare(d: Any) -> None:
    """Draw arguments and what the function refers to."""
    program = d.program
    given: list[list[str]] = [[] for _ in range(CALLS)]
    same = d.chance(0.25)  # the last call has the first one's arguments

    def argument(name: str, texts: list[str], default: str = "") -> None:
        program.signature.append(name + default)
        d.names.append(name)
        for call in range(CALLS):
            given[call].append(texts[0] if same and call == CALLS - 1 else texts[call])

    others = [*d.dims]
    if program.kind == "values" and d.chance(0.15):
        others = [d.random.choice([1, 2, 3, 4]) for _ in d.dims]
    for i in range(d.random.randint(1, 3)):
        dtype, (shape, changed) = d.dtype(), shapes(d, others)
        if program.kind != "values" and i == 0:
            dtype = "float64"
        layout = d.random.choice(["", "", "", "", "", ".T.copy().T", "[::-1].copy()[::-1]"]) if shape else ""
        texts = [d.array(dtype, changed if call == 1 else shape) + layout for call in range(CALLS)]
        if not shape and d.chance(0.3):
            texts = [f"np.{dtype if dtype != 'bool' else 'bool_'}({t.split('(', 1)[1].rsplit(',', 1)[0]})" for t in texts]
        argument(f"x{i}", texts)
    if d.chance(0.3):
        argument("i0", [indices(d) for _ in range(CALLS)])
    if d.chance(0.12):
        choices = ["2", "0.5", "True", "-0.0", "0.0", "3", "1", "1.0", "-1"]
        argument("p0", [d.random.choice(choices) for _ in range(CALLS)])
    program.arguments = given
    program.changes = [[] for _ in range(CALLS - 1)]
    if program.kind == "training":
        for i in range(d.random.randint(1, 3)):
            shape = d.shape()
            dtype = d.random.choice(["float64", "float64", "float64", "float32"])
            program.head.append(f"W{i} = tg.tensor({d.array(dtype, shape)}, requires_grad=True)")
            d.names.append(f"W{i}")
            program.state.append(f"W{i}")
    if d.chance(0.55 if program.kind == "values" else 0.2):
        for _ in range(d.random.randint(1, 2)):
            capture(d)


def shapes(d: Any, others: list[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    n, m, k = d.dims
    p, q, r = others
    return d.random.choice(
        [((n,), (p,)), ((n, m), (p, q)), ((n, m), (p, q)), ((m,), (q,)), ((), ()), ((1, m), (1, q)), ((n, 1), (p, 1)), ((k, n, m), (r, p, q)),
         ((m, k), (q, r)), ((n, n), (p, p))]
    )  # fmt: skip


def indices(d: Any) -> str:
    n = max(d.dims[0], 1)
    one = d.random.randrange(-n, n) if d.chance(0.93) else d.random.choice([n, -n - 1, n + 5])
    several = [d.random.randrange(-n, n) if d.chance(0.97) else n + 1 for _ in range(d.dims[0])]
    kind = d.random.choice(["a", "a", "b", "b", "b", "c", "d", "e", "f"]) if not hasattr(d, "index_kind") else d.index_kind
    d.index_kind = kind
    return {
        "a": f"array({one})", "b": f"array({several}, int)", "c": f"{one}", "d": f"np.int64({one})", "e": f"array({[abs(i) for i in several]}, np.uint8)",
        "f": f"array({several}, np.int32)",
    }[kind]  # fmt: skip


def capture(d: Any) -> None:
    """Something that the function finds outside, and how it changes."""
    program = d.program
    n = len(program.state) + len(program.closure)
    dtype, shape = d.dtype(), d.shape()
    a, b, c = (d.array(dtype, shape) for _ in range(3))
    number, other = d.number("float64"), d.number("float64")
    kind = d.random.choice(["global", "global", "list", "dict", "object", "closure", "closure", "number", "module", "default", "tensor", "tuple"])
    in_place = d.random.choice(["[...] = {b}", " = {b}", "[...] = {b}"])
    match kind:
        case "global":
            head, name, change = [f"G{n} = {a}"], f"G{n}", [f"G{n}{in_place}"]
            state = f"G{n}"
        case "list":
            head, name, state = [f"L{n} = [{a}, 2.0]"], f"L{n}[0]", f"L{n}"
            change = d.random.choice([[f"L{n}[0]{in_place}"], [f"L{n}[0] = {{b}}"], [f"L{n}.append(1)"], [f"L{n}[:] = [{{b}}, 3.0]"]])
        case "dict":
            head, name, state = [f"D{n} = {{'k': {a}, 'min': 2.0}}"], f"D{n}['k']", f"D{n}"
            change = d.random.choice([[f"D{n}['k']{in_place}"], [f"D{n}['min'] = 5.0"], [f"D{n}['z'] = 1.0"], [f"D{n}.update(k={{b}})"]])
            if d.chance(0.5):
                d.names.append(f"D{n}['min']")
        case "object":
            maker = d.random.choice([f"types.SimpleNamespace(x={a}, y=2.0)", f"type('Thing', (), {{}})()"])
            head, name, state = [f"O{n} = {maker}", f"O{n}.x = {a}; O{n}.y = 2.0"], f"O{n}.x", f"vars(O{n})"
            change = d.random.choice([[f"O{n}.x{in_place}"], [f"O{n}.y = {other}"], [f"O{n}.__dict__['x'] = {{b}}"]])
            if d.chance(0.5):
                d.names.append(f"O{n}.y")
        case "closure":
            program.closure.append(f"K{n} = {a if d.chance(0.7) else number}")
            d.names.append(f"K{n}")
            for changes in program.changes:
                if d.chance(0.6):
                    changes.append(f"put('K{n}', {d.array(dtype, shape) if 'array' in program.closure[-1] else other})")
            return
        case "number":
            head, name, change, state = [f"G{n} = {number}"], f"G{n}", [f"G{n} = {other}"], f"G{n}"
        case "module":
            head = [f"sys.modules['settings_{n}'] = types.ModuleType('settings_{n}')", f"import settings_{n}", f"settings_{n}.scale = {a}"]
            name, state = f"settings_{n}.scale", f"settings_{n}.scale"
            change = [f"settings_{n}.scale{in_place}"]
        case "default":
            head, name, change, state = [f"E{n} = {a}"], f"e{n}", [f"E{n}[...] = {{b}}"], f"E{n}"
            program.signature.append(f"e{n}=E{n}")
        case "tensor":
            if dtype not in ("float64", "float32", "float16"):
                return
            flag = d.random.choice(["", ", requires_grad=True"])
            head, name, state = [f"T{n} = tg.tensor({a}{flag})"], f"T{n}", f"T{n}"
            change = [f"with tg.no_grad(): T{n}[...] = {{b}}"]
        case _:
            head, name, change, state = [f"U{n} = ({a}, 2)"], f"U{n}[0]", [f"U{n}[0][...] = {{b}}"], f"U{n}"
    program.head += head
    d.names.append(name)
    program.state.append(state)
    for changes, new in zip(program.changes, (b, c), strict=True):
        if d.chance(0.6):
            changes += [text.replace("{b}", new) for text in change]


def finish(d: Any) -> None:
    """What is returned: what came last, and what nothing else uses."""
    made = [n for n in d.names if n[0] == "v"]
    used = " ".join(line.text.split("=", 1)[-1] for line in d.program.body)
    unused = [n for n in made if f"«{n}»" not in used]
    if d.program.kind != "values":
        number(d, unused or d.names)
        return
    chosen = unused[-3:] + d.random.sample(made, min(len(made), d.random.randint(0, 2)))
    if d.chance(0.2):
        chosen.append(d.random.choice(d.names))
    chosen = chosen or d.names[-1:]
    if d.chance(0.05):
        chosen.append(d.random.choice(["None", "3", "'text'", "True", "np.float32(2)", "1.5", "()", "[]"]))
    d.program.returned = chosen
    d.program.form = d.one_of({"tuple": 70, "dict": 10, "list": 10, "nested": 10})
    if len(chosen) == 1 and d.chance(0.7):
        d.program.form = "one"


def number(d: Any, names: list[str]) -> None:
    """One real number of all that was computed, for derivatives."""
    names = [n for n in names if np.asarray(d.value(n)).dtype.kind == "f"] or ["x0"]
    d.program.returned = [f"np.{d.random.choice(['sum', 'mean'])}({n})" for n in names[-4:]]
    d.program.form = "sum"
