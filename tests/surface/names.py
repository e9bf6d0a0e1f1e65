"""Every public name of NumPy, and what it does with a Tensor.

What is differentiated, what has a zero gradient and what is a plain question, the package's registry knows.
What is left has to be named here, with the reason: a function that is nowhere is a failing test.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import tinygrad_mnist as tg
from tinygrad_mnist.primitive import REGISTRY, Composite, Constant, Primitive

DIFFERENTIABLE, ZERO, PLAIN, NOT_COVERED = "differentiable", "zero gradient", "plain answer", "not covered"

NAMESPACES: dict[str, tuple[types.ModuleType, Any]] = {
    "np": (np, np.__all__),
    "np.linalg": (np.linalg, np.linalg.__all__),
    "np.fft": (np.fft, np.fft.__all__),
    "np.emath": (np.emath, np.emath.__all__),
    "np.lib.stride_tricks": (np.lib.stride_tricks, ["sliding_window_view", "as_strided"]),
}

#: Functions that are not differentiated here: the reason, and the names it holds for.
REASONS = {
    "makes an array from a shape or from plain numbers; there is nothing to differentiate": """
        arange bartlett blackman diag_indices empty eye fft.fftfreq fft.rfftfreq fromfunction hamming hanning
        identity indices kaiser mask_indices ones tri tril_indices triu_indices zeros""",
    "makes a plain array of its argument; np.array takes like=": "asarray_chkfinite asmatrix bmat require",
    "makes an array from foreign memory or from text": "from_dlpack frombuffer fromiter fromstring",
    "reads or writes files": """
        fromfile fromregex genfromtxt load loadtxt save savetxt savez savez_compressed memmap""",
    "turns an array into text": """
        base_repr binary_repr format_float_positional format_float_scientific typename""",
    "sets or shows how NumPy prints, warns and is built": """
        get_include get_printoptions getbufsize geterr geterrcall info printoptions set_printoptions setbufsize
        seterr seterrcall show_config show_runtime test errstate __array_namespace_info__""",
    "asks about dtypes": """
        datetime_data dtype finfo iinfo isdtype issubdtype mintypecode promote_types""",
    "asks about Python objects, shapes and memory": "broadcast_shapes isfortran isscalar iterable",
    "calendars": "busday_count busday_offset datetime_as_string is_busday isnat busdaycalendar",
    "integers, bit by bit": "packbits unpackbits",
    "turns a Python function into a ufunc, or calls it element by element": "frompyfunc vectorize",
    "walks over memory": "nditer nested_iters flatiter ndenumerate ndindex broadcast",
    "an array class of its own": "matrix ndarray poly1d recarray ufunc",
    "views memory in any way, overlapping or not; use sliding_window_view": """
        lib.stride_tricks.as_strided""",
    "deprecated by NumPy; use isin, vstack, trapezoid": "in1d row_stack trapz",
}
NOT_DIFFERENTIATED = {name: reason for reason, names in REASONS.items() for name in names.split()}

#: Functions whose results are untracked although they depend on the input, and why that is meant.
UNTRACKED = {
    "counts are constant, and bin edges are meant for drawing, even where they follow the extremes of the data": [
        "np.histogram", "np.histogram2d", "np.histogramdd", "np.histogram_bin_edges",
    ],
    "reads Python numbers one by one, as `float(t)` does": ["np.fromiter"],
}  # fmt: skip

#: What ndarray has and Tensor lacks.
METHOD_REASONS = {
    "memory, its layout and its bytes": """
        base byteswap ctypes flags getfield itemsize setfield setflags strides tobytes view __array_interface__
        __array_struct__ __buffer__ __dlpack__ __dlpack_device__""",
    "the device, of which NumPy knows one": "device to_device",
    "files; tg.save and np.save write them": "dump dumps tofile",
    "changes the number of elements in place, and other Tensors may have recorded the old one": "resize",
    "in-place operators of integers": "__iand__ __ilshift__ __ior__ __irshift__ __ixor__",
    "for subclasses of ndarray": "__array_finalize__ __array_priority__ __array_wrap__ __class_getitem__",
    "copy and pickle use __reduce__": "__copy__ __deepcopy__ __setstate__",
    "an array's elements cannot be deleted, nor can a Tensor's": "__delitem__",
    "the namespace of the array API standard, which is for plain arrays": "__array_namespace__",
    "gone from NumPy 2": "itemset newbyteorder ptp tostring",
}
NO_METHODS = {name: reason for reason, names in METHOD_REASONS.items() for name in names.split()}


@dataclass(frozen=True, eq=False)
class Function:
    """A public function of NumPy, under its first name and its others."""

    name: str
    function: Callable[..., Any]
    kind: str
    reason: str = ""
    aliases: list[str] = field(default_factory=list)

    @property
    def handler(self) -> Any:
        """What the registry puts in its place."""
        return REGISTRY.get(self.function)

    @property
    def family(self) -> str:
        """The module of ``ops`` in which it is declared, for a differentiable one."""
        return module_of(self.handler).rpartition(".")[2]

    @property
    def samples(self) -> list[Any]:
        """The inputs it was declared with."""
        return getattr(self.handler, "samples", [])


def module_of(handler: Any) -> str:
    """The module that declares an operation: that of its body, or of its rules where the body is NumPy's."""
    if isinstance(handler, Primitive) and not inspect.isfunction(handler.forward):
        return next(handler.rules[i].__module__ for i in range(len(handler.rules)) if handler.rules[i])
    return str(getattr(handler, "forward", getattr(handler, "function", handler)).__module__)


