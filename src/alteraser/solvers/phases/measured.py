"""How near a model is to the optimum for the remaining data, as an eraser measures it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alteraser.models import Factors
from alteraser.solvers.limits import STORED, Limits, untold

MARGIN = 0.5
"""Share of a limit to come within: the least curvature is estimated from above, and with it what is
left unsolved."""


@dataclass(frozen=True)
class Distance:
    """How near the stationary point a model is, as the eraser measured it."""

    residual: float
    """As the run's: ‖∇L‖_{B⁻¹} over its scale."""
    distance: float
    """η / ‖Θ‖_F"""
    influence: float | None
    """ι; None without an original model"""
    block: float
    """max_u ‖p_u − p_u*(Q)‖ / max(‖p_u‖, floor)"""
    smallest: float
    """Least eigenvalue met of B_Q⁻¹S, the curvature relative to the blocks; an estimate from
    above"""
    valley: bool
    """False where L was found to bend down"""

    @property
    def left(self) -> float:
        """ι, as far as it can be told: 0 without an original, and where the distance is rounding,
        which any model that is stored is off by.
        """
        return 0.0 if self.influence is None or untold(self.distance, 1.0) else self.influence

    def holds(self, limits: Limits, share: float = MARGIN) -> bool:
        """True when all of them are within ``share`` of the limits."""
        return (
            self.valley
            and self.distance <= share * limits.distance
            and self.block <= share * limits.block
            and self.left <= share * limits.influence
        )


def within(limits: Limits, factors: Factors, origin: Factors | None) -> float:
    """The distance from the optimum, as a share of ‖Θ‖_F, that the limits ask for."""
    size = float(np.sqrt(sum(np.vdot(x, x) for x in (factors.users, factors.items)))) or 1.0
    return distance_asked(limits, None if origin is None else distance(origin, factors), size)


def distance_asked(limits: Limits, moved: float | None, size: float) -> float:
    """The same where the way from the original, ``moved``, and ‖Θ‖_F are known."""
    asked = limits.distance
    if moved is not None:
        asked = min(asked, max(limits.influence * moved / size, STORED))
    return MARGIN * asked


def distance(first: Factors, second: Factors) -> float:
    """min_R ‖Θ − Θ'R‖_F over rotations R, from d × d matrices alone: to half the digits, enough to
    compare with.
    """
    pairs = [
        (a.astype(np.float64), b.astype(np.float64))
        for a, b in ((first.users, second.users), (first.items, second.items))
    ]
    sizes = sum(float(np.vdot(a, a) + np.vdot(b, b)) for a, b in pairs)
    shared = np.linalg.svd(sum(a.T @ b for a, b in pairs), compute_uv=False).sum()
    return float(np.sqrt(max(sizes - 2.0 * float(shared), 0.0)))
