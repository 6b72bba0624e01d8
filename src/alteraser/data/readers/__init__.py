"""Readers: from the files and frames people have to one table of interactions.

    table = read_table("ratings.csv", ReadingOptions(user_column="userId", item_column="movieId"))

The format is told by a file's content, its extension being a hint; a folder is read by what it
holds. All or nothing is read, and a complaint names the file, the line or row, and what to do. To
add a format, write its file beside ``parquet.py`` and its name into ``FORMATS`` (``_locate.py``).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from alteraser.data.readers._options import ReadingOptions, rating_rule

if TYPE_CHECKING:
    from alteraser.data.readers._hints import Hints
    from alteraser.data.readers._ids import identifiers, plain
    from alteraser.data.readers._locate import FORMATS, ArrowStream, missing_column, read_raw
    from alteraser.data.readers._raw import Raw, WantedColumns, Where, is_text
    from alteraser.data.readers._rules import Matrix, quoted
    from alteraser.data.readers._sql import without_password
    from alteraser.data.readers._table import (
        ForgetTable,
        Settled,
        as_rows,
        parse,
        read_forget_table,
        read_rows,
        read_table,
        settle,
    )
    from alteraser.data.readers._times import times
    from alteraser.data.readers._values import numbers_or_nothing
    from alteraser.data.readers._writing import WRITERS, write_rows, writer_for
    from alteraser.data.readers.recbole import spaced

__all__ = [
    "FORMATS",
    "WRITERS",
    "ArrowStream",
    "ForgetTable",
    "Hints",
    "Matrix",
    "Raw",
    "ReadingOptions",
    "Settled",
    "WantedColumns",
    "Where",
    "as_rows",
    "identifiers",
    "is_text",
    "missing_column",
    "numbers_or_nothing",
    "parse",
    "plain",
    "quoted",
    "rating_rule",
    "read_forget_table",
    "read_raw",
    "read_rows",
    "read_table",
    "settle",
    "spaced",
    "times",
    "without_password",
    "write_rows",
    "writer_for",
]

_LATE = {
    "FORMATS": "_locate",
    "ArrowStream": "_locate",
    "ForgetTable": "_table",
    "read_forget_table": "_table",
    "read_rows": "_table",
    "read_table": "_table",
    "write_rows": "_writing",
    "WRITERS": "_writing",
    "writer_for": "_writing",
    "Matrix": "_rules",
    "quoted": "_rules",
    "numbers_or_nothing": "_values",
    "Hints": "_hints",
    "Raw": "_raw",
    "WantedColumns": "_raw",
    "Where": "_raw",
    "identifiers": "_ids",
    "is_text": "_raw",
    "missing_column": "_locate",
    "plain": "_ids",
    "read_raw": "_locate",
    "Settled": "_table",
    "as_rows": "_table",
    "parse": "_table",
    "settle": "_table",
    "spaced": "recbole",
    "times": "_times",
    "without_password": "_sql",
}


def __getattr__(name: str) -> Any:  # pyarrow is imported by the first call that reads
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LATE[name]}"), name)
