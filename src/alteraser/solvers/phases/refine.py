"""From the tolerance to the optimum: Newton steps whose gradient has more digits than the solver,
measured as it goes.

Iterative refinement (Wilkinson 1963): the gradient is taken in float64 at the factors as they would
be stored, the step x ≈ −(∇²L)⁻¹∇L in the working precision. ‖x‖ is at the same time the estimate of
what the certificate measures, the distance η to the stationary point, so the last step is a
measurement and is not taken.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.models import Factors, Problem
from alteraser.solvers.joint import Joint
from alteraser.solvers.joint_newton import JointNewton
from alteraser.solvers.limits import DEFAULT, Limits, influence
from alteraser.solvers.line import lowest, quartic_along
from alteraser.solvers.loop import AGAIN, Decided, Move
from alteraser.solvers.phases.measured import Distance, distance, distance_asked, within
from alteraser.solvers.phases.quasi_newton import QuasiNewton, finest
from alteraser.solvers.phases.state import FactorState
from alteraser.solvers.rest import length_of
from alteraser.solvers.stationarity import evaluate
from alteraser.solvers.trace import PassRecord

Array = npt.NDArray[Any]

STIFF = 0.01
"""Factored blocks are used again while the factors have moved, in shares of their size, by no more
than this times the least curvature met: the Hessian changes about as much as the factors do, and
what that change amounts to against the least curvature is what a step with the old blocks
leaves."""

LEAST = 0.01
"""Least curvature of B⁻¹H to reckon with before one is known; what is met on real data is between
0.003 and 0.03."""

AGAIN_BEYOND = 4.0
"""Joint steps go on after a measurement that found the model this many times too far from the
optimum."""

PATIENCE, NEARER, RESOLVED = 3, 0.7, 1e-13
"""PATIENCE steps that neither come to NEARER of the least distance nor lower L by RESOLVED of its
scale are the last ones: the precision that factors are stored in holds no more."""


@dataclass(frozen=True)
class Measurement:
    """What a look at some factors found, and the factors a Newton step away."""

    measured: Distance
    objective: float
    products: int
    next: tuple[Array, Array]
    rest: float | None
    """The distance, estimated from above"""


class Polisher:
    """Measures and steps; knows when steps lead nowhere any more."""

    def __init__(
        self,
        problem: Problem,
        scale: float | None,
        newton: JointNewton,
        threads: int,
        origin: Factors | None,
        limits: Limits,
    ) -> None:
        # the working precision would round λ, w₀ and the confidences, and with them move the
        # optimum
        self.problem = replace(problem, dtype=np.float64)
        self.scale, self.newton, self.threads, self.origin = scale, newton, threads, origin
        self.limits = limits
        self.least, self.idle = np.inf, 0
        self.smallest = np.inf  # least curvature met

    @property
    def exhausted(self) -> bool:
        """True when the last steps led no nearer."""
        return self.idle >= PATIENCE

    def look(self, factors: Factors, joint: Joint) -> Measurement:
        """Measure ``factors``, which are where ``joint`` is, and find the Newton step from there.

        Where conjugate gradients meets a direction in which L bends down, the step goes along that
        one too, as far as L falls: so it leaves saddles.
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
        moved = None if self.origin is None else distance(self.origin, factors)
        found = joint.solve(
            gradients,
            forcing=self.newton.forcing,
            products=self.newton.products,
            within=distance_asked(self.limits, moved, size),
            known=self.smallest,
        )
        self.smallest = float(np.nanmin([self.smallest, found.smallest]))
        eta = (
            0.0
            if found.newton is None
            else float(np.sqrt(sum(np.vdot(x, x) for x in found.newton)))
        )
        eta *= 1.0 + found.left
        away, iota = eta / size, None if moved is None else influence(eta, moved, size)
        distances = np.linalg.norm(joint.users.step(gradients[0]), axis=1)
        block = DEFAULT.blocks(distances, np.linalg.norm(factors.users, axis=1))
        gained = 0.0
        for line, reach in ((found.newton, 4.0), (found.negative, np.inf)):
            if line is not None:
                P, Q, fell = self._go(P, Q, factors.prediction, line, reach)
                gained += fell
        nearer = away < NEARER * self.least
        self.idle = 0 if nearer or gained > RESOLVED * self.problem.target_energy else self.idle + 1
        self.least = min(self.least, away)
        measured = Distance(residual, away, iota, block, found.smallest, found.negative is None)
        return Measurement(measured, here.objective, found.products, (P, Q), length_of(found, size))

    def _go(
        self, P: Array, Q: Array, h: Array, line: tuple[Array, Array], reach: float
    ) -> tuple[Array, Array, float]:
        """(P, Q) where L is least on the line, in float64, and by how much it fell."""
        scaled = np.asarray(h, dtype=np.float64)
        sides = self.problem.users, self.problem.items
        along = quartic_along(sides, (P, Q), (Q * scaled, line[1] * scaled), line, self.threads)
        t = lowest(along, reach)
        return P + t * line[0], Q + t * line[1], -float(along(t)) if t else 0.0


class Refine(Decided):
    """Measures what the limits ask for at the factors as they would be stored, and steps nearer
    where they do not hold.

    Signals: ``arrived``; ``exhausted``, steps lead no nearer; ``far``, there is still a way to go
    for joint steps.
    """

    def __init__(self, newton: JointNewton, limits: Limits, steps: QuasiNewton) -> None:
        """``steps`` are those to go back to where it turns out to be far."""
        self._newton, self._limits, self._steps = newton, limits, steps
        self._polisher: Polisher | None = None

    def move(self, state: FactorState) -> Move:
        """One measurement and, where it did not arrive, one step."""
        joint, aim = state.joint, state.aim
        assert joint is not None
        state.owed = False
        if self._polisher is None:
            self._polisher = Polisher(
                state.problem, aim.scale, self._newton, state.threads, aim.origin, self._limits
            )
        here = self._polisher.look(state.factors(), joint)
        found = state.found = here.measured
        state.rest = here.rest
        state.work.products += here.products
        state.measured = found.residual, here.objective
        record = PassRecord.of(
            "polish",
            here.objective,
            found.residual,
            0,
            products=here.products,
            distance=found.distance,
        )
        if found.residual <= aim.tolerance and found.holds(self._limits):
            return Move(record, signal="arrived")
        if self._polisher.exhausted:
            return Move(record, signal="exhausted")
        state.measured = None
        joint.place(*here.next)
        if not self._far(state, found):
            return Move(record, signal=AGAIN)
        self._steps.again()
        state.owed = True
        return Move(record, signal="far")

    def _far(self, state: FactorState, found: Distance) -> bool:
        """Where joint steps can still do something about what was measured."""
        if not self._steps.begun or (self._steps.exhausted and found.valley):
            return False
        asked = max(within(self._limits, state.factors(), state.aim.origin), finest(state))
        return not (found.valley and found.distance <= AGAIN_BEYOND * asked)
