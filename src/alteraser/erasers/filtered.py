"""The deletion's effect alone, in models that were stopped early: anchored passes through the trainer's own filter.

A model that fifteen iterations of three conjugate-gradient steps left is no optimum: in directions of little curvature
its training had hardly begun. What training left there, g = ∇L_{D_a}(Θ_a)/2, is to stay. So every row solves

    A_u p = b_u + g_u          A_u, b_u of the remaining data at the present other side

and only by as many steps of conjugate gradients, from where it is, as the trainer takes (*anchored* passes). Solved
exactly, these rows would multiply what training had left by A⁻¹ of a matrix that has changed: measured on play counts,
exact anchored passes blow up after three to ten, while three steps, which move weak directions as little as the trainer
did, do not, and bring everybody's lists nearer to a retrain with the same seed. The rows of the deletion come first.

The anchor of a user who lost a share of their data is that of the share that remains, to the fourth power: what
training had left in a row of which half is gone says little about the row that is left.

Where the anchored residual does not fall (weights over many orders of magnitude), passes lead away from the retrain;
then the rows of the deletion alone are changed, by what the same steps do on the remaining data and not on all, if that
leaves less of the anchored gradient.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from alteraser.erasers.driver import OnPass, PassRecord, Scope
from alteraser.erasers.in_place import ridge_of
from alteraser.errors import Interrupted
from alteraser.models import Problem, Side
from alteraser.models.factorization.problem import Seeing
from alteraser.runtime.workers import default_threads
from alteraser.solvers.anchors import storing_noise
from alteraser.solvers.residuals import ROWS_AT_A_TIME, half_gradients, row_gradients
from alteraser.solvers.row_norms import RowNorms
from alteraser.solvers.rows.ah_newton import AHNewton
from alteraser.solvers.rows.cg import ConjugateGradient
from alteraser.solvers.rows.protocol import padded
from alteraser.solvers.stationarity import block_solve
from alteraser.tolerances import checked_tolerance

Array = npt.NDArray[Any]
Rows = npt.NDArray[np.int64]

SETTLED = 1e-6
"""‖r‖/‖b‖ of a row that is left alone: steps below that would only move rounding along weak directions."""

FADING = 0.9
"""A pass that does not do less than this share of what the pass before did is the last but one: what is left then moves
along directions that the trainer's steps hardly see."""

NEGLIGIBLE = 0.3
"""Share of the tolerance, in units of the push, that a pass has to do for another one to follow."""

SMALL = 2e-3
"""Share of all interactions up to which a deletion is small. A pass costs the same whatever was deleted, and what it
would still bring to others is little then: passes end once one does no more than the tolerance, unless the residual
turns out to be above it."""

SLACK = 0.05
"""How far above the original's, which is 1, the anchored residual of the rows alone may be: along weak directions the
trainer's steps leave more of a changed row than they found, and still bring it nearer to its retrain."""

FEW = 0.1
"""Share of all interactions up to which rows count as few."""

NEARBY = 10
"""Passes over few rows, at most."""

THOROUGH = 0.1
"""Tolerance below which passes go on for as long as each does less than the one before."""

ASKERS = 0.95
"""Of the deletion's push in the row of a user who asked, so much may be left, or of half of their mean push where
theirs is less. Where such a row was left as it was it is 1 and more; honest runs stay below 0.7."""

HALF = 0.5
"""Share of what the deletion pushes a user's row that may be taken away of their anchor, both in the norm of B⁻¹, in
which the row is judged."""

MORE = 3
"""Times the trainer's steps that rows of the deletion take: what is gone from them goes at once, not by and by."""

SHARED = 4
"""Power of the remaining share of a user's weight that their anchor is multiplied by."""

WORTH = 0.3
"""Anchored residual above which it is asked whether passes have helped: of them and of the rows of the deletion alone,
what leaves less is kept. On play counts and Frappe, weights of ten kinds, passes left 0.05 to 0.25 and brought others'
lists nearer to the retrain than the rows alone did, or 1.1 to 4.8 and led away from it, where the rows alone never
did."""

SHARES = (1.0, 0.5, 0.25)
"""Of what the deletion makes of the trainer's steps, so much is taken in the rows of the deletion: the first that does
not lead further away than SLACK allows, or the last."""

ESTIMATED = 0.03
"""Share of the push up to which rows with little left are counted by a bound instead of being factored."""

