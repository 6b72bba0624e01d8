"""How much of a deletion's effect a model lacks: one Gauss–Newton solve with what is left of the
anchored gradient.

    r = ∇L_{D_r}(Θ_u) − ∇L_{D_a}(Θ_a)        x = −G⁻¹ r / 2
        effect left = ‖x‖_F / ‖Θ_u − Θ_a‖_F

over the rows that D_r does not leave empty, G the Gauss–Newton part of ½ ∇²L on D_r at Θ_u, users
and items together: what remains of the curvature without what the errors add to it. Where training
had not arrived, L itself may bend down and has no such step; G never does where λ > 0. Above 1 the
model lacks more of the effect than it has had.

A solve takes PRODUCTS products at most; what it lacks then, estimated from above
(``linalg.ahead``), counts as missing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from alteraser.errors import NumericFailure
from alteraser.linalg.ahead import Ahead
from alteraser.linalg.pairs import inner, norm
from alteraser.models import Problem
from alteraser.models.factorization.biased import BiasedFactors
from alteraser.models.factorization.terms import RowProblem
from alteraser.solvers import reduced
from alteraser.solvers.blocks import room_for
from alteraser.solvers.curvatures import Curvatures
from alteraser.solvers.gauss_newton import SHORT, GaussNewtonSide, basis
from alteraser.solvers.preconditioner import BlockInverse
from alteraser.solvers.reduced import Observers, ReducedHessian
from alteraser.solvers.residuals import half_gradients
from alteraser.solvers.rotations import Rotations
from alteraser.solvers.rows.terms import slopes

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]
Pair = tuple[Float64, Float64]

FALLEN, ADDED, PRODUCTS = 0.05, 0.2, 10
"""A solve ends once ‖r‖_{B⁻¹} has fallen to this share, and no more than this share of the way is
ahead; or after so many products."""

CELLS = 1 << 22
"""Numbers that are gathered at a time."""

MOST = 1 << 28
"""Interactions times factors up to which a solve is made where products are NumPy's."""


def effect_left(
    before: Problem,
    after: Problem,
    original: tuple[Array, Array],
    new: tuple[Array, Array],
    *,
    rank: int,
    threads: int,
    left: tuple[Array, Array] | None = None,
) -> float | None:
    """The share that Θ_u = ``new`` lacks of what the deletion does to Θ_a = ``original``, padded
    (m, w) and (n, w).

    ``left`` is half of ∇L_{D_r}(Θ_u) − ∇L_{D_a}(Θ_a), (m, d) and (n, d), where that is at hand.
    None where nothing moved, without a ridge (G is singular then), where a block has no factor in
    the precision of the pairs, or where there is no room for the blocks of both sides.
    """
    sides = after.users, after.items
    if not after.objective.regularization > 0:
        return None
    live = [side.counts > 0 for side in sides]
    moved = norm([(a - b)[rows] for a, b, rows in zip(new, original, live, strict=True)])
    if moved == 0:
        return None
    if left is None:
        left = _anchored(before, after, original, new, rank, threads)
    r = [np.where(rows[:, None], -x, 0.0) for x, rows in zip(left, live, strict=True)]
    size = max(float(np.abs(x).max(initial=0.0)) for x in r)
    if size == 0.0:
        return 0.0
    system = _system(after, new, (r[0] / size, r[1] / size), rank, threads)
    if system is None:
        return None
    users, items, right = system
    # G does nothing to what only turns the model but for the ridge; none of it is wanted
    at = users.x, items.x
    turns = Rotations(*at)
    a, b = _without(turns, at, right)
    given = users.solve(a)
    found = reduced.conjugate(
        ReducedHessian(users, items),
        BlockInverse(items),
        b - items.across(given),
        given,
        enough=lambda now: now.fallen <= FALLEN and now.ahead <= ADDED * now.length,
        products=PRODUCTS,
        rotations=None,
        told=Observers(Curvatures(None), Ahead()),
    )
    x = _without(turns, at, (found.users, found.items))
    way = norm([part[rows] for part, rows in zip(x, live, strict=True)])
    return (way + (0.0 if found.exact else found.last.ahead)) * size / moved


def _system(
    after: Problem, new: Pair, right: Pair, rank: int, threads: int
) -> tuple[GaussNewtonSide, GaussNewtonSide, Pair] | None:
    """(users, items, ``right``) as wide as ``new`` and turned together, which changes nothing, to
    where the blocks of items that few know are found at once; None where blocks have no factor or
    no room.
    """
    P, Q = new
    turned = basis(after.items, P, rank)
    V, diagonal = (np.eye(rank), None) if turned is None else turned
    factored = int(np.sum(after.items.counts > (0 if turned is None else SHORT * rank)))
    if not room_for(len(P) + factored, P.shape[1], after.dtype):
        return None
    live = (after.users.counts > 0, after.items.counts > 0)
    alive = (np.where(some[:, None], x, 0) for x, some in zip(new, live, strict=True))
    P, Q, a, b = (_wide(x[:, :rank] @ V, P) for x in (*alive, *right))
    try:
        users = GaussNewtonSide(after.users, P, Q, rank=rank, threads=threads)
        items = GaussNewtonSide(after.items, Q, P, rank=rank, threads=threads, diagonal=diagonal)
    except NumericFailure:
        return None
    return users, items, (a, b)


