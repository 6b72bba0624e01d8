"""Default hyper-parameters from the size and density of the data (see docs/explanation/defaults.md)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from alteraser.interactions import Interactions


@dataclass(frozen=True)
class Defaults:
    """w₀ and λ for ``ENMF`` when none are given."""

    missing_weight: float
    regularization: float


def defaults(data: Interactions) -> Defaults:
    """w₀ and λ for ``data``.

    With g = √(mean |D_u| · mean |D_v|), the geometric mean number of interactions of a row.
    """
    stats = data.statistics()
    g = math.sqrt(max(stats.per_user[1] * stats.per_item[1], 1.0))
    return Defaults(missing_weight=0.1, regularization=g**0.5)
