"""The way to the optimum of a linear problem: limited-memory BFGS, then Newton steps that measure.

Every iteration evaluates L and its gradient once, over all cells; the curvature of the last steps
corrects the preconditioner, which is taken anew where progress slows down (Liu & Nocedal, Math.
Prog. 1989; see ``preconditioner``). Where it seems to be there, a Newton step is solved: its length
is the distance to the optimum, and if that is too far it is taken. A direction in which L bends
down is followed, so that a saddle is not taken for an end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.linalg.secants import Secants
from alteraser.models.relational import LinearProblem, Point
from alteraser.runtime.allocator import kept
from alteraser.solvers.limits import DEFAULT, Limits
from alteraser.solvers.loop import AGAIN, Decided, End, Move, Phase, Plan, Until
from alteraser.solvers.loop import minimize as loop
from alteraser.solvers.phases.measured import MARGIN, distance_asked
from alteraser.solvers.relational.discarded import escape
from alteraser.solvers.relational.evaluation import evaluate
from alteraser.solvers.relational.newton import NewtonStep, newton_step
from alteraser.solvers.relational.preconditioner import Preconditioner
from alteraser.solvers.relational.slow import Slow
from alteraser.solvers.relational.symmetry import Turns, rotated_onto
from alteraser.solvers.trace import OnPass, PassRecord, Reason

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
FORCING, PRODUCTS = 0.03, 400
"""How far a Newton step is solved, and products it may take"""
STUCK = 0.9
"""Share of the last distance that a Newton step which leads nowhere has to be below"""
EARLY = 1.0
"""Share of the distance asked for at which L-BFGS, whose steps say less, hands over"""
CLOSER = 0.5
"""Share of the distance asked for that a Newton step is solved to, so that it need not be measured
again where it ends"""
AS_FORETOLD = 2.0
"""By how much more of the gradient may be there than the solve has left: L is quadratic so far"""


@dataclass(frozen=True)
class Goal:
    """When a run is there."""

    limits: Limits = DEFAULT
    scale: float | None = None
    """What the gradient is relative to: a deletion's push; None: ‖Θ‖_B"""
    origin: Point | None = None
    """The model whose influence is to go: then the distance is also a share of the way from it"""
    max_passes: int = 5000
    memory: int = 10
    """Pairs of steps and gradients that L-BFGS keeps"""

    @property
    def residual(self) -> float:
        """What ‖∇L‖_{M⁻¹} over the scale has to come to."""
        return MARGIN * (self.limits.residual if self.scale is not None else 1e-5)


@dataclass(frozen=True)
class Reached:
    """Where a run ended."""

    point: Point
    value: float
    residual: float
    """‖∇L‖_{M⁻¹} over the scale"""
    distance: float
    """η / ‖Θ‖: the length of a Newton step from there; ∞ where none was solved"""
    valley: bool
    """False where L was found to bend down, or nothing was looked at"""
    smallest: float
    """Least curvature met, relative to the preconditioner"""
    converged: bool
    reason: Reason
    trace: tuple[PassRecord, ...]
    evaluations: int
    products: int

    @property
    def passes(self) -> int:
        """Iterations."""
        return len(self.trace)


@kept()
def minimize(
    problem: LinearProblem,
    start: Point,
    goal: Goal,
    *,
    threads: int,
    on_pass: OnPass | None = None,
    M: Preconditioner | None = None,
) -> Reached:
    """Run from ``start``, which is not changed; ``M``: a preconditioner of that point, where there
    is one, which is used up. Raises Interrupted on Ctrl-C, NumericFailure for a
    block without a factor.
    """

    def begin() -> tuple[_State, Plan[_State]]:
        state = _State(problem, problem.point(start.vector.copy()), goal, threads, M)
        phases: dict[str, Phase[_State]] = {"descent": _Descent(state), "refine": _Refine()}
        plan = Plan(
            "descent",
            phases,
            {
                ("descent", "near"): "refine",
                ("descent", "spent"): "refine",
                ("refine", "far"): "descent",
                ("refine", "bent"): "descent",
                ("refine", "arrived"): End("tolerance"),
                ("refine", "spent"): End("rounding"),
            },
        )
        return state, plan

    solution = loop(begin, Until(goal.residual, goal.max_passes), on_pass=on_pass)
    state = solution.state
    measured = state.measured
    there = solution.reason == "tolerance" and measured is not None and solution.converged
    return Reached(
        state.point,
        state.value,
        solution.residual,
        np.inf if measured is None else measured.distance / state.size,
        measured is not None and measured.bent is None,
        np.nan if measured is None else measured.smallest,
        there,
        solution.reason if there or solution.reason != "tolerance" else "passes",
        solution.trace,
        state.evaluations,
        state.products,
    )


