"""Write ``docs/numpy_functions.md``: what is covered of NumPy, from the registry and from trying."""

from __future__ import annotations

import importlib
import json
import re
import textwrap
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from . import peers, ufuncs
from .names import (
    DIFFERENTIABLE,
    METHOD_REASONS,
    NOT_COVERED,
    PLAIN,
    REASONS,
    UNTRACKED,
    ZERO,
    Function,
    functions,
    has_method,
    methods,
    missing_keywords,
)

PAGE = Path(__file__).resolve().parents[2] / "docs" / "numpy_functions.md"

#: Families whose title is not their name.
TITLES = {"fft": "FFT", "nan_reductions": "NaN reductions"}

#: Methods that act on the values only, or are Python's own; no gradient passes through them.
VALUES_ONLY = """
    __array__ __array_function__ __array_ufunc__ __bool__ __complex__ __contains__ __copy__ __deepcopy__ __float__
    __index__ __int__ __iter__ __len__ all any argmax argmin argpartition argsort data device dtype item itemsize
    nbytes ndim nonzero searchsorted shape size to_device tolist __eq__ __ne__ __lt__ __le__ __gt__ __ge__
    __and__ __or__ __xor__ __invert__ __rand__ __ror__ __rxor__ __floordiv__ __rfloordiv__ __ifloordiv__ round
    __lshift__ __rlshift__ __rshift__ __rrshift__
"""


def page() -> str:
    """The page, whole."""
    return "\n".join(lines()) + "\n"


def minor_version() -> str:
    """The version of NumPy whose names the page lists: ``2.4``."""
    return ".".join(np.__version__.split(".")[:2])


def lines() -> Iterator[str]:
    """The page, line by line."""
    every = functions()
    kinds = {
        kind: [f for f in every if f.kind == kind] for kind in (DIFFERENTIABLE, ZERO, PLAIN, NOT_COVERED)
    }
    families = defaultdict(list)
    for f in kinds[DIFFERENTIABLE]:
        families[f.family].append(f)
    yield "# NumPy's functions"
    yield ""
    yield wrapped(f"""
        This page says what each of NumPy {minor_version()}'s public functions does with a Tensor. It is written by
        `python -m tests.surface --write`, from the same registry that finds the operations when NumPy is called. A test
        fails if the page is out of date, or if NumPy has a function that is neither covered nor listed
        [below](#not-covered) with a reason.""")
    yield ""
    yield f"| | functions of NumPy {minor_version()} |"
    yield "| --- | ---: |"
    yield f"| [differentiable](#differentiable) | {len(kinds[DIFFERENTIABLE])} |"
    yield f"| [constant almost everywhere](#zero-gradient): the gradient is zero | {len(kinds[ZERO])} |"
    yield f"| [questions](#plain-answers), answered with plain values | {len(kinds[PLAIN])} |"
    yield f"| [not covered](#not-covered) | {len(kinds[NOT_COVERED])} |"
    yield ""
    yield wrapped("""
        Several names for the same function count once. All first and second derivatives are checked against finite
        differences, for real numbers and, where NumPy accepts them, for complex numbers. For gradients at kinks, ties
        and poles, see [the table of edge values](edge_values.md).""")
    yield ""
    yield "## Differentiable"
    yield ""
    yield wrapped("""
        These take NumPy's own arguments, except those that a table below names. Such an argument is an error; it is
        never ignored. `out=` takes a Tensor, which stands for the result afterwards. It does not take an array, because
        the gradient would be lost.""")
    for family in sorted(families):
        yield from family_section(family, families[family])
    yield ""
    yield "## Ufuncs"
    yield ""
    yield from ufunc_section()
    yield ""
    yield "## Methods"
    yield ""
    yield from method_section()
    yield ""
    yield "## Zero gradient"
    yield ""
    yield wrapped("""
        These are constant except for jumps: comparisons, roundings, indices. The result is an untracked Tensor: no
        gradient passes through, and none is missing.""")
    yield ""
    yield wrapped(names(kinds[ZERO]))
    yield ""
    yield "## Plain answers"
    yield ""
    yield wrapped(
        "These answer questions about shapes, dtypes, memory or text. The answer is NumPy's own, not a Tensor."
    )
    yield ""
    yield wrapped(names(kinds[PLAIN]))
    yield ""
    yield "These results are untracked although they depend on the input:"
    yield ""
    for reason, untracked in UNTRACKED.items():
        yield item(reason, ", ".join(f"`{name}`" for name in untracked))
    yield ""
    yield "## Other libraries"
    yield ""
    yield from peer_section()
    yield ""
    yield "## Not covered"
    yield ""
    yield wrapped("""
        Passing a tracked Tensor to one of these is an error that says so; no gradient is lost silently. The same holds
        for `np.r_[…]` and `np.c_[…]`, which are not functions: use `np.concatenate` instead.""")
    yield ""
    by_reason = defaultdict(list)
    for f in kinds[NOT_COVERED]:
        by_reason[f.reason].append(f)
    for reason in REASONS:
        if reason in by_reason:
            yield item(reason, names(by_reason[reason]))


