"""The configuration of the objective: which loss, which missing weights, which regularization."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from alteraser.settings import Configured

Weighting = Literal["uniform", "popularity", "activity"]
Scaling = Literal["none", "frequency"]
Counts = npt.NDArray[np.int64]


class Objective(Configured):
    """Weighted squared error over *all* cells, observed or missing (ENMF; Chen et al., TOIS 2020).

        L = Σ_{(u,v)∈D} c_uv (y_uv − ŷ_uv)² + Σ_{(u,v)∉D} w⁻_uv ŷ_uv²
            + λ (Σ_u ρ_u ‖p_u‖² + Σ_v ρ_v ‖q_v‖²)

    with missing weights in product form, w⁻_uv = w₀ a_u b_v, so that the sum over all cells costs
    O((m+n)d² + |D|d) through weighted Gram matrices. Every statistic (a, b, ρ) is counted on the
    data that L is taken on: after forgetting, on the remaining data.
    """

    missing_weight: float = Field(ge=0.0, allow_inf_nan=False)
    """w₀: how much a missing cell counts. 0 makes missing cells leave the sum (explicit
    feedback)."""

    missing_weighting: Weighting = "uniform"
    """``uniform``: a = b = 1. ``popularity``: b_v = f_v^α / mean f^α (He et al., 2016).
    ``activity``: a_u alike."""

    weight_exponent: float = Field(default=0.5, ge=0.0, le=2.0)
    """α of the popularity or activity weights."""

    regularization: float = Field(ge=0.0, allow_inf_nan=False)
    """λ."""

    regularization_scaling: Scaling = "none"
    """``none``: ρ = 1. ``frequency``: ρ_u = (|D_u| + κ n)^ν, ρ_v = (|D_v| + κ m)^ν (Rendle et al.,
    RecSys 2022)."""

    scaling_offset: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    """κ: how many of the other side's rows count as if they were interactions."""

    scaling_exponent: float = Field(default=1.0, ge=0.0, le=2.0)
    """ν."""

    confidence: str | None = None
    """Rule by which c_uv was read from the data, e.g. ``1 + 40 * rating``; None: c = 1."""

    target: str | None = None
    """Column y_uv was read from; None: y = 1."""

    absent_users: int = Field(default=0, ge=0)
    """Rows of users without interactions that were taken out of a model (``alteraser compact``) and
    still count: m is the rows there are and these."""

    absent_items: int = Field(default=0, ge=0)
    """The same for items and n."""

    @model_serializer(mode="wrap")
    def _dumped(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without the numbers of absent rows where there are none: they belong to compacted models
        alone.
        """
        found: dict[str, Any] = write(self)
        return {
            name: value
            for name, value in found.items()
            if value or name not in ("absent_users", "absent_items")
        }

    def user_weights(self, user_counts: Counts) -> npt.NDArray[np.float64] | None:
        """a_u of the missing weights from |D_u| (rows,); None when all are 1."""
        return (
            self._weights(user_counts, self.absent_users)
            if self.missing_weighting == "activity"
            else None
        )

    def item_weights(self, item_counts: Counts) -> npt.NDArray[np.float64] | None:
        """b_v of the missing weights from |D_v| (rows,); None when all are 1."""
        return (
            self._weights(item_counts, self.absent_items)
            if self.missing_weighting == "popularity"
            else None
        )

    def _weights(self, counts: Counts, absent: int) -> npt.NDArray[np.float64]:
        powers = counts.astype(np.float64) ** self.weight_exponent
        rows = powers.size + absent
        mean = (
            (powers.sum() + absent * 0.0**self.weight_exponent) / rows
            if absent
            else (powers.mean() if powers.size else 0.0)
        )
        return powers / mean if mean > 0 else np.zeros_like(powers)

    def user_ridge(self, user_counts: Counts, items: int) -> npt.NDArray[np.float64]:
        """λ ρ_u (rows,) from |D_u| and the number of rows of items."""
        return self.ridge(user_counts, items + self.absent_items)

    def item_ridge(self, item_counts: Counts, users: int) -> npt.NDArray[np.float64]:
        """λ ρ_v (rows,) from |D_v| and the number of rows of users."""
        return self.ridge(item_counts, users + self.absent_users)

    def ridge(self, counts: Counts, others: int) -> npt.NDArray[np.float64]:
        """λ ρ of each row from its number of interactions and m or n of the other side."""
        if self.regularization_scaling == "none":
            return np.full(counts.size, self.regularization)
        frequency = counts.astype(np.float64) + self.scaling_offset * others
        return np.asarray(self.regularization * frequency**self.scaling_exponent)
