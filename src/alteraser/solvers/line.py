"""L along a line, which is a quartic, and where it is least."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.polynomial import Polynomial

from alteraser.models import Side
from alteraser.runtime.workers import blocks, run
from alteraser.solvers.rows.protocol import aligned, padded

Array = npt.NDArray[Any]
Pair = tuple[Array, Array]


def quartic_along(
    sides: tuple[Side, Side], point: Pair, seen: Pair, line: Pair, threads: int
) -> Polynomial:
    """L(P + t V, Q + t W) − L(P, Q) as a polynomial of degree 4 in t, in the precision of the
    arrays.

    ``point`` = (P, Q), ``line`` = (V, W); ``seen`` = (Q h, W h), the items' side as users see it.
    """
    from alteraser.linalg.kernels.tile import lanes
    from alteraser.solvers.kernels.joint import line_rows

    users = sides[0]
    (P, _), (V, W), (Z, dZ) = point, line, seen
    width = lanes(P.dtype.itemsize)
    wide = [aligned(x) if x.shape[1] % width == 0 else padded(x) for x in (P, V, Z, dZ)]
    coefficients = np.zeros((users.rows, 4))
    arrays = users.arrays
    run(
        lambda rows: line_rows(
            rows,
            arrays,
            *wide,
            coefficients,
        ),
        blocks(users, None, P.shape[1], threads),
        threads,
    )
    total = np.concatenate([[0.0], coefficients.sum(axis=0)])
    ones = np.ones(1, P.dtype)
    grams = [
        _gram_along(x, dx, weights)
        for x, dx, weights in (
            (P, V, users.own),
            (Z, dZ, users.other if users.other.size else ones),
        )
    ]
    for i, left in enumerate(grams[0]):
        for j, right in enumerate(grams[1]):
            if i + j:
                total[i + j] += users.missing_weight * float(np.vdot(left, right))
    for own, x, dx in zip(sides, point, (V, W), strict=True):
        ridge = own.ridge.astype(np.float64)
        total[1] += 2.0 * float(ridge @ np.einsum("id,id->i", x, dx, dtype=np.float64))
        total[2] += float(ridge @ np.einsum("id,id->i", dx, dx, dtype=np.float64))
    return Polynomial(total)


def lowest(along: Polynomial, reach: float) -> float:
    """The t in (0, reach] where the quartic is least; 0 if it is nowhere below 0."""
    if not np.all(np.isfinite(along.coef)):
        return 0.0
    roots = np.asarray(along.deriv().roots(), dtype=complex)
    candidates = [
        float(r.real) for r in roots if abs(r.imag) < 1e-9 * (1 + abs(r)) and 0 < r.real <= reach
    ]
    best = min(candidates, key=lambda t: float(along(t)), default=0.0)
    return best if along(best) < 0 else 0.0


def _gram_along(x: Array, dx: Array, weights: Array) -> tuple[Array, Array, Array]:
    """Coefficients of (x + t dx)ᵀ diag(weights) (x + t dx) in t."""
    weighted, other = x * weights[:, None], dx * weights[:, None]
    mixed = (weighted.T @ dx).astype(np.float64)
    return (weighted.T @ x).astype(np.float64), mixed + mixed.T, (other.T @ dx).astype(np.float64)
