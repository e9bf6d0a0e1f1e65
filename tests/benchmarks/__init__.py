"""One training step of seven networks, timed against hand-written NumPy, autograd and MyGrad.

``workloads`` says what is computed, ``handwritten``, ``ours`` and ``peers`` compute it,
``agreement`` proves that they compute the same thing, and ``run`` times them. From the project's root::

    python -m tests.benchmarks
"""
