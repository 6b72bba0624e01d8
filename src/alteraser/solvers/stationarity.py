"""How far a model is from a stationary point of an objective: gradients, their norm, and the push
of a deletion.

Everything here is computed from the stored factors and accumulated in float64, whatever precision
the solver works in; only the preconditioner B, which defines the norm, is factored in the problem's
precision.

    ‖∇L‖²_{B⁻¹} = Σ_rows ∇ᵀ A⁻¹ ∇,      ‖Θ‖²_B = Σ_rows xᵀ A x,
        B = blockdiag(A_u, A_v) at that point
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.models import Factors, Problem, Side
from alteraser.runtime.workers import blocks, default_threads, run
from alteraser.solvers.rows.protocol import check, padded

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Evaluation:
    """Objective and gradient of a problem at some factors."""

    objective: float
    user_gradient: Float64
    """∂L/∂P, (m, d)"""
    item_gradient: Float64
    """∂L/∂Q, (n, d)"""
    theta_norm: float
    """‖Θ‖_B"""


@singledispatch
def evaluate(problem: Any, factors: Factors, *, threads: int | None = None) -> Evaluation:
    """Objective, gradient with respect to P and Q, and ‖Θ‖_B, in float64. O(|D|d + (m+n)d²)."""
    threads = threads or default_threads()
    h = factors.prediction
    gu, loss, fit_u = _half_gradient(problem.users, factors.items * h, factors.users, threads)
    gv, _, fit_v = _half_gradient(problem.items, factors.users * h, factors.items, threads)
    penalty = sum(
        float(np.dot(side.ridge.astype(np.float64), _squares(x)))
        for side, x in ((problem.users, factors.users), (problem.items, factors.items))
    )
    curvature = fit_u + fit_v + _inner(gu, factors.users) + _inner(gv, factors.items)
    return Evaluation(loss + penalty, 2 * gu, 2 * gv, float(np.sqrt(max(curvature, 0.0))))


@singledispatch
def gradient_norm(
    problem: Any,
    factors: Factors,
    user_gradient: Float64,
    item_gradient: Float64,
    *,
    threads: int | None = None,
) -> float:
    """‖(user_gradient, item_gradient)‖_{B⁻¹} with B of ``problem`` at ``factors``; rows of zeros
    cost nothing.
    """
    threads = threads or default_threads()
    h = factors.prediction
    dtype = problem.dtype
    total = 0.0
    for side, other, gradient in (
        (problem.users, factors.items, user_gradient),
        (problem.items, factors.users, item_gradient),
    ):
        rows = np.flatnonzero(np.any(gradient != 0, axis=1))
        if rows.size:
            total += _squared_norm(
                side, padded((other * h).astype(dtype)), gradient, rows, factors.rank, threads
            )
    return float(np.sqrt(total))


def stationarity(
    problem: Problem, factors: Factors, *, threads: int | None = None
) -> tuple[float, Evaluation]:
    """(‖∇L‖_{B⁻¹} / ‖Θ‖_B, evaluation): what training stops by. 0 for the zero model at its
    minimum.
    """
    evaluation = evaluate(problem, factors, threads=threads)
    norm = gradient_norm(
        problem, factors, evaluation.user_gradient, evaluation.item_gradient, threads=threads
    )
    return (norm / evaluation.theta_norm if evaluation.theta_norm > 0 else norm), evaluation


@dataclass(frozen=True)
class Push:
    """What a deletion does to a trained model's gradient, before anything is updated."""

    norm: float
    """‖∇L_after(Θ) − ∇L_before(Θ)‖_{B⁻¹}"""
    objective: float
    """L_after(Θ)"""
    floor: float | None
    """‖∇L_before(Θ)‖_{B⁻¹} / norm: what training left, in the same unit. Above 1 the training's own
    rest is larger than the deletion. None when ``before`` is unknown."""


