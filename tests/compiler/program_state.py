"""What a random program is called with, what it refers to, what of that changes between calls, and what it returns."""

# ruff: noqa: E501 -- lines of programs, and tables of them

from __future__ import annotations

from typing import Any

import numpy as np
from programs import CALLS


def prepare(d: Any) -> None:
    """Draw arguments and what the function refers to."""
    program = d.program
    given = program.arguments = [[] for _ in range(CALLS)]
    program.changes = [[] for _ in range(CALLS - 1)]
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
        if not d.free and i == 0:
            dtype = "float64"
        which = d.one_of(LAYOUTS) if shape and program.kind == "values" else "{}"
        texts = [layout(d.array(dtype, changed if call == 1 else shape), which) for call in range(CALLS)]
        if not shape and d.chance(0.3):
            texts = [
                f"np.{dtype if dtype != 'bool' else 'bool_'}({t.split('(', 1)[1].rsplit(',', 1)[0]})"
                for t in texts
            ]
        if (
            program.kind == "values"
            and dtype in ("float64", "float32")
            and d.chance(0.1)
            and "np.ma." not in which
        ):
            texts = [f"tg.tensor({t})" for t in texts]
        argument(f"x{i}", texts)
    if program.kind != "training" and d.chance(0.08):
        dtype, (shape, changed) = d.dtype() if d.free else "float64", shapes(d, others)
        parts = [[d.array(dtype, changed if call == 1 else shape) for _ in range(2)] for call in range(CALLS)]
        form, names = d.random.choice(
            [
                ("{{'a': {}, 'b': [{}]}}", ("t0['a']", "t0['b'][0]")),
                ("({}, {})", ("t0[0]", "t0[1]")),
                ("[{}, {{'min': {}}}]", ("t0[0]", "t0[1]['min']")),
            ]
        )
        argument("t0", [form.format(*p) for p in parts])
        d.names.remove("t0")
        d.names += names
    if program.kind == "values" and d.chance(0.08):  # memory in two arguments
        i = d.random.randrange(len([n for n in program.signature if n[0] == "x"]))
        for call in range(CALLS):
            given[call][i] = f"(s := {given[call][i]})"
        argument("y0", [d.random.choice(["s", "s", "s[...]", "np.flip(s)", "s.T"])] * CALLS)
    if d.chance(0.3):
        argument("i0", [indices(d) for _ in range(CALLS)])
    if d.chance(0.12):
        choices = ["2", "0.5", "True", "-0.0", "0.0", "3", "1", "1.0", "-1"]
        argument("p0", [d.random.choice(choices) for _ in range(CALLS)])
    if d.chance(0.06) and program.kind != "gradient":
        program.head.append("R0 = np.random.default_rng(0)")
        program.state.append("R0.bit_generator.state['state']['state']")
        d.generators.append("R0")
    if d.chance(0.08):
        modules(d)
    if program.kind == "training":
        for i in range(d.random.randint(1, 3)):
            shape = d.shape()
            dtype = d.random.choice(["float64", "float64", "float64", "float32"])
            program.head.append(f"W{i} = tg.tensor({d.array(dtype, shape)}, requires_grad=True)")
            d.names.append(f"W{i}")
            program.state.append(f"W{i}")
    if d.chance(0.55 if program.kind == "values" else 0.15):
        for _ in range(d.random.randint(1, 2)):
            capture(d)


#: How an argument lies in memory.
LAYOUTS = {
    "{}": 70, "{}.T.copy().T": 8, "{}[::-1].copy()[::-1]": 5, "{}.repeat(2, axis=-1)[..., ::2]": 4, "np.broadcast_to({0}, (2, *{0}.shape))": 3,
    "np.asfortranarray({})": 3, "{0}.astype({0}.dtype.newbyteorder())": 2, "np.broadcast_to({0}[:1], {0}.shape)": 2, "np.ma.masked_less({}, 0)": 1,
    "np.lib.stride_tricks.sliding_window_view(np.append({}, [1, 1]), 2)": 1, "np.frombuffer({0}.tobytes(), {0}.dtype).reshape({0}.shape)": 2,
}  # fmt: skip


def layout(text: str, which: str) -> str:
    """The text of an array that lies in memory otherwise."""
    if "{0}" in which:
        return f"(lambda q: {which.format('q')})({text})"
    return which.format(text)


