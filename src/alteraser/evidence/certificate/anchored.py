"""What class L says, worked out again from files: the deletion's effect on a model that was not at
rest.

    residual = ‖∇L_{D_r}(Θ_u) − g‖_{B⁻¹} / ‖∇L_{D_r}(Θ_a) − ∇L_{D_a}(Θ_a)‖_{B⁻¹},
        g = ∇L_{D_a}(Θ_a)

with g zero in rows that D_r leaves empty, B the blocks on D_r at Θ_u above and at Θ_a below, all in
float64 by ``Plain``; and what is still to go to where the residual is zero, by one Newton step from
Θ_u.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from alteraser.data.interactions import Interactions
from alteraser.evidence.certificate.compiled import Compiled
from alteraser.evidence.certificate.plain import Pair, norm
from alteraser.evidence.certificate.rotation import Slice
from alteraser.evidence.certificate.solve import Solver
from alteraser.linalg.ahead import Ahead
from alteraser.models import Factors, Objective
from alteraser.solvers.limits import STORED

NOTHING = 1e-12
"""Share of the largest entry of a change of the gradient below which an entry is rounding."""

PRODUCTS = 400
"""Iterations that the solve for what of the effect is missing may take."""

FALLEN, SURE = 0.05, 0.25
"""It ends once ‖r‖_{B⁻¹} has fallen to this share and the way ahead is this share of the way gone,
or it is clear on which side of the limit both together are."""


@dataclass(frozen=True)
class Anchored:
    """How much of a deletion's effect a model has."""

    residual: float
    """See above"""
    push: float
    """Its denominator"""
    stored: float
    """The residual that rounding the factors for storage may leave: twice ε ‖Θ_u‖_B over the
    push"""
    effect_left: float | None
    """‖x‖ / ‖Θ_u − Θ_a‖ over rows that D_r leaves, x one Newton step from the anchored gradient,
    estimated from above; None where L bends down, or the model has not moved"""
    moved: float
    """‖Θ_u − Θ_a‖_F over these rows"""


def anchored(
    objective: Objective,
    remaining: Interactions,
    whole: Interactions,
    original: Factors,
    factors: Factors,
    *,
    threads: int,
    limit: float | None = None,
) -> Anchored:
    """The anchored residual of ``factors`` (Θ_u) for ``original`` (Θ_a), ``remaining`` (D_r) and
    ``whole`` (D_a).

    ``limit`` is the share of the effect that may be missing: once it is clear on which side of it
    the share is, no more is spent on it. Without, nothing is said of it.
    """
    with threadpool_limits(1, "blas"):  # our own workers are the parallelism
        return _anchored(objective, remaining, whole, original, factors, threads, limit)


def _anchored(
    objective: Objective,
    remaining: Interactions,
    whole: Interactions,
    original: Factors,
    factors: Factors,
    threads: int,
    limit: float | None,
) -> Anchored:
    before, after, here = (
        Compiled(objective, data, point, threads=threads)
        for data, point in ((whole, original), (remaining, original), (remaining, factors))
    )
    live = remaining.user_counts > 0, remaining.item_counts > 0
    held = [np.where(rows[:, None], g, 0.0) for rows, g in zip(live, before.gradient, strict=True)]
    change = after.gradient[0] - before.gradient[0], after.gradient[1] - before.gradient[1]
    largest = max(float(np.abs(x).max(initial=0.0)) for x in change)
    for x in change:
        x[np.abs(x).max(axis=1) <= NOTHING * largest] = 0.0
    left = here.gradient[0] - held[0], here.gradient[1] - held[1]
    push = after.block_norm(change) or 1.0
    eps = STORED if factors.users.dtype == np.float32 else float(np.finfo(np.float64).eps)
    moved_pair = _over(live, (here.P - after.P, here.Q - after.Q))
    moved = norm(moved_pair)
    effect = None
    if limit is not None and moved > 0:
        across = Slice(here.P, here.Q, bool(np.ptp(here.h) == 0))
        solver = Solver(here, across)
        way = _way(
            solver, left, lambda step: norm(_over(live, across.project(step))), limit * moved
        )
        effect = None if way is None else way / moved
    return Anchored(
        here.block_norm(left) / push, push, 2.0 * eps * here.block_size / push, effect, moved
    )


def _way(
    solver: Solver, gradient: Pair, length: Callable[[Pair], float], limit: float
) -> float | None:
    """How far a Newton step from ``gradient`` goes, estimated from above; None where L bends down.

    Plain conjugate gradients, as ``linalg.ahead`` needs them: from zero, and without what
    ``Solver.solve`` adds. Residuals are kept off the rotations in double precision: single makes no
    projection of it where dimensions are nearly unused.
    """

    def off(residual: np.ndarray) -> np.ndarray:
        return np.asarray(solver.off(residual.astype(np.float64)), dtype=solver.dtype)

    size = max(float(np.abs(g).max(initial=0.0)) for g in gradient)
    if size == 0.0:
        return 0.0
    users, items = (np.asarray(g * (-0.5 / size), dtype=solver.dtype) for g in gradient)
    given = solver.solved(0, users)
    r = off(items - solver.couple(1, given))
    z = solver.solved(1, r)
    p, Bp, x, follow = z, r, np.zeros_like(r), given
    ahead, rho = Ahead(), _dot(r, z)
    first, gone, rest = rho, length((given, x)) * size, 0.0
    for _ in range(PRODUCTS):
        if not rho > 0.0:
            break
        y = -solver.solved(0, solver.couple(0, p))
        Sp = solver.couple(1, y, p)
        curvature = _dot(p, Sp)
        if not curvature > 0.0:
            return None
        step = solver.dtype(rho / curvature)
        x, follow, r = x + step * p, follow + step * y, off(r - step * Sp)
        ratio = _dot(p, Bp) / (_dot(p, p) + _dot(y, y))
        z = solver.solved(1, r)
        rho, last = _dot(r, z), rho
        ahead.met(float(step), rho / last, rho, ratio)
        p, Bp = z + solver.dtype(rho / last) * p, r + solver.dtype(rho / last) * Bp
        gone, rest = length((follow, x)) * size, ahead.length * size
        enough = gone + rest <= limit or gone - rest > limit or rest <= SURE * gone
        if rho <= FALLEN**2 * first and enough:
            break
    return gone + rest


def _over(rows: tuple[np.ndarray, np.ndarray], pair: Pair) -> Pair:
    return pair[0][rows[0]], pair[1][rows[1]]


def _dot(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.vdot(a, b))
