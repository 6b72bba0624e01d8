"""What leaves with a version: whose lists are others now, and which rows moved, so that a cache or
a vector index downstream is patched, not built again.

changed-lists.parquet   user_id, version, items, before: the list and, where it changed with this
                        version, the one before it
changed-rows.parquet    user_id or item_id (the other is null), version, drift

``version`` counts the versions from the state's first one, 0; it is the last one that changed the
list, or that moved the row by more than ``MOVED`` since it was last said to have moved. ``drift``
is how far it has moved since, added up, so that many small moves do not go unseen. Both tables go
on from the version before: one file answers for all of them. Nobody who is gone is in them, and
nothing that nobody has any more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from alteraser.data.ids import IdMap
from alteraser.data.interactions import Interactions
from alteraser.models.protocol import Recommender
from alteraser.models.relational.composite import CompositeModel

LISTS, ROWS = "changed-lists.parquet", "changed-rows.parquet"
LISTED = 10
"""Length of the lists that are compared"""
MOST_SCORES = 2e9
"""Scores up to which all lists are compared"""
MOVED = 1e-3
"""Of a row's length: what it moves by before it is said to have moved"""

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class StoredChanges:
    """What became different, from the first version of a state on."""

    depth: int
    """Versions between the state's first one and this"""
    lists_since: int
    """The depth from which on it is known whose lists changed"""
    rows_since: int
    lists: pa.Table
    rows: pa.Table | None
    """None: a model without rows of factors"""

    @classmethod
    def none(cls, model: Recommender) -> StoredChanges:
        """Of a state's first version."""
        rows = _rows(model, *_nothing()) if _factors(model) is not None else None
        return cls(0, 0, 0, _lists(model, *_nothing(), [], []), rows)

    @property
    def document(self) -> dict[str, int]:
        """What is not in the tables."""
        return {
            "depth": self.depth,
            "lists_since": self.lists_since,
            "rows_since": self.rows_since,
        }

    def write(self, folder: Path) -> None:
        """Write the tables."""
        pq.write_table(self.lists, folder / LISTS, compression="zstd")
        if self.rows is not None:
            pq.write_table(self.rows, folder / ROWS, compression="zstd")

    @classmethod
    def read(cls, folder: Path, document: dict[str, Any]) -> StoredChanges | None:
        """Those of a version; None where it was written before there were any."""
        found = document.get("changes")
        if found is None:
            return None
        rows = pq.read_table(folder / ROWS) if ROWS in document["files"] else None
        return cls(**found, lists=pq.read_table(folder / LISTS), rows=rows)

    def users(self, since: int) -> pa.Array | None:
        """Whose list changed after depth ``since``; None: not known, take it to be everybody's."""
        if since < self.lists_since:
            return None
        return _column(self.lists.filter(pc.greater(self.lists["version"], since)), "user_id")

    def moved(self, since: int) -> tuple[pa.Array, pa.Array] | None:
        """Users and items whose row moved after depth ``since``; None: not known, or no rows."""
        if self.rows is None or since < self.rows_since:
            return None
        found = self.rows.filter(pc.greater(self.rows["version"], since))
        users, items = _column(found, "user_id"), _column(found, "item_id")
        return users.drop_null(), items.drop_null()


def compare(
    before: tuple[Recommender, Interactions, StoredChanges | None],
    after: tuple[Recommender, Interactions],
) -> StoredChanges:
    """The changes of the model and data ``after`` those of the version ``before``."""
    old, _, known = before
    last = known or replace(StoredChanges.none(old), lists_since=0)
    depth = last.depth + 1
    lists, lists_since = _compared_lists(before, after, last, depth)
    rows, rows_since = _compared_rows(old, after, last, depth)
    return StoredChanges(depth, lists_since, rows_since, lists, rows)


def _compared_lists(
    before: tuple[Recommender, Interactions, StoredChanges | None],
    after: tuple[Recommender, Interactions],
    last: StoredChanges,
    depth: int,
) -> tuple[pa.Table, int]:
    (old, seen, _), (model, data) = before, after
    here = _alive(model, data.user_counts, model.users)
    if len(here) * (model.items.size + old.items.size) > MOST_SCORES:
        return _lists(model, *_nothing(), [], []), depth
    ids = model.users.ids_of(here)
    was = old.users.rows_of(ids)
    now, then = _listed(model, here, data), _listed(old, was, seen)
    differs = np.array([mine != theirs for mine, theirs in zip(now, then, strict=True)], bool)
    versions = _carried(last.lists, "user_id", "version", ids, 0)
    versions[differs | (was < 0)] = depth
    items = model.items.ids_of(_alive(model, data.item_counts, model.items)).to_pylist()
    places, left = np.flatnonzero(versions > 0), dict.fromkeys(items)
    shown = [
        [each if each in left else None for each in then[place]] if differs[place] else None
        for place in places
    ]
    kept = ids.filter(pa.array(versions > 0))
    return _lists(
        model, kept, versions[places], [now[at] for at in places], shown
    ), last.lists_since


