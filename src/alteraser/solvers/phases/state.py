"""Where a run on a quadratic row problem is: what its phases share, and the sweeps that they are
made of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.errors import NumericFailure
from alteraser.linalg.quartic import quartic_step
from alteraser.models import Factors, Problem
from alteraser.solvers.joint import Joint
from alteraser.solvers.limits import Limits
from alteraser.solvers.phases.alternation import Alternation, HalfPass
from alteraser.solvers.phases.measured import Distance
from alteraser.solvers.rows.protocol import RowReport, RowSolver, padded
from alteraser.solvers.stationarity import evaluate, gradient_norm

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Aim:
    """What a run is to come to."""

    tolerance: float
    scale: float | None = None
    """What the gradient's norm is divided by; None: ‖Θ‖_B"""
    limits: Limits | None = None
    """What has to hold beside the tolerance"""
    origin: Factors | None = None
    """The model whose influence is to go"""
    prediction: bool = False
    """Passes end with the Φ step"""

    @property
    def warm(self) -> bool:
        """True for a run that starts from a model, not at random."""
        return self.origin is not None


def refuse_damaged(start: Factors, what: str = "start") -> None:
    """Raise NumericFailure for factors that are not finite; ``what`` they are."""
    for side, x in (("user", start.users), ("item", start.items)):
        if not np.all(np.isfinite(x)):
            row = int(np.flatnonzero(~np.all(np.isfinite(x), axis=1))[0])
            raise NumericFailure(
                f"{side} row {row} of the {what} is not finite; the model is damaged, restore it"
            )