class _State:
    """Where a run is."""

    def __init__(
        self,
        problem: LinearProblem,
        point: Point,
        goal: Goal,
        threads: int,
        M: Preconditioner | None = None,
    ) -> None:
        self.problem, self.point, self.goal, self.threads = problem, point, goal, threads
        self.evaluations = self.products = 0
        self.measured: NewtonStep | None = None
        self.value, self.gradient = self.look(point.vector)
        if M is not None and np.array_equal(M.point.vector, point.vector):
            M.point, self.M = point, M
            self.M.uncouple()
        else:
            self.M = Preconditioner(problem, point, threads, near=False)
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
        self.renew()
        return self.residual, self.value


class _Descent(Decided):
    """Limited-memory BFGS."""

    def __init__(self, state: _State) -> None:
        rows = state.problem.size
        self._secants = Secants(state.goal.memory, (rows,), np.float64)
        self._course: list[float] = []
        self._least, self._lowest, self._idle = np.inf, np.inf, 0

    def move(self, state: _State) -> Move:
        """One iteration."""
        direction, slope = self._direction(state)
        if not slope < 0:
            return Move(signal="spent")
        far = float(np.linalg.norm(direction)) / state.size
        if far <= EARLY * MARGIN * state.goal.limits.distance and self._near(state, far):
            return Move(signal="near")
        found = _along(state, direction, slope)
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

    def _near(self, state: _State, far: float) -> bool:
        return far <= EARLY * state.asked and state.residual <= state.goal.residual

    def _direction(self, state: _State) -> tuple[Float64, float]:
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

    def _refresh(self, state: _State, decrement: float) -> None:
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


class _Refine(Decided):
    """Newton steps, each of which says how far it was."""

    def __init__(self) -> None:
        self._before = np.inf

    def move(self, state: _State) -> Move:
        """Solve one, and take it where it is too far."""
        _vanish(state)
        state.renew()
        found = newton_step(
            state.problem,
            state.point,
            state.gradient,
            state.M,
            forcing=FORCING,
            products=PRODUCTS,
            threads=state.threads,
            lacking=CLOSER * state.asked * state.size,
        )
        state.measured = found
        state.products += found.products
        if found.bent is not None:
            return Move(
                self._record(state, found), "bent" if _leave(state, found.bent) else "spent"
            )
        far = found.distance / state.size
        if far <= state.asked and state.residual <= state.goal.residual:
            return Move(self._record(state, found), "bent" if _lower(state) else "arrived")
        vector = state.point.vector + found.step
        value, gradient = state.look(vector)
        noise = NOISE * abs(state.value)
        before, after = state.norm, state.M.norm(gradient)
        record = self._record(state, found)
        if value <= state.value + noise and after < before:
            state.go(vector, value, gradient)
            off = found.lacks * after / max(found.left * before, NOISE * before)
            if after <= AS_FORETOLD * found.left * before and off <= state.asked * state.size:
                state.measured = replace(found, arrived=off)
                if state.residual <= state.goal.residual:
                    record = self._record(state, state.measured)
                    return Move(record, "bent" if _lower(state) else "arrived")
        elif not far < STUCK * self._before:
            return Move(record, "spent")
        self._before = min(far, self._before)
        return Move(record, "far")

    def _record(self, state: _State, found: NewtonStep) -> PassRecord:
        return PassRecord.of(
            "polish",
            state.value,
            state.residual,
            state.problem.size,
            products=found.products,
            distance=found.distance / state.size,
        )


def _along(
    state: _State, direction: Float64, slope: float
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


def _vanish(state: _State) -> None:
    """Be nothing, where L cannot tell the model from it: near the penalty from which on zeros are
    its least, a model goes on shrinking by shares of what it is, and is never there.
    """
    if state.point.predictions or any(x.biases for x in state.problem.relations):
        return
    if not 0.0 < state.theta**2 <= RESOLVED**2 * abs(state.value):
        return
    zeros = np.zeros_like(state.point.vector)
    state.go(zeros, *state.look(zeros))


def _lower(state: _State) -> bool:
    """Go to where L is lower by a column that is discarded; False where that is no further than
    what is asked, or no lower than rounding.
    """
    found = escape(state.problem, state.point, threads=state.threads)
    if found is None or found.length <= state.asked * state.size:
        return False
    vector = state.point.vector + found.step
    value, gradient = state.look(vector)
    if not value < state.value - NOISE * abs(state.value):
        return False
    state.go(vector, value, gradient)
    state.renew()
    return True


def _leave(state: _State, bent: Float64) -> bool:
    """Go along a direction in which L bends down, to where it is lower; False where it is not."""
    if float(bent @ state.gradient) > 0:
        bent = -bent
    t = 0.1 * state.size / float(np.linalg.norm(bent))
    for _ in range(TRIES):
        vector = state.point.vector + t * bent
        value, gradient = state.look(vector)
        if value < state.value - NOISE * abs(state.value):
            state.go(vector, value, gradient)
            state.renew()
            return True
        t *= 0.3
    return False
