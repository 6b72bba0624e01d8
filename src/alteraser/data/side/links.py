"""The rows of one relation: who, or what, is linked to what; in which context."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from alteraser.data.ids import Coded, IdMap
from alteraser.data.side.digests import digest
from alteraser.data.side.features import Words

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
    """Which row of its file each row is"""

    def __len__(self) -> int:
        return int(self.heads.rows.size)

    @property
    def group(self) -> str:
        """The name that was given: of ``kg/directed_by`` it is ``kg``."""
        return self.name.split("/")[0]

    def keep(self, mask: Array) -> Links:
        """Rows for which ``mask`` (rows,) is true; ids that occur in none of them are gone."""
        places = np.flatnonzero(mask)
        return replace(
            self,
            heads=self.heads.take(places),
            tails=self.tails.take(places),
            contexts={name: words.take(places) for name, words in self.contexts.items()},
            confidence=None if self.confidence is None else self.confidence[places],
            aim=None if self.aim is None else self.aim[places],
            times=None if self.times is None else self.times[places],
            places=None if self.places is None else self.places[places],
        )

    def holding(self, table: str, ids: Any) -> Array:
        """Which rows have one of ``ids`` of a table on a side that is of it, (rows,)."""
        found = np.zeros(len(self), bool)
        for side, coded in ((self.source, self.heads), (self.target, self.tails)):
            if side == table:
                wanted = coded.ids.rows_of(ids, table)
                found |= np.isin(coded.rows, wanted[wanted >= 0])
        return found

    @property
    def digest(self) -> str:
        """Of the distinct rows, whatever their order; times are no part of it."""
        kept = self.keep(np.ones(len(self), bool))
        columns = [kept.tails.rows, kept.heads.rows]
        parts: list[Any] = ["links", self.source, self.target]
        parts += [kept.heads.ids.ids, kept.tails.ids.ids]
        for name, words in sorted(kept.contexts.items()):
            columns.insert(0, one_word(words))
            parts += [name, words.values.ids.ids]
        for values in (kept.confidence, kept.aim):
            if values is not None and np.any(values != 1.0):
                columns.insert(0, values)
        order = np.lexsort(columns)
        rows = np.stack([np.asarray(x, np.float64)[order] for x in columns], axis=1)
        first = np.ones(len(order), bool)
        first[1:] = np.any(rows[1:] != rows[:-1], axis=1)
        return digest(*parts, rows[first].ravel())

    def to_columns(self) -> dict[str, pa.Array]:
        """Ids of heads and tails."""
        return {
            "head": self.heads.ids.ids_of(self.heads.rows),
            "tail": self.tails.ids.ids_of(self.tails.rows),
        }


def one_word(words: Words) -> Array:
    """(rows,) the word of every row that has at most one; −1 for none."""
    found = np.full(words.rows, -1, np.int64)
    found[np.flatnonzero(np.diff(words.indptr))] = words.values.rows
    return found


def union(maps: list[tuple[IdMap, str]]) -> IdMap:
    """The ids of several maps, sorted, of the kind of the first; ``maps`` with what each is, for
    messages. Raises InvalidInput for an id that would be changed by it.
    """
    from alteraser.data.ids import convert_ids

    kind = maps[0][0].kind
    arrays = [convert_ids(ids.ids, kind, what) for ids, what in maps]
    return IdMap.build(pa.concat_arrays(arrays))[0]