class FactorState(Alternation):
    """A run on a problem whose rows are quadratic: users first, ``P`` and ``Q`` padded."""

    def __init__(
        self, problem: Problem, start: Factors, rows: RowSolver, aim: Aim, threads: int
    ) -> None:
        refuse_damaged(start)
        users, items = (
            padded(start.users.astype(problem.dtype)),
            padded(start.items.astype(problem.dtype)),
        )
        super().__init__(users, items, aim.tolerance)
        self.problem, self.solver, self.aim, self.threads = problem, rows, aim, threads
        self.h = start.prediction.astype(problem.dtype)
        self.joint: Joint | None = None
        """Factored blocks, from the first joint step on"""
        self.theta_norm = 1.0
        """‖Θ‖_B, of the last sweep or step"""
        self.found: Distance | None = None
        """The last measurement of what the limits ask for"""
        self.rest: float | None = None
        """Distance to the optimum over ‖Θ‖_F, where it is known or has been measured"""
        self._fit = 0.0

    @property
    def rank(self) -> int:
        """Number of factors, without padding."""
        return int(self.h.size)

    def factors(self) -> Factors:
        """A copy of them, as they would be stored."""
        d = self.rank
        return Factors(self.P[:, :d].copy(), self.Q[:, :d].copy(), self.h.copy())

    def finish(self) -> tuple[float, float]:
        """See ``solvers.loop.State``. Raises NumericFailure where the objective is not finite."""
        residual, objective = super().finish()
        if not (np.isfinite(residual) and np.isfinite(objective)):
            raise NumericFailure(
                "the objective is not finite; raise the regularization, or use dtype float64"
            )
        return residual, objective

    # ------------------------------------------------------------------ sweeps

    def solve(self, name: str, rows: Array | None) -> RowReport:
        """Some rows of a side, or all, by the row solver."""
        mine, theirs = (self.P, self.Q) if name == "user" else (self.Q, self.P)
        side = self.problem.users if name == "user" else self.problem.items
        if np.any(self.h != 1):
            theirs = theirs.copy()
            theirs[:, : self.rank] *= self.h
        report = self.solver.solve(side, theirs, mine, rows, rank=self.rank, threads=self.threads)
        self.work.rows += report.rows
        self.work.products += report.products
        return report

    def first_half(self) -> float:
        """All users; the reduced objective φ(Q) at the current Q (for inexact rows, L at the
        current point).
        """
        report = self.solve("user", None)
        self._fit = -report.value
        return float(
            self.problem.target_energy + report.value + penalty(self.problem.items.ridge, self.Q)
        )

    def second_half(self) -> HalfPass:
        """All items."""
        report = self.solve("item", None)
        self.measured = None
        self.theta_norm = float(np.sqrt(max(self._fit - report.value, 0.0))) or 1.0
        objective = (
            self.problem.target_energy + report.value + penalty(self.problem.users.ridge, self.P)
        )
        half = HalfPass(self.estimate(report.decrement), float(objective), self.all_rows)
        if self.aim.prediction:
            self.prediction_step()
        return half

    def settle(self) -> None:
        """All users once more."""
        self.first_half()
        if self.joint is not None:
            self.joint.settled = False

    @property
    def all_rows(self) -> int:
        """Users and items."""
        return self.problem.users.rows + self.problem.items.rows

    # ------------------------------------------------------------------ measures

    @property
    def scale(self) -> float:
        """What residuals are relative to."""
        return self.aim.scale or self.theta_norm

    def estimate(self, decrement: float) -> float:
        """The residual where Σ gᵀA⁻¹g, g half the gradient, is ``decrement``."""
        return 2.0 * float(np.sqrt(max(decrement, 0.0))) / self.scale

    def near(self, estimate: float, within: float) -> bool:
        """‖∇L‖_{B⁻¹} / ‖Θ‖_B at most ``within``."""
        return estimate * self.scale <= within * self.theta_norm

    def measure(self) -> tuple[float, float]:
        """(residual, objective) of the factors as they would be stored."""
        factors = self.factors()
        here = evaluate(self.problem, factors, threads=self.threads)
        gradients = here.user_gradient, here.item_gradient
        if self.joint is not None and self.joint.settled:
            norm = self.joint.norm(gradients)
        else:
            norm = gradient_norm(self.problem, factors, *gradients, threads=self.threads)
        scale = self.aim.scale if self.aim.scale is not None else here.theta_norm
        return (norm / scale if scale > 0 else norm), here.objective

    def size(self) -> float:
        """‖Θ‖_F"""
        return float(np.sqrt(np.vdot(self.P, self.P) + np.vdot(self.Q, self.Q)))

    def slack(self) -> float:
        """Rounding of the sums that values of the objective are."""
        return float(np.finfo(self.problem.dtype).eps) * self.problem.target_energy

    # ------------------------------------------------------------------ beside the passes

    def escape(self, P: Array, Q: Array) -> bool:
        """Go from (P, Q) through the current point as far as the objective falls; True if that is
        further.
        """
        d = self.rank
        origin = [x[:, :d].astype(np.float64) for x in (P, Q)]
        direction = [x[:, :d] - start for x, start in zip((self.P, self.Q), origin, strict=True)]
        length = float(np.sqrt(sum(np.vdot(x, x) for x in direction)))
        if length == 0:
            return False
        reach = max(1.0, 0.02 * float(np.sqrt(sum(np.vdot(x, x) for x in origin))) / length)

        def point(t: float) -> Factors:
            users, items = (x + t * step for x, step in zip(origin, direction, strict=True))
            return Factors(users, items, self.h)

        t = quartic_step(
            lambda t: evaluate(self.problem, point(t), threads=self.threads).objective, reach
        )
        if t <= 1.0:
            return False
        best = point(t)
        self.P[:, :d], self.Q[:, :d] = best.users, best.items
        return True

    def prediction_step(self) -> None:
        """The Φ step, see ``solvers.prediction``."""
        from alteraser.solvers.prediction import prediction_step

        stepped = prediction_step(self.problem, self.factors())
        self.P[:, : self.rank], self.Q[:, : self.rank], self.h = (
            stepped.users,
            stepped.items,
            stepped.prediction,
        )


def penalty(ridge: Array, x: Array) -> float:
    """Σ λρ ‖x‖² of one side."""
    return float(np.dot(ridge.astype(np.float64), np.einsum("id,id->i", x, x, dtype=np.float64)))
