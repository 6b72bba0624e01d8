"""When something happened: whole numbers as they are, dates, times and ISO 8601 text as epoch
seconds (UTC).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from alteraser.data.readers._raw import Where, is_text
from alteraser.data.readers._values import numbers, refuse, refuse_nulls
from alteraser.errors import InvalidInput

_ISO = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}"
_FRACTION = r"(:[0-9]{2})[.,][0-9]+"
_ZONE = r"[T ][0-9]{2}.*(Z|[+-][0-9]{2}(:?[0-9]{2})?)$"


def times(column: pa.ChunkedArray, name: str, where: Where) -> pa.Array:
    """A column as int64: integers as they are, dates and times as epoch seconds (UTC), rounded
    down.

    Text holds either numbers, or dates and times as in ISO 8601: ``2010-10-19``,
    ``2010-10-19T23:55:27Z``, ``2010-10-19 23:55:27.5+02:00``; without a zone it is UTC. Raises
    InvalidInput for the first value that is neither.
    """
    refuse_nulls(column, name, where)
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if pa.types.is_integer(kind):
        try:
            return _array(column.cast(pa.int64()))
        except pa.ArrowInvalid:
            row = pc.index(pc.greater(column, pa.scalar(2**63 - 1, pa.uint64())), True).as_py()
            raise refuse(
                where(row), name, column[row].as_py(), "is beyond 64-bit signed integers"
            ) from None
    if pa.types.is_date(kind):
        days = pc.cast(column, pa.date32()).cast(pa.int32()).cast(pa.int64())
        return _array(pc.multiply(days, 86_400))
    if pa.types.is_timestamp(kind):
        ticks = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[kind.unit]
        return pa.array(np.asarray(column.cast(pa.int64()).to_numpy()) // ticks)
    if is_text(kind) and len(column) and _iso(column.slice(0, 1)):
        return _moments(column.cast(pa.string()), name, where)
    values = numbers(column, name, where)
    odd = (values != np.floor(values)) | (np.abs(values) > 2.0**53)
    if odd.any():
        row = int(odd.argmax())
        raise refuse(where(row), name, float(values[row]), "is not a whole number")
    return pa.array(values.astype(np.int64))


def _iso(text: pa.ChunkedArray) -> bool:
    return bool(pc.match_substring_regex(text.cast(pa.string()), _ISO)[0].as_py())


def _moments(text: pa.ChunkedArray, name: str, where: Where) -> pa.Array:
    """Epoch seconds; leaving the fraction of a second out rounds down, before 1970 as well."""
    whole = pc.replace_substring_regex(text, _FRACTION, r"\1")
    whole = pc.replace_substring_regex(whole, r" ?(UTC|GMT|z)$", "Z")
    zoned = np.asarray(pc.match_substring_regex(whole, _ZONE).to_numpy(), dtype=bool)
    seconds = np.empty(len(text), np.int64)
    for rows, kind in (
        (np.flatnonzero(zoned), pa.timestamp("s", "UTC")),
        (np.flatnonzero(~zoned), pa.timestamp("s")),
    ):
        part = whole.take(pa.array(rows))
        try:
            seconds[rows] = part.cast(kind).cast(pa.int64()).to_numpy()
        except pa.ArrowInvalid:
            row = int(
                rows[next(i for i, value in enumerate(part.to_pylist()) if not _is(value, kind))]
            )
            raise _refuse_moment(where(row), name, text[row].as_py()) from None
    return pa.array(seconds)


def _is(value: str, kind: pa.DataType) -> bool:
    try:
        pa.scalar(value).cast(kind)
    except pa.ArrowInvalid:
        return False
    return True


def _refuse_moment(place: str, name: str, value: object) -> InvalidInput:
    return InvalidInput(
        f"{place}, column {name!r}: {str(value)[:60]!r} is not a date or time as in the rows "
        "before, such as 2010-10-19 or 2010-10-19T23:55:27Z. Correct the value or remove the row.",
        column=name,
    )


def _array(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
