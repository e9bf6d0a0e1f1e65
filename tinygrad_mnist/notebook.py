"""HTML for notebooks: cards with a table, curves, pictures or numbers; and a check for a running notebook.

All text is escaped here, so a name is shown and never read as HTML. Colours are those of the page
(``currentColor`` and translucent greys), so that everything is readable on light and dark backgrounds.
The size of the output is limited, however large the object is.
"""

from __future__ import annotations

import math
import struct
import sys
import zlib
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import PurePath
from typing import Any, TypeVar

import numpy as np

from .palette import BLUE, GREEN, ORANGE, PURPLE
from .typing import NDArray

__all__ = [
    "Html",
    "bar",
    "block",
    "card",
    "chart",
    "code",
    "ends",
    "is_notebook",
    "numbers",
    "picture",
    "place",
    "png",
    "row",
    "shorten",
    "table",
]

T = TypeVar("T")

#: The most characters of a name or a value that are shown.
LONGEST = 80

#: The largest number of elements of an array, as in NumPy.
MOST_NUMBERS = 1000

#: Larger numbers are not drawn: their differences may be larger than any number.
LARGEST = 1e300

#: The most points of a curve: a chart has no more pixels.
MOST_POINTS = 300

#: Colours of curves, with dashes.
LOOKS = [(BLUE, ""), (ORANGE, "5 3"), (GREEN, "2 2"), (PURPLE, "8 3 2 3")]

STYLE = """<style>
.tg-card{font:13px/1.5 system-ui,-apple-system,"Segoe UI","DejaVu Sans",sans-serif;max-width:100%}
.tg-card .tg-facts,.tg-card figcaption{opacity:.75}
.tg-card.tg-card code,.tg-card.tg-card pre{background:none;padding:0;color:inherit;
font:12px/1.45 ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace}
.tg-card.tg-card pre{margin:.4em 0;max-height:24em;overflow:auto;white-space:pre}
.tg-card .tg-wide{overflow-x:auto;margin:.4em 0}
.tg-card.tg-card table{border-collapse:collapse;margin:0;table-layout:auto;font-size:12px;color:inherit;
font-variant-numeric:tabular-nums}
.tg-card.tg-card table th,.tg-card.tg-card table td{padding:.2em .9em .2em 0;text-align:left;white-space:nowrap;
border:0;border-bottom:1px solid rgba(128,128,128,.3);background:none;color:inherit}
.tg-card.tg-card table tr{background:none}
.tg-card.tg-card table th,.tg-card.tg-card table tfoot td{font-weight:600}
.tg-card.tg-card table .tg-right{text-align:right}
.tg-card .tg-row{display:flex;flex-wrap:wrap;gap:.6em 1em;margin:.5em 0}
.tg-card svg{max-width:100%;height:auto}
.tg-card figure{margin:0;text-align:center}
.tg-card figure img{height:64px;max-width:160px;margin:0 auto;display:block;image-rendering:pixelated}
.tg-card figcaption{font-size:11px;max-width:7em;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.tg-card .tg-bar{height:6px;max-width:40em;border-radius:3px;background:rgba(128,128,128,.3);margin:.4em 0}
.tg-card .tg-bar div{height:6px;border-radius:3px;background:@blue}
</style>""".replace("@blue", BLUE)


class Html(str):
    """Text that is already HTML; all other text is escaped."""

    __slots__ = ()


def is_notebook() -> bool:
    """Tell whether a Jupyter kernel runs this code: its shell has a kernel, that of a terminal does not."""
    ipython = sys.modules.get("IPython")  # not imported: in a notebook, it is already loaded
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


def card(title: str, facts: Iterable[str], *parts: str) -> str:
    """Return the notebook view of an object: its kind, facts in one line, and the parts.

    Examples
    --------
    >>> card("Tensor", ["shape (2,)"], "1 < 2").partition("</style>")[2]
    '<div class="tg-head"><b>Tensor</b> <span class="tg-facts">shape (2,)</span></div><div>1 &lt; 2</div></div>'
    """
    line = Html(" · ".join(_html(fact) for fact in facts if fact))
    head = f'<div class="tg-head"><b>{_html(title)}</b> <span class="tg-facts">{line}</span></div>'
    body = "".join(part if isinstance(part, Html) else f"<div>{escape(part)}</div>" for part in parts if part)
    return f'<div class="tg-card">{STYLE}{head}{body}</div>'


