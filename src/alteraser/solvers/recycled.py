"""Directions of little curvature that one solve has found, for the next ones at about the same
point.

Conjugate gradients with the preconditioner B builds Lanczos vectors v = ± z / √ρ, ρ = rᵀz, with
VᵀBV = I and VᵀSV = T tridiagonal. The eigenvectors of T with the least values θ are where it spent
most of its iterations. They are kept,

    M⁻¹ = B⁻¹ + W (θ⁻¹ − 1) Wᵀ,      WᵀBW = I

takes them out of the next solve (a spectral preconditioner; Carpentieri, Duff & Giraud, SIAM J.
Sci. Comput. 2003). Where there is no room for more vectors, those that are there give way to the
combinations of least θ and the iteration goes on: nothing but the next vector is coupled to these
(eigCG: Stathopoulos & Orginos, SIAM J. Sci. Comput. 2010).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]

SLOW = 0.3
"""Ritz values above which a direction is quick enough without help."""


@dataclass(frozen=True)
class Recycled:
    """W and θ of directions along which S bends least."""

    vectors: Array
    """(l, n, w), WᵀBW = I"""
    values: Float64
    """(l,) θ, ascending"""
    least: float
    """Estimates the least eigenvalue of B⁻¹S, see ``linalg.ahead``"""
    next: float
    """The same among what is not in W"""

    def at_least(self, spectrum: float) -> Recycled:
        """After a solve with it that saw eigenvalues of M⁻¹S, which is B⁻¹S but for W, as small as
        ``spectrum``.
        """
        return replace(self, least=min(self.least, spectrum), next=min(self.next, spectrum))

    def correction(self, residual: Array) -> Array:
        """W (θ⁻¹ − 1) Wᵀ r for r (n, w)."""
        flat = self.vectors.reshape(self.values.size, -1)
        inside = flat @ np.ascontiguousarray(residual).reshape(-1)
        gain = ((1.0 / self.values - 1.0) * inside).astype(residual.dtype)
        return np.asarray((gain @ flat).reshape(residual.shape))


class Lanczos:
    """Collects Lanczos vectors of a run of conjugate gradients in room for ``room``, of which
    ``keep`` stay.
    """

    def __init__(
        self, shape: tuple[int, ...], dtype: npt.DTypeLike, *, room: int, keep: int
    ) -> None:
        if not 0 < 2 * keep < room:
            raise ValueError(
                f"Lanczos: room={room} is more than twice keep={keep}, which is at least 1"
            )
        self._shape, self._dtype, self._room, self._keep = shape, np.dtype(dtype), room, keep
        self._vectors = np.empty((0, int(np.prod(shape))), self._dtype)
        self._count = 0
        self._T = np.zeros((room, room))
        self._link = np.zeros(0)  # how the last vectors couple to the next, but for its √β/α

    def add(self, z: Array, rho: float, step: float, earlier: tuple[float, float] | None) -> None:
        """Take in z = B⁻¹r with ρ = rᵀz, the step α taken from there, and (α, β) that led there."""
        if self._count == self._room:
            self._compress()
        if self._count == self._vectors.shape[0]:
            more = np.empty(
                (min(max(2 * self._count, 16), self._room), self._vectors.shape[1]), self._dtype
            )
            more[: self._count] = self._vectors[: self._count]
            self._vectors = more
        at = self._count
        self._vectors[at] = np.asarray(z).reshape(-1) * self._dtype.type(1.0 / np.sqrt(rho))
        self._T[at, at] = 1.0 / step
        if earlier is not None:
            alpha, beta = earlier
            self._T[at, at] += beta / alpha
            self._T[at, :at] = self._T[:at, at] = -np.sqrt(beta) / alpha * self._link
        self._link = np.zeros(at + 1)
        self._link[at] = 1.0
        self._count += 1

    def least(self, spectrum: float) -> Recycled | None:
        """The directions of least Ritz value below SLOW, at most as many as are to be kept; None
        where there are none.

        ``spectrum`` estimates the least eigenvalue of B⁻¹S, see ``linalg.ahead``.
        """
        if self._count == 0:
            return None
        values, vectors = eigh(self._T[: self._count, : self._count])
        found = min(self._keep, int(np.sum((values > 0) & (values < SLOW))), self._count)
        if found == 0 or not values[0] > 0:
            return None
        W = vectors[:, :found].T.astype(self._dtype) @ self._vectors[: self._count]
        after = float(values[found]) if found < self._count else SLOW
        share = min(spectrum / float(values[0]), 1.0)
        return Recycled(
            W.reshape(found, *self._shape), values[:found], float(values[0]) * share, after * share
        )

    def _compress(self) -> None:
        """To the combinations of least θ, and those from before the last vector: both, so as not to
        lose their way.
        """
        count = self._count
        T = self._T[:count, :count]
        found = [eigh(T)[1][:, : self._keep], np.zeros((count, self._keep))]
        found[1][:-1] = eigh(T[:-1, :-1])[1][:, : self._keep]
        Y = np.linalg.qr(np.concatenate(found, axis=1))[0]
        values, vectors = eigh(Y.T @ T @ Y)
        Y = Y @ vectors
        self._vectors[: values.size] = Y.T.astype(self._dtype) @ self._vectors[:count]
        self._T[:] = 0.0
        self._T[np.arange(values.size), np.arange(values.size)] = values
        self._link = self._link @ Y
        self._count = values.size
