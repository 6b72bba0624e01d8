"""Forgetting in a table of items: what the library would make of the remaining data, in the
library's file.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from alteraser.adapters.contract import Sibling
from alteraser.adapters.data import read_interactions
from alteraser.adapters.idmaps import ROWS, read_id_map
from alteraser.adapters.options import ForeignOptions
from alteraser.adapters.siblings import each_once, interactions_at, neighbors
from alteraser.adapters.tables.contract import ItemTable, TableAdapter, TableRule, fitting
from alteraser.data.deletion import Deletion
from alteraser.data.erased import admit, read_record, written_beside
from alteraser.data.files import check_output
from alteraser.data.ids import IdMap
from alteraser.data.interactions import Interactions, accounted
from alteraser.data.selection import Selection
from alteraser.data.sheet import Sheet
from alteraser.erasers.driver import OnPass
from alteraser.errors import IntegrityError, InvalidInput
from alteraser.evidence.claims import Exact
from alteraser.runtime import events
from alteraser.verbs.deleting import PLAIN, Matching, match
from alteraser.verbs.erasure import Erasure, Way
from alteraser.verbs.forget_exactly import check_method
from alteraser.verbs.roads import Method, OnChoice, unlearn


@dataclass(frozen=True, eq=False)
class OpenedTable:
    """A table with its data; confidence: the entries that the library was given."""

    adapter: TableAdapter
    table: ItemTable
    data: Interactions
    """What is given"""
    options: ForeignOptions

    def seen(self, data: Interactions) -> Interactions:
        """Of ``data``, in the rows of the given, what the file holds, with its numbers; all where
        it holds none.
        """
        pairs = self.table.pairs
        if pairs is None:
            return data
        held = (
            np.repeat(np.arange(pairs.shape[0]), np.diff(pairs.indptr)) * pairs.shape[1]
            + pairs.indices
        )
        places = np.searchsorted(held, wanted := data.user_rows * pairs.shape[1] + data.indices)
        there = np.append(held, -1)[places] == wanted
        return replace(data, confidence=np.append(pairs.data, 0.0)[places]).keep(there)

    @property
    def beyond(self) -> int:
        """How many interactions the file holds that the data lack."""
        return (
            0 if self.table.pairs is None else int(self.table.pairs.nnz) - len(self.seen(self.data))
        )


@dataclass(frozen=True, eq=False)
class UnlearnedTable:
    """What is to go back into the library's file."""

    opened: OpenedTable
    rule: TableRule
    """What makes the table of data"""
    values: Any
    """The table that the remaining data give"""
    deletion: Deletion

    def save(self, path: str | Path) -> Path:
        """Write the library's file again at ``path``, and beside it whom it has erased. Raises
        OutputExists.
        """
        out = Path(path)
        check_output(out)
        record = self.deletion.recorded(read_record(self.opened.table.path).going_to(out))
        with written_beside(out, record, as_file=True):
            remaining = self.opened.seen(self.deletion.removal.remaining)
            self.opened.adapter.write(self.opened.table, self.values, out, remaining)
        return out


def table_siblings(
    table: Path, options: ForeignOptions, source: Path | None = None, out: Path | None = None
) -> tuple[Sibling, ...]:
    """Files that may hold what the table at ``table`` was made of: the data itself, and what lies
    in its folder.
    """
    found = [] if source is None else [interactions_at(source)]
    return each_once([*found, *neighbors(table)], out=out, items_map=options.items_map)