def code(text: Any) -> Html:
    """Format a name or a piece of code."""
    return Html(f"<code>{_html(shorten(text))}</code>")


def block(text: str) -> Html:
    """Format lines unchanged, in a monospaced font."""
    return Html(f"<pre>{_html(text)}</pre>")


def table(
    head: Sequence[str], rows: Iterable[Sequence[Any] | None], foot: Sequence[Any] = (), *, left: int = 1
) -> Html:
    """Return a table whose first ``left`` columns are text, and the others numbers; where a row is None, dots.

    Examples
    --------
    >>> table(["name", "size"], [["<b>", 3]]).partition("<tbody>")[2]
    '<tr><td>&lt;b&gt;</td><td class="tg-right">3</td></tr></tbody></table></div>'
    """

    def line(kind: str, cells: Iterable[Any]) -> str:
        sides = ("" if i < left else ' class="tg-right"' for i in range(sys.maxsize))
        cell = (f"<{kind}{side}>{_html(value)}</{kind}>" for side, value in zip(sides, cells, strict=False))
        return f"<tr>{''.join(cell)}</tr>"

    last = f"<tfoot>{line('td', foot)}</tfoot>" if foot else ""
    body = "".join(line("td", ["⋮"] * len(head) if row is None else row) for row in rows)
    return Html(
        f'<div class="tg-wide"><table><thead>{line("th", head)}</thead><tbody>{body}</tbody>{last}</table></div>'
    )


def ends(rows: Sequence[T], most: int) -> list[T | None]:
    """The first and, more of them, the last of many rows, and between them None.

    Examples
    --------
    >>> ends(range(100), 4)
    [0, None, 97, 98, 99]
    """
    if len(rows) <= most:
        return list(rows)
    first = most // 4
    return [*rows[:first], None, *rows[first - most :]]


def row(parts: Iterable[Html]) -> Html:
    """Put pieces side by side, as many as there is room for."""
    inner = "".join(parts)
    return Html(f'<div class="tg-row">{inner}</div>' if inner else "")


def bar(share: float) -> Html:
    """Return a bar that is filled to a share from 0 to 1."""
    return Html(f'<div class="tg-bar"><div style="width:{100 * min(max(share, 0), 1):.1f}%"></div></div>')


