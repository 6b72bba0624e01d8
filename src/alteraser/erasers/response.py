"""The effect of a deletion alone, in losses whose rows are not quadratic: what training had left
stays.

A row minimizes f_{D_r}(x) − ∇f_{D_a}(x_a)·x + ½ μ ‖x − x_a‖²: nothing moves where nothing was
deleted. The rows of the deletion first, then all; where that leads away, what came before is
returned.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from alteraser.models.factorization.biased import BiasedFactors
from alteraser.models.factorization.rowloss import Logistic
from alteraser.models.factorization.terms import RowProblem, Terms
from alteraser.runtime.workers import default_threads
from alteraser.solvers.loop import AGAIN, Move, Phase, Plan, Until, minimize
from alteraser.solvers.rows.protocol import padded
from alteraser.solvers.rows.terms import Hold, Slopes, slope_norm, slopes, solve_terms
from alteraser.solvers.trace import OnPass, PassRecord

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]

STEPS = 5
"""Newton steps of a held row; squares need one, and the others no more than these."""

DOUBTFUL = 0.3
"""Residual above which the states before are measured as well, and the best is taken: a row's loss
is convex, that of both sides is not, and where training had not arrived passes may lead away."""

LEAST = 1e-1
"""Damping at least, over the mean curvature of an average row, where a loss has no ridge: rows are
definite then."""

HEAVY = 1e-3
"""The same where terms weigh as much as the data say: no step moves a row as far as a play count of
thousands asks."""

STOPPED = 4.0
"""Damping over the ridge that early stopping stands in for, where nobody says how far training
went: the ridge is that of directions in which training arrived, and most of a row's have not."""


@dataclass(frozen=True)
class Responded:
    """A model with a deletion's effect in it, measured on the factors it holds."""

    factors: BiasedFactors
    residual: float
    """‖∇L_after(Θ_u) − ∇L_before(Θ_a) + μ(Θ_u − Θ_a)‖ over the push; the anchors of rows with
    nothing left are 0."""
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

    Gradient steps of η over E epochs cover (1 − (1 − η h)^E) / h ≈ 1 / (h + 1/(η E)) of the way
    along a direction of curvature h: the response of a trainer that stopped is that of a row damped
    by μ = 1/(η E), ``steps`` = η E. Where it is not known, what training left tells: a row that
    came from zero and stopped has ∇ ≈ −μ x.
    """
    P, Q = before.layout.pack(factors)
    found = []
    for terms, gradient, x, other in (
        (before.users, here.users, P, Q),
        (before.items, here.items, Q, P),
    ):
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
    """About the mean of H's diagonal: weight of an average row times mean square of the other
    side's entries.
    """
    weight = float(terms.weight.sum()) if terms.weight.size else float(terms.plus.size)
    mean = (
        weight / max(int(np.count_nonzero(terms.counts)), 1) * float(np.mean(np.square(other)))
        if other.size
        else 0.0
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

    A row minimizes f_{D_r}(x) − ∇f_{D_a}(x_a)·x + ½ μ ‖x − x_a‖², see ``damping_of`` for μ: nothing
    moves where nothing was deleted. The users of ``touched`` are solved so, its items, and then all
    rows in as many ``passes``; rows that have nothing left are zero. If that leads away, what came
    before is returned. With ``users``, the loss before and after on the interactions of the touched
    users, no row is solved but theirs, on that. With ``shares`` a row that lost interactions keeps
    of what training left the share that it keeps of them. Raises NumericFailure for a row without a
    solution, Interrupted on Ctrl-C.
    """
    until = Until(0.0, 1 + (0 if users is not None else passes))

    def begin() -> tuple[_Response, Plan[_Response]]:
        state = _Response(
            before, after, original, steps, touched, users, shares, threads or default_threads()
        )
        phases: dict[str, Phase[_Response]] = {"touched": _Touched(), "passes": _Passes()}
        return state, Plan("touched", phases, {("touched", "done"): "passes"})

    found = minimize(begin, until, on_pass=on_pass)
    return found.state.best(found.trace)


class _Touched:
    """The rows of the deletion. Signals: ``done``."""

    def move(self, state: _Response) -> Move:
        """Users and, where more than theirs is to move, items."""
        state.empty()
        state.sweep(0, state.rows[0])
        if not state.alone:
            state.keep("rows")
            state.sweep(1, state.rows[1])
        return Move(PassRecord.of("touched", state.objective, None, state.updated))

    def judge(self, state: _Response) -> str:
        """Whatever it has come to."""
        return "done"


