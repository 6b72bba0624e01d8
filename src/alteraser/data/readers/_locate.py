"""From what the user named to raw tables: a file, a folder, or an object that speaks Arrow."""

from __future__ import annotations

import itertools
import os
import shlex
import stat
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pyarrow as pa
import pyarrow.compute as pc

from alteraser.data.readers._folder import FolderPart, key_columns, parts_of
from alteraser.data.readers._raw import Format, Raw, WantedColumns, by_row, is_text
from alteraser.data.readers._source import (
    FORMATS_ACCEPTED,
    Source,
    damaged,
    kind_of,
    out_of_memory,
    regular_file,
    unchanged,
)
from alteraser.data.readers._sql import read_sql, sql_of
from alteraser.data.readers.delimited import DELIMITED
from alteraser.data.readers.jsonlines import JSON_LINES
from alteraser.data.readers.parquet import PARQUET
from alteraser.data.readers.recbole import RECBOLE
from alteraser.errors import InvalidInput

FORMATS: tuple[Format, ...] = (PARQUET, JSON_LINES, RECBOLE, DELIMITED)
"""Every format, in the order in which they are asked whether a file is theirs."""

TABLE = "the table"

_VIEWS = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}


@runtime_checkable
class ArrowStream(Protocol):
    """Anything that hands out its rows through the Arrow PyCapsule protocol: pandas, polars,
    pyarrow, …
    """

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any: ...


def read_raw(source: str | os.PathLike[str] | ArrowStream, wanted: WantedColumns) -> Raw:
    """All rows of ``source``, and at least the columns that are wanted and there."""
    raw = _read(source, wanted)
    for i, field in enumerate(raw.table.schema):
        if (plain := _VIEWS.get(field.type)) is not None:  # Arrow can neither take nor filter views
            raw = replace(
                raw,
                table=raw.table.set_column(
                    i, field.with_type(plain), raw.table.column(i).cast(plain)
                ),
            )
    return raw


def _read(source: str | os.PathLike[str] | ArrowStream, wanted: WantedColumns) -> Raw:
    if isinstance(source, ArrowStream):
        return _from_stream(source, wanted)
    if not isinstance(source, (str, os.PathLike)):
        raise InvalidInput(
            f"{type(source).__name__} is not a path and has no __arrow_c_stream__. "
            "Pass a file, a folder, or a pandas, polars or pyarrow table."
        )
    asked = sql_of(source)
    if asked is not None:
        return _from_stream(read_sql(asked), wanted)
    path = Path(source)
    try:
        if stat.S_ISDIR(kind_of(path)):
            return _read_folder(path, wanted)
        form, raw = _read_file(path, wanted)
        return form.finish(raw, wanted)
    except MemoryError as error:
        raise out_of_memory(path) from error


def find_format(source: Source) -> Format:
    """The format by content, else by extension, else CSV."""
    fitting = (form for form in FORMATS if form.matches(source.head))
    named = (form for form in FORMATS if source.suffix in form.suffixes)
    return next(itertools.chain(fitting, named), DELIMITED)


def _read_file(path: Path, wanted: WantedColumns) -> tuple[Format, Raw]:
    source = regular_file(path)
    with unchanged(path):
        try:
            form = find_format(source)
            return form, form.read(source, wanted)
        except MemoryError:
            raise
        except pa.ArrowException as error:
            raise damaged(path, error) from error


def _read_folder(folder: Path, wanted: WantedColumns) -> Raw:
    """All parts under each other, with the columns that the names of their folders are."""
    parts = parts_of(folder, wanted.hints.layout)
    if len(parts) > 1:
        # some engines write empty ones
        parts = [part for part in parts if not _is_blank(part)] or parts[:1]
    columns = key_columns(parts)
    raws, forms = [], []
    for i, part in enumerate(parts):
        form, raw = _read_file(part.path, wanted)
        forms.append(form)
        raws.append(_with_keys(raw, {name: values[i] for name, values in columns.items()}, wanted))
    odd = next((i for i, form in enumerate(forms) if form is not forms[0]), None)
    if odd is not None:
        raise InvalidInput(
            f"{folder}: {parts[odd].path.name} is {forms[odd].name}, {parts[0].path.name} is "
            f"{forms[0].name}. Write all parts in one format.",
            path=str(folder),
        )
    if forms[0] is DELIMITED:
        _require_same_header(raws)
    return forms[0].finish(_join(raws, folder, wanted), wanted)


def _is_blank(part: FolderPart) -> bool:
    return part.path.suffix not in (".parquet", ".pq") and regular_file(part.path).blank


def _with_keys(raw: Raw, keys: Mapping[str, pa.Scalar], wanted: WantedColumns) -> Raw:
    """``raw`` with a column for each of ``keys``; one that its file has too must say the same."""
    table, columns = raw.table, list(raw.columns)
    for name, value in keys.items():
        if name in columns:
            _require_value(raw, name, value)
            continue
        columns.append(name)
        if wanted.columns is None or name in wanted.columns:
            table = table.append_column(name, pa.repeat(value, table.num_rows))
    return replace(raw, table=table, columns=columns)


def _require_value(raw: Raw, name: str, value: pa.Scalar) -> None:
    if name not in raw.table.column_names:
        return
    text = pc.cast(raw.table[name], pa.string(), safe=False)
    same = pc.equal(text, str(value.as_py())) if value.is_valid else pc.is_null(text)
    row = pc.index(same.fill_null(False), False).as_py()
    if row >= 0:
        raise InvalidInput(
            f"{raw.where(row)}: {name!r} is {text[row].as_py()!r}, and {value.as_py()!r} in the "
            "name of its folder. Rename the folder, or leave the column out of the file.",
            column=name,
        )


