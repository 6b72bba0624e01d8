"""The rows of one relation: who, or what, is linked to what; in which context."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from alteraser.data.ids import Coded, IdKind, IdMap
from alteraser.data.interactions import Interactions
from alteraser.data.order import distinct
from alteraser.data.side.digests import digest
from alteraser.data.side.features import Words, words

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Links:
    """Rows (head, tail) of a relation, arrays of (rows,); the same may stand there again."""

    name: str
    source: str
    """Name of the table that heads are of"""
    target: str
    heads: Coded
    tails: Coded
    contexts: Mapping[str, Words] = field(default_factory=dict)
    """What was so, by name: at most one word a row"""
    confidence: Array | None = None
    aim: Array | None = None
    """Targets; None: 1 everywhere"""
    times: Array | None = None
    places: Array | None = None
    """Which row of its file each row is; −1: none of it"""

    @classmethod
    def of(cls, name: str, source: str, target: str, data: Interactions) -> Links:
        """The pairs of interactions."""
        return cls(
            name,
            source,
            target,
            Coded(data.users, data.user_rows),
            Coded(data.items, data.indices.astype(np.int64)),
            confidence=data.confidence,
            aim=data.target,
            times=data.timestamp,
        )

    def __len__(self) -> int:
        return int(self.heads.rows.size)

    @property
    def group(self) -> str:
        """The name that was given: of ``kg/directed_by`` it is ``kg``."""
        return self.name.split("/")[0]

    @property
    def sort(self) -> str | None:
        """Of triples: of ``kg/directed_by`` it is ``directed_by``."""
        parts = self.name.split("/")
        return parts[1] if len(parts) > 1 else None

    def keep(self, mask: Array) -> Links:
        """Rows for which ``mask`` (rows,) is true; ids that occur in none of them are gone."""
        return self.taken(np.flatnonzero(mask))

    def taken(self, places: Array) -> Links:
        """The rows at ``places``; ids that occur in none of them are gone."""
        return replace(
            self,
            heads=self.heads.take(places),
            tails=self.tails.take(places),
            contexts={name: said.take(places) for name, said in self.contexts.items()},
            confidence=None if self.confidence is None else self.confidence[places],
            aim=None if self.aim is None else self.aim[places],
            times=None if self.times is None else self.times[places],
            places=None if self.places is None else self.places[places],
        )

    def of_kinds(self, kinds: Mapping[str, IdKind]) -> Links:
        """With the ids of tables of these kinds; InvalidInput where that would lose something."""
        heads, tails = (
            coded.converted(kinds.get(table, coded.ids.kind), f"relation {self.name}: {table}")
            for table, coded in ((self.source, self.heads), (self.target, self.tails))
        )
        same = heads is self.heads and tails is self.tails
        return self if same else replace(self, heads=heads, tails=tails)

    def holding(self, table: str, ids: Any) -> Array:
        """Which rows have one of ``ids`` of a table on a side that is of it, (rows,)."""
        found = np.zeros(len(self), bool)
        for side, coded in ((self.source, self.heads), (self.target, self.tails)):
            if side == table:
                wanted = coded.ids.rows_of(ids, table)
                found |= np.isin(coded.rows, wanted[wanted >= 0])
        return found

    @cached_property
    def digest(self) -> str:
        """Of the distinct rows, whatever their order; times are no part of it."""
        kept = self.keep(np.ones(len(self), bool))
        columns = [kept.tails.rows, kept.heads.rows]
        parts: list[Any] = ["links", self.source, self.target]
        parts += [kept.heads.ids.ids, kept.tails.ids.ids]
        for name, said in sorted(kept.contexts.items()):
            columns.insert(0, one_word(said))
            parts += [name, said.values.ids.ids]
        for values in (kept.confidence, kept.aim):
            if values is not None and np.any(values != 1.0):
                columns.insert(0, values)
        places: Array
        if len(columns) == 2:
            keys = kept.heads.rows * np.int64(kept.tails.ids.size) + kept.tails.rows
            places = distinct(keys)[1]
        else:
            places = np.lexsort(columns)
            first = np.ones(len(kept), bool)
            first[1:] = np.any([np.diff(x[places]) != 0 for x in columns], axis=0)
            places = places[first]
        rows = np.empty((places.size, len(columns)))
        for column, values in zip(rows.T, columns, strict=True):
            column[:] = values[places]
        return digest(*parts, rows.ravel())

    def to_columns(self) -> dict[str, pa.Array]:
        """Ids of heads and tails."""
        return {
            "head": self.heads.ids.ids_of(self.heads.rows),
            "tail": self.tails.ids.ids_of(self.tails.rows),
        }


def one_word(said: Words) -> Array:
    """(rows,) the word of every row that has at most one; −1 for none."""
    found = np.full(said.rows, -1, np.int64)
    found[np.flatnonzero(np.diff(said.indptr))] = said.values.rows
    return found


def joined(first: Links, second: Links) -> Links:
    """The rows of both, which have the same contexts, those of ``second`` last and in no place of
    the file. Raises InvalidInput for ids that are not of the kind of ``first``.
    """
    sides = []
    for mine, other in ((first.heads, second.heads), (first.tails, second.tails)):
        theirs = other.converted(mine.ids.kind)
        ids = [x.ids.ids_of(x.rows) for x in (mine, theirs)]
        sides.append(Coded(*IdMap.build(pa.concat_arrays(ids))))
    contexts = {
        name: words(name, pa.chunked_array([known.shown(), second.contexts[name].shown()]))
        for name, known in first.contexts.items()
    }

    def both(mine: Array | None, theirs: Array | None) -> Array | None:
        if mine is None and theirs is None:
            return None
        parts = ((mine, first), (theirs, second))
        return np.concatenate([np.ones(len(x)) if one is None else one for one, x in parts])

    there = first.times is not None and second.times is not None
    return replace(
        first,
        heads=sides[0],
        tails=sides[1],
        contexts=contexts,
        confidence=both(first.confidence, second.confidence),
        aim=both(first.aim, second.aim),
        times=both(first.times, second.times) if there else None,
        places=None
        if first.places is None
        else np.concatenate([first.places, np.full(len(second), -1, np.int64)]),
    )


def union(maps: list[tuple[IdMap, str]]) -> IdMap:
    """The ids of several maps, sorted, of the kind of the first; ``maps`` with what each is, for
    messages. Raises InvalidInput for an id that would be changed by it.
    """
    from alteraser.data.ids import convert_ids

    kind = maps[0][0].kind
    arrays = [convert_ids(ids.ids, kind, what) for ids, what in maps]
    return IdMap.build(pa.concat_arrays(arrays))[0]
