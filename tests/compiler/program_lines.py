"""The lines that random programs are made of; operands stand between « and »."""

# ruff: noqa: E501 -- lines of programs, and tables of them

from __future__ import annotations

from typing import Any

import numpy as np

SMOOTH = [
    "sin",
    "cos",
    "tan",
    "tanh",
    "exp",
    "expm1",
    "log",
    "log1p",
    "sqrt",
    "square",
    "arctan",
    "arcsinh",
    "sinh",
    "cosh",
    "exp2",
    "log2",
    "log10",
    "cbrt",
    "reciprocal",
    "arcsin",
    "arccos",
    "arctanh",
    "arccosh",
    "deg2rad",
    "rad2deg",
    "sinc",
]
EXACT = [
    "absolute",
    "negative",
    "positive",
    "sign",
    "floor",
    "ceil",
    "trunc",
    "rint",
    "isnan",
    "isinf",
    "isfinite",
    "signbit",
    "logical_not",
    "conjugate",
    "real",
    "imag",
    "fabs",
    "invert",
    "nan_to_num",
    "isreal",
    "fix",
    "spacing",
]
TWO = [
    "add",
    "subtract",
    "multiply",
    "divide",
    "add",
    "subtract",
    "multiply",
    "divide",
    "maximum",
    "minimum",
    "power",
    "arctan2",
    "hypot",
    "logaddexp",
    "fmod",
    "mod",
    "floor_divide",
    "copysign",
    "equal",
    "not_equal",
    "less",
    "less_equal",
    "greater",
    "greater_equal",
    "logical_and",
    "logical_or",
    "logical_xor",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "left_shift",
    "right_shift",
    "fmax",
    "fmin",
    "heaviside",
    "nextafter",
    "logaddexp2",
    "float_power",
    "remainder",
    "gcd",
    "lcm",
]
OPERATORS = [
    "+",
    "-",
    "*",
    "/",
    "+",
    "-",
    "*",
    "/",
    "+",
    "-",
    "*",
    "//",
    "%",
    "**",
    "<",
    "<=",
    "==",
    "!=",
    ">",
    ">=",
    "&",
    "|",
    "^",
    "<<",
    ">>",
]
NETWORK = [
    "relu",
    "sigmoid",
    "softplus",
    "elu",
    "gelu",
    "leaky_relu",
    "softmax",
    "log_softmax",
    "logsumexp",
    "erf",
]
REDUCTIONS = (
    "sum sum sum mean mean max min prod var std any all argmax argmin ptp " * 2
    + "median nansum nanmax nanmean"
).split()
METHODS = ["sum", "sum", "mean", "max", "min", "prod", "var", "std", "any", "all", "argmax", "argmin"]

Drawn = Any


def real(value: Any) -> bool:
    return np.asarray(value).dtype.kind in "fui"


def is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray)


