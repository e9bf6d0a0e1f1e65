"""The entry of a program: the conditions for a call to fit, and everything around the program itself.

All of it runs in every call; for a small network, it takes no longer than twenty NumPy calls. So it is
written out for the program at hand, like the program itself: see :meth:`Entry.text`. The text contains
nothing of the user's: objects, keys and names are bound to variables of the text.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np

from ..errors import CompileError
from ..graph import COUNTS
from ..tensor import Tensor
from ..trees import leaves, rebuild
from .program import Op
from .source.driver import Loader, loaded
from .source.text import Source
from .trace.step import Recorded, argument_names, is_numeric
from .trace.watch import Test
from .uncompiled import FINAL, Uncompiled

__all__ = ["MISSED", "Entry"]

#: Returned if a program does not fit a call.
MISSED = object()
#: The errors of a test if something no longer exists.
_GONE = (AttributeError, KeyError, IndexError, ValueError, TypeError)


class Entry:
    """One program, the arguments that it fits, and the objects for which it was made.

    Attributes
    ----------
    source : Source
    arrays : the arguments of ``prepare`` in the source
    program : the step that ``prepare`` returned
    call : callable
        ``call(args, kwargs)`` runs the program, or returns :data:`MISSED`.
    """

    def __init__(
        self,
        uncompiled: Uncompiled,
        recorded: Recorded,
        source: Source,
        load: Loader,
        args: Any,
        kwargs: Any,
    ) -> None:
        self.source = source
        self.arrays = {**{name: recorded.given[op] for name, op in source.given.items()}, **source.objects}
        self.program = loaded(load, source, self.arrays)
        self.traced = len(recorded.program.ops)
        for vector in recorded.vectors:
            vector.adopt()
        self._form, self._are_tensors = recorded.form, recorded.are_tensors
        self._is_by_layout = recorded.is_by_layout
        self._sources, self._writes, self._same = recorded.sources, recorded.writes, recorded.same
        self._found = [x for x in recorded.given.values() if isinstance(x, np.ndarray)]
        self._written = [recorded.given[store.target] for store in recorded.program.stores]
        self._tests, self._counted = recorded.tests()
        self._names: dict[str, Any] = {}
        self._known: dict[int, str] = {}
        for name, x in (("MISSED", MISSED), ("COUNTS", COUNTS), ("GONE", _GONE), ("entry", self)):
            self._names[name] = x
        self._names |= {"program": self.program, "type": type, "len": len, "map": map, "id": id}
        self._names |= {"FINAL": FINAL, "Exception": Exception, "uncompiled_after": uncompiled.after}
        self._names["uncompiled_words"] = uncompiled.raise_in_its_words
        # Objects are identified by their ids, so they must not vanish.
        self._given = [_kept(x) for x in leaves([args, kwargs])]
        self._signature = _Signature(args, kwargs)
        self.names = list(argument_names(uncompiled.function, args, kwargs))
        self.seen = COUNTS.changes
        exec(self.text(recorded, args, kwargs), self._names)
        self.call: Callable[[Any, Any], Any] = self._names["call"]

    def replace(self, program: Callable[..., Any]) -> None:
        """Make another function run instead of the program."""
        self.program = self._names["program"] = program

    # -- a call, written out -------------------------------------------------------------------------

    def text(self, recorded: Recorded, args: Any, kwargs: Any) -> str:
        """Write out a call."""
        vectors = recorded.vectors
        fits = _Arguments(self._name, self._same, self._is_by_layout)
        fits.call(args, kwargs)
        given = [fits.array(i) for i in self._sources]
        rates = {vector.lr.op: vector.group for vector in vectors}
        steps = {vector.step.op: vector.states for vector in vectors}
        for op in self.source.arguments:
            if op in rates:
                given.append(f"float({self._name(rates[op])}['lr'])")
            elif op in steps:
                given.append(f"{self._name(steps[op][0])}['step'] + 1")
        counts = []
        for vector in vectors:
            first, *others = map(self._name, vector.states)
            targets = "".join(f"{state}['step'] = " for state in (first, *others))
            counts.append(f"{targets}{first}['step'] + 1")
        results = ", ".join(f"r{i}" for i in range(len(self.source.program.results)))
        lines = [
            "def call(args, kwargs):",
            "    try:",
            f"        if not ({' and '.join(fits.tests)}):",
            "            return MISSED",
            "        if COUNTS.changes != entry.seen and not entry.is_unchanged():",
            "            return MISSED",
            f"        if not ({self._all(self._tests)}):",
            "            return MISSED",
            "    except GONE:",
            "        return MISSED",
            *(["    COUNTS.writes += 1"] if self.source.program.stores else []),
            *self._or_uncompiled(
                recorded,
                fits,
                [*self._care(fits), f"    {results + ' = ' if results else ''}program({', '.join(given)})"],
            ),
            *(f"    {count}" for count in counts),
            *self._returning(),
            "def is_unchanged():",
            "    try:",
            f"        return {self._all(self._counted)}",
            "    except GONE:",
            "        return False",
        ]
        return "\n".join(lines)

    def _all(self, tests: list[Test]) -> str:
        texts = (test.text.format(*map(self._name, test.objects)) for test in tests)
        return " and ".join(dict.fromkeys(texts)) or "True"

    def _care(self, fits: _Arguments) -> list[str]:
        """The checks before a program that writes into memory other than its own."""
        if self._writes:
            return ["    entry.take_care(args, kwargs)"]
        lines = []
        owners = {id(owner): owner for owner in map(_owner, self._written)}
        for i in self._sources:
            dtype = getattr(fits.leaves[i], "dtype", None)
            own = [x for x in owners.values() if dtype is not None and getattr(x, "dtype", dtype) == dtype]
            if own:
                array, names = fits.array(i), [self._name(owner) for owner in own]
                is_own = [f"{array} is {name}" for name in names] + [f"base is {name}" for name in names]
                lines += [
                    f"    base = {array}.base",
                    f"    if {' or '.join(is_own)}:",
                    "        entry.take_care(args, kwargs)",
                ]
        return lines

    def _or_uncompiled(self, recorded: Recorded, fits: _Arguments, lines: list[str]) -> list[str]:
        """Run the function itself if these lines end in an error: they have changed nothing but Generators.

        Those are restored, which costs a microsecond in every call. So this is only done if the error may come after
        something was written: otherwise, the program has drawn the same numbers as the function would have, and only
        the words of the error are asked for.
        """
        generators = [self._name(x) for x in recorded.given.values() if isinstance(x, np.random.Generator)]
        generators += [f"a{i}" for i in self._sources if isinstance(fits.leaves[i], np.random.Generator)]
        updates = sum(len(vector.stores) for vector in recorded.vectors)
        is_written = bool(recorded.writes) or len(recorded.program.stores) > updates
        may_raise = any(op.may_raise for op in recorded.program.ops)
        if generators and not may_raise:
            return lines
        saved = list(enumerate(generators if is_written else []))
        after = "uncompiled_after(error, args, kwargs)"
        if generators and not is_written:
            after = f"uncompiled_words(error, args, kwargs, [{', '.join(generators)}])"
        return [
            *(f"    state{i} = {rng}.bit_generator.state" for i, rng in saved),
            "    error = None",
            "    try:",
            *(f"    {line}" for line in lines),
            "    except FINAL:",
            "        raise",
            "    except Exception as raised:",
            "        error = raised",
            "    if error is not None:",
            *(f"        {rng}.bit_generator.state = state{i}" for i, rng in saved),
            f"        return {after}",
        ]

    def _returning(self) -> list[str]:
        """Turn the results of the program into those of the function: Tensors, without checks."""
        lines, texts, count = [], list[str](), 0
        for x, is_tensor in zip(leaves(self._form), self._are_tensors, strict=True):
            if not isinstance(x, Op):
                texts.append(self._name(x))
                continue
            texts.append(f"r{count}")
            if is_tensor:
                new, tensor, array = self._name(object.__new__), self._name(Tensor), self._name(np.asarray)
                texts[-1] = f"t{count}"
                lines += [
                    f"    t{count} = {new}({tensor})",
                    f"    t{count}._array = {array}(r{count})",
                    f"    t{count}._node = None",
                ]
            count += 1
        if self._writes:
            written = "".join(f"r{count + i}, " for i in range(len(self._writes)))
            lines.append(f"    entry.write(({written}), args, kwargs)")
        return [*lines, f"    return {self._tree(self._form, iter(texts))}"]

    def _tree(self, form: Any, texts: Iterator[str]) -> str:
        """Write out a tree with the form of another."""
        if form is None:
            return "None"
        if type(form) is dict:
            return f"{{{', '.join(f'{self._name(key)}: {self._tree(x, texts)}' for key, x in form.items())}}}"
        if type(form) in (list, tuple):
            parts = "".join(f"{self._tree(x, texts)}, " for x in form)
            return f"[{parts}]" if type(form) is list else f"({parts})"
        if isinstance(form, (dict, list, tuple)):  # of a subclass
            parts = "".join(f"{text}, " for text in islice(texts, sum(1 for _ in leaves(form))))
            return f"{self._name(rebuild)}({self._name(form)}, ({parts}))"
        return next(texts)

    def _name(self, x: Any) -> str:
        """Return the name by which the text refers to an object."""
        name = self._known.get(id(x))
        if name is None:
            name = self._known[id(x)] = f"x{len(self._names)}"
            self._names[name] = x
        return name

    # -- called by the text --------------------------------------------------------------------------

    def is_unchanged(self) -> bool:
        """Whether the modules and Tensors of this program are unchanged, although some have changed."""
        now = COUNTS.changes
        if not self._names["is_unchanged"]():
            return False
        self.seen = now
        return True

    def take_care(self, args: Any, kwargs: Any) -> None:
        """Raise an error if an array that is written into is also read under another name."""
        arrays = [x for x in leaves([args, kwargs]) if is_numeric(x) and not isinstance(x, np.generic)]
        arrays = list({id(x): x._array if isinstance(x, Tensor) else x for x in arrays}.values())
        given = list(leaves([args, kwargs]))
        written = [given[i] for i in self._writes]
        for x in written:
            if not x.flags.writeable:
                raise ValueError("assignment destination is read-only")
        pairs = [(x, y) for x in written for y in (*(a for a in arrays if a is not x), *self._found)]
        pairs += [(x, y) for x in self._written for y in arrays]
        for target, x in pairs:
            if np.may_share_memory(x, target):
                raise CompileError(
                    f"compile: {self.names_of(x, given)} shares memory with an array that the program writes into, "
                    "so the result would depend on the order of its lines; pass a copy"
                )

    def names_of(self, x: Any, given: list[Any]) -> str:
        """Name an array for a message."""
        name = next((n for n, y in zip(self.names, given, strict=True) if y is x), None)
        return f"the argument {name!r}" if name is not None else "an array that the function uses"

    def write(self, values: tuple[Any, ...], args: Any, kwargs: Any) -> None:
        """Write the program's new values into arguments."""
        given = list(leaves([args, kwargs]))
        for i, value in zip(self._writes, values, strict=True):
            np.copyto(given[i], value)

    # -- messages -------------------------------------------------------------------------------------

    def reason(self, args: Any, kwargs: Any) -> str:
        """Say why the program does not fit a call."""
        signature = _Signature(args, kwargs)
        if signature.form != self._signature.form:
            return "arguments with another form"
        for name, old, new in zip(self.names, self._signature.leaves, signature.leaves, strict=True):
            if old != new:
                return f"the argument {name!r}"
        for test in (*self._counted, *self._tests):
            try:
                holds = eval(test.text.format(*map(self._name, test.objects)), self._names)
            except _GONE:
                holds = False
            if not holds:
                return repr(test.what)
        return "which arguments are the same array, or their memory layout"

    def value(self, position: int) -> str | None:
        """Describe an argument briefly; None if that is not possible."""
        given = self._given
        if position >= len(given):
            return None
        x = given[position]
        if is_numeric(x):
            return str(x.shape)
        return repr(x) if type(x) in _BITS else f"a {type(x).__name__}"


