"""The one loop that training and every eraser share: passes, stopping, progress, cancellation, trace.

A pass is one sweep over user rows, then item rows (Liu et al., RecSys 2022, Algorithm 1). After the user sweep of
an exact solver P = P*(Q) is the minimum given Q, so the loop is a fixed-point iteration Q ← T(Q) on the reduced
objective φ(Q) = min_P L(P, Q): that is what Anderson extrapolation accelerates, what the safeguard watches, and
why the decrement of the item sweep is the residual of the whole point (P*(Q), Q) at no cost.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from alteraser.erasers.polish import Look, Measured, Polisher
from alteraser.errors import Interrupted, InvalidInput, NumericFailure
from alteraser.evidence.certificate.limits import Limits
from alteraser.linalg.anderson import Anderson
from alteraser.linalg.quartic import quartic_step
from alteraser.models import Factors, Problem
from alteraser.runtime.workers import default_threads
from alteraser.solvers import RowSolver
from alteraser.solvers.collapse import collapse
from alteraser.solvers.descent import Descent
from alteraser.solvers.joint import Joint, JointNewton
from alteraser.solvers.rows.protocol import padded
from alteraser.solvers.stationarity import Push, evaluate, gradient_norm

Array = npt.NDArray[Any]
Scope = Literal["touched", "all", "joint", "polish"]
Reason = Literal["tolerance", "passes", "watch", "rounding", "bent"]

PATIENCE, STALL = 12, 0.9
"""PATIENCE passes that do not bring the residual below STALL of what it was are stuck, likely at a saddle."""

SLOW = 0.6
"""Contraction per pass above which joint steps are the faster way: an iteration of theirs costs less than a pass."""

REST = 0.25
"""Share of the distance that the limits ask for at which joint steps leave the rest to a measurement: one more of them
costs less than a measurement that fails."""

FINEST = 50.0
"""Distances below this times the machine epsilon, over ‖Θ‖, are for gradients in float64."""

AGAIN = 4.0
"""Joint steps go on after a measurement that found the model this many times too far from the optimum."""

WARM = 0.3
"""‖∇L‖_{B⁻¹} / ‖Θ‖_B below which a run from a trained model begins with joint steps. A deletion moves a model less than
a random start is away from one, so a quadratic model holds from further out than ``JointNewton.near``."""

ROUTE: tuple[tuple[str, frozenset[str]], ...] = (
    ("passes", frozenset({"touched", "all"})), ("joint", frozenset({"joint", "polish"})),
)  # fmt: skip

ROUNDING = 4
"""So many joint steps in a row that neither lower the residual nor, beyond rounding, the objective are the last ones:
the working precision holds no more."""


@dataclass(frozen=True)
class PassRecord:
    """One pass, for the trace."""

    number: int
    scope: Scope
    objective: float
    """L after the pass, from the sweep's own sums."""
    residual: float | None
    """The stopping measure as the pass saw it; exact once the loop ends, an estimate inside. None for ``touched``."""
    seconds: float
    rows: int
    extrapolated: bool
    """True when the pass started from an extrapolated point that was accepted."""
    products: int = 0
    """Evaluations of the reduced gradient in a joint step, products with the reduced Hessian in a polishing one."""
    distance: float | None = None
    """Estimated distance to the stationary point over ‖Θ‖_F, before a polishing step; of a local erasure what of the
    effect was missing after it."""


@dataclass(frozen=True)
class Settings:
    """What the driver needs to know, apart from the problem."""

    solver: RowSolver
    tolerance: float
    max_passes: int
    memory: int = 6
    """Anderson's memory; 0 for plain passes."""
    threads: int = field(default_factory=default_threads)
    train_prediction: bool = False
    confirm: bool = False
    """Where the tolerance is reached, look for negative curvature before believing it, and go on from a saddle."""
    limits: Limits | None = None
    """Go on from the tolerance until these hold as well, by joint steps with a float64 gradient."""

    def __post_init__(self) -> None:
        if not self.tolerance >= 0 or not np.isfinite(self.tolerance):
            raise InvalidInput(f"tolerance={self.tolerance}: expected a number of at least 0")
        if self.max_passes < 0 or self.memory < 0 or self.threads < 1:
            raise InvalidInput("max_passes and memory must be at least 0, threads at least 1")


