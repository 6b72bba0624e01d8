"""From the tolerance to the optimum: Newton steps whose gradient has more digits than the solver, measured as it goes.

Iterative refinement (Wilkinson 1963): the gradient is taken in float64 at the factors as they would be stored, the
step x ≈ −(∇²L)⁻¹∇L in the working precision. ‖x‖ is at the same time the estimate of what the certificate measures,
the distance η to the stationary point, so the last step is a measurement and is not taken.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.certificate.limits import Limits, influence
from alteraser.metrics import model_distance
from alteraser.models import Factors, Problem
from alteraser.solvers.joint import Joint, JointNewton
from alteraser.solvers.stationarity import evaluate

Array = npt.NDArray[Any]

MARGIN = 0.5
"""Share of a limit to come within: conjugate gradients under-estimates η by what it leaves unsolved."""

PATIENCE = 3
"""So many polishing steps without a new least distance are the last ones: the precision holds no more."""


@dataclass(frozen=True)
class Measured:
    """How near the stationary point a model is, as the eraser measured it."""

    residual: float
    """As the run's: ‖∇L‖_{B⁻¹} over its scale."""
    distance: float
    """η / ‖Θ‖_F"""
    influence: float | None
    """ι; None without an original model"""
    block: float
    """max_u ‖p_u − p_u*(Q)‖ / max(‖p_u‖, floor)"""
    smallest: float
    """Least eigenvalue met of B_Q⁻¹S, the curvature relative to the blocks; an estimate from above"""
    valley: bool
    """False where L was found to bend down"""

    def holds(self, limits: Limits, share: float = MARGIN) -> bool:
        """True when all of them are within ``share`` of the limits."""
        return (
            self.valley
            and self.distance <= share * limits.distance
            and self.block <= share * limits.block
            and (self.influence is None or self.influence <= share * limits.influence)
        )


@dataclass(frozen=True)
class Look:
    """What a look at some factors found, and the factors a Newton step away."""

    measured: Measured
    objective: float
    products: int
    next: tuple[Array, Array]
    bends_down: tuple[Array, Array] | None


class Polisher:
    """Measures and steps; keeps the least distance seen."""

    def __init__(
        self, problem: Problem, scale: float | None, newton: JointNewton, threads: int, origin: Factors | None
    ) -> None:
        # the working precision would round λ, w₀ and the confidences, and with them move the optimum
        self.problem = replace(problem, dtype=np.float64)
        self.scale, self.newton, self.threads, self.origin = scale, newton, threads, origin
        self.least, self.idle = np.inf, 0
        self.limits = Limits()

    @property
    def exhausted(self) -> bool:
        """True when the last steps led no nearer."""
        return self.idle >= PATIENCE

    def look(self, factors: Factors, joint: Joint) -> Look:
        """Measure ``factors``, which are where ``joint`` is, and find the Newton step from there."""
        joint.settle(move=False)
        here = evaluate(self.problem, factors, threads=self.threads)
        gradients = here.user_gradient, here.item_gradient
        scale = self.scale if self.scale is not None else here.theta_norm
        residual = joint.norm(gradients) / scale if scale > 0 else joint.norm(gradients)
        found = joint.solve(gradients, forcing=self.newton.forcing, products=self.newton.products)
        users, items = factors.users.astype(np.float64), factors.items.astype(np.float64)
        size = float(np.sqrt(np.vdot(users, users) + np.vdot(items, items)))
        eta = 0.0
        if found.newton is not None:
            eta = float(np.sqrt(sum(np.vdot(x, x) for x in found.newton)))
            users, items = users + found.newton[0], items + found.newton[1]
        distances = np.linalg.norm(joint.block_steps(gradients[0]), axis=1)
        block = self.limits.blocks(distances, np.linalg.norm(factors.users, axis=1))
        moved = None if self.origin is None else model_distance(self.origin, factors)
        iota = None if moved is None else influence(eta, moved, size)
        distance = eta / size if size > 0 else eta
        self.idle = 0 if distance < 0.7 * self.least else self.idle + 1
        self.least = min(self.least, distance)
        measured = Measured(residual, distance, iota, block, found.smallest, found.negative is None)
        return Look(measured, here.objective, found.products, (users, items), found.negative)
