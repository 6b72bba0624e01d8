"""What was so when something happened: columns of the data, or what its time says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from alteraser.data.ids import Coded, IdMap
from alteraser.data.readers import Raw, missing_column, times
from alteraser.data.selection import UNITS, unit_of
from alteraser.data.side.attributes import only_once
from alteraser.data.side.features import Words, words
from alteraser.errors import InvalidInput

Array = npt.NDArray[Any]

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
PARTS = ("night", "morning", "afternoon", "evening")


def _weekday(seconds: Array) -> Array:
    """1970-01-01 was a Thursday."""
    return np.asarray(np.array(DAYS)[(seconds // 86_400 + 3) % 7])


def _daytime(seconds: Array) -> Array:
    """From 0, 6, 12 and 18 o'clock, UTC."""
    return np.asarray(np.array(PARTS)[seconds % 86_400 // 21_600])


def _hour(seconds: Array) -> Array:
    return (seconds % 86_400 // 3_600).astype(str)


def _month(seconds: Array) -> Array:
    months = seconds.astype("datetime64[s]").astype("datetime64[M]").astype(np.int64)
    return (months % 12 + 1).astype(str)


FROM_TIME: dict[str, Callable[[Array], Array]] = {
    "weekday": _weekday,
    "daytime": _daytime,
    "hour": _hour,
    "month": _month,
}
"""Contexts that a time has, in UTC; each from seconds since 1970"""


def context_columns(
    names: Sequence[str], raw: Raw, timestamp_column: str | None
) -> dict[str, Words]:
    """The contexts of every row: a column of that name, else what the time says.

    Raises InvalidInput for a name that is neither, and for a column with several words in a row.

    >>> raw = Raw(pa.table({"timestamp": [0, 86_400 * 4 + 43_200]}), ["timestamp"], str, name="x")
    >>> found = context_columns(["weekday", "daytime"], raw, None)
    >>> found["weekday"].values.ids.ids.to_pylist(), found["daytime"].values.rows.tolist()
    (['monday', 'thursday'], [1, 0])
    """
    found = {}
    for name in names:
        only_once(raw, [name])
        if name in raw.table.column_names:
            one = _whole(name, raw.table[name])
        elif name in FROM_TIME:
            column = timestamp_column or "timestamp"
            if column not in raw.table.column_names:
                raise InvalidInput(
                    f"{raw.name} has no column {name!r}, and no column {column!r} with times to "
                    f"tell it from: say which column has them with --timestamp-column"
                )
            moments = np.asarray(times(raw.table[column], column, raw.where).to_numpy())
            one = of_each(name, FROM_TIME[name](moments // UNITS[unit_of(moments)]))
        else:
            raise missing_column(raw, name, "--context")
        found[name] = one
    return found


def columns_of(names: Sequence[str], raw: Raw, timestamp_column: str | None) -> tuple[str, ...]:
    """Those of ``names`` that a table tells: it has such a column, or times to tell it from."""
    there = raw.table.column_names
    timed = (timestamp_column or "timestamp") in there
    return tuple(name for name in names if name in there or (timed and name in FROM_TIME))


def of_each(name: str, values: Array) -> Words:
    """One word a row."""
    coded = Coded(*IdMap.build(pa.array(values.tolist(), pa.string())))
    return Words(name, np.arange(len(values) + 1, dtype=np.int64), coded)


def _whole(name: str, column: pa.ChunkedArray) -> Words:
    """A column whose words are not cut at ``|``."""
    kind = column.type
    if pa.types.is_nested(kind):
        raise InvalidInput(f"--context {name}: a row has one word, the column holds {kind}")
    lists = [
        pa.ListArray.from_arrays(pa.array(np.arange(len(chunk) + 1), pa.int32()), chunk)
        for chunk in column.chunks
    ]
    return words(name, pa.chunked_array(lists, pa.list_(kind)))
