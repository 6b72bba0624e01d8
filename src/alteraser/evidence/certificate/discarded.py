"""Whether a linear model is on a saddle that its gradient does not show: a column in which it is
nothing, with which L would be lower.

Written a second time, as all of this certificate: with c in such a column, scores change by
(A c)(B c)ᵀ, and L by Σ ρ c² + 2 Σ_r β_r (A c)ᵀ R_r (B c) and a fourth power. The quadratic form is
looked at by Lanczos' method for its least eigenvalue over ρ, off the columns that are used, in
which it is zero.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh_tridiagonal

Float64 = npt.NDArray[np.float64]

NOTHING = 1e-3
"""Share of the longest column below which one is taken to be nothing"""
STEPS, LOOK = 60, 20
"""Of Lanczos' method, and after how many it is looked at what was found"""
ROUNDING = 1e-10
"""Least share of the penalty below zero that is no rounding"""


def axes_of(stacked: Float64, *, free: bool) -> tuple[Float64 | None, Float64]:
    """(a direction of ℝᵈ in which rows (N, d) are nothing or None, those in which they are
    something, (d, used)): any where they are ``free`` to rotate, else coordinates.
    """
    if free:
        _, lengths, right = np.linalg.svd(stacked, full_matrices=False)
        directions = right.T
    else:
        lengths, directions = np.sqrt((stacked**2).sum(0)), np.eye(stacked.shape[1])
    small = lengths <= NOTHING * lengths.max(initial=0.0)
    if not small.any():
        return None, directions
    # columns under h of their own are no eigenvectors of one form
    return directions[:, int(lengths.argmin())], directions[:, ~small][:, : None if free else 0]


def least(form: Callable[[Float64], Float64], used: Float64, size: int) -> tuple[float, Float64]:
    """(about the least eigenvalue of a form on ℝ^size off the columns of ``used``, its vector):
    from above.
    """
    kept = np.linalg.qr(used)[0] if used.shape[1] else used
    basis: list[Any] = []
    along: list[float] = []
    across: list[float] = []
    v = np.random.default_rng(1).standard_normal(size)
    for step in range(min(STEPS, size - kept.shape[1])):
        # off everything before, twice: so that nothing that was found comes back
        for _ in range(2):
            v = v - kept @ (kept.T @ v)
            for each in basis:
                v = v - each * (each @ v)
        length = float(np.linalg.norm(v))
        if step:
            across.append(length)
        if length <= 1e-12 * (1.0 + abs(along[-1] if along else 0.0)):
            break
        v = v / length
        basis.append(v)
        v = form(v)
        along.append(float(basis[-1] @ v))
        if (step + 1) % LOOK == 0 and _least(along, across)[0] < -ROUNDING:
            break
    if not basis:
        return 0.0, np.zeros(size)
    value, weights = _least(along, across)
    return value, np.asarray(np.stack(basis, 1) @ weights)


def _least(along: list[float], across: list[float]) -> tuple[float, Float64]:
    values, vectors = eigh_tridiagonal(np.array(along), np.array(across[: len(along) - 1]))
    return float(values[0]), np.asarray(vectors[:, 0])
