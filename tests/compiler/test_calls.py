"""What happens around a program: arguments of all kinds, writing into them, other threads, errors."""

from __future__ import annotations

import collections
import copy
import enum
import functools
import itertools
import logging
import pathlib
import random
import re
import sys
import threading
import types
import warnings

import numpy as np
import pytest
from helpers import for_each

import tinygrad_mnist as tg
from tinygrad_mnist import nn, optim
from tinygrad_mnist.errors import CompileError

X = np.array([1.0, 2.0, 3.0])


def same(got, expected):
    """Assert equality with dtypes and the signs of zeros."""
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got, expected)
    if got.dtype.kind in "fc":
        np.testing.assert_array_equal(np.signbit(got.real), np.signbit(expected.real))
        np.testing.assert_array_equal(np.signbit(got.imag), np.signbit(expected.imag))


# -- arguments that are no arrays ----------------------------------------------------------------------


class Mode(enum.Enum):
    ONE = 1.0
    TWO = 2.0


class Level(enum.IntEnum):
    ONE = 1
    TWO = 2


class Liar(float):
    """A number that says it is equal to all others, and prints as code."""

    def __eq__(self, other):
        return True

    __hash__ = None

    def __repr__(self):
        return "__import__('os').abort()"


class Text(str):
    def __eq__(self, other):
        return True

    def __hash__(self):
        return 0

    def __repr__(self):
        return "__import__('os').abort()"


ARGUMENTS = {
    "signed zeros": (lambda x, a: np.copysign(x, a), 0.0, -0.0),
    "an integer zero": (lambda x, a: x * isinstance(a, int), 0, 0.0),
    "a boolean": (lambda x, a: x * (1 if a is True else 2), 1, True, 1.0),
    "not a number": (lambda x, a: x * a, float("nan"), 1.0),
    "signed zeros of complex numbers": (lambda x, a: np.copysign(x, a.imag), 0j, complex(0, -0.0)),
    "members of an enum": (lambda x, a: x * a.value, Mode.ONE, Mode.TWO),
    "integers of an enum": (lambda x, a: x * int(a) * (1 if type(a) is int else 3), 1, Level.ONE, Level.TWO),
    "numbers that lie": (lambda x, a: x * float(a), Liar(1.0), Liar(2.0), 1.0),
    "texts that lie": (lambda x, a: x * len(a), Text("a"), Text("bb"), "a"),
    "texts and bytes": (lambda x, a: x * isinstance(a, str), "a", b"a"),
    "nothing": (lambda x, a: x * (a is None), None, np.ones(3), 0.0),
    "slices": (lambda x, a: x[a], slice(1), slice(2), slice(0, 2)),
    "ranges": (lambda x, a: x * sum(a), range(3), range(1, 3)),
    "dtypes": (lambda x, a: x.astype(a), np.dtype(np.float32), np.dtype(np.float64)),
    "types": (lambda x, a: x.astype(a), np.float32, np.float64),
    "functions": (lambda x, a: a(x), np.sin, np.cos, lambda x: x * 2),
    "lists and tuples": (
        lambda x, a: x * (len(a) if isinstance(a, list) else 9),
        [1.0, 2.0],
        (1.0, 2.0),
        [1.0],
    ),
    "keys that are equal": (lambda x, a: x * isinstance(next(iter(a)), bool), {1: 2.0}, {True: 2.0}),
    "keys with the signs of zero": (lambda x, a: np.copysign(x, next(iter(a))), {0.0: 1.0}, {-0.0: 1.0}),
    "the order of keys": (
        lambda x, a: x * next(iter(a.values())),
        {"a": 1.0, "b": 2.0},
        {"b": 2.0, "a": 1.0},
    ),
    "kinds of dicts": (
        lambda x, a: x * isinstance(a, collections.OrderedDict),
        {},
        collections.OrderedDict(),
    ),
    "arrays in dicts": (lambda x, a: x + a["b"][0], {"b": [np.ones(3)]}, {"b": [np.zeros(3)]}, {"b": [2.0]}),
    "kinds of scalars": (lambda x, a: x * a, np.float32(2), np.float64(2), np.int8(2), np.array(2)),
    "sets": (lambda x, a: x * sum(a), {1.0}, {1.0, 2.0}),
    "objects": (lambda x, a: x * a.scale, types.SimpleNamespace(scale=1), types.SimpleNamespace(scale=2.0)),
    "paths": (lambda x, a: x * len(a.name), pathlib.Path("a"), pathlib.Path("bb")),
}


