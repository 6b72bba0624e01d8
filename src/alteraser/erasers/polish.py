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

from alteraser.evidence.certificate.limits import DEFAULT, STORED, Limits, influence
from alteraser.models import Factors, Problem
from alteraser.solvers.joint import Joint, JointNewton, lowest, quartic_along
from alteraser.solvers.stationarity import evaluate

Array = npt.NDArray[Any]

MARGIN = 0.5
"""Share of a limit to come within: the least curvature is estimated from above, and with it what is left unsolved."""

STIFF = 0.01
"""Factored blocks are used again while the factors have moved, in shares of their size, by no more than this times the
least curvature met: the Hessian changes about as much as the factors do, and what that change amounts to against the
least curvature is what a step with the old blocks leaves."""

LEAST = 0.01
"""Least curvature of B⁻¹H to reckon with before one is known; what is met on real data is between 0.003 and 0.03."""

PATIENCE, NEARER, RESOLVED = 3, 0.7, 1e-13
"""PATIENCE steps that neither come to NEARER of the least distance nor lower L by RESOLVED of its scale are the last
ones: the precision that factors are stored in holds no more."""


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


class Polisher:
    """Measures and steps; knows when steps lead nowhere any more."""

    def __init__(
        self, problem: Problem, scale: float | None, newton: JointNewton, threads: int, origin: Factors | None,
        limits: Limits,
    ) -> None:  # fmt: skip
        # the working precision would round λ, w₀ and the confidences, and with them move the optimum
        self.problem = replace(problem, dtype=np.float64)
        self.scale, self.newton, self.threads, self.origin = scale, newton, threads, origin
        self.limits = limits
        self.least, self.idle = np.inf, 0
        self.smallest = np.inf  # least curvature met

    @property
    def exhausted(self) -> bool:
        """True when the last steps led no nearer."""
        return self.idle >= PATIENCE

    def look(self, factors: Factors, joint: Joint) -> Look:
        """Measure ``factors``, which are where ``joint`` is, and find the Newton step from there.

        Where conjugate gradients meets a direction in which L bends down, the step goes along that one too, as far as L
        falls: so it leaves saddles.
        """
        if joint.moved > STIFF * min(self.smallest, LEAST):
            joint.settle(move=False)
        joint.find_slow(self.newton)
        here = evaluate(self.problem, factors, threads=self.threads)
        gradients = here.user_gradient, here.item_gradient
        scale = self.scale if self.scale is not None else here.theta_norm
        norm = joint.norm(gradients)
        residual = norm / scale if scale > 0 else norm
        P, Q = factors.users.astype(np.float64), factors.items.astype(np.float64)
        size = float(np.sqrt(np.vdot(P, P) + np.vdot(Q, Q))) or 1.0
        moved = None if self.origin is None else _distance(self.origin, factors)
        found = joint.solve(
            gradients, forcing=self.newton.forcing, products=self.newton.products, within=self._within(moved, size),
            known=self.smallest,
        )  # fmt: skip
        self.smallest = float(np.nanmin([self.smallest, found.smallest]))
        eta = 0.0 if found.newton is None else float(np.sqrt(sum(np.vdot(x, x) for x in found.newton)))
        eta *= 1.0 + found.left
        distance, iota = eta / size, None if moved is None else influence(eta, moved, size)
        distances = np.linalg.norm(joint.block_steps(gradients[0]), axis=1)
        block = DEFAULT.blocks(distances, np.linalg.norm(factors.users, axis=1))
        gained = 0.0
        for line, reach in ((found.newton, 4.0), (found.negative, np.inf)):
            if line is not None:
                P, Q, fell = self._go(P, Q, factors.prediction, line, reach)
                gained += fell
        nearer = distance < NEARER * self.least
        self.idle = 0 if nearer or gained > RESOLVED * self.problem.target_energy else self.idle + 1
        self.least = min(self.least, distance)
        measured = Measured(residual, distance, iota, block, found.smallest, found.negative is None)
        return Look(measured, here.objective, found.products, (P, Q))

    def within(self, factors: Factors) -> float:
        """The distance from the optimum, as a share of ‖Θ‖_F, that the limits ask for."""
        size = float(np.sqrt(sum(np.vdot(x, x) for x in (factors.users, factors.items)))) or 1.0
        return self._within(None if self.origin is None else _distance(self.origin, factors), size)

    def _within(self, moved: float | None, size: float) -> float:
        distance = self.limits.distance
        if moved is not None:
            distance = min(distance, max(self.limits.influence * moved / size, STORED))
        return MARGIN * distance

    def _go(self, P: Array, Q: Array, h: Array, line: tuple[Array, Array], reach: float) -> tuple[Array, Array, float]:
        """(P, Q) where L is least on the line, in float64, and by how much it fell."""
        scaled = np.asarray(h, dtype=np.float64)
        sides = self.problem.users, self.problem.items
        along = quartic_along(sides, (P, Q), (Q * scaled, line[1] * scaled), line, self.threads)
        t = lowest(along, reach)
        return P + t * line[0], Q + t * line[1], -float(along(t)) if t else 0.0


def _distance(first: Factors, second: Factors) -> float:
    """min_R ‖Θ − Θ'R‖_F over rotations R, from d × d matrices alone: to half the digits, enough to compare with."""
    pairs = [
        (a.astype(np.float64), b.astype(np.float64))
        for a, b in ((first.users, second.users), (first.items, second.items))
    ]
    sizes = sum(float(np.vdot(a, a) + np.vdot(b, b)) for a, b in pairs)
    shared = np.linalg.svd(sum(a.T @ b for a, b in pairs), compute_uv=False).sum()
    return float(np.sqrt(max(sizes - 2.0 * float(shared), 0.0)))
