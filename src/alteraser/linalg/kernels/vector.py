"""Sums over a few rows at once, written as vector instructions: what products with rows and factors
consist of.

``dot_four`` and ``add_four`` work on flat arrays at given places, ``count`` numbers long, a
multiple of the lanes:

    dot_four:   s_i = sum_c x[at + c] * Y[y_i + c]                   (s_0, s_1, s_2, s_3)
    add_four:   x[at + c] += sum_i t_i * Y[y_i + c]
    scaled:     x[at + c] = t * Y[y + c]

Left to automatic vectorization, LLVM guards every such loop against overlapping arrays and numba
counts references to every slice, which at d = 64 costs several times the work itself; hence
explicit vectors and flat places. What is read and what is written must not overlap, but for
``scaled``. Nothing is checked: places are the caller's.

The ``short_`` ones take 8 numbers at a time, for the packed factors; the others 64 bytes, for
padded rows. The NumPy twins are the formulas above.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.errors import TypingError
from numba.extending import intrinsic

from alteraser.linalg.kernels.tile import lanes

SHORT = 8

_INTP = ir.IntType(64)
_FAST = ("contract", "reassoc", "nsz")


def _short(_: int) -> int:
    return SHORT


def _same(x: Any, Y: Any) -> None:
    if x.dtype != Y.dtype or not isinstance(x.dtype, types.Float):
        raise TypingError(f"vectors of one float type are needed, not {x} and {Y}")


class _Emitter:
    """Vectors of one width over the data of numba arrays of one float type."""

    def __init__(self, context: Any, builder: Any, dtype: Any, width: Callable[[int], int]) -> None:
        self.context, self.builder = context, builder
        self.itemsize = dtype.bitwidth // 8
        self.scalar = context.get_data_type(dtype)
        self.lanes = width(self.itemsize)
        self.vector = ir.VectorType(self.scalar, self.lanes)

    def data(self, array_type: Any, value: Any, at: Any) -> Any:
        array = self.context.make_array(array_type)(self.context, self.builder, value)
        return self.builder.gep(array.data, [at])

    def load(self, pointer: Any, offset: Any) -> Any:
        value = self.builder.load(self._at(pointer, offset))
        value.align = self.itemsize  # rows need not start at a multiple of the vector
        return value

    def store(self, value: Any, pointer: Any, offset: Any) -> None:
        self.builder.store(value, self._at(pointer, offset)).align = self.itemsize

    def _at(self, pointer: Any, offset: Any) -> Any:
        return self.builder.bitcast(self.builder.gep(pointer, [offset]), self.vector.as_pointer())

    def splat(self, value: Any) -> Any:
        undefined = ir.Constant(self.vector, ir.Undefined)
        first = self.builder.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0))
        mask = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(first, undefined, mask)

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        return self.builder.fadd(c, self.builder.fmul(a, b, flags=_FAST), flags=_FAST)

    def total(self, value: Any) -> Any:
        """Sum of the lanes, by halves."""
        builder, width = self.builder, self.lanes
        while width > 1:
            width //= 2
            undefined = ir.Constant(value.type, ir.Undefined)
            low, high = (
                builder.shuffle_vector(
                    value,
                    undefined,
                    ir.Constant(ir.VectorType(ir.IntType(32), width), list(range(s, s + width))),
                )
                for s in (0, width)
            )
            value = builder.fadd(low, high, flags=_FAST)
        return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))

    def loop(
        self, count: Any, start: list[Any], body: Callable[[Any, list[Any]], list[Any]]
    ) -> list[Any]:
        """``body(offset, state)`` for offset = 0, lanes, … below ``count``; the state at the
        end.
        """
        builder = self.builder
        entry = builder.block
        inside, done = builder.append_basic_block("vectors"), builder.append_basic_block("done")
        zero = ir.Constant(_INTP, 0)
        builder.cbranch(builder.icmp_signed(">", count, zero), inside, done)
        builder.position_at_end(inside)
        offset = builder.phi(_INTP)
        state = [builder.phi(value.type) for value in start]
        after = body(offset, list(state))
        following = builder.add(offset, ir.Constant(_INTP, self.lanes))
        for phi, before, value in (
            (offset, zero, following),
            *zip(state, start, after, strict=True),
        ):
            phi.add_incoming(before, entry)
            phi.add_incoming(value, builder.block)
        last = builder.block
        builder.cbranch(builder.icmp_signed("<", following, count), inside, done)
        builder.position_at_end(done)
        results = [builder.phi(value.type) for value in start]
        for phi, before, value in zip(results, start, after, strict=True):
            phi.add_incoming(before, entry)
            phi.add_incoming(value, last)
        return results


def _dot_four(width: Callable[[int], int]) -> Any:
    @intrinsic  # type: ignore[untyped-decorator]
    def dot_four(
        typing_context: Any, x: Any, at: Any, Y: Any, y0: Any, y1: Any, y2: Any, y3: Any, count: Any
    ) -> Any:
        """Four inner products of x[at : at + count] with stretches of Y; see the module."""
        _same(x, Y)
        places = (types.intp,) * 4
        signature = types.UniTuple(x.dtype, 4)(x, types.intp, Y, *places, types.intp)

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            emit = _Emitter(context, builder, sig.args[0].dtype, width)
            left = emit.data(sig.args[0], args[0], args[1])
            rows = [emit.data(sig.args[2], args[2], place) for place in args[3:7]]

            def body(offset: Any, sums: list[Any]) -> list[Any]:
                value = emit.load(left, offset)
                return [
                    emit.multiply_add(value, emit.load(row, offset), total)
                    for row, total in zip(rows, sums, strict=True)
                ]

            zero = ir.Constant(emit.vector, [0.0] * emit.lanes)
            sums = emit.loop(args[7], [zero] * 4, body)
            return context.make_tuple(builder, sig.return_type, [emit.total(s) for s in sums])

        return signature, codegen

    return dot_four


def _add_four(width: Callable[[int], int]) -> Any:
    @intrinsic  # type: ignore[untyped-decorator]
    def add_four(
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
        """Add four scaled stretches of Y to x[at : at + count]; see the module."""
        _same(x, Y)
        signature = types.void(
            x, types.intp, Y, *((types.intp,) * 4), *((x.dtype,) * 4), types.intp
        )

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            emit = _Emitter(context, builder, sig.args[0].dtype, width)
            out = emit.data(sig.args[0], args[0], args[1])
            rows = [emit.data(sig.args[2], args[2], place) for place in args[3:7]]
            weights = [emit.splat(weight) for weight in args[7:11]]

            def body(offset: Any, _: list[Any]) -> list[Any]:
                total = emit.load(out, offset)
                for row, weight in zip(rows, weights, strict=True):
                    total = emit.multiply_add(weight, emit.load(row, offset), total)
                emit.store(total, out, offset)
                return []

            emit.loop(args[11], [], body)
            return context.get_dummy_value()

        return signature, codegen

    return add_four


def _scaled(width: Callable[[int], int]) -> Any:
    @intrinsic  # type: ignore[untyped-decorator]
    def scaled(typing_context: Any, x: Any, at: Any, Y: Any, y: Any, t: Any, count: Any) -> Any:
        """Overwrite x[at : at + count] with a scaled stretch of Y, which may be the same; see the
        module.
        """
        _same(x, Y)
        signature = types.void(x, types.intp, Y, types.intp, x.dtype, types.intp)

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            emit = _Emitter(context, builder, sig.args[0].dtype, width)
            out, row = (
                emit.data(sig.args[0], args[0], args[1]),
                emit.data(sig.args[2], args[2], args[3]),
            )
            weight = emit.splat(args[4])

            def body(offset: Any, _: list[Any]) -> list[Any]:
                emit.store(builder.fmul(weight, emit.load(row, offset)), out, offset)
                return []

            emit.loop(args[5], [], body)
            return context.get_dummy_value()

        return signature, codegen

    return scaled


@intrinsic  # type: ignore[untyped-decorator]
def fetch(typing_context: Any, Y: Any, at: Any, count: Any) -> Any:
    """Ask for Y[at : at + count] to be brought near; see the module. It is a hint: nothing is
    read.
    """
    signature = types.void(Y, types.intp, types.intp)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        emit = _Emitter(context, builder, sig.args[0].dtype, lanes)
        row = emit.data(sig.args[0], args[0], args[1])
        kinds = [ir.Constant(ir.IntType(32), x) for x in (0, 3, 1)]  # for reading, to stay, data
        byte = ir.IntType(8).as_pointer()
        hint = ir.FunctionType(ir.VoidType(), [byte, *(x.type for x in kinds)])
        function = builder.module.globals.get("llvm.prefetch.p0i8") or ir.Function(
            builder.module, hint, "llvm.prefetch.p0i8"
        )

        def body(offset: Any, _: list[Any]) -> list[Any]:
            builder.call(function, [builder.bitcast(builder.gep(row, [offset]), byte), *kinds])
            return []

        emit.loop(args[2], [], body)
        return context.get_dummy_value()

    return signature, codegen


dot_four, short_dot_four = _dot_four(lanes), _dot_four(_short)
add_four, short_add_four = _add_four(lanes), _add_four(_short)
scaled, short_scaled = _scaled(lanes), _scaled(_short)