class _Arguments:
    """The tests of arguments of any form; each leaf has a local name in the text."""

    def __init__(self, name: Callable[[Any], str], same: dict[int, Tensor], is_by_layout: bool) -> None:
        self._name, self._same, self._is_by_layout = name, same, is_by_layout
        self.tests: list[str] = []
        self.leaves: list[Any] = []

    def call(self, args: Any, kwargs: Any) -> None:
        """Test the arguments of a call."""
        self.tests.append(f"len(args) == {len(args)}")
        for i, x in enumerate(args):
            self.tree(f"args[{i}]", x)
        if kwargs:
            self.tree("kwargs", kwargs)
        else:
            self.tests.append("not kwargs")
        self._twins()

    def tree(self, text: str, x: Any) -> None:
        """Test a tree, which the text calls ``text``."""
        name = self._name
        if isinstance(x, (list, tuple)):
            here = self._local(text, f"c{len(self.tests)}", type(x))
            self.tests.append(f"len({here}) == {len(x)}")
            for i, part in enumerate(x):
                self.tree(f"{here}[{i}]", part)
        elif isinstance(x, dict):
            here = self._local(text, f"c{len(self.tests)}", type(x))
            if not x:
                self.tests.append(f"not {here}")
            elif all(type(key) is str for key in x):
                self.tests.append(f"{name(_all_text)}({here}) and [*{here}] == {name(list(x))}")
            else:
                self.tests.append(f"[*map({name(_described)}, {here})] == {name([*map(_described, x)])}")
            for key, part in x.items():
                # An equal key is as good as the same key.
                self.tree(f"{here}[{name(key)}]", part)
        elif x is None:
            self.tests.append(f"{text} is None")
        else:
            self._leaf(text, x)

    def _leaf(self, text: str, x: Any) -> None:
        name, i = self._name, len(self.leaves)
        self.leaves.append(x)
        if i in self._same:
            self.tests.append(f"(a{i} := {text}) is {name(x)}")
        elif is_numeric(x):
            here = self._local(text, f"a{i}", type(x))
            self.tests += [f"{here}.shape == {name(x.shape)}", f"{here}.dtype == {name(x.dtype)}"]
            if isinstance(x, Tensor):
                self.tests.append(f"({here}._node is None) is {x._node is None}")
            if self._is_by_layout:
                self.tests.append(
                    f"{self.array(i)}.strides == {name((x._array if isinstance(x, Tensor) else x).strides)}"
                )
        elif isinstance(x, np.random.Generator):
            self._local(text, f"a{i}", type(x))
        elif type(x) in (int, str, bool) or (type(x) is float and x == x != 0):
            self.tests.append(f"{self._local(text, f'a{i}', type(x))} == {name(x)}")
        else:
            self.tests.append(f"{name(_described)}({text}) == {name(_described(x))}")

    def _local(self, text: str, local: str, kind: type) -> str:
        self.tests.append(f"type({local} := {text}) is {self._name(kind)}")
        return local

    def _twins(self) -> None:
        """Test which arrays are the same object, if that is possible."""
        groups: dict[Any, list[int]] = {}
        for i, x in enumerate(self.leaves):
            if is_numeric(x) and not isinstance(x, np.generic) and i not in self._same:
                groups.setdefault(str(_described(x)), []).append(i)
        for group in groups.values():
            first: dict[int, int] = {}
            for i in group:
                if first.setdefault(id(self.leaves[i]), i) != i:
                    self.tests.append(f"a{i} is a{first[id(self.leaves[i])]}")
            texts = [f"a{i}" for i in first.values()]
            if len(texts) == 2:
                self.tests.append(f"{texts[0]} is not {texts[1]}")
            elif len(texts) > 2:
                self.tests.append(f"len({{*map(id, ({', '.join(texts)}))}}) == {len(texts)}")

    def array(self, i: int) -> str:
        """Return the text for the array of a leaf."""
        return f"a{i}._array" if isinstance(self.leaves[i], Tensor) else f"a{i}"