def deep(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.ndim > 0


def floating(value: Any) -> bool:
    return isinstance(value, (np.ndarray, np.floating)) and value.dtype.kind == "f"


def writable(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.flags.writeable and value.ndim > 0 and value.size > 0


def operand(d: Any, like: Any = None) -> str:
    """Something that meets an array: most often of a shape that fits."""
    draw = d.random.random()
    if draw < 0.16:
        return constant(d)
    if like is not None and draw < 0.85:
        shape = np.shape(like)

        def fits(value: Any) -> bool:
            try:
                return bool(np.prod(np.broadcast_shapes(shape, np.shape(value))) <= d.most)
            except ValueError:
                return False

        return f"«{d.pick(fits)}»"
    return f"«{d.pick()}»"


def constant(d: Any) -> str:
    if not d.free:
        return d.random.choice(
            ["2", "0.5", "-1.5", "3.0", "1", "np.float64(0.25)", "np.float32(2.0)", "-1", "1e-3", "np.pi"]
        )
    return d.random.choice(
        [
            "2",
            "0.5",
            "-1.5",
            "3",
            "0",
            "1",
            "-1",
            "-0.0",
            "0.0",
            "1.0",
            "True",
            "1e-3",
            "np.pi",
            "1e10",
            "7",
            "255",
            "-128",
            "np.float32(1.5)",
            "np.float64(0.1)",
            "np.int8(3)",
            "np.uint8(200)",
            "np.int64(2)",
            "np.float16(0.5)",
            "2j",
            "np.bool_(True)",
            "np.nan",
            "np.inf",
            "1e-300",
            "3.5",
            "False",
            "array(2)",
            "array(0.5)",
            "array([2.0])",
            d.array(d.dtype(), (d.random.choice(d.dims),)),
        ]
    )


def unary(d: Any) -> Drawn:
    a = d.pick()
    name = d.random.choice(SMOOTH + EXACT)
    return f"{d.new()} = np.{name}(«{a}»)", name in SMOOTH


def unary_operator(d: Any) -> Drawn:
    a = d.pick()
    return f"{d.new()} = {d.random.choice(['-', 'abs(', '~', '+'])}«{a}»".replace(
        "abs(«" + a + "»", f"abs(«{a}»)"
    ), False


def binary(d: Any) -> Drawn:
    a = d.pick()
    b = operand(d, d.value(a))
    left, right = (f"«{a}»", b) if d.chance(0.6) else (b, f"«{a}»")
    return f"{d.new()} = np.{d.random.choice(TWO)}({left}, {right})"


def operator(d: Any) -> Drawn:
    a = d.pick()
    b = operand(d, d.value(a))
    left, right = (f"«{a}»", b) if d.chance(0.6) else (b, f"«{a}»")
    return f"{d.new()} = {left} {d.random.choice(OPERATORS)} {right}"


def chain(d: Any) -> Drawn:
    """Several operations in a line, of the kinds that rewrites look for."""
    a = d.pick(lambda v: np.asarray(v).dtype.kind in "fiu")
    b = operand(d, d.value(a))
    c = constant(d)
    text = d.random.choice(
        [
            "np.exp(«A» - np.log(B))", "«A» * C * B", "(«A» + C) * C", "«A» / C / B", "C / («A» * C)", "«A» - («A» - B)",
            "-(-«A»)", "np.sum(«A» * C)", "np.sum(«A» * B)", "np.mean(«A» * «A»)", "np.sum(«A» ** 2)", "np.sqrt(«A» * «A» + B * B)",
            "1 / (1 + np.exp(-«A»))", "«A» * C + «A»", "(«A» > C) * B", "«A» ** 2 * C", "«A» ** 0.5", "«A» ** -1", "«A» ** 3",
            "(«A» + 0) * 1", "«A» * 0 + B", "0 - «A»", "«A» - 0.0", "1 * «A» / 1", "np.exp(«A») / np.sum(np.exp(«A»))",
            "np.log(np.sum(np.exp(«A»)))", "(«A» - np.mean(«A»)) / (np.std(«A») + C)", "np.mean((«A» - B) ** 2)",
            "np.maximum(«A», 0) - np.minimum(«A», 0)", "np.where(«A» > 0, «A», C * «A»)", "«A» * True", "(«A» == B) + («A» > B)",
            "np.add(«A», B) * np.add(«A», B)", "«A» * C * C", "«A» / 1e-39", "«A» / 3 * 3", "«A» * 1e200 * 1e-200", "np.sum(«A») * C",
            "np.sum(-«A»)", "np.sum(«A» / C)", "np.square(«A») - B", "np.abs(«A») * np.sign(«A»)", "«A» % C", "np.log(np.exp(«A»))",
            "np.exp(np.log(«A»))", "np.sum(«A» * C, axis=-1) / C", "np.sum(np.sum(«A» * C, axis=0) * C)", "(«A» > 0) * 2.5",
            "«A» / np.sum(«A»)", "«A» * np.sum(B)", "C - (C - «A»)", "(«A» // 2) * 2 + «A» % 2", "np.mean(«A») * np.ones(3)",
            "sum([«A», B, «A»])", "max(1, 2) * «A»", "np.add.reduce(«A») * C", "np.maximum(«A», C).sum()", "«A»[..., None] * C",
        ]
    )  # fmt: skip
    return f"{d.new()} = {text.replace('A', a).replace('B', b).replace('C', c)}"


def reduction(d: Any) -> Drawn:
    a = d.pick(is_array)
    value = d.value(a)
    method = d.chance(0.35)
    name = d.random.choice(METHODS if method else REDUCTIONS)
    settings = []
    if d.chance(0.65) and value.ndim:
        axis = d.random.randrange(-value.ndim, value.ndim)
        settings.append(
            f"axis={axis}"
            if d.chance(0.85) or name.startswith("arg")
            else f"axis={tuple(range(value.ndim))[:2]}"
        )
    if d.chance(0.25) and name != "ptp":
        settings.append("keepdims=True")
    if d.chance(0.15) and name in ("sum", "mean", "max", "min", "prod", "any", "all", "std", "var"):
        mask = (
            d.pick(lambda v: is_array(v) and v.dtype == bool and v.shape == value.shape)
            if d.chance(0.5)
            else None
        )
        settings.append(f"where=«{mask}»" if mask else f"where=«{a}» > 0")
        if name in ("max", "min"):
            settings.append(f"initial={d.random.choice(['0', '-1', '5', 'np.inf'])}")
    elif d.chance(0.08) and name in ("sum", "max", "min", "prod"):
        settings.append(f"initial={d.random.choice(['0', '-1', '2.5', '5', 'np.float32(2)'])}")
    if d.chance(0.1) and name in ("sum", "mean", "prod", "std", "var"):
        settings.append(
            f"dtype={d.random.choice(['np.float64', 'np.float32', 'float', 'int', 'np.int64', 'complex'])}"
        )
    if d.chance(0.2) and name in ("std", "var"):
        settings.append("ddof=1")
    rounds = name not in ("max", "min", "any", "all", "argmax", "argmin", "nanmax")
    if method:
        return f"{d.new()} = «{a}».{name}({', '.join(settings)})", rounds
    return f"{d.new()} = np.{name}({', '.join([f'«{a}»', *settings])})", rounds


def ufunc_method(d: Any) -> Drawn:
    a = d.pick(deep)
    name = d.random.choice(
        [
            "add",
            "multiply",
            "maximum",
            "minimum",
            "logical_or",
            "logical_and",
            "subtract",
            "bitwise_xor",
            "hypot",
        ]
    )
    method = d.random.choice(["reduce", "reduce", "accumulate", "outer"])
    if method == "outer":
        b = d.pick(lambda v: np.size(v) < 8)
        return f"{d.new()} = np.{name}.outer(«{a}», «{b}»)"
    settings = d.random.choice(
        ["", ", axis=0", ", axis=-1"] + ([", axis=None", ", keepdims=True"] if method == "reduce" else [])
    )
    return f"{d.new()} = np.{name}.{method}(«{a}»{settings})"


def quantile(d: Any) -> Drawn:
    a = d.pick(lambda v: is_array(v) and v.dtype.kind in "fiu")
    q = d.random.choice(["0.5", "[0.25, 0.75]", "0.3", "0.0", "1.0"])
    axis = d.random.choice(["", ", axis=0", ", axis=-1", ", keepdims=True"])
    return f"{d.new()} = " + d.random.choice(
        [f"np.quantile(«{a}», {q}{axis})", f"np.median(«{a}»{axis})", f"np.percentile(«{a}», 30{axis})"]
    )


def view(d: Any) -> Drawn:
    a = d.pick(is_array)
    return f"{d.new()} = {view_of(d, a)}", False


def view_of(d: Any, a: str) -> str:
    value = d.value(a)
    n = value.ndim
    one = d.random.randrange(n) if n else 0
    other = d.random.randrange(n) if n else 0
    axes = tuple(d.random.sample(range(n), n))
    size = value.size
    return d.random.choice(
        [
            f"«{a}».T", f"np.transpose(«{a}»)", f"«{a}».reshape(-1)", f"np.reshape(«{a}», (1, -1))", f"«{a}».ravel()",
            f"np.ravel(«{a}»)", f"np.flip(«{a}»)", f"np.flip(«{a}», {one})", f"np.swapaxes(«{a}», {one}, {other})", f"«{a}»[None]",
            f"np.expand_dims(«{a}», {one})", f"np.squeeze(«{a}»)", f"np.broadcast_to(«{a}», {(2, *value.shape)})",
            f"«{a}».transpose({axes})" if n else f"«{a}»[...]", f"«{a}»[..., None]", f"np.moveaxis(«{a}», {one}, -1)",
            f"«{a}»[::-1]", f"«{a}».swapaxes({one}, {other})", f"«{a}»[:]", f"np.atleast_2d(«{a}»)", f"«{a}».squeeze()",
            f"«{a}».reshape({(size, 1)})", f"«{a}».reshape({size}, 1)", f"np.rollaxis(«{a}», {one})", f"«{a}»[...]",
            f"np.diagonal(«{a}»)", f"«{a}».real", f"np.asarray(«{a}»)", f"np.atleast_1d(«{a}»)", f"«{a}».diagonal()",
            f"np.split(«{a}», 1)[0]", f"np.array_split(«{a}», 2)[-1]", f"«{a}».view()", f"«{a}».flat[:2]", f"np.rot90(«{a}»)",
        ]
    )  # fmt: skip


def rearranged(d: Any) -> Drawn:
    """Copies in another order."""
    a = d.pick(is_array)
    value = d.value(a)
    axis = d.random.randrange(-value.ndim, value.ndim) if value.ndim else 0
    b = d.pick(lambda v: is_array(v) and v.shape == value.shape)
    text = d.random.choice(
        [
            f"«{a}».copy()", f"«{a}».flatten()", f"np.roll(«{a}», {d.random.choice([1, -1, 2])})", f"np.roll(«{a}», 1, axis={axis})",
            f"np.repeat(«{a}», 2, axis={axis})", f"np.tile(«{a}», 2)", f"np.concatenate([«{a}», «{b}»], axis={axis})",
            f"np.stack([«{a}», «{b}»], axis={axis})", f"np.concatenate((«{a}», «{b}»))", f"np.hstack([«{a}», «{b}»])",
            f"np.vstack([«{a}», «{b}»])", f"np.sort(«{a}», axis={axis})", f"np.argsort(«{a}», axis={axis}, kind='stable')",
            f"np.clip(«{a}», -1, 1)", f"np.clip(«{a}», 2, 1)", f"«{a}».clip(0)", f"np.clip(«{a}», None, «{b}»)", f"np.tril(«{a}»)",
            f"np.triu(«{a}», 1)", f"np.diag(«{a}»)", f"np.pad(«{a}», 1)", f"np.append(«{a}», «{b}»)", f"np.where(«{a}» > 0, «{a}», «{b}»)",
            f"np.where(«{b}», «{a}», 0)", f"np.round(«{a}», 1)", f"«{a}».round()", f"np.zeros_like(«{a}»)", f"np.ones_like(«{a}») * «{b}»",
            f"np.full_like(«{a}», 3)", f"np.trace(«{a}»)", f"np.partition(«{a}», 0)", f"np.select([«{a}» > 0, «{a}» < -1], [«{a}», «{b}»], 7)",
            f"np.array([«{a}», «{b}»])", f"np.meshgrid(«{a}», «{b}»)[0]", f"np.ediff1d(«{a}»)", f"np.delete(«{a}», 0, axis={axis})",
            f"np.array(«{a}»)", f"np.array(«{a}», copy=True)", f"np.column_stack([«{a}», «{b}»])", f"np.broadcast_arrays(«{a}», «{b}»)[0]",
            f"np.insert(«{a}», 0, 5)", f"np.empty_like(«{a}») * 0 if False else «{a}» + 0", f"np.kron(«{a}», «{b}»)", f"np.unwrap(«{a}»)",
        ]
    )  # fmt: skip
    return f"{d.new()} = {text}", any(n in text for n in ("round", "unwrap", "kron", "diff", "* «", "+ 0"))


def cumulative(d: Any) -> Drawn:
    a = d.pick(is_array)
    value = d.value(a)
    axis = d.random.randrange(-value.ndim, value.ndim) if value.ndim else 0
    return f"{d.new()} = " + d.random.choice(
        [
            f"np.cumsum(«{a}»)", f"np.cumsum(«{a}», axis={axis})", f"np.cumprod(«{a}», axis={axis})", f"«{a}».cumsum({axis})",
            f"np.diff(«{a}», axis={axis})", f"np.cumsum(«{a}», dtype=np.float64)", f"np.average(«{a}», axis={axis})",
            f"np.linalg.norm(«{a}»)", f"np.linalg.norm(«{a}», axis={axis})", f"np.gradient(«{a}»)" , f"np.trapezoid(«{a}»)",
            f"np.convolve(«{a}», [1.0, 2.0])", f"np.cov(«{a}»)", f"np.interp(«{a}», [0.0, 1.0], [1.0, 3.0])", f"np.count_nonzero(«{a}»)",
            f"np.bincount(«{a}» % 7, minlength=3)", f"np.searchsorted([0, 1, 2], «{a}»)", f"np.digitize(«{a}», [0, 1])",
            f"np.maximum.accumulate(«{a}», axis={axis})", f"np.logaddexp.reduce(«{a}», axis={axis})",
        ]
    )  # fmt: skip


def product(d: Any) -> Drawn:
    a = d.pick(deep)
    value = d.value(a)
    b = d.pick(lambda v: deep(v) and (v.shape[-2:] or (0,))[0] == value.shape[-1])
    return f"{d.new()} = " + d.random.choice(
        [
            f"«{a}» @ «{b}»", f"np.matmul(«{a}», «{b}»)", f"np.dot(«{a}», «{b}»)", f"«{a}».dot(«{b}»)", f"«{a}» @ «{a}».T",
            f"np.outer(«{a}», «{b}»)", f"np.einsum('ij,jk->ik', «{a}», «{b}»)", f"np.einsum('i,i->', «{a}», «{b}»)",
            f"np.einsum('ij->j', «{a}»)", f"np.einsum('ij,ij->i', «{a}», «{a}»)", f"np.tensordot(«{a}», «{b}», axes=1)",
            f"np.inner(«{a}», «{a}»)", f"np.vdot(«{a}», «{a}»)", f"np.dot(2.5, «{a}»)", f"np.dot(np.sum(«{a}»), «{a}»)",
            f"«{a}».T @ «{a}»", f"np.einsum('...i,...i', «{a}», «{a}»)", f"np.cross(«{a}», «{a}»)", f"F.linear(«{a}», «{b}».T)",
            f"np.einsum('ii', «{a}»)", f"np.linalg.multi_dot([«{a}», «{b}», «{b}».T])", f"np.vecdot(«{a}», «{a}»)",
        ]
    )  # fmt: skip


def network(d: Any) -> Drawn:
    a = d.pick(floating)
    name = d.random.choice(NETWORK)
    axis = (
        d.random.choice(["", ", axis=-1", ", axis=0"])
        if name in ("softmax", "log_softmax", "logsumexp")
        else ""
    )
    return f"{d.new()} = F.{name}(«{a}»{axis})"


def index(d: Any, a: str, writing: bool = False) -> str:
    """An index into a, as text."""
    value = d.value(a)
    n = value.shape[0] if value.ndim else 0
    last = value.shape[-1] if value.ndim else 0
    i = d.random.randrange(-n, n) if n else 0
    j = d.random.randrange(-last, last) if last else 0
    kinds = [
        str(i), str(i), f"{i}:", f":{i}", "::2", "::-1", "...", f"..., {j}", f"..., {j}", f"{i}, ..., {j}", "1:3", f":, {j}", "None",
        f"{i}:{i + 2}", "..., ::-1", f"[{i}, {i}]", f"np.array([{i}, 0])", f"np.int64({i})", f"array({i})", f"..., [{j}, 0]",
        f"[{i}], ..., [{j}]", f"slice(None, {i})", f"{i}, None", "[]", f"[[{i}, 0], [0, {i}]]", f"np.arange({n}), 0", f"-1:{-n - 1}:-1",
        "()", "True", f"np.arange({n})", f"::{d.random.choice([-2, 3])}", f"..., {min(j, 0)}:", f"[True] + [False] * {max(n - 1, 0)}",
        f"np.ix_([0, {i}], [{j}])", f"{n + 3}:", f":, None, {j}",
    ]  # fmt: skip
    text = d.random.choice(kinds)
    if d.chance(0.33):  # computed, or an argument
        what = d.random.random()
        try:
            if what < 0.35:
                mask = d.pick(
                    lambda v: is_array(v) and v.dtype == bool and v.ndim and v.shape == value.shape[: v.ndim]
                )
                text = f"«{mask}»"
            elif what < 0.8:
                with_ints = d.pick(lambda v: index_like(v, n))
                text = f"«{with_ints}»" if d.chance(0.7) else f"..., «{with_ints}»"
            elif what < 0.9:
                text = f"np.arange({n}), «{d.pick(lambda v: deep(v) and index_like(v, last) and v.shape == (n,))}»"
            else:
                text = f"«{a}» > 0"
        except LookupError:
            pass
    return text


def index_like(value: Any, n: int) -> bool:
    value = np.asarray(value)
    if value.dtype.kind not in "iu" or not value.size:
        return False
    # As Python's numbers: NumPy before 2.2.2 reads beyond unsigned arrays where they are compared with negative ones.
    return -n <= int(value.min()) and int(value.max()) < n


def taken(d: Any) -> Drawn:
    a = d.pick(deep)
    return f"{d.new()} = «{a}»[{index(d, a)}]", False


def looked_up(d: Any) -> Drawn:
    i = d.pick(lambda v: isinstance(v, (np.ndarray, int, np.integer)) and index_like(v, 6))
    a = d.pick(deep)
    axis = d.random.choice(["", ", axis=0", ", axis=-1"])
    return f"{d.new()} = " + d.random.choice(
        [
            f"np.eye(6)[«{i}»]", f"np.take(«{a}», «{i}»{axis})", f"F.one_hot(«{i}», 6)", f"«{a}»[«{i}»]", f"«{a}».take(«{i}»)",
            f"np.arange(6.0)[«{i}»]", f"np.identity(6)[«{i}»] * 2", f"[10, 20, 30, 40, 50, 60][«{i}»]", f"np.take(«{a}», «{i}», mode='clip')",
            f"np.eye(6, dtype=np.float32)[«{i}»] + 1", f"np.take(«{a}», «{i}», mode='wrap')", f"np.take_along_axis(«{a}», «{i}»[..., None], -1)",
            f"np.choose(«{i}», [«{a}», «{a}»], mode='clip')", f"np.eye(6)[:, «{i}»]", f"«{a}»[«{a}»[0].astype(int) % len(«{a}»)]",
            f"«{a}»[np.argmax(«{a}»)]" , f"«{a}»[np.argsort(«{a}»)]", f"«{a}»[np.argmin(«{a}», axis=0)]", f"«{a}»[«{i}» - 1]", f"«{a}»[-«{i}»]",
            f"«{a}»[«{i}», 0]" , f"«{a}»[0, «{i}»]", f"«{a}»[«{i}»:«{i}» + 2]", f"«{a}»[:«{i}»]",
        ]
    ), False  # fmt: skip


def cast(d: Any) -> Drawn:
    a = d.pick(is_array)
    dtype = d.random.choice(
        [
            "np.float64",
            "np.float32",
            "np.float16",
            "np.int64",
            "np.int32",
            "np.uint8",
            "np.int8",
            "bool",
            "float",
            "int",
            "complex",
            "'f4'",
        ]
    )
    return f"{d.new()} = " + d.random.choice(
        [f"«{a}».astype({dtype})", f"«{a}».astype({dtype})", f"np.asarray(«{a}», {dtype})", f"«{a}».astype({dtype}, copy=False)"]
    ), False  # fmt: skip


def made(d: Any) -> Drawn:
    """A new array, to be written into."""
    a = d.pick(is_array)
    shape = str(d.value(a).shape) if d.chance(0.5) else f"«{a}».shape"
    dtype = d.random.choice(["", ", dtype=«A».dtype", ", np.float32", ", int"]).replace("A", a)
    name = d.new()
    d.owned.add(name)
    return f"{name} = " + d.random.choice(
        [f"np.zeros({shape}{dtype})", f"np.ones({shape}{dtype})", f"np.full({shape}, 2.5)", f"«{a}».copy()", f"np.zeros_like(«{a}»)",
         "np.arange(6.0)", "np.linspace(0, 1, 4)", "np.eye(3)", "np.array([1.0, 2.0, 3.0])", f"«{a}» * 1"]
    ), False  # fmt: skip


def target(d: Any) -> str:
    """What is written into: most often what the program made itself."""
    if d.chance(0.75):
        return d.pick(writable, [n for n in d.names if n.startswith("v")])
    return d.pick(writable)


def item_set(d: Any) -> Drawn:
    a = target(d)
    b = operand(d) if d.chance(0.6) else constant(d)
    op = d.random.choice(["=", "=", "+=", "-=", "*=", "/=", "**=", "//="])
    return f"{a}[{index(d, a, True)}] {op} {b}", op != "=", (a,)


def increased(d: Any) -> Drawn:
    a = target(d)
    return (
        f"{a} {d.random.choice(['+=', '-=', '*=', '/=', '**=', '%=', '//=', '&=', '|='])} {operand(d, d.value(a))}",
        True,
        (a,),
    )


def through_view(d: Any) -> Drawn:
    """Written into through a view of it."""
    a = target(d)
    b = constant(d) if d.chance(0.6) else operand(d)
    how = d.random.choice(["[...] = {}", " += {}", "[0] = {}", "[...] *= {}", "[-1:] += {}", "[::2] = {}"])
    name = d.new()
    return (
        f"w{name[1:]} = {view_of(d, a).replace('«', '').replace('»', '')}; w{name[1:]}{how.format(b)}",
        True,
        (a,),
    )


def out(d: Any) -> Drawn:
    a = target(d)
    value = d.value(a)
    b = operand(d, value)
    c = d.pick()
    return d.random.choice(
        [
            f"np.add({b}, «{c}», out={a})", f"np.multiply({b}, «{c}», {a})", f"np.exp(«{c}», out={a})", f"np.negative({a}, out={a})",
            f"np.maximum({b}, 0, out={a}[::-1])", f"np.sum(«{c}», axis=0, out={a})", f"np.copyto({a}, «{c}»)", f"np.cumsum(«{c}», axis=0, out={a})",
            f"np.clip(«{c}», 0, 1, out={a})", f"np.add({b}, 1, out={a}, where=«{c}» > 0)", f"np.subtract({a}[::-1], {a}, out={a})",
            f"{a}.fill(3)", f"{a}.sort()", f"np.put({a}, 0, 9)", f"np.add.at({a}, [0, 0], {b})", f"np.matmul(«{c}», «{c}», out={a})",
            f"np.fill_diagonal({a}, 4)", f"np.copyto({a}, {b}, where=«{c}» > 0)", f"np.add({a}[:-1], {a}[1:], out={a}[1:])",
            f"np.put_along_axis({a}, np.zeros((1,) * {value.ndim}, int), 2, 0)", f"np.place({a}, {a} > 0, [7])", f"np.putmask({a}, {a} > 0, {b})",
            f"{a}[...], {a}[0] = {b}, 1", f"{a}.sort(axis=0)", f"np.take(«{c}», [0], axis=0, out={a}[:1])", f"np.dot(«{c}», «{c}», out={a})",
            f"np.greater(«{c}», 0, out={a})", f"np.stack([«{c}», «{c}»], out={a})", f"{a}.flat[0] = 3", f"{a}.T[0] = {b}", f"{a}.resize({a}.shape)",
            f"np.add({b}, «{c}», out={a}, casting='unsafe')", f"np.add({b}, «{c}», out={a}, dtype=np.float32)", f"np.mean(«{c}», axis=-1, out={a})",
        ]
    ), True, (a,)  # fmt: skip


def named_out(d: Any) -> Drawn:
    a = target(d)
    b = operand(d, d.value(a))
    return (
        f"{d.new()} = "
        + d.random.choice([f"np.add({b}, 1, out={a})", f"np.sin({b}, out={a})", f"np.where({b}, {a}, 0)"]),
        True,
        (a,),
    )


def with_where(d: Any) -> Drawn:
    """A ufunc with settings."""
    a = d.pick(is_array)
    b = operand(d, d.value(a))
    return f"{d.new()} = " + d.random.choice(
        [
            f"np.add(«{a}», {b}, dtype=np.float64)", f"np.multiply(«{a}», {b}, dtype=np.float32)", f"np.add(«{a}», {b}, out=np.zeros(np.broadcast_shapes(«{a}».shape, np.shape({b}))), where=«{a}» > 0)",
            f"np.divide(«{a}», {b}, out=np.zeros_like(«{a}»), where=«{a}» != 0)", f"np.divmod(«{a}», {b})[0]", f"np.modf(«{a}»)[0]",
            f"np.frexp(«{a}»)[0]", f"np.ldexp(«{a}», 2)", f"np.divmod(«{a}», {b})[1]", f"np.add(«{a}», {b}, casting='unsafe')", f"np.isclose(«{a}», {b})",
            f"np.log(«{a}», where=«{a}» > 0, out=np.ones_like(«{a}»))", f"np.add(«{a}», {b}, subok=False)", f"np.allclose(«{a}», {b})", f"np.array_equal(«{a}», {b})",
        ]
    )  # fmt: skip


def loop(d: Any) -> Drawn:
    a = d.pick(is_array)
    value = d.value(a)
    name = d.new()
    b = operand(d, value)
    return f"{name} = «{a}»" + d.random.choice(
        [
            f"\nfor _k in range(3): {name} = {name} * 0.5 + {b}", f" * 1\nfor _k in range(3): {name} += _k * {b}",
            f" * 0\nfor _row in «{a}»: {name} = {name} + _row", f" + 0\nfor _k in range(len({name})): {name}[_k] = {name}[_k] + {name}[0]",
            f" * 0\nfor _k, _row in enumerate(«{a}»): {name}[_k] = _row * _k", f"\n{name} = sum(_row * 2 for _row in {name})",
            f"\n{name} = np.stack([_row + _k for _k, _row in enumerate({name})])", f"\n{name}, *_rest = {name}",
            f"\n{name} = (lambda z, w=2: z * w + {b})({name})", f"\nwhile len({name}) > 2: {name} = {name}[1:]",
            f"\n_acc = []\nfor _k in range(3): _acc.append({name} + _k)\n{name} = _acc[0] + _acc[-1]",
            f"\n_old = {name}\n{name} = {name} + 1\n{name} += _old",
            f" * 1\n_old = {name} * 1\n{name} += 1\n{name} = {name} * _old + {name}.shape[-1]",
            f"\nif {name}.ndim > 1: {name} = {name}[0]", f"\ntry: {name} = {name} + np.ones(99)\nexcept ValueError: {name} = {name} + 5",
            f"\nwith np.errstate(all='ignore'): {name} = {name} / 0",
            f"\nwith tg.no_grad(): {name} = {name} * 2",
        ]
    )  # fmt: skip


def attribute(d: Any) -> Drawn:
    a = d.pick(is_array)
    return f"{d.new()} = " + d.random.choice(
        [f"«{a}».shape[-1] * 1.5", f"len(«{a}»)", f"«{a}».size", f"«{a}».ndim + np.sum(«{a}»)", f"«{a}».dtype.type(3)", f"np.shape(«{a}»)[0]",
         f"«{a}».nbytes", f"np.finfo(«{a}».dtype).eps * «{a}»", f"np.result_type(«{a}», 1.0).type(2)", f"np.ndim(«{a}») + «{a}»", f"«{a}».itemsize * «{a}»",
         f"isinstance(«{a}», np.ndarray) * «{a}»", f"np.size(«{a}», 0)", f"«{a}».mean().astype(np.float32)", f"«{a}».max()[...]", f"np.float32(1) * «{a}».sum()"]
    )  # fmt: skip


def drawn(d: Any) -> Drawn:
    """Random numbers."""
    r = d.pick(among=d.generators)
    n = d.random.choice([2, 3, "(2, 3)", "None", "()"])
    return f"{d.new()} = " + d.random.choice(
        [
            f"{r}.normal(size={n})", f"{r}.random({n})", f"{r}.integers(0, 6, {n})", f"{r}.uniform(-1, 1, {n})", f"{r}.standard_normal({n})", f"{r}.permutation(5)",
            f"{r}.choice(5, {n})", f"{r}.exponential(size={n})", f"{r}.random({n}, dtype=np.float32)", f"{r}.binomial(3, 0.5, {n})", f"{r}.permutation(«{d.pick(deep)}»)",
            f"F.dropout(«{d.pick(floating)}», 0.5, rng={r})", f"{r}.normal(«{d.pick(floating)}»)", f"{r}.normal(0.0, 2.0, «{d.pick(is_array)}».shape)",
        ]
    ), False  # fmt: skip


def called(d: Any) -> Drawn:
    """A layer of a network, or a loss."""
    a = d.pick(floating)
    value = d.value(a)
    if d.modules and d.chance(0.6):
        return f"{d.new()} = {d.modules[0]}(«{a}»)"
    b = d.pick(lambda v: floating(v) and v.shape == value.shape)
    i = (
        d.pick(
            lambda v: (
                deep(v) and v.shape == value.shape[:1] and index_like(v, value.shape[-1]) and np.all(v >= 0)
            )
        )
        if d.chance(0.3)
        else None
    )
    how = d.random.choice(["", ", reduction='sum'", ", reduction='none'"])
    losses = [
        f"F.{n}(«{a}», «{b}»{how})"
        for n in ("mse_loss", "l1_loss", "huber_loss", "binary_cross_entropy_with_logits")
    ]
    return f"{d.new()} = " + (f"F.cross_entropy(«{a}», «{i}»{how})" if i else d.random.choice(losses))


def transformed(d: Any) -> Drawn:
    """A derivative within the function."""
    a = d.pick(lambda v: floating(v) and v.size < 10)
    b = d.pick(lambda v: floating(v) and v.shape == d.value(a).shape)
    inner = d.random.choice(
        [
            f"np.sum(np.sin(q) * «{b}»)",
            "np.sum(q * q * q)",
            f"np.mean(np.exp(-q) * q) + np.sum(«{b}»)",
            "np.sum(np.tanh(q) ** 2)",
        ]
    )
    map_ = d.random.choice([f"np.sin(q) * «{b}»", "q * q", "np.tanh(q)"])
    return f"{d.new()} = " + d.random.choice(
        [
            f"tg.grad(lambda q: {inner})(«{a}»)", f"tg.value_and_grad(lambda q: {inner})(«{a}»)[1]", f"tg.value_and_grad(lambda q: {inner})(«{a}»)[0]",
            f"tg.jvp(lambda q: {map_}, («{a}»,), («{b}»,))[1]", f"tg.vjp(lambda q: {map_}, «{a}»)[0]", f"tg.checkpoint(lambda q: {map_})(«{a}»)",
            f"tg.hvp(lambda q: {inner}, («{a}»,), («{b}»,))", f"tg.jacobian(lambda q: {map_})(«{a}»)", f"tg.hessian(lambda q: {inner})(«{a}»)",
            f"tg.grad(lambda q: np.sum(tg.grad(lambda r: np.sum(r ** 3))(q)))(«{a}»)", f"tg.compile(lambda q: {map_})(«{a}»)",
        ]
    )  # fmt: skip


def effect(d: Any) -> Drawn:
    """What is seen from outside."""
    v = d.pick()
    names = [n for n in d.names if n[0] in "LDOG" and n[1].isdigit()]
    n = d.pick(among=names)
    base = n.split("[")[0].split(".")[0]
    return d.random.choice(
        {
            "L": [f"{base}.append(1)", f"{base}[0] = «{v}»", f"{base}[1] += 1", f"{base}.append(«{v}»)", f"{base}.reverse()"],
            "D": [f"{base}['n'] = {base}.get('n', 0) + 1", f"{base}['k'] = «{v}»", f"{base}['new'] = «{v}»", f"{base}.setdefault('z', 2)", f"{base}.pop('min', 0)"],
            "O": [f"{base}.x = «{v}»", f"{base}.count = getattr({base}, 'count', 0) + 1", f"{base}.last = «{v}»", f"{base}.y += 1"],
            "G": [f"{base} = «{v}»", f"{base} = {base} + 1"],
        }[base[0]]
    ), True  # fmt: skip


def control(d: Any) -> Drawn:
    """Python around the arrays."""
    a = d.pick(is_array)
    value = d.value(a)
    b = operand(d, value)
    name = d.new()
    return d.random.choice(
        [
            f"{name} = «{a}» if «{a}».ndim > 1 else «{a}» * 2", f"{name} = (_w := «{a}» + 1) * _w", f"{name} = [q * 2 for q in («{a}», {b})][0]", f"{name} = {{'a': «{a}», 'b': {b}}}['b'] * 2",
            f"def _g(q, depth): return q if depth == 0 else _g(q * 0.5, depth - 1)\n{name} = _g(«{a}», 3)", f"try: {name} = «{a}» * 3\nfinally: pass", f"assert «{a}».ndim < 9\n{name} = «{a}» + 0",
            f"_d = dict(q=«{a}»)\n_d['q'] = _d['q'] + {b}\n{name} = _d.pop('q')", f"_l = [«{a}», {b}]\n_l[0], _l[1] = _l[1], _l[0]\n{name} = _l[0] * 1", f"{name} = functools.reduce(lambda p, q: p + q, [«{a}», {b}, «{a}»])",
            f"match «{a}».ndim:\n    case 1: {name} = «{a}» * 2\n    case _: {name} = «{a}» * 3", f"{name} = «{a}»\nfor _n in «{a}».shape: {name} = {name} * _n", f"{name} = max(«{a}».shape, default=0) * «{a}»",
            f"{name} = sum(map(np.sum, [«{a}», {b}]))", f"_s = types.SimpleNamespace(q=«{a}»)\n_s.q = _s.q + 1\n{name} = _s.q", f"{name} = float(len(str(«{a}».shape))) * «{a}»", f"{name} = next(q for q in [«{a}», {b}]) * 1",
            f"{name} = «{a}» * 1\ndel _k" if False else f"{name} = «{a}» * 1", f"{name} = np.array([np.sum(«{a}»), 2.0]).sum()", f"{name} = np.vectorize(lambda q: q * 2)(«{a}»)", f"{name} = np.apply_along_axis(np.sum, 0, «{a}»)",
            f"if np.sum(«{a}») > 0: {name} = «{a}» * 1\nelse: {name} = «{a}» * -1", f"{name} = float(np.sum(«{a}»)) * 2", f"{name} = «{a}».tolist()[0] if «{a}».ndim == 1 else 1", f"{name} = np.sum(«{a}»).item() + 1",
            f"with np.errstate(all='raise'): {name} = np.sqrt(np.abs(«{a}»)) / (np.abs(«{a}») + 1)", f"with np.errstate(divide='raise', invalid='raise'): {name} = «{a}» / {b}", f"{name} = np.zeros(3)\n{name}[:] = [np.sum(«{a}»), 1, 2]",
            f"{name} = np.asarray([1.0, 2.0]) * np.sum(«{a}»)", f"if «{a}».shape[:1] == (3,): raise KeyError('three')\n{name} = «{a}» * 1", f"{name} = (lambda *p, **k: p[0] * k['k'])(«{a}», k=2)", f"{name} = np.sum([«{a}», «{a}»])",
            f"{name} = np.einsum('...->', «{a}») * 2", f"{name} = np.nditer(«{a}»).value * 1", f"{name} = sorted([«{a}».ndim, 1])[0] * «{a}»", f"{name} = [*«{a}»][0]", f"{name} = np.mean([np.sum(q) for q in «{a}»])", f"{name} = int(«{a}».sum()) + 1",
        ]
    ), True  # fmt: skip


IN_LOOPS = [
    "negative",
    "positive",
    "square",
    "reciprocal",
    "absolute",
    "fabs",
    "sign",
    "exp",
    "sqrt",
    "log",
    "log1p",
    "expm1",
    "tanh",
    "sinh",
    "cosh",
    "sin",
    "cos",
    "tan",
    "floor",
    "ceil",
    "isnan",
    "isfinite",
]
IN_LOOPS_OF_TWO = [
    "add",
    "subtract",
    "multiply",
    "divide",
    "power",
    "logaddexp",
    "maximum",
    "minimum",
    "greater",
    "less",
    "greater_equal",
    "less_equal",
    "equal",
    "not_equal",
]
IN_LOOPS_WRITTEN = ["+", "-", "*", "/", "+", "-", "*", "**", ">", "<", ">=", "<=", "==", "!="]


def in_loops(d: Any) -> Drawn:
    """What machine code has formulas for."""
    a = d.pick(is_array)
    value = d.value(a)
    b = operand(d, value)
    last = value.ndim - 1
    one = d.random.choice(IN_LOOPS)
    elementwise = [
        f"np.{one}(«{a}»)", f"np.{d.random.choice(IN_LOOPS_OF_TWO)}(«{a}», {b})", f"np.{d.random.choice(IN_LOOPS_OF_TWO)}({b}, «{a}»)",
        f"«{a}» {d.random.choice(IN_LOOPS_WRITTEN)} {b}", f"{b} {d.random.choice(IN_LOOPS_WRITTEN)} «{a}»", f"-«{a}»", f"abs(«{a}»)", f"np.where(«{a}» > 0, «{a}», {b})",
        f"np.where({b}, «{a}», 0)", f"np.clip(«{a}», -1, 1)", f"np.clip(«{a}», 2, {b})", f"«{a}».astype(np.{d.random.choice(['float64', 'float32', 'int64', 'int32', 'uint8', 'int8', 'bool_'])})",
        f"np.logical_and(«{a}» > 0, {b} > 0)", f"np.logical_not(«{a}» > 0)", f"«{a}» * («{a}» > 0)", f"(«{a}» > {b}) * 2.5", f"(«{a}» == {b}) + 1", f"«{a}».copy()",
        f"np.exp(«{a}») / np.sum(np.exp(«{a}»))", f"«{a}» ** {d.random.choice([2, 3, -1, 0.5, 0, 1, -2])}", f"np.maximum(«{a}», 0)", f"F.{d.random.choice(NETWORK[:6])}(«{a}»)",
    ]  # fmt: skip
    moved = [
        f"«{a}».T", f"«{a}».reshape(-1)", f"«{a}»[1:]", f"«{a}»[::-1]", f"«{a}»[..., :1]", f"«{a}»[None]", f"«{a}»[..., None]", f"np.flip(«{a}», {max(last, 0)})", f"«{a}»[::2]",
        f"np.swapaxes(«{a}», 0, -1)", f"np.broadcast_to(«{a}», {(2, *value.shape)})", f"np.expand_dims(«{a}», 0)", f"np.concatenate([«{a}», «{a}»])", f"«{a}»[0]", f"«{a}»[-1]", f"«{a}»[..., 0]",
    ]  # fmt: skip
    axis = d.random.choice(
        ["", ", axis=0", f", axis={last}", ", axis=0, keepdims=True", ", keepdims=True", ", axis=-1"]
    )
    reduced = [f"np.{n}(«{a}»{axis})" for n in ("sum", "mean", "max", "min", "prod", "sum")] + [
        f"np.sum(«{a}» * {b}{axis})",
        f"np.mean((«{a}» - {b}) ** 2)",
    ]
    text = d.random.choice(d.random.choices([elementwise, moved, reduced], [6, 2, 2])[0])
    return f"{d.new()} = {text}", True


LINES = [
    (unary, 14), (unary_operator, 5), (binary, 16), (operator, 18), (chain, 16), (reduction, 16), (ufunc_method, 3), (quantile, 2), (view, 14),
    (rearranged, 12), (cumulative, 4), (product, 9), (network, 4), (taken, 14), (looked_up, 6), (cast, 6), (made, 5), (item_set, 9), (increased, 8),
    (through_view, 4), (out, 5), (named_out, 1), (with_where, 3), (loop, 5), (attribute, 3), (drawn, 8), (called, 3), (transformed, 2), (effect, 1), (control, 4),
    (in_loops, 1),
]  # fmt: skip

#: Lines that write into arrays: rarer where what is traced is differentiated.
WRITING = (item_set, increased, through_view, out, named_out, with_where, made)

#: Lines whose results may be far larger than their operands: not where these are large.
GROWING = (
    product,
    loop,
    rearranged,
    ufunc_method,
    looked_up,
    transformed,
    control,
    with_where,
    out,
    quantile,
    cumulative,
)

#: Lines of programs that become machine code.
FOR_LOOPS = {
    in_loops: 60,
    increased: 4,
    item_set: 3,
    chain: 6,
    product: 2,
    network: 2,
    taken: 3,
    through_view: 2,
    called: 1,
    loop: 1,
    looked_up: 1,
}
