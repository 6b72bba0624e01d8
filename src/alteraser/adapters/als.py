"""ALS kinds: weighted squared error with a ridge, forgotten by the solvers that are here for their
own sake.

    L = Σ_{observed} c (y − p·q)² + w₀ Σ_{missing} (p·q)² + λ (Σ ρ_u ‖p_u‖² + Σ ρ_v ‖q_v‖²)

Libraries differ in what c and y are of the matrix entry r that they were given (Hu, Koren &
Volinsky 2008):

    implicit   c = α|r|         y = [r > 0]    w₀ = 1    ρ = 1
    LensKit    c = 1 + α r      y = 1          w₀ = 1    ρ = 1
    Spark      c = 1 + α|r|     y = [r > 0]    w₀ = 1    ρ = number of positive rows
    explicit   c = 1            y = r          w₀ = 0    ρ = 1, or the number of rows
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from alteraser.adapters.contract import (
    Foreign,
    ForeignErasing,
    ForeignOutcome,
    ForeignTrainer,
    Method,
)
from alteraser.adapters.mapped import blocks_of, padded_copy, release
from alteraser.adapters.selfcheck import Measure, RowFault, SelfCheck
from alteraser.data.interactions import Interactions
from alteraser.erasers import AltEraser
from alteraser.erasers.anchored_rows import Trainer
from alteraser.erasers.driver import Outcome, Settings, run_passes
from alteraser.erasers.filtered import THOROUGH, forget_filtered
from alteraser.erasers.in_place import forget_in_place, gradient_norm
from alteraser.erasers.shift import Shift
from alteraser.models import Factors, Objective, Problem
from alteraser.runtime.workers import default_threads
from alteraser.solvers import JointNewton
from alteraser.solvers.limits import DEFAULT
from alteraser.solvers.missing import effect_left
from alteraser.solvers.residuals import row_residuals
from alteraser.solvers.rows.ah_newton import AHNewton
from alteraser.solvers.rows.cg import ConjugateGradient
from alteraser.solvers.rows.protocol import padded
from alteraser.solvers.stationarity import push

Array = npt.NDArray[Any]

EXACTLY = 1e-3
"""Residual of a row's normal equations below which its trainer is one that solves rows."""

AT_REST = 1e-4
"""Median ‖A x − b‖ / (‖A x‖ + ‖b‖) of either side's rows above which a model is certainly not at
rest: what storing in float32 leaves is below."""

SAMPLE = 16
"""One row in so many is timed to predict what a pass takes."""

LOCAL_PASSES = 15
"""Cap on anchored passes: as many as libraries train by default."""

NEAR = 0.1
"""What training left of its gradient, over the deletion's push, up to which joint steps go on from
a model."""

LIKE, ROOM = 1.5, 2.0
"""How much more than a training of our own implicit's may have left: typically, and in nearly all
rows. In nine settings on Frappe and five on play counts it left 0.7 to 1.2 times as much typically
and 0.4 to 1.4 in nearly all rows; with 1 % of rows added or removed 1.5 to 100 times."""

BLIND = "a percent of the interactions missing, or weights a tenth too large"
"""Of solvers that stop early, by the limits as they are: on play counts with bm25 and plain weights
1 % of rows gone left 0.010 to 0.013 in nearly all rows, and weights times 1.1 left 0.037 to 0.041,
where the data themselves left 0.004. 1 % of rows too many left 0.6."""

IN_PLACE = 256 << 20
"""Bytes of factors from which on nothing of their size is kept beside them."""


