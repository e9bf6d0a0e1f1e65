"""What autograd and MyGrad differentiate of NumPy, found out by calling them.

A function counts for a library if it returned the right gradient (finite differences decide) for at least one
of the inputs tried: the samples the function was declared with here, and some that fit many functions. What
came back wrong for all of them is listed apart. Needs the extra ``bench``.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from .checks import combination
from .names import DIFFERENTIABLE, Function, functions, missing_methods
from .probing import REFUSED, RIGHT, WRONG, Library, Ours, answers, is_harmless

OURS = "tinygrad_mnist"
#: How many functions each library differentiates, kept so that the page can be made without them.
COUNTS = Path(__file__).with_name("peer_counts.json")


class Autograd(Library):
    """HIPS autograd: the functions of ``autograd.numpy``, which wraps all of NumPy's."""

    def __init__(self) -> None:
        import autograd.numpy
        from autograd.numpy.numpy_boxes import ArrayBox

        self.numpy, self.array = autograd.numpy, ArrayBox

    def versions(self, f: Function) -> Iterator[Callable[..., Any]]:
        for name in (f.name, *f.aliases):
            found = self.numpy
            for part in name.split(".")[1:]:
                found = getattr(found, part, None)
            if found is not None and found is not f.function:
                yield found

    def gradients(self, call: Callable[..., Any], arrays: list[np.ndarray]) -> list[Any]:
        from autograd import grad

        gradient = grad(lambda *x: combination(call(*x), xp=self.numpy), tuple(range(len(arrays))))
        return [np.conjugate(g) for g in gradient(*arrays)]  # its convention is the conjugate of ours


class MyGrad(Library):
    """MyGrad: NumPy's functions on its tensors, and its own of the same names."""

    def __init__(self) -> None:
        import mygrad

        self.mygrad, self.array = mygrad, mygrad.Tensor

    def versions(self, f: Function) -> Iterator[Callable[..., Any]]:
        yield f.function
        namespaces = {"np": self.mygrad, "np.linalg": self.mygrad.linalg, "np.lib.stride_tricks": self.mygrad}
        for name in (f.name, *f.aliases):
            namespace, _, own = name.rpartition(".")
            if hasattr(namespaces.get(namespace), own):
                yield getattr(namespaces[namespace], own)

    def gradients(self, call: Callable[..., Any], arrays: list[np.ndarray]) -> list[Any]:
        leaves = [self.mygrad.tensor(x) for x in arrays]
        combination(call(*leaves), xp=self.mygrad).backward()
        return [leaf.grad for leaf in leaves]


PEERS: dict[str, Callable[[], Library]] = {"autograd": Autograd, "mygrad": MyGrad}


def installed() -> list[str]:
    """The peers that can be imported here."""
    return [name for name in PEERS if importlib.util.find_spec(name)]


def verdicts() -> dict[str, dict[str, str]]:
    """What each library makes of each function: ``{library: {function: verdict}}``."""
    libraries = {OURS: Ours()} | {name: PEERS[name]() for name in installed()}
    return {
        name: {f.name: verdict(library, f) for f in functions() if is_harmless(f)}
        for name, library in libraries.items()
    }


def verdict(library: Library, f: Function) -> str:
    """The best that a library made of a function."""
    found = {answer for _, answer in answers(library, f)}
    return RIGHT if RIGHT in found else WRONG if WRONG in found else REFUSED


def behind(found: dict[str, dict[str, str]]) -> dict[str, list[str]]:
    """For each peer the functions it differentiates, and the methods its arrays have, that we lack."""
    lacking = {}
    for name in installed():
        array = PEERS[name]().array
        lacking[name] = [f for f, v in found[name].items() if v != REFUSED and found[OURS][f] != RIGHT]
        lacking[name] += [f"ndarray.{method}" for method in missing_methods() if hasattr(array, method)]
    return lacking


def counts(found: dict[str, dict[str, str]]) -> dict[str, list[int]]:
    """How many functions of each family each library differentiates."""
    families: dict[str, list[str]] = {}
    for f in functions():
        if f.kind == DIFFERENTIABLE and is_harmless(f):
            families.setdefault(f.family, []).append(f.name)
    return {
        family: [sum(table[name] == RIGHT for name in names) for table in found.values()]
        for family, names in sorted(families.items())
    }


def record() -> dict[str, Any]:
    """What ``peer_counts.json`` holds."""
    return {"versions": versions(), "counts": counts(verdicts())}


def versions() -> dict[str, str]:
    """Which versions the counts hold for."""
    return {name: version(name) for name in ("numpy", *installed())}


def report() -> Iterator[str]:
    """Say what is differentiated, by family, and what peers differentiate and we do not."""
    found = verdicts()
    table = counts(found)
    table["all"] = [sum(column) for column in zip(*table.values(), strict=True)]
    yield "NumPy functions differentiated, by family (probed by calling)"
    yield " " * 18 + "".join(f"{name:>16}" for name in found)
    for family, numbers in table.items():
        yield f"{family:18}" + "".join(f"{n:16}" for n in numbers)
    for name, answered in found.items():
        wrong = [f for f, verdict in answered.items() if verdict == WRONG]
        if wrong:
            yield f"\n{name} answers, but wrongly: {', '.join(wrong)}"
    for name, missing in behind(found).items():
        yield f"\n{name} differentiates and we do not: {', '.join(missing) or 'nothing'}"
    for name in PEERS:
        if name not in found:
            yield f"\n{name} is not installed: pip install 'tinygrad-mnist[bench]'"
