"""Random networks and their trainings, as Python source that can be pasted.

A network is a list of parts, each a kind and a seed. Its text is derived from them: every layer is run on a batch when
it is written, so that the next one knows the shape that it gets. A layer can therefore be left out, and what follows
it still fits; a layer that cannot take what comes is left out by itself.
"""

# ruff: noqa: E501 -- lines of programs, and tables of them

from __future__ import annotations

import contextlib
import random
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

HEAD = """\
import copy
import numpy as np
import tinygrad_mnist as tg
from tinygrad_mnist import nn, optim
F = nn.functional
DTYPE = np.{dtype}
"""

Part = tuple[str, int]
#: What a layer adds: lines of ``__init__``, and lines of ``forward``.
Lines = tuple[list[str], list[str]]

CLASSES = 4
INPUTS = {
    "vector": ("r.normal(size=(n, 6)).astype(DTYPE)", 25),
    "image": ("r.normal(size=(n, 2, 8, 7)).astype(DTYPE)", 35),
    "sequence": ("r.normal(size=(n, 5, 6)).astype(DTYPE)", 20),
    "words": ("r.integers(1, 9, (n, 5))", 20),
}


def one_of(r: random.Random, weights: dict[str, int]) -> str:
    return r.choices(list(weights), list(weights.values()))[0]


# -- layers: each gets what comes in, and may refuse it with None -----------------------------------------------------


def linear(r: random.Random, x: Any) -> Lines:
    settings = r.choice(["", "", ", bias=False", ", weight_init='he_normal'"])
    return [
        f"self.m{{n}} = nn.Linear({x.shape[-1]}, {r.randint(1, 6)}{settings}, rng={r.randrange(99)}, dtype=DTYPE)"
    ], ["x = self.m{n}(x)"]


def conv2d(r: random.Random, x: Any) -> Lines | None:
    if x.ndim != 4:
        return None
    c = x.shape[1]
    groups = r.choice([g for g in (1, 1, 2, 3, 4) if c % g == 0])
    kernel = r.choice(["1", "2", "3", "3", "(2, 3)", "(3, 1)"])
    how = f"stride={r.choice(['1', '1', '2', '(1, 2)', '3'])}, padding={r.choice(['0', '1', '(1, 0)', '2'])}, dilation={r.choice(['1', '1', '2', '(1, 2)'])}"
    if r.random() < 0.2:
        how = f"padding='same', dilation={r.choice(['1', '2'])}"
    bias = r.choice(["", "", ", bias=False"])
    return [
        f"self.m{{n}} = nn.Conv2d({c}, {groups * r.randint(1, 3)}, {kernel}, {how}, groups={groups}{bias}, rng={r.randrange(99)}, dtype=DTYPE)"
    ], ["x = self.m{n}(x)"]


def conv1d(r: random.Random, x: Any) -> Lines | None:
    if x.ndim != 3:
        return None
    c = x.shape[1]
    groups = r.choice([g for g in (1, 1, c, 2) if c % g == 0])
    return [
        f"self.m{{n}} = nn.Conv1d({c}, {groups * r.randint(1, 2)}, {r.randint(1, 3)}, stride={r.choice([1, 1, 2])}, padding={r.choice([0, 1, 2])}, dilation={r.choice([1, 1, 2])}, groups={groups}, bias={r.random() < 0.7}, rng={r.randrange(99)}, dtype=DTYPE)"
    ], ["x = self.m{n}(x)"]


def transposed(r: random.Random, x: Any) -> Lines | None:
    if x.ndim != 4 or x.shape[2] > 12:
        return None
    c = x.shape[1]
    groups = r.choice([g for g in (1, 1, 2, c) if c % g == 0])
    stride = r.choice([1, 2, 2, 3])
    return [
        f"self.m{{n}} = nn.ConvTranspose2d({c}, {groups * r.randint(1, 2)}, {r.choice([1, 2, 3])}, stride={stride}, padding={r.choice([0, 0, 1])}, output_padding={r.choice([0, 0, stride - 1])}, groups={groups}, bias={r.random() < 0.7}, dilation={r.choice([1, 1, 2])}, rng={r.randrange(99)}, dtype=DTYPE)"
    ], ["x = self.m{n}(x)"]


POOLS = """\
MaxPool2d({kernel}, {stride}, padding={padding}, ceil_mode={ceil})
MaxPool2d({kernel}, {stride}, dilation=2)
AvgPool2d({kernel}, {stride}, ceil_mode={ceil})
AvgPool2d(3, {stride}, padding=1, count_include_pad={ceil})
AdaptiveAvgPool2d({size})""".splitlines()


