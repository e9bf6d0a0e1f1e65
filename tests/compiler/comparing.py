"""A program's text run as it is, and compiled; and everything in which the two differ.

How much two results may differ follows from the program: it also runs with the operands of every rounded operation
changed by a rounding error or two. A number may differ by its dtype's tolerance, and by some times what that does to it;
where it makes nan of a number or another truth value, nothing can be said of that element.
"""

# ruff: noqa: E501 -- lines of programs, and tables of them

from __future__ import annotations

import builtins
import contextlib
import itertools
import linecache
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from programs import Program

import tinygrad_mnist as tg

TOLERANCE = {"float16": 1e-2, "float32": 1e-5, "complex64": 1e-5, "float64": 1e-12, "complex128": 1e-12}
#: What a program cannot do at a later call; the function runs then, and a warning says so.
LATER = "ran uncompiled.*(would be longer than compiled|full rank|another shape or dtype than when it was)"
JIGGLES = 3
JIGGLE = {"e": 1e-3, "f": 4e-7, "d": 8e-16, "F": 4e-7, "D": 8e-16}
_EXTREMES = re.compile(r"\b(a?max|a?min|ptp)\(")
ABSOLUTE = {2: 1e-7, 4: 1e-44, 8: 1e-322}  # some subnormal numbers


@dataclass
class Leaf:
    """What became of an array, a Tensor or anything else in a result."""

    kind: str
    value: Any


@dataclass
class Call:
    """What one call did."""

    raised: BaseException | None
    result: Any  # a tree, flattened: (path, Leaf)
    arguments: Any
    state: Any
    shared: set[tuple[str, str]]
    later: Any = None  # the result after all calls
    earlier: Any = None  # those of the calls before, after their arguments were overwritten


@dataclass
class Difference:
    """A fault: of which kind, and where it was seen."""

    backend: str
    kind: str
    detail: str

    def __str__(self) -> str:
        return f"{self.backend}: {self.kind}: {self.detail}"


