"""The Hessian-free form of the AH-Newton step: conjugate gradients on A x = b with products A v
alone.

A v = a G v + ridge v + Σ_j ω_j z_j (z_jᵀ v) costs O(|D_u| d + d²), so a few steps from a warm start
cost less than forming A (Takács, Pilászy & Tikk, RecSys 2011). Not exact: the row moves toward its
minimum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.errors import InvalidInput
from alteraser.models.factorization.problem import Side
from alteraser.runtime.workers import blocks, run
from alteraser.solvers.rows.protocol import RowReport, check

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class ConjugateGradient:
    """At most ``steps`` CG steps per row, fewer once the row's residual is ``small`` against its
    right side.
    """

    steps: int = 3
    small: float | None = None
    """None: four times the rounding of the working precision, below which steps only move noise."""
    tiny: float = 0.0
    """Steps also end once the row's squared residual is at most this, as a library's trainer may
    have it."""
    name: str = "cg"
    exact: bool = False

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise InvalidInput(f"ConjugateGradient(steps={self.steps}): expected at least 1")

    def solve(
        self,
        side: Side,
        other: Array,
        x: Array,
        rows: Array | None,
        *,
        rank: int,
        threads: int,
        anchor: Array | None = None,
    ) -> RowReport:
        """Take the steps on ``x[rows]``; see ``RowSolver.solve``. With ``anchor`` (rows, d) on A x
        = b + anchor.
        """
        from alteraser.solvers.kernels.rows import cg_rows

        dtype = x.dtype
        arrays, gram = side.arrays, side.gram(other).astype(dtype)
        small = 4.0 * float(np.finfo(dtype).eps) if self.small is None else self.small
        decrement, value = np.zeros(side.rows), np.zeros(side.rows)
        status, products = np.zeros(side.rows, np.int8), np.zeros(side.rows, np.int64)

        held = np.empty((0, rank)) if anchor is None else anchor

        def kernel(block: Array) -> None:
            cg_rows(
                block,
                arrays,
                other,
                gram,
                self.steps,
                small,
                self.tiny,
                held,
                x,
                decrement,
                value,
                status,
                products,
            )

        run(kernel, blocks(side, rows, rank, threads), threads)
        check(side, status)
        solved = side.rows if rows is None else len(rows)
        return RowReport(solved, int(products.sum()), float(decrement.sum()), float(value.sum()))