@for_each("name", ARGUMENTS)
def test_arguments_of_all_kinds(name):
    function, *values = ARGUMENTS[name]
    f = tg.compile(function)
    for _ in range(2):
        for value in values:
            same(f(X, value), function(X, value))
            same(f(X, a=value), function(X, a=value))
    made = len(f._entries)
    for value in values:
        f(X, value)
        f(X, a=value)
    assert len(f._entries) == made


def test_an_object_that_is_an_argument_is_watched():
    c = types.SimpleNamespace(scale=2.0, more=[1.0], w=np.ones(3))
    function = lambda x, c: x * c.scale * sum(c.more) * c.w  # noqa: E731
    f = tg.compile(function)
    for change in (
        lambda: None,
        lambda: setattr(c, "scale", 3.0),
        lambda: c.more.append(5.0),
        lambda: c.w.fill(7.0),
        lambda: setattr(c, "w", np.arange(3.0)),
    ):
        change()
        same(f(X, c), function(X, c))


def test_a_function_that_is_an_argument_is_watched():
    scale = 2.0
    by = lambda x: x * scale  # noqa: E731
    f = tg.compile(lambda x, by: by(x))
    same(f(X, by), X * 2)
    scale = 3.0
    same(f(X, by), X * 3)


def test_the_same_array_twice():
    function = lambda a, b: a + 1 if a is b else a + b  # noqa: E731
    f = tg.compile(function)
    y = X.copy()
    for pair in ((X, y), (X, X), (X, y), (y, y)):
        same(f(*pair), function(*pair))
    nested = tg.compile(lambda parts: sum(2.0 * a if a is parts[0] else a for a in parts))
    for parts in ([X, y, X + 1, X + 2], [X, y, X, y], [X, X, X, X]):
        same(nested(parts), nested.function(parts))


def test_masked_arrays_are_refused():
    masked = np.ma.array([1.0, 100.0, 1.0], mask=[False, True, False])
    with pytest.raises(CompileError, match=r"'x' is a MaskedArray"):
        tg.compile(lambda x: x * 2)(masked)
    with pytest.raises(CompileError, match="masked is a MaskedArray"):
        tg.compile(lambda x: x * masked)(X)


# -- names are never code ------------------------------------------------------------------------------

HOSTILE = [
    "a b",
    "1",
    "",
    "x'] or boom() or x['",
    "{0}",
    "}{",
    "\n  boom()",
    "class",
    "ﬁ",
    "__import__('os')",
    '"""',
    "é",
]


@for_each("name", HOSTILE)
def test_keys_and_attributes_are_no_code(name):
    c = types.SimpleNamespace()
    table = {name: 2.0, "nested": {name: 3.0}}
    setattr(c, name, 5.0)
    holder = type(name.replace("\0", "") or "x", (), {name: 7.0, "__module__": name})
    f = tg.compile(
        lambda x, given: x * table[name] * table["nested"][name] * getattr(c, name) * getattr(holder, name)
    )
    same(f(X, {name: 1.0}), X * 210)
    table[name] = 4.0
    same(f(X, {name: 1.0}), X * 420)
    setattr(c, name, 10.0)
    same(f(X, {name: 1.0}), X * 840)
    setattr(holder, name, 14.0)
    same(f(X, {name: 1.0}), X * 1680)
    assert len(f._entries) == 4


# -- what the function changes, and no program would -------------------------------------------------------

counter = 0
MUTATIONS = {}


def mutation(case):
    MUTATIONS[case.__name__] = case
    return case


@mutation
def appends_to_a_list():
    seen = []
    return lambda x: seen.append(1.0) or x, lambda: list(seen)


@mutation
def replaces_an_item():
    seen = [1.0]
    return lambda x: seen.__setitem__(0, 2.0) or x, lambda: list(seen)


@mutation
def updates_a_dict():
    seen = {"a": 1}
    return lambda x: seen.update(b=2) or x, lambda: dict(seen)


@mutation
def deletes_from_a_dict():
    seen = {"a": 1, "b": 2}
    return lambda x: x * (seen.pop("a") if "a" in seen else 1), lambda: dict(seen)


