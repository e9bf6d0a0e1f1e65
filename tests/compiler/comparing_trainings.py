"""A network's text trained as it is, and compiled; and everything in which the two trainings differ.

How much they may differ follows from the training: it also runs with its weights and inputs changed by a rounding error
or two before every step. What that changes in an array, times some, is what rounding may change.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from comparing import Jiggler, execute, leaves
from network_programs import Network

import tinygrad_mnist as tg
from tinygrad_mnist.tensor import buffer
from tinygrad_mnist.training import AverageWeights, fit

TOLERANCE = {"float32": 1e-5, "float64": 1e-11}
#: Numbers here are about 1; the square of a rounding error is nothing.
NOTHING = {"float32": 1e-12, "float64": 1e-28}
JIGGLES = 3
#: A program has whole gradients, so it takes those that an optimizer or fit refuses as sparse: docs/compile.md says so.
SPARSE = re.compile(r"OptionError: .* (is sparse:|sparse=True is not;)")
NAME = "<network>"


@dataclass
class Outcome:
    """What a training did: one flat dict of everything there is after each step, and how it ended."""

    rows: list[dict[str, Any]]
    raised: Exception | None = None


@dataclass
class Verdict:
    """What became of one training on one back end."""

    kind: str = ""  # of the fault; nothing if there is none
    detail: str = ""
    refused: str = ""
    unstable: str = ""  # a difference, after something that rounding alone decides
    raised: str = ""
    steps: int = 0


def snapshot(space: dict[str, Any], **results: Any) -> dict[str, Any]:
    """Everything that a training has changed, or returned, by its name."""
    model, opt = space["model"], space["opt"]
    numbers = {p: i for i, p in enumerate(space["params"])}
    tree = {
        **results,
        "weights": {i: p for p, i in numbers.items()},
        "buffers": dict(model.named_buffers()),
        "generators": [x.bit_generator.state for m in model.modules() for x in _generators(m)],
        "optimizer": {numbers[p]: state for p, state in opt.state.items()},
        "settings": [{k: v for k, v in group.items() if k != "params"} for group in opt.param_groups],
        "average": space["ema"].averages,
    }
    return dict(_frozen(tree))


def _generators(module: Any) -> Iterator[np.random.Generator]:
    yield from (x for x in vars(module).values() if isinstance(x, np.random.Generator))


def _frozen(tree: Any) -> Iterator[tuple[str, Any]]:
    for path, leaf in leaves(tree):
        kind = type(leaf).__name__
        if isinstance(leaf, tg.nn.Parameter):  # a program returns it as a plain Tensor
            kind = (
                "Tensor" if path.startswith("['loss']") else f"Parameter, requires_grad={leaf.requires_grad}"
            )
        value = leaf.data if isinstance(leaf, tg.Tensor) else leaf
        if isinstance(value, (np.ndarray, np.generic, float)):
            yield path, (kind, np.array(value))
        else:
            yield path, (kind, repr(value))


def _start(source: str, jiggle: Jiggler | None) -> dict[str, Any]:
    space = execute(source, NAME)
    if jiggle:
        _shake(space, jiggle)
    return space


def _shake(space: dict[str, Any], jiggle: Jiggler) -> None:
    for p in space["params"]:
        buffer(p)[...] = jiggle(p.data)


def _shaken(batch: tuple[Any, ...], jiggle: Jiggler | None) -> tuple[Any, ...]:
    return tuple(jiggle(x) if jiggle and x.dtype.kind == "f" else x for x in batch)


def step_by_step(source: str, backend: str | None, jiggle: Jiggler | None = None) -> Outcome:
    """Some steps, and after each what the text does then."""
    rows: list[dict[str, Any]] = []
    space = _start(source, jiggle)
    try:
        loss, opt, options, model = (space[name] for name in ("loss", "opt", "options", "model"))

        def eager(*batch: Any) -> Any:
            opt.zero_grad()
            result = loss(*batch)
            (result[0] if options["has_aux"] else result).backward()
            if options["clip_norm"]:
                updated = [p for group in opt.param_groups for p in group["params"]]
                tg.optim.clip_grad_norm_(updated, options["clip_norm"])
            opt.step()
            opt.zero_grad()
            return result

        step, predict = eager, model
        if backend:
            step = tg.compile(loss, optimizer=opt, backend=backend, **options)
            predict = tg.compile(model, backend=backend)
        for i in range(space["steps"]):
            batch = _shaken(space["batch"](i), jiggle)
            results = {"loss": step(*batch)}
            if space["schedule"] is not None:
                space["schedule"].step()
            space["ema"].update()
            if space["predicts"]:
                results["prediction"] = predict(batch[0])
            rows.append(snapshot(space, **results))
            space["between"](i)
            if jiggle:
                _shake(space, jiggle)
    except Exception as error:
        return Outcome([*rows, snapshot(space)], error)
    return Outcome(rows)


def by_fit(source: str, backend: str | None, jiggle: Jiggler | None = None) -> Outcome:
    """The same with ``fit``: two epochs, and what is there after each."""
    rows: list[dict[str, Any]] = []
    space = _start(source, jiggle)
    try:
        parts = [_shaken(space["batch"](i), jiggle) for i in range(space["steps"])]
        data = tuple(np.concatenate(part) for part in zip(*parts, strict=True))[:2]
        average = [AverageWeights(0.6)] if space["averages"] else []
        for _ in range(2):
            history = fit(
                space["model"],
                data,
                epochs=2,
                batch_size=3,
                loss=space["criterion"],
                optimizer=space["opt"],
                schedule=space["schedule"],
                validation=data if space["validates"] else None,
                clip_norm=space["options"]["clip_norm"],
                accumulate=space["accumulate"],
                rng=3,
                callbacks=average,
                progress=False,
                compile=backend or False,
            )
            kept = [{k: v for k, v in row.items() if _is_result(k)} for row in history]
            rows.append(snapshot(space, history=kept))
            space["between"](0)
            if jiggle:
                _shake(space, jiggle)
    except Exception as error:
        return Outcome([*rows, snapshot(space)], error)
    return Outcome(rows)


def _is_result(name: str) -> bool:
    return not re.search("seconds|time|backend|threads|speed", name)


def run(network: Network, backend: str | None, jiggle: Jiggler | None = None) -> Outcome:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", ".* ran uncompiled")  # what has to run so is a fault too
        return (by_fit if network.is_fit else step_by_step)(network.source(), backend, jiggle)


def references(network: Network) -> list[Outcome]:
    """The training without compile, and the same with rounding errors."""
    return [run(network, None), *(run(network, None, Jiggler(seed)) for seed in range(JIGGLES))]


def check(network: Network, backend: str, expected: list[Outcome] | None = None) -> Verdict:
    """Compare the compiled training with the one that is not compiled."""
    plain, *shaken = expected or references(network)
    got = run(network, backend)
    verdict = Verdict(steps=len(plain.rows), raised=_told(plain.raised))
    if any(type(o.raised) is not type(plain.raised) for o in shaken):
        shaken = [o for o in shaken if len(o.rows) == len(plain.rows)]
    if SPARSE.search(verdict.raised):
        plain.rows.pop()
        got = Outcome(got.rows[: len(plain.rows)], plain.raised)
    if isinstance(got.raised, tg.errors.CompileError):
        got.rows.pop()  # what the call has or has not changed is no longer comparable
    is_unstable = False
    for number, (a, b) in enumerate(zip(plain.rows, got.rows, strict=False)):
        others = [o.rows[number] for o in shaken if len(o.rows) > number]
        if found := difference(a, b, others, network.dtype):
            if is_unstable:
                verdict.unstable = f"{found[1]} after step {number}"
                return verdict
            verdict.kind, verdict.detail = found[0], f"{found[1]} after step {number}"
            return verdict
        is_unstable = is_unstable or any(difference(a, o, [], network.dtype, 1e-3) for o in others)
    if isinstance(got.raised, tg.errors.CompileError):
        verdict.refused = str(got.raised)
        if f"({NAME}:" not in verdict.refused:
            verdict.refused += " [names no line]"
    elif type(got.raised) is not type(plain.raised):
        kinds = [type(o.raised).__name__ for o in (got, plain)]
        verdict.kind = f"raises {kinds[0]} for {kinds[1]}"
        verdict.detail = f"{_told(got.raised)} for {_told(plain.raised)}"
    return verdict


def _told(error: Exception | None) -> str:
    return "" if error is None else f"{type(error).__name__}: {error}"


def difference(
    a: dict[str, Any], b: dict[str, Any], others: list[dict[str, Any]], dtype: str, rtol: float = 0
) -> tuple[str, str] | None:
    """The kind of the first difference, and the words for it."""
    if a.keys() != b.keys():
        return "form", f"{sorted(b.keys() ^ a.keys())[:4]} on one side only"
    for path, (kind, value) in a.items():
        other_kind, other = b[path]
        where = f"{path} is {other!r:.200} in the place of {value!r:.200}"
        name = path.split("]")[0] + "]"
        if kind != other_kind:
            return f"{name} type", f"{other_kind} in the place of {kind} at {path}"
        if not isinstance(value, np.ndarray):
            if value != other:
                return f"{name} value", where
            continue
        if value.shape != other.shape or value.dtype != other.dtype:
            return f"{name} form", where
        near = [o[path][1] for o in others if path in o and o[path][1].shape == value.shape]
        if not _alike(value, other, near, rtol or TOLERANCE[dtype], NOTHING[dtype]):
            return f"{name} value", where
    return None


def _alike(a: Any, b: Any, others: list[Any], rtol: float, atol: float) -> bool:
    if a.dtype.kind != "f":
        return np.array_equal(a, b) or any(not np.array_equal(a, o) for o in others)
    finite = np.isfinite(a)
    if any(not np.array_equal(np.isfinite(o), finite) for o in others):
        return True
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return False
    a, b, *others = (x[finite].astype(np.longdouble) for x in (a, b, *others))
    spread = max((np.abs(o - a).max(initial=0) for o in others), default=0)
    return bool(np.all(np.abs(a - b) <= rtol * np.abs(a).max(initial=0) + 30 * spread + atol))


def told(network: Network, backend: str, kind: str) -> str:
    """A fault: what is wrong, and a program that shows it."""
    small = shrink(network, backend, kind)
    verdict = check(small, backend)
    how = "fit(..., compile=...)" if small.is_fit else "tg.compile(loss, optimizer=opt, ...)"
    return f"# seed {network.seed}, {backend}: {verdict.kind}: {verdict.detail}\n# {how}\n{small.source()}"


def shrink(network: Network, backend: str, kind: str, most: int = 150) -> Network:
    """The network with as little as shows the same kind of fault."""
    tried = 0

    def candidates(n: Network) -> Iterator[Network]:
        for i in range(len(n.layers)):
            yield replace(n, layers=n.layers[:i] + n.layers[i + 1 :])
        for i in range(len(n.events)):
            yield replace(n, events=n.events[:i] + n.events[i + 1 :])
        for flag in n.flags:
            yield replace(n, flags=n.flags - {flag})
        if n.is_fit:
            yield replace(n, is_fit=False)
        if len(n.sizes) > 1:
            yield replace(n, sizes=n.sizes[:-1], events=tuple(e for e in n.events if e[0] < len(n.sizes) - 2))
        if len({*n.sizes}) > 1:
            yield replace(n, sizes=n.sizes[:1] * len(n.sizes))
        for seed in range(3):
            if n.loss[0] != "numbers":
                yield replace(n, loss=("numbers", seed))
        if n.optimizer:
            yield replace(n, optimizer=0)
        if n.dtype != "float64":
            yield replace(n, dtype="float64")

    def fails(candidate: Network) -> bool:
        nonlocal tried
        tried += 1
        return tried < most and check(candidate, backend).kind == kind

    while smaller := next((c for c in candidates(network) if fails(c)), None):
        network = smaller
    return network
