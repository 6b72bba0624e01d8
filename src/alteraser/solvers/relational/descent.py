"""Limited-memory BFGS over all tables together (Liu & Nocedal, Math. Prog. 1989), and where it is.

The curvature of the last steps corrects the preconditioner, which is taken anew where progress
slows down.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.linalg.secants import Secants
from alteraser.models.relational import LinearProblem, Point
from alteraser.solvers.loop import AGAIN, Decided, Move
from alteraser.solvers.phases.measured import MARGIN, distance_asked
from alteraser.solvers.relational.evaluation import evaluate
from alteraser.solvers.relational.goal import Goal
from alteraser.solvers.relational.newton import NewtonStep
from alteraser.solvers.relational.preconditioner import Preconditioner
from alteraser.solvers.relational.slow import Slow
from alteraser.solvers.relational.symmetry import Turns, rotated_onto
from alteraser.solvers.trace import PassRecord

Float64 = npt.NDArray[np.float64]

TRIES = 8
"""Evaluations that one step may take"""
FLAT = 0.9
"""A step is too long where the slope at its end is this share of the first one's size, upwards"""
NOISE = 1e-13
"""Share of L within which a rise may be rounding"""
PATIENCE, PROGRESS = 20, 0.03
"""Iterations after which progress is looked at: where the decrement has not fallen to PROGRESS over
half of them, the preconditioner is taken anew"""
IDLE, NEARER, RESOLVED = 25, 0.7, 1e-15
"""Iterations in a row that neither bring the decrement to NEARER of its least nor lower L by what
can be told from rounding, after which there is no more to be had"""
NEAR = 0.1
"""Share of ‖Θ‖_B that the gradient has to be below for sides to answer to each other in the
preconditioner"""
EARLY = 1.0
"""Share of the distance asked for at which L-BFGS, whose steps say less, hands over"""


class LinearRun:
    """Where a run is."""

    def __init__(
        self,
        problem: LinearProblem,
        point: Point,
        goal: Goal,
        threads: int,
        M: Preconditioner | None = None,
    ) -> None:
        self.asked_for, self.point, self.goal, self.threads = problem, point, goal, threads
        self.evaluations = self.products = 0
        self.strongest = 1.0
        """How many times itself the penalty came down from"""
        self.measured: NewtonStep | None = None
        self.pose(problem, M)

    def pose(self, problem: LinearProblem, M: Preconditioner | None = None) -> None:
        """Be at the same point of a problem, of whose curvature nothing is known but ``M``, where
        that is of this point.
        """
        self.problem, self.point = problem, problem.point(self.point.vector)
        self.value, self.gradient = self.look(self.point.vector)
        if M is not None and np.array_equal(M.point.vector, self.point.vector):
            M.point, self.M = self.point, M
            self.M.uncouple()
        else:
            self.M = Preconditioner(problem, self.point, self.threads, near=False)
        self.slow, self._coupled = Slow(), False
        self.near = False
        """Whether the preconditioner lets sides answer to each other"""
        self.approach(self.norm / self.theta)

    def look(self, vector: Float64) -> tuple[float, Float64]:
        """(L, ∇L) somewhere."""
        found = evaluate(self.problem, self.problem.point(vector), threads=self.threads)
        self.evaluations += 1
        self.theta = found.norm or 1.0
        return found.value, found.gradient.vector

    def go(self, vector: Float64, value: float, gradient: Float64) -> None:
        """Be there."""
        self.point, self.value, self.gradient = self.problem.point(vector), value, gradient

    @property
    def size(self) -> float:
        """‖Θ‖_F."""
        return float(np.linalg.norm(self.point.vector)) or 1.0

    @property
    def asked(self) -> float:
        """The distance to the optimum that the limits ask for, as a share of ‖Θ‖."""
        origin, moved = self.goal.origin, None
        if origin is not None:
            turned = rotated_onto(self.problem, self.point, origin)
            moved = float(np.linalg.norm(turned - origin.vector))
        return distance_asked(self.goal.limits, moved, self.size)

    @property
    def norm(self) -> float:
        """‖∇L‖_{M⁻¹}."""
        return self.M.norm(self.gradient)

    @property
    def residual(self) -> float:
        """The same over the scale of the run."""
        return self.norm / self.scale if self.scale > 0 else self.norm

    @property
    def scale(self) -> float:
        """What residuals are relative to."""
        return self.theta if self.goal.scale is None else self.goal.scale

    def about(self, decrement: float) -> float:
        """``residual`` by what the last pairs have made of M: gᵀHg in place of gᵀM⁻¹g."""
        return float(np.sqrt(decrement / 2.0)) / (self.scale or 1.0)

    def renew(self) -> None:
        """Take the preconditioner of this point, where it is not that already."""
        if self.M.point is not self.point:
            self.M = Preconditioner(
                self.problem, self.point, self.threads, near=False, earlier=self.M
            )
            self._coupled = False
        if self.near and not self._coupled:
            self.M.couple(self.slow)
            self._coupled = True

    def approach(self, gradient: float) -> None:
        """Note how large the gradient is over ‖Θ‖_B: below ``NEAR`` it is near."""
        if not self.near and gradient <= NEAR:
            self.near = True
            self.renew()

    def factors(self) -> Any:
        """A copy, for a watcher."""
        return self.problem.point(self.point.vector.copy())

    def finish(self) -> tuple[float, float]:
        """(residual, L) of the point that is handed out."""
        if self.problem is not self.asked_for:
            self.pose(self.asked_for)
        self.renew()
        return self.residual, self.value


