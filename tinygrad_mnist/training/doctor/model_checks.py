"""Checks of the model: its weights, its units, its gradients, what it reads, and its modes."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np

from ...errors import pluralise
from ...graph import Node, no_grad
from ...nn import BatchNorm1d, BatchNorm2d, Dropout, Dropout2d, GaussianNoise
from ...tensor import Tensor
from ...typing import NDArray
from .activations import activation_at, mask_of
from .case import Case, first_output, input_of, products, uses, weight_of
from .findings import Finding, where

__all__ = [
    "SATURATED_LATER",
    "check_gradients",
    "check_input",
    "check_modes",
    "check_units",
    "check_weights",
    "is_read",
]

#: The spread of weights times the root of the number of inputs: about 1.4 after He, 1 after Glorot.
TOO_LARGE, TOO_SMALL = 5.0, 0.02
#: Shares of units that are dead or saturated. AutoTrainer [1]_ speaks of dying ReLUs at 70 % of zero gradients;
#: a healthy layer has a few per cent before training, and may have more afterwards.
DEAD, SATURATED, SATURATED_LATER = 0.6, 0.6, 0.85
#: How many times smaller or larger the gradients of the first layer may be than those of the last (AutoTrainer:
#: 1e-3 and 70).
VANISHED, EXPLODED = 1e-3, 70.0


def check_weights(case: Case) -> Iterator[Finding]:
    """Look at the first values of the weights that multiply something.

    Notes
    -----
    NeuraLint has a rule against constant first weights. CS231n gives the spread sqrt(2 / inputs). AutoTrainer
    calls a weight above 5 large, and DeepDiagnosis a variance outside of 1e-5 to 10; both depend on the width of
    a layer, so the spread is taken times the root of the inputs here, and its bounds were chosen by our exam.
    """
    layers = products(case.nodes)
    for i, node in enumerate(layers):
        leaf = weight_of(node)
        assert leaf is not None
        weight, name = np.asarray(leaf.value, np.float64), _parameter_name(case, leaf)
        is_last = i == len(layers) - 1
        if weight.size < 8:
            continue
        if not np.isfinite(weight).all():
            yield Finding("non-finite-data", "weights are NaN or infinite", name)
            continue
        inputs = (
            weight.size // len(weight) if node.primitive and node.primitive.name != "matmul" else len(weight)
        )
        spread = float(np.sqrt(np.mean(weight**2))) * np.sqrt(inputs)
        g = case.gradients.get(leaf)
        is_constant = not np.ptp(weight) and bool(np.any(weight)) and leaf in case.gradients
        if is_constant or (
            _are_rows_equal(weight) and (g is None or _are_rows_equal(np.asarray(g, np.float64)))
        ):  # different gradients would make different units of zeros, as they are used at the end of a branch
            if not is_last:
                same = f"all {weight.size:,} weights are {weight.flat[0]:.3g}"
                said = "all units have the same weights" if np.ptp(weight) else same
                yield Finding("equal-weights", said, name)
        elif spread > TOO_LARGE and inputs >= 4:
            yield Finding("weights-too-large", _size_of(weight, spread, inputs), name)
        elif 0 < spread < TOO_SMALL and not is_last:
            yield Finding("weights-too-small", _size_of(weight, spread, inputs), name)


def _parameter_name(case: Case, leaf: Node) -> str:
    return next((name for name, p in case.named.items() if p.node is leaf), leaf.name or "a weight")


def _size_of(weight: NDArray, spread: float, inputs: int) -> str:
    size = np.sqrt(np.mean(weight**2))
    return f"their root mean square is {size:.3g}, which is {spread:.3g} / sqrt(inputs) for {inputs:,} inputs"


def _are_rows_equal(weight: NDArray) -> bool:
    rows = weight.reshape(len(weight), -1)
    return min(rows.shape) > 1 and any(not np.ptp(rows, axis=axis).any() for axis in (0, 1))


def check_units(case: Case, saturated: float = SATURATED) -> Iterator[Finding]:
    """Find units that are dead or saturated on the whole sample, from these shares on.

    Notes
    -----
    AutoTrainer speaks of dying ReLUs if 70 % of all gradients are 0; DeepDiagnosis, if 70 % of the outputs of a
    layer are not positive, and of saturation if more than half of the inputs of a sigmoid or tanh are beyond -5
    or 5. A unit is dead here if it is 0 for every sample, which is rarer, so lower shares count.
    """
    last = max((node.serial for node in products(case.nodes)), default=-1)
    for node in case.nodes:
        if (
            node.primitive is None
            or node.serial > last
            or isinstance(node.value, tuple)
            or node.value.ndim < 2
        ):
            continue
        y, activation = np.asarray(node.value), activation_at(node)
        name = activation.name if activation is not None else _recurrent_kind(node)
        if (y.shape[0] != len(case.x) and node.primitive.name != "rnn") or y.size // max(y.shape[0], 1) < 2:
            continue
        if name == "relu" and y.shape[0] == len(case.x):
            axes = (0, *range(2, y.ndim))
            dead = np.mean(np.all(y == 0, axis=axes))
            if dead >= DEAD and len(y) >= 16:
                yield Finding(
                    "dead-units",
                    f"{dead:.0%} of {pluralise(y.shape[1], 'unit')} are 0 for all {len(y):,} samples",
                    node.scope,
                    where(node.line),
                )
        elif name in ("sigmoid", "tanh"):
            centre, half = (0.5, 0.5) if name == "sigmoid" else (0.0, 1.0)
            share = float(np.mean(np.abs(y - centre) > 0.98 * half))
            if share >= saturated:
                yield Finding(
                    "saturated-units",
                    f"{share:.0%} of the results of {name} are within 2 % of its ends",
                    node.scope,
                    where(node.line),
                )


def _recurrent_kind(node: Node) -> str:
    """The activation of a recurrent network that is one operation."""
    is_plain = node.primitive is not None and node.primitive.name == "rnn"
    return str(node.kwargs.get("nonlinearity", "")) if is_plain else ""


def check_gradients(case: Case) -> Iterator[Finding]:
    """Compare the gradients of the layers with each other.

    Notes
    -----
    AutoTrainer divides the length of the gradient of the first layer by that of the last: below 1e-3 (if it is
    also below 1e-4 itself) gradients vanish, above 70 they explode. The same ratios are used here for the errors
    behind the layers. DeepDiagnosis speaks of vanishing below a mean of 1e-7.
    """
    sizes = []
    for leaf, nodes in uses(case.nodes).items():
        g = case.gradients.get(leaf)
        if g is not None and g.size:
            with np.errstate(all="ignore"):
                # The gradient of a weight is a product of the errors behind it and its inputs: only errors compare.
                # A recurrent weight learns from all steps: the largest counts.
                errors = [np.abs(case.gradients.get(node, g).astype(np.float64)) for node in nodes]
                sizes.append(
                    (nodes[0], max(float(np.sqrt(np.mean(error**2) * error[0].size)) for error in errors))
                )
    if not sizes:
        return
    (first, start), (last, end) = sizes[0], sizes[-1]
    if not np.isfinite([size for _, size in sizes]).all():
        yield Finding("exploding-gradients", "gradients are infinite or NaN", first.scope, where(first.line))
        return
    if len(sizes) < 3:
        return
    if end > 0 and start < VANISHED * end:
        yield Finding(
            "vanishing-gradients", _compare(first, last, start, end), first.scope, where(first.line)
        )
    elif end > 0 and start > EXPLODED * end:
        yield Finding(
            "exploding-gradients", _compare(first, last, start, end), first.scope, where(first.line)
        )


def _compare(first: Node, last: Node, start: float, end: float) -> str:
    return (
        f"errors that reach {first.scope or 'the first layer'} are {start / end:.2g} times those at "
        f"{last.scope or 'the last layer'}"
    )


def check_input(case: Case) -> Iterator[Finding]:
    """See whether the output depends on the input.

    Notes
    -----
    Karpathy's recipe compares with a baseline that does not see the input, and follows dependencies by
    backpropagation.
    """
    x = np.asarray(case.x)
    if len(x) < 4 or not np.any(x != x[:1]):
        return
    outputs = case.evaluate(case.x).astype(np.float64)
    if outputs.ndim < 1 or len(outputs) != len(x) or not np.isfinite(outputs).all():
        return
    size = np.abs(outputs).max()
    spread = np.ptp(outputs, axis=0).max()
    if (spread <= 1e-6 * size or size == 0) and not _learns_to_see(case, x):
        yield Finding("input-ignored", f"the output is the same for all {len(x):,} samples", "model")
    elif spread > 1e-6 * size:
        yield from _check_features(case)


def is_read(case: Case) -> bool:
    """Whether the first product of a weight gets something that differs from sample to sample."""
    for node in products(case.nodes)[:1]:
        value = input_of(node)[0]
        return value is not None and bool(np.ptp(value, axis=0).any())
    return False


def _learns_to_see(case: Case, x: NDArray) -> bool:
    """Whether outputs differ from sample to sample after a step against the gradient, as after first weights of 0."""
    model = copy.deepcopy(case.model)
    grads = {name: case.gradients[p.node] for name, p in case.named.items() if p.node in case.gradients}
    top = max((float(np.abs(g).max()) for g in grads.values() if g.size), default=0.0)
    if not 0 < top < np.inf:
        return False
    with no_grad():
        for name, p in model.named_parameters():
            p[...] = p.data - 0.01 / top * grads.get(name, 0)
        outputs = first_output(model.eval()(x)).astype(np.float64)
    return float(np.ptp(outputs, axis=0).max()) > 1e-6 * float(np.abs(outputs).max())


def _check_features(case: Case) -> Iterator[Finding]:
    """See whether a large part of each input makes no difference."""
    x = np.asarray(case.x)
    if x.dtype.kind != "f" or x.ndim < 2 or x[0].size < 4:
        return
    model = copy.deepcopy(case.model).eval()
    few = Tensor(x[: min(len(x), 64)].copy(), requires_grad=True)
    try:
        output = model(few)
    except Exception:  # a model that needs plain arrays, as those that look something up
        return
    if not isinstance(output, Tensor) or not output.requires_grad:
        return
    weights = np.random.default_rng(0).normal(size=output.shape).astype(output.dtype)
    np.sum(output * weights).backward()
    if few.grad is None:
        yield Finding("input-ignored", "the output does not depend on the input", "model")
        return
    g = np.asarray(few.grad)
    varied = np.ptp(x, axis=0) > 0
    idle = ~np.any(g != 0, axis=0) & varied
    if varied.sum() >= 4 and idle.sum() >= 0.5 * varied.sum():
        yield Finding(
            "input-ignored",
            f"{idle.sum() / varied.sum():.0%} of the numbers of an input make no difference",
            "model",
        )


def check_modes(case: Case, *, is_given: bool = False) -> Iterator[Finding]:
    """Look for dropout that is too strong, for modes that differ, and for what acts in ``eval()`` mode and should not.

    With ``is_given``, the model is in the mode in which a loop trains it; :func:`fit` chooses the mode itself.

    Notes
    -----
    Karpathy's list of common mistakes names train and eval mode. N. Srivastava et al., "Dropout", JMLR 2014, keep
    50 to 80 % of the hidden units; less than 25 % is found here.
    """
    model = case.original
    different = [name for name, module in model.named_modules() if name and module.training != model.training]
    if different and _differs(case):
        now, other = ("training", "eval()") if model.training else ("eval()", "training")
        yield Finding(
            "train-eval-mixed-up",
            f"the model is in {now} mode, but {different[0]} is in {other} mode",
            different[0],
        )
    elif is_given and not model.training:
        acting = [name for name, module in model.named_modules() if isinstance(module, _WITH_MODES)]
        if acting:
            yield Finding(
                "train-eval-mixed-up",
                f"the model is in eval() mode, in which {acting[0]} does nothing for training",
                acting[0],
            )
    strong = {
        f"{name}.{type(m).__name__}".lstrip("."): m.p
        for name, m in model.named_modules()
        if isinstance(m, (Dropout, Dropout2d)) and m.p > 0.75
    }
    if strong:
        name, share = next(iter(strong.items()))
        yield Finding("dropout-too-high", f"{share:.0%} of the units are switched off", name)
    for node, share in _masked(case, training=True):
        if share > 0.75 and not strong:
            yield Finding(
                "dropout-too-high", f"{share:.0%} of the units are switched off", node.scope, where(node.line)
            )
            break
    for node, share in _masked(case, training=False):
        if share > 0.02:
            yield Finding(
                "train-eval-mixed-up", "dropout acts in eval() mode too", node.scope, where(node.line)
            )
            return
    yield from _check_alone(case)


def _differs(case: Case) -> bool:
    """Whether it makes a difference that parts of a model are in another mode."""
    mixed = copy.deepcopy(case.original)
    plain = copy.deepcopy(mixed).train(mixed.training)
    with no_grad():
        return not np.array_equal(first_output(mixed(case.x)), first_output(plain(case.x)))


_WITH_MODES = (Dropout, Dropout2d, GaussianNoise, BatchNorm1d, BatchNorm2d)


def _masked(case: Case, *, training: bool) -> Iterator[tuple[Node, float]]:
    """The operations that switch off other units in each pass, with the share of them."""
    model = copy.deepcopy(case.model).train(training)
    first, second = (case.record(model) for _ in range(2))
    if len(first) != len(second):
        return
    for node, again in zip(first, second, strict=True):
        mask, other = mask_of(node), mask_of(again)
        if mask is not None and (other is None or mask.shape != other.shape or (mask != other).any()):
            yield node, float(np.mean(mask == 0))


def _check_alone(case: Case) -> Iterator[Finding]:
    """See whether the outputs of a sample depend on the others in the batch, in ``eval()`` mode."""
    x = np.asarray(case.x)
    if len(x) < 8:
        return
    whole = case.evaluate(x)
    if whole.ndim < 1 or len(whole) != len(x) or not np.array_equal(whole, case.evaluate(x), equal_nan=True):
        return
    try:
        few = case.evaluate(x[:4])
    except Exception:  # a model for one size of batch
        return
    if few.shape != whole[:4].shape or not np.isfinite(whole).all():
        return
    difference = np.abs(few - whole[:4]).max()
    if difference > 0.01 * max(float(np.ptp(whole)), 1e-6):
        yield Finding(
            "train-eval-mixed-up",
            f"in eval() mode, outputs change by {difference:.3g} with the other samples of the batch",
            "model",
        )