def pool(r: random.Random, x: Any) -> Lines | None:
    if x.ndim != 4:
        return None
    layer = r.choice(POOLS).format(
        kernel=r.choice(["2", "3", "(2, 1)"]),
        stride=r.choice(["None", "1", "2", "(1, 2)"]),
        padding=r.choice(["0", "0", "1", "(1, 0)"]),
        ceil=r.random() < 0.4,
        size=r.choice(["1", "2", "(2, 3)", "(None, 2)"]),
    )
    return [f"self.m{{n}} = nn.{layer}"], ["x = self.m{n}(x)"]


def norm(r: random.Random, x: Any) -> Lines:
    c = x.shape[1]
    batch = f"nn.BatchNorm{2 if x.ndim == 4 else 1}d({c}, momentum={r.choice(['0.1', '0.1', '0.5', 'None'])}, affine={r.random() < 0.8}, track_running_stats={r.random() < 0.85}, dtype=DTYPE)"
    shape = f"{x.shape[1:]}" if r.random() < 0.3 else f"{x.shape[-1]}"
    layer = (
        f"nn.LayerNorm({shape}, elementwise_affine={r.random() < 0.8}, bias={r.random() < 0.7}, dtype=DTYPE)"
    )
    groups = r.choice([g for g in (1, 2, 3, c) if c % g == 0])
    group = f"nn.GroupNorm({groups}, {c}, affine={r.random() < 0.8}, dtype=DTYPE)"
    return [f"self.m{{n}} = {r.choice([batch, batch, layer, group])}"], ["x = self.m{n}(x)"]


def noise(r: random.Random, x: Any) -> Lines:
    kind = r.choice(
        [
            f"nn.Dropout({r.choice([0.2, 0.5, 0.0])}, ",
            "nn.GaussianNoise(0.2, ",
            "nn.Dropout2d(0.3, " if x.ndim > 2 else "nn.Dropout(0.3, ",
        ]
    )
    return [f"self.m{{n}} = {kind}rng={r.randrange(99)})"], ["x = self.m{n}(x)"]


ACTIVATIONS = """\
ReLU()
ReLU()
Tanh()
Sigmoid()
GELU()
GELU('tanh')
SiLU()
ELU(0.7)
LeakyReLU(0.1)
Softplus()
Softmax(-1)
Softmax(1)
LogSoftmax(-1)
LogSoftmax(1)
Identity()""".splitlines()


def activation(r: random.Random, x: Any) -> Lines:
    return [f"self.m{{n}} = nn.{r.choice(ACTIVATIONS)}"], ["x = self.m{n}(x)"]


def recurrent(r: random.Random, x: Any) -> Lines | None:
    if x.ndim != 3:
        return None
    kind, size, layers, both = (
        r.choice(["RNN", "LSTM", "GRU"]),
        r.randint(1, 4),
        r.randint(1, 2),
        r.random() < 0.4,
    )
    more = ", nonlinearity='relu'" if kind == "RNN" and r.random() < 0.3 else ""
    dropout = ", dropout=0.3" if layers > 1 and r.random() < 0.4 else ""
    first = r.random() < 0.8
    made = [
        f"self.m{{n}} = nn.{kind}({x.shape[-1]}, {size}, {layers}, bidirectional={both}, batch_first={first}, bias={r.random() < 0.8}{more}{dropout}, rng={r.randrange(99)}, dtype=DTYPE)"
    ]
    batch = "x.shape[0]" if first else "x.shape[1]"
    start, before = "", []
    if (how := r.random()) < 0.25 and first:
        made.append(
            f"self.h{{n}} = nn.Parameter(np.full(({layers * (1 + both)}, 1, {size}), 0.1), dtype=DTYPE)"
        )
        before = [f"h = np.repeat(self.h{{n}}, {batch}, axis=1)"]
        start = ", (h, h)" if kind == "LSTM" else ", h"
    elif how < 0.4:
        before = [f"h = np.full(({layers * (1 + both)}, {batch}, {size}), 0.2, DTYPE)"]
        start = ", (h, -h)" if kind == "LSTM" else ", h"
    last = "h[0]" if kind == "LSTM" else "h"
    after = r.choice(
        [
            [],
            [],
            ["x = x[:, -1]"],
            [f"x = {last}[-1]"],
            [f"x = x + np.mean({last})"],
            ["x = np.mean(x, axis=1)"],
        ]
        + ([["x = x * np.sum(h[1])"]] if kind == "LSTM" else [])
    )
    return made, [*before, f"x, h = self.m{{n}}(x{start})", *(after if first else [])]


