"""Passes for losses whose rows are not quadratic: BPR, logistic, biased squares.

The same method as ``driver`` (Liu et al., RecSys 2022, Algorithm 1): the touched rows first, then users and items in
turn, extrapolated, until the residual is within the tolerance. It is a loop of its own because nothing that makes the
other one fast holds here: no Gram matrix stands for the missing cells, a row is several Newton steps, items of BPR see
each other, and the two sides of a logistic model may have no loss in common.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from alteraser.erasers.driver import OnPass, PassRecord, Reason
from alteraser.errors import Interrupted
from alteraser.linalg.anderson import Anderson
from alteraser.models.factorization.biased import BiasedFactors
from alteraser.models.factorization.rowloss import Logistic
from alteraser.models.factorization.terms import RowProblem, Terms
from alteraser.runtime.workers import default_threads
from alteraser.solvers.rows.protocol import RowReport, padded
from alteraser.solvers.rows.terms import TO_THE_END, Hold, Slopes, ridge, slope_norm, slopes, solve_terms, unrest

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]

ROUNDING = 1e-12
"""Share of the loss by which an extrapolated point may be worse and still be taken for as good."""


@dataclass(frozen=True)
class RowPush:
    """What a deletion does to a model's gradient, before anything is updated; see ``stationarity.Push``."""

    norm: float
    """‖∇L_after(Θ) − ∇L_before(Θ)‖_{H⁻¹}, H of ``after``"""
    objective: float
    """L_after(Θ)"""
    floor: float
    """‖∇L_before(Θ)‖_{H⁻¹} / norm: what training left; above 1 for most models that stopped early."""


@dataclass(frozen=True)
class Alternated:
    """What the passes arrived at, measured on the factors it holds."""

    factors: BiasedFactors
    trace: tuple[PassRecord, ...]
    objective: float
    residual: float
    """‖∇L(Θ)‖_{H⁻¹} over the scale of the run."""
    converged: bool
    passes: int
    rows_updated: int
    reason: Reason


def row_push(before: RowProblem, after: RowProblem, factors: BiasedFactors, *, threads: int = 0) -> RowPush:
    """How hard a deletion pushes the model (Liu et al., RecSys 2022, Eq. 6); both problems of one seed."""
    threads = threads or default_threads()
    first, second = (slopes(problem, factors, threads=threads) for problem in (before, after))
    norm = slope_norm(after, factors, second.users - first.users, second.items - first.items, threads=threads)
    rest = unrest(before, factors, first, threads=threads)
    return RowPush(norm, second.objective, rest / norm if norm > 0 else 0.0)


def alternate(
    problem: RowProblem,
    start: BiasedFactors,
    *,
    scale: float,
    tolerance: float,
    max_passes: int,
    memory: int = 6,
    touched: tuple[Array, Array] | None = None,
    steps: int = 1,
    threads: int = 0,
    on_pass: OnPass | None = None,
) -> Alternated:
    """Passes from ``start`` until ‖∇L‖_{H⁻¹} ≤ tolerance · scale, or the cap; ``start`` is never changed.

    ``touched`` = (user rows, item rows) are updated alone first; ``steps`` bounds the Newton steps of a row in one
    sweep, but for the last one; ``memory`` is Anderson's, 0 for plain passes. Raises
    NumericFailure for a row without a solution and Interrupted on Ctrl-C.
    """
    start.check_finite()
    with threadpool_limits(1):
        try:
            loop = _Loop(problem, start, scale, tolerance, max_passes, memory, steps, threads or default_threads())
            return loop.run(touched, on_pass)
        except KeyboardInterrupt:
            raise Interrupted("interrupted; nothing was changed") from None


