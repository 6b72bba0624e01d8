"""Training and erasing of quadratic objectives: which phases a run is made of, and its outcome.

The phases are those of ``solvers.phases``, the loop is ``solvers.loop``; here is the table that
makes an algorithm of them. With a row solver alone a run is passes, after the rows of the deletion;
joint steps are the way where they were asked for, or on from where passes are stuck; where limits
are set it ends with refinement.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.errors import InvalidInput
from alteraser.linalg.anderson import Anderson, Safeguarded
from alteraser.models import Factors, Problem
from alteraser.runtime.workers import default_threads
from alteraser.solvers.collapse import collapse
from alteraser.solvers.joint import Joint
from alteraser.solvers.joint_newton import JointNewton
from alteraser.solvers.limits import Limits
from alteraser.solvers.loop import End, Phase, Plan, Solution, Until, Watch, minimize
from alteraser.solvers.phases.approach import WARM, Approach
from alteraser.solvers.phases.arrival import Arrival
from alteraser.solvers.phases.collapse import Collapse
from alteraser.solvers.phases.measured import Distance
from alteraser.solvers.phases.newton import Newton
from alteraser.solvers.phases.passes import Passes
from alteraser.solvers.phases.quasi_newton import QuasiNewton
from alteraser.solvers.phases.refine import Refine
from alteraser.solvers.phases.state import Aim, FactorState
from alteraser.solvers.phases.touched import TouchedRows
from alteraser.solvers.rest import way_to_rest
from alteraser.solvers.rows.protocol import padded_width
from alteraser.solvers.stationarity import Push
from alteraser.solvers.strategy import Solver, strategy
from alteraser.solvers.trace import OnPass, PassRecord, Reason, Scope

__all__ = [
    "ROUTE",
    "Effect",
    "OnPass",
    "Outcome",
    "PassRecord",
    "Reason",
    "Scope",
    "Settings",
    "Watch",
    "run_passes",
]

Array = npt.NDArray[Any]

ROUTE: tuple[tuple[str, frozenset[str]], ...] = (
    ("passes", frozenset({"touched", "all"})),
    ("joint", frozenset({"joint", "polish"})),
)


@dataclass(frozen=True)
class Settings:
    """What the driver needs to know, apart from the problem."""

    solver: Solver
    tolerance: float
    max_passes: int
    memory: int = 6
    """Anderson's memory; 0 for plain passes."""
    threads: int = field(default_factory=default_threads)
    train_prediction: bool = False
    confirm: bool = False
    """Where the tolerance is reached, look for negative curvature before believing it, and go on
    from a saddle."""
    limits: Limits | None = None
    """Go on from the tolerance until these hold as well, by joint steps with a float64 gradient."""
    rest: bool = False
    """Where it converged, measure at the end how far from rest that is."""

    def __post_init__(self) -> None:
        if not self.tolerance >= 0 or not np.isfinite(self.tolerance):
            raise InvalidInput(f"tolerance={self.tolerance}: expected a number of at least 0")
        if self.max_passes < 0 or self.memory < 0 or self.threads < 1:
            raise InvalidInput("max_passes and memory must be at least 0, threads at least 1")


@dataclass(frozen=True)
class Effect:
    """What a local erasure measured: how much of the deletion's effect the model has, see
    ``erasers.local``.
    """

    residual: float
    """‖∇L_{D_r}(Θ_u) − ∇L_{D_a}(Θ_a)‖_{B⁻¹} over the deletion's push"""
    rows_alone: float
    """The same after the rows of the deletion alone, before any other row moved"""
    left: float | None
    """Estimated share of the effect that is missing, over the rows that D_r leaves; None: not
    estimated"""
    moved: float
    """‖Θ_u − Θ_a‖_F over these rows"""
    size: float
    """‖Θ_a‖_F"""
    stored: float
    """The residual that rounding the factors for storage may leave"""
    bent: bool = False
    """True where L was found to bend down: the original is not near an optimum in that direction"""