def _require_same_header(parts: Sequence[Raw]) -> None:
    """Text files with other columns are other tables."""
    for part in parts[1:]:
        if set(part.columns) != set(parts[0].columns):
            raise InvalidInput(
                f"{part.name} has the columns {', '.join(part.columns)}, and {parts[0].name} has "
                f"{', '.join(parts[0].columns)}: more than one table. Name the file itself.",
                path=part.name,
            )


def _join(parts: Sequence[Raw], folder: Path, wanted: WantedColumns) -> Raw:
    """The parts of a table under each other."""
    if len(parts) == 1:
        return parts[0]
    for name in sorted(wanted.ids):
        _check_alike(name, parts)
    try:
        table = pa.concat_tables([part.table for part in parts], promote_options="permissive")
    except MemoryError:
        raise
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
    return Raw(table, columns, where, name=str(folder), guess=parts[0].guess)


def _check_alike(name: str, parts: Sequence[Raw]) -> None:
    """An id column is strings in every part or in none; a part without it is refused by name."""
    if not any(name in part.columns for part in parts):
        return
    first: tuple[str, str] | None = None
    for part in parts:
        if name not in part.columns:
            raise missing_column(part, name, of_a_part=True)
        kind = part.table.schema.field(name).type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        words = (
            "strings" if is_text(kind) else "numbers" if pa.types.is_integer(kind) else str(kind)
        )
        first = first or (words, part.name)
        if words != first[0]:
            raise InvalidInput(
                f"{part.name}: the column {name!r} holds {words}, but {first[0]} in {first[1]}. "
                "Write all parts with one type.",
                column=name,
            )


def missing_column(
    raw: Raw,
    name: str,
    option: str | None = None,
    *,
    ids: tuple[str, str] | None = None,
    before: str = "",
    of_a_part: bool = False,
) -> InvalidInput:
    """The error for a column that is not there: what is, what may have been meant, how to say so.

    ``option`` is what names the column, after ``before`` where that is not all of its value;
    ``ids``, the id columns, where there are ``--columns`` and ``--layout``.
    """
    import difflib
    import re

    def plain(text: str) -> str:
        return re.sub(r"[^a-z0-9]", "", text.lower())

    plainly = {plain(column): column for column in raw.columns}
    close = difflib.get_close_matches(plain(name), list(plainly), n=1)
    meant = plainly[close[0]] if close else None
    there = ", ".join(raw.columns[:12]) + (", …" if len(raw.columns) > 12 else "")
    words = [f"{raw.name} has no column {name!r}; its columns are: {there or 'none'}."]
    if raw.guess:
        words.append(_without_header(raw, ids))
    if meant:
        words.append(f"Did you mean {meant!r}?")
    if raw.guess and not meant:
        pass
    elif option == "--rating" and re.fullmatch(r"[0-9]+(\.[0-9]*)?", name):
        words.append(
            f"Where every row counts 1, leave --rating out; where repeated rows add up, say "
            f"{shlex.quote(f'{name} * sum(1)' if float(name) != 1 else 'sum(1)')}."
        )
    elif option:
        value = shlex.quote(before + (meant or "NAME"))
        words.append(f"Say which column it is with {option} {value}, or rename it.")
    elif of_a_part:
        words.append("Rename the column, or write all parts with one schema.")
    else:
        words.append(f"Rename the column to {name!r}.")
    return InvalidInput(" ".join(words), path=raw.name, column=name)


def _without_header(raw: Raw, ids: tuple[str, str] | None) -> str:
    """What to do with text whose first line is no header."""
    if ids is None:
        return "Its first line looks like data: add a header line with the names of the columns."
    if raw.guess in ("netflix", "adjacency"):
        kind = {"netflix": "Netflix' blocks", "adjacency": "lists of a user and its items"}[
            raw.guess
        ]
        return (
            f"Its lines look like {kind}: pass --layout {raw.guess}, or add a header line if "
            "they are rows."
        )
    more = ["rating", "timestamp", *(f"column{i}" for i in range(5, len(raw.columns) + 1))]
    names = ",".join([*ids, *more][: max(len(raw.columns), 2)])
    return (
        "Its first line looks like data: add a header line with the names of the columns, or name "
        f"them, in their order, with --columns {shlex.quote(names)}."
    )


def _from_stream(source: ArrowStream, wanted: WantedColumns) -> Raw:
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
                raise InvalidInput(
                    f"{TABLE}: the column {name!r} is there twice. Rename one of them."
                )
        table = table.select([name for name in table.column_names if name in wanted.columns])
    return Raw(table, columns, by_row(TABLE), name=TABLE)


def _project(source: Any, wanted: WantedColumns) -> tuple[list[str], Any]:
    """Only the wanted columns of a frame, so that no other one has to be converted."""
    if isinstance(source, pa.Table):
        return source.column_names, source
    names = getattr(source, "columns", None)
    if wanted.columns is None or names is None or not all(isinstance(name, str) for name in names):
        return [], source
    try:
        return list(names), source[
            [name for name in dict.fromkeys(names) if name in wanted.columns]
        ]
    except (TypeError, KeyError, IndexError, ValueError):  # not a frame after all: take all of it
        return [], source


__all__ = [
    "FORMATS",
    "FORMATS_ACCEPTED",
    "ArrowStream",
    "find_format",
    "missing_column",
    "read_raw",
]
