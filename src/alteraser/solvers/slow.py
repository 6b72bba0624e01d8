"""The slow directions of a factorization, from its residual: a second level for the joint solver's
preconditioner.

At a stationary point of L the matrix of residuals E = ½ ∂L/∂ŷ has the factors for singular vectors:
E Q = −diag(λρ) P and Eᵀ P = −diag(λρ) Q, so after scaling by ρ they all belong to the singular
value λ (the optimality conditions of the nuclear norm: Srebro, Rennie & Jaakkola, NIPS 2004;
Mazumder, Hastie & Tibshirani, JMLR 2010). The other singular pairs (u, v) of −E are what the model
has discarded. Taking some of a kept direction away and putting (u, v) in its place, Q + ε v rᵀ,
changes L little when σ is near λ and the kept direction r ∈ ℝᵈ is weak: such outer products are
where B⁻¹H has its smallest eigenvalues, along which alternating passes and conjugate gradients
crawl.

The space is spanned by l rᵀ with l among the discarded v and the weak columns of Q themselves, less
the rotations. Because its elements are outer products, the reduced Hessian S restricted to it takes
a sparse product, half-solves with the factored blocks and a few small matrix products, not one
product with S per direction. Where S acts on the space as w times B_Q (generalized Ritz pairs), the
preconditioner is B_Q⁻¹ + W (w⁻¹ − 1) Wᵀ: deflation of the slow part (Nicolaides, SIAM J. Numer.
Anal. 1987; Frank & Vuik, SIAM J. Sci. Comput. 2001, in additive form).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import LinAlgError, eigh, qr
from scipy.sparse import csr_array

from alteraser.models import Side
from alteraser.runtime.workers import run
from alteraser.solvers.one_side import OneSide
from alteraser.solvers.rows.protocol import aligned_empty

Array = npt.NDArray[Any]

DEAD = 1e-5
"""Squared size, as a share of the largest, below which a direction of the factors has collapsed:
nothing moves it."""

SLOW = 0.7
"""Ritz values above which a direction is quick enough without help."""

FLOOR = 2e-3
"""Least Ritz value to divide by."""

COLD, WARM = 12, 1
"""Steps of the block Krylov method for the discarded directions, from a random start and from
earlier ones."""

USERS = 4096
"""Users whose half-solves are in memory at a time."""


@dataclass(frozen=True)
class SlowSpace:
    """Outer products left · rightᵀ on the items' side, and how much they want amplified."""

    left: Array
    """(n, l): discarded directions and weak columns of Q, each of unit length"""
    right: Array
    """(w, k): weak directions of the factors, orthonormal"""
    slow: npt.NDArray[np.float64]
    """(l k, s): the Ritz vectors W whose value is below SLOW, in these coordinates; WᵀB_QW = I"""
    gain: npt.NDArray[np.float64]
    """(l k, l k): W (w⁻¹ − 1) Wᵀ"""
    values: npt.NDArray[np.float64]
    """Ritz values w of B_Q⁻¹S on the space, ascending"""
    discarded: int
    """How many columns of ``left``, the last ones, are discarded directions"""

    def within(self, gradient: Array, reach: float) -> SlowSpace:
        """The same space with less gain where a step from ``gradient`` would go further than L is
        quadratic.

        Along a direction with curvature w that is up to about w of the factors' size, because the
        curvature changes as they do. The step a / w for a gradient of a becomes a / (w + δ), with
        the least δ that keeps it within ``reach`` · w, in the norm of B_Q (Levenberg 1944), but is
        no shorter than that of B_Q⁻¹ alone.
        """
        w = np.maximum(np.abs(self.values[self.values < SLOW]), FLOOR)
        along = np.abs(self.slow.T @ self._inside(gradient).ravel().astype(np.float64))
        w = np.maximum(w, along / (reach * w))
        return replace(self, gain=(self.slow * (1.0 / np.minimum(w, 1.0) - 1.0)) @ self.slow.T)

    def _inside(self, residual: Array) -> Array:
        return np.asarray(self.left.T @ residual @ self.right)

    def correction(self, residual: Array) -> Array:
        """W (w⁻¹ − 1) Wᵀ r for r (n, w)."""
        inside = self._inside(residual)
        mended = (self.gain @ inside.ravel().astype(np.float64)).reshape(inside.shape)
        return np.asarray(self.left @ mended.astype(residual.dtype) @ self.right.T)


