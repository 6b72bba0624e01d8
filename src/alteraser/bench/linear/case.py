"""What the cases share: what was asked for, and a line about a model beside a retrained one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from alteraser import compare, evaluate, forget, metrics
from alteraser.bench.common import clocked, table
from alteraser.data.interactions import Interactions
from alteraser.data.side.deletion import GivenDeletion, Request
from alteraser.data.side.given import Given
from alteraser.errors import NotFound
from alteraser.models.relational.composite import CompositeModel
from alteraser.models.relational.model import LinearModel
from alteraser.verbs.relational.train import train


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
    item_features: str | None = None
    """``FILE:COLUMN,…`` in the folder of a set"""
    user_features: str | None = None
    """Likewise of users"""
    graph: str | None = None
    """A file of heads, relations and tails there"""
    nodes: str | None = None
    """``FILE:COLUMN``: which node an item is"""
    users: int = 3000
    """Of a cut of a set, of places"""
    feature_scaling: float = 1.0
    """ν"""
    weighing: Mapping[str, Any] = field(default_factory=dict)
    """What missing cells weigh by and λ grows with, of lightgcn and places: values by the names of
    settings. ENMF is trained with them and without.
    """
    continuation: float = 1.0
    """How many times itself λ comes down from, of lightgcn"""
    max_passes: int = 5000
    """Iterations at most, of lightgcn"""
    tuned: bool = False
    """Whether those that are not given are chosen on a validation cut"""
    beside: bool = False
    """Whether the sampled loss is trained beside it"""
    equal: bool = False
    """Whether it is, for as long as the full loss took"""
    forgetting: bool = True
    """Whether anything is forgotten, of lightgcn"""
    keep: Path | None = None
    """Folder for what was trained, of lightgcn"""


def ndcg(model: Any, data: Interactions, test: Interactions) -> float:
    """NDCG@10 on ``test``, lists without what is in ``data``."""
    return float(evaluate(model, test, data=data)["ndcg@10"])


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
            f"{ndcg(model, self.data, self.test):.4f}",
        )


def asking(
    model: CompositeModel,
    given: Given,
    requests: Mapping[str, Request],
    test: Interactions,
    people: Any = None,
) -> None:
    """Forget each of ``requests`` in ``model``, apart, and hold it against a retrain from a seed of
    its own; ``people``: whose accuracy on ``test`` is told as well.
    """
    header = (
        "forgotten",
        "class",
        "RBO@10",
        "of the original",
        "scores",
        "of the original",
        "CPU s (passes, products)",
        "of a retrain",
        *(("their NDCG@10 before", "after") if people is not None else ()),
    )
    table(header, [], end="")
    for what, request in requests.items():
        erasure, forgot, _ = clocked(partial(forget, model, request, data=given))
        assert isinstance(erasure.deletion, GivenDeletion)
        left = erasure.deletion.rest.given
        anew = model.settings.model_copy(update={"seed": model.settings.seed + 7})
        reference, retrained, _ = clocked(partial(train, anew, left))
        rest = left.interactions()
        row: list[object] = [what, erasure.kind]
        for key, form in (("rbo@10", ".4f"), ("score_distance", ".1e")):
            row += [
                f"{compare(x, reference, data=rest)[key]:{form}}" for x in (erasure.model, model)
            ]
        work, again = erasure.work, reference.training
        row += [
            f"{forgot:.1f} ({work.passes} and {work.products})",
            f"{retrained:.1f} ({again['passes']} and {again['products']})",
        ]
        if people is not None:
            row += [_of_some(x, test, rest, people) for x in (model, erasure.model)]
        print("| " + " | ".join(str(cell) for cell in row) + " |", flush=True)
    print()


def _of_some(model: LinearModel, test: Interactions, seen: Interactions, people: Any) -> str:
    """NDCG@10 of some; nothing where no one of them is there."""
    try:
        return f"{evaluate(model, test, data=seen, users=people)['ndcg@10']:.4f}"
    except NotFound:
        return "gone"