class Jiggler:
    """Changes floating-point numbers by about a rounding error: all upwards, or all downwards.

    So of two numbers that are nearly the same, the one that was rounded more often becomes the larger one, or the
    smaller one. Most jiggles go downwards, since what is at the end of a function's domain is then still in it.
    """

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.sign = 1 if seed == 1 else -1

    def __call__(self, value: Any) -> Any:
        dtype = getattr(value, "dtype", None)
        if dtype is None:
            if isinstance(value, float):
                return value * (1 + self.sign * 8e-16 * self.random.random())
            return value
        if dtype.char not in JIGGLE:
            return value
        amplitude = JIGGLE[dtype.char]
        real = {"F": "f", "D": "d"}.get(dtype.char, dtype.char)
        with np.errstate(all="ignore"):
            return value * (1 + self.sign * amplitude * self.random.random(value.shape)).astype(real)[()]

    def in_place(self, value: Any) -> None:
        if isinstance(value, np.ndarray) and value.dtype.char in JIGGLE and value.flags.writeable:
            value[...] = self(value)


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The parts of lists, tuples and dicts, in their order."""
    if isinstance(tree, (list, tuple)):
        yield path, type(tree).__name__ + str(len(tree))
        for i, part in enumerate(tree):
            yield from leaves(part, f"{path}[{i}]")
    elif isinstance(tree, dict):
        yield path, "dict " + " ".join(map(repr, tree))
        for key, part in tree.items():
            yield from leaves(part, f"{path}[{key!r}]")
    else:
        yield path, tree


def freeze(tree: Any) -> list[tuple[str, Leaf]]:
    """A copy of all numbers."""
    frozen = []
    for path, leaf in leaves(tree):
        kind = type(leaf).__name__
        if isinstance(leaf, tg.Tensor):
            leaf = np.asarray(leaf.data)
        frozen.append(
            (path, Leaf(kind, np.array(leaf) if isinstance(leaf, (np.ndarray, np.generic)) else leaf))
        )
    return frozen


def arrays(tree: Any) -> Iterator[tuple[str, np.ndarray]]:
    for path, leaf in leaves(tree):
        leaf = leaf.data if isinstance(leaf, tg.Tensor) else leaf
        if isinstance(leaf, np.ndarray) and leaf.size:
            yield path, leaf


def sharing(result: Any, places: dict[str, Any]) -> set[tuple[str, str]]:
    """Which results share memory with which arguments, and with each other."""
    found = set()
    results = list(arrays(result))
    others = [(f"{name}{path}", array) for name, tree in places.items() for path, array in arrays(tree)]
    for i, (path, array) in enumerate(results):
        for name, other in [*others, *((f"result{p}", a) for p, a in results[:i])]:
            if np.may_share_memory(array, other) and np.shares_memory(array, other):
                found.add((path, name))
    return found


def execute(source: str, name: str, extra: dict[str, Any] | None = None) -> dict[str, Any]:
    """Run the text of a module, whose lines tracebacks and error messages can find."""
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    namespace: dict[str, Any] = {"__name__": "program", **(extra or {})}
    exec(builtins.compile(source, name, "exec"), namespace)
    return namespace


def run(
    source: str,
    make: Callable[[Any, dict[str, Any]], Any],
    extra: dict[str, Any] | None = None,
    name: str = "<program>",
) -> list[Call]:
    """Call what ``make`` makes of ``f`` some times, and write down what happens."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", ".* ran uncompiled")  # what has to run so is a fault too
        namespace = execute(source, name, extra)
        function = make(namespace["f"], namespace)
        calls, kept = [], []
        for number in range(namespace["calls"]):
            arguments = namespace["arguments"](number)
            raised, result = None, None
            try:
                if namespace["by_name"] and number == 1:
                    result = function(**dict(zip(namespace["names"], arguments, strict=False)))
                else:
                    result = function(*arguments)
            except Exception as error:
                raised = error
            state = namespace["state"]()
            shared = sharing(result, {"arguments": arguments, "state": state})
            calls.append(Call(raised, freeze(result), freeze(arguments), freeze(state), shared))
            kept.append((result, arguments))
            with contextlib.suppress(
                TypeError, ValueError, IndexError, KeyError
            ):  # what it changes may be something else by now
                namespace["change"](number)
        for call, (result, _) in zip(calls, kept, strict=True):
            call.later = freeze(result)
        calls.append(used_up(function, namespace, kept))
        return calls


def used_up(function: Any, namespace: dict[str, Any], kept: list[Any]) -> Call:
    """A last call, after the caller has used the earlier arguments and results for something else."""
    for _, arguments in kept:
        for _, array in arrays(arguments):
            if array.flags.writeable:
                array.fill(1)
    results = [freeze(result) for result, _ in kept]
    for result, arguments in kept:
        others = [array for _, array in [*arrays(arguments), *arrays(namespace["state"]())]]
        for _, array in arrays(result):
            if array.flags.writeable and not any(np.may_share_memory(array, other) for other in others):
                array.fill(0)
    arguments = namespace["arguments"](0)
    try:
        again, raised = function(*arguments), None
    except Exception as error:
        again, raised = None, error
    return Call(raised, freeze(again), freeze(arguments), [], set(), freeze(again), results)


def as_it_is(program: Program) -> Callable[[Any, dict[str, Any]], Any]:
    def make(f: Any, namespace: dict[str, Any]) -> Any:
        if program.optimizer:
            optimizer = eval(program.optimizer, namespace)

            def step(*args: Any) -> Any:
                optimizer.zero_grad()
                loss = f(*args)
                loss.backward()
                optimizer.step()
                return loss.detach()

            return step
        return eval(program.differentiate, {"f": f, "tg": tg}) if program.differentiate else f

    return make


def compiled(program: Program, backend: str, made: list[Any]) -> Callable[[Any, dict[str, Any]], Any]:
    def make(f: Any, namespace: dict[str, Any]) -> Any:
        if program.optimizer:
            made.append(tg.compile(f, optimizer=eval(program.optimizer, namespace), backend=backend))
        else:
            g = eval(program.differentiate, {"f": f, "tg": tg}) if program.differentiate else f
            made.append(tg.compile(g, backend=backend))
        return made[-1]

    return make