class _Passes:
    """All rows that have something left."""

    def move(self, state: _Response) -> Move:
        """One pass."""
        state.keep("local")
        rows = state.updated
        for side in (0, 1):
            state.sweep(side, np.flatnonzero(state.sides[side].counts > 0))
        return Move(PassRecord.of("all", state.objective, None, state.updated - rows))

    def judge(self, state: _Response) -> str:
        """On, for as many as were asked for."""
        return AGAIN


class _Response:
    """The held rows: both sides' factors, what holds them, and what they were before each pass."""

    def __init__(
        self,
        before: RowProblem,
        after: RowProblem,
        original: BiasedFactors,
        steps: float | None,
        touched: tuple[Array, Array],
        users: tuple[RowProblem, RowProblem] | None,
        shares: bool,
        threads: int,
    ) -> None:
        original.check_finite()
        self.after, self.original, self.threads = after, original, threads
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
        for side, (terms, mine, (had, has)) in enumerate(
            zip(self.sides, touched, counts, strict=True)
        ):
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
        self.updated = 0
        self._earlier = list[tuple[Array, Array, Literal["local", "rows"]]]()

    def _anchor(
        self, gradient: Float64, side: int, had: Array, has: Array, shares: bool
    ) -> Float64:
        anchor, rows = gradient.copy(), self.rows[side]
        anchor[self.gone[side]] = 0.0
        if shares:
            anchor[rows] *= (has[rows] / had[rows])[:, None]
        return anchor

    def factors(self) -> BiasedFactors:
        """See ``solvers.loop.State``."""
        width = self.after.layout.width
        return self.after.layout.unpack(self.P[:, :width], self.Q[:, :width]).like(self.original)

    def empty(self) -> None:
        """Rows that have nothing left are zero, and were so before."""
        for side, x in enumerate((self.P, self.Q)):
            x[np.ix_(self.gone[side], np.flatnonzero(self.sides[side].free))] = 0.0
            self.start[side][np.ix_(self.gone[side], np.flatnonzero(self.sides[side].free))] = 0.0

    def keep(self, method: Literal["local", "rows"]) -> None:
        """Remember where it is, to go back to."""
        self._earlier.append((self.P.copy(), self.Q.copy(), method))

    def finish(self) -> tuple[float, float]:
        """See ``solvers.loop.State``: where it is or, where that led away, the best of where it
        was.
        """
        self._best = self._measured("rows" if self.alone else "local")
        while self._earlier and self._best.residual > DOUBTFUL:
            self.P, self.Q, method = self._earlier.pop()
            self._best = min(self._best, self._measured(method), key=lambda each: each.residual)
        return self._best.residual, self._best.objective_after

    def best(self, trace: tuple[PassRecord, ...]) -> Responded:
        """What ``finish`` has found, and how it came there."""
        return replace(self._best, trace=trace, passes=len(trace))

    def sweep(self, side: int, rows: Array) -> None:
        if not rows.size:
            return
        x, other = (self.P, self.Q) if side == 0 else (self.Q, self.P)
        terms, hold = self.sides[side], self.holds[side]
        solve_terms(
            terms,
            other,
            x,
            rows,
            steps=1 if terms.squares else STEPS,
            threads=self.threads,
            hold=hold,
        )
        self.updated += int(rows.size)

    def _measured(self, method: Literal["local", "rows"]) -> Responded:
        stored = self.factors()
        here = slopes(self.after, stored, threads=self.threads)
        packed = self.after.layout.pack(stored)
        users, items = (
            gradient - anchor + mu[:, None] * (now - then)
            for gradient, anchor, mu, now, then in zip(
                (here.users, here.items),
                self.anchors,
                self.damping,
                packed,
                self.start,
                strict=True,
            )
        )
        left = self._norm(stored, users, items)
        return Responded(
            stored,
            left / self.push if self.push else 0.0,
            self.push,
            self.objective,
            here.objective,
            0,
            self.updated,
            method,
            (),
        )

    def _norm(self, factors: BiasedFactors, users: Float64, items: Float64) -> float:
        return slope_norm(
            self.after, factors, users, items, threads=self.threads, damping=self.damping
        )