def push(
    before: Problem | None, after: Problem, factors: Factors, *, threads: int | None = None
) -> Push:
    """How hard a deletion pushes the model (Liu et al., RecSys 2022, Eq. 6), with B taken on
    ``after``.

    ``before`` is the objective on all interactions, ``after`` on the remaining ones, ``factors``
    the original model. Rows whose sub-problem did not change contribute exactly nothing. Without
    ``before`` the whole gradient on ``after`` counts as push.
    """
    second = evaluate(after, factors, threads=threads)
    du, dv = second.user_gradient, second.item_gradient
    if before is None:
        return Push(gradient_norm(after, factors, du, dv, threads=threads), second.objective, None)
    first = evaluate(before, factors, threads=threads)
    rest = gradient_norm(before, factors, first.user_gradient, first.item_gradient, threads=threads)
    du, dv = du - first.user_gradient, dv - first.item_gradient
    for difference, a, b in ((du, before.users, after.users), (dv, before.items, after.items)):
        difference[unchanged(a, b)] = 0.0  # rounding in unchanged rows is not a push
    norm = gradient_norm(after, factors, du, dv, threads=threads)
    return Push(norm, second.objective, rest / norm if norm > 0 else None)


def unchanged(before: Side, after: Side) -> npt.NDArray[np.bool_]:
    """Rows, (rows,), whose sub-problem is the same on D_a and on D_r ⊂ D_a for the same other
    side.
    """
    # weights of the other side are in every row's shared term
    if before.other.size or after.other.size:
        return np.zeros(after.rows, bool)
    return np.asarray(
        (before.counts == after.counts) & (before.own == after.own) & (before.ridge == after.ridge)
    )


def half_gradients(side: Side, other: Array, x: Array, rows: Array, *, threads: int = 0) -> Float64:
    """A x − b, half the gradient, of some rows alone in float64, (len(rows), d)."""
    return _half_gradient(
        side.take(rows), other, np.ascontiguousarray(x[rows]), threads or default_threads()
    )[0]


def _half_gradient(
    side: Side, other: Array, x: Array, threads: int
) -> tuple[Float64, float, float]:
    from alteraser.solvers.kernels.rows import gradient_rows

    d = x.shape[1]
    other, x = np.ascontiguousarray(other), np.ascontiguousarray(x)
    gradient = np.empty((side.rows, d))
    loss, fit = np.empty(side.rows), np.empty(side.rows)
    arrays, gram = side.arrays, side.gram(other)

    def kernel(rows: Array) -> None:
        gradient_rows(rows, arrays, other, gram, x, gradient, loss, fit)

    run(kernel, blocks(side, None, d, threads), threads)
    return gradient, float(loss.sum()), float(fit.sum())


def _squared_norm(
    side: Side, other: Array, gradient: Float64, rows: Array, rank: int, threads: int
) -> float:
    return float(block_solve(side, other, gradient, rows, rank=rank, threads=threads)[0])


def block_solve(
    side: Side,
    other: Array,
    right: Float64,
    rows: Array,
    *,
    rank: int,
    threads: int,
    solution: Float64 | None = None,
) -> tuple[float, Float64]:
    """(Σ rᵀA⁻¹r, A⁻¹r) over ``rows`` for right-hand sides ``right`` (rows, d), with A of each row
    at ``other``.

    The second is only computed when an array for it is given, and is that array. Rows of zeros cost
    nothing.
    """
    from alteraser.linalg.kernels.tile import lanes
    from alteraser.solvers.kernels.rows import norm_rows

    dtype = other.dtype
    arrays, gram = side.arrays, side.gram(other).astype(dtype)
    decrement, status = np.zeros(side.rows), np.zeros(side.rows, np.int8)
    right = np.ascontiguousarray(right)
    out = np.empty((0, rank)) if solution is None else solution

    def kernel(block: Array) -> None:
        norm_rows(
            block,
            arrays,
            other,
            gram,
            rank,
            lanes(dtype.itemsize),
            right,
            decrement,
            status,
            out,
        )

    run(kernel, blocks(side, rows, rank, threads), threads)
    check(side, status)
    return float(decrement.sum()), out


def _squares(x: Array) -> Float64:
    return np.asarray(np.einsum("id,id->i", x, x, dtype=np.float64))


def _inner(x: Float64, y: Array) -> float:
    return float(np.einsum("id,id->", x, y, dtype=np.float64))
