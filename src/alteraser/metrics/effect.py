"""How much of a deletion's effect is missing in a model that was no optimum before: the measure of
local forgetting.

A model that was stopped early is near the optimum Θ*_a of its data, not at it. What the deletion
does to it is what it does to that optimum: Θ_u − Θ_a should be Θ*_r − Θ*_a. Factors are known up to
a rotation, so the optima are turned to the original first.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.errors import InvalidInput
from alteraser.metrics.distance import FactorsLike, canonical, share

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]
Pair = tuple[Float64, Float64]


def effect_left(
    original: FactorsLike,
    unlearned: FactorsLike,
    optimum_all: FactorsLike,
    optimum_remaining: FactorsLike,
    *,
    rows: tuple[Array, Array] | None = None,
) -> float:
    """‖(Θ_u − Θ_a) − (Θ*_r R₂ − Θ*_a R₁)‖_F / ‖Θ*_r R₂ − Θ*_a R₁‖_F: 1 for doing nothing, 0 for the
    whole effect.

    R₁ is the rotation that brings Θ*_a nearest to Θ_a, R₂ the one that brings Θ*_r nearest to Θ*_a
    R₁ (orthogonal Procrustes, Schönemann 1966), both over all rows. Θ_u is compared in the
    coordinates that it has: it is Θ_a moved. A prediction vector other than ones is absorbed first,
    as for ``model_distance``.

    Args:
        original: Θ_a: P (m × d), Q (n × d), h (d).
        unlearned: Θ_u, the same shapes.
        optimum_all: Θ*_a, where training on all data would have led from Θ_a.
        optimum_remaining: Θ*_r, where training on the remaining data leads from Θ*_a.
        rows: (users, items) to compare, as row numbers or masks; None: those that are not zero in
            Θ*_r, which are the rows that the remaining data do not leave empty.

    Returns:
        The share; 0/0 is 0, and infinite for a model that moved where the deletion has no effect.

    Raises:
        InvalidInput: shapes that differ, or values that are not finite.

    >>> import numpy as np
    >>> from alteraser.models import Factors
    >>> model = lambda q: Factors(np.array([[1.0]]), np.array([[q], [1.0]]), np.ones(1))
    >>> # |(2.1 − 2.5) − (2 − 2.4)| / 0.4
    >>> round(effect_left(model(2.5), model(2.1), model(2.4), model(2.0)), 12)
    0.0
    >>> round(effect_left(model(2.5), model(2.2), model(2.4), model(2.0)), 12)  # |−0.3 + 0.4| / 0.4
    0.25
    >>> effect_left(model(2.5), model(2.5), model(2.4), model(2.0))
    1.0
    """
    before, after, whole, rest = _same_shapes(original, unlearned, optimum_all, optimum_remaining)
    start = _turned(whole, before)
    end = _turned(rest, start)
    users, items = rows if rows is not None else (np.any(x != 0, axis=1) for x in rest)
    wanted = end[0][users] - start[0][users], end[1][items] - start[1][items]
    got = after[0][users] - before[0][users], after[1][items] - before[1][items]
    return share(_norm((got[0] - wanted[0], got[1] - wanted[1])), _norm(wanted))


def _same_shapes(*models: FactorsLike) -> list[Pair]:
    found: list[Pair] = []
    for name, model in zip(
        ("original", "unlearned", "optimum_all", "optimum_remaining"), models, strict=True
    ):
        P, Q, left, right = canonical(model)
        pair = P * left, Q * right
        if found and (pair[0].shape, pair[1].shape) != (found[0][0].shape, found[0][1].shape):
            raise InvalidInput(
                f"{name} has users {pair[0].shape} and items {pair[1].shape}, original "
                f"{found[0][0].shape} and {found[0][1].shape}, expected the same rows and "
                "factors: compare models of one training"
            )
        if not all(np.isfinite(x).all() for x in pair):
            raise InvalidInput(
                f"{name} holds values that are not finite, expected numbers: load it again"
            )
        found.append(pair)
    return found


def _turned(model: Pair, towards: Pair) -> Pair:
    """``model`` R with the orthogonal R that brings it nearest to ``towards``."""
    U, _, Vt = np.linalg.svd(model[0].T @ towards[0] + model[1].T @ towards[1])
    R = U @ Vt
    return model[0] @ R, model[1] @ R


def _norm(pair: Pair) -> float:
    return float(np.hypot(np.linalg.norm(pair[0]), np.linalg.norm(pair[1])))
