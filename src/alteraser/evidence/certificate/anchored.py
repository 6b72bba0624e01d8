"""What class L says, worked out again from files: the deletion's effect on a model that was not at rest.

    residual = ‖∇L_{D_r}(Θ_u) − g‖_{B⁻¹} / ‖∇L_{D_r}(Θ_a) − ∇L_{D_a}(Θ_a)‖_{B⁻¹},      g = ∇L_{D_a}(Θ_a)

with g zero in rows that D_r leaves empty, B the blocks on D_r at Θ_u above and at Θ_a below, all in float64 by
``Plain``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from alteraser.data.interactions import Interactions
from alteraser.evidence.certificate.compiled import Compiled
from alteraser.evidence.certificate.plain import Pair, norm
from alteraser.evidence.certificate.rotation import Slice
from alteraser.evidence.certificate.solve import Solver
from alteraser.models import Factors, Objective
from alteraser.solvers.limits import STORED

NOTHING = 1e-12
"""Share of the largest entry of a change of the gradient below which an entry is rounding."""

PRODUCTS = 50
"""Iterations of the one solve that estimates what of the effect is missing."""


@dataclass(frozen=True)
class Anchored:
    """How much of a deletion's effect a model has."""

    residual: float
    """See above"""
    push: float
    """Its denominator"""
    stored: float
    """The residual that rounding the factors for storage may leave: twice ε ‖Θ_u‖_B over the push"""
    effect_left: float | None
    """Estimate: ‖x‖ / ‖Θ_u − Θ_a‖ over rows that D_r leaves, x one Newton step from the anchored gradient; None where L
    bends down, or the model has not moved"""
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
) -> Anchored:
    """The anchored residual of ``factors`` (Θ_u) for ``original`` (Θ_a), ``remaining`` (D_r) and ``whole`` (D_a)."""
    with threadpool_limits(1, "blas"):  # our own workers are the parallelism
        return _anchored(objective, remaining, whole, original, factors, threads)


def _anchored(
    objective: Objective, remaining: Interactions, whole: Interactions, original: Factors, factors: Factors,
    threads: int,
) -> Anchored:  # fmt: skip
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
    across = Slice(here.P, here.Q, bool(np.ptp(here.h) == 0))
    found = Solver(here, across, products=PRODUCTS).solve(left, forcing=0.05)
    effect = None
    if found.step is not None and found.negative is None and moved > 0:
        effect = norm(_over(live, across.project(found.step))) / moved
    return Anchored(here.block_norm(left) / push, push, 2.0 * eps * here.block_size / push, effect, moved)


def _over(rows: tuple[np.ndarray, np.ndarray], pair: Pair) -> Pair:
    return pair[0][rows[0]], pair[1][rows[1]]
