"""The points that are tried: paths of falling λ for every d and w₀, first coarse, then finer around
the best.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pydantic import Field

from alteraser.data.interactions import Interactions
from alteraser.models.factorization.defaults import defaults
from alteraser.settings import Configured

COARSE = (4.0, 2.0, 1.0, 0.5, 0.25)
"""Multiples of the data's default λ, largest first."""

SPREAD = (1 / 3, 1.0, 3.0)
"""Multiples of the data's default w₀."""


@dataclass(frozen=True, order=True)
class GridPoint:
    """One setting."""

    factors: int
    missing_weight: float
    regularization: float

    @property
    def key(self) -> str:
        """Name of its files: the same digits, the same point."""
        return f"d{self.factors}-w{self.missing_weight:.6g}-l{self.regularization:.6g}"


Path = tuple[GridPoint, ...]
"""Points of one d and w₀ with falling λ: each starts from the solution before."""


class Grid(Configured):
    """Which values are tried. None: around the defaults of the data."""

    factors: tuple[int, ...] = Field(default=(32, 64), min_length=1)
    missing_weights: tuple[float, ...] | None = None
    regularizations: tuple[float, ...] | None = None
    refine: bool = True
    """Add a finer round around the best point of the first."""

    def coarse(self, data: Interactions) -> list[Path]:
        """One path for every d and w₀."""
        rule = defaults(data)
        weights = self.missing_weights or tuple(min(1.0, rule.missing_weight * s) for s in SPREAD)
        ridges = self.regularizations or tuple(rule.regularization * s for s in COARSE)
        return [
            _path(d, w, ridges) for d in dict.fromkeys(self.factors) for w in dict.fromkeys(weights)
        ]

    def fine(self, best: GridPoint, known: set[GridPoint]) -> list[Path]:
        """Half steps in λ and w₀ around ``best``, without points that are ``known``."""
        if not self.refine:
            return []
        ridges = [best.regularization * s for s in (math.sqrt(2.0), 1.0, math.sqrt(0.5))]
        paths = []
        for weight in (
            best.missing_weight,
            min(1.0, best.missing_weight * 1.7),
            best.missing_weight / 1.7,
        ):
            path = tuple(p for p in _path(best.factors, weight, ridges) if p not in known)
            if path:
                paths.append(path)
        return paths


def _path(factors: int, weight: float, ridges: tuple[float, ...] | list[float]) -> Path:
    falling = sorted(set(ridges), reverse=True)
    return tuple(
        GridPoint(factors, float(f"{weight:.6g}"), float(f"{ridge:.6g}")) for ridge in falling
    )
