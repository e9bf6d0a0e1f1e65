"""The rooms of the page, in the order of their tabs."""

from __future__ import annotations

from .backward import Backward
from .draw import Draw
from .engine import Room
from .plane import Plane
from .train import Train

__all__ = ["ROOMS"]

ROOMS: tuple[type[Room], ...] = (Draw, Train, Plane, Backward)
