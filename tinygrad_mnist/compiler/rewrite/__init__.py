"""Passes that turn a program into a better one that computes the same."""
