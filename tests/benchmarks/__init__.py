"""One training step of seven networks, timed against hand-written NumPy and against other frameworks.

``workloads`` says what is computed; ``handwritten``, ``ours``, ``peers`` and ``compilers`` compute it, and
``implementations`` lists them; ``agreement`` proves that they compute the same thing; ``run`` times them, in
the processes of ``workers``, and ``chart`` draws the result. From the project's root::

    python -m tests.benchmarks

``accuracy`` and ``memory`` measure the same programs otherwise: time to an accuracy, and peak memory.
"""