def modules(d: Any) -> None:
    """Layers of a network, with their parameters."""
    width = d.dims[1] or 1
    d.program.head.append(
        d.random.choice(
            [
                f"M0 = tg.nn.Linear({width}, 3, rng=0, dtype=np.float64)", f"M0 = tg.nn.MLP([{width}, 4, 2], activation='tanh', rng=0, dtype=np.float64)",
                "M0 = tg.nn.Dropout(0.4, rng=0)", f"M0 = tg.nn.Sequential(tg.nn.Linear({width}, 4, rng=1, dtype=np.float64), tg.nn.ReLU(), tg.nn.Dropout(0.5, rng=2))",
                "M0 = tg.nn.Softmax()", "M0 = tg.nn.Flatten()", "M0 = tg.nn.GELU()",
            ]
        )
    )  # fmt: skip
    d.modules.append("M0")
    change = d.random.choice(
        [
            "M0.eval()",
            "[p.__setitem__(..., 0.5) for p in M0.parameters()]",
            "M0.train()",
            "M0.forward = lambda x: x + 1",
        ]
    )
    if d.program.changes and "__setitem__" not in change and d.chance(0.6):
        d.program.changes[0].append(change)


def shapes(d: Any, others: list[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    n, m, k = d.dims
    p, q, r = others
    if d.most > 1000:
        return d.random.choice(
            [((n,), (p,)), ((n, m), (p, q)), ((m,), (q,)), ((), ()), ((1, m), (1, q)), ((n, 1), (p, 1))]
        )
    return d.random.choice(
        [((n,), (p,)), ((n, m), (p, q)), ((n, m), (p, q)), ((m,), (q,)), ((), ()), ((1, m), (1, q)), ((n, 1), (p, 1)), ((k, n, m), (r, p, q)),
         ((m, k), (q, r)), ((n, n), (p, p))]
    )  # fmt: skip


def indices(d: Any) -> str:
    n = min(max(d.dims[0], 1), 100)
    one = d.random.randrange(-n, n) if d.chance(0.93) else d.random.choice([n, -n - 1, n + 5])
    several = [d.random.randrange(-n, n) if d.chance(0.97) else n + 1 for _ in range(min(d.dims[0], 6))]
    kind = (
        d.random.choice(["a", "a", "b", "b", "b", "c", "d", "e", "f"])
        if not hasattr(d, "index_kind")
        else d.index_kind
    )
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
    kind = d.random.choice(
        [
            "global",
            "global",
            "list",
            "dict",
            "object",
            "closure",
            "closure",
            "number",
            "module",
            "default",
            "tensor",
            "tuple",
        ]
    )
    in_place = d.random.choice(["[...] = {b}", " = {b}", "[...] = {b}"])
    match kind:
        case "global":
            head, name, change = [f"G{n} = {a}"], f"G{n}", [f"G{n}{in_place}"]
            state = f"G{n}"
        case "list":
            head, name, state = [f"L{n} = [{a}, 2.0]"], f"L{n}[0]", f"L{n}"
            change = d.random.choice(
                [
                    [f"L{n}[0]{in_place}"],
                    [f"L{n}[0] = {{b}}"],
                    [f"L{n}.append(1)"],
                    [f"L{n}[:] = [{{b}}, 3.0]"],
                ]
            )
        case "dict":
            head, name, state = [f"D{n} = {{'k': {a}, 'min': 2.0}}"], f"D{n}['k']", f"D{n}"
            change = d.random.choice(
                [
                    [f"D{n}['k']{in_place}"],
                    [f"D{n}['min'] = 5.0"],
                    [f"D{n}['z'] = 1.0"],
                    [f"D{n}.update(k={{b}})"],
                ]
            )
            if d.chance(0.5):
                d.names.append(f"D{n}['min']")
        case "object":
            maker = d.random.choice([f"types.SimpleNamespace(x={a}, y=2.0)", "type('Thing', (), {})()"])
            head, name, state = [f"O{n} = {maker}", f"O{n}.x = {a}; O{n}.y = 2.0"], f"O{n}.x", f"vars(O{n})"
            change = d.random.choice(
                [[f"O{n}.x{in_place}"], [f"O{n}.y = {other}"], [f"O{n}.__dict__['x'] = {{b}}"]]
            )
            if d.chance(0.5):
                d.names.append(f"O{n}.y")
        case "closure":
            program.closure.append(f"K{n} = {a if d.chance(0.7) else number}")
            d.names.append(f"K{n}")
            for changes in program.changes:
                if d.chance(0.6):
                    changes.append(
                        f"put('K{n}', {d.array(dtype, shape) if 'array' in program.closure[-1] else other})"
                    )
            return
        case "number":
            head, name, change, state = [f"G{n} = {number}"], f"G{n}", [f"G{n} = {other}"], f"G{n}"
        case "module":
            head = [
                f"sys.modules['settings_{n}'] = types.ModuleType('settings_{n}')",
                f"import settings_{n}",
                f"settings_{n}.scale = {a}",
            ]
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
    if not d.free:
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
    d.program.returned = [f"np.{d.random.choice(['sum', 'mean'])}(«{n}»)" for n in names[-4:]]
    if d.program.kind == "training":
        d.program.returned.append("np.mean(«W0» * «W0»)")
    d.program.form = "sum"
