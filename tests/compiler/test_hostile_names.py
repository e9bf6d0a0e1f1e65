"""Names are never code: whatever things are called, nothing of it is executed, nothing crashes, and results are right.

A route is a way for a name to reach a program: of an argument, a key, an attribute, a file. With ``--thorough`` every
route meets every name; else every fourth, and the next route others.
A name that would be executed leaves a mark.
"""

# ruff: noqa: E501 -- lines of programs, and tables of them

from __future__ import annotations

import builtins
import contextlib
import copy
import enum
import importlib.util
import keyword
import linecache
import types
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import some_or_all

import tinygrad_mnist as tg
from tinygrad_mnist import nn, optim
from tinygrad_mnist.errors import CompileError

MARK = "__import__('builtins').EXECUTED.append(1)"

HOSTILE = [
    f"'); {MARK} #", f'"); {MARK} #', f'"""\n{MARK}\n"""', f"'''\n{MARK}\n'''", f"\n{MARK}\n", f"\r{MARK}\r", f"\r\n    {MARK}", f"\x0c{MARK}",
    f"\x0b{MARK}", f"\x85{MARK}", f"\u2028{MARK}", f"\u2029{MARK}", f"\x1c{MARK}", f"{{{MARK}}}", f"{{{{{MARK}}}}}", f"x={MARK}", f"x: ({MARK})", f"] + [{MARK}]",
    f"x, {MARK}", f"x\\\n{MARK}", "\\", "\\'", '\\"', "\\n", "\\N{BULLET}", "\\x", "\\u12", "'", '"', "'''", '"""', "a'b\"c", "{", "}", "{}", "{0}", "{x", "%s", "%(x)s", "$x", "",
    " ", "  x", "x ", "\t", "\n", "\0", "a\0b", "#", "# type: ignore", ";", ":", ",", ".", "a.b", "a-b", "a b", "1", "1x", "x y = 3", "-1", "é", "ﬁ", "ª", "𝒙", "ℌ", "\u202ex", "\u200b", "😀",
    "日本", "\ud800", "a" * 3000, "_" * 50, "*", "**", "*args", "a[0]", "a()", "@x", "=", "==", "lambda: 1", "yield", "await x", "0", "None", "x\n\n\n", "|", "`x`", "<x>", "</script>", "..", "/", "a/b",
]  # fmt: skip
WORDS = [
    "min", "max", "float", "int", "len", "np", "numpy", "add", "exp", "array", "empty", "zeros", "prepare", "h1", "s1", "d1", "g1", "b1", "n1", "k1", "parameters", "gradients", "lambda_",
    "print", "exec", "eval", "compile", "sum", "range", "slice", "rows", "block", "rest", "total", "start", "lr", "rate1", "step", "out", "self", "cls", "object", "float32", "float64", "uint64", "divide", "dot",
    "multiply", "subtract", "negative", "errstate", "ones", "one", "x", "y", "compiled", "prepare_block", "prepare_rest", "summed_gradients", "ValueError", "IndexError", "numba", "njit", "prange", "math", "ctypes",
    "__builtins__", "__name__", "__class__", "__dict__", "__import__", "__debug__", "__file__", "_", "__", "id", "type", "str", "bool", "isinstance", "match", "case", "async_", "type_", "x_flat", "h1_flat",
    "h1_T", "x_T", "take", "where", "copyto", "maximum", "reshape", "flat", "T", "f", "function", "args", "kwargs", "key", "axis", "inf", "nan", "pi", "e", "True_", "result", "weight", "bias", "columns", "é", "ﬁ", "ª", "𝒙", "ℌ", "日本",
]  # fmt: skip
KEYWORDS = [*keyword.kwlist, *keyword.softkwlist]
NAMES = [*HOSTILE, *WORDS, *KEYWORDS]
IDENTIFIERS = [w for w in [*WORDS, *keyword.softkwlist] if w.isidentifier() and w not in ("__debug__",)]

Case = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any], Any]
ROUTES: dict[str, tuple[Callable[[Any], Case], list[Any]]] = {}
X = np.array([0.5, -1.5, 2.0])


def route(names: list[Any]) -> Callable[[Callable[[Any], Case]], Callable[[Any], Case]]:
    def added(make: Callable[[Any], Case]) -> Callable[[Any], Case]:
        ROUTES[make.__name__] = make, names
        return make

    return added


def case(f: Callable[..., Any], *args: Any, optimizer: Any = None, **kwargs: Any) -> Case:
    return f, args, kwargs, optimizer


