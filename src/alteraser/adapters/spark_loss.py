"""What Spark's ALS minimizes: Hu, Koren & Volinsky (2008) with a ridge in proportion to the number of ratings.

    implicit   Σ_all c (y − p·q)² + λ (Σ n_u ‖p_u‖² + Σ n_v ‖q_v‖²),    c = 1 + α|r|,  y = [r > 0]
    explicit   Σ_D (r − p·q)²     + λ (Σ n_u ‖p_u‖² + Σ n_v ‖q_v‖²)

n is the number of ratings of a row; with implicit feedback of those above 0 only (``computeFactors``: the weighted λ of
Zhou et al. 2008). Users are solved last, by Cholesky factorization in double precision, and stored as float32.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from alteraser.adapters.als import ALS
from alteraser.interactions import Interactions
from alteraser.models import Objective, Problem

LEAVES = 1e-4
"""Residual of the users' normal equations that float32 storage leaves, with room for badly conditioned rows."""


@dataclass(frozen=True)
class SparkALS(ALS):
    """ALS whose ridge counts positive ratings alone."""

    def problem(self, data: Interactions, dtype: Any) -> Problem:
        """The objective taken on ``data``, whose ``target`` is r."""
        problem = super().problem(data, dtype)
        if self.explicit or data.target is None or (data.target > 0).all():
            return problem
        positive = data.keep(data.target > 0)
        return replace(problem, frequencies=(positive.user_counts, positive.item_counts))


def spark_als(regularization: float, alpha: float | None) -> SparkALS:
    """The loss of an ALS with these regParam and alpha; ``alpha`` None: explicit feedback.

    >>> spark_als(0.1, 40.0).formula
    'Σ c (y − p·q)², c = 1 + 40·|r|, y = [r > 0] + 1 Σ_missing (p·q)² + 0.1 · count (‖p‖² + ‖q‖²)'
    """
    objective = Objective(
        missing_weight=0.0 if alpha is None else 1.0, regularization=regularization, regularization_scaling="frequency"
    )
    name = "Spark ALS, explicit" if alpha is None else "Spark ALS, implicit"
    intercept = 0.0 if alpha is None else 1.0
    return SparkALS(objective, alpha, intercept, exact="user", leaves=LEAVES, name=name)
