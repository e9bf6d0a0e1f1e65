"""The building blocks of machine code besides loops: memory access, ``exp``, sums and products.

This is only imported if numba compiles a program. The functions that numba calls "intrinsics" write LLVM's
instructions directly, where numba's translation of Python would be too careful to be fast: indices may be
negative there, and sums have an order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.compiler import Compiler
from numba.extending import intrinsic

from .blas import product_of

__all__ = ["FAST", "NAMES", "Apart", "compiled", "gemm", "part", "peek", "poke", "run_of"]

alloca_once: Any = cgutils.alloca_once
PointerTo: Any = types.CPointer
#: Numba compiles exactly what is written. If ``a * b - c`` were rounded only once, it would not be zero where
#: ``a * b`` equals ``c``.
FAST: dict[str, Any] = {"error_model": "numpy", "boundscheck": False}


class Apart(Compiler):
    """Compiles a function whose pointers lead to arrays that do not overlap."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)  # type: ignore[no-untyped-call]
        self.state.flags.noalias = True


# -- memory ----------------------------------------------------------------------------------------------------


def _pointer(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    data = (
        array if isinstance(kind, types.CPointer) else context.make_array(kind)(context, builder, array).data
    )
    return builder.gep(data, [index], inbounds=True)


def _peek(typing: Any, array: Any, index: Any) -> Any:
    """Read the element at an offset from an array's first element, whatever its shape."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = signature.args[0]
        return context.unpack_value(builder, kind.dtype, _pointer(context, builder, kind, *args))

    return array.dtype(array, types.intp), code


def _poke(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """Write the element at such an offset."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = signature.args[0]
        pointer = _pointer(context, builder, kind, args[0], args[1])
        context.pack_value(builder, kind.dtype, args[2], pointer)
        return context.get_dummy_value()

    return types.void(array, types.intp, array.dtype), code


def _part(typing: Any, array: Any, start: Any, size: Any) -> Any:
    """Make a view of some elements as an array with one axis."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = signature.return_type
        made = context.make_array(kind)(context, builder)
        itemsize = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(kind.dtype)))
        data = _pointer(context, builder, signature.args[0], args[0], args[1])
        context.populate_array(
            made, data=data, shape=[args[2]], strides=[itemsize], itemsize=itemsize, meminfo=None
        )
        return made._getvalue()

    return types.Array(array.dtype, 1, "C")(array, types.intp, types.intp), code


def _address(typing: Any, array: Any) -> Any:
    """Return the address of an array's first element."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], args[0], context.get_constant(types.intp, 0))
        return builder.ptrtoint(pointer, context.get_value_type(types.intp))

    return types.intp(array), code


def _lies_at(typing: Any, place: Any, dtype: Any) -> Any:
    """Make an array whose first element is at an address that is already known.

    The optimizer does not know the address: otherwise it would turn the address of each part into a number, and could
    no longer see that parts of one array do not overlap.
    """

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(args[0].type, [args[0].type])
        hidden = builder.asm(kind, "", "=r,0", [args[0]], False)
        return builder.inttoptr(hidden, context.get_value_type(signature.return_type))

    return PointerTo(dtype.instance_type)(types.intp, dtype), code


def run_of(width: int) -> Any:
    """Make a function that runs some rows of a table: each has the address of a function and of its arguments."""

    def run(typing: Any, table: Any, first: Any, last: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            word = ir.IntType(64)
            pointer = ir.IntType(8).as_pointer()
            kind = ir.FunctionType(ir.VoidType(), [pointer] * (width - 1))
            with cgutils.for_range_slice(builder, args[1], args[2], word(1), word) as (row, _):
                start = builder.mul(row, word(width))
                found = [
                    builder.load(
                        _pointer(context, builder, signature.args[0], args[0], builder.add(start, word(i)))
                    )
                    for i in range(width)
                ]
                function = builder.inttoptr(found[0], kind.as_pointer())
                builder.call(function, [builder.inttoptr(x, pointer) for x in found[1:]])
            return context.get_dummy_value()

        return types.void(table, types.intp, types.intp), code

    return intrinsic(run)


# -- numbers ---------------------------------------------------------------------------------------------------


def _add_freely(typing: Any, a: Any, b: Any) -> Any:
    """Add in any order, so that a sum can be computed with several elements at a time."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fadd(*args, flags=("reassoc",))

    return a(a, a), code


def _multiply_add(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """``a * b + c``, rounded once; sums of such products may be taken in any order."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        product = builder.fmul(args[0], args[1], flags=("contract", "reassoc"))
        return builder.fadd(args[2], product, flags=("contract", "reassoc"))

    return a(a, b, c), code


class _Format:
    """A floating-point format, with ``exp`` and ``tanh`` in it."""

    def __init__(
        self, kind: Any, bits: int, digits: int, least: float, most: float, coefficients: list[float],
        quotient: tuple[list[float], list[float]],
    ) -> None:  # fmt: skip
        self.kind, self.integer, self.digits = kind, ir.IntType(bits), digits
        self.least, self.most, self.normal = least, most, 3.0 - 2 ** (bits - digits - 2)
        self.coefficients, self.quotient = coefficients, quotient

    def number(self, x: float) -> Any:
        is_short = isinstance(self.kind, ir.FloatType)
        return ir.Constant(self.kind, float(np.float32(x)) if is_short else float(x))

    def call(self, builder: Any, name: str, *args: Any) -> Any:
        """Call one of LLVM's own functions, all of whose arguments are such numbers."""
        kind = ir.FunctionType(self.kind, [self.kind] * len(args))
        return builder.call(builder.module.declare_intrinsic(f"llvm.{name}", [self.kind], kind), args)

    def series(self, builder: Any, coefficients: list[float], x: Any) -> Any:
        """A polynomial; the coefficient of the highest power comes first."""
        y = self.number(coefficients[0])
        for c in coefficients[1:]:
            y = self.call(builder, "fmuladd", y, x, self.number(c))
        return y

    def exp(self, builder: Any, x: Any) -> Any:
        r"""Write ``exp``: :math:`2^n e^r`, with :math:`n` the integer nearest to :math:`x / \ln 2`."""
        number = self.number
        is_small = builder.fcmp_ordered("<", x, number(self.least))
        is_large = builder.fcmp_ordered(">", x, number(self.most))
        within = builder.select(is_small, number(self.least), x)
        within = builder.select(is_large, number(self.most), within)
        # Adding a number this large rounds away the fraction, and leaves n in the lowest digits.
        shift = number(1.5 * 2.0**self.digits)
        shifted = self.call(builder, "fmuladd", within, number(1 / math.log(2)), shift)
        n = builder.fsub(shifted, shift)
        # ln 2 in two parts, the first is so short that its product with n is exact.
        high = float(np.float32(0.693359375)) if self.digits == 23 else 0.693145751953125
        low = -2.12194440e-4 if self.digits == 23 else 1.42860682030941723212e-6
        r = self.call(builder, "fmuladd", n, number(-high), within)
        r = self.call(builder, "fmuladd", n, number(-low), r)
        series = self.series(builder, self.coefficients, r)
        y = self.call(builder, "fmuladd", series, builder.fmul(r, r), builder.fadd(r, number(1)))
        # Below the smallest normal number, a second factor rounds away the last digits.
        is_tiny = builder.fcmp_ordered("<", n, number(self.normal))
        power = builder.select(is_tiny, builder.fadd(shifted, number(2 * self.digits)), shifted)
        factor = builder.select(is_tiny, number(2.0 ** (-2 * self.digits)), number(1))
        power = builder.shl(builder.bitcast(power, self.integer), ir.Constant(self.integer, self.digits))
        y = builder.bitcast(builder.add(builder.bitcast(y, self.integer), power), self.kind)
        y = builder.fmul(y, factor)
        y = builder.select(is_large, number(math.inf), y)
        y = builder.select(is_small, number(0), y)
        return builder.select(builder.fcmp_unordered("uno", x, x), x, y)

    def tanh(self, builder: Any, x: Any) -> Any:
        r"""Write ``tanh``: a quotient of polynomials near zero, and :math:`1 - 2 / (e^{2x} + 1)` elsewhere."""
        size, square, (above, below) = self.call(builder, "fabs", x), builder.fmul(x, x), self.quotient
        part = builder.fmul(square, self.series(builder, above, square))
        if len(below) > 1:
            part = builder.fdiv(part, self.series(builder, below, square))
        near = self.call(builder, "fmuladd", part, x, x)
        power = builder.fadd(self.exp(builder, builder.fadd(size, size)), self.number(1))
        far = builder.fsub(self.number(1), builder.fdiv(self.number(2), power))
        is_near = builder.fcmp_ordered("<", size, self.number(0.625))
        return self.call(builder, "copysign", builder.select(is_near, near, far), x)


#: For exp, Cephes' polynomial in single precision, Taylor's in double; for tanh, those of Cephes. All are accurate to
#: one or two units in the last place.
_SINGLE = _Format(
    ir.FloatType(), 32, 23, -104.0, 88.72283,
    [1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1],
    ([-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1], [1]),
)  # fmt: skip
_DOUBLE = _Format(
    ir.DoubleType(),
    64,
    52,
    -745.2,
    709.78271289,
    [1 / math.factorial(k) for k in range(13, 1, -1)],
    (
        [-9.64399179425052238628e-1, -9.92877231001918586564e1, -1.61468768441708447952e3],
        [1, 1.12811678491632931402e2, 2.23548839060100448583e3, 4.84406305325125486048e3],
    ),
)


def _vectorisable(name: str) -> Any:
    """Make a function with which several numbers can be computed at a time."""

    def function(typing: Any, x: Any) -> Any:
        write = getattr(_SINGLE if x == types.float32 else _DOUBLE, name)
        return x(x), lambda context, builder, signature, args: write(builder, args[0])

    return intrinsic(function)


def _logaddexp(a: Any, b: Any) -> Any:
    if a == b:
        return a + type(a)(math.log(2))
    low, high = (a, b) if a < b else (b, a)
    return high + math.log1p(math.exp(low - high)) if low == low and high == high else a + b


# -- products --------------------------------------------------------------------------------------------------


def _gemm(
    typing: Any, turn_a: Any, turn_b: Any, m: Any, n: Any, k: Any, alpha: Any, a: Any, lda: Any, b: Any, ldb: Any,
    beta: Any, c: Any, ldc: Any,
) -> Any:  # fmt: skip
    """Call the BLAS: ``c = alpha a b + beta c`` of matrices stored by columns."""
    dtype = c.dtype
    address, bits = product_of("s" if dtype == types.float32 else "d")

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        byte, integer, number = ir.IntType(8), ir.IntType(bits), context.get_value_type(dtype)

        def pointer_to(value: Any, kind: Any) -> Any:
            place: Any = alloca_once(builder, kind)
            builder.store(value, place)
            return place

        def integer_at(value: Any) -> Any:
            return pointer_to(value if bits == 64 else builder.trunc(value, integer), integer)

        zero = context.get_constant(types.intp, 0)
        arrays = {i: _pointer(context, builder, signature.args[i], args[i], zero) for i in (6, 8, 11)}
        given = [
            pointer_to(builder.trunc(args[0], byte), byte), pointer_to(builder.trunc(args[1], byte), byte),
            integer_at(args[2]), integer_at(args[3]), integer_at(args[4]), pointer_to(args[5], number),
            arrays[6], integer_at(args[7]), arrays[8], integer_at(args[9]),
            pointer_to(args[10], number), arrays[11], integer_at(args[12]),
        ]  # fmt: skip
        kind = ir.FunctionType(ir.VoidType(), [value.type for value in given])
        function = builder.inttoptr(ir.Constant(ir.IntType(64), address), kind.as_pointer())
        builder.call(function, given)
        return context.get_dummy_value()

    long = types.intp
    return types.void(long, long, long, long, long, dtype, a, long, b, long, dtype, c, long), code


peek: Any = intrinsic(_peek)
poke: Any = intrinsic(_poke)
part: Any = intrinsic(_part)
address: Any = intrinsic(_address)
lies_at: Any = intrinsic(_lies_at)
add_freely: Any = intrinsic(_add_freely)
multiply_add: Any = intrinsic(_multiply_add)
exp: Any = _vectorisable("exp")
gemm: Any = intrinsic(_gemm)


def _row_times(
    x: Any,
    step: int,
    w: Any,
    rows: int,
    columns: int,
    ld: int,
    zero: Any,
    out: Any,
    found: Any,
    is_finite: bool,
) -> None:
    """Multiply a row by a matrix that is stored by rows, four of them at a time.

    If the matrix is known to be finite, rows that are multiplied by zero are not even read.
    """
    n = 0
    for i in range(rows):
        poke(found, n, i)
        n += not is_finite or peek(x, i * step) != 0
    for j in range(columns):
        poke(out, j, zero)
    q = 0
    while q + 4 <= n:
        i0, i1, i2, i3 = peek(found, q), peek(found, q + 1), peek(found, q + 2), peek(found, q + 3)
        a0, a1, a2, a3 = peek(x, i0 * step), peek(x, i1 * step), peek(x, i2 * step), peek(x, i3 * step)
        w0, w1, w2, w3 = (
            part(w, i0 * ld, columns), part(w, i1 * ld, columns), part(w, i2 * ld, columns), part(w, i3 * ld, columns),
        )  # fmt: skip
        for j in range(columns):
            first = multiply_add(a1, peek(w1, j), a0 * peek(w0, j))
            second = multiply_add(a3, peek(w3, j), a2 * peek(w2, j))
            poke(out, j, peek(out, j) + (first + second))
        q += 4
    while q < n:
        i0 = peek(found, q)
        a0 = peek(x, i0 * step)
        for j in range(columns):
            poke(out, j, multiply_add(a0, peek(w, i0 * ld + j), peek(out, j)))
        q += 1


def _row_dot(x: Any, step: int, w: Any, rows: int, columns: int, ld: int, zero: Any, out: Any) -> None:
    """Multiply a row by a matrix that is stored by columns, four of them at a time."""
    j = 0
    while j + 4 <= columns:
        w0, w1 = part(w, j * ld, rows), part(w, (j + 1) * ld, rows)
        w2, w3 = part(w, (j + 2) * ld, rows), part(w, (j + 3) * ld, rows)
        t0 = t1 = t2 = t3 = zero
        for i in range(rows):
            a = peek(x, i * step)
            t0, t1 = multiply_add(a, peek(w0, i), t0), multiply_add(a, peek(w1, i), t1)
            t2, t3 = multiply_add(a, peek(w2, i), t2), multiply_add(a, peek(w3, i), t3)
        poke(out, j, t0)
        poke(out, j + 1, t1)
        poke(out, j + 2, t2)
        poke(out, j + 3, t3)
        j += 4
    while j < columns:
        total = zero
        for i in range(rows):
            total = multiply_add(peek(x, i * step), peek(w, j * ld + i), total)
        poke(out, j, total)
        j += 1


def _row_dot_where(
    x: Any, step: int, w: Any, rows: int, columns: int, ld: int, zero: Any, out: Any, mask: Any, found: Any,
    most: float,
) -> None:  # fmt: skip
    """Multiply a row by a matrix that is stored by columns, some of which are multiplied by zero afterwards.

    These are not even read if the products are known to be finite: if the absolute values of the row add up to less
    than ``most``.
    """
    size = zero
    for i in range(rows):
        size = add_freely(size, abs(peek(x, i * step)))
    is_finite = size < most
    n = 0
    for j in range(columns):
        poke(found, n, j)
        n += not is_finite or peek(mask, j) != 0
        poke(out, j, zero)
    q = 0
    while q < n:
        # Four at a time; the last four may contain some twice.
        j0, j1 = peek(found, q), peek(found, min(q + 1, n - 1))
        j2, j3 = peek(found, min(q + 2, n - 1)), peek(found, min(q + 3, n - 1))
        w0, w1 = part(w, j0 * ld, rows), part(w, j1 * ld, rows)
        w2, w3 = part(w, j2 * ld, rows), part(w, j3 * ld, rows)
        t0 = t1 = t2 = t3 = zero
        for i in range(rows):
            a = peek(x, i * step)
            t0, t1 = multiply_add(a, peek(w0, i), t0), multiply_add(a, peek(w1, i), t1)
            t2, t3 = multiply_add(a, peek(w2, i), t2), multiply_add(a, peek(w3, i), t3)
        poke(out, j0, t0)
        poke(out, j1, t1)
        poke(out, j2, t2)
        poke(out, j3, t3)
        q += 4


def _update_rows(
    w: Any, rows: int, columns: int, x: Any, step: int, row: Any, zero: Any, found: Any
) -> float:
    """Subtract a column times a row from a matrix; return a bound on the change of all elements.

    If the row is finite, rows of the matrix for which the column is zero do not change (zero times infinity is not a
    number). They are found in advance, so that the processor need not guess which is next.
    """
    within = total = zero
    for j in range(columns):
        total = add_freely(total, abs(peek(row, j)))
    for i in range(rows):  # a loop of its own, which adds several at a time
        within = add_freely(within, abs(peek(x, i * step)))
    n, all_count = 0, not total < math.inf
    for i in range(rows):
        poke(found, n, i)
        n += (peek(x, i * step) != 0) | all_count
    for q in range(n):
        i = peek(found, q)
        a, kept = peek(x, i * step), part(w, i * columns, columns)
        for j in range(columns):
            poke(kept, j, peek(kept, j) - a * peek(row, j))
    return np.float64(within) * np.float64(total)


def _divided(a: Any, b: Any) -> Any:
    """Divide Python numbers."""
    if b == 0:
        raise ZeroDivisionError("float division by zero")
    return a / b


def _powered(a: Any, b: Any) -> Any:
    """Raise a Python number to a power."""
    if a == 0 and b < 0:
        raise ZeroDivisionError("0.0 cannot be raised to a negative power")
    power = a**b
    if math.isinf(power) and math.isfinite(a) and math.isfinite(b):
        raise OverflowError("(34, 'Numerical result out of range')")
    return power


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a function that is only called from machine code."""
    return numba.njit(**{**FAST, "no_cpython_wrapper": True, "no_cfunc_wrapper": True})(function)


#: The names that the text of a program refers to.
NAMES: dict[str, Any] = {
    "add_freely": add_freely,
    "address": address,
    "divided": compiled(_divided),
    "exp": exp,
    "gemm": gemm,
    "lies_at": lies_at,
    "N": 78,  # the BLAS calls matrices as they are "N", and transposed ones "T"
    "T": 84,
    "logaddexp": compiled(_logaddexp),
    "math": math,
    "np": np,
    "part": part,
    "peek": peek,
    "poke": poke,
    "powered": compiled(_powered),
    "tanh": _vectorisable("tanh"),
    "row_dot": compiled(_row_dot),
    "row_dot_where": compiled(_row_dot_where),
    "row_times": compiled(_row_times),
    "update_rows": compiled(_update_rows),
}
