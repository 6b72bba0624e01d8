"""What a model must keep to for its class: the thresholds, in one place for erasers and
certificates.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field

from alteraser.settings import Configured

STORED = float(np.finfo(np.float32).eps)
"""Share of ‖Θ‖ that storing a model in float32 may move it by; smaller distances cannot be told
from that."""


class Limits(Configured):
    """How near to a stationary point of the remaining data a model must be; all are shares."""

    residual: float = Field(default=1e-3, gt=0, lt=1)
    """‖∇L_r(Θ_u)‖ / ‖∇L_r(Θ_a)‖: how much of the deletion's push may stay."""
    influence: float = Field(default=1e-3, gt=0, lt=1)
    """ι = η / (moved − η): what may be left of the way from the original model."""
    distance: float = Field(default=1e-6, gt=0, lt=1)
    """η / ‖Θ‖_F: estimated (or, when proved, bounded by ρ) distance to the stationary point."""
    block: float = Field(default=1e-6, gt=0, lt=1)
    """‖p_u − p_u*(Q)‖ / max(‖p_u‖, ``block_floor``) of every user."""
    effect: float = Field(default=0.05, gt=0, lt=1)
    """Of class L: share of the deletion's effect on a model that is not at rest that may be
    missing."""
    block_floor: float = Field(default=1e-3, ge=0)
    """Norm below which a user's vector counts as this long."""

    def blocks(self, distances: Any, norms: Any) -> float:
        """Largest ‖p_u − p_u*(Q)‖ / max(‖p_u‖, floor) of ``distances`` and ``norms``, both (m,)."""
        return float(
            np.max(np.asarray(distances) / np.maximum(norms, self.block_floor), initial=0.0)
        )


DEFAULT = Limits()


def influence(distance: float, moved: float, size: float) -> float:
    """ι = η / (moved − η), what may be left of the way from the original; ∞ where the model hardly
    moved, and at most 1, all of the way, where η is ``untold``.

    ``distance`` is η or ρ, ``moved`` = dist(Θ_a, Θ_u), ``size`` = ‖Θ_u‖_F, all in the unit of the
    factors.

    >>> influence(1.0, 3.0, 10.0), influence(1.0, 0.5, 10.0), influence(1e-9, 0.0, 1.0)
    (0.5, inf, 1.0)
    """
    if distance == 0.0:
        return 0.0
    share = distance / (moved - distance) if moved > distance else float("inf")
    return min(share, 1.0) if untold(distance, size) else share


def untold(distance: float, size: float) -> bool:
    """Whether a distance cannot be told from what storing a model of ``size`` in float32 moves it
    by: then ι may be anything.
    """
    return distance <= STORED * size
