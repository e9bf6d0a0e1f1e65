"""Doors to other tools: models in files that others read, and what others made in the place of ours.

Every door needs its extra, and only when it is used: nothing here is imported with the package.
"""
