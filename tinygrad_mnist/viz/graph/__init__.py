"""Drawings of the graph that an expression leaves behind."""
