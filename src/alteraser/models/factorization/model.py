"""A trained model: factors, what they minimize, and whose rows they are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser import metrics
from alteraser.data.interactions import Interactions
from alteraser.errors import IntegrityError
from alteraser.models import Factors, Objective
from alteraser.models.folder import load_model, save_model
from alteraser.models.protocol import Ranking, Recommendations, Recommender, TrainedOn, known_rows
from alteraser.models.ranking import Embeddings

Array = npt.NDArray[Any]

__all__ = ["Model", "Recommendations", "TrainedOn"]


@dataclass(frozen=True, eq=False)
class Model(Recommender):
    """Factors with their objective and id maps. Immutable: forgetting returns another one."""

    factors: Factors
    objective: Objective
    kind: str = "enmf"

    def __repr__(self) -> str:
        m, n = self.factors.users.shape[0], self.factors.items.shape[0]
        return f"Model(kind={self.kind!r}, users={m:,}, items={n:,}, factors={self.factors.rank})"

    @property
    def trains_prediction(self) -> bool:
        """True when the prediction vector h was trained (h ≠ 1)."""
        return bool(np.any(self.factors.prediction != 1))

    def score(self, users: Any, items: Any) -> npt.NDArray[np.float64]:
        """ŷ of the pairs (users[i], items[i]) given as ids; NotFound for an unknown id."""
        rows = [
            known_rows(ids, values, side)
            for ids, values, side in ((self.users, users, "user"), (self.items, items, "item"))
        ]
        return self.factors.scores(rows[0], rows[1])

    def top_items(
        self,
        rows: Array,
        *,
        k: int,
        seen: Interactions | None = None,
        without: Array | None = None,
    ) -> tuple[Array, Array]:
        """(item rows, scores), both (users, k), −1 and NaN behind the end of a list; see
        ``recommend``.

        An item with a zero row is in nobody's list, and a user with a zero row has an empty one.
        """
        return self.ranking(seen)(rows, k=k, without=without)

    def ranking(self, seen: Interactions | None = None) -> Ranking:
        """``top_items`` with this ``seen``; the items are scaled once."""
        return partial(
            Embeddings.of(self.factors.users, self.factors.scaled_items()).lists, seen=seen
        )

    def distances(
        self,
        other: Model,
        users: tuple[Array, Array],
        items: tuple[Array, Array],
        seen: tuple[Interactions, Interactions],
    ) -> dict[str, float]:
        """Those of the full score matrices and of the factors up to rotation; see ``metrics``."""
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

    def save(self, path: str | Path) -> Model:
        """Write the model as a new directory, all or nothing; OutputExists if it is there. Returns
        it, digested.
        """
        return save_model(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> Model:
        """Read a model directory, checking every digest; NotFound or IntegrityError."""
        model = load_model(Path(path))
        if not isinstance(model, cls):
            raise IntegrityError(
                f"{path} is a model of kind {model.kind}, expected one with factors (enmf)"
            )
        return model
