"""Default hyper-parameters from the size and density of the data (docs/explanation/defaults.md has
the evidence).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from alteraser.data.interactions import Interactions
from alteraser.models.factorization.magnitudes import check_scaled
from alteraser.models.factorization.objective import Objective


@dataclass(frozen=True)
class Defaults:
    """w₀ and λ for ``ENMF`` when none are given."""

    missing_weight: float
    regularization: float


def defaults(data: Interactions) -> Defaults:
    """w₀ and λ for ``data``, with ρ = 1 and weights that are uniform.

        w₀ = min(0.3, 1.2 √density),     λ = 5 g^0.3 w₀^0.35,     g = √(mean |D_u| · mean |D_v|)

    The sparser the data, the less a missing cell says; the more a row is given to do and the more
    the missing cells weigh, the more regularization it bears. The constants were read off grids
    over six public sets on a validation cut, erring toward too little λ: too much collapses the
    model to popularity.

    >>> rule = defaults(Interactions.from_pairs([(u, v) for u in range(10) for v in range(10)]))
    >>> rule.missing_weight, round(rule.regularization, 2)        # 0.3;  5 · 10^0.3 · 0.3^0.35
    (0.3, 6.55)
    """
    stats = data.statistics()
    return _rule(stats.per_user[1], stats.per_item[1], stats.density)


def objective_for(
    data: Interactions,
    missing_weight: float | None = None,
    regularization: float | None = None,
    *,
    share: float = 1.0,
    **settings: Any,
) -> Objective:
    """The objective of these ``settings``, with w₀ and ``share`` of λ of ``data`` where none are
    given.

    Where λ grows with frequency, its unit is another: then a user and an item with as many
    interactions as the mean, |D̄_u| and |D̄_v|, bear what they bear where ρ = 1,

        λ √(ρ(|D̄_u|) ρ(|D̄_v|)) = λ of ``defaults``

    Raises InvalidInput where ρ is no number to reckon with.

    >>> data = Interactions.from_pairs([(u, v) for u in range(10) for v in range(10)])
    >>> made = objective_for(data, regularization_scaling="frequency", scaling_exponent=0.5)
    >>> round(made.regularization * 10**0.5, 2)
    6.55
    """
    stats = data.statistics()
    rule = _rule(stats.per_user[1], stats.per_item[1], stats.density)
    weight = rule.missing_weight if missing_weight is None else missing_weight
    if regularization is None:
        unit = Objective(missing_weight=weight, regularization=1.0, **settings)
        means = (stats.per_user[1], stats.per_item[1])
        with np.errstate(over="ignore"):
            borne = [
                float(unit.ridge(np.array([count]), others)[0])
                for count, others in zip(means, data.shape[::-1], strict=True)
            ]
        check_scaled(max(borne))
        regularization = share * rule.regularization / math.sqrt(borne[0] * borne[1])
    return Objective(missing_weight=weight, regularization=regularization, **settings)


def of_counts(rows: int, columns: int, cells: int) -> Defaults:
    """The same for any matrix: ``cells`` observed of ``rows`` · ``columns``, none of them empty.

    >>> of_counts(10, 10, 100) == Defaults(0.3, 5.0 * 10**0.3 * 0.3**0.35)
    True
    """
    if not cells:
        return _rule(0.0, 0.0, 0.0)
    return _rule(cells / rows, cells / columns, cells / (rows * columns))


def _rule(per_row: float, per_column: float, density: float) -> Defaults:
    g = math.sqrt(max(per_row * per_column, 1.0))
    missing_weight = min(0.3, 1.2 * math.sqrt(density))
    return Defaults(missing_weight, 5.0 * g**0.3 * missing_weight**0.35)
