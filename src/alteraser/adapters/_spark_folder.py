"""Folders as Spark writes them: part files in Parquet, a line of JSON as metadata, hidden checksums
beside everything.

    stages/2_ALS_3fcb59519817/
        metadata/part-00000-….txt
            {"class": …, "sparkVersion": …, "paramMap": …, "rank": …}
        userFactors/part-0000k-….snappy.parquet
            id int32, features list<float32>; one file a block
        userFactors/.part-0000k-….snappy.parquet.crc  with a stale one Spark refuses the file,
        without one it reads it userFactors/_SUCCESS

Everything here needs pyarrow alone.
"""

from __future__ import annotations

import json
import re
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.errors import IntegrityError, InvalidInput, NumericFailure

Array = npt.NDArray[Any]

METADATA_BYTES = 1 << 20
_VERSION = b"org.apache.spark.version"
_PART = re.compile(r"part-(\d{5})-([0-9a-f-]{36})-c\d{3}\b.*")
LOCAL_MODE = (
    "was saved in Spark's local saving mode, in which metadata and factors are plain files in a "
    "format of its own; it is not read. Load the model in Spark and save it again with that mode "
    "off"
)
"""Spark 4 has it for its server of remote clients (``ReadWriteUtils.localSavingModeState``)."""
_CHECKSUMS = b"crc\x00"


@dataclass(frozen=True)
class FactorPart:
    """One Parquet file of factors: where it is and which ids its rows have, in their order
    there.
    """

    path: Path
    ids: npt.NDArray[np.int64]


@dataclass(frozen=True)
class FactorTable:
    """All parts of one side, and its rows in increasing order of their ids."""

    parts: tuple[FactorPart, ...]
    ids: npt.NDArray[np.int64]
    factors: npt.NDArray[np.float32]
    version: str | None


def metadata(folder: Path) -> dict[str, Any]:
    """The one line of JSON of a saved Spark object. Raises InvalidInput where it is none,
    IntegrityError if damaged.
    """
    if (folder / "metadata").is_file():
        raise InvalidInput(f"{folder} {LOCAL_MODE}", path=str(folder))
    files = sorted((folder / "metadata").glob("part-*")) if (folder / "metadata").is_dir() else []
    if len(files) != 1:
        raise InvalidInput(
            f"{folder} has {len(files)} files metadata/part-*, where a saved Spark object has "
            "one. Name the folder that model.save was given",
            path=str(folder),
        )
    check_crc(files[0])
    with open(files[0], "rb") as file:
        text = file.read(METADATA_BYTES + 1)
    try:
        if len(text) > METADATA_BYTES:
            raise ValueError("more than a megabyte")
        found = json.loads(text)
        if not isinstance(found, dict) or not isinstance(found.get("class"), str):
            raise ValueError("no object with a class")
    except (ValueError, RecursionError) as error:
        raise IntegrityError(
            f"{files[0]} is damaged: a line of JSON was expected ({error}). Restore it",
            path=str(files[0]),
        ) from error
    return found


def parameter(document: dict[str, Any], name: str) -> Any:
    """A parameter of a saved object: as set, else its default, else None."""
    for key in ("paramMap", "defaultParamMap"):
        values = document.get(key)
        if isinstance(values, dict) and name in values:
            return values[name]
    return None


def parts(folder: Path) -> list[Path]:
    """The Parquet files of a folder, all of one write. Raises InvalidInput or IntegrityError."""
    if folder.is_file():
        raise InvalidInput(f"{folder.parent} {LOCAL_MODE}", path=str(folder))
    if not folder.is_dir():
        raise InvalidInput(
            f"{folder} is missing; it is part of every saved model. Restore it", path=str(folder)
        )
    names = sorted(
        entry.name for entry in folder.iterdir() if not entry.name.startswith((".", "_"))
    )
    files = [name for name in names if name.endswith(".parquet")]
    if not files or len(files) < len(names):
        other = next((name for name in names if name not in files), "nothing")
        raise InvalidInput(
            f"{folder} holds {other}, where Spark has part-*.parquet files and nothing else. "
            "Restore the folder",
            path=str(folder),
        )
    matches = [match for match in map(_PART.fullmatch, files) if match]
    writes, numbers = {match[2] for match in matches}, [match[1] for match in matches]
    if len(writes) > 1 or len(set(numbers)) < len(numbers):
        raise IntegrityError(
            f"{folder} holds parts of {len(writes)} writes: one save was copied over another. "
            "Restore the folder",
            path=str(folder),
        )
    return [folder / name for name in files]


