"""Newton on P and Q together: where alternating passes crawl, the two sides move at once.

The Hessian H of L couples every user with every item; it is never formed. A product costs O(|D|d +
(m+n)d²), about as much as one product of a CG pass, and conjugate gradients on H are preconditioned
by its own diagonal blocks, B = blockdiag(A_u, A_v): the row solves of a pass. Directions in which H
is not positive are what keeps passes at saddle points; conjugate gradients finds them, and the
caller walks along them (Steihaug 1983; Dembo & Steihaug 1983).
"""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True)
class Direction:
    """Where to go from here."""

    users: Float64
    items: Float64
    negative: bool
    """True for a direction of negative curvature: go far. False for a Newton step: its length is
    right."""
    products: int


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
        w0 = float(side.missing_weight)

        def kernel(rows: Array) -> None:
            hessian_rows(
                rows,
                side.indptr,
                side.indices,
                side.confidence,
                side.target,
                side.own,
                side.other,
                w0,
                X,
                V,
                Z,
                W,
                out,
            )

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


def newton_direction(
    curvature: Curvature, half_gradient: Pair, *, products: int, forcing: float
) -> Direction:
    """Approximate −H⁻¹g by preconditioned conjugate gradients, or a direction of negative
    curvature.

    Stops when ‖r‖_{B⁻¹} ≤ forcing · ‖g‖_{B⁻¹}, after ``products`` products, or at the first
    direction p with pᵀHp ≤ 0. Either way the direction descends: gᵀd < 0.
    """
    x: Pair = (np.zeros_like(half_gradient[0]), np.zeros_like(half_gradient[1]))
    r: Pair = (-half_gradient[0], -half_gradient[1])
    z = curvature.precondition(r)
    p = z
    rz = first = _dot(r, z)
    count = 0
    while count < products and rz > forcing**2 * first:
        q = curvature.hessian(p)
        count += 1
        bent = _dot(p, q)
        if not bent > 0.0:
            return Direction(p[0], p[1], True, count)
        step = rz / bent
        x = (x[0] + step * p[0], x[1] + step * p[1])
        r = (r[0] - step * q[0], r[1] - step * q[1])
        z = curvature.precondition(r)
        rz, before = _dot(r, z), rz
        p = (z[0] + (rz / before) * p[0], z[1] + (rz / before) * p[1])
    return Direction(x[0], x[1], False, count)


def _dot(a: Pair, b: Pair) -> float:
    return float(np.vdot(a[0], b[0]) + np.vdot(a[1], b[1]))
