"""When a run is there."""

from __future__ import annotations

from dataclasses import dataclass

from alteraser.models.relational import Point
from alteraser.solvers.limits import DEFAULT, Limits
from alteraser.solvers.phases.measured import MARGIN


@dataclass(frozen=True)
class Goal:
    """When a run is there."""

    limits: Limits = DEFAULT
    scale: float | None = None
    """What the gradient is relative to: a deletion's push; None: ‖Θ‖_B"""
    origin: Point | None = None
    """The model whose influence is to go: then the distance is also a share of the way from it"""
    max_passes: int = 5000
    memory: int = 10
    """Pairs of steps and gradients that L-BFGS keeps"""
    continuation: float = 1.0
    """How many times itself the penalty may come down from; see ``continuation``"""

    @property
    def residual(self) -> float:
        """What ‖∇L‖_{M⁻¹} over the scale has to come to."""
        return MARGIN * (self.limits.residual if self.scale is not None else 1e-5)
