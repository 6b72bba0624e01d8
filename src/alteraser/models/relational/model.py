"""A trained linear model: its tables, and what users and items score with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from alteraser.data.erased import Erased
from alteraser.data.ids import IdMap
from alteraser.data.interactions import Interactions
from alteraser.models import Factors
from alteraser.models.folder import save_model
from alteraser.models.protocol import Recommender, TrainedOn
from alteraser.models.ranking import top_lists
from alteraser.models.relational.kind import LinearKind

if TYPE_CHECKING:
    from alteraser.data.readers import ReadingOptions

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LinearModel(Recommender):
    """Tables with the settings whose problem they solve. Immutable: forgetting returns another one.

    ``factors`` are the rows that score, composed of the tables by the relation between users and
    items: they are kept so that lists need no data.
    """

    settings: LinearKind
    tables: Mapping[str, Float64]
    """E_t by name"""
    predictions: Mapping[str, Float64]
    """h of the relations that train it"""
    factors: Factors
    users: IdMap
    items: IdMap
    trained_on: TrainedOn
    reading: ReadingOptions | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    parent: str | None = None
    digest: str | None = None
    ancestors: tuple[str, ...] = ()
    erased: Erased = field(default_factory=Erased)

    def __repr__(self) -> str:
        m, n = self.shape
        return f"LinearModel(kind={self.kind!r}, users={m:,}, items={n:,})"

    @property
    def kind(self) -> str:
        """The name of its settings in the table of kinds."""
        return self.settings.name

    def top_items(
        self, rows: Array, *, k: int, seen: Interactions | None = None
    ) -> tuple[Array, Array]:
        """(item rows, scores), both (users, k), −1 and NaN behind the end of a list.

        An item with a zero row is in nobody's list, and a user with a zero row has an empty one.
        """
        return top_lists(self.factors.users, self.factors.items, rows, k=k, seen=seen)

    def distances(
        self,
        other: LinearModel,
        users: tuple[Array, Array],
        items: tuple[Array, Array],
        seen: tuple[Interactions, Interactions],
    ) -> dict[str, float]:
        """Those of the full score matrices and of what scores, up to rotation; see ``metrics``."""
        from alteraser import metrics

        mine, theirs = (
            Factors(
                model.factors.users[users[side]],
                model.factors.items[items[side]],
                model.factors.prediction,
            )
            for side, model in enumerate((self, other))
        )
        return {
            "score_distance": float(metrics.score_distance(mine, theirs)),
            "model_distance": float(metrics.relative_model_distance(mine, theirs)),
        }

    def save(self, path: str | Path) -> LinearModel:
        """Write the model as a new directory, all or nothing; OutputExists if it is there."""
        return save_model(self, Path(path))
