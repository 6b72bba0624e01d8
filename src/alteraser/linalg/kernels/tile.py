"""The one inner loop that decides the speed of an exact pass, written as vector instructions.

``add_outer_tile`` adds a sum of outer products to a small tile of a matrix,

    A[r0 + i, c0 + l]  +=  sum_{j < count} W[j, r0 + i] * S[j, c0 + l],
        i < TILE_ROWS,  l < lanes,

holding the tile in registers while ``j`` runs. Forming a row's Gram matrix and the trailing update
of its Cholesky factorization are both this operation. Left to automatic vectorization, LLVM guards
every short inner loop against overlapping arrays, at several times the cost (d = 64), hence the
explicit vectors. They are 64 bytes long whatever the processor: LLVM splits them into the registers
there are.

The NumPy twin is one line, ``A[r0:r0+4, c0:c0+lanes] += W[:count, r0:r0+4].T @ S[:count,
c0:c0+lanes]``.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import types
from numba.extending import intrinsic

TILE_ROWS = 8 if get_host_cpu_features().get("avx512f") else 4
"""Rows of a tile: its sums have to keep two multipliers busy for the four cycles that an addition
takes, with 8 registers. These are 8 rows of 64 bytes with AVX-512, 4 of twice 32 with AVX2."""
TILE_BYTES = 64

_INTP = ir.IntType(64)


def lanes(itemsize: int) -> int:
    """Numbers in one vector: 16 for float32, 8 for float64. Row lengths are padded to a multiple of
    it.
    """
    return TILE_BYTES // itemsize


@intrinsic  # type: ignore[untyped-decorator]
def add_outer_tile(
    typing_context: Any, A: Any, W: Any, S: Any, count: Any, r0: Any, c0: Any
) -> tuple[Any, Any]:
    """Add ``W[:count, r0:r0+4].T @ S[:count, c0:c0+lanes]`` to the tile of ``A`` at (r0, c0); no
    bounds checks.

    A, W, S are 2-d arrays of one float type with contiguous rows; count, r0, c0 are integers.
    """
    signature = types.void(A, W, S, types.intp, types.intp, types.intp)
    itemsize = A.dtype.bitwidth // 8

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        scalar = context.get_data_type(A.dtype)
        vector = ir.VectorType(scalar, lanes(itemsize))
        a, w, s = (
            context.make_array(ty)(context, builder, value)
            for ty, value in zip(sig.args[:3], args[:3], strict=True)
        )
        count, r0, c0 = args[3:]

        def const(value: int) -> Any:
            return ir.Constant(_INTP, value)

        def row_stride(array: Any) -> Any:
            return builder.sdiv(builder.extract_value(array.strides, 0), const(itemsize))

        def as_vector(pointer: Any) -> Any:
            return builder.bitcast(pointer, vector.as_pointer())

        def load(pointer: Any) -> Any:
            value = builder.load(as_vector(pointer))
            value.align = itemsize  # rows need not start at a multiple of 64 bytes
            return value

        def splat(value: Any) -> Any:
            undefined = ir.Constant(vector, ir.Undefined)
            first = builder.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0))
            mask = ir.Constant(
                ir.VectorType(ir.IntType(32), lanes(itemsize)), [0] * lanes(itemsize)
            )
            return builder.shuffle_vector(first, undefined, mask)

        lda, ldw, lds = row_stride(a), row_stride(w), row_stride(s)
        tile = [
            builder.gep(a.data, [builder.add(builder.mul(builder.add(r0, const(i)), lda), c0)])
            for i in range(TILE_ROWS)
        ]
        start = [load(pointer) for pointer in tile]
        w_first, s_first = builder.gep(w.data, [r0]), builder.gep(s.data, [c0])

        entry = builder.block
        body, done = builder.append_basic_block("outer"), builder.append_basic_block("stored")
        builder.cbranch(builder.icmp_signed(">", count, const(0)), body, done)

        builder.position_at_end(body)
        j = builder.phi(_INTP)
        w_row, s_row = builder.phi(w_first.type), builder.phi(s_first.type)
        sums = [builder.phi(vector) for _ in range(TILE_ROWS)]
        z = load(s_row)
        added = []
        for i, total in enumerate(sums):
            weight = splat(builder.load(builder.gep(w_row, [const(i)])))
            product = builder.fmul(weight, z, flags=("contract",))
            added.append(builder.fadd(total, product, flags=("contract",)))
        following = builder.add(j, const(1))
        for phi, before, after in (
            (j, const(0), following),
            (w_row, w_first, builder.gep(w_row, [ldw])),
            (s_row, s_first, builder.gep(s_row, [lds])),
            *zip(sums, start, added, strict=True),
        ):
            phi.add_incoming(before, entry)
            phi.add_incoming(after, body)
        builder.cbranch(builder.icmp_signed("<", following, count), body, done)

        builder.position_at_end(done)
        results = [builder.phi(vector) for _ in range(TILE_ROWS)]
        for phi, before, after in zip(results, start, added, strict=True):
            phi.add_incoming(before, entry)
            phi.add_incoming(after, body)
        for pointer, value in zip(tile, results, strict=True):
            builder.store(value, as_vector(pointer)).align = itemsize
        return context.get_dummy_value()

    return signature, codegen
