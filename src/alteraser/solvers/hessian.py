"""Half the Hessian of L in P and Q together, applied and never formed.

It couples every user with every item. A product costs O(|D|d + (m+n)d²), about as much as one
product of a CG pass; its own diagonal blocks, B = blockdiag(A_u, A_v), are the row solves of a pass
and precondition it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.models import Factors, Problem, Side
from alteraser.runtime.workers import blocks, run
from alteraser.solvers.rows.protocol import padded
from alteraser.solvers.stationarity import block_solve

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]
Pair = tuple[Float64, Float64]


class Curvature:
    """The half-Hessian of ``problem`` at ``factors`` (h = 1), and its preconditioner, as
    products.
    """

    def __init__(self, problem: Problem, factors: Factors, threads: int) -> None:
        self._problem, self._threads, self._rank = problem, threads, factors.rank
        self._P, self._Q = factors.users.astype(np.float64), factors.items.astype(np.float64)
        self._padded = tuple(padded(x.astype(problem.dtype)) for x in (self._P, self._Q))

    def hessian(self, direction: Pair) -> Pair:
        """½ ∇²L · direction, (m, d) and (n, d)."""
        V, W = direction
        return (
            self._half(self._problem.users, self._P, V, self._Q, W),
            self._half(self._problem.items, self._Q, W, self._P, V),
        )

    def _half(self, side: Side, X: Float64, V: Float64, Z: Float64, W: Float64) -> Float64:
        from alteraser.solvers.kernels.rows import hessian_rows

        weighted = Z * side.other.astype(np.float64)[:, None] if side.other.size else Z
        gram, mixed = side.missing_weight * (weighted.T @ Z), side.missing_weight * (weighted.T @ W)
        out = (V @ gram + X @ (mixed + mixed.T)) * side.own.astype(np.float64)[:, None]
        out += V * side.ridge.astype(np.float64)[:, None]
        arrays = side.arrays

        def kernel(rows: Array) -> None:
            hessian_rows(rows, arrays, X, V, Z, W, out)

        run(kernel, blocks(side, None, self._rank, self._threads), self._threads)
        return out

    def precondition(self, right: Pair) -> Pair:
        """B⁻¹ · right."""
        solved = []
        for side, other, r in (
            (self._problem.users, self._padded[1], right[0]),
            (self._problem.items, self._padded[0], right[1]),
        ):
            out = np.zeros_like(r)
            block_solve(
                side, other, r, side.all_rows, rank=self._rank, threads=self._threads, solution=out
            )
            solved.append(out)
        return solved[0], solved[1]
