"""The slow directions of embeddings on a graph: a second level for the preconditioner.

With X and Z the rows and columns of the smoothed table, S E, and R the matrix of errors, ½ ∂L/∂ŷ of
every cell, a stationary point has

    S [[0, −R], [−Rᵀ, 0]] S E = λ E:

the columns of E are eigenvectors, all of the eigenvalue λ. Other eigenvectors are what the model
has discarded, and l rᵀ, with l among these and among weak columns of E and r ∈ ℝᵈ where E is
weakest, is where L bends least (as for factorization: ``solvers.slow``, which has more of it). The
Hessian on the space of such outer products takes no product with it: all of one cell's derivatives
are sums of products of a number of l and one of r.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import LinAlgError, eigh
from scipy.sparse import csr_array

from alteraser.models.relational import LinearProblem, Point, Propagation, Relation
from alteraser.solvers.relational.evaluation import scores
from alteraser.solvers.slow import SLOW, SlowSpace, off_rotations, weak_directions

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]

WEAK, DISCARDED = 4, 12
"""Weak directions of ℝᵈ, and discarded ones"""
STEPS = 6
"""Of the block Krylov method for the latter"""
SERVES = 0.05
"""Share of ‖Θ‖ by which a point is away from that of a space that still serves"""
FLOOR = 0.02
"""Least share of blocks' curvature to divide by"""
CELLS = 1 << 15
"""Cells whose derivatives are in memory at a time"""


class Slow:
    """The slow space of a run, found anew where it has gone ``SERVES`` of ‖Θ‖ since."""

    def __init__(self) -> None:
        self._where: Float64 | None = None
        self._space: SlowSpace | None = None

    def at(
        self,
        problem: LinearProblem,
        point: Point,
        relation: Relation,
        walk: Propagation,
        end: int,
        threads: int,
    ) -> SlowSpace | None:
        """That of a point or of one near by; see ``slow_space``."""
        here = point.vector
        if self._where is None or (
            np.linalg.norm(here - self._where) > SERVES * np.linalg.norm(here)
        ):
            self._space = slow_space(problem, point, relation, walk, end, threads)
            self._where = here.copy()
        return self._space


def slow_space(
    problem: LinearProblem,
    point: Point,
    relation: Relation,
    walk: Propagation,
    end: int,
    threads: int,
) -> SlowSpace | None:
    """That of the only relation's only table at a point, rows up to ``end``, then columns, under
    the propagation ``walk``; None where there is none to be had.
    """
    E, ridge = point.tables[relation.source], problem.ridge[relation.source]
    count = min(DISCARDED, min(end, len(E) - end) - problem.rank - WEAK)
    if count < 1 or not ridge.size or not ridge[0] > 0 or np.ptp(ridge) > 0:
        return None
    right = weak_directions(E[:end], E[end:], WEAK)
    columns = E @ right
    lengths = np.linalg.norm(columns, axis=0)
    if not right.shape[1] or not np.all(lengths > 0):
        return None
    cells = Residuals(problem, point, relation, threads)

    def pulled(L: Array) -> Array:
        Y = walk.apply(L, threads=threads)
        return -walk.apply(np.concatenate(cells.residual(Y[:end], Y[end:])), threads=threads)

    left = np.concatenate([columns / lengths, _discarded(E, pulled, count)], axis=1)
    # what has no cells stays where it is: at zero, if it is there
    left[np.concatenate([side.counts for side in relation.sides]) == 0] = 0.0
    smoothed = walk.apply(left, threads=threads)
    H, B = cells.galerkin(smoothed[:end], smoothed[end:], right)
    weight, eye = problem.relations[0].weight, np.eye(right.shape[1])
    H, B = weight * H, weight * B
    H += np.kron(ridge[0] * (left.T @ left), eye)
    stretched = (walk.layers + 1.0) ** 2
    B += np.kron(stretched * ridge[0] * (smoothed.T @ smoothed), eye)
    rest = off_rotations(B, lengths, left.shape[1])
    try:
        values, vectors = eigh(rest.T @ H @ rest, rest.T @ B @ rest)
    except LinAlgError:
        return None
    W, w = rest @ vectors[:, values < SLOW], values[values < SLOW]
    w = np.maximum(np.abs(w), FLOOR)
    # what a sweep leaves of blocks' w is w (2 − w)
    gain = (W * (1.0 / w - (2.0 - w))) @ W.T
    return SlowSpace(left, right, W, gain, values, count)


