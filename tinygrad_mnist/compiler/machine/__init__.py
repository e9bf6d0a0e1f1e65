"""A program as machine code, by numba: a wing one need not enter."""