def check_crc(path: Path) -> None:
    """Compare a file with the hidden checksum beside it, as Hadoop does; no checksum is no
    complaint.
    """
    sums = path.with_name(f".{path.name}.crc")
    if not sums.is_file():
        return
    expected = sums.read_bytes()
    fits = len(expected) >= 8 and expected[:4] == _CHECKSUMS
    step = struct.unpack(">I", expected[4:8])[0] if fits else 0
    if fits and 0 < step <= 1 << 20:
        content = memoryview(path.read_bytes())
        found = b"".join(
            struct.pack(">I", zlib.crc32(content[start : start + step]))
            for start in range(0, len(content), step)
        )
        if found == expected[8:]:
            return
    raise IntegrityError(
        f"{path} does not fit its checksum {sums.name}: it was changed or cut after Spark wrote "
        "it, and Spark would refuse it too. Restore it",
        path=str(path),
    )


def read_table(folder: Path, rank: int, version: str | None) -> FactorTable:
    """The factors of one side.

    Raises InvalidInput for another layout, IntegrityError for what does not fit together,
    NumericFailure for entries that are not finite.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    found: list[FactorPart] = []
    blocks: list[Array] = []
    for path in parts(folder):
        check_crc(path)
        try:
            with pq.ParquetFile(path, memory_map=False) as file:
                schema = file.schema_arrow
                _check_schema(path, schema, version)
                table = file.read(columns=["id", "features"])
        except (pa.ArrowException, OSError, OverflowError) as error:
            line = " ".join(str(error).split())[:200]
            raise IntegrityError(
                f"{path} is damaged: {line}. Restore it", path=str(path)
            ) from error
        ids, rows = _unpacked(path, table, rank)
        found.append(FactorPart(path, ids))
        blocks.append(rows)
    ids, rows = np.concatenate([part.ids for part in found]), np.concatenate(blocks)
    order = np.argsort(ids, kind="stable")
    ids, rows = ids[order], np.ascontiguousarray(rows[order])
    twice = np.flatnonzero(ids[1:] == ids[:-1])
    if twice.size:
        raise IntegrityError(
            f"{folder} has the id {int(ids[twice[0]])} twice: parts of several saves are mixed. "
            "Restore the folder",
            path=str(folder),
        )
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if bad.size:
        raise NumericFailure(
            f"{folder}: the factors of id {int(ids[bad[0]])} are not finite; restore the model"
        )
    return FactorTable(tuple(found), ids, rows, version)


def rewrite(part: FactorPart, target: Path, gone: Array, changed: Array, factors: Array) -> None:
    """Write ``part`` again as ``target`` without the ids ``gone`` and with ``factors`` for the ids
    ``changed``.

    Rows keep their order, schema and Spark's own keys in the footer; ``changed`` is increasing.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(part.path, memory_map=False) as file:
        table = file.read()
        codec = (
            file.metadata.row_group(0).column(0).compression
            if file.metadata.num_row_groups
            else "SNAPPY"
        )
    ids = table["id"].to_numpy().astype(np.int64)
    if not np.array_equal(ids, part.ids):
        raise IntegrityError(
            f"{part.path} changed while it was read; run again", path=str(part.path)
        )
    column = table.schema.field("features").type
    rank = factors.shape[1]
    rows = np.array(_flat(table["features"]), np.float32).reshape(len(ids), rank)
    at = np.searchsorted(changed, ids)
    hit = (
        (at < changed.size) & (changed[np.minimum(at, max(changed.size - 1, 0))] == ids)
        if changed.size
        else None
    )
    if hit is not None:
        rows[hit] = factors[at[hit]]
    keep = ~np.isin(ids, gone)
    ids, rows = ids[keep], rows[keep]
    features = pa.ListArray.from_arrays(
        pa.array(np.arange(0, rows.size + 1, rank), pa.int32()),
        pa.array(rows.reshape(-1)),
        type=column,
    )
    written = pa.Table.from_arrays([pa.array(ids, pa.int32()), features], schema=table.schema)
    _write(written, target, codec)


