"""A program as NumPy that a person can read."""
