"""The room Train: trainings that can be watched, stopped, wound back and forked."""

from __future__ import annotations

from .engine import Room

__all__ = ["Train"]


class Train(Room):
    """Trainings that can be watched, stopped, wound back and forked."""

    name, title = "train", "Train"
