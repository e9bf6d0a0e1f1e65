"""What a compiled function refers to changes behind its back: the next answer is the uncompiled one's, or a CompileError.

A holder is a way to keep a value: how it is made, how the function reads it, and how it can be changed. Each meets several
values, in module globals, in closures, in default arguments and as an argument.
"""

# ruff: noqa: E501 -- lines of programs, and tables of them

from __future__ import annotations

import builtins
import re
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import some_or_all

import tinygrad_mnist as tg
from tinygrad_mnist.errors import CompileError

HEAD = """\
import sys, os, types, enum, functools, collections, dataclasses, weakref, contextvars, threading, copy, math
import numpy as np
import tinygrad_mnist as tg
"""

#: A first value and the second one, as text.
VALUES = {
    "float": ("2.0", "3.0"),
    "int": ("2", "3"),
    "sign of zero": ("0.0", "-0.0"),
    "bool": ("True", "False"),
    "1 and 1.0": ("1", "1.0"),
    "np scalar": ("np.float64(2.0)", "np.float64(3.0)"),
    "np int": ("np.int64(2)", "np.int64(3)"),
    "float array": ("np.array([2.0, 3.0])", "np.array([5.0, -1.0])"),
    "float32 array": ("np.array([2.0, 3.0], np.float32)", "np.array([5.0, -1.0], np.float32)"),
    "other dtype": ("np.array([2.0, 3.0])", "np.array([2.5, 3.5], np.float32)"),
    "other shape": ("np.array([2.0, 3.0])", "np.array([[2.0], [3.0]])"),
    "int array": ("np.array([2, 3])", "np.array([5, -1])"),
    "bool array": ("np.array([True, False])", "np.array([False, False])"),
    "0-d array": ("np.array(2.0)", "np.array(3.0)"),
    "complex array": ("np.array([2j, 3.0])", "np.array([5.0, 1j])"),
    "array of a subclass": ("np.array([2.0, 3.0]).view(np.ndarray)[::-1]", "np.array([1.0, 3.0])[::-1]"),
    "Tensor": ("tg.tensor([2.0, 3.0])", "tg.tensor([5.0, -1.0])"),
    "list": ("[2.0, 3.0]", "[5.0, -1.0]"),
    "tuple": ("(2.0, 3.0)", "(5.0, -1.0)"),
}

#: How the function makes numbers of what it read.
USES = ["x * {}", "np.copysign(x, {})", "x + np.sum({})"]

