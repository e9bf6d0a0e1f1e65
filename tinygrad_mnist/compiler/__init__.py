"""``tg.compile``: a function, or a whole training step, as one straight line of NumPy calls.

From the trace to the text, in the order in which it happens: ``tracer`` writes down what is called,
``capture`` finds what a function uses besides its arguments, ``record`` traces the forward code, the
backward pass and the update, whose parameters ``vectors`` joins. ``simplify``, ``scaling`` and ``lowering``
are passes on the :class:`~tinygrad_mnist.compiler.program.Program`; ``memory`` gives every result a place,
and ``source`` writes it down. ``compiled`` is what users call.
"""

from .compiled import Compiled, Stats, compile

__all__ = ["Compiled", "Stats", "compile"]