class _Loop:
    def __init__(
        self, problem: RowProblem, start: BiasedFactors, scale: float, tolerance: float, max_passes: int, memory: int,
        steps: int, threads: int,
    ) -> None:  # fmt: skip
        self.problem, self.scale, self.tolerance, self.max_passes = problem, scale or 1.0, tolerance, max_passes
        self.steps, self.threads = steps, threads
        self.P, self.Q = (padded(x) for x in problem.layout.pack(start))
        self.rows = 0
        self.trace: list[PassRecord] = []
        # where the sides have no common loss there is nothing that tells a good extrapolation from a bad one
        self.history = Anderson(memory, problem.items.counts + 1.0) if memory and problem.shared else None

    def run(self, touched: tuple[Array, Array] | None, on_pass: OnPass | None) -> Alternated:
        began = time.perf_counter()
        first = touched is not None and self.max_passes > 0
        if touched is not None and first:
            self._sweep("user", touched[0])
            self._sweep("item", touched[1])
        residual, objective = self._measure()
        if first:
            self._record("touched", began, objective, residual, False, on_pass, self.rows)
        plain: Array | None = None
        best, promising = np.inf, self.tolerance
        while residual > self.tolerance and len(self.trace) < self.max_passes:
            began, rows = time.perf_counter(), self.rows
            reached = self._users()
            if plain is not None and self.history is not None and reached > best + ROUNDING * abs(best):
                self.Q[:] = plain
                plain = None
                self.history.restart()
                reached = self._users()
            best = min(best, reached)
            previous = self.Q.copy()
            estimate = float(np.sqrt(max(self._sweep("item").decrement, 0.0))) / self.scale
            self._record("all", began, reached, estimate, plain is not None, on_pass, self.rows - rows)
            plain = None
            last = len(self.trace) >= self.max_passes
            if estimate <= promising or last or not self.problem.shared:
                self._sweep("user", steps=TO_THE_END)
                residual, objective = self._measure()
                promising = estimate * min(0.5, self.tolerance / residual) if residual > 0 else promising
            if residual > self.tolerance and not last and self.history is not None:
                following = self.history.extrapolate(previous, self.Q)
                if following is not None:
                    plain = self.Q.copy()
                    self.Q[:] = following
        converged = residual <= self.tolerance
        return Alternated(
            self._factors(), tuple(self.trace), objective, residual, converged, len(self.trace), self.rows,
            "tolerance" if converged else "passes",
        )  # fmt: skip

    def _users(self) -> float:
        """Sweep the users; L there, from the sweep's own sums."""
        return float(self._sweep("user").value) + ridge(self.problem.items, self.Q)

    def _sweep(self, name: str, rows: Array | None = None, *, steps: int = 0) -> RowReport:
        user = name == "user"
        terms = self.problem.users if user else self.problem.items
        other, x = (self.Q, self.P) if user else (self.P, self.Q)
        report = solve_terms(terms, other, x, rows, steps=steps or self.steps, threads=self.threads)
        self.rows += report.rows
        return report

    def _record(
        self, scope: Any, began: float, objective: float, residual: float | None, extrapolated: bool,
        on_pass: OnPass | None, rows: int,
    ) -> None:  # fmt: skip
        seconds = time.perf_counter() - began
        record = PassRecord(len(self.trace) + 1, scope, objective, residual, seconds, rows, extrapolated)
        self.trace.append(record)
        if on_pass:
            on_pass(record)

    def _measure(self) -> tuple[float, float]:
        return measured(self.problem, self._factors(), self.scale, self.threads)

    def _factors(self) -> BiasedFactors:
        width = self.problem.layout.width
        return self.problem.layout.unpack(self.P[:, :width], self.Q[:, :width])


def measured(problem: RowProblem, factors: BiasedFactors, scale: float, threads: int = 0) -> tuple[float, float]:
    """(‖∇L‖_{H⁻¹} / scale, L) of ``factors`` as they are stored."""
    threads = threads or default_threads()
    here = slopes(problem, factors, threads=threads)
    return unrest(problem, factors, here, threads=threads) / (scale or 1.0), here.objective


# ---------------------------------------------------------------- the effect of a deletion alone

STEPS = 5
"""Newton steps of a held row; squares need one, and the others no more than these."""

DOUBTFUL = 0.3
"""Residual above which the states before are measured as well, and the best is taken: a row's loss is convex, that of
both sides is not, and where training had not arrived passes may lead away."""

LEAST = 1e-1
"""Damping at least, over the mean curvature of an average row, where a loss has no ridge: rows are definite then."""

HEAVY = 1e-3
"""The same where terms weigh as much as the data say: no step moves a row as far as a play count of thousands asks."""

STOPPED = 4.0
"""Damping over the ridge that early stopping stands in for, where nobody says how far training went: the ridge is that
of directions in which training arrived, and most of a row's have not."""


