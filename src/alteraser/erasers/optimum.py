"""To the optimum of a linear problem, by the way that its form allows.

Where a problem is one of matrix factorization, one side can be eliminated exactly, and the joint
steps of ``erasers.driver`` are there in a few dozen passes; every other one, and one whose penalty
is to come down, goes the way of ``solvers.relational``. Where the former end short, the latter go
on from there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.erasers.driver import Outcome, Settings, run_passes
from alteraser.models import Factors, Problem
from alteraser.models.relational import LinearProblem, Point
from alteraser.solvers import strategy
from alteraser.solvers.limits import DEFAULT
from alteraser.solvers.relational import Goal, Preconditioner, Reached, minimize
from alteraser.solvers.stationarity import gradient_norm
from alteraser.solvers.trace import OnPass

Float64 = npt.NDArray[np.float64]

TOLERANCE = 1e-5
"""Stationarity after which joint steps are refined, without a scale: as ENMF is trained"""


def reach(
    problem: LinearProblem,
    start: Point,
    goal: Goal,
    *,
    threads: int,
    on_pass: OnPass | None = None,
    M: Preconditioner | None = None,
) -> Reached:
    """``minimize``, and the same for less where ``problem`` is a matrix factorization."""
    factored = _suited(problem, goal)
    if factored is None:
        return minimize(problem, start, goal, threads=threads, on_pass=on_pass, M=M)
    found = _by_joint_steps(problem, factored, start, goal, threads, on_pass)
    if found.converged or found.passes >= goal.max_passes:
        return found
    return minimize(problem, found.point, goal, threads=threads, on_pass=on_pass)


def _suited(problem: LinearProblem, goal: Goal) -> Problem | None:
    """The factorization that ``problem`` is, where float32 holds what is asked for, and it is to be
    gone to straight.
    """
    asked = goal.limits
    sharp = asked.distance < DEFAULT.distance or asked.influence < DEFAULT.influence
    return None if sharp or goal.continuation > 1.0 else problem.factorized


def _by_joint_steps(
    problem: LinearProblem,
    factored: Problem,
    start: Point,
    goal: Goal,
    threads: int,
    on_pass: OnPass | None,
) -> Reached:
    settings = Settings(
        strategy("joint"),
        goal.residual * 2.0 if goal.scale is not None else TOLERANCE,
        goal.max_passes,
        threads=threads,
        limits=goal.limits,
    )
    outcome = run_passes(
        factored,
        factors_of(problem, start, factored.dtype),
        settings,
        # half a gradient is what residuals of linear problems are of, and a whole one here
        scale=None if goal.scale is None else 2.0 * goal.scale,
        origin=None if goal.origin is None else factors_of(problem, goal.origin, factored.dtype),
        on_pass=on_pass,
    )
    return _reached(problem, outcome, goal)


def _reached(problem: LinearProblem, outcome: Outcome, goal: Goal) -> Reached:
    """The same in words of a linear problem."""
    measured = outcome.measured
    point = problem.point(np.empty(problem.size))
    relation = problem.relations[0]
    point.tables[relation.source][:] = outcome.factors.users
    point.tables[relation.target][:] = outcome.factors.items
    there = outcome.converged and measured is not None and measured.holds(goal.limits)
    return Reached(
        point,
        outcome.objective,
        # residuals of linear problems are of half a gradient
        outcome.residual / 2.0,
        measured.distance if measured is not None else np.inf,
        measured is not None and measured.valley,
        measured.smallest if measured is not None else np.nan,
        there,
        outcome.reason if there or outcome.reason != "tolerance" else "passes",
        outcome.trace,
        outcome.passes,
        outcome.products,
    )


@dataclass(frozen=True)
class BlockNorm:
    """‖·‖_{M⁻¹} at a point of a matrix factorization, whose blocks need not be kept for that."""

    problem: LinearProblem
    factored: Problem
    point: Point
    threads: int

    def norm(self, gradient: Float64) -> float:
        """As ``Preconditioner.norm``."""
        relation, seen = self.problem.relations[0], self.problem.point(gradient).tables
        factors = factors_of(self.problem, self.point, self.factored.dtype)
        both = seen[relation.source], seen[relation.target]
        return gradient_norm(self.factored, factors, *both, threads=self.threads) / 2.0


def norm_at(problem: LinearProblem, point: Point, *, threads: int) -> Preconditioner | BlockNorm:
    """What measures gradients of a problem, at a point."""
    factored = problem.factorized
    if factored is None:
        return Preconditioner(problem, point, threads)
    return BlockNorm(problem, factored, point, threads)


def factors_of(problem: LinearProblem, point: Point, dtype: Any) -> Factors:
    """A point of a matrix factorization as factors."""
    relation = problem.relations[0]
    users, items = (point.tables[x].astype(dtype) for x in (relation.source, relation.target))
    return Factors(users, items, np.ones(problem.rank, dtype))
