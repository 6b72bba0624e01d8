"""Directions in which nothing changes: rotations of the factors, and the slice of all directions across them.

For h = c (1, …, 1) every orthogonal R gives L(P R, Q R) = L(P, Q). So the orbit directions Θ S (S skew) have no
curvature at a stationary point, the gradient is orthogonal to them everywhere, and curvature is only asked of the slice

    V = {(A, B): PᵀA + QᵀB symmetric}.

Where all |h_i| differ there is nothing to rotate and V is the whole space.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.certificate.plain import Pair

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

    @property
    def singular_values(self) -> Float64:
        """Of the stacked Θ, increasing, (d,)."""
        return np.asarray(np.linalg.svd(np.linalg.qr(np.vstack([self.P, self.Q]), "r"), compute_uv=False)[::-1])

    @property
    def rank(self) -> int:
        """How many dimensions Θ uses."""
        values = self.singular_values
        return int(np.sum(values > COLLAPSED * values[-1])) if values.size else 0

    def project(self, direction: Pair) -> Pair:
        """The part of (A, B) in V: minus Θ S, where G S + S G = ΘᵀD − DᵀΘ and G = ΘᵀΘ."""
        if not self.rotates:
            return direction
        values, vectors = self._eigen
        K = self.P.T @ direction[0] + self.Q.T @ direction[1]
        K = vectors.T @ (K - K.T) @ vectors
        sums = values[:, None] + values[None, :]
        usable = sums > COLLAPSED**2 * values[-1]
        S = vectors @ np.where(usable, K / np.where(usable, sums, 1.0), 0.0) @ vectors.T
        return direction[0] - self.P @ S, direction[1] - self.Q @ S

    def orbit(self) -> Float64:
        """An orthonormal basis of the orbit directions, ((m + n) d, d (d − 1) / 2); no columns without rotations."""
        theta = np.vstack([self.P, self.Q])
        d = theta.shape[1]
        if not self.rotates or d < 2:
            return np.zeros((theta.size, 0))
        columns: list[Any] = []
        for i in range(d):
            for j in range(i):
                turned = np.zeros_like(theta)
                turned[:, i], turned[:, j] = theta[:, j], -theta[:, i]
                columns.append(turned.ravel())
        return np.asarray(np.linalg.qr(np.array(columns).T)[0])
