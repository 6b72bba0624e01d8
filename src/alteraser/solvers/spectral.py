"""A coarse space for the reduced Hessian from the errors alone, and its inverse in closed form.

Where the rows of a side have blocks that hardly differ along most directions of ℝᵈ, the joint
system falls apart into one small system for every singular pair of the errors. With D_U and D_V the
mean curvature of the rows along the weak directions, and singular pairs

    D_U⁻¹ E v_j = σ_j u_j,    D_V⁻¹ Eᵀ u_j = σ_j v_j,    u_jᵀ D_U u_j = v_jᵀ D_V v_j = 1

off the factors themselves, items that go along v_j yᵀ (y in ℝᵈ) push users along σ_j D_U u_j yᵀ and
nowhere else, but for what the squares add across the two sides. So there

    S ≈ Ā_j − σ_j² Ū_j⁻¹,      Ā_j = Σ_v v_j(v)² A_v,   Ū_j = Σ_u u_j(u)² A_u       (d, d)

and with Ā_j-orthonormal eigenvectors X and eigenvalues w of that,

    M⁻¹ = B_Q⁻¹ + Σ_j v_j ⊗ X (w⁻¹ − 1) Xᵀ ⊗ v_jᵀ

is an additive two-level preconditioner (Nicolaides, SIAM J. Numer. Anal. 1987), positive definite
whatever w is, since no w counts as less than FLOOR or more than 1. A sparse product with J columns
is a J-th of what one with S costs across, and Ā_j one product in ℝᵈ × ℝᵈ: the whole of it costs a
few products.

How good it is depends on the data. Where a few rows hold most of a singular vector the squares
couple pairs that it takes apart, and it does harm: ``helps`` measures that by a few products.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh
from scipy.sparse import csr_array

from alteraser.solvers.one_side import OneSide, dot
from alteraser.solvers.reduced import ReducedHessian
from alteraser.solvers.rows.protocol import aligned
from alteraser.solvers.slow import discarded_directions, observed_weights, weak_directions

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]

PAIRS = 24
"""Singular pairs; with 24, 50 and 100 of them conjugate gradients took 25, 23 and 22 products where
it had taken 47."""

WEAK = 24
"""Weak directions along which the curvature of a row is averaged."""

STEPS = 8
"""Steps of the block Krylov method: any directions of large singular value serve."""

FLOOR = 2e-3
"""Least w to divide by."""

TESTS, MOST = 2, 1.5
"""Products of the power method for the largest eigenvalue of (M⁻¹ − B_Q⁻¹) S, and what it may have
come to for the space to be used. Exact on its space it would be 1. Two products came to 0.9 where
it halved those of a solve, and to 3.3 where solves took longer with it."""


@dataclass(frozen=True)
class SpectralSpace:
    """Singular vectors of the errors, and how much they want amplified along each direction."""

    left: Array
    """(n, J) v_j, v_jᵀ D_V v_j = 1"""
    gain: Array
    """(J, w, w) X (w⁻¹ − 1) Xᵀ"""

    def correction(self, residual: Array) -> Array:
        """Σ_j v_j ⊗ G_j (v_jᵀ r) for r (n, w)."""
        inside = self.left.T @ residual
        return np.asarray(self.left @ np.einsum("jab,jb->ja", self.gain, inside))

    def helps(self, S: ReducedHessian, residual: Array) -> bool:
        """Whether S bends along what the space adds about as little as the space has it; the power
        method starts from what it adds to ``residual``.
        """
        x = self.correction(residual)
        largest = 0.0
        for _ in range(TESTS):
            size = float(np.linalg.norm(x))
            if not size > 0:
                return False
            x = aligned((x / size).astype(residual.dtype))
            image = S @ x
            curvature = dot(x, image)
            if not curvature > 0:
                return False
            x = self.correction(image)
            largest = dot(image, x) / curvature
        return largest <= MOST


def spectral_space(users: OneSide, items: OneSide, *, pairs: int = PAIRS) -> SpectralSpace | None:
    """The space of a point whose errors are known, with at most ``pairs`` singular pairs.

    None in small problems, where there are no pairs off the factors, and without a ridge.
    """
    P, Q = users.x, items.x
    count = min(pairs, min(P.shape[0], Q.shape[0]) // 2 - users.rank)
    if count < 1 or not all(side.side.ridge.any() for side in (users, items)):
        return None
    right = weak_directions(P, Q, min(WEAK, users.rank))
    if right.shape[1] == 0:
        return None
    bends = _mean_curvature(users, Q @ right, right), _mean_curvature(items, P @ right, right)
    scales = [(1.0 / np.sqrt(d)).astype(P.dtype)[:, None] for d in bends]
    v = discarded_directions(users, items, count, scales=(scales[0], scales[1]), steps=STEPS)
    v = v / np.sqrt(np.einsum("v,vj,vj->j", bends[1], v, v)).astype(v.dtype)
    moved = users.residual(v)
    sigma = np.sqrt(np.einsum("u,uj,uj->j", 1.0 / bends[0], moved, moved)).astype(P.dtype)
    u = moved / bends[0].astype(P.dtype)[:, None] / np.where(sigma > 0, sigma, 1)
    within, across = _averages(items, v, P), _averages(users, u, Q)
    gain = np.zeros((count, P.shape[1], P.shape[1]))
    d = users.rank
    for j in range(count):
        A, U = within[j, :d, :d], across[j, :d, :d]
        w, X = eigh(A - float(sigma[j]) ** 2 * np.linalg.inv(U), A)
        w = np.clip(np.abs(w), FLOOR, 1.0)
        gain[j, :d, :d] = (X * (1.0 / w - 1.0)) @ X.T
    return SpectralSpace(v, gain.astype(P.dtype))


def _mean_curvature(side: OneSide, seen: Array, right: Array) -> Float64:
    """Mean of rᵀA r over the columns of ``right`` for every row, (rows,); ``seen`` are the other
    side's rows along them.
    """
    shared = float(np.trace(right.T @ side.side.gram(side.other) @ right)) / right.shape[1]
    square = np.mean(np.square(seen), axis=1)
    return np.asarray(
        side.side.own * shared + side.side.ridge + _observed(side) @ square, dtype=np.float64
    )


def _averages(side: OneSide, x: Array, other: Array) -> Float64:
    """Σ_i x_j(i)² A_i over the rows i of a side for every column j of ``x``, (J, w, w)."""
    square = np.square(x)
    weights = _observed(side).T @ square
    gram, same = side.side.gram(other), np.eye(other.shape[1])
    return np.stack(
        [
            (other * weights[:, j, None]).T @ other
            + float(side.side.own @ square[:, j]) * gram
            + float(side.side.ridge @ square[:, j]) * same
            for j in range(x.shape[1])
        ]
    )


def _observed(side: OneSide) -> Any:
    """ω of every interaction, (rows, other rows)."""
    data = side.side
    return csr_array(
        (observed_weights(data), data.indices, data.indptr),
        shape=(data.rows, side.faced.shape[0]),
    )
