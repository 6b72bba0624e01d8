"""Parquet: only the columns that are needed, string ids as the dictionary codes they are stored
as.
"""

from __future__ import annotations

import pyarrow as pa

from alteraser.data.readers._raw import Format, Raw, WantedColumns, by_row
from alteraser.data.readers._source import Head, Source, available_memory, damaged, out_of_memory
from alteraser.errors import InvalidInput, ResourceLimit

_MAGIC = b"PAR1"
_ENCRYPTED = b"PARE"
_ERRORS = (pa.ArrowException, OSError, OverflowError, UnicodeDecodeError)


def _matches(head: Head) -> bool:
    return head.start.startswith((_MAGIC, _ENCRYPTED))


def _read(source: Source, wanted: WantedColumns) -> Raw:
    import pyarrow.parquet as pq

    path = source.path
    if source.compression is not None:
        tool = {"gzip": "gunzip", "zstd": "unzstd"}[source.compression]
        raise InvalidInput(
            f"{path} is a Parquet file compressed with {source.compression}. Unpack it first with "
            f"{tool}.",
            path=str(path),
        )
    if source.head.start.startswith(_ENCRYPTED):
        raise InvalidInput(
            f"{path} is encrypted. Write it again without encryption.", path=str(path)
        )
    try:
        with pq.ParquetFile(path, memory_map=False) as file:
            schema = file.schema_arrow
    except MemoryError as error:  # Arrow's is an ArrowException as well
        raise out_of_memory(path) from error
    except _ERRORS as error:
        raise damaged(path, error) from error
    columns = schema.names
    chosen = [name for name in columns if wanted.columns is None or name in wanted.columns]
    repeated = next(
        (name for name in chosen if wanted.columns is not None and chosen.count(name) > 1), None
    )
    if repeated is not None:
        raise InvalidInput(
            f"{path}: the column {repeated!r} is there twice. Rename one of them.", path=str(path)
        )
    codes = [
        name
        for name in chosen
        if wanted.columns is not None and name in wanted.ids and _has_codes(schema.field(name).type)
    ]
    try:
        with pq.ParquetFile(path, read_dictionary=codes, memory_map=False) as file:
            _check_size(source, file.metadata.num_rows, len(chosen))
            table = file.read(columns=None if wanted.columns is None else chosen)
    except MemoryError as error:  # Arrow's is an ArrowException as well
        raise out_of_memory(path) from error
    except _ERRORS as error:
        raise damaged(path, error) from error
    return Raw(table, columns, by_row(path), name=str(path))


def _check_size(source: Source, rows: int, columns: int) -> None:
    """A footer may promise anything; believe only what memory could hold at four bytes a value."""
    memory = available_memory()
    if rows * max(columns, 1) * 4 > memory:
        raise ResourceLimit(
            f"{source.path}: its footer promises {rows:,} rows, more than {memory / 2**30:,.0f} "
            "GiB of memory can hold. Split the file, or use a larger machine.",
            path=str(source.path),
        )


def _has_codes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


PARQUET = Format("Parquet", (".parquet", ".pq"), _matches, _read)