MASKS = """\

, is_causal=True
, attn_mask=self.mask{n}
, attn_mask=~np.tri({length}, dtype=bool)
, attn_mask=np.linspace(-1, 0, {length} ** 2).reshape({length}, {length}).astype(DTYPE)
, key_padding_mask=np.arange(x.shape[1])[None] > np.arange(len(x))[:, None] + 1""".splitlines()


def attention(r: random.Random, x: Any) -> Lines | None:
    if x.ndim != 3:
        return None
    size, length = x.shape[-1], x.shape[1]
    settings = (
        f"dropout={r.choice([0.0, 0.0, 0.2])}, bias={r.random() < 0.7}, rng={r.randrange(99)}, dtype=DTYPE"
    )
    heads = r.choice([h for h in (1, 2, 3) if size % h == 0])
    made = [
        f"self.m{{n}} = nn.MultiheadAttention({size}, {heads}, batch_first=True, {settings})",
        f"self.mask{{n}} = ~np.tri({length}, dtype=bool)",
    ]
    mask = r.choice(MASKS).replace("{length}", str(length))
    given = r.choice(["x, x, x", "x, x, x", "x, x[:, ::-1], x"])
    if r.random() < 0.5:
        return made, [f"x = self.m{{n}}({given}, need_weights=False{mask})[0]"]
    after = r.choice(["x = x", "x = x + np.mean(w)", "x = (w if w.ndim == 3 else w[:, 0]) @ x"])
    return made, [f"x, w = self.m{{n}}({given}, average_attn_weights={r.random() < 0.7}{mask})", after]


SIZES = {
    3: ["scale_factor=2", "size=7, mode='linear'", "scale_factor=1.5, mode='nearest-exact'"],
    4: """\
scale_factor=2
scale_factor=2, mode='bilinear'
size=(5, 6), mode='bilinear', align_corners=True
scale_factor=(1.5, 0.5)
size=(4, 3), mode='nearest-exact'""".splitlines(),
}


def resized(r: random.Random, x: Any) -> Lines | None:
    if x.ndim < 3 or x.size > 2000:
        return None
    return [f"self.m{{n}} = nn.Upsample({r.choice(SIZES[x.ndim])})"], ["x = self.m{n}(x)"]


def shaped(r: random.Random, x: Any) -> Lines | None:
    size = int(np.prod(x.shape[1:]))
    if x.ndim == 2 and size % 4 == 0 and r.random() < 0.6:
        return [f"self.m{{n}} = nn.Unflatten(1, {r.choice([(2, -1), (size // 4, 2, 2), (1, 2, -1)])})"], [
            "x = self.m{n}(x)"
        ]
    return ["self.m{n} = nn.Flatten()"], ["x = self.m{n}(x)"]


def residual(r: random.Random, x: Any) -> Lines | None:
    c, seed = x.shape[1], r.randrange(99)
    if x.ndim == 4:
        body = f"nn.Conv2d({c}, {c}, 3, padding=1, rng={seed}, dtype=DTYPE), nn.BatchNorm2d({c}, dtype=DTYPE), nn.ReLU()"
        shortcut = r.choice(["", f", nn.Conv2d({c}, {c}, 1, rng={seed}, dtype=DTYPE)"])
    elif x.ndim == 3:
        d = x.shape[-1]
        body, shortcut = (
            f"nn.LayerNorm({d}, dtype=DTYPE), nn.Linear({d}, 5, rng=1, dtype=DTYPE), nn.GELU(), nn.Linear(5, {d}, rng=2, dtype=DTYPE)",
            "",
        )
    else:
        body, shortcut = (
            f"nn.Linear({c}, {c}, rng={seed}, dtype=DTYPE), nn.Tanh(), nn.Dropout(0.2, rng=3)",
            "",
        )
    return [f"self.m{{n}} = nn.Residual(nn.Sequential({body}){shortcut})"], ["x = self.m{n}(x)"]


