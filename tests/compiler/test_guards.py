"""What a compiled function notices: each kind of change behind its back, and what is refused."""

from __future__ import annotations

import array
import builtins
import collections
import contextvars
import dataclasses
import enum
import functools
import operator
import os
import sys
import threading
import types
import weakref

import numpy as np
import pytest
from helpers import for_each

import tinygrad_mnist as tg
from tinygrad_mnist import nn

# -- state that changes between two calls --------------------------------------------------------------
#
# Each case returns a function of one array, and what changes its result behind the program's back.

CHANGES = {}
X = np.array([1.0, 2.0, 3.0])


def changes(case):
    """A kind of state, in the table of all."""
    CHANGES[case.__name__] = case
    return case


def setting(**values):
    return types.SimpleNamespace(**values)


@changes
def attribute_of_a_namespace():
    c = setting(scale=2.0)
    return lambda x: x * c.scale, lambda: setattr(c, "scale", 3.0)


@changes
def attribute_of_an_attribute():
    c = setting(model=setting(scale=2.0))
    return lambda x: x * c.model.scale, lambda: setattr(c.model, "scale", 3.0)


@changes
def attribute_from_an_equal_number():
    c = setting(scale=1)
    return lambda x: np.copysign(x, c.scale) * (1 if type(c.scale) is int else 2), lambda: setattr(
        c, "scale", 1.0
    )


@changes
def attribute_that_appears():
    c = setting()
    return lambda x: x * c.scale if hasattr(c, "scale") else x, lambda: setattr(c, "scale", 3.0)


@changes
def attribute_that_appears_where_it_is_tried():
    class Settings:
        pass

    c = Settings()

    def f(x):
        try:
            return x * c.scale
        except AttributeError:
            return x

    return f, lambda: setattr(c, "scale", 3.0)


@changes
def attribute_that_appears_on_the_class():
    class Settings:
        pass

    c = Settings()
    return lambda x: x * getattr(c, "scale", 1.0), lambda: setattr(Settings, "scale", 3.0)


@changes
def attribute_that_goes_away():
    class Settings:
        scale = 2.0

    c = Settings()
    c.scale = 5.0
    return lambda x: x * c.scale, lambda: delattr(c, "scale")


@changes
def attribute_of_a_computed_name():
    c = setting(scale_a=2.0, scale_b=2.0)
    return lambda x: x * getattr(c, "scale_" + "ab"[len(x) % 2]), lambda: setattr(c, "scale_b", 3.0)


@changes
def attributes_all_together():
    c = setting(a=2.0, b=3.0)
    return lambda x: x * sum(vars(c).values()), lambda: setattr(c, "c", 3.0)


@changes
def attribute_from_getattr_of_a_class():
    class Settings:
        values = types.MappingProxyType({"scale": 2.0})

        def __getattr__(self, name):
            return self.values[name]

    c = Settings()
    return lambda x: x * c.scale, lambda: setattr(c, "scale", 3.0)


@changes
def item_behind_getattr_of_a_class():
    class Settings:
        def __init__(self):
            self.values = {"scale": 2.0}

        def __getattr__(self, name):
            return self.values[name]

    c = Settings()
    return lambda x: x * c.scale, lambda: c.values.update(scale=3.0)


@changes
def dataclass_field():
    @dataclasses.dataclass
    class Settings:
        scale: float = 2.0

    c = Settings()
    return lambda x: x * c.scale, lambda: setattr(c, "scale", 3.0)


@changes
def dataclass_with_slots():
    @dataclasses.dataclass(slots=True)
    class Settings:
        scale: float = 2.0

    c = Settings()
    return lambda x: x * c.scale, lambda: setattr(c, "scale", 3.0)


@changes
def frozen_dataclass():
    @dataclasses.dataclass(frozen=True)
    class Settings:
        scale: float = 2.0

    c = Settings()
    return lambda x: x * c.scale, lambda: object.__setattr__(c, "scale", 3.0)


@changes
def dataclass_as_a_dict():
    @dataclasses.dataclass
    class Settings:
        scale: float = 2.0

    c = Settings()
    return lambda x: x * sum(dataclasses.asdict(c).values()), lambda: setattr(c, "scale", 3.0)


@changes
def class_attribute():
    class Settings:
        scale = 2.0

    return lambda x: x * Settings.scale, lambda: setattr(Settings, "scale", 3.0)


