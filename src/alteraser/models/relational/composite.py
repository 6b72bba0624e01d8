"""Linear models of features, contexts, graphs and several relations: kind ``linear``.

What users and items are is kept beside the tables that it is a sum of, so that lists need no file
but the model's; the tables are for forgetting, for contexts, and for who was not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from alteraser.data.deletion import Deletion
from alteraser.data.ids import IdKind, IdMap
from alteraser.data.side.attributes import Attributes
from alteraser.data.side.deletion import GivenDeletion
from alteraser.data.side.features import row_of
from alteraser.data.side.given import ITEM, MAIN, USER, Given
from alteraser.errors import InvalidInput, NotFound
from alteraser.models.factorization.factors import Factors
from alteraser.models.protocol import TrainedOn
from alteraser.models.relational.model import LinearModel
from alteraser.models.relational.problem import Point
from alteraser.models.relational.setup import Assembled, Block, LinearSetup, composed

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False, repr=False)
class CompositeModel(LinearModel):
    """Tables of a linear problem of several sources at its minimum. Forgetting returns another one,
    in rows of its own.
    """

    settings: LinearSetup
    blocks: Mapping[str, tuple[Block, ...]]
    """What the rows of each table are"""
    average: Array
    """(rows of the table of users,): what contexts add on average"""
    sources: Mapping[str, str]
    """Digest of everything that it learned from, by source"""

    @classmethod
    def posed(cls, settings: LinearSetup, data: Given) -> Assembled:
        """See ``LinearModel``."""
        return settings.assemble(data)

    @classmethod
    def at(cls, posed: Assembled, point: Point, **common: Any) -> CompositeModel:
        """See ``LinearModel``."""
        users, items = (posed.sides[x] for x in (USER, ITEM))
        return cls(
            posed.settings,
            {name: E.copy() for name, E in point.tables.items()},
            {name: h.copy() for name, h in point.predictions.items()},
            posed.composed(point),
            {name: side.blocks for name, side in posed.sides.items()},
            users.average,
            posed.given.digests,
            users=users.ids,
            items=items.ids,
            trained_on=TrainedOn.of(posed.given.interactions()),
            **common,
        )

    def around(self, gone: Deletion) -> tuple[Assembled, Assembled]:
        """See ``LinearModel``."""
        assert isinstance(gone, GivenDeletion)
        before, after = (self.settings.assemble(x) for x in (gone.given, gone.rest.given))
        return before, after

    def point(self, posed: Assembled) -> Point:
        """See ``LinearModel``."""
        found = posed.problem.point(np.empty(posed.problem.size))
        for name, E in found.tables.items():
            if name not in self.tables or self.tables[name].shape != E.shape:
                raise InvalidInput(f"the model has no table {name} of shape {E.shape}")
            E[:] = self.tables[name]
        for name, h in found.predictions.items():
            h[:] = self.predictions[name]
        return found

    @property
    def factors(self) -> Factors:
        """X and Z such that scores are X Zᵀ, h and biases in them; rows of nothing are zero."""
        X, Z, d = *self.vectors, self.settings.factors
        h = self.predictions.get(MAIN)
        left = X[:, :d] if h is None else X[:, :d] * h
        right = Z[:, :d]
        if self.settings.biases:
            alive = [np.any(x != 0, axis=1).astype(np.float64)[:, None] for x in (X, Z)]
            left = np.hstack([left, X[:, d:], alive[0]])
            right = np.hstack([right, alive[1], Z[:, d:]])
        return Factors(left, right, np.ones(left.shape[1]))

    @property
    def id_kinds(self) -> dict[str, IdKind]:
        """Of the entities of every table."""
        return {table: blocks[0].ids.kind for table, blocks in self.blocks.items()}

    @property
    def context_names(self) -> tuple[str, ...]:
        """Contexts that it tells apart."""
        return tuple(x.name for x in self.blocks[USER] if x.sort == "context")

    def in_context(self, words: Mapping[str, str]) -> CompositeModel:
        """The same with lists for a context; NotFound for one that it does not know."""
        if not words:
            return self
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
            row = row_of(block.ids, word)
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

    def only(self, row: int) -> CompositeModel:
        """The same with lists for the user in a row alone."""
        users = IdMap(self.users.ids_of([row]), np.zeros(1, np.int64), 1)
        return replace(self, users=users, vectors=(self.vectors[0][[row]], self.vectors[1]))

    def of_users(self, known: Attributes) -> CompositeModel:
        """The same for other users, of whom only features are known."""
        E, known = self.tables[USER], known.of(known.entities.ids)  # rows as ids have them
        vectors = composed(self.blocks[USER], known, E) + self.average @ E
        return replace(self, users=known.entities.ids, vectors=(vectors, self.vectors[1]))

    def of_items(self, known: Attributes) -> CompositeModel:
        """The same with lists of other items, of which only features are known."""
        known = known.of(known.entities.ids)
        more = composed(self.blocks[ITEM], known, self.tables[ITEM])
        return replace(self, items=known.entities.ids, vectors=(self.vectors[0], more))

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
                # words are text, also where none is left; ids are what they were
                text = entry["sort"] != "entity" or isinstance((entry["ids"] or [0])[0], str)
                array = pa.array(entry["ids"], pa.string() if text else pa.int64())
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
