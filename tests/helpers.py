"""What tests of several rooms use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from surface.names import module_of

from tinygrad_mnist.primitive import Composite, Primitive, Sample, composites, primitives

Operation = Primitive | Composite

# Other test modules may have declared operations of their own by now.
OPERATIONS: list[Operation] = [
    p for p in (*primitives(), *composites()) if module_of(p).startswith("tinygrad_mnist.")
]


def outputs(y: Any) -> Iterator[Any]:
    """The results of an operation, one after the other."""
    if isinstance(y, (tuple, list)):
        for part in y:
            yield from outputs(part)
    else:
        yield y


def compute(p: Operation, sample: Sample, values: list) -> list[Any]:
    return list(outputs(p(*sample.arguments(*values), **sample.settings)))
