"""The colours of all pictures and pages, and what each of them means.

* Red and blue stand for signs: what is red is positive or speaks for something, what is blue is
  negative or speaks against it, and white is zero (:data:`SIGNS`).
* Green is right, orange is wrong.
* In :data:`CLASSES`, and for the lines of a plot, colours only name things, and a legend says which.

Colour-blind readers tell them apart, and no meaning rests on colour alone.

References
----------
.. [1] M. Okabe and K. Ito, "Color Universal Design" (2008).
.. [2] P. Tol, "Colour Schemes" (2021), for indigo and wine.
"""

from __future__ import annotations

__all__ = [
    "AMBER",
    "BLUE",
    "CLASSES",
    "GREEN",
    "GRID",
    "INK",
    "ORANGE",
    "PALE",
    "PAPER",
    "PURPLE",
    "RIGHT",
    "SHARES",
    "SIGNS",
    "SKY",
    "SOFT",
    "WRONG",
    "mix",
]

BLUE, AMBER, GREEN, ORANGE = "#0072b2", "#e69f00", "#009e73", "#d55e00"
SKY, PURPLE, YELLOW = "#56b4e9", "#cc79a7", "#f0e442"
WINE, INDIGO = "#882255", "#332288"

#: Text; smaller text; frames and what is left out; lines of a grid; the ground of everything.
INK, SOFT, PALE, GRID, PAPER = "#1f2933", "#5b6773", "#98a2b0", "#e3e7ec", "white"

RIGHT, WRONG = GREEN, ORANGE

#: Ten things that have no order, such as the digits; lines of a plot take them in turn.
CLASSES = (BLUE, ORANGE, GREEN, PURPLE, SKY, AMBER, INK, YELLOW, WINE, INDIGO)

#: Matplotlib's names of two scales: from blue for what is negative, through white, to red for what is
#: positive; and from white for 0 to dark for 1.
SIGNS, SHARES = "RdBu_r", "Purples"


def mix(colour: str, share: float) -> str:
    """Mix a colour with white: a tint of it.

    Examples
    --------
    >>> mix("#009e73", 0), mix("#009e73", 0.5), mix("#009e73", 1)
    ('#ffffff', '#80ceb9', '#009e73')
    """
    parts = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(255 - share * (255 - part)):02x}" for part in parts)
