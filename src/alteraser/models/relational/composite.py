"""Linear models of features, contexts, graphs and several relations: kind ``linear``.

What users and items are is kept beside the tables that it is a sum of, so that lists need no file
but the model's; the tables are for forgetting, for contexts, and for who was not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from alteraser import metrics
from alteraser.data.erased import Erased
from alteraser.data.ids import IdMap
from alteraser.data.interactions import Interactions
from alteraser.data.side.attributes import Attributes
from alteraser.data.side.given import ITEM, MAIN, USER, Given
from alteraser.errors import InvalidInput, NotFound
from alteraser.models.factorization.factors import Factors
from alteraser.models.folder import save_model
from alteraser.models.protocol import Recommender, TrainedOn
from alteraser.models.ranking import top_lists
from alteraser.models.relational.problem import Point
from alteraser.models.relational.setup import Assembled, Block, LinearSetup, composed

if TYPE_CHECKING:
    from alteraser.data.readers import ReadingOptions

Array = npt.NDArray[Any]
KIND = "linear"


@dataclass(frozen=True, eq=False)
class CompositeModel(Recommender):
    """Tables of a linear problem at its minimum. Immutable: forgetting returns another one, in rows
    of its own.
    """

    setup: LinearSetup
    """Settled: forgetting does not change it"""
    tables: Mapping[str, Array]
    """(rows, width) float64"""
    predictions: Mapping[str, Array]
    """h, (factors,), of relations that train it"""
    blocks: Mapping[str, tuple[Block, ...]]
    """What the rows of each table are"""
    average: Array
    """(rows of the table of users,): what contexts add on average"""
    vectors: tuple[Array, Array]
    """What users and items are, (m, width) and (n, width)"""
    sources: Mapping[str, str]
    """Digest of everything that it learned from, by source"""
    users: IdMap
    items: IdMap
    trained_on: TrainedOn
    reading: ReadingOptions | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    parent: str | None = None
    digest: str | None = None
    ancestors: tuple[str, ...] = ()
    erased: Erased = field(default_factory=Erased)

    @classmethod
    def at(
        cls, setup: LinearSetup, given: Given, assembled: Assembled, point: Point, **common: Any
    ) -> CompositeModel:
        """The model that a point of the problem is."""
        tables = {name: E.copy() for name, E in point.tables.items()}
        users, items = (assembled.sides[x] for x in (USER, ITEM))
        return cls(
            setup,
            tables,
            {name: h.copy() for name, h in point.predictions.items()},
            {name: side.blocks for name, side in assembled.sides.items()},
            users.average,
            (users.vectors(tables[USER]), items.vectors(tables[ITEM])),
            given.digests,
            users.ids,
            items.ids,
            TrainedOn.of(given.interactions()),
            **common,
        )

    def __repr__(self) -> str:
        m, n = self.shape
        return f"CompositeModel(users={m:,}, items={n:,}, tables={', '.join(self.tables)})"

    @property
    def kind(self) -> str:
        """``linear``."""
        return KIND

    @property
    def context_names(self) -> tuple[str, ...]:
        """Contexts that it tells apart."""
        return tuple(x.name for x in self.blocks[USER] if x.sort == "context")

    def vector(self, assembled: Assembled) -> Array:
        """Its point in the problem of its data; InvalidInput where the tables are not that
        problem's.
        """
        found = np.empty(assembled.problem.size)
        point = assembled.problem.point(found)
        for name, E in point.tables.items():
            if name not in self.tables or self.tables[name].shape != E.shape:
                raise InvalidInput(f"the model has no table {name} of shape {E.shape}")
            E[:] = self.tables[name]
        for name, h in point.predictions.items():
            h[:] = self.predictions[name]
        return found

    def top_items(
        self, rows: Array, *, k: int, seen: Interactions | None = None
    ) -> tuple[Array, Array]:
        """(item rows, scores), both (users, k), −1 and NaN behind the end of a list; see
        ``recommend``. Contexts count as they are on average.
        """
        return top_lists(*self._sides(), rows, k=k, seen=seen)

    def in_context(self, words: Mapping[str, str]) -> CompositeModel:
        """The same with lists for a context; NotFound for one that it does not know."""
        E, shift = self.tables[USER], np.zeros(self.tables[USER].shape[1])
        for name, word in words.items():
            block = next(
                (x for x in self.blocks[USER] if x.sort == "context" and x.name == name), None
            )
            if block is None:
                names = ", ".join(self.context_names)
                raise InvalidInput(
                    f"--context {name}={word}: the model tells nothing of {name}; it was trained "
                    + (f"with the contexts {names}" if names else "without contexts")
                )
            row = int(block.ids.rows_of([word], f"context {name}")[0])
            if row < 0:
                known = block.ids.ids.to_pylist()
                shown = ", ".join(known[:12]) + (", …" if len(known) > 12 else "")
                raise NotFound(
                    f"--context {name}={word}: that never occurred in the data; of {name} the "
                    f"model knows {shown}. Leave it out for lists over all of them"
                )
            inside = slice(block.start, block.stop)
            shift += E[block.start + row] - self.average[inside] @ E[inside]
        return replace(self, vectors=(self.vectors[0] + shift, self.vectors[1]))

    def of_users(self, known: Attributes) -> CompositeModel:
        """The same for other users, of whom only features are known."""
        E = self.tables[USER]
        vectors = composed(self.blocks[USER], known, E) + self.average @ E
        return replace(self, users=known.entities.ids, vectors=(vectors, self.vectors[1]))

    def with_items(self, known: Attributes) -> CompositeModel:
        """The same with items that have features and that nobody ever had, behind the others."""
        items, more = self._extended(ITEM, known)
        return replace(
            self, items=items, vectors=(self.vectors[0], np.vstack([self.vectors[1], more]))
        )

    def with_users(self, known: Attributes) -> CompositeModel:
        """Likewise with users; contexts count as they are on average."""
        users, more = self._extended(USER, known)
        more = more + self.average @ self.tables[USER]
        return replace(
            self, users=users, vectors=(np.vstack([self.vectors[0], more]), self.vectors[1])
        )

    def _extended(self, table: str, known: Attributes) -> tuple[IdMap, Array]:
        """(ids with those that are not there behind them, what these are)."""
        own = self.users if table == USER else self.items
        ids = own.extended(known.entities.ids.ids)
        added = ids.size - own.size
        if not added:
            return own, np.zeros((0, self.tables[table].shape[1]))
        rows = known.of(IdMap(ids.ids[-added:], np.arange(added), added))
        return ids, composed(self.blocks[table], rows, self.tables[table])

    def in_rows_of(self, users: IdMap, items: IdMap) -> CompositeModel:
        """The same in other rows; of ids that it does not have there is nothing."""
        found = []
        for ids, own, x in zip((users, items), (self.users, self.items), self.vectors, strict=True):
            rows = np.full(ids.size, -1, np.int64)
            rows[ids.rows] = own.rows_of(ids.ids)
            moved = np.zeros((ids.size, x.shape[1]))
            moved[rows >= 0] = x[rows[rows >= 0]]
            found.append(moved)
        return replace(self, users=users, items=items, vectors=(found[0], found[1]))

    def distances(
        self,
        other: CompositeModel,
        users: tuple[Array, Array],
        items: tuple[Array, Array],
        seen: tuple[Interactions, Interactions],
    ) -> dict[str, float]:
        """‖S − S'‖_F / ‖S'‖_F of the scores and the same of what users and items are, rotated onto
        each other.
        """
        mine, theirs = (
            Factors(X[users[side]], Z[items[side]], np.ones(X.shape[1]))
            for side, (X, Z) in enumerate((self._sides(), other._sides()))
        )
        return {
            "score_distance": float(metrics.score_distance(mine, theirs)),
            "model_distance": float(metrics.relative_model_distance(mine, theirs)),
        }

    def save(self, path: str | Path) -> CompositeModel:
        """Write the model as a new directory, all or nothing; OutputExists if it is there. Returns
        it, digested.
        """
        return save_model(self, Path(path))

    def _sides(self) -> tuple[Array, Array]:
        """(X, Z) such that scores are X Zᵀ, h and biases in them; rows of nothing are zero."""
        X, Z, d = *self.vectors, self.setup.factors
        h = self.predictions.get(MAIN)
        left = X[:, :d] if h is None else X[:, :d] * h
        if not self.setup.biases:
            return left, Z[:, :d]
        alive = [np.any(x != 0, axis=1).astype(np.float64)[:, None] for x in (X, Z)]
        return np.hstack([left, X[:, d:], alive[0]]), np.hstack([Z[:, :d], alive[1], Z[:, d:]])


def described_blocks(model: CompositeModel) -> dict[str, list[dict[str, Any]]]:
    """What the rows of tables are, as JSON values; the ids of users and items are elsewhere."""
    return {
        table: [
            {
                "name": block.name,
                "sort": block.sort,
                "rows": block.ids.size,
                "scale": None if block.scale is None else list(block.scale),
                "ids": None
                if block.sort == "entity" and table in (USER, ITEM)
                else block.ids.ids.to_pylist(),
            }
            for block in blocks
        ]
        for table, blocks in model.blocks.items()
    }


def blocks_from(
    document: Mapping[str, list[dict[str, Any]]], users: IdMap, items: IdMap
) -> dict[str, tuple[Block, ...]]:
    """Blocks from ``described_blocks``."""
    found = {}
    for table, entries in document.items():
        blocks: list[Block] = []
        for entry in entries:
            if entry["ids"] is None:
                ids = users if table == USER else items
            else:
                kind = pa.string() if entry["ids"] and isinstance(entry["ids"][0], str) else None
                array = pa.array(entry["ids"], kind or pa.int64())
                ids = IdMap(array, np.arange(len(array), dtype=np.int64), len(array))
            scale = None if entry["scale"] is None else (entry["scale"][0], entry["scale"][1])
            start = blocks[-1].stop if blocks else 0
            if ids.size != entry["rows"]:
                raise ValueError(
                    f"{table}: {entry['name']} has {entry['rows']} rows and {ids.size} ids"
                )
            blocks.append(Block(entry["name"], entry["sort"], start, ids, scale))
        found[table] = tuple(blocks)
    return found