@changes
def class_attribute_of_a_base():
    class Base:
        scale = 2.0

    class Settings(Base):
        pass

    return lambda x: x * Settings.scale, lambda: setattr(Settings, "scale", 3.0)


@changes
def class_attribute_of_an_instance():
    class Settings:
        scale = 2.0

    c = Settings()
    return lambda x: x * c.scale, lambda: setattr(Settings, "scale", 3.0)


@changes
def class_attribute_hidden_by_an_instance():
    class Settings:
        scale = 2.0

    c = Settings()
    return lambda x: x * c.scale, lambda: setattr(c, "scale", 3.0)


@changes
def another_class():
    class One:
        def scale(self):
            return 2.0

    class Two:
        def scale(self):
            return 3.0

    c = One()
    return lambda x: x * c.scale(), lambda: setattr(c, "__class__", Two)


@changes
def another_dict():
    class Settings:
        pass

    c = Settings()
    c.scale = 2.0
    return lambda x: x * c.scale, lambda: setattr(c, "__dict__", {"scale": 3.0})


@changes
def property_and_what_it_reads():
    class Settings:
        _scale = 2.0

        @property
        def scale(self):
            return self._scale

    c = Settings()
    return lambda x: x * c.scale, lambda: setattr(c, "_scale", 3.0)


@changes
def property_itself():
    class Settings:
        scale = property(lambda self: 2.0)

    c = Settings()
    return lambda x: x * c.scale, lambda: setattr(Settings, "scale", property(lambda self: 3.0))


@changes
def descriptor_and_what_it_reads():
    class Scale:
        value = 2.0

        def __get__(self, owner, kind):
            return self.value

    class Settings:
        scale = Scale()

    c = Settings()
    return lambda x: x * c.scale, lambda: setattr(vars(Settings)["scale"], "value", 3.0)


@changes
def method_of_a_class():
    class Settings:
        def scale(self):
            return 2.0

    c = Settings()
    return lambda x: x * c.scale(), lambda: setattr(Settings, "scale", lambda self: 3.0)


@changes
def method_hidden_by_an_instance():
    class Settings:
        def scale(self):
            return 2.0

    c = Settings()
    return lambda x: x * c.scale(), lambda: setattr(c, "scale", lambda: 3.0)


@changes
def static_and_class_methods():
    class Settings:
        value = 2.0

        @classmethod
        def scale(cls):
            return cls.value

        @staticmethod
        def more():
            return 1.0

    c = Settings()
    return lambda x: x * c.scale() * c.more(), lambda: setattr(Settings, "more", staticmethod(lambda: 2.0))


@changes
def what_a_class_method_reads():
    class Settings:
        value = 2.0

        @classmethod
        def scale(cls):
            return cls.value

    return lambda x: x * Settings.scale(), lambda: setattr(Settings, "value", 3.0)


@changes
def what_super_reads():
    class Base:
        def scale(self):
            return self.value

    class Settings(Base):
        value = 2.0

        def scale(self):
            return super().scale() + 1

    c = Settings()
    return lambda x: x * c.scale(), lambda: setattr(Base, "scale", lambda self: 5.0)


@changes
def call_of_an_object():
    class Scaled:
        def __call__(self, x):
            return x * 2.0

    return Scaled(), lambda: setattr(Scaled, "__call__", lambda self, x: x * 3.0)


@changes
def attribute_of_a_callable_object():
    class Scaled:
        def __init__(self):
            self.scale = 2.0

        def __call__(self, x):
            return x * self.scale

    f = Scaled()
    return f, lambda: setattr(f, "scale", 3.0)


@changes
def attribute_of_self():
    class Scaled:
        def __init__(self):
            self.scale = 2.0

        def run(self, x):
            return x * self.scale

    f = Scaled()
    return f.run, lambda: setattr(f, "scale", 3.0)


@changes
def operators_of_an_object():
    class Scale:
        value = 2.0

        def __add__(self, other):
            return other + self.value

    c = Scale()
    return lambda x: x * (c + 1), lambda: setattr(c, "value", 3.0)


@changes
def items_of_an_object():
    class Table:
        def __init__(self):
            self._rows = [1.0, 2.0]

        def __getitem__(self, i):
            return self._rows[i]

        def __len__(self):
            return len(self._rows)

    c = Table()
    return lambda x: x * c[len(c) - 1], lambda: c._rows.append(3.0)