def open_table(
    adapter: TableAdapter, path: Path, sheet: Sheet, options: ForeignOptions
) -> OpenedTable:
    """The table at ``path`` with the data it was made of. Raises as ``TableAdapter.read`` and
    readers do.

    Nobody's row is in a table: people are who the data say, items by the file's ids, a map of
    theirs, or their rows.
    """
    table = adapter.read(path, options)
    if table.user_ids is not None and table.item_ids is not None:
        return OpenedTable(
            adapter,
            table,
            _given(sheet, (table.user_ids, table.item_ids), options, "files"),
            options,
        )
    if options.users_map is not None:
        raise InvalidInput(
            f"{path} is a table of items: no user has a row in it, leave --users-map out"
        )
    ids, words = table.item_ids, "the file"
    if ids is not None and (options.items_map is not None or options.rows_are_ids):
        raise InvalidInput(
            f"{path} has its own item ids; leave --items-map and --rows-are-ids out", path=str(path)
        )
    if ids is None and options.items_map is not None:
        ids, words = read_id_map(options.items_map, "item", table.items), "files"
    if ids is None and options.rows_are_ids:
        rows = np.arange(table.items, dtype=np.int64)
        ids, words = IdMap(pa.array(rows), rows, table.items), ROWS
    if ids is None:
        raise InvalidInput(
            f"{path} does not say which item each of its {table.items:,} rows is: give the map "
            "that was used in training with --items-map, or --rows-are-ids if the data's item ids "
            "are rows from 0",
            path=str(path),
        )
    data = _given(sheet, (sheet.kept[0].ids, ids), options, words)
    return OpenedTable(adapter, replace(table, item_ids=ids), data, options)


def _given(
    sheet: Sheet, ids: tuple[IdMap, IdMap], options: ForeignOptions, words: str
) -> Interactions:
    data = read_interactions(sheet, ids, options, ids_from=words)
    return replace(data, confidence=data.target, target=None)


@match.register(OpenedTable)
def match_table(
    opened: OpenedTable,
    selection: Selection,
    data: Interactions | None = None,
    how: Matching = PLAIN,
) -> Deletion:
    """What a request means on the data of a table. Raises NotFound, RefusedByPolicy."""
    if how.grown:
        raise InvalidInput(
            "models of other libraries learn no additions: forget with the data as trained on"
        )
    removal = accounted(opened.data.remove(selection), strict=how.strict, below=how.below)
    returned = admit(read_record(opened.table.path), removal.remaining, readmit=how.readmit)
    return Deletion(opened.data, removal, returned=returned)


@unlearn.register(OpenedTable)
@events.verb("forget", "method", "kind", "residual", "converged", "forgotten")
def unlearn_table(
    opened: OpenedTable,
    found: Deletion,
    *,
    method: Method = "auto",
    threads: int = 0,
    on_pass: OnPass | None = None,
    on_choice: OnChoice | None = None,
    unchecked: bool = False,
) -> Erasure[UnlearnedTable]:
    """Make the table anew from what ``found`` leaves.

    Raises InvalidInput for another method, IntegrityError where the file is not what its library
    makes of the data.
    """
    began, asked = time.perf_counter(), check_method(opened.adapter.name, method)
    if opened.beyond and not unchecked:
        raise IntegrityError(
            f"{opened.table.path} holds {opened.beyond:,} interactions that are not in the data: "
            "give all that it was trained on, or --unchecked to leave these out of it too",
            path=str(opened.table.path),
        )
    rules = opened.adapter.rules(opened.table, opened.options)
    rule = fitting(opened.table, rules, opened.seen(opened.data), unchecked=unchecked)
    removal = found.removal
    values = rule.table(opened.seen(removal.remaining), threads=threads)
    changed = _changed(opened.table.values, values, rule.limit)
    others = changed.copy()
    others[removal.touched_items] = False
    return Erasure(
        model=UnlearnedTable(opened, rule, values, found),
        deletion=found,
        way=Way("exact", asked),
        evidence=Exact("the table is what its library makes of the remaining data"),
        details={
            "format": opened.adapter.name,
            "kind": rule.name,
            "rule": rule.formula,
            "users_gone": int(removal.emptied_users.size),
            "items_gone": int(removal.emptied_items.size),
            "item_rows_changed": int(changed.sum()),
            "item_rows_of_others_changed": int(others.sum()),
        },
        seconds=time.perf_counter() - began,
    )


def _changed(before: Any, after: Any, limit: float) -> Any:
    """Which rows differ by more than rounding, (n,) bool."""
    apart = abs(before - after)
    largest = apart.max(axis=1)
    largest = np.asarray(largest.todense() if hasattr(largest, "todense") else largest).ravel()
    return largest > limit * float(abs(before).max() or 1.0)