#: How a holder is made, how it is read, and changes by their kinds. V is the first value, W the second.
HOLDERS: dict[str, tuple[str, str, dict[str, str]]] = {
    "variable": ("h = V", "h", {"object": "h = W"}),
    "SimpleNamespace": (
        "h = types.SimpleNamespace(a=V)",
        "h.a",
        {"value": "h.a = W", "object": "h = types.SimpleNamespace(a=W)", "dict": "h.__dict__['a'] = W", "delete": "del h.a"},
    ),
    "plain object": (
        "class C:\n    pass\nh = C(); h.a = V",
        "h.a",
        {"value": "h.a = W", "object": "h = C(); h.a = W", "update": "vars(h).update(a=W)", "class": "h.__class__ = type('D', (C,), {'a': property(lambda self: W)})"},
    ),
    "object in an object": (
        "h = types.SimpleNamespace(b=types.SimpleNamespace(a=V))",
        "h.b.a",
        {"value": "h.b.a = W", "object": "h.b = types.SimpleNamespace(a=W)"},
    ),
    "dataclass": (
        "@dataclasses.dataclass\nclass C:\n    a: object\nh = C(V)",
        "h.a",
        {"value": "h.a = W", "object": "h = dataclasses.replace(h, a=W)"},
    ),
    "frozen dataclass": (
        "@dataclasses.dataclass(frozen=True)\nclass C:\n    a: object\nh = C(V)",
        "h.a",
        {"value": "object.__setattr__(h, 'a', W)", "object": "h = C(W)"},
    ),
    "dataclass with slots": (
        "@dataclasses.dataclass(slots=True)\nclass C:\n    a: object\nh = C(V)",
        "h.a",
        {"value": "h.a = W", "object": "h = C(W)"},
    ),
    "slots": ("class C:\n    __slots__ = ('a',)\nh = C(); h.a = V", "h.a", {"value": "h.a = W", "delete": "del h.a"}),
    "class attribute": ("class C:\n    a = V\nh = C()", "h.a", {"value": "C.a = W", "add": "h.a = W", "delete": "del C.a"}),
    "class attribute of the class": ("class C:\n    a = V", "C.a", {"value": "C.a = W", "object": "C = type('C', (), {'a': W})"}),
    "inherited class attribute": (
        "class B:\n    a = V\nclass C(B):\n    pass\nh = C()",
        "h.a",
        {"value": "B.a = W", "add": "C.a = W", "bases": "C.__bases__ = (type('E', (B,), {'a': W}),)"},
    ),
    "metaclass attribute": ("class M(type):\n    a = V\nclass C(metaclass=M):\n    pass", "C.a", {"value": "M.a = W"}),
    "property": (
        "class C:\n    a = property(lambda self: self.b)\nh = C(); h.b = V",
        "h.a",
        {"value": "h.b = W", "object": "C.a = property(lambda self: W)"},
    ),
    "cached property": (
        "class C:\n    @functools.cached_property\n    def a(self):\n        return self.b\nh = C(); h.b = V",
        "h.a",
        {"value": "h.__dict__.pop('a', None); h.b = W"},
    ),
    "__getattr__": (
        "class C:\n    def __getattr__(self, name):\n        return store[name]\nstore = {'a': V}\nh = C()",
        "h.a",
        {"value": "store['a'] = W", "add": "h.a = W"},
    ),
    "descriptor": (
        "class D:\n    def __get__(self, *_):\n        return store['a']\nclass C:\n    a = D()\nstore = {'a': V}\nh = C()",
        "h.a",
        {"value": "store['a'] = W"},
    ),
    "module attribute": (
        "m = types.ModuleType('watched_settings'); sys.modules['watched_settings'] = m; m.a = V; h = m",
        "h.a",
        {"value": "m.a = W", "dict": "vars(m)['a'] = W", "object": "h = types.ModuleType('other'); h.a = W", "delete": "del m.a"},
    ),
    "attribute of a module's object": (
        "m = types.ModuleType('watched_settings'); sys.modules['watched_settings'] = m; m.o = types.SimpleNamespace(a=V); h = m",
        "h.o.a",
        {"value": "m.o.a = W", "object": "m.o = types.SimpleNamespace(a=W)"},
    ),
    "imported within": (
        "m = types.ModuleType('watched_settings'); sys.modules['watched_settings'] = m; m.a = V",
        "__import__('watched_settings').a",
        {"value": "m.a = W"},
    ),
    "attribute of a function": ("def h(): pass\nh.a = V", "h.a", {"value": "h.a = W"}),
    "list item": (
        "h = [V, 1.0]",
        "h[0]",
        {"value": "h[0] = W", "object": "h = [W]", "add": "h.insert(0, W)", "delete": "del h[0]", "all": "h[:] = [W]", "reverse": "h.reverse()"},
    ),
    "last list item": ("h = [1.0, V]", "h[-1]", {"add": "h.append(W)", "value": "h[-1] = W", "delete": "h.pop()"}),
    "sum of a list": ("h = [V]", "sum(h)", {"add": "h.append(W)", "extend": "h += [W, W]", "clear": "h.clear()"}),
    "length of a list": ("h = [V]", "len(h)", {"add": "h.append(W)", "clear": "h.clear()"}),
    "dict item": (
        "h = {'a': V}",
        "h['a']",
        {"value": "h['a'] = W", "object": "h = {'a': W}", "delete": "del h['a']", "update": "h |= {'a': W}"},
    ),
    "dict get": ("h = {'b': V}", "h.get('a', V)", {"add": "h['a'] = W", "value": "h['b'] = W"}),
    "dict values": ("h = {'a': V}", "sum(h.values())", {"add": "h['b'] = W", "clear": "h.clear()"}),
    "dict items in their order": (
        "h = {'a': V, 'b': 1.0}",
        "list(h.values())[0]",
        {"order": "h['a'] = h.pop('a')", "value": "h['a'] = W"},
    ),
    "dict membership": ("h = {}", "(V if 'a' in h else W)", {"add": "h['a'] = 1"}),
    "dict by other keys": ("h = {(1, 'x'): V, 3: 1.0}", "h[1, 'x']", {"value": "h[1, 'x'] = W", "add": "h[2] = 1"}),
    "set": ("h = {7.0}", "(V if 7.0 in h else W)", {"delete": "h.discard(7.0)", "clear": "h.clear()"}),
    "length of a set": ("h = {7.0}", "len(h)", {"add": "h.add(8.0)"}),
    "frozenset": ("h = frozenset([7.0])", "(V if 7.0 in h else W)", {"object": "h = frozenset()"}),
    "deque": (
        "h = collections.deque([V, 1.0])",
        "h[0]",
        {"value": "h[0] = W", "add": "h.appendleft(W)", "rotate": "h.rotate(1)", "delete": "h.popleft()"},
    ),
    "OrderedDict": (
        "h = collections.OrderedDict(a=V, b=1.0)",
        "next(iter(h.values()))",
        {"value": "h['a'] = W", "order": "h.move_to_end('a')"},
    ),
    "defaultdict": ("h = collections.defaultdict(lambda: V)", "h['a']", {"value": "h['a'] = W", "factory": "h.clear(); h.default_factory = lambda: W"}),
    "Counter": ("h = collections.Counter(a=2)", "h['a']", {"value": "h['a'] = 5", "update": "h.update('aaa')"}),
    "ChainMap": ("h = collections.ChainMap({}, {'a': V})", "h['a']", {"add": "h['a'] = W", "value": "h.maps[1]['a'] = W"}),
    "UserDict": ("h = collections.UserDict(a=V)", "h['a']", {"value": "h['a'] = W"}),
    "mappingproxy": ("d = {'a': V}; h = types.MappingProxyType(d)", "h['a']", {"value": "d['a'] = W"}),
    "nested containers": (
        "h = {'a': [(V, {'b': V})]}",
        "h['a'][0][1]['b']",
        {"value": "h['a'][0][1]['b'] = W", "object": "h['a'][0] = (1, {'b': W})", "add": "h['a'].insert(0, (1, {'b': W}))"},
    ),
    "namedtuple": ("T = collections.namedtuple('T', 'a')\nh = T(V)", "h.a", {"object": "h = T(W)"}),
    "list in a tuple": ("h = ([V],)", "h[0][0]", {"value": "h[0][0] = W", "add": "h[0].insert(0, W)"}),
    "object in a tuple": ("h = (types.SimpleNamespace(a=V),)", "h[0].a", {"value": "h[0].a = W"}),
    "object in a dict": ("h = {'o': types.SimpleNamespace(a=V)}", "h['o'].a", {"value": "h['o'].a = W"}),
    "object in a set": ("class C:\n    pass\no = C(); o.a = V\nh = {o}", "next(iter(h)).a", {"value": "o.a = W"}),
    "object behind a weakref": ("class C:\n    pass\no = C(); o.a = V\nh = weakref.ref(o)", "h().a", {"value": "o.a = W"}),
    "subclass of list": ("class L(list):\n    pass\nh = L([V])", "h[0]", {"value": "h[0] = W", "add": "h.insert(0, W)"}),
    "subclass of dict": ("class D(dict):\n    __getattr__ = dict.__getitem__\nh = D(a=V)", "h.a", {"value": "h['a'] = W"}),
    "own container": (
        "class C:\n    def __init__(self, v): self.v = v\n    def __getitem__(self, k): return self.v\nh = C(V)",
        "h[0]",
        {"value": "h.v = W", "method": "C.__getitem__ = lambda self, k: W"},
    ),
    "partial's arguments": (
        "def g(a, b=1.0): return a\nh = functools.partial(g, V)",
        "h()",
        {"object": "h = functools.partial(g, W)", "state": "h.__setstate__((g, (W,), {}, {}))"},
    ),
    "partial's keywords": ("def g(*, a): return a\nh = functools.partial(g, a=V)", "h()", {"value": "h.keywords['a'] = W"}),
    "bound method's self": (
        "class C:\n    def get(self): return self.a\no = C(); o.a = V\nh = o.get",
        "h()",
        {"value": "o.a = W", "method": "C.get = lambda self: W", "instance": "o.get = lambda: W"},
    ),
    "method": (
        "class C:\n    def get(self): return self.a\nh = C(); h.a = V",
        "h.get()",
        {"value": "h.a = W", "method": "C.get = lambda self: W", "instance": "h.get = lambda: W", "code": "C.get.__code__ = (lambda self: W).__code__"},
    ),
    "class method": (
        "class C:\n    a = V\n    @classmethod\n    def get(cls): return cls.a\nh = C",
        "h.get()",
        {"value": "C.a = W", "method": "C.get = classmethod(lambda cls: W)"},
    ),
    "static method": ("class C:\n    @staticmethod\n    def get(): return V\nh = C", "h.get()", {"method": "C.get = staticmethod(lambda: W)"}),
    "callable object": (
        "class C:\n    def __call__(self): return self.a\nh = C(); h.a = V",
        "h()",
        {"value": "h.a = W", "method": "C.__call__ = lambda self: W", "object": "h = C(); h.a = W"},
    ),
    "callable object with slots": (
        "class C:\n    __slots__ = ('a',)\n    def __call__(self): return self.a\nh = C(); h.a = V",
        "h()",
        {"value": "h.a = W"},
    ),
    "operator of an object": (
        "class C:\n    def __float__(self): return 2.0\n    def __mul__(self, x): return self.a * x\n    __rmul__ = __mul__\nh = C(); h.a = V",
        "(h * 1.0)",
        {"value": "h.a = W", "method": "C.__mul__ = lambda self, x: W * x"},
    ),
    "function": ("def h(): return V", "h()", {"object": "h = lambda: W", "code": "h.__code__ = (lambda: W).__code__"}),
    "function's default": (
        "def h(a=V): return a",
        "h()",
        {"value": "h.__defaults__ = (W,)"},
    ),
    "function's keyword default": ("def h(*, a=V): return a", "h()", {"value": "h.__kwdefaults__['a'] = W", "object": "h.__kwdefaults__ = {'a': W}"}),
    "function's closure": (
        "def outer():\n    a = V\n    def get(): return a\n    def put(v):\n        nonlocal a\n        a = v\n    return get, put\nh, put = outer()",
        "h()",
        {"value": "put(W)"},
    ),
    "function within a function": ("s = types.SimpleNamespace(a=V)\ndef g(): return s.a\ndef h(): return g()", "h()", {"value": "s.a = W", "object": "g = lambda: W"}),
    "function in a list": ("h = [lambda: V]", "h[0]()", {"value": "h[0] = lambda: W"}),
    "function in a dict": ("h = {'a': lambda: V}", "h['a']()", {"value": "h['a'] = lambda: W"}),
    "function in a module": (
        "m = types.ModuleType('watched_settings'); sys.modules['watched_settings'] = m; m.g = lambda: V; h = m",
        "h.g()",
        {"value": "m.g = lambda: W"},
    ),
    "decorated function": (
        "s = [V]\ndef deco(g):\n    @functools.wraps(g)\n    def inner(): return g() \n    return inner\n@deco\ndef h(): return s[0]",
        "h()",
        {"value": "s[0] = W"},
    ),
    "lru_cache": ("s = [V]\n@functools.lru_cache\ndef h(): return s[0]", "h()", {"value": "s[0] = W", "clear": "s[0] = W; h.cache_clear()"}),
    "generator function": ("s = [V]\ndef h():\n    yield s[0]", "next(h())", {"value": "s[0] = W"}),
    "iterator": ("h = iter([V, W, V, W, V, W, V, W])", "next(h)", {"nothing": "pass"}),
    "lambda in a default": ("s = [V]\ndef h(g=lambda: s[0]): return g()", "h()", {"value": "s[0] = W"}),
    "Enum": ("class E(enum.Enum):\n    A = 2.0\n    B = 3.0\nh = E.A", "h.value", {"object": "h = E.B"}),
    "IntEnum": ("class E(enum.IntEnum):\n    A = 2\n    B = 3\nh = E.A", "h", {"object": "h = E.B"}),
    "environment": ("os.environ['WATCHED_SETTING'] = '2'", "float(os.environ['WATCHED_SETTING'])", {"value": "os.environ['WATCHED_SETTING'] = '3'"}),
    "getenv": ("os.environ['WATCHED_SETTING'] = '2'", "float(os.getenv('WATCHED_SETTING', '7'))", {"value": "os.environ['WATCHED_SETTING'] = '3'", "delete": "del os.environ['WATCHED_SETTING']"}),
    "context variable": ("h = contextvars.ContextVar('h'); h.set(V)", "h.get()", {"value": "h.set(W)"}),
    "thread local": ("h = threading.local(); h.a = V", "h.a", {"value": "h.a = W"}),
    "globals()": ("k = V", "globals().get('k', V)", {"value": "globals()['k'] = W"}),
    "getattr": ("h = types.SimpleNamespace(a=V)", "getattr(h, 'a', W)", {"value": "h.a = W", "delete": "del h.a"}),
    "getattr with a default": ("h = types.SimpleNamespace()", "getattr(h, 'a', V)", {"add": "h.a = W"}),
    "hasattr": ("h = types.SimpleNamespace()", "(V if hasattr(h, 'a') else W)", {"add": "h.a = 1"}),
    "isinstance": ("class C:\n    pass\nclass D:\n    pass\nh = C()", "(V if isinstance(h, C) else W)", {"class": "h.__class__ = D"}),
    "vars": ("h = types.SimpleNamespace(a=V)", "vars(h)['a']", {"value": "h.a = W"}),
    "operator.attrgetter": ("import operator\nh = types.SimpleNamespace(a=V)\ng = operator.attrgetter('a')", "g(h)", {"value": "h.a = W"}),
    "comprehension": ("h = [V]", "[q for q in h][0]", {"value": "h[0] = W"}),
    "unpacking": ("h = [V, 1.0]", "(lambda a, *b: a)(*h)", {"value": "h[0] = W"}),
    "keyword unpacking": ("h = {'a': V}", "(lambda a, **b: a)(**h)", {"value": "h['a'] = W", "add": "h['b'] = 1"}),
    "map": ("h = [V]", "list(map(lambda q: q, h))[0]", {"value": "h[0] = W"}),
    "zip and enumerate": ("h = [V]", "next(iter(zip(h, h)))[1]", {"value": "h[0] = W"}),
    "flag in an if": ("h = types.SimpleNamespace(on=True)", "(V if h.on else W)", {"value": "h.on = False"}),
    "loop bound": ("h = types.SimpleNamespace(n=2)", "sum(1.0 for _ in range(h.n))", {"value": "h.n = 3"}),
    "axis": ("h = types.SimpleNamespace(axis=0)", "np.sum(np.array([[1.0, 2.0], [3.0, 5.0]]), axis=h.axis)", {"value": "h.axis = 1"}),
    "name of a function": ("h = types.SimpleNamespace(name='sin')", "getattr(np, h.name)(x)", {"value": "h.name = 'cos'"}),
    "dtype": ("h = types.SimpleNamespace(dtype=np.float32)", "x.astype(h.dtype)", {"value": "h.dtype = np.float64"}),
    "NumPy's function replaced": ("old = np.sin", "np.sin(x)", {"value": "np.sin = np.cos", "back": "np.sin = old"}),
    "array attribute": ("h = np.array([2.0, 3.0])", "h.shape[0]", {"object": "h = np.array([1.0])"}),
    "structured array": ("h = np.zeros(2, [('a', float)])", "h['a']", {"value": "h['a'] = 3.0"}),
    "object array": ("h = np.array([2.0, None], object)", "h[0]", {"value": "h[0] = 3.0"}),
    "memoryview": ("b = np.array([2.0, 3.0]); h = memoryview(b)", "np.asarray(h)", {"value": "b[0] = 7.0"}),
    "bytearray": ("h = bytearray(b'ab')", "h[0]", {"value": "h[0] = 7"}),
    "array in two places": ("a = np.array([2.0, 3.0]); h = [a, a]", "(h[0] + h[1])", {"value": "h[0] = np.array([1.0, 1.0])", "in place": "a += 1"}),
    "views of one array": ("a = np.array([2.0, 3.0]); h = [a[:1], a[1:]]", "(h[0] + h[1])", {"in place": "a += 1"}),
    "np.random.Generator": ("h = np.random.default_rng(0)", "h.normal(size=2)", {"object": "h = np.random.default_rng(5)", "draw": "h.normal()", "state": "h.bit_generator.state = np.random.default_rng(3).bit_generator.state"}),
    "Generator in a list": ("h = [np.random.default_rng(0)]", "h[0].normal(size=2)", {"object": "h[0] = np.random.default_rng(5)", "draw": "h[0].random()"}),
    "Generator in a dict": ("h = {'r': np.random.default_rng(0)}", "h['r'].random(2)", {"object": "h['r'] = np.random.default_rng(5)", "draw": "h['r'].random()"}),
    "Generator in a tuple": ("h = (np.random.default_rng(0),)", "h[0].random(2)", {"draw": "h[0].random()"}),
    "Generator in an attribute": ("h = types.SimpleNamespace(r=np.random.default_rng(0))", "h.r.integers(0, 9, 2)", {"object": "h.r = np.random.default_rng(5)", "draw": "h.r.random()"}),
    "Generator of a class": ("class C:\n    r = np.random.default_rng(0)", "C.r.random(2)", {"draw": "C.r.random()"}),
    "Generator's method": ("h = np.random.default_rng(0).normal", "h(size=2)", {"nothing": "pass"}),
    "Generator: other draws": ("h = np.random.default_rng(0)", "(h.permutation(2) + h.choice(5, 2) + h.uniform(size=2))", {"draw": "h.random()"}),
    "RandomState": ("h = np.random.RandomState(0)", "h.rand(2)", {"draw": "h.rand()"}),
    "np.random's own": ("np.random.seed(0)", "np.random.rand(2)", {"seed": "np.random.seed(1)"}),
    "random": ("import random\nrandom.seed(0)", "random.random()", {"seed": "random.seed(1)"}),
    "time": ("import time", "(time.perf_counter() * 0)", {"nothing": "pass"}),
    "np.errstate": ("h = 0.0", "(1.0 + h)", {"nothing": "np.seterr(all='ignore')"}),
}  # fmt: skip