@changes
def class_made_in_the_function():
    class Scale:
        def __init__(self):
            self.value = 2.0

    return lambda x: x * Scale().value, lambda: setattr(
        Scale, "__init__", lambda self: setattr(self, "value", 3.0)
    )


@changes
def value_of_an_enum():
    class Mode(enum.Enum):
        LOW = 2.0
        HIGH = 3.0

    c = setting(mode=Mode.LOW)
    return lambda x: x * c.mode.value, lambda: setattr(c, "mode", Mode.HIGH)


@changes
def list_in_an_enum():
    Mode = enum.Enum("Mode", {"LOW": [2.0]})
    return lambda x: x * Mode.LOW.value[0], lambda: Mode.LOW.value.append(Mode.LOW.value.__setitem__(0, 3.0))


@changes
def keyword_default():
    def f(x, *, scale=2.0):
        return x * scale

    return f, lambda: f.__kwdefaults__.update(scale=3.0)


@changes
def keyword_defaults():
    def f(x, *, scale=2.0):
        return x * scale

    return f, lambda: setattr(f, "__kwdefaults__", {"scale": 3.0})


@changes
def positional_default():
    def f(x, scale=2.0):
        return x * scale

    return f, lambda: setattr(f, "__defaults__", (3.0,))


@changes
def mutable_default():
    def f(x, scales=[2.0]):  # noqa: B006
        return x * sum(scales)

    return f, lambda: f.__defaults__[0].append(3.0)


@changes
def code_of_a_function():
    def f(x):
        return x * 2.0

    def g(x):
        return x * 3.0

    return f, lambda: setattr(f, "__code__", g.__code__)


@changes
def attribute_of_a_function():
    def f(x):
        return x * f.scale

    f.scale = 2.0
    return f, lambda: setattr(f, "scale", 3.0)


def in_namespace(text, **names):
    namespace = {"np": np, **names}
    exec(builtins.compile(text, "<a user's file>", "exec"), namespace)
    return namespace


@changes
def global_variable():
    g = in_namespace("scale = 2.0\ndef f(x): return x * scale")
    return g["f"], lambda: g.update(scale=3.0)


@changes
def global_of_a_called_function():
    g = in_namespace("scale = 2.0\ndef by(x): return x * scale\ndef f(x): return by(x)")
    return g["f"], lambda: g.update(scale=3.0)


@changes
def global_of_an_inner_function():
    g = in_namespace("scale = 2.0\ndef f(x):\n  def by(x): return x * scale\n  return by(x)")
    return g["f"], lambda: g.update(scale=3.0)


@changes
def called_function():
    g = in_namespace("def by(x): return x * 2\ndef f(x): return by(x)")
    return g["f"], lambda: g.update(by=lambda x: x * 3)


@changes
def built_in_hidden_by_a_global():
    g = in_namespace("def f(x): return x * sum([1.0, 2.0])")
    return g["f"], lambda: g.update(sum=lambda parts: 5.0)


@changes
def global_no_more_hides_a_built_in():
    g = in_namespace("sum = lambda parts: 5.0\ndef f(x): return x * sum([1.0, 2.0])")
    return g["f"], lambda: g.pop("sum")


@changes
def decorated_function():
    def doubled(g):
        @functools.wraps(g)
        def wrapper(x):
            return 2 * g(x)

        return wrapper

    c = setting(scale=2.0)

    @doubled
    def f(x):
        return x * c.scale

    return f, lambda: setattr(c, "scale", 3.0)


@changes
def variable_around():
    scale = 2.0

    def change():
        nonlocal scale
        scale = 3.0

    return lambda x: x * scale, change


@changes
def variable_that_is_set_later():
    def f(x):
        try:
            return x * scale
        except NameError:
            return x

    def change():
        nonlocal scale
        scale = 3.0

    if len(X) == 0:
        scale = 0.0
    return f, change


@changes
def partial_keyword():
    def f(x, scale):
        return x * scale

    g = functools.partial(f, scale=2.0)
    return g, lambda: g.keywords.update(scale=3.0)


@changes
def list_in_a_partial():
    scales = [2.0]
    return functools.partial(lambda s, x: x * sum(s), scales), lambda: scales.append(3.0)


@changes
def list_item():
    c = [1.0, 2.0]
    return lambda x: x * c[1], lambda: c.__setitem__(1, 3.0)