@dataclass(frozen=True)
class Outcome:
    """What the loop arrived at, measured on the factors it returns."""

    factors: Factors
    trace: tuple[PassRecord, ...]
    objective: float
    residual: float
    """‖∇L(Θ)‖_{B⁻¹} over the scale of the run (the push of a deletion, or ‖Θ‖_B)."""
    converged: bool
    passes: int
    rows_updated: int
    products: int
    rejected: int
    """Extrapolated points that were thrown away."""
    reason: Reason = "passes"
    """Why it ended: the tolerance, the cap on passes, ``watch``, rounding (the precision holds no
    more), or bent (of a local erasure: steps near the original lead no further)."""
    measured: Distance | None = None
    """How near the limits the factors are; None where no limits were set or the tolerance was not
    reached."""
    route: tuple[str, ...] = ()
    """What it took, in order: rows (chosen by their own residual, in a stream), passes, joint,
    retrain."""
    recipe: dict[str, Any] | None = None
    """How to run it again from its seed; None for a run that started from a model."""
    effect: Effect | None = None
    """Of a local erasure; then ``residual`` is the anchored one."""
    push: Push | None = None
    """The deletion's push, where the eraser measured it on its way."""
    rest: float | None = None
    """Distance from where the run ended to the optimum that it was on its way to, over ‖Θ‖_F,
    measured and estimated from above; None: not measured."""
    least: float | None = None
    """The same as its last step tells, for nothing: an estimate from below, since the directions of
    least curvature are those that steps see last."""


def run_passes(
    problem: Problem,
    start: Factors,
    settings: Settings,
    *,
    scale: float | None = None,
    touched: tuple[Array, Array] | None = None,
    origin: Factors | None = None,
    on_pass: OnPass | None = None,
    watch: Watch | None = None,
    joint: Joint | None = None,
) -> Outcome:
    """Run passes on ``problem`` from ``start`` until the residual is at most the tolerance, or the
    cap.

    ``scale`` divides the gradient's norm; None takes ‖Θ‖_B. ``touched`` = (user rows, item rows)
    adds the paper's first pass over these alone. ``origin`` is the model whose influence is to go:
    the run is then warm, and a joint solver begins with joint steps. ``joint`` is a joint state at
    ``start`` with factored blocks, to go on with; it is changed. ``watch`` may end the run after
    any pass. Raises Interrupted on Ctrl-C and NumericFailure for a row without a solution;
    ``start`` is never changed.
    """
    aim = Aim(settings.tolerance, scale, settings.limits, origin, settings.train_prediction)
    asked = strategy(settings.solver)
    newton = _both_sides(problem, start, settings, asked.joint)
    steps = None if newton is None else QuasiNewton(newton)

    def begin() -> tuple[FactorState, Plan[FactorState]]:
        state = FactorState(problem, start, asked.rows, aim, settings.threads)
        phases = _phases(state, settings, touched, newton, steps, near=asked.joint is not None)
        if joint is not None and steps is not None:
            state.joint, state.P, state.Q, state.owed = joint, joint.P, joint.Q, True
            steps.begin(state, joint)
        first = _first(phases, warm=aim.warm and asked.joint is not None, begun=state.owed)
        return state, Plan(first, phases, _table(phases, settings, newton))

    until = Until(settings.tolerance, settings.max_passes)
    found = minimize(begin, until, on_pass=on_pass, watch=watch)
    outcome = _outcome(found, steps)
    if settings.rest and outcome.rest is None and found.converged:
        rest = way_to_rest(
            problem, outcome.factors, threads=settings.threads, joint=found.state.joint
        )
        outcome = replace(outcome, rest=rest.length)
    return outcome


def _both_sides(
    problem: Problem, start: Factors, settings: Settings, asked: JointNewton | None
) -> JointNewton | None:
    """Joint steps: asked for, or the way on from where passes are stuck; None where they are
    neither or do not fit.
    """
    if settings.train_prediction or not (asked or settings.memory > 0):
        return None
    return (
        (asked or JointNewton())
        if Joint.fits(problem, padded_width(start.rank, problem.dtype))
        else None
    )


