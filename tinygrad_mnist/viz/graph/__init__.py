"""Drawings of recorded graphs."""