@route(NAMES)
def keyword_argument(name):
    return case(lambda **given: np.sin(next(iter(given.values()))) * 2, **{name: X})


@route(NAMES)
def several_keyword_arguments(name):
    return case(
        lambda **given: given[name] * given[name + "2"] + given["x"],
        **{"x": X, name: X + 1, name + "2": X + 2},
    )


@route(NAMES)
def key_of_an_argument(name):
    return case(lambda d: d[name] * 2 + d["other"], {name: X, "other": X})


@route(NAMES)
def key_of_a_nested_argument(name):
    return case(lambda d: np.sum(d["a"][0][name] * d["a"][1]), {"a": [{name: X}, X]})


@route(NAMES)
def key_of_a_result(name):
    return case(lambda x: {name: x * 2, "more": [{name: x}]}, X)


@route(NAMES)
def key_of_a_captured_array(name):
    d = {name: X + 1, "other": X}
    return case(lambda x: x * d[name] + d["other"], X)


@route(NAMES)
def key_of_a_captured_number(name):
    d = {name: 2.5}
    return case(lambda x: x * d[name], X)


@route(NAMES)
def key_of_a_captured_generator(name):
    d = {name: np.random.default_rng(0)}
    return case(lambda x: x * d[name].normal(size=3), X)


@route(NAMES)
def attribute_of_an_object(name):
    class Thing:
        def __call__(self, x):
            return x * self.__dict__[name] + self.__dict__["n" + name]

    thing = Thing()
    thing.__dict__[name] = X + 1
    thing.__dict__["n" + name] = 2.0
    return case(thing, X)


@route(NAMES)
def attribute_of_a_namespace(name):
    space = types.SimpleNamespace(**{name: X + 1})
    return case(lambda x: x * vars(space)[name], X)


@route(NAMES)
def attribute_of_a_module(name):
    model = nn.Module()
    model.__dict__[name] = nn.Parameter(np.array([1.0, 2.0, 3.0]))
    return case(
        lambda x: np.sum((x * model.__dict__[name]) ** 2),
        X,
        optimizer=lambda: optim.SGD([model.__dict__[name]], lr=0.1),
    )


@route(NAMES)
def name_of_a_submodule(name):
    class Outer(nn.Module):
        def forward(self, x):
            return self.__dict__[name](x)

    model = Outer()
    model.__dict__[name] = nn.Linear(3, 2, rng=0, dtype=np.float64)
    return case(
        lambda x: np.mean(model(x) ** 2),
        X[None],
        optimizer=lambda: optim.SGD(list(model.__dict__[name].parameters()), lr=0.1),
    )


@route(NAMES)
def name_of_a_buffer(name):
    class Outer(nn.Module):
        def forward(self, x):
            return x + self.__dict__[name]

    model = Outer()
    model.register_buffer(name, np.ones(3))
    return case(lambda x: model(x), X)


@route(NAMES)
def class_of_a_module(name):
    def forward(self, x):
        return np.tanh(x) * 2

    model = type("Given", (nn.Module,), {"forward": forward})()
    with contextlib.suppress(ValueError, UnicodeError):
        type(model).__name__, type(model).__qualname__ = name, name
    return case(lambda x: model(x) + 1, X)


@route(NAMES)
def name_of_a_function(name):
    def f(x):
        return np.exp(x) * 2

    f.__name__ = f.__qualname__ = f.__module__ = name
    return case(f, X)


@route(NAMES)
def doc_of_a_function(name):
    def f(x):
        return np.exp(x) * 2

    f.__doc__ = name
    return case(f, X)


@route(NAMES)
def class_of_a_callable(name):
    kind = type("Given", (), {"__call__": lambda self, x: np.exp(x) * 2})
    with contextlib.suppress(ValueError, UnicodeError):
        kind.__name__, kind.__qualname__, kind.__module__ = name, name, name
    return case(kind(), X)


@route(NAMES)
def name_of_a_tensor(name):
    w = tg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    w.name = name
    v = tg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    v.name = name
    return case(lambda x: np.sum((x * w + v) ** 2), X, optimizer=lambda: optim.Adam([w, v], lr=0.1))


@route(NAMES)
def name_of_an_argument_tensor(name):
    w = tg.tensor([1.0, 2.0, 3.0])
    w.name = name
    return case(lambda x: np.sum(x * x), w)


@route(NAMES)
def file_name(name):
    space = {"np": np}
    try:
        exec(builtins.compile("def f(x):\n    y = np.exp(x)\n    return y * 2\n", name, "exec"), space)
    except ValueError:  # a file name with a null
        return case(np.exp, X)
    linecache.cache.pop(name, None)
    return case(space["f"], X)


