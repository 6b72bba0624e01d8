"""Rotations of both sides together, along which L does not change, and what of a direction they
are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

COLLAPSED = 1e-5
"""Squared singular values below this share of the largest span no rotation that could be told from
rounding."""

TINY = float(np.finfo(np.float64).tiny) * 1e8
"""Squared singular values below this are zero: their reciprocal is out of range."""


class Rotations:
    """Rotation directions X S (S skew) of stacked factors X: their part in a direction D solves

    G S + S G = Xᵀ D − Dᵀ X,     G = XᵀX.
    """

    def __init__(self, *stacked: Array, least: float = COLLAPSED) -> None:
        """``least``: share of the largest squared singular value below which none is told from
        rounding.
        """
        self._stacked = stacked
        gram = np.add.reduce([x.astype(np.float64).T @ x.astype(np.float64) for x in stacked])
        values, self._vectors = np.linalg.eigh(gram)
        sums = values[:, None] + values[None, :]
        told = sums > max(least * values[-1], TINY)
        self._inverse = np.where(told, 1.0 / np.where(told, sums, 1.0), 0.0)

    def of(self, *direction: Array) -> Array:
        """S (w, w)."""
        K = np.add.reduce(
            [(x.T @ d).astype(np.float64) for x, d in zip(self._stacked, direction, strict=True)]
        )
        K = self._vectors.T @ (K - K.T) @ self._vectors
        return np.asarray(
            self._vectors @ (K * self._inverse) @ self._vectors.T, dtype=direction[0].dtype
        )

    def off(self, direction: Array) -> Array:
        """``direction`` (of the only stacked factors) without its rotation."""
        return np.asarray(direction - self._stacked[0] @ self.of(direction))


def nearest(stacked: tuple[Array, ...], target: tuple[Array, ...]) -> Array:
    """The orthogonal R (d, d) with which X R of all ``stacked`` X is nearest to ``target``
    (Procrustes, Schönemann 1966).
    """
    shared = np.add.reduce(
        [
            x.T.astype(np.float64) @ y.astype(np.float64)
            for x, y in zip(stacked, target, strict=True)
        ]
    )
    left, _, right = np.linalg.svd(shared)
    return np.asarray(left @ right)
