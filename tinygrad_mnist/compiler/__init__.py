"""``tg.compile``: a function, or a whole training step, as one straight line of NumPy calls.

A program goes through four rooms. ``trace`` runs the function on stand-ins for arrays, which write down what is
called, and finds what it uses besides its arguments. ``rewrite`` replaces operations by cheaper ones. ``source``
writes the :class:`~tinygrad_mnist.compiler.program.Program` as NumPy calls, once ``memory`` has given every result
a place, and ``machine`` as machine code. ``instructions`` declares what each kind of call is, for all of them;
``pipeline`` says in which order the passes run; ``guards`` tests at every call whether a program still fits.
``compiled`` is what users call. The page ``docs/compile.md`` reads a program line by line.
"""

from .compiled import Compiled, Stats, compile

__all__ = ["Compiled", "Stats", "compile"]
