"""The point of an anchored erasure: factors, the gradient that is left there, and how it is moved;
see ``local``.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from numpy.polynomial import Polynomial

from alteraser.erasers.shift import Shift
from alteraser.linalg.pairs import norm
from alteraser.models import Factors, Problem
from alteraser.solvers.anchors import Anchors, storing_noise
from alteraser.solvers.joint import Joint
from alteraser.solvers.line import lowest, quartic_along
from alteraser.solvers.phases.alternation import RowWork
from alteraser.solvers.phases.state import refuse_damaged
from alteraser.solvers.residuals import row_gradients
from alteraser.solvers.rotations import nearest
from alteraser.solvers.rows.protocol import padded
from alteraser.solvers.stationarity import (
    Evaluation,
    Push,
    block_solve,
    evaluate,
    gradient_norm,
    half_gradients,
    unchanged,
)

Float64 = npt.NDArray[np.float64]
Pair = tuple[Float64, Float64]
Rows = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]

MARGIN = 0.8
"""Share of the tolerance, and of the effect that may be missing, to come within."""

STALE = 0.02
"""Blocks are factored again once the model has moved by this share of its size, and before every
solve that tells what is missing."""

REACH = 4.0
"""Times a Newton step that the anchored objective may be followed along it."""

NEAR = 0.8
"""Share of the tolerance, or of the residual, from which on the residual is measured with blocks of
the very point: of those at hand, which are of a point within STALE, it is known to a few
hundredths."""


class AnchoredPoint:
    """Where an erasure is. ``at`` are its factors as they would be stored; gradients are float64 at
    exactly these.
    """

    joint: Joint | None = None
    """Blocks of both sides; None where there is no room for them"""
    at: Factors
    held: Anchors
    """What is to stay of the gradient, in the frame of ``at``"""
    gradient: Pair
    """∇L_{D_r} − g R there, see ``solvers.anchors``"""
    residual: float
    """Its norm over the push"""
    objective: float

    def __init__(self, shift: Shift, before: Problem, tolerance: float) -> None:
        original = shift.original
        refuse_damaged(original, "original")
        self.shift, self.tolerance = shift, tolerance
        # the working precision would round λ, w₀ and the confidences, and with them what is asked
        # for
        self.before, self.after = (
            replace(problem, dtype=np.float64) for problem in (before, shift.after)
        )
        self.live = self.after.users.counts > 0, self.after.items.counts > 0
        self.work = RowWork()
        self.missing = np.inf
        """‖Θ* − Θ‖_F, estimated from above; infinite where nothing is known"""
        self.bent = False
        """L was found to bend down"""
        self.noise = self.rows_alone = 0.0
        self.begin()

    @property
    def threads(self) -> int:
        """Threads to use."""
        return self.shift.workers

    def begin(self) -> None:
        """What training left, and the push."""
        shift, original = self.shift, self.shift.original
        first = evaluate(self.before, original, threads=self.threads)
        self.held = Anchors.of(first, self.after, original)
        change, objective = self.change(first)
        norm = gradient_norm(shift.after, original, *change, threads=self.threads)
        self.first = first
        self.push = Push(norm, objective, None)
        self.at = original

    def factors(self) -> Factors:
        """See ``solvers.loop.State``; no copies, since moving makes new ones."""
        return self.at

    @property
    def limit(self) -> float:
        """The residual that may stay: the tolerance, or what storing leaves."""
        return max(self.tolerance, self.noise)

    def enough(self, residual: float) -> bool:
        """Within the limit; a little less, since blocks are of a point near by."""
        return residual <= MARGIN * self.limit

    def share(self) -> float | None:
        """Estimated share of the effect that is missing, where that is known."""
        moved = self.moved()
        return float(self.missing / moved) if moved > 0 and np.isfinite(self.missing) else None

    def reach(self, following: Factors) -> float:
        """Go to ``following`` if the residual is less there, else stay; the residual that it
        has.
        """
        now = evaluate(self.after, following, threads=self.threads)
        held = self.held.turned(following.items)
        gradient = held.left(now.user_gradient, now.item_gradient)
        reached = self._residual(gradient)
        self.work.rows += self.rows
        # else L is no quadratic that far away, or the precision holds no more
        if reached < self.residual:
            self._place(following)
            self.held = held
            self.gradient, self.residual, self.objective = gradient, reached, now.objective
        return reached

    @property
    def rows(self) -> int:
        """Rows that D_r leaves."""
        return int(sum(np.sum(live) for live in self.live))

    def finish(self) -> tuple[float, float]:
        """See ``solvers.loop.State``."""
        residual, limit = self.residual, self.limit
        if NEAR * limit < residual <= limit / NEAR:  # near it, the blocks of the very point decide
            now = evaluate(self.after, self.at, threads=self.threads)
            left = self.held.left(now.user_gradient, now.item_gradient)
            norm = gradient_norm(self.shift.after, self.at, *left, threads=self.threads)
            residual = norm / (self.push.norm or 1.0)
        return residual, self.objective

    def floor(self) -> float | None:
        """What training left, over the push."""
        if self.joint is None or not self.push.norm > 0:
            return None
        return (
            self.joint.norm((self.first.user_gradient, self.first.item_gradient)) / self.push.norm
        )

    # ------------------------------------------------------------------ moving

    def move_touched(self) -> int:
        """The rows of the deletion to their anchored minima; how many they are."""
        original = self.shift.original
        P, Q = (np.asarray(x, dtype=np.float64).copy() for x in (original.users, original.items))
        P[~self.live[0]], Q[~self.live[1]] = 0.0, 0.0
        h = np.asarray(original.prediction, dtype=np.float64)
        sides = (self.after.users, P, Q, self.held.users), (self.after.items, Q, P, self.held.items)
        for (side, x, other, held), rows in zip(sides, self.touched(), strict=True):
            if rows.size:
                right = np.zeros_like(x)
                right[rows] = 0.5 * held[rows] - half_gradients(
                    side, other * h, x, rows, threads=self.threads
                )
                moved = np.zeros_like(x)
                block_solve(
                    side,
                    padded(other * h),
                    right,
                    rows,
                    rank=original.rank,
                    threads=self.threads,
                    solution=moved,
                )
                x[rows] += moved[rows]
        self.at = self.stored(P, Q)
        now = evaluate(self.after, self.at, threads=self.threads)
        self._factor()
        self.held = self.held.turned(self.at.items)
        self.gradient = self.held.left(now.user_gradient, now.item_gradient)
        self.objective = now.objective
        self.residual = self.rows_alone = self._residual(self.gradient)
        self.noise = storing_noise(now.theta_norm, original.dtype) / (self.push.norm or 1.0)
        count = int(sum(rows.size for rows in self.touched()))
        self.work.rows += count
        return count

    def passed(self) -> Factors:
        """A pass: every user's row to its anchored minimum given the items, then every item's given
        the users.
        """
        P, Q = (x.astype(np.float64) for x in (self.at.users, self.at.items))
        h, dtype = self.at.prediction.astype(np.float64), self.shift.after.dtype
        held = self.held
        sides = (self.after.users, P, Q, held.users), (self.after.items, Q, P, held.items)
        for side, x, other, anchor in sides:
            live = np.flatnonzero(side.counts)
            right, moved = np.zeros_like(x), np.zeros_like(x)
            right[live] = 0.5 * anchor[live] - half_gradients(
                side, other * h, x, live, threads=self.threads
            )
            seen = padded((other * h).astype(dtype))
            block_solve(side, seen, right, live, rank=h.size, threads=self.threads, solution=moved)
            x += moved
        return self.stored(P, Q)

    def least_along(self, step: Pair) -> float:
        """The t in (0, REACH] where L_{D_r}(Θ + t x) − ⟨g, Θ + t x⟩, a quartic, is least; 1 where
        rounding hides it.
        """
        V, W = (x * live[:, None] for x, live in zip(step, self.live, strict=True))
        P, Q = (x.astype(np.float64) for x in (self.at.users, self.at.items))
        h = self.at.prediction.astype(np.float64)
        sides = self.after.users, self.after.items
        along = quartic_along(sides, (P, Q), (Q * h, W * h), (V, W), self.threads)
        pull = float(np.vdot(self.held.users, V) + np.vdot(self.held.items, W))
        return lowest(along - Polynomial([0.0, pull]), REACH) or 1.0

    def _place(self, factors: Factors) -> None:
        self.at = factors
        if self.joint is not None:
            self.joint.place(factors.users, factors.items)
            if self.joint.moved > STALE:
                self.joint.settle(move=False)

    def settled(self) -> Joint:
        """The joint system with blocks of this very point: those of another one, however near, are
        another Hessian, and along directions in which L hardly bends quite another.
        """
        assert self.joint is not None
        if not self.joint.settled:
            self.joint.settle(move=False)
        return self.joint

    def moved(self) -> float:
        """‖Θ_u − Θ_a‖_F over the rows that D_r leaves"""
        original = self.shift.original
        change = self.at.users.astype(np.float64) - original.users, self.at.items - original.items
        return length(change, self.live)

    # ------------------------------------------------------------------ measuring

    def change(self, first: Evaluation) -> tuple[Pair, float]:
        """(∇L_{D_r} − ∇L_{D_a}, L_{D_r}) at the original, from the rows alone that see the
        deletion.
        """
        original, h = (
            self.shift.original,
            np.asarray(self.shift.original.prediction, dtype=np.float64),
        )
        change = np.zeros(original.users.shape), np.zeros(original.items.shape)
        objective = first.objective
        for place, (a, b) in enumerate(
            ((self.before.users, self.after.users), (self.before.items, self.after.items))
        ):
            x, other = (original.users, original.items)[:: 1 if place == 0 else -1]
            rows = np.flatnonzero(~unchanged(a, b))
            if not rows.size:
                continue
            seen, some = other * h, np.ascontiguousarray(x[rows])
            gram = b.gram(seen)
            for sign, side in ((-1.0, a), (1.0, b)):
                here = side.take(rows)
                weighs = side.gram(seen) if side.other.size else gram
                half, loss, _ = row_gradients(here, seen, some, weighs, self.threads)
                change[place][rows] += sign * 2.0 * half
                objective += sign * (loss if place == 0 else 0.0)
                objective += sign * float(
                    np.dot(here.ridge.astype(np.float64), np.einsum("id,id->i", some, some))
                )
        return change, objective

    def touched(self) -> Rows:
        """Rows of the deletion that D_r does not leave empty."""
        users, items = self.shift.touched_users, self.shift.touched_items
        return users[self.live[0][users]], items[self.live[1][items]]

    def stored(self, P: Float64, Q: Float64) -> Factors:
        """(P, Q) as they would be stored, turned to where they are nearest to the original: what a
        step did to all rows together may be a rotation in part, which is no effect of anything.
        """
        original = self.shift.original
        if self.held.level is not None:
            R = nearest((P, Q), (original.users, original.items))
            P, Q = P @ R, Q @ R
        return Factors(P.astype(original.dtype), Q.astype(original.dtype), original.prediction)

    def _factor(self) -> None:
        problem = self.shift.after
        P, Q = (padded(np.asarray(x, dtype=problem.dtype)) for x in (self.at.users, self.at.items))
        if not Joint.fits(problem, P.shape[1]):
            self.joint = None
            return
        self.joint = Joint(problem, P, Q, self.at.prediction.astype(problem.dtype), self.threads)
        self.joint.settle(move=False)

    def _residual(self, gradient: Pair) -> float:
        if not all(np.isfinite(g).all() for g in gradient):
            return float("inf")
        scale = self.push.norm or 1.0
        if self.joint is not None:
            return self.joint.norm(gradient) / scale
        return gradient_norm(self.shift.after, self.at, *gradient, threads=self.threads) / scale


def length(pair: Pair, rows: tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]) -> float:
    """‖·‖_F of some rows of both sides."""
    return norm((pair[0][rows[0]], pair[1][rows[1]]))
