"""The program that docs/compile.md shows is the one that comes out, and computes what the equations beside it say.

After a change of the compiler, ``python -m tests.compiler.test_page --write`` renews what the page shows.
"""

from __future__ import annotations

import difflib
import linecache
import re
import sys
from pathlib import Path

import numpy as np
import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "compile.md"
RENEW = "python -m tests.compiler.test_page --write"
FENCE = re.compile(r"^```(python|text)\n(.*?)^```$", flags=re.M | re.S)
HEADER = "| by hand | in the program |\n| --- | --- |\n"


def batch():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 10, 100)
    return rng.random((100, 784), dtype=np.float32), labels, np.eye(10, dtype=np.float32)[labels]


def network(code):
    """Run the listing as if it stood in network.py."""
    linecache.cache["network.py"] = (len(code), None, code.splitlines(keepends=True), "network.py")
    names = {"__name__": "network"}
    exec(compile(code, "network.py", "exec"), names)
    return names


def listing(text):
    return next(code for _, code in FENCE.findall(text) if "tg.compile(cost" in code)


def with_cross_entropy(code):
    """The listing with another return."""
    last_lines = code[code.index("    a2 = ") : code.index("\n\n\nstep = ")]
    return code.replace(last_lines, "    return F.cross_entropy(z2, y)")


def programs(text):
    """The compiled steps of the network on the page, and of the one with cross-entropy."""
    x, labels, y = batch()
    step = network(listing(text))["step"]
    step(x, y)
    other = network(with_cross_entropy(listing(text)))["step"]
    other(x, labels)
    return step, other


def blocks(source):
    """What stands in a step: pairs of a comment and its lines."""
    body = source[source.index("    def ") :]
    body = body[body.index(":\n") + 2 : body.rindex("\n\n    return ")]
    lines = [line.removeprefix(" " * 8) for line in body.split("\n")]
    assert lines[0].startswith("# ")
    found = []
    for line in lines:
        if line.startswith("# "):
            found.append((line[2:], []))
        elif line:
            found[-1][1].append(line)
    return found


def renewed(text):
    """The page with what the compiler makes of its listing now."""
    step, other = programs(text)

    by_comment = {}
    for comment, lines in blocks(step.source):
        by_comment.setdefault(comment, []).extend(lines)
    cells = ["<br>".join(f"`{line.strip()}`" for line in lines) for lines in by_comment.values()]

    inside = blocks(other.source)
    start = next(i for i, (comment, _) in enumerate(inside) if "cross_entropy" in comment)
    parts = ["\n".join([f"# {comment}", *lines]) + "\n" for comment, lines in inside[start : start + 2]]

    pieces = FENCE.split(text)  # between the fences: the language, and what stands in them
    shown = [i for i in range(2, len(pieces), 3) if not pieces[i].startswith(">>>")]
    assert len(shown) == 4, "the listing, the program, its statistics, the cross-entropy"
    contents = {shown[1]: step.source, shown[2]: f"{step.stats}\n", shown[3]: "\n".join(parts)}
    out = pieces[0]
    for i in range(1, len(pieces), 3):
        out += f"```{pieces[i]}\n{contents.get(i + 1, pieces[i + 1])}```{pieces[i + 2]}"

    tables = out.split(HEADER)
    rows = sum(len(re.match(r"(\|.*\n)*", table)[0].splitlines()) for table in tables[1:])
    assert rows == len(cells), (
        f"the tables have {rows} rows, and the program {len(cells)} blocks: {list(by_comment)}. "
        f"Give each block of the program a row in {PAGE.name}, then: {RENEW}"
    )
    waiting = iter(cells)
    for i, table in enumerate(tables[1:], 1):
        length = re.match(r"(\|.*\n)*", table).end()
        lines = [f"| {row.split(' | ')[0][2:]} | {next(waiting)} |\n" for row in table[:length].splitlines()]
        tables[i] = "".join(lines) + table[length:]
    return HEADER.join(tables)


def test_the_page_shows_the_program():
    text = PAGE.read_text(encoding="utf-8")
    difference = "\n".join(
        difflib.unified_diff(
            text.splitlines(), renewed(text).splitlines(), "on the page", "comes out", n=1, lineterm=""
        )
    )
    if difference:
        pytest.fail(f"docs/compile.md shows another program. Renew it: {RENEW}\n{difference}", pytrace=False)


def test_the_equations_are_what_the_program_computes():
    code = listing(PAGE.read_text(encoding="utf-8"))
    x, labels, y = batch()
    n, rate = y.size, 0.5

    def sigmoid(z):
        return 1 / (1 + np.exp(-z))

    def textbook(W1, b1, W2, b2, delta2):
        z1 = x @ W1.T + b1
        a1 = sigmoid(z1)
        z2 = a1 @ W2.T + b2
        d2 = delta2(z2)
        d1 = d2 @ W2 * a1 * (1 - a1)
        return [
            W1 - rate * d1.T @ x,
            b1 - rate * d1.sum(axis=0),
            W2 - rate * d2.T @ a1,
            b2 - rate * d2.sum(axis=0),
        ]

    def of_squares(z2):
        a2 = sigmoid(z2)
        return 2 / n * (a2 - y) * a2 * (1 - a2)

    def of_cross_entropy(z2):
        softmax = np.exp(z2) / np.exp(z2).sum(axis=1, keepdims=True)
        return (softmax - y) / len(y)

    for text, target, delta2 in (
        (code, y, of_squares),
        (with_cross_entropy(code), labels, of_cross_entropy),
    ):
        names = network(text)
        parameters = [names[name] for name in ("W1", "b1", "W2", "b2")]
        expected = textbook(*(p.data.astype(np.float64) for p in parameters), delta2)
        names["step"](x, target)
        for p, after in zip(parameters, expected, strict=True):
            np.testing.assert_allclose(p.data, after, rtol=1e-5, atol=1e-6)


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit(f"usage: {RENEW}")
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
