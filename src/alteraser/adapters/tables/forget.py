"""Forgetting in a table of items: what the library would make of the remaining data, in the library's file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa

from alteraser.adapters.data import read_interactions, reading_of
from alteraser.adapters.idmaps import ROWS, read_id_map
from alteraser.adapters.options import ForeignOptions
from alteraser.adapters.tables.contract import ItemTable, Rule, TableAdapter, fitting
from alteraser.data.erased import Returned, admit, erasing, read_record, written_beside
from alteraser.data.files import check_output
from alteraser.data.ids import IdMap
from alteraser.data.interactions import Interactions, Removal
from alteraser.data.readers import read_table
from alteraser.errors import InvalidInput
from alteraser.verbs.forget import items_asked


@dataclass(frozen=True, eq=False)
class Opened:
    """A table with its data; confidence: the entries that the library was given."""

    adapter: TableAdapter
    table: ItemTable
    data: Interactions
    options: ForeignOptions


@dataclass(frozen=True, eq=False)
class TableErasure:
    """What forgetting in a table did."""

    rule: Rule
    removal: Removal
    changed: int
    """Rows of items whose entries differ"""
    of_others: int
    """Those of them of items of which nothing went"""
    returned: Returned


def open_table(adapter: TableAdapter, path: Path, source: Path, options: ForeignOptions) -> Opened:
    """The table at ``path`` with the data it was made of. Raises as ``TableAdapter.read`` and readers do.

    Nobody's row is in a table: people are who the data say, items by the file's ids, a map of theirs, or their rows.
    """
    table = adapter.read(path, options)
    if options.users_map is not None:
        raise InvalidInput(f"{path} is a table of items: no user has a row in it, leave --users-map out")
    ids, words = table.item_ids, "the file"
    if ids is not None and (options.items_map is not None or options.rows_are_ids):
        raise InvalidInput(f"{path} has its own item ids; leave --items-map and --rows-are-ids out", path=str(path))
    if ids is None and options.items_map is not None:
        ids, words = read_id_map(options.items_map, "item", table.items), "files"
    if ids is None and options.rows_are_ids:
        rows = np.arange(table.items, dtype=np.int64)
        ids, words = IdMap(pa.array(rows), rows, table.items), ROWS
    if ids is None:
        raise InvalidInput(
            f"{path} does not say which item each of its {table.items:,} rows is: give the map that was used in "
            "training with --items-map, or --rows-are-ids if the data's item ids are rows from 0",
            path=str(path),
        )
    people = IdMap.build(read_table(source, reading_of(options), names={"target": "--rating"})["user_id"])[0]
    named: Any = SimpleNamespace(user_ids=people, item_ids=ids, ids_from=words)
    data = read_interactions(source, named, options)
    data = replace(data, confidence=data.target, target=None)
    return Opened(adapter, replace(table, item_ids=ids), data, options)


def forget_table(
    opened: Opened, removal: Removal, out: Path, *, unchecked: bool = False, readmit: bool = False, threads: int = 0
) -> TableErasure:
    """Make the table anew from what ``removal`` leaves, and write it to ``out``.

    Raises IntegrityError where the file is not what its library makes of the data, OutputExists, RefusedByPolicy.
    """
    check_output(out)
    record = read_record(opened.table.path)
    returned = admit(record, removal.remaining, readmit=readmit)
    record = erasing(record.without(returned).going_to(out), removal, items_asked(removal))
    rule = fitting(
        opened.table, opened.adapter.rules(opened.table, opened.options), opened.data, unchecked=unchecked
    )  # fmt: skip
    values = rule.table(removal.remaining, threads=threads)
    with written_beside(out, record, as_file=True):
        opened.adapter.write(opened.table, values, out)
    changed = _changed(opened.table.values, values, rule.limit)
    lists = int(changed.sum())
    changed[removal.touched_items] = False
    return TableErasure(rule, removal, lists, int(changed.sum()), returned)


def _changed(before: Any, after: Any, limit: float) -> Any:
    """Which rows differ by more than rounding, (n,) bool."""
    apart = abs(before - after)
    largest = apart.max(axis=1)
    largest = np.asarray(largest.todense() if hasattr(largest, "todense") else largest).ravel()
    return largest > limit * float(abs(before).max() or 1.0)
