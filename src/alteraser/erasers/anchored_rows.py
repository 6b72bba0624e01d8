"""Rows on systems that hold what training had left of their gradients: solved, and measured; see
``filtered``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from alteraser.erasers.in_place import ridge_of
from alteraser.models import Problem, Side
from alteraser.solvers.anchors import storing_noise
from alteraser.solvers.phases.alternation import RowWork
from alteraser.solvers.residuals import ROWS_AT_A_TIME, half_gradients, row_gradients
from alteraser.solvers.row_norms import RowNorms
from alteraser.solvers.rows.ah_newton import AHNewton
from alteraser.solvers.rows.cg import ConjugateGradient
from alteraser.solvers.stationarity import block_solve

Array = npt.NDArray[Any]
Rows = npt.NDArray[np.int64]
Pair = tuple[Array, Array]

SETTLED = 1e-6
"""‖r‖/‖b‖ of a row that is left alone: steps below that would only move rounding along weak
directions."""

MORE = 3
"""Times the trainer's steps that rows of the deletion take: what is gone from them goes at once,
not by and by."""

HALF, FIFTH = 0.5, 0.2
"""Of what the deletion pushes a row, and of its whole push, so much may be put on anchors or taken
off them, in the norm of B⁻¹, in which the residual is judged."""

SHARED = 4
"""Power of the remaining share of a user's weight that the way to their minimum is multiplied by:
of which half is gone tells little of the row that is left."""

ESTIMATED = 0.03
"""Share of the push up to which rows with little left are counted by a bound instead of being
factored."""

BOUNDED, HALVED = 0.1, 0.5
"""Share of the square of the anchored residual that such bounds may be without being small against
the push, where they decide nothing; rows are factored until the bounds of the rest are HALVED, and
then looked at again."""

HELD_EXACTLY = 256 << 20
"""Bytes of factors up to which anchors are kept in float64."""


@dataclass(frozen=True)
class _Point:
    """Half a gradient and what was found beside it."""

    users: Array
    items: Array
    fit: float
    """L without its ridge terms"""
    theta_norm: float
    """‖Θ‖_B"""


@dataclass(frozen=True)
class Trainer:
    """What is known of how the model was trained."""

    steps: int = 3
    """Of conjugate gradients, a row"""
    last: Literal["user", "item"] = "item"
    """The side that it solves last"""
    exact: Literal["user", "item"] | None = None
    """The same where it solves it exactly"""


IMPLICIT = Trainer()
"""As implicit trains by default"""


@dataclass(frozen=True)
class Start:
    """What was measured before anything moved."""

    held: _Point
    """What training had left"""
    targets: Pair
    """What rows are to keep of it"""
    push: float
    objective: float
    """L_{D_r}(Θ_a)"""


@dataclass(frozen=True)
class RowsLeft:
    """What is left."""

    residual: float
    """The anchored residual"""
    objective: float
    """L_{D_r}"""
    stored: bool
    """It is no more than storing the factors leaves"""
    askers: float
    """The largest ``left_of_askers``"""
    gradient: Pair | None
    """Half of ∇L_{D_r} − ∇L_{D_a}(Θ_a), (m, d) and (n, d), where there is room to keep it"""


class AnchoredRows:
    """Factors that are changed in place, row by row, on systems that hold what training had
    left.
    """

    def __init__(
        self,
        before: Problem,
        after: Problem,
        original: Pair,
        P: Array,
        Q: Array,
        *,
        touched: tuple[Rows, Rows],
        trainer: Trainer,
        threads: int,
    ) -> None:
        self.before, self.after, self.original = before, after, original
        self.P, self.Q, self.rank = P, Q, int(original[0].shape[1])
        self.touched, self.threads = touched, threads
        self.solver, self.exact = ConjugateGradient(trainer.steps, small=SETTLED), trainer.exact
        self.order = (1, 0) if trainer.last == "user" else (0, 1)  # places of the sides in a pass
        self.pushes = np.zeros(touched[0].size)
        """How hard the deletion pushes every user in it"""
        # of the other side, as users (0) and items (1) see it
        self.grams: dict[int, npt.NDArray[np.float64]] = {}
        self.work = RowWork()
        small = P.nbytes + Q.nbytes <= HELD_EXACTLY
        self.kept: npt.DTypeLike = np.float64 if small else P.dtype
        self.start: Start
        self.found: RowsLeft

    def begin(self, *, reweighted: bool) -> None:
        """Measure before anything moves."""
        held = self._gradient(self.before)
        push, objective, pushed = self._push(held, reweighted)
        pushes = [self._row_norms(place, half) for place, half in enumerate(pushed)]
        self.pushes = pushes[0]
        for rest, side in ((held.users, self.after.users), (held.items, self.after.items)):
            rest[side.counts == 0] = 0.0  # their minimum is zero and nothing of them is to stay
        targets = self.displaced((held.users, held.items), pushes, FIFTH * push)
        self.start = Start(held, targets, push, objective)

    def factors(self) -> Pair:
        """See ``solvers.loop.State``; no copies."""
        return self.P, self.Q

    def finish(self) -> tuple[float, float]:
        """See ``solvers.loop.State``: what was found last."""
        return self.found.residual, self.found.objective

    # ------------------------------------------------------------------ moving

    def deleted(self) -> int:
        """The rows of the deletion on their anchored systems, in float64 where there is room.

        There may be hardly any difference between what they were solved for and what they are to
        solve. Returns how many they are.
        """
        solver = ConjugateGradient(MORE * self.solver.steps)
        for place in self.order:
            side, x, other = self._side(self.after, place)
            held, rows = self.start.targets[place], self.touched[place]
            if rows.size:
                some, here = side.take(rows), x[rows].astype(self.kept)
                theirs = np.ascontiguousarray(other, dtype=self.kept)
                self._count(solver, some, theirs, here, None, held[rows])
                old, x[rows] = x[rows], here
                self._changed(place, rows, old)
        return self.touched[0].size + self.touched[1].size

    def meeting(self, place: int) -> Rows:
        """Rows of a side in the deletion, or with an interaction with a row of the other side that
        is in it.
        """
        side = (self.after.users, self.after.items)[place]
        touched = np.zeros((self.after.items if place == 0 else self.after.users).rows, bool)
        touched[self.touched[1 - place]] = True
        rows = np.repeat(side.all_rows, side.counts)[touched[side.indices]]
        return np.union1d(rows, self.touched[place]).astype(np.int64)

    def sweep(self, rows: tuple[Rows, Rows] | None = None) -> tuple[float, int]:
        """Some or all rows on their anchored systems; (‖·‖_{B⁻¹} of the gradient that the steps
        removed, rows).
        """
        removed, solved = 0.0, 0
        for place in self.order:
            side, x, other = self._side(self.after, place)
            some = None if rows is None else rows[place]
            old = None if some is None else x[some]
            removed += self._count(self.solver, side, other, x, some, self.start.targets[place])
            self._changed(place, some, old)
            solved += side.rows if some is None else some.size
        return 2.0 * float(np.sqrt(max(removed, 0.0))), int(solved)

    def _count(
        self,
        solver: ConjugateGradient,
        side: Side,
        other: Array,
        x: Array,
        rows: Rows | None,
        held: Array | None,
    ) -> float:
        report = solver.solve(
            side, other, x, rows, rank=self.rank, threads=self.threads, anchor=held
        )
        self.work.rows += report.rows
        self.work.products += report.products
        return report.decrement

    def rows_alone(self, share: float) -> None:
        """The rows of the deletion, a ``share`` of the difference of the same steps on the
        remaining data and on all.

        From Θ_a; rows of whom nothing remains become zero.
        """
        P, Q = self._begin_again()
        first, second = self.order
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

    def _begin_again(self) -> tuple[Array, Array]:
        """Back to the original."""
        P, Q = (np.asarray(x) for x in self.original)
        self.P[:, : self.rank], self.Q[:, : self.rank] = P, Q
        self.grams.clear()
        return P, Q

    def _steps(self, problem: Problem, place: int, rows: Rows) -> Array:
        """Where the trainer's steps on ``problem`` take some rows of a side, which stays as it
        is.
        """
        side, x, other = self._side(problem, place)
        if not rows.size:
            return x[rows]
        moved = x[rows]
        self._count(self.solver, side.take(rows), other, moved, None, None)
        return moved

    def _side(self, problem: Problem, place: int) -> tuple[Side, Array, Array]:
        """(side, its rows, the other side's) for users (0) or items (1)."""
        side, x, other = (
            (problem.users, self.P, self.Q) if place == 0 else (problem.items, self.Q, self.P)
        )
        if side.other.size:  # other weights on either data
            return side, x, other
        if place not in self.grams:
            self.grams[place] = side.gram(other)
        return side.seeing(self.grams[place]), x, other

    def _changed(self, place: int, rows: Rows | None = None, old: Array | None = None) -> None:
        """Rows of a side have moved, from ``old`` where that is known, and the Gram matrix of them
        with them.
        """
        viewer = 1 - place
        if rows is not None and old is not None and viewer in self.grams:
            new, old = (x.astype(np.float64) for x in ((self.P, self.Q)[place][rows], old))
            self.grams[viewer] = self.grams[viewer] + self.after.users.missing_weight * (
                new.T @ new - old.T @ old
            )
        else:
            self.grams.pop(viewer, None)

    def leave_exact(self) -> None:
        """The side that the trainer leaves at its minimum given the other is left there."""
        if self.exact is not None:
            side, x, other = self._side(self.after, 0 if self.exact == "user" else 1)
            self.work.rows += (
                AHNewton().solve(side, other, x, None, rank=self.rank, threads=self.threads).rows
            )
            self._changed(0 if self.exact == "user" else 1)
            # nothing pulls at a row all of whose targets are 0: not even rounding is left of it
            if side.target.size:
                x[_sums(side, np.abs(side.target), side.all_rows) == 0] = 0

    def displaced(self, held: Pair, pushes: list[Array], most: float) -> Pair:
        """``held`` with A_r A_a⁻¹ g in place of g in the rows of the deletion.

        Not the gradient that training left in them stays, but the way to their minimum, p − A_a⁻¹
        b_a: what is gone held such a row in place along some directions, and the same gradient
        would move it far along these now. The change is no more than HALF of ``pushes`` in a row,
        and ``most`` altogether.
        """
        changes, sizes = [], []
        for place in (0, 1):
            change = self._displaced(place, held[place])
            size = self._row_norms(place, change)
            share = np.minimum(1.0, HALF * pushes[place] / np.maximum(size, 1e-300))
            changes.append(share[:, None] * change)
            sizes.append(share * size)
        whole = float(np.sqrt(sum(np.vdot(size, size) for size in sizes)))
        found = held[0].copy(), held[1].copy()
        for target, rows, change in zip(found, self.touched, changes, strict=True):
            target[rows] += min(1.0, most / max(whole, 1e-300)) * change
        return found

    def _displaced(self, place: int, held: Array) -> Array:
        """A_r (s A_a⁻¹ g) − g of every row in the deletion of a side that has something left; s is
        what SHARED makes of a user's remaining share, and 1 for items.
        """
        (old, x, other), new = self._side(self.before, place), self._side(self.after, place)[0]
        touched = self.touched[place]
        left = new.counts[touched] > 0
        rows, change = touched[left], np.zeros((touched.size, self.rank))
        if not rows.size:
            return change
        g, then, some = held[rows].astype(np.float64), old.take(rows), new.take(rows)
        way = np.zeros_like(g)
        block_solve(
            then, other, g, then.all_rows, rank=self.rank, threads=self.threads, solution=way
        )
        if place == 0:
            share = _weights(new, rows) / np.maximum(_weights(old, rows), 1e-300)
            way *= (np.minimum(share, 1.0) ** SHARED)[:, None]
        apart = np.zeros_like(x[rows])
        apart[:, : self.rank] = way
        gram = some.gram(other)
        ends = [
            half_gradients(some, other, at, gram, self.threads)[0][:, : self.rank]
            for at in (apart, np.zeros_like(apart))
        ]
        change[left] = ends[0] - ends[1] - g
        return change

    # ------------------------------------------------------------------ measuring

    def _push(self, held: _Point, reweighted: bool) -> tuple[float, float, list[Array]]:
        """(‖∇L_{D_r}(Θ_a) − ∇L_{D_a}(Θ_a)‖_{B⁻¹}, L_{D_r}(Θ_a), half the change of the gradient in
        the rows of the deletion, of either side) at first.

        The rows of other people and other items do not see the deletion, and so neither does their
        part of L. Rows of which nothing remains are left out: they are zero whatever else was done,
        and would hide all of it.
        """
        if reweighted:
            here = self._gradient(self.after)
            changes = here.users - held.users, here.items - held.items
            for gradient, side in zip(changes, (self.after.users, self.after.items), strict=True):
                gradient[side.counts == 0] = 0.0
            norm = self._norm(*changes, 0.0)
            pushed = [
                change[rows].astype(np.float64)
                for change, rows in zip(changes, self.touched, strict=True)
            ]
            return norm, here.fit + ridge_of(self.after, self.P, self.Q), pushed
        total, change = 0.0, 0.0
        pushed = [np.zeros((rows.size, self.rank)) for rows in self.touched]
        for place, rows in enumerate(self.touched):
            if not rows.size:
                continue
            (old, _, _), (new, x, other) = (
                self._side(self.before, place),
                self._side(self.after, place),
            )
            some, where = new.take(rows), x[rows]
            gram = some.gram(other)
            now, loss = half_gradients(some, other, where, gram, self.threads)
            then, known = half_gradients(old.take(rows), other, where, gram, self.threads)
            right = 2.0 * (now - then)[:, : self.rank]
            right[some.counts == 0] = 0.0
            total += block_solve(
                some, other, right, some.all_rows, rank=self.rank, threads=self.threads
            )[0]
            pushed[place] = (now - then)[:, : self.rank]
            change = loss - known if place == 0 else change
        objective = held.fit + change + ridge_of(self.after, self.P, self.Q)
        return float(np.sqrt(total)), objective, pushed

    def _row_norms(self, place: int, half: Array) -> Array:
        """‖2 g‖_{A⁻¹} of half the gradient (k, d) of every row in the deletion of a side; 0 for
        those that have nothing left.
        """
        side, _, other = self._side(self.after, place)
        some = side.take(self.touched[place])
        right = 2.0 * half.astype(np.float64)
        right[some.counts == 0] = 0.0
        solved = np.zeros_like(right)
        if len(right):
            block_solve(
                some,
                other,
                right,
                some.all_rows,
                rank=self.rank,
                threads=self.threads,
                solution=solved,
            )
        return np.asarray(np.sqrt(np.maximum(np.einsum("id,id->i", right, solved), 0.0)))

    def measure(self, *decisive: float) -> RowsLeft:
        """What is left where P and Q are; no more exactly than to tell on which side of
        ``decisive`` that is.
        """
        held, push = self.start.held, self.start.push
        here = self._gradient(self.after)
        bounded, deciding = BOUNDED if decisive else 0.0, tuple(share * push for share in decisive)
        gradient = here.users - held.users, here.items - held.items
        norm = self._norm(*gradient, ESTIMATED * push, bounded, deciding)
        left = self._row_norms(0, gradient[0][self.touched[0]])
        askers = float(left_of_askers(left, self.pushes).max(initial=0.0))
        objective = here.fit + ridge_of(self.after, self.P, self.Q)
        residual = norm / (push or 1.0)
        stored = residual * push <= storing_noise(here.theta_norm, self.P.dtype)
        self.found = RowsLeft(
            residual, objective, stored, askers, gradient if self.kept == np.float64 else None
        )
        return self.found

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
                half, loss, explained = row_gradients(
                    part, other, x[start:stop], gram, self.threads
                )
                gradient[start:stop] = half[:, : self.rank]
                # xᵀA x = xᵀ(A x − b) + bᵀx
                fitted += float(np.vdot(half, x[start:stop])) + explained
                fit += loss
            arrays.append(gradient)
        return _Point(arrays[0], arrays[1], fit, float(np.sqrt(max(fitted, 0.0))))

    def _norm(
        self,
        users: Array,
        items: Array,
        aside: float,
        bounded: float = 0.0,
        deciding: tuple[float, ...] = (),
    ) -> float:
        """‖2 (users, items)‖_{B⁻¹} of half a gradient, B of the remaining data where P and Q are;
        never too small.

        For rows with little of it gᵀ(w₀a QᵀQ + λ)⁻¹g, which is as large at least, stands in for it:
        as long as that adds no more than ``aside``² to the square, or than ``bounded`` of it and
        crosses none of ``deciding``.
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
    """What is left of the push in every asking user's row, over that push, or half of its root mean
    square if more.

    Both (k,) norms; a row that the deletion hardly pushes is moved by more than that when others
    forget.
    """
    mean = float(np.sqrt(np.mean(pushes[pushes > 0] ** 2))) if np.any(pushes > 0) else 0.0
    scale = np.maximum(pushes, 0.5 * mean)
    return np.asarray(np.where(pushes > 0, left / np.where(scale > 0, scale, 1.0), 0.0))


def _weights(side: Side, rows: Rows) -> Array:
    """Σ c of some rows' interactions."""
    return (
        _sums(side, side.confidence, rows)
        if side.confidence.size
        else side.counts[rows].astype(np.float64)
    )


def _sums(side: Side, values: Array, rows: Rows) -> Array:
    """Sums of some rows' ``values`` (|D|,)."""
    totals = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    return np.asarray(totals[side.indptr[rows + 1]] - totals[side.indptr[rows]])
