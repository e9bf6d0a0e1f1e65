"""``tg.compile``: a function, or a whole training step, as a straight line of NumPy calls.

A program goes through four rooms. ``trace`` runs the function on stand-ins for arrays, which record the calls,
and finds everything it uses besides its arguments. ``rewrite`` replaces operations with cheaper ones. ``source``
writes the :class:`~tinygrad_mnist.compiler.program.Program` as NumPy calls, after ``memory`` has given every
result a place, and ``machine`` writes it as machine code. ``instructions`` declares each kind of call for all of
them; ``pipeline`` gives the order of the passes; ``guards`` checks in every call whether a program still fits.
``compiled`` is the part that users call. The page ``docs/compile.md`` reads a program line by line.
"""

from .compiled import Compiled, Stats, compile

__all__ = ["Compiled", "Stats", "compile"]