def multiplies_over_one(compiled: list[Any]) -> bool:
    """Whether there is a product over an axis of length 1: np.dot, in the place of np.matmul, may give a zero another sign."""
    ops = [op for f in compiled for entry in f._entries for op in entry.source.program.ops]
    return any(
        op.instruction.is_product and (1,) in (op.args[0].shape[-1:], op.args[1].shape[:1]) for op in ops
    )


def same(expected: Leaf, got: Leaf, jiggled: list[Leaf]) -> str:
    """What two leaves differ in, or nothing."""
    a, b = expected.value, got.value
    if expected.kind != got.kind:
        return f"type: {got.kind} in the place of {expected.kind}"
    if not isinstance(a, np.ndarray):
        stable = all(j.kind == expected.kind and repr(j.value) == repr(a) for j in jiggled)
        if isinstance(a, float) and isinstance(b, float):
            return same(
                Leaf("", np.array(a)), Leaf("", np.array(b)), [Leaf("", np.array(j.value)) for j in jiggled]
            )
        return "" if repr(a) == repr(b) or not stable else f"value: {b!r} in the place of {a!r}"
    if a.dtype != b.dtype:
        return f"dtype: {b.dtype} in the place of {a.dtype}"
    if a.shape != b.shape:
        return f"shape: {b.shape} in the place of {a.shape}"
    others = [j.value for j in jiggled]
    if any(not isinstance(o, np.ndarray) or o.shape != a.shape or o.dtype != a.dtype for o in others):
        return ""
    if a.dtype.kind == "c":
        for part in ("real", "imag"):
            parts = [Leaf("", getattr(v, part)) for v in (a, b, *others)]
            both_nan = np.isnan(a) & np.isnan(b)
            parts = [Leaf("", np.where(both_nan, 0, p.value)) for p in parts]
            scale = np.where(np.isfinite(a) & ~both_nan, np.abs(a), 0)
            if found := _numbers(
                parts[0].value,
                parts[1].value,
                [p.value for p in parts[2:]],
                a.dtype.newbyteorder("=").name,
                scale,
            ):
                return found
        return ""
    return _numbers(a, b, others, a.dtype.newbyteorder("=").name, np.abs(a) if a.dtype.kind == "f" else None)


def _numbers(a: Any, b: Any, others: list[Any], dtype: str, scale: Any) -> str:
    with np.errstate(all="ignore"):
        if a.dtype.kind != "f":
            stable = np.all([o == a for o in others], axis=0) if others else True
            wrong = (a != b) & stable
        else:
            wide = a.astype(np.longdouble)
            finite, got_finite = np.isfinite(a), np.isfinite(b)
            stable = np.ones(a.shape, bool)
            spread = np.zeros(a.shape, np.longdouble)
            for o in others:
                alike = (np.isnan(o) & np.isnan(a)) | (o == a) | (np.isfinite(o) & finite)
                stable &= (
                    alike
                    & ((o != 0) == (a != 0))
                    & ((np.signbit(o) == np.signbit(a)) | np.isnan(a) | (a != 0))
                )
                distance = np.abs(o.astype(np.longdouble) - wide)
                spread = np.maximum(spread, np.where(np.isfinite(distance), distance, 0))
            allowed = (
                TOLERANCE[dtype] * scale.astype(np.longdouble)
                + 30 * spread
                + ABSOLUTE.get(a.dtype.itemsize, 0)
            )
            close = np.abs(b.astype(np.longdouble) - wide) <= allowed
            right = np.where(finite & got_finite, close, (np.isnan(a) & np.isnan(b)) | (a == b))
            zeros = (a == 0) & (b == 0) & (np.signbit(a) != np.signbit(b))
            near_limit = finite != got_finite
            if others:
                near_limit &= np.abs(wide) + 30 * spread > 0.9 * np.finfo(a.dtype).max
                right |= near_limit
            wrong = stable & (~right | zeros)
            # an exact zero that others find as the rest of a cancellation
            if np.any(wrong & zeros) and not np.any(wrong & ~zeros):
                i = np.argmax(wrong)
                return f"sign of zero: {b.flat[i]!r} in the place of {a.flat[i]!r}"
        if np.any(wrong):
            i = int(np.argmax(wrong))
            return f"value: {b.flat[i]!r} in the place of {a.flat[i]!r} (element {i} of {a.size}; {int(np.sum(wrong))} wrong)"
    return ""