@dataclass(frozen=True)
class Responded:
    """A model with a deletion's effect in it, measured on the factors it holds."""

    factors: BiasedFactors
    residual: float
    """‖∇L_after(Θ_u) − ∇L_before(Θ_a) + μ(Θ_u − Θ_a)‖ over the push; the anchors of rows with nothing left are 0."""
    push: float
    """‖∇L_after(Θ_a) − ∇L_before(Θ_a)‖, in the norm of (H + μ)⁻¹."""
    objective_before: float
    """L_after(Θ_a)"""
    objective_after: float
    passes: int
    rows_updated: int
    method: Literal["local", "rows"]
    """``rows``: no more than the users' rows of the deletion were taken."""
    trace: tuple[PassRecord, ...]


def damping_of(
    before: RowProblem, factors: BiasedFactors, here: Slopes, steps: float | None
) -> tuple[Float64, Float64]:
    """μ of every row of either side, by how far training went; shapes (m,) and (n,).

    Gradient steps of η over E epochs cover (1 − (1 − η h)^E) / h ≈ 1 / (h + 1/(η E)) of the way along a direction of
    curvature h: the response of a trainer that stopped is that of a row damped by μ = 1/(η E), ``steps`` = η E. Where
    it is not known, what training left tells: a row that came from zero and stopped has ∇ ≈ −μ x.
    """
    P, Q = before.layout.pack(factors)
    found = []
    for terms, gradient, x, other in (
        (before.users, here.users, P, Q), (before.items, here.items, Q, P)
    ):  # fmt: skip
        own = x[:, terms.free]
        square = float(np.vdot(own, own))
        left = -float(np.vdot(gradient[:, terms.free], own)) / square if square > 0 else 0.0
        found.append((1.0 / steps if steps else STOPPED * left, _curvature(terms, other)))
    common = max(0.0, *(mu for mu, _ in found))
    least = LEAST
    if before.loss.ridge.positive:
        least = HEAVY if isinstance(before.loss, Logistic) and before.loss.weighted else 0.0
    first, second = (
        np.full(terms.rows, max(common, least * curvature))
        for terms, (_, curvature) in zip((before.users, before.items), found, strict=True)
    )
    return first, second


def _curvature(terms: Terms, other: Array) -> float:
    """About the mean of H's diagonal: weight of an average row times mean square of the other side's entries."""
    weight = float(terms.weight.sum()) if terms.weight.size else float(terms.plus.size)
    mean = (
        weight / max(int(np.count_nonzero(terms.counts)), 1) * float(np.mean(np.square(other))) if other.size else 0.0
    )
    return mean if terms.squares else mean / 4


def respond(
    before: RowProblem,
    after: RowProblem,
    original: BiasedFactors,
    *,
    steps: float | None,
    passes: int,
    touched: tuple[Array, Array],
    users: tuple[RowProblem, RowProblem] | None = None,
    shares: bool = False,
    threads: int = 0,
    on_pass: OnPass | None = None,
) -> Responded:
    """Put the deletion's effect into ``original``; what training had left of its gradient stays.

    A row minimizes f_{D_r}(x) − ∇f_{D_a}(x_a)·x + ½ μ ‖x − x_a‖², see ``damping_of`` for μ: nothing moves where
    nothing was deleted. The users of ``touched`` are solved so, its items, and then all rows in as many ``passes``;
    rows that have nothing left are zero. If that leads away, what came before is returned. With ``users``, the loss
    before and after on the interactions of the touched users, no row is solved but theirs, on that. With ``shares`` a
    row that lost interactions keeps of what training left the share that it keeps of them. Raises NumericFailure for a
    row without a solution, Interrupted on Ctrl-C.
    """
    original.check_finite()
    with threadpool_limits(1):
        try:
            loop = _Response(
                before, after, original, steps, touched, users, shares, threads or default_threads(), on_pass
            )
            return loop.run(passes)
        except KeyboardInterrupt:
            raise Interrupted("interrupted; nothing was changed") from None


