"""The address of the matrix product, for calls from machine code.

NumPy's wheels include an OpenBLAS, which NumPy has already loaded. With it, the machine code computes like the
NumPy back end, in the same threads. NumPy does not promise its name, so it is looked up and tried; if it is not
found, scipy's BLAS is called.
"""

from __future__ import annotations

import ctypes
import importlib
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from ...errors import require

__all__ = ["Product", "product_of"]


class Product(NamedTuple):
    """A BLAS's ``gemm``: its address, and how many bits its integers have."""

    address: int
    bits: int


@cache
def product_of(letter: str) -> Product:
    """Find the product of matrices of single (``"s"``) or double precision (``"d"``)."""
    for name, bits in ((f"scipy_{letter}gemm_64_", 64), (f"scipy_{letter}gemm_", 32)):
        address = _in_numpy(name)
        if address and _is_right(Product(address, bits), letter):
            return Product(address, bits)
    require("scipy", extra="fast", purpose="compile(backend='numba')")
    from numba.extending import get_cython_function_address

    return Product(get_cython_function_address("scipy.linalg.cython_blas", f"{letter}gemm"), 32)


def _in_numpy(name: str) -> int | None:
    """Look up a function in the libraries to which NumPy's own library is linked."""
    try:
        core = importlib.import_module("numpy._core._multiarray_umath")
        library = ctypes.CDLL(str(core.__file__))
        return ctypes.cast(getattr(library, name), ctypes.c_void_p).value
    except (AttributeError, ImportError, OSError):
        return None


def _is_right(product: Product, letter: str) -> bool:
    """Try it on a small product."""
    integer = ctypes.c_int64 if product.bits == 64 else ctypes.c_int32
    number, dtype = (ctypes.c_float, np.float32) if letter == "s" else (ctypes.c_double, np.float64)
    a: np.ndarray = np.arange(6, dtype=dtype).reshape(2, 3)
    b: np.ndarray = np.arange(12, dtype=dtype).reshape(3, 4)
    c: np.ndarray = np.ones((2, 4), dtype)

    def at(value: Any) -> Any:
        return ctypes.byref(value)

    def array(x: np.ndarray) -> ctypes.c_void_p:
        return ctypes.c_void_p(x.ctypes.data)

    plain = ctypes.c_char(b"N")
    ctypes.CFUNCTYPE(None)(product.address)(
        at(plain), at(plain), at(integer(4)), at(integer(2)), at(integer(3)), at(number(2)), array(b), at(integer(4)),
        array(a), at(integer(3)), at(number(1)), array(c), at(integer(4)),
    )  # fmt: skip
    return np.array_equal(c, 2 * (a @ b) + 1)