def mlp(r: random.Random, x: Any) -> Lines:
    sizes = [x.shape[-1], *(r.randint(1, 5) for _ in range(r.randint(1, 3)))]
    return [
        f"self.m{{n}} = nn.MLP({sizes}, activation='{r.choice(['relu', 'tanh', 'sigmoid', 'gelu'])}', dropout={r.choice([0.0, 0.0, 0.3])}, rng={r.randrange(99)}, dtype=DTYPE)"
    ], ["x = self.m{n}(x)"]


def shared(r: random.Random, x: Any) -> Lines:
    """A layer that is used twice, or two with the same weight."""
    d = x.shape[-1]
    made = [f"self.m{{n}} = nn.Linear({d}, {d}, rng={r.randrange(99)}, dtype=DTYPE)"]
    if r.random() < 0.5:
        return made, [
            r.choice(
                [
                    "x = self.m{n}(np.tanh(self.m{n}(x)))",
                    "x = self.m{n}(x) - self.m{n}(-x)",
                    "for _ in range(3):\n            x = np.sin(self.m{n}(x))",
                ]
            )
        ]
    made += [
        f"self.k{{n}} = nn.Linear({d}, {d}, rng={r.randrange(99)}, dtype=DTYPE)",
        "self.k{n}.weight = self.m{n}.weight",
    ]
    return made, [
        "x = self.k{n}(np.tanh(self.m{n}(x)))",
        *r.choice([[], ["x = x @ self.m{n}.weight"], ["x = F.linear(x, self.m{n}.weight.T)"]]),
    ]


OWN = """\
x = x * self.p{n}
x = x + self.p{n} * 2
x = x / (1 + self.p{n}**2)
x = np.where(x > 0, x, x * self.p{n})
x = x * np.exp(-self.p{n})
x = self.p{n} * x + (1 - self.p{n}) * np.tanh(x)
x = np.maximum(x, self.p{n}) / 2
x = x * self.p{n} if self.training else x
x = x * self.p{n}.detach()""".splitlines()


def parameters(r: random.Random, x: Any) -> Lines:
    """Parameters of the network's own."""
    shape = r.choice([(), x.shape[-1:], (1, x.shape[-1])])
    made = f"self.p{{n}} = nn.Parameter(np.full({shape}, {r.choice(['0.5', '1.5', '-1.0'])}), dtype=DTYPE)"
    return [made], [r.choice(OWN)]


BRANCHES = """\
x = np.concatenate([self.a{n}(x), self.b{n}(x)], axis=-1)
x = self.a{n}(x) * F.sigmoid(self.b{n}(x))
x = np.stack([self.a{n}(x), self.b{n}(x)]).max(axis=0)
x = self.a{n}(x) + self.b{n}(x.detach())
x = self.a{n}(x) if len(x) % 2 else self.b{n}(x)
x = [f(x) for f in (self.a{n}, self.b{n})][1]
with tg.no_grad(): t = self.b{n}(x)  # then: x = self.a{n}(x) - t
x = np.maximum(self.a{n}(x), self.b{n}(x))""".splitlines()


def branches(r: random.Random, x: Any) -> Lines:
    d = x.shape[-1]
    made = [f"self.{a}{{n}} = nn.Linear({d}, {d}, rng={r.randrange(99)}, dtype=DTYPE)" for a in "ab"]
    return made, r.choice(BRANCHES).split("  # then: ")


FORMULAS = """\
x = x - np.mean(x, axis=0)
x = x / (1e-3 + np.std(x, axis=-1, keepdims=True))
x = np.clip(x, -1, 1)
x = x[..., ::-1]
x = x + x[::-1]
x = np.abs(x) ** 1.5
x = np.sign(x) * np.sqrt(np.abs(x) + 1e-2)
x = x * (x > 0)
x = np.log1p(np.exp(x))
x = x / np.linalg.norm(x, axis=-1, keepdims=True)
x = np.cumsum(x, axis=-1)
x = np.sort(x, axis=-1)
x = np.swapaxes(x, 1, -1)
x = np.roll(x, 1, axis=-1)
x = x.astype(np.float64).astype(DTYPE)
x = x.reshape(len(x), -1)
x = np.einsum('i...,i...->i...', x, x)
x = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(1, 0)])
x = x[..., np.argsort(np.arange(x.shape[-1]) % 3)]
y = np.zeros_like(x); y[..., 0] = x[..., -1]; x = x + y
x = np.mean(x, axis=-1, keepdims=True) + x
x = np.tanh(x, dtype=DTYPE)
x = tg.checkpoint(np.sin)(x)""".splitlines()


def formula(r: random.Random, x: Any) -> Lines:
    """What people write into forward themselves."""
    return [], [r.choice(FORMULAS)]


