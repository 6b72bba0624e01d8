"""The remaining data as a file: the original rows with every column, without what was forgotten."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from alteraser.interactions import Interactions

if TYPE_CHECKING:
    from alteraser.readers import ReadingOptions


def remaining_rows(source: Path, removed: Interactions, reading: ReadingOptions) -> pa.Table:
    """The table at ``source``, all columns, without any row of a (user, item) pair in ``removed``.

    Rows below a rating threshold, or duplicates of a pair, go as well when their pair was forgotten: they are data
    about the same event. Reading the result with the same options gives exactly the remaining interactions.
    """
    from alteraser.readers import read_rows

    table = read_rows(source, reading)
    users = removed.users.rows_of(table[reading.user_column], reading.user_column)
    items = removed.items.rows_of(table[reading.item_column], reading.item_column)
    forgotten = removed.locate(users, items) >= 0
    return table if not forgotten.any() else table.filter(pa.array(np.logical_not(forgotten)))