def slow_space(
    users: OneSide,
    items: OneSide,
    *,
    weak: int,
    discarded: int,
    earlier: SlowSpace | None = None,
) -> SlowSpace | None:
    """The slow space where both sides have their blocks, from ``weak`` weak and ``discarded``
    discarded directions.

    ``earlier``, a space of a point not far away, saves work. None where there is none to be had: in
    a small problem, without regularization, or where the directions depend on each other.
    """
    P, Q = users.x, items.x
    count = min(discarded, min(P.shape[0], Q.shape[0]) - users.rank - weak)
    if weak < 1 or count < 1 or not all(each.side.ridge.any() for each in (users, items)):
        return None
    right = weak_directions(P, Q, weak)
    if right.shape[1] == 0:
        return None
    users.find_errors()
    items.find_errors()
    columns = Q @ right
    lengths = np.linalg.norm(columns, axis=0)
    alive = lengths > 0  # the users' side alone may still be on its way to zero
    right, columns, lengths = right[:, alive], columns[:, alive], lengths[alive]
    if right.shape[1] == 0:
        return None
    started = earlier.left[:, -earlier.discarded :] if earlier is not None else None
    found = discarded_directions(users, items, count, started)
    left = np.concatenate([columns / lengths, found], axis=1)
    B, S = galerkin(users, items, left, right)
    rest = off_rotations(B, lengths.astype(np.float64), left.shape[1])
    try:
        values, vectors = eigh(rest.T @ S @ rest, rest.T @ B @ rest)
    except LinAlgError:
        return None
    W, w = rest @ vectors[:, values < SLOW], values[values < SLOW]
    # where L bends down the way out is as long as where it bends up
    gain = (W * (1.0 / np.maximum(np.abs(w), FLOOR) - 1.0)) @ W.T
    return SlowSpace(left, right, W, gain, values, count)


def weak_directions(P: Array, Q: Array, count: int) -> Array:
    """The ``count`` directions of ℝᵈ in which the factors are smallest but have not collapsed, (w,
    count).
    """
    X, Y = P.astype(np.float64), Q.astype(np.float64)
    sizes, vectors = np.linalg.eigh(X.T @ X + Y.T @ Y)
    dead = int(np.count_nonzero(sizes <= DEAD * sizes[-1]))
    return np.ascontiguousarray(vectors[:, dead : dead + count], dtype=P.dtype)


def discarded_directions(
    users: OneSide, items: OneSide, count: int, start: Array | None = None
) -> Array:
    """Right singular vectors of the scaled residuals with the largest singular values, off Q; (n,
    count), unit columns.

    By a block Krylov method (Musco & Musco, NIPS 2015), roughly: the space need not be exact to
    serve.
    """
    Q = items.x
    dtype = Q.dtype
    scales = [
        1.0 / np.sqrt(np.maximum(ridge, ridge.max() * DEAD))[:, None]
        for ridge in (users.side.ridge, items.side.ridge)
    ]
    kept = _span(Q / scales[1])

    def onward(X: Array) -> Array:
        return np.asarray(scales[0] * users.residual(scales[1] * X))

    def back(Y: Array) -> Array:
        X = scales[1] * items.residual(scales[0] * Y)
        return np.asarray(X - kept @ (kept.T @ X))

    if start is None:
        start = np.random.default_rng(0).standard_normal((Q.shape[0], count)).astype(dtype)
        steps = COLD
    else:
        start, steps = start / scales[1], WARM
    start[items.empty] = 0  # rows that stay at zero
    block = np.linalg.qr(start - kept @ (kept.T @ start))[0]
    basis, images = block, onward(block)
    room = (Q.shape[0] - kept.shape[1]) // count - 1
    for _ in range(min(steps, room)):
        block = back(images[:, -block.shape[1] :])
        for _ in range(2):
            block = block - basis @ (basis.T @ block)
            block = np.linalg.qr(block)[0]
        basis = np.concatenate([basis, block], axis=1)
        images = np.concatenate([images, onward(block)], axis=1)
    _, vectors = np.linalg.eigh((images.T @ images).astype(np.float64))
    found = scales[1] * (basis @ vectors[:, : -count - 1 : -1].astype(dtype))
    return np.asarray(found / np.linalg.norm(found, axis=0), dtype=dtype)