@route(NAMES)
def source_line(name):
    space = {"np": np}
    file = f"<hostile {abs(hash(name))}>"
    exec(builtins.compile("def f(x):\n    y = np.exp(x)\n    return y * 2\n", file, "exec"), space)
    linecache.cache[file] = (1, None, [name, name, name + "\n"], file)
    return case(space["f"], X)


@route(NAMES)
def name_of_code(name):
    def f(x):
        return np.exp(x) * 2

    with contextlib.suppress(ValueError, UnicodeError):
        f.__code__ = f.__code__.replace(co_name=name, co_qualname=name)
    return case(f, X)


@route(NAMES)
def text_argument(name):
    return case(lambda x, text: {text: x * 2}, X, name)


@route(NAMES)
def text_that_is_captured(name):
    return case(lambda x: x * 2 if name != "q" else x, X)


@route(NAMES)
def text_that_is_returned(name):
    return case(lambda x: (x * 2, name), X)


@route(NAMES)
def member_of_an_enum(name):
    try:
        kind = enum.Enum("Kind", {name: 2.5, "OTHER": name})
        member = kind[name]
    except (ValueError, TypeError):
        kind = enum.Enum("Kind", {"SAME": name})
        member = kind.SAME
    return case(
        lambda x, k: x * (k.value if isinstance(k.value, float) else 3) if k is member else x, X, member
    )


@route(IDENTIFIERS)
def parameter_of_a_function(name):
    space: dict[str, Any] = {"np_": np}
    exec(f"def f({name}):\n    return np_.exp({name}) * 2\n", space)
    return case(space["f"], X)


@route(IDENTIFIERS)
def parameter_by_keyword(name):
    space: dict[str, Any] = {"np_": np}
    exec(f"def f(*, {name}, q1):\n    return np_.exp({name}) * q1\n", space)
    return case(space["f"], q1=X, **{space["f"].__code__.co_varnames[0]: X})  # as Python normalizes it


@route([n for n in IDENTIFIERS if n != "__builtins__"])
def global_variable(name):
    space: dict[str, Any] = {}
    exec(
        f"import numpy as np_\n{name} = np_.array([1.0, 2.0, 3.0])\ndef f(x1):\n    return np_.exp(x1) * {name}\n",
        space,
    )
    return case(space["f"], X)


@route([n for n in IDENTIFIERS if n not in ("f", "__class__")])
def closure_variable(name):
    space: dict[str, Any] = {}
    exec(f"import numpy as np_\ndef outer():\n    {name} = np_.array([1.0, 2.0, 3.0])\n    def f(x1):\n        return np_.exp(x1) * {name}\n    return f\nf = outer()", space)  # fmt: skip
    return case(space["f"], X)


@route([n for n in IDENTIFIERS if n not in ("x1", "w_1")])
def training_parameter(name):
    space: dict[str, Any] = {"tg_": tg}
    exec(
        f"import numpy as np_\n{name} = tg_.tensor([1.0, 2.0, 3.0], requires_grad=True)\ndef f_1(x1):\n    return np_.mean(({name} * x1) ** 2)\n",
        space,
    )
    w = next(v for v in space.values() if isinstance(v, tg.Tensor))
    return case(space["f_1"], X, optimizer=lambda: optim.SGD([w], lr=0.1))


@route([n for n in IDENTIFIERS if n not in ("x", "self")])
def attribute_by_statement(name):
    space: dict[str, Any] = {"Module": nn.Module, "Linear": nn.Linear}
    source = f"class Net(Module):\n    def __init__(self):\n        self.{name} = Linear(3, 2, rng=0)\n    def forward(self, x):\n        return self.{name}(x)\n"
    if name.startswith("__"):
        return case(np.exp, X)
    exec(source, space)
    model = space["Net"]()
    return case(
        lambda x: np.mean(model(x) ** 2),
        X[None].astype(np.float32),
        optimizer=lambda: optim.SGD(model.parameters(), lr=0.1),
    )


# -- values with a text of their own ------------------------------------------------------------------------------


def spoken(base: type, text: str, *args: Any) -> Any:
    """A value whose repr, str and format are a text."""
    kind = type(
        "Spoken",
        (base,),
        {"__repr__": lambda s: text, "__str__": lambda s: text, "__format__": lambda s, spec: text},
    )
    return kind(*args)


@route(HOSTILE)
def number_with_its_own_repr(text):
    return case(lambda x, n: x * n, X, spoken(float, text, 2.5))