def state(r: random.Random, x: Any) -> Lines:
    """Buffers and Generators of the network's own."""
    d = x.shape[-1]
    plain = "(x.data if isinstance(x, tg.Tensor) else x)"
    mean = f"np.mean({plain}, axis=tuple(range(x.ndim - 1)))"
    buffer = f"self.register_buffer('s{{n}}', np.zeros({d}, DTYPE))"
    count = "self.register_buffer('c{n}', np.array(0.0))"
    return r.choice(
        [
            ([buffer], [f"if self.training:\n            self.s{{n}} = 0.9 * self.s{{n}} + 0.1 * {mean}", "x = x - self.s{n}"]),
            ([buffer], [f"self.s{{n}}[...] = 0.5 * self.s{{n}} + 0.5 * {mean}", "x = x + self.s{n}"]),
            ([count], ["self.c{n} += 1", "x = (x / self.c{n}).astype(DTYPE)"]),
            ([count], ["self.c{n}[...] = np.maximum(self.c{n}, np.max(np.abs(" + plain + ")))", "x = (x / self.c{n}).astype(DTYPE)"]),
            ([f"self.rng{{n}} = np.random.default_rng({r.randrange(99)})"], ["x = x + (0.1 * self.rng{n}.normal(size=x.shape)).astype(DTYPE)"]),
            ([f"self.rng{{n}} = np.random.default_rng({r.randrange(99)})"], ["x = x[:, self.rng{n}.permutation(x.shape[1])]"]),
            ([f"self.rng{{n}} = np.random.default_rng({r.randrange(99)})"], ["if self.training:\n            x = x * self.rng{n}.uniform(0.5, 1.5, (len(x),) + (1,) * (x.ndim - 1)).astype(DTYPE)"]),
        ]
    )  # fmt: skip


def unused(r: random.Random, x: Any) -> Lines:
    return ["self.u{n} = nn.Linear(2, 2, rng=0, dtype=DTYPE)"], [
        r.choice(["", "self.u{n}(np.ones((1, 2), DTYPE))", "x = x + 0 * np.sum(self.u{n}.weight)"])
    ]


LAYERS: dict[Callable[[random.Random, Any], Lines | None], int] = {
    linear: 8, conv2d: 14, conv1d: 6, transposed: 5, pool: 7, norm: 12, noise: 8, activation: 14, recurrent: 9, attention: 7, resized: 4,
    shaped: 4, residual: 5, mlp: 4, shared: 5, parameters: 6, branches: 5, formula: 9, state: 6, unused: 2,
}  # fmt: skip
BY_NAME = {layer.__name__: layer for layer in LAYERS}


# -- losses: what makes them, the loss of the outputs z, and the targets -----------------------------------------------


def loss_lines(r: random.Random, kind: str, width: int, is_fit: bool) -> tuple[str, str, str, str]:
    """Return what makes the loss, the last line of ``forward``, the loss of z, and the targets."""
    reduction = r.choice(["mean", "mean", "sum", *(["mean"] if is_fit else ["none"])])
    last = "x"
    whole = {"none": r.choice(["np.mean({})", "np.sum({}) / len(x)", "np.mean({} * w)"])}.get(reduction, "{}")
    weight = f"np.linspace(0.5, 2, {width})"
    ends = f"reduction='{reduction}'"
    classes = f"r.integers(0, {width}, n)"
    numbers = f"r.normal(size=(n, {width})).astype(DTYPE)"
    match kind:
        case "cross_entropy":
            first = r.choice(["", f"{weight}, "])
            more = r.choice(
                [
                    "",
                    "label_smoothing=0.1, ",
                    "ignore_index=0, ",
                    "ignore_index=-100, ",
                    "label_smoothing=0.2, ignore_index=1, ",
                ]
            )
            if "ignore_index=-100" in more:
                classes = f"np.where(r.random(n) < 0.3, -100, {classes})"
            if "ignore" not in more and r.random() < 0.2:
                classes = f"F.softmax(r.normal(size=(n, {width})).astype(DTYPE))"
            classes += (
                r.choice(["", "", ".astype(np.int32)", ".astype(np.uint8)"])
                if classes.startswith("r.int")
                else ""
            )
            made = f"nn.CrossEntropyLoss({first}{more}{ends})"
        case "nll":
            made, last = f"nn.NLLLoss({r.choice(['', weight + ', '])}{ends})", "F.log_softmax(x)"
        case "margin":
            made = f"nn.MultiMarginLoss({r.choice([1, 2])}, {r.choice([1.0, 0.5])}{r.choice(['', ', ' + weight])}, {ends})"
        case "kl":
            whole = whole.replace(" * w", "")
            ends = r.choice([ends, "reduction='batchmean'"])
            whole = "{}" if "batch" in ends else whole
            classes = f"F.softmax(r.normal(size=(n, {width})).astype(DTYPE))"
            made, last = f"nn.KLDivLoss({ends}, log_target=False)", "F.log_softmax(x)"
        case "bce":
            whole = whole.replace(" * w", "")
            classes = f"(r.random((n, {width})) < 0.4).astype(DTYPE)"
            made, last = r.choice(
                [
                    (f"nn.BCEWithLogitsLoss({ends})", "x"),
                    (f"nn.BCELoss({r.choice(['', weight + ', '])}{ends})", "F.sigmoid(x)"),
                ]
            )
        case _:
            whole = whole.replace(" * w", "")
            classes = numbers
            made = r.choice([f"nn.MSELoss({ends})", f"nn.HuberLoss(delta=0.5, {ends})", f"nn.L1Loss({ends})"])
    return made, last, whole.format("criterion(z, y)"), classes


