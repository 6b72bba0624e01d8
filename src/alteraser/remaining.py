"""The remaining data as a file: the original rows with every column, without what was forgotten."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from alteraser.ids import IdMap, convert_ids
from alteraser.interactions import Interactions

if TYPE_CHECKING:
    from alteraser.readers import ReadingOptions


def remaining_rows(
    source: Path, removed: Interactions, reading: ReadingOptions, forget_set: pa.Table | None = None
) -> pa.Table:
    """The table at ``source``, all columns, without any row of a (user, item) pair in ``removed``.

    Rows below a rating threshold, or duplicates of a pair, go as well when their pair was forgotten: they are data
    about the same event. So do rows that ``forget_set`` names (user_id and item_id, or one of them alone for
    whole users or items) and that no model ever saw, such as a forgotten user's ratings below the threshold. Reading
    the result with the same options gives exactly the remaining interactions.
    """
    from alteraser.readers import read_rows

    table = read_rows(source, reading)
    users = removed.users.rows_of(table[reading.user_column], reading.user_column)
    items = removed.items.rows_of(table[reading.item_column], reading.item_column)
    forgotten = removed.locate(users, items) >= 0
    if forget_set is not None:
        forgotten |= _named(forget_set, removed, table[reading.user_column], table[reading.item_column])
    return table if not forgotten.any() else table.filter(pa.array(np.logical_not(forgotten)))


def _named(forget_set: pa.Table, removed: Interactions, users: pa.ChunkedArray, items: pa.ChunkedArray) -> np.ndarray:
    """Which of the rows (users[i], items[i]) ``forget_set`` names."""
    if "user_id" not in forget_set.column_names:
        known, _ = IdMap.build(convert_ids(forget_set["item_id"].combine_chunks(), removed.items.kind, "item_id"))
        return known.rows_of(items) >= 0
    known, wanted = IdMap.build(convert_ids(forget_set["user_id"].combine_chunks(), removed.users.kind, "user_id"))
    user_rows = known.rows_of(users)
    if "item_id" not in forget_set.column_names:
        return user_rows >= 0
    named, wanted_items = IdMap.build(
        convert_ids(forget_set["item_id"].combine_chunks(), removed.items.kind, "item_id")
    )
    item_rows = named.rows_of(items)
    width = np.int64(max(named.size, 1))
    keys = np.where((user_rows >= 0) & (item_rows >= 0), user_rows * width + item_rows, -1)
    return np.isin(keys, wanted * width + wanted_items)