def compare(trees: list[Any]) -> str:
    """What the second of some frozen trees has otherwise than the first; the others are jiggled."""
    expected, got, *jiggled = trees
    if [p for p, _ in expected] != [p for p, _ in got]:
        return "form: " + str([p for p, _ in got])[:80]
    jiggled = [j for j in jiggled if [p for p, _ in j] == [p for p, _ in expected]]
    for i, ((path, leaf), (_, other)) in enumerate(zip(expected, got, strict=True)):
        if found := same(leaf, other, [j[i][1] for j in jiggled]):
            return f"{found} at {path or 'the result'}"
    return ""


@dataclass
class Verdict:
    """What became of one program on one back end."""

    difference: Difference | None = None
    refused: bool = False
    raised: bool = False
    message: str = ""


def references(program: Program) -> list[list[Call]]:
    """The uncompiled program, and the same with jiggled operands."""
    make = as_it_is(program)
    found = [run(program.source(), make)]
    text = program.source(jiggled=True)
    for seed in range(JIGGLES):
        jiggle = Jiggler(seed)
        found.append(run(text, make, {"_jiggle": jiggle, "_jiggle_in_place": jiggle.in_place}))
    return found


def check(program: Program, backend: str, expected: list[list[Call]] | None = None) -> Verdict:
    """Compare the compiled program with the uncompiled one."""
    plain, *jiggled = expected or references(program)
    verdict, made = Verdict(), list[Any]()
    try:
        calls = run(program.source(), compiled(program, backend, made))
    except tg.errors.CompileError as error:
        return Verdict(refused=True, message=str(error))

    def wrong(kind: str, detail: str) -> Verdict:
        verdict.difference = Difference(backend, kind, detail)
        return verdict

    for number, (call, got) in enumerate(zip(plain, calls, strict=True)):
        others = [j[number] for j in jiggled]
        if any(type(o.raised) is not type(call.raised) for o in others) or isinstance(
            call.raised, tg.errors.CompileError
        ):
            continue  # rounding decides what it does; or it compiles something itself
        where = f" (call {number})"
        if isinstance(got.raised, tg.errors.CompileError) or re.search(LATER, str(got.raised)):
            verdict.refused, verdict.message = True, str(got.raised)
            break  # what the call has or has not changed is no longer comparable
        if not isinstance(got.raised, type(call.raised)):  # an error of the package is one of NumPy's, too
            if got.raised is None:
                return wrong(f"no {type(call.raised).__name__}", f"{call.raised}{where}")
            message = f"{got.raised!r}{where}"
            return wrong(
                f"raises {type(got.raised).__name__}"
                + (f" for {type(call.raised).__name__}" if call.raised else ""),
                message,
            )
        if call.raised is not None:
            verdict.raised = True
        for name in ("result", "arguments", "state"):
            trees = [getattr(c, name) for c in (call, got, *others)]
            found = compare(trees)
            if found.startswith("sign of zero") and (
                multiplies_over_one(made) or (backend == "numba" and _EXTREMES.search(program.source()))
            ):
                continue  # docs/compile.md names both
            if found:
                after = " after an exception" if call.raised else ""
                return wrong(
                    f"{name}{after}: {found.partition(':')[0]}"
                    + (" later" if number and name == "result" else ""),
                    found + where,
                )
        for before, was, now in zip(plain, calls, got.earlier or [], strict=False):
            if not before.shared and (found := compare([was.later, now])):
                return wrong("a result changed with an argument", found)
        if new := got.shared - call.shared:
            return wrong("memory shared", f"{sorted(new)}{where}")
        if compare([got.result, got.later]) and not compare([call.result, call.later]):
            return wrong("an earlier result changed", f"{compare([got.result, got.later])}{where}")
    return verdict