@mutation
def counts_in_a_default_dict():
    seen = collections.defaultdict(int)

    def f(x):
        seen["calls"] += 1
        return x

    return f, lambda: dict(seen)


@mutation
def adds_to_a_set():
    seen = set()
    return lambda x: seen.add(3) or x, lambda: set(seen)


@mutation
def turns_a_deque():
    seen = collections.deque([1, 2])
    return lambda x: seen.rotate() or x, lambda: list(seen)


@mutation
def sets_an_attribute():
    c = types.SimpleNamespace(calls=0)
    return lambda x: setattr(c, "calls", c.calls + 1) or x, lambda: vars(c).copy()


@mutation
def makes_an_attribute():
    c = types.SimpleNamespace()

    def f(x):
        c.last = 3.0
        return x

    return f, lambda: vars(c).copy()


@mutation
def sets_a_class_attribute():
    class Settings:
        calls = 0

    def f(x):
        Settings.calls += 1
        return x

    return f, lambda: Settings.calls


@mutation
def counts_in_a_global():
    def f(x):
        global counter
        counter += 1
        return x

    return f, lambda: counter


@mutation
def makes_a_global():
    def f(x):
        global made_by_a_test
        made_by_a_test = 1
        return x

    return f, lambda: "made_by_a_test" in globals()


@mutation
def counts_around():
    calls = 0

    def f(x):
        nonlocal calls
        calls += 1
        return x

    return f, lambda: calls


@mutation
def keeps_what_was_computed():
    cache = {}

    def f(x):
        if "y" not in cache:
            cache["y"] = np.sin(x)
        return cache["y"]

    return f, lambda: dict(cache)


@mutation
def sets_an_attribute_of_itself():
    def f(x):
        f.calls = 1
        return x

    f.other = 2
    return f, lambda: vars(f).copy()


@mutation
def writes_into_a_mask():
    mask = np.array([True, False, True])

    def f(x):
        mask[1] = True
        return x[mask]

    return f, lambda: mask.tolist()


@mutation
def calls_itself_a_layer_s_counter():
    class Layer(nn.Module):
        def __init__(self):
            self.seen = []

        def forward(self, x):
            self.seen.append(1)
            return x * 2.0

    m = Layer()
    return m, lambda: list(m.seen)


@for_each("name", MUTATIONS)
def test_a_change_by_the_function_is_refused(name):
    function, state = MUTATIONS[name]()
    before = state()
    with pytest.raises(CompileError, match=r"the call (changes|writes)"):
        tg.compile(function)(X)
    assert state() == before


def test_the_error_names_what_is_changed():
    seen = {"calls": []}
    with pytest.raises(CompileError, match=r"'seen.calls', a list"):
        tg.compile(lambda x: seen["calls"].append(x) or x)(X)
    with pytest.raises(CompileError, match=r"changes a list or a dict that is an argument"):
        tg.compile(lambda x, parts: parts.append(x) or x)(X, [])
    with pytest.raises(CompileError, match=r"changes a list or a dict that is an argument"):
        tg.compile(lambda x, parts: parts[0].update(b=x) or x)(X, ({"a": X},))


# -- what cannot be looked into ---------------------------------------------------------------------------

log = logging.getLogger(__name__)
lock = threading.Lock()
here = pathlib.Path(__file__)


def test_what_says_something_or_waits_is_left_alone():
    def f(x):
        with lock:
            log.debug("x %s %s", x.shape, here.name)
            print(end="", flush=True)
            return x * len(here.suffix)

    same(tg.compile(f)(X), f(X))


REFUSED = {
    "an iterator": iter([1.0, 2.0, 3.0, 4.0]),
    "a count": itertools.count(),
    "a generator": (i for i in range(9)),
    "a legacy generator": np.random.RandomState(0),
    "a legacy function": np.random.rand,
    "a generator of Python's": random.Random(0),
    "a cached function": functools.lru_cache(lambda: 2.0),
    "a masked array": np.ma.array([1.0]),
    "a Generator in a tuple that cannot change": types.MappingProxyType({"a": np.random.default_rng(0)}),
}


@for_each("name", REFUSED)
def test_what_cannot_be_looked_into_is_refused_by_name_and_line(name):
    strange = REFUSED[name]
    f = tg.compile(lambda x: x * (strange is not None))
    if name == "a legacy function":
        f = tg.compile(lambda x: x * strange())
    if name == "a generator of Python's":
        f = tg.compile(lambda x: x * strange.random())
    with pytest.raises(CompileError, match=r"test_calls.py:\d+, in <lambda>: .*strange") as found:
        f(X)
    assert re.search("argument|use np.asarray|without its cache", str(found.value))


