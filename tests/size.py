"""How many lines of code each room of the package has: ``python -m tests.size [ROOM …]``.

A line of code has something on it besides a comment and belongs to no docstring. A room is a folder of the
package; the engine is the files that ``[tool.size]`` in pyproject.toml names, and the files at the top that it does not
name are counted together. Above a budget of that table the command fails. A room that is named is shown file by file.
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LAYOUT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


def count_lines(source: str) -> int:
    r"""Count the lines of code.

    Examples
    --------
    >>> count_lines("# Half a dozen.\nhalf = (\n    6\n)\n\n'The docstring of half.'\n")
    3
    """
    tokens = [
        token for token in tokenize.generate_tokens(io.StringIO(source).readline) if token.type not in LAYOUT
    ]
    code = {line for token in tokens for line in range(token.start[0], token.end[0] + 1)}
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Expr(value=ast.Constant(value=str())):
                code -= set(range(node.lineno, node.end_lineno + 1))
    return len(code)


def measure_rooms(package: Path, engine: Iterable[str]) -> dict[str, dict[str, int]]:
    """Count the lines of every file of a package, by room."""
    names = {f"{name}.py" for name in engine}
    if missing := sorted(names - {path.name for path in package.glob("*.py")}):
        sys.exit(f"size: [tool.size] names files of the engine that are not there: {', '.join(missing)}")
    rooms: dict[str, dict[str, int]] = {}
    for path in sorted(package.rglob("*.py")):
        file = path.relative_to(package)
        room = file.parts[0] if len(file.parts) > 1 else "engine" if file.name in names else "other files"
        rooms.setdefault(room, {})[file.as_posix()] = count_lines(path.read_text(encoding="utf-8"))
    return rooms


def main(settings: dict[str, Any], shown: Iterable[str] = ()) -> None:
    """Print the rooms beside their budgets; exit with a sentence if one is over."""
    rooms = measure_rooms(ROOT / settings["package"], settings["engine"])
    lines = {room: sum(files.values()) for room, files in rooms.items()}
    lines["the package"] = sum(lines.values())
    if unknown := [room for room in (*shown, *settings["budget"]) if room not in lines]:
        sys.exit(f"size: there is no room {unknown[0]!r}; valid: {', '.join(lines)}")

    print(f"{'room':36} {'lines':>6} {'budget':>7} {'goal':>7}")
    for room, count in lines.items():
        budget, goal = (
            f"{settings[key][room]:,}" if room in settings[key] else "" for key in ("budget", "goal")
        )
        print(f"{room:36} {count:>6,} {budget:>7} {goal:>7}".rstrip())
        for file, count in rooms[room].items() if room in shown else ():
            print(f"    {file:32} {count:>6,}")
    if over := [room for room, budget in settings["budget"].items() if lines[room] > budget]:
        sys.exit(f"size: over the budget: {', '.join(over)}. Say what you can delete, and delete it")


if __name__ == "__main__":
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    main(project["tool"]["size"], sys.argv[1:])
