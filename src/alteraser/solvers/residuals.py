"""How well rows solve their normal equations, a block of rows at a time: for factors that are
larger than memory.

Whatever the number of rows, this takes the memory of one block of them; everything is accumulated
in float64.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from alteraser.models.factorization.problem import Side
from alteraser.runtime.workers import blocks, default_threads, run
from alteraser.solvers.stationarity import block_solve

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]

ROWS_AT_A_TIME = 1 << 14


def row_residuals(
    side: Side, other: Array, x: Array, *, threads: int = 0, tiny: float = 0.0
) -> Float64:
    """r_i = ‖A_i x_i − b_i‖ / (‖A_i x_i‖ + ‖b_i‖) of every row, (rows,); 0 where ‖A x − b‖² ≤
    ``tiny``.

    ``x`` (rows, d) are the rows of ``side``, ``other`` (…, d) those of the other one. r lies
    between 0, solved, and 1, where one of A x and b is zero or they point in opposite directions.
    """
    threads = threads or default_threads()
    gram = side.gram(other)
    out = np.zeros(side.rows)
    for start, stop in _blocks(side):
        part, rows = side.part(start, stop), np.ascontiguousarray(x[start:stop])
        half, _ = half_gradients(part, other, rows, gram, threads)
        right = _right_sides(part, other)
        size = _lengths(half + right) + _lengths(right)
        left = _lengths(half)
        out[start:stop] = np.where(left**2 > tiny, left, 0.0) / np.where(size > 0, size, 1.0)
    return out


def _right_sides(side: Side, other: Array) -> Float64:
    """B = Σ c y z of every row, (rows, d)."""
    c = side.confidence.astype(np.float64) if side.confidence.size else np.ones(side.indices.size)
    pulls = c * side.target if side.target.size else c
    # a part of a side keeps the interactions of all of it
    start, stop = side.indptr[0], side.indptr[-1]
    matrix = csr_array(
        (pulls[start:stop], side.indices[start:stop], side.indptr - start),
        shape=(side.rows, len(other)),
    )
    return np.asarray(matrix @ other.astype(np.float64))


def squared_gradient_norm(
    side: Side, other: Array, x: Array, *, rank: int, threads: int = 0
) -> tuple[float, float]:
    """(Σ_i ∇_iᵀ A_i⁻¹ ∇_i, Σ_i of the rows' share of the fit): one side's part of ‖∇L‖²_{B⁻¹}, and
    of L.

    ``other`` and ``x`` are padded (``solvers.rows.padded``). L is the second number, the same
    whichever side it is summed over, plus both sides' ridge terms. Raises NumericFailure for a
    singular row.
    """
    threads = threads or default_threads()
    gram = side.gram(other)
    total = fit = 0.0
    for start, stop in _blocks(side):
        part = side.part(start, stop)
        half, loss = half_gradients(part, other, x[start:stop], gram, threads)
        decrement, _ = block_solve(
            part, other, 2.0 * half, part.all_rows, rank=rank, threads=threads
        )
        total += decrement
        fit += loss
    return total, fit


def fit(side: Side, other: Array, x: Array, *, threads: int = 0) -> float:
    """L without its ridge terms, from the rows of one side."""
    threads = threads or default_threads()
    gram = side.gram(other)
    return sum(
        half_gradients(
            side.part(start, stop), other, np.ascontiguousarray(x[start:stop]), gram, threads
        )[1]
        for start, stop in _blocks(side)
    )


def half_gradients(
    side: Side, other: Array, x: Array, gram: Float64, threads: int
) -> tuple[Float64, float]:
    """A x − b of every row (rows, d) and the sum of their shares of the fit; ``gram`` is
    ``side.gram(other)``.
    """
    gradient, loss, _ = row_gradients(side, other, x, gram, threads)
    return gradient, loss


def row_gradients(
    side: Side, other: Array, x: Array, gram: Float64, threads: int
) -> tuple[Float64, float, float]:
    """As ``half_gradients``, and Σ bᵀx."""
    from alteraser.solvers.kernels.rows import gradient_rows

    arrays, gradient = side.arrays, np.empty(x.shape)
    loss, explained = np.empty(side.rows), np.empty(side.rows)

    def kernel(rows: Array) -> None:
        gradient_rows(rows, arrays, other, gram, x, gradient, loss, explained)

    run(kernel, blocks(side, None, x.shape[1], threads), threads)
    return gradient, float(loss.sum()), float(explained.sum())


def _lengths(x: Float64) -> Float64:
    """‖·‖ of every row; ``numpy.linalg.norm`` over an axis takes several times as long."""
    return np.asarray(np.sqrt(np.einsum("id,id->i", x, x)))


def _blocks(side: Side) -> Iterator[tuple[int, int]]:
    for start in range(0, side.rows, ROWS_AT_A_TIME):
        yield start, min(start + ROWS_AT_A_TIME, side.rows)