def test_variables_that_nobody_names_are_refused():
    for function in (
        lambda x: x * eval("2.0"),
        lambda x: x * globals()["X"][0],
        lambda x: x * same.__globals__["X"][0],
        lambda x: x * len(open(__file__).read()),  # noqa: PTH123, SIM115
        lambda x: x * sys.modules["numpy"].pi,
        lambda x: x * tg.is_recording(),
    ):
        with pytest.raises(CompileError, match=r"test_calls.py:\d+, in <lambda>: .*name the"):
            tg.compile(function)(X)


def test_computed_names_are_watched_and_nothing_else():
    class Trainer:
        def __init__(self):
            self.model = nn.MLP([3, 4, 3], rng=0, dtype=np.float64)
            self.optimizer = optim.Adam(self.model.parameters())
            self.losses, self.name, self.iterator = [], "mse_loss", iter([1])
            self.step = tg.compile(self.loss, optimizer=self.optimizer)

        def loss(self, x):
            return getattr(nn.functional, self.name)(self.model(x), x)

    trainer = Trainer()
    for _ in range(4):
        trainer.losses.append(trainer.step(np.ones((2, 3))).item())
        trainer.optimizer.param_groups[0]["lr"] *= 0.9
    assert len(trainer.step._entries) == 1
    assert trainer.losses[-1] < trainer.losses[0]


def test_generators_in_containers():
    def case():
        rng, others = np.random.default_rng(0), [np.random.default_rng(1)]
        pair = (np.random.default_rng(2), {"a": np.random.default_rng(3)})
        return lambda x: (
            x * rng.random() + others[0].normal(size=3) + pair[0].random() * pair[1]["a"].random()
        )

    f, g = tg.compile(case()), case()
    for _ in range(3):
        same(f(X), g(X))


# -- writing into arguments -------------------------------------------------------------------------------


def adds_in_place(a):
    a += 1
    return np.sum(a)


def writes_an_item(a):
    a[0] = 5.0
    return a * 2


def writes_by_out(a):
    np.multiply(a, 3.0, out=a)


def writes_and_returns(a):
    a *= 2
    a[1:] -= 1
    return a, np.exp(a)


def writes_in_a_dict(a):
    parts = {"a": [a]}
    parts["a"][0][...] = np.cumsum(a)
    return parts["a"][0] + 1


WRITERS = [adds_in_place, writes_an_item, writes_by_out, writes_and_returns, writes_in_a_dict]
ARRAYS = {
    "float64": lambda: np.array([1.0, 2.0, 3.0]),
    "float32": lambda: np.array([1.0, 2.0, 3.0], np.float32),
    "apart": lambda: np.arange(12.0)[::4],
    "a column": lambda: np.arange(12.0).reshape(3, 4)[:, 1],
    "backwards": lambda: np.arange(3.0)[::-1],
}


@for_each("function", WRITERS)
@for_each("kind", ARRAYS)
def test_arguments_are_written_into(function, kind):
    a, b = ARRAYS[kind](), ARRAYS[kind]()
    whole, other = (x if x.base is None else x.base for x in (a, b))
    f = tg.compile(function)
    for _ in range(3):
        got, expected = f(a), function(b)
        same(a, b)
        same(whole, other)
        for x, y in (
            zip(got or (), expected or (), strict=True) if isinstance(got, tuple) else [(got, expected)]
        ):
            if y is not None:
                same(x, y)
    assert len(f._entries) == 1


def test_machine_code_writes_into_arguments():
    f = tg.compile(adds_in_place, backend="numba")
    a, b = np.arange(12.0)[::4], np.arange(12.0)[::4]
    for _ in range(2):
        np.testing.assert_allclose(f(a), adds_in_place(b), rtol=1e-12)
        same(a.base, b.base)


def test_one_of_several_arguments_is_written_into():
    def f(a, b, scale):
        b["x"][0] += a * scale
        return np.sum(b["x"][0])

    compiled = tg.compile(f)
    ones = [np.ones(3), np.ones(3)]
    for scale in (2.0, 3.0, 2.0):
        assert compiled(X, {"x": [ones[0]]}, scale=scale) == f(X, {"x": [ones[1]]}, scale=scale)
        same(*ones)