@changes
def list_that_grows():
    c = [1.0, 2.0]
    return lambda x: x * sum(c), lambda: c.append(3.0)


@changes
def long_list():
    c = [1.0] * 200
    return lambda x: x * sum(c), lambda: c.__setitem__(150, 3.0)


@changes
def list_in_a_list():
    c = [[1.0], ([2.0],)]
    return lambda x: x * c[1][0][0], lambda: c[1][0].__setitem__(0, 3.0)


@changes
def list_of_functions():
    c = [np.sin]
    return lambda x: c[-1](x), lambda: c.append(np.cos)


@changes
def dict_item():
    c = {"scale": 2.0}
    return lambda x: x * c["scale"], lambda: c.update(scale=3.0)


@changes
def dict_that_grows():
    c = {"a": 2.0}
    return lambda x: x * c.get("b", 1.0), lambda: c.update(b=3.0)


@changes
def dict_that_shrinks():
    c = {"a": 2.0, "b": 3.0}
    return lambda x: x * sum(c.values()), lambda: c.pop("b")


@changes
def order_of_a_dict():
    c = {"a": 2.0, "b": 3.0}
    return lambda x: x * next(iter(c.values())), lambda: c.update(a=c.pop("a"))


@changes
def key_that_is_no_name():
    c = {"a b']; boom": 2.0, 3: 4.0, ("x", 1): 5.0, None: 1.0}
    return lambda x: x * sum(c.values()), lambda: c.__setitem__(("x", 1), 6.0)


@changes
def ordered_dict():
    c = collections.OrderedDict(a=2.0, b=3.0)
    return lambda x: x * next(iter(c.values())), lambda: c.move_to_end("a")


@changes
def default_dict():
    c = collections.defaultdict(float, a=2.0)
    return lambda x: x * c["a"], lambda: c.update(a=3.0)


@changes
def counter():
    c = collections.Counter("aab")
    return lambda x: x * c["a"], lambda: c.update("a")


@changes
def set_that_grows():
    c = {1.0, 2.0}
    return lambda x: x * sum(c), lambda: c.add(3.0)


@changes
def deque_that_turns():
    c = collections.deque([1.0, 2.0])
    return lambda x: x * c[0], lambda: c.rotate()


@changes
def list_in_a_named_tuple():
    c = collections.namedtuple("C", "scales")([2.0])
    return lambda x: x * c.scales[0], lambda: c.scales.__setitem__(0, 3.0)


@changes
def mapping_proxy():
    inner = {"scale": 2.0}
    c = types.MappingProxyType(inner)
    return lambda x: x * c["scale"], lambda: inner.update(scale=3.0)


@changes
def user_dict():
    c = collections.UserDict(scale=2.0)
    return lambda x: x * c["scale"], lambda: c.update(scale=3.0)


@changes
def chain_map():
    c = collections.ChainMap({}, {"scale": 2.0})
    return lambda x: x * c["scale"], lambda: c.maps[0].update(scale=3.0)


@changes
def subclass_of_dict():
    class Settings(dict):
        def __getattr__(self, name):
            return self[name]

    c = Settings(scale=2.0)
    return lambda x: x * c.scale, lambda: c.update(scale=3.0)


@changes
def environment():
    os.environ["SCALE_OF_A_TEST"] = "2"
    return (
        lambda x: x * float(os.environ["SCALE_OF_A_TEST"]),
        lambda: os.environ.update(SCALE_OF_A_TEST="3"),
    )


def a_module(name="settings_of_a_test", **values):
    module = types.ModuleType(name)
    vars(module).update(values)
    return module


@changes
def setting_of_a_module():
    module = a_module(scale=2.0)
    return in_namespace("def f(x): return x * m.scale", m=module)["f"], lambda: setattr(module, "scale", 3.0)


@changes
def setting_of_a_module_within_a_module():
    module = a_module(inner=a_module("inner_of_a_test", scale=2.0))
    return lambda x: x * module.inner.scale, lambda: setattr(module.inner, "scale", 3.0)


@changes
def setting_of_a_module_by_a_computed_name():
    module = a_module(scale_3=2.0)
    return lambda x: x * getattr(module, f"scale_{len(x)}"), lambda: setattr(module, "scale_3", 3.0)


