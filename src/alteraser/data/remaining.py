"""The remaining data as a file: the original rows with every column, without what was forgotten."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from alteraser.data.ids import IdKind, IdMap, convert_ids
from alteraser.data.interactions import Interactions
from alteraser.data.selection import Mask, Selection

if TYPE_CHECKING:
    from alteraser.data.readers import ReadingOptions


def remaining_rows(
    source: Path, removed: Interactions, reading: ReadingOptions, selection: Selection | None = None
) -> pa.Table:
    """The table at ``source``, all columns, without any row of a (user, item) pair in ``removed``.

    Rows below a rating threshold, or duplicates of a pair, go as well when their pair was forgotten: they are data
    about the same event. So do rows that ``selection`` names (its window in the unit of the times) and that no model
    ever saw, such as a forgotten user's ratings below the threshold. Reading the result with the same options gives
    exactly the remaining interactions.
    """
    from alteraser.data.readers import read_rows

    table = read_rows(source, reading)
    user_column, item_column = table[reading.user_column], table[reading.item_column]
    users = removed.users.rows_of(user_column, reading.user_column)
    items = removed.items.rows_of(item_column, reading.item_column)
    events = removed.events is not None  # then a pair may stay of which some rows go, and the request says which
    forgotten = np.zeros(table.num_rows, bool) if events else removed.locate(users, items) >= 0
    if selection is not None:
        named = _Rows.of(table, reading, removed, times_of(source, reading, selection))
        forgotten |= named.find(selection)[0]
    return table if not forgotten.any() else table.filter(pa.array(np.logical_not(forgotten)))


def below_threshold(
    source: Path, reading: ReadingOptions, model_ids: tuple[IdMap, IdMap]
) -> Callable[[Selection], Mask] | None:
    """Tells which rows of a selection any row at ``source`` matches, the threshold left out; None without one.

    ``model_ids`` are the maps whose types ids are converted to.
    """
    from alteraser.data.readers import read_rows

    if reading.threshold is None:
        return None

    def matching(selection: Selection) -> Mask:
        table = read_rows(source, reading)
        rows = _Rows.of(table, reading, model_ids, times_of(source, reading, selection))
        return rows.find(selection)[1]

    return matching


def times_of(source: Path, reading: ReadingOptions, selection: Selection) -> Any:
    """When each row at ``source`` was, as ``read_rows`` orders them; None where ``selection`` has no window."""
    from alteraser.data.readers import ReadingOptions, read_table

    if selection.window is None:
        return None
    plain = ReadingOptions(
        user_column=reading.user_column, item_column=reading.item_column, timestamp_column=reading.timestamp_column
    )
    return read_table(source, plain)["timestamp"].to_numpy()


@dataclass(frozen=True)
class _Rows:
    """Rows of a file, their ids converted to the model's types."""

    users: IdMap
    items: IdMap
    user_rows: Any
    item_rows: Any
    times: Any
    groups: tuple[IdMap, Any] | None = None

    @classmethod
    def of(cls, table: pa.Table, reading: ReadingOptions, known: Any, times: Any) -> _Rows:
        users, items = table[reading.user_column], table[reading.item_column]
        kinds = (
            (known.users.kind, known.items.kind) if isinstance(known, Interactions) else (known[0].kind, known[1].kind)
        )
        user_map, user_rows = _map(users, kinds[0], "user_id")
        item_map, item_rows = _map(items, kinds[1], "item_id")
        groups = None if reading.group_column is None else IdMap.build(table[reading.group_column])
        return cls(user_map, item_map, user_rows, item_rows, times, groups)

    def find(self, selection: Selection) -> tuple[Mask, Mask]:
        return selection.find(self.users, self.items, self.user_rows, self.item_rows, self.times, self.groups)


def _map(column: pa.ChunkedArray, kind: IdKind, side: str) -> tuple[IdMap, Any]:
    """The ids of a column as ``kind``, and the row of each."""
    raw, rows = IdMap.build(column)
    converted = convert_ids(raw.ids, kind, side)
    if converted is raw.ids:
        return raw, rows
    built, places = IdMap.build(converted)
    return built, places[rows]