def galerkin(
    users: OneSide, items: OneSide, left: Array, right: Array
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """(WᵀB_QW, WᵀSW) for the outer products W = (left_a · right_iᵀ)_ai, each (l k, l k).

    With F_u = Σ_v ω left_v q_vᵀ over all items, s_u = Σ_v e left_v and p_u = right ᵀ p_u, user u's
    half-gradient changes by p_ui F_ua + s_ua r_i; A_u⁻¹ sits between two such.
    """
    from alteraser.solvers.kernels.slow import coupled_rows

    side, P, Q = users.side, users.x, items.x
    count, k = left.shape[1], right.shape[1]
    w0 = P.dtype.type(side.missing_weight)
    seen = P @ right
    weighted = left * side.other[:, None] if side.other.size else left
    shared = np.ascontiguousarray(w0 * (weighted.T @ Q))
    coupled = np.zeros((count, k, count, k))
    turned = np.ascontiguousarray(right.T)
    arrays, order = side.arrays, side.all_rows
    for start in range(0, order.size, USERS):
        chosen = order[start : start + USERS]
        half = aligned_empty((chosen.size, count + k, P.shape[1]), P.dtype)
        pull = np.empty((chosen.size, count), P.dtype)

        def work(
            rows: Array, chosen: Array = chosen, half: Array = half, pull: Array = pull
        ) -> None:
            low, high = int(rows[0]), int(rows[-1]) + 1
            coupled_rows(
                chosen[low:high],
                arrays,
                users.errors,
                Q,
                left,
                shared,
                turned,
                users.factors,
                half[low:high],
                pull[low:high],
            )

        parts = np.array_split(np.arange(chosen.size), min(4 * users.threads, chosen.size))
        run(work, parts, users.threads)
        pull += side.own[chosen, None] * (P[chosen] @ shared.T)
        G = half @ half.transpose(0, 2, 1)
        p = seen[chosen]
        pp, ss = _outer(p, p), _outer(pull, pull)
        mixed = _flat(G[:, count:, :count]).T @ _outer(p, pull)  # (j a), (i b)
        mixed = mixed.reshape(k, count, k, count).transpose(1, 2, 3, 0)
        coupled += (
            (_flat(G[:, :count, :count]).T @ pp).reshape(count, count, k, k).transpose(0, 2, 1, 3)
        )
        coupled += (
            (ss.T @ _flat(G[:, count:, count:])).reshape(count, count, k, k).transpose(0, 2, 1, 3)
        )
        coupled += mixed + mixed.transpose(2, 3, 0, 1)
    across = items.side
    observed = csr_array(
        (_weights(across), across.indices, across.indptr), shape=(across.rows, side.rows)
    )
    gram = right.T @ across.gram(P) @ right
    inner = observed @ _outer(seen, seen) + across.own[:, None] * gram.ravel()[None].astype(P.dtype)
    inner += across.ridge[:, None] * (right.T @ right).ravel()
    B = (
        (_outer(left, left).T @ inner)
        .reshape(count, count, k, k)
        .transpose(0, 2, 1, 3)
        .astype(np.float64)
    )
    S = (B - coupled).reshape(count * k, count * k)
    return B.reshape(count * k, count * k), (S + S.T) / 2


def _span(x: Array) -> Array:
    """An orthonormal basis of the columns of x that have not collapsed."""
    wide = x.astype(np.float64)
    sizes, vectors = np.linalg.eigh(wide.T @ wide)
    alive = sizes > DEAD * sizes[-1]
    return np.asarray(wide @ (vectors[:, alive] / np.sqrt(sizes[alive])), dtype=x.dtype)


def _weights(side: Side) -> Array:
    """ω = c − w₀ a b of every interaction of a side."""
    missing = np.repeat(side.missing_weight * side.own, side.counts)
    if side.other.size:
        missing *= side.other[side.indices]
    return np.asarray(
        (side.confidence if side.confidence.size else 1) - missing, dtype=side.own.dtype
    )


def off_rotations(B: Array, lengths: Array, count: int) -> npt.NDArray[np.float64]:
    """A basis of the coordinates that are B-orthogonal to the rotations Q (r_a r_iᵀ − r_i r_aᵀ)
    among weak directions.

    The first columns of the left factors are Q r_i over their ``lengths``.
    """
    k = lengths.size
    turns = np.zeros((k * (k - 1) // 2, count, k))
    for place, (a, i) in enumerate(zip(*np.tril_indices(k, -1), strict=True)):
        turns[place, a, i], turns[place, i, a] = lengths[a], -lengths[i]
    if not len(turns):
        return np.eye(B.shape[0])
    return np.asarray(qr(B @ turns.reshape(len(turns), -1).T)[0][:, len(turns) :])


def _outer(x: Array, y: Array) -> Array:
    """x_i y_j row by row, flat."""
    return np.asarray((x[:, :, None] * y[:, None, :]).reshape(x.shape[0], -1))


def _flat(x: Array) -> Array:
    return np.ascontiguousarray(x).reshape(x.shape[0], -1)
