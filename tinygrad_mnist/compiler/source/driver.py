"""The loop over the blocks of a large batch: write and run a program in two parts."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..program import Op, Program, name_of, take_name
from ..rewrite.blocks import Blocks
from .names import identifier
from .text import Source, module_text, step_name, wrapped

__all__ = ["Loader", "blockwise", "loaded"]

#: A back end: turns a source and the arguments of its ``prepare`` into the step that runs.
Loader = Callable[[Source, dict[str, Any]], Callable[..., Any]]


@dataclass
class _InParts(Source):
    """A source in parts: functions, each with its own ``prepare``, and a last one that calls them."""

    parts: dict[str, Source]


def loaded(load: Loader, source: Source, arrays: dict[str, Any]) -> Callable[..., Any]:
    """Let a back end make the step of a source, or of each of its parts."""
    if not isinstance(source, _InParts):
        return load(source, arrays)

    def preparing(part: Source) -> Callable[..., Any]:
        names = [*part.given, *part.objects]
        return lambda *given: load(part, dict(zip(names, given, strict=True)))

    namespace: dict[str, Any] = {name: preparing(part) for name, part in source.parts.items()}
    text = module_text(source.program, [], source.imports, [source.lines])
    exec(builtins.compile(text, "<compiled by tinygrad_mnist>", "exec"), namespace)
    step: Callable[..., Any] = namespace["prepare"](**arrays)
    return step


def blockwise(program: Program, blocks: Blocks, arguments: list[Op], write: Callable[..., Source]) -> Source:
    """Write the two parts of a program with ``write``, and the loop that runs them."""
    of_a_block = [blocks.cut.get(op, op) for op in arguments]
    parts = {"prepare_block": write(blocks.block, of_a_block, "block", "prepare_block")}
    if blocks.rest.ops or blocks.rest.results:
        others = [op for op in arguments if op not in blocks.cut]
        parts["prepare_rest"] = write(blocks.rest, others, "rest", "prepare_rest")
    return _Driver(program, blocks, arguments, parts).source()


class _Driver:
    """Writes the loop; it passes its inputs on to the parts, under its own names."""

    def __init__(
        self, program: Program, blocks: Blocks, arguments: list[Op], parts: dict[str, Source]
    ) -> None:
        self.program, self.blocks, self.parts = program, blocks, parts
        self.whole = {cut: op for op, cut in blocks.cut.items()}
        self.objects: dict[str, Any] = {}
        self.imports: set[str] = set()
        self.taken = {"np", "prepare", "start", "zeros", "empty", *parts}
        self.taken |= {name.removeprefix("prepare_") for name in parts}
        numbers = [op for part in parts.values() for op in part.arguments if op.dtype is None]
        self.arguments = list(dict.fromkeys([*arguments, *numbers]))
        self.names = {op: self.unique(identifier(name_of(op))) for op in self.arguments}
        self.given: dict[str, Op] = {}
        for part in parts.values():
            for name, op in part.given.items():
                if op not in self.names:
                    self.names[op] = self.unique(name)
                    self.given |= {} if op in blocks.sums else {self.names[op]: op}
        self.rows = self.unique("rows")
        cut = [op for op, is_cut in zip(program.results, blocks.results, strict=True) if is_cut]
        self.made = [(self.unique("result"), op) for op in cut]

    def unique(self, wanted: str) -> str:
        """Take this name, or one with a number."""
        return take_name(wanted, self.taken)

    def source(self) -> Source:
        """Write everything."""
        blocks, parts = self.blocks, self.parts
        prepared = [
            line
            for name, part in parts.items()
            for line in wrapped(f"    {name.removeprefix('prepare_')} = {name}(", self.passed_on(part), ")")
        ]
        arguments = [self.names[op] for op in self.arguments]
        step = self.unique(step_name(self.program))
        lines = [
            *wrapped("def prepare(", [*self.given, *self.objects], "):"),
            *(f"    {self.names[s]} = {self.array('zeros', s)}" for s in blocks.sums),
            *prepared,
            "",
            *wrapped(f"    def {step}(", arguments, "):"),
            *(f"        {line}" for line in self.body()),
            "",
            f"    return {step}",
        ]
        functions = [*(part.lines for part in parts.values()), lines]
        imports = self.imports.union(*(part.imports for part in parts.values()))
        described = [
            f"{self.names[op]} {op.shape} {op.dtype}" for op in self.arguments if op.dtype is not None
        ]
        text = module_text(self.program, described, imports, functions, f", in blocks of {blocks.rows} rows")
        return _InParts(
            text, self.given, self.objects, self.arguments,
            calls=sum(part.calls for part in parts.values()) + len(blocks.sums),
            buffers=sum(part.buffers for part in parts.values()) + len(blocks.sums),
            buffer_bytes=sum(part.buffer_bytes for part in parts.values()) + sum(s.nbytes for s in blocks.sums),
            program=self.program, lines=lines, imports=self.imports, prepare="prepare", parts=parts,
        )  # fmt: skip

    def array(self, function: str, op: Op) -> str:
        """Write how an array like a result is made."""
        dtype = "bool" if op.dtype == bool else op.dtype.name
        self.imports |= {function, dtype} - {"bool"}
        return f"{function}({op.shape}, {dtype})"

    def passed_on(self, part: Source) -> list[str]:
        """The arguments of a part's ``prepare``. Objects of two parts may have the same name there."""
        texts = [self.names[op] for op in part.given.values()]
        for name, value in part.objects.items():
            texts.append(self.unique(name))
            self.objects[texts[-1]] = value
        return texts

    def body(self) -> list[str]:
        """Write the body of the step."""
        blocks = self.blocks
        block, rest = self.parts["prepare_block"], self.parts.get("prepare_rest")
        given = [
            f"{self.names[self.whole[op]]}[{self.rows}]" if op in self.whole else self.names[op]
            for op in block.arguments
        ]
        targets = [f"{name}[{self.rows}]" for name, _ in self.made]
        lines = [
            *(f"{name} = {self.array('empty', op)}" for name, op in self.made),
            *(f"{self.names[s]}.fill(0)" for s in blocks.sums),
            f"# {blocks.of // blocks.rows} blocks, each of which stays in the processor's cache",
            f"for start in range(0, {blocks.of}, {blocks.rows}):",
            f"    {self.rows} = slice(start, start + {blocks.rows})",
            f"    {', '.join(targets)}{' = ' if targets else ''}block({', '.join(given)})",
        ]
        called = f"rest({', '.join(self.names[op] for op in rest.arguments)})" if rest else ""
        if not self.made:
            return [*lines, f"return {called}"]
        n = blocks.results.count(False)
        if called:
            others = self.unique("others")
            lines.append(f"{others} = {called}")
        from_rest = iter([others] if n == 1 else [f"{others}[{i}]" for i in range(n)])
        from_blocks = iter(name for name, _ in self.made)
        results = [next(from_blocks if is_cut else from_rest) for is_cut in blocks.results]
        return [*lines, f"return {', '.join(results)}"]
