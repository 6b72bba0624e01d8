"""Readable NumPy twins of the kernels: documentation and oracle, never used in production.

Same formulas as ``rows`` beside it, one row at a time, dense where that is clearer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.models.factorization.problem import SideArrays

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]


def system(of: SideArrays, Z: Array, row: int) -> tuple[Float64, Float64]:
    """(A, b) of one row, summed over *all* cells of the row, observed or missing: no Gram shortcut.

    A = Σ_all w z zᵀ + ridge I,  b = Σ_observed c y z,  with w = c where observed and w₀ a b_v
    elsewhere.
    """
    Z = Z.astype(np.float64)
    other = of.other.astype(np.float64) if of.other.size else np.ones(len(Z))
    weights = of.missing_weight * float(of.own[row]) * other
    pull = np.zeros(len(Z))
    part = slice(of.start[row], of.stop[row])
    observed = of.indices[part]
    c = of.confidence[part] if of.confidence.size else np.ones(observed.size)
    y = of.target[part] if of.target.size else np.ones(observed.size)
    weights[observed] = c
    pull[observed] = c * y
    return (Z.T * weights) @ Z + float(of.ridge[row]) * np.eye(Z.shape[1]), Z.T @ pull


def exact_rows(of: SideArrays, Z: Array, x: Array, rows: Array) -> tuple[Float64, Float64, Float64]:
    """(new rows, decrement, value) of ``exact_rows``: the dense minimizer of each row."""
    out, decrement, value = x[rows].astype(np.float64), np.empty(len(rows)), np.empty(len(rows))
    for n, row in enumerate(rows):
        A, b = system(of, Z, row)
        g = A @ out[n] - b
        decrement[n] = g @ np.linalg.solve(A, g)
        out[n] = np.linalg.solve(A, b)
        value[n] = -b @ out[n]
    return out, decrement, value


def cg_rows(of: SideArrays, Z: Array, x: Array, rows: Array, steps: int) -> Float64:
    """New rows after ``steps`` textbook conjugate-gradient steps on A x = b from ``x`` (Hestenes &
    Stiefel 1952).
    """
    out = x[rows].astype(np.float64)
    for n, row in enumerate(rows):
        A, b = system(of, Z, row)
        r = b - A @ out[n]
        p, rr = r.copy(), r @ r
        for _ in range(steps):
            if rr == 0:
                break
            q = A @ p
            step = rr / (p @ q)
            out[n] += step * p
            r -= step * q
            rr, before = r @ r, rr
            p = r + (rr / before) * p
    return out


def objective(users: SideArrays, items: SideArrays, P: Array, Q: Array, h: Array) -> float:
    """L by its definition: a sum over every cell of the m × n matrix, and the ridge terms."""
    P, Q = P.astype(np.float64), Q.astype(np.float64)
    scores = (P * h) @ Q.T
    other = users.other.astype(np.float64) if users.other.size else np.ones(len(Q))
    weights = users.missing_weight * users.own.astype(np.float64)[:, None] * other[None, :]
    targets = np.zeros_like(scores)
    rows = np.repeat(np.arange(len(P)), users.stop - users.start)
    weights[rows, users.indices] = users.confidence if users.confidence.size else 1.0
    targets[rows, users.indices] = users.target if users.target.size else 1.0
    loss = np.sum(weights * (targets - scores) ** 2)
    return float(loss + users.ridge @ np.sum(P**2, axis=1) + items.ridge @ np.sum(Q**2, axis=1))