def _phases(
    state: FactorState,
    settings: Settings,
    touched: tuple[Array, Array] | None,
    newton: JointNewton | None,
    steps: QuasiNewton | None,
    *,
    near: bool,
) -> dict[str, Phase[FactorState]]:
    """What a run may be made of; with ``near`` passes make way for joint steps once these are the
    faster way.
    """
    within = newton.near if near and newton is not None else None
    phases: dict[str, Phase[FactorState]] = {
        "passes": Passes(_guard(state, settings), near=within, saddles=True)
    }
    if not settings.train_prediction and isinstance(state.problem, Problem):
        ratio = collapse(state.problem, state.h)
        if ratio is not None:
            phases["collapse"] = Collapse(ratio)
    if touched is not None:
        phases["touched"] = TouchedRows(*touched)
    if newton is None or steps is None:
        return phases
    look, approach = Approach(WARM), Approach()
    phases |= {"look": look, "approach": approach}
    phases |= {"quasi-newton": steps, "arrival": Arrival(steps, newton, confirm=settings.confirm)}
    phases["newton"] = Newton(newton, (look, approach), confirm=settings.confirm)
    if settings.limits is not None:
        phases["refine"] = Refine(newton, settings.limits, steps)
    return phases


def _guard(state: FactorState, settings: Settings) -> Safeguarded:
    """Extrapolation of the items, each weighted by about its curvature."""
    weights = np.asarray(state.problem.items.counts + 1.0, dtype=state.problem.dtype)
    plain = settings.memory == 0 or settings.train_prediction
    return Safeguarded(
        None if plain else Anderson(settings.memory, weights), lambda _: state.slack()
    )


def _first(phases: dict[str, Phase[FactorState]], *, warm: bool, begun: bool) -> str:
    """Which of them comes first: ``warm`` from a trained model by joint steps, ``begun`` from
    blocks that are there.
    """
    if "collapse" in phases:
        return "collapse"
    if begun:
        return "quasi-newton"
    if warm and "look" in phases:
        return "look"
    return "touched" if "touched" in phases else "passes"


def _table(
    phases: dict[str, Phase[FactorState]], settings: Settings, newton: JointNewton | None
) -> dict[tuple[str, str], str | End]:
    """What follows what."""
    there, spent = End("tolerance"), End("rounding")
    approach = "passes" if newton is None else "approach"
    joint = "newton" if newton is not None and newton.memory == 0 else "quasi-newton"
    refine = "refine" if "refine" in phases else None
    further = newton is not None and (settings.confirm or refine is not None)
    table: dict[tuple[str, str], str | End] = {
        ("collapse", "arrived"): there,
        ("touched", "done"): "passes",
        ("passes", "arrived"): approach if further else there,
        ("passes", "slow"): approach,
        ("passes", "stuck"): approach,
        ("look", "far"): "passes",
        ("look", "near"): joint,
        ("approach", "near"): joint,
        ("quasi-newton", "arrived"): refine or "arrival",
        ("arrival", "left"): "quasi-newton",
        ("arrival", "arrived"): there,
        ("arrival", "exhausted"): spent,
        ("newton", "arrived"): refine or there,
        ("newton", "exhausted"): refine or spent,
        ("refine", "far"): "quasi-newton",
        ("refine", "arrived"): there,
        ("refine", "exhausted"): spent,
    }
    return {
        (phase, signal): following
        for (phase, signal), following in table.items()
        if phase in phases
    }


def _outcome(solution: Solution[FactorState, PassRecord], steps: QuasiNewton | None) -> Outcome:
    state, trace = solution.state, solution.trace
    if trace and trace[-1].scope != "touched":
        last = replace(trace[-1], residual=solution.residual, objective=solution.objective)
        trace = (*trace[:-1], last)
    scopes = {record.scope for record in trace}
    least = None if steps is None else steps.left(state)
    return Outcome(
        state.factors(),
        trace,
        solution.objective,
        solution.residual,
        solution.converged,
        len(trace),
        state.work.rows,
        state.work.products,
        state.work.rejected,
        solution.reason,
        state.found,
        tuple(name for name, kinds in ROUTE if scopes & kinds),
        rest=state.rest,
        least=state.rest if least is None else least,
    )
