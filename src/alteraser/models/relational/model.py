"""What trained linear models have in common: tables at the optimum of a problem that settings make
of data, and what users and items score with.

A kind says what its problem is and whose rows its tables have (``Posed``); training, forgetting and
verification are written once, on that.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from alteraser import metrics
from alteraser.data.deletion import Deletion
from alteraser.data.ids import IdMap
from alteraser.data.interactions import Interactions
from alteraser.models.factorization.factors import Factors
from alteraser.models.folder import save_model
from alteraser.models.protocol import Ranking, Recommender
from alteraser.models.ranking import Embeddings
from alteraser.models.relational.kind import LinearSettings
from alteraser.models.relational.problem import LinearProblem, Point

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]


class Posed(Protocol):
    """The problem that settings make of data, and whose rows its tables have."""

    @property
    def problem(self) -> LinearProblem:
        """What is minimized."""
        ...

    def start(self, seed: int) -> Point:
        """A random point to train from."""
        ...

    def carried(self, before: Any, vector: Float64, *, h: float = 1.0) -> Float64:
        """A point, or a gradient, of the problem ``before`` in the rows of this one: 0 for rows
        that it did not have, and ``h`` for what it did not train.
        """
        ...

    def emptied(self, point: Point) -> Point:
        """``point`` without what is of users and items who have nothing in these data."""
        ...

    def composed(self, point: Point) -> tuple[Float64, Float64]:
        """(X (m, k), Z (n, k)): what users and items are at a point."""
        ...


@dataclass(frozen=True, eq=False)
class LinearModel(Recommender):
    """Tables with the settings whose problem they solve. Immutable: forgetting returns another one.

    ``vectors`` are composed of the tables; they are kept so that lists need no data.
    """

    settings: LinearSettings
    """Settled: forgetting does not change them"""
    tables: Mapping[str, Float64]
    """E_t by name, (rows, width)"""
    predictions: Mapping[str, Float64]
    """h of the relations that train it, (rank,)"""
    vectors: tuple[Float64, Float64]
    """What users and items are, (m, k) and (n, k)"""

    @classmethod
    @abstractmethod
    def posed(cls, settings: Any, data: Any) -> Posed:
        """What settled ``settings`` minimize on ``data``."""

    @classmethod
    @abstractmethod
    def at(cls, posed: Any, point: Point, **common: Any) -> Self:
        """The model that a point of a problem is."""

    @abstractmethod
    def around(self, gone: Deletion) -> tuple[Posed, Posed]:
        """(the problem on D_a, the one on D_r)."""

    @abstractmethod
    def point(self, posed: Any) -> Point:
        """Where the model is in a problem; InvalidInput where its tables are not that problem's."""

    @property
    def kind(self) -> str:
        """The name of its settings in the table of kinds."""
        return self.settings.name

    def __repr__(self) -> str:
        m, n = self.shape
        return f"{type(self).__name__}(kind={self.kind!r}, users={m:,}, items={n:,})"

    @property
    def factors(self) -> Factors:
        """X and Z such that scores are X Zᵀ."""
        X, Z = self.vectors
        return Factors(X, Z, np.ones(X.shape[1]))

    def in_rows_of(self, users: IdMap, items: IdMap) -> Self:
        """The same in other rows; of ids that it does not have there is nothing."""
        if users == self.users and items == self.items:
            return self
        found = []
        for ids, own, x in zip((users, items), (self.users, self.items), self.vectors, strict=True):
            rows = np.full(ids.size, -1, np.int64)
            rows[ids.rows] = own.rows_of(ids.ids)
            moved = np.zeros((ids.size, x.shape[1]))
            moved[rows >= 0] = x[rows[rows >= 0]]
            found.append(moved)
        return replace(self, users=users, items=items, vectors=(found[0], found[1]))

    def top_items(
        self,
        rows: Array,
        *,
        k: int,
        seen: Interactions | None = None,
        without: Array | None = None,
    ) -> tuple[Array, Array]:
        """(item rows, scores), both (users, k), −1 and NaN behind the end of a list.

        An item with a zero row is in nobody's list, and a user with a zero row has an empty one.
        """
        return self.ranking(seen)(rows, k=k, without=without)

    def ranking(self, seen: Interactions | None = None) -> Ranking:
        """``top_items`` with this ``seen``."""
        factors = self.factors
        return partial(Embeddings.of(factors.users, factors.items).lists, seen=seen)

    def distances(
        self,
        other: LinearModel,
        users: tuple[Array, Array],
        items: tuple[Array, Array],
        seen: tuple[Interactions, Interactions],
    ) -> dict[str, float]:
        """Those of the full score matrices and of what scores, up to rotation; see ``metrics``."""
        mine, theirs = (
            Factors(found.users[users[side]], found.items[items[side]], found.prediction)
            for side, found in enumerate((self.factors, other.factors))
        )
        return {
            "score_distance": float(metrics.score_distance(mine, theirs)),
            "model_distance": float(metrics.relative_model_distance(mine, theirs)),
        }

    def save(self, path: str | Path) -> Self:
        """Write the model as a new directory, all or nothing; OutputExists if it is there. Returns
        it, digested.
        """
        return save_model(self, Path(path))