@route(HOSTILE)
def captured_number_with_its_own_repr(text):
    n = spoken(float, text, 2.5)
    return case(lambda x: x * n, X)


@route(HOSTILE)
def axis_with_its_own_repr(text):
    axis = spoken(int, text, 1)
    return case(lambda x: np.sum(x * 2, axis=axis), np.ones((2, 3)))


@route(HOSTILE)
def shape_with_its_own_repr(text):
    n = spoken(int, text, 3)
    return case(lambda x: np.reshape(x * 2, (n, 1)), X)


@route(HOSTILE)
def index_with_its_own_repr(text):
    n = spoken(int, text, 1)
    return case(lambda x: (x * 2)[n:] + x[n], X)


@route(HOSTILE)
def integer_argument_with_its_own_repr(text):
    return case(lambda x, n: x**n + np.zeros(n), X, spoken(int, text, 3))


@route(HOSTILE)
def text_with_its_own_repr(text):
    s = spoken(str, text, "sum")
    return case(lambda x, how: getattr(np, how)(x * 2), X, s)


@route(HOSTILE)
def key_with_its_own_repr(text):
    s = spoken(str, text, "sum")
    d = {s: X}
    return case(lambda x: x * d["sum"], X)


@route(HOSTILE)
def key_of_an_argument_with_its_own_repr(text):
    s = spoken(str, text, "sum")
    return case(lambda d: d["sum"] * 2, {s: X})


@route(HOSTILE)
def object_as_a_key(text):
    thing = spoken(object, text)
    d = {thing: X}
    return case(lambda x: x * d[thing], X)


@route(HOSTILE)
def object_as_a_key_of_an_argument(text):
    thing = spoken(object, text)
    return case(lambda d: d[thing] * 2, {thing: X})


@route(HOSTILE)
def tuple_with_such_a_text(text):
    key = (1, text, spoken(int, text, 2))
    d = {key: X + 1}
    return case(lambda x, e: x * d[key] + e[key], X, {key: X})


@route(HOSTILE)
def object_argument(text):
    thing = spoken(types.SimpleNamespace, text)
    thing.a = 2.5
    return case(lambda x, t: x * t.a, X, thing)


@route(HOSTILE)
def generator_with_its_own_repr(text):
    kind = type("Spoken", (np.random.Generator,), {"__repr__": lambda s: text, "__str__": lambda s: text})
    rng = kind(np.random.PCG64(0))
    return case(lambda x: x * rng.normal(size=3), X)


@route(HOSTILE)
def learning_rate_with_its_own_repr(text):
    w = tg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    return case(
        lambda x: np.sum((x * w) ** 2),
        X,
        optimizer=lambda: optim.SGD([w], lr=spoken(float, text, 0.1), momentum=spoken(float, text, 0.9)),
    )


@route(
    [
        1,
        1.0,
        True,
        None,
        1j,
        b"b",
        (),
        (1, 2),
        ("a", ("b", 'c"')),
        frozenset([1, 2]),
        float("nan"),
        float("inf"),
        -0.0,
        int,
        len,
        np.float64(2),
        np.int64(3),
        Ellipsis,
        range(3),
        2**70,
        "a",
        types.SimpleNamespace,
        np.exp,
        np.dtype("f4"),
    ]
)
def keys_that_are_no_texts(key):
    d = {key: X + 1}
    return case(lambda x, e: {key: x * d[key] + e[key]}, X, {key: X})


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Share(float, enum.Enum):
    HALF = 0.5


class Colour(enum.Enum):
    RED = "red"


class Flags(enum.Flag):
    A = 1
    B = 2


@route([Level.HIGH, Share.HALF, Flags.A | Flags.B, Colour.RED])
def enum_constants(member):
    number = member if isinstance(member, (int, float)) else 2
    return case(
        lambda x, m: (
            x * number + (m is member),
            np.sum(np.ones((2, 3, 2)), axis=Level.LOW) * Share.HALF,
            {m: x},
        ),
        X,
        member,
    )


@route(
    [
        np.float64(2.5),
        np.float32(2.5),
        np.int8(3),
        np.bool_(True),
        np.datetime64("2020-01-01"),
        np.str_("a'b"),
        np.void(b"ab"),
        2**100,
        1e400,
        -1e400,
        complex("nan+infj"),
        np.longdouble(2),
        slice(1, 2),
        Ellipsis,
        range(2),
        b"\x00'",
        "a'b",
    ]
)
def plain_arguments(value):
    return case(lambda x, v: x * 2 if v is not None else x, X, value)