SCOPES = ("global", "closure", "default", "argument")


def text_of(holder: str, values: tuple[str, str], change: str, scope: str, use: str) -> str | None:
    """The module of a case, or nothing where there is no such case."""
    make, read, changes = HOLDERS[holder]
    setup, after, read = (
        re.sub(r"\b[VW]\b", lambda found: values[found[0] == "W"], text)
        for text in (make, changes[change], read)
    )
    function = f"def f(x{{}}):\n    return {use.format(read)}"
    if scope in ("default", "argument") and not ("h = " in setup and "h" in read.replace("hasattr", "")):
        return None
    if scope != "global" and "globals()" in read:
        return None
    if scope in ("default", "argument") and after.startswith(("h = ", "h: ")):
        return None  # who calls has it then
    if scope == "global":
        names = ", ".join(sorted(set(_assigned(setup) + _assigned(after)))) or "_"
        body = f"{setup}\n{function.format('')}\ndef change():\n    global {names}\n" + _indented(after)
    elif scope == "closure":
        names = [n for n in _assigned(after) if n in _assigned(setup)]
        inner = (
            f"{setup}\n{function.format('')}\ndef change():\n"
            + (f"    nonlocal {', '.join(names)}\n" if names else "")
            + _indented(after)
        )
        body = f"def build():\n{_indented(inner)}\n    return f, change\nf, change = build()"
    else:
        body = f"{setup}\n{function.format(', h=h' if scope == 'default' else ', h')}\ndef change():\n{_indented(after)}"
    return HEAD + body + "\n" + f"extra = [{'h' if scope == 'argument' else ''}]\n"


