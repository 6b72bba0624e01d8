"""What is left of the forgotten: its mean score, and the gap in the objective."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.errors import InvalidInput
from alteraser.metrics.distance import FactorsLike

Array = npt.NDArray[Any]

CHUNK = 1 << 16


def re_predict(factors: FactorsLike, user_rows: Array, item_rows: Array) -> float:
    """Mean score ŷ of the given cells, usually the forget set (Liu et al., RecSys 2022, §5.1), in float64.

    InvalidInput without cells: a mean of nothing would read as forgotten.

    >>> import numpy as np
    >>> from alteraser.models import Factors
    >>> theta = Factors(np.array([[1.0], [3.0]]), np.array([[2.0]]), np.ones(1))
    >>> re_predict(theta, np.array([0, 1]), np.array([0, 0]))                 # (1·2 + 3·2) / 2
    4.0
    """
    user_rows, item_rows = np.asarray(user_rows), np.asarray(item_rows)
    if user_rows.shape != item_rows.shape or user_rows.size == 0:
        raise InvalidInput("re_predict needs as many user rows as item rows, and at least one cell")
    h = factors.prediction.astype(np.float64)
    total = 0.0
    for start in range(0, user_rows.size, CHUNK):
        part = slice(start, start + CHUNK)
        P = factors.users[user_rows[part]].astype(np.float64)
        Q = factors.items[item_rows[part]].astype(np.float64)
        total += float(np.sum((P * Q) @ h))
    return total / user_rows.size


def gap_left(unlearned: float, original: float, retrained: float) -> float:
    """(L(Θ_u) − L*) / (L(Θ_a) − L*) of the objective on the remaining data, L* the retrained model's.

    1 for doing nothing, 0 for reaching the retrained loss, negative below it. InvalidInput when the original is
    not above the retrained model: then L* is not converged and the share means nothing.

    >>> gap_left(unlearned=10.5, original=12.0, retrained=10.0)               # 0.5 / 2
    0.25
    """
    if not original > retrained:
        raise InvalidInput(
            f"the original's objective {original} is not above the retrained model's {retrained}: retrain to a smaller "
            "tolerance"
        )
    return (unlearned - retrained) / (original - retrained)