def kind_of(function: Callable[..., Any]) -> str:
    """What becomes of a Tensor that is passed to a NumPy function."""
    handler = REGISTRY.get(function)
    if handler is None:
        return NOT_COVERED
    if isinstance(handler, Constant):
        return ZERO
    return DIFFERENTIABLE if isinstance(handler, (Primitive, Composite)) else PLAIN


def public() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every public callable, by its full name (``np.linalg.norm``); not dtypes, errors and submodules."""
    for prefix, (module, names) in NAMESPACES.items():
        for name in sorted(names):
            value = getattr(module, name, None)
            is_type_of_number = isinstance(value, type) and issubclass(value, (np.generic, BaseException))
            is_private = name.startswith("_") and not name.endswith("_")
            if callable(value) and not is_type_of_number and not is_private and value is not bool:
                yield f"{prefix}.{name}", value


def functions() -> list[Function]:
    """Every public callable once, by the name it calls itself if it has that, with its other names."""
    names: dict[int, list[str]] = {}
    values = {}
    for name, value in public():
        names.setdefault(id(value), []).append(name)
        values[id(value)] = value
    found = []
    for key, value in values.items():
        own = getattr(value, "__name__", "")
        first, *others = sorted(names[key], key=lambda name: (name.rpartition(".")[2] != own, name))
        reason = NOT_DIFFERENTIATED.get(first.removeprefix("np."), "")
        found.append(Function(first, value, kind_of(value), reason, others))
    return found


def unaccounted() -> list[str]:
    """Names that are neither registered nor listed with a reason."""
    return [f.name for f in functions() if f.kind == NOT_COVERED and not f.reason]


def listed_but_registered() -> list[str]:
    """Names listed as not differentiated that the registry knows."""
    return [f.name for f in functions() if f.kind != NOT_COVERED and f.reason]


def unreachable() -> list[str]:
    """Registered functions that never ask a Tensor, so that their registration has no effect."""
    return [f.name for f in functions() if f.kind != NOT_COVERED and not is_dispatched(f.function)]


#: Functions whose arguments NumPy does not ask, only what is named by ``like=``.
WITH_LIKE = frozenset({np.array, np.asanyarray, np.asarray, np.ascontiguousarray, np.asfortranarray, np.full})


def is_dispatched(function: Callable[..., Any]) -> bool:
    """Whether NumPy asks its arguments before it calls the function."""
    return isinstance(function, np.ufunc) or hasattr(function, "_implementation") or function in WITH_LIKE


# -- keywords ------------------------------------------------------------------------------------

#: What no function takes, for reasons that hold for all of them: a gradient cannot be written into an
#: array that exists already; there are no subclasses of Tensor to preserve; ``like`` chooses among libraries.
NOWHERE = frozenset({"out", "subok", "like"})


def parameters_of(function: Callable[..., Any]) -> list[str] | None:
    """The named parameters of a function, or ``None`` where Python cannot tell."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    return [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def missing_keywords(function: Callable[..., Any]) -> list[str]:
    """The parameters of a NumPy function that are not taken when it is called on Tensors."""
    handler = REGISTRY[function]
    numpys = parameters_of(function)
    if numpys is None or isinstance(function, np.ufunc):
        return []
    taken: set[str] = set()
    for definition in (handler, getattr(handler, "_otherwise", None)):
        if definition is not None:
            signature = inspect.signature(definition).parameters.values()
            if any(p.kind is p.VAR_KEYWORD for p in signature):
                return []
            taken |= {p.name for p in signature}
            # A single *arrays stands for the arrays, whatever NumPy calls them.
            if any(p.kind is p.VAR_POSITIONAL for p in signature):
                taken |= set(positional_only(function))
            taken |= set(positional_only(function))
    return [name for name in numpys if name not in taken | NOWHERE]


def positional_only(function: Callable[..., Any]) -> list[str]:
    """The parameters that cannot be passed by name."""
    return [p.name for p in inspect.signature(function).parameters.values() if p.kind is p.POSITIONAL_ONLY]


# -- methods -------------------------------------------------------------------------------------


def methods() -> list[str]:
    """ndarray's public attributes, methods and operators; not those of every Python object."""
    names = set(dir(np.ndarray)) - set(dir(object))
    return sorted(name for name in names if name.startswith("__") or not name.startswith("_"))


def has_method(name: str) -> bool:
    """Whether Tensor has a method, and not only to say why it does nothing."""
    found = getattr(tg.Tensor, name, None)
    return found is not None and not (found.__doc__ or "").startswith("Refuse")


def missing_methods() -> list[str]:
    """What ndarray has, Tensor lacks, and no reason is given for."""
    return [name for name in methods() if not has_method(name) and name not in NO_METHODS]
