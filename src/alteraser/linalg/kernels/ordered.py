"""Sums in the order in which other people's code takes them, so that their roundings come out bit
for bit.

A trainer that stops early amplifies rounding: with large weights a last bit of the first iteration
decides a tenth of the lists of the last. Repeating such a training therefore takes the same sums in
the same order. Products of a matrix and a vector are left to the same BLAS; inner products and
scaled additions, which are most of the work, stand here in the orders in which that BLAS takes them
on today's processors, and fuse multiplications with additions as it does:

    FOLDED   four sums of 16 lanes over 64 numbers, folded to 8 lanes, then over what is left of
             32; a + b + c + d
    PAIRED   four sums of 8 lanes over 32 numbers, folded to 4 lanes; (a + b) + (c + d)

then neighbors are added twice, and what is left of 32 numbers one by one in float64. Which of them
a machine's BLAS uses is found out by asking it (``order_of``); where it is neither, that BLAS is
called for every inner product. Facts of OpenBLAS 0.3, single precision.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from alteraser.linalg.kernels.vector import _Emitter

FOLDED, PAIRED = 0, 1

BLOCK = 32
"""Inner products take whole blocks of so many numbers by vectors, the rest one by one."""


def _emitter(width: int, context: Any, builder: Any, dtype: Any) -> _Emitter:
    return _Emitter(context, builder, dtype, lambda _: width)


def _fused(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """A b + c of scalars or vectors, rounded once."""
    vector = isinstance(a.type, ir.VectorType)
    name = f"llvm.fma.v{a.type.count}f32" if vector else "llvm.fma.f32"
    function = builder.module.globals.get(name) or ir.Function(
        builder.module, ir.FunctionType(a.type, [a.type] * 3), name
    )
    return builder.call(function, [a, b, c])


def _halves(builder: Any, value: Any) -> tuple[Any, Any]:
    width = value.type.count // 2
    undefined = ir.Constant(value.type, ir.Undefined)

    def half(start: int) -> Any:
        mask = ir.Constant(ir.VectorType(ir.IntType(32), width), list(range(start, start + width)))
        return builder.shuffle_vector(value, undefined, mask)

    return half(0), half(width)


def _folded(builder: Any, value: Any) -> Any:
    low, high = _halves(builder, value)
    return builder.fadd(low, high)


def _neighbors(builder: Any, value: Any) -> Any:
    """(v0 + v1) + (v2 + v3)"""
    entries = [builder.extract_element(value, ir.Constant(ir.IntType(32), k)) for k in range(4)]
    return builder.fadd(builder.fadd(*entries[:2]), builder.fadd(*entries[2:]))


def _inner(
    order: int, context: Any, builder: Any, dtype: Any, left: Any, rows: list[Any], count: Any
) -> list[Any]:
    """Inner products of one stretch with several; their sums stand side by side, each in the order
    of its own.
    """
    wide = _emitter(16 if order == FOLDED else 8, context, builder, dtype)
    half = _emitter(8, context, builder, dtype)

    def sums(emit: _Emitter, start: Any, length: Any, begin: list[Any]) -> list[Any]:
        steps = _emitter(4 * emit.lanes, context, builder, dtype)

        def body(offset: Any, totals: list[Any]) -> list[Any]:
            place = builder.add(start, offset)
            places = [builder.add(place, ir.Constant(place.type, k * emit.lanes)) for k in range(4)]
            mine = [emit.load(left, p) for p in places]
            return [
                _fused(builder, a, emit.load(row, p), total)
                for row, four in zip(rows, zip(*[iter(totals)] * 4, strict=True), strict=True)
                for a, p, total in zip(mine, places, four, strict=True)
            ]

        return steps.loop(length, begin, body)

    def added(a: Any, b: Any) -> Any:
        return builder.fadd(a, b)

    zero = ir.Constant(count.type, 0)
    nothing = [ir.Constant(wide.vector, [0.0] * wide.lanes)] * (4 * len(rows))
    whole = count if order == PAIRED else builder.and_(count, ir.Constant(count.type, ~63))
    totals = [_folded(builder, total) for total in sums(wide, zero, whole, nothing)]
    if order == FOLDED:
        totals = sums(half, whole, builder.sub(count, whole), totals)
    found = []
    for a, b, c, d in zip(*[iter(totals)] * 4, strict=True):
        if order == FOLDED:
            found.append(_neighbors(builder, _folded(builder, added(added(added(a, b), c), d))))
        else:
            found.append(_neighbors(builder, added(added(a, b), added(c, d))))
    return found


def _dot(order: int) -> Any:
    @intrinsic  # type: ignore[untyped-decorator]
    def dot(typing_context: Any, x: Any, at: Any, Y: Any, y: Any, count: Any) -> Any:
        """x[at : at + count] · Y[y : y + count] for flat float32 arrays, ``count`` a multiple of
        BLOCK; unchecked.
        """
        signature = types.float32(x, types.intp, Y, types.intp, types.intp)

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            emit = _emitter(16, context, builder, types.float32)
            left, row = (
                emit.data(sig.args[0], args[0], args[1]),
                emit.data(sig.args[2], args[2], args[3]),
            )
            return _inner(order, context, builder, types.float32, left, [row], args[4])[0]

        return signature, codegen

    return dot


def _dot_four(order: int) -> Any:
    @intrinsic  # type: ignore[untyped-decorator]
    def dot_four(
        typing_context: Any, x: Any, at: Any, Y: Any, y0: Any, y1: Any, y2: Any, y3: Any, count: Any
    ) -> Any:
        """As ``dot`` with four stretches of Y at once."""
        signature = types.UniTuple(types.float32, 4)(
            x, types.intp, Y, *((types.intp,) * 4), types.intp
        )

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            emit = _emitter(16, context, builder, types.float32)
            left = emit.data(sig.args[0], args[0], args[1])
            rows = [emit.data(sig.args[2], args[2], place) for place in args[3:7]]
            found = _inner(order, context, builder, types.float32, left, rows, args[7])
            return context.make_tuple(builder, sig.return_type, found)

        return signature, codegen

    return dot_four


@intrinsic  # type: ignore[untyped-decorator]
def fused(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
    """A b + c, rounded once."""
    signature = a(a, a, a)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _fused(builder, *args)

    return signature, codegen


def _add(rows: int) -> Any:
    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        emit = _emitter(16, context, builder, types.float32)
        out = emit.data(sig.args[0], args[0], args[1])
        places, weights = args[3 : 3 + rows], args[3 + rows : 3 + 2 * rows]
        stretches = [emit.data(sig.args[2], args[2], place) for place in places]
        spread = [emit.splat(weight) for weight in weights]

        def body(offset: Any, _: list[Any]) -> list[Any]:
            total = emit.load(out, offset)
            for weight, stretch in zip(spread, stretches, strict=True):
                total = _fused(builder, weight, emit.load(stretch, offset), total)
            emit.store(total, out, offset)
            return []

        emit.loop(args[3 + 2 * rows], [], body)
        return context.get_dummy_value()

    return codegen


@intrinsic  # type: ignore[untyped-decorator]
def add_blocks(typing_context: Any, x: Any, at: Any, Y: Any, y: Any, t: Any, count: Any) -> Any:
    """x[at : at + count] += t Y[y : y + count], each rounded once; ``count`` a multiple of BLOCK;
    unchecked.
    """
    return types.void(x, types.intp, Y, types.intp, types.float32, types.intp), _add(1)


@intrinsic  # type: ignore[untyped-decorator]
def add_four_blocks(
    typing_context: Any,
    x: Any,
    at: Any,
    Y: Any,
    y0: Any,
    y1: Any,
    y2: Any,
    y3: Any,
    t0: Any,
    t1: Any,
    t2: Any,
    t3: Any,
    count: Any,
) -> Any:
    """As ``add_blocks`` with four stretches of Y, one after the other."""
    four = (types.intp,) * 4
    return types.void(x, types.intp, Y, *four, *((types.float32,) * 4), types.intp), _add(4)


dot_folded: Callable[..., float] = _dot(FOLDED)
dot_paired: Callable[..., float] = _dot(PAIRED)
four_folded: Callable[..., Any] = _dot_four(FOLDED)
four_paired: Callable[..., Any] = _dot_four(PAIRED)


@intrinsic  # type: ignore[untyped-decorator]
def symmetric_product(
    typing_context: Any, address: Any, A: Any, t: Any, x: Any, at: Any, out: Any, count: Any
) -> Any:
    """out[: count] = t A x[at : at + count] by the BLAS routine ``ssymv`` at ``address``, from A's
    first triangle.

    Flat float32 arrays; A is count × count. An address and not a symbol, so that what is compiled
    can be kept.
    """
    signature = types.void(types.intp, A, types.float32, x, types.intp, out, types.intp)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        emit = _emitter(16, context, builder, types.float32)
        integer, letter = ir.IntType(32), ir.IntType(8)

        def slot(value: Any) -> Any:
            place = builder.alloca(value.type)
            builder.store(value, place)
            return builder.bitcast(place, letter.as_pointer())

        def data(k: int, place: Any) -> Any:
            return builder.bitcast(emit.data(sig.args[k], args[k], place), letter.as_pointer())

        zero = ir.Constant(args[4].type, 0)
        n, one = slot(builder.trunc(args[6], integer)), slot(ir.Constant(integer, 1))
        arguments = [
            slot(ir.Constant(letter, ord("U"))),
            n,
            slot(args[2]),
            data(1, zero),
            n,
            data(3, args[4]),
            one,
            slot(ir.Constant(emit.scalar, 0.0)),
            data(5, zero),
            one,
        ]
        kind = ir.FunctionType(ir.VoidType(), [letter.as_pointer()] * len(arguments))
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), arguments)
        return context.get_dummy_value()

    return signature, codegen
