"""The way to the optimum of a linear problem: limited-memory BFGS, then Newton steps that measure.

Every iteration evaluates L and its gradient once, over all cells; the curvature of the last steps
corrects the preconditioner, which is taken anew where progress slows down (Liu & Nocedal, Math.
Prog. 1989; see ``preconditioner``). Where it seems to be there, a Newton step is solved: its length
is the distance to the optimum, and if that is too far it is taken. A direction in which L bends
down is followed, so that a saddle is not taken for an end.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alteraser.models.relational import LinearProblem, Point
from alteraser.runtime.allocator import kept
from alteraser.solvers.loop import End, Phase, Plan, Until
from alteraser.solvers.loop import minimize as loop
from alteraser.solvers.relational.continuation import COME, Continuation
from alteraser.solvers.relational.descent import LinearDescent, LinearRun
from alteraser.solvers.relational.goal import Goal
from alteraser.solvers.relational.preconditioner import Preconditioner
from alteraser.solvers.relational.refine import LinearRefine
from alteraser.solvers.trace import OnPass, PassRecord, Reason


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
    strongest: float = 1.0
    """How many times itself the penalty came down from; 1: it went straight"""

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

    def begin() -> tuple[LinearRun, Plan[LinearRun]]:
        state = LinearRun(problem, problem.point(start.vector.copy()), goal, threads, M)
        phases: dict[str, Phase[LinearRun]] = {
            "continuation": Continuation(state),
            "descent": LinearDescent(state),
            "refine": LinearRefine(),
        }
        plan = Plan(
            "continuation" if goal.continuation > 1.0 else "descent",
            phases,
            {
                ("continuation", COME): "descent",
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
        state.strongest,
    )