@dataclass(frozen=True)
class ALS:
    """A weighted squared error that alternating least squares minimizes.

    ``exact`` is the side that its trainer solves last (``either``: nobody knows; the better one is
    judged), ``leaves`` the residual of a row's normal equations that it typically leaves there:
    rounding for a Cholesky solve, more for a few steps of conjugate gradients.
    """

    objective: Objective
    alpha: float | None = None
    """α of c; None: c = 1 (explicit feedback)."""
    intercept: float = 0.0
    """What is added to α|r|."""
    exact: Literal["user", "item", "either"] = "item"
    leaves: float = 1e-2
    worst: float | None = None
    """What it leaves in its worst row; None: no more than ``leaves``. A solver that stops early
    leaves rows unequal."""
    name: str = "implicit ALS"
    judged: float = 1.0
    """Share of the rows that ``worst`` is asked of. Below 1 for solvers that stop early: in rows of
    few interactions with rows that are nearly zero themselves they leave anything, measured up to
    0.99 in 0.7 % of the rows."""
    lingers: float = 0.0
    """Its steps shrink rows without interactions from where they began: a vector of up to this
    share of the usual length tells nothing. 0 for solvers that write zeros."""
    tiny: float = 0.0
    """Squared residual below which the trainer leaves a row alone: it is as good as solved."""
    rehearsal: ForeignTrainer | None = None
    """The training that the container tells of, from any start: where rows are further off than
    ``leaves`` and ``worst``, how far off they are after a run on the very data decides."""

    ranks = True
    shown = True

    @property
    def effects(self) -> tuple[Method, ...]:
        """Anchored passes or, where these lead away, the rows of the deletion alone."""
        return ("local", "rows")

    @property
    def explicit(self) -> bool:
        """True when y is the rating itself and missing cells do not count."""
        return self.alpha is None

    @property
    def formula(self) -> str:
        """One line with the numbers in it."""
        o = self.objective
        observed = (
            "Σ (r − p·q)²"
            if self.explicit
            else f"Σ c (y − p·q)², c = {self._confidence}, y = [r > 0]"
        )
        missing = f" + {o.missing_weight:g} Σ_missing (p·q)²" if o.missing_weight else ""
        ridge = " · count" if o.regularization_scaling == "frequency" else ""
        return f"{observed}{missing} + {o.regularization:g}{ridge} (‖p‖² + ‖q‖²)"

    @property
    def _left_exact(self) -> Literal["user", "item"] | None:
        """The side whose rows its trainer leaves solved to rounding; None where it stops early, or
        nobody knows.
        """
        return None if self.exact == "either" or self.leaves > EXACTLY else self.exact

    @property
    def _confidence(self) -> str:
        return (
            f"{self.intercept:g} + {self.alpha:g}·|r|" if self.intercept else f"{self.alpha:g}·|r|"
        )

    def weighted(self, data: Interactions) -> Interactions:
        """``data`` with c and y in place of r, which their ``target`` holds."""
        if self.alpha is None:
            return replace(data, confidence=None)
        r = np.ones(len(data)) if data.target is None else data.target
        c, y = self.intercept + self.alpha * np.abs(r), (r > 0).astype(np.float64)
        return replace(
            data, confidence=None if np.all(c == 1) else c, target=None if np.all(y == 1) else y
        )

    def problem(self, data: Interactions, dtype: Any) -> Problem:
        """The objective taken on ``data``, whose ``target`` is r."""
        return Problem(self.objective, self.weighted(data), np.dtype(dtype).type)

    # ------------------------------------------------------------------ the check

    def check(self, foreign: Foreign, data: Interactions, *, threads: int = 0) -> SelfCheck:
        """Do the rows of the side that was solved last satisfy their normal equations on ``data``?

        And has every row of either side a vector if, and only if, it has interactions?
        """
        problem = self.problem(data, foreign.users.dtype)
        sides = ("user", "item") if self.exact == "either" else (self.exact,)
        found = [(side, self._residuals(problem, foreign, side, threads)) for side in sides]
        exact, residuals = min(found, key=lambda pair: _quantiles(pair[1])[0])
        median, worst = _quantiles(residuals, self.judged)
        leaves, limit = self.leaves, self.leaves if self.worst is None else self.worst
        what = "‖A x − b‖ / (‖A x‖ + ‖b‖) of the normal equations"
        if median > leaves or worst > limit:
            beside = self._rehearsed(foreign, data, exact, threads)
            if beside is not None:
                (leaves, limit), what = beside, f"{what}, beside a training of ours on these data"
        share = f"the residual that {self.judged:.0%} of the {exact} rows are below"
        measures = [
            Measure(f"the {exact} rows' median residual", median, leaves, median <= leaves, what),
            Measure(
                share if self.judged < 1 else f"the largest residual of any {exact} row",
                worst,
                limit,
                worst <= limit,
                what,
            ),
        ]
        faults = []
        # single rows are not judged by their residual, so by whether there should be one
        if self.judged < 1:
            odd = tuple(
                _out_of_place(x, counts, self.lingering(x, counts))
                for x, counts in (
                    (foreign.users, data.user_counts),
                    (foreign.items, data.item_counts),
                )
            )
            misplaced = odd[0].size + odd[1].size
            what = "a vector and no interactions, or interactions and no vector"
            measures.append(
                Measure(
                    "rows out of place",
                    float(misplaced),
                    0.0,
                    misplaced == 0,
                    f"rows that have {what}",
                )
            )
            faults = [
                RowFault(side, int(row), 1.0)
                for side, rows in zip(("user", "item"), odd, strict=True)
                for row in rows
            ][:20]
        residuals = np.nan_to_num(residuals)
        rows = np.argsort(-residuals, kind="stable")[: min(20, residuals.size)]
        listed = rows[residuals[rows] > 0]
        faults = faults or [RowFault(exact, int(row), float(residuals[row])) for row in listed]
        blind = BLIND if self.judged < 1 else ""
        return SelfCheck(tuple(measures), tuple(faults), self._hint(median <= leaves), blind)

    def _rehearsed(
        self, foreign: Foreign, data: Interactions, name: str, threads: int
    ) -> tuple[float, float] | None:
        """Limits of (the median, the residual that nearly all rows are below) by a training of our
        own; None where there is none, and for factors that fill the memory.
        """
        if self.rehearsal is None or foreign.nbytes > IN_PLACE:
            return None
        problem = self.problem(data, foreign.users.dtype)
        users, items = self.rehearsal.run(self.rehearsal.ways[0], data, threads=threads)
        ours = replace(foreign, users=users, items=items)
        median, worst = _quantiles(self._residuals(problem, ours, name, threads), self.judged)
        return LIKE * median, ROOM * worst

    def _residuals(
        self, problem: Problem, foreign: Foreign, name: str, threads: int
    ) -> npt.NDArray[np.float64]:
        users, items = foreign.users, foreign.items
        side, x, other = (
            (problem.items, items, users) if name == "item" else (problem.users, users, items)
        )
        found = row_residuals(side, other, x, threads=threads, tiny=self.tiny)
        release(users)
        release(items)
        # an empty row of zeros says nothing
        telling = (side.counts > 0) | (found > 0) & (self.lingers == 0)
        return np.where(telling, found, np.nan)

    def lingering(self, x: Array, counts: Array) -> float:
        """Length up to which a row of ``x`` without interactions tells nothing."""
        if self.lingers == 0:
            return 0.0
        lengths = [
            np.linalg.norm(x[start:stop][counts[start:stop] > 0].astype(np.float64), axis=1)
            for start, stop in blocks_of(x)
        ]
        release(x)
        found = np.concatenate(lengths) if lengths else np.zeros(0)
        return self.lingers * float(np.median(found)) if found.size else 0.0

    def _hint(self, most_fit: bool) -> str:
        if most_fit:
            return "Most rows fit; in these, data and model do not belong together."
        supplied = "the rating column" if self.explicit else "the rating (--rating) and alpha"
        return (
            f"Nearly no row fits: look at {supplied}, the regularization, the id maps and whether "
            "these are the data as trained on (all of them, before anything was removed)."
        )

    # ------------------------------------------------------------------ forgetting

    def forget(self, erasing: ForeignErasing) -> ForeignOutcome:
        """Accelerated exact passes; for factors that fill the memory, plain ones in place."""
        if erasing.foreign.nbytes > IN_PLACE:
            return self._in_place(erasing)
        dtype = erasing.foreign.users.dtype
        rank = erasing.foreign.shape[2]
        original = Factors(
            np.array(erasing.foreign.users), np.array(erasing.foreign.items), np.ones(rank, dtype)
        )
        shift = Shift.of(
            erasing.deletion,
            original,
            lambda data: self.problem(data, dtype),
            threads=erasing.threads,
        )
        after = shift.after
        floor = shift.start.floor
        solver, outcome = "joint", None
        if floor is None or floor > NEAR:  # joint steps are of little use that far from an optimum
            solver = "ah-newton"
            outcome = AltEraser(erasing.tolerance, erasing.max_passes, solver=solver).erase(
                shift, erasing.on_pass
            )
        if outcome is None or outcome.converged:  # near one: as our own models, to a certificate
            outcome = self._to_rest(erasing, shift, outcome)
        threads = erasing.threads or default_threads()
        P, Q = padded(outcome.factors.users), padded(outcome.factors.items)
        swept = self._last_half_step(after, P, Q, rank, threads)
        norm, objective = gradient_norm(after, P, Q, rank=rank, threads=threads)
        residual = norm / (shift.push or 1.0)
        return ForeignOutcome(
            np.ascontiguousarray(P[:, :rank]),
            np.ascontiguousarray(Q[:, :rank]),
            residual=residual,
            converged=residual <= erasing.tolerance,
            passes=outcome.passes,
            products=outcome.products,
            rows_updated=outcome.rows_updated + swept,
            reason=outcome.reason,
            route=outcome.route,
            solver=solver,
            push=shift.push,
            training_floor=floor,
            objective_before=shift.start.objective,
            objective_after=objective,
            trace=outcome.trace,
        )

    def _to_rest(self, erasing: ForeignErasing, shift: Shift, earlier: Outcome | None) -> Outcome:
        """Joint steps to the limits of class C, from where ``earlier`` ended or from the
        original.
        """
        tolerance, limits = min(erasing.tolerance, DEFAULT.residual), DEFAULT
        done = 0 if earlier is None else earlier.passes
        if erasing.max_passes <= done and earlier is not None:
            return earlier
        settings = Settings(
            JointNewton(),
            tolerance,
            max(erasing.max_passes - done, 1),
            threads=shift.workers,
            limits=limits if self.objective.regularization > 0 else None,
        )
        start = shift.original if earlier is None else earlier.factors
        found = run_passes(
            shift.after,
            start,
            settings,
            scale=shift.push,
            origin=shift.original,
            on_pass=erasing.on_pass,
        )
        if earlier is None:
            return found
        return replace(
            found,
            passes=done + found.passes,
            products=earlier.products + found.products,
            rows_updated=earlier.rows_updated + found.rows_updated,
            trace=earlier.trace + found.trace,
            route=(*earlier.route, *found.route),
        )

    # ------------------------------------------------------------------ only the deletion's effect

    def rests(self, erasing: ForeignErasing) -> bool:
        """True when training has left no more of its gradient than the tolerance allows of the
        deletion's push.

        Rows of conjugate gradients rule that out at once: their relative residuals show how far
        training went.
        """
        foreign, threads = erasing.foreign, erasing.threads or default_threads()
        before = self.problem(erasing.before, foreign.users.dtype)
        for name in ("user", "item"):
            residuals = self._residuals(before, foreign, name, threads)
            if _quantiles(residuals)[0] > AT_REST:
                return False
        after = self.problem(erasing.after, foreign.users.dtype)
        original = Factors(
            np.array(foreign.users),
            np.array(foreign.items),
            np.ones(foreign.shape[2], before.dtype),
        )
        floor = push(before, after, original, threads=threads).floor
        return floor is not None and floor <= erasing.tolerance

    def pass_seconds(
        self, foreign: Foreign, data: Interactions, *, threads: int = 0
    ) -> float | None:
        """A pass of three conjugate-gradient steps a row, from every SAMPLE-th row of either
        side.
        """
        problem, threads = self.problem(data, foreign.users.dtype), threads or default_threads()
        solver, total = ConjugateGradient(3), 0.0
        for side, x, other in (
            (problem.users, foreign.users, foreign.items),
            (problem.items, foreign.items, foreign.users),
        ):
            rows = side.all_rows[::SAMPLE]
            if not rows.size:
                continue
            some, moved, seen = (
                side.take(rows),
                padded_copy(np.asarray(x)[rows]),
                padded_copy(other),
            )
            # kernels are loaded
            solver.solve(some, seen, moved, rows[:0], rank=foreign.shape[2], threads=threads)
            began = time.perf_counter()
            solver.solve(some, seen, moved, None, rank=foreign.shape[2], threads=threads)
            total += (time.perf_counter() - began) * side.rows / rows.size
        return total

    def local(self, erasing: ForeignErasing) -> ForeignOutcome:
        """Anchored passes by the steps that its trainer takes; see
        ``alteraser.erasers.filtered``.
        """
        foreign, dtype = erasing.foreign, erasing.foreign.users.dtype
        P, Q = padded_copy(foreign.users), padded_copy(foreign.items)
        rank = foreign.shape[2]
        found = forget_filtered(
            self.problem(erasing.before, dtype),
            self.problem(erasing.after, dtype),
            (foreign.users, foreign.items),
            P,
            Q,
            touched=(Shift.rows(erasing.removed.user_rows), Shift.rows(erasing.removed.indices)),
            reweighted=erasing.deletion.reweighted,
            trainer=Trainer(
                last="user" if self.exact == "user" else "item", exact=self._left_exact
            ),
            tolerance=erasing.tolerance,
            threads=erasing.threads,
            on_pass=erasing.on_pass,
            max_passes=erasing.max_passes
            if erasing.tolerance < THOROUGH
            else min(erasing.max_passes, LOCAL_PASSES),
        )
        return ForeignOutcome(
            np.ascontiguousarray(P[:, :rank]),
            np.ascontiguousarray(Q[:, :rank]),
            method=found.method,
            residual=found.residual,
            converged=found.resolved,
            passes=found.passes,
            products=found.products,
            rows_updated=found.rows_updated,
            reason=found.reason,
            route=(found.method,),
            solver="cg",
            push=found.push,
            objective_before=found.objective_before,
            objective_after=found.objective,
            trace=found.trace,
            left=found.left,
        )

    def effect_left(self, erasing: ForeignErasing, erased: ForeignOutcome) -> float | None:
        """See ``Loss.effect_left``; None for factors that fill the memory as well."""
        foreign, dtype = erasing.foreign, erasing.foreign.users.dtype
        if foreign.nbytes > IN_PLACE:
            return None
        original, new = (
            (padded_copy(users), padded_copy(items))
            for users, items in ((foreign.users, foreign.items), (erased.users, erased.items))
        )
        with threadpool_limits(1):
            return effect_left(
                self.problem(erasing.before, dtype),
                self.problem(erasing.after, dtype),
                original,
                new,
                rank=foreign.shape[2],
                threads=erasing.threads or default_threads(),
                left=erased.left,
            )

    def _last_half_step(self, problem: Problem, P: Array, Q: Array, rank: int, threads: int) -> int:
        """Leave the side that the trainer leaves exact exact, so that the result passes the check
        of its kind.
        """
        side, x, other = (problem.users, P, Q) if self.exact == "user" else (problem.items, Q, P)
        return AHNewton().solve(side, other, x, None, rank=rank, threads=threads).rows

    def _in_place(self, erasing: ForeignErasing) -> ForeignOutcome:
        foreign, dtype = erasing.foreign, erasing.foreign.users.dtype
        P, Q = padded_copy(foreign.users), padded_copy(foreign.items)
        rank = foreign.shape[2]
        found = forget_in_place(
            self.problem(erasing.before, dtype),
            self.problem(erasing.after, dtype),
            P,
            Q,
            rank=rank,
            touched=(Shift.rows(erasing.removed.user_rows), Shift.rows(erasing.removed.indices)),
            tolerance=erasing.tolerance,
            max_passes=erasing.max_passes,
            last="user" if self.exact == "user" else "item",
            threads=erasing.threads,
            on_pass=erasing.on_pass,
        )
        return ForeignOutcome(
            P[:, :rank],
            Q[:, :rank],
            residual=found.residual,
            converged=found.residual <= erasing.tolerance,
            passes=found.passes,
            rows_updated=found.rows_updated,
            reason=found.reason,
            route=("passes",),
            solver="ah-newton",
            push=found.push,
            training_floor=found.training_floor,
            objective_before=found.objective_before,
            objective_after=found.objective,
            trace=found.trace,
        )


def _quantiles(residuals: npt.NDArray[np.float64], judged: float = 1.0) -> tuple[float, float]:
    """Median, and the largest but for the share that is not ``judged``, of those that are
    numbers.
    """
    some = residuals[~np.isnan(residuals)]
    low, high = np.quantile(some, (0.5, judged)) if some.size else (0.0, 0.0)
    return float(low), float(high)


def _out_of_place(x: Array, counts: Array, lingering: float) -> npt.NDArray[np.int64]:
    """Rows that are zero where there are interactions, or have a vector longer than ``lingering``
    where there are none.
    """
    found = []
    for start, stop in blocks_of(x):
        some, live = x[start:stop], counts[start:stop] > 0
        odd = np.where(live, ~np.any(some != 0, axis=1), longer(some, lingering))
        found.append(start + np.flatnonzero(odd))
        release(x)
    return np.concatenate(found).astype(np.int64) if found else np.empty(0, np.int64)


def longer(x: Array, length: float) -> npt.NDArray[np.bool_]:
    """Which rows are longer than ``length``; with 0 those that hold anything at all."""
    if length == 0:
        return np.asarray(np.any(x != 0, axis=1))
    return np.asarray(np.linalg.norm(x.astype(np.float64), axis=1) > length)