def refused_line(program: Program, message: str) -> int | None:
    """Which line of the function a refusal names."""
    found = re.search(r"<program>:(\d+)", message)
    if not found:
        return None
    text = program.source().splitlines()
    at = int(found.group(1)) - 1
    first = next(i for i, t in enumerate(text) if t.lstrip().startswith("def f("))
    while text[first + 1].lstrip().startswith(("global", "nonlocal")):
        first += 1
    for i, line in enumerate(program.body):
        first += line.plain().count("\n") + 1
        if at <= first:
            return i
    return None


def check_all(program: Program, backend: str, most: int = 6) -> tuple[Verdict, Program]:
    """Check a program; where it is refused, also what is left without the refused lines."""
    refused = Verdict()
    for _ in range(most):
        try:
            expected = references(program)
        except NameError:
            break
        verdict = check(program, backend, expected)
        if not verdict.refused or verdict.difference:
            return (
                (verdict, program)
                if not refused.refused
                else (replace(refused, difference=verdict.difference), program)
            )
        refused = refused if refused.refused else verdict
        at = refused_line(program, verdict.message)
        smaller = program.without(at) if at is not None else program
        if at is None or _has_unknown(smaller):
            break
        program = smaller
    return refused, program


def _has_unknown(program: Program) -> bool:
    """Whether a line uses what a removed one made."""
    known: set[str] = set()
    for text in [*(line.plain() for line in program.body), program.result()]:
        made = set(re.findall(r"\b([vw]\d+)(?:, \*_rest)? = |(?<=: )([vw]\d+) = ", text))
        made = {name for pair in made for name in pair if name}
        used = set(re.findall(r"\b[vw]\d+\b", text))
        if used - known - made:
            return True
        known |= made
    return False


def shrink(program: Program, backend: str, kind: str, most: int = 400) -> Program:
    """The program with as few lines as show the same kind of fault."""
    tried = 0
    most = most if "default_rng(" not in program.source() else most // 8  # long arrays take their time

    def fails(candidate: Program) -> bool:
        nonlocal tried
        tried += 1
        if _has_unknown(candidate):
            return False
        try:
            expected = references(candidate)
            if any(isinstance(c.raised, NameError) for c in expected[0]):
                return False
            found = check(candidate, backend, expected).difference
        except Exception:
            return False
        return found is not None and found.kind == kind

    def without_lines(program: Program) -> Program:
        size = max(len(program.body) // 2, 1)
        while size:
            i = len(program.body) - size
            while i > -size and tried < most:
                smaller = program.without(*range(max(i, 0), i + size))
                if len(smaller.body) < len(program.body) and fails(smaller):
                    program = smaller
                i -= size
            size //= 2
        return program

    def tries(*candidates: Program) -> Program:
        return next((c for c in candidates if fails(c)), program)

    program = without_lines(program)
    if len(program.returned) > 1:
        program = tries(*(replace(program, returned=[name], form="one") for name in program.returned))
        if len(program.returned) > 2:
            pairs = itertools.combinations(program.returned, 2)
            program = tries(*(replace(program, returned=list(pair), form="tuple") for pair in pairs))
    elif program.form != "sum":
        program = tries(replace(program, form="one"))
    before = None
    while before != len(program.body) and tried < most:
        before = len(program.body)
        program = without_lines(program)
    if len(program.returned) == 1:
        lines = [line.text.split(" = ")[0] for line in program.body]
        program = tries(
            *(replace(program, returned=[n]) for n in lines if n.isidentifier() and n[0] == "v"), program
        )
        program = without_lines(program)
    program = tries(
        replace(program, arguments=program.arguments[:1], changes=[]),
        replace(program, arguments=program.arguments[:2], changes=program.changes[:1]),
    )
    program = tries(replace(program, changes=[[] for _ in program.changes]))
    return tries(program.tidied())