def _assigned(text: str) -> list[str]:
    import ast

    found = []
    for node in ast.parse(text).body:
        targets = (
            node.targets
            if isinstance(node, ast.Assign)
            else [node.target]
            if isinstance(node, ast.AugAssign)
            else []
        )
        found += [
            n.id
            for t in targets
            for n in ast.walk(t)
            if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
        ]
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.append(node.name)
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found += [a.asname or a.name for a in node.names]
    return found


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.split("\n"))


def outcome(call: Callable[[], Any]) -> Any:
    try:
        result = call()
    except CompileError as error:
        return error
    except Exception as error:
        return type(error)
    result = result.data if isinstance(result, tg.Tensor) else result
    return np.array(result)


def history(text: str, backend: str | None) -> list[Any]:
    """What a few calls return, between which the state changes."""
    namespace: dict[str, Any] = {"__name__": "watched"}
    sine = np.sin
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            exec(builtins.compile(text, "<watched>", "exec", dont_inherit=True), namespace)
            function = namespace["f"] if backend is None else tg.compile(namespace["f"], backend=backend)
            x = np.array([1.0, 2.0])
            found = []
            for step in range(4):
                found.append(outcome(lambda: function(x, *namespace["extra"])))
                if step == 1:
                    error = outcome(namespace["change"])
                    if isinstance(error, type):
                        return [error]  # this value cannot be changed so
            return found
    finally:
        np.sin = sine
        sys.modules.pop("watched_settings", None)


