"""The room Plane: points in two dimensions, and the network that tells them apart."""

from __future__ import annotations

from .engine import Room

__all__ = ["Plane"]


class Plane(Room):
    """Points in two dimensions, and the network that tells them apart."""

    name, title = "plane", "Plane"
