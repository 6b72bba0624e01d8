"""Row solves of losses that are sums of terms: damped Newton per row, gradients, and how far a
model is from rest.

    ‖v‖²_{H⁻¹} = Σ_rows vᵀ H⁻¹ v,      H = ∂²L/∂x² of each row at that point

is the norm that a residual is taken in, as for the quadratic losses (``solvers.stationarity``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.errors import NumericFailure
from alteraser.models.factorization.biased import BiasedFactors
from alteraser.models.factorization.terms import RowProblem, Terms
from alteraser.runtime.workers import blocks, run
from alteraser.solvers.rows.protocol import RowReport, padded

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]

TO_THE_END = 100
"""Newton steps that bring any row to its minimum; the kernel stops where only rounding is left."""


@dataclass(frozen=True)
class Slopes:
    """Loss and gradient of a ``RowProblem`` at some factors, in the columns of its layout."""

    objective: float
    """L without μ's part in it: the users' terms and both ridges."""
    users: Float64
    """∂L/∂(p, b), (m, width); zero in fixed columns. Where the sides share no loss, each side's
    own."""
    items: Float64
    """(n, width)"""
    user_parts: Float64
    """(m, 3): norms of the terms that pull scores up, of those that push them down, and of the
    ridge."""
    item_parts: Float64

    along: float
    """Σ_rows ⟨∇ of the terms, x⟩ over Σ_rows ‖x‖ · (norms of the terms' two parts), −1 to 1: at a
    minimum below 0 by what the ridge pulls; above 0 where the terms would have rows shorter, as on
    data they were not trained on."""

    data_along_ridge: float
    """⟨∇ of the terms, ∇ of the ridge⟩ over ‖∇ of the ridge‖²; −1 at a minimum, 0 without a
    ridge."""

    @property
    def share(self) -> float:
        """‖gradient‖ over the norms of its parts, both summed over all rows."""
        whole = float(self.user_parts.sum() + self.item_parts.sum())
        total = float(
            np.linalg.norm(self.users, axis=1).sum() + np.linalg.norm(self.items, axis=1).sum()
        )
        return total / whole if whole > 0 else 0.0

    @property
    def fitting_ridge(self) -> float:
        """By what all λ would have to be multiplied for the gradient to be smallest; 1 at a
        minimum.
        """
        return -self.data_along_ridge

    @property
    def user_shares(self) -> Float64:
        """‖gradient‖ over the sum of the norms of its parts, (m,): 0 at a minimum, at most 1; 0 for
        an empty row.
        """
        return _shares(self.users, self.user_parts)

    @property
    def item_shares(self) -> Float64:
        """The same for items, (n,)."""
        return _shares(self.items, self.item_parts)


@dataclass(frozen=True, eq=False)
class Hold:
    """What holds the rows of one side where training left them: ½ μ ‖x‖² − l·x beside the loss,
    free columns alone.

    With l = ∇f_{D_a}(x_a) + μ x_a the row minimizes f_{D_r}(x) − ∇f_{D_a}(x_a)·x + ½ μ ‖x − x_a‖²:
    nothing moves where nothing was deleted, and where something was, the row goes less far the less
    the data say.
    """

    damping: Float64
    """μ (rows,)"""
    linear: Float64
    """l (rows, width)"""


def solve_terms(
    terms: Terms,
    other: Array,
    x: Array,
    rows: Array | None,
    *,
    steps: int,
    threads: int,
    hold: Hold | None = None,
) -> RowReport:
    """Improve ``x[rows]`` (all rows for None), in place, by up to ``steps`` damped Newton steps
    each.

    ``other`` and ``x`` are packed (``Layout.pack``) and padded. Rows that see each other are taken
    one after the other in increasing order, others side by side; neither depends on the number of
    threads. Raises NumericFailure naming the row.
    """
    from alteraser.linalg.kernels.tile import lanes
    from alteraser.solvers.kernels.terms import newton_rows

    decrement, value = np.zeros(terms.rows), np.zeros(terms.rows)
    status = np.zeros(terms.rows, np.int8)
    wanted = terms.all_rows if rows is None else np.asarray(rows, dtype=np.int64)
    damping = np.empty(0) if hold is None else hold.damping
    linear = np.empty((0, 0)) if hold is None else padded(hold.linear)
    arrays = terms.arrays

    def kernel(block: Array) -> None:
        newton_rows(
            block,
            arrays,
            other,
            x,
            lanes(8),
            steps,
            damping,
            linear,
            decrement,
            value,
            status,
        )

    run(kernel, [np.sort(wanted)] if terms.coupled else _blocks(terms, rows, threads), threads)
    _check(terms, status)
    return RowReport(int(wanted.size), 0, float(decrement.sum()), float(value.sum()))


def slopes(problem: RowProblem, factors: BiasedFactors, *, threads: int = 1) -> Slopes:
    """Loss, gradient and its parts at ``factors``. O(terms · d)."""
    P, Q = problem.layout.pack(factors)
    user_value, users, user_parts = _slopes(problem.users, Q, P, threads)
    _, items, item_parts = _slopes(problem.items, P, Q, threads)
    penalty = along = squared = inward = whole = 0.0
    for terms, x, gradient, parts in (
        (problem.users, P, users, user_parts),
        (problem.items, Q, items, item_parts),
    ):
        pull = terms.scale[:, None] * terms.penalty * x
        penalty += ridge(terms, x)
        along += float(np.vdot(gradient - pull, pull))
        squared += float(np.vdot(pull, pull))
        inward += float(np.vdot(gradient - pull, x))
        whole += float(parts[:, :2].sum(axis=1) @ np.linalg.norm(x[:, terms.free], axis=1))
    along = along / squared if squared > 0 else 0.0
    inward = inward / whole if whole > 0 else 0.0
    return Slopes(user_value + penalty, users, items, user_parts, item_parts, inward, along)


def slope_norm(
    problem: RowProblem,
    factors: BiasedFactors,
    users: Float64,
    items: Float64,
    *,
    threads: int,
    damping: tuple[Float64, Float64] | None = None,
) -> float:
    """‖(users, items)‖_{(H + μ)⁻¹} with H of every row of ``problem`` at ``factors``; ``damping`` μ
    (0 for None).
    """
    P, Q = problem.layout.pack(factors)
    mu = damping or (np.empty(0), np.empty(0))
    squared = _solved(problem.users, Q, P, users, mu[0], threads) + _solved(
        problem.items, P, Q, items, mu[1], threads
    )
    return float(np.sqrt(max(squared, 0.0)))


def unrest(problem: RowProblem, factors: BiasedFactors, here: Slopes, *, threads: int) -> float:
    """‖∇L‖_{H⁻¹}; where users and items share no loss, of what is left of it modulo rotations.

    Rotating P and Q together changes no score. With one loss for both sides a gradient has no part
    along a rotation. With two, passes settle on scores, norms and angles that no longer change
    while the whole model keeps turning a little, by the same rotation each pass; there is no point
    where both gradients vanish, and that turning is nothing that training or forgetting could
    finish. In the items' place stands therefore the step E that a sweep would still take apart from
    the rotation that fits it best, as ‖E‖_H.
    """
    items = here.items if problem.shared else _without_turning(problem, factors, here, threads)
    return slope_norm(problem, factors, here.users, items, threads=threads)


def _without_turning(
    problem: RowProblem, factors: BiasedFactors, here: Slopes, threads: int
) -> Float64:
    """H E for items."""
    from scipy.linalg import orthogonal_procrustes

    P, Q = problem.layout.pack(factors)
    d, terms = problem.layout.rank, problem.items
    swept = padded(Q)
    solve_terms(terms, padded(P), swept, None, steps=TO_THE_END, threads=threads)
    step = swept[:, : Q.shape[1]] - Q
    step[:, :d] += Q[:, :d] - Q[:, :d] @ orthogonal_procrustes(Q[:, :d], swept[:, :d])[0]
    size = float(np.abs(step).max(initial=0.0))
    if size == 0:
        return step
    small = 1e-5 * (1.0 + float(np.abs(Q).max())) / size
    return (_slopes(terms, P, Q + small * step, threads)[1] - here.items) / small


def _solved(
    terms: Terms, other: Array, x: Array, v: Float64, damping: Float64, threads: int
) -> float:
    """Σ vᵀ(H + μ)⁻¹v over the rows of one side."""
    from alteraser.linalg.kernels.tile import lanes
    from alteraser.solvers.kernels.terms import norm_terms

    arrays, other, x = terms.arrays, padded(other), padded(x)
    out, status = np.zeros(terms.rows), np.zeros(terms.rows, np.int8)
    # a row without terms or ridge has no loss: it is zero by convention, and nothing pushes it
    rows = np.flatnonzero(np.any(v != 0, axis=1) & ((terms.counts > 0) | (terms.scale > 0)))

    def kernel(block: Array) -> None:
        norm_terms(block, arrays, other, x, lanes(8), damping, v, out, status)

    run(kernel, _blocks(terms, rows, threads), threads)
    _check(terms, status)
    return float(out.sum())


def ridge(terms: Terms, x: Array) -> float:
    """½ Σ_rows ρ Σ_c λ_c x_c²."""
    own = x[:, : terms.penalty.size]
    return 0.5 * float(np.einsum("i,c,ic,ic->", terms.scale, terms.penalty, own, own))


def _slopes(terms: Terms, other: Array, x: Array, threads: int) -> tuple[float, Float64, Float64]:
    from alteraser.solvers.kernels.terms import gradient_terms

    gradient, parts, value = np.zeros_like(x), np.zeros((terms.rows, 3)), np.zeros(terms.rows)
    arrays = terms.arrays

    def kernel(rows: Array) -> None:
        gradient_terms(rows, arrays, other, x, gradient, value, parts)

    run(kernel, _blocks(terms, None, threads), threads)
    return float(value.sum()), gradient, parts


def _blocks(terms: Terms, rows: Array | None, threads: int) -> list[Array]:
    return blocks(terms, rows, int(terms.penalty.size), threads)


def _shares(gradient: Float64, parts: Float64) -> Float64:
    whole = parts.sum(axis=1)
    return np.asarray(
        np.divide(
            np.linalg.norm(gradient, axis=1), whole, out=np.zeros(len(whole)), where=whole > 0
        )
    )


def _check(terms: Terms, status: Array) -> None:
    failed = np.flatnonzero(status)
    if failed.size == 0:
        return
    row = int(failed[0])
    kind = "singular" if status[row] == 1 else "not finite"
    remedy = (
        "its loss has no single minimum: give a regularization above 0"
        if status[row] == 1
        else "look for extreme ratings, or embeddings that are not those of this model"
    )
    raise NumericFailure(
        f"{failed.size} {terms.name} row(s) have no solution; the first is row {row}, whose "
        f"system is {kind} ({int(terms.counts[row])} terms): {remedy}",
        side=terms.name,
        row=row,
        outcome=kind,
        failed=int(failed.size),
    )
