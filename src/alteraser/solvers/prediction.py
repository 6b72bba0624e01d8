"""The Φ step: the prediction vector h with P and Q fixed (Liu et al., RecSys 2022, Algorithm 1,
last line).

The score is linear in h, so the objective is quadratic in it with the d × d system

    H h = g,   H = Σ_{(u,v)∈D} (c − w⁻) s sᵀ + w₀ (Pᵀdiag(a)P) ∘ (Qᵀdiag(b)Q),
        g = Σ_{(u,v)∈D} c y s,   s = p_u ∘ q_v.

h is not regularized, so together with P and Q it has no minimum: after the step ‖h‖₂ is set to √d
and P and Q take up the scale equally.
"""

from __future__ import annotations

import numpy as np

from alteraser.errors import NumericFailure
from alteraser.models import Factors, Problem

CHUNK = 1 << 16  # cells at a time


def prediction_step(problem: Problem, factors: Factors) -> Factors:
    """Factors with h at its minimum and the scale moved into P and Q; scores are those of the new
    h.
    """
    data, side = problem.interactions, problem.users
    d, w0 = factors.rank, side.missing_weight
    P, Q = factors.users.astype(np.float64), factors.items.astype(np.float64)
    own, other = side.own.astype(np.float64), side.other.astype(np.float64)
    weighted = Q * other[:, None] if other.size else Q
    system = w0 * ((P * own[:, None]).T @ P) * (weighted.T @ Q)
    right = np.zeros(d)
    users = data.user_rows
    for start in range(0, len(data), CHUNK):
        part = slice(start, start + CHUNK)
        u, v = users[part], data.indices[part]
        s = P[u] * Q[v]
        c = side.confidence[part].astype(np.float64) if side.confidence.size else np.ones(u.size)
        y = side.target[part].astype(np.float64) if side.target.size else 1.0
        missing = w0 * own[u] * (other[v] if other.size else 1.0)
        system += (s * (c - missing)[:, None]).T @ s
        right += s.T @ (c * y)
    try:
        h = np.linalg.solve(system, right)
    except np.linalg.LinAlgError:
        raise NumericFailure(
            "the prediction vector's system is singular: fewer factors, or train_prediction=False"
        ) from None
    scale = np.linalg.norm(h) / np.sqrt(d)
    if not np.isfinite(scale) or scale == 0:
        raise NumericFailure(
            "the prediction vector vanished or is not finite: train_prediction=False"
        )
    root, dtype = np.sqrt(scale), factors.dtype
    return Factors((P * root).astype(dtype), (Q * root).astype(dtype), (h / scale).astype(dtype))
