"""The objective's derivatives written out in NumPy and SciPy, in float64: the arithmetic that is
trusted.

Nothing here is shared with the kernels that erase: a mistake there cannot vouch for itself here.
Solutions of linear systems may come from anywhere, because ``Plain.product`` checks them.

    s = pᵀ H q,   ω = c − w₀ a b,   e = ω s − c y  on observed cells,   Z = Q H,  X = P H
    ½ ∂L/∂P = diag(a) P w₀ ZᵀbZ + E Z + diag(λρ) P
        and the same for Q with the roles exchanged
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from alteraser.data.interactions import Interactions
from alteraser.models import Factors, Objective

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]
Pair = tuple[Float64, Float64]

CELLS_AT_A_TIME = 1 << 13  # what is gathered for them stays in the cache
UNIT = float(np.finfo(np.float64).eps) / 2


def rounding(terms: int) -> float:
    """γ_k = k u / (1 − k u): relative error of a sum of k products (Higham 2002, §3.1)."""
    return terms * UNIT / (1.0 - terms * UNIT)


def norm(pair: Pair) -> float:
    """Frobenius norm of the stacked pair."""
    return float(np.sqrt(sum(np.vdot(x, x) for x in pair)))


def inner(a: Pair, b: Pair) -> float:
    """Inner product of two stacked pairs."""
    return float(np.vdot(a[0], b[0]) + np.vdot(a[1], b[1]))


@dataclass(frozen=True)
class Plain:
    """L on ``data`` at ``factors`` (h included), as values and derivatives in float64.

    ``magnitudes`` replaces every term by its absolute value: the sums that bound the rounding of
    the real ones.
    """

    objective: Objective
    data: Interactions
    factors: Factors
    magnitudes: bool = False

    @cached_property
    def P(self) -> Float64:
        """(m, d)"""
        return self._taken(self.factors.users)

    @cached_property
    def Q(self) -> Float64:
        """(n, d)"""
        return self._taken(self.factors.items)

    @cached_property
    def h(self) -> Float64:
        """(d,)"""
        return self._taken(self.factors.prediction)

    @cached_property
    def _weights(self) -> Pair:
        """Weights a (m,) and b (n,)."""
        m, n = self.data.shape
        a = self.objective.user_weights(self.data.user_counts)
        b = self.objective.item_weights(self.data.item_counts)
        return np.ones(m) if a is None else a, np.ones(n) if b is None else b

    @cached_property
    def _ridges(self) -> Pair:
        """λρ of users (m,) and items (n,)."""
        m, n = self.data.shape
        return self.objective.user_ridge(self.data.user_counts, n), self.objective.item_ridge(
            self.data.item_counts, m
        )

    @cached_property
    def _observed(self) -> tuple[Float64, Float64]:
        """(ω, c y) of the interactions; with ``magnitudes`` sums of absolute values."""
        a, b = self._weights
        c = (
            np.ones(len(self.data))
            if self.data.confidence is None
            else self._taken(self.data.confidence)
        )
        y = np.ones(len(self.data)) if self.data.target is None else self._taken(self.data.target)
        missing = self.objective.missing_weight * a[self._rows] * b[self.data.indices]
        return (c + missing if self.magnitudes else c - missing), c * y

    @cached_property
    def _rows(self) -> Array:
        return np.repeat(np.arange(self.data.shape[0]), np.diff(self.data.indptr))

    @cached_property
    def errors(self) -> Float64:
        """Errors e = ω s − c y of the interactions, (|D|,)."""
        weight, pull = self._observed
        s = self._cells(((self.P, self.Q * self.h),))
        return weight * s + pull if self.magnitudes else weight * s - pull

    @cached_property
    def heaviest(self) -> float:
        """The largest weight of any cell, observed or missing."""
        a, b = self._weights
        missing = (
            self.objective.missing_weight * float(a.max(initial=0.0)) * float(b.max(initial=0.0))
        )
        c = (
            1.0
            if self.data.confidence is None
            else float(np.max(self.data.confidence, initial=0.0))
        )
        return max(missing, c)

    @cached_property
    def gradient(self) -> Pair:
        """(∂L/∂P, ∂L/∂Q), (m, d) and (n, d)."""
        a, b = self._weights
        X, Z = self.P * self.h, self.Q * self.h
        E = self._matrix(self.errors)
        w0 = self.objective.missing_weight
        users = (
            a[:, None] * (self.P @ (w0 * (Z.T @ (b[:, None] * Z))))
            + E @ Z
            + self._ridges[0][:, None] * self.P
        )
        items = (
            b[:, None] * (self.Q @ (w0 * (X.T @ (a[:, None] * X))))
            + E.T @ X
            + self._ridges[1][:, None] * self.Q
        )
        return 2.0 * users, 2.0 * items

    def product(self, direction: Pair) -> Pair:
        """∇²L · (V, W), (m, d) and (n, d)."""
        V, W = direction
        a, b = self._weights
        X, Z, dX, dZ = self.P * self.h, self.Q * self.h, V * self.h, W * self.h
        w0 = self.objective.missing_weight
        E = self._matrix(self.errors)
        D = self._matrix(self._observed[0] * self._cells(((V, Z), (self.P, dZ))))

        def missing(
            own: Float64, x: Float64, v: Float64, z: Float64, dz: Float64, other: Float64
        ) -> Float64:
            gram, mixed = z.T @ (other[:, None] * z), z.T @ (other[:, None] * dz)
            return np.asarray(w0 * own[:, None] * (v @ gram + x @ (mixed + mixed.T)))

        users = missing(a, self.P, V, Z, dZ, b) + D @ Z + E @ dZ + self._ridges[0][:, None] * V
        items = missing(b, self.Q, W, X, dX, a) + D.T @ X + E.T @ dX + self._ridges[1][:, None] * W
        return 2.0 * users, 2.0 * items

    def dense_hessian(self) -> Float64:
        """∇²L, ((m + n) d)² numbers, users' rows first: for small problems, and a second route to
        ``product``.
        """
        (m, n), d = self.data.shape, self.h.size
        a, b = self._weights
        weight = self.objective.missing_weight * np.outer(a, b)
        error = weight * (self.P @ (self.Q * self.h).T)
        weight[self._rows, self.data.indices] += self._observed[0]
        error[self._rows, self.data.indices] += self.errors
        X, Z = self.P * self.h, self.Q * self.h
        H = np.zeros((m + n, d, m + n, d))
        across = np.einsum("uv,vi,uj->uivj", weight, Z, X)
        for i in range(d):
            across[:, i, :, i] += self.h[i] * error
        H[:m, :, m:, :] = across
        H[m:, :, :m, :] = across.transpose(2, 3, 0, 1)
        eye = np.eye(d)
        for u in range(m):
            H[u, :, u, :] = (Z.T * weight[u]) @ Z + self._ridges[0][u] * eye
        for v in range(n):
            H[m + v, :, m + v, :] = (X.T * weight[:, v]) @ X + self._ridges[1][v] * eye
        return 2.0 * H.reshape((m + n) * d, (m + n) * d)

    def user_distances(self) -> Float64:
        """‖p_u − p_u*(Q)‖ = ‖A_u⁻¹ ∇_u L‖ / 2 of every user, (m,): how far each is from the optimum
        given Q.
        """
        return self._distances(0)

    def item_distances(self) -> Float64:
        """‖q_v − q_v*(P)‖ of every item, (n,)."""
        return self._distances(1)

    def block_norm(self, gradient: Pair) -> float:
        """‖g‖_{B⁻¹}: √Σ gᵀA⁻¹g over the rows of both sides, A of each at this point; rows of zeros
        cost nothing.
        """
        total = 0.0
        for place in (0, 1):
            solved = self._solved(place, gradient[place])
            total += float(np.sum(np.einsum("id,id->i", solved, gradient[place])))
        return float(np.sqrt(max(total, 0.0)))

    @property
    def block_size(self) -> float:
        """‖Θ‖_B: √Σ xᵀA x over the rows of both sides, by xᵀA x = xᵀ(½ ∂L/∂x) + Σ c y s."""
        pull = float(np.sum(self._observed[1] * self._cells(((self.P, self.Q * self.h),))))
        slopes = sum(
            float(np.vdot(x, g)) for x, g in zip((self.P, self.Q), self.gradient, strict=True)
        )
        return float(np.sqrt(max(0.5 * slopes + 2.0 * pull, 0.0)))

    def _distances(self, place: int) -> Float64:
        return np.asarray(np.linalg.norm(self._solved(place, 0.5 * self.gradient[place]), axis=1))

    def _solved(self, place: int, right: Float64) -> Float64:
        """A⁻¹ of every user's (0) or item's (1) ``right``; infinite where A has no inverse."""
        weight, Z = self._matrix(self._observed[0]), self.Q * self.h
        if place:
            weight, Z = weight.T.tocsr(), self.P * self.h
        own, other = self._weights[place], self._weights[1 - place]
        gram = self.objective.missing_weight * (Z.T @ (other[:, None] * Z))
        ridge = self._ridges[place]
        out = np.zeros(right.shape)
        eye = np.eye(self.h.size)
        for row in np.flatnonzero(np.any(right != 0, axis=1)):
            cells = slice(weight.indptr[row], weight.indptr[row + 1])
            z = Z[weight.indices[cells]]
            A = own[row] * gram + (z.T * weight.data[cells]) @ z + ridge[row] * eye
            try:
                out[row] = np.linalg.solve(A, right[row])
            except np.linalg.LinAlgError:  # no unique optimum: nothing can be said of this row
                out[row] = np.inf
        return out

    def _taken(self, values: Array) -> Float64:
        x = np.asarray(values, dtype=np.float64)
        return np.abs(x) if self.magnitudes else x

    def _matrix(self, values: Float64) -> Any:
        return sparse.csr_array(
            (values, self.data.indices, self.data.indptr), shape=self.data.shape
        )

    def _cells(self, products: tuple[tuple[Float64, Float64], ...]) -> Float64:
        """Σ left[u] · right[v] of the observed cells, a block at a time."""
        out = np.empty(len(self.data))
        for start in range(0, out.size, CELLS_AT_A_TIME):
            block = slice(start, start + CELLS_AT_A_TIME)
            u, v = self._rows[block], self.data.indices[block]
            out[block] = sum(np.einsum("id,id->i", left[u], right[v]) for left, right in products)
        return out
