"""Numbers that no arithmetic of ours can use, refused by name before they overflow somewhere
else.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from alteraser.data.ids import IdMap
from alteraser.data.interactions import Interactions
from alteraser.errors import InvalidInput
from alteraser.models.factorization.objective import Objective

LEAST, MOST = 1e-30, 1e15
"""Sizes of weights, targets and regularizations that are numbers to reckon with; 0 is one as well.
Squares of them, their products and sums over all cells stay within float32."""

WIDE = 1e4
"""Ratio of the largest confidence to the least from which on training and forgetting may not get to
the end: in float32 the least are then near the rounding of the largest, and the cells that weigh so
much bind users and items together."""


def check_magnitudes(objective: Objective, data: Interactions) -> None:
    """InvalidInput, naming it, for a weight, target or regularization that is neither 0 nor from
    LEAST to MOST.
    """
    for name in ("missing_weight", "regularization"):
        _check(
            name.replace("_", " "), getattr(objective, name), "Left out, it is taken from the data"
        )
    if objective.regularization > 0 and objective.regularization_scaling != "none":
        m, n = data.shape
        with np.errstate(over="ignore"):
            ridges = (
                objective.user_ridge(data.user_counts, n),
                objective.item_ridge(data.item_counts, m),
            )
        for ridge in ridges:
            check_scaled(float(ridge.max(initial=0.0)))
    for name, values in (("confidence", data.confidence), ("target", data.target)):
        if values is None:
            continue
        sizes = np.abs(values)
        odd = np.flatnonzero((sizes > MOST) | ((sizes < LEAST) & (sizes > 0)))
        if odd.size:
            place = int(odd[0])
            user, item = (
                _id(data.users, data.user_rows[place]),
                _id(data.items, data.indices[place]),
            )
            what = "Take a rule such as log1p(column), min(column, 1000) or clip(column, 0.1, 1000)"
            _check(
                f"{name} of user {user} and item {item}"
                + (f" (one of {odd.size:,})" if odd.size > 1 else ""),
                float(values[place]),
                what if name == "confidence" else "Rescale the column",
            )


def check_scaled(regularization: float) -> None:
    """The same for λ of a row, where it grows with frequency."""
    _check(
        "scaled regularization",
        regularization,
        "Lower the offset κ or the exponent ν of the scaling",
    )


def confidence_ratio(data: Interactions) -> float:
    """The largest confidence over the least; 1 without any."""
    if data.confidence is None or not len(data):
        return 1.0
    return float(np.max(data.confidence)) / max(float(np.min(data.confidence)), LEAST)


def _id(ids: IdMap, row: Any) -> Any:
    return ids.ids[int(np.searchsorted(ids.rows, row))].as_py()


def _check(name: str, value: Any, advice: str) -> None:
    if value == 0 or LEAST <= abs(value) <= MOST:
        return
    raise InvalidInput(
        f"{name}: {value:.3g} is out of range; expected 0 or {LEAST:g} to {MOST:g}. {advice}"
    )