@changes
def function_of_a_module():
    module = a_module()
    exec("scale = 2.0\ndef by(x): return x * scale", vars(module))
    return lambda x: module.by(x), lambda: setattr(module, "scale", 3.0)


@changes
def import_within_the_function():
    module = sys.modules["settings_of_a_test"] = a_module(scale=2.0)

    def f(x):
        from settings_of_a_test import scale

        return x * scale

    return f, lambda: setattr(module, "scale", 3.0)


@changes
def bound_method_of_a_dict():
    table = {"a": 2.0}
    get = table.get
    return lambda x: x * get("a"), lambda: table.update(a=3.0)


@changes
def attribute_getter():
    c = setting(scale=2.0)
    get = operator.attrgetter("scale")
    return lambda x: x * get(c), lambda: setattr(c, "scale", 3.0)


@changes
def weak_reference():
    class Settings:
        scale = 2.0

    c = Settings()
    ref = weakref.ref(c)
    return lambda x: x * ref().scale, lambda: setattr(c, "scale", 3.0)


@changes
def context_variable():
    scale = contextvars.ContextVar("scale", default=2.0)
    return lambda x: x * scale.get(), lambda: scale.set(3.0)


@changes
def thread_local():
    c = threading.local()
    c.scale = 2.0
    return lambda x: x * c.scale, lambda: setattr(c, "scale", 3.0)


@changes
def bytes_that_change():
    c = bytearray(b"\2")
    return lambda x: x * c[0], lambda: c.__setitem__(0, 3)


@changes
def array_of_python():
    c = array.array("d", [2.0])
    return lambda x: x * c[0], lambda: c.__setitem__(0, 3.0)


def changed_item(a, value=3):
    a[-1] = value


@changes
def array_of_integers():
    a = np.array([2, 1])
    return lambda x: x * a[1:], lambda: changed_item(a)


@changes
def integers_that_say_how_often():
    a = np.array([2, 1])

    def f(x):
        for _ in range(int(a[-1])):
            x = x * 2
        return x

    return f, lambda: changed_item(a)


@changes
def integers_that_are_walked_over():
    a, table = np.array([0, 1]), [1.0, 2.0, 3.0, 4.0]
    return lambda x: sum(x * table[i] for i in a), lambda: changed_item(a)


@changes
def integers_that_index_a_plain_array():
    a, table = np.array([0, 1]), (np.arange(5.0),)
    return lambda x: x[:2] * np.array([5.0, 6.0, 7.0, 8.0])[a] * table[0][a], lambda: changed_item(a)


@changes
def mask():
    a = np.array([True, False, False])
    return lambda x: np.mean(x[a]), lambda: changed_item(a, True)


@changes
def array_in_a_tuple():
    a = (np.array([2.0]),)
    return lambda x: x * a[0], lambda: changed_item(a[0])


@changes
def integers_in_a_tuple():
    a = (np.array([2]),)
    return lambda x: x * a[0], lambda: changed_item(a[0])


@changes
def array_in_a_default():
    a = np.array([2.0])

    def f(x, scale=a):
        return x * scale

    return f, lambda: changed_item(a)


@changes
def array_in_a_partial():
    a = np.array([2.0])
    return functools.partial(lambda scale, x: x * scale, a), lambda: changed_item(a)


@changes
def array_in_a_partial_that_is_called():
    a = np.array([2.0])
    by = functools.partial(lambda scale, x: x * scale, a)
    return lambda x: by(x), lambda: changed_item(a)


@changes
def array_in_a_frozen_dataclass():
    @dataclasses.dataclass(frozen=True)
    class Settings:
        scale: np.ndarray

    c = Settings(np.array([2.0]))
    return lambda x: x * c.scale, lambda: changed_item(c.scale)


@changes
def array_in_slots():
    class Settings:
        __slots__ = ("scale",)

    c = Settings()
    c.scale = np.array([2.0])
    return lambda x: x * c.scale, lambda: setattr(c, "scale", np.array([3.0]))


@changes
def array_in_a_class():
    class Settings:
        scale = np.array([2.0])

    return lambda x: x * Settings.scale, lambda: changed_item(Settings.scale)


@changes
def array_in_a_frozen_mapping():
    c = types.MappingProxyType({"scale": np.array([2.0])})
    return lambda x: x * c["scale"], lambda: changed_item(c["scale"])


