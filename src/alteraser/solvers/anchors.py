"""What training had left in a model's gradient, and how much of a deletion is still to do when that
is to stay.

A model that was stopped early is no optimum: its gradient on the data it was trained on is not
zero. Forgetting that went on to an optimum would be another training. What a deletion has to change
is measured against that gradient,

    anchored residual = ‖∇L_{D_r}(Θ_u) − ∇L_{D_a}(Θ_a)‖_{B⁻¹} / ‖∇L_{D_r}(Θ_a) −
    ∇L_{D_a}(Θ_a)‖_{B⁻¹}

with B = blockdiag(A_u, A_v) of the remaining data, at Θ_u above and at Θ_a below: 1 at the
original, 0 where the deletion has had its effect and nothing else has changed. At an optimum Θ_a it
is the residual itself.

L does not change when all rows are turned together, and ∇L turns with them. So anchors turn with
the model: g = ∇L_{D_a}(Θ_a) stands for g R above, R being the rotation that brings the original's
items Q_a nearest to the model's. Had it stood still, it would ask for another point the further the
model has turned, along directions in which nothing but the anchor itself bends. What is looked for
is the stationary point of

    L_{D_r}(Θ) − ⟨g R, Θ⟩     among the Θ whose items are turned as Q_a R are, (Q_a R)ᵀ Q symmetric,

which every model has a place for among its rotations, but for those that have lost a dimension of
the items. A part Q_a R S of the gradient, S skew, does not count then, and no step has such a part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.models import Factors, Problem
from alteraser.solvers.limits import STORED
from alteraser.solvers.rotations import COLLAPSED, Rotations, nearest
from alteraser.solvers.rows.protocol import padded
from alteraser.solvers.stationarity import (
    Evaluation,
    block_solve,
    evaluate,
    gradient_norm,
    half_gradients,
)

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]


TOLD = 1e-12
"""Squared singular values of the items, over the largest, from which on they span rotations."""

LOST = 0.1
"""Share of its squared length that two dimensions of the items must keep for it to be known how
they have turned."""


@dataclass(frozen=True)
class Anchors:
    """∇L_{D_a}(Θ_a), the gradient that is to stay; zero in rows of whom nothing remains, whose
    minimum is zero.
    """

    users: Float64
    """(m, d)"""
    items: Float64
    """(n, d)"""
    level: Float64 | None
    """The items that say how the anchors are turned, (n, d): Q_a, zero in the same rows. None where
    a trained prediction vector leaves no rotation"""

    @classmethod
    def of(cls, before: Evaluation, after: Problem, original: Factors) -> Anchors:
        """From the gradient on D_a of ``original``, and the problem on D_r that says which rows are
        left.
        """
        found = [before.user_gradient.copy(), before.item_gradient.copy()]
        level = original.items.astype(np.float64)
        for rows, gone in (
            (found[0], after.users.counts == 0),
            (found[1], after.items.counts == 0),
            (level, after.items.counts == 0),
        ):
            rows[gone] = 0.0
        turns = np.ptp(np.asarray(original.prediction, dtype=np.float64)) == 0
        return cls(found[0], found[1], level if turns else None)

    def turned(self, items: Array) -> Anchors:
        """The same in the frame of a model with ``items`` (n, d)."""
        if self.level is None:
            return self
        R = nearest((self.level,), (items,))
        return Anchors(self.users @ R, self.items @ R, self.level @ R)

    def left(self, users: Float64, items: Float64) -> tuple[Float64, Float64]:
        """What of a gradient (m, d), (n, d) in this frame is not to stay."""
        users, items = users - self.users, items - self.items
        if self.level is not None:
            items = Rotations(self.level, least=TOLD).off(items)
        return users, items

    def know(self, items: Array) -> bool:
        """Whether it is known how ``items``, in whose frame these are, have turned: not where
        hardly anything is left of two dimensions.
        """
        if self.level is None or items.shape[1] < 2:
            return True
        lengths, axes = np.linalg.eigh(self.level.T @ self.level)
        kept = np.diag(axes.T @ (self.level.T @ items.astype(np.float64)) @ axes)
        pairs = np.triu_indices(lengths.size, 1)
        before, now = (x[pairs[0]] + x[pairs[1]] for x in (lengths, kept))
        there = before > COLLAPSED * lengths[-1]
        return bool(np.all(now[there] >= LOST * before[there]))


def anchors(
    before: Problem, after: Problem, original: Factors, *, threads: int | None = None
) -> Anchors:
    """The gradient on ``before`` (D_a) at the original, for rows that ``after`` (D_r) does not
    leave empty.
    """
    return Anchors.of(evaluate(before, original, threads=threads), after, original)


def anchored_norm(
    after: Problem, factors: Factors, held: Anchors, *, threads: int | None = None
) -> float:
    """‖∇L_{D_r}(Θ) − ``held`` R‖_{B⁻¹}, in float64 from the stored factors."""
    here = evaluate(after, factors, threads=threads)
    left = held.turned(factors.items).left(here.user_gradient, here.item_gradient)
    return gradient_norm(after, factors, *left, threads=threads)


def rows_effect(
    before: Problem, after: Problem, original: Factors, rows: tuple[Array, Array], *, threads: int
) -> float:
    """‖A⁻¹ (∇L_{D_r} − ∇L_{D_a}) / 2‖_F over ``rows`` (users, items) that D_r does not leave empty,
    at the original.

    How far the rows of the deletion would go alone, each given the others: less than the deletion's
    whole effect, for next to nothing.
    """
    h = original.prediction
    total = 0.0
    for a, b, x, other, chosen in (
        (before.users, after.users, original.users, original.items * h, rows[0]),
        (before.items, after.items, original.items, original.users * h, rows[1]),
    ):
        live = chosen[b.counts[chosen] > 0]
        if live.size:
            seen, wide = padded(other.astype(after.dtype)), b
            if not (a.other.size or b.other.size):  # both see the same, once is enough
                gram = b.gram(other)
                a, b, wide = (side.seeing(gram) for side in (a, b, b))
                if seen.shape[1] > x.shape[1]:
                    wide = b.seeing(np.pad(gram, (0, seen.shape[1] - x.shape[1])))
            change = [half_gradients(side, other, x, live, threads=threads) for side in (a, b)]
            right, out = np.zeros(x.shape), np.zeros(x.shape)
            right[live] = change[1] - change[0]
            block_solve(
                wide,
                seen,
                right,
                live,
                rank=original.rank,
                threads=threads,
                solution=out,
            )
            total += float(np.vdot(out[live], out[live]))
    return float(np.sqrt(total))


def storing_noise(theta_norm: float, dtype: npt.DTypeLike) -> float:
    """What rounding the factors to ``dtype`` may leave of a gradient in the same norm, from ‖Θ‖_B.

    A relative error of ε/2 in every entry moves row x by at most ε/2 ‖x‖, so ∇ = 2 A δ has
    ‖∇‖_{B⁻¹} ≤ ε ‖Θ‖_B where the rows are not worse conditioned along δ than along themselves;
    twice that is allowed for.
    """
    eps = STORED if np.dtype(dtype) == np.float32 else float(np.finfo(np.float64).eps)
    return 2.0 * eps * theta_norm