class _Response:
    def __init__(
        self, before: RowProblem, after: RowProblem, original: BiasedFactors, steps: float | None,
        touched: tuple[Array, Array], users: tuple[RowProblem, RowProblem] | None, shares: bool, threads: int,
        on_pass: OnPass | None,
    ) -> None:  # fmt: skip
        self.after, self.original, self.threads, self.on_pass = after, original, threads, on_pass
        self.alone = users is not None
        held, here = (slopes(problem, original, threads=threads) for problem in (before, after))
        self.damping = damping_of(before, original, held, steps)
        self.push = self._norm(original, here.users - held.users, here.items - held.items)
        self.objective = here.objective
        self.start = after.layout.pack(original)
        self.P, self.Q = (padded(x) for x in self.start)
        self.sides, gradients = [after.users, after.items], [held.users, held.items]
        if users is not None:
            self.sides[0] = users[1].users
            gradients[0] = slopes(users[0], original, threads=threads).users
        old, new = before.interactions, after.interactions
        counts = ((old.user_counts, new.user_counts), (old.item_counts, new.item_counts))
        self.anchors, self.holds = [], list[Hold]()
        self.rows, self.gone = list[Array](), list[Array]()
        for side, (terms, mine, (had, has)) in enumerate(zip(self.sides, touched, counts, strict=True)):
            rows = np.asarray(mine, np.int64)
            self.gone.append(rows[(terms.counts[rows] == 0) & (has[rows] == 0)])
            self.rows.append(rows[terms.counts[rows] > 0])
            anchors = [self._anchor((held.users, held.items)[side], side, had, has, shares)]
            self.anchors.append(anchors[0])
            if gradients[side] is not (held.users, held.items)[side]:
                anchors.append(self._anchor(gradients[side], side, had, has, shares))
            mu = self.damping[side]
            linear = (anchors[-1] + mu[:, None] * self.start[side]) * terms.free
            self.holds.append(Hold(mu, linear))
        self.updated, self.trace = 0, list[PassRecord]()

    def _anchor(self, gradient: Float64, side: int, had: Array, has: Array, shares: bool) -> Float64:
        anchor, rows = gradient.copy(), self.rows[side]
        anchor[self.gone[side]] = 0.0
        if shares:
            anchor[rows] *= (has[rows] / had[rows])[:, None]
        return anchor

    def run(self, passes: int) -> Responded:
        began = time.perf_counter()
        for side, x in enumerate((self.P, self.Q)):
            x[np.ix_(self.gone[side], np.flatnonzero(self.sides[side].free))] = 0.0
            self.start[side][np.ix_(self.gone[side], np.flatnonzero(self.sides[side].free))] = 0.0
        self._sweep(0, self.rows[0])
        earlier = list[tuple[Array, Array, Literal["local", "rows"]]]()
        if not self.alone:
            earlier.append((self.P.copy(), self.Q.copy(), "rows"))
            self._sweep(1, self.rows[1])
        self._record("touched", began, self.updated)
        for _ in range(0 if self.alone else passes):
            earlier.append((self.P.copy(), self.Q.copy(), "local"))
            began, rows = time.perf_counter(), self.updated
            for side in (0, 1):
                self._sweep(side, np.flatnonzero(self.sides[side].counts > 0))
            self._record("all", began, self.updated - rows)
        best = self._measured("rows" if self.alone else "local")
        while earlier and best.residual > DOUBTFUL:
            self.P, self.Q, method = earlier.pop()
            best = min(best, self._measured(method), key=lambda each: each.residual)
        return best

    def _sweep(self, side: int, rows: Array) -> None:
        if not rows.size:
            return
        x, other = (self.P, self.Q) if side == 0 else (self.Q, self.P)
        terms, hold = self.sides[side], self.holds[side]
        solve_terms(terms, other, x, rows, steps=1 if terms.squares else STEPS, threads=self.threads, hold=hold)
        self.updated += int(rows.size)

    def _record(self, scope: Any, began: float, rows: int) -> None:
        record = PassRecord(len(self.trace) + 1, scope, self.objective, None, time.perf_counter() - began, rows, False)
        self.trace.append(record)
        if self.on_pass:
            self.on_pass(record)

    def _measured(self, method: Literal["local", "rows"]) -> Responded:
        width = self.after.layout.width
        stored = self.after.layout.unpack(self.P[:, :width], self.Q[:, :width]).like(self.original)
        here = slopes(self.after, stored, threads=self.threads)
        packed = self.after.layout.pack(stored)
        users, items = (
            gradient - anchor + mu[:, None] * (now - then)
            for gradient, anchor, mu, now, then in zip(
                (here.users, here.items), self.anchors, self.damping, packed, self.start, strict=True
            )
        )
        left = self._norm(stored, users, items)
        return Responded(
            stored, left / self.push if self.push else 0.0, self.push, self.objective, here.objective,
            len(self.trace), self.updated, method, tuple(self.trace),
        )  # fmt: skip

    def _norm(self, factors: BiasedFactors, users: Float64, items: Float64) -> float:
        return slope_norm(self.after, factors, users, items, threads=self.threads, damping=self.damping)