@dataclass(frozen=True)
class Effect:
    """What a local erasure measured: how much of the deletion's effect the model has, see ``erasers.local``."""

    residual: float
    """‖∇L_{D_r}(Θ_u) − ∇L_{D_a}(Θ_a)‖_{B⁻¹} over the deletion's push"""
    rows_alone: float
    """The same after the rows of the deletion alone, before any other row moved"""
    left: float | None
    """Estimated share of the effect that is missing, over the rows that D_r leaves; None: not estimated"""
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
    """Why it ended: the tolerance, the cap on passes, ``watch``, rounding (the precision holds no more), or bent (of a
    local erasure: steps near the original lead no further)."""
    measured: Measured | None = None
    """How near the limits the factors are; None where no limits were set or the tolerance was not reached."""
    route: tuple[str, ...] = ()
    """What it took, in order: rows (chosen by their own residual, in a stream), passes, joint, retrain."""
    recipe: dict[str, Any] | None = None
    """How to run it again from its seed; None for a run that started from a model."""
    effect: Effect | None = None
    """Of a local erasure; then ``residual`` is the anchored one."""
    push: Push | None = None
    """The deletion's push, where the eraser measured it on its way."""
    rest: float | None = None
    """Estimated distance from where the run ended to the optimum that it was on its way to, over ‖Θ‖_F."""


OnPass = Callable[[PassRecord], None]

Watch = Callable[[int, Callable[[], Factors]], bool]
"""Called after each pass with its number and a way to get the factors as they are; True ends the run there."""


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
    """Run passes on ``problem`` from ``start`` until the residual is at most the tolerance, or the cap.

    ``scale`` divides the gradient's norm; None takes ‖Θ‖_B. ``touched`` = (user rows, item rows) adds the paper's
    first pass over these alone. ``origin`` is the model whose influence is to go: the run is then warm, and a joint
    solver begins with joint steps. ``joint`` is a joint state at ``start`` with factored blocks, to go on with; it is
    changed. ``watch`` may end the run after any pass. Raises Interrupted on Ctrl-C and NumericFailure for a row
    without a solution; ``start`` is never changed.
    """
    # our own workers are the parallelism; BLAS threads would only spin beside them between small products
    with threadpool_limits(1):
        try:
            return _Loop(problem, start, settings, scale, on_pass, watch, origin, joint).run(touched)
        except KeyboardInterrupt:
            raise Interrupted("interrupted; nothing was changed") from None


def _slowing(residuals: list[float]) -> bool:
    """True when passes, each with its share of extrapolation, no longer earn more than joint iterations would."""
    return len(residuals) > 2 and residuals[-1] > SLOW**2 * residuals[-3]


def _stuck(residuals: list[float]) -> bool:
    return len(residuals) > PATIENCE and min(residuals[-PATIENCE:]) > STALL * min(residuals[:-PATIENCE])