def test_integers_are_written_into():
    def f(a):
        a += 3
        a[a > 4] = 0

    a, b = np.arange(4), np.arange(4)
    tg.compile(f)(a), f(b)
    same(a, b)


def test_a_number_is_not_written_into():
    def f(a):
        a += 1
        return a

    number = np.float64(3.0)
    assert tg.compile(f)(number) == 4.0
    assert number == 3.0


def test_a_read_only_argument_is_an_error():
    f = tg.compile(adds_in_place)
    f(np.ones(3))
    x = np.ones(3)
    x.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        f(x)
    same(x, np.ones(3))


def test_nothing_is_done_where_a_read_only_argument_is_written_into():
    weight = nn.Parameter(np.ones(3, np.float32))

    def loss(x):
        x += 1
        return (weight * x).sum()

    step = tg.compile(loss, optimizer=optim.SGD([weight], lr=0.5))
    step(np.zeros(3, np.float32))
    same(weight.data, np.full(3, 0.5, np.float32))
    x = np.zeros(3, np.float32)
    x.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        step(x)
    same(weight.data, np.full(3, 0.5, np.float32))


def test_whether_an_argument_is_recorded_is_part_of_what_it_is():
    def f(x):
        return x * x if x.requires_grad else x * 3

    compiled = tg.compile(f)
    plain, recorded = tg.tensor([1.0, 2.0]), tg.tensor([1.0, 2.0], requires_grad=True)
    for x in (plain, recorded, plain):
        same(compiled(x).data, f(x).data)


def test_a_turned_array_in_one_row_is_a_copy():
    def f(x):
        turned = (x * 2).T
        row = turned.reshape(-1)
        return row * 1, turned + 1, row

    x = np.arange(12.0).reshape(3, 4)
    for got, expected in zip(tg.compile(f)(x), f(x), strict=True):
        same(got, expected)


def test_arguments_that_share_memory_with_a_written_one_are_refused():
    def f(a, b):
        a += 1
        return a * b

    x = np.arange(8.0)
    compiled = tg.compile(f)
    compiled(np.ones(4), np.ones(4))
    before = x.copy()
    with pytest.raises(CompileError, match=r"the argument 'b' shares memory"):
        compiled(x[:4], x[2:6])
    same(x, before)
    compiled(x[:4], x[4:])
    y = np.ones(3)
    compiled = tg.compile(f)
    compiled(y, y)
    same(y, np.full(3, 2.0))  # one object: written once, and read as what it became
    captured = np.ones(3)

    def g(a):
        a += 1
        return a * captured

    compiled = tg.compile(g)
    compiled(np.ones(3))
    with pytest.raises(CompileError, match="shares memory"):
        compiled(captured)


def test_an_argument_that_is_memory_of_the_program_is_refused():
    w = tg.tensor(np.ones(3), requires_grad=True)
    step = tg.compile(lambda x: np.sum(w * x), optimizer=optim.SGD([w], lr=0.1))
    step(X)
    with pytest.raises(CompileError, match="pass a copy"):
        step(w.data)
    step(w.data.copy())


def test_a_tensor_that_is_written_into_is_refused():
    t = tg.tensor([1.0, 2.0])
    with pytest.raises(CompileError, match=r"the call changes the Tensor 'a', an argument"):
        tg.compile(adds_in_place)(t)
    same(t.data, [1.0, 2.0])


def test_an_argument_that_is_captured_too():
    a = np.array([1.0, 2.0, 3.0])
    f = tg.compile(lambda x: x + a)
    same(f(a), a * 2)
    same(f(np.ones(3)), a + 1)
    a += 1
    same(f(a), a * 2)


# -- optimizers -----------------------------------------------------------------------------------------


def two(make):
    """Two parameters, their optimizer, and functions of both and of one."""
    a, b = (tg.tensor(v, requires_grad=True) for v in ([1.0, 2.0], [5.0, 1.0]))
    return a, b, make([a, b])


def eager(function, optimizer):
    def step(x):
        optimizer.zero_grad()
        loss = function(x)
        loss.backward()
        optimizer.step()
        return loss

    return step


def other_group(a, b, o):
    o.param_groups[0]["params"].pop()
    o.add_param_group({"params": [b], "lr": 0.5})