BACKENDS = ["numpy", *(["numba"] if importlib.util.find_spec("numba") else [])]


def value_of(tree: Any) -> Any:
    if isinstance(tree, dict):
        return [
            (
                repr(k) if type(k).__repr__ in (str.__repr__, int.__repr__, float.__repr__) else id(k),
                value_of(v),
            )
            for k, v in tree.items()
        ]
    if isinstance(tree, (list, tuple)):
        return [value_of(v) for v in tree]
    return np.asarray(tree.data if isinstance(tree, tg.Tensor) else tree).tolist()


def outcome(make: Callable[[Any], Case], name: Any, backend: str | None) -> Any:
    """What two calls return, and the compiled function."""
    f, args, kwargs, optimizer = make(name)
    step = f
    if optimizer is not None:
        opt = optimizer()
        if backend is None:

            def step(*args: Any, **kwargs: Any) -> Any:
                opt.zero_grad()
                loss = f(*args, **kwargs)
                loss.backward()
                opt.step()
                return loss

        else:
            step = tg.compile(f, optimizer=opt, backend=backend)
    elif backend is not None:
        step = tg.compile(f, backend=backend)
    found = [value_of(step(*copy.copy(args), **kwargs)) for _ in range(2)]
    return found, step, args, kwargs, optimizer


def fault(make: Callable[[Any], Case], name: Any, backend: str) -> str:
    builtins.EXECUTED = []
    try:
        expected, *_ = outcome(make, name, None)
    except Exception:
        return ""  # no such thing can be done without compile
    try:
        got, step, args, kwargs, optimizer = outcome(make, name, backend)
        source = step.source
        space: dict[str, Any] = {}
        exec(builtins.compile(source, "<source>", "exec"), space)
        again = space["prepare"](**copy.deepcopy(step.arrays))
        flat = [a.data if isinstance(a, tg.Tensor) else a for a in args]
        if (
            all(isinstance(a, np.ndarray) for a in flat)
            and not kwargs
            and optimizer is None
            and not isinstance(got[0], list | str)
            and "enerator" not in make.__name__
        ):
            np.testing.assert_allclose(again(*flat), got[0], rtol=1e-12, err_msg="the source on its own")
    except CompileError as error:
        return "" if not builtins.EXECUTED else f"executed; {error}"
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:150]}" + (" (executed)" if builtins.EXECUTED else "")
    if builtins.EXECUTED:
        return "executed"
    try:
        same_values(expected, got)
    except AssertionError as error:
        return f"{got} in the place of {expected}: {error}"[:200]
    return ""


def same_values(a: Any, b: Any) -> None:
    if isinstance(a, (list, tuple)):
        assert isinstance(b, (list, tuple)), "another form"
        assert len(a) == len(b), "another length"
        for p, q in zip(a, b, strict=True):
            same_values(p, q)
    elif isinstance(a, float) and isinstance(b, float):
        np.testing.assert_allclose(b, a, rtol=1e-5)
    else:
        assert a == b or repr(a) == repr(b), f"{b!r} in the place of {a!r}"


@some_or_all
@pytest.mark.parametrize("name", ROUTES)
def test_names_are_never_code(name, are_all):
    make, names = ROUTES[name]
    if len(names) > 40 and not are_all:
        names = names[[*ROUTES].index(name) % 40 :: 40]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        faults = {str(n)[:60]: found for n in names if (found := fault(make, n, "numpy"))}
    assert not faults, (
        f"{len(faults)} of {len(names)}:\n" + "\n".join(f"{n!r}: {f}" for n, f in faults.items())[:4000]
    )


@pytest.mark.skipif(
    "numba" not in BACKENDS, reason="machine code needs numba: pip install 'tinygrad-mnist[fast]'"
)
@pytest.mark.parametrize(
    ("name", "are_all"),
    [
        # The text of the NumPy program is made for all.
        *(
            (name, False)
            for i, (name, (_, names)) in enumerate(ROUTES.items())
            if len(names) <= 40 or i % 12 == 0
        ),
        *(pytest.param(name, True, marks=[pytest.mark.thorough, pytest.mark.soak]) for name in ROUTES),
    ],
)
def test_names_are_never_machine_code(name, are_all):
    make, names = ROUTES[name]
    few = names if are_all else [names[7 * [*ROUTES].index(name) % len(names)]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        faults = {str(n)[:60]: found for n in few if (found := fault(make, n, "numba"))}
    assert not faults, (
        f"{len(faults)} of {len(few)}:\n" + "\n".join(f"{n!r}: {f}" for n, f in faults.items())[:4000]
    )