LOSSES = {"cross_entropy": 40, "nll": 6, "margin": 8, "kl": 6, "bce": 14, "numbers": 26}
EXTRAS = {
    "": 60,
    " + 1e-2 * sum(np.sum(p**2) for p in model.parameters() if p.requires_grad)": 12,
    " + 1e-2 * np.mean(np.abs(z))": 8,
    " + 0.1 * np.mean((z[1:] - z[:-1]) ** 2) if len(z) > 1 else {}": 5,
    " * 3": 5,
}
#: What a loss returns besides itself.
AUX = """\
, z
, {'z': z, 'mean': np.mean(z.detach())}
, (np.argmax(z, axis=-1), 3, z.detach())
, [np.mean(np.argmax(z, axis=-1) == 1), None]
, {'view': params[-1].T, 'copy': params[0].detach()}
, {'weights': params, 'first': params[0].data[:1], 'input': x}""".splitlines()
OPTIMIZERS = [
    "SGD({}, lr=0.05)", "SGD({}, lr=0.05, momentum=0.9)", "SGD({}, lr=0.02, momentum=0.9, nesterov=True, weight_decay=1e-2)", "Adam({}, lr=0.01)",
    "Adam({}, lr=0.01, weight_decay=1e-2)", "AdamW({}, lr=0.01)", "RMSprop({}, lr=0.01)", "RMSprop({}, lr=0.01, momentum=0.5, weight_decay=1e-3)",
    "Adagrad({}, lr=0.05)", "SparseAdam({}, lr=0.01)", "Adagrad({}, lr=0.05, weight_decay=0.01)",
]  # fmt: skip
SCHEDULES = [
    "optim.StepLR(opt, 2, 0.5)", "optim.CosineAnnealingLR(opt, 5)", "optim.OneCycleLR(opt, 9, max_lr=0.1)", "optim.WarmupLR(opt, 3)",
    "optim.LambdaLR(opt, lambda s: 1 / (1 + s))", "optim.WarmupLR(opt, 2, optim.StepLR(opt, 1, 0.9))",
]  # fmt: skip


# -- what happens between two steps -----------------------------------------------------------------------------------