EDITS = {
    "momentum": lambda a, b, o: o.param_groups[0].update(betas=(0.5, 0.9)),
    "weight decay": lambda a, b, o: o.param_groups[0].update(weight_decay=0.1),
    "learning rate": lambda a, b, o: o.param_groups[0].update(lr=0.5),
    "a parameter less": lambda a, b, o: o.param_groups[0]["params"].pop(),
    "a parameter more": lambda a, b, o: None,
    "another group": other_group,
    "no state": lambda a, b, o: o.state.clear(),
    "no state of one": lambda a, b, o: o.state.pop(b),
    "steps of one": lambda a, b, o: o.state[b].update(step=1),
    "steps of all": lambda a, b, o: [s.update(step=50) for s in o.state.values()],
    "memory replaced": lambda a, b, o: o.state[b].update(first=np.array([3.0, 4.0])),
    "memory edited": lambda a, b, o: o.state[b]["first"].fill(9.0),
    "a state that is loaded": lambda a, b, o: o.load_state_dict(copy.deepcopy(o.state_dict())),
    "a parameter frozen": lambda a, b, o: setattr(b, "requires_grad", False),
    "a parameter overwritten": lambda a, b, o: overwrite(a),
    "a hook": lambda a, b, o: a.register_hook(lambda g: g * 3) and None,
}


def overwrite(a):
    with tg.no_grad():
        a[...] = [7.0, 8.0]


MAKERS = [optim.Adam, functools.partial(optim.SGD, momentum=0.9), optim.AdamW]


@pytest.mark.parametrize(
    ("name", "make"),
    [  # AdamW is Adam with another line
        pytest.param(name, make, marks=pytest.mark.thorough if make is optim.AdamW and i % 4 else ())
        for i, name in enumerate(EDITS)
        for make in MAKERS
    ],
)
def test_an_optimizer_that_is_edited(name, make):
    if not isinstance(make, type) and name in ("momentum", "memory replaced", "memory edited"):
        pytest.skip("of Adam")
    runs = []
    for is_compiled in (True, False):
        a, b, o = two(lambda p: make(p, lr=0.1))
        if name == "a parameter more":
            o.param_groups[0]["params"].pop()
        function = lambda x: np.sum((a * x) ** 2) + np.sum((b * x) ** 2)  # noqa: B023, E731
        step = tg.compile(function, optimizer=o) if is_compiled else eager(function, o)
        losses = []
        for k in range(6):
            if k == 3:
                EDITS[name](a, b, o)
                if name == "a parameter more":
                    o.param_groups[0]["params"].append(b)
            losses.append(step(np.ones(2)).item())
        steps = [s["step"] for s in o.state.values()]
        runs.append([*losses, *a.data, *b.data, *steps])
    np.testing.assert_allclose(*runs, rtol=1e-12)


def test_programs_that_share_an_optimizer():
    runs = []
    for is_compiled in (True, False):
        a, b, o = two(lambda p: optim.Adam(p, lr=0.1))
        both = lambda x: np.sum((a * x) ** 2) + np.sum((b * x) ** 2)  # noqa: B023, E731
        one = lambda x: np.sum((a * x) ** 2)  # noqa: B023, E731
        made = tg.compile if is_compiled else lambda f, optimizer: eager(f, optimizer)
        steps = [made(f, optimizer=o) for f in (both, one)]
        for k in range(9):
            steps[k % 2](np.ones(2))
        if is_compiled:
            assert [len(step._entries) for step in steps] == [2, 1]
        runs.append([*a.data, *b.data])
    np.testing.assert_allclose(*runs, rtol=1e-12)


def test_an_eager_step_of_one_parameter_between():
    """Parameters of two dtypes lie in two vectors; when they took as many steps, one input counts for both."""
    runs = []
    for is_compiled in (True, False):
        a = tg.tensor([1.0, 2.0], requires_grad=True)
        b = tg.tensor(np.array([5.0, 1.0], np.float32), requires_grad=True)
        o = optim.Adam([a, b], lr=0.1)
        both = lambda x: np.sum((a * x) ** 2) + np.sum((b * x) ** 2)  # noqa: B023, E731
        step = tg.compile(both, optimizer=o) if is_compiled else eager(both, o)
        for k in range(6):
            step(np.ones(2))
            if k == 2:
                eager(lambda x: np.sum((b * x) ** 2), o)(np.ones(2))  # noqa: B023
        runs.append([*a.data, *b.data])
    np.testing.assert_allclose(*runs, rtol=1e-6)