BOUNDED, HALVED = 0.1, 0.5
"""Share of the square of the anchored residual that such bounds may be without being small against the push, where
they decide nothing; rows are factored until the bounds of the rest are HALVED, and then looked at again."""

HELD_EXACTLY = 256 << 20
"""Bytes of factors up to which anchors are kept in float64."""


@dataclass(frozen=True)
class Filtered:
    """What was done to the factors that were given."""

    method: Literal["local", "rows"]
    residual: float
    """The anchored residual, on the factors as they are now."""
    resolved: bool
    """True when that is within the tolerance, or no more than storing the factors leaves, and ``askers`` is too."""
    askers: float
    """The largest ``left_of_askers`` of a user in the deletion who has something left."""
    push: float
    objective_before: float
    """L_{D_r}(Θ_a)"""
    objective: float
    passes: int
    products: int
    rows_updated: int
    reason: str
    trace: tuple[PassRecord, ...]


def forget_filtered(
    before: Problem,
    after: Problem,
    original: tuple[Array, Array],
    P: Array,
    Q: Array,
    *,
    rank: int,
    touched: tuple[Rows, Rows],
    reweighted: bool = False,
    exact: Literal["user", "item"] | None = None,
    last: Literal["user", "item"] = "item",
    steps: int = 3,
    tolerance: float,
    max_passes: int,
    threads: int = 0,
    on_pass: OnPass | None = None,
) -> Filtered:
    """Anchored passes in ``P`` (m, w) and ``Q`` (n, w), padded copies of ``original``, (m, d) and (n, d).

    ``touched`` = (user rows, item rows) of the forget set; ``reweighted`` says that other rows' weights differ between
    ``before`` and ``after`` too. ``last`` is the side that the trainer solves last; ``exact`` is the same where it
    solves it exactly, and is then left exact. ``steps`` are the trainer's. Ends after ``max_passes``, or where a pass
    no longer does enough. Raises NumericFailure for a row without a solution and Interrupted on Ctrl-C; P and Q are
    then half changed.
    """
    checked_tolerance(tolerance)
    with threadpool_limits(1):
        try:
            work = _Work(
                before, after, original, P, Q, rank, touched, steps, last, exact, threads or default_threads(), on_pass
            )
            return work.run(tolerance, max_passes, reweighted)
        except KeyboardInterrupt:
            raise Interrupted("interrupted; nothing was changed") from None


def anchored_residual(
    before: Problem,
    after: Problem,
    original: tuple[Array, Array],
    new: tuple[Array, Array],
    *,
    touched: tuple[Rows, Rows],
    reweighted: bool = False,
    threads: int = 0,
) -> tuple[float, float, bool]:
    """(the anchored residual, the largest ``left_of_askers``, whether storing leaves as much) of ``new``.

    Arguments as for ``forget_filtered``; nothing is changed.
    """
    P, Q = (padded(np.asarray(x)) for x in original)
    rank = int(original[0].shape[1])
    with threadpool_limits(1):
        work = _Work(
            before, after, original, P, Q, rank, touched, 3, "item", None, threads or default_threads(), None
        )  # fmt: skip
        held, push = work.start(reweighted)[:2]
        P[:, :rank], Q[:, :rank] = new
        work.grams.clear()
        residual, _, noise = work._measured(held, push)
    return residual, work.askers, residual * push <= noise


@dataclass(frozen=True)
class _Point:
    """Half a gradient and what was found beside it."""

    users: Array
    items: Array
    fit: float
    """L without its ridge terms"""
    theta_norm: float
    """‖Θ‖_B"""