EVENTS: dict[str, int] = {
    "model.eval()": 8,
    "model.train()": 8,
    "(list(model.modules()) * 9)[{k}].eval()": 6,
    "model.load_state_dict(saved[0])": 6,
    "saved.insert(0, model.state_dict())": 3,
    "opt.load_state_dict(copy.deepcopy(saved_opt[0]))": 4,
    "saved_opt.insert(0, opt.state_dict())": 3,
    "with tg.no_grad():\n            params[{k}][...] = params[{k}] * 0.5": 6,
    "with tg.no_grad():\n            params[{k}] += 0.1": 4,
    "params[{k}].requires_grad = False": 8,
    "params[{k}].requires_grad = True": 4,
    "opt.param_groups[0]['lr'] *= 0.3": 6,
    "opt.param_groups[-1]['lr'] = np.float32(0.02)": 2,
    "opt.param_groups[0].update(weight_decay=0.05) if 'weight_decay' in opt.param_groups[0] else None": 3,
    "opt.state.clear()": 2,
    "eager()": 5,
    "model(batch(0)[0])": 4,
    "criterion.reduction = 'sum' if criterion.reduction == 'mean' else criterion.reduction": 3,
    "[setattr(m, 'p', 0.4) for m in model.modules() if isinstance(m, nn.Dropout)]": 3,
    "[setattr(m, 'momentum', 0.3) for m in model.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]": 3,
    "[b.__setitem__(..., 1) for b in model.buffers()]": 3,
    "ema.apply()": 3,
    "model.zero_grad()": 2,
    "[setattr(m, 'rng', np.random.default_rng(5)) for m in model.modules() if hasattr(m, 'rng')]": 2,
    "[m.rng.random() for m in model.modules() if hasattr(m, 'rng')]": 2,
    "[p.register_hook(lambda g: g * 0.5) for p in params[{k} : {k} + 1]]": 1,
    "model.apply(lambda m: m.train(not m.training))": 2,
    "params[{k}].grad = tg.tensor(np.ones(params[{k}].shape, DTYPE))": 2,
}
#: What a training may have, and how often it does.
FLAGS = {
    "clip": 0.25,
    "schedule": 0.3,
    "ema": 0.2,
    "aux": 0.35,
    "predict": 0.35,
    "groups": 0.2,
    "frozen": 0.2,
    "some": 0.1,
    "weights": 0.1,
    "accumulate": 0.25,
    "validation": 0.3,
}


@dataclass(frozen=True)
class Network:
    """A network, and how it is trained: everything that its text is derived from."""

    seed: int
    dtype: str
    input: str
    layers: tuple[Part, ...]
    loss: Part
    optimizer: int
    sizes: tuple[int, ...]
    events: tuple[tuple[int, str], ...]
    flags: frozenset[str]
    is_fit: bool

    def source(self) -> str:
        """The module: ``model``, ``loss``, ``opt``, ``batch(i)`` and ``between(i)``."""
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return "\n".join(_text(self)) + "\n"


def draw(seed: int) -> Network:
    """A network, drawn from a seed."""
    r = random.Random(f"network {seed}")
    kinds = {layer.__name__: weight for layer, weight in LAYERS.items()}
    steps = r.randint(3, 6)
    sizes = [r.choice([2, 3, 4])] * steps
    if r.random() < 0.5:
        sizes = [n if r.random() < 0.7 else r.randint(1, 5) for n in sizes]
    return Network(
        seed,
        r.choice(["float64", "float64", "float32"]),
        one_of(r, {name: weight for name, (_, weight) in INPUTS.items()}),
        tuple((one_of(r, kinds), r.randrange(10**6)) for _ in range(r.randint(1, 6))),
        (one_of(r, LOSSES), r.randrange(10**6)),
        r.randrange(10**6),
        tuple(sizes),
        tuple((r.randrange(steps - 1), one_of(r, EVENTS).replace("{k}", f"{r.randrange(9)} % len(params)")) for _ in range(r.choice([0, 0, 1, 1, 2, 3]))),
        frozenset(flag for flag, share in FLAGS.items() if r.random() < share),
        r.random() < 0.25,
    )  # fmt: skip


def small(network: Network) -> Network:
    """One that needs fewer programs: for machine code."""
    return replace(
        network,
        sizes=network.sizes[:1] * 3,
        layers=network.layers[:3],
        events=tuple(event for event in network.events[:1] if event[0] < 2),
        flags=network.flags - {"predict", "validation"},
    )


class _Self:
    """Stands for the network while its layers are written."""

    training = True

    def register_buffer(self, name: str, value: Any) -> None:
        setattr(self, name, value)


