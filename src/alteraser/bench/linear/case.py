"""What the cases share: what was asked for, and a line about a model beside a retrained one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from alteraser import compare, evaluate, metrics
from alteraser.data.interactions import Interactions
from alteraser.models.relational.model import LinearModel


@dataclass(frozen=True)
class Case:
    """Settings of a run."""

    factors: int
    """d"""
    layers: tuple[int, ...] = (2,)
    """Values of K"""
    missing_weight: float | None = None
    """w₀; None: from the data"""
    regularization: float | None = None
    """λ; None: from the data"""
    tuned: bool = False
    """Whether those that are not given are chosen on a validation cut"""
    beside: bool = False
    """Whether the sampled loss is trained beside it"""


HEADER = ("model", "RBO@10, who asked", "all users", "scores", "influence left", "NDCG@10")
"""Of the table that ``Against.row`` makes rows of"""


@dataclass(frozen=True)
class Against:
    """Where models are held against a retrained one."""

    reference: LinearModel
    """Converged, from a seed of its own, on what remains"""
    original: LinearModel
    data: Interactions
    """What remains: left out of the lists"""
    test: Interactions
    users: Any
    """Ids of those who asked, or of whom the deletion is"""

    def row(self, label: str, model: LinearModel) -> tuple[object, ...]:
        """``HEADER`` of a model."""
        asked, everybody = (
            compare(model, self.reference, data=self.data, users=who) for who in (self.users, None)
        )
        left = metrics.influence_left(
            *(
                x.in_rows_of(self.data.users, self.data.items).factors
                for x in (model, self.reference, self.original)
            )
        )
        return (
            label,
            f"{asked['rbo@10']:.4f}",
            f"{everybody['rbo@10']:.4f}",
            f"{everybody['score_distance']:.1e}",
            f"{left:.1e}",
            f"{evaluate(model, self.test, data=self.data)['ndcg@10']:.4f}",
        )
