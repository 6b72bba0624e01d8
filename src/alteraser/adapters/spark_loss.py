"""What Spark's ALS minimizes: Hu, Koren & Volinsky (2008) with a ridge in proportion to the number
of ratings.

    implicit   Σ_all c (y − p·q)² + λ (Σ n_u ‖p_u‖² + Σ n_v ‖q_v‖²),    c = 1 + α|r|,  y = [r > 0]
    explicit   Σ_D (r − p·q)²     + λ (Σ n_u ‖p_u‖² + Σ n_v ‖q_v‖²)

n is the number of ratings of a row; with implicit feedback of those above 0 only
(``computeFactors``: the weighted λ of Zhou et al. 2008). A pair that occurs k times is k ratings: Σ
α|r| in c, k + Σ α r in c y, k in n; so its y is not 1. Users are solved last, by Cholesky
factorization in double precision, and stored as float32.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from alteraser.adapters.als import ALS
from alteraser.data.interactions import Interactions
from alteraser.errors import InvalidInput
from alteraser.models import Objective, Problem

LEAVES = 1e-4
"""Residual of the users' normal equations that float32 storage leaves, with room for badly
conditioned rows."""


@dataclass(frozen=True)
class SparkALS(ALS):
    """ALS whose ridge counts ratings: the positive ones where feedback is implicit, repeated ones
    each time.
    """

    def weighted(self, data: Interactions) -> Interactions:
        """``data`` with c and y in place of r; r of a pair that occurs k times is their sum.

        Raises InvalidInput where some of the repeated ones are not positive, for their sum does not
        tell which.
        """
        if data.multiplicity is None:
            return super().weighted(data)
        k = data.multiplicity.astype(np.float64)
        r = k if data.target is None else data.target
        if self.alpha is None:
            return replace(data, confidence=k, target=r / k)
        odd = int(((k > 1) & (r <= 0)).sum())
        if odd:
            raise InvalidInput(
                f"{odd} pair(s) occur several times with ratings that add up to 0 or less: Spark "
                "weighs each of them by its sign, which the sum no longer tells. Use data in "
                "which a pair occurs once"
            )
        c = self.intercept + self.alpha * np.abs(r)
        return replace(data, confidence=c, target=np.where(r > 0, (k + self.alpha * r) / c, 0.0))

    def problem(self, data: Interactions, dtype: Any) -> Problem:
        """The objective taken on ``data``, whose ``target`` is r."""
        problem = super().problem(data, dtype)
        k = (
            np.ones(len(data))
            if data.multiplicity is None
            else data.multiplicity.astype(np.float64)
        )
        if not self.explicit and data.target is not None:
            k = np.where(data.target > 0, k, 0.0)
        if (k == 1).all():
            return problem
        counts = (
            np.bincount(rows, weights=k, minlength=size)
            for rows, size in zip((data.user_rows, data.indices), data.shape, strict=True)
        )
        users, items = counts
        return replace(problem, frequencies=(users, items))


def spark_als(regularization: float, alpha: float | None) -> SparkALS:
    """The loss of an ALS with these regParam and alpha; ``alpha`` None: explicit feedback.

    >>> spark_als(0.1, 40.0).formula
    'Σ c (y − p·q)², c = 1 + 40·|r|, y = [r > 0] + 1 Σ_missing (p·q)² + 0.1 · count (‖p‖² + ‖q‖²)'
    """
    objective = Objective(
        missing_weight=0.0 if alpha is None else 1.0,
        regularization=regularization,
        regularization_scaling="frequency",
    )
    name = "Spark ALS, explicit" if alpha is None else "Spark ALS, implicit"
    intercept = 0.0 if alpha is None else 1.0
    return SparkALS(objective, alpha, intercept, exact="user", leaves=LEAVES, name=name)