def _without(turns: Rotations, at: Pair, direction: Pair) -> Pair:
    """A direction of both sides without what turns them."""
    S = turns.of(*direction)
    return direction[0] - at[0] @ S, direction[1] - at[1] @ S


def _anchored(
    before: Problem,
    after: Problem,
    original: tuple[Array, Array],
    new: tuple[Array, Array],
    rank: int,
    threads: int,
) -> Pair:
    """Half of ∇L_{D_r}(Θ_u) − ∇L_{D_a}(Θ_a)."""
    left = []
    for place, sides in enumerate(((before.users, after.users), (before.items, after.items))):
        there, here = (
            half_gradients(side, pair[1 - place], pair[place], side.gram(pair[1 - place]), threads)
            for side, pair in zip(sides, (original, new), strict=True)
        )
        left.append((here[0] - there[0])[:, :rank])
    return left[0], left[1]


def _wide(x: Array, like: Array) -> Array:
    """(rows, d) as wide as ``like``."""
    out = np.zeros((len(x), like.shape[1]), like.dtype)
    out[:, : x.shape[1]] = x
    return out


def effect_left_of_squares(
    before: RowProblem,
    after: RowProblem,
    original: BiasedFactors,
    new: BiasedFactors,
    *,
    threads: int,
) -> float | None:
    """The same for ½ Σ_D (r − μ − s)² with biases and a ridge; there L has no factor 2 and neither
    has x.

    None where nothing moved, without a ridge, and where there is more than MOST to gather.
    """
    data = after.interactions
    width = after.layout.width
    if not after.loss.ridge.positive or len(data) * width > MOST:
        return None
    start, end = after.layout.pack(original), after.layout.pack(new)
    counts = data.user_counts > 0, data.item_counts > 0
    live = [
        rows[:, None] & terms.free
        for rows, terms in zip(counts, (after.users, after.items), strict=True)
    ]
    moved = norm([(b - a) * rows for a, b, rows in zip(start, end, live, strict=True)])
    if moved == 0:
        return None
    there, here = slopes(before, original, threads=threads), slopes(after, new, threads=threads)
    right = (there.users - here.users) * live[0], (there.items - here.items) * live[1]
    u, v = data.user_rows, data.indices.astype(np.int64)
    P, Q = end
    ridges = tuple(terms.scale[:, None] * terms.penalty for terms in (after.users, after.items))

    def product(x: Pair) -> Pair:
        t = np.empty(u.size)
        for at in range(0, u.size, max(CELLS // width, 1)):
            some = slice(at, at + max(CELLS // width, 1))
            a, b = u[some], v[some]
            t[some] = np.einsum("id,id->i", x[0][a], Q[b]) + np.einsum("id,id->i", P[a], x[1][b])
        T = csr_array((t, data.indices, data.indptr), shape=data.shape)
        return (T @ Q + ridges[0] * x[0]) * live[0], (T.T @ P + ridges[1] * x[1]) * live[1]

    ones = csr_array((np.ones(u.size), data.indices, data.indptr), shape=data.shape)
    diagonals = ones @ np.square(Q) + ridges[0], ones.T @ np.square(P) + ridges[1]
    x, ahead = conjugate(
        product, (np.maximum(diagonals[0], 1e-300), np.maximum(diagonals[1], 1e-300)), right
    )
    return (norm(x) + ahead) / moved


def conjugate(product: Callable[[Pair], Pair], diagonal: Pair, right: Pair) -> tuple[Pair, float]:
    """(x, an estimate from above of what it lacks) for G x = ``right``, by conjugate gradients.

    Preconditioned by the ``diagonal`` of G, which is positive definite; ends as the module says.
    """
    x = np.zeros_like(right[0]), np.zeros_like(right[1])
    r = right[0].copy(), right[1].copy()
    z = r[0] / diagonal[0], r[1] / diagonal[1]
    p, rz = z, inner(r, z)
    first, ahead = rz, Ahead()
    for _ in range(PRODUCTS):
        if not rz > 0.0:
            break
        q = product(p)
        step = rz / inner(p, q)
        for a, b, c, d in zip(x, p, r, q, strict=True):
            a += step * b
            c -= step * d
        ratio = inner(p, (p[0] * diagonal[0], p[1] * diagonal[1])) / inner(p, p)
        z = r[0] / diagonal[0], r[1] / diagonal[1]
        rz, last = inner(r, z), rz
        ahead.met(step, rz / last, rz, ratio)
        p = z[0] + (rz / last) * p[0], z[1] + (rz / last) * p[1]
        if rz <= FALLEN**2 * first and ahead.length <= ADDED * norm(x):
            break
    return x, ahead.length
