"""Directions in which nothing changes: rotations of the factors, and the slice of all directions
across them.

For h = c (1, …, 1) every orthogonal R gives L(P R, Q R) = L(P, Q). So the orbit directions Θ S (S
skew) have no curvature at a stationary point, the gradient is orthogonal to them everywhere, and
curvature is only asked of the slice

    V = {(A, B): PᵀA + QᵀB symmetric}.

Where all |h_i| differ there is nothing to rotate and V is the whole space.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.evidence.certificate.plain import Pair

Float64 = npt.NDArray[np.float64]

COLLAPSED = 1e-6
"""Singular values of Θ below this share of the largest count as zero: that dimension is unused."""


@dataclass(frozen=True)
class Slice:
    """The slice V at P (m, d) and Q (n, d)."""

    P: Float64
    Q: Float64
    rotates: bool
    """False where h leaves no rotation: then V is everything."""

    @cached_property
    def _eigen(self) -> tuple[Float64, Float64]:
        values, vectors = np.linalg.eigh(self.P.T @ self.P + self.Q.T @ self.Q)
        return np.maximum(values, 0.0), vectors

    @cached_property
    def singular_values(self) -> Float64:
        """Of the stacked Θ, increasing, (d,)."""
        return np.asarray(
            np.linalg.svd(np.linalg.qr(np.vstack([self.P, self.Q]), "r"), compute_uv=False)[::-1]
        )

    @cached_property
    def rank(self) -> int:
        """How many dimensions Θ uses."""
        values = self.singular_values
        return int(np.sum(values > COLLAPSED * values[-1])) if values.size else 0

    def project(self, direction: Pair) -> Pair:
        """The part of (A, B) in V, in the precision it comes in: minus Θ S, where G S + S G = ΘᵀD −
        DᵀΘ and G = ΘᵀΘ.
        """
        if not self.rotates:
            return direction
        dtype = direction[1].dtype
        P, Q = (self.P, self.Q) if dtype == np.float64 else self._single
        K = (P.T @ direction[0] + Q.T @ direction[1]).astype(np.float64)
        values, vectors = self._eigen
        K = vectors.T @ (K - K.T) @ vectors
        sums = values[:, None] + values[None, :]
        usable = sums > COLLAPSED**2 * values[-1]
        S = (vectors @ np.where(usable, K / np.where(usable, sums, 1.0), 0.0) @ vectors.T).astype(
            dtype, copy=False
        )
        return direction[0] - P @ S, direction[1] - Q @ S

    @cached_property
    def _single(self) -> tuple[Any, Any]:
        return self.P.astype(np.float32), self.Q.astype(np.float32)

    @property
    def least(self) -> float:
        """The smallest singular value of Θ that is not zero."""
        values = self.singular_values
        return float(values[values.size - self.rank]) if self.rank else 0.0

    @property
    def reach(self) -> float:
        """Radius within which a zero of the gradient on V is a zero of the whole gradient.

        For skew S and v of that length ‖vS‖ ≤ ‖v‖ ‖S‖_F / √2, to be less than ‖ΘS‖, which is at
        least σ_d ‖S‖_F when all d dimensions are used. Where only r are, S need not turn the others
        among themselves, which leaves σ_r ‖S‖_F / √2.
        """
        return float(np.sqrt(2.0)) * self.least if self.rank == self.P.shape[1] else self.least

    def orbit(self) -> Float64:
        """An orthonormal basis of the orbit, ((m + n) d, k): no columns for unused dimensions or
        without rotations.

        In the principal axes of Θ the directions that turn axis i into axis j are orthogonal as
        they stand.
        """
        theta = np.vstack([self.P, self.Q])
        d = theta.shape[1]
        if not self.rotates or d < 2:
            return np.zeros((theta.size, 0))
        values, vectors = self._eigen
        along = theta @ vectors
        columns: list[Any] = []
        for i in range(d):
            for j in range(i):
                length = values[i] + values[j]
                if length > COLLAPSED**2 * values[-1]:
                    turned = np.zeros_like(theta)
                    turned[:, i], turned[:, j] = along[:, j], -along[:, i]
                    columns.append((turned @ vectors.T).ravel() / np.sqrt(length))
        return np.linalg.qr(np.array(columns).T)[0] if columns else np.zeros((theta.size, 0))

    def without_unused(self) -> tuple[Slice, float]:
        """(the slice at the nearest Θ whose unused dimensions are exactly zero, the distance to
        it).
        """
        if not self.rotates or self.rank == self.P.shape[1]:
            return self, 0.0
        vectors = self._eigen[1]
        unused = vectors[:, : self.P.shape[1] - self.rank]
        P, Q = (x - (x @ unused) @ unused.T for x in (self.P, self.Q))
        away = np.hypot(np.linalg.norm(self.P - P), np.linalg.norm(self.Q - Q))
        return Slice(P, Q, True), float(away)