def faults_of(text: str, backend: str) -> str:
    expected, got = history(text, None), history(text, backend)
    for step, (a, b) in enumerate(zip(expected, got, strict=False)):
        if isinstance(b, CompileError):
            return ""
        if isinstance(a, type) or isinstance(b, type):
            if a is not b and not (isinstance(a, type) and isinstance(b, type) and issubclass(b, a)):
                return f"call {step}: {b!r} in the place of {a!r}"
        elif a.dtype != b.dtype or a.shape != b.shape or a.tobytes() != b.tobytes():
            if (
                a.dtype == b.dtype
                and a.shape == b.shape
                and np.allclose(a, b, rtol=1e-12, atol=0)
                and np.array_equal(np.signbit(a.real), np.signbit(b.real))
            ):
                continue
            return f"call {step}: {b!r} in the place of {a!r}"
    return ""


#: How many of the values meet each change, where not all do: others each time.
SOME = 1


def cases(holder: str, scope: str, are_all: bool) -> dict[tuple[str, str], str]:
    make, read, changes = HOLDERS[holder]
    valued = re.search(r"\b[VW]\b", " ".join([make, read, *changes.values()]))
    found = {}
    for i, change in enumerate(changes):
        first = SOME * (len(SCOPES) * [*HOLDERS].index(holder) + SCOPES.index(scope) + i)
        kinds = [*VALUES.items()]
        some = kinds if are_all else [kinds[(first + j) % len(kinds)] for j in range(SOME)]
        for kind, pair in some if valued else [("", ("", ""))]:
            use = USES[1] if kind == "sign of zero" else USES[0]
            if text := text_of(holder, pair, change, scope, use):
                found[change, kind] = text
    return found