def _write(table: Any, target: Path, codec: str = "SNAPPY") -> None:
    """A Parquet file as Spark writes them, with the keys of the table's schema in its footer and no
    others.
    """
    import pyarrow.parquet as pq

    settings = {"use_dictionary": False, "store_schema": False, "version": "1.0"}
    codec = codec.replace("UNCOMPRESSED", "NONE")
    with pq.ParquetWriter(target, table.schema, compression=codec, **settings) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata(table.schema.metadata or {})


def _check_schema(path: Path, schema: Any, version: str | None) -> None:
    import pyarrow as pa

    fields = {field.name: field.type for field in schema}
    features = fields.get("features")
    lists = (
        features is not None and pa.types.is_list(features) and features.value_type == pa.float32()
    )
    if fields.get("id") != pa.int32() or not lists:
        shown = ", ".join(f"{name} {kind}" for name, kind in fields.items())
        raise InvalidInput(
            f"{path} has the columns {shown}, where an ALSModel has id int32 and features "
            "list<float>. Models of the older RDD API (mllib) are not read",
            path=str(path),
        )
    written = (schema.metadata or {}).get(_VERSION)
    if written is not None and version is not None and written.decode(errors="replace") != version:
        raise IntegrityError(
            f"{path} was written by Spark {written.decode(errors='replace')}, but the metadata by "
            f"Spark {version}: files of several saves are mixed. Restore the folder",
            path=str(path),
        )


def _unpacked(path: Path, table: Any, rank: int) -> tuple[Array, Array]:
    nulls = table["id"].null_count + table["features"].null_count
    lengths = _lengths(table["features"]) if not nulls else np.empty(0)
    odd = np.flatnonzero(lengths != rank)
    if nulls or odd.size:
        what = "a row is null" if nulls else f"row {int(odd[0])} has {int(lengths[odd[0]])} factors"
        raise IntegrityError(
            f"{path}: {what}, but the metadata says rank {rank}. The folder holds parts of "
            "several models; restore it",
            path=str(path),
        )
    values = _flat(table["features"])
    return table["id"].to_numpy().astype(np.int64), np.asarray(values, np.float32).reshape(
        len(lengths), rank
    )


def _lengths(column: Any) -> Array:
    import pyarrow.compute as pc

    return np.asarray(pc.list_value_length(column).to_numpy())


def _flat(column: Any) -> Array:
    import pyarrow.compute as pc

    return np.asarray(pc.list_flatten(column).to_numpy())


def labels(folder: Path) -> list[list[str]]:
    """The labels of a StringIndexerModel, one list a column; a label's index is its position."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = parts(folder / "data")
    try:
        for path in files:
            check_crc(path)
        tables = [pq.read_table(path, memory_map=False, partitioning=None) for path in files]
    except (pa.ArrowException, OSError, OverflowError) as error:
        line = " ".join(str(error).split())[:200]
        raise IntegrityError(
            f"{folder / 'data'} is damaged: {line}. Restore it", path=str(folder)
        ) from error
    rows = [row for table in tables for row in table.to_pylist()]
    if len(rows) != 1:
        raise IntegrityError(
            f"{folder / 'data'} has {len(rows)} rows, a StringIndexer one", path=str(folder)
        )
    row = rows[0]
    # one column, before Spark 3
    found = row["labelsArray"] if "labelsArray" in row else [row.get("labels")]
    if not isinstance(found, list) or not all(
        isinstance(column, list) and all(isinstance(label, str) for label in column)
        for column in found
    ):
        raise InvalidInput(
            f"{folder / 'data'} holds no labels of a StringIndexer", path=str(folder)
        )
    return found


def rewrite_labels(
    path: Path, target: Path, column: int, renamed: Sequence[tuple[int, str]]
) -> None:
    """Write a StringIndexer's part again as ``target`` with other names at some indices of one
    column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path, memory_map=False, partitioning=None)
    row = table.to_pylist()[0]
    lists = row["labelsArray"] if "labelsArray" in row else [row["labels"]]
    for index, name in renamed:
        lists[column][index] = name
    name, value = ("labelsArray", lists) if "labelsArray" in row else ("labels", lists[0])
    written = pa.table(
        {name: pa.array([value], table.schema.field(name).type)}, schema=table.schema
    )
    _write(written, target)