class _Loop:
    def __init__(
        self,
        problem: Problem,
        start: Factors,
        settings: Settings,
        scale: float | None,
        on_pass: OnPass | None,
        watch: Watch | None = None,
        origin: Factors | None = None,
        joint: Joint | None = None,
    ) -> None:
        self.origin = origin
        self.problem, self.settings, self.scale, self.on_pass, self.watch = problem, settings, scale, on_pass, watch
        for side, x in (("user", start.users), ("item", start.items)):
            if not np.all(np.isfinite(x)):
                row = int(np.flatnonzero(~np.all(np.isfinite(x), axis=1))[0])
                raise NumericFailure(f"{side} row {row} of the start is not finite; the model is damaged, restore it")
        self.rank = start.rank
        self.P, self.Q = padded(start.users.astype(problem.dtype)), padded(start.items.astype(problem.dtype))
        self.h = start.prediction.astype(problem.dtype)
        self.trace: list[PassRecord] = []
        self.passes = self.rows = self.products = self.rejected = 0
        self.theta_norm = 1.0
        self.reason: Reason | None = None
        self.measured: tuple[float, float] | None = None  # (residual, objective) of the factors as they are
        # joint steps: asked for, or the way on from where passes are stuck
        chosen = settings.solver if isinstance(settings.solver, JointNewton) else None
        fits = not settings.train_prediction and Joint.fits(problem, self.P.shape[1])
        self.newton = (chosen or JointNewton()) if fits and (chosen or settings.memory > 0) else None
        self.joint: Joint | None = None  # from the first joint step on there are no more passes
        self.warm = chosen is not None and origin is not None
        self.try_joint = self.warm and self.newton is not None
        self.near = False  # known to be near enough for them
        self.descent: Descent | None = None  # the way on both sides at once
        self.polisher: Polisher | None = None  # measures and finishes, where limits are set
        self.polishing = False
        self.found: Measured | None = None
        self.collapsed = False  # λ outweighs the data: the optimum is zero
        self.idle, self.lowest = 0, np.inf  # joint steps that led nowhere, the least residual they saw
        # passes: Anderson's history, and what the safeguard needs
        accelerate = settings.memory > 0 and not settings.train_prediction
        self.history = Anderson(settings.memory, self._row_weights()) if accelerate else None
        self.plain: Array | None = None  # T(Q) of the last pass, while Q is an extrapolated point
        self.last: tuple[Array, Array] | None = None  # (P, Q) before the last item sweep
        self.best = np.inf
        self.estimates: list[float] = []
        self.promising = settings.tolerance
        if joint is not None and self.newton is not None:
            self.joint, self.P, self.Q = joint, joint.P, joint.Q
            self._descend(joint, self.newton)

    # -------------------------------------------------------------- the loop

    def run(self, touched: tuple[Array, Array] | None) -> Outcome:
        settings = self.settings
        ratio = self._collapse()
        if ratio is not None and settings.max_passes > 0:
            self._to_zero(ratio)
        elif touched is not None and settings.max_passes > 0 and not self.try_joint and self.joint is None:
            self._touched_pass(*touched)
            self._look()
        while self.passes < settings.max_passes and self.reason is None:
            if self.polishing:
                self._polishing_step()
            elif self.descent is not None:
                self._descent_step(self.descent)
            elif self.joint is not None or self.try_joint:
                self._joint_step()
            else:
                self._pass()
        if self.measured is None and self.joint is not None and not self.polishing:
            self._sweep_users()
            self.joint.settled = False
        residual, objective = self.measured or self._measure()
        if not (np.isfinite(residual) and np.isfinite(objective)):
            raise NumericFailure("the objective is not finite; raise the regularization, or use dtype float64")
        if self.trace and self.trace[-1].scope != "touched":
            self.trace[-1] = PassRecord(**{**vars(self.trace[-1]), "residual": residual, "objective": objective})
        converged = residual <= settings.tolerance
        return Outcome(
            self._factors(), tuple(self.trace), objective, residual, converged, self.passes, self.rows, self.products,
            self.rejected, "tolerance" if converged and self.reason is None else self.reason or "passes", self.found,
            self._route(), rest=self._rest(),
        )  # fmt: skip

    def _collapse(self) -> float | None:
        """λ*/λ where the optimum is known beforehand to be zero, see ``solvers.collapse``."""
        if self.settings.train_prediction or not isinstance(self.problem, Problem):
            return None
        return collapse(self.problem, self.h)

    def _to_zero(self, ratio: float) -> None:
        """The optimum where the regularization outweighs the data: there passes would only shrink for ever."""
        began = time.perf_counter()
        self.P[:], self.Q[:] = 0, 0
        self.joint = self.descent = None
        objective = self.problem.target_energy
        if self.settings.limits is not None:
            influence = None if self.origin is None else 0.0
            self.found = Measured(0.0, 0.0, influence, 0.0, 1.0 - ratio**2, True)
        self.measured, self.reason, self.collapsed = (0.0, objective), "tolerance", True
        rows = self.problem.users.rows + self.problem.items.rows
        self.rows += rows
        self._record("all", began, objective, 0.0, False, rows)
        self._look()

    def _rest(self) -> float | None:
        """How far it still is to the optimum over ‖Θ‖_F, as the last steps tell; None after passes alone."""
        if self.collapsed:
            return 0.0
        if self.found is not None:
            return self.found.distance
        if self.descent is None:
            return None
        size = float(np.sqrt(np.vdot(self.P, self.P) + np.vdot(self.Q, self.Q)))
        return self.descent.distance / size if size > 0 else None

    def _look(self) -> None:
        if self.watch is not None and self.watch(self.passes, self._factors):
            self.reason = "watch"

    def _pass(self) -> None:
        """One sweep over the users, one over the items, and where the next begins."""
        began = time.perf_counter()
        settings = self.settings
        reduced = self._sweep_users()
        if self.plain is not None and self.history is not None and not reduced <= self.best + self._slack():
            self.rejected += 1
            self.Q[:] = self.plain
            self.plain = None
            self.history.restart()
            reduced = self._sweep_users()
            if self.last is not None and self._escape(*self.last):
                reduced = self._sweep_users()
        self.best = min(self.best, reduced)
        self.last = (self.P.copy(), self.Q.copy()) if self.history is not None else None
        estimate = self._sweep_items(began, extrapolated=self.plain is not None)
        if settings.train_prediction:
            self._prediction_step()
        self.measured = None
        self._look()
        if self.reason is not None:
            return
        if estimate <= self.promising:
            self._sweep_users()  # so that every user's row is its own minimum given the items that are kept
            self.measured = self._measure()
            if self.measured[0] <= settings.tolerance:
                further = settings.confirm or settings.limits is not None
                self.try_joint = self.near = further and self.newton is not None
                if not self.try_joint:
                    self.reason = "tolerance"
                return
            self.promising = estimate * min(0.5, settings.tolerance / self.measured[0])
        self.estimates.append(estimate)
        if self.newton is not None:
            chosen = isinstance(settings.solver, JointNewton)
            near = chosen and estimate * (self.scale or self.theta_norm) <= self.newton.near * self.theta_norm
            near = near and _slowing(self.estimates)
            self.try_joint = near or _stuck(self.estimates)
            if self.try_joint:
                self.near = True
                return
        self.plain = None
        if self.history is not None and self.last is not None and self.passes < settings.max_passes:
            following = self.history.extrapolate(self.last[1], self.Q)
            if following is not None:
                self.plain = self.Q.copy()
                self.Q[:] = following

    def _descend(self, joint: Joint, newton: JointNewton) -> None:
        """From here on both sides move at once."""
        self.descent = Descent(joint, newton)
        self.theta_norm = self.descent.theta_norm

    def _descent_step(self, descent: Descent) -> None:
        """One iteration on both sides; or a measurement, once it seems to be there or leads no further."""
        began = time.perf_counter()
        if descent.exhausted or (self._estimate(descent) <= self.promising and self._near(descent)):
            self._arrive(descent)
            return
        self.measured = None
        before = descent.evaluations
        descent.step()
        evaluations = descent.evaluations - before
        rows = self.problem.users.rows + self.problem.items.rows
        self.products += evaluations
        self.rows += rows
        objective = self.problem.target_energy + descent.value
        self._record("joint", began, objective, self._estimate(descent), False, rows, evaluations)
        self._look()

    def _estimate(self, descent: Descent) -> float:
        return 2.0 * float(np.sqrt(descent.decrement)) / (self.scale or self.theta_norm)

    def _near(self, descent: Descent) -> bool:
        """True when as far as the steps tell, the limits hold."""
        if self.settings.limits is None:
            return True
        size = float(np.sqrt(np.vdot(self.P, self.P) + np.vdot(self.Q, self.Q))) or 1.0
        within = self._polisher().within(self._factors())
        return descent.distance <= size * max(REST * within, self._finest())

    def _finest(self) -> float:
        return FINEST * float(np.finfo(self.problem.dtype).eps)

    def _arrive(self, descent: Descent) -> None:
        """Where joint steps have led: measure, and say whether that is the end."""
        settings = self.settings
        assert self.joint is not None
        if settings.limits is not None:
            self.polishing = True
            return
        self.joint.settle()
        self.measured = self._measure()
        if self.measured[0] <= settings.tolerance:
            began = time.perf_counter()
            if not (settings.confirm and self._leave_saddle(self.joint)):
                self.reason = "tolerance"
                return
            self.measured = None
            descent.begin()
            objective = self.problem.target_energy + descent.value
            self._record("joint", began, objective, self._estimate(descent), False, 0)
            self._look()
        elif descent.exhausted:
            self.reason = "rounding"
        else:
            self.promising = self._estimate(descent) * min(0.5, settings.tolerance / self.measured[0])
            descent.begin()

    def _leave_saddle(self, joint: Joint) -> bool:
        """Go along a direction in which L bends down; False where none is met, and nothing moves."""
        assert self.newton is not None
        found = joint.direction(forcing=0.1 * self.newton.forcing, products=self.newton.products)
        self.products += found.products
        return found.negative is not None and joint.advance(found) > self._slack()

    def _joint_step(self) -> None:
        """The first step on both sides at once, or a Newton step; where the model is too far off, back to passes."""
        began = time.perf_counter()
        settings, newton = self.settings, self.newton
        assert newton is not None
        first = self.joint is None
        if self.joint is None:
            self.joint = Joint(self.problem, self.P, self.Q, self.h, settings.threads)
        joint = self.joint
        settled = joint.settle()
        self.rows += self.problem.users.rows
        fit = 2.0 * -settled.value + joint.along_itself()
        self.theta_norm = float(np.sqrt(max(fit, 0.0))) or 1.0
        estimate = 2.0 * float(np.sqrt(max(settled.items, 0.0))) / (self.scale or self.theta_norm)
        near = WARM if self.warm else newton.near
        if first and not self.near and estimate * (self.scale or self.theta_norm) > near * self.theta_norm:
            self.joint, self.try_joint = None, False
            return
        if newton.memory > 0:
            self._descend(joint, newton)
            return
        self.measured = None
        saddle = False
        if estimate <= self.promising:
            self.measured = self._measure()
            if self.measured[0] <= settings.tolerance:
                if settings.limits is not None:
                    self.polishing = True
                    return
                if not settings.confirm:
                    self.reason = "tolerance"
                    return
                saddle = True
            else:
                self.promising = estimate * min(0.5, settings.tolerance / self.measured[0])
        objective = self.problem.target_energy + settled.value + self._penalty(self.problem.items.ridge, self.Q)
        forcing = 0.1 * newton.forcing if saddle else newton.forcing
        if estimate * (self.scale or self.theta_norm) <= newton.slow_below * self.theta_norm:
            joint.find_slow(newton)
        found = joint.direction(forcing=forcing, products=newton.products)
        if saddle and found.negative is None:
            self.reason = "tolerance"
            return
        gained = joint.advance(found)
        self.measured = None
        self.products += found.products
        self.idle = self.idle + 1 if estimate > STALL * self.lowest and gained <= self._slack() else 0
        self.lowest = min(self.lowest, estimate)
        if self.idle >= ROUNDING and settings.limits is not None:  # a gradient in float64 sees further
            self.polishing = True
        elif self.idle >= ROUNDING:
            self.reason = "rounding"
        self._record(
            "joint", began, objective - gained, estimate, False, self.problem.users.rows, products=found.products
        )
        if self.reason is None:
            self._look()

    def _polisher(self) -> Polisher:
        limits, newton = self.settings.limits, self.newton
        assert limits is not None
        assert newton is not None
        if self.polisher is None:
            self.polisher = Polisher(self.problem, self.scale, newton, self.settings.threads, self.origin, limits)
        return self.polisher

    def _polishing_step(self) -> None:
        """Measure what the limits ask for at the factors as they would be stored; a step nearer if they do not hold."""
        began = time.perf_counter()
        assert self.joint is not None
        assert self.settings.limits is not None
        polisher = self._polisher()
        here = polisher.look(self._factors(), self.joint)
        self.found = here.measured
        self.products += here.products
        residual = here.measured.residual
        self._record("polish", began, here.objective, residual, False, 0, here.products, here.measured.distance)
        self.measured = residual, here.objective
        if residual <= self.settings.tolerance and here.measured.holds(self.settings.limits):
            self.reason = "tolerance"
        elif polisher.exhausted:
            self.reason = "rounding"
        else:
            self.measured = None
            self.joint.place(*here.next)
            self._resume(here)
        if self.reason is None:
            self._look()

    def _resume(self, here: Look) -> None:
        """Joint steps again, where a measurement found that there is still a way to go."""
        descent = self.descent
        if descent is None or (descent.exhausted and here.measured.valley):
            return
        within = max(self._polisher().within(self._factors()), self._finest())
        if here.measured.valley and here.measured.distance <= AGAIN * within:
            return
        descent.begin()
        self.polishing = False

    def _route(self) -> tuple[str, ...]:
        scopes = {record.scope for record in self.trace}
        return tuple(name for name, kinds in ROUTE if scopes & kinds)

    def _touched_pass(self, users: Array, items: Array) -> None:
        began = time.perf_counter()
        for side, rows in ((self.problem.users, users), (self.problem.items, items)):
            if rows.size:
                self._solve(side.name, rows)
        self._record("touched", began, float("nan"), None, False, int(users.size + items.size))

    def _sweep_users(self) -> float:
        """Sweep the users; the reduced objective φ(Q) at the current Q (for inexact rows, L at the current point)."""
        report = self._solve("user", None)
        self.fit = -report.value
        return float(self.problem.target_energy + report.value + self._penalty(self.problem.items.ridge, self.Q))

    def _sweep_items(self, began: float, *, extrapolated: bool) -> float:
        report = self._solve("item", None)
        self.theta_norm = float(np.sqrt(max(self.fit - report.value, 0.0))) or 1.0
        estimate = 2.0 * float(np.sqrt(max(report.decrement, 0.0))) / (self.scale or self.theta_norm)
        objective = self.problem.target_energy + report.value + self._penalty(self.problem.users.ridge, self.P)
        rows = self.problem.users.rows + self.problem.items.rows
        self._record("all", began, objective, estimate, extrapolated, rows)
        return estimate

    # -------------------------------------------------------------- pieces

    def _solve(self, name: str, rows: Array | None) -> Any:
        mine, theirs = (self.P, self.Q) if name == "user" else (self.Q, self.P)
        side = self.problem.users if name == "user" else self.problem.items
        if np.any(self.h != 1):
            theirs = theirs.copy()
            theirs[:, : self.rank] *= self.h
        report = self.settings.solver.solve(side, theirs, mine, rows, rank=self.rank, threads=self.settings.threads)
        self.rows += report.rows
        self.products += report.products
        return report

    def _record(
        self,
        scope: Scope,
        began: float,
        objective: float,
        residual: float | None,
        extrapolated: bool,
        rows: int,
        products: int = 0,
        distance: float | None = None,
    ) -> None:
        self.passes += 1
        seconds = time.perf_counter() - began
        record = PassRecord(self.passes, scope, objective, residual, seconds, rows, extrapolated, products, distance)
        self.trace.append(record)
        if self.on_pass:
            self.on_pass(record)

    def _measure(self) -> tuple[float, float]:
        """(residual, objective) of the factors as they would be stored."""
        factors = self._factors()
        here = evaluate(self.problem, factors, threads=self.settings.threads)
        gradients = here.user_gradient, here.item_gradient
        if self.joint is not None and self.joint.settled:
            norm = self.joint.norm(gradients)
        else:
            norm = gradient_norm(self.problem, factors, *gradients, threads=self.settings.threads)
        scale = self.scale if self.scale is not None else here.theta_norm
        return (norm / scale if scale > 0 else norm), here.objective

    def _escape(self, P: Array, Q: Array) -> bool:
        """Go from (P, Q) through the current point as far as the objective falls; True if that is further."""
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

        t = quartic_step(lambda t: evaluate(self.problem, point(t), threads=self.settings.threads).objective, reach)
        if t <= 1.0:
            return False
        best = point(t)
        self.P[:, :d], self.Q[:, :d] = best.users, best.items
        return True

    def _prediction_step(self) -> None:
        from alteraser.solvers.prediction import prediction_step

        factors = prediction_step(self.problem, self._factors())
        self.P[:, : self.rank], self.Q[:, : self.rank], self.h = (
            factors.users,
            factors.items,
            factors.prediction,
        )

    def _penalty(self, ridge: Array, x: Array) -> float:
        return float(np.dot(ridge.astype(np.float64), np.einsum("id,id->i", x, x, dtype=np.float64)))

    def _row_weights(self) -> Array:
        items = self.problem.items
        return np.asarray(items.counts + 1.0, dtype=self.problem.dtype)

    def _slack(self) -> float:
        """Rounding of the sums the safeguard compares."""
        return float(np.finfo(self.problem.dtype).eps) * self.problem.target_energy

    def _factors(self) -> Factors:
        d = self.rank
        return Factors(self.P[:, :d].copy(), self.Q[:, :d].copy(), self.h.copy())