@some_or_all
@pytest.mark.parametrize("holder", HOLDERS)
def test_state_is_watched_or_refused(holder, are_all):
    scopes = SCOPES if are_all else SCOPES[[*HOLDERS].index(holder) % 2 :: 2]  # half of them, in turns
    table = {(scope, *case): text for scope in scopes for case, text in cases(holder, scope, are_all).items()}
    assert table
    faults = {case: found for case, text in table.items() if (found := faults_of(text, "numpy"))}
    assert not faults, (
        f"{len(faults)} of {len(table)}: "
        + "\n".join(f"{k}: {v}" for k, v in faults.items())
        + "\n"
        + table[next(iter(faults))]
    )


def test_an_operation_that_gets_another_rule_or_reads_another_setting():
    scale = {"by": 2.0}

    @tg.primitive(samples=[((2,),)])
    def scaled(x, /):
        return x * scale["by"]

    scaled.vjp(lambda g, y, x: g * scale["by"])
    step = tg.compile(lambda x: tg.grad(lambda v: np.sum(scaled(v)))(x))
    x = np.ones(2)
    np.testing.assert_array_equal(step(x), [2, 2])
    scale["by"] = 3.0
    np.testing.assert_array_equal(step(x), [3, 3])
    scaled.vjp(lambda g, y, x: g * 7)
    np.testing.assert_array_equal(step(x), [7, 7])
    value = tg.compile(lambda x: scaled(x))
    np.testing.assert_array_equal(value(x), [3, 3])
    scaled.forward = lambda x: x * 5
    np.testing.assert_array_equal(value(x), [5, 5])
