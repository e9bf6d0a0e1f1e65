"""What each operator of ONNX is here: a table, by the operator's name.

A function gets the operator's inputs by position, None for those left out, and its attributes by name. It returns the
output, or a tuple of them. What used to be an attribute and became an input, such as the axes of a sum, is one
parameter, so that files of all versions are read. A function with a parameter ``setting`` gets the
:class:`~.table.Setting` too: whose model it is, and which version the file has.
"""

from . import networks, numbers, recurrent, shapes  # they enter their functions
from .table import OPERATORS, Setting

__all__ = ["OPERATORS", "Setting", "networks", "numbers", "recurrent", "shapes"]
