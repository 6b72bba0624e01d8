"""JSON lines: one object a line, the columns are its keys, a missing key is null.

Strings stay strings also where they look like dates. An id must be an integer or a string on every line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.json

from alteraser.errors import InvalidInput, ResourceLimit
from alteraser.readers._raw import Format, Raw, Wanted, Where
from alteraser.readers._source import BLOCK, Head, Source, check_text

DEPTH = 64
_STRING = re.compile(rb'"(?:[^"\\\n]|\\.)*"')
_OPEN, _CLOSE = [np.frombuffer(marks, np.uint8) for marks in (b"[{", b"]}")]


def _matches(head: Head) -> bool:
    return head.line.lstrip().startswith("{")


def _read(source: Source, wanted: Wanted) -> Raw:
    check_text(source)
    _check_depth(source)
    table = _parse(source, [])
    dates = [field.name for field in table.schema if pa.types.is_temporal(field.type)]
    if dates:
        table = _parse(source, dates)
    columns = table.column_names
    if wanted.columns is not None:
        table = table.select([name for name in columns if name in wanted.columns])
    return Raw(table, columns, _where(source, table.num_rows), name=str(source.path))


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
                    f"{source.path}, line {line}: nested deeper than {DEPTH} levels. Write flat objects, one a line.",
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
            hint = " This looks like a JSON array; write one object a line." if text[0] == "[" else ""
            raise InvalidInput(
                f"{place}: not a JSON object ({problem}).{hint} Correct the line; nothing was read.",
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
            kind, first = kinds.setdefault(name, (_kind(value), line)) if value is not None else ("", 0)
            if value is not None and kind != _kind(value):
                raise InvalidInput(
                    f"{place}: {name!r} is {_kind(value)}, but {kind} on line {first}. "
                    "Use one type in the whole column.",
                    path=str(source.path),
                    line=line,
                ) from error
    if "block" in str(error):
        raise ResourceLimit(
            f"{source.path}: a line is longer than {BLOCK >> 20} MiB. Cut it.", path=str(source.path)
        ) from error
    raise InvalidInput(f"{source.path} is not JSON lines ({error}). Export it again.", path=str(source.path))


def _lines(source: Source) -> Iterator[tuple[int, str]]:
    with source.open() as file:
        for line, data in enumerate(file, 1):
            if text := data.decode("utf-8-sig").strip():
                yield line, text


def _where(source: Source, rows: int) -> Where:
    def where(row: int) -> str:
        lines = [line for line, _ in _lines(source)]
        return f"{source.path}, line {lines[row]}" if len(lines) == rows else f"{source.path}, row {row + 1}"

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


JSON_LINES = Format("JSON lines", (".jsonl", ".ndjson", ".json"), _matches, _read)