class _Work:
    def __init__(
        self, before: Problem, after: Problem, original: tuple[Array, Array], P: Array, Q: Array, rank: int,
        touched: tuple[Rows, Rows], steps: int, last: str, exact: str | None, threads: int, on_pass: OnPass | None,
    ) -> None:  # fmt: skip
        self.before, self.after, self.original = before, after, original
        self.P, self.Q, self.rank, self.touched, self.threads, self.on_pass = P, Q, rank, touched, threads, on_pass
        self.solver = ConjugateGradient(steps, small=SETTLED)
        self.exact = exact
        self.order = (1, 0) if last == "user" else (0, 1)  # places of the sides in a pass
        self.trace: list[PassRecord] = []
        self.pushed = np.zeros((touched[0].size, rank))  # half of what the deletion changes in their users' gradient
        self.pushes, self.askers = np.zeros(touched[0].size), 0.0
        self.grams: dict[int, npt.NDArray[np.float64]] = {}  # of the other side, as users (0) and items (1) see it
        self.rows = self.products = self.passes = 0
        small = P.nbytes + Q.nbytes <= HELD_EXACTLY
        self.kept: npt.DTypeLike = np.float64 if small else P.dtype

    def start(self, reweighted: bool) -> tuple[_Point, float, float]:
        """(what training left, the push, L_{D_r}(Θ_a)) before anything moves."""
        held = self._gradient(self.before)
        push, objective_before = self._push(held, reweighted)
        self.pushes = self._user_norms(self.pushed)
        for rest, side in ((held.users, self.after.users), (held.items, self.after.items)):
            rest[side.counts == 0] = 0.0  # their minimum is zero and nothing of them is to stay
        return held, push, objective_before

    def run(self, tolerance: float, max_passes: int, reweighted: bool) -> Filtered:
        held, push, objective_before = self.start(reweighted)
        targets = self._shared(held.users), held.items
        if max_passes > 0:
            self._deleted(targets)
            self._nearby(targets)
        size = len(self.before.interactions) - len(self.after.interactions)
        small = size <= SMALL * len(self.before.interactions)
        reason = self._passes(targets, push, tolerance * (1.0 if small else NEGLIGIBLE), tolerance, max_passes)
        residual, objective, noise = self._arrived(held, targets, push, tolerance, max_passes)
        if small and reason == "tolerance" and not (residual <= tolerance and self.askers <= ASKERS):
            reason = self._passes(targets, push, tolerance * NEGLIGIBLE, tolerance, max_passes)
            residual, objective, noise = self._arrived(held, targets, push, tolerance, max_passes)
        method: Literal["local", "rows"] = "local"
        if residual > max(WORTH, tolerance) and residual * push > noise:
            residual, objective, noise = self._measured(held, push)  # without bounds, to compare
            led_away = residual >= 1.0
            if led_away or self.kept == np.float64:  # else there is no room for both, and what has helped stays
                passes = None if led_away else (self.P.copy(), self.Q.copy())
                found = residual, objective, noise, self.askers
                for share in SHARES:
                    self._rows_alone(share)
                    self._leave_exact()
                    residual, objective, noise = self._measured(held, push)
                    if residual <= 1.0 + SLACK or residual * push <= noise:
                        break
                if passes is None or residual < found[0]:
                    method, reason = "rows", "rows"
                else:
                    self.P[:], self.Q[:] = passes
                    self.grams.clear()
                    residual, objective, noise, self.askers = found
        stored = residual * push <= noise
        if residual <= tolerance and self.askers > ASKERS and not stored:
            reason = "askers"
        return Filtered(
            method=method,
            residual=residual,
            resolved=stored or (residual <= tolerance and self.askers <= ASKERS),
            askers=self.askers,
            push=push,
            objective_before=objective_before,
            objective=objective,
            passes=len(self.trace),
            products=self.products,
            rows_updated=self.rows,
            reason=reason,
            trace=tuple(self.trace),
        )

    # ------------------------------------------------------------------ moving

    def _deleted(self, targets: tuple[Array, Array]) -> None:
        """The rows of the deletion on their anchored systems, in float64 where there is room.

        There may be hardly any difference between what they were solved for and what they are to solve.
        """
        began = time.perf_counter()
        solver = ConjugateGradient(MORE * self.solver.steps)
        for place in self.order:
            side, x, other = self._side(self.after, place)
            held, rows = targets[place], self.touched[place]
            if rows.size:
                some, here = side.take(rows), x[rows].astype(self.kept)
                theirs = np.ascontiguousarray(other, dtype=self.kept)
                self._count(solver, some, theirs, here, None, held[rows])
                old, x[rows] = x[rows], here
                self._changed(place, rows, old)
        self._record("touched", began, self.touched[0].size + self.touched[1].size)

    def _nearby(self, targets: tuple[Array, Array]) -> None:
        """Passes over the rows of the deletion and those that meet them, where these are few and cheap."""
        near = tuple(self._meeting(place) for place in (0, 1))
        sides = self.after.users, self.after.items
        met = sum(float(side.counts[rows].sum()) for side, rows in zip(sides, near, strict=True))
        if met > FEW * 2.0 * max(float(sides[0].counts.sum()), 1.0):
            return
        last = np.inf
        for _ in range(NEARBY):
            done = self._pass("touched", targets, (near[0], near[1]))
            if done > FADING * last:
                break
            last = done

    def _meeting(self, place: int) -> Rows:
        """Rows of a side in the deletion, or with an interaction with a row of the other side that is in it."""
        side = (self.after.users, self.after.items)[place]
        touched = np.zeros((self.after.items if place == 0 else self.after.users).rows, bool)
        touched[self.touched[1 - place]] = True
        rows = np.repeat(side.all_rows, side.counts)[touched[side.indices]]
        return np.union1d(rows, self.touched[place]).astype(np.int64)

    def _passes(
        self, targets: tuple[Array, Array], push: float, enough: float, tolerance: float, max_passes: int
    ) -> str:
        """Passes over all rows until one does no more than ``enough`` of the push, or no less than the one before."""
        fading, last = FADING if tolerance >= THOROUGH else 1.0, np.inf
        while self.passes + 1 < max_passes:  # the rows of the deletion are one
            done = self._pass("all", targets) / push if push > 0 else 0.0
            self.passes += 1
            if done <= enough or done > fading * last:
                return "tolerance"
            last = done
        return "passes"

    def _arrived(
        self, held: _Point, targets: tuple[Array, Array], push: float, tolerance: float, max_passes: int
    ) -> tuple[float, float, float]:
        """``_measured`` after the rows of the deletion have had the last word."""
        if max_passes > 0:
            self._deleted(targets)
        self._leave_exact()
        return self._measured(held, push, tolerance)

    def _pass(self, scope: Scope, targets: tuple[Array, Array], rows: tuple[Rows, Rows] | None = None) -> float:
        """Some or all rows on their anchored systems; ‖·‖_{B⁻¹} of the gradient that the steps removed."""
        began = time.perf_counter()
        removed, solved = 0.0, 0
        for place in self.order:
            side, x, other = self._side(self.after, place)
            some = None if rows is None else rows[place]
            old = None if some is None else x[some]
            removed += self._count(self.solver, side, other, x, some, targets[place])
            self._changed(place, some, old)
            solved += side.rows if some is None else some.size
        self._record(scope, began, solved)
        return 2.0 * float(np.sqrt(max(removed, 0.0)))

    def _count(
        self, solver: ConjugateGradient, side: Side, other: Array, x: Array, rows: Rows | None, held: Array | None
    ) -> float:
        report = solver.solve(side, other, x, rows, rank=self.rank, threads=self.threads, anchor=held)
        self.rows += report.rows
        self.products += report.products
        return report.decrement

    def _record(self, scope: Scope, began: float, solved: int) -> None:
        seconds = time.perf_counter() - began
        self.trace.append(PassRecord(len(self.trace) + 1, scope, float("nan"), None, seconds, solved, False))
        if self.on_pass is not None:
            self.on_pass(self.trace[-1])

    def _rows_alone(self, share: float) -> None:
        """The rows of the deletion, a ``share`` of the difference of the same steps on the remaining data and on all.

        From Θ_a; rows of whom nothing remains become zero.
        """
        began = time.perf_counter()
        P, Q = self._begin_again()
        first, second = self.order
        users, items = self.touched
        rows = self.touched[first]
        starts = [self._steps(problem, first, rows) for problem in (self.after, self.before)]
        x = (self.P, self.Q)[first]
        ends = []
        for problem, moved in zip((self.after, self.before), starts, strict=True):
            x[rows] = moved
            self._changed(first)
            ends.append(self._steps(problem, second, self.touched[second]))
        for place, (new, old) in ((first, starts), (second, ends)):
            side, x, _ = self._side(self.after, place)
            rows = self.touched[place]
            x[rows, : self.rank] = (P, Q)[place][rows] + share * (new - old)[:, : self.rank]
            x[rows[side.counts[rows] == 0]] = 0
            self._changed(place)
        self._record("touched", began, users.size + items.size)

    def _begin_again(self) -> tuple[Array, Array]:
        """Back to the original."""
        P, Q = (np.asarray(x) for x in self.original)
        self.P[:, : self.rank], self.Q[:, : self.rank] = P, Q
        self.grams.clear()
        return P, Q

    def _steps(self, problem: Problem, place: int, rows: Rows) -> Array:
        """Where the trainer's steps on ``problem`` take some rows of a side, which stays as it is."""
        side, x, other = self._side(problem, place)
        if not rows.size:
            return x[rows]
        moved = x[rows]
        self._count(self.solver, side.take(rows), other, moved, None, None)
        return moved

    def _side(self, problem: Problem, place: int) -> tuple[Side, Array, Array]:
        """(side, its rows, the other side's) for users (0) or items (1)."""
        side, x, other = (problem.users, self.P, self.Q) if place == 0 else (problem.items, self.Q, self.P)
        if side.other.size:  # other weights on either data
            return side, x, other
        if place not in self.grams:
            self.grams[place] = side.gram(other)
        known = {field.name: getattr(side, field.name) for field in fields(side)}
        return Seeing(**known, known=self.grams[place]), x, other

    def _changed(self, place: int, rows: Rows | None = None, old: Array | None = None) -> None:
        """Rows of a side have moved, from ``old`` where that is known, and the Gram matrix of them with them."""
        viewer = 1 - place
        if rows is not None and old is not None and viewer in self.grams:
            new, old = (x.astype(np.float64) for x in ((self.P, self.Q)[place][rows], old))
            self.grams[viewer] = self.grams[viewer] + self.after.users.missing_weight * (new.T @ new - old.T @ old)
        else:
            self.grams.pop(viewer, None)

    def _leave_exact(self) -> None:
        """The side that the trainer leaves at its minimum given the other is left there."""
        if self.exact is not None:
            side, x, other = self._side(self.after, 0 if self.exact == "user" else 1)
            self.rows += AHNewton().solve(side, other, x, None, rank=self.rank, threads=self.threads).rows
            self._changed(0 if self.exact == "user" else 1)
            if side.target.size:  # nothing pulls at a row all of whose targets are 0: not even rounding is left of it
                x[_sums(side, np.abs(side.target), side.all_rows) == 0] = 0

    def _shared(self, held: Array) -> Array:
        """``held`` of the users times the power of the share of their weight that remains."""
        users = self.touched[0]
        share = _weights(self.after.users, users) / np.maximum(_weights(self.before.users, users), 1e-300)
        size, pushed = self._user_norms(held[users]), self.pushes
        # never more than half of what the deletion pushes: a share of much that training left may be far more
        least = 1.0 - HALF * pushed / np.maximum(size, 1e-300)
        scaled = held.copy()
        scaled[users] *= np.maximum(np.minimum(share, 1.0) ** SHARED, least)[:, None]
        return scaled

    # ------------------------------------------------------------------ measuring

    def _push(self, held: _Point, reweighted: bool) -> tuple[float, float]:
        """(‖∇L_{D_r}(Θ_a) − ∇L_{D_a}(Θ_a)‖_{B⁻¹}, L_{D_r}(Θ_a)) before anything moves.

        The rows of other people and other items do not see the deletion, and so neither does their part of L. Rows of
        which nothing remains are left out: they are zero whatever else was done, and would hide all of it.
        """
        if reweighted:
            here = self._gradient(self.after)
            changes = here.users - held.users, here.items - held.items
            for gradient, side in zip(changes, (self.after.users, self.after.items), strict=True):
                gradient[side.counts == 0] = 0.0
            norm = self._norm(*changes, 0.0)
            self.pushed = (here.users - held.users)[self.touched[0]].astype(np.float64)
            return norm, here.fit + ridge_of(self.after, self.P, self.Q)
        total, change = 0.0, 0.0
        for place, rows in enumerate(self.touched):
            if not rows.size:
                continue
            (old, _, _), (new, x, other) = self._side(self.before, place), self._side(self.after, place)
            some, where = new.take(rows), x[rows]
            gram = some.gram(other)
            now, loss = half_gradients(some, other, where, gram, self.threads)
            then, known = half_gradients(old.take(rows), other, where, gram, self.threads)
            right = 2.0 * (now - then)[:, : self.rank]
            right[some.counts == 0] = 0.0
            total += block_solve(some, other, right, some.all_rows, rank=self.rank, threads=self.threads)[0]
            if place == 0:
                change, self.pushed = loss - known, (now - then)[:, : self.rank]
        return float(np.sqrt(total)), held.fit + change + ridge_of(self.after, self.P, self.Q)

    def _user_norms(self, half: Array) -> Array:
        """‖2 g‖_{A⁻¹} of half the gradient (k, d) of every user in the deletion; 0 for those who have nothing left."""
        some = self._side(self.after, 0)[0].take(self.touched[0])
        right = 2.0 * half.astype(np.float64)
        right[some.counts == 0] = 0.0
        solved = np.zeros_like(right)
        if len(right):
            block_solve(some, self.Q, right, some.all_rows, rank=self.rank, threads=self.threads, solution=solved)
        return np.asarray(np.sqrt(np.maximum(np.einsum("id,id->i", right, solved), 0.0)))

    def _measured(self, held: _Point, push: float, tolerance: float | None = None) -> tuple[float, float, float]:
        """(anchored residual, L_{D_r}, what storing leaves of the gradient) where P and Q are."""
        here = self._gradient(self.after)
        bounded, deciding = (0.0, ()) if tolerance is None else (BOUNDED, (tolerance * push, WORTH * push))
        norm = self._norm(here.users - held.users, here.items - held.items, ESTIMATED * push, bounded, deciding)
        left = self._user_norms((here.users - held.users)[self.touched[0]])
        self.askers = float(left_of_askers(left, self.pushes).max(initial=0.0))
        noise = storing_noise(here.theta_norm, self.P.dtype)
        return norm / (push or 1.0), here.fit + ridge_of(self.after, self.P, self.Q), noise

    def _gradient(self, problem: Problem) -> _Point:
        """Half the gradient on ``problem`` where P and Q are, a block of rows at a time."""
        arrays, fit, fitted = [], 0.0, 0.0
        for place in (0, 1):
            side, x, other = self._side(problem, place)
            gradient = np.empty((side.rows, self.rank), self.kept)
            gram, fit = side.gram(other), 0.0
            for start in range(0, side.rows, ROWS_AT_A_TIME):
                stop = min(start + ROWS_AT_A_TIME, side.rows)
                part = side.part(start, stop)
                half, loss, explained = row_gradients(part, other, x[start:stop], gram, self.threads)
                gradient[start:stop] = half[:, : self.rank]
                # xᵀA x = xᵀ(A x − b) + bᵀx
                fitted += float(np.vdot(half, x[start:stop])) + explained
                fit += loss
            arrays.append(gradient)
        return _Point(arrays[0], arrays[1], fit, float(np.sqrt(max(fitted, 0.0))))

    def _norm(
        self, users: Array, items: Array, aside: float, bounded: float = 0.0, deciding: tuple[float, ...] = ()
    ) -> float:
        """‖2 (users, items)‖_{B⁻¹} of half a gradient, B of the remaining data where P and Q are; never too small.

        For rows with little of it gᵀ(w₀a QᵀQ + λ)⁻¹g, which is as large at least, stands in for it: as long as that
        adds no more than ``aside``² to the square, or than ``bounded`` of it and crosses none of ``deciding``.
        """
        norms = []
        for place, half in enumerate((users, items)):
            side, _, other = self._side(self.after, place)
            norms.append(RowNorms(side, other, half, threads=self.threads))
        bounds = np.concatenate([side.bounds for side in norms])
        order = np.argsort(-bounds, kind="stable")
        rest = np.append(np.cumsum(bounds[order][::-1])[::-1], 0.0)  # of all rows from a place on
        last = int(np.searchsorted(-rest, -(aside**2)))
        found, done = 0.0, 0
        while done < last:
            stop = min(max(int(np.searchsorted(-rest, -HALVED * rest[done])), done + 1), last)
            some = order[done:stop]
            found += norms[0].total(np.sort(some[some < len(users)]))
            found += norms[1].total(np.sort(some[some >= len(users)]) - len(users))
            done = stop
            told = not any(found <= limit**2 < found + rest[done] for limit in deciding)
            if rest[done] <= bounded * found and told:
                break
        return float(np.sqrt(max(found + rest[done], 0.0)))


def left_of_askers(left: Array, pushes: Array) -> Array:
    """What is left of the push in every asking user's row, over that push, or half of its root mean square if more.

    Both (k,) norms; a row that the deletion hardly pushes is moved by more than that when others forget.
    """
    mean = float(np.sqrt(np.mean(pushes[pushes > 0] ** 2))) if np.any(pushes > 0) else 0.0
    scale = np.maximum(pushes, 0.5 * mean)
    return np.asarray(np.where(pushes > 0, left / np.where(scale > 0, scale, 1.0), 0.0))


def _weights(side: Side, rows: Rows) -> Array:
    """Σ c of some rows' interactions."""
    return _sums(side, side.confidence, rows) if side.confidence.size else side.counts[rows].astype(np.float64)


def _sums(side: Side, values: Array, rows: Rows) -> Array:
    """Sums of some rows' ``values`` (|D|,)."""
    totals = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    return np.asarray(totals[side.indptr[rows + 1]] - totals[side.indptr[rows]])
