"""From what the user named to raw tables: a file, a folder, or an object that speaks Arrow."""

from __future__ import annotations

import itertools
import os
import stat
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pyarrow as pa

from alteraser.errors import InvalidInput
from alteraser.readers._raw import Format, Raw, Wanted, by_row, is_text
from alteraser.readers._source import FORMATS_ACCEPTED, Source, damaged, kind_of, regular_file, unchanged
from alteraser.readers.delimited import DELIMITED
from alteraser.readers.jsonlines import JSON_LINES
from alteraser.readers.movielens import RATINGS_DAT, U_DATA
from alteraser.readers.parquet import PARQUET
from alteraser.readers.recbole import RECBOLE

FORMATS: tuple[Format, ...] = (PARQUET, JSON_LINES, RECBOLE, RATINGS_DAT, U_DATA, DELIMITED)
"""Every format, in the order in which they are asked whether a file is theirs."""

TABLE = "the table"


@runtime_checkable
class ArrowStream(Protocol):
    """Anything that hands out its rows through the Arrow PyCapsule protocol: pandas, polars, pyarrow, …"""

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any: ...


def read_raw(source: str | os.PathLike[str] | ArrowStream, wanted: Wanted) -> Raw:
    """All rows of ``source``, and at least the columns that are wanted and there."""
    if isinstance(source, ArrowStream):
        return _from_stream(source, wanted)
    if not isinstance(source, (str, os.PathLike)):
        raise InvalidInput(
            f"{type(source).__name__} is not a path and has no __arrow_c_stream__. "
            "Pass a file, a folder, or a pandas, polars or pyarrow table."
        )
    path = Path(source)
    if stat.S_ISDIR(kind_of(path)):
        return _join([_read_file(part, wanted) for part in _in_folder(path)], path, wanted)
    return _read_file(path, wanted)


def find_format(source: Source) -> Format:
    """The format by content, else by extension, else CSV."""
    fitting = (form for form in FORMATS if form.matches(source.head))
    named = (form for form in FORMATS if source.suffix in form.suffixes)
    return next(itertools.chain(fitting, named), DELIMITED)


def _read_file(path: Path, wanted: Wanted) -> Raw:
    source = regular_file(path)
    with unchanged(path):
        try:
            return find_format(source).read(source, wanted)
        except pa.ArrowException as error:
            raise damaged(path, error) from error


def _in_folder(folder: Path) -> list[Path]:
    """The files of a folder that hold its interactions."""
    try:
        names = sorted(entry for entry in os.listdir(folder) if not entry.startswith((".", "_")))
    except PermissionError:
        raise InvalidInput(f"{folder} may not be read. Change its permissions.", path=str(folder)) from None
    if "interactions.parquet" in names:
        inner = folder / "interactions.parquet"
        return _in_folder(inner) if inner.is_dir() else [inner]
    if partition := next((name for name in names if "=" in name and (folder / name).is_dir()), None):
        raise InvalidInput(
            f"{folder} is partitioned ({partition}/). Write it without partition columns, "
            "as part-*.parquet files in one folder.",
            path=str(folder),
        )
    patterns = [form.folder for form in FORMATS if form.folder]
    found = {pattern: [folder / name for name in names if Path(name).match(pattern)] for pattern in patterns}
    found = {pattern: paths for pattern, paths in found.items() if paths}
    listing = ", ".join(names[:8]) + (", …" if len(names) > 8 else "") if names else "nothing"
    if not found:
        raise InvalidInput(
            f"{folder} holds {listing}, but no interactions.parquet, *.parquet parts, *.inter, ratings.dat "
            "or u.data. Name the file itself.",
            path=str(folder),
        )
    (pattern, paths), *others = found.items()
    if others or (len(paths) > 1 and pattern != PARQUET.folder):
        raise InvalidInput(f"{folder} holds {listing}: more than one table. Name the file itself.", path=str(folder))
    return paths


