"""Backpropagation step by step: a sweep is recorded, and played back in a page."""
