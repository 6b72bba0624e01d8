"""What is left of the forgotten: its mean score, and the gap in the objective."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.errors import InvalidInput
from alteraser.metrics.distance import FactorsLike

Array = npt.NDArray[Any]

CELLS_AT_A_TIME = 1 << 16  # cells whose two embeddings are held in float64 at once


def re_predict(factors: FactorsLike, user_rows: Array, item_rows: Array) -> float:
    """Mean raw score (1/N) Σ h · (p_u ∘ q_v) of the given cells, usually the forget set, in
    float64.

    "Re-predict" in Liu et al., RecSys 2022, §5.1. No cells are refused rather than answered with
    NaN or 0: a mean of nothing would read as forgotten, or run silently through an average over
    runs.

    Args:
        factors: P (m × d), Q (n × d) and h (d).
        user_rows: (N,) rows of P.
        item_rows: (N,) rows of Q; cell i is (user_rows[i], item_rows[i]).

    Returns:
        The mean score, in the unit of the targets.

    Raises:
        InvalidInput: no cells, rows that do not pair up, rows that the model does not have.

    >>> import numpy as np
    >>> from alteraser.models import Factors
    >>> theta = Factors(np.array([[1.0], [3.0]]), np.array([[2.0]]), np.ones(1))
    >>> re_predict(theta, np.array([0, 1]), np.array([0, 0]))                 # (1·2 + 3·2) / 2
    4.0
    """
    user_rows, item_rows = np.asarray(user_rows), np.asarray(item_rows)
    if user_rows.ndim != 1 or user_rows.shape != item_rows.shape:
        raise InvalidInput(
            f"user_rows have shape {user_rows.shape} and item_rows {item_rows.shape}, expected "
            "(N,) twice: give the two rows of every cell"
        )
    if user_rows.size == 0:
        raise InvalidInput(
            "user_rows is empty, expected at least one cell: the mean score of nothing says nothing"
        )
    _check_rows("user_rows", user_rows, factors.users.shape[0])
    _check_rows("item_rows", item_rows, factors.items.shape[0])
    h = factors.prediction.astype(np.float64)
    total = 0.0
    for start in range(0, user_rows.size, CELLS_AT_A_TIME):
        part = slice(start, start + CELLS_AT_A_TIME)
        P = factors.users[user_rows[part]].astype(np.float64)
        Q = factors.items[item_rows[part]].astype(np.float64)
        total += float(np.sum((P * Q) @ h))
    return total / user_rows.size


def gap_left(
    objective_unlearned: float, objective_original: float, objective_retrained: float
) -> float:
    """(L(Θ_u) − L*) / (L(Θ_a) − L*) of the objective on the remaining data, L* the retrained
    model's.

    Args:
        objective_unlearned: L(Θ_u), after erasing.
        objective_original: L(Θ_a), before erasing.
        objective_retrained: L*, of a retrained model that has converged.

    Returns:
        1 for doing nothing, 0 for reaching the retrained loss, negative below it.

    Raises:
        InvalidInput: an objective that is not finite, or an original that is not above the
            retrained model: then L* has not converged, or there was nothing to forget, and the
            share means nothing.

    >>> # 0.5 / 2
    >>> gap_left(objective_unlearned=10.5, objective_original=12.0, objective_retrained=10.0)
    0.25
    """
    for name, value in (
        ("objective_unlearned", objective_unlearned),
        ("objective_original", objective_original),
        ("objective_retrained", objective_retrained),
    ):
        if not math.isfinite(value):
            raise InvalidInput(
                f"{name} is {value}, expected a finite number: look at how that model was trained"
            )
    if not objective_original > objective_retrained:
        raise InvalidInput(
            f"objective_original is {objective_original}, expected more than objective_retrained, "
            f"{objective_retrained}: retrain to a smaller tolerance"
        )
    return (objective_unlearned - objective_retrained) / (objective_original - objective_retrained)


def _check_rows(name: str, rows: Array, size: int) -> None:
    if not np.issubdtype(rows.dtype, np.integer):
        raise InvalidInput(
            f"{name} holds {rows.dtype}, expected integers: translate ids to rows first"
        )
    low, high = int(rows.min()), int(rows.max())
    if low < 0 or high >= size:
        raise InvalidInput(
            f"{name} runs from {low} to {high}, expected rows 0 to {size - 1} of the model: "
            "leave out cells that it does not know"
        )