def _listed(model: Recommender, rows: Array, seen: Interactions) -> list[list[Any]]:
    """The lists of ``rows`` by the items' ids, empty for a row that is not there (−1)."""
    lists = np.full((len(rows), LISTED), -1)
    found, _ = model.top_items(rows[rows >= 0], k=LISTED, seen=seen)
    lists[rows >= 0, : found.shape[1]] = found
    ids = model.items.ids_of(lists[lists >= 0]).to_pylist()
    ends = np.cumsum((lists >= 0).sum(axis=1)).tolist()
    return [ids[start:end] for start, end in zip([0, *ends][:-1], ends, strict=True)]


def _compared_rows(
    old: Recommender, after: tuple[Recommender, Interactions], last: StoredChanges, depth: int
) -> tuple[pa.Table | None, int]:
    model, data = after
    mine, theirs = _factors(model), _factors(old)
    if mine is None or theirs is None or mine[0].shape[1] != theirs[0].shape[1]:
        return (None if mine is None else _rows(model, *_nothing())), depth
    sides = (
        ("user_id", data.user_counts, model.users, old.users),
        ("item_id", data.item_counts, model.items, old.items),
    )
    tables = []
    for (name, counts, rows, before), new, previous in zip(sides, mine, theirs, strict=True):
        here = _alive(model, counts, rows)
        ids = rows.ids_of(here)
        drift = _carried(last.rows, name, "drift", ids, 0.0)
        drift += _moved(new[here], previous, before.rows_of(ids))
        versions = _carried(last.rows, name, "version", ids, 0)
        far = drift > MOVED
        versions[far], drift[far] = depth, 0.0
        told = (versions > 0) | (drift > 0)
        tables.append(_side(model, name, ids.filter(pa.array(told)), versions[told], drift[told]))
    return pa.concat_tables(tables), last.rows_since


def _moved(new: Array, old: Array, was: Array) -> Array:
    """|new − old| / |old| of each row; ∞ for one that was nothing, or not there (``was`` −1)."""
    previous = np.where((was >= 0)[:, None], old[was].astype(float), 0.0)
    length, step = np.linalg.norm(previous, axis=1), np.linalg.norm(new - previous, axis=1)
    moved: Array = np.divide(step, length, out=np.where(step > 0, np.inf, 0.0), where=length > 0)
    return moved


def _alive(model: Recommender, counts: Array, ids: IdMap) -> Array:
    """The rows that have interactions; of several sources all, each of which has a part in one."""
    if isinstance(model, CompositeModel):
        return np.arange(ids.size)
    return np.flatnonzero(counts[: ids.size])


def _carried(table: pa.Table | None, name: str, column: str, ids: pa.Array, missing: Any) -> Array:
    """``column`` of the rows of ``table`` that are called ``ids``."""
    if table is None or not len(table):
        return np.full(len(ids), missing)
    places = pc.index_in(ids, value_set=_column(table, name).cast(ids.type))
    found = _column(table, column).take(places).fill_null(missing)
    return np.array(found.to_numpy(zero_copy_only=False), dtype=type(missing))


def _column(table: pa.Table, name: str) -> pa.Array:
    found = table[name].combine_chunks()
    return found if isinstance(found, pa.Array) else pa.concat_arrays(found.chunks)


def _factors(model: Recommender) -> tuple[Array, Array] | None:
    factors: Any = getattr(model, "factors", None)
    return None if factors is None else (factors.users, factors.items)


def _nothing() -> tuple[Any, Array]:
    return [], np.empty(0, np.int32)


def _lists(
    model: Recommender, ids: Any, versions: Array, items: list[Any], before: list[Any]
) -> pa.Table:
    item = pa.list_(model.items.ids.type)
    return pa.table(
        {
            "user_id": pa.array(ids, model.users.ids.type),
            "version": pa.array(versions, pa.int32()),
            "items": pa.array(items, item),
            "before": pa.array(before, item),
        }
    )


def _rows(model: Recommender, ids: Any, versions: Array) -> pa.Table:
    return _side(model, "user_id", ids, versions, np.zeros(len(versions)))


def _side(model: Recommender, name: str, ids: Any, versions: Array, drift: Array) -> pa.Table:
    types = {"user_id": model.users.ids.type, "item_id": model.items.ids.type}
    return pa.table(
        {
            each: pa.array(ids, kind) if each == name else pa.nulls(len(versions), kind)
            for each, kind in types.items()
        }
        | {
            "version": pa.array(versions, pa.int32()),
            "drift": pa.array(drift, pa.float64()),
        }
    )
