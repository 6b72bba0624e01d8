"""Where the regularization outweighs the data: the λ from which on every factor is zero, and that
being the optimum.

For h = 1 and X = P Qᵀ, λ Σ_u ρ_u ‖p_u‖² + λ Σ_v ρ_v ‖q_v‖² ≥ 2 λ ‖diag(ρ)^½ X diag(ρ)^½‖_* (Srebro,
Rennie & Jaakkola, NIPS 2004), so L is at least a convex function of X, whose subgradients at X = 0
hold 0 exactly where

    λ ≥ λ* = ‖diag(ρ_users)^-½ (c ∘ y) diag(ρ_items)^-½‖₂.

There Θ = 0 is the one global minimum, of any number of factors; below λ* it is a saddle. With h
held fixed, λ* takes the factor max |h|. Missing cells, which pull towards 0 themselves, do not
appear in it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh_tridiagonal
from scipy.sparse import csr_array

from alteraser.models import Factors, Problem

Float64 = npt.NDArray[np.float64]

TIGHT = 1e-10
"""Relative accuracy of λ*; within it λ counts as λ* itself."""

GLANCES = 3
"""Products by AᵀA that tell most problems to be far below λ*, before anything is worked out."""


STEPS = 300
"""Of Lanczos' method; by then the largest singular value of any real matrix of counts is there."""


def critical_regularization(problem: Problem, prediction: Any = None) -> float:
    """λ*: with it or more every factor of the optimum is zero, with less none is a minimum; 0
    without interactions.

    ``prediction`` is h, (d,), where it is not all ones.
    """
    return _largest(_pulls(problem)) * _reach(prediction)


def collapse(problem: Problem, prediction: Any = None) -> float | None:
    """λ*/λ where Θ = 0 is the optimum, that is where it is at most 1; None where it is not, or λ =
    0.

    O(|D|) where λ is far below λ*. The least curvature of L at 0 relative to that of its blocks is
    1 − (λ*/λ)².
    """
    own = problem.objective.regularization
    if not own > 0:
        return None
    if len(problem.interactions) == 0:
        return 0.0
    pulls, reach = _pulls(problem), _reach(prediction)
    if _glance(pulls) * reach > own * (1.0 + TIGHT):
        return None
    ratio = _largest(pulls) * reach / own
    return min(ratio, 1.0) if ratio <= 1.0 + TIGHT else None


def nothing(factors: Factors) -> bool:
    """Whether every row of a model is zero."""
    return not (np.any(factors.users) or np.any(factors.items))


def _pulls(problem: Problem) -> Any:
    """diag(ρ)^-½ (c ∘ y) diag(ρ)^-½, sparse (m, n)."""
    data, objective = problem.interactions, problem.objective
    unit = objective.model_copy(update={"regularization": 1.0})
    m, n = data.shape
    counts = problem.frequencies or (data.user_counts, data.item_counts)
    scales = [
        1.0 / np.sqrt(np.where(rho > 0, rho, np.inf))
        for rho in (unit.user_ridge(counts[0], n), unit.item_ridge(counts[1], m))
    ]
    pull = np.ones(len(data)) if data.confidence is None else data.confidence.astype(np.float64)
    if data.target is not None:
        pull = pull * data.target
    rows = np.repeat(np.arange(m), np.diff(data.indptr))
    pull = pull * scales[0][rows] * scales[1][data.indices]
    return csr_array((pull, data.indices, data.indptr), shape=(m, n))


def _reach(prediction: Any) -> float:
    return (
        1.0
        if prediction is None
        else float(np.abs(np.asarray(prediction, np.float64)).max(initial=0.0))
    )


def _glance(pulls: Any) -> float:
    """A lower bound of the largest singular value, by a few steps of the power method from positive
    vectors.
    """
    size = float(np.abs(pulls.data).max(initial=0.0))
    if not size > 0:
        return 0.0
    scaled = csr_array((pulls.data / size, pulls.indices, pulls.indptr), shape=pulls.shape)
    x = np.asarray(abs(scaled).sum(axis=0))  # the heavier, the more of it
    best = 0.0
    for _ in range(GLANCES):
        length = float(np.linalg.norm(x))
        if not length > 0:
            break
        y = scaled @ (x / length)
        best = max(best, float(np.linalg.norm(y)))
        x = scaled.T @ y
    return best * size


def _largest(pulls: Any) -> float:
    """The largest singular value, by Lanczos' method on AᵀA (Golub & Kahan, SIAM J. Numer. Anal.
    1965).
    """
    size = float(np.abs(pulls.data).max(initial=0.0))
    if not size > 0:
        return 0.0
    scaled = csr_array((pulls.data / size, pulls.indices, pulls.indptr), shape=pulls.shape)
    if scaled.shape[0] < scaled.shape[1]:
        scaled = scaled.T.tocsr()
    x = np.asarray(abs(scaled).sum(axis=0)) * (
        1.0 + 0.01 * np.random.default_rng(0).standard_normal(scaled.shape[1])
    )
    basis: list[Float64] = [x / np.linalg.norm(x)]
    diagonal: list[float] = []
    off: list[float] = []
    while True:
        y = scaled.T @ (scaled @ basis[-1])
        diagonal.append(float(basis[-1] @ y))
        # against every earlier one, or rounding lets the largest value in again and again
        for _ in range(2):
            for known in basis:
                y = y - (known @ y) * known
        length = float(np.linalg.norm(y))
        values, vectors = eigh_tridiagonal(diagonal, off)
        if length * abs(vectors[-1, -1]) <= TIGHT * values[-1] or len(basis) >= min(
            STEPS, scaled.shape[1]
        ):
            return size * float(np.sqrt(max(values[-1], 0.0)))
        off.append(length)
        basis.append(y / length)
