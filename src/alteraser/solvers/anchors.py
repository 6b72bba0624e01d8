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
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.models import Factors, Problem
from alteraser.solvers.limits import STORED
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


@dataclass(frozen=True)
class Anchors:
    """∇L_{D_a}(Θ_a), the gradient that is to stay; zero in rows of whom nothing remains, whose
    minimum is zero.
    """

    users: Float64
    """(m, d)"""
    items: Float64
    """(n, d)"""

    @classmethod
    def of(cls, before: Evaluation, after: Problem) -> Anchors:
        """From the original's gradient on D_a, and the problem on D_r that says which rows are
        left.
        """
        users, items = before.user_gradient.copy(), before.item_gradient.copy()
        users[after.users.counts == 0] = 0.0
        items[after.items.counts == 0] = 0.0
        return cls(users, items)


def anchors(
    before: Problem, after: Problem, original: Factors, *, threads: int | None = None
) -> Anchors:
    """The gradient on ``before`` (D_a) at the original, for rows that ``after`` (D_r) does not
    leave empty.
    """
    return Anchors.of(evaluate(before, original, threads=threads), after)


def anchored_norm(
    after: Problem, factors: Factors, held: Anchors, *, threads: int | None = None
) -> float:
    """‖∇L_{D_r}(Θ) − ``held``‖_{B⁻¹}, in float64 from the stored factors."""
    here = evaluate(after, factors, threads=threads)
    return gradient_norm(
        after,
        factors,
        here.user_gradient - held.users,
        here.item_gradient - held.items,
        threads=threads,
    )


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
            change = [half_gradients(side, other, x, live, threads=threads) for side in (a, b)]
            right, out = np.zeros(x.shape), np.zeros(x.shape)
            right[live] = change[1] - change[0]
            block_solve(
                b,
                padded(other.astype(after.dtype)),
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