def _discarded(E: Float64, pulled: Any, count: int) -> Float64:
    """Eigenvectors of the largest eigenvalues off E's columns, (N, count), by a block Krylov method
    (Musco & Musco, NIPS 2015), roughly.
    """
    kept = np.linalg.qr(E)[0]

    def off(X: Array) -> Array:
        return np.asarray(X - kept @ (kept.T @ X))

    block = np.linalg.qr(off(np.random.default_rng(0).standard_normal((len(E), count))))[0]
    basis, images = block, off(pulled(block))
    for _ in range(min(STEPS, (len(E) - kept.shape[1]) // count - 1)):
        block = images[:, -count:]
        for _ in range(2):
            block = block - basis @ (basis.T @ block)
            block = np.linalg.qr(block)[0]
        basis = np.concatenate([basis, block], axis=1)
        images = np.concatenate([images, off(pulled(block))], axis=1)
    inside = basis.T @ images
    _, vectors = np.linalg.eigh(inside + inside.T)
    return np.asarray(basis @ vectors[:, : -count - 1 : -1])


class Residuals:
    """A relation's cells at a point."""

    def __init__(
        self, problem: LinearProblem, point: Point, relation: Relation, threads: int
    ) -> None:
        self.X, self.Z = scores(problem, point, relation, threads=threads)
        side = relation.sides[0]
        self.rows = np.repeat(np.arange(side.rows), side.counts)
        self.columns = side.indices
        self.a = side.missing_weight * side.own
        self.b = side.other if side.other.size else np.ones(len(self.Z))
        c = side.confidence if side.confidence.size else np.ones(self.rows.size)
        y = side.target if side.target.size else 1.0
        self.weights = c - self.a[self.rows] * self.b[self.columns]
        s = np.einsum("ij,ij->i", self.X[self.rows], self.Z[self.columns])
        shape = side.rows, len(self.Z)
        self._error = csr_array((self.weights * s - c * y, side.indices, side.indptr), shape=shape)
        self._weights = csr_array((self.weights, side.indices, side.indptr), shape=shape)

    def residual(self, U: Array, V: Array) -> tuple[Array, Array]:
        """(R V, Rᵀ U)."""
        a, b = self.a[:, None], self.b[:, None]
        return (
            self._error @ V + (a * self.X) @ (self.Z.T @ (b * V)),
            self._error.T @ U + (b * self.Z) @ (self.X.T @ (a * U)),
        )

    def squares(self, u: Array, v: Array) -> float:
        """Σ_cells w u_i² v_j²."""
        at = u[self.rows] * v[self.columns]
        return float(self.weights @ at**2) + float(self.a @ u**2) * float(self.b @ v**2)

    def galerkin(self, U: Array, V: Array, right: Array) -> tuple[Float64, Float64]:
        """(H, B) on the outer products of (U, V)'s columns, smoothed, and ``right``: half the
        Hessian of the loss, and of it what each row is for itself.

        A cell's score changes by u_a (r_k·z) + v_a (r_k·x) along the direction (a, k).
        """
        count, k = U.shape[1], right.shape[1]
        x, z = self.X @ right, self.Z @ right
        size = count * k
        mixed = np.zeros((size, size))
        u, v, xi, zeta = (x.astype(np.float32) for x in (U, V, x, z))
        for start in range(0, self.rows.size, CELLS):
            at = slice(start, start + CELLS)
            i, j = self.rows[at], self.columns[at]
            weights = self.weights[at, None].astype(np.float32)
            mixed += _outer(u[i], weights * zeta[j]).T @ _outer(v[j], xi[i])
        square = self._weights @ _outer(z, z), self._weights.T @ _outer(x, x)
        own = np.zeros((count, count, k, k))
        for L, inner in zip((U, V), square, strict=True):
            own += (_outer(L, L).T @ inner).reshape(count, count, k, k)
        alone = own.transpose(0, 2, 1, 3).reshape(size, size)
        a, b = self.a[:, None], self.b[:, None]
        alone += np.kron(U.T @ (a * U), z.T @ (b * z)) + np.kron(V.T @ (b * V), x.T @ (a * x))
        # Σ_ij a_i b_j u_ia z_jk v_jc x_il at (a k, c l)
        mixed += np.einsum("al,ck->akcl", U.T @ (a * x), V.T @ (b * z)).reshape(size, size)
        error = U.T @ self.residual(U, V)[0]
        H = alone + mixed + mixed.T + np.kron(error + error.T, right.T @ right)
        return H, alone


def _outer(x: Array, y: Array) -> Array:
    """x_i y_j row by row, flat."""
    return np.asarray((x[:, :, None] * y[:, None, :]).reshape(len(x), -1))
