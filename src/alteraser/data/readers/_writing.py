"""``write_rows``: a table to a file in the format of its extension, whole or not at all."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import os
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, cast

import pyarrow as pa
import pyarrow.compute as pc

from alteraser.data.files import atomic_write
from alteraser.data.id_columns import as_written
from alteraser.data.readers._numbers import as_text
from alteraser.data.readers.recbole import TYPE
from alteraser.errors import InvalidInput

_BATCH = 1 << 16
ID = b"alteraser.id"
"""In the metadata of a field: ids that are neither integers nor text."""

_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}

Writer = Callable[[pa.Table, IO[bytes]], None]


def write_rows(table: pa.Table, path: str | os.PathLike[str]) -> None:
    """Write ``table`` as ``.parquet``, ``.csv``, ``.tsv``, ``.jsonl`` or ``.inter``, text also
    compressed (``.csv.gz``, ``.csv.zst``). Never overwrites.

    Columns that came from text are written as the text they were. What a format cannot hold is
    refused.
    """
    target = Path(path)
    write, compression = writer_for(target)
    with atomic_write(target) as file:
        try:
            with _compressed(file, compression) as inner:
                write(
                    table
                    if compression is None and target.suffix.lower() == ".parquet"
                    else _with_ids(table),
                    inner,
                )
        except (
            pa.ArrowInvalid,
            pa.ArrowNotImplementedError,
            ValueError,
            TypeError,
            csv.Error,
        ) as error:
            raise InvalidInput(
                f"{target}: a {target.suffix} file cannot hold this table ({error}). Write "
                ".parquet instead.",
                path=str(target),
            ) from error


def writer_for(target: Path) -> tuple[Writer, str | None]:
    """(what writes a file of that name, its compression). Raises InvalidInput for a name that says
    no format.
    """
    name = Path(target.name.lower())
    compression = _COMPRESSIONS.get(name.suffix)
    suffix = Path(name.stem).suffix if compression else name.suffix
    write = WRITERS.get(suffix)
    if write is None or (compression and suffix == ".parquet"):  # Parquet is compressed inside
        raise InvalidInput(
            f"{target}: the extension {''.join(target.suffixes[-2:])!r} names no format that is "
            f"written. Use one of {', '.join(WRITERS)}, and behind those of text .gz or .zst.",
            path=str(target),
        )
    return write, compression


@contextlib.contextmanager
def _compressed(file: IO[bytes], compression: str | None) -> Iterator[IO[bytes]]:
    if compression == "gzip":  # the same table gives the same bytes: no name and no time inside
        with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
            yield cast(IO[bytes], packed)
    elif compression == "zstd":
        with pa.CompressedOutputStream(pa.PythonFile(_Through(file), mode="w"), "zstd") as stream:
            yield cast(IO[bytes], _Through(stream))
    else:
        yield file


def _with_ids(table: pa.Table) -> pa.Table:
    """For text: columns of ids as they are read, where they are stored as something else."""
    for i, field in enumerate(table.schema):
        if ID in (field.metadata or {}):
            table = table.set_column(i, field.name, as_written(table.column(i)))
    return table


class _Through(io.RawIOBase):
    """Writes go through to ``inner``, Python's or Arrow's; who opened that closes it."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._inner.write(data)
        return len(data)


def _write_parquet(table: pa.Table, file: IO[bytes]) -> None:
    import pyarrow.parquet as pq

    pq.write_table(table, file, compression="zstd")


def _write_csv(table: pa.Table, file: IO[bytes]) -> None:
    _write_delimited(table, file, ",", table.column_names)


def _write_tsv(table: pa.Table, file: IO[bytes]) -> None:
    _write_delimited(table, file, "\t", table.column_names)


def _write_inter(table: pa.Table, file: IO[bytes]) -> None:
    _write_delimited(
        table, file, "\t", [f"{field.name}:{_recbole_type(field)}" for field in table.schema]
    )


def _recbole_type(field: pa.Field) -> str:
    if known := (field.metadata or {}).get(TYPE):
        return str(known.decode())
    number = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
    return "float" if number and not field.name.lower().endswith("id") else "token"


def _write_delimited(table: pa.Table, file: IO[bytes], delimiter: str, header: list[str]) -> None:
    """Arrow's own writer puts quotes around every string; this one only where they are needed."""
    columns = [_cells(table.column(i), field) for i, field in enumerate(table.schema)]
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    try:
        quoted = any(map(_needs_quotes, columns))
        writer = csv.writer(
            text,
            delimiter=delimiter,
            lineterminator="\n",
            quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL,
        )
        writer.writerow(header)
        for start in range(0, table.num_rows, _BATCH):
            writer.writerows(
                zip(*(cells.slice(start, _BATCH).to_pylist() for cells in columns), strict=True)
            )
        text.flush()
    finally:
        text.detach()


def _cells(column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        raise InvalidInput(
            f"the column {field.name!r} is of type {kind}, which a text table has no cells for. "
            "Write .parquet instead, or leave the column out."
        )
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if pa.types.is_floating(kind):
        return as_text(column, field.metadata or {})
    return pc.cast(column, pa.string())


def _needs_quotes(cells: pa.ChunkedArray) -> bool:
    """A bare carriage return ends a line for readers, a byte order mark begins a file: Python
    quotes neither.
    """
    return any(bool(pc.any(pc.match_substring(cells, mark)).as_py()) for mark in ("\r", "\ufeff"))


def _write_jsonl(table: pa.Table, file: IO[bytes]) -> None:
    for batch in table.to_batches(max_chunksize=_BATCH):
        for row in batch.to_pylist():
            line = json.dumps(row, ensure_ascii=False, allow_nan=False, default=_json_value)
            file.write(line.encode() + b"\n")


def _json_value(value: Any) -> Any:
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no place in JSON")


WRITERS: dict[str, Writer] = {
    ".parquet": _write_parquet,
    ".csv": _write_csv,
    ".tsv": _write_tsv,
    ".jsonl": _write_jsonl,
    ".ndjson": _write_jsonl,
    ".inter": _write_inter,
}