class LinearDescent(Decided):
    """Limited-memory BFGS."""

    def __init__(self, state: LinearRun) -> None:
        rows = state.problem.size
        self._secants = Secants(state.goal.memory, (rows,), np.float64)
        self._course: list[float] = []
        self._least, self._lowest, self._idle = np.inf, np.inf, 0

    def move(self, state: LinearRun) -> Move:
        """One iteration."""
        direction, slope = self._direction(state)
        if not slope < 0:
            return Move(signal="spent")
        far = float(np.linalg.norm(direction)) / state.size
        if far <= EARLY * MARGIN * state.goal.limits.distance and self._near(state, far):
            return Move(signal="near")
        found = along(state, direction, slope)
        if found is None:
            if len(self._secants) == 0:
                return Move(signal="spent")
            self._secants.clear()
            state.renew()
            return Move(signal=AGAIN)
        vector, value, gradient = found
        self._secants.keep(vector - state.point.vector, gradient - state.gradient)
        state.go(vector, value, gradient)
        self._refresh(state, -slope)
        state.approach(state.about(-slope) * state.scale / state.theta)
        residual = state.about(-slope)
        record = PassRecord.of(
            "joint", state.value, residual, state.problem.size, products=1, distance=far
        )
        return Move(record, "spent" if self._idle >= IDLE else AGAIN)

    def _near(self, state: LinearRun, far: float) -> bool:
        return far <= EARLY * state.asked and state.residual <= state.goal.residual

    def _direction(self, state: LinearRun) -> tuple[Float64, float]:
        """−H∇L off the rotations, and its slope; without the pairs where these mislead."""
        turns = Turns(state.problem, state.point)
        direction, slope = np.zeros_like(state.gradient), 0.0
        for _ in range(2):
            direction = turns.off(-self._secants.apply(state.gradient, state.M))
            slope = float(state.gradient @ direction)
            if slope < 0 or not len(self._secants):
                break
            self._secants.clear()
        return direction, slope

    def _refresh(self, state: LinearRun, decrement: float) -> None:
        """Count what brings nothing, and take the preconditioner anew where progress is slow."""
        self._course.append(decrement)
        lower = state.value < self._lowest - RESOLVED * abs(state.value)
        if lower or decrement < NEARER * self._least:
            self._idle = 0
            self._least, self._lowest = min(self._least, decrement), min(self._lowest, state.value)
        else:
            self._idle += 1
        half, age = PATIENCE // 2, len(self._course)
        if age >= PATIENCE and age % half == 0 and decrement > PROGRESS * self._course[-half]:
            state.renew()
            self._course = []


def along(
    state: LinearRun, direction: Float64, slope: float
) -> tuple[Float64, float, Float64] | None:
    """(vector, L, ∇L) after a step along ``direction``; None where no step tried is worth it."""
    t = 1.0
    for _ in range(TRIES):
        vector = state.point.vector + t * direction
        value, gradient = state.look(vector)
        here = float(gradient @ direction)
        sound = bool(np.isfinite(value) and np.isfinite(here))
        rose = not sound or value > state.value + NOISE * abs(state.value)
        if not rose and here <= -FLAT * slope:
            return vector, value, gradient
        # where a quadratic with these slopes has its least
        t *= min(max(-slope / (here - slope), 0.1), 0.7) if sound and here > 0 else 0.3
    return None