def _text(network: Network) -> list[str]:
    space: dict[str, Any] = {"self": _Self()}
    exec(HEAD.format(dtype=network.dtype), space)
    made, lines = [], []
    data = INPUTS[network.input][0]
    space |= {"r": np.random.default_rng(0), "n": 3}
    exec(f"x = {data}", space)
    r = random.Random(f"head {network.seed}")
    before: list[Lines] = []
    optimizers = [text for text in OPTIMIZERS if "Sparse" not in text]
    if network.input == "words":
        sparse = r.random() < 0.35
        padding = r.choice(["", ", padding_idx=1", ", padding_idx=1"])
        before = [
            (
                [
                    f"self.e = nn.Embedding(9, {r.choice([3, 4, 6])}{padding}, sparse={sparse}, rng=1, dtype=DTYPE)"
                ],
                [r.choice(["x = self.e(x)", "x = self.e(x)", "x = self.e(x) + self.e(x % 3)"])],
            )
        ]
        if sparse:
            optimizers = [OPTIMIZERS[i] for i in (0, 1, 8, 9)]

    def add(new: Lines | None, number: int | str) -> None:
        if new is None:
            return
        inits, forward = ([line.replace("{n}", str(number)) for line in part if line] for part in new)
        trial = {**space, "self": space["self"]}
        with contextlib.suppress(Exception):
            for line in [*inits, *forward]:
                exec(line.replace("\n        ", "\n"), trial)
            x = trial["x"]
            if (
                0 < x.size < 20_000
                and x.dtype == space["DTYPE"]
                and x.ndim < 5
                and len(x) == 3
                and x.ndim > 1
            ):
                space["x"] = x
                made.extend(inits)
                lines.extend(forward)

    for new in before:
        add(new, 0)
    for number, (kind, seed) in enumerate(network.layers):
        add(BY_NAME[kind](random.Random(seed), space["x"]), number)
    if space["x"].ndim > 2:
        add(
            (
                [],
                [
                    r.choice(
                        [
                            "x = x.reshape(len(x), -1)",
                            "x = np.mean(x, axis=tuple(range(2, x.ndim)))",
                            "x = x.reshape((x.shape[0], -1))",
                        ]
                    )
                ],
            ),
            "head",
        )
    width = r.choice([CLASSES, CLASSES, 2])
    head = f"nn.Linear({space['x'].shape[1]}, {width}, rng=7, dtype=DTYPE)"
    if r.random() < 0.07:
        head = f"nn.Committee({head}, {head.replace('rng=7', 'rng=8')})"
    add(([f"self.head = {head}"], ["x = self.head(x)"]), "head")

    criterion, last, value, target = loss_lines(
        random.Random(network.loss[1]), network.loss[0], width, network.is_fit
    )
    extra = one_of(random.Random(network.loss[1] + 1), EXTRAS)
    value = (
        (value + extra).format(value)
        if "{}" in extra
        else (f"({value}){extra}" if "*" in extra[:3] else value + extra)
    )
    flags, aux = network.flags, ""
    if "aux" in flags:
        aux = r.choice(AUX)
    o = random.Random(network.optimizer)
    params = "model.parameters()"
    if "groups" in flags:
        params = "[{'params': params[:2]}, {'params': params[2:], 'lr': 0.03}]"
    elif "some" in flags:
        params = "params[1:]"
    batch = [data, target]
    names = ["x", "y"]
    if " * w" in value:
        names.append("w")
        batch.append("r.random(n).astype(DTYPE)")
    return [
        HEAD.format(dtype=network.dtype),
        "class Net(nn.Module):",
        "    def __init__(self):",
        *(f"        {line}" for line in made),
        "",
        "    def forward(self, x):",
        *(f"        {line}" for line in lines),
        f"        return {last}",
        "",
        "model = Net()",
        "params = list(model.parameters())",
        *(["params[0].requires_grad = False"] if "frozen" in flags else []),
        f"criterion = {criterion}",
        f"opt = optim.{o.choice(optimizers).format(params)}",
        f"def loss({', '.join(names)}):",
        "    z = model(x)",
        f"    return {value}{aux}",
        "def batch(i):",
        f"    r, n = np.random.default_rng([{network.seed}, i]), {list(network.sizes)}[i]",
        f"    return {', '.join(batch)}",
        f"schedule = {o.choice(SCHEDULES) if 'schedule' in flags else None}",
        f"ema = optim.ExponentialMovingAverage(params, {0.6 if 'ema' in flags else 0.9})",
        "saved, saved_opt = [model.state_dict()], [opt.state_dict()]",
        "def eager():",
        "    opt.zero_grad()",
        f"    loss(*batch(0)){'[0]' if aux else ''}.backward()",
        "    opt.step()",
        "    opt.zero_grad()",
        "def between(i):",
        *(f"    if i == {i}:\n        {event}" for i, event in network.events),
        "    return None",
        f"options = {{'has_aux': {bool(aux)}, 'clip_norm': {o.choice([0.1, 1.0, 5.0]) if 'clip' in flags else None}}}",
        f"steps = {len(network.sizes)}",
        f"predicts, averages, validates = {'predict' in flags}, {'ema' in flags}, {'validation' in flags}",
        f"accumulate = {o.choice([2, 3]) if 'accumulate' in flags else 1}",
    ]