def family_section(family: str, found: list[Function]) -> Iterator[str]:
    """A file of ``ops``: what it is for, its functions, and the arguments they lack."""
    module = importlib.import_module(f"tinygrad_mnist.ops.{family}")
    first_line = (module.__doc__ or "").partition("\n")[0]
    yield ""
    yield f"### {title_of(family)}"
    yield ""
    yield wrapped(first_line.replace("``", "`"))
    yield ""
    yield wrapped(names(found))
    lacking = {f.name: missing_keywords(f.function) for f in found}
    if any(lacking.values()):
        yield ""
        yield "| function | arguments not taken |"
        yield "| --- | --- |"
        for name, missing in lacking.items():
            if missing:
                yield f"| `{name}` | {', '.join(f'`{word}`' for word in missing)} |"


def title_of(family: str) -> str:
    """The heading of a family."""
    return TITLES.get(family, family.capitalize().replace("_", " "))


def ufunc_section() -> Iterator[str]:
    """Keywords and methods of ufuncs, found out by trying."""
    outcomes = ufuncs.outcomes()
    ways = {way: [] for way in ufuncs.BINARY}
    for name, found in outcomes.items():
        for way, outcome in found.items():
            if outcome == ufuncs.REFUSED:
                ways[way].append(name)
    yield wrapped(f"""
        The {len(outcomes)} differentiable ufuncs take these keywords and have these methods, wherever NumPy's own do.
        Every combination was tried, both the value and the gradient.""")
    yield ""
    yield "| | differentiable for |"
    yield "| --- | --- |"
    for way, refused in ways.items():
        but = f"all but {', '.join(f'`{name}`' for name in refused)}" if refused else "all"
        yield f"| `{way if '=' in way else f'np.ufunc.{way}'}` | {but} |"


def method_section() -> Iterator[str]:
    """ndarray's methods, attributes and operators."""
    there = [name for name in methods() if has_method(name)]
    through = [name for name in there if name not in VALUES_ONLY.split()]
    yield wrapped("Tensors have ndarray's methods, attributes and operators. Gradients pass through these:")
    yield ""
    yield wrapped(coded(through))
    yield ""
    yield "These act on the values, or answer questions about them:"
    yield ""
    yield wrapped(coded(set(there) - set(through)))
    yield ""
    yield "These are missing:"
    yield ""
    for reason, missing in METHOD_REASONS.items():
        listed = [name for name in missing.split() if name in methods() and name not in there]
        if listed:
            yield item(reason, coded(listed))


def peer_section() -> Iterator[str]:
    """How many functions other libraries differentiate, from what they answered when they were last asked."""
    recorded = json.loads(peers.COUNTS.read_text(encoding="utf-8"))
    libraries = {name: v for name, v in recorded["versions"].items() if name != "numpy"}
    yield wrapped("""
        This table counts the same functions in other libraries. Each was called with the samples of the function's
        tests, and with inputs that suit many functions. It counts if the right gradient came back for one of them. The
        other libraries differentiate nothing that this project does not.""")
    yield ""
    yield f"| | here | {' | '.join(f'{name} {v}' for name, v in libraries.items())} |"
    yield f"| --- |{' ---: |' * (1 + len(libraries))}"
    for family, counts in recorded["counts"].items():
        title = title_of(family)
        anchor = title.lower().replace(" ", "-")
        yield f"| [{title}](#{anchor}) | {' | '.join(map(str, counts))} |"
    totals = [sum(column) for column in zip(*recorded["counts"].values(), strict=True)]
    yield f"| **all** | {' | '.join(f'**{n}**' for n in totals)} |"


def coded(found: Iterable[str]) -> str:
    """Names of methods in alphabetical order, operators last."""
    in_order = sorted(found, key=lambda name: (name.startswith("__"), name.lower()))
    return ", ".join(f"`{name}`" for name in in_order)


def names(found: list[Function]) -> str:
    """Functions in alphabetical order, with their other names in brackets."""
    parts = []
    for f in sorted(found, key=lambda f: (f.name.count("."), f.name)):
        aliases = ", ".join(f"`{alias}`" for alias in f.aliases)
        parts.append(f"`{f.name}`" + (f" ({aliases})" if aliases else ""))
    return ", ".join(parts)


def item(title: str, text: str) -> str:
    """An item of a list."""
    return wrapped(f"- **{title}:** {text}", indent="  ")


def wrapped(text: str, indent: str = "") -> str:
    """Text in lines of up to 120 characters."""
    words = " ".join(text.split())
    words = re.sub(r"`[^`]*`", lambda code: code[0].replace(" ", "\0"), words)  # code is not broken
    lines = textwrap.fill(
        words, 120, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return lines.replace("\0", " ")