@changes
def array_with_another_shape():
    a = np.array([[True], [False], [True]])
    return lambda x: np.sum(x * a), lambda: setattr(a, "shape", (3,))


@changes
def array_of_objects():
    a = np.array([2.0, "text"], object)
    return lambda x: x * a[0], lambda: a.__setitem__(0, 3.0)


@changes
def array_behind_two_names():
    a = np.array([2.0])
    c = {"one": a, "two": a}
    return lambda x: x * c["one"] * c["two"], lambda: changed_item(a)


@changes
def array_that_is_replaced():
    c = {"scale": np.array([2.0])}
    return lambda x: x * c["scale"], lambda: c.update(scale=np.array([3.0]))


@changes
def bound_method_of_an_array():
    a = np.array([2.0, 5.0])
    take = a.dot
    return lambda x: x * take([1.0, 1.0]), lambda: changed_item(a)


@changes
def minus_zero():
    c = setting(scale=0.0)
    return lambda x: np.copysign(x, c.scale), lambda: setattr(c, "scale", -0.0)


@changes
def shape_of_an_array():
    a = np.array([2.0, 3.0, 4.0])
    return lambda x: np.sum(x * a), lambda: setattr(a, "shape", (3, 1))


@changes
def tensor_of_integers():
    t = tg.tensor([2, 1, 2])
    return lambda x: (x * [5.0, 6.0, 7.0][int(t.data[1])], x * t)[1], lambda: t.__setitem__(1, 2)


@changes
def tensor_that_is_a_mask():
    t = tg.tensor([True, False, False])
    return lambda x: np.mean(tg.tensor(x)[t]), lambda: t.__setitem__(1, True)


@changes
def computed_tensor():
    t = tg.tensor([2.0], requires_grad=True) * 3

    def change():
        nonlocal t
        t = t + 1

    return lambda x: t.detach() * x, change


@changes
def function_of_numpy():
    module = a_module("numpy_of_a_test", sin=np.sin)
    return lambda x: module.sin(x), lambda: setattr(module, "sin", np.cos)


@changes
def function_of_this_package():
    module = tg.nn.functional
    return lambda x: module.relu(x), lambda: setattr(module, "relu", np.cos)


@changes
def module_that_computes_attributes():
    module = a_module()
    exec("scales = {'scale': 2.0}\ndef __getattr__(name): return scales[name]", vars(module))
    return lambda x: x * module.scale, lambda: module.scales.update(scale=3.0)


@changes
def attribute_of_a_metaclass():
    class Kind(type):
        scales = [2.0]  # noqa: RUF012

        @property
        def scale(cls):
            return cls.scales[0]

    class Settings(metaclass=Kind):
        pass

    return lambda x: x * Settings.scale, lambda: Kind.scales.__setitem__(0, 3.0)


@changes
def class_that_looks_everything_up():
    class Settings:
        def __init__(self):
            self.scale = 2.0

        def __getattribute__(self, name):
            value = object.__getattribute__(self, name)
            return value * 2.0 if name == "scale" else value

    c = Settings()
    return lambda x: x * c.scale, lambda: setattr(c, "scale", 3.0)


@changes
def list_that_lies():
    class Scales(list):
        def __getitem__(self, i):
            return super().__getitem__(i) + 1

        def __len__(self):
            return 7

    c = Scales([2.0])
    return lambda x: x * c[0], lambda: c.append(c.pop() + 1)


@changes
def partial_that_is_set():
    f = functools.partial(lambda scale, x: x * scale, 2.0)
    return f, lambda: f.__setstate__((f.func, (3.0,), {}, {}))


@changes
def environment_by_a_function():
    os.environ["SCALE_OF_A_TEST"] = "2"
    return lambda x: x * float(os.getenv("SCALE_OF_A_TEST")), lambda: os.environ.update(SCALE_OF_A_TEST="3")


# Layers.


class Scaled(nn.Module):
    factor = 2.0

    def __init__(self):
        self.scale = 2.0
        self.parts = [nn.Tanh()]

    def forward(self, x):
        for part in self.parts:
            x = part(x)
        return x * self.scale * self.factor


def layer(cls=Scaled):
    kind = type("Layer", (cls,), {})
    return kind()


@changes
def setting_of_a_layer():
    m = layer()
    return m, lambda: setattr(m, "scale", 3.0)


