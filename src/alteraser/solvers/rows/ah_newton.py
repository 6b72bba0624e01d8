"""AH-Newton: with the other side fixed a row's loss is quadratic, so one Newton step is its
minimum.

    x  ←  x − A⁻¹ (A x − b)
        (Liu et al., RecSys 2022, §4.4; one ridge solve, as in Hu et al. 2008)

A is formed from its Gram matrix and the row's interactions and factored (Cholesky): O(|D_u| d² +
d³) a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.models.factorization.problem import Side
from alteraser.runtime.workers import blocks, run
from alteraser.solvers.rows.protocol import RowReport, check

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class AHNewton:
    """Exact row solves."""

    name: str = "ah-newton"
    exact: bool = True

    def solve(
        self, side: Side, other: Array, x: Array, rows: Array | None, *, rank: int, threads: int
    ) -> RowReport:
        """Put ``x[rows]`` at its minimum; see ``RowSolver.solve``."""
        from alteraser.linalg.kernels.tile import lanes
        from alteraser.solvers.kernels.rows import exact_rows

        dtype = x.dtype
        gram = side.gram(other).astype(dtype)
        arrays, width = side.arrays, lanes(dtype.itemsize)
        decrement, value = np.zeros(side.rows), np.zeros(side.rows)
        status = np.zeros(side.rows, np.int8)

        def kernel(block: Array) -> None:
            exact_rows(
                block,
                arrays,
                other,
                gram,
                rank,
                width,
                x,
                decrement,
                value,
                status,
            )

        run(kernel, blocks(side, rows, rank, threads), threads)
        check(side, status)
        solved = side.rows if rows is None else len(rows)
        return RowReport(solved, 0, float(decrement.sum()), float(value.sum()))
