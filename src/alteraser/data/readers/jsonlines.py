"""JSON lines: one object a line, the columns are its keys, a missing key is null. Or one array of
such objects.

Strings stay strings also where they look like dates. An id must be an integer or a string on every
line; ``1.0`` is 1.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.json

from alteraser.data.readers._raw import Format, Raw, WantedColumns, Where
from alteraser.data.readers._source import BLOCK, Head, Source, check_text
from alteraser.errors import InvalidInput, ResourceLimit

DEPTH = 64
_STRING = re.compile(rb'"(?:[^"\\\n]|\\.)*"')
_ARRAY = re.compile(rb"(?:\xef\xbb\xbf)?\s*\[\s*(?:\{|\]|$)")
_OPEN, _CLOSE = [np.frombuffer(marks, np.uint8) for marks in (b"[{", b"]}")]


def _matches(head: Head) -> bool:
    return head.line.lstrip().startswith("{") or _ARRAY.match(head.start) is not None


def _read(source: Source, wanted: WantedColumns) -> Raw:
    check_text(source)
    _check_depth(source)
    if _ARRAY.match(source.head.start):
        return _read_array(source, wanted)
    table = _parse(source, [])
    dates = [field.name for field in table.schema if pa.types.is_temporal(field.type)]
    if dates:
        table = _parse(source, dates)
    columns = table.column_names
    where = _where(source, table.num_rows)
    for name in sorted(wanted.ids.intersection(columns)):
        # Arrow made doubles of integers that are too long
        if pa.types.is_floating(table.schema.field(name).type):
            values = [json.loads(text).get(name) for _, text in _lines(source)]
            table = table.set_column(
                columns.index(name), name, pa.chunked_array([_whole(values, name, where)])
            )
    if wanted.columns is not None:
        table = table.select([name for name in columns if name in wanted.columns])
    return Raw(table, columns, where, name=str(source.path))


def _parse(source: Source, strings: list[str]) -> pa.Table:
    schema = pa.schema([(name, pa.string()) for name in strings]) if strings else None
    try:
        with source.open_arrow() as stream:
            return pa.json.read_json(
                stream,
                read_options=pa.json.ReadOptions(block_size=BLOCK),
                parse_options=pa.json.ParseOptions(explicit_schema=schema),
            )
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        _diagnose(source, error)


def _read_array(source: Source, wanted: WantedColumns) -> Raw:
    """One array of objects. It is held as a whole: for many millions of rows, lines are the better
    form.
    """
    with source.open() as file:
        text = file.read().decode("utf-8-sig")

    def where(row: int) -> str:
        return f"{source.path}, element {row + 1}"

    try:
        rows = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except (ValueError, RecursionError) as problem:
        raise InvalidInput(
            f"{source.path} is not a JSON array of objects ({problem}). Correct it; nothing was "
            "read.",
            path=str(source.path),
        ) from problem
    odd = next((i for i, row in enumerate(rows) if not isinstance(row, dict)), None)
    if odd is not None:
        raise InvalidInput(
            f'{where(odd)}: {_kind(rows[odd])} where an object such as {{"user_id": 1, "item_id": '
            f"2}} was expected. "
            "Correct it; nothing was read.",
            path=str(source.path),
        )
    columns = list(dict.fromkeys(name for row in rows for name in row))
    kept = [name for name in columns if wanted.columns is None or name in wanted.columns]
    try:
        arrays = {
            name: _column([row.get(name) for row in rows], name, where, wanted) for name in kept
        }
    except (
        UnicodeEncodeError,
        OverflowError,
        pa.ArrowInvalid,
    ) as problem:  # half a surrogate, 2^64 beside the ids
        raise InvalidInput(
            f"{source.path} holds what no column can ({problem}). Correct it; nothing was read."
        ) from problem
    return Raw(pa.table(arrays), columns, where, name=str(source.path))


def _column(values: list[Any], name: str, where: Where, wanted: WantedColumns) -> pa.Array:
    if name in wanted.ids and all(value is None or type(value) in (int, float) for value in values):
        return _whole(values, name, where)
    kinds: dict[str, int] = {}
    for row, value in enumerate(values):
        if value is not None:
            kinds.setdefault(_kind(value), row)
    if len(kinds) > 1:
        (first, at), (second, row) = list(kinds.items())[:2]
        raise InvalidInput(
            f"{where(row)}: {name!r} is {second}, but {first} at {where(at)}. Use one type in the "
            "whole column.",
            column=name,
        )
    if values and all(type(value) in (int, float) for value in values if value is not None):
        return pa.array(
            values, None if all(type(value) is not float for value in values) else pa.float64()
        )
    return pa.array(values)


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")


def _whole(values: list[int | float | None], name: str, where: Where) -> pa.Array:
    """Ids that are numbers, as int64 where they are whole; else as doubles, of which the border
    says what is wrong.
    """
    found: list[int | float | None] = []
    for row, value in enumerate(values):
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise InvalidInput(
                f"{where(row)}, column {name!r}: {value} is beyond 64-bit signed integers. Use "
                "strings for such ids.",
                column=name,
            )
        whole = isinstance(value, float) and value.is_integer() and abs(value) <= 2**53
        found.append(int(value) if whole and value is not None else value)
    return pa.array(
        found, pa.float64() if any(isinstance(value, float) for value in found) else pa.int64()
    )


def _check_depth(source: Source) -> None:
    """Refuse deep nesting before Arrow sees it: its parser recurses, and the stack ends first."""
    depth, line = 0, 1
    with source.open() as file:
        while chunk := file.read(4 << 20) + file.readline():
            marks = np.frombuffer(_STRING.sub(b"", chunk), np.uint8)
            steps = np.isin(marks, _OPEN).astype(np.int8) - np.isin(marks, _CLOSE).astype(np.int8)
            depths = depth + np.cumsum(steps, dtype=np.int64)
            if len(depths) and depths.max() > DEPTH:
                line += int(np.count_nonzero(marks[: depths.argmax()] == ord("\n")))
                raise InvalidInput(
                    f"{source.path}, line {line}: nested deeper than {DEPTH} levels. Write flat "
                    "objects, one a line.",
                    path=str(source.path),
                    line=line,
                )
            depth = int(depths[-1]) if len(depths) else depth
            line += chunk.count(b"\n")


def _diagnose(source: Source, error: Exception) -> NoReturn:
    """Find the line that Arrow could not read; its own count starts again at every block."""
    kinds: dict[str, tuple[str, int]] = {}
    for line, text in _lines(source):
        place = f"{source.path}, line {line}"
        try:
            row = json.loads(text, object_pairs_hook=_once)
        except (ValueError, RecursionError) as problem:
            raise InvalidInput(
                f"{place}: not a JSON object ({problem}). Correct the line; nothing was read.",
                path=str(source.path),
                line=line,
            ) from error
        if not isinstance(row, dict):
            raise InvalidInput(
                f"{place}: {_kind(row)} where an object such as "
                '{"user_id": 1, "item_id": 2} was expected. Write one object a line.',
                path=str(source.path),
                line=line,
            ) from error
        for name, value in row.items():
            kind, first = (
                kinds.setdefault(name, (_kind(value), line)) if value is not None else ("", 0)
            )
            if value is not None and kind != _kind(value):
                raise InvalidInput(
                    f"{place}: {name!r} is {_kind(value)}, but {kind} on line {first}. "
                    "Use one type in the whole column.",
                    path=str(source.path),
                    line=line,
                ) from error
    if "block" in str(error):
        raise ResourceLimit(
            f"{source.path}: a line is longer than {BLOCK >> 20} MiB. Cut it.",
            path=str(source.path),
        ) from error
    raise InvalidInput(
        f"{source.path} is not JSON lines ({error}). Export it again.", path=str(source.path)
    )


def _lines(source: Source) -> Iterator[tuple[int, str]]:
    with source.open() as file:
        for line, data in enumerate(file, 1):
            if text := data.decode("utf-8-sig").strip():
                yield line, text


def _where(source: Source, rows: int) -> Where:
    def where(row: int) -> str:
        lines = [line for line, _ in _lines(source)]
        return (
            f"{source.path}, line {lines[row]}"
            if len(lines) == rows
            else f"{source.path}, row {row + 1}"
        )

    return where


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) != len(pairs):
        raise ValueError("a key is there twice")
    return row


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "true or false"
    kinds = {str: "a string", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return kinds.get(type(value), "null")


JSON_LINES = Format("JSON", (".jsonl", ".ndjson", ".json"), _matches, _read)