def shorten(value: Any) -> str:
    r"""Return a value as one short line of text; a number with four digits.

    Examples
    --------
    >>> shorten(0.123456), shorten(12345), shorten("a\nb"), len(shorten("a" * 1000))
    ('0.1235', '12,345', 'a b', 80)
    """
    if isinstance(value, (float, np.floating)):
        return f"{value:.4g}"
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        bits = int(value).bit_length()
        return f"{value:,}" if bits <= 128 else f"an integer of {bits:,} bits"
    if isinstance(value, np.ndarray):
        value = numbers(value, 10)
    text = " ".join(str(value)[: 10 * LONGEST].split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def numbers(array: NDArray, most: int = MOST_NUMBERS) -> str:
    r"""Return an array as NumPy prints it; for a large one with many axes, only the first rows and columns.

    Examples
    --------
    >>> numbers(np.ones((2, 2)))
    '[[1., 1.],\n [1., 1.]]'
    >>> numbers(np.zeros((1000, 2, 3)))
    '[0]:\n[[0., 0., 0.],\n [0., 0., 0.]]'
    """
    is_large = array.size > most
    index = (0,) * max(array.ndim - 2, 0) if is_large else ()
    options = np.get_printoptions()
    text = np.array2string(
        array[index],
        max_line_width=110,
        separator=", ",
        threshold=min(options["threshold"], most // 10 if is_large else most),
        edgeitems=min(options["edgeitems"], 5),
    )
    return f"{list(index)}:\n{text}" if index else text


def place(node: Any) -> Html:
    """Describe the place of a Tensor's node in the graph; the node is only read.

    Parameters
    ----------
    node : Node or None
    """
    if node is None:
        return Html("<div>not in a graph: <code>requires_grad=False</code></div>")
    if node.is_leaf:
        name = f" {code(node.name)}" if node.name else ""
        gradient = "has a gradient" if node.grad is not None else "no gradient yet"
        return Html(f"<div>a leaf of the graph{name}: <code>requires_grad=True</code>, {gradient}</div>")
    text = f"computed by {code(node.primitive.name)}"
    if node.scope:
        text += f" in {code(node.scope)}"
    names = [
        parent.name or (parent.primitive.name if parent.primitive else "a leaf") for _, parent in node.parents
    ]
    if names:
        text += f" from {', '.join(map(code, names[:6]))}{' and others' if len(names) > 6 else ''}"
    elif node.args is None:
        text += "; a backward pass has freed its graph"
    line = node.line
    if line is not None:
        is_cell = "ipykernel_" in line.file
        where = f"line {line.number} of the cell" if is_cell else f"{PurePath(line.file).name}:{line.number}"
        text += f", {_html(shorten(where))}" + (f": {code(line.text)}" if line.text else "")
    return Html(f"<div>{text}</div>")


# -- pictures ------------------------------------------------------------------------------------


def picture(pixels: NDArray, caption: str) -> Html:
    """Show an image of 0–255 with a caption below.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (H, W), or (H, W, C) with 3 colours, or 4 with opacity
    caption : str
    """
    content = b64encode(png(pixels)).decode()
    text = _html(shorten(caption))
    return Html(
        f'<figure title="{text}"><img src="data:image/png;base64,{content}" alt="{text}">'
        f"<figcaption>{text}</figcaption></figure>"
    )


def png(pixels: NDArray) -> bytes:
    r"""Return an image as the content of a PNG file (ISO/IEC 15948), written with the standard library.

    Examples
    --------
    >>> png(np.zeros((2, 3), np.uint8))[:8]
    b'\x89PNG\r\n\x1a\n'
    """

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    height, width, *channels = pixels.shape
    colours = {(): 0, (3,): 2, (4,): 6}[tuple(channels)]
    lines = b"".join(b"\0" + line.tobytes() for line in pixels)
    header = struct.pack(">IIBBBBB", width, height, 8, colours, 0, 0, 0)
    chunks = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(lines, 9)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


# -- curves --------------------------------------------------------------------------------------

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 340, 190, 52, 10, 26, 24


def chart(title: str, lines: Mapping[str, Sequence[tuple[Any, Any]]], *, scale: float = 1) -> Html:
    """Draw lines through points (x, y) as an SVG picture, nothing if there are none.

    Where y is NaN or infinite, or is no number, a line has a gap. Where x is, the point is left out. The numbers
    are multiplied by ``scale``.

    Examples
    --------
    >>> picture = chart("loss", {"train": [(1, 0.5), (2, 0.25)]})
    >>> picture.count("<path"), picture.count("<circle")
    (1, 2)
    """
    drawn = {name: _points(points) * (1, scale) for name, points in lines.items()}
    drawn = {name: points for name, points in drawn.items() if np.isfinite(points[:, 1]).any()}
    if not drawn:
        return Html("")
    everything = np.concatenate(list(drawn.values()))
    xs, ys = everything[np.isfinite(everything[:, 1])].T
    (x_low, x_high), (y_low, y_high) = _span(xs), _span(ys)

    def across(at: float) -> float:
        return LEFT + 6 + (at - x_low) / (x_high - x_low) * (WIDTH - RIGHT - LEFT - 12)

    def up(at: float) -> float:
        return HEIGHT - BOTTOM - (at - y_low) / (y_high - y_low) * (HEIGHT - BOTTOM - TOP - 4)

    parts = [
        f'<text x="{LEFT}" y="14" font-weight="600">{_html(shorten(title))}</text>',
        f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{HEIGHT - BOTTOM}" y2="{HEIGHT - BOTTOM}" '
        'stroke="currentColor" opacity=".5"/>',
    ]
    for tick in _ticks(y_low, y_high):
        y = up(tick)
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="currentColor" opacity=".15"/>'
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:.6g}</text>'
        )
    parts += [
        f'<text x="{across(tick):.1f}" y="{HEIGHT - 8}" text-anchor="middle">{tick:.6g}</text>'
        for tick in _ticks(x_low, x_high, whole=True)
        if xs.min() <= tick <= xs.max()
    ]
    right: float = WIDTH - RIGHT
    for number, name in reversed(list(enumerate(drawn))):
        colour, dashes = _look(name, number)
        text = name if len(name) <= 14 else name[:13] + "…"
        start = right - 6.5 * len(text)
        parts.append(
            f'<text x="{start:.0f}" y="14">{_html(text)}</text>'
            f'<line x1="{start - 22:.0f}" x2="{start - 4:.0f}" y1="10" y2="10" stroke="{colour}" stroke-width="2" '
            f'stroke-dasharray="{dashes}"/>'
        )
        right = start - 32
    for number, (name, points) in enumerate(drawn.items()):
        colour, dashes = _look(name, number)
        placed = [(across(x), up(y)) if math.isfinite(y) else None for x, y in points.tolist()]
        parts.append(
            f'<path d="{_path(placed)}" fill="none" stroke="{colour}" stroke-width="1.8" stroke-dasharray="{dashes}"/>'
        )
        if len(placed) <= 40:
            parts += [
                f'<circle cx="{p[0]:.1f}" cy="{p[1]:.1f}" r="2.6" fill="{colour}"/>' for p in placed if p
            ]
    return Html(
        f'<svg width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{_html(shorten(title))}" font-size="11" fill="currentColor">{"".join(parts)}</svg>'
    )