def _all_text(keys: Any) -> bool:
    return all(type(key) is str for key in keys)


class _Signature:
    """What must be the same in another call: the form, the kinds of arrays, and all other values."""

    def __init__(self, args: Any, kwargs: Any) -> None:
        given = list(leaves([args, kwargs]))
        self.form = _form(args), _form(kwargs)
        self.leaves = [_described(x) for x in given]


def _described(x: Any) -> Any:
    """What an argument must be in another call, expressed in plain Python values."""
    if is_numeric(x):
        kind = np.generic if isinstance(x, np.generic) else type(x)
        return kind, x.shape, x.dtype, isinstance(x, Tensor) and x._node is not None
    if isinstance(x, np.random.Generator):
        return np.random.Generator
    if isinstance(x, (slice, range)):
        return type(x), _described(x.start), _described(x.stop), _described(x.step)
    if isinstance(x, np.dtype):
        return np.dtype, x
    for kind, bits in _BITS.items():
        if isinstance(x, kind) and (type(x) is kind or not getattr(x, "__dict__", None)):
            return type(x), bits(x)
    return "object", id(x)


#: Numbers and strings, each with a function that distinguishes its values: not ``==``, for which 0.0 equals -0.0.
#: Values of a subclass are tested like their base class.
_BITS: dict[type, Callable[[Any], Any]] = {
    bool: int.__pos__,
    int: int.__pos__,
    float: lambda x: struct.pack("d", float.__pos__(x)),
    complex: lambda x: struct.pack("dd", complex.__pos__(x).real, complex.__pos__(x).imag),
    str: str.__str__,
    bytes: lambda x: bytes.__getitem__(x, slice(None)),
    type(None): lambda x: None,
}


def _form(tree: Any) -> Any:
    if isinstance(tree, dict):
        return type(tree), tuple((_described(key), _form(part)) for key, part in tree.items())
    if isinstance(tree, (list, tuple)):
        return type(tree), tuple(map(_form, tree))
    return tree is None


def _kept(x: Any) -> Any:
    """Return the part of an argument to keep: for an array, only its shape and dtype."""
    if not is_numeric(x):
        return x
    return np.lib.stride_tricks.as_strided(np.zeros(1, x.dtype), x.shape, (0,) * x.ndim)


def _owner(x: np.ndarray) -> Any:
    """Return the owner of an array's memory."""
    return x if x.base is None else x.base
