"""What each operation is in ONNX: a table, by the operation's name.

A form gets the :class:`~..writing.Writer` and the call, adds nodes, and returns the name of the result, or the names
if there are several. An operation that is not here has no form, and a file that needs it cannot be written.
"""

from . import networks, numbers, shapes  # they enter their forms
from .table import FORMS

__all__ = ["FORMS", "networks", "numbers", "shapes"]
