"""Ids that are stored as something else: exact, one by one, and named."""

from __future__ import annotations

import json
import uuid
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alteraser.cli.main import main
from alteraser.data.id_columns import NotAnId, as_written, described
from alteraser.data.ids import IdMap, as_id_array
from alteraser.data.interactions import Interactions
from alteraser.data.readers import read_forget_table, read_rows, write_rows
from alteraser.errors import InvalidInput

KINDS = {
    "decimal128": (pa.decimal128(20, 0), [Decimal(7), Decimal(2**53 + 1)], [7, 2**53 + 1]),
    "decimal with a scale": (pa.decimal128(20, 4), [Decimal("7.0000"), Decimal("8")], [7, 8]),
    "decimal256": (pa.decimal256(40, 0), [Decimal(-7), Decimal(8)], [-7, 8]),
    "double": (pa.float64(), [7.0, -(2.0**53)], [7, -(2**53)]),
    "float": (pa.float32(), [7.0, 2.0**24], [7, 2**24]),
    "half": (pa.float16(), np.array([7, 2048], np.float16), [7, 2048]),
    "uuid": (
        pa.uuid(),
        [b"\x01" * 16, b"\xab" * 16],
        [str(uuid.UUID(bytes=b * 16)) for b in (b"\x01", b"\xab")],
    ),
    "binary": (pa.binary(), [b"tea", b"\xff\x00"], ["tea", "0xff00"]),
    "large binary": (pa.large_binary(), ["Tee, süß".encode(), b"0xff"], ["Tee, süß", "0x30786666"]),
    "binary view": (pa.binary_view(), [b"a", b"b\n"], ["a", "0x620a"]),
    "fixed binary": (pa.binary(3), [b"tea", b"\0\0\1"], ["tea", "0x000001"]),
}


def column(name: str) -> tuple[pa.Array, list]:
    kind, values, expected = KINDS[name]
    if name == "uuid":
        return pa.ExtensionArray.from_storage(pa.uuid(), pa.array(values, pa.binary(16))), expected
    return pa.array(values, kind), expected


@pytest.mark.parametrize("name", KINDS)
def test_every_way_in_gives_the_same_ids(name: str, tmp_path: Path) -> None:
    ids, expected = column(name)
    assert as_written(ids).to_pylist() == expected
    assert as_written(pa.chunked_array([ids[:1], ids[1:]])).to_pylist() == expected
    assert as_id_array(ids).to_pylist() == expected
    table = pa.table({"user_id": ids, "item_id": [1, 2]})
    data = Interactions.read(table)
    assert sorted(data.users.ids.to_pylist(), key=str) == sorted(expected, key=str)
    assert data.converted == {"user_id": described(ids.type)}
    assert read_forget_table(table).users.to_pylist() == expected
    assert IdMap.build(pa.array(expected))[0].rows_of(ids).min() >= 0
    if pa.types.is_float16(ids.type) or name == "binary view":
        return  # Parquet holds neither
    pq.write_table(table, tmp_path / "d.parquet")
    assert Interactions.read(tmp_path / "d.parquet").digest == data.digest
    for kind in ("csv", "tsv", "jsonl", "parquet", "csv.gz"):
        write_rows(read_rows(tmp_path / "d.parquet"), tmp_path / f"again.{kind}")
        assert Interactions.read(tmp_path / f"again.{kind}").digest == data.digest


@given(st.lists(st.binary(min_size=1, max_size=6), min_size=1, max_size=8))
def test_different_bytes_are_different_ids_whatever_is_beside_them(values: list[bytes]) -> None:
    names = as_written(pa.array(values, pa.binary())).to_pylist()
    assert len(set(names)) == len(set(values))
    assert names == [as_written(pa.array([value], pa.binary()))[0].as_py() for value in values]
    for name, value in zip(names, values, strict=True):
        assert (bytes.fromhex(name[2:]) if name.startswith("0x") else name.encode()) == value


@given(st.floats(allow_nan=True, allow_infinity=True, width=64))
def test_a_double_is_an_integer_exactly_or_refused(value: float) -> None:
    exact = np.isfinite(value) and value == int(value) and abs(value) <= 2**53
    try:
        found = as_written(pa.array([1.0, value]))[1].as_py()
    except NotAnId as cause:
        found = cause.row - 1
    assert found == (int(value) if exact else 0)


def test_nulls_and_dictionaries() -> None:
    assert as_written(pa.array([1.0, None])).to_pylist() == [1, None]
    assert as_written(pa.array([b"a", None, b"a"]).dictionary_encode()).to_pylist() == [
        "a",
        None,
        "a",
    ]
    with pytest.raises(InvalidInput, match=r"x: entry 1 is null"):
        as_id_array(pa.array([Decimal(1), None]), "x")
    with pytest.raises(InvalidInput, match=r"x: entry 1: 1.5 is of type double"):
        as_id_array(pa.array([1.0, 1.5]), "x")
    plain = pa.array([1, 2])
    assert as_written(plain) is plain


def test_stats_names_what_was_converted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "d.parquet"
    pq.write_table(pa.table({"user_id": [1.0, 2.0], "item_id": [Decimal(3), Decimal(4)]}), path)
    assert main(["data", "stats", str(path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["converted"] == {
        "user_id": "double, as integers",
        "item_id": "decimal128(1, 0), as integers",
    }
    assert document["id_types"] == {"user_id": "int64", "item_id": "int64"}
    assert main(["data", "stats", str(path)]) == 0
    assert "double, as integers" in capsys.readouterr().out
