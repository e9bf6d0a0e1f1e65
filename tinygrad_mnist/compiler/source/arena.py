"""Large buffers that share one piece of memory because they are not needed at the same time.

Small buffers only cost their names. If buffers add up to megabytes, the gradient of one layer can reuse the memory of
another layer's output, although it has another size: every large buffer gets a place in one piece of memory, the
longest first, each as far to the front as the buffers in use at the same time allow.
"""

from __future__ import annotations

from ..memory import Buffer, Plan, first_fit
from ..program import Program
from .loop import run_at

__all__ = ["share"]

#: Less than this many bytes are not worthwhile.
LEAST = 4 << 20


def share(program: Program, plan: Plan) -> None:
    """Give buffers places in one piece of memory, if that saves at least a tenth of a large amount."""
    own = [b for b in plan.buffers if b.of is None and b.input is None and b.nbytes >= LEAST // 64]
    kinds = {b.dtype for b in own if b.dtype.kind == "f"}
    for dtype in kinds:
        buffers = [b for b in own if b.dtype == dtype and not _is_scratch(b)]
        total = sum(b.nbytes for b in buffers)
        if total < LEAST:
            continue
        spans = _spans(program, plan, buffers)
        places: dict[Buffer, int] = {}
        for buffer in sorted(buffers, key=lambda b: -b.size):
            places[buffer] = _first_fit(buffer, places, spans)
        size = max(start + b.size for b, start in places.items())
        if size * dtype.itemsize <= 0.9 * total:
            for buffer, start in places.items():
                buffer.place = start
            plan.arenas[dtype] = size


def _is_scratch(buffer: Buffer) -> bool:
    """Whether a buffer holds intermediate results, of which a loop only needs a piece."""
    return all(op.place.phase == "update" for op in buffer.names)


def _spans(program: Program, plan: Plan, buffers: list[Buffer]) -> dict[Buffer, tuple[float, float]]:
    """The lifetime of each buffer; a loop over pieces counts as one moment."""
    starts, ends = list(range(len(program.ops) + 1)), list(range(len(program.ops) + 1))
    i = 0
    while i < len(program.ops):
        n = max(len(run_at(program, plan, i)), 1)
        for k in range(i, i + n):
            starts[k], ends[k] = i, i + n - 1
        i += n
    last = len(program.ops)
    return {b: (starts[min(b.since, last)], ends[int(min(b.until, last))]) for b in buffers}


def _first_fit(buffer: Buffer, places: dict[Buffer, int], spans: dict[Buffer, tuple[float, float]]) -> int:
    since, until = spans[buffer]
    taken = [
        (start, start + other.size)
        for other, start in places.items()
        if spans[other][0] <= until and since <= spans[other][1]
    ]
    return first_fit(buffer.size, taken)