@changes
def setting_of_a_layer_through_its_dict():
    m = layer()
    return m, lambda: vars(m).update(scale=3.0)


@changes
def forward_of_an_instance_reads_a_setting():
    m, c = layer(), setting(scale=2.0)
    m.forward = lambda x: x * c.scale
    return m, lambda: setattr(c, "scale", 3.0)


@changes
def class_attribute_of_a_layer():
    m = layer()
    return m, lambda: setattr(type(m), "factor", 3.0)


@changes
def forward_of_a_class():
    m = layer()
    return m, lambda: setattr(type(m), "forward", lambda self, x: x * 9)


@changes
def forward_of_an_instance():
    m = layer()
    return m, lambda: setattr(m, "forward", lambda x: x * 9)


@changes
def forward_of_a_layer_of_ours():
    class Tanh(nn.Tanh):
        pass

    m = Tanh()
    return lambda x: m(x), lambda: setattr(Tanh, "forward", lambda self, x: x * 9)


@changes
def global_in_forward():
    g = in_namespace(
        "scale = 2.0\nclass M(Module):\n  def forward(self, x): return x * scale", Module=nn.Module
    )
    return g["M"](), lambda: g.update(scale=3.0)


@changes
def list_of_layers():
    m = layer()
    return m, lambda: m.parts.append(nn.ReLU()) or m.parts.append(nn.Tanh())


@changes
def attribute_of_a_mixin():
    class Mixin:
        bonus = 2.0

    class Layer(Mixin, nn.Module):
        def forward(self, x):
            return x * self.bonus

    return Layer(), lambda: setattr(Mixin, "bonus", 3.0)


@changes
def layers_of_computed_names():
    class Layer(nn.Module):
        def __init__(self):
            self.layer_0, self.layer_1 = setting(scale=1.0), setting(scale=2.0)

        def forward(self, x):
            return x * getattr(self, f"layer_{len(x) % 2}").scale

    m = Layer()
    return m, lambda: setattr(m.layer_1, "scale", 3.0)


@changes
def method_of_a_layer():
    class Layer(nn.Module):
        def forward(self, x):
            return self.by(x)

        def by(self, x):
            return x * 2.0

    m = Layer()
    return m, lambda: setattr(Layer, "by", lambda self, x: x * 3.0)


@changes
def buffer_of_integers():
    m = nn.Module()
    m.register_buffer("count", np.array(2))
    m.forward = lambda x: x * m.count
    return m, lambda: setattr(m, "count", np.array(3))


@changes
def hook_that_is_registered():
    w = tg.tensor([2.0], requires_grad=True)
    return lambda x: x * slope(w), lambda: w.register_hook(lambda g: g * 10)


@changes
def hook_that_is_removed():
    w = tg.tensor([2.0], requires_grad=True)
    remove = w.register_hook(lambda g: g * 10)
    return lambda x: x * slope(w), remove


@changes
def what_a_hook_reads():
    w, c = tg.tensor([2.0], requires_grad=True), setting(scale=2.0)
    w.register_hook(lambda g: g * c.scale)
    return lambda x: x * slope(w), lambda: setattr(c, "scale", 3.0)


def slope(w):
    (found,) = tg.graph.sweep({np.sum(w * w).node: np.ones(())}).values()
    return found


@for_each("name", CHANGES)
def test_a_change_is_noticed(name):
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("SCALE_OF_A_TEST", "2")
        monkeypatch.setattr(tg.nn.functional, "relu", tg.nn.functional.relu)  # which one case replaces
        assert_a_change_is_noticed(name)


def assert_a_change_is_noticed(name):
    function, change = CHANGES[name]()
    f = tg.compile(function)
    before = np.asarray(function(X))
    np.testing.assert_array_equal(f(X), before)
    np.testing.assert_array_equal(f(X), before)
    change()
    expected = np.asarray(function(X))
    changed = expected.shape != before.shape or not np.array_equal(expected, before)
    assert changed or np.any(np.signbit(expected) != np.signbit(before)), "the case has to change something"
    got = np.asarray(f(X))
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(np.signbit(got), np.signbit(expected))


@for_each("name", CHANGES)
def test_what_does_not_change_needs_one_program(name):
    function, change = CHANGES[name]()
    f = tg.compile(function)
    for _ in range(3):
        f(X)
    del change  # it may hold what a weak reference refers to
    assert len(f._entries) == 1