# -- threads --------------------------------------------------------------------------------------------


def in_threads(count, work):
    """Run ``work(i)`` in threads that start together; raise what they raise."""
    errors, barrier = [], threading.Barrier(count)

    def run(i):
        try:
            barrier.wait()
            work(i)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_threads_each_get_their_answer():
    for _ in range(5):
        model = nn.MLP([6, 7, 4], rng=0, dtype=np.float64)
        f = tg.compile(model)
        inputs = [np.random.default_rng(i).normal(size=(3 + i % 2, 6)) for i in range(6)]
        expected = [model(x).data for x in inputs]

        def work(i, f=f, inputs=inputs, expected=expected):
            for _ in range(30):
                np.testing.assert_allclose(f(inputs[i]).data, expected[i], rtol=1e-12)

        in_threads(6, work)
        assert len(f._entries) == 2


def test_programs_of_one_model_in_threads():
    """While one is traced, stand-ins are in the model: the others wait, or run on what they have."""
    for _ in range(5):
        model = nn.MLP([6, 7, 4], rng=0, dtype=np.float64)
        scale, x = np.array([2.0]), np.ones((3, 6))
        functions = [lambda x, k=k, m=model, s=scale: m(x) * s * k for k in range(6)]
        expected = [function(x).data for function in functions]
        programs = [tg.compile(function) for function in functions]

        def work(i, programs=programs, expected=expected, x=x):
            for _ in range(10):
                np.testing.assert_allclose(programs[i](x).data, expected[i], rtol=1e-12)

        in_threads(6, work)
        assert type(model[0].weight._array) is np.ndarray


def test_training_steps_in_threads_are_all_taken():
    model = nn.MLP([6, 7, 4], rng=0, dtype=np.float64)
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    step = tg.compile(lambda x: np.mean(model(x) ** 2), optimizer=optimizer)
    in_threads(4, lambda i: [step(np.ones((3, 6))) for _ in range(25)])
    assert {state["step"] for state in optimizer.state.values()} == {100}


# -- errors put everything back ----------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, CompileError])
def test_whatever_happens_everything_is_put_back(error):
    model = nn.Sequential(nn.Linear(3, 3, rng=0, dtype=np.float64), nn.Dropout(0.5, rng=0))
    c = types.SimpleNamespace(w=np.ones(3), rng=np.random.default_rng(0), parts=(np.ones(3), [np.zeros(3)]))
    around, table = np.ones(3), {"a": np.ones(3)}

    def f(x, scale=around):
        y = model(x) * c.w * c.rng.random() * around * table["a"] * scale * c.parts[0] + c.parts[1][0]
        table["b"] = y
        raise error("in the function")

    held = [*vars(c).values(), c.parts[0], c.parts[1][0], around, table["a"], f.__defaults__, model[1].rng]
    with pytest.raises(error, match="in the function"):
        tg.compile(f)(X)
    now = [*vars(c).values(), c.parts[0], c.parts[1][0], around, table["a"], f.__defaults__, model[1].rng]
    assert all(a is b for a, b in zip(held, now, strict=True))
    if error is ZeroDivisionError:  # the function's own error: it has run, and changed what it changes
        assert type(table.pop("b")) is tg.Tensor
    assert table.keys() == {"a"}
    assert all(type(p._array) is np.ndarray for p in model.parameters())


# -- when programs are too many ------------------------------------------------------------------------------


def warned(f, calls):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        for args in calls:
            f(*args)
    assert len(found) == 1
    assert found[0].filename == __file__
    return str(found[0].message)


def test_the_warning_says_what_differs():
    shapes = warned(tg.compile(lambda x: x * 2), [(np.ones(3 + i),) for i in range(18)])
    assert "'x' has the shapes (3,), (4,), (5,), …: pad to one length" in shapes
    numbers = warned(tg.compile(lambda x, power: x**power), [(X, i) for i in range(18)])
    assert "the argument 'power' is 0, 1, 2, …: pass numbers that change as arrays" in numbers
    scale = 0.0

    def f(x):
        return x * scale

    compiled = tg.compile(f)

    def calls():
        nonlocal scale
        for i in range(18):
            scale = float(i)
            yield (X,)

    assert "'scale' changed again" in warned(compiled, calls())
