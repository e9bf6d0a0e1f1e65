"""The rooms of the page, in the order of their tabs."""

from __future__ import annotations

from .engine import Room
from .plane import Plane
from .train import Train

__all__ = ["ROOMS"]

ROOMS: tuple[type[Room], ...] = (Train, Plane)