def _join(parts: Sequence[Raw], folder: Path, wanted: Wanted) -> Raw:
    """The parts of a table under each other."""
    if len(parts) == 1:
        return parts[0]
    for name in sorted(wanted.ids):
        _check_alike(name, parts)
    try:
        table = pa.concat_tables([part.table for part in parts], promote_options="permissive")
    except pa.ArrowException as error:
        raise InvalidInput(
            f"{folder}: its parts do not fit together ({error}). Write them with one schema.",
            path=str(folder),
        ) from error
    starts = [0, *itertools.accumulate(part.table.num_rows for part in parts)]

    def where(row: int) -> str:
        part = bisect_right(starts, row) - 1
        return parts[part].where(row - starts[part])

    columns = list(dict.fromkeys(name for part in parts for name in part.columns))
    return Raw(table, columns, where, name=str(folder))


def _check_alike(name: str, parts: Sequence[Raw]) -> None:
    """An id column is strings in every part or in none; a part without it is refused by name."""
    if not any(name in part.columns for part in parts):
        return
    first: tuple[str, str] | None = None
    for part in parts:
        if name not in part.columns:
            raise missing_column(part, name)
        kind = part.table.schema.field(name).type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        words = "strings" if is_text(kind) else "numbers" if pa.types.is_integer(kind) else str(kind)
        first = first or (words, part.name)
        if words != first[0]:
            raise InvalidInput(
                f"{part.name}: the column {name!r} holds {words}, but {first[0]} in {first[1]}. "
                "Write all parts with one type.",
                column=name,
            )


def missing_column(raw: Raw, name: str, option: str | None = None) -> InvalidInput:
    """The error for a column that is not there: what is, what may have been meant, how to say so."""
    import difflib
    import re

    def plain(text: str) -> str:
        return re.sub(r"[^a-z0-9]", "", text.lower())

    plainly = {plain(column): column for column in raw.columns}
    close = difflib.get_close_matches(plain(name), list(plainly), n=1)
    meant = plainly[close[0]] if close else None
    there = ", ".join(raw.columns[:12]) + (", …" if len(raw.columns) > 12 else "")
    words = [f"{raw.name} has no column {name!r}; its columns are: {there or 'none'}."]
    if any(re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", column) for column in raw.columns):
        words.append("Its first line looks like data: add a header line with the names of the columns.")
    if meant:
        words.append(f"Did you mean {meant!r}?")
    if option:
        words.append(f"Say which column it is with {option} {meant or 'NAME'}, or rename it.")
    else:
        words.append("Rename the column, or write all parts with one schema.")
    return InvalidInput(" ".join(words), path=raw.name, column=name)


def _from_stream(source: ArrowStream, wanted: Wanted) -> Raw:
    columns, source = _project(source, wanted)
    try:
        table = pa.RecordBatchReader.from_stream(source).read_all()
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise InvalidInput(
            f"{TABLE} could not be turned into Arrow columns: {' '.join(str(error).split())}. "
            "Give every column one type, for example with astype; ids are integers or strings.",
        ) from error
    columns = columns or table.column_names
    if wanted.columns is not None:
        for name in wanted.columns:
            if columns.count(name) > 1:
                raise InvalidInput(f"{TABLE}: the column {name!r} is there twice. Rename one of them.")
        table = table.select([name for name in table.column_names if name in wanted.columns])
    return Raw(table, columns, by_row(TABLE), name=TABLE)


def _project(source: Any, wanted: Wanted) -> tuple[list[str], Any]:
    """Only the wanted columns of a frame, so that no other one has to be converted."""
    if isinstance(source, pa.Table):
        return source.column_names, source
    names = getattr(source, "columns", None)
    if wanted.columns is None or names is None or not all(isinstance(name, str) for name in names):
        return [], source
    try:
        return list(names), source[[name for name in dict.fromkeys(names) if name in wanted.columns]]
    except (TypeError, KeyError, IndexError, ValueError):  # not a frame after all: take all of it
        return [], source


__all__ = ["FORMATS", "FORMATS_ACCEPTED", "ArrowStream", "find_format", "missing_column", "read_raw"]