def _look(name: str, number: int) -> tuple[str, str]:
    """Choose colour and dashes of a line: training and validation look the same in every picture."""
    known = {"train": 0, "validation": 1}
    return LOOKS[known.get(name, number) % len(LOOKS)]


def _path(points: Iterable[tuple[float, float] | None]) -> str:
    pieces, pen = [], "M"
    for point in points:
        pieces.append(f"{pen}{point[0]:.1f} {point[1]:.1f}" if point else "")
        pen = "L" if point else "M"
    return "".join(pieces)


def _points(points: Sequence[tuple[Any, Any]]) -> NDArray:
    """Some of many points, the last among them, as numbers that can be drawn, or NaN."""
    step = max(-(-len(points) // MOST_POINTS), 1)
    kept = [*points[:-1][::step], *points[-1:]]
    numbers = np.array([(_number(x), _number(y)) for x, y in kept]).reshape(-1, 2)
    return numbers[np.isfinite(numbers[:, 0])]


def _number(value: Any) -> float:
    if not isinstance(value, (int, float, np.number)) or np.iscomplexobj(value):
        return math.nan
    try:
        number = float(value)
    except OverflowError:  # an integer
        return math.nan
    return number if abs(number) < LARGEST else math.nan


def _span(values: NDArray) -> tuple[float, float]:
    """The lowest and the highest value, moved apart if they are equal."""
    low, high = float(values.min()), float(values.max())
    if high - low <= max(1e-9 * max(abs(low), abs(high)), 1e-300):
        room = abs(low) / 2 if abs(low) > 1e-290 else 0.5
        return low - room, high + room
    return low, high


def _ticks(low: float, high: float, *, whole: bool = False) -> list[float]:
    """Choose a few round numbers between two others.

    Examples
    --------
    >>> _ticks(0.13, 0.92), _ticks(1, 4, whole=True)
    ([0.2, 0.4, 0.6, 0.8], [1.0, 2.0, 3.0, 4.0])
    """
    rough = (high - low) / 6
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(n * unit for n in (1, 2, 5, 10) if n * unit >= rough * 0.999)
    step = max(step, 1.0) if whole else step
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{n * step:.12g}") for n in range(first, last + 1)][:12]


def _html(value: Any) -> str:
    return value if isinstance(value, Html) else escape(str(value))
