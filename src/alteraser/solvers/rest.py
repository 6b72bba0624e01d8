"""How far factors are from the optimum that training was on its way to, estimated from above.

x ≈ −(∇²L)⁻¹∇L by conjugate gradients is where that optimum is, and its length the distance, as far
as three things go that it does not hold: what the solve has left, which along the directions of
least curvature is more than all it has found for most of its iterations (``linalg.ahead``); that L
is no quadratic; and directions the gradient has no part in. The first two are added, and of the
third nothing is known, so it is an estimate still.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from alteraser.linalg.ahead import SURE
from alteraser.linalg.pairs import norm
from alteraser.models import Factors, Problem
from alteraser.runtime.interrupt import whole
from alteraser.solvers.joint import BENT, Joint, JointStep
from alteraser.solvers.rows.protocol import padded
from alteraser.solvers.stationarity import evaluate

PRODUCTS, LEFT = 30, 0.2
"""Products that a measurement takes at most, and the share of the way at which it ends sooner."""

STALE = 1e-3
"""Share of their size that factors may have moved since their blocks were factored."""


@dataclass(frozen=True)
class WayToRest:
    """What a measurement found."""

    length: float | None
    """‖Θ* − Θ‖_F / ‖Θ‖_F, estimated from above; None: L bends down, or there is no telling"""
    there: Factors
    """Θ + x, about where the optimum is"""


@whole()
def way_to_rest(
    problem: Problem, factors: Factors, *, threads: int, joint: Joint | None = None
) -> WayToRest:
    """The way from ``factors`` to the optimum of ``problem``, by at most PRODUCTS products with the
    Hessian.

    ``joint`` is a joint state at ``factors`` with blocks to use again. No length where there is no
    room for the blocks. Raises NumericFailure for a row without a solution,
    Interrupted on Ctrl-C.
    """
    here = evaluate(replace(problem, dtype=np.float64), factors, threads=threads)
    if joint is None:
        P, Q = (padded(x.astype(problem.dtype)) for x in (factors.users, factors.items))
        if not Joint.fits(problem, P.shape[1]):
            return WayToRest(None, factors)
        joint = Joint(problem, P, Q, factors.prediction.astype(problem.dtype), threads)
    if joint.moved > STALE:
        joint.settle(move=False)
    found = joint.solve(
        (here.user_gradient, here.item_gradient), forcing=0.1, products=PRODUCTS, share=LEFT
    )
    there = factors
    if found.newton is not None:
        users, items = factors.users + found.newton[0], factors.items + found.newton[1]
        there = Factors(
            users.astype(factors.dtype), items.astype(factors.dtype), factors.prediction
        )
    return WayToRest(length_of(found, norm((factors.users, factors.items))), there)


def length_of(found: JointStep, size: float) -> float | None:
    """The way that a solve has found, over ``size`` = ‖Θ‖_F, with all that it may have left."""
    if found.negative is not None:
        return None
    if found.newton is None:  # no gradient, no way
        return 0.0
    size = size or 1.0
    length = float(np.sqrt(sum(np.vdot(x, x) for x in found.newton))) / size
    bent = BENT * length / found.smallest
    whole = length * (1.0 + bent) + SURE * found.ahead / size
    return float(whole) if np.isfinite(whole) else None
