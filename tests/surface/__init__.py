"""What is covered of NumPy: known by name, probed by calling, compared with peers, written into pages.

``python -m tests.surface`` prints the numbers; see its ``--help``. The tests are in ``test_surface.py`` and
``test_edge_values.py``.
"""
